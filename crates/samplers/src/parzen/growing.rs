//! A density of many observations that come and go one at a time, without being laid out anew for each suggestion.
//!
//! With magic clipping and a hundred kernels or more the smallest deviation no longer changes, and nearly all kernels
//! have it along every axis: those are in a [`Tree`]. The few that stand beside a gap are wider; they are kept apart and
//! evaluated one by one. Only the largest ratio of two densities is asked for, so that of most points it is enough to
//! know that they are not the largest: each point's density lies in an interval, which is narrowed by opening nodes of
//! the tree until the intervals no longer overlap (branch and bound).

use libm::log;
use trialog_numerics::{HALF_LN_TAU, exp, log_gauss_mass_around};

use super::axis::{Axis, NumericAxis};
use super::density::{Density, NEGLIGIBLE_NATS, q_of_cell_beyond_bound};
use super::groups::{TABLE_CELLS, mass_inside};
use super::mixture::{KernelOptions, Mixture, Ramp, Weights, choice_probabilities};
use super::tree::{Extent, Kind, LEAF, Tree};
use super::widths::{CELLS_MAX, Cells, Widths};

/// Ratios closer than this, in nats and relative to their size, are for the plain computation to decide.
const CLOSE: f64 = 1e-8;

/// With fewer observations than this the deviations may change with their number.
const LEAST: usize = 2 * CELLS_MAX;

/// A node that adds less than this of what is there already cannot be seen.
const UNSEEN: f64 = 1e-17;

/// An exponent this large is too near to the end of the doubles.
const EXPONENT_MAX: f64 = 600.0;

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

/// The observations of an axis that distinguishes kernels.
#[derive(Clone, Debug)]
struct GrowingAxis {
    /// Which axis it is.
    index: usize,
    form: Form,
}

#[derive(Clone, Debug)]
enum Form {
    /// Real numbers, or a grid too large for a table; places are coordinates in units of the floor.
    Units { axis: NumericAxis, floor: f64, cells: Box<Cells> },
    /// A small grid; places are cells. For each cell that was asked for, `q` of a kernel in each cell.
    Table { axis: NumericAxis, floor: f64, cells: Box<Cells>, rows: Vec<Option<Box<[f64]>>> },
    /// Choices.
    Choices(usize),
}

/// A point on an axis.
enum Coordinate<'a> {
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
struct Probe<'a> {
    coordinates: Vec<Coordinate<'a>>,
    /// `ln` of the prior's kernel.
    log_prior: f64,
    /// The exponent of a kernel with `q = 0`, relative to the prior's.
    base: f64,
}

/// A point in the race.
struct Runner {
    /// What is known exactly.
    exact: f64,
    open: Vec<Open>,
    low: f64,
    high: f64,
    /// How large a node's interval may be, relative to the sum.
    grain: f64,
}

/// A node that was not opened, and between what its sum lies.
#[derive(Clone, Copy)]
struct Open {
    node: u32,
    low: f64,
    high: f64,
}

/// Observations, each with the number of its trial, and their density.
#[derive(Clone, Debug)]
pub(crate) struct Growing {
    axes: Vec<Axis>,
    forms: Vec<GrowingAxis>,
    options: KernelOptions,
    weights: Weights,
    ranks: super::ranks::Ranks,
    tree: Tree,
    /// The observations that are wider than the floor along some axis, by number.
    apart: Vec<u32>,
    /// For each form the deviations of the wide ones, by number.
    wide: Vec<Vec<(usize, f64)>>,
    is_stale: bool,
    /// How many observations came below others, and how many went, since ranks were last renewed: by so much a rank may
    /// have grown or fallen.
    risen: usize,
    fallen: usize,
}

/// An observation cannot be had here: its value is outside the range or off the grid.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OutOfPlace;

