//! The density by its definition, and draws from it.

use std::sync::Arc;

use libm::{exp, log};
use trialog_numerics::{Stream, log_sum_exp, ndtri, trunc_normal_quantile};

use super::axis::Axis;
use super::widths::Widths;

/// What shapes the kernels besides the observations.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KernelOptions {
    /// The weight of the kernel that stands for no observation. At least 0; default 1.
    pub prior_weight: f64,
    /// Whether no kernel may be narrower than the range over the number of kernels. Default true.
    pub magic_clip: bool,
    /// Whether the ends of the range count as neighbours of the outermost kernels. Default false.
    pub endpoints: bool,
}

impl Default for KernelOptions {
    fn default() -> KernelOptions {
        KernelOptions { prior_weight: 1.0, magic_clip: true, endpoints: false }
    }
}

/// The newest observations, which count in full.
pub(super) const FULL: usize = 25;

/// How much each observation counts, before the prior joins and all is normalized.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weights {
    /// All the same.
    Equal,
    /// The last 25 the same, and those before them less and less.
    Recent,
}

impl Weights {
    /// The weights of `n` observations and the prior, normalized. Without observations the prior is all there is,
    /// whatever its weight.
    fn normalized(self, n: usize, prior: f64) -> Vec<f64> {
        if n == 0 {
            return vec![1.0];
        }
        let Ramp { length: ramp, start, slope } = self.ramp(n);
        let end = start + slope * ramp.saturating_sub(1) as f64;
        let total = 0.5 * (start + end) * ramp as f64 + (n - ramp) as f64 + prior;
        let (start, slope) = (start / total, slope / total);
        let mut weights = Vec::with_capacity(n + 1);
        // By way of 32 bits, for which conversion is a vector instruction.
        weights.extend((0..ramp).map(|k| start + f64::from(k as i32) * slope));
        weights.resize(n, 1.0 / total);
        weights.push(prior / total);
        weights
    }
}

/// The weights of some observations before the prior joins: a straight line that rises to 1, and 1 from there on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ramp {
    /// How many observations are on the line.
    pub(super) length: usize,
    pub(super) start: f64,
    pub(super) slope: f64,
}

impl Ramp {
    /// The weight of the observation with this rank.
    #[inline]
    pub(super) fn weight(self, rank: usize) -> f64 {
        if rank < self.length { self.start + self.slope * rank as f64 } else { 1.0 }
    }
}

impl Weights {
    /// How `n` observations, at least one, rise in weight.
    pub(super) fn ramp(self, n: usize) -> Ramp {
        let length = if self == Weights::Recent { n.saturating_sub(FULL) } else { 0 };
        // From 1/n on.
        let start = 1.0 / n as f64;
        let slope = if length > 1 { (1.0 - start) / (length - 1) as f64 } else { 0.0 };
        Ramp { length, start, slope }
    }
}

/// A mixture of products of kernels: a component for each observation, and one for the prior.
#[derive(Clone, Debug)]
pub struct Mixture {
    pub(super) axes: Vec<Axis>,
    /// For each axis the observations' coordinates, or choices.
    pub(super) places: Vec<Vec<f64>>,
    pub(super) widths: Vec<Widths>,
    /// One for each observation, and the prior's last; they sum to 1.
    pub(super) weights: Vec<f64>,
    prior_weight: f64,
    /// How many kernels all the observations and the prior have, also where this mixture is only a part.
    kernels: usize,
    /// For each axis of choices with distances, the probabilities of each choice under a kernel at each choice.
    pub(super) nearness: Vec<Option<Vec<f64>>>,
}

impl Mixture {
    /// The density after observations: for each axis a column of values in internal form, all of the same length,
    /// oldest first. Observations that have no place on their axis, such as a negative number on a logarithmic
    /// one, are left out.
    #[must_use]
    pub fn new(axes: &[Axis], mut columns: Vec<Vec<f64>>, weights: Weights, options: KernelOptions) -> Mixture {
        columns.resize(axes.len(), Vec::new());
        let n = columns.iter().map(Vec::len).min().unwrap_or(0);
        for (axis, column) in axes.iter().zip(&mut columns) {
            column.truncate(n);
            axis.place_all(column);
        }
        keep_placed_rows(axes, &mut columns);
        let n = columns.first().map_or(0, Vec::len);
        let widths = axes.iter().zip(&columns).map(|(axis, column)| match axis {
            Axis::Numeric(axis) => Widths::new(column, axis, options),
            Axis::Categorical { .. } | Axis::Pinned(_) => Widths::none(),
        });
        let widths = widths.collect();
        let weights = weights.normalized(n, options.prior_weight);
        let prior_weight = options.prior_weight;
        let nearness = vec![None; axes.len()];
        Mixture { axes: axes.to_vec(), places: columns, widths, weights, prior_weight, kernels: n + 1, nearness }
    }

