//! CMA-ES: a normal distribution over the numeric parameters that all trials share, which moves and bends towards the
//! good ones from one population to the next.
//!
//! Nothing of it is in the log. The state after some trials is a fold over them in the order in which they ended: a
//! trial belongs to the present population if its parameters are, bit by bit, what that population's distribution
//! suggests for its number. Populations are therefore shared by all processes without a word between them; trials from
//! elsewhere, and late ones of populations that are over, count for nothing.

mod evolution;
mod margin;
mod warm_start;

use std::collections::BTreeMap;
use std::sync::Arc;

use libm::log;
use trialog_numerics::{Stream, ndtri};
use trialog_ops::{Choice, ComponentSpec, Distribution, Json, OptionReader, ParamKey, TrialNumber, TrialState};
use trialog_replay::{Over, StudyView, TrialView};

pub use evolution::{Evolution, Member, Variant};
pub use margin::{Cells, Margin};
pub use warm_start::promising;

use crate::follow::Follower;
use crate::random::draw;
use crate::registry::Options;
use crate::space::{self, SpaceParam};
use crate::unit::{from_choice, from_unit, to_choice, to_json, to_unit};
use crate::{Proposal, Sampler, stream, stream_for};

/// What to do when a distribution has come to its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Restart {
    /// Begin somewhere else with twice the population (Auger and Hansen, "A restart CMA evolution strategy with
    /// increasing population size", CEC 2005).
    #[default]
    Ipop,
    /// Nothing: go on with it.
    Never,
}

/// A trial of another study, with a value in its direction.
pub type SourceTrial = (BTreeMap<String, Choice>, f64);

/// What shapes the sampler.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CmaOptions {
    /// Below this many finished trials values are drawn at random. Default 1.
    pub n_startup_trials: Option<usize>,
    /// Where the mean begins, by parameter; in the middle where nothing is said. Default: nothing.
    pub x0: BTreeMap<String, Choice>,
    /// The first step size, in parts of the ranges. Above 0; default 1/6.
    pub sigma0: Option<f64>,
    /// How many trials make a population. At least 2; default `4 + 3 ln n`, rounded down.
    pub popsize: Option<usize>,
    /// Whether a pruned trial counts with its last report. Default false.
    pub consider_pruned_trials: bool,
    /// How the distribution changes. Default [`Variant::Full`].
    pub variant: Variant,
    /// Whether integers and steps are kept from freezing. Default: where there are any and the variant is full.
    pub with_margin: Option<bool>,
    /// What to do at the end. Default [`Restart::Ipop`].
    pub restart: Restart,
    /// Trials of another study on the same parameters, of which the best tenth say where to begin; at least ten.
    /// Default: none.
    pub source_trials: Vec<SourceTrial>,
}

/// The covariance matrix adaptation evolution strategy, for one objective. With several of them it draws at random, and
/// so it does for categorical parameters and for those that not all trials have.
#[derive(Debug, Default)]
pub struct CmaEs {
    options: CmaOptions,
    kept: Follower<Search>,
}

/// The search after some trials.
#[derive(Clone, Debug)]
struct Search {
    seed: u64,
    keys: Vec<ParamKey>,
    evolution: Evolution,
    members: Vec<Member>,
    restarts: u64,
}

/// What a distribution suggests for one trial.
#[derive(Debug, Default)]
struct Candidate {
    normals: Vec<f64>,
    x: Vec<f64>,
}

impl CmaEs {
    /// The sampler with these options.
    ///
    /// # Errors
    /// Options that exclude each other, in words.
    pub fn new(options: CmaOptions) -> Result<CmaEs, String> {
        let margin = options.with_margin == Some(true);
        if margin && options.variant != Variant::Full {
            return Err("with_margin goes neither with use_separable_cma nor with lr_adapt".to_owned());
        }
        let placed = !options.x0.is_empty() || options.sigma0.is_some() || options.variant == Variant::Separable;
        if !options.source_trials.is_empty() && placed {
            return Err("source_trials goes neither with x0 nor sigma0 nor use_separable_cma".to_owned());
        }
        if options.sigma0.is_some_and(|sigma| !(sigma > 0.0 && sigma.is_finite())) {
            return Err("sigma0 must be above 0".to_owned());
        }
        Ok(CmaEs { options, kept: Follower::default() })
    }

