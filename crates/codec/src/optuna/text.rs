//! JSON as Python's `json.dumps` writes it, to the byte: its floats, its escapes, its separators.

use trialog_ops::{Choice, Distribution, Json, JsonScan};

use super::value::{self, LONE, unescape};

/// What stands between the parts of arrays and objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spacing {
    /// `{"a":1,"b":2}`: lines of a file.
    Compact,
    /// `{"a": 1, "b": 2}`: Python's default, and so the values in Redis.
    Spaced,
}

impl Spacing {
    pub(crate) fn comma(self) -> &'static str {
        if self == Spacing::Compact { "," } else { ", " }
    }

    pub(crate) fn colon(self) -> &'static str {
        if self == Spacing::Compact { ":" } else { ": " }
    }
}

/// A string with its quotes, in ASCII.
pub(crate) fn push_string(out: &mut String, text: &str) {
    out.push('"');
    push_escaped(out, text);
    out.push('"');
}

fn push_escaped(out: &mut String, text: &str) {
    let mut units = [0; 2];
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            ' '..='~' => out.push(c),
            LONE if lone(rest).is_some() => {
                out.push_str("\\u");
                out.push_str(&rest[..4]);
                rest = &rest[4..];
            }
            _ => c.encode_utf16(&mut units).iter().for_each(|unit| out.push_str(&format!("\\u{unit:04x}"))),
        }
    }
}

/// The half of a surrogate pair whose digits stand here.
fn lone(digits: &str) -> Option<u32> {
    let digits = digits.get(..4).filter(|digits| digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')))?;
    u32::from_str_radix(digits, 16).ok().filter(|unit| (0xd800..0xe000).contains(unit))
}

/// A number as Python's `repr` has it.
pub(crate) fn push_float(out: &mut String, value: f64) {
    if value.is_nan() {
        out.push_str("NaN");
    } else if value.is_infinite() {
        out.push_str(if value > 0.0 { "Infinity" } else { "-Infinity" });
    } else {
        let scientific = format!("{value:e}");
        let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
        let exponent: i32 = exponent.parse().unwrap_or(0);
        if (-4..16).contains(&exponent) {
            out.push_str(&format!("{value:?}"));
        } else {
            let sign = if exponent < 0 { '-' } else { '+' };
            out.push_str(&format!("{mantissa}e{sign}{:02}", exponent.abs()));
        }
    }
}

/// A value that was checked, as Python would write it: no space but the separators', no bytes beyond ASCII.
pub(crate) fn push_json(out: &mut String, value: &Json, spacing: Spacing) {
    let text = value.as_str();
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b' ' | b'\t' | b'\n' | b'\r' => {}
            b',' => out.push_str(spacing.comma()),
            b':' => out.push_str(spacing.colon()),
            b'"' => {
                let start = at + 1;
                at = start;
                while let Some(&inner) = bytes.get(at) {
                    match inner {
                        b'"' => break,
                        b'\\' => at += 2,
                        _ => at += 1,
                    }
                }
                push_string(out, &unescape(text.get(start..at).unwrap_or("")));
            }
            other => out.push(char::from(other)),
        }
        at += 1;
    }
}

/// What begins a choice that is no scalar of ours: its JSON text follows, as it is to be written.
pub(crate) const RAW: &str = "trialog:json:";

fn push_choice(out: &mut String, choice: &Choice) {
    match choice {
        Choice::Null => out.push_str("null"),
        Choice::Bool(v) => out.push_str(if *v { "true" } else { "false" }),
        Choice::Int(v) => out.push_str(&v.to_string()),
        Choice::Float(v) => push_float(out, *v),
        Choice::Str(v) => match v.strip_prefix(RAW).and_then(|raw| Json::parse(raw).ok()) {
            Some(json) => {
                push_json(out, &json, Spacing::Spaced);
                // A choice that is there twice has a space more each time.
                json.as_str().bytes().rev().take_while(|byte| *byte == b' ').for_each(|_| out.push(' '));
            }
            None => push_string(out, v),
        },
    }
}

