//! Studies as a whole: made, listed, copied, deleted, and with several objectives, constraints and notes.

use trialog::{Direction, Error, Json, NewTrial, OpenOptions, Pruned, Storage, Study, TrialState};

use crate::support::{assert_untouched, assert_usable, logged, parabola, place, refused, reopened, says};

/// A study with a bit of everything: every state, changed ranges, reports, notes, constraints.
fn colourful(storage: &Storage, name: &str) -> Study {
    let study = storage.study(name).seed(3).create().unwrap();
    study.set_user_attr("who", "me").unwrap();
    study.set_user_attr("list", serde_json::json!([1, null])).unwrap();
    study
        .optimize(30, |trial| {
            let number = trial.number().0;
            let x = trial.suggest_float("x", 0.0..=f64::from(number / 10 + 1))?;
            trial.suggest_categorical("kind", &["a", "b"])?;
            if x > 0.5 {
                trial.suggest_int("n", 1..=9)?;
            }
            trial.report(1, x)?;
            trial.report(0, f64::NAN)?;
            trial.set_user_attr("note", x)?;
            trial.set_constraint("c", x - 0.7)?;
            if number % 5 == 0 { Err(Pruned.into()) } else { Ok(if number % 7 == 3 { f64::NAN } else { x }) }
        })
        .unwrap();
    study.add_trial(NewTrial::failed().report(7, f64::NEG_INFINITY)).unwrap();
    study.enqueue([("x", 99.0)]).unwrap();
    let mut out_of_range = study.ask().unwrap();
    out_of_range.suggest_float("x", 0.0..=1.0).unwrap();
    out_of_range.suggest_float("running", 0.0..=1.0).unwrap();
    study.enqueue([("x", f64::INFINITY)]).unwrap();
    study
}

#[test]
fn a_copy_is_the_study_again() {
    let (_folder, path) = place();
    let source = Storage::in_memory().unwrap();
    let study = colourful(&source, "s");
    let target = trialog::open(&path).unwrap();
    source.copy_study("s", &target, "s").unwrap();
    let copy = target.study("s").load().unwrap();
    assert_eq!(copy.digest().unwrap(), study.digest().unwrap());
    assert_eq!(copy.best_trial().unwrap().params, study.best_trial().unwrap().params);
    assert_eq!(copy.seed(), study.seed());
    // And from there, beside others, in the same log, and back.
    target.study("other").create().unwrap().optimize(3, parabola).unwrap();
    target.copy_study("s", &target, "t").unwrap();
    let back = Storage::in_memory().unwrap();
    target.copy_study("t", &back, "s").unwrap();
    assert_eq!(back.study("s").load().unwrap().digest().unwrap(), study.digest().unwrap());
    assert_eq!(reopened(&target).digest().unwrap(), target.digest().unwrap());

    refused(source.copy_study("s", &target, "t"), Error::is_duplicate);
    refused(source.copy_study("absent", &target, "new"), Error::is_not_found);
    assert_eq!(target.study_names().unwrap(), ["s", "other", "t"]);
    // A copy lives its own life, and gives its waiting trial to whoever asks.
    assert_usable(&copy);
    assert_ne!(copy.digest().unwrap(), study.digest().unwrap());
}

#[test]
fn a_long_study_is_copied_whole() {
    let source = Storage::in_memory().unwrap();
    let study = source.study("long").create().unwrap();
    study.add_trials((0..1000).map(|i| NewTrial::complete(i).report(0, f64::from(i)))).unwrap();
    let target = Storage::in_memory().unwrap();
    source.copy_study("long", &target, "long").unwrap();
    assert_eq!(target.study("long").load().unwrap().digest().unwrap(), study.digest().unwrap());
}

