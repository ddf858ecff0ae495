//! What Trialog's benchmarks share: the trial that everybody runs, and clocks.

pub mod decisions;
pub mod quality;

use std::time::Instant;

use trialog::{Distribution, NewTrial, Study, Trial};
use trialog_ops::{
    Direction, Op, Param, ParamDef, ParamKey, ParamRef, Record, SessionId, SessionRef, StudyId, Timestamp,
    TrialState, TrialTemplate,
};
use trialog_replay::State;

/// The five parameters.
pub const NAMES: [&str; 5] = ["x0", "x1", "x2", "x3", "x4"];
/// The end of their range; it begins at minus this.
pub const BOUND: f64 = 5.0;

/// Suggests the five parameters; the value is the sum of their squares.
///
/// # Errors
/// What the study says.
pub fn suggest(trial: &mut Trial) -> trialog::Result<f64> {
    suggest_some(trial, NAMES.len())
}

/// The same with the first `count` of the parameters.
///
/// # Errors
/// What the study says.
pub fn suggest_some(trial: &mut Trial, count: usize) -> trialog::Result<f64> {
    let names = NAMES.iter().take(count);
    names.into_iter().try_fold(0.0, |sum, name| Ok(sum + trial.suggest_float(name, -BOUND..=BOUND)?.powi(2)))
}

/// Asks for, evaluates and tells `n` trials, one after the other.
///
/// # Errors
/// What the study says.
pub fn run_trials(study: &Study, n: usize) -> trialog::Result<()> {
    study.optimize(n, |trial| Ok(suggest(trial)?))
}

/// Adds `n` finished trials with random parameters.
///
/// # Errors
/// What the study says.
pub fn preload(study: &Study, n: usize) -> trialog::Result<()> {
    let range = Distribution::float(-BOUND, BOUND).expect("the bounds are in order");
    let mut state = 1_u64;
    let trials = (0..n).map(|_| {
        let params: Vec<f64> = NAMES.iter().map(|_| BOUND * (2.0 * uniform(&mut state) - 1.0)).collect();
        let value: f64 = params.iter().map(|x| x * x).sum();
        let named = NAMES.iter().zip(params);
        named.fold(NewTrial::complete(value), |trial, (name, x)| {
            // Every value lies inside the range.
            trial.clone().param(*name, range.clone(), x).unwrap_or(trial)
        })
    });
    study.add_trials(trials)
}

/// The state of a log in which one study has `n` finished trials of ten floats.
#[must_use]
pub fn state_of_floats(n: usize) -> State {
    let range = Distribution::float(-BOUND, BOUND).expect("the bounds are in order");
    let study = Op::CreateStudy { name: "bench".to_owned(), directions: vec![Direction::Minimize], config: None };
    let param = |key: u32, first: bool, value| {
        let def = || ParamDef { name: format!("x{key}"), distribution: range.clone() };
        let param = if first { ParamRef::Def(Box::new(def())) } else { ParamRef::Key(ParamKey(key)) };
        Param { param, value }
    };
    let mut random = 1_u64;
    let trials = (0..n).map(|number| {
        let time = 1_700_000_000_000_000 + 1000 * number as i64;
        let value = uniform(&mut random);
        let params = (0..10).map(|key| param(key, number == 0, BOUND * (2.0 * uniform(&mut random) - 1.0)));
        let template = TrialTemplate {
            values: vec![value],
            start: Some(Timestamp(time)),
            end: Some(Timestamp(time + 700)),
            params: params.collect(),
            ..TrialTemplate::new(TrialState::Complete)
        };
        Op::AddTrial { study: StudyId(0), template: Box::new(template) }
    });
    let mut state = State::new();
    for (op, counter) in std::iter::once(study).chain(trials).zip(0..) {
        let session = SessionRef::Id(SessionId([1; 16]));
        state.apply(&Record { session, counter, ops: vec![op] }, &mut Vec::new());
    }
    state
}

/// A number in `[0, 1)` of a linear congruential generator (Knuth's MMIX constants): good enough for filler.
fn uniform(state: &mut u64) -> f64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state >> 11) as f64 / (1_u64 << 53) as f64
}

/// Wall and processor time since it was made.
pub struct Clock {
    wall: Instant,
    cpu: f64,
}

impl Clock {
    /// Starts now.
    #[must_use]
    pub fn start() -> Clock {
        // The wall clock last: reading the other one takes longer than some of what is measured.
        let cpu = cpu_seconds();
        Clock { wall: Instant::now(), cpu }
    }

    /// Wall and processor seconds since the start.
    #[must_use]
    pub fn read(&self) -> (f64, f64) {
        (self.wall.elapsed().as_secs_f64(), cpu_seconds() - self.cpu)
    }
}

/// User and system time of this process, at the 10 ms that the kernel gives; 0 where there is no `/proc`.
#[must_use]
pub fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The second field is the command in brackets and may hold anything; fields 14 and 15 are the ticks.
    let Some((_, rest)) = stat.rsplit_once(')') else { return 0.0 };
    let ticks = rest.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<f64>().ok());
    ticks.sum::<f64>() / 100.0
}

/// Time that this thread has spent on a processor; 0 where the kernel does not tell.
#[must_use]
pub fn thread_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    stat.split_whitespace().next().and_then(|ns| ns.parse::<f64>().ok()).unwrap_or(0.0) / 1e9
}

/// Peak memory of this process in MiB, as the kernel counts it; 0 where there is no `/proc`.
#[must_use]
pub fn peak_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse::<f64>().ok());
    kib.unwrap_or(0.0) / 1024.0
}
