//! What everybody reads: an immutable look at one study at one position of the log. Cheap to take and to keep,
//! and no method can fail.

use std::sync::Arc;

use trialog_ops::{
    Amendment, Budget, Direction, Distribution, Json, ParamDef, ParamKey, ParamValue, RetryPolicy, StudyConfig,
    StudyId, Timestamp, TrialId, TrialNumber, TrialState,
};

use crate::audit::{Amended, Audit, Change};
use crate::column::Column;
use crate::lost::{self, Late};
use crate::rank::RankList;
use crate::series::Series;
use crate::state::ParamTable;
use crate::study::{ParamData, Study};
use crate::verdict::Reason;

/// One study as it was after a number of records. A clone is another handle on the same look.
#[derive(Clone, Debug)]
pub struct StudyView {
    id: StudyId,
    study: Arc<Study>,
    params: Arc<ParamTable>,
    lineage: Lineage,
    position: u64,
}

/// Whose history a view shows: equal for the views of one [`State`](crate::State) and of no other, not even of
/// its clone. Two views of one lineage at one position say the same, and what a trial said when it ended complete or
/// pruned it says in every later view, so that work on it can be kept. A failed trial stays failed in all views of one
/// lineage: if one that was lost counts after all, another lineage begins. So it does when a finished trial is
/// withdrawn, amended, or counts again.
#[derive(Clone, Debug, Default)]
pub struct Lineage(Arc<()>);

impl PartialEq for Lineage {
    fn eq(&self, other: &Lineage) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Lineage {}

/// Which finished trials a joint search space is taken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// Complete trials only.
    Complete,
    /// Complete and pruned trials.
    CompleteAndPruned,
}

impl StudyView {
    pub(crate) fn new(
        id: StudyId,
        study: Arc<Study>,
        params: Arc<ParamTable>,
        lineage: Lineage,
        position: u64,
    ) -> StudyView {
        StudyView { id, study, params, lineage, position }
    }

    /// The study's id in its log.
    #[must_use]
    pub fn id(&self) -> StudyId {
        self.id
    }

    /// How many of the log's records this look has seen.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Whose history this look is a part of.
    #[must_use]
    pub fn lineage(&self) -> &Lineage {
        &self.lineage
    }

