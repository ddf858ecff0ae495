//! The finished trials in the order in which they count as good, kept as they end one after another: complete ones in
//! fronts by non-dominated sorting, pruned ones by how far they came, infeasible ones by how much they violate.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use trialog_numerics::dominates;
use trialog_ops::{Direction, TrialState};
use trialog_replay::TrialView;

/// A number of which less is better; equal ones in no order, and -0 equals 0.
#[derive(Clone, Copy, Debug)]
struct Less(f64);

impl Ord for Less {
    fn cmp(&self, other: &Less) -> Ordering {
        (self.0 + 0.0).total_cmp(&(other.0 + 0.0))
    }
}

impl PartialOrd for Less {
    fn partial_cmp(&self, other: &Less) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Less {
    fn eq(&self, other: &Less) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Less {}

/// Finished trials. Earlier ones come first among equals.
#[derive(Clone, Debug)]
pub(super) struct Standing {
    directions: Vec<Direction>,
    fronts: Fronts,
    /// The farthest first, and by value among those that came as far.
    pruned: BTreeSet<(i128, Less, u32)>,
    infeasible: BTreeSet<(Less, u32)>,
}

impl Standing {
    /// Of no trials yet.
    pub(super) fn new(directions: &[Direction]) -> Standing {
        Standing {
            directions: directions.to_vec(),
            fronts: Fronts::new(directions.len()),
            pruned: BTreeSet::new(),
            infeasible: BTreeSet::new(),
        }
    }

    /// Takes in a trial that has ended.
    pub(super) fn add(&mut self, trial: TrialView<'_>) {
        let number = trial.number().0;
        match trial.state() {
            TrialState::Complete | TrialState::Pruned if !trial.is_feasible() => {
                self.infeasible.insert((Less(trial.violation()), number));
            }
            TrialState::Complete => {
                let loss = |(at, d): (usize, &Direction)| d.loss(trial.value(at).unwrap_or(f64::INFINITY));
                let losses: Vec<f64> = self.directions.iter().enumerate().map(loss).collect();
                self.fronts.add(number, &losses);
            }
            TrialState::Pruned => {
                let (steps, loss) = match trial.reports().last() {
                    Some(&(step, value)) if value.is_nan() => (-i128::from(step), f64::INFINITY),
                    Some(&(step, value)) => (-i128::from(step), self.directions[0].loss(value)),
                    None => (1, 0.0),
                };
                self.pruned.insert((steps, Less(loss), number));
            }
            TrialState::Running | TrialState::Fail | TrialState::Waiting => {}
        }
    }

    pub(super) fn fronts(&self) -> &Fronts {
        &self.fronts
    }

    /// The trials that are not complete and feasible, by number.
    pub(super) fn others(&self) -> impl Iterator<Item = u32> {
        let pruned = self.pruned.iter().map(|(.., number)| *number);
        pruned.chain(self.infeasible.iter().map(|(_, number)| *number))
    }
}

/// Points of losses by non-dominated rank.
///
/// A point that comes can raise a rank by one at most: of the front that it joins those that it dominates go to the next
/// one, of which those that are dominated by these go on, and so forth.
#[derive(Clone, Debug)]
pub(super) struct Fronts {
    dims: usize,
    numbers: Vec<u32>,
    /// Row by row.
    losses: Vec<f64>,
    /// The rows of each front, in no particular order.
    fronts: Vec<Vec<u32>>,
}

impl Fronts {
    fn new(dims: usize) -> Fronts {
        Fronts { dims, numbers: Vec::new(), losses: Vec::new(), fronts: Vec::new() }
    }

    fn add(&mut self, number: u32, losses: &[f64]) {
        let row = self.numbers.len() as u32;
        self.numbers.push(number);
        self.losses.extend_from_slice(losses);
        let (dims, all) = (self.dims, &self.losses);
        let point = |row: u32| &all[row as usize * dims..][..dims];
        let dominates_it = |front: &Vec<u32>| front.iter().any(|&other| dominates(point(other), losses));
        let mut at = self.fronts.partition_point(dominates_it);
        let mut coming = vec![row];
        while !coming.is_empty() {
            let Some(front) = self.fronts.get_mut(at) else {
                self.fronts.push(coming);
                return;
            };
            // Most points are out of reach of all that are coming, which is seen by their least coordinates.
            let mut least = vec![f64::INFINITY; dims];
            for &row in &coming {
                least.iter_mut().zip(point(row)).for_each(|(least, &loss)| *least = least.min(loss));
            }
            let is_beaten = |&row: &u32| {
                let point_of = point(row);
                least.iter().zip(point_of).all(|(least, loss)| least <= loss)
                    && coming.iter().any(|&other| dominates(point(other), point_of))
            };
            let (beaten, stay): (Vec<u32>, Vec<u32>) = front.iter().copied().partition(is_beaten);
            *front = stay;
            front.append(&mut coming);
            coming = beaten;
            at += 1;
        }
    }

    /// The numbers of all points of the first fronts, as many whole ones as fit into `count`, and if that is not all, the
    /// points of the next one by rising number: their numbers, and their losses row by row.
    pub(super) fn best(&self, count: usize) -> (Vec<u32>, Vec<u32>, Vec<f64>) {
        let number = |row: &u32| self.numbers[*row as usize];
        let mut best: Vec<u32> = Vec::with_capacity(count);
        for front in &self.fronts {
            if best.len() == count {
                break;
            }
            if best.len() + front.len() > count {
                let mut edge = front.clone();
                edge.sort_unstable_by_key(number);
                let losses = edge.iter().flat_map(|&row| &self.losses[row as usize * self.dims..][..self.dims]);
                return (best, edge.iter().map(number).collect(), losses.copied().collect());
            }
            best.extend(front.iter().map(number));
        }
        (best, Vec::new(), Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use trialog_numerics::{Points, non_dominated_ranks};

    fn check(points: &[Vec<f64>], dims: usize) {
        let mut fronts = Fronts::new(dims);
        points.iter().enumerate().for_each(|(at, point)| fronts.add(at as u32, &point[..dims]));
        let flat: Vec<f64> = points.iter().flat_map(|point| &point[..dims]).copied().collect();
        let ranks = non_dominated_ranks(Points::new(&flat, dims));
        let mut found = vec![u32::MAX; points.len()];
        for (rank, front) in fronts.fronts.iter().enumerate() {
            assert!(!front.is_empty());
            front.iter().for_each(|&row| found[row as usize] = rank as u32);
        }
        assert_eq!(found, ranks);
    }

    proptest! {
        #[test]
        fn they_are_what_sorting_gives(
            points in prop::collection::vec(
                prop::collection::vec(prop::sample::select(vec![f64::NEG_INFINITY, -1.5, -0.0, 0.0, 1.0, 2.0, 3.0, 4.0, 9.0, f64::INFINITY]), 4),
                0..80,
            ),
            dims in 1_usize..5,
        ) {
            check(&points, dims);
        }
    }

    #[test]
    #[should_panic(expected = "left")]
    fn canary() {
        let mut fronts = Fronts::new(2);
        fronts.add(0, &[0.0, 0.0]);
        fronts.add(1, &[1.0, 1.0]);
        assert_eq!(fronts.fronts.len(), 1);
    }
}
