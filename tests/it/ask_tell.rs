//! Asking, telling, and trials that come from elsewhere: enqueued, added.

use std::sync::Mutex;

use trialog::{
    Choice, Direction, Distribution, Error, NewTrial, ParamValue, Storage, Study, Timestamp, TrialNumber,
    TrialState, float,
};

use crate::support::{
    assert_dense, assert_usable, logged, parabola, place, refused, reopened, says, study_in_file,
};

trialog::categories! {
    /// What a unit computes.
    enum Activation { Relu = "relu", Tanh = "tanh", Gelu = "gelu" }
}

#[test]
fn ask_evaluate_tell() {
    let study = Study::in_memory().unwrap();
    for number in 0..20 {
        let mut trial = study.ask().unwrap();
        assert_eq!(trial.number(), TrialNumber(number));
        let x = trial.suggest_float("x", -1.0..=1.0).unwrap();
        assert_eq!(trial.suggest_float("x", -1.0..=1.0).unwrap(), x, "the same name, the same value");
        let told = study.tell(&trial, x * x).unwrap();
        assert_eq!((told.state, told.value(), told.number), (TrialState::Complete, Some(x * x), trial.number()));
        assert_eq!(told.params, trial.params());
        assert!(told.start.unwrap() <= told.end.unwrap());
    }
    // A batch is as many asks, told in any order.
    let batch: Vec<trialog::Trial> = (0..5).map(|_| study.ask().unwrap()).collect();
    for trial in batch.iter().rev() {
        study.tell(trial, f64::from(trial.number().0)).unwrap();
    }
    assert_dense(&study.trials().unwrap());
}

#[test]
fn pruned_and_failed() {
    let study = Study::in_memory().unwrap();
    let mut trial = study.ask().unwrap();
    trial.report(3, 0.5).unwrap();
    trial.report(1, 0.75).unwrap();
    let told = study.tell_pruned(&trial).unwrap();
    assert_eq!(
        (told.state, told.value()),
        (TrialState::Pruned, Some(0.5)),
        "the last step counts, not the last report"
    );
    assert_eq!((told.intermediate_values.as_slice(), told.last_step()), (&[(1, 0.75), (3, 0.5)][..], Some(3)));
    let told = study.tell_pruned(&study.ask().unwrap()).unwrap();
    assert_eq!((told.state, told.value()), (TrialState::Pruned, None));
    let mut trial = study.ask().unwrap();
    trial.report(0, f64::NAN).unwrap();
    assert_eq!(study.tell_pruned(&trial).unwrap().value(), None, "NaN is no value");
    let told = study.tell_failed(&study.ask().unwrap()).unwrap();
    assert_eq!((told.state, told.value()), (TrialState::Fail, None));
    refused(study.best_trial(), Error::is_no_complete_trial);
}

#[test]
fn trials_are_told_by_number_from_another_program() {
    let (_folder, study) = study_in_file();
    let mut trial = study.ask().unwrap();
    let x = trial.suggest_float("x", 0.0..=1.0).unwrap();
    let other = reopened(study.storage()).study("s").load().unwrap();
    let told = other.tell_number(trial.number(), x).unwrap();
    assert_eq!((told.value(), told.params.get("x")), (Some(x), Some(&ParamValue::Float(x))));
    refused(study.tell(&trial, x), Error::is_finished_trial);
    refused(study.tell_number(TrialNumber(99), 1.0), Error::is_not_found);

    let dead = study.ask().unwrap().number();
    assert_eq!(other.tell_number_failed(dead).unwrap().state, TrialState::Fail);
    let dead = study.ask().unwrap().number();
    assert_eq!(other.tell_number(dead, f64::NAN).unwrap().state, TrialState::Fail);

    let waiting = study.enqueue([("x", 0.5)]).unwrap();
    let text = refused(other.tell_number(waiting, 1.0), Error::is_invalid);
    assert!(text.contains("waiting"), "{text}");
    assert_eq!(other.trial(waiting).unwrap().state, TrialState::Waiting);
    assert_usable(&study);
}

