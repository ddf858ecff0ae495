//! Hypervolume, the measure of what a set of points dominates up to a reference point, and the choice of a subset
//! that has much of it. Losses may be infinite; so then may be the volume, but it is never NaN.

use crate::Points;
use crate::pareto::front_of_ordered;

/// The volume that the points dominate within `reference`. Points that are not better than the reference in every
/// coordinate add nothing.
///
/// A reference with an infinite coordinate gives infinity, and so does a point at minus infinity.
///
/// # Panics
/// If the reference has another number of coordinates than the points.
#[must_use]
pub fn hypervolume(points: Points<'_>, reference: &[f64]) -> f64 {
    assert_eq!(points.dims(), reference.len(), "the reference has one coordinate for each of the points'");
    if reference.iter().any(|r| !r.is_finite()) {
        return f64::INFINITY;
    }
    let inside: Vec<f64> = (0..points.len())
        .map(|index| points.row(index))
        .filter(|row| row.iter().zip(reference).all(|(x, r)| x < r))
        .flatten()
        .copied()
        .collect();
    let inside = Points::new(&inside, points.dims());
    let (unique, _) = inside.unique_in_order();
    let on_front = front_of_ordered(inside, &unique);
    let front: Vec<&[f64]> =
        unique.iter().zip(on_front).filter(|(_, on)| *on).map(|(&index, _)| inside.row(index)).collect();
    finite_or_infinity(volume_of_front(&front, reference))
}

/// Infinity minus infinity is NaN; the volume that it stands for is infinite.
fn finite_or_infinity(volume: f64) -> f64 {
    if volume.is_finite() { volume } else { f64::INFINITY }
}

fn box_volume(point: &[f64], reference: &[f64]) -> f64 {
    reference.iter().zip(point).map(|(r, x)| r - x).product()
}

/// The volume of points in order of their first coordinate, none dominating another.
fn volume_of_front(front: &[&[f64]], reference: &[f64]) -> f64 {
    match (front, reference.len()) {
        ([], _) => 0.0,
        ([point], _) => box_volume(point, reference),
        (_, 2) => area_of_front(front, reference),
        (_, 3) => volume_of_front_3d(front, reference),
        _ => volume_of_front_nd(front, reference),
    }
}

/// Along the first coordinate the second one falls: the area is a sum of rectangles.
fn area_of_front(front: &[&[f64]], reference: &[f64]) -> f64 {
    let mut above = reference[1];
    let rectangle = |point: &&[f64]| {
        let area = (reference[0] - point[0]) * (above - point[1]);
        above = point[1];
        area
    };
    front.iter().map(rectangle).sum()
}

/// A sweep along the third coordinate: the volume is the integral of the area dominated so far, whose staircase
/// changes where the next point comes in (Fonseca, Paquete and Lopez-Ibanez, "An improved dimension-sweep
/// algorithm for the hypervolume indicator", CEC 2006). O(n log n) apart from moving the staircase's entries.
fn volume_of_front_3d(front: &[&[f64]], reference: &[f64]) -> f64 {
    let mut by_z: Vec<&[f64]> = front.to_vec();
    by_z.sort_by(|a, b| a[2].total_cmp(&b[2]));
    // Rising in x, falling in y.
    let mut stairs: Vec<(f64, f64)> = Vec::new();
    let (mut area, mut volume, mut z) = (0.0, 0.0, by_z[0][2]);
    for point in by_z {
        // A slab of no height adds nothing even where the area is infinite.
        if point[2] > z {
            volume += area * (point[2] - z);
            z = point[2];
        }
        area += area_added(&mut stairs, (point[0], point[1]), reference);
    }
    volume + area * (reference[2] - z)
}

/// Puts a point on the staircase, takes off those that it dominates, and returns by how much the area grows.
fn area_added(stairs: &mut Vec<(f64, f64)>, (x, y): (f64, f64), reference: &[f64]) -> f64 {
    let start = stairs.partition_point(|step| step.0 < x);
    let mut ceiling = if start == 0 { reference[1] } else { stairs[start - 1].1 };
    if ceiling <= y {
        return 0.0;
    }
    let end = start + stairs[start..].partition_point(|step| step.1 >= y);
    let mut added = 0.0;
    let mut left = x;
    for &(step_x, step_y) in &stairs[start..end] {
        added += (step_x - left) * (ceiling - y);
        (left, ceiling) = (step_x, step_y);
    }
    let right = stairs.get(end).map_or(reference[0], |step| step.0);
    added += (right - left) * (ceiling - y);
    stairs.splice(start..end, [(x, y)]);
    added
}

/// While, Bradstreet and Barone, "A fast way of calculating exact hypervolumes", IEEE TEVC 2012: the volume is the
/// sum of what each point dominates alone among those after it, which is its box less the volume of the others
/// limited to that box (their equations 6 and 7).
fn volume_of_front_nd(front: &[&[f64]], reference: &[f64]) -> f64 {
    let alone = |(index, point): (usize, &&[f64])| {
        let limited: Vec<f64> =
            front[index + 1..].iter().flat_map(|other| other.iter().zip(*point).map(|(a, b)| a.max(*b))).collect();
        box_volume(point, reference) - hypervolume(Points::new(&limited, reference.len()), reference)
    };
    front.iter().enumerate().map(alone).sum()
}

