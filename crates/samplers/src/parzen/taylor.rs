//! What a node's kernels add up to at a point, from moments of their places about the node's centre: close bounds of it at
//! a cost that does not depend on how many kernels there are.
//!
//! With `d` a kernel's place less the centre and `t` the point less the centre, in deviations,
//! `exp(-|t - d|^2 / 2) = exp(-|t|^2 / 2) exp(-|d|^2 / 2) exp(t d)`. The last factor is its Taylor polynomial of odd degree
//! `D - 1` and a remainder `a^D h(a)` of `a = t d`, where `h(a) = sum a^k / (D + k)!` is positive and rises with `a`. So
//! the sum over kernels lies between what `h(-r)` and `h(r)` make of it, if no `|a|` is above `r`. Of `h` it is
//! enough to know that `1 - r / (D + 1) <= D! h(-r)` (the series alternates and its terms fall) and
//! `D! h(r) <= 1 / (1 - r / (D + 1))` (a geometric series bounds it). The expansion is that of Greengard and Strain,
//! "The fast Gauss transform", SIAM Journal on Scientific and Statistical Computing 12 (1991), as Yang, Duraiswami and
//! Gumerov factor it, "Improved fast Gauss transform and efficient kernel density estimation" (ICCV 2003), section 3.1;
//! the two-sided remainder is ours.

use trialog_numerics::exp;

/// Up to which degree moments go along so many axes, one or more. Along more axes kernels do not crowd, and there would be
/// too many moments.
const DEGREES: [usize; AXES_MAX] = [8, 6, 4];
const AXES_MAX: usize = 3;

/// No more terms than this: 3 axes up to the fourth degree have 35. A power of two, so that an index can be kept below it.
const TERMS_MAX: usize = 64;

/// Rounding in sums of up to a million kernels, relative to the sum of what is added.
const ROUNDING: f64 = 1e-9;

/// A product of coordinates: an earlier one times one more coordinate.
#[derive(Clone, Copy, Debug)]
struct Term {
    before: u8,
    axis: u8,
    /// One over how often the coordinate is in it.
    share: f64,
}

/// Which moments there are. A node has twice as many numbers: each moment of the kernels' masses, and of masses times
/// ranks.
#[derive(Clone, Debug)]
pub(super) struct Taylor {
    degree: usize,
    terms: Vec<Term>,
    /// Where the terms of the last degree begin.
    last: usize,
}

/// Lower and upper bounds of a sum of masses, and of masses times ranks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Between {
    pub(super) low: [f64; 2],
    pub(super) high: [f64; 2],
}

/// The coordinates of a place, of which those beyond the number of axes are 0.
pub(super) type Place = [f64; AXES_MAX + 1];

impl Taylor {
    /// The moments along so many axes; none if they are none or too many.
    pub(super) fn new(axes: usize) -> Option<Taylor> {
        let degree = *DEGREES.get(axes.checked_sub(1)?)?;
        let mut terms = vec![Term { before: 0, axis: 0, share: 1.0 }];
        let mut last = 0;
        for _ in 0..degree {
            let first = std::mem::replace(&mut last, terms.len());
            for before in first..last {
                // Coordinates in order, so that each product is there once.
                let from = if before == 0 { 0 } else { terms[before].axis };
                for axis in from..axes as u8 {
                    let (mut times, mut at) = (1.0, before);
                    while at != 0 && terms[at].axis == axis {
                        times += 1.0;
                        at = usize::from(terms[at].before);
                    }
                    terms.push(Term { before: before as u8, axis, share: 1.0 / times });
                }
            }
        }
        Some(Taylor { degree, terms, last })
    }

    /// How many numbers a node has.
    pub(super) fn len(&self) -> usize {
        2 * self.terms.len()
    }

    /// No `|a|` may be above this.
    pub(super) fn reach_max(&self) -> f64 {
        0.5 * (self.degree + 1) as f64
    }

    /// Adds a kernel at this distance from the centre.
    pub(super) fn add(&self, sums: &mut [f64], d: &Place, mass: f64, rank: f64) {
        let square: f64 = d.iter().map(|d| d * d).sum();
        let mut products = [0.0; TERMS_MAX];
        products[0] = mass * exp(-0.5 * square);
        for (at, (term, sums)) in self.terms.iter().zip(sums.chunks_exact_mut(2)).enumerate() {
            if at > 0 {
                let before = products[usize::from(term.before) % TERMS_MAX];
                products[at % TERMS_MAX] = before * d[usize::from(term.axis) % d.len()] * term.share;
            }
            let product = products[at % TERMS_MAX];
            sums[0] += product;
            sums[1] += product * rank;
        }
    }

