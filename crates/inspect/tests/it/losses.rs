//! Repairs of logs whose losses cost numbers, of logs without a header, of hostile ones, and of none at all.

use std::path::Path;
use std::time::Instant;

use crate::logs::{
    LOG, Log, TARGET, create, every_op, finish, float, fold, key, os_with, param, records_of, report, set, study,
    with_sessions,
};
use trialog_inspect::{DamageKind, Error, Repair, Trust, Why, repair_on, verify_on};
use trialog_journal::frame::{Claim, KIND_RECORD};
use trialog_ops::{
    Amendment, Budget, MetricKey, MetricRef, MetricValue, Note, Op, Record, RetryPolicy, StudyId, Timestamp,
    TrialId, TrialState, WorkerKey,
};
use trialog_replay::State;
use trialog_testkit::{Call, Failure};

/// Two workers on one study, as the facade has them write.
fn workers(trials: u64) -> Vec<Record> {
    let mut ops: Vec<(usize, Vec<Op>)> = vec![(0, vec![study("s")])];
    for trial in 0..trials {
        let worker = (trial % 2) as usize;
        let value = trial as f64 / 64.0;
        ops.push((worker, vec![create(0, 10 * trial as i64)]));
        let params = match trial {
            0 => vec![param(float("x"), value)],
            7 => vec![param(key(0), value), param(float("late"), value)],
            8.. => vec![param(key(0), value), param(key(1), value)],
            _ => vec![param(key(0), value)],
        };
        ops.push((worker, vec![set(trial, params)]));
        ops.push((worker, vec![report(trial, 1, value)]));
        ops.push((worker, vec![finish(trial, value, 10 * trial as i64 + 5)]));
    }
    with_sessions(ops, 0)
}

fn damage(log: &Log, lost: &[usize]) -> Vec<u8> {
    let mut bytes = log.bytes.clone();
    for n in lost {
        bytes[log.bounds[*n]..log.bounds[n + 1]].fill(0);
    }
    bytes
}

fn repaired(bytes: &[u8], trust: Trust) -> (Repair, State) {
    let os = os_with(bytes);
    let repair = repair_on(&os, LOG, TARGET, trust).unwrap();
    let report = verify_on(&os, TARGET).unwrap();
    assert!(report.is_clean() && report.tail.is_none(), "{report}");
    let state = fold(&records_of(&os.file(Path::new(TARGET)).unwrap()));
    assert_eq!(state.digest(), repair.readable.digest);
    (repair, state)
}

/// Nothing in `state` contradicts the log as it was: a trial says no more than it did, and the same.
fn never_wrong(state: &State, log: &Log, what: &str) {
    let truth = log.state_at(log.records.len());
    for view in state.studies() {
        let true_view = truth.view(view.id()).unwrap();
        for trial in view.trials().filter(|trial| trial.system_attr(trialog_inspect::LOST_TRIAL_ATTR).is_none()) {
            let was = true_view.trial(trial.number()).unwrap();
            assert_eq!((trial.id(), trial.start()), (was.id(), was.start()), "{what}");
            if trial.state() == TrialState::Complete {
                assert_eq!(trial.value(0), was.value(0), "{what}");
                assert_eq!(trial.end(), was.end(), "{what}");
            }
            for (name, _, value) in trial.params() {
                assert_eq!(was.param(name), Some(value), "{what}: {name}");
            }
            for reported in trial.reports() {
                assert!(was.reports().contains(reported), "{what}");
            }
        }
    }
}

/// The canary: numbers that slip because a lost trial has no placeholder are found, or `never_wrong` proves nothing.
#[test]
#[should_panic(expected = "slipped")]
fn canary_numbers_that_slip_are_found() {
    let log = Log::new(workers(6), 1);
    let mut records = log.records.clone();
    records[9].ops.clear();
    assert!(matches!(log.records[9].ops[0], Op::CreateTrial { .. }));
    never_wrong(&fold(&records), &log, "slipped");
}

/// A generator for damage, so that each run tries the same.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % n.max(1) as u64) as usize
    }
}

