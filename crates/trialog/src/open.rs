//! Storage by path or URL, and how careful it is.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use trialog_journal::{Durability, History, Journal, MemoryJournal};
use trialog_journal_file::FileJournal;
use trialog_journal_optuna::{LockKind, OptunaFile, OptunaRedis};
use trialog_storage::{Compaction, Dialect, Snapshots};

use crate::error::{Error, Kind, Result};
use crate::lease::LEASE_MIN;
use crate::optuna;
use crate::storage::Storage;

/// When a snapshot is due. A record takes some microseconds to write and less than one to replay, a snapshot a small
/// part of that for each record it covers: this keeps it below two in a hundred, and opening below a second.
const SNAPSHOTS: Snapshots = Snapshots::Auto { records_min: 200_000, growth: 0.25 };

/// The same where a record crosses a network: reading one costs several times as much, and writing one, a round trip, so
/// much more that a snapshot for every twentieth is still below two in a hundred.
const SNAPSHOTS_REMOTE: Snapshots = Snapshots::Auto { records_min: 5_000, growth: 0.05 };

/// When a log is compacted by itself: it then holds at most three times its state, or 64 MiB more than that.
const COMPACTION_BYTES_MIN: u64 = 64 << 20;
const COMPACTION_GROWTH: f64 = 2.0;

/// Opens a storage: a path such as `runs.tlog` (or `file:runs.tlog`) for a file that processes share, made if it
/// is not there, `redis://HOST[:PORT][/DB][?prefix=NAME]` for one that machines share (with the feature `redis`; its
/// crate has the other shapes of such a URL), `redb:runs.redb` for a redb file that one process has open, or with
/// `?multi-writer` several (with the feature `redb`), `slot:FOLDER` for a folder that machines share and that needs no locks (with the
/// feature `slot`), `s3://BUCKET/PREFIX`, `gs://BUCKET/PREFIX` or `az://CONTAINER/PREFIX` for a bucket (with the features `s3`, `gcs`,
/// `azure`), or `memory:` for one that dies with this process.
///
/// A file is recognised by its content: a path to a journal of Optuna's opens that journal, to be shared with its workers
/// while they run. `optuna:journal.log` makes a new one, and `optuna+open:journal.log` locks it as
/// `JournalFileOpenLock` does, and `optuna+redis://host/0?prefix=p` is one on a server.
///
/// # Errors
/// A URL of another kind, and what the file says: see the questions of [`Error`].
pub fn open(url: impl AsRef<str>) -> Result<Storage> {
    OpenOptions::new().open(url)
}

/// What survives what, at which cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DurabilityLevel {
    /// Nothing is flushed: what was told survives the death of processes, not of the machine.
    Never,
    /// What finishes a trial, changes a study or enqueues is on stable storage when the call returns. Parameters
    /// and intermediate values are seen by everyone at once and wait for no flush of their own, since a running
    /// trial dies with its machine anyway.
    #[default]
    Told,
    /// Everything is on stable storage when the call returns.
    Always,
}

impl DurabilityLevel {
    pub(crate) fn of_progress(self) -> Durability {
        if self == DurabilityLevel::Always { Durability::Power } else { Durability::Process }
    }

    pub(crate) fn of_results(self) -> Durability {
        if self == DurabilityLevel::Never { Durability::Process } else { Durability::Power }
    }
}

/// How to open a storage.
#[derive(Clone, Debug, Default)]
pub struct OpenOptions {
    read_only: bool,
    must_exist: bool,
    durability: DurabilityLevel,
    lock_wait_max: Option<Duration>,
    no_snapshots: bool,
    no_compaction: bool,
    keep_history: bool,
    lease: Option<Duration>,
}

impl OpenOptions {
    /// Read and write, make what is not there, [`DurabilityLevel::Told`].
    #[must_use]
    pub fn new() -> OpenOptions {
        OpenOptions::default()
    }

