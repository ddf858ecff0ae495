//! Which trials count as good. Complete and feasible ones come first, by value; then pruned ones, the farthest
//! first; then infeasible ones, by how much they violate their constraints. Earlier trials come first among equals.

use std::cmp::Ordering;
use std::sync::Arc;

use trialog_numerics::{Points, non_dominated_ranks, select_by_hypervolume};
use trialog_ops::{Direction, TrialState};
use trialog_replay::{StudyView, TrialView};

/// What the reference point is moved to where it would be 0, beyond which nothing would have volume.
const EPSILON: f64 = 1e-12;

/// The numbers of the `count` best trials, rising. `ranked` puts the trials of several objectives in order.
pub(crate) fn good(view: &StudyView, count: usize, ranked: impl FnOnce(Losses) -> Arc<Ranking>) -> Vec<u32> {
    let mut good: Vec<u32> = view.best().take(count).map(|trial| trial.number().0).collect();
    if good.len() < count {
        good = among_all(view, count, ranked);
    }
    good.sort_unstable();
    good
}

/// The same by looking at every trial: for several objectives, or where complete ones are too few.
fn among_all(view: &StudyView, count: usize, ranked: impl FnOnce(Losses) -> Arc<Ranking>) -> Vec<u32> {
    let (mut complete, mut pruned, mut infeasible) = (Vec::new(), Vec::new(), Vec::new());
    for trial in view.trials() {
        match trial.state() {
            TrialState::Complete | TrialState::Pruned if !trial.is_feasible() => infeasible.push(trial),
            TrialState::Complete => complete.push(trial),
            TrialState::Pruned => pruned.push(trial),
            TrialState::Running | TrialState::Fail | TrialState::Waiting => {}
        }
    }
    let mut good = best_complete(view, &complete, count, ranked);
    let sign = view.directions()[0];
    pruned.sort_by(|a, b| compare(progress(*a, sign), progress(*b, sign)));
    infeasible.sort_by(|a, b| a.violation().total_cmp(&b.violation()));
    let rest = pruned.iter().chain(&infeasible).take(count.saturating_sub(good.len()));
    good.extend(rest.map(|trial| trial.number().0));
    good
}

fn best_complete(
    view: &StudyView,
    complete: &[TrialView<'_>],
    count: usize,
    ranked: impl FnOnce(Losses) -> Arc<Ranking>,
) -> Vec<u32> {
    let numbers = |indices: &[usize]| indices.iter().map(|&index| complete[index].number().0).collect();
    if count >= complete.len() {
        return complete.iter().map(|trial| trial.number().0).collect();
    }
    let directions = view.directions();
    let losses: Vec<f64> = complete
        .iter()
        .flat_map(|trial| {
            directions.iter().enumerate().map(|(at, d)| d.loss(trial.value(at).unwrap_or(f64::INFINITY)))
        })
        .collect();
    if directions.len() > 1 {
        return numbers(&ranked(Losses { values: losses, dims: directions.len(), count }).best);
    }
    let mut order: Vec<usize> = (0..complete.len()).collect();
    // -0 and 0 are equal: the sort is by comparison, and stable.
    order.sort_by(|&a, &b| losses[a].partial_cmp(&losses[b]).unwrap_or(Ordering::Equal));
    order.truncate(count);
    numbers(&order)
}

/// How far a pruned trial came, and how good it was there; less is better.
fn progress(trial: TrialView<'_>, direction: Direction) -> (i128, f64) {
    match trial.reports().last() {
        Some(&(step, value)) if value.is_nan() => (-i128::from(step), f64::INFINITY),
        Some(&(step, value)) => (-i128::from(step), direction.loss(value)),
        None => (1, 0.0),
    }
}

fn compare(a: (i128, f64), b: (i128, f64)) -> Ordering {
    a.partial_cmp(&b).unwrap_or(Ordering::Equal)
}

/// Trials of several objectives of which the best are wanted.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Losses {
    /// Row by row.
    values: Vec<f64>,
    dims: usize,
    count: usize,
}

/// The best trials of several objectives.
#[derive(Debug)]
pub(crate) struct Ranking {
    of: Losses,
    /// Which rows, in no particular order.
    best: Vec<usize>,
}

impl Ranking {
    /// True if this is what [`Ranking::new`] would give for the losses.
    pub(crate) fn is_of(&self, losses: &Losses) -> bool {
        self.of == *losses
    }

    /// Whole fronts as long as they fit, and of the one that does not, the points that have much hypervolume
    /// together.
    pub(crate) fn new(losses: Losses) -> Ranking {
        let points = Points::new(&losses.values, losses.dims);
        let ranks = non_dominated_ranks(points);
        let mut order: Vec<usize> = (0..points.len()).collect();
        order.sort_by_key(|&row| ranks[row]);
        let last_rank = losses.count.checked_sub(1).and_then(|last| order.get(last)).map(|&row| ranks[row]);
        let Some(last_rank) = last_rank else { return Ranking { of: losses, best: Vec::new() } };
        let mut best: Vec<usize> = order.iter().copied().take_while(|&row| ranks[row] < last_rank).collect();
        let edge: Vec<usize> = order.into_iter().filter(|&row| ranks[row] == last_rank).collect();
        let edge_values: Vec<f64> = edge.iter().flat_map(|&row| points.row(row)).copied().collect();
        let edge_points = Points::new(&edge_values, losses.dims);
        let chosen = select_by_hypervolume(edge_points, losses.count - best.len(), &reference_point(edge_points));
        best.extend(chosen.into_iter().map(|at| edge[at]));
        Ranking { of: losses, best }
    }
}

/// A little worse than the worst of the points in every objective.
fn reference_point(points: Points<'_>) -> Vec<f64> {
    let worst = |at: usize| (0..points.len()).map(|row| points.row(row)[at]).fold(f64::NEG_INFINITY, f64::max);
    let beyond = |worst: f64| {
        let reference = f64::max(1.1 * worst, 0.9 * worst);
        if reference == 0.0 { EPSILON } else { reference }
    };
    (0..points.dims()).map(|at| beyond(worst(at))).collect()
}
