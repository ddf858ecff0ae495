//! What the journal asks of the operating system, call by call: what an append costs, and in which order it
//! does what must be done in order.

use crate::support::{PATH, append, open, read_all};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;
use trialog_journal::{Durability, Error, Journal, Seq};
use trialog_journal_file::os::Os;
use trialog_journal_file::{FileJournal, Options};
use trialog_testkit::{Call, FakeOs};

fn calls_of<T>(os: &FakeOs, work: impl FnOnce() -> T) -> Vec<Call> {
    let before = os.calls().len();
    work();
    os.calls().split_off(before)
}

#[test]
fn an_append_costs_four_calls() {
    let os = FakeOs::new();
    let journal = open(&os).unwrap();
    append(&journal, b"first").unwrap();
    let calls = calls_of(&os, || append(&journal, b"second").unwrap());
    assert_eq!(calls, [Call::TryLock, Call::Bytes, Call::WriteAt, Call::Unlock]);
}

#[test]
fn a_local_sync_comes_after_the_lock_is_released() {
    let os = FakeOs::new();
    let journal = open(&os).unwrap();
    append(&journal, b"first").unwrap();
    let calls = calls_of(&os, || journal.append(&[b"second"], Durability::Power).unwrap());
    let expected = [Call::TryLock, Call::Bytes, Call::WriteAt, Call::Unlock, Call::SyncData, Call::Stat];
    assert_eq!(calls, expected);
}

#[test]
fn a_network_sync_comes_before_the_lock_is_released() {
    let os = FakeOs::new();
    os.mount_network(None);
    let journal = open(&os).unwrap();
    append(&journal, b"first").unwrap();
    // The reads see whether the server still has the end of the log that this handle knows.
    let reads = [Call::ReadAt; 2];
    let calls_on_network =
        [&[Call::TryLock, Call::Stat][..], &reads, &[Call::WriteAt, Call::SyncData, Call::Unlock]].concat();
    for durability in [Durability::Process, Durability::Power] {
        let calls = calls_of(&os, || journal.append(&[b"second"], durability).unwrap());
        assert_eq!(calls, calls_on_network);
    }
}

#[test]
fn reading_ones_own_record_back_asks_nothing() {
    let os = FakeOs::new();
    let journal = open(&os).unwrap();
    append(&open(&os).unwrap(), b"another's").unwrap();
    let own = append(&journal, b"own").unwrap();
    let mut seen = Vec::new();
    let calls = calls_of(&os, || {
        let visit = &mut |seq, record: &[u8]| {
            seen.push(record.to_vec());
            if seq == own { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        journal.read(Seq(0), visit).unwrap();
    });
    assert_eq!(calls, []);
    assert_eq!(seen, [b"another's".as_slice(), b"own"]);
}

#[test]
fn looking_for_news_costs_one_call_if_there_are_none() {
    let os = FakeOs::new();
    let journal = open(&os).unwrap();
    append(&journal, b"own").unwrap();
    let look = || calls_of(&os, || journal.read(Seq(1), &mut |_, _| unreachable!()).unwrap());
    assert_eq!(look(), [Call::Bytes], "whether the file has its name still is asked now and then only");
    os.sleep(Duration::from_millis(50));
    assert_eq!(look(), [Call::Stat]);
}

#[test]
fn the_name_is_durable_before_the_header_is_there() {
    let os = FakeOs::new();
    open(&os).unwrap();
    let calls = os.calls();
    let place = |call| calls.iter().position(|&other| other == call).unwrap();
    assert!(place(Call::SyncDir) < place(Call::WriteAt));
    assert!(place(Call::WriteAt) < place(Call::SyncData));
    assert!(place(Call::SyncData) < place(Call::Unlock));
}

#[test]
fn a_forked_child_opens_the_file_anew() {
    let os = Arc::new(FakeOs::new());
    let journal = FileJournal::open_on(Arc::<FakeOs>::clone(&os), PATH, &Options::default()).unwrap();
    append(&journal, b"parent").unwrap();
    os.fork(2);
    let calls = calls_of(&os, || {
        let error = append(&journal, b"child").unwrap_err();
        assert!(matches!(error, Error::Forked { .. }), "{error:?}");
    });
    assert!(calls.contains(&Call::Open) && !calls.contains(&Call::WriteAt), "{calls:?}");
    let calls = calls_of(&os, || append(&journal, b"child again").unwrap());
    // The parent's record was not synced, and is written again by who opened the file anew.
    assert_eq!(calls, [Call::TryLock, Call::Bytes, Call::WriteAt, Call::WriteAt, Call::Unlock]);
    assert_eq!(read_all(&journal).0.len(), 2);
}

#[test]
fn a_forked_child_does_not_take_another_file_for_its_log() {
    let os = Arc::new(FakeOs::new());
    let journal = FileJournal::open_on(Arc::<FakeOs>::clone(&os), PATH, &Options::default()).unwrap();
    append(&journal, b"parent").unwrap();
    os.remove(PATH);
    // Of the same length, so that nothing but its identity tells it from the child's own.
    append(&open(&os).unwrap(), b"rental").unwrap();
    let before = os.file(PATH).unwrap();
    os.fork(2);
    let error = append(&journal, b"child").unwrap_err();
    assert!(matches!(error, Error::Regressed { .. }), "{error:?}");
    assert_eq!(os.file(PATH).unwrap(), before);
}

/// More than the handle keeps in memory: early records come from the file, through the index.
#[test]
fn early_records_are_read_from_near_where_they_are() {
    let os = FakeOs::new();
    let journal = open(&os).unwrap();
    let records: Vec<Vec<u8>> = (0..30_000_u32).map(|i| i.to_le_bytes().repeat(30)).collect();
    for batch in records.chunks(500) {
        let slices: Vec<&[u8]> = batch.iter().map(Vec::as_slice).collect();
        journal.append(&slices, Durability::Process).unwrap();
    }
    for from in [0, 4095, 4096, 10_000, 25_000, 29_999] {
        let mut found = None;
        let calls = calls_of(&os, || {
            let visit = &mut |seq, record: &[u8]| {
                found = Some((seq, record.to_vec()));
                ControlFlow::Break(())
            };
            journal.read(Seq(from), visit).unwrap();
        });
        assert_eq!(found, Some((Seq(from), records[from as usize].clone())));
        assert!(calls.len() <= 8, "{from} took {} calls", calls.len());
    }
}
