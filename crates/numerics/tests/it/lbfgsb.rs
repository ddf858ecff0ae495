//! L-BFGS-B against SciPy: the same points in the same order, as long as rounding lets two programs go one way.

use trialog_numerics::{LbfgsbEnd, LbfgsbOptions, LbfgsbResult, lbfgsb};

fn rosenbrock(x: &[f64], g: &mut [f64]) -> f64 {
    g.fill(0.0);
    let mut f = 0.0;
    for i in 0..x.len() - 1 {
        let t = x[i + 1] - x[i] * x[i];
        f += 100.0 * t * t + (1.0 - x[i]) * (1.0 - x[i]);
        g[i] += -400.0 * x[i] * t - 2.0 * (1.0 - x[i]);
        g[i + 1] += 200.0 * t;
    }
    f
}

fn driver(x: &[f64], g: &mut [f64]) -> f64 {
    g.fill(0.0);
    let mut f = 0.25 * (x[0] - 1.0) * (x[0] - 1.0);
    g[0] = 2.0 * (x[0] - 1.0);
    for i in 1..x.len() {
        let t = x[i] - x[i - 1] * x[i - 1];
        f += t * t;
        g[i] += 8.0 * t;
        g[i - 1] -= 16.0 * x[i - 1] * t;
    }
    4.0 * f
}

fn quadratic(x: &[f64], g: &mut [f64]) -> f64 {
    let last = (x.len() - 1) as f64;
    let d: Vec<f64> = x.iter().enumerate().map(|(i, x)| x - (2.0 * i as f64 / last - 1.0)).collect();
    let s: f64 = d.iter().sum();
    let mut f = 0.5 * s * s;
    for (i, d) in d.iter().enumerate() {
        let scale = libm::pow(10.0, 3.0 * i as f64 / last);
        f += 0.5 * scale * d * d;
        g[i] = scale * d + s;
    }
    f
}

fn wave(x: &[f64], g: &mut [f64]) -> f64 {
    for (g, x) in g.iter_mut().zip(x) {
        *g = 3.0 * libm::cos(3.0 * x) + 0.2 * x;
    }
    x.iter().map(|x| libm::sin(3.0 * x) + 0.1 * x * x).sum()
}

#[derive(Default)]
struct Case {
    name: String,
    bounds: Vec<(f64, f64)>,
    options: LbfgsbOptions,
    start: Vec<f64>,
    at: Vec<(Vec<f64>, f64)>,
}

fn numbers(text: &str) -> Vec<f64> {
    text.split_whitespace().map(|word| word.parse().unwrap()).collect()
}

fn minimize(case: &Case, mut evaluated: impl FnMut(&[f64], f64)) -> LbfgsbResult {
    let function = match case.name.as_str() {
        "rosenbrock" => rosenbrock,
        "driver" => driver,
        "quadratic" => quadratic,
        "wave" => wave,
        other => panic!("what is {other}"),
    };
    lbfgsb(&case.start, &case.bounds, case.options, |x, g| {
        let f = function(x, g);
        evaluated(x, f);
        f
    })
}

/// Two programs that round differently drift apart in the course of a minimization: the tolerance of a point grows
/// threefold with each evaluation, up to this.
const LOOSEST: f64 = 1e-4;

fn check(golden: &str) {
    let mut case = Case::default();
    for line in golden.lines() {
        let (key, rest) = line.split_once(' ').unwrap();
        match key {
            "case" => case = Case { name: rest.split(' ').next().unwrap().to_owned(), ..Case::default() },
            "bounds" => {
                let v = numbers(rest);
                case.bounds.push((v[0], v[1]));
            }
            "tolerances" => {
                let v = numbers(rest);
                case.options.gradient_tolerance = v[0];
                case.options.value_tolerance = v[1];
            }
            "start" => case.start = numbers(rest),
            "at" => {
                let (x, f) = rest.split_once(" = ").unwrap();
                case.at.push((numbers(x), f.parse().unwrap()));
            }
            "end" => {
                let v = numbers(rest);
                let mut count = 0;
                let mut tolerance = 1e-12;
                let result = minimize(&case, |x, f| {
                    if let Some((expected, value)) = case.at.get(count) {
                        for (x, e) in x.iter().zip(expected) {
                            assert!(
                                (x - e).abs() <= tolerance * e.abs().max(1.0),
                                "{} evaluation {count}: {x} {e}",
                                case.name
                            );
                        }
                        assert!(
                            (f - value).abs() <= 1e3 * tolerance * value.abs().max(1.0),
                            "{} {f} {value}",
                            case.name
                        );
                    }
                    count += 1;
                    tolerance = f64::min(3.0 * tolerance, LOOSEST);
                });
                assert!(
                    (result.value - v[2]).abs() <= 1e-7 * v[2].abs().max(1.0),
                    "{} {result:?} {v:?}",
                    case.name
                );
                assert_eq!(result.iterations as f64, v[0], "{}: iterations", case.name);
                assert_eq!(result.evaluations as f64, v[1], "{}: evaluations", case.name);
            }
            other => panic!("what is {other}"),
        }
    }
}

#[test]
fn goes_the_way_of_scipy() {
    check(include_str!("../golden/lbfgsb-scipy-1.17.1.txt"));
}

#[test]
#[should_panic(expected = "rosenbrock evaluation 1")]
fn canary() {
    check(
        "case rosenbrock 2\ntolerances 1e-05 1e-9\nstart -1.2 1.0\nat -1.2 1.0 = 24.2\nat -0.1 1.0 = 1.0\nend 1 2 0.0",
    );
}

#[test]
fn odd_functions_end() {
    let run = |start: &[f64], bounds: &[(f64, f64)], f: &dyn Fn(&[f64], &mut [f64]) -> f64| {
        lbfgsb(start, bounds, LbfgsbOptions::default(), |x, g| f(x, g))
    };
    let nan = run(&[1.0], &[], &|_, _| f64::NAN);
    assert_eq!(nan.end, LbfgsbEnd::NotFinite);
    let none = run(&[], &[], &|_, _| 3.0);
    assert_eq!((none.end, none.value), (LbfgsbEnd::Gradient, 3.0));
    let fixed = run(&[5.0], &[(1.0, 1.0)], &|x, g| {
        g[0] = 1.0;
        x[0]
    });
    assert_eq!((fixed.x, fixed.end), (vec![1.0], LbfgsbEnd::Gradient));
    // A gradient that lies: uphill everywhere.
    let liar = run(&[0.0], &[], &|x, g| {
        g[0] = -1.0;
        x[0].abs()
    });
    assert_eq!((liar.x, liar.end), (vec![0.0], LbfgsbEnd::LineSearch));
    // No lower end.
    let slope = run(&[0.0], &[], &|x, g| {
        g[0] = 1.0;
        x[0]
    });
    assert!(slope.value < -1e8);
    // A wall of infinity in the way.
    let wall = run(&[0.0], &[(-10.0, 10.0)], &|x, g| {
        g[0] = 2.0 * (x[0] - 3.0);
        if x[0] > 2.0 { f64::INFINITY } else { (x[0] - 3.0) * (x[0] - 3.0) }
    });
    assert!(wall.x[0] <= 2.0 && wall.value.is_finite(), "{wall:?}");
}
