//! Processor time per suggestion of five floats, beside the trials of a growing study:
//!
//! ```text
//! cargo run --release -p trialog-samplers --example suggestion_cost [NAME[:OPTIONS]...]
//! ```

use std::time::{Duration, Instant};

use trialog_ops::{
    ComponentSpec, Direction, Distribution, FinalState, Json, Op, Param, ParamDef, ParamRef, Record, SessionId,
    SessionRef, StudyId, Timestamp, TrialId, TrialNumber,
};
use trialog_replay::State;

const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut wanted: Vec<String> = std::env::args().skip(1).collect();
    if wanted.is_empty() {
        wanted = ["random", "qmc", "qmc:{\"qmc_type\":\"halton\"}", "cmaes"].map(str::to_owned).to_vec();
    }
    for name in wanted {
        let (name, options) = name.split_once(':').unwrap_or((&name, "{}"));
        let spec = ComponentSpec { name: name.to_owned(), version: 1, options: Json::parse(options)? };
        let sampler = trialog_samplers::from_spec(&spec)?;
        let unit = Distribution::float(0.0, 1.0)?;
        let mut state = State::new();
        let mut counter = 0;
        let mut apply = |ops: Vec<Op>| {
            counter += 1;
            let session = SessionRef::Id(SessionId([1; 16]));
            state.apply(&Record { session, counter, ops }, &mut Vec::new());
            state.view(StudyId(0))
        };
        let directions = vec![Direction::Minimize];
        apply(vec![Op::CreateStudy { name: "s".to_owned(), directions, config: None }]);
        let (mut spent, mut since, mut best) = (Duration::ZERO, 0, f64::INFINITY);
        for number in 0..100_001_u32 {
            let trial = TrialId(number.into());
            let view = apply(vec![Op::CreateTrial { study: StudyId(0), start: Timestamp(0) }]).ok_or("a study")?;
            let started = Instant::now();
            let proposals = sampler.sample_relative(&view, TrialNumber(number), 7);
            spent += started.elapsed();
            since += 1;
            drop(view);
            let value = |at: usize| proposals.get(at).map_or(0.5, |proposal| proposal.2);
            let loss: f64 = (0..5).map(|at| (value(at) - 0.3).powi(2)).sum();
            best = loss.min(best);
            let param = |at: usize| {
                let def = ParamDef { name: NAMES[at].to_owned(), distribution: unit.clone() };
                Param { param: ParamRef::Def(Box::new(def)), value: value(at) }
            };
            let finish =
                Op::FinishTrial { trial, state: FinalState::Complete, values: vec![loss], end: Timestamp(0) };
            apply(vec![Op::SetParams { trial, params: (0..5).map(param).collect() }, finish]);
            if [100, 1_000, 10_000, 100_000].contains(&number) {
                let micros = spent.as_secs_f64() * 1e6 / f64::from(since);
                println!("{name} {options}: {micros:.2} microseconds up to {number} trials, best {best:.1e}");
                (spent, since) = (Duration::ZERO, 0);
            }
        }
    }
    Ok(())
}
