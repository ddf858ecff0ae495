//! Logs to damage: every op, two studies, two sessions, definitions and keys.

use std::path::Path;

use trialog_codec::{decode_record, encode_record};
use trialog_journal::frame::{self, FRAME_HEADER_BYTES, KIND_RECORD};
use trialog_journal::header::Header;
use trialog_ops::{
    Choice, ComponentSpec, Direction, Distribution, FinalState, Json, Op, Param, ParamDef, ParamKey, ParamRef,
    Record, SessionId, SessionKey, SessionRef, StudyConfig, StudyId, Timestamp, TrialId, TrialState, TrialTemplate,
};
use trialog_replay::State;
use trialog_testkit::FakeOs;

pub(crate) const LOG: &str = "/log";
pub(crate) const TARGET: &str = "/repaired";

/// A log, its records, and where their frames lie.
#[derive(Clone)]
pub(crate) struct Log {
    pub(crate) records: Vec<Record>,
    pub(crate) bytes: Vec<u8>,
    /// Where each frame begins, and the end of the last.
    pub(crate) bounds: Vec<usize>,
}

impl Log {
    pub(crate) fn new(records: Vec<Record>, id: u8) -> Log {
        let header = Header { flags: 0, log_id: [id; 16], first_seq: 0, created_us: 5, chain_start: 0 };
        let mut bytes = header.encode().to_vec();
        let mut bounds = vec![bytes.len()];
        let mut link = header.link();
        for record in &records {
            let mut payload = Vec::new();
            encode_record(record, &mut payload);
            assert_eq!(decode_record(&payload).as_ref(), Ok(record));
            let mut frames = Vec::new();
            frame::push_unsealed(&mut frames, KIND_RECORD, &payload);
            link = frame::seal(&mut frames, link, link.seq.saturating_sub(3));
            bytes.extend_from_slice(&frames);
            bounds.push(bytes.len());
        }
        Log { records, bytes, bounds }
    }

    /// The frames that these bytes touch.
    pub(crate) fn touched(&self, from: usize, to: usize) -> Vec<usize> {
        (0..self.records.len()).filter(|&n| self.bounds[n] < to && self.bounds[n + 1] > from).collect()
    }

    /// The frames whose bytes are not what they were.
    pub(crate) fn changed(&self, bytes: &[u8]) -> Vec<usize> {
        let differs = |n: &usize| {
            self.bytes[self.bounds[*n]..self.bounds[n + 1]] != bytes[self.bounds[*n]..self.bounds[n + 1]]
        };
        (0..self.records.len()).filter(differs).collect()
    }

    /// The state after the first `n` records.
    pub(crate) fn state_at(&self, n: usize) -> State {
        fold(&self.records[..n])
    }
}

pub(crate) fn fold(records: &[Record]) -> State {
    let mut state = State::new();
    for record in records {
        state.apply(record, &mut Vec::new());
    }
    state
}

/// What a log file holds: its records by a reader that is not the code under test.
pub(crate) fn records_of(bytes: &[u8]) -> Vec<Record> {
    let mut rest = &bytes[64..];
    let mut records = Vec::new();
    while !rest.is_empty() {
        let len =
            FRAME_HEADER_BYTES + usize::from(rest[4]) + (usize::from(rest[5]) << 8) + (usize::from(rest[6]) << 16);
        records.push(decode_record(&rest[FRAME_HEADER_BYTES..len]).unwrap());
        rest = &rest[len..];
    }
    records
}

pub(crate) fn os_with(bytes: &[u8]) -> FakeOs {
    let os = FakeOs::new();
    os.put(Path::new(LOG), bytes);
    os
}

fn json(text: &str) -> Json {
    Json::parse(text).unwrap()
}

pub(crate) fn float(name: &str) -> ParamRef {
    let distribution = Distribution::float(0.0, 1.0).unwrap();
    ParamRef::Def(Box::new(ParamDef { name: name.into(), distribution }))
}

fn kind() -> ParamRef {
    let choices = [Choice::Str("adam".into()), Choice::Null, Choice::Bool(true)];
    let distribution = Distribution::categorical(choices).unwrap();
    ParamRef::Def(Box::new(ParamDef { name: "kind".into(), distribution }))
}

pub(crate) fn key(key: u32) -> ParamRef {
    ParamRef::Key(ParamKey(key))
}

pub(crate) fn param(param: ParamRef, value: f64) -> Param {
    Param { param, value }
}

pub(crate) fn study(name: &str) -> Op {
    Op::CreateStudy { name: name.into(), directions: vec![Direction::Minimize], config: None }
}

pub(crate) fn create(study: u32, start: i64) -> Op {
    Op::CreateTrial { study: StudyId(study), start: Timestamp(start) }
}

pub(crate) fn set(trial: u64, params: Vec<Param>) -> Op {
    Op::SetParams { trial: TrialId(trial), params }
}

pub(crate) fn finish(trial: u64, value: f64, end: i64) -> Op {
    Op::FinishTrial { trial: TrialId(trial), state: FinalState::Complete, values: vec![value], end: Timestamp(end) }
}

pub(crate) fn report(trial: u64, step: u64, value: f64) -> Op {
    Op::Report { trial: TrialId(trial), step, value }
}

fn config() -> Box<StudyConfig> {
    let component = |name: &str| ComponentSpec { name: name.into(), version: 1, options: json("{}") };
    Box::new(StudyConfig { sampler: component("random"), pruner: component("none"), seed: 7 })
}

