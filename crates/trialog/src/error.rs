//! The one error of the facade: opaque, with a question for each thing that a caller would handle differently.

use std::fmt;

use trialog_ops::{DistributionError, TrialNumber};
use trialog_replay::Reason;

use crate::table::TableError;

/// How many of a log's studies are named where one is missing.
const KNOWN_MAX: usize = 20;

/// What the facade's functions return.
pub type Result<T> = std::result::Result<T, Error>;

/// What an objective may return as its error: anything.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why something could not be done. [`Display`](fmt::Display) says what was tried, on what, and what to do.
pub struct Error(Box<Kind>);

#[derive(Debug)]
pub(crate) enum Kind {
    Storage(trialog_storage::Error),
    StudyNotFound { name: String, location: String, known: Vec<String> },
    StudyExists { name: String, location: String },
    TrialNotFound { study: String, number: TrialNumber },
    Rejected { tried: String, reason: Reason },
    Distribution { name: String, source: DistributionError },
    Changed { name: String, first: String, now: String },
    NoCompleteTrial { study: String },
    SeveralObjectives { study: String, tried: &'static str },
    Objective { number: TrialNumber, source: BoxError },
    Url { url: String, detail: String },
    Table(TableError),
    Transfer(trialog_transfer::Error),
    Invalid(String),
}

impl Error {
    pub(crate) fn new(kind: Kind) -> Error {
        Error(Box::new(kind))
    }

    pub(crate) fn invalid(detail: impl Into<String>) -> Error {
        Error::new(Kind::Invalid(detail.into()))
    }

    pub(crate) fn rejected(tried: impl Into<String>, reason: &Reason) -> Error {
        Error::new(Kind::Rejected { tried: tried.into(), reason: reason.clone() })
    }

    /// What went wrong at the root: an objective that passes on an error of ours failed for that error's reason.
    fn kind(&self) -> &Kind {
        match &*self.0 {
            Kind::Objective { source, .. } => source.downcast_ref::<Error>().map_or(&*self.0, Error::kind),
            kind => kind,
        }
    }

    fn journal(&self) -> Option<&trialog_journal::Error> {
        match self.kind() {
            Kind::Storage(trialog_storage::Error::Journal(error)) => Some(error),
            _ => None,
        }
    }

    pub(crate) fn rejection(&self) -> Option<&Reason> {
        match self.kind() {
            Kind::Rejected { reason, .. } => Some(reason),
            _ => None,
        }
    }

    /// The study, trial or log is not there.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self.kind(), Kind::StudyNotFound { .. } | Kind::TrialNotFound { .. })
            || matches!(self.journal(), Some(trialog_journal::Error::NotFound { .. }))
            || matches!(
                self.rejection(),
                Some(Reason::NoStudy { .. } | Reason::StudyDeleted { .. } | Reason::NoTrial { .. })
            )
    }

    /// A study of the name is there already.
    #[must_use]
    pub fn is_duplicate(&self) -> bool {
        matches!(self.kind(), Kind::StudyExists { .. })
            || matches!(self.rejection(), Some(Reason::StudyExists { .. }))
    }

    /// The trial is finished, and finished trials do not change.
    #[must_use]
    pub fn is_finished_trial(&self) -> bool {
        matches!(self.rejection(), Some(Reason::Finished { .. }))
    }

    /// The trial is withdrawn, and cannot be withdrawn or amended until it counts again.
    #[must_use]
    pub fn is_voided(&self) -> bool {
        matches!(self.rejection(), Some(Reason::Voided { .. }))
    }

    /// What is transferred would have to go on with a study that is another one, or that somebody else works on.
    #[must_use]
    pub fn is_other_study(&self) -> bool {
        use trialog_transfer::Error::{Another, Differs, Interfered};
        matches!(self.kind(), Kind::Transfer(Another { .. } | Differs { .. } | Interfered { .. }))
    }

