//! `exp` and `ln` against libm, which rounds to within one unit in the last place.

use proptest::prelude::*;
use trialog_numerics::{Stream, exp, exp_in_place, ln, ln_in_place, log_sum_exp};

/// The distance in units in the last place of `b`.
fn ulps(a: f64, b: f64) -> u64 {
    a.to_bits().abs_diff(b.to_bits())
}

#[test]
fn exp_is_within_two_units() {
    let mut stream = Stream::new(&[1]);
    for _ in 0..400_000 {
        let x = stream.uniform() * 1417.0 - 707.4;
        let x = if stream.below(2) == 0 { x } else { x * 1e-3 };
        assert!(ulps(exp(x), libm::exp(x)) <= 2, "{x:?}: {:?} {:?}", exp(x), libm::exp(x));
    }
}

#[test]
fn exp_at_the_edges() {
    for (x, expected) in [
        (0.0, 1.0),
        (-0.0, 1.0),
        (-800.0, 0.0),
        (f64::NEG_INFINITY, 0.0),
        (709.78, libm::exp(709.78)),
        (710.0, f64::INFINITY),
        (f64::INFINITY, f64::INFINITY),
    ] {
        assert_eq!(exp(x), expected, "{x:?}");
    }
    assert!(exp(f64::NAN).is_nan());
}

#[test]
fn ln_is_within_two_units() {
    let mut stream = Stream::new(&[2]);
    for _ in 0..400_000 {
        let x = libm::exp(stream.uniform() * 1400.0 - 700.0);
        assert!(ulps(ln(x), libm::log(x)) <= 2, "{x:?}: {:?} {:?}", ln(x), libm::log(x));
        let near = 1.0 + (stream.uniform() - 0.5) * 0.1;
        assert!(ulps(ln(near), libm::log(near)) <= 2, "{near:?}: {:?} {:?}", ln(near), libm::log(near));
    }
    assert_eq!(ln(1.0), 0.0);
}

#[test]
fn slices_know_every_double() {
    let mut values = [0.0, -1.0, 5e-324, 1.0, f64::INFINITY];
    ln_in_place(&mut values);
    assert!(values[1].is_nan());
    values[1] = 0.0;
    assert_eq!(values, [f64::NEG_INFINITY, 0.0, libm::log(5e-324), 0.0, f64::INFINITY]);
    let mut values = [0.0, -1.0, 2.0];
    exp_in_place(&mut values);
    assert_eq!(values, [0.0, -1.0, 2.0].map(exp));
}

#[test]
fn log_sum_exp_of_extremes() {
    let inf = f64::INFINITY;
    for (values, expected) in [
        (&[][..], -inf),
        (&[-inf, -inf], -inf),
        (&[0.0, -inf], 0.0),
        (&[1e300, 1e300], 1e300),
        (&[-1000.0, -1000.0], -1000.0 + std::f64::consts::LN_2),
        (&[inf, 0.0], inf),
    ] {
        crate::close("log_sum_exp", log_sum_exp(values), expected, 1e-15);
    }
}

proptest! {
    #[test]
    fn ln_undoes_exp(x in -700.0..700.0) {
        prop_assert!((ln(exp(x)) - x).abs() <= 1e-13 * x.abs().max(1e-2));
    }
}
