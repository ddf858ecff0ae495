//! Values and intermediate values out of what a program prints.

use std::path::Path;

use regex::Regex;
use serde_json::Value;

use crate::exit::{Failure, Outcome};

/// Where an objective's value comes from.
#[derive(Debug)]
pub(crate) enum Source {
    Last,
    Json(String),
    Regex(Regex),
    File(String),
    Exit,
}

/// Where intermediate values come from.
#[derive(Debug)]
pub(crate) enum Reports {
    None,
    Json,
    Regex(Regex),
}

impl Source {
    pub(crate) fn parse(text: &str) -> Outcome<Source> {
        Ok(match text.split_once(':') {
            None if text == "last" => Source::Last,
            None if text == "exit" => Source::Exit,
            Some(("json", key)) if !key.is_empty() => Source::Json(key.to_owned()),
            Some(("regex", pattern)) => Source::Regex(regex("--metric", pattern, 1..=1)?),
            Some(("file", path)) if !path.is_empty() => Source::File(path.to_owned()),
            _ => {
                let known = "last, json:KEY, regex:PATTERN, file:PATH or exit";
                return Err(Failure::usage(format!("--metric {text:?} is none of {known}")));
            }
        })
    }
}

impl Reports {
    pub(crate) fn parse(text: &str) -> Outcome<Reports> {
        Ok(match text.split_once(':') {
            None if text == "json" => Reports::Json,
            None if text == "none" => Reports::None,
            Some(("regex", pattern)) => Reports::Regex(regex("--report", pattern, 1..=2)?),
            _ => return Err(Failure::usage(format!("--report {text:?} is none of json, none or regex:PATTERN"))),
        })
    }
}

fn regex(option: &str, pattern: &str, groups: std::ops::RangeInclusive<usize>) -> Outcome<Regex> {
    let regex = Regex::new(pattern).map_err(|error| Failure::usage(format!("{option}: {error}")))?;
    let found = regex.captures_len() - 1;
    if groups.contains(&found) {
        return Ok(regex);
    }
    let wanted = if *groups.end() == 1 { "one group" } else { "one or two groups" };
    Err(Failure::usage(format!("{option}: {pattern:?} needs {wanted} in parentheses, and has {found}")))
}

/// What is kept of the output while it passes by: no more than what some source may need in the end.
#[derive(Debug)]
pub(crate) struct Collector<'a> {
    sources: &'a [Source],
    reports: &'a Reports,
    last: Option<String>,
    /// The newest match of each source, in standard error and in standard output: which of two lines of both came first
    /// nobody can tell, so that standard output's counts.
    found: Vec<[Option<f64>; 2]>,
    reported: u64,
}

impl<'a> Collector<'a> {
    pub(crate) fn new(sources: &'a [Source], reports: &'a Reports) -> Collector<'a> {
        Collector { sources, reports, last: None, found: vec![[None; 2]; sources.len()], reported: 0 }
    }

    /// Takes a line of output, and returns the intermediate value in it.
    pub(crate) fn line(&mut self, line: &str, is_stdout: bool) -> Option<(u64, f64)> {
        let json = if is_stdout { json_object(line) } else { None };
        for (source, found) in self.sources.iter().zip(&mut self.found) {
            let new = match source {
                Source::Json(key) => json.as_ref().and_then(|json| number_of(json.get(key)?)),
                Source::Regex(regex) => {
                    regex.captures_iter(line).last().and_then(|groups| number_in(groups.get(1)?.as_str()))
                }
                Source::Last | Source::File(_) | Source::Exit => None,
            };
            let found = &mut found[usize::from(is_stdout)];
            *found = new.or(*found);
        }
        let report = match self.reports {
            Reports::None => None,
            Reports::Json => json.as_ref().and_then(step_and_value),
            Reports::Regex(regex) => regex.captures_iter(line).last().and_then(|groups| {
                let first = groups.get(1)?.as_str();
                match groups.get(2) {
                    Some(value) => Some((first.parse().ok()?, number_in(value.as_str())?)),
                    None => Some((self.reported, number_in(first)?)),
                }
            }),
        };
        self.reported += u64::from(report.is_some());
        // A report is no result: the last line is the last one that is none.
        if is_stdout && report.is_none() && !line.trim().is_empty() {
            self.last = Some(line.trim().to_owned());
        }
        report
    }

    /// One value for each objective, when the program has ended well.
    pub(crate) fn values(self, objectives: usize, dir: &Path, exit_code: i32) -> Result<Vec<f64>, String> {
        if let [Source::Last] = self.sources {
            let last =
                self.last.ok_or("it printed nothing: the value is the last line of its output, or see --metric")?;
            return last_values(&last, objectives);
        }
        let mut values = Vec::with_capacity(objectives);
        for (source, [in_stderr, in_stdout]) in self.sources.iter().zip(self.found) {
            let found = in_stdout.or(in_stderr);
            values.push(match source {
                Source::Json(key) => {
                    found.ok_or_else(|| format!("no JSON line of its output has a number {key:?}"))?
                }
                Source::Regex(regex) => found.ok_or_else(|| format!("nothing in its output matches {regex}"))?,
                Source::Last => {
                    let last = self.last.as_deref().ok_or("it printed nothing")?;
                    last_values(last, 1)?[0]
                }
                Source::Exit => f64::from(exit_code),
                Source::File(name) => {
                    let path = dir.join(name);
                    let text = std::fs::read_to_string(&path)
                        .map_err(|error| format!("its value should be in {}: {error}", path.display()))?;
                    last_values(text.trim(), 1)?[0]
                }
            });
        }
        Ok(values)
    }
}

