//! A new log from what is left of a damaged one. The original is only read.
//!
//! A log of several files comes out as one file, or as two if its first records were folded, or are lost with a
//! snapshot that makes up for them: then the new log begins with that snapshot, and has no history before it either.
//!
//! The danger is not what is lost but what is kept: trials, studies, parameters and sessions get their numbers in log
//! order, so a later record that names trial 7 means another trial once the record that made trial 5 is gone. So:
//! - everything before the first loss is copied as it is, and what a checksum proves is mended;
//! - each lost record is replaced by one without ops, so that positions stay;
//! - behind a loss an op is kept if all that it names had its number before the loss, and left out with its reason
//!   otherwise. Under [`Trust::Likely`] it is kept as well if the lost records are assumed to have numbered no
//!   more than later records show; placeholders then stand for what they numbered.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::{ControlFlow, Range};
use std::path::Path;
use std::sync::Arc;

use trialog_codec::{OPS, code_of, decode_record, encode_record};
use trialog_journal::frame::{self, KIND_RECORD, KIND_SEAL, KIND_SNAPSHOT, Link};
use trialog_journal::header::{FLAG_FOLDED, HEADER_BYTES, Header};
use trialog_journal::seal::Seal;
use trialog_journal_file::RealOs;
use trialog_journal_file::files::segment_path;
use trialog_journal_file::os::{Access, Os, OsFile, PathKind};
use trialog_ops::{
    Json, Op, Record, SessionId, SessionKey, SessionRef, StudyId, Timestamp, TrialState, TrialTemplate,
};
use trialog_replay::State;

use crate::error::Error;
use crate::missing::missing;
use crate::scan::{Damage, DamageKind, Found, TornTail};
use crate::source::{Seen, Source};
use crate::tracker::{Counts, Readable, Tracker, key_of, metric_key_of, study_of, times_of, trial_of};
use crate::verify::{self, Affected, is_placed, unreadable};
use crate::why::Why;

/// The system attribute that marks a placeholder for a lost trial.
pub const LOST_TRIAL_ATTR: &str = "trialog:lost";

/// What stands in the place of the header until all is written: text, so that whoever opens the file is told.
pub(crate) const UNFINISHED: &[u8; HEADER_BYTES] =
    b"unfinished repair of a Trialog log: remove it and repair again.\n";

/// How much is written at a time, and synced.
const CHUNK_BYTES: usize = 1 << 20;
/// More lost records than this are stood in for only if the file once had room for them; more lost trials never are.
const PLACEHOLDERS_FREE: u64 = 1 << 16;

/// What to believe of records behind a loss.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Trust {
    /// What is proven: records of which the chain of checksums shows that they belong to this log, and of those the ops that
    /// name nothing that lost records may have numbered.
    #[default]
    Proven,
    /// What is likely: also that records behind damage belong to this log though no checksum links them, and that the lost
    /// records numbered no more than later ones show. The report says what was assumed. Look at it before you use the log.
    Likely,
}

/// What [`repair`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repair {
    /// The damaged log, which was left as it was.
    pub source: String,
    /// The new one.
    pub target: String,
    /// The new log's id.
    pub log_id: [u8; 16],
    /// What the new log holds.
    pub readable: Readable,
    /// So many of the first records are there as a snapshot only, as they were in the damaged log, or since that makes up
    /// for what is lost. The new log then has two files, and the second one's name is that of the first with a number.
    pub base: u64,
    /// True if the snapshot makes up for records that are lost: only history is.
    pub history_lost: bool,
    /// Records that were taken over whole; the mended ones are among them.
    pub kept: u64,
    /// Records out of damaged bytes that a checksum proves.
    pub mended: u64,
    /// Lost records, for each of which an empty one stands.
    pub lost: Vec<Range<u64>>,
    /// Damaged bytes that no record could be made of.
    pub bytes_lost: u64,
    /// Ops that verify and were left out, since what they mean depends on lost records.
    pub left_out: Vec<LeftOut>,
    /// Records that verify and were not taken over at all, since nothing proves that they belong to this log.
    pub set_aside: Vec<SetAside>,
    /// What lost records are assumed to have numbered; only under [`Trust::Likely`].
    pub assumed: Option<Counts>,
    /// All damage, as [`verify`](crate::verify) reports it.
    pub damages: Vec<Damage>,
    /// What the losses touch: the trials that were open then may have a history with gaps.
    pub affected: Option<Affected>,
    /// Bytes at the end that were no record.
    pub tail: Option<TornTail>,
}

