//! Which of some points has the largest ratio of two densities: of most it is enough to know that they do not have it.
//!
//! Each point's density lies in an interval, which is narrowed by opening the tree's node that may add most (best first), leaf
//! by leaf, until the intervals no longer overlap (branch and bound). A point beside many observations is out of the race
//! after the first leaves, and only those that are left look at all that they can see.

use libm::log;
use trialog_numerics::{HALF_LN_TAU, exp, ln, narrow_mass_excess};

use super::{Form, Growing, GrowingAxis, LEAST};
use crate::parzen::density::{Density, EQUAL, NEGLIGIBLE_NATS, q_of_cell_beyond_bound};
use crate::parzen::mixture::{FULL, Mixture, Ramp, choice_probabilities};
use crate::parzen::taylor::Place;
use crate::parzen::tree::{Kind, LEAF, Tree};
use crate::parzen::widths::Widths;

/// How far a ratio may be off, in nats and relative to its size. What this leaves open is for the plain computation to
/// decide.
const CLOSE: f64 = 5e-9;

/// A node that adds less than this of what is there already is not seen. Of a hundred thousand such nodes no more than a tenth of
/// [`CLOSE`] is left out.
const UNSEEN: f64 = 5e-15;

/// An exponent this large is too near to the end of the doubles.
const EXPONENT_MAX: f64 = 600.0;

/// A node whose kernels' shares may be this many nats apart is not bounded from below.
const LOOSE: f64 = 12.0;

/// Nodes are opened together if their bounds are as far apart as this part of the farthest.
const WIDE: f64 = 0.4;

/// What the race of some points came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// This one has the largest ratio, or is the first of those that equal it.
    Winner(usize),
    /// One of these is, and it is too close to tell.
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
    /// The numbers among them, and the middles of cells, as far as there is room.
    place: Place,
    /// All of them, if they are numbers without a grid.
    numbers: Vec<f64>,
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
    /// The share of the prior and of the wide kernels, which the density is no less than.
    apart: f64,
    /// What is known exactly. At first the newest observations are missing what the line gives them too much.
    exact: f64,
    open: Vec<Open>,
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
        Runner {
            point,
            apart: exact,
            exact,
            open: Vec::new(),
            low: exact,
            high: exact,
            above: 0.0,
            least: 0.0,
            most: 0.0,
        }
    }

    fn measure(&mut self) {
        self.least = self.above - log_of_sum(self.high);
        self.most = self.above - log_of_sum(self.low);
    }
}

/// A node that was not opened, and between what its sum lies.
#[derive(Clone, Copy, Debug)]
struct Open {
    node: u32,
    low: f64,
    high: f64,
}

impl Open {
    fn width(&self) -> f64 {
        self.high - self.low
    }
}

