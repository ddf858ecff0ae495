//! Logs of several files: what is folded is told as folded, a whole snapshot makes up for what is lost before it, and no
//! cut and no flip in either file gives another state than the log's.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;

use crate::logs::{LOG, Log, TARGET, every_op, fold};
use trialog_codec::{decode_record, encode_record};
use trialog_inspect::{
    DamageKind, Error, Moment, Repair, Report, SnapshotCheck, Trust, as_of_on, repair_on, stat_on, verify_on,
};
use trialog_journal::frame::{self, KIND_RECORD, KIND_SEAL, KIND_SNAPSHOT, Link};
use trialog_journal::header::{FLAG_FOLDED, Header};
use trialog_journal::seal::Seal;
use trialog_journal::{Durability, History, Journal as _, Seq};
use trialog_journal_file::os::Os as _;
use trialog_journal_file::{FileJournal, Options};
use trialog_ops::{Record, Timestamp};
use trialog_replay::{Digest, State};
use trialog_testkit::FakeOs;

/// The files of a log, by the segments' numbers.
type Files = BTreeMap<u64, Vec<u8>>;

fn name(number: u64) -> String {
    if number == 0 { LOG.to_owned() } else { format!("{LOG}.{number:06}") }
}

fn os_with(files: &Files) -> FakeOs {
    let os = FakeOs::new();
    for (number, bytes) in files {
        os.put(Path::new(&name(*number)), bytes);
    }
    os
}

/// Frames behind `bytes`, which say of the records before them that the first `stable` are safe.
fn push(bytes: &mut Vec<u8>, link: &mut Link, kind: u8, payload: &[u8]) -> u64 {
    let mut frames = Vec::new();
    frame::push_unsealed(&mut frames, kind, payload);
    *link = frame::seal(&mut frames, *link, link.seq.saturating_sub(3));
    bytes.extend_from_slice(&frames);
    (bytes.len() - frames.len()) as u64
}

fn payload(record: &Record) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_record(record, &mut bytes);
    bytes
}

/// A log that was compacted at these places: the state after the first number of records begins the next segment, and the
/// second number of records precede the seal.
struct Chain {
    files: Files,
    records: Vec<Record>,
}

fn chain(turns: &[(usize, usize)], history: History) -> Chain {
    let records = every_op(0.0);
    let mut header = Header { flags: 0, log_id: [7; 16], first_seq: 0, created_us: 5, chain_start: 0 };
    let mut files = Files::new();
    let mut bytes = header.encode().to_vec();
    let mut link = header.link();
    let mut from = 0;
    for (index, &(at, sealed)) in turns.iter().enumerate() {
        let mut links = vec![link];
        for record in &records[from..sealed] {
            push(&mut bytes, &mut link, KIND_RECORD, &payload(record));
            links.push(link);
        }
        header = Header {
            flags: if history == History::Folded { FLAG_FOLDED } else { 0 },
            first_seq: at as u64,
            created_us: 45 + index as i64,
            chain_start: links[at - from].crc,
            ..header
        };
        let mut next = header.encode().to_vec();
        let mut next_link = header.link();
        let mut snapshot = Vec::new();
        fold(&records[..at]).write_snapshot(&mut snapshot);
        let mut last = 0;
        for part in snapshot.chunks(300) {
            last = push(&mut next, &mut next_link, KIND_SNAPSHOT, part);
        }
        let (base, base_crc) = (next.len() as u64, next_link.crc);
        for record in &records[at..sealed] {
            last = push(&mut next, &mut next_link, KIND_RECORD, &payload(record));
        }
        let seal = Seal {
            log_id: header.log_id,
            at: bytes.len() as u64,
            number: index as u64 + 1,
            base,
            tip: next.len() as u64,
            last,
            header_crc: header.link().crc,
            base_crc,
            tip_crc: next_link.crc,
        };
        push(&mut bytes, &mut link, KIND_SEAL, &seal.encode());
        files.insert(index as u64, std::mem::replace(&mut bytes, next));
        link = next_link;
        from = sealed;
    }
    for record in &records[from..] {
        push(&mut bytes, &mut link, KIND_RECORD, &payload(record));
    }
    files.insert(turns.len() as u64, bytes);
    Chain { files, records }
}

