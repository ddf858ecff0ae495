//! How long a decision takes beside many finished trials: `cargo run --release -p trialog-pruners --example
//! decision_cost [steps apart]`. Steps of different trials coincide unless an argument says otherwise.

use std::time::{Duration, Instant};

use trialog_ops::{
    Direction, FinalState, Op, Record, SessionId, SessionRef, StudyId, Timestamp, TrialId, TrialNumber, TrialState,
    TrialTemplate,
};
use trialog_pruners::{Hyperband, Median, Patient, Pruner, Shadow, SuccessiveHalving, Threshold, Wilcoxon};
use trialog_replay::{State, StudyView};

const STEPS: u64 = 81;
const ROUNDS: u64 = 200;

struct Log {
    state: State,
    counter: u64,
    noise: u64,
}

impl Log {
    fn apply(&mut self, op: Op) -> StudyView {
        self.counter += 1;
        let session = SessionRef::Id(SessionId([1; 16]));
        self.state.apply(&Record { session, counter: self.counter, ops: vec![op] }, &mut Vec::new());
        self.state.view(StudyId(0)).expect("the study is never deleted")
    }

    fn noise(&mut self) -> u64 {
        self.noise = self.noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.noise >> 33
    }

    fn finished(&mut self, apart: u64) -> TrialTemplate {
        let is_long = self.noise().is_multiple_of(10);
        let state = if is_long { TrialState::Complete } else { TrialState::Pruned };
        let mut template = TrialTemplate::new(state);
        template.end = Some(Timestamp(1));
        template.values = if is_long { vec![0.0] } else { Vec::new() };
        let steps = if is_long { STEPS } else { 1 + self.noise() % STEPS };
        template.reports =
            (0..steps).map(|step| (step * apart + self.noise() % apart, self.noise() as f64)).collect();
        template
    }
}

fn main() {
    let apart = std::env::args().nth(1).and_then(|word| word.parse().ok()).unwrap_or(1);
    for trials in [1_000, 10_000, 100_000] {
        let mut log = Log { state: State::new(), counter: 0, noise: 1 };
        let directions = vec![Direction::Minimize];
        log.apply(Op::CreateStudy { name: "s".to_owned(), directions, config: None });
        for _ in 0..trials {
            let template = Box::new(log.finished(apart));
            log.apply(Op::AddTrial { study: StudyId(0), template });
        }
        let pruners: [(&str, &dyn Pruner); 7] = [
            ("median", &Median::new()),
            ("halving", &SuccessiveHalving::new().min_resource(apart)),
            ("hyperband", &Hyperband::new().min_resource(apart)),
            ("threshold", &Threshold::upper(f64::MAX)),
            ("patient", &Patient::new(1).wrapping(Median::new())),
            ("shadow", &Shadow::new(Median::new())),
            ("wilcoxon", &Wilcoxon::new()),
        ];
        // Each reaches a rung.
        let rungs: Vec<u64> = [1, 3, 9, 27].to_vec();
        // The distribution is exact up to 50 of them, and takes longest there.
        let instances: Vec<u64> = (0..STEPS).collect();
        for (name, pruner) in pruners {
            let mut first = Duration::ZERO;
            let mut times = Vec::new();
            for _ in 0..ROUNDS {
                let number =
                    log.apply(Op::CreateTrial { study: StudyId(0), start: Timestamp(0) }).trial_count() - 1;
                let (trial, number) = (TrialId(number as u64), TrialNumber(number as u32));
                for &step in if name == "wilcoxon" { &instances } else { &rungs } {
                    let value = log.noise() as f64;
                    let view = log.apply(Op::Report { trial, step: step * apart, value });
                    let begin = Instant::now();
                    std::hint::black_box(pruner.decide(&view, number));
                    let took = begin.elapsed();
                    if times.is_empty() {
                        first = took;
                    }
                    times.push(took);
                }
                log.apply(Op::FinishTrial {
                    trial,
                    state: FinalState::Pruned,
                    values: Vec::new(),
                    end: Timestamp(1),
                });
            }
            times.sort();
            let (median, most) = (times[times.len() / 2], times[times.len() * 99 / 100]);
            println!(
                "{trials:>7} trials  {name:<9}  median {median:>10.2?}  99% {most:>10.2?}  first {first:>10.2?}"
            );
        }
    }
}
