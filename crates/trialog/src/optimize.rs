//! The loop: ask, evaluate, tell, in as many threads as wanted, until a budget is used up.

use std::any::Any;
use std::cell::RefCell;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use trialog_ops::{FinalState, TrialState};
use trialog_replay::{Reason, StudyView, TrialView};

use crate::error::{BoxError, Error, Kind, Result};
use crate::frozen::{FrozenTrial, Params};
use crate::study::{Study, StudyKey};
use crate::trial::{self, Pruned, Trial};
use crate::values::Values;

type Callback<'a> = Box<dyn Fn(&Study, &FrozenTrial) -> ControlFlow<()> + Sync + 'a>;
type Catch<'a> = Box<dyn Fn(&BoxError) -> bool + Sync + 'a>;

/// How long to wait for others who hold what is left of a budget before looking again.
const BUDGET_PAUSE_MIN: Duration = Duration::from_millis(10);
const BUDGET_PAUSE_MAX: Duration = Duration::from_millis(500);

thread_local! {
    /// The studies that this thread is optimizing, the innermost last.
    static INSIDE: RefCell<Vec<StudyKey>> = const { RefCell::new(Vec::new()) };
}

/// While it lives, this thread is optimizing the study.
struct Inside;

impl Inside {
    fn enter(study: &Study) -> Inside {
        INSIDE.with_borrow_mut(|inside| inside.push(study.key()));
        Inside
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        INSIDE.with_borrow_mut(Vec::pop);
    }
}

/// The runs of one handle and its clones that are under way, and whether they are to end.
#[derive(Debug, Default)]
pub(crate) struct Runs {
    count: Mutex<usize>,
    stop: AtomicBool,
}

impl Runs {
    /// Ends all of them after the trials that are running; none if there is no run.
    pub(crate) fn stop(&self) -> Option<()> {
        // A run cannot begin or end meanwhile.
        let count = self.count.lock().unwrap_or_else(PoisonError::into_inner);
        (*count > 0).then(|| self.stop.store(true, Ordering::Relaxed))
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

/// While it lives, there is a run.
struct Running<'a>(&'a Runs);

impl Running<'_> {
    fn enter(runs: &Runs) -> Running<'_> {
        let mut count = runs.count.lock().unwrap_or_else(PoisonError::into_inner);
        if *count == 0 {
            // What stopped the runs before is over. One that joins others which are being stopped is stopped with them.
            runs.stop.store(false, Ordering::Relaxed);
        }
        *count += 1;
        Running(runs)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        *self.0.count.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
    }
}

/// How to run an objective. Made by [`Study::optimizer`], ended by [`Optimizer::run`].
///
/// ```
/// # fn main() -> trialog::Result<()> {
/// use std::ops::ControlFlow;
/// use std::time::Duration;
///
/// let study = trialog::Study::in_memory()?;
/// study
///     .optimizer()
///     .timeout(Duration::from_secs(60))
///     .n_jobs(2)
///     .callback(|_, trial| match trial.value() {
///         Some(value) if value < 0.1 => ControlFlow::Break(()),
///         _ => ControlFlow::Continue(()),
///     })
///     .run(|trial| Ok(trial.suggest_float("x", 0.0..=1.0)?))?;
/// assert!(study.best_value()? < 0.1);
/// # Ok(())
/// # }
/// ```
pub struct Optimizer<'a> {
    study: &'a Study,
    n_trials: Option<usize>,
    timeout: Option<Duration>,
    n_jobs: usize,
    callbacks: Vec<Callback<'a>>,
    catch: Option<Catch<'a>>,
    progress_bar: bool,
}

