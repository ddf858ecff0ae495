//! Compaction as users see it: less space, the same studies, and nobody is disturbed.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::time::{Duration, Instant};

use trialog::{DurabilityLevel, OpenOptions, Storage, TrialState};
use trialog_journal::{Durability, History, Journal as _};
use trialog_journal_file::FileJournal;
use trialog_ops::{Direction, Op, StudyId, Timestamp};
use trialog_storage::{Compaction, Snapshots};

use crate::processes::{Worker, check_told, take_in};
use crate::support::{count, parabola, place};

fn fast() -> OpenOptions {
    OpenOptions::new().durability(DurabilityLevel::Never)
}

fn fill(storage: &Storage, name: &str, n: usize) {
    storage.study(name).seed(1).load_or_create().unwrap().optimize(n, parabola).unwrap();
}

/// What the files of a folder take on the disk.
#[cfg(unix)]
fn space(path: &str) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    let folder = std::path::Path::new(path).parent().unwrap();
    let files = std::fs::read_dir(folder).unwrap();
    files.map(|file| file.unwrap().metadata().unwrap().blocks() * 512).sum()
}

#[test]
#[cfg(target_os = "linux")]
fn a_deleted_study_frees_its_space() {
    let (_folder, path) = place();
    let storage = fast().open(&path).unwrap();
    fill(&storage, "kept", 10);
    fill(&storage, "deleted", 1500);
    let before = space(&path);
    assert!(before > 200_000, "{before}");
    storage.delete_study("deleted").unwrap();
    let digest = storage.digest().unwrap();
    assert!(storage.compact().unwrap());
    assert!(space(&path) < before / 5, "{} bytes of {before} are left", space(&path));
    assert_eq!(storage.digest().unwrap(), digest);
    assert_eq!(trialog::open(&path).unwrap().digest().unwrap(), digest);
    assert_eq!(storage.study_names().unwrap(), ["kept"]);
}

#[test]
fn everybody_sees_the_same_before_and_after() {
    for keep_history in [true, false] {
        let (_folder, path) = place();
        let storage = fast().keep_history(keep_history).open(&path).unwrap();
        let other = fast().open(&path).unwrap();
        let viewer = OpenOptions::new().read_only(true).open(&path).unwrap();
        for round in 1..=3 {
            fill(&storage, "s", 40);
            let mut trial = other.study("s").load().unwrap().ask().unwrap();
            let digest = storage.digest().unwrap();
            assert!(storage.compact().unwrap(), "round {round}");
            assert!(!storage.compact().unwrap(), "nothing came since");
            let readers = [
                OpenOptions::new().read_only(true).open(&path).unwrap(),
                OpenOptions::new().snapshots(false).open(&path).unwrap(),
                fast().open(&path).unwrap(),
            ];
            for reader in readers.iter().chain([&storage, &other, &viewer]) {
                assert_eq!(reader.digest().unwrap(), digest, "round {round}, history kept: {keep_history}");
            }
            // A trial that was running goes on.
            let x = trial.suggest_float("x", -100.0..=100.0).unwrap();
            other.study("s").load().unwrap().tell(&trial, x).unwrap();
            assert_eq!(count(&viewer.study("s").load().unwrap(), TrialState::Complete), round * 41);
        }
        assert!(!viewer.compact().unwrap(), "a viewer changes nothing");
    }
}

/// Somebody who read nothing for two compactions goes on from the snapshot, and what it then does counts.
#[test]
fn whoever_slept_goes_on() {
    let (_folder, path) = place();
    let storage = fast().open(&path).unwrap();
    fill(&storage, "s", 100);
    let (sleeper, viewer) = (fast().open(&path).unwrap(), OpenOptions::new().read_only(true).open(&path).unwrap());
    for _ in 0..2 {
        fill(&storage, "s", 300);
        assert!(storage.compact().unwrap());
    }
    let study = sleeper.study("s").load().unwrap();
    study.optimize(5, parabola).unwrap();
    assert_eq!(storage.digest().unwrap(), sleeper.digest().unwrap());
    assert_eq!(storage.digest().unwrap(), viewer.digest().unwrap());
    assert_eq!(viewer.study("s").load().unwrap().trials().unwrap().len(), 705);
}