    /// For looking only: needs no permission to write and cannot disturb anybody. Default: false.
    #[must_use]
    pub fn read_only(mut self, read_only: bool) -> OpenOptions {
        self.read_only = read_only;
        self
    }

    /// Do not make a log that is not there. Default: false.
    #[must_use]
    pub fn must_exist(mut self, must_exist: bool) -> OpenOptions {
        self.must_exist = must_exist;
        self
    }

    /// What survives what. Default: [`DurabilityLevel::Told`].
    #[must_use]
    pub fn durability(mut self, durability: DurabilityLevel) -> OpenOptions {
        self.durability = durability;
        self
    }

    /// How long to wait for other writers before giving up. Default: 30 seconds.
    #[must_use]
    pub fn lock_wait_max(mut self, wait: Duration) -> OpenOptions {
        self.lock_wait_max = Some(wait);
        self
    }

    /// Whether to keep a snapshot beside the log, and to begin with it: opening then costs the snapshot and what came
    /// after. One is written whenever the log has grown by a quarter and by 200,000 records at least, on a server by a
    /// twentieth and by 5,000, by one of the processes that share it. Default: true.
    #[must_use]
    pub fn snapshots(mut self, snapshots: bool) -> OpenOptions {
        self.no_snapshots = !snapshots;
        self
    }

    /// Whether the log is compacted by itself: once its records take 64 MiB and twice what their state takes, one of the
    /// processes writes that state at the beginning of the log's next file, while all go on working, and a minute later the
    /// space of the records is given back. [`Storage::compact`] does it at any time. A log of several files is copied and
    /// moved with all of them. Default: true.
    #[must_use]
    pub fn compaction(mut self, compaction: bool) -> OpenOptions {
        self.no_compaction = !compaction;
        self
    }

    /// Whether a compaction keeps the records it covers, so that the log's whole history can be read. They then keep
    /// their space. Default: false.
    #[must_use]
    pub fn keep_history(mut self, keep_history: bool) -> OpenOptions {
        self.keep_history = keep_history;
        self
    }

    /// For how long this process may be silent while it has running trials, before others declare them lost. It
    /// says in the log that it is alive whenever it has appended nothing for a third of that time. `None`: it says
    /// nothing, and its trials are never lost. At least 100 milliseconds; nothing for `memory:`.
    /// Default: none.
    #[must_use]
    pub fn lease(mut self, lease: Option<Duration>) -> OpenOptions {
        self.lease = lease.map(|lease| lease.max(LEASE_MIN));
        self
    }

    /// Opens a storage by path or URL, as [`open`] does.
    ///
    /// # Errors
    /// As [`open`].
    pub fn open(&self, url: impl AsRef<str>) -> Result<Storage> {
        let url = url.as_ref();
        let mut lease = self.lease.filter(|_| !self.read_only);
        let journal: Box<dyn Journal> = match scheme(url) {
            None if OptunaFile::is_at(Path::new(url)) => return self.optuna_file(url, url, LockKind::default()),
            None => Box::new(self.file(url, url)?),
            Some(("file", path)) => Box::new(self.file(url, path.strip_prefix("//").unwrap_or(path))?),
            Some(("optuna", path)) => return self.optuna_file(url, path, LockKind::default()),
            Some(("optuna+symlink", path)) => return self.optuna_file(url, path, LockKind::Symlink),
            Some(("optuna+open", path)) => return self.optuna_file(url, path, LockKind::Open),
            Some(("optuna+redis", rest)) => return self.optuna_redis(url, "redis", rest),
            Some(("optuna+rediss", rest)) => return self.optuna_redis(url, "rediss", rest),
            Some(("memory", "")) if self.read_only || self.must_exist => {
                return Err(refuse(url, "a storage in memory begins empty: there is nothing to be read yet"));
            }
            Some(("memory", "")) => {
                // Nobody else can see it.
                lease = None;
                Box::new(MemoryJournal::new())
            }
            Some(("memory", _)) => {
                return Err(refuse(url, "a storage in memory has no name: write memory:"));
            }
            Some(("redb", path)) => self.redb(url, path.strip_prefix("//").unwrap_or(path))?,
            Some(("slot", path)) => self.slot(url, path.strip_prefix("//").unwrap_or(path))?,
            Some(("s3" | "gs" | "az", _)) => self.bucket(url)?,
            Some((scheme, _)) if scheme.starts_with("redis") => self.redis(url)?,
            Some((other, _)) => {
                let detail = format!(
                    "{other:?} is no kind of storage here: use a path, file:PATH, slot:FOLDER, redb:PATH, redis://HOST, s3://BUCKET, optuna:PATH or memory:"
                );
                return Err(refuse(url, &detail));
            }
        };
        self.open_with(journal, lease)
    }