impl<'a> Optimizer<'a> {
    pub(crate) fn new(study: &'a Study) -> Optimizer<'a> {
        Optimizer {
            study,
            n_trials: None,
            timeout: None,
            n_jobs: 1,
            callbacks: Vec::new(),
            catch: None,
            progress_bar: false,
        }
    }

    /// How many trials this call runs. Default: no limit.
    #[must_use]
    pub fn n_trials(mut self, n_trials: usize) -> Self {
        self.n_trials = Some(n_trials);
        self
    }

    /// No trial begins after this time; those that run then go on to their end. Default: no limit.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// How many threads evaluate trials. 0 stands for as many as the machine has. Default: 1.
    #[must_use]
    pub fn n_jobs(mut self, n_jobs: usize) -> Self {
        self.n_jobs = n_jobs;
        self
    }

    /// Called after every trial, also pruned and failed ones. `Break` ends the run after the trials that are
    /// running, as [`Study::stop`] does.
    #[must_use]
    pub fn callback(mut self, callback: impl Fn(&Study, &FrozenTrial) -> ControlFlow<()> + Sync + 'a) -> Self {
        self.callbacks.push(Box::new(callback));
        self
    }

    /// Goes on after an error of the objective for which this is true; the trial fails. Default: every error
    /// ends the run. A panic fails its trial and never ends the run.
    #[must_use]
    pub fn catch(mut self, catch: impl Fn(&BoxError) -> bool + Sync + 'a) -> Self {
        self.catch = Some(Box::new(catch));
        self
    }

    /// Shows a progress bar on standard error. Default: false. Needs the feature `progress`, and does nothing
    /// without it.
    #[must_use]
    pub fn progress_bar(mut self, show: bool) -> Self {
        self.progress_bar = show;
        self
    }

    /// Runs the objective until a limit is reached, the study's budget is spent, a sampler that enumerates the space has
    /// nothing left, [`Study::stop`] is called, or something fails.
    ///
    /// The objective returns one value per objective; a value that is NaN, or a wrong number of values, makes a
    /// failed trial. [`Pruned`] as its error makes a pruned trial. Any other error makes a failed trial and ends
    /// the run, unless [`Optimizer::catch`] says otherwise.
    ///
    /// # Errors
    /// The objective's error ([`Error::is_objective`]), what the log says, or being called from inside an
    /// objective or callback of the same study ([`Error::is_invalid`]).
    pub fn run<V: Values>(
        self,
        objective: impl Fn(&mut Trial) -> std::result::Result<V, BoxError> + Sync,
    ) -> Result<()> {
        let key = self.study.key();
        if INSIDE.with_borrow(|inside| inside.contains(&key)) {
            return Err(Error::invalid(format!(
                "study {:?} is being optimized by this thread: its objectives and callbacks cannot begin that anew; \
                 use another study inside",
                self.study.name()
            )));
        }
        let n_jobs = match self.n_jobs {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            n => n,
        };
        let _running = Running::enter(self.study.runs());
        let run = Run {
            bar: Bar::new(&self),
            optimizer: &self,
            begun: AtomicUsize::new(0),
            failed: AtomicBool::new(false),
            error: Mutex::new(None),
            started: Instant::now(),
        };
        if n_jobs == 1 {
            run.work(&objective);
        } else {
            std::thread::scope(|scope| {
                for _ in 0..n_jobs {
                    scope.spawn(|| run.work(&objective));
                }
            });
        }
        run.bar.finish();
        run.error.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
    }
}

/// One call of [`Optimizer::run`], shared by its threads.
struct Run<'a> {
    optimizer: &'a Optimizer<'a>,
    begun: AtomicUsize,
    failed: AtomicBool,
    /// The first error.
    error: Mutex<Option<Error>>,
    started: Instant,
    bar: Bar,
}

/// How an objective ended.
enum Outcome {
    Values(Vec<f64>),
    Pruned,
    /// Why it failed, and the error if that should end the run.
    Failed(String, Option<BoxError>),
}

