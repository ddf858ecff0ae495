//! The process, its likelihood and the acquisitions against Optuna 5.0.0, and gradients against differences.
//! `tests/golden/gp.py` has the form of the file.

use std::sync::Arc;

use trialog_numerics::{Points, Stream, non_dominated_boxes};

use super::acquisition::{Acquisition, Goal, Scratch};
use super::fit::Posterior;
use super::goal;
use super::model::{Inputs, Kernel, Model, squared};

fn numbers(text: &str) -> Vec<f64> {
    text.split_whitespace().map(|word| word.parse().unwrap()).collect()
}

#[track_caller]
fn close(what: &str, actual: f64, expected: f64, tolerance: f64) {
    let error = (actual - expected).abs() / expected.abs().max(1.0);
    assert!(error <= tolerance, "{what}: {actual:?} instead of {expected:?}, off by {error:e}");
}

fn acquisition(models: Vec<Model>, goal: Goal, thresholds: Vec<f64>, draws: Vec<Vec<Vec<f64>>>) -> Acquisition {
    let objectives = models.len() - thresholds.len();
    Acquisition { models, objectives, goal, thresholds, draws }
}

fn check(golden: &str) {
    let (mut inputs, mut y) = (Inputs::default(), Vec::new());
    let (mut kernel, mut slack) = (Kernel::ones(0), Vec::new());
    for line in golden.lines() {
        let (key, rest) = line.split_once(' ').unwrap();
        let dims = inputs.columns.len();
        match key {
            "axes" => {
                inputs = Inputs::new(rest.chars().map(|kind| kind == 'c').collect());
                y.clear();
            }
            "observed" => {
                let v = numbers(rest);
                inputs.push(&v[..dims]);
                y.push(v[dims]);
            }
            "kernel" => {
                let v = numbers(rest);
                kernel = Kernel { theta: v[..dims].to_vec(), scale: v[dims], noise: v[dims + 1] };
            }
            "matrix" => {
                let factor = super::model::factorize(&kernel, &inputs, None).unwrap();
                for (at, expected) in numbers(rest).into_iter().enumerate() {
                    let (a, b) = (at / y.len(), at % y.len());
                    let product: f64 = factor.row(a).iter().zip(factor.row(b)).map(|(l, m)| l * m).sum();
                    close("matrix", product - if a == b { kernel.noise } else { 0.0 }, expected, 1e-13);
                }
            }
            "posterior" => {
                let v = numbers(rest);
                let mut posterior = Posterior::new(&inputs, &y, false);
                let mut logs: Vec<f64> = kernel.theta.iter().map(|theta| theta.ln()).collect();
                logs.extend([kernel.scale.ln(), (kernel.noise - 1e-6).ln()]);
                let mut gradient = vec![0.0; dims + 2];
                close("posterior", posterior.evaluate(&logs, &mut gradient), v[0], 1e-9);
                for (actual, expected) in gradient.iter().zip(&v[1..]) {
                    close("gradient of the posterior", *actual, *expected, 1e-7);
                }
            }
            "fitted" => {
                let mut posterior = Posterior::new(&inputs, &y, false);
                let kernel = posterior.fit(&[Kernel::ones(dims)]);
                let value = posterior.evaluate(&posterior.to_logs(&kernel), &mut vec![0.0; dims + 2]);
                // Where Optuna stops is no better than where we do, but for the tolerance of both.
                let expected = numbers(rest)[0];
                assert!(value <= expected + 1e-3, "fitted: {value} {expected}");
            }
            "at" => {
                let v = numbers(rest);
                let (x, v) = v.split_at(dims);
                let model = Model::new(kernel.clone(), Arc::new(inputs.clone()), &y, None).unwrap();
                let belief = model.at(x, None);
                close("mean", belief.mean, v[1], 1e-8);
                close("variance", belief.variance, v[2], 1e-8);
                let draws = vec![vec![Vec::new()]];
                let acquisition = acquisition(vec![model], Goal::Improvement(vec![v[0]]), Vec::new(), draws);
                let mut gradient = vec![0.0; dims];
                let value = acquisition.gradient(x, &mut gradient, &mut Scratch::default());
                close("logEI", value, v[3], 1e-7);
                for (actual, expected) in gradient.iter().zip(&v[4..]) {
                    close("gradient of logEI", *actual, *expected, 1e-6);
                }
            }
            "slack" => slack = numbers(rest),
            "bound" | "constrained" => {
                let v = numbers(rest);
                let (x, v) = v.split_at(dims);
                let inputs = Arc::new(inputs.clone());
                let model = |y: &[f64]| Model::new(kernel.clone(), Arc::clone(&inputs), y, None).unwrap();
                let (models, goal, thresholds, v) = if key == "bound" {
                    (vec![model(&y)], Goal::Bound(v[0]), Vec::new(), &v[1..])
                } else {
                    (vec![model(&y), model(&slack)], Goal::Improvement(vec![v[0]]), vec![v[1]], &v[2..])
                };
                let draws = vec![vec![Vec::new(); models.len()]];
                let acquisition = acquisition(models, goal, thresholds, draws);
                let mut gradient = vec![0.0; dims];
                let value = acquisition.gradient(x, &mut gradient, &mut Scratch::default());
                close(key, value, v[0], 1e-8);
                for (actual, expected) in gradient.iter().zip(&v[1..]) {
                    close("gradient of it", *actual, *expected, 1e-7);
                }
            }
            "volume" => check_volume(rest),
            other => panic!("what is {other}"),
        }
    }
}

