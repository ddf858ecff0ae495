//! The test functions: name, space, what is best, and where each comes from. All are minimised. `quality_functions.py` has
//! the same functions once more, and every run compares both at every point that Optuna asked for.

use std::collections::BTreeMap;
use std::f64::consts::{E, PI, TAU};

use serde_json::{Value, json};
use trialog::{Choice, Distribution, ParamValue};

use super::held;

/// The values of a trial's parameters.
pub type Point = BTreeMap<String, ParamValue>;

/// What a function says at a point.
#[derive(Clone, Debug, PartialEq)]
pub struct Said {
    /// One value for each objective.
    pub values: Vec<f64>,
    /// Kept where none is above 0.
    pub constraints: Vec<f64>,
}

/// A parameter, and the choice of another under which alone it is asked for.
pub struct Axis {
    /// Its name.
    pub name: String,
    /// What it is drawn from.
    pub distribution: Distribution,
    /// The categorical parameter and its choice.
    pub when: Option<(&'static str, &'static str)>,
}

/// What is best.
pub enum Best {
    /// The least value.
    Value(f64),
    /// The volume that the whole front dominates, with the reference point.
    Volume(f64, &'static [f64]),
}

/// A test function and how it is run.
pub struct Function {
    /// Its name.
    pub name: &'static str,
    /// The group that it is counted in.
    pub group: &'static str,
    /// Where it comes from.
    pub source: &'static str,
    /// Its parameters, a condition before what depends on it.
    pub axes: Vec<Axis>,
    /// What is best.
    pub best: Best,
    /// The standard deviation of the normal noise on what a sampler is told; 0 for none.
    pub noise: f64,
    /// How high above its end a learning curve begins, if the function has one; among [`INSTANCES`], how far the values
    /// of instances are apart.
    pub curve: Option<f64>,
    /// How many trials run at a time.
    pub workers: usize,
    /// The function.
    pub at: fn(&Point) -> Said,
}

/// The groups, in order. Those that begin with [`HELD`] run where they are named.
pub const GROUPS: [&str; 13] = [
    "single",
    "many",
    "constrained",
    "mixed",
    "conditional",
    "noisy",
    "async",
    "multi",
    "curves",
    INSTANCES,
    "held",
    "held-mixed",
    "held-conditional",
];

/// The group whose reports are no learning curve, but values on one problem instance after the other.
pub const INSTANCES: &str = "instances";

/// How the groups begin that nothing is chosen by.
pub const HELD: &str = "held";

/// All functions.
#[must_use]
pub fn all() -> Vec<Function> {
    let mut all = singles();
    for function in
        singles().into_iter().filter(|f| matches!(f.name, "branin" | "hartmann6" | "ackley5" | "rosenbrock5"))
    {
        all.push(Function { name: asynchronous(function.name), group: "async", workers: 8, ..function });
    }
    all.extend(others());
    all.extend(held::all());
    all
}

fn asynchronous(name: &str) -> &'static str {
    match name {
        "branin" => "branin-8",
        "hartmann6" => "hartmann6-8",
        "ackley5" => "ackley5-8",
        _ => "rosenbrock5-8",
    }
}

