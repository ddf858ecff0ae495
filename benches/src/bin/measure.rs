//! One measurement of Trialog: `measure NAME --n N --dir DIR` prints one JSON object per figure. The names and what
//! they mean stand in `benches/peers/README.md`.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use serde_json::json;
use trialog::samplers::{Gp, Proposal, Random, Sampler, Tpe, TpeOptions};
use trialog::{ComponentSpec, Distribution, Storage, Study, StudyView, TrialNumber};
use trialog_benches::decisions::{self, Course};
use trialog_benches::{Clock, NAMES, peak_mib, preload, run_trials, state_of_floats, suggest, suggest_some};
use trialog_journal::{Durability, History, Journal, Seq};
use trialog_journal_file::{FileJournal, Options};
use trialog_replay::State;

type BoxError = Box<dyn std::error::Error>;

const ASKS: usize = 25;
const WORKERS: usize = 16;
const MILLION: usize = 1_000_000;

/// Takes a figure and prints it.
type Measure = fn(&Given) -> Result<(), BoxError>;

/// How each figure is taken.
const MEASURES: &[(&str, Measure)] = &[
    ("file-random-disk", file_random),
    ("file-random-ram", file_random),
    ("file-random-16-processes", file_random_processes),
    ("memory-random", memory_random),
    ("tpe-ask-1k", tpe_ask),
    ("tpe-ask-10k", tpe_ask),
    ("tpe-ask-100k", tpe_ask),
    ("tpe-ask-own-history", tpe_ask_own_history),
    ("tpe-ask-dense-2", |given| tpe_ask_dense(given, 2)),
    ("tpe-ask-dense-3", |given| tpe_ask_dense(given, 3)),
    ("tpe-univariate-ask", tpe_univariate_ask),
    ("tpe-univariate-ask-100k", tpe_univariate_ask),
    ("tpe-univariate-own-history", tpe_univariate_own_history),
    ("tpe-ask-zombies", tpe_ask_zombies),
    ("tpe-two-objectives-ask", tpe_two_objectives_ask),
    ("gp-ask-100", gp_ask),
    ("gp-first-ask-100", gp_first_ask),
    ("gp-first-ask-1k", gp_first_ask),
    ("random-suggestion", |given| suggestions(given, "random")),
    ("sobol-suggestion", |given| suggestions(given, "qmc")),
    ("cmaes-suggestion", |given| suggestions(given, "cmaes")),
    ("forest-ask", forest_ask),
    ("nsga2-trial", nsga2_trial),
    ("nsga3-trial", nsga3_trial),
    ("brute-force-trial", brute_force_trial),
    ("pruner-decisions", pruner_decisions),
    ("replay-1m", replay),
    ("open-50k", open_study),
    ("optuna-random-disk", optuna_random),
    ("optuna-open-50k", optuna_open),
    ("redis-random", redis_random),
    ("redis-open-100k", redis_open),
    ("redb-random-disk", redb_random),
    ("open-1m", open_study),
    ("bytes-per-trial", bytes_per_trial),
    ("best-trial-10k", best_trial),
    ("ask-with-dead-worker-10k", ask_with_dead_worker),
    ("snapshot-load-1m", snapshot_load),
    ("snapshot-write-1m", snapshot_write),
    ("compact-200mb", compact),
    ("worker", worker),
    ("opener", opener),
    ("optuna-opener", optuna_opener),
    ("replayer", replayer),
    ("snapshot-loader", snapshot_loader),
];

/// The words of the command line.
struct Given {
    name: String,
    n: usize,
    dir: PathBuf,
    seed: u64,
}

fn main() -> ExitCode {
    match given().and_then(|given| measure(&given)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("measure: {error}");
            ExitCode::FAILURE
        }
    }
}

