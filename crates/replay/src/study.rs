//! The state of one study: its trials as columns, and everything that samplers and pruners would otherwise have
//! to search for, kept up to date as trials change.

use std::collections::BTreeMap;
use std::sync::Arc;

use trialog_ops::{
    Amendment, Budget, Direction, Distribution, FinalState, Json, MetricKey, ParamDef, ParamKey, RetryPolicy,
    StudyConfig, StudyId, Timestamp, TrialId, TrialState, TrialTemplate,
};

use crate::audit::{Audit, Change, ChangeKind};
use crate::column::Column;
use crate::index::{Front, Index, JointSpace, StepIndex, insert_best, last_step};
use crate::lost;
use crate::metric::Metrics;
use crate::reports::Reports;
use crate::shared_map::SharedMap;
use crate::verdict::Reason;

/// How many of the best trials of a single-objective study are kept in order.
pub const BEST_KEPT: usize = 64;

/// No time.
pub(crate) const NEVER: i64 = i64::MIN;

/// A parameter's key where the column's usual one applies.
pub(crate) const USUAL: u32 = u32::MAX;

#[derive(Clone, Debug)]
pub(crate) struct Study {
    pub(crate) name: Arc<str>,
    pub(crate) directions: Arc<[Direction]>,
    pub(crate) metric_names: Option<Arc<[String]>>,
    pub(crate) config: Option<Arc<StudyConfig>>,
    pub(crate) budget: Budget,
    pub(crate) retry_policy: RetryPolicy,
    // Shared, so that a change of a trial beside a held view does not copy them.
    pub(crate) user_attrs: Arc<BTreeMap<Arc<str>, Json>>,
    pub(crate) system_attrs: Arc<BTreeMap<Arc<str>, Json>>,
    pub(crate) trials: Trials,
    pub(crate) metrics: Metrics,
    pub(crate) index: Index,
}

/// What the log said of each trial, by trial number.
#[derive(Clone, Debug)]
pub(crate) struct Trials {
    pub(crate) len: usize,
    pub(crate) ids: Column<u64>,
    pub(crate) states: Column<TrialState>,
    pub(crate) starts: Column<i64>,
    pub(crate) ends: Column<i64>,
    /// The finished trials in the order in which they ended, each once: a lost one where it was declared lost.
    pub(crate) ended: Column<u32>,
    pub(crate) ended_len: usize,
    /// One column per objective; NaN where a trial has no value.
    pub(crate) values: Vec<Column<f64>>,
    pub(crate) params: Vec<ParamData>,
    pub(crate) slots: Arc<BTreeMap<Arc<str>, usize>>,
    /// The column of each parameter key of the log, plus one; 0 where the study has not met it.
    pub(crate) slot_of_key: Column<u32>,
    pub(crate) reports: Column<Option<Arc<Reports>>>,
    extras: Column<Option<Arc<Extras>>>,
    /// The changes of trials after their end, by number; few trials have any.
    pub(crate) audits: SharedMap<u32, Option<Arc<Audit>>>,
}

/// One parameter of a study.
#[derive(Clone, Debug)]
pub(crate) struct ParamData {
    pub(crate) name: Arc<str>,
    /// The first distribution it was used with, which later ones must be compatible with.
    pub(crate) first: Arc<ParamDef>,
    pub(crate) first_key: ParamKey,
    /// NaN where a trial does not have it.
    pub(crate) values: Column<f64>,
    pub(crate) keys: Column<u32>,
}

/// What few trials have.
#[derive(Clone, Debug, Default)]
pub(crate) struct Extras {
    /// Shared by all attempts at a trial.
    pub(crate) user_attrs: Arc<BTreeMap<Arc<str>, Json>>,
    pub(crate) system_attrs: BTreeMap<Arc<str>, Json>,
    pub(crate) constraints: BTreeMap<Arc<str>, f64>,
}

/// Whether a study's budget lets another trial begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    Granted,
    /// Not now: running trials hold what is left, and give it back if they fail.
    Reserved,
    Spent,
}

