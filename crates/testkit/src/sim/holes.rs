//! What a hole in a log proves: a stretch that does not verify with valid frames behind it is either what a lost
//! write left, or damage to records that were safe. The rule is here to be measured; `docs/guarantees.md` states it.

use super::disk::SECTOR_BYTES;
use trialog_journal::frame::{Check, FRAME_HEADER_BYTES, Frame, Link, check};

/// Why bytes before valid frames do not verify.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hole {
    /// Every sign is that of a write that was lost in part: nobody who wrote behind it knew it to be stable, and
    /// at the first frame that is missing a whole sector is as it was before it was written, all zeros.
    LostPower,
    /// Somebody knew the missing records to be on stable storage.
    WasStable,
    /// What is there instead of the missing frame is not what a lost sector leaves.
    NotASector,
}

/// Judges the hole at `end`, behind the first `records` records of a log.
#[must_use]
pub fn judge_hole(bytes: &[u8], end: usize, records: u64) -> Hole {
    let behind = frames_behind(bytes, end, records);
    if behind.iter().any(|(_, frame)| frame.stable() > records) {
        return Hole::WasStable;
    }
    let next = behind.first().map_or(bytes.len(), |(at, _)| *at);
    if has_lost_sector(bytes, end, next) { Hole::LostPower } else { Hole::NotASector }
}

/// A rule that looks at what later writers knew and not at what stands in the hole: a mistake, to see whether it is found.
#[must_use]
pub fn judge_hole_by_claims(bytes: &[u8], end: usize, records: u64) -> Hole {
    let behind = frames_behind(bytes, end, records);
    if behind.iter().any(|(_, frame)| frame.stable() > records) { Hole::WasStable } else { Hole::LostPower }
}

/// The frames behind a hole that are valid in themselves and may belong to this log.
fn frames_behind(bytes: &[u8], end: usize, records: u64) -> Vec<(usize, Frame<'_>)> {
    let mut found = Vec::new();
    let mut at = end + 1;
    while let Some(rest) = bytes.get(at..).filter(|rest| rest.len() >= FRAME_HEADER_BYTES) {
        let seq = u64::from_le_bytes(rest[8..16].try_into().expect("eight bytes"));
        let room = ((at - end) / FRAME_HEADER_BYTES) as u64;
        let near = seq.checked_sub(records).is_some_and(|ahead| ahead <= room);
        let frame = match check(rest, Link { seq, crc: 0 }) {
            Check::Valid(frame) | Check::Misfit(frame) if near => frame,
            _ => {
                at += 1;
                continue;
            }
        };
        found.push((at, frame));
        at += frame.len();
    }
    found
}

/// Whether the frame that should begin at `end` lies in a sector that was never written: all zeros from its beginning, or
/// from `end` if that is later, to its end. Valid frames begin at `next`.
fn has_lost_sector(bytes: &[u8], end: usize, next: usize) -> bool {
    let mut sector = end / SECTOR_BYTES;
    loop {
        let from = (sector * SECTOR_BYTES).max(end);
        let to = (sector + 1) * SECTOR_BYTES;
        if to > next || from >= frame_end(bytes, end, next) {
            return false;
        }
        // Fewer than four bytes may well be zero by chance.
        if to - from >= 4 && bytes[from..to].iter().all(|&byte| byte == 0) {
            return true;
        }
        sector += 1;
    }
}

/// Where the frame that is missing would end, if its header can still be believed; else somewhere before `next`.
fn frame_end(bytes: &[u8], end: usize, next: usize) -> usize {
    match bytes.get(end..end + FRAME_HEADER_BYTES) {
        Some(header) if header[7] != 0 => {
            let length = u32::from_le_bytes([header[4], header[5], header[6], 0]) as usize;
            (end + FRAME_HEADER_BYTES + length).min(next)
        }
        _ => next,
    }
}
