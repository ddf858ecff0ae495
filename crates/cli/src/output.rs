//! What the program prints: tables for people, JSON for programs, and colours where they are wanted.

use std::io::{self, IsTerminal as _, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use comfy_table::{Table, presets};
use serde_json::{Map, Value, json};
use trialog::{FrozenTrial, Json, ParamValue, Timestamp};

use crate::args::{Color, Format, FormatArgs};
use crate::exit::{Failure, Outcome};
use crate::space::choice_json;

static COLORED: AtomicBool = AtomicBool::new(false);

/// Decides once whether standard output and error are coloured.
pub(crate) fn set_color(when: Color) {
    let auto = || {
        std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
            && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
            && io::stdout().is_terminal()
    };
    let on = match when {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => auto(),
    };
    COLORED.store(on, Ordering::Relaxed);
}

fn styled(code: &str, text: &str) -> String {
    if COLORED.load(Ordering::Relaxed) { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
}

pub(crate) fn bold(text: &str) -> String {
    styled("1", text)
}

pub(crate) fn good(text: &str) -> String {
    styled("32", text)
}

pub(crate) fn bad(text: &str) -> String {
    styled("31", text)
}

pub(crate) fn faint(text: &str) -> String {
    styled("2", text)
}

impl FormatArgs {
    /// What was asked for, or a table on a terminal and JSON elsewhere.
    pub(crate) fn chosen(&self) -> Format {
        self.format.unwrap_or_else(|| if io::stdout().is_terminal() { Format::Table } else { Format::Json })
    }

    /// Prints one thing: as JSON, or in words.
    pub(crate) fn print(&self, json: &Value, words: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Outcome {
        let mut out = io::stdout().lock();
        match self.chosen() {
            Format::Table => words(&mut out)?,
            Format::Json | Format::Jsonl => writeln!(out, "{json}")?,
            Format::Csv | Format::Parquet => {
                return Err(Failure::usage("this is no table of trials: use -f table or -f json"));
            }
        }
        Ok(out.flush()?)
    }

    /// Prints rows: as a table, as a JSON list, as JSON lines or as CSV.
    pub(crate) fn print_rows(&self, columns: &[&str], rows: &[Vec<Value>]) -> Outcome {
        let mut out = io::stdout().lock();
        write_rows(&mut out, self.chosen(), columns, rows)?;
        Ok(out.flush()?)
    }
}

pub(crate) fn write_rows(out: &mut dyn Write, format: Format, columns: &[&str], rows: &[Vec<Value>]) -> Outcome {
    let object = |row: &Vec<Value>| -> Value {
        columns
            .iter()
            .zip(row)
            .map(|(name, value)| ((*name).to_owned(), value.clone()))
            .collect::<Map<_, _>>()
            .into()
    };
    match format {
        Format::Table => writeln!(out, "{}", table(columns, rows))?,
        Format::Json => writeln!(out, "{}", Value::Array(rows.iter().map(object).collect()))?,
        Format::Jsonl => {
            for row in rows {
                writeln!(out, "{}", object(row))?;
            }
        }
        Format::Csv => {
            // In memory first, so that a reader who has enough is seen as what it is.
            let mut csv = csv::Writer::from_writer(Vec::new());
            csv.write_record(columns).map_err(io::Error::from)?;
            for row in rows {
                csv.write_record(row.iter().map(plain)).map_err(io::Error::from)?;
            }
            out.write_all(&csv.into_inner().map_err(|error| io::Error::other(error.to_string()))?)?;
        }
        Format::Parquet => return Err(Failure::usage("Parquet is for `trialog trials` with -o FILE")),
    }
    Ok(())
}

/// A table without lines, for eyes and for `awk`.
fn table(columns: &[&str], rows: &[Vec<Value>]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(columns.iter().map(|name| bold(name)));
    for row in rows {
        table.add_row(row.iter().map(plain));
    }
    table.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

/// A value as a person reads it.
pub(crate) fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Number(number) => match number.as_f64() {
            Some(float) if number.is_f64() => short(float),
            _ => number.to_string(),
        },
        other => other.to_string(),
    }
}

/// Six significant digits.
pub(crate) fn short(value: f64) -> String {
    if !value.is_finite() || value == 0.0 {
        return value.to_string();
    }
    let magnitude = value.abs().log10().floor();
    if !(-5.0..9.0).contains(&magnitude) {
        let text = format!("{value:.5e}");
        let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        return format!("{}e{exponent}", digits.trim_end_matches('0').trim_end_matches('.'));
    }
    let decimals = (5.0 - magnitude).max(0.0) as usize;
    let text = format!("{value:.decimals$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// A number as JSON; those that JSON cannot say are texts.
pub(crate) fn number(value: f64) -> Value {
    if value.is_finite() { json!(value) } else { json!(Json::from(value).as_str()) }
}

/// A time as people and programs read it: UTC, ISO 8601.
pub(crate) fn time(at: Timestamp) -> String {
    jiff::Timestamp::from_microsecond(at.0).map_or_else(|_| at.to_string(), |at| at.to_string())
}

pub(crate) fn attr(value: &Json) -> Value {
    value.to_value().unwrap_or_else(|| json!(value.as_str()))
}

/// Parameters as a JSON object.
pub(crate) fn params_json<'a>(params: impl IntoIterator<Item = (&'a str, &'a ParamValue)>) -> Value {
    let entries = params.into_iter().map(|(name, value)| (name.to_owned(), choice_json(&value.as_choice())));
    Value::Object(entries.collect())
}

/// The same of values that were drawn from a space.
pub(crate) fn values_json(values: &[(String, ParamValue)]) -> Value {
    params_json(values.iter().map(|(name, value)| (name.as_str(), value)))
}

/// A trial as JSON: the form that every command prints.
pub(crate) fn trial_json(trial: &FrozenTrial) -> Value {
    let mut fields = Map::new();
    let mut put = |key: &str, value: Value| fields.insert(key.into(), value);
    put("trial", json!(trial.number.0));
    put("state", json!(trial.state.to_string()));
    put("values", Value::Array(trial.values.iter().map(|value| number(*value)).collect()));
    put("params", params_json(trial.params.iter()));
    if !trial.intermediate_values.is_empty() {
        let reports = trial.intermediate_values.iter().map(|(step, value)| json!([step, number(*value)]));
        put("intermediate_values", reports.collect());
    }
    if !trial.metrics.is_empty() {
        let series =
            |reports: &[(u64, f64)]| reports.iter().map(|(step, value)| json!([step, number(*value)])).collect();
        let metrics: Map<String, Value> =
            trial.metrics.iter().map(|(name, reports)| (name.clone(), series(reports))).collect();
        put("metrics", Value::Object(metrics));
    }
    if !trial.constraints.is_empty() {
        let constraints: Map<String, Value> =
            trial.constraints.iter().map(|(name, value)| (name.clone(), number(*value))).collect();
        put("constraints", Value::Object(constraints));
    }
    if !trial.user_attrs.is_empty() {
        let attrs: Map<String, Value> =
            trial.user_attrs.iter().map(|(key, value)| (key.clone(), attr(value))).collect();
        put("user_attrs", Value::Object(attrs));
    }
    put("start", trial.start.map_or(Value::Null, |at| json!(time(at))));
    put("end", trial.end.map_or(Value::Null, |at| json!(time(at))));
    if trial.lost {
        put("lost", json!(true));
    }
    Value::Object(fields)
}

/// A trial in words.
pub(crate) fn write_trial(out: &mut dyn Write, trial: &FrozenTrial) -> io::Result<()> {
    writeln!(out, "{} {}  {}", bold("trial"), trial.number, trial.state)?;
    if !trial.values.is_empty() {
        let values: Vec<String> = trial.values.iter().map(|value| short(*value)).collect();
        writeln!(out, "  value   {}", values.join(", "))?;
    }
    for (name, value) in trial.params.iter() {
        writeln!(out, "  {name} = {value}")?;
    }
    for (name, value) in &trial.constraints {
        let met = if *value <= 0.0 { good("met") } else { bad("violated") };
        writeln!(out, "  constraint {name}: {} ({met})", short(*value))?;
    }
    if let Some((step, value)) = trial.intermediate_values.last() {
        let count = trial.intermediate_values.len();
        writeln!(out, "  {count} intermediate values, the last {} at step {step}", short(*value))?;
    }
    for (name, reports) in &trial.metrics {
        if let Some((step, value)) = reports.last() {
            let count = reports.len();
            writeln!(out, "  metric {name}: {count} values, the last {} at step {step}", short(*value))?;
        }
    }
    for (key, value) in &trial.user_attrs {
        writeln!(out, "  {} {value}", faint(key))?;
    }
    match (trial.start, trial.end) {
        (Some(start), Some(end)) => {
            let seconds = end.0.saturating_sub(start.0) as f64 / 1e6;
            writeln!(out, "  {} {}, {} s", faint("began"), time(start), short(seconds))
        }
        (Some(start), None) => writeln!(out, "  {} {}", faint("began"), time(start)),
        _ => Ok(()),
    }
}

/// A line of blocks whose heights follow the values: a history that fits on a line.
pub(crate) fn sparkline(values: &[f64], width: usize) -> String {
    const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let finite: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
    let (Some(low), Some(high)) =
        (finite.iter().copied().reduce(f64::min), finite.iter().copied().reduce(f64::max))
    else {
        return String::new();
    };
    let columns = width.min(values.len());
    (0..columns)
        .map(|column| {
            let value = values[(column + 1) * values.len() / columns - 1];
            let place = if high > low { (value - low) / (high - low) } else { 0.0 };
            BLOCKS[(place.clamp(0.0, 1.0) * 7.0).round() as usize]
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_keep_their_meaning() {
        for (value, expected) in [
            (0.0, "0"),
            (1.0, "1"),
            (0.1, "0.1"),
            (123456.789, "123457"),
            (-0.000123456789, "-0.000123457"),
            (1e-9, "1e-9"),
            (2.5e12, "2.5e12"),
            (f64::INFINITY, "inf"),
            (100000.0, "100000"),
        ] {
            assert_eq!(short(value), expected);
        }
    }

    #[test]
    fn histories_fit_on_a_line() {
        assert_eq!(sparkline(&[3.0, 2.0, 1.0], 10), "█▅▁");
        assert_eq!(sparkline(&[1.0; 100], 4), "▁▁▁▁");
        assert_eq!(sparkline(&[], 4), "");
        assert_eq!(sparkline(&[f64::INFINITY, 1.0], 4).chars().count(), 2);
    }
}
