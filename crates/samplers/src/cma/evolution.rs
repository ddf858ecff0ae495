//! The evolution of one multivariate normal distribution N(m, sigma^2 C): from a ranked population to the next one.
//! Plain numbers; which trials make a population is not known here.
//!
//! Hansen, "The CMA evolution strategy: a tutorial" (arXiv:1604.00772), whose equations are cited by number; the
//! separable variant is Ros and Hansen, "A simple modification in CMA-ES achieving linear time and space complexity"
//! (PPSN 2008); the learning rates are Nomura, Akimoto and Ono, "CMA-ES with learning rate adaptation: can CMA-ES with
//! default population size solve multimodal and noisy problems?" (GECCO 2023).
//!
//! | here | there |
//! |---|---|
//! | `mean`, `sigma`, `c` | m, sigma, C |
//! | `path_sigma`, `path_c` | p_sigma, p_c |
//! | `axes`, `lengths` | B by columns, diagonal of D |
//! | `y`, `y_w` | (x - m) / sigma, weighted mean of them |

use std::sync::Arc;

use libm::{exp, log};
use trialog_numerics::SymmetricEigen;

use super::margin::Margin;

/// Takes the place of an eigenvalue that rounding has made negative.
const EPSILON: f64 = 1e-8;

/// More than any step in the unit cube.
const SIGMA_MAX: f64 = 1e32;

/// How the distribution changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Variant {
    /// Every covariance, with negative weights for the worse half.
    #[default]
    Full,
    /// Variances only: linear in the number of parameters.
    Separable,
    /// Every covariance, with rates that keep the signal-to-noise ratio constant.
    LearningRate,
}

/// What follows from the number of dimensions and the population size.
#[derive(Debug)]
struct Strategy {
    population: usize,
    weights: Vec<f64>,
    mu: usize,
    mu_eff: f64,
    c_1: f64,
    c_mu: f64,
    c_c: f64,
    c_sigma: f64,
    d_sigma: f64,
    /// E||N(0, I)||.
    chi: f64,
}

impl Strategy {
    fn new(n: usize, population: usize, variant: Variant) -> Strategy {
        let (d, mu) = (n as f64, population / 2);
        let separable = variant == Variant::Separable;
        // Equation 49; the separable variant has no negative weights.
        let half = if separable { mu as f64 + 1.0 } else { (population as f64 + 1.0) / 2.0 };
        let count = if separable { mu } else { population };
        let raw: Vec<f64> = (0..count).map(|i| log(half) - log(i as f64 + 1.0)).collect();
        let sum = |weights: &[f64]| weights.iter().sum::<f64>();
        let squares = |weights: &[f64]| weights.iter().map(|w| w * w).sum::<f64>();
        let mu_eff = sum(&raw[..mu]) * sum(&raw[..mu]) / squares(&raw[..mu]);
        let c_1 = 2.0 / ((d + 1.3) * (d + 1.3) + mu_eff);
        let (c_mu, weights, c_sigma, c_c);
        if separable {
            // Ros and Hansen (2008), section 3: the rate grows by (n + 2) / 3.
            let root = d + std::f64::consts::SQRT_2;
            let full = 2.0 / mu_eff / (root * root)
                + (1.0 - 1.0 / mu_eff) * f64::min(1.0, (2.0 * mu_eff - 1.0) / ((d + 2.0) * (d + 2.0) + mu_eff));
            // Beyond what is left by the rank-one update, variances would be negative.
            c_mu = ((d + 2.0) / 3.0 * full).min(1.0 - c_1);
            weights = raw.iter().map(|w| w / sum(&raw)).collect();
            c_sigma = (mu_eff + 2.0) / (d + mu_eff + 3.0);
            c_c = 4.0 / (d + 4.0);
        } else {
            let worse = &raw[mu..];
            let mu_eff_minus = sum(worse) * sum(worse) / squares(worse);
            // The rest is for large populations.
            c_mu = (2.0 * (mu_eff - 2.0 + 1.0 / mu_eff) / ((d + 2.0) * (d + 2.0) + mu_eff)).min(1.0 - c_1 - 1e-8);
            // Equations 50 to 53.
            let alpha = (1.0 + c_1 / c_mu)
                .min(1.0 + 2.0 * mu_eff_minus / (mu_eff + 2.0))
                .min((1.0 - c_1 - c_mu) / (d * c_mu));
            let positive: f64 = raw.iter().filter(|w| **w > 0.0).sum();
            let negative: f64 = raw.iter().filter(|w| **w < 0.0).map(|w| -w).sum();
            let scaled = |w: &f64| if *w >= 0.0 { w / positive } else { w * alpha / negative };
            weights = raw.iter().map(scaled).collect();
            // Equations 55 and 56.
            c_sigma = (mu_eff + 2.0) / (d + mu_eff + 5.0);
            c_c = (4.0 + mu_eff / d) / (d + 4.0 + 2.0 * mu_eff / d);
        }
        let d_sigma = 1.0 + 2.0 * (((mu_eff - 1.0) / (d + 1.0)).sqrt() - 1.0).max(0.0) + c_sigma;
        let chi = d.sqrt() * (1.0 - 1.0 / (4.0 * d) + 1.0 / (21.0 * d * d));
        Strategy { population, weights, mu, mu_eff, c_1, c_mu, c_c, c_sigma, d_sigma, chi }
    }
}

