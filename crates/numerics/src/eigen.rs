//! Eigenvalues and eigenvectors of symmetric matrices, with the same bits on every machine.

use libm::{frexp, hypot, scalbn};

/// The decomposition of a symmetric matrix.
#[derive(Clone, Debug, PartialEq)]
pub struct SymmetricEigen {
    /// In no particular order.
    pub values: Vec<f64>,
    /// Row `i` is the unit eigenvector of value `i`; the rows are orthogonal to each other.
    pub vectors: Vec<f64>,
}

/// No matrix needs nearly as many steps for one eigenvalue.
const STEPS_MAX: usize = 60;

impl SymmetricEigen {
    /// Decomposes a matrix of `n` rows, of which the lower triangle is read. `None` for numbers that are not finite.
    ///
    /// Householder's reduction to a tridiagonal matrix and the QL algorithm with implicit shifts (Golub and Van Loan,
    /// "Matrix computations", 4th edition, algorithms 8.3.1 and 8.3.3, and section 8.3.5); backward stable, so that
    /// eigenvalues are good to rounding of the largest one, and small ones among large ones less so relatively.
    ///
    /// # Panics
    /// If there are not `n * n` numbers.
    #[must_use]
    pub fn new(matrix: &[f64], n: usize) -> Option<SymmetricEigen> {
        assert_eq!(matrix.len(), n * n, "a square matrix");
        let mut a = matrix.to_vec();
        for row in 0..n {
            for column in row + 1..n {
                a[row * n + column] = a[column * n + row];
            }
        }
        if !a.iter().all(|x| x.is_finite()) {
            return None;
        }
        // Squares of neither large nor small numbers leave the range of numbers; a power of two costs no digit.
        let (_, exponent) = frexp(a.iter().fold(0.0, |largest, x| x.abs().max(largest)));
        a.iter_mut().for_each(|x| *x = scalbn(*x, -exponent));
        let (mut values, mut beside, mut vectors) = tridiagonalize(&mut a, n);
        diagonalize(&mut values, &mut beside, &mut vectors)?;
        values.iter_mut().for_each(|value| *value = scalbn(*value, exponent));
        Some(SymmetricEigen { values, vectors })
    }
}

/// The diagonal, the numbers beside it with a 0 behind them, and the orthogonal matrix that does it, by columns.
fn tridiagonalize(a: &mut [f64], n: usize) -> (Vec<f64>, Vec<f64>, Vec<f64>) {
    let mut q = vec![0.0; n * n];
    (0..n).for_each(|i| q[i * n + i] = 1.0);
    let (mut v, mut w) = (vec![0.0; n], vec![0.0; n]);
    for k in 0..n.saturating_sub(2) {
        let below = k + 1..n;
        let norm = below.clone().map(|i| a[i * n + k] * a[i * n + k]).sum::<f64>().sqrt();
        let rest = (k + 2..n).any(|i| a[i * n + k] != 0.0);
        if !rest || norm == 0.0 {
            continue;
        }
        // The sign that adds, so that nothing cancels.
        let alpha = if a[(k + 1) * n + k] > 0.0 { -norm } else { norm };
        below.clone().for_each(|i| v[i] = a[i * n + k]);
        v[k + 1] -= alpha;
        let beta = 2.0 / below.clone().map(|i| v[i] * v[i]).sum::<f64>();
        if !beta.is_finite() {
            continue;
        }
        for i in below.clone() {
            w[i] = beta * below.clone().map(|j| a[i * n + j] * v[j]).sum::<f64>();
        }
        let half = beta / 2.0 * below.clone().map(|i| w[i] * v[i]).sum::<f64>();
        below.clone().for_each(|i| w[i] -= half * v[i]);
        for i in below.clone() {
            for j in below.clone() {
                a[i * n + j] -= v[i] * w[j] + w[i] * v[j];
            }
        }
        for i in below.clone() {
            (a[i * n + k], a[k * n + i]) = (0.0, 0.0);
        }
        (a[(k + 1) * n + k], a[k * n + k + 1]) = (alpha, alpha);
        // Rows of q are the columns of the product of the reflections so far; another one comes behind it.
        for column in 0..n {
            let dot = beta * below.clone().map(|i| v[i] * q[i * n + column]).sum::<f64>();
            below.clone().for_each(|i| q[i * n + column] -= dot * v[i]);
        }
    }
    let diagonal = (0..n).map(|i| a[i * n + i]).collect();
    let beside = (0..n).map(|i| if i + 1 < n { a[(i + 1) * n + i] } else { 0.0 }).collect();
    (diagonal, beside, q)
}

/// Rotates until nothing is beside the diagonal.
fn diagonalize(d: &mut [f64], e: &mut [f64], vectors: &mut [f64]) -> Option<()> {
    let n = d.len();
    let norm = d.iter().chain(&*e).fold(0.0, |largest: f64, x| largest.max(x.abs()));
    for l in 0..n {
        for step in 0.. {
            // The reduction has left errors of this size in any case.
            let negligible = |i: usize| e[i].abs() <= f64::EPSILON * norm;
            let m = (l..n - 1).find(|&i| negligible(i)).unwrap_or(n - 1);
            if m == l {
                break;
            }
            if step == STEPS_MAX {
                return None;
            }
            // Wilkinson's shift.
            let half = (d[l + 1] - d[l]) / (2.0 * e[l]);
            let mut g = d[m] - d[l] + e[l] / (half + hypot(half, 1.0).copysign(half));
            let (mut s, mut c, mut p) = (1.0, 1.0, 0.0);
            let mut whole = true;
            for i in (l..m).rev() {
                let (f, b) = (s * e[i], c * e[i]);
                let r = hypot(f, g);
                e[i + 1] = r;
                if r == 0.0 {
                    d[i + 1] -= p;
                    e[m] = 0.0;
                    whole = false;
                    break;
                }
                (s, c) = (f / r, g / r);
                g = d[i + 1] - p;
                let t = (d[i] - g) * s + 2.0 * c * b;
                p = s * t;
                d[i + 1] = g + p;
                g = c * t - b;
                let (upper, lower) = vectors[i * n..(i + 2) * n].split_at_mut(n);
                for (x, y) in upper.iter_mut().zip(lower) {
                    (*x, *y) = (c * *x - s * *y, s * *x + c * *y);
                }
            }
            if whole {
                d[l] -= p;
                e[l] = g;
                e[m] = 0.0;
            }
        }
    }
    d.iter().all(|value| value.is_finite()).then_some(())
}
