//! The one door into a target. What is there already is compared with what comes, brought up to date where it is only behind, and
//! left alone; what is not there is added, in the order of the source. So a transfer can be killed at any moment and run again.

use std::collections::BTreeMap;

use trialog_codec::encode_record;
use trialog_journal::Durability;
use trialog_ops::{
    FinalState, MetricValue, Op, Param, ParamDef, ParamKey, ParamRef, Record, SessionKey, SessionRef, StudyId,
    TrialId, TrialNumber, TrialState, TrialTemplate,
};
use trialog_replay::{Reason, StudyView, Verdict};
use trialog_storage::Storage;

use crate::content::{ContentDigest, Hasher, Head, Moved, digest_of, metric_name};
use crate::error::Error;

/// A record is closed when it holds as many ops, or about as many bytes: far below what a journal takes.
const BATCH_OPS: usize = 512;
const BATCH_BYTES: usize = 1 << 20;

/// How many names are tried for [`Collision::Rename`].
const NAMES_MAX: u32 = 10_000;

/// What happens if the target has a study of the name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Collision {
    /// An error, and nothing is written. The default.
    #[default]
    Fail,
    /// The copy gets the name with `-2`, `-3` and so on behind it.
    Rename,
    /// An earlier, perhaps unfinished transfer of the same study is gone on with and brought up to date; any other study is an
    /// error. If there is none, it begins.
    Resume,
}

/// How far a transfer has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Trials that are in the target by now, from earlier runs too.
    pub done: u64,
    /// How many there will be, where that is known.
    pub total: Option<u64>,
}

/// How to transfer.
pub struct Options<'a> {
    /// What happens if the name is taken. Default: an error.
    pub collision: Collision,
    /// Called after each batch.
    pub progress: Option<&'a mut dyn FnMut(Progress)>,
    /// How many trials come, for the progress.
    pub total: Option<u64>,
    /// How safe the last record is, and with it all before. Default: through a loss of power.
    pub durability: Durability,
}

impl Default for Options<'_> {
    fn default() -> Self {
        Options { collision: Collision::Fail, progress: None, total: None, durability: Durability::Power }
    }
}

/// What a transfer did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The study in the target.
    pub study: StudyId,
    /// Its name there.
    pub name: String,
    /// Trials that were added.
    pub added: u64,
    /// Trials that were there and were brought up to date.
    pub updated: u64,
    /// Trials that were there as they should be.
    pub kept: u64,
    /// What source and target both say.
    pub digest: ContentDigest,
}

/// Copies a study as this view has it, which is one position of its log, whoever goes on working there.
///
/// # Errors
/// See [`Error`]. What was written until then stays, and [`Collision::Resume`] goes on with it.
pub fn copy(source: &StudyView, target: &Storage, name: &str, mut options: Options<'_>) -> Result<Report, Error> {
    options.total = options.total.or(Some(source.trial_count() as u64));
    let trials = source.trials().map(|trial| Ok(Moved::from(trial)));
    write(target, name, &Head::of(source), trials, options)
}

/// Writes a study to the target. Memory is taken for one batch of trials only. Afterwards the target is read again and compared
/// with what came, by [`ContentDigest`].
///
/// # Errors
/// See [`Error`]; also the first error that `trials` gives.
pub fn write(
    target: &Storage,
    name: &str,
    head: &Head,
    trials: impl IntoIterator<Item = Result<Moved, Error>>,
    options: Options<'_>,
) -> Result<Report, Error> {
    target.refresh()?;
    let (study, name) = open(target, name, head, options.collision)?;
    let view = target.view(study).ok_or_else(|| gone(study))?;
    let mut writer = Writer {
        target,
        study,
        name,
        there: view.trial_count() as u64,
        view,
        next: 0,
        ops: Vec::new(),
        adds: 0,
        bytes: 0,
        late: Vec::new(),
        report: (0, 0, 0),
        options,
    };
    let known = Head::of(&writer.view);
    for op in head.ops(study, &known) {
        writer.push(op)?;
    }
    let mut hasher = Hasher::new(head);
    for trial in trials {
        let trial = trial?.in_order();
        hasher.add(&trial);
        writer.trial(trial)?;
    }
    writer.finish(hasher.finish())
}

