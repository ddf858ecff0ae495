//! A running trial: what an objective is given.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use trialog_ops::{
    Choice, Distribution, FinalState, Json, JsonScan, MetricRef, MetricValue, Op, Param, ParamDef, ParamKey,
    ParamRef, ParamValue, TrialId, TrialNumber, TrialState,
};
use trialog_pruners::Decision;
use trialog_replay::{Reason, StudyView, metrics_fault};

use crate::error::{Error, Kind, Result};
use crate::frozen::Params;
use crate::space::{self, Category, Float, Int};
use crate::study::{Study, now};

/// The attribute that holds the parameters an enqueued trial must use; Optuna's name for it.
pub(crate) const FIXED_PARAMS: &str = "fixed_params";

/// The attribute that says when and why a pruner on trial would have stopped the trial.
const WOULD_PRUNE: &str = "trialog:would_prune";

/// An objective's way to say that the trial was stopped early: return it as the error.
///
/// ```
/// # fn main() -> trialog::Result<()> {
/// # let study = trialog::Study::in_memory()?;
/// study.optimize(20, |trial| {
///     let x = trial.suggest_float("x", 0.0..=1.0)?;
///     for epoch in 0..10 {
///         trial.report(epoch, x)?;
///         if trial.should_prune()? {
///             return Err(trialog::Pruned.into());
///         }
///     }
///     Ok(x)
/// })?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pruned;

impl fmt::Display for Pruned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the trial was pruned")
    }
}

impl std::error::Error for Pruned {}

/// A running trial. Ask it for parameters, report to it, and tell its study how it ended.
#[derive(Debug)]
pub struct Trial {
    study: Study,
    id: TrialId,
    number: TrialNumber,
    /// What the sampler proposed when the trial began, for everybody to see.
    proposals: Vec<Proposal>,
    /// What the objective has asked for, in order.
    suggested: Vec<(Arc<ParamDef>, f64)>,
    /// What an enqueued trial must use.
    fixed: BTreeMap<String, Choice>,
    /// The position behind the record with which the trial began or last took parameters.
    last: u64,
}

/// A parameter that a trial has before its objective asks for it.
#[derive(Clone, Debug)]
pub(crate) struct Proposal {
    key: ParamKey,
    pub(crate) def: Arc<ParamDef>,
    pub(crate) value: f64,
    used: bool,
}

/// Where a parameter's value comes from that was not proposed with this very distribution.
pub(crate) enum Source<'a> {
    /// From whoever enqueued the trial.
    Enqueued(f64),
    /// From nowhere: this was enqueued, and does not fit.
    Misfit(&'a Choice),
    /// There is only one.
    Only(f64),
    /// What was proposed when the trial began still fits.
    Proposed(f64),
    /// From the sampler, which must be asked for it alone.
    Sampler,
}

impl Trial {
    pub(crate) fn begin(study: &Study, id: TrialId, number: TrialNumber, last: u64) -> Result<Trial> {
        let view = study.storage().view(study.id())?;
        let fixed = fixed_params(&view, number);
        // Another attempt at a lost trial, or one that went back into the queue, has parameters already.
        let given = given_params(&view, number);
        let proposals = proposals(study.sample_relative(&view, number)?, &fixed, &given);
        let sampled_at = view.position();
        // Whoever changes what a view still shows must copy it first.
        drop(view);
        let mut trial = Trial { study: study.clone(), id, number, proposals, suggested: Vec::new(), fixed, last };
        trial.publish(sampled_at)?;
        trial.proposals.extend(given);
        Ok(trial)
    }

    /// A handle on a trial that runs already. It proposed nothing, so there is nothing to take back at its end.
    pub(crate) fn resume(study: &Study, view: &StudyView, id: TrialId, number: TrialNumber) -> Trial {
        let fixed = fixed_params(view, number);
        let given = given_params(view, number);
        let suggested = given.iter().map(|given| (Arc::clone(&given.def), given.value)).collect();
        Trial { study: study.clone(), id, number, proposals: Vec::new(), suggested, fixed, last: 0 }
    }

