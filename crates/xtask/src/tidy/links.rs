//! Links between our own documents: the file that one names is there, and so is the heading.

use super::{Finding, Tree};

/// Relative links in Markdown files that lead nowhere.
pub(super) fn find(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.files.iter().filter(|file| file.path.ends_with(".md")) {
        for (line, target) in targets(&file.text) {
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            let (path, anchor) =
                target.split_once('#').map_or((target, None), |(path, anchor)| (path, Some(anchor)));
            let Some(path) = resolve(&file.path, path) else {
                findings.push(Finding::at(file, line, format!("{target} leads out of the project")));
                continue;
            };
            if !exists(tree, &path) {
                findings.push(Finding::at(file, line, format!("{target} is not there")));
                continue;
            }
            let text = tree.text(&path).filter(|_| path.ends_with(".md"));
            if let (Some(anchor), Some(text)) = (anchor, text)
                && !headings(text).iter().any(|heading| heading == anchor)
            {
                findings.push(Finding::at(file, line, format!("{path} has no heading #{anchor}")));
            }
        }
    }
    findings
}

/// The targets of `[text](target)` with their line numbers; code is not text.
fn targets(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    for (number, line) in prose(text) {
        // Every second piece between backticks is code.
        for piece in line.split('`').step_by(2) {
            for (index, _) in piece.match_indices("](") {
                let rest = &piece[index + 2..];
                let Some((target, _)) = rest.split_once(')') else { continue };
                // What follows a space is the link's title.
                found.extend(target.split(' ').next().map(|target| (number, target)));
            }
        }
    }
    found
}

/// The numbered lines that are not in a fenced block.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fenced = false;
    text.lines().enumerate().filter_map(move |(index, line)| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        (!fenced && !fence).then_some((index + 1, line))
    })
}

/// A path as seen from the file that names it, or nothing if it climbs above the root. An empty one is the file itself.
fn resolve(from: &str, path: &str) -> Option<String> {
    if path.is_empty() {
        return Some(from.to_string());
    }
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

/// Whether there is such a file, or a folder with files in it.
fn exists(tree: &Tree, path: &str) -> bool {
    let folder = format!("{path}/");
    path.is_empty() || tree.paths.contains(path) || tree.paths.iter().any(|other| other.starts_with(&folder))
}

/// The anchors of a document's headings as code hosts make them: lower case, no punctuation, hyphens for spaces, and a
/// number behind what was there before.
fn headings(text: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for (_, line) in prose(text).filter(|(_, line)| line.starts_with('#')) {
        let title = line.trim_start_matches('#').trim();
        let kept = title.chars().filter(|letter| letter.is_alphanumeric() || matches!(letter, ' ' | '-' | '_'));
        let anchor: String =
            kept.flat_map(char::to_lowercase).map(|letter| if letter == ' ' { '-' } else { letter }).collect();
        let same =
            |other: &&String| other.strip_prefix(&anchor).is_some_and(|rest| rest.is_empty() || is_number(rest));
        let repeats = found.iter().filter(same).count();
        found.push(if repeats == 0 { anchor } else { format!("{anchor}-{repeats}") });
    }
    found
}

fn is_number(rest: &str) -> bool {
    rest.strip_prefix('-')
        .is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_found_in_prose_only() {
        let text = "See [a](b.md) and `[c](d.md)`.\n```\n[e](f.md)\n```\n[g](h.md \"title\")\n";
        assert_eq!(targets(text), [(1, "b.md"), (5, "h.md")]);
    }

    #[test]
    fn paths_are_resolved_from_the_file() {
        assert_eq!(resolve("docs/a.md", "b.md").as_deref(), Some("docs/b.md"));
        assert_eq!(resolve("docs/a.md", "../crates/").as_deref(), Some("crates"));
        assert_eq!(resolve("README.md", "../b.md"), None);
        assert_eq!(resolve("docs/a.md", "").as_deref(), Some("docs/a.md"));
    }

    #[test]
    fn headings_become_anchors() {
        let text = "# The *first*, and `best`\n## Two words\n```\n# not one\n```\n## Two words\n";
        assert_eq!(headings(text), ["the-first-and-best", "two-words", "two-words-1"]);
    }
}
