//! The whole log's state, and the one function that changes it.

use std::collections::BTreeMap;
use std::sync::Arc;

use trialog_ops::{
    Distribution, FinalState, MetricKey, MetricValue, Op, Param, ParamDef, ParamKey, ParamRef, RETRIES_MAX, Record,
    SessionId, SessionKey, SessionRef, StudyId, Timestamp, TrialId, TrialNumber, TrialState, TrialTemplate,
    WorkerId, WorkerKey,
};

use crate::audit::{Change, ChangeKind};
use crate::column::Column;
use crate::lost::{LATE, LOST, Late, RETRIED_BY, WITHDRAWN};
use crate::metric::MetricTable;
use crate::study::{self, Study};
use crate::verdict::{Reason, Verdict};
use crate::view::{Lineage, StudyView};
use crate::workers::{Worker, Workers};

/// A step must leave room for the one after it.
pub(crate) const STEP_MAX: u64 = u64::MAX - 1;

/// Everything that a log says. Equal logs give equal states, which [`State::digest`] proves.
#[derive(Clone, Debug)]
pub struct State {
    pub(crate) records: u64,
    pub(crate) sessions: Vec<Session>,
    pub(crate) session_keys: BTreeMap<SessionId, SessionKey>,
    pub(crate) workers: Workers,
    pub(crate) params: Arc<ParamTable>,
    pub(crate) param_keys: BTreeMap<Arc<ParamDef>, ParamKey>,
    pub(crate) metrics: MetricTable,
    /// Deleted studies leave their place empty.
    pub(crate) studies: Vec<Option<Arc<Study>>>,
    pub(crate) names: BTreeMap<Arc<str>, StudyId>,
    /// Study and number of each trial of the log.
    pub(crate) trials: Vec<(StudyId, TrialNumber)>,
    root: Root,
}

/// The beginning of a lineage. A clone begins another, since it may go other ways; so does a state in which a trial
/// that had failed counts after all.
#[derive(Debug, Default)]
struct Root(Lineage);

impl Clone for Root {
    fn clone(&self) -> Root {
        Root::default()
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Session {
    pub(crate) id: SessionId,
    pub(crate) counter: u64,
    pub(crate) worker: WorkerKey,
}

/// The log's parameters by key.
#[derive(Clone, Debug)]
pub struct ParamTable {
    defs: Column<Option<Arc<ParamDef>>>,
    pub(crate) len: usize,
}

impl ParamTable {
    /// The parameter with this key.
    #[must_use]
    pub fn get(&self, key: ParamKey) -> Option<&Arc<ParamDef>> {
        self.defs.get(key.0 as usize).as_ref()
    }

    /// The parameters in the order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<ParamDef>> {
        (0..self.len).filter_map(|key| self.defs.get(key).as_ref())
    }

    pub(crate) fn push(&mut self, def: Arc<ParamDef>) {
        self.defs.set(self.len, Some(def));
        self.len += 1;
    }
}

impl Default for State {
    fn default() -> State {
        State::new()
    }
}

impl State {
    /// The state of an empty log.
    #[must_use]
    pub fn new() -> State {
        State {
            records: 0,
            sessions: Vec::new(),
            session_keys: BTreeMap::new(),
            workers: Workers::default(),
            params: Arc::new(ParamTable { defs: Column::new(None), len: 0 }),
            param_keys: BTreeMap::new(),
            metrics: MetricTable::default(),
            studies: Vec::new(),
            names: BTreeMap::new(),
            trials: Vec::new(),
            root: Root::default(),
        }
    }

    /// How many records were applied.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.records
    }

    /// How many studies, trials, parameters, metrics and sessions the log has numbered so far, what was deleted too.
    #[must_use]
    pub fn numbered(&self) -> [u64; 5] {
        let metrics = self.metrics.names.len();
        let counts = [self.studies.len(), self.trials.len(), self.params.len, metrics, self.sessions.len()];
        counts.map(|count| count as u64)
    }

