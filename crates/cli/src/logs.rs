//! Commands that look after a log.

use std::io::{BufReader, Write as _};
use std::path::Path;
use std::process::Command;

use serde_json::{Map, Value, json};
use trialog::TrialState;
use trialog_inspect::{Outcome as Tried, Spawner, Trust};

use crate::args;
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{bad, good};

pub(crate) fn stat(args: &args::LogPath) -> Outcome {
    let stat = trialog_inspect::stat(&args.log)?;
    let studies: Vec<Value> = stat
        .studies
        .iter()
        .map(|study| {
            let counts: Map<String, Value> =
                TrialState::ALL.into_iter().map(|state| (state.to_string(), json!(study.count(state)))).collect();
            json!({"study": study.name, "trials": counts, "params": study.params, "reports": study.reports, "attrs": study.attrs,
                   "bytes_per_finished_trial": stat.bytes_per_finished_trial()})
        })
        .collect();
    let ops: Vec<Value> =
        stat.ops.iter().map(|op| json!({"op": op.name, "count": op.count, "bytes": op.bytes})).collect();
    let largest: Vec<Value> = stat
        .largest
        .iter()
        .map(|record| json!({"seq": record.seq, "offset": record.offset, "bytes": record.bytes}))
        .collect();
    let json = json!({
        "log": stat.location,
        "bytes": stat.file_bytes,
        "created": stat.created_us.map(|at| crate::output::time(trialog::Timestamp(at))),
        "records": stat.readable.records,
        "digest": stat.readable.digest.to_string(),
        "rejected": stat.readable.rejected,
        "repeated": stat.readable.repeated,
        "sessions": stat.readable.counts.sessions,
        "framing_bytes": stat.framing_bytes,
        "ops": ops,
        "studies": studies,
        "largest": largest,
        "damaged_at": stat.damaged_at,
        "tail_bytes": stat.tail.as_ref().map(|tail| tail.bytes),
    });
    args.format.print(&json, |out| writeln!(out, "{stat}"))
}

pub(crate) fn verify(args: &args::LogPath) -> Outcome {
    let report = trialog_inspect::verify(&args.log)?;
    let damages: Vec<Value> = report.damages.iter().map(damage_json).collect();
    let json = json!({
        "log": report.location,
        "clean": report.is_clean(),
        "bytes": report.file_bytes,
        "frames": report.frames,
        "records": report.readable.records,
        "digest": report.readable.digest.to_string(),
        "records_behind": report.records_behind,
        "records_lost": report.records_lost(),
        "damages": damages,
        "tail_bytes": report.tail.as_ref().map(|tail| tail.bytes),
    });
    args.format.print(&json, |out| writeln!(out, "{report}"))?;
    if report.is_clean() { Ok(()) } else { Err(Failure::silent(Exit::Damaged)) }
}

fn damage_json(damage: &trialog_inspect::Damage) -> Value {
    json!({
        "offset": damage.offset, "bytes": damage.bytes, "kind": format!("{:?}", damage.kind),
        "lost": [damage.lost.start, damage.lost.end], "mended": damage.mended,
    })
}

pub(crate) fn repair(args: &args::Repair) -> Outcome {
    let trust = if args.likely { Trust::Likely } else { Trust::Proven };
    let repair = trialog_inspect::repair(&args.log, &args.target, trust)?;
    let lost: Vec<Value> = repair.lost.iter().map(|lost| json!([lost.start, lost.end])).collect();
    let json = json!({
        "source": repair.source, "target": repair.target, "records": repair.readable.records, "kept": repair.kept,
        "mended": repair.mended, "records_lost": repair.records_lost(), "lost": lost, "bytes_lost": repair.bytes_lost,
        "ops_left_out": repair.left_out.len(), "lossless": repair.is_lossless(), "digest": repair.readable.digest.to_string(),
    });
    args.format.print(&json, |out| writeln!(out, "{repair}"))
}

pub(crate) fn compact(args: &args::Compact) -> Outcome {
    let storage =
        args.storage.options().must_exist(true).keep_history(args.keep_history).open(&args.storage.storage)?;
    let word = if storage.compact()? { "compacted" } else { "nothing to compact" };
    Ok(writeln!(std::io::stdout(), "{word}")?)
}

pub(crate) fn digest(args: &args::DigestArgs) -> Outcome {
    let digest = match (args.at, &args.study) {
        (Some(at), _) => {
            let path = args.storage.storage.strip_prefix("file:").unwrap_or(&args.storage.storage);
            trialog_inspect::digest_at(path, trialog::journal::Seq(at))?
        }
        (None, Some(study)) => args.storage.look()?.study(study.as_str()).load()?.digest()?,
        (None, None) => args.storage.look()?.digest()?,
    };
    Ok(writeln!(std::io::stdout(), "{digest}")?)
}

/// A second process is this program again.
struct Myself;

impl Spawner for Myself {
    fn helper(&self) -> Option<Command> {
        let mut command = Command::new(std::env::current_exe().ok()?);
        command.arg("doctor-helper");
        Some(command)
    }
}

pub(crate) fn doctor(args: &args::DoctorArgs) -> Outcome {
    let doctor = trialog_inspect::doctor(&args.path, &Myself)?;
    let probes: Vec<Value> = doctor
        .probes
        .iter()
        .map(|probe| json!({"probe": probe.name, "outcome": outcome(probe.outcome), "detail": probe.detail}))
        .collect();
    let json = json!({
        "path": doctor.location, "folder": doctor.folder, "writable": doctor.is_writable(), "mode": doctor.mode.to_string(),
        "promises": doctor.promises, "probes": probes,
    });
    args.format.print(&json, |out| writeln!(out, "{doctor}"))?;
    if doctor.is_writable() { Ok(()) } else { Err(Failure::silent(Exit::Unavailable)) }
}

fn outcome(outcome: Tried) -> &'static str {
    match outcome {
        Tried::Good => "good",
        Tried::Worth => "worth knowing",
        Tried::Bad => "bad",
        Tried::Untried => "untried",
    }
}

pub(crate) fn doctor_helper() -> Outcome {
    Ok(trialog_inspect::doctor_helper(BufReader::new(std::io::stdin()), std::io::stdout())?)
}

/// Clean or not, for `selftest`.
pub(crate) fn is_clean(path: &Path) -> Outcome<bool> {
    Ok(trialog_inspect::verify(path)?.is_clean())
}

pub(crate) fn verdict(is_good: bool) -> String {
    if is_good { good("good") } else { bad("bad") }
}
