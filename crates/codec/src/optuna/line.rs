//! One line: which op it is, and what stands in its fields.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use trialog_ops::{
    Direction, Distribution, Json, JsonScan, MAX_JSON_DEPTH, ParamKey, SessionId, StudyId, TrialId, TrialState,
};

use super::text::{Spacing, distribution_text, parse_distribution, push_float, push_json, push_string};
use super::time::Time;
use super::value::{self, unescape};
use super::worker::{session_of, worker_text};
use crate::DecodeError;

mod code {
    pub(super) const CREATE_STUDY: i64 = 0;
    pub(super) const DELETE_STUDY: i64 = 1;
    pub(super) const SET_STUDY_USER_ATTR: i64 = 2;
    pub(super) const SET_STUDY_SYSTEM_ATTR: i64 = 3;
    pub(super) const CREATE_TRIAL: i64 = 4;
    pub(super) const SET_TRIAL_PARAM: i64 = 5;
    pub(super) const SET_TRIAL_STATE_VALUES: i64 = 6;
    pub(super) const SET_TRIAL_INTERMEDIATE_VALUE: i64 = 7;
    pub(super) const SET_TRIAL_USER_ATTR: i64 = 8;
    pub(super) const SET_TRIAL_SYSTEM_ATTR: i64 = 9;
    pub(super) const DISCARD_TRIALS: i64 = 10;
}

/// Whose attribute it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttrKind {
    /// The user's.
    User,
    /// Optuna's and its tools'.
    System,
}

/// What one line says.
#[derive(Clone, Debug, PartialEq)]
pub enum Line {
    /// Op 0.
    CreateStudy {
        /// Its name.
        name: String,
        /// One per objective; Optuna's "not set" reads as minimize.
        directions: Vec<Direction>,
    },
    /// Op 1.
    DeleteStudy {
        /// Which one.
        study: StudyId,
    },
    /// Ops 2 and 3.
    SetStudyAttr {
        /// Whose.
        study: StudyId,
        /// User's or system's.
        kind: AttrKind,
        /// Keys and values: one in all that Optuna writes.
        attrs: Vec<(String, Json)>,
    },
    /// Op 4 without a template.
    CreateTrial {
        /// Where.
        study: StudyId,
        /// When it began, as far as that is known.
        start: Option<Time>,
    },
    /// Op 4 with a template.
    AddTrial {
        /// Where.
        study: StudyId,
        /// All of it.
        template: Box<Template>,
    },
    /// Op 5.
    SetParam {
        /// Whose.
        trial: TrialId,
        /// Its name and distribution.
        def: Arc<Def>,
        /// Its value in internal form; NaN if it is no number.
        value: f64,
    },
    /// Op 6.
    SetState {
        /// Whose.
        trial: TrialId,
        /// From here on.
        change: Box<StateChange>,
    },
    /// Op 7.
    Report {
        /// Whose.
        trial: TrialId,
        /// The step, as it is written where no unsigned 64 bits hold it.
        step: Result<u64, String>,
        /// The value; NaN if it is no number.
        value: f64,
    },
    /// Ops 8 and 9.
    SetTrialAttr {
        /// Whose.
        trial: TrialId,
        /// User's or system's.
        kind: AttrKind,
        /// Keys and values: one in all that Optuna writes.
        attrs: Vec<(String, Json)>,
    },
    /// Op 10, which Rustuna writes and Optuna passes over.
    Discard,
}

/// A trial's new state.
#[derive(Clone, Debug, PartialEq)]
pub struct StateChange {
    /// The state.
    pub state: TrialState,
    /// Its values, if it says any; NaN for what is no number.
    pub values: Option<Vec<f64>>,
    /// When it began, if it does now.
    pub start: Option<Time>,
    /// When it ended, if it does now.
    pub end: Option<Time>,
}

/// A trial as a whole.
#[derive(Clone, Debug, PartialEq)]
pub struct Template {
    /// The state it arrives in.
    pub state: TrialState,
    /// Its values, if it has any; NaN for what is no number.
    pub values: Option<Vec<f64>>,
    /// When it began, if it did.
    pub start: Option<Time>,
    /// When it ended, if it did.
    pub end: Option<Time>,
    /// Names, distributions and values in internal form.
    pub params: Vec<(Arc<Def>, f64)>,
    /// Intermediate values, as they are written where no unsigned 64 bits hold the step.
    pub reports: Vec<(Result<u64, String>, f64)>,
    /// The user's attributes.
    pub user_attrs: Vec<(String, Json)>,
    /// Optuna's and its tools' attributes.
    pub system_attrs: Vec<(String, Json)>,
}

