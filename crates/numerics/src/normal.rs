//! The normal distribution: probabilities, their logarithms and inverses, and its truncation to an interval.
//!
//! Everything is computed in the left tail, where small probabilities are, and mirrored. In this file `Phi` is the
//! distribution function, `phi` the density, and masses are of the standard normal.

use libm::{erfc, exp, expm1, log, log1p, sqrt};
use std::f64::consts::{FRAC_1_SQRT_2, LN_2, SQRT_2};

/// `ln sqrt(2 pi)`.
pub const HALF_LN_TAU: f64 = 0.918_938_533_204_672_8;

/// `Phi(x)`, the probability of a value up to `x`. Relative accuracy is `x^2` units in the last place in the left
/// tail, which is what rounding `x` itself does.
#[must_use]
pub fn ndtr(x: f64) -> f64 {
    0.5 * erfc(-x * FRAC_1_SQRT_2)
}

/// `ln Phi(x)`, to full relative accuracy in both tails.
#[must_use]
pub fn log_ndtr(x: f64) -> f64 {
    if x > -1.0 {
        // Phi is near 1: the logarithm needs the distance from 1.
        log1p(-ndtr(-x))
    } else if x > -15.0 {
        log(ndtr(x))
    } else {
        -0.5 * x * x - log(-x) - HALF_LN_TAU + log1p(mills_tail(x))
    }
}

/// `-x Phi(x) / phi(x) - 1` for `x <= -15`: the asymptotic series of Mills' ratio (Abramowitz and Stegun 26.2.12).
/// Its smallest term there is below 1e-40, and twelve terms reach the last place.
pub(crate) fn mills_tail(x: f64) -> f64 {
    let inverse = 1.0 / (x * x);
    let mut term = 1.0;
    let mut sum = 0.0;
    for odd in (1..24).step_by(2) {
        term *= -f64::from(odd) * inverse;
        sum += term;
    }
    sum
}

/// The quantile: `x` with `Phi(x) = p`. Infinite at 0 and 1, NaN outside.
///
/// Wichura, "Algorithm AS 241: The percentage points of the normal distribution", Applied Statistics 37 (1988),
/// routine PPND16, accurate to about one part in 10^16.
#[must_use]
pub fn ndtri(p: f64) -> f64 {
    let q = p - 0.5;
    if q.abs() <= 0.425 {
        return ndtri_centre(q);
    }
    if q < 0.0 { ndtri_tail(sqrt(-log(p))) } else { -ndtri_tail(sqrt(-log(1.0 - p))) }
}

/// The inverse of [`log_ndtr`]: `x` with `ln Phi(x) = y`. Minus infinity for minus infinity, infinity for 0, NaN
/// above.
#[must_use]
pub fn ndtri_exp(y: f64) -> f64 {
    if y == f64::NEG_INFINITY {
        return f64::NEG_INFINITY;
    }
    if y > -LN_2 {
        // Near 1 the distance from 1 is what has the digits.
        let upper = -expm1(y);
        return if upper >= 0.075 { ndtri_centre(0.5 - upper) } else { -ndtri_tail(sqrt(-log(upper))) };
    }
    let p = exp(y);
    if p >= 0.075 { ndtri_centre(p - 0.5) } else { ndtri_tail(sqrt(-y)) }
}

fn polynomial(coefficients: &[f64; 8], r: f64) -> f64 {
    coefficients.iter().rev().fold(0.0, |sum, c| sum * r + c)
}

/// The quantile for `p = 1/2 + q`, `|q| <= 0.425`.
#[expect(clippy::excessive_precision, reason = "the digits are those of the paper")]
fn ndtri_centre(q: f64) -> f64 {
    const A: [f64; 8] = [
        3.387_132_872_796_366_608_0e0,
        1.331_416_678_917_843_774_5e2,
        1.971_590_950_306_551_442_7e3,
        1.373_169_376_550_946_112_5e4,
        4.592_195_393_154_987_145_7e4,
        6.726_577_092_700_870_085_3e4,
        3.343_057_558_358_812_810_5e4,
        2.509_080_928_730_122_672_7e3,
    ];
    const B: [f64; 8] = [
        1.0,
        4.231_333_070_160_091_125_2e1,
        6.871_870_074_920_579_083_0e2,
        5.394_196_021_424_751_107_7e3,
        2.121_379_430_158_659_586_7e4,
        3.930_789_580_009_271_061_0e4,
        2.872_908_573_572_194_267_4e4,
        5.226_495_278_852_854_561_0e3,
    ];
    let r = 0.180_625 - q * q;
    q * polynomial(&A, r) / polynomial(&B, r)
}

