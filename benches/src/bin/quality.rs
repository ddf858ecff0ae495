//! Our samplers against Optuna's of the same name, on the same functions, budgets and seeds: `cargo xtask quality` runs
//! this with the interpreter that has Optuna. Without one, it runs ours alone.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use trialog_benches::quality::functions::{Function, GROUPS, HELD, all};
use trialog_benches::quality::peer::{Optuna, Peer};
use trialog_benches::quality::run::{Done, Job, run};
use trialog_benches::quality::score::{Pairs, Verdict, regret, typical};
use trialog_benches::thread_seconds;
use trialog_numerics::hash_bytes;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A name that both sides have, and the groups that it is for.
struct Contest {
    name: &'static str,
    groups: &'static [&'static str],
}

/// Samplers, and the pruners of the groups `curves` and `instances`.
const CONTESTS: &[Contest] = &[
    contest("random", ALL),
    contest("qmc", &["single", "many", "async", "held"]),
    contest("tpe", ALL),
    contest("cmaes", &["single", "many", "noisy", "async", "held"]),
    contest("nsga2", &["constrained", "mixed", "multi"]),
    contest("nsga3", &["multi"]),
    contest("gp", ALL),
    contest("none", &["curves", "instances"]),
    contest("median", &["curves", "instances"]),
    contest("percentile", &["curves"]),
    contest("successive_halving", &["curves"]),
    contest("hyperband", &["curves"]),
    contest("threshold", &["curves"]),
    contest("patient", &["curves"]),
    contest("wilcoxon", &["instances"]),
    contest("forest", ALL),
    contest("auto", ALL),
];

/// Optuna has none of these names: ours meet the best of Optuna's on the group, which are these where they are for it.
const OURS: [&str; 2] = ["forest", "auto"];
const RIVALS: [&str; 5] = ["tpe", "cmaes", "gp", "nsga2", "nsga3"];

/// Where parameters are sampled at all.
const ALL: &[&str] = &[
    "single",
    "many",
    "constrained",
    "mixed",
    "conditional",
    "noisy",
    "async",
    "multi",
    "held",
    "held-mixed",
    "held-conditional",
];

