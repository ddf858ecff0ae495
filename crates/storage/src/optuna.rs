//! Optuna's lines to records and back. Replay has one rule book, Trialog's; where Optuna takes what that would reject,
//! a line is first brought into a form that is taken, so that ids and numbers are the same for everybody. What has no
//! such form stands beside the trial as an attribute. `docs/optuna.md` has the tables.

use std::collections::BTreeMap;
use std::sync::Arc;

use trialog_codec::DecodeError;
use trialog_codec::optuna::{
    AttrKind, Def, Line, Reader, StateChange, Template, Time, is_same_to_python, write_line,
};
use trialog_ops::{
    ComponentSpec, Direction, Distribution, FinalState, Json, MetricRef, MetricSeries, MetricValue, Op, Param,
    ParamDef, ParamRef, Record, SessionId, SessionKey, SessionRef, StudyConfig, StudyId, Timestamp, TrialId,
    TrialState, TrialTemplate,
};
use trialog_replay::{State, metrics_fault};

use crate::dialect::OptunaDialect;

/// Study attributes that are Trialog's.
const CONFIG: &str = "trialog:config";

/// Optuna's names.
const METRIC_NAMES: &str = "study:metric_names";
const CONSTRAINT: &str = "constraints:";
const CONSTRAINTS: &str = "constraints";

/// On a trial: the value of a named metric at a step, `trialog:metric:STEP:NAME`. Optuna's reports have no names.
const METRIC: &str = "trialog:metric:";

/// On a trial: what a line said and no field of ours can hold, as it was written.
const UNFIT: &str = "trialog:unfit:";

/// Reads lines of one log, and knows how to write further ones.
pub(crate) struct Translator {
    dialect: OptunaDialect,
    reader: Reader,
    /// The last session, which most often is the next one, too.
    last: Option<(SessionId, SessionKey)>,
    /// Whether times without an offset were seen: a worker of Optuna 4 is or was here, and reads no others.
    local_times: bool,
}

/// Lines of one commit.
#[derive(Default)]
pub(crate) struct Lines {
    bytes: Vec<u8>,
    /// Where each line ends, and which op it belongs to.
    ends: Vec<(usize, usize)>,
}

impl Lines {
    pub(crate) fn as_slices(&self) -> Vec<&[u8]> {
        let mut begin = 0;
        let slice = |&(end, _): &(usize, usize)| &self.bytes[std::mem::replace(&mut begin, end)..end];
        self.ends.iter().map(slice).collect()
    }

    /// Which op a line belongs to.
    pub(crate) fn op_of(&self, line: usize) -> usize {
        self.ends[line].1
    }
}

impl Translator {
    pub(crate) fn new(dialect: OptunaDialect) -> Translator {
        Translator { dialect, reader: Reader::default(), last: None, local_times: false }
    }

    /// The record that a line amounts to where the log stands. What the line is about is its last op.
    pub(crate) fn read(&mut self, bytes: &[u8], state: &State) -> Result<Record, DecodeError> {
        let (session, line) = self.reader.read(bytes)?;
        let session = match self.last {
            Some((id, key)) if id == session => SessionRef::Key(key),
            _ => match state.session_key(&session) {
                Some(key) => {
                    self.last = Some((session, key));
                    SessionRef::Key(key)
                }
                None => SessionRef::Id(session),
            },
        };
        // Optuna has no way to tell a line that was written twice.
        Ok(Record { session, counter: state.records() + 1, ops: self.ops(line, state) })
    }