fn given() -> Result<Given, BoxError> {
    let mut words = std::env::args().skip(1);
    let name = words.next().ok_or("usage: measure NAME --n N --dir DIR")?;
    let mut given = Given { name, n: 0, dir: PathBuf::from("."), seed: 0 };
    while let Some(option) = words.next() {
        let value = words.next().ok_or_else(|| format!("{option} needs a value"))?;
        match option.as_str() {
            "--n" => given.n = value.parse()?,
            "--dir" => given.dir = PathBuf::from(value),
            "--seed" => given.seed = value.parse()?,
            _ => return Err(format!("unknown option {option}").into()),
        }
    }
    Ok(given)
}

fn measure(given: &Given) -> Result<(), BoxError> {
    let found = MEASURES.iter().find(|(name, _)| *name == given.name);
    let (_, run) = found.ok_or_else(|| format!("there is no measurement {:?}", given.name))?;
    run(given)
}

fn figure(given: &Given, unit: &str, value: f64, more: &serde_json::Value) {
    let mut line = json!({ "name": given.name, "unit": unit, "value": value });
    if let (Some(line), Some(more)) = (line.as_object_mut(), more.as_object()) {
        line.extend(more.clone());
    }
    println!("{line}");
}

fn journal(dir: &Path) -> String {
    dir.join("study.tlog").to_string_lossy().into_owned()
}

fn random_study(storage: &Storage, seed: u64) -> trialog::Result<Study> {
    storage.study("bench").sampler(Random::new()).seed(seed).load_or_create()
}

fn trial_rate(given: &Given, study: &Study) -> Result<(), BoxError> {
    let clock = Clock::start();
    run_trials(study, given.n)?;
    let (wall, cpu) = clock.read();
    check(study, given.n)?;
    figure(given, "trials/s", given.n as f64 / wall, &json!({ "cpu_us_per_trial": cpu / given.n as f64 * 1e6 }));
    Ok(())
}

fn check(study: &Study, expected: usize) -> Result<(), BoxError> {
    let found = study.view()?.trial_count();
    if found == expected {
        Ok(())
    } else {
        Err(format!("there should be {expected} trials, and there are {found}").into())
    }
}

fn file_random(given: &Given) -> Result<(), BoxError> {
    trial_rate(given, &random_study(&trialog::open(journal(&given.dir))?, 1)?)
}

fn redb_random(given: &Given) -> Result<(), BoxError> {
    let url = format!("redb:{}", given.dir.join("study.redb").display());
    trial_rate(given, &random_study(&trialog::open(url)?, 1)?)
}

/// A server of our own on a free port, without persistence.
struct Redis {
    server: std::process::Child,
    url: String,
}

