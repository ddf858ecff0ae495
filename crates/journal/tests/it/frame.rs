//! Frames and headers, as pure functions on bytes.

use proptest::prelude::*;
use trialog_journal::frame::{
    self, Ahead, Check, FRAME_HEADER_BYTES, Frame, KIND_RECORD, KIND_SKIPPABLE_MIN, Link, look_ahead,
};
use trialog_journal::header::{HEADER_BYTES, Header, HeaderCheck, MAGIC, check_header};

const START: Link = Link { seq: 0, crc: 0x1234_5678 };

fn sealed(records: &[&[u8]], link: Link) -> Vec<u8> {
    let mut frames = Vec::new();
    for record in records {
        frame::push_unsealed(&mut frames, KIND_RECORD, record);
    }
    frame::seal(&mut frames, link, 0);
    frames
}

fn payloads(mut bytes: &[u8], mut link: Link) -> (Vec<Vec<u8>>, Check<'_>) {
    let mut found = Vec::new();
    loop {
        match frame::check(bytes, link) {
            Check::Valid(frame) => {
                found.push(frame.payload.to_vec());
                link = frame.next();
                bytes = &bytes[frame.len()..];
            }
            other => return (found, other),
        }
    }
}

proptest! {
    #[test]
    fn what_is_sealed_is_found(records in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..50), 0..20)) {
        let slices: Vec<&[u8]> = records.iter().map(Vec::as_slice).collect();
        let frames = sealed(&slices, START);
        let (found, end) = payloads(&frames, START);
        prop_assert_eq!(found, records);
        prop_assert_eq!(end, Check::Short { need: FRAME_HEADER_BYTES });
    }

    #[test]
    fn random_bytes_are_no_frame(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(!matches!(frame::check(&bytes, START), Check::Valid(_) | Check::Misfit(_)));
        let end = bytes.len() as u64;
        prop_assert_eq!(look_ahead(bytes.as_slice(), 0, end, START).unwrap(), Ahead::Nothing);
    }

    #[test]
    fn a_changed_byte_is_noticed(at in 0_usize..200, change in 1_u8..) {
        let mut frames = sealed(&[&[9; 176]], START);
        frames[at] ^= change;
        prop_assert!(!matches!(frame::check(&frames, START), Check::Valid(_) | Check::Misfit(_)));
    }

    #[test]
    fn headers_survive(log_id in any::<[u8; 16]>(), created_us in any::<i64>(), high_flags in any::<u16>()) {
        let flags = u32::from(high_flags) << 16;
        let header = Header { flags, log_id, first_seq: 0, created_us, chain_start: 0 };
        prop_assert_eq!(check_header(&header.encode(), 64), HeaderCheck::Valid(header));
    }
}

#[test]
fn unsynced_counts_and_saturates() {
    let mut frames = Vec::new();
    for _ in 0..3 {
        frame::push_unsealed(&mut frames, KIND_RECORD, b"x");
    }
    frame::seal(&mut frames, Link { seq: 10, crc: 1 }, 8);
    let unsynced: Vec<u32> = frames.chunks(25).map(|bytes| Frame::trusted(bytes).unwrap().unsynced).collect();
    assert_eq!(unsynced, [2, 3, 4]);
    frame::seal(&mut frames[..25], Link { seq: 1 << 40, crc: 1 }, 0);
    assert_eq!(Frame::trusted(&frames).unwrap().unsynced, u32::MAX);
}

#[test]
fn only_records_count() {
    let mut frames = Vec::new();
    for kind in [KIND_RECORD, KIND_SKIPPABLE_MIN, KIND_RECORD] {
        frame::push_unsealed(&mut frames, kind, b"");
    }
    assert_eq!(frame::seal(&mut frames, START, 0).seq, 2);
    let seqs: Vec<u64> = frames.chunks(24).map(|bytes| Frame::trusted(bytes).unwrap().seq).collect();
    assert_eq!(seqs, [0, 1, 1]);
}

#[test]
fn misfits_are_frames_of_another_place() {
    let frames = sealed(&[b"a"], START);
    for link in [Link { seq: 1, ..START }, Link { crc: 0, ..START }] {
        assert!(matches!(frame::check(&frames, link), Check::Misfit(_)), "{link:?}");
    }
}

#[test]
fn a_later_frame_is_found_behind_damage() {
    let frames = sealed(&[&[1; 100], &[2; 50], &[3; 10]], START);
    let damaged = [&[0xee; 124], &frames[124..]].concat();
    let found = look_ahead(damaged.as_slice(), 0, damaged.len() as u64, START).unwrap();
    assert_eq!(found, Ahead::Frame { offset: 124, seq: 1, stable: 0 });
    // An earlier record's frame there is no proof that anything is missing here.
    let found = look_ahead(damaged.as_slice(), 0, damaged.len() as u64, Link { seq: 3, crc: 0 }).unwrap();
    assert_eq!(found, Ahead::Nothing);
}

