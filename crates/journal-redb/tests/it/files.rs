//! The contract in both modes, and files that are not what they should be.

use std::sync::atomic::{AtomicU64, Ordering};

use trialog_journal::conformance::{self, Open};
use trialog_journal::{Durability, Error, Journal};
use trialog_journal_redb::{Options, RedbJournal};

use crate::support::{append, open, open_shared, read};

fn conforms(multi_writer: bool) {
    let folder = tempfile::tempdir().unwrap();
    let logs = AtomicU64::new(0);
    conformance::run(&|| {
        let path = folder.path().join(format!("{}.redb", logs.fetch_add(1, Ordering::Relaxed)));
        let options = Options { multi_writer, ..Options::default() };
        Box::new(move || Ok(Box::new(RedbJournal::open(&path, options)?) as Box<dyn Journal>))
    });
}

#[test]
fn the_journal_keeps_its_contract() {
    conforms(false);
}

#[test]
fn the_journal_keeps_its_contract_in_multi_writer_mode() {
    conforms(true);
}

#[test]
fn random_walks() {
    let folder = tempfile::tempdir().unwrap();
    for seed in 2..12 {
        let path = folder.path().join(format!("{seed}.redb"));
        let open: Open = Box::new(move || Ok(Box::new(open(&path)?) as Box<dyn Journal>));
        conformance::random_walk(&open, seed).unwrap();
    }
}

/// The canary: each handle has a file of its own.
#[test]
fn handles_on_different_files_are_found_out() {
    let folder = tempfile::tempdir().unwrap();
    let logs = AtomicU64::new(0);
    let failures = conformance::failures(&|| {
        let folder = folder.path().to_owned();
        let start = logs.fetch_add(1_000, Ordering::Relaxed);
        let next = AtomicU64::new(start);
        Box::new(move || {
            let path = folder.join(format!("{}.redb", next.fetch_add(1, Ordering::Relaxed)));
            Ok(Box::new(open(&path)?) as Box<dyn Journal>)
        })
    });
    assert!(failures.len() > 5, "{failures:?}");
}

#[test]
fn a_log_comes_back_after_it_was_closed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.redb");
    let journal = open(&path).unwrap();
    append(&journal, b"told", Durability::Power);
    append(&journal, b"progress", Durability::Process);
    drop(journal);
    let journal = open(&path).unwrap();
    assert_eq!(read(&journal, 0).unwrap(), [&b"told"[..], b"progress"]);
    assert_eq!(append(&journal, b"more", Durability::Process), 2);
}

#[test]
fn what_is_no_log_is_refused_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.redb");
    std::fs::write(&path, b"a diary, and private").unwrap();
    assert!(matches!(open(&path), Err(Error::NotALog { .. })));
    assert_eq!(std::fs::read(&path).unwrap(), b"a diary, and private");
    assert!(matches!(open(folder.path()), Err(Error::NotALog { .. })));
    let missing = Options { create: false, ..Options::default() };
    assert!(matches!(RedbJournal::open(folder.path().join("b.redb"), missing), Err(Error::NotFound { .. })));
    // A database of somebody else.
    let path = folder.path().join("c.redb");
    let db = redb::Database::create(&path).unwrap();
    let txn = db.begin_write().unwrap();
    txn.open_table(redb::TableDefinition::<u64, u64>::new("mine")).unwrap();
    txn.commit().unwrap();
    drop(db);
    assert!(matches!(open(&path), Err(Error::NotALog { .. })));
}

#[test]
fn a_changed_record_is_damage_at_its_place() {
    const RECORDS: redb::TableDefinition<'_, u64, &[u8]> = redb::TableDefinition::new("records");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.redb");
    let journal = open(&path).unwrap();
    for number in 0..9 {
        append(&journal, &[number], Durability::Power);
    }
    drop(journal);
    let db = redb::Database::open(&path).unwrap();
    let txn = db.begin_write().unwrap();
    let chain = txn.open_table(RECORDS).unwrap().remove(5).unwrap().unwrap().value()[..4].to_vec();
    txn.open_table(RECORDS).unwrap().insert(5, [&chain[..], b"x"].concat().as_slice()).unwrap();
    txn.commit().unwrap();
    drop(db);
    let journal = open(&path).unwrap();
    assert!(matches!(read(&journal, 0), Err(Error::Corrupt { seq: 5, .. })));
    assert_eq!(read(&journal, 7).unwrap().len(), 2);
}

#[test]
fn both_modes_in_one_process_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.redb");
    let _journal = open(&path).unwrap();
    assert!(matches!(open_shared(&path), Err(Error::Unsupported { .. })));
}

#[test]
fn threads_share_transactions() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(&folder.path().join("a.redb")).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..8_u8 {
            let journal = &journal;
            scope.spawn(move || {
                for number in 0..50 {
                    append(journal, &[thread, number], Durability::Power);
                }
            });
        }
    });
    assert_eq!(read(&journal, 0).unwrap().len(), 400);
}
