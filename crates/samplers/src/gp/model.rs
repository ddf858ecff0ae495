//! The Gaussian process: its kernel, what it knows after observations, and what it expects at a point.
//!
//! Rasmussen and Williams, *Gaussian Processes for Machine Learning* (MIT Press 2006), chapters 2 and 4.
//!
//! | here | in the book |
//! |---|---|
//! | `theta` | the inverse squares of the length-scales (equation 5.1) |
//! | `scale` | the signal variance |
//! | `noise` | the noise variance |
//! | `u` | `L^-1 k_*`, with `L` the Cholesky factor of `K + noise I` (algorithm 2.1, `v`) |
//! | `z` | `L^-1 y` |

use std::sync::Arc;

use trialog_numerics::{Cholesky, exp};

/// Points evaluated side by side.
pub(crate) const WIDTH: usize = 16;

/// Points by coordinate, and which coordinates are categories.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Inputs {
    pub(crate) len: usize,
    pub(crate) columns: Vec<Vec<f64>>,
    pub(crate) is_category: Vec<bool>,
}

impl Inputs {
    pub(crate) fn new(is_category: Vec<bool>) -> Inputs {
        Inputs { len: 0, columns: vec![Vec::new(); is_category.len()], is_category }
    }

    pub(crate) fn push(&mut self, point: &[f64]) {
        for (column, value) in self.columns.iter_mut().zip(point) {
            column.push(*value);
        }
        self.len += 1;
    }

    pub(crate) fn point(&self, index: usize) -> Vec<f64> {
        self.columns.iter().map(|column| column[index]).collect()
    }

    /// True if the other begins with these points.
    pub(crate) fn is_prefix_of(&self, other: &Inputs) -> bool {
        self.is_category == other.is_category
            && self.len <= other.len
            && self.columns.iter().zip(&other.columns).all(|(a, b)| a[..] == b[..self.len])
    }
}

/// The kernel's parameters.
#[derive(Clone, Debug, PartialEq)]
pub struct Kernel {
    /// One inverse squared length-scale for each coordinate.
    pub theta: Vec<f64>,
    /// The variance of the function.
    pub scale: f64,
    /// The variance of the noise.
    pub noise: f64,
}

impl Kernel {
    /// Where fitting begins.
    pub(crate) fn ones(dims: usize) -> Kernel {
        Kernel { theta: vec![1.0; dims], scale: 1.0, noise: 1.0 }
    }
}

/// The Matern kernel with `nu = 5/2` at a squared distance, and its derivative by it (equation 4.17).
#[inline(always)]
pub(crate) fn matern(squared: f64) -> (f64, f64) {
    let r2 = 5.0 * squared;
    let r = r2.sqrt();
    let e = exp(-r);
    ((1.0 + r + r2 * (1.0 / 3.0)) * e, (-5.0 / 6.0) * (1.0 + r) * e)
}

/// One coordinate's share of the squared distance; for categories the Hamming distance.
#[inline(always)]
pub(crate) fn squared(a: f64, b: f64, is_category: bool) -> f64 {
    if is_category { if a == b { 0.0 } else { 1.0 } } else { (a - b) * (a - b) }
}

/// A process after observations. Points added later without a value (running trials) are seen too: they lower the
/// variance, and what their value would do to the mean is linear in it.
#[derive(Clone, Debug)]
pub(crate) struct Model {
    pub(crate) kernel: Kernel,
    pub(crate) inputs: Arc<Inputs>,
    pub(crate) factor: Arc<Cholesky>,
    /// `L^-1 y`, shorter than the factor by the number of running points.
    z: Vec<f64>,
}

/// What a process expects at a point.
#[derive(Clone, Debug, Default)]
pub(crate) struct Belief {
    pub(crate) mean: f64,
    pub(crate) variance: f64,
    /// By how much the mean rises for each running trial's value, in units of its own uncertainty given those
    /// before it: if these are standard normal numbers, the mean rises by their sum of products.
    pub(crate) running: Vec<f64>,
}

impl Model {
    /// The process with these values at the first inputs. None if the matrix is not positive definite, which a noise
    /// of 1e-6 prevents for all but extreme kernels. `known` is a factor of the same kernel for the first inputs.
    pub(crate) fn new(kernel: Kernel, inputs: Arc<Inputs>, y: &[f64], known: Option<Cholesky>) -> Option<Model> {
        let factor = factorize(&kernel, &inputs, known)?;
        let mut z = y.to_vec();
        factor.solve_lower(&mut z);
        Some(Model { kernel, inputs, factor: Arc::new(factor), z })
    }

    fn running_len(&self) -> usize {
        self.inputs.len - self.z.len()
    }

    /// `k_*` and, if asked for, its derivative by the squared distance.
    fn covariances(&self, point: &[f64], slopes: Option<&mut Vec<f64>>) -> Vec<f64> {
        let inputs = &self.inputs;
        let mut k = vec![0.0; inputs.len];
        for (((column, &x), &theta), &is_category) in
            inputs.columns.iter().zip(point).zip(&self.kernel.theta).zip(&inputs.is_category)
        {
            if is_category {
                for (k, &other) in k.iter_mut().zip(column) {
                    *k += theta * squared(x, other, true);
                }
            } else {
                for (k, &other) in k.iter_mut().zip(column) {
                    *k += theta * squared(x, other, false);
                }
            }
        }
        let scale = self.kernel.scale;
        match slopes {
            None => k.iter_mut().for_each(|k| *k = scale * matern(*k).0),
            Some(slopes) => {
                slopes.clear();
                slopes.resize(k.len(), 0.0);
                for (k, slope) in k.iter_mut().zip(slopes) {
                    let (value, by_square) = matern(*k);
                    (*k, *slope) = (scale * value, scale * by_square);
                }
            }
        }
        k
    }

