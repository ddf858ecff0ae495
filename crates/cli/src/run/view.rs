//! What `run` shows while it runs: a live picture on a terminal, plain lines otherwise. All of it on standard error.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal as _, Write as _};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use trialog::{Direction, FrozenTrial, Study, TrialState};

use crate::output::{bad, bold, faint, good, short, sparkline};

const REDRAW_EVERY: Duration = Duration::from_millis(200);
const HISTORY_WIDTH: usize = 60;
/// How many running trials are named.
const RUNNING_MAX: usize = 8;

pub(crate) struct View {
    study: Study,
    wanted: Option<u64>,
    is_live: bool,
    is_quiet: bool,
    picture: Mutex<Picture>,
}

struct Picture {
    /// Lines on the terminal that the next drawing replaces.
    drawn: usize,
    last: Option<Instant>,
    running: BTreeMap<u32, Running>,
    /// The best value after each finished trial of this call.
    best: Vec<f64>,
    finished: u64,
}

struct Running {
    since: Instant,
    report: Option<(u64, f64)>,
}

impl View {
    pub(crate) fn new(study: &Study, wanted: Option<u64>, is_quiet: bool) -> View {
        let picture = Picture { drawn: 0, last: None, running: BTreeMap::new(), best: Vec::new(), finished: 0 };
        let is_live = !is_quiet && io::stderr().is_terminal();
        View { study: study.clone(), wanted, is_live, is_quiet, picture: Mutex::new(picture) }
    }

    pub(crate) fn begun(&self, trial: u32) {
        self.with(|picture| _ = picture.running.insert(trial, Running { since: Instant::now(), report: None }));
        self.tick();
    }

    pub(crate) fn reported(&self, trial: u32, step: u64, value: f64) {
        self.with(|picture| {
            if let Some(running) = picture.running.get_mut(&trial) {
                running.report = Some((step, value));
            }
        });
        self.tick();
    }

    /// A trial is no longer this process's.
    pub(crate) fn left(&self, trial: u32, what: &str) {
        self.with(|picture| _ = picture.running.remove(&trial));
        self.say(&format!("{} {trial} {what}", bold("trial")));
    }

    pub(crate) fn finished(&self, trial: &FrozenTrial, why: &str) {
        let best = self.study.best_trial().ok();
        self.with(|picture| {
            picture.running.remove(&trial.number.0);
            picture.finished += 1;
            picture.best.extend(best.as_ref().and_then(FrozenTrial::value));
        });
        let state = match trial.state {
            TrialState::Complete => good("complete"),
            TrialState::Pruned => faint("pruned"),
            _ => bad("failed"),
        };
        let values: Vec<String> = trial.values.iter().map(|value| short(*value)).collect();
        let mut line = format!("{} {} {state}", bold("trial"), trial.number);
        if !values.is_empty() {
            line += &format!(" {}", values.join(", "));
        }
        if !why.is_empty() {
            line += &format!(" ({why})");
        }
        let params: Vec<String> = trial.params.iter().map(|(name, value)| format!("{name}={value}")).collect();
        line += &format!("  {}", params.join(" "));
        if let Some((best, value)) = best.as_ref().and_then(|best| Some((best.number, best.value()?))) {
            line += &faint(&format!("  best {} in trial {best}", short(value)));
        }
        self.say(&line);
    }

    /// A line that stays.
    pub(crate) fn say(&self, line: &str) {
        if self.is_quiet {
            return;
        }
        self.with(|picture| {
            let mut err = io::stderr().lock();
            erase(&mut err, picture);
            let _ = writeln!(err, "{line}");
            picture.last = None;
        });
        self.tick();
    }

    /// Draws anew if it is time to.
    pub(crate) fn tick(&self) {
        if !self.is_live {
            return;
        }
        self.with(|picture| {
            if picture.last.is_some_and(|last| last.elapsed() < REDRAW_EVERY) {
                return;
            }
            picture.last = Some(Instant::now());
            let lines = self.lines(picture);
            let mut err = io::stderr().lock();
            erase(&mut err, picture);
            for line in &lines {
                let _ = writeln!(err, "{line}");
            }
            picture.drawn = lines.len();
        });
    }

    pub(crate) fn end(&self) {
        self.with(|picture| erase(&mut io::stderr().lock(), picture));
    }

    fn lines(&self, picture: &Picture) -> Vec<String> {
        let Ok(view) = self.study.view() else { return Vec::new() };
        let count = |state| view.count(state);
        let done = count(TrialState::Complete) + count(TrialState::Pruned) + count(TrialState::Fail);
        let progress = match self.wanted {
            Some(wanted) => format!("{}/{wanted}", picture.finished),
            None => picture.finished.to_string(),
        };
        let mut lines = vec![format!(
            "{} {progress} here  study {}: {done} done ({} pruned, {} failed), {} running",
            bold("trialog"),
            view.name(),
            count(TrialState::Pruned),
            count(TrialState::Fail),
            count(TrialState::Running),
        )];
        if let ([direction], Some(best)) = (view.directions(), view.best().next()) {
            let sign = if *direction == Direction::Maximize { "highest" } else { "lowest" };
            let value = best.value(0).map(short).unwrap_or_default();
            let history = sparkline(&picture.best, HISTORY_WIDTH);
            lines.push(format!("  {sign} {} in trial {}  {history}", good(&value), best.number()));
        }
        for (trial, running) in picture.running.iter().take(RUNNING_MAX) {
            let seconds = running.since.elapsed().as_secs();
            let report =
                running.report.map_or(String::new(), |(step, value)| format!("  step {step}: {}", short(value)));
            lines.push(faint(&format!("  trial {trial}  {seconds} s{report}")));
        }
        lines
    }

    fn with(&self, change: impl FnOnce(&mut Picture)) {
        change(&mut self.picture.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

fn erase(err: &mut impl io::Write, picture: &mut Picture) {
    if picture.drawn > 0 {
        // Up, and clear to the end of the screen.
        let _ = write!(err, "\u{1b}[{}A\u{1b}[J", picture.drawn);
        picture.drawn = 0;
    }
}
