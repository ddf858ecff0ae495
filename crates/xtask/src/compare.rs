//! The same work through Trialog and through the libraries people use today, in one run. Each measurement is a
//! program of its own that prints a figure; this module runs them in turn and sets the figures side by side. What
//! the measurements mean stands in `benches/peers/README.md`.

mod floor;
mod report;

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::needs;
use crate::shell::{self, Outcome};
use report::{Row, best, write_json};

/// Which way a figure is good.
#[derive(Clone, Copy, PartialEq)]
enum Better {
    Higher,
    Lower,
}

/// Where the files of a measurement lie.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    Disk,
    Ram,
}

/// One measurement: its name is the first word that the measuring programs take.
struct Measure {
    name: &'static str,
    better: Better,
    place: Place,
    /// How much work: trials to run, or trials that are there already.
    n: u32,
    /// The same for the peers, where they would take minutes. A figure that depends on it, they scale.
    n_peers: u32,
    repetitions: u32,
    /// Who else can do it, by the first word of the peer's program; all of them if there is none.
    peers: &'static [&'static str],
    /// Optuna needs PyTorch for it, which takes gigabytes: measured only where it is named.
    torch: bool,
    /// What we mean to stay below, where that says more than what others take.
    bound: Option<f64>,
}

/// Enough to see that everything runs.
const N_QUICK: u32 = 32;

/// The disk measurement against which a bare write-and-sync loop is held.
const ON_DISK: &str = "file-random-disk";

/// The measurement in a redb file, against which our own file journal does the same.
const IN_REDB: &str = "redb-random-disk";

const MEASURES: &[Measure] = &[
    measure(ON_DISK, Better::Higher, Place::Disk, 500, 5),
    measure("file-random-ram", Better::Higher, Place::Ram, 2_000, 5),
    Measure { n_peers: 320, ..measure("file-random-16-processes", Better::Higher, Place::Disk, 1_600, 3) },
    measure("memory-random", Better::Higher, Place::Disk, 5_000, 5),
    measure("tpe-ask-1k", Better::Lower, Place::Disk, 1_000, 5),
    measure("tpe-ask-10k", Better::Lower, Place::Disk, 10_000, 3),
    bounded("tpe-ask-100k", 100_000, 100.0),
    bounded("tpe-ask-own-history", 10_000, 100.0),
    bounded("tpe-ask-dense-2", 10_000, 200.0),
    bounded("tpe-ask-dense-3", 10_000, 200.0),
    bounded("tpe-univariate-ask", 1_000, 150.0),
    bounded("tpe-univariate-ask-100k", 100_000, 150.0),
    bounded("random-suggestion", 100_000, 2.0),
    bounded("sobol-suggestion", 100_000, 2.0),
    bounded("cmaes-suggestion", 10_000, 20.0),
    bounded("nsga2-trial", 100_000, 100.0),
    bounded("gp-first-ask-1k", 1_000, 300_000.0),
    bounded("pruner-decisions", 100_000, 20.0),
    Measure { peers: &["optuna"], torch: true, ..measure("gp-ask-100", Better::Lower, Place::Disk, 100, 3) },
    Measure { peers: &["optuna"], torch: true, ..measure("gp-first-ask-100", Better::Lower, Place::Disk, 100, 3) },
    Measure { n_peers: 20_000, ..measure("replay-1m", Better::Lower, Place::Ram, 1_000_000, 3) },
    measure("open-50k", Better::Lower, Place::Ram, 50_000, 3),
    measure("optuna-random-disk", Better::Higher, Place::Disk, 500, 5),
    measure("optuna-open-50k", Better::Lower, Place::Ram, 50_000, 3),
    Measure { n_peers: 200, peers: &["optuna"], ..measure("redis-random", Better::Higher, Place::Ram, 5_000, 3) },
    Measure {
        n_peers: 2_000,
        peers: &["optuna"],
        ..measure("redis-open-100k", Better::Lower, Place::Ram, 100_000, 1)
    },
    Measure { peers: &["ours"], ..measure(IN_REDB, Better::Higher, Place::Disk, 500, 5) },
    measure("bytes-per-trial", Better::Lower, Place::Ram, 1_000, 1),
    measure("best-trial-10k", Better::Lower, Place::Disk, 10_000, 3),
    measure("ask-with-dead-worker-10k", Better::Lower, Place::Disk, 10_000, 3),
];

const fn measure(name: &'static str, better: Better, place: Place, n: u32, repetitions: u32) -> Measure {
    Measure { name, better, place, n, n_peers: n, repetitions, peers: &[], torch: false, bound: None }
}

/// A time in microseconds beside `n` trials, taken alone.
const fn bounded(name: &'static str, n: u32, micros: f64) -> Measure {
    Measure { peers: &["nobody"], bound: Some(micros), ..measure(name, Better::Lower, Place::Ram, n, 3) }
}

