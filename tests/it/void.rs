//! Withdrawing and amending finished trials: what everybody sees at the next look, what stays to be looked at, and that
//! samplers and pruners cannot tell a withdrawn trial from one that failed.

use trialog::pruners::{Hyperband, Median, Pruner, SuccessiveHalving};
use trialog::samplers::Tpe;
use trialog::{Amend, ChangeKind, Direction, Distribution, NewTrial, Storage, Study, TrialNumber, TrialState};

use crate::support::{parabola, place};

fn ten(path: &str) -> (Storage, Study) {
    let storage = trialog::open(path).unwrap();
    let study = storage.study("s").seed(7).create().unwrap();
    study.optimize(10, parabola).unwrap();
    (storage, study)
}

#[test]
fn a_bogus_best_disappears_for_every_live_worker() {
    let (_folder, path) = place();
    let (_storage, study) = ten(&path);
    // Another handle, as another process would have it, with views that it keeps.
    let other = trialog::open(&path).unwrap().study("s").load().unwrap();
    let held = other.view().unwrap();
    let best = study.best_trial().unwrap();
    assert_eq!(other.best_trial().unwrap().number, best.number);

    let voided = study.void(best.number, "the metric was a constant").unwrap();
    assert!(voided.voided && voided.state == TrialState::Fail && voided.values == best.values);
    let second = other.best_trial().unwrap();
    assert_ne!(second.number, best.number);
    assert!(second.values[0] >= best.values[0]);
    assert_eq!(study.digest().unwrap(), other.digest().unwrap());
    assert_eq!(held.best().next().unwrap().number(), best.number, "a view stands still");

    // The audit trail: who, when, why, and what it was.
    let view = other.view().unwrap();
    let trial = view.trial(best.number).unwrap();
    let change = trial.voided().unwrap();
    assert_eq!(change.note.reason, "the metric was a constant");
    assert!(change.note.at >= best.end.unwrap());
    assert_eq!((trial.told_state(), trial.state()), (TrialState::Complete, TrialState::Fail));
    assert_eq!(view.voided().map(trialog::TrialView::number).collect::<Vec<_>>(), [best.number]);

    // The log says who was first.
    let again = other.void(best.number, "I saw it too").unwrap_err();
    assert!(again.is_voided(), "{again}");
    assert_eq!(
        again.to_string(),
        format!("could not withdraw trial {0} of study \"s\": trial {0} is withdrawn", best.number)
    );

    other.unvoid(best.number, "it was right after all").unwrap();
    let back = study.best_trial().unwrap();
    assert_eq!((back.number, back.values.clone(), back.voided), (best.number, best.values, false));
    assert_eq!(back.changes.len(), 2);
    assert!(study.unvoid(best.number, "again").unwrap_err().is_invalid());
}

#[test]
fn amendments_and_their_undoing_are_seen_by_all() {
    let (_folder, path) = place();
    let (_storage, study) = ten(&path);
    let other = trialog::open(&path).unwrap().study("s").load().unwrap();
    let number = TrialNumber(3);
    let before = study.trial(number).unwrap();
    let amend = Amend::new().value(-1.0).user_attr("unit", "ms").constraint("memory", -2.0);
    study.amend(number, amend, "it was in seconds").unwrap();
    let seen = other.best_trial().unwrap();
    assert_eq!((seen.number, seen.values.as_slice()), (number, &[-1.0][..]));
    assert_eq!((seen.user_attrs["unit"].as_str(), seen.constraints["memory"]), ("\"ms\"", -2.0));

    let view = other.view().unwrap();
    let amended = view.trial(number).unwrap().amendments();
    assert_eq!(amended[0].before.values.as_deref(), Some(&before.values[..]));
    assert_eq!((amended[0].note.reason.as_str(), amended[0].is_in_force), ("it was in seconds", true));

    study.amend(number, Amend::new().state(TrialState::Pruned), "stopped early").unwrap();
    assert_ne!(other.best_trial().unwrap().number, number);
    other.undo_amendment(number, "it was not").unwrap();
    assert_eq!(study.best_trial().unwrap().number, number);
    other.undo_amendment(number, "seconds it is").unwrap();
    let after = study.trial(number).unwrap();
    assert_eq!((after.state, &after.values, &after.user_attrs), (before.state, &before.values, &before.user_attrs));
    assert_eq!(after.constraints, before.constraints);
    let kinds = after.changes.iter().map(|change| matches!(change.what, ChangeKind::Undone(_)));
    assert_eq!(kinds.collect::<Vec<_>>(), [false, false, true, true]);
    assert!(study.undo_amendment(number, "nothing is left").unwrap_err().is_invalid());
}

#[test]
fn what_cannot_be_amended_is_said() {
    let study = Study::in_memory().unwrap();
    study.optimize(2, parabola).unwrap();
    let running = study.ask().unwrap().number();
    let number = TrialNumber(0);
    let wrong = [
        study.amend(number, Amend::new(), "").unwrap_err(),
        study.amend(number, Amend::new().values([]), "").unwrap_err(),
        study.amend(number, Amend::new().values([1.0, 2.0]), "").unwrap_err(),
        study.amend(number, Amend::new().value(f64::NAN), "").unwrap_err(),
        study.amend(number, Amend::new().constraint("c", f64::NAN), "").unwrap_err(),
        study.amend(number, Amend::new().state(TrialState::Running), "").unwrap_err(),
        study.amend(running, Amend::new().value(1.0), "").unwrap_err(),
        study.void(running, "").unwrap_err(),
        study.undo_amendment_at(number, 0, "").unwrap_err(),
    ];
    for error in wrong {
        assert!(error.is_invalid(), "{error}");
    }
    assert!(study.void(TrialNumber(9), "").unwrap_err().is_not_found());
    study.void(number, "").unwrap();
    assert!(study.amend(number, Amend::new().value(1.0), "").unwrap_err().is_voided());
    assert!(study.trials().unwrap()[0].voided && !study.trials().unwrap()[1].voided);
}

