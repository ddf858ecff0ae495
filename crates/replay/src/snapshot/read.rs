//! From bytes to a state. What the bytes say is believed only if it could have come from a log.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use trialog_ops::{
    Amendment, Budget, CategoricalDistribution, Choice, ComponentSpec, Direction, Distribution, FinalState,
    FloatDistribution, IntDistribution, Json, Note, ParamDef, ParamKey, RETRIES_MAX, RetryPolicy, SessionId,
    SessionKey, StudyConfig, StudyId, Timestamp, TrialId, TrialNumber, TrialState, WorkerKey,
};

use super::index::{self, Mask};
use super::payload::{Ints, Payload, Read, Sections};
use super::{BLOCK, Section, VERSION_WITHOUT_CHANGES, VERSION_WITHOUT_METRICS, VERSION_WITHOUT_ORDER, metrics};
use crate::audit::{Audit, Change, ChangeKind};
use crate::column::Column;
use crate::index::{Front, JointSpace};
use crate::reports::Reports;
use crate::shared_map::SharedMap;
use crate::state::{ParamTable, STEP_MAX, Session, State};
use crate::study::{Extras, ParamData, Study, Trials, USUAL, check_values, is_value};

pub(super) fn state(bytes: &[u8]) -> Read<State> {
    let (mut sections, records) = Sections::open(bytes)?;
    let mut state = State::new();
    state.records = records;
    sections.read(Section::Sessions, |payload| sessions(payload, &mut state))?;
    sections.read(Section::Params, |payload| params(payload, &mut state))?;
    if sections.version > VERSION_WITHOUT_METRICS {
        sections.read(Section::Metrics, |payload| metrics::names(payload, &mut state.metrics))?;
    }
    let places = sections.read(Section::Index, |payload| trial_index(payload, &mut state))?;
    let mut known = Known { records, workers: state.workers.list.len(), changed: false, complete: Mask::new() };
    for (id, place) in (0..).zip(places) {
        let Place::Living(ids) = place else {
            state.studies.push(None);
            continue;
        };
        let mut study = study(&mut sections, &state.params, &ids, &mut known)?;
        if sections.version > VERSION_WITHOUT_METRICS {
            sections
                .read(Section::MetricReports, |payload| metrics::reports(payload, &mut study, &state.metrics))?;
        }
        index::restore(&mut study, &known.complete);
        if state.names.insert(Arc::clone(&study.name), StudyId(id)).is_some() {
            return Err(sections.damaged("two living studies have one name"));
        }
        state.studies.push(Some(Arc::new(study)));
    }
    let needed = sections.version <= VERSION_WITHOUT_CHANGES
        || sections.version == VERSION_WITHOUT_METRICS && known.changed
        || !state.metrics.names.is_empty();
    if !needed {
        return Err(sections.damaged("a later version than it needs"));
    }
    sections.read(Section::Workers, |payload| workers(payload, &mut state))?;
    sections.read(Section::End, |_| Ok(()))?;
    if sections.at < bytes.len() {
        return Err(sections.damaged("bytes follow the end"));
    }
    Ok(state)
}

fn sessions(payload: &mut Payload<'_>, state: &mut State) -> Read<()> {
    let count = payload.length()?;
    payload.check(u32::try_from(count).is_ok(), "more sessions than can be numbered")?;
    for _ in 0..count {
        let id = SessionId(payload.array()?);
        let worker = state.workers.meet(id.worker());
        let worker = worker.map_err(|_| payload.damaged("more workers than can be numbered"))?;
        state.sessions.push(Session { id, counter: payload.u64()?, worker });
    }
    let keys = state.sessions.iter().zip(0..).map(|(session, key)| (session.id, SessionKey(key)));
    state.session_keys = keys.collect();
    payload.check(state.session_keys.len() == count, "a session is there twice")
}

