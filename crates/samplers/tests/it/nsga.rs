//! NSGA-II and NSGA-III: children and parents against Optuna, and what a log's generations are.

use trialog_numerics::{Points, Stream, hypervolume};
use trialog_ops::{Direction, Distribution, TrialNumber};
use trialog_samplers::nsga::{Binary, Crossover, Directions, Draws, Mutation, mutated};
use trialog_samplers::{Nsga2, Nsga3, NsgaOptions, Random, Sampler};

use crate::parzen::{distribution, numbers};
use crate::study::Study;

/// Random numbers that were written down.
struct Written {
    uniforms: Vec<f64>,
    normals: Vec<f64>,
}

impl Draws for Written {
    fn uniform(&mut self) -> f64 {
        self.uniforms.remove(0)
    }

    fn normal(&mut self) -> f64 {
        self.normals.remove(0)
    }
}

/// See `golden/crossover.py` for the form of a case.
fn check_children(golden: &str) {
    let mut lines = golden.lines().peekable();
    while let Some(header) = lines.next() {
        let parts: Vec<&str> = header.strip_prefix("case ").unwrap().split('|').collect();
        let words: Vec<&str> = parts[0].split_whitespace().collect();
        let objectives: usize = parts[1].trim().parse().unwrap();
        let draws = Written { uniforms: numbers(parts[2]), normals: numbers(parts[3]) };
        let mut rows: Vec<Vec<f64>> = Vec::new();
        let child = loop {
            let line = lines.next().unwrap();
            match line.strip_prefix("child ") {
                Some(child) => break numbers(child),
                None => rows.push(numbers(line)),
            }
        };
        let bounds: Vec<[f64; 2]> = rows[..child.len()].iter().map(|row| [row[0], row[1]]).collect();
        let parents = rows[child.len()..].to_vec();
        let option = words.get(1).map(|word| word.parse::<f64>().unwrap());
        let binary = Binary { eta: option, ..Binary::default() };
        let crossover = match words[0] {
            "uniform" => Crossover::Uniform { swapping_prob: option.unwrap() },
            "blxalpha" => Crossover::BlxAlpha { alpha: option.unwrap() },
            "spx" => Crossover::Spx { epsilon: option },
            "sbx" => Crossover::Sbx(binary),
            "vsbx" => Crossover::Vsbx(binary),
            _ => Crossover::Undx { sigma_xi: 0.5, sigma_eta: None },
        };
        let near = |actual: &[f64], expected: &[f64]| {
            actual.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12 * (1.0 + b.abs()))
        };
        let mut candidates = Vec::new();
        if words[0] == "mutation" {
            let mut draws = draws;
            candidates.push(vec![mutated(parents[0][0], bounds[0], option.unwrap(), &mut draws)]);
        } else {
            // Which way a direction across the line points is nobody's business.
            for sign in [1.0, -1.0] {
                let mut draws = Written { uniforms: draws.uniforms.clone(), normals: draws.normals.clone() };
                if words[0] == "undx" && child.len() > 1 {
                    draws.normals[0] *= sign;
                }
                candidates.push(crossover.child(&parents, &bounds, objectives, &mut draws));
                assert!(draws.uniforms.is_empty(), "{header}: numbers are left over");
            }
        }
        assert!(candidates.iter().any(|actual| near(actual, &child)), "{header}: {candidates:?} {child:?}");
    }
}

#[test]
fn children_are_optunas() {
    check_children(include_str!("../golden/crossover-optuna-5.0.0.txt"));
}

#[test]
#[should_panic(expected = "blxalpha")]
fn canary() {
    check_children("case blxalpha 0.5 | 1 | 0.5 | \n0 1\n0.2\n0.4\nchild 0.31");
}

