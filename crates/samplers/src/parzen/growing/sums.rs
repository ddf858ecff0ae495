//! The sums along a single axis, which follow the observations one by one.
//!
//! Along the line of weights an observation's weight is `start + slope rank`, where both numbers change with every trial, so
//! that masses and masses times ranks are summed apart. When a number comes among others or goes, the ranks of all after it
//! change by one, and so the second sums by the masses after it: these are the masses of all less those up to it, of which
//! tables are kept at some numbers, those of the good trials above all, since it is they that come back.

use trialog_numerics::exp;

use super::{Coordinate, Form, GrowingAxis, Probe, Scale};
use crate::parzen::line::{Line, mean_over};
use crate::parzen::mixture::{FULL, KernelOptions, Ramp};
use crate::parzen::ranks::Ranks;
use crate::parzen::tree::Tree;

/// Sums are exact relative to the prior's share, which must not be too small beside an observation's.
const PRIOR_MIN: f64 = 1e-4;

/// So many changes leave traces of `1e-12` at most; of many observations a part of as many.
const CHANGES_MAX: usize = 4096;
const CHANGES_PART: usize = 8;

/// At so many numbers the masses up to them are kept.
const PREFIXES_MAX: usize = 40;

/// What is summed, by where it is.
#[derive(Clone, Debug)]
enum Bins {
    /// The kernels' heights at nodes.
    Nodes(Box<Line>),
    /// Kernels by their cell or choice.
    Each(usize),
}

/// The masses of observations up to a number.
#[derive(Clone, Debug)]
struct Prefix {
    upto: u32,
    masses: Vec<f64>,
}

/// The sums of masses, and of masses times ranks.
#[derive(Clone, Debug)]
pub(super) struct Sums {
    bins: Bins,
    masses: Vec<f64>,
    moments: Vec<f64>,
    /// By rising number.
    prefixes: Vec<Prefix>,
    heights: Vec<f64>,
    /// What was added and taken away since the sums were taken anew, which leaves traces.
    changes: usize,
    is_stale: bool,
}

impl Sums {
    /// Sums for these axes; none if they are not a single one.
    pub(super) fn of(forms: &[GrowingAxis], options: KernelOptions) -> Option<Sums> {
        let [GrowingAxis { form, .. }] = forms else { return None };
        if options.prior_weight < PRIOR_MIN {
            return None;
        }
        let bins = match form {
            Form::Units { axis, floor, .. } => Bins::Nodes(Box::new(Line::new(axis.width() / floor))),
            Form::Table { axis, .. } => Bins::Each(axis.cells() as usize),
            Form::Choices(choices) => Bins::Each(*choices),
        };
        let len = match &bins {
            Bins::Nodes(line) => line.len(),
            Bins::Each(len) => *len,
        };
        Some(Sums {
            bins,
            masses: vec![0.0; len],
            moments: vec![0.0; len],
            prefixes: Vec::new(),
            heights: Vec::new(),
            changes: 0,
            is_stale: true,
        })
    }

    /// How many numbers they hold.
    pub(super) fn values(&self) -> usize {
        self.masses.len() * (self.prefixes.len() + 2)
    }

    /// Has the sums taken anew before they are used.
    pub(super) fn forget(&mut self) {
        self.is_stale = true;
    }

    /// Adds an observation that counts; one of negative mass takes it away.
    pub(super) fn add(&mut self, number: u32, place: f64, mass: f64, rank: usize) {
        if self.is_stale || mass == 0.0 {
            return;
        }
        self.changes += 1;
        let start = self.bins.heights(place, &mut self.heights);
        let first = self.prefixes.partition_point(|prefix| prefix.upto < number);
        self.heights.iter_mut().for_each(|height| *height *= mass);
        let tables = self.prefixes[first..].iter_mut().map(|prefix| &mut prefix.masses);
        for table in tables.chain([&mut self.masses]) {
            table[start..].iter_mut().zip(&self.heights).for_each(|(sum, share)| *sum += share);
        }
        let rank = rank as f64;
        self.moments[start..].iter_mut().zip(&self.heights).for_each(|(sum, share)| *sum += share * rank);
    }

