//! Uniform draws: the sampler to compare others with, and what they begin with.

use std::sync::Arc;

use libm::{exp, log};
use trialog_numerics::Stream;
use trialog_ops::{ComponentSpec, Distribution, OptionReader, TrialNumber};
use trialog_replay::{Over, StudyView};

use crate::registry::Options;
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

    /// Reads the options of a log.
    ///
    /// # Errors
    /// Any option at all.
    pub fn from_options(options: &Options) -> Result<Random, String> {
        OptionReader::new(options).finish()?;
        Ok(Random)
    }
}

impl Sampler for Random {
    fn spec(&self) -> ComponentSpec {
        ComponentSpec::named("random")
    }

    fn sample_relative(&self, view: &StudyView, number: TrialNumber, seed: u64) -> Vec<Proposal> {
        let params = view.joint_params(Over::CompleteAndPruned).map(|(key, def)| {
            let value = draw(&mut stream(seed, number, &def.name), &def.distribution);
            (key, Arc::clone(def), value)
        });
        params.collect()
    }
}

/// One uniform draw in internal form, inside the distribution; on a log scale, uniform in the logarithm.
#[must_use]
pub fn draw(stream: &mut Stream, distribution: &Distribution) -> f64 {
    if let Some(only) = distribution.single() {
        return only;
    }
    let value = match distribution {
        Distribution::Float(d) => match d.step() {
            Some(step) => {
                let last = ((d.high() - d.low()) / step).round();
                d.low() + (stream.uniform() * (last + 1.0)).floor().min(last) * step
            }
            None if d.is_log() => between(stream, log(d.low()), log(d.high()), exp),
            None => between(stream, d.low(), d.high(), |value| value),
        },
        // Each integer owns the stretch half a unit to both sides.
        Distribution::Int(d) if d.is_log() => {
            between(stream, log(d.low() as f64 - 0.5), log(d.high() as f64 + 0.5), |value| exp(value).round())
        }
        Distribution::Int(d) => {
            let choices = (d.high() - d.low()) / d.step() + 1;
            (d.low() + stream.below(choices.unsigned_abs()).cast_signed() * d.step()) as f64
        }
        Distribution::Categorical(d) => stream.below(d.choices().len() as u64) as f64,
    };
    settle(distribution, value)
}

/// A weighted mean of the ends rather than a part of the width, which may be too large for a number.
fn between(stream: &mut Stream, low: f64, high: f64, value: impl Fn(f64) -> f64) -> f64 {
    let share = stream.uniform();
    value(low * (1.0 - share) + high * share)
}

/// The value inside the distribution that is nearest to this one; the lowest for what is no number.
pub(crate) fn settle(distribution: &Distribution, value: f64) -> f64 {
    match distribution {
        Distribution::Float(d) => {
            let within = |value: f64| value.max(d.low()).min(d.high());
            let Some(step) = d.step() else { return within(value) };
            let on_grid = within(d.low() + ((within(value) - d.low()) / step).round() * step);
            // Where the grid is finer than doubles can tell apart, its ends at least are known to be on it.
            if distribution.contains(on_grid) { on_grid } else { d.low() }
        }
        Distribution::Int(d) => {
            let value = value.max(d.low() as f64).min(d.high() as f64) as i64;
            let steps = (value - d.low() + d.step() / 2) / d.step();
            (d.low() + steps * d.step()).min(d.high()) as f64
        }
        Distribution::Categorical(d) => value.round().max(0.0).min((d.choices().len() - 1) as f64),
    }
}
