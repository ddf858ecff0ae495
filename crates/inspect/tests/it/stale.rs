//! A network client that keeps a page which is older than the file's length: what is said of a sound log does not depend
//! on it.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use trialog_inspect::{Moment, as_of_on, stat_on, verify_on};
use trialog_journal_file::os::{Access, FileSystem, Os, OsFile, PathKind, Stat};
use trialog_testkit::FakeOs;

use crate::logs::{LOG, Log, every_op, os_with};

/// A client that has a stretch of the log as zeros, until it is told to forget it.
#[derive(Debug)]
struct Client {
    inner: FakeOs,
    from: u64,
    to: u64,
    forgotten: Arc<AtomicBool>,
}

#[derive(Debug)]
struct ClientFile {
    inner: Arc<dyn OsFile>,
    from: u64,
    to: u64,
    forgotten: Arc<AtomicBool>,
}

impl Os for Client {
    fn path_kind(&self, path: &Path) -> io::Result<PathKind> {
        self.inner.path_kind(path)
    }

    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn OsFile>> {
        let inner = self.inner.open(path, access)?;
        let forgotten = Arc::clone(&self.forgotten);
        Ok(Arc::new(ClientFile { inner, from: self.from, to: self.to, forgotten }))
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
        if !self.forgotten.load(Ordering::Relaxed) {
            for (_, byte) in (offset..).zip(&mut buf[..got]).filter(|(at, _)| (self.from..self.to).contains(at)) {
                *byte = 0;
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
        self.forgotten.fetch_or(offset <= self.from, Ordering::Relaxed);
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

/// A sound log whose bytes from record `first` to record `last` the machine has as zeros.
fn client(log: &Log, first: usize, last: usize, network: bool) -> Client {
    let inner = os_with(&log.bytes);
    if network {
        inner.mount_network(None);
    }
    let (from, to) = (log.bounds[first] as u64, log.bounds[last] as u64);
    Client { inner, from, to, forgotten: Arc::default() }
}

#[test]
fn what_a_client_has_kept_is_not_what_the_log_says() {
    let log = Log::new(every_op(0.0), 1);
    let all = log.records.len();
    let digest = log.state_at(all).digest();
    // In the midst of the log it looks like damage, at the end like a write that goes on.
    for (first, last) in [(2, 4), (all - 2, all)] {
        let stale = || client(&log, first, last, true);
        let report = verify_on(&stale(), LOG).unwrap();
        assert!(report.is_clean() && report.tail.is_none(), "{report}");
        assert_eq!(report.readable.digest, digest);
        assert_eq!(stat_on(&stale(), LOG).unwrap().readable.digest, digest);
        assert_eq!(as_of_on(&stale(), LOG, Moment::End).unwrap().digest(), digest);
    }
    // The canary: on a local file system what is read is what is there.
    assert!(!verify_on(&client(&log, 2, 4, false), LOG).unwrap().is_clean());
}