    /// Publishes every parameter that is known beforehand as one record, so that other workers see at once where
    /// this trial will be.
    ///
    /// Where what is set cannot be taken back, nobody sees a parameter before the objective asks for it.
    fn publish(&mut self, sampled_at: u64) -> Result<()> {
        if self.proposals.is_empty() || !self.study.storage().retracts_params() {
            return Ok(());
        }
        let params = self.proposals.iter().map(|p| Param { param: ParamRef::Key(p.key), value: p.value });
        let op = Op::SetParams { trial: self.id, params: params.collect() };
        let tried = || format!("set the parameters of trial {}", self.number);
        self.last = self.study.set_params(op, sampled_at, self.last, tried)?;
        Ok(())
    }

    /// The trial's number in its study.
    #[must_use]
    pub fn number(&self) -> TrialNumber {
        self.number
    }

    pub(crate) fn id(&self) -> TrialId {
        self.id
    }

    /// The study it belongs to.
    #[must_use]
    pub fn study(&self) -> &Study {
        &self.study
    }

    /// The parameters that it was asked for so far.
    #[must_use]
    pub fn params(&self) -> Params {
        let external =
            |(def, value): &(Arc<ParamDef>, f64)| (def.name.clone(), def.distribution.to_external(*value));
        Params(self.suggested.iter().map(external).collect())
    }

