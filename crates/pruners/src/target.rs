//! Which of the reported values a pruner reads, and which way they are better.

use std::sync::Arc;

use serde_json::Value;
use trialog_ops::{ComponentSpec, Direction, Json};
use trialog_replay::{Series, StudyView};

use crate::Pruner;
use crate::options::Reader;
use crate::registry::{self, Options};

/// The reports without a name, or those of one metric, with a direction that may differ from the objective's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Target {
    metric: Option<Arc<str>>,
    direction: Option<Direction>,
}

impl Target {
    pub(crate) const METRIC: &str = "metric";
    pub(crate) const DIRECTION: &str = "direction";

    pub(crate) fn metric(mut self, name: &str) -> Target {
        self.metric = Some(Arc::from(name));
        self
    }

    pub(crate) fn direction(mut self, direction: Direction) -> Target {
        self.direction = Some(direction);
        self
    }

    pub(crate) fn read(reader: &mut Reader) -> Result<Target, String> {
        Ok(Target { metric: reader.metric(Target::METRIC)?, direction: reader.direction(Target::DIRECTION)? })
    }

    /// Without a direction, for pruners that have no use for one.
    pub(crate) fn read_metric(reader: &mut Reader) -> Result<Target, String> {
        Ok(Target { metric: reader.metric(Target::METRIC)?, direction: None })
    }

    /// Options, which are an object, and what was said.
    pub(crate) fn with(&self, mut options: Value) -> Json {
        if let Value::Object(options) = &mut options {
            self.write(options);
        }
        Json::from(options)
    }

    /// Adds what was said to options. Where nothing was, they are what they were before there were metrics.
    pub(crate) fn write(&self, options: &mut Options) {
        if let Some(metric) = &self.metric {
            options.insert(Target::METRIC.to_owned(), (**metric).into());
        }
        if let Some(direction) = self.direction {
            options.insert(Target::DIRECTION.to_owned(), direction.to_string().into());
        }
    }

    /// The values. A study of several objectives has none without a name.
    pub(crate) fn series<'a>(&self, view: &'a StudyView) -> Option<Series<'a>> {
        let metric = self.metric.as_deref();
        (metric.is_some() || view.directions().len() == 1).then(|| view.series(metric))
    }

    /// The values and which way they are better: as was said; or as for the objective that has the metric's name; or as
    /// for the only objective.
    pub(crate) fn of<'a>(&self, view: &'a StudyView) -> Option<(Series<'a>, Direction)> {
        let directions = view.directions();
        let named = || {
            let place =
                view.metric_names()?.iter().position(|name| Some(name.as_str()) == self.metric.as_deref())?;
            directions.get(place).copied()
        };
        let only = || <[Direction; 1]>::try_from(directions).ok().map(|[only]| only);
        Some((self.series(view)?, self.direction.or_else(named).or_else(only)?))
    }

    /// The pruner with this target, if it is one that takes a metric and names none; else as it is.
    pub(crate) fn passed_on(&self, pruner: &Arc<dyn Pruner>) -> Arc<dyn Pruner> {
        let spec = pruner.spec();
        let takes = |name: &str| registry::REGISTRY.iter().any(|entry| entry.name == name);
        if self.metric.is_none() || !takes(&spec.name) {
            return Arc::clone(pruner);
        }
        let Some(Value::Object(mut options)) = spec.options.to_value() else { return Arc::clone(pruner) };
        if options.contains_key(Target::METRIC) {
            return Arc::clone(pruner);
        }
        let mut target = self.clone();
        // One that has no use for a direction, or has its own.
        if spec.name == "threshold" || options.contains_key(Target::DIRECTION) {
            target.direction = None;
        }
        target.write(&mut options);
        let spec = ComponentSpec { options: Json::from(Value::Object(options)), ..spec };
        registry::from_spec(&spec).unwrap_or_else(|_| Arc::clone(pruner))
    }

    /// What a rule is called in reasons.
    pub(crate) fn rule(&self, name: &str) -> String {
        self.metric.as_ref().map_or_else(|| name.to_owned(), |metric| format!("{name} on {metric}"))
    }
}

/// The two builder methods that all pruners of one target share.
macro_rules! targeted {
    ($target:ident) => {
        /// Reads this metric, of those that [`Op::ReportMetrics`](trialog_ops::Op::ReportMetrics) reports, in the place of
        /// the values without a name: in studies of several objectives, too. A trial that does not report it goes on.
        #[must_use]
        pub fn metric(mut self, name: &str) -> Self {
            self.$target = self.$target.metric(name);
            self
        }

        /// Which way the values are better. Default: as for the objective that has the metric's name, or else as for the
        /// study's only objective; in a study of several, a metric of another name needs it, and is not judged without.
        #[must_use]
        pub fn direction(mut self, direction: trialog_ops::Direction) -> Self {
            self.$target = self.$target.direction(direction);
            self
        }
    };
}
pub(crate) use targeted;
