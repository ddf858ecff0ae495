//! A journal in memory, for tests, for studies that nobody keeps, and as the measure of what the others cost.

use crate::{Durability, Error, Journal, RECORD_BYTES_MAX, Seq, Visitor};
use std::ops::ControlFlow;
use std::sync::{Arc, PoisonError, RwLock};

/// How many bytes are kept together. A reader holds the lock for at most one such chunk.
const CHUNK_BYTES: usize = 256 << 10;

/// A journal in memory. Clones are handles on one log.
#[derive(Clone, Debug, Default)]
pub struct MemoryJournal {
    log: Arc<RwLock<Log>>,
}

#[derive(Debug, Default)]
struct Log {
    /// Full chunks, which never change again, so that they can be read without the lock.
    full: Vec<Arc<Chunk>>,
    open: Chunk,
}

/// Records side by side: no allocation for each.
#[derive(Debug, Default)]
struct Chunk {
    first: u64,
    bytes: Vec<u8>,
    /// Where each record ends; it begins where the one before ends.
    ends: Vec<usize>,
}

impl MemoryJournal {
    /// An empty log.
    #[must_use]
    pub fn new() -> MemoryJournal {
        MemoryJournal::default()
    }
}

impl Log {
    fn push(&mut self, record: &[u8]) {
        if !self.open.ends.is_empty() && self.open.bytes.len() + record.len() > CHUNK_BYTES {
            let fresh = Chunk { first: self.open.end(), ..Chunk::default() };
            self.full.push(Arc::new(std::mem::replace(&mut self.open, fresh)));
        }
        self.open.bytes.extend_from_slice(record);
        self.open.ends.push(self.open.bytes.len());
    }

    fn full_chunk(&self, seq: u64) -> Option<Arc<Chunk>> {
        if seq >= self.open.first {
            return None;
        }
        let after = self.full.partition_point(|chunk| chunk.first <= seq);
        after.checked_sub(1).map(|at| Arc::clone(&self.full[at]))
    }
}

impl Chunk {
    fn end(&self) -> u64 {
        self.first + self.ends.len() as u64
    }

    /// Visits from `from` on; where it stopped, and whether it was told to.
    fn visit(&self, from: u64, visit: &mut Visitor<'_>) -> (u64, ControlFlow<()>) {
        let skip = (from - self.first) as usize;
        let mut begin = if skip == 0 { 0 } else { self.ends[skip - 1] };
        let mut seq = from;
        for &end in &self.ends[skip..] {
            let flow = visit(Seq(seq), &self.bytes[begin..end]);
            seq += 1;
            begin = end;
            if flow.is_break() {
                return (seq, flow);
            }
        }
        (seq, ControlFlow::Continue(()))
    }
}

impl Journal for MemoryJournal {
    fn append(&self, records: &[&[u8]], _: Durability) -> Result<Seq, Error> {
        if let Some(record) = records.iter().find(|record| record.len() > RECORD_BYTES_MAX) {
            return Err(Error::TooLarge { bytes: record.len() });
        }
        let mut log = self.log.write().unwrap_or_else(PoisonError::into_inner);
        let first = log.open.end();
        for record in records {
            log.push(record);
        }
        Ok(Seq(first))
    }

    fn read(&self, from: Seq, visit: &mut Visitor<'_>) -> Result<Seq, Error> {
        let mut seq = from.0;
        loop {
            let log = self.log.read().unwrap_or_else(PoisonError::into_inner);
            let end = log.open.end();
            if seq > end {
                return Err(Error::Regressed { location: self.location().into(), seen: seq, found: end });
            }
            let Some(chunk) = log.full_chunk(seq) else {
                return Ok(Seq(log.open.visit(seq, visit).0));
            };
            drop(log);
            let (next, flow) = chunk.visit(seq, visit);
            seq = next;
            if flow.is_break() {
                return Ok(Seq(seq));
            }
        }
    }

    fn location(&self) -> &str {
        "memory:"
    }
}
