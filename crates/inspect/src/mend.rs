//! Restoring a frame of which nearly all is known. The place in the chain gives seq, predecessor, kind and length;
//! the checksum, which the next frame repeats, proves the rest, and finds a single flipped bit.

use trialog_journal::frame::{self, Check, Claim, FRAME_HEADER_BYTES, KIND_RECORD, KIND_SNAPSHOT, Link};

/// CRC-32 of zip, reflected: what one step of eight zero bits does to a difference.
const POLYNOMIAL: u32 = 0xedb8_8320;

/// Longer frames are not searched for a flipped bit: where much of a frame is damaged, the chance that some flip
/// fits the checksum by accident grows with its length. It is one in 130,000 at this one.
const SEARCHED_BYTES_MAX: usize = 4 << 10;

/// Whether a frame's checksum can itself be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Checksum {
    /// The frame after it repeats it.
    Certain,
    /// It stands in the damaged bytes alone.
    Doubtful,
}

/// The record whose damaged frame is `bytes`, if it is whole but for its header or for one bit. It continues `link`
/// and its checksum is `crc`.
pub(crate) fn mend(bytes: Vec<u8>, link: Link, crc: u32, checksum: Checksum) -> Option<Vec<u8>> {
    mend_kind(bytes, KIND_RECORD, link, crc, checksum)
}

/// As [`mend`], for a part of a snapshot at the beginning of `bytes`: its length too may be what is damaged. Such frames
/// are long, and are searched all the same: a snapshot has checksums of its own, so that no accident is believed.
pub(crate) fn mend_part(bytes: &[u8], link: Link) -> Option<Vec<u8>> {
    let claim = frame::claim(bytes)?;
    let as_long = |len: usize| bytes.get(..len).filter(|_| len >= FRAME_HEADER_BYTES).map(<[u8]>::to_vec);
    let mended =
        as_long(claim.len).and_then(|part| mend_kind(part, KIND_SNAPSHOT, link, claim.crc, Checksum::Doubtful));
    mended.or_else(|| {
        (0..24).find_map(|bit| {
            let mut part = as_long(((claim.len - FRAME_HEADER_BYTES) ^ 1 << bit) + FRAME_HEADER_BYTES)?;
            set_known(&mut part, KIND_SNAPSHOT, link, claim.crc);
            is_whole(&part, link).then_some(part)
        })
    })
}

/// Puts in what the place in the chain says of a frame.
fn set_known(bytes: &mut [u8], kind: u8, link: Link, crc: u32) {
    if let Some(Claim { unsynced, .. }) = frame::claim(bytes) {
        let known = Claim { len: bytes.len(), kind, seq: link.seq, crc, prev: link.crc, unsynced };
        bytes[..FRAME_HEADER_BYTES].copy_from_slice(&known.encode());
    }
}

fn mend_kind(mut bytes: Vec<u8>, kind: u8, link: Link, crc: u32, checksum: Checksum) -> Option<Vec<u8>> {
    if bytes.len() < FRAME_HEADER_BYTES {
        return None;
    }
    set_known(&mut bytes, kind, link, crc);
    if is_whole(&bytes, link) {
        return Some(bytes);
    }
    if kind == KIND_RECORD && bytes.len() > SEARCHED_BYTES_MAX {
        return None;
    }
    // The checksum itself may be what was hit: then it differs from the right one by one bit.
    let right = crc32fast::hash(&bytes[4..]);
    if checksum == Checksum::Doubtful && (right ^ crc).is_power_of_two() {
        bytes[..4].copy_from_slice(&right.to_le_bytes());
        return is_whole(&bytes, link).then_some(bytes);
    }
    let (byte, bit) = flipped_bit(right ^ crc, bytes.len() - 4)?;
    // Only what the chain does not know can still be wrong.
    if 4 + byte < FRAME_HEADER_BYTES - 4 {
        return None;
    }
    bytes[4 + byte] ^= 1 << bit;
    is_whole(&bytes, link).then_some(bytes)
}

fn is_whole(bytes: &[u8], link: Link) -> bool {
    matches!(frame::check(bytes, link), Check::Valid(frame) if frame.len() == bytes.len())
}

/// Which bit of a message of `len` bytes changes its checksum by `difference`, if one bit does.
fn flipped_bit(difference: u32, len: usize) -> Option<(usize, u32)> {
    // A bit in the last byte first; each byte before it goes through eight more steps.
    let mut effects: [u32; 8] = std::array::from_fn(|bit| steps(1 << bit));
    for byte in (0..len).rev() {
        if let Some(bit) = effects.iter().position(|&effect| effect == difference) {
            return Some((byte, bit as u32));
        }
        for effect in &mut effects {
            *effect = steps(*effect);
        }
    }
    None
}

fn steps(register: u32) -> u32 {
    (0..8).fold(register, |r, _| if r & 1 == 1 { (r >> 1) ^ POLYNOMIAL } else { r >> 1 })
}
