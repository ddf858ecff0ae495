//! No pruning.

use trialog_ops::{ComponentSpec, Json, TrialNumber};
use trialog_replay::StudyView;

use crate::{Decision, Pruner};

/// Every trial goes on to its end.
#[derive(Clone, Copy, Debug, Default)]
pub struct Never;

impl Pruner for Never {
    fn spec(&self) -> ComponentSpec {
        ComponentSpec { name: "none".to_owned(), version: 1, options: Json::from(serde_json::json!({})) }
    }

    fn decide(&self, _view: &StudyView, _number: TrialNumber) -> Decision {
        Decision::Continue
    }
}
