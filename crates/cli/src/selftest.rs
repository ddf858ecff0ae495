//! `trialog selftest`: crash and convergence at the user's own place. Many processes share a log there, are killed and stopped
//! at random, and afterwards everything that was acknowledged has to be there, once, and everybody has to see the same.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;
use trialog::TrialState;

use crate::args;
use crate::exit::{Exit, Failure, Outcome};
use crate::logs;
use crate::output::bold;

const STUDY: &str = "selftest";

pub(crate) fn main(args: &args::Selftest) -> Outcome {
    if !args.minutes.is_finite() || args.minutes <= 0.0 || args.workers == 0 {
        return Err(Failure::usage("--minutes is above 0, and --workers at least 1"));
    }
    std::fs::create_dir_all(&args.path).map_err(|error| Failure::file("make", &args.path, &error))?;
    let folder = args.path.join(format!("trialog-selftest-{}", std::process::id()));
    std::fs::create_dir(&folder).map_err(|error| Failure::file("make", &folder, &error))?;
    let result = try_out(args, &folder);
    match &result {
        // What went wrong is worth keeping.
        Ok(true) => _ = std::fs::remove_dir_all(&folder),
        _ => eprintln!("the log is kept in {}", folder.display()),
    }
    if result? { Ok(()) } else { Err(Failure::silent(Exit::Damaged)) }
}

fn try_out(args: &args::Selftest, folder: &Path) -> Outcome<bool> {
    let log = folder.join("selftest.tlog");
    let url = log.display().to_string();
    trialog::open(&url)?.study(STUDY).create()?;
    let seed = args.seed.unwrap_or_else(|| jiff::Timestamp::now().as_microsecond() as u64);
    let mut random = trialog_numerics::Stream::new(&[seed]);
    let mut uniform = move |below: usize| (random.uniform() * below as f64) as usize;
    eprintln!("{} workers for {} minutes at {}, seed {seed}", args.workers, args.minutes, args.path.display());

    let mut workers: Vec<Worker> = Vec::new();
    let (mut kills, mut stops, mut started) = (0u64, 0u64, 0usize);
    let end = Instant::now() + Duration::from_secs_f64(args.minutes * 60.0);
    while Instant::now() < end {
        while workers.len() < args.workers {
            workers.push(Worker::start(&url, folder, started)?);
            started += 1;
        }
        std::thread::sleep(Duration::from_millis(20 + uniform(300) as u64));
        let victim = uniform(workers.len());
        match uniform(3) {
            0 => {
                workers.swap_remove(victim).kill();
                kills += 1;
            }
            1 => {
                workers[victim].signal(Signal::Stop);
                std::thread::sleep(Duration::from_millis(uniform(500) as u64));
                workers[victim].signal(Signal::Continue);
                stops += 1;
            }
            _ => {}
        }
        workers.retain_mut(Worker::is_running);
    }
    workers.into_iter().for_each(Worker::kill);

    let acknowledged = acknowledged(folder, started)?;
    let storage = trialog::OpenOptions::new().read_only(true).open(&url)?;
    let view = storage.study(STUDY).load()?.view()?;
    let (mut missing, mut wrong) = (0u64, 0u64);
    for (trial, value) in &acknowledged {
        match view.trial(trialog::TrialNumber(*trial)) {
            Some(found) if found.state() == TrialState::Complete => {
                wrong += u64::from(found.value(0) != Some(*value));
            }
            _ => missing += 1,
        }
    }
    let digests: Vec<String> =
        [digest_elsewhere(&url)?, digest_elsewhere(&url)?, storage.digest()?.to_string()].into();
    let is_same = digests.iter().all(|digest| *digest == digests[0]);
    let is_clean = logs::is_clean(&log)?;
    let is_good = missing == 0 && wrong == 0 && is_same && is_clean && !acknowledged.is_empty();
    let json = json!({
        "verdict": if is_good { "good" } else { "bad" }, "seed": seed, "processes": started, "kills": kills, "stops": stops,
        "trials": view.trial_count(), "acknowledged": acknowledged.len(), "missing": missing, "wrong": wrong,
        "same_digest_everywhere": is_same, "log_clean": is_clean,
    });
    args.format.print(&json, |out| {
        writeln!(out, "{}: {}", bold("verdict"), logs::verdict(is_good))?;
        writeln!(out, "  {started} processes, {kills} killed, {stops} stopped for a while; seed {seed}")?;
        writeln!(out, "  {} results acknowledged, {missing} missing, {wrong} wrong", acknowledged.len())?;
        writeln!(out, "  every process sees the same: {is_same}; every byte of the log verifies: {is_clean}")
    })?;
    Ok(is_good)
}