/// Several damages of many kinds at once: nothing panics, what is proven is never wrong, and a repaired log is whole.
#[test]
fn random_damage_is_never_believed() {
    let log = Log::new(workers(12), 1);
    let mut random = Random(0x5eed);
    for round in 0..800 {
        let mut bytes = log.bytes.clone();
        for _ in 0..=random.below(3) {
            let at = 64 + random.below(bytes.len() - 64);
            let to = (at + 1 + random.below(200)).min(bytes.len());
            let from = 64 + random.below(bytes.len() - 64);
            let piece = bytes[from..(from + to - at).min(bytes.len())].to_vec();
            match random.below(7) {
                0 => bytes[at..to].fill(0),
                1 => bytes[at] ^= 1 << random.below(8),
                2 => drop(bytes.drain(at..to)),
                3 => drop(bytes.splice(at..at, piece)),
                4 => drop(bytes.splice(at..at + piece.len().min(to - at), piece)),
                5 => bytes[at..to].iter_mut().for_each(|byte| *byte = random.below(256) as u8),
                _ => bytes[at..to].reverse(),
            }
            if bytes.len() <= 64 {
                break;
            }
        }
        let (_, state) = repaired(&bytes, Trust::Proven);
        never_wrong(&state, &log, &format!("round {round}"));
        repaired(&bytes, Trust::Likely);
    }
}

/// Bytes of payloads once looked so much like frames that a long log with many flips used up the search's budget, and
/// what lay behind was not looked at.
#[test]
fn a_long_log_with_many_flips_is_searched_to_its_end() {
    let log = Log::new(workers(3000), 1);
    let mut bytes = log.bytes.clone();
    let flips: Vec<usize> = (log.bounds[100]..log.bounds[log.records.len() - 2]).step_by(3001).collect();
    for &at in &flips {
        bytes[at] ^= 1;
    }
    let report = verify_on(&os_with(&bytes), LOG).unwrap();
    assert_eq!((report.damages.len(), report.records_lost()), (flips.len(), 0));
    assert_eq!(report.readable.digest, log.state_at(log.records.len()).digest());
}

/// Every stretch of up to four records zeroed: the proven repair is never wrong, nor is the likely one where
/// workers go on as they do, and the likely one keeps every later trial under its number.
#[test]
fn likely_repairs_line_numbers_up() {
    let log = Log::new(workers(12), 1);
    let records = log.records.len();
    for from in 1..records - 8 {
        for len in 1..=4 {
            let lost: Vec<usize> = (from..from + len).collect();
            let bytes = damage(&log, &lost);
            let what = format!("{lost:?} lost");
            let (_, proven) = repaired(&bytes, Trust::Proven);
            never_wrong(&proven, &log, &what);
            let (repair, likely) = repaired(&bytes, Trust::Likely);
            never_wrong(&likely, &log, &what);
            assert_eq!(repair.records_lost(), len as u64, "{what}: {repair}");
            assert!(repair.set_aside.is_empty(), "{what}");
            assert_eq!(likely.trial(TrialId(11)), log.state_at(records).trial(TrialId(11)), "{what}");
            let creates = lost.iter().filter(|&&n| matches!(log.records[n].ops[0], Op::CreateTrial { .. })).count();
            assert_eq!(repair.assumed.unwrap().trials, creates as u64, "{what}");
        }
    }
}

#[test]
fn a_lost_definition_keeps_out_what_needs_it() {
    let log = Log::new(workers(12), 1);
    let n = 2 + 7 * 4;
    assert!(matches!(&log.records[n].ops[0], Op::SetParams { params, .. } if params.len() == 2));
    let (repair, state) = repaired(&damage(&log, &[n]), Trust::Likely);
    assert_eq!(repair.assumed.unwrap().params, 1);
    assert!(repair.left_out.iter().all(|left| left.why == Why::Param(1) && left.op == "set_params"), "{repair}");
    assert_eq!(repair.left_out.len(), 4);
    assert_eq!(state.studies().next().unwrap().count(TrialState::Complete), 12);
}

