//! The stairwell, where log and state meet: ops go down as records and come back as verdicts, and views are
//! lent. This crate names no medium and holds no policy; it is the one that other tools link.

mod compaction;
mod dialect;
mod error;
mod follow;
mod optuna;
mod past;
mod session;

pub use compaction::Compaction;
pub use dialect::{Dialect, LocalClock, OptunaDialect};
pub use error::Error;
pub use follow::{Follower, Met, Step};
/// How lines of Optuna's journals are spaced.
pub use trialog_codec::optuna::Spacing;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use optuna::{Lines, Translator};
use session::{Session, Sessions};
use trialog_codec::decode_record;
use trialog_journal::{Durability, Journal, Seq};
use trialog_ops::{MetricRef, Op, ParamRef, Record, SessionId, SessionRef, StudyId, WorkerId};
use trialog_replay::{Digest, SnapshotError, State, StudyView, Verdict};

/// A journal and the state that its records amount to. All methods may be called from any thread.
pub struct Storage {
    journal: Arc<dyn Journal>,
    replica: Mutex<Replica>,
    sessions: Mutex<Sessions>,
    dialect: Dialect,
    snapshots: Snapshots,
    /// How many records there must be for the next snapshot.
    snapshot_due: AtomicU64,
    compaction: Compaction,
    /// How many records there must be for the next look whether a compaction is due.
    compaction_look: AtomicU64,
    /// Whether one is going on in the background.
    compacting: Arc<AtomicBool>,
}

/// The position behind a record, and the verdict on each of its ops.
pub type Committed = (u64, Vec<Verdict>);

/// When a storage has its journal keep a snapshot, so that opening the log costs the snapshot and what came after.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Snapshots {
    /// Never.
    Off,
    /// Once the log has grown by `growth` times what the last snapshot covered, and by `records_min` at least: all
    /// the snapshots of a log then cost no more than a fixed part of writing it.
    Auto {
        /// How many records must have come since the last one.
        records_min: u64,
        /// By which part of itself the log must have grown.
        growth: f64,
    },
}

impl Snapshots {
    /// How many records there must be for the next snapshot, after one that covers so many.
    fn due_after(self, covered: u64) -> u64 {
        match self {
            Snapshots::Off => u64::MAX,
            Snapshots::Auto { records_min, growth } => {
                covered.saturating_add(records_min.max((covered as f64 * growth) as u64))
            }
        }
    }
}

/// Where a record is to go.
#[derive(Clone, Copy)]
enum Place {
    /// The log's end, wherever that is.
    End,
    /// Directly behind what this process has applied, or nowhere.
    Seen,
}

/// What this process knows of the log.
struct Replica {
    state: State,
    /// Where the records are not in the native dialect.
    translator: Option<Box<Translator>>,
    /// Sessions of this process, whose verdicts somebody waits for; as many as threads that commit at once.
    own: Vec<SessionId>,
    /// Verdicts of this process's records that another of its threads replayed, by position.
    inbox: BTreeMap<u64, Vec<Verdict>>,
    scratch: Vec<Verdict>,
}

impl Storage {
    /// Takes a journal and replays it, without snapshots.
    ///
    /// # Errors
    /// What the journal says, and [`Error::NewerFormat`] or [`Error::BadRecord`] if a record cannot be decoded.
    pub fn new(journal: Box<dyn Journal>) -> Result<Storage, Error> {
        Storage::with_snapshots(journal, Snapshots::Off)
    }

    /// Takes a journal and replays it, from its newest snapshot on if it has one and the policy is not off.
    ///
    /// # Errors
    /// As [`Storage::new`].
    pub fn with_snapshots(journal: Box<dyn Journal>, snapshots: Snapshots) -> Result<Storage, Error> {
        Storage::with_policies(journal, snapshots, Compaction::Off)
    }

    /// Takes a journal and replays it; snapshots are kept and the log is compacted as the policies say.
    ///
    /// # Errors
    /// As [`Storage::new`].
    pub fn with_policies(
        journal: Box<dyn Journal>,
        snapshots: Snapshots,
        compaction: Compaction,
    ) -> Result<Storage, Error> {
        Storage::build(journal, Dialect::Native, snapshots, compaction)
    }

