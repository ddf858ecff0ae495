//! Logs that nobody means to write: every pruner answers, answers again the same, and does not depend on what it
//! was asked before.

use std::sync::Arc;

use proptest::prelude::*;
use trialog_ops::{
    ComponentSpec, Direction, FinalState, Json, Op, Timestamp, TrialNumber, TrialState, TrialTemplate,
};
use trialog_pruners::{Decision, Hyperband, Median, Patient, Pruner, Shadow, SuccessiveHalving, from_spec};
use trialog_replay::{StudyView, TrialView};

use crate::study::{Study, id};

/// Something that happens to a study; numbers of trials are taken modulo how many there are.
#[derive(Clone, Debug)]
enum Event {
    Start,
    Enqueue,
    Requeue(usize),
    Report(usize, u64, f64),
    End(usize, FinalState),
    /// So many finished trials at once, with reports made from the number.
    Burst(u64),
}

fn event() -> impl Strategy<Value = Event> {
    let step =
        prop_oneof![8 => 0..30u64, 1 => Just(u64::MAX - 1), 1 => any::<u64>().prop_map(|s| s.min(u64::MAX - 1))];
    let odd = prop::sample::select(vec![f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, f64::MAX, f64::MIN]);
    let value = prop_oneof![8 => (-4i8..4).prop_map(f64::from), 2 => odd];
    let state = prop::sample::select(vec![FinalState::Complete, FinalState::Pruned, FinalState::Fail]);
    prop_oneof![
        3 => Just(Event::Start),
        1 => Just(Event::Enqueue),
        1 => any::<usize>().prop_map(Event::Requeue),
        12 => (any::<usize>(), step, value).prop_map(|(trial, step, value)| Event::Report(trial, step, value)),
        2 => (any::<usize>(), state).prop_map(|(trial, state)| Event::End(trial, state)),
        1 => (1..150u64).prop_map(Event::Burst),
    ]
}

/// Applies the event if there is a trial that it can happen to; the trial that it happened to.
fn happen(study: &mut Study, event: &Event) -> Option<TrialNumber> {
    let view = study.view();
    let among = |which: &dyn Fn(TrialState) -> bool, index: usize| {
        let numbers: Vec<_> = view.trials().filter(|t| which(t.state())).map(TrialView::number).collect();
        (!numbers.is_empty()).then(|| numbers[index % numbers.len()])
    };
    let is_open = |state: TrialState| !state.is_finished();
    match *event {
        Event::Start => Some(study.start()),
        Event::Enqueue => {
            study.add(TrialTemplate::new(TrialState::Waiting));
            None
        }
        Event::Requeue(index) => {
            let number = among(&|state| state == TrialState::Running, index)?;
            study.apply(vec![Op::RequeueTrial { trial: id(number) }]);
            Some(number)
        }
        Event::Report(index, step, value) => {
            let number = among(&is_open, index)?;
            study.report(number, step, value);
            Some(number)
        }
        Event::End(index, state) => {
            let number = among(&is_open, index)?;
            study.end(number, state);
            Some(number)
        }
        Event::Burst(count) => {
            for seed in 0..count {
                let state = [TrialState::Complete, TrialState::Pruned, TrialState::Fail][(seed * 7 % 3) as usize];
                let mut template = TrialTemplate::new(state);
                template.end = Some(Timestamp(1));
                template.values =
                    if state == TrialState::Complete { vec![0.0; view.directions().len()] } else { vec![] };
                template.reports = (0..seed % 11)
                    .map(|step| (step * (1 + seed % 3), ((seed * 31 + step * 17) % 9) as f64))
                    .collect();
                study.add(template);
            }
            None
        }
    }
}

