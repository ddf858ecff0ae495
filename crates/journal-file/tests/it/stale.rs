//! A network client may answer a reader without the lock from a page that is older than the file's length, for as long
//! as nobody changes the file: seen over NFS version 3, where a reader said *damaged* of a log that was not.

use crate::support::{PATH, read_all, sample};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;
use trialog_journal::{Error, Journal as _, Seq};
use trialog_journal_file::os::{Access, FileSystem, Os, OsFile, PathKind, Stat};
use trialog_journal_file::{FileJournal, Network, Options};
use trialog_testkit::FakeOs;

/// A client that has a stretch of the file as zeros, until it is told to forget it.
#[derive(Debug)]
struct Client {
    inner: FakeOs,
    stale: Arc<Stale>,
}

#[derive(Debug)]
struct Stale {
    from: u64,
    to: u64,
    /// Whether it does as it is told.
    forgets: bool,
    forgotten: AtomicBool,
    asked: AtomicU32,
}

#[derive(Debug)]
struct ClientFile {
    inner: Arc<dyn OsFile>,
    stale: Arc<Stale>,
}

impl Os for Client {
    fn path_kind(&self, path: &Path) -> io::Result<PathKind> {
        self.inner.path_kind(path)
    }

    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn OsFile>> {
        let inner = self.inner.open(path, access)?;
        Ok(Arc::new(ClientFile { inner, stale: Arc::clone(&self.stale) }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.inner.rename(from, to)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.inner.sync_dir(path)
    }

    fn monotonic(&self) -> Duration {
        self.inner.monotonic()
    }

    fn sleep(&self, time: Duration) {
        self.inner.sleep(time);
    }

    fn wall_us(&self) -> i64 {
        self.inner.wall_us()
    }

    fn random(&self, bytes: &mut [u8]) -> io::Result<()> {
        self.inner.random(bytes)
    }

    fn process_id(&self) -> u32 {
        self.inner.process_id()
    }
}

impl OsFile for ClientFile {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let got = self.inner.read_at(offset, buf)?;
        if !self.stale.forgotten.load(Ordering::Relaxed) {
            for (at, byte) in (offset..).zip(&mut buf[..got]) {
                if (self.stale.from..self.stale.to).contains(&at) {
                    *byte = 0;
                }
            }
        }
        Ok(got)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        self.inner.write_at(offset, bytes)
    }

    fn bytes(&self) -> io::Result<u64> {
        self.inner.bytes()
    }

    fn stat(&self) -> io::Result<Stat> {
        self.inner.stat()
    }

    fn sync_data(&self) -> io::Result<()> {
        self.inner.sync_data()
    }

    fn truncate(&self, bytes: u64) -> io::Result<()> {
        self.inner.truncate(bytes)
    }

    fn forget(&self, offset: u64) -> io::Result<()> {
        self.stale.asked.fetch_add(1, Ordering::Relaxed);
        if self.stale.forgets && offset <= self.stale.from {
            self.stale.forgotten.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    fn try_lock(&self) -> io::Result<bool> {
        self.inner.try_lock()
    }

    fn unlock(&self) -> io::Result<()> {
        self.inner.unlock()
    }

    fn lock_holder(&self) -> Option<String> {
        self.inner.lock_holder()
    }

    fn file_system(&self) -> io::Result<FileSystem> {
        self.inner.file_system()
    }
}

/// What a reader sees of a log of twenty records whose bytes from record 12 to `end` its machine has as zeros.
fn read_stale(end: usize, forgets: bool) -> (Vec<Vec<u8>>, Option<Error>, Vec<Vec<u8>>) {
    let (inner, _, records, ends) = sample(20);
    let stale = Arc::new(Stale {
        from: ends[12] as u64,
        to: ends[end] as u64,
        forgets,
        forgotten: AtomicBool::new(false),
        asked: AtomicU32::new(0),
    });
    let client = Client { inner, stale: Arc::clone(&stale) };
    let options = Options { read_only: true, network: Network::Network, ..Options::default() };
    let journal = FileJournal::open_on(Arc::new(client), PATH, &options).unwrap();
    let (found, error) = read_all(&journal);
    let asked = stale.asked.load(Ordering::Relaxed);
    assert!(asked > 0 && asked < 20, "{asked}");
    if error.is_none() {
        let next =
            journal.read(Seq(found.len() as u64), &mut |_, _| unreachable!("it was read to the end")).unwrap();
        assert_eq!(next.0, found.len() as u64);
    }
    (found, error, records)
}

#[test]
fn a_reader_looks_behind_what_its_machine_has_kept() {
    // In the midst of the log it looks like damage, at the end like a write that goes on.
    for end in [14, 20] {
        let (found, error, records) = read_stale(end, true);
        assert!(error.is_none(), "{error:?}");
        assert_eq!(found, records);
    }
}

/// The canary: a machine that keeps what it has.
#[test]
fn canary_what_stays_is_believed() {
    let (found, error, records) = read_stale(14, false);
    assert!(matches!(error, Some(Error::Corrupt { seq: 12, .. })), "{error:?}");
    assert_eq!(found, records[..12]);
    let (found, error, records) = read_stale(20, false);
    assert!(error.is_none(), "{error:?}");
    assert_eq!(found, records[..12]);
}
