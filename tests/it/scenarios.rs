//! The flows of the tutorials, as a new user would write them.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use trialog::pruners::{Decision, Pruner};
use trialog::samplers::Random;
use trialog::{Distribution, Json, Pruned, Study, StudyView, TrialNumber, TrialState, float, int};

use crate::support::{assert_dense, count, logged, parabola, place, refused, says};

#[test]
fn minimize_a_parabola_with_nothing_configured() {
    let study = Study::in_memory().unwrap();
    let (lines, ()) = logged(|| study.optimize(100, parabola).unwrap());

    let trials = study.trials().unwrap();
    assert_eq!((trials.len(), lines.len()), (100, 100));
    assert_dense(&trials);
    let mut best = (f64::INFINITY, 0);
    for (trial, line) in trials.iter().zip(&lines) {
        let (number, value) = (trial.number.0, trial.value().unwrap());
        if value < best.0 {
            best = (value, number);
        }
        let expected = format!(
            "trial {number} finished with value {value:?} and parameters {}; best is trial {} with value {:?}",
            trial.params, best.1, best.0
        );
        assert!(line.contains(&expected), "{line}\nshould say\n{expected}");
        assert!(trial.params.to_string().starts_with("{x: "), "{}", trial.params);
    }

    assert_eq!(study.best_value().unwrap(), best.0);
    assert_eq!(study.best_trial().unwrap().number.0, best.1);
    assert_eq!(study.best_params().unwrap(), trials[best.1 as usize].params);
    // A hundred uniform draws would miss this once in ten thousand million runs.
    assert!(best.0 < 400.0, "{best:?}");

    study.optimize(50, parabola).unwrap();
    assert_eq!(study.trials().unwrap().len(), 150);
    assert!(study.best_value().unwrap() <= best.0);
}

/// Ends a trial whose last report is below a half.
struct Halved;

impl Pruner for Halved {
    fn spec(&self) -> trialog::ComponentSpec {
        trialog::ComponentSpec { name: "halved".into(), version: 1, options: Json::parse("{}").unwrap() }
    }

    fn decide(&self, view: &StudyView, number: TrialNumber) -> Decision {
        match view.trial(number).and_then(|trial| trial.reports().last()) {
            Some(&(step, value)) if value < 0.5 => Decision::Prune { reason: format!("{value} at step {step}") },
            _ => Decision::Continue,
        }
    }
}

/// A training of ten epochs, each of which adds to the accuracy.
pub(crate) fn train(trial: &mut trialog::Trial) -> Result<f64, trialog::BoxError> {
    let quality = trial.suggest_float("quality", 0.0..=1.0)?;
    for epoch in 0..10 {
        trial.report(epoch, quality * (epoch + 10) as f64 / 10.0)?;
        if trial.should_prune()? {
            return Err(Pruned.into());
        }
    }
    Ok(quality)
}

#[test]
fn pruned_trials_end_early_and_a_callback_counts_the_steps() {
    let study = trialog::Storage::in_memory().unwrap().study("train").maximize().pruner(Halved).create().unwrap();
    let (lines, ()) = logged(|| {
        study
            .optimizer()
            .callback(|study, _| {
                let finished = study.trials().unwrap();
                let steps: usize = finished
                    .iter()
                    .filter(|trial| matches!(trial.state, TrialState::Complete | TrialState::Pruned))
                    .map(|trial| trial.intermediate_values.len())
                    .sum();
                if steps >= 200 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })
            .run(train)
            .unwrap();
    });

    let trials = study.trials().unwrap();
    let steps = |trials: &[trialog::FrozenTrial]| trials.iter().map(|t| t.intermediate_values.len()).sum::<usize>();
    assert!((200..210).contains(&steps(&trials)), "{} steps", steps(&trials));
    assert!(steps(&trials[..trials.len() - 1]) < 200, "it went on after the limit");
    for trial in &trials {
        let (step, last) = *trial.intermediate_values.last().unwrap();
        match trial.state {
            TrialState::Complete => assert_eq!(trial.intermediate_values.len(), 10),
            TrialState::Pruned => {
                assert_eq!(trial.value(), Some(last), "a pruned trial is worth its last report");
                assert!(says(&lines, &format!("trial {} pruned at step {step} with value {last:?}", trial.number)));
            }
            other => panic!("trial {} is {other}", trial.number),
        }
    }
    assert!(count(&study, TrialState::Pruned) > 0 && count(&study, TrialState::Complete) > 0);
    assert_eq!(study.best_trial().unwrap().state, TrialState::Complete);
}

