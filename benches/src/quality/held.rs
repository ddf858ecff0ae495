//! Functions that nothing was chosen by: whoever tunes a sampler on the other groups sees here whether it was for them alone.
//! They run where their groups are named. `quality_held.py` has them once more.
//!
//! The numeric ones follow Hansen, Finck, Ros and Auger, "Real-parameter black-box optimization benchmarking 2009: noiseless
//! functions definitions" (INRIA RR-6829), turned and shifted by hashes and without its warps of single coordinates.

use std::f64::consts::{PI, TAU};

use super::functions::{
    Axis, Best, Function, Point, choice, float, floats, int, log, number, one, option, when, xs,
};
use super::run::uniform;

/// The functions.
pub(super) fn all() -> Vec<Function> {
    let mut all = Vec::new();
    for (dims, names) in [
        (2, &["weierstrass2", "schaffers2", "gallagher2", "katsuura2", "step2", "rastrigin-turned2"][..]),
        (
            5,
            &[
                "ellipsoid-turned5",
                "rastrigin-turned5",
                "rosenbrock-turned5",
                "step5",
                "discus5",
                "cigar5",
                "ridge5",
                "powers5",
                "weierstrass5",
                "schaffers5",
                "griewank-rosenbrock5",
                "schwefel5",
                "gallagher5",
                "katsuura5",
            ],
        ),
        (10, &["ellipsoid-turned10", "rosenbrock-turned10", "schaffers10", "gallagher10", "powers10", "step10"]),
    ] {
        for name in names {
            let (low, high) = if *name == "schwefel5" { (-500.0, 500.0) } else { (-5.0, 5.0) };
            all.push(plain(name, "held", floats(dims, low, high), numeric(name)));
        }
    }
    all.push(plain("network", "held-mixed", network_axes(), network));
    all.push(plain("boosting", "held-mixed", boosting_axes(), boosting));
    all.push(plain(
        "int-powers",
        "held-mixed",
        (0..6).map(|i| int(&format!("x{i}"), -20, 30)).collect(),
        int_powers,
    ));
    all.push(plain("catalyst", "held-mixed", catalyst_axes(), catalyst));
    all.push(plain("pipeline", "held-conditional", pipeline_axes(), pipeline));
    all.push(plain("optimizers", "held-conditional", optimizers_axes(), optimizers));
    all
}

fn plain(name: &'static str, group: &'static str, axes: Vec<Axis>, at: At) -> Function {
    let source = match group {
        "held" => "Hansen et al., INRIA RR-6829, 2009; Schwefel, Numerische Optimierung, 1977",
        _ => "ours: the shape of what people tune, in closed form",
    };
    Function { name, group, source, axes, best: Best::Value(0.0), noise: 0.0, curve: None, workers: 1, at }
}

type At = fn(&Point) -> super::functions::Said;

