//! Why a log could not be looked at, or not be written anew.

use std::fmt;
use std::io;

use crate::scan::Stop;

/// Why a look at a log came to nothing. Damage is no error: it is what reports are for.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// There is no such file.
    NotFound {
        /// Its path.
        location: String,
    },
    /// The file is no log.
    NotALog {
        /// Its path.
        location: String,
        /// What was found instead.
        found: String,
    },
    /// The log was written by a later version.
    NewerFormat {
        /// Its path.
        location: String,
        /// What is not known here.
        found: String,
    },
    /// The log is damaged, and this look needs one that is whole up to where it looks.
    Damaged {
        /// Its path.
        location: String,
        /// Where the damage begins.
        offset: u64,
        /// The record that cannot be read.
        seq: u64,
    },
    /// The log has fewer records than were asked for.
    TooShort {
        /// Its path.
        location: String,
        /// As many as it has.
        records: u64,
        /// As many as were asked for.
        wanted: u64,
    },
    /// What was then is not known any more: the records were folded into a snapshot.
    Folded {
        /// Its path.
        location: String,
        /// The first record that is still there one by one.
        first: u64,
    },
    /// Something stands where the repaired log should go, and it is left alone.
    TargetExists {
        /// Its path.
        location: String,
    },
    /// The system failed.
    Io {
        /// The path.
        location: String,
        /// What was tried.
        action: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

impl Error {
    pub(crate) fn io<'a>(location: &'a str, action: &'static str) -> impl Fn(io::Error) -> Error + 'a {
        move |source| Error::Io { location: location.into(), action, source }
    }

    pub(crate) fn stop(location: &str, stop: Stop) -> Error {
        let location = String::from(location);
        match stop {
            Stop::NotALog(found) => Error::NotALog { location, found },
            Stop::Newer(found) => Error::NewerFormat { location, found },
            Stop::Io(source) => Error::Io { location, action: "read", source },
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::NotFound { location } => write!(f, "there is no log at {location}"),
            Error::NotALog { location, found } => write!(f, "{location} is not a Trialog log: {found}"),
            Error::NewerFormat { location, found } => {
                write!(f, "{location} has {found}, which this program does not know: use a newer Trialog")
            }
            Error::Damaged { location, offset, seq } => write!(
                f,
                "{location} is damaged at byte {offset} (record {seq}): look at an earlier position, or repair it \
                 into a new log"
            ),
            Error::TooShort { location, records, wanted } => {
                write!(f, "{location} has {records} records, and the state after {wanted} was asked for")
            }
            Error::Folded { location, first } => write!(
                f,
                "the first {first} records of {location} were folded into one snapshot: how the log was before the last \
                 of them is not known any more"
            ),
            Error::TargetExists { location } => {
                write!(f, "{location} exists already and is left alone: name a new file for the repaired log")
            }
            Error::Io { location, action, source } => write!(f, "could not {action} {location}: {source}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}
