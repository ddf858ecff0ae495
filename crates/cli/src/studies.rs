//! Commands about studies: made, listed, shown, printed, noted upon, limited.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::io::{BufWriter, Write};

use serde_json::{Map, Value, json};
use trialog::{Budget, RetryPolicy, Study, Timestamp, TrialNumber, TrialState};

use crate::args::{self, Format, OneStudy};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{attr, bold, faint, short, sparkline, time, trial_json, write_rows, write_trial};
use crate::session::attr_of;
use crate::space;
use crate::study::{How, kept_space};

pub(crate) fn create(args: &args::Create) -> Outcome {
    let how = if args.if_missing { How::Either } else { How::New };
    let (study, _) = args.make.study(&args.study, how)?;
    Ok(writeln!(std::io::stdout(), "{}", study.name())?)
}

pub(crate) fn delete(args: &OneStudy) -> Outcome {
    // Nobody deletes by leaving out a name.
    let Some(name) = &args.study.study else {
        return Err(Failure::usage("name the study to delete with --study"));
    };
    Ok(args.study.storage.change()?.delete_study(name)?)
}

pub(crate) fn list(args: &args::List) -> Outcome {
    let storage = args.storage.look()?;
    let columns = ["study", "directions", "trials", "complete", "pruned", "failed", "running", "waiting", "best"];
    let mut rows = Vec::new();
    for name in storage.study_names()? {
        let view = storage.study(name.as_str()).load()?.view()?;
        let count = |state| json!(view.count(state));
        let directions: Vec<String> = view.directions().iter().map(ToString::to_string).collect();
        let best = match view.directions() {
            [_] => view.best().next().and_then(|best| best.value(0)).map_or(Value::Null, crate::output::number),
            _ => Value::Null,
        };
        rows.push(vec![
            json!(name),
            json!(directions.join(",")),
            json!(view.trial_count()),
            count(TrialState::Complete),
            count(TrialState::Pruned),
            count(TrialState::Fail),
            count(TrialState::Running),
            count(TrialState::Waiting),
            best,
        ]);
    }
    args.format.print_rows(&columns, &rows)
}

pub(crate) fn show(args: &OneStudy) -> Outcome {
    let study = args.study.look()?;
    let view = study.view()?;
    let space = kept_space(&study)?;
    let directions: Vec<String> = view.directions().iter().map(ToString::to_string).collect();
    let counts: Map<String, Value> =
        TrialState::ALL.into_iter().map(|state| (state.to_string(), json!(view.count(state)))).collect();
    let best: Vec<Value> = study.best_trials()?.iter().map(trial_json).collect();
    let attrs: Map<String, Value> = view.user_attrs().map(|(key, value)| (key.to_owned(), attr(value))).collect();
    let component = |spec: &trialog::ComponentSpec| json!({"name": spec.name, "version": spec.version, "options": attr(&spec.options)});
    let budget = view.budget();
    let json = json!({
        "study": view.name(),
        "directions": directions,
        "metric_names": view.metric_names(),
        "metrics": view.reported_metrics().collect::<Vec<_>>(),
        "sampler": view.config().map(|config| component(&config.sampler)),
        "pruner": view.config().map(|config| component(&config.pruner)),
        "seed": view.config().map(|config| config.seed),
        "trials": counts,
        "budget": budget_json(budget),
        "retries": view.retry_policy().retries_max,
        "space": space.as_ref().map(space::Space::to_json),
        "best": best,
        "user_attrs": attrs,
    });
    args.format.print(&json, |out| {
        writeln!(out, "{} {}  {}", bold("study"), view.name(), directions.join(", "))?;
        if let Some(config) = view.config() {
            writeln!(out, "  sampler {} {}", config.sampler.name, faint(config.sampler.options.as_str()))?;
            writeln!(out, "  pruner  {} {}", config.pruner.name, faint(config.pruner.options.as_str()))?;
            writeln!(out, "  seed    {}", config.seed)?;
        }
        let counts: Vec<String> = TrialState::ALL
            .into_iter()
            .filter(|state| view.count(*state) > 0)
            .map(|state| format!("{} {state}", view.count(state)))
            .collect();
        writeln!(out, "  trials  {} ({})", view.trial_count(), counts.join(", "))?;
        let metrics: Vec<&str> = view.reported_metrics().collect();
        if !metrics.is_empty() {
            writeln!(out, "  metrics {}", metrics.join(", "))?;
        }
        if *budget != Budget::default() {
            writeln!(out, "  budget  {}", budget_json(budget))?;
        }
        if let Some(space) = &space {
            writeln!(out, "  space")?;
            for line in space.to_string().lines() {
                writeln!(out, "    {line}")?;
            }
        }
        for (key, value) in view.user_attrs() {
            writeln!(out, "  {} {value}", faint(key))?;
        }
        if let [direction] = view.directions() {
            let history = best_so_far(&study, *direction == trialog::Direction::Maximize).unwrap_or_default();
            writeln!(out, "  history {}", sparkline(&history, 60))?;
        }
        for trial in study.best_trials().unwrap_or_default() {
            write_trial(out, &trial)?;
        }
        Ok(())
    })
}