/// Ranges are not centred on the optimum, or whatever begins in their middle would win for nothing.
fn singles() -> Vec<Function> {
    let single = |name, source, axes, best, at| Function {
        name,
        group: "single",
        source,
        axes,
        best: Best::Value(best),
        noise: 0.0,
        curve: None,
        workers: 1,
        at,
    };
    let hansen = "Hansen et al., COCO/BBOB noiseless functions, 2009";
    let surjanovic = "Surjanovic and Bingham, Virtual Library of Simulation Experiments, 2013";
    vec![
        single("sphere5", hansen, floats(5, -4.0, 6.0), 0.0, |p| one(xs(p).map(|x| x * x).sum())),
        single("ellipsoid5", hansen, floats(5, -4.0, 6.0), 0.0, |p| {
            one(xs(p).zip(0..).map(|(x, i)| 1e6_f64.powf(f64::from(i) / 4.0) * x * x).sum())
        }),
        single("rosenbrock5", "Rosenbrock, Comput. J. 3, 1960", floats(5, -2.0, 3.0), 0.0, |p| one(rosenbrock(p))),
        single("rastrigin5", "Rastrigin, Systems of Extremal Control, 1974", floats(5, -4.12, 6.12), 0.0, |p| {
            one(xs(p).map(|x| x * x - 10.0 * (TAU * x).cos() + 10.0).sum())
        }),
        single(
            "ackley5",
            "Ackley, A Connectionist Machine for Genetic Hillclimbing, 1987",
            floats(5, -20.0, 40.0),
            0.0,
            |p| one(ackley(&xs(p).collect::<Vec<_>>())),
        ),
        single("griewank5", "Griewank, J. Optim. Theory Appl. 34, 1981", floats(5, -400.0, 800.0), 0.0, |p| {
            let sum: f64 = xs(p).map(|x| x * x / 4000.0).sum();
            let product: f64 = xs(p).zip(1..).map(|(x, i)| (x / f64::from(i).sqrt()).cos()).product();
            one(sum - product + 1.0)
        }),
        single("branin", surjanovic, vec![float("x0", -5.0, 10.0), float("x1", 0.0, 15.0)], BRANIN, |p| {
            one(branin(p))
        }),
        single("hartmann6", surjanovic, floats(6, 0.0, 1.0), HARTMANN, |p| one(hartmann(p))),
        Function {
            group: "many",
            ..single("rosenbrock20", "Rosenbrock, Comput. J. 3, 1960", floats(20, -2.0, 3.0), 0.0, |p| {
                one(rosenbrock(p))
            })
        },
        Function {
            group: "many",
            ..single("ackley20", "Ackley, 1987", floats(20, -20.0, 40.0), 0.0, |p| {
                one(ackley(&xs(p).collect::<Vec<_>>()))
            })
        },
    ]
}

