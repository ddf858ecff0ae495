//! Halton's sequence, any point of any of its first thousand dimensions by itself, plain or scrambled.

use crate::Stream;

/// One dimension of Halton's sequence: van der Corput's in a prime base (Halton, "On the efficiency of certain
/// quasi-random sequences of points in evaluating multi-dimensional integrals", Numerische Mathematik 2, 1960).
#[derive(Clone, Debug)]
pub struct Halton {
    base: u32,
    /// For each digit what it is replaced by; empty where nothing is.
    permutations: Vec<Vec<u32>>,
}

impl Halton {
    /// How many dimensions there are, as many as of [`Sobol`](crate::Sobol).
    pub const DIMS: usize = 1000;

    /// A dimension, counted from 0; none beyond the last.
    #[must_use]
    pub fn new(dim: usize) -> Option<Halton> {
        let is_prime = |n: u32| (2..).take_while(|d| d * d <= n).all(|d| !n.is_multiple_of(d));
        let base = (2..).filter(|&n| is_prime(n)).take(Halton::DIMS).nth(dim)?;
        Some(Halton { base, permutations: Vec::new() })
    }

    /// The dimension with a random permutation for each digit (Owen, "A randomized Halton algorithm in R", 2017):
    /// every coordinate is uniform, and the regular patterns of large bases are gone.
    #[must_use]
    pub fn scrambled(dim: usize, stream: &mut Stream) -> Option<Halton> {
        let mut plain = Halton::new(dim)?;
        let base = plain.base;
        // As many digits as a double can tell apart: those beyond the index's own are zeros, and are replaced too.
        let mut resolved = 1.0;
        while resolved * f64::from(base) <= (1_u64 << 53) as f64 {
            resolved *= f64::from(base);
            let mut permutation: Vec<u32> = (0..base).collect();
            for last in (1..base as usize).rev() {
                permutation.swap(last, stream.below(last as u64 + 1) as usize);
            }
            plain.permutations.push(permutation);
        }
        Some(plain)
    }

    /// The coordinate of a point, counted from 0: in `[0, 1)`.
    #[must_use]
    #[inline]
    pub fn at(&self, index: u32) -> f64 {
        let per_base = 1.0 / f64::from(self.base);
        let (mut rest, mut unit, mut value) = (index, per_base, 0.0);
        if self.permutations.is_empty() {
            while rest != 0 {
                value += f64::from(rest % self.base) * unit;
                rest /= self.base;
                unit *= per_base;
            }
        }
        for permutation in &self.permutations {
            value += f64::from(permutation[(rest % self.base) as usize]) * unit;
            rest /= self.base;
            unit *= per_base;
        }
        value.min(1.0 - f64::EPSILON / 2.0)
    }
}