    fn believe(&self, u: &[f64]) -> Belief {
        let mean = u.iter().zip(&self.z).map(|(u, z)| u * z).sum();
        let variance = (self.kernel.scale - u.iter().map(|u| u * u).sum::<f64>()).max(0.0);
        Belief { mean, variance, running: u[self.z.len()..].to_vec() }
    }

    /// What is expected at a point; `trace` keeps what the gradient needs.
    pub(crate) fn at(&self, point: &[f64], trace: Option<&mut Trace>) -> Belief {
        match trace {
            None => {
                let mut u = self.covariances(point, None);
                self.factor.solve_lower(&mut u);
                self.believe(&u)
            }
            Some(trace) => {
                let mut u = self.covariances(point, Some(&mut trace.slopes));
                self.factor.solve_lower(&mut u);
                trace.u = u;
                self.believe(&trace.u)
            }
        }
    }

    /// Adds to the gradient by the point, given the derivatives by what is expected there.
    pub(crate) fn add_gradient(&self, point: &[f64], trace: &Trace, by: &Belief, gradient: &mut [f64]) {
        let known = self.z.len();
        let mut w: Vec<f64> = trace.u.iter().map(|u| -2.0 * by.variance * u).collect();
        for (w, z) in w.iter_mut().zip(&self.z) {
            *w += by.mean * z;
        }
        for (w, by_running) in w[known..].iter_mut().zip(&by.running) {
            *w += by_running;
        }
        self.factor.solve_upper(&mut w);
        for (w, slope) in w.iter_mut().zip(&trace.slopes) {
            *w *= slope;
        }
        for (d, column) in self.inputs.columns.iter().enumerate() {
            if !self.inputs.is_category[d] {
                let sum: f64 = w.iter().zip(column).map(|(w, other)| w * (point[d] - other)).sum();
                gradient[d] += 2.0 * self.kernel.theta[d] * sum;
            }
        }
    }

    /// What is expected at several points: the same as [`Model::at`] but for rounding. `points` is by coordinate.
    pub(crate) fn at_many(&self, points: &[[f64; WIDTH]], beliefs: &mut [Belief; WIDTH]) {
        let inputs = &self.inputs;
        let mut u = vec![[0.0; WIDTH]; inputs.len];
        for (((column, x), &theta), &is_category) in
            inputs.columns.iter().zip(points).zip(&self.kernel.theta).zip(&inputs.is_category)
        {
            for (u, &other) in u.iter_mut().zip(column) {
                for lane in 0..WIDTH {
                    u[lane] += theta * squared(x[lane], other, is_category);
                }
            }
        }
        let scale = self.kernel.scale;
        for u in &mut u {
            for u in u.iter_mut() {
                *u = scale * matern(*u).0;
            }
        }
        self.factor.solve_lower_wide(&mut u);
        let (mut means, mut squares) = ([0.0; WIDTH], [0.0; WIDTH]);
        for (u, z) in u.iter().zip(&self.z) {
            for lane in 0..WIDTH {
                means[lane] += u[lane] * z;
            }
        }
        for u in &u {
            for lane in 0..WIDTH {
                squares[lane] += u[lane] * u[lane];
            }
        }
        for (lane, belief) in beliefs.iter_mut().enumerate() {
            belief.mean = means[lane];
            belief.variance = (scale - squares[lane]).max(0.0);
            belief.running.clear();
            belief.running.extend(u[self.z.len()..].iter().map(|u| u[lane]));
        }
    }

    /// What the mean and the deviation of each running trial are, given those before it: its value is the mean,
    /// plus products with the standard normal numbers up to its own.
    pub(crate) fn running_beliefs(&self) -> Vec<Belief> {
        let known = self.z.len();
        let belief = |r: usize| {
            let row = self.factor.row(known + r);
            let mean = row.iter().zip(&self.z).map(|(l, z)| l * z).sum();
            Belief { mean, variance: 0.0, running: row[known..].to_vec() }
        };
        (0..self.running_len()).map(belief).collect()
    }
}

/// What the gradient needs of an evaluation.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trace {
    u: Vec<f64>,
    slopes: Vec<f64>,
}

/// The factor of `K + noise I`, going on from a known one for the first inputs.
pub(crate) fn factorize(kernel: &Kernel, inputs: &Inputs, known: Option<Cholesky>) -> Option<Cholesky> {
    let mut factor = known.unwrap_or_default();
    let mut row = Vec::with_capacity(inputs.len);
    for i in factor.len()..inputs.len {
        row.clear();
        row.resize(i, 0.0);
        for ((column, &theta), &is_category) in inputs.columns.iter().zip(&kernel.theta).zip(&inputs.is_category) {
            let x = column[i];
            for (row, &other) in row.iter_mut().zip(column) {
                *row += theta * squared(x, other, is_category);
            }
        }
        for value in &mut row {
            *value = kernel.scale * matern(*value).0;
        }
        row.push(kernel.scale + kernel.noise);
        if !factor.push(&row) {
            return None;
        }
    }
    Some(factor)
}
