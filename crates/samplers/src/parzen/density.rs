//! The density of a [`Mixture`], computed faster than by its definition and equal to it within rounding.
//!
//! Everything is relative to the prior's kernel, which reaches everywhere: an observation whose share at a point is
//! forty nats below what is already there cannot be seen in the sum, and its exponential is not taken. Nearly all
//! kernels share the floor as their deviation along every axis, so that their coordinates are kept in units of it
//! and an exponent is a plain squared distance. Kernels more than seven deviations inside the range lose less than
//! 1.3e-12 of their mass to its ends, and that is left out.
//!
//! In loops over kernels `q` is minus twice an exponent, so that smaller is nearer.

use std::ops::Range;
use std::rc::Rc;

use libm::log;
use trialog_numerics::{HALF_LN_TAU, exp, log_gauss_mass_around, ndtr};

use super::axis::{Axis, NumericAxis};
use super::mixture::Mixture;
use super::widths::Widths;

/// Kernels that are looked at together.
const BLOCK: usize = 256;

/// A share this many nats below the sum is not seen in it.
const NEGLIGIBLE_NATS: f64 = 40.0;

/// This many deviations inside the range a kernel's mass counts as 1.
const INTERIOR: f64 = 7.0;

/// Grids of up to this many cells have a table of the kernels' probabilities of a cell.
const TABLE_CELLS: usize = 256;

/// Axes that are added up between two looks at whether any kernel of a block can still matter.
const AXES_PER_LOOK: usize = 5;

/// A mixture, laid out for evaluation.
#[derive(Debug)]
pub struct Density<'a> {
    mixture: &'a Mixture,
    axes: Vec<FastAxis>,
    /// Observations whose deviation is the floor along every axis without a table.
    floor: Group,
    /// The others.
    wide: Group,
    /// `ln` of the prior's weight; 0 if it has none.
    log_prior_weight: f64,
    has_prior: bool,
}

/// An axis that distinguishes kernels.
#[derive(Debug)]
struct FastAxis {
    /// Which axis of the mixture.
    index: usize,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    /// Numbers, in units of the floor from the low end.
    Units { axis: NumericAxis, floor: f64 },
    /// Choices: minus twice the logarithms of the probabilities of the observed one and of each other one.
    Choices { choices: usize, hit: f64, miss: f64 },
    /// A small grid: the different kernels on it as centre, deviation and logarithm of the mass in the range.
    Table { axis: NumericAxis, entries: Vec<(f64, f64, f64)> },
}

/// Kernels that are evaluated in the same way.
#[derive(Debug, Default)]
struct Group {
    len: usize,
    columns: Vec<Column>,
    /// For each axis of units, the floor over each kernel's deviation; empty in the group in which that is 1.
    inverses: Vec<Vec<f64>>,
    /// The part of `q` that does not depend on the point; empty where it is 0.
    offsets: Vec<f64>,
    /// Weight over the prior's weight, over the mass in the range.
    ratios: Vec<f64>,
    log_ratio_max: f64,
}

#[derive(Debug)]
enum Column {
    /// Units or choices.
    Places(Vec<f64>),
    /// Entries of the table.
    Entries(Vec<u32>),
}

/// A point before a density.
#[derive(Debug)]
struct Probe {
    coordinates: Vec<Coordinate>,
    /// `ln` of the prior's kernel at the point.
    log_prior: f64,
    /// Exponent of a kernel with `q = 0`, relative to the prior's.
    base: f64,
}

#[derive(Clone, Debug)]
enum Coordinate {
    Unit(f64),
    /// The middle and the half width of a cell, in units.
    Cell {
        middle: f64,
        half: f64,
    },
    Choice(f64),
    /// `q` of each entry.
    Table(Rc<[f64]>),
}

/// A value on a small grid, and `q` of each entry there.
type Table = (f64, Rc<[f64]>);

