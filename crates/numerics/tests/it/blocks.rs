//! The matrix in blocks against plain loops over its elements.

#![expect(clippy::needless_range_loop, reason = "the formulas of matrices have indices")]

use proptest::prelude::*;
use trialog_numerics::{Inversion, Stream, SymmetricBlocks};

/// A random covariance matrix.
fn matrix(n: usize, seed: u64) -> SymmetricBlocks {
    let mut stream = Stream::new(&[seed]);
    let x: Vec<[f64; 3]> = (0..n).map(|_| std::array::from_fn(|_| stream.uniform())).collect();
    SymmetricBlocks::from_fn(n, |a, b| {
        let squared: f64 = (0..3).map(|d| (x[a][d] - x[b][d]) * (x[a][d] - x[b][d])).sum();
        libm::exp(-3.0 * squared) + if a == b { 1e-3 } else { 0.0 }
    })
}

fn sum(n: usize, of: impl Fn(usize, usize) -> f64) -> f64 {
    (0..n).map(|a| (0..n).map(|b| of(a, b)).sum::<f64>()).sum()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn the_inverse_is_one(n in 1_usize..40, seed: u64, filler in -3.0..3.0) {
        let k = matrix(n, seed);
        let mut inverse = k.clone();
        // What stands beyond the matrix must not matter; a matrix of zeros has the same size.
        let beyond = SymmetricBlocks::from_fn(n, |_, _| 1.0);
        for (value, inside) in inverse.elements_mut().iter_mut().zip(beyond.elements()) {
            *value += if *inside == 1.0 { 0.0 } else { filler };
        }
        let mut inversion = Inversion::default();
        prop_assert!(inverse.invert(&mut inversion).is_some());
        for a in 0..n {
            for b in 0..n {
                let product: f64 = (0..n).map(|c| k.at(a, c) * inverse.at(c, b)).sum();
                prop_assert!((product - f64::from(u8::from(a == b))).abs() < 1e-8, "{product}");
            }
        }
        let side: Vec<f64> = (0..n).map(|i| libm::sin(i as f64)).collect();
        let (lower, whole) = inversion.solve(&side);
        for a in 0..n {
            let product: f64 = (0..n).map(|b| k.at(a, b) * whole[b]).sum();
            prop_assert!((product - side[a]).abs() < 1e-9, "{product} {}", side[a]);
        }
        let squares: f64 = lower.iter().map(|v| v * v).sum();
        let product: f64 = side.iter().zip(&whole).map(|(a, b)| a * b).sum();
        prop_assert!((squares - product).abs() < 1e-9 * product.abs().max(1.0));
    }

    #[test]
    fn sums_are_over_the_whole_matrix(n in 1_usize..20, seed: u64) {
        let mut k = matrix(n, seed);
        let other = SymmetricBlocks::from_fn(n, |a, b| (a * b + a + b) as f64);
        let expected = sum(n, |a, b| k.at(a, b) * other.at(a, b));
        prop_assert!((k.dot(&other) - expected).abs() < 1e-12 * expected.abs().max(1.0));
        let before = k.clone();
        let x: Vec<f64> = (0..n).map(|i| libm::cos(i as f64)).collect();
        k.subtract_square(&x);
        k.add_to_diagonal(2.0);
        for a in 0..n {
            for b in 0..n {
                let expected = before.at(a, b) - x[a] * x[b] + if a == b { 2.0 } else { 0.0 };
                prop_assert!((k.at(a, b) - expected).abs() < 1e-15 * 4.0);
            }
        }
        let trace: f64 = (0..n).map(|a| k.at(a, a)).sum();
        prop_assert!((k.trace() - trace).abs() < 1e-12);
    }
}

/// `numpy.linalg.inv` and `slogdet` of numpy 2.4.6.
#[test]
fn agrees_with_numpy() {
    let elements = [[4.0, 0.0, 0.0], [1.0, 3.0, 0.0], [0.5, -0.25, 2.0]];
    let mut k = SymmetricBlocks::from_fn(3, |a, b| elements[a][b]);
    let mut inversion = Inversion::default();
    assert!(k.invert(&mut inversion).is_some());
    crate::close("half_log_det", inversion.half_log_det, 0.5 * 3.0325462466767075, 1e-15);
    let expected: [&[f64]; 3] = [
        &[0.286144578313253],
        &[-0.1024096385542169, 0.3734939759036145],
        &[-0.0843373493975904, 0.072289156626506, 0.5301204819277109],
    ];
    for (a, expected) in expected.iter().enumerate() {
        for (b, expected) in expected.iter().enumerate() {
            crate::close("element", k.at(a, b), *expected, 1e-14);
        }
    }
}

#[test]
fn what_is_not_positive_definite_is_refused() {
    for last in [[1.0, 1.0, 1.0], [0.5, 1.0, 1.0], [0.0, 0.0, f64::NAN], [0.0, 0.0, -1.0], [f64::NAN, 0.0, 1.0]] {
        let rows = [[1.0, 0.0, 0.0], [0.5, 1.0, 0.0], last];
        let mut k = SymmetricBlocks::from_fn(3, |a, b| rows[a][b]);
        assert!(k.invert(&mut Inversion::default()).is_none(), "{last:?}");
    }
}
