//! What a study says about how it wants to be run: its sampler, its pruner and its seed, how much of it there is to
//! be, and what becomes of trials that were lost.

use serde_json::{Value, json};

use crate::{Json, Timestamp};

/// A sampler or pruner by name: enough for any process to build the same one again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ComponentSpec {
    /// The registered name, such as `tpe` or `hyperband`.
    pub name: String,
    /// The version of the algorithm: it rises when the same options begin to mean other suggestions.
    pub version: u32,
    /// The options, a JSON object.
    pub options: Json,
}

impl ComponentSpec {
    /// The first version of what has this name, without options: each is what it is by default.
    #[must_use]
    pub fn named(name: impl Into<String>) -> ComponentSpec {
        ComponentSpec { name: name.into(), version: 1, options: Json::from(json!({})) }
    }

    /// How it stands in the options of a component around it: an object of `name`, `version` and `options`.
    #[must_use]
    pub fn to_value(&self) -> Value {
        json!({ "name": self.name, "version": self.version, "options": self.options.to_value() })
    }

    /// What [`ComponentSpec::to_value`] gave. The version may be missing where it is 1, and the options where there are none; `None` if
    /// it is something else.
    #[must_use]
    pub fn from_value(value: &Value) -> Option<ComponentSpec> {
        let fields = value.as_object()?;
        let is_known = |key: &String| ["name", "version", "options"].contains(&key.as_str());
        if !fields.keys().all(is_known) {
            return None;
        }
        let mut spec = ComponentSpec::named(fields.get("name")?.as_str()?);
        if let Some(version) = fields.get("version") {
            spec.version = u32::try_from(version.as_u64()?).ok()?;
        }
        if let Some(options) = fields.get("options") {
            spec.options = Json::from(options);
        }
        Some(spec)
    }
}

/// The part of a study that decides what its samplers and pruners answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StudyConfig {
    /// Where to look next.
    pub sampler: ComponentSpec,
    /// Whether to go on.
    pub pruner: ComponentSpec,
    /// The root of every random stream of the study.
    pub seed: u64,
}

/// How much of a study there is to be. Every limit that is set holds, whoever asks for a trial; without any there
/// is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Budget {
    /// How many trials begin, however they end. A failed trial that never began, such as a retry that was withdrawn,
    /// does not count.
    pub trials: Option<u64>,
    /// How many trials end complete or pruned. One that runs holds a place, and gives it back if it fails.
    pub finished: Option<u64>,
    /// No trial begins at this time or later, by the clock of whoever begins it.
    pub until: Option<Timestamp>,
}

/// The most that [`RetryPolicy::retries_max`] can be.
pub const RETRIES_MAX: u32 = 100;

/// What becomes of trials whose worker was declared lost. They have failed; this is whether they are tried again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RetryPolicy {
    /// How often a trial is tried again, at most [`RETRIES_MAX`]. Default: 0.
    pub retries_max: u32,
    /// Whether the next attempt begins with the intermediate values of the lost one. Default: false.
    pub inherit_reports: bool,
}
