//! Trials whose values leave what is sane end: no comparison with others, for losses that run away.
//!
//! The rule and the defaults are those of Optuna 5's threshold pruner.

use trialog_ops::{ComponentSpec, TrialNumber};
use trialog_replay::StudyView;

use crate::options::Reader;
use crate::percentile::is_due;
use crate::registry::Options;
use crate::target::Target;
use crate::{Decision, Pruner};

/// Prunes a trial whose latest value is NaN or outside of bounds, whichever way the study goes. Bounds are inside.
///
/// Ask after each report: within an interval of steps only the trial's first report is judged.
#[derive(Clone, Debug, PartialEq)]
pub struct Threshold {
    lower: Option<f64>,
    upper: Option<f64>,
    n_warmup_steps: u64,
    interval_steps: u64,
    target: Target,
}

impl Threshold {
    /// Prunes what is below this value. What is not finite is no bound.
    #[must_use]
    pub fn lower(bound: f64) -> Threshold {
        Threshold::between(bound, f64::INFINITY)
    }

    /// Prunes what is above this value. What is not finite is no bound.
    #[must_use]
    pub fn upper(bound: f64) -> Threshold {
        Threshold::between(f64::NEG_INFINITY, bound)
    }

    /// Prunes what is below the one or above the other, which may stand in any order. What is not finite is no bound;
    /// without any, only NaN is pruned.
    #[must_use]
    pub fn between(lower: f64, upper: f64) -> Threshold {
        let (lower, upper) = if lower > upper { (upper, lower) } else { (lower, upper) };
        let bound = |value: f64| value.is_finite().then_some(value);
        Threshold {
            lower: bound(lower),
            upper: bound(upper),
            n_warmup_steps: 0,
            interval_steps: 1,
            target: Target::default(),
        }
    }

    /// Nothing is pruned before this step. Default 0.
    #[must_use]
    pub fn n_warmup_steps(mut self, steps: u64) -> Threshold {
        self.n_warmup_steps = steps;
        self
    }

    /// From the warmup on, a trial is judged once in so many steps: at its first report in each such interval.
    /// Default 1; 0 counts as 1.
    #[must_use]
    pub fn interval_steps(mut self, steps: u64) -> Threshold {
        self.interval_steps = steps.max(1);
        self
    }

    /// Reads this metric, of those that [`Op::ReportMetrics`](trialog_ops::Op::ReportMetrics) reports, in the place of
    /// the values without a name: in studies of several objectives, too. A trial that does not report it goes on.
    #[must_use]
    pub fn metric(mut self, name: &str) -> Threshold {
        self.target = self.target.metric(name);
        self
    }

    /// Reads the options of a log; what is not named has its default. `lower` and `upper` are null or missing where
    /// there is no such bound.
    ///
    /// # Errors
    /// An option that does not exist or has no meaning, in words.
    pub fn from_options(options: &Options) -> Result<Threshold, String> {
        let mut reader = Reader::new(options);
        let pruner = Threshold {
            lower: reader.number("lower")?,
            upper: reader.number("upper")?,
            n_warmup_steps: reader.count("n_warmup_steps", 0)?.unwrap_or(0),
            interval_steps: reader.count("interval_steps", 1)?.unwrap_or(1),
            target: Target::read_metric(&mut reader)?,
        };
        reader.finish()?;
        match (pruner.lower, pruner.upper) {
            (Some(lower), Some(upper)) if lower > upper => {
                Err(format!("option lower must be at most upper, which is {upper:?}, not {lower:?}"))
            }
            _ => Ok(pruner),
        }
    }

    fn reason(&self, view: &StudyView, number: TrialNumber) -> Option<String> {
        let (&(step, value), before) = self.target.series(view)?.reports(number).split_last()?;
        if !is_due(step, before, self.n_warmup_steps, self.interval_steps) {
            return None;
        }
        let lower = self.lower.filter(|&lower| value < lower).map(|lower| format!("below {lower:?}"));
        let upper = self.upper.filter(|&upper| value > upper).map(|upper| format!("above {upper:?}"));
        let outside = lower.or(upper).map(|outside| format!("{value:?}, the value at step {step}, is {outside}"));
        outside.or_else(|| value.is_nan().then(|| format!("the value at step {step} is NaN")))
    }
}

impl Pruner for Threshold {
    fn spec(&self) -> ComponentSpec {
        let options = serde_json::json!({
            "lower": self.lower,
            "upper": self.upper,
            "n_warmup_steps": self.n_warmup_steps,
            "interval_steps": self.interval_steps,
        });
        ComponentSpec { name: "threshold".to_owned(), version: 1, options: self.target.with(options) }
    }

    fn applies_to(&self, view: &StudyView) -> bool {
        self.target.series(view).is_some()
    }

    fn decide(&self, view: &StudyView, number: TrialNumber) -> Decision {
        Decision::prune_if(&self.target.rule("threshold pruner"), self.reason(view, number))
    }
}
