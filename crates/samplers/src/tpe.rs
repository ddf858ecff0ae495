//! Tree-structured Parzen estimation: the trials so far are divided into good ones and others, a density is made of
//! each, and of the points drawn from the good one's the most telling is proposed.
//!
//! Bergstra, Bardenet, Bengio and Kegl, "Algorithms for hyper-parameter optimization" (NIPS 2011); several
//! objectives after Ozaki, Tanigaki, Watanabe and Onishi, "Multiobjective tree-structured Parzen estimator for
//! computationally expensive optimization problems" (GECCO 2020); in the form and with the defaults of Optuna 5.

mod candidates;
mod distance;
mod fronts;
mod models;
mod observe;
mod split;

use std::sync::{Arc, Mutex, PoisonError};

use trialog_numerics::Stream;
use trialog_ops::{
    Choice, ComponentSpec, Distribution, Json, OptionReader, ParamDef, StudyId, TrialNumber, TrialState,
};
use trialog_replay::{Lineage, Over, StudyView};

use crate::follow::Follower;
use crate::parzen::{Axis, Density, KernelOptions, Mixture, Outcome, Weights};
use crate::random::{draw, settle};
use crate::registry::Options;
use crate::space::{Groups, SpaceParam};
use crate::{Asked, Candidate, Proposal, Sampler, stream, stream_for};
use distance::{Distance, Distances};
use fronts::Standing;
use models::{Models, WORTH_KEEPING, WORTH_KEEPING_ALONE};

/// How many of the trials count as good.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Gamma {
    /// A tenth of them, rounded up; with one objective at most 25.
    #[default]
    Tenth,
    /// A quarter of their square root, rounded up, at most 25: what Hyperopt does.
    Root,
}

/// What shapes the sampler.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TpeOptions {
    /// Below this many finished trials values are drawn at random. Default 10.
    pub n_startup_trials: usize,
    /// How many points are drawn, of which one is proposed. At least 1; default 24.
    pub n_ei_candidates: usize,
    /// Whether the parameters that all trials share are modelled together. Default: with one objective only.
    pub multivariate: Option<bool>,
    /// Whether parameters that always occur together are modelled together, branch by branch of a space with
    /// conditions, and not only those that all trials have. Needs `multivariate` not to be false. Default false.
    pub group: bool,
    /// Whether running trials count as bad, so that parallel workers stay apart. Default true.
    pub constant_liar: bool,
    /// How many trials count as good. Default [`Gamma::Tenth`].
    pub gamma: Gamma,
    /// The kernels.
    pub kernels: KernelOptions,
}

impl Default for TpeOptions {
    fn default() -> TpeOptions {
        TpeOptions {
            n_startup_trials: 10,
            n_ei_candidates: 24,
            multivariate: None,
            group: false,
            constant_liar: true,
            gamma: Gamma::Tenth,
            kernels: KernelOptions::default(),
        }
    }
}

/// The tree-structured Parzen estimator.
#[derive(Debug, Default)]
pub struct Tpe {
    options: TpeOptions,
    /// The good trials of the last view, which are asked for once per parameter. Losing them costs time only.
    kept: Mutex<Option<Kept>>,
    /// Models of the other trials, likewise.
    models: Mutex<Models>,
    /// The trials by how good they are, likewise.
    standing: Follower<Standing>,
    groups: Groups,
    distances: Distances,
}

/// What was found out about a view.
#[derive(Clone, Debug)]
struct Kept {
    lineage: Lineage,
    study: StudyId,
    position: u64,
    good: Arc<[u32]>,
    /// Who was chosen by hypervolume, which stays the same until the front changes.
    choice: Option<Arc<split::Choice>>,
}

impl Kept {
    fn is_of(&self, view: &StudyView) -> bool {
        self.position == view.position() && self.study == view.id() && self.lineage == *view.lineage()
    }
}

