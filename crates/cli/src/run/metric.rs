//! Values and intermediate values out of what a program prints.

use std::path::Path;

use regex::{Captures, Regex};
use serde_json::Value;
use trialog::METRIC_NAME_BYTES_MAX;

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
    // Groups with names say themselves what they are.
    if groups.end() > &1 && regex.capture_names().flatten().next().is_some() {
        return Ok(regex);
    }
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

    /// Takes a line of output, and returns the intermediate values in it.
    pub(crate) fn line(&mut self, line: &str, is_stdout: bool) -> Option<Report> {
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
            Reports::Json => {
                let objective = if let [Source::Json(key)] = self.sources { key } else { "value" };
                json.as_ref().and_then(|json| report_in(json, objective))
            }
            Reports::Regex(regex) => {
                regex.captures_iter(line).last().and_then(|groups| matched(regex, &groups, self.reported))
            }
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

/// What a program reports at a step.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Report {
    pub(crate) step: u64,
    /// The objective's intermediate value.
    pub(crate) value: Option<f64>,
    /// All others by name.
    pub(crate) metrics: Vec<(String, f64)>,
}

impl Report {
    /// A report of something.
    fn of(step: u64, value: Option<f64>, mut metrics: Vec<(String, f64)>) -> Option<Report> {
        metrics.retain(|(name, _)| (1..=METRIC_NAME_BYTES_MAX).contains(&name.len()));
        (value.is_some() || !metrics.is_empty()).then_some(Report { step, value, metrics })
    }
}

/// The numbers of an object with a step: those under `value` or the objective's own key are the objective's.
fn report_in(json: &Value, objective: &str) -> Option<Report> {
    let step = json.get("step").or_else(|| json.get("epoch"))?.as_u64()?;
    let value = json.get("value").or_else(|| json.get(objective)).and_then(number_of);
    let others = json
        .as_object()?
        .iter()
        .filter(|(name, _)| !["step", "epoch", "value"].contains(&name.as_str()) && *name != objective);
    let metric = |(name, value): (&String, &Value)| {
        // A text that happens to be a number is no metric, but for those that JSON cannot say.
        let is_number = value.as_str().is_none_or(|text| ["NaN", "Infinity", "-Infinity"].contains(&text));
        Some((name.clone(), number_of(value).filter(|_| is_number)?))
    };
    Report::of(step, value, others.filter_map(metric).collect())
}

/// The groups of a match: those with names are a step, the value and metrics; without names they are the value, or a step
/// and the value.
fn matched(regex: &Regex, groups: &Captures<'_>, count: u64) -> Option<Report> {
    let names: Vec<&str> = regex.capture_names().flatten().collect();
    if names.is_empty() {
        let first = groups.get(1)?.as_str();
        let (step, value) = match groups.get(2) {
            Some(value) => (first.parse().ok()?, number_in(value.as_str())?),
            None => (count, number_in(first)?),
        };
        return Report::of(step, Some(value), Vec::new());
    }
    let number = |name: &str| number_in(groups.name(name)?.as_str());
    let step = match groups.name("step") {
        Some(step) => step.as_str().parse().ok()?,
        None => count,
    };
    let others = names.into_iter().filter(|name| !["step", "value"].contains(name));
    let metrics = others.filter_map(|name| Some((name.to_owned(), number(name)?)));
    Report::of(step, number("value"), metrics.collect())
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
    fn metrics_are_what_is_not_the_objectives() {
        let reported = |sources: &[&str], reports: &str, line: &str| {
            let sources: Vec<Source> = sources.iter().map(|source| Source::parse(source).unwrap()).collect();
            let reports = Reports::parse(reports).unwrap();
            Collector::new(&sources, &reports).line(line, true)
        };
        let report = |step, value, metrics: &[(&str, f64)]| {
            let metrics = metrics.iter().map(|&(name, value)| (name.to_owned(), value)).collect();
            Some(Report { step, value, metrics })
        };
        let line = r#"{"epoch": 3, "loss": 0.5, "acc": NaN, "note": "7", "lr": 1, "up": true}"#;
        assert!(matches!(
            reported(&["last"], "json", line),
            Some(Report { step: 3, value: None, metrics }) if metrics.len() == 3 && metrics[0].0 == "acc" && metrics[0].1.is_nan()
        ));
        let one = reported(&["json:loss"], "json", r#"{"step": 3, "loss": 0.5, "acc": 0.25}"#);
        assert_eq!(one, report(3, Some(0.5), &[("acc", 0.25)]));
        let both = reported(&["json:loss"], "json", r#"{"step": 3, "loss": 0.5, "value": 0.25, "epoch": 9}"#);
        assert_eq!(both, report(3, Some(0.25), &[]));
        let two = reported(&["json:loss", "json:acc"], "json", r#"{"step": 3, "loss": 0.5, "acc": 0.25}"#);
        assert_eq!(two, report(3, None, &[("acc", 0.25), ("loss", 0.5)]));
        assert_eq!(reported(&["last"], "json", r#"{"step": 3, "what": "text"}"#), None);
        assert_eq!(reported(&["last"], "json", r#"{"acc": 3}"#), None);
        let named = r"regex:epoch (?<step>\d+): loss (?<value>\S+), acc (?<acc>\S+)";
        assert_eq!(
            reported(&["last"], named, "epoch 2: loss 0.5, acc 0.25"),
            report(2, Some(0.5), &[("acc", 0.25)])
        );
        assert_eq!(reported(&["last"], r"regex:acc (?<acc>\S+)", "acc 0.25"), report(0, None, &[("acc", 0.25)]));
        // Without names there is no telling what a third group is.
        assert!(Reports::parse(r"regex:(\d) (\d) (\d)").is_err());
    }

    #[test]
    fn intermediate_values_as_they_come() {
        let plain = |step, value| Some(Report { step, value: Some(value), metrics: Vec::new() });
        let sources = [Source::Last];
        let reports = Reports::parse("regex:epoch (\\d+).*loss ([0-9.e-]+)").unwrap();
        let mut collector = Collector::new(&sources, &reports);
        assert_eq!(collector.line("epoch 3: loss 1e-3", false), plain(3, 1e-3));
        let reports = Reports::parse("regex:loss ([0-9.]+)").unwrap();
        let mut collector = Collector::new(&sources, &reports);
        assert_eq!(collector.line("loss 5", true), plain(0, 5.0));
        assert_eq!(collector.line("loss 4", true), plain(1, 4.0));
        let mut collector = Collector::new(&sources, &Reports::Json);
        assert_eq!(collector.line("{\"step\": 2, \"value\": \"nan\"}", true).map(|report| report.step), Some(2));
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
