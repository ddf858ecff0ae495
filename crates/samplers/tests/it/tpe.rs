//! TPE: what it takes for good, what it proposes, and that nothing it kept matters.

use trialog_ops::{Direction, Distribution, TrialNumber, TrialState};
use trialog_samplers::{Random, Sampler, Tpe, TpeOptions};

use crate::parzen::{distribution, numbers};
use crate::study::{Study, template};

/// See `golden/split.py` for the form of a case.
fn check_split(golden: &str) {
    let mut study = Study::minimize();
    let mut header = "";
    for line in golden.lines() {
        if let Some(rest) = line.strip_prefix("case ") {
            let direction = |word| if word == "maximize" { Direction::Maximize } else { Direction::Minimize };
            let directions: Vec<Direction> = rest.split(' ').map(direction).collect();
            study = Study::new(&directions);
            header = line;
        } else if let Some(good) = line.strip_prefix("good") {
            let expected: Vec<TrialNumber> = numbers(good).into_iter().map(|n| TrialNumber(n as u32)).collect();
            let sampler = Tpe::default();
            let view = study.view();
            assert_eq!(sampler.good_trials(&view), expected, "{header}, {} trials", view.trial_count());
            assert_eq!(sampler.good_trials(&view), expected, "again, from what was kept");
        } else {
            let parts: Vec<&str> = line.split('|').collect();
            let state = match parts[0].trim() {
                "complete" => TrialState::Complete,
                "pruned" => TrialState::Pruned,
                "running" => TrialState::Running,
                _ => TrialState::Fail,
            };
            let mut trial = template(state, &[]);
            trial.values = numbers(parts[1]);
            trial.reports = numbers(parts[2]).chunks(2).map(|report| (report[0] as u64, report[1])).collect();
            let constraints = numbers(parts[3]).into_iter().enumerate();
            trial.constraints = constraints.map(|(at, value)| (at.to_string(), value)).collect();
            study.add(trial);
        }
    }
}

#[test]
fn good_trials_are_optunas() {
    check_split(include_str!("../golden/split-optuna-5.0.0.txt"));
}

#[test]
#[should_panic(expected = "case minimize")]
fn canary() {
    check_split("case minimize\ncomplete | 1.0 | |\ngood 1");
}

fn spaces() -> Vec<(&'static str, Distribution)> {
    vec![
        ("choice", distribution("categorical 3")),
        ("lr", distribution("float 1e-5 1 1 0")),
        ("units", distribution("int 4 64 0 4")),
        ("x", distribution("float -5 5 0 0")),
    ]
}

/// A study of a bowl whose lowest point is at x = 2, lr = 1e-3, units = 32, choice = 1.
fn bowl(sampler: &dyn Sampler, seed: u64, n: u32) -> Study {
    let mut study = Study::minimize();
    let spaces = spaces();
    for number in 0..n {
        let view = study.view();
        let proposals = sampler.sample_relative(&view, TrialNumber(number), seed);
        let value = |name: &str, distribution: &Distribution| {
            let proposed = proposals.iter().find(|(_, def, _)| def.name == name).map(|proposal| proposal.2);
            proposed
                .unwrap_or_else(|| sampler.sample_independent(&view, TrialNumber(number), seed, name, distribution))
        };
        let params: Vec<(&str, &Distribution, f64)> =
            spaces.iter().map(|(name, distribution)| (*name, distribution, value(name, distribution))).collect();
        assert!(params.iter().all(|(_, distribution, value)| distribution.contains(*value)), "{params:?}");
        let [choice, lr, units, x] = [params[0].2, params[1].2, params[2].2, params[3].2];
        let loss = (x - 2.0).powi(2)
            + (lr.log10() + 3.0).powi(2)
            + ((units - 32.0) / 10.0).powi(2)
            + if choice == 1.0 { 0.0 } else { 2.0 };
        study.tell(&params, &[loss]);
    }
    study
}

fn best(study: &Study) -> f64 {
    study.view().best().next().and_then(|trial| trial.value(0)).unwrap()
}

#[test]
fn it_beats_chance() {
    let mean = |sampler: &dyn Sampler| (0..10).map(|seed| best(&bowl(sampler, seed, 80))).sum::<f64>() / 10.0;
    let (tpe, random) = (mean(&Tpe::default()), mean(&Random));
    assert!(tpe < 0.3 * random, "{tpe} {random}");
    let alone = TpeOptions { multivariate: Some(false), ..TpeOptions::default() };
    let univariate = mean(&Tpe::new(alone));
    assert!(univariate < 0.3 * random, "{univariate} {random}");
}

/// A change here changes every study's suggestions, and must come with a new version of the sampler.
#[test]
fn value_stability() {
    let study = bowl(&Tpe::default(), 42, 40);
    let view = study.view();
    let proposals = Tpe::default().sample_relative(&view, TrialNumber(40), 42);
    let values: Vec<f64> = proposals.iter().map(|proposal| proposal.2).collect();
    assert_eq!(values, [1.0, 0.0012716784601085464, 28.0, 2.0511574721824224]);
    let x = distribution("float -5 5 0 0");
    assert_eq!(Tpe::default().sample_independent(&view, TrialNumber(40), 42, "x", &x), -0.2224770702082688);
    assert_eq!(Random.sample_independent(&view, TrialNumber(40), 42, "x", &x), 3.9153584110567192);
}

