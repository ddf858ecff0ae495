//! Kernels in groups that are evaluated in the same way: columns of coordinates, and what of each kernel's share
//! does not depend on the point.
//!
//! In loops over kernels `q` is minus twice an exponent, so that smaller is nearer.

use std::borrow::Cow;
use std::cell::Cell;
use std::ops::Range;
use std::rc::Rc;

use libm::log;
use trialog_numerics::{HALF_LN_TAU, ndtr};

use super::axis::{Axis, NumericAxis};
use super::mixture::Mixture;
use super::series::Series;
use super::widths::Widths;

/// Grids of up to this many cells have a table of the kernels' probabilities of a cell.
pub(super) const TABLE_CELLS: usize = 256;

/// This many deviations inside the range a kernel's mass counts as 1.
const INTERIOR: f64 = 7.0;

/// No kernel that is centred in the range and no wider than it has less mass there than one at its end that is as
/// wide: `Phi(1) - Phi(0) = 0.341`. Minus the logarithm of a little less.
const LOG_MASS_MIN: f64 = 1.08;

/// With fewer kernels than about this a series is more work than the kernels.
const SERIES_MIN: usize = 800;

/// A series takes memory for each deviation of the range. Without magic clipping there may be any number of them.
const STRETCH_MAX: f64 = 128.0;

/// A series is exact relative to a kernel's height at half the distance, not to the kernel, so the prior must weigh
/// enough to hide it: `ln` of how much more an observation may weigh.
const SERIES_LOG_RATIO_MAX: f64 = 12.0;

/// An axis that distinguishes kernels.
#[derive(Debug)]
pub(super) struct FastAxis {
    /// Which axis of the mixture.
    pub(super) index: usize,
    pub(super) kind: Kind,
}

#[derive(Debug)]
pub(super) enum Kind {
    /// Numbers, in units of the floor.
    Units {
        axis: NumericAxis,
        floor: f64,
        /// `ln` of the factor that makes a kernel of the floor's deviation a density, less that of a cell's width.
        log_height: f64,
    },
    /// Choices: minus twice the logarithms of the probabilities of the observed one and of each other one.
    Choices { choices: usize, hit: f64, miss: f64 },
    /// Choices with distances: for each choice `q` of a kernel at each choice, row by row.
    Nearness { choices: usize, rows: Vec<Rc<[f64]>> },
    /// A small grid: the different kernels on it.
    Table { axis: NumericAxis, entries: Vec<Entry> },
}

/// One of the different kernels on a small grid.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) mu: f64,
    pub(super) sigma: f64,
    /// `ln` of its mass in the range.
    pub(super) log_mass: f64,
}

/// A point's place on an axis.
#[derive(Clone, Debug)]
pub(super) enum Coordinate {
    /// A number.
    Number(f64),
    /// The middle and the half width of a cell.
    Cell { middle: f64, half: f64 },
    /// A choice.
    Choice(f64),
    /// `q` of each entry.
    Table(Rc<[f64]>),
}

/// Kernels that are evaluated in the same way.
#[derive(Debug, Default)]
pub(super) struct Group<'a> {
    /// Which components they are; empty if they are all of them.
    members: Vec<u32>,
    pub(super) columns: Vec<Column<'a>>,
    /// For each axis of units, the floor over each kernel's deviation; empty in the group in which that is 1.
    inverses: Vec<Vec<f64>>,
    /// The part of `q` that does not depend on the point; empty where it is 0.
    pub(super) offsets: Vec<f64>,
    /// Weight over the unit of weight, over the mass in the range; NaN until it is needed.
    ratios: Vec<Cell<f64>>,
    /// No less than the logarithm of any ratio.
    pub(super) log_ratio_max: f64,
}

#[derive(Debug)]
pub(super) enum Column<'a> {
    /// Coordinates or choices.
    Places(Cow<'a, [f64]>),
    /// Entries of the table.
    Entries(Vec<u32>),
}

/// All kernels, in the form in which they are fastest.
#[derive(Debug)]
pub(super) struct Groups<'a> {
    pub(super) axes: Vec<FastAxis>,
    /// The observations that are wider than the floor along some axis without a table.
    pub(super) wide: Group<'a>,
    /// All observations, as if their deviations were the floor along every axis; the ratio of the wide ones is 0.
    pub(super) floor: Group<'a>,
    /// What stands for the second group along a single axis of real numbers.
    pub(super) series: Option<Series>,
    /// What a unit of weight is: the prior's, if it has any.
    pub(super) unit_weight: f64,
    /// No less than the logarithm of any kernel's ratio.
    pub(super) log_ratio_max: f64,
}

