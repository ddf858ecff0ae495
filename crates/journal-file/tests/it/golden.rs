//! Files of every format version are read for ever, and this version's are written the same to the byte.
//!
//! With `TRIALOG_BLESS` set the test writes the file anew; only a format that nobody has used yet may change.

use crate::support::{PATH, open, open_read_only, read_all};
use trialog_journal::{Durability, Journal};
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
