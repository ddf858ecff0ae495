//! The space file: which parameters a study has, when they take part, and what has to hold between them.

mod expr;
mod read;
mod source;

use std::fmt;

use serde_json::{Map, Value, json};
use trialog::{Choice, Distribution, ParamValue, Trial};

use expr::{Expr, Val};

pub(crate) use read::{SpaceError, joined, nearest, read, read_param};

/// The parameters of a study, in an order in which each comes after those that its condition names.
#[derive(Clone, Debug)]
pub(crate) struct Space {
    pub(crate) params: Vec<Param>,
    pub(crate) constraints: Vec<Constraint>,
}

#[derive(Clone, Debug)]
pub(crate) struct Param {
    pub(crate) name: String,
    pub(crate) distribution: Distribution,
    when: Option<Expr>,
}

#[derive(Clone, Debug)]
pub(crate) struct Constraint {
    name: String,
    expr: Expr,
}

/// The values of a trial's parameters, in the order of the space; those that take no part are left out.
pub(crate) type Values = Vec<(String, ParamValue)>;

impl Space {
    /// Asks the trial for every parameter that takes part in it.
    pub(crate) fn suggest(&self, trial: &mut Trial) -> Result<Values, Box<dyn std::error::Error + Send + Sync>> {
        let mut values = Values::with_capacity(self.params.len());
        for param in &self.params {
            let takes_part = match &param.when {
                None => true,
                Some(when) => when
                    .is_true(&|name| lookup(&values, name))
                    .map_err(|what| format!("the condition of parameter {:?}: {what}", param.name))?
                    .unwrap_or(false),
            };
            if takes_part {
                let value = trial.suggest(&param.name, &param.distribution)?;
                values.push((param.name.clone(), value));
            }
        }
        Ok(values)
    }

    /// By how much each constraint is violated: 0 or less where it holds. Those that name a parameter that takes no
    /// part are left out.
    pub(crate) fn violations(&self, values: &Values) -> Result<Vec<(&str, f64)>, String> {
        let mut violations = Vec::new();
        for constraint in &self.constraints {
            if let Some(by) = constraint.expr.violation(&|name| lookup(values, name))? {
                violations.push((constraint.name.as_str(), by));
            }
        }
        Ok(violations)
    }

    /// The space as JSON, in the form in which a study keeps it and a space file may be written.
    pub(crate) fn to_json(&self) -> Value {
        let params: Map<String, Value> = self
            .params
            .iter()
            .map(|param| {
                let mut fields = distribution_json(&param.distribution);
                if let Some(when) = &param.when {
                    fields.insert("when".into(), json!(when.text));
                }
                (param.name.clone(), Value::Object(fields))
            })
            .collect();
        let constraints: Vec<Value> = self
            .constraints
            .iter()
            .map(|constraint| json!({"name": constraint.name, "expr": constraint.expr.text}))
            .collect();
        // The order of the parameters stands beside them, since JSON objects have none.
        let order: Vec<&str> = self.params.iter().map(|param| param.name.as_str()).collect();
        let mut space = Map::new();
        space.insert("params".into(), Value::Object(params));
        space.insert("order".into(), json!(order));
        if !constraints.is_empty() {
            space.insert("constraint".into(), Value::Array(constraints));
        }
        Value::Object(space)
    }
}

impl fmt::Display for Space {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for param in &self.params {
            write!(f, "{}: {}", param.name, param.distribution)?;
            match &param.when {
                Some(when) => writeln!(f, ", when {}", when.text)?,
                None => writeln!(f)?,
            }
        }
        for constraint in &self.constraints {
            writeln!(f, "constraint {}: {}", constraint.name, constraint.expr.text)?;
        }
        Ok(())
    }
}

fn lookup(values: &Values, name: &str) -> Option<Val> {
    let (_, value) = values.iter().find(|(known, _)| known == name)?;
    Some(match value.as_choice() {
        Choice::Null => Val::Null,
        Choice::Bool(value) => Val::Bool(value),
        Choice::Int(value) => Val::Num(value as f64),
        Choice::Float(value) => Val::Num(value),
        Choice::Str(text) => Val::Text(text.to_string()),
    })
}

/// A distribution in the words of a space file.
pub(crate) fn distribution_json(distribution: &Distribution) -> Map<String, Value> {
    let mut fields = Map::new();
    let mut put = |key: &str, value: Value| fields.insert(key.into(), value);
    match distribution {
        Distribution::Float(float) => {
            put("type", json!("float"));
            put("low", json!(float.low()));
            put("high", json!(float.high()));
            if float.is_log() {
                put("log", json!(true));
            }
            if let Some(step) = float.step() {
                put("step", json!(step));
            }
        }
        Distribution::Int(int) => {
            put("type", json!("int"));
            put("low", json!(int.low()));
            put("high", json!(int.high()));
            if int.is_log() {
                put("log", json!(true));
            }
            if int.step() != 1 {
                put("step", json!(int.step()));
            }
        }
        Distribution::Categorical(categorical) => {
            put("type", json!("categorical"));
            put("choices", Value::Array(categorical.choices().iter().map(choice_json).collect()));
        }
    }
    fields
}

/// A choice as JSON; numbers that JSON cannot say are texts.
pub(crate) fn choice_json(choice: &Choice) -> Value {
    match choice {
        Choice::Null => Value::Null,
        Choice::Bool(value) => json!(value),
        Choice::Int(value) => json!(value),
        Choice::Float(value) if value.is_finite() => json!(value),
        Choice::Float(value) => json!(value.to_string()),
        Choice::Str(text) => json!(&**text),
    }
}

/// A condition on the rows of a table.
pub(crate) struct Filter(Expr);

impl Filter {
    /// Every name must be one of the columns.
    pub(crate) fn parse(text: &str, columns: &[String]) -> Result<Filter, SpaceError> {
        read::filter(text, columns).map(Filter)
    }

    /// What a row does not have makes the condition false.
    pub(crate) fn keeps(&self, row: &Map<String, Value>) -> Result<bool, SpaceError> {
        let lookup = |name: &str| match row.get(name)? {
            Value::Null => None,
            Value::Bool(value) => Some(Val::Bool(*value)),
            Value::Number(number) => number.as_f64().map(Val::Num),
            Value::String(text) => Some(match text.as_str() {
                "Infinity" => Val::Num(f64::INFINITY),
                "-Infinity" => Val::Num(f64::NEG_INFINITY),
                _ => Val::Text(text.clone()),
            }),
            other => Some(Val::Text(other.to_string())),
        };
        self.0.is_true(&lookup).map(|is| is.unwrap_or(false)).map_err(SpaceError::of)
    }
}
