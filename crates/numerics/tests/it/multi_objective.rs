//! Ranks, fronts, volumes and subsets against Optuna, and against their definitions.

use proptest::prelude::*;
use trialog_numerics::{Points, dominates, hypervolume, non_dominated_ranks, pareto_front, select_by_hypervolume};

fn numbers<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> Vec<T> {
    text.split_whitespace().map(|word| word.parse().unwrap()).collect()
}

/// See `golden/multi_objective.py` for the form of a case.
fn check(golden: &str) {
    let mut lines = golden.lines().peekable();
    while let Some(header) = lines.next() {
        let parts: Vec<&str> = header.split('|').collect();
        let head: Vec<&str> = parts[0].split_whitespace().collect();
        let (dims, count): (usize, usize) = (head[1].parse().unwrap(), head[2].parse().unwrap());
        let mut values: Vec<f64> = Vec::new();
        while let Some(row) = lines.next_if(|line| !line.starts_with("case")) {
            values.extend(numbers::<f64>(row));
        }
        let points = Points::new(&values, dims);
        let reference: Vec<f64> = numbers(parts[1]);
        let ranks = non_dominated_ranks(points);
        assert_eq!(ranks, numbers::<u32>(parts[2]), "{header}");
        let first: Vec<usize> = (0..points.len()).filter(|&index| ranks[index] == 0).collect();
        assert_eq!(pareto_front(points), first, "{header}");
        assert_eq!(select_by_hypervolume(points, count, &reference), numbers::<usize>(parts[3]), "{header}");
        crate::close(header, hypervolume(points, &reference), head[3].parse().unwrap(), 1e-12);
    }
}

#[test]
fn agrees_with_optuna() {
    check(include_str!("../golden/multi-objective-optuna-5.0.0.txt"));
}

#[test]
#[should_panic(expected = "case 2 1 0.5")]
fn canary() {
    check("case 2 1 0.5 | 1 1 | 0 | 0\n0 0");
}

#[test]
fn of_nothing() {
    let none = Points::new(&[], 2);
    assert!(none.is_empty());
    assert_eq!(hypervolume(none, &[1.0, 1.0]), 0.0);
    assert_eq!(non_dominated_ranks(none), [0; 0]);
    assert_eq!(pareto_front(none), [0; 0]);
    assert_eq!(select_by_hypervolume(none, 3, &[1.0, 1.0]), [0; 0]);
    assert_eq!(Points::new(&[1.0], 0).len(), 0);
}

#[test]
fn points_beyond_the_reference_add_nothing() {
    assert_eq!(hypervolume(Points::new(&[0.0, 0.0, 3.0, -5.0], 2), &[1.0, 1.0]), 1.0);
}

fn rows() -> impl Strategy<Value = (usize, Vec<f64>)> {
    (1_usize..5).prop_flat_map(|dims| {
        // Few different numbers, so that ties and duplicates are common.
        let coordinate = (0_u8..6).prop_map(f64::from);
        (Just(dims), (0_usize..9).prop_flat_map(move |n| prop::collection::vec(coordinate.clone(), n * dims)))
    })
}

proptest! {
    #[test]
    fn a_rank_is_one_more_than_the_highest_above_it((dims, values) in rows()) {
        let points = Points::new(&values, dims);
        let ranks = non_dominated_ranks(points);
        for i in 0..points.len() {
            let above = (0..points.len()).filter(|&j| dominates(points.row(j), points.row(i)));
            prop_assert_eq!(ranks[i], above.map(|j| ranks[j] + 1).max().unwrap_or(0));
        }
    }

    /// On a grid of unit cells the volume is the number of cells that some point dominates.
    #[test]
    fn a_volume_counts_cells((dims, values) in rows()) {
        let points = Points::new(&values, dims);
        let cells = 5_usize.pow(u32::try_from(dims).unwrap());
        let dominated = (0..cells).filter(|cell| {
            let corner: Vec<f64> =
                (0..dims).map(|d| (cell / 5_usize.pow(u32::try_from(d).unwrap()) % 5) as f64).collect();
            (0..points.len()).any(|i| points.row(i).iter().zip(&corner).all(|(x, c)| x <= c))
        });
        prop_assert_eq!(hypervolume(points, &vec![5.0; dims]), dominated.count() as f64);
    }

    #[test]
    fn a_greedy_choice_adds_most((dims, values) in rows(), count in 1_usize..5) {
        let all = Points::new(&values, dims);
        let front: Vec<f64> = pareto_front(all).into_iter().flat_map(|i| all.row(i)).copied().collect();
        let points = Points::new(&front, dims);
        let count = count.min(points.len());
        let reference = vec![6.5; dims];
        let chosen = select_by_hypervolume(points, count, &reference);
        prop_assert_eq!(chosen.len(), count);
        let with = |indices: &[usize], more: usize| {
            let values: Vec<f64> = indices.iter().chain([&more]).flat_map(|&i| points.row(i)).copied().collect();
            hypervolume(Points::new(&values, dims), &reference)
        };
        let different = (0..points.len()).filter(|&i| (0..i).all(|j| points.row(j) != points.row(i))).count();
        for step in 0..count.min(different) {
            let best = (0..points.len()).map(|i| with(&chosen[..step], i)).fold(0.0, f64::max);
            // Where no choice among different points is left the answer comes in the points' order instead.
            prop_assert!(different <= count || with(&chosen[..step], chosen[step]) >= best * (1.0 - 1e-12));
        }
    }
}
