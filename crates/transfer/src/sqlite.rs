//! Studies out of a SQLite database of Optuna's: the schema of its versions 3 to 5 (alembic head `v3.2.0.a`). The database is only read, in one
//! transaction, so that what is read was there at one moment. Nothing in it is ever run: what samplers pickled stays text.

use std::path::Path;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use rusqlite::{Connection, OpenFlags, OptionalExtension, Row};
use trialog_codec::optuna::Def;
use trialog_ops::{Direction, Json, Param, ParamDef, ParamRef, Timestamp, TrialState, TrialTemplate};

use crate::content::{Head, Moved};
use crate::error::Error;
use crate::parse::state_of;

/// Where Optuna keeps the names of objectives.
const METRIC_NAMES: &str = "study:metric_names";

/// How many trials are looked up at a time.
const PAGE: usize = 512;

/// What there is in each table that is read.
const TABLES: [&str; 9] = [
    "studies",
    "study_directions",
    "study_user_attributes",
    "study_system_attributes",
    "trials",
    "trial_params",
    "trial_values",
    "trial_intermediate_values",
    "trial_user_attributes",
];

/// An open database of Optuna's.
pub struct OptunaDb {
    connection: Connection,
    path: String,
    /// What times are ahead of UTC, in microseconds.
    ahead: i64,
}

/// A study in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OptunaStudy {
    /// Its id there.
    pub id: i64,
    /// Its name.
    pub name: String,
    /// How many trials it has.
    pub trials: u64,
}

