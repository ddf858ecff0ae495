//! Many real processes on one file that are killed, stopped, continued and forked at random: every `tell` that returned
//! is there, once.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use trialog::{Study, TrialState};

use crate::processes::{LOG, ROLE, check_told, say, take_in};
use crate::support::{Random, parabola, place};

/// How many run at a time, without those that they fork.
const WORKERS: usize = 9;

/// How many trials a worker runs between two forks, and a forked one in all.
const TRIALS_BETWEEN_FORKS: u32 = 10;
const TRIALS_OF_A_FORK: u32 = 4;

/// What a child process does in the role of this file. False if the role is another.
pub(crate) fn play(role: &str, path: &str) -> bool {
    if role != "restless" {
        return false;
    }
    let study = trialog::open(path).unwrap().study("shared").load().unwrap();
    loop {
        work(&study, TRIALS_BETWEEN_FORKS);
        // In the midst of a trial, which remains the parent's.
        let trial = study.ask().unwrap();
        match fork::fork().unwrap() {
            fork::Fork::Child => {
                say("forked");
                work(&study, TRIALS_OF_A_FORK);
                // The threads of the test harness are not here to end it.
                std::process::exit(0);
            }
            fork::Fork::Parent(child) => {
                let told = study.tell(&trial, 1.0).unwrap();
                say(&format!("told {} {}", told.number, 1.0_f64.to_bits()));
                work(&study, TRIALS_OF_A_FORK);
                assert_eq!(fork::waitpid(child).unwrap(), 0, "a forked worker failed");
            }
        }
    }
}

fn work(study: &Study, trials: u32) {
    for _ in 0..trials {
        let mut trial = study.ask().unwrap();
        let value = parabola(&mut trial).unwrap();
        study.tell(&trial, value).unwrap();
        say(&format!("told {} {}", trial.number(), value.to_bits()));
    }
}

/// A worker and the file that it says its words into, which its forks share.
struct Restless {
    child: Child,
    stopped: bool,
}

impl Restless {
    fn start(path: &str, diary: &Path) -> Restless {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "processes::child", "--nocapture"])
            .env(ROLE, "restless")
            .env(LOG, path)
            .stdin(Stdio::null())
            .stdout(File::options().create(true).append(true).open(diary).unwrap())
            .spawn()
            .unwrap();
        Restless { child, stopped: false }
    }

    fn kill(&mut self) {
        assert!(self.child.try_wait().unwrap().is_none(), "a worker ended by itself");
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn stop_or_go_on(&mut self) {
        let signal = if self.stopped { "-CONT" } else { "-STOP" };
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
        self.stopped = !self.stopped;
    }
}

impl Drop for Restless {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn killed_stopped_and_forked_workers_lose_nothing_that_was_told() {
    let (folder, path) = place();
    let survivor = trialog::open(&path).unwrap().study("shared").create().unwrap();
    let diary = |number: usize| folder.path().join(format!("diary-{number}"));
    let mut started = WORKERS;
    let mut workers: Vec<Restless> = (0..WORKERS).map(|number| Restless::start(&path, &diary(number))).collect();
    let mut random = Random(6);
    let seconds = std::env::var("TRIALOG_KILL_SECONDS").map_or(4, |seconds| seconds.parse().unwrap());
    let start = Instant::now();
    let (mut kills, mut stops) = (0, 0);
    loop {
        std::thread::sleep(Duration::from_millis(random.below(60)));
        let at = random.below(WORKERS as u64) as usize;
        if random.below(3) == 0 {
            workers[at].kill();
            workers[at] = Restless::start(&path, &diary(started));
            started += 1;
            kills += 1;
        } else {
            workers[at].stop_or_go_on();
            stops += 1;
        }
        // Whoever holds the lock may be the one that was stopped.
        if workers.iter().all(|worker| worker.stopped) {
            workers.iter_mut().for_each(Restless::stop_or_go_on);
        }
        // A busy machine gets more time to prove something.
        let enough = || kills > 10 && stops > 20 && count(started, "forked", &diary) > 3;
        let elapsed = start.elapsed();
        if elapsed > Duration::from_secs(seconds + 60) || elapsed > Duration::from_secs(seconds) && enough() {
            break;
        }
    }
    for mut worker in workers {
        worker.kill();
    }

    // What was forked ends by itself, and is the last that says anything.
    let end = Instant::now();
    while survivor.storage().digest().unwrap() != {
        std::thread::sleep(Duration::from_millis(300));
        survivor.storage().digest().unwrap()
    } {
        assert!(end.elapsed() < Duration::from_secs(60), "somebody goes on for ever");
    }
    let mut told: BTreeMap<u32, u64> = BTreeMap::new();
    for line in (0..started).flat_map(|number| lines(&diary(number))) {
        if line.starts_with("told ") {
            take_in(&line, &mut told);
        }
        assert!(!line.contains("panicked"), "{line}");
    }
    let forks = count(started, "forked", &diary);
    assert!(told.len() > 100 && forks > 3 && kills > 10, "{} told, {forks} forks, {kills} kills", told.len());
    let trials = survivor.trials().unwrap();
    check_told(&told, &trials);
    // Whoever was killed was in at most one trial, told at most one that it could not say so of, and so was its fork.
    let complete = trials.iter().filter(|trial| trial.state == TrialState::Complete).count();
    assert!(complete - told.len() <= kills + forks + WORKERS, "{complete} complete, {} told", told.len());
    assert_eq!(survivor.storage().digest().unwrap(), trialog::open(&path).unwrap().digest().unwrap());
    println!("{} told by {started} workers and {forks} forks; {kills} kills, {stops} stops", told.len());
}

/// The whole lines that a worker and its forks have said: the last may have been cut with the process.
fn lines(diary: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(diary).unwrap_or_default();
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    whole.lines().map(str::to_owned).collect()
}

fn count(started: usize, word: &str, diary: &dyn Fn(usize) -> std::path::PathBuf) -> usize {
    (0..started).flat_map(|number| lines(&diary(number))).filter(|line| line == word).count()
}
