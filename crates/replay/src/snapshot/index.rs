//! What follows from the trials, all at once: the same as if every trial had come by itself.

use std::collections::BTreeMap;
use std::sync::Arc;

use trialog_ops::{ParamKey, TrialState};

use super::BLOCK;
use crate::index::{StepIndex, last_step};
use crate::rank::RankList;
use crate::shared_map::SharedMap;
use crate::study::{ParamData, Study};

/// A set of trials: a bit for each, in blocks as columns have them.
pub(super) type Mask = Vec<u128>;

/// The trials of a mask, in order.
pub(super) fn numbers(mask: &[u128]) -> impl Iterator<Item = usize> + '_ {
    mask.iter().enumerate().flat_map(|(block, &bits)| {
        let mut rest = bits;
        std::iter::from_fn(move || {
            let bit = rest.trailing_zeros() as usize;
            rest &= rest.checked_sub(1)?;
            Some(block * BLOCK + bit)
        })
    })
}

/// True if all trials of the first mask are in the second.
pub(super) fn is_within(inner: &[u128], outer: &[u128]) -> bool {
    inner.iter().zip(outer).all(|(inner, outer)| inner & !outer == 0)
}

/// The key under which all trials of `over` have the parameter, if there are any and they do.
pub(super) fn joint_key(param: &ParamData, present: &[u128], over: &[u128]) -> Option<ParamKey> {
    if !is_within(over, present) {
        return None;
    }
    let mut keys = numbers(over).map(|number| param.key(number));
    let first = keys.next()?;
    let uniform = (0..over.len()).all(|block| param.is_uniform_in_chunk(block));
    (uniform || keys.all(|key| key == first)).then_some(first)
}

/// Everything but the joint spaces and the front, which are there already.
pub(super) fn restore(study: &mut Study, complete: &[u128]) {
    let (trials, index) = (&study.trials, &mut study.index);
    let states = (0..trials.len.div_ceil(BLOCK)).flat_map(|block| trials.states.chunk(block));
    let (mut running, mut waiting) = (Vec::new(), Vec::new());
    for (state, number) in states.zip(0_u32..) {
        index.counts[*state as usize] += 1;
        let never_begun = *state == TrialState::Fail && trials.start(number as usize).is_none();
        index.never_begun += usize::from(never_begun);
        match state {
            TrialState::Running => running.push((number, ())),
            TrialState::Waiting => waiting.push((number, ())),
            _ => {}
        }
    }
    index.running = SharedMap::from_sorted(running);
    index.waiting = SharedMap::from_sorted(waiting);

    let (mut plain, metrics) = (Steps::default(), &mut study.metrics);
    let mut named: Vec<Steps> = metrics.list.iter().map(|_| Steps::default()).collect();
    for number in numbers(complete) {
        plain.complete(trials.reports(number));
        metrics.of(number).iter().for_each(|(slot, reports)| named[*slot as usize].complete(reports.as_slice()));
    }
    index.steps = plain.finish();
    for (metric, steps) in metrics.list.iter_mut().zip(named) {
        Arc::make_mut(metric).steps = steps.finish();
    }

    if study.directions.len() == 1 {
        for number in numbers(complete) {
            if study.trials.is_feasible(number) {
                study.rank(number);
            }
        }
    }
}

/// The order statistics of one series on their way.
#[derive(Default)]
struct Steps {
    last: Option<u64>,
    complete_at: Lists<u64>,
}

impl Steps {
    fn complete(&mut self, reports: &[(u64, f64)]) {
        self.last = self.last.max(last_step(reports));
        reports.iter().for_each(|&(step, value)| self.complete_at.add(step, value));
    }

    fn finish(self) -> StepIndex {
        StepIndex { last_complete: self.last.into(), complete_at: self.complete_at.finish() }
    }
}

/// Values by key. Most trials report at the same steps in the same order, so the key that followed the last one
/// before is tried first.
struct Lists<K> {
    places: BTreeMap<K, usize>,
    lists: Vec<List<K>>,
    last: usize,
}

struct List<K> {
    key: K,
    values: Vec<f64>,
    /// The list that was added to after this one.
    next: usize,
}

impl<K> Default for Lists<K> {
    fn default() -> Lists<K> {
        Lists { places: BTreeMap::new(), lists: Vec::new(), last: 0 }
    }
}

impl<K: Ord + Copy> Lists<K> {
    fn add(&mut self, key: K, value: f64) {
        if value.is_nan() {
            return;
        }
        let guess = self.lists.get(self.last).map_or(0, |list| list.next);
        let at = if self.lists.get(guess).is_some_and(|list| list.key == key) {
            guess
        } else {
            let at = *self.places.entry(key).or_insert(self.lists.len());
            if at == self.lists.len() {
                self.lists.push(List { key, values: Vec::new(), next: 0 });
            }
            self.lists[self.last].next = at;
            at
        };
        self.lists[at].values.push(value);
        self.last = at;
    }

    fn finish(mut self) -> SharedMap<K, Arc<RankList>> {
        self.lists.sort_unstable_by_key(|list| list.key);
        SharedMap::from_sorted(
            self.lists.into_iter().map(|list| (list.key, Arc::new(RankList::from_values(list.values)))),
        )
    }
}
