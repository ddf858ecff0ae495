//! The growing density against the plain one.

use super::race::Runner;
use super::*;
use crate::parzen::density::Density;
use crate::parzen::mixture::Mixture;
use libm::log;
use proptest::prelude::*;
use std::collections::BTreeMap;
use trialog_numerics::Stream;
use trialog_ops::{Distribution, FloatDistribution, IntDistribution};

fn spaces() -> Vec<Distribution> {
    let float = |low, high, log, step| Distribution::Float(FloatDistribution::new(low, high, log, step).unwrap());
    let int = |low, high, log, step| Distribution::Int(IntDistribution::new(low, high, log, step).unwrap());
    vec![
        float(-5.0, 5.0, false, None),
        float(1e-6, 1e3, true, None),
        float(0.0, 1.0, false, Some(0.1)),
        float(0.0, 1.0, false, Some(0.0001)),
        int(0, 7, false, 1),
        int(1, 60, true, 1),
        int(1, 4000, true, 1),
        int(-9000, 9000, false, 3),
        Distribution::categorical(0..2).unwrap(),
        Distribution::categorical(0..9).unwrap(),
        float(3.0, 3.0, false, None),
    ]
}

/// The one among them that has a single value.
const PINNED: usize = 10;

fn value(stream: &mut Stream, axis: &Axis, spread: f64) -> f64 {
    let options = KernelOptions::default();
    let wide = Mixture::new(&[*axis], vec![Vec::new()], Weights::Equal, options);
    if stream.uniform() < spread {
        return wide.sample(stream, 1)[0][0];
    }
    let centre = wide.sample(&mut Stream::new(&[1]), 1)[0][0];
    Mixture::new(&[*axis], vec![vec![centre; 60]], Weights::Equal, options).sample(stream, 1)[0][0]
}

/// The density by the definition, of the same observations.
fn plain(axes: &[Axis], rows: &BTreeMap<u32, Vec<f64>>, weights: Weights, options: KernelOptions) -> Mixture {
    let columns = (0..axes.len()).map(|axis| rows.values().map(|row| row[axis]).collect()).collect();
    Mixture::new(axes, columns, weights, options)
}

/// The plain density, of which a unit of the runner's sums has the logarithm `unit`, is between what the runner has.
fn bounds(runner: &Runner, expected: f64, unit: f64, point: &[f64]) {
    let [low, high] = [runner.low, runner.high].map(|sum| unit + log(sum));
    let slack = 1e-9 * (1.0 + expected.abs());
    assert!(low <= expected + slack, "{low} {expected} at {point:?}");
    assert!(high >= expected - slack, "{high} {expected} at {point:?}");
}

