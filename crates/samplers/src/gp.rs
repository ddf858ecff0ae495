//! Bayesian optimization with Gaussian processes: a process is fitted to each objective and each constraint, and the
//! point with the largest acquisition is proposed. All parameters are modelled together. Where not all trials have the
//! same ones, a tree that is learned from them says which a point has (`branches`), and what it does not have stands at
//! one place for all such points (Lévesque, Durand, Gagné and Sabourin, "Bayesian optimization for conditional
//! hyperparameter spaces", IJCNN 2017).
//!
//! The kernel, the priors and the course of the search are those of Optuna 5's `GPSampler`, so that its experience
//! holds here. What differs: kernels are fitted again at certain numbers of trials only, not at each; hypervolume
//! improvement is computed exactly instead of from draws, and so is the improvement of a candidate beside running
//! trials; above some hundred trials a part of them is modelled; in spaces with conditions Optuna models what all trials
//! share.
//!
//! **When kernels are fitted.** With `n` complete trials, in the order in which they ended, the kernel comes from the
//! first `p` of them: `c = 8 * 2^k` is the largest such number up to `n`, and `p` the largest `c + i * c / 8` up to `n`. The
//! search for it begins at the kernel of `c`, which began at that of `c / 2`, and so on; beyond 256 trials it begins at the
//! kernel of 128. So it depends on the trials alone, not on which process asked what before, and a process that has kept
//! nothing has little to make up for.

mod acquisition;
pub(crate) mod axes;
mod branches;
mod fit;
#[cfg(test)]
mod golden;
mod model;
pub(crate) mod rows;
pub(crate) mod search;

use std::sync::{Arc, Mutex, PoisonError};

use trialog_numerics::{Cholesky, Points, crowding_distances, ndtri, non_dominated_boxes, pareto_front};
use trialog_ops::{ComponentSpec, Json, OptionReader, ParamDef, ParamKey, TrialNumber, TrialState};
use trialog_replay::{Over, StudyView};

use crate::random::draw;
use crate::registry::Options;
use crate::{Proposal, Sampler, stream, stream_for};
use acquisition::{Acquisition, Cell, Goal};
use axes::{Axis, Moves};
use branches::{Branches, absent, all_params};
use fit::Posterior;
pub use model::Kernel as GpKernel;
use model::{Inputs, Kernel, Model};
use rows::{Rows, Standard};

/// Kernels are fitted to at most so many trials.
const FITTED: usize = 200;
/// Processes know at most so many trials.
const MODELLED: usize = 400;
/// At most so many running trials are considered, the latest ones.
const RUNNING: usize = 32;
/// Draws of the running trials' values; fewer for hypervolumes, each of which is a sum over many boxes.
const DRAWS: usize = 32;
const VOLUME_DRAWS: usize = 8;
/// No further draw is taken once its hypervolume, and that of those before it, has so many boxes.
const CELLS: usize = 1_500;
/// Numbers of trials at which kernels are fitted: this, and this doubled again and again; and some between.
const FIRST_FIT: usize = 8;
/// Up to this many trials a fit at a doubled number has two starts: a likelihood of few values has several maxima.
const TWO_STARTS: usize = 32;
/// No fit begins at one of more trials.
const LAST_DOUBLED: usize = 128;

/// What the most promising point is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum GpAcquisition {
    /// The largest logarithm of the expected improvement; with several objectives, of the hypervolume.
    #[default]
    LogEi,
    /// The largest `mu + beta * sigma`, in units of the objective's standard deviation, larger being better. With
    /// several objectives it is the same as [`GpAcquisition::LogEi`].
    Ucb {
        /// How much uncertainty is worth.
        beta: f64,
    },
}

/// What shapes the sampler.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GpOptions {
    /// Below this many complete trials values are drawn at random. Default 10.
    pub n_startup_trials: usize,
    /// Whether the objective gives the same value again for the same parameters: then there is no noise to fit.
    /// Default false.
    pub deterministic_objective: bool,
    /// What is looked for. Default [`GpAcquisition::LogEi`].
    pub acquisition: GpAcquisition,
}

