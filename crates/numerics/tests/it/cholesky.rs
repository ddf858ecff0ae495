//! The factor against its definition: products give the matrix back, solutions solve, and growing changes no bit.

#![expect(clippy::needless_range_loop, reason = "the formulas of matrices have indices")]

use proptest::prelude::*;
use trialog_numerics::{Cholesky, Stream};

/// A random covariance matrix, as rows up to the diagonal.
fn matrix(n: usize, seed: u64) -> Vec<Vec<f64>> {
    let mut stream = Stream::new(&[seed]);
    let x: Vec<[f64; 3]> = (0..n).map(|_| std::array::from_fn(|_| stream.uniform())).collect();
    let k = |a: usize, b: usize| {
        let squared: f64 = (0..3).map(|d| (x[a][d] - x[b][d]) * (x[a][d] - x[b][d])).sum();
        libm::exp(-3.0 * squared) + if a == b { 1e-3 } else { 0.0 }
    };
    (0..n).map(|a| (0..=a).map(|b| k(a, b)).collect()).collect()
}

fn factor(rows: &[Vec<f64>]) -> Cholesky {
    let mut factor = Cholesky::new();
    assert!(rows.iter().all(|row| factor.push(row)));
    factor
}

fn element(rows: &[Vec<f64>], a: usize, b: usize) -> f64 {
    rows[a.max(b)][a.min(b)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn it_is_what_it_is_called(n in 1_usize..40, seed: u64) {
        let rows = matrix(n, seed);
        let l = factor(&rows);
        for a in 0..n {
            for b in 0..=a {
                let product: f64 = l.row(a).iter().zip(l.row(b)).map(|(x, y)| x * y).sum();
                prop_assert!((product - rows[a][b]).abs() < 1e-13, "{product} {}", rows[a][b]);
            }
        }
        let sides: Vec<f64> = (0..n).map(|i| libm::sin(i as f64)).collect();
        let mut solved = sides.clone();
        l.solve_lower(&mut solved);
        let quadratic: f64 = solved.iter().map(|v| v * v).sum();
        l.solve_upper(&mut solved);
        for a in 0..n {
            let product: f64 = (0..n).map(|k| element(&rows, a, k) * solved[k]).sum();
            prop_assert!((product - sides[a]).abs() < 1e-10);
        }
        let expected: f64 = sides.iter().zip(&solved).map(|(a, b)| a * b).sum();
        prop_assert!((quadratic - expected).abs() < 1e-9 * expected.abs().max(1.0));
        let mut wide: Vec<[f64; 4]> = sides.iter().map(|&v| [v, 2.0 * v, -v, 0.0]).collect();
        l.solve_lower_wide(&mut wide);
        let mut narrow = sides;
        l.solve_lower(&mut narrow);
        for (wide, narrow) in wide.iter().zip(&narrow) {
            prop_assert!((wide[0] - narrow).abs() < 1e-11 && (wide[1] - 2.0 * narrow).abs() < 1e-11);
            prop_assert!((wide[2] + narrow).abs() < 1e-11 && wide[3] == 0.0);
        }
    }

    #[test]
    fn growing_changes_no_bit(n in 2_usize..40, part in 0_usize..40, seed: u64) {
        let rows = matrix(n, seed);
        let whole = factor(&rows);
        let mut grown = factor(&rows[..part % n]);
        prop_assert!(rows[part % n..].iter().all(|row| grown.push(row)));
        prop_assert_eq!(&whole, &grown);
        grown.truncate(part % n);
        prop_assert_eq!(grown, factor(&rows[..part % n]));
    }
}

/// `numpy.linalg.cholesky` and `slogdet` of numpy 2.4.6.
#[test]
fn agrees_with_numpy() {
    let l = factor(&[vec![4.0], vec![1.0, 3.0], vec![0.5, -0.25, 2.0]]);
    let expected: [&[f64]; 3] =
        [&[2.0], &[0.5, 1.6583123951777], &[0.25, -0.22613350843332272, 1.3734495390671027]];
    for (i, expected) in expected.iter().enumerate() {
        for (l, expected) in l.row(i).iter().zip(*expected) {
            crate::close("element", *l, *expected, 1e-15);
        }
    }
    crate::close("half_log_det", l.half_log_det(), 0.5 * 3.0325462466767075, 1e-13);
}

#[test]
fn what_is_not_positive_definite_is_refused() {
    let mut l = factor(&[vec![1.0], vec![0.5, 1.0]]);
    let before = l.clone();
    for row in [[1.0, 1.0, 1.0], [0.5, 1.0, 1.0], [0.0, 0.0, f64::NAN], [0.0, 0.0, -1.0], [f64::NAN, 0.0, 1.0]] {
        assert!(!l.push(&row), "{row:?}");
        assert_eq!(l, before);
    }
    assert!(l.push(&[0.0, 0.0, 1.0]));
}