/// Chooses `count` points so that they have much hypervolume together: greedily, the largest contribution first,
/// which reaches at least `1 - 1/e` of the best choice (Guerreiro, Fonseca and Paquete, "Greedy hypervolume subset
/// selection in low dimensions", Evolutionary Computation 2016). Returns indices in the order of choice; all of
/// them, in their own order, if `count` is not less than their number.
///
/// Equal points contribute nothing twice and are chosen only when different ones run out. Of equal contributions
/// the lexicographically first point wins. Infinite contributions are larger than any other, and with an infinite
/// reference the first points in lexicographic order are taken. The order of choice is Optuna's (5.0.0).
///
/// # Panics
/// If the reference has another number of coordinates than the points.
#[must_use]
pub fn select_by_hypervolume(points: Points<'_>, count: usize, reference: &[f64]) -> Vec<usize> {
    assert_eq!(points.dims(), reference.len(), "the reference has one coordinate for each of the points'");
    if count >= points.len() {
        return (0..points.len()).collect();
    }
    let (unique, _) = points.unique_in_order();
    if unique.len() < count {
        return fill_with_duplicates(&unique, points.len(), count);
    }
    if reference.iter().any(|r| !r.is_finite()) {
        return unique[..count].to_vec();
    }
    if unique.len() == count {
        return unique;
    }
    match points.dims() {
        2 => select_2d(points, unique, count, reference),
        _ => select_nd(points, unique, count, reference),
    }
}

fn fill_with_duplicates(unique: &[usize], len: usize, count: usize) -> Vec<usize> {
    let mut chosen = vec![false; len];
    for &index in unique {
        chosen[index] = true;
    }
    let missing: Vec<usize> = (0..len).filter(|&index| !chosen[index]).take(count - unique.len()).collect();
    for index in missing {
        chosen[index] = true;
    }
    (0..len).filter(|&index| chosen[index]).collect()
}

/// The place of the largest value, the first if there are several; NaN, which is infinity times zero here, counts
/// as infinite.
fn place_of_largest(values: impl Iterator<Item = f64>) -> usize {
    let mut best = (0, f64::NEG_INFINITY);
    for (place, value) in values.enumerate() {
        let value = if value.is_nan() { f64::INFINITY } else { value };
        if value > best.1 {
            best = (place, value);
        }
    }
    best.0
}

/// What a point of the front adds is a rectangle, cut on the left side by chosen points before it and above by
/// chosen points after it; choosing one only moves these two edges of the others.
fn select_2d(points: Points<'_>, unique: Vec<usize>, count: usize, reference: &[f64]) -> Vec<usize> {
    struct Candidate {
        index: usize,
        point: [f64; 2],
        corner: [f64; 2],
    }
    let corner = [reference[0], reference[1]];
    let candidate = |index: usize| Candidate { index, point: [points.row(index)[0], points.row(index)[1]], corner };
    let mut left: Vec<Candidate> = unique.into_iter().map(candidate).collect();
    let mut chosen = Vec::with_capacity(count);
    while chosen.len() < count {
        let area = |c: &Candidate| (c.corner[0] - c.point[0]) * (c.corner[1] - c.point[1]);
        let place = place_of_largest(left.iter().map(area));
        let best = left.remove(place);
        for before in &mut left[..place] {
            before.corner[0] = before.corner[0].min(best.point[0]);
        }
        for after in &mut left[place..] {
            after.corner[1] = after.corner[1].min(best.point[1]);
        }
        chosen.push(best.index);
    }
    chosen
}

/// Contributions only shrink as more is chosen (submodularity), so those of the last round are upper bounds, and
/// only points whose bound reaches the best exact contribution of this round are computed again.
fn select_nd(points: Points<'_>, unique: Vec<usize>, count: usize, reference: &[f64]) -> Vec<usize> {
    let dims = points.dims();
    let mut left: Vec<(usize, f64)> =
        unique.into_iter().map(|index| (index, box_volume(points.row(index), reference))).collect();
    let mut chosen: Vec<usize> = Vec::with_capacity(count);
    loop {
        let place = place_of_largest(left.iter().map(|candidate| candidate.1));
        let (index, gain) = left.remove(place);
        chosen.push(index);
        if chosen.len() == count {
            return chosen;
        }
        if !gain.is_finite() {
            // Nothing can be told apart by what it adds to an infinite volume.
            chosen.extend(left[..count - chosen.len()].iter().map(|candidate| candidate.0));
            return chosen;
        }
        let mut order: Vec<usize> = (0..left.len()).collect();
        order.sort_by(|&a, &b| left[b].1.total_cmp(&left[a].1).then(a.cmp(&b)));
        let mut best = 0.0;
        for place in order {
            let (index, bound) = left[place];
            let point = points.row(index);
            let inclusive = box_volume(point, reference);
            if inclusive.is_infinite() || inclusive.is_nan() {
                left[place].1 = f64::INFINITY;
                best = f64::INFINITY;
            } else if bound >= best {
                // What is new is the box less its part that the chosen points have already.
                let shared: Vec<f64> = chosen
                    .iter()
                    .flat_map(|&other| points.row(other).iter().zip(point).map(|(a, b)| a.max(*b)))
                    .collect();
                let exact = inclusive - hypervolume(Points::new(&shared, dims), reference);
                left[place].1 = exact;
                best = f64::max(best, exact);
            }
        }
    }
}
