//! Trials that are behind the others at the same step end: the median pruner and its generalization.
//!
//! The median rule is that of Golovin, Solnik, Moitra, Kochanski, Karro and Sculley, "Google Vizier: a service for
//! black-box optimization" (KDD 2017), section 3.5.2, in the form and with the defaults of Optuna 5. Two things
//! differ from Optuna where values are not finite. NaN is no value: it does not count towards `n_min_trials`. And
//! an infinite value among others has its place in their order like any other, where numpy's arithmetic makes the
//! percentile NaN and Optuna goes on.

use trialog_ops::{ComponentSpec, Direction, Json, TrialNumber, TrialState};
use trialog_replay::StudyView;

use crate::options::Reader;
use crate::registry::Options;
use crate::target::{Target, targeted};
use crate::{Decision, Pruner};

/// Prunes a trial whose best value so far is worse than a percentile of what the complete trials reported at the
/// same step.
///
/// The step is the largest that the trial has reported. Ask after each report: within an interval of steps only
/// the trial's first report is judged.
#[derive(Clone, Debug, PartialEq)]
pub struct Percentile {
    percentile: f64,
    n_startup_trials: usize,
    n_warmup_steps: u64,
    interval_steps: u64,
    n_min_trials: usize,
    target: Target,
}

impl Percentile {
    targeted!(target);

    /// Keeps the trials inside the best `percentile` percent, from 0 to 100; what is outside counts as the nearer
    /// end, and NaN as 100.
    #[must_use]
    pub fn new(percentile: f64) -> Percentile {
        Percentile {
            percentile: if percentile.is_nan() { 100.0 } else { percentile.clamp(0.0, 100.0) },
            n_startup_trials: 5,
            n_warmup_steps: 0,
            interval_steps: 1,
            n_min_trials: 1,
            target: Target::default(),
        }
    }

    /// Nothing is pruned before this many trials are complete. Default 5; one is needed in any case.
    #[must_use]
    pub fn n_startup_trials(mut self, trials: usize) -> Percentile {
        self.n_startup_trials = trials;
        self
    }

    /// Nothing is pruned before this step. Default 0.
    #[must_use]
    pub fn n_warmup_steps(mut self, steps: u64) -> Percentile {
        self.n_warmup_steps = steps;
        self
    }

    /// From the warmup on, a trial is judged once in so many steps: at its first report in each such interval.
    /// Default 1; 0 counts as 1.
    #[must_use]
    pub fn interval_steps(mut self, steps: u64) -> Percentile {
        self.interval_steps = steps.max(1);
        self
    }

    /// A trial is only judged where this many complete trials reported a number. Default 1; 0 counts as 1.
    #[must_use]
    pub fn n_min_trials(mut self, trials: usize) -> Percentile {
        self.n_min_trials = trials.max(1);
        self
    }

    /// Reads the options of a log; all but `percentile` have a default.
    ///
    /// # Errors
    /// An option that does not exist or has no meaning, in words.
    pub fn from_options(options: &Options) -> Result<Percentile, String> {
        let mut reader = Reader::new(options);
        let percentile = reader.percentage("percentile")?.ok_or("option percentile is missing")?;
        let pruner = Percentile::new(percentile).read(&mut reader)?;
        reader.finish()?;
        Ok(pruner)
    }

    /// With the options that all percentiles share.
    fn read(mut self, reader: &mut Reader) -> Result<Percentile, String> {
        self.n_startup_trials = reader.count("n_startup_trials", 0)?.unwrap_or(self.n_startup_trials);
        self.n_warmup_steps = reader.count("n_warmup_steps", 0)?.unwrap_or(self.n_warmup_steps);
        self.interval_steps = reader.count("interval_steps", 1)?.unwrap_or(self.interval_steps);
        self.n_min_trials = reader.count("n_min_trials", 1)?.unwrap_or(self.n_min_trials);
        self.target = Target::read(reader)?;
        Ok(self)
    }

    fn options(&self) -> Options {
        let mut options = Options::from_iter([
            ("n_startup_trials".to_owned(), self.n_startup_trials.into()),
            ("n_warmup_steps".to_owned(), self.n_warmup_steps.into()),
            ("interval_steps".to_owned(), self.interval_steps.into()),
            ("n_min_trials".to_owned(), self.n_min_trials.into()),
        ]);
        self.target.write(&mut options);
        options
    }