#[test]
fn a_trial_is_enqueued_only_if_there_is_none_like_it() {
    let study = Study::in_memory().unwrap();
    let absent = |params: &[(&str, Choice)]| study.enqueue_if_absent(params.to_vec(), []).unwrap().map(|n| n.0);
    let (one, nan) = (Choice::Float(1.0), Choice::Float(f64::NAN));
    assert_eq!(absent(&[("x", one.clone())]), Some(0));
    assert_eq!(absent(&[("x", Choice::Int(1))]), None, "the same number");
    assert_eq!(absent(&[("x", Choice::Bool(true))]), Some(1), "no number");
    assert_eq!(absent(&[("x", one.clone()), ("y", nan.clone())]), Some(2), "a parameter more");
    assert_eq!(absent(&[("y", nan), ("x", one.clone())]), None);
    assert_eq!(absent(&[]), Some(3));
    assert_eq!(absent(&[]), None);
    // Whatever becomes of them, and also trials that were never enqueued.
    let mut trial = study.ask().unwrap();
    trial.suggest_float("x", 0.0..=2.0).unwrap();
    trial.suggest_float("z", 0.0..=2.0).unwrap();
    study.tell_failed(&trial).unwrap();
    assert_eq!(absent(&[("x", one)]), None);
    let float = Distribution::float(0.0, 1.0).unwrap();
    study.add_trial(NewTrial::complete(1.0).param("w", float, 0.25).unwrap()).unwrap();
    assert_eq!(absent(&[("w", Choice::Float(0.25))]), None);
    assert_eq!(absent(&[("w", Choice::Float(0.5))]), Some(5));
}

#[test]
fn a_wrong_number_of_values_leaves_the_trial_running_and_whole() {
    let study = Study::in_memory().unwrap();
    study
        .optimize(12, |trial| Ok(trial.suggest_float("x", 0.0..=1.0)? + trial.suggest_float("y", 0.0..=1.0)?))
        .unwrap();
    let mut trial = study.ask().unwrap();
    let x = trial.suggest_float("x", 0.0..=1.0).unwrap();
    for wrong in [vec![], vec![1.0, 2.0], vec![f64::NAN, 1.0]] {
        let text = refused(study.tell(&trial, wrong), Error::is_invalid);
        assert!(text.contains("1 objective"), "{text}");
    }
    refused(study.tell_number(trial.number(), (1.0, 2.0)), Error::is_invalid);
    assert_eq!(study.trial(trial.number()).unwrap().state, TrialState::Running);
    // What was proposed for it has not been taken back.
    let y = trial.suggest_float("y", 0.0..=1.0).unwrap();
    let told = study.tell(&trial, x + y).unwrap();
    assert_eq!(told.params, trial.params());
    assert_eq!(told.params.iter().count(), 2);
}

#[test]
fn a_trial_is_told_to_its_own_study() {
    let (_folder, path) = place();
    let storage = trialog::open(&path).unwrap();
    let (first, second) = (storage.study("first").create().unwrap(), storage.study("second").create().unwrap());
    let elsewhere = Study::in_memory().unwrap();
    elsewhere.ask().unwrap();
    let trial = first.ask().unwrap();
    for stranger in [&second, &elsewhere] {
        let text = refused(stranger.tell(&trial, 1.0), Error::is_invalid);
        assert!(text.contains("\"first\""), "{text}");
        refused(stranger.tell_pruned(&trial), Error::is_invalid);
        refused(stranger.tell_failed(&trial), Error::is_invalid);
    }
    assert_eq!(elsewhere.trials().unwrap()[0].state, TrialState::Running);
    // Another handle on the same study will do.
    let again = trialog::open(&path).unwrap().study("first").load().unwrap();
    assert_eq!(again.tell(&trial, 1.0).unwrap().value(), Some(1.0));
}

#[test]
fn finished_trials_do_not_change() {
    let (_folder, study) = study_in_file();
    let mut trial = study.ask().unwrap();
    trial.suggest_float("x", 0.0..=1.0).unwrap();
    let before = study.tell(&trial, 1.0).unwrap();
    let digest = study.digest().unwrap();
    let other = reopened(study.storage()).study("s").load().unwrap();
    refused(study.tell(&trial, 2.0), Error::is_finished_trial);
    refused(study.tell(&trial, f64::NAN), Error::is_finished_trial);
    refused(study.tell_pruned(&trial), Error::is_finished_trial);
    refused(other.tell_number(trial.number(), 3.0), Error::is_finished_trial);
    refused(trial.report(0, 1.0), Error::is_finished_trial);
    refused(trial.suggest_float("late", 0.0..=1.0).map(drop), Error::is_finished_trial);
    refused(trial.set_user_attr("late", 1), Error::is_finished_trial);
    refused(trial.set_constraint("late", 1.0), Error::is_finished_trial);
    assert_eq!(study.trial(trial.number()).unwrap(), before);
    assert_eq!((study.digest().unwrap(), other.digest().unwrap()), (digest, digest));
    assert_usable(&study);
}

