//! Entries of the stream that a log is on Redis, and the chain that they form. `docs/format.md`, section "Redis", owns
//! the layout.
//!
//! An entry is a batch of records that were appended at once. Its id says how many bytes and records the log has after
//! it, and its chain value covers everything before: two logs that differ anywhere differ in every value from there on.

use redis::Value;
use sha1_smol::Sha1;
use trialog_journal::group::{count_records, split_record};

/// Hexadecimal digits of a chain value.
const CHAIN_DIGITS: usize = 16;

/// A position in the log, and what tells the log up to there from all others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tip {
    pub(crate) seq: u64,
    /// Bytes of all batches so far.
    pub(crate) bytes: u64,
    pub(crate) chain: String,
}

impl Tip {
    /// Where a log begins.
    pub(crate) fn start(log_id: &str) -> Tip {
        Tip { seq: 0, bytes: 0, chain: digest(&[log_id.as_bytes()]) }
    }

    /// The position after a batch of `count` records.
    pub(crate) fn after(&self, batch: &[u8], count: u64) -> Tip {
        let (bytes, seq) = (self.bytes + batch.len() as u64, self.seq + count);
        let crc = format!("{:08x}", crc32fast::hash(batch));
        let chain = digest(&[self.chain.as_bytes(), format!("{bytes}-{seq}").as_bytes(), crc.as_bytes()]);
        Tip { seq, bytes, chain }
    }

    pub(crate) fn id(&self) -> String {
        format!("{}-{}", self.bytes, self.seq)
    }
}

fn digest(parts: &[&[u8]]) -> String {
    let mut sha = Sha1::new();
    parts.iter().for_each(|part| sha.update(part));
    let mut text = sha.digest().to_string();
    text.truncate(CHAIN_DIGITS);
    text
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
    chain: Vec<u8>,
    batch: Vec<u8>,
}

impl Entry {
    /// From what `XRANGE` gives for one.
    pub(crate) fn from_value(value: Value) -> Option<Entry> {
        let Value::Array(parts) = value else { return None };
        let [id, Value::Array(fields)] = <[Value; 2]>::try_from(parts).ok()? else { return None };
        let id = String::from_utf8(bytes_of(id)?).ok()?;
        let (bytes, seq) = id.split_once('-')?;
        let [_, chain, _, batch] = <[Value; 4]>::try_from(fields).ok()?;
        Some(Entry {
            bytes: bytes.parse().ok()?,
            seq: seq.parse().ok()?,
            chain: bytes_of(chain)?,
            batch: bytes_of(batch)?,
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
        if tip.chain.as_bytes() != self.chain {
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