    /// Reads the options of a log; what is not named has its default.
    ///
    /// # Errors
    /// An option that does not exist or has no meaning, in words.
    pub fn from_options(options: &Options) -> Result<CmaEs, String> {
        let mut reader = OptionReader::new(options);
        let n_startup_trials = reader.count("n_startup_trials", 0)?;
        let x0 = reader.take("x0", "an object with a number for each parameter", to_point)?.unwrap_or_default();
        let sigma0 = reader.number("sigma0", 0.0)?;
        let popsize = reader.count("popsize", 2)?;
        let consider_pruned_trials = reader.flag("consider_pruned_trials")?.unwrap_or(false);
        let separable = reader.flag("use_separable_cma")?.unwrap_or(false);
        let with_margin = reader.flag("with_margin")?;
        let lr_adapt = reader.flag("lr_adapt")?.unwrap_or(false);
        let restarts = [("ipop", Restart::Ipop), ("none", Restart::Never)];
        let restart = reader.one_of("restart_strategy", &restarts)?.unwrap_or_default();
        let source_trials = reader
            .take("source_trials", "a list of objects of params and value", |value| {
                value.as_array()?.iter().map(to_source).collect()
            })?
            .unwrap_or_default();
        reader.finish()?;
        let variant = match (separable, lr_adapt) {
            (false, false) => Variant::Full,
            (true, false) => Variant::Separable,
            (false, true) => Variant::LearningRate,
            (true, true) => return Err("use_separable_cma and lr_adapt exclude each other".to_owned()),
        };
        CmaEs::new(CmaOptions {
            n_startup_trials,
            x0,
            sigma0,
            popsize,
            consider_pruned_trials,
            variant,
            with_margin,
            restart,
            source_trials,
        })
    }

    /// Forgets what was kept to save time. Suggestions stay the same.
    pub fn drop_caches(&self) {
        self.kept.clear();
    }

    /// How many populations have been completed since the last restart, and how many restarts there have been.
    #[must_use]
    pub fn generation(&self, view: &StudyView, seed: u64) -> (u64, u64) {
        let space = self.space(view);
        self.look(view, seed, &space, |search| (search.evolution.generation(), search.restarts))
    }

    fn over(&self) -> Over {
        if self.options.consider_pruned_trials { Over::CompleteAndPruned } else { Over::Complete }
    }

    fn space(&self, view: &StudyView) -> Vec<SpaceParam> {
        let mut space = space::joint(view, self.over());
        space.retain(|(_, def)| !matches!(def.distribution, Distribution::Categorical(_)));
        space
    }