const fn contest(name: &'static str, groups: &'static [&'static str]) -> Contest {
    Contest { name, groups }
}

/// How often a line on standard error says how far a contest is.
const NEWS: Duration = Duration::from_secs(10);

/// The words of the command line.
struct Given {
    python: Option<String>,
    script: String,
    /// The folder of Optuna's finished jobs; none are kept or read without it.
    cache: Option<PathBuf>,
    groups: Vec<String>,
    samplers: Vec<String>,
    /// What the names that are ours alone meet.
    rivals: Vec<String>,
    seeds: u64,
    /// In rising order.
    budgets: Vec<u64>,
    options: Value,
    jobs: usize,
    json: Option<String>,
}

/// One line of the table.
struct Row {
    name: &'static str,
    group: &'static str,
    budget: u64,
    against: String,
    /// All that it could have been against, if that was the best of several, and their mean regrets.
    rivals: Vec<(&'static str, f64)>,
    verdict: Verdict,
    pairs: Vec<Pairs>,
    /// Processor milliseconds a trial, ours and theirs.
    cost: (f64, f64),
}

/// What a side made of a group.
#[derive(Clone, Default)]
struct Side {
    /// Regrets by function and seed.
    regrets: Vec<Vec<f64>>,
    /// Processor seconds a trial, the mean over the runs.
    seconds: f64,
}

/// Regrets by budget, and processor seconds a trial.
type Outcome = (Vec<f64>, f64);

/// What one study came to: which it was, and the outcomes of those who ran it.
type Studied = (usize, Option<Outcome>, Option<Outcome>);

/// Ours and theirs of one budget, if they ran.
type Sides = (Option<Side>, Option<Side>);

/// Who runs the studies of a contest.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Who {
    Both,
    Ours,
    Theirs,
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
    let mut given = Given {
        python: None,
        script: String::new(),
        cache: None,
        groups: Vec::new(),
        samplers: Vec::new(),
        rivals: RIVALS.map(String::from).to_vec(),
        seeds: 10,
        budgets: vec![100],
        options: json!({}),
        jobs: std::thread::available_parallelism().map_or(1, usize::from),
        json: None,
    };
    while let Some(option) = words.next() {
        let value = words.next().ok_or_else(|| format!("{option} needs a value"))?;
        let list = || value.split(',').map(String::from).collect();
        match option.as_str() {
            "--python" => given.python = Some(value),
            "--script" => given.script = value,
            "--cache" => given.cache = Some(PathBuf::from(value)),
            "--group" => given.groups = list(),
            "--sampler" => given.samplers = list(),
            "--rivals" => given.rivals = list(),
            "--seeds" => given.seeds = value.parse::<u64>()?.max(1),
            "--budget" => given.budgets = value.split(',').map(str::parse).collect::<Result<_, _>>()?,
            "--options" => given.options = serde_json::from_str(&value)?,
            "--jobs" => given.jobs = value.parse::<usize>()?.max(1),
            "--json" => given.json = Some(value),
            _ => return Err(format!("unknown option {option}").into()),
        }
    }
    given.budgets.sort_unstable();
    if given.budgets.first().is_none_or(|least| *least == 0) {
        return Err("a study has at least one trial".into());
    }
    known(&given.groups, &GROUPS)?;
    known(&given.samplers, &CONTESTS.iter().map(|contest| contest.name).collect::<Vec<_>>())?;
    known(&given.rivals, &RIVALS)?;
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
    let optuna = given.python.as_ref().map(|python| Optuna::new(python, &given.script, given.cache.as_deref()));
    let optuna = optuna.transpose()?;
    let version = optuna.as_ref().map_or("not run", |optuna| &optuna.version);
    let (mut rows, mut alone) = (Vec::new(), Vec::new());
    let chosen = |names: &[String], name: &str| names.is_empty() || names.iter().any(|given| given == name);
    println!("{} seeds; regret 0 is the optimum, 1 is the median random point\n", given.seeds);
    println!(
        "| Group | Trials | Name | Trialog | Optuna {version} | Rank | 95 % of the difference | Verdict | CPU ms/trial |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    let usual = |group: &str| !(given.groups.is_empty() && group.starts_with(HELD));
    for group in GROUPS.into_iter().filter(|group| usual(group) && chosen(&given.groups, group)) {
        let functions: Vec<&Function> = functions.iter().filter(|function| function.group == group).collect();
        let typicals: Vec<f64> = functions.iter().map(|function| typical(function)).collect();
        let entries: Vec<(&Function, f64)> = functions.into_iter().zip(typicals).collect();
        let mut theirs_of_group: BTreeMap<(usize, &'static str), Side> = BTreeMap::new();
        let of_group = |contest: &&Contest| contest.groups.contains(&group);
        for contest in CONTESTS.iter().filter(of_group).filter(|c| chosen(&given.samplers, c.name)) {
            let is_ours = OURS.contains(&contest.name);
            if let (true, Some(optuna)) = (is_ours, &optuna) {
                for rival in CONTESTS.iter().filter(of_group).filter(|c| given.rivals.iter().any(|r| r == c.name)) {
                    if optuna.lacks(rival.name).is_some() || theirs_of_group.contains_key(&(0, rival.name)) {
                        continue;
                    }
                    let sides = sides(given, group, rival.name, &entries, Some(optuna), Who::Theirs)?;
                    let sides = sides.into_iter().map(|(_, theirs)| theirs).enumerate();
                    theirs_of_group.extend(sides.filter_map(|(at, side)| Some(((at, rival.name), side?))));
                }
            }
            let who = if is_ours || optuna.is_none() { Who::Ours } else { Who::Both };
            let contestants = sides(given, group, contest.name, &entries, optuna.as_ref(), who)?;
            for ((at, budget), (ours, theirs)) in given.budgets.iter().enumerate().zip(contestants) {
                let ours = ours.unwrap_or_default();
                if let Some(theirs) = &theirs {
                    theirs_of_group.insert((at, contest.name), theirs.clone());
                }
                let rivals = theirs_of_group.iter().filter(|((which, name), _)| {
                    *which == at && if is_ours { RIVALS.contains(name) } else { *name == contest.name }
                });
                let rivals: Vec<(&'static str, &Side)> = rivals.map(|((_, name), side)| (*name, side)).collect();
                match rivals.iter().min_by(|a, b| a.1.mean().total_cmp(&b.1.mean())) {
                    Some((name, theirs)) => {
                        let mut row = Row::new(contest.name, group, *budget, name, &entries, &ours, theirs);
                        if is_ours {
                            row.rivals = rivals.iter().map(|(name, side)| (*name, side.mean())).collect();
                        }
                        println!("{row}");
                        rows.push(row);
                    }
                    None => {
                        let functions = entries.iter().zip(&ours.regrets);
                        let functions =
                            functions.map(|((of, _), regrets)| json!({ "function": of.name, "ours": regrets }));
                        alone.push(json!({
                            "group": group, "budget": budget, "name": contest.name,
                            "functions": functions.collect::<Vec<_>>(),
                        }));
                        let (mean, cost) = (ours.mean(), ours.cost());
                        println!("| {group} | {budget} | {} | {mean:.4} | | | | | {cost:.2} |", contest.name);
                    }
                }
            }
        }
    }
    for (name, lacks) in RIVALS.iter().filter_map(|name| Some((name, optuna.as_ref()?.lacks(name)?))) {
        if rows.iter().any(|row| !row.rivals.is_empty()) && given.rivals.iter().any(|rival| rival == name) {
            println!("\nOptuna's {name} was not among the rivals: its environment lacks {lacks}");
        }
    }
    conclude(&rows);
    if let Some(path) = &given.json {
        let rows: Vec<Value> = rows.iter().map(Row::to_json).collect();
        std::fs::write(path, format!("{:#}\n", json!({ "seeds": given.seeds, "rows": rows, "alone": alone })))?;
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
        rows.map(|row| format!("{} on {} after {}", row.name, row.group, row.budget)).collect()
    };
    let (better, equal, worse) = (of("better"), of("equal"), of("worse"));
    println!("\n{} better, {} equal, {} worse", better.len(), equal.len(), worse.len());
    for row in rows.iter().filter(|row| !row.rivals.is_empty()) {
        let rivals: Vec<String> = row.rivals.iter().map(|(name, mean)| format!("{name} {mean:.4}")).collect();
        println!(
            "{} on {} after {} met the best of Optuna's {}",
            row.name,
            row.group,
            row.budget,
            rivals.join(", ")
        );
    }
    if !worse.is_empty() {
        println!("worse than Optuna, and not by chance: {}", worse.join(", "));
    }
}

/// All functions and seeds by one name, for each budget, ours and theirs where they are asked for.
fn sides(
    given: &Given,
    group: &str,
    name: &str,
    functions: &[(&Function, f64)],
    optuna: Option<&Optuna>,
    who: Who,
) -> Result<Vec<Sides>, BoxError> {
    let optuna = optuna.filter(|_| who != Who::Ours);
    let jobs: Vec<(usize, u64)> =
        (0..functions.len()).flat_map(|function| (1..=given.seeds).map(move |seed| (function, seed))).collect();
    let (next, ended, news) = (AtomicUsize::new(0), AtomicUsize::new(0), Mutex::new(Instant::now()));
    let work = || -> Result<Vec<Studied>, BoxError> {
        let mut peer = optuna.map(Optuna::peer);
        let mut done = Vec::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some((function, seed)) = jobs.get(index) else { return Ok(done) };
            let (function, typical) = functions[*function];
            let (ours, theirs) = both(given, name, function, typical, *seed, who, peer.as_mut())
                .map_err(|error| format!("{name} on {} with seed {seed}: {error}", function.name))?;
            done.push((index, ours, theirs));
            let ended = 1 + ended.fetch_add(1, Ordering::Relaxed);
            if let Ok(mut last) = news.lock()
                && last.elapsed() >= NEWS
            {
                eprintln!("{group} {name}: {ended} of {} studies", jobs.len());
                *last = Instant::now();
            }
        }
    };
    let mut outcomes = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..given.jobs).map(|_| scope.spawn(work)).collect();
        let parts = threads.into_iter().map(|thread| thread.join().map_err(|_| "a thread has panicked")?);
        parts.collect::<Result<Vec<_>, BoxError>>().map(|parts| parts.concat())
    })?;
    outcomes.sort_by_key(|(index, _, _)| *index);
    let side = |of: &dyn Fn(&Studied) -> Option<Outcome>, at: usize| -> Option<Side> {
        let outcomes: Vec<Outcome> = outcomes.iter().map(of).collect::<Option<_>>()?;
        let regrets: Vec<f64> = outcomes.iter().map(|(regrets, _)| regrets[at]).collect();
        Some(Side {
            regrets: regrets.chunks(given.seeds as usize).map(<[f64]>::to_vec).collect(),
            seconds: outcomes.iter().map(|(_, seconds)| seconds).sum::<f64>() / outcomes.len() as f64,
        })
    };
    let of_budget =
        |at: usize| (side(&|(_, ours, _)| ours.clone(), at), side(&|(_, _, theirs)| theirs.clone(), at));
    Ok((0..given.budgets.len()).map(of_budget).collect())
}

