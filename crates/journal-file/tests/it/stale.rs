//! A network client may answer a reader without the lock from a page that is older than the file's length, for as long
//! as nobody changes the file: seen over NFS version 3, where a reader said *damaged* of a log that was not.

use crate::support::{PATH, read_all, sample};
use std::sync::Arc;
use trialog_journal::{Error, Journal as _, Seq};
use trialog_journal_file::{FileJournal, Network, Options};
use trialog_testkit::FakeOs;

/// What a reader sees of a log of twenty records whose bytes from record 12 to `end` its machine has as zeros.
fn read_stale(end: usize, forgets: bool) -> (Vec<Vec<u8>>, Option<Error>, Vec<Vec<u8>>) {
    let (os, _, records, ends) = sample(20);
    let client = Arc::new(os.with_stale(ends[12] as u64..ends[end] as u64, forgets));
    let options = Options { read_only: true, network: Network::Network, ..Options::default() };
    let journal = FileJournal::open_on(Arc::<FakeOs>::clone(&client), PATH, &options).unwrap();
    let (found, error) = read_all(&journal);
    let asked = client.forget_calls();
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