/// A parameter's name and distribution, as a line has them.
#[derive(Debug)]
pub struct Def {
    /// Its name.
    pub name: String,
    /// Its distribution, if Trialog has such a thing.
    pub distribution: Option<Distribution>,
    /// Its distribution's JSON text.
    pub text: String,
    /// Where whoever replays notes the parameter's key, so that it need not be searched for with every line.
    pub key: OnceLock<ParamKey>,
}

impl PartialEq for Def {
    fn eq(&self, other: &Def) -> bool {
        (&self.name, &self.distribution) == (&other.name, &other.distribution)
    }
}

impl Def {
    /// A parameter to be written.
    #[must_use]
    pub fn new(name: &str, distribution: &Distribution) -> Def {
        Def {
            name: name.to_owned(),
            distribution: Some(distribution.clone()),
            text: distribution_text(distribution),
            key: OnceLock::new(),
        }
    }

    /// A parameter as Optuna's storages have it: its distribution as JSON text, which may be one that Trialog does not have.
    #[must_use]
    pub fn read(name: &str, text: &str) -> Def {
        Def {
            name: name.to_owned(),
            distribution: parse_distribution(text),
            text: text.to_owned(),
            key: OnceLock::new(),
        }
    }
}

/// How many parameters a [`Reader`] remembers: a study rarely has more, and what a stranger writes must not take
/// memory without end.
const DEFS_MAX: usize = 4096;

/// Reads lines, and remembers what most of them repeat: who wrote them, and the distributions.
#[derive(Default)]
pub struct Reader {
    worker: Option<(String, SessionId)>,
    defs: HashMap<Box<[u8]>, Arc<Def>>,
    scratch: Vec<u8>,
}

/// The fields of a line as they are written, whatever its op.
#[derive(Default)]
struct Fields<'a> {
    op_code: Option<&'a str>,
    worker_id: Option<&'a str>,
    study_id: Option<&'a str>,
    trial_id: Option<&'a str>,
    study_name: Option<&'a str>,
    directions: Option<&'a str>,
    attr: Option<&'a str>,
    system_attr: Option<&'a str>,
    param_name: Option<&'a str>,
    param_value: Option<&'a str>,
    distribution: Option<&'a str>,
    state: Option<&'a str>,
    value: Option<&'a str>,
    values: Option<&'a str>,
    start: Option<&'a str>,
    end: Option<&'a str>,
    step: Option<&'a str>,
    intermediate_value: Option<&'a str>,
    distributions: Option<&'a str>,
    params: Option<&'a str>,
    user_attrs: Option<&'a str>,
    system_attrs: Option<&'a str>,
    intermediate_values: Option<&'a str>,
}

impl<'a> Fields<'a> {
    fn set(&mut self, key: &str, value: &'a str) {
        let field = match key {
            "op_code" => &mut self.op_code,
            "worker_id" => &mut self.worker_id,
            "study_id" => &mut self.study_id,
            "trial_id" => &mut self.trial_id,
            "study_name" => &mut self.study_name,
            "directions" => &mut self.directions,
            "user_attr" => &mut self.attr,
            "system_attr" => &mut self.system_attr,
            "param_name" => &mut self.param_name,
            "param_value_internal" => &mut self.param_value,
            "distribution" => &mut self.distribution,
            "state" => &mut self.state,
            "value" => &mut self.value,
            "values" => &mut self.values,
            "datetime_start" => &mut self.start,
            "datetime_complete" => &mut self.end,
            "step" => &mut self.step,
            "intermediate_value" => &mut self.intermediate_value,
            "distributions" => &mut self.distributions,
            "params" => &mut self.params,
            "user_attrs" => &mut self.user_attrs,
            "system_attrs" => &mut self.system_attrs,
            "intermediate_values" => &mut self.intermediate_values,
            _ => return,
        };
        *field = Some(value);
    }
}

fn invalid(what: impl Into<String>) -> DecodeError {
    DecodeError::Invalid { offset: 0, what: what.into() }
}

fn needed<'a>(field: Option<&'a str>, name: &str) -> Result<&'a str, DecodeError> {
    field.ok_or_else(|| invalid(format!("the line has no {name}")))
}

