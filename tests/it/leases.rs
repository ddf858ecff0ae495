//! Leases and budgets with real processes: who dies is declared lost and its trial is tried again, who only slept is
//! heard, and a budget is met exactly whoever is killed.

use std::io::Write as _;
use std::process::Command;
use std::time::{Duration, Instant};

use trialog::{Budget, FrozenTrial, OpenOptions, RetryPolicy, Storage, Study, Trial, TrialNumber, TrialState};

use crate::processes::{Worker, digest_line, say, shared, wait_for_parent};
use crate::support::{assert_dense, count, logged, parabola, place, says};

const LEASE: Duration = Duration::from_millis(300);

/// Far more than a few leases.
const SOON: Duration = Duration::from_secs(30);

fn open(path: &str) -> Storage {
    OpenOptions::new().lease(Some(LEASE)).open(path).unwrap()
}

/// What a child process does in the roles of this file. False if the role is not one of them.
pub(crate) fn play(role: &str, argument: &str, path: &str) -> bool {
    let leased = |path| open(path).study("shared").load_or_create().unwrap();
    match role {
        // Runs one trial for ever, without another word in the log.
        "hang" => {
            let study = leased(path);
            let mut trial = study.ask().unwrap();
            let x = trial.suggest_float("x", 0.0..=1.0).unwrap();
            trial.report(1, 0.25).unwrap();
            trial.set_user_attr("checkpoint", "a.pt").unwrap();
            say(&format!("hangs {} {x:?}", trial.number()));
            wait_for_parent();
            // Whoever comes back late goes on as if nothing had happened.
            trial.report(2, 0.5).unwrap();
            let frozen = study.tell(&trial, x).unwrap();
            say(&format!("told {} {}", frozen.state, frozen.late.is_some()));
        }
        "budget" => {
            leased(path).optimizer().run(slow_parabola).unwrap();
            say("done");
            wait_for_parent();
        }
        "sleep" => {
            let study = leased(path);
            let trial = study.ask().unwrap();
            say("asleep");
            std::thread::sleep(Duration::from_millis(argument.parse().unwrap()));
            say(&format!("told {}", study.tell(&trial, 1.0).unwrap().state));
        }
        _ => return false,
    }
    true
}

fn slow_parabola(trial: &mut Trial) -> Result<f64, trialog::BoxError> {
    let value = parabola(trial)?;
    std::thread::sleep(Duration::from_millis(u64::from(trial.number().0 % 7)));
    say(&format!("ran {}", trial.number()));
    Ok(value)
}

fn signal(worker: &Worker, name: &str) {
    let id = worker.child.id().to_string();
    assert!(Command::new("kill").args([name, &id]).status().unwrap().success());
}

