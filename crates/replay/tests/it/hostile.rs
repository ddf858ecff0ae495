//! Ops that nobody sends in good faith: replay takes them without a panic, and neither its time nor its memory
//! runs away.

use std::time::{Duration, Instant};

use trialog_ops::*;
use trialog_replay::{State, Verdict};

fn apply(state: &mut State, counter: u64, ops: Vec<Op>) -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    state.apply(&Record { session: SessionRef::Id(SessionId([0; 16])), counter, ops }, &mut verdicts);
    verdicts
}

fn study_with_trials(trials: usize) -> State {
    let mut state = State::new();
    let study = Op::CreateStudy { name: "s".into(), directions: vec![Direction::Minimize], config: None };
    let trial = Op::CreateTrial { study: StudyId(0), start: Timestamp(0) };
    apply(&mut state, 0, std::iter::once(study).chain(std::iter::repeat_n(trial, trials)).collect());
    state
}

fn report(trial: u64, step: u64) -> Op {
    Op::Report { trial: TrialId(trial), step, value: step as f64 }
}

/// A limit that linear work passes by far on a slow machine without optimization, and quadratic work does not.
#[track_caller]
fn soon(what: &str, work: impl FnOnce()) {
    let begin = Instant::now();
    work();
    let took = begin.elapsed();
    assert!(took < Duration::from_secs(20), "{what} took {took:?}");
}

#[test]
fn reports_in_any_order_take_linear_time() {
    const N: u64 = 100_000;
    // A fixed permutation: an odd factor modulo a power of two.
    let scattered = |i: u64| i.wrapping_mul(0x9e37_79b9) % (1 << 17);
    let orders: [(&str, &dyn Fn(u64) -> u64); 4] = [
        ("ascending", &|i| i),
        ("descending", &|i| N - i),
        ("scattered", &scattered),
        ("inside out", &|i| if i % 2 == 0 { N + i } else { N - i }),
    ];
    for (order, step) in orders {
        let mut state = study_with_trials(1);
        let ops = (0..N).map(|i| report(0, step(i))).collect();
        soon(order, || _ = apply(&mut state, 1, ops));
        let view = state.view(StudyId(0)).unwrap();
        assert_eq!(view.trials().next().unwrap().reports().len() as u64, N, "{order}");
    }
}