    /// Opens a storage on a journal of the caller's own: a medium that has no URL here. Of these options only the
    /// durability, the snapshots, the compaction and the lease count.
    ///
    /// # Errors
    /// What the log says when it is read.
    pub fn open_journal(&self, journal: Box<dyn Journal>) -> Result<Storage> {
        self.open_with(journal, self.lease)
    }

    fn open_with(&self, journal: Box<dyn Journal>, lease: Option<Duration>) -> Result<Storage> {
        let snapshots = match (self.no_snapshots, journal.is_remote()) {
            (true, _) => Snapshots::Off,
            (false, true) => SNAPSHOTS_REMOTE,
            (false, false) => SNAPSHOTS,
        };
        let history = if self.keep_history { History::Kept } else { History::Folded };
        let compaction = if self.no_compaction {
            Compaction::Off
        } else {
            Compaction::Auto { bytes_min: COMPACTION_BYTES_MIN, growth: COMPACTION_GROWTH, history }
        };
        let inner = trialog_storage::Storage::with_policies(journal, snapshots, compaction)?;
        Ok(Storage::new(Arc::new(inner), self.durability, history, lease))
    }

    fn optuna_file(&self, url: &str, path: &str, lock: LockKind) -> Result<Storage> {
        let path = path.strip_prefix("//").unwrap_or(path);
        if path.is_empty() {
            return Err(refuse(url, "the path is empty"));
        }
        let default = trialog_journal_optuna::Options::default();
        let options = trialog_journal_optuna::Options {
            read_only: self.read_only,
            create: !self.read_only && !self.must_exist,
            lock,
            lock_wait_max: self.lock_wait_max.unwrap_or(default.lock_wait_max),
            ..default
        };
        self.open_optuna(url, Box::new(OptunaFile::open(path, &options)?), optuna::in_file())
    }

    fn optuna_redis(&self, url: &str, scheme: &str, rest: &str) -> Result<Storage> {
        let target = optuna::redis_target(scheme, rest, self.read_only).map_err(|detail| refuse(url, &detail))?;
        let dialect = optuna::in_redis(&target);
        self.open_optuna(url, Box::new(OptunaRedis::open(&target)?), dialect)
    }

    fn open_optuna(&self, url: &str, journal: Box<dyn Journal>, dialect: Dialect) -> Result<Storage> {
        if self.lease.is_some() {
            return Err(refuse(url, "Optuna's workers know no leases: open it without one"));
        }
        let inner = trialog_storage::Storage::with_dialect(journal, dialect)?;
        Ok(Storage::new(Arc::new(inner), self.durability, History::Kept, None))
    }

    #[cfg(feature = "redb")]
    fn redb(&self, url: &str, path: &str) -> Result<Box<dyn Journal>> {
        let (path, multi_writer) = match path.split_once('?') {
            None => (path, false),
            Some((path, "multi-writer")) => (path, true),
            Some(_) => return Err(refuse(url, "the one thing that can stand behind the ? is multi-writer")),
        };
        if path.is_empty() {
            return Err(refuse(url, "the path is empty"));
        }
        let options = trialog_journal_redb::Options {
            read_only: self.read_only,
            create: !self.read_only && !self.must_exist,
            multi_writer,
        };
        Ok(Box::new(trialog_journal_redb::RedbJournal::open(path, options)?))
    }