/// What is drawn across the line has the same deviation in all directions, whatever the line is.
#[test]
fn undx_is_round() {
    let parents = [vec![0.0; 3], vec![1.0, 2.0, -2.0], vec![4.0, 0.0, 2.0]];
    let crossover = Crossover::Undx { sigma_xi: 0.5, sigma_eta: Some(0.2) };
    let mut stream = Stream::new(&[3]);
    let n = 20_000;
    // Along the line, across it towards the third parent (which is orthogonal to it), and across both.
    let axes = [[1.0 / 3.0, 2.0 / 3.0, -2.0 / 3.0], [4.0 / 20_f64.sqrt(), 0.0, 2.0 / 20_f64.sqrt()]];
    let mut squares = [0.0; 3];
    for _ in 0..n {
        let child = crossover.child(&parents, &[[-9.0, 9.0]; 3], 1, &mut stream);
        let from: Vec<f64> = child.iter().zip([0.5, 1.0, -1.0]).map(|(x, middle)| x - middle).collect();
        let dot = |axis: &[f64; 3]| from.iter().zip(axis).map(|(a, b)| a * b).sum::<f64>();
        let (along, across) = (dot(&axes[0]), dot(&axes[1]));
        let whole: f64 = from.iter().map(|x| x * x).sum();
        for (square, value) in squares.iter_mut().zip([along * along, across * across, whole]) {
            *square += value / f64::from(n);
        }
    }
    let distance = 20_f64.sqrt();
    let expected = [1.5 * 1.5, 0.04 * distance * distance, 1.5 * 1.5 + 2.0 * 0.04 * distance * distance];
    for (actual, expected) in squares.iter().zip(expected) {
        assert!((actual / expected - 1.0).abs() < 0.05, "{squares:?} {expected:?}");
    }
}

/// Two objectives of two numbers and a choice; the front is a line in the first number.
fn problem(x: f64, y: f64, choice: f64) -> [f64; 2] {
    let off = (y - 0.3).powi(2) + choice;
    [x + off, (1.0 - x) * (1.0 - x) + off]
}

fn run(sampler: &dyn Sampler, seed: u64, n: u32, signs: [f64; 2]) -> Study {
    let direction = |sign: f64| if sign > 0.0 { Direction::Minimize } else { Direction::Maximize };
    let mut study = Study::new(&signs.map(direction));
    let space: [(&str, Distribution); 3] = [
        ("choice", distribution("categorical 3")),
        ("x", distribution("float 0 1 0 0")),
        ("y", distribution("float -5 5 0 0")),
    ];
    for number in 0..n {
        let view = study.view();
        let proposals = sampler.sample_relative(&view, TrialNumber(number), seed);
        let value = |name: &str, d: &Distribution| {
            let proposed = proposals.iter().find(|(_, def, _)| def.name == name).map(|proposal| proposal.2);
            proposed.unwrap_or_else(|| sampler.sample_independent(&view, TrialNumber(number), seed, name, d))
        };
        let params: Vec<(&str, &Distribution, f64)> =
            space.iter().map(|(name, d)| (*name, d, value(name, d))).collect();
        let [a, b] = problem(params[1].2, params[2].2, params[0].2);
        study.tell(&params, &[signs[0] * a, signs[1] * b]);
    }
    study
}

fn volume(study: &Study) -> f64 {
    let view = study.view();
    let losses: Vec<f64> = view
        .trials()
        .flat_map(|trial| trial.values().zip(view.directions()).map(|(v, d)| d.loss(v)).collect::<Vec<_>>())
        .collect();
    hypervolume(Points::new(&losses, 2), &[2.0, 2.0])
}

#[test]
fn they_beat_chance() {
    let options = NsgaOptions { population_size: 20, ..NsgaOptions::default() };
    let mean =
        |sampler: &dyn Sampler| (0..5).map(|seed| volume(&run(sampler, seed, 300, [1.0, 1.0]))).sum::<f64>() / 5.0;
    let random = mean(&Random);
    let crossovers = [
        Crossover::Uniform { swapping_prob: 0.5 },
        Crossover::BlxAlpha { alpha: 0.5 },
        Crossover::Spx { epsilon: None },
        Crossover::Sbx(Binary::default()),
        Crossover::Vsbx(Binary::default()),
        Crossover::Undx { sigma_xi: 0.5, sigma_eta: None },
    ];
    // The largest volume is 2 * 2 less the part below the front.
    let missing = |volume: f64| 4.0 - 1.0 / 3.0 - volume;
    for crossover in crossovers {
        let two = mean(&Nsga2::new(NsgaOptions { crossover, ..options }));
        assert!(missing(two) < 0.8 * missing(random), "{crossover:?}: {two} {random}");
    }
    let mutation = Mutation::Polynomial { eta: 20.0 };
    let moved = mean(&Nsga2::new(NsgaOptions { mutation, ..options }));
    assert!(missing(moved) < 0.8 * missing(random), "{moved} {random}");
    let three = mean(&Nsga3::new(options, Directions::Even));
    assert!(missing(three) < 0.8 * missing(random), "{three} {random}");
}

