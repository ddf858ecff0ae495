//! The loop: errors, panics, threads, and the ways to stop it.

use std::error::Error as _;
use std::fmt;
use std::ops::ControlFlow;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use trialog::{BoxError, Direction, Error, FrozenTrial, Pruned, Storage, Study, TrialState};

use crate::support::{assert_dense, assert_usable, count, logged, parabola, refused, says};

#[derive(Debug)]
struct OutOfCoffee;

impl fmt::Display for OutOfCoffee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("out of coffee")
    }
}

impl std::error::Error for OutOfCoffee {}

fn tired(trial: &mut trialog::Trial) -> Result<f64, BoxError> {
    match trial.number().0 {
        3 => Err(OutOfCoffee.into()),
        7 => Err("something else".into()),
        _ => parabola(trial),
    }
}

#[test]
fn an_error_fails_its_trial_and_ends_the_run() {
    let study = Study::in_memory().unwrap();
    let seen = Mutex::new(Vec::new());
    let (lines, result) = logged(|| {
        let callback = |_: &Study, trial: &FrozenTrial| {
            seen.lock().unwrap().push(trial.state);
            ControlFlow::Continue(())
        };
        study.optimizer().n_trials(10).callback(callback).run(tired)
    });
    let error = result.unwrap_err();
    assert!(error.is_objective() && !error.is_invalid());
    assert!(error.source().unwrap().is::<OutOfCoffee>());
    assert_eq!(error.to_string(), "the objective failed in trial 3: out of coffee");
    assert!(says(&lines, "WARN") && says(&lines, "trial 3 failed: out of coffee"), "{lines:?}");
    assert_eq!((study.trials().unwrap().len(), count(&study, TrialState::Fail)), (4, 1));
    assert_eq!(seen.into_inner().unwrap()[3], TrialState::Fail, "callbacks see failed trials, too");
    assert_usable(&study);
}

#[test]
fn errors_that_are_caught_fail_only_their_trials() {
    let study = Study::in_memory().unwrap();
    let result = study.optimizer().n_trials(10).catch(|error| error.is::<OutOfCoffee>()).run(tired);
    assert_eq!(result.unwrap_err().to_string(), "the objective failed in trial 7: something else");
    assert_eq!(study.trials().unwrap().len(), 8);
    let study = Study::in_memory().unwrap();
    study.optimizer().n_trials(10).catch(|_| true).run(tired).unwrap();
    assert_eq!((study.trials().unwrap().len(), count(&study, TrialState::Fail)), (10, 2));
}

#[test]
fn an_error_of_ours_inside_an_objective_keeps_its_meaning() {
    let study = Study::in_memory().unwrap();
    let error = study.optimize(5, |trial| Ok(trial.suggest_float("x", 1.0..=0.0)?)).unwrap_err();
    assert!(error.is_objective() && error.is_invalid() && !error.is_incompatible(), "{error}");
    assert_eq!(
        error.to_string(),
        "the objective failed in trial 0: parameter \"x\": low must not exceed high, but 1.0 > 0.0"
    );
    assert_usable(&study);
}

#[test]
fn a_panic_fails_one_trial() {
    for n_jobs in [1, 4] {
        let study = Study::in_memory().unwrap();
        let (lines, ()) = logged(|| {
            study
                .optimizer()
                .n_trials(40)
                .n_jobs(n_jobs)
                .run(|trial| {
                    let x = trial.suggest_float("x", 0.0..=1.0)?;
                    assert!(trial.number().0 % 10 != 5, "this trial panics on purpose");
                    Ok(x)
                })
                .unwrap();
        });
        let trials = study.trials().unwrap();
        assert_dense(&trials);
        for trial in &trials {
            let expected = if trial.number.0 % 10 == 5 { TrialState::Fail } else { TrialState::Complete };
            assert_eq!(trial.state, expected, "trial {}", trial.number);
            assert!(trial.params.get("x").is_some());
        }
        assert_eq!(trials.len(), 40);
        // Other threads have no subscriber here.
        assert!(
            n_jobs > 1 || says(&lines, "trial 5 failed: it panicked: this trial panics on purpose"),
            "{lines:?}"
        );
        assert_usable(&study);
    }
}

#[test]
fn values_that_are_none_fail_their_trials_and_keep_the_reports() {
    let study = Study::in_memory().unwrap();
    let (lines, ()) = logged(|| {
        study
            .optimize(4, |trial| {
                let x = trial.suggest_float("x", 0.0..=1.0)?;
                trial.report(0, x)?;
                Ok(match trial.number().0 {
                    0 => vec![f64::NAN],
                    1 => vec![],
                    2 => vec![1.0, 2.0],
                    _ => vec![f64::NEG_INFINITY],
                })
            })
            .unwrap();
    });
    let trials = study.trials().unwrap();
    for (trial, why) in trials.iter().zip(["its value is NaN", "0 value(s) for 1", "2 value(s) for 1"]) {
        assert_eq!((trial.state, trial.values.len()), (TrialState::Fail, 0));
        assert_eq!((trial.intermediate_values.len(), trial.params.iter().count()), (1, 1));
        assert!(says(&lines, &format!("trial {} failed: ", trial.number)) && says(&lines, why), "{lines:?}");
    }
    assert_eq!(trials[3].value(), Some(f64::NEG_INFINITY), "infinities are values");
    assert_eq!(study.best_value().unwrap(), f64::NEG_INFINITY);
    assert_usable(&study);
}

