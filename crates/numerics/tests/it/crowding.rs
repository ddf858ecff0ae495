//! Crowding distances, directions and intercepts against Optuna.

use trialog_numerics::{
    Points, crowding_distances, even_direction_count, even_directions, nearest_directions, normalized,
};

fn numbers(text: &str) -> Vec<f64> {
    text.split_whitespace().map(|word| word.parse().unwrap()).collect()
}

/// See `golden/crowding.py` for the form of a case.
fn check(golden: &str) {
    let mut lines = golden.lines().peekable();
    while let Some(header) = lines.next() {
        let parts: Vec<&str> = header.split('|').collect();
        let dims: usize = parts[0].trim().strip_prefix("case ").unwrap().parse().unwrap();
        let mut values: Vec<f64> = Vec::new();
        while let Some(row) = lines.next_if(|line| !line.starts_with("case")) {
            values.extend(numbers(row));
        }
        let points = Points::new(&values, dims);
        for (actual, expected) in crowding_distances(points).into_iter().zip(numbers(parts[1])) {
            crate::close(header, actual, expected, 1e-12);
        }
        let seen = normalized(points);
        let directions = even_directions(dims, 3);
        let nearest = nearest_directions(Points::new(&seen, dims), Points::new(&directions, dims));
        for ((actual, expected), (distance, beside)) in nearest
            .iter()
            .zip(numbers(parts[2]))
            .map(|((at, distance), e)| ((*at, e), *distance))
            .zip(numbers(parts[3]))
            .map(|((pair, distance), beside)| (pair, (distance, beside)))
        {
            // The distance from a line on which a point is, is rounding.
            assert!((distance - beside).abs() < 1e-9 * (1.0 + beside), "{header}: {distance} {beside}");
            if actual != expected as usize {
                // Two lines are equally near.
                let row: Vec<f64> = directions[expected as usize * dims..][..dims].to_vec();
                let at = nearest.iter().position(|pair| pair.1 == distance).unwrap();
                let other =
                    nearest_directions(Points::new(&seen[at * dims..][..dims], dims), Points::new(&row, dims));
                assert!((other[0].1 - distance).abs() < 1e-9, "{header}: {actual} {expected}");
            }
        }
    }
}

#[test]
fn agrees_with_optuna() {
    check(include_str!("../golden/crowding-optuna-5.0.0.txt"));
}

#[test]
#[should_panic(expected = "case 1")]
fn canary() {
    check("case 1 | inf inf inf 1 | |\n0\n1\n3\n2");
}

#[test]
fn directions_are_even() {
    for (dims, divisions, count) in [(1, 5, 1), (2, 4, 5), (3, 12, 91), (5, 3, 35), (10, 2, 55)] {
        let rows = even_directions(dims, divisions);
        assert_eq!(rows.len(), count * dims);
        assert_eq!(even_direction_count(dims, divisions), count);
        for row in rows.chunks_exact(dims) {
            assert!((row.iter().sum::<f64>() - 1.0).abs() < 1e-12, "{row:?}");
        }
    }
    assert_eq!(even_directions(2, 2), [1.0, 0.0, 0.5, 0.5, 0.0, 1.0]);
    assert_eq!(even_directions(0, 3), [0.0; 0]);
}

/// Scaling a loss or moving it does not change what a point stands for.
#[test]
fn a_front_is_seen_without_its_units() {
    let front: Vec<f64> = (0..=10).flat_map(|k| [f64::from(k), 10.0 - f64::from(k)]).collect();
    let scaled: Vec<f64> =
        front.chunks_exact(2).flat_map(|row| [row[0] * 1e6 - 3.0, row[1] * 1e-3 + 7.0]).collect();
    let (a, b) = (normalized(Points::new(&front, 2)), normalized(Points::new(&scaled, 2)));
    for (a, b) in a.iter().zip(&b) {
        assert!((a - b).abs() < 1e-9, "{a} {b}");
    }
    assert_eq!(a[..2], [0.0, 1.0]);
    // Nothing is told apart, and nothing is divided by zero.
    for odd in [[1.0; 6], [f64::INFINITY; 6], [f64::INFINITY, 0.0, f64::NEG_INFINITY, 0.0, 1.0, 0.0]] {
        assert!(normalized(Points::new(&odd, 2)).iter().all(|x| x.is_finite()), "{odd:?}");
    }
}
