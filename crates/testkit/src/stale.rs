//! A network client that keeps a page which is older than the file's length, for as long as nobody changes the file: seen
//! over NFS version 3.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use trialog_journal_file::os::{Access, FileSystem, Os, OsFile, PathKind, Stat};

use crate::FakeOs;

/// A client that has a stretch of every file as zeros, until it is told to forget it.
#[derive(Debug)]
pub struct StaleOs {
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
struct StaleFile {
    inner: Arc<dyn OsFile>,
    stale: Arc<Stale>,
}

impl StaleOs {
    /// A client that has the bytes from `from` to before `to` as zeros.
    #[must_use]
    pub fn new(inner: FakeOs, from: u64, to: u64) -> StaleOs {
        StaleOs::with(inner, from, to, true)
    }

    /// The same, which forgets nothing whatever it is told.
    #[must_use]
    pub fn stubborn(inner: FakeOs, from: u64, to: u64) -> StaleOs {
        StaleOs::with(inner, from, to, false)
    }

    fn with(inner: FakeOs, from: u64, to: u64, forgets: bool) -> StaleOs {
        let stale = Stale { from, to, forgets, forgotten: AtomicBool::new(false), asked: AtomicU32::new(0) };
        StaleOs { inner, stale: Arc::new(stale) }
    }

    /// How often it was told to forget something.
    #[must_use]
    pub fn asked(&self) -> u32 {
        self.stale.asked.load(Ordering::Relaxed)
    }
}

impl Os for StaleOs {
    fn path_kind(&self, path: &Path) -> io::Result<PathKind> {
        self.inner.path_kind(path)
    }

    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn OsFile>> {
        let inner = self.inner.open(path, access)?;
        Ok(Arc::new(StaleFile { inner, stale: Arc::clone(&self.stale) }))
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

impl OsFile for StaleFile {
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
