//! The canary's operating system: the real one, but for the lock, which is on a file beside the log. Over NFS that
//! loses records, and the checks here have to see it.

use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use trialog_journal_file::RealOs;
use trialog_journal_file::os::{Access, FileSystem, Os, OsFile, PathKind, Stat};

#[derive(Debug, Default)]
pub(crate) struct NaiveOs(RealOs);

#[derive(Debug)]
struct NaiveFile {
    file: Arc<dyn OsFile>,
    lock: Arc<dyn OsFile>,
}

impl Os for NaiveOs {
    fn path_kind(&self, path: &Path) -> io::Result<PathKind> {
        self.0.path_kind(path)
    }

    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn OsFile>> {
        let file = self.0.open(path, access)?;
        let lock = self.0.open(&path.with_extension("lock"), Access::Create)?;
        Ok(Arc::new(NaiveFile { file, lock }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.rename(from, to)
    }

    fn list_dir(&self, path: &Path) -> io::Result<Vec<OsString>> {
        self.0.list_dir(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.0.sync_dir(path)
    }

    fn monotonic(&self) -> Duration {
        self.0.monotonic()
    }

    fn sleep(&self, time: Duration) {
        self.0.sleep(time);
    }

    fn wall_us(&self) -> i64 {
        self.0.wall_us()
    }

    fn random(&self, bytes: &mut [u8]) -> io::Result<()> {
        self.0.random(bytes)
    }

    fn process_id(&self) -> u32 {
        self.0.process_id()
    }
}

impl OsFile for NaiveFile {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        self.file.read_at(offset, buf)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        self.file.write_at(offset, bytes)
    }

    fn bytes(&self) -> io::Result<u64> {
        self.file.bytes()
    }

    fn stat(&self) -> io::Result<Stat> {
        self.file.stat()
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn truncate(&self, bytes: u64) -> io::Result<()> {
        self.file.truncate(bytes)
    }

    fn try_lock(&self) -> io::Result<bool> {
        self.lock.try_lock()
    }

    fn unlock(&self) -> io::Result<()> {
        self.lock.unlock()
    }

    fn lock_holder(&self) -> Option<String> {
        None
    }

    fn file_system(&self) -> io::Result<FileSystem> {
        self.file.file_system()
    }
}
