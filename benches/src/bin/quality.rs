//! Our samplers against Optuna's of the same name, on the same functions, budgets and seeds: `cargo xtask quality` runs
//! this with the interpreter that has Optuna. Without one, it runs ours alone.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitCode, Stdio};

use serde_json::{Value, json};
use trialog_benches::cpu_seconds;
use trialog_benches::quality::functions::{Function, GROUPS, all};
use trialog_benches::quality::run::{Done, Job, read, run};
use trialog_benches::quality::score::{Pairs, Verdict, regret, typical};

type BoxError = Box<dyn std::error::Error>;

/// A name that both sides have, and the groups that it is for.
struct Contest {
    name: &'static str,
    groups: &'static [&'static str],
}

/// Samplers, and the pruners of the group `curves`.
const CONTESTS: &[Contest] = &[
    contest("random", &["single", "many", "constrained", "mixed", "conditional", "noisy", "async", "multi"]),
    contest("qmc", &["single", "many", "async"]),
    contest("tpe", &["single", "many", "constrained", "mixed", "conditional", "noisy", "async", "multi"]),
    contest("cmaes", &["single", "many", "noisy", "async"]),
    contest("nsga2", &["constrained", "mixed", "multi"]),
    contest("nsga3", &["multi"]),
    contest("gp", &["single", "constrained", "mixed", "noisy", "async", "multi"]),
    contest("none", &["curves"]),
    contest("median", &["curves"]),
    contest("percentile", &["curves"]),
    contest("successive_halving", &["curves"]),
    contest("hyperband", &["curves"]),
    contest(AUTO, &["single", "many", "constrained", "mixed", "conditional", "noisy", "async", "multi"]),
];

/// Optuna has none of that name: ours meets the best of Optuna's that ran on the group.
const AUTO: &str = "auto";