/// Leases and progress, and what may still become of running and lost trials, once all trials are known.
fn workers(payload: &mut Payload<'_>, state: &mut State) -> Read<()> {
    for worker in &mut state.workers.list {
        (worker.lease_ms, worker.last) = (payload.u64()?, payload.u64()?);
        payload.check(worker.last < state.records, "a worker wrote a record that is not there")?;
    }
    let is_in = |state: &State, trial: TrialId, wanted: TrialState| {
        let place = state.trial(trial).and_then(|(id, number)| Some((state.studies.get(id.0 as usize)?, number)));
        matches!(place, Some((Some(study), number)) if study.trials.state(number.index()) == wanted)
    };
    let mut last = None;
    for _ in 0..payload.length()? {
        let (trial, worker) = (TrialId(payload.u64()?), WorkerKey(payload.u32()?));
        payload.check(last.replace(trial).is_none_or(|last| last < trial), "running trials out of order")?;
        let fits = is_in(state, trial, TrialState::Running) && state.workers.get(worker).is_some();
        payload.check(fits, "a worker runs what does not run")?;
        state.workers.begin(trial, worker);
    }
    let mut last = None;
    for _ in 0..payload.length()? {
        let trial = TrialId(payload.u64()?);
        payload.check(last.replace(trial).is_none_or(|last| last < trial), "lost trials out of order")?;
        payload.check(is_in(state, trial, TrialState::Fail), "a lost trial that has not failed")?;
        state.workers.lose(trial);
    }
    let mut last = None;
    for _ in 0..payload.length()? {
        let count = payload.length()?;
        payload.check((2..=RETRIES_MAX as usize + 1).contains(&count), "attempts that are too few or too many")?;
        let first = TrialId(payload.u64()?);
        payload.check(last.replace(first).is_none_or(|last| last < first), "attempts out of order")?;
        let study = state.trial(first).map(|(study, _)| study);
        let living = study.and_then(|id| state.studies.get(id.0 as usize)).is_some_and(Option::is_some);
        payload.check(living && state.workers.attempts_with(first).is_empty(), "attempts at what is not there")?;
        let mut before = first;
        for _ in 1..count {
            let next = TrialId(payload.u64()?);
            let fits = before < next && state.trial(next).map(|(study, _)| study) == study;
            payload.check(fits && state.workers.attempts_with(next).is_empty(), "an attempt at something else")?;
            state.workers.retry(first, next);
            before = next;
        }
    }
    Ok(())
}

fn params(payload: &mut Payload<'_>, state: &mut State) -> Read<()> {
    let count = payload.length()?;
    let count = u32::try_from(count).ok().filter(|&count| count < u32::MAX);
    let count = count.ok_or_else(|| payload.damaged("more parameters than can be numbered"))?;
    let table = Arc::make_mut(&mut state.params);
    for key in 0..count {
        let def = Arc::new(def(payload)?);
        let before = state.param_keys.insert(Arc::clone(&def), ParamKey(key));
        payload.check(before.is_none(), "a parameter is there twice")?;
        table.push(def);
    }
    Ok(())
}

fn def(payload: &mut Payload<'_>) -> Read<ParamDef> {
    let name = payload.text()?.to_owned();
    let distribution = match payload.u8()? {
        0 => {
            let (low, high): (f64, f64) = (payload.cell()?, payload.cell()?);
            let (log, has_step) = (payload.flag()?, payload.flag()?);
            let step = if has_step { Some(payload.cell::<f64>()?) } else { None };
            let kept = |d: &FloatDistribution| {
                let bits = [d.low(), d.high(), d.step().unwrap_or(0.0)].map(f64::to_bits);
                bits == [low, high, step.unwrap_or(0.0)].map(f64::to_bits)
            };
            FloatDistribution::new(low, high, log, step).ok().filter(kept).map(Distribution::Float)
        }
        1 => {
            let (low, high): (i64, i64) = (payload.cell()?, payload.cell()?);
            let (log, step) = (payload.flag()?, payload.cell()?);
            let kept = |d: &IntDistribution| (d.low(), d.high()) == (low, high);
            IntDistribution::new(low, high, log, step).ok().filter(kept).map(Distribution::Int)
        }
        2 => {
            let count = payload.length()?;
            let mut choices = Vec::new();
            for _ in 0..count {
                choices.push(choice(payload)?);
            }
            CategoricalDistribution::new(choices).ok().map(Distribution::Categorical)
        }
        _ => None,
    };
    let distribution = distribution.ok_or_else(|| payload.damaged("a distribution that cannot be drawn from"))?;
    Ok(ParamDef { name, distribution })
}

