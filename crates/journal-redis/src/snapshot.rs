//! Snapshots on the server: pieces in a hash of their own, which the log names once it is whole. Until then the hash has
//! a time to live, so that a writer that dies leaves nothing behind.

use crate::RedisJournal;
use crate::entry::{Tip, bytes_of, text_of};
use crate::known::Stored;
use redis::Value;
use std::io;
use trialog_journal::{Error, SnapshotSource};

const PIECE_BYTES: usize = 1 << 20;
/// How many pieces are read in one round trip.
const PIECES_AT_ONCE: u64 = 8;
/// How long an unfinished snapshot, and the right to write one, last without news of their writer.
const UNFINISHED_SECONDS: u32 = 600;

/// What a snapshot is stored as.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Role {
    Snapshot,
    /// The base, with the records before it given up.
    Base,
    /// The base, with all records kept.
    Kept,
}

impl Role {
    fn name(self) -> &'static str {
        match self {
            Role::Snapshot => "snapshot",
            Role::Base => "base",
            Role::Kept => "kept",
        }
    }
}

impl RedisJournal {
    /// Stores a snapshot of the records up to `at`. False if somebody else is at it, or there is one as new.
    pub(crate) fn store(&self, at: &Tip, source: &mut SnapshotSource<'_>, role: Role) -> Result<bool, Error> {
        let name = crate::random_hex(&self.location, 8)?;
        let lock = self.keys.snapshot_lock();
        let mut claim = redis::cmd("SET");
        claim.arg(&lock).arg(&name).arg("NX").arg("EX").arg(UNFINISHED_SECONDS);
        // A claim that was made and whose reply was lost is refused the second time, and is our own all the same.
        let held = self.query("lock", &claim)? == Value::Okay
            || bytes_of(self.query("lock", redis::cmd("GET").arg(&lock))?) == Some(name.clone().into_bytes());
        if !held {
            return Ok(false);
        }
        let stored = self.write_pieces(&name, source).and_then(|written| self.keep(at, &name, written, role));
        if !matches!(stored, Ok(true)) {
            let _ = self.query("clear", redis::cmd("UNLINK").arg(self.keys.snapshot(&name)));
        }
        let _ = self.query("unlock", redis::cmd("DEL").arg(&lock));
        stored
    }

    fn write_pieces(&self, name: &str, source: &mut SnapshotSource<'_>) -> Result<(u64, u32), Error> {
        let key = self.keys.snapshot(name);
        let mut out = Pieces { journal: self, key: &key, index: 0, buffer: Vec::new(), error: None };
        let mut crc = crc32fast::Hasher::new();
        let mut bytes = 0;
        let result = source(&mut |piece| {
            crc.update(piece);
            bytes += piece.len() as u64;
            out.write(piece)
        });
        let result = result.and_then(|()| out.flush());
        match (result, out.error) {
            (_, Some(error)) => Err(error),
            (Err(source), None) => {
                Err(Error::Io { location: self.location.clone(), action: "write a snapshot of", source })
            }
            (Ok(()), None) => Ok((bytes, crc.finalize())),
        }
    }

    /// Has the log name what was stored, if it still holds what that was taken of.
    fn keep(&self, at: &Tip, name: &str, (bytes, crc): (u64, u32), role: Role) -> Result<bool, Error> {
        let key = self.keys.snapshot(name);
        let keys = [self.keys.tip.as_str(), &self.keys.log, &self.keys.writers, &key];
        let reply = self.eval("keep a snapshot of", &self.scripts.keep, &keys, at, |call| {
            call.arg(name).arg(bytes).arg(crc).arg(role.name());
        })?;
        let mut reply = reply.into_iter();
        match reply.next().and_then(text_of).as_deref() {
            Some("ok") => {}
            // The reply was lost when it was kept: then it is there.
            Some("newer") => return Ok(self.stored()?.iter().flatten().any(|stored| stored.name == name)),
            _ => return Ok(false),
        }
        if let Some(Value::Array(unused)) = reply.next() {
            for name in unused.into_iter().filter_map(text_of) {
                self.query("clear", redis::cmd("UNLINK").arg(self.keys.snapshot(&name)))?;
            }
        }
        Ok(true)
    }

    /// The snapshot and the base that the log names.
    pub(crate) fn stored(&self) -> Result<[Option<Stored>; 2], Error> {
        let reply = self.query("look at", redis::cmd("HMGET").arg(&self.keys.tip).arg("snapshot").arg("base"))?;
        let Value::Array(fields) = reply else { return Ok([None, None]) };
        let mut stored = fields.into_iter().map(|field| text_of(field).as_deref().and_then(Stored::parse));
        Ok([stored.next().flatten(), stored.next().flatten()])
    }

    /// The bytes of a stored snapshot; `None` if it is gone or not whole.
    pub(crate) fn load(&self, stored: &Stored) -> Result<Option<Vec<u8>>, Error> {
        let key = self.keys.snapshot(&stored.name);
        let mut bytes = Vec::new();
        let mut index = 0_u64;
        while (bytes.len() as u64) < stored.bytes {
            let left = (stored.bytes - bytes.len() as u64).div_ceil(PIECE_BYTES as u64).min(PIECES_AT_ONCE);
            let mut get = redis::cmd("HMGET");
            get.arg(&key);
            (index..index + left).for_each(|index| {
                get.arg(index);
            });
            let Value::Array(pieces) = self.query("read a snapshot of", &get)? else { return Ok(None) };
            index += left;
            let before = bytes.len();
            pieces.into_iter().filter_map(bytes_of).for_each(|piece| bytes.extend(piece));
            if bytes.len() == before {
                return Ok(None);
            }
        }
        let whole = bytes.len() as u64 == stored.bytes && crc32fast::hash(&bytes) == stored.crc;
        Ok(whole.then_some(bytes))
    }
}

/// Gathers what comes into pieces of one size.
struct Pieces<'a> {
    journal: &'a RedisJournal,
    key: &'a str,
    index: u64,
    buffer: Vec<u8>,
    error: Option<Error>,
}

impl Pieces<'_> {
    fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(PIECE_BYTES - self.buffer.len()));
            self.buffer.extend_from_slice(now);
            bytes = later;
            if self.buffer.len() == PIECE_BYTES {
                self.flush()?;
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() && self.index > 0 {
            return Ok(());
        }
        // By its number, so that a piece that is sent twice is there once.
        let mut put = redis::cmd("HSET");
        put.arg(self.key).arg(self.index).arg(&self.buffer);
        let mut live = redis::cmd("EXPIRE");
        live.arg(self.key).arg(UNFINISHED_SECONDS);
        let done = self.journal.query("write a snapshot of", &put);
        let done = done.and_then(|_| self.journal.query("write a snapshot of", &live));
        self.index += 1;
        self.buffer.clear();
        done.map(drop).map_err(|error| {
            let told = io::Error::other(error.to_string());
            self.error = Some(error);
            told
        })
    }
}
