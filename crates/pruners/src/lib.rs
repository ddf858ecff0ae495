//! Whether to go on with a trial. A pruner is a pure function of a view and a trial's number. Nothing here reaches
//! a log.

mod none;
mod registry;

pub use none::Never;
pub use registry::{Entry, Options, REGISTRY, SpecError, default_pruner, from_spec};

use trialog_ops::{ComponentSpec, TrialNumber};
use trialog_replay::StudyView;

/// Whether to go on.
pub trait Pruner: Send + Sync {
    /// Name, version and options: enough for any process to build the same pruner.
    fn spec(&self) -> ComponentSpec;

    /// What to do about a running trial of a single-objective study, by all that was reported so far.
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
}

impl Decision {
    /// True if the trial should stop.
    #[must_use]
    pub fn is_prune(&self) -> bool {
        matches!(self, Decision::Prune { .. })
    }
}
