//! A folder, a command, and what came of it.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// An empty folder of a test's own.
pub(crate) struct Place(tempfile::TempDir);

/// What a command left behind.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Place {
    pub(crate) fn new() -> Place {
        Place(tempfile::tempdir().expect("a folder for a test"))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> &Place {
        std::fs::write(self.path().join(name), text).expect("a file for a test");
        self
    }

    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// `trialog` here, with the storage `runs.tlog` unless the words name another.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_trialog"));
        command.current_dir(self.path()).args(words).stdin(Stdio::null());
        command.env_remove("TRIALOG_STUDY").env_remove("NO_COLOR").env("TRIALOG_STORAGE", "runs.tlog");
        command
    }

    pub(crate) fn run(&self, words: &[&str]) -> Ran {
        Ran::of(&self.command(words).output().expect("the program starts"))
    }

    pub(crate) fn run_with_input(&self, words: &[&str], input: &str) -> Ran {
        let mut command = self.command(words);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        child.stdin.take().expect("its input").write_all(input.as_bytes()).expect("it reads its input");
        Ran::of(&child.wait_with_output().expect("the program ends"))
    }

    /// Runs what has to end well.
    pub(crate) fn ok(&self, words: &[&str]) -> String {
        let ran = self.run(words);
        assert_eq!(ran.code, Some(0), "{words:?}: {}", ran.err);
        ran.out
    }

    /// Runs what has to end well and print JSON.
    pub(crate) fn json(&self, words: &[&str]) -> Value {
        let out = self.ok(words);
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("{words:?}: {error}: {out}"))
    }

    /// Runs what has to fail with this code and say this.
    pub(crate) fn fails(&self, words: &[&str], code: i32, says: &str) {
        let ran = self.run(words);
        assert_eq!(ran.code, Some(code), "{words:?}: {}", ran.err);
        assert!(ran.err.contains(says), "{words:?} should say {says:?}: {}", ran.err);
        assert!(!ran.err.contains("panicked"), "{}", ran.err);
    }
}

impl Ran {
    pub(crate) fn of(output: &Output) -> Ran {
        Ran {
            code: output.status.code(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

#[test]
#[should_panic(expected = "should say")]
fn canary_another_message_is_noticed() {
    Place::new().fails(&["best"], 3, "all is well");
}

#[test]
#[should_panic(expected = "there is no log")]
fn canary_a_failure_is_noticed() {
    Place::new().ok(&["best"]);
}
