//! What a study says, wherever it lies: its head, and its trials one after another, in a form that storages, files and other
//! programs' databases can all give. The digest of this form is how a copy is compared with its source.

use std::fmt;

use sha2::{Digest as _, Sha256};
use trialog_codec::encode_record;
use trialog_ops::{
    Budget, Direction, Json, MetricRef, MetricSeries, Note, Op, Param, ParamDef, ParamRef, Record, RetryPolicy,
    SessionKey, SessionRef, StudyConfig, StudyId, TrialId, TrialTemplate,
};
use trialog_replay::{ChangeKind, StudyView, TrialView};

/// All of a study but its name and its trials.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Head {
    /// One per objective.
    pub directions: Vec<Direction>,
    /// Names of the objectives.
    pub metric_names: Option<Vec<String>>,
    /// Sampler, pruner and seed.
    pub config: Option<StudyConfig>,
    /// How much of the study there is to be.
    pub budget: Budget,
    /// What becomes of lost trials.
    pub retry_policy: RetryPolicy,
    /// User attributes by rising key.
    pub user_attrs: Vec<(String, Json)>,
    /// System attributes by rising key.
    pub system_attrs: Vec<(String, Json)>,
}

impl Head {
    /// A study that has nothing but directions.
    #[must_use]
    pub fn new(directions: Vec<Direction>) -> Head {
        Head { directions, ..Head::default() }
    }

    /// The head of a study in a storage.
    #[must_use]
    pub fn of(view: &StudyView) -> Head {
        let owned = |(key, value): (&str, &Json)| (key.to_owned(), value.clone());
        Head {
            directions: view.directions().to_vec(),
            metric_names: view.metric_names().map(<[String]>::to_vec),
            config: view.config().cloned(),
            budget: *view.budget(),
            retry_policy: view.retry_policy(),
            user_attrs: view.user_attrs().map(owned).collect(),
            system_attrs: view.system_attrs().map(owned).collect(),
        }
    }

    /// The ops that say it, for a study that exists, but for those that `known` says already.
    pub(crate) fn ops(&self, study: StudyId, known: &Head) -> Vec<Op> {
        let mut ops = Vec::new();
        if let Some(names) = self.metric_names.as_ref().filter(|names| known.metric_names.as_ref() != Some(names)) {
            ops.push(Op::SetMetricNames { study, names: names.clone() });
        }
        if let Some(config) = self.config.as_ref().filter(|config| known.config.as_ref() != Some(config)) {
            ops.push(Op::SetStudyConfig { study, config: Box::new(config.clone()) });
        }
        if self.budget != known.budget {
            ops.push(Op::SetBudget { study, budget: self.budget });
        }
        if self.retry_policy != known.retry_policy {
            ops.push(Op::SetRetryPolicy { study, policy: self.retry_policy });
        }
        let new = |entry: &&(String, Json), known: &[(String, Json)]| !known.contains(*entry);
        for (key, value) in self.user_attrs.iter().filter(|entry| new(entry, &known.user_attrs)) {
            ops.push(Op::SetStudyUserAttr { study, key: key.clone(), value: value.clone() });
        }
        for (key, value) in self.system_attrs.iter().filter(|entry| new(entry, &known.system_attrs)) {
            ops.push(Op::SetStudySystemAttr { study, key: key.clone(), value: value.clone() });
        }
        ops
    }
}

/// A trial on its way: what it said at its end, or says so far, and what was decided about it afterwards.
#[derive(Clone, Debug, PartialEq)]
pub struct Moved {
    /// The trial, without its changes.
    pub template: TrialTemplate,
    /// Its changes in their order.
    pub changes: Vec<(ChangeKind, Note)>,
}

impl From<TrialTemplate> for Moved {
    fn from(template: TrialTemplate) -> Moved {
        Moved { template, changes: Vec::new() }
    }
}

impl From<TrialView<'_>> for Moved {
    fn from(trial: TrialView<'_>) -> Moved {
        let params = trial.params().map(|(name, distribution, value)| {
            let def = ParamDef { name: name.to_owned(), distribution: distribution.clone() };
            Param { param: ParamRef::Def(Box::new(def)), value }
        });
        let owned = |(key, value): (&str, &Json)| (key.to_owned(), value.clone());
        let metrics = trial.told_metrics().map(|(name, reports)| MetricSeries {
            metric: MetricRef::Name(name.to_owned()),
            reports: reports.to_vec(),
        });
        let mut template = TrialTemplate {
            state: trial.state(),
            values: trial.values().collect(),
            start: trial.start(),
            end: trial.end(),
            params: params.collect(),
            reports: trial.told_reports().to_vec(),
            metrics: metrics.collect(),
            user_attrs: trial.user_attrs().map(owned).collect(),
            system_attrs: trial.system_attrs().map(owned).collect(),
            constraints: trial.constraints().map(|(name, value)| (name.to_owned(), value)).collect(),
        };
        if let Some(before) = trial.before_changes() {
            template.amend(&before);
        }
        let changes = trial.changes().iter().map(|change| (change.what.clone(), change.note.clone()));
        Moved { template, changes: changes.collect() }.in_order()
    }
}