fn gone(study: StudyId) -> Error {
    Error::Rejected { tried: "look at the target's study".into(), reason: Reason::StudyDeleted { study } }
}

/// The target's study, which is made if it must be.
fn open(target: &Storage, name: &str, head: &Head, collision: Collision) -> Result<(StudyId, String), Error> {
    let mut tried = name.to_owned();
    for attempt in 2..NAMES_MAX {
        let known = target.with_state(|state| state.study_id(&tried));
        match (known, collision) {
            (None, _) => {
                let op = Op::CreateStudy { name: tried.clone(), directions: head.directions.clone(), config: None };
                match target.commit(vec![op], Durability::Power)?.pop() {
                    Some(Verdict::Study(id)) => return Ok((id, tried)),
                    // Somebody was faster; look at it as at any other.
                    Some(Verdict::Rejected(Reason::StudyExists { .. })) if collision != Collision::Fail => continue,
                    Some(Verdict::Rejected(Reason::StudyExists { .. })) => {
                        return Err(Error::NameTaken { name: tried });
                    }
                    Some(Verdict::Rejected(reason)) => {
                        return Err(Error::Rejected { tried: format!("create study {tried:?}"), reason });
                    }
                    _ => return Err(gone(StudyId(u32::MAX))),
                }
            }
            (Some(_), Collision::Fail) => return Err(Error::NameTaken { name: tried }),
            (Some(_), Collision::Rename) => tried = format!("{name}-{attempt}"),
            (Some(id), Collision::Resume) => {
                let view = target.view(id).ok_or_else(|| gone(id))?;
                if view.directions() != head.directions {
                    return Err(Error::Another { name: tried, detail: "it has other objectives".into() });
                }
                return Ok((id, tried));
            }
        }
    }
    Err(Error::NameTaken { name: tried })
}

struct Writer<'a, 'b> {
    target: &'a Storage,
    study: StudyId,
    name: String,
    /// The target's study as it was at the beginning, and how many trials it had.
    view: StudyView,
    there: u64,
    /// The number of the trial that comes next.
    next: u64,
    ops: Vec<Op>,
    /// How many of the ops add trials.
    adds: u64,
    bytes: usize,
    /// New trials of the batch that were changed after their end, by their place among its new ones.
    late: Vec<(u64, Moved)>,
    report: (u64, u64, u64),
    options: Options<'b>,
}

impl Writer<'_, '_> {
    fn trial(&mut self, trial: Moved) -> Result<(), Error> {
        let number = self.next;
        self.next += 1;
        if number >= self.there {
            self.report.0 += 1;
            self.adds += 1;
            let template = Box::new(trial.template.clone());
            if !trial.changes.is_empty() {
                self.late.push((self.adds - 1, trial));
            }
            return self.push(Op::AddTrial { study: self.study, template });
        }
        let known = TrialNumber(u32::try_from(number).unwrap_or(u32::MAX));
        let Some(there) = self.view.trial(known) else { return Ok(()) };
        let before = Moved::from(there);
        if before == trial || encoded(&before) == encoded(&trial) {
            self.report.2 += 1;
            return Ok(());
        }
        let key = |def: &ParamDef| self.target.with_state(|state| state.param_key(def));
        let ops = update(there.id(), &before, &trial, &key).ok_or_else(|| Error::Another {
            name: self.name.clone(),
            detail: format!("trial {number} is another one there"),
        })?;
        self.report.1 += 1;
        ops.into_iter().try_for_each(|op| self.push(op))
    }

    fn push(&mut self, op: Op) -> Result<(), Error> {
        self.bytes += bytes_about(&op);
        self.ops.push(op);
        if self.ops.len() < BATCH_OPS && self.bytes < BATCH_BYTES {
            Ok(())
        } else {
            self.flush(Durability::Process)
        }
    }

    fn flush(&mut self, durability: Durability) -> Result<(), Error> {
        let ids = self.commit(durability)?;
        let late = std::mem::take(&mut self.late);
        for (place, trial) in late {
            let Some(&id) = ids.get(usize::try_from(place).unwrap_or(usize::MAX)) else { continue };
            self.ops.extend(trial.change_ops(id, 0));
        }
        if !self.ops.is_empty() {
            self.commit(durability)?;
        }
        if let Some(progress) = &mut self.options.progress {
            progress(Progress { done: self.next, total: self.options.total });
        }
        Ok(())
    }

