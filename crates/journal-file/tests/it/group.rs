//! Threads of one handle that come together share a lock round and a sync, and a failure.

use crate::support::{PATH, read_all};
use std::path::Path;
use std::sync::{Arc, Barrier};
use std::time::Duration;
use trialog_journal::{Durability, Error, Journal, Seq};
use trialog_journal_file::os::{Access, Os as _, OsFile};
use trialog_journal_file::{FileJournal, Options};
use trialog_testkit::{Call, Failure, FakeOs};

const THREADS: u8 = 8;

/// Lets `THREADS` threads append while another process holds the lock, and then lets go of it.
fn append_together(os: &FakeOs, journal: &FileJournal, before_release: impl FnOnce()) -> Vec<Result<Seq, Error>> {
    let holder: Arc<dyn OsFile> = os.process(9).open(Path::new(PATH), Access::Write).unwrap();
    assert!(holder.try_lock().unwrap());
    let ready = Barrier::new(usize::from(THREADS) + 1);
    let append = |i: u8| {
        ready.wait();
        journal.append(&[&[i; 3], &[i; 5]], Durability::Power)
    };
    let append = &append;
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|i| scope.spawn(move || append(i))).collect();
        ready.wait();
        // Long enough for the few instructions that are left until all stand in line.
        std::thread::sleep(Duration::from_millis(100));
        before_release();
        holder.unlock().unwrap();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

fn fresh() -> (FakeOs, FileJournal) {
    let os = FakeOs::new();
    // The faked clock runs while the leader asks for the lock.
    let options = Options { lock_wait_max: Duration::MAX, ..Options::default() };
    let journal = FileJournal::open_on(Arc::new(os.process(1)), PATH, &options).unwrap();
    (os, journal)
}

fn count(os: &FakeOs, call: Call) -> usize {
    os.calls().iter().filter(|&&other| other == call).count()
}

#[test]
fn threads_share_rounds_and_syncs() {
    let (os, journal) = fresh();
    let before = [Call::WriteAt, Call::SyncData].map(|call| count(&os, call));
    let results = append_together(&os, &journal, || {});
    let mut firsts: Vec<u64> = results.into_iter().map(|result| result.unwrap().0).collect();
    let records = read_all(&journal).0;
    for (i, &first) in firsts.iter().enumerate() {
        let i = i as u8;
        assert_eq!(records[first as usize..][..2], [vec![i; 3], vec![i; 5]]);
    }
    firsts.sort_unstable();
    assert!(firsts.iter().copied().eq((0..u64::from(THREADS)).map(|i| 2 * i)));
    let after = [Call::WriteAt, Call::SyncData].map(|call| count(&os, call));
    assert!(after[0] - before[0] <= 4, "{} writes for {THREADS} threads", after[0] - before[0]);
    assert!(after[1] - before[1] <= 4, "{} syncs for {THREADS} threads", after[1] - before[1]);
}

#[test]
fn threads_share_a_failure() {
    const EIO: i32 = 5;
    for call in [Call::WriteAt, Call::SyncData] {
        let (os, journal) = fresh();
        journal.append(&[b"before"], Durability::Power).unwrap();
        let results = append_together(&os, &journal, || os.fail(Some(call), 0, Failure::Errno(EIO)));
        let told = |error: &Error| matches!(error, Error::Io { .. } | Error::Poisoned { .. });
        assert!(results.iter().all(|result| result.as_ref().is_err_and(told)), "{call:?}: {results:?}");
        assert!(matches!(journal.append(&[b"x"], Durability::Process), Err(Error::Poisoned { .. })));
    }
}
