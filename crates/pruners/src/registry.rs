//! Pruners by name, so that any process can build the one that a study names in its log.

use std::fmt;
use std::sync::Arc;

use trialog_ops::ComponentSpec;

use crate::{Hyperband, Median, Never, Percentile, Pruner, SuccessiveHalving};

/// Options as they stand in the log.
pub type Options = serde_json::Map<String, serde_json::Value>;

/// One pruner that can be named.
pub struct Entry {
    /// Its name.
    pub name: &'static str,
    /// The version of its algorithm.
    pub version: u32,
    /// What it is for, in a line.
    pub about: &'static str,
    /// Builds it from its options, a JSON object.
    pub build: fn(&Options) -> Result<Arc<dyn Pruner>, String>,
}

/// All pruners.
pub const REGISTRY: &[Entry] = &[
    Entry {
        name: "median",
        version: 1,
        about: "stops trials that are worse than the median of complete trials at the same step",
        build: |options| Ok(Arc::new(Median::from_options(options)?)),
    },
    Entry {
        name: "percentile",
        version: 1,
        about: "stops trials that are not in the best percent of complete trials at the same step",
        build: |options| Ok(Arc::new(Percentile::from_options(options)?)),
    },
    Entry {
        name: "successive_halving",
        version: 1,
        about: "lets the best part of the trials go on from each rung of a ladder of steps",
        build: |options| Ok(Arc::new(SuccessiveHalving::from_options(options)?)),
    },
    Entry {
        name: "hyperband",
        version: 1,
        about: "successive halving in several brackets that begin to stop trials earlier or later",
        build: |options| Ok(Arc::new(Hyperband::from_options(options)?)),
    },
    Entry {
        name: "none",
        version: 1,
        about: "every trial goes on to its end",
        build: |options| Ok(Arc::new(Never::from_options(options)?)),
    },
];

/// What a study uses that names none.
#[must_use]
pub fn default_pruner() -> Arc<dyn Pruner> {
    Arc::new(Median::new())
}

/// The pruner that a study names.
///
/// # Errors
/// A name, version or option that this program does not know.
pub fn from_spec(spec: &ComponentSpec) -> Result<Arc<dyn Pruner>, SpecError> {
    let error = |detail: String| SpecError { name: spec.name.clone(), detail };
    let Some(entry) = REGISTRY.iter().find(|entry| entry.name == spec.name) else {
        let known: Vec<&str> = REGISTRY.iter().map(|entry| entry.name).collect();
        return Err(error(format!("it is not among {}", known.join(", "))));
    };
    if spec.version > entry.version {
        return Err(error(format!(
            "version {} is newer than {}; use a newer Trialog",
            spec.version, entry.version
        )));
    }
    match spec.options.to_value() {
        Some(serde_json::Value::Object(options)) => (entry.build)(&options).map_err(error),
        _ => Err(error(format!("its options are no JSON object: {}", spec.options))),
    }
}

/// A pruner that cannot be built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpecError {
    /// The name asked for.
    pub name: String,
    /// What is wrong.
    pub detail: String,
}

impl fmt::Display for SpecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot build pruner {:?}: {}", self.name, self.detail)
    }
}

impl std::error::Error for SpecError {}
