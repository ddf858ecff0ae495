//! What a log holds and where its bytes go.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::ControlFlow;
use std::path::Path;

use trialog_codec::{OPS, code_of, decode_record};
use trialog_journal::frame::FRAME_HEADER_BYTES;
use trialog_journal::header::HEADER_BYTES;
use trialog_journal_file::RealOs;
use trialog_journal_file::os::Os;
use trialog_ops::{Op, SessionRef, StudyId, Timestamp, TrialState};
use trialog_replay::StudyView;

use crate::error::Error;
use crate::scan::{DamageKind, TornTail};
use crate::source::SegmentFile;
use crate::source::{Seen, Source};
use crate::tracker::{Readable, Tracker, times_of};

/// How many of the largest records are named.
pub const LARGEST_KEPT: usize = 10;

/// What [`stat`] found: all of it about the part of the log that a reader sees.
#[derive(Clone, Debug)]
pub struct Stat {
    /// The log's path.
    pub location: String,
    /// The length of all its files. A file whose folded records were given back takes less on the disk.
    pub file_bytes: u64,
    /// Its files, the oldest first.
    pub segments: Vec<SegmentFile>,
    /// How many of the first records were folded: what they amounted to is in a snapshot, and all that is told here of
    /// ops, times and sessions is about the others.
    pub folded: u64,
    /// Bytes of files of which only folded records are left, if anything. On the disk it may be less.
    pub folded_bytes: u64,
    /// Bytes of the snapshots that later segments begin with.
    pub snapshot_bytes: u64,
    /// Bytes of records that a compaction copied, and that stand in the segment before as well.
    pub copied_bytes: u64,
    /// When the first file was made, in microseconds since 1970 UTC.
    pub created_us: Option<i64>,
    /// Records, what they number, the digest.
    pub readable: Readable,
    /// How many ops of each kind, and their bytes; kinds that are not there are left out.
    pub ops: Vec<OpShare>,
    /// Bytes of the file's header, the frames' headers, and the heads of records.
    pub framing_bytes: u64,
    /// The living studies.
    pub studies: Vec<StudyStat>,
    /// The earliest and the latest time that an op carries. Clocks of several machines may disagree.
    pub times: Option<(Timestamp, Timestamp)>,
    /// Records of each session.
    pub records_of_session_max: u64,
    /// The largest records, largest first.
    pub largest: Vec<LargeRecord>,
    /// Where the log is damaged, if it is: what is told here ends before that.
    pub damaged_at: Option<u64>,
    /// Bytes at the end that are no frame yet.
    pub tail: Option<TornTail>,
}

/// What one kind of op takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpShare {
    /// Its code.
    pub code: u8,
    /// Its name; `unknown` for one that may be skipped.
    pub name: &'static str,
    /// How many there are.
    pub count: u64,
    /// Their bytes, without frames and heads of records.
    pub bytes: u64,
}

/// One living study.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StudyStat {
    /// Its id.
    pub id: StudyId,
    /// Its name.
    pub name: String,
    /// Its trials by state, at the index of the state's number.
    pub trials: [u64; 5],
    /// Its parameters, by name.
    pub params: u64,
    /// Intermediate values of all trials, with and without a name.
    pub reports: u64,
    /// Attributes of the study and of its trials.
    pub attrs: u64,
}

/// A record and its size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LargeRecord {
    /// Its position.
    pub seq: u64,
    /// The number of the segment that it is in.
    pub segment: u64,
    /// Where its frame begins there.
    pub offset: u64,
    /// Its frame's length.
    pub bytes: u64,
}

impl StudyStat {
    fn of(view: &StudyView) -> StudyStat {
        let attrs = |user: usize, system: usize| (user + system) as u64;
        let mut stat = StudyStat {
            id: view.id(),
            name: view.name().into(),
            trials: TrialState::ALL.map(|state| view.count(state) as u64),
            params: view.params().count() as u64,
            reports: 0,
            attrs: attrs(view.user_attrs().count(), view.system_attrs().count()),
        };
        for trial in view.trials() {
            let metrics = trial.metrics().map(|(_, reports)| reports.len());
            stat.reports += (trial.reports().len() + metrics.sum::<usize>()) as u64;
            stat.attrs += attrs(trial.user_attrs().count(), trial.system_attrs().count());
        }
        stat
    }

    /// Trials in this state.
    #[must_use]
    pub fn count(&self, state: TrialState) -> u64 {
        self.trials[state as usize]
    }

