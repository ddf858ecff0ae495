//! Records that hold every op with every variant of its fields, by name. Golden bytes are made from them.

use trialog_ops::{
    Amendment, Budget, CategoricalDistribution, Choice, ComponentSpec, Direction, Distribution, FinalState,
    FloatDistribution, INT_MAX, IntDistribution, Json, MetricKey, MetricRef, MetricSeries, MetricValue, Note, Op,
    Param, ParamDef, ParamKey, ParamRef, Record, RetryPolicy, SessionId, SessionKey, SessionRef, StudyConfig,
    StudyId, Timestamp, TrialId, TrialState, TrialTemplate, WorkerKey,
};

pub(crate) const NOON: Timestamp = Timestamp(1_767_268_800_000_000);
const NAN_WITH_PAYLOAD: u64 = 0xfff8_0000_dead_beef;

/// Every sample, in the order of the golden file.
pub(crate) fn all() -> Vec<(String, Record)> {
    let mut samples: Vec<(String, Record)> = Vec::new();
    let mut add = |name: &str, record: Record| samples.push((name.to_owned(), record));
    add("record/no_ops", Record { session: key(0), counter: 0, ops: vec![] });
    add("record/new_session", Record { session: new_session(), counter: 1, ops: vec![create_trial(0)] });
    add("record/largest_head", Record { session: key(u32::MAX), counter: u64::MAX, ops: vec![] });
    add(
        "record/three_ops",
        Record { session: key(1), counter: 300, ops: vec![create_trial(1), set_params(&[0]), finish()] },
    );
    for (name, op) in ops() {
        add(&name, Record { session: key(2), counter: 7, ops: vec![op] });
    }
    samples
}