impl Admission {
    pub(crate) fn refusal(self, study: StudyId) -> Option<Reason> {
        match self {
            Admission::Granted => None,
            Admission::Reserved => Some(Reason::BudgetSpent { study, reserved: true }),
            Admission::Spent => Some(Reason::BudgetSpent { study, reserved: false }),
        }
    }
}

impl Study {
    pub(crate) fn new(name: &str, directions: &[Direction], config: Option<&StudyConfig>) -> Study {
        Study {
            name: Arc::from(name),
            directions: Arc::from(directions),
            metric_names: None,
            config: config.cloned().map(Arc::new),
            budget: Budget::default(),
            retry_policy: RetryPolicy::default(),
            user_attrs: Arc::default(),
            system_attrs: Arc::default(),
            trials: Trials::new(directions.len()),
            metrics: Metrics::new(),
            index: Index::new(),
        }
    }

    /// Adds an empty trial in this state and returns its number.
    pub(crate) fn push(&mut self, id: TrialId, state: TrialState, start: Option<Timestamp>) -> usize {
        let number = self.trials.len;
        self.trials.len += 1;
        self.trials.ids.set(number, id.0);
        self.trials.starts.set(number, start.map_or(NEVER, |t| t.0));
        self.trials.states.set(number, state);
        self.index.enter(number, state);
        number
    }

    /// Adds a whole trial whose parameters and metrics, in `params` and `metrics`, were checked and defined before.
    pub(crate) fn push_template(
        &mut self,
        id: TrialId,
        template: &TrialTemplate,
        params: &[(ParamKey, Arc<ParamDef>, f64)],
        metrics: &[(MetricKey, Arc<str>)],
    ) -> usize {
        // It arrives as waiting and then becomes what it is, so that there is one way to finish a trial.
        let number = self.push(id, TrialState::Waiting, template.start);
        for (key, def, value) in params {
            self.set_param(number, *key, def, *value);
        }
        for &(step, value) in &template.reports {
            self.report(number, step, value);
        }
        for ((key, name), series) in metrics.iter().zip(&template.metrics) {
            let slot = self.metrics.meet(*key, name);
            series.reports.iter().for_each(|&(step, value)| self.metrics.report(number, slot, step, value));
        }
        if !(template.user_attrs.is_empty() && template.system_attrs.is_empty() && template.constraints.is_empty())
        {
            let extras = self.trials.extras_mut(number);
            for (key, value) in &template.user_attrs {
                Arc::make_mut(&mut extras.user_attrs).insert(Arc::from(key.as_str()), value.clone());
            }
            for (key, value) in &template.system_attrs {
                extras.system_attrs.insert(Arc::from(key.as_str()), value.clone());
            }
            for (name, value) in &template.constraints {
                extras.constraints.entry(Arc::from(name.as_str())).or_insert(*value);
            }
        }
        // An unfinished trial may come with values; they stay until it ends with others.
        self.trials.set_values(number, &template.values);
        match template.state {
            TrialState::Waiting => {}
            TrialState::Running => self.move_to(number, TrialState::Running),
            TrialState::Complete => self.finish(number, FinalState::Complete, &[], template.end),
            TrialState::Pruned => self.finish(number, FinalState::Pruned, &[], template.end),
            TrialState::Fail => self.finish(number, FinalState::Fail, &[], template.end),
        }
        number
    }

    pub(crate) fn claim(&mut self, number: usize, start: Timestamp) {
        self.trials.starts.set(number, start.0);
        self.move_to(number, TrialState::Running);
    }

    pub(crate) fn requeue(&mut self, number: usize) {
        self.move_to(number, TrialState::Waiting);
    }

    fn move_to(&mut self, number: usize, state: TrialState) {
        let before = self.trials.state(number);
        if self.trials.start(number).is_none() {
            self.index.never_begun -= usize::from(before == TrialState::Fail);
            self.index.never_begun += usize::from(state == TrialState::Fail);
        }
        self.index.leave(number, before);
        self.trials.states.set(number, state);
        self.index.enter(number, state);
    }