    /// Why nothing is suggested that was learned, if so.
    fn why_random(&self, view: &StudyView, space: &[SpaceParam]) -> Option<&'static str> {
        let mut finished = view.count(TrialState::Complete);
        if self.options.consider_pruned_trials {
            finished += view.count(TrialState::Pruned);
        }
        if view.directions().len() > 1 {
            return Some("it is for one objective");
        }
        if space.is_empty() {
            return Some("no number is among what all complete trials have");
        }
        (finished < self.options.n_startup_trials.unwrap_or(1)).then_some("there are too few complete trials")
    }

    /// Where the search begins, the first time in the middle or where the options say, later anywhere.
    fn begin(&self, view: &StudyView, seed: u64, space: &[SpaceParam], restarts: u64) -> Evolution {
        let n = space.len();
        let variant = match self.options.variant {
            // The separable variant differs from the full one only where there are two axes.
            Variant::Separable if n == 1 => Variant::Full,
            variant => variant,
        };
        let mut stream = Stream::new(&[seed, trialog_numerics::hash_bytes(b"cmaes restart"), restarts]);
        let middle = |(_, def): &SpaceParam| {
            if restarts > 0 {
                return stream.uniform();
            }
            let given = self.options.x0.get(&def.name).and_then(|choice| from_choice(&def.distribution, choice));
            given.map_or(0.5, |value| to_unit(&def.distribution, value))
        };
        let mean: Vec<f64> = space.iter().map(middle).collect();
        let sigma = self.options.sigma0.unwrap_or(1.0 / 6.0).max(1e-10);
        let warm = if restarts == 0 { self.promising(view, space) } else { None };
        let (mean, sigma, covariance) = match warm {
            Some((mean, sigma, covariance)) => (mean, sigma, Some(covariance)),
            None => (mean, sigma, None),
        };
        let usual = self.options.popsize.unwrap_or(4 + (3.0 * log(n as f64)).floor() as usize);
        let population = usual.saturating_mul(1 << restarts.min(10)).min(1 << 14);
        let evolution = Evolution::new(mean, sigma, covariance, Some(population), variant);
        let cells: Vec<Option<Cells>> = space.iter().map(|(_, def)| cells(&def.distribution)).collect();
        let wanted = variant == Variant::Full && self.options.with_margin.unwrap_or(true);
        if !wanted || cells.iter().all(Option::is_none) {
            return evolution;
        }
        let alpha = 1.0 / (n * evolution.population()) as f64;
        evolution.with_margin(Margin::new(cells, alpha.min(0.4)))
    }

    /// What the source trials say, if enough of them have all parameters.
    fn promising(&self, view: &StudyView, space: &[SpaceParam]) -> Option<(Vec<f64>, f64, Vec<f64>)> {
        let direction = view.directions()[0];
        let point = |(params, value): &SourceTrial| {
            let axis = |(_, def): &SpaceParam| {
                let value = from_choice(&def.distribution, params.get(&def.name)?)?;
                Some(to_unit(&def.distribution, value))
            };
            Some((space.iter().map(axis).collect::<Option<Vec<f64>>>()?, direction.loss(*value)))
        };
        promising(self.options.source_trials.iter().filter_map(point).collect())
    }

    fn look<R>(&self, view: &StudyView, seed: u64, space: &[SpaceParam], read: impl FnOnce(&mut Search) -> R) -> R {
        let keys = || space.iter().map(|(key, _)| *key);
        let fit = |search: &Search| search.seed == seed && keys().eq(search.keys.iter().copied());
        let begin = || Search {
            seed,
            keys: keys().collect(),
            evolution: self.begin(view, seed, space, 0),
            members: Vec::new(),
            restarts: 0,
        };
        let mut candidate = Candidate::default();
        let absorb = |search: &mut Search, trial: TrialView<'_>| {
            let Some(loss) = self.loss(view, trial) else { return };
            candidate.draw(&search.evolution, seed, trial.number());
            let mut values = space.iter().zip(candidate.values(&search.evolution, space));
            let same = values.all(|((_, def), value)| {
                trial.param(&def.name).is_some_and(|has| has.to_bits() == value.to_bits())
            });
            drop(values);
            if !same {
                return;
            }
            search.members.push((candidate.x.clone(), loss));
            if search.members.len() < search.evolution.population() {
                return;
            }
            search.evolution.tell(&mut search.members);
            search.members.clear();
            let over = search.evolution.should_stop();
            if over && (self.options.restart == Restart::Ipop || !search.evolution.sigma().is_normal()) {
                search.restarts += 1;
                search.evolution = self.begin(view, seed, space, search.restarts);
            }
        };
        self.kept.look(view, fit, begin, absorb, read)
    }

    /// How bad a trial is, if it counts. Infeasible ones are worse than all others, by how much they violate.
    fn loss(&self, view: &StudyView, trial: TrialView<'_>) -> Option<f64> {
        let direction = view.directions()[0];
        let loss = match trial.state() {
            TrialState::Complete => direction.loss(trial.value(0)?),
            TrialState::Pruned if self.options.consider_pruned_trials => direction.loss(trial.reports().last()?.1),
            _ => return None,
        };
        if loss.is_nan() {
            return None;
        }
        Some(if trial.is_feasible() { loss.min(1e300) } else { 1e300 * (1.0 + trial.violation().min(1e6)) })
    }
}

impl Candidate {
    /// The suggestion for a trial: the first of some points inside the ranges, or else one that was moved into them.
    fn draw(&mut self, evolution: &Evolution, seed: u64, number: TrialNumber) {
        let n = evolution.mean().len();
        let mut stream = stream_for(seed, number, "cmaes", "");
        let is_free = |axis: usize| evolution.margin.as_ref().is_some_and(|margin| margin.has(axis));
        for _ in 0..10 * n {
            self.normals.clear();
            // The middle of each of 2^53 stretches, so that none is infinite.
            self.normals.extend((0..n).map(|_| ndtri(stream.uniform() + f64::EPSILON / 4.0)));
            evolution.place(&self.normals, &mut self.x);
            if self.x.iter().enumerate().all(|(axis, x)| (0.0..=1.0).contains(x) || is_free(axis)) {
                return;
            }
        }
        for (axis, x) in self.x.iter_mut().enumerate() {
            if !is_free(axis) {
                *x = x.clamp(0.0, 1.0);
            }
        }
    }

