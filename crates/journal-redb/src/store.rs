//! The one door to redb: tables, transactions and its errors. What is appended when is decided elsewhere.

use std::io::{self, Read as _};
use std::path::Path;
use std::time::{Duration, SystemTime};

use rand::TryRng;
use rand::rngs::SysRng;
use redb::{
    Builder, ConcurrencyMode, Database, ReadOnlyDatabase, ReadTransaction, ReadableDatabase as _, ReadableTable,
    TableDefinition, WriteTransaction,
};
use trialog_journal::{Error, SnapshotSource};

const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
/// A record by its position: its chain value and its bytes.
const RECORDS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("records");
const SNAPSHOT: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("snapshot");
const BASE: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("base");

const FORMAT: u32 = 1;
const MAGIC: &[u8] = b"redb\x1a\x0a\xa9\x0d\x0a";
const CHAIN_BYTES: usize = 4;
const PIECE_BYTES: usize = 1 << 20;
/// How many records are removed in one transaction, so that writers wait for none of them long.
const TRIM_RECORDS: usize = 10_000;
const CACHE_BYTES: usize = 64 << 20;

/// A position in the log, and what tells the log up to there from others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tip {
    pub(crate) seq: u64,
    /// Bytes of all records so far.
    pub(crate) bytes: u64,
    pub(crate) chain: u32,
}

impl Tip {
    fn start(log_id: &[u8]) -> Tip {
        Tip { seq: 0, bytes: 0, chain: crc32fast::hash(log_id) }
    }

    /// The position after a record.
    pub(crate) fn after(self, record: &[u8]) -> Tip {
        let mut crc = crc32fast::Hasher::new_with_initial(self.chain);
        crc.update(record);
        Tip { seq: self.seq + 1, bytes: self.bytes + record.len() as u64, chain: crc.finalize() }
    }

    fn encode(self) -> [u8; 20] {
        let mut bytes = [0; 20];
        bytes[..8].copy_from_slice(&self.seq.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.bytes.to_le_bytes());
        bytes[16..].copy_from_slice(&self.chain.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Tip> {
        let (seq, rest) = bytes.split_first_chunk()?;
        let (size, rest) = rest.split_first_chunk()?;
        let chain = rest.first_chunk()?;
        Some(Tip {
            seq: u64::from_le_bytes(*seq),
            bytes: u64::from_le_bytes(*size),
            chain: u32::from_le_bytes(*chain),
        })
    }
}

/// What is stored of a snapshot beside its pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) at: Tip,
    pub(crate) bytes: u64,
    crc: u32,
    seconds: u64,
    /// Whether the records that it covers are given up.
    pub(crate) folds: bool,
}

impl Stored {
    fn encode(&self) -> Vec<u8> {
        let mut bytes = self.at.encode().to_vec();
        bytes.extend(self.bytes.to_le_bytes());
        bytes.extend(self.crc.to_le_bytes());
        bytes.extend(self.seconds.to_le_bytes());
        bytes.push(u8::from(self.folds));
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Stored> {
        let (at, rest) = bytes.split_at_checked(20)?;
        let (size, rest) = rest.split_first_chunk()?;
        let (crc, rest) = rest.split_first_chunk()?;
        let (seconds, rest) = rest.split_first_chunk()?;
        Some(Stored {
            at: Tip::decode(at)?,
            bytes: u64::from_le_bytes(*size),
            crc: u32::from_le_bytes(*crc),
            seconds: u64::from_le_bytes(*seconds),
            folds: *rest.first()? != 0,
        })
    }
}

/// Which of the two snapshots.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Which {
    Snapshot,
    Base,
}

impl Which {
    fn key(self) -> &'static str {
        match self {
            Which::Snapshot => "snapshot",
            Which::Base => "base",
        }
    }

    fn table(self) -> TableDefinition<'static, u64, &'static [u8]> {
        match self {
            Which::Snapshot => SNAPSHOT,
            Which::Base => BASE,
        }
    }
}

