//! Snapshots with right checksums and wrong words. What broke: an envelope was believed where the log ends and how
//! many records it has, as soon as one checksum of the log was in the place it named. Reading from the start then went
//! on for ever, since as many records never came, and a writer cut the log in the middle of its last record.

use crate::support::{PATH, append, open, open_read_only, read_all};
use trialog_journal::{Journal, Seq};
use trialog_testkit::FakeOs;

const SEQ: usize = 28;
const OFFSET: usize = 36;
const LAST: usize = 44;
const LINK: usize = 52;
const CRC: usize = 68;

fn beside() -> String {
    format!("{PATH}.snapshot")
}

/// A log of three records with a snapshot of them all.
fn with_snapshot() -> (FakeOs, Vec<u8>) {
    let os = FakeOs::new();
    let journal = open(&os).unwrap();
    for record in [b"one", b"two", b"six"] {
        append(&journal, record).unwrap();
    }
    assert!(journal.save_snapshot(Seq(3), &mut |sink| sink(b"state")).unwrap());
    let envelope = os.file(beside()).unwrap();
    (os, envelope)
}

/// The snapshot with so much added to the integer that begins at `at`.
fn changed(envelope: &[u8], at: usize, by: i64) -> Vec<u8> {
    let mut made_up = envelope.to_vec();
    let field: &mut [u8; 8] = made_up[at..].first_chunk_mut().unwrap();
    *field = u64::from_le_bytes(*field).wrapping_add_signed(by).to_le_bytes();
    let crc = crc32fast::hash(&made_up[..CRC]);
    made_up[CRC..CRC + 4].copy_from_slice(&crc.to_le_bytes());
    made_up
}

#[test]
fn canary_an_unchanged_snapshot_is_taken() {
    let (os, envelope) = with_snapshot();
    os.put(beside(), &changed(&envelope, SEQ, 0));
    assert_eq!(open(&os).unwrap().load_snapshot(), Some((Seq(3), b"state".to_vec())));
}

#[test]
fn a_made_up_snapshot_is_none() {
    // The frames are 27 bytes long.
    let lies = [(SEQ, 1), (SEQ, -1), (SEQ, i64::MIN), (OFFSET, -1), (OFFSET, -27), (OFFSET, 1), (OFFSET, i64::MAX)];
    let more = [(LAST, 1), (LAST, -27), (LAST, -1), (LAST, i64::MAX), (LINK, 1)];
    for (at, by) in lies.into_iter().chain(more) {
        let (os, envelope) = with_snapshot();
        os.put(beside(), &changed(&envelope, at, by));
        let log = os.file(PATH).unwrap();
        let reader = open_read_only(&os).unwrap();
        assert_eq!(reader.load_snapshot(), None, "{by} added at byte {at}");
        let (records, error) = read_all(&reader);
        assert!(error.is_none() && records.len() == 3, "{by} added at byte {at}: {error:?}");
        let writer = open(&os).unwrap();
        assert_eq!(writer.load_snapshot(), None);
        assert_eq!(append(&writer, b"ten").unwrap(), Seq(3));
        assert!(os.file(PATH).unwrap().starts_with(&log), "{by} added at byte {at}");
    }
}
