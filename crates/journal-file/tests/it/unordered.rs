//! A reader without the lock may see a write's pages in any order. What looks like damage then is none a moment later.

use crate::support::{PATH, open, read_all, sample};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use trialog_journal::{Error, Journal};
use trialog_journal_file::os::{Access, Os, OsFile, PathKind};
use trialog_journal_file::{FileJournal, Options};
use trialog_testkit::FakeOs;

/// A machine on which the file gets its right bytes at the `sleeps`-th wait.
#[derive(Debug)]
struct Late {
    inner: FakeOs,
    bytes: Vec<u8>,
    sleeps: AtomicU32,
}

impl Os for Late {
    fn path_kind(&self, path: &Path) -> io::Result<PathKind> {
        self.inner.path_kind(path)
    }

    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn OsFile>> {
        self.inner.open(path, access)
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
        if self.sleeps.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.inner.put(PATH, &self.bytes);
        }
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

fn read_late(sleeps: u32) -> (Vec<Vec<u8>>, Option<Error>, Vec<Vec<u8>>) {
    let (inner, bytes, records, ends) = sample(20);
    let mut seen = bytes.clone();
    seen[ends[12]..ends[14]].fill(0);
    inner.put(PATH, &seen);
    let late = Late { inner, bytes, sleeps: AtomicU32::new(sleeps) };
    let options = Options { read_only: true, ..Options::default() };
    let (found, error) = read_all(&FileJournal::open_on(Arc::new(late), PATH, &options).unwrap());
    (found, error, records)
}

#[test]
fn pages_that_come_late_are_waited_for() {
    for sleeps in 1..=5 {
        let (found, error, records) = read_late(sleeps);
        assert!(error.is_none(), "{sleeps} waits: {error:?}");
        assert_eq!(found, records);
    }
}

#[test]
fn pages_that_never_come_are_damage() {
    let (found, error, records) = read_late(100);
    assert!(matches!(error, Some(Error::Corrupt { seq: 12, .. })), "{error:?}");
    assert_eq!(found, records[..12]);
}

/// Under the lock nobody else is writing, so what looks like damage is damage, and the writer does not wait.
#[test]
fn a_writer_waits_for_no_pages() {
    let (os, bytes, _, ends) = sample(20);
    let mut seen = bytes;
    seen[ends[12]] ^= 1;
    os.put(PATH, &seen);
    let journal = open(&os).unwrap();
    let before = os.monotonic();
    assert!(matches!(crate::support::append(&journal, b"x"), Err(Error::Corrupt { seq: 12, .. })));
    assert_eq!(os.monotonic(), before);
    assert!(!journal.location().is_empty());
}