    /// How many trials have begun, however they ended.
    pub(crate) fn begun(&self) -> usize {
        let [running, complete, pruned, fail, _waiting] = self.index.counts;
        running + complete + pruned + fail - self.index.never_begun
    }

    /// How many trials have ended with a result, and how many may still.
    fn places(&self) -> (u64, u64) {
        let [running, complete, pruned, ..] = self.index.counts;
        ((complete + pruned) as u64, running as u64)
    }

    /// Whether a trial may begin at this time.
    pub(crate) fn admits(&self, start: Timestamp) -> Admission {
        let Budget { trials, finished, until } = self.budget;
        let (ended, running) = self.places();
        if trials.is_some_and(|max| self.begun() as u64 >= max)
            || until.is_some_and(|until| start >= until)
            || finished.is_some_and(|max| ended >= max)
        {
            return Admission::Spent;
        }
        match finished {
            Some(max) if ended + running >= max => Admission::Reserved,
            _ => Admission::Granted,
        }
    }

    /// True if a trial more may end with a result.
    pub(crate) fn has_place(&self) -> bool {
        let (ended, running) = self.places();
        self.budget.finished.is_none_or(|max| ended + running < max)
    }

    /// Adds a waiting trial that tries another one again, with its parameters and the user's notes. `history` has
    /// the numbers of all attempts before.
    pub(crate) fn push_retry(&mut self, id: TrialId, of: usize, history: &[u32]) -> usize {
        let number = self.push(id, TrialState::Waiting, None);
        for param in &mut self.trials.params {
            let Some(value) = param.value(of) else { continue };
            let mark = *param.keys.get(of);
            param.values.set(number, value);
            if *param.keys.get(number) != mark {
                param.keys.set(number, mark);
            }
        }
        if self.retry_policy.inherit_reports {
            let reports = self.trials.reports(of).to_vec();
            reports.into_iter().for_each(|(step, value)| self.report(number, step, value));
            self.metrics.inherit(number, of);
        }
        let mut extras = Extras::default();
        if let Some(before) = self.trials.extras(of) {
            extras.user_attrs = Arc::clone(&before.user_attrs);
            if let Some((key, fixed)) = before.system_attrs.get_key_value(lost::FIXED_PARAMS) {
                extras.system_attrs.insert(Arc::clone(key), fixed.clone());
            }
        }
        let first = i64::from(history.first().copied().unwrap_or_default());
        extras.system_attrs.insert(Arc::from(lost::FAILED_TRIAL), first.into());
        extras.system_attrs.insert(Arc::from(lost::RETRY_HISTORY), lost::numbers(history));
        *self.trials.extras_mut(number) = extras;
        number
    }

    /// Ends a trial; the number of values was checked before.
    pub(crate) fn finish(&mut self, number: usize, state: FinalState, values: &[f64], end: Option<Timestamp>) {
        if !self.trials.state(number).is_finished() {
            self.trials.push_ended(number);
        }
        self.move_to(number, state.into());
        self.trials.ends.set(number, end.map_or(NEVER, |t| t.0));
        self.trials.set_values(number, values);
        self.count_in(number);
    }

    /// Enters a finished trial where trials of its state are entered.
    fn count_in(&mut self, number: usize) {
        let (trials, index) = (&self.trials, &mut self.index);
        let state = trials.state(number);
        if matches!(state, TrialState::Complete | TrialState::Pruned)
            && let Some(joint) = index.joint_pruned_too.get_mut()
        {
            joint.narrow(trials, number);
        }
        if state != TrialState::Complete {
            return;
        }
        if let Some(joint) = index.joint_complete.get_mut() {
            joint.narrow(trials, number);
        }
        index.steps.complete_in(trials.reports(number));
        self.metrics.each(number, StepIndex::complete_in);
        if trials.is_feasible(number) {
            self.rank(number);
        }
    }

