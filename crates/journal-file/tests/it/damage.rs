//! Every cut and every flipped bit, and whole stretches that moved: a log ends at its last whole record, or the
//! damage is named at the right byte; never a wrong record, never a panic.

use crate::support::{PATH, append, open, open_read_only, read_all, sample};
use proptest::prelude::*;
use trialog_journal::frame::{KIND_RECORD, KIND_SEAL, KIND_SKIPPABLE_MIN, Link};
use trialog_journal::{Durability, Error, Journal, frame};
use trialog_testkit::FakeOs;

const RECORDS: u64 = 40;

/// Reading `bytes` must give the first `count` of `records` and then end in peace; a writer must go on from there.
fn check_ends_after(bytes: &[u8], records: &[Vec<u8>], count: usize, what: &str) {
    let os = FakeOs::new();
    os.put(PATH, bytes);
    let (found, error) = read_all(&open_read_only(&os).unwrap());
    assert!(error.is_none(), "{what}: {error:?}");
    assert!(found == records[..count], "{what}: {} records, not {count}", found.len());
    assert!(os.file(PATH).unwrap() == bytes, "{what}: a reader wrote");

    let journal = open(&os).unwrap();
    assert_eq!(append(&journal, b"next").unwrap().0, count as u64, "{what}");
    assert!(os.file(PATH).unwrap().ends_with(b"next"), "{what}: the torn tail was not cut");
    let mut expected = records[..count].to_vec();
    expected.push(b"next".to_vec());
    assert!(read_all(&open(&os).unwrap()).0 == expected, "{what}: a writer did not go on from there");
}

/// Reading `bytes` must give the first `count` of `records` and then name the damage at `offset`; a writer must refuse.
fn check_damaged(bytes: &[u8], records: &[Vec<u8>], count: usize, offset: usize, what: &str) {
    let os = FakeOs::new();
    os.put(PATH, bytes);
    let (found, error) = read_all(&open_read_only(&os).unwrap());
    assert!(found == records[..count], "{what}: {} records, not {count}", found.len());
    let is_damage = |error: &Error| matches!(error, Error::Corrupt { offset: o, seq, .. } if *o == offset as u64 && *seq == count as u64);
    assert!(error.as_ref().is_some_and(is_damage), "{what}: expected damage at {offset}, got {error:?}");

    let error = append(&open(&os).unwrap(), b"next").unwrap_err();
    assert!(is_damage(&error), "{what}: a writer got {error:?}");
    assert!(os.file(PATH).unwrap() == bytes, "{what}: a damaged file was changed");
}

#[test]
fn every_cut_ends_at_the_last_whole_record() {
    let (_, bytes, records, ends) = sample(RECORDS);
    for cut in 0..=bytes.len() {
        let count = ends.iter().rposition(|&end| end <= cut).unwrap_or_default();
        check_ends_after(&bytes[..cut], &records, count, &format!("cut at {cut}"));
    }
}

#[test]
fn every_flipped_bit_is_named_or_ends_the_log() {
    let (_, bytes, records, ends) = sample(RECORDS);
    for bit in 64 * 8..bytes.len() * 8 {
        let mut bytes = bytes.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let at = ends.iter().rposition(|&end| end <= bit / 8).unwrap();
        let what = format!("bit {} of byte {}", bit % 8, bit / 8);
        if at + 1 == records.len() {
            check_ends_after(&bytes, &records, at, &what);
        } else {
            check_damaged(&bytes, &records, at, ends[at], &what);
        }
    }
}

#[test]
fn every_flipped_bit_of_the_header_is_named() {
    let (_, bytes, ..) = sample(2);
    for bit in 0..64 * 8 {
        let mut bytes = bytes.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let os = FakeOs::new();
        os.put(PATH, &bytes);
        for result in [open(&os), open_read_only(&os)] {
            assert!(matches!(result, Err(Error::Corrupt { offset: 0, .. })), "bit {bit}: {result:?}");
        }
        assert!(os.file(PATH).unwrap() == bytes);
    }
}

