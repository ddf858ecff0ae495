//! Uniform draws: the sampler to compare others with, and what they begin with.

use std::sync::Arc;

use trialog_numerics::Stream;
use trialog_ops::{ComponentSpec, Distribution, Json, TrialNumber};
use trialog_replay::{Over, StudyView};

use crate::{Proposal, Sampler, stream};

/// Every parameter on its own, uniformly over its range; on a log scale, uniformly over the logarithm.
///
/// Bergstra and Bengio, "Random search for hyper-parameter optimization", JMLR 13 (2012).
#[derive(Clone, Copy, Debug, Default)]
pub struct Random;

impl Random {
    /// The sampler; it has no options.
    #[must_use]
    pub fn new() -> Random {
        Random
    }
}

impl Sampler for Random {
    fn spec(&self) -> ComponentSpec {
        ComponentSpec { name: "random".to_owned(), version: 1, options: Json::from(serde_json::json!({})) }
    }

    fn sample_relative(&self, view: &StudyView, number: TrialNumber, seed: u64) -> Vec<Proposal> {
        let params = view.joint_params(Over::CompleteAndPruned).map(|(key, def)| {
            let value = draw(&mut stream(seed, number, &def.name), &def.distribution);
            (key, Arc::clone(def), value)
        });
        params.collect()
    }

    fn sample_independent(
        &self,
        _view: &StudyView,
        number: TrialNumber,
        seed: u64,
        name: &str,
        distribution: &Distribution,
    ) -> f64 {
        draw(&mut stream(seed, number, name), distribution)
    }
}

/// One uniform draw in internal form, inside the distribution.
pub(crate) fn draw(stream: &mut Stream, distribution: &Distribution) -> f64 {
    if let Some(only) = distribution.single() {
        return only;
    }
    match distribution {
        Distribution::Float(d) => match d.step() {
            Some(step) => {
                let last = ((d.high() - d.low()) / step).round();
                let k = (stream.uniform() * (last + 1.0)).floor().min(last);
                (d.low() + k * step).clamp(d.low(), d.high())
            }
            None if d.is_log() => {
                let (low, high) = (d.low().ln(), d.high().ln());
                (low + stream.uniform() * (high - low)).exp().clamp(d.low(), d.high())
            }
            // Halves, so that the width of the widest range is still a number.
            None => {
                let u = stream.uniform();
                (d.low() * (1.0 - u) + d.high() * u).clamp(d.low(), d.high())
            }
        },
        Distribution::Int(d) if d.is_log() => {
            // Each integer owns the stretch half a unit to both sides.
            let (low, high) = ((d.low() as f64 - 0.5).ln(), (d.high() as f64 + 0.5).ln());
            let value = (low + stream.uniform() * (high - low)).exp().round();
            value.clamp(d.low() as f64, d.high() as f64)
        }
        Distribution::Int(d) => {
            let choices = (d.high() - d.low()) / d.step() + 1;
            (d.low() + stream.below(choices.unsigned_abs()).cast_signed() * d.step()) as f64
        }
        Distribution::Categorical(d) => stream.below(d.choices().len() as u64) as f64,
    }
}
