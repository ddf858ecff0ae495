//! Spaces with conditions: which parameters a point has follows from its categories and small grids, by a tree that is
//! learned from the trials. What a point does not have stands at one place for all of them, so that it sets none apart.

use std::collections::BTreeMap;
use std::sync::Arc;

use trialog_ops::{ParamDef, ParamKey};
use trialog_replay::{Column, Over, ParamColumn, StudyView};

use super::axes::{Axis, Moves};

/// A space with more parameters than this is modelled by those that all trials share: one bit stands for each.
const MOST: usize = 64;
/// Conditions on grids with more points than this are not looked for.
const DECIDING: usize = 16;
/// The category of a point that has none.
const NO_CATEGORY: f64 = -1.0;

/// Where a parameter is in the model if a trial does not have it.
pub(crate) fn absent(axis: &Axis) -> f64 {
    if matches!(axis.moves, Moves::Choices(_)) { NO_CATEGORY } else { 0.5 }
}

/// All parameters of the study in the order in which it met them, if not all complete trials have the same ones. What
/// was drawn from several ranges, and what has one value only, is left out.
pub(crate) fn all_params<'v>(
    view: &'v StudyView,
    shared: &[(ParamKey, &Arc<ParamDef>)],
) -> Option<Vec<(ParamKey, &'v Arc<ParamDef>)>> {
    if view.joint_params(Over::Complete).count() == view.params_as_met().len() {
        return None;
    }
    let chunks = view.trial_count().div_ceil(Column::<f64>::CHUNK);
    let params: Vec<_> = view
        .params_as_met()
        .filter(|param| (0..chunks).all(|chunk| param.is_uniform_in_chunk(chunk)))
        .map(ParamColumn::first)
        .filter(|(_, def)| !def.distribution.is_single())
        .collect();
    let has_shared = shared.iter().all(|(shared, _)| params.iter().any(|(key, _)| key == shared));
    (has_shared && shared.len() < params.len() && params.len() <= MOST).then_some(params)
}

/// Which parameters a point has, one bit for each.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Branches {
    root: Node,
    /// The parameters that conditions hang on.
    deciding: u64,
}

#[derive(Clone, Debug, PartialEq)]
enum Node {
    Leaf(u64),
    /// By what a parameter is, which all points have that come here; and where a value goes that none of them had.
    Split {
        axis: usize,
        parts: BTreeMap<usize, Node>,
        usual: usize,
    },
}

impl Branches {
    /// What the rows tell. `columns` are their places, `present` their bits.
    pub(crate) fn learn(axes: &[Axis], columns: &[Vec<f64>], present: &[u64]) -> Branches {
        let mut deciding = 0;
        let root = grow(axes, columns, present, &(0..present.len()).collect::<Vec<_>>(), &mut deciding);
        Branches { root, deciding }
    }

    /// True if conditions hang on the parameter.
    pub(crate) fn hang_on(&self, axis: usize) -> bool {
        self.deciding >> axis & 1 == 1
    }

    /// Puts what the point does not have where it is absent, and gives it a category where it has one and had none: `spare`
    /// says which. The bits of what it has.
    pub(crate) fn settle(&self, axes: &[Axis], point: &mut [f64], spare: usize) -> u64 {
        let has = |point: &mut [f64], d: usize| {
            if let (Moves::Choices(count), true) = (axes[d].moves, point[d] < 0.0) {
                point[d] = (spare % count) as f64;
            }
        };
        let mut node = &self.root;
        while let Node::Split { axis, parts, usual } = node {
            has(point, *axis);
            let index = axes[*axis].nearest(point[*axis]);
            let near = || match axes[*axis].moves {
                Moves::Choices(_) => parts.get(usual),
                _ => parts.iter().min_by_key(|(at, _)| at.abs_diff(index)).map(|(_, part)| part),
            };
            let Some(part) = parts.get(&index).or_else(near) else { break };
            node = part;
        }
        let Node::Leaf(bits) = *node else { return 0 };
        for d in 0..axes.len() {
            if bits >> d & 1 == 1 { has(point, d) } else { point[d] = absent(&axes[d]) }
        }
        bits
    }
}

/// The tree of these rows: split where it tells their bits apart best (by the Gini index), until it does no more.
fn grow(axes: &[Axis], columns: &[Vec<f64>], present: &[u64], rows: &[usize], deciding: &mut u64) -> Node {
    let common = rows.iter().fold(u64::MAX, |bits, &row| bits & present[row]);
    let (usual, mixed) = mixture(rows.iter().map(|&row| present[row]));
    let may_decide = |d: &usize| {
        common >> d & 1 == 1
            && match axes[*d].moves {
                Moves::Freely => false,
                Moves::Choices(_) => true,
                Moves::Grid(count) => count <= DECIDING,
            }
    };
    let parts_by = |d: usize| {
        let mut parts: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for &row in rows {
            parts.entry(axes[d].nearest(columns[d][row])).or_default().push(row);
        }
        parts
    };
    let mut best: Option<(f64, usize)> = None;
    if mixed > 0.0 {
        for d in (0..axes.len().min(MOST)).filter(may_decide) {
            let parts = parts_by(d);
            let left: f64 = parts.values().map(|part| mixture(part.iter().map(|&row| present[row])).1).sum();
            // The first of equals, and what it gains must be more than rounding.
            if parts.len() > 1 && left < best.map_or(mixed - 1e-9, |(left, _)| left - 1e-9) {
                best = Some((left, d));
            }
        }
    }
    let Some((_, axis)) = best else { return Node::Leaf(usual) };
    *deciding |= 1 << axis;
    let parts = parts_by(axis);
    let most =
        parts.iter().fold((0, 0), |most, (at, part)| if part.len() > most.1 { (*at, part.len()) } else { most });
    let parts = parts.into_iter().map(|(at, part)| (at, grow(axes, columns, present, &part, deciding)));
    Node::Split { axis, parts: parts.collect(), usual: most.0 }
}