enum Db {
    Write(Database),
    Read(ReadOnlyDatabase),
}

/// An open file.
pub(crate) struct Store {
    db: Db,
    location: String,
    pub(crate) log_id: Vec<u8>,
}

/// How to open a file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mode {
    pub(crate) read_only: bool,
    pub(crate) create: bool,
    pub(crate) multi_writer: bool,
}

impl Store {
    pub(crate) fn open(path: &Path, location: &str, mode: Mode) -> Result<Store, Error> {
        check_file(path, location, mode)?;
        let concurrency =
            if mode.multi_writer { ConcurrencyMode::MultiWriter } else { ConcurrencyMode::ExclusiveWriter };
        let mut builder = Builder::new();
        builder.set_cache_size(CACHE_BYTES).set_concurrency_mode(concurrency);
        let db = if mode.read_only {
            Db::Read(builder.open_read_only(path).map_err(failed(location, "open"))?)
        } else if mode.create {
            Db::Write(builder.create(path).map_err(failed(location, "open"))?)
        } else {
            Db::Write(builder.open(path).map_err(failed(location, "open"))?)
        };
        let mut store = Store { db, location: location.to_owned(), log_id: Vec::new() };
        store.log_id = store.begin()?;
        Ok(store)
    }

    /// The log's id; an empty file becomes a log, if it may be written.
    fn begin(&self) -> Result<Vec<u8>, Error> {
        if let Some(id) = self.identity()? {
            return Ok(id);
        }
        let Db::Write(_) = self.db else { return Err(Error::NotFound { location: self.location.clone() }) };
        let txn = self.writing()?;
        {
            let mut meta = txn.open_table(META).map_err(self.failed("open"))?;
            // Another process may have been faster.
            if meta.get("id").map_err(self.failed("read"))?.is_none() {
                if txn.list_tables().map_err(self.failed("read"))?.count() > 1 {
                    let found = "a redb database that holds something else".to_owned();
                    return Err(Error::NotALog { location: self.location.clone(), found });
                }
                let mut id = [0; 16];
                SysRng.try_fill_bytes(&mut id).map_err(|error| Error::Io {
                    location: self.location.clone(),
                    action: "find a random id for",
                    source: io::Error::other(error.to_string()),
                })?;
                let put = [("id", &id[..]), ("format", &FORMAT.to_le_bytes()), ("tip", &Tip::start(&id).encode())];
                for (key, value) in put {
                    meta.insert(key, value).map_err(self.failed("write to"))?;
                }
                txn.open_table(RECORDS).map_err(self.failed("write to"))?;
            }
        }
        txn.commit().map_err(self.failed("write to"))?;
        self.identity()?.ok_or_else(|| self.damaged(0, "it lost what was just written"))
    }

    fn identity(&self) -> Result<Option<Vec<u8>>, Error> {
        let txn = self.reading()?;
        let meta = match txn.open_table(META) {
            Ok(meta) => meta,
            Err(redb::TableError::TableDoesNotExist(_)) => return Ok(None),
            Err(redb::TableError::Storage(error)) => return Err(self.failed("read")(error)),
            Err(_) => {
                let found = "a redb database that holds something else".to_owned();
                return Err(Error::NotALog { location: self.location.clone(), found });
            }
        };
        let get = |key: &str| meta.get(key).map_err(self.failed("read"));
        let Some(id) = get("id")? else { return Ok(None) };
        let format = get("format")?.and_then(|format| format.value().first_chunk().map(|f| u32::from_le_bytes(*f)));
        match format {
            Some(FORMAT) => Ok(Some(id.value().to_vec())),
            Some(newer) if newer > FORMAT => Err(Error::NewerFormat {
                location: self.location.clone(),
                found: format!("format version {newer}"),
                supported: FORMAT,
            }),
            _ => Err(self.damaged(0, "its format is not told")),
        }
    }