    /// The study's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.study.name
    }

    /// One direction per objective.
    #[must_use]
    pub fn directions(&self) -> &[Direction] {
        &self.study.directions
    }

    /// Names of the objectives, if they were given.
    #[must_use]
    pub fn metric_names(&self) -> Option<&[String]> {
        self.study.metric_names.as_deref()
    }

    /// The study's sampler, pruner and seed, if the log has them.
    #[must_use]
    pub fn config(&self) -> Option<&StudyConfig> {
        self.study.config.as_deref()
    }

    /// How much of the study there is to be.
    #[must_use]
    pub fn budget(&self) -> &Budget {
        &self.study.budget
    }

    /// What becomes of lost trials.
    #[must_use]
    pub fn retry_policy(&self) -> RetryPolicy {
        self.study.retry_policy
    }

    /// Why the budget lets no trial begin at this time, if it does not.
    #[must_use]
    pub fn refuses(&self, start: Timestamp) -> Option<Reason> {
        self.study.admits(start).refusal(self.id)
    }

    /// How many trials have begun, however they ended: what [`Budget::trials`] counts.
    #[must_use]
    pub fn begun(&self) -> usize {
        self.study.begun()
    }

    /// A user attribute.
    #[must_use]
    pub fn user_attr(&self, key: &str) -> Option<&Json> {
        self.study.user_attrs.get(key)
    }

    /// The user attributes by key.
    pub fn user_attrs(&self) -> impl Iterator<Item = (&str, &Json)> {
        self.study.user_attrs.iter().map(|(key, value)| (&**key, value))
    }

    /// The system attributes by key.
    pub fn system_attrs(&self) -> impl Iterator<Item = (&str, &Json)> {
        self.study.system_attrs.iter().map(|(key, value)| (&**key, value))
    }

    /// How many trials there are, in any state.
    #[must_use]
    pub fn trial_count(&self) -> usize {
        self.study.trials.len
    }

    /// How many trials are in this state.
    #[must_use]
    pub fn count(&self, state: TrialState) -> usize {
        self.study.index.counts[state as usize]
    }

    /// The trial with this number.
    #[must_use]
    pub fn trial(&self, number: TrialNumber) -> Option<TrialView<'_>> {
        (number.index() < self.study.trials.len).then_some(TrialView { view: self, number: number.index() })
    }

    /// All trials by number.
    pub fn trials(&self) -> impl DoubleEndedIterator<Item = TrialView<'_>> + ExactSizeIterator {
        (0..self.study.trials.len).map(|number| TrialView { view: self, number })
    }

    /// The running trials by number.
    pub fn running(&self) -> impl Iterator<Item = TrialView<'_>> {
        self.numbered(self.study.index.running.iter().map(|(number, ())| number))
    }

    /// The waiting trials by number, which is the order in which they were enqueued.
    pub fn waiting(&self) -> impl Iterator<Item = TrialView<'_>> {
        self.numbered(self.study.index.waiting.iter().map(|(number, ())| number))
    }

    /// How many trials are finished, however they ended.
    #[must_use]
    pub fn ended_count(&self) -> usize {
        self.study.trials.ended_len
    }

    /// The finished trials in the order in which the log ended them, but for the first `skipped`. Later views of one
    /// lineage only add to its end, so that whoever kept count of them finds what is new. A lost trial that counts
    /// after all stays where it was declared lost.
    pub fn ended_after(&self, skipped: usize) -> impl Iterator<Item = TrialView<'_>> {
        (skipped..self.ended_count())
            .map(|at| TrialView { view: self, number: *self.study.trials.ended.get(at) as usize })
    }

    /// The best feasible complete trials of a single-objective study, best first and earlier ones first among
    /// equals; at most [`BEST_KEPT`](crate::BEST_KEPT) of them. Empty where there are several objectives.
    pub fn best(&self) -> impl Iterator<Item = TrialView<'_>> {
        self.numbered(self.best_entries().iter().map(|(_, number)| number))
    }

    /// The feasible complete trials that no other dominates, by number. With one objective, the best ones,
    /// at most [`BEST_KEPT`](crate::BEST_KEPT) of them.
    pub fn pareto_front(&self) -> impl Iterator<Item = TrialView<'_>> {
        let best = self.best_entries();
        let ties = best.iter().filter(|(loss, _)| *loss == best[0].0).map(|(_, number)| number);
        let front = if self.directions().len() == 1 { &[][..] } else { &self.study.front().numbers };
        self.numbered(ties.chain(front))
    }

    fn best_entries(&self) -> &[(f64, u32)] {
        if self.directions().len() == 1 { self.study.best() } else { &[] }
    }

    /// The trials that were withdrawn, by number.
    pub fn voided(&self) -> impl Iterator<Item = TrialView<'_>> {
        self.changed().filter(|trial| trial.voided().is_some())
    }

    /// The trials that were withdrawn or amended at any time after their end, by number.
    pub fn changed(&self) -> impl Iterator<Item = TrialView<'_>> {
        self.numbered(self.study.trials.audits.iter().map(|(number, _)| number))
    }

    fn numbered<'a>(&'a self, numbers: impl Iterator<Item = &'a u32>) -> impl Iterator<Item = TrialView<'a>> {
        numbers.map(|&number| TrialView { view: self, number: number as usize })
    }

    /// The column of a parameter that some trial has or had.
    #[must_use]
    pub fn param(&self, name: &str) -> Option<ParamColumn<'_>> {
        self.study.trials.param(name).map(|data| ParamColumn { data, params: &self.params })
    }

    /// The columns of all parameters, by name.
    pub fn params(&self) -> impl Iterator<Item = ParamColumn<'_>> {
        self.study.trials.params_by_name().map(|data| ParamColumn { data, params: &self.params })
    }

    /// The columns of all parameters, in the order in which the study met them: a later one only comes behind.
    pub fn params_as_met(&self) -> impl ExactSizeIterator<Item = ParamColumn<'_>> {
        self.study.trials.params.iter().map(|data| ParamColumn { data, params: &self.params })
    }

    /// The values of one objective by trial number, NaN where a trial has none.
    #[must_use]
    pub fn values(&self, objective: usize) -> Option<&Column<f64>> {
        self.study.trials.values.get(objective)
    }

    /// The parameters that all these finished trials have with equal distributions, by name. Empty while there
    /// is no such trial.
    pub fn joint_space(&self, over: Over) -> impl Iterator<Item = (&str, &Distribution)> {
        self.joint_params(over).map(|(_, def)| (def.name.as_str(), &def.distribution))
    }

    /// The parameters of [`StudyView::joint_space`] with their keys.
    pub fn joint_params(&self, over: Over) -> impl Iterator<Item = (ParamKey, &Arc<ParamDef>)> {
        let space = match over {
            Over::Complete => self.study.joint_complete(),
            Over::CompleteAndPruned => self.study.joint_pruned_too(),
        };
        let shared = space.shared.as_deref().unwrap_or(&[]);
        shared.iter().filter_map(|&(_, key)| Some((key, self.params.get(key)?)))
    }

    /// The largest step that a complete trial reported, whatever the value.
    #[must_use]
    pub fn last_complete_step(&self) -> Option<u64> {
        self.series(None).last_complete_step()
    }

    /// The values that complete trials reported at exactly this step.
    #[must_use]
    pub fn complete_at(&self, step: u64) -> Option<&RankList> {
        self.series(None).complete_at(step)
    }

    /// The metrics that some trial reported, by name. The names of the objectives are [`StudyView::metric_names`].
    pub fn reported_metrics(&self) -> impl Iterator<Item = &str> {
        self.study.metrics.by_name().map(|(name, _)| name)
    }

    /// The intermediate values of a metric, or those without a name; these also answer to the name of a study's only
    /// objective. A metric that nobody has reported is an empty series.
    #[must_use]
    pub fn series(&self, metric: Option<&str>) -> Series<'_> {
        Series::of(&self.study, metric)
    }
}