    /// The same with distances between choices, for each axis that has any: how far each choice is from each, row by
    /// row. Near choices are more likely under a kernel than far ones, as in Optuna up to 4.9.
    #[must_use]
    pub fn with_distances(mut self, distances: &[Option<Arc<[f64]>>]) -> Mixture {
        for ((axis, distances), nearness) in self.axes.iter().zip(distances).zip(&mut self.nearness) {
            if let (Axis::Categorical { choices }, Some(distances)) = (axis, distances)
                && distances.len() == choices * choices
            {
                let steepness = log(self.kernels as f64 / self.prior_weight) * log(*choices as f64) / log(6.0);
                *nearness = Some(distances.chunks_exact(*choices).flat_map(|row| near(row, steepness)).collect());
            }
        }
        self
    }

    /// Some kernels of a mixture and its prior, with the weights that they have there.
    pub(super) fn part(
        axes: &[Axis],
        places: Vec<Vec<f64>>,
        widths: Vec<Widths>,
        weights: Vec<f64>,
        prior_weight: f64,
        kernels: usize,
    ) -> Mixture {
        Mixture {
            axes: axes.to_vec(),
            places,
            widths,
            weights,
            prior_weight,
            kernels,
            nearness: vec![None; axes.len()],
        }
    }

    /// The number of observations, which is one less than the number of components.
    #[must_use]
    pub fn observations(&self) -> usize {
        self.weights.len() - 1
    }

    /// The components' weights; the prior's is the last.
    #[must_use]
    pub fn weights(&self) -> &[f64] {
        &self.weights
    }

    /// The centre and the deviation of a component along a numeric axis, in the axis's coordinate; `None` for
    /// other axes.
    #[must_use]
    pub fn kernel(&self, axis: usize, component: usize) -> Option<(f64, f64)> {
        let Axis::Numeric(numeric) = self.axes.get(axis)? else { return None };
        match self.places[axis].get(component) {
            Some(&mu) => Some((mu, self.widths[axis].sigma(component))),
            None => Some((numeric.middle(), numeric.width())),
        }
    }

    /// The probability of the observed choice and of each other one, under an observation's kernel.
    pub(super) fn choice_probabilities(&self, choices: usize) -> (f64, f64) {
        choice_probabilities(choices, self.prior_weight, self.kernels)
    }

    /// `ln` of the density at a point in internal form, by the definition. Along a logarithmic axis it is the density
    /// of the logarithm, and along one with a grid or choices a probability.
    #[must_use]
    pub fn log_density(&self, point: &[f64]) -> f64 {
        let terms: Vec<f64> = (0..self.weights.len()).map(|i| self.log_term(i, point)).collect();
        log_sum_exp(&terms)
    }

    /// `ln` of one component's share of the density at a point; minus infinity where arithmetic fails, for kernels
    /// from which the range is out of reach.
    fn log_term(&self, component: usize, point: &[f64]) -> f64 {
        let log_kernel = |axis: usize| match &self.axes[axis] {
            Axis::Pinned(_) => 0.0,
            Axis::Numeric(numeric) => {
                let (mu, sigma) = self.kernel(axis, component).unwrap_or((0.0, 1.0));
                numeric.log_kernel(point[axis], mu, sigma)
            }
            Axis::Categorical { choices } => match self.places[axis].get(component) {
                Some(&observed) if self.nearness[axis].is_some() => {
                    let probabilities = self.nearness[axis].as_deref().unwrap_or(&[]);
                    log(probabilities[observed as usize * choices + point[axis] as usize])
                }
                Some(&observed) => {
                    let (hit, miss) = self.choice_probabilities(*choices);
                    log(if observed == point[axis] { hit } else { miss })
                }
                None => -log(*choices as f64),
            },
        };
        let term = log(self.weights[component]) + (0..self.axes.len()).map(log_kernel).sum::<f64>();
        if term.is_nan() { f64::NEG_INFINITY } else { term }
    }

    /// Draws points in internal form.
    #[must_use]
    pub fn sample(&self, stream: &mut Stream, count: usize) -> Vec<Vec<f64>> {
        let mut reached = 0.0;
        let cumulative: Vec<f64> = self
            .weights
            .iter()
            .map(|weight| {
                reached += weight;
                reached
            })
            .collect();
        let components: Vec<usize> = (0..count)
            .map(|_| {
                let share = stream.uniform() * reached;
                cumulative.partition_point(|&upto| upto <= share).min(self.weights.len() - 1)
            })
            .collect();
        let point =
            |component: usize| (0..self.axes.len()).map(|axis| self.draw(stream, axis, component)).collect();
        components.into_iter().map(point).collect()
    }

