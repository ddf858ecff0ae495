//! No pruning.

use trialog_ops::{ComponentSpec, TrialNumber};
use trialog_replay::StudyView;

use crate::options::Reader;
use crate::registry::Options;
use crate::{Decision, Pruner};

/// Every trial goes on to its end.
#[derive(Clone, Copy, Debug, Default)]
pub struct Never;

impl Never {
    /// Reads the options of a log.
    ///
    /// # Errors
    /// Any option at all.
    pub fn from_options(options: &Options) -> Result<Never, String> {
        Reader::new(options).finish()?;
        Ok(Never)
    }
}

impl Pruner for Never {
    fn spec(&self) -> ComponentSpec {
        ComponentSpec::named("none")
    }

    fn decide(&self, _view: &StudyView, _number: TrialNumber) -> Decision {
        Decision::Continue
    }
}
