//! A log as it was: the state after so many records, or up to a moment.

use std::ops::ControlFlow;
use std::path::Path;

use trialog_codec::decode_record;
use trialog_journal::Seq;
use trialog_journal_file::RealOs;
use trialog_journal_file::os::Os;
use trialog_ops::{Record, Timestamp};
use trialog_replay::{Digest, State, Verdict};

use crate::error::Error;
use crate::scan::{Damage, DamageKind};
use crate::source::{Restored, Seen, Source};
use crate::tracker::times_of;

/// Up to where a log is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// After so many records: those with a lower seq.
    Seq(Seq),
    /// After the last record before the first one that carries a later time. Times are what the authors of ops wrote, by their
    /// own clocks; an op without a time belongs to the moment of the one before it. What was appended behind an op
    /// from the future is not seen, whatever its own time: the answer is always one that some reader had.
    /// A time before the compaction that folded the first records away is not known any more.
    Time(Timestamp),
    /// After all records.
    End,
}

/// The state of the log at `path` at a moment.
///
/// # Errors
/// [`Error::Damaged`] if the log is damaged before that, [`Error::TooShort`] if it never had so many records,
/// [`Error::Folded`] if it has them no more, and as [`verify`](crate::verify).
pub fn as_of(path: impl AsRef<Path>, moment: Moment) -> Result<State, Error> {
    as_of_on(&RealOs::default(), path, moment)
}

/// As [`as_of`], on the given operating system.
///
/// # Errors
/// As [`as_of`].
pub fn as_of_on(os: &dyn Os, path: impl AsRef<Path>, moment: Moment) -> Result<State, Error> {
    let source = Source::open(os, path.as_ref())?;
    let mut past =
        Past { moment, state: State::new(), verdicts: Vec::new(), trouble: None, reached: false, folded: None };
    let walk = source.walk(&mut |seen| past.meet(seen))?;
    let Past { state, reached, .. } = past;
    let location = source.location;
    if let Some(first) = past.folded {
        return Err(Error::Folded { location, first });
    }
    match (past.trouble, walk.tail) {
        // To a reader a last record with a flipped bit is a torn tail.
        (Some(Trouble::Damaged { offset }), Some(tail)) if tail.offset == offset => {}
        (Some(Trouble::Damaged { offset }), _) => {
            return Err(Error::Damaged { location, offset, seq: state.records() });
        }
        (Some(Trouble::Newer(found)), _) => return Err(Error::NewerFormat { location, found }),
        (None, _) => {}
    }
    match moment {
        Moment::Seq(seq) if !reached && state.records() < seq.0 => {
            Err(Error::TooShort { location, records: state.records(), wanted: seq.0 })
        }
        _ => Ok(state),
    }
}

/// The state up to the moment.
struct Past {
    moment: Moment,
    state: State,
    verdicts: Vec<Verdict>,
    trouble: Option<Trouble>,
    reached: bool,
    /// The moment lies before what a snapshot stands for.
    folded: Option<u64>,
}

enum Trouble {
    Damaged { offset: u64 },
    Newer(String),
}

impl Past {
    fn meet(&mut self, seen: Seen<'_>) -> ControlFlow<()> {
        if self.trouble.is_none() && matches!(self.moment, Moment::Seq(seq) if self.state.records() >= seq.0) {
            // Unless a snapshot is about to say that there is no such moment any more.
            if !matches!(&seen, Seen::Base(base) if base.counts) {
                self.reached = true;
                return ControlFlow::Break(());
            }
        }
        match seen {
            Seen::Copy { .. } | Seen::Other { .. } => {}
            Seen::Base(base) if base.counts => return self.base(base),
            Seen::Base(_) => {}
            Seen::Damage(damage) if is_harmless(&damage) => {}
            Seen::Damage(damage) => return self.damaged(damage.offset),
            // What follows is behind a loss, until a snapshot makes up for it.
            Seen::Record(_) if self.trouble.is_some() => {}
            Seen::Record(found) if found.mended => return self.damaged(found.offset),
            Seen::Record(found) => match decode_record(found.payload) {
                Ok(record) if is_after(&record, self.moment) => {
                    self.reached = true;
                    return ControlFlow::Break(());
                }
                Ok(record) => {
                    self.verdicts.clear();
                    self.state.apply(&record, &mut self.verdicts);
                }
                Err(error) if error.is_newer_format() => {
                    self.trouble = Some(Trouble::Newer(error.to_string()));
                    return ControlFlow::Break(());
                }
                Err(_) => return self.damaged(found.offset),
            },
        }
        ControlFlow::Continue(())
    }

    fn damaged(&mut self, offset: u64) -> ControlFlow<()> {
        self.trouble.get_or_insert(Trouble::Damaged { offset });
        ControlFlow::Continue(())
    }

    fn base(&mut self, base: Box<Restored>) -> ControlFlow<()> {
        let first = base.state.records();
        // All in it was appended before the compaction began; nothing tells how much of it was later than the moment.
        let is_before = match self.moment {
            Moment::Seq(seq) => seq.0 < first,
            Moment::Time(time) => base.created_us.is_some_and(|created_us| time.0 < created_us),
            Moment::End => false,
        };
        if is_before {
            // What is lost is told as damage, what was folded as folded.
            self.folded = self.trouble.is_none().then_some(first);
            return ControlFlow::Break(());
        }
        self.trouble = None;
        self.state = base.state;
        ControlFlow::Continue(())
    }
}

/// A reader of the records is not kept from anything by it.
fn is_harmless(damage: &Damage) -> bool {
    matches!(damage.kind, DamageKind::Header) || damage.kind == DamageKind::Base && damage.lost.is_empty()
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