impl Redis {
    fn start(given: &Given) -> Result<Redis, BoxError> {
        let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let mut command = Command::new("redis-server");
        command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--dir"]).arg(&given.dir);
        let server = command.stdout(Stdio::null()).spawn()?;
        let url = format!("redis://127.0.0.1:{port}");
        // Opening tries again for as long as it takes the server to come up.
        let redis = Redis { server, url };
        trialog::open(&redis.url)?;
        Ok(redis)
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

fn redis_random(given: &Given) -> Result<(), BoxError> {
    let redis = Redis::start(given)?;
    trial_rate(given, &random_study(&trialog::open(&redis.url)?, 1)?)
}

/// Opens a study of `n` trials on Redis as its last user left it; scaled to 100,000.
fn redis_open(given: &Given) -> Result<(), BoxError> {
    let redis = Redis::start(given)?;
    run_trials(&random_study(&trialog::open(&redis.url)?, 1)?, given.n)?;
    let clock = Clock::start();
    let study = trialog::open(&redis.url)?.study("bench").load()?;
    let (wall, cpu) = clock.read();
    check(&study, given.n)?;
    let scale = 100_000.0 / given.n as f64;
    figure(given, "s", wall * scale, &json!({ "cpu": cpu * scale, "trials": given.n }));
    Ok(())
}

fn memory_random(given: &Given) -> Result<(), BoxError> {
    trial_rate(given, &random_study(&Storage::in_memory()?, 1)?)
}

fn optuna_journal(dir: &Path) -> String {
    format!("optuna:{}", dir.join("study.log").to_string_lossy())
}

/// Random search in a journal of Optuna's, with its lines and its lock.
fn optuna_random(given: &Given) -> Result<(), BoxError> {
    trial_rate(given, &random_study(&trialog::open(optuna_journal(&given.dir))?, 1)?)
}

/// Opens a journal of Optuna's of `n` trials, as far as this program writes the same lines: nobody has a snapshot.
fn optuna_open(given: &Given) -> Result<(), BoxError> {
    let options = trialog::OpenOptions::new().durability(trialog::DurabilityLevel::Never);
    run_trials(&random_study(&options.open(optuna_journal(&given.dir))?, 1)?, given.n)?;
    let (wall, cpu, mib) = in_process(given, "optuna-opener")?;
    figure(given, "s", wall, &json!({ "cpu": cpu, "peak_mib": mib }));
    Ok(())
}

fn optuna_opener(given: &Given) -> Result<(), BoxError> {
    let clock = Clock::start();
    let options = trialog::OpenOptions::new().read_only(true);
    let study = options.open(optuna_journal(&given.dir))?.study("bench").load()?;
    let (wall, cpu) = clock.read();
    check(&study, given.n)?;
    println!("{wall} {cpu} {}", peak_mib());
    Ok(())
}

/// `n` trials in one file, shared out among worker processes; their start is not timed.
fn file_random_processes(given: &Given) -> Result<(), BoxError> {
    random_study(&trialog::open(journal(&given.dir))?, 0)?;
    let mut workers = Vec::new();
    for index in 0..WORKERS {
        let share = given.n / WORKERS + usize::from(index < given.n % WORKERS);
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["worker", "--n", &share.to_string(), "--dir"]).arg(&given.dir);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let output = BufReader::new(child.stdout.take().ok_or("a worker has no output")?);
        workers.push((child, output));
    }
    for (_, output) in &mut workers {
        said(output)?;
    }
    let clock = Clock::start();
    for (child, _) in &mut workers {
        child.stdin.as_mut().ok_or("a worker has no input")?.write_all(b"go\n")?;
    }
    let mut cpu = 0.0;
    for (_, output) in &mut workers {
        cpu += said(output)?.parse::<f64>()?;
    }
    let (wall, _) = clock.read();
    for (mut child, _) in workers {
        if !child.wait()?.success() {
            return Err("a worker failed".into());
        }
    }
    check(&random_study(&trialog::open(journal(&given.dir))?, 0)?, given.n)?;
    let more = json!({ "workers": WORKERS, "cpu_us_per_trial": cpu / given.n as f64 * 1e6 });
    figure(given, "trials/s", given.n as f64 / wall, &more);
    Ok(())
}

fn said(output: &mut impl BufRead) -> Result<String, BoxError> {
    let mut line = String::new();
    output.read_line(&mut line)?;
    if line.is_empty() { Err("a worker ended early".into()) } else { Ok(line.trim().to_owned()) }
}

/// One of the processes above: says that it is ready, waits for the word, works, says how much time it took.
fn worker(given: &Given) -> Result<(), BoxError> {
    let storage = trialog::open(journal(&given.dir))?;
    let study = storage.study("bench").load()?;
    println!("ready");
    std::io::stdin().lock().read_line(&mut String::new())?;
    let clock = Clock::start();
    run_trials(&study, given.n)?;
    println!("{}", clock.read().1);
    Ok(())
}

/// The time of one ask and five suggestions; each trial is told before the next ask.
fn time_asks(given: &Given, study: &Study) -> Result<(), BoxError> {
    time_asks_of(given, study, NAMES.len())
}

/// The same with so many of the parameters.
fn time_asks_of(given: &Given, study: &Study, params: usize) -> Result<(), BoxError> {
    let mut asks = Vec::new();
    for _ in 0..ASKS {
        let clock = Clock::start();
        let mut trial = study.ask()?;
        let value = suggest_some(&mut trial, params)?;
        asks.push(clock.read().0 * 1e6);
        study.tell(&trial, value)?;
    }
    summary(given, &asks);
    Ok(())
}

/// The median; beside it the least, and the first two, which build what later ones follow.
fn summary(given: &Given, micros: &[f64]) {
    let mut sorted = micros.to_vec();
    sorted.sort_by(f64::total_cmp);
    let more = json!({
        "wall_min": sorted[0],
        "wall_90": sorted[sorted.len() * 9 / 10],
        "first": micros.iter().take(2).collect::<Vec<_>>(),
        "samples": sorted.len(),
    });
    figure(given, "us", sorted[sorted.len() / 2], &more);
}

fn tpe_ask(given: &Given) -> Result<(), BoxError> {
    let study = Storage::in_memory()?.study("bench").sampler(Tpe::default()).seed(1).create()?;
    preload(&study, given.n)?;
    time_asks(given, &study)
}

/// The same where the trials before are TPE's own, which crowd about the optimum.
fn tpe_ask_own_history(given: &Given) -> Result<(), BoxError> {
    let study = Storage::in_memory()?.study("bench").sampler(Tpe::default()).seed(1).create()?;
    run_trials(&study, given.n)?;
    time_asks(given, &study)
}

/// The same with few parameters, so that trials crowd the more: how many are within sight of a point grows with them.
fn tpe_ask_dense(given: &Given, params: usize) -> Result<(), BoxError> {
    let study = Storage::in_memory()?.study("bench").sampler(Tpe::default()).seed(1).create()?;
    study.optimize(given.n, |trial| Ok(suggest_some(trial, params)?))?;
    time_asks_of(given, &study, params)
}

/// Each of the five parameters on its own.
fn tpe_univariate_ask(given: &Given) -> Result<(), BoxError> {
    let sampler = Tpe::new(TpeOptions { multivariate: Some(false), ..TpeOptions::default() });
    let study = Storage::in_memory()?.study("bench").sampler(sampler).seed(1).create()?;
    preload(&study, given.n)?;
    time_asks(given, &study)
}

/// The same where the trials before are its own.
fn tpe_univariate_own_history(given: &Given) -> Result<(), BoxError> {
    let sampler = Tpe::new(TpeOptions { multivariate: Some(false), ..TpeOptions::default() });
    let study = Storage::in_memory()?.study("bench").sampler(sampler).seed(1).create()?;
    run_trials(&study, given.n)?;
    time_asks(given, &study)
}

/// With two hundred trials that run for ever.
fn tpe_ask_zombies(given: &Given) -> Result<(), BoxError> {
    let study = Storage::in_memory()?.study("bench").sampler(Tpe::default()).seed(1).create()?;
    for _ in 0..200 {
        suggest(&mut study.ask()?)?;
    }
    preload(&study, given.n)?;
    time_asks(given, &study)
}

/// `n` trials of two objectives before, of which a tenth count as good.
fn tpe_two_objectives_ask(given: &Given) -> Result<(), BoxError> {
    let study = two_objectives(Tpe::default())?;
    let told = |study: &Study| -> Result<f64, BoxError> {
        let clock = Clock::start();
        let mut trial = study.ask()?;
        let value = suggest(&mut trial)?;
        let time = clock.read().0 * 1e6;
        let x: f64 = trial.suggest_float("x0", -5.0..=5.0)?;
        study.tell(&trial, [value, value - 4.0 * x + 4.0])?;
        Ok(time)
    };
    for _ in 0..given.n {
        told(&study)?;
    }
    let times = (0..ASKS).map(|_| told(&study)).collect::<Result<Vec<_>, _>>()?;
    summary(given, &times);
    Ok(())
}

fn two_objectives<S: Sampler + 'static>(sampler: S) -> trialog::Result<Study> {
    let directions = [trialog::Direction::Minimize; 2];
    Storage::in_memory()?.study("bench").sampler(sampler).directions(directions).seed(1).create()
}