fn new_trial(values: Vec<f64>, x: f64) -> NewTrial {
    let unit = Distribution::float(0.0, 1.0).unwrap();
    NewTrial::complete(values).param("x", unit, x).unwrap().report(1, x).report(3, 1.0 - x)
}

/// A study, and the same one in which some trials failed from the outset without a report.
fn twins<P: Pruner + 'static>(directions: &[Direction], failed: &[u32], pruner: fn() -> P) -> [Study; 2] {
    let run = |fails: bool| {
        let storage = Storage::in_memory().unwrap();
        let builder = storage.study("s").directions(directions.iter().copied()).seed(3);
        let study = builder.sampler(Tpe::default()).pruner(pruner()).create().unwrap();
        for at in 0..40_u32 {
            let x = f64::from(at * 7 % 40) / 40.0;
            let values = directions.iter().map(|_| x * x).collect();
            let new = new_trial(values, x);
            let unit = Distribution::float(0.0, 1.0).unwrap();
            let fails = fails && failed.contains(&at);
            let new = if fails { NewTrial::failed().param("x", unit, x).unwrap() } else { new };
            study.add_trial(new).unwrap();
        }
        study
    };
    [run(false), run(true)]
}

fn check_twins<P: Pruner + 'static>(directions: &[Direction], pruner: fn() -> P) {
    let withdrawn = [0, 5, 11, 23];
    let [withdraws, failed] = twins(directions, &withdrawn, pruner);
    let ask = |study: &Study| {
        let mut trial = study.ask().unwrap();
        let x = trial.suggest_float("x", 0.0..=1.0).unwrap();
        let mut pruned = Vec::new();
        for (step, value) in [(1, x), (3, 0.5), (9, 0.5)] {
            if directions.len() == 1 {
                trial.report(step, value).unwrap();
                pruned.push(trial.should_prune().unwrap());
            }
        }
        study.tell_failed(&trial).unwrap();
        (x.to_bits(), pruned)
    };
    // Samplers and pruners keep work on what they saw, and must see that it is other trials now.
    let before = [&withdraws, &failed].map(ask);
    assert_ne!(before[0].0, before[1].0, "the withdrawn trials matter");
    withdrawn.iter().for_each(|&at| _ = withdraws.void(TrialNumber(at), "bug").unwrap());
    // The two probes differ, so neither is to count.
    for study in [&withdraws, &failed] {
        study.void(TrialNumber(40), "a probe").unwrap();
    }
    let best = |study: &Study| study.best_trials().unwrap().iter().map(|trial| trial.number).collect::<Vec<_>>();
    assert_eq!(best(&withdraws), best(&failed));
    for _ in 0..5 {
        assert_eq!(ask(&withdraws), ask(&failed));
    }
}

#[test]
fn samplers_and_pruners_see_a_failed_trial() {
    check_twins(&[Direction::Minimize], Median::default);
    check_twins(&[Direction::Minimize], SuccessiveHalving::default);
    check_twins(&[Direction::Maximize], Hyperband::default);
    check_twins(&[Direction::Minimize, Direction::Maximize], Median::default);
}

#[test]
fn a_copy_and_a_compacted_log_keep_the_audit_trail() {
    let (_folder, path) = place();
    let (storage, study) = ten(&path);
    study.void(TrialNumber(1), "bug").unwrap();
    study.unvoid(TrialNumber(1), "no bug").unwrap();
    study.amend(TrialNumber(2), Amend::new().value(5.0).user_attr("k", 1), "unit").unwrap();
    study.void(TrialNumber(2), "bug").unwrap();
    study.amend(TrialNumber(4), Amend::new().state(TrialState::Fail).values([]), "crashed").unwrap();
    study.undo_amendment(TrialNumber(4), "it did not").unwrap();
    let target = Storage::in_memory().unwrap();
    storage.copy_study("s", &target, "s").unwrap();
    let copy = target.study("s").load().unwrap();
    assert_eq!(copy.digest().unwrap(), study.digest().unwrap());
    assert!(storage.compact().unwrap());
    let again = trialog::open(&path).unwrap().study("s").load().unwrap();
    assert_eq!(again.digest().unwrap(), study.digest().unwrap());
    again.unvoid(TrialNumber(2), "no bug").unwrap();
    assert_eq!(study.trial(TrialNumber(2)).unwrap().values, [5.0]);
}

/// What these tests compare is not blind: a withdrawn trial is another study.
#[test]
fn canary_a_withdrawal_shows() {
    let [withdraws, failed] = twins(&[Direction::Minimize], &[0], Median::default);
    assert_ne!(withdraws.best_trial().unwrap().number, failed.best_trial().unwrap().number);
    let before = withdraws.digest().unwrap();
    withdraws.void(TrialNumber(0), "bug").unwrap();
    assert_ne!(before, withdraws.digest().unwrap());
}
