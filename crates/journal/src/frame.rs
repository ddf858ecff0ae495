//! Frames: how records lie in a file or an object, and how one tells a whole one from a torn or a foreign one.
//!
//! Pure functions on bytes; `docs/format.md`, section "Frames", owns the layout. What a damaged stretch means
//! for the caller (wait, cut, refuse) is decided by the medium, not here.

use crate::Field;
use std::io;

/// Where the checksum stands: CRC-32 (IEEE) over everything in the frame after it.
const CRC: usize = 0;
/// The payload's length, 24 bits.
const LENGTH: usize = CRC + 4;
const KIND: usize = LENGTH + 3;
const SEQ: usize = KIND + 1;
const PREV: usize = SEQ + 8;
const UNSYNCED: usize = PREV + 4;
/// The length of what precedes a payload.
pub const FRAME_HEADER_BYTES: usize = UNSYNCED + 4;

const _: () = assert!(FRAME_HEADER_BYTES == 24);
const _: () = assert!(crate::RECORD_BYTES_MAX == (1 << (8 * (KIND - LENGTH))) - 1);

/// A frame that carries one record.
pub const KIND_RECORD: u8 = 1;
/// The last frame of a segment, which names its successor.
pub const KIND_SEAL: u8 = 2;
/// A part of the snapshot that a later segment begins with.
pub const KIND_SNAPSHOT: u8 = 3;
/// From here on a reader skips the kinds that it does not know; below, it must stop.
pub const KIND_SKIPPABLE_MIN: u8 = 0x80;

/// The layout of a frame's header, for the table in `docs/format.md`.
pub const FRAME_FIELDS: [Field; 6] = [
    Field::new(CRC, LENGTH, "crc", "CRC-32 of the bytes from 4 to the end of the payload"),
    Field::new(LENGTH, KIND, "length", "bytes of payload"),
    Field::new(KIND, SEQ, "kind", "what the payload is; never 0"),
    Field::new(SEQ, PREV, "seq", "how many records of the log lie before this frame"),
    Field::new(PREV, UNSYNCED, "prev", "`crc` of the frame before; for the first frame, `crc` of the file header"),
    Field::new(
        UNSYNCED,
        FRAME_HEADER_BYTES,
        "unsynced",
        "how many records directly before this one the writer did not know to be on stable storage",
    ),
];

/// What the next frame must continue: the records before it, and the checksum of the frame before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// The number of records so far.
    pub seq: u64,
    /// The checksum of the last frame, or of the file header if there is none yet.
    pub crc: u32,
}

/// A frame whose checksum is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// What the payload is: [`KIND_RECORD`] or another kind.
    pub kind: u8,
    /// How many records lie before it.
    pub seq: u64,
    /// Its checksum, which the next frame repeats.
    pub crc: u32,
    /// The checksum of the frame before it, or of the file header.
    pub prev: u32,
    /// How many records directly before it its writer did not know to be on stable storage; saturates.
    pub unsynced: u32,
    /// The record, or whatever the kind says.
    pub payload: &'a [u8],
}

impl<'a> Frame<'a> {
    /// The frame at the beginning of bytes that this process itself has sealed, without checking it again.
    #[must_use]
    pub fn trusted(bytes: &'a [u8]) -> Option<Frame<'a>> {
        let need = FRAME_HEADER_BYTES + payload_len(bytes.get(..FRAME_HEADER_BYTES)?);
        let payload = bytes.get(FRAME_HEADER_BYTES..need)?;
        Some(frame_of(bytes, payload))
    }

    /// The length of the whole frame.
    #[must_use]
    pub fn len(&self) -> usize {
        FRAME_HEADER_BYTES + self.payload.len()
    }

    /// Never: a frame has at least a header.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        false
    }

    /// What the frame after this one must continue. Only records count.
    #[must_use]
    pub fn next(&self) -> Link {
        Link { seq: self.seq + u64::from(self.kind == KIND_RECORD), crc: self.crc }
    }

    /// The number of records that its writer knew to be on stable storage.
    #[must_use]
    pub fn stable(&self) -> u64 {
        self.seq.saturating_sub(u64::from(self.unsynced))
    }
}

