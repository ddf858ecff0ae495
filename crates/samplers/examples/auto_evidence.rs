//! A quick look at samplers beside each other, without Optuna: the best value after some trials, the median over seeds, of
//! each on some functions. One worker, or eight that finish in turn.
//!
//! ```text
//! cargo run --release -p trialog-samplers --example auto_evidence [BUDGET [SEEDS [NAME...]]]
//! ```

use std::collections::VecDeque;
use std::f64::consts::{E, TAU};

use trialog_ops::{
    ComponentSpec, Direction, Distribution, FinalState, Json, Op, Param, ParamDef, ParamRef, Record, SessionId,
    SessionRef, StudyId, Timestamp, TrialId, TrialNumber,
};
use trialog_replay::State;
use trialog_samplers::Sampler;

struct Problem {
    name: &'static str,
    space: Vec<Distribution>,
    loss: fn(&[f64]) -> f64,
}

fn floats(n: usize, low: f64, high: f64) -> Vec<Distribution> {
    vec![Distribution::float(low, high).expect("a range"); n]
}

fn shifted(x: &[f64]) -> impl Iterator<Item = f64> + Clone {
    x.iter().enumerate().map(|(at, x)| x - 0.7 - 0.4 * at as f64)
}

fn ackley(x: &[f64]) -> f64 {
    let n = x.len() as f64;
    let squares = shifted(x).map(|x| x * x).sum::<f64>() / n;
    let waves = shifted(x).map(|x| (TAU * x).cos()).sum::<f64>() / n;
    20.0 + E - 20.0 * (-0.2 * squares.sqrt()).exp() - waves.exp()
}

fn problems() -> Vec<Problem> {
    let mut mixed = floats(3, -5.0, 5.0);
    mixed.push(Distribution::int(1, 64).expect("a range"));
    mixed.push(Distribution::categorical(["a", "b", "c", "d"]).expect("choices"));
    let mut whole = floats(2, -5.0, 5.0);
    whole.extend(vec![Distribution::int(-10, 10).expect("a range"); 3]);
    vec![
        Problem { name: "sphere 5", space: floats(5, -5.0, 5.0), loss: |x| shifted(x).map(|x| x * x).sum() },
        Problem {
            name: "rosenbrock 5",
            space: floats(5, -2.0, 2.0),
            loss: |x| x.windows(2).map(|p| 100.0 * (p[1] - p[0] * p[0]).powi(2) + (1.0 - p[0]).powi(2)).sum(),
        },
        Problem { name: "ackley 10", space: floats(10, -10.0, 10.0), loss: ackley },
        Problem {
            name: "rastrigin 5",
            space: floats(5, -5.0, 5.0),
            loss: |x| shifted(x).map(|x| x * x - 10.0 * (TAU * x).cos() + 10.0).sum(),
        },
        Problem {
            name: "ellipsoid 20",
            space: floats(20, -5.0, 12.0),
            loss: |x| shifted(x).enumerate().map(|(at, x)| 10_f64.powf(at as f64 / 9.5) * x * x).sum(),
        },
        Problem {
            name: "branin",
            space: floats(2, 0.0, 1.0),
            loss: |u| {
                let (x, y) = (15.0 * u[0] - 5.0, 15.0 * u[1]);
                let bend = y - 5.1 / (TAU * TAU / 4.0 * 4.0) * x * x + 10.0 / TAU * x - 6.0;
                bend * bend + 10.0 * (1.0 - 2.0 / (TAU * 8.0)) * x.cos() + 10.0 - 0.3979
            },
        },
        Problem {
            name: "mixed 5",
            space: mixed,
            loss: |x| {
                let penalty = [3.0, 1.0, 0.0, 2.0][x[4] as usize];
                let size = (x[3] / 20.0).ln().abs();
                (x[0] - 1.0).powi(2) + (x[1] - x[4]).powi(2) + (x[2] + x[0]).powi(2) + size + penalty
            },
        },
        Problem { name: "whole 5", space: whole, loss: |x| shifted(x).map(|x| x * x).sum() },
    ]
}

/// The best loss after the budget.
fn run(sampler: &dyn Sampler, problem: &Problem, budget: u32, workers: usize, seed: u64) -> f64 {
    let names: Vec<String> = (0..problem.space.len()).map(|at| format!("x{at:02}")).collect();
    let mut state = State::new();
    let mut counter = 0;
    let mut apply = |ops: Vec<Op>| {
        counter += 1;
        let session = SessionRef::Id(SessionId([1; 16]));
        state.apply(&Record { session, counter, ops }, &mut Vec::new());
        state.view(StudyId(0)).expect("the study")
    };
    apply(vec![Op::CreateStudy { name: "s".to_owned(), directions: vec![Direction::Minimize], config: None }]);
    let (mut running, mut best) = (VecDeque::new(), f64::INFINITY);
    for number in 0..budget {
        let trial = TrialId(number.into());
        let mut view = apply(vec![Op::CreateTrial { study: StudyId(0), start: Timestamp(0) }]);
        let proposals = sampler.sample_relative(&view, TrialNumber(number), seed);
        let mut x = Vec::new();
        for (name, distribution) in names.iter().zip(&problem.space) {
            let proposed = proposals.iter().find(|(_, def, _)| def.name == *name).map(|proposal| proposal.2);
            let value = proposed.unwrap_or_else(|| {
                sampler.sample_independent(&view, TrialNumber(number), seed, name, distribution)
            });
            let def = ParamDef { name: name.clone(), distribution: distribution.clone() };
            let params = vec![Param { param: ParamRef::Def(Box::new(def)), value }];
            view = apply(vec![Op::SetParams { trial, params }]);
            x.push(value);
        }
        running.push_back((trial, (problem.loss)(&x)));
        if running.len() >= workers
            && let Some((trial, loss)) = running.pop_front()
        {
            best = best.min(loss);
            let state = FinalState::Complete;
            apply(vec![Op::FinishTrial { trial, state, values: vec![loss], end: Timestamp(0) }]);
        }
    }
    best
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let budget: u32 = args.next().map_or(Ok(100), |arg| arg.parse())?;
    let seeds: u64 = args.next().map_or(Ok(5), |arg| arg.parse())?;
    let mut names: Vec<String> = args.collect();
    if names.is_empty() {
        names = ["random", "tpe", "gp", "cmaes"].map(str::to_owned).to_vec();
    }
    for problem in problems() {
        for workers in [1, 8] {
            let mut line = format!("{:13} {workers} worker(s), {budget} trials:", problem.name);
            for name in &names {
                let (name, options) = name.split_once(':').unwrap_or((name, "{}"));
                let spec = ComponentSpec { name: name.to_owned(), version: 1, options: Json::parse(options)? };
                let mut found = Vec::new();
                for seed in 0..seeds {
                    let sampler = trialog_samplers::from_spec(&spec)?;
                    found.push(run(&*sampler, &problem, budget, workers, seed));
                }
                found.sort_by(f64::total_cmp);
                line += &format!("  {name} {:.3e}", found[found.len() / 2]);
            }
            println!("{line}");
        }
    }
    Ok(())
}
