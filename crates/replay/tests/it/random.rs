//! Random logs over a small universe of ids, some of them invalid: replay is total and the same everywhere,
//! rejected ops change nothing, views stand still, and the indices say what the trials say.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use trialog_ops::*;
use trialog_replay::{Digest, State, StudyView, Verdict};

use crate::golden::LOG;
use crate::naive::{Bug, Derived, Probe};
use crate::table::{ops as ops_of, study_words, trial_words};

const STEPS: [u64; 14] =
    [0, 1, 2, 3, 4, 7, 1023, 1024, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 1 << 40, u64::MAX - 1, u64::MAX];

const VALUES: [f64; 9] = [0.0, -0.0, 1.0, 2.0, -1.5, f64::INFINITY, f64::NEG_INFINITY, f64::NAN, 5e-324];

fn value() -> impl Strategy<Value = f64> {
    // Mostly small numbers, so that ties are common.
    prop_oneof![4 => (0..4i32).prop_map(f64::from), 2 => prop::sample::select(&VALUES[..])]
}

fn step() -> impl Strategy<Value = u64> {
    prop_oneof![3 => 0..6u64, 2 => prop::sample::select(&STEPS[..])]
}

fn study() -> impl Strategy<Value = StudyId> {
    prop_oneof![8 => Just(0), 4 => Just(1), 1 => 2..4u32, 1 => Just(u32::MAX)].prop_map(StudyId)
}

fn trial() -> impl Strategy<Value = TrialId> {
    prop_oneof![12 => 0..12u64, 1 => Just(u64::MAX)].prop_map(TrialId)
}

fn time() -> impl Strategy<Value = Timestamp> {
    prop_oneof![9 => 0..100i64, 1 => any::<i64>()].prop_map(Timestamp)
}

fn text() -> impl Strategy<Value = String> {
    prop::sample::select(&["a", "b", ""][..]).prop_map(str::to_owned)
}

fn json() -> impl Strategy<Value = Json> {
    prop::sample::select(&["1", "null", "[NaN]"][..]).prop_map(|text| Json::parse(text).unwrap())
}

fn direction() -> impl Strategy<Value = Direction> {
    prop::sample::select(&[Direction::Minimize, Direction::Maximize][..])
}

/// Most definitions of a name are compatible.
fn defs() -> Vec<ParamDef> {
    let def = |name: &str, distribution: &Distribution| {
        let name = name.to_owned();
        ParamDef { name, distribution: distribution.clone() }
    };
    let narrow = Distribution::float(0.0, 1.0).unwrap();
    let wide = Distribution::float(0.0, 2.0).unwrap();
    let log = Distribution::Float(FloatDistribution::new(1.0, 2.0, true, None).unwrap());
    let int = Distribution::int(0, 3).unwrap();
    let choice = Distribution::categorical(["u", "v"]).unwrap();
    vec![
        def("x", &narrow),
        def("x", &wide),
        def("x", &log),
        def("y", &narrow),
        def("y", &wide),
        def("i", &int),
        def("c", &choice),
        def("c", &int),
    ]
}

fn param_ref() -> impl Strategy<Value = ParamRef> {
    let def = prop::sample::select(defs()).prop_map(|def| ParamRef::Def(Box::new(def)));
    prop_oneof![2 => def, 1 => (0..9u32).prop_map(|key| ParamRef::Key(ParamKey(key)))]
}

fn metric() -> impl Strategy<Value = MetricRef> {
    let name = prop::sample::select(&["acc", "b", "", "f1"][..]).prop_map(|name| MetricRef::Name(name.to_owned()));
    prop_oneof![3 => name, 1 => (0..4u32).prop_map(|key| MetricRef::Key(MetricKey(key)))]
}

fn param() -> impl Strategy<Value = Param> {
    let value = prop_oneof![8 => Just(1.0), 1 => value()];
    (param_ref(), value).prop_map(|(param, value)| Param { param, value })
}

