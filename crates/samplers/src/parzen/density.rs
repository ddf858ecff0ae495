//! The density of a [`Mixture`], computed faster than by its definition and equal to it within rounding.
//!
//! Everything is relative to the prior's kernel, which reaches everywhere: an observation whose share at a point is
//! forty nats below what is already there cannot be seen in the sum, and its exponential is not taken. Nearly all
//! kernels share the floor as their deviation along every axis, so that an exponent is a scaled squared distance;
//! those that do not are kept apart. What a kernel loses at the ends of the range is computed when its share is
//! first needed, and left out for kernels more than seven deviations inside, where it is less than 1.3e-12.
//!
//! In loops over kernels `q` is minus twice an exponent, so that smaller is nearer.

use std::borrow::Cow;
use std::cell::Cell;
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
    /// All observations, as if their deviations were the floor along every axis; the ratio of the wide ones is 0.
    floor: Group<'a>,
    /// The observations that are wider along some axis without a table.
    wide: Group<'a>,
    /// What a unit of weight is: the prior's, if it has any.
    unit_weight: f64,
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
    /// Numbers, in units of the floor.
    Units {
        axis: NumericAxis,
        floor: f64,
        /// `ln` of the factor that makes a kernel of the floor's deviation a density, less that of a cell's width.
        log_height: f64,
    },
    /// Choices: minus twice the logarithms of the probabilities of the observed one and of each other one.
    Choices { choices: usize, hit: f64, miss: f64 },
    /// A small grid: the different kernels on it as centre, deviation and logarithm of the mass in the range.
    Table { axis: NumericAxis, entries: Vec<(f64, f64, f64)> },
}

/// Kernels that are evaluated in the same way.
#[derive(Debug, Default)]
struct Group<'a> {
    /// Which components they are; empty if they are all of them.
    members: Vec<u32>,
    columns: Vec<Column<'a>>,
    /// For each axis of units, the floor over each kernel's deviation; empty in the group in which that is 1.
    inverses: Vec<Vec<f64>>,
    /// The part of `q` that does not depend on the point; empty where it is 0.
    offsets: Vec<f64>,
    /// Weight over the prior's weight, over the mass in the range; NaN until it is needed.
    ratios: Vec<Cell<f64>>,
    /// No less than the logarithm of any ratio.
    log_ratio_max: f64,
}