#[test]
fn every_zeroed_stretch_is_named_or_ends_the_log() {
    let (_, bytes, records, ends) = sample(RECORDS);
    for from in (64..bytes.len()).step_by(5) {
        for to in (from + 1..=bytes.len()).step_by(37) {
            let mut zeroed = bytes.clone();
            zeroed[from..to].fill(0);
            let Some(first) = bytes.iter().zip(&zeroed).position(|(a, b)| a != b) else {
                continue;
            };
            let last = bytes.iter().zip(&zeroed).rposition(|(a, b)| a != b).unwrap();
            let at = ends.iter().rposition(|&end| end <= first).unwrap();
            let what = format!("zeros from {from} to {to}");
            if last >= ends[records.len() - 1] {
                check_ends_after(&zeroed, &records, at, &what);
            } else {
                check_damaged(&zeroed, &records, at, ends[at], &what);
            }
        }
    }
}

#[test]
fn what_follows_the_last_frame_and_is_none_is_cut() {
    let (_, bytes, records, _) = sample(RECORDS);
    let garbage: Vec<u8> = (0..3000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    for tail in [&[0; 1][..], &[0; 5000], &garbage, b"\n", b"{\"op_code\":0}\n", &[0xff; 24]] {
        let with_tail = [&bytes, tail].concat();
        check_ends_after(&with_tail, &records, records.len(), &format!("{} bytes of garbage", tail.len()));
    }
}

/// What a reader once took for a torn tail has become damage of the same length: a writer must not rely on the
/// earlier look when it cuts.
#[test]
fn a_tail_is_searched_again_before_it_is_cut() {
    let (os, bytes, records, _) = sample(RECORDS);
    let mut later = Vec::new();
    frame::push_unsealed(&mut later, KIND_RECORD, b"a record behind a hole");
    frame::seal(&mut later, Link { seq: RECORDS + 1, crc: 0 }, 0);
    let hole = [0; 40];
    let garbage = vec![0; hole.len() + later.len()];
    os.put(PATH, &[&bytes, garbage.as_slice()].concat());
    let journal = open(&os).unwrap();
    assert_eq!(read_all(&journal).0, records);
    let damaged = [&bytes, hole.as_slice(), &later].concat();
    os.put(PATH, &damaged);
    let error = append(&journal, b"next").unwrap_err();
    assert!(matches!(error, Error::Corrupt { seq: RECORDS, .. }), "{error:?}");
    assert!(os.file(PATH).unwrap() == damaged);
}

#[test]
fn a_doubled_stretch_is_named() {
    let (_, bytes, records, ends) = sample(RECORDS);
    let all = records.len();
    for (from, to) in [(0, 1), (all - 1, all), (3, 9), (0, all)] {
        let stretch = &bytes[ends[from]..ends[to]];
        let doubled = [&bytes, stretch].concat();
        check_damaged(&doubled, &records, all, bytes.len(), &format!("{from}..{to} doubled at the end"));
        let (before, after) = bytes.split_at(ends[to]);
        if to < all {
            let doubled = [before, stretch, after].concat();
            check_damaged(&doubled, &records, to, ends[to], &format!("{from}..{to} doubled in place"));
        }
    }
}

#[test]
fn a_stretch_cut_out_is_named() {
    let (_, bytes, records, ends) = sample(RECORDS);
    for (from, to) in [(0, 1), (3, 9), (5, 6)] {
        let shorter = [&bytes[..ends[from]], &bytes[ends[to]..]].concat();
        check_damaged(&shorter, &records, from, ends[from], &format!("{from}..{to} cut out"));
    }
}

#[test]
fn bytes_put_in_between_are_named() {
    let (_, bytes, records, ends) = sample(RECORDS);
    for at in [0, 7, 20] {
        for more in [1, 24, 25, 600] {
            let longer = [&bytes[..ends[at]], &vec![0; more], &bytes[ends[at]..]].concat();
            check_damaged(&longer, &records, at, ends[at], &format!("{more} zeros before record {at}"));
        }
    }
}

#[test]
fn two_frames_that_changed_places_are_named() {
    let (_, bytes, records, ends) = sample(RECORDS);
    let [a, b, c] = [ends[4], ends[5], ends[6]];
    let swapped = [&bytes[..a], &bytes[b..c], &bytes[a..b], &bytes[c..]].concat();
    check_damaged(&swapped, &records, 4, a, "records 4 and 5 swapped");
}

#[test]
fn a_frame_of_another_log_is_named() {
    let (_, bytes, records, ends) = sample(RECORDS);
    // The same records, so the same lengths and positions: only the chain tells that this is another history.
    let other = FakeOs::new();
    other.put("/elsewhere", b"");
    let journal = trialog_journal_file::FileJournal::open_on(
        std::sync::Arc::new(other.process(1)),
        "/elsewhere",
        &trialog_journal_file::Options::default(),
    )
    .unwrap();
    drop(journal);
    let journal = open(&other).unwrap();
    for record in &records {
        append(&journal, record).unwrap();
    }
    let foreign = other.file(PATH).unwrap();
    assert_ne!(foreign[16..32], bytes[16..32], "two logs with one id");
    for at in [0, 8, records.len() - 1] {
        let spliced = [&bytes[..ends[at]], &foreign[ends[at]..ends[at + 1]], &bytes[ends[at + 1]..]].concat();
        check_damaged(&spliced, &records, at, ends[at], &format!("a foreign record {at}"));
    }
    let forked = [&bytes[..ends[8]], &foreign[ends[8]..]].concat();
    check_damaged(&forked, &records, 8, ends[8], "another history from record 8 on");
}

#[test]
fn an_overwritten_end_is_named() {
    let (_, bytes, records, ends) = sample(RECORDS);
    let link = Link { seq: 10, crc: u32::from_le_bytes(bytes[ends[9]..][..4].try_into().unwrap()) };
    let mut late = Vec::new();
    frame::push_unsealed(&mut late, KIND_RECORD, b"a writer that lost its lock");
    frame::seal(&mut late, link, 0);
    let mut overwritten = bytes.clone();
    overwritten[ends[10]..][..late.len()].copy_from_slice(&late);
    let mut expected = records[..10].to_vec();
    expected.push(b"a writer that lost its lock".to_vec());
    check_damaged(&overwritten, &expected, 11, ends[10] + late.len(), "record 10 overwritten");
}

#[test]
fn damage_says_whether_a_loss_of_power_explains_it() {
    let os = FakeOs::new();
    let journal = open(&os).unwrap();
    let mut at = Vec::new();
    for durability in [0, 1, 1, 0, 1].map(|d| [Durability::Process, Durability::Power][d]) {
        at.push(os.file(PATH).unwrap().len());
        journal.append(&[b"record"], durability).unwrap();
    }
    let bytes = os.file(PATH).unwrap();
    // The writer of record 4 had synced when it had written record 2, and knew nothing about record 3.
    for (record, explained) in [(2, false), (3, true)] {
        let mut bytes = bytes.clone();
        bytes[at[record]] ^= 1;
        os.put(PATH, &bytes);
        let Some(Error::Corrupt { detail, .. }) = read_all(&open_read_only(&os).unwrap()).1 else {
            panic!("record {record}: no damage")
        };
        assert_eq!(detail.contains("a loss of power explains it"), explained, "record {record}: {detail}");
    }
}

#[test]
fn kinds_of_later_versions_are_skipped_or_stop() {
    let (os, bytes, mut records, _) = sample(3);
    let frames = |kinds: &[u8]| {
        let mut frames = Vec::new();
        for &kind in kinds {
            frame::push_unsealed(&mut frames, kind, b"from the future");
        }
        let last = bytes.len() - 24 - records[2].len();
        let crc = u32::from_le_bytes(bytes[last..][..4].try_into().unwrap());
        frame::seal(&mut frames, Link { seq: 3, crc }, 0);
        [&bytes, frames.as_slice()].concat()
    };
    let skippable = frames(&[KIND_SKIPPABLE_MIN, 0xff, KIND_RECORD, 0xff]);
    let stopping = [KIND_SEAL, 3, 4, 0x7f].map(|kind| frames(&[kind, KIND_RECORD]));
    for bytes in stopping {
        os.put(PATH, &bytes);
        let (found, error) = read_all(&open_read_only(&os).unwrap());
        assert_eq!(found, records);
        assert!(matches!(error, Some(Error::NewerFormat { .. })), "{error:?}");
        let error = append(&open(&os).unwrap(), b"next").unwrap_err();
        assert!(matches!(error, Error::NewerFormat { .. }), "{error:?}");
        assert_eq!(os.file(PATH).unwrap(), bytes);
    }
    records.push(b"from the future".to_vec());
    check_ends_after(&skippable, &records, 4, "frames to be skipped");
}

/// The canary: these checks must not pass whatever they are given.
#[test]
#[should_panic(expected = "expected damage")]
fn an_intact_log_is_not_taken_for_damaged() {
    let (_, bytes, records, ends) = sample(RECORDS);
    check_damaged(&bytes, &records, records.len(), ends[3], "intact");
}

#[test]
#[should_panic(expected = "records, not")]
fn a_missing_record_is_not_taken_for_the_end() {
    let (_, bytes, records, ends) = sample(RECORDS);
    check_ends_after(&bytes[..ends[7]], &records, 8, "one too few");
}

#[derive(Clone, Debug)]
enum Edit {
    Insert(usize, Vec<u8>),
    Overwrite(usize, Vec<u8>),
    Remove(usize, usize),
    Copy { from: usize, bytes: usize, to: usize },
    Truncate(usize),
}

fn edits() -> impl Strategy<Value = Vec<Edit>> {
    let (at, some) = (64_usize..2000, prop::collection::vec(any::<u8>(), 1..40));
    let edit = prop_oneof![
        (at.clone(), some.clone()).prop_map(|(at, bytes)| Edit::Insert(at, bytes)),
        (at.clone(), some).prop_map(|(at, bytes)| Edit::Overwrite(at, bytes)),
        (at.clone(), 1_usize..300).prop_map(|(at, bytes)| Edit::Remove(at, bytes)),
        (at.clone(), 1_usize..400, at.clone()).prop_map(|(from, bytes, to)| Edit::Copy { from, bytes, to }),
        at.prop_map(Edit::Truncate),
    ];
    prop::collection::vec(edit, 1..5)
}

fn edit(bytes: &mut Vec<u8>, edit: &Edit) {
    let length = bytes.len();
    match edit {
        Edit::Insert(at, more) => drop(bytes.splice((*at).min(length)..(*at).min(length), more.clone())),
        Edit::Overwrite(at, new) => {
            let end = (at + new.len()).min(length);
            let at = (*at).min(end);
            bytes[at..end].copy_from_slice(&new[..end - at]);
        }
        Edit::Remove(at, count) => drop(bytes.drain((*at).min(length)..(at + count).min(length))),
        Edit::Copy { from, bytes: count, to } => {
            let stretch = bytes[(*from).min(length)..(from + count).min(length)].to_vec();
            bytes.splice((*to).min(length)..(*to).min(length), stretch);
        }
        Edit::Truncate(at) => bytes.truncate(*at),
    }
}

proptest! {
    #[test]
    fn whatever_happens_to_a_log_its_records_are_a_prefix(edits in edits()) {
        let (_, mut bytes, records, _) = sample(RECORDS);
        edits.iter().for_each(|each| edit(&mut bytes, each));
        let os = FakeOs::new();
        os.put(PATH, &bytes);
        let (found, error) = read_all(&open_read_only(&os).unwrap());
        prop_assert!(records.starts_with(&found));
        prop_assert!(matches!(error, None | Some(Error::Corrupt { .. })), "{error:?}");
        match append(&open(&os).unwrap(), b"next") {
            Ok(seq) => prop_assert_eq!(seq.0, found.len() as u64),
            Err(_) => prop_assert_eq!(os.file(PATH).unwrap(), bytes),
        }
    }

    #[test]
    fn any_bytes_at_all_are_safe_to_open(bytes in prop::collection::vec(any::<u8>(), 0..300), with_magic: bool) {
        let (_, intact, ..) = sample(0);
        let bytes = if with_magic { [intact, bytes].concat() } else { bytes };
        let os = FakeOs::new();
        os.put(PATH, &bytes);
        if let Ok(journal) = open_read_only(&os) {
            prop_assert!(read_all(&journal).0.is_empty());
        }
        if let Ok(journal) = open(&os) {
            prop_assert_eq!(append(&journal, b"next").unwrap().0, 0);
        }
    }
}
