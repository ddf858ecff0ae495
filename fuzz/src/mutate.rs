//! Mutations that know where the parts of a format lie and mend its checksums, since chance never finds one. Inputs
//! stay real files: what the fuzzer leaves behind can be opened by any other tool.

use std::ops::Range;

use crate::frame::LINK_BYTES;
use crate::mend;

/// libFuzzer's own mutation: of so many bytes of the buffer, to no more than so many; returns how many they are then.
pub type Mutate = fn(&mut [u8], usize, usize) -> usize;

/// A format made of parts, each with a header before it.
pub struct Format {
    part_header_bytes: usize,
    /// Where the payloads of the parts are.
    parts: fn(&[u8]) -> Vec<Range<usize>>,
    /// Sets the length of the part whose payload begins there.
    set_length: fn(&mut [u8], usize, usize),
    /// Makes the checksums right.
    mend: fn(&mut [u8]),
}

impl Format {
    /// A link and then frames.
    pub const FRAMES: Format = Format {
        part_header_bytes: mend::FRAME_HEADER_BYTES,
        parts: |bytes| mend::frames(bytes, LINK_BYTES),
        set_length: mend::set_frame_length,
        mend: |bytes| {
            if let (Some(seq), Some(crc)) = (mend::u64_at(bytes, 0), mend::u32_at(bytes, 8)) {
                mend::seal(bytes, LINK_BYTES, seq, crc);
            }
        },
    };

    /// A log's header, which is one part and has no length.
    pub const HEADER: Format =
        Format { part_header_bytes: 0, parts: |_| Vec::new(), set_length: |_, _, _| (), mend: mend::header };

    /// A snapshot.
    pub const SNAPSHOT: Format = Format {
        part_header_bytes: mend::SECTION_HEADER_BYTES,
        parts: |bytes| mend::sections(bytes, 0),
        set_length: mend::set_section_length,
        mend: |bytes| mend::snapshot(bytes, 0),
    };

    /// A log, perhaps with the file beside it.
    pub const LOG: Format = Format {
        part_header_bytes: mend::FRAME_HEADER_BYTES,
        parts: |bytes| mend::frames(&bytes[..mend::beside(bytes)], mend::LOG_HEADER_BYTES),
        set_length: mend::set_frame_length,
        mend: mend::log,
    };

    /// A log of two files, one behind the other.
    pub const CHAIN: Format = Format {
        part_header_bytes: mend::FRAME_HEADER_BYTES,
        parts: |bytes| {
            let end = mend::second(bytes);
            let mut parts = mend::frames(&bytes[..end], mend::LOG_HEADER_BYTES);
            parts.extend(mend::frames(bytes, end + mend::LOG_HEADER_BYTES));
            parts
        },
        set_length: mend::set_frame_length,
        mend: mend::chain,
    };

    /// Mutates the first `len` bytes of `bytes` to no more than `max`, and returns how many they are then.
    pub fn mutate(&self, bytes: &mut [u8], len: usize, max: usize, seed: u32, mutate: Mutate) -> usize {
        let (way, dice) = (seed % 8, (seed / 8) as usize);
        if way == 0 {
            return mutate(bytes, len, max);
        }
        let parts = (self.parts)(&bytes[..len]);
        if way == 1 || parts.is_empty() {
            let len = mutate(bytes, len, max);
            (self.mend)(&mut bytes[..len]);
            return len;
        }
        let part = parts[dice % parts.len()].clone();
        let whole = part.start - self.part_header_bytes..part.end;
        let mut after = bytes[..len].to_vec();
        match way {
            2 => drop(after.splice(whole, [])),
            3 => {
                let copy = bytes[whole].to_vec();
                let place = parts[dice / parts.len() % parts.len()].end;
                after.splice(place..place, copy);
            }
            _ => {
                let mut payload = bytes[part.clone()].to_vec();
                let payload_max = max - (len - payload.len());
                payload.resize(payload_max, 0);
                let len = mutate_in(&mut payload, part.len(), payload_max, mutate);
                payload.truncate(len);
                (self.set_length)(&mut after, part.start, payload.len());
                after.splice(part, payload);
            }
        }
        after.truncate(max);
        (self.mend)(&mut after);
        bytes[..after.len()].copy_from_slice(&after);
        after.len()
    }
}

/// Mutates where there is room to, since libFuzzer wants some.
fn mutate_in(buffer: &mut [u8], len: usize, max: usize, mutate: Mutate) -> usize {
    if max == 0 { 0 } else { mutate(buffer, len, max) }
}