impl Growing {
    /// At which of the points `other` has the largest `ln` density above this one, in the sense of
    /// [`Density::largest_log_ratio`].
    pub(crate) fn largest_log_ratio(&mut self, other: &Density<'_>, points: &[Vec<f64>]) -> Outcome {
        if self.len() < LEAST {
            return Outcome::Unknown;
        }
        self.asked += 1;
        self.refresh();
        for GrowingAxis { index, form } in &mut self.forms {
            points.iter().for_each(|point| form.fill_row(point[*index]));
        }
        let ramp = self.weights.ramp(self.len());
        let scale = Scale::new(ramp, self);
        let others = other.log_densities(points);
        let probes: Vec<Probe<'_>> = points.iter().map(|point| self.probe(point)).collect();
        let apart = self.sums_apart(ramp, &probes, points);
        // Equal points have equal densities, and the first of them stands for all.
        let racing: Vec<usize> = (0..points.len()).filter(|&at| !points[..at].contains(&points[at])).collect();
        let usable = |at: &usize| {
            let probe = &probes[*at];
            others[*at].is_finite() && probe.base < EXPONENT_MAX && apart[*at].is_finite()
        };
        if !racing.iter().all(usable) {
            return Outcome::Unknown;
        }
        let mut runners: Vec<Runner> = match &self.sums {
            Some(sums) => {
                let probes: Vec<&Probe<'_>> = racing.iter().map(|&at| &probes[at]).collect();
                let shares = sums.at(&probes, (&self.tree, &self.ranks), &scale);
                racing.iter().zip(shares).map(|(&at, share)| Runner::arrived(at, apart[at] + share)).collect()
            }
            None => {
                let newest = self.newest(&scale);
                racing.iter().map(|&at| self.runner(at, apart[at], &probes[at], &newest, &scale)).collect()
            }
        };
        for runner in &mut runners {
            runner.above = others[runner.point] - probes[runner.point].log_prior;
            runner.measure();
        }
        loop {
            let mut leader = 0;
            let mut rival = 0;
            for at in 1..runners.len() {
                if runners[at].most > runners[leader].most {
                    (leader, rival) = (at, leader);
                } else if rival == leader || runners[at].most > runners[rival].most {
                    rival = at;
                }
            }
            let Runner { point, most: ceiling, .. } = runners[leader];
            let floor = runners.iter().map(|runner| runner.least).fold(f64::NEG_INFINITY, f64::max);
            if !floor.is_finite() {
                return Outcome::Unknown;
            }
            // The largest ratio is between floor and ceiling, and those that may equal it are still in the race.
            let close = CLOSE * (1.0 + others[point].abs() + probes[point].log_prior.abs());
            let in_race = |runner: &Runner| runner.most >= floor - EQUAL - close;
            let first = runners.iter().position(in_race).unwrap_or(leader);
            let is_alone = first == leader && (rival == leader || !in_race(&runners[rival]));
            if is_alone || runners[first].least >= ceiling - EQUAL + close {
                return Outcome::Winner(runners[first].point);
            }
            // The widest interval that matters is narrowed.
            let width = |at: usize| runners[at].most - runners[at].least;
            let wider = |a: usize, b: usize| if width(a) >= width(b) { a } else { b };
            let next = wider(wider(leader, rival), first);
            let apart = width(next);
            if runners[next].open.is_empty() || apart.is_nan() || apart <= 0.25 * close {
                let near = runners.iter().filter(|runner| in_race(runner));
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
        let mut probe = Probe {
            coordinates: Vec::with_capacity(self.forms.len()),
            place: Place::default(),
            numbers: Vec::with_capacity(self.forms.len()),
            log_prior: 0.0,
            base: 0.0,
        };
        let mut numbers = 0;
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
                    if let Some(place) = probe.place.get_mut(numbers) {
                        *place = middle;
                    }
                    numbers += 1;
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
        for coordinate in &probe.coordinates {
            match *coordinate {
                Coordinate::Number(x) => probe.numbers.push(x),
                _ => {
                    probe.numbers.clear();
                    break;
                }
            }
        }
        probe
    }

    /// The newest observations, whose weight is 1 and not what the line beyond its end would give them: their places, and
    /// what is to be added to their weights.
    pub(super) fn newest(&self, scale: &Scale) -> Newest {
        let mut newest = Newest { places: vec![Vec::new(); self.forms.len()], weights: Vec::new() };
        let Ramp { length, start, slope } = scale.ramp;
        if slope > 0.0 {
            for number in self.ranks.from(self.ranks.start_of_last(FULL)) {
                let rank = self.ranks.rank(number);
                let Some(slot) = self.tree.slot(number).filter(|_| rank >= length) else { continue };
                newest.weights.push(self.tree.factors[slot] * (1.0 - (start + slope * rank as f64)));
                newest.places.iter_mut().zip(&self.tree.places).for_each(|(to, from)| to.push(from[slot]));
            }
        }
        newest
    }

    /// A point at the start, of which the share of the prior and of the wide kernels is known.
    pub(super) fn runner(
        &self,
        point: usize,
        apart: f64,
        probe: &Probe<'_>,
        newest: &Newest,
        scale: &Scale,
    ) -> Runner {
        let root = self.interval(Tree::ROOT, probe, scale, scale.sight(probe, apart));
        let mut open = Vec::with_capacity(64);
        open.push(root);
        let places = newest.places.iter().map(Vec::as_slice);
        let exact = apart + scale.sum(probe, places, |k| newest.weights[k], newest.weights.len(), apart);
        Runner { open, exact, high: apart + root.high, ..Runner::arrived(point, apart) }
    }

    /// Opens the nodes whose bounds are farthest apart, and of what is in them again those whose bounds are.
    pub(super) fn advance(&self, runner: &mut Runner, probe: &Probe<'_>, scale: &Scale) {
        let widest = runner.open.iter().map(Open::width).fold(0.0, f64::max);
        let (sight, least) = (scale.sight(probe, runner.low), UNSEEN * runner.low);
        let mut at = 0;
        while let Some(&Open { node, .. }) = runner.open.get(at).filter(|_| widest > 0.0) {
            if runner.open[at].width() < WIDE * widest {
                at += 1;
                continue;
            }
            runner.open.swap_remove(at);
            match self.tree.node(node).kind {
                Kind::Leaf(leaf) => {
                    runner.exact += self.leaf_sum(node, leaf, probe, scale, runner.low);
                }
                Kind::Inner { children, .. } => {
                    for child in children {
                        let open = self.interval(child, probe, scale, sight);
                        if open.high > least {
                            runner.open.push(open);
                        }
                    }
                }
            }
        }
        // Taken anew each time: what is added and taken away again leaves traces.
        let low = runner.exact + runner.open.iter().map(|open| open.low).sum::<f64>();
        runner.low = low.max(runner.apart);
        runner.high = runner.exact + runner.open.iter().map(|open| open.high).sum::<f64>();
    }

    /// Between what a node's sum lies, relative to the prior.
    ///
    /// Beyond `sight`, as most are, it adds no more than a trace to what is known, whatever it weighs.
    fn interval(&self, node: u32, probe: &Probe<'_>, scale: &Scale, sight: f64) -> Open {
        let bounds = self.tree.bounds(node);
        let (mut nearest, mut farthest) = (0.0, 0.0);
        if probe.numbers.is_empty() {
            for (coordinate, &[low, high]) in probe.coordinates.iter().zip(bounds) {
                let (near, far) = coordinate.q_between(low, high);
                nearest += near;
                farthest += far;
            }
        } else {
            for (x, [low, high]) in probe.numbers.iter().zip(bounds) {
                let (below, above) = (low - x, x - high);
                let near = larger(larger(below, above), 0.0);
                let far = larger(-below, -above);
                nearest += near * near;
                farthest += far * far;
            }
        }
        if nearest > sight {
            return Open { node, low: 0.0, high: 0.0 };
        }
        if let Some(open) = self.interval_by_moments(node, probe, scale) {
            return open;
        }
        let tree_node = self.tree.node(node);
        let high = scale.most(tree_node.mass, tree_node.moment) * exp(probe.base - 0.5 * nearest);
        let low = if 0.5 * (farthest - nearest) < LOOSE {
            scale.least([tree_node.mass, tree_node.moment], tree_node.mass) * exp(probe.base - 0.5 * farthest)
        } else {
            0.0
        };
        Open { node, low, high }
    }

    /// The same from a node's moments, where they are of use. Along the other axes it is the bounds of `q` that count.
    fn interval_by_moments(&self, node: u32, probe: &Probe<'_>, scale: &Scale) -> Option<Open> {
        let (sums, square) = self.tree.between(node, &probe.place)?;
        let (mut least, mut most) = (square, square);
        for (coordinate, &[low, high]) in probe.coordinates.iter().zip(self.tree.bounds(node)) {
            let (near, far) = coordinate.q_beside_square(low, high)?;
            least += near;
            most += far;
        }
        let top = exp(probe.base - 0.5 * least);
        let bottom = if most == least { top } else { exp(probe.base - 0.5 * most) };
        let [mass, moment] = sums.high;
        let high = top * scale.most(mass, moment);
        let low = bottom * scale.least(sums.low, mass);
        Some(Open { node, low, high })
    }

    /// What a leaf's kernels add up to, relative to the prior, with weights on the line.
    fn leaf_sum(&self, node: u32, leaf: u32, probe: &Probe<'_>, scale: &Scale, known: f64) -> f64 {
        let slots = self.tree.slots_of(node, leaf);
        let (start, count) = (slots.start, slots.len());
        let places = self.tree.places.iter().map(|column| &column[slots.clone()]);
        let Ramp { start: lowest, slope, .. } = scale.ramp;
        let factors = &self.tree.factors[slots.clone()];
        if scale.risen + scale.fallen == 0.0 {
            let ranks = &self.tree.ranks[slots.clone()];
            return scale.sum(probe, places, |k| factors[k] * (lowest + slope * ranks[k]), count, known);
        }
        let rank = |k: usize| self.ranks.rank(self.tree.numbers[start + k]) as f64;
        scale.sum(probe, places, |k| factors[k] * (lowest + slope * rank(k)), count, known)
    }
}

/// See [`Growing::newest`].
pub(super) struct Newest {
    places: Vec<Vec<f64>>,
    weights: Vec<f64>,
}

/// Weights relative to the prior's.
pub(super) struct Scale {
    pub(super) ramp: Ramp,
    pub(super) prior_weight: f64,
    log_heaviest: f64,
    /// All observations together, as heavy as they can be, cannot be seen beside the prior from this many nats on.
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
            log_out_of_sight: log(growing.tree.node(Tree::ROOT).mass / prior_weight / UNSEEN),
            risen: growing.risen as f64,
            fallen: growing.fallen as f64,
        }
    }

