//! What can be decided about a finished trial afterwards: withdrawing it, correcting it, and taking either back.

use trialog_ops::{Amendment, FinalState, Json, Note, Op, TrialId, TrialNumber, TrialState};
use trialog_replay::Reason;

use crate::error::{Error, Kind, Result};
use crate::frozen::FrozenTrial;
use crate::study::{Study, now};

/// Who changes a trial, where nobody says so: the user whom the process runs as, if the environment names one.
const USER_VARIABLES: [&str; 3] = ["USER", "LOGNAME", "USERNAME"];

impl Study {
    /// Withdraws a finished trial: for samplers, pruners, budgets, plots and the list of the best it is a failed trial
    /// from here on, in every process that looks. It stays in the log with all that it said;
    /// [`FrozenTrial::changes`](crate::FrozenTrial::changes) says who withdrew it, when and why, and
    /// [`Study::unvoid`] takes it back.
    ///
    /// ```
    /// # fn main() -> trialog::Result<()> {
    /// # let study = trialog::Study::in_memory()?;
    /// study.optimize(20, |trial| Ok(trial.suggest_float("x", 0.0..=1.0)?))?;
    /// let best = study.best_trial()?;
    /// study.void(best.number, "the disk was full")?;
    /// assert!(study.best_value()? > best.values[0]);
    /// study.unvoid(best.number, "it was not")?;
    /// assert_eq!(study.best_trial()?.number, best.number);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// It is withdrawn already ([`Error::is_voided`]), not finished or changed too often ([`Error::is_invalid`]), not there
    /// ([`Error::is_not_found`]), or what the log says.
    pub fn void(&self, number: TrialNumber, reason: impl Into<String>) -> Result<FrozenTrial> {
        let note = note(reason);
        self.change_trial(number, "withdraw", |trial| Op::VoidTrial { trial, note })
    }

    /// Lets a withdrawn trial count again.
    ///
    /// # Errors
    /// It is not withdrawn ([`Error::is_invalid`]), or as [`Study::void`].
    pub fn unvoid(&self, number: TrialNumber, reason: impl Into<String>) -> Result<FrozenTrial> {
        let note = note(reason);
        self.change_trial(number, "take back the withdrawal of", |trial| Op::UnvoidTrial { trial, note })
    }

    /// Corrects what a finished trial said. The former values are kept; see [`StudyView::trial`] and
    /// [`TrialView::amendments`].
    ///
    /// ```
    /// # fn main() -> trialog::Result<()> {
    /// use trialog::Amend;
    /// # let study = trialog::Study::in_memory()?;
    /// # study.optimize(3, |trial| Ok(trial.suggest_float("x", 0.0..=1.0)?))?;
    /// let number = study.best_trial()?.number;
    /// let amended = study.amend(number, Amend::new().value(7.0).user_attr("unit", "ms"), "it was in seconds")?;
    /// assert_eq!(amended.values, [7.0]);
    /// assert_ne!(study.undo_amendment(number, "it was not")?.values, [7.0]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// It is withdrawn ([`Error::is_voided`]); a state without the values that it needs, a wrong number of values, NaN, or
    /// nothing at all to correct ([`Error::is_invalid`]); or as [`Study::void`].
    ///
    /// [`StudyView::trial`]: crate::StudyView::trial
    /// [`TrialView::amendments`]: crate::TrialView::amendments
    pub fn amend(&self, number: TrialNumber, amend: Amend, reason: impl Into<String>) -> Result<FrozenTrial> {
        let (amendment, note) = (Box::new(amend.0?), note(reason));
        self.change_trial(number, "amend", |trial| Op::AmendTrial { trial, amendment, note })
    }

    /// Takes back the last amendment of a trial that was not taken back yet; see also
    /// [`Study::undo_amendment_at`].
    ///
    /// # Errors
    /// There is none ([`Error::is_invalid`]), or as [`Study::amend`].
    pub fn undo_amendment(&self, number: TrialNumber, reason: impl Into<String>) -> Result<FrozenTrial> {
        let view = self.view()?;
        let trial = view.trial(number).ok_or_else(|| self.no_trial(number))?;
        let last = trial.amendments().into_iter().rfind(|amended| amended.is_in_force).map(|amended| amended.place);
        let change = last.ok_or_else(|| {
            let detail = format!("trial {number} of study {:?} has no amendment to take back", self.name());
            Error::invalid(detail)
        })?;
        self.undo_amendment_at(number, change, reason)
    }

