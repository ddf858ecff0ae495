//! Copies, branches, merges and imports, as people use them; a copy whose process is killed is gone on with.

use std::time::Duration;

use trialog::transfers::{Collision, Options, Progress, RowsOptions};
use trialog::{Amend, At, NewTrial, Storage, Study, Timestamp, TrialNumber, TrialState};

use crate::processes::{Worker, say};
use crate::support::{parabola, place, refused};

fn resume() -> Options<'static> {
    Options { collision: Collision::Resume, ..Options::default() }
}

/// What a child process does in the role of this file. False if the role is another one.
pub(crate) fn play(role: &str, argument: &str, path: &str) -> bool {
    if role != "copy" {
        return false;
    }
    let (source, target) = (trialog::open(argument).unwrap(), trialog::open(path).unwrap());
    let mut progress = |progress: Progress| {
        say(&format!("copied {}", progress.done));
        std::thread::sleep(Duration::from_millis(20));
    };
    let options = Options { progress: Some(&mut progress), ..resume() };
    source.copy_study_with("long", &target, "long", options).unwrap();
    say("whole");
    true
}

fn long(storage: &Storage, trials: usize) -> Study {
    let study = storage.study("long").create().unwrap();
    study.add_trials((0..trials).map(|at| NewTrial::complete(at as f64).report(1, at as f64))).unwrap();
    study
}

#[test]
fn a_copy_is_killed_again_and_again() {
    let (_folder, from) = place();
    let (_other, to) = place();
    let source = trialog::open(&from).unwrap();
    let study = long(&source, 20_000);
    study.void(TrialNumber(7), "bug").unwrap();
    for round in 1..4 {
        let mut worker = Worker::start(&format!("copy {from}"), &to);
        for _ in 0..2 * round {
            worker.read_until("copied");
        }
        worker.child.kill().unwrap();
        worker.child.wait().unwrap();
    }
    let target = trialog::open(&to).unwrap();
    let before = target.studies().unwrap()[0].n_trials;
    assert!(before > 0 && before < 20_000, "{before} trials were copied by the killed ones");
    // The source goes on meanwhile.
    study.add_trial(NewTrial::complete(-1.0)).unwrap();
    let report = source.copy_study_with("long", &target, "long", resume()).unwrap();
    assert_eq!(report.added + report.kept + report.updated, 20_001);
    assert!(report.kept as usize >= before - 512);
    let copy = target.study("long").load().unwrap();
    assert_eq!((copy.trials().unwrap().len(), copy.best_value().unwrap()), (20_001, -1.0));
    assert_eq!(copy.content_digest().unwrap(), study.content_digest().unwrap());
    assert!(copy.trial(TrialNumber(7)).unwrap().voided);
}

#[test]
fn whole_logs_go_from_any_medium_to_any_other() {
    let (folder, path) = place();
    let source = trialog::open(&path).unwrap();
    for name in ["a", "b"] {
        source.study(name).create().unwrap().optimize(5, parabola).unwrap();
    }
    let optuna = folder.path().join("journal.log");
    std::fs::write(&optuna, "").unwrap();
    let optuna = format!("optuna:{}", optuna.display());
    let (memory, lines) = (Storage::in_memory().unwrap(), trialog::open(&optuna).unwrap());
    let digests = |storage: &Storage| {
        let digest = |name: &str| storage.study(name).load().unwrap().content_digest().unwrap();
        ["a", "b"].map(digest)
    };
    assert_eq!(source.copy_all(&memory, resume()).unwrap().len(), 2);
    memory.copy_all(&lines, resume()).unwrap();
    let (_other, back) = place();
    let back = trialog::open(&back).unwrap();
    lines.copy_all(&back, resume()).unwrap();
    assert_eq!(digests(&source), digests(&memory));
    assert_eq!(digests(&memory), digests(&back));
    refused(source.copy_all(&memory, Options::default()), trialog::Error::is_duplicate);
    let renamed = Options { collision: Collision::Rename, ..Options::default() };
    assert_eq!(source.copy_study_with("a", &memory, "a", renamed).unwrap().name, "a-2");
    memory.study("a").load().unwrap().optimize(1, parabola).unwrap();
    refused(source.copy_study_with("a", &memory, "a", resume()), trialog::Error::is_other_study);
}

