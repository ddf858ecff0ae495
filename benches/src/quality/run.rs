//! One run: a study of a test function by one sampler, its workers simulated with a virtual clock, so that the order of
//! asks and tells is the same on any machine. `quality.py` does the same with Optuna.

use std::f64::consts::TAU;

use serde_json::{Value, json};
use trialog::{Choice, ComponentSpec, Json, Storage, Study, Trial};

use super::functions::{Axis, Function, INSTANCES, Point, Said};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Reports of one trial that has a learning curve.
pub const STEPS: u64 = 27;

/// What is run.
pub struct Job<'a> {
    /// The function.
    pub function: &'a Function,
    /// A sampler's registered name, or that of a pruner where there are learning curves.
    pub name: &'a str,
    /// The study's seed.
    pub seed: u64,
    /// Trials, or that many times all steps of one.
    pub budget: u64,
    /// Options of our sampler, or pruner, that are not the defaults.
    pub options: &'a Value,
}

/// One finished trial.
pub struct Done {
    /// Which trial it was: the n-th that was asked for, from 0.
    pub number: u64,
    /// Its parameters.
    pub point: Point,
    /// What the sampler was told; empty if the trial was pruned.
    pub told: Vec<f64>,
    /// What it was told of the constraints.
    pub constraints: Vec<f64>,
}

/// The finished trials in the order in which they finished.
///
/// # Errors
/// What the study says.
pub fn run(job: &Job<'_>) -> Result<Vec<Done>, BoxError> {
    let study = study(job)?;
    let mut running: Vec<(f64, Trial, Point)> = Vec::new();
    let (mut now, mut asked, mut used) = (0.0, 0, 0);
    let mut done = Vec::new();
    let all = if job.function.curve.is_some() { job.budget * STEPS } else { job.budget };
    loop {
        while running.len() < job.function.workers && used.max(asked) < all {
            let mut trial = study.ask()?;
            asked += u64::from(job.function.curve.is_none());
            let mut point = Point::new();
            for axis in &job.function.axes {
                if axis.is_asked(&point) {
                    point.insert(axis.name.clone(), trial.suggest(&axis.name, &axis.distribution)?);
                }
            }
            let ends = now + 0.5 + uniform(job.seed, u64::from(trial.number().0), 0);
            running.push((ends, trial, point));
        }
        let Some(next) = (0..running.len()).min_by(|a, b| running[*a].0.total_cmp(&running[*b].0)) else { break };
        let (ends, mut trial, point) = running.remove(next);
        now = ends;
        let said = (job.function.at)(&point);
        let number = u64::from(trial.number().0);
        for (value, name) in said.constraints.iter().zip(["c0", "c1", "c2"]) {
            trial.set_constraint(name, *value)?;
        }
        let mut told = said.values;
        if job.function.noise > 0.0 {
            told[0] += job.function.noise * normal(job.seed, number, 1);
        }
        if job.function.curve.is_some() {
            let (steps, last) = learn(job, &mut trial, told[0])?;
            used += steps;
            told = last.into_iter().collect();
        }
        if told.is_empty() {
            study.tell_pruned(&trial)?;
        } else {
            study.tell(&trial, told.clone())?;
        }
        done.push(Done { number, point, told, constraints: said.constraints });
    }
    Ok(done)
}

/// Reports until the end or until the trial is pruned: the steps taken, and the trial's value if that is the end.
fn learn(job: &Job<'_>, trial: &mut Trial, end: f64) -> trialog::Result<(u64, Option<f64>)> {
    let number = u64::from(trial.number().0);
    for step in 1..=STEPS {
        trial.report(step, reported(job, number, step, end))?;
        if step < STEPS && trial.should_prune()? {
            return Ok((step, None));
        }
    }
    Ok((STEPS, Some(concluded(job, number, end))))
}

/// A trial's value at a step of its learning curve, or on the instance that is this step's in every trial.
fn reported(job: &Job<'_>, number: u64, step: u64, end: f64) -> f64 {
    /// No trial has this number.
    const INSTANCE: u64 = 1 << 20;
    let Job { function, seed, .. } = *job;
    let height = function.curve.unwrap_or(0.0);
    if function.group == INSTANCES {
        return end + height * (normal(seed, INSTANCE, 2 * step) + 0.5 * normal(seed, number, 2 * step));
    }
    let slow = 2.0 + 6.0 * uniform(seed, number, 1000);
    let noise = 0.02 * normal(seed, number, 2 * step);
    end + height * ((-(step as f64) / slow).exp() + noise)
}

/// What a trial is told that was not pruned: its last report, or the mean of all instances.
fn concluded(job: &Job<'_>, number: u64, end: f64) -> f64 {
    if job.function.group == INSTANCES {
        return (1..=STEPS).map(|step| reported(job, number, step, end)).sum::<f64>() / STEPS as f64;
    }
    reported(job, number, STEPS, end)
}