/// The quantile for `p = exp(-r^2)`, `p <= 0.075`.
#[expect(clippy::excessive_precision, reason = "the digits are those of the paper")]
fn ndtri_tail(r: f64) -> f64 {
    const C: [f64; 8] = [
        1.423_437_110_749_683_577_34e0,
        4.630_337_846_156_545_295_90e0,
        5.769_497_221_460_691_405_50e0,
        3.647_848_324_763_204_605_04e0,
        1.270_458_252_452_368_382_58e0,
        2.417_807_251_774_506_117_70e-1,
        2.272_384_498_926_918_458_33e-2,
        7.745_450_142_783_414_076_40e-4,
    ];
    const D: [f64; 8] = [
        1.0,
        2.053_191_626_637_758_821_87e0,
        1.676_384_830_183_803_849_40e0,
        6.897_673_349_851_000_045_50e-1,
        1.481_039_764_274_800_745_90e-1,
        1.519_866_656_361_645_719_66e-2,
        5.475_938_084_995_344_946_00e-4,
        1.050_750_071_644_416_843_24e-9,
    ];
    const E: [f64; 8] = [
        6.657_904_643_501_103_777_20e0,
        5.463_784_911_164_114_369_90e0,
        1.784_826_539_917_291_335_80e0,
        2.965_605_718_285_048_912_30e-1,
        2.653_218_952_657_612_309_30e-2,
        1.242_660_947_388_078_438_60e-3,
        2.711_555_568_743_487_578_15e-5,
        2.010_334_399_292_288_132_65e-7,
    ];
    const F: [f64; 8] = [
        1.0,
        5.998_322_065_558_879_376_90e-1,
        1.369_298_809_227_358_053_10e-1,
        1.487_536_129_085_061_485_25e-2,
        7.868_691_311_456_132_591_00e-4,
        1.846_318_317_510_054_681_80e-5,
        1.421_511_758_316_445_888_70e-7,
        2.044_263_103_389_939_785_64e-15,
    ];
    if r <= 5.0 {
        return -polynomial(&C, r - 1.6) / polynomial(&D, r - 1.6);
    }
    if r <= 27.0 {
        return -polynomial(&E, r - 5.0) / polynomial(&F, r - 5.0);
    }
    // Beyond the fit (p below 1e-316): Newton's method on ln Phi from the leading terms of its asymptotic form.
    // The function is nearly a parabola here; three steps are two more than rounding needs.
    if r > 1e9 {
        // The lower terms are beyond the last place, and r^2 may overflow.
        return -SQRT_2 * r;
    }
    let y = -r * r;
    let start = sqrt(2.0 * (r * r - HALF_LN_TAU));
    let mut x = -sqrt(2.0 * (r * r - HALF_LN_TAU - log(start)));
    for _ in 0..3 {
        // d/dx ln Phi = phi / Phi = -x / (1 + mills_tail).
        x -= (log_ndtr(x) - y) * (1.0 + mills_tail(x)) / -x;
    }
    x
}

/// The logarithm of the probability of `[a, b]`; minus infinity if the interval is empty.
///
/// Ill-conditioned where the interval is narrow: differences of `Phi` cancel there, and a series is integrated
/// instead, as [`narrow_mass_excess`] has it.
#[must_use]
pub fn log_gauss_mass(a: f64, b: f64) -> f64 {
    let (middle, half) = (0.5 * a + 0.5 * b, 0.5 * b - 0.5 * a);
    // A centre that is not finite belongs to a half-line or to the whole line, which is not narrow.
    if half > 0.0 && middle.is_finite() {
        return log_gauss_mass_around(middle, half);
    }
    if a < b { log_mass_by_difference(a, b) } else { f64::NEG_INFINITY }
}

/// The logarithm of the probability of `[middle - half, middle + half]`, also where `half` is lost in rounding
/// when it is added to `middle`.
#[must_use]
pub fn log_gauss_mass_around(middle: f64, half: f64) -> f64 {
    if half.is_nan() || half <= 0.0 {
        return f64::NEG_INFINITY;
    }
    match narrow_mass_excess(middle, half) {
        Some(excess) => log(2.0 * half) - HALF_LN_TAU - 0.5 * middle * middle + log1p(excess),
        None => log_mass_by_difference(middle - half, middle + half),
    }
}

