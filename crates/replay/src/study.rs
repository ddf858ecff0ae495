//! The state of one study: its trials as columns, and everything that samplers and pruners would otherwise have
//! to search for, kept up to date as trials change.

use std::collections::BTreeMap;
use std::sync::Arc;

use trialog_ops::{
    Budget, Direction, Distribution, FinalState, Json, ParamDef, ParamKey, RetryPolicy, StudyConfig, StudyId,
    Timestamp, TrialId, TrialState, TrialTemplate,
};

use crate::column::Column;
use crate::lost;
use crate::rank::RankList;
use crate::reports::Reports;
use crate::shared_map::SharedMap;
use crate::verdict::Reason;

/// How many of the best trials of a single-objective study are kept in order.
pub const BEST_KEPT: usize = 64;

/// No time.
pub(crate) const NEVER: i64 = i64::MIN;

/// A parameter's key where the column's usual one applies.
pub(crate) const USUAL: u32 = u32::MAX;

#[derive(Clone, Debug)]
pub(crate) struct Study {
    pub(crate) name: Arc<str>,
    pub(crate) directions: Arc<[Direction]>,
    pub(crate) metric_names: Option<Arc<[String]>>,
    pub(crate) config: Option<Arc<StudyConfig>>,
    pub(crate) budget: Budget,
    pub(crate) retry_policy: RetryPolicy,
    // Shared, so that a change of a trial beside a held view does not copy them.
    pub(crate) user_attrs: Arc<BTreeMap<Arc<str>, Json>>,
    pub(crate) system_attrs: Arc<BTreeMap<Arc<str>, Json>>,
    pub(crate) trials: Trials,
    pub(crate) index: Index,
}

/// What the log said of each trial, by trial number.
#[derive(Clone, Debug)]
pub(crate) struct Trials {
    pub(crate) len: usize,
    pub(crate) ids: Column<u64>,
    pub(crate) states: Column<TrialState>,
    pub(crate) starts: Column<i64>,
    pub(crate) ends: Column<i64>,
    /// The finished trials in the order in which they ended, each once: a lost one where it was declared lost.
    pub(crate) ended: Column<u32>,
    pub(crate) ended_len: usize,
    /// One column per objective; NaN where a trial has no value.
    pub(crate) values: Vec<Column<f64>>,
    pub(crate) params: Vec<ParamData>,
    pub(crate) slots: Arc<BTreeMap<Arc<str>, usize>>,
    /// The column of each parameter key of the log, plus one; 0 where the study has not met it.
    pub(crate) slot_of_key: Column<u32>,
    pub(crate) reports: Column<Option<Arc<Reports>>>,
    extras: Column<Option<Arc<Extras>>>,
}

/// One parameter of a study.
#[derive(Clone, Debug)]
pub(crate) struct ParamData {
    pub(crate) name: Arc<str>,
    /// The first distribution it was used with, which later ones must be compatible with.
    pub(crate) first: Arc<ParamDef>,
    pub(crate) first_key: ParamKey,
    /// NaN where a trial does not have it.
    pub(crate) values: Column<f64>,
    pub(crate) keys: Column<u32>,
}

/// What few trials have.
#[derive(Clone, Debug, Default)]
pub(crate) struct Extras {
    /// Shared by all attempts at a trial.
    pub(crate) user_attrs: Arc<BTreeMap<Arc<str>, Json>>,
    pub(crate) system_attrs: BTreeMap<Arc<str>, Json>,
    pub(crate) constraints: BTreeMap<Arc<str>, f64>,
}

/// What follows from the trials, so that nobody has to search for it.
#[derive(Clone, Debug)]
pub(crate) struct Index {
    pub(crate) counts: [usize; 5],
    /// How many of the failed trials never began.
    pub(crate) never_begun: usize,
    pub(crate) running: SharedMap<u32, ()>,
    pub(crate) waiting: SharedMap<u32, ()>,
    /// Loss and number of the best feasible complete trials of a single-objective study, best first.
    pub(crate) best: Vec<(f64, u32)>,
    /// The feasible complete trials that no other dominates, of a multi-objective study.
    pub(crate) front: Arc<Front>,
    pub(crate) joint_complete: JointSpace,
    pub(crate) joint_pruned_too: JointSpace,
    /// The largest step that a complete trial reported, NaN or not.
    pub(crate) last_complete_step: Option<u64>,
    /// Values that complete trials reported, by step.
    pub(crate) complete_at: SharedMap<u64, Arc<RankList>>,
    /// Values that trials of any state reported first at or after a rung: by their step, and there by the
    /// smallest rung for which they do.
    pub(crate) first_at: SharedMap<(u64, u64), Arc<RankList>>,
}

