//! Looking for the most promising point: many points that fill the space and some around the best ones known, and
//! from a few of them uphill: continuous coordinates together by L-BFGS-B, each discrete one by itself.

use trialog_numerics::{LbfgsbOptions, Stream, lbfgsb, ndtri};

use super::acquisition::{Acquisition, Scratch};
use super::axes::{Axis, Moves};
use super::branches::Branches;

/// Points that fill the space.
const SPREAD: usize = 1024;
/// Points around the best known ones.
const NEAR: usize = 256;
/// Points from which to go uphill.
const STARTS: usize = 10;
/// Grids with more points than this are not tried through.
const TRIED_THROUGH: usize = 16;
/// Rounds of a start through all coordinates.
const ROUNDS: usize = 100;

/// The best point found, and which coordinates it has, by bits: all of them unless there are `branches`. `known` are the best points so far, from which the search begins too; `lengths` are the
/// length-scales, by which the coordinates become comparable.
pub(crate) fn maximize(
    acquisition: &Acquisition,
    axes: &[Axis],
    branches: Option<&Branches>,
    known: &[Vec<f64>],
    lengths: &[f64],
    stream: &mut Stream,
) -> (Vec<f64>, u64) {
    let mut columns = latin_hypercube(axes.len(), SPREAD, stream);
    for (column, axis) in columns.iter_mut().zip(axes) {
        column.iter_mut().for_each(|share| *share = axis.spread(*share));
    }
    for index in 0..if known.is_empty() { 0 } else { NEAR } {
        let near = nearby(&known[index % known.len()], axes, stream);
        for (column, value) in columns.iter_mut().zip(near) {
            column.push(value);
        }
    }
    if let Some(branches) = branches {
        for index in 0..columns.first().map_or(0, Vec::len) {
            let mut point: Vec<f64> = columns.iter().map(|column| column[index]).collect();
            branches.settle(axes, &mut point, index);
            columns.iter_mut().zip(point).for_each(|(column, value)| column[index] = value);
        }
    }
    let values = acquisition.values(&columns);
    let starts = choose(&values, STARTS.saturating_sub(known.len()).max(1), stream);
    let starts = starts.into_iter().map(|index| columns.iter().map(|column| column[index]).collect());
    let mut scratch = Scratch::default();
    let mut best: Option<(f64, Vec<f64>)> = None;
    for mut start in starts.chain(known.iter().cloned()) {
        let has = branches.map_or(u64::MAX, |branches| branches.settle(axes, &mut start, 0));
        // What conditions hang on stays as it is: there are starts in every branch.
        let moves = |d: &usize| branches.is_none_or(|branches| has >> d & 1 == 1 && !branches.hang_on(*d));
        let found = climb(acquisition, axes, (0..axes.len()).filter(moves), lengths, start, &mut scratch);
        if best.as_ref().is_none_or(|(value, _)| found.0 > *value) {
            best = Some(found);
        }
    }
    let mut point = best.map_or_else(|| vec![0.5; axes.len()], |(_, point)| point);
    let has = branches.map_or(u64::MAX, |branches| branches.settle(axes, &mut point, 0));
    (point, has)
}

/// Points of which every coordinate fills [0, 1) evenly: one in each of `len` stretches, in random order (McKay,
/// Beckman and Conover, "A comparison of three methods for selecting values of input variables", Technometrics 21
/// (1979)). By coordinate.
pub(crate) fn latin_hypercube(dims: usize, len: usize, stream: &mut Stream) -> Vec<Vec<f64>> {
    let mut column = |_| {
        let mut column: Vec<f64> = (0..len).map(|i| (i as f64 + stream.uniform()) / len as f64).collect();
        for i in (1..len).rev() {
            column.swap(i, stream.below(i as u64 + 1) as usize);
        }
        column
    };
    (0..dims).map(&mut column).collect()
}

/// A known point, moved: by a half to a five-hundredth of the range, in all coordinates or in some.
pub(crate) fn nearby(point: &[f64], axes: &[Axis], stream: &mut Stream) -> Vec<f64> {
    let reach = 0.5_f64.powi(1 + stream.below(8) as i32);
    let only = stream.below(2 * axes.len() as u64) as usize;
    let mut moved = |(at, (x, axis)): (usize, (&f64, &Axis))| {
        let (share, chance) = (stream.uniform(), stream.uniform());
        // Every second time only one coordinate moves.
        if only < axes.len() && only != at {
            return *x;
        }
        let step = reach * ndtri(share.max(1e-9));
        match axis.moves {
            Moves::Freely => (x + step).clamp(0.0, 1.0),
            Moves::Grid(_) => axis.place(axis.nearest((x + step).clamp(0.0, 1.0))),
            Moves::Choices(count) if chance < reach || only == at => (share * count as f64).floor(),
            Moves::Choices(_) => *x,
        }
    };
    point.iter().zip(axes).enumerate().map(&mut moved).collect()
}

