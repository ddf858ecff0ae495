//! The Gaussian-process sampler: it finds good points, nothing it kept matters, and odd data do not stop it.

use trialog_ops::{Direction, Distribution, TrialNumber, TrialState};
use trialog_samplers::{Gp, GpAcquisition, GpOptions, Random, Sampler};

use crate::parzen::distribution;
use crate::study::{Study, template};

pub(crate) fn spaces() -> Vec<(&'static str, Distribution)> {
    vec![
        ("choice", distribution("categorical 3")),
        ("lr", distribution("float 1e-5 1 1 0")),
        ("units", distribution("int 4 64 0 4")),
        ("x", distribution("float -5 5 0 0")),
    ]
}

/// What the sampler proposes, in the order of the spaces.
pub(crate) fn suggest(
    sampler: &dyn Sampler,
    study: &Study,
    spaces: &[(&str, Distribution)],
    seed: u64,
) -> Vec<f64> {
    let view = study.view();
    let number = TrialNumber(view.trial_count() as u32);
    let proposals = sampler.sample_relative(&view, number, seed);
    let value = |name: &str, distribution: &Distribution| {
        let proposed = proposals.iter().find(|(_, def, _)| def.name == name).map(|proposal| proposal.2);
        let value = proposed.unwrap_or_else(|| sampler.sample_independent(&view, number, seed, name, distribution));
        assert!(distribution.contains(value), "{name} = {value:?} is not in {distribution}");
        value
    };
    spaces.iter().map(|(name, distribution)| value(name, distribution)).collect()
}

pub(crate) fn params<'a>(
    spaces: &'a [(&'a str, Distribution)],
    values: &[f64],
) -> Vec<(&'a str, &'a Distribution, f64)> {
    spaces.iter().zip(values).map(|((name, distribution), value)| (*name, distribution, *value)).collect()
}

/// A study of a bowl whose lowest point is at x = 2, lr = 1e-3, units = 32, choice = 1.
pub(crate) fn bowl(sampler: &dyn Sampler, seed: u64, n: u32) -> Study {
    let mut study = Study::minimize();
    let spaces = spaces();
    for _ in 0..n {
        let values = suggest(sampler, &study, &spaces, seed);
        let [choice, lr, units, x] = values[..] else { panic!("four parameters") };
        let loss = (x - 2.0).powi(2)
            + (lr.log10() + 3.0).powi(2)
            + ((units - 32.0) / 10.0).powi(2)
            + if choice == 1.0 { 0.0 } else { 2.0 };
        study.tell(&params(&spaces, &values), &[loss]);
    }
    study
}

fn best(study: &Study) -> f64 {
    study.view().best().next().and_then(|trial| trial.value(0)).unwrap()
}

fn with(acquisition: GpAcquisition) -> Gp {
    Gp::new(GpOptions { acquisition, ..GpOptions::default() })
}

#[test]
fn it_beats_chance_by_far() {
    let mean = |sampler: &dyn Sampler| (0..5).map(|seed| best(&bowl(sampler, seed, 40))).sum::<f64>() / 5.0;
    let random = mean(&Random);
    for (name, sampler) in [
        ("log_ei", Gp::default()),
        ("ucb", with(GpAcquisition::Ucb { beta: 2.0 })),
        ("deterministic", Gp::new(GpOptions { deterministic_objective: true, ..GpOptions::default() })),
    ] {
        let gp = mean(&sampler);
        assert!(gp < 0.03 * random, "{name}: {gp} {random}");
    }
}

/// A way to go, and parameters that only one of the ways has; the better way is the one that looks worse at first.
fn branching(sampler: &dyn Sampler, seed: u64, n: u32, mut after: impl FnMut(u32)) -> Study {
    let (way, unit) = (distribution("categorical 2"), distribution("float 0 1 0 0"));
    let mut study = Study::minimize();
    for number in 0..n {
        let view = study.view();
        let proposals = sampler.sample_relative(&view, TrialNumber(number), seed);
        let value = |name: &str, d: &Distribution| {
            let proposed = proposals.iter().find(|(_, def, _)| def.name == name).map(|proposal| proposal.2);
            proposed.unwrap_or_else(|| sampler.sample_independent(&view, TrialNumber(number), seed, name, d))
        };
        if value("way", &way) == 0.0 {
            let x = value("x", &unit);
            study.tell(&[("way", &way, 0.0), ("x", &unit, x)], &[0.2 + (x - 0.9).powi(2)]);
        } else {
            let (y, z) = (value("y", &unit), value("z", &unit));
            let loss = 4.0 * ((y - 0.7).powi(2) + (z - 0.2).powi(2));
            study.tell(&[("way", &way, 1.0), ("y", &unit, y), ("z", &unit, z)], &[loss]);
        }
        after(number);
    }
    study
}

