//! Is a log whole? Everything that is not, with its place, and what it means for the studies.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use trialog_codec::decode_record;
use trialog_journal::header::HEADER_BYTES;
use trialog_journal_file::RealOs;
use trialog_journal_file::files::{SavedSnapshot, saved_snapshot, set_aside, snapshot_path};
use trialog_journal_file::os::{Os, PathKind};
use trialog_ops::{Op, Record, SessionRef, TrialNumber, TrialState};
use trialog_replay::{Digest, State};

use crate::error::Error;
use crate::scan::{Damage, DamageKind, Found, TornTail};
use crate::source::{LOOK_AGAIN_PAUSE, LOOKS_AGAIN, Restored, Seen, SegmentFile, Source};
use crate::tracker::{Counts, Readable, Tracker, key_of, metric_key_of, metrics_of, params_of, study_of, trial_of};

/// How many open trials are named; all are counted.
const NAMED_MAX: usize = 16;

/// What [`verify`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The log's path.
    pub location: String,
    /// The length of all its files.
    pub file_bytes: u64,
    /// Its files, the oldest first.
    pub segments: Vec<SegmentFile>,
    /// How many of the first records were folded into a snapshot by a compaction: they are gone by intent, and what they
    /// amounted to counts.
    pub folded: u64,
    /// The number of a later segment whose snapshot makes up for records that are lost before it: what is `readable`
    /// begins there, and only history is lost.
    pub made_up_in: Option<u64>,
    /// Files that are called like segments and belong to none: of a compaction that came to nothing or goes on.
    pub orphans: Vec<u64>,
    /// Files beside it with what writers found behind a hole that a loss of power had left, and set aside: records that
    /// nobody was promised.
    pub set_aside: Vec<PathBuf>,
    /// What is to be said of the snapshot beside the newest segment, if there is one. None of it is damage: a snapshot
    /// there only ever saves time.
    pub snapshot: Option<SnapshotCheck>,
    /// What tells the log from all others, if its header can be read.
    pub log_id: Option<[u8; 16]>,
    /// Frames that verify or were mended, wherever they stand.
    pub frames: u64,
    /// What lies before the first loss: all that a reader sees, and what mending adds to it.
    pub readable: Readable,
    /// Records behind the first loss that verify in themselves.
    pub records_behind: u64,
    /// Every damage, in the order of the log.
    pub damages: Vec<Damage>,
    /// What the losses touch, if there are any.
    pub affected: Option<Affected>,
    /// Bytes at the end that are no frame yet, and may never become one. Not damage.
    pub tail: Option<TornTail>,
    /// The file is empty or its header was never finished: a log without records.
    pub unfinished: bool,
}

/// What the snapshot beside a log is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SnapshotCheck {
    /// It is the state after so many records.
    Agrees(u64),
    /// It is torn, damaged, or of a newer version.
    Unreadable,
    /// It is another log's, or of records that this one has not, such as after a compaction.
    Foreign,
    /// It says something else than the first so many records: remove it.
    Contradicts(u64),
}

/// What lost records may have changed, as far as can be told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Affected {
    /// Lost records, counted by the seqs that are missing.
    pub records_lost: u64,
    /// Trials that were running or waiting at the first loss: what happened to them then may be missing.
    pub trials_open: u64,
    /// The first of them.
    pub named: Vec<OpenTrial>,
    /// At least so many things were numbered by lost records, since later records name them.
    pub numbered_min: Counts,
    /// Ops behind the first loss that concern what was there before it, and so keep their meaning.
    pub ops_placed: u64,
    /// Ops behind it that create something, or name what was created later: their numbers cannot be proven.
    pub ops_unplaced: u64,
}

/// A trial that had not ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenTrial {
    /// Its study's name.
    pub study: String,
    /// Its number.
    pub number: TrialNumber,
    /// Whether it was running or waiting.
    pub state: TrialState,
}

impl Report {
    /// True if there is no damage. A torn tail is none.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.damages.is_empty()
    }

    /// Lost records.
    #[must_use]
    pub fn records_lost(&self) -> u64 {
        self.affected.as_ref().map_or(0, |affected| affected.records_lost)
    }
}

