//! A snapshot beside the log saves time, and can do nothing else: whatever happens to it, what is read is the log.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use trialog_journal::{Durability, Journal, Seq};
use trialog_journal_file::{FileJournal, Options};

/// Longer than what the handle keeps in memory at once would be a waste here; longer than one index step is not.
const RECORDS: u64 = 10_000;

fn open(path: &Path) -> FileJournal {
    FileJournal::open(path, &Options::default()).unwrap()
}

fn record(seq: u64) -> Vec<u8> {
    format!("record {seq}").into_bytes()
}

fn append(journal: &FileJournal, seqs: std::ops::Range<u64>) {
    for seq in seqs {
        assert_eq!(journal.append(&[&record(seq)], Durability::Process).unwrap(), Seq(seq));
    }
}

/// Reads from `from` on, and checks every record.
fn read(journal: &FileJournal, from: u64) -> u64 {
    let mut next = from;
    let end = journal.read(Seq(from), &mut |seq, bytes| {
        assert_eq!((seq.0, bytes), (next, record(next).as_slice()));
        next += 1;
        ControlFlow::Continue(())
    });
    assert_eq!(end.unwrap(), Seq(next));
    next
}

fn save(journal: &FileJournal, at: u64, content: &[u8]) -> bool {
    let mut source =
        |sink: &mut dyn FnMut(&[u8]) -> std::io::Result<()>| content.chunks(7).try_for_each(&mut *sink);
    journal.save_snapshot(Seq(at), &mut source).unwrap()
}

/// A log with a snapshot at half its length.
fn with_snapshot(folder: &Path) -> (PathBuf, PathBuf) {
    let path = folder.join("a.tlog");
    let journal = open(&path);
    append(&journal, 0..RECORDS / 2);
    assert!(save(&journal, RECORDS / 2, b"the state at half time"));
    append(&journal, RECORDS / 2..RECORDS);
    (path.clone(), path.with_file_name("a.tlog.snapshot"))
}

#[test]
fn reading_goes_on_from_the_snapshot() {
    let folder = tempfile::tempdir().unwrap();
    let (path, _) = with_snapshot(folder.path());
    let journal = open(&path);
    assert_eq!(journal.load_snapshot(), Some((Seq(RECORDS / 2), b"the state at half time".to_vec())));
    assert_eq!(read(&journal, RECORDS / 2), RECORDS);
    // What lies before it can still be read, from any place.
    for from in [0, 1, 4096, RECORDS / 2 - 1, RECORDS / 2 + 1, RECORDS - 1] {
        assert_eq!(read(&journal, from), RECORDS, "from {from}");
    }
    append(&journal, RECORDS..RECORDS + 3);
    assert_eq!(read(&open(&path), 0), RECORDS + 3);
}

#[test]
fn a_handle_that_only_reads_uses_it_and_keeps_none() {
    let folder = tempfile::tempdir().unwrap();
    let (path, snapshot) = with_snapshot(folder.path());
    let before = std::fs::read(&snapshot).unwrap();
    let journal = FileJournal::open(&path, &Options { read_only: true, ..Options::default() }).unwrap();
    assert!(journal.load_snapshot().is_some());
    assert_eq!(read(&journal, RECORDS / 2), RECORDS);
    assert!(!save(&journal, RECORDS, b"new"));
    assert_eq!(std::fs::read(&snapshot).unwrap(), before);
}

#[test]
fn one_is_kept_only_at_the_end_and_only_if_it_is_newer() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.tlog");
    let journal = open(&path);
    append(&journal, 0..10);
    assert!(!save(&journal, 9, b"old"), "records have come since");
    assert!(save(&journal, 10, b"ten"));
    assert!(!save(&journal, 10, b"ten again"));
    append(&journal, 10..20);
    assert!(save(&journal, 20, b"twenty"));
    assert_eq!(open(&path).load_snapshot(), Some((Seq(20), b"twenty".to_vec())));
    let names: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), 2, "the log and its snapshot, nothing else: {names:?}");
}

#[test]
fn a_handle_that_has_read_begins_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let (path, _) = with_snapshot(folder.path());
    let journal = open(&path);
    assert_eq!(read(&journal, 0), RECORDS);
    assert_eq!(journal.load_snapshot(), None);
}