fn few<T: std::fmt::Debug>(one: impl Strategy<Value = T>) -> impl Strategy<Value = Vec<T>> {
    prop::collection::vec(one, 0..3)
}

fn values() -> impl Strategy<Value = Vec<f64>> {
    prop_oneof![4 => prop::collection::vec(value(), 1), 2 => prop::collection::vec(value(), 2), 1 => few(value())]
}

fn config() -> impl Strategy<Value = Box<StudyConfig>> {
    any::<u64>().prop_map(|seed| {
        let spec = ComponentSpec { name: "random".into(), version: 1, options: Json::null() };
        Box::new(StudyConfig { sampler: spec.clone(), pruner: spec, seed })
    })
}

fn template() -> impl Strategy<Value = Box<TrialTemplate>> {
    let reports = prop::collection::btree_map(step(), value(), 0..4);
    let times = (prop::option::of(time()), prop::bool::weighted(0.9), time());
    let attrs = || few((text(), json()));
    let series = (metric(), prop::collection::btree_map(step(), value(), 0..4));
    let series =
        series.prop_map(|(metric, reports)| MetricSeries { metric, reports: reports.into_iter().collect() });
    let reported = (reports, prop_oneof![2 => Just(Vec::new()), 1 => few(series)]);
    let whole = (values(), times, few(param()), reported, attrs(), attrs(), few((text(), value())));
    (prop::sample::select(&TrialState::ALL[..]), whole).prop_map(|(state, whole)| {
        let (values, (start, coherent, end), params, (reports, metrics), user_attrs, system_attrs, constraints) =
            whole;
        Box::new(TrialTemplate {
            state,
            values: if state.is_finished() || !coherent { values } else { Vec::new() },
            start,
            end: (state.is_finished() == coherent).then_some(end),
            params,
            reports: reports.into_iter().collect(),
            metrics,
            user_attrs,
            system_attrs,
            constraints,
        })
    })
}