    /// True if this process was taken for dead and the trial declared lost, as far as is known here. It may be gone on
    /// with: its end is worth telling, and counts unless another attempt at it has begun.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.study.storage().is_lost(self.id)
    }

    /// A real number from a range such as `0.0..=1.0`, or from [`float`](crate::float)`(1e-5..=1e-1).log()`.
    ///
    /// Asked again for the same name it answers the same value.
    ///
    /// # Errors
    /// A range that makes no sense ([`Error::is_invalid`]), a name that the study knows as another kind of
    /// parameter ([`Error::is_incompatible`]), or what the log says.
    pub fn suggest_float(&mut self, name: &str, range: impl Into<Float>) -> Result<f64> {
        let distribution = valid(name, range.into().try_into())?;
        self.suggest_internal(name, distribution)
    }

    /// A whole number from a range such as `1..=10`, or from [`int`](crate::int)`(8..=512).log()`.
    ///
    /// # Errors
    /// As [`Trial::suggest_float`].
    pub fn suggest_int(&mut self, name: &str, range: impl Into<Int>) -> Result<i64> {
        let distribution = valid(name, range.into().try_into())?;
        Ok(self.suggest_internal(name, distribution)? as i64)
    }

    /// One of the choices.
    ///
    /// # Errors
    /// As [`Trial::suggest_float`]; no choices, or one that is there twice.
    pub fn suggest_categorical<T: Category>(&mut self, name: &str, choices: &[T]) -> Result<T> {
        let distribution = valid(name, space::categorical(choices))?;
        let index = self.suggest_internal(name, distribution)? as usize;
        // Replay takes no index beyond the choices.
        choices
            .get(index)
            .cloned()
            .ok_or_else(|| Error::invalid(format!("parameter {name:?} has no choice {index}")))
    }

    /// A value of any distribution.
    ///
    /// # Errors
    /// As [`Trial::suggest_float`].
    pub fn suggest(&mut self, name: &str, distribution: &Distribution) -> Result<ParamValue> {
        let value = self.suggest_internal(name, distribution.clone())?;
        Ok(distribution.to_external(value))
    }

    fn suggest_internal(&mut self, name: &str, distribution: Distribution) -> Result<f64> {
        if let Some((def, value)) = self.suggested.iter().find(|(def, _)| def.name == name) {
            return repeated(def, &distribution, *value);
        }
        let at = self.proposals.iter().position(|p| p.def.name == name);
        if let Some(proposal) = at.map(|at| &mut self.proposals[at])
            && proposal.def.distribution == distribution
            && self.study.storage().retracts_params()
        {
            proposal.used = true;
            let (def, value) = (Arc::clone(&proposal.def), proposal.value);
            self.warn_if_outside(name, &distribution, value);
            self.suggested.push((def, value));
            return Ok(value);
        }
        // The range may have changed since: the value still does if it lies inside.
        let known = at.map(|at| &self.proposals[at]).filter(|p| p.def.distribution.is_compatible(&distribution));
        let (value, sampled_at) = self.choose(name, &distribution, known.map(|p| p.value))?;
        let def = ParamDef { name: name.to_owned(), distribution };
        let op = Op::SetParams {
            trial: self.id,
            params: vec![Param { param: ParamRef::Def(Box::new(def.clone())), value }],
        };
        let tried = || format!("set parameter {name:?} of trial {}", self.number);
        self.last = self.study.set_params(op, sampled_at.unwrap_or(self.last), self.last, tried)?;
        // Only now: what was refused leaves the proposal to be taken back.
        if let Some(at) = at {
            self.proposals[at].used = true;
        }
        self.suggested.push((Arc::new(def), value));
        Ok(value)
    }

    fn warn_if_outside(&self, name: &str, distribution: &Distribution, value: f64) {
        if self.fixed.contains_key(name) && !distribution.contains(value) {
            let value = distribution.to_external(value);
            tracing::warn!(
                trial = self.number.0,
                "{name} was enqueued as {value}, outside of {distribution}; used as it is"
            );
        }
    }

    /// The value of a parameter that was not proposed with this very distribution, and where it was sampled if it was.
    fn choose(&self, name: &str, distribution: &Distribution, proposed: Option<f64>) -> Result<(f64, Option<u64>)> {
        match source(self.fixed.get(name), distribution, proposed) {
            Source::Enqueued(value) => {
                self.warn_if_outside(name, distribution, value);
                Ok((value, None))
            }
            Source::Misfit(choice) => {
                let detail =
                    format!("trial {} was enqueued with {name} = {choice}, but it is {distribution}", self.number);
                Err(Error::invalid(detail))
            }
            Source::Only(value) | Source::Proposed(value) => Ok((value, None)),
            Source::Sampler => {
                let view = self.study.storage().view(self.study.id())?;
                let value = self.study.sample_independent(&view, self.number, name, distribution)?;
                if is_drawn(distribution, value) {
                    return Ok((value, Some(view.position())));
                }
                Err(Error::invalid(format!(
                    "the sampler of study {:?} answered {value:?} for {name:?}, which is {distribution}",
                    self.study.name()
                )))
            }
        }
    }

    /// Reports an intermediate value at a step, such as the accuracy after an epoch. Everybody sees it at once.
    ///
    /// The first report for a step stays; a later one is ignored with a warning. NaN may be reported: pruners
    /// take it as bad.
    ///
    /// # Errors
    /// The study has several objectives ([`Error::is_invalid`]), the trial is finished
    /// ([`Error::is_finished_trial`]), or what the log says.
    pub fn report(&mut self, step: u64, value: f64) -> Result<()> {
        self.study.single_objective("report")?;
        let view = self.study.storage().view(self.study.id())?;
        let known =
            view.trial(self.number).is_some_and(|t| t.reports().binary_search_by_key(&step, |r| r.0).is_ok());
        drop(view);
        if known {
            tracing::warn!(trial = self.number.0, step, "step was reported before; the first value stays");
            return Ok(());
        }
        let op = Op::Report { trial: self.id, step, value };
        self.study.progress(op, || format!("report step {step} of trial {}", self.number)).map(drop)
    }

    /// Reports intermediate values of several named metrics at a step, such as loss and accuracy after an epoch: all at
    /// once, for everybody to see. A pruner that names a metric reads it; studies of several objectives may report
    /// metrics, too.
    ///
    /// In a study of one objective that has a name ([`StudyBuilder::metric_names`](crate::StudyBuilder::metric_names)),
    /// a value of that name is what [`Trial::report`] reports. As there, the first value of a metric for a step stays,
    /// and NaN may be reported.
    ///
    /// ```
    /// # fn main() -> trialog::Result<()> {
    /// use trialog::{Direction, pruners::Median};
    ///
    /// let pruner = Median::new().metric("acc").direction(Direction::Maximize);
    /// let study = trialog::open("memory:")?.study("digits").minimize().pruner(pruner).create()?;
    /// let mut trial = study.ask()?;
    /// for epoch in 0..10 {
    ///     trial.report_metrics(epoch, [("loss", 0.3), ("acc", 0.9)])?;
    ///     if trial.should_prune()? {
    ///         break;
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// No metrics, a name that is empty or longer than 250 bytes, a metric that is there twice
    /// ([`Error::is_invalid`]), a finished trial ([`Error::is_finished_trial`]), or what the log says.
    pub fn report_metrics<N: AsRef<str>>(
        &mut self,
        step: u64,
        values: impl IntoIterator<Item = (N, f64)>,
    ) -> Result<()> {
        let tried = || format!("report metrics at step {step} of trial {}", self.number);
        let values: Vec<(N, f64)> = values.into_iter().collect();
        if values.is_empty() {
            return Err(Error::rejected(tried(), &Reason::BadMetrics { detail: "there are none" }));
        }
        if let Some(reason) = metrics_fault(values.iter().map(|(name, _)| name.as_ref())) {
            return Err(Error::rejected(tried(), &reason));
        }
        let view = self.study.storage().view(self.study.id())?;
        let is_objective = |name: &str| matches!(view.metric_names(), Some([only]) if only == name);
        let (mut plain, mut named) = (None, Vec::new());
        for (name, value) in &values {
            let name = name.as_ref();
            let known = view.series(Some(name)).reports(self.number);
            if known.binary_search_by_key(&step, |report| report.0).is_ok() {
                tracing::warn!(trial = self.number.0, step, "{name} was reported before; the first value stays");
            } else if is_objective(name) {
                plain = Some(Op::Report { trial: self.id, step, value: *value });
            } else {
                named.push(MetricValue { metric: MetricRef::Name(name.to_owned()), value: *value });
            }
        }
        drop(view);
        let named = (!named.is_empty()).then_some(Op::ReportMetrics { trial: self.id, step, values: named });
        let ops: Vec<Op> = plain.into_iter().chain(named).collect();
        if ops.is_empty() { Ok(()) } else { self.study.progress_all(ops, tried) }
    }

    /// True if the study's pruner thinks that the trial is not worth going on with, by all reports of all
    /// workers. Return [`Pruned`] as the objective's error then.
    ///
    /// Ask after each report: pruners judge what the latest one newly reached.
    ///
    /// # Errors
    /// The study has several objectives and a pruner that names no metric whose direction is known, or a pruner that
    /// this program does not know ([`Error::is_invalid`]), or what the log says.
    pub fn should_prune(&self) -> Result<bool> {
        Ok(self.decide()?.is_prune())
    }

    /// As [`Trial::should_prune`], with the reason. Where a pruner in a [`Shadow`](crate::pruners::Shadow) would have
    /// stopped the trial for the first time, the log keeps it: the trial goes on with the system attribute
    /// `trialog:would_prune`, an object of the latest `step` and the `reason`.
    ///
    /// # Errors
    /// As [`Trial::should_prune`].
    pub fn decide(&self) -> Result<Decision> {
        let view = self.study.view()?;
        let decision = self.study.decide(&view, self.number)?;
        if let (Decision::Shadow { reason }, Some(trial)) = (&decision, view.trial(self.number))
            && trial.state() == TrialState::Running
            && trial.system_attr(WOULD_PRUNE).is_none()
        {
            let plain = trial.reports().last().map(|&(step, _)| step);
            let named = trial.metrics().filter_map(|(_, reports)| reports.last()).map(|&(step, _)| step);
            let step = plain.into_iter().chain(named).max();
            let value = Json::from(serde_json::json!({ "step": step, "reason": reason }));
            let op = Op::SetTrialSystemAttr { trial: self.id, key: WOULD_PRUNE.to_owned(), value };
            self.study.progress(op, || format!("note that trial {} would be pruned", self.number))?;
        }
        Ok(decision)
    }

    /// Notes something about the trial.
    ///
    /// # Errors
    /// The trial is finished, or what the log says.
    pub fn set_user_attr(&mut self, key: &str, value: impl Into<Json>) -> Result<()> {
        let op = Op::SetTrialUserAttr { trial: self.id, key: key.to_owned(), value: value.into() };
        self.study.progress(op, || format!("set attribute {key:?} of trial {}", self.number)).map(drop)
    }

    /// Notes something about the trial on behalf of a tool: apart from what the user notes, and not in tables. Begin the key
    /// with the tool's name and a colon.
    ///
    /// # Errors
    /// As [`Trial::set_user_attr`].
    pub fn set_system_attr(&mut self, key: &str, value: impl Into<Json>) -> Result<()> {
        let op = Op::SetTrialSystemAttr { trial: self.id, key: key.to_owned(), value: value.into() };
        self.study.progress(op, || format!("set system attribute {key:?} of trial {}", self.number)).map(drop)
    }

    /// Sets a constraint; it is met when the value is at most 0. Samplers avoid what violates constraints, and
    /// only feasible trials can be the best. The first value of a name stays.
    ///
    /// # Errors
    /// NaN ([`Error::is_invalid`]), a finished trial, or what the log says.
    pub fn set_constraint(&mut self, name: &str, value: f64) -> Result<()> {
        let tried = || format!("set constraint {name:?} of trial {}", self.number);
        if value.is_nan() {
            return Err(Error::rejected(tried(), &Reason::Nan));
        }
        let op = Op::SetConstraint { trial: self.id, name: name.to_owned(), value };
        match self.study.progress(op, tried) {
            Err(error) if matches!(error.rejection(), Some(Reason::ConstraintSet { .. })) => {
                tracing::warn!(trial = self.number.0, "constraint {name} has a value already; the first one stays");
                Ok(())
            }
            other => other.map(drop),
        }
    }

    /// The ops that end the trial: what was proposed and never asked for is taken back.
    pub(crate) fn finish_ops(&self, state: FinalState, values: Vec<f64>) -> Vec<Op> {
        let finish = Op::FinishTrial { trial: self.id, state, values, end: now() };
        let unused: Vec<ParamKey> = self.proposals.iter().filter(|p| !p.used).map(|p| p.key).collect();
        if unused.is_empty() || !self.study.storage().retracts_params() {
            return vec![finish];
        }
        vec![Op::RetractParams { trial: self.id, params: unused }, finish]
    }
}

