//! Fuzzing: builds the targets of `fuzz/` with the stable compiler and nothing but a C++ compiler beside it, runs
//! them, and says how to replay what they find. The canaries run first: a fuzzer that misses those finds nothing.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use crate::needs;
use crate::shell::{self, Outcome};

/// How long each target runs when nobody says, and in CI.
const SECONDS_SHORT: u32 = 8;
const SECONDS_LONG: u32 = 3600;
/// How long a canary may live.
const SECONDS_CANARY: u32 = 60;

/// An input that takes longer hangs.
const SECONDS_HANG: u32 = 20;
/// The longest input that the fuzzer makes. Longer ones only make it slower.
const INPUT_BYTES_MAX: u32 = 16 << 10;
/// What a whole process may take; what one input may take is for the targets to say.
const MEMORY_MB_MAX: u32 = 1024;

/// What makes the compiler count branches and show comparisons, in the words of `cargo fuzz`.
const FLAGS: &[&str] = &[
    "--cfg fuzzing",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
];

/// Targets that must fail.
const CANARY: &str = "canary-";

/// Every target for a few seconds.
pub(crate) fn short() -> Outcome {
    run(None, None, false)
}

/// All targets or one, for so many seconds each, or an hour.
pub(crate) fn run(only: Option<&str>, seconds: Option<&str>, long: bool) -> Outcome {
    let seconds = match seconds {
        Some(text) => text.parse().map_err(|_| format!("{text:?} is no number of seconds"))?,
        None if long => SECONDS_LONG,
        None => SECONDS_SHORT,
    };
    let fuzzer = Fuzzer::build()?;
    let targets = fuzzer.choose(only)?;
    let (canaries, targets): (Vec<_>, Vec<_>) = targets.into_iter().partition(|name| name.starts_with(CANARY));
    at_once(&canaries, |name| fuzzer.hunt_canary(name))?;
    at_once(&targets, |name| fuzzer.hunt(name, seconds))
}

/// Runs one input once.
pub(crate) fn replay(target: Option<&str>, input: &str) -> Outcome {
    let target = target.ok_or("which target is the input for?")?;
    // The name may be relative to where we are, and not to where the program runs.
    let input = std::path::absolute(input).map_err(|error| format!("cannot find {input}: {error}"))?;
    let fuzzer = Fuzzer::build()?;
    fuzzer.choose(Some(target))?;
    let mut program = Command::new(fuzzer.programs.join(target));
    shell::run(program.arg(format!("-timeout={SECONDS_HANG}")).arg(input))
}

/// The programs, once they are built.
struct Fuzzer {
    /// The folder `fuzz/`.
    home: PathBuf,
    /// Where the programs are.
    programs: PathBuf,
    /// What may be thrown away.
    scratch: PathBuf,
    targets: Vec<String>,
}

impl Fuzzer {
    fn build() -> Outcome<Fuzzer> {
        needs::ensure("fuzz")?;
        let root = shell::root()?;
        let home = root.join("fuzz");
        let scratch = shell::target(&root)?.join("fuzz");
        // With a target named, the flags are for that target only and not for what runs while building.
        let host = host()?;
        let mut build = shell::cargo(&home);
        build.env_remove("CARGO_ENCODED_RUSTFLAGS").env("RUSTFLAGS", FLAGS.join(" "));
        build.args(["build", "--locked", "--quiet", "--release", "--bins", "--target", &host, "--target-dir"]);
        shell::run(build.arg(&scratch))?;
        let programs = scratch.join(host).join("release");
        let targets = targets(&home)?;
        Ok(Fuzzer { home, programs, scratch, targets })
    }

    /// The targets to run: one, or all.
    fn choose(&self, only: Option<&str>) -> Outcome<Vec<&str>> {
        let all = self.targets.iter().map(String::as_str);
        let chosen: Vec<&str> = all.filter(|name| only.is_none_or(|only| only == *name)).collect();
        if chosen.is_empty() {
            let only = only.unwrap_or_default();
            return Err(format!("there is no target {only:?}, but {}", self.targets.join(", ")));
        }
        Ok(chosen)
    }

    /// Runs a target on its seeds and what it found in earlier runs, and then on what it makes of them.
    fn hunt(&self, target: &str, seconds: u32) -> Outcome {
        let corpus = fresh(self.home.join("corpus").join(target), false)?;
        let finds = fresh(self.home.join("artifacts").join(target), false)?;
        let seeds = self.home.join("seeds").join(target);
        let mut program = self.program(target, seconds, &finds);
        let (ended_well, said) = listen(program.arg(corpus).arg(seeds))?;
        if ended_well {
            println!("    {target}: {} inputs in {seconds} s, nothing found", counted(&said));
            return Ok(());
        }
        let last: Vec<&str> = said.lines().rev().take(60).collect();
        last.iter().rev().for_each(|line| println!("    {target} | {line}"));
        Err(advice(target, find(&said)))
    }

    /// Runs a canary from nothing. It has to die.
    fn hunt_canary(&self, target: &str) -> Outcome {
        let corpus = fresh(self.scratch.join("corpus").join(target), true)?;
        let finds = fresh(self.scratch.join("artifacts").join(target), true)?;
        let mut program = self.program(target, SECONDS_CANARY, &finds);
        let (ended_well, said) = listen(program.arg(corpus))?;
        if ended_well || find(&said).is_none() || !said.contains("panicked at src") {
            return Err(format!(
                "{target} lives after {} inputs: the fuzzer finds nothing\n{said}",
                counted(&said)
            ));
        }
        println!("    {target}: dead, as it has to be");
        Ok(())
    }

