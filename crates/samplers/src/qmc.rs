//! Quasi-random search: points that fill the space more evenly than independent draws do.
//!
//! Bergstra and Bengio, "Random search for hyper-parameter optimization", JMLR 13 (2012), section 5, recommend it.

use std::sync::{Arc, Mutex, PoisonError};

use trialog_numerics::{Halton, Sobol, Stream, hash_bytes};
use trialog_ops::{ComponentSpec, Distribution, Json, OptionReader, TrialNumber};
use trialog_replay::{Over, ParamColumn, StudyView};

use crate::random::draw;
use crate::registry::Options;
use crate::unit::from_unit;
use crate::{Proposal, Sampler, stream};

/// Which sequence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum QmcType {
    /// Sobol's, with the direction numbers of Joe and Kuo (2008).
    #[default]
    Sobol,
    /// Halton's.
    Halton,
}

/// What shapes the sampler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QmcOptions {
    /// Which sequence. Default [`QmcType::Sobol`].
    pub qmc_type: QmcType,
    /// Whether the digits are scrambled by the study's seed: a linear matrix scramble and a digital shift for Sobol's,
    /// a permutation for each digit for Halton's. Default true. Otherwise the first trial is the lower corner.
    pub scramble: bool,
}

impl Default for QmcOptions {
    fn default() -> QmcOptions {
        QmcOptions { qmc_type: QmcType::Sobol, scramble: true }
    }
}

/// One sequence for all processes: a trial has the point of its number, which the log gives out once. A parameter has
/// the dimension of its place in the order in which the study met its parameters, also where not all trials have it;
/// the thousand and first parameter is drawn at random, and so are those that follow it.
#[derive(Debug, Default)]
pub struct Qmc {
    options: QmcOptions,
    /// The dimensions that were asked for, of one seed.
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    seed: u64,
    axes: Vec<Axis>,
}

#[derive(Debug)]
enum Axis {
    Sobol(Sobol),
    Halton(Halton),
}

impl Axis {
    fn at(&self, index: u32) -> f64 {
        match self {
            Axis::Sobol(axis) => axis.at(index),
            Axis::Halton(axis) => axis.at(index),
        }
    }
}

impl Qmc {
    /// The sampler with these options.
    #[must_use]
    pub fn new(options: QmcOptions) -> Qmc {
        Qmc { options, kept: Mutex::default() }
    }

    /// Reads the options of a log; what is not named has its default.
    ///
    /// # Errors
    /// An option that does not exist or has no meaning, in words.
    pub fn from_options(options: &Options) -> Result<Qmc, String> {
        let mut reader = OptionReader::new(options);
        let default = QmcOptions::default();
        let types = [("sobol", QmcType::Sobol), ("halton", QmcType::Halton)];
        let options = QmcOptions {
            qmc_type: reader.one_of("qmc_type", &types)?.unwrap_or(default.qmc_type),
            scramble: reader.flag("scramble")?.unwrap_or(default.scramble),
        };
        reader.finish()?;
        Ok(Qmc::new(options))
    }

    /// Forgets what was kept to save time. Suggestions stay the same.
    pub fn drop_caches(&self) {
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Kept::default();
    }

    fn axis(&self, seed: u64, dim: usize) -> Option<Axis> {
        let mut stream = Stream::new(&[seed, hash_bytes(b"qmc"), dim as u64]);
        match (self.options.qmc_type, self.options.scramble) {
            (QmcType::Sobol, false) => Sobol::new(dim).map(Axis::Sobol),
            (QmcType::Sobol, true) => Sobol::scrambled(dim, &mut stream).map(Axis::Sobol),
            (QmcType::Halton, false) => Halton::new(dim).map(Axis::Halton),
            (QmcType::Halton, true) => Halton::scrambled(dim, &mut stream).map(Axis::Halton),
        }
    }

    /// Coordinates of one point; none where there is no such dimension.
    fn coordinates(&self, number: TrialNumber, seed: u64, dims: impl Iterator<Item = usize>) -> Vec<Option<f64>> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.seed != seed {
            *kept = Kept { seed, axes: Vec::new() };
        }
        let mut coordinate = |dim: usize| {
            while kept.axes.len() <= dim {
                let axis = self.axis(seed, kept.axes.len())?;
                kept.axes.push(axis);
            }
            Some(kept.axes[dim].at(number.0))
        };
        dims.map(&mut coordinate).collect()
    }
}

impl Sampler for Qmc {
    fn spec(&self) -> ComponentSpec {
        let options = serde_json::json!({
            "qmc_type": match self.options.qmc_type { QmcType::Sobol => "sobol", QmcType::Halton => "halton" },
            "scramble": self.options.scramble,
        });
        ComponentSpec { name: "qmc".to_owned(), version: 1, options: Json::from(options) }
    }

    fn sample_relative(&self, view: &StudyView, number: TrialNumber, seed: u64) -> Vec<Proposal> {
        let params: Vec<_> = view.joint_params(Over::CompleteAndPruned).collect();
        let met: Vec<&str> = view.params_as_met().map(ParamColumn::name).collect();
        let dim = |name: &str| met.iter().position(|known| *known == name).unwrap_or(usize::MAX);
        let coordinates = self.coordinates(number, seed, params.iter().map(|(_, def)| dim(&def.name)));
        let value = |def: &trialog_ops::ParamDef, coordinate: Option<f64>| match coordinate {
            Some(unit) => from_unit(&def.distribution, unit),
            None => draw(&mut stream(seed, number, &def.name), &def.distribution),
        };
        let pairs = params.into_iter().zip(coordinates);
        pairs.map(|((key, def), coordinate)| (key, Arc::clone(def), value(def, coordinate))).collect()
    }

    fn sample_independent(
        &self,
        view: &StudyView,
        number: TrialNumber,
        seed: u64,
        name: &str,
        distribution: &Distribution,
    ) -> f64 {
        // A parameter that nobody has met will be met as the next one.
        let met = view.params_as_met();
        let next = met.len();
        let dim = view.params_as_met().position(|column| column.name() == name).unwrap_or(next);
        match self.coordinates(number, seed, std::iter::once(dim)).first() {
            Some(Some(unit)) => from_unit(distribution, *unit),
            _ => draw(&mut stream(seed, number, name), distribution),
        }
    }
}