/// A key of a metric means nothing where the record with its name is lost; names that come in full are as good as ever.
#[test]
fn a_lost_name_keeps_out_what_needs_it() {
    let measure = |trial, metrics: &[(MetricRef, f64)]| {
        let value = |(metric, value): &(MetricRef, f64)| MetricValue { metric: metric.clone(), value: *value };
        Op::ReportMetrics { trial: TrialId(trial), step: 1, values: metrics.iter().map(value).collect() }
    };
    let (name, by_key) = (|name: &str| MetricRef::Name(name.into()), |key| MetricRef::Key(MetricKey(key)));
    let ops: Vec<(usize, Vec<Op>)> = vec![
        (0, vec![study("a")]),
        (0, vec![create(0, 1)]),
        (0, vec![create(0, 2)]),
        (0, vec![measure(0, &[(name("loss"), 0.5)])]),
        (0, vec![measure(0, &[(name("acc"), 0.25)])]),
        (0, vec![measure(1, &[(by_key(0), 0.75)])]),
        (0, vec![measure(1, &[(by_key(0), 0.125), (by_key(1), 0.5)])]),
        (0, vec![measure(1, &[(name("acc"), 1.0)])]),
        (0, vec![finish(1, 1.0, 5)]),
    ];
    let log = Log::new(with_sessions(ops, 0), 1);
    let all = log.state_at(log.records.len());
    assert_eq!(all.view(StudyId(0)).unwrap().reported_metrics().collect::<Vec<_>>(), ["acc", "loss"]);
    let (repair, state) = repaired(&damage(&log, &[4]), Trust::Likely);
    assert_eq!(repair.assumed.map(|assumed| assumed.metrics), Some(1));
    let left: Vec<_> = repair.left_out.iter().map(|left| (left.op, left.why)).collect();
    assert_eq!(left, [("report_metrics", Why::Metric(1))], "{repair}");
    let view = state.view(StudyId(0)).unwrap();
    let trial = view.trials().nth(1).unwrap();
    assert_eq!((trial.reports_of("loss"), trial.reports_of("acc")), (&[(1, 0.75)][..], &[(1, 1.0)][..]));
}

/// With two studies nobody can say whose a lost trial was.
#[test]
fn a_trial_lost_among_studies_is_not_guessed() {
    let ops: Vec<(usize, Vec<Op>)> = vec![
        (0, vec![study("a")]),
        (0, vec![study("b")]),
        (0, vec![create(0, 1)]),
        (0, vec![create(1, 2)]),
        (0, vec![create(0, 3)]),
        (0, vec![finish(0, 0.0, 4)]),
        (0, vec![finish(1, 1.0, 5)]),
        (0, vec![finish(2, 2.0, 6)]),
    ];
    let log = Log::new(with_sessions(ops, 0), 1);
    let (repair, state) = repaired(&damage(&log, &[3]), Trust::Likely);
    assert_eq!(repair.assumed, None);
    let whys: Vec<Why> = repair.left_out.iter().map(|left| left.why).collect();
    assert_eq!(whys, [Why::Numbers, Why::Trial(1), Why::Trial(2)]);
    never_wrong(&state, &log, "b's trial lost");
    assert_eq!(state.trial(TrialId(1)), None);
}

#[test]
fn a_log_without_its_header_is_whole_otherwise() {
    let log = Log::new(every_op(0.0), 1);
    let mut bytes = log.bytes.clone();
    for fill in [0, 0xaa] {
        bytes[..64].fill(fill);
        let report = verify_on(&os_with(&bytes), LOG).unwrap();
        assert_eq!(report.damages[0].kind, DamageKind::Header);
        assert_eq!((report.damages.len(), report.records_lost()), (1, 0), "{report}");
        let (repair, state) = repaired(&bytes, Trust::Proven);
        assert!(repair.is_lossless());
        assert_eq!(state.digest(), log.state_at(log.records.len()).digest());
    }
}

/// The original stays, a failure leaves no log, and a second attempt is possible elsewhere.
#[test]
fn a_failed_repair_leaves_no_log() {
    let log = Log::new(every_op(0.0), 1);
    for call in [Call::WriteAt, Call::SyncData, Call::SyncDir] {
        for after in 0..3 {
            let os = os_with(&log.bytes);
            os.fail(Some(call), after, Failure::Errno(5));
            if repair_on(&os, LOG, TARGET, Trust::Proven).is_ok() {
                assert!(after > 0);
                continue;
            }
            let left = verify_on(&os, TARGET);
            assert!(matches!(left, Err(Error::NotALog { .. })) || left.is_ok_and(|r| r.unfinished || r.is_clean()));
            assert_eq!(os.file(Path::new(LOG)).unwrap(), log.bytes);
            assert!(repair_on(&os, LOG, "/elsewhere", Trust::Proven).unwrap().is_lossless());
        }
    }
}