    fn program(&self, target: &str, seconds: u32, finds: &Path) -> Command {
        let mut program = Command::new(self.programs.join(target));
        // An empty folder: the target for storage names opens files that it makes up the names of.
        program.current_dir(&self.scratch);
        program.args(["-print_final_stats=1", "-verbosity=1"]).args([
            format!("-max_total_time={seconds}"),
            format!("-timeout={SECONDS_HANG}"),
            format!("-max_len={INPUT_BYTES_MAX}"),
            format!("-rss_limit_mb={MEMORY_MB_MAX}"),
            format!("-artifact_prefix={}/", finds.display()),
        ]);
        program
    }
}

/// Runs the work of all targets, as many at once as there are processors. All of it is done, whatever fails.
fn at_once(targets: &[&str], work: impl Fn(&str) -> Outcome + Sync) -> Outcome {
    let queue = Mutex::new(targets.iter());
    let problems = Mutex::new(Vec::new());
    let lock = "no work panics";
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let next = queue.lock().expect(lock).next();
                    let Some(target) = next else { break };
                    if let Err(problem) = work(target) {
                        problems.lock().expect(lock).push(problem);
                    }
                }
            });
        }
    });
    let problems = problems.into_inner().expect(lock);
    if problems.is_empty() { Ok(()) } else { Err(problems.join("\n")) }
}

/// The triple that the compiler builds for by itself.
fn host() -> Outcome<String> {
    let compiler = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let printed = shell::capture(Command::new(compiler).arg("-vV"))?;
    let host = printed.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(String::from).ok_or_else(|| "rustc does not name its host".to_string())
}

/// The programs that the fuzzing workspace names.
fn targets(home: &Path) -> Outcome<Vec<String>> {
    let metadata = shell::metadata(home, &["--no-deps"])?;
    let packages = metadata["packages"].as_array().into_iter().flatten();
    let targets = packages.flat_map(|package| package["targets"].as_array().into_iter().flatten());
    let programs = targets.filter(|target| target["kind"][0] == "bin");
    Ok(programs.filter_map(|target| target["name"].as_str().map(String::from)).collect())
}

/// A folder that is there, and empty if it is to be.
fn fresh(folder: PathBuf, empty: bool) -> Outcome<PathBuf> {
    let unusable = |error| format!("cannot use {}: {error}", folder.display());
    if empty && folder.exists() {
        std::fs::remove_dir_all(&folder).map_err(unusable)?;
    }
    std::fs::create_dir_all(&folder).map_err(unusable)?;
    Ok(folder)
}

/// Runs a program and returns whether it ended well and what it said.
fn listen(program: &mut Command) -> Outcome<(bool, String)> {
    let output = program.output().map_err(|error| format!("cannot start a fuzz target: {error}"))?;
    Ok((output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned()))
}

/// How many inputs a target ran.
fn counted(said: &str) -> &str {
    let line = said.lines().find_map(|line| line.strip_prefix("stat::number_of_executed_units:"));
    line.map_or("an unknown number of", str::trim)
}

/// The file that a target left of the input that it fell over.
fn find(said: &str) -> Option<&str> {
    said.lines().find_map(|line| line.split_once("Test unit written to ")).map(|(_, path)| path.trim())
}

/// What to do about a find.
fn advice(target: &str, input: Option<&str>) -> String {
    match input {
        None => format!("{target} failed and left no input; its last words are above"),
        Some(input) => format!(
            "{target} fell over {input}\n  replay it:  cargo xtask fuzz {target} --replay {input}\n  keep it:    move \
             it to fuzz/seeds/{target}/found-<what> once it is mended, and add a test to the crate that was wrong"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &str = "#123 pulse\nthread '<unnamed>' panicked at src/x.rs\nartifact_prefix='a/'; Test unit written \
                        to a/crash-1\nstat::number_of_executed_units: 123\n";

    #[test]
    fn what_a_target_says_is_understood() {
        assert_eq!(counted(SAID), "123");
        assert_eq!(find(SAID), Some("a/crash-1"));
        assert!(advice("frame", find(SAID)).contains("cargo xtask fuzz frame --replay a/crash-1"));
        assert_eq!((counted(""), find("")), ("an unknown number of", None));
    }

    #[test]
    fn everything_is_done_and_each_problem_is_told() {
        let done = Mutex::new(Vec::new());
        let outcome = at_once(&["a", "b", "c"], |name| {
            done.lock().unwrap().push(name.to_string());
            if name == "c" { Ok(()) } else { Err(format!("{name} is broken")) }
        });
        let problem = outcome.unwrap_err();
        assert!(problem.contains("a is broken") && problem.contains("b is broken"), "{problem}");
        assert_eq!(done.into_inner().unwrap().len(), 3);
    }

    /// A target without seeds starts from nothing each time, and one that the list does not have never runs.
    #[test]
    fn every_target_has_its_source_and_its_seeds() {
        let home = shell::root().unwrap().join("fuzz");
        let targets = targets(&home).unwrap();
        assert!(targets.iter().any(|name| name.starts_with(CANARY)), "no canary among {targets:?}");
        for name in &targets {
            let seeds = std::fs::read_dir(home.join("seeds").join(name)).map_or(0, Iterator::count);
            assert!(seeds > 0 || name.starts_with(CANARY), "{name} has no seeds");
        }
        let sources = std::fs::read_dir(home.join("fuzz_targets")).unwrap();
        assert_eq!(sources.count(), targets.len());
    }
}
