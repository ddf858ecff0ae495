//! The signed-rank test of Wilcoxon (1945), one-sided.
//!
//! Of the differences' absolute values the ranks are taken, ties sharing the mean of theirs; the statistic is the sum
//! of the ranks of positive differences, and half those of zeros ("zsplit"). Under the hypothesis each difference is
//! as likely to have the one sign as the other.

use std::ops::Range;

use trialog_numerics::ndtr;

/// Up to so many differences without zeros and ties, the distribution is exact.
const EXACT: usize = 50;

/// Up to so many differences with zeros or ties, it is: what signs can be drawn, given the ranks.
const EXACT_WITH_TIES: usize = 13;

/// The probability, if signs are drawn, of a statistic as great as that of these differences or greater. Small where
/// they are mostly positive. NaN is no difference; at least one is needed.
pub(crate) fn p_greater(differences: &[f64]) -> f64 {
    let mut sorted = differences.to_vec();
    sorted.sort_unstable_by(|a, b| a.abs().total_cmp(&b.abs()));
    let groups: Vec<Range<usize>> = sorted
        .chunk_by(|a, b| a.abs() == b.abs())
        .scan(0, |end, group| {
            let start = *end;
            *end += group.len();
            Some(start..*end)
        })
        .collect();
    let count = sorted.len();
    let is_plain = groups.len() == count && sorted.first() != Some(&0.0);
    if count <= EXACT_WITH_TIES || (is_plain && count <= EXACT) {
        exact(&sorted, &groups, is_plain)
    } else {
        normal(&sorted, &groups)
    }
}

/// Twice the rank that a group of ties shares: the sum of its first and last, counted from 1.
fn twice_rank(group: &Range<usize>) -> usize {
    group.start + 1 + group.end
}

/// By the distribution over all signs of what is not zero. Zeros have the same share in every draw, so they are left
/// out on both sides.
fn exact(sorted: &[f64], groups: &[Range<usize>], is_plain: bool) -> f64 {
    // In halves, where ties share a rank between two.
    let rank = |group| twice_rank(group) / if is_plain { 2 } else { 1 };
    let signed = groups.iter().filter(|group| sorted[group.start] != 0.0);
    let ranks: Vec<(usize, bool)> =
        signed.flat_map(|group| sorted[group.clone()].iter().map(move |&d| (rank(group), d > 0.0))).collect();
    let total: usize = ranks.iter().map(|&(rank, _)| rank).sum();
    let statistic: usize = ranks.iter().filter(|&&(_, positive)| positive).map(|&(rank, _)| rank).sum();
    // Turning all signs around mirrors the distribution, so that the shorter tail is enough. Probabilities are multiples of
    // 2^-50 at the least, and so every sum of them is exact.
    let up_to = |most: usize| -> f64 {
        let mut probabilities = vec![0.0; most + 1];
        probabilities[0] = 1.0;
        let mut reach = 0;
        for &(rank, _) in &ranks {
            reach = (reach + rank).min(most);
            for sum in (0..=reach).rev() {
                let with = if sum >= rank { probabilities[sum - rank] } else { 0.0 };
                probabilities[sum] = 0.5 * (probabilities[sum] + with);
            }
        }
        probabilities.iter().sum()
    };
    match statistic.checked_sub(1) {
        None => 1.0,
        Some(_) if statistic > total / 2 => up_to(total - statistic),
        Some(below) => 1.0 - up_to(below),
    }
}

/// By the normal distribution of the same mean and variance, without a correction for continuity.
fn normal(sorted: &[f64], groups: &[Range<usize>]) -> f64 {
    let count = sorted.len() as f64;
    let share = |difference: f64| {
        if difference > 0.0 {
            1.0
        } else if difference == 0.0 {
            0.5
        } else {
            0.0
        }
    };
    let (mut statistic, mut ties) = (0.0, 0.0);
    for group in groups {
        let size = group.len() as f64;
        statistic += 0.5 * twice_rank(group) as f64 * sorted[group.clone()].iter().map(|&d| share(d)).sum::<f64>();
        ties += size * (size * size - 1.0);
    }
    let mean = count * (count + 1.0) / 4.0;
    let variance = (count * (count + 1.0) * (2.0 * count + 1.0) - ties / 2.0) / 24.0;
    ndtr((mean - statistic) / variance.sqrt())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::p_greater;

    const GOLDEN: &str = include_str!("../tests/golden/signed-rank-scipy-1.17.1.txt");

    /// Compares with SciPy; how many p-values there were.
    fn check(golden: &str) -> usize {
        for line in golden.lines() {
            let (expected, differences) = line.split_once(' ').unwrap();
            let expected: f64 = expected.parse().unwrap();
            let differences: Vec<f64> = differences.split(' ').map(|word| word.parse().unwrap()).collect();
            let p = p_greater(&differences);
            // Beyond the middle SciPy subtracts from 1, which leaves an absolute error.
            assert!((p - expected).abs() <= 1e-12 * expected + 1e-15, "{p:e} {line}");
        }
        golden.lines().count()
    }

    #[test]
    fn p_values_are_scipys() {
        assert_eq!(check(GOLDEN), 570);
    }

    #[test]
    #[should_panic(expected = "0.375")]
    fn canary_a_wrong_p_value_is_noticed() {
        check("0.375 1.0 2.0 3.0");
    }

    proptest! {
        /// All draws of signs, one by one.
        #[test]
        fn the_distribution_is_that_of_all_signs(differences in prop::collection::vec(-4i8..5, 1..10)) {
            let differences: Vec<f64> = differences.into_iter().map(f64::from).collect();
            let statistic = |differences: &[f64]| -> f64 {
                let rank = |d: f64| {
                    let below = differences.iter().filter(|other| other.abs() < d.abs()).count();
                    let equal = differences.iter().filter(|other| other.abs() == d.abs()).count();
                    below as f64 + (equal as f64 + 1.0) / 2.0
                };
                differences.iter().map(|&d| rank(d) * if d > 0.0 { 1.0 } else if d == 0.0 { 0.5 } else { 0.0 }).sum()
            };
            let seen = statistic(&differences);
            let draws = 1u32 << differences.len();
            let as_great = (0..draws).filter(|draw| {
                let drawn: Vec<f64> =
                    (0..).zip(&differences).map(|(bit, &d)| if draw >> bit & 1 == 1 { -d } else { d }).collect();
                statistic(&drawn) >= seen
            });
            prop_assert_eq!(p_greater(&differences), as_great.count() as f64 / f64::from(draws));
        }

        #[test]
        fn a_probability_for_any_differences(differences in prop::collection::vec(any::<f64>(), 1..120)) {
            let differences: Vec<f64> = differences.into_iter().filter(|d| !d.is_nan()).collect();
            prop_assume!(!differences.is_empty());
            let p = p_greater(&differences);
            prop_assert!((0.0..=1.0).contains(&p), "{}", p);
            let mirrored: Vec<f64> = differences.iter().map(|d| -d).collect();
            prop_assert!(p + p_greater(&mirrored) >= 1.0 - 1e-12);
        }
    }
}
