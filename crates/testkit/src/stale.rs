//! A network client that keeps a page which is older than the file's length, for as long as nobody changes the file: seen
//! over NFS version 3.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// A stretch that a client has of every file as zeros, until it is told to forget it.
#[derive(Debug)]
pub(crate) struct Stale {
    stretch: Range<u64>,
    /// Whether the client does as it is told.
    forgets: bool,
    forgotten: AtomicBool,
    asked: AtomicU32,
}

impl Stale {
    pub(crate) fn new(stretch: Range<u64>, forgets: bool) -> Stale {
        Stale { stretch, forgets, forgotten: AtomicBool::new(false), asked: AtomicU32::new(0) }
    }

    /// What the client has of bytes that were read at `offset`.
    pub(crate) fn cover(&self, offset: u64, bytes: &mut [u8]) {
        if self.forgotten.load(Ordering::Relaxed) {
            return;
        }
        for (at, byte) in (offset..).zip(bytes) {
            if self.stretch.contains(&at) {
                *byte = 0;
            }
        }
    }

    pub(crate) fn forget(&self, offset: u64) {
        self.asked.fetch_add(1, Ordering::Relaxed);
        if self.forgets && offset <= self.stretch.start {
            self.forgotten.store(true, Ordering::Relaxed);
        }
    }

    pub(crate) fn asked(&self) -> u32 {
        self.asked.load(Ordering::Relaxed)
    }
}