/// A Pareto front: numbers, ascending, and the losses of each in a row, since every new trial is compared with all.
#[derive(Clone, Debug, Default)]
pub(crate) struct Front {
    pub(crate) numbers: Vec<u32>,
    pub(crate) losses: Vec<f64>,
}

/// The parameters that all finished trials share with equal distributions: column and key, by name.
#[derive(Clone, Debug, Default)]
pub(crate) struct JointSpace {
    pub(crate) shared: Option<Vec<(usize, ParamKey)>>,
}

/// Whether a study's budget lets another trial begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    Granted,
    /// Not now: running trials hold what is left, and give it back if they fail.
    Reserved,
    Spent,
}

impl Admission {
    pub(crate) fn refusal(self, study: StudyId) -> Option<Reason> {
        match self {
            Admission::Granted => None,
            Admission::Reserved => Some(Reason::BudgetSpent { study, reserved: true }),
            Admission::Spent => Some(Reason::BudgetSpent { study, reserved: false }),
        }
    }
}

impl Study {
    pub(crate) fn new(name: &str, directions: &[Direction], config: Option<&StudyConfig>) -> Study {
        Study {
            name: Arc::from(name),
            directions: Arc::from(directions),
            metric_names: None,
            config: config.cloned().map(Arc::new),
            budget: Budget::default(),
            retry_policy: RetryPolicy::default(),
            user_attrs: Arc::default(),
            system_attrs: Arc::default(),
            trials: Trials::new(directions.len()),
            index: Index::new(),
        }
    }

    /// Adds an empty trial in this state and returns its number.
    pub(crate) fn push(&mut self, id: TrialId, state: TrialState, start: Option<Timestamp>) -> usize {
        let number = self.trials.len;
        self.trials.len += 1;
        self.trials.ids.set(number, id.0);
        self.trials.starts.set(number, start.map_or(NEVER, |t| t.0));
        self.trials.states.set(number, state);
        self.index.enter(number, state);
        number
    }

    /// Adds a whole trial whose parameters, in `params`, were checked and defined before.
    pub(crate) fn push_template(
        &mut self,
        id: TrialId,
        template: &TrialTemplate,
        params: &[(ParamKey, Arc<ParamDef>, f64)],
    ) -> usize {
        // It arrives as waiting and then becomes what it is, so that there is one way to finish a trial.
        let number = self.push(id, TrialState::Waiting, template.start);
        for (key, def, value) in params {
            self.set_param(number, *key, def, *value);
        }
        for &(step, value) in &template.reports {
            self.report(number, step, value);
        }
        if !(template.user_attrs.is_empty() && template.system_attrs.is_empty() && template.constraints.is_empty())
        {
            let extras = self.trials.extras_mut(number);
            for (key, value) in &template.user_attrs {
                Arc::make_mut(&mut extras.user_attrs).insert(Arc::from(key.as_str()), value.clone());
            }
            for (key, value) in &template.system_attrs {
                extras.system_attrs.insert(Arc::from(key.as_str()), value.clone());
            }
            for (name, value) in &template.constraints {
                extras.constraints.entry(Arc::from(name.as_str())).or_insert(*value);
            }
        }
        // An unfinished trial may come with values; they stay until it ends with others.
        self.trials.set_values(number, &template.values);
        match template.state {
            TrialState::Waiting => {}
            TrialState::Running => self.move_to(number, TrialState::Running),
            TrialState::Complete => self.finish(number, FinalState::Complete, &[], template.end),
            TrialState::Pruned => self.finish(number, FinalState::Pruned, &[], template.end),
            TrialState::Fail => self.finish(number, FinalState::Fail, &[], template.end),
        }
        number
    }

