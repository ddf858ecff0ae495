//! Which of some points has the largest ratio of two densities: of most it is enough to know that they do not have it.
//!
//! Each point's density lies in an interval, which is narrowed by opening the tree's node that may add most (best first), leaf
//! by leaf, until the intervals no longer overlap (branch and bound). A point beside many observations is out of the race
//! after the first leaves, and only those that are left look at all that they can see.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use libm::log;
use trialog_numerics::{HALF_LN_TAU, exp};

use super::{Form, Growing, GrowingAxis, LEAST};
use crate::parzen::density::{Density, NEGLIGIBLE_NATS, q_of_cell_beyond_bound};
use crate::parzen::mixture::{FULL, Mixture, Ramp, choice_probabilities};
use crate::parzen::tree::{Kind, LEAF, Tree};
use crate::parzen::widths::Widths;

/// Ratios closer than this, in nats and relative to their size, are for the plain computation to decide.
const CLOSE: f64 = 1e-8;

/// A node that adds less than this of what is there already cannot be seen.
const UNSEEN: f64 = 1e-17;

/// An exponent this large is too near to the end of the doubles.
const EXPONENT_MAX: f64 = 600.0;

/// A node whose kernels' shares may be this many nats apart is not bounded from below.
const LOOSE: f64 = 12.0;

/// What the race of some points came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// This one has the largest ratio, and no other point comes close.
    Winner(usize),
    /// One of these has, and they are too close to tell.
    Close(Vec<usize>),
    /// Nothing can be said.
    Unknown,
}

/// A point on an axis.
pub(super) enum Coordinate<'a> {
    Number(f64),
    /// The middle and half the width of a cell.
    Cell {
        middle: f64,
        half: f64,
    },
    /// `q` of a kernel in each cell, and the point's own cell.
    Row(&'a [f64], usize),
    /// The choice, and `q` of a kernel there and elsewhere.
    Choice(f64, f64, f64),
}

/// A point before the density.
pub(super) struct Probe<'a> {
    pub(super) coordinates: Vec<Coordinate<'a>>,
    /// `ln` of the prior's kernel.
    pub(super) log_prior: f64,
    /// The exponent of a kernel with `q = 0`, relative to the prior's.
    pub(super) base: f64,
}

/// A point in the race.
#[derive(Debug)]
pub(super) struct Runner {
    /// Which point it is.
    point: usize,
    /// What is known exactly.
    exact: f64,
    open: BinaryHeap<Open>,
    /// How many leaves were opened.
    leaves: usize,
    pub(super) low: f64,
    pub(super) high: f64,
    /// By how much the other density is above the prior's kernel there.
    above: f64,
    /// Between what the ratio lies, but for what all have in common.
    least: f64,
    most: f64,
}

impl Runner {
    /// One of which everything is known.
    pub(super) fn arrived(point: usize, exact: f64) -> Runner {
        let (open, leaves) = (BinaryHeap::new(), 0);
        Runner { point, exact, open, leaves, low: exact, high: exact, above: 0.0, least: 0.0, most: 0.0 }
    }

    fn measure(&mut self) {
        self.least = self.above - log(self.high);
        self.most = self.above - log(self.low);
    }
}

/// A node that was not opened, and between what its sum lies.
#[derive(Clone, Copy, Debug)]
struct Open {
    node: u32,
    low: f64,
    high: f64,
}

impl Ord for Open {
    fn cmp(&self, other: &Open) -> Ordering {
        self.high.total_cmp(&other.high).then(self.node.cmp(&other.node))
    }
}