/// The seed of a function's n-th study, for both sides: 24 bits, which Optuna's generators take. Studies of different functions
/// have different ones, or all would begin at the same places, and a group's functions would be lucky together, of which
/// an interval over the group knows nothing.
fn seed_of(function: &Function, n: u64) -> u64 {
    hash_bytes(format!("{} {n}", function.name).as_bytes()) >> 40
}

/// One function with one seed, ours and theirs. Samplers do not know how long a study will be, so that the longest has the
/// others in it; pruners have budgets of steps, so that there each is run.
fn both(
    given: &Given,
    name: &str,
    function: &Function,
    typical: f64,
    seed: u64,
    who: Who,
    mut peer: Option<&mut Peer<'_>>,
) -> Result<(Option<Outcome>, Option<Outcome>), BoxError> {
    let mut ours = (who != Who::Theirs).then(Outcome::default);
    let mut theirs = peer.as_ref().map(|_| Outcome::default());
    let longest = given.budgets.last().copied().unwrap_or(1);
    let to_run = if function.curve.is_some() { given.budgets.clone() } else { vec![longest] };
    for budget in to_run {
        let job = Job { function, name, seed: seed_of(function, seed), budget, options: &given.options };
        let add = |outcome: &mut Outcome, mut trials: Vec<Done>, seconds: f64| {
            let mut regrets = vec![regret(function, typical, &trials)];
            if function.curve.is_none() {
                // From the longest to the shortest, without copies.
                for shorter in given.budgets.iter().rev().skip(1) {
                    trials.retain(|trial| trial.number < *shorter);
                    regrets.push(regret(function, typical, &trials));
                }
                regrets.reverse();
            }
            outcome.0.extend(regrets);
            outcome.1 = seconds;
        };
        if let Some(ours) = &mut ours {
            let clock = thread_seconds();
            let trials = run(&job)?;
            let seconds = (thread_seconds() - clock) / trials.len() as f64;
            add(ours, trials, seconds);
        }
        if let (Some(theirs), Some(peer)) = (&mut theirs, peer.as_deref_mut()) {
            let (trials, seconds) = peer.run(&job)?;
            add(theirs, trials, seconds);
        }
    }
    Ok((ours, theirs))
}