fn ops() -> Vec<(String, Op)> {
    let mut ops: Vec<(String, Op)> = Vec::new();
    let mut add = |name: &str, op: Op| ops.push((name.to_owned(), op));
    let (study, trial) = (StudyId(0), TrialId(7));
    let text = |s: &str| s.to_owned();

    let one = vec![Direction::Minimize];
    add("create_study/plain", Op::CreateStudy { name: text("branin"), directions: one, config: None });
    let two = vec![Direction::Maximize, Direction::Minimize];
    let config = Some(Box::new(config(u64::MAX)));
    add("create_study/config", Op::CreateStudy { name: text("größe 📈"), directions: two, config });
    add("create_study/empty", Op::CreateStudy { name: text(""), directions: vec![], config: None });
    add("delete_study", Op::DeleteStudy { study: StudyId(250) });
    add("set_study_user_attr", Op::SetStudyUserAttr { study, key: text("owner"), value: json("\"ada\"") });
    let nan = json("{\"a\": [1, 2.5, NaN]}");
    add("set_study_system_attr", Op::SetStudySystemAttr { study: StudyId(251), key: text("k"), value: nan });
    let names = vec![text("loss"), text(""), text("größe")];
    add("set_metric_names/three", Op::SetMetricNames { study: StudyId(65_535), names });
    add("set_metric_names/none", Op::SetMetricNames { study: StudyId(65_536), names: vec![] });
    add("set_study_config", Op::SetStudyConfig { study, config: Box::new(self::config(3)) });
    add("create_trial/noon", create_trial(u32::MAX));
    add("create_trial/epoch", Op::CreateTrial { study, start: Timestamp(0) });
    add("create_trial/before_epoch", Op::CreateTrial { study, start: Timestamp(-1) });

    for state in TrialState::ALL {
        let template = Box::new(TrialTemplate::new(state));
        add(&format!("add_trial/empty_{state}"), Op::AddTrial { study, template });
    }
    add("add_trial/full", Op::AddTrial { study, template: Box::new(full_template()) });
    let named =
        || vec![series(MetricRef::Name(text("größe")), &[(0, f64::NAN), (251, -0.0)]), series(metric(4), &[])];
    let template = Box::new(TrialTemplate { metrics: named(), ..full_template() });
    add("add_trial_metrics/full", Op::AddTrial { study, template });
    let template = Box::new(TrialTemplate { metrics: named(), ..TrialTemplate::new(TrialState::Running) });
    add("add_trial_metrics/running", Op::AddTrial { study: StudyId(251), template });
    add("claim_trial", Op::ClaimTrial { trial: TrialId(u64::MAX), start: NOON });
    add("requeue_trial", Op::RequeueTrial { trial: TrialId(1 << 32) });

    add("set_params/keys", set_params(&[0, 1, 249, 250, u32::MAX]));
    add("set_params/none", Op::SetParams { trial, params: vec![] });
    for (name, distribution) in distributions() {
        let def = Box::new(ParamDef { name: text("lr"), distribution });
        let params = vec![Param { param: ParamRef::Def(def), value: 0.0 }];
        add(&format!("set_params/{name}"), Op::SetParams { trial, params });
    }
    let params = vec![ParamKey(0), ParamKey(250), ParamKey(251), ParamKey(u32::MAX)];
    add("retract_params", Op::RetractParams { trial, params });

    let values = [0.1, -0.0, 5e-324, f64::MAX, f64::INFINITY, f64::NEG_INFINITY, f64::from_bits(NAN_WITH_PAYLOAD)];
    for (step, value) in [0, 250, 251, 65_535, 65_536, u64::from(u32::MAX), u64::MAX].into_iter().zip(values) {
        add(&format!("report/{value:?}_at_{step}"), Op::Report { trial, step, value });
    }
    let value = |metric, value| MetricValue { metric, value };
    let values = vec![value(metric(0), 0.5), value(MetricRef::Name(text("acc")), f64::from_bits(NAN_WITH_PAYLOAD))];
    add("report_metrics/key_and_name", Op::ReportMetrics { trial, step: 3, values });
    add("report_metrics/none", Op::ReportMetrics { trial, step: 0, values: vec![] });
    let values = [249, 250, u32::MAX].map(|key| value(metric(key), f64::INFINITY)).to_vec();
    add("report_metrics/wide", Op::ReportMetrics { trial: TrialId(u64::MAX), step: u64::MAX, values });
    add("finish_trial/complete", finish());
    let (values, end) = (vec![f64::INFINITY, -0.0], NOON);
    add("finish_trial/pruned", Op::FinishTrial { trial, state: FinalState::Pruned, values, end });
    add("finish_trial/fail", Op::FinishTrial { trial, state: FinalState::Fail, values: vec![], end });
    add("set_trial_user_attr", Op::SetTrialUserAttr { trial, key: text(""), value: Json::null() });
    let long = json(&format!("\"{}\"", "x".repeat(300)));
    add("set_trial_system_attr/long", Op::SetTrialSystemAttr { trial, key: text("note"), value: long });
    add("set_constraint", Op::SetConstraint { trial, name: text("c0"), value: -0.5 });
    add("set_budget/none", Op::SetBudget { study, budget: Budget::default() });
    let budget = Budget { trials: Some(100), finished: Some(u64::MAX), until: Some(NOON) };
    add("set_budget/all", Op::SetBudget { study: StudyId(251), budget });
    add("set_retry_policy/never", Op::SetRetryPolicy { study, policy: RetryPolicy::default() });
    let policy = RetryPolicy { retries_max: 3, inherit_reports: true };
    add("set_retry_policy/thrice", Op::SetRetryPolicy { study, policy });
    add("renew_lease/a_minute", Op::RenewLease { lease_ms: 60_000 });
    add("renew_lease/none", Op::RenewLease { lease_ms: 0 });
    add("declare_lost", Op::DeclareLost { worker: WorkerKey(3), seen: 70_000, end: NOON });
    let note = |by: &str, reason: &str| Box::new(Note { by: text(by), at: NOON, reason: text(reason) });
    add("void_trial", Op::VoidTrial { trial, note: note("ada", "the disk was full 💾") });
    add("unvoid_trial", Op::UnvoidTrial { trial: TrialId(u64::MAX), note: note("", "") });
    let amendment = Box::new(Amendment::default());
    add("amend_trial/nothing", Op::AmendTrial { trial, amendment, note: note("", "") });
    let amendment = Box::new(Amendment {
        state: Some(FinalState::Pruned),
        values: Some(vec![0.25, f64::INFINITY]),
        user_attrs: vec![(text("a"), Some(json("[1]"))), (text(""), None)],
        constraints: vec![(text("c"), Some(-1.0)), (text("d"), None)],
    });
    add("amend_trial/all", Op::AmendTrial { trial, amendment, note: note("grace", "wrong unit") });
    let amendment = Box::new(Amendment { values: Some(vec![]), ..Amendment::default() });
    add("amend_trial/no_values", Op::AmendTrial { trial, amendment, note: note("", "") });
    add("undo_amendment", Op::UndoAmendment { trial, change: 70_000, note: note("ada", "it was right") });
    add("sampled_at/start", Op::SampledAt { position: 0 });
    add("sampled_at/late", Op::SampledAt { position: 1 << 20 });
    add("skipped/first", Op::Skipped { code: 0x80 });
    add("skipped/last", Op::Skipped { code: 0xff });
    ops
}

