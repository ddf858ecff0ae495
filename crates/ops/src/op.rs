//! What can happen to a study, and the record that carries it.

use crate::{
    Budget, Direction, Distribution, FinalState, Json, MetricKey, ParamKey, RetryPolicy, SessionId, SessionKey,
    StudyConfig, StudyId, Timestamp, TrialId, TrialState, WorkerKey,
};

/// One thing that happens. The closed list; replay decides in log order whether it takes effect.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// A study begins. Rejected if a living study has the name.
    CreateStudy {
        /// Unique among the log's living studies.
        name: String,
        /// One per objective, at least one.
        directions: Vec<Direction>,
        /// How the study wants to be run.
        config: Option<Box<StudyConfig>>,
    },
    /// A study and its trials go away. Its ids are never used again.
    DeleteStudy {
        /// Which one.
        study: StudyId,
    },
    /// A user's attribute of a study; a later one replaces it.
    SetStudyUserAttr {
        /// Whose.
        study: StudyId,
        /// Its key.
        key: String,
        /// Its value.
        value: Json,
    },
    /// An attribute that tools keep on a study; a later one replaces it.
    SetStudySystemAttr {
        /// Whose.
        study: StudyId,
        /// Its key.
        key: String,
        /// Its value.
        value: Json,
    },
    /// Names for the objectives.
    SetMetricNames {
        /// Whose.
        study: StudyId,
        /// One per objective.
        names: Vec<String>,
    },
    /// The study's sampler, pruner and seed from here on.
    SetStudyConfig {
        /// Whose.
        study: StudyId,
        /// The new configuration, whole.
        config: Box<StudyConfig>,
    },
    /// A running trial begins, owned by the record's author. Rejected if the study's budget is spent.
    CreateTrial {
        /// Where.
        study: StudyId,
        /// When its author began it.
        start: Timestamp,
    },
    /// A trial in any state: enqueued, imported or copied.
    AddTrial {
        /// Where.
        study: StudyId,
        /// All of it.
        template: Box<TrialTemplate>,
    },
    /// A waiting trial begins to run, owned by the record's author; the first claim in log order wins. Rejected if
    /// the study's budget is spent.
    ClaimTrial {
        /// Which one.
        trial: TrialId,
        /// When its author began it.
        start: Timestamp,
    },
    /// A running trial goes back into the queue.
    RequeueTrial {
        /// Which one.
        trial: TrialId,
    },
    /// Values of parameters, in one go; a later one replaces an earlier one.
    SetParams {
        /// Whose.
        trial: TrialId,
        /// The parameters.
        params: Vec<Param>,
    },
    /// Parameters that were proposed for a trial and that it never asked for.
    RetractParams {
        /// Whose.
        trial: TrialId,
        /// Which ones.
        params: Vec<ParamKey>,
    },
    /// An intermediate value; a later one for the step replaces it. NaN is allowed.
    Report {
        /// Whose.
        trial: TrialId,
        /// How far the evaluation has come, such as an epoch.
        step: u64,
        /// The value.
        value: f64,
    },
    /// Intermediate values of several named metrics at one step, all of them or none; a later one for a metric and
    /// step replaces it. NaN is allowed. They stand beside what [`Op::Report`] says, which has no name.
    ReportMetrics {
        /// Whose.
        trial: TrialId,
        /// How far the evaluation has come, such as an epoch.
        step: u64,
        /// At least one, and none twice.
        values: Vec<MetricValue>,
    },
    /// A trial ends. Nothing can happen to it afterwards. One that was declared lost may still end this way, once;
    /// then the log decides whether that counts or is only kept.
    FinishTrial {
        /// Which one.
        trial: TrialId,
        /// How.
        state: FinalState,
        /// One per objective when complete, one per objective or none otherwise; never NaN.
        values: Vec<f64>,
        /// When.
        end: Timestamp,
    },
    /// A user's attribute of a trial.
    SetTrialUserAttr {
        /// Whose.
        trial: TrialId,
        /// Its key.
        key: String,
        /// Its value.
        value: Json,
    },
    /// An attribute that tools keep on a trial.
    SetTrialSystemAttr {
        /// Whose.
        trial: TrialId,
        /// Its key.
        key: String,
        /// Its value.
        value: Json,
    },
    /// A named constraint of a trial; it is met when the value is at most 0. Never NaN; the first value stays.
    SetConstraint {
        /// Whose.
        trial: TrialId,
        /// The constraint's name.
        name: String,
        /// By how much it is violated; 0 or less when it is met.
        value: f64,
    },
    /// How much of the study there is to be from here on; it replaces what was said before.
    SetBudget {
        /// Whose.
        study: StudyId,
        /// All limits.
        budget: Budget,
    },
    /// What becomes of lost trials from here on.
    SetRetryPolicy {
        /// Whose.
        study: StudyId,
        /// The policy.
        policy: RetryPolicy,
    },
    /// The record's author means to append something at least so often while it has running trials. Whoever sees it
    /// append nothing for longer may declare it lost. 0 takes the promise back.
    RenewLease {
        /// How long, in milliseconds.
        lease_ms: u64,
    },
    /// A worker has made no progress for longer than its lease, by its observer's own clock: its running trials fail.
    /// Rejected if the worker has appended anything since.
    DeclareLost {
        /// Which one.
        worker: WorkerKey,
        /// The worker's last record that the observer knows, by its position in the log from 0.
        seen: u64,
        /// When the trials ended for everybody else.
        end: Timestamp,
    },
    /// A finished trial is withdrawn: to everybody it is a failed one from here on, and it stays where it is to be looked
    /// at. Rejected if it is withdrawn already.
    VoidTrial {
        /// Which one.
        trial: TrialId,
        /// By whom, when and why.
        note: Box<Note>,
    },
    /// A withdrawn trial counts again. Rejected if it is not withdrawn.
    UnvoidTrial {
        /// Which one.
        trial: TrialId,
        /// By whom, when and why.
        note: Box<Note>,
    },
    /// What a finished trial says is corrected; what it said before is kept beside it.
    AmendTrial {
        /// Which one.
        trial: TrialId,
        /// What is right.
        amendment: Box<Amendment>,
        /// By whom, when and why.
        note: Box<Note>,
    },
    /// An amendment is taken back: the trial says what it would say without it. Rejected if it was taken back already.
    UndoAmendment {
        /// Whose.
        trial: TrialId,
        /// Which one, by its place among all changes of the trial, from 0.
        change: u32,
        /// By whom, when and why.
        note: Box<Note>,
    },
    /// At which position of the log the parameters in the same record were sampled, where that is not just behind their
    /// author's last record about the trial. Changes nothing: it is there so that every suggestion can be derived again.
    SampledAt {
        /// How many of the log's records the sampler saw.
        position: u64,
    },
    /// An op of a later version that readers of this one may skip.
    Skipped {
        /// Its code.
        code: u8,
    },
}

