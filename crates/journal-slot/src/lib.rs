//! Trialog's journal of immutable objects: in a folder, or in a bucket of S3, GCS or Azure. `docs/format.md`, section "Folders and
//! buckets", owns the objects.
//!
//! The log is a row of slots, numbered without a gap. An append puts its records into the next slot, as one object that is made
//! only if there is none of that name: of all who try, one succeeds, and the others read what it wrote and try the slot after it.
//! There is no lock, and so nobody to wait for. Names of slots are never free again: where space is given back the
//! object is emptied and its name stays, so that a writer that slept through all of that cannot take an old slot.
//!
//! What is assumed of the store:
//! - making an object if absent has one winner, whoever tries, and an object is there whole or not at all. A store
//!   that does not keep that is refused when the log is opened, as far as one handle alone can find it out;
//! - what was acknowledged is found by whoever looks afterwards.
//!
//! Each object names the checksum of its predecessor, which covers all that precedes: a store that lost its end, or whose objects
//! were replaced, is [`Error::Regressed`] for everybody who has seen more.

mod known;
mod object;
mod open;
mod read;
mod snapshot;
mod store;

pub use object_store;
pub use open::Options;

use std::fmt;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use known::{Known, Slot};
use object::{HEADER_BYTES, Header, Kind, Point, Token};
use store::{Created, Found, Store};
use trialog_journal::group::Group;
use trialog_journal::{
    Durability, Error, Extent, History, Journal, RECORD_BYTES_MAX, Seq, SnapshotSource, Visitor,
};

/// How often something is tried that the store did not do, or said was missing though it should be there.
const ATTEMPTS: u32 = 6;
/// How long the first pause between two attempts is; each is twice as long as the one before.
const PAUSE: Duration = Duration::from_millis(20);
/// For how long an append that loses every race tries again.
const LOSING_MAX: Duration = Duration::from_secs(60);
/// The longest pause after a lost race.
const LOST_PAUSE_MAX: Duration = Duration::from_millis(200);

/// A handle on a log in a folder or bucket. Share one between the threads of a process: they then share objects.
pub struct SlotJournal {
    store: Store,
    log_id: [u8; 16],
    /// Where the log begins.
    start: Point,
    read_only: bool,
    process: AtomicU32,
    /// Held by whoever appends; taken before `known`.
    writer: Mutex<Token>,
    known: Mutex<Known>,
    group: Group,
    poison: OnceLock<String>,
    lost_races: AtomicU64,
}

impl fmt::Debug for SlotJournal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SlotJournal").field("location", &self.store.location).finish_non_exhaustive()
    }
}

/// What became of an object that was to take a slot.
enum Taken {
    Ours,
    Lost,
}

impl SlotJournal {
    /// How many races for a slot this handle has lost so far: each cost a round trip, and nothing else.
    #[must_use]
    pub fn lost_races(&self) -> u64 {
        self.lost_races.load(Ordering::Relaxed)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        lock(&self.known)
    }

    /// What a writer needs to be sure of before it writes.
    fn check_writer(&self) -> Result<(), Error> {
        let location = || self.store.location.clone();
        if self.read_only {
            return Err(Error::ReadOnly { location: location() });
        }
        if let Some(cause) = self.poison.get() {
            return Err(Error::Poisoned { location: location(), cause: cause.clone() });
        }
        let process = std::process::id();
        if self.process.load(Ordering::Relaxed) != process {
            if !self.store.dies_with_fork() {
                *lock(&self.writer) = Token { writer: open::random(&self.store.location)?, counter: 0 };
                self.group.reset();
                self.process.store(process, Ordering::Relaxed);
            }
            return Err(Error::Forked { location: location() });
        }
        Ok(())
    }