/// A distribution as a JSON text, as Optuna's `distribution_to_json` has it.
pub(crate) fn distribution_text(distribution: &Distribution) -> String {
    let mut out = String::new();
    match distribution {
        Distribution::Float(float) => {
            out.push_str(r#"{"name": "FloatDistribution", "attributes": {"step": "#);
            match float.step() {
                Some(step) => push_float(&mut out, step),
                None => out.push_str("null"),
            }
            out.push_str(r#", "low": "#);
            push_float(&mut out, float.low());
            out.push_str(r#", "high": "#);
            push_float(&mut out, float.high());
            out.push_str(&format!(r#", "log": {}}}}}"#, float.is_log()));
        }
        Distribution::Int(int) => out.push_str(&format!(
            r#"{{"name": "IntDistribution", "attributes": {{"log": {}, "step": {}, "low": {}, "high": {}}}}}"#,
            int.is_log(),
            int.step(),
            int.low(),
            int.high()
        )),
        Distribution::Categorical(categorical) => {
            out.push_str(r#"{"name": "CategoricalDistribution", "attributes": {"choices": ["#);
            for (i, choice) in categorical.choices().iter().enumerate() {
                out.push_str(if i == 0 { "" } else { ", " });
                push_choice(&mut out, choice);
            }
            out.push_str("]}}");
        }
    }
    out
}

/// What a distribution's JSON text says, if Trialog has such a thing. Classes of Optuna before 3.0 and the short
/// form with a `type` are read as what they became.
pub(crate) fn parse_distribution(text: &str) -> Option<Distribution> {
    let mut fields = Fields::default();
    let mut scan = JsonScan::new(text);
    for member in scan.members() {
        let (key, value) = member.ok()?;
        match &*unescape(key) {
            "name" => fields.name = value::text(value).map(std::borrow::Cow::into_owned),
            "type" => fields.kind = value::text(value).map(std::borrow::Cow::into_owned),
            "attributes" => {
                for member in JsonScan::new(value).members() {
                    let (key, value) = member.ok()?;
                    fields.take(&unescape(key), value)?;
                }
            }
            other => fields.take(other, value)?,
        }
    }
    scan.end().ok()?;
    fields.build()
}

#[derive(Default)]
struct Fields {
    name: Option<String>,
    kind: Option<String>,
    low: Option<String>,
    high: Option<String>,
    step: Option<String>,
    log: bool,
    choices: Option<Vec<Choice>>,
}

impl Fields {
    fn take(&mut self, key: &str, value: &str) -> Option<()> {
        let given = || Some(value.to_owned()).filter(|value| value != "null");
        match key {
            "low" => self.low = given(),
            "high" => self.high = given(),
            "step" | "q" => self.step = given(),
            "log" => self.log = value == "true" || value == "1",
            "choices" => {
                let mut choices = Vec::new();
                for item in JsonScan::new(value).items() {
                    choices.push(choice(item.ok()?, &choices));
                }
                self.choices = Some(choices);
            }
            _ => {}
        }
        Some(())
    }

    fn build(self) -> Option<Distribution> {
        use trialog_ops::{CategoricalDistribution, FloatDistribution, IntDistribution};
        let log = self.log
            || matches!(self.name.as_deref(), Some("LogUniformDistribution" | "IntLogUniformDistribution"));
        let name = self.name.as_deref().or(self.kind.as_deref())?;
        match name {
            "FloatDistribution"
            | "UniformDistribution"
            | "LogUniformDistribution"
            | "DiscreteUniformDistribution"
            | "float" => {
                let number = |text: &Option<String>| value::float(text.as_deref()?);
                let step = match &self.step {
                    Some(_) => Some(number(&self.step)?),
                    None => None,
                };
                let built = FloatDistribution::new(number(&self.low)?, number(&self.high)?, log, step);
                built.ok().map(Distribution::Float)
            }
            "IntDistribution" | "IntUniformDistribution" | "IntLogUniformDistribution" | "int" => {
                let number = |text: &Option<String>| value::integer(text.as_deref()?);
                let step = if self.step.is_some() { number(&self.step)? } else { 1 };
                let built = IntDistribution::new(number(&self.low)?, number(&self.high)?, log, step);
                built.ok().map(Distribution::Int)
            }
            "CategoricalDistribution" | "categorical" => {
                CategoricalDistribution::new(self.choices?).ok().map(Distribution::Categorical)
            }
            _ => None,
        }
    }
}

/// A choice; what is no scalar of ours, and what is there already, as its JSON text behind [`RAW`].
fn choice(value: &str, before: &[Choice]) -> Choice {
    let raw = |text: &str| Choice::from(format!("{RAW}{text}"));
    let plain = match value.as_bytes().first() {
        Some(b'"') => {
            let text = unescape(&value[1..value.len() - 1]);
            if text.starts_with(RAW) { raw(value) } else { Choice::from(&*text) }
        }
        Some(b'[' | b'{') => raw(value),
        Some(b'n') => Choice::Null,
        Some(b't' | b'f') => Choice::Bool(value == "true"),
        _ if value.bytes().skip(1).all(|byte| byte.is_ascii_digit()) && value != "-" => {
            match value.parse::<i64>() {
                Ok(int) if int.unsigned_abs() <= trialog_ops::INT_MAX.unsigned_abs() => Choice::Int(int),
                _ => raw(value),
            }
        }
        _ => value::float(value).map_or_else(|| raw(value), Choice::Float),
    };
    let mut unique = plain;
    let mut again = value.to_owned();
    while before.contains(&unique) {
        again.push(' ');
        unique = raw(&again);
    }
    unique
}

/// True if Optuna takes both for the same: lists of choices that Python finds equal.
#[must_use]
pub fn is_same_to_python(a: &Distribution, b: &Distribution) -> bool {
    let (Distribution::Categorical(a), Distribution::Categorical(b)) = (a, b) else { return a == b };
    let equal = |(a, b): (&Choice, &Choice)| {
        let number = |choice: &Choice| match choice {
            Choice::Bool(v) => Some(f64::from(u8::from(*v))),
            Choice::Int(v) => Some(*v as f64),
            Choice::Float(v) => Some(*v),
            Choice::Null | Choice::Str(_) => None,
        };
        match (number(a), number(b)) {
            (Some(a), Some(b)) => a == b || (a.is_nan() && b.is_nan()),
            _ => a == b,
        }
    };
    a.choices().len() == b.choices().len() && a.choices().iter().zip(b.choices()).all(equal)
}
