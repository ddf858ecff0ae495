//! A surrogate of trees: a random forest, or extremely randomized trees, is fitted to the complete trials, and of
//! many points the one with the largest expected improvement is proposed. Trees need no scaling, take steps and
//! categories as they are, and do not mind a rugged objective.
//!
//! Hutter, Hoos and Leyton-Brown, "Sequential model-based optimization for general algorithm configuration" (LION 5,
//! 2011). Several objectives become one by weights that are drawn for each trial (Knowles, "ParEGO: a hybrid algorithm
//! with on-line landscape approximation for expensive multiobjective optimization problems", IEEE TEVC 10 (2006)).

mod tree;

use std::sync::{Arc, Mutex, PoisonError};

use trialog_numerics::{Stream, log_expected_improvement, log_probability_above};
use trialog_ops::{ComponentSpec, Json, OptionReader, ParamDef, ParamKey, TrialNumber, TrialState};
use trialog_replay::{Over, StudyView};

use crate::gp::axes::{Axis, Moves};
use crate::gp::rows::{Rows, Standard};
use crate::gp::search::{latin_hypercube, nearby};
use crate::gp::{joint, running_points};
use crate::random::draw;
use crate::registry::Options;
use crate::{Proposal, Sampler, stream, stream_for};
use tree::{Growth, Table};

/// Forests learn from at most so many trials.
const MODELLED: usize = 2000;
/// Points that fill the space.
const SPREAD: usize = 1000;
/// The best points, around which others are tried, how many in a round, and rounds.
const CENTRES: usize = 5;
const NEIGHBOURS: usize = 20;
const ROUNDS: usize = 5;
/// What a variance is at least, in units of the objective's: a forest is never certain.
const LEAST_VARIANCE: f64 = 1e-4;

/// How trees are grown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TreeKind {
    /// Random splits of all trials. Its mean bends where a forest's has steps, and it found better points on all but
    /// one of the functions that both were tried on.
    #[default]
    ExtraTrees,
    /// The best splits of bootstrap samples.
    RandomForest,
}

/// What shapes the sampler.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ForestOptions {
    /// Below this many complete trials values are drawn at random. Default 10.
    pub n_startup_trials: usize,
    /// How trees are grown. Default [`TreeKind::ExtraTrees`].
    pub trees: TreeKind,
    /// How many trees. At least 1; default 30.
    pub n_trees: usize,
    /// By how much a trial must improve on the best for it to count, in standard deviations of the objective over
    /// the trials. Default 0.02.
    pub xi: f64,
    /// How many trials a leaf has at least. At least 1; default 1.
    pub min_samples_leaf: usize,
}

impl Default for ForestOptions {
    fn default() -> ForestOptions {
        ForestOptions {
            n_startup_trials: 10,
            trees: TreeKind::ExtraTrees,
            n_trees: 30,
            xi: 0.02,
            min_samples_leaf: 1,
        }
    }
}

/// The sampler with a surrogate of trees.
///
/// A suggestion takes time in proportion to the number of trials, up to 2,000 of them, and its logarithm.
#[derive(Debug, Default)]
pub struct Forest {
    options: ForestOptions,
    /// The complete trials of the last view. Losing them costs time only.
    kept: Mutex<Option<Arc<Rows>>>,
}

impl Forest {
    /// The sampler with these options.
    #[must_use]
    pub fn new(options: ForestOptions) -> Forest {
        Forest { options, kept: Mutex::new(None) }
    }

    /// Reads the options of a log; what is not named has its default.
    ///
    /// # Errors
    /// An option that does not exist or has no meaning, in words.
    pub fn from_options(options: &Options) -> Result<Forest, String> {
        let mut reader = OptionReader::new(options);
        let default = ForestOptions::default();
        let trees = reader
            .one_of("trees", &[("extra_trees", TreeKind::ExtraTrees), ("random_forest", TreeKind::RandomForest)])?;
        let options = ForestOptions {
            n_startup_trials: reader.count("n_startup_trials", 0)?.unwrap_or(default.n_startup_trials),
            trees: trees.unwrap_or_default(),
            n_trees: reader.count("n_trees", 1)?.unwrap_or(default.n_trees),
            xi: reader.number("xi", 0.0)?.unwrap_or(default.xi),
            min_samples_leaf: reader.count("min_samples_leaf", 1)?.unwrap_or(default.min_samples_leaf),
        };
        reader.finish()?;
        Ok(Forest::new(options))
    }