impl Default for GpOptions {
    fn default() -> GpOptions {
        GpOptions { n_startup_trials: 10, deterministic_objective: false, acquisition: GpAcquisition::LogEi }
    }
}

/// The sampler with Gaussian processes.
///
/// A suggestion takes time in proportion to the number of trials squared, up to 400 of them; then it stays the same.
#[derive(Debug, Default)]
pub struct Gp {
    options: GpOptions,
    /// What was computed before. Losing it costs time only.
    kept: Mutex<Kept>,
}

/// Results by all that they depend on.
#[derive(Debug, Default)]
struct Kept {
    rows: Option<Arc<Rows>>,
    fits: Vec<Fit>,
    factors: Vec<Factor>,
}

/// A fitted kernel.
#[derive(Debug)]
struct Fit {
    inputs: Inputs,
    y: Vec<f64>,
    starts: Vec<Kernel>,
    kernel: Kernel,
}

/// The factor of a kernel's matrix.
#[derive(Debug)]
struct Factor {
    kernel: Kernel,
    inputs: Inputs,
    factor: Cholesky,
}

/// How many fits and factors are kept.
const FITS_KEPT: usize = 64;
const FACTORS_KEPT: usize = 16;

impl Gp {
    /// The sampler with these options.
    #[must_use]
    pub fn new(options: GpOptions) -> Gp {
        Gp { options, kept: Mutex::default() }
    }

    /// Reads the options of a log; what is not named has its default.
    ///
    /// # Errors
    /// An option that does not exist or has no meaning, in words.
    pub fn from_options(options: &Options) -> Result<Gp, String> {
        let mut reader = OptionReader::new(options);
        let default = GpOptions::default();
        let is_ucb = reader.one_of("acquisition", &[("log_ei", false), ("ucb", true)])?.unwrap_or(false);
        let beta = reader.number("beta", 0.0)?;
        let options = GpOptions {
            n_startup_trials: reader.count("n_startup_trials", 0)?.unwrap_or(default.n_startup_trials),
            deterministic_objective: reader.flag("deterministic_objective")?.unwrap_or(false),
            acquisition: if is_ucb {
                GpAcquisition::Ucb { beta: beta.unwrap_or(2.0) }
            } else {
                GpAcquisition::LogEi
            },
        };
        reader.finish()?;
        Ok(Gp::new(options))
    }

    /// Forgets what was kept to save time. Suggestions stay the same.
    pub fn drop_caches(&self) {
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Kept::default();
    }

