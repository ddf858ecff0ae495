//! A file on a disk: what everybody on its machine sees, what the disk has, and what a loss of power may leave.

use super::draw::Draw;
use std::collections::{BTreeMap, BTreeSet};

/// What a disk writes whole or not at all.
pub const SECTOR_BYTES: usize = 512;

/// A change that the disk may not have yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Bytes at a place.
    Write(usize, Vec<u8>),
    /// The file is cut or extended to this length.
    Truncate(usize),
    /// The bytes from the first place up to the second are given back, and read as zeros.
    Punch(usize, usize),
}

impl Change {
    /// Makes the change.
    pub fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Change::Write(offset, written) => {
                let end = offset + written.len();
                bytes.resize(bytes.len().max(end), 0);
                bytes[*offset..end].copy_from_slice(written);
            }
            Change::Truncate(length) => bytes.resize(*length, 0),
            Change::Punch(from, to) => {
                let to = (*to).min(bytes.len());
                bytes[(*from).min(to)..to].fill(0);
            }
        }
    }

    /// The stretch of the file that differs afterwards, given its length before.
    fn touched(&self, length: usize) -> (usize, usize) {
        match self {
            Change::Write(offset, written) => ((*offset).min(length), offset + written.len()),
            Change::Truncate(to) => (length.min(*to), length.max(*to)),
            Change::Punch(from, to) => ((*from).min(length), (*to).min(length)),
        }
    }
}

/// What remains of unsynced changes after a loss of power.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Survival {
    /// None of them.
    Nothing,
    /// All of them.
    Everything,
    /// The file's length, with zeros where its bytes are missing.
    Length,
    /// So many of them, and so many bytes of the next one if that is a write.
    Prefix(usize, usize),
    /// All of them, but for one sector, which is as it was before: the `n`-th of those that changed.
    AllBut(usize),
    /// Each sector as it was at some moment since the last sync, whatever the others were, and the file's length
    /// at some moment, as this seed has it.
    Sectors(u64),
}

/// The bytes of a file after a loss of power.
#[must_use]
pub fn survivors(durable: &[u8], pending: &[Change], survival: Survival) -> Vec<u8> {
    let whole = |changes: &[Change]| {
        let mut bytes = durable.to_vec();
        changes.iter().for_each(|change| change.apply(&mut bytes));
        bytes
    };
    match survival {
        Survival::Nothing => durable.to_vec(),
        Survival::Everything => whole(pending),
        Survival::Length => {
            let length = whole(pending).len();
            let mut bytes = durable.to_vec();
            bytes.resize(length, 0);
            bytes
        }
        Survival::Prefix(count, torn) => {
            let mut bytes = whole(&pending[..count.min(pending.len())]);
            if let Some(Change::Write(offset, written)) = pending.get(count) {
                let torn = torn.min(written.len());
                if torn > 0 {
                    Change::Write(*offset, written[..torn].to_vec()).apply(&mut bytes);
                }
            }
            bytes
        }
        Survival::AllBut(n) => {
            let mut bytes = whole(pending);
            let versions = Versions::of(durable, pending);
            let Some(&sector) = versions.sectors.keys().nth(n % versions.sectors.len().max(1)) else {
                return bytes;
            };
            versions.put(sector, 0, &mut bytes);
            bytes
        }
        Survival::Sectors(seed) => {
            let mut draw = Draw::new(seed, 7);
            let versions = Versions::of(durable, pending);
            let mut bytes = durable.to_vec();
            // A length that is there before its bytes shows zeros; bytes that are there before their length are not seen.
            let length = versions.lengths[draw.index(versions.lengths.len())];
            bytes.resize(length, 0);
            for (&sector, contents) in &versions.sectors {
                versions.put(sector, draw.index(contents.len()), &mut bytes);
            }
            bytes
        }
    }
}

/// How many sectors unsynced changes touch.
#[must_use]
pub fn changed_sectors(durable: &[u8], pending: &[Change]) -> usize {
    Versions::of(durable, pending).sectors.len()
}

/// What each changed sector held at the moments since the last sync.
struct Versions {
    sectors: BTreeMap<usize, Vec<Vec<u8>>>,
    lengths: Vec<usize>,
}

impl Versions {
    fn of(durable: &[u8], pending: &[Change]) -> Versions {
        let mut bytes = durable.to_vec();
        let mut versions = Versions { sectors: BTreeMap::new(), lengths: vec![bytes.len()] };
        for change in pending {
            let (from, to) = change.touched(bytes.len());
            let sectors = from / SECTOR_BYTES..to.div_ceil(SECTOR_BYTES);
            for sector in sectors.clone() {
                versions.sectors.entry(sector).or_insert_with(|| vec![content(&bytes, sector)]);
            }
            change.apply(&mut bytes);
            for sector in sectors {
                versions.sectors.entry(sector).or_default().push(content(&bytes, sector));
            }
            versions.lengths.push(bytes.len());
        }
        versions
    }

    fn put(&self, sector: usize, version: usize, bytes: &mut [u8]) {
        let from = (sector * SECTOR_BYTES).min(bytes.len());
        let to = (from + SECTOR_BYTES).min(bytes.len());
        if let Some(content) = self.sectors.get(&sector).and_then(|contents| contents.get(version)) {
            bytes[from..to].copy_from_slice(&content[..to - from]);
        }
    }
}

/// A sector with zeros behind the file's end.
fn content(bytes: &[u8], sector: usize) -> Vec<u8> {
    let from = (sector * SECTOR_BYTES).min(bytes.len());
    let to = (from + SECTOR_BYTES).min(bytes.len());
    let mut content = bytes[from..to].to_vec();
    content.resize(SECTOR_BYTES, 0);
    content
}

/// Who holds the lock on a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) descriptor: u64,
    pub(crate) client: usize,
    pub(crate) machine: usize,
}

/// A file where it is kept: on the one machine's disk, or on the server.
#[derive(Debug, Default)]
pub(crate) struct Inode {
    pub(crate) bytes: Vec<u8>,
    pub(crate) durable: Vec<u8>,
    pub(crate) pending: Vec<Change>,
    /// Rises with every change: what a network client compares.
    pub(crate) version: u64,
    pub(crate) lock: Option<Held>,
    /// Descriptors that have not yet been told of a sync that failed.
    pub(crate) owed_errors: BTreeSet<u64>,
    pub(crate) open: BTreeSet<u64>,
}

impl Inode {
    pub(crate) fn change(&mut self, change: Change) {
        change.apply(&mut self.bytes);
        self.pending.push(change);
        self.version += 1;
    }

    pub(crate) fn sync(&mut self) {
        for change in self.pending.drain(..) {
            change.apply(&mut self.durable);
        }
    }

    /// The disk takes nothing of what is unsynced, for good, and every descriptor that is open is told once.
    pub(crate) fn fail_sync(&mut self) {
        self.pending.clear();
        self.owed_errors.clone_from(&self.open);
    }

    pub(crate) fn lose_power(&mut self, survival: Survival) {
        self.bytes = survivors(&self.durable, &self.pending, survival);
        self.durable.clone_from(&self.bytes);
        self.pending.clear();
        self.version += 1;
    }
}