/// The distribution and its memory.
#[derive(Clone, Debug)]
pub struct Evolution {
    strategy: Arc<Strategy>,
    variant: Variant,
    mean: Vec<f64>,
    sigma: f64,
    /// By rows; the diagonal only if separable.
    c: Vec<f64>,
    /// Rows are eigenvectors of C; empty if separable.
    axes: Vec<f64>,
    /// Square roots of its eigenvalues.
    lengths: Vec<f64>,
    path_sigma: Vec<f64>,
    path_c: Vec<f64>,
    generation: u64,
    rates: Option<Rates>,
    pub(super) margin: Option<Margin>,
    sigma_start: f64,
    /// The best and the worst loss of each of the last generations.
    losses: Vec<(f64, f64)>,
}

/// The memory of learning rate adaptation.
#[derive(Clone, Debug)]
struct Rates {
    e_mean: Vec<f64>,
    e_sigma: Vec<f64>,
    v_mean: f64,
    v_sigma: f64,
    eta_mean: f64,
    eta_sigma: f64,
}

/// One member of a population: where it is, and how bad.
pub type Member = (Vec<f64>, f64);

impl Evolution {
    /// Begins at a mean with a step size, and with a covariance by rows if it is not to be the unit matrix. The
    /// population is 4 + 3 ln n, rounded down, unless given; at least 2.
    #[must_use]
    pub fn new(
        mean: Vec<f64>,
        sigma: f64,
        covariance: Option<Vec<f64>>,
        population: Option<usize>,
        variant: Variant,
    ) -> Evolution {
        let n = mean.len();
        // Equation 48.
        let population = population.unwrap_or(4 + (3.0 * log(n as f64)).floor() as usize).max(2);
        let unit = |at: usize| f64::from(u8::from(at / n == at % n));
        let separable = variant == Variant::Separable;
        let c = match covariance {
            _ if separable => vec![1.0; n],
            Some(c) if c.len() == n * n => c,
            _ => (0..n * n).map(unit).collect(),
        };
        let rates = Rates {
            e_mean: vec![0.0; n],
            e_sigma: vec![0.0; n * n],
            v_mean: 0.0,
            v_sigma: 0.0,
            eta_mean: 1.0,
            eta_sigma: 1.0,
        };
        let mut evolution = Evolution {
            strategy: Arc::new(Strategy::new(n, population, variant)),
            variant,
            mean,
            sigma,
            c,
            axes: Vec::new(),
            lengths: vec![1.0; n],
            path_sigma: vec![0.0; n],
            path_c: vec![0.0; n],
            generation: 0,
            rates: (variant == Variant::LearningRate).then_some(rates),
            margin: None,
            sigma_start: sigma,
            losses: Vec::new(),
        };
        evolution.decompose();
        evolution
    }

    /// Keeps the probability of the neighbouring cells of a grid from vanishing.
    #[must_use]
    pub fn with_margin(mut self, margin: Margin) -> Evolution {
        self.margin = Some(margin);
        self
    }

    /// How many members a population has.
    #[must_use]
    pub fn population(&self) -> usize {
        self.strategy.population
    }

    /// How many populations there have been.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The mean.
    #[must_use]
    pub fn mean(&self) -> &[f64] {
        &self.mean
    }

    /// The step size.
    #[must_use]
    pub fn sigma(&self) -> f64 {
        self.sigma
    }

    /// C by rows; the diagonal only if separable.
    #[must_use]
    pub fn covariance(&self) -> &[f64] {
        &self.c
    }

    /// The rates of the mean and of the covariance; 1 unless they are adapted.
    #[must_use]
    pub fn learning_rates(&self) -> [f64; 2] {
        self.rates.as_ref().map_or([1.0; 2], |rates| [rates.eta_mean, rates.eta_sigma])
    }