impl Side {
    fn mean(&self) -> f64 {
        let means = self.regrets.iter().map(|regrets| regrets.iter().sum::<f64>() / regrets.len() as f64);
        means.sum::<f64>() / self.regrets.len() as f64
    }

    fn cost(&self) -> f64 {
        1e3 * self.seconds
    }
}

impl Row {
    fn new(
        name: &'static str,
        group: &'static str,
        budget: u64,
        against: &str,
        functions: &[(&Function, f64)],
        ours: &Side,
        theirs: &Side,
    ) -> Row {
        let sides = functions.iter().zip(ours.regrets.iter().zip(&theirs.regrets));
        let pairs: Vec<Pairs> = sides
            .map(|((function, _), (ours, theirs))| Pairs {
                function: function.name,
                regrets: ours.iter().copied().zip(theirs.iter().copied()).collect(),
            })
            .collect();
        let (verdict, cost) = (Verdict::of(&pairs), (ours.cost(), theirs.cost()));
        Row { name, group, budget, against: against.to_owned(), rivals: Vec::new(), verdict, pairs, cost }
    }

    fn to_json(&self) -> Value {
        let Verdict { ours, theirs, rank, interval } = self.verdict;
        let functions = self.pairs.iter().map(|pairs| {
            let alone = Verdict::of(std::slice::from_ref(pairs));
            json!({
                "function": pairs.function, "ours": alone.ours, "theirs": alone.theirs, "verdict": alone.word(),
                "interval": [alone.interval.0, alone.interval.1], "regrets": pairs.regrets,
            })
        });
        json!({
            "group": self.group, "budget": self.budget, "name": self.name, "against": self.against, "ours": ours,
            "theirs": theirs, "rank": rank, "interval": [interval.0, interval.1], "verdict": self.verdict.word(),
            "rivals": self.rivals.iter().map(|(name, mean)| json!([name, mean])).collect::<Vec<_>>(),
            "cpu_ms_per_trial": [self.cost.0, self.cost.1], "functions": functions.collect::<Vec<_>>(),
        })
    }
}

impl std::fmt::Display for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Verdict { ours, theirs, rank, interval: (low, high) } = self.verdict;
        let against = if self.against == self.name { String::new() } else { format!(" ({})", self.against) };
        write!(f, "| {} | {} | {} | {ours:.4} ", self.group, self.budget, self.name)?;
        write!(f, "| {theirs:.4}{against} | {rank:.2} ")?;
        write!(f, "| {low:+.4} to {high:+.4} | {} | {:.2} : {:.2} |", self.verdict.word(), self.cost.0, self.cost.1)
    }
}