/// Studies that are measured one after the other: the kernel counts processor time in steps of 10 ms.
const STUDIES: usize = 4;

/// Suggestions of a Gaussian process that goes on from what it knew before: the first one is not counted.
fn gp_ask(given: &Given) -> Result<(), BoxError> {
    let studies = preloaded::<Gp>(given.n, STUDIES)?;
    studies.iter().try_for_each(|study| run_trials(study, 1))?;
    mean_cpu(given, studies.iter().flat_map(|study| [study; ASKS]))
}

/// The first suggestion beside trials that the sampler has never seen.
fn gp_first_ask(given: &Given) -> Result<(), BoxError> {
    mean_cpu(given, &preloaded::<Gp>(given.n, STUDIES * ASKS)?)
}

/// Suggestions of a forest beside `n` trials.
fn forest_ask(given: &Given) -> Result<(), BoxError> {
    let studies = preloaded::<trialog::samplers::Forest>(given.n, STUDIES)?;
    mean_cpu(given, studies.iter().flat_map(|study| [study; ASKS]))
}

fn preloaded<S: Sampler + Default + 'static>(n: usize, count: usize) -> trialog::Result<Vec<Study>> {
    let study = |_| {
        let study = Storage::in_memory()?.study("bench").sampler(S::default()).seed(1).create()?;
        preload(&study, n).map(|()| study)
    };
    (0..count).map(study).collect()
}