fn op() -> impl Strategy<Value = Op> {
    let states = prop::sample::select(&[FinalState::Complete, FinalState::Pruned, FinalState::Fail][..]);
    prop_oneof![
        1 => (text(), few(direction()), prop::option::of(config()))
            .prop_map(|(name, directions, config)| Op::CreateStudy { name, directions, config }),
        1 => (prop::bool::weighted(0.1), study())
            .prop_map(|(any, study)| Op::DeleteStudy { study: if any { study } else { StudyId(3) } }),
        1 => (study(), text(), json()).prop_map(|(study, key, value)| Op::SetStudyUserAttr { study, key, value }),
        1 => (study(), text(), json())
            .prop_map(|(study, key, value)| Op::SetStudySystemAttr { study, key, value }),
        1 => (study(), few(text())).prop_map(|(study, names)| Op::SetMetricNames { study, names }),
        1 => (study(), config()).prop_map(|(study, config)| Op::SetStudyConfig { study, config }),
        6 => (study(), time()).prop_map(|(study, start)| Op::CreateTrial { study, start }),
        6 => (study(), template()).prop_map(|(study, template)| Op::AddTrial { study, template }),
        3 => (trial(), time()).prop_map(|(trial, start)| Op::ClaimTrial { trial, start }),
        2 => trial().prop_map(|trial| Op::RequeueTrial { trial }),
        8 => (trial(), few(param())).prop_map(|(trial, params)| Op::SetParams { trial, params }),
        3 => (trial(), few((0..6u32).prop_map(ParamKey)))
            .prop_map(|(trial, params)| Op::RetractParams { trial, params }),
        16 => (trial(), step(), value()).prop_map(|(trial, step, value)| Op::Report { trial, step, value }),
        12 => (trial(), step(), few((metric(), value()))).prop_map(|(trial, step, values)| {
            let values = values.into_iter().map(|(metric, value)| MetricValue { metric, value }).collect();
            Op::ReportMetrics { trial, step, values }
        }),
        8 => (trial(), states, values(), time())
            .prop_map(|(trial, state, values, end)| Op::FinishTrial { trial, state, values, end }),
        1 => (trial(), text(), json()).prop_map(|(trial, key, value)| Op::SetTrialUserAttr { trial, key, value }),
        1 => (trial(), text(), json())
            .prop_map(|(trial, key, value)| Op::SetTrialSystemAttr { trial, key, value }),
        3 => (trial(), text(), value()).prop_map(|(trial, name, value)| Op::SetConstraint { trial, name, value }),
        1 => (study(), prop::option::of(0..12u64), prop::option::of(0..6u64), prop::option::of(time()))
            .prop_map(|(study, trials, finished, until)| {
                // The limits come and go, or little would happen.
                let trials = trials.filter(|max| max % 3 == 0);
                Op::SetBudget { study, budget: Budget { trials, finished, until: until.filter(|t| t.0 > 50) } }
            }),
        1 => (study(), (0..4u32, any::<bool>())).prop_map(|(study, (retries_max, inherit_reports))| {
            let retries_max = if retries_max == 3 { 101 } else { retries_max };
            Op::SetRetryPolicy { study, policy: RetryPolicy { retries_max, inherit_reports } }
        }),
        2 => (0..3u64).prop_map(|lease_ms| Op::RenewLease { lease_ms }),
        4 => (0..4u32, 0..120u64, time())
            .prop_map(|(worker, seen, end)| Op::DeclareLost { worker: WorkerKey(worker), seen, end }),
        6 => (trial(), note()).prop_map(|(trial, note)| Op::VoidTrial { trial, note }),
        4 => (trial(), note()).prop_map(|(trial, note)| Op::UnvoidTrial { trial, note }),
        6 => (trial(), amendment(), note())
            .prop_map(|(trial, amendment, note)| Op::AmendTrial { trial, amendment, note }),
        4 => (trial(), 0..4u32, note()).prop_map(|(trial, change, note)| Op::UndoAmendment { trial, change, note }),
        1 => any::<u8>().prop_map(|code| Op::Skipped { code }),
    ]
}

fn note() -> impl Strategy<Value = Box<Note>> {
    (text(), time(), text()).prop_map(|(by, at, reason)| Box::new(Note { by, at, reason }))
}

fn amendment() -> impl Strategy<Value = Box<Amendment>> {
    let states = prop::sample::select(&[FinalState::Complete, FinalState::Pruned, FinalState::Fail][..]);
    let attrs = few((text(), prop::option::of(json())));
    let constraints = few((text(), prop::option::of(value())));
    let whole = (prop::option::of(states), prop::option::of(values()), attrs, constraints);
    whole.prop_map(|(state, values, user_attrs, constraints)| {
        Box::new(Amendment { state, values, user_attrs, constraints })
    })
}

/// A log's ops: two studies, one of them with two objectives, and whatever happens then.
pub(crate) fn ops() -> impl Strategy<Value = Vec<Op>> {
    let study = |name: &str, directions: &[Direction]| Op::CreateStudy {
        name: name.into(),
        directions: directions.into(),
        config: None,
    };
    let start = move |way| vec![study("one", &[way]), study("two", &[Direction::Minimize, Direction::Maximize])];
    (direction(), prop::collection::vec(op(), 0..80)).prop_map(move |(way, ops)| [start(way), ops].concat())
}

fn session() -> impl Strategy<Value = SessionRef> {
    prop_oneof![
        4 => (0..3u8).prop_map(|byte| SessionRef::Id(SessionId([byte; 16]))),
        2 => prop_oneof![0..4u32, Just(u32::MAX)].prop_map(|key| SessionRef::Key(SessionKey(key))),
    ]
}

