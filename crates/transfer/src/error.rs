//! What can go wrong between a source and a target.

use std::fmt;

use trialog_ops::TrialNumber;
use trialog_replay::Reason;

use crate::content::ContentDigest;

/// Why a study was not transferred, or not all of it.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// A storage's own trouble.
    Storage(trialog_storage::Error),
    /// The target has a study of the name.
    NameTaken {
        /// The name.
        name: String,
    },
    /// The target's study of the name is not an earlier state of the source: going on with it would mix two studies.
    Another {
        /// The name.
        name: String,
        /// What differs.
        detail: String,
    },
    /// Somebody else adds trials to the target's study meanwhile.
    Interfered {
        /// The name.
        name: String,
        /// The number that a trial should have got.
        wanted: u64,
        /// The number that it got.
        got: TrialNumber,
    },
    /// The target's log rejects a trial or a setting.
    Rejected {
        /// What was tried.
        tried: String,
        /// Why it was rejected.
        reason: Reason,
    },
    /// The target does not say what the source says, although all of it was written.
    Differs {
        /// The name.
        name: String,
        /// What the source says.
        source: ContentDigest,
        /// What the target says.
        target: ContentDigest,
    },
    /// Studies with other objectives cannot be merged.
    Directions {
        /// What the first study minimizes and maximizes.
        first: String,
        /// The other study, and what it does.
        other: String,
    },
    /// A file is not what it should be.
    Malformed {
        /// Line, from 1; 0 where there are no lines.
        line: u64,
        /// Column or field, by name or number; empty where it is the whole line.
        column: String,
        /// What is wrong there.
        detail: String,
    },
    /// A file cannot be read or written.
    Io(std::io::Error),
    /// Another program's database cannot be read.
    Database {
        /// Its path.
        path: String,
        /// What is wrong with it.
        detail: String,
    },
}

impl From<trialog_storage::Error> for Error {
    fn from(error: trialog_storage::Error) -> Error {
        Error::Storage(error)
    }
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Error {
        Error::Io(error)
    }
}

impl Error {
    pub(crate) fn malformed(line: u64, column: impl Into<String>, detail: impl Into<String>) -> Error {
        Error::Malformed { line, column: column.into(), detail: detail.into() }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Storage(error) => error.fmt(f),
            Error::NameTaken { name } => {
                write!(f, "the target has a study {name:?}: take another name, or go on with an earlier transfer")
            }
            Error::Another { name, detail } => write!(
                f,
                "study {name:?} of the target is no earlier state of what is transferred: {detail}; take another name"
            ),
            Error::Interfered { name, wanted, got } => write!(
                f,
                "somebody else adds trials to study {name:?} of the target: trial {wanted} became {got}; \
                 take another name, or see that nobody works there"
            ),
            Error::Rejected { tried, reason } => write!(f, "could not {tried}: {reason}"),
            Error::Differs { name, source, target } => write!(
                f,
                "study {name:?} of the target does not say what its source says: {target} and {source}; \
                 somebody else has changed it"
            ),
            Error::Directions { first, other } => {
                write!(f, "studies with different objectives cannot be merged: {first}, and {other}")
            }
            Error::Malformed { line: 0, column, detail } if column.is_empty() => f.write_str(detail),
            Error::Malformed { line: 0, column, detail } => write!(f, "column {column}: {detail}"),
            Error::Malformed { line, column, detail } if column.is_empty() => write!(f, "line {line}: {detail}"),
            Error::Malformed { line, column, detail } => write!(f, "line {line}, column {column}: {detail}"),
            Error::Io(error) => error.fmt(f),
            Error::Database { path, detail } => write!(f, "could not read {path}: {detail}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Storage(error) => Some(error),
            Error::Io(error) => Some(error),
            _ => None,
        }
    }
}
