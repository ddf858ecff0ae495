//! What can go wrong between a log and its state.

use std::fmt;

use trialog_codec::DecodeError;
use trialog_replay::SnapshotError;

/// Why the log could not be written, read or understood.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The journal's own trouble.
    Journal(trialog_journal::Error),
    /// A record holds an op of a newer version that may not be passed over.
    NewerFormat {
        /// Path or URL.
        location: String,
        /// The record.
        seq: u64,
        /// What is new about it.
        source: DecodeError,
    },
    /// A record arrived whole and does not make sense.
    BadRecord {
        /// Path or URL.
        location: String,
        /// The record.
        seq: u64,
        /// What is wrong with it.
        source: DecodeError,
    },
    /// The ops hold something that no reader of a log would take; nothing was appended.
    Refused {
        /// What is wrong with them.
        source: DecodeError,
    },
    /// The log is written in a dialect that has no such op; nothing was appended.
    Unsayable {
        /// What was wanted, such as `set a budget`.
        what: &'static str,
        /// Why the dialect does not have it.
        why: &'static str,
    },
    /// The log's first records were folded into a snapshot of a newer format.
    NewerBase {
        /// Path or URL.
        location: String,
        /// How many records it covers.
        seq: u64,
        /// Its format version.
        version: u32,
    },
    /// The log's first records were folded into a snapshot, and that cannot be read.
    BadBase {
        /// Path or URL.
        location: String,
        /// How many records it covers.
        seq: u64,
        /// What is wrong with it.
        source: SnapshotError,
    },
    /// A record that was appended cannot be read back.
    Vanished {
        /// Path or URL.
        location: String,
        /// The record.
        seq: u64,
    },
    /// The operating system gave no random bytes for a session id.
    NoEntropy {
        /// What it said.
        detail: String,
    },
}

impl From<trialog_journal::Error> for Error {
    fn from(error: trialog_journal::Error) -> Error {
        Error::Journal(error)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Journal(error) => error.fmt(f),
            Error::NewerFormat { location, seq, source } => write!(f, "record {seq} of {location}: {source}"),
            Error::BadRecord { location, seq, source } => write!(
                f,
                "record {seq} of {location} is intact but makes no sense ({source}); it was written by another \
                 program or a faulty one, and nothing was changed"
            ),
            Error::Refused { source } => write!(f, "nothing was written, since nobody could read it: {source}"),
            Error::Unsayable { what, why } => {
                write!(
                    f,
                    "one cannot {what} in a journal of Optuna's: {why}; copy the study to a log of Trialog's own"
                )
            }
            Error::NewerBase { location, seq, version } => write!(
                f,
                "the first {seq} records of {location} were folded into a snapshot of format version {version}, which \
                 this program does not know: use a newer Trialog"
            ),
            Error::BadBase { location, seq, source } => write!(
                f,
                "the first {seq} records of {location} were folded into a snapshot that does not read as one ({source}); \
                 restore the log from a backup"
            ),
            Error::Vanished { location, seq } => write!(
                f,
                "record {seq} of {location} was appended and cannot be read back; open the log again to see what \
                 is there"
            ),
            Error::NoEntropy { detail } => write!(f, "no random bytes for a session id: {detail}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Journal(error) => error.source(),
            Error::NewerFormat { source, .. } | Error::BadRecord { source, .. } | Error::Refused { source } => {
                Some(source)
            }
            Error::BadBase { source, .. } => Some(source),
            _ => None,
        }
    }
}