#[test]
fn what_is_there_is_left_alone() {
    let log = Log::new(every_op(0.0), 1);
    let os = os_with(&log.bytes);
    os.put(TARGET, b"precious");
    for target in [TARGET, LOG] {
        let error = repair_on(&os, LOG, target, Trust::Likely).unwrap_err();
        assert!(matches!(error, Error::TargetExists { .. }), "{error}");
    }
    assert_eq!(os.file(Path::new(TARGET)).unwrap(), b"precious");
}

fn report_of(trial: u64) -> Op {
    report(trial, 1, 0.0)
}

/// Bytes that someone made to be slow: headers everywhere that claim long frames, and records far ahead.
#[test]
fn hostile_logs_end_in_time() {
    let log = Log::new(every_op(0.0), 1);
    let start = Instant::now();
    let claim = |len, seq| Claim { len, kind: KIND_RECORD, seq, crc: 1, prev: 2, unsynced: 0 };
    let mut headers = log.bytes.clone();
    for n in 0..20_000 {
        headers.extend_from_slice(&claim(200_000, 30 + n).encode());
    }
    let report = verify_on(&os_with(&headers), LOG).unwrap();
    assert_eq!(report.readable.records, log.records.len() as u64);
    assert_eq!(report.damages.iter().map(|damage| damage.kind).collect::<Vec<_>>(), [DamageKind::Unsearched]);

    let mut zeros = log.bytes.clone();
    zeros.resize(4 << 20, 0);
    assert!(verify_on(&os_with(&zeros), LOG).unwrap().is_clean());

    // Frames without records that continue one another by the thousand, and one that all could continue.
    let mut chain = log.bytes.clone();
    chain.extend_from_slice(&[0x55; 100]);
    let mut frames = Vec::new();
    for _ in 0..50_000 {
        trialog_journal::frame::push_unsealed(&mut frames, 0x80, &[]);
    }
    trialog_journal::frame::seal(&mut frames, trialog_journal::frame::Link { seq: 29, crc: 9 }, 0);
    chain.extend_from_slice(&frames);
    chain.extend_from_slice(&frames);
    let report = verify_on(&os_with(&chain), LOG).unwrap();
    assert_eq!((report.readable.records, report.records_lost()), (29, 0), "{report}");

    // References to what no log has.
    let mut wild = workers(3);
    wild.push(Record { ops: vec![report_of(u64::MAX), create(0, 1), report_of(u64::MAX - 1)], ..wild[5].clone() });
    let wild = Log::new(wild, 1);
    for trust in [Trust::Proven, Trust::Likely] {
        repaired(&damage(&wild, &[4]), trust);
    }

    // A whole frame that says that four billion records lie before it.
    let mut far = Log::new(every_op(0.0), 1).bytes;
    let mut frame = Vec::new();
    trialog_journal::frame::push_unsealed(&mut frame, KIND_RECORD, &[1, 1, 0]);
    trialog_journal::frame::seal(&mut frame, trialog_journal::frame::Link { seq: u64::from(u32::MAX), crc: 7 }, 0);
    far.extend_from_slice(&frame);
    for trust in [Trust::Proven, Trust::Likely] {
        let (repair, state) = repaired(&far, trust);
        assert_eq!(state.records(), log.records.len() as u64, "{repair}");
        assert_eq!(repair.set_aside.len(), 1);
    }
    assert!(start.elapsed().as_secs() < 30, "{:?}", start.elapsed());
}

#[test]
fn a_record_that_cannot_be_read_is_a_loss_and_no_more() {
    let log = Log::new(workers(3), 1);
    let mut link = None;
    let mut bytes = log.bytes[..log.bounds[4]].to_vec();
    for n in 4..log.records.len() {
        let claim = trialog_journal::frame::claim(&log.bytes[log.bounds[n]..]).unwrap();
        let mut payload = log.bytes[log.bounds[n] + 24..log.bounds[n + 1]].to_vec();
        if n == 4 {
            payload = vec![1, 9, 1, 7, 1, 0xff];
        }
        let mut frame = Vec::new();
        trialog_journal::frame::push_unsealed(&mut frame, KIND_RECORD, &payload);
        let at = link.unwrap_or(trialog_journal::frame::Link { seq: 4, crc: claim.prev });
        link = Some(trialog_journal::frame::seal(&mut frame, at, 0));
        bytes.extend_from_slice(&frame);
    }
    let report = verify_on(&os_with(&bytes), LOG).unwrap();
    assert_eq!(report.damages.len(), 1, "{report}");
    assert_eq!((report.damages[0].kind, report.damages[0].lost.clone()), (DamageKind::Unreadable, 4..5));
    let (repair, state) = repaired(&bytes, Trust::Proven);
    assert_eq!(repair.records_lost(), 1);
    never_wrong(&state, &log, "record 4");
}