    /// Why the trial should stop, if it should; `percentile` is what the rule calls its threshold.
    fn reason(&self, view: &StudyView, number: TrialNumber, percentile: &str) -> Option<String> {
        let (series, direction) = self.target.of(view)?;
        let reports = series.reports(number);
        let (&(step, _), before) = reports.split_last()?;
        let complete = view.count(TrialState::Complete);
        if complete < self.n_startup_trials.max(1)
            || !is_due(step, before, self.n_warmup_steps, self.interval_steps)
        {
            return None;
        }
        let Some(best) = best(reports, direction) else {
            return Some(format!("all values up to step {step} are NaN ({} reported)", reports.len()));
        };
        let peers = series.complete_at(step).filter(|peers| peers.len() >= self.n_min_trials)?;
        let share = match direction {
            Direction::Minimize => self.percentile,
            Direction::Maximize => 100.0 - self.percentile,
        };
        let threshold = peers.quantile(share / 100.0)?;
        direction.is_better(threshold, best).then(|| {
            let peers = peers.len();
            format!(
                "{best:?}, the best value up to step {step}, is worse than {threshold:?}, the {percentile} of \
                 {peers} complete trials there"
            )
        })
    }
}

/// True if the report at `step` is the trial's first in its interval, and not before the warmup.
pub(crate) fn is_due(step: u64, before: &[(u64, f64)], n_warmup_steps: u64, interval_steps: u64) -> bool {
    let Some(after_warmup) = step.checked_sub(n_warmup_steps) else { return false };
    let begin = step - after_warmup % interval_steps;
    before.last().is_none_or(|&(last, _)| last < begin)
}

/// The best value that was reported, NaN aside.
pub(crate) fn best(reports: &[(u64, f64)], direction: Direction) -> Option<f64> {
    let values = reports.iter().map(|&(_, value)| value).filter(|value| !value.is_nan());
    values.reduce(|best, value| if direction.is_better(value, best) { value } else { best })
}

impl Pruner for Percentile {
    fn spec(&self) -> ComponentSpec {
        let mut options = self.options();
        options.insert("percentile".to_owned(), self.percentile.into());
        ComponentSpec {
            name: "percentile".to_owned(),
            version: 1,
            options: Json::from(serde_json::Value::Object(options)),
        }
    }

    fn applies_to(&self, view: &StudyView) -> bool {
        self.target.of(view).is_some()
    }

    fn decide(&self, view: &StudyView, number: TrialNumber) -> Decision {
        let threshold = format!("percentile {}", self.percentile);
        Decision::prune_if(&self.target.rule("percentile pruner"), self.reason(view, number, &threshold))
    }
}

/// Prunes a trial whose best value so far is worse than the median of what the complete trials reported at the
/// same step: the [`Percentile`] pruner at 50. What a study uses that names no pruner.
#[derive(Clone, Debug, PartialEq)]
pub struct Median(Percentile);

impl Default for Median {
    fn default() -> Median {
        Median::new()
    }
}

impl Median {
    /// The median pruner with its defaults.
    #[must_use]
    pub fn new() -> Median {
        Median(Percentile::new(50.0))
    }

    /// As [`Percentile::n_startup_trials`]. Default 5.
    #[must_use]
    pub fn n_startup_trials(self, trials: usize) -> Median {
        Median(self.0.n_startup_trials(trials))
    }

    /// As [`Percentile::n_warmup_steps`]. Default 0.
    #[must_use]
    pub fn n_warmup_steps(self, steps: u64) -> Median {
        Median(self.0.n_warmup_steps(steps))
    }

    /// As [`Percentile::interval_steps`]. Default 1; 0 counts as 1.
    #[must_use]
    pub fn interval_steps(self, steps: u64) -> Median {
        Median(self.0.interval_steps(steps))
    }

    /// As [`Percentile::n_min_trials`]. Default 1; 0 counts as 1.
    #[must_use]
    pub fn n_min_trials(self, trials: usize) -> Median {
        Median(self.0.n_min_trials(trials))
    }

    /// As [`Percentile::metric`].
    #[must_use]
    pub fn metric(self, name: &str) -> Median {
        Median(self.0.metric(name))
    }

    /// As [`Percentile::direction`].
    #[must_use]
    pub fn direction(self, direction: Direction) -> Median {
        Median(self.0.direction(direction))
    }

    /// Reads the options of a log; what is not named has its default.
    ///
    /// # Errors
    /// An option that does not exist or has no meaning, in words.
    pub fn from_options(options: &Options) -> Result<Median, String> {
        let mut reader = Reader::new(options);
        let pruner = Median(Median::new().0.read(&mut reader)?);
        reader.finish()?;
        Ok(pruner)
    }
}

impl Pruner for Median {
    fn spec(&self) -> ComponentSpec {
        ComponentSpec {
            name: "median".to_owned(),
            version: 1,
            options: Json::from(serde_json::Value::Object(self.0.options())),
        }
    }

    fn applies_to(&self, view: &StudyView) -> bool {
        self.0.applies_to(view)
    }

    fn decide(&self, view: &StudyView, number: TrialNumber) -> Decision {
        Decision::prune_if(&self.0.target.rule("median pruner"), self.0.reason(view, number, "median"))
    }
}
