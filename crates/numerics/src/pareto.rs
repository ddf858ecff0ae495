//! Who dominates whom among points of losses: the Pareto front, and the ranks of non-dominated sorting.

use crate::Points;

/// True if `a` is nowhere worse than `b` and somewhere better.
#[must_use]
pub fn dominates(a: &[f64], b: &[f64]) -> bool {
    a.iter().zip(b).all(|(x, y)| x <= y) && a.iter().zip(b).any(|(x, y)| x < y)
}

/// True if a point that comes lexicographically before another dominates it: the first coordinate needs no look.
fn dominates_later(earlier: &[f64], later: &[f64]) -> bool {
    earlier.iter().zip(later).skip(1).all(|(x, y)| x <= y)
}

/// The rank of each point: 0 for those that nothing dominates, 1 for those that only rank 0 dominates, and so on.
/// Equal points have equal ranks.
///
/// Points are placed in lexicographic order, each on the first front that does not dominate it, found by bisection
/// (Zhang, Tian, Cheng and Jin, "An efficient approach to nondominated sorting for evolutionary multiobjective
/// optimization", IEEE TEVC 2015, ENS-BS). With two coordinates a front dominates a later point if and only if its
/// smallest second coordinate does, so one number per front is enough and the whole takes O(n log n).
#[must_use]
pub fn non_dominated_ranks(points: Points<'_>) -> Vec<u32> {
    let (unique, place) = points.unique_in_order();
    let ranks = match points.dims() {
        0 => Vec::new(),
        1 => (0..unique.len()).collect(),
        2 => ranks_2d(points, &unique),
        _ => ranks_nd(points, &unique),
    };
    place.into_iter().map(|place| u32::try_from(ranks[place]).unwrap_or(u32::MAX)).collect()
}

fn ranks_2d(points: Points<'_>, unique: &[usize]) -> Vec<usize> {
    // The smallest second coordinate of each front; it rises from front to front.
    let mut lowest: Vec<f64> = Vec::new();
    let place = |&index: &usize| {
        let y = points.row(index)[1];
        let front = lowest.partition_point(|&low| low <= y);
        match lowest.get_mut(front) {
            Some(low) => *low = y,
            None => lowest.push(y),
        }
        front
    };
    unique.iter().map(place).collect()
}

fn ranks_nd(points: Points<'_>, unique: &[usize]) -> Vec<usize> {
    let mut fronts: Vec<Vec<usize>> = Vec::new();
    let place = |&index: &usize| {
        let row = points.row(index);
        // Latest first: near in lexicographic order, and so more likely to dominate.
        let dominated =
            |front: &Vec<usize>| front.iter().rev().any(|&other| dominates_later(points.row(other), row));
        let front = fronts.partition_point(dominated);
        match fronts.get_mut(front) {
            Some(members) => members.push(index),
            None => fronts.push(vec![index]),
        }
        front
    };
    unique.iter().map(place).collect()
}

/// The indices, rising, of the points that nothing dominates. Equal points are all in or all out.
#[must_use]
pub fn pareto_front(points: Points<'_>) -> Vec<usize> {
    let (unique, place) = points.unique_in_order();
    let on_front = front_of_ordered(points, &unique);
    (0..points.len()).filter(|&index| on_front[place[index]]).collect()
}

/// For points in lexicographic order without repetition: whether nothing dominates them.
pub(crate) fn front_of_ordered(points: Points<'_>, ordered: &[usize]) -> Vec<bool> {
    if points.dims() == 2 {
        let mut lowest = f64::INFINITY;
        let mut first = true;
        let is_new_low = |&index: &usize| {
            let y = points.row(index)[1];
            let lower = std::mem::take(&mut first) || y < lowest;
            lowest = lowest.min(y);
            lower
        };
        return ordered.iter().map(is_new_low).collect();
    }
    let mut front: Vec<usize> = Vec::new();
    let joins = |&index: &usize| {
        let row = points.row(index);
        let free = !front.iter().any(|&other| dominates_later(points.row(other), row));
        if free {
            front.push(index);
        }
        free
    };
    ordered.iter().map(joins).collect()
}
