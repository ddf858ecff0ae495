//! Seals: the last frame of a segment, which says in which file the log goes on, and where in it.
//!
//! Pure functions on bytes; `docs/format.md`, section "Segments", owns the layout and the protocol.

use crate::Field;
use crate::frame::{FRAME_HEADER_BYTES, Link, u32_at, u64_at};

const LOG_ID: usize = 0;
const AT: usize = LOG_ID + 16;
const NUMBER: usize = AT + 8;
const BASE: usize = NUMBER + 8;
const TIP: usize = BASE + 8;
const LAST: usize = TIP + 8;
const HEADER_CRC: usize = LAST + 8;
const BASE_CRC: usize = HEADER_CRC + 4;
const TIP_CRC: usize = BASE_CRC + 4;
/// The length of a seal's payload.
pub const SEAL_BYTES: usize = TIP_CRC + 4;
/// The length of the frame that carries it.
pub const SEAL_FRAME_BYTES: usize = FRAME_HEADER_BYTES + SEAL_BYTES;

const _: () = assert!(SEAL_BYTES == 68);

/// The layout of a seal, for the table in `docs/format.md`.
pub const SEAL_FIELDS: [Field; 9] = [
    Field::new(LOG_ID, AT, "log id", "that of the file's header"),
    Field::new(AT, NUMBER, "at", "where in this file the seal's frame begins"),
    Field::new(NUMBER, BASE, "number", "the successor's number"),
    Field::new(BASE, TIP, "base", "where in the successor the frames behind its snapshot begin"),
    Field::new(TIP, LAST, "tip", "where in the successor the frame behind the last copied record begins"),
    Field::new(LAST, HEADER_CRC, "last", "where in the successor the last frame before `tip` begins"),
    Field::new(HEADER_CRC, BASE_CRC, "header crc", "`crc` of the successor's header"),
    Field::new(BASE_CRC, TIP_CRC, "base crc", "`crc` of the last frame before `base`"),
    Field::new(TIP_CRC, SEAL_BYTES, "tip crc", "`crc` of the frame at `last`"),
];

/// Where a log goes on behind the end of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seal {
    /// The log's id.
    pub log_id: [u8; 16],
    /// Where in the sealed file the seal's frame begins.
    pub at: u64,
    /// The successor's number.
    pub number: u64,
    /// Where in the successor the frames behind its snapshot begin.
    pub base: u64,
    /// Where in the successor the frame behind the last copied record begins.
    pub tip: u64,
    /// Where in the successor the last frame before `tip` begins.
    pub last: u64,
    /// The checksum of the successor's header.
    pub header_crc: u32,
    /// The checksum of the last frame before `base`.
    pub base_crc: u32,
    /// The checksum of the frame at `last`.
    pub tip_crc: u32,
}

impl Seal {
    /// The payload's bytes.
    #[must_use]
    pub fn encode(&self) -> [u8; SEAL_BYTES] {
        let mut bytes = [0; SEAL_BYTES];
        let mut put = |at: usize, field: &[u8]| bytes[at..at + field.len()].copy_from_slice(field);
        put(LOG_ID, &self.log_id);
        put(AT, &self.at.to_le_bytes());
        put(NUMBER, &self.number.to_le_bytes());
        put(BASE, &self.base.to_le_bytes());
        put(TIP, &self.tip.to_le_bytes());
        put(LAST, &self.last.to_le_bytes());
        put(HEADER_CRC, &self.header_crc.to_le_bytes());
        put(BASE_CRC, &self.base_crc.to_le_bytes());
        put(TIP_CRC, &self.tip_crc.to_le_bytes());
        bytes
    }

    /// The seal in a payload, if it has the length of one and its offsets are in order.
    #[must_use]
    pub fn decode(payload: &[u8]) -> Option<Seal> {
        let bytes: &[u8; SEAL_BYTES] = payload.try_into().ok()?;
        let seal = Seal {
            log_id: *bytes.first_chunk()?,
            at: u64_at(bytes, AT),
            number: u64_at(bytes, NUMBER),
            base: u64_at(bytes, BASE),
            tip: u64_at(bytes, TIP),
            last: u64_at(bytes, LAST),
            header_crc: u32_at(bytes, HEADER_CRC),
            base_crc: u32_at(bytes, BASE_CRC),
            tip_crc: u32_at(bytes, TIP_CRC),
        };
        (seal.base <= seal.tip && seal.last < seal.tip).then_some(seal)
    }

    /// What the record at `tip` must continue, if `seq` records lie before the seal.
    #[must_use]
    pub fn tip_link(&self, seq: u64) -> Link {
        Link { seq, crc: self.tip_crc }
    }
}
