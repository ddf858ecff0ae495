//! A log of several files, read as `docs/format.md` says and by nothing of the journal's, so that one mistake cannot
//! hide another.

use super::holes::{Hole, judge_hole};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The files of a log by the numbers of their segments.
pub(crate) type Files = BTreeMap<u64, Vec<u8>>;

const HEADER_BYTES: usize = 64;
const FRAME_BYTES: usize = 24;
const SEAL_BYTES: usize = FRAME_BYTES + 68;
const FOLDED: u32 = 1 << 16;

/// Where a segment lies in every simulated world.
pub(crate) fn segment_path(number: u64) -> PathBuf {
    if number == 0 { PathBuf::from(super::PATH) } else { PathBuf::from(format!("{}.{number:06}", super::PATH)) }
}

/// Where to cut a log that has a hole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cut {
    pub(crate) number: u64,
    pub(crate) end: usize,
}

/// A log as its files have it.
#[derive(Debug, Default)]
pub(crate) struct Log<'a> {
    /// The snapshot that stands for the first records, if they are not there one by one; and how many those are.
    pub(crate) base: Option<(u64, Vec<u8>)>,
    /// The records behind that.
    pub(crate) records: Vec<&'a [u8]>,
    /// Snapshots that later segments begin with though their records are there, and what they cover.
    pub(crate) snapshots: Vec<(u64, Vec<u8>)>,
    pub(crate) newest: u64,
    /// Where its last frame ends.
    pub(crate) end: usize,
    /// Whether a frame follows that does not belong there.
    pub(crate) hole: bool,
    /// What is wrong with how the files follow one another.
    pub(crate) trouble: Option<String>,
}

/// Where the log ends, if frames follow behind that.
pub(crate) fn hole(files: &Files) -> Option<Cut> {
    let log = read(files);
    log.hole.then_some(Cut { number: log.newest, end: log.end })
}

/// Whether a log has a hole that a lost write explains, so that any writer goes on behind it.
pub(crate) fn is_explained(files: &Files) -> bool {
    let log = read(files);
    let records = log.base.as_ref().map_or(0, |(records, _)| *records) + log.records.len() as u64;
    let judge = |bytes: &Vec<u8>| judge_hole(bytes, log.end, records) == Hole::LostPower;
    log.hole && log.end > 0 && files.get(&log.newest).is_some_and(judge)
}

/// Reads all files.
pub(crate) fn read(files: &Files) -> Log<'_> {
    let mut log = Log { newest: newest(files), ..Log::default() };
    let mut chain = vec![log.newest];
    let mut parsed = BTreeMap::new();
    while let Some(&number) = chain.last() {
        let Some(bytes) = files.get(&number) else {
            break;
        };
        let segment = parse(bytes);
        let is_folded = segment.flags & FOLDED != 0;
        parsed.insert(number, segment);
        if number == 0 || is_folded {
            break;
        }
        match files.iter().find(|(before, bytes)| **before < number && seal(bytes) == Some(number)) {
            Some((&before, _)) => chain.push(before),
            None => break,
        }
    }
    let mut first = 0;
    for (index, number) in chain.iter().rev().enumerate() {
        let Some(segment) = parsed.remove(number) else {
            break;
        };
        if index == 0 {
            first = segment.first;
            log.base = (first > 0).then_some((first, segment.base));
            log.records = segment.records;
        } else {
            // What was copied, and where it comes from.
            let known = log.records.len() as u64 + first;
            let copies = known.saturating_sub(segment.first) as usize;
            let begin = segment.first.saturating_sub(first) as usize;
            let agrees = segment.first >= first && segment.first <= known && copies <= segment.records.len();
            if !agrees || log.records[begin..] != segment.records[..copies] {
                log.trouble = Some(format!("segment {number} does not go on where the one before it ends"));
                break;
            }
            log.records.extend(&segment.records[copies..]);
            log.snapshots.push((segment.first, segment.base));
        }
        if *number == log.newest {
            log.end = segment.end;
            log.hole = segment.hole;
        } else if segment.hole || !segment.sealed {
            log.trouble = Some(format!("segment {number} is damaged at byte {}, and sealed", segment.end));
        }
    }
    log
}

