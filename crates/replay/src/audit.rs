//! What was decided about a finished trial afterwards: withdrawals and amendments, each with its author, its time and
//! its reason. What the trial said before any of them is kept, so that each can be taken back.

use std::collections::BTreeMap;
use std::sync::Arc;

use trialog_ops::{Amendment, FinalState, Json, Note, TrialNumber, WorkerKey};

use crate::study::check_values;
use crate::verdict::Reason;

/// How often a trial can be changed after its end, so that the cost of a change stays bounded.
pub const CHANGES_MAX: usize = 100;

/// One change of a finished trial, as the log has it.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// What was changed.
    pub what: ChangeKind,
    /// By whom, when and why.
    pub note: Note,
    /// The worker that wrote it.
    pub worker: WorkerKey,
    /// The position in the log, from 0, of the record that has it.
    pub record: u64,
}

/// The kinds of changes.
#[derive(Clone, Debug, PartialEq)]
pub enum ChangeKind {
    /// The trial was withdrawn.
    Voided,
    /// It counts again.
    Unvoided,
    /// Something of it was corrected.
    Amended(Amendment),
    /// An amendment was taken back: the change at this place.
    Undone(u32),
}

/// An amendment beside what the trial said before.
#[derive(Clone, Debug, PartialEq)]
pub struct Amended<'a> {
    /// Its place among the trial's changes, by which it can be undone.
    pub place: u32,
    /// What is right, according to its author.
    pub amendment: &'a Amendment,
    /// What the trial said of the same things before.
    pub before: Amendment,
    /// By whom, when and why.
    pub note: &'a Note,
    /// False if it was taken back.
    pub is_in_force: bool,
}

/// The changes of one trial.
#[derive(Clone, Debug)]
pub(crate) struct Audit {
    /// How the trial ended before the first change.
    pub(crate) state: FinalState,
    /// With which values.
    pub(crate) values: Vec<f64>,
    /// The attributes that amendments touched, as they were before the first one that did.
    pub(crate) user_attrs: BTreeMap<Arc<str>, Option<Json>>,
    pub(crate) constraints: BTreeMap<Arc<str>, Option<f64>>,
    pub(crate) changes: Vec<Change>,
}

/// What a trial says after some of its changes, of all that any of them touches.
#[derive(Clone, Debug)]
pub(crate) struct Says {
    pub(crate) state: FinalState,
    pub(crate) values: Vec<f64>,
    pub(crate) user_attrs: BTreeMap<Arc<str>, Option<Json>>,
    pub(crate) constraints: BTreeMap<Arc<str>, Option<f64>>,
}

impl Audit {
    pub(crate) fn new(state: FinalState, values: Vec<f64>) -> Audit {
        Audit { state, values, user_attrs: BTreeMap::new(), constraints: BTreeMap::new(), changes: Vec::new() }
    }

    /// The change by which the trial is withdrawn, if it is.
    pub(crate) fn voided(&self) -> Option<&Change> {
        let of_kind = |change: &&Change| matches!(change.what, ChangeKind::Voided | ChangeKind::Unvoided);
        self.changes.iter().rev().find(of_kind).filter(|change| change.what == ChangeKind::Voided)
    }

    /// Places and contents of the amendments among the first changes, without those that some of these took back.
    fn in_force(&self, changes: usize) -> impl Iterator<Item = (usize, &Amendment)> {
        let changes = &self.changes[..changes];
        let undone = |place: usize| changes.iter().any(|change| change.what == ChangeKind::Undone(place as u32));
        changes.iter().enumerate().filter_map(move |(place, change)| match &change.what {
            ChangeKind::Amended(amendment) if !undone(place) => Some((place, amendment)),
            _ => None,
        })
    }

    /// True if there is an amendment at this place that was not taken back.
    pub(crate) fn is_in_force(&self, place: u32) -> bool {
        self.in_force(self.changes.len()).any(|(other, _)| other == place as usize)
    }

    /// What the trial says after so many of its changes, withdrawn or not.
    pub(crate) fn says(&self, changes: usize) -> Says {
        self.fold(changes, None)
    }

    /// What it would say if this amendment were taken back too.
    fn says_without(&self, place: usize) -> Says {
        self.fold(self.changes.len(), Some(place))
    }