    /// The key of a session that the log has met.
    #[must_use]
    pub fn session_key(&self, id: &SessionId) -> Option<SessionKey> {
        self.session_keys.get(id).copied()
    }

    /// The id of a session.
    #[must_use]
    pub fn session_id(&self, key: SessionKey) -> Option<SessionId> {
        self.sessions.get(key.0 as usize).map(|session| session.id)
    }

    /// The key of a worker that the log has met.
    #[must_use]
    pub fn worker_key(&self, id: &WorkerId) -> Option<WorkerKey> {
        self.workers.key(id)
    }

    /// A worker.
    #[must_use]
    pub fn worker(&self, key: WorkerKey) -> Option<&Worker> {
        self.workers.get(key)
    }

    /// The workers that run trials and could be declared lost, by key.
    pub fn leased_workers(&self) -> impl Iterator<Item = (WorkerKey, &Worker)> {
        let known = self.workers.busy().filter_map(|(key, _)| Some((key, self.workers.get(key)?)));
        known.filter(|(_, worker)| worker.lease_ms > 0)
    }

    /// The running trials of a worker, by id.
    pub fn running_trials(&self, worker: WorkerKey) -> impl Iterator<Item = TrialId> {
        self.workers.running(worker)
    }

    /// Who runs a trial; none if it does not run, or was added as running.
    #[must_use]
    pub fn owner(&self, trial: TrialId) -> Option<WorkerKey> {
        self.workers.owner(trial)
    }

    /// True if the trial was declared lost and its end may still be told.
    #[must_use]
    pub fn is_lost(&self, trial: TrialId) -> bool {
        self.workers.is_lost(trial)
    }

    /// The key of a parameter that the log has met.
    #[must_use]
    pub fn param_key(&self, def: &ParamDef) -> Option<ParamKey> {
        self.param_keys.get(def).copied()
    }

    /// The parameter with this key.
    #[must_use]
    pub fn param(&self, key: ParamKey) -> Option<&Arc<ParamDef>> {
        self.params.get(key)
    }

    /// The key of a metric that the log has met.
    #[must_use]
    pub fn metric_key(&self, name: &str) -> Option<MetricKey> {
        self.metrics.key(name)
    }

    /// The name of the metric with this key.
    #[must_use]
    pub fn metric(&self, key: MetricKey) -> Option<&Arc<str>> {
        self.metrics.get(key)
    }

    /// What a study first drew a parameter from: later distributions of the name must be compatible with it.
    #[must_use]
    pub fn first_distribution(&self, study: StudyId, name: &str) -> Option<&Distribution> {
        Some(&self.study_ref(study).ok()?.trials.param(name)?.first.distribution)
    }

    /// True if the study has used the parameter.
    #[must_use]
    pub fn has_param(&self, study: StudyId, key: ParamKey) -> bool {
        self.study_ref(study).is_ok_and(|study| study.has_key(key))
    }

    /// Where a trial belongs.
    #[must_use]
    pub fn trial(&self, id: TrialId) -> Option<(StudyId, TrialNumber)> {
        self.trials.get(usize::try_from(id.0).ok()?).copied()
    }

    /// The living study of this name.
    #[must_use]
    pub fn study_id(&self, name: &str) -> Option<StudyId> {
        self.names.get(name).copied()
    }

