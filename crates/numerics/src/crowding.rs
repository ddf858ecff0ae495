//! What tells points of one front apart: how crowded they are, and which direction from the ideal point they stand for.

use libm::sqrt;

use crate::Points;

/// The crowding distance of each point: the distance between its neighbours in each coordinate, relative to the whole
/// finite width, summed up; infinite for the first and the last in a coordinate. A coordinate in which all are equal
/// tells nothing and is passed over.
///
/// Deb, Pratap, Agarwal and Meyarivan, "A fast and elitist multiobjective genetic algorithm: NSGA-II", IEEE TEVC 6
/// (2002), section III B; with infinite losses as in Optuna 5.0.0: equal infinities are no distance apart. Of equal
/// coordinates the order of the coordinate before decides who is whose neighbour.
#[must_use]
pub fn crowding_distances(points: Points<'_>) -> Vec<f64> {
    let mut distances = vec![0.0; points.len()];
    let mut order: Vec<usize> = (0..points.len()).collect();
    for axis in 0..points.dims() {
        let at = |index: usize| points.row(index)[axis];
        order.sort_by(|&a, &b| at(a).partial_cmp(&at(b)).unwrap_or(std::cmp::Ordering::Equal));
        let (Some(&first), Some(&last)) = (order.first(), order.last()) else { break };
        if at(first) == at(last) {
            continue;
        }
        let lowest = order.iter().map(|&index| at(index)).find(|value| *value != f64::NEG_INFINITY);
        let highest = order.iter().rev().map(|&index| at(index)).find(|value| *value != f64::INFINITY);
        let width = match (lowest, highest) {
            (Some(lowest), Some(highest)) if highest > lowest => highest - lowest,
            _ => 1.0,
        };
        for (place, &index) in order.iter().enumerate() {
            let below = if place == 0 { f64::NEG_INFINITY } else { at(order[place - 1]) };
            let above = order.get(place + 1).map_or(f64::INFINITY, |&next| at(next));
            distances[index] += if below == above { 0.0 } else { (above - below) / width };
        }
    }
    distances
}

/// Directions from the ideal point, evenly spread over those into the first orthant: all vectors of shares that are
/// multiples of `1 / divisions` and sum to 1, row by row.
///
/// Das and Dennis, "Normal-boundary intersection", SIAM Journal on Optimization 8 (1998).
#[must_use]
pub fn even_directions(dims: usize, divisions: usize) -> Vec<f64> {
    fn fill(row: &mut Vec<f64>, left: usize, dims: usize, divisions: usize, all: &mut Vec<f64>) {
        let share = |count: usize| count as f64 / divisions.max(1) as f64;
        if row.len() + 1 == dims {
            all.extend_from_slice(row);
            all.push(share(left));
            return;
        }
        for count in (0..=left).rev() {
            row.push(share(count));
            fill(row, left - count, dims, divisions, all);
            row.pop();
        }
    }
    let mut all = Vec::new();
    if dims > 0 {
        fill(&mut Vec::with_capacity(dims), divisions, dims, divisions, &mut all);
    }
    all
}

/// How many rows [`even_directions`] has: `(dims + divisions - 1)! / divisions! / (dims - 1)!`.
#[must_use]
pub fn even_direction_count(dims: usize, divisions: usize) -> usize {
    // After each factor the product is a binomial coefficient, and so the division is exact.
    (1..=divisions).fold(1, |count: usize, k| count.saturating_mul(dims + k - 1) / k)
}