fn pruners() -> Vec<Arc<dyn Pruner>> {
    let specs = [
        r#"median {}"#,
        r#"median {"n_startup_trials": 0, "n_warmup_steps": 3, "interval_steps": 4, "n_min_trials": 2}"#,
        r#"percentile {"percentile": 0}"#,
        r#"percentile {"percentile": 100, "n_startup_trials": 18446744073709551615}"#,
        r#"percentile {"percentile": 30.5, "n_warmup_steps": 18446744073709551615, "interval_steps": 18446744073709551615}"#,
        r#"successive_halving {}"#,
        r#"successive_halving {"min_resource": 1, "reduction_factor": 2, "bootstrap_count": 3}"#,
        r#"successive_halving {"min_resource": 18446744073709551615, "reduction_factor": 18446744073709551615}"#,
        r#"successive_halving {"min_early_stopping_rate": 4294967295}"#,
        r#"hyperband {}"#,
        r#"hyperband {"max_resource": 18446744073709551615, "reduction_factor": 2}"#,
        r#"hyperband {"min_resource": 9, "max_resource": 8}"#,
        r#"hyperband {"min_resource": 2, "max_resource": 18, "bootstrap_count": 18446744073709551615}"#,
        r#"threshold {}"#,
        r#"threshold {"lower": -1, "upper": 1e300, "n_warmup_steps": 3, "interval_steps": 18446744073709551615}"#,
        r#"patient {"patience": 0}"#,
        r#"patient {"patience": 2, "min_delta": 1.5, "wrapped_pruner": {"name": "hyperband"}}"#,
        r#"patient {"patience": 18446744073709551615, "min_delta": 1e308}"#,
        r#"wilcoxon {}"#,
        r#"wilcoxon {"p_threshold": 1, "n_startup_steps": 0}"#,
        r#"shadow {}"#,
        r#"shadow {"wrapped_pruner": {"name": "patient", "version": 1, "options": {"patience": 1}}}"#,
        r#"patient {"patience": 1, "wrapped_pruner": {"name": "shadow"}}"#,
        r#"none {}"#,
    ];
    let spec = |words: &str| {
        let (name, options) = words.split_once(' ').unwrap();
        let options = Json::from(serde_json::from_str::<serde_json::Value>(options).unwrap());
        from_spec(&ComponentSpec { name: name.to_owned(), version: 1, options }).unwrap()
    };
    specs.map(spec).to_vec()
}

/// The values with which trials that have begun reached a rung, from a look at all of them.
fn rung(view: &StudyView, rung: u64) -> Vec<f64> {
    let begun = view.trials().filter(|trial| trial.state() != TrialState::Waiting);
    let first =
        |trial: TrialView<'_>| trial.reports().iter().find(|(step, _)| *step >= rung).map(|(_, value)| *value);
    begun.filter_map(first).filter(|value| !value.is_nan()).collect()
}

