//! From a state to bytes: sections, each gathered in one buffer and handed over whole.

use std::collections::BTreeMap;
use std::iter;
use std::sync::Arc;

use trialog_ops::{Choice, ComponentSpec, Direction, Distribution, Json, ParamDef, TrialState};

use super::{
    BLOCK, BLOCK_ALL, BLOCK_NONE, BLOCK_SOME, Cell, HEADER_LEN, MAGIC, SECTION_HEADER_LEN, Section, VERSION,
    VERSION_WITHOUT_CHANGES, VERSION_WITHOUT_METRICS, block_mask, width_of,
};
use crate::audit::{Audit, Change, ChangeKind};
use crate::column::Column;
use crate::state::State;
use crate::study::{Extras, ParamData, Study, Trials, USUAL};

pub(super) fn state<E>(state: &State, sink: impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
    // What has no metrics, and no trial that was changed, older programs can read too.
    let changed = |study: &Arc<Study>| study.trials.audits.iter().next().is_some();
    let version = if !state.metrics.names.is_empty() {
        VERSION
    } else if state.studies.iter().flatten().any(changed) {
        VERSION_WITHOUT_METRICS
    } else {
        VERSION_WITHOUT_CHANGES
    };
    let mut out = Writer { sink, payload: Payload(Vec::new()), crc: 0, version };
    out.header(state.records)?;
    out.section(Section::Sessions, |payload| {
        payload.count(state.sessions.len());
        for session in &state.sessions {
            payload.bytes(&session.id.0);
            payload.u64(session.counter);
        }
    })?;
    out.section(Section::Params, |payload| {
        payload.count(state.params.len);
        state.params.iter().for_each(|def| payload.def(def));
    })?;
    if version > VERSION_WITHOUT_METRICS {
        out.section(Section::Metrics, |payload| {
            payload.count(state.metrics.names.len());
            state.metrics.names.iter().for_each(|name| payload.text(name));
        })?;
    }
    out.section(Section::Index, |payload| {
        payload.count(state.studies.len());
        payload.0.extend(state.studies.iter().map(|study| u8::from(study.is_some())));
        payload.count(state.trials.len());
        payload.ints_at_least(1, state.trials.iter().map(|(study, _)| u64::from(study.0)));
    })?;
    for study in state.studies.iter().flatten() {
        out.study(study)?;
    }
    out.section(Section::Workers, |payload| {
        let workers = &state.workers;
        for worker in &workers.list {
            payload.u64(worker.lease_ms);
            payload.u64(worker.last);
        }
        payload.count(workers.owners().len());
        for (trial, worker) in workers.owners() {
            payload.u64(trial.0);
            payload.u32(worker.0);
        }
        payload.count(workers.lost().len());
        workers.lost().for_each(|trial| payload.u64(trial.0));
        payload.count(workers.attempts().len());
        for attempts in workers.attempts() {
            payload.count(attempts.len());
            attempts.iter().for_each(|trial| payload.u64(trial.0));
        }
    })?;
    out.section(Section::End, |_| ())
}

struct Writer<F> {
    sink: F,
    payload: Payload,
    /// Of the section before, or of the header.
    crc: u32,
    version: u32,
}

impl<E, F: FnMut(&[u8]) -> Result<(), E>> Writer<F> {
    fn header(&mut self, records: u64) -> Result<(), E> {
        let mut header = Vec::with_capacity(HEADER_LEN);
        header.extend_from_slice(&MAGIC);
        header.extend_from_slice(&self.version.to_le_bytes());
        header.extend_from_slice(&0_u32.to_le_bytes());
        header.extend_from_slice(&records.to_le_bytes());
        header.extend_from_slice(&0_u32.to_le_bytes());
        self.crc = crc32fast::hash(&header);
        header.extend_from_slice(&self.crc.to_le_bytes());
        (self.sink)(&header)
    }