#[test]
fn deleted_studies_are_gone_for_everybody() {
    let (_folder, path) = place();
    let storage = trialog::open(&path).unwrap();
    let study = storage.study("gone").create().unwrap();
    let kept = storage.study("kept").create().unwrap();
    study.optimize(5, parabola).unwrap();
    kept.optimize(5, parabola).unwrap();
    let mut running = study.ask().unwrap();
    let other = trialog::open(&path).unwrap();
    other.delete_study("gone").unwrap();

    refused(other.delete_study("gone"), Error::is_not_found);
    refused(study.trials(), Error::is_not_found);
    refused(study.ask().map(drop), Error::is_not_found);
    refused(study.optimize(1, parabola), Error::is_not_found);
    refused(study.best_trial(), Error::is_not_found);
    refused(running.report(0, 1.0), Error::is_not_found);
    refused(study.tell(&running, 1.0), Error::is_not_found);
    refused(storage.study("gone").load(), Error::is_not_found);
    assert_eq!(storage.study_names().unwrap(), ["kept"]);
    // The name is free again, and the old handle does not mean the new study.
    let anew = storage.study("gone").create().unwrap();
    assert_eq!(anew.trials().unwrap().len(), 0);
    refused(study.trials(), Error::is_not_found);
    assert_eq!(kept.trials().unwrap().len(), 5);
    assert_usable(&kept);
}

#[test]
fn a_list_of_studies() {
    let storage = Storage::in_memory().unwrap();
    assert!(storage.studies().unwrap().is_empty());
    let empty = refused(storage.study("any").load(), Error::is_not_found);
    assert!(empty.contains("no study yet"), "{empty}");
    let one = storage.study("one").maximize().create().unwrap();
    one.optimize(4, |trial| Ok(f64::from(trial.number().0))).unwrap();
    storage.study("two").directions([Direction::Minimize; 2]).create().unwrap();
    let list = storage.studies().unwrap();
    assert_eq!(list.iter().map(|summary| summary.name.as_str()).collect::<Vec<_>>(), ["one", "two"]);
    assert_eq!((list[0].n_trials, list[0].directions.as_slice()), (4, &[Direction::Maximize][..]));
    assert_eq!(list[0].best_trial.as_ref().and_then(trialog::FrozenTrial::value), Some(3.0));
    assert_eq!(list[0].start, one.trials().unwrap()[0].start);
    assert!(list[1].best_trial.is_none() && list[1].start.is_none());

    // Where there are very many, a message does not name them all.
    for i in 0..100 {
        storage.study(format!("s{i}")).create().unwrap();
    }
    let text = refused(storage.study("any").load(), Error::is_not_found);
    assert!(text.contains("and 82 more") && text.len() < 400, "{text}");
}

#[test]
fn several_objectives_have_a_front() {
    let builder =
        Storage::in_memory().unwrap().study("front").directions([Direction::Minimize, Direction::Maximize]);
    let study = builder.metric_names(["loss", "accuracy"]).create().unwrap();
    let points =
        [(1.0, 1.0), (2.0, 3.0), (2.0, 3.0), (3.0, 2.0), (0.5, 0.0), (0.0, 9.0), (f64::INFINITY, f64::INFINITY)];
    let infeasible = 5;
    study
        .optimize(points.len(), |trial| {
            trial.set_constraint("cost", if trial.number().0 == infeasible { 0.1 } else { 0.0 })?;
            Ok(points[trial.number().index()])
        })
        .unwrap();
    let front: Vec<u32> = study.best_trials().unwrap().iter().map(|trial| trial.number.0).collect();
    assert_eq!(front, [0, 1, 2, 4, 6], "duplicates stay, what is dominated or not feasible goes");
    assert_eq!(study.view().unwrap().metric_names().unwrap(), ["loss", "accuracy"]);
    for text in [refused(study.best_trial(), Error::is_invalid), refused(study.best_value(), Error::is_invalid)] {
        assert!(text.contains("several objectives"), "{text}");
    }
    let mut trial = study.ask().unwrap();
    refused(trial.report(0, 1.0), Error::is_invalid);
    refused(trial.should_prune(), Error::is_invalid);
    assert_eq!(study.tell_pruned(&trial).unwrap().state, TrialState::Pruned);
    assert_usable(&study);
}

