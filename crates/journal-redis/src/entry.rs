//! Entries of the stream that a log is on Redis, and the chain that they form. `docs/format.md`, section "Redis", owns
//! the layout.
//!
//! An entry is a batch of records that were appended at once. Its id says how many bytes and records the log has after
//! it, and its chain value covers everything before: two logs that differ anywhere differ in every value from there on.

use redis::Value;
use sha1_smol::Sha1;
use std::io::Write;
use trialog_journal::group::{count_records, split_record};

/// Hexadecimal digits of a chain value.
const CHAIN_DIGITS: usize = 16;
/// What the id of an entry takes at most: two numbers of 64 bits and a dash.
const ID_BYTES_MAX: usize = 20 + 1 + 20;

/// A chain value, in digits as the scripts compute it. In place, since opening a log computes one for every entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Chain([u8; CHAIN_DIGITS]);

impl Chain {
    fn of(parts: &[&[u8]]) -> Chain {
        let mut sha = Sha1::new();
        parts.iter().for_each(|part| sha.update(part));
        let digest = sha.digest().bytes();
        let mut digits = [0; CHAIN_DIGITS];
        write_hex(&digest[..CHAIN_DIGITS / 2], &mut digits);
        Chain(digits)
    }

    /// From what a server says; nothing if it is not as long as one.
    pub(crate) fn parse(digits: &[u8]) -> Option<Chain> {
        digits.try_into().ok().map(Chain)
    }

    pub(crate) fn digits(&self) -> &[u8] {
        &self.0
    }
}

/// Two digits for each byte, as far as there is room.
fn write_hex(bytes: &[u8], digits: &mut [u8]) {
    const DIGITS: [u8; 16] = *b"0123456789abcdef";
    for (byte, pair) in bytes.iter().zip(digits.chunks_exact_mut(2)) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
}

/// A position in the log, and what tells the log up to there from all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tip {
    pub(crate) seq: u64,
    /// Bytes of all batches so far.
    pub(crate) bytes: u64,
    pub(crate) chain: Chain,
}

impl Tip {
    /// Where a log begins.
    pub(crate) fn start(log_id: &str) -> Tip {
        Tip { seq: 0, bytes: 0, chain: Chain::of(&[log_id.as_bytes()]) }
    }

    /// From what a script answers: records, bytes, chain value.
    pub(crate) fn take(parts: &mut impl Iterator<Item = Value>) -> Option<Tip> {
        let (seq, bytes) = (number_of(parts.next()?)?, number_of(parts.next()?)?);
        Some(Tip { seq, bytes, chain: Chain::parse(&bytes_of(parts.next()?)?)? })
    }

    /// The position after a batch of `count` records.
    pub(crate) fn after(&self, batch: &[u8], count: u64) -> Tip {
        let (bytes, seq) = (self.bytes + batch.len() as u64, self.seq + count);
        let mut crc = [0; 8];
        write_hex(&crc32fast::hash(batch).to_be_bytes(), &mut crc);
        let mut id = [0; ID_BYTES_MAX];
        let mut rest = id.as_mut_slice();
        write!(rest, "{bytes}-{seq}").expect("two numbers and a dash fit");
        let unused = rest.len();
        let chain = Chain::of(&[self.chain.digits(), &id[..ID_BYTES_MAX - unused], &crc]);
        Tip { seq, bytes, chain }
    }

    pub(crate) fn id(&self) -> String {
        format!("{}-{}", self.bytes, self.seq)
    }
}

/// A batch that is known to belong where it says.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) first: u64,
    pub(crate) end: u64,
    pub(crate) bytes: Vec<u8>,
}

impl Batch {
    /// The records from `from` on.
    pub(crate) fn records(&self, from: u64) -> impl Iterator<Item = (u64, &[u8])> {
        let mut rest = self.bytes.as_slice();
        let mut seq = self.first;
        let all = std::iter::from_fn(move || {
            let (record, after) = split_record(rest)?;
            rest = after;
            seq += 1;
            Some((seq - 1, record))
        });
        all.skip_while(move |(seq, _)| *seq < from)
    }
}

/// An entry as a server sent it.
#[derive(Debug)]
pub(crate) struct Entry {
    bytes: u64,
    seq: u64,
    chain: Chain,
    batch: Vec<u8>,
}

impl Entry {
    /// From what `XRANGE` gives for one.
    pub(crate) fn from_value(value: Value) -> Option<Entry> {
        let Value::Array(parts) = value else { return None };
        let [id, Value::Array(fields)] = <[Value; 2]>::try_from(parts).ok()? else { return None };
        let id = String::from_utf8(bytes_of(id)?).ok()?;
        let (bytes, seq) = id.split_once('-')?;
        // Entries of format 1 do not say who wrote them.
        if fields.len() != 4 && fields.len() != 6 {
            return None;
        }
        let mut values = fields.into_iter().skip(1).step_by(2);
        Some(Entry {
            bytes: bytes.parse().ok()?,
            seq: seq.parse().ok()?,
            chain: Chain::parse(&bytes_of(values.next()?)?)?,
            batch: bytes_of(values.next()?)?,
        })
    }

    /// The batch, and the position after it, if it is whole and is what follows `before`.
    pub(crate) fn verify(self, before: &Tip) -> Result<(Batch, Tip), Misfit> {
        // First by its id, since computing a digest of what does not follow would say nothing more.
        if before.bytes.checked_add(self.batch.len() as u64) != Some(self.bytes) {
            return Err(Misfit::Place);
        }
        let Some(count) = count_records(&self.batch).filter(|&count| count > 0) else {
            return Err(Misfit::Content("it is no batch of records"));
        };
        let tip = before.after(&self.batch, count);
        if tip.seq != self.seq {
            return Err(Misfit::Content("it holds another number of records than it says"));
        }
        if tip.chain != self.chain {
            return Err(Misfit::Content("its chain value is wrong: it was changed, or follows something else"));
        }
        Ok((Batch { first: before.seq, end: tip.seq, bytes: self.batch }, tip))
    }
}

/// Why an entry does not follow a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Misfit {
    /// It stands elsewhere in the log.
    Place,
    /// It stands there, and is not what it should be.
    Content(&'static str),
}

pub(crate) fn bytes_of(value: Value) -> Option<Vec<u8>> {
    match value {
        Value::BulkString(bytes) => Some(bytes),
        Value::SimpleString(text) => Some(text.into_bytes()),
        Value::Okay => Some(b"OK".to_vec()),
        Value::Int(number) => Some(number.to_string().into_bytes()),
        _ => None,
    }
}

pub(crate) fn text_of(value: Value) -> Option<String> {
    String::from_utf8(bytes_of(value)?).ok()
}

pub(crate) fn number_of(value: Value) -> Option<u64> {
    text_of(value)?.parse().ok()
}