    fn reading(&self) -> Result<ReadTransaction, Error> {
        match &self.db {
            Db::Write(db) => db.begin_read(),
            Db::Read(db) => db.begin_read(),
        }
        .map_err(self.failed("read"))
    }

    fn writing(&self) -> Result<WriteTransaction, Error> {
        match &self.db {
            Db::Write(db) => db.begin_write().map_err(self.failed("write to")),
            Db::Read(_) => Err(Error::ReadOnly { location: self.location.clone() }),
        }
    }

    fn failed<E: Into<redb::Error>>(&self, action: &'static str) -> impl Fn(E) -> Error {
        failed(&self.location, action)
    }

    fn damaged(&self, seq: u64, detail: &str) -> Error {
        Error::Corrupt { location: self.location.clone(), offset: 0, seq, detail: detail.to_owned() }
    }

    pub(crate) fn tip(&self) -> Result<Tip, Error> {
        let txn = self.reading()?;
        let meta = txn.open_table(META).map_err(self.failed("read"))?;
        self.tip_in(&meta)
    }

    fn tip_in(&self, meta: &impl ReadableTable<&'static str, &'static [u8]>) -> Result<Tip, Error> {
        let tip = meta.get("tip").map_err(self.failed("read"))?;
        tip.and_then(|tip| Tip::decode(tip.value())).ok_or_else(|| self.damaged(0, "its end is not told"))
    }

    fn trimmed_in(&self, meta: &impl ReadableTable<&'static str, &'static [u8]>) -> Result<Option<Tip>, Error> {
        Ok(meta.get("trim").map_err(self.failed("read"))?.and_then(|trim| Tip::decode(trim.value())))
    }

