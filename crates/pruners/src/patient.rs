//! No trial stops while it still improves, whatever another pruner says.
//!
//! The rule and the defaults are those of Optuna 5's patient pruner, which is early stopping as it is practised in
//! training (Prechelt, "Early stopping - but when?", 1998) with a second opinion. NaN counts neither for nor
//! against a trial, as there. What differs is what the pruner inside differs in: successive halving and Hyperband
//! here count a trial at a rung though nobody asked about it, and so patience hides no trial from them. They judge a
//! trial at the report that reaches a rung; if it was still improving then, it goes on to the next rung.

use std::sync::Arc;

use trialog_ops::{ComponentSpec, Direction, TrialNumber};
use trialog_replay::StudyView;

use crate::options::Reader;
use crate::percentile::best;
use crate::registry::Options;
use crate::target::Target;
use crate::{Decision, Pruner};

/// Prunes a trial that did not improve with its last `patience + 1` reports, if the pruner inside says so too, or if
/// there is none.
///
/// The pruner inside reads the same metric in the same direction, if it takes one and names none itself.
pub struct Patient {
    /// As it was given.
    given: Option<Arc<dyn Pruner>>,
    /// As it is asked.
    wrapped: Option<Arc<dyn Pruner>>,
    patience: usize,
    min_delta: f64,
    target: Target,
}

impl Patient {
    /// Stops trials by themselves: those whose last `patience + 1` reports are no better than what came before.
    #[must_use]
    pub fn new(patience: usize) -> Patient {
        Patient { given: None, wrapped: None, patience, min_delta: 0.0, target: Target::default() }
    }

    /// Asks this pruner about trials that no longer improve, and stops those that it would stop.
    #[must_use]
    pub fn wrapping(mut self, pruner: impl Pruner + 'static) -> Patient {
        self.given = Some(Arc::new(pruner));
        self.passing_on()
    }

    /// As [`Percentile::metric`](crate::Percentile::metric).
    #[must_use]
    pub fn metric(mut self, name: &str) -> Patient {
        self.target = self.target.metric(name);
        self.passing_on()
    }

    /// As [`Percentile::direction`](crate::Percentile::direction).
    #[must_use]
    pub fn direction(mut self, direction: Direction) -> Patient {
        self.target = self.target.direction(direction);
        self.passing_on()
    }

    /// Tells the pruner inside which values are meant.
    fn passing_on(mut self) -> Patient {
        self.wrapped = self.given.as_ref().map(|given| self.target.passed_on(given));
        self
    }

    /// A trial counts as improving until its best value has been better than all of its last reports by more than
    /// this. Default 0; what is below, or not finite, counts as 0.
    #[must_use]
    pub fn min_delta(mut self, delta: f64) -> Patient {
        self.min_delta = if delta.is_finite() { delta.max(0.0) } else { 0.0 };
        self
    }

    /// Reads the options of a log: `patience`; `min_delta`, default 0; and `wrapped_pruner`, an object of `name`,
    /// `version` and `options`, of which the last two may be missing, default none; `metric` and `direction`.
    ///
    /// # Errors
    /// An option that does not exist or has no meaning, in words.
    pub fn from_options(options: &Options) -> Result<Patient, String> {
        let mut reader = Reader::new(options);
        let pruner = Patient {
            given: reader.pruner("wrapped_pruner")?,
            wrapped: None,
            patience: reader.count("patience", 0)?.ok_or("option patience is missing")?,
            min_delta: reader.number_within("min_delta", 0.0.., "a number from 0")?.unwrap_or(0.0),
            target: Target::read(&mut reader)?,
        };
        reader.finish()?;
        Ok(pruner.passing_on())
    }

    fn reason(&self, view: &StudyView, number: TrialNumber) -> Option<String> {
        let (series, direction) = self.target.of(view)?;
        let reports = series.reports(number);
        let latest = self.patience.saturating_add(1);
        let (before, after) = reports.split_at(reports.len().checked_sub(latest)?);
        let (before, after) = (best(before, direction)?, best(after, direction)?);
        let to_beat = match direction {
            Direction::Minimize => before + self.min_delta,
            Direction::Maximize => before - self.min_delta,
        };
        direction.is_better(to_beat, after).then(|| {
            let margin = if self.min_delta > 0.0 { format!(" by more than {:?}", self.min_delta) } else { String::new() };
            format!(
                "{after:?}, the best of the last {latest} reports, is worse{margin} than {before:?}, the best before \
                 them"
            )
        })
    }
}

impl Pruner for Patient {
    fn spec(&self) -> ComponentSpec {
        let options = serde_json::json!({
            "wrapped_pruner": self.wrapped.as_deref().map(|wrapped| wrapped.spec().to_value()),
            "patience": self.patience,
            "min_delta": self.min_delta,
        });
        ComponentSpec { name: "patient".to_owned(), version: 1, options: self.target.with(options) }
    }

    fn applies_to(&self, view: &StudyView) -> bool {
        self.target.of(view).is_some() && self.wrapped.as_ref().is_none_or(|wrapped| wrapped.applies_to(view))
    }

    fn decide(&self, view: &StudyView, number: TrialNumber) -> Decision {
        let rule = self.target.rule("patient pruner");
        let Some(no_progress) = self.reason(view, number) else { return Decision::Continue };
        let because = |reason: String| format!("{rule}: {no_progress}; {reason}");
        match self.wrapped.as_ref().map(|pruner| pruner.decide(view, number)) {
            None => Decision::prune_if(&rule, Some(no_progress)),
            Some(Decision::Continue) => Decision::Continue,
            Some(Decision::Prune { reason }) => Decision::Prune { reason: because(reason) },
            Some(Decision::Shadow { reason }) => Decision::Shadow { reason: because(reason) },
        }
    }
}