impl<'a> Density<'a> {
    /// Lays out a mixture.
    #[must_use]
    pub fn new(mixture: &'a Mixture) -> Density<'a> {
        let n = mixture.observations();
        let mut layout = Layout { axes: Vec::new(), columns: Vec::new(), is_wide: vec![false; n] };
        for index in 0..mixture.axes.len() {
            layout.add(mixture, index);
        }
        let prior_weight = mixture.weights[n];
        let has_prior = prior_weight > 0.0;
        let reference = if has_prior { prior_weight } else { 1.0 };
        let any_wide = layout.is_wide.contains(&true);
        let wide = if any_wide { layout.group(mixture, reference, true) } else { Group::default() };
        let floor = layout.group(mixture, reference, false);
        Density { mixture, axes: layout.axes, floor, wide, log_prior_weight: log(reference), has_prior }
    }

    /// `ln` of the density at each point in internal form.
    #[must_use]
    pub fn log_densities(&self, points: &[Vec<f64>]) -> Vec<f64> {
        let probes = self.probes(points);
        let value = |(probe, point): (&Probe, &Vec<f64>)| {
            let mut sum = self.start();
            self.add(&self.wide, probe, 0..self.wide.len, &mut sum);
            for block in (0..self.floor.len).step_by(BLOCK) {
                self.add(&self.floor, probe, block..(block + BLOCK).min(self.floor.len), &mut sum);
            }
            self.finish(probe, sum, point)
        };
        probes.iter().zip(points).map(value).collect()
    }

    /// The index of the point at which `other` has the largest `ln` density above this one; the first such point
    /// if there are several.
    ///
    /// A partial sum bounds this density from below and so the difference from above: the points race, the one
    /// with the largest bound goes on, and once that one has arrived no other can pass it.
    #[must_use]
    pub fn largest_log_ratio(&self, other: &Density<'_>, points: &[Vec<f64>]) -> usize {
        let probes = self.probes(points);
        let others = other.log_densities(points);
        let mut racers: Vec<Racer> =
            others.iter().map(|_| Racer { sum: self.start(), next: 0, bound: 0.0 }).collect();
        let blocks = self.floor.len.div_ceil(BLOCK).max(1);
        let advance = |racer: &mut Racer, index: usize| {
            if racer.next == 0 {
                self.add(&self.wide, &probes[index], 0..self.wide.len, &mut racer.sum);
            }
            // The newest kernels first: they weigh most, and new points are near them.
            let end = self.floor.len - racer.next * BLOCK;
            self.add(&self.floor, &probes[index], end.saturating_sub(BLOCK)..end, &mut racer.sum);
            racer.next += 1;
            let log_this = if racer.next < blocks && racer.sum.is_finite() {
                self.log_of(&probes[index], racer.sum)
            } else {
                racer.next = blocks;
                self.finish(&probes[index], racer.sum, &points[index])
            };
            let bound = others[index] - log_this;
            racer.bound = if bound.is_nan() { f64::NEG_INFINITY } else { bound };
        };
        for (index, racer) in racers.iter_mut().enumerate() {
            advance(racer, index);
        }
        loop {
            let mut leader = 0;
            for (index, racer) in racers.iter().enumerate() {
                if racer.bound > racers[leader].bound {
                    leader = index;
                }
            }
            match racers.get_mut(leader) {
                Some(racer) if racer.next < blocks => advance(racer, leader),
                _ => return leader,
            }
        }
    }

    /// What the sum over kernels begins with: the prior's share, to which all others are relative.
    fn start(&self) -> f64 {
        if self.has_prior { 1.0 } else { 0.0 }
    }

    fn log_of(&self, probe: &Probe, sum: f64) -> f64 {
        self.log_prior_weight + probe.log_prior + log(sum)
    }

    /// `ln` of the density from a whole sum; by the definition if the sum left the range of doubles.
    fn finish(&self, probe: &Probe, sum: f64, point: &[f64]) -> f64 {
        let usable = sum >= f64::MIN_POSITIVE && sum.is_finite();
        if usable { self.log_of(probe, sum) } else { self.mixture.log_density(point) }
    }

    /// Prepares points. Tables are made once for each different value.
    fn probes(&self, points: &[Vec<f64>]) -> Vec<Probe> {
        let mut tables: Vec<Vec<Table>> = vec![Vec::new(); self.axes.len()];
        points.iter().map(|point| self.probe(point, &mut tables)).collect()
    }

    fn probe(&self, point: &[f64], tables: &mut [Vec<Table>]) -> Probe {
        let mut probe = Probe { coordinates: Vec::with_capacity(self.axes.len()), log_prior: 0.0, base: 0.0 };
        for (FastAxis { index, kind }, tables) in self.axes.iter().zip(tables) {
            let value = point[*index];
            let coordinate = match kind {
                Kind::Units { axis, floor } => {
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
                        Coordinate::Unit(middle)
                    }
                }
                Kind::Choices { choices, .. } => {
                    probe.log_prior -= log(*choices as f64);
                    Coordinate::Choice(value)
                }
                Kind::Table { axis, entries } => {
                    probe.log_prior += axis.log_prior(value);
                    let known = tables.iter().find(|(other, _)| *other == value);
                    Coordinate::Table(match known {
                        Some((_, table)) => Rc::clone(table),
                        None => {
                            let (middle, half) = axis.cell(value);
                            let q = |&(mu, sigma, log_mass): &(f64, f64, f64)| {
                                -2.0 * (log_gauss_mass_around((middle - mu) / sigma, half / sigma) - log_mass)
                            };
                            let table: Rc<[f64]> = entries.iter().map(q).collect();
                            tables.push((value, Rc::clone(&table)));
                            table
                        }
                    })
                }
            };
            probe.coordinates.push(coordinate);
        }
        probe.base -= probe.log_prior;
        probe
    }