    /// How much wider samples along an axis are spread than C says, for the sake of the margin.
    #[must_use]
    pub fn spread(&self) -> Option<&[f64]> {
        self.margin.as_ref().map(Margin::spread)
    }

    /// Equations 38 to 40: a point from as many standard normal numbers.
    pub fn place(&self, normals: &[f64], x: &mut Vec<f64>) {
        x.clear();
        x.extend_from_slice(&self.mean);
        let steps = normals.iter().zip(&self.lengths).map(|(z, length)| self.sigma * z * length);
        if self.variant == Variant::Separable {
            x.iter_mut().zip(steps).for_each(|(x, step)| *x += step);
            return;
        }
        for (step, axis) in steps.zip(self.axes.chunks_exact(self.mean.len().max(1))) {
            x.iter_mut().zip(axis).for_each(|(x, b)| *x += step * b);
        }
    }

    /// Goes on to the next generation. `members` must be as many as the population.
    pub fn tell(&mut self, members: &mut [Member]) {
        members.sort_by(|a, b| a.1.total_cmp(&b.1));
        self.generation += 1;
        let depth = self.history();
        if self.losses.len() == depth {
            self.losses.remove(0);
        }
        if let [first, .., last] = &*members {
            self.losses.push((first.1, last.1));
        }
        if self.variant == Variant::Separable {
            self.tell_separable(members);
        } else {
            self.tell_full(members);
        }
        if let Some(margin) = &mut self.margin {
            let n = self.mean.len();
            let separable = self.variant == Variant::Separable;
            let variance = |i: usize| if separable { self.c[i] } else { self.c[i * n + i] };
            margin.correct(&mut self.mean, self.sigma, variance);
        }
        self.decompose();
    }

    fn tell_full(&mut self, members: &[Member]) {
        let (s, n) = (Arc::clone(&self.strategy), self.mean.len());
        let before = self.rates.is_some().then(|| (self.mean.clone(), self.sigma, self.c.clone()));
        let ys: Vec<Vec<f64>> = members.iter().map(|(x, _)| self.scaled(x)).collect();
        // Equations 41 and 42.
        let y_w = weighted_mean(&ys, &s, n);
        self.mean.iter_mut().zip(&y_w).for_each(|(m, y)| *m += self.sigma * y);
        // Equation 43.
        let along = self.whitened(&y_w);
        let keep = (s.c_sigma * (2.0 - s.c_sigma) * s.mu_eff).sqrt();
        for (p, w) in self.path_sigma.iter_mut().zip(&along) {
            *p = (1.0 - s.c_sigma) * *p + keep * w;
        }
        let h_sigma = self.step_size(&s);
        // Equation 45.
        let keep = h_sigma * (s.c_c * (2.0 - s.c_c) * s.mu_eff).sqrt();
        for (p, y) in self.path_c.iter_mut().zip(&y_w) {
            *p = (1.0 - s.c_c) * *p + keep * y;
        }
        // Equation 46: a bad member counts by its length.
        let counts: Vec<f64> = ys
            .iter()
            .zip(&s.weights)
            .map(|(y, &w)| {
                if w >= 0.0 {
                    return w;
                }
                let square: f64 = self.whitened(y).iter().map(|x| x * x).sum();
                w * n as f64 / (square + EPSILON)
            })
            .collect();
        // Equation 47.
        let delta = (1.0 - h_sigma) * s.c_c * (2.0 - s.c_c);
        let old = 1.0 + s.c_1 * delta - s.c_1 - s.c_mu * s.weights.iter().sum::<f64>();
        for i in 0..n {
            for j in 0..=i {
                let rank_mu: f64 = ys.iter().zip(&counts).map(|(y, w)| w * y[i] * y[j]).sum();
                let value = old * self.c[i * n + j] + s.c_1 * self.path_c[i] * self.path_c[j] + s.c_mu * rank_mu;
                (self.c[i * n + j], self.c[j * n + i]) = (value, value);
            }
        }
        if let Some((mean, sigma, c)) = before {
            self.adapt_rates(&mean, sigma, &c);
        }
    }

