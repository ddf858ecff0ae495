//! Where a log is, for messages: every error of this crate is made here.

use crate::os::OsFile;
use std::io;
use trialog_journal::frame::ReadAt;
use trialog_journal::{Error, header};

/// A log's path, as it is shown.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) location: String,
}

impl Place {
    /// For `map_err`: what was tried when the system said no.
    pub(crate) fn io(&self, action: &'static str) -> impl Fn(io::Error) -> Error + '_ {
        move |source| {
            let location = self.location.clone();
            match source.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                    Error::OutOfSpace { location, source }
                }
                _ => Error::Io { location, action, source },
            }
        }
    }

    pub(crate) fn not_found(&self) -> Error {
        Error::NotFound { location: self.location.clone() }
    }

    pub(crate) fn not_a_log(&self, found: impl Into<String>) -> Error {
        Error::NotALog { location: self.location.clone(), found: found.into() }
    }

    pub(crate) fn newer(&self, found: String) -> Error {
        Error::NewerFormat { location: self.location.clone(), found, supported: header::VERSION }
    }

    pub(crate) fn corrupt(&self, offset: u64, seq: u64, detail: String) -> Error {
        Error::Corrupt { location: self.location.clone(), offset, seq, detail }
    }

    pub(crate) fn regressed(&self, seen: u64, found: u64) -> Error {
        Error::Regressed { location: self.location.clone(), seen, found }
    }

    pub(crate) fn forked(&self) -> Error {
        Error::Forked { location: self.location.clone() }
    }

    pub(crate) fn folded(&self, asked: u64, first: u64) -> Error {
        Error::Folded { location: self.location.clone(), asked, first }
    }

    pub(crate) fn read_only(&self) -> Error {
        Error::ReadOnly { location: self.location.clone() }
    }

    pub(crate) fn unsupported(&self, detail: impl Into<String>) -> Error {
        Error::Unsupported { location: self.location.clone(), detail: detail.into() }
    }

    pub(crate) fn poisoned(&self, cause: &str) -> Error {
        Error::Poisoned { location: self.location.clone(), cause: cause.into() }
    }
}

/// A file as the frames' functions read it.
pub(crate) struct Reading<'a>(pub(crate) &'a dyn OsFile);

impl ReadAt for Reading<'_> {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read_at(offset, buf)
    }
}