impl PartialOrd for Open {
    fn partial_cmp(&self, other: &Open) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Open {
    fn eq(&self, other: &Open) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Open {}

impl Growing {
    /// At which of the points `other` has the largest `ln` density above this one.
    pub(crate) fn largest_log_ratio(&mut self, other: &Density<'_>, points: &[Vec<f64>]) -> Outcome {
        if self.len() < LEAST {
            return Outcome::Unknown;
        }
        self.refresh();
        for GrowingAxis { index, form } in &mut self.forms {
            points.iter().for_each(|point| form.fill_row(point[*index]));
        }
        let ramp = self.weights.ramp(self.len());
        let scale = Scale::new(ramp, self);
        let others = other.log_densities(points);
        let probes: Vec<Probe<'_>> = points.iter().map(|point| self.probe(point)).collect();
        let exact = self.sums_apart(ramp, &probes, points);
        // Equal points have equal densities, and the first of them stands for all.
        let racing: Vec<usize> = (0..points.len()).filter(|&at| !points[..at].contains(&points[at])).collect();
        let usable = |at: &usize| {
            let probe = &probes[*at];
            others[*at].is_finite() && probe.base < EXPONENT_MAX && exact[*at].is_finite()
        };
        if !racing.iter().all(usable) {
            return Outcome::Unknown;
        }
        let mut runners: Vec<Runner> = match &self.sums {
            Some(sums) => {
                let probes: Vec<&Probe<'_>> = racing.iter().map(|&at| &probes[at]).collect();
                let shares = sums.at(&probes, (&self.tree, &self.ranks), &scale);
                racing.iter().zip(shares).map(|(&at, share)| Runner::arrived(at, exact[at] + share)).collect()
            }
            None => racing.iter().map(|&at| self.runner(at, exact[at], &scale)).collect(),
        };
        for runner in &mut runners {
            runner.above = others[runner.point] - probes[runner.point].log_prior;
            runner.measure();
        }
        loop {
            let mut leader = 0;
            let mut rival: Option<usize> = None;
            for at in 1..runners.len() {
                if runners[at].most > runners[leader].most {
                    rival = Some(leader);
                    leader = at;
                } else if rival.is_none_or(|rival| runners[at].most > runners[rival].most) {
                    rival = Some(at);
                }
            }
            let Runner { point, least: floor, .. } = runners[leader];
            let close = CLOSE * (1.0 + others[point].abs() + probes[point].log_prior.abs());
            let Some(rival) = rival else { return Outcome::Winner(point) };
            if !floor.is_finite() {
                return Outcome::Unknown;
            }
            if floor > runners[rival].most + close {
                return Outcome::Winner(point);
            }
            // The wider interval is narrowed.
            let width = |at: usize| runners[at].most - runners[at].least;
            let next = if width(leader) >= width(rival) { leader } else { rival };
            if runners[next].open.is_empty() || width(next) <= 0.25 * close {
                let near = runners.iter().filter(|runner| runner.most + close >= floor);
                return Outcome::Close(near.map(|runner| runner.point).collect());
            }
            let next = &mut runners[next];
            self.advance(next, &probes[next.point], &scale);
            next.measure();
        }
    }

    /// For each point what the prior and the wide kernels add up to, relative to the prior.
    pub(super) fn sums_apart(&self, ramp: Ramp, probes: &[Probe<'_>], points: &[Vec<f64>]) -> Vec<f64> {
        if self.apart.is_empty() {
            return vec![1.0; points.len()];
        }
        let slots: Vec<usize> = self.apart.iter().filter_map(|&number| self.tree.slot(number)).collect();
        let mut places = vec![vec![0.0; slots.len()]; self.axes.len()];
        let mut widths = vec![Widths::none(); self.axes.len()];
        for (at, GrowingAxis { index, form }) in self.forms.iter().enumerate() {
            let column = &self.tree.places[at];
            places[*index] = slots.iter().map(|&slot| form.mu(column[slot])).collect();
            if let Form::Units { floor, .. } | Form::Table { floor, .. } = form {
                let of = |&(number, sigma): &(usize, f64)| {
                    self.apart.binary_search(&(number as u32)).ok().map(|at| (at, sigma))
                };
                let wide = self.wide[at].iter().filter_map(of).collect();
                widths[*index] = Widths { floor: *floor, wide, all_inside: true };
            }
        }
        let mut weights: Vec<f64> = self
            .apart
            .iter()
            .map(|&number| ramp.weight(self.ranks.rank(number)) / self.options.prior_weight)
            .collect();
        weights.push(1.0);
        let prior_weight = self.options.prior_weight;
        let part = Mixture::part(&self.axes, places, widths, weights, prior_weight, self.len() + 1);
        let sums = Density::new(&part).log_densities(points);
        sums.iter().zip(probes).map(|(sum, probe)| libm::exp(sum - probe.log_prior)).collect()
    }

    pub(super) fn probe(&self, point: &[f64]) -> Probe<'_> {
        let mut probe = Probe { coordinates: Vec::with_capacity(self.forms.len()), log_prior: 0.0, base: 0.0 };
        for GrowingAxis { index, form } in &self.forms {
            let value = point[*index];
            probe.coordinates.push(match form {
                Form::Choices(choices) => {
                    let (hit, miss) = choice_probabilities(*choices, self.options.prior_weight, self.len() + 1);
                    probe.log_prior -= log(*choices as f64);
                    Coordinate::Choice(value, -2.0 * log(hit), -2.0 * log(miss))
                }
                Form::Units { axis, floor, .. } => {
                    probe.log_prior += axis.log_prior(value);
                    let (middle, half) = axis.cell(value);
                    let middle = (middle - axis.low) / floor;
                    if axis.has_grid() {
                        let half = half / floor;
                        // A cell has at most its width times the largest density in it.
                        probe.base += log(2.0 * half) - HALF_LN_TAU;
                        Coordinate::Cell { middle, half }
                    } else {
                        probe.base -= HALF_LN_TAU + axis.log_per_value(*floor);
                        Coordinate::Number(middle)
                    }
                }
                Form::Table { axis, rows, .. } => {
                    probe.log_prior += axis.log_prior(value);
                    let cell = axis.nearest_cell(value);
                    Coordinate::Row(rows.get(cell).and_then(|row| row.as_deref()).unwrap_or(&[]), cell)
                }
            });
        }
        probe.base -= probe.log_prior;
        probe
    }

    pub(super) fn runner(&self, point: usize, exact: f64, scale: &Scale) -> Runner {
        let node = self.tree.node(Tree::ROOT);
        let high = scale.most(node.mass, node.moment) * libm::exp(EXPONENT_MAX);
        let mut open = BinaryHeap::with_capacity(64);
        open.push(Open { node: Tree::ROOT, low: 0.0, high });
        Runner { open, high: exact + high, ..Runner::arrived(point, exact) }
    }

    /// Opens nodes, those that may add most first: one leaf, or more of them the more were opened before.
    pub(super) fn advance(&self, runner: &mut Runner, probe: &Probe<'_>, scale: &Scale) {
        let upto = runner.leaves + 1 + runner.leaves / 4;
        while runner.leaves < upto
            && let Some(Open { node, .. }) = runner.open.pop()
        {
            match self.tree.node(node).kind {
                Kind::Leaf(leaf) => {
                    runner.exact += self.leaf_sum(node, leaf, probe, scale, runner.exact);
                    runner.leaves += 1;
                }
                Kind::Inner { children, .. } => {
                    let children = children.map(|child| self.interval(child, probe, scale));
                    runner.open.extend(children.into_iter().filter(|open| open.high > UNSEEN * runner.exact));
                }
            }
        }
        // Taken anew each time: what is added and taken away again leaves traces.
        runner.low = runner.exact + runner.open.iter().map(|open| open.low).sum::<f64>();
        runner.high = runner.exact + runner.open.iter().map(|open| open.high).sum::<f64>();
    }

    /// Between what a node's sum lies, relative to the prior.
    fn interval(&self, node: u32, probe: &Probe<'_>, scale: &Scale) -> Open {
        let (mut nearest, mut farthest) = (0.0, 0.0);
        for (coordinate, &[low, high]) in probe.coordinates.iter().zip(self.tree.bounds(node)) {
            let (near, far) = coordinate.q_between(low, high);
            nearest += near;
            farthest += far;
        }
        // Out of sight of the prior whatever the node weighs, as most are.
        if 0.5 * nearest > probe.base + scale.log_out_of_sight {
            return Open { node, low: 0.0, high: 0.0 };
        }
        let tree_node = self.tree.node(node);
        let high = scale.most(tree_node.mass, tree_node.moment) * exp(probe.base - 0.5 * nearest);
        let low = if 0.5 * (farthest - nearest) < LOOSE {
            scale.least(tree_node.mass, tree_node.moment) * exp(probe.base - 0.5 * farthest)
        } else {
            0.0
        };
        Open { node, low, high }
    }

    /// What a leaf's kernels add up to, relative to the prior.
    fn leaf_sum(&self, node: u32, leaf: u32, probe: &Probe<'_>, scale: &Scale, known: f64) -> f64 {
        let slots = self.tree.slots_of(node, leaf);
        let mut all = [0.0; LEAF];
        let q = &mut all[..slots.len()];
        for (coordinate, column) in probe.coordinates.iter().zip(&self.tree.places) {
            coordinate.add_to(q, &column[slots.clone()]);
        }
        // As much as any kernel may weigh; a kernel at the end of the range has half of its mass in it.
        let log_heaviest = scale.log_heaviest + std::f64::consts::LN_2 * probe.coordinates.len() as f64;
        let limit = 2.0 * (probe.base + log_heaviest - log(known) + NEGLIGIBLE_NATS);
        let mut sum = 0.0;
        for (k, &q) in q.iter().enumerate() {
            let slot = slots.start + k;
            let factor = self.tree.factors[slot];
            if !(q < limit && factor > 0.0) {
                continue;
            }
            let mut q = q;
            for (coordinate, column) in probe.coordinates.iter().zip(&self.tree.places) {
                if let Coordinate::Cell { middle, half } = coordinate {
                    q += q_of_cell_beyond_bound(middle - column[slot], *half);
                }
            }
            let weight = scale.ramp.weight(self.ranks.rank(self.tree.numbers[slot]));
            sum += weight * factor * exp(probe.base - 0.5 * q);
        }
        sum / scale.prior_weight
    }
}

/// Weights relative to the prior's.
pub(super) struct Scale {
    pub(super) ramp: Ramp,
    pub(super) prior_weight: f64,
    log_heaviest: f64,
    /// All observations together, as heavy as they can be, cannot be seen beside the prior from this exponent on.
    log_out_of_sight: f64,
    risen: f64,
    fallen: f64,
}

impl Scale {
    pub(super) fn new(ramp: Ramp, growing: &Growing) -> Scale {
        let prior_weight = growing.options.prior_weight;
        // Weights are 1 from the end of the line on.
        let line = if ramp.length == 0 { Ramp { start: 1.0, slope: 0.0, ..ramp } } else { ramp };
        Scale {
            ramp: line,
            prior_weight,
            log_heaviest: -log(prior_weight),
            log_out_of_sight: log(growing.tree.node(Tree::ROOT).mass / prior_weight / UNSEEN).max(0.0),
            risen: growing.risen as f64,
            fallen: growing.fallen as f64,
        }
    }

    /// No less than the weight of a node. Along the line a weight is `start + slope rank`, and a rank is what it was
    /// when it was entered, give or take what came and went since.
    fn most(&self, mass: f64, moment: f64) -> f64 {
        (self.ramp.start * mass + self.ramp.slope * (moment + self.risen * mass)) / self.prior_weight
    }

    /// No more than the weight of a node: the line goes beyond 1 for the newest observations, which have 1.
    fn least(&self, mass: f64, moment: f64) -> f64 {
        let line = self.ramp.start * mass + self.ramp.slope * (moment - self.fallen * mass);
        let beyond = 1.0 + self.ramp.slope * FULL as f64;
        f64::max(line, self.ramp.start * mass) / (beyond * self.prior_weight)
    }
}

impl Coordinate<'_> {
    /// Bounds of `q` for kernels whose places are in a range: of the nearest and of the farthest that may be there.
    #[inline]
    fn q_between(&self, low: f64, high: f64) -> (f64, f64) {
        match *self {
            Coordinate::Number(x) => {
                let near = f64::max(low - x, x - high).max(0.0);
                let far = f64::max(high - x, x - low);
                (near * near, far * far)
            }
            Coordinate::Cell { middle, half } => {
                let near = f64::max(low - middle, middle - high).max(0.0);
                let far = f64::max(high - middle, middle - low);
                let bound = (near - half).max(0.0);
                // Far from everything the difference does not matter.
                if bound > 12.0 {
                    return (bound * bound, (far + half) * (far + half));
                }
                let at_far = (far - half).max(0.0);
                (
                    bound * bound + q_of_cell_beyond_bound(near, half),
                    at_far * at_far + q_of_cell_beyond_bound(far, half),
                )
            }
            Coordinate::Row(row, cell) => {
                let (low, high) = (low.max(0.0) as usize, high.max(0.0) as usize);
                let at = |cell: usize| row.get(cell).copied().unwrap_or(f64::INFINITY);
                (at(cell.clamp(low, high.max(low))), f64::max(at(low), at(high)))
            }
            Coordinate::Choice(x, hit, miss) => {
                if low == high {
                    let q = if low == x { hit } else { miss };
                    (q, q)
                } else if low <= x && x <= high {
                    (hit, miss)
                } else {
                    (miss, miss)
                }
            }
        }
    }

    /// Adds `q` of each kernel; of a cell what its nearest point would have.
    #[inline]
    fn add_to(&self, q: &mut [f64], places: &[f64]) {
        match *self {
            Coordinate::Number(x) => {
                for (q, place) in q.iter_mut().zip(places) {
                    *q += (x - place) * (x - place);
                }
            }
            Coordinate::Cell { middle, half } => {
                for (q, place) in q.iter_mut().zip(places) {
                    let t = ((middle - place).abs() - half).max(0.0);
                    *q += t * t;
                }
            }
            Coordinate::Row(row, _) => {
                for (q, &place) in q.iter_mut().zip(places) {
                    *q += row.get(place as usize).copied().unwrap_or(f64::INFINITY);
                }
            }
            Coordinate::Choice(x, hit, miss) => {
                for (q, &place) in q.iter_mut().zip(places) {
                    *q += if place == x { hit } else { miss };
                }
            }
        }
    }
}
