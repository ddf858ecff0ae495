//! Trialog's journal on one file that many processes share.
//!
//! A writer locks the file, reads and verifies what others have appended, writes its frames at the verified end,
//! and lets go. A reader needs no lock and no permission to write. `docs/format.md` owns the bytes.
//!
//! What a writer that dies leaves behind, step by step:
//! 1. holding the lock: nothing; the system frees the lock with the descriptor.
//! 2. having cut a torn tail: the same log, since nothing in that tail was ever a frame.
//! 3. in the middle of its write: whole frames, which are records like any other though nobody was told so, and
//!    then perhaps a torn one, which readers do not see and the next writer cuts.
//! 4. before its sync: records that every process sees, and that a loss of power may take.
//!
//! What is assumed of a file system:
//! - *local*: a lock on the file excludes all processes, and it goes when its holder dies; whoever looks after a
//!   write has returned sees it; what a successful sync covers survives a loss of power. After a failed sync only the handles that
//!   had the file open then are told so: one that opens it later can see bytes that were never stored.
//! - *network* (NFS, SMB and the like): the lock excludes all machines, as long as its lease lasts; taking it brings the
//!   file's length and bytes up to date; a sync fails if the lease was lost before. A reader without the lock may see
//!   the log as it was up to a minute ago (over NFS some 3 to 12 seconds, 60 at most); an append is always up to date.
//! - On Windows a lock also keeps others from reading; a reader there waits for writers.

mod chain;
mod compact;
pub mod files;
mod hole;
mod known;
mod lock;
pub mod mounts;
pub mod os;
mod place;
mod real;
mod segment;
mod snapshot;

pub use real::RealOs;

use known::{Known, Step, Tip};
use os::{Access, Os, OsFile, PathKind};
use place::Place;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;
use trialog_journal::frame::KIND_RECORD;
use trialog_journal::group::{Group, Syncs};
use trialog_journal::header::{HEADER_BYTES, Header};
use trialog_journal::seal::Seal;
use trialog_journal::{
    Durability, Error, Extent, History, Journal, RECORD_BYTES_MAX, Seq, SnapshotSource, Visitor, frame,
};

/// How often a reader without the lock looks again at what seems damaged, before it says so, and for how long
/// it waits before the first time; each further wait is twice as long.
const LOOKS_AGAIN: u32 = 5;
const LOOK_AGAIN_PAUSE: Duration = Duration::from_millis(1);

/// How long a log on a local file system may have been deleted before its handles notice.
const LOOK_CLOSELY_EVERY: Duration = Duration::from_millis(50);

/// How to open a log.
#[derive(Clone, Debug)]
pub struct Options {
    /// Never write: [`Journal::append`] answers [`Error::ReadOnly`]. Happens by itself where the file may
    /// not be written. Default: `false`.
    pub read_only: bool,
    /// Make the log if there is none. Default: `true`.
    pub create: bool,
    /// How long an append waits for other processes before it answers [`Error::Locked`]. Default: 30 seconds.
    pub lock_wait_max: Duration,
    /// Whether other machines may have the file open. Default: [`Network::Auto`].
    pub network: Network,
}

impl Default for Options {
    fn default() -> Options {
        Options { read_only: false, create: true, lock_wait_max: Duration::from_secs(30), network: Network::Auto }
    }
}

/// Whether other machines may have the file open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Network {
    /// As its file system says. One whose locks are known to stay on one machine is refused for writing.
    #[default]
    Auto,
    /// Only this machine has it open: the lock is let go before the sync.
    Local,
    /// Others have it open too, and the locks are known to exclude them: every append is synced before the lock
    /// is let go, whatever durability it asks for. A holder whose lease ran out learns it there, and from nothing else.
    Network,
}

/// A handle on a log in a file. Share one between the threads of a process: they then share lock rounds and syncs.
#[derive(Debug)]
pub struct FileJournal {
    os: Arc<dyn Os>,
    path: PathBuf,
    place: Place,
    lock_wait_max: Duration,
    writable: bool,
    /// Whether each append is synced while the lock is held.
    fenced: bool,
    /// The process that opened `file`: a forked child shares its lock owner and must open its own.
    process: AtomicU32,
    /// Whether the log was once read to its end, so that what is new is likely to be little.
    caught_up: AtomicBool,
    /// When to look whether the file still has its name, on the system's monotonic clock.
    look_closely_at: AtomicU64,
    poison: OnceLock<String>,
    set_aside: OnceLock<PathBuf>,
    opened: Mutex<Opened>,
    group: Group,
    syncs: Syncs,
}