impl Chain {
    /// What is folded is given back, as `reclaim` does it, to the last byte.
    fn given_back(mut self) -> Chain {
        let newest = *self.files.keys().last().unwrap();
        self.files.retain(|&number, _| number == 0 || number + 1 >= newest);
        for (_, bytes) in self.files.iter_mut().filter(|(number, _)| **number < newest) {
            let seal = bytes.len() - 92;
            bytes[64..seal].fill(0);
        }
        self
    }

    fn digest(&self) -> Digest {
        fold(&self.records).digest()
    }
}

/// Looks at the files and repairs them; the state of the repaired log, as a storage reads it.
fn look(files: &Files, trust: Trust) -> Result<(Report, Repair, State), Error> {
    let os = os_with(files);
    let report = verify_on(&os, LOG)?;
    let repair = repair_on(&os, LOG, TARGET, trust)?;
    for (number, bytes) in files {
        assert_eq!(&os.file(Path::new(&name(*number))).unwrap(), bytes, "the original was changed");
    }
    let after = verify_on(&os, TARGET).unwrap();
    assert!(after.is_clean() && after.tail.is_none() && !after.unfinished, "{after}");
    assert_eq!((&after.readable.digest, after.folded), (&repair.readable.digest, repair.base));
    let journal = FileJournal::open_on(std::sync::Arc::new(os.process(9)), TARGET, &Options::default()).unwrap();
    let base = journal.load_base().unwrap();
    let mut state = base.map_or_else(State::new, |(_, bytes)| State::read_snapshot(&bytes).unwrap());
    let read = journal.read(Seq(state.records()), &mut |_, bytes| {
        state.apply(&decode_record(bytes).unwrap(), &mut Vec::new());
        ControlFlow::Continue(())
    });
    read.unwrap();
    assert_eq!(state.digest(), after.readable.digest);
    Ok((report, repair, state))
}

#[test]
fn whole_chains_are_whole() {
    for turns in [&[(10, 15)][..], &[(10, 15), (20, 20)], &[(4, 4), (9, 12), (25, 28)]] {
        for history in [History::Kept, History::Folded] {
            let chain = chain(turns, history);
            let (report, repair, state) = look(&chain.files, Trust::Proven).unwrap();
            assert!(report.is_clean() && report.tail.is_none() && report.made_up_in.is_none(), "{report}");
            assert_eq!(report.readable.digest, chain.digest());
            assert_eq!(report.readable.records, chain.records.len() as u64);
            assert_eq!(state.digest(), chain.digest());
            assert!(repair.is_lossless(), "{repair}");
            let folded = if history == History::Folded { turns[turns.len() - 1].0 as u64 } else { 0 };
            assert_eq!((report.folded, repair.base), (folded, folded), "{report}");
            assert_eq!(report.segments.len(), turns.len() + 1);
        }
        let back = chain(turns, History::Folded).given_back();
        let (report, repair, state) = look(&back.files, Trust::Proven).unwrap();
        assert!(report.is_clean(), "{report}");
        assert_eq!((state.digest(), repair.is_lossless()), (back.digest(), true), "{repair}");
        assert_eq!(report.folded, turns[turns.len() - 1].0 as u64);
        assert!(report.to_string().contains("folded, as a compaction was told to"), "{report}");
    }
}

/// The journal's own files, not the ones made up here.
#[test]
fn what_the_journal_writes_is_whole() {
    for history in [History::Kept, History::Folded] {
        let os = FakeOs::new();
        let open = || FileJournal::open_on(std::sync::Arc::new(os.process(1)), LOG, &Options::default()).unwrap();
        let records = every_op(0.0);
        let journal = open();
        for (n, record) in records.iter().enumerate() {
            journal.append(&[&payload(record)], Durability::Process).unwrap();
            if n % 9 == 8 {
                let state = fold(&records[..n]);
                let mut source = |sink: &mut dyn FnMut(&[u8]) -> std::io::Result<()>| state.stream_snapshot(sink);
                assert!(journal.compact(Seq(n as u64), &mut source, history).unwrap());
                journal.reclaim(std::time::Duration::ZERO).unwrap();
            }
            let report = verify_on(&os, LOG).unwrap();
            assert!(report.is_clean() && report.tail.is_none(), "{report}");
            assert_eq!(report.readable.digest, fold(&records[..=n]).digest());
            let found = stat_on(&os, LOG).unwrap();
            assert_eq!((found.readable.digest, found.damaged_at), (report.readable.digest, None));
        }
    }
}

