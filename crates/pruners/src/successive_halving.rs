//! Successive halving without waiting: at each rung of a ladder of steps only the best part of the trials goes on.
//!
//! Li, Jamieson, Rostamizadeh, Gonina, Ben-tzur, Hardt, Recht and Talwalkar, "A system for massively parallel
//! hyperparameter tuning" (MLSys 2020), algorithm 2, in the form and with the defaults of Optuna 5: a trial that is
//! not promoted at once is pruned, since nobody would resume it.
//!
//! Everything is taken from the reports. A trial reaches a rung with its first report at or after the rung's step,
//! whatever its state, and is judged there while that report is its latest. Optuna writes down what it saw when it
//! was asked instead. Both say the same where pruners are asked after each report, steps rise, and no report is the
//! first for two rungs. They differ in these points:
//!
//! - Here a trial counts at a rung even if nobody asked about it, as with an imported one, and before an automatic
//!   resource was known. There it counts only if it was asked about.
//! - Here a trial whose report is the first for two rungs counts at both. There it counts at the upper one only if
//!   it was promoted at the lower one.
//! - Here a trial that reached a rung with NaN and goes on in spite of the verdict stays out of that rung. There its
//!   next value counts.
//! - Here an automatic resource follows the view, so that all processes agree. There it stays as each process first
//!   saw it.

use trialog_ops::{ComponentSpec, Direction, Json, TrialNumber};
use trialog_replay::StudyView;

use crate::options::{Reader, steps_or_auto};
use crate::registry::Options;
use crate::{Decision, Pruner};

/// Asynchronous successive halving. Rung `k` is at step `min_resource * reduction_factor^(min_early_stopping_rate +
/// k)`; of the `n` trials that reached it, the trial itself among them, the best `n / reduction_factor` go on, and
/// always the very best.
///
/// Ask after each report: a trial is judged by the report that reaches a rung, and by no later one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SuccessiveHalving {
    min_resource: Option<u64>,
    reduction_factor: u64,
    min_early_stopping_rate: u32,
    bootstrap_count: usize,
}

impl Default for SuccessiveHalving {
    fn default() -> SuccessiveHalving {
        SuccessiveHalving::new()
    }
}

impl SuccessiveHalving {
    /// Successive halving with its defaults.
    #[must_use]
    pub fn new() -> SuccessiveHalving {
        SuccessiveHalving {
            min_resource: None,
            reduction_factor: 4,
            min_early_stopping_rate: 0,
            bootstrap_count: 0,
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
        };
        reader.finish()?;
        Ok(pruner)
    }

    fn reason(&self, view: &StudyView, number: TrialNumber) -> Option<String> {
        let &[direction] = view.directions() else { return None };
        let hundredth = || view.last_complete_step().map(|last| (last / 100).max(1));
        let ladder = Ladder {
            min_resource: self.min_resource.or_else(hundredth)?,
            reduction_factor: self.reduction_factor,
            left_out: self.min_early_stopping_rate,
        };
        let rule = Rule { ladder, bootstrap_count: self.bootstrap_count };
        rule.reason(view.trial(number)?.reports(), |step, value| {
            let rung = view.rung(step);
            Standing { peers: rung.len(), better: rung.count_better(value, direction) }
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
        ComponentSpec { name: "successive_halving".to_owned(), version: 1, options: Json::from(options) }
    }

    fn decide(&self, view: &StudyView, number: TrialNumber) -> Decision {
        Decision::prune_if("successive halving", self.reason(view, number))
    }
}

/// The steps of the rungs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ladder {
    pub(crate) min_resource: u64,
    pub(crate) reduction_factor: u64,
    /// The early-stopping rate: how many of the first rungs there are not.
    pub(crate) left_out: u32,
}

impl Ladder {
    /// The rungs from the lowest on, as far as steps can count.
    pub(crate) fn steps(self) -> impl Iterator<Item = u64> {
        let factor = self.reduction_factor;
        let first = factor.checked_pow(self.left_out).and_then(|power| power.checked_mul(self.min_resource));
        std::iter::successors(first, move |step| step.checked_mul(factor))
    }
}

/// A value among those with which trials reached a rung.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Standing {
    /// How many reached it, the trial itself among them.
    pub(crate) peers: usize,
    /// How many of them have a strictly better value.
    pub(crate) better: usize,
}

impl Standing {
    /// Counts one more.
    pub(crate) fn add(&mut self, direction: Direction, peer: f64, value: f64) {
        self.peers += 1;
        self.better += usize::from(direction.is_better(peer, value));
    }
}

/// What successive halving and each bracket of Hyperband do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rule {
    pub(crate) ladder: Ladder,
    pub(crate) bootstrap_count: usize,
}

impl Rule {
    /// Why the trial should stop at the rungs that its latest report reached, if it should.
    pub(crate) fn reason(&self, reports: &[(u64, f64)], standing: impl Fn(u64, f64) -> Standing) -> Option<String> {
        let (&(step, value), before) = reports.split_last()?;
        let is_judged = |rung: u64| before.last().is_some_and(|&(last, _)| rung <= last);
        let rungs = (0..).zip(self.ladder.steps()).skip_while(|&(_, rung)| is_judged(rung));
        let mut reached = rungs.take_while(|&(_, rung)| rung <= step);
        reached.find_map(|(k, rung)| {
            if value.is_nan() {
                return Some(format!("the value at step {step} is NaN, with which rung {k} (step {rung}) was reached"));
            }
            let Standing { peers, better } = standing(rung, value);
            if peers <= self.bootstrap_count {
                let most = self.bootstrap_count;
                return Some(format!("rung {k} (step {rung}) was reached by {peers} trials, and more than {most} must"));
            }
            let promoted = usize::try_from(peers as u64 / self.ladder.reduction_factor).unwrap_or(peers).max(1);
            (better >= promoted).then(|| {
                format!(
                    "{value:?}, the value at step {step}, is behind {better} of the {peers} trials that reached rung \
                     {k} (step {rung}), of which the best {promoted} go on"
                )
            })
        })
    }
}
