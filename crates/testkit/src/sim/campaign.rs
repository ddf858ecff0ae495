//! Many seeds on all processors, and what is kept of those that fail.

use super::plan::Plan;
use super::{Counts, Keep, Shrunk, run, run_with, shrink};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// What to run.
#[derive(Clone, Debug)]
pub struct Campaign {
    /// The first seed. Default: 0.
    pub first: u64,
    /// How many seeds. Default: 10,000.
    pub seeds: u64,
    /// One seed, with all it does written down.
    pub only: Option<u64>,
    /// How many crash images at least. Default: 100,000.
    pub images: u64,
    /// A thousand times as many seeds and a hundred times as many images. Default: no.
    pub long: bool,
    /// Where logs and traces of failing runs are kept. Default: `target/sim-failures`.
    pub keep: PathBuf,
}

impl Default for Campaign {
    fn default() -> Campaign {
        Campaign {
            first: 0,
            seeds: 10_000,
            only: None,
            images: 100_000,
            long: false,
            keep: PathBuf::from("target/sim-failures"),
        }
    }
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Report {
    /// Runs made.
    pub seeds: u64,
    /// Sums over all runs.
    pub counts: Counts,
    /// How long the runs took.
    pub run_time: Duration,
    /// What came of the crash images.
    pub images: super::images::Tally,
    /// How long these took.
    pub image_time: Duration,
    /// A text for each failure.
    pub failures: Vec<String>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counts {
            calls, acknowledged, durable, errors, deaths, power_losses, holes, records, survivors, ..
        } = self.counts;
        let per_second = |count: u64, time: Duration| count as f64 / time.as_secs_f64().max(1e-9);
        writeln!(
            f,
            "{} seeds in {:.1} s ({:.0} a second), {calls} calls ({:.0} a second)",
            self.seeds,
            self.run_time.as_secs_f64(),
            per_second(self.seeds, self.run_time),
            per_second(calls, self.run_time)
        )?;
        writeln!(
            f,
            "  {acknowledged} records acknowledged, {durable} of them durable; {records} in the logs at the end; \
             {errors} errors, {deaths} deaths, {power_losses} losses of power; \
             {holes} holes ({} of them gone on behind), {} false alarms, {} phantoms; {} compactions, {} segments and {} folded records in the logs at the end; {survivors} clients \
             compared their states",
            self.counts.set_aside,
            self.counts.false_alarms,
            self.counts.phantoms,
            self.counts.compactions,
            self.counts.segments,
            self.counts.folded
        )?;
        writeln!(
            f,
            "{} crash images in {:.1} s ({:.0} a second): {}",
            self.images.images,
            self.image_time.as_secs_f64(),
            per_second(self.images.images, self.image_time),
            self.images
        )?;
        for failure in &self.failures {
            writeln!(f, "\n{failure}")?;
        }
        write!(f, "{} failures", self.failures.len())
    }
}

/// Runs the simulator on all processors; stops after a few failures.
#[must_use]
pub fn campaign(campaign: &Campaign) -> Report {
    if let Some(seed) = campaign.only {
        return one(campaign, seed);
    }
    let (seeds, images) = if campaign.long {
        (campaign.seeds.saturating_mul(1000), campaign.images.saturating_mul(100))
    } else {
        (campaign.seeds, campaign.images)
    };
    let workers = std::thread::available_parallelism().map_or(2, usize::from) as u64;
    let report = Mutex::new(Report::default());
    let begin = Instant::now();
    let next = AtomicU64::new(0);
    let failed = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                let mut counts = Counts::default();
                let mut runs = 0;
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= seeds || failed.load(Ordering::Relaxed) >= 5 {
                        break;
                    }
                    let plan = Plan::draw(campaign.first.wrapping_add(index));
                    let outcome = run(&plan);
                    runs += 1;
                    counts.add(&outcome.counts);
                    if !outcome.violations.is_empty() {
                        failed.fetch_add(1, Ordering::Relaxed);
                        let text = explain(&plan, &outcome.violations, &campaign.keep);
                        lock(&report).failures.push(text);
                    }
                }
                let mut report = lock(&report);
                report.counts.add(&counts);
                report.seeds += runs;
            });
        }
    });
    lock(&report).run_time = begin.elapsed();

    let begin = Instant::now();
    let made = AtomicU64::new(0);
    let next = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while made.load(Ordering::Relaxed) < images {
                    let seed = campaign.first.wrapping_add(next.fetch_add(1, Ordering::Relaxed));
                    let tally = super::images::check_seed(seed);
                    made.fetch_add(tally.images, Ordering::Relaxed);
                    let mut report = lock(&report);
                    if let Some(failure) = &tally.failure
                        && report.failures.len() < 10
                    {
                        let text = format!("crash images of seed {seed}: {failure}");
                        report.failures.push(text);
                    }
                    report.images.add(&tally);
                }
            });
        }
    });
    let mut report = report.into_inner().unwrap_or_else(PoisonError::into_inner);
    report.image_time = begin.elapsed();
    report
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One seed, with its trace.
fn one(campaign: &Campaign, seed: u64) -> Report {
    let plan = Plan::draw(seed);
    let begin = Instant::now();
    let outcome = run_with(&plan, None, Keep { trace: true, steps: false });
    println!("{plan}\n{}", outcome.trace.join("\n"));
    let mut report = Report { seeds: 1, counts: outcome.counts, run_time: begin.elapsed(), ..Report::default() };
    if !outcome.violations.is_empty() {
        report.failures.push(explain(&plan, &outcome.violations, &campaign.keep));
    }
    report
}

/// Shrinks a failing run, keeps its log and its trace in files, and says all that it takes to see it again.
#[must_use]
pub fn explain(plan: &Plan, violations: &[String], keep: &Path) -> String {
    let Shrunk { plan: small, decisions, outcome, runs } = shrink(plan, 400);
    let log = keep.join(format!("seed-{}.tlog", plan.seed));
    let text = keep.join(format!("seed-{}.txt", plan.seed));
    let mut report = format!("{plan}\nfails:\n");
    for violation in violations {
        report += &format!("  {violation}\n");
    }
    report += &format!("shrunk in {runs} runs to {} decisions:\n{small}\n", decisions.len());
    for ((call, _), choice) in &decisions {
        report += &format!("  at call {call}: {choice:?}\n");
    }
    report += "fails:\n";
    for violation in &outcome.violations {
        report += &format!("  {violation}\n");
    }
    let trace = outcome.trace.join("\n");
    let files = outcome.files.iter().try_for_each(|(number, bytes)| {
        std::fs::create_dir_all(keep)?;
        let suffix = if *number == 0 { String::new() } else { format!(".{number:06}") };
        std::fs::write(keep.join(format!("seed-{}.tlog{suffix}", plan.seed)), bytes)
    });
    let kept = files.and_then(|()| std::fs::write(&text, format!("{report}\n{trace}\n")));
    report += &match kept {
        Ok(()) => format!("the shrunk run's log is in {}, its trace in {}", log.display(), text.display()),
        Err(error) => format!("its log could not be kept ({error})\n{trace}"),
    };
    report
}
