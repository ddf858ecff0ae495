//! Parameters as coordinates in the unit interval and back, for samplers that work in a cube. Every value of a grid
//! owns an equal stretch; a log scale is even in the logarithm.

use libm::{exp, log};
use trialog_ops::{Choice, Distribution};

use crate::random::settle;

/// The value at a place of `[0, 1]`, inside the distribution.
pub(crate) fn from_unit(distribution: &Distribution, unit: f64) -> f64 {
    let mean = |low: f64, high: f64| low * (1.0 - unit) + high * unit;
    let value = match distribution {
        Distribution::Float(d) => match d.step() {
            Some(step) => d.low() + cell(unit, ((d.high() - d.low()) / step).round() + 1.0) * step,
            None if d.is_log() => exp(mean(log(d.low()), log(d.high()))),
            None => mean(d.low(), d.high()),
        },
        Distribution::Int(d) if d.is_log() => {
            exp(mean(log(d.low() as f64 - 0.5), log(d.high() as f64 + 0.5))).round()
        }
        Distribution::Int(d) => {
            let last = (d.high() - d.low()) / d.step();
            // In integers, since the range may be wider than a double is exact.
            let steps = (cell(unit, last as f64 + 1.0) as i64).min(last);
            (d.low() + steps * d.step()) as f64
        }
        Distribution::Categorical(d) => cell(unit, d.choices().len() as f64),
    };
    settle(distribution, value)
}

/// Which of so many equal stretches a place of `[0, 1]` is in.
fn cell(unit: f64, count: f64) -> f64 {
    (unit * count).floor().min(count - 1.0).max(0.0)
}

/// The internal form of a value that somebody wrote down, moved to the nearest that can be drawn; `None` if it is of
/// another type or not among the choices.
pub(crate) fn from_choice(distribution: &Distribution, choice: &Choice) -> Option<f64> {
    match (distribution, choice) {
        (Distribution::Categorical(d), _) => d.index_of(choice).map(|index| index as f64),
        (_, Choice::Int(value)) => Some(settle(distribution, *value as f64)),
        (_, Choice::Float(value)) if !value.is_nan() => Some(settle(distribution, *value)),
        _ => None,
    }
}

/// A JSON scalar as a choice.
pub(crate) fn to_choice(value: &serde_json::Value) -> Option<Choice> {
    Some(match value {
        serde_json::Value::Null => Choice::Null,
        serde_json::Value::Bool(value) => Choice::Bool(*value),
        serde_json::Value::Number(number) => match number.as_i64() {
            Some(integer) => Choice::Int(integer),
            None => Choice::Float(number.as_f64()?),
        },
        serde_json::Value::String(text) => Choice::from(text.as_str()),
        serde_json::Value::Array(_) | serde_json::Value::Object(_) => return None,
    })
}

/// A choice as JSON, from which [`to_choice`] makes the same one unless it is not finite.
pub(crate) fn to_json(choice: &Choice) -> serde_json::Value {
    match choice {
        Choice::Null => serde_json::Value::Null,
        Choice::Bool(value) => (*value).into(),
        Choice::Int(value) => (*value).into(),
        Choice::Float(value) => (*value).into(),
        Choice::Str(text) => (&**text).into(),
    }
}

/// The place of a value in the unit interval: the middle of the stretch that it owns, if it is of a grid.
pub(crate) fn to_unit(distribution: &Distribution, value: f64) -> f64 {
    let value = settle(distribution, value);
    let within = |value: f64, low: f64, high: f64| {
        // Halves first, since the width may be too large for a number.
        let (from_low, width) = (value / 2.0 - low / 2.0, high / 2.0 - low / 2.0);
        if width > 0.0 { from_low / width } else { 0.5 }
    };
    let place = match distribution {
        Distribution::Float(d) => match d.step() {
            Some(step) => {
                let count = ((d.high() - d.low()) / step).round() + 1.0;
                (((value - d.low()) / step).round() + 0.5) / count
            }
            None if d.is_log() => within(log(value), log(d.low()), log(d.high())),
            None => within(value, d.low(), d.high()),
        },
        Distribution::Int(d) if d.is_log() => {
            within(log(value), log(d.low() as f64 - 0.5), log(d.high() as f64 + 0.5))
        }
        Distribution::Int(d) => {
            let count = ((d.high() - d.low()) / d.step() + 1) as f64;
            ((value - d.low() as f64) / d.step() as f64 + 0.5) / count
        }
        Distribution::Categorical(d) => (value + 0.5) / d.choices().len() as f64,
    };
    if place.is_nan() { 0.5 } else { place.clamp(0.0, 1.0) }
}