fn numeric(name: &str) -> At {
    match name.trim_end_matches(|c: char| c.is_ascii_digit()) {
        "ellipsoid-turned" => |p| one(weighted(&turned(p, 1), 6.0)),
        "rastrigin-turned" => |p| {
            let z = turned(p, 2);
            one(z.iter().map(|z| z * z - 10.0 * (TAU * z).cos() + 10.0).sum())
        },
        "rosenbrock-turned" => |p| one(valley(&turned(p, 3)).iter().sum()),
        "step" => |p| {
            let z = turned(p, 4);
            let step = |z: &f64| if z.abs() > 0.5 { (z + 0.5).floor() } else { (10.0 * z + 0.5).floor() / 10.0 };
            let stepped: Vec<f64> = z.iter().map(step).collect();
            one(0.1 * (z[0].abs() / 1e4).max(weighted(&stepped, 2.0)))
        },
        "discus" => |p| {
            let z = turned(p, 5);
            one(1e6 * z[0] * z[0] + squares(&z[1..]))
        },
        "cigar" => |p| {
            let z = turned(p, 6);
            one(z[0] * z[0] + 1e6 * squares(&z[1..]))
        },
        "ridge" => |p| {
            let z = turned(p, 7);
            one(z[0] * z[0] + 100.0 * squares(&z[1..]).sqrt())
        },
        "powers" => |p| {
            let z = turned(p, 8);
            let last = (z.len() - 1) as f64;
            one(z.iter().enumerate().map(|(i, z)| z.abs().powf(2.0 + 4.0 * i as f64 / last)).sum::<f64>().sqrt())
        },
        "weierstrass" => |p| {
            let z = turned(p, 9);
            let waves =
                |z: f64| (0..12).map(|k| 0.5_f64.powi(k) * (TAU * 3.0_f64.powi(k) * (z + 0.5)).cos()).sum::<f64>();
            let mean = z.iter().map(|z| waves(*z)).sum::<f64>() / z.len() as f64;
            one(10.0 * (mean - waves(0.0)).powi(3))
        },
        "schaffers" => |p| {
            let z = turned(p, 10);
            let parts = z.windows(2).map(|w| {
                let s = (w[0] * w[0] + w[1] * w[1]).sqrt();
                s.sqrt() + s.sqrt() * (50.0 * s.powf(0.2)).sin().powi(2)
            });
            one((parts.sum::<f64>() / (z.len() - 1) as f64).powi(2))
        },
        "griewank-rosenbrock" => |p| {
            let z = turned(p, 11);
            let parts = valley(&z);
            one(10.0 * parts.iter().map(|s| s / 4000.0 - s.cos() + 1.0).sum::<f64>() / parts.len() as f64)
        },
        "schwefel" => {
            |p| one(xs(p).map(|x| 418.982_887_272_433_8 - x * x.abs().sqrt().sin()).sum::<f64>().max(0.0))
        }
        "gallagher" => |p| one(gallagher(p)),
        _ => |p| {
            let z = turned(p, 13);
            let n = z.len() as f64;
            let rough = |z: f64| {
                (1..=32)
                    .map(|j| 2.0_f64.powi(j))
                    .map(|scale| (scale * z - (scale * z).round()).abs() / scale)
                    .sum::<f64>()
            };
            let product: f64 = z
                .iter()
                .enumerate()
                .map(|(i, z)| (1.0 + (i + 1) as f64 * rough(*z)).powf(10.0 / n.powf(1.2)))
                .product();
            one(10.0 / (n * n) * (product - 1.0))
        },
    }
}

/// The point seen from the optimum, in axes that are turned in each plane. For valleys the optimum is where all are 1.
fn turned(p: &Point, which: u64) -> Vec<f64> {
    let mut z: Vec<f64> = xs(p).enumerate().map(|(i, x)| x - (8.0 * uniform(which, i as u64, 1) - 4.0)).collect();
    for a in 0..z.len() {
        for b in 0..a {
            let (sin, cos) = (TAU * uniform(which, (100 * a + b) as u64, 2)).sin_cos();
            (z[a], z[b]) = (cos * z[a] - sin * z[b], sin * z[a] + cos * z[b]);
        }
    }
    z
}

fn squares(z: &[f64]) -> f64 {
    z.iter().map(|z| z * z).sum()
}

/// Squares with weights from 1 to ten to this power.
fn weighted(z: &[f64], power: f64) -> f64 {
    let last = (z.len() - 1) as f64;
    z.iter().enumerate().map(|(i, z)| 10.0_f64.powf(power * i as f64 / last) * z * z).sum()
}

/// The terms of Rosenbrock's function of `z + 1`.
fn valley(z: &[f64]) -> Vec<f64> {
    z.windows(2).map(|w| 100.0 * ((w[0] + 1.0).powi(2) - (w[1] + 1.0)).powi(2) + w[0] * w[0]).collect()
}

/// The highest of 21 peaks, of which the first is at the optimum.
fn gallagher(p: &Point) -> f64 {
    let xs: Vec<f64> = xs(p).collect();
    let n = xs.len() as f64;
    let peak = |k: u64| {
        let height = if k == 0 { 10.0 } else { 1.1 + 8.0 * (k - 1) as f64 / 19.0 };
        let steep = 1000.0_f64.powf(2.0 * uniform(12, k, 3)).powf(0.25);
        let far: f64 = xs
            .iter()
            .enumerate()
            .map(|(i, x)| {
                let place = 9.0 * uniform(12, 100 * k + i as u64, 1) - 4.5;
                steep.powf(uniform(12, 100 * k + i as u64, 2) - 0.5) * (x - place).powi(2)
            })
            .sum();
        height * (-far / (2.0 * n)).exp()
    };
    let highest = (0..21).map(peak).fold(f64::NEG_INFINITY, f64::max);
    (10.0 - highest).powi(2)
}

fn network_axes() -> Vec<Axis> {
    vec![
        log("rate", 1e-5, 1.0),
        log("decay", 1e-8, 1e-1),
        float("dropout", 0.0, 0.8),
        int("layers", 1, 8),
        int("width", 16, 512),
        choice("optimizer", &["sgd", "momentum", "adam", "rmsprop"]),
        choice("activation", &["relu", "tanh", "gelu"]),
    ]
}

