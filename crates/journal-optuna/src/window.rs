//! The lines that a handle has in memory: a stretch of the journal, and where stretches before it begin.

use std::ops::ControlFlow;

use trialog_journal::{Seq, Visitor};

/// How many bytes are read at a time, and kept after they were read.
pub(crate) const STRETCH_BYTES: usize = 1 << 20;

/// A stretch of whole lines, the last ones that are known.
#[derive(Debug, Default)]
pub(crate) struct Window {
    /// The number and the offset of the first line in memory.
    first: (u64, u64),
    bytes: Vec<u8>,
    /// Where each line ends, its line feed included.
    ends: Vec<usize>,
    /// Numbers and offsets of lines, a stretch apart, by number.
    marks: Vec<(u64, u64)>,
}

impl Window {
    /// How many lines are known.
    pub(crate) fn lines(&self) -> u64 {
        self.first.0 + self.ends.len() as u64
    }

    /// Where the known lines end.
    pub(crate) fn end(&self) -> u64 {
        self.first.1 + self.ends.last().map_or(0, |end| *end as u64)
    }

    /// The number of the first line in memory.
    pub(crate) fn first(&self) -> u64 {
        self.first.0
    }

    /// Takes bytes that begin where the known lines end, and keeps the whole lines. Returns how many bytes those are.
    pub(crate) fn extend(&mut self, bytes: &[u8]) -> usize {
        if self.bytes.len() >= STRETCH_BYTES {
            self.first = (self.lines(), self.end());
            self.bytes.clear();
            self.ends.clear();
        }
        if self.bytes.is_empty() {
            self.mark();
        }
        let base = self.bytes.len();
        let mut whole = 0;
        while let Some(at) = find_line_feed(&bytes[whole..]) {
            whole += at + 1;
            self.ends.push(base + whole);
        }
        self.bytes.extend_from_slice(&bytes[..whole]);
        whole
    }

    fn mark(&mut self) {
        let last = self.marks.last();
        if last.is_none_or(|(_, offset)| self.first.1 >= offset + STRETCH_BYTES as u64) {
            self.marks.push(self.first);
        }
    }

    /// The nearest place at or before a line: its number and offset.
    pub(crate) fn mark_before(&self, line: u64) -> (u64, u64) {
        let after = self.marks.partition_point(|(number, _)| *number <= line);
        after.checked_sub(1).map_or((0, 0), |at| self.marks[at])
    }

    /// Hands over the lines in memory from this one on, without their ends; where it stopped, and whether it was told to.
    pub(crate) fn visit(&self, from: u64, visit: &mut Visitor<'_>) -> (u64, ControlFlow<()>) {
        let skip = (from - self.first.0) as usize;
        let mut begin = if skip == 0 { 0 } else { self.ends[skip - 1] };
        let mut line = from;
        for &end in &self.ends[skip..] {
            let flow = visit(Seq(line), without_end(&self.bytes[begin..end]));
            line += 1;
            begin = end;
            if flow.is_break() {
                return (line, flow);
            }
        }
        (line, ControlFlow::Continue(()))
    }
}

/// A line without its line feed and a carriage return before it.
pub(crate) fn without_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// Where the first line feed stands: eight bytes at a time.
pub(crate) fn find_line_feed(bytes: &[u8]) -> Option<usize> {
    const ONES: u64 = u64::MAX / 255;
    let words = bytes.chunks_exact(8);
    let rest = words.remainder();
    for (i, word) in words.enumerate() {
        let mut eight = [0; 8];
        eight.copy_from_slice(word);
        let differs = u64::from_le_bytes(eight) ^ (ONES * u64::from(b'\n'));
        // A byte that is zero borrows from the next one and sets its own top bit.
        let found = differs.wrapping_sub(ONES) & !differs & (ONES << 7);
        if found != 0 {
            return Some(i * 8 + (found.trailing_zeros() / 8) as usize);
        }
    }
    let begin = bytes.len() - rest.len();
    rest.iter().position(|byte| *byte == b'\n').map(|at| begin + at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_feeds_are_found_wherever_they_stand() {
        for length in 0..40 {
            for at in 0..length {
                let mut bytes = vec![0x0b; length];
                bytes[at] = b'\n';
                assert_eq!(find_line_feed(&bytes), Some(at), "{length}");
            }
            assert_eq!(find_line_feed(&vec![0x8a; length]), None);
        }
    }
}
