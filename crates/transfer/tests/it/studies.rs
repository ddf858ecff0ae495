//! Studies to be transferred, with everything in them that a study can have.

use proptest::prelude::*;
use trialog_journal::{Durability, MemoryJournal};
use trialog_ops::*;
use trialog_replay::{StudyView, Verdict};
use trialog_storage::Storage;

pub(crate) fn empty() -> Storage {
    Storage::new(Box::new(MemoryJournal::new())).unwrap()
}

pub(crate) fn commit(storage: &Storage, ops: Vec<Op>) -> Vec<Verdict> {
    storage.commit(ops, Durability::Process).unwrap()
}

pub(crate) fn study(storage: &Storage, name: &str, directions: &[Direction]) -> StudyId {
    let op = Op::CreateStudy { name: name.into(), directions: directions.into(), config: None };
    match commit(storage, vec![op]).pop() {
        Some(Verdict::Study(id)) => id,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn view(storage: &Storage, name: &str) -> StudyView {
    storage.refresh().unwrap();
    let id = storage.with_state(|state| state.study_id(name)).expect("the study is there");
    storage.view(id).unwrap()
}

pub(crate) fn trial_id(view: &StudyView, number: u32) -> TrialId {
    view.trial(TrialNumber(number)).unwrap().id()
}

pub(crate) fn note(reason: &str) -> Box<Note> {
    Box::new(Note { by: "ada".into(), at: Timestamp(77), reason: reason.into() })
}

fn json(text: &str) -> Json {
    Json::parse(text).unwrap()
}

/// A study with every kind of trial, value, attribute and change.
pub(crate) fn everything(storage: &Storage, name: &str) -> StudyView {
    let id = study(storage, name, &[Direction::Minimize, Direction::Maximize]);
    let spec = |name: &str| ComponentSpec { name: name.into(), version: 3, options: json("{\"a\": [1,NaN]}") };
    let config = Box::new(StudyConfig { sampler: spec("tpe"), pruner: spec("none"), seed: u64::MAX });
    let float = |low, high, log, step| Distribution::Float(FloatDistribution::new(low, high, log, step).unwrap());
    let int = |low, high, log, step| Distribution::Int(IntDistribution::new(low, high, log, step).unwrap());
    let choices = [
        Choice::Null,
        Choice::Bool(true),
        Choice::Int(1),
        Choice::Float(1.0),
        Choice::Float(f64::INFINITY),
        Choice::from("Infinity"),
        Choice::from("größe"),
    ];
    let param = |name: &str, distribution: &Distribution, value| Param {
        param: ParamRef::Def(Box::new(ParamDef { name: name.into(), distribution: distribution.clone() })),
        value,
    };
    let series = |name: &str, reports: &[_]| MetricSeries {
        metric: MetricRef::Name(name.into()),
        reports: reports.to_vec(),
    };
    let cat = Distribution::categorical(choices).unwrap();
    let params = vec![
        param("f", &float(-1.0, 1.0, false, None), -0.0),
        param("l", &float(1e-9, 1.0, true, None), 0.1 + 0.2),
        param("s", &float(0.0, 1.0, false, Some(0.25)), 0.75),
        param("out", &float(0.0, 1.0, false, None), f64::NEG_INFINITY),
        param("i", &int(-5, 5, false, 1), -3.0),
        param("j", &int(1, 1024, true, 1), 64.0),
        param("k", &int(0, 9, false, 3), 2.5),
        param("c", &cat, 4.0),
        param("d", &cat, 5.0),
    ];
    let full = TrialTemplate {
        state: TrialState::Complete,
        values: vec![f64::INFINITY, -0.0],
        start: Some(Timestamp(-5)),
        end: Some(Timestamp(9_000_000_000_000_000)),
        params,
        reports: vec![
            (0, f64::NAN),
            (1, f64::from_bits(0x7ff8_0000_dead_beef)),
            (7, f64::NEG_INFINITY),
            (u64::MAX - 1, 5e-324),
        ],
        metrics: vec![
            series("größe", &[(3, -0.0), (u64::MAX - 1, f64::NAN)]),
            series("a b\"c", &[(0, f64::from_bits(0x7ff8_0000_dead_beef)), (1, f64::INFINITY)]),
        ],
        user_attrs: vec![("a".into(), json("[1, 2.50, NaN]")), ("b".into(), json("{\"$json\": \"x\"}"))],
        system_attrs: vec![("fixed_params".into(), json("{\"x\":1}"))],
        constraints: vec![("c".into(), f64::INFINITY), ("d".into(), -1.5)],
    };
    let mut ops = vec![
        Op::SetStudyConfig { study: id, config },
        Op::SetMetricNames { study: id, names: vec!["loss".into(), "größe".into()] },
        Op::SetBudget {
            study: id,
            budget: Budget { trials: Some(1 << 40), finished: None, until: Some(Timestamp(i64::MAX)) },
        },
        Op::SetRetryPolicy { study: id, policy: RetryPolicy { retries_max: 2, inherit_reports: true } },
        Op::SetStudyUserAttr { study: id, key: "owner".into(), value: json("\"ada\"") },
        Op::SetStudySystemAttr { study: id, key: "s".into(), value: json("[ ]") },
        Op::AddTrial { study: id, template: Box::new(full.clone()) },
    ];
    for state in TrialState::ALL {
        let values = if state == TrialState::Complete { vec![1.0, 2.0] } else { vec![] };
        let end = state.is_finished().then_some(Timestamp(10));
        let start = (state != TrialState::Waiting).then_some(Timestamp(4 + state as i64));
        let template = TrialTemplate { values, start, end, ..TrialTemplate::new(state) };
        ops.push(Op::AddTrial { study: id, template: Box::new(template) });
    }
    for _ in 0..2 {
        ops.push(Op::AddTrial { study: id, template: Box::new(full.clone()) });
    }
    commit(storage, ops);
    let known = view(storage, name);
    let trial = |number| trial_id(&known, number);
    let amendment = Amendment {
        state: Some(FinalState::Pruned),
        values: Some(vec![f64::NEG_INFINITY, 3.0]),
        user_attrs: vec![("a".into(), None), ("n".into(), Some(json("[ 1 ]"))), ("a".into(), Some(json("2")))],
        constraints: vec![("c".into(), Some(-1.0)), ("d".into(), None)],
    };
    let amend = |trial| Op::AmendTrial { trial, amendment: Box::new(amendment.clone()), note: note("unit") };
    let verdicts = commit(
        storage,
        vec![
            Op::VoidTrial { trial: trial(0), note: note("bug") },
            Op::UnvoidTrial { trial: trial(0), note: note("fine") },
            amend(trial(6)),
            amend(trial(7)),
            Op::UndoAmendment { trial: trial(7), change: 0, note: note("wrong") },
            Op::VoidTrial { trial: trial(7), note: note("bug") },
        ],
    );
    assert!(verdicts.iter().all(|verdict| *verdict == Verdict::Applied), "{verdicts:?}");
    view(storage, name)
}

/// A finished trial of a small universe, so that equal ones are common.
pub(crate) fn finished() -> impl Strategy<Value = TrialTemplate> {
    let state = prop::sample::select(&[TrialState::Complete, TrialState::Pruned, TrialState::Fail][..]);
    (state, 0..3i64, prop::option::of(0..6i64), 0..3i64).prop_map(|(state, value, start, took)| TrialTemplate {
        values: if state == TrialState::Complete { vec![value as f64] } else { vec![] },
        start: start.map(Timestamp),
        end: Some(Timestamp(start.unwrap_or(0) + took)),
        ..TrialTemplate::new(state)
    })
}
