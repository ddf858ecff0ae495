//! The op table: every code with its name and fields, and what a reader does with a code that is not in it.

use trialog_ops::Op;

/// Codes from here on may be skipped by readers that do not know them; below, such readers must stop.
pub const SKIPPABLE: u8 = 0x80;

pub(crate) mod code {
    pub(crate) const CREATE_STUDY: u8 = 0x01;
    pub(crate) const DELETE_STUDY: u8 = 0x02;
    pub(crate) const SET_STUDY_USER_ATTR: u8 = 0x03;
    pub(crate) const SET_STUDY_SYSTEM_ATTR: u8 = 0x04;
    pub(crate) const SET_METRIC_NAMES: u8 = 0x05;
    pub(crate) const SET_STUDY_CONFIG: u8 = 0x06;
    pub(crate) const CREATE_TRIAL: u8 = 0x07;
    pub(crate) const ADD_TRIAL: u8 = 0x08;
    pub(crate) const CLAIM_TRIAL: u8 = 0x09;
    pub(crate) const REQUEUE_TRIAL: u8 = 0x0a;
    pub(crate) const SET_PARAMS: u8 = 0x0b;
    pub(crate) const RETRACT_PARAMS: u8 = 0x0c;
    pub(crate) const REPORT: u8 = 0x0d;
    pub(crate) const FINISH_TRIAL: u8 = 0x0e;
    pub(crate) const SET_TRIAL_USER_ATTR: u8 = 0x0f;
    pub(crate) const SET_TRIAL_SYSTEM_ATTR: u8 = 0x10;
    pub(crate) const SET_CONSTRAINT: u8 = 0x11;
    pub(crate) const SET_BUDGET: u8 = 0x12;
    pub(crate) const SET_RETRY_POLICY: u8 = 0x13;
    pub(crate) const RENEW_LEASE: u8 = 0x14;
    pub(crate) const DECLARE_LOST: u8 = 0x15;
    // A reader that passed over one of these would show another best trial than everybody else: below 0x80, all of them.
    pub(crate) const VOID_TRIAL: u8 = 0x16;
    pub(crate) const UNVOID_TRIAL: u8 = 0x17;
    pub(crate) const AMEND_TRIAL: u8 = 0x18;
    pub(crate) const UNDO_AMENDMENT: u8 = 0x19;
    // Pruners read them, and so they are no more to be passed over than plain reports are.
    pub(crate) const REPORT_METRICS: u8 = 0x1a;
    pub(crate) const ADD_TRIAL_METRICS: u8 = 0x1b;
    // Of no consequence for what anybody sees; 0x80 stays free, since golden records use it as a code that nobody knows.
    pub(crate) const SAMPLED_AT: u8 = 0x81;
}

/// One op of the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OpSpec {
    /// Its code. Given once and never used for anything else.
    pub code: u8,
    /// Its name.
    pub name: &'static str,
    /// Its fields in the order of the bytes, `name: type`, with the types of `docs/format-records.md`.
    pub fields: &'static [&'static str],
}

impl OpSpec {
    /// True if a reader that does not know the op skips it; false if it must stop.
    #[must_use]
    pub fn is_skippable(&self) -> bool {
        self.code >= SKIPPABLE
    }
}