    /// Takes a journal whose records are written in some dialect, and replays it. What is not native has neither
    /// snapshots nor compactions.
    ///
    /// # Errors
    /// As [`Storage::new`].
    pub fn with_dialect(journal: Box<dyn Journal>, dialect: Dialect) -> Result<Storage, Error> {
        Storage::build(journal, dialect, Snapshots::Off, Compaction::Off)
    }

    fn build(
        journal: Box<dyn Journal>,
        dialect: Dialect,
        snapshots: Snapshots,
        compaction: Compaction,
    ) -> Result<Storage, Error> {
        let snapshot = match snapshots {
            Snapshots::Off => None,
            Snapshots::Auto { .. } => journal.load_snapshot(),
        };
        // One that does not read as a state of its position is passed over: a snapshot only ever saves time.
        let state = snapshot
            .and_then(|(at, bytes)| State::read_snapshot(&bytes).ok().filter(|state| state.records() == at.0));
        let state = state.unwrap_or_default();
        let snapshot_due = AtomicU64::new(snapshots.due_after(state.records()));
        let translator = match dialect {
            Dialect::Native => None,
            Dialect::Optuna(optuna) => Some(Box::new(Translator::new(optuna))),
        };
        let replica = Replica { state, translator, own: Vec::new(), inbox: BTreeMap::new(), scratch: Vec::new() };
        let storage = Storage {
            journal: Arc::from(journal),
            replica: Mutex::new(replica),
            sessions: Mutex::new(Sessions::default()),
            dialect,
            snapshots,
            snapshot_due,
            compaction,
            compaction_look: AtomicU64::new(0),
            compacting: Arc::default(),
        };
        if let Err(error) = storage.refresh() {
            // If there was no snapshot, this is the truth about the log. A snapshot that is well-formed and wrong is not:
            // records behind it are read in vain, and all that it can cost is time.
            if storage.snapshot_due.load(Ordering::Relaxed) == snapshots.due_after(0) {
                return Err(error);
            }
            storage.snapshot_due.store(snapshots.due_after(0), Ordering::Relaxed);
            storage.replica().state = State::default();
            storage.refresh()?;
        }
        Ok(storage)
    }