#[test]
fn the_median_pruner_stops_what_lags_behind() {
    let study = trialog::Storage::in_memory().unwrap().study("median").maximize().create().unwrap();
    for quality in [0.8, 0.82, 0.84, 0.86, 0.88, 0.1, 0.9] {
        study.enqueue([("quality", quality)]).unwrap();
    }
    study.optimize(7, train).unwrap();
    let ends: Vec<(TrialState, usize)> =
        study.trials().unwrap().iter().map(|trial| (trial.state, trial.intermediate_values.len())).collect();
    assert_eq!(ends[..5], [(TrialState::Complete, 10); 5], "the first trials are left in peace");
    assert_eq!(ends[5..], [(TrialState::Pruned, 1), (TrialState::Complete, 10)]);
    assert_eq!(study.view().unwrap().config().unwrap().pruner.name, "median", "nothing was configured");
}

#[test]
fn what_is_configured_by_default_finds_more_than_chance() {
    let best_of = |sampler: Option<Random>| -> Vec<f64> {
        let run = |seed| {
            let mut builder = trialog::Storage::in_memory().unwrap().study("s").seed(seed);
            if let Some(sampler) = sampler {
                builder = builder.sampler(sampler);
            }
            let study = builder.create().unwrap();
            study.optimize(100, parabola).unwrap();
            study.best_value().unwrap()
        };
        let mut values: Vec<f64> = (0..7).map(run).collect();
        values.sort_by(f64::total_cmp);
        values
    };
    // The medians; chance comes within one of the best place, and this one within a tenth.
    let (ours, chance) = (best_of(None)[3], best_of(Some(Random::new()))[3]);
    assert!(ours < chance / 2.0 && ours < 0.1, "{ours} and by chance {chance}");
}

#[test]
fn a_timeout_lets_the_running_trial_end() {
    let study = Study::in_memory().unwrap();
    let start = Instant::now();
    study
        .optimizer()
        .timeout(Duration::from_millis(150))
        .run(|trial| {
            std::thread::sleep(Duration::from_millis(20));
            parabola(trial)
        })
        .unwrap();
    let elapsed = start.elapsed();
    assert!(elapsed >= Duration::from_millis(150) && elapsed < Duration::from_secs(10), "{elapsed:?}");
    let trials = study.trials().unwrap();
    assert!((1..=8).contains(&trials.len()), "{} trials", trials.len());
    assert!(trials.iter().all(|trial| trial.state == TrialState::Complete));
}

#[test]
fn spaces_that_are_code() {
    let study = Study::in_memory().unwrap();
    study
        .optimize(60, |trial| {
            let model = trial.suggest_categorical("model", &["ridge", "lasso"])?;
            let alpha = match model {
                "ridge" => trial.suggest_float("ridge_alpha", float(1e-3..=10.0).log())?,
                _ => trial.suggest_float("lasso_alpha", float(1e-5..=1.0).log())?,
            };
            let mut units = 0;
            for layer in 0..trial.suggest_int("n_hidden_layers", 1..=5)? {
                units += trial.suggest_int(&format!("hidden_dim[{layer}]"), 10..=50)?;
                trial.suggest_categorical(&format!("activation_func[{layer}]"), &["relu", "tanh"])?;
                trial.suggest_float(&format!("dropout[{layer}]"), 0.0..=0.5)?;
            }
            Ok(alpha + units as f64)
        })
        .unwrap();

    for trial in study.trials().unwrap() {
        let named = |name: &str| trial.params.get(name).map(trialog::ParamValue::as_choice);
        let layers = named("n_hidden_layers").unwrap().to_string().parse::<usize>().unwrap();
        // What was proposed for a trial and never asked for is not among its parameters.
        assert_eq!(trial.params.iter().count(), 3 + 3 * layers, "{}", trial.params);
        assert!((0..layers).all(|layer| named(&format!("hidden_dim[{layer}]")).is_some()), "{}", trial.params);
        let ridge = named("model") == Some("ridge".into());
        assert_eq!((named("ridge_alpha").is_some(), named("lasso_alpha").is_some()), (ridge, !ridge));
    }
}

