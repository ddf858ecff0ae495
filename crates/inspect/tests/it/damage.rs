//! Every cut, every flip, every sector: what the reports say, and that a repaired log holds what an oracle that
//! knows the damage expects.

use std::path::Path;

use crate::logs::{LOG, Log, TARGET, every_op, fold, os_with, records_of};
use trialog_inspect::{DamageKind, Repair, Report, Trust, repair_on, verify_on};
use trialog_ops::{Op, ParamRef, Record, StudyId, TrialId};
use trialog_replay::{State, TrialView};

/// Looks at the damaged bytes and repairs them; what the repaired log holds is checked against itself.
fn look(bytes: &[u8], trust: Trust) -> (Report, Repair, Vec<Record>) {
    let os = os_with(bytes);
    let report = verify_on(&os, LOG).unwrap();
    let repair = repair_on(&os, LOG, TARGET, trust).unwrap();
    assert_eq!(os.file(Path::new(LOG)).unwrap(), bytes, "the original was changed");
    let after = verify_on(&os, TARGET).unwrap();
    assert!(after.is_clean() && after.tail.is_none() && !after.unfinished, "{after}");
    assert_eq!(after.readable, repair.readable);
    let records = records_of(&os.file(Path::new(TARGET)).unwrap());
    assert_eq!(fold(&records).digest(), after.readable.digest);
    (report, repair, records)
}

/// What an oracle expects that knows which records are lost: those before the first loss, and behind it, at their
/// places, the ops that name only what was there before and make nothing.
fn oracle(log: &Log, lost: &[usize], linked: bool) -> State {
    let first = lost.iter().copied().min().unwrap_or(log.records.len());
    let known = log.state_at(first);
    let mut state = known.clone();
    if !linked {
        return state;
    }
    for (n, record) in log.records.iter().enumerate().skip(first) {
        let mut record = record.clone();
        record.ops.retain(|op| !lost.contains(&n) && survives(op, &known));
        state.apply(&record, &mut Vec::new());
    }
    state
}

/// Written out once more, and in another way than in the code under test: by asking the state.
fn survives(op: &Op, known: &State) -> bool {
    let trial = |id: &TrialId| known.trial(*id).is_some();
    // Study 1 comes second: its id is known as soon as its name is, and for ever.
    let study = |id: &StudyId| known.view(*id).is_some();
    let key = |key: u32| {
        let defs = [("x", 0), ("y", 1), ("kind", 2)];
        defs.iter().any(|&(name, its)| its == key && known.studies().any(|study| study.param(name).is_some()))
    };
    match op {
        Op::CreateStudy { .. } | Op::CreateTrial { .. } | Op::AddTrial { .. } | Op::DeclareLost { .. } => false,
        Op::DeleteStudy { study: id }
        | Op::SetStudyUserAttr { study: id, .. }
        | Op::SetStudySystemAttr { study: id, .. }
        | Op::SetMetricNames { study: id, .. }
        | Op::SetStudyConfig { study: id, .. }
        | Op::SetBudget { study: id, .. }
        | Op::SetRetryPolicy { study: id, .. } => study(id),
        Op::SetParams { trial: id, params } => {
            let keys = params.iter().all(|param| match param.param {
                ParamRef::Key(it) => key(it.0),
                ParamRef::Def(_) => true,
            });
            trial(id) && keys
        }
        // Nobody reports metrics in these logs.
        Op::ReportMetrics { .. } => false,
        Op::RetractParams { trial: id, params } => trial(id) && params.iter().all(|it| key(it.0)),
        Op::ClaimTrial { trial: id, .. }
        | Op::RequeueTrial { trial: id }
        | Op::Report { trial: id, .. }
        | Op::FinishTrial { trial: id, .. }
        | Op::SetTrialUserAttr { trial: id, .. }
        | Op::SetTrialSystemAttr { trial: id, .. }
        | Op::SetConstraint { trial: id, .. }
        | Op::VoidTrial { trial: id, .. }
        | Op::UnvoidTrial { trial: id, .. }
        | Op::AmendTrial { trial: id, .. } => trial(id),
        Op::UndoAmendment { .. } => false,
        Op::RenewLease { .. } | Op::SampledAt { .. } | Op::Skipped { .. } => true,
    }
}

/// The studies say the same: what counts, since sessions and positions may differ after a repair.
fn same_studies(a: &State, b: &State) -> bool {
    let digests = |state: &State| state.studies().map(|view| (view.id(), view.digest())).collect::<Vec<_>>();
    let ids = |state: &State| {
        let views: Vec<_> = state.studies().collect();
        views.iter().flat_map(|view| view.trials().map(TrialView::id).collect::<Vec<_>>()).collect::<Vec<_>>()
    };
    digests(a) == digests(b) && ids(a) == ids(b)
}