    /// Forgets what was kept to save time. Suggestions stay the same.
    pub fn drop_caches(&self) {
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn rows(&self, view: &StudyView, params: &[(ParamKey, &Arc<ParamDef>)]) -> Arc<Rows> {
        let known = self.kept.lock().unwrap_or_else(PoisonError::into_inner).take();
        let rows = Arc::new(Rows::update(known, view, params));
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&rows));
        rows
    }

    /// The proposed values for parameters of which none is single.
    fn propose(
        &self,
        view: &StudyView,
        number: TrialNumber,
        seed: u64,
        params: &[(ParamKey, &Arc<ParamDef>)],
    ) -> Vec<f64> {
        let rows = self.rows(view, params);
        let axes: Vec<Axis> = params.iter().map(|(_, def)| Axis::of(&def.distribution)).collect();
        let mut stream = stream_for(seed, number, "forest", "");
        let chosen = rows.choose(rows.len(), MODELLED);
        let mut inputs = rows.inputs_of(&chosen);
        for point in running_points(view, number, params, &axes, false) {
            inputs.push(&point);
        }
        let category = |axis: &Axis| if let Moves::Choices(count) = axis.moves { Some(count) } else { None };
        let categories: Vec<Option<usize>> = axes.iter().map(category).collect();
        let growth = Growth {
            trees: self.options.n_trees,
            is_extra: self.options.trees == TreeKind::ExtraTrees,
            least: self.options.min_samples_leaf,
        };
        let grow = |mut y: Vec<f64>, stream: &mut Stream| {
            // What runs counts as average, so that others see the place as known and not as good.
            y.resize(inputs.len, 0.0);
            tree::Forest::grow(&Table { columns: &inputs.columns, categories: &categories, y: &y }, growth, stream)
        };
        let mut targets =
            rows.targets().map(|target| Standard::of(&chosen.iter().map(|&r| target[r]).collect::<Vec<_>>()));
        let objectives: Vec<Standard> = targets.by_ref().take(view.directions().len()).collect();
        let scores = scalarize(objectives, &mut stream);
        let feasible = scores.iter().zip(&chosen).filter(|(_, row)| rows.is_feasible[**row]);
        let best = feasible.map(|(score, _)| *score).fold(f64::NEG_INFINITY, f64::max);
        let goal = if best.is_finite() { Some(best + self.options.xi) } else { None };
        let objective = grow(scores.clone(), &mut stream);
        let constraints: Vec<(tree::Forest, f64)> = targets
            .filter(|standard| !standard.is_constant)
            .map(|standard| (standard.of_zero, standard.values))
            .map(|(threshold, values)| (grow(values, &mut stream), threshold))
            .collect();
        let promise = |points: &[Vec<f64>]| {
            let mut promise = vec![0.0; points.len()];
            if let Some(goal) = goal {
                for (promise, (mean, variance)) in promise.iter_mut().zip(objective.predict(points)) {
                    *promise += log_expected_improvement(mean, variance + LEAST_VARIANCE, goal).value;
                }
            }
            for (forest, threshold) in &constraints {
                for (promise, (mean, variance)) in promise.iter_mut().zip(forest.predict(points)) {
                    *promise += log_probability_above(mean, variance + LEAST_VARIANCE, *threshold).value;
                }
            }
            promise
        };
        // Where the search begins beside random points: the best trials, those that meet the constraints first.
        let mut order: Vec<usize> = (0..chosen.len()).collect();
        order.sort_by(|&a, &b| {
            let key = |at: usize| (!rows.is_feasible[chosen[at]], -scores[at]);
            key(a).0.cmp(&key(b).0).then(key(a).1.total_cmp(&key(b).1))
        });
        let known: Vec<Vec<f64>> = order.into_iter().take(CENTRES).map(|at| inputs.point(at)).collect();
        let point = maximize(promise, &axes, &known, &mut stream);
        point.iter().zip(&axes).map(|(place, axis)| axis.value(*place)).collect()
    }
}