impl Tpe {
    /// The sampler with these options.
    #[must_use]
    pub fn new(options: TpeOptions) -> Tpe {
        Tpe { options, ..Tpe::default() }
    }

    /// With distances between the choices of a parameter, so that an observed choice makes near ones more likely, too:
    /// a row for each choice, in their order, none of them negative. Without as many rows and columns as there are
    /// choices they are not used.
    ///
    /// The kernels are those that Optuna had until 4.9: `exp(-(d / largest d)^2 c)` with
    /// `c = ln(kernels / prior weight) ln(choices) / ln 6`, normalized.
    #[must_use]
    pub fn with_categorical_distances(mut self, name: &str, rows: Vec<Vec<f64>>) -> Tpe {
        self.distances.insert(name, Distance::Rows(rows));
        self
    }

    /// The same by a function. It cannot be written down: the log names the parameters that have one, and a process that
    /// would build the sampler from the log gets an error instead.
    #[must_use]
    pub fn with_categorical_distance(
        mut self,
        name: &str,
        distance: impl Fn(&Choice, &Choice) -> f64 + Send + Sync + 'static,
    ) -> Tpe {
        self.distances.insert(name, Distance::Function(Box::new(distance)));
        self
    }

    /// Reads the options of a log; what is not named has its default.
    ///
    /// # Errors
    /// An option that does not exist or has no meaning, in words.
    pub fn from_options(options: &Options) -> Result<Tpe, String> {
        let mut reader = OptionReader::new(options);
        let default = TpeOptions::default();
        let gamma = reader.one_of("gamma", &[("tenth", Gamma::Tenth), ("root", Gamma::Root)])?;
        let options = TpeOptions {
            n_startup_trials: reader.count("n_startup_trials", 0)?.unwrap_or(default.n_startup_trials),
            n_ei_candidates: reader.count("n_ei_candidates", 1)?.unwrap_or(default.n_ei_candidates),
            multivariate: reader.flag("multivariate")?,
            group: reader.flag("group")?.unwrap_or(default.group),
            constant_liar: reader.flag("constant_liar")?.unwrap_or(default.constant_liar),
            gamma: gamma.unwrap_or_default(),
            kernels: KernelOptions {
                prior_weight: reader.number("prior_weight", 0.0)?.unwrap_or(default.kernels.prior_weight),
                magic_clip: reader.flag("consider_magic_clip")?.unwrap_or(default.kernels.magic_clip),
                endpoints: reader.flag("consider_endpoints")?.unwrap_or(default.kernels.endpoints),
            },
        };
        let distances = Distances::read(&mut reader)?;
        reader.finish()?;
        if options.group && options.multivariate == Some(false) {
            return Err("option group needs multivariate not to be false".to_owned());
        }
        Ok(Tpe { distances, ..Tpe::new(options) })
    }

    /// The trials that count as good, by number.
    #[must_use]
    pub fn good_trials(&self, view: &StudyView) -> Vec<TrialNumber> {
        self.good(view).iter().copied().map(TrialNumber).collect()
    }

    /// Forgets what was kept to save time. Suggestions stay the same.
    pub fn drop_caches(&self) {
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = None;
        *self.models.lock().unwrap_or_else(PoisonError::into_inner) = Models::default();
        self.standing.clear();
        self.groups.clear();
    }

