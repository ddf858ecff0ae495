//! Trials from a table in a CSV file: a row for each. What a column holds is read off its name, or said by the caller; what a parameter is drawn
//! from is inferred from all of its values, or said as well.

use std::collections::BTreeMap;
use std::io::Read;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use trialog_ops::{
    CategoricalDistribution, Choice, Direction, Distribution, FloatDistribution, INT_MAX, IntDistribution, Json,
    MetricRef, MetricSeries, Param, ParamDef, ParamRef, Timestamp, TrialState, TrialTemplate,
};

use crate::content::{Head, Moved, metric_name};
use crate::error::Error;
use crate::parse::state_of;

/// What a column holds.
#[derive(Clone, Debug, PartialEq)]
pub enum ColumnKind {
    /// The value of an objective, by its place from 0.
    Value(usize),
    /// A parameter, and what it is drawn from; inferred if that is not said.
    Param(String, Option<Distribution>),
    /// A user attribute: the cell as JSON if it is that, else as a text.
    UserAttr(String),
    /// A system attribute.
    SystemAttr(String),
    /// A constraint, met when it is at most 0.
    Constraint(String),
    /// The value that was reported at a step.
    Report(u64),
    /// The value of a named metric, and the step at which it was reported.
    Metric(String, u64),
    /// How the trial ended; complete where there is no such column.
    State,
    /// When it began: a time such as `2026-01-31 12:00:00`, in UTC, or microseconds since 1970.
    Start,
    /// When it ended.
    End,
    /// Nothing that matters.
    Ignored,
}

/// One column.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    /// Its name in the file's first line.
    pub name: String,
    /// What it holds.
    pub kind: ColumnKind,
}

/// How to read a table.
#[derive(Clone, Debug, Default)]
pub struct RowsOptions {
    /// What columns hold whose names do not say it.
    pub columns: Vec<Column>,
    /// One per objective. Default: all are minimized.
    pub directions: Vec<Direction>,
}

/// A table that was read. Distributions depend on all rows, so they are in memory.
pub struct RowsReader {
    head: Head,
    columns: Vec<Column>,
    rows: Vec<(u64, csv::StringRecord)>,
}

impl RowsReader {
    /// Reads a table.
    ///
    /// Names that say what a column holds: `value`, `values_0`; `state`; `datetime_start`, `datetime_complete` (or `start`, `end`);
    /// `params_NAME`; `user_attrs_KEY`, `system_attrs_KEY`; `constraint_NAME`; `report_STEP`; `report_STEP_METRIC`, and
    /// `metrics_METRIC`, which says no step and is taken for one at step 0; `number`, `duration` and the column without a
    /// name are left alone. Any other column is a parameter of its name.
    ///
    /// # Errors
    /// [`Error::Malformed`] with line and column, or [`Error::Io`].
    pub fn new(input: impl Read, options: &RowsOptions) -> Result<RowsReader, Error> {
        let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(input);
        let names = reader.headers().map_err(bad_csv)?.clone();
        let given: BTreeMap<&str, &ColumnKind> =
            options.columns.iter().map(|column| (column.name.as_str(), &column.kind)).collect();
        if let Some(absent) = given.keys().find(|name| !names.iter().any(|other| other == **name)) {
            return Err(Error::malformed(1, *absent, "the file has no such column"));
        }
        let column = |name: &str| Column {
            name: name.to_owned(),
            kind: given.get(name).map_or_else(|| kind_of(name), |kind| (*kind).clone()),
        };
        let mut columns: Vec<Column> = names.iter().map(column).collect();
        let mut rows = Vec::new();
        for row in reader.records() {
            let row = row.map_err(bad_csv)?;
            rows.push((row.position().map_or(0, csv::Position::line), row));
        }
        for (at, column) in columns.iter_mut().enumerate() {
            if let ColumnKind::Param(_, distribution @ None) = &mut column.kind {
                let cells = rows.iter().filter_map(|(_, row)| row.get(at)).filter(|cell| !cell.is_empty());
                *distribution = inferred(cells.collect());
            }
        }
        let objectives = columns.iter().filter_map(|column| match column.kind {
            ColumnKind::Value(objective) => Some(objective + 1),
            _ => None,
        });
        let objectives = objectives.max().unwrap_or(1);
        let mut directions = options.directions.clone();
        if directions.is_empty() {
            directions = vec![Direction::Minimize; objectives];
        }
        if directions.len() != objectives {
            let detail = format!("{} directions for {objectives} objectives", directions.len());
            return Err(Error::malformed(1, "", detail));
        }
        Ok(RowsReader { head: Head::new(directions), columns, rows })
    }

