//! Merges: unions of what was finished, whatever the order, the number and the grouping of merges.

use proptest::prelude::*;
use trialog_ops::*;
use trialog_replay::{StudyView, TrialView};
use trialog_storage::Storage;
use trialog_transfer::{ContentDigest, Error, Head, Moved, ORIGIN, Options, copy, digest_of, merge, write};

use crate::studies::{commit, empty, everything, finished, note, study, trial_id, view};

/// Merges into a storage of its own.
fn merged(studies: &[&StudyView]) -> (Storage, StudyView) {
    let studies: Vec<StudyView> = studies.iter().map(|view| (*view).clone()).collect();
    let target = empty();
    let merged = merge(&studies).unwrap();
    write(&target, "m", &merged.head, merged.trials().map(Ok), Options::default()).unwrap();
    let view = view(&target, "m");
    assert_eq!(view.trial_count(), merged.len());
    (target, view)
}

fn digest(studies: &[&StudyView]) -> ContentDigest {
    digest_of(&merged(studies).1)
}

fn of(trials: Vec<TrialTemplate>) -> StudyView {
    let storage = empty();
    let trials = trials.into_iter().map(|trial| Ok(Moved::from(trial)));
    write(&storage, "s", &Head::new(vec![Direction::Minimize]), trials, Options::default()).unwrap();
    view(&storage, "s")
}

/// Two machines begin with one log, and go on without a connection.
#[test]
fn studies_that_grew_apart() {
    let (a, b) = (empty(), empty());
    let original = everything(&a, "s");
    copy(&original, &b, "s", Options::default()).unwrap();
    let (on_a, on_b) = (view(&a, "s"), view(&b, "s"));
    let new = |study, start| Op::AddTrial {
        study,
        template: Box::new(TrialTemplate {
            values: vec![0.0, 0.0],
            start: Some(Timestamp(start)),
            end: Some(Timestamp(start + 5)),
            ..TrialTemplate::new(TrialState::Complete)
        }),
    };
    // Trial 1 ran when they parted: it ended here and failed there. Trial 2 was withdrawn there.
    let end = |trial, state, values| Op::FinishTrial { trial, state, values, end: Timestamp(90) };
    commit(&a, vec![new(on_a.id(), 100), end(trial_id(&on_a, 1), FinalState::Complete, vec![4.0, 4.0])]);
    commit(&b, vec![new(on_b.id(), 101), new(on_b.id(), 99), end(trial_id(&on_b, 1), FinalState::Fail, vec![])]);
    commit(&b, vec![Op::VoidTrial { trial: trial_id(&on_b, 2), note: note("bug") }]);
    let (a, b) = (view(&a, "s"), view(&b, "s"));
    let (_keep, both) = merged(&[&a, &b]);
    // Eight were there at first, of which one waits for ever; three came.
    assert_eq!(both.trial_count(), 7 + 3);
    assert_eq!(both.trials().filter(|trial| trial.value(0) == Some(4.0)).count(), 1, "the end that says more");
    assert_eq!(both.voided().count(), 2, "what was withdrawn anywhere is");
    assert!(both.trials().all(|trial| trial.system_attr(ORIGIN).is_some()));
    let starts: Vec<_> = both.trials().map(TrialView::start).collect();
    assert!(starts.is_sorted());
    assert_eq!(digest(&[&a, &b]), digest(&[&b, &a]));
    assert_eq!(digest(&[&both, &b]), digest_of(&both));
    assert_eq!(digest(&[&a, &both, &both]), digest_of(&both));
    let report = merge(&[a, b]).unwrap();
    assert_eq!((report.shared, report.unfinished), (7, 2));
}

#[test]
fn other_objectives_do_not_go_together() {
    let storage = empty();
    study(&storage, "a", &[Direction::Minimize]);
    study(&storage, "b", &[Direction::Maximize]);
    let error = merge(&[view(&storage, "a"), view(&storage, "b")]).unwrap_err();
    assert!(matches!(error, Error::Directions { .. }), "{error}");
    assert_eq!(merge(&[]).unwrap().len(), 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn order_number_and_grouping_do_not_matter(
        shared in prop::collection::vec(finished(), 0..6),
        ours in prop::collection::vec(finished(), 0..6),
        theirs in prop::collection::vec(finished(), 0..6),
        third in prop::collection::vec(finished(), 0..6),
    ) {
        let a = of([shared.clone(), ours].concat());
        let b = of([shared, theirs].concat());
        let c = of(third);
        let (_1, ab) = merged(&[&a, &b]);
        let (_2, bc) = merged(&[&b, &c]);
        prop_assert_eq!(digest_of(&ab), digest(&[&b, &a]));
        prop_assert_eq!(digest_of(&ab), digest(&[&ab, &b]));
        prop_assert_eq!(digest_of(&ab), digest(&[&a, &ab]));
        prop_assert_eq!(digest_of(&ab), digest(&[&ab, &ab]));
        prop_assert_eq!(digest(&[&ab, &c]), digest(&[&a, &bc]));
        prop_assert_eq!(digest(&[&a, &b, &c]), digest(&[&c, &ab]));
    }
}

/// The comparison is not blind: another trial is another merge.
#[test]
fn canary_a_trial_more_shows() {
    let trial = |start| TrialTemplate {
        start: Some(Timestamp(start)),
        end: Some(Timestamp(9)),
        ..TrialTemplate::new(TrialState::Fail)
    };
    let (a, b) = (of(vec![trial(1)]), of(vec![trial(2)]));
    assert_ne!(digest(&[&a]), digest(&[&a, &b]));
    assert_ne!(digest(&[&a]), digest(&[&b]));
}
