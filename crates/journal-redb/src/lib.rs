//! Trialog's journal in a redb file: one process, many threads. `docs/format.md`, section "redb", owns the tables.
//!
//! One process has the file open, so that its memory is as good a place as any for records that need not survive it yet: an append
//! of progress stays there, and goes into the file together with the next durable one, or a tenth of a second later.
//! One record is one row, and one transaction takes all that waited. All handles of a process on one file are one.
//!
//! In multi-writer mode several processes have the file open. Each append is then a transaction of its own, shared by the threads
//! of a process, and durable whatever was asked for.
//!
//! What is assumed: redb's transactions are atomic and durable once committed, and its lock excludes other processes.

mod store;

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, RwLockReadGuard, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use store::{Mode, Store, Tip, Which};
use trialog_journal::group::{Group, Syncs, split_record};
use trialog_journal::{
    Durability, Error, Extent, History, Journal, RECORD_BYTES_MAX, Seq, SnapshotSource, Visitor,
};

/// How long a record that need not be durable stays in memory at most.
const FLUSH_AFTER: Duration = Duration::from_millis(100);
/// How many bytes of such records there may be.
const PENDING_BYTES_MAX: usize = 8 << 20;
/// How many bytes of the last records are kept in memory.
const TAIL_BYTES: usize = 8 << 20;
/// How often others' records are looked for while somebody waits for them.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// How to open a log.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Never write. Default: `false`.
    pub read_only: bool,
    /// Make the log if there is none. Default: `true`.
    pub create: bool,
    /// Whether other processes have the file open too; all of them must say so. Default: `false`.
    pub multi_writer: bool,
}

impl Default for Options {
    fn default() -> Options {
        Options { read_only: false, create: true, multi_writer: false }
    }
}

/// A handle on a log in a redb file. All handles of a process on one file share what is below.
pub struct RedbJournal {
    shared: Option<Arc<Shared>>,
    read_only: bool,
}

/// The files that this process has open, by their real paths.
static OPEN: Mutex<BTreeMap<PathBuf, Weak<Shared>>> = Mutex::new(BTreeMap::new());

struct Shared {
    path: PathBuf,
    location: String,
    store: RwLock<Store>,
    multi_writer: bool,
    /// The process that opened the file: a forked child has the parent's lock, and none of its threads.
    process: u32,
    state: Mutex<State>,
    /// When there are more records, or the last handle is gone.
    changed: Condvar,
    group: Group,
    syncs: Syncs,
    poison: OnceLock<String>,
    flusher: Mutex<Option<JoinHandle<()>>>,
}

struct State {
    tip: Tip,
    /// How far the file has it.
    stored: Tip,
    /// The last records, among them all that the file does not have.
    tail: VecDeque<Arc<[u8]>>,
    tail_bytes: usize,
    pending_bytes: usize,
    handles: usize,
}

impl State {
    fn tail_first(&self) -> u64 {
        self.tip.seq - self.tail.len() as u64
    }

    fn push(&mut self, record: &[u8]) {
        self.tip = self.tip.after(record);
        self.tail.push_back(record.into());
        self.tail_bytes += record.len();
        while self.tail_bytes > TAIL_BYTES && self.tail.len() > 1 && self.tail_first() < self.stored.seq {
            let old = self.tail.pop_front().expect("there is more than one");
            self.tail_bytes -= old.len();
        }
    }
}

impl fmt::Debug for RedbJournal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedbJournal").field("location", &self.location()).finish_non_exhaustive()
    }
}