    pub(crate) fn claim(&mut self, number: usize, start: Timestamp) {
        self.trials.starts.set(number, start.0);
        self.move_to(number, TrialState::Running);
    }

    pub(crate) fn requeue(&mut self, number: usize) {
        self.move_to(number, TrialState::Waiting);
    }

    fn move_to(&mut self, number: usize, state: TrialState) {
        let before = self.trials.state(number);
        if self.trials.start(number).is_none() {
            self.index.never_begun -= usize::from(before == TrialState::Fail);
            self.index.never_begun += usize::from(state == TrialState::Fail);
        }
        self.index.leave(number, before);
        self.trials.states.set(number, state);
        self.index.enter(number, state);
    }

    /// How many trials have begun, however they ended.
    pub(crate) fn begun(&self) -> usize {
        let [running, complete, pruned, fail, _waiting] = self.index.counts;
        running + complete + pruned + fail - self.index.never_begun
    }

    /// How many trials have ended with a result, and how many may still.
    fn places(&self) -> (u64, u64) {
        let [running, complete, pruned, ..] = self.index.counts;
        ((complete + pruned) as u64, running as u64)
    }

    /// Whether a trial may begin at this time.
    pub(crate) fn admits(&self, start: Timestamp) -> Admission {
        let Budget { trials, finished, until } = self.budget;
        let (ended, running) = self.places();
        if trials.is_some_and(|max| self.begun() as u64 >= max)
            || until.is_some_and(|until| start >= until)
            || finished.is_some_and(|max| ended >= max)
        {
            return Admission::Spent;
        }
        match finished {
            Some(max) if ended + running >= max => Admission::Reserved,
            _ => Admission::Granted,
        }
    }

    /// True if a trial more may end with a result.
    pub(crate) fn has_place(&self) -> bool {
        let (ended, running) = self.places();
        self.budget.finished.is_none_or(|max| ended + running < max)
    }

    /// Adds a waiting trial that tries another one again, with its parameters and the user's notes. `history` has
    /// the numbers of all attempts before.
    pub(crate) fn push_retry(&mut self, id: TrialId, of: usize, history: &[u32]) -> usize {
        let number = self.push(id, TrialState::Waiting, None);
        for param in &mut self.trials.params {
            let Some(value) = param.value(of) else { continue };
            let mark = *param.keys.get(of);
            param.values.set(number, value);
            if *param.keys.get(number) != mark {
                param.keys.set(number, mark);
            }
        }
        if self.retry_policy.inherit_reports {
            let reports = self.trials.reports(of).to_vec();
            reports.into_iter().for_each(|(step, value)| self.report(number, step, value));
        }
        let mut extras = Extras::default();
        if let Some(before) = self.trials.extras(of) {
            extras.user_attrs = Arc::clone(&before.user_attrs);
            if let Some((key, fixed)) = before.system_attrs.get_key_value(lost::FIXED_PARAMS) {
                extras.system_attrs.insert(Arc::clone(key), fixed.clone());
            }
        }
        let first = i64::from(history.first().copied().unwrap_or_default());
        extras.system_attrs.insert(Arc::from(lost::FAILED_TRIAL), first.into());
        extras.system_attrs.insert(Arc::from(lost::RETRY_HISTORY), lost::numbers(history));
        *self.trials.extras_mut(number) = extras;
        number
    }

    /// Ends a trial; the number of values was checked before.
    pub(crate) fn finish(&mut self, number: usize, state: FinalState, values: &[f64], end: Option<Timestamp>) {
        if !self.trials.state(number).is_finished() {
            self.trials.push_ended(number);
        }
        self.move_to(number, state.into());
        self.trials.ends.set(number, end.map_or(NEVER, |t| t.0));
        self.trials.set_values(number, values);
        match state {
            FinalState::Fail => {}
            FinalState::Pruned => self.index.joint_pruned_too.narrow(&self.trials, number),
            FinalState::Complete => {
                self.index.joint_pruned_too.narrow(&self.trials, number);
                self.index.joint_complete.narrow(&self.trials, number);
                let last = self.trials.reports(number).last().map(|&(step, _)| step);
                self.index.last_complete_step = self.index.last_complete_step.max(last);
                for &(step, value) in self.trials.reports(number) {
                    if !value.is_nan() {
                        Arc::make_mut(self.index.complete_at.get_or_default(step)).insert(value);
                    }
                }
                if self.trials.is_feasible(number) {
                    self.rank(number);
                }
            }
        }
    }