    /// Changes the ranks of all observations after a number that is none of them. It will be asked for again `if_kept`.
    pub(super) fn shift(&mut self, tree: &Tree, ranks: &Ranks, number: u32, by: f64, if_kept: bool) {
        let is_last = ranks.all_below(number);
        if self.is_stale || (is_last && !if_kept) {
            return;
        }
        let at = self.prefix(tree, ranks, number);
        if !is_last {
            self.changes += 1;
            let tables = self.masses.iter().zip(&self.prefixes[at].masses);
            for (moment, (all, before)) in self.moments.iter_mut().zip(tables) {
                *moment += by * (all - before);
            }
        }
        if self.prefixes.len() > PREFIXES_MAX {
            self.prefixes.remove(dispensable(&self.prefixes, ranks));
        }
    }

    /// Expects some numbers, rising, that are no observations to be asked for.
    pub(super) fn expect(&mut self, tree: &Tree, ranks: &Ranks, numbers: &[u32]) {
        for number in numbers.iter().step_by(numbers.len().div_ceil(PREFIXES_MAX).max(1)) {
            self.prefix(tree, ranks, *number);
        }
    }

    /// Where among the prefixes that of a number is.
    fn prefix(&mut self, tree: &Tree, ranks: &Ranks, number: u32) -> usize {
        self.prefixes.binary_search_by_key(&number, |prefix| prefix.upto).unwrap_or_else(|at| {
            let masses = self.masses_upto(tree, ranks, number, at);
            self.prefixes.insert(at, Prefix { upto: number, masses });
            at
        })
    }

    /// The masses of observations up to a number, which would be in this place among the prefixes: from those at the
    /// nearest number at which they are known.
    fn masses_upto(&mut self, tree: &Tree, ranks: &Ranks, number: u32, at: usize) -> Vec<f64> {
        let rank = ranks.rank(number);
        let before = at.checked_sub(1).map(|before| &self.prefixes[before]);
        let after = self.prefixes.get(at);
        let from = before.map_or(0, |before| before.upto.saturating_add(1));
        let upto = after.map_or(u32::MAX, |after| after.upto);
        let is_forward = rank - ranks.rank(from) <= ranks.rank(upto).saturating_sub(rank);
        let (mut masses, sign, range) = if is_forward {
            let nothing = || vec![0.0; self.masses.len()];
            (before.map_or_else(nothing, |before| before.masses.clone()), 1.0, from..=number)
        } else {
            (after.map_or(&self.masses, |after| &after.masses).clone(), -1.0, number..=upto)
        };
        let between: Vec<(f64, f64)> = ranks
            .from(*range.start())
            .take_while(|number| range.contains(number))
            .filter_map(|number| tree.slot(number))
            .map(|slot| (tree.places[0][slot], tree.factors[slot]))
            .collect();
        self.bins.add_to(&mut masses, &between, sign);
        masses
    }

    /// Sees to it that the sums can be used.
    pub(super) fn refresh(&mut self, tree: &Tree, ranks: &Ranks) {
        if !self.is_stale && self.changes <= CHANGES_MAX.max(ranks.len() / CHANGES_PART) {
            return;
        }
        let slots = ranks.from(0).filter_map(|number| tree.slot(number)).enumerate();
        let kernels = slots.map(|(rank, slot)| (tree.places[0][slot], tree.factors[slot], rank as f64));
        let kernels: Vec<(f64, f64, f64)> = kernels.filter(|(_, mass, _)| *mass > 0.0).collect();
        let weighed = |weight: fn(f64, f64) -> f64| {
            kernels.iter().map(|&(place, mass, rank)| (place, weight(mass, rank))).collect::<Vec<_>>()
        };
        self.masses.fill(0.0);
        self.moments.fill(0.0);
        self.bins.add_to(&mut self.masses, &weighed(|mass, _| mass), 1.0);
        self.bins.add_to(&mut self.moments, &weighed(|mass, rank| mass * rank), 1.0);
        self.prefixes.clear();
        (self.changes, self.is_stale) = (0, false);
    }

