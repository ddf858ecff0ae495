//! The house rules that a program can check. A rule that is repeated in review becomes a row in [`CHECKS`]; each row
//! has a planted violation in the tests here that it must find, so that no check can fall silent unnoticed.

mod arrows;
mod licences;
mod links;
mod sources;

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::shell::{self, Outcome};

/// What the checks look at: the text files of a checkout, and what cargo says about its packages.
struct Tree {
    files: Vec<File>,
    /// All paths, those of files that are not text as well.
    paths: BTreeSet<String>,
    /// `cargo metadata`, with every dependency.
    metadata: Value,
}

/// A text file, by its path from the root with `/` between the parts.
struct File {
    path: String,
    text: String,
}

impl Tree {
    fn text(&self, path: &str) -> Option<&str> {
        self.files.iter().find(|file| file.path == path).map(|file| file.text.as_str())
    }
}

impl File {
    fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// The lines with their numbers, counted from one.
    fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(index, line)| (index + 1, line))
    }
}

/// Something that breaks a rule, and where.
#[derive(Debug)]
struct Finding {
    place: String,
    what: String,
}

impl Finding {
    fn new(place: impl Into<String>, what: impl Into<String>) -> Finding {
        Finding { place: place.into(), what: what.into() }
    }

    fn at(file: &File, line: usize, what: impl Into<String>) -> Finding {
        Finding::new(format!("{}:{line}", file.path), what)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.place, self.what)
    }
}

/// One rule.
struct Check {
    name: &'static str,
    find: fn(&Tree) -> Vec<Finding>,
}

const CHECKS: &[Check] = &[
    Check { name: "arrows", find: arrows::find },
    Check { name: "licences", find: licences::find },
    Check { name: "sources", find: licences::find_sources },
    Check { name: "headers", find: sources::find_headless },
    Check { name: "lengths", find: sources::find_long },
    Check { name: "leftovers", find: sources::find_leftovers },
    Check { name: "machine paths", find: sources::find_machine_paths },
    Check { name: "registry hosts", find: sources::find_hosts },
    Check { name: "links", find: links::find },
];

/// Runs every check on the workspace around us.
pub(crate) fn run() -> Outcome {
    let root = shell::root()?;
    let tree = read(&root)?;
    let mut findings = 0;
    for check in CHECKS {
        for finding in (check.find)(&tree) {
            println!("    {}: {finding}", check.name);
            findings += 1;
        }
    }
    if findings > 0 {
        return Err(format!("tidy found {findings} things to mend"));
    }
    println!("    tidy: {} checks over {} files, nothing found", CHECKS.len(), tree.files.len());
    Ok(())
}

fn read(root: &Path) -> Outcome<Tree> {
    let metadata = shell::metadata(root, &["--all-features"])?;
    let paths = list(root)?;
    let mut files = Vec::new();
    for path in &paths {
        let bytes = std::fs::read(root.join(path)).map_err(|error| format!("cannot read {path}: {error}"))?;
        if let Ok(text) = String::from_utf8(bytes) {
            files.push(File { path: path.clone(), text });
        }
    }
    Ok(Tree { files, paths, metadata })
}

/// The files of the checkout: what git tracks or would track, or, where there is no git, everything but build output.
fn list(root: &Path) -> Outcome<BTreeSet<String>> {
    let mut git = Command::new("git");
    git.current_dir(root).args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
    if let Ok(listed) = shell::capture(&mut git) {
        let paths = listed.split('\0').filter(|path| root.join(path).is_file());
        return Ok(paths.map(String::from).collect());
    }
    let mut paths = BTreeSet::new();
    walk(root, "", &mut paths)?;
    Ok(paths)
}

