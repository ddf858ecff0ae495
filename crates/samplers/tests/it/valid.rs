//! Whatever happened in a study, every suggestion lies inside its distribution, and the same question has the same
//! answer.

use proptest::prelude::*;
use trialog_ops::{Direction, Distribution, TrialNumber, TrialState};
use trialog_samplers::{Forest, ForestOptions, Gp, GpOptions, Random, Sampler, Tpe, TpeOptions};

use crate::parzen::distribution;
use crate::study::{Study, template};

/// Ranges at the edges of arithmetic among ordinary ones.
const DISTRIBUTIONS: &[&str] = &[
    "float 0 1 0 0",
    "float -1.7976931348623157e308 1.7976931348623157e308 0 0",
    "float 0 5e-324 0 0",
    "float 0 1e-310 0 0",
    "float 5e-324 1.7976931348623157e308 1 0",
    "float 1 1.0000000000000002 0 0",
    "float 1 1.0000000000000002 1 0",
    "float 1e300 1.0000000000000001e300 1 0",
    "float 3 3 0 0",
    "float 0 1 0 0.3",
    "float -1e308 1e308 0 1e307",
    "float 0 1e-300 0 1e-301",
    "float -1 1 0 1e-7",
    "int 0 0 0 1",
    "int -9007199254740992 9007199254740992 0 1",
    "int -4503599627370496 4503599627370496 0 3",
    "int 1 9007199254740992 1 1",
    "int 1 2 1 1",
    "int 0 10 0 11",
    "int 5 50 0 5",
    "categorical 1",
    "categorical 4",
    "categorical 300",
];

/// What an objective may answer.
const LOSSES: [f64; 6] = [0.0, -0.0, 1.0, f64::INFINITY, f64::NEG_INFINITY, -3.5];

/// What somebody may enqueue for a number, inside the range or not.
const STRAY: [f64; 8] = [0.0, -1.0, 1e308, -1e308, f64::INFINITY, f64::NEG_INFINITY, 5e-324, 2.5];