/// The mean processor time of a trial, which a busy machine blurs least; the shortest by the clock on the wall is said too.
fn mean_cpu<'a>(given: &Given, studies: impl IntoIterator<Item = &'a Study>) -> Result<(), BoxError> {
    let (mut shortest, mut samples) = (f64::INFINITY, 0);
    let clock = Clock::start();
    for study in studies {
        let begun = Instant::now();
        run_trials(study, 1)?;
        shortest = shortest.min(begun.elapsed().as_secs_f64());
        samples += 1;
    }
    let (_, cpu) = clock.read();
    figure(given, "us", cpu / f64::from(samples) * 1e6, &json!({ "wall_min": shortest * 1e6, "samples": samples }));
    Ok(())
}

/// A sampler, and how long its answers took.
struct Timed {
    sampler: Arc<dyn Sampler>,
    nanos: Arc<AtomicU64>,
}

impl Timed {
    fn time<T>(&self, answer: impl FnOnce() -> T) -> T {
        let begin = Instant::now();
        let answer = answer();
        self.nanos.fetch_add(begin.elapsed().as_nanos() as u64, Ordering::Relaxed);
        answer
    }
}

impl Sampler for Timed {
    fn spec(&self) -> ComponentSpec {
        self.sampler.spec()
    }

    fn sample_relative(&self, view: &StudyView, number: TrialNumber, seed: u64) -> Vec<Proposal> {
        self.time(|| self.sampler.sample_relative(view, number, seed))
    }

    fn sample_independent(
        &self,
        view: &StudyView,
        number: TrialNumber,
        seed: u64,
        name: &str,
        distribution: &Distribution,
    ) -> f64 {
        self.time(|| self.sampler.sample_independent(view, number, seed, name, distribution))
    }
}

/// What the suggestions of this sampler take in a study of `n` trials, without all that is done with them: the mean.
fn suggestions(given: &Given, name: &str) -> Result<(), BoxError> {
    let sampler = trialog::samplers::from_spec(&ComponentSpec::named(name))?;
    let nanos = Arc::new(AtomicU64::new(0));
    let timed = Timed { sampler, nanos: Arc::clone(&nanos) };
    let study = Storage::in_memory()?.study("bench").sampler(timed).seed(1).create()?;
    run_trials(&study, given.n)?;
    figure(given, "us", nanos.load(Ordering::Relaxed) as f64 / given.n as f64 / 1e3, &json!({}));
    Ok(())
}

/// `n` whole trials of NSGA-II with two objectives, one after the other: the mean of one.
fn nsga2_trial(given: &Given) -> Result<(), BoxError> {
    genetic_trial(given, trialog::samplers::Nsga2::default())
}

/// The same of NSGA-III.
fn nsga3_trial(given: &Given) -> Result<(), BoxError> {
    genetic_trial(given, trialog::samplers::Nsga3::default())
}

