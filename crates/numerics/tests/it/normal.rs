//! The normal distribution against mpmath and SciPy, and its functions against each other.

use proptest::prelude::*;
use trialog_numerics::{
    log_gauss_mass, log_gauss_mass_around, log_ndtr, ndtr, ndtri, ndtri_exp, trunc_normal_log_pdf,
    trunc_normal_quantile,
};

fn check(golden: &str) {
    for line in golden.lines() {
        let (name, numbers) = line.split_once(' ').unwrap();
        let v: Vec<f64> = numbers.split(' ').map(|word| word.parse().unwrap()).collect();
        let (actual, tolerance) = match name {
            // The argument's own rounding is worth x^2 units in the last place.
            "ndtr" => (ndtr(v[0]), 1e-15 + v[0] * v[0] * 2.3e-16),
            "log_ndtr" => (log_ndtr(v[0]), 1e-14 + if v[0] > 0.0 { v[0] * v[0] * 2.3e-16 } else { 0.0 }),
            "ndtri" => (ndtri(v[0]), 2e-15),
            "ndtri_exp" => (ndtri_exp(v[0]), 2e-15),
            "log_gauss_mass" => (log_gauss_mass(v[0], v[1]), 1e-13 + rounding_of_bounds(v[0], v[1])),
            "log_gauss_mass_around" => (log_gauss_mass_around(v[0], v[1]), 1e-13),
            "trunc_normal_log_pdf" => (trunc_normal_log_pdf(v[0], v[1], v[2], v[3], v[4]), 2e-12),
            "trunc_normal_quantile" => (trunc_normal_quantile(v[0], v[1], v[2]), 2e-12),
            other => panic!("what is {other}"),
        };
        // Relative to 1 for values near a zero of the function.
        let expected = *v.last().unwrap();
        crate::close(line, actual, expected, tolerance * f64::max(1.0, 1.0 / expected.abs()));
    }
}

/// What half a unit in the last place of a bound does to the logarithm of a narrow interval's mass.
fn rounding_of_bounds(a: f64, b: f64) -> f64 {
    2.3e-16 * a.abs().max(b.abs()) / (b - a)
}

#[test]
fn agrees_with_mpmath() {
    check(include_str!("../golden/normal-mpmath-1.4.1.txt"));
}

#[test]
fn agrees_with_scipy() {
    check(include_str!("../golden/normal-scipy-1.17.1.txt"));
}

#[test]
#[should_panic(expected = "relative error")]
fn canary() {
    check("ndtr 0.0 0.5000000001");
}

#[test]
fn at_the_ends() {
    let inf = f64::INFINITY;
    for (what, actual, expected) in [
        ("ndtr(-inf)", ndtr(-inf), 0.0),
        ("ndtr(inf)", ndtr(inf), 1.0),
        ("log_ndtr(-inf)", log_ndtr(-inf), -inf),
        ("log_ndtr(-1e200)", log_ndtr(-1e200), -inf),
        ("log_ndtr(inf)", log_ndtr(inf), 0.0),
        ("ndtri(0)", ndtri(0.0), -inf),
        ("ndtri(1)", ndtri(1.0), inf),
        ("ndtri(1/2)", ndtri(0.5), 0.0),
        ("ndtri(-1)", ndtri(-1.0), f64::NAN),
        ("ndtri_exp(0)", ndtri_exp(0.0), inf),
        ("ndtri_exp(1)", ndtri_exp(1.0), f64::NAN),
        ("ndtri_exp(-inf)", ndtri_exp(-inf), -inf),
        ("ndtri_exp(-1e308)", ndtri_exp(-1e308), -(2.0_f64).sqrt() * 1e154),
        ("mass of all", log_gauss_mass(-inf, inf), 0.0),
        ("mass of half", log_gauss_mass(-inf, 0.0), -std::f64::consts::LN_2),
        ("mass of nothing", log_gauss_mass(1.0, 1.0), -inf),
        ("mass backwards", log_gauss_mass(2.0, 1.0), -inf),
        ("mass of huge", log_gauss_mass(-1e308, 1e308), 0.0),
        ("quantile of nothing", trunc_normal_quantile(0.3, 1.0, 1.0), 1.0),
    ] {
        crate::close(what, actual, expected, 1e-15);
    }
}

proptest! {
    #[test]
    fn density_is_the_derivative_of_the_distribution(x in -8.0_f64..8.0) {
        let h = 1e-5;
        let slope = (ndtr(x + h) - ndtr(x - h)) / (2.0 * h);
        let density = (-0.5 * x * x).exp() / std::f64::consts::TAU.sqrt();
        prop_assert!((slope - density).abs() < 1e-9);
    }

    #[test]
    fn quantiles_undo_probabilities(x in -200.0_f64..5.0) {
        let y = log_ndtr(x);
        // d ln Phi / dx = phi / Phi: how much of the rounding of y comes back as an error of x.
        let slope = (-0.5 * x * x - trialog_numerics::HALF_LN_TAU - y).exp();
        let tolerance = 1e-14 * (1.0 + x.abs()) + 2.3e-16 * y.abs() / slope;
        prop_assert!((ndtri_exp(y) - x).abs() <= tolerance);
    }

    #[test]
    fn quantiles_rise(a in -40.0..40.0, width in 1e-9..80.0, p in 0.0..1.0, q in 0.0..1.0) {
        let b = a + width;
        let (low, high) = if p <= q { (p, q) } else { (q, p) };
        let (x, y) = (trunc_normal_quantile(low, a, b), trunc_normal_quantile(high, a, b));
        prop_assert!(a <= x && y <= b);
        prop_assert!(x <= y + 1e-13 * (1.0 + y.abs()), "{x} {y}");
    }

    #[test]
    fn masses_add_up(a in -30.0..30.0, first in 1e-6..10.0, second in 1e-6..10.0) {
        let (b, c) = (a + first, a + first + second);
        let whole = log_gauss_mass(a, c);
        let parts = trialog_numerics::log_sum_exp(&[log_gauss_mass(a, b), log_gauss_mass(b, c)]);
        // Rounding a sum of widths moves a bound.
        let tolerance = 1e-12 + rounding_of_bounds(a, b) * 10.0 + rounding_of_bounds(b, c) * 10.0;
        prop_assert!((whole - parts).abs() <= tolerance * whole.abs().max(1.0), "{whole} {parts}");
    }

    #[test]
    fn masses_are_symmetric(a in -50.0_f64..50.0, width in 1e-12_f64..100.0) {
        prop_assert_eq!(log_gauss_mass(a, a + width), log_gauss_mass(-(a + width), -a));
    }

    #[test]
    fn the_quantile_splits_the_mass(a in -20.0..20.0, width in 1e-3..40.0, q in 1e-6..1.0) {
        let b = a + width;
        let x = trunc_normal_quantile(q, a, b);
        prop_assume!(x > a);
        let share = log_gauss_mass(a, x) - log_gauss_mass(a, b);
        prop_assert!((share - q.ln()).abs() <= 1e-9, "{share} {}", q.ln());
    }
}
