//! Running other programs, and telling what ran and for how long. Nothing here knows what the programs are for.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use serde_json::Value;

/// What a chore comes to: nothing, or a sentence for the person who started it.
pub(crate) type Outcome<T = ()> = Result<T, String>;

/// The steps of one command. Each is announced and timed; a failed one does not stop the next, so that one run shows
/// everything there is to mend.
pub(crate) struct Steps {
    started: Instant,
    done: usize,
    failed: Vec<String>,
    sums: String,
}

impl Steps {
    pub(crate) fn new() -> Steps {
        Steps { started: Instant::now(), done: 0, failed: Vec::new(), sums: String::new() }
    }

    /// Runs one step and returns what it yields, if it went well.
    pub(crate) fn run<T>(&mut self, name: &str, step: impl FnOnce() -> Outcome<T>) -> Option<T> {
        println!("\n==> {name}");
        let started = Instant::now();
        let outcome = step();
        let seconds = started.elapsed().as_secs_f64();
        self.done += 1;
        match outcome {
            Ok(value) => {
                println!("    {name}: ok, {seconds:.1} s");
                Some(value)
            }
            Err(problem) => {
                println!("    {name}: FAILED after {seconds:.1} s: {problem}");
                self.failed.push(name.to_string());
                None
            }
        }
    }

    /// Adds a sum that belongs into the line at the end.
    pub(crate) fn sum_up(&mut self, sums: &str) {
        self.sums += &format!("; {sums}");
    }

    /// The one line at the end.
    pub(crate) fn finish(self, command: &str) -> Outcome {
        let Steps { started, done, failed, sums } = self;
        let seconds = started.elapsed().as_secs_f64();
        if failed.is_empty() {
            println!("\n{command}: ok, {done} steps in {seconds:.1} s{sums}");
            return Ok(());
        }
        Err(format!(
            "{command} FAILED: {} of {done} steps in {seconds:.1} s{sums}: {}",
            failed.len(),
            failed.join(", ")
        ))
    }
}

/// The cargo that runs us.
pub(crate) fn cargo(root: &Path) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root);
    command
}

/// The workspace's root, asked of cargo so that it is right from any folder and in any checkout.
pub(crate) fn root() -> Outcome<PathBuf> {
    let mut locate = cargo(Path::new("."));
    let manifest = capture(locate.args(["locate-project", "--workspace", "--message-format", "plain"]))?;
    let folder = Path::new(manifest.trim()).parent().ok_or("cargo found no workspace here")?;
    Ok(folder.to_path_buf())
}

/// Where cargo puts what it builds.
pub(crate) fn target(root: &Path) -> Outcome<PathBuf> {
    let target = metadata(root, &["--no-deps"])?["target_directory"].as_str().map(PathBuf::from);
    target.ok_or_else(|| "cargo names no target directory".to_string())
}

/// What cargo says about the workspace's packages.
pub(crate) fn metadata(root: &Path, switches: &[&str]) -> Outcome<Value> {
    let printed = capture(cargo(root).args(["metadata", "--format-version", "1"]).args(switches))?;
    serde_json::from_str(&printed).map_err(|error| format!("cargo metadata is not JSON: {error}"))
}

/// Runs a program with its output on ours.
pub(crate) fn run(command: &mut Command) -> Outcome {
    let status = command.stdin(Stdio::null()).status();
    let status = status.map_err(|error| format!("cannot start {}: {error}", shown(command)))?;
    if status.success() { Ok(()) } else { Err(format!("{} ended with {status}", shown(command))) }
}

/// Runs a program and returns what it printed; what it said on the error stream goes into the error.
pub(crate) fn capture(command: &mut Command) -> Outcome<String> {
    let output = command.stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("cannot start {}: {error}", shown(command)))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{} ended with {}\n{}", shown(command), output.status, said.trim_end()));
    }
    String::from_utf8(output.stdout).map_err(|_| format!("{} printed something that is not text", shown(command)))
}

/// Runs a program with its output on ours, and shows each line to `look` as well.
pub(crate) fn tee(command: &mut Command, mut look: impl FnMut(&str)) -> Outcome {
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
    let mut child = child.map_err(|error| format!("cannot start {}: {error}", shown(command)))?;
    if let Some(stdout) = child.stdout.take() {
        // Bytes, not text: a test may print anything, and that must not end the reading.
        for line in BufReader::new(stdout).split(b'\n') {
            let line = line.map_err(|error| format!("cannot read from {}: {error}", shown(command)))?;
            let line = String::from_utf8_lossy(&line);
            println!("{line}");
            look(&line);
        }
    }
    let status = child.wait().map_err(|error| format!("cannot wait for {}: {error}", shown(command)))?;
    if status.success() { Ok(()) } else { Err(format!("{} ended with {status}", shown(command))) }
}

/// The command as someone would type it, with the program's folder left out.
fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    let words = std::iter::once(program).chain(command.get_args());
    let words: Vec<_> = words.map(|word| word.to_string_lossy()).collect();
    format!("`{}`", words.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_step_is_named_at_the_end() {
        let mut steps = Steps::new();
        assert_eq!(steps.run("one", || Ok(1)), Some(1));
        assert_eq!(steps.run("two", || Err::<(), _>("broken".into())), None);
        assert_eq!(steps.run("three", || Ok(3)), Some(3));
        let said = steps.finish("chore").unwrap_err();
        assert!(said.contains("1 of 3") && said.contains("two"), "{said}");
    }

    #[test]
    fn a_program_that_fails_is_an_error_with_its_words() {
        let said = capture(cargo(Path::new(".")).arg("no-such-command-here")).unwrap_err();
        assert!(said.contains("no-such-command-here"), "{said}");
        assert!(run(&mut Command::new("no-such-program-here")).is_err());
    }

    #[test]
    fn lines_are_shown_and_seen() {
        let mut seen = 0;
        tee(cargo(Path::new(".")).arg("--version"), |line| seen += usize::from(line.contains("cargo"))).unwrap();
        assert_eq!(seen, 1);
    }
}
