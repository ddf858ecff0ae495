//! The density of a [`Mixture`], computed faster than by its definition and equal to it within rounding.
//!
//! Everything is relative to the prior's kernel, which reaches everywhere: an observation whose share at a point is
//! forty nats below what is already there cannot be seen in the sum, and its exponential is not taken. Nearly all
//! kernels share the floor as their deviation along every axis, so that an exponent is a scaled squared distance;
//! those that do not are kept apart. What a kernel loses at the ends of the range is computed when its share is
//! first needed, and left out for kernels more than seven deviations inside, where it is less than 1.3e-12.

use std::ops::Range;
use std::rc::Rc;

use libm::log;
use trialog_numerics::{HALF_LN_TAU, exp, ln, log_gauss_mass_around, narrow_mass_excess};

use super::groups::{Column, Coordinate, Entry, FastAxis, Group, Groups, Kind};
use super::mixture::Mixture;

/// Kernels that are looked at together.
const BLOCK: usize = 256;

/// A share this many nats below the sum is not seen in it.
pub(super) const NEGLIGIBLE_NATS: f64 = 40.0;

/// Ratios of densities that are closer than this, in nats, count as equal.
pub(super) const EQUAL: f64 = 1e-6;

/// Axes that are added up between two looks at whether any kernel of a block can still matter.
const AXES_PER_LOOK: usize = 5;

/// A mixture, laid out for evaluation.
#[derive(Debug)]
pub struct Density<'a> {
    mixture: &'a Mixture,
    groups: Groups<'a>,
    has_prior: bool,
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

/// A value on a small grid, and `q` of each entry there.
type Table = (f64, Rc<[f64]>);

impl<'a> Density<'a> {
    /// Lays out a mixture.
    #[must_use]
    pub fn new(mixture: &'a Mixture) -> Density<'a> {
        let has_prior = mixture.weights[mixture.observations()] > 0.0;
        Density { mixture, groups: Groups::new(mixture), has_prior }
    }

    /// `ln` of the density at each point in internal form.
    #[must_use]
    pub fn log_densities(&self, points: &[Vec<f64>]) -> Vec<f64> {
        let probes = self.probes(points);
        let mut scratch = Scratch::new();
        let value = |(probe, point): (&Probe, &Vec<f64>)| {
            let mut sum = self.start();
            self.add_first(probe, &mut scratch, &mut sum);
            self.add(&self.groups.floor, probe, 0..self.groups.floor.len(), &mut scratch, &mut sum);
            self.finish(probe, sum, point)
        };
        probes.iter().zip(points).map(value).collect()
    }

    /// The index of the point at which `other` has the largest `ln` density above this one; the first such point
    /// if there are several. Ratios that differ by less than a millionth count as equal: points far away from all
    /// observations have nothing but the priors to tell them apart, and so the same ratio but for a trace.
    ///
    /// A partial sum bounds this density from below and so the difference from above: the points race, the one
    /// with the largest bound goes on, and once that one has arrived no other can pass it.
    #[must_use]
    pub fn largest_log_ratio(&self, other: &Density<'_>, points: &[Vec<f64>]) -> usize {
        let probes = self.probes(points);
        let others = other.log_densities(points);
        let mut racers: Vec<Racer> =
            others.iter().map(|_| Racer { sum: self.start(), next: 0, bound: 0.0 }).collect();
        let floor = &self.groups.floor;
        let blocks = floor.len().div_ceil(BLOCK).max(1);
        let mut scratch = Scratch::new();
        let mut advance = |racer: &mut Racer, index: usize| {
            if racer.next == 0 {
                self.add_first(&probes[index], &mut scratch, &mut racer.sum);
            }
            // The newest kernels first: they weigh most, and new points are near them.
            let end = floor.len() - racer.next * BLOCK;
            self.add(floor, &probes[index], end.saturating_sub(BLOCK)..end, &mut scratch, &mut racer.sum);
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
                Some(racer) => {
                    let least = racer.bound - EQUAL;
                    for (index, racer) in racers[..leader].iter_mut().enumerate() {
                        while racer.bound >= least && racer.next < blocks {
                            advance(racer, index);
                        }
                        if racer.bound >= least {
                            return index;
                        }
                    }
                    return leader;
                }
                None => return leader,
            }
        }
    }