    fn keep<T>(&self, with: impl FnOnce(&mut Kept) -> T) -> T {
        with(&mut self.kept.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The kernels that the study's objectives and constraints have, in this order, as the sampler would use them now.
    #[must_use]
    pub fn kernels(&self, view: &StudyView) -> Vec<GpKernel> {
        let params = modelled(view);
        let rows = self.rows(view, &params);
        rows.targets().map(|target| self.kernel(&rows, target, fitted_at(rows.len()))).collect()
    }

    /// What complete trials say.
    fn rows(&self, view: &StudyView, params: &[(ParamKey, &Arc<ParamDef>)]) -> Arc<Rows> {
        let known = self.keep(|kept| kept.rows.take());
        let rows = Arc::new(Rows::update(known, view, params));
        self.keep(|kept| kept.rows = Some(Arc::clone(&rows)));
        rows
    }

    /// The kernel of a target, fitted to the first `count` rows.
    fn kernel(&self, rows: &Rows, target: &[f64], count: usize) -> Kernel {
        let dims = rows.inputs.columns.len();
        let coarse = coarse(count);
        let before = if count > coarse { coarse } else { coarse / 2 }.min(LAST_DOUBLED);
        let starts = if before < FIRST_FIT {
            vec![Kernel::ones(dims)]
        } else if count > coarse || coarse > TWO_STARTS {
            vec![self.kernel(rows, target, before)]
        } else {
            vec![self.kernel(rows, target, before), Kernel::ones(dims)]
        };
        let chosen = rows.choose(count, FITTED);
        let inputs = rows.inputs_of(&chosen);
        let y = Standard::of(&chosen.iter().map(|&row| target[row]).collect::<Vec<f64>>()).values;
        let is_same = |fit: &Fit| fit.y == y && fit.inputs == inputs && fit.starts == starts;
        if let Some(kernel) =
            self.keep(|kept| kept.fits.iter().find(|fit| is_same(fit)).map(|fit| fit.kernel.clone()))
        {
            return kernel;
        }
        let kernel = Posterior::new(&inputs, &y, self.options.deterministic_objective).fit(&starts);
        self.keep(|kept| {
            if kept.fits.len() >= FITS_KEPT {
                kept.fits.remove(0);
            }
            kept.fits.push(Fit { inputs, y, starts, kernel: kernel.clone() });
        });
        kernel
    }

    /// The factor of the kernel's matrix for these inputs, from one that was kept if that is of the first of them.
    fn factor(&self, kernel: &Kernel, inputs: &Inputs) -> Option<Cholesky> {
        let known = self.keep(|kept| {
            let fits = |factor: &Factor| factor.kernel == *kernel && factor.inputs.is_prefix_of(inputs);
            kept.factors.iter().position(fits).map(|at| kept.factors.remove(at))
        });
        let factor = model::factorize(kernel, inputs, known.map(|known| known.factor))?;
        self.keep(|kept| {
            if kept.factors.len() >= FACTORS_KEPT {
                kept.factors.remove(0);
            }
            kept.factors.push(Factor { kernel: kernel.clone(), inputs: inputs.clone(), factor: factor.clone() });
        });
        Some(factor)
    }

    /// The proposed values for parameters of which none is single, or none if nothing can be modelled. A parameter that the
    /// proposed point does not have, because of its conditions, has none.
    fn propose(
        &self,
        view: &StudyView,
        number: TrialNumber,
        seed: u64,
        params: &[(ParamKey, &Arc<ParamDef>)],
    ) -> Option<Vec<Option<f64>>> {
        let rows = self.rows(view, params);
        let axes: Vec<Axis> = params.iter().map(|(_, def)| Axis::of(&def.distribution)).collect();
        let chosen = rows.choose(rows.len(), MODELLED);
        let known = rows.inputs_of(&chosen);
        let every = bits(params.len());
        let branches = rows.present.iter().any(|&has| has & every != every).then(|| {
            let present: Vec<u64> = chosen.iter().map(|&row| rows.present[row] & every).collect();
            Branches::learn(&axes, &known.columns, &present)
        });
        let mut all = known.clone();
        for point in running_points(view, number, params, &axes, branches.is_some()) {
            all.push(&point);
        }
        let running = all.len - known.len;
        let all = Arc::new(all);
        let objectives = view.directions().len();

        let mut models = Vec::new();
        let mut scores: Vec<Vec<f64>> = Vec::new();
        let mut thresholds = Vec::new();
        for (at, target) in rows.targets().enumerate() {
            let standard = Standard::of(&chosen.iter().map(|&row| target[row]).collect::<Vec<f64>>());
            if at >= objectives {
                if standard.is_constant {
                    // Met or violated by everything so far: nothing is known about where.
                    continue;
                }
                thresholds.push(standard.of_zero);
            }
            let kernel = self.kernel(&rows, target, fitted_at(rows.len()));
            let factor = self.factor(&kernel, &known)?;
            models.push(Model::new(kernel, Arc::clone(&all), &standard.values, Some(factor))?);
            if at < objectives {
                scores.push(standard.values);
            }
        }
        let is_feasible: Vec<bool> = chosen.iter().map(|&row| rows.is_feasible[row]).collect();
        let mut stream = stream_for(seed, number, "gp", "");
        let draws = if running == 0 {
            vec![vec![Vec::new(); models.len()]]
        } else {
            normal_draws(if objectives == 1 { DRAWS } else { VOLUME_DRAWS }, models.len(), running, &mut stream)
        };
        let best = best_rows(&scores, &is_feasible, &mut stream);
        let goal = match self.options.acquisition {
            _ if best.is_empty() => Goal::Feasibility,
            GpAcquisition::Ucb { beta } if objectives == 1 => Goal::Bound(beta),
            _ => goal(&models, &scores, &is_feasible, &thresholds, &draws),
        };
        let is_averaged = matches!(goal, Goal::Improvement(_) | Goal::Hypervolume(_));
        let mut draws = if is_averaged { draws } else { vec![vec![vec![0.0; running]; models.len()]] };
        if let Goal::Hypervolume(cells) = &goal {
            draws.truncate(cells.len());
        }
        let lengths: Vec<f64> = (0..axes.len())
            .map(|d| {
                let sum: f64 = models[..objectives].iter().map(|model| 1.0 / model.kernel.theta[d].sqrt()).sum();
                (sum / objectives as f64).clamp(1e-6, 1e6)
            })
            .collect();
        let best: Vec<Vec<f64>> = best.into_iter().map(|row| known.point(row)).collect();
        let acquisition = Acquisition { models, objectives, goal, thresholds, draws };
        let (point, has) = search::maximize(&acquisition, &axes, branches.as_ref(), &best, &lengths, &mut stream);
        let value = |(d, (place, axis)): (usize, (&f64, &Axis))| {
            (branches.is_none() || has >> d & 1 == 1).then(|| axis.value(*place))
        };
        Some(point.iter().zip(&axes).enumerate().map(value).collect())
    }
}

/// The parameters that all complete trials share and that can differ.
pub(crate) fn joint(view: &StudyView) -> impl Iterator<Item = (ParamKey, &Arc<ParamDef>)> {
    view.joint_params(Over::Complete).filter(|(_, def)| !def.distribution.is_single())
}

/// The parameters that are modelled: those that all complete trials share, or, where some have others, all there are.
fn modelled(view: &StudyView) -> Vec<(ParamKey, &Arc<ParamDef>)> {
    let shared: Vec<_> = joint(view).collect();
    all_params(view, &shared).unwrap_or(shared)
}

/// One bit for each of so many parameters.
fn bits(count: usize) -> u64 {
    1_u64.checked_shl(count as u32).map_or(u64::MAX, |bit| bit - 1)
}

/// The largest doubled number up to `count`; `count` itself if there is none.
fn coarse(count: usize) -> usize {
    if count < FIRST_FIT { count } else { FIRST_FIT << (count / FIRST_FIT).ilog2() }
}

/// How many trials the kernel is fitted to.
fn fitted_at(count: usize) -> usize {
    let coarse = coarse(count);
    let step = (coarse / 8).max(1);
    coarse + (count - coarse) / step * step
}

/// Where the running trials are, apart from the one that asks; the latest ones, if they are many. What a trial does not
/// have is absent where there are branches; without them a trial that lacks something is nowhere.
pub(crate) fn running_points(
    view: &StudyView,
    number: TrialNumber,
    params: &[(ParamKey, &Arc<ParamDef>)],
    axes: &[Axis],
    has_branches: bool,
) -> Vec<Vec<f64>> {
    let mut points: Vec<Vec<f64>> = view
        .running()
        .filter(|trial| trial.number() != number)
        .filter_map(|trial| {
            let place = |((_, def), axis): (&(ParamKey, &Arc<ParamDef>), &Axis)| {
                let value = trial.param(&def.name).map(|value| axis.normalize(value));
                if has_branches { value.or(Some(absent(axis))) } else { value }
            };
            let begun = !has_branches || params.iter().any(|(_, def)| trial.param(&def.name).is_some());
            if begun { params.iter().zip(axes).map(place).collect() } else { None }
        })
        .collect();
    points.drain(..points.len().saturating_sub(RUNNING));
    points
}

/// Standard normal numbers by draw, process and running trial, each filling its range evenly.
fn normal_draws(
    count: usize,
    processes: usize,
    running: usize,
    stream: &mut trialog_numerics::Stream,
) -> Vec<Vec<Vec<f64>>> {
    let columns = search::latin_hypercube(processes * running, count, stream);
    let number = |draw: usize, process: usize, r: usize| ndtri(columns[process * running + r][draw].max(1e-12));
    let of_process = |draw, process| (0..running).map(|r| number(draw, process, r)).collect();
    (0..count).map(|draw| (0..processes).map(|process| of_process(draw, process)).collect()).collect()
}

/// The rows from which to search: the best feasible one, or up to five of a Pareto front.
fn best_rows(scores: &[Vec<f64>], is_feasible: &[bool], stream: &mut trialog_numerics::Stream) -> Vec<usize> {
    const MOST: usize = 5;
    let feasible: Vec<usize> = (0..is_feasible.len()).filter(|&row| is_feasible[row]).collect();
    if let [scores] = scores {
        let best = feasible.into_iter().fold(None, |best: Option<usize>, row| match best {
            Some(best) if scores[best] >= scores[row] => Some(best),
            _ => Some(row),
        });
        return best.into_iter().collect();
    }
    let losses: Vec<f64> = feasible.iter().flat_map(|&row| scores.iter().map(move |scores| -scores[row])).collect();
    let mut front: Vec<usize> =
        pareto_front(Points::new(&losses, scores.len())).into_iter().map(|at| feasible[at]).collect();
    for at in 0..front.len().min(MOST) {
        let other = at + stream.below((front.len() - at) as u64) as usize;
        front.swap(at, other);
    }
    front.truncate(MOST);
    front
}

/// What improves on the feasible scores and, for each draw, on the running trials that it makes feasible.
fn goal(
    models: &[Model],
    scores: &[Vec<f64>],
    is_feasible: &[bool],
    thresholds: &[f64],
    draws: &[Vec<Vec<f64>>],
) -> Goal {
    let objectives = scores.len();
    let running: Vec<_> = models.iter().map(Model::running_beliefs).collect();
    // The scores that a draw gives to the running trials which it makes feasible.
    let fantasies = |draw: &Vec<Vec<f64>>| -> Vec<Vec<f64>> {
        let value = |process: usize, r: usize| {
            let belief = &running[process][r];
            belief.mean + belief.running.iter().zip(&draw[process]).map(|(l, e)| l * e).sum::<f64>()
        };
        let is_met = |r: usize| thresholds.iter().enumerate().all(|(at, &t)| value(objectives + at, r) >= t);
        let count = running.first().map_or(0, Vec::len);
        (0..count)
            .filter(|&r| is_met(r))
            .map(|r| (0..objectives).map(|objective| value(objective, r)).collect())
            .collect()
    };
    let feasible: Vec<Vec<f64>> = (0..is_feasible.len())
        .filter(|&row| is_feasible[row])
        .map(|row| scores.iter().map(|scores| scores[row]).collect())
        .collect();
    if objectives == 1 {
        let best = feasible.iter().map(|scores| scores[0]).fold(f64::NEG_INFINITY, f64::max);
        let best = |draw| fantasies(draw).iter().map(|scores| scores[0]).fold(best, f64::max);
        return Goal::Improvement(draws.iter().map(best).collect());
    }
    let losses: Vec<f64> = feasible.iter().flatten().map(|score| -score).collect();
    let worst = |at: usize| losses.iter().skip(at).step_by(objectives).copied().fold(f64::NEG_INFINITY, f64::max);
    let reference: Vec<f64> =
        (0..objectives).map(worst).map(|worst| f64::max(1.1 * worst, 0.9 * worst).next_up()).collect();
    let cells = |draw: &Vec<Vec<f64>>| -> Vec<Cell> {
        let mut all = losses.clone();
        all.extend(fantasies(draw).iter().flatten().map(|score| -score));
        let points = Points::new(&all, objectives);
        let mut front = pareto_front(points);
        let front_rows =
            |front: &[usize]| front.iter().flat_map(|&row| points.row(row)).copied().collect::<Vec<f64>>();
        let most = front_most(objectives);
        if front.len() > most {
            // Those in the crowd have others that stand for them.
            let distances = crowding_distances(Points::new(&front_rows(&front), objectives));
            let mut order: Vec<usize> = (0..front.len()).collect();
            order.sort_by(|&a, &b| distances[b].total_cmp(&distances[a]).then(a.cmp(&b)));
            front = order[..most].iter().map(|&at| front[at]).collect();
            front.sort_unstable();
        }
        let boxes = non_dominated_boxes(Points::new(&front_rows(&front), objectives), &reference);
        let flip = |corner: Vec<f64>| corner.into_iter().map(|x| -x).collect();
        boxes.into_iter().map(|(low, high)| (flip(high), flip(low))).collect()
    };
    // What a look at one point costs is what the boxes of all draws are.
    let mut count = 0;
    let mut kept: Vec<Vec<Cell>> = Vec::with_capacity(draws.len());
    for draw in draws {
        if count >= CELLS && !kept.is_empty() {
            break;
        }
        let cells = cells(draw);
        count += cells.len();
        kept.push(cells);
    }
    Goal::Hypervolume(kept)
}

/// How many points of a front are taken apart into boxes, which are the more of them the more objectives there are: about
/// 700 at most.
fn front_most(objectives: usize) -> usize {
    match objectives {
        ..=3 => 350,
        4 => 100,
        5 => 32,
        6 => 18,
        _ => 10,
    }
}

impl Sampler for Gp {
    fn spec(&self) -> ComponentSpec {
        let (acquisition, beta) = match self.options.acquisition {
            GpAcquisition::LogEi => ("log_ei", None),
            GpAcquisition::Ucb { beta } => ("ucb", Some(beta)),
        };
        let options = serde_json::json!({
            "n_startup_trials": self.options.n_startup_trials,
            "deterministic_objective": self.options.deterministic_objective,
            "acquisition": acquisition,
            "beta": beta,
        });
        ComponentSpec { name: "gp".to_owned(), version: 1, options: Json::from(options) }
    }

    fn sample_relative(&self, view: &StudyView, number: TrialNumber, seed: u64) -> Vec<Proposal> {
        let modelled = modelled(view);
        let is_starting = view.count(TrialState::Complete) < self.options.n_startup_trials.max(1);
        let values =
            if is_starting || modelled.is_empty() { None } else { self.propose(view, number, seed, &modelled) };
        let Some(values) = values else {
            // What not all trials have is drawn when it is asked for.
            let value = |def: &ParamDef| draw(&mut stream(seed, number, &def.name), &def.distribution);
            let shared = view.joint_params(Over::Complete);
            return shared.map(|(key, def)| (key, Arc::clone(def), value(def))).collect();
        };
        let singles = view.joint_params(Over::Complete);
        let singles = singles.filter_map(|(key, def)| Some((key, Arc::clone(def), def.distribution.single()?)));
        let values = modelled.iter().zip(values);
        let values = values.filter_map(|((key, def), value)| Some((*key, Arc::clone(def), value?)));
        let mut proposals: Vec<Proposal> = singles.chain(values).collect();
        proposals.sort_by(|a, b| a.1.name.cmp(&b.1.name));
        proposals
    }
}

/// Which coordinates are categories.
fn categories(axes: &[Axis]) -> Vec<bool> {
    axes.iter().map(|axis| matches!(axis.moves, Moves::Choices(_))).collect()
}