    #[cfg(not(feature = "redb"))]
    fn redb(&self, url: &str, _: &str) -> Result<Box<dyn Journal>> {
        Err(refuse(url, "this program was built without redb; build it with the feature \"redb\" of trialog"))
    }

    #[cfg(feature = "slot")]
    fn slot(&self, url: &str, path: &str) -> Result<Box<dyn Journal>> {
        if path.is_empty() {
            return Err(refuse(url, "the path is empty"));
        }
        Ok(Box::new(trialog_journal_slot::SlotJournal::open_folder(path, self.slot_options())?))
    }

    #[cfg(any(feature = "s3", feature = "gcs", feature = "azure"))]
    fn bucket(&self, url: &str) -> Result<Box<dyn Journal>> {
        Ok(Box::new(trialog_journal_slot::SlotJournal::open_bucket(url, self.slot_options())?))
    }

    #[cfg(feature = "slot")]
    fn slot_options(&self) -> trialog_journal_slot::Options {
        trialog_journal_slot::Options { read_only: self.read_only, create: !self.read_only && !self.must_exist }
    }

    #[cfg(not(feature = "slot"))]
    fn slot(&self, url: &str, _: &str) -> Result<Box<dyn Journal>> {
        Err(refuse(url, "this program was built without it; build it with the feature \"slot\" of trialog"))
    }

    #[cfg(not(any(feature = "s3", feature = "gcs", feature = "azure")))]
    fn bucket(&self, url: &str) -> Result<Box<dyn Journal>> {
        let detail = "this program was built without buckets; build it with the feature \"s3\", \"gcs\" or \"azure\" of trialog";
        Err(refuse(url, detail))
    }

    /// No error repeats the URL as it is: a password may be in it.
    #[cfg(feature = "redis")]
    fn redis(&self, url: &str) -> Result<Box<dyn Journal>> {
        use trialog_journal_redis::{RedisJournal, Target};
        let target = Target::parse(url).map_err(|error| refuse("redis:...", &error.to_string()))?;
        let journal = RedisJournal::open(target, self.read_only, !self.must_exist)?;
        tracing::info!("{}: {}", journal.location(), journal.server());
        Ok(Box::new(journal))
    }

    #[cfg(not(feature = "redis"))]
    fn redis(&self, _: &str) -> Result<Box<dyn Journal>> {
        Err(refuse(
            "redis:...",
            "this program was built without Redis; build it with the feature \"redis\" of trialog",
        ))
    }

    fn file(&self, url: &str, path: &str) -> Result<FileJournal> {
        if path.is_empty() {
            return Err(refuse(url, "the path is empty"));
        }
        let default = trialog_journal_file::Options::default();
        let options = trialog_journal_file::Options {
            read_only: self.read_only,
            create: !self.read_only && !self.must_exist,
            lock_wait_max: self.lock_wait_max.unwrap_or(default.lock_wait_max),
            ..default
        };
        Ok(FileJournal::open(Path::new(path), &options)?)
    }
}

/// Scheme and rest of a URL; a path is none. One letter and a colon is a drive, not a scheme.
fn scheme(url: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = url.split_once(':')?;
    let is_scheme = scheme.len() > 1
        && scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'));
    is_scheme.then_some((scheme, rest))
}

fn refuse(url: &str, detail: &str) -> Error {
    Error::new(Kind::Url { url: url.to_owned(), detail: detail.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_not_urls() {
        for path in ["runs.tlog", "./a:b/c", "/x/y", "C:\\runs.tlog", "a b:c", ":x"] {
            assert_eq!(scheme(path), None, "{path}");
        }
        assert_eq!(scheme("redis://host/0"), Some(("redis", "//host/0")));
        assert_eq!(scheme("memory:"), Some(("memory", "")));
    }
}
