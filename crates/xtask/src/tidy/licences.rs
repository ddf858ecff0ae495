//! What other people's code we may ship: its licence is one of those that `deny.toml` allows, and it comes from the
//! one registry. This holds wherever cargo runs; cargo-deny reads the same list where it is installed.

use super::arrows::packages;
use super::{Finding, Tree};

/// Where cargo's own registry says it is, in `Cargo.lock` and in `cargo metadata`.
pub(super) const REGISTRY: &str = concat!("registry+https://github.com/rust-lang/crates", ".io-index");

/// Dependencies whose licence is not on the list.
pub(super) fn find(tree: &Tree) -> Vec<Finding> {
    let allowed = allowed(tree.text("deny.toml").unwrap_or_default());
    if allowed.is_empty() {
        return vec![Finding::new("deny.toml", "names no allowed licence in [licenses]")];
    }
    let mut findings = Vec::new();
    for package in packages(tree).filter(|package| package["source"].is_string()) {
        let licence = package["license"].as_str().unwrap_or("no licence");
        if !permits(licence, &|name| allowed.contains(&name)) {
            let place = format!("{} {}", package["name"], package["version"]).replace('"', "");
            findings
                .push(Finding::new(place, format!("{licence} is not among the licences that deny.toml allows")));
        }
    }
    findings
}

/// Dependencies from anywhere else than the registry.
pub(super) fn find_sources(tree: &Tree) -> Vec<Finding> {
    let foreign =
        packages(tree).filter(|package| package["source"].as_str().is_some_and(|source| source != REGISTRY));
    foreign
        .map(|package| Finding::new(package["name"].to_string(), format!("comes from {}", package["source"])))
        .collect()
}

/// The quoted words of `allow = [..]` in the section `[licenses]`.
fn allowed(deny: &str) -> Vec<&str> {
    let section = deny.split("\n[").chain(deny.strip_prefix('[')).find(|section| section.starts_with("licenses]"));
    let list = section.and_then(|section| section.split_once("allow = [")).map_or("", |(_, rest)| rest);
    let list = list.split(']').next().unwrap_or_default();
    let lines = list.lines().map(|line| line.split('#').next().unwrap_or_default());
    lines.flat_map(|line| line.split('"').skip(1).step_by(2)).collect()
}

/// Whether an SPDX expression leaves a choice in which every licence is allowed. `AND` binds tighter than `OR`, and a
/// `/` is how old manifests wrote `OR`.
fn permits(expression: &str, allowed: &dyn Fn(&str) -> bool) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut words = words.as_slice();
    any(&mut words, allowed) == Some(true) && words.is_empty()
}

fn any(words: &mut &[&str], allowed: &dyn Fn(&str) -> bool) -> Option<bool> {
    let mut permitted = all(words, allowed)?;
    while take(words, "OR") {
        permitted |= all(words, allowed)?;
    }
    Some(permitted)
}

fn all(words: &mut &[&str], allowed: &dyn Fn(&str) -> bool) -> Option<bool> {
    let mut permitted = one(words, allowed)?;
    while take(words, "AND") {
        permitted &= one(words, allowed)?;
    }
    Some(permitted)
}

fn one(words: &mut &[&str], allowed: &dyn Fn(&str) -> bool) -> Option<bool> {
    if take(words, "(") {
        let permitted = any(words, allowed)?;
        return take(words, ")").then_some(permitted);
    }
    let (name, rest) = words.split_first()?;
    *words = rest;
    if take(words, "WITH") {
        let (exception, rest) = words.split_first()?;
        *words = rest;
        return Some(allowed(&format!("{name} WITH {exception}")));
    }
    Some(allowed(name))
}

fn take(words: &mut &[&str], word: &str) -> bool {
    let Some((_, rest)) = words.split_first().filter(|(first, _)| **first == word) else { return false };
    *words = rest;
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_read_as_spdx_means_them() {
        let allowed = |name: &str| ["MIT", "Apache-2.0", "Apache-2.0 WITH LLVM-exception"].contains(&name);
        for (expression, expected) in [
            ("MIT", true),
            ("MIT OR GPL-3.0-only", true),
            ("GPL-3.0-only OR Apache-2.0", true),
            ("MIT/Apache-2.0", true),
            ("MIT AND GPL-3.0-only", false),
            ("(MIT OR GPL-3.0-only) AND Apache-2.0", true),
            ("MIT OR GPL-3.0-only AND GPL-2.0-only", true),
            ("Apache-2.0 WITH LLVM-exception", true),
            ("MIT WITH LLVM-exception", false),
            ("", false),
            ("MIT OR", false),
            ("(MIT", false),
            ("MIT Apache-2.0", false),
            ("no licence", false),
        ] {
            assert_eq!(permits(expression, &allowed), expected, "{expression:?}");
        }
    }

    #[test]
    fn the_list_is_that_of_the_licences_and_of_no_other_section() {
        let deny = "[bans]\nallow = [\"x\"]\n\n[licenses]\n# why\nallow = [\n  \"MIT\", # \"not this\"\n  \"ISC\",\n]\n\n[sources]\nallow = [\"y\"]\n";
        assert_eq!(allowed(deny), ["MIT", "ISC"]);
        assert!(allowed("[licenses]\n").is_empty());
    }
}