#[test]
fn every_moment_that_is_not_folded() {
    for history in [History::Kept, History::Folded] {
        let chain = chain(&[(10, 15), (20, 22)], history);
        let os = os_with(&chain.files);
        for n in 0..=chain.records.len() {
            let state = as_of_on(&os, LOG, Moment::Seq(Seq(n as u64)));
            if history == History::Folded && n < 20 {
                assert!(matches!(state, Err(Error::Folded { first: 20, .. })), "{n}: {state:?}");
            } else {
                assert_eq!(state.unwrap().digest(), fold(&chain.records[..n]).digest(), "{n}");
            }
        }
        assert!(matches!(as_of_on(&os, LOG, Moment::Seq(Seq(30))), Err(Error::TooShort { records: 29, .. })));
        let at = |time| as_of_on(&os, LOG, Moment::Time(Timestamp(time)));
        assert_eq!(at(50).unwrap().records(), 23);
        assert_eq!(at(i64::MAX).unwrap().records(), 29);
        // The last compaction began at 46.
        assert_eq!(matches!(at(40), Err(Error::Folded { .. })), history == History::Folded);
    }
}

#[test]
fn stat_accounts_for_every_byte_of_all_files() {
    for (chain, folded) in [
        (chain(&[(10, 15), (20, 22)], History::Kept), 0),
        (chain(&[(10, 15), (20, 22)], History::Folded), 20),
        (chain(&[(10, 15), (20, 22)], History::Folded).given_back(), 20),
    ] {
        let found = stat_on(&os_with(&chain.files), LOG).unwrap();
        let ops: u64 = found.ops.iter().map(|share| share.bytes).sum();
        let all = ops + found.framing_bytes + found.snapshot_bytes + found.copied_bytes + found.folded_bytes;
        assert_eq!(all, found.file_bytes);
        assert_eq!(found.file_bytes as usize, chain.files.values().map(Vec::len).sum::<usize>());
        assert_eq!((found.folded, found.readable.digest), (folded, chain.digest()));
        assert_eq!(found.segments.len(), chain.files.len());
    }
}

/// What every single damage of one byte or one cut may lead to: the state of the log, or of its beginning; never another.
fn check_never_wrong(chain: &Chain, files: &Files, what: &str) -> Option<(Report, Repair, State)> {
    let (report, repair, state) = match look(files, Trust::Proven) {
        Ok(found) => found,
        // A log is recognised by its first file, and that is not left of it.
        Err(Error::NotALog { .. } | Error::NewerFormat { .. }) => return None,
        Err(error) => panic!("{what}: {error}"),
    };
    // Positions stay when records are lost, so that what is left of a log is found by its length.
    let states = (0..=chain.records.len()).map(|n| fold(&chain.records[..n]).digest());
    let known = states.collect::<Vec<_>>().contains(&state.digest());
    assert!(known || !repair.is_lossless(), "{what}: {report}{repair}");
    Some((report, repair, state))
}

/// Two bits of each byte, and all of them where `TRIALOG_ALL_FLIPS` is set: it takes some minutes.
fn flips(chain: &Chain, number: u64) {
    let all = std::env::var_os("TRIALOG_ALL_FLIPS").is_some();
    let good = &chain.files[&number];
    for at in 0..good.len() {
        // Zeros in the place of what was given back mean nothing.
        let means_nothing = good[at] == 0 && number == 0 && at >= 64 && at < good.len() - 92 && is_punched(good);
        for bit in 0..8 {
            let mut files = chain.files.clone();
            files.get_mut(&number).unwrap()[at] ^= 1 << bit;
            let what = format!("bit {bit} of byte {at} of segment {number}");
            if !all && (at + bit) % 4 > 0 {
                continue;
            }
            if bit != at % 8 || at % 3 != 0 {
                // Once a byte is enough for the long way.
                let report = match verify_on(&os_with(&files), LOG) {
                    Ok(report) => report,
                    Err(Error::NotALog { .. } | Error::NewerFormat { .. }) => continue,
                    Err(error) => panic!("{what}: {error}"),
                };
                assert!(means_nothing || !report.is_clean() || report.tail.is_some(), "{what}: not noticed");
                continue;
            }
            let Some((report, repair, state)) = check_never_wrong(chain, &files, &what) else {
                assert_eq!(number, 0, "{what}");
                continue;
            };
            assert!(means_nothing || !report.is_clean() || report.tail.is_some(), "{what}: not noticed");
            assert_eq!(state.digest(), chain.digest(), "{what}: {report}{repair}");
        }
    }
}

