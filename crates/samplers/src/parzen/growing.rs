//! A density of many observations that come and go one at a time, without being laid out anew for each suggestion.
//!
//! With magic clipping and a hundred kernels or more the smallest deviation no longer changes, and nearly all kernels
//! have it along every axis: those are in a [`Tree`]. The few that stand beside a gap are wider; they are kept apart and
//! evaluated one by one. Only the largest ratio of two densities is asked for, so that of most points it is enough to
//! know that they are not the largest: each point's density lies in an interval, which is narrowed by opening nodes of
//! the tree until the intervals no longer overlap (branch and bound).

mod race;
mod sums;

use std::collections::BTreeSet;

use trialog_numerics::log_gauss_mass_around;

use super::axis::{Axis, NumericAxis};
use super::groups::{TABLE_CELLS, mass_inside};
use super::mixture::{KernelOptions, Weights};
use super::ranks::Ranks;
use super::tree::{Extent, Tree};
use super::widths::{CELLS_MAX, Cells};
pub(crate) use race::Outcome;
use race::{Coordinate, Probe, Scale};
use sums::Sums;

/// With fewer observations than this the deviations may change with their number.
const LEAST: usize = 2 * CELLS_MAX;

/// How many ranks may be renewed for each time that the density was asked for. Where trials end in the order of their
/// numbers, ranks change when one is no longer good, which of `n` trials happens once in `n / 25`.
const RENEWED_PER_ASK: usize = 256;

/// The observations of an axis that distinguishes kernels.
#[derive(Clone, Debug)]
struct GrowingAxis {
    /// Which axis it is.
    index: usize,
    form: Form,
}

#[derive(Clone, Debug)]
enum Form {
    /// Real numbers, or a grid too large for a table; places are coordinates in units of the floor. Along a single axis who
    /// is where, in order.
    Units { axis: NumericAxis, floor: f64, cells: Box<Cells>, order: Option<BTreeSet<(u64, u32)>> },
    /// A small grid; places are cells. For each cell who is in it and, once it was asked for, `q` of a kernel in each
    /// cell.
    Table {
        axis: NumericAxis,
        floor: f64,
        cells: Box<Cells>,
        members: Vec<BTreeSet<u32>>,
        rows: Vec<Option<Box<[f64]>>>,
    },
    /// Choices.
    Choices(usize),
}

