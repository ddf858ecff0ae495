//! What the log decided about an op.

use std::fmt;

use trialog_ops::{StudyId, TrialId, TrialNumber, TrialState};

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
            Reason::NoSession => f.write_str("the record names a session that the log never defined"),
            Reason::ValueCount { expected, found } => {
                write!(f, "the study has {expected} objective(s), and {found} value(s) were given")
            }
            Reason::ConstraintSet { name } => write!(f, "constraint {name:?} has a value already"),
            Reason::Nan => f.write_str("the value is NaN"),
            Reason::BadStudy => f.write_str("a study needs at least one objective, and one metric name for each"),
            Reason::BadTemplate { detail } => write!(f, "the trial contradicts itself: {detail}"),
            Reason::Full => f.write_str("the log can number no more of these"),
        }
    }
}