    fn good(&self, view: &StudyView) -> Arc<[u32]> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(kept) = kept.as_ref().filter(|kept| kept.is_of(view)) {
            return Arc::clone(&kept.good);
        }
        let mut choice = kept.and_then(|kept| kept.choice);
        let good = split::good(view, self.good_count(view), &self.standing, &mut choice);
        let good: Arc<[u32]> = Arc::from(good);
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(Kept {
            lineage: view.lineage().clone(),
            study: view.id(),
            position: view.position(),
            good: Arc::clone(&good),
            choice,
        });
        good
    }

    fn good_count(&self, view: &StudyView) -> usize {
        const MOST: usize = 25;
        let n = finished(view) as f64;
        let (count, limited) = match self.options.gamma {
            Gamma::Tenth => ((0.1 * n).ceil(), view.directions().len() == 1),
            Gamma::Root => ((0.25 * n.sqrt()).ceil(), true),
        };
        if limited { MOST.min(count as usize) } else { count as usize }
    }

    fn is_starting(&self, view: &StudyView) -> bool {
        finished(view) < self.options.n_startup_trials
    }

    fn is_multivariate(&self, view: &StudyView) -> bool {
        self.options.multivariate.unwrap_or(self.options.group || view.directions().len() == 1)
    }

    /// The proposals for a group of parameters.
    fn of_group(&self, view: &StudyView, number: TrialNumber, seed: u64, group: &[SpaceParam]) -> Vec<Proposal> {
        let space: Vec<_> = group.iter().map(|(_, def)| (def.name.as_str(), &def.distribution)).collect();
        let names: Vec<&str> = space.iter().map(|(name, _)| *name).collect();
        let values = self.propose(view, number, stream_for(seed, number, "tpe", &names.join("\n")), &space);
        group.iter().zip(values).map(|((key, def), value)| (*key, Arc::clone(def), value)).collect()
    }

    /// Draws points from the density of the good trials.
    fn drawn<'a>(
        &self,
        view: &StudyView,
        stream: &mut Stream,
        space: &'a [(&'a str, &'a Distribution)],
    ) -> Drawn<'a> {
        let axes: Vec<Axis> = space.iter().map(|(_, distribution)| Axis::of(distribution)).collect();
        let names: Vec<&str> = space.iter().map(|(name, _)| *name).collect();
        let good = self.good(view);
        let weights = if view.directions().len() == 1 { Weights::Recent } else { Weights::Equal };
        let distances = self.distances.of(space);
        let below = Mixture::new(&axes, observe::of_trials(view, &names, &good), weights, self.options.kernels)
            .with_distances(&distances);
        let points = below.sample(stream, self.options.n_ei_candidates);
        Drawn { names, axes, distances, good, below, points }
    }

    /// The density of the other trials, by the plain computation.
    fn above(&self, view: &StudyView, drawn: &Drawn<'_>, asking: TrialNumber) -> Mixture {
        let observed = drawn.others(asking, self.options).observe(view, &drawn.names);
        Mixture::new(&drawn.axes, observed, Weights::Recent, self.options.kernels).with_distances(&drawn.distances)
    }

    /// The index of the point at which the good trials' density is largest beside that of the others.
    fn most_telling(&self, view: &StudyView, drawn: &Drawn<'_>, asking: TrialNumber) -> usize {
        let Drawn { names, axes, distances, points, .. } = drawn;
        let below = Density::new(&drawn.below);
        let anew =
            |points: &[Vec<f64>]| Density::new(&self.above(view, drawn, asking)).largest_log_ratio(&below, points);
        let worth_keeping = if names.len() == 1 { WORTH_KEEPING_ALONE } else { WORTH_KEEPING };
        if finished(view) < worth_keeping || distances.iter().any(Option::is_some) {
            return anew(points);
        }
        let mut models = self.models.lock().unwrap_or_else(PoisonError::into_inner);
        let others = drawn.others(asking, self.options);
        let outcome = match models.of(view, names, axes, &others, self.options.kernels) {
            Some(above) => above.largest_log_ratio(&below, points),
            None => Outcome::Unknown,
        };
        drop(models);
        match outcome {
            Outcome::Winner(winner) => winner,
            // Whoever has kept what, all compute the same here.
            Outcome::Close(close) => {
                let points: Vec<Vec<f64>> = close.iter().map(|&at| points[at].clone()).collect();
                close[anew(&points)]
            }
            Outcome::Unknown => anew(points),
        }
    }

    /// The value proposed for each parameter, together.
    fn propose(
        &self,
        view: &StudyView,
        number: TrialNumber,
        mut stream: Stream,
        space: &[(&str, &Distribution)],
    ) -> Vec<f64> {
        let drawn = self.drawn(view, &mut stream, space);
        let best = self.most_telling(view, &drawn, number);
        let values = drawn.points.get(best).into_iter().flatten().copied();
        values.zip(space).map(|(value, (_, distribution))| settle(distribution, value)).collect()
    }
}

