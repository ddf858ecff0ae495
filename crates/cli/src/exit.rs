//! How the program ends: one error type, and the exit codes that `docs/cli.md` lists.

use std::fmt;
use std::io;

/// Why a command ended otherwise than well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Anything else.
    Failed = 1,
    /// Options that make no sense together, or a malformed argument. The parser of options uses the same code.
    Usage = 2,
    /// No such log, study or trial.
    NotFound = 3,
    /// A space, a value or a file that makes no sense.
    Invalid = 4,
    /// Another process holds the log's lock.
    Locked = 5,
    /// The log is damaged, or lost records that were seen before.
    Damaged = 6,
    /// What is there is no log, or one of a later version.
    NotALog = 7,
    /// No space, no permission, or the medium failed.
    Unavailable = 8,
    /// The study's budget is spent, or there is nothing left to try.
    Exhausted = 9,
    /// The answer is no: asked for by `--exit-code`.
    No = 10,
    /// Stopped by Ctrl-C.
    Interrupted = 130,
    /// Stopped by SIGTERM.
    Terminated = 143,
}

/// What went wrong, for people, and the exit code, for programs.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    pub(crate) message: String,
}

pub(crate) type Outcome<T = ()> = Result<T, Failure>;

impl Failure {
    pub(crate) fn new(exit: Exit, message: impl fmt::Display) -> Failure {
        Failure { exit, message: message.to_string() }
    }

    pub(crate) fn usage(message: impl fmt::Display) -> Failure {
        Failure::new(Exit::Usage, message)
    }

    pub(crate) fn invalid(message: impl fmt::Display) -> Failure {
        Failure::new(Exit::Invalid, message)
    }

    /// An end without a word: whoever asked reads the exit code.
    pub(crate) fn silent(exit: Exit) -> Failure {
        Failure { exit, message: String::new() }
    }

    /// A file that could not be read or written.
    pub(crate) fn file(action: &str, path: &std::path::Path, error: &io::Error) -> Failure {
        let exit = match error.kind() {
            io::ErrorKind::NotFound => Exit::NotFound,
            _ => Exit::Unavailable,
        };
        Failure::new(exit, format!("cannot {action} {}: {error}", path.display()))
    }
}

impl From<trialog::Error> for Failure {
    fn from(error: trialog::Error) -> Failure {
        let exit = if error.is_not_found() || error.is_no_complete_trial() {
            Exit::NotFound
        } else if error.is_locked() {
            Exit::Locked
        } else if error.is_corrupt() || error.is_regressed() {
            Exit::Damaged
        } else if error.is_not_a_log() || error.is_newer_format() {
            Exit::NotALog
        } else if error.is_out_of_space() || error.is_read_only() || error.is_unavailable() || error.is_poisoned() {
            Exit::Unavailable
        } else if error.is_budget_spent() {
            Exit::Exhausted
        } else if error.is_invalid()
            || error.is_incompatible()
            || error.is_duplicate()
            || error.is_finished_trial()
            || error.is_voided()
            || error.is_unsupported()
        {
            Exit::Invalid
        } else {
            Exit::Failed
        };
        Failure::new(exit, error)
    }
}

impl From<trialog_inspect::Error> for Failure {
    fn from(error: trialog_inspect::Error) -> Failure {
        use trialog_inspect::Error;
        let exit = match &error {
            Error::NotFound { .. } => Exit::NotFound,
            Error::NotALog { .. } | Error::NewerFormat { .. } => Exit::NotALog,
            Error::Damaged { .. } => Exit::Damaged,
            Error::TooShort { .. } | Error::TargetExists { .. } => Exit::Invalid,
            Error::Io { .. } => Exit::Unavailable,
            _ => Exit::Failed,
        };
        Failure::new(exit, error)
    }
}

impl From<crate::space::SpaceError> for Failure {
    fn from(error: crate::space::SpaceError) -> Failure {
        Failure::invalid(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        // Whoever reads us has enough: that is no failure, and `main` ends quietly.
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Failure::silent(Exit::Failed);
        }
        Failure::new(Exit::Unavailable, error)
    }
}

impl From<trialog::TableError> for Failure {
    fn from(error: trialog::TableError) -> Failure {
        let mut source = std::error::Error::source(&error);
        while let Some(inner) = source {
            if let Some(io) = inner.downcast_ref::<io::Error>()
                && io.kind() == io::ErrorKind::BrokenPipe
            {
                return Failure::silent(Exit::Failed);
            }
            source = inner.source();
        }
        Failure::new(Exit::Unavailable, error)
    }
}
