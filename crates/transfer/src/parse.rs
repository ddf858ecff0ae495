//! JSON values and parts of trials, one from the other: what the readers of files and databases have in common.

use serde_json::{Map, Value, json};
use trialog_ops::{
    CategoricalDistribution, Choice, Distribution, FinalState, FloatDistribution, IntDistribution, Json,
    ParamValue, TrialState,
};

/// What is wrong with a value, for people.
pub(crate) type Parsed<T> = Result<T, String>;

/// A double as JSON: a number, or a text for what JSON has no number for. Every bit comes back.
pub(crate) fn float_value(value: f64) -> Value {
    if value.is_finite() {
        return Value::from(value);
    }
    let text = match value {
        f64::INFINITY => "Infinity".to_owned(),
        f64::NEG_INFINITY => "-Infinity".to_owned(),
        value if value.to_bits() == f64::NAN.to_bits() => "NaN".to_owned(),
        value => format!("NaN:{:016x}", value.to_bits()),
    };
    Value::from(text)
}

pub(crate) fn float_of(value: &Value) -> Parsed<f64> {
    match value {
        Value::Number(number) => number.as_f64().ok_or_else(|| format!("{number} is no double")),
        Value::String(text) => match text.as_str() {
            "Infinity" | "inf" => Ok(f64::INFINITY),
            "-Infinity" | "-inf" => Ok(f64::NEG_INFINITY),
            "NaN" | "nan" => Ok(f64::NAN),
            other => {
                let bits = other.strip_prefix("NaN:").and_then(|bits| u64::from_str_radix(bits, 16).ok());
                let nan = bits.map(f64::from_bits).filter(|value| value.is_nan());
                nan.ok_or_else(|| format!("{other:?} is no number"))
            }
        },
        other => Err(format!("{other} is no number")),
    }
}

pub(crate) fn int_of(value: &Value) -> Parsed<i64> {
    value.as_i64().ok_or_else(|| format!("{value} is no whole number"))
}

pub(crate) fn str_of(value: &Value) -> Parsed<&str> {
    value.as_str().ok_or_else(|| format!("{value} is no text"))
}

pub(crate) fn list_of(value: &Value) -> Parsed<&Vec<Value>> {
    value.as_array().ok_or_else(|| format!("{value} is no list"))
}

pub(crate) fn map_of(value: &Value) -> Parsed<&Map<String, Value>> {
    value.as_object().ok_or_else(|| format!("{value} is no object"))
}

pub(crate) fn state_of(text: &str) -> Parsed<TrialState> {
    let known = |state: &TrialState| state.to_string() == text.to_ascii_lowercase();
    TrialState::ALL.into_iter().find(known).ok_or_else(|| format!("{text:?} is no state of a trial"))
}

pub(crate) fn final_state_of(text: &str) -> Parsed<FinalState> {
    match state_of(text)? {
        TrialState::Complete => Ok(FinalState::Complete),
        TrialState::Pruned => Ok(FinalState::Pruned),
        TrialState::Fail => Ok(FinalState::Fail),
        state => Err(format!("no trial ends as {state}")),
    }
}

/// The key under which a JSON text stands that would not come back to the letter otherwise.
const VERBATIM: &str = "$json";

pub(crate) fn json_value(json: &Json) -> Value {
    let same = |value: &Value| {
        let text = value.to_string();
        text == json.as_str() && value.get(VERBATIM).is_none()
    };
    json.to_value().filter(same).unwrap_or_else(|| json!({ VERBATIM: json.as_str() }))
}

pub(crate) fn json_of(value: &Value) -> Parsed<Json> {
    match value.get(VERBATIM) {
        Some(text) => Json::parse(str_of(text)?).map_err(|error| error.to_string()),
        None => Ok(Json::from(value)),
    }
}

/// The key under which a float stands among choices, where its text would be a choice of its own.
const FLOAT: &str = "$float";

pub(crate) fn choice_value(choice: &Choice) -> Value {
    match choice {
        Choice::Null => Value::Null,
        Choice::Bool(value) => Value::from(*value),
        Choice::Int(value) => Value::from(*value),
        Choice::Float(value) if value.is_finite() => Value::from(*value),
        Choice::Float(value) => json!({ FLOAT: float_value(*value) }),
        Choice::Str(text) => Value::from(text.to_string()),
    }
}