    /// Enters a complete, feasible trial among the best.
    pub(crate) fn rank(&mut self, number: usize) {
        let as_u32 = number as u32;
        if let [direction] = *self.directions {
            let entry = (direction.loss(*self.trials.values[0].get(number)), as_u32);
            let before = |other: &(f64, u32)| (other.0, other.1) < entry;
            if self.index.best.len() < BEST_KEPT || !self.index.best.last().is_some_and(before) {
                let at = self.index.best.partition_point(before);
                self.index.best.insert(at, entry);
                self.index.best.truncate(BEST_KEPT);
            }
            return;
        }
        let losses = self.losses(number);
        if !self.index.front.dominates(&losses) {
            Arc::make_mut(&mut self.index.front).insert(as_u32, &losses);
        }
    }

    /// The values of a complete trial, smaller being better.
    pub(crate) fn losses(&self, number: usize) -> Vec<f64> {
        let columns = self.trials.values.iter().zip(&*self.directions);
        columns.map(|(column, way)| way.loss(*column.get(number))).collect()
    }

    /// True if the study may use the definition under its name.
    pub(crate) fn is_compatible(&self, def: &ParamDef) -> bool {
        let known = self.trials.slots.get(def.name.as_str()).map(|&slot| &self.trials.params[slot].first);
        known.is_none_or(|first| first.distribution.is_compatible(&def.distribution))
    }

    pub(crate) fn has_key(&self, key: ParamKey) -> bool {
        *self.trials.slot_of_key.get(key.0 as usize) != 0
    }

    /// Sets a parameter whose definition was checked before.
    pub(crate) fn set_param(&mut self, number: usize, key: ParamKey, def: &Arc<ParamDef>, value: f64) {
        let trials = &mut self.trials;
        let known = *trials.slot_of_key.get(key.0 as usize);
        let slot = if known != 0 {
            known as usize - 1
        } else {
            let slot = trials.slot(key, def);
            trials.slot_of_key.set(key.0 as usize, slot as u32 + 1);
            slot
        };
        let param = &mut trials.params[slot];
        param.values.set(number, value);
        let mark = if key == param.first_key { USUAL } else { key.0 };
        // Most studies never change a range, and then the second column stays empty.
        if *param.keys.get(number) != mark {
            param.keys.set(number, mark);
        }
    }

    pub(crate) fn retract_param(&mut self, number: usize, key: ParamKey) {
        if let Some(slot) = (*self.trials.slot_of_key.get(key.0 as usize)).checked_sub(1) {
            let param = &mut self.trials.params[slot as usize];
            if param.value(number).is_some() && param.key(number) == key {
                param.values.set(number, f64::NAN);
            }
        }
    }

    pub(crate) fn report(&mut self, number: usize, step: u64, value: f64) {
        let reports = Arc::make_mut(self.trials.reports.get_mut(number).get_or_insert_default());
        let index = &mut self.index;
        let at = reports.as_slice().partition_point(|&(other, _)| other < step);
        // A report answers for the rungs after the report before it, up to its own step.
        let from = if at == 0 { 0 } else { reports.as_slice()[at - 1].0 + 1 };
        match reports.as_slice().get(at) {
            Some(&(other, old)) if other == step => {
                index.leave_rungs(from, step, old);
                reports.set(at, value);
            }
            Some(&(next, next_value)) => {
                index.leave_rungs(from, next, next_value);
                index.reach_rungs(step + 1, next, next_value);
                reports.insert(at, (step, value));
            }
            None => reports.insert(at, (step, value)),
        }
        index.reach_rungs(from, step, value);
    }
}

impl Trials {
    fn new(objectives: usize) -> Trials {
        Trials {
            len: 0,
            ids: Column::new(0),
            states: Column::new(TrialState::Waiting),
            starts: Column::new(NEVER),
            ends: Column::new(NEVER),
            ended: Column::new(0),
            ended_len: 0,
            values: vec![Column::new(f64::NAN); objectives],
            params: Vec::new(),
            slots: Arc::default(),
            slot_of_key: Column::new(0),
            reports: Column::new(None),
            extras: Column::new(None),
        }
    }