#[derive(Debug)]
struct Opened {
    file: Arc<dyn OsFile>,
    known: Known,
    /// Which segment of the log the file is.
    number: u64,
    path: PathBuf,
    /// Device and inode of the file.
    identity: (u64, u64),
    /// Whether what was there when it was opened has been written again: a sync that failed before is told to nobody who
    /// comes later, and its bytes are still to be seen.
    rewritten: bool,
    /// The sealed segment before, if this handle has not yet made its seal durable.
    unsettled: Option<u64>,
    /// How many records this handle has seen in earlier segments.
    seen: u64,
    /// What is in memory of the segment before: whoever has just appended there wants to read it back, and all before it,
    /// even if others have folded it since.
    before: Option<Known>,
}

impl FileJournal {
    /// Opens the log at `path`.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::NotALog`], [`Error::NewerFormat`], [`Error::Corrupt`] if the file's header is
    /// damaged, [`Error::Locked`] if the log has to be made and somebody keeps the lock, [`Error::Unsupported`]
    /// where locks cannot be trusted, or what else the system says.
    pub fn open(path: impl AsRef<Path>, options: &Options) -> Result<FileJournal, Error> {
        FileJournal::open_on(Arc::new(RealOs::default()), path, options)
    }

    /// Opens the log at `path` of the given operating system.
    ///
    /// # Errors
    /// As [`FileJournal::open`].
    pub fn open_on(os: Arc<dyn Os>, path: impl AsRef<Path>, options: &Options) -> Result<FileJournal, Error> {
        let path = path.as_ref().to_path_buf();
        let place = Place { location: path.display().to_string() };
        let (file, writable) = open_file(&*os, &path, &place, options)?;
        let stat = file.stat().map_err(place.io("look at"))?;
        let file_system = file.file_system().map_err(place.io("look at"))?;
        let fenced = match options.network {
            Network::Auto => file_system.network,
            Network::Local => false,
            Network::Network => true,
        };
        if let Some(doubt) = &file_system.lock_doubt
            && writable
            && options.network == Network::Auto
        {
            return Err(place.unsupported(format!(
                "its file system ({}) may not exclude other machines: {doubt}; if you know that it does, or that \
                 there are none, say so with the option `network`",
                file_system.name
            )));
        }
        let process = AtomicU32::new(os.process_id());
        let journal = FileJournal {
            os,
            path: path.clone(),
            place,
            lock_wait_max: options.lock_wait_max,
            writable,
            fenced,
            process,
            caught_up: AtomicBool::new(false),
            look_closely_at: AtomicU64::new(0),
            poison: OnceLock::new(),
            set_aside: OnceLock::new(),
            opened: Mutex::new(Opened {
                file,
                known: Known::new(),
                number: 0,
                path,
                identity: stat.identity,
                rewritten: false,
                unsettled: None,
                seen: 0,
                before: None,
            }),
            group: Group::default(),
            syncs: Syncs::default(),
        };
        journal.begin()?;
        journal.go_to_newest()?;
        Ok(journal)
    }

    /// What tells this log from all others; `None` while a handle for reading waits for somebody to begin it.
    #[must_use]
    pub fn log_id(&self) -> Option<[u8; 16]> {
        self.opened().known.header().map(|header| header.log_id)
    }