    /// What was asked for lies before records that a compaction folded into a state.
    #[must_use]
    pub fn is_folded(&self) -> bool {
        matches!(self.journal(), Some(trialog_journal::Error::Folded { .. }))
    }

    /// The parameter is known with another kind of distribution, scale or other choices.
    #[must_use]
    pub fn is_incompatible(&self) -> bool {
        matches!(self.kind(), Kind::Changed { .. }) || matches!(self.rejection(), Some(Reason::Incompatible { .. }))
    }

    /// An argument makes no sense: an empty range, a wrong number of values, a malformed URL.
    #[must_use]
    pub fn is_invalid(&self) -> bool {
        matches!(
            self.kind(),
            Kind::Invalid(_)
                | Kind::Distribution { .. }
                | Kind::Url { .. }
                | Kind::SeveralObjectives { .. }
                | Kind::Transfer(
                    trialog_transfer::Error::Directions { .. }
                        | trialog_transfer::Error::Malformed { .. }
                        | trialog_transfer::Error::Database { .. }
                )
                | Kind::Storage(trialog_storage::Error::Refused { .. })
        ) || matches!(self.journal(), Some(trialog_journal::Error::TooLarge { .. }))
            || matches!(
                self.rejection(),
                Some(
                    Reason::ValueCount { .. }
                        | Reason::Nan
                        | Reason::BadTemplate { .. }
                        | Reason::BadStudy
                        | Reason::BadParam { .. }
                        | Reason::BadMetrics { .. }
                        | Reason::TooManyRetries { .. }
                        | Reason::NotFinished { .. }
                        | Reason::NotVoided { .. }
                        | Reason::NoChange
                        | Reason::NotInForce { .. }
                        | Reason::TooManyChanges { .. }
                )
            )
    }

    /// The study's budget admits no further trial, or none as long as others run.
    #[must_use]
    pub fn is_budget_spent(&self) -> bool {
        matches!(self.rejection(), Some(Reason::BudgetSpent { .. }))
    }

    /// No trial of the study is complete yet.
    #[must_use]
    pub fn is_no_complete_trial(&self) -> bool {
        matches!(self.kind(), Kind::NoCompleteTrial { .. })
    }

    /// The objective failed, and its error is the [`source`](std::error::Error::source). If that is an [`Error`]
    /// too, such as one of [`Trial::report`](crate::Trial::report), the other questions answer for it.
    #[must_use]
    pub fn is_objective(&self) -> bool {
        matches!(*self.0, Kind::Objective { .. })
    }

    /// Another process held the log's lock for too long.
    #[must_use]
    pub fn is_locked(&self) -> bool {
        matches!(self.journal(), Some(trialog_journal::Error::Locked { .. }))
    }

    /// The log is damaged; the message names the byte offset.
    #[must_use]
    pub fn is_corrupt(&self) -> bool {
        matches!(self.journal(), Some(trialog_journal::Error::Corrupt { .. }))
            || matches!(
                self.kind(),
                Kind::Storage(trialog_storage::Error::BadRecord { .. } | trialog_storage::Error::BadBase { .. })
            )
    }

    /// What is there is not a log.
    #[must_use]
    pub fn is_not_a_log(&self) -> bool {
        matches!(self.journal(), Some(trialog_journal::Error::NotALog { .. }))
    }

    /// The log was written by a newer version.
    #[must_use]
    pub fn is_newer_format(&self) -> bool {
        matches!(self.journal(), Some(trialog_journal::Error::NewerFormat { .. }))
            || matches!(
                self.kind(),
                Kind::Storage(
                    trialog_storage::Error::NewerFormat { .. } | trialog_storage::Error::NewerBase { .. }
                )
            )
    }

    /// There is no room left.
    #[must_use]
    pub fn is_out_of_space(&self) -> bool {
        matches!(self.journal(), Some(trialog_journal::Error::OutOfSpace { .. }))
    }