    /// Trials that have ended.
    #[must_use]
    pub fn finished(&self) -> u64 {
        TrialState::ALL.into_iter().filter(|state| state.is_finished()).map(|state| self.count(state)).sum()
    }
}

impl Stat {
    /// The file's bytes over the finished trials of all living studies.
    #[must_use]
    pub fn bytes_per_finished_trial(&self) -> Option<f64> {
        let finished: u64 = self.studies.iter().map(StudyStat::finished).sum();
        (finished > 0).then(|| self.file_bytes as f64 / finished as f64)
    }
}

/// Says what the log at `path` holds.
///
/// # Errors
/// [`Error::NotFound`], [`Error::NotALog`], [`Error::NewerFormat`], or what the system says.
pub fn stat(path: impl AsRef<Path>) -> Result<Stat, Error> {
    stat_on(&RealOs::default(), path)
}

/// As [`stat`], on the given operating system.
///
/// # Errors
/// As [`stat`].
pub fn stat_on(os: &dyn Os, path: impl AsRef<Path>) -> Result<Stat, Error> {
    let source = Source::open(os, path.as_ref())?;
    let mut tracker = Tracker::default();
    let mut shares: BTreeMap<u8, (u64, u64)> = BTreeMap::new();
    let mut framing_bytes = (source.segments().len() * HEADER_BYTES) as u64;
    let mut times: Option<(Timestamp, Timestamp)> = None;
    let mut sessions: BTreeMap<SessionKind, u64> = BTreeMap::new();
    let mut largest: Vec<LargeRecord> = Vec::new();
    let mut damaged_at = None;
    let mut newer = None;
    let mut snapshot_bytes = 0;
    let mut copied_bytes = 0;
    let mut first_record = 0;
    let walk = source.walk(&mut |seen| {
        let found = match seen {
            Seen::Record(found) if !found.mended => found,
            Seen::Copy { frame_bytes } => {
                copied_bytes += frame_bytes as u64;
                return ControlFlow::Continue(());
            }
            Seen::Base(base) => {
                snapshot_bytes += base.bytes;
                if base.counts {
                    first_record = base.state.records();
                    damaged_at = None;
                    tracker.begin_anew(base.state);
                }
                return ControlFlow::Continue(());
            }
            _ if damaged_at.is_some() && !source.is_single() => return ControlFlow::Continue(()),
            Seen::Other { payload } => {
                framing_bytes += (FRAME_HEADER_BYTES + payload.len()) as u64;
                return ControlFlow::Continue(());
            }
            Seen::Damage(damage) if damage.kind == DamageKind::Header => {
                damaged_at = Some(0);
                return ControlFlow::Continue(());
            }
            Seen::Damage(damage) if damage.kind == DamageKind::Base && damage.lost.is_empty() => {
                return ControlFlow::Continue(());
            }
            Seen::Damage(damage) => {
                damaged_at = damaged_at.or(Some(damage.offset));
                return source.or_end();
            }
            Seen::Record(found) => {
                damaged_at = damaged_at.or(Some(found.offset));
                return source.or_end();
            }
        };
        let record = match decode_record(found.payload) {
            Ok(record) => record,
            Err(error) => {
                newer = error.is_newer_format().then(|| error.to_string());
                damaged_at = Some(found.offset);
                return if newer.is_some() { ControlFlow::Break(()) } else { source.or_end() };
            }
        };
        tracker.apply(&record);
        let spans = op_bytes(&record.ops, found.payload);
        let ops: u64 = spans.iter().sum();
        framing_bytes += found.frame_bytes as u64 - ops;
        for (op, bytes) in record.ops.iter().zip(spans) {
            let share = shares.entry(code_of(op)).or_default();
            *share = (share.0 + 1, share.1 + bytes);
            for time in times_of(op).into_iter().flatten() {
                times = Some(times.map_or((time, time), |(a, b)| (a.min(time), b.max(time))));
            }
        }
        let key = match record.session {
            SessionRef::Key(key) => Some(key),
            SessionRef::Id(id) => tracker.state.session_key(&id),
        };
        *sessions.entry(key.map(|key| key.0)).or_default() += 1;
        let large = LargeRecord {
            seq: found.seq,
            segment: found.segment,
            offset: found.offset,
            bytes: found.frame_bytes as u64,
        };
        let at = largest.partition_point(|other| other.bytes >= large.bytes);
        largest.insert(at, large);
        largest.truncate(LARGEST_KEPT);
        ControlFlow::Continue(())
    })?;
    if let Some(found) = newer {
        return Err(Error::NewerFormat { location: source.location, found });
    }
    framing_bytes += source.seal_bytes();
    // To a reader a last record with a flipped bit is a torn tail.
    if walk.tail.is_some_and(|tail| Some(tail.offset) == damaged_at) {
        damaged_at = None;
    }
    let ops = shares.into_iter().map(|(code, (count, bytes))| {
        let name = OPS.iter().find(|op| op.code == code).map_or("unknown", |op| op.name);
        OpShare { code, name, count, bytes }
    });
    Ok(Stat {
        location: source.location.clone(),
        file_bytes: walk.file_bytes,
        segments: source.files(),
        folded: first_record,
        folded_bytes: source.passed_bytes(),
        snapshot_bytes,
        copied_bytes,
        created_us: walk.created_us,
        readable: tracker.readable(),
        ops: ops.collect(),
        framing_bytes,
        studies: tracker.state.studies().map(|view| StudyStat::of(&view)).collect(),
        times,
        records_of_session_max: sessions.into_values().max().unwrap_or_default(),
        largest,
        damaged_at,
        tail: walk.tail,
    })
}