/// Samplers by name, with options that matter here.
const OTHERS: &[(&str, &str)] = &[
    ("qmc", "{}"),
    ("qmc", r#"{"qmc_type": "halton", "scramble": false}"#),
    ("grid", r#"{"search_space": {"a": [-1e300, 0.5, 3, "x"], "c": [0, 1]}}"#),
    ("brute_force", "{}"),
    ("partial_fixed", r#"{"fixed_params": {"b": 1e9, "d": null}, "base_sampler": {"name": "cmaes"}}"#),
    ("cmaes", "{}"),
    ("cmaes", r#"{"use_separable_cma": true, "consider_pruned_trials": true, "x0": {"a": 3}, "popsize": 2}"#),
    ("cmaes", r#"{"lr_adapt": true, "sigma0": 1e300}"#),
    ("cmaes", r#"{"sigma0": 1e-300, "with_margin": true}"#),
];

fn named(name: &str, options: &str) -> std::sync::Arc<dyn Sampler> {
    let options = trialog_ops::Json::parse(options).unwrap();
    let spec = trialog_ops::ComponentSpec { name: name.to_owned(), version: 1, options };
    trialog_samplers::from_spec(&spec).unwrap()
}

fn trial() -> impl Strategy<Value = (u8, [usize; 2], u64, u8)> {
    (0_u8..12, [0_usize..LOSSES.len(), 0_usize..LOSSES.len()], any::<u64>(), 0_u8..10)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn suggestions_are_valid_and_repeatable(
        kinds in prop::collection::vec(0..DISTRIBUTIONS.len(), 1..5),
        trials in prop::collection::vec(trial(), 0..60),
        objectives in 1_usize..3,
        prior in 0_usize..3,
        magic_clip: bool,
        endpoints: bool,
    ) {
        let names = ["a", "b", "c", "d"];
        let space: Vec<(&str, Distribution)> =
            names.into_iter().zip(kinds.iter().map(|&kind| distribution(DISTRIBUTIONS[kind]))).collect();
        let mut study = Study::new(&[Direction::Minimize, Direction::Maximize][..objectives]);
        let sampler = |multivariate| {
            let mut options = TpeOptions { n_startup_trials: 2, multivariate, ..TpeOptions::default() };
            options.kernels.prior_weight = [1.0, 0.0, 1e-3][prior];
            options.kernels.magic_clip = magic_clip;
            options.kernels.endpoints = endpoints;
            Tpe::new(options)
        };
        for (kind, losses, seed, stray) in trials {
            let view = study.view();
            let draw = |(name, d): &(&'static str, Distribution)| {
                let value = Random.sample_independent(&view, TrialNumber(0), seed, name, d);
                let value = match d {
                    Distribution::Categorical(_) => value,
                    _ if stray == 0 => STRAY[(seed % 8) as usize],
                    _ => value,
                };
                (*name, value)
            };
            let values: Vec<(&str, f64)> = space.iter().map(draw).collect();
            let mut params: Vec<_> =
                space.iter().zip(&values).map(|((name, d), (_, value))| (*name, d, *value)).collect();
            if kind == 7 {
                params.pop();
            }
            let state = match kind {
                0..8 => TrialState::Complete,
                8 => TrialState::Pruned,
                9 => TrialState::Running,
                10 => TrialState::Fail,
                _ => TrialState::Waiting,
            };
            let mut trial = template(state, &params);
            if state == TrialState::Complete {
                trial.values = losses[..objectives].iter().map(|&at| LOSSES[at]).collect();
            }
            if stray == 1 {
                trial.reports = vec![(seed % 5, f64::NAN)];
                trial.constraints = vec![("c".to_owned(), LOSSES[losses[0]])];
            }
            study.add(trial);
        }
        let view = study.view();
        let number = TrialNumber(view.trial_count() as u32);
        let forest = Forest::new(ForestOptions { n_startup_trials: 2, ..ForestOptions::default() });
        let gp = Gp::new(GpOptions { n_startup_trials: 2, ..GpOptions::default() });
        let [random, multivariate, univariate, usual] = [&Random as &dyn Sampler, &sampler(Some(true)), &sampler(Some(false)), &sampler(None)];
        let mut samplers = vec![random, multivariate, univariate, usual];
        // It takes its time.
        if view.trial_count() % 16 == 1 {
            samplers.push(&gp);
            samplers.push(&forest);
        }
        let others: Vec<std::sync::Arc<dyn Sampler>> = OTHERS.iter().map(|(name, options)| named(name, options)).collect();
        for sampler in samplers.into_iter().chain(others.iter().map(AsRef::as_ref)) {
            for seed in 0..3 {
                let proposals = sampler.sample_relative(&view, number, seed);
                for (_, def, value) in &proposals {
                    prop_assert!(def.distribution.contains(*value), "{value:?} for {}", def.distribution);
                }
                let again = sampler.sample_relative(&view.clone(), number, seed);
                let values = |proposals: &[trialog_samplers::Proposal]| {
                    proposals.iter().map(|proposal| proposal.2.to_bits()).collect::<Vec<u64>>()
                };
                prop_assert_eq!(values(&proposals), values(&again));
                for (name, distribution) in &space {
                    let value = sampler.sample_independent(&view, number, seed, name, distribution);
                    prop_assert!(distribution.contains(value), "{value:?} for {distribution}");
                    let again = sampler.sample_independent(&view, number, seed, name, distribution);
                    prop_assert_eq!(value.to_bits(), again.to_bits());
                }
            }
        }
        for (_, def, value) in Random.sample_relative(&view, number, 5) {
            let alone = Random.sample_independent(&view, number, 5, &def.name, &def.distribution);
            prop_assert_eq!(value.to_bits(), alone.to_bits());
        }
    }
}

#[test]
fn random_draws_cover_their_ranges() {
    let view = Study::minimize().view();
    for (kind, low, high, different) in [
        ("float 0 1 0 0", 0.01, 0.99, 1000),
        ("float 0.001 1000 1 0", 0.0012, 800.0, 1000),
        ("float 0 1 0 0.25", 0.0, 1.0, 5),
        ("int 1 6 0 1", 1.0, 6.0, 6),
        ("int 1 1000 1 1", 1.0, 900.0, 100),
        ("int 0 100 0 20", 0.0, 100.0, 6),
        ("categorical 7", 0.0, 6.0, 7),
    ] {
        let d = distribution(kind);
        let mut values: Vec<f64> =
            (0..1000).map(|n| Random.sample_independent(&view, TrialNumber(n), 9, "p", &d)).collect();
        values.sort_by(f64::total_cmp);
        assert!(values[0] <= low && values[999] >= high, "{kind}: {} to {}", values[0], values[999]);
        values.dedup();
        assert!(values.len() >= different, "{kind}: {} different values", values.len());
    }
}