    /// The living studies, in the order in which they were made.
    pub fn studies(&self) -> impl Iterator<Item = StudyView> + '_ {
        (0..self.studies.len() as u32).filter_map(|id| self.view(StudyId(id)))
    }

    /// A look at a living study as it is now.
    #[must_use]
    pub fn view(&self, id: StudyId) -> Option<StudyView> {
        let study = self.studies.get(id.0 as usize)?.as_ref()?;
        Some(StudyView::new(id, Arc::clone(study), Arc::clone(&self.params), self.root.0.clone(), self.records))
    }

    /// Applies the next record and appends each op's verdict to `verdicts`.
    pub fn apply(&mut self, record: &Record, verdicts: &mut Vec<Verdict>) {
        let position = self.records;
        self.records += 1;
        let author = match self.admit(record) {
            Ok(Some(author)) => Ok(author),
            Ok(None) => Err(Verdict::Repeated),
            Err(reason) => Err(Verdict::Rejected(reason)),
        };
        if let Ok(author) = author {
            self.workers.progress(author, position);
        }
        for op in &record.ops {
            verdicts.push(match &author {
                Ok(author) => self.apply_op(op, *author, position).unwrap_or_else(Verdict::Rejected),
                Err(verdict_for_all) => verdict_for_all.clone(),
            });
        }
    }

    /// The author of a new record; none if the record was applied before.
    fn admit(&mut self, record: &Record) -> Result<Option<WorkerKey>, Reason> {
        let known = match record.session {
            SessionRef::Key(key) => Some(key),
            SessionRef::Id(id) => self.session_key(&id),
        };
        let session = match (known, record.session) {
            (Some(key), _) => self.sessions.get_mut(key.0 as usize).ok_or(Reason::NoSession)?,
            (None, SessionRef::Id(id)) => {
                let key = u32::try_from(self.sessions.len()).map_err(|_| Reason::Full)?;
                let worker = self.workers.meet(id.worker())?;
                self.session_keys.insert(id, SessionKey(key));
                self.sessions.push(Session { id, counter: record.counter, worker });
                return Ok(Some(worker));
            }
            (None, SessionRef::Key(_)) => return Err(Reason::NoSession),
        };
        let new = record.counter > session.counter;
        session.counter = session.counter.max(record.counter);
        Ok(new.then_some(session.worker))
    }

    fn apply_op(&mut self, op: &Op, author: WorkerKey, record: u64) -> Result<Verdict, Reason> {
        match op {
            Op::CreateStudy { name, directions, config } => {
                if let Some(study) = self.study_id(name) {
                    return Err(Reason::StudyExists { study });
                }
                if directions.is_empty() {
                    return Err(Reason::BadStudy);
                }
                let id = StudyId(u32::try_from(self.studies.len()).map_err(|_| Reason::Full)?);
                let study = Study::new(name, directions, config.as_deref());
                self.names.insert(Arc::clone(&study.name), id);
                self.studies.push(Some(Arc::new(study)));
                return Ok(Verdict::Study(id));
            }
            Op::DeleteStudy { study: id } => {
                let study = self.study_ref(*id)?;
                let (name, trials) = (Arc::clone(&study.name), study.trials.clone());
                self.names.remove(&name);
                (0..trials.len).for_each(|number| self.workers.forget(trials.id(number)));
                self.studies[id.0 as usize] = None;
            }
            Op::SetStudyUserAttr { study, key, value } => {
                let attrs = &mut self.study_mut(*study)?.user_attrs;
                Arc::make_mut(attrs).insert(Arc::from(key.as_str()), value.clone());
            }
            Op::SetStudySystemAttr { study, key, value } => {
                let attrs = &mut self.study_mut(*study)?.system_attrs;
                Arc::make_mut(attrs).insert(Arc::from(key.as_str()), value.clone());
            }
            Op::SetMetricNames { study, names } => {
                if names.len() != self.study_ref(*study)?.directions.len() {
                    return Err(Reason::BadStudy);
                }
                self.study_mut(*study)?.metric_names = Some(Arc::from(names.as_slice()));
            }
            Op::SetStudyConfig { study, config } => {
                self.study_mut(*study)?.config = Some(Arc::new((**config).clone()));
            }
            Op::CreateTrial { study, start } => {
                let (id, number) = self.next_trial(*study)?;
                self.check_budget(*study, *start)?;
                self.study_mut(*study)?.push(id, TrialState::Running, Some(*start));
                self.trials.push((*study, number));
                self.workers.begin(id, author);
                return Ok(Verdict::Trial { id, number });
            }
            Op::AddTrial { study, template } => return self.add_trial(*study, template),
            Op::ClaimTrial { trial, start } => {
                let (study, number) = self.open_trial(*trial)?;
                if study.trials.state(number.index()) != TrialState::Waiting {
                    return Err(Reason::NotWaiting { number });
                }
                let (id, _) = self.trial(*trial).ok_or(Reason::NoTrial { trial: *trial })?;
                self.check_budget(id, *start)?;
                let (study, number) = self.open_trial_mut(*trial)?;
                study.claim(number, *start);
                self.workers.begin(*trial, author);
            }
            Op::RequeueTrial { trial } => {
                let (study, number) = self.open_trial(*trial)?;
                if study.trials.state(number.index()) != TrialState::Running {
                    return Err(Reason::NotRunning { number });
                }
                let (study, number) = self.open_trial_mut(*trial)?;
                study.requeue(number);
                self.workers.end(*trial);
            }
            Op::SetParams { trial, params } => return self.set_params(*trial, params),
            Op::RetractParams { trial, params } => {
                self.open_trial(*trial)?;
                if params.iter().any(|key| self.params.get(*key).is_none()) {
                    return Err(Reason::NoParam);
                }
                let (study, number) = self.open_trial_mut(*trial)?;
                for key in params {
                    study.retract_param(number, *key);
                }
                self.begin_anew_if_lost(*trial);
            }
            Op::Report { trial, step, value } => {
                self.open_trial(*trial)?;
                if *step > STEP_MAX {
                    return Err(Reason::BadTemplate { detail: "a step is too large" });
                }
                let (study, number) = self.open_trial_mut(*trial)?;
                study.report(number, *step, *value);
            }
            Op::ReportMetrics { trial, step, values } => self.report_metrics(*trial, *step, values)?,
            Op::FinishTrial { trial, state, values, end } => {
                let (study, _) = self.open_trial(*trial)?;
                study::check_values((*state).into(), values, study.directions.len())?;
                if self.workers.is_lost(*trial) {
                    return self.finish_lost(*trial, *state, values, *end);
                }
                let (study, number) = self.open_trial_mut(*trial)?;
                study.finish(number, *state, values, Some(*end));
                self.workers.end(*trial);
            }
            Op::SetTrialUserAttr { trial, key, value } => {
                let (study, number) = self.open_trial_mut(*trial)?;
                let attrs = &mut study.trials.extras_mut(number).user_attrs;
                Arc::make_mut(attrs).insert(Arc::from(key.as_str()), value.clone());
            }
            Op::SetTrialSystemAttr { trial, key, value } => {
                let (study, number) = self.open_trial_mut(*trial)?;
                study.trials.extras_mut(number).system_attrs.insert(Arc::from(key.as_str()), value.clone());
            }
            Op::SetConstraint { trial, name, value } => {
                let (study, number) = self.open_trial(*trial)?;
                if value.is_nan() {
                    return Err(Reason::Nan);
                }
                let extras = study.trials.extras(number.index());
                if extras.is_some_and(|extras| extras.constraints.contains_key(name.as_str())) {
                    return Err(Reason::ConstraintSet { name: name.clone() });
                }
                let (study, number) = self.open_trial_mut(*trial)?;
                study.trials.extras_mut(number).constraints.insert(Arc::from(name.as_str()), *value);
            }
            Op::SetBudget { study, budget } => self.study_mut(*study)?.budget = *budget,
            Op::SetRetryPolicy { study, policy } => {
                self.study_ref(*study)?;
                if policy.retries_max > RETRIES_MAX {
                    return Err(Reason::TooManyRetries { max: RETRIES_MAX });
                }
                self.study_mut(*study)?.retry_policy = *policy;
            }
            Op::RenewLease { lease_ms } => self.workers.renew(author, *lease_ms),
            Op::DeclareLost { worker, seen, end } => return self.declare_lost(*worker, *seen, *end),
            Op::VoidTrial { trial, note } => {
                let change = Change { what: ChangeKind::Voided, note: (**note).clone(), worker: author, record };
                self.change_finished(*trial, change)?;
            }
            Op::UnvoidTrial { trial, note } => {
                let change = Change { what: ChangeKind::Unvoided, note: (**note).clone(), worker: author, record };
                self.change_finished(*trial, change)?;
            }
            Op::AmendTrial { trial, amendment, note } => {
                let what = ChangeKind::Amended((**amendment).clone());
                self.change_finished(*trial, Change { what, note: (**note).clone(), worker: author, record })?;
            }
            Op::UndoAmendment { trial, change, note } => {
                let what = ChangeKind::Undone(*change);
                self.change_finished(*trial, Change { what, note: (**note).clone(), worker: author, record })?;
            }
            Op::SampledAt { .. } => {}
            Op::Skipped { .. } => return Ok(Verdict::Skipped),
        }
        Ok(Verdict::Applied)
    }

    /// Withdraws or amends a finished trial, or takes that back.
    fn change_finished(&mut self, trial: TrialId, change: Change) -> Result<(), Reason> {
        let (study_id, number) = self.trial(trial).ok_or(Reason::NoTrial { trial })?;
        let study = self.study_ref(study_id)?;
        let state = study.trials.state(number.index());
        if !state.is_finished() {
            return Err(Reason::NotFinished { number, state });
        }
        study.trials.audit_or_new(number.index()).check(&change.what, number, study.directions.len())?;
        let study = self.study_mut(study_id)?;
        match change.what {
            ChangeKind::Voided | ChangeKind::Unvoided => study.set_voided(number.index(), change),
            ChangeKind::Amended(_) | ChangeKind::Undone(_) => study.amend(number.index(), change),
        }
        // Somebody has decided how this trial ended; its lost worker has no say any longer.
        self.workers.settle(trial);
        // Whoever keeps work on finished trials must begin anew.
        self.root = Root::default();
        Ok(())
    }

    fn check_budget(&self, study: StudyId, start: Timestamp) -> Result<(), Reason> {
        self.study_ref(study)?.admits(start).refusal(study).map_or(Ok(()), Err)
    }

    /// Fails the running trials of a worker, and enqueues another attempt at each where the study wants that.
    fn declare_lost(&mut self, worker: WorkerKey, seen: u64, end: Timestamp) -> Result<Verdict, Reason> {
        let (mut trials, mut retries) = (0, 0);
        for trial in self.workers.declare_lost(worker, seen)? {
            // What has an owner runs, in a living study.
            let (study_id, number) = self.trial(trial).ok_or(Reason::NoTrial { trial })?;
            let next = self.next_trial(study_id).ok();
            let before: Vec<TrialId> = match self.workers.attempts_with(trial) {
                [] => vec![trial],
                attempts => attempts.to_vec(),
            };
            let history = before.iter().filter_map(|id| self.trial(*id)).map(|(_, number)| number.0);
            let history: Vec<u32> = history.collect();
            let study = self.study_mut(study_id)?;
            let wanted = history.len() <= study.retry_policy.retries_max as usize;
            study.finish(number.index(), FinalState::Fail, &[], Some(end));
            let retry = next.filter(|_| wanted);
            if let Some((id, _)) = retry {
                study.push_retry(id, number.index(), &history);
            }
            let attrs = &mut study.trials.extras_mut(number.index()).system_attrs;
            attrs.insert(Arc::from(LOST), true.into());
            if let Some((id, next)) = retry {
                attrs.insert(Arc::from(RETRIED_BY), i64::from(next.0).into());
                self.trials.push((study_id, next));
                self.workers.retry(trial, id);
                retries += 1;
            }
            self.workers.lose(trial);
            trials += 1;
        }
        Ok(Verdict::Lost { trials, retries })
    }

    /// The end of a lost trial: it counts if nobody has begun another attempt at it or finished one, and if the
    /// budget still has the place that the loss gave back. Otherwise it is kept beside the trial.
    fn finish_lost(
        &mut self,
        trial: TrialId,
        state: FinalState,
        values: &[f64],
        end: Timestamp,
    ) -> Result<Verdict, Reason> {
        let (study_id, number) = self.trial(trial).ok_or(Reason::NoTrial { trial })?;
        let attempts = self.workers.attempts_with(trial).to_vec();
        let attempts: Vec<usize> =
            attempts.into_iter().filter_map(|id| self.trial(id)).map(|(_, number)| number.index()).collect();
        self.workers.settle(trial);
        let study = self.study_mut(study_id)?;
        let states = || attempts.iter().map(|&attempt| study.trials.state(attempt));
        let mut others = states().filter(|state| !matches!(state, TrialState::Fail | TrialState::Waiting));
        let counts = state != FinalState::Fail && others.next().is_none() && study.has_place();
        if !counts {
            let late = Late::to_json(state, values, end);
            study.trials.extras_mut(number.index()).system_attrs.insert(Arc::from(LATE), late);
            return Ok(Verdict::Late { number });
        }
        for attempt in attempts {
            if study.trials.state(attempt) == TrialState::Waiting {
                study.finish(attempt, FinalState::Fail, &[], Some(end));
                study.trials.extras_mut(attempt).system_attrs.insert(Arc::from(WITHDRAWN), true.into());
            }
        }
        study.finish(number.index(), state, values, Some(end));
        // Whoever keeps work on finished trials must not take this one for failed any longer.
        self.root = Root::default();
        Ok(Verdict::Applied)
    }

    fn add_trial(&mut self, study: StudyId, template: &TrialTemplate) -> Result<Verdict, Reason> {
        let (id, number) = self.next_trial(study)?;
        study::check_template(template, self.study_ref(study)?.directions.len())?;
        self.check_params(study, &template.params)?;
        self.metrics.check(template.metrics.iter().map(|series| &series.metric))?;
        let mut params = Vec::with_capacity(template.params.len());
        for param in &template.params {
            let (key, def) = self.define(&param.param)?;
            params.push((key, def, param.value));
        }
        let mut metrics = Vec::with_capacity(template.metrics.len());
        for series in &template.metrics {
            metrics.push(self.metrics.define(&series.metric)?);
        }
        self.study_mut(study)?.push_template(id, template, &params, &metrics);
        self.trials.push((study, number));
        Ok(Verdict::Trial { id, number })
    }

    fn report_metrics(&mut self, trial: TrialId, step: u64, values: &[MetricValue]) -> Result<(), Reason> {
        self.open_trial(trial)?;
        if step > STEP_MAX {
            return Err(Reason::BadTemplate { detail: "a step is too large" });
        }
        if values.is_empty() {
            return Err(Reason::BadMetrics { detail: "there are none" });
        }
        self.metrics.check(values.iter().map(|value| &value.metric))?;
        let (study, number) = self.trial(trial).ok_or(Reason::NoTrial { trial })?;
        for MetricValue { metric, value } in values {
            let (key, name) = self.metrics.define(metric)?;
            let metrics = &mut self.study_mut(study)?.metrics;
            let slot = metrics.meet(key, &name);
            metrics.report(number.index(), slot, step, *value);
        }
        Ok(())
    }

    fn set_params(&mut self, trial: TrialId, params: &[Param]) -> Result<Verdict, Reason> {
        self.open_trial(trial)?;
        let (study_id, number) = self.trial(trial).ok_or(Reason::NoTrial { trial })?;
        self.check_params(study_id, params)?;
        for param in params {
            let (key, def) = self.define(&param.param)?;
            self.study_mut(study_id)?.set_param(number.index(), key, &def, param.value);
        }
        self.begin_anew_if_lost(trial);
        Ok(Verdict::Applied)
    }

    /// Begins a new lineage if the trial has ended: samplers that enumerate a space keep what finished trials had, failed ones
    /// too, and a lost one may have something else from now on.
    fn begin_anew_if_lost(&mut self, trial: TrialId) {
        if self.workers.is_lost(trial) {
            self.root = Root::default();
        }
    }

    /// An op's parameters are all set or none: everything that could be wrong with them is found here.
    fn check_params(&self, study: StudyId, params: &[Param]) -> Result<(), Reason> {
        let study = self.study_ref(study)?;
        // Definitions that this very op would be the first to use, by name.
        let mut first: BTreeMap<&str, &ParamDef> = BTreeMap::new();
        for param in params {
            let def = self.resolve(&param.param)?;
            if !study::is_value(&def.distribution, param.value) {
                return Err(Reason::BadParam { name: def.name.clone() });
            }
            if matches!(param.param, ParamRef::Key(key) if study.has_key(key)) {
                continue;
            }
            let fits_op = first.entry(&def.name).or_insert(def).distribution.is_compatible(&def.distribution);
            if !fits_op || !study.is_compatible(def) {
                return Err(Reason::Incompatible { name: def.name.clone() });
            }
        }
        // Room for the definitions that the op may add.
        let most = self.params.len + params.len();
        if u32::try_from(most).is_ok_and(|most| most < u32::MAX) { Ok(()) } else { Err(Reason::Full) }
    }

    fn resolve<'a>(&'a self, param: &'a ParamRef) -> Result<&'a ParamDef, Reason> {
        match param {
            ParamRef::Key(key) => self.params.get(*key).map(AsRef::as_ref).ok_or(Reason::NoParam),
            ParamRef::Def(def) => Ok(def),
        }
    }

    /// The key and definition of a parameter, which becomes known if it was not.
    fn define(&mut self, param: &ParamRef) -> Result<(ParamKey, Arc<ParamDef>), Reason> {
        let def = match param {
            ParamRef::Key(key) => return Ok((*key, Arc::clone(self.params.get(*key).ok_or(Reason::NoParam)?))),
            ParamRef::Def(def) => def,
        };
        if let Some((known, key)) = self.param_keys.get_key_value(&**def) {
            return Ok((*key, Arc::clone(known)));
        }
        let def = Arc::new((**def).clone());
        let key = ParamKey(u32::try_from(self.params.len).map_err(|_| Reason::Full)?);
        Arc::make_mut(&mut self.params).push(Arc::clone(&def));
        self.param_keys.insert(Arc::clone(&def), key);
        Ok((key, def))
    }

    fn next_trial(&self, study: StudyId) -> Result<(TrialId, TrialNumber), Reason> {
        let number = u32::try_from(self.study_ref(study)?.trials.len).map_err(|_| Reason::Full)?;
        Ok((TrialId(self.trials.len() as u64), TrialNumber(number)))
    }

    fn study_ref(&self, id: StudyId) -> Result<&Study, Reason> {
        match self.studies.get(id.0 as usize) {
            Some(Some(study)) => Ok(study),
            Some(None) => Err(Reason::StudyDeleted { study: id }),
            None => Err(Reason::NoStudy { study: id }),
        }
    }

    fn study_mut(&mut self, id: StudyId) -> Result<&mut Study, Reason> {
        match self.studies.get_mut(id.0 as usize) {
            Some(Some(study)) => Ok(Arc::make_mut(study)),
            Some(None) => Err(Reason::StudyDeleted { study: id }),
            None => Err(Reason::NoStudy { study: id }),
        }
    }

    /// A trial that is not finished, or was lost and may come back, as its study and number.
    fn open_trial(&self, trial: TrialId) -> Result<(&Study, TrialNumber), Reason> {
        let (id, number) = self.trial(trial).ok_or(Reason::NoTrial { trial })?;
        let study = self.study_ref(id)?;
        let state = study.trials.state(number.index());
        if state.is_finished() && !self.workers.is_lost(trial) {
            return Err(Reason::Finished { number, state });
        }
        Ok((study, number))
    }

    /// The same to be changed. While somebody holds a view of the study this copies it, so look before.
    fn open_trial_mut(&mut self, trial: TrialId) -> Result<(&mut Study, usize), Reason> {
        self.open_trial(trial)?;
        let (id, number) = self.trial(trial).ok_or(Reason::NoTrial { trial })?;
        Ok((self.study_mut(id)?, number.index()))
    }
}
