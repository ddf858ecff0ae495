//! Tunes a neural network that reads handwritten digits, with four processes that share one file.
//!
//! ```text
//! cargo run --release --example digits [-- [PATH] [--trials N] [--workers N]]
//! ```
//!
//! The file is `digits.tlog` unless another is named. Started again, the study goes on from where it was, whatever ended
//! the last run. How Trialog is used stands in `study.rs`; the rest is the network, the data and this small program.

mod data;
mod network;
mod random;
mod study;
mod train;

use std::error::Error;
use std::process::{Child, Command, ExitCode};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use trialog::Study;

/// The first word of a process that the program started itself.
const WORKER: &str = "--as-worker";

/// Where the study lies unless another place is named.
const FILE: &str = "digits.tlog";

/// What was asked for.
struct Task {
    path: String,
    trials: usize,
    workers: usize,
    /// This process is one of the workers, and `trials` is its share.
    is_worker: bool,
}

fn main() -> ExitCode {
    let outcome = read_task().and_then(|task| if task.is_worker { work(&task) } else { lead(&task) });
    if let Err(error) = outcome {
        eprintln!("digits: {error}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn read_task() -> Result<Task, Box<dyn Error>> {
    let mut task = Task { path: FILE.to_string(), trials: 200, workers: 4, is_worker: false };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut number = || words.next().and_then(|word| word.parse().ok()).ok_or(format!("{word} wants a number"));
        match word.as_str() {
            "--trials" => task.trials = number()?,
            "--workers" => task.workers = number()?.max(1),
            WORKER => task.is_worker = true,
            switch if switch.starts_with('-') => {
                return Err(format!("no switch {switch}; usage: digits [PATH] [--trials N] [--workers N]").into());
            }
            path => task.path = path.to_string(),
        }
    }
    Ok(task)
}

/// A worker knows the file, and its share of the trials. It needs no word from anybody else.
fn work(task: &Task) -> Result<(), Box<dyn Error>> {
    Ok(study::work(&study::open(&task.path)?, &data::load(), task.trials)?)
}

/// The first process starts the workers, watches the study in the file, and says what came out.
fn lead(task: &Task) -> Result<(), Box<dyn Error>> {
    let study = study::open(&task.path)?;
    let before = study::standing(&study)?;
    let so_far = match before.finished() {
        0 => format!("A new study in {}", task.path),
        n => format!("{n} trials are in {} already", task.path),
    };
    println!("{so_far}; {} trials to run in {} processes.", task.trials, task.workers);
    let mut workers = start_workers(task)?;
    watch(&study, before.finished(), task, &mut workers)?;
    let mut failed = 0;
    for worker in &mut workers {
        failed += usize::from(!worker.wait()?.success());
    }
    sum_up(&study, task)?;
    if failed > 0 {
        return Err(format!("{failed} of {} workers failed", task.workers).into());
    }
    Ok(())
}

fn start_workers(task: &Task) -> Result<Vec<Child>, Box<dyn Error>> {
    let program = std::env::current_exe()?;
    let share = |worker| task.trials / task.workers + usize::from(worker < task.trials % task.workers);
    let start = |worker: usize| {
        let trials = share(worker).to_string();
        Command::new(&program).args([WORKER, "--trials", &trials, &task.path]).spawn()
    };
    Ok((0..task.workers).map(start).collect::<Result<_, _>>()?)
}

/// Shows the whole study's progress until every worker is done.
fn watch(study: &Study, before: usize, task: &Task, workers: &mut [Child]) -> Result<(), Box<dyn Error>> {
    let style = "{elapsed_precise} {wide_bar} {pos}/{len} trials, best accuracy {msg}";
    let bar = ProgressBar::new((before + task.trials) as u64).with_style(ProgressStyle::with_template(style)?);
    loop {
        let mut running = false;
        for worker in workers.iter_mut() {
            running |= worker.try_wait()?.is_none();
        }
        let now = study::standing(study)?;
        bar.set_message(now.best.map_or("-".to_string(), |best| format!("{best:.4}")));
        bar.set_position(now.finished() as u64);
        if !running {
            bar.finish();
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn sum_up(study: &Study, task: &Task) -> Result<(), Box<dyn Error>> {
    let now = study::standing(study)?;
    println!(
        "\n{} trials: {} complete, {} pruned, {} failed.",
        now.finished(),
        now.complete,
        now.pruned,
        now.failed
    );
    if now.running > 0 {
        println!("{} more were begun and never finished: their workers died.", now.running);
    }
    let Some(best) = now.best else {
        println!("No trial was completed yet.");
        return Ok(());
    };
    println!("Best accuracy {best:.4} with");
    for line in study::best_params(study)? {
        println!("    {line}");
    }
    let path = if task.path == FILE { String::new() } else { format!(" -- {}", task.path) };
    println!("\nThe study is in {}. To go on from here, type", task.path);
    println!("    cargo run --release --example digits{path}");
    Ok(())
}