fn full() -> Box<TrialTemplate> {
    let mut template = TrialTemplate::new(TrialState::Complete);
    template.values = vec![0.5];
    template.start = Some(Timestamp(30));
    template.end = Some(Timestamp(31));
    template.params = vec![param(key(0), 0.5), param(kind(), 2.0)];
    template.reports = vec![(1, 0.25), (2, f64::INFINITY)];
    template.user_attrs = vec![("u".into(), json("[1]"))];
    template.system_attrs = vec![("s".into(), json("null"))];
    template.constraints = vec![("c".into(), -1.0)];
    Box::new(template)
}

/// The ops of the log, one record each, with the session that wrote it.
pub(crate) fn every_op(shift: f64) -> Vec<Record> {
    let (s, t) = (StudyId, TrialId);
    let ops: Vec<(usize, Vec<Op>)> = vec![
        (0, vec![study("first")]),
        (0, vec![Op::SetStudyConfig { study: s(0), config: config() }]),
        (0, vec![Op::SetMetricNames { study: s(0), names: vec!["loss".into()] }]),
        (0, vec![Op::SetStudyUserAttr { study: s(0), key: "u".into(), value: json("{\"a\": 1}") }]),
        (0, vec![create(0, 10)]),
        (0, vec![set(0, vec![param(float("x"), 0.1 + shift), param(float("y"), 0.2)])]),
        (1, vec![create(0, 11)]),
        (1, vec![set(1, vec![param(key(0), 0.3 + shift), param(key(1), 0.4)])]),
        (0, vec![report(0, 1, 0.5 + shift), report(0, 2, f64::INFINITY)]),
        (0, vec![finish(0, 1.5 + shift, 20)]),
        (1, vec![Op::SetTrialUserAttr { trial: t(1), key: "k".into(), value: json("\"v\"") }]),
        (1, vec![Op::SetTrialSystemAttr { trial: t(1), key: "k".into(), value: json("2") }]),
        (1, vec![Op::SetConstraint { trial: t(1), name: "c".into(), value: 0.25 }]),
        (0, vec![study("second")]),
        (0, vec![Op::AddTrial { study: s(0), template: Box::new(TrialTemplate::new(TrialState::Waiting)) }]),
        (1, vec![Op::ClaimTrial { trial: t(2), start: Timestamp(21) }]),
        (1, vec![Op::RequeueTrial { trial: t(2) }]),
        (0, vec![Op::AddTrial { study: s(0), template: full() }]),
        (0, vec![create(1, 40)]),
        (0, vec![set(4, vec![param(key(2), 1.0), param(key(1), 0.75)])]),
        (0, vec![Op::RetractParams { trial: t(4), params: vec![ParamKey(1)] }]),
        (0, vec![finish(4, 3.0 + shift, 45), create(1, 46)]),
        (1, vec![finish(1, 2.5 + shift, 50)]),
        (1, vec![Op::ClaimTrial { trial: t(2), start: Timestamp(51) }]),
        (0, vec![Op::SetStudySystemAttr { study: s(1), key: "k".into(), value: json("true") }]),
        (1, vec![set(2, vec![param(key(0), 0.9)]), finish(2, 4.5 + shift, 60)]),
        (0, vec![Op::DeleteStudy { study: s(1) }]),
        (0, vec![create(0, 70)]),
        (0, vec![finish(6, 5.5 + shift, 80)]),
    ];
    with_sessions(ops, 0)
}

/// Records of these sessions, which come by id first and by key then, as storages write them.
pub(crate) fn with_sessions(ops: Vec<(usize, Vec<Op>)>, salt: u8) -> Vec<Record> {
    let mut counters: Vec<(usize, u64)> = Vec::new();
    let mut records = Vec::new();
    for (session, ops) in ops {
        let at = counters.iter().position(|&(other, _)| other == session);
        let reference = at.map_or(SessionRef::Id(SessionId([10 + salt + session as u8; 16])), |at| {
            SessionRef::Key(SessionKey(at as u32))
        });
        let at = at.unwrap_or_else(|| {
            counters.push((session, 0));
            counters.len() - 1
        });
        counters[at].1 += 1;
        records.push(Record { session: reference, counter: counters[at].1, ops });
    }
    records
}

#[test]
fn the_log_has_every_op_and_all_take_effect() {
    let log = Log::new(every_op(0.0), 1);
    let mut codes: Vec<u8> =
        log.records.iter().flat_map(|record| &record.ops).map(trialog_codec::code_of).collect();
    codes.sort_unstable();
    codes.dedup();
    // What decides how many trials there are has a test of its own: behind it, little can be assumed.
    let of_workers = ["set_budget", "set_retry_policy", "renew_lease", "declare_lost"];
    // So has what is decided about a trial after its end.
    let of_ends = ["void_trial", "unvoid_trial", "amend_trial", "undo_amendment"];
    // And the names of metrics.
    let of_metrics = ["report_metrics", "add_trial_metrics"];
    // Where a sampler looked changes no state.
    let others = [&of_workers[..], &of_ends, &of_metrics, &["sampled_at"]].concat();
    let expected = trialog_codec::OPS.iter().filter(|op| !others.contains(&op.name));
    assert_eq!(codes, expected.map(|op| op.code).collect::<Vec<_>>());
    let mut state = State::new();
    for record in &log.records {
        let mut verdicts = Vec::new();
        state.apply(record, &mut verdicts);
        assert!(verdicts.iter().all(|verdict| verdict.rejection().is_none()), "{record:?}: {verdicts:?}");
    }
    assert_eq!(records_of(&log.bytes), log.records);
    println!("{} bytes", log.bytes.len());
}