#[derive(Debug)]
enum Column<'a> {
    /// Coordinates or choices.
    Places(Cow<'a, [f64]>),
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
    Number(f64),
    /// The middle and the half width of a cell.
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
        let unit_weight = if has_prior { prior_weight } else { 1.0 };
        let members: Vec<u32> = (0..n as u32).filter(|&kernel| layout.is_wide[kernel as usize]).collect();
        // Few enough that one group for all is less work.
        let (wide, floor) = if members.len() * 2 > n {
            (layout.wide_group(mixture, unit_weight, (0..n as u32).collect()), Group::default())
        } else {
            (layout.wide_group(mixture, unit_weight, members), layout.floor_group(mixture, unit_weight))
        };
        Density { mixture, axes: layout.axes, floor, wide, unit_weight, has_prior }
    }

    /// `ln` of the density at each point in internal form.
    #[must_use]
    pub fn log_densities(&self, points: &[Vec<f64>]) -> Vec<f64> {
        let probes = self.probes(points);
        let mut scratch = Scratch::new();
        let value = |(probe, point): (&Probe, &Vec<f64>)| {
            let mut sum = self.start();
            self.add(&self.wide, probe, 0..self.wide.len(), &mut scratch, &mut sum);
            self.add(&self.floor, probe, 0..self.floor.len(), &mut scratch, &mut sum);
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
        let blocks = self.floor.len().div_ceil(BLOCK).max(1);
        let mut scratch = Scratch::new();
        let mut advance = |racer: &mut Racer, index: usize| {
            if racer.next == 0 {
                self.add(&self.wide, &probes[index], 0..self.wide.len(), &mut scratch, &mut racer.sum);
            }
            // The newest kernels first: they weigh most, and new points are near them.
            let end = self.floor.len() - racer.next * BLOCK;
            self.add(&self.floor, &probes[index], end.saturating_sub(BLOCK)..end, &mut scratch, &mut racer.sum);
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
        probe.log_prior + log(self.unit_weight * sum)
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
                Kind::Units { axis, log_height, .. } => {
                    probe.log_prior += axis.log_prior(value);
                    let (middle, half) = axis.cell(value);
                    if axis.has_grid() {
                        // A cell has at most its width times the largest density in it.
                        probe.base += log(2.0 * half) + log_height;
                        Coordinate::Cell { middle, half }
                    } else {
                        probe.base += log_height;
                        Coordinate::Number(middle)
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
    fn add(&self, group: &Group<'_>, probe: &Probe, kernels: Range<usize>, scratch: &mut Scratch, sum: &mut f64) {
        let mut start = kernels.start;
        while start < kernels.end {
            let end = (start + BLOCK).min(kernels.end);
            self.add_block(group, probe, start..end, scratch, sum);
            start = end;
        }
    }

    fn add_block(
        &self,
        group: &Group<'_>,
        probe: &Probe,
        kernels: Range<usize>,
        scratch: &mut Scratch,
        sum: &mut f64,
    ) {
        let q = &mut scratch.q[..kernels.len()];
        match group.offsets.get(kernels.clone()) {
            Some(offsets) => q.copy_from_slice(offsets),
            None => q.fill(0.0),
        }
        // r e^(base - q/2) < e^-40 sum is what cannot be seen. With nothing in the sum yet, everything can.
        let limit = 2.0 * (probe.base + group.log_ratio_max - log(*sum) + NEGLIGIBLE_NATS);
        for (axis, coordinate) in probe.coordinates.iter().enumerate() {
            let kind = &self.axes[axis].kind;
            group.columns[axis].add_to(q, kind, coordinate, group.inverses_of(axis), kernels.clone());
            let look = (axis + 1) % AXES_PER_LOOK == 0 && axis + 1 < probe.coordinates.len();
            if look && !any_below(q, limit) {
                return;
            }
        }
        let mut count = 0;
        for (k, &q) in q.iter().enumerate() {
            // Written without a branch, because which kernels are near is hard to predict.
            scratch.near_q[count % BLOCK] = q;
            scratch.near[count % BLOCK] = k as u32;
            count += usize::from(q < limit);
        }
        let (near_q, near) = (&mut scratch.near_q[..count], &scratch.near[..count]);
        for (axis, coordinate) in probe.coordinates.iter().enumerate() {
            if let (Coordinate::Cell { middle, half }, Kind::Units { floor, .. }, Column::Places(places)) =
                (coordinate, &self.axes[axis].kind, &group.columns[axis])
            {
                let inverses = group.inverses_of(axis);
                for (q, &k) in near_q.iter_mut().zip(near) {
                    let kernel = kernels.start + k as usize;
                    let per_sigma = inverses.get(kernel).copied().unwrap_or(1.0) / floor;
                    *q += q_of_cell_beyond_bound((middle - places[kernel]) * per_sigma, half * per_sigma);
                }
            }
        }
        for q in near_q.iter_mut() {
            *q = exp(probe.base - 0.5 * *q);
        }
        let ratio = |k: u32| self.ratio(group, kernels.start + k as usize);
        *sum += near_q.iter().zip(near).map(|(share, &k)| share * ratio(k)).sum::<f64>();
    }

    /// A kernel's weight in units, over its mass in the range.
    #[inline]
    fn ratio(&self, group: &Group<'_>, kernel: usize) -> f64 {
        let known = group.ratios[kernel].get();
        if !known.is_nan() {
            return known;
        }
        let ratio = self.ratio_anew(group, kernel);
        group.ratios[kernel].set(ratio);
        ratio
    }

    fn ratio_anew(&self, group: &Group<'_>, kernel: usize) -> f64 {
        let component = group.members.get(kernel).map_or(kernel, |&member| member as usize);
        let mut ratio = self.mixture.weights[component] / self.unit_weight;
        for (at, FastAxis { kind, .. }) in self.axes.iter().enumerate() {
            let (Kind::Units { axis, floor, .. }, Column::Places(places)) = (kind, &group.columns[at]) else {
                continue;
            };
            let per_sigma = group.inverses_of(at).get(kernel).copied().unwrap_or(1.0) / floor;
            let mu = places[kernel];
            let (to_low, to_high) = ((mu - axis.low) * per_sigma, (axis.high - mu) * per_sigma);
            // Outside the range the mass is in the offset already.
            let is_inside = to_low >= 0.0 && to_high >= 0.0;
            if is_inside && (to_low < INTERIOR || to_high < INTERIOR) {
                let lost = |distance: f64| if distance < INTERIOR { ndtr(-distance) } else { 0.0 };
                ratio /= 1.0 - lost(to_low) - lost(to_high);
            }
        }
        ratio
    }
}

/// Whether any element is below the limit, without stopping at the first.
fn any_below(q: &[f64], limit: f64) -> bool {
    q.iter().fold(false, |any, &q| any | (q < limit))
}

/// Room for a block of kernels.
struct Scratch {
    q: [f64; BLOCK],
    near_q: [f64; BLOCK],
    near: [u32; BLOCK],
}

impl Scratch {
    fn new() -> Scratch {
        Scratch { q: [0.0; BLOCK], near_q: [0.0; BLOCK], near: [0; BLOCK] }
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

impl Column<'_> {
    /// Adds one axis's part of `q` for a run of kernels.
    fn add_to(&self, q: &mut [f64], kind: &Kind, coordinate: &Coordinate, inverses: &[f64], kernels: Range<usize>) {
        match (self, kind, coordinate) {
            (Column::Places(places), Kind::Units { floor, .. }, Coordinate::Number(x)) => {
                let per_floor = 1.0 / floor;
                let places = &places[kernels.clone()];
                match inverses.get(kernels) {
                    Some(inverses) => {
                        for ((q, mu), inverse) in q.iter_mut().zip(places).zip(inverses) {
                            let t = (x - mu) * (per_floor * inverse);
                            *q += t * t;
                        }
                    }
                    None => {
                        for (q, mu) in q.iter_mut().zip(places) {
                            let t = (x - mu) * per_floor;
                            *q += t * t;
                        }
                    }
                }
            }
            (Column::Places(places), Kind::Units { floor, .. }, Coordinate::Cell { middle, half }) => {
                let per_floor = 1.0 / floor;
                let inverses = inverses.get(kernels.clone());
                for (k, (q, mu)) in q.iter_mut().zip(&places[kernels]).enumerate() {
                    let inverse = inverses.map_or(1.0, |inverses| inverses[k]);
                    let t = ((middle - mu).abs() - half).max(0.0) * (per_floor * inverse);
                    *q += t * t;
                }
            }
            (Column::Places(places), Kind::Choices { hit, miss, .. }, Coordinate::Choice(x)) => {
                for (q, place) in q.iter_mut().zip(&places[kernels]) {
                    *q += if place == x { *hit } else { *miss };
                }
            }
            (Column::Entries(entries), _, Coordinate::Table(table)) => {
                for (q, &entry) in q.iter_mut().zip(&entries[kernels]) {
                    *q += table[entry as usize];
                }
            }
            // A column and a coordinate are made from the same kind of axis.
            _ => {}
        }
    }

    /// The rows of some kernels.
    fn of_members(&self, members: &[u32]) -> Column<'static> {
        match self {
            Column::Places(places) => Column::Places(members.iter().map(|&k| places[k as usize]).collect()),
            Column::Entries(entries) => Column::Entries(members.iter().map(|&k| entries[k as usize]).collect()),
        }
    }
}

impl Group<'_> {
    fn len(&self) -> usize {
        self.ratios.len()
    }

    fn inverses_of(&self, axis: usize) -> &[f64] {
        self.inverses.get(axis).map_or(&[], |inverses| inverses)
    }
}

/// A mixture on its way to groups.
struct Layout<'a> {
    axes: Vec<FastAxis>,
    columns: Vec<Column<'a>>,
    is_wide: Vec<bool>,
}

impl<'a> Layout<'a> {
    fn add(&mut self, mixture: &'a Mixture, index: usize) {
        let (places, widths) = (&mixture.places[index], &mixture.widths[index]);
        let (kind, column) = match mixture.axes[index] {
            Axis::Pinned(_) => return,
            Axis::Categorical { choices } => {
                let (hit, miss) = mixture.choice_probabilities(choices);
                let kind = Kind::Choices { choices, hit: -2.0 * log(hit), miss: -2.0 * log(miss) };
                (kind, Column::Places(Cow::Borrowed(places)))
            }
            Axis::Numeric(axis) if axis.cells() <= TABLE_CELLS as f64 => {
                let (entries, column) = tabulate(&axis, places, widths);
                (Kind::Table { axis, entries }, Column::Entries(column))
            }
            Axis::Numeric(axis) => {
                for &(kernel, _) in &widths.wide {
                    self.is_wide[kernel] = true;
                }
                if !widths.all_inside {
                    for (is_wide, mu) in self.is_wide.iter_mut().zip(places) {
                        *is_wide |= !axis.contains(*mu);
                    }
                }
                let floor = widths.floor;
                // A cell's width is measured along the axis, a density in the parameter's own unit.
                let log_floor = if axis.has_grid() { log(floor) } else { axis.log_per_value(floor) };
                (
                    Kind::Units { axis, floor, log_height: -HALF_LN_TAU - log_floor },
                    Column::Places(Cow::Borrowed(places)),
                )
            }
        };
        self.axes.push(FastAxis { index, kind });
        self.columns.push(column);
    }

    /// Kernels with deviations of their own.
    fn wide_group(&self, mixture: &Mixture, unit_weight: f64, members: Vec<u32>) -> Group<'a> {
        let columns = self.columns.iter().map(|column| column.of_members(&members)).collect();
        let mut offsets = vec![0.0; members.len()];
        let mut inverses = Vec::with_capacity(self.axes.len());
        for FastAxis { index, kind } in &self.axes {
            let Kind::Units { axis, floor, .. } = kind else {
                inverses.push(Vec::new());
                continue;
            };
            let widths = &mixture.widths[*index];
            let inverse = |(offset, &member): (&mut f64, &u32)| {
                let (mu, sigma) = (mixture.places[*index][member as usize], widths.sigma(member as usize));
                *offset += 2.0 * log(sigma / floor);
                if !axis.contains(mu) {
                    // Little of its mass is inside: so little that only the logarithm is sure to be a number, or
                    // not even that, and then it has no share.
                    let log_mass = axis.log_mass(mu, sigma);
                    *offset += if log_mass.is_finite() { 2.0 * log_mass } else { f64::INFINITY };
                }
                floor / sigma
            };
            inverses.push(offsets.iter_mut().zip(&members).map(inverse).collect());
        }
        let ratios = vec![Cell::new(f64::NAN); members.len()];
        let log_ratio_max = self.log_ratio_max(mixture, unit_weight);
        Group { members, columns, inverses, offsets, ratios, log_ratio_max }
    }

    /// All kernels, as if none were wide; those that are count for nothing.
    fn floor_group(&mut self, mixture: &Mixture, unit_weight: f64) -> Group<'a> {
        let ratio = |&is_wide: &bool| Cell::new(if is_wide { 0.0 } else { f64::NAN });
        Group {
            columns: std::mem::take(&mut self.columns),
            ratios: self.is_wide.iter().map(ratio).collect(),
            log_ratio_max: self.log_ratio_max(mixture, unit_weight),
            ..Group::default()
        }
    }

    fn log_ratio_max(&self, mixture: &Mixture, unit_weight: f64) -> f64 {
        // Weights never fall with age.
        let heaviest = mixture.observations().checked_sub(1).map_or(0.0, |last| mixture.weights[last]);
        log(heaviest / unit_weight) + self.axes.len() as f64 * LOG_MASS_MIN
    }
}

/// No kernel that is centred in the range and no wider than it has less mass there than one at its end that is as
/// wide: `Phi(1) - Phi(0) = 0.341`. Minus the logarithm of a little less.
const LOG_MASS_MIN: f64 = 1.08;

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