impl OptunaDb {
    /// Opens a database and begins to read it. Writers go on where SQLite lets them beside a reader.
    ///
    /// # Errors
    /// [`Error::Database`] for a file that is none of Optuna's, or of one that is too old.
    pub fn open(path: &Path) -> Result<OptunaDb, Error> {
        let name = path.display().to_string();
        let bad = |error: rusqlite::Error| Error::Database { path: name.clone(), detail: error.to_string() };
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags).map_err(bad)?;
        connection.execute_batch("BEGIN").map_err(bad)?;
        let db = OptunaDb { connection, path: name.clone(), ahead: 0 };
        for table in TABLES {
            let known = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?1";
            let found = db.connection.query_row(known, [table], |_| Ok(())).optional().map_err(bad)?;
            if found.is_none() {
                return Err(db.bad(format!("it has no table {table}, and is no storage of Optuna's")));
            }
        }
        for (table, column) in
            [("trial_values", "value_type"), ("trial_intermediate_values", "intermediate_value_type")]
        {
            let known = "SELECT 1 FROM pragma_table_info(?1) WHERE name = ?2";
            let found = db.connection.query_row(known, [table, column], |_| Ok(())).optional().map_err(bad)?;
            if found.is_none() {
                let detail = "its schema is older than Optuna 3; bring it up to date with `optuna storage upgrade`";
                return Err(db.bad(detail));
            }
        }
        Ok(db)
    }

    /// By how many minutes the times in it are ahead of UTC. Default: 0, which is how Optuna 5 writes. Up to 4.9 it wrote the time of
    /// the machine, and says nowhere which it was.
    #[must_use]
    pub fn utc_offset_minutes(mut self, minutes: i32) -> OptunaDb {
        self.ahead = i64::from(minutes) * 60_000_000;
        self
    }

    /// The version of Optuna that made it, as it says.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub fn version(&self) -> Result<Option<String>, Error> {
        let known = self.connection.query_row("SELECT library_version FROM version_info", [], |row| row.get(0));
        known.optional().or(Ok(None))
    }

    /// Its studies by id.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub fn studies(&self) -> Result<Vec<OptunaStudy>, Error> {
        let query = "SELECT s.study_id, s.study_name, (SELECT count(*) FROM trials t WHERE t.study_id = s.study_id)
                     FROM studies s ORDER BY s.study_id";
        self.all(query, None, |row| {
            Ok(OptunaStudy { id: row.get(0)?, name: row.get(1)?, trials: row.get::<_, i64>(2)?.unsigned_abs() })
        })
    }

    /// A study without its trials.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub fn head(&self, study: &OptunaStudy) -> Result<Head, Error> {
        let query = "SELECT direction FROM study_directions WHERE study_id = ?1 ORDER BY objective";
        let words: Vec<String> = self.all(query, Some(study.id), |row| row.get(0))?;
        let directions = words.iter().map(|word| match word.as_str() {
            "MAXIMIZE" => Direction::Maximize,
            // `NOT_SET` is what studies begin with before they have a direction, and Optuna minimizes then.
            _ => Direction::Minimize,
        });
        let mut head = Head::new(directions.collect());
        if head.directions.is_empty() {
            head.directions.push(Direction::Minimize);
        }
        head.user_attrs = self.attrs("study_user_attributes", "study_id", study.id)?;
        head.system_attrs = self.attrs("study_system_attributes", "study_id", study.id)?;
        let names =
            head.system_attrs.iter().find(|(key, _)| key == METRIC_NAMES).and_then(|(_, names)| texts(names));
        if let Some(names) = names.filter(|names| names.len() == head.directions.len()) {
            head.metric_names = Some(names);
            head.system_attrs.retain(|(key, _)| key != METRIC_NAMES);
        }
        Ok(head)
    }

    /// The trials of a study by number, some hundred of them in memory at a time.
    ///
    /// # Errors
    /// [`Error::Database`]; further ones come with the trials.
    pub fn trials<'a>(
        &'a self,
        study: &'a OptunaStudy,
    ) -> Result<impl Iterator<Item = Result<Moved, Error>> + 'a, Error> {
        let mut page: std::vec::IntoIter<Found> = self.page(study, None)?.into_iter();
        let mut last: Option<(i64, i64)> = None;
        Ok(std::iter::from_fn(move || {
            let found = match page.next() {
                Some(found) => found,
                None => {
                    last?;
                    match self.page(study, last) {
                        Ok(next) => page = next.into_iter(),
                        Err(error) => return Some(Err(error)),
                    }
                    page.next()?
                }
            };
            last = Some((found.number, found.id));
            Some(self.trial(&found))
        }))
    }

    fn page(&self, study: &OptunaStudy, after: Option<(i64, i64)>) -> Result<Vec<Found>, Error> {
        let (number, id) = after.unwrap_or((i64::MIN, i64::MIN));
        let query = format!(
            "SELECT trial_id, coalesce(number, trial_id), state, datetime_start, datetime_complete FROM trials
             WHERE study_id = ?1 AND (coalesce(number, trial_id), trial_id) > (?2, ?3)
             ORDER BY coalesce(number, trial_id), trial_id LIMIT {PAGE}"
        );
        let mut statement = self.connection.prepare_cached(&query).map_err(|error| self.bad(error.to_string()))?;
        let rows = statement.query_map([study.id, number, id], |row| {
            Ok(Found {
                id: row.get(0)?,
                number: row.get(1)?,
                state: row.get(2)?,
                start: row.get(3)?,
                end: row.get(4)?,
            })
        });
        rows.and_then(Iterator::collect).map_err(|error| self.bad(error.to_string()))
    }

    fn trial(&self, found: &Found) -> Result<Moved, Error> {
        let bad = |detail: String| self.bad(format!("trial {}: {detail}", found.number));
        let state = state_of(&found.state).map_err(bad)?;
        let mut template = TrialTemplate::new(state);
        template.start = found.start.as_deref().map(|text| self.time(text)).transpose().map_err(bad)?;
        template.end = found.end.as_deref().map(|text| self.time(text)).transpose().map_err(bad)?;
        match state.is_finished() {
            true => template.end = template.end.or(template.start).or(Some(Timestamp(0))),
            false => template.end = None,
        }
        let query = "SELECT value, value_type FROM trial_values WHERE trial_id = ?1 ORDER BY objective";
        let rows = self.all(query, Some(found.id), |row| Ok((row.get(0)?, row.get::<_, Option<String>>(1)?)))?;
        for (value, kind) in rows {
            template.values.push(float(value, kind.as_deref()).map_err(bad)?);
        }
        let query = "SELECT step, intermediate_value, intermediate_value_type FROM trial_intermediate_values
                     WHERE trial_id = ?1 ORDER BY step";
        let rows = self.all(query, Some(found.id), |row| {
            Ok((row.get::<_, i64>(0)?, row.get(1)?, row.get::<_, Option<String>>(2)?))
        })?;
        for (step, value, kind) in rows {
            let step = u64::try_from(step).map_err(|_| bad(format!("it reported at step {step}")))?;
            template.reports.push((step, float(value, kind.as_deref()).map_err(bad)?));
        }
        let query = "SELECT param_name, param_value, distribution_json FROM trial_params WHERE trial_id = ?1 ORDER BY param_id";
        let rows = self.all(query, Some(found.id), |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, f64>(1)?, row.get::<_, String>(2)?))
        })?;
        for (name, value, text) in rows {
            let distribution = Def::read(&name, &text).distribution;
            let distribution = distribution.ok_or_else(|| {
                bad(format!("parameter {name:?} is drawn from {text}, which nothing here can be"))
            })?;
            let def = ParamDef { name, distribution };
            template.params.push(Param { param: ParamRef::Def(Box::new(def)), value });
        }
        template.user_attrs = self.attrs("trial_user_attributes", "trial_id", found.id)?;
        for (key, value) in self.attrs("trial_system_attributes", "trial_id", found.id)? {
            // Optuna 5 keeps each constraint by name, earlier ones all in a list.
            if let Some(name) = key.strip_prefix("constraints:")
                && let Some(number) = number(value.as_str())
            {
                template.constraints.push((name.to_owned(), number));
                continue;
            }
            if key == "constraints"
                && let Some(list) = numbers(&value)
            {
                let named = list.into_iter().enumerate().map(|(at, value)| (at.to_string(), value));
                template.constraints.extend(named);
            }
            template.system_attrs.push((key, value));
        }
        if state == TrialState::Complete && template.values.is_empty() {
            return Err(bad("it is complete and has no value".into()));
        }
        Ok(Moved::from(template).in_order())
    }

    fn attrs(&self, table: &str, owner: &str, id: i64) -> Result<Vec<(String, Json)>, Error> {
        let query = format!("SELECT key, value_json FROM {table} WHERE {owner} = ?1 ORDER BY key");
        let rows = self.all(&query, Some(id), |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))?;
        let parsed = rows.into_iter().map(|(key, text)| match Json::parse(&text) {
            Ok(value) => Ok((key, value)),
            Err(error) => Err(self.bad(format!("attribute {key:?} in {table} is no JSON: {error}"))),
        });
        let mut attrs: Vec<(String, Json)> = parsed.collect::<Result<_, _>>()?;
        // As bytes compare, whatever collation the database has.
        attrs.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(attrs)
    }

    fn all<T>(
        &self,
        query: &str,
        id: Option<i64>,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, Error> {
        let mut statement = self.connection.prepare_cached(query).map_err(|error| self.bad(error.to_string()))?;
        let rows = match id {
            Some(id) => statement.query_map([id], read).and_then(Iterator::collect),
            None => statement.query_map([], read).and_then(Iterator::collect),
        };
        rows.map_err(|error| self.bad(error.to_string()))
    }

    fn bad(&self, detail: impl Into<String>) -> Error {
        Error::Database { path: self.path.clone(), detail: detail.into() }
    }

    fn time(&self, text: &str) -> Result<Timestamp, String> {
        let civil: DateTime = text.parse().map_err(|_| format!("{text:?} is no time"))?;
        let zoned = civil.to_zoned(TimeZone::UTC).map_err(|_| format!("{text:?} is no time"))?;
        Ok(Timestamp(zoned.timestamp().as_microsecond() - self.ahead))
    }
}