    /// What the observations that count add up to at points, relative to the prior.
    pub(super) fn at(&self, probes: &[&Probe<'_>], (tree, ranks): (&Tree, &Ranks), scale: &Scale) -> Vec<f64> {
        let Ramp { length, start, slope } = scale.ramp;
        // The newest weigh 1, and not what the line beyond its end would give them.
        let mut newest: Vec<(f64, f64)> = Vec::new();
        if slope > 0.0 {
            for number in ranks.from(ranks.start_of_last(FULL)) {
                let rank = ranks.rank(number);
                if let Some(slot) = tree.slot(number).filter(|_| rank >= length) {
                    let beyond = 1.0 - (start + slope * rank as f64);
                    newest.push((tree.places[0][slot], tree.factors[slot] * beyond));
                }
            }
        }
        let weighed: Vec<f64> = match &self.bins {
            Bins::Nodes(_) => Vec::new(),
            Bins::Each(_) => {
                let sums = self.masses.iter().zip(&self.moments);
                let mut weighed: Vec<f64> = sums.map(|(mass, moment)| start * mass + slope * moment).collect();
                newest.iter().for_each(|&(place, weight)| weighed[place as usize] += weight);
                weighed
            }
        };
        let near = |x: f64| match &self.bins {
            Bins::Nodes(line) => {
                let [mass, moment] = line.at(x, [&self.masses, &self.moments]);
                let beyond = newest.iter().map(|(place, weight)| weight * exp(-0.5 * (x - place) * (x - place)));
                start * mass + slope * moment + beyond.sum::<f64>()
            }
            Bins::Each(_) => 0.0,
        };
        let sum = |probe: &&Probe<'_>| {
            let sum = match probe.coordinates[..] {
                [Coordinate::Number(x)] => near(x),
                [Coordinate::Cell { middle, half }] => mean_over(middle, half, near),
                [Coordinate::Row(row, _)] => {
                    row.iter().zip(&weighed).map(|(q, weight)| weight * exp(-0.5 * q)).sum()
                }
                [Coordinate::Choice(x, hit, miss)] => {
                    let of = |(choice, weight): (usize, &f64)| {
                        weight * exp(-0.5 * if choice as f64 == x { hit } else { miss })
                    };
                    weighed.iter().enumerate().map(of).sum()
                }
                _ => f64::NAN,
            };
            sum.max(0.0) * exp(probe.base) / scale.prior_weight
        };
        probes.iter().map(sum).collect()
    }
}

impl Bins {
    /// How much a kernel adds to each of a run of bins, and the first of them.
    fn heights(&self, place: f64, heights: &mut Vec<f64>) -> usize {
        match self {
            Bins::Nodes(line) => line.heights(place, heights),
            Bins::Each(_) => {
                heights.clear();
                heights.push(1.0);
                place as usize
            }
        }
    }

    /// Adds many kernels to a table, each a place and a weight, or takes them away if the sign is negative.
    fn add_to(&self, table: &mut [f64], kernels: &[(f64, f64)], sign: f64) {
        match self {
            Bins::Nodes(line) => line.add_to(table, kernels, sign),
            Bins::Each(_) => kernels.iter().for_each(|&(place, weight)| table[place as usize] += sign * weight),
        }
    }
}

/// Which of too many prefixes is to go: one whose number was an observation again if there is any, or else the one that
/// is found again from its neighbours with the least work.
fn dispensable(prefixes: &[Prefix], ranks: &Ranks) -> usize {
    let work = |at: usize| {
        let before = at.checked_sub(1).map_or(0, |before| ranks.rank(prefixes[before].upto));
        let after = prefixes.get(at + 1).map_or(ranks.len(), |after| ranks.rank(after.upto));
        (!ranks.contains(prefixes[at].upto), after - before)
    };
    (0..prefixes.len()).min_by_key(|&at| work(at)).unwrap_or(0)
}