    fn tell_separable(&mut self, members: &[Member]) {
        let (s, n) = (Arc::clone(&self.strategy), self.mean.len());
        let ys: Vec<Vec<f64>> = members.iter().map(|(x, _)| self.scaled(x)).collect();
        let y_w = weighted_mean(&ys, &s, n);
        self.mean.iter_mut().zip(&y_w).for_each(|(m, y)| *m += self.sigma * y);
        let keep = (s.c_sigma * (2.0 - s.c_sigma) * s.mu_eff).sqrt();
        for ((p, y), length) in self.path_sigma.iter_mut().zip(&y_w).zip(&self.lengths) {
            *p = (1.0 - s.c_sigma) * *p + keep * y / length;
        }
        let h_sigma = self.step_size(&s);
        let keep = h_sigma * (s.c_c * (2.0 - s.c_c) * s.mu_eff).sqrt();
        for (p, y) in self.path_c.iter_mut().zip(&y_w) {
            *p = (1.0 - s.c_c) * *p + keep * y;
        }
        let delta = (1.0 - h_sigma) * s.c_c * (2.0 - s.c_c);
        let old = 1.0 + s.c_1 * delta - s.c_1 - s.c_mu * s.weights.iter().sum::<f64>();
        for i in 0..n {
            let rank_mu: f64 = ys.iter().zip(&s.weights).map(|(y, w)| w * y[i] * y[i]).sum();
            self.c[i] = old * self.c[i] + s.c_1 * self.path_c[i] * self.path_c[i] + s.c_mu * rank_mu;
        }
    }

    fn scaled(&self, x: &[f64]) -> Vec<f64> {
        x.iter().zip(&self.mean).map(|(x, m)| (x - m) / self.sigma).collect()
    }

    /// Equation 44, and whether the path is short enough for the rank-one update.
    fn step_size(&mut self, s: &Strategy) -> f64 {
        let norm = self.path_sigma.iter().map(|p| p * p).sum::<f64>().sqrt();
        self.sigma = (self.sigma * exp(s.c_sigma / s.d_sigma * (norm / s.chi - 1.0))).min(SIGMA_MAX);
        let decayed = 1.0 - exp(2.0 * (self.generation + 1) as f64 * log(1.0 - s.c_sigma));
        let threshold = (1.4 + 2.0 / (self.mean.len() as f64 + 1.0)) * s.chi;
        f64::from(u8::from(norm / decayed.sqrt() < threshold))
    }

    /// C^(-1/2) times a vector.
    fn whitened(&self, y: &[f64]) -> Vec<f64> {
        let mut out = vec![0.0; y.len()];
        for (axis, length) in self.axes.chunks_exact(y.len().max(1)).zip(&self.lengths) {
            let along = axis.iter().zip(y).map(|(b, y)| b * y).sum::<f64>() / length;
            out.iter_mut().zip(axis).for_each(|(out, b)| *out += along * b);
        }
        out
    }

    /// Finds B and D. A covariance that cannot be decomposed leaves lengths that are not finite.
    fn decompose(&mut self) {
        let root = |value: &f64| if *value < 0.0 { EPSILON.sqrt() } else { value.sqrt() };
        let n = self.mean.len();
        if self.variant == Variant::Separable {
            self.lengths = self.c.iter().map(root).collect();
            return;
        }
        let Some(SymmetricEigen { values, vectors }) = SymmetricEigen::new(&self.c, n) else {
            self.lengths = vec![f64::NAN; n];
            return;
        };
        self.lengths = values.iter().map(root).collect();
        self.axes = vectors;
        if values.iter().any(|value| *value < 0.0) {
            // What is sampled from is what is remembered.
            for i in 0..n {
                for j in 0..n {
                    let part =
                        |k: usize| self.axes[k * n + i] * self.axes[k * n + j] * self.lengths[k] * self.lengths[k];
                    self.c[i * n + j] = (0..n).map(part).sum();
                }
            }
        }
    }

