//! Storage at its door: what a snapshot may change about a log's state is nothing.

#![expect(clippy::unwrap_used, reason = "a test's panic is its report")]

use std::io;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use trialog_journal::{Durability, Error, Journal, MemoryJournal, Seq, SnapshotSource, Visitor};
use trialog_ops::{Direction, FinalState, Op, SessionKey, StudyId, Timestamp, TrialId};
use trialog_replay::Verdict;
use trialog_storage::{Snapshots, Storage};

const OFTEN: Snapshots = Snapshots::Auto { records_min: 10, growth: 0.0 };

type Kept = Option<(Seq, Vec<u8>)>;

/// A journal in memory that keeps snapshots, as a file does.
#[derive(Clone, Default)]
struct Keeping {
    log: MemoryJournal,
    kept: Arc<Mutex<Kept>>,
    /// The next append finds that the process was forked.
    forked: Arc<AtomicBool>,
}

impl Journal for Keeping {
    fn append(&self, records: &[&[u8]], durability: Durability) -> Result<Seq, Error> {
        if self.forked.swap(false, Ordering::Relaxed) {
            return Err(Error::Forked { location: self.location().to_owned() });
        }
        self.log.append(records, durability)
    }

    fn read(&self, from: Seq, visit: &mut Visitor<'_>) -> Result<Seq, Error> {
        self.log.read(from, visit)
    }

    fn load_snapshot(&self) -> Option<(Seq, Vec<u8>)> {
        self.kept.lock().unwrap().clone()
    }

    fn save_snapshot(&self, at: Seq, source: &mut SnapshotSource<'_>) -> Result<bool, Error> {
        let mut bytes = Vec::new();
        let gathered = source(&mut |piece| {
            bytes.extend_from_slice(piece);
            io::Result::Ok(())
        });
        gathered.unwrap();
        *self.kept.lock().unwrap() = Some((at, bytes));
        Ok(true)
    }

    fn location(&self) -> &str {
        "keeping:"
    }
}

fn run_trials(storage: &Storage, n: u64) {
    if storage.view(StudyId(0)).is_none() {
        let directions = vec![Direction::Minimize];
        let op = Op::CreateStudy { name: "s".to_owned(), directions, config: None };
        assert_eq!(storage.commit(vec![op], Durability::Process).unwrap(), [Verdict::Study(StudyId(0))]);
    }
    for _ in 0..n {
        let begin = Op::CreateTrial { study: StudyId(0), start: Timestamp(1) };
        let verdicts = storage.commit(vec![begin], Durability::Process).unwrap();
        let [Verdict::Trial { id, number }] = *verdicts else { panic!("{verdicts:?}") };
        let (state, values) = (FinalState::Complete, vec![f64::from(number.0)]);
        let end = Op::FinishTrial { trial: id, state, values, end: Timestamp(2) };
        assert_eq!(storage.commit(vec![end], Durability::Process).unwrap(), [Verdict::Applied]);
    }
}

#[test]
fn a_storage_goes_on_from_its_snapshot() {
    let journal = Keeping::default();
    let first = Storage::with_snapshots(Box::new(journal.clone()), OFTEN).unwrap();
    run_trials(&first, 100);
    let (at, _) = journal.load_snapshot().unwrap();
    assert!((190..=201).contains(&at.0), "one is kept every ten records, the last at {at}");
    let second = Storage::with_snapshots(Box::new(journal.clone()), OFTEN).unwrap();
    let plain = Storage::new(Box::new(journal)).unwrap();
    assert_eq!(first.digest(), second.digest());
    assert_eq!(first.digest(), plain.digest());
    run_trials(&second, 10);
    first.refresh().unwrap();
    plain.refresh().unwrap();
    assert_eq!(first.digest(), second.digest());
    assert_eq!(first.digest(), plain.digest());
}

#[test]
fn without_a_policy_none_is_kept_or_used() {
    let journal = Keeping::default();
    run_trials(&Storage::new(Box::new(journal.clone())).unwrap(), 100);
    assert!(journal.load_snapshot().is_none());
}

#[test]
fn one_that_is_no_state_of_its_place_is_passed_over() {
    let journal = Keeping::default();
    let storage = Storage::with_snapshots(Box::new(journal.clone()), OFTEN).unwrap();
    run_trials(&storage, 100);
    let (at, bytes) = journal.load_snapshot().unwrap();
    let mut flipped = bytes.clone();
    flipped[bytes.len() / 2] ^= 4;
    for wrong in [(at, Vec::new()), (at, flipped), (Seq(at.0 - 1), bytes)] {
        *journal.kept.lock().unwrap() = Some(wrong);
        let again = Storage::with_snapshots(Box::new(journal.clone()), OFTEN).unwrap();
        assert_eq!(again.digest(), storage.digest());
    }
}

/// A state of its place, and of more records than the log has: what follows it cannot be read, and without it all can.
#[test]
fn one_that_leads_nowhere_is_passed_over() {
    let longer = Keeping::default();
    run_trials(&Storage::with_snapshots(Box::new(longer.clone()), OFTEN).unwrap(), 100);
    let journal = Keeping::default();
    let storage = Storage::new(Box::new(journal.clone())).unwrap();
    run_trials(&storage, 10);
    *journal.kept.lock().unwrap() = longer.load_snapshot();
    let again = Storage::with_snapshots(Box::new(journal.clone()), OFTEN).unwrap();
    assert_eq!(again.digest(), storage.digest());
    // The canary: the journal does say that the snapshot leads nowhere.
    let (at, _) = longer.load_snapshot().unwrap();
    assert!(journal.read(at, &mut |_, _| ControlFlow::Continue(())).is_err());
}

/// A record that no reader would take is refused before it is in the log, and the session goes on.
#[test]
fn what_cannot_be_read_is_not_written() {
    let storage = Storage::new(Box::new(MemoryJournal::new())).unwrap();
    run_trials(&storage, 1);
    let before = storage.digest();
    let bad = Op::SetConstraint { trial: TrialId(0), name: "c".to_owned(), value: f64::NAN };
    let error = storage.commit(vec![bad], Durability::Process).unwrap_err();
    assert!(matches!(error, trialog_storage::Error::Refused { .. }), "{error}");
    assert_eq!(storage.digest(), before);
    run_trials(&storage, 1);
    assert_eq!(storage.view(StudyId(0)).unwrap().trial_count(), 2);
}

/// Parent and child write on with the same memory. Were the child to keep the parent's sessions, its records would
/// be taken for repetitions of the parent's.
#[test]
fn a_forked_child_is_another_writer() {
    let journal = Keeping::default();
    let child = Storage::new(Box::new(journal.clone())).unwrap();
    run_trials(&child, 1);
    let sessions = |storage: &Storage| storage.with_state(|state| state.session_id(SessionKey(1)));
    assert_eq!(sessions(&child), None);
    journal.forked.store(true, Ordering::Relaxed);
    run_trials(&child, 1);
    assert!(sessions(&child).is_some());
    assert_eq!(child.view(StudyId(0)).unwrap().trial_count(), 2);
}
