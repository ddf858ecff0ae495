//! Copies: equal to their sources, gone on with after a kill at any point, and never mixed with something else.

use proptest::prelude::*;
use trialog_journal::Durability;
use trialog_ops::*;
use trialog_transfer::{Collision, Error, Head, Moved, Options, Progress, copy, digest_of, write};

use crate::studies::{commit, empty, everything, finished, note, study, trial_id, view};

fn resume() -> Options<'static> {
    Options { collision: Collision::Resume, durability: Durability::Process, ..Options::default() }
}

#[test]
fn a_copy_says_what_its_source_says() {
    let (source, target) = (empty(), empty());
    let original = everything(&source, "s");
    // Other ids and keys than the source has.
    everything(&target, "before");
    let report = copy(&original, &target, "t", Options::default()).unwrap();
    assert_eq!((report.added, report.updated, report.kept), (8, 0, 0));
    let copied = view(&target, "t");
    assert_eq!(digest_of(&copied), digest_of(&original));
    assert_eq!(report.digest, digest_of(&original));
    let words = |view: &trialog_replay::StudyView| {
        view.trials().map(|t| format!("{:?}", Moved::from(t))).collect::<Vec<_>>()
    };
    assert_eq!(words(&copied), words(&original));
    assert_eq!(copied.best().count(), original.best().count());
}

#[test]
fn a_name_that_is_taken() {
    let (source, target) = (empty(), empty());
    let original = everything(&source, "s");
    let options = |collision| Options { collision, ..Options::default() };
    let name = |collision| copy(&original, &target, "s", options(collision)).map(|report| report.name);
    assert_eq!(name(Collision::Fail).unwrap(), "s");
    assert!(matches!(name(Collision::Fail), Err(Error::NameTaken { .. })));
    assert_eq!(name(Collision::Rename).unwrap(), "s-2");
    assert_eq!(name(Collision::Rename).unwrap(), "s-3");
    let again = copy(&original, &target, "s", options(Collision::Resume)).unwrap();
    assert_eq!((again.added, again.updated, again.kept), (0, 0, 8));
    study(&target, "other", &[Direction::Minimize]);
    let other = copy(&original, &target, "other", options(Collision::Resume));
    assert!(matches!(other, Err(Error::Another { .. })));
}

/// Whatever was written when the transfer was killed, the next run adds the rest, and nothing twice.
#[test]
fn killed_after_any_trial() {
    let source = empty();
    let original = everything(&source, "s");
    let all: Vec<Moved> = original.trials().map(Moved::from).collect();
    for cut in 0..=all.len() {
        for with_changes in [false, true] {
            let target = empty();
            let part = all[..cut].iter().cloned().map(|mut trial| {
                // Between the record with the trials and the one with their changes.
                if !with_changes {
                    trial.changes.clear();
                }
                Ok(trial)
            });
            write(&target, "s", &Head::of(&original), part, resume()).unwrap();
            let report = copy(&original, &target, "s", resume()).unwrap();
            assert_eq!(report.added as usize, all.len() - cut);
            assert_eq!(report.digest, digest_of(&original));
            assert_eq!(view(&target, "s").trial_count(), all.len());
        }
    }
}