#[test]
fn only_feasible_trials_are_the_best() {
    let study = Study::in_memory().unwrap();
    let (lines, ()) = logged(|| {
        study
            .optimize(4, |trial| {
                let number = f64::from(trial.number().0);
                trial.set_constraint("late", 2.0 - number)?;
                trial.set_constraint("late", -100.0)?;
                Ok(number)
            })
            .unwrap();
    });
    assert!(says(&lines, "constraint late has a value already"), "{lines:?}");
    let best = study.best_trial().unwrap();
    assert_eq!((best.number.0, best.is_feasible()), (2, true), "the first value of a constraint stays");
    assert!(!study.trials().unwrap()[1].is_feasible());
    let study = Study::in_memory().unwrap();
    study.optimize(2, |trial| trial.set_constraint("never", 1.0).map(|()| 1.0).map_err(Into::into)).unwrap();
    let text = refused(study.best_trial(), Error::is_no_complete_trial);
    assert!(text.contains("feasible"), "{text}");
    let mut trial = study.ask().unwrap();
    let text = refused(trial.set_constraint("c", f64::NAN), Error::is_invalid);
    assert!(text.contains("\"c\"") && text.contains("NaN"), "{text}");
    trial.set_constraint("c", f64::NEG_INFINITY).unwrap();
    study.tell(&trial, 1.0).unwrap();
    assert_eq!(study.best_trial().unwrap().number, trial.number());
}

#[test]
fn notes_are_kept_and_replaced() {
    let (_folder, path) = place();
    let study = trialog::open(&path).unwrap().study("notes").create().unwrap();
    study.set_user_attr("key", 1).unwrap();
    study.set_user_attr("key", "two").unwrap();
    study.set_user_attr("", Json::null()).unwrap();
    study.set_user_attr("deep", serde_json::json!({"a": [1, {"b": null}], "ünïcode\n": "\u{0}"})).unwrap();
    let mut trial = study.ask().unwrap();
    trial.set_user_attr("seconds", 0.1).unwrap();
    trial.set_user_attr("seconds", f64::NAN).unwrap();
    trial.set_user_attr("seconds", 0.3).unwrap();
    study.tell(&trial, 1.0).unwrap();

    let again = trialog::open(&path).unwrap().study("notes").load().unwrap();
    let attrs = again.user_attrs().unwrap();
    assert_eq!((attrs["key"].as_str(), attrs[""].as_str(), attrs.len()), ("\"two\"", "null", 3));
    assert_eq!(attrs["deep"].to_value().unwrap()["ünïcode\n"], "\u{0}");
    assert_eq!(again.trial(trial.number()).unwrap().user_attrs["seconds"], Json::from(0.3));
}

#[test]
fn what_is_set_when_loading_is_the_study_s_from_then_on() {
    let (_folder, path) = place();
    let storage = trialog::open(&path).unwrap();
    storage.study("s").maximize().seed(1).create().unwrap();
    let digest = storage.digest().unwrap();
    // Loading as it is writes nothing, and neither does setting what is set.
    storage.study("s").load().unwrap();
    storage.study("s").maximize().seed(1).load().unwrap();
    assert_eq!(storage.digest().unwrap(), digest);
    OpenOptions::new().read_only(true).open(&path).unwrap().study("s").load().unwrap();

    let (lines, loaded) = logged(|| storage.study("s").minimize().seed(2).metric_names(["score"]).load().unwrap());
    assert!(says(&lines, "the study was made to maximize, and that stays"), "{lines:?}");
    assert_eq!((loaded.seed(), loaded.directions().unwrap()), (2, vec![Direction::Maximize]));
    let view = trialog::open(&path).unwrap().study("s").load().unwrap().view().unwrap();
    assert_eq!((view.config().unwrap().seed, view.metric_names().unwrap()), (2, &["score".to_owned()][..]));
    refused(storage.study("s").metric_names(["a", "b"]).load(), Error::is_invalid);
}

#[test]
fn studies_that_make_no_sense() {
    let storage = Storage::in_memory().unwrap();
    refused(storage.study("none").directions([]).create(), Error::is_invalid);
    refused(storage.study("names").metric_names(["a", "b"]).create(), Error::is_invalid);
    let two = || storage.study("twice").directions([Direction::Minimize; 2]);
    let text = refused(two().metric_names(["a", "a"]).create(), Error::is_invalid);
    assert!(text.contains("\"a\""), "{text}");
    assert!(storage.study_names().unwrap().is_empty(), "nothing was made");
    assert_usable(&storage.study("fine").load_or_create().unwrap());
}

#[test]
#[should_panic(expected = "earlier trials have changed")]
fn canary_a_changed_trial_is_noticed() {
    let study = Study::in_memory().unwrap();
    let trial = study.ask().unwrap();
    let before = study.trials().unwrap();
    study.tell(&trial, 1.0).unwrap();
    assert_untouched(&before, &study.trials().unwrap());
}