fn walk(folder: &Path, prefix: &str, paths: &mut BTreeSet<String>) -> Outcome {
    let unreadable = |error| format!("cannot list {}: {error}", folder.display());
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if matches!(name.as_str(), "target" | ".git") {
            continue;
        }
        let kind = entry.file_type().map_err(unreadable)?;
        if kind.is_dir() {
            walk(&entry.path(), &format!("{prefix}{name}/"), paths)?;
        } else if kind.is_file() {
            paths.insert(format!("{prefix}{name}"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A small workspace in which everything is as it should be.
    fn clean() -> Tree {
        let files = [
            ("crates/ops/src/lib.rs", "//! The vocabulary.\n"),
            (
                "docs/guide.md",
                "# The guide\n\nSee [the sources](../crates/ops/src/lib.rs) and [above](#the-guide).\n",
            ),
            ("deny.toml", "[licenses]\nallow = [\"MIT\", \"Apache-2.0\"]\n"),
        ];
        let packages = json!([package("trialog-ops", "crates/ops", &json!([])), dependency("MIT OR Apache-2.0")]);
        tree(&files, &packages)
    }

    fn tree(files: &[(&str, &str)], packages: &Value) -> Tree {
        let paths = files.iter().map(|(path, _)| path.to_string()).collect();
        let files = files.iter().map(|(path, text)| File { path: path.to_string(), text: text.to_string() });
        Tree { files: files.collect(), paths, metadata: json!({ "workspace_root": "/w", "packages": packages }) }
    }

    fn package(name: &str, folder: &str, dependencies: &Value) -> Value {
        let manifest = format!("/w/{folder}/Cargo.toml");
        json!({ "name": name, "manifest_path": manifest, "source": null, "dependencies": dependencies })
    }

    fn dependency(license: &str) -> Value {
        let source = licences::REGISTRY;
        json!({ "name": "serde", "version": "1.0.0", "license": license, "source": source, "dependencies": [] })
    }

    /// The clean tree with one file more.
    fn with_file(path: &str, text: &str) -> Tree {
        let mut tree = clean();
        tree.paths.insert(path.to_string());
        tree.files.push(File { path: path.to_string(), text: text.to_string() });
        tree
    }

    /// The clean tree with one package more.
    fn with_package(package: Value) -> Tree {
        let mut tree = clean();
        if let Some(packages) = tree.metadata["packages"].as_array_mut() {
            packages.push(package);
        }
        tree
    }

    fn needs(name: &str, kind: &Value) -> Value {
        json!([{ "name": name, "kind": kind, "path": "/w/somewhere" }])
    }

    /// A violation for each check, and a word that the finding has to name.
    fn canaries() -> Vec<(&'static str, Tree, &'static str)> {
        let long = format!("//! Long.\n{}", "\n".repeat(800));
        let absent = concat!("//! A.\nfn f() { to", "do!() }\n");
        let path = concat!("Look into /ho", "me/someone/runs.\n");
        let host = concat!("Fetch it from https://static.crates", ".io/x.\n");
        let upwards = package("trialog-replay", "crates/replay", &needs("trialog-storage", &Value::Null));
        let build = package("trialog-codec", "crates/codec", &needs("trialog-journal", &json!("build")));
        let testkit = package("trialog-samplers", "crates/samplers", &needs("trialog-testkit", &Value::Null));
        let above = package("trialog-journal", "crates/journal", &needs("trialog-journal-file", &json!("dev")));
        let unknown = package("trialog-attic", "crates/attic", &json!([]));
        let member = package("trialog-codec", "crates/codec", &needs("trialog-examples", &Value::Null));
        let git = json!({ "name": "forked", "version": "0.1.0", "license": "MIT",
                          "source": "git+https://example.org/forked", "dependencies": [] });
        vec![
            ("arrows", with_package(upwards), "trialog-replay -> trialog-storage"),
            ("arrows", with_package(build), "trialog-codec -> trialog-journal"),
            ("arrows", with_package(testkit), "trialog-samplers -> trialog-testkit"),
            ("arrows", with_package(above), "trialog-journal -> trialog-journal-file"),
            ("arrows", with_package(unknown), "trialog-attic"),
            ("arrows", with_package(member), "trialog-codec -> trialog-examples"),
            ("licences", with_package(dependency("GPL-3.0-only")), "GPL-3.0-only"),
            ("licences", with_package(dependency("MIT AND GPL-3.0-only")), "MIT AND GPL-3.0-only"),
            ("sources", with_package(git), "forked"),
            ("headers", with_file("crates/ops/src/ids.rs", "use std::fmt;\n"), "crates/ops/src/ids.rs"),
            ("lengths", with_file("crates/ops/src/long.rs", &long), "801 lines"),
            ("leftovers", with_file("crates/ops/src/ids.rs", absent), "crates/ops/src/ids.rs:2"),
            ("leftovers", with_file("docs/a.md", concat!("FIX", "ME: write\n")), "docs/a.md:1"),
            ("machine paths", with_file("docs/a.md", path), "docs/a.md:1"),
            ("registry hosts", with_file("docs/a.md", host), "docs/a.md:1"),
            ("links", with_file("docs/a.md", "[away](gone.md)\n"), "gone.md"),
            ("links", with_file("docs/a.md", "[away](guide.md#no-such-heading)\n"), "no-such-heading"),
            ("links", with_file("docs/a.md", "[away](../../outside.md)\n"), "outside.md"),
        ]
    }

    #[test]
    fn a_clean_tree_has_no_findings() {
        for check in CHECKS {
            let findings = (check.find)(&clean());
            assert!(findings.is_empty(), "{}: {findings:?}", check.name);
        }
    }

    #[test]
    fn every_check_finds_what_was_planted_for_it() {
        let canaries = canaries();
        for check in CHECKS {
            assert!(canaries.iter().any(|(name, ..)| *name == check.name), "{} has no canary", check.name);
        }
        for (name, tree, word) in &canaries {
            let check = CHECKS.iter().find(|check| check.name == *name).expect("canaries name checks");
            let findings: Vec<String> = (check.find)(tree).iter().map(ToString::to_string).collect();
            assert!(findings.iter().any(|finding| finding.contains(word)), "{name}: no {word:?} in {findings:?}");
        }
    }

    #[test]
    fn the_workspace_is_tidy() {
        let tree = read(&shell::root().unwrap()).unwrap();
        let found = CHECKS
            .iter()
            .flat_map(|check| (check.find)(&tree).into_iter().map(|it| format!("{}: {it}", check.name)));
        let found: Vec<String> = found.collect();
        assert!(found.is_empty(), "{}", found.join("\n"));
    }

    #[test]
    fn without_git_the_folders_are_walked() {
        let root = shell::root().unwrap();
        let mut walked = BTreeSet::new();
        walk(&root, "", &mut walked).unwrap();
        assert!(walked.contains("crates/xtask/src/tidy.rs"));
        assert!(!walked.iter().any(|path| path.starts_with("target/")));
    }
}