fn choice(payload: &mut Payload<'_>) -> Read<Choice> {
    Ok(match payload.u8()? {
        0 => Choice::Null,
        1 => Choice::Bool(payload.flag()?),
        2 => Choice::Int(payload.cell()?),
        3 => Choice::Float(payload.cell()?),
        4 => Choice::Str(Arc::from(payload.text()?)),
        _ => return Err(payload.damaged("a choice of no known kind")),
    })
}

/// A study's place in the log.
enum Place {
    Deleted,
    /// With the ids of its trials.
    Living(Vec<u64>),
}

fn trial_index(payload: &mut Payload<'_>, state: &mut State) -> Read<Vec<Place>> {
    let studies = payload.length()?;
    payload.check(u32::try_from(studies).is_ok(), "more studies than can be numbered")?;
    let mut places = Vec::new();
    for &living in payload.take(studies)? {
        places.push(match living {
            0 => Place::Deleted,
            1 => Place::Living(Vec::new()),
            _ => return Err(payload.damaged("a study that is neither deleted nor living")),
        });
    }
    let trials = payload.length()?;
    let study_of = payload.ints_at_least(1, trials)?;
    let mut counts = vec![0_u32; studies];
    state.trials.reserve_exact(trials);
    for (id, study) in (0..).zip(study_of.iter()) {
        let at = usize::try_from(study).unwrap_or(usize::MAX);
        let (Some(place), Some(count)) = (places.get_mut(at), counts.get_mut(at)) else {
            return Err(payload.damaged("a trial of a study that is not there"));
        };
        state.trials.push((StudyId(study as u32), TrialNumber(*count)));
        *count = count.checked_add(1).ok_or_else(|| payload.damaged("more trials than can be numbered"))?;
        if let Place::Living(ids) = place {
            ids.push(id);
        }
    }
    Ok(places)
}

/// The finished trials that indices are about.
struct States {
    complete: Mask,
    pruned_too: Mask,
}

/// What the changes of trials refer to.
struct Known {
    records: u64,
    workers: usize,
    /// Whether any trial was changed.
    changed: bool,
    /// The complete trials of the study that was read last.
    complete: Mask,
}

/// A study whose indices are still to be restored.
fn study(sections: &mut Sections<'_>, table: &ParamTable, ids: &[u64], known: &mut Known) -> Read<Study> {
    let (mut study, params) = sections.read(Section::Study, |payload| head(payload, ids.len()))?;
    let trials = &mut study.trials;
    trials.len = ids.len();
    ids.chunks(BLOCK).enumerate().for_each(|(block, ids)| trials.ids.set_chunk(block, ids.to_vec()));
    let has_order = sections.version > VERSION_WITHOUT_ORDER;
    let states = sections.read(Section::Trials, |payload| states(payload, trials, has_order))?;
    let mut with_values = None;
    for values in &mut trials.values {
        *values = sections.read(Section::Objective, |payload| {
            let (values, mask) = payload.column(ids.len())?;
            payload.check(index::is_within(&states.complete, &mask), "a complete trial has no value")?;
            let same = with_values.replace(mask.clone()).is_none_or(|before| before == mask);
            payload.check(same, "a trial has some of its values only")?;
            Ok(values)
        })?;
    }
    let mut joint = [Vec::new(), Vec::new()];
    for _ in 0..params {
        let mask = sections.read(Section::Param, |payload| param(payload, trials, table))?;
        for (joint, over) in joint.iter_mut().zip([&states.complete, &states.pruned_too]) {
            joint.push(trials.params.last().and_then(|param| index::joint_key(param, &mask, over)));
        }
    }
    let spaces = [&states.complete, &states.pruned_too];
    let [complete, pruned_too] = std::array::from_fn(|at| {
        let shared = trials.slots.values().filter_map(|&slot| Some((slot, joint[at][slot]?)));
        JointSpace { shared: index::numbers(spaces[at]).next().map(|_| shared.collect()) }
    });
    study.index.joint_complete = complete.into();
    study.index.joint_pruned_too = pruned_too.into();
    sections.read(Section::Reports, |payload| reports(payload, trials))?;
    sections.read(Section::Attributes, |payload| attributes(payload, trials))?;
    let front = sections.read(Section::Front, |payload| front(payload, &study, &states.complete))?;
    study.index.front = Arc::new(front).into();
    if sections.version > VERSION_WITHOUT_CHANGES {
        let changed = sections.read(Section::Changes, |payload| changes(payload, &mut study, known))?;
        known.changed |= changed;
    }
    known.complete = states.complete;
    Ok(study)
}

