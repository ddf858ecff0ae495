//! Snapshots, compactions, and space that is given back.

use std::time::Duration;

use trialog_journal::{Durability, Error, History, Journal, Seq};

use crate::support::{append, open, read};

#[test]
fn a_snapshot_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.redb");
    let journal = open(&path).unwrap();
    assert!(journal.load_snapshot().is_none());
    for number in 0..9 {
        append(&journal, &[number], Durability::Process);
    }
    let large: Vec<u8> = (0..3_500_000_u32).map(|i| (i >> 3) as u8).collect();
    assert!(journal.save_snapshot(Seq(9), &mut |sink| large.chunks(777).try_for_each(&mut *sink)).unwrap());
    assert!(!journal.save_snapshot(Seq(9), &mut |sink| sink(b"no newer")).unwrap());
    append(&journal, b"more", Durability::Process);
    drop(journal);
    let journal = open(&path).unwrap();
    assert!(journal.load_snapshot().unwrap() == (Seq(9), large));
    assert_eq!(read(&journal, 9).unwrap(), [b"more"]);
    assert_eq!(read(&journal, 0).unwrap().len(), 10);
}

#[test]
fn a_compaction_gives_records_and_space_up() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.redb");
    let journal = open(&path).unwrap();
    for _ in 0..20_000 {
        append(&journal, &[7; 200], Durability::Process);
    }
    let before = journal.extent().unwrap();
    assert_eq!((before.snapshot_bytes, before.record_bytes), (0, 4_000_000));
    assert!(journal.compact(Seq(20_000), &mut |sink| sink(b"base"), History::Folded).unwrap());
    assert!(!journal.compact(Seq(20_000), &mut |sink| sink(b"base"), History::Folded).unwrap());
    append(&journal, b"more", Durability::Power);
    let long = std::fs::metadata(&path).unwrap().len();
    journal.reclaim(Duration::from_secs(3600)).unwrap();
    assert_eq!(read(&journal, 0).unwrap().len(), 20_001, "the grace is not over");
    journal.reclaim(Duration::ZERO).unwrap();
    let short = std::fs::metadata(&path).unwrap().len();
    assert!(short * 2 < long, "{short} of {long} bytes");
    let after = journal.extent().unwrap();
    assert_eq!((after.snapshot_bytes, after.record_bytes), (4, 4));
    drop(journal);
    let journal = open(&path).unwrap();
    assert!(matches!(read(&journal, 0), Err(Error::Folded { asked: 0, first: 20_000, .. })));
    assert_eq!(journal.load_base().unwrap(), Some((Seq(20_000), b"base".to_vec())));
    assert_eq!(read(&journal, 20_000).unwrap(), [b"more"]);
    assert_eq!(append(&journal, b"on", Durability::Power), 20_001);
}

#[test]
fn kept_history_stays() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(&folder.path().join("a.redb")).unwrap();
    append(&journal, b"one", Durability::Process);
    assert!(journal.compact(Seq(1), &mut |sink| sink(b"kept"), History::Kept).unwrap());
    journal.reclaim(Duration::ZERO).unwrap();
    assert_eq!(read(&journal, 0).unwrap().len(), 1);
    assert_eq!(journal.load_base().unwrap(), None);
}
