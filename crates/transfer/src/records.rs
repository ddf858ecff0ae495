//! Studies as JSON lines: the head first, then a line for each trial with all that it says. What is written so and read again is the same
//! study, to the bit. `docs/transfer.md` has the form.

use std::io::{BufRead, Write};

use serde_json::{Map, Value, json};
use trialog_ops::{
    Amendment, Budget, ComponentSpec, Direction, Json, MetricRef, MetricSeries, Note, Param, ParamDef, ParamRef,
    RetryPolicy, StudyConfig, Timestamp, TrialState, TrialTemplate,
};
use trialog_replay::{ChangeKind, StudyView};

use crate::content::{Head, Moved, metric_name};
use crate::error::Error;
use crate::parse::{
    Parsed, final_state_of, float_of, float_value, int_of, json_of, json_value, list_of, map_of, param_of,
    param_value, state_of, str_of,
};

/// Lines longer than this are not read: no file takes memory out of proportion.
const LINE_BYTES_MAX: u64 = 1 << 28;

/// Writes a study as JSON lines.
///
/// # Errors
/// What the writer says.
pub fn write_records(view: &StudyView, out: &mut dyn Write) -> Result<(), Error> {
    writeln!(out, "{}", head_value(view.name(), &Head::of(view)))?;
    for trial in view.trials() {
        writeln!(out, "{}", trial_value(u64::from(trial.number().0), &Moved::from(trial)))?;
    }
    Ok(())
}

/// Reads such lines: the head at once, the trials one by one.
pub struct RecordsReader<R> {
    input: R,
    line: u64,
    text: String,
    name: String,
    head: Head,
    /// The number of the trial that comes next.
    next: u64,
    /// A trial that stood where the head should have been: then the file has none.
    first: Option<String>,
}

impl<R: BufRead> RecordsReader<R> {
    /// Reads the head. A file without one minimizes as many objectives as its first trial has values, and has no name.
    ///
    /// # Errors
    /// [`Error::Malformed`] or [`Error::Io`].
    pub fn new(input: R) -> Result<RecordsReader<R>, Error> {
        let head = Head::new(vec![Direction::Minimize]);
        let mut reader =
            RecordsReader { input, line: 0, text: String::new(), name: String::new(), head, next: 0, first: None };
        let Some(line) = reader.line()? else { return Ok(reader) };
        let value = reader.value(&line)?;
        if value.get("directions").is_some() {
            let (name, head) = head_of(&value).map_err(|(field, why)| Error::malformed(reader.line, field, why))?;
            (reader.name, reader.head) = (name, head);
        } else {
            let values = value.get("values").and_then(Value::as_array).map_or(1, |values| values.len().max(1));
            reader.head.directions = vec![Direction::Minimize; values];
            reader.first = Some(line);
        }
        Ok(reader)
    }

    /// The study's name; empty if the file has none.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The study without its trials.
    #[must_use]
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// The next line that is not empty.
    fn line(&mut self) -> Result<Option<String>, Error> {
        if let Some(first) = self.first.take() {
            return Ok(Some(first));
        }
        loop {
            self.text.clear();
            let read = std::io::Read::take(&mut self.input, LINE_BYTES_MAX).read_line(&mut self.text)?;
            self.line += u64::from(read > 0);
            match read {
                0 => return Ok(None),
                _ if self.text.trim().is_empty() => {}
                _ => return Ok(Some(std::mem::take(&mut self.text))),
            }
        }
    }

    fn value(&self, line: &str) -> Result<Value, Error> {
        serde_json::from_str(line.trim_end()).map_err(|error| {
            let (column, detail) = (error.column().to_string(), error.to_string());
            // It counts lines within this one.
            let detail = detail.split(" at line ").next().unwrap_or_default();
            Error::malformed(self.line, column, format!("no JSON: {detail}"))
        })
    }
}

impl<R: BufRead> Iterator for RecordsReader<R> {
    type Item = Result<Moved, Error>;

    fn next(&mut self) -> Option<Result<Moved, Error>> {
        let line = match self.line() {
            Ok(line) => line?,
            Err(error) => return Some(Err(error)),
        };
        let read = self.value(&line).and_then(|value| {
            let objectives = self.head.directions.len();
            trial_of(&value, self.next, objectives).map_err(|(field, why)| Error::malformed(self.line, field, why))
        });
        self.next += 1;
        Some(read)
    }
}