/// Points for parameters that are modelled together: names, coordinates and distances of each, and where the points come
/// from.
struct Drawn<'a> {
    names: Vec<&'a str>,
    axes: Vec<Axis>,
    distances: Vec<Option<Arc<[f64]>>>,
    /// The good trials' numbers, rising, and their density.
    good: Arc<[u32]>,
    below: Mixture,
    points: Vec<Vec<f64>>,
}

impl Drawn<'_> {
    fn others(&self, asking: TrialNumber, options: TpeOptions) -> observe::Others<'_> {
        observe::Others { good: &self.good, asking, running: options.constant_liar }
    }
}

/// Trials from which something was learned.
fn finished(view: &StudyView) -> usize {
    view.count(TrialState::Complete) + view.count(TrialState::Pruned)
}

impl Sampler for Tpe {
    fn spec(&self) -> ComponentSpec {
        let TpeOptions { n_startup_trials, n_ei_candidates, multivariate, group, constant_liar, gamma, kernels } =
            self.options;
        let mut options = serde_json::json!({
            "n_startup_trials": n_startup_trials,
            "n_ei_candidates": n_ei_candidates,
            "multivariate": multivariate,
            "constant_liar": constant_liar,
            "gamma": match gamma { Gamma::Tenth => "tenth", Gamma::Root => "root" },
            "prior_weight": kernels.prior_weight,
            "consider_magic_clip": kernels.magic_clip,
            "consider_endpoints": kernels.endpoints,
        });
        // What was not asked for is not written, as it was before there was such an option.
        if let Some(options) = options.as_object_mut() {
            if group {
                options.insert("group".to_owned(), true.into());
            }
            self.distances.write(options);
        }
        ComponentSpec { name: "tpe".to_owned(), version: 1, options: Json::from(options) }
    }

    fn sample_relative(&self, view: &StudyView, number: TrialNumber, seed: u64) -> Vec<Proposal> {
        if self.options.group && !self.is_starting(view) {
            return self
                .groups
                .of(view)
                .iter()
                .flat_map(|group| self.of_group(view, number, seed, group))
                .collect();
        }
        let params: Vec<_> = view.joint_params(Over::CompleteAndPruned).collect();
        if params.is_empty() {
            return Vec::new();
        }
        let values: Vec<f64> = if self.is_multivariate(view) && !self.is_starting(view) {
            let space: Vec<_> = params.iter().map(|(_, def)| (def.name.as_str(), &def.distribution)).collect();
            self.propose(view, number, stream_for(seed, number, "tpe", ""), &space)
        } else {
            // One by one, and yet all beforehand, so that parallel workers see them at once.
            let alone = |def: &ParamDef| self.sample_independent(view, number, seed, &def.name, &def.distribution);
            params.iter().map(|(_, def)| alone(def)).collect()
        };
        params.iter().zip(values).map(|((key, def), value)| (*key, Arc::clone(def), value)).collect()
    }

    fn candidates(&self, view: &StudyView, number: TrialNumber, seed: u64, asked: Asked<'_>) -> Vec<Candidate> {
        self.weighed(view, number, seed, asked)
    }

    fn sample_independent(
        &self,
        view: &StudyView,
        number: TrialNumber,
        seed: u64,
        name: &str,
        distribution: &Distribution,
    ) -> f64 {
        if self.is_starting(view) || distribution.is_single() {
            return draw(&mut stream(seed, number, name), distribution);
        }
        let values = self.propose(view, number, stream_for(seed, number, "tpe", name), &[(name, distribution)]);
        settle(distribution, values.first().copied().unwrap_or(f64::NAN))
    }
}
