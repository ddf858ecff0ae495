//! Components by name, so that any process can build the one that a study names in its log. Which ones there are is
//! for the crates that have them to say.

use std::fmt;
use std::sync::Arc;

use crate::ComponentSpec;

/// Options as they stand in a log.
pub type Options = serde_json::Map<String, serde_json::Value>;

/// A component that can be named: `T` is the trait object that is built of it.
pub struct Entry<T: ?Sized> {
    /// Its name.
    pub name: &'static str,
    /// The version of its algorithm.
    pub version: u32,
    /// What it is for, in a line.
    pub about: &'static str,
    /// Builds it from its options, a JSON object.
    pub build: fn(&Options) -> Result<Arc<T>, String>,
}

impl ComponentSpec {
    /// The component of this kind, such as `sampler`, that is meant among those of a registry.
    ///
    /// # Errors
    /// A name, version or option that this program does not know.
    pub fn build<T: ?Sized>(&self, kind: &'static str, registry: &[Entry<T>]) -> Result<Arc<T>, SpecError> {
        let error = |detail: String| SpecError { kind, name: self.name.clone(), detail };
        let Some(entry) = registry.iter().find(|entry| entry.name == self.name) else {
            let known: Vec<&str> = registry.iter().map(|entry| entry.name).collect();
            return Err(error(format!("it is not among {}", known.join(", "))));
        };
        if self.version > entry.version {
            let (asked, known) = (self.version, entry.version);
            return Err(error(format!("version {asked} is newer than {known}; use a newer Trialog")));
        }
        match self.options.to_value() {
            Some(serde_json::Value::Object(options)) => (entry.build)(&options).map_err(error),
            _ => Err(error(format!("its options are no JSON object: {}", self.options))),
        }
    }
}

/// A component that cannot be built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpecError {
    /// What it would have been, such as `sampler`.
    pub kind: &'static str,
    /// The name asked for.
    pub name: String,
    /// What is wrong.
    pub detail: String,
}

impl fmt::Display for SpecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot build {} {:?}: {}", self.kind, self.name, self.detail)
    }
}

impl std::error::Error for SpecError {}
