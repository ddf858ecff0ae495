//! Samplers by name, so that any process can build the one that a study names in its log.

use std::fmt;
use std::sync::Arc;

use trialog_ops::ComponentSpec;

use crate::{Random, Sampler, Tpe};

/// Options as they stand in the log.
pub type Options = serde_json::Map<String, serde_json::Value>;

/// One sampler that can be named.
pub struct Entry {
    /// Its name.
    pub name: &'static str,
    /// The version of its algorithm.
    pub version: u32,
    /// What it is for, in a line.
    pub about: &'static str,
    /// Builds it from its options, a JSON object.
    pub build: fn(&Options) -> Result<Arc<dyn Sampler>, String>,
}

/// All samplers.
pub const REGISTRY: &[Entry] = &[
    Entry {
        name: "tpe",
        version: 1,
        about: "tree-structured Parzen estimation: learns from good and bad trials, for any space",
        build: |options| Ok(Arc::new(Tpe::from_options(options)?)),
    },
    Entry {
        name: "random",
        version: 1,
        about: "uniform draws, every parameter on its own",
        build: |options| Ok(Arc::new(Random::from_options(options)?)),
    },
];

/// What a study uses that names none.
#[must_use]
pub fn default_sampler() -> Arc<dyn Sampler> {
    Arc::new(Tpe::default())
}

/// The sampler that a study names.
///
/// # Errors
/// A name, version or option that this program does not know.
pub fn from_spec(spec: &ComponentSpec) -> Result<Arc<dyn Sampler>, SpecError> {
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

/// A sampler that cannot be built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpecError {
    /// The name asked for.
    pub name: String,
    /// What is wrong.
    pub detail: String,
}

impl fmt::Display for SpecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot build sampler {:?}: {}", self.name, self.detail)
    }
}

impl std::error::Error for SpecError {}