#[test]
fn branches_start_from_another_studys_past() {
    let (_folder, path) = place();
    let storage = trialog::open(&path).unwrap();
    let study = storage.study("s").seed(5).create().unwrap();
    study.optimize(10, parabola).unwrap();
    let then = study.view().unwrap();
    let at_ten = then.trials().next_back().unwrap().end().unwrap();
    study.optimize(5, parabola).unwrap();
    study.amend(TrialNumber(0), Amend::new().value(-9.0), "unit").unwrap();
    let count = |study: &Study| study.trials().unwrap().len();
    let from = study.branch("position", At::Position(then.position())).unwrap();
    assert_eq!((count(&from), from.seed()), (10, 5));
    assert!(from.best_value().unwrap() > -9.0, "that was said later");
    assert_eq!(count(&study.branch("time", At::Time(at_ten)).unwrap()), 10);
    assert_eq!(count(&study.branch("trial", At::Trial(TrialNumber(3))).unwrap()), 4);
    let now = study.branch("now", At::Now).unwrap();
    assert_eq!((count(&now), now.best_value().unwrap()), (15, -9.0));
    assert_eq!(now.trial(TrialNumber(0)).unwrap().changes.len(), 1);
    let view = from.view().unwrap();
    let (_, lineage) = view.system_attrs().find(|(key, _)| *key == "trialog:branched_from").unwrap();
    assert_eq!(lineage.as_str(), format!("{{\"study\":\"s\",\"position\":{}}}", then.position()));
    // The same numbers, the same seed and the same past: the same next suggestion.
    let next = |study: &Study| study.ask().unwrap().suggest_float("x", -100.0..=100.0).unwrap().to_bits();
    let one = study.branch("one", At::Position(then.position())).unwrap();
    assert_eq!(next(&from), next(&one));

    refused(study.branch("now", At::Now), trialog::Error::is_duplicate);
    refused(study.branch("x", At::Position(1 << 40)), trialog::Error::is_invalid);
    refused(study.branch("x", At::Position(0)), trialog::Error::is_invalid);
    refused(study.branch("x", At::Trial(TrialNumber(99))), trialog::Error::is_invalid);
}

#[test]
fn what_was_folded_is_no_longer_there_to_branch_from() {
    let (_folder, path) = place();
    let storage = trialog::open(&path).unwrap();
    // More than a few blocks of the disk.
    let study = long(&storage, 2000);
    assert!(storage.compact().unwrap());
    study.add_trial(NewTrial::failed()).unwrap();
    let folded = study.view().unwrap().position();
    study.add_trial(NewTrial::failed()).unwrap();
    let fresh = trialog::open(&path).unwrap().study("long").load().unwrap();
    for at in [At::Position(3), At::Trial(TrialNumber(3)), At::Time(Timestamp(0))] {
        refused(fresh.branch("x", at), trialog::Error::is_folded);
    }
    // What came since is there.
    assert_eq!(fresh.branch("since", At::Position(folded)).unwrap().trials().unwrap().len(), 2001);
    assert_eq!(fresh.branch("last", At::Trial(TrialNumber(2001))).unwrap().trials().unwrap().len(), 2002);
}

#[test]
fn what_ran_when_a_branch_began_has_failed_there() {
    let study = Study::in_memory().unwrap();
    study.optimize(2, parabola).unwrap();
    let _running = study.ask().unwrap();
    study.enqueue([("x", 1.0)]).unwrap();
    let branch = study.branch("b", At::Now).unwrap();
    let states: Vec<TrialState> = branch.trials().unwrap().iter().map(|trial| trial.state).collect();
    use TrialState::{Complete, Fail, Waiting};
    assert_eq!(states, [Complete, Complete, Fail, Waiting]);
}