impl Moved {
    /// The same with everything that has a name in the order of names, each once.
    #[must_use]
    pub fn in_order(mut self) -> Moved {
        let template = &mut self.template;
        let name = |param: &Param| match &param.param {
            ParamRef::Def(def) => def.name.clone(),
            ParamRef::Key(key) => key.0.to_string(),
        };
        template.params.sort_by_key(name);
        last_of_each(&mut template.user_attrs);
        last_of_each(&mut template.system_attrs);
        // The first value of a constraint stays.
        template.constraints.sort_by(|a, b| a.0.cmp(&b.0));
        template.constraints.dedup_by(|later, first| later.0 == first.0);
        template.reports.sort_by_key(|&(step, _)| step);
        template.metrics.sort_by(|a, b| metric_name(a).cmp(metric_name(b)));
        template.metrics.iter_mut().for_each(|series| series.reports.sort_by_key(|&(step, _)| step));
        self
    }

    /// The ops of its changes, but for the first `known`, for the trial with this id.
    pub(crate) fn change_ops(&self, trial: TrialId, known: usize) -> impl Iterator<Item = Op> {
        self.changes.iter().skip(known).map(move |(what, note)| {
            let note = Box::new(note.clone());
            match what {
                ChangeKind::Voided => Op::VoidTrial { trial, note },
                ChangeKind::Unvoided => Op::UnvoidTrial { trial, note },
                ChangeKind::Amended(amendment) => {
                    Op::AmendTrial { trial, amendment: Box::new(amendment.clone()), note }
                }
                ChangeKind::Undone(place) => Op::UndoAmendment { trial, change: *place, note },
            }
        })
    }

    /// The trial and its changes as the payload of a record, which is what is hashed.
    pub(crate) fn encode(&self, number: u64, out: &mut Vec<u8>) {
        let add = Op::AddTrial { study: StudyId(0), template: Box::new(self.template.clone()) };
        let ops = std::iter::once(add).chain(self.change_ops(TrialId(number), 0)).collect();
        encode_record(&Record { session: SessionRef::Key(SessionKey(0)), counter: number, ops }, out);
    }
}

/// The name of a metric, which in what is moved is there in full.
pub(crate) fn metric_name(series: &MetricSeries) -> &str {
    match &series.metric {
        MetricRef::Name(name) => name,
        MetricRef::Key(_) => "",
    }
}

fn last_of_each(entries: &mut Vec<(String, Json)>) {
    entries.sort_by(|a, b| a.0.cmp(&b.0));
    // Of equal keys the later one replaces the earlier one.
    entries.dedup_by(|later, kept| {
        let same = later.0 == kept.0;
        if same {
            std::mem::swap(later, kept);
        }
        same
    });
}

/// The first 128 bits of the SHA-256 of what a study says: equal for a study and its copy, whatever medium, ids, name and order of
/// ends they have. `docs/transfer.md` says what is hashed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContentDigest(pub [u8; 16]);

impl fmt::Display for ContentDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ContentDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ContentDigest({self})")
    }
}

/// Gathers a study's content one trial after another.
pub(crate) struct Hasher {
    hash: Sha256,
    trials: u64,
    buffer: Vec<u8>,
}

impl Hasher {
    pub(crate) fn new(head: &Head) -> Hasher {
        let mut hasher = Hasher { hash: Sha256::new(), trials: 0, buffer: Vec::new() };
        let create = Op::CreateStudy { name: String::new(), directions: head.directions.clone(), config: None };
        let ops = std::iter::once(create).chain(head.ops(StudyId(0), &Head::default())).collect();
        encode_record(&Record { session: SessionRef::Key(SessionKey(0)), counter: 0, ops }, &mut hasher.buffer);
        hasher.flush();
        hasher
    }

    pub(crate) fn add(&mut self, trial: &Moved) {
        trial.encode(self.trials, &mut self.buffer);
        self.trials += 1;
        self.flush();
    }

    fn flush(&mut self) {
        self.hash.update((self.buffer.len() as u64).to_le_bytes());
        self.hash.update(&self.buffer);
        self.buffer.clear();
    }

    pub(crate) fn finish(self) -> ContentDigest {
        let mut short = [0; 16];
        short.copy_from_slice(&self.hash.finalize()[..16]);
        ContentDigest(short)
    }
}

/// The digest of what a study in a storage says.
#[must_use]
pub fn digest_of(view: &StudyView) -> ContentDigest {
    let mut hasher = Hasher::new(&Head::of(view));
    view.trials().for_each(|trial| hasher.add(&Moved::from(trial)));
    hasher.finish()
}