pub(crate) fn distributions() -> Vec<(&'static str, Distribution)> {
    let float = |low, high, log, step| {
        Distribution::Float(FloatDistribution::new(low, high, log, step).expect("a valid float range"))
    };
    let int = |low, high, log, step| {
        Distribution::Int(IntDistribution::new(low, high, log, step).expect("a valid int range"))
    };
    let choices = [
        Choice::Null,
        Choice::Bool(false),
        Choice::Bool(true),
        Choice::Int(-INT_MAX),
        Choice::Int(1),
        Choice::Float(1.0),
        Choice::Float(f64::from_bits(NAN_WITH_PAYLOAD)),
        Choice::Float(f64::NEG_INFINITY),
        Choice::from("adam"),
        Choice::from(""),
    ];
    vec![
        ("float", float(-5.0, 10.0, false, None)),
        ("float_log", float(1e-5, 0.1, true, None)),
        ("float_step", float(0.0, 1.0, false, Some(0.3))),
        ("int", int(-3, 64, false, 1)),
        ("int_log", int(1, 1024, true, 1)),
        ("int_step", int(-INT_MAX, INT_MAX, false, 1000)),
        ("categorical", Distribution::Categorical(CategoricalDistribution::new(choices).expect("all different"))),
    ]
}

pub(crate) fn full_template() -> TrialTemplate {
    let attr = |key: &str, value: &str| (key.to_owned(), json(value));
    TrialTemplate {
        state: TrialState::Complete,
        values: vec![1.5, f64::NEG_INFINITY],
        start: Some(NOON),
        end: Some(Timestamp(NOON.0 + 1)),
        params: vec![keyed(4, 0.25)],
        reports: vec![(0, f64::NAN), (1, 0.5)],
        metrics: vec![],
        user_attrs: vec![attr("a", "1"), attr("b", "[]")],
        system_attrs: vec![attr("fixed_params", "{\"x\": 1}")],
        constraints: vec![("c".to_owned(), -1.0), ("d".to_owned(), f64::INFINITY)],
    }
}

fn metric(key: u32) -> MetricRef {
    MetricRef::Key(MetricKey(key))
}

fn series(metric: MetricRef, reports: &[(u64, f64)]) -> MetricSeries {
    MetricSeries { metric, reports: reports.to_vec() }
}

pub(crate) fn config(seed: u64) -> StudyConfig {
    let spec = |name: &str, version, options: &str| ComponentSpec {
        name: name.to_owned(),
        version,
        options: json(options),
    };
    StudyConfig { sampler: spec("tpe", 1, "{\"n_startup\": 10}"), pruner: spec("hyperband", 300, "{}"), seed }
}

pub(crate) fn json(text: &str) -> Json {
    Json::parse(text).expect("valid JSON")
}

pub(crate) fn key(key: u32) -> SessionRef {
    SessionRef::Key(SessionKey(key))
}

fn new_session() -> SessionRef {
    SessionRef::Id(SessionId(*b"\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f"))
}

pub(crate) fn keyed(key: u32, value: f64) -> Param {
    Param { param: ParamRef::Key(ParamKey(key)), value }
}

pub(crate) fn create_trial(study: u32) -> Op {
    Op::CreateTrial { study: StudyId(study), start: NOON }
}

pub(crate) fn set_params(keys: &[u32]) -> Op {
    let params = keys.iter().enumerate().map(|(i, key)| keyed(*key, 0.1 + i as f64)).collect();
    Op::SetParams { trial: TrialId(7), params }
}

pub(crate) fn finish() -> Op {
    Op::FinishTrial { trial: TrialId(7), state: FinalState::Complete, values: vec![0.397_887], end: NOON }
}