/// An op that verifies and could not be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// Its record.
    pub seq: u64,
    /// Its place among the record's ops.
    pub index: usize,
    /// Its name.
    pub op: &'static str,
    /// What kept it out.
    pub why: Why,
}

/// A record that was not taken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SetAside {
    /// Its position.
    pub seq: u64,
    /// The segment that its frame is in.
    pub segment: u64,
    /// Where its frame begins there.
    pub offset: u64,
}

impl Repair {
    /// How many records are lost.
    #[must_use]
    pub fn records_lost(&self) -> u64 {
        self.lost.iter().map(|lost| lost.end - lost.start).sum()
    }

    /// True if the new log says all that the old one ever did.
    #[must_use]
    pub fn is_lossless(&self) -> bool {
        let cut = |damage: &Damage| {
            matches!(damage.kind, DamageKind::OtherHistory | DamageKind::Unsearched | DamageKind::Successor)
        };
        let whole = self.lost.is_empty() && !self.history_lost;
        whole && self.set_aside.is_empty() && !self.damages.iter().any(cut)
    }
}

/// Writes what is left of the log at `source` to a new log at `target`, and says what is lost.
///
/// The new log has an id of its own. Its header is written last: if this fails halfway, what stands at `target`
/// is no log, and can be removed.
///
/// # Errors
/// [`Error::TargetExists`], as [`verify`](crate::verify), or what the system says.
pub fn repair(source: impl AsRef<Path>, target: impl AsRef<Path>, trust: Trust) -> Result<Repair, Error> {
    repair_on(&RealOs::default(), source, target, trust)
}

/// As [`repair`], on the given operating system.
///
/// # Errors
/// As [`repair`].
pub fn repair_on(
    os: &dyn Os,
    source: impl AsRef<Path>,
    target: impl AsRef<Path>,
    trust: Trust,
) -> Result<Repair, Error> {
    // What verify believes has been looked at more than once, in case a writer is at work.
    let report = verify::verify_on(os, source.as_ref())?;
    let mut source = Source::open(os, source.as_ref())?;
    if let Some(number) = report.made_up_in {
        source.begin_at(number);
    }
    let missing = match trust {
        Trust::Proven => None,
        Trust::Likely => Some(missing(&source)?),
    };
    let writer = Writer::create(os, target.as_ref())?;
    let mut work = Work::new(os, writer, report.file_bytes, missing)?;
    let mut failure = None;
    let walk = source.walk(&mut |seen| {
        work.meet(os, seen).unwrap_or_else(|error| {
            failure = Some(error);
            ControlFlow::Break(())
        })
    })?;
    if let Some(error) = failure {
        return Err(error);
    }
    let assumed = work.assumed;
    let Work { writer, tracker, kept, mended, lost, left_out, set_aside, damages, .. } = work;
    let target = writer.location.clone();
    let base = writer.first_seq;
    let log_id = writer.finish(os, target_folder(&target))?;
    // What the snapshot makes up for is told as well.
    let damages = if report.made_up_in.is_some() { report.damages } else { damages };
    let tail = walk.tail.filter(|tail| !tail.mendable);
    let unmended = |damage: &&Damage| {
        !matches!(damage.kind, DamageKind::Header | DamageKind::Base) && damage.lost.end > damage.lost.start
    };
    Ok(Repair {
        source: source.location,
        target,
        log_id,
        readable: tracker.readable(),
        base,
        history_lost: report.made_up_in.is_some(),
        kept,
        mended,
        lost,
        bytes_lost: damages.iter().filter(unmended).map(|damage| damage.bytes).sum(),
        left_out,
        set_aside,
        assumed,
        damages,
        affected: report.affected,
        tail,
    })
}

fn target_folder(target: &str) -> &Path {
    Path::new(target).parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// How ops are judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Nothing is lost so far.
    Before,
    /// Only what was numbered before the loss is known.
    Placed(Counts),
    /// Everything is taken to be numbered as later records show, parameters and metrics up to a key.
    Assumed { params: Option<u64>, metrics: Option<u64> },
    /// Nothing more is taken over.
    Aside,
}

struct Work {
    writer: Writer,
    tracker: Tracker,
    phase: Phase,
    missing: Option<std::vec::IntoIter<Counts>>,
    assumed: Option<Counts>,
    placeholders_max: u64,
    /// The session that writes the placeholders.
    session: SessionId,
    counter: u64,
    /// How many sessions had their keys before the first loss; later ones are told apart by their old keys.
    sessions_known: u64,
    sessions: BTreeMap<u32, SessionId>,
    time: Timestamp,
    kept: u64,
    mended: u64,
    lost: Vec<Range<u64>>,
    left_out: Vec<LeftOut>,
    set_aside: Vec<SetAside>,
    damages: Vec<Damage>,
}