impl Reader {
    /// What a line says, and who wrote it. The line feed at its end is not part of it.
    ///
    /// # Errors
    /// Bytes that Optuna could not read either: no JSON object, an op code that it does not know, a field that is
    /// missing or of the wrong kind. No input panics, and memory stays in proportion to the input's length.
    pub fn read(&mut self, bytes: &[u8]) -> Result<(SessionId, Line), DecodeError> {
        let text = std::str::from_utf8(bytes).map_err(|error| DecodeError::Invalid {
            offset: error.valid_up_to(),
            what: "the line is not UTF-8".to_owned(),
        })?;
        let mut fields = Fields::default();
        let mut scan = JsonScan::new(text);
        for member in scan.members() {
            let (key, value) = member?;
            fields.set(&unescape(key), value);
        }
        scan.end()?;
        let session = self.session(fields.worker_id.unwrap_or(""));
        Ok((session, self.line(&fields)?))
    }

    fn session(&mut self, raw: &str) -> SessionId {
        match &self.worker {
            Some((known, session)) if known == raw => *session,
            _ => {
                let session = session_of(&value::text(raw).unwrap_or_else(|| raw.into()));
                self.worker = Some((raw.to_owned(), session));
                session
            }
        }
    }

    fn line(&mut self, fields: &Fields<'_>) -> Result<Line, DecodeError> {
        let op = needed(fields.op_code, "op_code")?;
        let op = value::integer(op).ok_or_else(|| invalid(format!("op_code is {op}")))?;
        Ok(match op {
            code::CREATE_STUDY => Line::CreateStudy {
                name: text_of(needed(fields.study_name, "study_name")?),
                directions: directions(needed(fields.directions, "directions")?)?,
            },
            code::DELETE_STUDY => Line::DeleteStudy { study: study_id(fields)? },
            code::SET_STUDY_USER_ATTR => Line::SetStudyAttr {
                study: study_id(fields)?,
                kind: AttrKind::User,
                attrs: attrs(needed(fields.attr, "user_attr")?)?,
            },
            code::SET_STUDY_SYSTEM_ATTR => Line::SetStudyAttr {
                study: study_id(fields)?,
                kind: AttrKind::System,
                attrs: attrs(needed(fields.system_attr, "system_attr")?)?,
            },
            code::CREATE_TRIAL => self.create_trial(fields)?,
            code::SET_TRIAL_PARAM => {
                let name = needed(fields.param_name, "param_name")?;
                let distribution = needed(fields.distribution, "distribution")?;
                let value = needed(fields.param_value, "param_value_internal")?;
                Line::SetParam {
                    trial: trial_id(fields)?,
                    def: self.def(name, distribution),
                    value: value::float(value).unwrap_or(f64::NAN),
                }
            }
            code::SET_TRIAL_STATE_VALUES => Line::SetState {
                trial: trial_id(fields)?,
                change: Box::new(StateChange {
                    state: state(needed(fields.state, "state")?)?,
                    values: values(needed(fields.values, "values")?)?,
                    start: time(fields.start)?,
                    end: time(fields.end)?,
                }),
            },
            code::SET_TRIAL_INTERMEDIATE_VALUE => Line::Report {
                trial: trial_id(fields)?,
                step: step(needed(fields.step, "step")?),
                value: value::float(needed(fields.intermediate_value, "intermediate_value")?).unwrap_or(f64::NAN),
            },
            code::SET_TRIAL_USER_ATTR => Line::SetTrialAttr {
                trial: trial_id(fields)?,
                kind: AttrKind::User,
                attrs: attrs(needed(fields.attr, "user_attr")?)?,
            },
            code::SET_TRIAL_SYSTEM_ATTR => Line::SetTrialAttr {
                trial: trial_id(fields)?,
                kind: AttrKind::System,
                attrs: attrs(needed(fields.system_attr, "system_attr")?)?,
            },
            code::DISCARD_TRIALS => Line::Discard,
            other => {
                return Err(match u8::try_from(other) {
                    Ok(code) => DecodeError::UnknownOp { code, offset: 0 },
                    Err(_) => invalid(format!("op_code is {other}")),
                });
            }
        })
    }