/// Optuna draws 2^16 points; the sum over boxes is exact.
fn check_volume(line: &str) {
    let (head, rest) = line.split_once(' ').unwrap();
    let parts: Vec<Vec<f64>> = rest.split('|').map(numbers).collect();
    let m: usize = head.parse().unwrap();
    let losses: Vec<f64> = parts[0].iter().map(|score| -score).collect();
    let worst = |at: usize| losses.iter().skip(at).step_by(m).copied().fold(f64::NEG_INFINITY, f64::max);
    let reference: Vec<f64> = (0..m).map(worst).map(|worst| f64::max(1.1 * worst, 0.9 * worst)).collect();
    let volumes: Vec<f64> = non_dominated_boxes(Points::new(&losses, m), &reference)
        .iter()
        .map(|(low, high)| {
            let side = |at: usize| {
                let (mean, variance) = (parts[1][at], parts[1][m + at]);
                trialog_numerics::log_expected_length(mean, variance, -high[at], -low[at]).value
            };
            (0..m).map(side).sum()
        })
        .collect();
    close("logEHVI", trialog_numerics::log_sum_exp(&volumes), parts[2][0], 2e-3);
}

#[test]
fn agrees_with_optuna() {
    check(include_str!("../../tests/golden/gp-optuna-5.0.0.txt"));
}

#[test]
#[should_panic(expected = "mean")]
fn canary() {
    check("axes f\nobserved 0.5 1.0\nkernel 1.0 1.0 0.5\nat 0.5 0.0 0.7 0.3 0.0 0.0");
}

/// Two objectives and a constraint, with and without running trials, for every goal.
fn some_acquisitions() -> Vec<(&'static str, Acquisition)> {
    let mut stream = Stream::new(&[4]);
    let mut inputs = Inputs::new(vec![false, false, true]);
    let mut values: Vec<Vec<f64>> = vec![Vec::new(); 3];
    for _ in 0..14 {
        let point = [stream.uniform(), stream.uniform(), stream.below(3) as f64];
        inputs.push(&point);
        values[0].push(libm::sin(6.0 * point[0]) + point[1]);
        values[1].push(point[0] - 0.3 * point[2]);
        values[2].push(point[1] - 0.4);
    }
    let mut acquisitions = Vec::new();
    for running in [0, 3] {
        let mut all = inputs.clone();
        for _ in 0..running {
            all.push(&[stream.uniform(), stream.uniform(), stream.below(3) as f64]);
        }
        let all = Arc::new(all);
        let model = |at: usize| {
            let theta = vec![3.0 + at as f64, 1.5, 0.7];
            let kernel = Kernel { theta, scale: 1.0 + 0.2 * at as f64, noise: 1e-3 };
            Model::new(kernel, Arc::clone(&all), &values[at], None).unwrap()
        };
        let draws = |processes: usize| {
            if running == 0 {
                vec![vec![Vec::new(); processes]]
            } else {
                super::normal_draws(4, processes, running, &mut Stream::new(&[9]))
            }
        };
        let is_feasible: Vec<bool> = values[2].iter().map(|slack| *slack >= 0.0).collect();
        for (name, processes, objectives) in [
            ("one", vec![0], 1),
            ("one constrained", vec![0, 2], 1),
            ("two", vec![0, 1], 2),
            ("two constrained", vec![0, 1, 2], 2),
        ] {
            let models: Vec<Model> = processes.iter().map(|&at| model(at)).collect();
            let scores = values[..objectives].to_vec();
            let thresholds = vec![0.0; processes.len() - objectives];
            let draws = draws(processes.len());
            let goal = goal(&models, &scores, &is_feasible, &thresholds, &draws);
            acquisitions.push((name, acquisition(models, goal, thresholds, draws)));
        }
        let still = vec![vec![vec![0.0; running]; 2]];
        acquisitions
            .push(("bound", acquisition(vec![model(0), model(2)], Goal::Bound(1.5), vec![0.0], still.clone())));
        acquisitions
            .push(("feasibility", acquisition(vec![model(0), model(2)], Goal::Feasibility, vec![0.0], still)));
    }
    acquisitions
}