    /// Takes back an amendment by its place among the changes of the trial, also one that others have followed: the
    /// trial says what it would say without it.
    ///
    /// # Errors
    /// There is no amendment at this place, or it was taken back already ([`Error::is_invalid`]), or as [`Study::amend`].
    pub fn undo_amendment_at(
        &self,
        number: TrialNumber,
        change: u32,
        reason: impl Into<String>,
    ) -> Result<FrozenTrial> {
        let note = note(reason);
        self.change_trial(number, "take back an amendment of", |trial| Op::UndoAmendment { trial, change, note })
    }

    fn change_trial(
        &self,
        number: TrialNumber,
        tried: &str,
        op: impl FnOnce(TrialId) -> Op,
    ) -> Result<FrozenTrial> {
        let id = self.view()?.trial(number).ok_or_else(|| self.no_trial(number))?.id();
        self.result(op(id), || format!("{tried} trial {number} of study {:?}", self.name()))?;
        self.trial(number)
    }

    fn no_trial(&self, number: TrialNumber) -> Error {
        Error::new(Kind::TrialNotFound { study: self.name().to_owned(), number })
    }
}

/// What to correct of a finished trial; what is not named stays as it is.
#[derive(Debug)]
pub struct Amend(Result<Amendment>);

impl Default for Amend {
    fn default() -> Amend {
        Amend::new()
    }
}

impl Amend {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Amend {
        Amend(Ok(Amendment::default()))
    }

    fn with(mut self, set: impl FnOnce(&mut Amendment)) -> Amend {
        if let Ok(amendment) = &mut self.0 {
            set(amendment);
        }
        self
    }

    /// The value of a single objective.
    #[must_use]
    pub fn value(self, value: f64) -> Amend {
        self.values([value])
    }

    /// The values of all objectives; none takes them away from a trial that is not complete.
    #[must_use]
    pub fn values(self, values: impl IntoIterator<Item = f64>) -> Amend {
        let values: Vec<f64> = values.into_iter().collect();
        if values.iter().any(|value| value.is_nan()) {
            return Amend(Err(Error::rejected("amend a trial", &Reason::Nan)));
        }
        self.with(|amendment| amendment.values = Some(values))
    }

    /// How it ended. It must be a state in which a trial is finished.
    #[must_use]
    pub fn state(self, state: TrialState) -> Amend {
        let state = match state {
            TrialState::Complete => FinalState::Complete,
            TrialState::Pruned => FinalState::Pruned,
            TrialState::Fail => FinalState::Fail,
            TrialState::Running | TrialState::Waiting => {
                let detail = format!("a finished trial cannot be amended to be {state}");
                return Amend(Err(Error::invalid(detail)));
            }
        };
        self.with(|amendment| amendment.state = Some(state))
    }

    /// What the user noted.
    #[must_use]
    pub fn user_attr(self, key: impl Into<String>, value: impl Into<Json>) -> Amend {
        self.with(|amendment| amendment.user_attrs.push((key.into(), Some(value.into()))))
    }

    /// Takes away what the user noted.
    #[must_use]
    pub fn without_user_attr(self, key: impl Into<String>) -> Amend {
        self.with(|amendment| amendment.user_attrs.push((key.into(), None)))
    }

    /// A constraint, met when it is at most 0.
    #[must_use]
    pub fn constraint(self, name: impl Into<String>, value: f64) -> Amend {
        if value.is_nan() {
            return Amend(Err(Error::rejected("amend a trial", &Reason::Nan)));
        }
        self.with(|amendment| amendment.constraints.push((name.into(), Some(value))))
    }

    /// Takes away a constraint.
    #[must_use]
    pub fn without_constraint(self, name: impl Into<String>) -> Amend {
        self.with(|amendment| amendment.constraints.push((name.into(), None)))
    }
}

fn note(reason: impl Into<String>) -> Box<Note> {
    let by = USER_VARIABLES.iter().find_map(|variable| std::env::var(variable).ok()).unwrap_or_default();
    Box::new(Note { by, at: now(), reason: reason.into() })
}
