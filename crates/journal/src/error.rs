//! What can go wrong with a journal, one variant for each thing that a caller would handle differently.

use std::fmt;
use std::io;
use std::time::Duration;

/// Why a journal could not do what it was asked.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// There is no such log.
    NotFound {
        /// Path or URL.
        location: String,
    },
    /// Something is there, and it is not a log.
    NotALog {
        /// Path or URL.
        location: String,
        /// What was found instead.
        found: String,
    },
    /// The log was written in a format that this version does not know.
    NewerFormat {
        /// Path or URL.
        location: String,
        /// What is not known here, such as `format version 2`.
        found: String,
        /// The newest format version known here.
        supported: u32,
    },
    /// Another process holds the lock and did not let go in time.
    Locked {
        /// Path or URL.
        location: String,
        /// How long this call waited.
        waited: Duration,
        /// Who holds it, where that can be found out.
        holder: Option<String>,
    },
    /// A stretch of the log does not verify, though valid records follow it.
    Corrupt {
        /// Path or URL.
        location: String,
        /// Where the damage begins, in bytes from the start of the medium's file or object.
        offset: u64,
        /// The record that is missing.
        seq: u64,
        /// What is wrong there.
        detail: String,
    },
    /// The log ends before a position that was seen earlier: records were lost behind our back.
    Regressed {
        /// Path or URL.
        location: String,
        /// Records seen earlier.
        seen: u64,
        /// Records there now.
        found: u64,
    },
    /// The records asked for were folded into a snapshot, and no longer exist one by one.
    Folded {
        /// Path or URL.
        location: String,
        /// The record that was asked for.
        asked: u64,
        /// The first record that still exists.
        first: u64,
    },
    /// No room for the record.
    OutOfSpace {
        /// Path or URL.
        location: String,
        /// What the operating system or server said.
        source: io::Error,
    },
    /// An earlier write or sync of this handle failed, so what it knows of the log cannot be trusted.
    Poisoned {
        /// Path or URL.
        location: String,
        /// The failure that caused it.
        cause: String,
    },
    /// This process is a fork of the one that opened the handle. Nothing was appended, and the handle is ready for this
    /// process now: append again, as another writer than the parent.
    Forked {
        /// Path or URL.
        location: String,
    },
    /// The log may be read here, not written.
    ReadOnly {
        /// Path or URL.
        location: String,
    },
    /// The record is longer than [`RECORD_BYTES_MAX`](crate::RECORD_BYTES_MAX).
    TooLarge {
        /// Its length.
        bytes: usize,
    },
    /// The medium cannot keep the promises that this journal needs.
    Unsupported {
        /// Path or URL.
        location: String,
        /// What it lacks.
        detail: String,
    },
    /// The medium failed.
    Io {
        /// Path or URL.
        location: String,
        /// What was tried, such as `read` or `lock`.
        action: &'static str,
        /// What the operating system or server said.
        source: io::Error,
    },
}

impl Error {
    /// The same error once more, for each of several callers that one failure struck: an [`io::Error`] cannot be
    /// cloned, but its kind, code and words can.
    #[must_use]
    pub fn duplicate(&self) -> Error {
        match self {
            Error::NotFound { location } => Error::NotFound { location: location.clone() },
            Error::NotALog { location, found } => {
                Error::NotALog { location: location.clone(), found: found.clone() }
            }
            Error::NewerFormat { location, found, supported } => {
                Error::NewerFormat { location: location.clone(), found: found.clone(), supported: *supported }
            }
            Error::Locked { location, waited, holder } => {
                Error::Locked { location: location.clone(), waited: *waited, holder: holder.clone() }
            }
            Error::Corrupt { location, offset, seq, detail } => {
                Error::Corrupt { location: location.clone(), offset: *offset, seq: *seq, detail: detail.clone() }
            }
            Error::Regressed { location, seen, found } => {
                Error::Regressed { location: location.clone(), seen: *seen, found: *found }
            }
            Error::Folded { location, asked, first } => {
                Error::Folded { location: location.clone(), asked: *asked, first: *first }
            }
            Error::OutOfSpace { location, source } => {
                Error::OutOfSpace { location: location.clone(), source: duplicate_io(source) }
            }
            Error::Poisoned { location, cause } => {
                Error::Poisoned { location: location.clone(), cause: cause.clone() }
            }
            Error::Forked { location } => Error::Forked { location: location.clone() },
            Error::ReadOnly { location } => Error::ReadOnly { location: location.clone() },
            Error::TooLarge { bytes } => Error::TooLarge { bytes: *bytes },
            Error::Unsupported { location, detail } => {
                Error::Unsupported { location: location.clone(), detail: detail.clone() }
            }
            Error::Io { location, action, source } => {
                Error::Io { location: location.clone(), action, source: duplicate_io(source) }
            }
        }
    }
}

fn duplicate_io(error: &io::Error) -> io::Error {
    error
        .raw_os_error()
        .map_or_else(|| io::Error::new(error.kind(), error.to_string()), io::Error::from_raw_os_error)
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::NotFound { location } => write!(f, "there is no log at {location}"),
            Error::NotALog { location, found } => {
                write!(f, "{location} is not a Trialog log: {found}; choose another path, nothing was changed")
            }
            Error::NewerFormat { location, found, supported } => write!(
                f,
                "{location} has {found}, and this program knows format versions up to {supported}: use a newer Trialog"
            ),
            Error::Locked { location, waited, holder } => {
                write!(f, "{location} stayed locked for {:.1} s", waited.as_secs_f64())?;
                match holder {
                    Some(holder) => write!(f, " by {holder}; try again when it is done, or end it"),
                    None => f.write_str(" by another process; try again when it is done"),
                }
            }
            Error::Corrupt { location, offset, seq, detail } => write!(
                f,
                "{location} is damaged at byte {offset} (record {seq}): {detail}; the records before it are intact, \
                 nothing was changed, repair a copy"
            ),
            Error::Regressed { location, seen, found } => write!(
                f,
                "{location} has {found} records, but {seen} were seen before: some were lost or the log was \
                 replaced; open it again to go on with what is there"
            ),
            Error::Folded { location, asked, first } => write!(
                f,
                "record {asked} of {location} was folded into the snapshot that precedes record {first}: go on from there"
            ),
            Error::OutOfSpace { location, source } => {
                write!(f, "no room left to write to {location} ({source}); free some and open it again")
            }
            Error::Poisoned { location, cause } => {
                write!(f, "an earlier write to {location} failed ({cause}); open it again to see what was kept")
            }
            Error::Forked { location } => {
                write!(f, "this process was forked with {location} open; append again, as another writer")
            }
            Error::ReadOnly { location } => write!(f, "{location} is open for reading only"),
            Error::TooLarge { bytes } => write!(
                f,
                "a record of {bytes} bytes exceeds the limit of {}; keep large values in files of their own",
                crate::RECORD_BYTES_MAX
            ),
            Error::Unsupported { location, detail } => write!(f, "{location} cannot hold a log: {detail}"),
            Error::Io { location, action, source } => write!(f, "could not {action} {location}: {source}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::OutOfSpace { source, .. } | Error::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}