pub(crate) fn records() -> impl Strategy<Value = Vec<Record>> {
    let counter = prop_oneof![8 => 0..40u64, 1 => Just(u64::MAX)];
    let record = (session(), counter, prop::collection::vec(op(), 0..5))
        .prop_map(|(session, counter, ops)| Record { session, counter, ops });
    prop::collection::vec(record, 0..40)
}

pub(crate) fn probes() -> impl Strategy<Value = Vec<Probe>> {
    prop::collection::vec(step(), 1..12)
}

/// A record of its own for an op. A declaration comes from another worker, and sees what there is.
pub(crate) fn single(op: &Op, counter: u64) -> Record {
    let mut op = op.clone();
    let mut author = 7;
    if let Op::DeclareLost { worker, seen, .. } = &mut op
        && seen.is_multiple_of(4)
    {
        (author, *worker, *seen) = (8, WorkerKey(0), counter.saturating_sub(1));
    }
    Record { session: SessionRef::Id(SessionId([author; 16])), counter, ops: vec![op] }
}

pub(crate) fn fold(ops: &[Op]) -> State {
    let mut state = State::new();
    for (op, counter) in ops.iter().zip(0..) {
        state.apply(&single(op, counter), &mut Vec::new());
    }
    state
}

/// What the log says apart from who wrote it and in how many records.
#[derive(Debug, PartialEq)]
struct Content {
    studies: Vec<Option<Digest>>,
    trials: Vec<Option<(StudyId, TrialNumber)>>,
    keys: Vec<Option<ParamKey>>,
    metrics: Vec<Option<std::sync::Arc<str>>>,
    /// Leases, owners, and who may still come back: what records by whom and when does not change.
    leases: Vec<u64>,
    owners: Vec<(Option<WorkerKey>, bool)>,
}

fn content(state: &State) -> Content {
    Content {
        studies: (0..6).map(|id| state.view(StudyId(id)).map(|view| view.digest())).collect(),
        trials: (0..100).map(|id| state.trial(TrialId(id))).collect(),
        keys: defs().iter().map(|def| state.param_key(def)).collect(),
        metrics: (0..9).map(|key| state.metric(MetricKey(key)).cloned()).collect(),
        leases: (0..9).map(|key| state.worker(WorkerKey(key)).map_or(0, |worker| worker.lease_ms)).collect(),
        owners: (0..100).map(|id| (state.owner(TrialId(id)), state.is_lost(TrialId(id)))).collect(),
    }
}

pub(crate) fn dump(view: &StudyView) -> (String, Digest, u64) {
    let lines: Vec<String> = view.trials().map(trial_words).collect();
    (format!("{}\n{}", study_words(view), lines.join("\n")), view.digest(), view.position())
}