/// Optuna's NSGA-III sees objectives that are to be maximized the wrong way round.
#[test]
fn the_sign_of_an_objective_does_not_matter() {
    let options = NsgaOptions { population_size: 10, ..NsgaOptions::default() };
    for signs in [[1.0, -1.0], [-1.0, -1.0]] {
        let sampler = || Nsga3::new(options, Directions::Divided(4));
        let (plain, turned) = (run(&sampler(), 1, 80, [1.0, 1.0]), run(&sampler(), 1, 80, signs));
        assert_eq!(sampler().parents(&plain.view(), 1), sampler().parents(&turned.view(), 1));
        assert_eq!(volume(&plain), volume(&turned));
    }
}

/// A change here changes every study's suggestions, and must come with a new version of the sampler.
#[test]
fn value_stability() {
    let options = NsgaOptions { population_size: 10, ..NsgaOptions::default() };
    let study = run(&Random, 4, 55, [1.0, 1.0]);
    let values = |sampler: &dyn Sampler| -> Vec<f64> {
        let proposals = sampler.sample_relative(&study.view(), TrialNumber(55), 42);
        proposals.iter().map(|proposal| proposal.2).collect()
    };
    let found = [values(&Nsga2::new(options)), values(&Nsga3::new(options, Directions::Even))];
    assert_eq!(
        found,
        [[0.0, 0.680060337205019, -0.4660363676843824], [1.0, 0.5051387048349323, -1.2812434998533249]]
    );
}

/// Trials end in another order than they began in, and one never ends. Every look at the log finds the same parents, who
/// are as good as any that there were.
#[test]
fn parents_follow_the_order_of_ends() {
    let x = distribution("float 0 1 0 0");
    for size in [5, 120] {
        let options = NsgaOptions { population_size: size, ..NsgaOptions::default() };
        let (keeping, dropping) = (Nsga2::new(options), Nsga2::new(options));
        let mut study = Study::new(&[Direction::Minimize, Direction::Minimize]);
        let numbers: Vec<TrialNumber> = (0..5 * size as u32).map(|_| study.begin()).collect();
        let mut views = Vec::new();
        for &number in numbers[1..].iter().rev() {
            let value =
                keeping.sample_relative(&study.view(), number, 9).first().map_or(0.4, |proposal| proposal.2);
            study.set(number, &[("x", &x, value)]);
            let (failed, ends) = (number.0 % 7 == 0, [value, 1.0 - value]);
            study.end(number, if failed { &[] } else { &ends });
            views.push((study.view(), keeping.parents(&study.view(), 9)));
        }
        assert_eq!(views.last().unwrap().1.len(), size);
        for (view, parents) in views.iter().rev().chain(&views) {
            assert_eq!(keeping.parents(view, 9), *parents);
            dropping.drop_caches();
            assert_eq!(dropping.parents(view, 9), *parents);
        }
    }
}

/// A better trial is a parent as soon as it is told, and the worst parent is one no longer.
#[test]
fn a_good_trial_need_not_wait_for_its_generation() {
    let x = distribution("float 0 1 0 0");
    let sampler = Nsga2::new(NsgaOptions { population_size: 4, ..NsgaOptions::default() });
    let mut study = Study::minimize();
    for value in [0.5, 0.9, 0.7, 0.8, 0.1] {
        study.tell(&[("x", &x, value)], &[value]);
    }
    let mut parents = sampler.parents(&study.view(), 0);
    parents.sort();
    assert_eq!(parents, [0, 2, 3, 4].map(TrialNumber));
}

/// Trials that run are no parents yet, and still nobody is sent where one of them is. A tenth of the whole grid is taken
/// in the end.
#[test]
fn nobody_has_a_twin() {
    let digit = distribution("int 0 14 0 1");
    let sampler = Nsga2::new(NsgaOptions { population_size: 16, ..NsgaOptions::default() });
    let mut study = Study::minimize();
    let mut taken = std::collections::BTreeSet::new();
    for k in 0..16_u32 {
        let (a, b) = (f64::from(k % 4), f64::from(k / 4));
        study.tell(&[("a", &digit, a), ("b", &digit, b)], &[a + b]);
        taken.insert([k % 4, k / 4]);
    }
    for _ in 0..10 {
        let number = study.begin();
        let proposals = sampler.sample_relative(&study.view(), number, 3);
        let [a, b] = [proposals[0].2, proposals[1].2];
        study.set(number, &[("a", &digit, a), ("b", &digit, b)]);
        assert!(taken.insert([a as u32, b as u32]), "somebody is at {a} {b} already");
    }
}