type Flow = Result<ControlFlow<()>, Error>;

impl Work {
    fn new(os: &dyn Os, writer: Writer, file_bytes: u64, missing: Option<Vec<Counts>>) -> Result<Work, Error> {
        let mut session = [0; 16];
        os.random(&mut session).map_err(Error::io(&writer.location, "find a random id for"))?;
        Ok(Work {
            writer,
            tracker: Tracker::default(),
            phase: Phase::Before,
            missing: missing.map(Vec::into_iter),
            assumed: None,
            placeholders_max: PLACEHOLDERS_FREE.max(file_bytes / frame::FRAME_HEADER_BYTES as u64),
            session: SessionId(session),
            counter: 0,
            sessions_known: 0,
            sessions: BTreeMap::new(),
            time: Timestamp(0),
            kept: 0,
            mended: 0,
            lost: Vec::new(),
            left_out: Vec::new(),
            set_aside: Vec::new(),
            damages: Vec::new(),
        })
    }

    fn meet(&mut self, os: &dyn Os, seen: Seen<'_>) -> Flow {
        match seen {
            // Damage before it would have made the repair begin here.
            Seen::Base(base) if base.counts && self.phase == Phase::Before && self.tracker.state.records() == 0 => {
                self.writer.begin_with(os, &base.state)?;
                self.tracker.begin_anew(base.state);
            }
            Seen::Base(_) | Seen::Copy { .. } | Seen::Other { .. } => {}
            Seen::Damage(damage) => self.damage(damage)?,
            Seen::Record(found) => match decode_record(found.payload) {
                Ok(record) => self.record(&found, record)?,
                Err(_) => self.damage(unreadable(&found))?,
            },
        }
        Ok(ControlFlow::Continue(()))
    }

    fn damage(&mut self, damage: Damage) -> Result<(), Error> {
        let (lost, continuous, kind) = (damage.lost.clone(), damage.continuous, damage.kind);
        self.damages.push(damage);
        if matches!(kind, DamageKind::OtherHistory | DamageKind::Unsearched | DamageKind::Successor) {
            self.phase = Phase::Aside;
        }
        let records = lost.end - lost.start;
        if records == 0 {
            return Ok(());
        }
        let missing = self.missing.as_mut().map(|missing| missing.next().unwrap_or_default());
        self.lost.push(lost);
        if self.phase == Phase::Aside {
            return Ok(());
        }
        let is_ours = continuous || missing.is_some();
        if !is_ours || records > self.placeholders_max {
            self.phase = Phase::Aside;
            return Ok(());
        }
        self.placeholders_max -= records;
        if self.phase == Phase::Before {
            self.sessions_known = self.tracker.counts.sessions;
        }
        let mut stand_ins = Vec::new();
        self.phase = match (self.phase, missing) {
            (Phase::Before, None) => Phase::Placed(self.tracker.counts),
            (Phase::Before | Phase::Assumed { .. }, Some(missing)) => match self.stand_ins(missing) {
                Some(trials) => {
                    stand_ins = trials;
                    let assumed = self.assumed.get_or_insert_default();
                    assumed.trials += missing.trials;
                    assumed.params = assumed.params.saturating_add(missing.params);
                    assumed.metrics = assumed.metrics.saturating_add(missing.metrics);
                    let known = match self.phase {
                        Phase::Assumed { params, metrics } => [params, metrics],
                        _ => [None; 2],
                    };
                    let counts = self.tracker.counts;
                    Phase::Assumed {
                        params: known[0].or((missing.params > 0).then_some(counts.params)),
                        metrics: known[1].or((missing.metrics > 0).then_some(counts.metrics)),
                    }
                }
                None => Phase::Placed(self.tracker.counts),
            },
            (phase, _) => phase,
        };
        for nth in 0..records {
            let ops = if nth == 0 { std::mem::take(&mut stand_ins) } else { Vec::new() };
            self.placeholder(ops)?;
        }
        Ok(())
    }