    /// Takes a finished trial out of everything that [`Study::count_in`] entered it into, before it changes.
    fn count_out(&mut self, number: usize) {
        let state = self.trials.state(number);
        if !matches!(state, TrialState::Complete | TrialState::Pruned) {
            return;
        }
        let (trials, index) = (&self.trials, &mut self.index);
        let [_, complete, pruned, ..] = index.counts;
        let keeps_joint = trials.has_all_params(number);
        if !keeps_joint || complete + pruned == 1 {
            index.joint_pruned_too.take();
        }
        if state == TrialState::Pruned {
            return;
        }
        if !keeps_joint || complete == 1 {
            index.joint_complete.take();
        }
        index.steps.complete_out(trials.reports(number));
        self.metrics.each(number, StepIndex::complete_out);
        if self.directions.len() == 1 {
            if let Some(best) = index.best.get_mut()
                && let Some(at) = best.iter().position(|&(_, other)| other as usize == number)
            {
                if best.len() < BEST_KEPT {
                    best.remove(at);
                } else {
                    // Somebody who was too bad to be kept comes after the others now.
                    index.best.take();
                }
            }
        } else if index.front.get().is_some_and(|front| front.numbers.binary_search(&(number as u32)).is_ok()) {
            // Those that only this one dominated come to the front.
            index.front.take();
        }
    }

    /// Withdraws a finished trial, or lets it count again, as `change` says.
    pub(crate) fn set_voided(&mut self, number: usize, change: Change) {
        let is_void = change.what == ChangeKind::Voided;
        // What it says now is kept before anything of it changes.
        let says = self.trials.audit_mut(number).says_now();
        let state = if is_void { TrialState::Fail } else { says.state.into() };
        self.count_out(number);
        self.move_to(number, state);
        self.count_in(number);
        self.trials.audit_mut(number).changes.push(change);
    }

    /// Amends a finished trial that is not withdrawn, or takes an amendment back; what the trial says then was checked.
    pub(crate) fn amend(&mut self, number: usize, change: Change) {
        self.count_out(number);
        if let ChangeKind::Amended(amendment) = &change.what {
            self.trials.keep_for(number, amendment);
        }
        let audit = self.trials.audit_mut(number);
        audit.changes.push(change);
        let says = audit.says_now();
        self.move_to(number, says.state.into());
        let trials = &mut self.trials;
        for (objective, column) in trials.values.iter_mut().enumerate() {
            column.set(number, says.values.get(objective).copied().unwrap_or(f64::NAN));
        }
        if !(says.user_attrs.is_empty() && says.constraints.is_empty()) {
            let extras = trials.extras_mut(number);
            if !says.user_attrs.is_empty() {
                put(Arc::make_mut(&mut extras.user_attrs), says.user_attrs);
            }
            put(&mut extras.constraints, says.constraints);
        }
        self.count_in(number);
    }

    /// Enters a complete, feasible trial among the best.
    pub(crate) fn rank(&mut self, number: usize) {
        if let [direction] = *self.directions {
            if let Some(best) = self.index.best.get_mut() {
                let loss = direction.loss(*self.trials.values[0].get(number));
                insert_best(best, (loss, number as u32));
            }
            return;
        }
        let losses = self.losses(number);
        if let Some(front) = self.index.front.get_mut()
            && !front.dominates(&losses)
        {
            Arc::make_mut(front).insert(number as u32, &losses);
        }
    }

    fn complete(&self) -> impl Iterator<Item = usize> {
        (0..self.trials.len).filter(|&number| self.trials.state(number) == TrialState::Complete)
    }

    /// The best trials of a single-objective study, see [`Index`].
    pub(crate) fn best(&self) -> &[(f64, u32)] {
        self.index.best.get_or_init(|| {
            let mut best = Vec::new();
            for number in self.complete().filter(|&number| self.trials.is_feasible(number)) {
                let loss = self.directions[0].loss(*self.trials.values[0].get(number));
                insert_best(&mut best, (loss, number as u32));
            }
            best
        })
    }

