//! Whether to go on with a trial. A pruner is a pure function of a view and a trial's number. Nothing here reaches
//! a log.

mod brackets;
mod hyperband;
mod none;
mod options;
mod patient;
mod peers;
mod percentile;
mod registry;
mod rungs;
mod shadow;
mod signed_rank;
mod successive_halving;
mod target;
mod threshold;
mod wilcoxon;

pub use brackets::Brackets;
pub use hyperband::Hyperband;
pub use none::Never;
pub use patient::Patient;
pub use percentile::{Median, Percentile};
pub use registry::{Entry, Options, REGISTRY, SpecError, default_pruner, from_spec};
pub use shadow::Shadow;
pub use successive_halving::SuccessiveHalving;
pub use threshold::Threshold;
pub use wilcoxon::Wilcoxon;

use trialog_ops::{ComponentSpec, TrialNumber};
use trialog_replay::StudyView;

/// Whether to go on.
pub trait Pruner: Send + Sync {
    /// Name, version and options: enough for any process to build the same pruner.
    fn spec(&self) -> ComponentSpec;

    /// True if it can judge the trials of this study: those of one objective, and those of several by a metric
    /// whose direction is known.
    fn applies_to(&self, view: &StudyView) -> bool {
        view.directions().len() == 1
    }

    /// What to do about a running trial, by all that was reported so far. A trial of a study that the pruner does not
    /// apply to goes on, and so does one that does not exist.
    fn decide(&self, view: &StudyView, number: TrialNumber) -> Decision;
}

/// What a pruner says, and why.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// Go on.
    Continue,
    /// Stop the trial.
    Prune {
        /// The rule and the numbers that led to it, in words.
        reason: String,
    },
    /// Go on, although the pruner inside a [`Shadow`] would stop the trial.
    Shadow {
        /// What it says.
        reason: String,
    },
}

impl Decision {
    /// True if the trial should stop.
    #[must_use]
    pub fn is_prune(&self) -> bool {
        matches!(self, Decision::Prune { .. })
    }

    /// Why the trial should stop, or would have to but for a [`Shadow`].
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        match self {
            Decision::Continue => None,
            Decision::Prune { reason } | Decision::Shadow { reason } => Some(reason),
        }
    }

    /// Prunes by this rule if there is a reason to.
    fn prune_if(rule: &str, reason: Option<String>) -> Decision {
        match reason {
            Some(reason) => Decision::Prune { reason: format!("{rule}: {reason}") },
            None => Decision::Continue,
        }
    }
}
