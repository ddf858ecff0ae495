//! The bytes of one object: a header of fixed length, and a body. `docs/format.md`, section "Folders and buckets", owns the
//! layout; no object is ever trusted before it was checked here.

use trialog_journal::group::{count_records, split_record};

const MAGIC: [u8; 8] = *b"\x94TSLT\r\n\x1a";
pub(crate) const VERSION: u32 = 1;
pub(crate) const HEADER_BYTES: usize = 108;
const CRC_AT: usize = HEADER_BYTES - 4;

/// What an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The object that makes a place a log, and names it.
    Log = 1,
    /// The records of one append, in the next slot.
    Records = 2,
    /// The objects of many slots in one.
    Segment = 3,
    /// What the records up to a position amount to.
    Snapshot = 4,
    /// The same, in the place of these records.
    Base = 5,
}

impl Kind {
    fn of(number: u32) -> Option<Kind> {
        [Kind::Log, Kind::Records, Kind::Segment, Kind::Snapshot, Kind::Base]
            .into_iter()
            .find(|kind| *kind as u32 == number)
    }
}

/// A place between two slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Point {
    /// The slot that follows.
    pub(crate) slot: u64,
    /// The record that follows.
    pub(crate) seq: u64,
    /// How many bytes of bodies precede it.
    pub(crate) bytes: u64,
    /// The checksum of the header before it, which covers all that precedes.
    pub(crate) chain: u32,
}

/// Who wrote an object, and which of its objects this is: what a writer knows its own by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) writer: [u8; 16],
    pub(crate) counter: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) kind: Kind,
    pub(crate) log_id: [u8; 16],
    /// Where it begins; a snapshot: where reading goes on.
    pub(crate) at: Point,
    /// Records of a slot, slots of a segment; a snapshot: how many records behind `at` it covers too.
    pub(crate) count: u64,
    pub(crate) token: Token,
    body_bytes: u64,
    body_crc: u32,
    /// The checksum of all that.
    pub(crate) crc: u32,
}

/// Why bytes are no object.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// The header is not one of ours at all.
    Foreign,
    /// It is, and of a later version.
    Newer(u32),
    /// Its byte at this offset and what follows does not verify.
    Damaged(u64, &'static str),
}

impl Header {
    pub(crate) fn new(kind: Kind, log_id: [u8; 16], at: Point, count: u64, token: Token, body: &[u8]) -> Header {
        let (body_bytes, body_crc) = (body.len() as u64, crc32fast::hash(body));
        let mut header = Header { kind, log_id, at, count, token, body_bytes, body_crc, crc: 0 };
        header.crc = crc32fast::hash(&header.fields());
        header
    }