    fn create_trial(&mut self, fields: &Fields<'_>) -> Result<Line, DecodeError> {
        let study = study_id(fields)?;
        let start = time(Some(needed(fields.start, "datetime_start")?))?;
        let is_fresh = [fields.state, fields.value, fields.values, fields.end, fields.params, fields.user_attrs]
            .iter()
            .chain(&[fields.system_attrs, fields.intermediate_values])
            .all(Option::is_none);
        if is_fresh && start.is_some() {
            return Ok(Line::CreateTrial { study, start });
        }
        let single = |value: &str| (value != "null").then(|| vec![value::float(value).unwrap_or(f64::NAN)]);
        let several = fields.values.map_or(Ok(None), values)?;
        let mut template = Template {
            state: fields.state.map_or(Ok(TrialState::Running), state)?,
            values: several.or_else(|| fields.value.and_then(single)),
            start,
            end: time(fields.end)?,
            params: Vec::new(),
            reports: Vec::new(),
            user_attrs: fields.user_attrs.map_or(Ok(Vec::new()), attrs)?,
            system_attrs: fields.system_attrs.map_or(Ok(Vec::new()), attrs)?,
        };
        let mut distributions: Vec<(&str, &str)> = Vec::new();
        if let Some(object) = fields.distributions {
            distributions = JsonScan::new(object).members().collect::<Result<_, _>>()?;
        }
        if let Some(object) = fields.params {
            for member in JsonScan::new(object).members() {
                let (name, value) = member?;
                let known = distributions.iter().rev().find(|(other, _)| *other == name);
                let Some((_, text)) = known else { return Err(invalid("a parameter has no distribution")) };
                let def = self.def_of(name, text);
                // Of equal names the last one counts, as in Python.
                template.params.retain(|(known, _)| known.name != def.name);
                template.params.push((def, value::float(value).unwrap_or(f64::NAN)));
            }
        }
        if let Some(object) = fields.intermediate_values {
            for member in JsonScan::new(object).members() {
                let (key, value) = member?;
                let step = step(&unescape(key));
                template.reports.retain(|(known, _)| *known != step);
                template.reports.push((step, value::float(value).unwrap_or(f64::NAN)));
            }
        }
        Ok(Line::AddTrial { study, template: Box::new(template) })
    }

    /// A parameter of a name and a distribution, both as JSON strings.
    fn def(&mut self, name: &str, distribution: &str) -> Arc<Def> {
        let inside = |value: &'_ str| value.len() >= 2 && value.starts_with('"');
        match (inside(name), inside(distribution)) {
            (true, true) => self.def_of(&name[1..name.len() - 1], distribution),
            _ => Arc::new(Def::read(&text_of(name), &text_of(distribution))),
        }
    }

    /// The same of a name without its quotes.
    fn def_of(&mut self, name: &str, distribution: &str) -> Arc<Def> {
        self.scratch.clear();
        self.scratch.extend_from_slice(name.as_bytes());
        self.scratch.push(0);
        self.scratch.extend_from_slice(distribution.as_bytes());
        if let Some(def) = self.defs.get(self.scratch.as_slice()) {
            return Arc::clone(def);
        }
        let def = Arc::new(Def::read(&unescape(name), &text_of(distribution)));
        if self.defs.len() == DEFS_MAX {
            self.defs.clear();
        }
        self.defs.insert(self.scratch.as_slice().into(), Arc::clone(&def));
        def
    }
}

/// A string's text; another value as it is written.
fn text_of(value: &str) -> String {
    value::text(value).map_or_else(|| value.to_owned(), std::borrow::Cow::into_owned)
}

/// An id that no study can have stands for whatever else there is: nobody has it, so nothing happens.
fn study_id(fields: &Fields<'_>) -> Result<StudyId, DecodeError> {
    let id = value::integer(needed(fields.study_id, "study_id")?);
    Ok(StudyId(id.and_then(|id| u32::try_from(id).ok()).unwrap_or(u32::MAX)))
}

fn trial_id(fields: &Fields<'_>) -> Result<TrialId, DecodeError> {
    let id = value::integer(needed(fields.trial_id, "trial_id")?);
    Ok(TrialId(id.and_then(|id| u64::try_from(id).ok()).unwrap_or(u64::MAX)))
}

fn directions(value: &str) -> Result<Vec<Direction>, DecodeError> {
    let direction = |item| match value::integer(item) {
        Some(0 | 1) => Ok(Direction::Minimize),
        Some(2) => Ok(Direction::Maximize),
        _ => Err(invalid(format!("a direction is {item}"))),
    };
    JsonScan::new(value).items().map(|item| direction(item?)).collect()
}

fn state(value: &str) -> Result<TrialState, DecodeError> {
    let number = value::integer(value).and_then(|number| u8::try_from(number).ok());
    number.and_then(TrialState::from_number).ok_or_else(|| invalid(format!("a state is {value}")))
}