    /// Has the journal keep a snapshot if one is due. Nothing depends on whether that goes well.
    fn snapshot_if_due(&self, records: u64) {
        let due = self.snapshot_due.load(Ordering::Relaxed);
        if records < due {
            return;
        }
        // Whether or not this process writes it, and whatever comes of it, it need not ask again soon.
        let next = self.snapshots.due_after(records);
        if self.snapshot_due.compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            let _ = self.snapshot();
        }
    }

    /// Has the journal keep a snapshot of everything so far, whatever the policy. Says whether it did.
    ///
    /// # Errors
    /// What the journal says.
    pub fn snapshot(&self) -> Result<bool, Error> {
        self.refresh()?;
        let state = self.with_state(State::clone);
        let saved =
            self.journal.save_snapshot(Seq(state.records()), &mut |sink| state.stream_snapshot(&mut *sink))?;
        Ok(saved)
    }

    /// Path or URL of the journal, for messages.
    #[must_use]
    pub fn location(&self) -> &str {
        self.journal.location()
    }

    /// How the records are written.
    #[must_use]
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// This process as the log knows it: what all its sessions have in common. A forked child has another id from
    /// its first record on.
    ///
    /// # Errors
    /// [`Error::NoEntropy`].
    pub fn worker(&self) -> Result<WorkerId, Error> {
        lock(&self.sessions).worker()
    }

    /// Applies what others have appended since the last look.
    ///
    /// # Errors
    /// As [`Storage::new`]; everything before the trouble has been applied.
    pub fn refresh(&self) -> Result<(), Error> {
        self.replica().catch_up(&*self.journal, None)
    }

    /// Appends the ops as one record, replays the log up to it, and returns each op's verdict.
    ///
    /// Parameters and metrics that the log knows are written by key, whatever form they come in. When this returns an error
    /// the record may be in the log or not; [`Storage::refresh`] tells.
    ///
    /// # Errors
    /// [`Error::Refused`] for ops that no reader would take, [`Error::Unsayable`] for one that the log's dialect does not
    /// have, what the journal says, and as [`Storage::new`] for records of others that lie before this one.
    pub fn commit(&self, ops: Vec<Op>, durability: Durability) -> Result<Vec<Verdict>, Error> {
        self.commit_at(ops, durability).map(|(_, verdicts)| verdicts)
    }

    /// As [`Storage::commit`], with the position behind the record.
    ///
    /// # Errors
    /// As [`Storage::commit`].
    pub fn commit_at(&self, ops: Vec<Op>, durability: Durability) -> Result<Committed, Error> {
        if let Dialect::Optuna(dialect) = self.dialect {
            return self.commit_lines(&ops, dialect, durability);
        }
        let committed = self.commit_record(ops, durability, Place::End)?;
        Ok(committed.expect("an append at the end is refused or done"))
    }

    /// Commits as [`Storage::commit_at`] does if nothing came since this process last looked, and says `None` otherwise: for
    /// those who would have to look before they append, where the look costs a round trip. Where looking is cheap it
    /// is always `None`.
    ///
    /// # Errors
    /// As [`Storage::commit`].
    pub fn commit_if_current(&self, ops: Vec<Op>, durability: Durability) -> Result<Option<Committed>, Error> {
        if !self.is_remote() {
            return Ok(None);
        }
        self.commit_record(ops, durability, Place::Seen)
    }

    /// Whether a look at the log costs a round trip that [`Storage::commit_if_current`] can save.
    #[must_use]
    pub fn is_remote(&self) -> bool {
        self.journal.is_remote() && !matches!(self.dialect, Dialect::Optuna(_))
    }

    fn commit_record(
        &self,
        mut ops: Vec<Op>,
        durability: Durability,
        place: Place,
    ) -> Result<Option<Committed>, Error> {
        let mut session = lock(&self.sessions).take()?;
        let mut replica = self.replica();
        let seen = Seq(replica.state.records());
        let mut record = replica.prepare(&session, &mut ops);
        drop(replica);
        if let Err(error) = session.encode(&record) {
            lock(&self.sessions).put_back(session);
            return Err(error);
        }
        let append = |bytes: &[u8]| match place {
            Place::End => self.journal.append(&[bytes], durability).map(Some),
            Place::Seen => self.journal.append_at(seen, &[bytes], durability),
        };
        let mut appended = append(&session.buffer);
        if let Err(trialog_journal::Error::Forked { .. }) = appended {
            session = {
                let mut sessions = lock(&self.sessions);
                sessions.disown();
                sessions.take()?
            };
            record = self.replica().prepare(&session, &mut record.ops);
            session.encode(&record)?;
            appended = append(&session.buffer);
        }
        let mut replica = self.replica();
        let appended = appended.inspect_err(|_| {
            // A session whose append failed is given up: nobody may know whether its counter was used.
            replica.own.retain(|id| *id != session.id);
        })?;
        let Some(seq) = appended else {
            drop(replica);
            // A counter that was left out is never missed.
            lock(&self.sessions).put_back(session);
            return Ok(None);
        };
        let mut mine = replica.inbox.remove(&seq.0);
        if mine.is_none() {
            replica.catch_up(&*self.journal, Some((seq, &mut mine)))?;
        }
        drop(replica);
        lock(&self.sessions).put_back(session);
        self.snapshot_if_due(seq.0 + 1);
        self.compact_if_due(seq.0 + 1);
        let vanished = || Error::Vanished { location: self.location().to_owned(), seq: seq.0 };
        Ok(Some((seq.0 + 1, mine.ok_or_else(vanished)?)))
    }

    /// Waits until there is something that this process has not applied, or for so long; says whether there is. It is
    /// not applied yet.
    ///
    /// # Errors
    /// What the journal says.
    pub fn wait(&self, timeout: Duration) -> Result<bool, Error> {
        let from = Seq(self.with_state(State::records));
        Ok(self.journal.wait(from, timeout)?)
    }

    /// The same in Optuna's dialect: every op is a line or several, and a line is a record. They lie next to one
    /// another where the medium can do that, and each has a verdict of its own.
    fn commit_lines(&self, ops: &[Op], dialect: OptunaDialect, durability: Durability) -> Result<Committed, Error> {
        let mut session = lock(&self.sessions).take()?;
        let mut lines = self.replica().write(&session, ops)?;
        let mut appended = self.append_lines(&lines, dialect, durability);
        if let Err(trialog_journal::Error::Forked { .. }) = appended {
            session = {
                let mut sessions = lock(&self.sessions);
                sessions.disown();
                sessions.take()?
            };
            lines = self.replica().write(&session, ops)?;
            appended = self.append_lines(&lines, dialect, durability);
        }
        let seqs = appended?;
        let behind = seqs.last().map_or(0, |seq| seq.0 + 1);
        // An op without lines, such as one that sets no parameters, changes nothing.
        let mut verdicts = vec![Verdict::Applied; ops.len()];
        let mut replica = self.replica();
        for (line, seq) in seqs.into_iter().enumerate() {
            let mut mine = replica.inbox.remove(&seq.0);
            if mine.is_none() {
                replica.catch_up(&*self.journal, Some((seq, &mut mine)))?;
            }
            // What a line is about is its last op; what stands before it goes with it.
            let verdict = mine.and_then(|mut all| all.pop());
            let vanished = || Error::Vanished { location: self.location().to_owned(), seq: seq.0 };
            let verdict = verdict.ok_or_else(vanished)?;
            let of_op = &mut verdicts[lines.op_of(line)];
            if of_op.rejection().is_none() {
                *of_op = verdict;
            }
        }
        drop(replica);
        lock(&self.sessions).put_back(session);
        // A study's configuration needs the study's id.
        for (op, verdict) in ops.iter().zip(&verdicts) {
            if let (Op::CreateStudy { config: Some(config), .. }, Verdict::Study(study)) = (op, verdict) {
                let config = Op::SetStudyConfig { study: *study, config: config.clone() };
                self.commit_lines(&[config], dialect, durability)?;
            }
        }
        Ok((behind, verdicts))
    }

    /// Where each of the lines lies by now.
    fn append_lines(
        &self,
        lines: &Lines,
        dialect: OptunaDialect,
        durability: Durability,
    ) -> Result<Vec<Seq>, trialog_journal::Error> {
        let records = lines.as_slices();
        if dialect.side_by_side {
            let first = self.journal.append(&records, durability)?.0;
            return Ok((first..).take(records.len()).map(Seq).collect());
        }
        records.iter().map(|record| self.journal.append(&[record], durability)).collect()
    }

    /// A look at a living study as this process knows it.
    #[must_use]
    pub fn view(&self, study: StudyId) -> Option<StudyView> {
        self.replica().state.view(study)
    }

    /// Looks at the whole state. Other threads wait meanwhile, so be brief.
    pub fn with_state<R>(&self, look: impl FnOnce(&State) -> R) -> R {
        look(&self.replica().state)
    }

    /// The digest of everything this process knows of the log.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.with_state(State::digest)
    }

    fn replica(&self) -> MutexGuard<'_, Replica> {
        lock(&self.replica)
    }
}