/// Asks again and again, as a worker does whose trials are short, until this is true.
fn work_until(study: &Study, what: &str, done: impl Fn(&Study) -> bool) {
    let start = Instant::now();
    while !done(study) {
        assert!(start.elapsed() < SOON, "not soon: {what}");
        study.optimizer().n_trials(1).run(parabola).unwrap();
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn first(study: &Study) -> FrozenTrial {
    study.trial(TrialNumber(0)).unwrap()
}

/// A worker whose trial hangs, and its parameter.
fn hanging(path: &str) -> (Worker, f64) {
    let mut worker = Worker::start("hang", path);
    let line = worker.read_until("hangs 0 ").pop().unwrap();
    (worker, line.rsplit(' ').next().unwrap().parse().unwrap())
}

#[test]
fn the_trial_of_a_killed_worker_is_tried_again() {
    let (_folder, path) = place();
    let policy = RetryPolicy { retries_max: 1, inherit_reports: true };
    let study = open(&path).study("shared").retry_policy(policy).create().unwrap();
    let (mut worker, x) = hanging(&path);
    worker.child.kill().unwrap();
    worker.child.wait().unwrap();

    // Nobody is lost before its lease has run out by our clock.
    study.optimize(1, parabola).unwrap();
    assert_eq!(first(&study).state, TrialState::Running);
    let (lines, ()) = logged(|| work_until(&study, "the loss", |study| first(study).lost));
    let lost = first(&study);
    assert_eq!((lost.state, lost.late.clone(), lost.last_step()), (TrialState::Fail, None, Some(1)));
    let view = study.view().unwrap();
    assert!(view.running().all(|trial| trial.number().0 != 0), "a lost trial still counts as running");
    let again = study.trials().unwrap().into_iter().find(|trial| !trial.attempts_before.is_empty());
    let mut again = again.expect("another attempt");
    assert_eq!(again.attempts_before, [TrialNumber(0)]);
    if again.state == TrialState::Waiting {
        study.optimize(1, parabola).unwrap();
        again = study.trial(again.number).unwrap();
    }
    assert_eq!(again.user_attrs["checkpoint"].as_str(), "\"a.pt\"");
    assert_eq!(again.intermediate_values, [(1, 0.25)]);
    assert_eq!((again.state, again.values.clone()), (TrialState::Complete, vec![(x - 2.0).powi(2)]));
    assert!(
        says(&lines, "no progress for longer than its lease") || again.state == TrialState::Complete,
        "{lines:?}"
    );
    let mut csv = Vec::new();
    study.table().unwrap().write_csv(&mut csv).unwrap();
    let csv = String::from_utf8(csv).unwrap();
    assert!(csv.lines().next().unwrap().ends_with(",state,lost"), "{csv}");
    assert!(csv.lines().nth(1).unwrap().ends_with(",fail,true"), "{csv}");
    assert_eq!(open(&path).digest().unwrap(), study.storage().digest().unwrap());
}

#[test]
fn a_worker_that_slept_is_heard() {
    for (retries_max, counts) in [(0, true), (1, false)] {
        let (_folder, path) = place();
        let policy = RetryPolicy { retries_max, inherit_reports: false };
        let study = open(&path).study("shared").retry_policy(policy).create().unwrap();
        let (mut worker, x) = hanging(&path);
        signal(&worker, "-STOP");
        work_until(&study, "the loss", |study| {
            first(study).lost && study.trials().unwrap().iter().all(|trial| trial.state != TrialState::Waiting)
        });
        signal(&worker, "-CONT");
        worker.child.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
        let told = worker.read_until("told ").pop().unwrap();
        worker.child.wait().unwrap();
        let trial = first(&study);
        assert_eq!(trial.intermediate_values, [(1, 0.25), (2, 0.5)], "what was reported late is kept");
        if counts {
            assert_eq!(told, "told complete false");
            assert_eq!((trial.state, trial.values, trial.lost), (TrialState::Complete, vec![x], false));
        } else {
            assert_eq!(told, "told fail true");
            let late = trial.late.unwrap();
            assert_eq!((trial.state, late.state, late.values), (TrialState::Fail, TrialState::Complete, vec![x]));
        }
        assert_eq!(open(&path).digest().unwrap(), study.storage().digest().unwrap());
    }
}

#[test]
fn a_worker_that_is_busy_for_long_is_not_lost() {
    let (_folder, path) = place();
    let study = open(&path).study("shared").create().unwrap();
    let mut worker = Worker::start("sleep 1500", &path);
    worker.read_until("asleep");
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(1300) {
        study.optimize(1, parabola).unwrap();
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(!first(&study).lost);
    assert_eq!(worker.read_until("told ").pop().unwrap(), "told complete");
}

#[test]
fn who_took_no_lease_is_never_lost() {
    let (_folder, path) = place();
    let without = OpenOptions::new().lease(None).open(&path).unwrap();
    let silent = without.study("shared").create().unwrap();
    let trial = silent.ask().unwrap();
    let study = shared_with_lease(&path);
    let start = Instant::now();
    while start.elapsed() < 4 * LEASE {
        study.optimize(1, parabola).unwrap();
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(silent.tell(&trial, 1.0).unwrap().state, TrialState::Complete);
}

fn shared_with_lease(path: &str) -> Study {
    open(path).study("shared").load().unwrap()
}

/// A view of a log with a dead worker in it changes nothing, however long it looks.
#[test]
fn readers_declare_nothing() {
    let (_folder, path) = place();
    open(&path).study("shared").create().unwrap();
    let (mut worker, _) = hanging(&path);
    worker.child.kill().unwrap();
    worker.child.wait().unwrap();
    let before = std::fs::read(&path).unwrap();
    let reader = OpenOptions::new().read_only(true).lease(Some(LEASE)).open(&path).unwrap();
    let looker = shared_with_lease(&path);
    let start = Instant::now();
    while start.elapsed() < 3 * LEASE {
        assert_eq!(count(&reader.study("shared").load().unwrap(), TrialState::Running), 1);
        assert_eq!(count(&looker, TrialState::Running), 1);
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

/// Eight workers, some of which are killed at random moments and started again.
fn run_and_kill(path: &str) {
    let mut workers: Vec<Worker> = (0..8).map(|_| Worker::start("budget", path)).collect();
    for round in 0..12 {
        let at = round * 5 % 8;
        std::thread::sleep(Duration::from_millis(5 + 11 * round as u64 % 40));
        workers[at].child.kill().unwrap();
        workers[at].child.wait().unwrap();
        workers[at] = Worker::start("budget", path);
    }
    for worker in &mut workers {
        worker.read_until("done");
    }
}

#[test]
fn a_budget_of_finished_trials_is_met_exactly() {
    let (_folder, path) = place();
    let budget = Budget { finished: Some(60), ..Budget::default() };
    let policy = RetryPolicy { retries_max: 2, inherit_reports: false };
    open(&path).study("shared").budget(budget).retry_policy(policy).create().unwrap();
    run_and_kill(&path);
    let study = shared(&path);
    let trials = study.trials().unwrap();
    assert_dense(&trials);
    assert_eq!(count(&study, TrialState::Complete), 60);
    assert_eq!(count(&study, TrialState::Running), 0, "the trials of the dead were declared lost");
    assert!(trials.iter().all(|trial| trial.state != TrialState::Fail || trial.lost), "{trials:?}");
    assert_eq!(digest_line(&path), digest_line(&path));
}

#[test]
fn a_budget_of_trials_is_met_exactly() {
    let (_folder, path) = place();
    let budget = Budget { trials: Some(60), ..Budget::default() };
    open(&path).study("shared").budget(budget).create().unwrap();
    run_and_kill(&path);
    let study = shared(&path);
    assert_eq!(study.trials().unwrap().len(), 60);
    let error = study.ask().unwrap_err();
    assert!(error.is_budget_spent(), "{error}");
    study.optimizer().run(parabola).unwrap();
    assert_eq!(study.trials().unwrap().len(), 60);
}

#[test]
fn threads_share_a_budget() {
    let study = Study::in_memory().unwrap();
    study.set_budget(Budget { finished: Some(50), ..Budget::default() }).unwrap();
    study
        .optimizer()
        .n_jobs(4)
        .run(|trial| {
            let value = parabola(trial)?;
            // A NaN fails the trial, which gives its place back.
            Ok(if trial.number().0 % 5 == 0 { f64::NAN } else { value })
        })
        .unwrap();
    assert_eq!(count(&study, TrialState::Complete), 50);
    assert!(count(&study, TrialState::Fail) >= 10);
}

#[test]
fn a_budget_of_time_ends_a_run() {
    let study = Study::in_memory().unwrap();
    let until = std::time::SystemTime::now() + Duration::from_millis(200);
    let since = until.duration_since(std::time::UNIX_EPOCH).unwrap();
    let until = trialog::Timestamp(i64::try_from(since.as_micros()).unwrap());
    study.set_budget(Budget { until: Some(until), ..Budget::default() }).unwrap();
    study.optimizer().run(parabola).unwrap();
    assert!(study.trials().unwrap().iter().all(|trial| trial.start.unwrap() < until));
    assert!(study.ask().unwrap_err().is_budget_spent());
}

#[test]
fn a_copy_has_the_budget_the_policy_and_what_was_lost() {
    let (_folder, path) = place();
    let storage = open(&path);
    let budget = Budget { trials: Some(500), ..Budget::default() };
    let policy = RetryPolicy { retries_max: 1, inherit_reports: true };
    let study = storage.study("shared").budget(budget).retry_policy(policy).create().unwrap();
    let (mut worker, _) = hanging(&path);
    worker.child.kill().unwrap();
    work_until(&study, "the loss", |study| first(study).lost);
    let target = Storage::in_memory().unwrap();
    storage.copy_study("shared", &target, "shared").unwrap();
    let copy = target.study("shared").load().unwrap();
    assert_eq!(copy.content_digest().unwrap(), study.content_digest().unwrap());
    assert!(first(&copy).lost);
}