/// Observations, each with the number of its trial, and their density.
#[derive(Clone, Debug)]
pub(crate) struct Growing {
    axes: Vec<Axis>,
    forms: Vec<GrowingAxis>,
    options: KernelOptions,
    weights: Weights,
    ranks: Ranks,
    tree: Tree,
    /// What the tree's kernels add up to, along a single axis.
    sums: Option<Box<Sums>>,
    /// The observations that are wider than the floor along some axis, by number.
    apart: Vec<u32>,
    /// For each form the deviations of the wide ones, by number.
    wide: Vec<Vec<(usize, f64)>>,
    is_stale: bool,
    /// How many observations came below others, and how many went, since ranks were last renewed: by so much a rank may
    /// have grown or fallen.
    risen: usize,
    fallen: usize,
    /// How often it was asked since then.
    asked: usize,
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
                        let (members, rows) =
                            (vec![BTreeSet::new(); axis.cells() as usize], vec![None; axis.cells() as usize]);
                        Form::Table { axis, floor, cells, members, rows }
                    } else {
                        Form::Units { axis, floor, cells, order: None }
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
        let extents = extents.collect();
        let smooth = forms.iter().enumerate().filter(|(_, axis)| matches!(axis.form, Form::Units { .. }));
        let smooth = smooth.map(|(at, _)| at).collect();
        let sums = Sums::of(&forms, options).map(Box::new);
        if let (Some(_), [GrowingAxis { form: Form::Units { order, .. }, .. }]) = (&sums, &mut forms[..]) {
            *order = Some(BTreeSet::new());
        }
        let tree = if sums.is_some() { Tree::flat(extents) } else { Tree::new(extents, smooth) };
        Some(Growing {
            axes: axes.to_vec(),
            options,
            weights,
            ranks: Ranks::default(),
            tree,
            sums,
            apart: Vec::new(),
            wide: vec![Vec::new(); forms.len()],
            forms,
            is_stale: false,
            risen: 0,
            fallen: 0,
            asked: 0,
        })
    }

    /// How many observations there are.
    fn len(&self) -> usize {
        self.ranks.len()
    }

    /// How many numbers it holds, about.
    pub(crate) fn values(&self) -> usize {
        self.len() * self.axes.len() + self.sums.as_ref().map_or(0, |sums| sums.values())
    }

    /// Adds many observations to none: their numbers, rising, and for each axis their values in internal form.
    pub(crate) fn load(&mut self, numbers: &[u32], columns: &[Vec<f64>]) -> Result<(), OutOfPlace> {
        let mut places = Vec::with_capacity(numbers.len() * self.forms.len());
        let (mut kept, mut factors) = (Vec::with_capacity(numbers.len()), Vec::with_capacity(numbers.len()));
        // Put in order all at once, which is faster than one by one.
        let mut has_order = false;
        if let [GrowingAxis { form: Form::Units { order, .. }, .. }] = &mut self.forms[..] {
            has_order = order.take().is_some();
        }
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
        if let [GrowingAxis { form: Form::Units { order, .. }, .. }] = &mut self.forms[..] {
            let keys = || kept.iter().zip(&places).map(|(&number, &place)| (key(place), number)).collect();
            *order = has_order.then(keys);
        }
        self.tree.load(&kept, &factors, &places);
        (self.risen, self.fallen, self.asked) = (0, 0, 0);
        if let Some(sums) = &mut self.sums {
            sums.forget();
        }
        self.is_stale = true;
        Ok(())
    }

    /// Expects that some trials, rising by number, which are no observations, may become some.
    pub(crate) fn expect(&mut self, numbers: &[u32]) {
        self.refresh();
        if let Some(sums) = &mut self.sums {
            sums.expect(&self.tree, &self.ranks, numbers);
        }
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
            self.count_in_sums(number, -1.0);
            self.ranks.remove(number);
            self.tree.remove(number);
            if let Some(sums) = &mut self.sums {
                sums.shift(&self.tree, &self.ranks, number, -1.0, true);
            }
            self.apart.retain(|&other| other != number);
            self.fallen += 1;
            self.is_stale = true;
        }
        if let Some(factor) = factor {
            self.risen += usize::from(!self.ranks.all_below(number));
            self.tree.insert(number, &places, factor, self.ranks.rank(number) as f64);
            if let Some(sums) = &mut self.sums {
                sums.shift(&self.tree, &self.ranks, number, 1.0, false);
            }
            self.ranks.insert(number);
            self.count_in_sums(number, 1.0);
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

    /// Adds an observation to the sums or takes it away, if there are any and it counts.
    fn count_in_sums(&mut self, number: u32, sign: f64) {
        if let (Some(sums), Some(slot)) = (&mut self.sums, self.tree.slot(number)) {
            sums.add(number, self.tree.places[0][slot], sign * self.tree.factors[slot], self.ranks.rank(number));
        }
    }

    fn enter_cells(&mut self, number: u32, places: &[f64]) {
        for (axis, &place) in self.forms.iter_mut().zip(places) {
            match &mut axis.form {
                Form::Table { members, .. } => _ = members[place as usize].insert(number),
                Form::Units { order: Some(order), .. } => _ = order.insert((key(place), number)),
                Form::Units { order: None, .. } | Form::Choices(_) => {}
            }
            if let Some((mu, cells)) = axis.form.coordinate(place) {
                cells.insert(mu, number as usize);
            }
        }
    }

    fn leave_cells(&mut self, number: u32, places: &[f64]) {
        for (axis, &place) in self.forms.iter_mut().zip(places) {
            match &mut axis.form {
                Form::Table { members, .. } => _ = members[place as usize].remove(&number),
                Form::Units { order: Some(order), .. } => _ = order.remove(&(key(place), number)),
                Form::Units { order: None, .. } | Form::Choices(_) => {}
            }
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
            let (numeric, floor, cells) = match &mut axis.form {
                Form::Choices(_) => continue,
                Form::Units { axis, floor, cells, order } => {
                    if !cells.is_changed() {
                        continue;
                    }
                    cells.refresh(|stretch, with| {
                        let places = stretch.map(|mu| (mu - axis.low) / *floor);
                        let mut with = |place: f64, number: u32| with(axis.low + place * *floor, number as usize);
                        match order {
                            Some(order) => {
                                let here = order.range((key(places[0]), 0)..=(key(places[1]), u32::MAX));
                                _ = here.clone().any(|&(place, number)| with(f64::from_bits(place), number));
                                _ = here.rev().any(|&(place, number)| with(f64::from_bits(place), number));
                            }
                            None => tree.visit(at, places, |place, number| _ = with(place, number)),
                        }
                    });
                    (axis, *floor, cells)
                }
                Form::Table { axis, floor, cells, members, .. } => {
                    if !cells.is_changed() {
                        continue;
                    }
                    cells.refresh(|[low, high], with| {
                        for (cell, members) in members.iter().enumerate() {
                            let mu = axis.place_of_cell(cell);
                            let ends = members.first().into_iter().chain(members.last());
                            let ends = ends.filter(|_| low <= mu && mu <= high);
                            ends.for_each(|&number| _ = with(mu, number as usize));
                        }
                    });
                    (axis, *floor, cells)
                }
            };
            self.wide[at] = cells.widths(numeric, floor, n, self.options);
        }
        for wide in &self.wide {
            apart.extend(wide.iter().map(|&(number, _)| number as u32));
        }
        apart.sort_unstable();
        apart.dedup();
        let before = std::mem::replace(&mut self.apart, apart.clone());
        for &number in before.iter().filter(|number| apart.binary_search(number).is_err()) {
            self.tree.set_counts(number, true);
            self.count_in_sums(number, 1.0);
        }
        for &number in apart.iter().filter(|number| before.binary_search(number).is_err()) {
            self.count_in_sums(number, -1.0);
            self.tree.set_counts(number, false);
        }
        if let Some(sums) = &mut self.sums {
            // It is what knows of ranks here.
            sums.refresh(&self.tree, &self.ranks);
        } else if self.risen + self.fallen > 0 && self.asked >= n / RENEWED_PER_ASK {
            self.tree.renew_ranks(|number| self.ranks.rank(number));
            (self.risen, self.fallen, self.asked) = (0, 0, 0);
        }
    }
}

/// A place so that keys have the order of places. None is below zero.
fn key(place: f64) -> u64 {
    (place.max(0.0) + 0.0).to_bits()
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

#[cfg(test)]
mod tests;