/// A number, or a JSON object with `value` or `values`, or numbers with blanks or commas between them.
fn last_values(text: &str, objectives: usize) -> Result<Vec<f64>, String> {
    let wrong = |what: &str| Err(format!("the last line of its output, {text:?}, {what}"));
    let values: Option<Vec<f64>> = match json_object(text) {
        Some(json) => match (json.get("values"), json.get("value")) {
            (Some(Value::Array(values)), _) => values.iter().map(number_of).collect(),
            (_, Some(value)) => number_of(value).map(|value| vec![value]),
            _ => return wrong("has neither \"value\" nor \"values\""),
        },
        None => {
            let words = text.split([' ', ',', '\t']).filter(|word| !word.is_empty());
            words.map(number_in).collect()
        }
    };
    match values {
        None => wrong("is no number; see --metric for other sources of the value"),
        Some(values) if values.len() != objectives => {
            wrong(&format!("has {} value(s), and the study has {objectives} objective(s)", values.len()))
        }
        Some(values) => Ok(values),
    }
}

fn step_and_value(json: &Value) -> Option<(u64, f64)> {
    let step = json.get("step").or_else(|| json.get("epoch"))?.as_u64()?;
    Some((step, number_of(json.get("value")?)?))
}

fn number_in(text: &str) -> Option<f64> {
    text.trim().parse().ok()
}

pub(crate) fn number_of(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => number_in(text),
        _ => None,
    }
}

/// A JSON object. Python prints bare `NaN` and `Infinity`, which become texts.
pub(crate) fn json_object(line: &str) -> Option<Value> {
    let line = line.trim();
    if !line.starts_with('{') {
        return None;
    }
    let parsed = serde_json::from_str(line).ok();
    parsed.or_else(|| serde_json::from_str(&quoted_tokens(line)).ok())
}

/// The text with quotes around the numbers that standard JSON cannot say.
fn quoted_tokens(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    let (mut in_string, mut escaped) = (false, false);
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let token =
            ["NaN", "Infinity", "-Infinity"].into_iter().find(|token| !in_string && rest.starts_with(token));
        if let Some(token) = token {
            out.extend(["\"", token, "\""]);
            rest = &rest[token.len()..];
            continue;
        }
        out.push(c);
        in_string ^= c == '"' && !escaped;
        escaped = in_string && c == '\\' && !escaped;
        rest = &rest[c.len_utf8()..];
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(sources: &[&str], lines: &[&str]) -> Result<Vec<f64>, String> {
        let sources: Vec<Source> = sources.iter().map(|source| Source::parse(source).unwrap()).collect();
        let mut collector = Collector::new(&sources, &Reports::Json);
        for line in lines {
            collector.line(line, true);
        }
        collector.values(sources.len(), Path::new("."), 3)
    }

    #[test]
    fn values_out_of_output() {
        for (sources, lines, expected) in [
            (&["last"][..], &["hello", "0.5", ""][..], &[0.5][..]),
            (&["last"], &["{\"value\": 2}"], &[2.0]),
            (&["last"], &["{\"value\": Infinity}"], &[f64::INFINITY]),
            (&["last"], &["1.5", "{\"step\": 1, \"value\": 7}"], &[1.5]),
            (&["json:loss", "json:acc"], &["{\"loss\": 1}", "{\"acc\": 0.5, \"loss\": 3}", "done"], &[3.0, 0.5]),
            (&["regex:acc=([0-9.]+)"], &["acc=0.1 acc=0.2", "nothing"], &[0.2]),
            (&["exit"], &[], &[3.0]),
        ] {
            assert_eq!(values(sources, lines).unwrap(), expected, "{sources:?} {lines:?}");
        }
        for (sources, lines, expected) in [
            (&["last"][..], &[][..], "it printed nothing"),
            (&["last"], &["done"], "\"done\", is no number"),
            (&["last"], &["1 2"], "has 2 value(s)"),
            (&["json:loss"], &["{\"acc\": 1}"], "no JSON line"),
            (&["regex:x=(.)"], &["y=1"], "nothing in its output matches"),
            (&["file:no.such"], &[], "no.such"),
        ] {
            let error = values(sources, lines).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn several_values_on_the_last_line() {
        assert_eq!(last_values("{\"values\": [1, NaN]}", 2).unwrap()[0], 1.0);
        assert_eq!(last_values("1, 2", 2).unwrap(), [1.0, 2.0]);
    }

    #[test]
    fn intermediate_values_as_they_come() {
        let sources = [Source::Last];
        let reports = Reports::parse("regex:epoch (\\d+).*loss ([0-9.e-]+)").unwrap();
        let mut collector = Collector::new(&sources, &reports);
        assert_eq!(collector.line("epoch 3: loss 1e-3", false), Some((3, 1e-3)));
        let reports = Reports::parse("regex:loss ([0-9.]+)").unwrap();
        let mut collector = Collector::new(&sources, &reports);
        assert_eq!(collector.line("loss 5", true), Some((0, 5.0)));
        assert_eq!(collector.line("loss 4", true), Some((1, 4.0)));
        let mut collector = Collector::new(&sources, &Reports::Json);
        assert_eq!(collector.line("{\"step\": 2, \"value\": \"nan\"}", true).map(|(step, _)| step), Some(2));
    }

    #[test]
    fn bad_sources_are_refused() {
        for source in ["lost", "json:", "regex:(", "regex:no group", "regex:(a)(b)"] {
            assert!(Source::parse(source).is_err(), "{source}");
        }
        assert!(Reports::parse("regex:(a)(b)(c)").is_err());
        assert!(Reports::parse("jsonl").is_err());
    }
}