/// What the pruned trial is worth: its last intermediate value, if that is a number.
pub(crate) fn pruned_values(view: &StudyView, number: TrialNumber) -> Vec<f64> {
    let reports = view.trial(number).map_or(&[][..], |trial| trial.reports());
    match (view.directions(), reports.last()) {
        ([_], Some(&(_, value))) if !value.is_nan() => vec![value],
        _ => Vec::new(),
    }
}

/// True if a sampler may answer this. Points of a grid are not looked at closely: far out, doubles hold them only
/// about.
fn is_drawn(distribution: &Distribution, value: f64) -> bool {
    match distribution {
        Distribution::Float(float) => float.low() <= value && value <= float.high(),
        Distribution::Int(_) | Distribution::Categorical(_) => distribution.contains(value),
    }
}

/// What a sampler's answer comes to: without what the trial has already, and with what it was enqueued with.
pub(crate) fn proposals(
    sampled: Vec<trialog_samplers::Proposal>,
    fixed: &BTreeMap<String, Choice>,
    given: &[Proposal],
) -> Vec<Proposal> {
    let wanted = sampled.into_iter().filter_map(|(key, def, sampled)| {
        if given.iter().any(|given| given.def.name == def.name) {
            return None;
        }
        let value = match fixed.get(&def.name) {
            // One that does not fit is no proposal, and an error as soon as the objective asks for it.
            Some(choice) => internal(&def.distribution, choice)?,
            // Neither is one that no sampler may make.
            None => Some(sampled).filter(|&sampled| is_drawn(&def.distribution, sampled))?,
        };
        Some(Proposal { key, def, value, used: false })
    });
    wanted.collect()
}