fn is_punched(bytes: &[u8]) -> bool {
    bytes[64..bytes.len() - 92].iter().all(|&byte| byte == 0)
}

#[test]
fn every_bit_flip_of_a_sealed_first_file() {
    flips(&chain(&[(10, 15)], History::Kept), 0);
}

#[test]
fn every_bit_flip_of_the_file_behind_it() {
    flips(&chain(&[(10, 15)], History::Kept), 1);
}

#[test]
fn every_bit_flip_of_what_is_left_of_a_folded_file() {
    flips(&chain(&[(10, 15)], History::Folded).given_back(), 0);
}

#[test]
fn every_bit_flip_of_the_file_that_begins_with_a_snapshot() {
    flips(&chain(&[(10, 15)], History::Folded).given_back(), 1);
}

/// As long as folded records are still there, they make up for a damaged snapshot.
#[test]
fn folded_records_that_are_still_there_make_up_for_their_snapshot() {
    let chain = chain(&[(10, 15)], History::Folded);
    for at in (64..600).step_by(7) {
        let mut files = chain.files.clone();
        files.get_mut(&1).unwrap()[at] ^= 0x10;
        let (report, repair, state) = look(&files, Trust::Proven).unwrap();
        assert!(!report.is_clean() && repair.is_lossless(), "{at}: {report}");
        assert_eq!(state.digest(), chain.digest(), "{at}: {report}");
    }
}

#[test]
fn every_cut_of_either_file() {
    for chain in [chain(&[(10, 15)], History::Kept), chain(&[(10, 15)], History::Folded).given_back()] {
        for (&number, good) in &chain.files {
            for end in (0..good.len()).filter(|end| end % 7 == 0 || end + 100 > good.len()) {
                let mut files = chain.files.clone();
                files.get_mut(&number).unwrap().truncate(end);
                let what = format!("segment {number} cut to {end}");
                let Some((report, _, state)) = check_never_wrong(&chain, &files, &what) else { continue };
                if report.is_clean() {
                    assert_eq!(number, 1, "{what}: {report}");
                    assert!(state.records() >= 15, "{what}: {report}");
                }
                if number == 0 && end > 64 {
                    // The second file goes on behind more records than the first one has.
                    assert!(!report.is_clean(), "{what}: {report}");
                    assert_eq!(state.digest(), chain.digest(), "{what}: {report}");
                }
            }
        }
    }
}

/// Two bits of one record in a file before the last: its history is lost, and the snapshot behind it makes up for it.
#[test]
fn a_snapshot_makes_up_for_records_lost_before_it() {
    let chain = chain(&[(10, 15), (20, 22)], History::Kept);
    for n in 0..15 {
        let mut files = chain.files.clone();
        let bytes = files.get_mut(&0).unwrap();
        let mut at = 64;
        for _ in 0..n {
            at += frame::claim(&bytes[at..]).unwrap().len;
        }
        let len = frame::claim(&bytes[at..]).unwrap().len;
        bytes[at + 24] ^= 0x81;
        bytes[at + len - 1] ^= 0x81;
        let (report, repair, state) = look(&files, Trust::Proven).unwrap();
        assert_eq!((report.made_up_in, repair.base), (Some(1), 10), "record {n}: {report}");
        assert_eq!(state.digest(), chain.digest(), "record {n}: {report}");
        assert!(repair.history_lost && !repair.is_lossless());
        assert!(report.to_string().contains("only history is lost"), "{report}");
        let os = os_with(&files);
        assert!(matches!(as_of_on(&os, LOG, Moment::Seq(Seq(n + 1))), Err(Error::Damaged { .. })) || n >= 9);
        assert_eq!(as_of_on(&os, LOG, Moment::End).unwrap().digest(), chain.digest());
        assert_eq!(stat_on(&os, LOG).unwrap().readable.digest, chain.digest());
    }
}