    /// Appends records in one transaction, if the log holds what was seen of it; returns the end before and after.
    pub(crate) fn append<'a>(
        &self,
        seen: Tip,
        records: impl Iterator<Item = &'a [u8]>,
    ) -> Result<(Tip, Tip), Error> {
        let txn = self.writing()?;
        let (before, mut tip);
        {
            let mut meta = txn.open_table(META).map_err(self.failed("write to"))?;
            let mut table = txn.open_table(RECORDS).map_err(self.failed("write to"))?;
            before = self.tip_in(&meta)?;
            self.check_seen(seen, before, self.trimmed_in(&meta)?, &table)?;
            tip = before;
            let mut value = Vec::new();
            for record in records {
                let after = tip.after(record);
                value.clear();
                value.extend(after.chain.to_le_bytes());
                value.extend_from_slice(record);
                table.insert(tip.seq, value.as_slice()).map_err(self.failed("write to"))?;
                tip = after;
            }
            if tip == before {
                drop((meta, table));
                txn.abort().map_err(self.failed("write to"))?;
                return Ok((before, tip));
            }
            meta.insert("tip", tip.encode().as_slice()).map_err(self.failed("write to"))?;
        }
        txn.commit().map_err(self.failed("write to"))?;
        Ok((before, tip))
    }

    /// Whether the log that ends at `tip` holds the position `seen`.
    fn check_seen(
        &self,
        seen: Tip,
        tip: Tip,
        trimmed: Option<Tip>,
        table: &impl ReadableTable<u64, &'static [u8]>,
    ) -> Result<(), Error> {
        let regressed = Error::Regressed { location: self.location.clone(), seen: seen.seq, found: tip.seq };
        if seen.seq >= tip.seq {
            return if seen == tip { Ok(()) } else { Err(regressed) };
        }
        let chain = match (seen.seq.checked_sub(1), trimmed) {
            (None, _) => return Ok(()),
            (Some(_), Some(trimmed)) if seen.seq < trimmed.seq => return Ok(()),
            (Some(_), Some(trimmed)) if seen.seq == trimmed.seq => Some(trimmed.chain),
            (Some(last), _) => {
                table.get(last).map_err(self.failed("read"))?.and_then(|value| chain_of(value.value()))
            }
        };
        if chain == Some(seen.chain) { Ok(()) } else { Err(regressed) }
    }

    /// Hands over records from `from` up to `until`, or to the log's end, as long as `visit` wants more; it gets each
    /// with the position after it. `seen` is a position that the log must hold.
    pub(crate) fn read(
        &self,
        from: u64,
        until: Option<u64>,
        seen: Tip,
        mut visit: impl FnMut(&[u8], Tip) -> bool,
    ) -> Result<(), Error> {
        let txn = self.reading()?;
        let meta = txn.open_table(META).map_err(self.failed("read"))?;
        let table = txn.open_table(RECORDS).map_err(self.failed("read"))?;
        let (end, trimmed) = (self.tip_in(&meta)?, self.trimmed_in(&meta)?);
        self.check_seen(seen, end, trimmed, &table)?;
        let first = trimmed.map_or(0, |trimmed| trimmed.seq);
        if from < first {
            return Err(Error::Folded { location: self.location.clone(), asked: from, first });
        }
        let mut tip = match from.checked_sub(1) {
            _ if from == first => trimmed.unwrap_or_else(|| Tip::start(&self.log_id)),
            _ if from == seen.seq => seen,
            Some(last) => {
                let value = table.get(last).map_err(self.failed("read"))?;
                let chain = value.and_then(|value| chain_of(value.value()));
                let chain = chain.ok_or_else(|| self.damaged(last, "a record is missing"))?;
                Tip { seq: from, bytes: 0, chain }
            }
            None => Tip::start(&self.log_id),
        };
        let until = until.unwrap_or(end.seq).min(end.seq);
        for item in table.range(from..until).map_err(self.failed("read"))? {
            let (key, value) = item.map_err(self.failed("read"))?;
            let value = value.value();
            let record = value.get(CHAIN_BYTES..).unwrap_or_default();
            let after = tip.after(record);
            if key.value() != tip.seq {
                return Err(self.damaged(tip.seq, "a record is missing"));
            }
            if chain_of(value) != Some(after.chain) {
                return Err(
                    self.damaged(tip.seq, "its chain value is wrong: it was changed, or follows something else")
                );
            }
            tip = after;
            if !visit(record, tip) {
                return Ok(());
            }
        }
        if tip.seq < until { Err(self.damaged(tip.seq, "a record is missing")) } else { Ok(()) }
    }

    pub(crate) fn stored(&self, which: Which) -> Result<Option<Stored>, Error> {
        let txn = self.reading()?;
        let meta = txn.open_table(META).map_err(self.failed("read"))?;
        Ok(meta.get(which.key()).map_err(self.failed("read"))?.and_then(|value| Stored::decode(value.value())))
    }

    /// The bytes of a stored snapshot; `None` if there is none or it is not whole.
    pub(crate) fn load(&self, which: Which) -> Result<Option<(Stored, Vec<u8>)>, Error> {
        let txn = self.reading()?;
        let meta = txn.open_table(META).map_err(self.failed("read"))?;
        let stored = meta.get(which.key()).map_err(self.failed("read"))?;
        let Some(stored) = stored.and_then(|value| Stored::decode(value.value())) else { return Ok(None) };
        let Ok(table) = txn.open_table(which.table()) else { return Ok(None) };
        let mut bytes = Vec::new();
        for piece in table.iter().map_err(self.failed("read"))? {
            bytes.extend_from_slice(piece.map_err(self.failed("read"))?.1.value());
        }
        let whole = bytes.len() as u64 == stored.bytes && crc32fast::hash(&bytes) == stored.crc;
        Ok(whole.then_some((stored, bytes)))
    }

    /// Stores a snapshot of the first `at` records in the place of an older one. False if there is one as new, or the log does
    /// not hold that position.
    pub(crate) fn store(
        &self,
        which: Which,
        at: u64,
        source: &mut SnapshotSource<'_>,
        folds: bool,
    ) -> Result<bool, Error> {
        let txn = self.writing()?;
        {
            let mut meta = txn.open_table(META).map_err(self.failed("write to"))?;
            let records = txn.open_table(RECORDS).map_err(self.failed("write to"))?;
            let tip = self.tip_in(&meta)?;
            let old = |key: &str| -> Result<Option<Stored>, Error> {
                Ok(meta.get(key).map_err(self.failed("read"))?.and_then(|value| Stored::decode(value.value())))
            };
            let base = old("base")?;
            let folds_more = folds && base.is_some_and(|base| !base.folds && base.at.seq == at);
            let newer = base.is_some_and(|base| base.at.seq >= at) && !folds_more
                || which == Which::Snapshot && old("snapshot")?.is_some_and(|old| old.at.seq >= at);
            let Some(last) = at.checked_sub(1).filter(|_| at <= tip.seq && !newer) else { return Ok(false) };
            let chain = records.get(last).map_err(self.failed("read"))?.and_then(|value| chain_of(value.value()));
            let Some(chain) = chain else { return Ok(false) };
            // What came since then is little, and is counted from its bytes.
            let mut later = 0;
            for item in records.range(at..).map_err(self.failed("read"))? {
                later += (item.map_err(self.failed("read"))?.1.value().len() - CHAIN_BYTES) as u64;
            }
            let at = Tip { seq: at, bytes: tip.bytes.saturating_sub(later), chain };
            txn.delete_table(which.table()).map_err(self.failed("write to"))?;
            let (bytes, crc) = self.write_pieces(&txn, which, source)?;
            let seconds = now_seconds();
            let stored = Stored { at, bytes, crc, seconds, folds };
            meta.insert(which.key(), stored.encode().as_slice()).map_err(self.failed("write to"))?;
            if which == Which::Base {
                txn.delete_table(SNAPSHOT).map_err(self.failed("write to"))?;
                meta.remove("snapshot").map_err(self.failed("write to"))?;
            }
        }
        txn.commit().map_err(self.failed("write to"))?;
        Ok(true)
    }

    fn write_pieces(
        &self,
        txn: &WriteTransaction,
        which: Which,
        source: &mut SnapshotSource<'_>,
    ) -> Result<(u64, u32), Error> {
        let mut table = txn.open_table(which.table()).map_err(self.failed("write to"))?;
        let (mut index, mut bytes, mut crc) = (0, 0, crc32fast::Hasher::new());
        let mut buffer = Vec::new();
        let mut flush = |buffer: &mut Vec<u8>| -> Result<(), redb::StorageError> {
            table.insert(index, buffer.as_slice())?;
            index += 1;
            buffer.clear();
            Ok(())
        };
        source(&mut |piece| {
            crc.update(piece);
            bytes += piece.len() as u64;
            buffer.extend_from_slice(piece);
            if buffer.len() >= PIECE_BYTES { flush(&mut buffer).map_err(io::Error::other) } else { Ok(()) }
        })
        .and_then(|()| flush(&mut buffer).map_err(io::Error::other))
        .map_err(|source| Error::Io {
            location: self.location.clone(),
            action: "write a snapshot of",
            source,
        })?;
        Ok((bytes, crc.finalize()))
    }

    /// Removes some of the records that the base has covered for so long. Says how many.
    pub(crate) fn trim(&self, grace: Duration) -> Result<usize, Error> {
        let Some(base) = self.stored(Which::Base)?.filter(|base| base.folds) else { return Ok(0) };
        if now_seconds().saturating_sub(base.seconds) < grace.as_secs() {
            return Ok(0);
        }
        let txn = self.writing()?;
        let mut removed = 0;
        {
            let mut meta = txn.open_table(META).map_err(self.failed("write to"))?;
            let mut records = txn.open_table(RECORDS).map_err(self.failed("write to"))?;
            let mut last = None;
            while removed < TRIM_RECORDS {
                let Some((key, value)) = records.first().map_err(self.failed("read"))? else { break };
                let (seq, chain) = (key.value(), chain_of(value.value()));
                drop((key, value));
                if seq >= base.at.seq {
                    break;
                }
                records.remove(seq).map_err(self.failed("write to"))?;
                last = chain.map(|chain| Tip { seq: seq + 1, bytes: 0, chain });
                removed += 1;
            }
            if let Some(last) = last {
                let trim = if last.seq == base.at.seq { base.at } else { last };
                meta.insert("trim", trim.encode().as_slice()).map_err(self.failed("write to"))?;
            }
        }
        txn.commit().map_err(self.failed("write to"))?;
        Ok(removed)
    }

    /// Whether it was opened for writing.
    pub(crate) fn is_writable(&self) -> bool {
        matches!(self.db, Db::Write(_))
    }

    /// Gives free pages at the file's end back to the system. Nobody else may use the file meanwhile.
    pub(crate) fn shrink(&mut self) -> Result<(), Error> {
        let location = self.location.clone();
        match &mut self.db {
            Db::Write(db) => db.compact().map(drop).map_err(failed(&location, "shrink")),
            Db::Read(_) => Ok(()),
        }
    }
}