    /// The front of a multi-objective study, see [`Index`].
    pub(crate) fn front(&self) -> &Front {
        self.index.front.get_or_init(|| {
            let mut front = Front::default();
            for number in self.complete().filter(|&number| self.trials.is_feasible(number)) {
                let losses = self.losses(number);
                if !front.dominates(&losses) {
                    front.insert(number as u32, &losses);
                }
            }
            Arc::new(front)
        })
    }

    pub(crate) fn joint_complete(&self) -> &JointSpace {
        self.index
            .joint_complete
            .get_or_init(|| JointSpace::of(&self.trials, |state| state == TrialState::Complete))
    }

    pub(crate) fn joint_pruned_too(&self) -> &JointSpace {
        let counts = |state| matches!(state, TrialState::Complete | TrialState::Pruned);
        self.index.joint_pruned_too.get_or_init(|| JointSpace::of(&self.trials, counts))
    }

    pub(crate) fn last_complete_step(&self) -> Option<u64> {
        let last = || self.complete().filter_map(|number| last_step(self.trials.reports(number))).max();
        *self.index.steps.last_complete.get_or_init(last)
    }

    /// The same of one metric, by its place.
    pub(crate) fn last_complete_step_of(&self, slot: u32) -> Option<u64> {
        let metrics = &self.metrics;
        let last = || self.complete().filter_map(|number| last_step(metrics.reports(number, slot))).max();
        *metrics.list.get(slot as usize)?.steps.last_complete.get_or_init(last)
    }

    /// The values of a complete trial, smaller being better.
    pub(crate) fn losses(&self, number: usize) -> Vec<f64> {
        let columns = self.trials.values.iter().zip(&*self.directions);
        columns.map(|(column, way)| way.loss(*column.get(number))).collect()
    }

    /// True if the study may use the definition under its name.
    pub(crate) fn is_compatible(&self, def: &ParamDef) -> bool {
        let known = self.trials.slots.get(def.name.as_str()).map(|&slot| &self.trials.params[slot].first);
        known.is_none_or(|first| first.distribution.is_compatible(&def.distribution))
    }

    pub(crate) fn has_key(&self, key: ParamKey) -> bool {
        *self.trials.slot_of_key.get(key.0 as usize) != 0
    }

    /// Sets a parameter whose definition was checked before.
    pub(crate) fn set_param(&mut self, number: usize, key: ParamKey, def: &Arc<ParamDef>, value: f64) {
        let trials = &mut self.trials;
        let known = *trials.slot_of_key.get(key.0 as usize);
        let slot = if known != 0 {
            known as usize - 1
        } else {
            let slot = trials.slot(key, def);
            trials.slot_of_key.set(key.0 as usize, slot as u32 + 1);
            slot
        };
        let param = &mut trials.params[slot];
        param.values.set(number, value);
        let mark = if key == param.first_key { USUAL } else { key.0 };
        // Most studies never change a range, and then the second column stays empty.
        if *param.keys.get(number) != mark {
            param.keys.set(number, mark);
        }
    }

    pub(crate) fn retract_param(&mut self, number: usize, key: ParamKey) {
        if let Some(slot) = (*self.trials.slot_of_key.get(key.0 as usize)).checked_sub(1) {
            let param = &mut self.trials.params[slot as usize];
            if param.value(number).is_some() && param.key(number) == key {
                param.values.set(number, f64::NAN);
            }
        }
    }

    pub(crate) fn report(&mut self, number: usize, step: u64, value: f64) {
        Arc::make_mut(self.trials.reports.get_mut(number).get_or_insert_default()).report(step, value);
    }
}

impl Trials {
    fn new(objectives: usize) -> Trials {
        Trials {
            len: 0,
            ids: Column::new(0),
            states: Column::new(TrialState::Waiting),
            starts: Column::new(NEVER),
            ends: Column::new(NEVER),
            ended: Column::new(0),
            ended_len: 0,
            values: vec![Column::new(f64::NAN); objectives],
            params: Vec::new(),
            slots: Arc::default(),
            slot_of_key: Column::new(0),
            reports: Column::new(None),
            extras: Column::new(None),
            audits: SharedMap::new(),
        }
    }

