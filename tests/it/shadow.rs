//! Pruners on trial: nothing stops, and the log says what would have.

use trialog::pruners::{Decision, Shadow, Threshold};
use trialog::{Storage, Study, TrialNumber, TrialState};

use crate::support::place;

const KEY: &str = "trialog:would_prune";

fn study(path: &str) -> (Storage, Study) {
    let storage = trialog::open(path).unwrap();
    let study = storage.study("s").seed(7).pruner(Shadow::new(Threshold::upper(1.0))).create().unwrap();
    (storage, study)
}

/// What the log keeps of the trial's verdict, as a process reads it that comes later.
fn kept(path: &str, number: TrialNumber) -> Option<serde_json::Value> {
    let view = trialog::open(path).unwrap().study("s").load().unwrap().view().unwrap();
    view.trial(number).unwrap().system_attr(KEY).map(|value| value.to_value().unwrap())
}

#[test]
fn the_first_verdict_is_kept_and_the_trial_goes_on() {
    let (_folder, path) = place();
    let (_storage, study) = study(&path);
    let (mut calm, mut wild) = (study.ask().unwrap(), study.ask().unwrap());
    for (step, value) in [(0, 0.5), (3, 2.0), (4, 3.0)] {
        calm.report(step, 0.5).unwrap();
        wild.report(step, value).unwrap();
        assert!(!calm.should_prune().unwrap() && !wild.should_prune().unwrap());
    }
    let position = study.view().unwrap().position();
    assert_eq!(
        wild.decide().unwrap(),
        Decision::Shadow { reason: "threshold pruner: 3.0, the value at step 4, is above 1.0".to_owned() }
    );
    assert_eq!(study.view().unwrap().position(), position, "only the first verdict is written");
    let reason = "threshold pruner: 2.0, the value at step 3, is above 1.0";
    assert_eq!(kept(&path, wild.number()), Some(serde_json::json!({ "step": 3, "reason": reason })));
    assert_eq!(kept(&path, calm.number()), None);

    // Somebody else ends the trial: asking about it is no error, and writes nothing.
    let other = trialog::open(&path).unwrap().study("s").load().unwrap();
    calm.report(9, 9.0).unwrap();
    other.tell_pruned(&other.resume(calm.number()).unwrap()).unwrap();
    assert!(!calm.should_prune().unwrap());
    assert_eq!(kept(&path, calm.number()), None);
    assert_eq!(study.tell(&wild, 1.0).unwrap().state, TrialState::Complete);
}

#[test]
#[should_panic(expected = "is above 1.0")]
fn canary_a_verdict_is_noticed() {
    let (_folder, path) = place();
    let (_storage, study) = study(&path);
    let mut trial = study.ask().unwrap();
    trial.report(0, 2.0).unwrap();
    trial.decide().unwrap();
    assert_eq!(kept(&path, trial.number()), None);
}
