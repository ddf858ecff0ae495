//! What a handle knows of the log: how far it has seen it and was told that it goes, the records seen last, and some
//! positions to begin reading at.

use crate::entry::{Batch, Chain, Tip};
use std::collections::VecDeque;
use std::ops::ControlFlow;
use trialog_journal::{Seq, Visitor};

/// How many bytes of batches are kept in memory, and twice as many at most.
pub(crate) const TAIL_BYTES: usize = 4 << 20;
/// How many bytes there are between two positions that are kept.
const POINT_BYTES: u64 = 1 << 20;

/// What the log says of a stored snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) name: String,
    pub(crate) at: Tip,
    pub(crate) bytes: u64,
    pub(crate) crc: u32,
    /// Whether the records that it covers are given up.
    pub(crate) folds: bool,
}

impl Stored {
    /// From what the scripts keep; nothing if it is nothing of theirs.
    pub(crate) fn parse(text: &str) -> Option<Stored> {
        let words: Vec<&str> = text.split(' ').collect();
        let [name, seq, position, chain, bytes, crc, _, kind] = *words else { return None };
        Some(Stored {
            name: name.to_owned(),
            at: Tip {
                seq: seq.parse().ok()?,
                bytes: position.parse().ok()?,
                chain: Chain::parse(chain.as_bytes())?,
            },
            bytes: bytes.parse().ok()?,
            crc: crc.parse().ok()?,
            folds: kind == "base",
        })
    }
}

#[derive(Debug)]
pub(crate) struct Known {
    tip: Tip,
    /// Where the log ended, as the server said last. Only whoever is behind has read less.
    end: Tip,
    /// The batches seen last, and the position after each.
    tail: VecDeque<(Batch, Tip)>,
    tail_bytes: usize,
    /// Positions in order, the first of them the log's beginning.
    points: Vec<Tip>,
    /// How many records were given up, when the server was last asked.
    pub(crate) trimmed: u64,
    pub(crate) base: Option<Stored>,
}

impl Known {
    pub(crate) fn new(start: Tip, end: Tip) -> Known {
        Known { tip: start, end, tail: VecDeque::new(), tail_bytes: 0, points: vec![start], trimmed: 0, base: None }
    }

    pub(crate) fn tip(&self) -> &Tip {
        &self.tip
    }

    /// The last position that the log is known to hold; its chain value vouches for all before it.
    pub(crate) fn told(&self) -> Tip {
        if self.tip.seq > self.end.seq { self.tip } else { self.end }
    }

    /// Takes note of the log's end.
    pub(crate) fn hear(&mut self, end: Tip) {
        self.end = end;
    }

    /// Whether what was read may go on to this position: not if it passes by where the log is known to have ended.
    pub(crate) fn leads_to(&self, tip: &Tip) -> bool {
        tip.seq < self.end.seq || self.tip.seq >= self.end.seq || *tip == self.end
    }

    pub(crate) fn is_fresh(&self) -> bool {
        self.tip.seq == 0
    }

    /// Adds the batch that follows.
    pub(crate) fn push(&mut self, batch: Batch, tip: Tip) {
        while self.tail.len() > 1 && self.tail_bytes + batch.bytes.len() > 2 * TAIL_BYTES {
            let (old, _) = self.tail.pop_front().expect("there is more than one");
            self.tail_bytes -= old.bytes.len();
        }
        if self.points.last().is_none_or(|last| tip.bytes - last.bytes >= POINT_BYTES) {
            self.points.push(tip);
        }
        self.tail_bytes += batch.bytes.len();
        self.tail.push_back((batch, tip));
        self.tip = tip;
    }

    /// Goes on at a position whose records nobody has to read; it lies ahead.
    pub(crate) fn resume(&mut self, at: Tip) {
        self.tail.clear();
        self.tail_bytes = 0;
        self.points.push(at);
        self.tip = at;
    }

    /// The position after so many records, if it is known.
    pub(crate) fn tip_at(&self, seq: u64) -> Option<Tip> {
        if self.tip.seq == seq {
            return Some(self.tip);
        }
        self.tail.iter().rev().map(|(_, tip)| tip).find(|tip| tip.seq == seq).copied()
    }

    /// Hands over what is in memory from `from` on; where that ended and whether it was told to. `None` if `from`
    /// is not in memory.
    pub(crate) fn visit_tail(&self, from: u64, visit: &mut Visitor<'_>) -> Option<(u64, ControlFlow<()>)> {
        let first = self.tail.front()?.0.first;
        if from < first || from >= self.tip.seq {
            return None;
        }
        let skip = self.tail.partition_point(|(batch, _)| batch.end <= from);
        let mut next = from;
        for (batch, _) in self.tail.range(skip..) {
            for (seq, record) in batch.records(from) {
                next = seq + 1;
                if visit(Seq(seq), record).is_break() {
                    return Some((next, ControlFlow::Break(())));
                }
            }
        }
        Some((next, ControlFlow::Continue(())))
    }

    /// The first record in memory.
    pub(crate) fn tail_first(&self) -> u64 {
        self.tail.front().map_or(self.tip.seq, |(batch, _)| batch.first)
    }

    /// The last known position at or before `from` from which reading on is possible.
    pub(crate) fn point_before(&self, from: u64) -> Option<Tip> {
        let base = self.base.as_ref().map(|base| &base.at);
        let points = self.points.iter().chain(base);
        points.filter(|point| point.seq <= from && point.seq >= self.trimmed).max_by_key(|point| point.seq).copied()
    }
}