/// One parameter of a study, by trial number.
#[derive(Clone, Copy, Debug)]
pub struct ParamColumn<'a> {
    data: &'a ParamData,
    params: &'a ParamTable,
}

impl<'a> ParamColumn<'a> {
    /// The parameter's name.
    #[must_use]
    pub fn name(self) -> &'a str {
        &self.data.name
    }

    /// The distribution of its first use, which all later ones are compatible with.
    #[must_use]
    pub fn first_distribution(self) -> &'a Distribution {
        &self.data.first.distribution
    }

    /// The key and definition of its first use.
    #[must_use]
    pub fn first(self) -> (ParamKey, &'a Arc<ParamDef>) {
        (self.data.first_key, &self.data.first)
    }

    /// A trial's value in internal form, if it has the parameter.
    #[must_use]
    pub fn value(self, number: TrialNumber) -> Option<f64> {
        self.data.value(number.index())
    }

    /// The distribution that a trial drew it from, if the trial has the parameter.
    #[must_use]
    pub fn distribution(self, number: TrialNumber) -> Option<&'a Distribution> {
        self.value(number)?;
        self.def(number.index()).map(|def| &def.distribution)
    }

    fn def(self, number: usize) -> Option<&'a ParamDef> {
        self.params.get(self.data.key(number)).map(AsRef::as_ref)
    }

    /// All values in internal form by trial number, NaN where a trial does not have the parameter.
    #[must_use]
    pub fn values(self) -> &'a Column<f64> {
        &self.data.values
    }

    /// True if every trial of the chunk drew the parameter from [`ParamColumn::first_distribution`].
    #[must_use]
    pub fn is_uniform_in_chunk(self, chunk: usize) -> bool {
        self.data.is_uniform_in_chunk(chunk)
    }
}