/// What is wrong, behind the field where it is.
type At<T> = Result<T, (String, String)>;

fn at<T>(field: &str, parsed: Parsed<T>) -> At<T> {
    parsed.map_err(|why| (field.to_owned(), why))
}

fn attrs_value(attrs: &[(String, Json)]) -> Value {
    Value::Object(attrs.iter().map(|(key, value)| (key.clone(), json_value(value))).collect())
}

fn attrs_of(value: Option<&Value>) -> Parsed<Vec<(String, Json)>> {
    let Some(value) = value.filter(|value| !value.is_null()) else { return Ok(Vec::new()) };
    map_of(value)?.iter().map(|(key, value)| Ok((key.clone(), json_of(value)?))).collect()
}

fn head_value(name: &str, head: &Head) -> Value {
    let directions: Vec<String> = head.directions.iter().map(ToString::to_string).collect();
    let mut line = json!({"study": name, "directions": directions});
    let mut set = |key: &str, value: Value| line[key] = value;
    if let Some(names) = &head.metric_names {
        set("metric_names", json!(names));
    }
    if let Some(config) = &head.config {
        let part = |part: &ComponentSpec| json!({"name": part.name, "version": part.version, "options": json_value(&part.options)});
        set("sampler", part(&config.sampler));
        set("pruner", part(&config.pruner));
        set("seed", json!(config.seed));
    }
    if head.budget != Budget::default() {
        let Budget { trials, finished, until } = head.budget;
        set("budget", json!({"trials": trials, "finished": finished, "until": until.map(|until| until.0)}));
    }
    if head.retry_policy != RetryPolicy::default() {
        let policy = head.retry_policy;
        set("retries", json!({"max": policy.retries_max, "reports": policy.inherit_reports}));
    }
    set("user_attrs", attrs_value(&head.user_attrs));
    set("system_attrs", attrs_value(&head.system_attrs));
    line
}

fn head_of(line: &Value) -> At<(String, Head)> {
    let field = |name: &str| line.get(name).filter(|value| !value.is_null());
    let name = field("study").and_then(Value::as_str).unwrap_or_default().to_owned();
    let directions = at("directions", directions_of(line.get("directions").unwrap_or(&Value::Null)))?;
    let mut head = Head::new(directions);
    if let Some(names) = field("metric_names") {
        let names = list_of(names).and_then(|names| names.iter().map(|it| str_of(it).map(str::to_owned)).collect());
        head.metric_names = Some(at("metric_names", names)?);
    }
    if let (Some(sampler), Some(pruner)) = (field("sampler"), field("pruner")) {
        let seed = field("seed").and_then(Value::as_u64).unwrap_or(0);
        let (sampler, pruner) = (at("sampler", component_of(sampler))?, at("pruner", component_of(pruner))?);
        head.config = Some(StudyConfig { sampler, pruner, seed });
    }
    if let Some(budget) = field("budget") {
        head.budget = Budget {
            trials: budget.get("trials").and_then(Value::as_u64),
            finished: budget.get("finished").and_then(Value::as_u64),
            until: budget.get("until").and_then(Value::as_i64).map(Timestamp),
        };
    }
    if let Some(retries) = field("retries") {
        let max = retries.get("max").and_then(Value::as_u64).and_then(|max| u32::try_from(max).ok());
        let retries_max = max.ok_or_else(|| ("retries".to_owned(), format!("{retries} is no retry policy")))?;
        head.retry_policy =
            RetryPolicy { retries_max, inherit_reports: retries.get("reports") == Some(&Value::Bool(true)) };
    }
    head.user_attrs = at("user_attrs", attrs_of(field("user_attrs")))?;
    head.system_attrs = at("system_attrs", attrs_of(field("system_attrs")))?;
    Ok((name, head))
}

fn directions_of(value: &Value) -> Parsed<Vec<Direction>> {
    let directions: Parsed<Vec<Direction>> = list_of(value)?
        .iter()
        .map(|word| match str_of(word)?.to_ascii_lowercase().as_str() {
            "minimize" => Ok(Direction::Minimize),
            "maximize" => Ok(Direction::Maximize),
            other => Err(format!("{other:?} is no direction")),
        })
        .collect();
    directions.and_then(|them| if them.is_empty() { Err("a study needs an objective".into()) } else { Ok(them) })
}