pub(crate) fn choice_of(value: &Value) -> Parsed<Choice> {
    Ok(match value {
        Value::Null => Choice::Null,
        Value::Bool(value) => Choice::Bool(*value),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(int), _) => Choice::Int(int),
            (None, Some(float)) => Choice::Float(float),
            _ => return Err(format!("{number} is no choice")),
        },
        Value::String(text) => Choice::from(text.as_str()),
        other => Choice::Float(float_of(other.get(FLOAT).ok_or_else(|| format!("{other} is no choice"))?)?),
    })
}

pub(crate) fn distribution_value(distribution: &Distribution) -> Value {
    match distribution {
        Distribution::Float(d) => {
            let step = d.step();
            json!({"type": "float", "low": d.low(), "high": d.high(), "log": d.is_log(), "step": step})
        }
        Distribution::Int(d) => {
            json!({"type": "int", "low": d.low(), "high": d.high(), "log": d.is_log(), "step": d.step()})
        }
        Distribution::Categorical(d) => {
            let choices: Vec<Value> = d.choices().iter().map(choice_value).collect();
            json!({"type": "categorical", "choices": choices})
        }
    }
}

pub(crate) fn distribution_of(value: &Value) -> Parsed<Distribution> {
    let map = map_of(value)?;
    let field = |name: &str| map.get(name).filter(|value| !value.is_null());
    let need = |name: &str| field(name).ok_or_else(|| format!("a distribution without {name:?}"));
    let log = field("log").is_some_and(|log| *log == Value::Bool(true));
    let made = match str_of(need("type")?)? {
        "float" => {
            let step = field("step").map(float_of).transpose()?;
            FloatDistribution::new(float_of(need("low")?)?, float_of(need("high")?)?, log, step)
                .map(Distribution::Float)
        }
        "int" => {
            let step = field("step").map(int_of).transpose()?.unwrap_or(1);
            IntDistribution::new(int_of(need("low")?)?, int_of(need("high")?)?, log, step).map(Distribution::Int)
        }
        "categorical" => {
            let choices: Parsed<Vec<Choice>> = list_of(need("choices")?)?.iter().map(choice_of).collect();
            CategoricalDistribution::new(choices?).map(Distribution::Categorical)
        }
        other => return Err(format!("{other:?} is no kind of distribution")),
    };
    made.map_err(|error| error.to_string())
}

/// A value as people see it, or in internal form where that says more.
pub(crate) fn param_value(distribution: &Distribution, value: f64) -> Value {
    let external = distribution.to_external(value);
    let back = distribution.to_internal(&external);
    let shown = choice_value(&external.as_choice());
    let shown = match (&external, value.is_finite()) {
        (ParamValue::Categorical(_), _) | (_, true) => shown,
        _ => float_value(value),
    };
    let mut entry = json!({"value": shown, "distribution": distribution_value(distribution)});
    if back.is_none_or(|back| back.to_bits() != value.to_bits()) {
        entry["internal"] = float_value(value);
    }
    entry
}

pub(crate) fn param_of(value: &Value) -> Parsed<(Distribution, f64)> {
    let map = map_of(value)?;
    let distribution = distribution_of(map.get("distribution").ok_or("a parameter without a distribution")?)?;
    if let Some(internal) = map.get("internal") {
        return Ok((distribution, float_of(internal)?));
    }
    let value = map.get("value").ok_or("a parameter without a value")?;
    let internal = internal_of(&distribution, value)?;
    Ok((distribution, internal))
}

/// The internal form of a value as people see it.
pub(crate) fn internal_of(distribution: &Distribution, value: &Value) -> Parsed<f64> {
    let misfit = || format!("{value} is no value of {distribution}");
    match distribution {
        Distribution::Float(_) | Distribution::Int(_) => {
            float_of(value).ok().filter(|value| !value.is_nan()).ok_or_else(misfit)
        }
        Distribution::Categorical(d) => d.index_of(&choice_of(value)?).map(|at| at as f64).ok_or_else(misfit),
    }
}
