//! What a view keeps at hand, computed again from the trials by the plainest means: the oracle of the indices.

use trialog_ops::{Distribution, TrialState};
use trialog_replay::{BEST_KEPT, Over, StudyView, TrialView};

/// Mistakes that a comparison must notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bug {
    None,
    InfeasibleIsBest,
    LaterTieFirst,
    PrunedIsComplete,
    NanIsCounted,
    RunningForgotten,
    WithdrawnHasBegun,
    MetricsOfOthers,
}

impl Bug {
    pub(crate) const PLANTED: [Bug; 7] = [
        Bug::InfeasibleIsBest,
        Bug::LaterTieFirst,
        Bug::PrunedIsComplete,
        Bug::NanIsCounted,
        Bug::RunningForgotten,
        Bug::WithdrawnHasBegun,
        Bug::MetricsOfOthers,
    ];
}

/// A step that is asked about.
pub(crate) type Probe = u64;

/// Everything that follows from the trials.
#[derive(Debug, PartialEq)]
pub(crate) struct Derived {
    counts: [usize; 5],
    begun: usize,
    running: Vec<u32>,
    waiting: Vec<u32>,
    best: Vec<u32>,
    front: Vec<u32>,
    joint_complete: Vec<(String, Distribution)>,
    joint_both: Vec<(String, Distribution)>,
    /// Of the reports without a name, and of each metric by name.
    series: Vec<(Option<String>, OfSeries)>,
}

/// What follows from one kind of reports.
#[derive(Debug, PartialEq)]
struct OfSeries {
    last_complete_step: Option<u64>,
    /// Bits of the values of complete trials at each probe's step.
    complete_at: Vec<Vec<u64>>,
}

fn number(trial: TrialView<'_>) -> u32 {
    trial.number().0
}

fn bits(values: impl IntoIterator<Item = f64>) -> Vec<u64> {
    values.into_iter().map(f64::to_bits).collect()
}

impl Derived {
    /// As the view answers.
    pub(crate) fn kept(view: &StudyView, probes: &[Probe]) -> Derived {
        let space = |over| view.joint_space(over).map(|(name, d)| (name.to_owned(), d.clone())).collect();
        Derived {
            counts: TrialState::ALL.map(|state| view.count(state)),
            begun: view.begun(),
            running: view.running().map(number).collect(),
            waiting: view.waiting().map(number).collect(),
            best: view.best().map(number).collect(),
            front: view.pareto_front().map(number).collect(),
            joint_complete: space(Over::Complete),
            joint_both: space(Over::CompleteAndPruned),
            series: series_of(view)
                .map(|metric| {
                    let series = view.series(metric.as_deref());
                    let complete_at =
                        |&step: &Probe| series.complete_at(step).map_or(Vec::new(), |list| bits(list.iter()));
                    let of = OfSeries {
                        last_complete_step: series.last_complete_step(),
                        complete_at: probes.iter().map(complete_at).collect(),
                    };
                    (metric, of)
                })
                .collect(),
        }
    }

    /// As the trials have it, but for a planted bug.
    pub(crate) fn naive(view: &StudyView, probes: &[Probe], bug: Bug) -> Derived {
        let trials: Vec<TrialView<'_>> = view.trials().collect();
        let in_state = |state| trials.iter().copied().filter(move |trial| trial.state() == state);
        let numbers_in = |state| in_state(state).map(number).collect::<Vec<u32>>();
        let ranked: Vec<TrialView<'_>> = in_state(TrialState::Complete)
            .filter(|trial| trial.constraints().all(|(_, value)| value <= 0.0) || bug == Bug::InfeasibleIsBest)
            .collect();
        let mut running = numbers_in(TrialState::Running);
        if bug == Bug::RunningForgotten {
            running.pop();
        }
        let both = |trial: &&TrialView<'_>| matches!(trial.state(), TrialState::Complete | TrialState::Pruned);
        let joint_both = shared(trials.iter().filter(both).copied());
        let joint_complete = shared(in_state(TrialState::Complete));
        Derived {
            counts: TrialState::ALL.map(|state| in_state(state).count()),
            begun: trials.iter().filter(|trial| has_begun(trial) || bug == Bug::WithdrawnHasBegun).count(),
            running,
            waiting: numbers_in(TrialState::Waiting),
            best: best(view, &ranked, bug),
            front: front(view, &ranked),
            joint_complete: if bug == Bug::PrunedIsComplete { joint_both.clone() } else { joint_complete },
            joint_both,
            series: series_of(view)
                .map(|metric| {
                    let complete = || in_state(TrialState::Complete).flat_map(|trial| told(trial, &metric, bug));
                    let complete_at = |&step: &Probe| {
                        let at_step = complete()
                            .filter(|&&(s, value)| s == step && (!value.is_nan() || bug == Bug::NanIsCounted));
                        let mut values: Vec<f64> = at_step.map(|&(_, value)| value).collect();
                        values.sort_by(f64::total_cmp);
                        bits(values)
                    };
                    let of = OfSeries {
                        last_complete_step: complete().map(|&(step, _)| step).max(),
                        complete_at: probes.iter().map(complete_at).collect(),
                    };
                    (metric, of)
                })
                .collect(),
        }
    }
}

