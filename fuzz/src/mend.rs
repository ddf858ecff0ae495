//! Where the parts of each format lie, and how to make their checksums right. Written from the documents and not
//! from the code under test.

use std::ops::Range;

/// What a log's header takes.
pub(crate) const LOG_HEADER_BYTES: usize = 64;
/// What stands before a frame's payload.
pub(crate) const FRAME_HEADER_BYTES: usize = 24;
/// What a snapshot's header takes.
const SNAPSHOT_HEADER_BYTES: usize = 32;
/// What stands before a section's payload.
pub(crate) const SECTION_HEADER_BYTES: usize = 16;
/// The kind of a snapshot's last section.
const SECTION_END: u32 = 12;
/// What stands before the snapshot in the file beside a log.
const ENVELOPE_BYTES: usize = 72;

/// What snapshots and the files that hold them begin with.
pub(crate) const SNAPSHOT_MAGIC: [u8; 8] = *b"\x94TSNP\r\n\x1a";

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|field| u32::from_le_bytes(*field))
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().map(|field| u64::from_le_bytes(*field))
}

fn put(bytes: &mut [u8], at: usize, field: &[u8]) {
    if let Some(place) = bytes.get_mut(at..at + field.len()) {
        place.copy_from_slice(field);
    }
}

/// Makes the checksum of a log's header right.
pub(crate) fn header(bytes: &mut [u8]) {
    if let Some(header) = bytes.get(..LOG_HEADER_BYTES - 4) {
        let crc = crc32fast::hash(header);
        put(bytes, LOG_HEADER_BYTES - 4, &crc.to_le_bytes());
    }
}

/// The payloads of the frames in `bytes` from `at` on, as far as their lengths go.
pub(crate) fn frames(bytes: &[u8], mut at: usize) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    while let Some(length) = bytes.get(at..).filter(|rest| rest.len() >= FRAME_HEADER_BYTES) {
        let len = u32_at(length, 4).map_or(0, |word| word & 0x00ff_ffff) as usize;
        let start = at + FRAME_HEADER_BYTES;
        at = start + len.min(bytes.len() - start);
        found.push(start..at);
    }
    found
}

/// Sets the length of the frame whose payload begins at `start`.
pub(crate) fn set_frame_length(bytes: &mut [u8], start: usize, len: usize) {
    put(bytes, start - FRAME_HEADER_BYTES + 4, &(len as u32).to_le_bytes()[..3]);
}

/// Gives the frames from `at` on their places in the log and their checksums.
pub(crate) fn seal(bytes: &mut [u8], at: usize, mut seq: u64, mut crc: u32) {
    for payload in frames(bytes, at) {
        set_frame_length(bytes, payload.start, payload.len());
        let start = payload.start - FRAME_HEADER_BYTES;
        put(bytes, start + 8, &seq.to_le_bytes());
        put(bytes, start + 16, &crc.to_le_bytes());
        crc = crc32fast::hash(&bytes[start + 4..payload.end]);
        put(bytes, start, &crc.to_le_bytes());
        seq = seq.wrapping_add(u64::from(bytes[start + 7] == 1));
    }
}

/// The payloads of the sections of the snapshot that begins at `at`.
pub(crate) fn sections(bytes: &[u8], at: usize) -> Vec<Range<usize>> {
    let mut at = at + SNAPSHOT_HEADER_BYTES;
    let mut found = Vec::new();
    while let Some(len) = u64_at(bytes, at + 8) {
        let start = at + SECTION_HEADER_BYTES;
        let end =
            usize::try_from(len).ok().and_then(|len| start.checked_add(len)).filter(|end| *end <= bytes.len());
        let Some(end) = end else { break };
        found.push(start..end);
        at = end;
        if u32_at(bytes, start - SECTION_HEADER_BYTES + 4) == Some(SECTION_END) {
            break;
        }
    }
    found
}

/// Sets the length of the section whose payload begins at `start`.
pub(crate) fn set_section_length(bytes: &mut [u8], start: usize, len: usize) {
    put(bytes, start - 8, &(len as u64).to_le_bytes());
}

/// Makes the checksums of the snapshot that begins at `at` right.
pub(crate) fn snapshot(bytes: &mut [u8], at: usize) {
    let Some(header) = bytes.get(at..at + SNAPSHOT_HEADER_BYTES - 4) else { return };
    let mut crc = crc32fast::hash(header);
    put(bytes, at + SNAPSHOT_HEADER_BYTES - 4, &crc.to_le_bytes());
    for payload in sections(bytes, at) {
        let start = payload.start - SECTION_HEADER_BYTES;
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&crc.to_le_bytes());
        hasher.update(&bytes[start + 4..payload.end]);
        crc = hasher.finalize();
        put(bytes, start, &crc.to_le_bytes());
    }
}

