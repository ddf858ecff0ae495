//! The expected improvement of a normal variable and its logarithm, which stays finite and smooth where the
//! improvement itself underflows.
//!
//! Ament, Daulton, Eriksson, Balandat and Bakshy, "Unexpected improvements to expected improvement for Bayesian
//! optimization", NeurIPS 2023, section 4.1. With `z = (mu - best) / sigma` the improvement is `sigma h(z)`, and
//! `h(z) = phi(z) + z Phi(z)`.

use libm::{erfc, exp, log, log1p};
use std::f64::consts::FRAC_1_SQRT_2;

use crate::normal::{HALF_LN_TAU, log_gauss_mass, log_ndtr, mills_tail};

/// `e^(x^2) erfc(x)`: what is left of the tail without its fall. Infinite below about -26.6.
///
/// Within 1e-15 relatively, times `|x|` for a negative `x`.
#[must_use]
pub fn erfcx(x: f64) -> f64 {
    if x < 10.0 {
        // The square in two parts: its rounding error would be multiplied by the exponential.
        let square = x * x;
        let rest = libm::fma(x, x, -square);
        return exp(square) * erfc(x) * (1.0 + rest);
    }
    // Abramowitz and Stegun 7.1.23 through the series of Mills' ratio; 1 / sqrt(pi) first.
    const FRAC_1_SQRT_PI: f64 = std::f64::consts::FRAC_2_SQRT_PI / 2.0;
    FRAC_1_SQRT_PI / x * (1.0 + mills_tail(-x * std::f64::consts::SQRT_2))
}

/// `ln h(z)`, the logarithm of the expected improvement of a standard normal variable over `-z`.
///
/// In the tail `h = phi(z) (1 - t R(t))` with Mills' ratio `R` and `t = -z`. The difference loses `t^2` units in
/// the last place, so that from 15 on its series is taken instead.
#[must_use]
pub fn log_h(z: f64) -> f64 {
    /// `sqrt(pi / 2)`.
    const ROOT_HALF_PI: f64 = 1.253_314_137_315_500_3;
    let log_phi = -0.5 * z * z - HALF_LN_TAU;
    if z > -1.0 {
        log(exp(log_phi) + 0.5 * z * erfc(-z * FRAC_1_SQRT_2))
    } else if z > -15.0 {
        log_phi + log1p(z * ROOT_HALF_PI * erfcx(-z * FRAC_1_SQRT_2))
    } else {
        log_phi + log(-mills_tail(z))
    }
}

/// A logarithm, with its derivatives by the mean and by the variance of the variable.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LogValue {
    /// The logarithm.
    pub value: f64,
    /// By the mean.
    pub by_mean: f64,
    /// By the variance.
    pub by_variance: f64,
}

/// The logarithm of the expected amount by which a normal variable exceeds `best`. The variance must be positive.
#[must_use]
pub fn log_expected_improvement(mean: f64, variance: f64, best: f64) -> LogValue {
    let sigma = libm::sqrt(variance);
    let z = (mean - best) / sigma;
    let log_h = log_h(z);
    let log_phi = -0.5 * z * z - HALF_LN_TAU;
    // dEI / d mu = Phi(z) and dEI / d sigma = phi(z).
    LogValue {
        value: log_h + log(sigma),
        by_mean: exp(log_ndtr(z) - log_h) / sigma,
        by_variance: exp(log_phi - log_h) / (2.0 * variance),
    }
}

/// The logarithm of the probability that a normal variable exceeds `threshold`. The variance must be positive.
#[must_use]
pub fn log_probability_above(mean: f64, variance: f64, threshold: f64) -> LogValue {
    let sigma = libm::sqrt(variance);
    let z = (mean - threshold) / sigma;
    let value = log_ndtr(z);
    let by_z = exp(-0.5 * z * z - HALF_LN_TAU - value);
    LogValue { value, by_mean: by_z / sigma, by_variance: -0.5 * by_z * z / variance }
}

/// The logarithm of the expected length of `[low, high]` below a normal variable: `E[min(Y, high) - low]`, at least
/// 0 inside. `high` may be infinite. The variance must be positive.
///
/// The length is `sigma (h(a) - h(b))` with `a = (mu - low) / sigma` and `b = (mu - high) / sigma`.
#[must_use]
pub fn log_expected_length(mean: f64, variance: f64, low: f64, high: f64) -> LogValue {
    if high == f64::INFINITY {
        return log_expected_improvement(mean, variance, low);
    }
    let sigma = libm::sqrt(variance);
    let (a, b) = ((mean - low) / sigma, (mean - high) / sigma);
    let (log_a, log_b) = (log_h(a), log_h(b));
    // Where the variable is far above the interval both are large and nearly equal: the length is what it is.
    let log_length = if b > 8.0 { log((high - low) / sigma) } else { log_a + log1p(-exp(log_b - log_a)) };
    let log_phi = |z: f64| -0.5 * z * z - HALF_LN_TAU;
    LogValue {
        value: log_length + log(sigma),
        by_mean: exp(log_gauss_mass(b, a) - log_length) / sigma,
        by_variance: (exp(log_phi(a) - log_length) - exp(log_phi(b) - log_length)) / (2.0 * variance),
    }
}
