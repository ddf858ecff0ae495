//! Parzen estimators against Optuna, and the fast density against the definition.

use proptest::prelude::*;
use trialog_numerics::Stream;
use trialog_ops::{Distribution, FloatDistribution, IntDistribution};
use trialog_samplers::parzen::{Axis, Density, KernelOptions, Mixture, Weights};

/// One case of a golden file; `golden/parzen.py` describes its form.
#[derive(Default)]
struct Case {
    name: String,
    axes: Vec<Axis>,
    columns: Vec<Vec<f64>>,
    recent: bool,
    options: KernelOptions,
    weights: Vec<f64>,
    sigmas: Vec<Vec<f64>>,
    points: Vec<Vec<f64>>,
    log_densities: Vec<f64>,
}

pub(crate) fn numbers(text: &str) -> Vec<f64> {
    text.split_whitespace().map(|word| word.parse().unwrap()).collect()
}

pub(crate) fn distribution(text: &str) -> Distribution {
    let words: Vec<&str> = text.split_whitespace().collect();
    let number = |at: usize| words[at].parse::<f64>().unwrap();
    match words[0] {
        "categorical" => Distribution::categorical(0..number(1) as i64).unwrap(),
        "float" => {
            let step = Some(number(4)).filter(|&step| step != 0.0);
            Distribution::Float(FloatDistribution::new(number(1), number(2), number(3) == 1.0, step).unwrap())
        }
        _ => {
            let step = number(4) as i64;
            let (low, high) = (number(1) as i64, number(2) as i64);
            Distribution::Int(IntDistribution::new(low, high, number(3) == 1.0, step).unwrap())
        }
    }
}

fn cases(golden: &str) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for line in golden.lines() {
        let (key, rest) = line.split_once(' ').unwrap_or((line, ""));
        if key == "case" {
            cases.push(Case { name: rest.to_owned(), ..Case::default() });
            continue;
        }
        let case = cases.last_mut().unwrap();
        match key {
            "axis" => {
                case.axes.push(Axis::of(&distribution(rest)));
                case.columns.push(Vec::new());
            }
            "weights" => case.recent = rest == "recent",
            "options" => {
                let v = numbers(rest);
                case.options =
                    KernelOptions { prior_weight: v[0], magic_clip: v[1] == 1.0, endpoints: v[2] == 1.0 };
            }
            "observed" => {
                for (column, value) in case.columns.iter_mut().zip(numbers(rest)) {
                    column.push(value);
                }
            }
            "expected" => case.weights = numbers(rest),
            "sigmas" => case.sigmas.push(numbers(rest)),
            "at" => {
                let (point, value) = rest.split_once(" = ").unwrap();
                case.points.push(numbers(point));
                case.log_densities.push(value.parse().unwrap());
            }
            other => panic!("what is {other}"),
        }
    }
    cases
}

#[track_caller]
fn close(what: &str, actual: f64, expected: f64, tolerance: f64) {
    let error = (actual - expected).abs() / expected.abs().max(1.0);
    assert!(
        actual == expected || error <= tolerance,
        "{what}: {actual:?} instead of {expected:?}, error {error:e}"
    );
}

fn check(golden: &str) {
    for case in cases(golden) {
        let weights = if case.recent { Weights::Recent } else { Weights::Equal };
        let mixture = Mixture::new(&case.axes, case.columns.clone(), weights, case.options);
        for (actual, expected) in mixture.weights().iter().zip(&case.weights) {
            close(&case.name, *actual, *expected, 1e-14);
        }
        let numeric = (0..case.axes.len()).filter(|&axis| matches!(case.axes[axis], Axis::Numeric(_)));
        for (axis, sigmas) in numeric.zip(&case.sigmas) {
            assert_eq!(sigmas.len(), mixture.weights().len(), "{}", case.name);
            for (component, expected) in sigmas.iter().enumerate() {
                let (_, sigma) = mixture.kernel(axis, component).unwrap();
                close(&case.name, sigma / expected, 1.0, 1e-12);
            }
        }
        let fast = Density::new(&mixture).log_densities(&case.points);
        for (at, (point, expected)) in case.points.iter().zip(&case.log_densities).enumerate() {
            close(
                &format!("{}, by definition, at {point:?}", case.name),
                mixture.log_density(point),
                *expected,
                1e-10,
            );
            close(&format!("{}, fast, at {point:?}", case.name), fast[at], *expected, 1e-10);
        }
    }
}

