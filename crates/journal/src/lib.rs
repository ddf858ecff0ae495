//! An ordered, dense, append-only log of opaque records, shared by many writers.
//!
//! [`Journal`] is the contract of every medium. What a record means is somebody else's concern: this crate
//! never sees an op, and a read here never writes.

#[cfg(feature = "conformance")]
pub mod conformance;
mod error;
pub mod frame;
pub mod group;
pub mod header;
mod memory;
pub mod seal;

pub use error::Error;
pub use memory::MemoryJournal;

use std::fmt;
use std::io;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

/// A position in a log: how many records lie before it, so also the index of the record that begins there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seq(pub u64);

impl Seq {
    /// The position after this record.
    #[must_use]
    pub fn next(self) -> Seq {
        Seq(self.0 + 1)
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How much an append survives once it has returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Durability {
    /// The death of the process: every process that reads the log sees the record.
    Process,
    /// The loss of power, as far as the medium can promise it.
    Power,
}

/// The longest record that every journal takes, in bytes. Larger things belong in files beside the log.
pub const RECORD_BYTES_MAX: usize = (1 << 24) - 1;

/// What becomes of the records that a compaction's snapshot covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum History {
    /// They stay readable.
    Kept,
    /// They are given up, and their space is given back: [`Journal::read`] answers [`Error::Folded`] for them.
    Folded,
}

/// How much a medium holds since its last compaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Bytes of the snapshot that it begins with.
    pub snapshot_bytes: u64,
    /// Bytes of records behind that.
    pub record_bytes: u64,
}

/// What [`Journal::read`] hands each record to; `Break` ends the reading before the next record.
pub type Visitor<'a> = dyn FnMut(Seq, &[u8]) -> ControlFlow<()> + 'a;

/// How long [`Journal::wait`] pauses between two looks where it can only look again: at first, and at most.
const LOOK_PAUSE_MIN: Duration = Duration::from_millis(10);
const LOOK_PAUSE_MAX: Duration = Duration::from_millis(500);

/// What hands a snapshot's bytes over, piece by piece, to whom it is given.
pub type SnapshotSource<'a> = dyn FnMut(&mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> + 'a;

/// A log of opaque records. All methods may be called from any thread.
pub trait Journal: Send + Sync {
    /// Appends records, in order and next to one another, and returns the position of the first.
    ///
    /// Without records it writes nothing and returns the log's end; with [`Durability::Power`] it still makes
    /// all that precedes that end durable.
    ///
    /// When this returns `Ok`, every reader that looks afterwards sees the records, and they are as durable as
    /// was asked for. When it returns an error they may be there or not: read, and decide again. No other
    /// outcome exists: a record is there whole or not at all.
    ///
    /// In a process that was forked with the handle open, the first append answers [`Error::Forked`] if other
    /// processes share the log: whatever told the parent's writers from all others must be made anew.
    ///
    /// # Errors
    /// [`Error::Forked`], [`Error::Locked`], [`Error::OutOfSpace`], [`Error::ReadOnly`], [`Error::TooLarge`],
    /// [`Error::Poisoned`] after an earlier failed write, [`Error::Corrupt`], or what else the medium says.
    fn append(&self, records: &[&[u8]], durability: Durability) -> Result<Seq, Error>;