/// One trial of a view.
#[derive(Clone, Copy, Debug)]
pub struct TrialView<'a> {
    view: &'a StudyView,
    number: usize,
}

impl<'a> TrialView<'a> {
    fn trials(self) -> &'a crate::study::Trials {
        &self.view.study.trials
    }

    /// Its number in the study.
    #[must_use]
    pub fn number(self) -> TrialNumber {
        TrialNumber(self.number as u32)
    }

    /// Its id in the log.
    #[must_use]
    pub fn id(self) -> TrialId {
        self.trials().id(self.number)
    }

    /// Where it stands.
    #[must_use]
    pub fn state(self) -> TrialState {
        self.trials().state(self.number)
    }

    /// When it began, if it did.
    #[must_use]
    pub fn start(self) -> Option<Timestamp> {
        self.trials().start(self.number)
    }

    /// When it ended, if it did.
    #[must_use]
    pub fn end(self) -> Option<Timestamp> {
        self.trials().end(self.number)
    }

    /// The value of one objective, if the trial has values.
    #[must_use]
    pub fn value(self, objective: usize) -> Option<f64> {
        let value = *self.trials().values.get(objective)?.get(self.number);
        Some(value).filter(|value| !value.is_nan())
    }

    /// The values of all objectives; none if the trial has none.
    pub fn values(self) -> impl Iterator<Item = f64> + 'a {
        (0..self.trials().values.len()).filter_map(move |objective| self.value(objective))
    }

    /// A parameter in internal form.
    #[must_use]
    pub fn param(self, name: &str) -> Option<f64> {
        self.trials().param(name)?.value(self.number)
    }

    /// A parameter as people see it.
    #[must_use]
    pub fn param_value(self, name: &str) -> Option<ParamValue> {
        let column = self.view.param(name)?;
        let value = column.value(self.number())?;
        column.distribution(self.number()).map(|distribution| distribution.to_external(value))
    }

    /// Its parameters by name: name, distribution and value in internal form.
    pub fn params(self) -> impl Iterator<Item = (&'a str, &'a Distribution, f64)> {
        self.view.params().filter_map(move |column| {
            let value = column.value(self.number())?;
            Some((column.name(), column.distribution(self.number())?, value))
        })
    }

    /// The key of a parameter that the trial has.
    #[must_use]
    pub fn param_key(self, name: &str) -> Option<ParamKey> {
        let data = self.trials().param(name)?;
        data.value(self.number).map(|_| data.key(self.number))
    }

    /// Its intermediate values by rising step. A withdrawn trial has none, since pruners look at those of failed trials
    /// too: see [`TrialView::told_reports`].
    #[must_use]
    pub fn reports(self) -> &'a [(u64, f64)] {
        if self.voided().is_some() { &[] } else { self.told_reports() }
    }

    /// All that it reported by rising step, withdrawn or not.
    #[must_use]
    pub fn told_reports(self) -> &'a [(u64, f64)] {
        self.trials().reports(self.number)
    }

    /// Its intermediate values of a metric by rising step, under the same terms as [`TrialView::reports`].
    #[must_use]
    pub fn reports_of(self, metric: &str) -> &'a [(u64, f64)] {
        self.view.series(Some(metric)).reports(self.number())
    }

    /// The metrics that it reported by name, each with its values by rising step. A withdrawn trial has none: see
    /// [`TrialView::told_metrics`].
    pub fn metrics(self) -> impl Iterator<Item = (&'a str, &'a [(u64, f64)])> {
        let told = self.voided().is_none().then(|| self.told_metrics());
        told.into_iter().flatten()
    }

    /// All metrics that it reported by name, withdrawn or not.
    pub fn told_metrics(self) -> impl ExactSizeIterator<Item = (&'a str, &'a [(u64, f64)])> {
        let metrics = &self.view.study.metrics;
        let of = metrics.of(self.number).iter();
        let mut told: Vec<_> =
            of.map(|(slot, reports)| (&*metrics.list[*slot as usize].name, reports.as_slice())).collect();
        told.sort_unstable_by_key(|(name, _)| *name);
        told.into_iter()
    }

    /// A user attribute.
    #[must_use]
    pub fn user_attr(self, key: &str) -> Option<&'a Json> {
        self.trials().extras(self.number)?.user_attrs.get(key)
    }

    /// Its user attributes by key.
    pub fn user_attrs(self) -> impl Iterator<Item = (&'a str, &'a Json)> {
        let extras = self.trials().extras(self.number);
        extras.into_iter().flat_map(|extras| extras.user_attrs.iter().map(|(key, value)| (&**key, value)))
    }

    /// A system attribute.
    #[must_use]
    pub fn system_attr(self, key: &str) -> Option<&'a Json> {
        self.trials().extras(self.number)?.system_attrs.get(key)
    }

    /// Its system attributes by key.
    pub fn system_attrs(self) -> impl Iterator<Item = (&'a str, &'a Json)> {
        let extras = self.trials().extras(self.number);
        extras.into_iter().flat_map(|extras| extras.system_attrs.iter().map(|(key, value)| (&**key, value)))
    }

    /// True if its worker was declared lost and it has not come back in time.
    #[must_use]
    pub fn is_lost(self) -> bool {
        self.state() == TrialState::Fail && self.system_attr(lost::LOST).is_some()
    }

    /// How the lost trial ended after all, if that was told too late to count.
    #[must_use]
    pub fn late(self) -> Option<Late> {
        self.system_attr(lost::LATE).filter(|_| self.is_lost()).and_then(Late::from_json)
    }

    /// Why and by whom it was withdrawn, if it is: it is a failed trial then, but for what [`TrialView::told_state`] says.
    #[must_use]
    pub fn voided(self) -> Option<&'a Change> {
        self.trials().audit(self.number)?.voided()
    }

    /// Where it would stand if it had not been withdrawn.
    #[must_use]
    pub fn told_state(self) -> TrialState {
        let audit = self.trials().audit(self.number);
        audit.map_or(self.state(), |audit| audit.says_now().state.into())
    }

    /// All that was decided about it after its end, in the order of the log.
    #[must_use]
    pub fn changes(self) -> &'a [Change] {
        self.trials().audit(self.number).map_or(&[], |audit| &audit.changes)
    }

    /// What it said before any change after its end, of all that changes touch; none if there are no changes.
    #[must_use]
    pub fn before_changes(self) -> Option<Amendment> {
        self.trials().audit(self.number).map(Audit::before)
    }

    /// What was corrected after its end, with what it said before, in the order of the log.
    #[must_use]
    pub fn amendments(self) -> Vec<Amended<'a>> {
        self.trials().audit(self.number).map_or(Vec::new(), Audit::amendments)
    }

    /// The numbers of the trials that this one tries again, the first attempt first; none if it is the first.
    #[must_use]
    pub fn attempts_before(self) -> Vec<TrialNumber> {
        let history = self.system_attr(lost::RETRY_HISTORY).and_then(lost::to_numbers).unwrap_or_default();
        history.into_iter().map(TrialNumber).collect()
    }

    /// Its constraints by name; each is met when it is at most 0.
    pub fn constraints(self) -> impl Iterator<Item = (&'a str, f64)> {
        let extras = self.trials().extras(self.number);
        extras.into_iter().flat_map(|extras| extras.constraints.iter().map(|(name, value)| (&**name, *value)))
    }

    /// True if all its constraints are met; a trial without constraints is feasible.
    #[must_use]
    pub fn is_feasible(self) -> bool {
        self.trials().is_feasible(self.number)
    }

    /// The sum of the violated constraints; 0 for a feasible trial.
    #[must_use]
    pub fn violation(self) -> f64 {
        self.constraints().map(|(_, value)| value.max(0.0)).sum()
    }
}
