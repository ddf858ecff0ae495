//! The examples in other languages, and the user's guide: all of them run.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{Place, Ran};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A search path on which the program comes first.
fn path() -> std::ffi::OsString {
    let here = Path::new(env!("CARGO_BIN_EXE_trialog")).parent().expect("a folder");
    let old = std::env::var_os("PATH").unwrap_or_default();
    std::env::join_paths(std::iter::once(here.to_owned()).chain(std::env::split_paths(&old))).expect("a path")
}

/// Runs a client that has to find a minimum near 2.
fn client(place: &Place, program: &str, words: &[&str]) -> String {
    let mut command = Command::new(program);
    command.args(words).arg("runs.tlog").current_dir(place.path()).env("PATH", path()).env_remove("TRIALOG_STUDY");
    let ran = Ran::of(&command.output().unwrap_or_else(|error| panic!("{program}: {error}")));
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert_eq!(place.json(&["verify", "runs.tlog"])["clean"], true);
    ran.out
}

fn example(name: &str) -> String {
    root().join("examples/clients").join(name).display().to_string()
}

#[test]
fn a_client_in_python() {
    let place = Place::new();
    let out = client(&place, "python3", &[&example("client.py")]);
    assert!(out.starts_with("best 0."), "{out}");
    assert_eq!(place.json(&["trials"]).as_array().map(Vec::len), Some(20));
}

#[test]
fn a_client_in_bash() {
    let place = Place::new();
    let out = client(&place, "bash", &[&example("client.sh")]);
    assert!(out.contains("complete") && out.contains("  x = "), "{out}");
    assert_eq!(place.json(&["list"])[0]["complete"], 20);
}

#[test]
fn a_client_in_c() {
    let place = Place::new();
    let built = Command::new("cc")
        .args(["-O1", "-Wall", "-o", "client", &example("client.c")])
        .current_dir(place.path())
        .status();
    assert!(built.is_ok_and(|status| status.success()), "a C compiler is what Rust links with");
    let out = client(&place, "./client", &[]);
    assert!(out.starts_with("best 0."), "{out}");
    assert_eq!(place.json(&["list"])[0]["complete"], 20);
}

/// Every console block of the guide is run, in order and in one folder, and prints what the guide says. `...` stands for
/// anything within a line, and a line of its own for any lines.
#[test]
fn the_guide_is_true() {
    let guide = std::fs::read_to_string(root().join("docs/cli.md")).expect("the guide");
    let place = Place::new();
    let mut commands = 0;
    for (kind, block) in blocks(&guide) {
        if let Some(name) = kind.strip_prefix("file ") {
            place.write(name, &block);
            continue;
        }
        if kind != "console" {
            continue;
        }
        for (command, expected) in transcript(&block) {
            let mut shell = Command::new("bash");
            shell.args(["-c", &format!("exec 2>&1\n{command}")]).current_dir(place.path()).env("PATH", path());
            shell.env_remove("TRIALOG_STUDY").env("TRIALOG_STORAGE", "runs.tlog");
            let ran = Ran::of(&shell.output().expect("a shell"));
            let found = ran.out;
            assert!(matches(&expected, &found), "$ {command}\nexpected:\n{expected}\nfound:\n{found}");
            commands += 1;
        }
    }
    assert!(commands > 20, "only {commands} commands were found in the guide");
}

/// Fenced blocks with what stands behind the fence; ```` ```toml file space.toml ```` is a file.
fn blocks(text: &str) -> Vec<(String, String)> {
    let mut blocks = Vec::new();
    let mut inside: Option<(String, String)> = None;
    for line in text.lines() {
        match (line.strip_prefix("```"), &mut inside) {
            (Some(kind), None) => {
                let kind = kind
                    .split_once(' ')
                    .filter(|(_, rest)| rest.starts_with("file "))
                    .map_or(kind, |(_, rest)| rest);
                inside = Some((kind.to_owned(), String::new()));
            }
            (Some(_), Some(_)) => blocks.extend(inside.take()),
            (None, Some((_, block))) => {
                block.push_str(line);
                block.push('\n');
            }
            (None, None) => {}
        }
    }
    blocks
}

/// Commands behind `$ `, with `> ` for further lines, and what they print.
fn transcript(block: &str) -> Vec<(String, String)> {
    let mut all: Vec<(String, String)> = Vec::new();
    for line in block.lines() {
        if let Some(command) = line.strip_prefix("$ ") {
            all.push((command.to_owned(), String::new()));
        } else if let (Some(more), Some((command, _))) = (line.strip_prefix("> "), all.last_mut()) {
            command.push('\n');
            command.push_str(more);
        } else if let Some((_, expected)) = all.last_mut() {
            expected.push_str(line);
            expected.push('\n');
        }
    }
    all
}

fn matches(expected: &str, found: &str) -> bool {
    let expected: Vec<&str> = expected.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
    let found: Vec<&str> = found.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
    lines_match(&expected, &found)
}

fn lines_match(expected: &[&str], found: &[&str]) -> bool {
    match expected.split_first() {
        None => found.is_empty(),
        Some((&"...", rest)) => (0..=found.len()).any(|skip| lines_match(rest, &found[skip..])),
        Some((line, rest)) => found
            .split_first()
            .is_some_and(|(first, others)| line_matches(line, first) && lines_match(rest, others)),
    }
}

fn line_matches(expected: &str, found: &str) -> bool {
    let mut pieces = expected.split("...");
    let first = pieces.next().unwrap_or("");
    let Some(mut rest) = found.strip_prefix(first) else { return false };
    let pieces: Vec<&str> = pieces.collect();
    for (at, piece) in pieces.iter().enumerate() {
        let place = if at + 1 == pieces.len() {
            rest.ends_with(piece).then(|| rest.len() - piece.len())
        } else {
            rest.find(piece)
        };
        let Some(place) = place else { return false };
        rest = &rest[place + piece.len()..];
    }
    rest.is_empty()
}

#[test]
fn transcripts_are_compared_closely() {
    assert!(matches("a ... c\n...\nend\n", "a b c\nx\ny\nend\n"));
    assert!(!matches("a ... c\n", "a b d\n"));
    assert!(!matches("a\n", "a\nb\n"));
    assert!(!matches("", "a\n"));
}