    /// The object: this header, and the body it was made for.
    pub(crate) fn with(&self, body: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER_BYTES + body.len());
        bytes.extend(self.fields());
        bytes.extend(self.crc.to_le_bytes());
        bytes.extend(body);
        bytes
    }

    /// Where the next slot begins, if this is one.
    pub(crate) fn end(&self) -> Option<Point> {
        Some(Point {
            slot: self.at.slot.checked_add(1)?,
            seq: self.at.seq.checked_add(self.count)?,
            bytes: self.at.bytes.checked_add(self.body_bytes)?,
            chain: self.crc,
        })
    }

    pub(crate) fn body_bytes(&self) -> u64 {
        self.body_bytes
    }

    fn fields(&self) -> [u8; CRC_AT] {
        let mut bytes = [0; CRC_AT];
        let mut rest = bytes.as_mut_slice();
        let mut put = |field: &[u8]| {
            let (now, later) = std::mem::take(&mut rest).split_at_mut(field.len());
            now.copy_from_slice(field);
            rest = later;
        };
        put(&MAGIC);
        put(&VERSION.to_le_bytes());
        put(&(self.kind as u32).to_le_bytes());
        put(&self.log_id);
        put(&self.at.slot.to_le_bytes());
        put(&self.at.seq.to_le_bytes());
        put(&self.at.bytes.to_le_bytes());
        put(&self.count.to_le_bytes());
        put(&self.body_bytes.to_le_bytes());
        put(&self.token.writer);
        put(&self.token.counter.to_le_bytes());
        put(&self.at.chain.to_le_bytes());
        put(&self.body_crc.to_le_bytes());
        bytes
    }

    /// The header at the start of an object.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Header, Flaw> {
        if bytes.get(..8) != Some(&MAGIC) {
            return Err(Flaw::Foreign);
        }
        let mut fields = Fields(&bytes[8..]);
        let version = fields.u32().ok_or(Flaw::Damaged(8, "it ends within its header"))?;
        if version > VERSION {
            return Err(Flaw::Newer(version));
        }
        let fixed = bytes.get(..HEADER_BYTES).ok_or(Flaw::Damaged(8, "it ends within its header"))?;
        let header = fields.header().ok_or(Flaw::Damaged(8, "its header says what no header says"))?;
        if crc32fast::hash(&fixed[..CRC_AT]) != header.crc {
            return Err(Flaw::Damaged(0, "the checksum of its header is wrong"));
        }
        Ok(header)
    }

    /// The header and the body of a whole object at the start of `bytes`, and what follows it.
    pub(crate) fn split(bytes: &[u8]) -> Result<(Header, &[u8], &[u8]), Flaw> {
        let header = Header::parse(bytes)?;
        let rest = &bytes[HEADER_BYTES..];
        if header.body_bytes > rest.len() as u64 {
            return Err(Flaw::Damaged(HEADER_BYTES as u64, "it ends within its body"));
        }
        let (body, rest) = rest.split_at(header.body_bytes as usize);
        if crc32fast::hash(body) != header.body_crc {
            return Err(Flaw::Damaged(HEADER_BYTES as u64, "the checksum of its body is wrong"));
        }
        if header.kind == Kind::Records && count_records(body) != Some(header.count) {
            return Err(Flaw::Damaged(HEADER_BYTES as u64, "its body is not the records it should be"));
        }
        Ok((header, body, rest))
    }
}

struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (now, later) = self.0.split_first_chunk::<N>()?;
        self.0 = later;
        Some(*now)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }

    fn header(&mut self) -> Option<Header> {
        let kind = Kind::of(self.u32()?)?;
        let log_id = self.take()?;
        let (slot, seq, bytes, count, body_bytes) =
            (self.u64()?, self.u64()?, self.u64()?, self.u64()?, self.u64()?);
        let token = Token { writer: self.take()?, counter: self.u64()? };
        let (chain, body_crc, crc) = (self.u32()?, self.u32()?, self.u32()?);
        let at = Point { slot, seq, bytes, chain };
        Some(Header { kind, log_id, at, count, token, body_bytes, body_crc, crc })
    }
}

/// The records of a checked body from the record `from` on, with their positions.
pub(crate) fn records(first: u64, mut body: &[u8], from: u64) -> impl Iterator<Item = (u64, &[u8])> {
    let mut seq = first;
    std::iter::from_fn(move || {
        let (record, rest) = split_record(body)?;
        body = rest;
        seq += 1;
        Some((seq - 1, record))
    })
    .filter(move |(seq, _)| *seq >= from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object() -> Vec<u8> {
        let token = Token { writer: [3; 16], counter: 9 };
        let at = Point { slot: 4, seq: 7, bytes: 90, chain: 0xabcd };
        let body = b"\x03one\x00\x05three";
        Header::new(Kind::Records, [1; 16], at, 3, token, body).with(body)
    }

    #[test]
    fn an_object_comes_back() {
        let bytes = object();
        let (header, body, rest) = Header::split(&bytes).unwrap();
        assert!(rest.is_empty());
        assert_eq!(header.with(body), bytes);
        let found: Vec<_> = records(header.at.seq, body, 8).collect();
        assert_eq!(found, [(8, &b""[..]), (9, b"three")]);
        assert_eq!(header.end().map(|end| (end.slot, end.seq, end.bytes)), Some((5, 10, 101)));
    }

    /// Every cut and every flipped bit is noticed.
    #[test]
    fn damage_is_noticed() {
        let bytes = object();
        for cut in 0..bytes.len() {
            assert!(Header::split(&bytes[..cut]).is_err(), "cut at {cut}");
        }
        for bit in 0..bytes.len() * 8 {
            let mut bytes = bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(Header::split(&bytes).is_err(), "bit {bit}");
        }
    }
}
