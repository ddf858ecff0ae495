//! What a set of points does not dominate yet, as boxes: the integral of anything over it is then a sum.

use crate::Points;

/// Boxes that share no volume and fill what `front` does not dominate below `reference`, in losses. A side may reach
/// to minus infinity. Points that are not better than the reference everywhere count for nothing.
///
/// With two coordinates one box per point of the front and one more. With more, slabs between consecutive points'
/// last coordinates, each divided in turn; that is up to `k^(m-1)` boxes for `k` points and `m` coordinates
/// (Lacour, Klamroth and Fonseca, "A box decomposition algorithm to compute the hypervolume indicator", COR 79
/// (2017), has fewer for many coordinates).
///
/// Returns lower and upper corners, box by box.
///
/// # Panics
/// If the reference has another number of coordinates than the points.
#[must_use]
pub fn non_dominated_boxes(points: Points<'_>, reference: &[f64]) -> Vec<(Vec<f64>, Vec<f64>)> {
    assert_eq!(points.dims(), reference.len(), "the reference has one coordinate for each of the points'");
    let inside = |row: &&[f64]| row.iter().zip(reference).all(|(x, r)| x < r);
    let rows: Vec<&[f64]> = (0..points.len()).map(|index| points.row(index)).filter(inside).collect();
    divide(&rows, reference)
}

fn divide(rows: &[&[f64]], reference: &[f64]) -> Vec<(Vec<f64>, Vec<f64>)> {
    let Some((&last, others)) = reference.split_last() else { return Vec::new() };
    if others.is_empty() {
        let lowest = rows.iter().map(|row| row[0]).fold(last, f64::min);
        return vec![(vec![f64::NEG_INFINITY], vec![lowest])];
    }
    let at = others.len();
    let mut levels: Vec<f64> = rows.iter().map(|row| row[at]).collect();
    levels.push(last);
    levels.sort_by(f64::total_cmp);
    levels.dedup();
    let mut boxes: Vec<(Vec<f64>, Vec<f64>)> = Vec::new();
    let mut low = f64::NEG_INFINITY;
    // What the slab below held, which goes on where the next slab holds the same.
    let mut open: Vec<(Vec<f64>, Vec<f64>)> = Vec::new();
    for high in levels {
        // Within the slab only points at or below its bottom dominate anything.
        let below: Vec<&[f64]> = rows.iter().filter(|row| row[at] <= low).map(|row| &row[..at]).collect();
        let slab = divide(&below, others);
        let mut next = Vec::with_capacity(slab.len());
        for (mut lower, mut upper) in slab {
            let goes_on = open.iter().position(|(l, u)| l[..at] == lower[..] && u[..at] == upper[..]);
            if let Some(place) = goes_on {
                let mut box_ = open.swap_remove(place);
                box_.1[at] = high;
                next.push(box_);
            } else {
                lower.push(low);
                upper.push(high);
                next.push((lower, upper));
            }
        }
        boxes.append(&mut open);
        open = next;
        low = high;
    }
    boxes.append(&mut open);
    boxes
}