    fn draw(&self, stream: &mut Stream, axis: usize, component: usize) -> f64 {
        match &self.axes[axis] {
            Axis::Pinned(only) => *only,
            Axis::Numeric(numeric) => {
                let (mu, sigma) = self.kernel(axis, component).unwrap_or((0.0, 1.0));
                let (a, b) = ((numeric.low - mu) / sigma, (numeric.high - mu) / sigma);
                let share = stream.uniform();
                // Beyond nine deviations is less than a thousandth of the step between two shares.
                let quantile = if a < -9.0 && b > 9.0 { ndtri(share) } else { trunc_normal_quantile(share, a, b) };
                numeric.value((mu + sigma * quantile).clamp(numeric.low, numeric.high))
            }
            Axis::Categorical { choices } => {
                let share = stream.uniform();
                match self.places[axis].get(component) {
                    Some(&observed) if self.nearness[axis].is_some() => {
                        let probabilities = self.nearness[axis].as_deref().unwrap_or(&[]);
                        let mut reached = 0.0;
                        let row = &probabilities[observed as usize * choices..][..*choices];
                        let found = row.iter().position(|probability| {
                            reached += probability;
                            share < reached
                        });
                        // Rounding may leave the end out of reach.
                        found.unwrap_or(observed as usize) as f64
                    }
                    // The observed choice is moved to the front, the others keep their order behind it.
                    Some(&observed) => {
                        let (hit, miss) = self.choice_probabilities(*choices);
                        if share < hit || *choices < 2 {
                            return observed;
                        }
                        let other = ((share - hit) / miss).floor().min((*choices - 2) as f64);
                        if other < observed { other } else { other + 1.0 }
                    }
                    None => (share * *choices as f64).floor().min((*choices - 1) as f64),
                }
            }
        }
    }
}

/// The probability of the observed choice and of each other one, under one of so many kernels.
pub(super) fn choice_probabilities(choices: usize, prior_weight: f64, kernels: usize) -> (f64, f64) {
    // Each choice has a share of the prior's weight, the observed one has 1 on top.
    let share = prior_weight / kernels as f64;
    let all = 1.0 + share * choices as f64;
    ((1.0 + share) / all, share / all)
}

/// The probabilities of the choices at these distances from an observed one: normal in the distance, relative to the
/// largest, and the steeper the more kernels there are.
fn near(distances: &[f64], steepness: f64) -> Vec<f64> {
    let largest = distances.iter().copied().fold(0.0, f64::max);
    let relative = |distance: f64| if largest > 0.0 { distance / largest } else { 0.0 };
    // With more prior than kernels all choices are as near, and without a prior only the observed one is.
    let steepness = if steepness > 0.0 { steepness.min(f64::MAX) } else { 0.0 };
    let shares: Vec<f64> =
        distances.iter().map(|&distance| exp(-relative(distance) * relative(distance) * steepness)).collect();
    let total: f64 = shares.iter().sum();
    shares.into_iter().map(|share| share / total).collect()
}

/// Drops the observations with a coordinate that is no number, or a choice that does not exist.
fn keep_placed_rows(axes: &[Axis], columns: &mut [Vec<f64>]) {
    let is_choice = |place: f64, choices: usize| place >= 0.0 && place < choices as f64 && place.fract() == 0.0;
    // Folds rather than `all`, which stops at the first and so is no vector instruction.
    let all_placed = axes.iter().zip(&*columns).all(|(axis, column)| match axis {
        Axis::Pinned(_) => true,
        Axis::Numeric(_) => column.iter().fold(true, |all, place| all & place.is_finite()),
        Axis::Categorical { choices } => column.iter().all(|&place| is_choice(place, *choices)),
    });
    if all_placed {
        return;
    }
    let is_placed = |axis: &Axis, place: f64| match axis {
        Axis::Pinned(_) => true,
        Axis::Numeric(_) => place.is_finite(),
        Axis::Categorical { choices } => is_choice(place, *choices),
    };
    let n = columns.first().map_or(0, Vec::len);
    let keep: Vec<bool> =
        (0..n).map(|row| axes.iter().zip(&*columns).all(|(axis, column)| is_placed(axis, column[row]))).collect();
    for column in columns {
        let mut row = 0;
        column.retain(|_| {
            row += 1;
            keep[row - 1]
        });
    }
}