impl RedbJournal {
    /// Opens the log in the file at `path`, and makes it if it is not there and that is wanted.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::NotALog`], [`Error::NewerFormat`], [`Error::Locked`] if another process has the
    /// file open, or what redb says.
    pub fn open(path: impl AsRef<Path>, options: Options) -> Result<RedbJournal, Error> {
        let location = format!("redb:{}", path.as_ref().display());
        let path = real_path(path.as_ref());
        let mut open = lock(&OPEN);
        open.retain(|_, shared| shared.strong_count() > 0);
        if let Some(shared) = open.get(&path).and_then(Weak::upgrade)
            && (options.read_only || shared.store().is_writable())
        {
            if shared.multi_writer != options.multi_writer {
                let detail = "this process has it open in the other mode: either all ask for multi-writer or none";
                return Err(Error::Unsupported { location, detail: detail.to_owned() });
            }
            lock(&shared.state).handles += 1;
            return Ok(RedbJournal { shared: Some(shared), read_only: options.read_only });
        }
        let mode =
            Mode { read_only: options.read_only, create: options.create, multi_writer: options.multi_writer };
        let store = Store::open(&path, &location, mode)?;
        let tip = store.tip()?;
        let state = State { tip, stored: tip, tail: VecDeque::new(), tail_bytes: 0, pending_bytes: 0, handles: 1 };
        let shared = Arc::new(Shared {
            path: path.clone(),
            location,
            store: RwLock::new(store),
            multi_writer: options.multi_writer,
            process: std::process::id(),
            state: Mutex::new(state),
            changed: Condvar::new(),
            group: Group::default(),
            syncs: Syncs::default(),
            poison: OnceLock::new(),
            flusher: Mutex::default(),
        });
        open.insert(path, Arc::downgrade(&shared));
        Ok(RedbJournal { shared: Some(shared), read_only: options.read_only })
    }

    fn shared(&self) -> &Arc<Shared> {
        self.shared.as_ref().expect("only dropping takes it")
    }
}