fn component_of(value: &Value) -> Parsed<ComponentSpec> {
    let map = map_of(value)?;
    let version = map.get("version").and_then(Value::as_u64).and_then(|version| u32::try_from(version).ok());
    Ok(ComponentSpec {
        name: str_of(map.get("name").unwrap_or(&Value::Null))?.to_owned(),
        version: version.unwrap_or(1),
        options: map.get("options").map_or(Ok(Json::null()), json_of)?,
    })
}

fn trial_value(number: u64, trial: &Moved) -> Value {
    let template = &trial.template;
    let values: Vec<Value> = template.values.iter().map(|value| float_value(*value)).collect();
    let mut line = json!({"number": number, "state": template.state.to_string(), "values": values});
    let mut set = |key: &str, value: Value| line[key] = value;
    if let Some(start) = template.start {
        set("start", json!(start.0));
    }
    if let Some(end) = template.end {
        set("end", json!(end.0));
    }
    let params = template.params.iter().filter_map(|param| match &param.param {
        ParamRef::Def(def) => Some((def.name.clone(), param_value(&def.distribution, param.value))),
        ParamRef::Key(_) => None,
    });
    set("params", Value::Object(params.collect()));
    set("reports", reports_value(&template.reports));
    if !template.metrics.is_empty() {
        let metrics = template.metrics.iter();
        let metrics = metrics.map(|series| (metric_name(series).to_owned(), reports_value(&series.reports)));
        set("metrics", Value::Object(metrics.collect()));
    }
    set("user_attrs", attrs_value(&template.user_attrs));
    set("system_attrs", attrs_value(&template.system_attrs));
    let constraints = template.constraints.iter().map(|(name, value)| (name.clone(), float_value(*value)));
    set("constraints", Value::Object(constraints.collect()));
    if !trial.changes.is_empty() {
        set("changes", trial.changes.iter().map(|(what, note)| change_value(what, note)).collect());
    }
    line
}

fn reports_value(reports: &[(u64, f64)]) -> Value {
    reports.iter().map(|(step, value)| json!([step, float_value(*value)])).collect()
}

fn reports_of(value: &Value) -> Parsed<Vec<(u64, f64)>> {
    let pair = |pair: &Value| -> Parsed<(u64, f64)> {
        let [step, value] = list_of(pair)?.as_slice() else { return Err(format!("{pair} is no report")) };
        Ok((step.as_u64().ok_or_else(|| format!("{step} is no step"))?, float_of(value)?))
    };
    list_of(value)?.iter().map(pair).collect()
}

fn change_value(what: &ChangeKind, note: &Note) -> Value {
    let mut change = json!({"by": note.by, "at": note.at.0, "reason": note.reason});
    let (kind, content) = match what {
        ChangeKind::Voided => ("voided", Value::Bool(true)),
        ChangeKind::Unvoided => ("unvoided", Value::Bool(true)),
        ChangeKind::Undone(place) => ("undone", json!(place)),
        ChangeKind::Amended(amendment) => {
            let mut content = Map::new();
            if let Some(state) = amendment.state {
                content.insert("state".into(), json!(TrialState::from(state).to_string()));
            }
            if let Some(values) = &amendment.values {
                content.insert("values".into(), values.iter().map(|value| float_value(*value)).collect());
            }
            // Pairs, since an amendment may name a thing twice.
            let attrs = amendment.user_attrs.iter();
            let attrs = attrs.map(|(key, value)| match value {
                Some(value) => json!([key, json_value(value)]),
                None => json!([key]),
            });
            content.insert("user_attrs".into(), attrs.collect());
            let constraints = amendment.constraints.iter().map(|(name, value)| match value {
                Some(value) => json!([name, float_value(*value)]),
                None => json!([name]),
            });
            content.insert("constraints".into(), constraints.collect());
            ("amended", Value::Object(content))
        }
    };
    change[kind] = content;
    change
}

fn change_of(value: &Value) -> Parsed<(ChangeKind, Note)> {
    let map = map_of(value)?;
    let text = |name: &str| map.get(name).map_or(Ok(""), str_of).map(str::to_owned);
    let at = map.get("at").map_or(Ok(0), int_of)?;
    let note = Note { by: text("by")?, at: Timestamp(at), reason: text("reason")? };
    let what = if map.contains_key("voided") {
        ChangeKind::Voided
    } else if map.contains_key("unvoided") {
        ChangeKind::Unvoided
    } else if let Some(place) = map.get("undone") {
        ChangeKind::Undone(u32::try_from(int_of(place)?).map_err(|_| format!("{place} is no place"))?)
    } else if let Some(content) = map.get("amended") {
        ChangeKind::Amended(amendment_of(content)?)
    } else {
        return Err(format!("{value} is no change of a trial"));
    };
    Ok((what, note))
}