    /// Adds the shares of some kernels of a group to the sum, relative to the prior's.
    fn add(&self, group: &Group, probe: &Probe, kernels: Range<usize>, sum: &mut f64) {
        let mut start = kernels.start;
        while start < kernels.end {
            let end = (start + BLOCK).min(kernels.end);
            self.add_block(group, probe, start..end, sum);
            start = end;
        }
    }

    fn add_block(&self, group: &Group, probe: &Probe, kernels: Range<usize>, sum: &mut f64) {
        let mut q = [0.0; BLOCK];
        let q = &mut q[..kernels.len()];
        if let Some(offsets) = group.offsets.get(kernels.clone()) {
            q.copy_from_slice(offsets);
        }
        // r e^(base - q/2) < e^-40 sum is what cannot be seen. With nothing in the sum yet, everything can.
        let limit = 2.0 * (probe.base + group.log_ratio_max - log(*sum) + NEGLIGIBLE_NATS);
        for (axis, coordinate) in probe.coordinates.iter().enumerate() {
            group.columns[axis].add_to(
                q,
                &self.axes[axis].kind,
                coordinate,
                group.inverses_of(axis),
                kernels.clone(),
            );
            let look = (axis + 1) % AXES_PER_LOOK == 0 && axis + 1 < probe.coordinates.len();
            if look && !q.iter().any(|&q| q < limit) {
                return;
            }
        }
        let mut near_q = [0.0; BLOCK];
        let mut near = [0_u32; BLOCK];
        let mut count = 0;
        for (k, &q) in q.iter().enumerate() {
            // Written without a branch, because which kernels are near is hard to predict.
            near_q[count % BLOCK] = q;
            near[count % BLOCK] = k as u32;
            count += usize::from(q < limit);
        }
        let (near_q, near) = (&mut near_q[..count], &near[..count]);
        for (axis, coordinate) in probe.coordinates.iter().enumerate() {
            if let (Coordinate::Cell { middle, half }, Column::Places(units)) = (coordinate, &group.columns[axis]) {
                let inverses = group.inverses_of(axis);
                for (q, &k) in near_q.iter_mut().zip(near) {
                    let kernel = kernels.start + k as usize;
                    let inverse = inverses.get(kernel).copied().unwrap_or(1.0);
                    *q += q_of_cell_beyond_bound((middle - units[kernel]) * inverse, half * inverse);
                }
            }
        }
        for q in near_q.iter_mut() {
            *q = exp(probe.base - 0.5 * *q);
        }
        let ratios = &group.ratios[kernels];
        *sum += near_q.iter().zip(near).map(|(share, &k)| share * ratios[k as usize]).sum::<f64>();
    }
}

