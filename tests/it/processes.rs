//! Real processes on one file. A child is this test program again, told by the environment to run [`child`] in a
//! role.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::ops::ControlFlow;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use trialog::pruners::Hyperband;
use trialog::samplers::{Tpe, TpeOptions};
use trialog::{FrozenTrial, OpenOptions, Study, TrialNumber, TrialState};
use trialog_journal_file::RealOs;
use trialog_journal_file::os::{Access, Os as _};

use crate::laws::irregular_work;
use crate::scenarios::train;
use crate::support::{assert_dense, parabola, place, refused};

pub(crate) const ROLE: &str = "TRIALOG_TEST_ROLE";
pub(crate) const LOG: &str = "TRIALOG_TEST_LOG";

/// No test: what a child process does.
#[test]
fn child() {
    let (Ok(role), Ok(path)) = (std::env::var(ROLE), std::env::var(LOG)) else {
        return;
    };
    let (role, argument) = role.split_once(' ').unwrap_or((&role, ""));
    if role == "hold" {
        let file = RealOs::default().open(path.as_ref(), Access::Write).unwrap();
        assert!(file.try_lock().unwrap());
        say("held");
        wait_for_parent();
        return;
    }
    if crate::leases::play(role, argument, &path)
        || crate::optuna::play(role, argument, &path)
        || crate::transfer::play(role, argument, &path)
        || crate::rederive::play(role, argument, &path)
    {
        return;
    }
    #[cfg(unix)]
    if crate::chaos::play(role, &path) {
        return;
    }
    let storage = trialog::open(&path).unwrap();
    let study = storage.study("shared").load_or_create().unwrap();
    match role {
        // As in the tutorials: a sampler that heeds what others are trying, and a pruner for the long ones.
        "train" => {
            let sampler = Tpe::new(TpeOptions { constant_liar: true, ..TpeOptions::default() });
            let builder = storage.study("shared").sampler(sampler).pruner(Hyperband::new().max_resource(9));
            builder.load_or_create().unwrap().optimize(argument.parse().unwrap(), train).unwrap();
        }
        "compact" => loop {
            if storage.compact().unwrap() {
                say("compacted");
            }
        },
        "optimize" => study.optimize(argument.parse().unwrap(), parabola).unwrap(),
        "forever" => study
            .optimizer()
            .callback(|_, trial| {
                say(&format!("told {} {:?}", trial.number, trial.value().unwrap().to_bits()));
                ControlFlow::Continue(())
            })
            .run(parabola)
            .unwrap(),
        "claim" => study
            .optimize(argument.parse().unwrap(), |trial| {
                // The parameter has a single value unless it was enqueued with another.
                let ticket = trial.suggest_int("ticket", -1..=-1)?;
                say(&format!("ticket {ticket}"));
                Ok(0.0)
            })
            .unwrap(),
        "irregular" => irregular_work(&study, argument.parse().unwrap(), 60),
        "bar" => study.optimizer().n_trials(20).progress_bar(true).run(parabola).unwrap(),
        other => panic!("no such role: {other:?}"),
    }
    say("done");
    wait_for_parent();
    say(&format!("digest {} {}", storage.digest().unwrap(), study.digest().unwrap()));
}

pub(crate) fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    // The harness leaves its own line unfinished.
    writeln!(out, "\n{line}").unwrap();
    out.flush().unwrap();
}

pub(crate) fn wait_for_parent() {
    let _ = std::io::stdin().read(&mut [0]);
}

/// A child process; its lines without those of the test harness.
pub(crate) struct Worker {
    pub(crate) child: Child,
    pub(crate) out: BufReader<ChildStdout>,
}