    /// Hands every whole record from `from` on to `visit`, in order, and returns the position after the last
    /// one that was handed over. What is not wholly there yet is left for the next call.
    ///
    /// What this handle already knows (its own appends and all before them, its earlier reads) comes first, and
    /// the medium is asked for more only when `visit` has taken all of that: whoever wants no more than its own
    /// record breaks there, and pays for no look at the medium.
    ///
    /// `visit` must not call the journal that is being read: it may run under the journal's lock.
    ///
    /// # Errors
    /// [`Error::Corrupt`] at the first record that does not verify though later ones do (all before it have
    /// been handed over), [`Error::Regressed`] if the log ends before `from`, [`Error::Folded`] if records from `from`
    /// on were given up by a compaction, or what else the medium says.
    fn read(&self, from: Seq, visit: &mut Visitor<'_>) -> Result<Seq, Error>;

    /// Whether a look at the medium costs a round trip over a network, so that it pays to save looks.
    fn is_remote(&self) -> bool {
        false
    }

    /// Appends as [`Journal::append`] does if the log ends at `at`, and nothing otherwise: then the answer is `None`, and
    /// reading tells what came. Whoever has to look before it appends can save the look where it costs a round trip.
    /// `None` is always a right answer, and the only one of a journal for which looking is cheap.
    ///
    /// # Errors
    /// As [`Journal::append`].
    fn append_at(&self, at: Seq, records: &[&[u8]], durability: Durability) -> Result<Option<Seq>, Error> {
        let _ = (at, records, durability);
        Ok(None)
    }

    /// Waits until there is a record at `from`, whoever appends it, or until `timeout` is over; says whether there is one.
    /// Media that can wake their readers do so; this looks again, at first often and then twice a second.
    ///
    /// # Errors
    /// As [`Journal::read`].
    fn wait(&self, from: Seq, timeout: Duration) -> Result<bool, Error> {
        let begun = Instant::now();
        let mut pause = LOOK_PAUSE_MIN;
        loop {
            let mut there = false;
            let look = self.read(from, &mut |_, _| {
                there = true;
                ControlFlow::Break(())
            });
            match look {
                Ok(_) if there => return Ok(true),
                Ok(_) => {}
                // There were records, and reading on from here is not waiting any more.
                Err(Error::Folded { .. }) => return Ok(true),
                Err(error) => return Err(error),
            }
            let left = timeout.saturating_sub(begun.elapsed());
            if left.is_zero() {
                return Ok(false);
            }
            std::thread::sleep(pause.min(left));
            pause = (pause * 2).min(LOOK_PAUSE_MAX);
        }
    }

    /// The newest snapshot that can be had, with the position it was taken at, for a handle that has read nothing
    /// yet; reading then goes on from that position. A snapshot is a cache: whatever is wrong with one, there is
    /// none.
    fn load_snapshot(&self) -> Option<(Seq, Vec<u8>)> {
        None
    }

    /// Keeps a snapshot of what the first `at` records amount to, in the place of an older one. Says whether it
    /// did: a journal need not keep any, another writer may be at it, or records may have come since.
    ///
    /// # Errors
    /// What the medium says; the log itself is as it was.
    fn save_snapshot(&self, at: Seq, source: &mut SnapshotSource<'_>) -> Result<bool, Error> {
        let _ = (at, source);
        Ok(false)
    }

    /// What stands in the place of the log's first records where the medium keeps its end only: a snapshot, with the
    /// position it was taken at. `None` if there is no such thing. Unlike [`Journal::load_snapshot`] this may be asked at
    /// any time: it is where to begin anew after [`Error::Folded`].
    ///
    /// # Errors
    /// [`Error::Corrupt`] if it does not verify, or what else the medium says.
    fn load_base(&self) -> Result<Option<(Seq, Vec<u8>)>, Error> {
        Ok(None)
    }

    /// How much there would be to compact; `None` if this journal cannot.
    fn extent(&self) -> Option<Extent> {
        None
    }

    /// Begins the log's medium anew with a snapshot of what the first `at` records amount to, while others go on
    /// appending and reading. Says whether it did: a journal need not be able to, another process may be at it, or
    /// there may be nothing to gain.
    ///
    /// # Errors
    /// What the medium says; the log itself is as it was.
    fn compact(&self, at: Seq, source: &mut SnapshotSource<'_>, history: History) -> Result<bool, Error> {
        let _ = (at, source, history);
        Ok(false)
    }

    /// Gives back the space of records that were folded at least `grace` ago. Whoever still reads them is told
    /// [`Error::Folded`].
    ///
    /// # Errors
    /// What the medium says; the log itself is as it was.
    fn reclaim(&self, grace: Duration) -> Result<(), Error> {
        let _ = grace;
        Ok(())
    }

    /// The path or URL, for messages.
    fn location(&self) -> &str;
}

/// A row of a layout table: where a field stands and what it holds.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Its first byte.
    pub offset: usize,
    /// How many bytes it has.
    pub bytes: usize,
    /// What the format's description calls it.
    pub name: &'static str,
    /// What it holds.
    pub meaning: &'static str,
}

impl Field {
    const fn new(offset: usize, end: usize, name: &'static str, meaning: &'static str) -> Field {
        Field { offset, bytes: end - offset, name, meaning }
    }
}
