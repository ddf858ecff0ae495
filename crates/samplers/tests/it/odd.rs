//! Odd studies, before every sampler that can be named: what it proposes is valid, always, and the same again for
//! whoever has kept nothing.

use std::sync::Arc;

use trialog_ops::{Direction, Distribution, TrialNumber, TrialState};
use trialog_samplers::{REGISTRY, Sampler};

use crate::parzen::distribution;
use crate::study::{Study, template};

/// Options with which samplers leave their start-up early; those that need some have them here.
fn options(name: &str) -> Vec<serde_json::Value> {
    let json = match name {
        "grid" => serde_json::json!([{"search_space": {"a": [0, 1, 0.5], "c": [0, 1]}}]),
        "tpe" => serde_json::json!([
            {"n_startup_trials": 2},
            {"n_startup_trials": 2, "multivariate": true, "prior_weight": 0.1},
            {"n_startup_trials": 2, "group": true, "categorical_distances": {"c": [[0, 1, 2], [1, 0, 1], [2, 1, 0]]}},
            {"n_startup_trials": 2, "multivariate": false, "consider_magic_clip": false, "gamma": "root"},
        ]),
        "nsga2" | "nsga3" => serde_json::json!([
            {"population_size": 4},
            {"population_size": 4, "crossover": "blxalpha", "mutation": "polynomial", "mutation_prob": 0.9},
            {"population_size": 4, "crossover": "spx"},
            {"population_size": 4, "crossover": "sbx"},
            {"population_size": 4, "crossover": "vsbx", "crossover_prob": 1.0},
            {"population_size": 4, "crossover": "undx"},
        ]),
        _ => serde_json::json!([{}]),
    };
    json.as_array().unwrap().clone()
}

fn samplers() -> Vec<(String, impl Fn() -> Arc<dyn Sampler>)> {
    let with = |entry: &'static trialog_samplers::Entry| {
        options(entry.name).into_iter().map(move |options| {
            let label = format!("{} {options}", entry.name);
            (label, move || (entry.build)(options.as_object().unwrap()).unwrap())
        })
    };
    REGISTRY.iter().flat_map(with).collect()
}

/// Asks every sampler for a few trials after the study.
fn check(what: &str, study: &Study, space: &[(&str, &Distribution)]) {
    let view = study.view();
    for (label, build) in samplers() {
        let (sampler, fresh) = (build(), build());
        // Gaussian processes take their time.
        let asks = if label.starts_with("gp ") { 1 } else { 3 };
        if asks == 1 && view.directions().len() > 1 && view.trial_count() > 50 {
            continue;
        }
        // A sampler for one objective may say so by leaving all to chance, but it must not fail.
        for ahead in 0..asks {
            let number = TrialNumber(view.trial_count() as u32 + ahead);
            let proposals = sampler.sample_relative(&view, number, 5);
            for (_, def, value) in &proposals {
                assert!(
                    def.distribution.contains(*value),
                    "{what}, {label}: {value:?} for {} in {}",
                    def.name,
                    def.distribution
                );
            }
            let bits = |proposals: &[trialog_samplers::Proposal]| {
                proposals.iter().map(|proposal| (proposal.0, proposal.2.to_bits())).collect::<Vec<_>>()
            };
            let again = fresh.sample_relative(&view, number, 5);
            assert_eq!(bits(&proposals), bits(&again), "{what}, {label}: another process");
            for (name, distribution) in space {
                let value = sampler.sample_independent(&view, number, 5, name, distribution);
                assert!(distribution.contains(value), "{what}, {label}: {value:?} for {name} in {distribution}");
                let again = fresh.sample_independent(&view, number, 5, name, distribution);
                assert_eq!(value.to_bits(), again.to_bits(), "{what}, {label}: another process, {name}");
            }
        }
    }
}

/// A study in which trial `k` has the values and the state that `tell` says.
fn study(
    objectives: usize,
    n: u32,
    space: &[(&str, &Distribution)],
    param: impl Fn(u32, usize) -> f64,
    tell: impl Fn(u32) -> (TrialState, f64),
) -> Study {
    let mut study = Study::new(&[Direction::Minimize, Direction::Maximize, Direction::Minimize][..objectives]);
    for k in 0..n {
        let (state, value) = tell(k);
        let params: Vec<(&str, &Distribution, f64)> = space
            .iter()
            .enumerate()
            .map(|(at, (name, d))| {
                let value = param(k, at);
                let choice =
                    |choices: usize| if value.is_finite() { value.abs().floor() % choices as f64 } else { 0.0 };
                let value = if let Distribution::Categorical(c) = d { choice(c.choices().len()) } else { value };
                (*name, *d, value)
            })
            .collect();
        let mut trial = template(state, &params);
        if state == TrialState::Complete {
            trial.values = vec![value; objectives];
        }
        study.add(trial);
    }
    study
}