/// What stands at a place where a frame is expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check<'a> {
    /// The frame that belongs here.
    Valid(Frame<'a>),
    /// The bytes end before the frame does.
    Short {
        /// How many bytes it would take to say more.
        need: usize,
    },
    /// The bytes are no frame.
    Broken,
    /// A frame in itself, but not the one that belongs here.
    Misfit(Frame<'a>),
}

/// Looks at the frame at the beginning of `bytes`, which should continue `link`.
#[must_use]
pub fn check(bytes: &[u8], link: Link) -> Check<'_> {
    if bytes.len() < FRAME_HEADER_BYTES {
        return Check::Short { need: FRAME_HEADER_BYTES };
    }
    let kind = bytes[KIND];
    if kind == 0 {
        return Check::Broken;
    }
    let need = FRAME_HEADER_BYTES + payload_len(bytes);
    if bytes.len() < need {
        return Check::Short { need };
    }
    let crc = u32_at(bytes, CRC);
    if crc32fast::hash(&bytes[LENGTH..need]) != crc {
        return Check::Broken;
    }
    let frame = frame_of(bytes, &bytes[FRAME_HEADER_BYTES..need]);
    // The largest number has no successor, and no honest log comes near it.
    if frame.seq == link.seq && frame.prev == link.crc && frame.seq != u64::MAX {
        Check::Valid(frame)
    } else {
        Check::Misfit(frame)
    }
}

fn frame_of<'a>(header: &[u8], payload: &'a [u8]) -> Frame<'a> {
    let Claim { kind, seq, crc, prev, unsynced, .. } = claim_of(header);
    Frame { kind, seq, crc, prev, unsynced, payload }
}

/// What the header of a frame says, true or not: for tools that look into damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The length of the whole frame.
    pub len: usize,
    /// What the payload is.
    pub kind: u8,
    /// How many records lie before it.
    pub seq: u64,
    /// Its checksum.
    pub crc: u32,
    /// The checksum of the frame before it.
    pub prev: u32,
    /// How many records directly before it were not known to be on stable storage.
    pub unsynced: u32,
}

/// What the frame header at the beginning of `bytes` says, if there are enough of them for one. Nothing is verified.
#[must_use]
pub fn claim(bytes: &[u8]) -> Option<Claim> {
    bytes.get(..FRAME_HEADER_BYTES).map(claim_of)
}

fn claim_of(header: &[u8]) -> Claim {
    Claim {
        len: FRAME_HEADER_BYTES + payload_len(header),
        kind: header[KIND],
        seq: u64_at(header, SEQ),
        crc: u32_at(header, CRC),
        prev: u32_at(header, PREV),
        unsynced: u32_at(header, UNSYNCED),
    }
}

impl Claim {
    /// The bytes of such a header.
    #[must_use]
    pub fn encode(&self) -> [u8; FRAME_HEADER_BYTES] {
        let mut header = [0; FRAME_HEADER_BYTES];
        let payload = self.len.saturating_sub(FRAME_HEADER_BYTES) as u32;
        header[CRC..LENGTH].copy_from_slice(&self.crc.to_le_bytes());
        header[LENGTH..KIND].copy_from_slice(&payload.to_le_bytes()[..KIND - LENGTH]);
        header[KIND] = self.kind;
        header[SEQ..PREV].copy_from_slice(&self.seq.to_le_bytes());
        header[PREV..UNSYNCED].copy_from_slice(&self.prev.to_le_bytes());
        header[UNSYNCED..].copy_from_slice(&self.unsynced.to_le_bytes());
        header
    }
}

/// Adds a frame whose place in the log is not known yet to `frames`; [`seal`] completes it.
///
/// # Panics
/// If the payload exceeds [`RECORD_BYTES_MAX`](crate::RECORD_BYTES_MAX), which journals refuse beforehand.
pub fn push_unsealed(frames: &mut Vec<u8>, kind: u8, payload: &[u8]) {
    assert!(payload.len() <= crate::RECORD_BYTES_MAX, "journals refuse longer records at the door");
    let mut header = [0; FRAME_HEADER_BYTES];
    header[LENGTH..KIND].copy_from_slice(&(payload.len() as u32).to_le_bytes()[..KIND - LENGTH]);
    header[KIND] = kind;
    frames.reserve(FRAME_HEADER_BYTES + payload.len());
    frames.extend_from_slice(&header);
    frames.extend_from_slice(payload);
}