fn chain_of(value: &[u8]) -> Option<u32> {
    value.first_chunk().map(|chain| u32::from_le_bytes(*chain))
}

fn now_seconds() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// A file of another kind is told before redb sees it.
fn check_file(path: &Path, location: &str, mode: Mode) -> Result<(), Error> {
    let not_a_log = |found: &str| Error::NotALog { location: location.to_owned(), found: found.to_owned() };
    let mut start = Vec::new();
    match std::fs::metadata(path) {
        Ok(found) if found.is_dir() => return Err(not_a_log("it is a directory")),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound && mode.create && !mode.read_only => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(Error::NotFound { location: location.to_owned() });
        }
        Err(source) => return Err(Error::Io { location: location.to_owned(), action: "look at", source }),
    }
    let file = std::fs::File::open(path).and_then(|file| file.take(MAGIC.len() as u64).read_to_end(&mut start));
    file.map_err(|source| Error::Io { location: location.to_owned(), action: "open", source })?;
    // One that is being made has no magic yet.
    let unfinished = start.iter().all(|&byte| byte == 0);
    if unfinished || start == MAGIC { Ok(()) } else { Err(not_a_log("it is no redb database")) }
}

/// redb's errors in our words.
fn failed<E: Into<redb::Error>>(location: &str, action: &'static str) -> impl Fn(E) -> Error {
    let location = location.to_owned();
    move |error| {
        let location = location.clone();
        match error.into() {
            redb::Error::DatabaseAlreadyOpen | redb::Error::LockProtocolMismatch => Error::Locked {
                location,
                waited: Duration::ZERO,
                holder: Some(
                    "another process that has it open (for several at once use a file or Redis, or ask all of them for its \
                     multi-writer mode with ?multi-writer)"
                        .to_owned(),
                ),
            },
            redb::Error::Corrupted(detail) => Error::Corrupt { location, offset: 0, seq: 0, detail },
            redb::Error::PreviousIo => {
                Error::Poisoned { location, cause: "an earlier read or write failed".to_owned() }
            }
            redb::Error::UpgradeRequired(version) => Error::Unsupported {
                location,
                detail: format!("it is a redb database of the old file format {version}; upgrade it with redb"),
            },
            redb::Error::Io(source) if is_full(&source) => Error::OutOfSpace { location, source },
            redb::Error::Io(source) => Error::Io { location, action, source },
            other => Error::Io { location, action, source: io::Error::other(other.to_string()) },
        }
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge)
}