#[test]
fn whatever_happened_suggestions_are_valid() {
    let text = ["float 0 1 0 0", "float 1e-5 10 1 0", "categorical 3", "int 1 9 0 2", "int 1 500 1 1"];
    let owned: Vec<Distribution> = text.iter().map(|text| distribution(text)).collect();
    let names = ["a", "b", "c", "d", "e"];
    let space: Vec<(&str, &Distribution)> = names.into_iter().zip(&owned).collect();
    // Values on the grid and inside of all ranges.
    let inside = |k: u32, at: usize| match at {
        0 => f64::from(k * 37 % 101) / 101.0,
        1 => 1e-5 * (1.0 + f64::from(k * 53 % 97)),
        2 => f64::from(k % 3),
        3 => f64::from(1 + 2 * (k * 7 % 5)),
        _ => f64::from(1 + k * 29 % 500),
    };
    use TrialState::{Complete, Fail, Pruned, Running, Waiting};
    for objectives in 1..=3 {
        let made = |n, tell: &dyn Fn(u32) -> (TrialState, f64)| study(objectives, n, &space, inside, tell);
        let cases: Vec<(&str, Study)> = vec![
            ("nothing", made(0, &|_| (Complete, 0.0))),
            ("one trial", made(1, &|_| (Complete, 1.0))),
            ("equal values", made(40, &|_| (Complete, 7.0))),
            ("infinite values", made(40, &|k| (Complete, [f64::INFINITY, f64::NEG_INFINITY][k as usize % 2]))),
            ("only infinity", made(40, &|_| (Complete, f64::INFINITY))),
            ("some infinite", made(60, &|k| (Complete, if k % 5 == 0 { f64::INFINITY } else { f64::from(k) }))),
            ("huge values", made(40, &|k| (Complete, f64::from(k) * 1e307))),
            ("tiny values", made(40, &|k| (Complete, f64::from(k) * 5e-324))),
            ("all failed", made(40, &|_| (Fail, 0.0))),
            ("all pruned", made(40, &|_| (Pruned, 0.0))),
            ("all waiting", made(40, &|_| (Waiting, 0.0))),
            ("all running", made(300, &|_| (Running, 0.0))),
            ("one complete among zombies", made(300, &|k| (if k == 0 { Complete } else { Running }, 1.0))),
            ("zombies", made(400, &|k| (if k % 2 == 0 { Complete } else { Running }, f64::from(k)))),
            (
                "one trial again and again",
                study(objectives, 60, &space, |_, at| inside(3, at), |k| (Complete, f64::from(k))),
            ),
            (
                "the same value again and again",
                study(objectives, 60, &space, |_, at| inside(3, at), |_| (Complete, 2.0)),
            ),
        ];
        for (what, study) in &cases {
            check(&format!("{what}, {objectives} objectives"), study, &space);
        }
    }
}

#[test]
fn whatever_the_ranges_suggestions_are_valid() {
    let text = [
        "float 3 3 0 0",
        "float 0 5e-324 0 0",
        "float -1e308 1e308 0 0",
        "float 1 1.0000000000000002 0 0",
        "float 5e-324 1e308 1 0",
        "float 0 1e-300 0 1e-301",
        "int -9007199254740992 9007199254740992 0 1",
        "int 1 9007199254740992 1 1",
        "int 5 5 0 1",
        "categorical 1",
        "categorical 200",
    ];
    let owned: Vec<Distribution> = text.iter().map(|text| distribution(text)).collect();
    let names = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k"];
    for one in 0..owned.len() {
        let space = [(names[one], &owned[one])];
        for objectives in 1..=2 {
            let value = |k: u32, _| match &owned[one] {
                Distribution::Categorical(_) => f64::from(k),
                d => [1.0, 0.0, -1.0, 5.0, 3.0, 1e300]
                    .into_iter()
                    .cycle()
                    .skip(k as usize % 6)
                    .find(|v| d.contains(*v))
                    .unwrap_or(d.single().unwrap_or(5e-324)),
            };
            let made = study(objectives, 30, &space, value, |k| (TrialState::Complete, f64::from(k % 9)));
            check(&format!("{} alone", text[one]), &made, &space);
        }
    }
    let space: Vec<(&str, &Distribution)> = names.into_iter().zip(&owned).collect();
    let far = |k: u32, _| [0.0, 1.0, -1.0, 1e308, -1e308, f64::INFINITY, f64::NEG_INFINITY, 5e-324][k as usize % 8];
    let all = study(1, 50, &space, far, |k| (TrialState::Complete, f64::from(k)));
    check("values outside all ranges", &all, &space);
}

/// The range of one name changes from trial to trial, and so does which parameters there are.
#[test]
fn changed_ranges_and_changing_parameters() {
    let (narrow, wide, moved) =
        (distribution("float 0 1 0 0"), distribution("float -100 100 0 0"), distribution("float 5 6 0 0"));
    let other = distribution("int 0 3 0 1");
    for objectives in 1..=2 {
        let mut study = Study::new(&[Direction::Minimize, Direction::Minimize][..objectives]);
        for k in 0..90 {
            let range = [&narrow, &wide, &moved][k % 3];
            let value = [0.5, -70.0, 5.5][k % 3];
            let params: &[(&str, &Distribution, f64)] = match k % 4 {
                0 => &[("a", range, value)],
                1 => &[("a", range, value), ("b", &other, 2.0)],
                2 => &[("b", &other, 1.0)],
                _ => &[],
            };
            study.tell(params, &vec![k as f64; objectives]);
        }
        check("changing", &study, &[("a", &narrow), ("a", &wide), ("a", &moved), ("b", &other), ("new", &narrow)]);
    }
}

#[test]
#[should_panic(expected = "canary")]
fn canary() {
    let d = distribution("float 0 1 0 0");
    let study = study(1, 5, &[("a", &d)], |_, _| 0.5, |_| (TrialState::Complete, 1.0));
    assert!(study.view().trial(TrialNumber(0)).unwrap().param("a").is_none(), "canary");
}