#[test]
fn agrees_with_optuna() {
    check(include_str!("../golden/parzen-optuna-5.0.0.txt"));
}

#[test]
#[should_panic(expected = "canary")]
fn canary() {
    check("case canary\naxis float 0 1 0 0\nexpected 1\nsigmas 1\nat 0.5 = 0.000001");
}

/// A space of one to six parameters of all kinds.
fn space() -> impl Strategy<Value = Vec<Distribution>> {
    let one = prop_oneof![
        Just("float 0 1 0 0"),
        Just("float -3 5 0 0"),
        Just("float 1e-6 1e3 1 0"),
        Just("float 0 1 0 0.1"),
        Just("float 0 1 0 0.0001"),
        Just("int 0 7 0 1"),
        Just("int 1 4000 1 1"),
        Just("int 1 60 1 1"),
        Just("int -9000 9000 0 3"),
        Just("categorical 2"),
        Just("categorical 9"),
    ];
    prop::collection::vec(one.prop_map(distribution), 1..7)
}

/// Values that an objective could have drawn, some of them repeated, narrowed to a part of the range by `spread`.
fn values(stream: &mut Stream, axis: &Axis, distribution: &Distribution, n: usize, spread: f64) -> Vec<f64> {
    let uniform = Mixture::new(&[*axis], vec![Vec::new()], Weights::Equal, KernelOptions::default());
    let centre = uniform.sample(stream, 1).remove(0);
    let cluster = Mixture::new(&[*axis], vec![vec![centre[0]; 60]], Weights::Equal, KernelOptions::default());
    let mut drawn: Vec<f64> = Vec::new();
    for k in 0..n {
        let from = if stream.uniform() < spread { &uniform } else { &cluster };
        let value = if k > 0 && stream.uniform() < 0.1 { drawn[k / 2] } else { from.sample(stream, 1)[0][0] };
        assert!(distribution.contains(value), "{value} from {distribution}");
        drawn.push(value);
    }
    drawn
}

/// Draws against the density: the chi-squared statistic over equal stretches of the range, or over all values.
#[test]
fn draws_follow_the_density() {
    const DRAWS: usize = 40_000;
    for (text, observed) in [
        ("float 0 1 0 0", vec![0.02, 0.3, 0.31, 0.9]),
        ("float 0 1 0 0", vec![]),
        ("float 1e-3 10 1 0", vec![0.002, 0.5, 9.9]),
        ("float 0 1 0 0.05", vec![0.0, 0.35, 0.4]),
        ("int 1 40 0 1", vec![1.0, 20.0, 21.0, 40.0]),
        ("int 1 40 1 1", vec![1.0, 2.0, 30.0]),
        ("categorical 6", vec![2.0, 2.0, 5.0]),
    ] {
        let d = distribution(text);
        let mixture = Mixture::new(&[Axis::of(&d)], vec![observed], Weights::Equal, KernelOptions::default());
        // On a logarithmic axis the density is that of the logarithm.
        let is_log = matches!(&d, Distribution::Float(f) if f.is_log());
        let density = |place: f64| mixture.log_density(&[if is_log { place.exp() } else { place }]).exp();
        let (low, high, bins) = match &d {
            Distribution::Float(f) if f.is_log() => (f.low().ln(), f.high().ln(), 40),
            Distribution::Float(f) if f.step().is_none() => (f.low(), f.high(), 40),
            Distribution::Float(f) => (f.low() - 0.025, f.high() + 0.025, 21),
            Distribution::Int(i) => {
                (i.low() as f64 - 0.5, i.high() as f64 + 0.5, (i.high() - i.low() + 1) as usize)
            }
            Distribution::Categorical(c) => (-0.5, c.choices().len() as f64 - 0.5, c.choices().len()),
        };
        let is_continuous = matches!(&d, Distribution::Float(f) if f.step().is_none());
        let width = (high - low) / bins as f64;
        let expected = |bin: usize| {
            let left = low + width * bin as f64;
            if !is_continuous {
                return density(left + width / 2.0);
            }
            // The midpoint rule, fine enough for kernels a hundredth of the range wide.
            let parts = 2000;
            let part = width / f64::from(parts);
            (0..parts).map(|k| density(left + part * (f64::from(k) + 0.5)) * part).sum()
        };
        let mut counts = vec![0.0; bins];
        for point in mixture.sample(&mut Stream::new(&[17]), DRAWS) {
            let place = if is_log { point[0].ln() } else { point[0] };
            counts[(((place - low) / width) as usize).min(bins - 1)] += 1.0;
        }
        let mut total = 0.0;
        let mut chi2 = 0.0;
        let mut degrees = 0.0;
        for (bin, count) in counts.iter().enumerate() {
            let share: f64 = expected(bin);
            total += share;
            let mean = share * DRAWS as f64;
            if mean > 5.0 {
                chi2 += (count - mean) * (count - mean) / mean;
                degrees += 1.0;
            }
        }
        close(&format!("{text}: all shares"), total, 1.0, 1e-5);
        // Five standard deviations of the statistic.
        assert!(chi2 < degrees + 5.0 * f64::sqrt(2.0 * degrees), "{text}: chi2 {chi2} of {degrees}");
    }
}