    fn fold(&self, changes: usize, without: Option<usize>) -> Says {
        let mut says = Says {
            state: self.state,
            values: self.values.clone(),
            user_attrs: self.user_attrs.clone(),
            constraints: self.constraints.clone(),
        };
        let kept = self.in_force(changes).filter(|&(place, _)| Some(place) != without);
        kept.for_each(|(_, amendment)| says.amend(amendment));
        says
    }

    /// What the trial says after all of its changes, withdrawn or not.
    pub(crate) fn says_now(&self) -> Says {
        self.says(self.changes.len())
    }

    /// Why the next change of the trial with this number cannot be this one.
    pub(crate) fn check(&self, what: &ChangeKind, number: TrialNumber, objectives: usize) -> Result<(), Reason> {
        match (self.voided().is_some(), what) {
            (true, ChangeKind::Unvoided) | (false, ChangeKind::Voided) => {}
            (false, ChangeKind::Unvoided) => return Err(Reason::NotVoided { number }),
            (true, _) => return Err(Reason::Voided { number }),
            (false, ChangeKind::Amended(amendment)) => {
                if amendment.is_empty() {
                    return Err(Reason::NoChange);
                }
                if amendment.constraints.iter().any(|(_, value)| value.is_some_and(f64::is_nan)) {
                    return Err(Reason::Nan);
                }
                let mut says = self.says_now();
                says.amend(amendment);
                check_values(says.state.into(), &says.values, objectives)?;
            }
            (false, ChangeKind::Undone(place)) => {
                if !self.is_in_force(*place) {
                    return Err(Reason::NotInForce { number, change: *place });
                }
                let says = self.says_without(*place as usize);
                check_values(says.state.into(), &says.values, objectives)?;
            }
        }
        if self.changes.len() >= CHANGES_MAX {
            return Err(Reason::TooManyChanges { max: CHANGES_MAX });
        }
        Ok(())
    }

    /// What the trial said before all changes, of what they touch.
    pub(crate) fn before(&self) -> Amendment {
        let attrs = self.user_attrs.iter();
        Amendment {
            state: Some(self.state),
            values: Some(self.values.clone()),
            user_attrs: attrs.map(|(key, value)| (key.to_string(), value.clone())).collect(),
            constraints: self.constraints.iter().map(|(name, value)| (name.to_string(), *value)).collect(),
        }
    }

    /// The amendments in the order of the log.
    pub(crate) fn amendments(&self) -> Vec<Amended<'_>> {
        let changes = self.changes.iter().enumerate();
        let amendments = changes.filter_map(|(place, change)| match &change.what {
            ChangeKind::Amended(amendment) => Some((place, change, amendment)),
            _ => None,
        });
        let amended = amendments.map(|(place, change, amendment)| Amended {
            place: place as u32,
            amendment,
            before: self.says(place).as_for(amendment),
            note: &change.note,
            is_in_force: self.is_in_force(place as u32),
        });
        amended.collect()
    }
}

impl Says {
    pub(crate) fn amend(&mut self, amendment: &Amendment) {
        self.state = amendment.state.unwrap_or(self.state);
        if let Some(values) = &amendment.values {
            self.values.clone_from(values);
        }
        for (key, value) in &amendment.user_attrs {
            self.user_attrs.insert(Arc::from(key.as_str()), value.clone());
        }
        for (name, value) in &amendment.constraints {
            self.constraints.insert(Arc::from(name.as_str()), *value);
        }
    }

    /// The same things that an amendment is about.
    fn as_for(&self, amendment: &Amendment) -> Amendment {
        let attrs = amendment.user_attrs.iter();
        let constraints = amendment.constraints.iter();
        Amendment {
            state: amendment.state.map(|_| self.state),
            values: amendment.values.as_ref().map(|_| self.values.clone()),
            user_attrs: attrs
                .map(|(key, _)| (key.clone(), self.user_attrs.get(key.as_str()).cloned().flatten()))
                .collect(),
            constraints: constraints
                .map(|(name, _)| (name.clone(), self.constraints.get(name.as_str()).copied().flatten()))
                .collect(),
        }
    }
}