    fn section(&mut self, kind: Section, fill: impl FnOnce(&mut Payload)) -> Result<(), E> {
        let bytes = &mut self.payload.0;
        bytes.clear();
        bytes.resize(SECTION_HEADER_LEN, 0);
        fill(&mut self.payload);
        let bytes = &mut self.payload.0;
        let len = (bytes.len() - SECTION_HEADER_LEN) as u64;
        bytes[4..8].copy_from_slice(&(kind as u32).to_le_bytes());
        bytes[8..16].copy_from_slice(&len.to_le_bytes());
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&self.crc.to_le_bytes());
        hasher.update(&bytes[4..]);
        self.crc = hasher.finalize();
        bytes[..4].copy_from_slice(&self.crc.to_le_bytes());
        (self.sink)(bytes)
    }

    fn study(&mut self, study: &Study) -> Result<(), E> {
        let trials = &study.trials;
        self.section(Section::Study, |payload| payload.study(study))?;
        self.section(Section::Trials, |payload| {
            for block in 0..trials.len.div_ceil(BLOCK) {
                let states = trials.states.chunk(block);
                let missing = BLOCK.min(trials.len - block * BLOCK).saturating_sub(states.len());
                let rest = iter::repeat_n(&TrialState::Waiting, missing);
                payload.0.extend(states.iter().chain(rest).map(|&state| state as u8));
            }
            payload.column(&trials.starts, trials.len);
            payload.column(&trials.ends, trials.len);
            payload.ints((0..trials.ended_len).map(|at| u64::from(*trials.ended.get(at))));
        })?;
        for values in &trials.values {
            self.section(Section::Objective, |payload| payload.column(values, trials.len))?;
        }
        for param in &trials.params {
            self.section(Section::Param, |payload| {
                payload.u32(param.first_key.0);
                payload.column(&param.values, trials.len);
                payload.ints(unusual_keys(param, trials.len));
            })?;
        }
        self.section(Section::Reports, |payload| payload.reports(trials))?;
        self.section(Section::Attributes, |payload| payload.attributes(trials))?;
        self.section(Section::Front, |payload| {
            let numbers = if study.directions.len() > 1 { study.front().numbers.as_slice() } else { &[] };
            payload.count(numbers.len());
            payload.ints(numbers.iter().map(|&number| u64::from(number)));
        })?;
        if self.version <= VERSION_WITHOUT_CHANGES {
            return Ok(());
        }
        self.section(Section::Changes, |payload| {
            let audits = || trials.audits.iter().filter_map(|(number, audit)| Some((*number, audit.as_deref()?)));
            payload.count(audits().count());
            audits().for_each(|(number, audit)| payload.audit(number, audit));
        })?;
        if self.version <= VERSION_WITHOUT_METRICS {
            return Ok(());
        }
        self.section(Section::MetricReports, |payload| payload.metrics(study))
    }
}

/// One more than the key where a trial has the parameter under another one than the first, 0 elsewhere.
fn unusual_keys(param: &ParamData, trials: usize) -> impl Iterator<Item = u64> + Clone {
    let uniform = (0..trials.div_ceil(BLOCK)).all(|block| param.is_uniform_in_chunk(block));
    (0..trials).map(move |number| {
        if uniform {
            return 0;
        }
        match *param.keys.get(number) {
            // A trial that gave the parameter back may have left a key behind.
            key if key != USUAL && param.value(number).is_some() => u64::from(key) + 1,
            _ => 0,
        }
    })
}

/// One kind of what few trials have.
type MapOf<T> = fn(&Extras) -> &BTreeMap<Arc<str>, T>;

/// The bytes of a section behind room for its header.
struct Payload(Vec<u8>);

