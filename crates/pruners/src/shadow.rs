//! A pruner on trial: it says what it would do, and every trial goes on.

use std::sync::Arc;

use trialog_ops::{ComponentSpec, Json, TrialNumber};
use trialog_replay::StudyView;

use crate::options::Reader;
use crate::registry::{self, Options};
use crate::{Decision, Pruner};

/// Another pruner that may look and not touch: where it would stop a trial, the trial goes on and the decision is
/// [`Decision::Shadow`]. For finding out what a pruner would have cost before it is trusted.
pub struct Shadow {
    wrapped: Arc<dyn Pruner>,
}

impl Shadow {
    /// Puts a pruner on trial.
    #[must_use]
    pub fn new(wrapped: impl Pruner + 'static) -> Shadow {
        Shadow { wrapped: Arc::new(wrapped) }
    }

    /// Reads the options of a log: `wrapped_pruner`, an object of `name`, `version` and `options`, of which the last
    /// two may be missing. Without it, what a study uses that names no pruner.
    ///
    /// # Errors
    /// Options that are not these, or a pruner that cannot be built.
    pub fn from_options(options: &Options) -> Result<Shadow, String> {
        let mut reader = Reader::new(options);
        let wrapped = reader.pruner("wrapped_pruner")?;
        reader.finish()?;
        Ok(Shadow { wrapped: wrapped.unwrap_or_else(registry::default_pruner) })
    }
}

impl Pruner for Shadow {
    fn spec(&self) -> ComponentSpec {
        let options = serde_json::json!({ "wrapped_pruner": self.wrapped.spec().to_value() });
        ComponentSpec { name: "shadow".to_owned(), version: 1, options: Json::from(options) }
    }

    fn applies_to(&self, view: &StudyView) -> bool {
        self.wrapped.applies_to(view)
    }

    fn decide(&self, view: &StudyView, number: TrialNumber) -> Decision {
        match self.wrapped.decide(view, number) {
            Decision::Prune { reason } => Decision::Shadow { reason },
            other => other,
        }
    }
}