const fn contest(name: &'static str, groups: &'static [&'static str]) -> Contest {
    Contest { name, groups }
}

/// The words of the command line.
struct Given {
    python: Option<String>,
    script: String,
    groups: Vec<String>,
    samplers: Vec<String>,
    seeds: u64,
    budget: u64,
    json: Option<String>,
}

/// The other program, which runs one job a line.
struct Peer {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

/// One line of the table.
struct Row {
    name: &'static str,
    group: &'static str,
    against: String,
    verdict: Verdict,
    /// Processor milliseconds a trial, ours and theirs.
    cost: (f64, f64),
}

/// What a side made of a group: regrets by function and seed, and its processor milliseconds a trial.
#[derive(Clone, Default)]
struct Side {
    regrets: Vec<Vec<f64>>,
    seconds: f64,
    trials: usize,
}

fn main() -> ExitCode {
    match given().and_then(|given| contests(&given)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("quality: {error}");
            ExitCode::FAILURE
        }
    }
}

fn given() -> Result<Given, BoxError> {
    let mut words = std::env::args().skip(1);
    let (groups, samplers) = (Vec::new(), Vec::new());
    let mut given =
        Given { python: None, script: String::new(), groups, samplers, seeds: 10, budget: 100, json: None };
    while let Some(option) = words.next() {
        let value = words.next().ok_or_else(|| format!("{option} needs a value"))?;
        let list = || value.split(',').map(String::from).collect();
        match option.as_str() {
            "--python" => given.python = Some(value),
            "--script" => given.script = value,
            "--group" => given.groups = list(),
            "--sampler" => given.samplers = list(),
            "--seeds" => given.seeds = value.parse::<u64>()?.max(1),
            "--budget" => given.budget = value.parse::<u64>()?.max(1),
            "--json" => given.json = Some(value),
            _ => return Err(format!("unknown option {option}").into()),
        }
    }
    known(&given.groups, &GROUPS)?;
    known(&given.samplers, &CONTESTS.iter().map(|contest| contest.name).collect::<Vec<_>>())?;
    Ok(given)
}

fn known(given: &[String], names: &[&str]) -> Result<(), BoxError> {
    match given.iter().find(|name| !names.contains(&name.as_str())) {
        Some(name) => Err(format!("{name:?} is not among {}", names.join(", ")).into()),
        None => Ok(()),
    }
}

fn contests(given: &Given) -> Result<(), BoxError> {
    let functions = all();
    let mut peer = given.python.as_ref().map(|python| Peer::start(python, &given.script)).transpose()?;
    let mut rows = Vec::new();
    let chosen = |names: &[String], name: &str| names.is_empty() || names.iter().any(|given| given == name);
    println!(
        "{} seeds, {} trials each; regret 0 is the optimum, 1 is the median random point\n",
        given.seeds, given.budget
    );
    println!("| Group | Name | Trialog | Optuna 5.0.0 | Rank | 95 % of the difference | Verdict | CPU ms/trial |");
    println!("|---|---|---|---|---|---|---|---|");
    for group in GROUPS.into_iter().filter(|group| chosen(&given.groups, group)) {
        let functions: Vec<&Function> = functions.iter().filter(|function| function.group == group).collect();
        let typicals: Vec<f64> = functions.iter().map(|function| typical(function)).collect();
        let mut theirs_of_group: BTreeMap<&str, Side> = BTreeMap::new();
        let contests = CONTESTS.iter().filter(|c| c.groups.contains(&group) && chosen(&given.samplers, c.name));
        for contest in contests {
            let (ours, theirs) = sides(given, contest.name, &functions, &typicals, peer.as_mut())?;
            if let Some(theirs) = &theirs {
                theirs_of_group.insert(contest.name, theirs.clone());
            }
            let best = theirs_of_group.iter().min_by(|a, b| a.1.mean().total_cmp(&b.1.mean()));
            let against = theirs.as_ref().map(|theirs| (contest.name, theirs));
            let against = against.or(best.map(|(name, side)| (*name, side)).filter(|_| contest.name == AUTO));
            match against {
                Some((name, theirs)) => {
                    let row = Row::new(contest.name, group, name, &functions, &ours, theirs);
                    println!("{row}");
                    rows.push(row);
                }
                None => {
                    println!("| {group} | {} | {:.4} | | | | | {:.2} |", contest.name, ours.mean(), ours.cost());
                }
            }
        }
    }
    conclude(&rows);
    if let Some(path) = &given.json {
        let rows: Vec<Value> = rows.iter().map(Row::to_json).collect();
        std::fs::write(
            path,
            format!("{:#}\n", json!({ "seeds": given.seeds, "budget": given.budget, "rows": rows })),
        )?;
        println!("written to {path}");
    }
    Ok(())
}

fn conclude(rows: &[Row]) {
    if rows.is_empty() {
        return;
    }
    let of = |word: &str| -> Vec<String> {
        let rows = rows.iter().filter(|row| row.verdict.word() == word);
        rows.map(|row| format!("{} on {}", row.name, row.group)).collect()
    };
    let (better, equal, worse) = (of("better"), of("equal"), of("worse"));
    println!("\n{} better, {} equal, {} worse", better.len(), equal.len(), worse.len());
    if !worse.is_empty() {
        println!("worse than Optuna, and not by chance: {}", worse.join(", "));
    }
}

/// All functions and seeds by one name, ours and theirs in turn.
fn sides(
    given: &Given,
    name: &str,
    functions: &[&Function],
    typicals: &[f64],
    mut peer: Option<&mut Peer>,
) -> Result<(Side, Option<Side>), BoxError> {
    let mut ours = Side::default();
    let mut theirs = peer.as_ref().filter(|_| name != AUTO).map(|_| Side::default());
    for (function, typical) in functions.iter().zip(typicals) {
        ours.regrets.push(Vec::new());
        if let Some(theirs) = &mut theirs {
            theirs.regrets.push(Vec::new());
        }
        for seed in 1..=given.seeds {
            let job = Job { function, name, seed, budget: given.budget };
            let clock = cpu_seconds();
            let trials = run(&job).map_err(|error| format!("{name} on {}: {error}", function.name))?;
            ours.add(regret(function, *typical, &trials), cpu_seconds() - clock, trials.len());
            if let (Some(theirs), Some(peer)) = (&mut theirs, peer.as_deref_mut()) {
                let (trials, seconds) =
                    peer.run(&job).map_err(|error| format!("{name} on {}: {error}", function.name))?;
                theirs.add(regret(function, *typical, &trials), seconds, trials.len());
            }
        }
    }
    Ok((ours, theirs))
}

impl Side {
    fn add(&mut self, regret: f64, seconds: f64, trials: usize) {
        self.regrets.last_mut().expect("a function has begun").push(regret);
        self.seconds += seconds;
        self.trials += trials;
    }

    fn mean(&self) -> f64 {
        let means = self.regrets.iter().map(|regrets| regrets.iter().sum::<f64>() / regrets.len() as f64);
        means.sum::<f64>() / self.regrets.len() as f64
    }

    fn cost(&self) -> f64 {
        1e3 * self.seconds / self.trials as f64
    }
}

impl Row {
    fn new(
        name: &'static str,
        group: &'static str,
        against: &str,
        functions: &[&Function],
        ours: &Side,
        theirs: &Side,
    ) -> Row {
        let sides = functions.iter().zip(ours.regrets.iter().zip(&theirs.regrets));
        let pairs: Vec<Pairs> = sides
            .map(|(function, (ours, theirs))| Pairs {
                function: function.name,
                regrets: ours.iter().copied().zip(theirs.iter().copied()).collect(),
            })
            .collect();
        if std::env::var_os("TRIALOG_QUALITY_FUNCTIONS").is_some() {
            for pair in &pairs {
                let verdict = Verdict::of(std::slice::from_ref(pair));
                println!(
                    "  {name} {}: {:.4} against {:.4}, {}",
                    pair.function,
                    verdict.ours,
                    verdict.theirs,
                    verdict.word()
                );
            }
        }
        let verdict = Verdict::of(&pairs);
        Row { name, group, against: against.to_owned(), verdict, cost: (ours.cost(), theirs.cost()) }
    }

    fn to_json(&self) -> Value {
        let Verdict { ours, theirs, rank, interval } = self.verdict;
        json!({
            "group": self.group, "name": self.name, "against": self.against, "ours": ours, "theirs": theirs, "rank": rank,
            "interval": [interval.0, interval.1], "verdict": self.verdict.word(),
            "cpu_ms_per_trial": [self.cost.0, self.cost.1],
        })
    }
}

impl std::fmt::Display for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Verdict { ours, theirs, rank, interval: (low, high) } = self.verdict;
        let against = if self.against == self.name { String::new() } else { format!(" ({})", self.against) };
        write!(f, "| {} | {} | {ours:.4} | {theirs:.4}{against} | {rank:.2} ", self.group, self.name)?;
        write!(f, "| {low:+.4} to {high:+.4} | {} | {:.2} : {:.2} |", self.verdict.word(), self.cost.0, self.cost.1)
    }
}

