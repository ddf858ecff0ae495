//! All tests: the workspace's own with its doc tests, the examples, and a smoke test of the comparison.

use std::path::Path;

use crate::compare;
use crate::needs;
use crate::shell::{self, Outcome, Steps};

/// What is run just to see it end well, in an empty folder: the words after `cargo run`. What is there twice finds
/// what it left the first time.
const SMOKE: &[&[&str]] = &[DIGITS, DIGITS, &["--package", "trialog-examples", "--example", "own_sampler"]];

/// All features but those for buckets, which bring an encryption library that is long in building and are tested by stores in
/// memory; the long run checks them too.
pub(crate) const FEATURES: &str = "trialog/redis-tls,trialog/redb,trialog/slot,trialog/parquet,trialog/sqlite,\
                                   trialog-tests/parquet,trialog-tests/redb,trialog-tests/redis,trialog-tests/sqlite,\
                                   trialog-journal/conformance,trialog-journal-redis/tls,trialog-transfer/sqlite";

const DIGITS: &[&str] = &["--package", "trialog-examples", "--example", "digits", "--", "--trials", "6"];

/// For how many seconds tests kill processes, and how many that is if there is time; they know themselves what is short.
const KILL_SECONDS: &str = "TRIALOG_KILL_SECONDS";
const KILL_SECONDS_LONG: &str = "300";

/// Set-up and tests, as a command of its own.
pub(crate) fn run() -> Outcome {
    let root = shell::root()?;
    let mut steps = Steps::new();
    add_to(&mut steps, &root, false);
    steps.finish("test")
}

/// Set-up and tests, as steps of a longer run. Where a test says so, `long` has it go on for minutes.
pub(crate) fn add_to(steps: &mut Steps, root: &Path, long: bool) {
    steps.run("programs for the tests", || needs::ensure("redis").map(drop));
    steps.run("smoke test of the comparison", || compare::smoke(root));
    steps.run("what the tests need", || set_up(root));
    let mut counts = Counts::default();
    steps.run("cargo test", || {
        let mut test = shell::cargo(root);
        test.args(["test", "--workspace", "--features", FEATURES, "--no-fail-fast"]);
        if long {
            test.env(KILL_SECONDS, KILL_SECONDS_LONG);
        }
        let outcome = shell::tee(&mut test, |line| counts.add(line));
        counts.judge(outcome)
    });
    steps.run("examples", || smoke(root));
    steps.sum_up(&format!("tests: {} passed, {} failed, {} ignored", counts.passed, counts.failed, counts.ignored));
}

/// Puts there what tests ask for by its place.
fn set_up(root: &Path) -> Outcome {
    let target = shell::target(root)?;
    for purpose in ["optuna-5", "optuna-4"] {
        needs::ensure_python(purpose, &target)?;
    }
    Ok(())
}

/// Runs what is to be run once, each in the same folder that nothing else uses.
fn smoke(root: &Path) -> Outcome {
    let folder = shell::target(root)?.join("smoke");
    let unusable = |error| format!("cannot use {}: {error}", folder.display());
    if folder.exists() {
        std::fs::remove_dir_all(&folder).map_err(unusable)?;
    }
    std::fs::create_dir_all(&folder).map_err(unusable)?;
    let manifest = root.join("Cargo.toml");
    for words in SMOKE {
        let mut run = shell::cargo(&folder);
        shell::run(run.args(["run", "--quiet", "--manifest-path"]).arg(&manifest).args(*words))?;
    }
    Ok(())
}

/// The sums over all test binaries.
#[derive(Default)]
struct Counts {
    passed: usize,
    failed: usize,
    ignored: usize,
    /// The names of those that failed, which stand far apart in what cargo prints.
    failures: Vec<String>,
}

impl Counts {
    /// Takes in one line of what `cargo test` prints; most lines are not about sums.
    fn add(&mut self, line: &str) {
        if let Some(name) = line.strip_prefix("test ").and_then(|rest| rest.strip_suffix(" ... FAILED")) {
            self.failures.push(name.to_string());
        }
        let Some(sums) = line.strip_prefix("test result: ") else { return };
        let words: Vec<&str> = sums.split([' ', ';']).collect();
        for pair in words.windows(2) {
            let Ok(count) = pair[0].parse::<usize>() else { continue };
            match pair[1] {
                "passed" => self.passed += count,
                "failed" => self.failed += count,
                "ignored" => self.ignored += count,
                _ => {}
            }
        }
    }

    /// What cargo's own end means, seen together with the counts.
    fn judge(&self, outcome: Outcome) -> Outcome {
        match outcome {
            Err(problem) if self.failures.is_empty() => Err(problem),
            Err(_) => Err(self.failures.join(", ")),
            Ok(()) if self.passed == 0 => Err("not one test ran".to_string()),
            Ok(()) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_add_up_over_binaries() {
        let mut counts = Counts::default();
        for line in [
            "running 3 tests",
            "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s",
            "test result: FAILED. 10 passed; 2 failed; 0 ignored; 0 measured; 7 filtered out; finished in 1.20s",
        ] {
            counts.add(line);
        }
        assert_eq!((counts.passed, counts.failed, counts.ignored), (13, 2, 1));
    }

    #[test]
    fn a_run_without_tests_is_no_success() {
        assert!(Counts::default().judge(Ok(())).is_err());
    }

    #[test]
    fn failed_tests_are_named() {
        let mut counts = Counts::default();
        counts.add("test codec::tests::torn ... FAILED");
        counts.add("test codec::tests::whole ... ok");
        assert_eq!(counts.judge(Err("cargo failed".into())), Err("codec::tests::torn".to_string()));
    }
}
