//! A study: asking for trials, telling how they ended, and looking at what came out.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use trialog_ops::{
    Budget, ComponentSpec, Direction, Distribution, FinalState, Json, Op, ParamDef, ParamKey, RetryPolicy, StudyId,
    Timestamp, TrialId, TrialNumber, TrialState,
};
use trialog_pruners::{Decision, Pruner};
use trialog_replay::{Digest, Reason, StudyView, Verdict};
use trialog_samplers::Sampler;

use crate::error::{BoxError, Error, Kind, Result};
use crate::frozen::{FrozenTrial, Params};
use crate::new_trial::NewTrial;
use crate::optimize::{Optimizer, Runs};
use crate::storage::{Batch, Storage, unexpected};
use crate::table::Table;
use crate::trial::{self, Trial};
use crate::values::Values;

/// Tells a study of one handle on a log from all others of this process.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct StudyKey(usize, StudyId);

/// A study. Clones are handles on the same study, and may be used from any thread; other processes may have
/// handles on it too.
#[derive(Clone)]
pub struct Study(Arc<Inner>);

/// A sampler or pruner, or why this program cannot build the one that the log names.
pub(crate) type Component<T> = std::result::Result<Arc<T>, String>;

struct Inner {
    storage: Storage,
    id: StudyId,
    name: String,
    sampler: Component<dyn Sampler>,
    pruner: Component<dyn Pruner>,
    seed: u64,
    runs: Runs,
}

impl fmt::Debug for Study {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Study")
            .field("name", &self.0.name)
            .field("storage", &self.0.storage)
            .finish_non_exhaustive()
    }
}

impl Study {
    pub(crate) fn new(
        storage: Storage,
        id: StudyId,
        name: String,
        sampler: Component<dyn Sampler>,
        pruner: Component<dyn Pruner>,
        seed: u64,
    ) -> Study {
        Study(Arc::new(Inner { storage, id, name, sampler, pruner, seed, runs: Runs::default() }))
    }

    /// A new study in memory that minimizes a single objective: the shortest way to begin.
    ///
    /// # Errors
    /// None that depend on the caller.
    pub fn in_memory() -> Result<Study> {
        Storage::in_memory()?.study("study").create()
    }

    /// The study's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The storage it lies in.
    #[must_use]
    pub fn storage(&self) -> &Storage {
        &self.0.storage
    }

