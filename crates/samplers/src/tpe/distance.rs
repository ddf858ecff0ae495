//! Distances between the choices of a parameter, which somebody who knows them may give.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use trialog_ops::{Choice, Distribution, OptionReader};

use crate::registry::Options;

/// The option that a log names distances by.
const ROWS: &str = "categorical_distances";

/// The option under which it names the parameters whose distances are a function.
const FUNCTIONS: &str = "categorical_distance_func";

/// How far one choice is from another.
type Function = dyn Fn(&Choice, &Choice) -> f64 + Send + Sync;

/// How far apart the choices of one parameter are.
pub(super) enum Distance {
    Rows(Vec<Vec<f64>>),
    Function(Box<Function>),
}

impl fmt::Debug for Distance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Distance::Rows(rows) => rows.fmt(f),
            Distance::Function(_) => f.write_str("a function"),
        }
    }
}

/// Distances by the parameter's name.
#[derive(Debug, Default)]
pub(super) struct Distances(BTreeMap<String, Distance>);

impl Distances {
    pub(super) fn insert(&mut self, name: &str, distance: Distance) {
        self.0.insert(name.to_owned(), distance);
    }

    /// For each parameter its distances, row by row, if it has any that make sense.
    pub(super) fn of(&self, space: &[(&str, &Distribution)]) -> Vec<Option<Arc<[f64]>>> {
        let of = |(name, distribution): &(&str, &Distribution)| {
            let (distance, Distribution::Categorical(d)) = (self.0.get(*name)?, distribution) else { return None };
            let choices = d.choices();
            let flat: Vec<f64> = match distance {
                Distance::Rows(rows) if rows.iter().all(|row| row.len() == choices.len()) => {
                    rows.iter().flatten().copied().collect()
                }
                Distance::Rows(_) => return None,
                Distance::Function(distance) => {
                    choices.iter().flat_map(|a| choices.iter().map(move |b| distance(a, b))).collect()
                }
            };
            let usable = flat.len() == choices.len() * choices.len() && flat.iter().all(|x| is_distance(*x));
            usable.then(|| Arc::from(flat))
        };
        space.iter().map(of).collect()
    }

    pub(super) fn read(reader: &mut OptionReader<'_>) -> Result<Distances, String> {
        let functions = reader.take(FUNCTIONS, "a list of names", |value| {
            value.as_array()?.iter().map(|name| name.as_str().map(str::to_owned)).collect::<Option<Vec<_>>>()
        })?;
        if let Some(names) = functions.filter(|names| !names.is_empty()) {
            return Err(format!(
                "the distances of {} are a function of the program that made the study, which no log can hold; make the \
                 sampler with it, or with a table of distances",
                names.join(", ")
            ));
        }
        let row = |row: &serde_json::Value| {
            let row: Option<Vec<f64>> = row.as_array()?.iter().map(serde_json::Value::as_f64).collect();
            row.filter(|row| row.iter().all(|x| is_distance(*x)))
        };
        let rows = |rows: &serde_json::Value| rows.as_array()?.iter().map(row).collect::<Option<Vec<_>>>();
        let tables = reader.take(ROWS, "an object with rows of numbers from 0 for each parameter", |value| {
            let tables = value.as_object()?.iter();
            tables.map(|(name, table)| Some((name.clone(), Distance::Rows(rows(table)?)))).collect::<Option<_>>()
        })?;
        Ok(Distances(tables.unwrap_or_default()))
    }

    /// Writes what there is among the options.
    pub(super) fn write(&self, options: &mut Options) {
        let (mut tables, mut functions) = (Options::new(), Vec::new());
        for (name, distance) in &self.0 {
            match distance {
                Distance::Rows(rows) => _ = tables.insert(name.clone(), rows.clone().into()),
                Distance::Function(_) => functions.push(name.as_str()),
            }
        }
        if !tables.is_empty() {
            options.insert(ROWS.to_owned(), tables.into());
        }
        if !functions.is_empty() {
            options.insert(FUNCTIONS.to_owned(), functions.into());
        }
    }
}

fn is_distance(x: f64) -> bool {
    x >= 0.0 && x.is_finite()
}