/// By how much of itself the probability of `[middle - half, middle + half]` exceeds the interval's length times the
/// density in its middle; `None` where the interval is not narrow.
///
/// Term by term integration of the density's Taylor series: the derivatives of `phi` are `(-1)^n He_n phi` with
/// Hermite's polynomials, and odd ones drop out, so that the mass is `2 h phi(m) sum He_2k(m) h^2k / (2k+1)!`.
/// With `h <= 1/4` and `h |m| <= 1/4` seven terms after the first reach the last place.
#[inline]
#[must_use]
pub fn narrow_mass_excess(middle: f64, half: f64) -> Option<f64> {
    const TERMS: usize = 14;
    /// `n / ((n + 1) (n + 2))` and `1 / (n + 2)`.
    const STEPS: [(f64, f64); TERMS] = {
        let mut steps = [(0.0, 0.0); TERMS];
        let mut n = 1;
        while n < TERMS {
            let real = n as f64;
            steps[n] = (real / ((real + 1.0) * (real + 2.0)), 1.0 / (real + 2.0));
            n += 1;
        }
        steps
    };
    let product = middle * half;
    if !(half <= 0.25 && product.abs() <= 0.25) {
        return None;
    }
    // The recurrence He_{n+1} = m He_n - n He_{n-1}, with h^n / (n+1)! folded into each term:
    // u_n = He_n h^n / (n+1)!.
    let square = half * half;
    let (mut even, mut odd) = (1.0, 0.5 * product);
    let mut excess = 0.0;
    let mut n = 1;
    while n < TERMS - 1 {
        even = product * odd * STEPS[n].1 - STEPS[n].0 * square * even;
        odd = product * even * STEPS[n + 1].1 - STEPS[n + 1].0 * square * odd;
        excess += even;
        n += 2;
    }
    even = product * odd * STEPS[n].1 - STEPS[n].0 * square * even;
    Some(excess + even)
}

fn log_mass_by_difference(a: f64, b: f64) -> f64 {
    // Neither probability underflows down to there.
    const DEEP: f64 = -37.0;
    if a > 0.0 {
        log_mass_by_difference(-b, -a)
    } else if b <= 0.0 && a >= DEEP {
        log(ndtr(b) - ndtr(a))
    } else if b <= 0.0 {
        log_of_difference(log_ndtr(b), log_ndtr(a))
    } else {
        // What is missing to 1, from both sides.
        log1p(-(ndtr(a) + ndtr(-b)))
    }
}

/// `ln(e^p - e^q)` for `p >= q`.
fn log_of_difference(p: f64, q: f64) -> f64 {
    if p == f64::NEG_INFINITY {
        return p;
    }
    let d = q - p;
    // ln(1 - e^d) after Maechler, "Accurately computing log(1 - exp(-|a|))", 2012, equation 7.
    p + if d > -LN_2 { log(-expm1(d)) } else { log1p(-exp(d)) }
}

/// The logarithm of the density at `x` of the normal distribution with mean `mu` and deviation `sigma`, cut to
/// `[low, high]`; minus infinity outside.
#[must_use]
pub fn trunc_normal_log_pdf(x: f64, mu: f64, sigma: f64, low: f64, high: f64) -> f64 {
    if x < low || x > high {
        return f64::NEG_INFINITY;
    }
    let z = (x - mu) / sigma;
    let mass = log_gauss_mass((low - mu) / sigma, (high - mu) / sigma);
    -0.5 * z * z - HALF_LN_TAU - log(sigma) - mass
}

/// The quantile at `q` of the standard normal distribution cut to `[a, b]`. Always within `[a, b]`.
///
/// Ill-conditioned far in a tail, where probabilities underflow: there it works on their logarithms.
#[must_use]
pub fn trunc_normal_quantile(q: f64, a: f64, b: f64) -> f64 {
    if q <= 0.0 || a >= b {
        return a;
    }
    if q >= 1.0 {
        return b;
    }
    if a > 0.0 {
        return -trunc_normal_quantile(1.0 - q, -b, -a);
    }
    // From here on at least half of the interval's mass is left of 0, or the interval straddles it.
    let x = if b < -5.0 {
        let (log_a, log_b) = (log_ndtr(a), log_ndtr(b));
        // ln(Phi(a) + q (Phi(b) - Phi(a))) with Phi(b) taken out.
        ndtri_exp(log_b + log(q + (1.0 - q) * exp(log_a - log_b)))
    } else {
        // Whichever of Phi(b) and its distance from 1 is small is the one to compute.
        let (below_b, above_b) = if b > 0.0 {
            let above = ndtr(-b);
            (1.0 - above, above)
        } else {
            let below = ndtr(b);
            (below, 1.0 - below)
        };
        let below_a = ndtr(a);
        let lower = (1.0 - q) * below_a + q * below_b;
        if lower <= 0.5 { ndtri(lower) } else { -ndtri((1.0 - q) * (1.0 - below_a) + q * above_b) }
    };
    x.max(a).min(b)
}