fn check(growing: &mut Growing, plain: &Mixture, below: &Mixture, points: &[Vec<f64>]) {
    growing.refresh();
    for GrowingAxis { index, form } in &mut growing.forms {
        points.iter().for_each(|point| form.fill_row(point[*index]));
    }
    let n = growing.len();
    assert_eq!(n, plain.observations());
    let scale = Scale::new(growing.weights.ramp(n), growing);
    let probes: Vec<Probe<'_>> = points.iter().map(|point| growing.probe(point)).collect();
    let apart = growing.sums_apart(growing.weights.ramp(n), &probes, points);
    let shares = growing.sums.as_ref().map(|sums| {
        let probes: Vec<&Probe<'_>> = probes.iter().collect();
        sums.at(&probes, (&growing.tree, &growing.ranks), &scale)
    });
    let newest = growing.newest(&scale);
    for (at, ((point, probe), apart)) in points.iter().zip(&probes).zip(apart).enumerate() {
        let expected = plain.log_density(point);
        let unit = probe.log_prior + log(plain.weights()[n]);
        if let Some(shares) = &shares {
            bounds(&Runner::arrived(at, apart + shares[at]), expected, unit, point);
            // What the tree knows of ranks is not kept up to date then.
            continue;
        }
        let mut runner = growing.runner(at, apart, probe, &newest, &scale);
        while runner.low < runner.high {
            bounds(&runner, expected, unit, point);
            growing.advance(&mut runner, probe, &scale);
        }
        bounds(&runner, expected, unit, point);
    }
    let below = Density::new(below);
    let best = Density::new(plain).largest_log_ratio(&below, points);
    match growing.largest_log_ratio(&below, points) {
        Outcome::Winner(winner) => assert_eq!(winner, best),
        Outcome::Close(close) => assert!(close.contains(&best), "{close:?} {best}"),
        Outcome::Unknown => panic!("unknown"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn it_is_the_plain_density(
        kinds in prop::collection::vec(0_usize..11, 1..6), n in 200_u32..1200, changes in 0_u32..300,
        seed: u64, spread in 0.0..1.0_f64, recent: bool, endpoints: bool, loaded: bool,
    ) {
        prop_assume!(kinds.iter().any(|&kind| kind != PINNED));
        follows(&kinds, n, changes, seed, spread, [recent, endpoints, loaded]);
    }

    /// Of one to three numbers, and beside a choice, where most kernels are within sight of each other: nodes have moments there.
    #[test]
    fn crowded_it_is_the_plain_density(
        kinds in prop::sample::select(vec![
            vec![0, 0], vec![0, 1], vec![0, 3], vec![0, 0, 0], vec![1, 7, 0], vec![0, 8], vec![0, 0, 8], vec![7, 6], vec![0, 4],
        ]),
        n in 1000_u32..6000, changes in 0_u32..60, seed: u64, spread in 0.0..0.05_f64, recent: bool, loaded: bool,
    ) {
        follows(&kinds, n, changes, seed, spread, [recent, false, loaded]);
    }

    /// Along one axis, where sums are kept.
    #[test]
    fn alone_it_is_the_plain_density(
        kind in 0..PINNED, n in 200_u32..4500, changes in 0_u32..300,
        seed: u64, spread in 0.0..1.0_f64, recent: bool, endpoints: bool, loaded: bool,
    ) {
        follows(&[kind], n, changes, seed, spread, [recent, endpoints, loaded]);
    }
}

/// Loads or adds observations, changes some, and compares.
fn follows(kinds: &[usize], n: u32, changes: u32, seed: u64, spread: f64, flags: [bool; 3]) {
    let [recent, endpoints, loaded] = flags;
    let spaces = spaces();
    let axes: Vec<Axis> = kinds.iter().map(|&kind| Axis::of(&spaces[kind])).collect();
    let weights = if recent { Weights::Recent } else { Weights::Equal };
    let options = KernelOptions { endpoints, ..KernelOptions::default() };
    let mut stream = Stream::new(&[seed]);
    let mut rows: BTreeMap<u32, Vec<f64>> = BTreeMap::new();
    let mut growing = Growing::new(&axes, weights, options).unwrap();
    let row = |stream: &mut Stream| axes.iter().map(|axis| value(stream, axis, spread)).collect::<Vec<f64>>();
    for number in 0..n {
        rows.insert(number * 2, row(&mut stream));
    }
    if loaded {
        let numbers: Vec<u32> = rows.keys().copied().collect();
        let columns: Vec<Vec<f64>> =
            (0..axes.len()).map(|axis| rows.values().map(|row| row[axis]).collect()).collect();
        growing.load(&numbers, &columns).unwrap();
    } else {
        rows.iter().for_each(|(&number, row)| growing.set(number, Some(row)).unwrap());
    }
    for change in 0..changes {
        let number = stream.below(u64::from(n) * 2) as u32;
        if stream.uniform() < 0.5 && rows.len() > 250 {
            rows.remove(&number);
            growing.set(number, None).unwrap();
        } else {
            let values = row(&mut stream);
            growing.set(number, Some(&values)).unwrap();
            rows.insert(number, values);
        }
        if change % 16 == 0 {
            growing.refresh();
        }
    }
    let plain = plain(&axes, &rows, weights, options);
    let best: BTreeMap<u32, Vec<f64>> = rows.iter().take(20).map(|(n, row)| (*n, row.clone())).collect();
    let below = self::plain(&axes, &best, Weights::Recent, options);
    let points = below.sample(&mut stream, 24);
    check(&mut growing, &plain, &below, &points);
}

/// In rising order every observation comes into the last leaf, and the tree stays shallow all the same.
#[test]
fn sorted_observations_make_no_long_path() {
    let axes = [Axis::of(&spaces()[0])];
    let mut growing = Growing::new(&axes, Weights::Recent, KernelOptions::default()).unwrap();
    for number in 0..60_000_u32 {
        growing.set(number, Some(&[f64::from(number) * 1e-4 - 3.0])).unwrap();
    }
    assert!(growing.tree.depth() < 40, "{}", growing.tree.depth());
}

#[test]
#[should_panic(expected = "out of place")]
fn canary() {
    let axes = [Axis::of(&spaces()[0])];
    let mut growing = Growing::new(&axes, Weights::Recent, KernelOptions::default()).unwrap();
    growing.set(0, Some(&[7.0])).expect("out of place");
}