    /// The log lost records that were seen before.
    #[must_use]
    pub fn is_regressed(&self) -> bool {
        matches!(self.journal(), Some(trialog_journal::Error::Regressed { .. }))
    }

    /// An earlier write failed; open the storage again.
    #[must_use]
    pub fn is_poisoned(&self) -> bool {
        matches!(self.journal(), Some(trialog_journal::Error::Poisoned { .. }))
    }

    /// The log may be read here, not written.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        matches!(self.journal(), Some(trialog_journal::Error::ReadOnly { .. }))
    }

    /// The log is somebody else's, and its format cannot say this: a budget in a journal of Optuna's, say.
    #[must_use]
    pub fn is_unsupported(&self) -> bool {
        matches!(self.kind(), Kind::Storage(trialog_storage::Error::Unsayable { .. }))
    }

    /// The medium cannot hold a log, or failed.
    #[must_use]
    pub fn is_unavailable(&self) -> bool {
        matches!(
            self.journal(),
            Some(trialog_journal::Error::Unsupported { .. } | trialog_journal::Error::Io { .. })
        ) || matches!(
            self.kind(),
            Kind::Storage(trialog_storage::Error::Vanished { .. } | trialog_storage::Error::NoEntropy { .. })
        )
    }
}

impl From<TableError> for Error {
    fn from(error: TableError) -> Error {
        Error::new(Kind::Table(error))
    }
}

impl From<trialog_storage::Error> for Error {
    fn from(error: trialog_storage::Error) -> Error {
        Error::new(Kind::Storage(error))
    }
}

impl From<trialog_journal::Error> for Error {
    fn from(error: trialog_journal::Error) -> Error {
        Error::new(Kind::Storage(error.into()))
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // `main` returning an error prints it this way, and people read it.
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.0 {
            Kind::Storage(error) => error.fmt(f),
            Kind::StudyNotFound { name, location, known } => {
                write!(f, "there is no study {name:?} in {location}; ")?;
                match known.as_slice() {
                    [] => f.write_str("it holds no study yet"),
                    known => {
                        let some: Vec<String> =
                            known.iter().take(KNOWN_MAX).map(|name| format!("{name:?}")).collect();
                        write!(f, "it holds {}", some.join(", "))?;
                        match known.len() - some.len() {
                            0 => Ok(()),
                            more => write!(f, " and {more} more"),
                        }
                    }
                }
            }
            Kind::StudyExists { name, location } => {
                write!(f, "a study {name:?} is in {location} already; load it, or choose another name")
            }
            Kind::TrialNotFound { study, number } => write!(f, "study {study:?} has no trial {number}"),
            Kind::Rejected { tried, reason } => write!(f, "could not {tried}: {reason}"),
            Kind::Distribution { name, source } => write!(f, "parameter {name:?}: {source}"),
            Kind::Changed { name, first, now } => write!(
                f,
                "parameter {name:?} was suggested as {first} earlier in this trial and now as {now}; give different \
                 parameters different names"
            ),
            Kind::NoCompleteTrial { study } => {
                write!(f, "study {study:?} has no complete and feasible trial yet, so there is no best one")
            }
            Kind::SeveralObjectives { study, tried } => {
                write!(f, "study {study:?} has several objectives, and {tried} is for a single one")
            }
            Kind::Objective { number, source } => write!(f, "the objective failed in trial {number}: {source}"),
            Kind::Url { url, detail } => write!(f, "cannot open {url:?}: {detail}"),
            Kind::Table(error) => error.fmt(f),
            Kind::Transfer(error) => error.fmt(f),
            Kind::Invalid(detail) => f.write_str(detail),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &*self.0 {
            Kind::Storage(error) => std::error::Error::source(error),
            Kind::Distribution { source, .. } => Some(source),
            Kind::Objective { source, .. } => Some(&**source),
            Kind::Table(error) => std::error::Error::source(error),
            Kind::Transfer(error) => std::error::Error::source(error),
            _ => None,
        }
    }
}