    /// From which `q` on all observations together cannot be seen beside what is known at a point.
    fn sight(&self, probe: &Probe<'_>, known: f64) -> f64 {
        2.0 * (probe.base + self.log_out_of_sight - log_of_sum(known))
    }

    /// No less than the weight of a node. Along the line a weight is `start + slope rank`, and a rank is what it was
    /// when it was entered, give or take what came and went since.
    fn most(&self, mass: f64, moment: f64) -> f64 {
        (self.ramp.start * mass + self.ramp.slope * (moment + self.risen * mass)) / self.prior_weight
    }

    /// No more than the weight of a node, from lower bounds of its mass and moment and an upper one of the mass.
    fn least(&self, [mass, moment]: [f64; 2], mass_most: f64) -> f64 {
        let by_rank = (moment - self.fallen * mass_most).max(0.0);
        (self.ramp.start * mass + self.ramp.slope * by_rank) / self.prior_weight
    }

    /// What up to a leaf's worth of kernels add up to, relative to the prior: their places along each axis, and their weights. Those
    /// that cannot be seen beside what is known are left out.
    fn sum<'a>(
        &self,
        probe: &Probe<'_>,
        places: impl Iterator<Item = &'a [f64]> + Clone,
        weight: impl Fn(usize) -> f64,
        count: usize,
        known: f64,
    ) -> f64 {
        let mut all = [0.0; LEAF];
        let q = &mut all[..count];
        for (coordinate, places) in probe.coordinates.iter().zip(places.clone()) {
            coordinate.add_to(q, places);
        }
        // As much as any kernel may weigh; a kernel at the end of the range has half of its mass in it.
        let log_heaviest = self.log_heaviest + std::f64::consts::LN_2 * probe.coordinates.len() as f64;
        let limit = 2.0 * (probe.base + log_heaviest - log_of_sum(known) + NEGLIGIBLE_NATS);
        let (mut near, mut shares) = ([0_u8; LEAF], [0.0; LEAF]);
        let mut seen = 0;
        for (k, &q) in q.iter().enumerate() {
            // Written without a branch, because which kernels are near is hard to predict.
            shares[seen % LEAF] = q;
            near[seen % LEAF] = k as u8;
            seen += usize::from(q < limit);
        }
        let (near, shares) = (&near[..seen], &mut shares[..seen]);
        for (coordinate, places) in probe.coordinates.iter().zip(places) {
            if let Coordinate::Cell { middle, half } = coordinate {
                for (q, &k) in shares.iter_mut().zip(near) {
                    *q += q_of_cell_beyond_bound(middle - places[usize::from(k)], *half);
                }
            }
        }
        for share in shares.iter_mut() {
            *share = exp(probe.base - 0.5 * *share);
        }
        shares.iter().zip(near).map(|(share, &k)| share * weight(usize::from(k))).sum::<f64>() / self.prior_weight
    }
}

