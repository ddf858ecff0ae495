//! What the log decided about an op.

use std::fmt;

use trialog_ops::{StudyId, TrialId, TrialNumber, TrialState, WorkerKey};

/// What became of an op at its place in the log: the same for everybody who reads it.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// It took effect.
    Applied,
    /// It took effect and made a study.
    Study(StudyId),
    /// It took effect and made a trial.
    Trial {
        /// Its id in the log.
        id: TrialId,
        /// Its number in its study.
        number: TrialNumber,
    },
    /// It took effect and failed the running trials of a lost worker.
    Lost {
        /// How many there were.
        trials: u32,
        /// How many of them are waiting to be tried again.
        retries: u32,
    },
    /// The end of a lost trial came too late to count. It is kept on the trial, which stays failed.
    Late {
        /// Its number.
        number: TrialNumber,
    },
    /// It changed nothing.
    Rejected(Reason),
    /// Its record had been applied before; this is a repetition that changed nothing.
    Repeated,
    /// It is of a kind that this version does not know and may pass over.
    Skipped,
}

impl Verdict {
    /// The reason, if the op was rejected.
    #[must_use]
    pub fn rejection(&self) -> Option<&Reason> {
        match self {
            Verdict::Rejected(reason) => Some(reason),
            _ => None,
        }
    }
}