    /// Nomura, Akimoto and Ono (2023), section 4, with their recommended constants.
    fn adapt_rates(&mut self, old_mean: &[f64], old_sigma: f64, old_c: &[f64]) {
        const ALPHA: f64 = 1.4;
        const BETA_MEAN: f64 = 0.1;
        const BETA_SIGMA: f64 = 0.03;
        const GAMMA: f64 = 0.1;
        let n = old_mean.len();
        let Some(mut rates) = self.rates.take() else { return };
        let old: Vec<f64> = old_c.iter().map(|c| old_sigma * old_sigma * c).collect();
        let delta_mean: Vec<f64> = self.mean.iter().zip(old_mean).map(|(new, old)| new - old).collect();
        let delta: Vec<f64> = self.c.iter().zip(&old).map(|(c, old)| self.sigma * self.sigma * c - old).collect();
        // Local coordinates: the old distribution is the standard one there. B and D are still the old ones.
        let local_mean: Vec<f64> = self.whitened(&delta_mean).iter().map(|x| x / old_sigma).collect();
        let rows: Vec<Vec<f64>> = delta.chunks_exact(n).map(|row| self.whitened(row)).collect();
        let mut local = vec![0.0; n * n];
        for column in 0..n {
            let through: Vec<f64> = rows.iter().map(|row| row[column]).collect();
            for (row, value) in self.whitened(&through).into_iter().enumerate() {
                local[row * n + column] = value / (old_sigma * old_sigma) / std::f64::consts::SQRT_2;
            }
        }
        let square = |values: &[f64]| values.iter().map(|x| x * x).sum::<f64>();
        let remember = |e: &mut [f64], v: &mut f64, now: &[f64], beta: f64, eta: f64| {
            e.iter_mut().zip(now).for_each(|(e, now)| *e = (1.0 - beta) * *e + beta * now);
            *v = (1.0 - beta) * *v + beta * square(now);
            let signal = square(e);
            let ratio = (signal - beta / (2.0 - beta) * *v) / (*v - signal);
            let relative = (ratio / ALPHA / eta - 1.0).clamp(-1.0, 1.0);
            // Where nothing moved there is neither signal nor noise.
            let relative = if relative.is_nan() { 0.0 } else { relative };
            (eta * exp(f64::min(GAMMA * eta, beta) * relative)).min(1.0)
        };
        let before = rates.eta_mean;
        let Rates { e_mean, e_sigma, v_mean, v_sigma, eta_mean: before_mean, eta_sigma: before_sigma } = &mut rates;
        let eta_mean = remember(e_mean, v_mean, &local_mean, BETA_MEAN, *before_mean);
        let eta_sigma = remember(e_sigma, v_sigma, &local, BETA_SIGMA, *before_sigma);
        (rates.eta_mean, rates.eta_sigma) = (eta_mean, eta_sigma);
        self.rates = Some(rates);
        for ((m, old), step) in self.mean.iter_mut().zip(old_mean).zip(&delta_mean) {
            *m = old + eta_mean * step;
        }
        let whole: Vec<f64> = old.iter().zip(&delta).map(|(old, step)| old + eta_sigma * step).collect();
        let log_det: f64 = match SymmetricEigen::new(&whole, n) {
            Some(eigen) => eigen.values.iter().map(|value| log(*value)).sum(),
            None => f64::NAN,
        };
        let sigma = exp(log_det / 2.0 / n as f64).min(SIGMA_MAX);
        self.c = whole.iter().map(|value| value / (sigma * sigma)).collect();
        self.sigma = sigma * (before / eta_mean);
    }

    /// Over how many generations losses are compared.
    fn history(&self) -> usize {
        10 + (30 * self.mean.len()).div_ceil(self.population())
    }

    /// True if nothing is to be gained by going on: the losses or the steps have come to nothing, the distribution has
    /// become a needle, or its numbers are no numbers (Hansen, appendix B.3).
    #[must_use]
    pub fn should_stop(&self) -> bool {
        let n = self.mean.len();
        let separable = self.variant == Variant::Separable;
        let variance = |i: usize| if separable { self.c[i] } else { self.c[i * n + i] };
        let finite = |values: &[f64]| values.iter().all(|value| value.is_finite());
        let is_number = finite(&self.mean) && finite(&self.lengths) && finite(&self.path_c) && self.sigma > 0.0;
        if !is_number || self.lengths.contains(&0.0) {
            return true;
        }
        let best = self.losses.iter().map(|(best, _)| *best).fold(f64::INFINITY, f64::min);
        let worst = self.losses.iter().map(|(_, worst)| *worst).fold(f64::NEG_INFINITY, f64::max);
        if self.losses.len() >= self.history() && (best == worst || worst - best < 1e-12) {
            return true;
        }
        let tiny = 1e-12 * self.sigma_start;
        let is_tiny = |i: usize| self.sigma * variance(i) < tiny && self.sigma * self.path_c[i].abs() < tiny;
        let longest = self.lengths.iter().copied().fold(0.0, f64::max);
        let shortest = self.lengths.iter().copied().fold(f64::INFINITY, f64::min);
        (0..n).all(is_tiny)
            || self.sigma * longest > 1e4
            || (0..n).any(|i| self.mean[i] + 0.2 * self.sigma * variance(i).sqrt() == self.mean[i])
            || longest / shortest > 1e7
    }
}

fn weighted_mean(ys: &[Vec<f64>], s: &Strategy, n: usize) -> Vec<f64> {
    let mut mean = vec![0.0; n];
    for (y, w) in ys.iter().zip(&s.weights[..s.mu]) {
        mean.iter_mut().zip(y).for_each(|(mean, y)| *mean += w * y);
    }
    mean
}
