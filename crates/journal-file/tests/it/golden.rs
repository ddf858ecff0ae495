//! Files of every format version are read for ever, and this version's are written the same to the byte.
//!
//! With `TRIALOG_BLESS` set the test writes the file anew; only a format that nobody has used yet may change.

use crate::support::{PATH, open, open_read_only, read_all};
use std::io;
use std::ops::ControlFlow;
use trialog_journal::{Durability, Error, History, Journal, Seq};
use trialog_testkit::FakeOs;

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/log-v1.bin");

fn records() -> Vec<Vec<u8>> {
    let mut records: Vec<Vec<u8>> = ["", "a", "record", "\0\0\0\0"].map(|text| text.as_bytes().to_vec()).into();
    records.push((0..=255).collect());
    records
}

/// Time and randomness of the faked machine are the same each time.
fn written_now() -> Vec<u8> {
    let os = FakeOs::new();
    let journal = open(&os).unwrap();
    let records = records();
    journal.append(&[&records[0]], Durability::Process).unwrap();
    journal.append(&[&records[1], &records[2]], Durability::Power).unwrap();
    journal.append(&[&records[3], &records[4]], Durability::Process).unwrap();
    os.file(PATH).unwrap()
}

#[test]
fn version_1_is_written_as_ever() {
    if std::env::var_os("TRIALOG_BLESS").is_some() {
        std::fs::write(GOLDEN, written_now()).unwrap();
    }
    assert_eq!(written_now(), std::fs::read(GOLDEN).unwrap());
}

#[test]
fn version_1_is_read_as_ever() {
    let os = FakeOs::new();
    os.put(PATH, &std::fs::read(GOLDEN).unwrap());
    let (found, error) = read_all(&open_read_only(&os).unwrap());
    assert!(error.is_none(), "{error:?}");
    assert_eq!(found, records());
    assert_eq!(open(&os).unwrap().append(&[b"more"], Durability::Process).unwrap().0, 5);
}

const SECOND: &str = "/study.tlog.000001";
/// A log that was compacted twice, with its first records folded: the file by which it is opened, and the two behind it.
const CHAIN: [(&str, &str); 3] = [
    (PATH, concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/chain-v1.bin")),
    (SECOND, concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/chain-v1.000001.bin")),
    ("/study.tlog.000002", concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/chain-v1.000002.bin")),
];

fn chain_written_now() -> [Vec<u8>; 3] {
    let os = FakeOs::new();
    let journal = open(&os).unwrap();
    let records = records();
    let compact = |at: u64, history: History| {
        let state = format!("the first {at} records");
        let mut source = |sink: &mut dyn FnMut(&[u8]) -> io::Result<()>| sink(state.as_bytes());
        assert!(journal.compact(Seq(at), &mut source, history).unwrap());
    };
    journal.append(&[&records[0], &records[1]], Durability::Power).unwrap();
    journal.append(&[&records[2]], Durability::Process).unwrap();
    compact(2, History::Folded);
    journal.append(&[&records[3]], Durability::Process).unwrap();
    compact(4, History::Kept);
    journal.append(&[&records[4]], Durability::Power).unwrap();
    CHAIN.map(|(path, _)| os.file(path).unwrap())
}

#[test]
fn segments_of_version_1_are_written_as_ever() {
    let now = chain_written_now();
    for ((_, golden), bytes) in CHAIN.iter().zip(&now) {
        if std::env::var_os("TRIALOG_BLESS").is_some() {
            std::fs::write(golden, bytes).unwrap();
        }
        assert_eq!(*bytes, std::fs::read(golden).unwrap(), "{golden}");
    }
}

#[test]
fn segments_of_version_1_are_read_as_ever() {
    let os = FakeOs::new();
    for (path, golden) in CHAIN {
        os.put(path, &std::fs::read(golden).unwrap());
    }
    let all = records();
    let read = |from: u64| {
        let mut found = Vec::new();
        let reader = open_read_only(&os).unwrap();
        let end = reader.read(Seq(from), &mut |_, record| {
            found.push(record.to_vec());
            ControlFlow::Continue(())
        });
        end.map(|end| (end, found))
    };
    // Folded, and not given back: still there.
    for from in 0..=5 {
        assert_eq!(read(from).unwrap(), (Seq(5), all[from as usize..].to_vec()));
    }
    let reader = open_read_only(&os).unwrap();
    assert_eq!(reader.load_base().unwrap(), Some((Seq(4), b"the first 4 records".to_vec())));
    assert_eq!(open(&os).unwrap().append(&[b"more"], Durability::Process).unwrap().0, 5);
    // The canary: without the middle file there is no way from the first to the last.
    os.remove(SECOND);
    assert!(matches!(read(0), Err(Error::Corrupt { .. })));
}