#[test]
fn what_is_kept_may_be_dropped() {
    let directions = [Direction::Minimize, Direction::Maximize];
    let x = distribution("float 0 1 0 0");
    let (mut study, mut other) = (Study::new(&directions), Study::new(&directions));
    let (keeping, dropping) = (Tpe::default(), Tpe::default());
    for number in 0..60 {
        let (view, number) = (study.view(), TrialNumber(number));
        let value = keeping.sample_independent(&view, number, 1, "x", &x);
        dropping.drop_caches();
        assert_eq!(value, dropping.sample_independent(&view, number, 1, "x", &x));
        assert_eq!(value, Tpe::default().sample_independent(&view, number, 1, "x", &x));
        // Another study of the same shape at the same position must not be mistaken for this one.
        let _ = keeping.sample_independent(&other.view(), number, 1, "x", &x);
        study.tell(&[("x", &x, value)], &[value, (value * 9.0).sin()]);
        other.tell(&[("x", &x, value)], &[-value, (value * 7.0).cos()]);
    }
}

/// Beyond a thousand trials models follow the study from view to view. Trials run, end late and in another order, fail
/// and become good; older views are asked again; and all answers are those of a sampler that has kept nothing.
#[test]
fn what_is_kept_follows_the_study() {
    let cases = [(true, true, 1), (false, true, 1), (true, false, 1), (false, true, 2), (true, true, 3)];
    for (multivariate, constant_liar, objectives) in cases {
        let options = TpeOptions { multivariate: Some(multivariate), constant_liar, ..TpeOptions::default() };
        let keeping = Tpe::new(options);
        let mut study = Study::new(&vec![Direction::Minimize; objectives]);
        let losses = |value: f64| [value, (value * 7.0).cos(), (value * 3.0).sin()][..objectives].to_vec();
        let spaces = spaces();
        for number in 0..1050 {
            let view = study.view();
            let draw = |(name, d): &(&'static str, Distribution)| {
                Random.sample_independent(&view, TrialNumber(number), 1, name, d)
            };
            let values: Vec<f64> = spaces.iter().map(draw).collect();
            let params: Vec<_> = spaces.iter().zip(&values).map(|((name, d), value)| (*name, d, *value)).collect();
            study.tell(&params, &losses((values[3] - 1.0).abs() + values[0]));
        }
        let (mut running, mut asked) = (Vec::new(), Vec::new());
        let values = |sampler: &Tpe, view: &trialog_replay::StudyView, number| -> Vec<u64> {
            sampler.sample_relative(view, number, 3).iter().map(|proposal| proposal.2.to_bits()).collect()
        };
        for step in 0..60_u32 {
            let number = study.begin();
            let view = study.view();
            let proposed = values(&keeping, &view, number);
            assert_eq!(proposed, values(&Tpe::new(options), &view, number), "step {step}");
            let params: Vec<(&str, &Distribution, f64)> = spaces
                .iter()
                .zip(&proposed)
                .map(|((name, d), bits)| (*name, d, f64::from_bits(*bits)))
                // Some know only a part of their parameters.
                .take(if step % 9 == 4 { 2 } else { 4 })
                .collect();
            study.set(number, &params);
            running.push((number, f64::from(step % 7) * 0.1));
            asked.push((view, number, proposed));
            while running.len() > (step % 5) as usize + 2 {
                let (number, value) = running.remove((step as usize * 3) % running.len());
                study.end(number, &if step % 11 == 3 { Vec::new() } else { losses(value) });
            }
            if step % 13 == 12 {
                let (view, number, proposed) = &asked[step as usize - 7];
                assert_eq!(values(&keeping, view, *number), *proposed, "step {step}, going back");
            }
            if step == 40 {
                keeping.drop_caches();
            }
        }
        for (view, number, proposed) in asked.iter().rev() {
            assert_eq!(values(&keeping, view, *number), *proposed, "going back to the beginning");
        }
    }
}

#[test]
fn running_trials_repel() {
    let x = distribution("float 0 1 0 0");
    let mut study = Study::minimize();
    for k in 0..30 {
        let value = f64::from(k) / 30.0;
        study.tell(&[("x", &x, value)], &[(value - 0.5).abs()]);
    }
    let spread = |sampler: &Tpe, study: &Study| {
        let value = |number| sampler.sample_relative(&study.view(), TrialNumber(number), 0)[0].2;
        (1000..1060).map(|number| (value(number) - 0.5).abs()).sum::<f64>() / 60.0
    };
    let before = spread(&Tpe::default(), &study);
    for _ in 0..6 {
        study.add(template(TrialState::Running, &[("x", &x, 0.5)]));
    }
    assert!(spread(&Tpe::default(), &study) > 1.2 * before);
    let blind = Tpe::new(TpeOptions { constant_liar: false, ..TpeOptions::default() });
    assert_eq!(spread(&blind, &study), before);
}

