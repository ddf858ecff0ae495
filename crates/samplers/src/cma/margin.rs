//! The margin that keeps every axis of a grid moving: Hamano, Saito, Nomura and Shirakawa, "CMA-ES with margin:
//! lower-bounding marginal probability for mixed-integer black-box optimization" (GECCO 2022). Equations are theirs.

use libm::{exp, log};
use trialog_numerics::{ndtr, ndtri};

/// The stretches of one axis that stand for the values of a grid.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Cells {
    /// Equally wide.
    Even {
        /// Where the first one begins.
        start: f64,
        /// How wide each is.
        width: f64,
        /// How many there are.
        count: f64,
    },
    /// Around each whole number, on a logarithmic axis.
    Log {
        /// The lowest number.
        low: f64,
        /// How many there are.
        count: f64,
        /// The logarithm at the beginning of the unit interval.
        start: f64,
        /// The logarithms that it spans.
        width: f64,
    },
}

impl Cells {
    fn count(&self) -> f64 {
        match *self {
            Cells::Even { count, .. } | Cells::Log { count, .. } => count,
        }
    }

    /// Which cell a place is in.
    fn index(&self, place: f64) -> f64 {
        let index = match *self {
            Cells::Even { start, width, .. } => ((place - start) / width).floor(),
            Cells::Log { low, start, width, .. } => exp(start + place * width).round() - low,
        };
        index.max(0.0).min(self.count() - 1.0)
    }

    /// The border between a cell and the next one.
    fn border(&self, index: f64) -> f64 {
        match *self {
            Cells::Even { start, width, .. } => start + (index + 1.0) * width,
            Cells::Log { low, start, width, .. } => (log(low + index + 0.5) - start) / width,
        }
    }

    /// The borders on both sides of a place; the same twice at either end.
    fn borders(&self, place: f64) -> (f64, f64) {
        let (index, last) = (self.index(place), self.count() - 2.0);
        (self.border((index - 1.0).max(0.0).min(last)), self.border(index.min(last)))
    }
}

/// The correction of one distribution.
#[derive(Clone, Debug)]
pub struct Margin {
    alpha: f64,
    /// For each axis, if it is a grid.
    cells: Vec<Option<Cells>>,
    /// The diagonal of A.
    spread: Vec<f64>,
}

impl Margin {
    /// Leaves each neighbour of the mean's cell at least half of `alpha`; the authors recommend one over the product of
    /// dimensions and population. Grids have at least two cells.
    #[must_use]
    pub fn new(cells: Vec<Option<Cells>>, alpha: f64) -> Margin {
        Margin { alpha, spread: vec![1.0; cells.len()], cells }
    }

    pub(super) fn spread(&self) -> &[f64] {
        &self.spread
    }

    pub(super) fn has(&self, axis: usize) -> bool {
        self.cells[axis].is_some()
    }

    /// Where a sampled place counts, which for a grid is farther from the mean.
    pub(super) fn counted(&self, axis: usize, place: f64, mean: f64) -> f64 {
        (place - mean) * self.spread[axis] + mean
    }

    /// Moves the mean and widens the spread until the margin is kept.
    pub(super) fn correct(&mut self, mean: &mut [f64], sigma: f64, variance: impl Fn(usize) -> f64) {
        let half = self.alpha / 2.0;
        for (axis, cells) in self.cells.iter().enumerate() {
            let Some(cells) = cells else { continue };
            let (low_border, high_border) = cells.borders(mean[axis]);
            let deviation = sigma * variance(axis).sqrt();
            let scale = deviation * self.spread[axis];
            let low = ndtr((low_border - mean[axis]) / scale);
            let high = ndtr(-(high_border - mean[axis]) / scale);
            let middle = 1.0 - (low + high);
            if low_border == high_border || low.max(high) > 0.5 {
                // Equations 10 and 11: at an end of the grid the mean comes nearer to the border.
                if low.min(high) < self.alpha && mean[axis] != high_border {
                    let distance = -scale * ndtri(self.alpha);
                    mean[axis] = high_border + distance.copysign(mean[axis] - high_border);
                }
                continue;
            }
            // Equations 12 to 15.
            let (low, high) = (low.max(half), high.max(half));
            let excess = (1.0 - low - high - middle) / (low + middle + high - 3.0 * half);
            let bound = |share: f64| share.clamp(1e-10, 0.5 - 1e-10);
            let (low, high) = (bound(low + excess * (low - half)), bound(high + excess * (high - half)));
            // Equations 16 and 17: the mean and the spread that give these shares.
            let (low, high) = (-ndtri(low), -ndtri(high));
            self.spread[axis] = (high_border - low_border) / ((low + high) * deviation);
            mean[axis] = (low_border * high + high_border * low) / (low + high);
        }
    }
}