fn others() -> Vec<Function> {
    let plain = |name, group, source, axes, best, at| Function {
        name,
        group,
        source,
        axes,
        best,
        noise: 0.0,
        curve: None,
        workers: 1,
        at,
    };
    let gardner = "Gardner et al., Bayesian Optimization with Inequality Constraints, ICML 2014, section 4.1";
    let zitzler = "Zitzler, Deb and Thiele, Evol. Comput. 8(2), 2000";
    let own = "ours: nothing public has such a space in closed form";
    vec![
        plain("gardner", "constrained", gardner, floats(2, 0.0, 6.0), Best::Value(GARDNER), |p| {
            let (x, y) = (x(p, 0), x(p, 1));
            let value = (2.0 * x).cos() * y.cos() + x.sin();
            Said { values: vec![value], constraints: vec![x.cos() * y.cos() - x.sin() * y.sin() + 0.5] }
        }),
        plain(
            "gomez-levy",
            "constrained",
            "Gomez and Levy, The tunnelling method, Lect. Notes Math. 909, 1982",
            vec![float("x0", -1.0, 0.75), float("x1", -1.0, 1.0)],
            Best::Value(-1.031_628_453_489_877),
            |p| {
                let (x, y) = (x(p, 0), x(p, 1));
                let camel =
                    4.0 * x.powi(2) - 2.1 * x.powi(4) + x.powi(6) / 3.0 + x * y - 4.0 * y.powi(2) + 4.0 * y.powi(4);
                let kept = -(4.0 * PI * x).sin() + 2.0 * (TAU * y).sin().powi(2) - 1.5;
                Said { values: vec![camel], constraints: vec![kept] }
            },
        ),
        plain(
            "mishra-bird",
            "constrained",
            "Mishra, Some new test functions, MPRA 2718, 2006",
            vec![float("x0", -10.0, 0.0), float("x1", -6.5, 0.0)],
            Best::Value(-106.764_536_749_265_8),
            |p| {
                let (x, y) = (x(p, 0), x(p, 1));
                let bird = y.sin() * (1.0 - x.cos()).powi(2).exp()
                    + x.cos() * (1.0 - y.sin()).powi(2).exp()
                    + (x - y).powi(2);
                Said { values: vec![bird], constraints: vec![(x + 5.0).powi(2) + (y + 5.0).powi(2) - 25.0] }
            },
        ),
        plain("mixed-ackley", "mixed", own, mixed(), Best::Value(0.0), |p| {
            let shift = [0.0, 1.0, 2.0, 4.0][option(p, "kind", &["a", "b", "c", "d"])];
            let point = [x(p, 0), x(p, 1), x(p, 2) - 3.0, (number(p, "rate") / 1e-2).log10() * 4.0];
            one(ackley(&point) + shift)
        }),
        plain(
            "int-rastrigin",
            "mixed",
            own,
            (0..5).map(|i| int(&format!("x{i}"), -7, 12)).collect(),
            Best::Value(0.0),
            |p| one(xs(p).map(|x| x / 2.0).map(|x| x * x - 10.0 * (TAU * x).cos() + 10.0).sum()),
        ),
        plain("categories", "mixed", own, categories(), Best::Value(0.0), |p| {
            // A right answer for each parameter, worth more when its neighbour is right as well.
            let wrong: Vec<f64> = (0..6)
                .map(|i| letter(p, i))
                .map(|found| if found == 2 { 0.0 } else { found as f64 + 1.0 })
                .collect();
            one(wrong.windows(2).map(|pair| pair[0] + pair[0] * pair[1] / 4.0).sum::<f64>() + wrong[5])
        }),
        plain("branches", "conditional", own, branches(), Best::Value(0.0), |p| {
            one(match option(p, "model", &["svm", "forest", "net"]) {
                0 => 1.0 + (number(p, "c").log10() - 1.0).powi(2),
                1 => 0.5 + (number(p, "depth") - 9.0).powi(2) / 20.0,
                _ => (number(p, "rate").log10() + 3.0).powi(2) + (number(p, "units") - 40.0).powi(2) / 500.0,
            })
        }),
        plain("rugged-branches", "conditional", own, rugged(), Best::Value(0.0), |p| {
            one(match option(p, "way", &["left", "right"]) {
                0 => 2.0 + number(p, "l0").powi(2) + number(p, "l1").powi(2),
                _ => {
                    let (a, b) = (number(p, "r0"), number(p, "r1"));
                    ackley(&[a, b]) + number(p, "r2").abs()
                }
            })
        }),
        Function {
            noise: 2.0,
            ..plain(
                "noisy-branin",
                "noisy",
                "Branin with normal noise",
                vec![float("x0", -5.0, 10.0), float("x1", 0.0, 15.0)],
                Best::Value(BRANIN),
                |p| one(branin(p)),
            )
        },
        Function {
            noise: 0.2,
            ..plain(
                "noisy-hartmann6",
                "noisy",
                "Hartmann with normal noise",
                floats(6, 0.0, 1.0),
                Best::Value(HARTMANN),
                |p| one(hartmann(p)),
            )
        },
        plain("zdt1", "multi", zitzler, floats(6, 0.0, 1.0), volume(|f| 1.0 - f.sqrt()), |p| {
            let g = spread(p);
            Said { values: vec![x(p, 0), g * (1.0 - (x(p, 0) / g).sqrt())], constraints: vec![] }
        }),
        plain("zdt2", "multi", zitzler, floats(6, 0.0, 1.0), volume(|f| 1.0 - f * f), |p| {
            let g = spread(p);
            Said { values: vec![x(p, 0), g * (1.0 - (x(p, 0) / g).powi(2))], constraints: vec![] }
        }),
        plain(
            "zdt3",
            "multi",
            zitzler,
            floats(6, 0.0, 1.0),
            volume(|f| 1.0 - f.sqrt() - f * (10.0 * PI * f).sin()),
            |p| {
                let (g, f) = (spread(p), x(p, 0));
                Said {
                    values: vec![f, g * (1.0 - (f / g).sqrt() - f / g * (10.0 * PI * f).sin())],
                    constraints: vec![],
                }
            },
        ),
        plain(
            "dtlz2",
            "multi",
            "Deb, Thiele, Laumanns and Zitzler, CEC 2002",
            floats(7, 0.0, 1.0),
            // What lies between the octant of the unit sphere and the reference point.
            Best::Volume(2.5 * 2.5 * 2.5 - PI / 6.0, &[2.5, 2.5, 2.5]),
            |p| {
                let g = 1.0 + xs(p).skip(2).map(|x| (x - 0.5).powi(2)).sum::<f64>();
                let (a, b) = (x(p, 0) * PI / 2.0, x(p, 1) * PI / 2.0);
                Said {
                    values: vec![g * a.cos() * b.cos(), g * a.cos() * b.sin(), g * a.sin()],
                    constraints: vec![],
                }
            },
        ),
        Function {
            curve: Some(40.0),
            ..plain(
                "curve-branin",
                "curves",
                "Branin at the end of an exponential curve; ours",
                vec![float("x0", -5.0, 10.0), float("x1", 0.0, 15.0)],
                Best::Value(BRANIN),
                |p| one(branin(p)),
            )
        },
        Function {
            curve: Some(1.0),
            ..plain(
                "curve-hartmann6",
                "curves",
                "Hartmann at the end of an exponential curve; ours",
                floats(6, 0.0, 1.0),
                Best::Value(HARTMANN),
                |p| one(hartmann(p)),
            )
        },
        Function {
            curve: Some(20.0),
            ..plain(
                "instances-branin",
                INSTANCES,
                "Branin as the mean of unlike instances; ours",
                vec![float("x0", -5.0, 10.0), float("x1", 0.0, 15.0)],
                Best::Value(BRANIN),
                |p| one(branin(p)),
            )
        },
        Function {
            curve: Some(0.5),
            ..plain(
                "instances-hartmann6",
                INSTANCES,
                "Hartmann as the mean of unlike instances; ours",
                floats(6, 0.0, 1.0),
                Best::Value(HARTMANN),
                |p| one(hartmann(p)),
            )
        },
    ]
}