    fn ops(&mut self, line: Line, state: &State) -> Vec<Op> {
        match line {
            Line::CreateStudy { name, mut directions } => {
                if directions.is_empty() {
                    directions.push(Direction::Minimize);
                }
                vec![Op::CreateStudy { name, directions, config: None }]
            }
            Line::DeleteStudy { study } => vec![Op::DeleteStudy { study }],
            Line::SetStudyAttr { study, kind, attrs } => {
                let op = |(key, value)| match kind {
                    AttrKind::User => Op::SetStudyUserAttr { study, key, value },
                    AttrKind::System => study_system_attr(study, key, value, state),
                };
                attrs.into_iter().map(op).collect()
            }
            Line::CreateTrial { study, start } => match self.moment(start) {
                Some(start) => vec![Op::CreateTrial { study, start }],
                None => vec![Op::AddTrial { study, template: Box::new(TrialTemplate::new(TrialState::Running)) }],
            },
            Line::AddTrial { study, template } => {
                let template = Box::new(self.template(study, *template, state));
                vec![Op::AddTrial { study, template }]
            }
            Line::SetParam { trial, def, value } => vec![set_param(trial, &def, value, state)],
            Line::SetState { trial, change } => self.set_state(trial, *change, state),
            Line::Report { trial, step: Ok(step), value } if step < u64::MAX => {
                vec![Op::Report { trial, step, value }]
            }
            Line::Report { trial, step, value } => {
                let step = step.map_or_else(|text| text, |step| step.to_string());
                let key = format!("{UNFIT}report:{step}");
                vec![Op::SetTrialSystemAttr { trial, key, value: Json::from(value) }]
            }
            Line::SetTrialAttr { trial, kind: AttrKind::User, attrs } => {
                attrs.into_iter().map(|(key, value)| Op::SetTrialUserAttr { trial, key, value }).collect()
            }
            Line::SetTrialAttr { trial, kind: AttrKind::System, attrs } => {
                let mut ops = Vec::new();
                for (key, value) in attrs {
                    if let Some((step, metric)) = metric_of(&key, &value) {
                        match ops.last_mut() {
                            // What was reported at once is one op again.
                            Some(Op::ReportMetrics { step: last, values, .. }) if *last == step => {
                                values.push(metric);
                            }
                            _ => ops.push(Op::ReportMetrics { trial, step, values: vec![metric] }),
                        }
                        continue;
                    }
                    let (constraints, attr) = constraints_of(&key, &value);
                    let set = |(name, value)| Op::SetConstraint { trial, name, value };
                    ops.extend(constraints.into_iter().map(set));
                    if attr {
                        ops.push(Op::SetTrialSystemAttr { trial, key, value });
                    }
                }
                ops
            }
            Line::Discard => vec![Op::Skipped { code: u8::MAX }],
        }
    }

    fn moment(&mut self, time: Option<Time>) -> Option<Timestamp> {
        match time? {
            Time::Utc(time) => Some(time),
            Time::Local(time) => {
                self.local_times = true;
                Some(Timestamp((self.dialect.clock.to_utc)(time)))
            }
        }
    }

    fn time(&self, time: Timestamp) -> Time {
        if self.local_times { Time::Local((self.dialect.clock.from_utc)(time.0)) } else { Time::Utc(time) }
    }

    /// A claim, a trial put back, or an end. Whoever ends a trial without a usable value for every objective has failed,
    /// whatever the line calls it; the values are kept beside it.
    fn set_state(&mut self, trial: TrialId, change: StateChange, state: &State) -> Vec<Op> {
        let start = self.moment(change.start);
        let end = self.moment(change.end);
        let objectives =
            state.trial(trial).and_then(|(study, _)| state.view(study)).map(|view| view.directions().len());
        let (target, values, unfit) = usable(change.state, change.values, objectives);
        let end = end.unwrap_or(Timestamp(0));
        let finish = |state| Op::FinishTrial { trial, state, values, end };
        let op = match target {
            TrialState::Running => Op::ClaimTrial { trial, start: start.unwrap_or(Timestamp(0)) },
            TrialState::Waiting => Op::RequeueTrial { trial },
            TrialState::Complete => finish(FinalState::Complete),
            TrialState::Pruned => finish(FinalState::Pruned),
            TrialState::Fail => finish(FinalState::Fail),
        };
        let beside = unfit.map(|(key, value)| Op::SetTrialSystemAttr { trial, key, value });
        beside.into_iter().chain([op]).collect()
    }