/// Every op that has a code, by rising code. 0 is no op, so that a run of zeros is none.
pub const OPS: &[OpSpec] = &[
    op(code::CREATE_STUDY, "create_study", &["name: str", "directions: [direction]", "config: config?"]),
    op(code::DELETE_STUDY, "delete_study", &["study: u32"]),
    op(code::SET_STUDY_USER_ATTR, "set_study_user_attr", &["study: u32", "key: str", "value: json"]),
    op(code::SET_STUDY_SYSTEM_ATTR, "set_study_system_attr", &["study: u32", "key: str", "value: json"]),
    op(code::SET_METRIC_NAMES, "set_metric_names", &["study: u32", "names: [str]"]),
    op(code::SET_STUDY_CONFIG, "set_study_config", &["study: u32", "config: config"]),
    op(code::CREATE_TRIAL, "create_trial", &["study: u32", "start: time"]),
    op(
        code::ADD_TRIAL,
        "add_trial",
        &[
            "study: u32",
            "state: trial_state",
            "values: [number]",
            "start: time?",
            "end: time?",
            "params: [param]",
            "reports: [(u64, f64)]",
            "user_attrs: [(str, json)]",
            "system_attrs: [(str, json)]",
            "constraints: [(str, number)]",
        ],
    ),
    op(code::CLAIM_TRIAL, "claim_trial", &["trial: u64", "start: time"]),
    op(code::REQUEUE_TRIAL, "requeue_trial", &["trial: u64"]),
    op(code::SET_PARAMS, "set_params", &["trial: u64", "params: [param]"]),
    op(code::RETRACT_PARAMS, "retract_params", &["trial: u64", "params: [u32]"]),
    op(code::REPORT, "report", &["trial: u64", "step: u64", "value: f64"]),
    op(code::FINISH_TRIAL, "finish_trial", &["trial: u64", "state: final_state", "values: [number]", "end: time"]),
    op(code::SET_TRIAL_USER_ATTR, "set_trial_user_attr", &["trial: u64", "key: str", "value: json"]),
    op(code::SET_TRIAL_SYSTEM_ATTR, "set_trial_system_attr", &["trial: u64", "key: str", "value: json"]),
    op(code::SET_CONSTRAINT, "set_constraint", &["trial: u64", "name: str", "value: number"]),
    op(code::SET_BUDGET, "set_budget", &["study: u32", "trials: u64?", "finished: u64?", "until: time?"]),
    op(code::SET_RETRY_POLICY, "set_retry_policy", &["study: u32", "retries_max: u32", "inherit_reports: bool"]),
    op(code::RENEW_LEASE, "renew_lease", &["lease_ms: u64"]),
    op(code::DECLARE_LOST, "declare_lost", &["worker: u32", "seen: u64", "end: time"]),
    op(code::VOID_TRIAL, "void_trial", &["trial: u64", "by: str", "at: time", "reason: str"]),
    op(code::UNVOID_TRIAL, "unvoid_trial", &["trial: u64", "by: str", "at: time", "reason: str"]),
    op(
        code::AMEND_TRIAL,
        "amend_trial",
        &[
            "trial: u64",
            "state: final_state?",
            "values: [number]?",
            "user_attrs: [(str, json?)]",
            "constraints: [(str, number?)]",
            "by: str",
            "at: time",
            "reason: str",
        ],
    ),
    op(
        code::UNDO_AMENDMENT,
        "undo_amendment",
        &["trial: u64", "change: u32", "by: str", "at: time", "reason: str"],
    ),
    op(code::REPORT_METRICS, "report_metrics", &["trial: u64", "step: u64", "values: [metric]"]),
    op(
        code::ADD_TRIAL_METRICS,
        "add_trial_metrics",
        &[
            "study: u32",
            "state: trial_state",
            "values: [number]",
            "start: time?",
            "end: time?",
            "params: [param]",
            "reports: [(u64, f64)]",
            "user_attrs: [(str, json)]",
            "system_attrs: [(str, json)]",
            "constraints: [(str, number)]",
            "metrics: [series]",
        ],
    ),
    op(code::SAMPLED_AT, "sampled_at", &["position: u64"]),
];

const fn op(code: u8, name: &'static str, fields: &'static [&'static str]) -> OpSpec {
    OpSpec { code, name, fields }
}

/// The code that an op is written with.
#[must_use]
pub fn code_of(op: &Op) -> u8 {
    match op {
        Op::CreateStudy { .. } => code::CREATE_STUDY,
        Op::DeleteStudy { .. } => code::DELETE_STUDY,
        Op::SetStudyUserAttr { .. } => code::SET_STUDY_USER_ATTR,
        Op::SetStudySystemAttr { .. } => code::SET_STUDY_SYSTEM_ATTR,
        Op::SetMetricNames { .. } => code::SET_METRIC_NAMES,
        Op::SetStudyConfig { .. } => code::SET_STUDY_CONFIG,
        Op::CreateTrial { .. } => code::CREATE_TRIAL,
        // What needs nothing new is written so that older programs can read it.
        Op::AddTrial { template, .. } if !template.metrics.is_empty() => code::ADD_TRIAL_METRICS,
        Op::AddTrial { .. } => code::ADD_TRIAL,
        Op::ClaimTrial { .. } => code::CLAIM_TRIAL,
        Op::RequeueTrial { .. } => code::REQUEUE_TRIAL,
        Op::SetParams { .. } => code::SET_PARAMS,
        Op::RetractParams { .. } => code::RETRACT_PARAMS,
        Op::Report { .. } => code::REPORT,
        Op::ReportMetrics { .. } => code::REPORT_METRICS,
        Op::FinishTrial { .. } => code::FINISH_TRIAL,
        Op::SetTrialUserAttr { .. } => code::SET_TRIAL_USER_ATTR,
        Op::SetTrialSystemAttr { .. } => code::SET_TRIAL_SYSTEM_ATTR,
        Op::SetConstraint { .. } => code::SET_CONSTRAINT,
        Op::SetBudget { .. } => code::SET_BUDGET,
        Op::SetRetryPolicy { .. } => code::SET_RETRY_POLICY,
        Op::RenewLease { .. } => code::RENEW_LEASE,
        Op::DeclareLost { .. } => code::DECLARE_LOST,
        Op::VoidTrial { .. } => code::VOID_TRIAL,
        Op::UnvoidTrial { .. } => code::UNVOID_TRIAL,
        Op::AmendTrial { .. } => code::AMEND_TRIAL,
        Op::UndoAmendment { .. } => code::UNDO_AMENDMENT,
        Op::SampledAt { .. } => code::SAMPLED_AT,
        // An empty body under a code of the lower half would be read as that op, cut short.
        Op::Skipped { code } => code | SKIPPABLE,
    }
}
