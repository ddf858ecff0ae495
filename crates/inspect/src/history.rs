//! A log as it was: the state after so many records, or up to a moment.

use std::ops::ControlFlow;
use std::path::Path;

use trialog_codec::decode_record;
use trialog_journal::Seq;
use trialog_journal_file::RealOs;
use trialog_journal_file::os::Os;
use trialog_ops::{Record, Timestamp};
use trialog_replay::{Digest, State};

use crate::error::Error;
use crate::scan::{DamageKind, Event};
use crate::source::Source;
use crate::tracker::times_of;

/// Up to where a log is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// After so many records: those with a lower seq.
    Seq(Seq),
    /// After the last record before the first one that carries a later time. Times are what the authors of ops wrote, by their
    /// own clocks; an op without a time belongs to the moment of the one before it. What was appended behind an op
    /// from the future is not seen, whatever its own time: the answer is always one that some reader had.
    Time(Timestamp),
    /// After all records.
    End,
}

/// The state of the log at `path` at a moment.
///
/// # Errors
/// [`Error::Damaged`] if the log is damaged before that, [`Error::TooShort`] if it never had so many records, and
/// as [`verify`](crate::verify).
pub fn as_of(path: impl AsRef<Path>, moment: Moment) -> Result<State, Error> {
    as_of_on(&RealOs::default(), path, moment)
}

/// As [`as_of`], on the given operating system.
///
/// # Errors
/// As [`as_of`].
pub fn as_of_on(os: &dyn Os, path: impl AsRef<Path>, moment: Moment) -> Result<State, Error> {
    let source = Source::open(os, path.as_ref())?;
    let mut state = State::new();
    let mut verdicts = Vec::new();
    let mut failure = None;
    let mut reached = false;
    let walk = source.walk(source.bytes()?, &mut |event| {
        if matches!(moment, Moment::Seq(seq) if state.records() >= seq.0) {
            reached = true;
            return ControlFlow::Break(());
        }
        let (offset, decoded) = match event {
            Event::Other { .. } => return ControlFlow::Continue(()),
            Event::Damage(damage) if damage.kind == DamageKind::Header => return ControlFlow::Continue(()),
            Event::Damage(damage) => (damage.offset, None),
            Event::Record(found) if found.mended => (found.offset, None),
            Event::Record(found) => (found.offset, Some(decode_record(found.payload))),
        };
        match decoded {
            Some(Ok(record)) if is_after(&record, moment) => {
                reached = true;
                return ControlFlow::Break(());
            }
            Some(Ok(record)) => {
                verdicts.clear();
                state.apply(&record, &mut verdicts);
                return ControlFlow::Continue(());
            }
            Some(Err(error)) if error.is_newer_format() => {
                let location = source.location.clone();
                failure = Some(Error::NewerFormat { location, found: error.to_string() });
            }
            Some(Err(_)) | None => {
                let (location, seq) = (source.location.clone(), state.records());
                failure = Some(Error::Damaged { location, offset, seq });
            }
        }
        ControlFlow::Break(())
    })?;
    match (failure, walk.tail) {
        // To a reader a last record with a flipped bit is a torn tail.
        (Some(Error::Damaged { offset, .. }), Some(tail)) if tail.offset == offset => {}
        (Some(error), _) => return Err(error),
        (None, _) => {}
    }
    match moment {
        Moment::Seq(seq) if !reached && state.records() < seq.0 => {
            Err(Error::TooShort { location: source.location, records: state.records(), wanted: seq.0 })
        }
        _ => Ok(state),
    }
}

fn is_after(record: &Record, moment: Moment) -> bool {
    match moment {
        Moment::Time(time) => record.ops.iter().flat_map(times_of).flatten().any(|at| at > time),
        Moment::Seq(_) | Moment::End => false,
    }
}

/// The digest of the log at `path` after so many records: equal to what any process had there.
///
/// # Errors
/// As [`as_of`].
pub fn digest_at(path: impl AsRef<Path>, seq: Seq) -> Result<Digest, Error> {
    as_of(path, Moment::Seq(seq)).map(|state| state.digest())
}