fn genetic_trial(given: &Given, sampler: impl Sampler + 'static) -> Result<(), BoxError> {
    let study = two_objectives(sampler)?;
    let clock = Clock::start();
    for _ in 0..given.n {
        let mut trial = study.ask()?;
        let value = suggest(&mut trial)?;
        let x: f64 = trial.suggest_float("x0", -5.0..=5.0)?;
        study.tell(&trial, [value, value - 4.0 * x + 4.0])?;
    }
    let (wall, cpu) = clock.read();
    figure(given, "us", wall / given.n as f64 * 1e6, &json!({ "cpu_us": cpu / given.n as f64 * 1e6 }));
    Ok(())
}

/// `n` whole trials of brute force over five parameters of a hundred values, one after the other: the mean of one.
fn brute_force_trial(given: &Given) -> Result<(), BoxError> {
    let sampler = trialog::samplers::BruteForce::new(false);
    let study = Storage::in_memory()?.study("bench").sampler(sampler).seed(1).create()?;
    let clock = Clock::start();
    for _ in 0..given.n {
        let mut trial = study.ask()?;
        let values = ["x0", "x1", "x2", "x3", "x4"].map(|name| trial.suggest_int(name, 0..=99));
        let sum = values.into_iter().sum::<Result<i64, _>>()?;
        study.tell(&trial, sum as f64)?;
    }
    let (wall, cpu) = clock.read();
    figure(given, "us", wall / given.n as f64 * 1e6, &json!({ "cpu_us": cpu / given.n as f64 * 1e6 }));
    Ok(())
}

/// What each pruner's decisions cost beside `n` finished trials: a line for each with the median. The figure is the 99th
/// percentile of the one where that is the most.
fn pruner_decisions(given: &Given) -> Result<(), BoxError> {
    let clock = Clock::start();
    let course = Course::new(given.n);
    let (wall, _) = clock.read();
    eprintln!("{} trials in {wall:.2} s, {:.0} MiB", given.n, peak_mib());
    let mut most = (0.0, String::new());
    for (pruner, spec) in decisions::contestants() {
        trialog::pruners::from_spec(&spec)?;
        let costs = course.clone().costs(|| trialog::pruners::from_spec(&spec).expect("it was built just now"));
        let steady = |share: f64| costs.steady[(share * (costs.steady.len() - 1) as f64) as usize];
        let line = json!({
            "name": "pruner-decision", "unit": "us", "value": steady(0.5), "pruner": pruner, "p99": steady(0.99), "max": steady(1.0), "samples": costs.steady.len(),
            "first_trial_max": costs.first_max, "first_trial_sum": costs.first_sum, "first_trial_cpu": costs.first_cpu,
            "after_1000_ends_max": costs.after_burst_max,
        });
        println!("{line}");
        if steady(0.99) > most.0 {
            most = (steady(0.99), pruner);
        }
    }
    figure(given, "us", most.0, &json!({ "pruner": most.1 }));
    Ok(())
}

/// A worker died in the first trial, which runs for ever; `n` trials have finished since. The sampler never leaves
/// its start-up: it looks at the trials for their joint search space, and builds no model.
fn ask_with_dead_worker(given: &Given) -> Result<(), BoxError> {
    let sampler = Tpe::new(TpeOptions { n_startup_trials: 1_000_000_000, ..TpeOptions::default() });
    let study = Storage::in_memory()?.study("bench").sampler(sampler).seed(1).create()?;
    suggest(&mut study.ask()?)?;
    preload(&study, given.n)?;
    time_asks(given, &study)
}

fn best_trial(given: &Given) -> Result<(), BoxError> {
    let study = random_study(&Storage::in_memory()?, 1)?;
    preload(&study, given.n)?;
    let mut times = Vec::new();
    for _ in 0..ASKS {
        let clock = Clock::start();
        study.best_value()?;
        times.push(clock.read().0 * 1e6);
    }
    summary(given, &times);
    Ok(())
}

