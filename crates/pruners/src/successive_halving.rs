//! Successive halving without waiting: at each rung of a ladder of steps only the best part of the trials goes on.
//!
//! Li, Jamieson, Rostamizadeh, Gonina, Ben-tzur, Hardt, Recht and Talwalkar, "A system for massively parallel
//! hyperparameter tuning" (MLSys 2020), algorithm 2, in the form and with the defaults of Optuna 5: a trial that is
//! not promoted at once is pruned, since nobody would resume it.
//!
//! Everything is taken from the reports. A trial that has begun reaches a rung with its first report at or after the
//! rung's step, however it goes on, and is judged there while that report is its latest. Optuna writes down what it saw when it
//! was asked instead. Both say the same where pruners are asked after each report, steps rise, and no report is the
//! first for two rungs. They differ in these points:
//!
//! - Here a trial counts at a rung even if nobody asked about it, as with an imported one, and before an automatic
//!   resource was known. There it counts only if it was asked about.
//! - Here a trial whose report is the first for two rungs counts at both. There it counts at the upper one only if
//!   it was promoted at the lower one. Here the upper rung promotes a part of no more than the lower one did, so
//!   that reports far apart do not spare trials what they skip.
//! - Here a trial that reached a rung with NaN and goes on in spite of the verdict stays out of that rung. There its
//!   next value counts.
//! - Here an automatic resource follows the view, so that all processes agree. There it stays as each process first
//!   saw it.

use trialog_ops::{ComponentSpec, TrialNumber};
use trialog_replay::StudyView;

use crate::brackets::Brackets;
use crate::options::{Reader, steps_or_auto};
use crate::peers::Kept;
use crate::registry::Options;
use crate::rungs::{Ladder, Rule};
use crate::target::{Target, targeted};
use crate::{Decision, Pruner};

/// Asynchronous successive halving. Rung `k` is at step `min_resource * reduction_factor^(min_early_stopping_rate +
/// k)`; of the `n` trials that reached it, the trial itself among them, the best `n / reduction_factor` go on, and
/// always the very best.
///
/// Ask after each report: a trial is judged by the report that reaches a rung, and by no later one.
#[derive(Debug)]
pub struct SuccessiveHalving {
    min_resource: Option<u64>,
    reduction_factor: u64,
    min_early_stopping_rate: u32,
    bootstrap_count: usize,
    peers: Kept,
    target: Target,
}

impl Default for SuccessiveHalving {
    fn default() -> SuccessiveHalving {
        SuccessiveHalving::new()
    }
}

impl SuccessiveHalving {
    targeted!(target);

    /// Successive halving with its defaults.
    #[must_use]
    pub fn new() -> SuccessiveHalving {
        SuccessiveHalving {
            min_resource: None,
            reduction_factor: 4,
            min_early_stopping_rate: 0,
            bootstrap_count: 0,
            peers: Kept::default(),
            target: Target::default(),
        }
    }

    /// The step of the first rung at an early-stopping rate of 0. 0 counts as 1. Default
    /// [`SuccessiveHalving::min_resource_auto`].
    #[must_use]
    pub fn min_resource(mut self, steps: u64) -> SuccessiveHalving {
        self.min_resource = Some(steps.max(1));
        self
    }

    /// The first rung is at a hundredth of the largest step that a complete trial reported, at least 1. Nothing is
    /// pruned before there is one.
    #[must_use]
    pub fn min_resource_auto(mut self) -> SuccessiveHalving {
        self.min_resource = None;
        self
    }

    /// One in so many trials goes on from each rung, and rungs are so many times as far apart as the ones before.
    /// Default 4; less than 2 counts as 2.
    #[must_use]
    pub fn reduction_factor(mut self, factor: u64) -> SuccessiveHalving {
        self.reduction_factor = factor.max(2);
        self
    }

    /// How many of the first rungs are left out. Default 0.
    #[must_use]
    pub fn min_early_stopping_rate(mut self, rungs: u32) -> SuccessiveHalving {
        self.min_early_stopping_rate = rungs;
        self
    }

    /// No trial goes on from a rung that was reached by this many or fewer, itself among them. Default 0. Unlike
    /// in Optuna it may stand beside an automatic resource, since trials that came before it was known count.
    #[must_use]
    pub fn bootstrap_count(mut self, trials: usize) -> SuccessiveHalving {
        self.bootstrap_count = trials;
        self
    }

    /// Reads the options of a log; what is not named has its default.
    ///
    /// # Errors
    /// An option that does not exist or has no meaning, in words.
    pub fn from_options(options: &Options) -> Result<SuccessiveHalving, String> {
        let mut reader = Reader::new(options);
        let default = SuccessiveHalving::new();
        let rate = reader.count("min_early_stopping_rate", 0)?;
        let pruner = SuccessiveHalving {
            min_resource: reader.steps_or_auto("min_resource")?.unwrap_or(default.min_resource),
            reduction_factor: reader.count("reduction_factor", 2)?.unwrap_or(default.reduction_factor),
            min_early_stopping_rate: rate.unwrap_or(default.min_early_stopping_rate),
            bootstrap_count: reader.count("bootstrap_count", 0)?.unwrap_or(default.bootstrap_count),
            peers: default.peers,
            target: Target::read(&mut reader)?,
        };
        reader.finish()?;
        Ok(pruner)
    }

    /// Forgets what was kept to save time. Decisions stay the same.
    pub fn drop_caches(&self) {
        self.peers.drop_all();
    }

    fn reason(&self, view: &StudyView, number: TrialNumber) -> Option<String> {
        let (series, direction) = self.target.of(view)?;
        let hundredth = || series.last_complete_step().map(|last| (last / 100).max(1));
        let ladder = Ladder {
            min_resource: self.min_resource.or_else(hundredth)?,
            reduction_factor: self.reduction_factor,
            left_out: self.min_early_stopping_rate,
        };
        let brackets = Brackets::single(ladder);
        let rule = Rule { ladder, bootstrap_count: self.bootstrap_count };
        rule.reason(series.reports(number), |rung, value| {
            self.peers.standing(view, series, &brackets, (0, rung), direction, value)
        })
    }
}

impl Pruner for SuccessiveHalving {
    fn spec(&self) -> ComponentSpec {
        let options = serde_json::json!({
            "min_resource": steps_or_auto(self.min_resource),
            "reduction_factor": self.reduction_factor,
            "min_early_stopping_rate": self.min_early_stopping_rate,
            "bootstrap_count": self.bootstrap_count,
        });
        ComponentSpec { name: "successive_halving".to_owned(), version: 1, options: self.target.with(options) }
    }

    fn applies_to(&self, view: &StudyView) -> bool {
        self.target.of(view).is_some()
    }

    fn decide(&self, view: &StudyView, number: TrialNumber) -> Decision {
        Decision::prune_if(&self.target.rule("successive halving"), self.reason(view, number))
    }
}
