//! Many kernels of one deviation along one axis, as Hermite series about the middles of short stretches: the cost
//! of a point no longer depends on how many kernels there are.
//!
//! Greengard and Strain, "The fast Gauss transform", SIAM Journal on Scientific and Statistical Computing 12 (1991),
//! equation 9: `exp(-(x - t)^2) = sum_k t^k / k! h_k(x)`, where `h_k(x) = H_k(x) exp(-x^2)`.

use libm::{exp, floor, sqrt};

/// Terms of a series. A stretch is half a deviation long, so that `|t| <= 1/4 / sqrt 2`; by Cramer's bound on
/// Hermite functions (Abramowitz and Stegun 22.14.17) what is left out is at most `(1/4)^16 / sqrt(16!) = 5.1e-17`
/// of `exp(-x^2 / 2)` for a kernel.
const TERMS: usize = 16;

/// Stretches in a deviation.
const STRETCHES: f64 = 2.0;

/// A sum of weighted kernels.
#[derive(Debug)]
pub(super) struct Series {
    low: f64,
    sigma: f64,
    /// For each stretch from the low end on: the sum of weights, and of weights times `t^k / k!`.
    moments: Vec<[f64; TERMS]>,
}

impl Series {
    /// Adds up kernels, each a place at or above `low` and a weight.
    pub(super) fn new(low: f64, sigma: f64, kernels: impl Iterator<Item = (f64, f64)>) -> Series {
        let mut series = Series { low, sigma, moments: Vec::new() };
        for (place, weight) in kernels {
            // A weight of zero may belong to a place far outside.
            if weight > 0.0 {
                series.add(place, weight);
            }
        }
        // The factorials, once for all kernels.
        for moments in &mut series.moments {
            let mut factor = 1.0;
            for (k, moment) in moments.iter_mut().enumerate().skip(1) {
                factor /= k as f64;
                *moment *= factor;
            }
        }
        series
    }

    /// The sum of all weights.
    pub(super) fn total(&self) -> f64 {
        self.moments.iter().map(|moments| moments[0]).sum()
    }

    fn add(&mut self, place: f64, weight: f64) {
        let units = (place - self.low) / self.sigma;
        let stretch = floor(units * STRETCHES).max(0.0);
        let t = (units - middle(stretch)) * std::f64::consts::FRAC_1_SQRT_2;
        let stretch = stretch as usize;
        if stretch >= self.moments.len() {
            self.moments.resize(stretch + 1, [0.0; TERMS]);
        }
        let mut term = weight;
        for moment in &mut self.moments[stretch] {
            *moment += term;
            term *= t;
        }
    }

    /// The sum of `weight exp(-((x - place) / sigma)^2 / 2)` over the kernels. Stretches are passed over from where
    /// a kernel's exponential is below this, as a logarithm.
    pub(super) fn at(&self, x: f64, log_negligible: f64) -> f64 {
        let units = (x - self.low) / self.sigma;
        let reach = sqrt(f64::max(0.0, -2.0 * log_negligible)) + 1.0 / STRETCHES;
        let stretches = self.moments.len() as f64;
        let first = floor((units - reach) * STRETCHES).clamp(0.0, stretches) as usize;
        let end = (floor((units + reach) * STRETCHES) + 1.0).clamp(0.0, stretches) as usize;
        let mut sum = 0.0;
        for (stretch, moments) in self.moments[first..end].iter().enumerate() {
            let x = (units - middle((first + stretch) as f64)) * std::f64::consts::FRAC_1_SQRT_2;
            // h_{k+1} = 2 x h_k - 2 k h_{k-1} (Abramowitz and Stegun 22.7.13, with the exponential put in).
            let mut previous = 0.0;
            let mut hermite = exp(-x * x);
            for (k, moment) in moments.iter().enumerate() {
                sum += moment * hermite;
                (previous, hermite) = (hermite, 2.0 * (x * hermite - k as f64 * previous));
            }
        }
        // Rounding may leave a trace below zero where nothing is.
        sum.max(0.0)
    }
}

/// The middle of a stretch, in deviations from the low end.
fn middle(stretch: f64) -> f64 {
    (stretch + 0.5) / STRETCHES
}