#[test]
fn a_whole_log_is_whole_and_its_repair_a_copy() {
    let log = Log::new(every_op(0.0), 1);
    let (report, repair, records) = look(&log.bytes, Trust::Proven);
    assert!(report.is_clean() && report.tail.is_none());
    assert_eq!(report.readable.records, log.records.len() as u64);
    assert_eq!(report.readable.digest, fold(&log.records).digest());
    assert_eq!(records, log.records);
    assert!(repair.is_lossless());
    assert_ne!(Some(repair.log_id), report.log_id);
}

#[test]
fn every_cut() {
    let log = Log::new(every_op(0.0), 1);
    for end in 64..log.bytes.len() {
        let whole = log.bounds.iter().filter(|&&bound| bound <= end).count() - 1;
        let (report, repair, records) = look(&log.bytes[..end], Trust::Proven);
        assert!(report.is_clean(), "cut at {end}: {report}");
        let torn = log.bounds[whole];
        let tail = report.tail.map(|tail| (tail.offset as usize, tail.bytes as usize, tail.mendable));
        assert_eq!(tail, (end > torn).then_some((torn, end - torn, false)), "cut at {end}");
        assert_eq!(records, log.records[..whole], "cut at {end}");
        assert!(repair.is_lossless());
    }
}

/// In two halves, which run side by side.
#[test]
fn every_bit_flip_of_even_bytes_is_found_and_mended() {
    every_bit_flip(0);
}

#[test]
fn every_bit_flip_of_odd_bytes_is_found_and_mended() {
    every_bit_flip(1);
}

fn every_bit_flip(parity: usize) {
    let log = Log::new(every_op(0.0), 1);
    let last = log.bounds[log.records.len() - 1];
    for at in (parity..log.bytes.len()).step_by(2) {
        for bit in 0..8 {
            let mut bytes = log.bytes.clone();
            bytes[at] ^= 1 << bit;
            let place = format!("bit {bit} of byte {at}");
            // A repair looks with `verify` itself; once a byte is enough to see that both say the same.
            let (repair, records) = if bit == at % 8 {
                let (report, repair, records) = look(&bytes, Trust::Proven);
                assert_eq!(report.damages, repair.damages, "{place}");
                let mendable = report.tail.map(|tail| (tail.offset as usize, tail.mendable));
                assert_eq!(mendable, (at >= last).then_some((last, true)), "{place}");
                (repair, records)
            } else {
                let os = os_with(&bytes);
                let repair = repair_on(&os, LOG, TARGET, Trust::Proven).unwrap();
                (repair, records_of(&os.file(Path::new(TARGET)).unwrap()))
            };
            assert!(records == log.records, "{place}: {repair}");
            assert!(repair.is_lossless(), "{place}: {repair}");
            let found: Vec<_> = repair.damages.iter().map(|damage| (damage.kind, damage.offset as usize)).collect();
            if at < 64 {
                assert_eq!(found, [(DamageKind::Header, 0)], "{place}");
            } else if at >= last {
                assert!(found.is_empty(), "{place}: a reader takes it for a torn tail");
            } else {
                let hit = log.touched(at, at + 1)[0];
                assert_eq!(found, [(DamageKind::Overwritten, log.bounds[hit])], "{place}");
                let damage = &repair.damages[0];
                assert_eq!(damage.bytes as usize, log.bounds[hit + 1] - log.bounds[hit], "{place}");
                assert_eq!((damage.mended, damage.lost.is_empty()), (1, true), "{place}");
            }
        }
    }
}

/// More than one bit is mended only where the chain knows the bytes, and then to what they were.
#[test]
fn two_flipped_bits_are_never_mended_into_something_else() {
    let log = Log::new(every_op(0.0), 1);
    for n in (0..log.records.len()).step_by(2) {
        let (from, to) = (log.bounds[n], log.bounds[n + 1]);
        for at in from..to {
            let other = from + (at * 7 + 13) % (to - from);
            let mut bytes = log.bytes.clone();
            bytes[at] ^= 1 << (at % 8);
            bytes[other] ^= 2 << (at % 7);
            let os = os_with(&bytes);
            repair_on(&os, LOG, TARGET, Trust::Proven).unwrap();
            let records = records_of(&os.file(Path::new(TARGET)).unwrap());
            assert_eq!(records[..n], log.records[..n]);
            if let Some(record) = records.get(n).filter(|record| !record.ops.is_empty()) {
                assert_eq!(record, &log.records[n], "bytes {at} and {other}");
            }
        }
    }
}