impl Measure {
    fn is_for(&self, contestant: &Contestant) -> bool {
        let word = contestant.words.last().and_then(|word| word.to_str());
        self.peers.is_empty() || word.is_none_or(|word| self.peers.contains(&word))
    }
}

/// Someone who can be measured: a program and its first words.
struct Contestant {
    name: &'static str,
    program: PathBuf,
    words: Vec<PathBuf>,
}

/// What one run of one measurement said.
struct Figure {
    unit: String,
    value: f64,
    note: Option<String>,
}

/// The command: measures, prints the table, and writes the rows where asked.
pub(crate) fn run(quick: bool, only: Option<&str>, json: Option<&str>) -> Outcome {
    let root = shell::root()?;
    let workshop = Workshop::open(&root)?;
    let chosen: Vec<&Measure> =
        MEASURES.iter().filter(|measure| only.map_or(!measure.torch, |name| name == measure.name)).collect();
    if chosen.is_empty() {
        let names: Vec<&str> = MEASURES.iter().map(|measure| measure.name).collect();
        return Err(format!("no such measurement; there are {}", names.join(", ")));
    }
    let torch = chosen.iter().any(|measure| measure.torch);
    let peers = workshop.peers(if torch { "quality-gp" } else { "peers" })?;
    let ours = workshop.ours("release")?;
    let mut rows = Vec::new();
    for measure in chosen {
        rows.extend(compare(measure, &ours, &peers, &workshop, quick)?);
    }
    report::print(&rows);
    if quick {
        println!("(quick: sizes are too small for the figures to mean anything)");
    }
    if let Some(path) = json {
        write_json(Path::new(path), &rows)?;
        println!("written to {path}");
    }
    Ok(())
}

/// Every measurement once, as small as it gets: for seeing that scripts and programs still run.
pub(crate) fn smoke(root: &Path) -> Outcome {
    let workshop = Workshop::open(root)?;
    let mut contestants = workshop.peers("peers")?;
    contestants.push(workshop.ours("dev")?);
    for measure in MEASURES {
        let can = |contestant: &&Contestant| {
            measure.is_for(contestant) && (!measure.torch || contestant.words.is_empty())
        };
        for contestant in contestants.iter().filter(can) {
            let figure = workshop.ask(contestant, measure, N_QUICK)?;
            if !(figure.value.is_finite() && figure.value > 0.0) {
                return Err(format!("{} of {} is {}", measure.name, contestant.name, figure.value));
            }
        }
    }
    let names: Vec<&str> = contestants.iter().map(|contestant| contestant.name).collect();
    println!("    {} measurements of {}", MEASURES.len(), names.join(", "));
    Ok(())
}

/// All repetitions of one measurement, the contestants taking turns so that a busy spell of the machine hits all.
fn compare(
    measure: &Measure,
    ours: &Contestant,
    peers: &[Contestant],
    workshop: &Workshop,
    quick: bool,
) -> Outcome<Vec<Row>> {
    let (n, n_peers) = if quick { (N_QUICK, N_QUICK) } else { (measure.n, measure.n_peers) };
    let repetitions = if quick { 1 } else { measure.repetitions };
    let peers: Vec<&Contestant> = peers.iter().filter(|peer| measure.is_for(peer)).collect();
    let mut files = Vec::new();
    let mut our_figures = Vec::new();
    let mut peer_figures: Vec<Vec<Figure>> = peers.iter().map(|_| Vec::new()).collect();
    let mut floors = Vec::new();
    for repetition in 1..=repetitions {
        println!("{}: {repetition} of {repetitions}", measure.name);
        our_figures.push(workshop.ask(ours, measure, n)?);
        for (peer, figures) in peers.iter().zip(&mut peer_figures) {
            figures.push(workshop.ask(peer, measure, n_peers)?);
        }
        if measure.name == IN_REDB {
            let file = MEASURES.iter().find(|other| other.name == ON_DISK);
            files.push(workshop.ask(ours, file.expect("it is in the table"), n)?);
        }
        if measure.name == ON_DISK {
            floors.push(Figure::floor(floor::syncs_per_second(&workshop.disk, n)?));
        }
    }
    let figure = best(&our_figures, measure.better)?;
    let mut rows = Vec::new();
    for (peer, figures) in peers.iter().zip(&peer_figures) {
        let mut row = Row::new(measure.name, figure, peer.name, best(figures, measure.better)?, measure.better)?;
        if n != n_peers && row.note.is_none() {
            row.note = Some(format!("ours at {n} trials, theirs at {n_peers}"));
        }
        rows.push(row);
    }
    if !files.is_empty() {
        let file = best(&files, Better::Higher)?;
        rows.push(Row::new(measure.name, figure, "our file journal", file, Better::Higher)?);
    }
    if let Some(bound) = measure.bound {
        let bound = Figure { unit: figure.unit.clone(), value: bound, note: None };
        rows.push(Row::new(measure.name, figure, "what it may take", &bound, measure.better)?);
    }
    if !floors.is_empty() {
        let floor = best(&floors, Better::Higher)?;
        rows.push(Row::new("fsync-floor", figure, "bare fdatasync loop", floor, Better::Higher)?);
    }
    Ok(rows)
}