/// What successive halving from step 1 says, by all trials of the view.
fn by_rungs(view: &StudyView, number: TrialNumber, factor: u64, bootstrap: usize) -> bool {
    let Some((&(step, value), before)) = view.trial(number).unwrap().reports().split_last() else { return false };
    let judged = |rung: u64| before.iter().any(|&(step, _)| step >= rung);
    let mut most = usize::MAX;
    let mut rung = 1;
    while rung <= step {
        if !judged(rung) {
            let peers = self::rung(view, rung);
            let better = peers.iter().filter(|&&peer| peer < value).count();
            let promoted = (peers.len().min(most) / factor as usize).max(1);
            if value.is_nan() || peers.len() <= bootstrap || better >= promoted {
                return true;
            }
            most = promoted;
        }
        let Some(next) = rung.checked_mul(factor) else { break };
        rung = next;
    }
    false
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_pruner_answers_and_stands_by_it(
        events in prop::collection::vec(event(), 0..80),
        directions in prop::sample::select(vec![
            vec![Direction::Minimize], vec![Direction::Maximize], vec![Direction::Minimize, Direction::Maximize],
        ]),
    ) {
        let mut study = Study::new("odd", &directions);
        let pruners = pruners();
        for event in &events {
            let number = happen(&mut study, event).unwrap_or(TrialNumber(u32::MAX));
            let view = study.view();
            for pruner in &pruners {
                let decision = pruner.decide(&view, number);
                prop_assert_eq!(&decision, &pruner.decide(&view, number));
                prop_assert_eq!(&decision, &from_spec(&pruner.spec()).unwrap().decide(&view, number));
                prop_assert!(directions.len() == 1 || !decision.is_prune());
            }
        }
    }

    /// A shadow says what its pruner says and stops nothing; patience stops what its pruner stops, and never more.
    #[test]
    fn what_wraps_a_pruner_asks_it(
        events in prop::collection::vec(event(), 0..80), direction in prop::sample::select(vec![
            Direction::Minimize, Direction::Maximize,
        ]),
        patience in 0..4usize,
    ) {
        let mut study = Study::new("odd", &[direction]);
        let median = Median::new().n_startup_trials(0);
        let shadow = Shadow::new(median.clone());
        let (patient, alone) = (Patient::new(patience).wrapping(median.clone()), Patient::new(patience));
        for event in &events {
            let Some(number) = happen(&mut study, event) else { continue };
            let view = study.view();
            let (inside, outside) = (median.decide(&view, number), shadow.decide(&view, number));
            prop_assert!(!outside.is_prune());
            prop_assert_eq!(inside.reason(), outside.reason());
            let both = inside.is_prune() && alone.decide(&view, number).is_prune();
            prop_assert_eq!(patient.decide(&view, number).is_prune(), both);
            let in_shadow = Patient::new(patience).wrapping(Shadow::new(median.clone())).decide(&view, number);
            prop_assert_eq!(matches!(in_shadow, Decision::Shadow { .. }), both);
            prop_assert!(!in_shadow.is_prune());
        }
    }

    /// What is kept of rungs says what a look at all trials says.
    #[test]
    fn rungs_are_those_of_all_trials(
        events in prop::collection::vec(event(), 0..150),
        bootstrap in prop::sample::select(vec![0, 0, 5]),
        factor in 2..5u64,
    ) {
        let mut study = Study::minimize();
        let hyperband = Hyperband::new().max_resource(1).reduction_factor(factor).bootstrap_count(bootstrap);
        let halving = SuccessiveHalving::new().min_resource(1).reduction_factor(factor).bootstrap_count(bootstrap);
        for event in &events {
            let Some(number) = happen(&mut study, event) else { continue };
            let view = study.view();
            let expected = by_rungs(&view, number, factor, bootstrap);
            prop_assert_eq!(halving.decide(&view, number).is_prune(), expected);
            prop_assert_eq!(hyperband.decide(&view, number).is_prune(), expected);
        }
    }

    /// What is kept between decisions may be dropped, be of a later time, of another study or of another log with
    /// the same ids and positions: answers stay the same.
    #[test]
    fn a_cache_may_go_and_may_be_of_another_time(
        events in prop::collection::vec((event(), 0..5u8, any::<prop::sample::Index>()), 0..120),
    ) {
        let new = || Hyperband::new().max_resource(9).reduction_factor(2);
        let (asked, mut study) = (new(), Study::new("odd", &[Direction::Maximize]));
        let mut other = study.clone();
        let mut told: Vec<(StudyView, TrialNumber)> = Vec::new();
        for (event, then, index) in &events {
            if let Some(number) = happen(&mut study, event) {
                told.push((study.view(), number));
            }
            match then {
                0 => asked.drop_caches(),
                // Two logs part ways here, and both go on.
                1 if told.len().is_multiple_of(2) => other = study.clone(),
                1 => std::mem::swap(&mut study, &mut other),
                _ => {}
            }
            if let Some((view, number)) = told.last() {
                prop_assert_eq!(asked.decide(view, *number), new().decide(view, *number));
                let (view, number) = index.get(&told);
                prop_assert_eq!(asked.decide(view, *number), new().decide(view, *number));
            }
        }
    }
}
