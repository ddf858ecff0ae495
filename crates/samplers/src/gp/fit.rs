//! Fitting the kernel: the maximum of the marginal likelihood times the priors.

use libm::{exp, log};
use trialog_numerics::{Inversion, LbfgsbOptions, SymmetricBlocks, lbfgsb};

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
    /// Squared differences of all pairs, by coordinate.
    differences: Vec<SymmetricBlocks>,
    /// Memory for an evaluation.
    kernel: SymmetricBlocks,
    slopes: SymmetricBlocks,
    inverse: SymmetricBlocks,
    inversion: Inversion,
}

impl<'a> Posterior<'a> {
    pub(crate) fn new(inputs: &Inputs, y: &'a [f64], is_deterministic: bool) -> Posterior<'a> {
        let n = inputs.len;
        let pairs = |(column, &is_category): (&Vec<f64>, &bool)| {
            SymmetricBlocks::from_fn(n, |a, b| squared(column[a], column[b], is_category))
        };
        let differences = inputs.columns.iter().zip(&inputs.is_category).map(pairs).collect();
        let zeros = || SymmetricBlocks::zeros(n);
        let (kernel, slopes, inverse) = (zeros(), zeros(), zeros());
        Posterior { y, is_deterministic, differences, kernel, slopes, inverse, inversion: Inversion::default() }
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
    pub(crate) fn evaluate(&mut self, logs: &[f64], gradient: &mut [f64]) -> f64 {
        /// For kernels so extreme that their matrix has no factor.
        const WORST: f64 = 1e20;
        let kernel = self.to_kernel(logs);
        let k = self.kernel.elements_mut();
        k.fill(0.0);
        for (differences, theta) in self.differences.iter().zip(&kernel.theta) {
            for (k, difference) in k.iter_mut().zip(differences.elements()) {
                *k += theta * difference;
            }
        }
        for (k, slope) in k.iter_mut().zip(self.slopes.elements_mut()) {
            let (value, by_square) = matern(*k);
            (*k, *slope) = (kernel.scale * value, kernel.scale * by_square);
        }
        // Beyond the matrix the inverse has zeros, and the products below have none of the rest there.
        self.inverse.clone_from(&self.kernel);
        self.inverse.add_to_diagonal(kernel.noise);
        if self.inverse.invert(&mut self.inversion).is_none() {
            gradient.fill(0.0);
            return WORST;
        }
        let (z, alpha) = self.inversion.solve(self.y);
        let fit = 0.5 * z.iter().map(|z| z * z).sum::<f64>();
        let value = fit + self.inversion.half_log_det - log_prior(&kernel);

        // d value / d K = (K^-1 - alpha alpha^T) / 2.
        let weights = &mut self.inverse;
        weights.subtract_square(&alpha);
        let trace = weights.trace();
        let by_scale = 0.5 * weights.dot(&self.kernel);
        for (slope, weight) in self.slopes.elements_mut().iter_mut().zip(weights.elements()) {
            *slope *= weight;
        }
        let dims = self.differences.len();
        for ((gradient, theta), differences) in gradient.iter_mut().zip(&kernel.theta).zip(&self.differences) {
            *gradient = 0.5 * theta * self.slopes.dot(differences) - (0.1 / theta - 0.1 * theta);
        }
        gradient[dims] = by_scale - (1.0 - kernel.scale);
        if !self.is_deterministic {
            let above = kernel.noise - LEAST_NOISE;
            gradient[dims + 1] = (0.5 * trace - (0.1 / kernel.noise - 30.0)) * above;
        }
        if value.is_finite() { value } else { WORST }
    }

    /// The best kernel found from any of these starts; the first start if none leads anywhere.
    pub(crate) fn fit(&mut self, starts: &[Kernel]) -> Kernel {
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