    pub(crate) fn audit(&self, number: usize) -> Option<&Audit> {
        self.audits.get(number as u32)?.as_deref()
    }

    /// The final values of a trial; none if it has none.
    pub(crate) fn final_values(&self, number: usize) -> Vec<f64> {
        self.values.iter().map(|column| *column.get(number)).filter(|value| !value.is_nan()).collect()
    }

    /// The changes of a finished trial: none as long as there is nothing of it in the audits.
    pub(crate) fn audit_or_new(&self, number: usize) -> Audit {
        self.audit(number).cloned().unwrap_or_else(|| {
            let state = match self.state(number) {
                TrialState::Complete => FinalState::Complete,
                TrialState::Pruned => FinalState::Pruned,
                _ => FinalState::Fail,
            };
            Audit::new(state, self.final_values(number))
        })
    }

    fn audit_mut(&mut self, number: usize) -> &mut Audit {
        if self.audit(number).is_none() {
            let audit = self.audit_or_new(number);
            *self.audits.get_or_default(number as u32) = Some(Arc::new(audit));
        }
        let entry = self.audits.get_or_default(number as u32).get_or_insert_with(|| {
            // It was put there just now.
            Arc::new(Audit::new(FinalState::Fail, Vec::new()))
        });
        Arc::make_mut(entry)
    }

    /// Keeps what an amendment is the first to touch.
    fn keep_for(&mut self, number: usize, amendment: &Amendment) {
        let extras = self.extras(number).cloned().unwrap_or_default();
        let audit = self.audit_mut(number);
        for (key, _) in &amendment.user_attrs {
            if !audit.user_attrs.contains_key(key.as_str()) {
                let before = extras.user_attrs.get(key.as_str()).cloned();
                audit.user_attrs.insert(Arc::from(key.as_str()), before);
            }
        }
        for (name, _) in &amendment.constraints {
            if !audit.constraints.contains_key(name.as_str()) {
                let before = extras.constraints.get(name.as_str()).copied();
                audit.constraints.insert(Arc::from(name.as_str()), before);
            }
        }
    }

    /// True if the trial has every parameter of the study, and nobody ever had one with another distribution: then no
    /// joint space is wider without it.
    fn has_all_params(&self, number: usize) -> bool {
        let uniform = |param: &ParamData| {
            (0..self.len.div_ceil(Column::<u32>::CHUNK)).all(|chunk| param.is_uniform_in_chunk(chunk))
        };
        self.params.iter().all(|param| param.value(number).is_some() && uniform(param))
    }

    pub(crate) fn id(&self, number: usize) -> TrialId {
        TrialId(*self.ids.get(number))
    }

    pub(crate) fn state(&self, number: usize) -> TrialState {
        *self.states.get(number)
    }

    pub(crate) fn start(&self, number: usize) -> Option<Timestamp> {
        Some(*self.starts.get(number)).filter(|&t| t != NEVER).map(Timestamp)
    }

    pub(crate) fn end(&self, number: usize) -> Option<Timestamp> {
        Some(*self.ends.get(number)).filter(|&t| t != NEVER).map(Timestamp)
    }

    pub(crate) fn push_ended(&mut self, number: usize) {
        self.ended.set(self.ended_len, number as u32);
        self.ended_len += 1;
    }

    fn set_values(&mut self, number: usize, values: &[f64]) {
        for (column, value) in self.values.iter_mut().zip(values) {
            column.set(number, *value);
        }
    }

    pub(crate) fn reports(&self, number: usize) -> &[(u64, f64)] {
        self.reports.get(number).as_ref().map_or(&[], |reports| reports.as_slice())
    }

    pub(crate) fn extras(&self, number: usize) -> Option<&Extras> {
        self.extras.get(number).as_deref()
    }