impl Run<'_> {
    fn work<V: Values>(&self, objective: &(impl Fn(&mut Trial) -> std::result::Result<V, BoxError> + Sync)) {
        let _inside = Inside::enter(self.optimizer.study);
        while self.may_begin() {
            match self.one(objective) {
                Ok(ControlFlow::Continue(())) => {}
                Ok(ControlFlow::Break(())) => return,
                Err(error) => {
                    self.failed.store(true, Ordering::Relaxed);
                    self.error.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                }
            }
        }
    }

    fn may_begin(&self) -> bool {
        if !self.may_go_on() {
            return false;
        }
        let begun = self.begun.fetch_add(1, Ordering::Relaxed);
        self.optimizer.n_trials.is_none_or(|n_trials| begun < n_trials)
    }

    fn may_go_on(&self) -> bool {
        let optimizer = self.optimizer;
        if self.failed.load(Ordering::Relaxed) || optimizer.study.runs().is_stopped() {
            return false;
        }
        optimizer.timeout.is_none_or(|timeout| self.started.elapsed() < timeout)
    }

    /// The next trial, or none if the study's budget is spent or its sampler has nothing left. While others hold what is left of it this waits:
    /// one of them may fail or die, and nobody else may be there to go on.
    fn ask(&self) -> Result<Option<Trial>> {
        let study = self.optimizer.study;
        let mut pause = BUDGET_PAUSE_MIN;
        loop {
            let view = study.storage().view(study.id())?;
            // What waits in the queue was asked for, and is no matter of the sampler's.
            if view.count(TrialState::Waiting) == 0 && study.is_exhausted(&view)? {
                return Ok(None);
            }
            drop(view);
            let error = match study.ask() {
                Ok(trial) => return Ok(Some(trial)),
                Err(error) => error,
            };
            match error.rejection() {
                Some(Reason::BudgetSpent { reserved: true, .. })
                    if study.storage().is_any_running(study.id()) && self.may_go_on() =>
                {
                    // What ends the waiting is in the log, or is that its author is silent.
                    study.storage().wait(pause)?;
                    pause = (pause * 2).min(BUDGET_PAUSE_MAX);
                }
                Some(Reason::BudgetSpent { .. }) => return Ok(None),
                _ => return Err(error),
            }
        }
    }

    fn one<V: Values>(
        &self,
        objective: &(impl Fn(&mut Trial) -> std::result::Result<V, BoxError> + Sync),
    ) -> Result<ControlFlow<()>> {
        let study = self.optimizer.study;
        let Some(mut trial) = self.ask()? else { return Ok(ControlFlow::Break(())) };
        let outcome = self.evaluate(&mut trial, objective)?;
        let ending = match outcome {
            Outcome::Values(values) => {
                study.finish(&trial, FinalState::Complete, values)?;
                None
            }
            Outcome::Pruned => {
                let view = study.storage().view(study.id())?;
                let values = trial::pruned_values(&view, trial.number());
                drop(view);
                study.finish(&trial, FinalState::Pruned, values)?;
                None
            }
            Outcome::Failed(why, ending) => {
                let told = study.finish(&trial, FinalState::Fail, Vec::new());
                tracing::warn!(
                    study = study.name(),
                    trial = trial.number().0,
                    "trial {} failed: {why}",
                    trial.number()
                );
                match (told, ending) {
                    (Ok(()), ending) => ending,
                    // If the log is what failed, the first error says more than the ones that follow from it.
                    (Err(_), Some(source)) => {
                        return Err(Error::new(Kind::Objective { number: trial.number(), source }));
                    }
                    (Err(error), None) => return Err(error),
                }
            }
        };
        self.after(&trial)?;
        match ending {
            Some(source) => Err(Error::new(Kind::Objective { number: trial.number(), source })),
            None => Ok(ControlFlow::Continue(())),
        }
    }

    fn evaluate<V: Values>(
        &self,
        trial: &mut Trial,
        objective: &(impl Fn(&mut Trial) -> std::result::Result<V, BoxError> + Sync),
    ) -> Result<Outcome> {
        let caught = catch_unwind(AssertUnwindSafe(|| objective(trial).map(Values::into_values)));
        let objectives = self.optimizer.study.storage().view(self.optimizer.study.id())?.directions().len();
        Ok(match caught {
            Ok(Ok(values)) if values.len() != objectives => {
                let why = format!("it returned {} value(s) for {objectives} objective(s)", values.len());
                Outcome::Failed(why, None)
            }
            Ok(Ok(values)) if values.iter().any(|value| value.is_nan()) => {
                Outcome::Failed("its value is NaN".to_owned(), None)
            }
            Ok(Ok(values)) => Outcome::Values(values),
            Ok(Err(error)) if error.is::<Pruned>() => Outcome::Pruned,
            Ok(Err(error)) => {
                let why = error.to_string();
                let caught = self.optimizer.catch.as_ref().is_some_and(|catch| catch(&error));
                Outcome::Failed(why, (!caught).then_some(error))
            }
            Err(panic) => Outcome::Failed(format!("it panicked: {}", panic_message(&*panic)), None),
        })
    }

    /// The log line, the callbacks and the progress bar.
    fn after(&self, trial: &Trial) -> Result<()> {
        let study = self.optimizer.study;
        let wanted = !self.optimizer.callbacks.is_empty() || self.bar.is_shown();
        if !wanted && !tracing::enabled!(tracing::Level::INFO) {
            return Ok(());
        }
        let view = study.storage().view(study.id())?;
        let Some(finished) = view.trial(trial.number()) else { return Ok(()) };
        log_line(&view, finished);
        self.bar.advance(&view);
        if !self.optimizer.callbacks.is_empty() {
            let frozen = FrozenTrial::from(finished);
            drop(view);
            for callback in &self.optimizer.callbacks {
                if callback(study, &frozen).is_break() {
                    study.stop()?;
                }
            }
        }
        Ok(())
    }
}

