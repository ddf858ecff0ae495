//! The same properties where there is no operating system in between: threads on one journal, in memory and on a file.

use proptest::prelude::*;
use std::ops::ControlFlow;
use std::sync::Arc;
use trialog_codec::decode_record;
use trialog_journal::{Durability, Journal, MemoryJournal, Seq};
use trialog_journal_file::{FileJournal, Options};
use trialog_ops::{Direction, Op, StudyId, Timestamp, TrialId};
use trialog_replay::State;
use trialog_storage::Storage;
use trialog_testkit::FakeOs;

/// A journal that several storages of one process share.
struct Shared(Arc<dyn Journal>);

impl Journal for Shared {
    fn append(&self, records: &[&[u8]], durability: Durability) -> Result<Seq, trialog_journal::Error> {
        self.0.append(records, durability)
    }

    fn read(&self, from: Seq, visit: &mut trialog_journal::Visitor<'_>) -> Result<Seq, trialog_journal::Error> {
        self.0.read(from, visit)
    }

    fn location(&self) -> &str {
        self.0.location()
    }
}

/// `threads` threads on each of `storages` storages commit at the same time; returns how many records were acknowledged.
fn work(journals: &[Arc<dyn Journal>], threads: usize, commits: usize) -> (Vec<Storage>, u64) {
    let storages: Vec<Storage> =
        journals.iter().map(|journal| Storage::new(Box::new(Shared(Arc::clone(journal)))).unwrap()).collect();
    let acknowledged: u64 = std::thread::scope(|scope| {
        let handles: Vec<_> = (0..threads * storages.len())
            .map(|thread| {
                let storage = &storages[thread % storages.len()];
                scope.spawn(move || {
                    let mut acknowledged = 0;
                    for round in 0..commits {
                        let durability = [Durability::Process, Durability::Power][(thread + round) % 2];
                        let ops = ops(thread, round);
                        let count = ops.len();
                        let verdicts = storage.commit(ops, durability).unwrap();
                        assert_eq!(verdicts.len(), count, "verdicts of another commit");
                        acknowledged += 1;
                        if round % 3 == 0 {
                            storage.refresh().unwrap();
                        }
                    }
                    acknowledged
                })
            })
            .collect();
        handles.into_iter().map(|handle| handle.join().unwrap()).sum()
    });
    (storages, acknowledged)
}

fn ops(thread: usize, round: usize) -> Vec<Op> {
    let study = StudyId((thread % 2) as u32);
    match round % 4 {
        0 => vec![Op::CreateStudy {
            name: format!("study {}", thread % 3),
            directions: vec![Direction::Minimize],
            config: None,
        }],
        1 => vec![Op::CreateTrial { study, start: Timestamp(round as i64) }; 2],
        _ => vec![Op::Report {
            trial: TrialId((thread + round) as u64 % 7),
            step: round as u64,
            value: thread as f64,
        }],
    }
}

/// Every storage is in the state that the log makes, and the log has every acknowledged record once and no others.
fn check(journal: &dyn Journal, storages: &[Storage], acknowledged: u64) {
    let mut state = State::new();
    let mut seen = std::collections::BTreeSet::new();
    let end = journal
        .read(Seq(0), &mut |_, bytes| {
            assert!(seen.insert(bytes.to_vec()), "a record is there twice");
            state.apply(&decode_record(bytes).unwrap(), &mut Vec::new());
            ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(end.0, acknowledged);
    for storage in storages {
        storage.refresh().unwrap();
        assert_eq!(storage.digest(), state.digest());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn threads_agree_in_memory(storages in 1_usize..4, threads in 1_usize..4, commits in 1_usize..25) {
        let journal: Arc<dyn Journal> = Arc::new(MemoryJournal::new());
        let (storages, acknowledged) = work(&vec![Arc::clone(&journal); storages], threads, commits);
        check(&*journal, &storages, acknowledged);
    }

    #[test]
    fn threads_and_handles_agree_on_a_file(handles in 1_usize..4, threads in 1_usize..4, commits in 1_usize..25) {
        let os = FakeOs::new();
        let open = |process: usize| -> Arc<dyn Journal> {
            let os = Arc::new(os.process(process as u32 + 1));
            Arc::new(FileJournal::open_on(os, "/log", &Options::default()).unwrap())
        };
        let journals: Vec<Arc<dyn Journal>> = (0..handles).map(open).collect();
        let (storages, acknowledged) = work(&journals, threads, commits);
        check(&*journals[0], &storages, acknowledged);
        check(&*open(99), &storages, acknowledged);
    }
}