#[test]
fn machines_without_a_connection() {
    let (_folder, path) = place();
    let storage = trialog::open(&path).unwrap();
    let ours = storage.study("s").create().unwrap();
    ours.optimize(10, parabola).unwrap();
    // A copy of the file goes with somebody.
    let (_away, elsewhere) = place();
    std::fs::copy(&path, &elsewhere).unwrap();
    let there = trialog::open(&elsewhere).unwrap();
    let theirs = there.study("s").load().unwrap();
    ours.optimize(5, parabola).unwrap();
    theirs.optimize(7, parabola).unwrap();
    theirs.void(TrialNumber(2), "bug").unwrap();

    let merge = |studies: &[&Study]| {
        let target = Storage::in_memory().unwrap();
        target.merge_studies(studies, "m", Options::default()).unwrap();
        target.study("m").load().unwrap()
    };
    let both = merge(&[&ours, &theirs]);
    assert_eq!(both.trials().unwrap().len(), 10 + 5 + 7);
    assert_eq!(both.view().unwrap().voided().count(), 1);
    let digest = |study: &Study| study.content_digest().unwrap();
    assert_eq!(digest(&both), digest(&merge(&[&theirs, &ours])));
    assert_eq!(digest(&both), digest(&merge(&[&both, &theirs])));
    assert_eq!(digest(&both), digest(&merge(&[&both, &ours, &both])));
    theirs.optimize(1, parabola).unwrap();
    assert_eq!(merge(&[&both, &theirs]).trials().unwrap().len(), 23);
    let other = Storage::in_memory().unwrap().study("max").maximize().create().unwrap();
    let target = Storage::in_memory().unwrap();
    refused(target.merge_studies(&[&ours, &other], "m", Options::default()), trialog::Error::is_invalid);
}

#[test]
fn files_of_trials() {
    let storage = Storage::in_memory().unwrap();
    let study = storage.study("s").create().unwrap();
    study.optimize(20, parabola).unwrap();
    study.void(TrialNumber(3), "bug").unwrap();
    let mut lines = Vec::new();
    study.export_records(&mut lines).unwrap();
    storage.import_records(lines.as_slice(), "again", Options::default()).unwrap();
    let again = storage.study("again").load().unwrap();
    assert_eq!(again.content_digest().unwrap(), study.content_digest().unwrap());

    let mut csv = Vec::new();
    study.table().unwrap().write_csv(&mut csv).unwrap();
    storage.import_rows(csv.as_slice(), &RowsOptions::default(), "rows", Options::default()).unwrap();
    let rows = storage.study("rows").load().unwrap();
    assert_eq!(rows.best_value().unwrap(), study.best_value().unwrap());
    assert_eq!(rows.best_params().unwrap().to_string(), study.best_params().unwrap().to_string());
    let error = storage.import_rows(&b"value\nx\n"[..], &RowsOptions::default(), "bad", Options::default());
    assert_eq!(
        error.as_ref().err().map(ToString::to_string).as_deref(),
        Some("line 2, column value: \"x\" is no number")
    );
    refused(error, trialog::Error::is_invalid);
    refused(storage.import_records(&b"{"[..], "bad", Options::default()), trialog::Error::is_invalid);
}

#[cfg(feature = "sqlite")]
#[test]
fn a_database_of_optunas() {
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/transfer/tests/golden/optuna-5.0.0.db");
    let storage = Storage::in_memory().unwrap();
    let report = storage.import_optuna_db(golden, "one", "one", Options::default()).unwrap();
    assert_eq!((report.added, report.name.as_str()), (12, "one"));
    let study = storage.study("one").load().unwrap();
    assert_eq!(study.best_value().unwrap(), f64::NEG_INFINITY);
    let absent = storage.import_optuna_db(golden, "none", "none", Options::default());
    refused(absent, trialog::Error::is_not_found);
    let text = concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml");
    refused(storage.import_optuna_db(text, "one", "x", Options::default()), trialog::Error::is_invalid);
}

/// The digests that these tests compare are not blind.
#[test]
fn canary_one_trial_more_shows() {
    let storage = Storage::in_memory().unwrap();
    let study = long(&storage, 3);
    let before = study.content_digest().unwrap();
    study.add_trial(NewTrial::failed()).unwrap();
    assert_ne!(before, study.content_digest().unwrap());
}