/// Looks at every byte of the log at `path` and changes nothing.
///
/// # Errors
/// [`Error::NotFound`], [`Error::NotALog`], [`Error::NewerFormat`], or what the system says. Damage is no error.
pub fn verify(path: impl AsRef<Path>) -> Result<Report, Error> {
    verify_on(&RealOs::default(), path)
}

/// As [`verify`], on the given operating system.
///
/// # Errors
/// As [`verify`].
pub fn verify_on(os: &dyn Os, path: impl AsRef<Path>) -> Result<Report, Error> {
    let path = path.as_ref();
    let mut looks = 0;
    loop {
        let source = Source::open(os, path)?;
        let report = look(os, &source)?;
        // The bytes of a write that is going on come in any order, and files come and go: what is damage stays.
        let same = Source::open(os, path).is_ok_and(|again| again.bytes() == source.bytes());
        if report.is_clean() || same && looks > 0 || looks == LOOKS_AGAIN {
            return Ok(report);
        }
        os.sleep(LOOK_AGAIN_PAUSE * (1 << looks));
        looks += 1;
    }
}

fn look(os: &dyn Os, source: &Source) -> Result<Report, Error> {
    let saved = Beside::load(os, source);
    let mut look = Look { bases: source.bases(), saved, ..Look::default() };
    look.note_digests();
    let walk = source.walk(&mut |seen| look.meet(seen))?;
    if let Some(found) = look.newer {
        return Err(Error::NewerFormat { location: source.location.clone(), found });
    }
    let readable = look.before.readable();
    let snapshot = look.saved.map(|saved| saved.check(walk.log_id, look.first));
    Ok(Report {
        location: source.location.clone(),
        file_bytes: walk.file_bytes,
        segments: source.files(),
        folded: look.folded,
        made_up_in: look.made_up_in,
        orphans: source.orphans.clone(),
        set_aside: set_aside(os, Path::new(&source.location)).unwrap_or_default(),
        snapshot,
        log_id: walk.log_id,
        frames: walk.frames,
        readable,
        records_behind: look.records_behind,
        damages: look.damages,
        affected: look.affected,
        tail: walk.tail,
        unfinished: walk.unfinished,
    })
}

/// The snapshot beside the newest segment.
struct Beside {
    saved: Option<SavedSnapshot>,
    state: Option<State>,
    /// The digest of the log's records up to its position.
    digest: Option<Digest>,
}

impl Beside {
    fn load(os: &dyn Os, source: &Source) -> Option<Beside> {
        let newest = source.segments().last()?;
        if os.path_kind(&snapshot_path(&newest.path)).ok()? == PathKind::Missing {
            return None;
        }
        let saved = saved_snapshot(os, &newest.path);
        let state = saved.as_ref().and_then(|saved| State::read_snapshot(&saved.payload).ok());
        Some(Beside { saved, state, digest: None })
    }

    fn check(self, log_id: Option<[u8; 16]>, first: u64) -> SnapshotCheck {
        let (Some(saved), Some(state)) = (self.saved, self.state) else {
            return SnapshotCheck::Unreadable;
        };
        match self.digest {
            _ if log_id.is_some_and(|id| id != saved.log_id) || saved.seq < first => SnapshotCheck::Foreign,
            Some(digest) if digest == state.digest() && state.records() == saved.seq => {
                SnapshotCheck::Agrees(saved.seq)
            }
            Some(_) => SnapshotCheck::Contradicts(saved.seq),
            None => SnapshotCheck::Foreign,
        }
    }
}

#[derive(Default)]
struct Look {
    before: Tracker,
    damages: Vec<Damage>,
    records_behind: u64,
    affected: Option<Affected>,
    /// Numbers that are given at most at this point, as far as the readable records tell.
    given: Counts,
    newer: Option<String>,
    /// How many records the snapshots of later segments cover, and the digests of the log there.
    bases: Vec<u64>,
    digests: BTreeMap<u64, Digest>,
    saved: Option<Beside>,
    folded: u64,
    made_up_in: Option<u64>,
    /// The position at which `before` began.
    first: u64,
}