fn log_line(view: &StudyView, trial: TrialView<'_>) {
    let number = trial.number().0;
    match trial.state() {
        TrialState::Complete => {
            let params = Params(trial.params().map(|(n, d, v)| (n.to_owned(), d.to_external(v))).collect());
            let values = joined(trial.values());
            match view.best().next() {
                Some(best) => tracing::info!(
                    study = view.name(),
                    "trial {number} finished with value {values} and parameters {params}; best is trial {} with value {}",
                    best.number(),
                    joined(best.values()),
                ),
                None => tracing::info!(
                    study = view.name(),
                    "trial {number} finished with values {values} and parameters {params}"
                ),
            }
        }
        TrialState::Pruned => match trial.reports().last() {
            Some((step, value)) => {
                tracing::info!(study = view.name(), "trial {number} pruned at step {step} with value {value:?}");
            }
            None => tracing::info!(study = view.name(), "trial {number} pruned"),
        },
        // A failure was said when its reason was known.
        _ => {}
    }
}

fn joined(values: impl Iterator<Item = f64>) -> String {
    values.map(|value| format!("{value:?}")).collect::<Vec<_>>().join(", ")
}

fn panic_message(panic: &(dyn Any + Send)) -> &str {
    match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(text), _) => text,
        (None, Some(text)) => text,
        (None, None) => "no message",
    }
}

/// The progress bar, if one is wanted and the feature is on.
#[cfg(feature = "progress")]
struct Bar(Option<indicatif::ProgressBar>);

#[cfg(feature = "progress")]
impl Bar {
    fn new(optimizer: &Optimizer<'_>) -> Bar {
        if !optimizer.progress_bar {
            return Bar(None);
        }
        let bar = match optimizer.n_trials {
            Some(n) => indicatif::ProgressBar::new(n as u64),
            None => indicatif::ProgressBar::no_length(),
        };
        let template = "{elapsed_precise} [{bar:32}] {pos}/{len} {msg}";
        if let Ok(style) = indicatif::ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("=> "));
        }
        Bar(Some(bar))
    }

    fn is_shown(&self) -> bool {
        self.0.is_some()
    }

    fn advance(&self, view: &StudyView) {
        let Some(bar) = &self.0 else { return };
        if let Some(best) = view.best().next() {
            bar.set_message(format!("best {} in trial {}", joined(best.values()), best.number()));
        }
        bar.inc(1);
    }

    fn finish(&self) {
        if let Some(bar) = &self.0 {
            bar.finish();
        }
    }
}

/// No progress bar without the feature.
#[cfg(not(feature = "progress"))]
struct Bar;

#[cfg(not(feature = "progress"))]
impl Bar {
    fn new(_optimizer: &Optimizer<'_>) -> Bar {
        Bar
    }

    fn is_shown(&self) -> bool {
        false
    }

    fn advance(&self, _view: &StudyView) {}

    fn finish(&self) {}
}
