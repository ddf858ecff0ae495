//! Successive halving that hedges its bet on the first rung: trials are dealt out to brackets, and each bracket
//! begins to prune later than the one before.
//!
//! Li, Jamieson, DeSalvo, Rostamizadeh and Talwalkar, "Hyperband: a novel bandit-based approach to hyperparameter
//! optimization", JMLR 18 (2018), algorithm 1, over the successive halving of this crate, in the form and with the
//! defaults of Optuna 5. Beside the points that [`successive_halving`](crate::SuccessiveHalving) differs in,
//! brackets are counted in whole numbers: Optuna divides two logarithms, which makes one bracket too few where, as
//! with 243 and 3, the quotient falls short of the power.

use trialog_ops::{ComponentSpec, TrialNumber};
use trialog_replay::StudyView;

use crate::brackets::Brackets;
use crate::options::{Reader, steps_or_auto};
use crate::peers::Kept;
use crate::registry::Options;
use crate::rungs::{Ladder, Rule};
use crate::target::{Target, targeted};
use crate::{Decision, Pruner};

/// Hyperband. Bracket `i` is a [`SuccessiveHalving`](crate::SuccessiveHalving) whose first rung is at step
/// `min_resource * reduction_factor^i` and in which only the bracket's own trials compete.
///
/// Ask after each report: a trial is judged by the report that reaches a rung, and by no later one.
#[derive(Debug)]
pub struct Hyperband {
    min_resource: u64,
    max_resource: Option<u64>,
    reduction_factor: u64,
    bootstrap_count: usize,
    peers: Kept,
    target: Target,
}

impl Default for Hyperband {
    fn default() -> Hyperband {
        Hyperband::new()
    }
}

impl Hyperband {
    targeted!(target);

    /// Hyperband with its defaults.
    #[must_use]
    pub fn new() -> Hyperband {
        Hyperband {
            min_resource: 1,
            max_resource: None,
            reduction_factor: 3,
            bootstrap_count: 0,
            peers: Kept::default(),
            target: Target::default(),
        }
    }

    /// The step of the first rung of the first bracket. Default 1; 0 counts as 1.
    #[must_use]
    pub fn min_resource(mut self, steps: u64) -> Hyperband {
        self.min_resource = steps.max(1);
        self
    }

    /// How many steps a trial has if nothing stops it; below `min_resource` there are no brackets, and nothing is
    /// pruned. 0 counts as 1. Default [`Hyperband::max_resource_auto`].
    #[must_use]
    pub fn max_resource(mut self, steps: u64) -> Hyperband {
        self.max_resource = Some(steps.max(1));
        self
    }

    /// One more than the largest step that a complete trial reported, by the view at hand: all processes agree
    /// about a view, and where a later trial goes further than all before, the brackets are dealt anew. Nothing is
    /// pruned before there is one. Where trials differ in length, say how long the longest is instead.
    #[must_use]
    pub fn max_resource_auto(mut self) -> Hyperband {
        self.max_resource = None;
        self
    }

    /// One in so many trials goes on from each rung, and rungs are so many times as far apart as the ones before.
    /// Default 3; less than 2 counts as 2.
    #[must_use]
    pub fn reduction_factor(mut self, factor: u64) -> Hyperband {
        self.reduction_factor = factor.max(2);
        self
    }

    /// No trial goes on from a rung that was reached by this many or fewer of its bracket, itself among them.
    /// Default 0. Unlike in Optuna it may stand beside an automatic resource, since trials that came before it was
    /// known count.
    #[must_use]
    pub fn bootstrap_count(mut self, trials: usize) -> Hyperband {
        self.bootstrap_count = trials;
        self
    }

    /// Reads the options of a log; what is not named has its default.
    ///
    /// # Errors
    /// An option that does not exist or has no meaning, in words.
    pub fn from_options(options: &Options) -> Result<Hyperband, String> {
        let mut reader = Reader::new(options);
        let default = Hyperband::new();
        let pruner = Hyperband {
            min_resource: reader.count("min_resource", 1)?.unwrap_or(default.min_resource),
            max_resource: reader.steps_or_auto("max_resource")?.unwrap_or(default.max_resource),
            reduction_factor: reader.count("reduction_factor", 2)?.unwrap_or(default.reduction_factor),
            bootstrap_count: reader.count("bootstrap_count", 0)?.unwrap_or(default.bootstrap_count),
            peers: default.peers,
            target: Target::read(&mut reader)?,
        };
        reader.finish()?;
        Ok(pruner)
    }

    /// The brackets of a study as the view shows it; `None` while an automatic resource is unknown, or where there
    /// are none.
    #[must_use]
    pub fn brackets(&self, view: &StudyView) -> Option<Brackets> {
        let last = || self.target.series(view)?.last_complete_step();
        let max_resource = self.max_resource.or_else(|| Some(last()?.saturating_add(1)))?;
        let (min_resource, reduction_factor) = (self.min_resource, self.reduction_factor);
        Brackets::up_to(max_resource, Ladder { min_resource, reduction_factor, left_out: 0 })
    }

    /// The bracket of a trial, whether or not it exists yet; `None` where there are no brackets.
    #[must_use]
    pub fn bracket(&self, view: &StudyView, number: TrialNumber) -> Option<usize> {
        Some(self.brackets(view)?.of(view.name(), number))
    }

    /// Forgets what was kept to save time. Decisions stay the same.
    pub fn drop_caches(&self) {
        self.peers.drop_all();
    }

    fn reason(&self, view: &StudyView, number: TrialNumber) -> Option<String> {
        let (series, direction) = self.target.of(view)?;
        let reports = series.reports(number);
        let brackets = self.brackets(view)?;
        let bracket = brackets.of(view.name(), number);
        let rule = Rule { ladder: brackets.ladder(bracket), bootstrap_count: self.bootstrap_count };
        let standing =
            |rung, value| self.peers.standing(view, series, &brackets, (bracket, rung), direction, value);
        let reason = rule.reason(reports, standing)?;
        Some(format!("in bracket {bracket} of {}, {reason}", brackets.budgets().len()))
    }
}

impl Pruner for Hyperband {
    fn spec(&self) -> ComponentSpec {
        let options = serde_json::json!({
            "min_resource": self.min_resource,
            "max_resource": steps_or_auto(self.max_resource),
            "reduction_factor": self.reduction_factor,
            "bootstrap_count": self.bootstrap_count,
        });
        ComponentSpec { name: "hyperband".to_owned(), version: 1, options: self.target.with(options) }
    }

    fn applies_to(&self, view: &StudyView) -> bool {
        self.target.of(view).is_some()
    }

    fn decide(&self, view: &StudyView, number: TrialNumber) -> Decision {
        Decision::prune_if(&self.target.rule("hyperband"), self.reason(view, number))
    }
}