    /// What the sum over kernels begins with: the prior's share, to which all others are relative.
    fn start(&self) -> f64 {
        if self.has_prior { 1.0 } else { 0.0 }
    }

    fn log_of(&self, probe: &Probe, sum: f64) -> f64 {
        probe.log_prior + log(self.groups.unit_weight * sum)
    }

    /// `ln` of the density from a whole sum; by the definition if the sum left the range of doubles.
    fn finish(&self, probe: &Probe, sum: f64, point: &[f64]) -> f64 {
        // So far above the smallest double that no share was lost to underflow.
        let usable = sum >= 1e-280 && sum.is_finite();
        if usable { self.log_of(probe, sum) } else { self.mixture.log_density(point) }
    }

    /// Prepares points. Tables are made once for each different value.
    fn probes(&self, points: &[Vec<f64>]) -> Vec<Probe> {
        let mut tables: Vec<Vec<Table>> = vec![Vec::new(); self.groups.axes.len()];
        points.iter().map(|point| self.probe(point, &mut tables)).collect()
    }

    fn probe(&self, point: &[f64], tables: &mut [Vec<Table>]) -> Probe {
        // A kernel this far away along one axis is not seen beside the prior, even if it is a hundred times as
        // high as the prior along all others.
        let log_heights = 5.0 * self.groups.axes.len() as f64 + self.groups.log_ratio_max;
        let out_of_sight =
            if self.has_prior { 2.0 * (NEGLIGIBLE_NATS + log_heights.max(0.0)) } else { f64::INFINITY };
        let mut probe =
            Probe { coordinates: Vec::with_capacity(self.groups.axes.len()), log_prior: 0.0, base: 0.0 };
        for (FastAxis { index, kind }, tables) in self.groups.axes.iter().zip(tables) {
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
                Kind::Nearness { choices, rows } => {
                    probe.log_prior -= log(*choices as f64);
                    Coordinate::Table(rows.get(value as usize).map_or_else(|| Rc::from([]), Rc::clone))
                }
                Kind::Table { axis, entries } => {
                    probe.log_prior += axis.log_prior(value);
                    let known = tables.iter().find(|(other, _)| *other == value);
                    Coordinate::Table(match known {
                        Some((_, table)) => Rc::clone(table),
                        None => {
                            let (middle, half) = axis.cell(value);
                            let q = |&Entry { mu, sigma, log_mass }: &Entry| {
                                let (middle, half) = ((middle - mu) / sigma, half / sigma);
                                let outside = (middle.abs() - half).max(0.0);
                                if outside * outside > out_of_sight {
                                    return f64::INFINITY;
                                }
                                -2.0 * (log_gauss_mass_around(middle, half) - log_mass)
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

    /// Adds what every point needs: the wide kernels, and the series if there is one.
    fn add_first(&self, probe: &Probe, scratch: &mut Scratch, sum: &mut f64) {
        self.add(&self.groups.wide, probe, 0..self.groups.wide.len(), scratch, sum);
        if let (Some(series), [Coordinate::Number(x)]) = (&self.groups.series, &probe.coordinates[..]) {
            let log_negligible = log(*sum) - NEGLIGIBLE_NATS - probe.base - log(series.total());
            *sum += series.at(*x, log_negligible) * libm::exp(probe.base);
        }
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
            let kind = &self.groups.axes[axis].kind;
            group.columns[axis].add_to(q, kind, coordinate, group.inverses(axis), kernels.clone());
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
                (coordinate, &self.groups.axes[axis].kind, &group.columns[axis])
            {
                let inverses = group.inverses(axis);
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
        let ratio = |k: u32| self.groups.ratio(self.mixture, group, kernels.start + k as usize);
        *sum += near_q.iter().zip(near).map(|(share, &k)| share * ratio(k)).sum::<f64>();
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
pub(super) fn q_of_cell_beyond_bound(middle: f64, half: f64) -> f64 {
    let outside = (middle.abs() - half).max(0.0);
    match narrow_mass_excess(middle, half) {
        Some(excess) => middle * middle - outside * outside - 2.0 * ln(1.0 + excess),
        None => {
            let bound = log(2.0 * half) - HALF_LN_TAU - 0.5 * outside * outside;
            2.0 * (bound - log_gauss_mass_around(middle, half))
        }
    }
}