#[test]
fn conditions_are_learned() {
    for seed in 0..4 {
        let gp = best(&branching(&Gp::default(), seed, 30, |_| ()));
        let random = best(&branching(&Random, seed, 30, |_| ()));
        assert!(gp < 1e-3 && gp < 0.1 * random, "{gp} {random}");
    }
    // It proposes what the way has that it proposes, and nothing else.
    let study = branching(&Gp::default(), 3, 30, |_| ());
    for seed in 0..8 {
        let proposals = Gp::default().sample_relative(&study.view(), TrialNumber(30), seed);
        let names: Vec<&str> = proposals.iter().map(|(_, def, _)| def.name.as_str()).collect();
        let way = proposals.iter().find(|(_, def, _)| def.name == "way").unwrap().2;
        assert_eq!(names, if way == 0.0 { vec!["way", "x"] } else { vec!["way", "y", "z"] });
    }
}

#[test]
fn nothing_kept_matters_where_there_are_conditions() {
    let keeping = Gp::default();
    let dropping = Gp::default();
    let one = branching(&keeping, 9, 26, |_| ());
    let other = branching(&dropping, 9, 26, |_| dropping.drop_caches());
    let params = |study: &Study| -> Vec<_> {
        let view = study.view();
        let params =
            |n| view.trial(TrialNumber(n)).map(|t| t.params().map(|(.., value)| value).collect::<Vec<_>>());
        (0..26).map(params).collect()
    };
    assert_eq!(params(&one), params(&other));
}

/// A change here changes every study's suggestions, and must come with a new version of the sampler.
#[test]
fn value_stability() {
    let study = bowl(&Gp::default(), 42, 25);
    assert_eq!(
        suggest(&Gp::default(), &study, &spaces(), 42),
        [0.0, 0.0007842136648359722, 28.0, 1.751257161166584]
    );
}

#[test]
fn constraints_are_met() {
    let spaces = [("x", distribution("float 0 6 0 0")), ("y", distribution("float 0 6 0 0"))];
    let sampler = Gp::default();
    let mut study = Study::minimize();
    let mut feasible = 0;
    for number in 0..40 {
        let values = suggest(&sampler, &study, &spaces, 3);
        let (x, y) = (values[0], values[1]);
        let mut trial = template(TrialState::Complete, &params(&spaces, &values));
        trial.values = vec![x + y];
        // Gardner et al. 2014, a disc; the lowest sum in it is 4 - 2 sqrt(1/2).
        let constraint = (x - 2.0).powi(2) + (y - 2.0).powi(2) - 1.0;
        trial.constraints = vec![("disc".to_owned(), constraint)];
        feasible += usize::from(number >= 20 && constraint <= 0.0);
        study.add(trial);
    }
    // The best lies on the edge, where every second one is beyond it.
    assert!(feasible >= 1, "{feasible}");
    assert!(best(&study) < 4.0 - 2.0_f64.sqrt() + 0.05, "{}", best(&study));
}

#[test]
fn a_front_is_found() {
    let spaces = [("x", distribution("float 0 1 0 0")), ("y", distribution("float 0 1 0 0"))];
    let sampler = Gp::default();
    let mut study = Study::new(&[Direction::Minimize, Direction::Maximize]);
    for _ in 0..40 {
        let values = suggest(&sampler, &study, &spaces, 5);
        // The front is y = 0, where the objectives are x and sqrt(x).
        study.tell(&params(&spaces, &values), &[values[0] + values[1], values[0].sqrt() - values[1]]);
    }
    let view = study.view();
    assert!(view.pareto_front().count() >= 15, "{}", view.pareto_front().count());
    let on_front = view.pareto_front().filter(|trial| trial.param("y").unwrap() < 0.01).count();
    assert!(on_front >= 12, "{on_front}");
}

#[test]
fn running_trials_are_avoided() {
    let x = distribution("float 0 1 0 0");
    let spaces = [("x", x.clone())];
    let mut study = Study::minimize();
    for k in 0..5 {
        let value = f64::from(k) / 4.0;
        study.tell(&[("x", &x, value)], &[(9.0 * value).sin() + value]);
    }
    let sampler = Gp::new(GpOptions { n_startup_trials: 5, ..GpOptions::default() });
    let mut running: Vec<f64> = Vec::new();
    for _ in 0..4 {
        let value = suggest(&sampler, &study, &spaces, 0)[0];
        let nearest = running.iter().map(|other| (other - value).abs()).fold(f64::INFINITY, f64::min);
        assert!(nearest > 1e-3, "{value} among {running:?}");
        running.push(value);
        study.add(template(TrialState::Running, &[("x", &x, value)]));
    }
}

