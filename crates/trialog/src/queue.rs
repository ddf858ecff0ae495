//! Trials that are asked for before anybody runs them.

use std::collections::BTreeMap;

use trialog_ops::{Choice, Json, Op, TrialNumber, TrialState, TrialTemplate};
use trialog_replay::{StudyView, TrialView};

use crate::error::{Error, Result};
use crate::study::Study;
use crate::trial::{self, FIXED_PARAMS};

impl Study {
    /// Enqueues a trial with these parameters: the next [`Study::ask`] of any process takes it. Parameters that
    /// are not named are sampled.
    ///
    /// ```
    /// # fn main() -> trialog::Result<()> {
    /// # let study = trialog::Study::in_memory()?;
    /// study.enqueue([("x", 2.0)])?;
    /// let mut trial = study.ask()?;
    /// assert_eq!(trial.suggest_float("x", -10.0..=10.0)?, 2.0);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Study::view`].
    pub fn enqueue<N: Into<String>, C: Into<Choice>>(
        &self,
        params: impl IntoIterator<Item = (N, C)>,
    ) -> Result<TrialNumber> {
        self.enqueue_with(params, [])
    }

    /// As [`Study::enqueue`], with user attributes that the trial begins with.
    ///
    /// # Errors
    /// As [`Study::view`].
    pub fn enqueue_with<N: Into<String>, C: Into<Choice>>(
        &self,
        params: impl IntoIterator<Item = (N, C)>,
        user_attrs: impl IntoIterator<Item = (String, Json)>,
    ) -> Result<TrialNumber> {
        self.enqueue_params(&collected(params), user_attrs)
    }

    /// As [`Study::enqueue_with`], unless a trial has just these parameters already, whatever its state: it was enqueued
    /// with them, or has them and no others. Then nothing is done, and the answer is `None`. Numbers are equal by value,
    /// 1 and 1.0 too, and NaN equals NaN.
    ///
    /// The look comes before the record: of two processes that do this at once, both may enqueue.
    ///
    /// ```
    /// # fn main() -> trialog::Result<()> {
    /// # let study = trialog::Study::in_memory()?;
    /// assert!(study.enqueue_if_absent([("x", 2.0)], [])?.is_some());
    /// assert!(study.enqueue_if_absent([("x", 2.0)], [])?.is_none());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Study::view`].
    pub fn enqueue_if_absent<N: Into<String>, C: Into<Choice>>(
        &self,
        params: impl IntoIterator<Item = (N, C)>,
        user_attrs: impl IntoIterator<Item = (String, Json)>,
    ) -> Result<Option<TrialNumber>> {
        let params = collected(params);
        let view = self.view()?;
        if view.trials().any(|trial| has_just(&view, trial, &params)) {
            return Ok(None);
        }
        drop(view);
        self.enqueue_params(&params, user_attrs).map(Some)
    }

    fn enqueue_params(
        &self,
        params: &BTreeMap<String, Choice>,
        user_attrs: impl IntoIterator<Item = (String, Json)>,
    ) -> Result<TrialNumber> {
        let entry = |(name, value): (&String, &Choice)| {
            format!("{}:{}", Json::from(name.as_str()), trial::scalar_json(value))
        };
        let entries: Vec<String> = params.iter().map(entry).collect();
        let fixed =
            Json::parse(&format!("{{{}}}", entries.join(","))).map_err(|e| Error::invalid(e.to_string()))?;
        let mut template = TrialTemplate::new(TrialState::Waiting);
        template.system_attrs.push((FIXED_PARAMS.to_owned(), fixed));
        template.user_attrs.extend(user_attrs);
        let op = Op::AddTrial { study: self.id(), template: Box::new(template) };
        self.storage().add(op, || format!("enqueue a trial in study {:?}", self.name()))
    }
}

fn collected<N: Into<String>, C: Into<Choice>>(
    params: impl IntoIterator<Item = (N, C)>,
) -> BTreeMap<String, Choice> {
    params.into_iter().map(|(name, value)| (name.into(), value.into())).collect()
}

/// True if the trial was enqueued with these parameters, or has these and no others.
fn has_just(view: &StudyView, trial: TrialView<'_>, params: &BTreeMap<String, Choice>) -> bool {
    let has = |(name, value): (&String, &Choice)| {
        trial.param_value(name).is_some_and(|found| is_equal(&found.as_choice(), value))
    };
    let is_enqueued = trial.system_attr(FIXED_PARAMS).is_some();
    // While it waits, what it was enqueued with is all that there is to be.
    let has_params = !(is_enqueued && trial.state() == TrialState::Waiting);
    if has_params && params.iter().all(has) && trial.params().count() == params.len() {
        return true;
    }
    if !is_enqueued {
        return false;
    }
    let fixed = trial::fixed_params(view, trial.number());
    fixed.len() == params.len()
        && fixed.iter().zip(params).all(|(fixed, wanted)| fixed.0 == wanted.0 && is_equal(fixed.1, wanted.1))
}

/// Numbers by value, all else by type and value.
fn is_equal(left: &Choice, right: &Choice) -> bool {
    let number = |choice: &Choice| match choice {
        Choice::Int(value) => Some(*value as f64),
        Choice::Float(value) => Some(*value),
        _ => None,
    };
    match (left, right) {
        (Choice::Int(left), Choice::Int(right)) => left == right,
        _ => match (number(left), number(right)) {
            (Some(left), Some(right)) => left == right || (left.is_nan() && right.is_nan()),
            _ => left == right,
        },
    }
}
