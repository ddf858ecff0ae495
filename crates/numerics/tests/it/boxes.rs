//! Boxes of what is not dominated: they share nothing, and with what is dominated they fill everything.

use proptest::prelude::*;
use trialog_numerics::{Points, hypervolume, non_dominated_boxes};

fn check(values: &[f64], dims: usize, reference: &[f64]) {
    const LOW: f64 = -2.0;
    let boxes = non_dominated_boxes(Points::new(values, dims), reference);
    let volume = |(low, high): &(Vec<f64>, Vec<f64>)| -> f64 {
        low.iter().zip(high).map(|(low, high)| high.max(LOW) - low.max(LOW)).product()
    };
    let all: f64 = reference.iter().map(|r| r - LOW).product();
    let sum: f64 = boxes.iter().map(volume).sum();
    let dominated = hypervolume(Points::new(values, dims), reference);
    assert!((sum + dominated - all).abs() <= 1e-9 * all, "{sum} + {dominated} is not {all}");
    for (at, a) in boxes.iter().enumerate() {
        for b in &boxes[..at] {
            let apart = (0..dims).any(|d| a.1[d] <= b.0[d] || b.1[d] <= a.0[d]);
            assert!(apart, "{a:?} {b:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn they_fill_the_rest(dims in 1_usize..5, values in prop::collection::vec(-1.0_f64..1.5, 0..32)) {
        let rounded: Vec<f64> = values.iter().map(|v| (v * 4.0).round() / 4.0).collect();
        check(&values, dims, &vec![1.0; dims]);
        check(&rounded, dims, &vec![1.0; dims]);
    }
}

#[test]
fn two_objectives_need_one_box_more_than_points() {
    let values = [0.0, 0.9, 0.2, 0.5, 0.6, 0.1];
    assert_eq!(non_dominated_boxes(Points::new(&values, 2), &[1.0, 1.0]).len(), 4);
    assert_eq!(non_dominated_boxes(Points::new(&[], 2), &[1.0, 1.0]).len(), 1);
    check(&values, 2, &[1.0, 1.0]);
}

#[test]
#[should_panic(expected = "is not")]
fn canary() {
    // The reference of the volume is another than that of the boxes.
    check(&[0.0, 0.0], 2, &[-3.0, 1.0]);
}