/// The study without its trials, and how many parameters they have.
fn head(payload: &mut Payload<'_>, trials: usize) -> Read<(Study, usize)> {
    let name = payload.text()?;
    let objectives = payload.length()?;
    payload.check(objectives > 0, "a study without objectives")?;
    let mut directions = Vec::new();
    for &maximize in payload.take(objectives)? {
        directions.push(match maximize {
            0 => Direction::Minimize,
            1 => Direction::Maximize,
            _ => return Err(payload.damaged("a direction of no known kind")),
        });
    }
    let mut study = Study::new(name, &directions, None);
    if payload.flag()? {
        let names: Read<Vec<String>> = directions.iter().map(|_| payload.text().map(str::to_owned)).collect();
        study.metric_names = Some(names?.into());
    }
    if payload.flag()? {
        let (sampler, pruner) = (component(payload)?, component(payload)?);
        study.config = Some(Arc::new(StudyConfig { sampler, pruner, seed: payload.u64()? }));
    }
    let mut limit = || if payload.flag()? { payload.u64().map(Some) } else { Ok(None) };
    let (trials_max, finished_max, until) = (limit()?, limit()?, limit()?);
    let until = until.map(|until| Timestamp(until.cast_signed()));
    study.budget = Budget { trials: trials_max, finished: finished_max, until };
    study.retry_policy = RetryPolicy { retries_max: payload.u32()?, inherit_reports: payload.flag()? };
    payload.check(study.retry_policy.retries_max <= RETRIES_MAX, "more retries than there may be")?;
    study.user_attrs = Arc::new(study_attrs(payload)?);
    study.system_attrs = Arc::new(study_attrs(payload)?);
    let (found, params) = (payload.length()?, payload.length()?);
    payload.check(found == trials, "a study has other trials than the index says")?;
    Ok((study, params))
}

fn component(payload: &mut Payload<'_>) -> Read<ComponentSpec> {
    let name = payload.text()?.to_owned();
    Ok(ComponentSpec { name, version: payload.u32()?, options: payload.json()? })
}

fn study_attrs(payload: &mut Payload<'_>) -> Read<BTreeMap<Arc<str>, Json>> {
    let count = payload.length()?;
    let mut attrs = BTreeMap::new();
    for _ in 0..count {
        let (key, value): (Arc<str>, Json) = (Arc::from(payload.text()?), payload.json()?);
        let rising = attrs.last_key_value().is_none_or(|(last, _)| *last < key);
        payload.check(rising, "attributes out of order")?;
        attrs.insert(key, value);
    }
    Ok(attrs)
}

