//! What stat and history say, and how the reports read.

use crate::logs::{LOG, Log, every_op, os_with};
use trialog_inspect::{Error, Moment, as_of, as_of_on, digest_at, stat, stat_on, verify, verify_on};
use trialog_journal::{Durability, Journal as _, Seq};
use trialog_journal_file::{FileJournal, Options};
use trialog_ops::{Timestamp, TrialState};

#[test]
fn stat_accounts_for_every_byte() {
    let log = Log::new(every_op(0.0), 1);
    let found = stat_on(&os_with(&log.bytes), LOG).unwrap();
    let ops: u64 = found.ops.iter().map(|share| share.bytes).sum();
    assert_eq!(ops + found.framing_bytes, found.file_bytes);
    assert_eq!(found.file_bytes, log.bytes.len() as u64);
    let count: u64 = found.ops.iter().map(|share| share.count).sum();
    assert_eq!(count, log.records.iter().map(|record| record.ops.len() as u64).sum::<u64>());
    // All but the eleven that `every_op` leaves to tests of their own.
    assert_eq!(found.ops.len() + 11, trialog_codec::OPS.len());
    assert_eq!(found.studies.len(), 1);
    let study = &found.studies[0];
    assert_eq!((study.name.as_str(), study.count(TrialState::Complete), study.finished()), ("first", 5, 5));
    assert_eq!((study.params, study.reports), (3, 4));
    assert_eq!(found.times, Some((Timestamp(10), Timestamp(80))));
    assert_eq!(found.readable.counts.trials, 7);
    assert_eq!(found.readable.counts.sessions, 2);
    assert_eq!(found.bytes_per_finished_trial(), Some(found.file_bytes as f64 / 5.0));
    let largest = log.bounds.windows(2).map(|pair| pair[1] - pair[0]).max();
    assert_eq!(Some(found.largest[0].bytes as usize), largest);
    assert!(found.largest.windows(2).all(|pair| pair[0].bytes >= pair[1].bytes));
    assert!(found.to_string().contains("study \"first\": 5 complete"), "{found}");
    assert_eq!(found.damaged_at, None);
}

#[test]
fn stat_ends_at_damage() {
    let log = Log::new(every_op(0.0), 1);
    let mut bytes = log.bytes.clone();
    bytes[log.bounds[7] + 30] ^= 0xff;
    let found = stat_on(&os_with(&bytes), LOG).unwrap();
    assert_eq!((found.readable.records, found.damaged_at), (7, Some(log.bounds[7] as u64)));
}

#[test]
fn every_moment_is_what_a_reader_had_there() {
    let log = Log::new(every_op(0.0), 1);
    let os = os_with(&log.bytes);
    for n in 0..=log.records.len() {
        let state = as_of_on(&os, LOG, Moment::Seq(Seq(n as u64))).unwrap();
        assert_eq!(state.digest(), log.state_at(n).digest());
    }
    let error = as_of_on(&os, LOG, Moment::Seq(Seq(99))).unwrap_err();
    assert!(matches!(error, Error::TooShort { records: 29, wanted: 99, .. }), "{error}");
    for (time, records) in [(9, 4), (10, 6), (11, 9), (19, 9), (20, 15), (69, 27), (80, 29), (i64::MAX, 29)] {
        let state = as_of_on(&os, LOG, Moment::Time(Timestamp(time))).unwrap();
        assert_eq!(state.records(), records, "at {time}");
    }
    assert_eq!(as_of_on(&os, LOG, Moment::End).unwrap().records(), 29);
}

#[test]
fn a_moment_before_damage_is_still_there() {
    let log = Log::new(every_op(0.0), 1);
    let mut bytes = log.bytes.clone();
    bytes[log.bounds[7] + 30] ^= 0xff;
    let os = os_with(&bytes);
    assert_eq!(as_of_on(&os, LOG, Moment::Seq(Seq(7))).unwrap().digest(), log.state_at(7).digest());
    let error = as_of_on(&os, LOG, Moment::Seq(Seq(8))).unwrap_err();
    let Error::Damaged { offset, seq, .. } = error else { panic!("{error}") };
    assert_eq!((offset as usize, seq), (log.bounds[7], 7));
    // The last record with a flipped bit is a torn tail to a reader, so a shorter log.
    let mut bytes = log.bytes.clone();
    *bytes.last_mut().unwrap() ^= 1;
    assert_eq!(as_of_on(&os_with(&bytes), LOG, Moment::End).unwrap().records(), 28);
}