impl Drop for RedbJournal {
    /// The last handle writes what waits, and closes the file before this returns.
    fn drop(&mut self) {
        let Some(shared) = self.shared.take() else { return };
        if shared.process != std::process::id() {
            // Closing would write to the parent's file.
            std::mem::forget(shared);
            return;
        }
        let mut open = lock(&OPEN);
        let mut state = lock(&shared.state);
        state.handles -= 1;
        if state.handles > 0 {
            return;
        }
        drop(state);
        shared.changed.notify_all();
        let flusher = lock(&shared.flusher).take();
        if let Some(flusher) = flusher {
            let _ = flusher.join();
        }
        let _ = shared.flush();
        open.remove(&shared.path);
        drop(shared);
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    fn store(&self) -> RwLockReadGuard<'_, Store> {
        self.store.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn check(&self) -> Result<(), Error> {
        if self.process != std::process::id() {
            return Err(Error::Locked {
                location: self.location.clone(),
                waited: Duration::ZERO,
                holder: Some("the process that this one was forked from, which has it open".to_owned()),
            });
        }
        match self.poison.get() {
            Some(cause) => Err(Error::Poisoned { location: self.location.clone(), cause: cause.clone() }),
            None => Ok(()),
        }
    }

    /// Puts records into memory, from where they go into the file later.
    fn remember(self: &Arc<Shared>, records: &[&[u8]]) -> Result<u64, Error> {
        let mut state = self.state();
        let first = state.tip.seq;
        for record in records {
            state.push(record);
            state.pending_bytes += record.len();
        }
        let too_much = state.pending_bytes > PENDING_BYTES_MAX;
        drop(state);
        self.changed.notify_all();
        if too_much {
            self.flush()?;
        } else if !records.is_empty() {
            self.flush_later();
        }
        Ok(first)
    }

    /// Writes what is in memory only into the file, in one transaction with what other threads have there.
    fn flush(&self) -> Result<(), Error> {
        let until = self.state().tip.seq;
        self.syncs.run(until, || {
            self.check()?;
            let state = self.state();
            let (stored, tip) = (state.stored, state.tip);
            let skip = (stored.seq - state.tail_first()) as usize;
            let records: Vec<Arc<[u8]>> = state.tail.range(skip..).cloned().collect();
            drop(state);
            if records.is_empty() {
                return Ok(tip.seq);
            }
            let written = self.store().append(stored, records.iter().map(|record| &**record));
            let (_, after) = written.inspect_err(|error| {
                let _ = self.poison.set(error.to_string());
            })?;
            debug_assert_eq!(after, tip, "the file and the memory count the same records");
            let mut state = self.state();
            state.stored = after;
            state.pending_bytes = 0;
            Ok(after.seq)
        })
    }

    /// Has a thread of its own flush after a while.
    fn flush_later(self: &Arc<Shared>) {
        let mut flusher = lock(&self.flusher);
        if flusher.is_some() {
            return;
        }
        let shared = Arc::clone(self);
        let work = move || {
            loop {
                let state = shared.state();
                let idle = |state: &mut State| state.handles > 0 && state.tip == state.stored;
                let state = shared.changed.wait_while(state, idle).unwrap_or_else(PoisonError::into_inner);
                let live = |state: &mut State| state.handles > 0;
                let (state, _) = shared
                    .changed
                    .wait_timeout_while(state, FLUSH_AFTER, live)
                    .unwrap_or_else(PoisonError::into_inner);
                let closing = state.handles == 0;
                drop(state);
                // Whoever appends next is told.
                if shared.flush().is_err() || closing {
                    return;
                }
            }
        };
        // Without a thread, the next durable append and the last handle write it all the same.
        *flusher = std::thread::Builder::new().name("trialog-redb".to_owned()).spawn(work).ok();
    }

    /// In multi-writer mode: one transaction for the records of all threads that came meanwhile.
    fn append_shared(&self, records: &[&[u8]]) -> Result<u64, Error> {
        self.group.run(records, |batch, _| {
            let seen = self.state().tip;
            let mut rest = batch;
            let records = std::iter::from_fn(move || {
                let (record, after) = split_record(rest)?;
                rest = after;
                Some(record)
            });
            let (before, after) = self.store().append(seen, records.clone())?;
            let mut state = self.state();
            if state.tip == before {
                state.stored = after;
                records.for_each(|record| state.push(record));
            }
            Ok(before.seq)
        })
    }

    /// Looks for records of other processes. False if there are none.
    fn look(&self) -> Result<bool, Error> {
        if !self.multi_writer {
            return Ok(false);
        }
        let seen = self.state().tip;
        let mut found = Vec::new();
        let mut bytes = 0;
        let mut tip = seen;
        self.store().read(seen.seq, None, seen, |record, after| {
            bytes += record.len();
            found.push(record.to_vec());
            tip = after;
            bytes < TAIL_BYTES / 2
        })?;
        let mut state = self.state();
        // Another thread may have looked too.
        if state.tip == seen && !found.is_empty() {
            state.stored = tip;
            found.iter().for_each(|record| state.push(record));
        }
        Ok(!found.is_empty() || state.tip != seen)
    }

    /// Hands over what is in memory from `from` on.
    fn visit_tail(&self, from: u64, visit: &mut Visitor<'_>) -> Option<(u64, ControlFlow<()>)> {
        let state = self.state();
        let skip = from.checked_sub(state.tail_first())?;
        if from >= state.tip.seq {
            return None;
        }
        let mut next = from;
        for record in state.tail.range(skip as usize..) {
            next += 1;
            if visit(Seq(next - 1), record).is_break() {
                return Some((next, ControlFlow::Break(())));
            }
        }
        Some((next, ControlFlow::Continue(())))
    }

    fn store_snapshot(
        &self,
        which: Which,
        at: u64,
        source: &mut SnapshotSource<'_>,
        folds: bool,
    ) -> Result<bool, Error> {
        self.check()?;
        if !self.multi_writer {
            self.flush()?;
        }
        self.store().store(which, at, source, folds)
    }
}

impl Journal for RedbJournal {
    fn append(&self, records: &[&[u8]], durability: Durability) -> Result<Seq, Error> {
        if let Some(record) = records.iter().find(|record| record.len() > RECORD_BYTES_MAX) {
            return Err(Error::TooLarge { bytes: record.len() });
        }
        if self.read_only {
            return Err(Error::ReadOnly { location: self.location().to_owned() });
        }
        let shared = self.shared();
        shared.check()?;
        if shared.multi_writer {
            return shared.append_shared(records).map(Seq);
        }
        let first = shared.remember(records)?;
        if durability == Durability::Power {
            shared.flush()?;
        }
        Ok(Seq(first))
    }

    fn read(&self, from: Seq, visit: &mut Visitor<'_>) -> Result<Seq, Error> {
        let shared = self.shared();
        let mut next = from.0;
        loop {
            if let Some((after, flow)) = shared.visit_tail(next, visit) {
                next = after;
                if flow.is_break() {
                    return Ok(Seq(next));
                }
                continue;
            }
            let state = shared.state();
            let (tip, until) = (state.tip, state.tail_first());
            let seen = state.stored;
            drop(state);
            if next < until {
                let mut flow = ControlFlow::Continue(());
                shared.store().read(next, Some(until), seen, |record, after| {
                    next = after.seq;
                    flow = visit(Seq(next - 1), record);
                    flow.is_continue()
                })?;
                if flow.is_break() {
                    return Ok(Seq(next));
                }
            } else if shared.look()? {
                continue;
            } else if next > tip.seq {
                return Err(Error::Regressed { location: shared.location.clone(), seen: next, found: tip.seq });
            } else {
                return Ok(Seq(next));
            }
        }
    }

