//! All trials as a table: number, values, times, duration, a column for each parameter and user attribute, state.

use std::collections::BTreeSet;
use std::fmt;
use std::io::Write;

use trialog_ops::{Choice, Json, Timestamp};
use trialog_replay::{StudyView, TrialView};

/// The trials of a study as rows, to be written out.
///
/// The columns are `number`, `value` (or one per objective: `values_0`, `values_1`; with metric names `value_NAME` or
/// `values_NAME`),
/// `datetime_start`, `datetime_complete` (UTC, ISO 8601), `duration` (seconds), `params_NAME` for each parameter,
/// `metrics_NAME` for each metric, with the last value that the trial reported of it, `user_attrs_KEY` for each user attribute, `state`, and `lost` if some trial was. What a trial does not have is empty.
#[derive(Clone, Debug)]
pub struct Table {
    view: StudyView,
    columns: Vec<Column>,
}

#[derive(Clone, Debug)]
enum Column {
    Number,
    Value { name: String, objective: usize },
    Start,
    End,
    Duration,
    Param { header: String, name: String },
    Metric { header: String, name: String },
    UserAttr { header: String, key: String },
    State,
    Lost,
}

/// One field of the table.
enum Cell {
    Empty,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    Json(Json),
}

impl Table {
    pub(crate) fn new(view: StudyView) -> Table {
        let mut columns = vec![Column::Number];
        let objectives = view.directions().len();
        for objective in 0..objectives {
            let name = match view.metric_names() {
                Some(names) if objectives == 1 => format!("value_{}", names[objective]),
                Some(names) => format!("values_{}", names[objective]),
                None if objectives == 1 => "value".to_owned(),
                None => format!("values_{objective}"),
            };
            columns.push(Column::Value { name, objective });
        }
        columns.extend([Column::Start, Column::End, Column::Duration]);
        for param in view.params() {
            let name = param.name().to_owned();
            columns.push(Column::Param { header: format!("params_{name}"), name });
        }
        columns.extend(view.reported_metrics().map(|name| {
            let name = name.to_owned();
            Column::Metric { header: format!("metrics_{name}"), name }
        }));
        let keys: BTreeSet<&str> = view.trials().flat_map(|trial| trial.user_attrs().map(|(key, _)| key)).collect();
        let attrs = keys.into_iter().map(str::to_owned);
        columns.extend(attrs.map(|key| Column::UserAttr { header: format!("user_attrs_{key}"), key }));
        columns.push(Column::State);
        if view.trials().any(TrialView::is_lost) {
            columns.push(Column::Lost);
        }
        Table { view, columns }
    }

    /// The names of the columns.
    pub fn columns(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(Column::header)
    }

    /// How many trials there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.view.trial_count()
    }

    /// True if there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Writes comma-separated values with a header line (RFC 4180).
    ///
    /// # Errors
    /// What the writer says.
    pub fn write_csv(&self, out: impl Write) -> Result<(), TableError> {
        let mut csv = csv::Writer::from_writer(out);
        csv.write_record(self.columns()).map_err(TableError::of)?;
        for trial in self.view.trials() {
            csv.write_record(self.columns.iter().map(|column| column.cell(trial).text()))
                .map_err(TableError::of)?;
        }
        csv.flush().map_err(TableError::of)
    }

    /// Writes one JSON object per line. Numbers that JSON cannot say are the texts `NaN`, `Infinity` and
    /// `-Infinity`; what a trial does not have is `null`.
    ///
    /// # Errors
    /// What the writer says.
    pub fn write_json_lines(&self, mut out: impl Write) -> Result<(), TableError> {
        for trial in self.view.trials() {
            let fields = self.columns.iter().map(|column| (column.header().to_owned(), column.cell(trial).json()));
            let row: serde_json::Map<String, serde_json::Value> = fields.collect();
            serde_json::to_writer(&mut out, &row).map_err(TableError::of)?;
            out.write_all(b"\n").map_err(TableError::of)?;
        }
        out.flush().map_err(TableError::of)
    }
}

impl Column {
    fn header(&self) -> &str {
        match self {
            Column::Number => "number",
            Column::Value { name, .. } => name,
            Column::Start => "datetime_start",
            Column::End => "datetime_complete",
            Column::Duration => "duration",
            Column::Param { header, .. } | Column::Metric { header, .. } | Column::UserAttr { header, .. } => {
                header
            }
            Column::State => "state",
            Column::Lost => "lost",
        }
    }

    fn cell(&self, trial: TrialView<'_>) -> Cell {
        match self {
            Column::Number => Cell::Int(i64::from(trial.number().0)),
            Column::Value { objective, .. } => trial.value(*objective).map_or(Cell::Empty, Cell::Float),
            Column::Start => trial.start().map_or(Cell::Empty, time),
            Column::End => trial.end().map_or(Cell::Empty, time),
            Column::Duration => match (trial.start(), trial.end()) {
                (Some(start), Some(end)) => Cell::Float(end.0.saturating_sub(start.0) as f64 / 1e6),
                _ => Cell::Empty,
            },
            Column::Param { name, .. } => match trial.param_value(name).map(|value| value.as_choice()) {
                None | Some(Choice::Null) => Cell::Empty,
                Some(Choice::Bool(v)) => Cell::Bool(v),
                Some(Choice::Int(v)) => Cell::Int(v),
                Some(Choice::Float(v)) => Cell::Float(v),
                Some(Choice::Str(v)) => Cell::Text(v.to_string()),
            },
            Column::Metric { name, .. } => {
                let reports =
                    trial.metrics().find(|(other, _)| other == name).map_or(&[][..], |(_, reports)| reports);
                reports.last().map_or(Cell::Empty, |&(_, value)| Cell::Float(value))
            }
            Column::UserAttr { key, .. } => trial.user_attr(key).cloned().map_or(Cell::Empty, Cell::Json),
            Column::State => Cell::Text(trial.state().to_string()),
            Column::Lost => Cell::Bool(trial.is_lost()),
        }
    }
}