/// Two bits of one payload: more than can be mended, and the chain runs on.
#[test]
fn each_record_lost_alone() {
    let log = Log::new(every_op(0.0), 1);
    for n in 0..log.records.len() - 1 {
        let mut bytes = log.bytes.clone();
        for at in [log.bounds[n] + 24, log.bounds[n + 1] - 1] {
            bytes[at] ^= 0x81;
        }
        let (report, repair, records) = look(&bytes, Trust::Proven);
        assert_eq!(report.damages.len(), 1, "{report}");
        let damage = &report.damages[0];
        assert_eq!(damage.offset as usize, log.bounds[n]);
        assert_eq!(damage.lost, n as u64..n as u64 + 1);
        assert!(damage.continuous);
        assert_eq!(records.len(), log.records.len(), "positions stay");
        assert_eq!(records[..n], log.records[..n]);
        let (state, expected) = (fold(&records), oracle(&log, &[n], true));
        assert!(same_studies(&state, &expected), "record {n} lost: {repair}");
        assert_eq!(repair.records_lost(), 1);
        let behind: usize = log.records[n + 1..].iter().map(|record| record.ops.len()).sum();
        let kept: usize = records[n + 1..].iter().map(|record| record.ops.len()).sum();
        assert_eq!(behind, kept + repair.left_out.len(), "every op is kept or named");
    }
}

/// The canary: an oracle that forgets what is lost must be contradicted, or the comparison proves nothing.
#[test]
fn canary_a_wrong_oracle_is_contradicted() {
    let log = Log::new(every_op(0.0), 1);
    let mut bytes = log.bytes.clone();
    let n = 9;
    for at in [log.bounds[n] + 24, log.bounds[n + 1] - 1] {
        bytes[at] ^= 0x81;
    }
    let (_, _, records) = look(&bytes, Trust::Proven);
    let state = fold(&records);
    assert!(same_studies(&state, &oracle(&log, &[n], true)));
    for wrong in [oracle(&log, &[], true), oracle(&log, &[n + 1], true), oracle(&log, &[n], false)] {
        assert!(!same_studies(&state, &wrong));
    }
}

/// What a repair may hold after larger damage: the records before it; and behind it nothing that is not so.
fn check_never_wrong(log: &Log, bytes: &[u8], lost: &[usize], what: &str) {
    let (report, repair, records) = look(bytes, Trust::Proven);
    let first = lost.iter().copied().min().unwrap_or(log.records.len());
    assert!(records.len() >= first && records[..first] == log.records[..first], "{what}: {report}");
    let state = fold(&records);
    let may = [oracle(log, lost, false), oracle(log, lost, true)];
    assert!(may.iter().any(|may| same_studies(&state, may)), "{what}: {report}{repair}");
    let taken = records.len() + repair.set_aside.len();
    assert!(taken >= log.records.len() - lost.len(), "{what}: {repair}");
    // Another look changes nothing.
    assert_eq!(verify_on(&os_with(bytes), LOG).unwrap(), report);
}

#[test]
fn every_sector_zeroed_or_garbled() {
    let log = Log::new(every_op(0.0), 1);
    for sector in [64, 128, 512] {
        for from in (0..log.bytes.len()).step_by(sector) {
            let to = (from + sector).min(log.bytes.len());
            for fill in [0, 0xff, 0x55] {
                let mut bytes = log.bytes.clone();
                bytes[from..to].fill(fill);
                let lost = log.changed(&bytes);
                let what = format!("{from} to {to} filled with {fill:#x}");
                if lost.last().is_some_and(|&last| last + 1 == log.records.len()) {
                    // The end of the log: what does not verify there is a torn tail.
                    let os = os_with(&bytes);
                    let report = verify_on(&os, LOG).unwrap();
                    assert_eq!(report.readable.records as usize, lost[0], "{what}");
                    assert_eq!(report.tail.map(|tail| tail.offset as usize), Some(log.bounds[lost[0]]), "{what}");
                    continue;
                }
                let report = verify_on(&os_with(&bytes), LOG).unwrap();
                let losses: Vec<_> = report.damages.iter().filter(|damage| !damage.lost.is_empty()).collect();
                assert_eq!(losses.len(), usize::from(!lost.is_empty()), "{what}: {report}");
                for damage in losses {
                    // Seqs and checksums that the chain knows are mended, the rest is lost.
                    assert_eq!(damage.lost.end as usize, lost[lost.len() - 1] + 1, "{what}");
                }
                let mended: u64 = report.damages.iter().map(|damage| damage.mended).sum();
                check_never_wrong(&log, &bytes, &lost[mended as usize..], &what);
            }
        }
    }
}

