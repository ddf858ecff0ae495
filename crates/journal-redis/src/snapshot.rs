//! Snapshots on the server: pieces in a hash of their own, which the log names once it is whole. The log also names the one that is
//! being written, and those that are of no use any more, so that whoever writes the next one can remove what was left by one who died.

use crate::RedisJournal;
use crate::entry::{Tip, bytes_of, text_of};
use crate::known::Stored;
use redis::Value;
use std::io;
use trialog_journal::{Error, SnapshotSource};

const PIECE_BYTES: usize = 1 << 20;
/// How many pieces are read in one round trip.
const PIECES_AT_ONCE: u64 = 8;
/// After how many seconds a snapshot that is still being written is somebody's who has died.
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
        let tip = [self.keys.tip.as_str()];
        let now = self.now()?;
        let (claimed, unused) = self.eval("lock", &self.scripts.claim, &tip, |call| {
            call.arg(&self.log_id).arg(&name).arg(now).arg(UNFINISHED_SECONDS);
        })?;
        if claimed != "ok" {
            return Ok(false);
        }
        // The log forgets these names once this snapshot is kept.
        let written = self.clear(unused).and_then(|()| self.write_pieces(&name, source));
        let kept = match written {
            // Without an answer it may be kept, and then its pieces must stay. If it is not, it is named as unfinished.
            Ok(Some(written)) => Ok(self.keep(at, &name, &written, role)?),
            Ok(None) => Ok(false),
            Err(error) => Err(error),
        };
        if !matches!(kept, Ok(true)) {
            self.give_up(&name);
        }
        kept
    }

    /// Removes the pieces of a snapshot that is not kept, at once if possible.
    fn give_up(&self, name: &str) {
        let released = self.eval("unlock", &self.scripts.release, &[&self.keys.tip], |call| {
            call.arg(name);
        });
        if released.is_ok() {
            let _ = self.clear(vec![Value::BulkString(name.into())]);
        }
    }

    /// Removes the pieces of snapshots by their names, separated by spaces.
    fn clear(&self, names: Vec<Value>) -> Result<(), Error> {
        let names = names.into_iter().next().and_then(text_of).unwrap_or_default();
        let mut unlink = redis::cmd("UNLINK");
        let mut any = false;
        for name in names.split_whitespace() {
            unlink.arg(self.keys.snapshot(name));
            any = true;
        }
        if any { self.query("clear", &unlink).map(drop) } else { Ok(()) }
    }

    /// Writes the pieces. `None` if this took so long that somebody else is at it by now.
    fn write_pieces(&self, name: &str, source: &mut SnapshotSource<'_>) -> Result<Option<Written>, Error> {
        let key = self.keys.snapshot(name);
        let mut out =
            Pieces { journal: self, name, key: &key, index: 0, buffer: Vec::new(), failed: None, is_gone: false };
        let mut crc = crc32fast::Hasher::new();
        let mut bytes = 0;
        let result = source(&mut |piece| {
            crc.update(piece);
            bytes += piece.len() as u64;
            out.write(piece)
        });
        let result = result.and_then(|()| out.flush());
        match (result, out.failed) {
            _ if out.is_gone => Ok(None),
            (_, Some(error)) => Err(error),
            (Err(source), None) => {
                Err(Error::Io { location: self.location.clone(), action: "write a snapshot of", source })
            }
            (Ok(()), None) => Ok(Some(Written { bytes, crc: crc.finalize(), pieces: out.index })),
        }
    }

    /// Has the log name what was stored, if it still holds what that was taken of.
    fn keep(&self, at: &Tip, name: &str, written: &Written, role: Role) -> Result<bool, Error> {
        let (key, now) = (self.keys.snapshot(name), self.now()?);
        let keys = [self.keys.tip.as_str(), &self.keys.log, &key];
        let (word, unused) = self.eval_checked("keep a snapshot of", &self.scripts.keep, &keys, |call| {
            call.arg(at.seq).arg(at.bytes).arg(at.chain.digits());
            call.arg(name).arg(written.bytes).arg(written.crc).arg(role.name()).arg(written.pieces).arg(now);
        })?;
        match word.as_str() {
            "ok" => {
                // Else whoever writes the next one does it.
                let _ = self.clear(unused);
                Ok(true)
            }
            // The reply was lost when it was kept: then it is there.
            "newer" => Ok(self.stored()?.iter().flatten().any(|stored| stored.name == name)),
            _ => Ok(false),
        }
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

/// What a snapshot's pieces amount to.
struct Written {
    bytes: u64,
    crc: u32,
    pieces: u64,
}

/// Gathers what comes into pieces of one size.
struct Pieces<'a> {
    journal: &'a RedisJournal,
    name: &'a str,
    key: &'a str,
    index: u64,
    buffer: Vec<u8>,
    failed: Option<Error>,
    is_gone: bool,
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
        let journal = self.journal;
        // By its number, so that a piece that is sent twice is there once. The keys keep the numbers that they have elsewhere.
        let keys = [journal.keys.tip.as_str(), &journal.keys.log, self.key];
        let done = journal.eval("write a snapshot of", &journal.scripts.put, &keys, |call| {
            call.arg(self.name).arg(self.index).arg(&self.buffer);
        });
        self.index += 1;
        self.buffer.clear();
        match done {
            Ok((word, _)) if word == "ok" => Ok(()),
            Ok(_) => {
                self.is_gone = true;
                Err(io::Error::other("somebody else is writing it by now"))
            }
            Err(error) => {
                let told = io::Error::other(error.to_string());
                self.failed = Some(error);
                Err(told)
            }
        }
    }
}