#[test]
fn what_is_kept_may_be_dropped() {
    let spaces = spaces();
    for directions in [&[Direction::Maximize][..], &[Direction::Minimize, Direction::Maximize]] {
        let (mut study, mut other) = (Study::new(directions), Study::new(directions));
        let (keeping, dropping) = (Gp::default(), Gp::default());
        for number in 0..24_u64 {
            let values = suggest(&keeping, &study, &spaces, 1);
            dropping.drop_caches();
            assert_eq!(values, suggest(&dropping, &study, &spaces, 1), "{number}");
            // Another study of the same shape at the same position must not be mistaken for this one.
            let _ = suggest(&keeping, &other, &spaces, 1);
            let state = if number % 7 == 6 { TrialState::Running } else { TrialState::Complete };
            for (study, sign) in [(&mut study, 1.0), (&mut other, -1.0)] {
                let mut trial = template(state, &params(&spaces, &values));
                if state == TrialState::Complete {
                    trial.values = [sign * values[3], (values[3] + values[0]).sin()][..directions.len()].to_vec();
                    trial.constraints = vec![("c".to_owned(), values[1] - 0.1)];
                }
                study.add(trial);
            }
        }
    }
}

#[test]
fn many_trials_are_no_obstacle() {
    let spaces = [("x", distribution("float -5 5 0 0")), ("k", distribution("int 0 100000 0 1"))];
    let mut study = Study::minimize();
    for number in 0..600 {
        let values: Vec<f64> = spaces
            .iter()
            .map(|(name, d)| Random.sample_independent(&study.view(), TrialNumber(number), 1, name, d))
            .collect();
        study.tell(&params(&spaces, &values), &[values[0].powi(2) + (values[1] / 5e4 - 1.0).powi(2)]);
    }
    let values = suggest(&Gp::default(), &study, &spaces, 1);
    assert!(values[0].abs() < 0.5 && (values[1] / 5e4 - 1.0).abs() < 0.2, "{values:?}");
}

/// What an objective answers to a trial's number and one of its parameters.
pub(crate) type Answer = fn(u32, f64) -> f64;

/// What objectives answer in these studies.
pub(crate) const ODD: &[(&str, Answer)] = &[
    ("equal", |_, _| 3.0),
    ("zero", |_, _| 0.0),
    ("infinite", |_, _| f64::INFINITY),
    ("minus infinite", |_, _| f64::NEG_INFINITY),
    ("some infinite", |n, x| if n % 3 == 0 { f64::INFINITY } else { x }),
    ("both infinities", |n, x| [f64::INFINITY, f64::NEG_INFINITY, x][n as usize % 3]),
    ("huge", |_, x| x * 1e300),
    ("largest", |n, _| if n % 2 == 0 { f64::MAX } else { f64::MIN }),
    ("tiny", |_, x| x * 1e-300),
    ("subnormal", |n, _| f64::from(n) * 5e-324),
    ("a cliff", |n, x| if n == 5 { 1e30 } else { x }),
    ("last place", |n, _| 1.0 + f64::from(n % 2) * f64::EPSILON),
];

#[test]
fn odd_values_are_survived() {
    let single = [
        ("only", distribution("int 3 3 0 1")),
        ("x", distribution("float -1.7976931348623157e308 1.7976931348623157e308 0 0")),
        ("y", distribution("float 0 5e-324 0 0")),
    ];
    let ordinary = [("x", distribution("float 0 1 0 0")), ("c", distribution("categorical 3"))];
    for (name, value) in ODD {
        for spaces in [&single[..], &ordinary[..]] {
            for objectives in 1..3 {
                let directions = &[Direction::Minimize, Direction::Maximize][..objectives];
                let mut study = Study::new(directions);
                let sampler = Gp::new(GpOptions { n_startup_trials: 0, ..GpOptions::default() });
                for number in 0..12 {
                    let values = suggest(&sampler, &study, spaces, 0);
                    let x = values[values.len() - 1];
                    // Every second trial is a duplicate.
                    let values =
                        if number % 2 == 0 { values } else { spaces.iter().map(|(_, d)| low(d)).collect() };
                    study.tell(&params(spaces, &values), &vec![value(number, x); objectives]);
                }
                let _ = (name, suggest(&sampler, &study, spaces, 0));
            }
        }
    }
}

pub(crate) fn low(distribution: &Distribution) -> f64 {
    match distribution {
        Distribution::Float(d) => d.low(),
        Distribution::Int(d) => d.low() as f64,
        Distribution::Categorical(_) => 0.0,
    }
}

#[test]
#[should_panic(expected = "is not in float 0.0..1.0")]
fn canary() {
    struct Wrong;
    impl Sampler for Wrong {
        fn spec(&self) -> trialog_ops::ComponentSpec {
            Random.spec()
        }
        fn sample_relative(
            &self,
            _: &trialog_replay::StudyView,
            _: TrialNumber,
            _: u64,
        ) -> Vec<trialog_samplers::Proposal> {
            Vec::new()
        }
        fn sample_independent(
            &self,
            _: &trialog_replay::StudyView,
            _: TrialNumber,
            _: u64,
            _: &str,
            _: &Distribution,
        ) -> f64 {
            1.5
        }
    }
    suggest(&Wrong, &Study::minimize(), &[("x", distribution("float 0 1 0 0"))], 0);
}