impl Worker {
    pub(crate) fn start(role: &str, path: &str) -> Worker {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "processes::child", "--nocapture"])
            .env(ROLE, role)
            .env(LOG, path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(if role == "bar" { Stdio::piped() } else { Stdio::inherit() })
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        Worker { child, out }
    }

    /// The lines up to one that begins so, which is the last of them.
    pub(crate) fn read_until(&mut self, start: &str) -> Vec<String> {
        let mut lines = Vec::new();
        for line in self.out.by_ref().lines() {
            let line = line.unwrap();
            let is_last = line.starts_with(start);
            lines.push(line);
            if is_last {
                return lines;
            }
        }
        panic!("the child ended before it said {start:?}: {lines:?}");
    }

    /// Lets a child that is done say what it sees, and end.
    fn digest(mut self) -> String {
        drop(self.child.stdin.take());
        let line = self.read_until("digest ").pop().unwrap();
        assert!(self.child.wait().unwrap().success());
        line
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn digest_line(path: &str) -> String {
    let storage = trialog::open(path).unwrap();
    let study = storage.study("shared").load().unwrap();
    format!("digest {} {}", storage.digest().unwrap(), study.digest().unwrap())
}

/// Starts them all at once, waits until all are done, and checks that they all see the same then.
fn run_together(roles: &[String], path: &str) -> Vec<Vec<String>> {
    let mut workers: Vec<Worker> = roles.iter().map(|role| Worker::start(role, path)).collect();
    let said = workers.iter_mut().map(|worker| worker.read_until("done")).collect();
    let ours = digest_line(path);
    for worker in workers {
        assert_eq!(worker.digest(), ours, "two processes see different studies");
    }
    said
}

pub(crate) fn shared(path: &str) -> Study {
    trialog::open(path).unwrap().study("shared").load().unwrap()
}

#[test]
fn four_processes_run_a_hundred_trials() {
    let (_folder, path) = place();
    run_together(&vec!["optimize 25".to_owned(); 4], &path);
    let trials = shared(&path).trials().unwrap();
    assert_eq!(trials.len(), 100);
    assert_dense(&trials);
    assert!(trials.iter().all(|trial| trial.state == TrialState::Complete && trial.params.get("x").is_some()));
}

#[test]
fn four_processes_train_with_tpe_and_hyperband() {
    let (_folder, path) = place();
    trialog::open(&path).unwrap().study("shared").maximize().seed(1).create().unwrap();
    run_together(&vec!["train 25".to_owned(); 4], &path);
    let study = shared(&path);
    let trials = study.trials().unwrap();
    assert_eq!(trials.len(), 100);
    assert_dense(&trials);
    let ended = |state| trials.iter().filter(|trial| trial.state == state).count();
    assert_eq!(ended(TrialState::Complete) + ended(TrialState::Pruned), 100);
    assert!(ended(TrialState::Pruned) > 0 && ended(TrialState::Complete) > 0, "{}", ended(TrialState::Pruned));
    let view = study.view().unwrap();
    let config = view.config().unwrap();
    assert_eq!((config.sampler.name.as_str(), config.pruner.name.as_str(), config.seed), ("tpe", "hyperband", 1));
    assert!(study.best_value().unwrap() > 0.8);
}

#[test]
fn each_enqueued_trial_is_run_by_one_process() {
    let (_folder, path) = place();
    let study = trialog::open(&path).unwrap().study("shared").create().unwrap();
    for ticket in 0..60_i64 {
        study.enqueue([("ticket", ticket)]).unwrap();
    }
    let said = run_together(&vec!["claim 25".to_owned(); 3], &path);
    let mut tickets: Vec<i64> = said
        .iter()
        .flatten()
        .filter_map(|line| line.strip_prefix("ticket ")?.parse().ok())
        .filter(|&ticket| ticket >= 0)
        .collect();
    tickets.sort_unstable();
    assert_eq!(tickets, (0..60).collect::<Vec<i64>>());
    assert_eq!(study.trials().unwrap().len(), 75);
}

#[test]
fn irregular_work_of_processes_ends_in_one_state() {
    let (_folder, path) = place();
    let roles: Vec<String> = (0..3).map(|seed| format!("irregular {seed}")).collect();
    run_together(&roles, &path);
    assert_dense(&shared(&path).trials().unwrap());
}

#[test]
fn killed_processes_lose_nothing_that_was_told() {
    let (_folder, path) = place();
    let mut told: BTreeMap<u32, u64> = BTreeMap::new();
    let survivor = trialog::open(&path).unwrap().study("shared").create().unwrap();
    for _ in 0..3 {
        let mut workers: Vec<Worker> = (0..3).map(|_| Worker::start("forever", &path)).collect();
        for (i, worker) in workers.iter_mut().enumerate() {
            for _ in 0..=4 * i {
                take_in(worker.read_until("told ").last().unwrap(), &mut told);
            }
            worker.child.kill().unwrap();
            worker.child.wait().unwrap();
            // Others go on at once, without a lock to be broken.
            let start = Instant::now();
            survivor.optimize(3, parabola).unwrap();
            assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
        }
        for mut worker in workers {
            let mut rest = String::new();
            worker.out.read_to_string(&mut rest).unwrap();
            // The last line may have been cut with the process.
            let whole = rest.rsplit_once('\n').map_or("", |(whole, _)| whole);
            whole.lines().filter(|line| line.starts_with("told ")).for_each(|line| take_in(line, &mut told));
        }
    }

    let trials = survivor.trials().unwrap();
    check_told(&told, &trials);
    let dead: Vec<TrialNumber> =
        trials.iter().filter(|trial| trial.state == TrialState::Running).map(|trial| trial.number).collect();
    assert!(dead.len() <= 9, "each killed process leaves at most one trial: {dead:?}");
    for number in dead {
        assert_eq!(survivor.tell_number_failed(number).unwrap().state, TrialState::Fail);
    }
    assert_eq!(survivor.digest().unwrap(), shared(&path).digest().unwrap());
}

pub(crate) fn take_in(line: &str, told: &mut BTreeMap<u32, u64>) {
    let mut words = line.split(' ').skip(1).map(|word| word.parse::<u64>().unwrap());
    let (number, bits) = (words.next().unwrap(), words.next().unwrap());
    assert_eq!(told.insert(number as u32, bits), None, "trial {number} was told twice");
}

/// Everything told is there exactly once, as it was told.
pub(crate) fn check_told(told: &BTreeMap<u32, u64>, trials: &[FrozenTrial]) {
    assert_dense(trials);
    for (number, bits) in told {
        let trial = trials.get(*number as usize).unwrap_or_else(|| panic!("trial {number} was told and is lost"));
        assert_eq!(trial.state, TrialState::Complete, "trial {number} was told and is {}", trial.state);
        assert_eq!(trial.value().map(f64::to_bits), Some(*bits), "trial {number} was told as something else");
    }
}

#[test]
fn the_holder_of_the_lock_is_named_and_readers_do_not_wait() {
    let (_folder, path) = place();
    let options = OpenOptions::new().lock_wait_max(Duration::from_millis(200));
    let study = options.open(&path).unwrap().study("shared").create().unwrap();
    study.optimize(2, parabola).unwrap();
    let mut running = study.ask().unwrap();
    let mut holder = Worker::start("hold", &path);
    holder.read_until("held");

    let start = Instant::now();
    let locked = refused(study.ask(), trialog::Error::is_locked);
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    assert!(locked.contains(&path), "{locked}");
    if cfg!(target_os = "linux") {
        assert!(locked.contains(&holder.child.id().to_string()), "the holder is not named: {locked}");
    }
    // An objective that is struck by it passes it on.
    refused(running.suggest_float("x", 0.0..=1.0).map(drop), trialog::Error::is_locked);
    refused(study.tell(&running, 1.0), trialog::Error::is_locked);
    refused(study.optimize(1, parabola), trialog::Error::is_locked);
    let reader = OpenOptions::new().read_only(true).open(&path).unwrap();
    assert_eq!(reader.study("shared").load().unwrap().trials().unwrap().len(), 3);
    assert_eq!(study.trials().unwrap().len(), 3);

    holder.child.kill().unwrap();
    holder.child.wait().unwrap();
    assert_eq!(study.tell(&running, 1.0).unwrap().value(), Some(1.0));
    study.optimize(2, parabola).unwrap();
    assert_dense(&study.trials().unwrap());
}

#[test]
fn a_progress_bar_leaves_a_file_of_errors_clean() {
    let (_folder, path) = place();
    let mut worker = Worker::start("bar", &path);
    worker.read_until("done");
    let mut errors = worker.child.stderr.take().unwrap();
    worker.digest();
    let mut text = String::new();
    errors.read_to_string(&mut text).unwrap();
    assert_eq!(text, "", "nothing is drawn where nobody looks");
    assert_eq!(shared(&path).trials().unwrap().len(), 20);
}

#[test]
#[should_panic(expected = "told and is lost")]
fn canary_a_lost_trial_is_noticed() {
    let study = Study::in_memory().unwrap();
    study.optimize(3, parabola).unwrap();
    let trials = study.trials().unwrap();
    let told = trials.iter().map(|trial| (trial.number.0, trial.value().unwrap().to_bits())).collect();
    check_told(&told, &trials);
    check_told(&told, &trials[..2]);
}
