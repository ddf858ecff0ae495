//! `trialog run`: a command, again and again, with parameters that a sampler suggests.

mod child;
mod metric;
mod template;
mod usage;
mod view;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use signal_hook::consts::{SIGINT, SIGTERM};
use trialog::pruners::Decision;
use trialog::{Budget, ParamValue, RetryPolicy, Study, Trial};

use crate::args;
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{trial_json, values_json, write_trial};
use crate::space::{Space, Values, choice_json};
use crate::study::no_space;
use child::{Ending, Limits, Stopped, Verdict};
use metric::{Collector, Report, Reports, Source};
use template::Template;
use view::View;

pub(crate) use metric::{json_object, number_of};

/// So many trials in a row that break the space's constraints mean that next to nothing in it meets them.
const INFEASIBLE_MAX: u64 = 10_000;
/// How long to wait before looking again whether others have left something of a budget.
const BUDGET_PAUSE: Duration = Duration::from_millis(200);

pub(crate) fn main(args: &args::Run) -> Outcome {
    if (args.cpu_limit.is_some() || args.memory_limit.is_some()) && !usage::KNOWN {
        return Err(Failure::usage("limits on processor time and memory can be held on Linux only"));
    }
    let sources: Vec<Source> = args.metric.iter().map(|metric| Source::parse(metric)).collect::<Outcome<_>>()?;
    let reports = args.report.as_deref().map_or(Ok(Reports::Json), Reports::parse)?;
    let (study, space) = args.make.study_under(&args.study, args.make.how(), Some(args.lease))?;
    let space = space.ok_or_else(|| no_space(&study))?;
    let objectives = study.directions()?.len();
    let sources = if sources.is_empty() { vec![Source::Last] } else { sources };
    if sources.len() != objectives && !matches!(*sources, [Source::Last]) {
        let message = format!(
            "study {:?} has {objectives} objective(s), and --metric is given {} time(s)",
            study.name(),
            sources.len()
        );
        return Err(Failure::usage(message));
    }
    let names: Vec<&str> = space.params.iter().map(|param| param.name.as_str()).collect();
    let template = Template::parse(&args.command, &names)?;
    if let Some(trials) = args.budget {
        let budget = Budget { trials: Some(trials), ..*study.view()?.budget() };
        study.set_budget(budget)?;
    }
    if let Some(retries_max) = args.retries {
        let policy = RetryPolicy { retries_max, ..study.view()?.retry_policy() };
        study.set_retry_policy(policy)?;
    }
    let output = match &args.output {
        Some(folder) => folder.clone(),
        None => default_output(&study),
    };
    let signals = Signals::new()?;
    let run = Run {
        args,
        view: View::new(&study, args.n_trials, args.quiet),
        limits: Limits {
            wall: args.trial_timeout,
            cpu: args.cpu_limit,
            memory: args.memory_limit,
            grace: args.grace,
        },
        storage: &args.study.storage.storage,
        begun: AtomicU64::new(0),
        infeasible: AtomicU64::new(0),
        failures: AtomicU64::new(0),
        is_over: AtomicBool::new(false),
        error: Mutex::new(None),
        deadline: args.timeout.map(|timeout| Instant::now() + timeout),
        study,
        space,
        template,
        sources,
        reports,
        objectives,
        output,
        signals,
    };
    run.all();
    run.end()
}

/// Beside the log, or in the working folder where the storage is no file.
fn default_output(study: &Study) -> PathBuf {
    let location = study.storage().location();
    let path = Path::new(location.strip_prefix("file:").unwrap_or(location));
    let beside = if path.is_file() { format!("{}.trials", path.display()) } else { "trials".to_owned() };
    let name: String =
        study.name().chars().map(|c| if c.is_alphanumeric() || "-_.".contains(c) { c } else { '_' }).collect();
    Path::new(&beside).join(name)
}

struct Run<'a> {
    args: &'a args::Run,
    study: Study,
    space: Space,
    template: Template,
    sources: Vec<Source>,
    reports: Reports,
    objectives: usize,
    output: PathBuf,
    limits: Limits,
    storage: &'a str,
    view: View,
    signals: Signals,
    begun: AtomicU64,
    /// Trials in a row that broke the space's constraints.
    infeasible: AtomicU64,
    /// Failed trials in a row.
    failures: AtomicU64,
    is_over: AtomicBool,
    /// The first thing that ended the run otherwise than well.
    error: Mutex<Option<Failure>>,
    deadline: Option<Instant>,
}