impl Growing {
    /// The density of no observations yet; none if the options leave no floor or no prior to build on.
    pub(crate) fn new(axes: &[Axis], weights: Weights, options: KernelOptions) -> Option<Growing> {
        if !options.magic_clip || options.prior_weight <= 0.0 {
            return None;
        }
        let mut forms = Vec::new();
        for (index, axis) in axes.iter().enumerate() {
            let form = match *axis {
                Axis::Pinned(_) => continue,
                Axis::Categorical { choices } => Form::Choices(choices),
                Axis::Numeric(axis) => {
                    let floor = axis.width() / CELLS_MAX as f64;
                    let cells = Box::new(Cells::new(&axis, floor));
                    if axis.cells() <= TABLE_CELLS as f64 {
                        Form::Table { axis, floor, cells, rows: vec![None; axis.cells() as usize] }
                    } else {
                        Form::Units { axis, floor, cells }
                    }
                }
            };
            forms.push(GrowingAxis { index, form });
        }
        if forms.is_empty() {
            return None;
        }
        let extents = forms.iter().map(|axis| match &axis.form {
            Form::Units { .. } => Extent::Deviations(1.0),
            Form::Table { axis, floor, .. } => Extent::Deviations(axis.width() / axis.cells() / floor),
            Form::Choices(_) => Extent::Choices,
        });
        Some(Growing {
            axes: axes.to_vec(),
            options,
            weights,
            ranks: super::ranks::Ranks::default(),
            tree: Tree::new(extents.collect()),
            apart: Vec::new(),
            wide: vec![Vec::new(); forms.len()],
            forms,
            is_stale: false,
            risen: 0,
            fallen: 0,
        })
    }

    /// How many observations there are.
    pub(crate) fn len(&self) -> usize {
        self.ranks.len()
    }

    /// Adds many observations to none: their numbers, rising, and for each axis their values in internal form.
    pub(crate) fn load(&mut self, numbers: &[u32], columns: &[Vec<f64>]) -> Result<(), OutOfPlace> {
        let mut places = Vec::with_capacity(numbers.len() * self.forms.len());
        let (mut kept, mut factors) = (Vec::with_capacity(numbers.len()), Vec::with_capacity(numbers.len()));
        for (row, &number) in numbers.iter().enumerate() {
            let start = places.len();
            match self.place(|axis| columns[axis][row], &mut places)? {
                Some(factor) => {
                    kept.push(number);
                    factors.push(factor);
                    self.ranks.insert(number);
                    self.enter_cells(number, &places[start..]);
                }
                None => places.truncate(start),
            }
        }
        self.tree.load(&kept, &factors, &places);
        self.is_stale = true;
        Ok(())
    }

    /// Makes a trial an observation with these values in internal form, or none if there are no values. A value that has
    /// no place on its axis makes it none, too.
    pub(crate) fn set(&mut self, number: u32, values: Option<&[f64]>) -> Result<(), OutOfPlace> {
        let mut places = Vec::with_capacity(self.forms.len());
        let factor = match values {
            Some(values) => self.place(|axis| values[axis], &mut places)?,
            None => None,
        };
        let before: Option<Vec<f64>> =
            self.tree.slot(number).map(|slot| self.tree.places.iter().map(|column| column[slot]).collect());
        if factor.is_some() && before.as_ref() == Some(&places) {
            return Ok(());
        }
        if let Some(before) = before {
            self.leave_cells(number, &before);
            self.ranks.remove(number);
            self.tree.remove(number);
            self.apart.retain(|&other| other != number);
            self.fallen += 1;
            self.is_stale = true;
        }
        if let Some(factor) = factor {
            self.risen += usize::from(!self.ranks.all_below(number));
            self.tree.insert(number, &places, factor, self.ranks.rank(number) as f64);
            self.ranks.insert(number);
            self.enter_cells(number, &places);
            self.is_stale = true;
        }
        Ok(())
    }

    /// An observation's places, and the factor that makes up for its mass outside the range; none if it has no place.
    fn place(&self, value: impl Fn(usize) -> f64, places: &mut Vec<f64>) -> Result<Option<f64>, OutOfPlace> {
        let mut factor = 1.0;
        for GrowingAxis { index, form } in &self.forms {
            let value = value(*index);
            match form {
                Form::Choices(choices) => {
                    if !(value >= 0.0 && value < *choices as f64 && value.fract() == 0.0) {
                        return Ok(None);
                    }
                    places.push(value);
                }
                Form::Units { axis, floor, .. } | Form::Table { axis, floor, .. } => {
                    let mu = axis.place(value);
                    if !mu.is_finite() {
                        return Ok(None);
                    }
                    if !axis.contains(mu) {
                        return Err(OutOfPlace);
                    }
                    factor /= mass_inside((mu - axis.low) / floor, (axis.high - mu) / floor);
                    places.push(if matches!(form, Form::Table { .. }) {
                        axis.cell_at(mu, TABLE_CELLS).ok_or(OutOfPlace)? as f64
                    } else {
                        (mu - axis.low) / floor
                    });
                }
            }
        }
        Ok(Some(factor))
    }

