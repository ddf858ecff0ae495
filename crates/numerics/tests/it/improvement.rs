//! Improvements against mpmath, and their derivatives.

use trialog_numerics::{
    LogValue, erfcx, log_expected_improvement, log_expected_length, log_h, log_probability_above,
};

fn check(golden: &str) {
    for line in golden.lines() {
        let (name, numbers) = line.split_once(' ').unwrap();
        let v: Vec<f64> = numbers.split(' ').map(|word| word.parse().unwrap()).collect();
        let derivatives = |actual: LogValue, expected: &[f64], tolerance: f64| {
            crate::close(line, actual.value, expected[0], tolerance * f64::max(1.0, 1.0 / expected[0].abs()));
            crate::close(line, actual.by_mean, expected[1], 100.0 * tolerance);
            let size = expected[1].abs().max(expected[2].abs());
            assert!((actual.by_variance - expected[2]).abs() <= 1e4 * tolerance * size, "{line}: {actual:?}");
        };
        match name {
            "erfcx" => crate::close(line, erfcx(v[0]), v[1], 2e-15 * f64::max(1.0, -v[0])),
            // Relative to 1 for values near the zero at 0.9.
            "log_h" => crate::close(line, log_h(v[0]), v[1], 1e-12 * f64::max(1.0, 1.0 / v[1].abs())),
            "improvement" => derivatives(log_expected_improvement(v[0], v[1], v[2]), &v[3..], 1e-12),
            "above" => derivatives(log_probability_above(v[0], v[1], v[2]), &v[3..], 1e-12),
            "length" => derivatives(log_expected_length(v[0], v[1], v[2], v[3]), &v[4..], 1e-10),
            other => panic!("what is {other}"),
        }
    }
}

#[test]
fn agrees_with_mpmath() {
    check(include_str!("../golden/improvement-mpmath-1.3.0.txt"));
}

#[test]
#[should_panic(expected = "relative error")]
fn canary() {
    check("log_h 0.0 -0.9189385");
}

#[test]
fn at_the_ends() {
    assert_eq!(erfcx(f64::INFINITY), 0.0);
    assert_eq!(erfcx(0.0), 1.0);
    assert!(log_h(-1e6).is_finite() && log_h(-1e100) < -1e199);
    let unbounded = log_expected_length(0.3, 2.0, -1.0, f64::INFINITY);
    assert_eq!(unbounded, log_expected_improvement(0.3, 2.0, -1.0));
    for (mean, low, high) in [(1e3, 0.0, 1.0), (-1e3, 0.0, 1.0), (0.0, 0.0, 1e-9), (0.0, -1e9, 1e9)] {
        let length = log_expected_length(mean, 1.0, low, high);
        assert!(!length.value.is_nan() && !length.by_mean.is_nan() && !length.by_variance.is_nan(), "{length:?}");
        assert!(length.value <= libm::log(high - low) + 1e-9, "{length:?}");
    }
}