#[test]
fn enqueued_trials_come_first_and_in_order() {
    let study = Study::in_memory().unwrap();
    for x in [1.0, 2.0, 3.0] {
        study.enqueue([("x", x)]).unwrap();
    }
    assert!(
        study.trials().unwrap().iter().all(|trial| trial.state == TrialState::Waiting && trial.start.is_none())
    );
    study
        .optimize(4, |trial| {
            let x = trial.suggest_float("x", -10.0..=10.0)?;
            trial.suggest_float("free", 0.0..=1.0)?;
            Ok(x)
        })
        .unwrap();
    let values: Vec<f64> = study.trials().unwrap().iter().map(|trial| trial.value().unwrap()).collect();
    assert_eq!(values[..3], [1.0, 2.0, 3.0]);
    assert_eq!(values.len(), 4);
}

#[test]
fn enqueued_parameters_of_every_kind() {
    let study = Study::in_memory().unwrap();
    let params =
        [("i", Choice::from(7)), ("f", 2.into()), ("c", "tanh".into()), ("b", true.into()), ("none", Choice::Null)];
    study.enqueue(params).unwrap();
    let mut trial = study.ask().unwrap();
    assert_eq!(trial.suggest_int("i", 1..=10).unwrap(), 7);
    assert_eq!(trial.suggest_float("f", 0.0..=10.0).unwrap(), 2.0);
    assert_eq!(trial.suggest_categorical("c", &Activation::ALL).unwrap(), Activation::Tanh);
    assert!(trial.suggest_categorical("b", &[false, true]).unwrap());
    assert_eq!(trial.suggest_categorical("none", &[Some("x"), None]).unwrap(), None);
    study.tell(&trial, 0.0).unwrap();

    // Numbers that JSON cannot say are kept beside others.
    let params = [("inf", f64::INFINITY), ("x", 3.5), ("nan", f64::NAN)];
    study.enqueue(params).unwrap();
    let mut trial = study.ask().unwrap();
    assert_eq!(trial.suggest_float("x", 0.0..=10.0).unwrap(), 3.5);
    assert_eq!(trial.suggest_categorical("inf", &[1.0, f64::INFINITY]).unwrap(), f64::INFINITY);
    assert!(trial.suggest_categorical("nan", &[1.0, f64::NAN]).unwrap().is_nan());
    study.tell(&trial, 0.0).unwrap();
}

#[test]
fn enqueued_values_out_of_range_are_used_with_a_warning() {
    let study = Study::in_memory().unwrap();
    // For the first trial and for later ones, whose parameters are known beforehand.
    for n_before in [0, 15] {
        study.optimize(n_before, |trial| Ok(trial.suggest_float("x", 0.0..=1.0)?)).unwrap();
        study.enqueue([("x", 5.0)]).unwrap();
        let mut trial = study.ask().unwrap();
        let (lines, x) = logged(|| trial.suggest_float("x", 0.0..=1.0).unwrap());
        assert_eq!(x, 5.0);
        assert!(
            says(&lines, "WARN") && says(&lines, "x was enqueued as 5.0, outside of float 0.0..1.0"),
            "{lines:?}"
        );
        assert_eq!(study.tell(&trial, x).unwrap().params.get("x"), Some(&ParamValue::Float(5.0)));
    }
}

#[test]
fn enqueued_values_that_fit_no_choice_are_an_error() {
    let study = Study::in_memory().unwrap();
    for n_before in [0, 15] {
        study.optimize(n_before, |trial| Ok(f64::from(trial.suggest_categorical("c", &[1, 2])?))).unwrap();
        study.enqueue([("c", "three")]).unwrap();
        let mut trial = study.ask().unwrap();
        let text = refused(trial.suggest_categorical("c", &[1, 2]), Error::is_invalid);
        assert!(text.contains("c = three"), "{text}");
        assert_eq!(study.tell_failed(&trial).unwrap().params.iter().count(), 0);
    }
    assert_usable(&study);
}

