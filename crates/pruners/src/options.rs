//! Options of a log on their way into a pruner. Whatever is not taken by name is an error in the end.

use std::ops::RangeBounds;
use std::sync::Arc;

use serde_json::Value;
use trialog_ops::{Direction, METRIC_NAME_BYTES_MAX, OptionReader};

use crate::Pruner;
use crate::registry::{self, Options};

/// A number of steps, or what the completed trials show.
pub(crate) const AUTO: &str = "auto";

/// The options on their way into a pruner.
pub(crate) struct Reader<'a>(OptionReader<'a>);

impl<'a> Reader<'a> {
    pub(crate) fn new(options: &'a Options) -> Reader<'a> {
        Reader(OptionReader::new(options))
    }

    /// A whole number.
    pub(crate) fn count<T: TryFrom<u64>>(&mut self, name: &'static str, least: u64) -> Result<Option<T>, String> {
        self.0.count(name, least)
    }

    /// A number of steps, at least 1, or `"auto"`, which is the inner `None`.
    pub(crate) fn steps_or_auto(&mut self, name: &'static str) -> Result<Option<Option<u64>>, String> {
        let meaning = |value: &Value| match value.as_str() {
            Some(word) => (word == AUTO).then_some(None),
            None => value.as_u64().filter(|&steps| steps >= 1).map(Some),
        };
        self.0.take(name, &format!("a whole number from 1, or {AUTO:?}"), meaning)
    }

    /// A percentage.
    pub(crate) fn percentage(&mut self, name: &'static str) -> Result<Option<f64>, String> {
        self.number_within(name, 0.0..=100.0, "a number from 0 to 100")
    }

    /// A number.
    pub(crate) fn number(&mut self, name: &'static str) -> Result<Option<f64>, String> {
        self.0.take(name, "a number", Value::as_f64)
    }

    /// A number in a range that `expected` describes.
    pub(crate) fn number_within(
        &mut self,
        name: &'static str,
        range: impl RangeBounds<f64>,
        expected: &str,
    ) -> Result<Option<f64>, String> {
        let meaning = |value: &Value| value.as_f64().filter(|number| range.contains(number));
        self.0.take(name, expected, meaning)
    }

    /// The name of a metric.
    pub(crate) fn metric(&mut self, name: &'static str) -> Result<Option<Arc<str>>, String> {
        let meaning = |value: &Value| {
            let proper = |name: &&str| (1..=METRIC_NAME_BYTES_MAX).contains(&name.len());
            value.as_str().filter(proper).map(Arc::from)
        };
        self.0.take(name, &format!("the name of a metric, of 1 to {METRIC_NAME_BYTES_MAX} bytes"), meaning)
    }

    /// A direction.
    pub(crate) fn direction(&mut self, name: &'static str) -> Result<Option<Direction>, String> {
        let ways = [Direction::Minimize, Direction::Maximize];
        let meaning = |value: &Value| ways.into_iter().find(|way| value.as_str() == Some(&way.to_string()));
        self.0.take(name, "\"minimize\" or \"maximize\"", meaning)
    }

    /// Another pruner: an object of `name`, `version` and `options`, of which the last two may be missing.
    pub(crate) fn pruner(&mut self, name: &'static str) -> Result<Option<Arc<dyn Pruner>>, String> {
        let spec = self.0.component(name)?;
        spec.map(|spec| registry::from_spec(&spec).map_err(|error| format!("option {name}: {error}"))).transpose()
    }

    /// An error if there are options that nobody asked for.
    pub(crate) fn finish(self) -> Result<(), String> {
        self.0.finish()
    }
}

/// How a number of steps stands in a log.
pub(crate) fn steps_or_auto(steps: Option<u64>) -> Value {
    steps.map_or_else(|| Value::from(AUTO), Value::from)
}