fn states(payload: &mut Payload<'_>, trials: &mut Trials, has_order: bool) -> Read<States> {
    let bytes = payload.take(trials.len)?;
    let [mut finished, mut complete, mut pruned_too] = [const { Mask::new() }; 3];
    for (block, bytes) in bytes.chunks(BLOCK).enumerate() {
        let states: Option<Vec<TrialState>> = bytes.iter().map(|&byte| TrialState::from_number(byte)).collect();
        let states = states.ok_or_else(|| payload.damaged("a trial in no known state"))?;
        let bits = |is: fn(TrialState) -> bool| {
            states.iter().rev().fold(0_u128, |bits, &state| bits << 1 | u128::from(is(state)))
        };
        finished.push(bits(TrialState::is_finished));
        complete.push(bits(|state| state == TrialState::Complete));
        pruned_too.push(bits(|state| matches!(state, TrialState::Complete | TrialState::Pruned)));
        trials.states.set_chunk(block, states);
    }
    (trials.starts, _) = payload.column(trials.len)?;
    let ended;
    (trials.ends, ended) = payload.column(trials.len)?;
    payload.check(index::is_within(&ended, &finished), "a trial ended and is not finished")?;
    if has_order {
        order(payload, trials, finished)?;
    } else {
        // The times say nearly the same.
        let mut order: Vec<usize> = index::numbers(&finished).collect();
        order.sort_by_key(|&number| *trials.ends.get(number));
        order.into_iter().for_each(|number| trials.push_ended(number));
    }
    Ok(States { complete, pruned_too })
}

/// The order in which the finished trials ended.
fn order(payload: &mut Payload<'_>, trials: &mut Trials, mut finished: Mask) -> Read<()> {
    let count = finished.iter().map(|bits| bits.count_ones() as usize).sum();
    for number in payload.ints(count)?.iter() {
        let at = usize::try_from(number).unwrap_or(usize::MAX);
        let bit = 1 << (at % BLOCK);
        let block = finished.get_mut(at / BLOCK).filter(|bits| **bits & bit != 0);
        *block.ok_or_else(|| payload.damaged("the order of ends has a trial twice or an unfinished one"))? ^= bit;
        trials.push_ended(at);
    }
    Ok(())
}

/// Reads the next parameter of the trials and says which trials have it.
fn param(payload: &mut Payload<'_>, trials: &mut Trials, table: &ParamTable) -> Read<Mask> {
    const MISFIT: &str = "a value that its distribution cannot have";
    let first_key = ParamKey(payload.u32()?);
    let known = |payload: &Payload<'_>, key| {
        table.get(key).ok_or_else(|| payload.damaged("a parameter that was never defined"))
    };
    let first = known(payload, first_key)?;
    let slot = trials.params.len();
    let name: Arc<str> = Arc::from(first.name.as_str());
    let before = Arc::make_mut(&mut trials.slots).insert(Arc::clone(&name), slot);
    payload.check(before.is_none(), "a study has a parameter twice")?;
    let mark = u32::try_from(slot + 1).map_err(|_| payload.damaged("more parameters than can be numbered"))?;
    trials.slot_of_key.set(first_key.0 as usize, mark);

    let (values, mask) = payload.column(trials.len)?;
    let mut param = ParamData { name, first: Arc::clone(first), first_key, values, keys: Column::new(USUAL) };
    let keys = payload.ints(trials.len)?;
    if keys.is_zero() {
        // Real and whole numbers are all right as they are.
        if matches!(first.distribution, Distribution::Categorical(_)) {
            let mut values = index::numbers(&mask).filter_map(|number| param.value(number));
            payload.check(values.all(|value| is_value(&first.distribution, value)), MISFIT)?;
        }
        trials.params.push(param);
        return Ok(mask);
    }
    for (number, key) in keys.iter().enumerate() {
        let value = param.value(number);
        let Some(key) = key.checked_sub(1) else {
            payload.check(value.is_none_or(|value| is_value(&first.distribution, value)), MISFIT)?;
            continue;
        };
        let key = ParamKey(u32::try_from(key).unwrap_or(u32::MAX));
        let def = known(payload, key)?;
        if *trials.slot_of_key.get(key.0 as usize) != mark {
            let fits = *def.name == *param.name && def.distribution.is_compatible(&first.distribution);
            payload.check(fits, "a parameter changed into another one")?;
            trials.slot_of_key.set(key.0 as usize, mark);
        }
        payload.check(key != first_key, "the usual key is written out")?;
        payload.check(value.is_some_and(|value| is_value(&def.distribution, value)), MISFIT)?;
        param.keys.set(number, key.0);
    }
    trials.params.push(param);
    Ok(mask)
}

