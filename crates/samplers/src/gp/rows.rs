//! The complete trials as the processes see them: inputs on [0, 1], and targets of which larger is better.

use std::collections::BTreeMap;
use std::sync::Arc;

use trialog_numerics::{Points, non_dominated_ranks};
use trialog_ops::{ParamDef, ParamKey, StudyId, TrialState};
use trialog_replay::{Lineage, StudyView, TrialView};

use super::axes::Axis;
use super::branches::absent;
use super::categories;
use super::model::Inputs;

/// One row for each complete trial, in the order in which they ended.
#[derive(Clone, Debug)]
pub(crate) struct Rows {
    lineage: Lineage,
    study: StudyId,
    params: Vec<ParamKey>,
    /// How many ended trials have been looked at.
    seen: usize,
    pub(crate) inputs: Inputs,
    /// Which of the first 64 parameters each has, by bits.
    pub(crate) present: Vec<u64>,
    /// Minus the losses, by objective.
    scores: Vec<Vec<f64>>,
    /// Minus the constraints' values, by name. A trial that lacks one just meets it.
    slacks: BTreeMap<String, Vec<f64>>,
    violations: Vec<f64>,
    pub(crate) is_feasible: Vec<bool>,
}

impl Rows {
    /// The rows of a view, going on from those of an earlier view of the same history.
    pub(crate) fn update(
        known: Option<Arc<Rows>>,
        view: &StudyView,
        params: &[(ParamKey, &Arc<ParamDef>)],
    ) -> Rows {
        let axes: Vec<Axis> = params.iter().map(|(_, def)| Axis::of(&def.distribution)).collect();
        let is_earlier = |rows: &Rows| {
            rows.lineage == *view.lineage()
                && rows.study == view.id()
                && rows.seen <= view.ended_count()
                && rows.params.iter().eq(params.iter().map(|(key, _)| key))
        };
        let known = known.map(Arc::unwrap_or_clone).filter(is_earlier);
        let mut rows = known.unwrap_or_else(|| Rows {
            lineage: view.lineage().clone(),
            study: view.id(),
            params: params.iter().map(|(key, _)| *key).collect(),
            seen: 0,
            inputs: Inputs::new(categories(&axes)),
            present: Vec::new(),
            scores: vec![Vec::new(); view.directions().len()],
            slacks: BTreeMap::new(),
            violations: Vec::new(),
            is_feasible: Vec::new(),
        });
        for trial in view.ended_after(rows.seen) {
            rows.seen += 1;
            if trial.state() == TrialState::Complete {
                rows.add(view, trial, params, &axes);
            }
        }
        rows
    }

    fn add(
        &mut self,
        view: &StudyView,
        trial: TrialView<'_>,
        params: &[(ParamKey, &Arc<ParamDef>)],
        axes: &[Axis],
    ) {
        let mut present = 0;
        let place = |(d, ((_, def), axis)): (usize, (&(ParamKey, &Arc<ParamDef>), &Axis))| {
            let Some(value) = trial.param(&def.name) else { return absent(axis) };
            present |= 1_u64.checked_shl(d as u32).unwrap_or(0);
            axis.normalize(value)
        };
        self.inputs.push(&params.iter().zip(axes).enumerate().map(place).collect::<Vec<f64>>());
        self.present.push(present);
        for (at, (scores, direction)) in self.scores.iter_mut().zip(view.directions()).enumerate() {
            scores.push(-direction.loss(trial.value(at).unwrap_or(f64::INFINITY)));
        }
        let before = self.is_feasible.len();
        for (name, value) in trial.constraints() {
            let slacks = self.slacks.entry(name.to_owned()).or_insert_with(|| vec![0.0; before]);
            slacks.push(if value.is_nan() { f64::NEG_INFINITY } else { -value });
        }
        self.is_feasible.push(trial.is_feasible());
        self.violations.push(trial.violation());
        for slacks in self.slacks.values_mut() {
            slacks.resize(before + 1, 0.0);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.inputs.len
    }

    /// What processes are fitted to: the objectives, and then the constraints by name.
    pub(crate) fn targets(&self) -> impl Iterator<Item = &[f64]> {
        self.scores.iter().chain(self.slacks.values()).map(Vec::as_slice)
    }

    pub(crate) fn inputs_of(&self, rows: &[usize]) -> Inputs {
        let columns = self.inputs.columns.iter().map(|column| rows.iter().map(|&row| column[row]).collect());
        Inputs { len: rows.len(), columns: columns.collect(), is_category: self.inputs.is_category.clone() }
    }

    /// At most `most` of the first `count` rows, rising: the better half of them, and the others evenly from the rest,
    /// so that the model is fine where it matters and knows of everything else.
    pub(crate) fn choose(&self, count: usize, most: usize) -> Vec<usize> {
        if count <= most {
            return (0..count).collect();
        }
        let ranks: Vec<f64> = match &self.scores[..] {
            [scores] => scores[..count].iter().map(|score| -score).collect(),
            scores => {
                let losses: Vec<f64> =
                    (0..count).flat_map(|row| scores.iter().map(move |scores| -scores[row])).collect();
                non_dominated_ranks(Points::new(&losses, scores.len())).into_iter().map(f64::from).collect()
            }
        };
        let mut order: Vec<usize> = (0..count).collect();
        let key =
            |row: usize| if self.is_feasible[row] { (false, ranks[row]) } else { (true, self.violations[row]) };
        order.sort_by(|&a, &b| {
            let ((bad_a, a), (bad_b, b)) = (key(a), key(b));
            bad_a.cmp(&bad_b).then(a.total_cmp(&b))
        });
        let best = most / 2;
        let mut rest = order.split_off(best);
        rest.sort_unstable();
        let others = most - best;
        order.extend((0..others).map(|at| rest[at * rest.len() / others]));
        order.sort_unstable();
        order
    }
}

/// Values with mean 0 and standard deviation 1.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Standard {
    pub(crate) values: Vec<f64>,
    /// What 0 becomes.
    pub(crate) of_zero: f64,
    /// All values are equal to working precision, and have become 0.
    pub(crate) is_constant: bool,
}

impl Standard {
    /// Infinite values count as the largest or smallest finite one, as in Optuna.
    pub(crate) fn of(values: &[f64]) -> Standard {
        let finite = || values.iter().copied().filter(|v| v.is_finite());
        let (low, high) = (finite().fold(f64::INFINITY, f64::min), finite().fold(f64::NEG_INFINITY, f64::max));
        // Dividing first: the sum of some values may be too large for a number.
        let size = low.abs().max(high.abs());
        if !(size > 0.0 && size.is_finite()) || low == high {
            return Standard { values: vec![0.0; values.len()], of_zero: 0.0, is_constant: true };
        }
        let clipped: Vec<f64> = values.iter().map(|v| v.max(low).min(high) / size).collect();
        let n = clipped.len() as f64;
        let mean = clipped.iter().sum::<f64>() / n;
        let deviation = (clipped.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / n).sqrt();
        // What differs in the last places only is rounding.
        if deviation <= 1e-14 {
            return Standard { values: vec![0.0; values.len()], of_zero: 0.0, is_constant: true };
        }
        let values = clipped.iter().map(|v| (v - mean) / deviation).collect();
        Standard { values, of_zero: -mean / deviation, is_constant: false }
    }
}
