//! What a study says about how it wants to be run: its sampler, its pruner and its seed.

use crate::Json;

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
