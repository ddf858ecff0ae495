//! A reader without the lock may see a write's pages in any order. What looks like damage then is none a moment later.

use crate::support::{PATH, open, read_all, sample};
use std::sync::Arc;
use trialog_journal::{Error, Journal};
use trialog_journal_file::os::Os as _;
use trialog_journal_file::{FileJournal, Options};

/// Reads a log whose file gets its right bytes at the so-manieth wait.
fn read_late(sleeps: u32) -> (Vec<Vec<u8>>, Option<Error>, Vec<Vec<u8>>) {
    let (os, bytes, records, ends) = sample(20);
    let mut seen = bytes.clone();
    seen[ends[12]..ends[14]].fill(0);
    os.put(PATH, &seen);
    os.put_late(sleeps, PATH, &bytes);
    let options = Options { read_only: true, ..Options::default() };
    let (found, error) = read_all(&FileJournal::open_on(Arc::new(os), PATH, &options).unwrap());
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