/// Gives all frames pushed into `frames` their place after `link` and their checksums, and returns what the
/// next one must continue. `stable` is the number of records known to be on stable storage.
pub fn seal(frames: &mut [u8], link: Link, stable: u64) -> Link {
    let mut link = link;
    let mut rest = frames;
    while rest.len() >= FRAME_HEADER_BYTES {
        let (frame, after) = rest.split_at_mut((FRAME_HEADER_BYTES + payload_len(rest)).min(rest.len()));
        let unsynced = u32::try_from(link.seq.saturating_sub(stable)).unwrap_or(u32::MAX);
        frame[SEQ..PREV].copy_from_slice(&link.seq.to_le_bytes());
        frame[PREV..UNSYNCED].copy_from_slice(&link.crc.to_le_bytes());
        frame[UNSYNCED..FRAME_HEADER_BYTES].copy_from_slice(&unsynced.to_le_bytes());
        let crc = crc32fast::hash(&frame[LENGTH..]);
        frame[CRC..LENGTH].copy_from_slice(&crc.to_le_bytes());
        link = Link { seq: link.seq + u64::from(frame[KIND] == KIND_RECORD), crc };
        rest = after;
    }
    link
}

/// Bytes that can be read at any place: a file, or a slice of memory.
pub trait ReadAt {
    /// Reads into `buf` from `offset` on and returns how many bytes that were; 0 at the end.
    ///
    /// # Errors
    /// Whatever the medium says.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize>;
}

impl ReadAt for [u8] {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let rest = usize::try_from(offset).ok().and_then(|offset| self.get(offset..)).unwrap_or_default();
        let n = rest.len().min(buf.len());
        buf[..n].copy_from_slice(&rest[..n]);
        Ok(n)
    }
}