    /// The root of its random streams.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.0.seed
    }

    pub(crate) fn id(&self) -> StudyId {
        self.0.id
    }

    pub(crate) fn key(&self) -> StudyKey {
        StudyKey(self.0.storage.address(), self.0.id)
    }

    /// A look at the study as it is now: immutable, cheap to keep, and complete.
    ///
    /// # Errors
    /// The study was deleted ([`Error::is_not_found`]), or what the log says.
    pub fn view(&self) -> Result<StudyView> {
        self.0.storage.refresh()?;
        self.0.storage.view(self.0.id)
    }

    /// One direction per objective.
    ///
    /// # Errors
    /// As [`Study::view`].
    pub fn directions(&self) -> Result<Vec<Direction>> {
        Ok(self.0.storage.view(self.0.id)?.directions().to_vec())
    }

    /// Runs the objective for as many trials. For time limits, threads, callbacks and more see
    /// [`Study::optimizer`].
    ///
    /// # Errors
    /// The objective's error ([`Error::is_objective`]), or what the log says.
    pub fn optimize<V: Values>(
        &self,
        n_trials: usize,
        objective: impl Fn(&mut Trial) -> std::result::Result<V, BoxError> + Sync,
    ) -> Result<()> {
        self.optimizer().n_trials(n_trials).run(objective)
    }

    /// How to run an objective, in detail.
    #[must_use]
    pub fn optimizer(&self) -> Optimizer<'_> {
        Optimizer::new(self)
    }

    /// Ends [`Study::optimize`] of this handle and its clones after the trials that are running: for objectives, callbacks
    /// and other threads.
    ///
    /// # Errors
    /// Nothing of this handle is being optimized ([`Error::is_invalid`]): there is nothing to stop, and the next run would
    /// not hear of it.
    pub fn stop(&self) -> Result<()> {
        self.0.runs.stop().ok_or_else(|| {
            Error::invalid(format!(
                "study {:?} is not being optimized through this handle: stop is for objectives and callbacks, and for \
                 other threads while it runs",
                self.0.name
            ))
        })
    }

    pub(crate) fn runs(&self) -> &Runs {
        &self.0.runs
    }

    /// How much of the study there is to be from here on, for everybody: the log decides who gets the last trial.
    /// Trials that are added or enqueued are not held back, but those that have begun count.
    ///
    /// ```
    /// # fn main() -> trialog::Result<()> {
    /// # let study = trialog::Study::in_memory()?;
    /// use trialog::Budget;
    ///
    /// study.set_budget(Budget { trials: Some(10), ..Budget::default() })?;
    /// study.optimizer().run(|trial| Ok(trial.suggest_float("x", 0.0..=1.0)?))?;
    /// assert_eq!(study.trials()?.len(), 10);
    /// assert!(study.ask().is_err_and(|error| error.is_budget_spent()));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Study::view`].
    pub fn set_budget(&self, budget: Budget) -> Result<()> {
        let op = Op::SetBudget { study: self.0.id, budget };
        self.result(op, || format!("set the budget of study {:?}", self.0.name)).map(drop)
    }

    /// Whether trials are tried again from here on after their process died and was declared lost: with the same
    /// parameters and user attributes, and before new trials.
    ///
    /// # Errors
    /// More than a hundred retries ([`Error::is_invalid`]), or as [`Study::view`].
    pub fn set_retry_policy(&self, policy: RetryPolicy) -> Result<()> {
        let op = Op::SetRetryPolicy { study: self.0.id, policy };
        self.result(op, || format!("set the retry policy of study {:?}", self.0.name)).map(drop)
    }

    /// A trial to evaluate: a waiting one if there is one, else a new one. [`Study::tell`] how it ended.
    ///
    /// # Errors
    /// As [`Study::view`]; a sampler that this program does not know ([`Error::is_invalid`]); the study's budget
    /// admits no trial ([`Error::is_budget_spent`]).
    pub fn ask(&self) -> Result<Trial> {
        self.sampler()?;
        if let Some(trial) = self.ask_unseen()? {
            return Ok(trial);
        }
        // What others have enqueued must be known, or it would wait for whoever looks.
        self.0.storage.refresh()?;
        self.0.storage.observe();
        // The log would say so as well, but need not be written to for that.
        if let Some(reason) = self.0.storage.view(self.0.id)?.refuses(now()) {
            return Err(Error::rejected(format!("begin a trial of study {:?}", self.0.name), &reason));
        }
        if let Some((id, number, position)) = self.claim()? {
            return Trial::begin(self, id, number, position);
        }
        let op = Op::CreateTrial { study: self.0.id, start: now() };
        match self.0.storage.begin(op, || format!("create a trial of study {:?}", self.0.name))? {
            (position, Verdict::Trial { id, number }) => Trial::begin(self, id, number, position),
            (_, other) => Err(unexpected(Some(&other), "create a trial")),
        }
    }

    /// A new trial without a look at the log, where that costs a round trip, nothing waits as far as this process knows,
    /// and the log says that it knows all.
    fn ask_unseen(&self) -> Result<Option<Trial>> {
        let Ok(view) = self.0.storage.view(self.0.id) else { return Ok(None) };
        if view.waiting().next().is_some() || view.refuses(now()).is_some() {
            return Ok(None);
        }
        drop(view);
        let op = Op::CreateTrial { study: self.0.id, start: now() };
        let tried = || format!("create a trial of study {:?}", self.0.name);
        let Some((position, verdict)) = self.0.storage.begin_if_current(op, tried)? else { return Ok(None) };
        self.0.storage.observe();
        match verdict {
            Verdict::Trial { id, number } => Trial::begin(self, id, number, position).map(Some),
            other => Err(unexpected(Some(&other), "create a trial")),
        }
    }

    /// The first waiting trial that the log gives to us, and the position behind that.
    fn claim(&self) -> Result<Option<(TrialId, TrialNumber, u64)>> {
        loop {
            let view = self.0.storage.view(self.0.id)?;
            let Some((id, number)) = view.waiting().next().map(|trial| (trial.id(), trial.number())) else {
                return Ok(None);
            };
            drop(view);
            let op = Op::ClaimTrial { trial: id, start: now() };
            match self.0.storage.begin(op, || format!("claim trial {number}")) {
                Ok((position, _)) => return Ok(Some((id, number, position))),
                // Somebody else has it, and by now this process knows.
                Err(error)
                    if matches!(error.rejection(), Some(Reason::NotWaiting { .. } | Reason::Finished { .. })) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Tells how a trial ended, and returns it as it stands in the log. A value that is NaN makes it a failed
    /// trial; infinities are values.
    ///
    /// If this process was silent for so long that the trial was declared lost, and another attempt at it has begun
    /// meanwhile, the trial stays failed, and what is told stands beside it: see [`FrozenTrial::late`]. Otherwise it counts.
    ///
    /// # Errors
    /// A wrong number of values ([`Error::is_invalid`], and the trial goes on running), another study's trial
    /// ([`Error::is_invalid`]), a trial that is finished already ([`Error::is_finished_trial`]), or what the log
    /// says.
    pub fn tell(&self, trial: &Trial, values: impl Values) -> Result<FrozenTrial> {
        let values = values.into_values();
        self.check_count(trial.number(), &values)?;
        if values.iter().any(|value| value.is_nan()) {
            tracing::warn!(trial = trial.number().0, "trial {} failed: its value is NaN", trial.number());
            return self.tell_failed(trial);
        }
        self.finish(trial, FinalState::Complete, values)?;
        self.trial(trial.number())
    }

    /// Tells that a trial was stopped early. Its value is its last report.
    ///
    /// # Errors
    /// As [`Study::tell`].
    pub fn tell_pruned(&self, trial: &Trial) -> Result<FrozenTrial> {
        let values = trial::pruned_values(&self.0.storage.view(self.0.id)?, trial.number());
        self.finish(trial, FinalState::Pruned, values)?;
        self.trial(trial.number())
    }

    /// Tells that a trial ended without a value.
    ///
    /// # Errors
    /// As [`Study::tell`].
    pub fn tell_failed(&self, trial: &Trial) -> Result<FrozenTrial> {
        self.finish(trial, FinalState::Fail, Vec::new())?;
        self.trial(trial.number())
    }

    /// The log would refuse it as well, but not what stands beside it in the record.
    fn check_count(&self, number: TrialNumber, values: &[f64]) -> Result<()> {
        let expected = self.0.storage.view(self.0.id)?.directions().len();
        if values.len() == expected {
            return Ok(());
        }
        let reason = Reason::ValueCount { expected, found: values.len() };
        Err(Error::rejected(format!("finish trial {number}"), &reason))
    }

    fn check_own(&self, trial: &Trial) -> Result<()> {
        let other = trial.study();
        if self.0.id == other.0.id && self.0.storage.is_same_log(&other.0.storage) {
            return Ok(());
        }
        Err(Error::invalid(format!(
            "trial {} belongs to study {:?} in {}, not to study {:?} in {}",
            trial.number(),
            other.0.name,
            other.0.storage.location(),
            self.0.name,
            self.0.storage.location()
        )))
    }

    pub(crate) fn finish(&self, trial: &Trial, state: FinalState, values: Vec<f64>) -> Result<()> {
        self.check_own(trial)?;
        let ops = trial.finish_ops(state, values);
        let durability = self.0.storage.durability().of_results();
        let told = self.0.storage.change_all(ops, durability, || format!("finish trial {}", trial.number()))?;
        self.warn_if_late(told.as_ref());
        Ok(())
    }

    fn warn_if_late(&self, told: Option<&Verdict>) {
        if let Some(Verdict::Late { number }) = told {
            tracing::warn!(
                study = self.0.name,
                trial = number.0,
                "trial {number} had been declared lost, and came back too late to count; its result stands beside it"
            );
        }
    }

    /// Tells how a trial of this number ended: for programs that do not keep the [`Trial`].
    ///
    /// # Errors
    /// As [`Study::tell`]; no trial of this number ([`Error::is_not_found`]), or one that nobody has begun
    /// ([`Error::is_invalid`]).
    pub fn tell_number(&self, number: TrialNumber, values: impl Values) -> Result<FrozenTrial> {
        let values = values.into_values();
        self.check_count(number, &values)?;
        if values.iter().any(|value| value.is_nan()) {
            tracing::warn!(trial = number.0, "trial {number} failed: its value is NaN");
            return self.tell_number_failed(number);
        }
        self.finish_number(number, FinalState::Complete, values)
    }

    /// Tells that the trial of this number ended without a value: for one whose process has died, say.
    ///
    /// # Errors
    /// As [`Study::tell_number`].
    pub fn tell_number_failed(&self, number: TrialNumber) -> Result<FrozenTrial> {
        self.finish_number(number, FinalState::Fail, Vec::new())
    }

    /// Tells that the trial of this number was stopped early. Its value is its last report.
    ///
    /// # Errors
    /// As [`Study::tell_number`].
    pub fn tell_number_pruned(&self, number: TrialNumber) -> Result<FrozenTrial> {
        let values = trial::pruned_values(&self.view()?, number);
        self.finish_number(number, FinalState::Pruned, values)
    }

    /// A handle on a running trial that another process, or an earlier run of this one, asked for: to report to it and to
    /// tell how it ended. Its parameters are those that it has.
    ///
    /// The trial stays that process's: if it is declared lost, so is the trial.
    ///
    /// # Errors
    /// No trial of this number ([`Error::is_not_found`]), one that nobody has begun ([`Error::is_invalid`]), one that
    /// has ended ([`Error::is_finished_trial`]), or what the log says.
    pub fn resume(&self, number: TrialNumber) -> Result<Trial> {
        let view = self.view()?;
        let none = || Error::new(Kind::TrialNotFound { study: self.0.name.clone(), number });
        let trial = view.trial(number).ok_or_else(none)?;
        match trial.state() {
            TrialState::Running => Ok(Trial::resume(self, &view, trial.id(), number)),
            TrialState::Waiting => Err(Error::invalid(format!(
                "trial {number} of study {:?} is waiting: ask for it before anything is told of it",
                self.0.name
            ))),
            _ if trial.is_lost() => Ok(Trial::resume(self, &view, trial.id(), number)),
            state => {
                let tried = format!("go on with trial {number}");
                Err(Error::rejected(tried, &Reason::Finished { number, state }))
            }
        }
    }

    /// Puts a running trial back into the queue: whoever asks next, in any process, evaluates it anew, with the
    /// parameters that it has. For a worker that must go before the trial's end.
    ///
    /// # Errors
    /// Another study's trial ([`Error::is_invalid`]), one that has ended ([`Error::is_finished_trial`]), or what
    /// the log says.
    pub fn requeue(&self, trial: &Trial) -> Result<()> {
        self.check_own(trial)?;
        let op = Op::RequeueTrial { trial: trial.id() };
        self.result(op, || format!("put trial {} back into the queue", trial.number())).map(drop)
    }

    fn finish_number(&self, number: TrialNumber, state: FinalState, values: Vec<f64>) -> Result<FrozenTrial> {
        let trial = self.trial(number)?;
        if trial.state == TrialState::Waiting {
            let detail =
                format!("trial {number} of study {:?} is waiting: ask for it before its end is told", self.0.name);
            return Err(Error::invalid(detail));
        }
        let op = Op::FinishTrial { trial: trial.id, state, values, end: now() };
        let told = self.result(op, || format!("finish trial {number}"))?;
        self.warn_if_late(Some(&told));
        self.trial(number)
    }

    /// Adds a trial that was run elsewhere, and returns its number.
    ///
    /// # Errors
    /// A trial that contradicts itself or the study ([`Error::is_invalid`], [`Error::is_incompatible`]), or what
    /// the log says.
    pub fn add_trial(&self, trial: impl Into<NewTrial>) -> Result<TrialNumber> {
        let tried = || format!("add a trial to study {:?}", self.0.name);
        let op = self.add_op(trial.into()).map_err(|reason| Error::rejected(tried(), &reason))?;
        self.0.storage.add(op, tried)
    }

    /// Adds many trials, as one record for each few hundred.
    ///
    /// # Errors
    /// As [`Study::add_trial`], for the first trial that is refused; all others have been added.
    pub fn add_trials(&self, trials: impl IntoIterator<Item = impl Into<NewTrial>>) -> Result<()> {
        let tried = || format!("add trials to study {:?}", self.0.name);
        let mut refused = None;
        let mut batch = Batch::new(&self.0.storage, tried);
        for trial in trials {
            match self.add_op(trial.into()) {
                Ok(op) => batch.push(op)?,
                Err(reason) => _ = refused.get_or_insert(reason),
            }
        }
        batch.finish()?;
        refused.map_or(Ok(()), |reason| Err(Error::rejected(tried(), &reason)))
    }

    fn add_op(&self, trial: NewTrial) -> std::result::Result<Op, Reason> {
        trial.check()?;
        let mut template = trial.template;
        if template.state.is_finished() {
            let end = *template.end.get_or_insert_with(now);
            template.start.get_or_insert(end);
        }
        Ok(Op::AddTrial { study: self.0.id, template: Box::new(template) })
    }

    /// One trial.
    ///
    /// # Errors
    /// [`Error::is_not_found`], or what the log says.
    pub fn trial(&self, number: TrialNumber) -> Result<FrozenTrial> {
        let view = self.view()?;
        let none = || Error::new(Kind::TrialNotFound { study: self.0.name.clone(), number });
        view.trial(number).map(FrozenTrial::from).ok_or_else(none)
    }

    /// All trials by number.
    ///
    /// # Errors
    /// As [`Study::view`].
    pub fn trials(&self) -> Result<Vec<FrozenTrial>> {
        Ok(self.view()?.trials().map(FrozenTrial::from).collect())
    }

    /// The best complete and feasible trial of a single-objective study; the earliest of equals.
    ///
    /// # Errors
    /// [`Error::is_no_complete_trial`], several objectives ([`Error::is_invalid`]), or what the log says.
    pub fn best_trial(&self) -> Result<FrozenTrial> {
        self.single_objective("best_trial")?;
        let none = || Error::new(Kind::NoCompleteTrial { study: self.0.name.clone() });
        self.view()?.best().next().map(FrozenTrial::from).ok_or_else(none)
    }

    /// The value of the best trial.
    ///
    /// # Errors
    /// As [`Study::best_trial`].
    pub fn best_value(&self) -> Result<f64> {
        let best = self.best_trial()?;
        best.value().ok_or_else(|| Error::new(Kind::NoCompleteTrial { study: self.0.name.clone() }))
    }

    /// The parameters of the best trial.
    ///
    /// # Errors
    /// As [`Study::best_trial`].
    pub fn best_params(&self) -> Result<Params> {
        Ok(self.best_trial()?.params)
    }

    /// The complete and feasible trials that no other dominates, by number.
    ///
    /// # Errors
    /// As [`Study::view`].
    pub fn best_trials(&self) -> Result<Vec<FrozenTrial>> {
        Ok(self.view()?.pareto_front().map(FrozenTrial::from).collect())
    }

    /// All trials as a table: number, values, times, duration, a column for each parameter and user attribute,
    /// state.
    ///
    /// # Errors
    /// As [`Study::view`].
    pub fn table(&self) -> Result<Table> {
        Ok(Table::new(self.view()?))
    }

    /// The digest of this study: equal wherever the same trials are seen.
    ///
    /// # Errors
    /// As [`Study::view`].
    pub fn digest(&self) -> Result<Digest> {
        Ok(self.view()?.digest())
    }

    /// Notes something about the study.
    ///
    /// # Errors
    /// As [`Study::view`].
    pub fn set_user_attr(&self, key: &str, value: impl Into<Json>) -> Result<()> {
        let op = Op::SetStudyUserAttr { study: self.0.id, key: key.to_owned(), value: value.into() };
        self.result(op, || format!("set attribute {key:?} of study {:?}", self.0.name)).map(drop)
    }

    /// Notes something about the study on behalf of a tool: apart from what the user notes, and not in tables. Begin the key
    /// with the tool's name and a colon.
    ///
    /// # Errors
    /// As [`Study::view`].
    pub fn set_system_attr(&self, key: &str, value: impl Into<Json>) -> Result<()> {
        let op = Op::SetStudySystemAttr { study: self.0.id, key: key.to_owned(), value: value.into() };
        self.result(op, || format!("set system attribute {key:?} of study {:?}", self.0.name)).map(drop)
    }

    /// What was noted about the study.
    ///
    /// # Errors
    /// As [`Study::view`].
    pub fn user_attrs(&self) -> Result<BTreeMap<String, Json>> {
        Ok(self.view()?.user_attrs().map(|(key, value)| (key.to_owned(), value.clone())).collect())
    }

    /// Commits what may be lost with the trial.
    pub(crate) fn progress(&self, op: Op, tried: impl Fn() -> String) -> Result<Verdict> {
        self.0.storage.change(op, self.0.storage.durability().of_progress(), tried)
    }

    /// The same of several ops, as one record.
    pub(crate) fn progress_all(&self, ops: Vec<Op>, tried: impl Fn() -> String) -> Result<()> {
        self.0.storage.change_all(ops, self.0.storage.durability().of_progress(), tried).map(drop)
    }

    /// Commits parameters that were sampled at `sampled_at`, behind the trial's last record at `last`; returns the position
    /// behind them. Anybody can derive them again, since where the one is not the other the log says so.
    pub(crate) fn set_params(&self, op: Op, sampled_at: u64, last: u64, tried: impl Fn() -> String) -> Result<u64> {
        let at = (sampled_at != last).then_some(Op::SampledAt { position: sampled_at });
        let ops = at.into_iter().chain([op]).collect();
        let durability = self.0.storage.durability().of_progress();
        self.0.storage.change_all_at(ops, durability, tried).map(|(position, _)| position)
    }

    /// Commits what must be kept.
    pub(crate) fn result(&self, op: Op, tried: impl Fn() -> String) -> Result<Verdict> {
        self.0.storage.change(op, self.0.storage.durability().of_results(), tried)
    }

    /// True if the study's pruner can judge its trials: always with one objective, and with several if it names a metric
    /// whose direction is known.
    ///
    /// # Errors
    /// A pruner that this program does not know, or what the log says.
    pub fn can_prune(&self) -> Result<bool> {
        let view = self.view()?;
        Ok(view.directions().len() == 1 || known(&self.0.pruner, &self.0.name)?.applies_to(&view))
    }

    pub(crate) fn single_objective(&self, tried: &'static str) -> Result<()> {
        if self.0.storage.view(self.0.id)?.directions().len() == 1 {
            return Ok(());
        }
        Err(self.several_objectives(tried))
    }

    fn several_objectives(&self, tried: &'static str) -> Error {
        Error::new(Kind::SeveralObjectives { study: self.0.name.clone(), tried })
    }

    fn sampler(&self) -> Result<&dyn Sampler> {
        known(&self.0.sampler, &self.0.name)
    }

    /// The sampler that a log names so: one that every program knows, or this handle's own.
    pub(crate) fn sampler_of(&self, spec: &ComponentSpec) -> Component<dyn Sampler> {
        trialog_samplers::from_spec(spec).or_else(|error| match &self.0.sampler {
            Ok(own) if own.spec() == *spec => Ok(Arc::clone(own)),
            _ => Err(error.to_string()),
        })
    }

    /// The pruner that a log names so: one that every program knows, or this handle's own.
    pub(crate) fn pruner_of(&self, spec: &ComponentSpec) -> Component<dyn Pruner> {
        trialog_pruners::from_spec(spec).or_else(|error| match &self.0.pruner {
            Ok(own) if own.spec() == *spec => Ok(Arc::clone(own)),
            _ => Err(error.to_string()),
        })
    }

    pub(crate) fn sample_relative(
        &self,
        view: &StudyView,
        number: TrialNumber,
    ) -> Result<Vec<(ParamKey, Arc<ParamDef>, f64)>> {
        Ok(self.sampler()?.sample_relative(view, number, self.0.seed))
    }

    /// True if the sampler has nothing left to look at.
    pub(crate) fn is_exhausted(&self, view: &StudyView) -> Result<bool> {
        Ok(self.sampler()?.is_exhausted(view))
    }

    pub(crate) fn sample_independent(
        &self,
        view: &StudyView,
        number: TrialNumber,
        name: &str,
        distribution: &Distribution,
    ) -> Result<f64> {
        Ok(self.sampler()?.sample_independent(view, number, self.0.seed, name, distribution))
    }

    pub(crate) fn decide(&self, view: &StudyView, number: TrialNumber) -> Result<Decision> {
        let pruner = known(&self.0.pruner, &self.0.name)?;
        // With one objective a pruner that has nothing to say lets the trial go on.
        if view.directions().len() > 1 && !pruner.applies_to(view) {
            return Err(self.several_objectives("should_prune, with a pruner that names no metric and direction,"));
        }
        Ok(pruner.decide(view, number))
    }
}

fn known<'a, T: ?Sized>(component: &'a Component<T>, study: &str) -> Result<&'a T> {
    component.as_deref().map_err(|why| {
        Error::invalid(format!(
            "study {study:?} can be looked at and not be run here: {why}; set another one to load it"
        ))
    })
}

/// This moment, as the log writes it.
pub(crate) fn now() -> Timestamp {
    let micros = |since: std::time::Duration| i64::try_from(since.as_micros()).unwrap_or(i64::MAX);
    // A clock before 1970 is wrong, but no reason to fail.
    Timestamp(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, micros))
}
