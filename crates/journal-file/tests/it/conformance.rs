//! The journal's contract, on this machine's files and on the machine in memory.

use crate::support::PATH;
use std::sync::Arc;
use trialog_journal::conformance::{self, Open};
use trialog_journal_file::{FileJournal, Network, Options};
use trialog_testkit::{FakeOs, Lie};

fn real_log(network: Network) -> Open {
    let folder = tempfile::tempdir().unwrap();
    let options = Options { network, ..Options::default() };
    Box::new(move || Ok(Box::new(FileJournal::open(folder.path().join("a.tlog"), &options)?)))
}

fn fake_log(lie: Option<Lie>) -> Open {
    let os = FakeOs::new();
    if let Some(lie) = lie {
        os.lie(lie);
    }
    // Its clock runs ahead of the threads that hold the lock.
    let options = Options { lock_wait_max: std::time::Duration::MAX, ..Options::default() };
    Box::new(move || Ok(Box::new(FileJournal::open_on(Arc::new(os.process(1)), PATH, &options)?)))
}

#[test]
fn real_files_conform() {
    conformance::run(&|| real_log(Network::Auto));
}

#[test]
fn real_files_with_synced_locks_conform() {
    conformance::run(&|| real_log(Network::Network));
}

#[test]
fn faked_files_conform() {
    conformance::run(&|| fake_log(None));
}

#[test]
fn random_walks_agree() {
    for seed in 0..100 {
        conformance::random_walk(&fake_log(None), seed).unwrap();
    }
}

/// The canary: without locks the suite must fail. A race may be won by chance, so it gets several attempts.
#[test]
fn locks_that_exclude_nobody_are_noticed() {
    let noticed = (0..20).any(|_| !conformance::failures(&|| fake_log(Some(Lie::LocksExcludeNobody))).is_empty());
    assert!(noticed, "the suite does not notice that locks do nothing");
}