#[test]
fn pruned_without_a_report_has_no_value() {
    let study = Study::in_memory().unwrap();
    study.optimize(2, |_| Err::<f64, _>(Pruned.into())).unwrap();
    assert_eq!(count(&study, TrialState::Pruned), 2);
    assert!(study.trials().unwrap().iter().all(|trial| trial.values.is_empty()));
    let builder = Storage::in_memory().unwrap().study("two").directions([Direction::Minimize; 2]);
    let two = builder.create().unwrap();
    two.optimize(2, |_| Err::<(f64, f64), _>(Pruned.into())).unwrap();
    assert_eq!(count(&two, TrialState::Pruned), 2);
}

#[test]
fn a_study_is_not_optimized_from_inside_itself() {
    let study = Study::in_memory().unwrap();
    let error = study
        .optimize(3, |trial| {
            trial.study().optimize(1, parabola)?;
            Ok(0.0)
        })
        .unwrap_err();
    assert!(error.is_objective() && error.is_invalid(), "{error}");
    assert!(error.to_string().contains("is being optimized by this thread"), "{error}");
    assert_eq!(study.trials().unwrap().len(), 1);

    let from_callback = AtomicUsize::new(0);
    study
        .optimizer()
        .n_trials(2)
        .callback(|study, _| {
            refused(study.optimize(1, parabola), Error::is_invalid);
            from_callback.fetch_add(1, Ordering::Relaxed);
            ControlFlow::Continue(())
        })
        .run(parabola)
        .unwrap();
    assert_eq!((study.trials().unwrap().len(), from_callback.into_inner()), (3, 2));
}

#[test]
fn another_study_may_be_optimized_inside() {
    let outer = Study::in_memory().unwrap();
    outer
        .optimize(3, |trial| {
            let rate = trial.suggest_float("rate", 0.0..=1.0)?;
            let inner = Study::in_memory()?;
            inner.optimize(4, |trial| Ok(trial.suggest_float("x", 0.0..=1.0)? + rate))?;
            // Afterwards the outer one is still being optimized.
            assert!(trial.study().optimize(1, parabola).is_err());
            Ok(inner.best_value()?)
        })
        .unwrap();
    assert_eq!(count(&outer, TrialState::Complete), 3);
}

