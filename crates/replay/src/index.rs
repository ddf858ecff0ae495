//! What follows from a study's trials, so that nobody has to search for it: counts, the best, the front, the joint space, and
//! order statistics.

use std::sync::{Arc, OnceLock};

use trialog_ops::{ParamKey, TrialState};

use crate::rank::RankList;
use crate::shared_map::SharedMap;
use crate::study::{BEST_KEPT, Trials};

/// What follows from the trials, so that nobody has to search for it.
///
/// A trial that is withdrawn or amended leaves what it was entered into. Where only a look at all others could say
/// what takes its place, the entry is emptied, and the next reader fills it again: `Study` has the methods.
#[derive(Clone, Debug)]
pub(crate) struct Index {
    pub(crate) counts: [usize; 5],
    /// How many of the failed trials never began.
    pub(crate) never_begun: usize,
    pub(crate) running: SharedMap<u32, ()>,
    pub(crate) waiting: SharedMap<u32, ()>,
    /// Loss and number of the best feasible complete trials of a single-objective study, best first. If there are
    /// fewer than [`BEST_KEPT`], these are all.
    pub(crate) best: OnceLock<Vec<(f64, u32)>>,
    /// The feasible complete trials that no other dominates, of a multi-objective study.
    pub(crate) front: OnceLock<Arc<Front>>,
    pub(crate) joint_complete: OnceLock<JointSpace>,
    pub(crate) joint_pruned_too: OnceLock<JointSpace>,
    /// Of the reports without a name.
    pub(crate) steps: StepIndex,
}

/// Order statistics of what was reported: of the reports without a name, or of one metric.
#[derive(Clone, Debug)]
pub(crate) struct StepIndex {
    /// The largest step that a complete trial reported, NaN or not.
    pub(crate) last_complete: OnceLock<Option<u64>>,
    /// Values that complete trials reported, by step.
    pub(crate) complete_at: SharedMap<u64, Arc<RankList>>,
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

impl Index {
    pub(crate) fn new() -> Index {
        Index {
            counts: [0; 5],
            never_begun: 0,
            running: SharedMap::new(),
            waiting: SharedMap::new(),
            best: OnceLock::from(Vec::new()),
            front: OnceLock::from(Arc::default()),
            joint_complete: OnceLock::from(JointSpace::default()),
            joint_pruned_too: OnceLock::from(JointSpace::default()),
            steps: StepIndex::new(),
        }
    }

    pub(crate) fn enter(&mut self, number: usize, state: TrialState) {
        self.counts[state as usize] += 1;
        match state {
            TrialState::Running => _ = self.running.get_or_default(number as u32),
            TrialState::Waiting => _ = self.waiting.get_or_default(number as u32),
            _ => {}
        }
    }

    pub(crate) fn leave(&mut self, number: usize, state: TrialState) {
        self.counts[state as usize] -= 1;
        match state {
            TrialState::Running => self.running.remove(number as u32),
            TrialState::Waiting => self.waiting.remove(number as u32),
            _ => {}
        }
    }
}

impl StepIndex {
    pub(crate) fn new() -> StepIndex {
        StepIndex { last_complete: OnceLock::from(None), complete_at: SharedMap::new() }
    }

    /// Enters all that a complete trial reported.
    pub(crate) fn complete_in(&mut self, reports: &[(u64, f64)]) {
        if let Some(last) = self.last_complete.get_mut() {
            *last = (*last).max(last_step(reports));
        }
        for &(step, value) in reports {
            if !value.is_nan() {
                Arc::make_mut(self.complete_at.get_or_default(step)).insert(value);
            }
        }
    }

    /// Takes it out again.
    pub(crate) fn complete_out(&mut self, reports: &[(u64, f64)]) {
        for &(step, value) in reports {
            if value.is_nan() {
                continue;
            }
            let list = Arc::make_mut(self.complete_at.get_or_default(step));
            list.remove(value);
            if list.is_empty() {
                self.complete_at.remove(step);
            }
        }
        let last = last_step(reports);
        let stays = last.is_none_or(|step| self.complete_at.get(step).is_some());
        if !stays && self.last_complete.get() == Some(&last) {
            self.last_complete.take();
        }
    }
}

pub(crate) fn last_step(reports: &[(u64, f64)]) -> Option<u64> {
    reports.last().map(|&(step, _)| step)
}

impl Front {
    /// True if some trial of the front dominates one with these losses.
    pub(crate) fn dominates(&self, losses: &[f64]) -> bool {
        self.losses.chunks_exact(losses.len()).any(|other| dominates(other, losses))
    }

    /// Adds a trial that none dominates, and drops those that it dominates.
    pub(crate) fn insert(&mut self, number: u32, losses: &[f64]) {
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

pub(crate) fn insert_best(best: &mut Vec<(f64, u32)>, entry: (f64, u32)) {
    let before = |other: &(f64, u32)| (other.0, other.1) < entry;
    if best.len() < BEST_KEPT || !best.last().is_some_and(before) {
        let at = best.partition_point(before);
        best.insert(at, entry);
        best.truncate(BEST_KEPT);
    }
}

/// True if the first losses are nowhere worse and somewhere better.
fn dominates(a: &[f64], b: &[f64]) -> bool {
    let pairs = || a.iter().zip(b);
    pairs().all(|(a, b)| a <= b) && pairs().any(|(a, b)| a < b)
}

impl JointSpace {
    /// The space that the trials in certain states share.
    pub(crate) fn of(trials: &Trials, counts: impl Fn(TrialState) -> bool) -> JointSpace {
        let mut joint = JointSpace::default();
        (0..trials.len)
            .filter(|&number| counts(trials.state(number)))
            .for_each(|number| joint.narrow(trials, number));
        joint
    }

    /// Keeps what the newly finished trial shares with the ones before it.
    pub(crate) fn narrow(&mut self, trials: &Trials, number: usize) {
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
