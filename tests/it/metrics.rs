//! Several named metrics in one report, and pruners that read one of them.

use std::collections::BTreeMap;

use trialog::pruners::{Decision, Median, Threshold};
use trialog::{Direction, Distribution, NewTrial, Pruned, Storage, Study, TrialNumber, TrialState};

use crate::support::place;

fn by_accuracy() -> Median {
    Median::new().n_startup_trials(1).metric("acc").direction(Direction::Maximize)
}

/// A complete trial of accuracy 0.5 at step 1, which has the better loss.
fn study(storage: &Storage, pruner: Median) -> Study {
    let study = storage.study("s").minimize().seed(7).pruner(pruner).create().unwrap();
    let mut trial = study.ask().unwrap();
    trial.report_metrics(1, [("loss", 0.25), ("acc", 0.5)]).unwrap();
    study.tell(&trial, 0.25).unwrap();
    study
}

#[test]
fn a_report_of_several_metrics_is_seen_by_everybody() {
    let (_folder, path) = place();
    let storage = trialog::open(&path).unwrap();
    let study = study(&storage, by_accuracy());
    let mut trial = study.ask().unwrap();
    let records = study.view().unwrap().position();
    trial.report_metrics(3, BTreeMap::from([("loss".to_owned(), 0.5), ("größe".to_owned(), f64::NAN)])).unwrap();
    assert_eq!(study.view().unwrap().position(), records + 1, "one record for all of them");
    // The first value of a metric stays.
    trial.report_metrics(3, [("loss", 9.0), ("acc", 0.75)]).unwrap();
    trial.report_metrics(3, [("acc", 8.0)]).unwrap();
    trial.report(3, 0.125).unwrap();

    let other = trialog::open(&path).unwrap().study("s").load().unwrap();
    let seen = other.trial(trial.number()).unwrap();
    assert_eq!(seen.intermediate_values, [(3, 0.125)]);
    assert_eq!(seen.metrics.keys().collect::<Vec<_>>(), ["acc", "größe", "loss"]);
    assert_eq!((&seen.metrics["loss"], &seen.metrics["acc"]), (&vec![(3, 0.5)], &vec![(3, 0.75)]));
    assert!(seen.metrics["größe"][0].1.is_nan());
    let view = other.view().unwrap();
    assert_eq!(view.reported_metrics().collect::<Vec<_>>(), ["acc", "größe", "loss"]);
    assert_eq!(view.series(Some("acc")).reports(TrialNumber(0)), [(1, 0.5)]);

    let mut table = Vec::new();
    other.table().unwrap().write_csv(&mut table).unwrap();
    let table = String::from_utf8(table).unwrap();
    assert!(
        table.lines().next().unwrap().contains("duration,metrics_acc,metrics_größe,metrics_loss,state"),
        "{table}"
    );
    assert!(table.lines().nth(1).unwrap().ends_with(",0.5,,0.25,complete"), "{table}");
}

#[test]
fn what_makes_no_sense_is_refused() {
    let study = study(&trialog::open("memory:").unwrap(), by_accuracy());
    let mut trial = study.ask().unwrap();
    let long = "x".repeat(251);
    for values in [vec![], vec![("", 1.0)], vec![(long.as_str(), 1.0)], vec![("a", 1.0), ("a", 2.0)]] {
        let before = study.view().unwrap().position();
        assert!(trial.report_metrics(1, values).unwrap_err().is_invalid());
        assert_eq!(study.view().unwrap().position(), before, "nothing is written");
    }
    assert!(trial.report_metrics(u64::MAX, [("a", 1.0)]).unwrap_err().is_invalid());
    study.tell(&trial, 1.0).unwrap();
    assert!(trial.report_metrics(1, [("a", 1.0)]).unwrap_err().is_finished_trial());
    assert_eq!(study.view().unwrap().reported_metrics().collect::<Vec<_>>(), ["acc", "loss"]);
}

#[test]
fn a_pruner_reads_the_metric_that_it_names() {
    let (_folder, path) = place();
    let storage = trialog::open(&path).unwrap();
    let study = study(&storage, by_accuracy());
    let ask = |acc: f64| {
        let mut trial = study.ask().unwrap();
        trial.report_metrics(1, [("loss", 0.5), ("acc", acc)]).unwrap();
        trial
    };
    assert!(!ask(0.75).should_prune().unwrap());
    let bad = ask(0.25);
    let Decision::Prune { reason } = bad.decide().unwrap() else { panic!("it goes on") };
    assert!(reason.starts_with("median pruner on acc: 0.25, the best value up to step 1, is worse than 0.5"));
    let told = study.tell_pruned(&bad).unwrap();
    // Only plain reports say what a pruned trial is worth.
    assert_eq!((told.state, told.values.len()), (TrialState::Pruned, 0));
    // The study's pruner is in the log, and whoever loads the study has it.
    let other = trialog::open(&path).unwrap().study("s").load().unwrap();
    assert_eq!(other.explain(bad.number()).unwrap().pruned.unwrap(), reason);
    assert!(other.rederive().unwrap().differences.is_empty());
}