#[test]
fn a_missing_file_is_told() {
    let chain = chain(&[(10, 15), (20, 22)], History::Kept);
    for gone in [1, 2] {
        let mut files = chain.files.clone();
        files.remove(&gone);
        let report = verify_on(&os_with(&files), LOG).unwrap();
        assert!(!report.is_clean(), "{report}");
        if gone == 2 {
            assert_eq!(report.damages[0].kind, DamageKind::Successor, "{report}");
            assert!(report.to_string().contains("the segment that the seal names is missing"), "{report}");
        } else {
            assert_eq!(report.readable.digest, chain.digest(), "the last one holds the state");
        }
    }
}

/// The canary: a snapshot that verifies and says something else is told, or nothing here compares digests.
#[test]
fn canary_a_snapshot_that_lies_is_told() {
    let honest = chain(&[(10, 15)], History::Kept);
    let mut other = honest.records.clone();
    other.truncate(10);
    other[4].ops.clear();
    let mut snapshot = Vec::new();
    fold(&other).write_snapshot(&mut snapshot);
    let header = Header { flags: 0, log_id: [7; 16], first_seq: 10, created_us: 45, chain_start: 0 };
    let mut bytes = header.encode().to_vec();
    let mut link = header.link();
    push(&mut bytes, &mut link, KIND_SNAPSHOT, &snapshot);
    let (base, base_crc) = (bytes.len() as u64, link.crc);
    let mut last = 0;
    for record in &honest.records[10..15] {
        last = push(&mut bytes, &mut link, KIND_RECORD, &payload(record));
    }
    let mut entry = honest.files[&0].clone();
    let at = entry.len() - 92;
    let prev = frame::claim(&entry[at..]).unwrap().prev;
    entry.truncate(at);
    let seal = Seal {
        log_id: [7; 16],
        at: at as u64,
        number: 1,
        base,
        tip: bytes.len() as u64,
        last,
        header_crc: header.link().crc,
        base_crc,
        tip_crc: link.crc,
    };
    push(&mut entry, &mut Link { seq: 15, crc: prev }, KIND_SEAL, &seal.encode());
    let report = verify_on(&os_with(&Files::from([(0, entry), (1, bytes)])), LOG).unwrap();
    assert_eq!(report.damages.iter().map(|it| it.kind).collect::<Vec<_>>(), [DamageKind::Base], "{report}");
    assert_eq!(report.records_lost(), 0, "{report}");
}

#[test]
fn the_snapshot_beside_a_log_is_compared() {
    let os = FakeOs::new();
    let records = every_op(0.0);
    let journal = FileJournal::open_on(std::sync::Arc::new(os.process(1)), LOG, &Options::default()).unwrap();
    for record in &records[..20] {
        journal.append(&[&payload(record)], Durability::Process).unwrap();
    }
    let save = |state: &State| {
        let mut source = |sink: &mut dyn FnMut(&[u8]) -> std::io::Result<()>| state.stream_snapshot(sink);
        assert!(journal.save_snapshot(Seq(20), &mut source).unwrap());
    };
    save(&fold(&records[..20]));
    let beside = Path::new("/log.snapshot");
    let good = os.file(beside).unwrap();
    assert_eq!(verify_on(&os, LOG).unwrap().snapshot, Some(SnapshotCheck::Agrees(20)));
    let mut bad = good.clone();
    bad[100] ^= 1;
    os.put(beside, &bad);
    assert_eq!(verify_on(&os, LOG).unwrap().snapshot, Some(SnapshotCheck::Unreadable));
    os.unlink(beside).unwrap();
    let mut wrong = records[..20].to_vec();
    wrong[4].ops.clear();
    save(&fold(&wrong));
    let report = verify_on(&os, LOG).unwrap();
    assert_eq!(report.snapshot, Some(SnapshotCheck::Contradicts(20)));
    assert!(report.is_clean(), "it is only a cache");
}

/// The log by itself, as the tests above have it in pieces.
#[test]
fn a_chain_says_what_one_file_says() {
    let one = Log::new(every_op(0.0), 1);
    assert_eq!(fold(&one.records).digest(), chain(&[(10, 15), (20, 22)], History::Kept).digest());
}