/// A point on its way through the kernels.
struct Racer {
    sum: f64,
    /// The block that comes next.
    next: usize,
    /// No less than the difference of the `ln` densities; equal to it at the end.
    bound: f64,
}

/// What a cell's probability lacks to the bound that [`Column::add_to`] uses, as `q`; in the kernel's deviations.
fn q_of_cell_beyond_bound(middle: f64, half: f64) -> f64 {
    let outside = (middle.abs() - half).max(0.0);
    let bound = log(2.0 * half) - HALF_LN_TAU - 0.5 * outside * outside;
    2.0 * (bound - log_gauss_mass_around(middle, half))
}

impl Column {
    /// Adds one axis's part of `q` for a run of kernels.
    fn add_to(&self, q: &mut [f64], kind: &Kind, coordinate: &Coordinate, inverses: &[f64], kernels: Range<usize>) {
        match (self, coordinate, kind) {
            (Column::Places(units), Coordinate::Unit(x), _) => {
                let units = &units[kernels.clone()];
                match inverses.get(kernels) {
                    Some(inverses) => {
                        for ((q, u), inverse) in q.iter_mut().zip(units).zip(inverses) {
                            let t = (x - u) * inverse;
                            *q += t * t;
                        }
                    }
                    None => {
                        for (q, u) in q.iter_mut().zip(units) {
                            let t = x - u;
                            *q += t * t;
                        }
                    }
                }
            }
            (Column::Places(units), Coordinate::Cell { middle, half }, _) => {
                let inverses = inverses.get(kernels.clone());
                for (k, (q, u)) in q.iter_mut().zip(&units[kernels]).enumerate() {
                    let inverse = inverses.map_or(1.0, |inverses| inverses[k]);
                    let t = ((middle - u).abs() - half).max(0.0) * inverse;
                    *q += t * t;
                }
            }
            (Column::Places(places), Coordinate::Choice(x), Kind::Choices { hit, miss, .. }) => {
                for (q, place) in q.iter_mut().zip(&places[kernels]) {
                    *q += if place == x { *hit } else { *miss };
                }
            }
            (Column::Entries(entries), Coordinate::Table(table), _) => {
                for (q, &entry) in q.iter_mut().zip(&entries[kernels]) {
                    *q += table[entry as usize];
                }
            }
            // A column and a coordinate are made from the same kind of axis.
            _ => {}
        }
    }
}

impl Group {
    fn inverses_of(&self, axis: usize) -> &[f64] {
        self.inverses.get(axis).map_or(&[], |inverses| inverses)
    }
}

/// A mixture on its way to groups.
struct Layout {
    axes: Vec<FastAxis>,
    columns: Vec<Column>,
    is_wide: Vec<bool>,
}

impl Layout {
    fn add(&mut self, mixture: &Mixture, index: usize) {
        let (places, widths) = (&mixture.places[index], &mixture.widths[index]);
        let (kind, column) = match mixture.axes[index] {
            Axis::Pinned(_) => return,
            Axis::Categorical { choices } => {
                let (hit, miss) = mixture.choice_probabilities(choices);
                let kind = Kind::Choices { choices, hit: -2.0 * log(hit), miss: -2.0 * log(miss) };
                (kind, Column::Places(places.clone()))
            }
            Axis::Numeric(axis) if axis.cells() <= TABLE_CELLS as f64 => {
                let (entries, column) = tabulate(&axis, places, widths);
                (Kind::Table { axis, entries }, Column::Entries(column))
            }
            Axis::Numeric(axis) => {
                for &(kernel, _) in &widths.wide {
                    self.is_wide[kernel] = true;
                }
                let per_floor = 1.0 / widths.floor;
                let units: Vec<f64> = places.iter().map(|mu| (mu - axis.low) * per_floor).collect();
                let last = axis.width() * per_floor;
                // Centres outside have little of their mass inside; the wide group keeps its logarithm.
                for (is_wide, unit) in self.is_wide.iter_mut().zip(&units) {
                    *is_wide |= !(0.0..=last).contains(unit);
                }
                (Kind::Units { axis, floor: widths.floor }, Column::Places(units))
            }
        };
        self.axes.push(FastAxis { index, kind });
        self.columns.push(column);
    }