    /// A template that replay takes, whatever Optuna's says: the trial's number must not depend on it.
    fn template(&mut self, study: StudyId, template: Template, state: &State) -> TrialTemplate {
        let objectives = state.view(study).map(|view| view.directions().len());
        let (target, values, unfit) = usable(template.state, template.values, objectives);
        let mut out = TrialTemplate::new(target);
        out.values = values;
        out.start = self.moment(template.start);
        let end = self.moment(template.end);
        out.end = target.is_finished().then(|| end.or(out.start).unwrap_or(Timestamp(0)));
        out.user_attrs = template.user_attrs;
        out.system_attrs.extend(unfit);
        let mut metrics: BTreeMap<String, BTreeMap<u64, f64>> = BTreeMap::new();
        for (key, value) in template.system_attrs {
            if let Some((step, MetricValue { metric: MetricRef::Name(name), value })) = metric_of(&key, &value) {
                metrics.entry(name).or_default().insert(step, value);
                continue;
            }
            let (constraints, attr) = constraints_of(&key, &value);
            for (name, value) in constraints {
                if !out.constraints.iter().any(|(known, _)| *known == name) {
                    out.constraints.push((name, value));
                }
            }
            if attr {
                out.system_attrs.push((key, value));
            }
        }
        out.metrics = metrics
            .into_iter()
            .map(|(name, reports)| MetricSeries {
                metric: MetricRef::Name(name),
                reports: reports.into_iter().collect(),
            })
            .collect();
        for (def, value) in template.params {
            match fitting(study, &def, value, state) {
                Some(param) => out.params.push(param),
                None => out.system_attrs.push(unfit_param(&def, value)),
            }
        }
        for (step, value) in template.reports {
            match step {
                Ok(step) if step < u64::MAX => out.reports.push((step, value)),
                other => {
                    let step = other.map_or_else(|text| text, |step| step.to_string());
                    out.system_attrs.push((format!("{UNFIT}report:{step}"), Json::from(value)));
                }
            }
        }
        out.reports.sort_by_key(|(step, _)| *step);
        out
    }

    /// The lines that say these ops.
    ///
    /// # Errors
    /// The op's name and why Optuna's journals cannot say it.
    pub(crate) fn write(
        &self,
        session: SessionId,
        ops: &[Op],
        state: &State,
    ) -> Result<Lines, (&'static str, &'static str)> {
        let mut lines = Lines::default();
        for (index, op) in ops.iter().enumerate() {
            for line in self.lines(op, state)? {
                write_line(session, &line, self.dialect.spacing, &mut lines.bytes);
                lines.ends.push((lines.bytes.len(), index));
            }
        }
        Ok(lines)
    }