#[test]
fn each_enqueued_trial_is_run_by_one_thread() {
    let (_folder, path) = place();
    let study = trialog::open(&path).unwrap().study("s").create().unwrap();
    for ticket in 0..80_i64 {
        study.enqueue([("ticket", ticket)]).unwrap();
    }
    let run = Mutex::new(Vec::new());
    let handles = [study.clone(), reopened(study.storage()).study("s").load().unwrap()];
    std::thread::scope(|scope| {
        for i in 0..8 {
            let (handle, run) = (&handles[i % 2], &run);
            scope.spawn(move || {
                for _ in 0..12 {
                    let mut trial = handle.ask().unwrap();
                    let ticket = trial.suggest_int("ticket", -1..=-1).unwrap();
                    run.lock().unwrap().push(ticket);
                    handle.tell(&trial, 0.0).unwrap();
                }
            });
        }
    });
    let mut run = run.into_inner().unwrap();
    run.sort_unstable();
    assert_eq!(run[..16], [-1; 16], "the rest are new trials");
    assert_eq!(run[16..], (0..80).collect::<Vec<i64>>());
}

#[test]
fn what_another_handle_enqueues_is_asked_for_next() {
    let (_folder, study) = study_in_file();
    let other = reopened(study.storage()).study("s").load().unwrap();
    let number = other.enqueue([("x", 0.25)]).unwrap();
    let mut trial = study.ask().unwrap();
    assert_eq!(trial.number(), number);
    assert_eq!(trial.suggest_float("x", 0.0..=1.0).unwrap(), 0.25);
}

#[test]
fn trials_that_were_run_elsewhere() {
    let study = Study::in_memory().unwrap();
    let x = Distribution::float(-10.0, 10.0).unwrap();
    let trial = |value: f64, at: f64| NewTrial::complete(value).param("x", x.clone(), at).unwrap();
    let number = study.add_trial(trial(4.0, 2.0).user_attr("from", "paper").constraint("c", -1.0)).unwrap();
    let added = study.trial(number).unwrap();
    assert_eq!((added.value(), added.is_feasible()), (Some(4.0), true));
    assert!(added.start.is_some() && added.end.is_some() && added.user_attrs.contains_key("from"));
    study.add_trials((0..600).map(|i| trial(f64::from(i) + 5.0, 1.0))).unwrap();
    study.add_trials(Vec::<NewTrial>::new()).unwrap();
    // Trials of one study are those of another.
    let copy = Study::in_memory().unwrap();
    copy.add_trials(study.trials().unwrap().iter()).unwrap();
    assert_eq!(copy.trials().unwrap().len(), 601);
    assert_eq!(copy.best_trial().unwrap().params, added.params);
    assert_usable(&study);
}

#[test]
fn trials_that_make_no_sense_are_refused_and_others_beside_them_are_not() {
    let study = Study::in_memory().unwrap();
    study.optimize(1, parabola).unwrap();
    let x = Distribution::float(-10.0, 10.0).unwrap();
    let wrong = || {
        [
            NewTrial::complete(f64::NAN),
            NewTrial::complete((1.0, 2.0)),
            NewTrial::complete(vec![]),
            NewTrial::complete(1.0).report(5, 1.0).report(5, 2.0),
            NewTrial::pruned().report(5, 1.0).report(4, 2.0),
            NewTrial::complete(1.0).constraint("c", f64::NAN),
        ]
    };
    for trial in wrong() {
        refused(study.add_trial(trial), Error::is_invalid);
    }
    let incompatible = || NewTrial::complete(1.0).param("x", Distribution::int(0, 9).unwrap(), 3_i64).unwrap();
    refused(study.add_trial(incompatible()), Error::is_incompatible);
    refused(NewTrial::complete(1.0).param("x", x.clone(), 11.0), Error::is_invalid);
    refused(NewTrial::complete(1.0).param("x", x.clone(), "high"), Error::is_invalid);
    refused(NewTrial::complete(1.0).param("x", x, f64::NAN), Error::is_invalid);
    assert_eq!(study.trials().unwrap().len(), 1, "nothing was added");

    for bad in wrong().into_iter().chain([incompatible()]) {
        let before = study.trials().unwrap().len();
        let list = vec![NewTrial::complete(7.0), bad, NewTrial::complete(8.0)];
        assert!(study.add_trials(list).is_err());
        assert_eq!(study.trials().unwrap().len(), before + 2, "each trial stands for itself");
    }
    assert_usable(&study);
}