/// The most frequent bits, and the Gini index times the number of rows: 0 if all are the same.
fn mixture(bits: impl Iterator<Item = u64>) -> (u64, f64) {
    let mut counts: BTreeMap<u64, usize> = BTreeMap::new();
    let mut all = 0;
    for bits in bits {
        *counts.entry(bits).or_default() += 1;
        all += 1;
    }
    let most =
        counts.iter().fold((0, 0), |most, (bits, count)| if *count > most.1 { (*bits, *count) } else { most });
    let squares: f64 = counts.values().map(|&count| (count * count) as f64).sum();
    (most.0, if counts.len() > 1 { all as f64 - squares / all as f64 } else { 0.0 })
}

#[cfg(test)]
mod tests {
    use trialog_ops::{Choice, Distribution};

    use super::*;

    /// A category of three, a number that its first has, a grid from 1 to 4 that its second has, and a category of two that
    /// this has from 3 on.
    fn axes() -> Vec<Axis> {
        let choices = |count: i64| Distribution::categorical((0..count).map(Choice::Int)).expect("choices");
        let float = Distribution::float(0.0, 1.0).expect("a range");
        let int = Distribution::int(1, 4).expect("a range");
        [choices(3), float, int, choices(2)].iter().map(Axis::of).collect()
    }

    fn row(number: usize) -> (Vec<f64>, u64) {
        let axes = axes();
        let (kind, depth) = (number % 3, number / 3 % 4);
        let mut point: Vec<f64> = axes.iter().map(absent).collect();
        point[0] = kind as f64;
        let mut bits = 0b0001;
        if kind == 0 {
            point[1] = number as f64 / 40.0;
            bits |= 0b0010;
        }
        if kind == 1 {
            point[2] = axes[2].place(depth);
            bits |= 0b0100;
        }
        if kind == 1 && depth >= 2 {
            point[3] = (number / 12 % 2) as f64;
            bits |= 0b1000;
        }
        (point, bits)
    }

    fn learned(rows: impl Iterator<Item = usize>) -> Branches {
        let (points, bits): (Vec<_>, Vec<_>) = rows.map(row).unzip();
        let columns: Vec<Vec<f64>> = (0..4).map(|d| points.iter().map(|point| point[d]).collect()).collect();
        Branches::learn(&axes(), &columns, &bits)
    }

    #[test]
    fn what_a_point_has_is_learned() {
        let branches = learned(0..24);
        assert_eq!([0, 1, 2, 3].map(|axis| branches.hang_on(axis)), [true, false, true, false]);
        for number in 0..36 {
            let (point, bits) = row(number);
            let mut settled = point.clone();
            assert_eq!(branches.settle(&axes(), &mut settled, 0), bits, "{number}");
            assert_eq!(settled, point, "{number}");
        }
    }

    #[test]
    fn what_a_point_does_not_have_is_absent_and_what_it_lacks_is_given() {
        let branches = learned(0..24);
        let high = axes()[2].place(3);
        let mut point = vec![1.0, 0.9, high, NO_CATEGORY];
        assert_eq!(branches.settle(&axes(), &mut point, 7), 0b1101);
        assert_eq!(point, [1.0, 0.5, high, 1.0]);
        let mut point = vec![2.0, 0.9, high, 1.0];
        assert_eq!(branches.settle(&axes(), &mut point, 0), 0b0001);
        assert_eq!(point, [2.0, 0.5, 0.5, NO_CATEGORY]);
    }

    /// Of depths only the first and the last were seen: the others are as the nearer one of them. Of kinds only two were.
    #[test]
    fn values_that_nobody_had_are_as_others() {
        let branches = learned([0, 1, 10, 13, 22].into_iter());
        let at = |kind: f64, depth: usize| {
            branches.settle(&axes(), &mut [kind, 0.5, axes()[2].place(depth), NO_CATEGORY], 0)
        };
        assert_eq!([0, 1, 2, 3].map(|depth| at(1.0, depth)), [0b0101, 0b0101, 0b1101, 0b1101]);
        assert_eq!(at(2.0, 0), at(1.0, 0));
    }

    /// Nothing says what a parameter hangs on: a point has what most have.
    #[test]
    fn hidden_conditions_are_left_alone() {
        let columns = vec![vec![1.0; 5], vec![0.2, 0.5, 0.3, 0.5, 0.4], vec![0.5; 5], vec![NO_CATEGORY; 5]];
        let branches = Branches::learn(&axes(), &columns, &[0b11, 0b01, 0b11, 0b01, 0b11]);
        assert_eq!(branches.settle(&axes(), &mut [1.0, 0.5, 0.5, 0.0], 0), 0b11);
        assert!(!branches.hang_on(0));
    }

    #[test]
    #[should_panic(expected = "assertion")]
    fn canary() {
        let (mut point, bits) = row(0);
        point[0] = 1.0;
        assert_eq!(learned(0..24).settle(&axes(), &mut point, 0), bits);
    }
}
