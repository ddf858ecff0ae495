//! The faked machine forgets, excludes and fails as it says: the tests that lean on it prove nothing otherwise.

#![expect(clippy::unwrap_used, reason = "a test's panic is its report")]

mod sim;
mod threads;

use std::path::Path;
use std::sync::Arc;
use trialog_journal_file::os::{Access, Os as _, OsFile};
use trialog_testkit::{Call, Failure, FakeOs, Lie, Survival};

const PATH: &str = "/file";

fn open(os: &FakeOs) -> Arc<dyn OsFile> {
    os.open(Path::new(PATH), Access::Create).unwrap()
}

/// A file with two bytes that are synced and two that are not.
fn half_synced() -> (FakeOs, Arc<dyn OsFile>) {
    let os = FakeOs::new();
    let file = open(&os);
    os.sync_dir(Path::new("/")).unwrap();
    file.write_at(0, b"ab").unwrap();
    file.sync_data().unwrap();
    file.write_at(2, b"cd").unwrap();
    (os, file)
}

#[test]
fn a_loss_of_power_takes_what_was_not_synced() {
    for (survival, expected) in
        [(Survival::Nothing, &b"ab"[..]), (Survival::Everything, b"abcd"), (Survival::Lengths, b"ab\0\0")]
    {
        let (os, file) = half_synced();
        assert_eq!(os.file(PATH).unwrap(), b"abcd");
        os.power_cut(survival);
        assert_eq!(os.file(PATH).unwrap(), expected, "{survival:?}");
        assert!(file.stat().is_err(), "a descriptor outlived its machine");
        assert!(open(&os).try_lock().unwrap());
    }
}

#[test]
fn a_loss_of_power_takes_any_sectors() {
    let mut outcomes = std::collections::BTreeSet::new();
    for seed in 0..100 {
        let os = FakeOs::new();
        let file = open(&os);
        os.sync_dir(Path::new("/")).unwrap();
        file.write_at(500, &[1; 600]).unwrap();
        os.power_cut(Survival::Some(seed));
        let bytes = os.file(PATH).unwrap();
        outcomes.insert([505, 600, 1050].map(|at| bytes.get(at) == Some(&1)));
    }
    assert_eq!(outcomes.len(), 8, "three sectors come in eight ways");
}

#[test]
fn a_name_that_was_not_synced_may_go() {
    let os = FakeOs::new();
    open(&os).sync_data().unwrap();
    os.power_cut(Survival::Nothing);
    assert_eq!(os.file(PATH), None);
}

#[test]
fn a_failed_sync_loses_what_it_did_not_sync() {
    let (os, file) = half_synced();
    os.fail(Some(Call::SyncData), 0, Failure::Errno(5));
    assert!(file.sync_data().is_err());
    file.sync_data().unwrap();
    assert_eq!(os.file(PATH).unwrap(), b"abcd", "it is still to be seen");
    os.power_cut(Survival::Everything);
    assert_eq!(os.file(PATH).unwrap(), b"ab", "the second sync lied, as it does");
}

#[test]
fn locks_exclude_descriptors_and_end_with_them() {
    let os = FakeOs::new();
    let (first, second) = (open(&os), open(&os.process(2)));
    assert!(first.try_lock().unwrap() && first.try_lock().unwrap());
    assert!(!second.try_lock().unwrap());
    assert_eq!(second.lock_holder().unwrap(), "process 1");
    second.unlock().unwrap();
    assert!(!second.try_lock().unwrap(), "one descriptor freed another's lock");
    drop(first);
    assert!(second.try_lock().unwrap());
}

#[test]
fn a_killed_process_does_nothing_more() {
    let os = FakeOs::new();
    let (first, second) = (open(&os), open(&os.process(2)));
    assert!(first.try_lock().unwrap());
    os.fail(Some(Call::WriteAt), 0, Failure::Kill(1));
    assert!(first.write_at(0, b"abc").is_err());
    assert_eq!(os.file(PATH).unwrap(), b"a");
    assert!(first.write_at(0, b"abc").is_err() && first.sync_data().is_err());
    assert!(second.try_lock().unwrap());
}

#[test]
fn faults_strike_where_they_were_ordered() {
    let os = FakeOs::new();
    let file = open(&os);
    os.fail(Some(Call::WriteAt), 1, Failure::Errno(28));
    os.fail(Some(Call::WriteAt), 2, Failure::Short(2));
    let writes: Vec<Option<usize>> = (0..4).map(|_| file.write_at(0, b"abcd").ok()).collect();
    assert_eq!(writes, [Some(4), None, Some(2), Some(4)]);
    assert!(os.heal());
    os.fail(Some(Call::Truncate), 0, Failure::Errno(5));
    assert!(!os.heal(), "a fault that never struck is told");
    os.fail_for_good(None, 1, Failure::Errno(5));
    assert!(file.stat().is_ok() && file.stat().is_err() && file.sync_data().is_err());
    assert_eq!(os.durable_steps(), 1);
}

#[test]
fn lies_are_told_until_they_are_not() {
    let (os, file) = half_synced();
    os.lie(Lie::SyncsDoNothing);
    file.sync_data().unwrap();
    os.power_cut(Survival::Nothing);
    assert_eq!(os.file(PATH).unwrap(), b"ab");
    os.lie(Lie::LocksExcludeNobody);
    let (first, second) = (open(&os), open(&os));
    assert!(first.try_lock().unwrap() && second.try_lock().unwrap());
    os.lie_no_more();
    assert!(!second.try_lock().unwrap());
}