    fn lines(&self, op: &Op, state: &State) -> Result<Vec<Line>, (&'static str, &'static str)> {
        let system =
            |trial, key, value| Line::SetTrialAttr { trial, kind: AttrKind::System, attrs: vec![(key, value)] };
        let study_attr = |study, kind, key, value| Line::SetStudyAttr { study, kind, attrs: vec![(key, value)] };
        let change = |trial, state, values: Option<&[f64]>, start, end| Line::SetState {
            trial,
            change: Box::new(StateChange { state, values: values.map(<[f64]>::to_vec), start, end }),
        };
        if let Op::SampledAt { .. } = op {
            // Of no consequence, and nothing that Optuna knows.
            return Ok(Vec::new());
        }
        Ok(vec![match op {
            // The configuration needs the study's id, which only the log gives.
            Op::CreateStudy { name, directions, config: _ } => {
                Line::CreateStudy { name: name.clone(), directions: directions.clone() }
            }
            Op::DeleteStudy { study } => Line::DeleteStudy { study: *study },
            Op::SetStudyUserAttr { study, key, value } => {
                study_attr(*study, AttrKind::User, key.clone(), value.clone())
            }
            Op::SetStudySystemAttr { study, key, value } => {
                study_attr(*study, AttrKind::System, key.clone(), value.clone())
            }
            Op::SetMetricNames { study, names } => {
                study_attr(*study, AttrKind::System, METRIC_NAMES.to_owned(), names_json(names))
            }
            Op::SetStudyConfig { study, config } => {
                study_attr(*study, AttrKind::System, CONFIG.to_owned(), config_json(config))
            }
            Op::CreateTrial { study, start } => Line::CreateTrial { study: *study, start: Some(self.time(*start)) },
            Op::AddTrial { template, .. }
                if !are_proper(template.metrics.iter().map(|series| &series.metric), state) =>
            {
                return Err(BAD_METRICS);
            }
            Op::AddTrial { study, template } => {
                Line::AddTrial { study: *study, template: Box::new(self.as_optuna(template, state)) }
            }
            Op::ClaimTrial { trial, start } => {
                change(*trial, TrialState::Running, None, Some(self.time(*start)), None)
            }
            Op::RequeueTrial { trial } => change(*trial, TrialState::Waiting, None, None, None),
            Op::SetParams { trial, params } => {
                let known = params.iter().filter_map(|param| Some((definition(&param.param, state)?, param.value)));
                return Ok(known.map(|(def, value)| Line::SetParam { trial: *trial, def, value }).collect());
            }
            Op::Report { trial, step, value } => Line::Report { trial: *trial, step: Ok(*step), value: *value },
            Op::ReportMetrics { values, .. }
                if values.is_empty() || !are_proper(values.iter().map(|value| &value.metric), state) =>
            {
                return Err(BAD_METRICS);
            }
            // One attribute for each value, so that none replaces another.
            Op::ReportMetrics { trial, step, values } => Line::SetTrialAttr {
                trial: *trial,
                kind: AttrKind::System,
                attrs: values
                    .iter()
                    .map(|value| (metric_key(metric_name(&value.metric, state), *step), float_json(value.value)))
                    .collect(),
            },
            Op::FinishTrial { trial, state: target, values, end } => {
                let values = Some(values.as_slice()).filter(|values| !values.is_empty());
                change(*trial, (*target).into(), values, None, Some(self.time(*end)))
            }
            Op::SetTrialUserAttr { trial, key, value } => Line::SetTrialAttr {
                trial: *trial,
                kind: AttrKind::User,
                attrs: vec![(key.clone(), value.clone())],
            },
            Op::SetTrialSystemAttr { trial, key, value } => system(*trial, key.clone(), value.clone()),
            Op::SetConstraint { trial, name, value } => {
                system(*trial, format!("{CONSTRAINT}{name}"), float_json(*value))
            }
            Op::RetractParams { .. } => return Err(("take parameters back", "a parameter that is set stays")),
            Op::SetBudget { .. } => {
                return Err((
                    "set a budget",
                    "Optuna's workers would not heed it, and all must agree who gets a trial",
                ));
            }
            Op::SetRetryPolicy { .. } | Op::RenewLease { .. } | Op::DeclareLost { .. } => {
                return Err((
                    "keep leases",
                    "Optuna's workers have none, and would go on with trials declared lost",
                ));
            }
            Op::VoidTrial { .. } | Op::UnvoidTrial { .. } | Op::AmendTrial { .. } | Op::UndoAmendment { .. } => {
                return Err((
                    "change a finished trial",
                    "Optuna's workers hold it for final, and would go on with another best trial",
                ));
            }
            Op::SampledAt { .. } | Op::Skipped { .. } => {
                return Err(("repeat an op of a newer version", "its content is not known"));
            }
        }])
    }

    fn as_optuna(&self, template: &TrialTemplate, state: &State) -> Template {
        let params =
            template.params.iter().filter_map(|param| Some((definition(&param.param, state)?, param.value)));
        let mut system_attrs = template.system_attrs.clone();
        for (name, value) in &template.constraints {
            system_attrs.push((format!("{CONSTRAINT}{name}"), float_json(*value)));
        }
        for series in &template.metrics {
            let name = metric_name(&series.metric, state);
            let attrs = series.reports.iter().map(|(step, value)| (metric_key(name, *step), float_json(*value)));
            system_attrs.extend(attrs);
        }
        Template {
            state: template.state,
            values: Some(template.values.clone()).filter(|values| !values.is_empty()),
            start: template.start.map(|time| self.time(time)),
            end: template.end.map(|time| self.time(time)),
            params: params.collect(),
            reports: template.reports.iter().map(|(step, value)| (Ok(*step), *value)).collect(),
            user_attrs: template.user_attrs.clone(),
            system_attrs,
        }
    }
}