    /// Puts a batch into the next slot. `None` if the log does not end at `at`.
    fn commit(&self, batch: &[u8], count: u64, at: Option<u64>) -> Result<Option<u64>, Error> {
        let mut writer = lock(&self.writer);
        if self.known().is_fresh() {
            self.seek_end()?;
        }
        if count == 0 {
            self.catch_up()?;
            return Ok(Some(self.known().tip().seq));
        }
        writer.counter += 1;
        let begun = Instant::now();
        let mut lost = 0;
        loop {
            let tip = self.known().tip();
            if at.is_some_and(|at| at != tip.seq) {
                return Ok(None);
            }
            let header = Header::new(Kind::Records, self.log_id, tip, count, *writer, batch);
            let end = header.end().ok_or_else(|| self.full())?;
            let bytes = header.with(batch);
            match self.take_slot(tip, &header, &bytes)? {
                Taken::Ours => {
                    self.known().push(Slot { at: tip, end, bytes });
                    // Slots without a segment are read one by one.
                    let _ = self.fold_before(end.slot);
                    return Ok(Some(tip.seq));
                }
                Taken::Lost => {
                    self.lost_races.fetch_add(1, Ordering::Relaxed);
                    self.catch_up()?;
                }
            }
            lost += 1;
            let waited = begun.elapsed();
            if waited > LOSING_MAX {
                let holder = Some("other writers, who were faster each time".to_owned());
                return Err(Error::Locked { location: self.store.location.clone(), waited, holder });
            }
            // Whoever loses again and again waits longer, by a length that differs between writers.
            let spread = u32::from(writer.writer[lost as usize % 16]) + 1;
            std::thread::sleep((Duration::from_micros(20) * spread * lost).min(LOST_PAUSE_MAX));
        }
    }

    /// Tries to make the object of the next slot, until it is known whose it is.
    fn take_slot(&self, tip: Point, header: &Header, bytes: &[u8]) -> Result<Taken, Error> {
        let key = slot_key(tip.slot);
        let mut failure = None;
        for attempt in 0..ATTEMPTS {
            if attempt > 0 {
                std::thread::sleep(PAUSE * (1 << attempt));
            }
            match self.store.create(&key, bytes.to_vec()) {
                Ok(Created::New) => return self.confirm(tip, &key).map(|()| Taken::Ours),
                Ok(Created::Exists) => {}
                Err(error) if self.store.is_folder() => {
                    // It may be there and not durable, and a second sync would say that it is.
                    let _ = self.poison.set(error.to_string());
                    return Err(error);
                }
                Err(error) => failure = Some(error),
            }
            // Another's, or ours: the reply may have been lost, now or in an attempt that the client made by itself.
            match self.store.head(&key, HEADER_BYTES) {
                Ok(Found::Bytes(found)) if Header::parse(&found).is_ok_and(|found| found == *header) => {
                    self.store.sync(SLOTS)?;
                    return self.confirm(tip, &key).map(|()| Taken::Ours);
                }
                Ok(Found::Bytes(_) | Found::Emptied) => return Ok(Taken::Lost),
                Ok(Found::Missing) => {}
                Err(error) => failure = Some(error),
            }
        }
        Err(failure.unwrap_or_else(|| {
            let source = std::io::Error::other("it is said to be there, and not found");
            Error::Io { location: self.key_location(&key), action: "write to", source }
        }))
    }

    /// Makes sure that the slot we took follows on what we had seen. If not, ours is taken back: the log is another one.
    fn confirm(&self, tip: Point, key: &str) -> Result<(), Error> {
        let confirmed = self.check_before(tip);
        if matches!(confirmed, Err(Error::Regressed { .. })) {
            let _ = self.store.delete(key);
        }
        confirmed
    }

    /// Whether what precedes a place is still there and still the same.
    fn check_before(&self, tip: Point) -> Result<(), Error> {
        let key = tip.slot.checked_sub(1).map_or_else(|| LOG.to_owned(), slot_key);
        let mut last = Ok(());
        for attempt in 0..ATTEMPTS {
            if attempt > 0 {
                std::thread::sleep(PAUSE * (1 << attempt));
            }
            last = match self.store.head(&key, HEADER_BYTES) {
                Ok(Found::Bytes(found)) => match Header::parse(&found) {
                    Ok(header) if header.crc == tip.chain => return Ok(()),
                    // It stays what it is, however often it is asked for.
                    _ => return Err(self.regressed(tip)),
                },
                // Folded meanwhile: its name is there, as that of a slot of this log.
                Ok(Found::Emptied) => return Ok(()),
                Ok(Found::Missing) => Err(None),
                Err(error) => Err(Some(error)),
            };
        }
        last.map_err(|error| error.unwrap_or_else(|| self.regressed(tip)))
    }

    fn regressed(&self, tip: Point) -> Error {
        let found = self.end_after(self.start).map_or(0, |end| end.seq);
        Error::Regressed { location: self.store.location.clone(), seen: tip.seq, found: found.min(tip.seq) }
    }

    fn full(&self) -> Error {
        let detail = "it has as many records as can be counted".to_owned();
        Error::Unsupported { location: self.store.location.clone(), detail }
    }