/// The snapshot that stands in the place of records that were folded before somebody saw them who has seen so many.
fn base_after(journal: &dyn Journal, records: u64, folded: trialog_journal::Error) -> Result<State, Error> {
    // Always forwards, so that this comes to an end.
    let Some((at, bytes)) = journal.load_base()?.filter(|(at, _)| at.0 > records) else {
        return Err(folded.into());
    };
    let location = || journal.location().to_owned();
    let bad = |source| match source {
        SnapshotError::NewerVersion { version } => Error::NewerBase { location: location(), seq: at.0, version },
        source => Error::BadBase { location: location(), seq: at.0, source },
    };
    let state = State::read_snapshot(&bytes).map_err(bad)?;
    if state.records() != at.0 {
        let detail = "it counts other records than the log";
        return Err(bad(SnapshotError::Damaged { offset: 0, detail }));
    }
    Ok(state)
}

fn undecodable(location: &str, seq: Seq, source: trialog_codec::DecodeError) -> Error {
    let (location, seq) = (location.to_owned(), seq.0);
    if source.is_newer_format() {
        Error::NewerFormat { location, seq, source }
    } else {
        Error::BadRecord { location, seq, source }
    }
}

impl Replica {
    /// The session's next record of these ops. Enters the session among this process's own, and puts keys for the
    /// parameters and metrics that the log knows.
    fn prepare(&mut self, session: &Session, ops: &mut Vec<Op>) -> Record {
        if !self.own.contains(&session.id) {
            self.own.push(session.id);
        }
        for op in &mut *ops {
            match op {
                Op::SetParams { params, .. } => params.iter_mut().for_each(|param| self.shorten(&mut param.param)),
                Op::ReportMetrics { values, .. } => {
                    values.iter_mut().for_each(|value| self.shorten_metric(&mut value.metric));
                }
                Op::AddTrial { template, .. } => {
                    template.params.iter_mut().for_each(|param| self.shorten(&mut param.param));
                    template.metrics.iter_mut().for_each(|series| self.shorten_metric(&mut series.metric));
                }
                _ => {}
            }
        }
        let known = self.state.session_key(&session.id);
        Record {
            session: known.map_or(SessionRef::Id(session.id), SessionRef::Key),
            counter: session.counter + 1,
            ops: std::mem::take(ops),
        }
    }