/// The points seen from the ideal point and scaled so that the front reaches 1 on each axis, row by row.
///
/// Deb and Jain, "An evolutionary many-objective optimization algorithm using reference-point-based nondominated sorting
/// approach, part I", IEEE TEVC 18 (2014), section IV C: the extreme points are those that are best by an achievement
/// function with weights of 1e6, and the hyperplane through them has the intercepts. Where there is no such plane, or an
/// intercept is not positive, the largest coordinates take its place. Infinite losses are moved to three widths beyond
/// the finite ones, as in Optuna 5.0.0.
#[must_use]
pub fn normalized(points: Points<'_>) -> Vec<f64> {
    const OTHER_AXES: f64 = 1e6;
    let dims = points.dims();
    let mut values: Vec<f64> = (0..points.len()).flat_map(|index| points.row(index)).copied().collect();
    for axis in 0..dims {
        let column = || (0..points.len()).map(|index| points.row(index)[axis]);
        let finite = || column().filter(|value| value.is_finite());
        let (low, high) = (finite().fold(f64::INFINITY, f64::min), finite().fold(f64::NEG_INFINITY, f64::max));
        // Without any finite value infinities are all that is to be told apart.
        let (low, high) = if low <= high { (low, high) } else { (0.0, 0.0) };
        let margin = 3.0 * (high - low);
        for row in values.chunks_exact_mut(dims) {
            row[axis] = row[axis].max(low - margin).min(high + margin);
        }
        let ideal = values.iter().skip(axis).step_by(dims).copied().fold(f64::INFINITY, f64::min);
        values.iter_mut().skip(axis).step_by(dims).for_each(|value| *value -= ideal);
    }
    let mut extremes = Vec::with_capacity(dims * dims);
    for axis in 0..dims {
        let achievement = |row: &[f64]| {
            let weighted = row.iter().enumerate().map(|(at, x)| if at == axis { *x } else { x * OTHER_AXES });
            weighted.fold(f64::NEG_INFINITY, f64::max)
        };
        let mut best: Option<(f64, &[f64])> = None;
        for row in values.chunks_exact(dims) {
            let value = achievement(row);
            if best.is_none_or(|(least, _)| value < least) {
                best = Some((value, row));
            }
        }
        extremes.extend(best.into_iter().flat_map(|(_, row)| row));
    }
    let largest = |axis: usize| values.iter().skip(axis).step_by(dims).copied().fold(0.0, f64::max);
    let scales = plane_through(extremes, dims).unwrap_or_else(|| {
        (0..dims).map(|axis| Some(1.0 / largest(axis)).filter(|scale| scale.is_finite()).unwrap_or(1.0)).collect()
    });
    for row in values.chunks_exact_mut(dims) {
        row.iter_mut().zip(&scales).for_each(|(value, scale)| *value *= scale);
    }
    values
}

/// The reciprocals of the intercepts of the hyperplane through as many points as there are axes, if all are positive:
/// the solution of `points * x = 1`, by elimination with the largest pivot.
fn plane_through(mut points: Vec<f64>, dims: usize) -> Option<Vec<f64>> {
    const SINGULAR: f64 = 1e-13;
    if points.len() != dims * dims {
        return None;
    }
    let largest = points.iter().fold(0.0, |largest: f64, x| largest.max(x.abs()));
    let mut right = vec![1.0; dims];
    for column in 0..dims {
        let pivot = (column..dims)
            .max_by(|&a, &b| points[a * dims + column].abs().total_cmp(&points[b * dims + column].abs()))?;
        for at in 0..dims {
            points.swap(column * dims + at, pivot * dims + at);
        }
        right.swap(column, pivot);
        if points[column * dims + column].abs() <= SINGULAR * largest {
            return None;
        }
        for row in column + 1..dims {
            let factor = points[row * dims + column] / points[column * dims + column];
            for at in column..dims {
                points[row * dims + at] -= factor * points[column * dims + at];
            }
            right[row] -= factor * right[column];
        }
    }
    for row in (0..dims).rev() {
        let known: f64 = (row + 1..dims).map(|at| points[row * dims + at] * right[at]).sum();
        right[row] = (right[row] - known) / points[row * dims + row];
    }
    right.iter().all(|x| *x > 0.0 && x.is_finite()).then_some(right)
}

/// For each point the direction whose line from the origin is nearest, and its distance from that line (Deb and Jain
/// 2014, section IV D).
///
/// # Panics
/// If there is no direction, or directions have another number of coordinates than the points.
#[must_use]
pub fn nearest_directions(points: Points<'_>, directions: Points<'_>) -> Vec<(usize, f64)> {
    assert_eq!(points.dims(), directions.dims(), "directions have as many coordinates as the points");
    assert!(!directions.is_empty(), "there is a direction");
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let squares: Vec<f64> = (0..directions.len()).map(|at| dot(directions.row(at), directions.row(at))).collect();
    let nearest = |index: usize| {
        let point = points.row(index);
        let mut best = (0, f64::INFINITY);
        for (at, square) in squares.iter().enumerate() {
            let direction = directions.row(at);
            let along = if *square > 0.0 { dot(point, direction) / square } else { 0.0 };
            let beside: f64 = point.iter().zip(direction).map(|(x, d)| (x - along * d) * (x - along * d)).sum();
            if beside < best.1 {
                best = (at, beside);
            }
        }
        (best.0, sqrt(best.1))
    };
    (0..points.len()).map(nearest).collect()
}
