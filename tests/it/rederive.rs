//! Every suggestion of a study can be derived again from its log, in whatever company it was made, and whatever else happened
//! to the study; and what nobody suggested is found.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use trialog::pruners::{Never, Pruner};
use trialog::samplers::{CmaEs, CmaOptions, Proposal, Random, Sampler, Tpe, TpeOptions, draw, stream};
use trialog::{
    Amend, ComponentSpec, Direction, How, Json, OpenOptions, Rederived, RetryPolicy, Storage, Study, StudyView,
    Trial, TrialNumber, TrialState,
};
use trialog_journal::{Durability, Journal as _, MemoryJournal};
use trialog_ops::{Distribution, Op, Param, ParamDef, ParamRef, Record, Timestamp};
use trialog_storage::Follower;

use crate::processes::{Worker, say, wait_for_parent};
use crate::support::{count, place, reopened};

/// Samplers with options that have them leave their start-up early, and for how many objectives.
const SAMPLERS: &[(&str, &str, usize)] = &[
    ("auto", "{}", 1),
    ("auto", "{}", 2),
    ("tpe", "{}", 1),
    ("tpe", r#"{"multivariate": true, "n_startup_trials": 5}"#, 1),
    ("tpe", r#"{"multivariate": true, "group": true, "constant_liar": true, "n_startup_trials": 5}"#, 1),
    ("tpe", r#"{"multivariate": false, "constant_liar": true, "n_startup_trials": 5}"#, 2),
    ("gp", r#"{"n_startup_trials": 5}"#, 1),
    ("gp", r#"{"n_startup_trials": 5}"#, 2),
    ("forest", r#"{"n_startup_trials": 5}"#, 1),
    ("random", "{}", 2),
    ("cmaes", r#"{"n_startup_trials": 3, "popsize": 5}"#, 1),
    ("cmaes", r#"{"popsize": 4, "with_margin": true}"#, 1),
    ("qmc", "{}", 1),
    ("qmc", r#"{"qmc_type": "halton", "scramble": false}"#, 1),
    ("grid", r#"{"search_space": {"x": [-1, 0, 0.5, 2], "kind": ["a", "b"], "y": [1, 5, 9]}}"#, 1),
    ("brute_force", "{}", 1),
    ("partial_fixed", r#"{"fixed_params": {"kind": "a"}, "base_sampler": {"name": "cmaes"}}"#, 1),
    ("nsga2", r#"{"population_size": 5}"#, 2),
    ("nsga2", r#"{"population_size": 5, "crossover": "sbx", "mutation": "polynomial"}"#, 1),
    ("nsga3", r#"{"population_size": 5}"#, 3),
];

fn spec(name: &str, options: &str) -> ComponentSpec {
    ComponentSpec { name: name.to_owned(), version: 1, options: Json::parse(options).unwrap() }
}

/// Every sampler there is has its line.
#[test]
fn all_samplers_are_named_here() {
    for entry in trialog::samplers::REGISTRY {
        assert!(SAMPLERS.iter().any(|(name, ..)| *name == entry.name), "{} is missing", entry.name);
    }
}

fn objective(trial: &mut Trial) -> Result<Vec<f64>, trialog::BoxError> {
    let objectives = trial.study().directions()?.len();
    let x = trial.suggest_float("x", -5.0..=5.0)?;
    let kind = trial.suggest_categorical("kind", &["a", "b"])?;
    // A parameter that only some trials have, and a report between two suggestions.
    let y = if kind == "a" { trial.suggest_int("y", 1..=9)? as f64 } else { 0.0 };
    if objectives == 1 {
        trial.report(0, x)?;
    }
    // One whose range changes, and may be a single value.
    let z = trial.suggest_float("z", 0.0..=f64::from(u8::from(x > 0.0)))?;
    let values = [x * x + y + z, (x - 2.0).abs(), y - x];
    Ok(values[..objectives].to_vec())
}

fn evaluate(study: &Study, trials: usize, jobs: usize) {
    study.optimizer().n_trials(trials).n_jobs(jobs).run(objective).unwrap();
}

fn create(storage: &Storage, at: usize) -> Study {
    let (name, options, objectives) = SAMPLERS[at];
    let directions = [Direction::Minimize, Direction::Maximize, Direction::Minimize];
    let study = storage.study(format!("study {at}")).directions(directions[..objectives].to_vec()).seed(at as u64);
    study.sampler_named(&spec(name, options)).unwrap().load_or_create().unwrap()
}

#[track_caller]
fn assert_same(study: &Study, what: &str) -> Rederived {
    let derived = study.rederive().unwrap();
    assert!(derived.is_same(), "{what}: {} differ, {}", derived.different, derived.differences[0]);
    assert_eq!(derived.unknown, 0, "{what}: {}", derived.unknowns[0]);
    derived
}

#[test]
fn alone_and_in_company() {
    for (at, (name, options, _)) in SAMPLERS.iter().enumerate() {
        for jobs in [1, 5] {
            let study = create(&Storage::in_memory().unwrap(), at);
            study.enqueue([("x", 1.0)]).unwrap();
            let trials = if *name == "gp" { 16 } else { 40 };
            evaluate(&study, trials, jobs);
            let derived = assert_same(&study, &format!("{jobs} threads, {name} {options}"));
            let begun = study.trials().unwrap().len() as u64;
            assert_eq!(derived.trials, begun, "{name}");
            assert!(derived.same >= 2 * begun - 2 && derived.given >= 1 && derived.earlier == 0, "{derived:?}");
        }
    }
}

/// What a child process does for this file. False if the role is not its.
pub(crate) fn play(role: &str, argument: &str, path: &str) -> bool {
    if role != "rederive" {
        return false;
    }
    let storage = trialog::open(path).unwrap();
    for at in 0..SAMPLERS.len() {
        evaluate(&create(&storage, at), argument.parse().unwrap(), 2);
    }
    say("done");
    wait_for_parent();
    true
}

#[test]
fn several_processes_and_one_that_checks() {
    let (_folder, path) = place();
    let mut workers: Vec<Worker> = (0..3).map(|_| Worker::start("rederive 6", &path)).collect();
    workers.iter_mut().for_each(|worker| drop(worker.read_until("done")));
    for mut worker in workers {
        drop(worker.child.stdin.take());
        assert!(worker.child.wait().unwrap().success());
    }
    let storage = trialog::open(&path).unwrap();
    for (at, (name, options, _)) in SAMPLERS.iter().enumerate() {
        let study = storage.study(format!("study {at}")).load().unwrap();
        let derived = assert_same(&study, &format!("{name} {options}"));
        assert_eq!(derived.trials, study.trials().unwrap().len() as u64);
    }
}

/// One that looks at everything.
fn tpe() -> Tpe {
    let options =
        TpeOptions { multivariate: Some(true), constant_liar: true, n_startup_trials: 4, ..TpeOptions::default() };
    Tpe::new(options)
}

#[test]
fn queued_requeued_and_enqueued_trials() {
    let (_folder, path) = place();
    let storage = trialog::open(&path).unwrap();
    let study = storage.study("s").sampler(tpe()).create().unwrap();
    evaluate(&study, 12, 1);
    study.enqueue([("x", 99.0), ("z", 0.25)]).unwrap();
    study.enqueue([("kind", "b")]).unwrap();
    evaluate(&study, 2, 1);
    // One goes back with half of its parameters, while others go on, and another process takes it up twice.
    let mut trial = study.ask().unwrap();
    let x = trial.suggest_float("x", -5.0..=5.0).unwrap();
    evaluate(&study, 3, 1);
    study.requeue(&trial).unwrap();
    let elsewhere = reopened(&storage).study("s").load().unwrap();
    evaluate(&elsewhere, 3, 2);
    assert_eq!(elsewhere.trial(trial.number()).unwrap().params.get("x").unwrap().to_string(), x.to_string());
    for worker in [&elsewhere, &study] {
        let mut trial = worker.ask().unwrap();
        trial.suggest_categorical("kind", &["a", "b"]).unwrap();
        trial.suggest_float("w", 0.0..=1.0).unwrap();
        worker.requeue(&trial).unwrap();
    }
    let mut last = elsewhere.ask().unwrap();
    let changed = last.suggest_float("w", -1.0..=2.0).unwrap();
    objective(&mut last).unwrap();
    elsewhere.tell(&last, changed).unwrap();
    // A handle on a trial that another one began.
    let begun = study.ask().unwrap();
    let mut resumed = reopened(&storage).study("s").load().unwrap().resume(begun.number()).unwrap();
    objective(&mut resumed).unwrap();
    resumed.suggest_float("only here", 0.0..=1.0).unwrap();
    study.tell_number(begun.number(), 1.0).unwrap();
    let derived = assert_same(&study, "queues");
    assert!(derived.given >= 5, "{derived:?}");
    let why = study.explain(last.number()).unwrap();
    let how = |name: &str| why.params.iter().find(|param| param.name == name).unwrap().how;
    assert_eq!(how("w"), How::Kept, "{:?}", why.params);
}

#[test]
fn lost_trials_that_are_tried_again() {
    let (_folder, path) = place();
    let open = || OpenOptions::new().lease(Some(Duration::from_millis(100))).open(&path).unwrap();
    let policy = RetryPolicy { retries_max: 1, ..RetryPolicy::default() };
    let storage = open();
    let study = storage.study("s").sampler(tpe()).retry_policy(policy).create().unwrap();
    evaluate(&study, 8, 1);
    {
        let gone = open().study("s").load().unwrap();
        let mut trial = gone.ask().unwrap();
        trial.suggest_float("x", -5.0..=5.0).unwrap();
    }
    let begun = Instant::now();
    while study.view().unwrap().trials().all(|trial| !trial.is_lost()) {
        assert!(begun.elapsed() < Duration::from_secs(30), "nobody found out");
        evaluate(&study, 1, 1);
        std::thread::sleep(Duration::from_millis(10));
    }
    evaluate(&study, 3, 1);
    assert_same(&study, "lost");
}

#[test]
fn decisions_about_finished_trials() {
    for sampler in [spec("cmaes", r#"{"popsize": 4}"#), tpe().spec(), spec("nsga2", r#"{"population_size": 4}"#)] {
        let storage = Storage::in_memory().unwrap();
        let study = storage.study("s").sampler_named(&sampler).unwrap().create().unwrap();
        for round in 0..6 {
            evaluate(&study, 7, 2);
            study.void(TrialNumber(round * 7), "wrong data").unwrap();
            study.amend(TrialNumber(round * 7 + 1), Amend::new().values([f64::from(round)]), "wrong unit").unwrap();
            if round % 2 == 1 {
                study.unvoid(TrialNumber(round * 7), "right after all").unwrap();
            }
        }
        assert_same(&study, &sampler.name);
    }
}

/// A handle goes on with the sampler that it was opened with.
#[test]
fn samplers_that_change_while_others_work() {
    let (_folder, path) = place();
    let storage = trialog::open(&path).unwrap();
    let first = storage.study("s").sampler(tpe()).seed(1).create().unwrap();
    evaluate(&first, 10, 1);
    let other = reopened(&storage);
    let second = other.study("s").sampler(CmaEs::new(CmaOptions::default()).unwrap()).load().unwrap();
    let third = other.study("s").sampler(Random::new()).seed(2).load().unwrap();
    std::thread::scope(|scope| {
        for study in [&first, &second, &third] {
            scope.spawn(|| evaluate(study, 10, 2));
        }
    });
    let derived = assert_same(&first, "three samplers");
    assert!(derived.earlier >= 30, "{derived:?}");
    let why = first.explain(TrialNumber(5)).unwrap();
    assert_eq!(why.sampler.unwrap().name, "tpe", "the one of its time");
}

#[test]
fn copies_merges_and_branches() {
    let storage = Storage::in_memory().unwrap();
    let study = storage.study("s").sampler(tpe()).create().unwrap();
    evaluate(&study, 15, 2);
    let _running = study.ask().unwrap();
    storage.copy_study("s", &storage, "copy").unwrap();
    study.branch("branch", trialog::At::Trial(TrialNumber(9))).unwrap();
    let copy = storage.study("copy").load().unwrap();
    storage.merge_studies(&[&study, &copy], "merged", trialog::transfers::Options::default()).unwrap();
    for name in ["copy", "branch", "merged"] {
        let study = storage.study(name).load().unwrap();
        assert_eq!(assert_same(&study, name), Rederived::default(), "nothing was suggested there: {name}");
        evaluate(&study, 9, 3);
        assert_eq!(assert_same(&study, name).trials, 9, "{name}");
    }
}

#[test]
fn what_was_folded_away_is_said_to_be() {
    let (_folder, path) = place();
    let open = || OpenOptions::new().keep_history(false).open(&path).unwrap();
    let storage = open();
    let study = storage.study("s").sampler(tpe()).create().unwrap();
    // So much that its space is worth giving back.
    study.set_user_attr("bulk", "x".repeat(100_000)).unwrap();
    evaluate(&study, 10, 2);
    let mut begun = study.ask().unwrap();
    begun.suggest_float("x", -5.0..=5.0).unwrap();
    assert!(storage.compact().unwrap());
    begun.suggest_float("later", 0.0..=1.0).unwrap();
    study.tell(&begun, 1.0).unwrap();
    evaluate(&open().study("s").load().unwrap(), 10, 2);
    let study = open().study("s").load().unwrap();
    let derived = study.rederive().unwrap();
    assert!(derived.is_same(), "{}", derived.differences[0]);
    assert_eq!((derived.trials, derived.unknown), (10, 0), "those whose beginning is still there: {derived:?}");
    assert!(derived.same >= 21, "{derived:?}");
    let why = study.explain(TrialNumber(3)).unwrap();
    assert!(why.seen.is_none() && why.params.is_empty(), "{why:?}");
    assert!(study.explain(TrialNumber(15)).unwrap().seen.is_some());
}

/// Optuna's journal does not tell where a sampler looked: there, nothing is called different.
#[test]
fn a_log_in_optunas_dialect() {
    let (_folder, path) = place();
    let storage = trialog::open(format!("optuna:{path}")).unwrap();
    for (at, sampler) in [tpe().spec(), Random::new().spec(), spec("cmaes", "{}")].iter().enumerate() {
        for jobs in [1, 4] {
            let study = storage.study(format!("{at} {jobs}")).sampler_named(sampler).unwrap().create().unwrap();
            evaluate(&study, 20, jobs);
            let derived = study.rederive().unwrap();
            assert!(derived.is_same(), "{}", derived.differences[0]);
            assert_eq!(derived.trials, 20);
            assert!(jobs > 1 || derived.unknown == 0, "{}", derived.unknowns[0]);
        }
    }
}

/// A sampler of one's own: each value is near the last one.
#[derive(Debug)]
struct Near {
    reach: f64,
}

impl Sampler for Near {
    fn spec(&self) -> ComponentSpec {
        ComponentSpec {
            options: Json::from(serde_json::json!({ "reach": self.reach })),
            ..ComponentSpec::named("near")
        }
    }

    fn sample_relative(&self, _: &StudyView, _: TrialNumber, _: u64) -> Vec<Proposal> {
        Vec::new()
    }

    fn sample_independent(
        &self,
        view: &StudyView,
        number: TrialNumber,
        seed: u64,
        name: &str,
        distribution: &Distribution,
    ) -> f64 {
        let mut stream = stream(seed, number, name);
        let last = view.trials().filter_map(|trial| trial.param(name)).next_back();
        match (last, distribution) {
            (Some(value), Distribution::Float(float)) => {
                (value + self.reach * (stream.uniform() - 0.5)).clamp(float.low(), float.high())
            }
            _ => draw(&mut stream, distribution),
        }
    }

    fn explain(&self, _: &StudyView) -> Option<String> {
        Some(format!("near the last one, {} at most", self.reach))
    }
}

#[test]
fn a_sampler_of_ones_own_is_asked_by_a_handle_that_has_it() {
    let (_folder, path) = place();
    let study = trialog::open(&path).unwrap().study("s").sampler(Near { reach: 0.5 }).seed(3).create().unwrap();
    evaluate(&study, 12, 2);
    assert_same(&study, "near");
    assert_eq!(study.explain(TrialNumber(5)).unwrap().says.as_deref(), Some("near the last one, 0.5 at most"));
    let storage = trialog::open(&path).unwrap();
    // The canary: a sampler of its name that means something else is another one.
    for study in [storage.study("s"), storage.study("s").sampler(Near { reach: 0.25 })] {
        let derived = study.load().unwrap().rederive().unwrap();
        assert!(
            derived.is_same() && derived.unknown > 0 && derived.unknowns[0].why.contains("near"),
            "{derived:?}"
        );
    }
}

#[test]
fn a_study_with_a_sampler_that_nobody_knows_or_none() {
    let storage = trialog_storage::Storage::new(Box::new(MemoryJournal::new())).unwrap();
    let config = trialog::StudyConfig { sampler: spec("oracle", "{}"), pruner: Never.spec(), seed: 7 };
    for (name, config) in [("unknown", Some(Box::new(config))), ("none", None)] {
        let directions = vec![Direction::Minimize];
        begin_with(&storage, Op::CreateStudy { name: name.into(), directions, config }, 0.5);
    }
    let log = facade(&encoded(&recorded(storage.follow())));
    for (name, why) in [("unknown", "oracle"), ("none", "names no sampler")] {
        let derived = log.study(name).load().unwrap().rederive().unwrap();
        assert!(derived.is_same() && derived.unknown == 1 && derived.unknowns[0].why.contains(why), "{derived:?}");
    }
}

/// The canary: each single value of a log changed, one after the other, is found.
#[test]
fn a_value_that_somebody_changed_is_found() {
    for (name, options) in
        [("tpe", r#"{"multivariate": true, "n_startup_trials": 4}"#), ("random", "{}"), ("cmaes", "{}")]
    {
        let storage = Storage::in_memory().unwrap();
        let study = storage.study("s").sampler_named(&spec(name, options)).unwrap().seed(4).create().unwrap();
        study.enqueue([("x", 1.5), ("z", 0.5)]).unwrap();
        evaluate(&study, 14, 3);
        assert_same(&study, name);
        let records = recorded(storage.follow());
        let mut changed = 0;
        for at in 0..records.len() {
            for op in 0..records[at].ops.len() {
                let Op::SetParams { params, .. } = &records[at].ops[op] else { continue };
                for param in 0..params.len() {
                    let mut records = records.clone();
                    let Op::SetParams { trial, params } = &mut records[at].ops[op] else { unreachable!() };
                    let (trial, param) = (*trial, &mut params[param]);
                    // Categorical choices, integers and real numbers alike: to the other choice or a little beside.
                    param.value =
                        if param.value.fract() == 0.0 { 1.0 - param.value.min(1.0) } else { param.value.next_up() };
                    let study = facade(&encoded(&records)).study("s").load().unwrap();
                    let derived = study.rederive().unwrap();
                    let found = derived.differences.iter().any(|one| u64::from(one.trial.0) == trial.0);
                    assert!(found && !derived.is_same(), "{name}: record {at}, trial {}: {derived:?}", trial.0);
                    changed += 1;
                }
            }
        }
        assert!(changed > 40, "{name}: {changed}");
    }
}

/// And a value where there never was a sampler's.
#[test]
fn a_value_from_elsewhere_is_found() {
    let storage = trialog_storage::Storage::new(Box::new(MemoryJournal::new())).unwrap();
    let config = trialog::StudyConfig { sampler: Random::new().spec(), pruner: Never.spec(), seed: 7 };
    let directions = vec![Direction::Minimize];
    begin_with(&storage, Op::CreateStudy { name: "s".into(), directions, config: Some(Box::new(config)) }, 0.123);
    let study = facade(&encoded(&recorded(storage.follow()))).study("s").load().unwrap();
    let derived = study.rederive().unwrap();
    assert_eq!((derived.same, derived.different), (0, 1));
    let difference = &derived.differences[0];
    assert_eq!(
        (difference.trial, difference.param.as_str(), difference.found.as_str()),
        (TrialNumber(0), "x", "0.123")
    );
    assert!(!derived.is_same());
    assert_eq!(study.explain(TrialNumber(0)).unwrap().params[0].how, How::Otherwise);
}

#[test]
fn a_pruned_trial_is_explained_in_company() {
    let study = Storage::in_memory().unwrap().study("s").sampler(tpe()).create().unwrap();
    study
        .optimizer()
        .n_trials(40)
        .n_jobs(4)
        .run(|trial| {
            let x = trial.suggest_float("x", 0.0..=1.0)?;
            for step in 0..4 {
                trial.report(step, x)?;
                if trial.should_prune()? {
                    return Err(trialog::Pruned.into());
                }
            }
            Ok(x)
        })
        .unwrap();
    assert!(count(&study, TrialState::Pruned) > 3);
    for trial in study.trials().unwrap() {
        let why = study.explain(trial.number).unwrap();
        assert_eq!(why.pruned.is_some(), trial.state == TrialState::Pruned);
        assert!(why.pruned.is_none_or(|reason| reason.contains("median")), "trial {}", trial.number);
        assert!(why.params.iter().all(|param| matches!(param.how, How::Together | How::Alone)), "{:?}", why.params);
    }
}

/// What a sampler says of itself at the place of a trial.
#[test]
fn samplers_say_what_they_did() {
    for (name, options, objectives, at, words) in [
        ("cmaes", r#"{"popsize": 4}"#, 1, 0, "draws at random"),
        ("cmaes", r#"{"popsize": 4}"#, 1, 9, "after 2 whole populations"),
        ("nsga2", r#"{"population_size": 4}"#, 2, 3, "3 of 4 trials"),
        ("nsga3", r#"{"population_size": 4}"#, 3, 9, "a population of 4, chosen from 9 complete trials"),
        ("auto", "{}", 1, 2, "qmc"),
    ] {
        let directions = vec![Direction::Minimize; objectives];
        let study = Storage::in_memory().unwrap().study("s").directions(directions).seed(1);
        let study = study.sampler_named(&spec(name, options)).unwrap().create().unwrap();
        let objective = |trial: &mut Trial| {
            let x = trial.suggest_float("x", -1.0..=1.0)? + trial.suggest_float("y", -1.0..=1.0)?;
            Ok(vec![x, -x, x * x][..objectives].to_vec())
        };
        study.optimize(12, objective).unwrap();
        let says = study.explain(TrialNumber(at)).unwrap().says.unwrap();
        assert!(says.contains(words), "{name} at {at}: {says}");
    }
}

/// A study with one trial, and its one parameter.
fn begin_with(storage: &trialog_storage::Storage, create: Op, value: f64) {
    let study = match storage.commit(vec![create], Durability::Process).unwrap()[..] {
        [trialog_replay::Verdict::Study(study)] => study,
        ref other => panic!("{other:?}"),
    };
    let begun = storage.commit(vec![Op::CreateTrial { study, start: Timestamp(1) }], Durability::Process).unwrap();
    let [trialog_replay::Verdict::Trial { id, .. }] = begun[..] else { panic!("{begun:?}") };
    let distribution = Distribution::float(0.0, 1.0).unwrap();
    let def = ParamDef { name: "x".into(), distribution };
    let params = vec![Param { param: ParamRef::Def(Box::new(def)), value }];
    storage.commit(vec![Op::SetParams { trial: id, params }], Durability::Process).unwrap();
}

fn facade(records: &[Vec<u8>]) -> Storage {
    let copy = MemoryJournal::new();
    for record in records {
        copy.append(&[record], Durability::Process).unwrap();
    }
    OpenOptions::new().open_journal(Box::new(copy)).unwrap()
}

fn recorded(mut follower: Follower) -> Vec<Record> {
    let mut records = Vec::new();
    follower
        .advance(&mut |met| {
            records.push(met.record.clone());
            ControlFlow::Continue(())
        })
        .unwrap();
    records
}

fn encoded(records: &[Record]) -> Vec<Vec<u8>> {
    let encode = |record: &Record| {
        let mut bytes = Vec::new();
        trialog_codec::encode_record(record, &mut bytes);
        bytes
    };
    records.iter().map(encode).collect()
}
