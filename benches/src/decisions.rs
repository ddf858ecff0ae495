//! What a pruner's decision costs beside many trials that reported: the first one of a process, and those after it.

use std::sync::Arc;
use std::time::Instant;

use serde_json::json;
use trialog::pruners::Pruner;
use trialog_ops::{
    ComponentSpec, Direction, FinalState, Json, Op, Record, SessionId, SessionRef, StudyId, Timestamp, TrialId,
    TrialNumber, TrialState, TrialTemplate,
};
use trialog_replay::{State, StudyView};

use crate::{Clock, uniform};

/// How many steps a trial has if nothing stops it.
const STEPS: u64 = 81;
/// The steps of the rungs that the options below make.
const RUNGS: [u64; 5] = [1, 3, 9, 27, STEPS];
/// How many trials run side by side.
const ASKED: usize = 25;
/// How many trials end between two decisions that are to see many ends.
const BURST: usize = 1_000;
/// How often a pruner begins.
const REPEATED: usize = 12;

const STUDY: StudyId = StudyId(0);

/// The pruners, each with options under which it has much to look at.
pub fn contestants() -> impl Iterator<Item = (String, ComponentSpec)> {
    let halving = json!({ "min_resource": 1, "reduction_factor": 3 });
    let mut named = vec![
        ("none", json!({})),
        ("median", json!({})),
        ("percentile", json!({ "percentile": 25.0 })),
        ("successive_halving", halving.clone()),
        ("hyperband", json!({ "max_resource": STEPS })),
        ("threshold", json!({ "upper": 1e9 })),
        ("wilcoxon", json!({})),
    ];
    let inner = |(name, options): &(&str, serde_json::Value)| json!({ "name": name, "options": options });
    let wrapped: Vec<_> = named[1..].iter().map(inner).collect();
    let patient = wrapped.into_iter().map(|inner| ("patient", json!({ "patience": 0, "wrapped_pruner": inner })));
    named.push(("patient", json!({ "patience": 0 })));
    named.extend(patient.collect::<Vec<_>>());
    named.push(("shadow", json!({ "wrapped_pruner": { "name": "successive_halving", "options": halving } })));
    named.into_iter().map(|(name, options)| {
        let label = match options.pointer("/wrapped_pruner/name").and_then(serde_json::Value::as_str) {
            Some(inner) => format!("{name} {inner}"),
            None => name.to_owned(),
        };
        let spec = ComponentSpec { name: name.to_owned(), version: 1, options: Json::from(options) };
        (label, spec)
    })
}

/// Microseconds of decisions. Of several repetitions the best counts, where they can be repeated.
pub struct Costs {
    /// The dearest of the first trial's: what is kept between decisions is made there.
    pub first_max: f64,
    /// All of the first trial's.
    pub first_sum: f64,
    /// The same in processor time, the mean of the repetitions.
    pub first_cpu: f64,
    /// Those after it, of trials that run side by side, ascending.
    pub steady: Vec<f64>,
    /// The dearest of those before each of which a thousand trials ended.
    pub after_burst_max: f64,
}

/// A log of one study, and random numbers for it.
#[derive(Clone)]
pub struct Course {
    state: State,
    counter: u64,
    random: u64,
}

impl Course {
    /// A study of `n` finished trials with a report at each step: a third of them complete, the others pruned on the way.
    #[must_use]
    pub fn new(n: usize) -> Course {
        let mut course = Course { state: State::new(), counter: 0, random: 1 };
        let name = "bench".to_owned();
        course.apply(vec![Op::CreateStudy { name, directions: vec![Direction::Minimize], config: None }]);
        (0..n).for_each(|_| course.finished_trial());
        course
    }

    fn apply(&mut self, ops: Vec<Op>) {
        let session = SessionRef::Id(SessionId([1; 16]));
        self.state.apply(&Record { session, counter: self.counter, ops }, &mut Vec::new());
        self.counter += 1;
    }

    /// The value at a step of a trial that comes to `end`.
    fn value(&mut self, end: f64, step: u64) -> f64 {
        end + (1.0 + uniform(&mut self.random)) / step as f64
    }

