//! Trials that are reliably worse than the best one on the same problem instances end.
//!
//! The test is the one-sided signed-rank test of Wilcoxon, "Individual comparisons by ranking methods", Biometrics
//! Bulletin 1 (1945), over the differences at the steps that both trials reported, as Optuna 5 uses it. The p-values
//! are SciPy's, from the same choice among exact distribution and normal approximation.

use trialog_ops::{ComponentSpec, Direction, TrialNumber};
use trialog_replay::StudyView;

use crate::options::Reader;
use crate::registry::Options;
use crate::signed_rank;
use crate::target::{Target, targeted};
use crate::{Decision, Pruner};

/// Prunes a trial that a signed-rank test finds worse than the best complete trial so far, by the values of the steps
/// that both reported.
///
/// For objectives that are the mean over many instances, such as the folds of a cross-validation: report each
/// instance's value with the instance's number as the step, in any order, and tell their mean. A shuffled order, another
/// one for each trial, makes the test fair to those that were asked about early.
///
/// With a metric, its values are compared; which trial is the best, the objective says all the same. A trial goes on while there is no
/// best trial, as always with several objectives, while its own or the best one's values are not all finite, and while
/// the mean of what it reported is as good as the mean of the best trial's values.
#[derive(Clone, Debug, PartialEq)]
pub struct Wilcoxon {
    p_threshold: f64,
    n_startup_steps: usize,
    target: Target,
}

impl Default for Wilcoxon {
    fn default() -> Wilcoxon {
        Wilcoxon::new()
    }
}

impl Wilcoxon {
    targeted!(target);

    /// The pruner with its defaults.
    #[must_use]
    pub fn new() -> Wilcoxon {
        Wilcoxon { p_threshold: 0.1, n_startup_steps: 2, target: Target::default() }
    }

    /// A trial is pruned where the p-value is below this: the higher, the more is pruned. Default 0.1; what is outside
    /// of 0 to 1 counts as the nearer end, and NaN as 0, at which nothing is pruned.
    #[must_use]
    pub fn p_threshold(mut self, p: f64) -> Wilcoxon {
        self.p_threshold = if p.is_nan() { 0.0 } else { p.clamp(0.0, 1.0) };
        self
    }

    /// A trial is only judged where it shares this many steps with the best one. Default 2, and two are needed in any
    /// case.
    #[must_use]
    pub fn n_startup_steps(mut self, steps: usize) -> Wilcoxon {
        self.n_startup_steps = steps;
        self
    }

    /// Reads the options of a log; what is not named has its default.
    ///
    /// # Errors
    /// An option that does not exist or has no meaning, in words.
    pub fn from_options(options: &Options) -> Result<Wilcoxon, String> {
        let mut reader = Reader::new(options);
        let default = Wilcoxon::new();
        let p_threshold = reader.number_within("p_threshold", 0.0..=1.0, "a number from 0 to 1")?;
        let pruner = Wilcoxon {
            p_threshold: p_threshold.unwrap_or(default.p_threshold),
            n_startup_steps: reader.count("n_startup_steps", 0)?.unwrap_or(default.n_startup_steps),
            target: Target::read(&mut reader)?,
        };
        reader.finish()?;
        Ok(pruner)
    }

    fn reason(&self, view: &StudyView, number: TrialNumber) -> Option<String> {
        let (series, direction) = self.target.of(view)?;
        let reports = series.reports(number);
        // Which trial is the best, the objective says. Several objectives have no best one.
        let best = view.best().next()?;
        let best_reports = series.reports(best.number());
        let is_finite = |&(_, value): &(u64, f64)| value.is_finite();
        if reports.is_empty() || !reports.iter().chain(best_reports).all(is_finite) {
            return None;
        }
        let behind = behind(reports, best_reports, direction);
        if behind.len() < self.n_startup_steps.max(2) {
            return None;
        }
        // The cheaper question first.
        if !direction.is_better(mean(best_reports), mean(reports)) {
            return None;
        }
        let p = signed_rank::p_greater(&behind);
        if p >= self.p_threshold {
            return None;
        }
        Some(format!(
            "the values at {} steps are worse than those of trial {}, the best, with p-value {p:.3e}, below {:?}",
            behind.len(),
            best.number(),
            self.p_threshold
        ))
    }
}

/// How far the one is behind the other at each step that both reported.
fn behind(reports: &[(u64, f64)], best: &[(u64, f64)], direction: Direction) -> Vec<f64> {
    let mut best = best.iter().copied().peekable();
    let shared = reports.iter().filter_map(|&(step, value)| {
        while best.next_if(|&(other, _)| other < step).is_some() {}
        best.next_if(|&(other, _)| other == step).map(|(_, best)| (value, best))
    });
    shared.map(|(value, best)| if direction == Direction::Minimize { value - best } else { best - value }).collect()
}

fn mean(reports: &[(u64, f64)]) -> f64 {
    reports.iter().map(|&(_, value)| value).sum::<f64>() / reports.len() as f64
}

impl Pruner for Wilcoxon {
    fn spec(&self) -> ComponentSpec {
        let options = serde_json::json!({
            "p_threshold": self.p_threshold,
            "n_startup_steps": self.n_startup_steps,
        });
        ComponentSpec { name: "wilcoxon".to_owned(), version: 1, options: self.target.with(options) }
    }

    fn decide(&self, view: &StudyView, number: TrialNumber) -> Decision {
        Decision::prune_if(&self.target.rule("wilcoxon pruner"), self.reason(view, number))
    }
}