/// Writes a log of `n` trials by running them, without a sync for each.
fn write_journal(given: &Given) -> Result<String, BoxError> {
    let path = journal(&given.dir);
    let options = trialog::OpenOptions::new().durability(trialog::DurabilityLevel::Never);
    run_trials(&random_study(&options.open(&path)?, 1)?, given.n)?;
    Ok(path)
}

fn open_journal(given: &Given, how: &str) -> Result<(f64, f64, f64), BoxError> {
    write_journal(given)?;
    in_process(given, how)
}

/// Runs another measurement in a process of its own, so that memory is its alone; it says wall time, processor time
/// and peak memory.
fn in_process(given: &Given, name: &str) -> Result<(f64, f64, f64), BoxError> {
    let mut command = Command::new(std::env::current_exe()?);
    let output = command.args([name, "--n", &given.n.to_string(), "--dir"]).arg(&given.dir).output()?;
    let text = String::from_utf8(output.stdout)?;
    let figures: Vec<f64> = text.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
    match *figures {
        [wall, cpu, mib] => Ok((wall, cpu, mib)),
        _ => Err(format!("{name} said {text:?}").into()),
    }
}

/// Opens the journal as its last user left it, with its snapshot, and says how long that took.
fn opener(given: &Given) -> Result<(), BoxError> {
    open_timed(given, &trialog::OpenOptions::new())
}

/// Opens the journal with nothing but the log.
fn replayer(given: &Given) -> Result<(), BoxError> {
    open_timed(given, &trialog::OpenOptions::new().snapshots(false))
}

fn open_timed(given: &Given, options: &trialog::OpenOptions) -> Result<(), BoxError> {
    let clock = Clock::start();
    let study = options.clone().read_only(true).open(journal(&given.dir))?.study("bench").load()?;
    let (wall, cpu) = clock.read();
    check(&study, given.n)?;
    println!("{wall} {cpu} {}", peak_mib());
    Ok(())
}

fn replay(given: &Given) -> Result<(), BoxError> {
    let (wall, cpu, mib) = open_journal(given, "replayer")?;
    let scale = MILLION as f64 / given.n as f64;
    let mut more = json!({ "cpu": cpu * scale, "peak_mib": mib, "trials": given.n });
    if given.n != MILLION {
        more["note"] = json!(format!("{} trials, scaled to a million", given.n));
    }
    figure(given, "s", wall * scale, &more);
    Ok(())
}

fn open_study(given: &Given) -> Result<(), BoxError> {
    let (wall, cpu, mib) = open_journal(given, "opener")?;
    figure(given, "s", wall, &json!({ "cpu": cpu, "peak_mib": mib }));
    Ok(())
}

fn bytes_per_trial(given: &Given) -> Result<(), BoxError> {
    let path = journal(&given.dir);
    let study = random_study(&trialog::open(&path)?, 1)?;
    let before = std::fs::metadata(&path)?.len();
    run_trials(&study, given.n)?;
    let bytes = std::fs::metadata(&path)?.len() - before;
    figure(given, "bytes", bytes as f64 / given.n as f64, &json!({}));
    Ok(())
}

fn snapshot_path(given: &Given) -> PathBuf {
    given.dir.join("study.snapshot")
}

/// Reads the snapshot of `n` trials of ten floats, from a file to a state.
fn snapshot_load(given: &Given) -> Result<(), BoxError> {
    let mut bytes = Vec::new();
    state_of_floats(given.n).write_snapshot(&mut bytes);
    std::fs::write(snapshot_path(given), &bytes)?;
    let (wall, cpu, mib) = in_process(given, "snapshot-loader")?;
    figure(given, "s", wall, &json!({ "cpu": cpu, "peak_mib": mib, "bytes": bytes.len() }));
    Ok(())
}

fn snapshot_loader(given: &Given) -> Result<(), BoxError> {
    let clock = Clock::start();
    let state = State::read_snapshot(&std::fs::read(snapshot_path(given))?)?;
    let (wall, cpu) = clock.read();
    let found: usize = state.studies().map(|view| view.trial_count()).sum();
    if found != given.n {
        return Err(format!("there should be {} trials, and there are {found}", given.n).into());
    }
    println!("{wall} {cpu} {}", peak_mib());
    Ok(())
}