    pub(crate) fn id(&self, number: usize) -> TrialId {
        TrialId(*self.ids.get(number))
    }

    pub(crate) fn state(&self, number: usize) -> TrialState {
        *self.states.get(number)
    }

    pub(crate) fn start(&self, number: usize) -> Option<Timestamp> {
        Some(*self.starts.get(number)).filter(|&t| t != NEVER).map(Timestamp)
    }

    pub(crate) fn end(&self, number: usize) -> Option<Timestamp> {
        Some(*self.ends.get(number)).filter(|&t| t != NEVER).map(Timestamp)
    }

    pub(crate) fn push_ended(&mut self, number: usize) {
        self.ended.set(self.ended_len, number as u32);
        self.ended_len += 1;
    }

    fn set_values(&mut self, number: usize, values: &[f64]) {
        for (column, value) in self.values.iter_mut().zip(values) {
            column.set(number, *value);
        }
    }

    pub(crate) fn reports(&self, number: usize) -> &[(u64, f64)] {
        self.reports.get(number).as_ref().map_or(&[], |reports| reports.as_slice())
    }

    pub(crate) fn extras(&self, number: usize) -> Option<&Extras> {
        self.extras.get(number).as_deref()
    }

    pub(crate) fn extras_mut(&mut self, number: usize) -> &mut Extras {
        Arc::make_mut(self.extras.get_mut(number).get_or_insert_default())
    }

    pub(crate) fn is_feasible(&self, number: usize) -> bool {
        self.extras(number).is_none_or(|extras| extras.constraints.values().all(|&value| value <= 0.0))
    }

    pub(crate) fn param(&self, name: &str) -> Option<&ParamData> {
        self.slots.get(name).map(|&slot| &self.params[slot])
    }

    /// Parameters by name.
    pub(crate) fn params_by_name(&self) -> impl Iterator<Item = &ParamData> {
        self.slots.values().map(|&slot| &self.params[slot])
    }

    fn slot(&mut self, key: ParamKey, def: &Arc<ParamDef>) -> usize {
        if let Some(&slot) = self.slots.get(def.name.as_str()) {
            return slot;
        }
        let slot = self.params.len();
        let name: Arc<str> = Arc::from(def.name.as_str());
        Arc::make_mut(&mut self.slots).insert(Arc::clone(&name), slot);
        self.params.push(ParamData {
            name,
            first: Arc::clone(def),
            first_key: key,
            values: Column::new(f64::NAN),
            keys: Column::new(USUAL),
        });
        slot
    }
}

impl ParamData {
    pub(crate) fn value(&self, number: usize) -> Option<f64> {
        Some(*self.values.get(number)).filter(|value| !value.is_nan())
    }

    pub(crate) fn key(&self, number: usize) -> ParamKey {
        match *self.keys.get(number) {
            USUAL => self.first_key,
            key => ParamKey(key),
        }
    }

    /// True if no trial ever used another distribution than the first.
    pub(crate) fn is_uniform_in_chunk(&self, chunk: usize) -> bool {
        self.keys.chunk(chunk).is_empty()
    }
}

impl Index {
    fn new() -> Index {
        Index {
            counts: [0; 5],
            never_begun: 0,
            running: SharedMap::new(),
            waiting: SharedMap::new(),
            best: Vec::new(),
            front: Arc::default(),
            joint_complete: JointSpace::default(),
            joint_pruned_too: JointSpace::default(),
            last_complete_step: None,
            complete_at: SharedMap::new(),
            first_at: SharedMap::new(),
        }
    }

    fn enter(&mut self, number: usize, state: TrialState) {
        self.counts[state as usize] += 1;
        match state {
            TrialState::Running => _ = self.running.get_or_default(number as u32),
            TrialState::Waiting => _ = self.waiting.get_or_default(number as u32),
            _ => {}
        }
    }

