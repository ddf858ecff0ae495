//! What a handle knows of the log: how far it has seen it, the objects seen last, and places to begin reading at.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::object::Point;

/// How many bytes of objects are kept in memory, besides the newest.
const TAIL_BYTES: usize = 8 << 20;
/// How many slots there are between two places that are kept.
const POINT_SLOTS: u64 = 256;

/// The records of a slot that was checked.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) at: Point,
    pub(crate) end: Point,
    /// The whole object.
    pub(crate) bytes: Vec<u8>,
}

#[derive(Debug)]
pub(crate) struct Known {
    tip: Point,
    tail: VecDeque<Arc<Slot>>,
    tail_bytes: usize,
    /// In order; the first of them is the beginning of the log.
    points: Vec<Point>,
    /// The newest base that was heard of: where reading goes on behind it, the records it covers, and its length.
    pub(crate) base: Option<BaseAt>,
    /// Whether there may be much more than is known.
    pub(crate) behind: bool,
}

/// A base, as a handle remembers it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BaseAt {
    pub(crate) point: Point,
    pub(crate) seq: u64,
    pub(crate) bytes: u64,
}

impl Known {
    pub(crate) fn new(start: Point) -> Known {
        Known { tip: start, tail: VecDeque::new(), tail_bytes: 0, points: vec![start], base: None, behind: true }
    }

    pub(crate) fn tip(&self) -> Point {
        self.tip
    }

    /// Whether nothing at all was read.
    pub(crate) fn is_fresh(&self) -> bool {
        self.tip.slot == 0 && self.behind
    }

    /// Adds the slot that follows; another thread may have been first.
    pub(crate) fn push(&mut self, slot: Slot) {
        if slot.at != self.tip {
            return;
        }
        self.note(slot.end);
        self.tip = slot.end;
        self.tail_bytes += slot.bytes.len();
        self.tail.push_back(Arc::new(slot));
        while self.tail_bytes > TAIL_BYTES && self.tail.len() > 1 {
            let old = self.tail.pop_front().expect("there is more than one");
            self.tail_bytes -= old.bytes.len();
        }
    }

    /// Goes on at a place that lies ahead, whose records nobody has to read.
    pub(crate) fn resume(&mut self, at: Point) {
        if at.slot <= self.tip.slot {
            return;
        }
        self.tail.clear();
        self.tail_bytes = 0;
        self.tip = at;
        self.note(at);
    }

    /// Remembers a place to begin reading at, if there is none near it.
    pub(crate) fn note(&mut self, point: Point) {
        let next = self.points.partition_point(|known| known.slot <= point.slot);
        let before = self.points[next - 1].slot;
        if point.slot - before >= POINT_SLOTS {
            self.points.insert(next, point);
        }
    }

    /// Remembers a base; its place is one to begin reading at, and nothing before it may be there any more.
    pub(crate) fn learn_base(&mut self, base: BaseAt) {
        if self.base.is_none_or(|known| known.seq < base.seq) {
            self.base = Some(base);
        }
    }

    /// The slots in memory that hold the record `from` or later ones. Empty if `from` is not in memory.
    pub(crate) fn tail_from(&self, from: u64) -> Vec<Arc<Slot>> {
        if from < self.tail_first() {
            return Vec::new();
        }
        let skip = self.tail.partition_point(|slot| slot.end.seq <= from);
        self.tail.range(skip..).cloned().collect()
    }

    /// The slot with this number, if it is in memory.
    pub(crate) fn tail_slot(&self, slot: u64) -> Option<Arc<Slot>> {
        let first = self.tail.front()?.at.slot;
        self.tail.get(usize::try_from(slot.checked_sub(first)?).ok()?).cloned()
    }

    /// The first record in memory.
    pub(crate) fn tail_first(&self) -> u64 {
        self.tail.front().map_or(self.tip.seq, |slot| slot.at.seq)
    }

    /// The last known place at or before the record `from`.
    pub(crate) fn point_before(&self, from: u64) -> Point {
        let base = self.base.map(|base| base.point);
        let points = self.points.iter().copied().chain(base);
        points.filter(|point| point.seq <= from).max_by_key(|point| point.slot).unwrap_or(self.points[0])
    }

    /// The last known place at which reading can begin to see all records from `seq` on, with the base before it known.
    pub(crate) fn boundary(&self, seq: u64) -> Option<Point> {
        if self.tip.seq == seq {
            return Some(self.tip);
        }
        let slot = self.tail.iter().rev().find(|slot| slot.at.seq <= seq && seq < slot.end.seq);
        slot.map(|slot| slot.at)
    }
}