fn time(at: Timestamp) -> Cell {
    // A time that no calendar has is written as its microseconds.
    Cell::Text(jiff::Timestamp::from_microsecond(at.0).map_or_else(|_| at.to_string(), |at| at.to_string()))
}

impl Cell {
    fn text(self) -> String {
        match self {
            Cell::Empty => String::new(),
            Cell::Bool(v) => v.to_string(),
            Cell::Int(v) => v.to_string(),
            Cell::Float(v) => format!("{v:?}"),
            Cell::Text(v) => v,
            // A text without its quotes, anything else as JSON.
            Cell::Json(v) => match v.to_value() {
                Some(serde_json::Value::String(text)) => text,
                _ => v.to_string(),
            },
        }
    }

    fn json(self) -> serde_json::Value {
        use serde_json::Value;
        match self {
            Cell::Empty => Value::Null,
            Cell::Bool(v) => Value::from(v),
            Cell::Int(v) => Value::from(v),
            Cell::Float(v) if v.is_finite() => Value::from(v),
            Cell::Float(v) => Value::from(Json::from(v).as_str()),
            Cell::Text(v) => Value::from(v),
            Cell::Json(v) => v.to_value().unwrap_or_else(|| Value::from(v.as_str())),
        }
    }
}

/// The table could not be written.
#[derive(Debug)]
pub struct TableError(Box<dyn std::error::Error + Send + Sync>);

impl TableError {
    fn of(error: impl std::error::Error + Send + Sync + 'static) -> TableError {
        TableError(Box::new(error))
    }
}

impl fmt::Display for TableError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "could not write the table: {}", self.0)
    }
}

impl std::error::Error for TableError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&*self.0)
    }
}

#[cfg(feature = "parquet")]
mod parquet {
    //! The table as a Parquet file.

    use std::io::Write;
    use std::sync::Arc;

    use arrow_array::{
        ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
    };
    use parquet::arrow::ArrowWriter;
    use trialog_ops::Distribution;
    use trialog_replay::ParamColumn;

    use super::{Cell, Column, Table, TableError};

    impl Table {
        /// Writes a Parquet file: numbers as numbers, times as UTC microseconds, categories of several types and
        /// attributes as text.
        ///
        /// # Errors
        /// What the writer says.
        pub fn write_parquet(&self, out: impl Write + Send) -> Result<(), TableError> {
            let columns: Vec<(String, ArrayRef, bool)> =
                self.columns.iter().map(|column| (column.header().to_owned(), self.array(column), true)).collect();
            let batch = RecordBatch::try_from_iter_with_nullable(columns).map_err(TableError::of)?;
            let mut writer = ArrowWriter::try_new(out, batch.schema(), None).map_err(TableError::of)?;
            writer.write(&batch).map_err(TableError::of)?;
            writer.close().map_err(TableError::of)?;
            Ok(())
        }

        fn array(&self, column: &Column) -> ArrayRef {
            let cells = || self.view.trials().map(|trial| column.cell(trial));
            let floats = || {
                cells().map(|cell| match cell {
                    Cell::Float(v) => Some(v),
                    Cell::Int(v) => Some(v as f64),
                    _ => None,
                })
            };
            let ints = || cells().map(|cell| if let Cell::Int(v) = cell { Some(v) } else { None });
            let times = |pick: fn(&super::TrialView<'_>) -> Option<trialog_ops::Timestamp>| {
                let micros = self.view.trials().map(|trial| pick(&trial).map(|t| t.0));
                Arc::new(micros.collect::<TimestampMicrosecondArray>().with_timezone("UTC"))
            };
            match column {
                Column::Number => Arc::new(ints().collect::<Int64Array>()),
                Column::Value { .. } | Column::Metric { .. } | Column::Duration => {
                    Arc::new(floats().collect::<Float64Array>())
                }
                Column::Start => times(|trial| trial.start()),
                Column::End => times(|trial| trial.end()),
                Column::Param { name, .. } => match self.view.param(name).map(ParamColumn::first_distribution) {
                    Some(Distribution::Float(_)) => Arc::new(floats().collect::<Float64Array>()),
                    Some(Distribution::Int(_)) => Arc::new(ints().collect::<Int64Array>()),
                    _ if cells().all(|cell| matches!(cell, Cell::Bool(_) | Cell::Empty)) => {
                        let bools = cells().map(|cell| if let Cell::Bool(v) = cell { Some(v) } else { None });
                        Arc::new(bools.collect::<BooleanArray>())
                    }
                    _ => texts(cells()),
                },
                Column::Lost => {
                    let bools = self.view.trials().map(|trial| Some(trial.is_lost()));
                    Arc::new(bools.collect::<BooleanArray>())
                }
                Column::UserAttr { .. } | Column::State => texts(cells()),
            }
        }
    }

    fn texts(cells: impl Iterator<Item = Cell>) -> ArrayRef {
        let texts = cells.map(|cell| if matches!(cell, Cell::Empty) { None } else { Some(cell.text()) });
        Arc::new(texts.collect::<StringArray>())
    }
}