/// The best, and others with probabilities in proportion to their acquisition, without repetition: the largest sums
/// of the logarithm and a Gumbel variable (Yellott, J. Math. Psych. 15 (1977)).
fn choose(values: &[f64], count: usize, stream: &mut Stream) -> Vec<usize> {
    let highest = (0..values.len()).fold(0, |best, at| if values[at] > values[best] { at } else { best });
    let mut keys: Vec<(f64, usize)> = values
        .iter()
        .enumerate()
        .map(|(at, value)| {
            let gumbel = -libm::log(-libm::log(stream.uniform().max(1e-300)));
            (if at == highest { f64::INFINITY } else { value + gumbel }, at)
        })
        .collect();
    keys.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    keys.into_iter().take(count).map(|(_, at)| at).collect()
}

/// Uphill from a point until none of the coordinates that may move changes any more.
fn climb(
    acquisition: &Acquisition,
    axes: &[Axis],
    moving: impl Iterator<Item = usize>,
    lengths: &[f64],
    start: Vec<f64>,
    scratch: &mut Scratch,
) -> (f64, Vec<f64>) {
    let (free, discrete): (Vec<usize>, Vec<usize>) = moving.partition(|&d| axes[d].moves == Moves::Freely);
    let mut point = start;
    for &d in &free {
        point[d] = point[d].clamp(0.0, 1.0);
    }
    let mut value = acquisition.value(&point);
    // The coordinate, or all continuous ones, that changed last: a whole round without a change is the end.
    let mut unchanged = 0;
    let turns = discrete.len() + usize::from(!free.is_empty());
    for turn in 0..ROUNDS * turns {
        let at = turn % turns;
        let moved = if at < turns - discrete.len() {
            climb_freely(acquisition, &free, lengths, &mut point, &mut value, scratch)
        } else {
            let d = discrete[at + discrete.len() - turns];
            climb_axis(acquisition, &axes[d], d, &mut point, &mut value)
        };
        unchanged = if moved { 1 } else { unchanged + 1 };
        if unchanged >= turns {
            break;
        }
    }
    (value, point)
}

/// Moves the continuous coordinates together, each measured in length-scales, which makes them comparable.
fn climb_freely(
    acquisition: &Acquisition,
    free: &[usize],
    lengths: &[f64],
    point: &mut [f64],
    value: &mut f64,
    scratch: &mut Scratch,
) -> bool {
    let scaled: Vec<f64> = free.iter().map(|&d| point[d] / lengths[d]).collect();
    let bounds: Vec<(f64, f64)> = free.iter().map(|&d| (0.0, 1.0 / lengths[d])).collect();
    let options = LbfgsbOptions { gradient_tolerance: 1e-2, max_iterations: 200, ..LbfgsbOptions::default() };
    let mut at = point.to_vec();
    let mut whole = vec![0.0; point.len()];
    let result = lbfgsb(&scaled, &bounds, options, |scaled, gradient| {
        for (&d, x) in free.iter().zip(scaled) {
            at[d] = (x * lengths[d]).clamp(0.0, 1.0);
        }
        let value = acquisition.gradient(&at, &mut whole, scratch);
        for (gradient, &d) in gradient.iter_mut().zip(free) {
            *gradient = -whole[d] * lengths[d];
        }
        -value
    });
    if result.iterations == 0 || -result.value <= *value {
        return false;
    }
    *value = -result.value;
    for (&d, x) in free.iter().zip(&result.x) {
        point[d] = (x * lengths[d]).clamp(0.0, 1.0);
    }
    true
}

/// Moves one discrete coordinate: tries all, or steps over the grid that halve when neither neighbour is better.
fn climb_axis(acquisition: &Acquisition, axis: &Axis, d: usize, point: &mut [f64], value: &mut f64) -> bool {
    let (count, is_small) = match axis.moves {
        Moves::Freely => return false,
        Moves::Choices(count) => (count, true),
        Moves::Grid(count) => (count, count <= TRIED_THROUGH),
    };
    let before = axis.nearest(point[d]);
    let mut now = before;
    if is_small {
        let column = |at: usize| -> Vec<f64> {
            if at == d { (0..count).map(|index| axis.place(index)).collect() } else { vec![point[at]; count] }
        };
        let columns: Vec<Vec<f64>> = (0..point.len()).map(column).collect();
        let values = acquisition.values(&columns);
        let best = (0..count).fold(before, |best, index| if values[index] > values[best] { index } else { best });
        if best == before {
            return false;
        }
        // Once more as the climb evaluates, so that rounding never looks like a gain.
        let mut moved = point.to_vec();
        moved[d] = axis.place(best);
        let found = acquisition.value(&moved);
        if found <= *value {
            return false;
        }
        (*value, point[d]) = (found, moved[d]);
        return true;
    }
    let mut moved = point.to_vec();
    let mut step = (count / 4).max(1);
    loop {
        let mut is_better = false;
        for index in [now.checked_sub(step), Some(now + step).filter(|&up| up < count)].into_iter().flatten() {
            moved[d] = axis.place(index);
            let found = acquisition.value(&moved);
            if found > *value {
                (*value, now, is_better) = (found, index, true);
                break;
            }
        }
        if !is_better {
            if step == 1 {
                break;
            }
            step /= 2;
        }
    }
    point[d] = if now == before { point[d] } else { axis.place(now) };
    now != before
}
