//! Where to look next. A sampler is a pure function of a view, a trial's number and the study's seed: the same
//! three give the same suggestion in any process, after any restart. Nothing here reaches a log.

mod auto;
mod brute_force;
pub mod cma;
mod follow;
mod forest;
mod gp;
mod grid;
pub mod nsga;
mod partial_fixed;
pub mod parzen;
mod qmc;
mod random;
mod registry;
pub mod space;
mod tpe;
mod unit;

pub use auto::Auto;
pub use brute_force::BruteForce;
pub use cma::{CmaEs, CmaOptions};
pub use forest::{Forest, ForestOptions, TreeKind};
pub use gp::{Gp, GpAcquisition, GpKernel, GpOptions};
pub use grid::Grid;
pub use nsga::{Nsga2, Nsga3, NsgaOptions};
pub use partial_fixed::PartialFixed;
pub use qmc::{Qmc, QmcOptions, QmcType};
pub use random::{Random, draw};
pub use registry::{Entry, Options, REGISTRY, SpecError, default_sampler, from_spec};
pub use tpe::{Gamma, Tpe, TpeOptions};
pub use trialog_numerics::Stream;

use std::sync::Arc;

use trialog_numerics::hash_bytes;
use trialog_ops::{ComponentSpec, Distribution, ParamDef, ParamKey, ParamValue, TrialNumber};
use trialog_replay::StudyView;

/// A parameter's value that a sampler proposes before the objective asks for it.
pub type Proposal = (ParamKey, Arc<ParamDef>, f64);

/// Which suggestion is meant.
#[derive(Clone, Copy, Debug)]
pub enum Asked<'a> {
    /// That of [`Sampler::sample_relative`].
    Together,
    /// That of [`Sampler::sample_independent`] for this parameter.
    Alone(&'a str, &'a Distribution),
}

/// Something that a sampler weighed.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    /// Parameters with their values.
    pub values: Vec<(String, ParamValue)>,
    /// How good the sampler holds it for; for TPE the logarithm of the good trials' density over that of the others.
    pub score: f64,
    /// True for the one that was suggested.
    pub chosen: bool,
}

/// Where to look next.
pub trait Sampler: Send + Sync {
    /// Name, version and options: enough for any process to build the same sampler.
    fn spec(&self) -> ComponentSpec;

    /// Values in internal form for the parameters that are known beforehand, each inside its distribution. A
    /// parameter that is not among them is asked for with [`Sampler::sample_independent`].
    fn sample_relative(&self, view: &StudyView, number: TrialNumber, seed: u64) -> Vec<Proposal>;

    /// A value in internal form for one parameter, inside its distribution. Unless a sampler knows better, a draw from all
    /// values alike.
    fn sample_independent(
        &self,
        view: &StudyView,
        number: TrialNumber,
        seed: u64,
        name: &str,
        distribution: &Distribution,
    ) -> f64 {
        let _ = view;
        draw(&mut stream(seed, number, name), distribution)
    }

    /// True if there is nothing left to look at, because the space has been enumerated, so that no further trial
    /// should begin. Whoever asks all the same gets a valid suggestion.
    fn is_exhausted(&self, view: &StudyView) -> bool {
        let _ = view;
        false
    }

    /// What a suggestion was chosen from, with a score for each: the larger the better, in the sampler's own measure. Empty where
    /// nothing was weighed. Costs as much as the suggestion, or more; for people who want to know, not for the loop.
    fn candidates(&self, view: &StudyView, number: TrialNumber, seed: u64, asked: Asked<'_>) -> Vec<Candidate> {
        let _ = (view, number, seed, asked);
        Vec::new()
    }

    /// What the sampler does at this point of the study and why, in words, if it has a choice.
    fn explain(&self, view: &StudyView) -> Option<String> {
        let _ = view;
        None
    }
}

/// The random stream of one parameter of one trial: the same in every process, and independent of all others. Draws that
/// [`Sampler::sample_independent`] makes by it follow from the trial's number and the seed alone.
#[must_use]
pub fn stream(seed: u64, number: TrialNumber, name: &str) -> Stream {
    Stream::new(&[seed, u64::from(number.0), hash_bytes(name.as_bytes())])
}

/// The random stream of a sampler's own purposes, apart from those of plain draws.
fn stream_for(seed: u64, number: TrialNumber, sampler: &str, purpose: &str) -> Stream {
    let (sampler, purpose) = (hash_bytes(sampler.as_bytes()), hash_bytes(purpose.as_bytes()));
    Stream::new(&[seed, u64::from(number.0), sampler, purpose])
}