#[test]
fn real_files_work_as_well() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.tlog");
    let log = Log::new(every_op(0.0), 1);
    std::fs::write(&path, &log.bytes).unwrap();
    let whole = verify(&path).unwrap();
    assert!(whole.is_clean());
    assert_eq!(digest_at(&path, Seq(29)).unwrap(), whole.readable.digest);
    assert_eq!(as_of(&path, Moment::End).unwrap().digest(), stat(&path).unwrap().readable.digest);
    let target = folder.path().join("repaired.tlog");
    assert!(trialog_inspect::repair(&path, &target, trialog_inspect::Trust::Proven).unwrap().is_lossless());
    assert_eq!(verify(&target).unwrap().readable, whole.readable);
}

/// A look beside a writer at work finds no damage, and what it reads is always a state that was there.
#[test]
fn a_writer_at_work_is_no_damage() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.tlog");
    let journal = FileJournal::open(&path, &Options::default()).unwrap();
    let log = Log::new(every_op(0.0), 1);
    let records: Vec<Vec<u8>> = log.records.iter().map(encoded).collect();
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for record in &records {
                journal.append(&[record], Durability::Process).unwrap();
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
        });
        while !writer.is_finished() {
            let report = verify(&path).unwrap();
            assert!(report.is_clean(), "{report}");
            assert_eq!(report.readable.digest, log.state_at(report.readable.records as usize).digest());
        }
    });
    assert_eq!(verify(&path).unwrap().readable.records, 29);
}

/// A repaired log is a log: it is opened, read and written like any other.
#[test]
fn a_repaired_log_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let (path, target) = (folder.path().join("runs.tlog"), folder.path().join("repaired.tlog"));
    let log = Log::new(every_op(0.0), 1);
    let mut bytes = log.bytes.clone();
    for at in [log.bounds[9] + 24, log.bounds[10] - 1] {
        bytes[at] ^= 0x81;
    }
    std::fs::write(&path, &bytes).unwrap();
    let refused = FileJournal::open(&path, &Options::default()).unwrap().append(&[b"x"], Durability::Process);
    assert!(matches!(refused, Err(trialog_journal::Error::Corrupt { seq: 9, .. })), "{refused:?}");
    let repair = trialog_inspect::repair(&path, &target, trialog_inspect::Trust::Proven).unwrap();
    let journal = FileJournal::open(&target, &Options::default()).unwrap();
    assert_eq!(journal.log_id(), Some(repair.log_id));
    let seq = journal.append(&[&encoded(&log.records[1])], Durability::Power).unwrap();
    assert_eq!(seq, Seq(29));
    assert!(verify(&target).unwrap().is_clean());
}

fn encoded(record: &trialog_ops::Record) -> Vec<u8> {
    let mut bytes = Vec::new();
    trialog_codec::encode_record(record, &mut bytes);
    bytes
}

#[test]
fn what_is_no_log_is_said_so() {
    let empty = verify_on(&os_with(b""), LOG).unwrap();
    assert!(empty.unfinished && empty.is_clean() && empty.tail.is_none(), "{empty}");
    let error = |bytes: &[u8]| verify_on(&os_with(bytes), LOG).unwrap_err().to_string();
    assert_eq!(error(b"hello, world\n"), "/log is not a Trialog log: text that begins with \"hello, world\"");
    assert!(error(&[0; 4096]).contains("zero bytes where the header belongs"));
    let log = Log::new(every_op(0.0), 1);
    let missing = verify_on(&os_with(&log.bytes), "/no").unwrap_err().to_string();
    assert_eq!(missing, "there is no log at /no");
}

#[test]
fn reports_name_the_byte_and_what_is_lost() {
    let log = Log::new(every_op(0.0), 1);
    let mut bytes = log.bytes.clone();
    for at in [log.bounds[9] + 24, log.bounds[10] - 1] {
        bytes[at] ^= 0x81;
    }
    let report = verify_on(&os_with(&bytes), LOG).unwrap().to_string();
    assert!(report.contains(&format!("at byte {}, ", log.bounds[9])), "{report}");
    assert!(report.contains("record 9 is lost"), "{report}");
    assert!(report.contains("open at the loss, so what they became is uncertain: 2 trials"), "{report}");
    assert!(report.contains("trial 0 of \"first\" (running)"), "{report}");
}