/// Least value of Branin's function: 10 / (8 pi) at (pi, 2.275).
const BRANIN: f64 = 10.0 / (8.0 * PI);
const HARTMANN: f64 = -3.322_368_011_415_5;
/// Least value where the constraint holds, by a grid and a search around its best point.
const GARDNER: f64 = -1.888_751_354_852_8;

impl Function {
    /// The number of objectives.
    #[must_use]
    pub fn objectives(&self) -> usize {
        match &self.best {
            Best::Value(_) => 1,
            Best::Volume(_, reference) => reference.len(),
        }
    }

    /// What the other program has to know to run it.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let axes: Vec<Value> = self.axes.iter().map(Axis::to_json).collect();
        let mut function = json!({
            "name": self.name, "axes": axes, "objectives": self.objectives(), "noise": self.noise, "curve": self.curve,
            "workers": self.workers, "constrained": self.group == "constrained",
        });
        if self.group == INSTANCES {
            function["instances"] = json!(true);
        }
        function
    }

    /// A point from numbers in `[0, 1)`, uniform in each parameter's own scale.
    pub fn draw(&self, mut uniform: impl FnMut() -> f64) -> Point {
        let mut point = Point::new();
        for axis in &self.axes {
            let u = uniform();
            if axis.is_asked(&point) {
                point.insert(axis.name.clone(), axis.place(u));
            }
        }
        point
    }
}

impl Axis {
    /// True if the parameter is there under what has been chosen before.
    #[must_use]
    pub fn is_asked(&self, point: &Point) -> bool {
        self.when
            .is_none_or(|(name, choice)| point.get(name) == Some(&ParamValue::Categorical(Choice::from(choice))))
    }

    fn place(&self, u: f64) -> ParamValue {
        match &self.distribution {
            Distribution::Float(float) if float.is_log() => {
                ParamValue::Float(float.low() * (float.high() / float.low()).powf(u))
            }
            Distribution::Float(float) => ParamValue::Float(float.low() + u * (float.high() - float.low())),
            Distribution::Int(int) => {
                ParamValue::Int(int.low() + (u * (int.high() - int.low() + 1) as f64).floor() as i64)
            }
            Distribution::Categorical(of) => {
                ParamValue::Categorical(of.choices()[(u * of.choices().len() as f64) as usize].clone())
            }
        }
    }

    fn to_json(&self) -> Value {
        let mut axis = match &self.distribution {
            Distribution::Float(of) => {
                json!({ "kind": "float", "low": of.low(), "high": of.high(), "log": of.is_log() })
            }
            Distribution::Int(of) => {
                json!({ "kind": "int", "low": of.low(), "high": of.high(), "log": of.is_log() })
            }
            Distribution::Categorical(of) => {
                let choices: Vec<Value> = of.choices().iter().map(choice_to_json).collect();
                json!({ "kind": "categorical", "choices": choices })
            }
        };
        axis["name"] = json!(self.name);
        axis["when"] = json!(self.when);
        axis
    }
}

/// A parameter's value as JSON has it.
#[must_use]
pub fn value_to_json(value: &ParamValue) -> Value {
    match value {
        ParamValue::Float(x) => json!(x),
        ParamValue::Int(x) => json!(x),
        ParamValue::Categorical(choice) => choice_to_json(choice),
    }
}

fn choice_to_json(choice: &Choice) -> Value {
    match choice {
        Choice::Str(text) => json!(&**text),
        other => json!(format!("{other:?}")),
    }
}

pub(super) fn one(value: f64) -> Said {
    Said { values: vec![value], constraints: Vec::new() }
}

pub(super) fn float(name: &str, low: f64, high: f64) -> Axis {
    axis(name, Distribution::float(low, high))
}