/// Every cut and every flipped byte of the snapshot: none of them is taken for a snapshot, and the log is whole.
#[test]
fn a_damaged_one_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let (path, snapshot) = with_snapshot(folder.path());
    let good = std::fs::read(&snapshot).unwrap();
    let damaged = (0..good.len()).flat_map(|at| {
        let mut flipped = good.clone();
        flipped[at] ^= 1 << (at % 8);
        [good[..at].to_vec(), flipped]
    });
    for (index, bytes) in damaged.enumerate() {
        std::fs::write(&snapshot, &bytes).unwrap();
        assert_eq!(open(&path).load_snapshot(), None, "damage {index}");
    }
    assert_eq!(read(&open(&path), 0), RECORDS);
    std::fs::write(&snapshot, &good).unwrap();
    assert!(open(&path).load_snapshot().is_some(), "the test must be able to fail");
}

#[test]
fn one_of_another_log_or_of_a_longer_past_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let (path, snapshot) = with_snapshot(folder.path());
    let other = folder.path().join("other.tlog");
    append(&open(&other), 0..RECORDS);
    std::fs::copy(&snapshot, folder.path().join("other.tlog.snapshot")).unwrap();
    assert_eq!(open(&other).load_snapshot(), None, "another log's");

    // The log came back from a backup that is older than the snapshot, and has gone on since.
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() / 4]).unwrap();
    assert_eq!(open(&path).load_snapshot(), None, "shorter than the snapshot");
    let journal = open(&path);
    let kept = read(&journal, 0);
    for seq in kept..RECORDS {
        journal.append(&[format!("other {seq}").as_bytes()], Durability::Process).unwrap();
    }
    assert_eq!(open(&path).load_snapshot(), None, "another history");
}

/// A writer that died while it wrote leaves a file that the next one takes over.
#[test]
fn a_dead_writers_remains_are_taken_over() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.tlog");
    let journal = open(&path);
    append(&journal, 0..10);
    std::fs::write(folder.path().join("a.tlog.snapshot.new"), vec![7; 100_000]).unwrap();
    assert!(save(&journal, 10, b"ten"));
    assert_eq!(open(&path).load_snapshot(), Some((Seq(10), b"ten".to_vec())));
}

/// The table in the document, held against a file: each field stands where the document says.
#[test]
fn the_document_has_the_envelope() {
    let document = include_str!("../../../../docs/format.md");
    let (_, section) = document.split_once("\n## Snapshot\n").unwrap();
    let rows: Vec<Vec<&str>> = section
        .lines()
        .filter(|line| line.starts_with("| "))
        .map(|line| line.split('|').map(str::trim).collect())
        .collect();
    let folder = tempfile::tempdir().unwrap();
    let (path, snapshot) = with_snapshot(folder.path());
    let (bytes, log) = (std::fs::read(&snapshot).unwrap(), std::fs::read(&path).unwrap());
    let field = |name: &str| {
        let row = rows.iter().find(|row| row[3] == name).unwrap();
        let (at, length): (usize, usize) = (row[1].parse().unwrap(), row[2].parse().unwrap());
        &bytes[at..at + length]
    };
    let number = |name: &str| field(name).iter().rev().fold(0_u64, |sum, &byte| sum << 8 | u64::from(byte));
    let payload = b"the state at half time";
    assert_eq!(field("magic"), b"\x94TSNP\r\n\x1a");
    assert_eq!(field("log id"), &log[16..32]);
    assert_eq!((number("version"), number("seq"), number("length")), (1, RECORDS / 2, payload.len() as u64));
    let (last, offset) = (number("last") as usize, number("offset") as usize);
    assert_eq!(field("link"), &log[last..last + 4]);
    assert_eq!(log[offset + 8..offset + 16], (RECORDS / 2).to_le_bytes(), "the next frame begins at `offset`");
    assert_eq!(number("payload crc"), u64::from(crc32fast::hash(payload)));
    assert_eq!(number("crc"), u64::from(crc32fast::hash(&bytes[..68])));
    assert_eq!(&bytes[72..], payload);
}