/// The number of the segment that is read and written.
fn newest(files: &Files) -> u64 {
    if files.get(&0).is_none_or(|first| seal(first).is_none()) {
        return 0;
    }
    let named = |bytes: &Vec<u8>| seal(bytes).filter(|number| files.contains_key(number));
    files.values().rev().find_map(named).unwrap_or(0)
}

/// The successor that the seal at the end of a file names, if it ends with one.
fn seal(bytes: &[u8]) -> Option<u64> {
    let at = bytes.len().checked_sub(SEAL_BYTES)?;
    let (_, _, kind, payload) = frame(&bytes[at..])?;
    let is_seal = kind == 2 && payload.len() == SEAL_BYTES - FRAME_BYTES;
    (is_seal && u64_at(payload, 16) == at as u64).then(|| u64_at(payload, 24))
}

/// One file as its bytes have it.
pub(crate) struct Parsed<'a> {
    pub(crate) records: Vec<&'a [u8]>,
    /// Where the last frame ends.
    pub(crate) end: usize,
    /// Whether a frame follows that does not belong there.
    pub(crate) hole: bool,
    first: u64,
    flags: u32,
    base: Vec<u8>,
    sealed: bool,
}

/// Reads a file as the format's description says, and no faster.
pub(crate) fn parse(bytes: &[u8]) -> Parsed<'_> {
    let mut parsed =
        Parsed { records: Vec::new(), end: 0, hole: false, first: 0, flags: 0, base: Vec::new(), sealed: false };
    let magic = [0x94, 0x54, 0x4c, 0x4f, 0x47, 0x0d, 0x0a, 0x1a];
    if bytes.len() < HEADER_BYTES || bytes[..8] != magic || crc(&bytes[..60]) != u32_at(bytes, 60) {
        return parsed;
    }
    parsed.end = HEADER_BYTES;
    parsed.flags = u32_at(bytes, 12);
    parsed.first = u64_at(bytes, 32);
    let mut prev = u32_at(bytes, 60);
    while let Some((seq, link, kind, payload)) = frame(&bytes[parsed.end..]) {
        if seq != parsed.first + parsed.records.len() as u64 || link != prev {
            parsed.hole = true;
            return parsed;
        }
        prev = u32_at(bytes, parsed.end);
        if kind == 2 && u64_at(payload, 16) == parsed.end as u64 {
            parsed.sealed = true;
            return parsed;
        }
        parsed.end += FRAME_BYTES + payload.len();
        match kind {
            1 => parsed.records.push(payload),
            3 => parsed.base.extend_from_slice(payload),
            _ => {}
        }
    }
    let known = parsed.first + parsed.records.len() as u64;
    parsed.hole = (parsed.end + 1..bytes.len()).any(|at| {
        // The cheap half of the rule first.
        let room = ((at - parsed.end) / FRAME_BYTES) as u64;
        let near = bytes.get(at + 8..at + 16).is_some_and(|seq| {
            let seq = u64_at(seq, 0);
            seq >= known && seq - known <= room
        });
        near && frame(&bytes[at..]).is_some()
    });
    parsed
}

/// The frame at the beginning, if one is valid in itself: its seq, what it continues, its kind and payload.
fn frame(bytes: &[u8]) -> Option<(u64, u32, u8, &[u8])> {
    let header = bytes.get(..FRAME_BYTES)?;
    let length = (u32_at(header, 4) & 0x00ff_ffff) as usize;
    let body = bytes.get(4..FRAME_BYTES + length)?;
    let valid = header[7] != 0 && crc(body) == u32_at(header, 0);
    valid.then(|| (u64_at(header, 8), u32_at(header, 16), header[7], &bytes[FRAME_BYTES..FRAME_BYTES + length]))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

const CRC_TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let mut value = index as u32;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 == 1 { value >> 1 ^ 0xedb8_8320 } else { value >> 1 };
            bit += 1;
        }
        table[index] = value;
        index += 1;
    }
    table
};

fn crc(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, &byte| crc >> 8 ^ CRC_TABLE[((crc ^ u32::from(byte)) & 0xff) as usize])
}

#[cfg(test)]
mod tests {
    use super::crc;

    #[test]
    fn the_checksum_is_that_of_zip() {
        assert_eq!(crc(b"123456789"), 0xcbf4_3926);
    }
}
