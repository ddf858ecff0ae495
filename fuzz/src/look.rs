//! Looks at everything that a state shows. No method may panic, whatever was applied.

use trialog_ops::{StudyId, TrialId, TrialNumber, TrialState};
use trialog_replay::{Digest, Over, State, StudyView, TrialView};

/// How many trials are looked at closely, from either end.
const CLOSELY: usize = 32;

/// Looks at all of the state, and returns its digest.
pub(crate) fn at(state: &State) -> Digest {
    for view in state.studies() {
        assert_eq!(state.study_id(view.name()), Some(view.id()), "a living study is found by its name");
        assert_eq!(view.position(), state.records());
        study(&view);
    }
    assert!(state.view(StudyId(u32::MAX)).is_none());
    assert!(state.trial(TrialId(u64::MAX)).is_none());
    state.digest()
}

fn study(view: &StudyView) {
    let counts: usize = TrialState::ALL.iter().map(|state| view.count(*state)).sum();
    assert_eq!(counts, view.trial_count(), "every trial is in one state");
    assert_eq!(view.running().count(), view.count(TrialState::Running));
    assert_eq!(view.waiting().count(), view.count(TrialState::Waiting));
    assert!(view.best().count() <= view.count(TrialState::Complete));
    assert!(view.pareto_front().all(|trial| trial.state() == TrialState::Complete && trial.is_feasible()));
    assert!(view.voided().count() <= view.changed().count());
    assert!(view.metric_names().is_none_or(|names| names.len() == view.directions().len()));
    assert!(view.user_attrs().all(|(key, value)| view.user_attr(key) == Some(value)));
    view.system_attrs().for_each(drop);
    for over in [Over::Complete, Over::CompleteAndPruned] {
        assert_eq!(view.joint_space(over).count(), view.joint_params(over).count());
    }
    series(view, None);
    view.reported_metrics().take(CLOSELY).for_each(|metric| series(view, Some(metric)));
    series(view, Some("nobody reported it"));
    for column in view.params() {
        assert!(view.param(column.name()).is_some());
        assert_eq!(column.first().1.name, column.name());
        std::hint::black_box(column.values().get(view.trial_count()));
    }
    assert!(view.trial(TrialNumber(u32::MAX)).is_none());
    let last = view.trial_count().saturating_sub(CLOSELY);
    let close = view.trials().enumerate().filter(|(index, _)| *index < CLOSELY || *index >= last);
    close.for_each(|(_, it)| trial(view, it));
    std::hint::black_box(view.digest());
}

fn series(view: &StudyView, metric: Option<&str>) {
    let series = view.series(metric);
    for step in [0, 1, 7, u64::MAX - 1, u64::MAX].into_iter().chain(series.last_complete_step()) {
        if let Some(list) = series.complete_at(step) {
            assert!(list.count_less(0.5) + list.count_greater(0.5) <= list.len());
            assert_eq!(list.iter().count(), list.len());
            for q in [0.0, 0.3, 1.0, f64::NAN] {
                std::hint::black_box(list.quantile(q));
            }
        }
    }
}

fn trial(view: &StudyView, trial: TrialView<'_>) {
    assert_eq!(trial.values().count(), if trial.value(0).is_some() { view.directions().len() } else { 0 });
    assert!(trial.voided().is_none() || trial.state() == TrialState::Fail);
    assert!(
        trial.amendments().len() <= trial.changes().len()
            && trial.told_state().is_finished() >= trial.state().is_finished()
    );
    std::hint::black_box((trial.id(), trial.start(), trial.end(), trial.violation()));
    for (name, distribution, value) in trial.params() {
        assert!(!value.is_nan() && trial.param(name).is_some());
        assert!(trial.param_key(name).is_some() && trial.param_value(name).is_some());
        std::hint::black_box((
            distribution.contains(value),
            distribution.to_external(value),
            distribution.is_single(),
        ));
    }
    assert!(trial.reports().is_sorted_by(|(a, _), (b, _)| a < b), "reports lie by rising step");
    for (name, reports) in trial.metrics() {
        assert!(!reports.is_empty() && reports.is_sorted_by(|(a, _), (b, _)| a < b), "reports lie by rising step");
        assert!(view.reported_metrics().any(|known| known == name));
    }
    assert!(trial.user_attrs().all(|(key, value)| trial.user_attr(key) == Some(value)));
    assert!(trial.system_attrs().all(|(key, value)| trial.system_attr(key) == Some(value)));
    assert_eq!(trial.is_feasible(), trial.constraints().all(|(_, value)| value <= 0.0));
}
