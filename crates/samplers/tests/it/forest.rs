//! The surrogate of trees: it finds good points, nothing it kept matters, and odd data do not stop it.

use trialog_ops::{Direction, Distribution, TrialNumber, TrialState};
use trialog_samplers::{Forest, ForestOptions, Random, Sampler, TreeKind};

use crate::gp::{ODD, bowl, low, params, spaces, suggest};
use crate::parzen::distribution;
use crate::study::{Study, template};

fn best(study: &Study) -> f64 {
    study.view().best().next().and_then(|trial| trial.value(0)).unwrap()
}

#[test]
fn it_beats_chance() {
    let mean = |sampler: &dyn Sampler| (0..10).map(|seed| best(&bowl(sampler, seed, 60))).sum::<f64>() / 10.0;
    let random = mean(&Random);
    for (trees, share) in [(TreeKind::ExtraTrees, 0.4), (TreeKind::RandomForest, 0.8)] {
        let forest = mean(&Forest::new(ForestOptions { trees, ..ForestOptions::default() }));
        assert!(forest < share * random, "{trees:?}: {forest} {random}");
    }
}

/// A change here changes every study's suggestions, and must come with a new version of the sampler.
#[test]
fn value_stability() {
    let study = bowl(&Forest::default(), 42, 25);
    assert_eq!(suggest(&Forest::default(), &study, &spaces(), 42), [1.0, 1.0, 32.0, 0.9766062240934703]);
}

#[test]
fn what_is_kept_may_be_dropped() {
    let spaces = spaces();
    let directions = [Direction::Minimize, Direction::Maximize];
    let (mut study, mut other) = (Study::new(&directions), Study::new(&directions));
    let (keeping, dropping) = (Forest::default(), Forest::default());
    for number in 0..40_u64 {
        let values = suggest(&keeping, &study, &spaces, 1);
        dropping.drop_caches();
        assert_eq!(values, suggest(&dropping, &study, &spaces, 1), "{number}");
        let _ = suggest(&keeping, &other, &spaces, 1);
        let state = if number % 7 == 6 { TrialState::Running } else { TrialState::Complete };
        for (study, sign) in [(&mut study, 1.0), (&mut other, -1.0)] {
            let mut trial = template(state, &params(&spaces, &values));
            if state == TrialState::Complete {
                trial.values = vec![sign * values[3], (values[3] + values[0]).sin()];
                trial.constraints = vec![("c".to_owned(), values[1] - 0.1)];
            }
            study.add(trial);
        }
    }
}

#[test]
fn constraints_are_met() {
    let spaces = [("x", distribution("float 0 1 0 0")), ("c", distribution("categorical 4"))];
    let (sampler, mut study) = (Forest::default(), Study::minimize());
    let mut met = 0;
    for number in 0..40 {
        let values = suggest(&sampler, &study, &spaces, 2);
        let mut trial = template(TrialState::Complete, &params(&spaces, &values));
        trial.values = vec![values[0]];
        let constraint = if values[1] == 2.0 { 0.4 - values[0] } else { 1.0 };
        trial.constraints = vec![("c".to_owned(), constraint)];
        met += usize::from(number >= 20 && constraint <= 0.0);
        study.add(trial);
    }
    assert!(met >= 3, "{met}");
    assert!(best(&study) < 0.45, "{}", best(&study));
}

#[test]
fn odd_values_are_survived() {
    let single = [
        ("only", distribution("int 3 3 0 1")),
        ("x", distribution("float -1.7976931348623157e308 1.7976931348623157e308 0 0")),
        ("y", distribution("float 0 5e-324 0 0")),
    ];
    let ordinary = [("x", distribution("float 0 1 0 0")), ("c", distribution("categorical 3"))];
    for (name, value) in ODD {
        for (spaces, trees) in [(&single[..], TreeKind::ExtraTrees), (&ordinary[..], TreeKind::RandomForest)] {
            for objectives in 1..3 {
                let mut study = Study::new(&[Direction::Minimize, Direction::Maximize][..objectives]);
                let sampler = Forest::new(ForestOptions { n_startup_trials: 0, trees, ..ForestOptions::default() });
                for number in 0..12 {
                    let values = suggest(&sampler, &study, spaces, 0);
                    let x = values[values.len() - 1];
                    let values: Vec<f64> =
                        if number % 2 == 0 { values } else { spaces.iter().map(|(_, d)| low(d)).collect() };
                    study.tell(&params(spaces, &values), &vec![value(number, x); objectives]);
                }
                let _ = (name, suggest(&sampler, &study, spaces, 0));
            }
        }
    }
}

#[test]
fn many_categories_are_no_obstacle() {
    let spaces = [("c", distribution("categorical 300"))];
    for trees in [TreeKind::ExtraTrees, TreeKind::RandomForest] {
        let (sampler, mut study) =
            (Forest::new(ForestOptions { trees, ..ForestOptions::default() }), Study::minimize());
        for _ in 0..30 {
            let values = suggest(&sampler, &study, &spaces, 0);
            study.tell(&params(&spaces, &values), &[f64::from(values[0] as u32 % 7)]);
        }
        assert_eq!(best(&study), 0.0, "{trees:?}");
    }
}

#[test]
fn wrong_options_are_refused() {
    for (options, expected) in [
        (serde_json::json!({"n_trees": 0}), "option n_trees must be a whole number from 1, not 0"),
        (
            serde_json::json!({"trees": "oak"}),
            "option trees must be one of extra_trees, random_forest, not \"oak\"",
        ),
        (serde_json::json!({"xi": -1}), "option xi must be a number from 0, not -1"),
    ] {
        assert_eq!(Forest::from_options(options.as_object().unwrap()).map(|_| ()).unwrap_err(), expected);
    }
}

/// The suggestion at 12 random trials of two parameters, of which only the first matters.
#[test]
#[should_panic(expected = "canary")]
fn canary() {
    let spaces = [("x", distribution("float 0 1 0 0")), ("y", distribution("float 0 1 0 0"))];
    let mut study = Study::minimize();
    for number in 0..12 {
        let at = |name: &str, d: &Distribution| {
            Random.sample_independent(&study.view(), TrialNumber(number), 1, name, d)
        };
        let values: Vec<f64> = spaces.iter().map(|(name, d)| at(name, d)).collect();
        study.tell(&params(&spaces, &values), &[values[0]]);
    }
    // A surrogate that maximized would go to the other end.
    assert!(suggest(&Forest::default(), &study, &spaces, 0)[0] > 0.8, "canary");
}