    fn leave(&mut self, number: usize, state: TrialState) {
        self.counts[state as usize] -= 1;
        match state {
            TrialState::Running => self.running.remove(number as u32),
            TrialState::Waiting => self.waiting.remove(number as u32),
            _ => {}
        }
    }
}

impl Index {
    /// A value reported at `step` is the first at or after the rungs from `from` on.
    fn reach_rungs(&mut self, from: u64, step: u64, value: f64) {
        if !value.is_nan() {
            Arc::make_mut(self.first_at.get_or_default((step, from))).insert(value);
        }
    }

    /// It no longer is.
    fn leave_rungs(&mut self, from: u64, step: u64, value: f64) {
        if value.is_nan() {
            return;
        }
        let list = Arc::make_mut(self.first_at.get_or_default((step, from)));
        list.remove(value);
        if list.is_empty() {
            self.first_at.remove((step, from));
        }
    }
}

impl Front {
    /// True if some trial of the front dominates one with these losses.
    fn dominates(&self, losses: &[f64]) -> bool {
        self.losses.chunks_exact(losses.len()).any(|other| dominates(other, losses))
    }

    /// Adds a trial that none dominates, and drops those that it dominates.
    fn insert(&mut self, number: u32, losses: &[f64]) {
        let width = losses.len();
        let mut kept = 0;
        for at in 0..self.numbers.len() {
            let entry = at * width..(at + 1) * width;
            if !dominates(losses, &self.losses[entry.clone()]) {
                self.numbers[kept] = self.numbers[at];
                self.losses.copy_within(entry, kept * width);
                kept += 1;
            }
        }
        self.numbers.truncate(kept);
        self.losses.truncate(kept * width);
        let at = self.numbers.partition_point(|&other| other < number);
        self.numbers.insert(at, number);
        self.losses.splice(at * width..at * width, losses.iter().copied());
    }
}

/// True if the first losses are nowhere worse and somewhere better.
fn dominates(a: &[f64], b: &[f64]) -> bool {
    let pairs = || a.iter().zip(b);
    pairs().all(|(a, b)| a <= b) && pairs().any(|(a, b)| a < b)
}

impl JointSpace {
    /// Keeps what the newly finished trial shares with the ones before it.
    fn narrow(&mut self, trials: &Trials, number: usize) {
        let has = |slot: usize| trials.params[slot].value(number).is_some();
        match &mut self.shared {
            Some(shared) => shared.retain(|&(slot, key)| has(slot) && trials.params[slot].key(number) == key),
            None => {
                let all = trials.slots.values().filter(|&&slot| has(slot));
                self.shared = Some(all.map(|&slot| (slot, trials.params[slot].key(number))).collect());
            }
        }
    }
}

/// True if the value can stand for a parameter with this distribution.
pub(crate) fn is_value(distribution: &Distribution, value: f64) -> bool {
    match distribution {
        Distribution::Categorical(_) => distribution.contains(value),
        Distribution::Float(_) | Distribution::Int(_) => !value.is_nan(),
    }
}

/// What is wrong with a template, apart from its parameters.
pub(crate) fn check_template(template: &TrialTemplate, objectives: usize) -> Result<(), Reason> {
    let bad = |detail| Err(Reason::BadTemplate { detail });
    check_values(template.state, &template.values, objectives)?;
    if template.state.is_finished() != template.end.is_some() {
        return bad("a trial has an end time exactly if it is finished");
    }
    if template.reports.windows(2).any(|pair| pair[0].0 >= pair[1].0) {
        return bad("reports must come by rising step");
    }
    if template.reports.last().is_some_and(|&(step, _)| step == u64::MAX) {
        return bad("a step is too large");
    }
    if template.constraints.iter().any(|(_, value)| value.is_nan()) {
        return Err(Reason::Nan);
    }
    Ok(())
}

/// A complete trial has a value for each objective; any other has as many or none.
pub(crate) fn check_values(state: TrialState, values: &[f64], objectives: usize) -> Result<(), Reason> {
    let may_be_none = state != TrialState::Complete;
    if values.len() != objectives && !(may_be_none && values.is_empty()) {
        return Err(Reason::ValueCount { expected: objectives, found: values.len() });
    }
    if values.iter().any(|value| value.is_nan()) { Err(Reason::Nan) } else { Ok(()) }
}