    /// Trials that stand for the lost ones, if it is clear whose they were.
    fn stand_ins(&self, missing: Counts) -> Option<Vec<Op>> {
        if missing.studies > 0 || missing.trials > PLACEHOLDERS_FREE {
            return None;
        }
        if missing.trials == 0 {
            return Some(Vec::new());
        }
        let mut living = self.tracker.state.studies();
        let (Some(study), None) = (living.next(), living.next()) else {
            return None;
        };
        let one = |study: StudyId| {
            let mut template = TrialTemplate::new(TrialState::Fail);
            template.end = Some(self.time);
            template.system_attrs.push((LOST_TRIAL_ATTR.into(), Json::from(true)));
            Op::AddTrial { study, template: Box::new(template) }
        };
        Some((0..missing.trials).map(|_| one(study.id())).collect())
    }

    fn placeholder(&mut self, ops: Vec<Op>) -> Result<(), Error> {
        self.counter += 1;
        let known = self.tracker.state.session_key(&self.session);
        let session = known.map_or(SessionRef::Id(self.session), SessionRef::Key);
        self.write(&Record { session, counter: self.counter, ops })
    }

    fn record(&mut self, found: &Found<'_>, mut record: Record) -> Result<(), Error> {
        if self.phase == Phase::Aside {
            self.set_aside.push(SetAside { seq: found.seq, segment: found.segment, offset: found.offset });
            return Ok(());
        }
        self.mended += u64::from(found.mended);
        for time in record.ops.iter().flat_map(times_of).flatten() {
            self.time = self.time.max(time);
        }
        if self.phase == Phase::Before {
            self.kept += 1;
            self.tracker.apply(&record);
            return self.writer.push(found.payload);
        }
        record.session = self.session_now(record.session)?;
        let before = self.left_out.len();
        let ops = std::mem::take(&mut record.ops);
        for (index, op) in ops.into_iter().enumerate() {
            match self.judge(&op) {
                None => record.ops.push(op),
                Some(why) => self.left_out.push(LeftOut { seq: found.seq, index, op: name_of(&op), why }),
            }
        }
        self.kept += u64::from(self.left_out.len() == before);
        self.write(&record)
    }

    /// What keeps an op out behind a loss.
    fn judge(&self, op: &Op) -> Option<Why> {
        let counts = self.tracker.counts;
        let known = match self.phase {
            Phase::Before | Phase::Aside => return None,
            Phase::Placed(known) if is_placed(op, known) => return None,
            Phase::Placed(known) => known,
            Phase::Assumed { params, metrics } => Counts {
                params: params.unwrap_or(counts.params),
                metrics: metrics.unwrap_or(counts.metrics),
                ..counts
            },
        };
        let trial = trial_of(op).filter(|trial| trial.0 >= known.trials).map(|trial| Why::Trial(trial.0));
        let study =
            study_of(op).filter(|study| u64::from(study.0) >= known.studies).map(|study| Why::Study(study.0));
        let param = key_of(op).filter(|key| u64::from(*key) >= known.params).map(Why::Param);
        let metric = metric_key_of(op).filter(|key| u64::from(*key) >= known.metrics).map(Why::Metric);
        let named = trial.or(study).or(param).or(metric);
        match self.phase {
            Phase::Placed(_) => Some(named.unwrap_or(Why::Numbers)),
            _ if matches!(op, Op::UndoAmendment { .. }) => Some(named.unwrap_or(Why::Numbers)),
            _ => named,
        }
    }

    /// The session as the new log knows it. A key from behind a loss stands for a session whose id may be lost.
    fn session_now(&mut self, session: SessionRef) -> Result<SessionRef, Error> {
        let id = match session {
            SessionRef::Key(key) if u64::from(key.0) < self.sessions_known => return Ok(session),
            SessionRef::Key(SessionKey(key)) => match self.sessions.get(&key) {
                Some(id) => *id,
                None => {
                    let id = self.another_session(key);
                    self.sessions.insert(key, id);
                    id
                }
            },
            SessionRef::Id(id) => id,
        };
        Ok(self.tracker.state.session_key(&id).map_or(SessionRef::Id(id), SessionRef::Key))
    }

    /// An id for a session that is only known by its key: as random as that of the placeholders' session.
    fn another_session(&self, key: u32) -> SessionId {
        let mut id = self.session.0;
        for (byte, add) in id.iter_mut().zip((u64::from(key) + 1).to_le_bytes()) {
            *byte = byte.wrapping_add(add);
        }
        SessionId(id)
    }

    fn write(&mut self, record: &Record) -> Result<(), Error> {
        self.tracker.apply(record);
        let mut payload = Vec::new();
        encode_record(record, &mut payload);
        self.writer.push(&payload)
    }
}