#[test]
fn many_large_trials_do_not_fill_a_record() {
    let storage = Storage::in_memory().unwrap();
    let study = storage.study("large").create().unwrap();
    let text = "x".repeat(200_000);
    study.add_trials((0..120).map(|i| NewTrial::complete(f64::from(i)).user_attr("text", text.as_str()))).unwrap();
    storage.copy_study("large", &storage, "again").unwrap();
    let copy = storage.study("again").load().unwrap();
    assert_eq!(copy.trials().unwrap()[119].user_attrs, study.trials().unwrap()[119].user_attrs);
}

#[test]
fn ranges_may_change_between_trials() {
    let study = Study::in_memory().unwrap();
    study.optimize(12, |trial| Ok(trial.suggest_float("x", 0.0..=1.0)?)).unwrap();
    for (range, at_least) in [(0.0..=10.0, 0.0), (50.0..=60.0, 50.0), (0.5..=0.6, 0.5)] {
        let mut trial = study.ask().unwrap();
        let x = trial.suggest_float("x", range.clone()).unwrap();
        assert!(range.contains(&x) && x >= at_least, "{x} in {range:?}");
        let told = study.tell(&trial, x).unwrap();
        assert_eq!(told.distributions["x"], Distribution::float(*range.start(), *range.end()).unwrap());
        assert_eq!(told.params.get("x"), Some(&ParamValue::Float(x)));
    }
    let mut trial = study.ask().unwrap();
    let x = trial.suggest_float("x", 0.0..=1.0).unwrap();
    let (lines, again) = logged(|| trial.suggest_float("x", 0.0..=2.0).unwrap());
    assert_eq!(again, x, "within a trial the first value stays");
    assert!(says(&lines, "its value stays"), "{lines:?}");
}

#[test]
fn proposals_that_nobody_asked_for_are_taken_back() {
    for end in ["complete", "pruned", "failed"] {
        let (_folder, study) = study_in_file();
        study
            .optimize(12, |trial| Ok(trial.suggest_float("x", 0.0..=1.0)? + trial.suggest_float("y", 0.0..=1.0)?))
            .unwrap();
        let viewer = reopened(study.storage()).study("s").load().unwrap();
        let mut trial = study.ask().unwrap();
        // Others see at once where a running trial will be.
        assert_eq!(viewer.trial(trial.number()).unwrap().params.iter().count(), 2);
        let x = trial.suggest_float("x", 0.0..=1.0).unwrap();
        let told = match end {
            "complete" => study.tell(&trial, x),
            "pruned" => study.tell_pruned(&trial),
            _ => study.tell_failed(&trial),
        };
        assert_eq!(told.unwrap().params, trial.params(), "{end}");
        assert_eq!(trial.params().iter().count(), 1);
    }
}

#[test]
fn an_enum_as_categories() {
    let study = Study::in_memory().unwrap();
    study
        .optimize(30, |trial| {
            let activation: Activation = trial.suggest_categorical("activation", &Activation::ALL)?;
            Ok(match activation {
                Activation::Relu => 3.0,
                Activation::Tanh => 2.0,
                Activation::Gelu => 1.0,
            })
        })
        .unwrap();
    assert_eq!(study.best_params().unwrap().to_string(), "{activation: gelu}");
}

#[test]
fn choices_are_told_apart_by_type() {
    let study = Study::in_memory().unwrap();
    let choices = [Choice::Bool(true), Choice::Int(1), Choice::Float(1.0), "1".into(), Choice::Null];
    for wanted in &choices {
        study.enqueue([("c", wanted)]).unwrap();
        let mut trial = study.ask().unwrap();
        assert_eq!(trial.suggest_categorical("c", &choices).unwrap(), *wanted);
        let told = study.tell(&trial, 0.0).unwrap();
        assert_eq!(told.params.get("c"), Some(&ParamValue::Categorical(wanted.clone())));
    }
}

