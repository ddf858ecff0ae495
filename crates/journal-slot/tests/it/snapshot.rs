//! Snapshots, compactions, segments, and space that is given back.

use std::sync::Arc;
use std::time::Duration;

use trialog_journal::conformance::records as read;
use trialog_journal::{Durability, Error, History, Journal, Seq};
use trialog_journal_slot::object_store::memory::InMemory;
use trialog_journal_slot::{Options, SlotJournal};

fn open(store: &Arc<InMemory>) -> SlotJournal {
    SlotJournal::open_store(Arc::clone(store) as _, "", "memory", Options::default()).expect("it opens")
}

fn append(journal: &SlotJournal, record: &[u8]) -> u64 {
    journal.append(&[record], Durability::Power).expect("it appends").0
}

#[test]
fn a_snapshot_comes_back() {
    let store = Arc::new(InMemory::new());
    let journal = open(&store);
    assert!(journal.load_snapshot().is_none());
    for number in 0..9 {
        append(&journal, &[number]);
    }
    let large: Vec<u8> = (0..3_500_000_u32).map(|i| (i >> 3) as u8).collect();
    assert!(journal.save_snapshot(Seq(9), &mut |sink| large.chunks(777).try_for_each(&mut *sink)).unwrap());
    assert!(!journal.save_snapshot(Seq(9), &mut |sink| sink(b"no newer")).unwrap());
    append(&journal, b"more");
    let journal = open(&store);
    assert!(journal.load_snapshot().unwrap() == (Seq(9), large));
    assert_eq!(read(&journal, 9).unwrap(), [b"more"]);
    assert_eq!(read(&journal, 0).unwrap().len(), 10);
}

/// Positions within an append's records, too.
#[test]
fn a_snapshot_may_end_within_an_append() {
    let store = Arc::new(InMemory::new());
    let journal = open(&store);
    journal.append(&[b"a", b"b", b"c"], Durability::Process).unwrap();
    assert!(journal.compact(Seq(2), &mut |sink| sink(b"two"), History::Folded).unwrap());
    journal.reclaim(Duration::ZERO).unwrap();
    let journal = open(&store);
    assert_eq!(journal.load_snapshot().unwrap(), (Seq(2), b"two".to_vec()));
    assert_eq!(read(&journal, 2).unwrap(), [b"c"]);
}

#[test]
fn a_compaction_gives_records_up() {
    let store = Arc::new(InMemory::new());
    let (journal, other) = (open(&store), open(&store));
    for number in 0..1_000_u32 {
        append(&journal, &number.to_le_bytes());
    }
    assert_eq!(read(&other, 0).unwrap().len(), 1_000);
    let before = journal.extent().unwrap();
    assert_eq!((before.snapshot_bytes, before.record_bytes), (0, 5_000));
    assert!(journal.compact(Seq(900), &mut |sink| sink(b"base"), History::Folded).unwrap());
    assert!(!journal.compact(Seq(900), &mut |sink| sink(b"base"), History::Folded).unwrap());
    journal.reclaim(Duration::from_secs(3600)).unwrap();
    assert_eq!(read(&open(&store), 0).unwrap().len(), 1_000, "the grace is not over");
    journal.reclaim(Duration::ZERO).unwrap();
    journal.reclaim(Duration::ZERO).unwrap();
    let after = journal.extent().unwrap();
    assert_eq!((after.snapshot_bytes, after.record_bytes), (4, 500));
    let late = open(&store);
    assert!(matches!(read(&late, 0), Err(Error::Folded { asked: 0, first: 900, .. })), "{:?}", read(&late, 0));
    assert_eq!(late.load_base().unwrap(), Some((Seq(900), b"base".to_vec())));
    assert_eq!(read(&late, 900).unwrap().len(), 100);
    // A handle that opens without reading finds the end over the emptied slots.
    assert_eq!(append(&open(&store), b"on"), 1_000);
    assert_eq!(append(&other, b"on"), 1_001);
    assert_eq!(read(&late, 999).unwrap().len(), 3);
}

#[test]
fn kept_history_stays() {
    let store = Arc::new(InMemory::new());
    let journal = open(&store);
    append(&journal, b"one");
    append(&journal, b"two");
    assert!(journal.compact(Seq(2), &mut |sink| sink(b"kept"), History::Kept).unwrap());
    journal.reclaim(Duration::ZERO).unwrap();
    assert_eq!(read(&open(&store), 0).unwrap().len(), 2);
    assert_eq!(journal.load_base().unwrap(), None);
}

/// Segments stand for slots that were emptied, wherever reading begins.
#[test]
fn segments_stand_for_slots() {
    let store = Arc::new(InMemory::new());
    let journal = open(&store);
    for number in 0..1_500_u32 {
        append(&journal, &number.to_le_bytes());
    }
    journal.reclaim(Duration::ZERO).unwrap();
    for from in [0, 1, 255, 256, 257, 700, 1_023, 1_024, 1_499] {
        for journal in [&open(&store), &journal] {
            let records = read(journal, from).unwrap();
            assert_eq!(records.len() as u64, 1_500 - from);
            assert_eq!(records[0], (from as u32).to_le_bytes());
        }
    }
    assert_eq!(append(&open(&store), b"on"), 1_500);
}