/// The source went on in the meantime: the next run brings the copy up to date.
#[test]
fn a_live_source() {
    let (source, target) = (empty(), empty());
    let original = everything(&source, "s");
    copy(&original, &target, "s", resume()).unwrap();
    let id = |number| trial_id(&original, number);
    let key = source
        .with_state(|state| {
            state.param_key(&state.studies().next().unwrap().params().next().unwrap().first().1.as_ref().clone())
        })
        .unwrap();
    let metrics = |trial, step, values: &[(&str, f64)]| {
        let value = |&(name, value): &(&str, f64)| MetricValue { metric: MetricRef::Name(name.into()), value };
        Op::ReportMetrics { trial, step, values: values.iter().map(value).collect() }
    };
    let one = |value| Param { param: ParamRef::Key(key), value };
    // Trial 1 runs, trial 5 waits.
    commit(
        &source,
        vec![
            Op::SetParams { trial: id(1), params: vec![one(2.0)] },
            Op::Report { trial: id(1), step: 3, value: f64::NAN },
            metrics(id(1), 3, &[("acc", f64::NAN), ("größe", 1.0)]),
            metrics(id(1), 4, &[("acc", 0.5)]),
            Op::ClaimTrial { trial: id(5), start: Timestamp(44) },
            Op::SetParams { trial: id(5), params: vec![one(1.0)] },
            Op::VoidTrial { trial: id(2), note: note("bug") },
            Op::AddTrial { study: original.id(), template: Box::new(TrialTemplate::new(TrialState::Waiting)) },
        ],
    );
    let report = copy(&view(&source, "s"), &target, "s", resume()).unwrap();
    assert_eq!((report.added, report.updated, report.kept), (1, 3, 5));
    commit(
        &source,
        vec![
            Op::RetractParams { trial: id(1), params: vec![key] },
            Op::SetConstraint { trial: id(1), name: "c".into(), value: 1.0 },
            metrics(id(1), 3, &[("acc", 0.25)]),
            metrics(id(1), 2, &[("acc", 0.25), ("f1", 0.75)]),
            Op::SetTrialUserAttr { trial: id(1), key: "k".into(), value: Json::from(1) },
            Op::FinishTrial {
                trial: id(1),
                state: FinalState::Complete,
                values: vec![1.0, 1.0],
                end: Timestamp(50),
            },
            Op::VoidTrial { trial: id(1), note: note("bug") },
            Op::RequeueTrial { trial: id(5) },
            Op::ClaimTrial { trial: id(5), start: Timestamp(51) },
        ],
    );
    let report = copy(&view(&source, "s"), &target, "s", resume()).unwrap();
    assert_eq!((report.added, report.updated), (0, 2));
    assert_eq!(report.digest, digest_of(&view(&source, "s")));
}

#[test]
fn what_is_another_study_is_left_alone() {
    let (source, target) = (empty(), empty());
    let original = everything(&source, "s");
    copy(&original, &target, "s", resume()).unwrap();
    let there = view(&target, "s");
    // Somebody worked in the copy.
    commit(&target, vec![Op::VoidTrial { trial: trial_id(&there, 0), note: note("mine") }]);
    let before = digest_of(&view(&target, "s"));
    assert!(matches!(copy(&original, &target, "s", resume()), Err(Error::Another { .. })));
    assert_eq!(before, digest_of(&view(&target, "s")));
    let longer = empty();
    copy(&original, &longer, "s", resume()).unwrap();
    let id = view(&longer, "s").id();
    commit(&longer, vec![Op::CreateTrial { study: id, start: Timestamp(1) }]);
    assert!(matches!(copy(&original, &longer, "s", resume()), Err(Error::Another { .. })));
}

#[test]
fn progress_is_told() {
    let (source, target) = (empty(), empty());
    let id = study(&source, "s", &[Direction::Minimize]);
    for _ in 0..5 {
        let add = || Op::AddTrial { study: id, template: Box::new(TrialTemplate::new(TrialState::Waiting)) };
        commit(&source, (0..300).map(|_| add()).collect());
    }
    let mut seen: Vec<Progress> = Vec::new();
    let mut note = |progress| seen.push(progress);
    let options = Options { progress: Some(&mut note), ..Options::default() };
    copy(&view(&source, "s"), &target, "s", options).unwrap();
    assert!(seen.len() >= 3 && seen.windows(2).all(|pair| pair[0].done <= pair[1].done));
    assert_eq!(seen.last(), Some(&Progress { done: 1500, total: Some(1500) }));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_trials_arrive(trials in prop::collection::vec(finished(), 0..20), cut in 0..20usize) {
        let target = empty();
        let head = Head::new(vec![Direction::Minimize]);
        let moved = |range: &[TrialTemplate]| range.iter().cloned().map(|t| Ok(Moved::from(t))).collect::<Vec<_>>();
        write(&target, "s", &head, moved(&trials[..cut.min(trials.len())]), resume()).unwrap();
        let whole = write(&target, "s", &head, moved(&trials), resume()).unwrap();
        let other = empty();
        let at_once = write(&other, "t", &head, moved(&trials), Options::default()).unwrap();
        prop_assert_eq!(whole.digest, at_once.digest);
        prop_assert_eq!(view(&target, "s").trial_count(), trials.len());
    }
}

/// The digest is not blind: whatever differs shows.
#[test]
fn canary_another_study_has_another_digest() {
    let source = empty();
    let original = everything(&source, "s");
    let before = digest_of(&original);
    commit(&source, vec![Op::SetStudyUserAttr { study: original.id(), key: "k".into(), value: Json::null() }]);
    let with_attr = digest_of(&view(&source, "s"));
    commit(&source, vec![Op::VoidTrial { trial: trial_id(&original, 4), note: note("bug") }]);
    let with_void = digest_of(&view(&source, "s"));
    assert!(before != with_attr && with_attr != with_void);
}