    /// Between what the sums lie of a node at this distance from a point, but for `exp(-|t|^2 / 2)`, if no `|a|` is above
    /// `reach`, which is no more than [`Taylor::reach_max`].
    pub(super) fn between(&self, sums: &[f64], t: &Place, reach: f64) -> Between {
        let mut products = [0.0; TERMS_MAX];
        products[0] = 1.0;
        let mut parts = [[0.0; 2]; 2];
        let mut at = 0;
        for (part, end) in parts.iter_mut().zip([self.last, self.terms.len()]) {
            for (term, sums) in self.terms[at..end].iter().zip(sums[2 * at..].chunks_exact(2)) {
                if at > 0 {
                    let before = products[usize::from(term.before) % TERMS_MAX];
                    products[at % TERMS_MAX] = before * t[usize::from(term.axis) % t.len()];
                }
                let product = products[at % TERMS_MAX];
                part[0] += product * sums[0];
                part[1] += product * sums[1];
                at += 1;
            }
        }
        let [sure, rest] = parts;
        let step = reach / (self.degree + 1) as f64;
        let (least, most) = (1.0 - step, 1.0 / (1.0 - step));
        let low = |k: usize| (sure[k] + least * rest[k] - ROUNDING * sums[k]).max(0.0);
        let high = |k: usize| sure[k] + most * rest[k] + ROUNDING * sums[k];
        Between { low: [low(0), low(1)], high: [high(0), high(1)] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use trialog_numerics::Stream;

    /// The sums of kernels with ranks about a centre at a point, by the definition, and between what they lie. Distances from the
    /// centre are up to `half` along each axis; the bounds are told that they are up to `told`.
    fn check(axes: usize, kernels: usize, point: Place, [half, told]: [f64; 2]) {
        let taylor = Taylor::new(axes).unwrap();
        let mut stream = Stream::new(&[axes as u64, kernels as u64]);
        let mut sums = vec![0.0; taylor.len()];
        let mut expected = [0.0; 2];
        for _ in 0..kernels {
            let mut d = Place::default();
            d[..axes].fill_with(|| half * (2.0 * stream.uniform() - 1.0));
            let (mass, rank) = (1.0 + stream.uniform(), 1000.0 * stream.uniform());
            taylor.add(&mut sums, &d, mass, rank);
            let square: f64 = point.iter().zip(d).map(|(t, d)| (t - d) * (t - d)).sum();
            expected[0] += mass * exp(-0.5 * square);
            expected[1] += mass * exp(-0.5 * square) * rank;
        }
        let reach = point.iter().map(|t| t.abs() * told).sum::<f64>();
        assert!(reach <= taylor.reach_max());
        let between = taylor.between(&sums, &point, reach);
        let factor = exp(-0.5 * point.iter().map(|t| t * t).sum::<f64>());
        for (k, expected) in expected.into_iter().enumerate() {
            let [low, high] = [between.low[k], between.high[k]].map(|sum| sum * factor);
            assert!(low <= expected && expected <= high, "out of bounds: {low} {expected} {high} at {point:?}");
            // What is left open falls with the power of the degree and one more.
            let open = (high - low) / expected;
            let width =
                4.0 * (reach / taylor.reach_max()).powi(taylor.degree as i32 + 1) + 4.0 * ROUNDING * exp(reach);
            assert!(open <= width, "{open} is more than {width} at {point:?}");
        }
    }

    fn points(axes: usize) -> Vec<Place> {
        let mut stream = Stream::new(&[7]);
        let point = |most: f64, stream: &mut Stream| {
            let mut point = Place::default();
            point[..axes].fill_with(|| most * (2.0 * stream.uniform() - 1.0));
            point
        };
        (0..200).map(|at| point(0.02 * f64::from(at), &mut stream)).collect()
    }

    #[test]
    fn sums_are_within_their_bounds() {
        for axes in 1..=AXES_MAX {
            for point in points(axes) {
                for half in [0.0, 0.01, 0.1, 0.2] {
                    check(axes, 40, point, [half; 2]);
                    check(axes, 1, point, [half; 2]);
                }
            }
        }
    }

    /// Kernels that are farther from the centre than is said.
    #[test]
    #[should_panic(expected = "out of bounds")]
    fn canary() {
        check(2, 40, [2.0, 1.0, 0.0, 0.0], [0.8, 0.02]);
    }

    #[test]
    fn each_product_is_there_once() {
        let terms = |axes| Taylor::new(axes).map(|taylor| taylor.terms.len());
        assert_eq!([0, 1, 2, 3, 4].map(terms), [None, Some(9), Some(28), Some(35), None]);
    }
}