fn name_of(op: &Op) -> &'static str {
    let code = code_of(op);
    OPS.iter().find(|op| op.code == code).map_or("unknown", |op| op.name)
}

/// The new log while it is written.
struct Writer {
    location: String,
    entry: Arc<dyn OsFile>,
    /// Where records go: the entry, or the second file.
    file: Arc<dyn OsFile>,
    /// That of the file that is written.
    header: Header,
    /// How many records are in the snapshot that the second file begins with; 0 if there is none.
    first_seq: u64,
    base: Option<Mark>,
    offset: u64,
    last: u64,
    link: Link,
    stable: u64,
    frames: Vec<u8>,
    /// Where in `frames` the last one begins.
    last_in_frames: usize,
}

/// Where records begin behind a snapshot.
#[derive(Clone, Copy, Debug)]
struct Mark {
    offset: u64,
    crc: u32,
}

impl Writer {
    fn create(os: &dyn Os, path: &Path) -> Result<Writer, Error> {
        let location = path.display().to_string();
        let io = |action| Error::io(&location, action);
        if os.path_kind(path).map_err(io("look at"))? != PathKind::Missing {
            return Err(Error::TargetExists { location });
        }
        let file = os.open(path, Access::Create).map_err(io("make"))?;
        // Somebody may have made it a moment ago.
        if !file.try_lock().map_err(io("lock"))? || file.stat().map_err(io("look at"))?.bytes > 0 {
            return Err(Error::TargetExists { location });
        }
        let mut log_id = [0; 16];
        os.random(&mut log_id).map_err(io("find a random id for"))?;
        let header = Header { flags: 0, log_id, first_seq: 0, created_us: os.wall_us(), chain_start: 0 };
        let (offset, link) = (HEADER_BYTES as u64, header.link());
        write_full(&*file, 0, UNFINISHED).map_err(io("write to"))?;
        Ok(Writer {
            location,
            entry: Arc::clone(&file),
            file,
            header,
            first_seq: 0,
            base: None,
            offset,
            last: 0,
            link,
            stable: 0,
            frames: Vec::new(),
            last_in_frames: 0,
        })
    }

    /// Goes on in a second file, which begins with this state.
    fn begin_with(&mut self, os: &dyn Os, state: &State) -> Result<(), Error> {
        let path = segment_path(Path::new(&self.location), 1);
        let location = path.display().to_string();
        let file = os.open(&path, Access::New).map_err(|error| match error.kind() {
            std::io::ErrorKind::AlreadyExists => Error::TargetExists { location: location.clone() },
            _ => Error::io(&location, "make")(error),
        })?;
        self.first_seq = state.records();
        self.header = Header { flags: FLAG_FOLDED, first_seq: self.first_seq, ..self.header };
        write_full(&*file, 0, &self.header.encode()).map_err(Error::io(&location, "write to"))?;
        self.file = file;
        self.link = self.header.link();
        self.stable = self.link.seq;
        let mut failure = None;
        let mut part = Vec::with_capacity(CHUNK_BYTES);
        let streamed: Result<(), ()> = state.stream_snapshot(|mut bytes| {
            while !bytes.is_empty() {
                let (now, later) = bytes.split_at(bytes.len().min(CHUNK_BYTES - part.len()));
                part.extend_from_slice(now);
                bytes = later;
                if part.len() == CHUNK_BYTES {
                    self.push_frame(KIND_SNAPSHOT, &part).map_err(|error| failure = Some(error))?;
                    part.clear();
                }
            }
            Ok(())
        });
        if let (Err(()), Some(error)) = (streamed, failure) {
            return Err(error);
        }
        if !part.is_empty() {
            self.push_frame(KIND_SNAPSHOT, &part)?;
        }
        self.flush()?;
        self.base = Some(Mark { offset: self.offset, crc: self.link.crc });
        Ok(())
    }

    fn push(&mut self, payload: &[u8]) -> Result<(), Error> {
        if payload.len() > trialog_journal::RECORD_BYTES_MAX {
            let source = std::io::ErrorKind::FileTooLarge.into();
            return Err(Error::Io { location: self.location.clone(), action: "write a record to", source });
        }
        self.push_frame(KIND_RECORD, payload)
    }