/// The best value after each complete trial, by number.
pub(crate) fn best_so_far(study: &Study, is_maximized: bool) -> Outcome<Vec<f64>> {
    let mut best = None;
    let view = study.view()?;
    let complete = view.trials().filter(|trial| trial.state() == TrialState::Complete && trial.is_feasible());
    let history = complete.filter_map(|trial| {
        let value = trial.value(0)?;
        let better = match best {
            None => true,
            Some(best) if is_maximized => value > best,
            Some(best) => value < best,
        };
        if better {
            best = Some(value);
        }
        best
    });
    Ok(history.collect())
}

fn budget_json(budget: &Budget) -> Value {
    json!({"trials": budget.trials, "finished": budget.finished, "until": budget.until.map(time)})
}

pub(crate) fn trials(args: &args::Trials) -> Outcome {
    let study = args.study.look()?;
    let table = study.table()?;
    let format = args.format.chosen();
    let plain = args.filter.is_none() && args.sort.is_none() && args.limit.is_none() && args.columns.is_empty();
    if format == Format::Parquet {
        let Some(path) = args.output.as_ref().filter(|_| plain) else {
            return Err(Failure::usage("Parquet takes -o FILE, and the whole table: filter it where you read it"));
        };
        let file = std::fs::File::create(path).map_err(|error| Failure::file("write", path, &error))?;
        return Ok(table.write_parquet(file)?);
    }
    let mut out: Box<dyn Write> = match &args.output {
        Some(path) => {
            let file = std::fs::File::create(path).map_err(|error| Failure::file("write", path, &error))?;
            Box::new(BufWriter::new(file))
        }
        None => Box::new(BufWriter::new(std::io::stdout().lock())),
    };
    if plain && format == Format::Csv {
        return Ok(table.write_csv(out)?);
    }
    if plain && format == Format::Jsonl {
        return Ok(table.write_json_lines(out)?);
    }
    let names: Vec<String> = table.columns().map(str::to_owned).collect();
    let mut bytes = Vec::new();
    table.write_json_lines(&mut bytes)?;
    let mut rows: Vec<Map<String, Value>> = Vec::with_capacity(table.len());
    for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        rows.push(serde_json::from_slice(line).map_err(|error| Failure::new(Exit::Failed, error))?);
    }
    if let Some(filter) = &args.filter {
        let filter = space::Filter::parse(filter, &names)?;
        let mut kept = Vec::with_capacity(rows.len());
        for row in rows {
            if filter.keeps(&row)? {
                kept.push(row);
            }
        }
        rows = kept;
    }
    if let Some(sort) = &args.sort {
        let (column, falling) = sort.strip_prefix('-').map_or((sort.as_str(), false), |column| (column, true));
        check_column(column, &names)?;
        rows.sort_by(|left, right| {
            let order = by_value(&left[column], &right[column], falling);
            // What has no such value comes last either way.
            order.then_with(|| by_value(&left["number"], &right["number"], false))
        });
    }
    rows.truncate(args.limit.unwrap_or(usize::MAX));
    let columns: Vec<&str> = if args.columns.is_empty() {
        names.iter().map(String::as_str).collect()
    } else {
        for column in &args.columns {
            check_column(column, &names)?;
        }
        args.columns.iter().map(String::as_str).collect()
    };
    let rows: Vec<Vec<Value>> = rows
        .into_iter()
        .map(|mut row| columns.iter().map(|column| row.remove(*column).unwrap_or(Value::Null)).collect())
        .collect();
    write_rows(&mut out, format, &columns, &rows)?;
    Ok(out.flush()?)
}

fn check_column(column: &str, names: &[String]) -> Outcome {
    if names.iter().any(|name| name == column) {
        return Ok(());
    }
    let known: Vec<&str> = names.iter().map(String::as_str).collect();
    let hint = match space::nearest(column, &known) {
        Some(near) => format!("did you mean {near:?}?"),
        None => format!("there are {}", known.join(", ")),
    };
    Err(Failure::usage(format!("the table has no column {column:?}; {hint}")))
}

