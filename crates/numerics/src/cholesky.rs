//! The Cholesky factor of a covariance matrix that grows row by row, and solving with it.
//!
//! Row `i` of the factor depends on rows up to `i` only, and is always computed by the same operations in the same
//! order: a factor that grew has the same bits as one that was computed at once.

/// The lower triangular `L` with `L L^T = K`, of a symmetric positive definite `K`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cholesky {
    len: usize,
    /// Row by row, each up to the diagonal.
    rows: Vec<f64>,
}

/// Where row `i` begins.
fn start(i: usize) -> usize {
    i * (i + 1) / 2
}

/// The sum of products, in eight interleaved sums so that it becomes vector instructions, whose order is fixed.
#[inline]
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut sums = [0.0; 8];
    let (a8, a_rest) = a.as_chunks::<8>();
    let (b8, b_rest) = b.as_chunks::<8>();
    for (a, b) in a8.iter().zip(b8) {
        for lane in 0..8 {
            sums[lane] += a[lane] * b[lane];
        }
    }
    let rest: f64 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    ((sums[0] + sums[4]) + (sums[2] + sums[6])) + ((sums[1] + sums[5]) + (sums[3] + sums[7])) + rest
}

/// `y += a x`.
#[inline]
fn add_multiple(y: &mut [f64], a: f64, x: &[f64]) {
    for (y, x) in y.iter_mut().zip(x) {
        *y += a * x;
    }
}

impl Cholesky {
    /// The factor of a matrix without rows.
    #[must_use]
    pub fn new() -> Cholesky {
        Cholesky::default()
    }

    /// The number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// True if there are no rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Row `i` of the factor, up to the diagonal.
    #[must_use]
    pub fn row(&self, i: usize) -> &[f64] {
        &self.rows[start(i)..start(i + 1)]
    }

    /// Adds a row of the matrix: its products with the rows before, and then its own diagonal element. Returns
    /// false, and leaves the factor as it was, if the matrix would not be positive definite to working precision.
    ///
    /// Golub and Van Loan, *Matrix Computations* (4th ed.), section 4.2: the row is `L^-1 k`, and what is left of
    /// the diagonal is the square of the new pivot.
    ///
    /// # Panics
    /// If the row has another length than `len() + 1`.
    pub fn push(&mut self, row: &[f64]) -> bool {
        let i = self.len;
        assert_eq!(row.len(), i + 1, "a row reaches to the diagonal");
        let at = start(i);
        self.rows.extend_from_slice(row);
        let (before, new) = self.rows.split_at_mut(at);
        for j in 0..i {
            let other = &before[start(j)..start(j + 1)];
            new[j] = (new[j] - dot(&new[..j], &other[..j])) / other[j];
        }
        let pivot = new[i] - dot(&new[..i], &new[..i]);
        // Also refuses NaN.
        if !(pivot > 0.0 && pivot.is_finite()) {
            self.rows.truncate(at);
            return false;
        }
        new[i] = libm::sqrt(pivot);
        self.len += 1;
        true
    }

    /// Leaves the first `len` rows.
    pub fn truncate(&mut self, len: usize) {
        if len < self.len {
            self.len = len;
            self.rows.truncate(start(len));
        }
    }

    /// Half the logarithm of the determinant of `K`.
    #[must_use]
    pub fn half_log_det(&self) -> f64 {
        (0..self.len).map(|i| libm::log(self.rows[start(i) + i])).sum()
    }

    /// Puts `L^-1 b` in the place of `b`, which may be shorter than the factor: then the first rows are used.
    pub fn solve_lower(&self, b: &mut [f64]) {
        for i in 0..b.len() {
            let row = self.row(i);
            b[i] = (b[i] - dot(&row[..i], &b[..i])) / row[i];
        }
    }

    /// The same for `W` right sides at once, row by row; every side gets the same operations.
    pub fn solve_lower_wide<const W: usize>(&self, b: &mut [[f64; W]]) {
        for i in 0..b.len() {
            let row = self.row(i);
            let (done, rest) = b.split_at_mut(i);
            let mut sums = rest[0];
            for (l, u) in row.iter().zip(done.iter()) {
                for lane in 0..W {
                    sums[lane] -= l * u[lane];
                }
            }
            for sum in &mut sums {
                *sum /= row[i];
            }
            rest[0] = sums;
        }
    }

    /// Puts `L^-T b` in the place of `b`, which may be shorter than the factor: then the first rows are used.
    pub fn solve_upper(&self, b: &mut [f64]) {
        for i in (0..b.len()).rev() {
            let row = self.row(i);
            b[i] /= row[i];
            let factor = -b[i];
            add_multiple(&mut b[..i], factor, &row[..i]);
        }
    }
}