/// The best rate depends on the optimizer and the depth; with too high a rate nothing is learned.
fn network(p: &Point) -> super::functions::Said {
    let optimizer = option(p, "optimizer", &["sgd", "momentum", "adam", "rmsprop"]);
    let activation = option(p, "activation", &["relu", "tanh", "gelu"]);
    let (layers, width) = (number(p, "layers"), number(p, "width"));
    let (rate, decay) = (number(p, "rate").log10(), number(p, "decay").log10());
    let best = [-0.7, -1.5, -2.8, -3.1][optimizer] - 0.08 * (layers - 4.0);
    let off = rate - best;
    if off > 1.3 {
        return one(1.0);
    }
    let kind = [0.04, 0.015, 0.0, 0.01][optimizer] + [0.02, 0.03, 0.0][activation];
    let size = 0.006 * (layers - 4.0).powi(2) + 0.02 * (width / 192.0).log2().powi(2);
    let rest = 0.01 * (decay + 4.0).powi(2) + 0.25 * (number(p, "dropout") - 0.25).powi(2);
    one((kind + size + rest + 0.12 * off * off).min(1.0))
}

fn boosting_axes() -> Vec<Axis> {
    vec![
        log("rate", 1e-3, 1.0),
        int("rounds", 10, 1000),
        int("depth", 1, 12),
        float("rows", 0.2, 1.0),
        float("columns", 0.2, 1.0),
        log("lambda", 1e-4, 100.0),
        int("leaf", 1, 50),
        choice("growth", &["depth", "leaf"]),
    ]
}

/// Rate and rounds are worth what their product is.
fn boosting(p: &Point) -> super::functions::Said {
    let learned = (number(p, "rate") * number(p, "rounds")).log10() - 1.2;
    let under = if learned < 0.0 { 0.5 * learned * learned } else { 0.15 * learned * learned };
    let growth = option(p, "growth", &["depth", "leaf"]);
    let depth = number(p, "depth") - [6.0, 8.0][growth];
    let slow = 0.03 * (number(p, "rate").log10() + 1.6).powi(2);
    let tree = 0.01 * depth * depth + 0.02 * (number(p, "leaf") / 8.0).log2().powi(2) * 0.5 + 0.01 * growth as f64;
    let part = 0.3 * (number(p, "rows") - 0.75).powi(2) + 0.4 * (number(p, "columns") - 0.6).powi(2);
    let rest = 0.02 * (number(p, "lambda").log10() + 0.04 * depth).powi(2);
    one(under + slow + tree + part + rest)
}

/// Integers with slopes that differ, each leaning on its neighbour.
fn int_powers(p: &Point) -> super::functions::Said {
    let z: Vec<f64> = xs(p).zip([7.0, -3.0, 11.0, 0.0, -12.0, 19.0]).map(|(x, best)| (x - best) / 10.0).collect();
    let alone: f64 = z.iter().enumerate().map(|(i, z)| z.abs().powf(1.0 + 0.5 * i as f64)).sum();
    one(alone + z.windows(2).map(|w| (w[0] - w[1]).powi(2)).sum::<f64>())
}

fn catalyst_axes() -> Vec<Axis> {
    vec![
        choice("metal", &["pd", "ni", "cu", "fe", "co", "ru"]),
        choice("ligand", &["none", "phosphine", "carbene", "amine", "diimine"]),
        choice("solvent", &["water", "dmf", "thf", "toluene", "ethanol"]),
        float("temperature", 20.0, 150.0),
        log("load", 0.01, 10.0),
        int("hours", 1, 48),
    ]
}

/// A table of metals and ligands; the best temperature depends on the solvent.
fn catalyst(p: &Point) -> super::functions::Said {
    let metal = option(p, "metal", &["pd", "ni", "cu", "fe", "co", "ru"]);
    let ligand = option(p, "ligand", &["none", "phosphine", "carbene", "amine", "diimine"]);
    let solvent = option(p, "solvent", &["water", "dmf", "thf", "toluene", "ethanol"]);
    const PAIRS: [[f64; 5]; 6] = [
        [0.60, 0.10, 0.05, 0.50, 0.40],
        [0.70, 0.30, 0.00, 0.45, 0.15],
        [0.65, 0.55, 0.35, 0.20, 0.30],
        [0.80, 0.60, 0.50, 0.55, 0.25],
        [0.75, 0.50, 0.45, 0.40, 0.35],
        [0.70, 0.25, 0.15, 0.60, 0.50],
    ];
    let best = [80.0, 110.0, 60.0, 95.0, 70.0][solvent];
    let warm = ((number(p, "temperature") - best) / 60.0).powi(2);
    let load = 0.1 * (number(p, "load").log10() - 0.3).powi(2);
    let hours = 0.15 * (number(p, "hours") / 18.0).log2().powi(2) / 4.0;
    one(PAIRS[metal][ligand] + [0.30, 0.05, 0.10, 0.00, 0.20][solvent] + 0.5 * warm + load + hours)
}

