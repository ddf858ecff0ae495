//! Optuna's locks: their names, who waits for whom, and what becomes of one that was left behind.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use trialog_journal::{Durability, Error, Journal};
use trialog_journal_optuna::{LockKind, Options, OptunaFile};

const GRACE: Duration = Duration::from_millis(400);

fn open(path: &Path, lock: LockKind, wait_ms: u64) -> OptunaFile {
    let lock_wait_max = Duration::from_millis(wait_ms);
    OptunaFile::open(path, &Options { lock, grace: GRACE, lock_wait_max, ..Options::default() }).unwrap()
}

const KINDS: [LockKind; 2] = [LockKind::Symlink, LockKind::Open];

fn append(journal: &OptunaFile) -> Result<(), Error> {
    journal.append(&[b"{}"], Durability::Process).map(drop)
}

/// Makes a lock as Optuna would, and leaves it.
fn leave(kind: LockKind, journal: &Path, target: &Path) {
    let lock = format!("{}.lock", journal.display());
    match kind {
        LockKind::Symlink => std::os::unix::fs::symlink(target, lock).unwrap(),
        LockKind::Open => fs::write(lock, b"").unwrap(),
    }
}

#[test]
fn a_lock_of_either_kind_is_waited_for_and_named() {
    for theirs in KINDS {
        for ours in KINDS {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("journal.log");
            let journal = open(&path, ours, 100);
            append(&journal).unwrap();
            leave(theirs, &path, &path);
            let error = append(&journal).unwrap_err();
            assert!(matches!(&error, Error::Locked { .. }), "{error}");
            assert!(error.to_string().contains("journal.log"));
            fs::remove_file(folder.path().join("journal.log.lock")).unwrap();
            append(&journal).unwrap();
            let names: Vec<_> =
                fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
            assert_eq!(names, ["journal.log"], "a lock was left behind");
        }
    }
}

/// Also where a link of Optuna's leads nowhere, as it does for a relative path with a folder in it: Optuna itself would
/// wait for ever there.
#[test]
fn a_lock_that_was_left_behind_is_removed_after_the_grace_period() {
    for (kind, target) in
        [(LockKind::Symlink, "journal.log"), (LockKind::Symlink, "folder/journal.log"), (LockKind::Open, "")]
    {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.log");
        let journal = open(&path, LockKind::Symlink, 20_000);
        append(&journal).unwrap();
        leave(kind, &path, Path::new(target));
        let start = Instant::now();
        append(&journal).unwrap();
        assert!(start.elapsed() >= GRACE, "a living lock was broken after {:?}", start.elapsed());
        assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    }
}

/// Others who write show that somebody is at work, whoever holds the lock right now.
#[test]
fn progress_keeps_a_lock_alive() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.log");
    let journal = open(&path, LockKind::Symlink, 1500);
    append(&journal).unwrap();
    leave(LockKind::Open, &path, &path);
    let over = std::sync::atomic::AtomicBool::new(false);
    let error = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(std::sync::atomic::Ordering::Relaxed) {
                let file = fs::OpenOptions::new().append(true).open(&path).unwrap();
                file.set_modified(std::time::SystemTime::now()).unwrap();
                std::thread::sleep(Duration::from_millis(50));
            }
        });
        let error = append(&journal).unwrap_err();
        over.store(true, std::sync::atomic::Ordering::Relaxed);
        error
    });
    assert!(matches!(&error, Error::Locked { .. }), "{error}");
}

/// While the lock is held, Optuna finds its age through the link, also by a relative path from elsewhere.
#[test]
fn our_link_leads_to_the_journal() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.log");
    let journal = open(&path, LockKind::Symlink, 20_000);
    let lock = folder.path().join("journal.log.lock");
    let over = std::sync::atomic::AtomicBool::new(false);
    let seen = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(std::sync::atomic::Ordering::Relaxed) {
                append(&journal).unwrap();
            }
        });
        let start = Instant::now();
        let seen = loop {
            match fs::read_link(&lock) {
                Ok(target) => break Some(target),
                Err(_) if start.elapsed() > Duration::from_secs(20) => break None,
                Err(_) => {}
            }
        };
        over.store(true, std::sync::atomic::Ordering::Relaxed);
        seen
    });
    assert_eq!(seen.as_deref(), Some(Path::new("journal.log")));
}