#[test]
fn gradients_are_slopes() {
    const STEP: f64 = 1e-6;
    for (name, acquisition) in some_acquisitions() {
        for at in 0..5 {
            let x = [0.1 + 0.2 * f64::from(at), 0.8 - 0.17 * f64::from(at), f64::from(at % 3)];
            let mut gradient = [0.0; 3];
            let value = acquisition.gradient(&x, &mut gradient, &mut Scratch::default());
            close(name, acquisition.value(&x), value, 1e-12);
            for d in 0..2 {
                let moved = |by: f64| {
                    let mut x = x;
                    x[d] += by;
                    acquisition.value(&x)
                };
                let slope = (moved(STEP) - moved(-STEP)) / (2.0 * STEP);
                close(name, gradient[d], slope, 1e-5);
            }
        }
    }
}

#[test]
fn many_points_at_once_are_the_same() {
    for (name, acquisition) in some_acquisitions() {
        let mut stream = Stream::new(&[1]);
        let points: Vec<[f64; 3]> =
            (0..37).map(|_| [stream.uniform(), stream.uniform(), stream.below(3) as f64]).collect();
        let columns: Vec<Vec<f64>> = (0..3).map(|d| points.iter().map(|point| point[d]).collect()).collect();
        for (point, value) in points.iter().zip(acquisition.values(&columns)) {
            close(name, value, acquisition.value(point), 1e-9);
        }
    }
}

/// A running trial's fantasies are draws of its value: over many of them, the expected improvement is that of the
/// better of the two points, less what the running one brings by itself (Monte Carlo, 400,000 draws of both).
#[test]
fn fantasies_average_to_the_joint_improvement() {
    let mut inputs = Inputs::new(vec![false]);
    for x in [0.0, 0.3, 1.0] {
        inputs.push(&[x]);
    }
    inputs.push(&[0.55]);
    let kernel = Kernel { theta: vec![9.0], scale: 1.0, noise: 1e-2 };
    let model = Model::new(kernel.clone(), Arc::new(inputs.clone()), &[0.2, 1.0, -0.5], None).unwrap();
    let draws = super::normal_draws(4096, 1, 1, &mut Stream::new(&[2]));
    let scores = vec![vec![0.2, 1.0, -0.5]];
    let goal = goal(std::slice::from_ref(&model), &scores, &[true; 3], &[], &draws);
    let x = 0.7;
    let value = acquisition(vec![model.clone()], goal, Vec::new(), draws).value(&[x]);
    // The joint distribution by the definition: the factor of both points' rows.
    let mut factor = (*model.factor).clone();
    let mut row: Vec<f64> = inputs.columns[0]
        .iter()
        .map(|other| kernel.scale * super::model::matern(9.0 * squared(x, *other, false)).0)
        .collect();
    row.push(kernel.scale + 1e-12);
    assert!(factor.push(&row));
    let (running, belief) = (model.running_beliefs(), model.at(&[x], None));
    let mut stream = Stream::new(&[3]);
    let mut sum = 0.0;
    for _ in 0..400_000 {
        let (e, f) = (
            trialog_numerics::ndtri(stream.uniform().max(1e-12)),
            trialog_numerics::ndtri(stream.uniform().max(1e-12)),
        );
        let one = running[0].mean + running[0].running[0] * e;
        let other = belief.mean + factor.row(4)[3] * e + factor.row(4)[4] * f;
        sum += one.max(other).max(1.0) - one.max(1.0);
    }
    let expected = (sum / 400_000.0).ln();
    close("joint improvement", value, expected, 0.02);
}
