//! Samplers by name, so that any process can build the one that a study names in its log.

use std::sync::Arc;

use trialog_ops::ComponentSpec;
pub use trialog_ops::{Options, SpecError};

use crate::{Auto, BruteForce, CmaEs, Forest, Gp, Grid, Nsga2, Nsga3, PartialFixed, Qmc, Random, Sampler, Tpe};

/// One sampler that can be named.
pub type Entry = trialog_ops::Entry<dyn Sampler>;

/// All samplers.
pub const REGISTRY: &[Entry] = &[
    Entry {
        name: "auto",
        version: 1,
        about: "chooses among the others by the space, the trials, objectives, constraints and workers",
        build: |options| Ok(Arc::new(Auto::from_options(options)?)),
    },
    Entry {
        name: "tpe",
        version: 1,
        about: "tree-structured Parzen estimation: learns from good and bad trials, for any space",
        build: |options| Ok(Arc::new(Tpe::from_options(options)?)),
    },
    Entry {
        name: "gp",
        version: 1,
        about: "Gaussian processes: few, expensive trials of up to some twenty parameters",
        build: |options| Ok(Arc::new(Gp::from_options(options)?)),
    },
    Entry {
        name: "forest",
        version: 1,
        about: "a surrogate of trees with expected improvement: rugged objectives, many categories",
        build: |options| Ok(Arc::new(Forest::from_options(options)?)),
    },
    Entry {
        name: "random",
        version: 1,
        about: "uniform draws, every parameter on its own",
        build: |options| Ok(Arc::new(Random::from_options(options)?)),
    },
    Entry {
        name: "cmaes",
        version: 1,
        about: "CMA-ES: a normal distribution that follows the good trials, for numbers and one objective",
        build: |options| Ok(Arc::new(CmaEs::from_options(options)?)),
    },
    Entry {
        name: "qmc",
        version: 1,
        about: "quasi-random points (Sobol, Halton): fill the space evenly, one sequence for all processes",
        build: |options| Ok(Arc::new(Qmc::from_options(options)?)),
    },
    Entry {
        name: "grid",
        version: 1,
        about: "every combination of given values once",
        build: |options| Ok(Arc::new(Grid::from_options(options)?)),
    },
    Entry {
        name: "brute_force",
        version: 1,
        about: "every combination once, over spaces with conditions too",
        build: |options| Ok(Arc::new(BruteForce::from_options(options)?)),
    },
    Entry {
        name: "partial_fixed",
        version: 1,
        about: "another sampler, with some parameters held fixed",
        build: |options| Ok(Arc::new(PartialFixed::from_options(options)?)),
    },
    Entry {
        name: "nsga2",
        version: 1,
        about: "genetic search (NSGA-II): for two or three objectives, cheap trials and many of them",
        build: |options| Ok(Arc::new(Nsga2::from_options(options)?)),
    },
    Entry {
        name: "nsga3",
        version: 1,
        about: "genetic search along directions (NSGA-III): for three objectives and more",
        build: |options| Ok(Arc::new(Nsga3::from_options(options)?)),
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
    spec.build("sampler", REGISTRY)
}