fn reports(payload: &mut Payload<'_>, trials: &mut Trials) -> Read<()> {
    series(payload, trials.len, |_, number, reports| {
        trials.reports.set(number, Some(reports));
        Ok(())
    })
}

/// So many series of reports; those that have any are given away by their place.
pub(super) fn series<'a>(
    payload: &mut Payload<'a>,
    len: usize,
    mut give: impl FnMut(&Payload<'a>, usize, Arc<Reports>) -> Read<()>,
) -> Read<()> {
    let counts = payload.ints(len)?;
    let total = counts.sum().ok_or_else(|| payload.damaged("more reports than memory can hold"))?;
    let steps = payload.ints(total)?;
    let values = payload.cells::<f64>(total)?;
    if total == 0 {
        return Ok(());
    }
    let mut reports = steps.iter().zip(values);
    for (at, count) in counts.iter().enumerate().filter(|&(_, count)| count > 0) {
        let entries: Vec<(u64, f64)> = reports.by_ref().take(count as usize).collect();
        let rising = entries.is_sorted_by(|(step, _), (next, _)| step < next);
        payload.check(rising, "reports must come by rising step")?;
        payload.check(entries.last().is_some_and(|&(step, _)| step <= STEP_MAX), "a step is too large")?;
        give(payload, at, Arc::new(Reports::from_sorted(entries)))?;
    }
    Ok(())
}

fn attributes(payload: &mut Payload<'_>, trials: &mut Trials) -> Read<()> {
    let count = payload.length()?;
    let lens = payload.ints(count)?;
    let mut names: Vec<(Arc<str>, bool)> = Vec::new();
    for len in lens.iter() {
        let name = payload.text_of(usize::try_from(len).unwrap_or(usize::MAX))?;
        let rising = names.last().is_none_or(|(last, _)| **last < *name);
        payload.check(rising, "names out of order")?;
        names.push((Arc::from(name), false));
    }
    attrs(payload, trials, &mut names, |extras| Arc::make_mut(&mut extras.user_attrs))?;
    attrs(payload, trials, &mut names, |extras| &mut extras.system_attrs)?;
    let entries = Entries::read(payload, trials.len)?;
    let mut values = payload.cells::<f64>(entries.names.count)?;
    payload.check(!values.clone().any(f64::is_nan), "a constraint is NaN")?;
    entries.give(payload, trials, &mut names, |extras| &mut extras.constraints, |_, _| values.next())?;
    payload.check(names.iter().all(|&(_, used)| used), "a name that nothing has")
}

fn attrs(
    payload: &mut Payload<'_>,
    trials: &mut Trials,
    names: &mut [(Arc<str>, bool)],
    of: fn(&mut Extras) -> &mut BTreeMap<Arc<str>, Json>,
) -> Read<()> {
    let entries = Entries::read(payload, trials.len)?;
    let lens = payload.ints(entries.names.count)?;
    // An empty text is no JSON, so that as many bytes follow as there are entries.
    payload.check(!lens.is_zero() || entries.names.count == 0, "an attribute is not JSON")?;
    let mut texts = Vec::new();
    for len in lens.iter() {
        texts.push(payload.json_of(usize::try_from(len).unwrap_or(usize::MAX))?);
    }
    let mut texts = texts.into_iter();
    entries.give(payload, trials, names, of, |_, _| texts.next())
}

/// Named values of trials.
struct Entries<'a> {
    /// How many each trial has.
    counts: Ints<'a>,
    /// Their names, as indices.
    names: Ints<'a>,
}