/// A session's key, or none for records of a session that the log never met.
type SessionKind = Option<u32>;

/// The bytes of each op of a payload that was decoded before; `docs/format-records.md` has their frames.
fn op_bytes(ops: &[Op], payload: &[u8]) -> Vec<u64> {
    let mut rest = payload;
    let session = varint(&mut rest);
    if session == 0 {
        rest = rest.get(16..).unwrap_or_default();
    }
    varint(&mut rest);
    varint(&mut rest);
    let mut spans = Vec::with_capacity(ops.len());
    for _ in ops {
        let before = rest.len();
        rest = rest.get(1..).unwrap_or_default();
        let body = usize::try_from(varint(&mut rest)).unwrap_or(usize::MAX);
        rest = rest.get(body..).unwrap_or_default();
        spans.push((before - rest.len()) as u64);
    }
    spans
}

fn varint(rest: &mut &[u8]) -> u64 {
    let Some((&first, after)) = rest.split_first() else {
        return 0;
    };
    let width = match first {
        251 => 2,
        252 => 4,
        253 => 8,
        value => {
            *rest = after;
            return value.into();
        }
    };
    let number = after.iter().take(width).rev().fold(0, |number, &byte| number << 8 | u64::from(byte));
    *rest = after.get(width..).unwrap_or_default();
    number
}

impl fmt::Display for Stat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Stat { location, file_bytes, readable, .. } = self;
        writeln!(f, "{location}: {file_bytes} bytes, {} records, {}", readable.records, readable.counts)?;
        writeln!(f, "  digest {}", readable.digest)?;
        for study in &self.studies {
            write!(f, "  study {:?}:", study.name)?;
            for state in TrialState::ALL {
                if study.count(state) > 0 {
                    write!(f, " {} {state}", study.count(state))?;
                }
            }
            let StudyStat { params, reports, attrs, .. } = study;
            writeln!(f, " ({params} parameters, {reports} reports, {attrs} attributes)")?;
        }
        if let Some(bytes) = self.bytes_per_finished_trial() {
            writeln!(f, "  {bytes:.0} bytes for each finished trial")?;
        }
        if let Some((first, last)) = self.times {
            writeln!(f, "  times from {} to {} (microseconds since 1970 UTC)", first.0, last.0)?;
        }
        for OpShare { name, count, bytes, .. } in &self.ops {
            writeln!(f, "  {name}: {count} ops, {bytes} bytes")?;
        }
        writeln!(f, "  frames and heads of records: {} bytes", self.framing_bytes)?;
        if self.segments.len() > 1 {
            for SegmentFile { number, bytes } in &self.segments {
                writeln!(f, "  segment {number}: {bytes} bytes")?;
            }
            writeln!(f, "  snapshots: {} bytes, copied records: {} bytes", self.snapshot_bytes, self.copied_bytes)?;
        }
        if self.folded > 0 {
            writeln!(f, "  the first {} records were folded; this is about those behind them", self.folded)?;
        }
        for LargeRecord { seq, offset, bytes, .. } in &self.largest {
            writeln!(f, "  record {seq} at byte {offset}: {bytes} bytes")?;
        }
        if let Some(offset) = self.damaged_at {
            writeln!(f, "  damaged at byte {offset}: all this is about what lies before; verify says more")?;
        }
        if let Some(tail) = &self.tail {
            writeln!(f, "  {tail}")?;
        }
        Ok(())
    }
}