/// Where only shares near the smallest double were left, some of them had become zero and the sum was too small:
/// with no prior to hide them, points that far from everything are for the definition.
#[test]
fn sums_of_vanishing_shares_are_not_trusted() {
    let axes = [Axis::of(&distribution("float 0 1 0 0")); 2];
    let options = KernelOptions { prior_weight: 0.0, ..KernelOptions::default() };
    let observed: Vec<f64> = (0..200).map(|k| 0.1 + f64::from(k) * 1e-4).collect();
    let mixture = Mixture::new(&axes, vec![observed.clone(), observed], Weights::Equal, options);
    let points: Vec<Vec<f64>> = (0..60).map(|k| vec![0.3 + f64::from(k) * 0.005; 2]).collect();
    for (point, fast) in points.iter().zip(Density::new(&mixture).log_densities(&points)) {
        close(&format!("at {point:?}"), fast, mixture.log_density(point), 1e-12);
    }
}

/// Optuna 4.9.0's kernel by its formula: three kernels with the prior's, six choices in a row, and the second and the
/// last one observed.
#[test]
fn distances_make_near_choices_likely() {
    let axis = Axis::of(&distribution("categorical 6"));
    let rows: std::sync::Arc<[f64]> = (0..36).map(|k| f64::from(k / 6 - k % 6).abs()).collect::<Vec<_>>().into();
    let coefficient = 3_f64.ln();
    for second in [Axis::of(&distribution("float 0 1 0 0")), axis] {
        let columns = vec![vec![1.0, 5.0], vec![0.0, 1.0]];
        let mixture = Mixture::new(&[axis, second], columns, Weights::Equal, KernelOptions::default());
        let mixture = mixture.with_distances(&[Some(rows.clone()), None]);
        let plain = Mixture::new(&[second], vec![vec![0.0, 1.0]], Weights::Equal, KernelOptions::default());
        let points: Vec<Vec<f64>> = (0..6).map(|choice| vec![f64::from(choice), 1.0]).collect();
        let fast = Density::new(&mixture).log_densities(&points);
        for (choice, (point, fast)) in points.iter().zip(fast).enumerate() {
            let share = |observed: i32, largest: f64| {
                let near = |at: i32| (-(f64::from(observed - at) / largest).powi(2) * coefficient).exp();
                near(choice as i32) / (0..6).map(near).sum::<f64>()
            };
            close("fast", fast, mixture.log_density(point), 1e-12);
            if second == axis {
                // Of an ordinary axis beside it: hit is 4/9 and miss is 1/9, with a third of the prior on each choice.
                let sum = share(1, 4.0) / 9.0 + share(5, 5.0) * 4.0 / 9.0 + 1.0 / 36.0;
                close("by the formula", fast.exp(), sum / 3.0, 1e-12);
            }
        }
        assert!(plain.log_density(&[1.0]).is_finite());
        for point in mixture.sample(&mut Stream::new(&[1]), 100) {
            assert!((0.0..6.0).contains(&point[0]) && point[0].fract() == 0.0);
        }
    }
}