/// Writes the same snapshot into memory that is there already.
fn snapshot_write(given: &Given) -> Result<(), BoxError> {
    let state = state_of_floats(given.n);
    let mut bytes = Vec::new();
    state.write_snapshot(&mut bytes);
    bytes.clear();
    let clock = Clock::start();
    state.write_snapshot(&mut bytes);
    let (wall, cpu) = clock.read();
    let more = json!({ "cpu": cpu, "bytes_per_trial": bytes.len() as f64 / given.n as f64, "s": wall });
    figure(given, "MB/s", bytes.len() as f64 / wall / 1e6, &more);
    Ok(())
}

/// How many records there are before the compaction begins.
const RECORDS: u64 = 10_000;

/// Compacts a log whose state has `n` trials of ten floats, while another handle appends as fast as it can; its longest
/// wait for an append is said too, with and without a sync of its own, and what it waited while nobody compacted.
fn compact(given: &Given) -> Result<(), BoxError> {
    let state = state_of_floats(given.n);
    let path = journal(&given.dir);
    let compactor = FileJournal::open(&path, &Options::default())?;
    for _ in 0..RECORDS {
        compactor.append(&[&[7; 100]], Durability::Process)?;
    }
    let quiet_over = AtomicBool::new(false);
    let quiet = std::thread::scope(|scope| {
        let writer = scope.spawn(|| longest_waits(&path, &quiet_over));
        std::thread::sleep(std::time::Duration::from_secs(2));
        quiet_over.store(true, Ordering::Relaxed);
        Ok::<_, BoxError>(writer.join().map_err(|_| "the writer panicked")??)
    })?;
    let done = AtomicBool::new(false);
    let (wall, bytes, waits) = std::thread::scope(|scope| {
        let writer = scope.spawn(|| longest_waits(&path, &done));
        let clock = Clock::start();
        let mut bytes = 0;
        let compacted = compactor.compact(
            Seq(RECORDS),
            &mut |sink| {
                state.stream_snapshot(|piece| {
                    bytes += piece.len();
                    sink(piece)
                })
            },
            History::Folded,
        );
        let (wall, _) = clock.read();
        // Those who wait for the lock at the end are to be seen too.
        std::thread::sleep(std::time::Duration::from_millis(200));
        done.store(true, Ordering::Relaxed);
        let waits = writer.join().map_err(|_| "the writer panicked")??;
        if compacted? { Ok::<_, BoxError>((wall, bytes, waits)) } else { Err("nothing was compacted".into()) }
    })?;
    let more = json!({
        "bytes": bytes, "s": wall, "appends": waits.appends,
        "append_ms_max": waits.append_ms, "synced_append_ms_max": waits.synced_ms,
        "quiet_append_ms_max": quiet.append_ms, "quiet_synced_append_ms_max": quiet.synced_ms,
    });
    figure(given, "MB/s", bytes as f64 / wall / 1e6, &more);
    Ok(())
}

/// The longest waits of a writer.
#[derive(Default)]
struct Waits {
    appends: u64,
    append_ms: f64,
    synced_ms: f64,
}

/// Appends until it is told to stop; every 64th append waits for its sync.
fn longest_waits(path: &str, done: &AtomicBool) -> Result<Waits, trialog_journal::Error> {
    let journal = FileJournal::open(path, &Options::default())?;
    let mut waits = Waits::default();
    while !done.load(Ordering::Relaxed) {
        let synced = waits.appends % 64 == 63;
        let start = Instant::now();
        journal.append(&[&[9; 100]], if synced { Durability::Power } else { Durability::Process })?;
        let ms = start.elapsed().as_secs_f64() * 1e3;
        let longest = if synced { &mut waits.synced_ms } else { &mut waits.append_ms };
        *longest = longest.max(ms);
        waits.appends += 1;
    }
    Ok(waits)
}