#[test]
fn studies_in_a_file_by_name() {
    let (_folder, path) = place();
    let storage = trialog::open(&path).unwrap();
    let first = storage.study("first").maximize().create().unwrap();
    first.optimize(5, parabola).unwrap();
    refused(storage.study("first").create(), trialog::Error::is_duplicate);
    let absent = refused(storage.study("frist").load(), trialog::Error::is_not_found);
    assert!(absent.contains("\"frist\"") && absent.contains("\"first\"") && absent.contains(&path), "{absent}");

    // As another process would: open the same file, and load what is there.
    let other = trialog::open(&path).unwrap();
    let loaded = other.study("first").load().unwrap();
    assert_eq!(loaded.directions().unwrap(), [trialog::Direction::Maximize]);
    assert_eq!(loaded.seed(), first.seed());
    assert_eq!(loaded.trials().unwrap(), first.trials().unwrap());
    other.study("second").load_or_create().unwrap().optimize(3, parabola).unwrap();
    assert_eq!(other.study("first").load_or_create().unwrap().trials().unwrap().len(), 5);
    assert_eq!(storage.study_names().unwrap(), ["first", "second"]);

    // Two handles on one study see each other's trials at once.
    for number in 5..15 {
        let (writer, reader) = if number % 2 == 0 { (&first, &loaded) } else { (&loaded, &first) };
        let mut trial = writer.ask().unwrap();
        assert_eq!(trial.number().0, number);
        let x = trial.suggest_float("x", -100.0..=100.0).unwrap();
        let seen = reader.trial(trial.number()).unwrap();
        assert_eq!((seen.state, seen.params.get("x")), (TrialState::Running, Some(&trialog::ParamValue::Float(x))));
        trial.report(0, x).unwrap();
        assert_eq!(reader.trial(trial.number()).unwrap().intermediate_values, [(0, x)]);
        writer.tell(&trial, x).unwrap();
        assert_eq!(reader.trial(trial.number()).unwrap().value(), Some(x));
    }
    assert_eq!(storage.digest().unwrap(), other.digest().unwrap());
    assert_eq!(first.trials().unwrap().len() + other.study("second").load().unwrap().trials().unwrap().len(), 18);
}

#[test]
fn several_studies_compete_for_nothing() {
    let (_folder, path) = place();
    let storage = trialog::open(&path).unwrap();
    let studies: Vec<Study> = (0..4).map(|i| storage.study(format!("s{i}")).create().unwrap()).collect();
    std::thread::scope(|scope| {
        for study in &studies {
            scope.spawn(|| study.optimize(25, parabola).unwrap());
        }
    });
    for summary in trialog::open(&path).unwrap().studies().unwrap() {
        assert_eq!(summary.n_trials, 25, "{}", summary.name);
        assert!(summary.best_trial.is_some() && summary.start.is_some());
    }
    studies.iter().for_each(|study| assert_dense(&study.trials().unwrap()));
}

#[test]
fn steps_and_logs_for_floats_and_ints() {
    let study = Study::in_memory().unwrap();
    study
        .optimize(120, |trial| {
            let units = trial.suggest_int("num_units", int(10..=100).step(5))?;
            let channels = trial.suggest_int("num_channels", int(32..=512).log())?;
            let drop = trial.suggest_float("drop_path_rate", float(0.0..=1.0).step(0.1))?;
            let rate = trial.suggest_float("rate", float(1e-5..=1e-1).log())?;
            let odd = trial.suggest_int("odd", int(1..=10).step(4))?;
            assert!((10..=100).contains(&units) && units % 5 == 0, "{units}");
            assert!((32..=512).contains(&channels), "{channels}");
            let tenths = drop * 10.0;
            assert!((0.0..=1.0).contains(&drop) && (tenths - tenths.round()).abs() < 1e-9, "{drop}");
            assert!((1e-5..=1e-1).contains(&rate), "{rate}");
            assert!([1, 5, 9].contains(&odd), "{odd}");
            Ok(rate)
        })
        .unwrap();
    let trials = study.trials().unwrap();
    assert_eq!(count(&study, TrialState::Complete), 120);
    // On a log scale three quarters of all draws lie below a hundredth; on a plain one, a tenth would.
    let small = trials.iter().filter(|trial| trial.value().unwrap() < 1e-2).count();
    assert!(small > 60, "{small}");
    let Distribution::Int(odd) = &trials[0].distributions["odd"] else { panic!("not an int") };
    assert_eq!((odd.low(), odd.high(), odd.step()), (1, 9, 4), "the grid ends at its last point");
}

#[test]
fn the_same_seed_gives_the_same_study() {
    let values = |n_first: usize| {
        let (_folder, path) = place();
        let study = trialog::open(&path).unwrap().study("seeded").seed(7).create().unwrap();
        study.optimize(n_first, parabola).unwrap();
        drop(study);
        // A restart in between changes nothing.
        let study = trialog::open(&path).unwrap().study("seeded").load().unwrap();
        study.optimize(30 - n_first, parabola).unwrap();
        study.trials().unwrap().iter().map(|trial| trial.value().unwrap()).collect::<Vec<f64>>()
    };
    assert_eq!(values(30), values(11));
}

#[test]
#[should_panic(expected = "numbers have gaps")]
fn canary_a_missing_trial_is_noticed() {
    let study = Study::in_memory().unwrap();
    study.optimize(5, parabola).unwrap();
    let mut trials = study.trials().unwrap();
    trials.remove(2);
    assert_dense(&trials);
}
