//! What many kernels of one deviation along one axis add up to, as a table: the sums at nodes, and a polynomial between
//! them. A point costs the same at any number of kernels, and a kernel that comes or goes costs the nodes within reach.
//!
//! Stretches are two deviations long and have twenty Chebyshev nodes. With Cramer's bound on the derivatives of
//! `exp(-d^2 / 2)` (Abramowitz and Stegun 22.14.17) the polynomial is off by at most
//! `2 (1/2)^20 1.09 / sqrt(20!) = 1.3e-15` of `exp(-d^2 / 4)`, where `d` is the distance. The polynomial through
//! the nodes is taken in the barycentric form: Berrut and Trefethen, "Barycentric Lagrange interpolation", SIAM Review 46
//! (2004), equations 4.2 and 5.3.

use std::f64::consts::PI;

use libm::{cos, floor, sin};
use trialog_numerics::exp;

use super::series::Series;

/// Nodes of a stretch.
const NODES: usize = 20;

/// How long a stretch is, in deviations.
const SPAN: f64 = 2.0;

/// `exp(-SPAN^2)`.
const FALL: f64 = 0.018_315_638_888_734_18;

/// Farther away a kernel has less than `exp(-50)` of its height, and is left out.
const REACH: f64 = 10.0;

/// From so many kernels on series fill the table faster than the kernels themselves.
const SERIES_MIN: usize = 2000;

/// Nodes and weights of the quadrature by Gauss and Legendre on `[-1, 1]` with five points (Abramowitz and Stegun
/// 25.4.30): over a panel of half a deviation it is off by less than `1e-13` of `exp(-d^2 / 4)`.
const QUADRATURE: [(f64, f64); 5] = [
    (-0.906_179_845_938_664, 0.236_926_885_056_189_08),
    (-0.538_469_310_105_683_1, 0.478_628_670_499_366_47),
    (0.0, 0.568_888_888_888_888_9),
    (0.538_469_310_105_683_1, 0.478_628_670_499_366_47),
    (0.906_179_845_938_664, 0.236_926_885_056_189_08),
];

/// How long a panel of the quadrature may be.
const PANEL: f64 = 0.5;

/// The nodes of a range. A table holds a number for each of them, stretch by stretch.
#[derive(Clone, Debug)]
pub(super) struct Line {
    /// Where in a stretch the nodes are, and their barycentric weights.
    nodes: [f64; NODES],
    factors: [f64; NODES],
    stretches: usize,
}

impl Line {
    /// The nodes of a range that is so many deviations long.
    pub(super) fn new(length: f64) -> Line {
        let angle = |k: usize| (k as f64 + 0.5) * PI / NODES as f64;
        Line {
            nodes: std::array::from_fn(|k| 0.5 * SPAN * (1.0 + cos(angle(k)))),
            factors: std::array::from_fn(|k| if k % 2 == 0 { sin(angle(k)) } else { -sin(angle(k)) }),
            stretches: (length / SPAN).ceil().max(1.0) as usize,
        }
    }

    /// How many numbers a table has.
    pub(super) fn len(&self) -> usize {
        self.stretches * NODES
    }

    /// A kernel's heights at the nodes within its reach, and where in a table they begin.
    ///
    /// From one stretch to the next the distance `d` of a node grows by the span `s`, and so the height by the factor
    /// `exp(-s d - s^2 / 2)`, which itself falls by `exp(-s^2)` each time.
    pub(super) fn heights(&self, place: f64, heights: &mut Vec<f64>) -> usize {
        let stretches = self.stretches as f64;
        let first = floor((place - REACH) / SPAN).clamp(0.0, stretches) as usize;
        let end = (floor((place + REACH) / SPAN) + 1.0).clamp(0.0, stretches) as usize;
        heights.clear();
        heights.resize((end - first) * NODES, 0.0);
        // The stretch that the place is in, or the nearest one.
        let own = (floor(place / SPAN).clamp(0.0, stretches - 1.0) as usize).clamp(first, end.max(first + 1) - 1);
        let distances = self.nodes.map(|node| node + own as f64 * SPAN - place);
        let height = distances.map(|d| exp(-0.5 * d * d));
        let mut step = |sign: f64, stretches: &mut dyn Iterator<Item = usize>| {
            let mut height = height;
            let mut factors = distances.map(|d| exp(-sign * SPAN * d - 0.5 * SPAN * SPAN));
            for stretch in stretches {
                for (height, factor) in height.iter_mut().zip(&mut factors) {
                    *height *= *factor;
                    *factor *= FALL;
                }
                heights[(stretch - first) * NODES..][..NODES].copy_from_slice(&height);
            }
        };
        step(1.0, &mut (own + 1..end));
        step(-1.0, &mut (first..own).rev());
        if let Some(heights) = heights.get_mut((own - first) * NODES..(own - first + 1) * NODES) {
            heights.copy_from_slice(&height);
        }
        first * NODES
    }

    /// Adds many kernels to a table, each a place and a weight, or takes them away if the sign is negative.
    pub(super) fn add_to(&self, table: &mut [f64], kernels: &[(f64, f64)], sign: f64) {
        if kernels.len() < SERIES_MIN {
            let mut heights = Vec::new();
            for &(place, weight) in kernels {
                let start = self.heights(place, &mut heights);
                table[start..].iter_mut().zip(&heights).for_each(|(sum, height)| *sum += sign * weight * height);
            }
            return;
        }
        let series = Series::new(0.0, 1.0, kernels.iter().copied());
        for (stretch, values) in table.chunks_exact_mut(NODES).enumerate() {
            for (value, node) in values.iter_mut().zip(self.nodes) {
                *value += sign * series.at(stretch as f64 * SPAN + node, -0.5 * REACH * REACH);
            }
        }
    }

    /// What two tables have at a point.
    pub(super) fn at(&self, x: f64, tables: [&[f64]; 2]) -> [f64; 2] {
        let stretch = floor(x / SPAN).clamp(0.0, (self.stretches - 1) as f64) as usize;
        let x = x - stretch as f64 * SPAN;
        let values = tables.map(|table| &table[stretch * NODES..][..NODES]);
        let mut shares = [0.0; NODES];
        for ((share, factor), node) in shares.iter_mut().zip(self.factors).zip(self.nodes) {
            *share = factor / (x - node);
        }
        if let Some(node) = self.nodes.iter().position(|&node| node == x) {
            return values.map(|values| values[node]);
        }
        let total: f64 = shares.iter().sum();
        // Where nearly nothing is, rounding may leave a trace below zero.
        values.map(|values| (values.iter().zip(&shares).map(|(a, b)| a * b).sum::<f64>() / total).max(0.0))
    }
}

/// The mean of a function over a cell, which is smooth at the scale of a deviation.
pub(super) fn mean_over(middle: f64, half: f64, at: impl Fn(f64) -> f64) -> f64 {
    let panels = (2.0 * half / PANEL).ceil().max(1.0);
    let reach = half / panels;
    let mut sum = 0.0;
    for panel in 0..panels as usize {
        let centre = middle - half + (2 * panel + 1) as f64 * reach;
        sum += QUADRATURE.iter().map(|(node, weight)| weight * at(centre + node * reach)).sum::<f64>();
    }
    sum / (2.0 * panels)
}