    fn enter_cells(&mut self, number: u32, places: &[f64]) {
        for (axis, &place) in self.forms.iter_mut().zip(places) {
            if let Some((mu, cells)) = axis.form.coordinate(place) {
                cells.insert(mu, number as usize);
            }
        }
    }

    fn leave_cells(&mut self, number: u32, places: &[f64]) {
        for (axis, &place) in self.forms.iter_mut().zip(places) {
            if let Some((mu, cells)) = axis.form.coordinate(place) {
                cells.remove(mu, number as usize);
            }
        }
    }

    /// Finds out anew which observations are wide, and renews ranks that are too uncertain.
    fn refresh(&mut self) {
        if !self.is_stale {
            return;
        }
        self.is_stale = false;
        let n = self.len();
        let mut apart: Vec<u32> = Vec::new();
        for (at, axis) in self.forms.iter_mut().enumerate() {
            let tree = &self.tree;
            let (numeric, floor, cells, unit) = match &mut axis.form {
                Form::Choices(_) => continue,
                Form::Units { axis, floor, cells } => (*axis, *floor, cells, *floor),
                Form::Table { axis, floor, cells, .. } => (*axis, *floor, cells, 0.0),
            };
            cells.refresh(|stretch, with| {
                if unit > 0.0 {
                    let places = stretch.map(|mu| (mu - numeric.low) / unit);
                    tree.visit(at, places, |place, number| with(numeric.low + place * unit, number as usize));
                } else {
                    // The cells of a small grid are few, and looked through.
                    let everywhere = [f64::NEG_INFINITY, f64::INFINITY];
                    tree.visit(at, everywhere, |cell, number| {
                        with(numeric.place_of_cell(cell as usize), number as usize);
                    });
                }
            });
            self.wide[at] = cells.widths(&numeric, floor, n, self.options);
            apart.extend(self.wide[at].iter().map(|&(number, _)| number as u32));
        }
        apart.sort_unstable();
        apart.dedup();
        for &number in self.apart.iter().filter(|number| apart.binary_search(number).is_err()) {
            self.tree.set_counts(number, true);
        }
        for &number in apart.iter().filter(|number| self.apart.binary_search(number).is_err()) {
            self.tree.set_counts(number, false);
        }
        self.apart = apart;
        if self.risen + self.fallen > 16.max(n / 128) {
            self.tree.renew_ranks(|number| self.ranks.rank(number));
            (self.risen, self.fallen) = (0, 0);
        }
    }

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
        let mut runners: Vec<Runner> = exact.into_iter().map(|exact| self.runner(exact, &scale)).collect();
        // Equal points have equal densities, and the first of them stands for all.
        let mut racing: Vec<usize> = Vec::with_capacity(points.len());
        for at in 0..points.len() {
            if !points[..at].contains(&points[at]) {
                racing.push(at);
            }
        }
        let usable = |at: &usize| {
            let probe = &probes[*at];
            others[*at].is_finite() && probe.base < EXPONENT_MAX && runners[*at].exact.is_finite()
        };
        if !racing.iter().all(usable) {
            return Outcome::Unknown;
        }
        // Between what a point's ratio lies, but for what all have in common.
        let least = |at: usize, runners: &[Runner]| others[at] - probes[at].log_prior - log(runners[at].high);
        let most = |at: usize, runners: &[Runner]| others[at] - probes[at].log_prior - log(runners[at].low);
        loop {
            let mut leader = racing[0];
            let mut rival: Option<usize> = None;
            for &at in &racing[1..] {
                if most(at, &runners) > most(leader, &runners) {
                    rival = Some(leader);
                    leader = at;
                } else if rival.is_none_or(|rival| most(at, &runners) > most(rival, &runners)) {
                    rival = Some(at);
                }
            }
            let floor = least(leader, &runners);
            let close = CLOSE * (1.0 + others[leader].abs() + probes[leader].log_prior.abs());
            let Some(rival) = rival else { return Outcome::Winner(leader) };
            if !floor.is_finite() {
                return Outcome::Unknown;
            }
            if floor > most(rival, &runners) + close {
                return Outcome::Winner(leader);
            }
            // The wider interval is narrowed.
            let width = |at: usize| most(at, &runners) - least(at, &runners);
            let next = if width(leader) >= width(rival) { leader } else { rival };
            if runners[next].open.is_empty() || width(next) <= 0.25 * close {
                let near = |at: &usize| most(*at, &runners) + close >= floor;
                return Outcome::Close(racing.into_iter().filter(near).collect());
            }
            self.advance(&mut runners[next], &probes[next], &scale);
        }
    }

    /// For each point what the prior and the wide kernels add up to, relative to the prior.
    fn sums_apart(&self, ramp: Ramp, probes: &[Probe<'_>], points: &[Vec<f64>]) -> Vec<f64> {
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

    fn probe(&self, point: &[f64]) -> Probe<'_> {
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

    fn runner(&self, exact: f64, scale: &Scale) -> Runner {
        let node = self.tree.node(Tree::ROOT);
        let high = scale.most(node.mass, node.moment) * libm::exp(EXPONENT_MAX);
        let open = vec![Open { node: Tree::ROOT, low: 0.0, high }];
        Runner { exact, open, low: exact, high: exact + high, grain: 1.0 / 32.0 }
    }

    /// Opens nodes until those that are left are small beside the sum, by a finer measure each time.
    fn advance(&self, runner: &mut Runner, probe: &Probe<'_>, scale: &Scale) {
        let mut known = runner.low;
        let mut left: Vec<Open> = Vec::with_capacity(runner.open.len());
        let mut stack: Vec<Open> = Vec::with_capacity(64);
        for open in std::mem::take(&mut runner.open) {
            if open.high - open.low > runner.grain * known { stack.push(open) } else { left.push(open) }
        }
        while let Some(open) = stack.pop() {
            // What is known has grown since this node was put aside.
            if open.high - open.low <= runner.grain * known {
                left.push(open);
                continue;
            }
            known -= open.low;
            match self.tree.node(open.node).kind {
                Kind::Leaf(leaf) => {
                    let sum = self.leaf_sum(open.node, leaf, probe, scale, known);
                    runner.exact += sum;
                    known += sum;
                }
                Kind::Inner { children, .. } => {
                    let [a, b] = children.map(|child| self.interval(child, probe, scale));
                    let (near, far) = if a.high >= b.high { (a, b) } else { (b, a) };
                    known += near.low + far.low;
                    for open in [far, near] {
                        if open.high > UNSEEN * known {
                            stack.push(open);
                        }
                    }
                }
            }
        }
        runner.grain = if runner.grain > 1e-12 { runner.grain / 8.0 } else { 0.0 };
        runner.low = runner.exact + left.iter().map(|open| open.low).sum::<f64>();
        runner.high = runner.exact + left.iter().map(|open| open.high).sum::<f64>();
        runner.open = left;
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
        let low = scale.least(tree_node.mass, tree_node.moment) * exp(probe.base - 0.5 * farthest);
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
struct Scale {
    ramp: Ramp,
    prior_weight: f64,
    log_heaviest: f64,
    /// All observations together, as heavy as they can be, cannot be seen beside the prior from this exponent on.
    log_out_of_sight: f64,
    risen: f64,
    fallen: f64,
}

impl Scale {
    fn new(ramp: Ramp, growing: &Growing) -> Scale {
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
        let beyond = 1.0 + self.ramp.slope * super::mixture::FULL as f64;
        f64::max(line, self.ramp.start * mass) / (beyond * self.prior_weight)
    }
}

impl Form {
    /// A place as a coordinate, for an axis of numbers.
    fn mu(&self, place: f64) -> f64 {
        match self {
            Form::Choices(_) => place,
            Form::Units { axis, floor, .. } => axis.low + place * floor,
            Form::Table { axis, .. } => axis.place_of_cell(place as usize),
        }
    }

    fn coordinate(&mut self, place: f64) -> Option<(f64, &mut Cells)> {
        let mu = self.mu(place);
        match self {
            Form::Choices(_) => None,
            Form::Units { cells, .. } | Form::Table { cells, .. } => Some((mu, cells)),
        }
    }

    /// Sees to it that a point's row is there.
    fn fill_row(&mut self, value: f64) {
        let Form::Table { axis, floor, rows, .. } = self else { return };
        let cell = axis.nearest_cell(value);
        let (middle, half) = axis.cell(axis.value_of_cell(cell));
        if let Some(row @ None) = rows.get_mut(cell) {
            let cells = 0..axis.cells() as usize;
            let q = |other: usize| {
                -2.0 * log_gauss_mass_around((middle - axis.place_of_cell(other)) / *floor, half / *floor)
            };
            *row = Some(cells.map(q).collect());
        }
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

#[cfg(test)]
mod tests;