/// In a space with two branches all of a branch is proposed together, whichever it will be.
#[test]
fn groups_are_proposed_branch_by_branch() {
    let (x, y, branch) =
        (distribution("float 0 1 0 0"), distribution("int 1 9 0 1"), distribution("categorical 2"));
    let mut study = Study::minimize();
    for k in 0..40_u32 {
        let value = f64::from(k % 10) / 10.0;
        let common = ("branch", &branch, f64::from(k % 2));
        let params =
            if k % 2 == 0 { vec![common, ("x", &x, value)] } else { vec![common, ("y", &y, 1.0 + value * 5.0)] };
        study.tell(&params, &[value]);
    }
    let names = |options| {
        let proposals = Tpe::new(options).sample_relative(&study.view(), TrialNumber(40), 1);
        assert!(proposals.iter().all(|(_, def, value)| def.distribution.contains(*value)));
        proposals.iter().map(|(_, def, _)| def.name.clone()).collect::<Vec<_>>()
    };
    assert_eq!(names(TpeOptions { group: true, ..TpeOptions::default() }), ["branch", "x", "y"]);
    assert_eq!(names(TpeOptions::default()), ["branch"]);
    let error = Tpe::from_options(serde_json::json!({"group": true, "multivariate": false}).as_object().unwrap());
    assert_eq!(error.map(|_| ()).unwrap_err(), "option group needs multivariate not to be false");
}

/// Choices in a row, of which only the fourth was good: with distances its neighbours are tried more than others.
#[test]
fn near_choices_are_tried() {
    let choice = distribution("categorical 7");
    let mut study = Study::minimize();
    for k in 0..60_u32 {
        let value = f64::from(k % 7);
        study.tell(&[("c", &choice, value)], &[(value - 3.0).abs() + f64::from(k) * 1e-3]);
    }
    let rows = (0..7).map(|a| (0..7).map(|b| f64::from(a - b).abs()).collect()).collect();
    let table = Tpe::default().with_categorical_distances("c", rows);
    let function = Tpe::default().with_categorical_distance("c", |a, b| match (a, b) {
        (trialog_ops::Choice::Int(a), trialog_ops::Choice::Int(b)) => (a - b).abs() as f64,
        _ => 0.0,
    });
    let proposed = |sampler: &dyn Sampler| -> Vec<f64> {
        (100..400).map(|n| sampler.sample_relative(&study.view(), TrialNumber(n), 0)[0].2).collect()
    };
    assert_eq!(proposed(&table), proposed(&function));
    // From the log comes the same sampler, or none.
    let again = trialog_samplers::from_spec(&table.spec()).unwrap();
    assert_eq!((proposed(&table), table.spec()), (proposed(&*again), again.spec()));
    let message = trialog_samplers::from_spec(&function.spec()).map(|_| ()).unwrap_err().to_string();
    assert!(message.contains("the distances of c are a function"), "{message}");
    // A table of another size is for other choices.
    let wrong = Tpe::default().with_categorical_distances("c", vec![vec![0.0]]);
    assert_eq!(proposed(&wrong), proposed(&Tpe::default()));
}

#[test]
fn options_survive_the_log() {
    for entry in trialog_samplers::REGISTRY {
        // A grid is nothing without its values.
        let needed = if entry.name == "grid" {
            serde_json::json!({"search_space": {"x": [1]}})
        } else {
            serde_json::json!({})
        };
        let sampler = (entry.build)(needed.as_object().unwrap()).unwrap();
        let spec = sampler.spec();
        assert_eq!((spec.name.as_str(), spec.version), (entry.name, entry.version));
        assert_eq!(trialog_samplers::from_spec(&spec).unwrap().spec(), spec);
    }
    let error =
        |options: serde_json::Value| Tpe::from_options(options.as_object().unwrap()).map(|_| ()).unwrap_err();
    for (options, expected) in [
        (serde_json::json!({"n_startup": 3}), "there is no option n_startup; there are gamma, n_startup_trials,"),
        (serde_json::json!({"n_ei_candidates": 0}), "option n_ei_candidates must be a whole number from 1, not 0"),
        (serde_json::json!({"gamma": "half"}), "option gamma must be one of tenth, root, not \"half\""),
        (serde_json::json!({"prior_weight": -1}), "option prior_weight must be a number from 0, not -1"),
        (serde_json::json!({"constant_liar": 1}), "option constant_liar must be true or false, not 1"),
    ] {
        let message = error(options);
        assert!(message.starts_with(expected), "{message}");
    }
    let random = trialog_samplers::REGISTRY.iter().find(|entry| entry.name == "random").unwrap();
    assert!((random.build)(serde_json::json!({"seed": 1}).as_object().unwrap()).is_err());
}