    fn wait(&self, from: Seq, timeout: Duration) -> Result<bool, Error> {
        let shared = self.shared();
        let begun = Instant::now();
        loop {
            if shared.multi_writer {
                while shared.state().tip.seq <= from.0 && shared.look()? {}
            }
            let left = timeout.saturating_sub(begun.elapsed());
            let pause = if shared.multi_writer { left.min(LOOK_EVERY) } else { left };
            let waiting = |state: &mut State| state.tip.seq <= from.0;
            let (state, _) = shared
                .changed
                .wait_timeout_while(shared.state(), pause, waiting)
                .unwrap_or_else(PoisonError::into_inner);
            if state.tip.seq > from.0 {
                return Ok(true);
            }
            if begun.elapsed() >= timeout {
                return Ok(false);
            }
        }
    }

    fn load_snapshot(&self) -> Option<(Seq, Vec<u8>)> {
        let store = self.shared().store();
        let (snapshot, base) = (store.load(Which::Snapshot).ok()?, store.load(Which::Base).ok()?);
        let newest = snapshot.into_iter().chain(base).max_by_key(|(stored, _)| stored.at.seq);
        newest.map(|(stored, bytes)| (Seq(stored.at.seq), bytes))
    }

    fn save_snapshot(&self, at: Seq, source: &mut SnapshotSource<'_>) -> Result<bool, Error> {
        if self.read_only {
            return Ok(false);
        }
        self.shared().store_snapshot(Which::Snapshot, at.0, source, false)
    }

    fn load_base(&self) -> Result<Option<(Seq, Vec<u8>)>, Error> {
        let store = self.shared().store();
        if store.stored(Which::Base)?.is_none_or(|base| !base.folds) {
            return Ok(None);
        }
        match store.load(Which::Base)? {
            Some((stored, bytes)) => Ok(Some((Seq(stored.at.seq), bytes))),
            None => Err(Error::Corrupt {
                location: self.location().to_owned(),
                offset: 0,
                seq: 0,
                detail: "the snapshot that stands for the first records is not whole".to_owned(),
            }),
        }
    }

    fn extent(&self) -> Option<Extent> {
        if self.read_only {
            return None;
        }
        let shared = self.shared();
        let base = shared.store().stored(Which::Base).ok()?;
        let (snapshot_bytes, before) = base.map_or((0, 0), |base| (base.bytes, base.at.bytes));
        Some(Extent { snapshot_bytes, record_bytes: shared.state().tip.bytes.saturating_sub(before) })
    }

    fn compact(&self, at: Seq, source: &mut SnapshotSource<'_>, history: History) -> Result<bool, Error> {
        if self.read_only {
            return Ok(false);
        }
        self.shared().store_snapshot(Which::Base, at.0, source, history == History::Folded)
    }

    fn reclaim(&self, grace: Duration) -> Result<(), Error> {
        if self.read_only {
            return Ok(());
        }
        let shared = self.shared();
        shared.check()?;
        let mut removed = 0;
        loop {
            match shared.store().trim(grace)? {
                0 => break,
                some => removed += some,
            }
        }
        // The pages are used again; the file becomes shorter only when somebody asks for it, since all wait meanwhile.
        if removed > 0 && grace.is_zero() && !shared.multi_writer {
            shared.store.write().unwrap_or_else(PoisonError::into_inner).shrink()?;
        }
        Ok(())
    }

    fn location(&self) -> &str {
        &self.shared().location
    }
}

/// The path by which all handles of a process find one another, also for a file that is not there yet.
fn real_path(path: &Path) -> PathBuf {
    let absolute = || -> io::Result<PathBuf> {
        let (folder, name) = (path.parent(), path.file_name());
        let folder = folder.filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        Ok(folder.canonicalize()?.join(name.unwrap_or_default()))
    };
    path.canonicalize().or_else(|_| absolute()).unwrap_or_else(|_| path.to_owned())
}

/// What a lock that a panicking thread left behind guards is whole: each change of it is.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