/// Reads until `buf` is full or the bytes end, and returns how many there were.
///
/// # Errors
/// Whatever the medium says.
pub fn read_full(source: &(impl ReadAt + ?Sized), offset: u64, buf: &mut [u8]) -> io::Result<usize> {
    let mut done = 0;
    while done < buf.len() {
        match source.read_at(offset + done as u64, &mut buf[done..]) {
            Ok(0) => break,
            Ok(n) => done += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

/// What lies behind bytes that do not verify.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ahead {
    /// No frame: the bytes are a torn tail.
    Nothing,
    /// A frame of this log, as far as one can tell: the bytes before it are damaged.
    Frame {
        /// Where it begins.
        offset: u64,
        /// Its position in the log.
        seq: u64,
        /// How many records its writer knew to be on stable storage.
        stable: u64,
    },
    /// So many bytes look like frames that the search was given up; somebody made them on purpose.
    GaveUp,
}

const WINDOW_BYTES: usize = 256 << 10;
const BUDGET_FACTOR: u64 = 16;
const BUDGET_BYTES_MIN: u64 = 1 << 20;

/// Searches behind `from`, where bytes do not verify, up to `end` for a frame that verifies in itself and whose
/// seq is not below `link` nor further on than the bytes between have room for.
///
/// The work is bounded: hostile bytes cannot make it hash more than sixteen times what there is.
///
/// # Errors
/// Whatever reading says.
pub fn look_ahead(source: &(impl ReadAt + ?Sized), from: u64, end: u64, link: Link) -> io::Result<Ahead> {
    Search::new(from, end, link).next(source)
}

/// A search as [`look_ahead`] makes it, that can go on behind what it has found.
#[derive(Debug)]
pub struct Search {
    from: u64,
    at: u64,
    end: u64,
    link: Link,
    budget: u64,
    window: Vec<u8>,
}

impl Search {
    /// A search behind `from` up to `end`.
    #[must_use]
    pub fn new(from: u64, end: u64, link: Link) -> Search {
        let tail = end.saturating_sub(from);
        let budget = tail.saturating_mul(BUDGET_FACTOR).saturating_add(BUDGET_BYTES_MIN);
        let window = vec![0; usize::try_from(tail).map_or(WINDOW_BYTES, |tail| tail.min(WINDOW_BYTES))];
        Search { from, at: from + 1, end, link, budget, window }
    }

    /// The next frame.
    ///
    /// # Errors
    /// Whatever reading says.
    pub fn next(&mut self, source: &(impl ReadAt + ?Sized)) -> io::Result<Ahead> {
        let Search { from, end, link, .. } = *self;
        while self.at + FRAME_HEADER_BYTES as u64 <= end {
            let at = self.at;
            let want = usize::try_from(end - at).map_or(self.window.len(), |rest| rest.min(self.window.len()));
            let got = read_full(source, at, &mut self.window[..want])?;
            let bytes = &self.window[..got];
            if got < FRAME_HEADER_BYTES {
                break;
            }
            // Preallocated or lost blocks read as zeros, and there can be gigabytes of them.
            let starts = if bytes.iter().all(|&byte| byte == 0) { 0 } else { got - FRAME_HEADER_BYTES + 1 };
            for i in 0..starts {
                let offset = at + i as u64;
                let Some(len) = plausible(&bytes[i..i + FRAME_HEADER_BYTES], link.seq, offset - from, end - offset)
                else {
                    continue;
                };
                let Some(rest) = self.budget.checked_sub(len as u64) else {
                    return Ok(Ahead::GaveUp);
                };
                self.budget = rest;
                let whole = bytes.get(i..i + len);
                if whole.map_or_else(|| verifies(source, offset, len), |frame| Ok(crc_is_right(frame)))? {
                    let header = &bytes[i..];
                    let seq = u64_at(header, SEQ);
                    let stable = seq.saturating_sub(u64::from(u32_at(header, UNSYNCED)));
                    self.at = offset + len as u64;
                    return Ok(Ahead::Frame { offset, seq, stable });
                }
            }
            self.at += (got - FRAME_HEADER_BYTES + 1) as u64;
        }
        Ok(Ahead::Nothing)
    }
}

/// The length of the frame that may begin here, unless its header already says that it cannot be one.
fn plausible(header: &[u8], seq_min: u64, distance: u64, room: u64) -> Option<usize> {
    let ahead = u64_at(header, SEQ).checked_sub(seq_min)?;
    if ahead > distance / FRAME_HEADER_BYTES as u64 || header[KIND] == 0 {
        return None;
    }
    let len = FRAME_HEADER_BYTES + payload_len(header);
    (len as u64 <= room).then_some(len)
}

fn crc_is_right(frame: &[u8]) -> bool {
    crc32fast::hash(&frame[LENGTH..]) == u32_at(frame, CRC)
}

/// Verifies a frame that does not fit into the window, piece by piece.
fn verifies(source: &(impl ReadAt + ?Sized), offset: u64, len: usize) -> io::Result<bool> {
    let mut hasher = crc32fast::Hasher::new();
    let mut piece = vec![0; len.min(WINDOW_BYTES)];
    let mut crc = 0;
    let mut done = 0;
    while done < len {
        let want = (len - done).min(piece.len());
        if read_full(source, offset + done as u64, &mut piece[..want])? < want {
            return Ok(false);
        }
        let body = if done == 0 { LENGTH } else { 0 };
        if done == 0 {
            crc = u32_at(&piece, CRC);
        }
        hasher.update(&piece[body..want]);
        done += want;
    }
    Ok(hasher.finalize() == crc)
}

fn payload_len(header: &[u8]) -> usize {
    (u32_at(header, LENGTH) & 0x00ff_ffff) as usize
}

pub(crate) fn u32_at(bytes: &[u8], offset: usize) -> u32 {
    u32::from_le_bytes(bytes[offset..offset + 4].try_into().expect("the slice has four bytes"))
}

pub(crate) fn u64_at(bytes: &[u8], offset: usize) -> u64 {
    u64::from_le_bytes(bytes[offset..offset + 8].try_into().expect("the slice has eight bytes"))
}