impl<'a> Groups<'a> {
    pub(super) fn new(mixture: &'a Mixture) -> Groups<'a> {
        let n = mixture.observations();
        let prior_weight = mixture.weights[n];
        let unit_weight = if prior_weight > 0.0 { prior_weight } else { 1.0 };
        let mut groups = Groups {
            axes: Vec::new(),
            wide: Group::default(),
            floor: Group::default(),
            series: None,
            unit_weight,
            log_ratio_max: 0.0,
        };
        let mut is_wide = vec![false; n];
        let mut columns: Vec<Column<'a>> = Vec::new();
        for index in 0..mixture.axes.len() {
            if let Some((kind, column)) = lay_out(mixture, index, &mut is_wide) {
                groups.axes.push(FastAxis { index, kind });
                columns.push(column);
            }
        }
        // Weights never fall with age.
        let heaviest = n.checked_sub(1).map_or(0.0, |last| mixture.weights[last]);
        groups.log_ratio_max = log(heaviest / unit_weight) + groups.axes.len() as f64 * LOG_MASS_MIN;
        if let [FastAxis { kind: Kind::Choices { .. } | Kind::Nearness { .. } | Kind::Table { .. }, .. }] =
            groups.axes[..]
        {
            groups.floor = groups.merged(mixture, &columns[0]);
            return groups;
        }
        let members: Vec<u32> = (0..n as u32).filter(|&kernel| is_wide[kernel as usize]).collect();
        if members.len() * 2 > n {
            // One group for all is less work.
            groups.wide = groups.wide_group(mixture, &columns, (0..n as u32).collect());
            return groups;
        }
        groups.wide = groups.wide_group(mixture, &columns, members);
        groups.floor = groups.floor_group(columns, &is_wide);
        if let [FastAxis { kind: Kind::Units { axis, floor, .. }, .. }] = groups.axes[..]
            && !axis.has_grid()
            && n >= SERIES_MIN
            && axis.width() <= STRETCH_MAX * floor
            && groups.log_ratio_max <= SERIES_LOG_RATIO_MAX
        {
            let last = axis.width() / floor;
            let per_floor = 1.0 / floor;
            let per_unit_weight = 1.0 / unit_weight;
            let kernels = mixture.places[groups.axes[0].index].iter().zip(&mixture.weights).zip(&is_wide);
            let kernels = kernels.filter(|(_, is_wide)| !**is_wide).map(|((&mu, weight), _)| {
                let to_low = (mu - axis.low) * per_floor;
                (mu, weight * per_unit_weight / mass_inside(to_low, last - to_low))
            });
            groups.series = Some(Series::new(axis.low, floor, kernels));
            groups.floor = Group::default();
        }
        groups
    }

    /// A kernel's weight in units, over its mass in the range.
    #[inline]
    pub(super) fn ratio(&self, mixture: &Mixture, group: &Group<'_>, kernel: usize) -> f64 {
        let known = group.ratios[kernel].get();
        if !known.is_nan() {
            return known;
        }
        let ratio = self.ratio_anew(mixture, group, kernel);
        group.ratios[kernel].set(ratio);
        ratio
    }

    fn ratio_anew(&self, mixture: &Mixture, group: &Group<'_>, kernel: usize) -> f64 {
        let component = group.members.get(kernel).map_or(kernel, |&member| member as usize);
        let mut ratio = mixture.weights[component] / self.unit_weight;
        for (at, FastAxis { kind, .. }) in self.axes.iter().enumerate() {
            let (Kind::Units { axis, floor, .. }, Column::Places(places)) = (kind, &group.columns[at]) else {
                continue;
            };
            let per_sigma = group.inverses(at).get(kernel).copied().unwrap_or(1.0) / floor;
            let mu = places[kernel];
            let (to_low, to_high) = ((mu - axis.low) * per_sigma, (axis.high - mu) * per_sigma);
            // Outside the range the mass is in the offset already.
            if to_low >= 0.0 && to_high >= 0.0 {
                ratio /= mass_inside(to_low, to_high);
            }
        }
        ratio
    }

    /// Along a single axis of choices or of a small grid: one kernel for all that are the same.
    fn merged(&self, mixture: &Mixture, column: &Column<'_>) -> Group<'a> {
        let mut totals: Vec<f64> = Vec::new();
        let mut add = |key: usize, kernel: usize| {
            if key >= totals.len() {
                totals.resize(key + 1, 0.0);
            }
            totals[key] += mixture.weights[kernel] / self.unit_weight;
        };
        match column {
            Column::Places(choices) => choices.iter().enumerate().for_each(|(k, &choice)| add(choice as usize, k)),
            Column::Entries(entries) => entries.iter().enumerate().for_each(|(k, &entry)| add(entry as usize, k)),
        }
        let keys = 0..totals.len() as u32;
        let column = match column {
            Column::Places(_) => Column::Places(keys.map(f64::from).collect()),
            Column::Entries(_) => Column::Entries(keys.collect()),
        };
        let largest = totals.iter().copied().fold(0.0, f64::max);
        let ratios = totals.into_iter().map(Cell::new).collect();
        Group { columns: vec![column], ratios, log_ratio_max: log(largest), ..Group::default() }
    }

    /// Kernels with deviations of their own.
    fn wide_group(&self, mixture: &Mixture, columns: &[Column<'a>], members: Vec<u32>) -> Group<'a> {
        let columns = columns.iter().map(|column| column.of_members(&members)).collect();
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
        Group { members, columns, inverses, offsets, ratios, log_ratio_max: self.log_ratio_max }
    }

    /// All kernels, as if none were wide; those that are count for nothing.
    fn floor_group(&self, columns: Vec<Column<'a>>, is_wide: &[bool]) -> Group<'a> {
        let ratio = |&is_wide: &bool| Cell::new(if is_wide { 0.0 } else { f64::NAN });
        let ratios = is_wide.iter().map(ratio).collect();
        Group { columns, ratios, log_ratio_max: self.log_ratio_max, ..Group::default() }
    }
}

/// The mass of a kernel that is so many deviations away from the ends of the range.
#[inline]
pub(super) fn mass_inside(to_low: f64, to_high: f64) -> f64 {
    if to_low >= INTERIOR && to_high >= INTERIOR {
        return 1.0;
    }
    let lost = |distance: f64| if distance < INTERIOR { ndtr(-distance) } else { 0.0 };
    1.0 - lost(to_low) - lost(to_high)
}

/// An axis and its column; notes which kernels are wide along it, unless there is a table.
fn lay_out<'a>(mixture: &'a Mixture, index: usize, is_wide: &mut [bool]) -> Option<(Kind, Column<'a>)> {
    let (places, widths) = (&mixture.places[index], &mixture.widths[index]);
    match mixture.axes[index] {
        Axis::Pinned(_) => None,
        Axis::Categorical { choices } if mixture.nearness[index].is_some() => {
            let probabilities = mixture.nearness[index].as_deref().unwrap_or(&[]);
            let q = |at: usize| probabilities.chunks_exact(choices).map(|row| -2.0 * log(row[at])).collect();
            let kind = Kind::Nearness { choices, rows: (0..choices).map(q).collect() };
            Some((kind, Column::Entries(places.iter().map(|&choice| choice as u32).collect())))
        }
        Axis::Categorical { choices } => {
            let (hit, miss) = mixture.choice_probabilities(choices);
            let kind = Kind::Choices { choices, hit: -2.0 * log(hit), miss: -2.0 * log(miss) };
            Some((kind, Column::Places(Cow::Borrowed(places))))
        }
        Axis::Numeric(axis) if axis.cells() <= TABLE_CELLS as f64 => {
            let (entries, column) = tabulate(&axis, places, widths);
            Some((Kind::Table { axis, entries }, Column::Entries(column)))
        }
        Axis::Numeric(axis) => {
            for &(kernel, _) in &widths.wide {
                is_wide[kernel] = true;
            }
            if !widths.all_inside {
                for (is_wide, mu) in is_wide.iter_mut().zip(places) {
                    *is_wide |= !axis.contains(*mu);
                }
            }
            let floor = widths.floor;
            // A cell's width is measured along the axis, a density in the parameter's own unit.
            let log_floor = if axis.has_grid() { log(floor) } else { axis.log_per_value(floor) };
            let kind = Kind::Units { axis, floor, log_height: -HALF_LN_TAU - log_floor };
            Some((kind, Column::Places(Cow::Borrowed(places))))
        }
    }
}

/// The different kernels on a small grid, and which of them each observation has. Observations of one value share
/// an entry if their deviation is the floor, which leaves few others.
fn tabulate(axis: &NumericAxis, places: &[f64], widths: &Widths) -> (Vec<Entry>, Vec<u32>) {
    let mut entries: Vec<Entry> = Vec::new();
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
        let log_mass = if log_mass.is_finite() { log_mass } else { f64::INFINITY };
        entries.push(Entry { mu, sigma, log_mass });
        let entry = (entries.len() - 1) as u32;
        if let Some(cell) = cell {
            entry_of_cell[cell] = Some(entry);
        }
        entry
    };
    let column = places.iter().enumerate().map(entry).collect();
    (entries, column)
}

impl Group<'_> {
    pub(super) fn len(&self) -> usize {
        self.ratios.len()
    }

    /// For an axis of units the floor over each kernel's deviation; empty where all are 1.
    pub(super) fn inverses(&self, axis: usize) -> &[f64] {
        self.inverses.get(axis).map_or(&[], |inverses| inverses)
    }
}

impl Column<'_> {
    /// Adds one axis's part of `q` for a run of kernels. Of a cell it adds what its nearest point would have,
    /// which bounds its probability.
    pub(super) fn add_to(
        &self,
        q: &mut [f64],
        kind: &Kind,
        coordinate: &Coordinate,
        inverses: &[f64],
        kernels: Range<usize>,
    ) {
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