impl Look {
    /// Keeps the digests that snapshots are to be compared with.
    fn note_digests(&mut self) {
        let records = self.before.state.records();
        let beside = self.saved.as_mut().filter(|beside| beside.saved.as_ref().is_some_and(|it| it.seq == records));
        let wanted = self.bases.contains(&records);
        if wanted || beside.is_some() {
            let digest = self.before.state.digest();
            self.digests.insert(records, digest);
            if let Some(beside) = beside {
                beside.digest = Some(digest);
            }
        }
    }

    /// A whole snapshot: it stands for what was folded, makes up for what was lost, or says what the records say.
    fn base(&mut self, base: Box<Restored>) -> Option<Damage> {
        let Restored { segment, state, bytes, counts, .. } = *base;
        let seq = state.records();
        if !counts {
            let agrees = self.digests.get(&seq).is_none_or(|digest| *digest == state.digest());
            return (!agrees).then_some(Damage {
                segment,
                offset: HEADER_BYTES as u64,
                bytes,
                lost: seq..seq,
                kind: DamageKind::Base,
                mended: 0,
                continuous: true,
                lost_stable: 0,
            });
        }
        if self.affected.take().is_some() || self.before.state.records() > 0 {
            self.made_up_in = Some(segment);
        } else {
            self.folded = seq;
        }
        self.records_behind = 0;
        self.given = Counts::default();
        self.before.begin_anew(state);
        self.first = seq;
        self.note_digests();
        None
    }

    fn meet(&mut self, seen: Seen<'_>) -> ControlFlow<()> {
        match seen {
            Seen::Copy { .. } | Seen::Other { .. } => {}
            Seen::Base(base) => {
                let damage = self.base(base);
                self.damages.extend(damage);
            }
            Seen::Damage(damage) => self.damage(damage),
            Seen::Record(found) => match decode_record(found.payload) {
                Ok(record) => self.record(&record),
                Err(error) if error.is_newer_format() && self.affected.is_none() => {
                    self.newer = Some(error.to_string());
                    return ControlFlow::Break(());
                }
                Err(_) => self.damage(unreadable(&found)),
            },
        }
        ControlFlow::Continue(())
    }

    fn damage(&mut self, damage: Damage) {
        let lost = damage.lost.end - damage.lost.start;
        let cut = [DamageKind::OtherHistory, DamageKind::Unsearched, DamageKind::Successor].contains(&damage.kind);
        let is_loss = lost > 0 || cut;
        if is_loss {
            let affected = self.affected.get_or_insert_with(|| {
                self.given = self.before.counts;
                open_trials(&self.before)
            });
            affected.records_lost += lost;
        }
        self.damages.push(damage);
    }

    fn record(&mut self, record: &Record) {
        let Some(affected) = &mut self.affected else {
            self.before.apply(record);
            self.note_digests();
            return;
        };
        self.records_behind += 1;
        let known = self.before.counts;
        let given = &mut self.given;
        let raise = |given: &mut u64, min: &mut u64, named: u64| {
            let missing = named.saturating_add(1).saturating_sub(*given);
            *min = min.saturating_add(missing);
            *given = given.saturating_add(missing);
        };
        match record.session {
            SessionRef::Key(key) => raise(&mut given.sessions, &mut affected.numbered_min.sessions, key.0.into()),
            SessionRef::Id(_) => given.sessions = given.sessions.saturating_add(1),
        }
        for op in &record.ops {
            if let Some(trial) = trial_of(op) {
                raise(&mut given.trials, &mut affected.numbered_min.trials, trial.0);
            }
            if let Some(study) = study_of(op) {
                raise(&mut given.studies, &mut affected.numbered_min.studies, study.0.into());
            }
            if let Some(key) = key_of(op) {
                raise(&mut given.params, &mut affected.numbered_min.params, key.into());
            }
            if let Some(key) = metric_key_of(op) {
                raise(&mut given.metrics, &mut affected.numbered_min.metrics, key.into());
            }
            match op {
                Op::CreateStudy { .. } => given.studies = given.studies.saturating_add(1),
                Op::CreateTrial { .. } | Op::AddTrial { .. } => given.trials = given.trials.saturating_add(1),
                _ => {}
            }
            given.params = given.params.saturating_add(params_of(op).len() as u64);
            given.metrics = given.metrics.saturating_add(metrics_of(op).count() as u64);
            if is_placed(op, known) { affected.ops_placed += 1 } else { affected.ops_unplaced += 1 }
        }
    }
}