/// A trial that waits has not, and neither has one that failed without a beginning.
fn has_begun(trial: &TrialView<'_>) -> bool {
    match trial.state() {
        TrialState::Waiting => false,
        TrialState::Fail => trial.start().is_some(),
        TrialState::Running | TrialState::Complete | TrialState::Pruned => true,
    }
}

fn shared<'a>(mut trials: impl Iterator<Item = TrialView<'a>>) -> Vec<(String, Distribution)> {
    let Some(first) = trials.next() else { return Vec::new() };
    let mut space: Vec<(String, Distribution)> =
        first.params().map(|(name, distribution, _)| (name.to_owned(), distribution.clone())).collect();
    for trial in trials {
        space.retain(|(name, distribution)| trial.params().any(|(n, d, _)| n == name && d == distribution));
    }
    space
}

fn best(view: &StudyView, ranked: &[TrialView<'_>], bug: Bug) -> Vec<u32> {
    let [direction] = view.directions() else { return Vec::new() };
    let mut ranked = ranked.to_vec();
    if bug == Bug::LaterTieFirst {
        ranked.reverse();
    }
    let loss = |trial: &TrialView<'_>| direction.loss(trial.value(0).expect("complete"));
    ranked.sort_by(|a, b| loss(a).partial_cmp(&loss(b)).expect("no NaN"));
    ranked.into_iter().map(number).take(BEST_KEPT).collect()
}

fn front(view: &StudyView, ranked: &[TrialView<'_>]) -> Vec<u32> {
    let dominates = |a: &TrialView<'_>, b: &TrialView<'_>| {
        let better = |a: &TrialView<'_>, b: &TrialView<'_>, objective: usize| {
            view.directions()[objective].is_better(a.value(objective).unwrap(), b.value(objective).unwrap())
        };
        let objectives = 0..view.directions().len();
        !objectives.clone().any(|i| better(b, a, i)) && objectives.clone().any(|i| better(a, b, i))
    };
    let on_front = ranked.iter().filter(|trial| !ranked.iter().any(|other| dominates(other, trial)));
    // With one objective, the ties among those that are kept.
    let kept = if view.directions().len() == 1 { BEST_KEPT } else { usize::MAX };
    on_front.map(|trial| number(*trial)).take(kept).collect()
}

/// The reports without a name, and the metrics that any trial reported; where one has the name of the only objective,
/// the name means the former.
fn series_of(view: &StudyView) -> impl Iterator<Item = Option<String>> {
    let mut names: Vec<String> =
        view.trials().flat_map(|trial| trial.told_metrics().map(|(name, _)| name.to_owned())).collect();
    names.sort();
    names.dedup();
    assert!(names.iter().eq(view.reported_metrics()), "the metrics of a study are those of its trials");
    let taken = view.metric_names().filter(|names| names.len() == 1).map(|names| names[0].clone());
    names.retain(|name| Some(name) != taken.as_ref());
    std::iter::once(None).chain(names.into_iter().map(Some))
}

fn told<'a>(trial: TrialView<'a>, metric: &Option<String>, bug: Bug) -> &'a [(u64, f64)] {
    let mut metrics = trial.told_metrics();
    match metric {
        None => trial.told_reports(),
        Some(_) if bug == Bug::MetricsOfOthers => metrics.last().map_or(&[], |(_, reports)| reports),
        Some(name) => metrics.find(|(other, _)| other == name).map_or(&[], |(_, reports)| reports),
    }
}