fn amendment_of(value: &Value) -> Parsed<Amendment> {
    let map = map_of(value)?;
    let pairs = |name: &str| map.get(name).map_or(Ok(&[][..]), |list| list_of(list).map(Vec::as_slice));
    let pair = |entry: &Value| -> Parsed<(String, Option<Value>)> {
        let entry = list_of(entry)?;
        Ok((str_of(entry.first().unwrap_or(&Value::Null))?.to_owned(), entry.get(1).cloned()))
    };
    let values = |list: &Value| list_of(list)?.iter().map(float_of).collect::<Parsed<Vec<f64>>>();
    let mut amendment = Amendment {
        state: map.get("state").map(|state| final_state_of(str_of(state)?)).transpose()?,
        values: map.get("values").map(values).transpose()?,
        ..Amendment::default()
    };
    for entry in pairs("user_attrs")? {
        let (key, value) = pair(entry)?;
        amendment.user_attrs.push((key, value.map(|value| json_of(&value)).transpose()?));
    }
    for entry in pairs("constraints")? {
        let (name, value) = pair(entry)?;
        amendment.constraints.push((name, value.map(|value| float_of(&value)).transpose()?));
    }
    Ok(amendment)
}

fn trial_of(line: &Value, number: u64, objectives: usize) -> At<Moved> {
    let map = at("", map_of(line))?;
    let field = |name: &str| map.get(name).filter(|value| !value.is_null());
    if let Some(found) = field("number")
        && found.as_u64() != Some(number)
    {
        return Err(("number".into(), format!("{found} where trial {number} should be")));
    }
    let state = field("state").map_or(Ok(TrialState::Complete), |state| state_of(str_of(state)?));
    let mut template = TrialTemplate::new(at("state", state)?);
    if let Some(values) = field("values") {
        let values = list_of(values).and_then(|values| values.iter().map(float_of).collect());
        template.values = at("values", values)?;
    }
    let fits =
        template.values.len() == objectives || template.values.is_empty() && template.state != TrialState::Complete;
    if !fits || template.values.iter().any(|value| value.is_nan()) {
        return Err(("values".into(), format!("{} where {objectives} numbers should be", template.values.len())));
    }
    template.start = at("start", field("start").map(int_of).transpose())?.map(Timestamp);
    template.end = at("end", field("end").map(int_of).transpose())?.map(Timestamp);
    if template.state.is_finished() && template.end.is_none() {
        template.end = Some(template.start.unwrap_or(Timestamp(0)));
    }
    if let Some(params) = field("params") {
        for (name, value) in at("params", map_of(params))? {
            let (distribution, value) = at(&format!("params.{name}"), param_of(value))?;
            let def = ParamDef { name: name.clone(), distribution };
            template.params.push(Param { param: ParamRef::Def(Box::new(def)), value });
        }
    }
    if let Some(reports) = field("reports") {
        template.reports = at("reports", reports_of(reports))?;
    }
    if let Some(metrics) = field("metrics") {
        for (name, reports) in at("metrics", map_of(metrics))? {
            let reports = at(&format!("metrics.{name}"), reports_of(reports))?;
            template.metrics.push(MetricSeries { metric: MetricRef::Name(name.clone()), reports });
        }
    }
    template.user_attrs = at("user_attrs", attrs_of(field("user_attrs")))?;
    template.system_attrs = at("system_attrs", attrs_of(field("system_attrs")))?;
    if let Some(constraints) = field("constraints") {
        for (name, value) in at("constraints", map_of(constraints))? {
            let value = at(&format!("constraints.{name}"), float_of(value))?;
            if value.is_nan() {
                return Err((format!("constraints.{name}"), "it is NaN".into()));
            }
            template.constraints.push((name.clone(), value));
        }
    }
    let mut trial = Moved::from(template);
    if let Some(changes) = field("changes") {
        trial.changes = at("changes", list_of(changes).and_then(|all| all.iter().map(change_of).collect()))?;
    }
    Ok(trial)
}