/// True if all that the op names had its number before, and it makes nothing that gets one.
pub(crate) fn is_placed(op: &Op, known: Counts) -> bool {
    // Whether a loss of trials enqueues others depends on everything before it.
    let makes = matches!(
        op,
        Op::CreateStudy { .. } | Op::CreateTrial { .. } | Op::AddTrial { .. } | Op::DeclareLost { .. }
    );
    // It counts the changes of its trial, and some of them may be lost.
    let counts = matches!(op, Op::UndoAmendment { .. });
    !(makes || counts)
        && trial_of(op).is_none_or(|trial| trial.0 < known.trials)
        && study_of(op).is_none_or(|study| u64::from(study.0) < known.studies)
        && key_of(op).is_none_or(|key| u64::from(key) < known.params)
        && metric_key_of(op).is_none_or(|key| u64::from(key) < known.metrics)
}

pub(crate) fn unreadable(found: &Found<'_>) -> Damage {
    Damage {
        segment: found.segment,
        offset: found.offset,
        bytes: found.frame_bytes as u64,
        lost: found.seq..found.seq + 1,
        kind: DamageKind::Unreadable,
        mended: 0,
        continuous: true,
        lost_stable: 0,
    }
}

fn open_trials(tracker: &Tracker) -> Affected {
    let mut affected = Affected::default();
    for study in tracker.state.studies() {
        affected.trials_open += (study.count(TrialState::Running) + study.count(TrialState::Waiting)) as u64;
        for trial in study.running().chain(study.waiting()) {
            if affected.named.len() == NAMED_MAX {
                break;
            }
            let (number, state) = (trial.number(), trial.state());
            affected.named.push(OpenTrial { study: study.name().into(), number, state });
        }
    }
    affected
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { location, file_bytes, readable, .. } = self;
        if self.unfinished {
            return write!(f, "{location}: a log without records ({file_bytes} bytes)");
        }
        let verdict = match (self.is_clean(), self.records_lost()) {
            (true, _) => "whole",
            (false, 0) if self.made_up_in.is_some() => "damaged, and only history is lost",
            (false, 0) => "damaged, and no record is lost",
            (false, _) => "damaged",
        };
        writeln!(f, "{location}: {verdict}, {file_bytes} bytes")?;
        if self.segments.len() > 1 {
            let numbers: Vec<String> = self.segments.iter().map(|segment| segment.number.to_string()).collect();
            writeln!(f, "  segments: {}", numbers.join(", "))?;
        }
        if self.folded > 0 {
            writeln!(
                f,
                "  folded, as a compaction was told to: the first {} records, into a snapshot that verifies",
                self.folded
            )?;
        }
        if let Some(number) = self.made_up_in {
            writeln!(
                f,
                "  the snapshot of segment {number} verifies and makes up for what is lost before it: only history is lost"
            )?;
        }
        writeln!(f, "  readable: {} records, {}, digest {}", readable.records, readable.counts, readable.digest)?;
        for damage in &self.damages {
            writeln!(f, "  damage: {damage}")?;
        }
        if let Some(affected) = &self.affected {
            writeln!(f, "  behind the first loss: {} records verify", self.records_behind)?;
            write!(f, "{affected}")?;
        }
        if let Some(tail) = &self.tail {
            writeln!(f, "  {tail}")?;
        }
        match self.snapshot {
            Some(SnapshotCheck::Contradicts(seq)) => {
                writeln!(
                    f,
                    "  the snapshot beside it says something else than the first {seq} records: remove it"
                )?;
            }
            Some(SnapshotCheck::Unreadable) => {
                f.write_str("  the snapshot beside it cannot be read: it is passed over\n")?;
            }
            Some(SnapshotCheck::Foreign) => {
                f.write_str("  the snapshot beside it is not of this log's records: it is passed over\n")?;
            }
            Some(SnapshotCheck::Agrees(seq)) => {
                writeln!(f, "  the snapshot beside it is the state after {seq} records")?;
            }
            None => {}
        }
        for path in &self.set_aside {
            writeln!(
                f,
                "  set aside by a writer, since a loss of power had left a hole before it: {}",
                path.display()
            )?;
        }
        if !self.orphans.is_empty() {
            writeln!(
                f,
                "  {} files beside it are no part of it: a compaction came to nothing, or goes on",
                self.orphans.len()
            )?;
        }
        Ok(())
    }
}