pub(super) fn log(name: &str, low: f64, high: f64) -> Axis {
    axis(name, trialog::float(low..=high).log().try_into())
}

pub(super) fn int(name: &str, low: i64, high: i64) -> Axis {
    axis(name, Distribution::int(low, high))
}

pub(super) fn choice(name: &str, choices: &[&'static str]) -> Axis {
    axis(name, Distribution::categorical(choices.iter().map(|text| Choice::from(*text))))
}

fn axis<E: std::fmt::Debug>(name: &str, distribution: Result<Distribution, E>) -> Axis {
    Axis { name: name.to_owned(), distribution: distribution.expect("the table's ranges are in order"), when: None }
}

pub(super) fn when(parent: &'static str, choice: &'static str, axis: Axis) -> Axis {
    Axis { when: Some((parent, choice)), ..axis }
}

pub(super) fn floats(n: usize, low: f64, high: f64) -> Vec<Axis> {
    (0..n).map(|i| float(&format!("x{i}"), low, high)).collect()
}

fn mixed() -> Vec<Axis> {
    vec![
        float("x0", -10.0, 20.0),
        float("x1", -10.0, 20.0),
        int("x2", -10, 20),
        log("rate", 1e-5, 1.0),
        choice("kind", &["a", "b", "c", "d"]),
    ]
}

fn categories() -> Vec<Axis> {
    (0..6).map(|i| choice(&format!("k{i}"), &["a", "b", "c", "d", "e"])).collect()
}

fn branches() -> Vec<Axis> {
    vec![
        choice("model", &["svm", "forest", "net"]),
        when("model", "svm", log("c", 1e-3, 1e3)),
        when("model", "forest", int("depth", 1, 20)),
        when("model", "net", log("rate", 1e-6, 1.0)),
        when("model", "net", int("units", 1, 100)),
    ]
}

fn rugged() -> Vec<Axis> {
    vec![
        choice("way", &["left", "right"]),
        when("way", "left", float("l0", -4.0, 6.0)),
        when("way", "left", float("l1", -4.0, 6.0)),
        when("way", "right", float("r0", -10.0, 20.0)),
        when("way", "right", float("r1", -10.0, 20.0)),
        when("way", "right", float("r2", -4.0, 6.0)),
    ]
}

pub(super) fn number(point: &Point, name: &str) -> f64 {
    match point.get(name) {
        Some(ParamValue::Float(x)) => *x,
        Some(ParamValue::Int(x)) => *x as f64,
        _ => f64::NAN,
    }
}

fn x(point: &Point, index: usize) -> f64 {
    number(point, &format!("x{index}"))
}

/// x0, x1 and so on: fewer than ten sort by name, so they are counted instead.
pub(super) fn xs(point: &Point) -> impl Iterator<Item = f64> {
    (0..).map(|index| x(point, index)).take_while(|x| !x.is_nan())
}

pub(super) fn option(point: &Point, name: &str, choices: &[&'static str]) -> usize {
    let found =
        choices.iter().position(|text| point.get(name) == Some(&ParamValue::Categorical(Choice::from(*text))));
    found.unwrap_or(0)
}

fn letter(point: &Point, index: usize) -> usize {
    option(point, &format!("k{index}"), &["a", "b", "c", "d", "e"])
}

fn rosenbrock(point: &Point) -> f64 {
    let xs: Vec<f64> = xs(point).collect();
    xs.windows(2).map(|w| 100.0 * (w[1] - w[0] * w[0]).powi(2) + (1.0 - w[0]).powi(2)).sum()
}

fn ackley(xs: &[f64]) -> f64 {
    let n = xs.len() as f64;
    let squares = xs.iter().map(|x| x * x).sum::<f64>() / n;
    let waves = xs.iter().map(|x| (TAU * x).cos()).sum::<f64>() / n;
    -20.0 * (-0.2 * squares.sqrt()).exp() - waves.exp() + 20.0 + E
}

fn branin(point: &Point) -> f64 {
    let (x, y) = (x(point, 0), x(point, 1));
    let inner = y - 5.1 / (4.0 * PI * PI) * x * x + 5.0 / PI * x - 6.0;
    inner * inner + 10.0 * (1.0 - 1.0 / (8.0 * PI)) * x.cos() + 10.0
}

fn hartmann(point: &Point) -> f64 {
    const ALPHA: [f64; 4] = [1.0, 1.2, 3.0, 3.2];
    const A: [[f64; 6]; 4] = [
        [10.0, 3.0, 17.0, 3.5, 1.7, 8.0],
        [0.05, 10.0, 17.0, 0.1, 8.0, 14.0],
        [3.0, 3.5, 1.7, 10.0, 17.0, 8.0],
        [17.0, 8.0, 0.05, 10.0, 0.1, 14.0],
    ];
    const P: [[f64; 6]; 4] = [
        [0.1312, 0.1696, 0.5569, 0.0124, 0.8283, 0.5886],
        [0.2329, 0.4135, 0.8307, 0.3736, 0.1004, 0.9991],
        [0.2348, 0.1451, 0.3522, 0.2883, 0.3047, 0.6650],
        [0.4047, 0.8828, 0.8732, 0.5743, 0.1091, 0.0381],
    ];
    let term = |i: usize| {
        let far: f64 = (0..6).map(|j| A[i][j] * (x(point, j) - P[i][j]).powi(2)).sum();
        ALPHA[i] * (-far).exp()
    };
    -(0..4).map(term).sum::<f64>()
}

/// ZDT's g over all parameters but the first.
fn spread(point: &Point) -> f64 {
    1.0 + 9.0 * xs(point).skip(1).sum::<f64>() / 5.0
}

/// The volume that the front `f2 = front(f1)` dominates, by the midpoint rule.
fn volume(front: fn(f64) -> f64) -> Best {
    const REFERENCE: &[f64] = &[1.1, 7.0];
    const STEPS: u32 = 100_000;
    let mut low = f64::INFINITY;
    let mut sum = 0.0;
    for step in 0..STEPS {
        low = low.min(front((f64::from(step) + 0.5) / f64::from(STEPS)));
        sum += (REFERENCE[1] - low) / f64::from(STEPS);
    }
    // Beyond the end of the front, its lowest point dominates.
    Best::Volume(sum + (REFERENCE[0] - 1.0) * (REFERENCE[1] - low), REFERENCE)
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::process::{Command, Stdio};

    use super::*;
    use crate::quality::run::uniform;

    /// Points of every function, the same on every machine.
    fn points() -> Vec<(&'static str, Point, Said)> {
        let mut points = Vec::new();
        for function in all() {
            for number in 0..5 {
                let mut purpose = 0;
                let point = function.draw(|| {
                    purpose += 1;
                    uniform(3, number, purpose)
                });
                let said = (function.at)(&point);
                points.push((function.name, point, said));
            }
        }
        points
    }

    /// What the other implementation says, line by line.
    fn theirs(points: &[(&'static str, Point, Said)]) -> Vec<(Vec<f64>, Vec<f64>)> {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/peers/quality_functions.py");
        let mut command = Command::new("python3");
        command.env("PYTHONDONTWRITEBYTECODE", "1").arg(script).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        let lines: Vec<String> = points
            .iter()
            .map(|(name, point, _)| {
                let params: serde_json::Map<String, Value> =
                    point.iter().map(|(name, value)| (name.clone(), value_to_json(value))).collect();
                json!({ "name": name, "params": params }).to_string()
            })
            .collect();
        let writer = std::thread::spawn(move || lines.iter().try_for_each(|line| writeln!(input, "{line}")));
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn near(ours: &[f64], theirs: &[f64]) -> bool {
        ours.len() == theirs.len() && ours.iter().zip(theirs).all(|(a, b)| (a - b).abs() <= 1e-9 * (1.0 + a.abs()))
    }

    #[test]
    fn both_implementations_say_the_same() {
        let points = points();
        let theirs = theirs(&points);
        assert_eq!(points.len(), theirs.len());
        for ((name, point, said), (values, constraints)) in points.iter().zip(&theirs) {
            assert!(near(&said.values, values), "{name} at {point:?}: {said:?}, {values:?}");
            assert!(near(&said.constraints, constraints), "{name} at {point:?}: {said:?}, {constraints:?}");
        }
        // The canary: another point's value is not near.
        assert!(!near(&points[0].2.values, &theirs[1].0));
    }

    #[test]
    fn nothing_random_is_better_than_the_best() {
        for function in all() {
            let Best::Value(best) = function.best else { continue };
            for number in 0..2000 {
                let mut purpose = 0;
                let point = function.draw(|| {
                    purpose += 1;
                    uniform(5, number, purpose)
                });
                let said = (function.at)(&point);
                if said.constraints.iter().all(|c| *c <= 0.0) {
                    assert!(said.values[0] >= best - 1e-9, "{} at {point:?}: {}", function.name, said.values[0]);
                }
            }
        }
    }
}