/// A trial as a whole: what [`Op::AddTrial`] brings.
#[derive(Clone, Debug, PartialEq)]
pub struct TrialTemplate {
    /// The state it arrives in.
    pub state: TrialState,
    /// One per objective when complete; never NaN.
    pub values: Vec<f64>,
    /// When it began, if it did.
    pub start: Option<Timestamp>,
    /// When it ended, exactly if it is finished.
    pub end: Option<Timestamp>,
    /// Its parameters.
    pub params: Vec<Param>,
    /// Its intermediate values, by rising step.
    pub reports: Vec<(u64, f64)>,
    /// Its intermediate values of named metrics, each metric once.
    pub metrics: Vec<MetricSeries>,
    /// Its user attributes.
    pub user_attrs: Vec<(String, Json)>,
    /// Its system attributes.
    pub system_attrs: Vec<(String, Json)>,
    /// Its constraints.
    pub constraints: Vec<(String, f64)>,
}

impl TrialTemplate {
    /// A template in this state with nothing in it.
    #[must_use]
    pub fn new(state: TrialState) -> TrialTemplate {
        TrialTemplate {
            state,
            values: Vec::new(),
            start: None,
            end: None,
            params: Vec::new(),
            reports: Vec::new(),
            metrics: Vec::new(),
            user_attrs: Vec::new(),
            system_attrs: Vec::new(),
            constraints: Vec::new(),
        }
    }
}