impl fmt::Display for Affected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "  lost: {} records", self.records_lost)?;
        if !self.numbered_min.is_zero() {
            writeln!(f, "  lost with them, at least: {}", self.numbered_min)?;
        }
        writeln!(
            f,
            "  of the ops behind the loss {} concern what was there before it, and {} what cannot be placed for \
             certain",
            self.ops_placed, self.ops_unplaced
        )?;
        f.write_str("  attributes of studies may be older ones: a lost record may have replaced them\n")?;
        if self.trials_open > 0 {
            write!(f, "  open at the loss, so what they became is uncertain: {} trials", self.trials_open)?;
            for OpenTrial { study, number, state } in &self.named {
                write!(f, "\n    trial {number} of {study:?} ({state})")?;
            }
            if self.trials_open > self.named.len() as u64 {
                write!(f, "\n    and {} more", self.trials_open - self.named.len() as u64)?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Damage { offset, bytes, lost, .. } = self;
        let what = match self.kind {
            DamageKind::Header => "the header of the file does not verify",
            DamageKind::Overwritten => "the bytes do not verify, and valid frames follow",
            DamageKind::Inserted => "bytes that belong to no record stand between frames that follow one another",
            DamageKind::Doubled => "frames of records that were there before",
            DamageKind::CutOut => "records were cut out",
            DamageKind::OtherHistory => {
                "valid frames continue another history: spliced in from another log, or two writers wrote at one place"
            }
            DamageKind::Unreadable => "the frame of a record verifies, and its content cannot be read",
            DamageKind::Unsearched => "too many places look like frames to search them all",
            DamageKind::Base => {
                "the snapshot that the segment begins with is damaged, or says something else than the records"
            }
            DamageKind::Seal => "the seal that ends the segment is damaged, and another segment goes on behind it",
            DamageKind::Successor => {
                "the segment that the seal names is missing, or is not the one that was sealed for"
            }
        };
        if self.segment > 0 {
            write!(f, "in segment {}, ", self.segment)?;
        }
        write!(f, "at byte {offset}, {bytes} bytes: {what}")?;
        match lost.end - lost.start {
            0 => f.write_str("; no record is lost")?,
            1 => write!(f, "; record {} is lost", lost.start)?,
            n => write!(f, "; {n} records are lost, {} to {}", lost.start, lost.end - 1)?,
        }
        if self.mended > 0 {
            write!(f, "; {} can be mended, as their checksums prove", self.mended)?;
        }
        if lost.end > lost.start {
            f.write_str(match (self.lost_stable, self.kind) {
                (_, DamageKind::Unreadable) => "",
                (0, _) => "; a loss of power explains it",
                _ => "; they were known to be on stable storage, so the medium or another program damaged them",
            })?;
        }
        Ok(())
    }
}

impl fmt::Display for TornTail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let TornTail { offset, bytes, .. } = self;
        write!(f, "torn tail at byte {offset}, {bytes} bytes: ")?;
        f.write_str(if self.mendable {
            "a record with one bit flipped, which a repair can mend and the next writer would cut"
        } else {
            "a write that is going on or was cut short; the next writer cuts it, no record is lost"
        })
    }
}
