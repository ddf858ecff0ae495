//! A trial that was run elsewhere, to be added to a study.

use trialog_ops::{
    Choice, Distribution, Json, MetricRef, MetricSeries, Op, Param, ParamDef, ParamRef, ParamValue, Timestamp,
    TrialState, TrialTemplate,
};
use trialog_replay::{Reason, metrics_fault};

use crate::error::{Error, Result};
use crate::frozen::FrozenTrial;
use crate::values::Values;

/// A trial that was run elsewhere: what [`Study::add_trial`](crate::Study::add_trial) takes.
///
/// ```
/// # fn main() -> trialog::Result<()> {
/// use trialog::{Distribution, NewTrial, Study};
///
/// let study = Study::in_memory()?;
/// let x = Distribution::float(-10.0, 10.0).expect("a range in order");
/// study.add_trial(NewTrial::complete(4.0).param("x", x, 2.0)?)?;
/// assert_eq!(study.best_value()?, 4.0);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct NewTrial {
    pub(crate) template: TrialTemplate,
}

impl NewTrial {
    fn new(state: TrialState) -> NewTrial {
        NewTrial { template: TrialTemplate::new(state) }
    }

    /// A finished trial with its values.
    #[must_use]
    pub fn complete(values: impl Values) -> NewTrial {
        let mut trial = NewTrial::new(TrialState::Complete);
        trial.template.values = values.into_values();
        trial
    }

    /// A trial that was stopped early.
    #[must_use]
    pub fn pruned() -> NewTrial {
        NewTrial::new(TrialState::Pruned)
    }

    /// A trial without a usable value.
    #[must_use]
    pub fn failed() -> NewTrial {
        NewTrial::new(TrialState::Fail)
    }

    /// A parameter, with what it was drawn from.
    ///
    /// # Errors
    /// The value is none of the distribution's.
    pub fn param(
        mut self,
        name: impl Into<String>,
        distribution: Distribution,
        value: impl Into<Choice>,
    ) -> Result<NewTrial> {
        let (name, value) = (name.into(), ParamValue::Categorical(value.into()));
        let internal = distribution.to_internal(&value).filter(|&internal| distribution.contains(internal));
        let Some(value) = internal else {
            return Err(Error::invalid(format!("parameter {name:?} cannot be {value}: it is {distribution}")));
        };
        let param = ParamRef::Def(Box::new(ParamDef { name, distribution }));
        self.template.params.push(Param { param, value });
        Ok(self)
    }

    /// An intermediate value; steps must rise.
    #[must_use]
    pub fn report(mut self, step: u64, value: f64) -> NewTrial {
        self.template.reports.push((step, value));
        self
    }

    /// Intermediate values of named metrics at one step; steps must rise for each metric.
    ///
    /// In a study of one objective that has a name, report the objective's own values by [`NewTrial::report`].
    #[must_use]
    pub fn report_metrics<N: Into<String>>(
        mut self,
        step: u64,
        values: impl IntoIterator<Item = (N, f64)>,
    ) -> NewTrial {
        let metrics = &mut self.template.metrics;
        for (name, value) in values {
            let metric = MetricRef::Name(name.into());
            match metrics.iter_mut().find(|series| series.metric == metric) {
                Some(series) => series.reports.push((step, value)),
                None => metrics.push(MetricSeries { metric, reports: vec![(step, value)] }),
            }
        }
        self
    }

    /// A user attribute.
    #[must_use]
    pub fn user_attr(mut self, key: impl Into<String>, value: impl Into<Json>) -> NewTrial {
        self.template.user_attrs.push((key.into(), value.into()));
        self
    }

    /// A constraint; it is met when the value is at most 0.
    #[must_use]
    pub fn constraint(mut self, name: impl Into<String>, value: f64) -> NewTrial {
        self.template.constraints.push((name.into(), value));
        self
    }

    /// What nobody may write, before it is tried.
    pub(crate) fn check(&self) -> std::result::Result<(), Reason> {
        let constraints = self.template.constraints.iter().map(|(_, value)| value);
        let any_nan = self.template.values.iter().chain(constraints).any(|value| value.is_nan());
        if any_nan {
            return Err(Reason::Nan);
        }
        let names = self.template.metrics.iter().filter_map(|series| match &series.metric {
            MetricRef::Name(name) => Some(name.as_str()),
            MetricRef::Key(_) => None,
        });
        metrics_fault(names).map_or(Ok(()), Err)
    }

    /// When it ran. Default: now.
    #[must_use]
    pub fn times(mut self, start: Timestamp, end: Timestamp) -> NewTrial {
        (self.template.start, self.template.end) = (Some(start), Some(end));
        self
    }
}

impl From<&FrozenTrial> for NewTrial {
    fn from(trial: &FrozenTrial) -> NewTrial {
        let params = trial.distributions.iter().filter_map(|(name, distribution)| {
            let value = distribution.to_internal(trial.params.get(name)?)?;
            let def = ParamDef { name: name.clone(), distribution: distribution.clone() };
            Some(Param { param: ParamRef::Def(Box::new(def)), value })
        });
        let owned = |(key, value): (&String, &Json)| (key.clone(), value.clone());
        let series = |(name, reports): (&String, &Vec<(u64, f64)>)| MetricSeries {
            metric: MetricRef::Name(name.clone()),
            reports: reports.clone(),
        };
        NewTrial {
            template: TrialTemplate {
                state: trial.state,
                values: trial.values.clone(),
                start: trial.start,
                end: trial.end,
                params: params.collect(),
                reports: trial.intermediate_values.clone(),
                metrics: trial.metrics.iter().map(series).collect(),
                user_attrs: trial.user_attrs.iter().map(owned).collect(),
                system_attrs: trial.system_attrs.iter().map(owned).collect(),
                constraints: trial.constraints.iter().map(|(name, value)| (name.clone(), *value)).collect(),
            },
        }
    }
}

/// About how many bytes an op takes in a record; at least as many where they are many.
pub(crate) fn bytes_about(op: &Op) -> usize {
    let pair = |(key, value): &(String, Json)| 16 + key.len() + value.as_str().len();
    match op {
        Op::SetStudyUserAttr { key, value, .. } | Op::SetStudySystemAttr { key, value, .. } => {
            16 + key.len() + value.as_str().len()
        }
        Op::AddTrial { template, .. } => {
            let params = template.params.iter().map(|param| match &param.param {
                ParamRef::Key(_) => 16,
                ParamRef::Def(def) => 48 + def.name.len() + choices_bytes(&def.distribution),
            });
            64 + params.sum::<usize>()
                + 20 * template.reports.len()
                + template.metrics.iter().map(|series| 256 + 20 * series.reports.len()).sum::<usize>()
                + template.user_attrs.iter().chain(&template.system_attrs).map(pair).sum::<usize>()
                + template.constraints.iter().map(|(name, _)| 16 + name.len()).sum::<usize>()
        }
        Op::ReportMetrics { values, .. } => 64 + 256 * values.len(),
        _ => 64,
    }
}

fn choices_bytes(distribution: &Distribution) -> usize {
    let Distribution::Categorical(categorical) = distribution else { return 0 };
    let bytes = |choice: &Choice| if let Choice::Str(text) = choice { 8 + text.len() } else { 12 };
    categorical.choices().iter().map(bytes).sum()
}