#[test]
fn neighbouring_sectors_swapped() {
    let log = Log::new(every_op(0.0), 1);
    for sector in [128, 256, 512] {
        let mut from = 0;
        while from + 2 * sector <= log.bytes.len() {
            let mut bytes = log.bytes.clone();
            bytes[from..from + 2 * sector].rotate_left(sector);
            let os = os_with(&bytes);
            match verify_on(&os, LOG) {
                Ok(report) => {
                    assert!(!report.is_clean() || report.tail.is_some(), "{from}");
                    let before = report.readable.records as usize;
                    let (_, _, records) = look(&bytes, Trust::Proven);
                    assert_eq!(records[..before.min(log.records.len())], log.records[..before]);
                    let first = log.touched(from, from + 2 * sector)[0];
                    assert!(before >= first || from == 0);
                    let lost: Vec<usize> = (before..log.records.len()).collect();
                    let state = fold(&records);
                    assert!(same_studies(&state, &oracle(&log, &lost, false)), "{from}: {report}");
                }
                Err(error) => assert_eq!(from, 0, "{error}"),
            }
            from += sector;
        }
    }
}

#[test]
fn garbage_and_zeros_behind_the_end_are_a_torn_tail() {
    let log = Log::new(every_op(0.0), 1);
    for extra in [1, 23, 24, 25, 100, 511, 4096] {
        for fill in [0u8, 0xff, 0x31] {
            let mut bytes = log.bytes.clone();
            bytes.resize(log.bytes.len() + extra, fill);
            let (report, _, records) = look(&bytes, Trust::Proven);
            assert!(report.is_clean());
            let tail = report.tail.unwrap();
            assert_eq!((tail.offset as usize, tail.bytes as usize), (log.bytes.len(), extra));
            assert_eq!(records, log.records);
        }
    }
}

#[test]
fn every_stretch_of_frames_doubled_loses_nothing() {
    let log = Log::new(every_op(0.0), 1);
    let n = log.records.len();
    for from in 0..n {
        for to in (from + 1..=n).step_by(3) {
            let (a, b) = (log.bounds[from], log.bounds[to]);
            let bytes = [&log.bytes[..b], &log.bytes[a..b], &log.bytes[b..]].concat();
            let (report, repair, records) = look(&bytes, Trust::Proven);
            assert_eq!(report.damages.len(), 1, "{report}");
            assert_eq!(report.damages[0].kind, DamageKind::Doubled);
            assert_eq!((report.damages[0].offset, report.damages[0].bytes), (b as u64, (b - a) as u64));
            assert_eq!(records, log.records);
            assert!(repair.is_lossless());
        }
    }
}

#[test]
fn every_stretch_of_bytes_removed() {
    let log = Log::new(every_op(0.0), 1);
    for from in (64..log.bytes.len()).step_by(37) {
        for len in [1, 2, 24, 60, 100, 333] {
            let to = (from + len).min(log.bytes.len());
            let bytes = [&log.bytes[..from], &log.bytes[to..]].concat();
            let lost = log.touched(from, to);
            let (report, _, records) = look(&bytes, Trust::Proven);
            let what = format!("{from} to {to} removed: {report}");
            assert_eq!(records[..lost[0]], log.records[..lost[0]], "{what}");
            let state = fold(&records);
            let may = [oracle(&log, &lost, false), oracle(&log, &lost, true)];
            assert!(may.iter().any(|may| same_studies(&state, may)), "{what}");
            if let Some(damage) = report.damages.first() {
                assert_eq!(damage.offset as usize, log.bounds[lost[0]], "{what}");
            }
        }
    }
}

#[test]
fn two_logs_spliced_anywhere_are_never_mixed() {
    let a = Log::new(every_op(0.0), 1);
    let b = Log::new(every_op(0.03125), 2);
    for from in (64..a.bytes.len()).step_by(29) {
        for to in (64..b.bytes.len()).step_by(31).chain(b.bounds.iter().copied()) {
            let bytes = [&a.bytes[..from], &b.bytes[to..]].concat();
            let os = os_with(&bytes);
            repair_on(&os, LOG, TARGET, Trust::Proven).unwrap();
            let records = records_of(&os.file(Path::new(TARGET)).unwrap());
            let whole = a.bounds.iter().filter(|&&bound| bound <= from).count() - 1;
            // The spliced bytes may happen to complete the frame that was cut.
            assert!((whole..=whole + 1).contains(&records.len()), "{from}, {to}");
            assert_eq!(records, a.records[..records.len()], "{from}, {to}");
        }
    }
}

/// Found by fuzzing: of a file that is shorter than a header, and whose bytes no write can have left, the length was taken
/// from the header's.
#[test]
fn a_damaged_file_shorter_than_a_header_is_named() {
    let mut bytes = Log::new(every_op(0.0), 1).bytes[..33].to_vec();
    bytes[12..30].fill(0xce);
    let report = verify_on(&os_with(&bytes), LOG).unwrap();
    assert!(!report.is_clean(), "{report}");
}