impl Peer {
    fn start(python: &str, script: &str) -> Result<Peer, BoxError> {
        let mut command = Command::new(python);
        // No compiled scripts beside the sources, and no threads that fight over the same cores.
        command.env("PYTHONDONTWRITEBYTECODE", "1").env("OMP_NUM_THREADS", "1").arg(script);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let input = child.stdin.take().ok_or("the other program has no input")?;
        let output = BufReader::new(child.stdout.take().ok_or("the other program has no output")?);
        Ok(Peer { child, input, output })
    }

    /// The trials of a job and the seconds that they took. The functions of both sides must agree at each of them.
    fn run(&mut self, job: &Job<'_>) -> Result<(Vec<Done>, f64), BoxError> {
        let Job { function, name, seed, budget } = job;
        let line = json!({ "function": function.to_json(), "name": name, "seed": seed, "budget": budget });
        writeln!(self.input, "{line}")?;
        let mut answer = String::new();
        self.output.read_line(&mut answer)?;
        let answer: Value = serde_json::from_str(&answer).map_err(|_| "Optuna's program has stopped")?;
        let trials = read(function, &answer["trials"]).ok_or("what Optuna's program printed are no trials")?;
        if function.noise == 0.0 && function.curve.is_none() {
            for Done { point, told } in &trials {
                let ours = (function.at)(point).values;
                let near = |(a, b): (&f64, &f64)| (a - b).abs() <= 1e-9 * (1.0 + a.abs());
                if !ours.iter().zip(told).all(near) {
                    return Err(format!("the functions differ at {point:?}: {ours:?} and {told:?}").into());
                }
            }
        }
        Ok((trials, answer["seconds"].as_f64().unwrap_or(f64::NAN)))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