impl Figure {
    fn floor(value: f64) -> Figure {
        let note = "one sync a trial is the floor; 0.7 of it and more is good".to_string();
        Figure { unit: "trials/s".into(), value, note: Some(note) }
    }
}

/// The folders and programs that measuring takes.
struct Workshop {
    root: PathBuf,
    target: PathBuf,
    disk: PathBuf,
    ram: PathBuf,
}

impl Workshop {
    fn open(root: &Path) -> Outcome<Workshop> {
        let target = shell::target(root)?;
        let disk = target.join("bench-data");
        // Where there is no RAM disk, the figures of both places are those of the disk.
        let shm = Path::new("/dev/shm");
        let ram =
            if shm.is_dir() { shm.join(format!("trialog-bench-{}", std::process::id())) } else { disk.clone() };
        Ok(Workshop { root: root.to_path_buf(), target, disk, ram })
    }

    /// The peers in the Python environment of that name.
    fn peers(&self, environment: &str) -> Outcome<Vec<Contestant>> {
        let python = needs::ensure_python(environment, &self.target)?;
        let script = self.root.join("benches").join("peers").join("measure.py");
        let peer = |name, word| Contestant { name, program: python.clone(), words: vec![script.clone(), word] };
        Ok(vec![peer("Rustuna 0.2.0", "rustuna".into()), peer("Optuna 5.0.0", "optuna".into())])
    }

    /// Our own measuring program, built.
    fn ours(&self, profile: &str) -> Outcome<Contestant> {
        let build = ["build", "--package", "trialog-benches", "--bin", "measure", "--profile", profile];
        shell::run(shell::cargo(&self.root).args(build))?;
        let folder = if profile == "dev" { "debug" } else { profile };
        let program = self.target.join(folder).join("measure");
        Ok(Contestant { name: "Trialog", program, words: Vec::new() })
    }

    /// Runs one measurement in an empty folder of its own.
    fn ask(&self, contestant: &Contestant, measure: &Measure, n: u32) -> Outcome<Figure> {
        let place = if measure.place == Place::Ram { &self.ram } else { &self.disk };
        let folder = place.join(format!("{}-{}", measure.name, std::process::id()));
        std::fs::create_dir_all(&folder).map_err(|error| format!("cannot create {}: {error}", folder.display()))?;
        let mut command = Command::new(&contestant.program);
        // No compiled scripts beside the sources.
        command.env("PYTHONDONTWRITEBYTECODE", "1");
        if measure.torch {
            // What Optuna's documentation advises: its thread pools fight over the same cores.
            command.env("OMP_NUM_THREADS", "1");
        }
        command.args(&contestant.words).arg(measure.name).args(["--n", &n.to_string(), "--dir"]).arg(&folder);
        let printed = shell::capture(&mut command);
        std::fs::remove_dir_all(&folder).map_err(|error| format!("cannot remove {}: {error}", folder.display()))?;
        figure(measure.name, &printed?)
            .map_err(|problem| format!("{} of {}: {problem}", measure.name, contestant.name))
    }
}

impl Drop for Workshop {
    fn drop(&mut self) {
        // Only the emptied folder on the RAM disk: it would outlive `cargo clean`.
        let _ = std::fs::remove_dir(&self.ram);
    }
}

/// The figure of that name among the JSON lines that a measuring program printed.
fn figure(name: &str, printed: &str) -> Outcome<Figure> {
    let lines = printed.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let line = lines.into_iter().find(|line| line["name"] == name);
    let line = line.ok_or_else(|| format!("no figure in {printed:?}"))?;
    let value = line["value"].as_f64().ok_or_else(|| format!("no number in {line}"))?;
    let unit = line["unit"].as_str().ok_or_else(|| format!("no unit in {line}"))?;
    Ok(Figure { unit: unit.to_string(), value, note: line["note"].as_str().map(String::from) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_read_by_name() {
        let printed = "warming up\n{\"name\":\"a\",\"unit\":\"us\",\"value\":1.5}\n{\"name\":\"b\",\"unit\":\"s\",\"value\":2,\"note\":\"n\"}\n";
        let b = figure("b", printed).unwrap();
        assert_eq!((b.unit.as_str(), b.value, b.note.as_deref()), ("s", 2.0, Some("n")));
        assert!(figure("c", printed).is_err());
        assert!(figure("a", "{\"name\":\"a\",\"unit\":\"us\",\"value\":null}").is_err());
    }

    #[test]
    fn measurement_names_are_unique() {
        for (index, one) in MEASURES.iter().enumerate() {
            assert!(MEASURES.iter().skip(index + 1).all(|other| other.name != one.name), "{}", one.name);
        }
    }
}