/// A row of the table of trials.
struct Found {
    id: i64,
    number: i64,
    state: String,
    start: Option<String>,
    end: Option<String>,
}

/// A number and what kind it is: SQLite has no infinities and no NaN.
fn float(value: Option<f64>, kind: Option<&str>) -> Result<f64, String> {
    match (kind.unwrap_or("FINITE"), value) {
        ("FINITE", Some(value)) => Ok(value),
        ("INF_POS", _) => Ok(f64::INFINITY),
        ("INF_NEG", _) => Ok(f64::NEG_INFINITY),
        ("NAN", _) => Ok(f64::NAN),
        (kind, value) => Err(format!("{value:?} is no value of kind {kind}")),
    }
}

fn number(text: &str) -> Option<f64> {
    match text {
        "Infinity" => Some(f64::INFINITY),
        "-Infinity" => Some(f64::NEG_INFINITY),
        text => text.parse().ok().filter(|value: &f64| !value.is_nan()),
    }
}

fn numbers(list: &Json) -> Option<Vec<f64>> {
    let inside = list.as_str().trim().strip_prefix('[')?.strip_suffix(']')?;
    if inside.trim().is_empty() {
        return Some(Vec::new());
    }
    inside.split(',').map(|word| number(word.trim())).collect()
}

fn texts(list: &Json) -> Option<Vec<String>> {
    let value = list.to_value()?;
    value.as_array()?.iter().map(|name| name.as_str().map(str::to_owned)).collect()
}