/// Behind a loss nobody knows how many trials a budget refused, or how many a dead worker's trials were tried again
/// as: whatever is lost, and however much is assumed, no trial says what another one said.
#[test]
fn what_budgets_and_dead_workers_decide_is_not_assumed() {
    let (study_id, end) = (StudyId(0), Timestamp(500));
    let budget =
        |trials| Op::SetBudget { study: study_id, budget: Budget { trials: Some(trials), ..Budget::default() } };
    let policy = RetryPolicy { retries_max: 1, inherit_reports: false };
    let retries = Op::SetRetryPolicy { study: study_id, policy };
    let lost = |seen| Op::DeclareLost { worker: WorkerKey(1), seen, end };
    let x = |trial: u64| set(trial, vec![param(float("x"), trial as f64 / 8.0)]);
    let with_budget = vec![
        (0, vec![study("s")]),
        (0, vec![budget(2)]),
        (0, vec![create(0, 1), x(0)]),
        (0, vec![create(0, 2), x(1)]),
        (0, vec![create(0, 3)]),
        (0, vec![budget(9)]),
        (0, vec![create(0, 4), x(2)]),
        (0, vec![finish(2, 2.0, 5)]),
        (0, vec![create(0, 6), x(3)]),
    ];
    let with_loss = vec![
        (0, vec![study("s")]),
        (0, vec![retries]),
        (1, vec![Op::RenewLease { lease_ms: 10 }, create(0, 1), x(0)]),
        (0, vec![create(0, 2), x(1)]),
        (0, vec![lost(2)]),
        (0, vec![create(0, 3), x(3)]),
        (0, vec![finish(3, 3.0, 5)]),
        (0, vec![finish(2, 2.0, 7)]),
    ];
    for ops in [with_budget, with_loss] {
        let log = Log::new(with_sessions(ops, 0), 1);
        for n in 1..log.records.len() - 1 {
            for trust in [Trust::Proven, Trust::Likely] {
                let (_, state) = repaired(&damage(&log, &[n]), trust);
                never_wrong(&state, &log, &format!("record {n} lost"));
            }
        }
    }
}

/// What was decided about a trial after its end stays with that trial whatever is lost before, and an amendment is not
/// taken back by its place where another may have that place now.
#[test]
fn changes_of_finished_trials_stay_with_their_trials() {
    let note = || Box::new(Note { by: "ada".into(), at: Timestamp(9), reason: "bug".into() });
    let amend = |trial: u64, value: f64| Op::AmendTrial {
        trial: TrialId(trial),
        amendment: Box::new(Amendment { values: Some(vec![value]), ..Amendment::default() }),
        note: note(),
    };
    let ops = vec![
        (0, vec![study("s")]),
        (0, vec![create(0, 1), finish(0, 1.0, 2)]),
        (0, vec![create(0, 1), finish(1, 2.0, 2)]),
        (0, vec![amend(0, 5.0)]),
        (0, vec![amend(0, 6.0)]),
        (0, vec![Op::VoidTrial { trial: TrialId(1), note: note() }]),
        (0, vec![Op::UndoAmendment { trial: TrialId(0), change: 0, note: note() }]),
        (0, vec![Op::UnvoidTrial { trial: TrialId(1), note: note() }]),
    ];
    let log = Log::new(with_sessions(ops, 0), 1);
    let (repair, state) = repaired(&damage(&log, &[3]), Trust::Likely);
    let view = state.view(StudyId(0)).unwrap();
    let trials: Vec<_> = view.trials().map(|trial| (trial.value(0), trial.changes().len())).collect();
    assert_eq!(trials, [(Some(6.0), 1), (Some(2.0), 2)], "the undoing of a lost amendment is left out");
    assert_eq!(repair.left_out.iter().map(|left| left.op).collect::<Vec<_>>(), ["undo_amendment"]);
}
