//! Rules that hold line by line: headers, lengths, leftovers, and names of places that exist on one machine only.

use super::licences::REGISTRY;
use super::{File, Finding, Tree};

/// Longer than this, a file probably holds two ideas.
const LINES_MAX: usize = 800;

/// Files that were longer when the rule came, and how long they may be. Entries get smaller or go; none is added.
const LONG: &[(&str, usize)] = &[];

/// Words that mean "not finished". Written in two halves, here and below, so that this file passes its own checks.
const LEFTOVERS: &[&str] =
    &[concat!("TO", "DO"), concat!("FIX", "ME"), concat!("to", "do!"), concat!("unimplem", "ented!")];

/// Folders that are not the same on two machines.
const MACHINE_PATHS: &[&str] =
    &[concat!("/wo", "rk"), concat!("/t", "mp"), concat!("/ro", "ot"), concat!("/ho", "me")];

/// Where packages are fetched from is the business of whoever builds, not of these files.
const HOSTS: &[&str] = &[
    concat!("crates", ".io"),
    concat!("py", "pi.org"),
    concat!("python", "hosted.org"),
    concat!("npm", "js."),
    concat!("--index", "-url"),
    concat!("--extra-index", "-url"),
    concat!("[source", "."),
    concat!("[registr", "ies"),
];

/// Rust files without a word on what lives in them.
pub(super) fn find_headless(tree: &Tree) -> Vec<Finding> {
    let headless = tree.files.iter().filter(|file| file.is_rust() && !file.text.starts_with("//!"));
    headless.map(|file| Finding::new(&file.path, "does not open with a `//!` comment on what lives here")).collect()
}

/// Files that are too long, and entries of the list of exceptions that are no longer needed.
pub(super) fn find_long(tree: &Tree) -> Vec<Finding> {
    let code = tree.files.iter().filter(|file| file.is_rust() || file.path.ends_with(".py"));
    let mut findings = Vec::new();
    for file in code {
        let lines = file.text.lines().count();
        let exception = LONG.iter().find(|(path, _)| *path == file.path).map(|(_, lines_max)| *lines_max);
        if lines > exception.unwrap_or(LINES_MAX) {
            let lines_max = exception.unwrap_or(LINES_MAX);
            findings.push(Finding::new(
                &file.path,
                format!("{lines} lines, {lines_max} at most: two ideas in one file?"),
            ));
        } else if exception.is_some() && lines <= LINES_MAX {
            findings.push(Finding::new(&file.path, "is short enough now: take it off the list of exceptions"));
        }
    }
    findings
}

/// Unfinished places.
pub(super) fn find_leftovers(tree: &Tree) -> Vec<Finding> {
    each_line(tree, |_, line| {
        let word = LEFTOVERS.iter().find(|word| has_word(line, word))?;
        Some(format!("{word}: finish it, or open an issue and leave no trace here"))
    })
}

/// Paths of one machine.
pub(super) fn find_machine_paths(tree: &Tree) -> Vec<Finding> {
    each_line(tree, |_, line| {
        let path = MACHINE_PATHS.iter().find(|path| starts_a_path(line, path))?;
        Some(format!("{path} is a path of some machine; ask for a temporary folder, or name it from the root"))
    })
}

/// Hosts of registries, and settings that choose one.
pub(super) fn find_hosts(tree: &Tree) -> Vec<Finding> {
    each_line(tree, |_, line| {
        // Cargo writes its own registry into the lock file, under this name whatever serves it.
        let line = line.replace(REGISTRY, "");
        let host = HOSTS.iter().find(|host| line.contains(**host))?;
        Some(format!("{host}: where packages come from is not for the project to say"))
    })
}

fn each_line(tree: &Tree, look: impl Fn(&File, &str) -> Option<String>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in &tree.files {
        for (number, line) in file.lines() {
            findings.extend(look(file, line).map(|what| Finding::at(file, number, what)));
        }
    }
    findings
}

fn is_word(byte: Option<&u8>) -> bool {
    byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
}

/// Whether `word` stands in `line` by itself and not inside a longer word.
fn has_word(line: &str, word: &str) -> bool {
    let bytes = line.as_bytes();
    let ends_in_word = is_word(word.as_bytes().last());
    line.match_indices(word).any(|(start, _)| {
        let starts_inside = is_word(start.checked_sub(1).and_then(|index| bytes.get(index)));
        let ends_inside = ends_in_word && is_word(bytes.get(start + word.len()));
        !(starts_inside || ends_inside)
    })
}

/// Whether a path begins with `folder` somewhere in `line`: not in the middle of a longer path or of an address.
fn starts_a_path(line: &str, folder: &str) -> bool {
    let bytes = line.as_bytes();
    line.match_indices(folder).any(|(start, _)| {
        let before = start.checked_sub(1).and_then(|index| bytes.get(index));
        let inside = is_word(before) || before.is_some_and(|byte| b"./})-~*".contains(byte));
        let file_url = line.get(..start).is_some_and(|prefix| prefix.ends_with("://"));
        (!inside || file_url) && !is_word(bytes.get(start + folder.len()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_whole_words() {
        let word = concat!("TO", "DO");
        assert!(has_word(&format!("// {word}: x"), word));
        assert!(has_word(word, word));
        assert!(!has_word(&format!("{word}S"), word));
        assert!(!has_word(&format!("MAS{word}"), word));
        let call = concat!("to", "do!");
        assert!(has_word(&format!("{call}()"), call));
    }

    #[test]
    fn paths_are_found_at_their_start_only() {
        let folder = concat!("/t", "mp");
        for found in ["", "\"", "(", "= ", "`", "file://"] {
            assert!(starts_a_path(&format!("{found}{folder}/x"), folder), "{found:?}");
            assert!(starts_a_path(&format!("{found}{folder}"), folder), "{found:?}");
        }
        for clear in ["a", "..", "{}", "https://example.org"] {
            assert!(!starts_a_path(&format!("{clear}{folder}/x"), folder), "{clear:?}");
        }
        assert!(!starts_a_path(&format!("{folder}fs"), folder));
    }
}