fn values(value: &str) -> Result<Option<Vec<f64>>, DecodeError> {
    if value == "null" {
        return Ok(None);
    }
    let number = |item| Ok(value::float(item?).unwrap_or(f64::NAN));
    JsonScan::new(value).items().map(number).collect::<Result<_, _>>().map(Some)
}

fn time(field: Option<&str>) -> Result<Option<Time>, DecodeError> {
    match field {
        None | Some("null") => Ok(None),
        Some(value) => {
            let time = value::text(value).and_then(|text| Time::parse(&text));
            time.map(Some).ok_or_else(|| invalid(format!("a time is {value}")))
        }
    }
}

fn step(value: &str) -> Result<u64, String> {
    value::integer(value).and_then(|step| u64::try_from(step).ok()).ok_or_else(|| value.to_owned())
}

fn attrs(object: &str) -> Result<Vec<(String, Json)>, DecodeError> {
    let mut attrs: Vec<(String, Json)> = Vec::new();
    for member in JsonScan::new(object).members() {
        let (key, value) = member?;
        let key = unescape(key).into_owned();
        // What nests deeper than a value of ours may is kept as the text that it is.
        let mut json = Json::parse(value).unwrap_or_else(|_| Json::from(value));
        if value.contains([' ', '\t']) {
            // One value has one text, however the medium spaces its lines.
            let mut compact = String::with_capacity(value.len());
            push_json(&mut compact, &json, Spacing::Compact);
            json = Json::parse(&compact).unwrap_or(json);
        }
        attrs.retain(|(known, _)| *known != key);
        attrs.push((key, json));
    }
    Ok(attrs)
}

const _: () = assert!(MAX_JSON_DEPTH >= 128, "attributes of any sensible depth are values");

/// Appends a line, without the line feed at its end, as Optuna would have written it.
pub fn write_line(session: SessionId, line: &Line, spacing: Spacing, out: &mut Vec<u8>) {
    let mut line_out = Out { text: String::with_capacity(256), spacing, first: true };
    line_out.text.push('{');
    line_out.line(session, line);
    line_out.text.push('}');
    out.extend_from_slice(line_out.text.as_bytes());
}

struct Out {
    text: String,
    spacing: Spacing,
    /// Nothing stands in the innermost object yet.
    first: bool,
}

impl Out {
    fn key(&mut self, key: &str) {
        if !self.first {
            self.text.push_str(self.spacing.comma());
        }
        self.first = false;
        push_string(&mut self.text, key);
        self.text.push_str(self.spacing.colon());
    }

    fn number(&mut self, key: &str, value: impl std::fmt::Display) {
        self.key(key);
        self.text.push_str(&value.to_string());
    }

    fn string(&mut self, key: &str, value: &str) {
        self.key(key);
        push_string(&mut self.text, value);
    }

    fn float(&mut self, key: &str, value: f64) {
        self.key(key);
        push_float(&mut self.text, value);
    }

    fn null(&mut self, key: &str) {
        self.key(key);
        self.text.push_str("null");
    }

    fn time(&mut self, key: &str, time: Time) {
        self.key(key);
        self.text.push('"');
        time.push(&mut self.text);
        self.text.push('"');
    }

    fn list(&mut self, key: &str, items: impl Iterator<Item = String>) {
        self.key(key);
        self.text.push('[');
        for (i, item) in items.enumerate() {
            self.text.push_str(if i == 0 { "" } else { self.spacing.comma() });
            self.text.push_str(&item);
        }
        self.text.push(']');
    }

    fn floats(&mut self, key: &str, values: &[f64]) {
        self.list(
            key,
            values.iter().map(|value| {
                let mut text = String::new();
                push_float(&mut text, *value);
                text
            }),
        );
    }

    fn object(&mut self, key: &str, fill: impl FnOnce(&mut Out)) {
        self.key(key);
        self.text.push('{');
        self.first = true;
        fill(self);
        self.text.push('}');
        self.first = false;
    }

    fn attrs(&mut self, key: &str, attrs: &[(String, Json)]) {
        self.object(key, |out| {
            for (key, value) in attrs {
                out.key(key);
                push_json(&mut out.text, value, out.spacing);
            }
        });
    }

    fn param_value(&mut self, key: &str, def: &Def, value: f64) {
        // Optuna's index of a category is an integer, and every other value a float.
        match def.distribution {
            Some(Distribution::Categorical(_)) => self.number(key, value as i64),
            _ => self.float(key, value),
        }
    }