/// Why an op changed nothing.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Reason {
    /// A living study has the name.
    StudyExists {
        /// Which one.
        study: StudyId,
    },
    /// No study with this id was ever made.
    NoStudy {
        /// The id.
        study: StudyId,
    },
    /// The study was deleted.
    StudyDeleted {
        /// The id.
        study: StudyId,
    },
    /// No trial with this id was ever made.
    NoTrial {
        /// The id.
        trial: TrialId,
    },
    /// The trial is finished, and finished trials do not change.
    Finished {
        /// Its number.
        number: TrialNumber,
        /// How it ended.
        state: TrialState,
    },
    /// Only a waiting trial can be claimed; this one was claimed before.
    NotWaiting {
        /// Its number.
        number: TrialNumber,
    },
    /// Only a running trial can go back into the queue.
    NotRunning {
        /// Its number.
        number: TrialNumber,
    },
    /// The study knows the parameter with a distribution of another kind, scale or other choices.
    Incompatible {
        /// The parameter.
        name: String,
    },
    /// A parameter's value is NaN, or no index of its choices.
    BadParam {
        /// The parameter.
        name: String,
    },
    /// The parameter's key was never defined.
    NoParam,
    /// A metric's key was never defined.
    NoMetric,
    /// There are no metrics, or one is there twice, or has no proper name.
    BadMetrics {
        /// What is wrong.
        detail: &'static str,
    },
    /// The session's key was never defined.
    NoSession,
    /// A trial needs a value for each objective.
    ValueCount {
        /// As many as there are objectives.
        expected: usize,
        /// As many as were given.
        found: usize,
    },
    /// The constraint has a value already, and the first one stays.
    ConstraintSet {
        /// The constraint.
        name: String,
    },
    /// A final value or a constraint is NaN.
    Nan,
    /// A study needs at least one objective and one name for each.
    BadStudy,
    /// A template contradicts itself.
    BadTemplate {
        /// How.
        detail: &'static str,
    },
    /// The study's budget admits no further trial.
    BudgetSpent {
        /// The study.
        study: StudyId,
        /// Whether all that is missing is held by trials that run, and comes free if they fail.
        reserved: bool,
    },
    /// A trial can be tried again only so often.
    TooManyRetries {
        /// How often at most.
        max: u32,
    },
    /// No worker with this key ever wrote to the log.
    NoWorker {
        /// The key.
        worker: WorkerKey,
    },
    /// The worker never took a lease, and so cannot be lost.
    NoLease {
        /// Its key.
        worker: WorkerKey,
    },
    /// The worker has appended something since.
    Progress {
        /// Its key.
        worker: WorkerKey,
        /// The position of its last record.
        last: u64,
    },
    /// The worker has no running trials that could be lost.
    Idle {
        /// Its key.
        worker: WorkerKey,
    },
    /// Only a finished trial can be withdrawn or amended.
    NotFinished {
        /// Its number.
        number: TrialNumber,
        /// Where it stands.
        state: TrialState,
    },
    /// The trial is withdrawn.
    Voided {
        /// Its number.
        number: TrialNumber,
    },
    /// The trial is not withdrawn.
    NotVoided {
        /// Its number.
        number: TrialNumber,
    },
    /// An amendment changes nothing.
    NoChange,
    /// The trial has no amendment at this place, or it was taken back already.
    NotInForce {
        /// Its number.
        number: TrialNumber,
        /// The place among the trial's changes.
        change: u32,
    },
    /// The trial was changed so often that it cannot be changed again.
    TooManyChanges {
        /// How often at most.
        max: usize,
    },
    /// The log holds as many of these as it can number.
    Full,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::StudyExists { study } => write!(f, "a study of this name exists already (study {study})"),
            Reason::NoStudy { study } => write!(f, "there is no study {study}"),
            Reason::StudyDeleted { study } => write!(f, "study {study} was deleted"),
            Reason::NoTrial { trial } => write!(f, "there is no trial with id {trial}"),
            Reason::Finished { number, state } => {
                write!(f, "trial {number} is finished ({state}) and cannot change")
            }
            Reason::NotWaiting { number } => write!(f, "trial {number} is not waiting: it was claimed before"),
            Reason::NotRunning { number } => write!(f, "trial {number} is not running"),
            Reason::Incompatible { name } => write!(
                f,
                "the study knows parameter {name:?} with another kind of distribution, scale or other choices; \
                 use another name for a different parameter"
            ),
            Reason::BadParam { name } => write!(f, "the value of parameter {name:?} is NaN or no choice"),
            Reason::NoParam => f.write_str("the op names a parameter that the log never defined"),
            Reason::NoMetric => f.write_str("the op names a metric that the log never defined"),
            Reason::BadMetrics { detail } => write!(f, "these metrics cannot be reported: {detail}"),
            Reason::NoSession => f.write_str("the record names a session that the log never defined"),
            Reason::ValueCount { expected, found } => {
                write!(f, "the study has {expected} objective(s), and {found} value(s) were given")
            }
            Reason::ConstraintSet { name } => write!(f, "constraint {name:?} has a value already"),
            Reason::Nan => f.write_str("the value is NaN"),
            Reason::BadStudy => f.write_str("a study needs at least one objective, and one metric name for each"),
            Reason::BadTemplate { detail } => write!(f, "the trial contradicts itself: {detail}"),
            Reason::BudgetSpent { study, reserved: false } => write!(f, "the budget of study {study} is spent"),
            Reason::BudgetSpent { study, reserved: true } => {
                write!(f, "what is left of the budget of study {study} is held by trials that run")
            }
            Reason::TooManyRetries { max } => write!(f, "a trial can be tried again {max} times at most"),
            Reason::NoWorker { worker } => write!(f, "there is no worker {worker}"),
            Reason::NoLease { worker } => {
                write!(f, "worker {worker} took no lease, so nobody can say that it is lost")
            }
            Reason::Progress { worker, last } => {
                write!(f, "worker {worker} is not lost: it appended record {last} since")
            }
            Reason::Idle { worker } => write!(f, "worker {worker} runs no trials"),
            Reason::NotFinished { number, state } => write!(f, "trial {number} is {state}, not finished"),
            Reason::Voided { number } => write!(f, "trial {number} is withdrawn"),
            Reason::NotVoided { number } => write!(f, "trial {number} is not withdrawn"),
            Reason::NoChange => f.write_str("the amendment changes nothing"),
            Reason::NotInForce { number, change } => {
                write!(f, "change {change} of trial {number} is no amendment, or was taken back already")
            }
            Reason::TooManyChanges { max } => write!(f, "a finished trial can be changed {max} times at most"),
            Reason::Full => f.write_str("the log can number no more of these"),
        }
    }
}