    /// Whether this handle can append.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        !self.writable
    }

    /// Where this handle has put what it found behind a hole that a loss of power had left: records that nobody was promised.
    /// [`files::set_aside`] lists what any handle ever put there.
    #[must_use]
    pub fn set_aside(&self) -> Option<&Path> {
        self.set_aside.get().map(PathBuf::as_path)
    }

    fn opened(&self) -> MutexGuard<'_, Opened> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn current(&self) -> (Arc<dyn OsFile>, u64) {
        let opened = self.opened();
        (Arc::clone(&opened.file), opened.number)
    }

    fn lock<'a>(&self, file: &'a dyn OsFile) -> Result<lock::Held<'a>, Error> {
        lock::acquire(&*self.os, file, self.lock_wait_max, &self.place)
    }

    /// Reads the header, and makes the file a log if it is empty or its creator died.
    fn begin(&self) -> Result<(), Error> {
        let (file, _) = self.current();
        if self.opened().known.load_header(&*file, &self.place)? || !self.writable {
            return Ok(());
        }
        let held = self.lock(&*file)?;
        if !self.opened().known.load_header_locked(&*file, &self.place)? {
            self.write_header(&*file)?;
            self.opened().known.load_header_locked(&*file, &self.place)?;
        }
        held.release().map_err(self.place.io("unlock"))
    }

    /// The name is made durable before the header is there: whoever sees a header need not care about the name.
    fn write_header(&self, file: &dyn OsFile) -> Result<(), Error> {
        self.os.sync_dir(segment::folder_of(&self.path)).map_err(self.place.io("sync the folder of"))?;
        let mut log_id = [0; 16];
        self.os.random(&mut log_id).map_err(self.place.io("find a random id for"))?;
        let created_us = self.os.wall_us();
        let header = Header { flags: 0, log_id, first_seq: 0, created_us, chain_start: 0 };
        write_full(file, 0, &header.encode()).map_err(self.place.io("write the header of"))?;
        file.sync_data().map_err(self.place.io("sync"))
    }

    fn check_writable(&self) -> Result<(), Error> {
        if !self.writable {
            return Err(self.place.read_only());
        }
        self.check_poison()?;
        let process = self.os.process_id();
        if self.process.load(Ordering::Relaxed) == process {
            return Ok(());
        }
        self.reopen(process)?;
        Err(self.place.forked())
    }

    fn check_poison(&self) -> Result<(), Error> {
        self.poison.get().map_or(Ok(()), |cause| Err(self.place.poisoned(cause)))
    }

    /// For `map_err` after a write or sync: from now on this handle cannot know what the file holds.
    fn poisoning(&self, action: &'static str) -> impl Fn(io::Error) -> Error + '_ {
        move |source| {
            let error = self.place.io(action)(source);
            let _ = self.poison.set(error.to_string());
            error
        }
    }

    /// In a forked child: the descriptor's lock belongs to the parent as well, and would not exclude it.
    fn reopen(&self, process: u32) -> Result<(), Error> {
        let mut opened = self.opened();
        let file = self.os.open(&opened.path, Access::Write).map_err(self.place.io("open"))?;
        let identity = file.stat().map_err(self.place.io("look at"))?.identity;
        if identity != opened.identity || !opened.known.still_there(&*file, &self.place)? {
            return Err(self.place.regressed(opened.known.records(), 0));
        }
        opened.file = file;
        opened.rewritten = false;
        // The parent's other threads do not exist here, so nobody would finish what they had begun.
        self.group.reset();
        self.syncs.reset();
        self.process.store(process, Ordering::Relaxed);
        Ok(())
    }

    /// Lock rounds until one of them was on the segment that is the newest.
    /// The caller is the only thread of this handle in here.
    fn commit(&self, frames: &mut [u8]) -> Result<u64, Error> {
        loop {
            if let Some(first) = self.commit_round(frames)? {
                return Ok(first);
            }
        }
    }

    /// One lock round: verifies what others wrote, writes `frames` behind it, and returns their first position; `None`
    /// if the log goes on in another segment, to which this handle has gone over.
    fn commit_round(&self, frames: &mut [u8]) -> Result<Option<u64>, Error> {
        self.check_poison()?;
        let (file, number) = self.current();
        let file = &*file;
        if !self.caught_up.load(Ordering::Relaxed)
            && let Err(error) = self.catch_up_unlocked(file)
        {
            return self.relocate_after(number, error).map(|()| None);
        }
        self.settle()?;
        let held = match self.lock(file) {
            Ok(held) => held,
            // Its server may have unlinked it, long after the log went on elsewhere.
            Err(error) => return self.relocate_after(number, error).map(|()| None),
        };
        let mut opened = self.opened();
        if opened.number != number {
            return Ok(None);
        }
        let caught_up = self.catch_up_locked(&mut opened, file);
        let tip = opened.known.tip();
        let stable = opened.known.stable();
        // On a network file system each time, since a client sends again what it wrote itself when the server has started
        // anew, and only that; else once, since a sync that fails later is told here.
        let first_time = !opened.rewritten || tip.last == 0;
        let unproven = if first_time || self.fenced { opened.known.unproven() } else { Vec::new() };
        drop(opened);
        match caught_up {
            Ok(None) => {}
            Ok(Some(seal)) => {
                held.release().map_err(self.poisoning("unlock"))?;
                return self.follow(number, &seal, tip.link.seq).map(|()| None);
            }
            Err(error) => {
                drop(held);
                return self.relocate_after(number, error).map(|()| None);
            }
        }
        frame::seal(frames, tip.link, stable);
        if !unproven.is_empty() && (first_time || !frames.is_empty()) {
            let from = tip.offset - unproven.len() as u64;
            write_full(file, from, &unproven).map_err(self.poisoning("write to"))?;
        }
        if !frames.is_empty() {
            // Whoever wrote the header may have died before it was durable, and frames without it are no log.
            if tip.last == 0 && !self.fenced {
                file.sync_data().map_err(self.poisoning("sync"))?;
            }
            write_full(file, tip.offset, frames).map_err(self.poisoning("write to"))?;
        }
        if self.fenced {
            file.sync_data().map_err(self.poisoning("sync"))?;
        }
        let mut opened = self.opened();
        opened.known.adopt(frames, tip.offset);
        opened.rewritten = true;
        if self.fenced {
            let records = opened.known.records();
            opened.known.note_stable(records);
        }
        drop(opened);
        held.release().map_err(|error| {
            // Closing the descriptor is the other way to let go; whoever reads on needs only a new one.
            let mut opened = self.opened();
            if let Ok(file) = self.os.open(&opened.path, Access::Read) {
                opened.file = file;
            }
            drop(opened);
            self.poisoning("unlock")(error)
        })?;
        Ok(Some(tip.link.seq))
    }

    /// A long log is read before the lock is taken, so that nobody waits for that.
    fn catch_up_unlocked(&self, file: &dyn OsFile) -> Result<(), Error> {
        let bytes = self.look(file, &self.opened().known)?;
        while matches!(self.opened().known.advance(file, &self.place, bytes)?, Step::More) {}
        self.caught_up.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Up to the segment's end, and the seal if there is one.
    fn catch_up_locked(&self, opened: &mut Opened, file: &dyn OsFile) -> Result<Option<Seal>, Error> {
        let known = &mut opened.known;
        known.forget_torn();
        let bytes = if self.fenced {
            self.look_closely(file, known)?
        } else {
            file.bytes().map_err(self.place.io("look at"))?
        };
        loop {
            match known.advance(file, &self.place, bytes)? {
                Step::More => {}
                Step::Sealed(seal) => return Ok(Some(seal)),
                Step::Suspect(error) => return Err(error),
                Step::End | Step::Torn if known.records() < opened.seen => {
                    return Err(self.place.regressed(opened.seen, known.records()));
                }
                Step::End => return Ok(None),
                // Only here, under the lock, can a torn tail not be a frame that is still being written. The
                // search has also seen that the log's end is what was verified, or this would cut others' records.
                Step::Torn => {
                    self.check_no_seal(opened.number, known, file, bytes)?;
                    self.cut(file, known.tip().offset)?;
                    return Ok(None);
                }
                // What was given back looks like a hole, too.
                Step::Hole(error) if segment::ends_with_seal(file) => return Err(error),
                Step::Hole(_) => {
                    let (offset, seq) = (known.tip().offset, known.records());
                    let aside = hole::copy_aside(&*self.os, &self.path, file, offset, bytes, seq);
                    let aside = aside.map_err(self.place.io("set aside what is behind a hole in"))?;
                    self.cut(file, offset)?;
                    let _first = self.set_aside.set(aside);
                    return Ok(None);
                }
            }
        }
    }

    /// A seal that a bit flipped in looks like a torn tail, but records that lie behind it must not be left behind.
    fn check_no_seal(&self, number: u64, known: &Known, file: &dyn OsFile, bytes: u64) -> Result<(), Error> {
        let Some(header) = known.header() else {
            return Ok(());
        };
        let (at, records) = (known.tip().offset, known.records());
        if !segment::looks_like_seal(file, at, bytes, &header.log_id) {
            return Ok(());
        }
        let lost = segment::goes_on_elsewhere(&*self.os, &self.path, number, records, &header.log_id);
        if lost.map_err(self.place.io("list the folder of"))? {
            let detail = String::from("the seal there is damaged, and the log goes on in a later segment");
            return Err(self.place.corrupt(at, records, detail));
        }
        Ok(())
    }

    /// Cuts what is no part of the log. That it is gone must be durable before anything is written in its place: bytes
    /// that come back there would look like nothing that was ever written.
    fn cut(&self, file: &dyn OsFile, offset: u64) -> Result<(), Error> {
        file.truncate(offset).map_err(self.poisoning("cut the torn tail of"))?;
        file.sync_data().map_err(self.poisoning("sync"))
    }

    /// The file's length, after a look whether the server lost and regained records since: the length alone may
    /// be the same again, as records are of much the same length.
    fn look_closely(&self, file: &dyn OsFile, known: &Known) -> Result<u64, Error> {
        let bytes = self.look(file, known)?;
        if known.still_there(file, &self.place)? { Ok(bytes) } else { Err(known.regressed(file, &self.place)) }
    }

    /// The file's length. A file without a name is nobody's log any more: on a local file system, where a look at the
    /// length alone costs less, that is found out a little later.
    fn look(&self, file: &dyn OsFile, known: &Known) -> Result<u64, Error> {
        let now = self.os.monotonic().as_nanos() as u64;
        if !self.fenced && now < self.look_closely_at.load(Ordering::Relaxed) {
            return file.bytes().map_err(self.place.io("look at"));
        }
        self.look_closely_at.store(now + LOOK_CLOSELY_EVERY.as_nanos() as u64, Ordering::Relaxed);
        self.look_at_name(file, known)
    }

    /// The file's length, after a look whether it still has a name.
    fn look_at_name(&self, file: &dyn OsFile, known: &Known) -> Result<u64, Error> {
        let stat = file.stat().map_err(self.place.io("look at"))?;
        if stat.links == 0 {
            return Err(self.place.regressed(known.records(), 0));
        }
        Ok(stat.bytes)
    }

    /// Makes the first `records` records durable, or joins a thread that does.
    fn sync_through(&self, records: u64) -> Result<(), Error> {
        self.syncs.run(records, || {
            self.check_poison()?;
            // The records may be in the segment before, and must not be hidden by the loss of its seal.
            self.settle()?;
            let opened = self.opened();
            let (file, number, written) = (Arc::clone(&opened.file), opened.number, opened.known.records());
            drop(opened);
            file.sync_data().map_err(self.poisoning("sync"))?;
            let mut opened = self.opened();
            if opened.number == number {
                // What is told to be durable must not be so in a file that nobody can open any more, unless it was
                // copied to the next one before.
                if let Err(error) = self.look_at_name(&*file, &opened.known) {
                    drop(opened);
                    self.relocate_after(number, error)?;
                } else {
                    opened.known.note_stable(written);
                }
            }
            Ok(written)
        })
    }

    /// Reads records that are no longer in memory.
    fn read_past(&self, next: &mut u64, visit: &mut Visitor<'_>) -> Result<Result<ControlFlow<()>, Error>, Error> {
        let opened = self.opened();
        let Some(past) = opened.known.past(*next) else {
            return Ok(Ok(ControlFlow::Continue(())));
        };
        let file = Arc::clone(&opened.file);
        drop(opened);
        past.visit(&*file, &self.place, next, visit)
    }
}

impl Journal for FileJournal {
    fn append(&self, records: &[&[u8]], durability: Durability) -> Result<Seq, Error> {
        if let Some(record) = records.iter().find(|record| record.len() > RECORD_BYTES_MAX) {
            return Err(Error::TooLarge { bytes: record.len() });
        }
        self.check_writable()?;
        let push = |frames: &mut Vec<u8>, record: &[u8]| frame::push_unsealed(frames, KIND_RECORD, record);
        let first = self.group.run_with(records, push, |frames, _| self.commit(frames))?;
        if durability == Durability::Power && !self.fenced {
            self.sync_through(first + records.len() as u64)?;
        }
        Ok(Seq(first))
    }

    fn read(&self, from: Seq, visit: &mut Visitor<'_>) -> Result<Seq, Error> {
        let mut next = from.0;
        // The segment whose end was reached.
        let mut ended = None;
        let mut looks = 0;
        let mut seen_torn = false;
        loop {
            let mut opened = self.opened();
            let Opened { file, known, number, before, .. } = &mut *opened;
            let number = *number;
            known.note_reader(Some(next));
            if let Some(before) = before.as_mut().filter(|before| next >= before.records()) {
                before.note_reader(None);
                before.trim();
            }
            let trouble = if let Some((after, flow)) = known.visit_tail(next, visit) {
                next = after;
                if flow.is_break() {
                    return Ok(Seq(next));
                }
                continue;
            } else if let Some(before) = before.as_ref().filter(|_| next < known.records())
                && let Some((after, flow)) = before.visit_tail(next, visit)
            {
                next = after;
                if flow.is_break() {
                    return Ok(Seq(next));
                }
                continue;
            } else if next < known.first() {
                drop(opened);
                if self.read_earlier(number, &mut next, visit)?.is_break() {
                    return Ok(Seq(next));
                }
                continue;
            } else if next < known.records() {
                drop(opened);
                match self.read_past(&mut next, visit) {
                    Ok(Ok(ControlFlow::Continue(()))) => continue,
                    Ok(Ok(ControlFlow::Break(()))) => return Ok(Seq(next)),
                    Ok(Err(damage)) => {
                        let _ = self.current().0.forget(0);
                        Trouble::Suspicion(damage)
                    }
                    Err(error) => Trouble::Certain(error),
                }
            } else if ended == Some(number) {
                let found = known.records();
                return if next > found { Err(self.place.regressed(next, found)) } else { Ok(Seq(next)) };
            } else {
                let step = self.look(&**file, known).and_then(|bytes| known.advance(&**file, &self.place, bytes));
                let records = known.records();
                if self.fenced && matches!(step, Ok(Step::Torn | Step::Suspect(_))) {
                    let _ = file.forget(known.tip().offset);
                }
                match step {
                    // What a client has of a page may be older than the file's length, and stay so.
                    Ok(Step::Torn) if self.fenced && !seen_torn => {
                        seen_torn = true;
                        known.forget_torn();
                        continue;
                    }
                    _ => drop(opened),
                }
                match step {
                    Ok(Step::More) => continue,
                    Ok(Step::End | Step::Torn) => {
                        ended = Some(number);
                        self.caught_up.store(true, Ordering::Relaxed);
                        continue;
                    }
                    Ok(Step::Sealed(seal)) => {
                        self.follow(number, &seal, records)?;
                        continue;
                    }
                    Ok(Step::Suspect(error)) => Trouble::Suspicion(error),
                    Ok(Step::Hole(error)) => Trouble::Hole(error),
                    Err(error) => Trouble::Certain(error),
                }
            };
            match trouble {
                // Whoever may write sets aside what is behind it, under the lock.
                Trouble::Hole(error) if looks == LOOKS_AGAIN => {
                    if !self.writable || self.poison.get().is_some() {
                        return Err(error);
                    }
                    self.append(&[], Durability::Process)?;
                    looks = 0;
                }
                // What was folded need no longer be whole, as long as the log goes on elsewhere.
                Trouble::Suspicion(error) if looks == LOOKS_AGAIN => self.relocate_after(number, error)?,
                Trouble::Suspicion(_) | Trouble::Hole(_) => {
                    self.os.sleep(LOOK_AGAIN_PAUSE * (1 << looks));
                    looks += 1;
                }
                Trouble::Certain(error) => self.relocate_after(number, error)?,
            }
        }
    }

    fn load_snapshot(&self) -> Option<(Seq, Vec<u8>)> {
        let mut opened = self.opened();
        let Opened { file, known, path, .. } = &mut *opened;
        if !known.is_fresh() {
            return None;
        }
        let header = known.header()?;
        let bytes = self.look(&**file, known).ok()?;
        let holds = |tip: Tip| tip.offset <= bytes && known.holds(&**file, tip);
        if let Some((tip, payload)) = snapshot::load(&*self.os, path, header, holds) {
            known.resume(tip);
            return Some((Seq(tip.link.seq), payload));
        }
        drop(opened);
        self.load_base().ok().flatten()
    }

    fn save_snapshot(&self, at: Seq, source: &mut SnapshotSource<'_>) -> Result<bool, Error> {
        if self.check_writable().is_err() {
            return Ok(false);
        }
        let opened = self.opened();
        let (tip, header, path) = (opened.known.tip(), opened.known.header().copied(), opened.path.clone());
        drop(opened);
        let Some(header) = header.filter(|_| tip.link.seq == at.0) else {
            return Ok(false);
        };
        let newer = snapshot::peek(&*self.os, &path, &header).is_some_and(|(kept, _)| kept.tip.link.seq >= at.0);
        if newer {
            return Ok(false);
        }
        // Who goes on from it builds on records that must not be lost before it: their loss would leave a hole.
        self.append(&[], Durability::Power)?;
        snapshot::save(&*self.os, &path, &header, tip, source).map_err(self.place.io("write a snapshot of"))
    }

    fn load_base(&self) -> Result<Option<(Seq, Vec<u8>)>, Error> {
        loop {
            let (number, result) = self.read_base();
            match result {
                Err(error) => self.relocate_after(number, error)?,
                Ok(base) => return Ok(base),
            }
        }
    }

    fn extent(&self) -> Option<Extent> {
        let opened = self.opened();
        opened.known.header()?;
        let (base, end) = (opened.known.base_offset(), opened.known.tip().offset);
        let snapshot_bytes = base - HEADER_BYTES as u64;
        self.writable.then_some(Extent { snapshot_bytes, record_bytes: end.saturating_sub(base) })
    }

    fn compact(&self, at: Seq, source: &mut SnapshotSource<'_>, history: History) -> Result<bool, Error> {
        self.compact_at(at.0, source, history)
    }

    fn reclaim(&self, grace: Duration) -> Result<(), Error> {
        self.reclaim_after(grace)
    }

    fn location(&self) -> &str {
        &self.place.location
    }
}

/// What came in the way of reading.
enum Trouble {
    /// It may look otherwise in a moment.
    Suspicion(Error),
    /// The same; and if it stays, it is no damage.
    Hole(Error),
    Certain(Error),
}

/// Opens the file for writing if that is wanted and allowed, and says whether it did.
fn open_file(os: &dyn Os, path: &Path, place: &Place, options: &Options) -> Result<(Arc<dyn OsFile>, bool), Error> {
    let create = options.create && !options.read_only;
    match os.path_kind(path).map_err(place.io("look at"))? {
        PathKind::Directory => return Err(place.not_a_log("it is a directory")),
        PathKind::Other => return Err(place.not_a_log("it is not a regular file")),
        PathKind::Missing if !create => return Err(place.not_found()),
        PathKind::Missing | PathKind::File => {}
    }
    if !options.read_only {
        let access = if create { Access::Create } else { Access::Write };
        match os.open(path, access) {
            Ok(file) => return Ok((file, true)),
            Err(error) if is_forbidden(&error) => {}
            Err(error) => return Err(open_error(place, error)),
        }
    }
    match os.open(path, Access::Read) {
        Ok(file) => Ok((file, false)),
        // The folder did not let us make the file.
        Err(error) if create && error.kind() == io::ErrorKind::NotFound => Err(place.read_only()),
        Err(error) => Err(open_error(place, error)),
    }
}

fn is_forbidden(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem)
}

fn open_error(place: &Place, error: io::Error) -> Error {
    if error.kind() == io::ErrorKind::NotFound { place.not_found() } else { place.io("open")(error) }
}

/// Writes all of `bytes`. A write that takes only a part says why at the next attempt.
fn write_full(file: &dyn OsFile, offset: u64, bytes: &[u8]) -> io::Result<()> {
    let mut done = 0;
    while done < bytes.len() {
        match file.write_at(offset + done as u64, &bytes[done..]) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => done += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