fn by_value(left: &Value, right: &Value, falling: bool) -> Ordering {
    let number = |value: &Value| crate::run::number_of(value).filter(|number| !number.is_nan());
    let order = match (left, right) {
        (Value::Null, Value::Null) => return Ordering::Equal,
        (Value::Null, _) => return Ordering::Greater,
        (_, Value::Null) => return Ordering::Less,
        _ => match (number(left), number(right)) {
            (Some(left), Some(right)) => left.total_cmp(&right),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => crate::output::plain(left).cmp(&crate::output::plain(right)),
        },
    };
    if falling { order.reverse() } else { order }
}

pub(crate) fn best(args: &OneStudy) -> Outcome {
    let best = args.study.look()?.best_trial()?;
    args.format.print(&trial_json(&best), |out| write_trial(out, &best))
}

pub(crate) fn best_trials(args: &OneStudy) -> Outcome {
    let best = args.study.look()?.best_trials()?;
    args.format.print(&best.iter().map(trial_json).collect(), |out| {
        best.iter().try_for_each(|trial| write_trial(out, trial))
    })
}

pub(crate) fn attributes(args: &args::Attr) -> Outcome {
    let mut out = std::io::stdout().lock();
    if let (Some(key), Some(value)) = (&args.key, &args.value) {
        let study = args.study.change()?;
        let value = attr_of(value);
        match args.trial {
            Some(number) => study.resume(TrialNumber(number))?.set_user_attr(key, value)?,
            None => study.set_user_attr(key, value)?,
        }
        return Ok(());
    }
    let study = args.study.look()?;
    let attrs: BTreeMap<String, Value> = match args.trial {
        Some(number) => study
            .trial(TrialNumber(number))?
            .user_attrs
            .iter()
            .map(|(key, value)| (key.clone(), attr(value)))
            .collect(),
        None => study.user_attrs()?.iter().map(|(key, value)| (key.clone(), attr(value))).collect(),
    };
    match &args.key {
        None => writeln!(out, "{}", json!(attrs))?,
        Some(key) => {
            let Some(value) = attrs.get(key) else {
                return Err(Failure::new(Exit::NotFound, format!("there is no attribute {key:?}")));
            };
            writeln!(out, "{value}")?;
        }
    }
    Ok(())
}

pub(crate) fn budget(args: &args::BudgetArgs) -> Outcome {
    let is_change = args.unlimited || args.trials.is_some() || args.finished.is_some() || args.within.is_some();
    if is_change {
        let study = args.study.change()?;
        let kept = if args.unlimited { Budget::default() } else { *study.view()?.budget() };
        let until = args.within.map(|within| {
            let now = jiff::Timestamp::now().as_microsecond();
            Timestamp(now.saturating_add(i64::try_from(within.as_micros()).unwrap_or(i64::MAX)))
        });
        study.set_budget(Budget {
            trials: args.trials.or(kept.trials),
            finished: args.finished.or(kept.finished),
            until: until.or(kept.until),
        })?;
    }
    let study = args.study.look()?;
    Ok(writeln!(std::io::stdout(), "{}", budget_json(study.view()?.budget()))?)
}

pub(crate) fn retry(args: &args::Retry) -> Outcome {
    let mut out = std::io::stdout();
    if let Some(number) = args.trial {
        let study = args.study.change()?;
        let trial = study.trial(TrialNumber(number))?;
        if !trial.state.is_finished() {
            return Err(Failure::invalid(format!(
                "trial {number} is {}: only an ended one can be tried again",
                trial.state
            )));
        }
        let params: Vec<_> =
            trial.params.iter().map(|(name, value)| (name.to_owned(), value.as_choice())).collect();
        let attrs =
            trial.user_attrs.iter().filter(|(key, _)| !["failure", "pruned", "infeasible"].contains(&key.as_str()));
        let again = study.enqueue_with(params, attrs.map(|(key, value)| (key.clone(), value.clone())))?;
        return Ok(writeln!(out, "{}", json!({"trial": again.0}))?);
    }
    if let Some(retries_max) = args.max {
        args.study
            .change()?
            .set_retry_policy(RetryPolicy { retries_max, inherit_reports: args.inherit_reports })?;
    }
    let policy = args.study.look()?.view()?.retry_policy();
    Ok(writeln!(out, "{}", json!({"max": policy.retries_max, "inherit_reports": policy.inherit_reports}))?)
}

pub(crate) fn space(args: &args::SpaceCommand) -> Outcome {
    let mut out = std::io::stdout();
    match &args.command {
        args::SpaceVerb::Check { file } => {
            let space = crate::study::read_space(file)?;
            writeln!(
                out,
                "{}: {} parameters, {} constraints",
                file.display(),
                space.params.len(),
                space.constraints.len()
            )?;
            Ok(write!(out, "{space}")?)
        }
        args::SpaceVerb::Show { file } => Ok(writeln!(out, "{}", crate::study::read_space(file)?.to_json())?),
    }
}

/// A value that may be missing, for people.
pub(crate) fn or_dash(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), short)
}