/// Two objectives forbid plain reports, and not a metric whose direction is known.
#[test]
fn several_objectives_are_pruned_by_a_metric() {
    let storage = trialog::open("memory:").unwrap();
    let directions = [Direction::Minimize, Direction::Maximize];
    let make = |name: &str, pruner| {
        storage.study(name).directions(directions).metric_names(["loss", "acc"]).pruner(pruner).create().unwrap()
    };
    // The second objective's name brings its direction.
    let study = make("s", Median::new().n_startup_trials(1).metric("acc"));
    assert!(study.can_prune().unwrap());
    study
        .optimize(12, |trial| {
            let acc = if trial.number().0 < 2 { 0.5 } else { 0.25 };
            trial.report_metrics(0, [("loss", 1.0), ("acc", acc)])?;
            if trial.should_prune()? { Err(Pruned.into()) } else { Ok((1.0, acc)) }
        })
        .unwrap();
    let view = study.view().unwrap();
    assert_eq!((view.count(TrialState::Complete), view.count(TrialState::Pruned)), (2, 10));

    let unknown = make("t", Median::new().metric("f1"));
    let trial = unknown.ask().unwrap();
    assert!(!unknown.can_prune().unwrap() && trial.should_prune().unwrap_err().is_invalid());
}

/// The objective's own name means its own value.
#[test]
fn the_objectives_name_reports_its_value() {
    let storage = trialog::open("memory:").unwrap();
    let study = storage.study("s").metric_names(["loss"]).pruner(Threshold::upper(1.0)).create().unwrap();
    let mut trial = study.ask().unwrap();
    trial.report_metrics(1, [("loss", 2.0), ("acc", 0.5)]).unwrap();
    trial.report_metrics(1, [("loss", 0.0)]).unwrap();
    assert!(trial.should_prune().unwrap());
    let told = study.tell_pruned(&trial).unwrap();
    assert_eq!((told.values, told.intermediate_values), (vec![2.0], vec![(1, 2.0)]));
    assert_eq!(told.metrics.into_keys().collect::<Vec<_>>(), ["acc"]);
}

#[test]
fn metrics_go_wherever_a_study_goes() {
    let (folder, path) = place();
    let storage = trialog::open(&path).unwrap();
    let study = study(&storage, by_accuracy());
    let x = Distribution::float(0.0, 1.0).unwrap();
    let whole = NewTrial::complete(1.0).param("x", x, 0.5).unwrap();
    let whole = whole.report_metrics(0, [("acc", 0.5), ("f1", 0.25)]).report_metrics(2, [("acc", 0.75)]);
    study.add_trial(whole.clone()).unwrap();
    assert!(study.add_trial(whole.report_metrics(3, [("", 0.5)])).unwrap_err().is_invalid());
    let metrics =
        |study: &Study| study.trials().unwrap().into_iter().map(|trial| trial.metrics).collect::<Vec<_>>();
    let all = metrics(&study);
    assert_eq!(all[1]["acc"], [(0, 0.5), (2, 0.75)]);
    // Another trial like one that is there.
    study.add_trial(NewTrial::from(&study.trial(TrialNumber(1)).unwrap())).unwrap();
    let all = [all.clone(), vec![all[1].clone()]].concat();
    assert_eq!(metrics(&study), all);

    let digest = study.view().unwrap().digest();
    storage.compact().unwrap();
    let again = trialog::open(&path).unwrap().study("s").load().unwrap();
    assert_eq!((metrics(&again), again.view().unwrap().digest()), (all.clone(), digest));

    for target in ["memory:".to_owned(), format!("optuna:{}", folder.path().join("journal.log").display())] {
        let other = trialog::open(&target).unwrap();
        storage.copy_study("s", &other, "s").unwrap_or_else(|error| panic!("{target}: {error}"));
        assert_eq!(metrics(&other.study("s").load().unwrap()), all, "{target}");
    }
}

/// Optuna's reports have no names, so its workers see attributes, and ours see what they are.
#[test]
fn in_optunas_journal_metrics_are_attributes() {
    let (_folder, path) = place();
    let url = format!("optuna:{path}");
    let study = study(&trialog::open(&url).unwrap(), by_accuracy());
    let mut trial = study.ask().unwrap();
    trial.report_metrics(1, [("loss", 0.5), ("a:b", f64::NAN), ("acc", 0.25)]).unwrap();
    let lines = std::fs::read_to_string(&path).unwrap();
    let last = lines.lines().last().unwrap();
    let attrs =
        r#""system_attr":{"trialog:metric:1:loss":0.5,"trialog:metric:1:a:b":NaN,"trialog:metric:1:acc":0.25}"#;
    assert!(last.replace(' ', "").contains(attrs), "{last}");
    let other = trialog::open(&url).unwrap().study("s").load().unwrap();
    let seen = other.trial(trial.number()).unwrap();
    assert_eq!((&seen.metrics["loss"], &seen.metrics["acc"]), (&vec![(1, 0.5)], &vec![(1, 0.25)]));
    assert!(seen.metrics["a:b"][0].1.is_nan() && seen.system_attrs.is_empty());
    assert!(other.resume(trial.number()).unwrap().should_prune().unwrap());
    // What no metric is called stays what it is.
    trial.set_system_attr("trialog:metric:01:loss", 1.0).unwrap();
    assert_eq!(other.trial(trial.number()).unwrap().system_attrs.len(), 1);
}

#[test]
fn canary_plain_reports_decide_otherwise() {
    let study = study(&trialog::open("memory:").unwrap(), Median::new().n_startup_trials(1));
    let mut trial = study.ask().unwrap();
    trial.report_metrics(1, [("loss", 0.5), ("acc", 0.25)]).unwrap();
    assert!(!trial.should_prune().unwrap());
}