/// The logarithm of a sum, which is no less than the prior's share but may have overflown.
fn log_of_sum(sum: f64) -> f64 {
    if sum < f64::INFINITY { ln(sum) } else { sum }
}

/// The larger of two numbers, neither of which is NaN: one instruction, unlike `f64::max`.
#[inline]
fn larger(a: f64, b: f64) -> f64 {
    if a > b { a } else { b }
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

    /// Bounds of what is in `q` besides the squared distance of a number, or of a cell's middle; none where nothing close can
    /// be said.
    fn q_beside_square(&self, low: f64, high: f64) -> Option<(f64, f64)> {
        match *self {
            Coordinate::Number(_) => Some((0.0, 0.0)),
            Coordinate::Cell { middle, half } => {
                let near = f64::max(low - middle, middle - high).max(0.0);
                let far = f64::max(high - middle, middle - low);
                // The excess rises with the distance: it is the mean of `cosh(distance s) exp(-s^2 / 2)` over the cell.
                let [near, far] = [narrow_mass_excess(near, half)?, narrow_mass_excess(far, half)?];
                Some((-2.0 * ln(1.0 + far), -2.0 * ln(1.0 + near)))
            }
            Coordinate::Row(..) | Coordinate::Choice(..) => Some(self.q_between(low, high)),
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