impl<'a> Entries<'a> {
    fn read(payload: &mut Payload<'a>, trials: usize) -> Read<Entries<'a>> {
        let counts = payload.ints(trials)?;
        let total = counts.sum().ok_or_else(|| payload.damaged("more attributes than memory can hold"))?;
        Ok(Entries { counts, names: payload.ints(total)? })
    }

    /// Puts the values where they belong.
    fn give<T>(
        self,
        payload: &Payload<'_>,
        trials: &mut Trials,
        names: &mut [(Arc<str>, bool)],
        of: fn(&mut Extras) -> &mut BTreeMap<Arc<str>, T>,
        mut next: impl FnMut(u64, u64) -> Option<T>,
    ) -> Read<()> {
        if self.names.count == 0 {
            return Ok(());
        }
        let mut indices = self.names.iter();
        for (number, count) in self.counts.iter().enumerate().filter(|&(_, count)| count > 0) {
            let place = of(trials.extras_mut(number));
            for index in indices.by_ref().take(count as usize) {
                let name = usize::try_from(index).ok().and_then(|index| names.get_mut(index));
                let (Some((name, used)), Some(value)) = (name, next(count, index)) else {
                    return Err(payload.damaged("an attribute without a name"));
                };
                let rising = place.last_key_value().is_none_or(|(last, _)| *last < *name);
                payload.check(rising, "attributes out of order")?;
                *used = true;
                place.insert(Arc::clone(name), value);
            }
        }
        Ok(())
    }
}

/// The changes of trials after their end. Says whether there are any.
fn changes(payload: &mut Payload<'_>, study: &mut Study, known: &Known) -> Read<bool> {
    let (count, objectives) = (payload.length()?, study.directions.len());
    let mut audits: Vec<(u32, Option<Arc<Audit>>)> = Vec::new();
    for _ in 0..count {
        let number = payload.u32()?;
        let rising = audits.last().is_none_or(|&(last, _)| last < number);
        payload.check(rising && (number as usize) < study.trials.len, "changed trials out of order")?;
        let audit = audit(payload, TrialNumber(number), objectives, known)?;
        payload.check(is_now(&audit, &study.trials, number as usize), "a trial is not what its changes made it")?;
        audits.push((number, Some(Arc::new(audit))));
    }
    study.trials.audits = SharedMap::from_sorted(audits);
    Ok(count > 0)
}

/// The changes of one trial, each of which must have been possible when it came.
fn audit(payload: &mut Payload<'_>, number: TrialNumber, objectives: usize, known: &Known) -> Read<Audit> {
    let (state, values) = (final_state(payload)?, values(payload)?);
    let fits = check_values(state.into(), &values, objectives).is_ok();
    payload.check(fits, "a trial could not have ended so")?;
    let mut audit = Audit::new(state, values);
    let attrs = optional(payload, Payload::json)?;
    let constraints = optional(payload, Payload::cell::<f64>)?;
    let sorted = |names: Vec<&str>| names.is_sorted_by(|a, b| a < b);
    let in_order = sorted(attrs.iter().map(|(key, _)| key.as_str()).collect())
        && sorted(constraints.iter().map(|(name, _)| name.as_str()).collect());
    payload.check(in_order, "what was before is out of order")?;
    let was_nan = constraints.iter().any(|(_, value)| value.is_some_and(f64::is_nan));
    payload.check(!was_nan, "a constraint is NaN")?;
    audit.user_attrs = attrs.into_iter().map(|(key, value)| (Arc::from(key), value)).collect();
    audit.constraints = constraints.into_iter().map(|(name, value)| (Arc::from(name), value)).collect();
    let count = payload.length()?;
    payload.check(count > 0, "a changed trial without a change")?;
    let mut touched: (BTreeSet<String>, BTreeSet<String>) = Default::default();
    for _ in 0..count {
        let what = match payload.u8()? {
            0 => ChangeKind::Voided,
            1 => ChangeKind::Unvoided,
            2 => ChangeKind::Amended(amendment(payload)?),
            3 => ChangeKind::Undone(payload.u32()?),
            _ => return Err(payload.damaged("a change of no known kind")),
        };
        let possible = audit.check(&what, number, objectives).is_ok();
        payload.check(possible, "a change that was not possible")?;
        if let ChangeKind::Amended(amendment) = &what {
            touched.0.extend(amendment.user_attrs.iter().map(|(key, _)| key.clone()));
            touched.1.extend(amendment.constraints.iter().map(|(name, _)| name.clone()));
        }
        let by = payload.text()?.to_owned();
        let at = Timestamp(i64::from_le_bytes(payload.array()?));
        let note = Note { by, at, reason: payload.text()?.to_owned() };
        let (worker, record) = (WorkerKey(payload.u32()?), payload.u64()?);
        let rising = audit.changes.last().is_none_or(|last| last.record <= record);
        let fits = rising && record < known.records && (worker.0 as usize) < known.workers;
        payload.check(fits, "a change by a record that is not there")?;
        audit.changes.push(Change { what, note, worker, record });
    }
    let all_there = audit.user_attrs.keys().map(AsRef::as_ref).eq(touched.0.iter().map(String::as_str))
        && audit.constraints.keys().map(AsRef::as_ref).eq(touched.1.iter().map(String::as_str));
    payload.check(all_there, "other attributes were before than those that changed")?;
    Ok(audit)
}

fn final_state(payload: &mut Payload<'_>) -> Read<FinalState> {
    match TrialState::from_number(payload.u8()?) {
        Some(TrialState::Complete) => Ok(FinalState::Complete),
        Some(TrialState::Pruned) => Ok(FinalState::Pruned),
        Some(TrialState::Fail) => Ok(FinalState::Fail),
        _ => Err(payload.damaged("a trial ended in no known state")),
    }
}

fn values(payload: &mut Payload<'_>) -> Read<Vec<f64>> {
    let count = payload.length()?;
    Ok(payload.cells(count)?.collect())
}

fn amendment(payload: &mut Payload<'_>) -> Read<Amendment> {
    Ok(Amendment {
        state: if payload.flag()? { Some(final_state(payload)?) } else { None },
        values: if payload.flag()? { Some(values(payload)?) } else { None },
        user_attrs: optional(payload, Payload::json)?,
        constraints: optional(payload, Payload::cell::<f64>)?,
    })
}

fn optional<'a, T>(
    payload: &mut Payload<'a>,
    take: fn(&mut Payload<'a>) -> Read<T>,
) -> Read<Vec<(String, Option<T>)>> {
    let mut entries = Vec::new();
    for _ in 0..payload.length()? {
        let name = payload.text()?.to_owned();
        let value = if payload.flag()? { Some(take(payload)?) } else { None };
        entries.push((name, value));
    }
    Ok(entries)
}

/// True if the trial says what its changes left it with.
fn is_now(audit: &Audit, trials: &Trials, number: usize) -> bool {
    let says = audit.says_now();
    let state = if audit.voided().is_some() { TrialState::Fail } else { says.state.into() };
    let bits = |values: &[f64]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
    let extras = trials.extras(number).cloned().unwrap_or_default();
    let attr = |(key, value): (&Arc<str>, &Option<Json>)| extras.user_attrs.get(key) == value.as_ref();
    let constraint = |(name, value): (&Arc<str>, &Option<f64>)| {
        extras.constraints.get(name).map(|value| value.to_bits()) == value.map(f64::to_bits)
    };
    trials.state(number) == state
        && bits(&trials.final_values(number)) == bits(&says.values)
        && says.user_attrs.iter().all(attr)
        && says.constraints.iter().all(constraint)
}

fn front(payload: &mut Payload<'_>, study: &Study, complete: &Mask) -> Read<Front> {
    let trials = &study.trials;
    let count = payload.length()?;
    payload.check(count <= trials.len, "a front of more trials than there are")?;
    payload.check(count == 0 || study.directions.len() > 1, "a front of a single objective")?;
    let numbers = payload.ints(count)?;
    let mut front = Front::default();
    for number in numbers.iter() {
        let rising = front.numbers.last().is_none_or(|&last| u64::from(last) < number);
        payload.check(rising && number < trials.len as u64, "a front out of order")?;
        let at = number as usize;
        let ranked = complete[at / BLOCK] >> (at % BLOCK) & 1 == 1 && trials.is_feasible(at);
        payload.check(ranked, "a front with a trial that is not complete and feasible")?;
        front.numbers.push(number as u32);
        front.losses.extend(study.losses(at));
    }
    Ok(front)
}