    /// The study without its trials.
    #[must_use]
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// What each column was taken for.
    #[must_use]
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// The trials in the order of the rows.
    pub fn trials(&self) -> impl ExactSizeIterator<Item = Result<Moved, Error>> {
        self.rows.iter().map(|(line, row)| self.trial(*line, row).map(Moved::from))
    }

    fn trial(&self, line: u64, row: &csv::StringRecord) -> Result<TrialTemplate, Error> {
        let mut template = TrialTemplate::new(TrialState::Complete);
        let mut values = vec![None; self.head.directions.len()];
        for (column, cell) in self.columns.iter().zip(row).filter(|(_, cell)| !cell.is_empty()) {
            let bad = |detail: String| Error::malformed(line, &*column.name, detail);
            let number = || cell.parse::<f64>().map_err(|_| bad(format!("{cell:?} is no number")));
            match &column.kind {
                ColumnKind::Value(objective) => {
                    let value = number()?;
                    if let Some(place) = values.get_mut(*objective) {
                        *place = Some(value);
                    }
                }
                ColumnKind::Param(name, Some(distribution)) => {
                    let value = internal(distribution, cell);
                    let value = value.ok_or_else(|| bad(format!("{cell:?} is no value of {distribution}")))?;
                    let def = ParamDef { name: name.clone(), distribution: distribution.clone() };
                    template.params.push(Param { param: ParamRef::Def(Box::new(def)), value });
                }
                ColumnKind::UserAttr(key) => template.user_attrs.push((key.clone(), attr(cell))),
                ColumnKind::SystemAttr(key) => template.system_attrs.push((key.clone(), attr(cell))),
                ColumnKind::Constraint(name) => {
                    let value = number()?;
                    if value.is_nan() {
                        return Err(bad("a constraint is NaN".into()));
                    }
                    template.constraints.push((name.clone(), value));
                }
                ColumnKind::Report(step) => template.reports.push((*step, number()?)),
                ColumnKind::Metric(name, step) => {
                    let report = (*step, number()?);
                    match template.metrics.iter_mut().find(|series| metric_name(series) == name) {
                        Some(series) => series.reports.push(report),
                        None => template
                            .metrics
                            .push(MetricSeries { metric: MetricRef::Name(name.clone()), reports: vec![report] }),
                    }
                }
                ColumnKind::State => template.state = state_of(cell).map_err(bad)?,
                ColumnKind::Start => template.start = Some(time(cell).ok_or_else(|| bad(no_time(cell)))?),
                ColumnKind::End => template.end = Some(time(cell).ok_or_else(|| bad(no_time(cell)))?),
                ColumnKind::Param(_, None) | ColumnKind::Ignored => {}
            }
        }
        template.values = values.iter().flatten().copied().collect();
        let whole = template.values.len() == values.len() && !template.values.iter().any(|value| value.is_nan());
        if !whole && template.state == TrialState::Complete {
            let detail = "a complete trial needs a number for each objective; say in a column `state` how it ended";
            return Err(Error::malformed(line, "", detail));
        }
        if !whole {
            template.values.clear();
        }
        if template.state.is_finished() {
            template.end = template.end.or(template.start).or(Some(Timestamp(0)));
        } else {
            template.end = None;
        }
        Ok(template)
    }
}

fn bad_csv(error: csv::Error) -> Error {
    let line = error.position().map_or(0, csv::Position::line);
    match error.into_kind() {
        csv::ErrorKind::Io(error) => Error::Io(error),
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            Error::malformed(line, "", format!("{len} cells where the first line has {expected_len}"))
        }
        other => Error::malformed(line, "", format!("no CSV: {other:?}")),
    }
}

fn no_time(cell: &str) -> String {
    format!("{cell:?} is no time such as 2026-01-31 12:00:00")
}

