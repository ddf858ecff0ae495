//! Many kernels of one deviation along one axis, as Hermite series about the middles of short stretches: the cost
//! of a point no longer depends on how many kernels there are.
//!
//! Greengard and Strain, "The fast Gauss transform", SIAM Journal on Scientific and Statistical Computing 12 (1991),
//! equation 9: `exp(-(x - t)^2) = sum_k t^k / k! h_k(x)`, where `h_k(x) = H_k(x) exp(-x^2)`.

use std::f64::consts::FRAC_1_SQRT_2;

use libm::{floor, sqrt};
use trialog_numerics::exp;

/// Terms of a series. A stretch is half a deviation long, so that `|t| <= 1/4 / sqrt 2`; by Cramer's bound on
/// Hermite functions (Abramowitz and Stegun 22.14.17) what is left out is at most `(1/4)^16 / sqrt(16!) = 5.1e-17`
/// of `exp(-x^2 / 2)` for a kernel.
const TERMS: usize = 16;

/// Stretches in a deviation.
const STRETCHES: f64 = 2.0;

/// Stretches that are evaluated side by side, as vector instructions.
const LANES: usize = 8;

/// A sum of weighted kernels.
#[derive(Debug)]
pub(super) struct Series {
    low: f64,
    sigma: f64,
    /// For each term and each of some stretches, from the low end on: the sum of weights times `t^k / k!`.
    moments: Vec<[[f64; LANES]; TERMS]>,
}

impl Series {
    /// Adds up kernels, each a place at or above `low` and a weight.
    pub(super) fn new(low: f64, sigma: f64, kernels: impl Iterator<Item = (f64, f64)>) -> Series {
        // Stretch by stretch first, so that a kernel's terms lie together.
        let mut stretches: Vec<[f64; TERMS]> = Vec::new();
        let per_sigma = 1.0 / sigma;
        for (place, weight) in kernels {
            // A weight of zero may belong to a place far outside.
            if weight > 0.0 {
                add(&mut stretches, (place - low) * per_sigma, weight);
            }
        }
        let mut moments = vec![[[0.0; LANES]; TERMS]; stretches.len().div_ceil(LANES)];
        for (stretch, terms) in stretches.iter().enumerate() {
            let (block, lane) = (stretch / LANES, stretch % LANES);
            let mut factor = 1.0;
            for (k, term) in terms.iter().enumerate() {
                // The factorials, once for all kernels.
                factor /= k.max(1) as f64;
                moments[block][k][lane] = term * factor;
            }
        }
        Series { low, sigma, moments }
    }

    /// The sum of all weights.
    pub(super) fn total(&self) -> f64 {
        self.moments.iter().flat_map(|moments| &moments[0]).sum()
    }

    /// The sum of `weight exp(-((x - place) / sigma)^2 / 2)` over the kernels. Stretches are passed over from where
    /// a kernel's exponential is below this, as a logarithm.
    pub(super) fn at(&self, x: f64, log_negligible: f64) -> f64 {
        let units = (x - self.low) / self.sigma;
        let reach = sqrt(f64::max(0.0, -2.0 * log_negligible)) + 1.0 / STRETCHES;
        let per_block = LANES as f64 / STRETCHES;
        let blocks = self.moments.len() as f64;
        let first = floor((units - reach) / per_block).clamp(0.0, blocks) as usize;
        let end = (floor((units + reach) / per_block) + 1.0).clamp(0.0, blocks) as usize;
        let mut sums = [0.0; LANES];
        for (block, moments) in self.moments[first..end].iter().enumerate() {
            let stretch = ((first + block) * LANES) as f64;
            let mut distance = [0.0; LANES];
            for (lane, distance) in distance.iter_mut().enumerate() {
                *distance = (units - middle(stretch + lane as f64)) * FRAC_1_SQRT_2;
            }
            // h_{k+1} = 2 x h_k - 2 k h_{k-1} (Abramowitz and Stegun 22.7.13, with the exponential put in).
            let mut previous = [0.0; LANES];
            let mut hermite = [0.0; LANES];
            for (hermite, x) in hermite.iter_mut().zip(distance) {
                *hermite = exp(-x * x);
            }
            for (k, moments) in moments.iter().enumerate() {
                for lane in 0..LANES {
                    sums[lane] += moments[lane] * hermite[lane];
                    let next = 2.0 * (distance[lane] * hermite[lane] - k as f64 * previous[lane]);
                    (previous[lane], hermite[lane]) = (hermite[lane], next);
                }
            }
        }
        // Rounding may leave a trace below zero where nothing is.
        sums.iter().sum::<f64>().max(0.0)
    }
}

/// Adds a kernel's powers of `t` to those of its stretch.
fn add(stretches: &mut Vec<[f64; TERMS]>, units: f64, weight: f64) {
    const STRIDE: usize = 4;
    let stretch = (units * STRETCHES) as usize;
    if stretch >= stretches.len() {
        stretches.resize(stretch + 1, [0.0; TERMS]);
    }
    let t = (units - middle(stretch as f64)) * FRAC_1_SQRT_2;
    let (square, fourth) = (t * t, (t * t) * (t * t));
    let mut powers = [weight, weight * t, weight * square, weight * (square * t)];
    // Four at a time, which makes vector instructions of a chain of products.
    for terms in stretches[stretch].chunks_exact_mut(STRIDE) {
        for (term, power) in terms.iter_mut().zip(&mut powers) {
            *term += *power;
            *power *= fourth;
        }
    }
}

/// The middle of a stretch, in deviations from the low end.
fn middle(stretch: f64) -> f64 {
    (stretch + 0.5) / STRETCHES
}