    /// Commits what was gathered, and returns the ids of new trials.
    fn commit(&mut self, durability: Durability) -> Result<Vec<TrialId>, Error> {
        let first = self.next - self.adds;
        let ops = std::mem::take(&mut self.ops);
        (self.adds, self.bytes) = (0, 0);
        let mut ids = Vec::new();
        for verdict in self.target.commit(ops, durability)? {
            match verdict {
                Verdict::Rejected(reason) => {
                    return Err(Error::Rejected { tried: format!("write to study {:?}", self.name), reason });
                }
                Verdict::Trial { id, number } => {
                    let wanted = first + ids.len() as u64;
                    if u64::from(number.0) != wanted {
                        return Err(Error::Interfered { name: self.name.clone(), wanted, got: number });
                    }
                    ids.push(id);
                }
                _ => {}
            }
        }
        Ok(ids)
    }

    fn finish(mut self, source: ContentDigest) -> Result<Report, Error> {
        if self.next < self.there {
            let detail = format!("it has {} trials, and {} were to come", self.there, self.next);
            return Err(Error::Another { name: self.name, detail });
        }
        // Also when nothing is left over: this is the record that waits for all of them.
        self.flush(self.options.durability)?;
        let view = self.target.view(self.study).ok_or_else(|| gone(self.study))?;
        let target = digest_of(&view);
        if source != target {
            return Err(Error::Differs { name: self.name, source, target });
        }
        let (added, updated, kept) = self.report;
        Ok(Report { study: self.study, name: self.name, added, updated, kept, digest: target })
    }
}

/// Floats by their bits, so that NaN is itself.
fn encoded(trial: &Moved) -> Vec<u8> {
    let mut bytes = Vec::new();
    trial.encode(0, &mut bytes);
    bytes
}

/// The ops that bring a trial up to date; none if it says something that is no earlier state of the other.
fn update(
    id: TrialId,
    before: &Moved,
    after: &Moved,
    key: &dyn Fn(&ParamDef) -> Option<ParamKey>,
) -> Option<Vec<Op>> {
    let mut ops = Vec::new();
    let (old, new) = (&before.template, &after.template);
    if old.state.is_finished() {
        // Nothing but its changes may be new.
        let same = Moved { template: old.clone(), changes: Vec::new() };
        let other = Moved { template: new.clone(), changes: Vec::new() };
        if encoded(&same) != encoded(&other) || !after.changes.starts_with(&before.changes) {
            return None;
        }
        ops.extend(after.change_ops(id, before.changes.len()));
        return Some(ops);
    }
    claim_or_requeue(id, old, new, &mut ops)?;
    // What was proposed and never asked for was taken back since.
    let stays = |param: &&Param| new.params.iter().any(|other| param_name(other) == param_name(param));
    let mut gone = Vec::new();
    for param in old.params.iter().filter(|param| !stays(param)) {
        let ParamRef::Def(def) = &param.param else { return None };
        gone.push(key(def)?);
    }
    if !gone.is_empty() {
        ops.push(Op::RetractParams { trial: id, params: gone });
    }
    if old.reports.iter().any(|(step, _)| !new.reports.iter().any(|(other, _)| other == step)) {
        return None;
    }
    let params: Vec<_> = new.params.iter().filter(|param| !old.params.contains(param)).cloned().collect();
    if !params.is_empty() {
        ops.push(Op::SetParams { trial: id, params });
    }
    for &(step, value) in &new.reports {
        let known = old.reports.iter().any(|(s, v)| *s == step && v.to_bits() == value.to_bits());
        if !known {
            ops.push(Op::Report { trial: id, step, value });
        }
    }
    ops.extend(metric_ops(id, old, new)?);
    for (key, value) in new.user_attrs.iter().filter(|entry| !old.user_attrs.contains(entry)) {
        ops.push(Op::SetTrialUserAttr { trial: id, key: key.clone(), value: value.clone() });
    }
    for (key, value) in new.system_attrs.iter().filter(|entry| !old.system_attrs.contains(entry)) {
        ops.push(Op::SetTrialSystemAttr { trial: id, key: key.clone(), value: value.clone() });
    }
    for (name, value) in &new.constraints {
        match old.constraints.iter().find(|(other, _)| other == name) {
            Some((_, known)) if known.to_bits() == value.to_bits() => {}
            Some(_) => return None,
            None => ops.push(Op::SetConstraint { trial: id, name: name.clone(), value: *value }),
        }
    }
    let state = match new.state {
        TrialState::Complete => FinalState::Complete,
        TrialState::Pruned => FinalState::Pruned,
        TrialState::Fail => FinalState::Fail,
        TrialState::Running | TrialState::Waiting => return Some(ops),
    };
    ops.push(Op::FinishTrial { trial: id, state, values: new.values.clone(), end: new.end? });
    ops.extend(after.change_ops(id, 0));
    Some(ops)
}