    fn line(&mut self, session: SessionId, line: &Line) {
        let op = match line {
            Line::CreateStudy { .. } => code::CREATE_STUDY,
            Line::DeleteStudy { .. } => code::DELETE_STUDY,
            Line::SetStudyAttr { kind: AttrKind::User, .. } => code::SET_STUDY_USER_ATTR,
            Line::SetStudyAttr { kind: AttrKind::System, .. } => code::SET_STUDY_SYSTEM_ATTR,
            Line::CreateTrial { .. } | Line::AddTrial { .. } => code::CREATE_TRIAL,
            Line::SetParam { .. } => code::SET_TRIAL_PARAM,
            Line::SetState { .. } => code::SET_TRIAL_STATE_VALUES,
            Line::Report { .. } => code::SET_TRIAL_INTERMEDIATE_VALUE,
            Line::SetTrialAttr { kind: AttrKind::User, .. } => code::SET_TRIAL_USER_ATTR,
            Line::SetTrialAttr { kind: AttrKind::System, .. } => code::SET_TRIAL_SYSTEM_ATTR,
            Line::Discard => code::DISCARD_TRIALS,
        };
        self.number("op_code", op);
        self.string("worker_id", &worker_text(session));
        match line {
            Line::CreateStudy { name, directions } => {
                self.string("study_name", name);
                let number = |direction: &Direction| if *direction == Direction::Minimize { "1" } else { "2" };
                self.list("directions", directions.iter().map(|direction| number(direction).to_owned()));
            }
            Line::DeleteStudy { study } => self.number("study_id", study),
            Line::SetStudyAttr { study, kind, attrs } => {
                self.number("study_id", study);
                self.attrs(attr_key(*kind), attrs);
            }
            Line::CreateTrial { study, start } => {
                self.number("study_id", study);
                self.start(*start);
            }
            Line::AddTrial { study, template } => {
                self.number("study_id", study);
                self.start(template.start);
                self.template(template);
            }
            Line::SetParam { trial, def, value } => {
                self.number("trial_id", trial);
                self.string("param_name", &def.name);
                self.param_value("param_value_internal", def, *value);
                self.string("distribution", &def.text);
            }
            Line::SetState { trial, change } => {
                self.number("trial_id", trial);
                self.number("state", change.state as u8);
                match &change.values {
                    Some(values) => self.floats("values", values),
                    None => self.null("values"),
                }
                if let Some(start) = change.start {
                    self.time("datetime_start", start);
                }
                if let Some(end) = change.end {
                    self.time("datetime_complete", end);
                }
            }
            Line::Report { trial, step, value } => {
                self.number("trial_id", trial);
                match step {
                    Ok(step) => self.number("step", step),
                    Err(text) => self.number("step", text),
                }
                self.float("intermediate_value", *value);
            }
            Line::SetTrialAttr { trial, kind, attrs } => {
                self.number("trial_id", trial);
                self.attrs(attr_key(*kind), attrs);
            }
            Line::Discard => self.list("trial_ids", std::iter::empty()),
        }
    }

    fn start(&mut self, start: Option<Time>) {
        match start {
            Some(start) => self.time("datetime_start", start),
            None => self.null("datetime_start"),
        }
    }

    fn template(&mut self, template: &Template) {
        self.number("state", template.state as u8);
        match template.values.as_deref() {
            Some([value]) => {
                self.float("value", *value);
                self.null("values");
            }
            Some(values @ [_, ..]) => {
                self.null("value");
                self.floats("values", values);
            }
            _ => {
                self.null("value");
                self.null("values");
            }
        }
        if let Some(end) = template.end {
            self.time("datetime_complete", end);
        }
        self.object("distributions", |out| {
            template.params.iter().for_each(|(def, _)| out.string(&def.name, &def.text));
        });
        self.object("params", |out| {
            template.params.iter().for_each(|(def, value)| out.param_value(&def.name, def, *value));
        });
        self.attrs("user_attrs", &template.user_attrs);
        self.attrs("system_attrs", &template.system_attrs);
        self.object("intermediate_values", |out| {
            for (step, value) in &template.reports {
                let step = step.as_ref().map_or_else(Clone::clone, u64::to_string);
                out.float(&step, *value);
            }
        });
    }
}

fn attr_key(kind: AttrKind) -> &'static str {
    match kind {
        AttrKind::User => "user_attr",
        AttrKind::System => "system_attr",
    }
}