fn study(job: &Job<'_>) -> Result<Study, BoxError> {
    let spec = |name: &str, options: &Value| -> Result<ComponentSpec, BoxError> {
        Ok(ComponentSpec { name: name.to_owned(), version: 1, options: Json::from(options) })
    };
    let directions = vec![trialog::Direction::Minimize; job.function.objectives()];
    let study = Storage::in_memory()?.study("quality").seed(job.seed).directions(directions);
    if job.function.curve.is_none() {
        return Ok(study.sampler_named(&spec(job.name, job.options)?)?.create()?);
    }
    // The same options on both sides.
    let mut options = match job.name {
        "percentile" => json!({ "percentile": 25.0 }),
        "successive_halving" => json!({ "min_resource": 1, "reduction_factor": 3 }),
        "hyperband" => json!({ "min_resource": 1, "max_resource": STEPS, "reduction_factor": 3 }),
        // Two thirds of the curve later, some half of the trials are still above this.
        "threshold" if job.function.name == "curve-branin" => json!({ "upper": 50.0, "n_warmup_steps": 9 }),
        "threshold" => json!({ "upper": 0.0, "n_warmup_steps": 9 }),
        "patient" => json!({ "patience": 3, "wrapped_pruner": { "name": "median" } }),
        _ => json!({}),
    };
    if let (Some(options), Some(more)) = (options.as_object_mut(), job.options.as_object()) {
        options.extend(more.clone());
    }
    let study = study.sampler_named(&spec("random", &json!({}))?)?;
    Ok(study.pruner_named(&spec(job.name, &options)?)?.create()?)
}

/// The trials that the other program printed.
#[must_use]
pub fn read(function: &Function, trials: &Value) -> Option<Vec<Done>> {
    let read = |trial: &Value| {
        let numbers = |of: &Value| of.as_array()?.iter().map(Value::as_f64).collect::<Option<Vec<f64>>>();
        let (told, constraints) = (numbers(&trial["told"])?, numbers(&trial["constraints"])?);
        let mut point = Point::new();
        for axis in &function.axes {
            let value = &trial["params"][&axis.name];
            if !value.is_null() {
                point.insert(axis.name.clone(), axis.read(value)?);
            }
        }
        Some(Done { number: trial["number"].as_u64()?, point, told, constraints })
    };
    trials.as_array()?.iter().map(read).collect()
}

/// True if what a sampler was told of its point is what our function says there, with the noise or the learning curve that
/// belongs to it.
#[must_use]
pub fn is_honest(job: &Job<'_>, trial: &Done) -> bool {
    let function = job.function;
    let Said { mut values, constraints } = (function.at)(&trial.point);
    if function.noise > 0.0 {
        values[0] += function.noise * normal(job.seed, trial.number, 1);
    }
    match function.curve {
        Some(_) if trial.told.is_empty() => values.clear(),
        Some(_) => values[0] = concluded(job, trial.number, values[0]),
        None => {}
    }
    let near = |ours: &[f64], told: &[f64]| {
        let mut pairs = ours.iter().zip(told);
        ours.len() == told.len() && pairs.all(|(a, b)| (a - b).abs() <= 1e-9 * (1.0 + a.abs()))
    };
    near(&values, &trial.told) && near(&constraints, &trial.constraints)
}

impl Axis {
    fn read(&self, value: &Value) -> Option<trialog::ParamValue> {
        Some(match value {
            Value::String(text) => trialog::ParamValue::Categorical(Choice::from(text.as_str())),
            Value::Number(n) if matches!(self.distribution, trialog::Distribution::Int(_)) => {
                trialog::ParamValue::Int(n.as_i64()?)
            }
            other => trialog::ParamValue::Float(other.as_f64()?),
        })
    }
}

/// A number in `[0, 1)` that both programs make from the same three (SplitMix64: Steele, Lea and Flood, OOPSLA 2014).
#[must_use]
pub fn uniform(seed: u64, number: u64, purpose: u64) -> f64 {
    let mut z = (seed << 40 ^ number << 16 ^ purpose).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ z >> 31) >> 11) as f64 / (1_u64 << 53) as f64
}

/// A standard normal number, likewise (Box and Muller, 1958); takes the purpose after this one as well.
fn normal(seed: u64, number: u64, purpose: u64) -> f64 {
    let (u, v) = (uniform(seed, number, purpose), uniform(seed, number, purpose + 1));
    (-2.0 * (1.0 - u).ln()).sqrt() * (TAU * v).cos()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quality::functions::all;

    fn trials(function: &Function, budget: u64) -> Vec<Done> {
        run(&Job { function, name: "tpe", seed: 3, budget, options: &json!({}) }).unwrap()
    }

    /// What lets one run stand for all shorter ones, also with eight workers.
    #[test]
    fn a_longer_study_begins_with_the_shorter_one() {
        for function in all().iter().filter(|f| ["branin", "branin-8", "gardner"].contains(&f.name)) {
            let short = trials(function, 20);
            let mut long = trials(function, 40);
            long.retain(|trial| trial.number < 20);
            let what = |trials: &[Done]| -> Vec<(u64, Vec<f64>)> {
                trials.iter().map(|trial| (trial.number, trial.told.clone())).collect()
            };
            assert_eq!(what(&short), what(&long), "{}", function.name);
        }
    }

    #[test]
    fn a_trial_that_was_told_something_else_is_not_honest() {
        let functions = all();
        for function in functions.iter().filter(|f| f.curve.is_none()) {
            let job = Job { function, name: "random", seed: 3, budget: 2, options: &json!({}) };
            let mut trials = run(&job).unwrap();
            assert!(trials.iter().all(|trial| is_honest(&job, trial)), "{}", function.name);
            trials[0].told[0] += 1e-3 * (1.0 + trials[0].told[0].abs());
            assert!(!is_honest(&job, &trials[0]), "{}", function.name);
        }
    }
}