/// The state and values that replay takes, and what else was said.
fn usable(
    state: TrialState,
    values: Option<Vec<f64>>,
    objectives: Option<usize>,
) -> (TrialState, Vec<f64>, Option<(String, Json)>) {
    let given = values.unwrap_or_default();
    let fit = Some(given.len()) == objectives && !given.iter().any(|value| value.is_nan());
    match state {
        _ if fit => (state, given, None),
        TrialState::Complete => {
            (TrialState::Fail, Vec::new(), Some((format!("{UNFIT}values"), floats_json(&given))))
        }
        _ if given.is_empty() => (state, given, None),
        _ => (state, Vec::new(), Some((format!("{UNFIT}values"), floats_json(&given)))),
    }
}

/// A parameter as replay takes it, if it can.
fn fitting(study: StudyId, def: &Def, value: f64, state: &State) -> Option<Param> {
    let distribution = def.distribution.as_ref()?;
    let indexed = !matches!(distribution, Distribution::Categorical(_)) || distribution.contains(value);
    if value.is_nan() || !indexed {
        return None;
    }
    if let Some(key) = def.key.get()
        && state.has_param(study, *key)
    {
        return Some(Param { param: ParamRef::Key(*key), value });
    }
    let mut full = ParamDef { name: def.name.clone(), distribution: distribution.clone() };
    if let Some(first) = state.first_distribution(study, &def.name)
        && !first.is_compatible(&full.distribution)
    {
        // Lists of choices that Python finds equal are one list, and the first one stays.
        if !is_same_to_python(first, &full.distribution) {
            return None;
        }
        full.distribution = first.clone();
    } else if let Some(key) = state.param_key(&full) {
        let _ = def.key.set(key);
    }
    Some(Param { param: ParamRef::Def(Box::new(full)), value })
}

fn set_param(trial: TrialId, def: &Arc<Def>, value: f64, state: &State) -> Op {
    let study = state.trial(trial).map(|(study, _)| study);
    if let Some(study) = study
        && let Some(param) = fitting(study, def, value, state)
    {
        return Op::SetParams { trial, params: vec![param] };
    }
    match &def.distribution {
        // Optuna refuses it as well; the reason is replay's to give.
        Some(distribution) if !value.is_nan() => {
            let full = ParamDef { name: def.name.clone(), distribution: distribution.clone() };
            Op::SetParams { trial, params: vec![Param { param: ParamRef::Def(Box::new(full)), value }] }
        }
        _ => {
            let (key, value) = unfit_param(def, value);
            Op::SetTrialSystemAttr { trial, key, value }
        }
    }
}

/// A parameter that no column of ours can hold.
fn unfit_param(def: &Def, value: f64) -> (String, Json) {
    let distribution = Json::parse(&def.text).unwrap_or_else(|_| Json::from(def.text.as_str()));
    let text = format!(r#"{{"value":{},"distribution":{distribution}}}"#, Json::from(value));
    (format!("{UNFIT}param:{}", def.name), Json::parse(&text).unwrap_or_else(|_| Json::null()))
}

fn definition(param: &ParamRef, state: &State) -> Option<Arc<Def>> {
    let def: &ParamDef = match param {
        ParamRef::Key(key) => state.param(*key)?,
        ParamRef::Def(def) => def,
    };
    Some(Arc::new(Def::new(&def.name, &def.distribution)))
}

fn metric_name<'a>(metric: &'a MetricRef, state: &'a State) -> &'a str {
    match metric {
        MetricRef::Name(name) => name,
        // A key that nobody defined is as good as no name, which replay rejects.
        MetricRef::Key(key) => state.metric(*key).map_or("", |name| name),
    }
}

/// What replay would reject, attributes could not say.
const BAD_METRICS: (&str, &str) =
    ("report metrics", "there are none, or one has no name, too long a name, or another's");

fn are_proper<'a>(metrics: impl Iterator<Item = &'a MetricRef>, state: &'a State) -> bool {
    metrics_fault(metrics.map(|metric| metric_name(metric, state))).is_none()
}

fn metric_key(name: &str, step: u64) -> String {
    format!("{METRIC}{step}:{name}")
}