impl Payload {
    fn bytes(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    fn flag(&mut self, flag: bool) {
        self.0.push(u8::from(flag));
    }

    fn u32(&mut self, number: u32) {
        self.bytes(&number.to_le_bytes());
    }

    fn u64(&mut self, number: u64) {
        self.bytes(&number.to_le_bytes());
    }

    fn count(&mut self, count: usize) {
        self.u64(count as u64);
    }

    fn text(&mut self, text: &str) {
        self.count(text.len());
        self.bytes(text.as_bytes());
    }

    /// Cells without anything between them.
    fn cells<T: Cell>(&mut self, values: &[T]) {
        let start = self.0.len();
        self.0.resize(start + 8 * values.len(), 0);
        let (places, _) = self.0[start..].as_chunks_mut();
        for (place, value) in places.iter_mut().zip(values) {
            *place = value.encode();
        }
    }

    /// Integers in as few bytes each as the largest needs.
    fn ints(&mut self, ints: impl Iterator<Item = u64> + Clone) {
        self.ints_at_least(0, ints);
    }

    fn ints_at_least(&mut self, least: u8, ints: impl Iterator<Item = u64> + Clone) {
        let width = width_of(ints.clone().max().unwrap_or(0)).max(least);
        self.0.push(width);
        match width {
            0 => {}
            1 => self.0.extend(ints.map(|int| int as u8)),
            2 => ints.for_each(|int| self.bytes(&(int as u16).to_le_bytes())),
            4 => ints.for_each(|int| self.bytes(&(int as u32).to_le_bytes())),
            _ => ints.for_each(|int| self.u64(int)),
        }
    }

    fn column<T: Cell>(&mut self, column: &Column<T>, trials: usize) {
        let blocks = trials.div_ceil(BLOCK);
        let kinds = self.0.len();
        self.0.resize(kinds + blocks, BLOCK_NONE);
        for block in 0..blocks {
            let values = column.chunk(block);
            let all = block_mask(trials, block);
            let bits = values.iter().enumerate().map(|(bit, value)| u128::from(value.is_present()) << bit);
            // Most blocks are full, and that is seen fast.
            let absent = values.iter().filter(|value| !value.is_present()).count();
            let mask = if absent == 0 && values.len() == BLOCK { all } else { bits.sum() };
            if mask == 0 {
                continue;
            }
            self.0[kinds + block] = if mask == all { BLOCK_ALL } else { BLOCK_SOME };
            if mask == all {
                self.cells(values);
                continue;
            }
            self.bytes(&mask.to_le_bytes());
            let present = values.iter().filter(|value| value.is_present());
            present.for_each(|value| self.bytes(&value.encode()));
        }
    }

    fn study(&mut self, study: &Study) {
        self.text(&study.name);
        self.count(study.directions.len());
        self.0.extend(study.directions.iter().map(|way| u8::from(*way == Direction::Maximize)));
        self.flag(study.metric_names.is_some());
        study.metric_names.iter().flat_map(|names| names.iter()).for_each(|name| self.text(name));
        self.flag(study.config.is_some());
        if let Some(config) = &study.config {
            self.component(&config.sampler);
            self.component(&config.pruner);
            self.u64(config.seed);
        }
        let budget = study.budget;
        for limit in [budget.trials, budget.finished, budget.until.map(|until| until.0.cast_unsigned())] {
            self.flag(limit.is_some());
            limit.iter().for_each(|limit| self.u64(*limit));
        }
        self.u32(study.retry_policy.retries_max);
        self.flag(study.retry_policy.inherit_reports);
        for attrs in [&study.user_attrs, &study.system_attrs] {
            self.count(attrs.len());
            for (key, value) in attrs.iter() {
                self.text(key);
                self.text(value.as_str());
            }
        }
        self.count(study.trials.len);
        self.count(study.trials.params.len());
    }

    fn component(&mut self, component: &ComponentSpec) {
        self.text(&component.name);
        self.u32(component.version);
        self.text(component.options.as_str());
    }

    fn def(&mut self, def: &ParamDef) {
        self.text(&def.name);
        match &def.distribution {
            Distribution::Float(d) => {
                self.0.push(0);
                self.cells(&[d.low(), d.high()]);
                self.flag(d.is_log());
                self.flag(d.step().is_some());
                d.step().iter().for_each(|step| self.bytes(&step.to_le_bytes()));
            }
            Distribution::Int(d) => {
                self.0.push(1);
                self.cells(&[d.low(), d.high()]);
                self.flag(d.is_log());
                self.bytes(&d.step().to_le_bytes());
            }
            Distribution::Categorical(d) => {
                self.0.push(2);
                self.count(d.choices().len());
                d.choices().iter().for_each(|choice| self.choice(choice));
            }
        }
    }

    fn choice(&mut self, choice: &Choice) {
        match choice {
            Choice::Null => self.0.push(0),
            Choice::Bool(v) => self.bytes(&[1, u8::from(*v)]),
            Choice::Int(v) => {
                self.0.push(2);
                self.bytes(&v.to_le_bytes());
            }
            Choice::Float(v) => {
                self.0.push(3);
                self.bytes(&v.to_le_bytes());
            }
            Choice::Str(v) => {
                self.0.push(4);
                self.text(v);
            }
        }
    }

    fn audit(&mut self, number: u32, audit: &Audit) {
        self.u32(number);
        self.0.push(TrialState::from(audit.state) as u8);
        self.count(audit.values.len());
        self.cells(&audit.values);
        self.optional(audit.user_attrs.iter().map(|(key, value)| (&**key, value.as_ref())), Payload::json);
        self.optional(audit.constraints.iter().map(|(name, value)| (&**name, value.as_ref())), Payload::f64);
        self.count(audit.changes.len());
        audit.changes.iter().for_each(|change| self.change(change));
    }

    fn change(&mut self, change: &Change) {
        match &change.what {
            ChangeKind::Voided => self.0.push(0),
            ChangeKind::Unvoided => self.0.push(1),
            ChangeKind::Amended(amendment) => {
                self.0.push(2);
                self.flag(amendment.state.is_some());
                self.0.extend(amendment.state.map(|state| TrialState::from(state) as u8));
                self.flag(amendment.values.is_some());
                if let Some(values) = &amendment.values {
                    self.count(values.len());
                    self.cells(values);
                }
                let attrs = amendment.user_attrs.iter();
                self.optional(attrs.map(|(key, value)| (key.as_str(), value.as_ref())), Payload::json);
                let constraints = amendment.constraints.iter();
                self.optional(constraints.map(|(name, value)| (name.as_str(), value.as_ref())), Payload::f64);
            }
            ChangeKind::Undone(place) => {
                self.0.push(3);
                self.u32(*place);
            }
        }
        self.text(&change.note.by);
        self.bytes(&change.note.at.0.to_le_bytes());
        self.text(&change.note.reason);
        self.u32(change.worker.0);
        self.u64(change.record);
    }

    /// Named values, some of which are not there.
    fn optional<'a, T: 'a>(
        &mut self,
        entries: impl ExactSizeIterator<Item = (&'a str, Option<&'a T>)>,
        put: fn(&mut Payload, &T),
    ) {
        self.count(entries.len());
        for (name, value) in entries {
            self.text(name);
            self.flag(value.is_some());
            value.into_iter().for_each(|value| put(self, value));
        }
    }

    fn json(&mut self, value: &Json) {
        self.text(value.as_str());
    }

    fn f64(&mut self, value: &f64) {
        self.bytes(&value.to_le_bytes());
    }

    fn reports(&mut self, trials: &Trials) {
        self.series((0..trials.len).map(|number| trials.reports(number)));
    }

    fn metrics(&mut self, study: &Study) {
        let metrics = &study.metrics;
        self.count(metrics.list.len());
        metrics.list.iter().for_each(|metric| self.u32(metric.key.0));
        let numbers = 0..study.trials.len;
        self.ints(numbers.clone().map(|number| metrics.of(number).len() as u64));
        let all = numbers.flat_map(|number| metrics.of(number));
        self.ints(all.clone().map(|(place, _)| u64::from(*place)));
        self.series(all.map(|(_, reports)| reports.as_slice()));
    }

    /// How many reports there are in each series, and all of them.
    fn series<'a>(&mut self, all: impl Iterator<Item = &'a [(u64, f64)]> + Clone) {
        self.ints(all.clone().map(|reports| reports.len() as u64));
        let reports = all.flatten();
        self.ints(reports.clone().map(|&(step, _)| step));
        reports.for_each(|(_, value)| self.bytes(&value.to_le_bytes()));
    }