    fn finished_trial(&mut self) {
        let end = uniform(&mut self.random);
        let is_complete = uniform(&mut self.random) < 1.0 / 3.0;
        let last = if is_complete { STEPS } else { 1 + (uniform(&mut self.random) * (STEPS - 1) as f64) as u64 };
        let reports: Vec<(u64, f64)> = (1..=last).map(|step| (step, self.value(end, step))).collect();
        let state = if is_complete { TrialState::Complete } else { TrialState::Pruned };
        let template = TrialTemplate {
            values: reports.last().map(|&(_, value)| value).into_iter().collect(),
            start: Some(Timestamp(0)),
            end: Some(Timestamp(1)),
            reports,
            ..TrialTemplate::new(state)
        };
        self.apply(vec![Op::AddTrial { study: STUDY, template: Box::new(template) }]);
    }

    /// Takes the time of decisions about trials that come and go beside those that are there. `build` makes the pruner as
    /// a process does that begins.
    pub fn costs(&mut self, build: impl Fn() -> Arc<dyn Pruner>) -> Costs {
        let first = self.views(&(1..=STEPS).collect::<Vec<_>>(), 0);
        let bursts = self.views(&RUNGS, BURST);
        let (mut first_max, mut first_sum, mut after_burst_max) = (f64::INFINITY, f64::INFINITY, f64::INFINITY);
        let mut pruner = build();
        let clock = Clock::start();
        (0..REPEATED).for_each(|_| {
            pruner = build();
            first.iter().for_each(|(view, number)| _ = timed(&*pruner, view, *number));
        });
        let first_cpu = clock.read().1 * 1e6 / REPEATED as f64;
        for _ in 0..REPEATED {
            pruner = build();
            let micros = || first.iter().map(|(view, number)| timed(&*pruner, view, *number));
            let (max, sum) =
                micros().fold((0.0, 0.0), |(max, sum): (f64, f64), micros| (max.max(micros), sum + micros));
            (first_max, first_sum) = (first_max.min(max), first_sum.min(sum));
            let micros = bursts.iter().map(|(view, number)| timed(&*pruner, view, *number));
            after_burst_max = after_burst_max.min(micros.fold(0.0, f64::max));
        }
        drop((first, bursts));
        let mut steady: Vec<f64> = (0..4).flat_map(|_| self.decisions(&*pruner)).collect();
        steady.sort_by(f64::total_cmp);
        Costs { first_max, first_sum, first_cpu, steady, after_burst_max }
    }

    fn start(&mut self) -> (TrialNumber, TrialId, f64) {
        self.apply(vec![Op::CreateTrial { study: STUDY, start: Timestamp(0) }]);
        let number = self.state.view(STUDY).map_or(0, |view| view.trial_count() - 1);
        // In a log of one study a trial's id is its number.
        (TrialNumber(number as u32), TrialId(number as u64), uniform(&mut self.random))
    }

    /// What a good trial sees after each of its reports, before each of which `burst` others end.
    fn views(&mut self, steps: &[u64], burst: usize) -> Vec<(StudyView, TrialNumber)> {
        let (number, trial, _) = self.start();
        let mut views = Vec::new();
        for &step in steps {
            (0..burst).for_each(|_| self.finished_trial());
            let value = self.value(0.01, step);
            self.apply(vec![Op::Report { trial, step, value }]);
            views.extend(self.state.view(STUDY).map(|view| (view, number)));
        }
        views
    }

    /// Trials run side by side, and the pruner is asked after each report.
    fn decisions(&mut self, pruner: &dyn Pruner) -> Vec<f64> {
        let running: Vec<_> = (0..ASKED).map(|_| self.start()).collect();
        let mut micros = Vec::new();
        for step in 1..=STEPS {
            for &(number, trial, end) in &running {
                let value = self.value(end, step);
                self.apply(vec![Op::Report { trial, step, value }]);
                micros.extend(self.state.view(STUDY).map(|view| timed(pruner, &view, number)));
            }
        }
        for (_, trial, end) in running {
            let (state, values) = (FinalState::Complete, vec![end]);
            self.apply(vec![Op::FinishTrial { trial, state, values, end: Timestamp(1) }]);
        }
        micros
    }
}

/// Microseconds of one decision.
fn timed(pruner: &dyn Pruner, view: &StudyView, number: TrialNumber) -> f64 {
    let clock = Instant::now();
    std::hint::black_box(pruner.decide(view, number));
    clock.elapsed().as_secs_f64() * 1e6
}
