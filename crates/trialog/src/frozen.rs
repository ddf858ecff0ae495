//! A trial as it was when somebody looked: plain data.

use std::collections::BTreeMap;
use std::fmt;

use trialog_ops::{Distribution, Json, ParamValue, Timestamp, TrialId, TrialNumber, TrialState};
use trialog_replay::{Change, Late, TrialView};

/// Parameters by name, printed as `{a: 1, b: relu}`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Params(pub BTreeMap<String, ParamValue>);

impl Params {
    /// The value of a parameter.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&ParamValue> {
        self.0.get(name)
    }

    /// Names and values, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &ParamValue)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }
}

impl fmt::Display for Params {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (i, (name, value)) in self.0.iter().enumerate() {
            let separator = if i == 0 { "" } else { ", " };
            write!(f, "{separator}{name}: {value}")?;
        }
        f.write_str("}")
    }
}

/// A trial as it was when somebody looked.
#[derive(Clone, Debug, PartialEq)]
pub struct FrozenTrial {
    /// Its number in the study, from 0.
    pub number: TrialNumber,
    /// Its id in the log.
    pub id: TrialId,
    /// Where it stood.
    pub state: TrialState,
    /// One value per objective, if it has any.
    pub values: Vec<f64>,
    /// Its parameters.
    pub params: Params,
    /// What they were drawn from.
    pub distributions: BTreeMap<String, Distribution>,
    /// Its intermediate values, by rising step. A withdrawn trial has none here, see
    /// [`TrialView::told_reports`].
    pub intermediate_values: Vec<(u64, f64)>,
    /// What it reported of named metrics, each by rising step; like the others none if it was withdrawn.
    pub metrics: BTreeMap<String, Vec<(u64, f64)>>,
    /// When it began.
    pub start: Option<Timestamp>,
    /// When it ended.
    pub end: Option<Timestamp>,
    /// What the user noted.
    pub user_attrs: BTreeMap<String, Json>,
    /// What tools noted.
    pub system_attrs: BTreeMap<String, Json>,
    /// Its constraints; each is met when it is at most 0.
    pub constraints: BTreeMap<String, f64>,
    /// True if its worker was declared lost and it has not come back in time. Its state is failed then.
    pub lost: bool,
    /// How the lost trial ended after all, if that was told too late to count.
    pub late: Option<Late>,
    /// The numbers of the trials that this one tries again, the first attempt first.
    pub attempts_before: Vec<TrialNumber>,
    /// True if it was withdrawn. Its state is failed then, and the last of its changes that withdrew it says why.
    pub voided: bool,
    /// What was decided about it after its end, in the order of the log.
    pub changes: Vec<Change>,
}

impl FrozenTrial {
    /// The value of a single objective.
    #[must_use]
    pub fn value(&self) -> Option<f64> {
        match *self.values {
            [value] => Some(value),
            _ => None,
        }
    }

    /// True if every constraint is met.
    #[must_use]
    pub fn is_feasible(&self) -> bool {
        self.constraints.values().all(|&value| value <= 0.0)
    }

    /// The last step it reported.
    #[must_use]
    pub fn last_step(&self) -> Option<u64> {
        self.intermediate_values.last().map(|&(step, _)| step)
    }
}

impl From<TrialView<'_>> for FrozenTrial {
    fn from(trial: TrialView<'_>) -> FrozenTrial {
        let mut params = BTreeMap::new();
        let mut distributions = BTreeMap::new();
        for (name, distribution, value) in trial.params() {
            params.insert(name.to_owned(), distribution.to_external(value));
            distributions.insert(name.to_owned(), distribution.clone());
        }
        let owned = |(key, value): (&str, &Json)| (key.to_owned(), value.clone());
        FrozenTrial {
            number: trial.number(),
            id: trial.id(),
            state: trial.state(),
            values: trial.values().collect(),
            params: Params(params),
            distributions,
            intermediate_values: trial.reports().to_vec(),
            metrics: trial.metrics().map(|(name, reports)| (name.to_owned(), reports.to_vec())).collect(),
            start: trial.start(),
            end: trial.end(),
            user_attrs: trial.user_attrs().map(owned).collect(),
            system_attrs: trial.system_attrs().map(owned).collect(),
            constraints: trial.constraints().map(|(name, value)| (name.to_owned(), value)).collect(),
            lost: trial.is_lost(),
            late: trial.late(),
            attempts_before: trial.attempts_before(),
            voided: trial.voided().is_some(),
            changes: trial.changes().to_vec(),
        }
    }
}