proptest! {
    #[test]
    fn equal_records_give_equal_digests_at_every_position(records in records()) {
        let (mut a, mut b) = (State::new(), State::default());
        for (record, position) in records.iter().zip(1..) {
            let (mut of_a, mut of_b) = (Vec::new(), Vec::new());
            a.apply(record, &mut of_a);
            b.apply(record, &mut of_b);
            prop_assert_eq!(of_a.len(), record.ops.len());
            prop_assert_eq!(of_a, of_b);
            prop_assert_eq!(a.digest(), b.digest());
            prop_assert_eq!(a.records(), position);
        }
    }

    #[test]
    fn a_repeated_record_changes_nothing(records in records()) {
        let mut state = State::new();
        for record in &records {
            state.apply(record, &mut Vec::new());
            let before = content(&state);
            let mut verdicts = Vec::new();
            state.apply(record, &mut verdicts);
            prop_assert_eq!(before, content(&state));
            let unknown = |v: &Verdict| v.rejection() == Some(&trialog_replay::Reason::NoSession);
            prop_assert!(verdicts.iter().all(|v| *v == Verdict::Repeated || unknown(v)));
        }
    }

    #[test]
    fn a_rejected_op_changes_nothing(ops in ops()) {
        let mut state = State::new();
        for (op, counter) in ops.iter().zip(0..) {
            let before = content(&state);
            let mut verdicts = Vec::new();
            state.apply(&single(op, counter), &mut verdicts);
            if matches!(verdicts[0], Verdict::Rejected(_) | Verdict::Skipped) {
                prop_assert_eq!(before, content(&state), "{:?}", verdicts[0]);
            }
        }
    }

    #[test]
    fn how_ops_are_gathered_into_records_does_not_matter(ops in ops(), cuts in prop::collection::vec(1..9usize, 90)) {
        // Whether somebody has made progress depends on records.
        let ops: Vec<Op> = ops.into_iter().filter(|op| !matches!(op, Op::DeclareLost { .. })).collect();
        let single = fold(&ops);
        let mut gathered = State::new();
        let (mut rest, mut counter) = (ops.as_slice(), 0);
        while !rest.is_empty() {
            let (now, later) = rest.split_at(cuts[counter].min(rest.len()));
            let session = SessionRef::Id(SessionId([1; 16]));
            gathered.apply(&Record { session, counter: counter as u64, ops: now.to_vec() }, &mut Vec::new());
            (rest, counter) = (later, counter + 1);
        }
        prop_assert_eq!(content(&single), content(&gathered));
    }

    #[test]
    fn a_view_stands_still(ops in ops(), at in 0..80usize) {
        let (before, after) = ops.split_at(at.min(ops.len()));
        let mut state = fold(before);
        let views: Vec<StudyView> = state.studies().collect();
        let dumps: Vec<_> = views.iter().map(dump).collect();
        for (op, counter) in after.iter().zip(1000..) {
            state.apply(&single(op, counter), &mut Vec::new());
            // Taken and dropped again, so that some writes find a shared state and some do not.
            let _ = state.studies().next();
        }
        prop_assert_eq!(dumps, views.iter().map(dump).collect::<Vec<_>>());
    }

    #[test]
    fn held_views_do_not_change_what_is_applied(ops in ops()) {
        let alone = fold(&ops);
        let (mut state, mut held) = (State::new(), Vec::new());
        for (op, counter) in ops.iter().zip(0..) {
            state.apply(&single(op, counter), &mut Vec::new());
            held.extend(state.studies());
        }
        prop_assert_eq!(alone.digest(), state.digest());
    }

    #[test]
    fn indices_say_what_the_trials_say(ops in ops(), probes in probes()) {
        for view in fold(&ops).studies() {
            prop_assert_eq!(Derived::kept(&view, &probes), Derived::naive(&view, &probes, Bug::None));
        }
    }
}

/// Each planted bug is noticed by the comparison on some random log, and without one nothing is.
#[test]
fn canary_planted_bugs_are_noticed() {
    for bug in Bug::PLANTED {
        let runner = &mut TestRunner::new_with_rng(
            Config { cases: 2000, failure_persistence: None, ..Config::default() },
            proptest::test_runner::TestRng::deterministic_rng(proptest::test_runner::RngAlgorithm::ChaCha),
        );
        let outcome = runner.run(&(ops(), probes()), |(ops, probes)| {
            for view in fold(&ops).studies() {
                prop_assert_eq!(Derived::kept(&view, &probes), Derived::naive(&view, &probes, bug));
            }
            Ok(())
        });
        assert!(outcome.is_err(), "the comparison is blind to {bug:?}");
    }
}

/// What the tests above compare is not blind to any kind of op: whatever takes effect shows.
#[test]
fn canary_whatever_takes_effect_shows() {
    let mut state = State::new();
    for (op, counter) in ops_of(LOG).iter().zip(0..) {
        let before = content(&state);
        let mut verdicts = Vec::new();
        state.apply(&single(op, counter), &mut verdicts);
        let changed = before != content(&state);
        assert_eq!(
            changed,
            !matches!(verdicts[0], Verdict::Rejected(_) | Verdict::Skipped),
            "{op:?}: {verdicts:?}"
        );
    }
}