/// What was reported of metrics since, an op for each step. `None` if something is gone.
fn metric_ops(id: TrialId, old: &TrialTemplate, new: &TrialTemplate) -> Option<Vec<Op>> {
    let reports = |template: &TrialTemplate, name: &str| {
        let series = template.metrics.iter().find(|series| metric_name(series) == name);
        series.map_or(BTreeMap::new(), |series| series.reports.iter().copied().collect::<BTreeMap<u64, f64>>())
    };
    let mut steps: BTreeMap<u64, Vec<MetricValue>> = BTreeMap::new();
    for series in &new.metrics {
        let known = reports(old, metric_name(series));
        for (step, value) in &series.reports {
            if known.get(step).map(|value| value.to_bits()) != Some(value.to_bits()) {
                let value = MetricValue { metric: series.metric.clone(), value: *value };
                steps.entry(*step).or_default().push(value);
            }
        }
    }
    for series in &old.metrics {
        let there = reports(new, metric_name(series));
        if series.reports.iter().any(|(step, _)| !there.contains_key(step)) {
            return None;
        }
    }
    let op = |(step, values)| Op::ReportMetrics { trial: id, step, values };
    Some(steps.into_iter().map(op).collect())
}

fn claim_or_requeue(id: TrialId, old: &TrialTemplate, new: &TrialTemplate, ops: &mut Vec<Op>) -> Option<()> {
    match (old.state, new.state) {
        (TrialState::Running, TrialState::Waiting) => ops.push(Op::RequeueTrial { trial: id }),
        (TrialState::Waiting, TrialState::Waiting) => {}
        _ if old.start == new.start => {
            if old.state == TrialState::Waiting && new.state == TrialState::Running {
                ops.push(Op::ClaimTrial { trial: id, start: new.start? });
            }
        }
        (TrialState::Running, _) => {
            // It went back into the queue and began again meanwhile.
            ops.push(Op::RequeueTrial { trial: id });
            ops.push(Op::ClaimTrial { trial: id, start: new.start? });
        }
        _ => ops.push(Op::ClaimTrial { trial: id, start: new.start? }),
    }
    Some(())
}

fn param_name(param: &Param) -> Option<&str> {
    match &param.param {
        ParamRef::Def(def) => Some(&def.name),
        ParamRef::Key(_) => None,
    }
}

/// About how many bytes an op takes in a record.
fn bytes_about(op: &Op) -> usize {
    match op {
        // Most are small, and those that are not are worth being measured.
        Op::AddTrial { template, .. } => {
            let attrs = template.user_attrs.iter().chain(&template.system_attrs);
            let defs = template.params.iter().map(|param| match &param.param {
                ParamRef::Key(_) => 16,
                ParamRef::Def(def) => 16 + def.name.len() + def.distribution.to_string().len(),
            });
            let metrics =
                template.metrics.iter().map(|series| 16 + metric_name(series).len() + 20 * series.reports.len());
            64 + 20 * template.reports.len()
                + metrics.sum::<usize>()
                + attrs.map(|(key, value)| 16 + key.len() + value.as_str().len()).sum::<usize>()
                + defs.sum::<usize>()
        }
        other => {
            let session = SessionRef::Key(SessionKey(0));
            let mut bytes = Vec::new();
            encode_record(&Record { session, counter: 0, ops: vec![other.clone()] }, &mut bytes);
            bytes.len()
        }
    }
}