/// One score for each trial, standard; larger is better. Several objectives are weighed at random, the worst counting
/// most: Knowles (2006), equation 2.
fn scalarize(objectives: Vec<Standard>, stream: &mut Stream) -> Vec<f64> {
    const RHO: f64 = 0.05;
    if objectives.len() == 1 {
        return objectives.into_iter().flat_map(|standard| standard.values).collect();
    }
    // Uniform on the simplex: exponential variables divided by their sum.
    let draws: Vec<f64> = objectives.iter().map(|_| -libm::log(1.0 - stream.uniform()) + 1e-9).collect();
    let sum: f64 = draws.iter().sum();
    let shares: Vec<Vec<f64>> = objectives
        .iter()
        .zip(&draws)
        .map(|(standard, draw)| {
            let best = standard.values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let worst = standard.values.iter().copied().fold(f64::INFINITY, f64::min);
            let range = if best > worst { best - worst } else { 1.0 };
            standard.values.iter().map(|value| draw / sum * (best - value) / range).collect()
        })
        .collect();
    let score = |at: usize| {
        let losses = shares.iter().map(|shares| shares[at]);
        -(losses.clone().fold(0.0, f64::max) + RHO * losses.sum::<f64>())
    };
    let scores: Vec<f64> = (0..shares[0].len()).map(score).collect();
    Standard::of(&scores).values
}

/// The most promising of random points and of points around the best ones, in rounds.
fn maximize(
    promise: impl Fn(&[Vec<f64>]) -> Vec<f64>,
    axes: &[Axis],
    known: &[Vec<f64>],
    stream: &mut Stream,
) -> Vec<f64> {
    let columns = latin_hypercube(axes.len(), SPREAD, stream);
    let spread = |at: usize| axes.iter().zip(&columns).map(|(axis, column)| axis.spread(column[at])).collect();
    let weigh = |points: Vec<Vec<f64>>| promise(&points).into_iter().zip(points);
    let mut found: Vec<(f64, Vec<f64>)> = weigh((0..SPREAD).map(spread).collect()).collect();
    let mut centres: Vec<Vec<f64>> = known.to_vec();
    for _ in 0..ROUNDS {
        // Stable: of equals the first stays the first.
        found.sort_by(|a, b| b.0.total_cmp(&a.0));
        found.truncate(CENTRES);
        centres.extend(found.iter().map(|(_, point)| point.clone()));
        let mut points = Vec::with_capacity(centres.len() * NEIGHBOURS);
        for centre in centres.drain(..) {
            points.extend((0..NEIGHBOURS).map(|_| nearby(&centre, axes, stream)));
        }
        found.extend(weigh(points));
    }
    let best = found.into_iter().reduce(|best, other| if other.0 > best.0 { other } else { best });
    best.map_or_else(|| vec![0.5; axes.len()], |(_, point)| point)
}

impl Sampler for Forest {
    fn spec(&self) -> ComponentSpec {
        let ForestOptions { n_startup_trials, trees, n_trees, xi, min_samples_leaf } = self.options;
        let options = serde_json::json!({
            "n_startup_trials": n_startup_trials,
            "trees": match trees {
                TreeKind::RandomForest => "random_forest",
                TreeKind::ExtraTrees => "extra_trees",
            },
            "n_trees": n_trees,
            "xi": xi,
            "min_samples_leaf": min_samples_leaf,
        });
        ComponentSpec { name: "forest".to_owned(), version: 1, options: Json::from(options) }
    }

    fn sample_relative(&self, view: &StudyView, number: TrialNumber, seed: u64) -> Vec<Proposal> {
        let params: Vec<_> = view.joint_params(Over::Complete).collect();
        let modelled: Vec<_> = joint(view).collect();
        let is_starting = view.count(TrialState::Complete) < self.options.n_startup_trials.max(1);
        let values = if is_starting || modelled.is_empty() {
            Vec::new()
        } else {
            self.propose(view, number, seed, &modelled)
        };
        let mut values = values.into_iter();
        let mut value = |def: &ParamDef| match def.distribution.single() {
            Some(only) => only,
            None => values.next().unwrap_or_else(|| draw(&mut stream(seed, number, &def.name), &def.distribution)),
        };
        params.iter().map(|(key, def)| (*key, Arc::clone(def), value(def))).collect()
    }
}