/// Who decides on a parameter that was enqueued so, if it was, and proposed so, with another distribution.
pub(crate) fn source<'a>(
    fixed: Option<&'a Choice>,
    distribution: &Distribution,
    proposed: Option<f64>,
) -> Source<'a> {
    if let Some(choice) = fixed {
        return internal(distribution, choice).map_or(Source::Misfit(choice), Source::Enqueued);
    }
    if let Some(only) = distribution.single() {
        return Source::Only(only);
    }
    match proposed {
        // The range may have changed since.
        Some(value) if distribution.contains(value) => Source::Proposed(value),
        _ => Source::Sampler,
    }
}

fn repeated(first: &ParamDef, now: &Distribution, value: f64) -> Result<f64> {
    if !first.distribution.is_compatible(now) {
        let (name, now) = (first.name.clone(), now.to_string());
        return Err(Error::new(Kind::Changed { name, first: first.distribution.to_string(), now }));
    }
    if first.distribution != *now {
        tracing::warn!("{} was suggested as {} before; its value stays", first.name, first.distribution);
    }
    Ok(value)
}

fn valid(
    name: &str,
    distribution: std::result::Result<Distribution, trialog_ops::DistributionError>,
) -> Result<Distribution> {
    distribution.map_err(|source| Error::new(Kind::Distribution { name: name.to_owned(), source }))
}