    fn attributes(&mut self, trials: &Trials) {
        let mut names: BTreeMap<&str, u64> = BTreeMap::new();
        for extras in (0..trials.len).filter_map(|number| trials.extras(number)) {
            let keys = extras.user_attrs.keys().chain(extras.system_attrs.keys()).chain(extras.constraints.keys());
            names.extend(keys.map(|name| (&**name, 0)));
        }
        names.values_mut().zip(0..).for_each(|(place, index)| *place = index);
        self.count(names.len());
        self.ints(names.keys().map(|name| name.len() as u64));
        names.keys().for_each(|name| self.bytes(name.as_bytes()));
        self.attrs(trials, &names, |extras| extras.user_attrs.as_ref());
        self.attrs(trials, &names, |extras| &extras.system_attrs);
        let values = self.entries(trials, &names, |extras| &extras.constraints);
        values.for_each(|value| self.bytes(&value.to_le_bytes()));
    }

    fn attrs(&mut self, trials: &Trials, names: &BTreeMap<&str, u64>, of: MapOf<Json>) {
        let values = self.entries(trials, names, of);
        self.ints(values.clone().map(|value| value.as_str().len() as u64));
        values.for_each(|value| self.bytes(value.as_str().as_bytes()));
    }

    /// How many entries each trial has and their names, as indices; the values are for the caller.
    fn entries<'a, T: 'a>(
        &mut self,
        trials: &'a Trials,
        names: &BTreeMap<&str, u64>,
        of: MapOf<T>,
    ) -> impl Iterator<Item = &'a T> + Clone + use<'a, T> {
        let maps = (0..trials.len).map(move |number| trials.extras(number).map(of));
        self.ints(maps.clone().map(|map| map.map_or(0, |map| map.len() as u64)));
        let entries = maps.flatten().flatten();
        // Every name was entered above.
        self.ints(entries.clone().map(|(name, _)| names.get(&**name).copied().unwrap_or(0)));
        entries.map(|(_, value)| value)
    }
}
