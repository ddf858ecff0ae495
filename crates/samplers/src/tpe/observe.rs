//! What trials had as parameters, as columns for a density. A trial without all of the parameters is not among
//! them.

use std::ops::Range;

use trialog_ops::{TrialNumber, TrialState};
use trialog_replay::{Column, ParamColumn, StudyView, TrialView};

/// The values that these trials have.
pub(crate) fn of_trials(view: &StudyView, names: &[&str], numbers: &[u32]) -> Vec<Vec<f64>> {
    let Some(columns) = columns(view, names) else { return vec![Vec::new(); names.len()] };
    let has_all = |number: &u32| columns.iter().all(|column| column.value(TrialNumber(*number)).is_some());
    let numbers: Vec<u32> = numbers.iter().copied().filter(has_all).collect();
    let values =
        |column: &ParamColumn<'_>| numbers.iter().filter_map(|&number| column.value(TrialNumber(number))).collect();
    columns.iter().map(values).collect()
}

/// All the parameters' columns, or none if one does not exist.
fn columns<'a>(view: &'a StudyView, names: &[&str]) -> Option<Vec<ParamColumn<'a>>> {
    names.iter().map(|name| view.param(name)).collect()
}

/// The trials that are not among the good ones.
pub(crate) struct Others<'a> {
    /// The good ones' numbers, rising.
    pub(crate) good: &'a [u32],
    /// The trial that asks, which knows nothing of itself.
    pub(crate) asking: TrialNumber,
    /// Whether running trials are among them.
    pub(crate) running: bool,
}

impl Others<'_> {
    /// The values that they have, oldest first.
    pub(crate) fn observe(&self, view: &StudyView, names: &[&str]) -> Vec<Vec<f64>> {
        self.observe_numbered(view, names).1
    }

    /// Their numbers and the values that they have, oldest first.
    pub(crate) fn observe_numbered(&self, view: &StudyView, names: &[&str]) -> (Vec<u32>, Vec<Vec<f64>>) {
        const CHUNK: usize = Column::<f64>::CHUNK;
        let mut numbers: Vec<u32> = Vec::new();
        let Some(columns) = columns(view, names) else { return (numbers, vec![Vec::new(); names.len()]) };
        let mut observed: Vec<Vec<f64>> = names.iter().map(|_| Vec::with_capacity(view.trial_count())).collect();
        for chunk in 0..view.trial_count().div_ceil(CHUNK) {
            let slices: Vec<&[f64]> = columns.iter().map(|column| column.values().chunk(chunk)).collect();
            let len = slices.iter().map(|slice| slice.len()).min().unwrap_or(0);
            let mut counts = [true; CHUNK];
            let counts = &mut counts[..len];
            self.mark_states(view, chunk * CHUNK, counts);
            for slice in slices.iter().filter(|slice| any_missing(&slice[..len])) {
                for (counts, value) in counts.iter_mut().zip(*slice) {
                    *counts &= !value.is_nan();
                }
            }
            for run in runs(counts) {
                numbers.extend(run.clone().map(|offset| (chunk * CHUNK + offset) as u32));
                for (observed, slice) in observed.iter_mut().zip(&slices) {
                    observed.extend_from_slice(&slice[run.clone()]);
                }
            }
        }
        (numbers, observed)
    }

    /// Clears the marks of trials that do not count, whatever parameters they have.
    fn mark_states(&self, view: &StudyView, start: usize, counts: &mut [bool]) {
        let excluded = view.count(TrialState::Fail) + view.count(TrialState::Waiting);
        if excluded > 0 {
            for (offset, counts) in counts.iter_mut().enumerate() {
                let state = view.trial(TrialNumber((start + offset) as u32)).map(TrialView::state);
                *counts = !matches!(state, Some(TrialState::Fail | TrialState::Waiting));
            }
        }
        let mut clear = |number: u32| {
            if let Some(counts) = (number as usize).checked_sub(start).and_then(|offset| counts.get_mut(offset)) {
                *counts = false;
            }
        };
        let first = self.good.partition_point(|&number| (number as usize) < start);
        let here =
            self.good[first..].iter().take_while(|&&number| (number as usize) < start + Column::<f64>::CHUNK);
        here.for_each(|&number| clear(number));
        clear(self.asking.0);
        if !self.running {
            view.running().for_each(|trial| clear(trial.number().0));
        }
    }
}

/// Whether a trial lacks the parameter; without stopping at the first, which makes it a vector instruction.
fn any_missing(values: &[f64]) -> bool {
    values.iter().fold(false, |any, value| any | value.is_nan())
}

/// The stretches of marked elements.
fn runs(marks: &[bool]) -> Vec<Range<usize>> {
    let mut runs = Vec::new();
    let mut rest = 0;
    while let Some(skipped) = marks[rest..].iter().position(|&mark| mark) {
        let start = rest + skipped;
        let end = marks[start..].iter().position(|&mark| !mark).map_or(marks.len(), |length| start + length);
        runs.push(start..end);
        rest = end;
    }
    runs
}