fn internal(distribution: &Distribution, choice: &Choice) -> Option<f64> {
    distribution.to_internal(&ParamValue::Categorical(choice.clone()))
}

/// What a trial has already: another attempt at it had, or it went back into the queue.
pub(crate) fn given_params(view: &StudyView, number: TrialNumber) -> Vec<Proposal> {
    let Some(trial) = view.trial(number) else { return Vec::new() };
    let given = trial.params().filter_map(|(name, distribution, value)| {
        let def = Arc::new(ParamDef { name: name.to_owned(), distribution: distribution.clone() });
        Some(Proposal { key: trial.param_key(name)?, def, value, used: false })
    });
    given.collect()
}

pub(crate) fn fixed_params(view: &StudyView, number: TrialNumber) -> BTreeMap<String, Choice> {
    let Some(attr) = view.trial(number).and_then(|trial| trial.system_attr(FIXED_PARAMS)) else {
        return BTreeMap::new();
    };
    scalars(attr.as_str())
}

/// The scalars of a JSON object by name. Read part by part, since it may hold non-finite numbers, which serde refuses.
fn scalars(object: &str) -> BTreeMap<String, Choice> {
    let name = |raw: &str| serde_json::from_str(&format!("\"{raw}\"")).ok();
    let member = |(raw, value): (&str, &str)| Some((name(raw)?, scalar(value)?));
    JsonScan::new(object).members().flatten().filter_map(member).collect()
}

fn scalar(text: &str) -> Option<Choice> {
    use serde_json::Value;
    match text {
        "NaN" => return Some(Choice::Float(f64::NAN)),
        "Infinity" => return Some(Choice::Float(f64::INFINITY)),
        "-Infinity" => return Some(Choice::Float(f64::NEG_INFINITY)),
        _ => {}
    }
    Some(match serde_json::from_str(text).ok()? {
        Value::Null => Choice::Null,
        Value::Bool(v) => Choice::from(v),
        Value::Number(v) => v.as_i64().map(Choice::Int).or_else(|| v.as_f64().map(Choice::Float))?,
        Value::String(v) => Choice::from(v.as_str()),
        Value::Array(_) | Value::Object(_) => return None,
    })
}

pub(crate) fn scalar_json(choice: &Choice) -> Json {
    match choice {
        Choice::Null => Json::null(),
        Choice::Bool(v) => Json::from(*v),
        Choice::Int(v) => Json::from(*v),
        Choice::Float(v) => Json::from(*v),
        Choice::Str(v) => Json::from(&**v),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn non_finite_numbers_are_read_beside_texts_that_look_like_them() {
        let text = r#"{"a":-Infinity,"b":"NaN, \"Infinity","c\\":Infinity,"d":-1.5,"e":["NaN"],"\u0066":"-Infinity","g":7,"g":8}"#;
        let expected = [
            ("a", Choice::Float(f64::NEG_INFINITY)),
            ("b", Choice::from("NaN, \"Infinity")),
            ("c\\", Choice::Float(f64::INFINITY)),
            ("d", Choice::Float(-1.5)),
            ("f", Choice::from("-Infinity")),
            ("g", Choice::Int(8)),
        ];
        assert_eq!(scalars(text), expected.map(|(name, choice)| (name.to_owned(), choice)).into());
        assert!(matches!(scalars(r#"{"a":NaN}"#)["a"], Choice::Float(nan) if nan.is_nan()));
        assert!(scalars("[1]").is_empty());
    }
}
