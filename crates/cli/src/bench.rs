//! `trialog bench`: what a storage can do at a place, in a minute.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use trialog::{DurabilityLevel, OpenOptions, Study, samplers};

use crate::args;
use crate::exit::{Failure, Outcome};

pub(crate) fn main(args: &args::Bench) -> Outcome {
    let path = Path::new(&args.path);
    let folder = path.is_dir().then(|| path.join(format!("trialog-bench-{}", std::process::id())));
    if let Some(folder) = &folder {
        std::fs::create_dir(folder).map_err(|error| Failure::file("make", folder, &error))?;
    }
    let url =
        folder.as_ref().map_or_else(|| args.path.clone(), |folder| folder.join("bench.tlog").display().to_string());
    let rows = measure(&url, args.each);
    if let Some(folder) = &folder {
        let _ = std::fs::remove_dir_all(folder);
    }
    args.format.print_rows(&["what", "per_second", "microseconds_each"], &rows?)
}

fn measure(url: &str, each: Duration) -> Outcome<Vec<Vec<Value>>> {
    let name = format!("bench-{}", std::process::id());
    let mut rows = Vec::new();
    let mut study = None;
    for (what, level) in [
        ("trials of 5 floats, kept over a loss of power", DurabilityLevel::Told),
        ("the same, kept over the death of processes", DurabilityLevel::Never),
    ] {
        let storage = OpenOptions::new().durability(level).open(url)?;
        let made = storage.study(name.as_str()).sampler(samplers::Random::new()).load_or_create()?;
        rows.push(row(what, each, || trial(&made))?);
        study = Some(made);
    }
    if let Some(study) = study {
        let mut running = study.ask()?;
        let mut step = 0;
        rows.push(row("intermediate values", each, || {
            running.report(step, 0.5)?;
            step += 1;
            Ok(())
        })?);
        study.tell_failed(&running)?;
        rows.push(row("looks at the study for news", each, || study.view().map(drop))?);
        let begun = Instant::now();
        let trials = OpenOptions::new().read_only(true).open(url)?.study(name.as_str()).load()?.trials()?.len();
        let seconds = begun.elapsed().as_secs_f64();
        rows.push(line(
            "trials read by a process that opens the storage",
            trials as f64 / seconds,
            seconds * 1e6 / trials.max(1) as f64,
        ));
        study.storage().delete_study(&name)?;
    }
    Ok(rows)
}

fn trial(study: &Study) -> trialog::Result<()> {
    let mut trial = study.ask()?;
    let mut sum = 0.0;
    for name in ["a", "b", "c", "d", "e"] {
        sum += trial.suggest_float(name, 0.0..=1.0)?;
    }
    study.tell(&trial, sum).map(drop)
}

fn row(what: &str, each: Duration, mut work: impl FnMut() -> trialog::Result<()>) -> Outcome<Vec<Value>> {
    let begun = Instant::now();
    let mut count = 0u32;
    while begun.elapsed() < each || count == 0 {
        work()?;
        count += 1;
    }
    let seconds = begun.elapsed().as_secs_f64();
    Ok(line(what, f64::from(count) / seconds, seconds * 1e6 / f64::from(count)))
}

fn line(what: &str, per_second: f64, micros: f64) -> Vec<Value> {
    vec![json!(what), json!(per_second.round()), json!((micros * 10.0).round() / 10.0)]
}