#[test]
fn stop_lets_running_trials_end() {
    for n_jobs in [1, 4] {
        let study = Study::in_memory().unwrap();
        let stopped = AtomicBool::new(false);
        study
            .optimizer()
            .n_jobs(n_jobs)
            .run(|trial| {
                if trial.number().0 == 9 {
                    trial.study().stop()?;
                    stopped.store(true, Ordering::SeqCst);
                }
                // The other threads would begin more and more trials while this one waits for a processor.
                while trial.number().0 > 9 && !stopped.load(Ordering::SeqCst) {
                    std::thread::yield_now();
                }
                parabola(trial)
            })
            .unwrap();
        let trials = study.trials().unwrap();
        assert!((10..10 + n_jobs).contains(&trials.len()), "{} trials with {n_jobs} threads", trials.len());
        assert!(trials.iter().all(|trial| trial.state == TrialState::Complete));
        // The next run is not stopped by what stopped this one.
        study.optimize(5, parabola).unwrap();
        assert_eq!(study.trials().unwrap().len(), trials.len() + 5);
    }
    let study = Study::in_memory().unwrap();
    study
        .optimizer()
        .n_trials(50)
        .callback(|study, trial| {
            if trial.number.0 == 4 {
                study.stop().unwrap();
            }
            ControlFlow::Continue(())
        })
        .callback(|_, trial| if trial.number.0 == 6 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        .run(parabola)
        .unwrap();
    assert_eq!(study.trials().unwrap().len(), 5);
}

/// Between runs nobody would hear of it, and the next run would go on as if nothing had been said.
#[test]
fn stopping_what_does_not_run_is_an_error() {
    let study = Study::in_memory().unwrap();
    assert!(study.stop().unwrap_err().is_invalid());
    study.optimize(3, parabola).unwrap();
    let text = study.stop().unwrap_err().to_string();
    assert!(text.contains("not being optimized"), "{text}");
    study.optimize(3, parabola).unwrap();
    assert_eq!(study.trials().unwrap().len(), 6);
    // Another handle on the same study runs for itself.
    let other = study.storage().study(study.name()).load().unwrap();
    study
        .optimize(100, |trial| {
            assert!(other.stop().is_err());
            trial.study().clone().stop()?;
            parabola(trial)
        })
        .unwrap();
    assert_eq!(study.trials().unwrap().len(), 7);
}

#[test]
fn threads_share_the_budget() {
    for n_jobs in [0, 2, 4] {
        let study = Study::in_memory().unwrap();
        study.optimizer().n_trials(37).n_jobs(n_jobs).run(parabola).unwrap();
        let trials = study.trials().unwrap();
        assert_eq!(trials.len(), 37);
        assert_dense(&trials);
        assert_eq!(count(&study, TrialState::Complete), 37);
    }
}

#[test]
fn threads_run_at_the_same_time() {
    let study = Study::in_memory().unwrap();
    let (now, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
    study
        .optimizer()
        .n_trials(16)
        .n_jobs(4)
        .run(|trial| {
            most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            std::thread::sleep(Duration::from_millis(10));
            now.fetch_sub(1, Ordering::SeqCst);
            parabola(trial)
        })
        .unwrap();
    let most = most.into_inner();
    assert!((2..=4).contains(&most), "{most} at a time");
}

#[test]
fn an_error_in_one_thread_ends_all() {
    let study = Study::in_memory().unwrap();
    let error = study
        .optimizer()
        .n_jobs(4)
        .run(|trial| if trial.number().0 == 20 { Err(OutOfCoffee.into()) } else { parabola(trial) })
        .unwrap_err();
    assert!(error.is_objective());
    // How far the other threads come before they hear of it is up to the machine.
    assert!(study.trials().unwrap().len() >= 21);
    assert_eq!((count(&study, TrialState::Fail), count(&study, TrialState::Running)), (1, 0));
}

#[test]
fn no_trials_and_no_time_are_no_errors() {
    let study = Study::in_memory().unwrap();
    study.optimize(0, parabola).unwrap();
    study.optimizer().timeout(Duration::ZERO).run(parabola).unwrap();
    assert_eq!(study.trials().unwrap().len(), 0);
    refused(study.best_trial(), Error::is_no_complete_trial);
    refused(study.best_params(), Error::is_no_complete_trial);
    assert!(study.best_trials().unwrap().is_empty());
}

#[test]
fn a_trial_that_somebody_else_told_is_an_error() {
    let study = Study::in_memory().unwrap();
    let error = study
        .optimize(3, |trial| {
            let study = trial.study().clone();
            study.tell(trial, 1.0)?;
            Ok(2.0)
        })
        .unwrap_err();
    assert!(error.is_finished_trial(), "{error}");
    assert_eq!(study.trials().unwrap()[0].value(), Some(1.0));
    assert_usable(&study);
}

#[test]
fn a_callback_sees_the_trial_as_it_ended() {
    let study = Study::in_memory().unwrap();
    let seen = Mutex::new(Vec::new());
    study
        .optimizer()
        .n_trials(10)
        .n_jobs(2)
        .progress_bar(true)
        .callback(|_, trial| {
            seen.lock().unwrap().push(trial.clone());
            ControlFlow::Continue(())
        })
        .run(parabola)
        .unwrap();
    let mut seen = seen.into_inner().unwrap();
    seen.sort_by_key(|trial| trial.number);
    assert_eq!(seen, study.trials().unwrap());
}

#[test]
#[should_panic(expected = "earlier trials have changed")]
fn canary_a_trial_that_ends_twice_is_noticed() {
    let study = Study::in_memory().unwrap();
    study.optimize(2, parabola).unwrap();
    let before = study.trials().unwrap();
    let mut after = before.clone();
    after[1].values = vec![before[1].values[0] + 1.0];
    crate::support::assert_untouched(&before, &after);
}

#[test]
fn a_grid_ends_the_run_when_all_of_it_has_been_seen() {
    let values = |values: &[f64]| values.iter().map(|&value| value.into()).collect();
    let space = [("x".to_owned(), values(&[-1.0, 0.0, 2.0])), ("y".to_owned(), values(&[0.0, 1.0]))];
    let grid = trialog::samplers::Grid::new(space).unwrap();
    let study = Storage::in_memory().unwrap().study("s").sampler(grid).create().unwrap();
    let objective = |trial: &mut trialog::Trial| -> Result<f64, BoxError> {
        Ok(trial.suggest_float("x", -5.0..=5.0)? + trial.suggest_float("y", 0.0..=1.0)?)
    };
    study.optimizer().run(objective).unwrap();
    study.optimizer().run(objective).unwrap();
    let mut values: Vec<f64> = study.trials().unwrap().iter().filter_map(FrozenTrial::value).collect();
    values.sort_by(f64::total_cmp);
    assert_eq!(values, [-1.0, 0.0, 0.0, 1.0, 2.0, 3.0]);
}
