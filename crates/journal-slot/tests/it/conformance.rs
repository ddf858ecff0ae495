//! The contract of every journal, in a folder and in memory; and wrong stores, which are found out.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use trialog_journal::Journal;
use trialog_journal::conformance::{self, Open};
use trialog_journal_slot::object_store::memory::InMemory;
use trialog_journal_slot::{Options, SlotJournal};

#[test]
fn a_folder_keeps_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    let logs = AtomicU64::new(0);
    conformance::run(&|| {
        let path = folder.path().join(logs.fetch_add(1, Ordering::Relaxed).to_string());
        Box::new(move || Ok(Box::new(SlotJournal::open_folder(&path, Options::default())?) as Box<dyn Journal>))
    });
}

fn in_memory() -> Open {
    let store = Arc::new(InMemory::new());
    Box::new(move || {
        let store = Arc::clone(&store);
        Ok(Box::new(SlotJournal::open_store(store, "some/prefix", "memory", Options::default())?)
            as Box<dyn Journal>)
    })
}

#[test]
fn a_store_keeps_the_contract() {
    conformance::run(&in_memory);
}

#[test]
fn random_walks() {
    for seed in 2..60 {
        conformance::random_walk(&in_memory(), seed).expect("it agrees with a list");
    }
}