/// Where the log ends and the file beside it begins, in an input that has both.
pub(crate) fn beside(bytes: &[u8]) -> usize {
    let found = bytes.windows(SNAPSHOT_MAGIC.len()).position(|window| window == SNAPSHOT_MAGIC);
    found.unwrap_or(bytes.len())
}

/// Makes everything in a log and the snapshot beside it agree, but for where the snapshot says it was taken.
pub(crate) fn log(bytes: &mut [u8]) {
    let end = beside(bytes);
    let (log, snapshot_file) = bytes.split_at_mut(end);
    header(log);
    if let Some(crc) = u32_at(log, LOG_HEADER_BYTES - 4) {
        seal(log, LOG_HEADER_BYTES, 0, crc);
    }
    snapshot(snapshot_file, ENVELOPE_BYTES);
    if snapshot_file.len() < ENVELOPE_BYTES {
        return;
    }
    put(snapshot_file, 12, log.get(16..32).unwrap_or_default());
    let last = u64_at(snapshot_file, 44).and_then(|last| usize::try_from(last).ok());
    if let Some(crc) = last.and_then(|last| u32_at(log, if last == 0 { LOG_HEADER_BYTES - 4 } else { last })) {
        put(snapshot_file, 52, &crc.to_le_bytes());
    }
    let payload = &snapshot_file[ENVELOPE_BYTES..];
    let (len, crc) = (payload.len() as u64, crc32fast::hash(payload));
    put(snapshot_file, 56, &len.to_le_bytes());
    put(snapshot_file, 64, &crc.to_le_bytes());
    let crc = crc32fast::hash(&snapshot_file[..ENVELOPE_BYTES - 4]);
    put(snapshot_file, ENVELOPE_BYTES - 4, &crc.to_le_bytes());
}

/// What logs begin with.
const LOG_MAGIC: [u8; 8] = *b"\x94TLOG\r\n\x1a";
/// What a seal's payload takes.
const SEAL_BYTES: usize = 68;

/// Where the second file of a log begins, in an input that has two.
pub(crate) fn second(bytes: &[u8]) -> usize {
    let found = bytes.windows(LOG_MAGIC.len()).skip(1).position(|window| window == LOG_MAGIC);
    found.map_or(bytes.len(), |at| at + 1)
}

/// Makes two files of a log agree, and the seal at the end of the first one, if there is a frame for it.
pub(crate) fn chain(bytes: &mut [u8]) {
    let end = second(bytes);
    let (first, second) = bytes.split_at_mut(end);
    let log_id: Vec<u8> = first.get(16..32).unwrap_or_default().to_vec();
    put(second, 16, &log_id);
    let first_seq = u64_at(second, 32).unwrap_or(0);
    for (file, seq) in [(&mut *first, 0), (&mut *second, first_seq)] {
        header(file);
        if let Some(crc) = u32_at(file, LOG_HEADER_BYTES - 4) {
            seal(file, LOG_HEADER_BYTES, seq, crc);
        }
    }
    let last = frames(first, LOG_HEADER_BYTES).pop();
    let Some(place) = last.filter(|last| last.len() == SEAL_BYTES && first[last.start - 17] == 2) else { return };
    let at = place.start - FRAME_HEADER_BYTES;
    let records = u64_at(first, at + 8).unwrap_or(0);
    let parts = frames(second, LOG_HEADER_BYTES);
    let kind = |part: &Range<usize>| second[part.start - 17];
    let base = parts.iter().take_while(|part| kind(part) == 3).last();
    let seq_behind =
        |part: &Range<usize>| u64_at(second, part.start - 16).unwrap_or(0).wrapping_add(u64::from(kind(part) == 1));
    let tip = parts.iter().rev().find(|part| seq_behind(part) == records).or(parts.last());
    let start = |part: Option<&Range<usize>>| part.map_or(0, |part| part.start - FRAME_HEADER_BYTES);
    let end = |part: Option<&Range<usize>>| part.map_or(LOG_HEADER_BYTES, |part| part.end);
    let crc = |part: Option<&Range<usize>>| u32_at(second, part.map_or(LOG_HEADER_BYTES - 4, |_| start(part)));
    let mut payload = log_id;
    for field in [at as u64, 1, end(base) as u64, end(tip) as u64, start(tip) as u64] {
        payload.extend_from_slice(&field.to_le_bytes());
    }
    for field in [u32_at(second, LOG_HEADER_BYTES - 4), crc(base), crc(tip)] {
        payload.extend_from_slice(&field.unwrap_or(0).to_le_bytes());
    }
    put(first, place.start, &payload);
    if let Some(crc) = u32_at(first, LOG_HEADER_BYTES - 4) {
        seal(first, LOG_HEADER_BYTES, 0, crc);
    }
}
