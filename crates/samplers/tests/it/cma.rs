//! CMA-ES: updates against the package cmaes, populations across workers, and that nothing kept matters.

use trialog_ops::{Distribution, TrialNumber};
use trialog_samplers::cma::{Cells, CmaOptions, Evolution, Margin, Member, Variant, promising};
use trialog_samplers::{CmaEs, Random, Sampler, from_spec};

use crate::enumerate::run;
use crate::parzen::{distribution, numbers};
use crate::study::Study;

fn close(what: &str, found: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let scale = expected.iter().fold(1e-12_f64, |scale, x| scale.max(x.abs()));
    for (found, expected) in found.iter().zip(expected) {
        assert!((found - expected).abs() <= tolerance * scale, "{what}: {found:?}, not {expected:?}");
    }
}

/// See `golden/cma.py` for the form of a case.
fn check(golden: &str) {
    let mut case = "";
    let mut evolution: Option<Evolution> = None;
    let mut begin: (Vec<f64>, f64, usize, Vec<f64>) = Default::default();
    let mut members: Vec<Member> = Vec::new();
    let mut variant = Variant::Full;
    let mut told = 0;
    for line in golden.lines() {
        let (word, rest) = line.split_once(' ').unwrap();
        let what = format!("case {case}: {word} after {told} generations");
        if word == "case" {
            case = rest;
            let mut words = rest.split(' ');
            variant = match words.next().unwrap() {
                "separable" => Variant::Separable,
                "rates" => Variant::LearningRate,
                _ => Variant::Full,
            };
            let numbers: Vec<f64> = words.map(|word| word.parse().unwrap()).collect();
            begin = (Vec::new(), numbers[2], numbers[1] as usize, Vec::new());
            (evolution, told, members) = (None, 0, Vec::new());
            continue;
        }
        if word == "x" {
            if evolution.is_none() && !case.starts_with("warm") {
                let (mean, sigma, popsize, steps) = begin.clone();
                let alpha = 1.0 / (mean.len() * popsize) as f64;
                let new = Evolution::new(mean, sigma, None, Some(popsize), variant);
                let cells = |step: &f64| {
                    let count = (1.0 / step).round() + 1.0;
                    (*step > 0.0).then_some(Cells::Even { start: -step / 2.0, width: *step, count })
                };
                evolution = Some(if steps.is_empty() {
                    new
                } else {
                    new.with_margin(Margin::new(steps.iter().map(cells).collect(), alpha))
                });
            }
            let (x, loss) = rest.split_once(" | ").unwrap();
            members.push((numbers(x), loss.parse().unwrap()));
            continue;
        }
        let expected = numbers(rest);
        if case.starts_with("warm") {
            let (mean, sigma, covariance) = promising(members.clone()).unwrap();
            match word {
                "mean" => close(&what, &mean, &expected, 1e-14),
                "sigma" => close(&what, &[sigma], &expected, 1e-12),
                _ => close(&what, &covariance, &expected, 1e-12),
            }
            continue;
        }
        let Some(evolution) = &mut evolution else {
            match word {
                "mean" => begin.0 = expected,
                _ => begin.3 = expected,
            }
            continue;
        };
        if word == "mean" {
            evolution.tell(&mut members);
            members.clear();
            told += 1;
        }
        // Rounding grows with the condition of C from generation to generation.
        match word {
            "mean" => close(&what, evolution.mean(), &expected, 1e-9),
            "sigma" => close(&what, &[evolution.sigma()], &expected, 1e-9),
            "c" => close(&what, evolution.covariance(), &expected, 1e-9),
            "eta" => close(&what, &evolution.learning_rates(), &expected, 1e-9),
            "spread" => close(&what, evolution.spread().unwrap(), &expected, 1e-9),
            _ => panic!("{line}"),
        }
    }
}

#[test]
fn updates_are_those_of_cmaes() {
    check(include_str!("../golden/cma-cmaes-0.13.1.txt"));
}

#[test]
#[should_panic(expected = "case full 1 2 0.5: sigma after 1 generations")]
fn canary() {
    check("case full 1 2 0.5\nmean 0.5\nx 0.25 | 1.0\nx 0.75 | 2.0\nmean 0.25\nsigma 0.5");
}

fn bowl(sampler: &dyn Sampler, space: &[(&str, Distribution)], seed: u64, n: u32) -> f64 {
    let mut study = Study::minimize();
    for number in (0..n).map(TrialNumber) {
        let view = study.view();
        let proposals = sampler.sample_relative(&view, number, seed);
        let params: Vec<(&str, &Distribution, f64)> = space
            .iter()
            .map(|(name, d)| {
                let proposed = proposals.iter().find(|(_, def, _)| def.name == *name).map(|proposal| proposal.2);
                let value = proposed.unwrap_or_else(|| sampler.sample_independent(&view, number, seed, name, d));
                (*name, d, value)
            })
            .collect();
        let loss = |at: usize| {
            let (_, _, value) = params[at];
            let before = if at > 0 { params[at - 1].2 } else { 0.0 };
            (value - 1.3 - 0.4 * before).powi(2) * 10_f64.powi(at as i32 % 3)
        };
        study.tell(&params, &[(0..params.len()).map(loss).sum()]);
    }
    study.view().best().next().and_then(|trial| trial.value(0)).unwrap()
}

fn numeric() -> Vec<(&'static str, Distribution)> {
    ["a", "b", "c", "d", "e"].map(|name| (name, distribution("float -5 5 0 0"))).to_vec()
}