    pub(crate) fn extras_mut(&mut self, number: usize) -> &mut Extras {
        Arc::make_mut(self.extras.get_mut(number).get_or_insert_default())
    }

    pub(crate) fn is_feasible(&self, number: usize) -> bool {
        self.extras(number).is_none_or(|extras| extras.constraints.values().all(|&value| value <= 0.0))
    }

    pub(crate) fn param(&self, name: &str) -> Option<&ParamData> {
        self.slots.get(name).map(|&slot| &self.params[slot])
    }

    /// Parameters by name.
    pub(crate) fn params_by_name(&self) -> impl Iterator<Item = &ParamData> {
        self.slots.values().map(|&slot| &self.params[slot])
    }

    fn slot(&mut self, key: ParamKey, def: &Arc<ParamDef>) -> usize {
        if let Some(&slot) = self.slots.get(def.name.as_str()) {
            return slot;
        }
        let slot = self.params.len();
        let name: Arc<str> = Arc::from(def.name.as_str());
        Arc::make_mut(&mut self.slots).insert(Arc::clone(&name), slot);
        self.params.push(ParamData {
            name,
            first: Arc::clone(def),
            first_key: key,
            values: Column::new(f64::NAN),
            keys: Column::new(USUAL),
        });
        slot
    }
}

impl ParamData {
    pub(crate) fn value(&self, number: usize) -> Option<f64> {
        Some(*self.values.get(number)).filter(|value| !value.is_nan())
    }

    pub(crate) fn key(&self, number: usize) -> ParamKey {
        match *self.keys.get(number) {
            USUAL => self.first_key,
            key => ParamKey(key),
        }
    }

    /// True if no trial ever used another distribution than the first.
    pub(crate) fn is_uniform_in_chunk(&self, chunk: usize) -> bool {
        self.keys.chunk(chunk).is_empty()
    }
}

/// Sets the entries that have a value, and removes the others.
fn put<T>(entries: &mut BTreeMap<Arc<str>, T>, changes: BTreeMap<Arc<str>, Option<T>>) {
    for (key, value) in changes {
        match value {
            Some(value) => _ = entries.insert(key, value),
            None => _ = entries.remove(&key),
        }
    }
}

/// True if the value can stand for a parameter with this distribution.
pub(crate) fn is_value(distribution: &Distribution, value: f64) -> bool {
    match distribution {
        Distribution::Categorical(_) => distribution.contains(value),
        Distribution::Float(_) | Distribution::Int(_) => !value.is_nan(),
    }
}

/// What is wrong with a template, apart from its parameters.
pub(crate) fn check_template(template: &TrialTemplate, objectives: usize) -> Result<(), Reason> {
    let bad = |detail| Err(Reason::BadTemplate { detail });
    check_values(template.state, &template.values, objectives)?;
    if template.state.is_finished() != template.end.is_some() {
        return bad("a trial has an end time exactly if it is finished");
    }
    let named = template.metrics.iter().map(|series| &series.reports);
    for reports in std::iter::once(&template.reports).chain(named) {
        if reports.windows(2).any(|pair| pair[0].0 >= pair[1].0) {
            return bad("reports must come by rising step");
        }
        if last_step(reports) == Some(u64::MAX) {
            return bad("a step is too large");
        }
    }
    if template.metrics.iter().any(|series| series.reports.is_empty()) {
        return bad("a metric has no reports");
    }
    if template.constraints.iter().any(|(_, value)| value.is_nan()) {
        return Err(Reason::Nan);
    }
    Ok(())
}

/// A complete trial has a value for each objective; any other has as many or none.
pub(crate) fn check_values(state: TrialState, values: &[f64], objectives: usize) -> Result<(), Reason> {
    let may_be_none = state != TrialState::Complete;
    if values.len() != objectives && !(may_be_none && values.is_empty()) {
        return Err(Reason::ValueCount { expected: objectives, found: values.len() });
    }
    if values.iter().any(|value| value.is_nan()) { Err(Reason::Nan) } else { Ok(()) }
}