/// The policy by itself, with figures that a test reaches.
#[test]
fn a_log_that_grows_is_compacted_by_itself() {
    let (_folder, path) = place();
    let journal = || Box::new(FileJournal::open(&path, &trialog_journal_file::Options::default()).unwrap());
    let policy = Compaction::Auto { bytes_min: 200_000, growth: 2.0, history: History::Folded };
    let storage = trialog_storage::Storage::with_policies(journal(), Snapshots::Off, policy).unwrap();
    let commit = |op| storage.commit(vec![op], Durability::Process).unwrap();
    commit(Op::CreateStudy { name: "s".to_owned(), directions: vec![Direction::Minimize], config: None });
    let start = Instant::now();
    let later = format!("{path}.000002");
    while !std::path::Path::new(&later).exists() {
        assert!(start.elapsed() < Duration::from_secs(60), "nothing was compacted");
        commit(Op::CreateTrial { study: StudyId(0), start: Timestamp(1) });
    }
    let extent = journal().extent().unwrap();
    assert!(extent.snapshot_bytes > 0 && extent.record_bytes < 20_000_000, "{extent:?}");
    let again = trialog_storage::Storage::new(journal()).unwrap();
    storage.refresh().unwrap();
    assert_eq!(again.digest(), storage.digest());
}

/// Processes that work, and one that compacts all the time and is killed in the midst of it, again and again.
#[test]
fn a_killed_compactor_costs_nothing() {
    let (_folder, path) = place();
    let survivor = trialog::open(&path).unwrap();
    let study = survivor.study("shared").create().unwrap();
    let mut told: BTreeMap<u32, u64> = BTreeMap::new();
    let mut workers: Vec<Worker> = (0..2).map(|_| Worker::start("forever", &path)).collect();
    for round in 0..8_u64 {
        let mut compactor = Worker::start("compact", &path);
        compactor.read_until("compacted");
        std::thread::sleep(Duration::from_millis(7 * round + 1));
        compactor.child.kill().unwrap();
        compactor.child.wait().unwrap();
        study.optimize(2, parabola).unwrap();
    }
    for worker in &mut workers {
        assert!(worker.child.try_wait().unwrap().is_none(), "a worker ended by itself");
        take_in(worker.read_until("told ").last().unwrap(), &mut told);
        worker.child.kill().unwrap();
        worker.child.wait().unwrap();
        let mut rest = String::new();
        worker.out.read_to_string(&mut rest).unwrap();
        let whole = rest.rsplit_once('\n').map_or("", |(whole, _)| whole);
        whole.lines().filter(|line| line.starts_with("told ")).for_each(|line| take_in(line, &mut told));
    }
    assert!(told.len() > 20, "{}", told.len());
    check_told(&told, &study.trials().unwrap());
    assert!(survivor.compact().unwrap());
    assert_eq!(survivor.digest().unwrap(), trialog::open(&path).unwrap().digest().unwrap());
}

/// The canary: a log whose successor went back to an older state is noticed.
#[test]
fn a_successor_from_a_backup_is_noticed() {
    let (_folder, path) = place();
    let storage = trialog::open(&path).unwrap();
    fill(&storage, "s", 20);
    assert!(storage.compact().unwrap());
    let successor = format!("{path}.000001");
    let backup = std::fs::read(&successor).unwrap();
    fill(&storage, "s", 20);
    std::fs::write(&successor, backup).unwrap();
    assert!(storage.study("s").load().and_then(|study| study.optimize(1, parabola)).is_err());
    std::fs::write(&successor, [0; 10]).unwrap();
    assert!(trialog::open(&path).is_err_and(|error| error.is_corrupt()));
}