/// How a trial ended here.
enum End {
    Values(Vec<f64>),
    Pruned(String),
    Failed(String),
    /// It goes back into the queue.
    Requeued,
}

impl Run<'_> {
    fn all(&self) {
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..self.args.jobs.max(1)).map(|_| scope.spawn(|| self.work())).collect();
            while workers.iter().any(|worker| !worker.is_finished()) {
                std::thread::sleep(Duration::from_millis(50));
                match self.signals.look() {
                    Some(Heard::FirstInterrupt) => self.view.say(
                        "stopping: running trials go on to their end; Ctrl-C again puts them back into the queue",
                    ),
                    Some(Heard::Stop) => self.view.say("stopping now: running trials go back into the queue"),
                    None => {}
                }
                self.view.tick();
            }
        });
        self.view.end();
    }

    fn end(self) -> Outcome {
        if let Some(failure) = self.error.into_inner().unwrap_or_else(PoisonError::into_inner) {
            return Err(failure);
        }
        let best = self.study.best_trials()?;
        if !self.args.quiet && !best.is_empty() {
            use std::io::{IsTerminal as _, Write as _};
            let mut out = std::io::stdout().lock();
            for trial in &best {
                if out.is_terminal() {
                    write_trial(&mut out, trial)?;
                } else {
                    writeln!(out, "{}", trial_json(trial))?;
                }
            }
        }
        match self.signals.heard() {
            Some(exit) => Err(Failure::silent(exit)),
            None => Ok(()),
        }
    }

    fn fail(&self, failure: Failure) {
        self.is_over.store(true, Ordering::Relaxed);
        self.error.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(failure);
    }

    fn may_begin(&self) -> bool {
        !self.is_over.load(Ordering::Relaxed)
            && !self.signals.no_more()
            && self.deadline.is_none_or(|deadline| Instant::now() < deadline)
    }

    fn work(&self) {
        while self.may_begin() {
            // A place is taken first, so that no more trials begin than were asked for.
            let place = self.begun.fetch_add(1, Ordering::Relaxed);
            if self.args.n_trials.is_some_and(|n_trials| place >= n_trials) {
                return;
            }
            match self.one() {
                Ok(true) => {}
                Ok(false) => return,
                Err(failure) => return self.fail(failure),
            }
        }
    }

    /// One trial; false if there is none to be had.
    fn one(&self) -> Outcome<bool> {
        loop {
            let Some(mut trial) = self.ask()? else { return Ok(false) };
            let values = match self.space.suggest(&mut trial) {
                Ok(values) => values,
                Err(error) => {
                    self.study.tell_failed(&trial)?;
                    return Err(Failure::invalid(error));
                }
            };
            if !self.is_feasible(&mut trial, &values)? {
                continue;
            }
            let end = self.evaluate(&mut trial, &values)?;
            self.tell(trial, end)?;
            return Ok(true);
        }
    }

    fn ask(&self) -> Outcome<Option<Trial>> {
        loop {
            match self.study.ask() {
                Ok(trial) => return Ok(Some(trial)),
                Err(error) if error.is_budget_spent() => {
                    // One that runs may fail and leave its place to us.
                    let view = self.study.view()?;
                    let budget = view.budget();
                    let may_free = budget.finished.is_some() && view.running().next().is_some();
                    if !may_free || !self.may_begin() {
                        return Ok(None);
                    }
                    drop(view);
                    std::thread::sleep(BUDGET_PAUSE);
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Notes by how much the constraints of the space are violated, and ends a trial that breaks one, without running it.
    fn is_feasible(&self, trial: &mut Trial, values: &Values) -> Outcome<bool> {
        let violations = self.space.violations(values).map_err(Failure::invalid)?;
        for (name, by) in &violations {
            trial.set_constraint(name, *by)?;
        }
        let Some((name, _)) = violations.iter().find(|(_, by)| *by > 0.0) else {
            self.infeasible.store(0, Ordering::Relaxed);
            return Ok(true);
        };
        trial.set_user_attr("infeasible", *name)?;
        self.study.tell_pruned(trial)?;
        if self.infeasible.fetch_add(1, Ordering::Relaxed) > INFEASIBLE_MAX {
            let message = format!(
                "{INFEASIBLE_MAX} trials in a row broke a constraint, the last one {name:?}: can it be met?"
            );
            return Err(Failure::invalid(message));
        }
        Ok(false)
    }

    fn evaluate(&self, trial: &mut Trial, values: &Values) -> Outcome<End> {
        let number = trial.number().0;
        let dir = self.output.join(format!("{number:06}"));
        std::fs::create_dir_all(&dir).map_err(|error| Failure::file("make", &dir, &error))?;
        let dir = std::path::absolute(&dir).map_err(|error| Failure::file("find", &dir, &error))?;
        let params = values_json(values).to_string();
        let params_path = dir.join("params.json");
        std::fs::write(&params_path, format!("{params}\n"))
            .map_err(|error| Failure::file("write", &params_path, &error))?;

        let texts = self.texts(number, &dir, &params_path, values);
        let arguments = match self.template.fill(&texts) {
            Ok(arguments) => arguments,
            Err(failure) => {
                self.study.tell_failed(trial)?;
                return Err(failure);
            }
        };
        let mut command = Command::new(&arguments[0]);
        command.args(&arguments[1..]);
        command
            .env("TRIALOG_TRIAL", number.to_string())
            .env("TRIALOG_STUDY", self.study.name())
            .env("TRIALOG_STORAGE", self.storage)
            .env("TRIALOG_DIR", &dir)
            .env("TRIALOG_PARAMS", &params);
        for (name, value) in values {
            command.env(variable(name), text_of(value));
        }
        trial.set_system_attr("trialog:dir", dir.display().to_string())?;
        self.view.begun(number);

        let mut collector = Collector::new(&self.sources, &self.reports);
        let mut listen = |line: Option<(&str, bool)>| {
            if self.signals.stop_now() {
                return Verdict::Stop(Stopped::Signal);
            }
            let Some((line, is_stdout)) = line else { return Verdict::GoOn };
            match collector.line(line, is_stdout) {
                Some(report) => self.report(trial, report),
                None => Verdict::GoOn,
            }
        };
        let ending = child::run(&mut command, &dir, &self.limits, &mut listen);
        Ok(match ending {
            // A command that cannot be started will not start the next time either.
            Err(why) => {
                self.study.tell_failed(trial)?;
                return Err(Failure::new(Exit::Failed, why));
            }
            Ok(Ending::Stopped(Stopped::Pruned(why))) => End::Pruned(why),
            Ok(Ending::Stopped(Stopped::Limit(why))) => End::Failed(why),
            Ok(Ending::Stopped(Stopped::Signal)) => End::Requeued,
            Ok(Ending::Stopped(Stopped::Log(why))) => return Err(Failure::new(Exit::Unavailable, why)),
            Ok(Ending::Exited(status)) => {
                let by_exit = self.sources.iter().any(|source| matches!(source, Source::Exit));
                match status.code() {
                    Some(code) if code == 0 || by_exit => {
                        collector.values(self.objectives, &dir, code).map_or_else(End::Failed, End::Values)
                    }
                    Some(code) => End::Failed(format!("exit code {code}")),
                    None => End::Failed(signal_name(status)),
                }
            }
        })
    }

    fn report(&self, trial: &mut Trial, mut report: Report) -> Verdict {
        // Several objectives have no one value on the way.
        report.value = report.value.filter(|_| self.objectives == 1);
        match self.judged(trial, &report) {
            Ok(Decision::Prune { reason, .. }) => Verdict::Stop(Stopped::Pruned(reason)),
            Ok(_) => Verdict::GoOn,
            // Somebody else has ended it, or taken it: what it still does is of no use.
            Err(error) if error.is_finished_trial() => Verdict::Stop(Stopped::Log(error.to_string())),
            Err(error) => Verdict::Stop(Stopped::Log(error.to_string())),
        }
    }

    fn judged(&self, trial: &mut Trial, report: &Report) -> trialog::Result<Decision> {
        let Report { step, value, metrics } = report;
        if let Some(shown) = value.or_else(|| metrics.first().map(|(_, value)| *value)) {
            self.view.reported(trial.number().0, *step, shown);
        }
        if let Some(value) = value {
            trial.report(*step, *value)?;
        }
        if !metrics.is_empty() {
            trial.report_metrics(*step, metrics.iter().map(|(name, value)| (name, *value)))?;
        }
        if self.objectives == 1 || self.study.can_prune()? { trial.decide() } else { Ok(Decision::Continue) }
    }

    fn tell(&self, mut trial: Trial, end: End) -> Outcome {
        let (told, why, failed) = match end {
            End::Values(values) => (self.study.tell(&trial, values)?, String::new(), false),
            End::Pruned(why) => {
                trial.set_user_attr("pruned", why.as_str())?;
                (self.study.tell_pruned(&trial)?, why, false)
            }
            End::Failed(why) => {
                trial.set_user_attr("failure", why.as_str())?;
                (self.study.tell_failed(&trial)?, why, true)
            }
            End::Requeued => {
                if self.signals.heard() == Some(Exit::Terminated) {
                    trial.set_user_attr("preempted", true)?;
                }
                self.study.requeue(&trial)?;
                self.view.left(trial.number().0, "went back into the queue");
                return Ok(());
            }
        };
        self.view.finished(&told, &why);
        if !failed {
            self.failures.store(0, Ordering::Relaxed);
            return Ok(());
        }
        let failures = self.failures.fetch_add(1, Ordering::Relaxed) + 1;
        if self.args.max_failures > 0 && failures >= self.args.max_failures {
            let dir = self.output.join(format!("{:06}", told.number.0));
            return Err(Failure::new(
                Exit::Failed,
                format!(
                    "{failures} trials in a row failed, the last one: {why}; its output is in {}",
                    dir.display()
                ),
            ));
        }
        Ok(())
    }

    fn texts(&self, number: u32, dir: &Path, params: &Path, values: &Values) -> BTreeMap<String, String> {
        let mut texts = BTreeMap::from([
            ("trial".to_owned(), number.to_string()),
            ("dir".to_owned(), dir.display().to_string()),
            ("params".to_owned(), params.display().to_string()),
        ]);
        // A parameter of such a name comes first.
        texts.extend(values.iter().map(|(name, value)| (name.clone(), text_of(value))));
        texts
    }
}

/// A parameter's value as an argument: a text without quotes.
fn text_of(value: &ParamValue) -> String {
    match choice_json(&value.as_choice()) {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

/// The environment variable of a parameter: other signs than letters and digits become `_`.
fn variable(name: &str) -> String {
    let sign = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    format!("TRIALOG_PARAM_{}", name.chars().map(sign).collect::<String>())
}

#[cfg(unix)]
fn signal_name(status: std::process::ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt as _;
    let signal = status.signal().and_then(|number| nix::sys::signal::Signal::try_from(number).ok());
    signal.map_or_else(|| "killed by a signal".to_owned(), |signal| format!("killed by {signal}"))
}

#[cfg(not(unix))]
fn signal_name(_status: std::process::ExitStatus) -> String {
    "it was killed".to_owned()
}

/// What the user's signals mean: the first Ctrl-C lets running trials end, the second one and SIGTERM do not.
struct Signals {
    interrupt: Arc<AtomicBool>,
    terminate: Arc<AtomicBool>,
    interrupts: AtomicUsize,
    is_terminated: AtomicBool,
}

enum Heard {
    FirstInterrupt,
    Stop,
}

impl Signals {
    fn new() -> Outcome<Signals> {
        let signals = Signals {
            interrupt: Arc::default(),
            terminate: Arc::default(),
            interrupts: AtomicUsize::new(0),
            is_terminated: AtomicBool::new(false),
        };
        signal_hook::flag::register(SIGINT, Arc::clone(&signals.interrupt))?;
        signal_hook::flag::register(SIGTERM, Arc::clone(&signals.terminate))?;
        Ok(signals)
    }

    /// What came since the last look; only the main thread looks.
    fn look(&self) -> Option<Heard> {
        if self.terminate.swap(false, Ordering::Relaxed) {
            self.is_terminated.store(true, Ordering::Relaxed);
            return Some(Heard::Stop);
        }
        if !self.interrupt.swap(false, Ordering::Relaxed) {
            return None;
        }
        match self.interrupts.fetch_add(1, Ordering::Relaxed) {
            0 => Some(Heard::FirstInterrupt),
            _ => Some(Heard::Stop),
        }
    }

    fn no_more(&self) -> bool {
        self.interrupts.load(Ordering::Relaxed) > 0 || self.is_terminated.load(Ordering::Relaxed)
    }

    fn stop_now(&self) -> bool {
        self.interrupts.load(Ordering::Relaxed) > 1 || self.is_terminated.load(Ordering::Relaxed)
    }

    fn heard(&self) -> Option<Exit> {
        if self.is_terminated.load(Ordering::Relaxed) {
            Some(Exit::Terminated)
        } else if self.interrupts.load(Ordering::Relaxed) > 0 {
            Some(Exit::Interrupted)
        } else {
            None
        }
    }
}

/// A trial begun for somebody outside: what `ask` and `stdio` answer.
pub(crate) fn asked(trial: &Trial, values: &Values) -> Value {
    json!({"trial": trial.number().0, "params": values_json(values)})
}