/// What the workers were told is kept: trial and value, each once.
fn acknowledged(folder: &Path, started: usize) -> Outcome<BTreeMap<u32, f64>> {
    let mut all = BTreeMap::new();
    for worker in 0..started {
        let path = acknowledged_path(folder, worker);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            // It was killed before its first result.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(Failure::file("read", &path, &error)),
        };
        // The last line may be cut: its result was acknowledged, but nobody can say which.
        for line in text.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
            let parsed = line
                .trim()
                .split_once(' ')
                .and_then(|(trial, value)| Some((trial.parse().ok()?, value.parse().ok()?)));
            let Some((trial, value)) = parsed else {
                return Err(Failure::new(Exit::Failed, format!("{} holds {line:?}", path.display())));
            };
            if all.insert(trial, value).is_some() {
                return Err(Failure::new(Exit::Damaged, format!("trial {trial} was given to two workers")));
            }
        }
    }
    Ok(all)
}

fn acknowledged_path(folder: &Path, worker: usize) -> PathBuf {
    folder.join(format!("acknowledged-{worker}"))
}

fn digest_elsewhere(url: &str) -> Outcome<String> {
    let output = myself()?.args(["digest", "-s", url]).output()?;
    if !output.status.success() {
        return Err(Failure::new(Exit::Damaged, String::from_utf8_lossy(&output.stderr).trim()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn myself() -> Outcome<Command> {
    Ok(Command::new(std::env::current_exe()?))
}

struct Worker(Child);

#[derive(Clone, Copy)]
enum Signal {
    Stop,
    Continue,
}

impl Worker {
    fn start(url: &str, folder: &Path, number: usize) -> Outcome<Worker> {
        let mut command = myself()?;
        command.arg("selftest-worker").arg(url).arg(acknowledged_path(folder, number));
        command.stdin(Stdio::null()).stdout(Stdio::null());
        Ok(Worker(command.spawn()?))
    }

    fn kill(mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }

    fn is_running(&mut self) -> bool {
        matches!(self.0.try_wait(), Ok(None))
    }

    #[cfg(unix)]
    fn signal(&self, signal: Signal) {
        use nix::sys::signal::{Signal as Sign, kill};
        let sign = match signal {
            Signal::Stop => Sign::SIGSTOP,
            Signal::Continue => Sign::SIGCONT,
        };
        if let Ok(id) = i32::try_from(self.0.id()) {
            let _ = kill(nix::unistd::Pid::from_raw(id), sign);
        }
    }

    #[cfg(not(unix))]
    fn signal(&self, _signal: Signal) {}
}

/// Runs trials until it is killed, and notes each result that it was told is kept.
pub(crate) fn worker(args: &args::SelftestWorker) -> Outcome {
    let study = trialog::open(&args.storage)?.study(STUDY).load()?;
    let mut noted = std::fs::OpenOptions::new().create(true).append(true).open(&args.acknowledged)?;
    loop {
        let mut trial = study.ask()?;
        let x = trial.suggest_float("x", -1.0..=1.0)?;
        let y = trial.suggest_float("y", 1e-3..=1e3)?;
        trial.report(0, x + y)?;
        let value = x * x + y;
        study.tell(&trial, value)?;
        writeln!(noted, "{} {value:?}", trial.number())?;
    }
}