#[test]
fn a_distribution_as_a_value() {
    let study = Study::in_memory().unwrap();
    let mut trial = study.ask().unwrap();
    let rate: Distribution = float(1e-4..=1.0).log().try_into().unwrap();
    assert!(
        matches!(trial.suggest("rate", &rate).unwrap(), ParamValue::Float(rate) if (1e-4..=1.0).contains(&rate))
    );
    assert!(trial.suggest("rate", &rate).is_ok());
    assert_eq!(trial.suggest("only", &Distribution::int(3, 3).unwrap()).unwrap(), ParamValue::Int(3));
    study.tell(&trial, 1.0).unwrap();
}

#[test]
fn values_of_every_shape() {
    let builder = Storage::in_memory().unwrap().study("two").directions([Direction::Minimize, Direction::Maximize]);
    let two = builder.create().unwrap();
    two.optimize(1, |_| Ok((1.0, 2.0))).unwrap();
    two.optimize(1, |_| Ok([1.0, 2.0])).unwrap();
    two.optimize(1, |_| Ok(vec![1.0, 2.0])).unwrap();
    assert!(two.trials().unwrap().iter().all(|trial| trial.values == [1.0, 2.0] && trial.value().is_none()));
    let one = Study::in_memory().unwrap();
    one.optimize(1, |_| Ok(1_i32)).unwrap();
    one.optimize(1, |_| Ok(1_f32)).unwrap();
    one.add_trial(NewTrial::complete(1_u32).times(Timestamp(1), Timestamp(2))).unwrap();
    assert!(one.trials().unwrap().iter().all(|trial| trial.value() == Some(1.0)));
}

#[test]
#[should_panic(expected = "this should have been refused")]
fn canary_what_should_be_refused_is_noticed_if_it_is_not() {
    let study = Study::in_memory().unwrap();
    refused(study.tell(&study.ask().unwrap(), 1.0), Error::is_finished_trial);
}

#[test]
#[should_panic(expected = "refused for another reason")]
fn canary_another_reason_is_noticed() {
    let study = Study::in_memory().unwrap();
    refused(study.tell_number(TrialNumber(0), 1.0), Error::is_finished_trial);
}

#[test]
fn another_process_goes_on_with_a_running_trial() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.tlog");
    let path = path.to_str().unwrap();
    let study = trialog::open(path).unwrap().study("s").create().unwrap();
    let mut trial = study.ask().unwrap();
    let x = trial.suggest_float("x", 0.0..=1.0).unwrap();
    let number = trial.number();
    drop(trial);

    let other = trialog::open(path).unwrap().study("s").load().unwrap();
    let mut resumed = other.resume(number).unwrap();
    assert_eq!(resumed.suggest_float("x", 0.0..=1.0).unwrap(), x);
    resumed.report(0, 0.5).unwrap();
    resumed.set_system_attr("tests:seen", true).unwrap();
    assert!(!resumed.decide().unwrap().is_prune());
    let told = other.tell(&resumed, 0.25).unwrap();
    assert_eq!((told.values, told.intermediate_values), (vec![0.25], vec![(0, 0.5)]));
    assert_eq!(told.params.iter().count(), 1, "what it has is not taken back");
    assert!(other.resume(number).is_err_and(|error| error.is_finished_trial()));
    assert!(other.resume(TrialNumber(7)).is_err_and(|error| error.is_not_found()));
}

#[test]
fn a_trial_goes_back_into_the_queue_with_its_parameters() {
    let study = Study::in_memory().unwrap();
    let mut trial = study.ask().unwrap();
    let x = trial.suggest_float("x", 0.0..=1.0).unwrap();
    study.requeue(&trial).unwrap();
    assert!(study.resume(trial.number()).is_err_and(|error| error.is_invalid()), "it waits");
    let mut again = study.ask().unwrap();
    assert_eq!(again.number(), trial.number());
    assert_eq!(again.suggest_float("x", 0.0..=1.0).unwrap(), x);
    again.report(3, 1.5).unwrap();
    let told = study.tell_number_pruned(again.number()).unwrap();
    assert_eq!(told.values, [1.5]);
    assert!(study.requeue(&again).is_err_and(|error| error.is_finished_trial()));
}

#[test]
fn an_enqueued_trial_begins_with_attributes() {
    let study = Study::in_memory().unwrap();
    let attrs = [("from".to_owned(), trialog::Json::from("a colleague"))];
    let number = study.enqueue_with([("x", 0.5)], attrs).unwrap();
    assert_eq!(study.trial(number).unwrap().user_attrs["from"].as_str(), "\"a colleague\"");
}