/// Along one axis equal kernels are merged, and many of them become series.
#[test]
fn one_axis_is_the_definition() {
    for (text, prior_weight) in [
        ("float -3 5 0 0", 1.0),
        ("float -3 5 0 0", 1e-3),
        ("float -3 5 0 0", 1e-9),
        ("float 1e-6 1e3 1 0", 1.0),
        ("int 0 40 0 1", 1.0),
        ("int 1 90 1 1", 1.0),
        ("int 0 90000 0 1", 1.0),
        ("categorical 5", 1.0),
    ] {
        let d = distribution(text);
        let axis = Axis::of(&d);
        for (n, spread) in [(70, 1.0), (400, 0.1), (3000, 0.0), (3000, 0.02), (3000, 1.0)] {
            let mut stream = Stream::new(&[n as u64]);
            let observed = values(&mut stream, &axis, &d, n, spread);
            let options = KernelOptions { prior_weight, ..KernelOptions::default() };
            let mixture = Mixture::new(&[axis], vec![observed], Weights::Recent, options);
            let uniform = Mixture::new(&[axis], vec![Vec::new()], Weights::Equal, options);
            let mut points = mixture.sample(&mut stream, 24);
            points.extend(uniform.sample(&mut stream, 24));
            for (point, fast) in points.iter().zip(Density::new(&mixture).log_densities(&points)) {
                close(&format!("{text} n={n} at {point:?}"), fast, mixture.log_density(point), 1e-10);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn the_fast_density_is_the_definition(
        space in space(), n in 0_usize..500, seed: u64, spread in 0.0..1.0, recent: bool, prior in 0_usize..4,
    ) {
        let mut stream = Stream::new(&[seed]);
        let axes: Vec<Axis> = space.iter().map(Axis::of).collect();
        let columns = |stream: &mut Stream, n| {
            axes.iter().zip(&space).map(|(axis, d)| values(stream, axis, d, n, spread)).collect::<Vec<_>>()
        };
        let weights = if recent { Weights::Recent } else { Weights::Equal };
        let options = KernelOptions { prior_weight: [1.0, 0.0, 1e-9, 50.0][prior], ..KernelOptions::default() };
        let above = Mixture::new(&axes, columns(&mut stream, n), weights, options);
        let below = Mixture::new(&axes, columns(&mut stream, n / 10), weights, options);
        let points = below.sample(&mut stream, 24);
        let (g, l) = (Density::new(&above), Density::new(&below));
        let log_ratio = |point: &[f64]| below.log_density(point) - above.log_density(point);
        let (fast_above, fast_below) = (g.log_densities(&points), l.log_densities(&points));
        let mut best = 0;
        for (at, point) in points.iter().enumerate() {
            close("above", fast_above[at], above.log_density(point), 1e-9);
            close("below", fast_below[at], below.log_density(point), 1e-9);
            if log_ratio(point) > log_ratio(&points[best]) {
                best = at;
            }
        }
        let winner = g.largest_log_ratio(&l, &points);
        let (ours, theirs) = (log_ratio(&points[winner]), log_ratio(&points[best]));
        // Differences below a millionth are ties, and the first point wins them.
        let rounding = 2e-9 * (1.0 + theirs.abs());
        let is_tie = ours == theirs || (ours - theirs).abs() <= 1e-6 + rounding;
        prop_assert!(is_tie || theirs.is_nan(), "{ours} {theirs}");
        let ties = |point: &Vec<f64>| log_ratio(point) >= theirs - 1e-6 + rounding;
        prop_assert_eq!(points[..winner].iter().position(ties), None, "first of equals");
    }
}