#[test]
fn it_finds_the_bottom_of_a_bowl() {
    let options = |variant| CmaOptions { variant, ..CmaOptions::default() };
    for (variant, bound) in [(Variant::Full, 1e-9), (Variant::Separable, 1e-2), (Variant::LearningRate, 1e-2)] {
        for seed in 0..5 {
            let best = bowl(&CmaEs::new(options(variant)).unwrap(), &numeric(), seed, 1200);
            assert!(best < bound, "{variant:?} {seed}: {best}");
            assert!(bowl(&Random, &numeric(), seed, 1200) > 0.1);
        }
    }
}

#[test]
fn grids_do_not_freeze() {
    let space: Vec<_> = [
        ("a", "int -20 20 0 1"),
        ("b", "float -5 5 0 0.1"),
        ("c", "float -5 5 0 0"),
        ("d", "int -30 60 0 3"),
        ("e", "int 1 60 1 1"),
    ]
    .map(|(name, d)| (name, distribution(d)))
    .to_vec();
    let mean = |with_margin| {
        let sampler = || CmaEs::new(CmaOptions { with_margin, ..CmaOptions::default() }).unwrap();
        (0..10).map(|seed| bowl(&sampler(), &space, seed, 600)).sum::<f64>() / 10.0
    };
    let (with, without) = (mean(None), mean(Some(false)));
    assert!(with <= without, "{with} {without}");
}

/// Workers come and go, and each answer is compared with one from a sampler that knows nothing.
#[test]
fn populations_are_shared_by_workers() {
    let sampler = CmaEs::default();
    let fresh = || -> Box<dyn Sampler> { Box::new(CmaEs::default()) };
    let program = |has: &std::collections::BTreeMap<&'static str, f64>| {
        let names = ["x", "y", "z"];
        names.get(has.len()).map(|name| (*name, Distribution::float(0.0, 1.0).unwrap()))
    };
    for workers in [1, 4] {
        assert_eq!(run(&sampler, &fresh, program, workers, 11, 120).len(), 120);
    }
}

#[test]
fn generations_go_on_beside_late_and_foreign_trials() {
    let unit = distribution("float 0 1 0 0");
    let sampler = CmaEs::default();
    let mut study = Study::minimize();
    study.tell(&[("x", &unit, 0.5), ("y", &unit, 0.5)], &[1.0]);
    let mut running = Vec::new();
    for round in 0..400 {
        let number = study.begin();
        let proposals = sampler.sample_relative(&study.view(), number, 1);
        let params: Vec<_> = proposals.iter().map(|(_, def, value)| (def.name.as_str(), &unit, *value)).collect();
        study.set(number, &params);
        running.push((number, params.iter().map(|(.., value)| (value - 0.3).powi(2)).sum::<f64>()));
        // Eight workers; of every twenty trials one is never heard of again, and somebody adds others.
        if running.len() == 8 {
            let (number, loss) = running.remove(round % 8);
            if round % 20 != 7 {
                study.end(number, &[loss]);
            }
        }
        if round % 10 == 3 {
            study.tell(&[("x", &unit, 0.9), ("y", &unit, 0.1)], &[0.0]);
        }
    }
    let (generation, restarts) = sampler.generation(&study.view(), 1);
    // Six make a population, and up to seven of the one before are under way when it begins.
    assert!(generation >= 370 / 13 && restarts == 0, "{generation} {restarts}");
    assert_eq!(CmaEs::default().generation(&study.view(), 1), (generation, restarts));
    let best = study.view().trials().filter_map(|t| t.value(0).filter(|v| *v != 0.0)).fold(1.0, f64::min);
    assert!(best < 1e-4, "{best}");
}

#[test]
fn it_begins_anew_when_there_is_nothing_left() {
    let flat = distribution("float 0 1 0 0");
    let sampler = CmaEs::default();
    let mut study = Study::minimize();
    study.tell(&[("x", &flat, 0.5), ("y", &flat, 0.5)], &[1.0]);
    for _ in 0..400 {
        let number = study.begin();
        let proposals = sampler.sample_relative(&study.view(), number, 1);
        study.set(number, &[("x", &flat, proposals[0].2), ("y", &flat, proposals[1].2)]);
        study.end(number, &[3.0]);
    }
    let (_, restarts) = sampler.generation(&study.view(), 1);
    assert!(restarts >= 1, "{restarts}");
}

#[test]
fn source_trials_say_where_to_begin() {
    let unit = distribution("float 0 1 0 0");
    let source: Vec<serde_json::Value> = (0..40)
        .map(|at| {
            let x = f64::from(at) / 40.0;
            serde_json::json!({"params": {"x": x, "y": 1.0 - x}, "value": (x - 0.8).abs()})
        })
        .collect();
    let options = serde_json::json!({"source_trials": source});
    let sampler = CmaEs::from_options(options.as_object().unwrap()).unwrap();
    assert_eq!(from_spec(&sampler.spec()).unwrap().spec(), sampler.spec());
    let mut study = Study::minimize();
    study.tell(&[("x", &unit, 0.1), ("y", &unit, 0.1)], &[1.0]);
    let view = study.view();
    for number in (1..20).map(TrialNumber) {
        let proposals = sampler.sample_relative(&view, number, 3);
        assert!((proposals[0].2 - 0.8).abs() < 0.4 && (proposals[1].2 - 0.2).abs() < 0.4, "{proposals:?}");
    }
}

#[test]
fn options_that_exclude_each_other_are_refused() {
    for options in [
        serde_json::json!({"with_margin": true, "lr_adapt": true}),
        serde_json::json!({"use_separable_cma": true, "lr_adapt": true}),
        serde_json::json!({"sigma0": 0}),
        serde_json::json!({"sigma0": 0.1, "source_trials": [{"params": {"x": 1}, "value": 2}]}),
        serde_json::json!({"popsize": 1}),
        serde_json::json!({"x0": [1]}),
    ] {
        assert!(CmaEs::from_options(options.as_object().unwrap()).is_err(), "{options}");
    }
}
