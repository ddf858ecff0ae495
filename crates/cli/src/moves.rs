//! Studies on their way: copied and converted, merged, branched off, read from files and written to them.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::Path;

use serde_json::{Value, json};
use trialog::transfers::{Collision, Options, Progress, Report, RowsOptions};
use trialog::{At, Study, Timestamp, TrialNumber};

use crate::args::{self, Collide};
use crate::exit::{Failure, Outcome};

impl Collide {
    fn collision(self) -> Collision {
        match self {
            Collide::Fail => Collision::Fail,
            Collide::Rename => Collision::Rename,
            Collide::Resume => Collision::Resume,
        }
    }
}

fn report_json(report: &Report) -> Value {
    json!({
        "study": report.name, "added": report.added, "updated": report.updated, "kept": report.kept,
        "digest": report.digest.to_string(),
    })
}

fn print(report: &Report) -> Outcome {
    Ok(writeln!(std::io::stdout(), "{}", report_json(report))?)
}

/// How far a long transfer is, on a terminal.
fn tell(progress: Progress) {
    use std::io::IsTerminal as _;
    if std::io::stderr().is_terminal() {
        let total = progress.total.map_or_else(String::new, |total| format!(" of {total}"));
        let _ = write!(std::io::stderr(), "\r{}{total} trials ", progress.done);
    }
}

pub(crate) fn copy(args: &args::Copy) -> Outcome {
    let source = args.study.storage.look()?;
    let target = trialog::open(args.to.as_deref().unwrap_or(&args.study.storage.storage))?;
    let mut progress = tell;
    if args.all {
        let options =
            Options { collision: args.if_taken.collision(), progress: Some(&mut progress), ..Options::default() };
        for report in source.copy_all(&target, options)? {
            print(&report)?;
        }
        return Ok(());
    }
    let name = args.study.name_in(&source)?;
    let options =
        Options { collision: args.if_taken.collision(), progress: Some(&mut progress), ..Options::default() };
    print(&source.copy_study_with(&name, &target, args.name.as_deref().unwrap_or(&name), options)?)
}

pub(crate) fn merge(args: &args::Merge) -> Outcome {
    let mut studies = Vec::with_capacity(args.sources.len());
    for source in &args.sources {
        studies.push(source_study(source)?);
    }
    let target = args.storage.make()?;
    let studies: Vec<&Study> = studies.iter().collect();
    let options = Options { collision: args.if_taken.collision(), ..Options::default() };
    print(&target.merge_studies(&studies, &args.name, options)?)
}

/// `runs.tlog#study`, or `runs.tlog` with its only study.
fn source_study(text: &str) -> Outcome<Study> {
    let (url, study) = text.rsplit_once('#').map_or((text, None), |(url, study)| (url, Some(study.to_owned())));
    args::StudyArgs { storage: args::StorageArgs { storage: url.to_owned(), lock_wait: None }, study }.look()
}

pub(crate) fn branch(args: &args::Branch) -> Outcome {
    let at = match (args.position, args.trial, &args.time) {
        (Some(position), ..) => At::Position(position),
        (_, Some(trial), _) => At::Trial(TrialNumber(trial)),
        (.., Some(time)) => {
            let time: jiff::Timestamp = time
                .parse()
                .map_err(|error| Failure::usage(format!("--time {time:?}: {error}; write 2026-01-31T12:00:00Z")))?;
            At::Time(Timestamp(time.as_microsecond()))
        }
        _ => At::Now,
    };
    let branch = args.study.change()?.branch(&args.name, at)?;
    let view = branch.view()?;
    Ok(writeln!(std::io::stdout(), "{}", json!({"study": view.name(), "trials": view.trial_count()}))?)
}

pub(crate) fn export(args: &args::Export) -> Outcome {
    let study = args.study.look()?;
    let out: Box<dyn Write> = match &args.output {
        Some(path) => {
            Box::new(BufWriter::new(File::create(path).map_err(|error| Failure::file("write", path, &error))?))
        }
        None => Box::new(BufWriter::new(std::io::stdout().lock())),
    };
    Ok(study.export_records(out)?)
}

pub(crate) fn import(args: &args::Import) -> Outcome {
    let target = args.study.storage.make()?;
    let stem = args.file.file_stem().and_then(|stem| stem.to_str()).unwrap_or("imported");
    let name = args.study.study.as_deref().unwrap_or(stem);
    let mut progress = tell;
    let options =
        Options { collision: args.if_taken.collision(), progress: Some(&mut progress), ..Options::default() };
    let kind = match args.from {
        Some(kind) => kind,
        None => recognised(&args.file)?,
    };
    let report = match kind {
        args::FileKind::OptunaDb => {
            let study = args.optuna_study.as_deref().unwrap_or(name);
            target.import_optuna_db(&args.file, study, name, options)?
        }
        args::FileKind::Jsonl => target.import_records(BufReader::new(input(&args.file)?), name, options)?,
        args::FileKind::Csv => {
            let directions = args.direction.iter().map(|direction| match direction {
                args::Direction::Minimize => trialog::Direction::Minimize,
                args::Direction::Maximize => trialog::Direction::Maximize,
            });
            let rows = RowsOptions { directions: directions.collect(), ..RowsOptions::default() };
            target.import_rows(input(&args.file)?, &rows, name, options)?
        }
    };
    print(&report)
}

fn input(path: &Path) -> Outcome<Box<dyn Read>> {
    if path == Path::new("-") {
        return Ok(Box::new(std::io::stdin()));
    }
    Ok(Box::new(File::open(path).map_err(|error| Failure::file("read", path, &error))?))
}

/// By content where it says so, else by name.
fn recognised(path: &Path) -> Outcome<args::FileKind> {
    let mut start = [0u8; 16];
    if path != Path::new("-") {
        let mut file = File::open(path).map_err(|error| Failure::file("read", path, &error))?;
        let read = file.read(&mut start).map_err(|error| Failure::file("read", path, &error))?;
        if start[..read].starts_with(b"SQLite format 3") {
            return Ok(args::FileKind::OptunaDb);
        }
        if start[..read].trim_ascii_start().starts_with(b"{") {
            return Ok(args::FileKind::Jsonl);
        }
    }
    match path.extension().and_then(|ending| ending.to_str()) {
        Some("csv") => Ok(args::FileKind::Csv),
        Some("jsonl" | "json" | "ndjson") => Ok(args::FileKind::Jsonl),
        _ => Err(Failure::usage(format!("what {} holds cannot be told: say it with --from", path.display()))),
    }
}
