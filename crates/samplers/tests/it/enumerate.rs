//! Samplers that enumerate a space: with any number of workers, in any order of events, every point once.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use trialog_numerics::Stream;
use trialog_ops::{Choice, Distribution, TrialNumber, TrialState};
use trialog_samplers::{BruteForce, Grid, PartialFixed, Random, Sampler};

use crate::parzen::distribution;
use crate::study::{Study, template};

/// What an objective asks for next, given what it has; nothing when it is done.
pub(crate) type Program = fn(&BTreeMap<&'static str, f64>) -> Option<(&'static str, Distribution)>;

/// One running trial: what it was proposed and what it has asked for.
struct Worker {
    number: TrialNumber,
    proposed: BTreeMap<String, f64>,
    has: BTreeMap<&'static str, f64>,
}

/// The parameters of all trials of a study that `workers` run until the sampler is exhausted, each event being the turn
/// of a random one; every `fails`-th trial fails. Every answer is compared with that of a fresh sampler.
pub(crate) fn run(
    sampler: &dyn Sampler,
    fresh: &dyn Fn() -> Box<dyn Sampler>,
    program: Program,
    workers: usize,
    seed: u64,
    trials_max: usize,
) -> Vec<BTreeMap<&'static str, f64>> {
    let mut study = Study::minimize();
    let mut turns = Stream::new(&[seed, 77]);
    let mut running: Vec<Worker> = Vec::new();
    let mut done = Vec::new();
    loop {
        let view = study.view();
        let stop = sampler.is_exhausted(&view) || view.trial_count() >= trials_max;
        assert_eq!(sampler.is_exhausted(&view), fresh().is_exhausted(&view));
        let turn = turns.below(workers as u64) as usize;
        if turn >= running.len() {
            if stop && running.is_empty() {
                return done;
            }
            if !stop {
                let number = study.begin();
                running.push(Worker { number, proposed: BTreeMap::new(), has: BTreeMap::new() });
            }
            continue;
        }
        let worker = &mut running[turn];
        if worker.has.is_empty() && worker.proposed.is_empty() {
            let proposals = sampler.sample_relative(&view, worker.number, seed);
            assert_eq!(proposals, fresh().sample_relative(&view, worker.number, seed));
            for (_, def, value) in proposals {
                study.set(worker.number, &[(&def.name, &def.distribution, value)]);
                worker.proposed.insert(def.name.clone(), value);
            }
        }
        if let Some((name, distribution)) = program(&worker.has) {
            let value = worker.proposed.get(name).copied().unwrap_or_else(|| {
                let view = study.view();
                let value = sampler.sample_independent(&view, worker.number, seed, name, &distribution);
                let again = fresh().sample_independent(&view, worker.number, seed, name, &distribution);
                assert_eq!(value, again, "what was kept matters");
                value
            });
            assert!(distribution.contains(value), "{name} = {value}");
            study.set(worker.number, &[(name, &distribution, value)]);
            worker.has.insert(name, value);
        } else {
            let worker = running.swap_remove(turn);
            study.end(worker.number, if turns.below(5) == 0 { &[] } else { &[1.0] });
            done.push(worker.has);
        }
    }
}

fn grid() -> Grid {
    let list = |choices: &[Choice]| choices.to_vec();
    Grid::new([
        ("x".to_owned(), list(&[0.5.into(), 0.0.into(), 1.0.into()])),
        ("n".to_owned(), list(&[3.into(), 1.into()])),
        ("c".to_owned(), list(&["a".into(), true.into(), Choice::Null])),
    ])
    .unwrap()
}

fn gridded(has: &BTreeMap<&'static str, f64>) -> Option<(&'static str, Distribution)> {
    let choices = [Choice::Bool(true), Choice::Null, "b".into(), "a".into()];
    match has.len() {
        0 => Some(("x", Distribution::float(0.0, 1.0).unwrap())),
        1 => Some(("n", Distribution::int(1, 5).unwrap())),
        2 => Some(("c", Distribution::categorical(choices).unwrap())),
        _ => None,
    }
}