    fn key_location(&self, key: &str) -> String {
        format!("{}/{key}", self.store.location)
    }

    fn check_records(records: &[&[u8]]) -> Result<(), Error> {
        match records.iter().find(|record| record.len() > RECORD_BYTES_MAX) {
            Some(record) => Err(Error::TooLarge { bytes: record.len() }),
            None => Ok(()),
        }
    }
}

impl Journal for SlotJournal {
    /// What it returns is durable, whatever was asked for: in a folder the file is synced before it gets its name, and the name
    /// before this returns.
    fn append(&self, records: &[&[u8]], durability: Durability) -> Result<Seq, Error> {
        SlotJournal::check_records(records)?;
        self.check_writer()?;
        let first = self.group.run(records, |batch, count| {
            self.check_writer()?;
            let first = self.commit(batch, count, None)?;
            Ok(first.expect("only an append at a position can be at the wrong one"))
        })?;
        if records.is_empty() && durability == Durability::Power {
            // Somebody else's last name may be there, and not durable yet.
            self.store.sync(SLOTS)?;
        }
        Ok(Seq(first))
    }

    fn append_at(&self, at: Seq, records: &[&[u8]], _: Durability) -> Result<Option<Seq>, Error> {
        SlotJournal::check_records(records)?;
        self.check_writer()?;
        if records.is_empty() || !self.is_remote() {
            return Ok(None);
        }
        let mut batch = Vec::new();
        records.iter().for_each(|record| trialog_journal::group::push_record(&mut batch, record));
        Ok(self.commit(&batch, records.len() as u64, Some(at.0))?.map(Seq))
    }

    fn read(&self, from: Seq, visit: &mut Visitor<'_>) -> Result<Seq, Error> {
        let mut next = from.0;
        loop {
            let known = self.known();
            let (tip, first, slots) = (known.tip(), known.tail_first(), known.tail_from(next));
            drop(known);
            if next < first {
                if self.visit_stored(&mut next, first, visit)?.is_break() {
                    return Ok(Seq(next));
                }
                continue;
            }
            for slot in &slots {
                for (seq, record) in object::records(slot.at.seq, &slot.bytes[HEADER_BYTES..], next) {
                    next = seq + 1;
                    if visit(Seq(seq), record).is_break() {
                        return Ok(Seq(next));
                    }
                }
            }
            if self.known().tip() != tip {
                continue;
            }
            let fetched = match self.fetch() {
                Err(Error::Folded { location, first, .. }) => {
                    if first <= next && self.skip_to_base() {
                        continue;
                    }
                    return Err(Error::Folded { location, asked: next, first });
                }
                fetched => fetched?,
            };
            if !fetched {
                let found = self.known().tip().seq;
                return if next > found {
                    Err(Error::Regressed { location: self.store.location.clone(), seen: next, found })
                } else {
                    Ok(Seq(next))
                };
            }
        }
    }

    fn is_remote(&self) -> bool {
        !self.store.is_folder()
    }

    fn load_snapshot(&self) -> Option<(Seq, Vec<u8>)> {
        self.newest_snapshot()
    }

    fn save_snapshot(&self, at: Seq, source: &mut SnapshotSource<'_>) -> Result<bool, Error> {
        self.check_writer()?;
        self.store_snapshot(at.0, source)
    }

    fn load_base(&self) -> Result<Option<(Seq, Vec<u8>)>, Error> {
        self.newest_base()
    }

    fn extent(&self) -> Option<Extent> {
        let known = self.known();
        let (snapshot_bytes, before) = known.base.map_or((0, 0), |base| (base.bytes, base.point.bytes));
        Some(Extent { snapshot_bytes, record_bytes: known.tip().bytes.saturating_sub(before) })
    }

    fn compact(&self, at: Seq, source: &mut SnapshotSource<'_>, history: History) -> Result<bool, Error> {
        self.check_writer()?;
        self.store_base(at.0, source, history)
    }

    fn reclaim(&self, grace: Duration) -> Result<(), Error> {
        self.check_writer()?;
        self.give_back(grace)
    }

    fn location(&self) -> &str {
        &self.store.location
    }
}

/// Where the object is that makes a place a log.
const LOG: &str = "log";
/// Under what the slots are.
const SLOTS: &str = "slots";

/// The name of a slot: decimal digits, so that names are in the order of numbers.
fn slot_key(slot: u64) -> String {
    format!("{SLOTS}/{slot:020}")
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

type Flow = ControlFlow<()>;
