//! The state of a log while it is walked over, and how many things the log has numbered so far.

use std::fmt;

use trialog_ops::{MetricRef, MetricSeries, MetricValue, Op, Param, ParamRef, Record, TrialId};
use trialog_replay::{Digest, State, Verdict};

/// How many things a log has numbered. Deleted studies count: their numbers are never used again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Studies, living or deleted.
    pub studies: u64,
    /// Trials of all studies.
    pub trials: u64,
    /// Parameters: names with their distributions.
    pub params: u64,
    /// Names of metrics.
    pub metrics: u64,
    /// Sessions: sequential writers.
    pub sessions: u64,
}

impl Counts {
    /// What a state has numbered.
    pub(crate) fn of(state: &State) -> Counts {
        let [studies, trials, params, metrics, sessions] = state.numbered();
        Counts { studies, trials, params, metrics, sessions }
    }

    /// True if nothing is counted.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        *self == Counts::default()
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counts { studies, trials, params, metrics, sessions } = self;
        write!(f, "{studies} studies, {trials} trials, {params} parameters, ")?;
        if *metrics > 0 {
            write!(f, "{metrics} metrics, ")?;
        }
        write!(f, "{sessions} sessions")
    }
}

/// What the readable part of a log amounts to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Readable {
    /// How many records.
    pub records: u64,
    /// What they number.
    pub counts: Counts,
    /// The digest of the state after them.
    pub digest: Digest,
    /// Ops that replay rejected: lost races, mostly.
    pub rejected: u64,
    /// Ops of records that were appended twice and applied once.
    pub repeated: u64,
}

/// A state that counts along.
#[derive(Debug, Default)]
pub(crate) struct Tracker {
    pub(crate) state: State,
    pub(crate) counts: Counts,
    pub(crate) verdicts: Vec<Verdict>,
    rejected: u64,
    repeated: u64,
}

impl From<State> for Tracker {
    fn from(state: State) -> Tracker {
        Tracker { counts: Counts::of(&state), state, ..Tracker::default() }
    }
}

impl Tracker {
    pub(crate) fn apply(&mut self, record: &Record) {
        self.verdicts.clear();
        self.state.apply(record, &mut self.verdicts);
        for verdict in &self.verdicts {
            match verdict {
                Verdict::Rejected(_) => self.rejected += 1,
                Verdict::Repeated => self.repeated += 1,
                _ => {}
            }
        }
        self.counts = Counts::of(&self.state);
    }

    /// Goes on from a state that a snapshot has.
    pub(crate) fn begin_anew(&mut self, state: State) {
        *self = Tracker::from(state);
    }

    pub(crate) fn readable(&self) -> Readable {
        Readable {
            records: self.state.records(),
            counts: self.counts,
            digest: self.state.digest(),
            rejected: self.rejected,
            repeated: self.repeated,
        }
    }
}

/// The parameters that an op sets.
pub(crate) fn params_of(op: &Op) -> &[Param] {
    match op {
        Op::SetParams { params, .. } => params,
        Op::AddTrial { template, .. } => &template.params,
        _ => &[],
    }
}

/// The metrics that an op names.
pub(crate) fn metrics_of(op: &Op) -> impl Iterator<Item = &MetricRef> {
    let (values, series): (&[MetricValue], &[MetricSeries]) = match op {
        Op::ReportMetrics { values, .. } => (values, &[]),
        Op::AddTrial { template, .. } => (&[], &template.metrics),
        _ => (&[], &[]),
    };
    values.iter().map(|value| &value.metric).chain(series.iter().map(|series| &series.metric))
}

/// The largest key of a metric that an op names.
pub(crate) fn metric_key_of(op: &Op) -> Option<u32> {
    let keys = metrics_of(op).filter_map(|metric| match metric {
        MetricRef::Key(key) => Some(key.0),
        MetricRef::Name(_) => None,
    });
    keys.max()
}

/// The trial that an op names.
pub(crate) fn trial_of(op: &Op) -> Option<TrialId> {
    match op {
        Op::ClaimTrial { trial, .. }
        | Op::RequeueTrial { trial }
        | Op::SetParams { trial, .. }
        | Op::RetractParams { trial, .. }
        | Op::Report { trial, .. }
        | Op::ReportMetrics { trial, .. }
        | Op::FinishTrial { trial, .. }
        | Op::SetTrialUserAttr { trial, .. }
        | Op::SetTrialSystemAttr { trial, .. }
        | Op::SetConstraint { trial, .. }
        | Op::VoidTrial { trial, .. }
        | Op::UnvoidTrial { trial, .. }
        | Op::AmendTrial { trial, .. }
        | Op::UndoAmendment { trial, .. } => Some(*trial),
        _ => None,
    }
}

/// The study that an op names.
pub(crate) fn study_of(op: &Op) -> Option<trialog_ops::StudyId> {
    match op {
        Op::DeleteStudy { study }
        | Op::SetStudyUserAttr { study, .. }
        | Op::SetStudySystemAttr { study, .. }
        | Op::SetMetricNames { study, .. }
        | Op::SetStudyConfig { study, .. }
        | Op::CreateTrial { study, .. }
        | Op::AddTrial { study, .. }
        | Op::SetBudget { study, .. }
        | Op::SetRetryPolicy { study, .. } => Some(*study),
        _ => None,
    }
}

/// The largest parameter key that an op names.
pub(crate) fn key_of(op: &Op) -> Option<u32> {
    let set = params_of(op).iter().filter_map(|param| match param.param {
        ParamRef::Key(key) => Some(key.0),
        ParamRef::Def(_) => None,
    });
    match op {
        Op::RetractParams { params, .. } => params.iter().map(|key| key.0).max(),
        _ => set.max(),
    }
}

/// The time that an op carries, if it has one.
pub(crate) fn times_of(op: &Op) -> [Option<trialog_ops::Timestamp>; 2] {
    match op {
        Op::CreateTrial { start, .. } | Op::ClaimTrial { start, .. } => [Some(*start), None],
        Op::FinishTrial { end, .. } | Op::DeclareLost { end, .. } => [None, Some(*end)],
        Op::AddTrial { template, .. } => [template.start, template.end],
        _ => [None, None],
    }
}
