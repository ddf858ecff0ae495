//! Every suggestion of a study can be derived again from its log, in whatever company it was made.

use std::sync::Arc;

use trialog::pruners::{Never, Pruner};
use trialog::samplers::{Random, Sampler, Tpe, TpeOptions};
use trialog::{Study, TrialNumber};
use trialog_journal::{Durability, MemoryJournal};
use trialog_ops::{Distribution, Op, Param, ParamDef, ParamRef, Timestamp};

fn evaluate(study: &Study, trials: usize, jobs: usize) {
    study
        .optimizer()
        .n_trials(trials)
        .n_jobs(jobs)
        .run(|trial| {
            let x = trial.suggest_float("x", -5.0..=5.0)?;
            let kind = trial.suggest_categorical("kind", &["a", "b"])?;
            // A parameter that only some trials have, and a report between two suggestions.
            let y = if kind == "a" { trial.suggest_int("y", 1..=9)? as f64 } else { 0.0 };
            trial.report(0, x)?;
            let z = trial.suggest_float("z", 0.0..=f64::from(u8::from(x > 0.0)))?;
            Ok(x * x + y + z)
        })
        .unwrap();
}

fn samplers() -> Vec<Arc<dyn Sampler>> {
    let multivariate = TpeOptions { multivariate: Some(true), n_startup_trials: 5, ..TpeOptions::default() };
    vec![Arc::new(Random::new()), Arc::new(Tpe::new(TpeOptions::default())), Arc::new(Tpe::new(multivariate))]
}

#[test]
fn alone_and_in_company() {
    for sampler in samplers() {
        for jobs in [1, 6] {
            let storage = trialog::Storage::in_memory().unwrap();
            let study = storage.study("s").sampler_named(&sampler.spec()).unwrap().create().unwrap();
            study.enqueue([("x", 1.0)]).unwrap();
            evaluate(&study, 60, jobs);
            let derived = study.rederive().unwrap();
            assert!(derived.is_same(), "{jobs} threads, {:?}: {:?}", sampler.spec(), derived.differences.first());
            assert_eq!((derived.trials, derived.unknown), (60, 0));
            assert!(derived.same >= 120 && derived.given >= 1, "{derived:?}");
        }
    }
}

#[test]
fn two_handles_on_a_file_and_a_third_that_checks() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.tlog");
    let open = || trialog::open(path.to_str().unwrap()).unwrap();
    let study = open().study("s").create().unwrap();
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| evaluate(&open().study("s").load().unwrap(), 25, 2));
        }
    });
    let derived = study.rederive().unwrap();
    assert!(derived.is_same(), "{:?}", derived.differences.first());
    assert_eq!(derived.trials, 75);
    // What others saw is in the log, where it was not what they had just written.
    let explicit = std::fs::read(&path).unwrap();
    assert!(!explicit.is_empty());
}

/// The canary: a value that no sampler chose is found.
#[test]
fn a_value_from_elsewhere_is_found() {
    let storage = trialog_storage::Storage::new(Box::new(MemoryJournal::new())).unwrap();
    let spec = Random::new().spec();
    let config = trialog::StudyConfig { sampler: spec, pruner: Never.spec(), seed: 7 };
    let directions = vec![trialog::Direction::Minimize];
    let create = Op::CreateStudy { name: "s".into(), directions, config: Some(Box::new(config)) };
    let study = match storage.commit(vec![create], Durability::Process).unwrap()[..] {
        [trialog_replay::Verdict::Study(study)] => study,
        ref other => panic!("{other:?}"),
    };
    let begun = storage.commit(vec![Op::CreateTrial { study, start: Timestamp(1) }], Durability::Process).unwrap();
    let [trialog_replay::Verdict::Trial { id, .. }] = begun[..] else { panic!("{begun:?}") };
    let distribution = Distribution::float(0.0, 1.0).unwrap();
    let def = ParamDef { name: "x".into(), distribution };
    let params = vec![Param { param: ParamRef::Def(Box::new(def)), value: 0.123 }];
    storage.commit(vec![Op::SetParams { trial: id, params }], Durability::Process).unwrap();

    let records = records_of(&storage);
    let copy = MemoryJournal::new();
    for record in &records {
        trialog_journal::Journal::append(&copy, &[record], Durability::Process).unwrap();
    }
    let study = trialog::OpenOptions::new().open_journal(Box::new(copy)).unwrap().study("s").load().unwrap();
    let derived = study.rederive().unwrap();
    assert_eq!((derived.same, derived.different), (0, 1));
    let difference = &derived.differences[0];
    assert_eq!(
        (difference.trial, difference.param.as_str(), difference.found.as_str()),
        (TrialNumber(0), "x", "0.123")
    );
    assert!(!derived.is_same());
}

fn records_of(storage: &trialog_storage::Storage) -> Vec<Vec<u8>> {
    let mut records = Vec::new();
    storage
        .follow()
        .advance(&mut |met| {
            let mut bytes = Vec::new();
            trialog_codec::encode_record(met.record, &mut bytes);
            records.push(bytes);
            std::ops::ControlFlow::Continue(())
        })
        .unwrap();
    records
}