/// What is said of a change to a finished trial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Who decided it, as they call themselves; the log knows the worker in any case.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// Why.
    pub reason: String,
}

/// Corrections of a finished trial. What is not in it stays as it is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Amendment {
    /// How it ended.
    pub state: Option<FinalState>,
    /// Its values: one per objective when complete, one per objective or none otherwise; never NaN.
    pub values: Option<Vec<f64>>,
    /// User attributes by key; those without a value go away.
    pub user_attrs: Vec<(String, Option<Json>)>,
    /// Constraints by name, never NaN; those without a value go away.
    pub constraints: Vec<(String, Option<f64>)>,
}

impl Amendment {
    /// True if it would change nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Amendment::default()
    }
}

impl TrialTemplate {
    /// Corrects what the amendment names.
    pub fn amend(&mut self, amendment: &Amendment) {
        self.state = amendment.state.map_or(self.state, Into::into);
        if let Some(values) = &amendment.values {
            self.values.clone_from(values);
        }
        for (key, value) in &amendment.user_attrs {
            self.user_attrs.retain(|(other, _)| other != key);
            self.user_attrs.extend(value.iter().map(|value| (key.clone(), value.clone())));
        }
        for (name, value) in &amendment.constraints {
            self.constraints.retain(|(other, _)| other != name);
            self.constraints.extend(value.iter().map(|value| (name.clone(), *value)));
        }
    }
}

/// A parameter's value in its internal form: the number itself, or the index of a categorical choice.
#[derive(Clone, Debug, PartialEq)]
pub struct Param {
    /// Which parameter.
    pub param: ParamRef,
    /// Its value, inside the distribution's range or not, never NaN.
    pub value: f64,
}

/// A parameter by key, or in full where its writer did not know a key for it.
///
/// Replay gives a definition that it sees for the first time the next key, so that name and distribution are
/// written once per log.
#[derive(Clone, Debug, PartialEq)]
pub enum ParamRef {
    /// Seen before.
    Key(ParamKey),
    /// In full.
    Def(Box<ParamDef>),
}

/// A parameter's name and distribution.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ParamDef {
    /// The name it is suggested under.
    pub name: String,
    /// What it is drawn from.
    pub distribution: Distribution,
}

/// The longest name of a metric, in bytes. The shortest has one.
pub const METRIC_NAME_BYTES_MAX: usize = 250;

/// A metric by key, or by its name where its writer did not know a key for it.
///
/// Replay gives a name that it sees for the first time the next key, so that a name is written once per log, however
/// often it is reported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MetricRef {
    /// Seen before.
    Key(MetricKey),
    /// In full: 1 to [`METRIC_NAME_BYTES_MAX`] bytes.
    Name(String),
}

/// What was reported of one metric.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricValue {
    /// Which metric.
    pub metric: MetricRef,
    /// Its value, NaN included.
    pub value: f64,
}

/// All that a trial reported of one metric.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricSeries {
    /// Which metric.
    pub metric: MetricRef,
    /// Its values by rising step, at least one.
    pub reports: Vec<(u64, f64)>,
}

/// One writer's batch of ops. Readers see all of it or nothing, and replay applies it once.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// Who wrote it.
    pub session: SessionRef,
    /// Rises with every record of the session; a repeated one is recognised by it and not applied again.
    pub counter: u64,
    /// What happens, in order.
    pub ops: Vec<Op>,
}

/// A session by key, or by its id where its writer did not know the key yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionRef {
    /// Seen before.
    Key(SessionKey),
    /// In full; replay gives a new one the next key.
    Id(SessionId),
}
