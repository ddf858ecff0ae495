//! What a pruned trial is told: the rule, the peers and the threshold.

use trialog_ops::{Direction, FinalState, TrialNumber};
use trialog_pruners::{
    Decision, Hyperband, Median, Never, Patient, Percentile, Pruner, Shadow, SuccessiveHalving, Threshold, Wilcoxon,
};

use crate::study::Study;

/// Six complete trials that reported 0 to 5 at steps 0 to 2, and a running one that reported these values.
fn study(direction: Direction, values: &[f64]) -> (Study, TrialNumber) {
    let mut study = Study::new("s", &[direction]);
    for level in 0..6 {
        study.trial(&[f64::from(level); 3], FinalState::Complete);
    }
    let number = study.start();
    for (step, &value) in (0..).zip(values) {
        study.report(number, step, value);
    }
    (study, number)
}

#[track_caller]
fn check(pruner: &dyn Pruner, direction: Direction, values: &[f64], expected: &str) {
    let (study, number) = study(direction, values);
    let reason = match pruner.decide(&study.view(), number) {
        Decision::Continue => String::new(),
        Decision::Prune { reason } => reason,
        Decision::Shadow { reason } => format!("shadow: {reason}"),
    };
    assert_eq!(reason, expected);
}

#[test]
fn reasons_say_rule_peers_and_threshold() {
    use Direction::{Maximize, Minimize};
    let nan = f64::NAN;
    check(&Median::new(), Minimize, &[2.5], "");
    check(
        &Median::new(),
        Minimize,
        &[4.0, 3.0],
        "median pruner: 3.0, the best value up to step 1, is worse than 2.5, the median of 6 complete trials there",
    );
    check(&Median::new(), Minimize, &[nan, nan], "median pruner: all values up to step 1 are NaN (2 reported)");
    check(
        &Percentile::new(10.0),
        Maximize,
        &[4.25],
        "percentile pruner: 4.25, the best value up to step 0, is worse than 4.5, the percentile 10 of 6 complete \
         trials there",
    );
    let halving = SuccessiveHalving::new().reduction_factor(2);
    check(&halving, Minimize, &[9.0, 1.5], "");
    check(
        &halving,
        Minimize,
        &[9.0, 2.5],
        "successive halving: 2.5, the value at step 1, is behind 3 of the 7 trials that reached rung 0 (step 1), of \
         which the best 3 go on",
    );
    check(
        &halving,
        Maximize,
        &[9.0, nan],
        "successive halving: the value at step 1 is NaN, with which rung 0 (step 1) was reached",
    );
    check(
        &halving.bootstrap_count(7),
        Minimize,
        &[9.0, 0.0],
        "successive halving: rung 0 (step 1) was reached by 7 trials, and more than 7 must",
    );
    check(
        &Hyperband::new().max_resource(1),
        Minimize,
        &[9.0, 3.5],
        "hyperband: in bracket 0 of 1, 3.5, the value at step 1, is behind 4 of the 7 trials that reached rung 0 \
         (step 1), of which the best 2 go on",
    );
    check(&Never, Minimize, &[nan], "");
    check(&Threshold::upper(2.0), Maximize, &[2.0], "");
    check(&Threshold::upper(2.0), Maximize, &[2.5], "threshold pruner: 2.5, the value at step 0, is above 2.0");
    check(
        &Threshold::between(0.0, 2.0),
        Minimize,
        &[-0.5],
        "threshold pruner: -0.5, the value at step 0, is below 0.0",
    );
    check(&Threshold::lower(0.0), Minimize, &[1.0, nan], "threshold pruner: the value at step 1 is NaN");
    check(&Patient::new(1), Minimize, &[1.0, 2.0], "");
    check(&Patient::new(1), Minimize, &[nan, nan, nan], "");
    check(
        &Patient::new(1),
        Minimize,
        &[1.0, 2.0, 1.5],
        "patient pruner: 1.5, the best of the last 2 reports, is worse than 1.0, the best before them",
    );
    check(&Patient::new(1).min_delta(1.0).wrapping(Never), Maximize, &[5.0, 2.0, 3.0], "");
    check(
        &Patient::new(1).min_delta(1.0).wrapping(Threshold::lower(4.0)),
        Maximize,
        &[5.0, 2.0, 3.0],
        "patient pruner: 3.0, the best of the last 2 reports, is worse by more than 1.0 than 5.0, the best before \
         them; threshold pruner: 3.0, the value at step 2, is below 4.0",
    );
    // All complete trials were told 0, and so the first of them is the best: it reported 0 at each step.
    check(&Wilcoxon::new().p_threshold(0.2), Maximize, &[1.0, 2.0, 3.0], "");
    check(&Wilcoxon::new().p_threshold(0.125), Minimize, &[1.0, 2.0, 3.0], "");
    check(
        &Wilcoxon::new().p_threshold(0.2),
        Minimize,
        &[1.0, 2.0, 3.0],
        "wilcoxon pruner: the values at 3 steps are worse than those of trial 0, the best, with p-value 1.250e-1, \
         below 0.2",
    );
    check(
        &Shadow::new(Threshold::upper(2.0)),
        Minimize,
        &[2.5],
        "shadow: threshold pruner: 2.5, the value at step 0, is above 2.0",
    );
}

/// numpy's percentile of two infinities is NaN, and Optuna goes on; an infinity is as far ahead as can be.
#[test]
fn infinite_peers_are_peers() {
    let mut study = Study::new("s", &[Direction::Maximize]);
    for _ in 0..6 {
        study.trial(&[f64::INFINITY], FinalState::Complete);
    }
    let number = study.start();
    study.report(number, 0, 1.0);
    assert!(Median::new().decide(&study.view(), number).is_prune());
}

/// Optuna has five brackets here, as `log(243, 3)` is 4.999999999999999 in its arithmetic.
#[test]
fn brackets_are_counted_in_whole_numbers() {
    let view = Study::minimize().view();
    let brackets = Hyperband::new().max_resource(243).brackets(&view).unwrap();
    assert_eq!(brackets.budgets(), [243, 98, 41, 18, 9, 6]);
    assert_eq!(
        Hyperband::new().max_resource(u64::MAX).reduction_factor(2).brackets(&view).unwrap().budgets().len(),
        64
    );
    assert_eq!(Hyperband::new().min_resource(2).max_resource(1).brackets(&view), None);
    assert_eq!(Hyperband::new().bracket(&view, TrialNumber(0)), None);
}