    /// The kernels that are wide, or those that are not.
    fn group(&self, mixture: &Mixture, reference: f64, wide: bool) -> Group {
        let runs = runs_of(&self.is_wide, wide);
        let mut ratios = gather(&mixture.weights, &runs);
        for ratio in &mut ratios {
            *ratio /= reference;
        }
        let len = ratios.len();
        let columns = self.columns.iter().map(|column| match column {
            Column::Places(places) => Column::Places(gather(places, &runs)),
            Column::Entries(entries) => Column::Entries(gather(entries, &runs)),
        });
        let mut group = Group { len, columns: columns.collect(), ratios, ..Group::default() };
        for (at, FastAxis { index, kind }) in self.axes.iter().enumerate() {
            let (Kind::Units { axis, floor }, Column::Places(units)) = (kind, &group.columns[at]) else {
                group.inverses.push(Vec::new());
                continue;
            };
            if wide {
                group.offsets.resize(len, 0.0);
                let mut inverses = Vec::with_capacity(len);
                for (offset, kernel) in group.offsets.iter_mut().zip(runs.iter().cloned().flatten()) {
                    let (mu, sigma) = (mixture.places[*index][kernel], mixture.widths[*index].sigma(kernel));
                    let log_mass = axis.log_mass(mu, sigma);
                    // A kernel that has no mass in the range that arithmetic could see has no share.
                    let q = 2.0 * (log(sigma / floor) + log_mass);
                    *offset += if q.is_finite() { q } else { f64::INFINITY };
                    inverses.push(floor / sigma);
                }
                group.inverses.push(inverses);
            } else {
                let last = axis.width() / floor;
                for (ratio, &unit) in group.ratios.iter_mut().zip(units) {
                    if unit < INTERIOR || last - unit < INTERIOR {
                        *ratio /= ndtr(last - unit) - ndtr(-unit);
                    }
                }
            }
        }
        group.log_ratio_max = log(group.ratios.iter().copied().fold(0.0, f64::max));
        group
    }
}

/// The different kernels on a small grid, and which of them each observation has. Observations of one value share
/// an entry if their deviation is the floor, which leaves few others.
fn tabulate(axis: &NumericAxis, places: &[f64], widths: &Widths) -> (Vec<(f64, f64, f64)>, Vec<u32>) {
    let mut entries: Vec<(f64, f64, f64)> = Vec::new();
    let mut entry_of_cell = [None; TABLE_CELLS];
    let mut wide = widths.wide.iter().peekable();
    let entry = |(kernel, &mu): (usize, &f64)| {
        let sigma = wide.next_if(|(index, _)| *index == kernel).map(|&(_, sigma)| sigma);
        let cell = if sigma.is_none() { axis.cell_at(mu, TABLE_CELLS) } else { None };
        if let Some(known) = cell.and_then(|cell| entry_of_cell[cell]) {
            return known;
        }
        let sigma = sigma.unwrap_or(widths.floor);
        let log_mass = axis.log_mass(mu, sigma);
        // Without visible mass in the range the kernel has no share anywhere.
        entries.push((mu, sigma, if log_mass.is_finite() { log_mass } else { f64::INFINITY }));
        let entry = (entries.len() - 1) as u32;
        if let Some(cell) = cell {
            entry_of_cell[cell] = Some(entry);
        }
        entry
    };
    let column = places.iter().enumerate().map(entry).collect();
    (entries, column)
}

/// The stretches of elements that are `wanted`.
fn runs_of(flags: &[bool], wanted: bool) -> Vec<Range<usize>> {
    let mut runs: Vec<Range<usize>> = Vec::new();
    for (index, _) in flags.iter().enumerate().filter(|(_, flag)| **flag == wanted) {
        match runs.last_mut() {
            Some(run) if run.end == index => run.end += 1,
            _ => runs.push(index..index + 1),
        }
    }
    runs
}

fn gather<T: Copy>(values: &[T], runs: &[Range<usize>]) -> Vec<T> {
    let mut gathered = Vec::with_capacity(runs.iter().map(Range::len).sum());
    for run in runs {
        gathered.extend_from_slice(&values[run.clone()]);
    }
    gathered
}
