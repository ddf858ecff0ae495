//! Which trials count as good. Complete and feasible ones come first, by value; then pruned ones, the farthest
//! first; then infeasible ones, by how much they violate their constraints. Earlier trials come first among equals.

use std::sync::Arc;

use trialog_numerics::{Points, select_by_hypervolume};
use trialog_replay::StudyView;

use super::fronts::Standing;
use crate::follow::Follower;

/// What the reference point is moved to where it would be 0, beyond which nothing would have volume.
const EPSILON: f64 = 1e-12;

/// The numbers of the `count` best trials, rising. For several objectives, or where complete ones are too few, it takes
/// what is kept of all trials, and of the last choice by hypervolume.
pub(super) fn good(
    view: &StudyView,
    count: usize,
    standing: &Follower<Standing>,
    last: &mut Option<Arc<Choice>>,
) -> Vec<u32> {
    let mut good: Vec<u32> = view.best().take(count).map(|trial| trial.number().0).collect();
    if good.len() < count {
        let (fit, begin) = (|_: &Standing| true, || Standing::new(view.directions()));
        good = standing.look(view, fit, begin, Standing::add, |standing| among_all(standing, count, last));
    }
    good.sort_unstable();
    good
}

fn among_all(standing: &Standing, count: usize, last: &mut Option<Arc<Choice>>) -> Vec<u32> {
    let (mut good, edge, losses) = standing.fronts().best(count);
    if edge.is_empty() {
        let rest = standing.others().take(count.saturating_sub(good.len()));
        good.extend(rest);
        return good;
    }
    let (dims, count) = (losses.len() / edge.len(), count - good.len());
    let known = last.take().filter(|choice| choice.losses == losses && choice.count == count);
    let choice = known.unwrap_or_else(|| Arc::new(Choice::new(losses, dims, count)));
    good.extend(choice.chosen.iter().map(|&at| edge[at]));
    *last = Some(choice);
    good
}

/// Of the front that does not fit as a whole, the points that have much hypervolume together.
#[derive(Debug)]
pub(super) struct Choice {
    /// Row by row.
    losses: Vec<f64>,
    count: usize,
    /// Which rows, in no particular order.
    chosen: Vec<usize>,
}

impl Choice {
    fn new(losses: Vec<f64>, dims: usize, count: usize) -> Choice {
        let points = Points::new(&losses, dims);
        let chosen = select_by_hypervolume(points, count, &reference_point(points));
        Choice { losses, count, chosen }
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
