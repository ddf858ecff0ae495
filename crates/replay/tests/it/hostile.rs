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
const SOON: Duration = Duration::from_secs(20);

#[track_caller]
fn soon(what: &str, work: impl FnOnce()) {
    within(SOON, what, work);
}

#[track_caller]
fn within(limit: Duration, what: &str, work: impl FnOnce()) {
    let begin = Instant::now();
    work();
    let took = begin.elapsed();
    assert!(took < limit, "{what} took {took:?}");
}

#[test]
#[should_panic(expected = "ten milliseconds took")]
fn canary_slow_work_is_noticed() {
    within(Duration::from_millis(5), "ten milliseconds", || std::thread::sleep(Duration::from_millis(10)));
}

/// Rising, falling and outward steps take linear time; scattered ones move a quarter of the entries each time, which
/// is fast enough for as many.
#[test]
fn reports_in_any_order_are_applied_soon() {
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

/// A view taken before each write makes no write copy much.
#[test]
fn held_views_keep_writes_cheap() {
    const N: u64 = 20_000;
    let mut state = study_with_trials(1);
    let waiting =
        || Op::AddTrial { study: StudyId(0), template: Box::new(TrialTemplate::new(TrialState::Waiting)) };
    apply(&mut state, 1, (0..N).map(|_| waiting()).collect());
    soon("claims", || {
        for trial in 1..=N {
            let _view = state.view(StudyId(0));
            let claim = Op::ClaimTrial { trial: TrialId(trial), start: Timestamp(0) };
            assert_eq!(apply(&mut state, 1 + trial, vec![claim]), [Verdict::Applied]);
        }
    });
    soon("reports", || {
        for step in 0..N {
            let _view = state.view(StudyId(0));
            apply(&mut state, 2 + N + step, vec![report(0, step)]);
        }
    });
    let view = state.view(StudyId(0)).unwrap();
    assert_eq!(
        (view.count(TrialState::Running), view.trial(TrialNumber(0)).unwrap().reports().len()),
        (20_001, 20_000)
    );
}

/// One value far out in each of many studies and parameters takes no memory for what lies before it.
#[test]
fn lonely_values_are_small() {
    let mut state = study_with_trials(2000);
    let def = |name: u32| ParamDef { name: name.to_string(), distribution: Distribution::float(0.0, 1.0).unwrap() };
    let param = |name| Param { param: ParamRef::Def(Box::new(def(name))), value: 0.5 };
    let params = |name| Op::SetParams { trial: TrialId(1999), params: vec![param(name)] };
    soon("parameters", || _ = apply(&mut state, 1, (0..20_000).map(params).collect()));
    let lonely = |id: u32| {
        let study = StudyId(id);
        let trial = 1999 + u64::from(id);
        [
            Op::CreateStudy { name: id.to_string(), directions: vec![Direction::Minimize], config: None },
            Op::CreateTrial { study, start: Timestamp(0) },
            report(trial, (1 << 20) - 1),
            report(trial, u64::MAX - 1),
        ]
    };
    soon("steps", || _ = apply(&mut state, 2, (1..20_000).flat_map(lonely).collect()));
    assert!(state.studies().skip(1).all(|view| view.trial(TrialNumber(0)).unwrap().reports().len() == 2));
}

/// As many objectives as fit into an op, and a front on which everybody stays.
#[test]
fn many_objectives() {
    let mut state = State::new();
    let study =
        Op::CreateStudy { name: "wide".into(), directions: vec![Direction::Maximize; 10_000], config: None };
    let end = Some(Timestamp(0));
    let trial = |i: usize| {
        let values = (0..10_000).map(|k| if k == i { f64::INFINITY } else { -0.0 }).collect();
        let template = TrialTemplate { values, end, ..TrialTemplate::new(TrialState::Complete) };
        Op::AddTrial { study: StudyId(0), template: Box::new(template) }
    };
    soon("trials", || _ = apply(&mut state, 0, std::iter::once(study).chain((0..50).map(trial)).collect()));
    assert_eq!(state.view(StudyId(0)).unwrap().pareto_front().count(), 50);
}

/// Withdrawing every trial of a study, one record each, with a view held beside each.
#[test]
fn many_withdrawals() {
    const N: u64 = 20_000;
    let mut state = study_with_trials(0);
    let template = TrialTemplate {
        values: vec![1.0],
        end: Some(Timestamp(0)),
        reports: (0..5).map(|step| (step, step as f64)).collect(),
        ..TrialTemplate::new(TrialState::Complete)
    };
    let add = || Op::AddTrial { study: StudyId(0), template: Box::new(template.clone()) };
    apply(&mut state, 1, (0..N).map(|_| add()).collect());
    let note = || Box::new(Note { by: String::new(), at: Timestamp(0), reason: String::new() });
    soon("withdrawals", || {
        for trial in 0..N {
            let _view = state.view(StudyId(0));
            let void = Op::VoidTrial { trial: TrialId(trial), note: note() };
            assert_eq!(apply(&mut state, 2 + trial, vec![void]), [Verdict::Applied]);
        }
    });
    let view = state.view(StudyId(0)).unwrap();
    assert_eq!((view.best().count(), view.complete_at(0).is_some(), view.voided().count() as u64), (0, false, N));
}
