//! Fitting the kernel: the maximum of the marginal likelihood times the priors.

use libm::{exp, log};
use trialog_numerics::{Cholesky, LbfgsbOptions, lbfgsb};

use super::model::{Inputs, Kernel, matern, squared};

/// The least variance of the noise, which keeps the matrix positive definite.
pub(crate) const LEAST_NOISE: f64 = 1e-6;

/// What fitting minimizes: minus the logarithm of the posterior of the kernel's parameters, up to a constant.
///
/// The marginal likelihood and its gradient are Rasmussen and Williams (2006), equations 5.8 and 5.9. The priors are
/// Optuna's: `-(0.1 / theta + 0.1 theta)` for each inverse squared length-scale, Gamma(2, 1) for the scale and
/// Gamma(1.1, 30) for the noise.
#[derive(Debug)]
pub(crate) struct Posterior<'a> {
    y: &'a [f64],
    is_deterministic: bool,
    /// Squared differences by coordinate, pair by pair: (1, 0), (2, 0), (2, 1), ...
    differences: Vec<Vec<f64>>,
}

impl<'a> Posterior<'a> {
    pub(crate) fn new(inputs: &Inputs, y: &'a [f64], is_deterministic: bool) -> Posterior<'a> {
        let n = inputs.len;
        let pairs = |column: &Vec<f64>, is_category: bool| {
            let mut differences = Vec::with_capacity(n * n.saturating_sub(1) / 2);
            for a in 0..n {
                differences.extend(column[..a].iter().map(|&b| squared(column[a], b, is_category)));
            }
            differences
        };
        let differences =
            inputs.columns.iter().zip(&inputs.is_category).map(|(column, &category)| pairs(column, category));
        Posterior { y, is_deterministic, differences: differences.collect() }
    }

    /// The parameters as logarithms: the length-scales', the scale, and what the noise is above its least.
    pub(crate) fn to_logs(&self, kernel: &Kernel) -> Vec<f64> {
        let mut logs: Vec<f64> = kernel.theta.iter().map(|theta| log(*theta)).collect();
        logs.push(log(kernel.scale));
        if !self.is_deterministic {
            // A little more, so that the least noise has a logarithm.
            logs.push(log((kernel.noise - 0.99 * LEAST_NOISE).max(0.01 * LEAST_NOISE)));
        }
        logs
    }

    pub(crate) fn to_kernel(&self, logs: &[f64]) -> Kernel {
        let dims = self.differences.len();
        let noise = if self.is_deterministic { 0.0 } else { exp(logs[dims + 1]) };
        Kernel {
            theta: logs[..dims].iter().map(|log| exp(*log)).collect(),
            scale: exp(logs[dims]),
            noise: LEAST_NOISE + noise,
        }
    }

    /// The value, and its gradient by the logarithms.
    pub(crate) fn evaluate(&self, logs: &[f64], gradient: &mut [f64]) -> f64 {
        /// For kernels so extreme that their matrix has no factor.
        const WORST: f64 = 1e20;
        let n = self.y.len();
        let kernel = self.to_kernel(logs);
        let pairs = n * n.saturating_sub(1) / 2;
        let mut k = vec![0.0; pairs];
        for (differences, theta) in self.differences.iter().zip(&kernel.theta) {
            for (k, difference) in k.iter_mut().zip(differences) {
                *k += theta * difference;
            }
        }
        let mut slopes = vec![0.0; pairs];
        for (k, slope) in k.iter_mut().zip(&mut slopes) {
            let (value, by_square) = matern(*k);
            (*k, *slope) = (kernel.scale * value, kernel.scale * by_square);
        }
        let mut factor = Cholesky::new();
        let mut row = Vec::with_capacity(n);
        for i in 0..n {
            row.clear();
            row.extend_from_slice(&k[i * i.saturating_sub(1) / 2..][..i]);
            row.push(kernel.scale + kernel.noise);
            if !factor.push(&row) {
                gradient.fill(0.0);
                return WORST;
            }
        }
        let mut alpha = self.y.to_vec();
        factor.solve_lower(&mut alpha);
        let fit = 0.5 * alpha.iter().map(|a| a * a).sum::<f64>();
        factor.solve_upper(&mut alpha);
        let log_prior = log_prior(&kernel);
        let value = fit + factor.half_log_det() - log_prior;

        // d value / d K = (K^-1 - alpha alpha^T) / 2; every pair stands for two elements.
        let inverse = factor.inverse();
        let mut by_scale = 0.0;
        let mut trace = 0.0;
        for a in 0..n {
            let row = &inverse[a * (a + 1) / 2..][..=a];
            let at = a * a.saturating_sub(1) / 2;
            for b in 0..a {
                let weight = row[b] - alpha[a] * alpha[b];
                by_scale += weight * k[at + b];
                slopes[at + b] *= weight;
            }
            trace += row[a] - alpha[a] * alpha[a];
        }
        let dims = self.differences.len();
        for ((gradient, theta), differences) in gradient.iter_mut().zip(&kernel.theta).zip(&self.differences) {
            let sum: f64 = slopes.iter().zip(differences).map(|(s, d)| s * d).sum();
            *gradient = theta * sum - (0.1 / theta - 0.1 * theta);
        }
        gradient[dims] = by_scale + 0.5 * trace * kernel.scale - (1.0 - kernel.scale);
        if !self.is_deterministic {
            let above = kernel.noise - LEAST_NOISE;
            gradient[dims + 1] = (0.5 * trace - (0.1 / kernel.noise - 30.0)) * above;
        }
        if value.is_finite() { value } else { WORST }
    }

    /// The best kernel found from any of these starts; the first start if none leads anywhere.
    pub(crate) fn fit(&self, starts: &[Kernel]) -> Kernel {
        let options = LbfgsbOptions { gradient_tolerance: 1e-2, max_iterations: 100, ..LbfgsbOptions::default() };
        let mut best: Option<(f64, Vec<f64>)> = None;
        for start in starts {
            let logs = self.to_logs(start);
            let result = lbfgsb(&logs, &[], options, |logs, gradient| self.evaluate(logs, gradient));
            let is_sound = result.x.iter().all(|x| x.abs() < 50.0);
            if is_sound && best.as_ref().is_none_or(|(value, _)| result.value < *value) {
                best = Some((result.value, result.x));
            }
        }
        match (best, starts.first()) {
            (Some((_, logs)), _) => self.to_kernel(&logs),
            (None, Some(start)) => start.clone(),
            (None, None) => Kernel::ones(self.differences.len()),
        }
    }
}

/// The logarithm of the priors' density, up to a constant.
fn log_prior(kernel: &Kernel) -> f64 {
    let lengths: f64 = kernel.theta.iter().map(|theta| -(0.1 / theta + 0.1 * theta)).sum();
    let scale = log(kernel.scale) - kernel.scale;
    let noise = 0.1 * log(kernel.noise) - 30.0 * kernel.noise;
    lengths + scale + noise
}