    /// As values of the parameters.
    fn values(&self, evolution: &Evolution, space: &[SpaceParam]) -> impl Iterator<Item = f64> {
        let pairs = self.x.iter().zip(evolution.mean()).enumerate().zip(space);
        pairs.map(|((axis, (x, mean)), (_, def))| {
            let place = match &evolution.margin {
                Some(margin) if margin.has(axis) => margin.counted(axis, *x, *mean),
                _ => *x,
            };
            from_unit(&def.distribution, place.clamp(0.0, 1.0))
        })
    }
}

/// The stretches of the unit interval that stand for the values of a grid.
fn cells(distribution: &Distribution) -> Option<Cells> {
    let even = |count: f64| Cells::Even { start: 0.0, width: 1.0 / count, count };
    match distribution {
        Distribution::Float(d) => d.step().map(|step| even(((d.high() - d.low()) / step).round() + 1.0)),
        Distribution::Int(d) if d.is_log() => {
            let (low, count) = (d.low() as f64, (d.high() - d.low() + 1) as f64);
            let start = log(low - 0.5);
            Some(Cells::Log { low, count, start, width: log(d.high() as f64 + 0.5) - start })
        }
        Distribution::Int(d) => Some(even(((d.high() - d.low()) / d.step() + 1) as f64)),
        Distribution::Categorical(_) => None,
    }
}

fn to_point(value: &serde_json::Value) -> Option<BTreeMap<String, Choice>> {
    value.as_object()?.iter().map(|(name, value)| Some((name.clone(), to_choice(value)?))).collect()
}

fn to_source(value: &serde_json::Value) -> Option<SourceTrial> {
    let fields = value.as_object().filter(|fields| fields.len() == 2)?;
    Some((to_point(fields.get("params")?)?, fields.get("value")?.as_f64()?))
}

fn to_object(point: &BTreeMap<String, Choice>) -> Options {
    point.iter().map(|(name, value)| (name.clone(), to_json(value))).collect()
}

impl Sampler for CmaEs {
    fn spec(&self) -> ComponentSpec {
        let o = &self.options;
        let source =
            |(params, value): &SourceTrial| serde_json::json!({"params": to_object(params), "value": value});
        let options = serde_json::json!({
            "n_startup_trials": o.n_startup_trials.unwrap_or(1),
            "x0": to_object(&o.x0),
            "sigma0": o.sigma0,
            "popsize": o.popsize,
            "consider_pruned_trials": o.consider_pruned_trials,
            "use_separable_cma": o.variant == Variant::Separable,
            "with_margin": o.with_margin,
            "lr_adapt": o.variant == Variant::LearningRate,
            "restart_strategy": match o.restart { Restart::Ipop => "ipop", Restart::Never => "none" },
            "source_trials": o.source_trials.iter().map(source).collect::<Vec<_>>(),
        });
        ComponentSpec { name: "cmaes".to_owned(), version: 1, options: Json::from(options) }
    }

    fn sample_relative(&self, view: &StudyView, number: TrialNumber, seed: u64) -> Vec<Proposal> {
        let space = self.space(view);
        let values: Vec<f64> = if self.why_random(view, &space).is_some() {
            let at_random =
                |def: &trialog_ops::ParamDef| draw(&mut stream(seed, number, &def.name), &def.distribution);
            space.iter().map(|(_, def)| at_random(def)).collect()
        } else {
            let mut candidate = Candidate::default();
            self.look(view, seed, &space, |search| {
                candidate.draw(&search.evolution, seed, number);
                candidate.values(&search.evolution, &space).collect()
            })
        };
        space.into_iter().zip(values).map(|((key, def), value)| (key, Arc::clone(&def), value)).collect()
    }

    fn explain(&self, view: &StudyView) -> Option<String> {
        let space = self.space(view);
        if let Some(why) = self.why_random(view, &space) {
            return Some(format!("draws at random: {why}"));
        }
        // The populations depend on the seed.
        let seed = view.config()?.seed;
        Some(self.look(view, seed, &space, |search| {
            format!(
                "a normal distribution over {} parameters after {} whole populations and {} restarts; {} of {} trials of the \
                 present population have ended; the step size is {:.2e} of the ranges",
                space.len(),
                search.evolution.generation(),
                search.restarts,
                search.members.len(),
                search.evolution.population(),
                search.evolution.sigma(),
            )
        }))
    }
}