#[test]
fn a_later_frame_is_found_across_windows() {
    let record = vec![5; 700_000];
    let frames = sealed(&[&record, &record, b"end"], START);
    let mut damaged = frames.clone();
    damaged[30] ^= 1;
    let found = look_ahead(damaged.as_slice(), 0, damaged.len() as u64, START).unwrap();
    assert_eq!(found, Ahead::Frame { offset: 700_024, seq: 1, stable: 0 });
}

/// Every header here claims a frame that reaches to the end: without a budget, this takes a trillion bytes' hashing.
#[test]
fn hostile_tails_are_given_up() {
    let mut bytes = Vec::new();
    while bytes.len() < 2 << 20 {
        bytes.extend_from_slice(&[0, 0, 0, 0, 0, 0, 16, KIND_RECORD, 0, 0, 0, 0, 0, 0, 0, 0]);
    }
    let found = look_ahead(bytes.as_slice(), 0, bytes.len() as u64, Link { seq: 0, crc: 0 }).unwrap();
    assert_eq!(found, Ahead::GaveUp);
}

fn header() -> [u8; HEADER_BYTES] {
    Header { flags: 0, log_id: [7; 16], first_seq: 0, created_us: 1, chain_start: 0 }.encode()
}

#[test]
fn every_prefix_of_a_header_is_unfinished() {
    let bytes = header();
    for cut in 0..HEADER_BYTES {
        for zeros in 0..=HEADER_BYTES - cut {
            let start = [&bytes[..cut], vec![0; zeros].as_slice()].concat();
            // A checksum's own zeros are not telling.
            let check = check_header(&start, start.len() as u64);
            assert_eq!(check, HeaderCheck::Unfinished, "{cut} bytes and {zeros} zeros");
        }
    }
}

#[test]
fn every_flipped_bit_of_a_header_is_noticed() {
    for bit in 0..HEADER_BYTES * 8 {
        let mut bytes = header();
        bytes[bit / 8] ^= 1 << (bit % 8);
        for file_bytes in [HEADER_BYTES as u64, 1000] {
            let check = check_header(&bytes, file_bytes);
            assert!(matches!(check, HeaderCheck::Damaged { .. }), "bit {bit} of {file_bytes} bytes: {check:?}");
        }
    }
}

fn resealed(change: impl FnOnce(&mut [u8; HEADER_BYTES])) -> HeaderCheck {
    let mut bytes = header();
    change(&mut bytes);
    let crc = crc32fast::hash(&bytes[..60]);
    bytes[60..].copy_from_slice(&crc.to_le_bytes());
    check_header(&bytes, 64)
}

#[test]
fn what_later_versions_may_write_is_not_guessed_at() {
    let newer = |check: HeaderCheck| matches!(check, HeaderCheck::Newer { .. });
    assert!(newer(resealed(|bytes| bytes[8] = 2)));
    assert!(newer(resealed(|bytes| bytes[12] = 1)));
    assert!(newer(resealed(|bytes| bytes[55] = 1)));
    assert!(!newer(resealed(|bytes| bytes[14] = 1)));
    // A later version's header need not be of this length or have its checksum here.
    let mut bytes = header();
    bytes[8] = 9;
    bytes[40] ^= 1;
    assert!(newer(check_header(&bytes, 64)));
}

#[test]
fn other_files_are_named() {
    let cases: [(&[u8], &str); 8] = [
        (b"{\"op_code\": 0, \"worker_id\": \"a\"}\n", "an Optuna journal in JSON lines"),
        (b"hello\nworld", "text that begins with \"hello\""),
        (b"SQLite format 3\0....", "an SQLite database"),
        (b"\x94TLOG\n\x1a\x01", "a Trialog log that was damaged by a transfer as text"),
        (b"\x94TLOG\r\r\n\x1a\x01", "a Trialog log that was damaged by a transfer as text"),
        (b"\x01\x02\xff", "a file that begins with the bytes 01 02 ff"),
        (b"\x00\x00\x00", "zero bytes where the header belongs"),
        (b"caf\xc3\xa9", "text that begins with \"caf\u{e9}\""),
    ];
    for (start, expected) in cases {
        let HeaderCheck::Foreign { found } = check_header(start, 1000) else {
            panic!("{expected} is taken for a log");
        };
        assert_eq!(found, expected);
    }
    assert!(!std::str::from_utf8(&MAGIC).is_ok_and(|_| true), "the magic must be no text");
}