/// The value of a named metric that a system attribute of a trial reports, and its step. What replay would not take stays
/// an attribute.
fn metric_of(key: &str, value: &Json) -> Option<(u64, MetricValue)> {
    let (digits, name) = key.strip_prefix(METRIC)?.split_once(':')?;
    let step: u64 = digits.parse().ok()?;
    let proper = metrics_fault([name]).is_none() && step < u64::MAX && step.to_string() == digits;
    let value = if value.as_str() == "NaN" { f64::NAN } else { number(value.as_str())? };
    proper.then(|| (step, MetricValue { metric: MetricRef::Name(name.to_owned()), value }))
}

/// The constraints that a system attribute of a trial sets, and whether it stays an attribute beside them.
fn constraints_of(key: &str, value: &Json) -> (Vec<(String, f64)>, bool) {
    if let Some(name) = key.strip_prefix(CONSTRAINT)
        && let Some(number) = number(value.as_str())
    {
        return (vec![(name.to_owned(), number)], false);
    }
    if key == CONSTRAINTS
        && let Some(list) = list_of(value)
    {
        // What samplers wrote before Optuna 5.
        let named = list.iter().enumerate().filter_map(|(i, item)| Some((i.to_string(), number(item)?)));
        return (named.collect(), true);
    }
    (Vec::new(), true)
}

/// The number that a JSON text is, unless it is NaN.
fn number(text: &str) -> Option<f64> {
    match text {
        "Infinity" => Some(f64::INFINITY),
        "-Infinity" => Some(f64::NEG_INFINITY),
        _ if text.starts_with(|c: char| c == '-' || c.is_ascii_digit()) => text.parse().ok(),
        _ => None,
    }
}

/// The items of a flat list of numbers.
fn list_of(value: &Json) -> Option<Vec<&str>> {
    let inside = value.as_str().trim().strip_prefix('[')?.strip_suffix(']')?;
    Some(inside.split(',').map(str::trim).filter(|item| !item.is_empty()).collect())
}

fn study_system_attr(study: StudyId, key: String, value: Json, state: &State) -> Op {
    match key.as_str() {
        METRIC_NAMES => {
            let objectives = state.view(study).map(|view| view.directions().len());
            if let Some(names) = names_of(&value).filter(|names| Some(names.len()) == objectives) {
                return Op::SetMetricNames { study, names };
            }
        }
        CONFIG => {
            if let Some(config) = config_of(&value) {
                return Op::SetStudyConfig { study, config: Box::new(config) };
            }
        }
        _ => {}
    }
    Op::SetStudySystemAttr { study, key, value }
}

fn names_of(value: &Json) -> Option<Vec<String>> {
    let serde_json::Value::Array(items) = value.to_value()? else { return None };
    items.into_iter().map(|item| item.as_str().map(str::to_owned)).collect()
}

fn names_json(names: &[String]) -> Json {
    Json::from(serde_json::Value::from(names.to_vec()))
}

fn config_json(config: &StudyConfig) -> Json {
    let component = |spec: &ComponentSpec| {
        format!(
            r#"{{"name":{},"version":{},"options":{}}}"#,
            Json::from(spec.name.as_str()),
            spec.version,
            spec.options
        )
    };
    let text = format!(
        r#"{{"sampler":{},"pruner":{},"seed":{}}}"#,
        component(&config.sampler),
        component(&config.pruner),
        config.seed
    );
    // It is put together from JSON.
    Json::parse(&text).unwrap_or_else(|_| Json::null())
}

fn config_of(value: &Json) -> Option<StudyConfig> {
    let value = value.to_value()?;
    let component = |value: &serde_json::Value| {
        Some(ComponentSpec {
            name: value["name"].as_str()?.to_owned(),
            version: u32::try_from(value["version"].as_u64()?).ok()?,
            options: Json::from(&value["options"]),
        })
    };
    Some(StudyConfig {
        sampler: component(&value["sampler"])?,
        pruner: component(&value["pruner"])?,
        seed: value["seed"].as_u64()?,
    })
}

fn float_json(value: f64) -> Json {
    Json::from(value)
}

fn floats_json(values: &[f64]) -> Json {
    let items: Vec<String> = values.iter().map(|value| Json::from(*value).to_string()).collect();
    Json::parse(&format!("[{}]", items.join(","))).unwrap_or_else(|_| Json::null())
}