fn kind_of(name: &str) -> ColumnKind {
    let rest = |prefix: &str| name.strip_prefix(prefix).map(str::to_owned);
    let number = |prefix: &str| name.strip_prefix(prefix).and_then(|rest| rest.parse::<u64>().ok());
    match name {
        "value" => return ColumnKind::Value(0),
        "state" => return ColumnKind::State,
        "datetime_start" | "start" => return ColumnKind::Start,
        "datetime_complete" | "end" => return ColumnKind::End,
        "number" | "duration" | "" => return ColumnKind::Ignored,
        _ => {}
    }
    if let Some(objective) = number("values_").and_then(|number| usize::try_from(number).ok()) {
        return ColumnKind::Value(objective);
    }
    if let Some(step) = number("report_") {
        return ColumnKind::Report(step);
    }
    let named = name.strip_prefix("report_").and_then(|rest| rest.split_once('_'));
    if let Some((step, metric)) = named.and_then(|(step, metric)| Some((step.parse().ok()?, metric))) {
        return ColumnKind::Metric(metric.to_owned(), step);
    }
    let param = rest("params_").map(|name| ColumnKind::Param(name, None));
    param
        .or_else(|| rest("user_attrs_").map(ColumnKind::UserAttr))
        .or_else(|| rest("system_attrs_").map(ColumnKind::SystemAttr))
        .or_else(|| rest("constraint_").map(ColumnKind::Constraint))
        .or_else(|| rest("metrics_").map(|metric| ColumnKind::Metric(metric, 0)))
        .unwrap_or_else(|| ColumnKind::Param(name.to_owned(), None))
}

/// Whole numbers if all cells are that, numbers if all are finite, and a list of what there is otherwise; none of nothing.
fn inferred(cells: Vec<&str>) -> Option<Distribution> {
    let ints: Option<Vec<i64>> = cells
        .iter()
        .map(|cell| cell.parse::<i64>().ok().filter(|int| int.unsigned_abs() <= INT_MAX.unsigned_abs()))
        .collect();
    if let Some(ints) = ints {
        let (low, high) = (ints.iter().min()?, ints.iter().max()?);
        return IntDistribution::new(*low, *high, false, 1).ok().map(Distribution::Int);
    }
    let floats: Option<Vec<f64>> =
        cells.iter().map(|cell| cell.parse::<f64>().ok().filter(|float| float.is_finite())).collect();
    if let Some(floats) = floats {
        let low = floats.iter().copied().reduce(f64::min)?;
        let high = floats.iter().copied().reduce(f64::max)?;
        return FloatDistribution::new(low, high, false, None).ok().map(Distribution::Float);
    }
    let mut choices: Vec<Choice> = Vec::new();
    for cell in cells {
        let choice = choice(cell);
        if !choices.contains(&choice) {
            choices.push(choice);
        }
    }
    CategoricalDistribution::new(choices).ok().map(Distribution::Categorical)
}

fn choice(cell: &str) -> Choice {
    match (cell, cell.parse::<i64>(), cell.parse::<f64>()) {
        ("True" | "true", ..) => Choice::Bool(true),
        ("False" | "false", ..) => Choice::Bool(false),
        (_, Ok(int), _) if int.unsigned_abs() <= INT_MAX.unsigned_abs() => Choice::Int(int),
        (_, _, Ok(float)) if float.is_finite() => Choice::Float(float),
        _ => Choice::from(cell),
    }
}

fn internal(distribution: &Distribution, cell: &str) -> Option<f64> {
    match distribution {
        Distribution::Float(_) | Distribution::Int(_) => {
            let value = cell.parse::<f64>().ok().filter(|value| !value.is_nan())?;
            // What people note has no reason to lie outside of what they say it was drawn from.
            distribution.contains(value).then_some(value)
        }
        Distribution::Categorical(d) => {
            let same = |known: &Choice| *known == choice(cell) || known.to_string() == cell;
            let text = |known: &Choice| matches!(known, Choice::Str(text) if **text == *cell);
            let choices = d.choices();
            choices.iter().position(text).or_else(|| choices.iter().position(same)).map(|at| at as f64)
        }
    }
}

fn attr(cell: &str) -> Json {
    Json::parse(cell).unwrap_or_else(|_| Json::from(cell))
}

fn time(cell: &str) -> Option<Timestamp> {
    if let Ok(micros) = cell.parse::<i64>() {
        return Some(Timestamp(micros));
    }
    if let Ok(instant) = cell.parse::<jiff::Timestamp>() {
        return Some(Timestamp(instant.as_microsecond()));
    }
    let civil: DateTime = cell.parse().ok()?;
    Some(Timestamp(civil.to_zoned(TimeZone::UTC).ok()?.timestamp().as_microsecond()))
}