fn pipeline_axes() -> Vec<Axis> {
    vec![
        choice("scale", &["none", "standard", "rank"]),
        choice("model", &["linear", "kernel", "trees", "near"]),
        when("model", "linear", log("alpha", 1e-6, 1e2)),
        when("model", "linear", float("mix", 0.0, 1.0)),
        when("model", "kernel", log("c", 1e-3, 1e3)),
        when("model", "kernel", log("gamma", 1e-5, 1e1)),
        when("model", "trees", int("depth", 1, 16)),
        when("model", "trees", int("count", 10, 400)),
        when("model", "trees", float("part", 0.1, 1.0)),
        when("model", "near", int("k", 1, 60)),
    ]
}

/// Scaling matters to some models; the kernel is the best, and the hardest to set.
fn pipeline(p: &Point) -> super::functions::Said {
    let scale = option(p, "scale", &["none", "standard", "rank"]);
    one(match option(p, "model", &["linear", "kernel", "trees", "near"]) {
        0 => {
            let place = 0.02 * (number(p, "alpha").log10() + 2.0).powi(2) + 0.1 * (number(p, "mix") - 0.3).powi(2);
            0.20 + [0.03, 0.0, 0.01][scale] + place
        }
        1 => {
            let (c, gamma) = (number(p, "c").log10(), number(p, "gamma").log10());
            let place = 0.03 * (c + gamma + 0.5).powi(2) + 0.01 * (c - gamma - 3.0).powi(2);
            [0.25, 0.0, 0.03][scale] + place
        }
        2 => {
            let place = 0.002 * (number(p, "depth") - 9.0).powi(2) + 0.1 * (number(p, "part") - 0.5).powi(2);
            0.04 + place + 0.02 * (400.0 / number(p, "count")).log10()
        }
        _ => 0.15 + [0.2, 0.0, 0.02][scale] + 0.02 * (number(p, "k") / 12.0).log2().powi(2),
    })
}

fn optimizers_axes() -> Vec<Axis> {
    vec![
        log("rate", 1e-6, 1.0),
        int("batch", 8, 512),
        choice("optimizer", &["sgd", "adam"]),
        when("optimizer", "sgd", float("momentum", 0.0, 0.99)),
        when("optimizer", "adam", float("beta1", 0.5, 0.999)),
        when("optimizer", "adam", float("beta2", 0.9, 0.9999)),
        choice("schedule", &["constant", "cosine", "step"]),
        when("schedule", "step", float("drop", 0.05, 0.9)),
        when("schedule", "step", int("every", 1, 50)),
    ]
}

/// Rate and batch are there for all, and what is best for them hangs on the branch.
fn optimizers(p: &Point) -> super::functions::Said {
    let batch = (number(p, "batch") / 64.0).log2();
    let rate = number(p, "rate").log10() - 0.15 * batch;
    let way = match option(p, "optimizer", &["sgd", "adam"]) {
        0 => 0.05 + 0.1 * (rate + 1.0).powi(2) + 0.3 * (number(p, "momentum") - 0.9).powi(2),
        _ => {
            let betas = (number(p, "beta1") - 0.9).powi(2) + 20.0 * (number(p, "beta2") - 0.99).powi(2);
            0.1 * (rate + 3.0).powi(2) + betas
        }
    };
    let schedule = match option(p, "schedule", &["constant", "cosine", "step"]) {
        0 => 0.1,
        1 => 0.02,
        _ => 0.3 * (number(p, "drop") - 0.3).powi(2) + 0.02 * ((number(p, "every") - 15.0) / 8.0).powi(2),
    };
    // Near pi / 2 the sine is at its height, so that the waves add nothing where all is best.
    one(way + schedule + 0.03 * (1.0 - (PI / 2.0 + 2.0 * PI * batch / 3.0).sin()) + 0.01 * batch * batch)
}