fn different(points: &[BTreeMap<&'static str, f64>]) -> usize {
    let mut points: Vec<String> = points.iter().map(|point| format!("{point:?}")).collect();
    points.sort();
    points.dedup();
    points.len()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn a_grid_is_visited_once(seed: u64, workers in 1_usize..6) {
        let sampler = grid();
        let points = run(&sampler, &|| Box::new(grid()), gridded, workers, seed, 100);
        prop_assert_eq!((points.len(), different(&points)), (18, 18));
    }
}

/// Two kinds of models with parameters of their own, and one that both have: 5 * 2 + 3 * (1 + 2) * 2 = 28 leaves. The
/// study meets the common one before it meets all of the others.
fn conditional(has: &BTreeMap<&'static str, f64>) -> Option<(&'static str, Distribution)> {
    let ask = |name, kind| (!has.contains_key(name)).then(|| (name, distribution(kind)));
    ask("model", "categorical 2")
        .or_else(
            || if has["model"] == 0.0 { ask("width", "float 0 1 0 0.25") } else { ask("depth", "int 1 9 0 4") },
        )
        .or_else(|| if has["model"] == 1.0 { ask("bushy", "categorical 2") } else { None })
        .or_else(|| if has.get("bushy") == Some(&1.0) { ask("aside", "int 4 5 1 1") } else { None })
        .or_else(|| ask("rate", "categorical 2"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// One worker visits each leaf once. Several ones may meet at the last leaves of a branch, whose size nobody knows
    /// before it has been seen, and all the same leave nothing out.
    #[test]
    fn conditions_are_enumerated(seed: u64, workers in 1_usize..5) {
        let (new, fresh) = (|| BruteForce::new(true), || -> Box<dyn Sampler> { Box::new(BruteForce::new(true)) });
        let points = run(&new(), &fresh, conditional, workers, seed, 100);
        prop_assert_eq!(different(&points), 28);
        prop_assert!(points.len() <= if workers == 1 { 28 } else { 28 + 3 * workers }, "{}", points.len());
    }
}

#[test]
fn running_trials_count_unless_told_otherwise() {
    let die = distribution("int 1 2 0 1");
    let mut study = Study::minimize();
    study.tell(&[("n", &die, 1.0)], &[1.0]);
    let number = study.begin();
    study.set(number, &[("n", &die, 2.0)]);
    assert!(BruteForce::new(false).is_exhausted(&study.view()));
    assert!(!BruteForce::new(true).is_exhausted(&study.view()));
    study.end(number, &[]);
    assert!(BruteForce::new(true).is_exhausted(&study.view()), "a failed trial has been there too");
}

/// Draws at random do not visit everything once: the comparison above is not blind.
#[test]
fn canary_random_points_are_not_a_grid() {
    fn dice(has: &BTreeMap<&'static str, f64>) -> Option<(&'static str, Distribution)> {
        let names = ["a", "b"];
        names.get(has.len()).map(|name| (*name, Distribution::int(1, 4).unwrap()))
    }
    let points = run(&Random, &|| Box::new(Random), dice, 2, 1, 16);
    assert!(different(&points) < 14);
}

#[test]
fn a_grid_goes_around_points_that_were_there_and_on_after_its_end() {
    let (x, n) = (distribution("float 0 1 0 0"), distribution("int 1 5 0 1"));
    let c = distribution("categorical 1");
    let grid =
        Grid::new([("x".to_owned(), vec![0.0.into(), 0.5.into()]), ("n".to_owned(), vec![1.into(), 9.into()])])
            .unwrap();
    let mut study = Study::minimize();
    // 9 is outside the range, and becomes 5.
    study.tell(&[("x", &x, 0.0), ("n", &n, 5.0)], &[1.0]);
    study.tell(&[("x", &x, 0.25), ("n", &n, 1.0)], &[1.0]);
    study.add(template(TrialState::Running, &[("x", &x, 0.5), ("n", &n, 1.0), ("c", &c, 0.0)]));
    let point = |study: &Study, number| -> Vec<f64> {
        let proposals = grid.sample_relative(&study.view(), number, 3);
        proposals.into_iter().filter(|(_, def, _)| def.name != "c").map(|proposal| proposal.2).collect()
    };
    let mut found = Vec::new();
    for _ in 0..2 {
        assert!(!grid.is_exhausted(&study.view()));
        let number = study.begin();
        let values = point(&study, number);
        study.set(number, &[("n", &n, values[0]), ("x", &x, values[1])]);
        found.push(values);
    }
    found.sort_by(|a, b| a.partial_cmp(b).unwrap());
    assert_eq!(found, [[1.0, 0.0], [5.0, 0.5]]);
    assert!(grid.is_exhausted(&study.view()));
    let number = study.begin();
    assert_eq!(point(&study, number).len(), 2);
}

#[test]
fn a_fixed_part_of_a_trial_leaves_points_that_have_it() {
    let (x, n) = (distribution("float 0 1 0 0"), distribution("int 1 5 0 1"));
    let mut study = Study::minimize();
    study.tell(&[("x", &x, 0.7), ("n", &n, 2.0)], &[1.0]);
    for value in [0.0, 0.5, 1.0] {
        let number = study.begin();
        study.set(number, &[("x", &x, value)]);
        let proposals = grid().sample_relative(&study.view(), number, 0);
        assert_eq!(proposals.iter().find(|(_, def, _)| def.name == "x").unwrap().2, value);
    }
}

#[test]
fn fixed_parameters_are_fixed() {
    let (x, n, c) = (distribution("float 0 1 0 0"), distribution("int 1 5 0 1"), distribution("categorical 3"));
    let mut study = Study::minimize();
    study.tell(&[("x", &x, 0.7), ("n", &n, 2.0), ("c", &c, 1.0)], &[1.0]);
    let fixed = [("x".to_owned(), Choice::Int(7)), ("n".to_owned(), Choice::Int(3)), ("c".to_owned(), 8.5.into())];
    let sampler = PartialFixed::new(fixed, Arc::new(Random));
    let (view, number) = (study.view(), TrialNumber(1));
    let proposals = sampler.sample_relative(&view, number, 1);
    let value = |name: &str| proposals.iter().find(|(_, def, _)| def.name == name).unwrap().2;
    assert_eq!((value("x"), value("n")), (1.0, 3.0));
    let base = Random.sample_independent(&view, number, 1, "c", &c);
    assert_eq!((value("c"), sampler.sample_independent(&view, number, 1, "c", &c)), (base, base));
    assert_eq!(sampler.sample_independent(&view, number, 1, "n", &n), 3.0);
    let rebuilt = trialog_samplers::from_spec(&sampler.spec()).unwrap();
    assert_eq!(rebuilt.spec(), sampler.spec());
    assert_eq!(rebuilt.sample_relative(&view, number, 1), proposals);
}