    fn shorten(&self, param: &mut ParamRef) {
        if let ParamRef::Def(def) = param
            && let Some(key) = self.state.param_key(def)
        {
            *param = ParamRef::Key(key);
        }
    }

    fn shorten_metric(&self, metric: &mut MetricRef) {
        if let MetricRef::Name(name) = metric
            && let Some(key) = self.state.metric_key(name)
        {
            *metric = MetricRef::Key(key);
        }
    }

    /// The lines that say these ops. Enters the session among this process's own.
    fn write(&mut self, session: &Session, ops: &[Op]) -> Result<Lines, Error> {
        if !self.own.contains(&session.id) {
            self.own.push(session.id);
        }
        let translator = self.translator.as_ref().expect("only a log in another dialect is written in lines");
        translator.write(session.id, ops, &self.state).map_err(|(what, why)| Error::Unsayable { what, why })
    }

    /// Reads and applies what the journal has and this replica has not; the verdicts of the record at `wanted`
    /// go there.
    fn catch_up(
        &mut self,
        journal: &dyn Journal,
        mut wanted: Option<(Seq, &mut Option<Vec<Verdict>>)>,
    ) -> Result<(), Error> {
        loop {
            match self.read_on(journal, &mut wanted) {
                Err(Error::Journal(folded @ trialog_journal::Error::Folded { .. })) => {
                    self.state = base_after(journal, self.state.records(), folded)?;
                }
                other => return other,
            }
        }
    }

    fn read_on(
        &mut self,
        journal: &dyn Journal,
        wanted: &mut Option<(Seq, &mut Option<Vec<Verdict>>)>,
    ) -> Result<(), Error> {
        let mut failure = None;
        let from = Seq(self.state.records());
        journal.read(from, &mut |seq, bytes| {
            assert_eq!(seq.0, self.state.records(), "the journal and the state count the same records");
            let decoded = match &mut self.translator {
                None => decode_record(bytes),
                Some(translator) => translator.read(bytes, &self.state),
            };
            match decoded {
                Ok(record) => {
                    self.apply(seq, &record, wanted);
                    // What lies behind can wait, and looking for it would cost another system call.
                    if matches!(wanted, Some((last, _)) if *last == seq) {
                        ControlFlow::Break(())
                    } else {
                        ControlFlow::Continue(())
                    }
                }
                Err(error) => {
                    failure = Some(undecodable(journal.location(), seq, error));
                    ControlFlow::Break(())
                }
            }
        })?;
        failure.map_or(Ok(()), Err)
    }

    fn apply(&mut self, seq: Seq, record: &Record, wanted: &mut Option<(Seq, &mut Option<Vec<Verdict>>)>) {
        self.scratch.clear();
        self.state.apply(record, &mut self.scratch);
        match wanted {
            Some((position, mine)) if *position == seq => **mine = Some(std::mem::take(&mut self.scratch)),
            _ => {
                let id = match record.session {
                    SessionRef::Key(key) => self.state.session_id(key),
                    SessionRef::Id(id) => Some(id),
                };
                if id.is_some_and(|id| self.own.contains(&id)) {
                    self.inbox.insert(seq.0, std::mem::take(&mut self.scratch));
                }
            }
        }
    }
}

/// A lock that a panicking thread left behind guards nothing half-done: nothing panics while it is held, short
/// of a broken invariant, and that is found again at once.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
