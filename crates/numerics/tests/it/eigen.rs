//! Symmetric eigen-decompositions: against numbers of NumPy's, and against the matrices themselves.

use trialog_numerics::{Stream, SymmetricEigen};

fn check(matrix: &[f64], n: usize) -> Vec<f64> {
    let eigen = SymmetricEigen::new(matrix, n).unwrap();
    let scale = eigen.values.iter().fold(1e-305_f64, |largest, value| largest.max(value.abs()));
    let row = |i: usize| &eigen.vectors[i * n..(i + 1) * n];
    for i in 0..n {
        for j in 0..n {
            let dot: f64 = row(i).iter().zip(row(j)).map(|(a, b)| a * b).sum();
            assert!((dot - f64::from(u8::from(i == j))).abs() < 1e-13 * n as f64, "{i} {j}: {dot}");
            let product: f64 = (0..n).map(|k| matrix[j * n + k] * row(i)[k]).sum();
            let error = (product - eigen.values[i] * row(i)[j]).abs();
            assert!(error < 1e-14 * n as f64 * scale, "value {i}, row {j}: {error:e}");
        }
    }
    let mut values = eigen.values;
    values.sort_by(f64::total_cmp);
    values
}

#[test]
fn known_eigenvalues() {
    let hilbert: Vec<f64> = (0..36).map(|at| 1.0 / (at / 6 + at % 6 + 1) as f64).collect();
    // numpy.linalg.eigvalsh of NumPy 2.4.6.
    let expected = [
        1.0827994845192786e-07,
        1.257075712263069e-05,
        0.0006157483541825938,
        0.016321521319875708,
        0.2423608705752093,
        1.6188998589243386,
    ];
    for (found, expected) in check(&hilbert, 6).into_iter().zip(expected) {
        assert!((found - expected).abs() < 1e-15, "{found:?} {expected:?}");
    }
    assert_eq!(check(&[2.0, 0.0, 0.0, -3.0], 2), [-3.0, 2.0]);
    assert_eq!(check(&[-7.0], 1), [-7.0]);
    assert_eq!(check(&[], 0), [0.0; 0]);
}

#[test]
fn any_matrix_is_decomposed() {
    for n in 1..40 {
        let mut stream = Stream::new(&[n as u64]);
        for kind in 0..4 {
            let mut matrix = vec![0.0; n * n];
            for i in 0..n {
                for j in 0..=i {
                    let x = stream.uniform() - 0.5;
                    let x = match kind {
                        0 => x,
                        1 => x * libm::exp10(20.0 * (stream.uniform() - 0.5)),
                        2 => f64::from(u8::from(i == j)),
                        _ => f64::from(u8::from((i + j) % 3 == 0)),
                    };
                    (matrix[i * n + j], matrix[j * n + i]) = (x, x);
                }
            }
            check(&matrix, n);
            check(&matrix.iter().map(|x| x * 1e-200).collect::<Vec<_>>(), n);
            check(&matrix.iter().map(|x| x * 1e280).collect::<Vec<_>>(), n);
        }
    }
}

#[test]
fn what_is_not_finite_has_none() {
    for bad in [f64::NAN, f64::INFINITY] {
        assert_eq!(SymmetricEigen::new(&[1.0, bad, bad, 1.0], 2), None);
    }
}

#[test]
#[should_panic(expected = "value")]
fn canary() {
    let wrong = [2.0, 5.0, 1.0, 2.0];
    check(&wrong, 2);
}
