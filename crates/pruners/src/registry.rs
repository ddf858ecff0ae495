//! Pruners by name, so that any process can build the one that a study names in its log.

use std::sync::Arc;

use trialog_ops::ComponentSpec;
pub use trialog_ops::{Options, SpecError};

use crate::{
    Hyperband, Median, Never, Patient, Percentile, Pruner, Shadow, SuccessiveHalving, Threshold, Wilcoxon,
};

/// One pruner that can be named.
pub type Entry = trialog_ops::Entry<dyn Pruner>;

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
        name: "threshold",
        version: 1,
        about: "stops trials whose values leave given bounds",
        build: |options| Ok(Arc::new(Threshold::from_options(options)?)),
    },
    Entry {
        name: "patient",
        version: 1,
        about: "lets another pruner stop trials only once they no longer improve",
        build: |options| Ok(Arc::new(Patient::from_options(options)?)),
    },
    Entry {
        name: "wilcoxon",
        version: 1,
        about: "stops trials that a signed-rank test finds worse than the best one, instance by instance",
        build: |options| Ok(Arc::new(Wilcoxon::from_options(options)?)),
    },
    Entry {
        name: "shadow",
        version: 1,
        about: "stops no trial, and tells when another pruner would have",
        build: |options| Ok(Arc::new(Shadow::from_options(options)?)),
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
    spec.build("pruner", REGISTRY)
}