    fn push_frame(&mut self, kind: u8, payload: &[u8]) -> Result<(), Error> {
        self.last_in_frames = self.frames.len();
        frame::push_unsealed(&mut self.frames, kind, payload);
        if self.frames.len() >= CHUNK_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), Error> {
        if !self.frames.is_empty() {
            self.last = self.offset + self.last_in_frames as u64;
        }
        self.link = frame::seal(&mut self.frames, self.link, self.stable);
        write_full(&*self.file, self.offset, &self.frames).map_err(Error::io(&self.location, "write to"))?;
        self.file.sync_data().map_err(Error::io(&self.location, "sync"))?;
        self.offset += self.frames.len() as u64;
        self.stable = self.link.seq;
        self.frames.clear();
        Ok(())
    }

    fn finish(mut self, os: &dyn Os, folder: &Path) -> Result<[u8; 16], Error> {
        self.flush()?;
        if let Some(base) = self.base {
            self.seal_entry(base)?;
        }
        os.sync_dir(folder).map_err(Error::io(&self.location, "sync the folder of"))?;
        let header = Header { flags: 0, first_seq: 0, ..self.header };
        write_full(&*self.entry, 0, &header.encode()).map_err(Error::io(&self.location, "write the header of"))?;
        self.entry.sync_data().map_err(Error::io(&self.location, "sync"))?;
        self.entry.unlock().map_err(Error::io(&self.location, "unlock"))?;
        Ok(self.header.log_id)
    }

    /// The first file holds nothing but the way to the second, as if its records had been folded and given back.
    fn seal_entry(&self, base: Mark) -> Result<(), Error> {
        let at = HEADER_BYTES as u64;
        let seal = Seal {
            log_id: self.header.log_id,
            at,
            number: 1,
            base: base.offset,
            tip: self.offset,
            last: self.last,
            header_crc: self.header.link().crc,
            base_crc: base.crc,
            tip_crc: self.link.crc,
        };
        let mut bytes = Vec::new();
        frame::push_unsealed(&mut bytes, KIND_SEAL, &seal.encode());
        frame::seal(&mut bytes, Link { seq: self.link.seq, crc: 0 }, self.link.seq);
        write_full(&*self.entry, at, &bytes).map_err(Error::io(&self.location, "write to"))?;
        self.entry.sync_data().map_err(Error::io(&self.location, "sync"))
    }
}

fn write_full(file: &dyn OsFile, offset: u64, bytes: &[u8]) -> std::io::Result<()> {
    let mut done = 0;
    while done < bytes.len() {
        match file.write_at(offset + done as u64, &bytes[done..]) {
            Ok(0) => return Err(std::io::ErrorKind::WriteZero.into()),
            Ok(n) => done += n,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// How many left-out ops are shown; all are in the report.
const SHOWN_MAX: usize = 20;

impl fmt::Display for Repair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} was written from {}, which is as it was", self.target, self.source)?;
        writeln!(f, "  {} records, {}", self.readable.records, self.readable.counts)?;
        writeln!(f, "  digest {}", self.readable.digest)?;
        if self.base > 0 {
            let why = if self.history_lost { "are lost, and a snapshot makes up for them" } else { "were folded" };
            writeln!(f, "  two files, which begin with a snapshot: the first {} records {why}", self.base)?;
        }
        writeln!(f, "  {} records kept whole, {} of them mended", self.kept, self.mended)?;
        for damage in &self.damages {
            writeln!(f, "  damage: {damage}")?;
        }
        if self.bytes_lost > 0 {
            writeln!(f, "  bytes that no record could be made of: {}", self.bytes_lost)?;
        }
        if !self.left_out.is_empty() {
            writeln!(f, "  left out, since their meaning depends on lost records: {} ops", self.left_out.len())?;
            for LeftOut { seq, op, why, .. } in self.left_out.iter().take(SHOWN_MAX) {
                writeln!(f, "    {op} of record {seq}: {why}")?;
            }
        }
        if let (Some(first), Some(last)) = (self.set_aside.first(), self.set_aside.last()) {
            writeln!(
                f,
                "  set aside: {} records, {} to {}, verify in themselves, and nothing proves that they belong to \
                 this log and what they name; a repair that takes what is likely takes them",
                self.set_aside.len(),
                first.seq,
                last.seq
            )?;
        }
        if let Some(assumed) = &self.assumed {
            writeln!(f, "  assumed, not proven: the lost records numbered {assumed}")?;
        }
        if let Some(affected) = &self.affected {
            write!(f, "{affected}")?;
        }
        if let Some(tail) = &self.tail {
            writeln!(f, "  left out: {tail}")?;
        }
        Ok(())
    }
}
