//! The command with its placeholders.

use std::collections::BTreeMap;

use crate::exit::{Failure, Outcome};
use crate::space::nearest;

/// A command line of which each argument is known to the brace.
#[derive(Debug)]
pub(crate) struct Template(Vec<Vec<Piece>>);

#[derive(Debug, PartialEq)]
enum Piece {
    Text(String),
    /// A parameter, and what stands for it where it takes no part.
    Param {
        name: String,
        absent: Absent,
    },
}

#[derive(Debug, PartialEq)]
enum Absent {
    Error,
    DropArgument,
    Text(String),
}

/// What is no parameter and has a value all the same.
pub(crate) const BUILT_IN: [&str; 3] = ["trial", "dir", "params"];

impl Template {
    /// Reads a command line. Every placeholder must be one of `known`, or a built-in one.
    pub(crate) fn parse(command: &[String], known: &[&str]) -> Outcome<Template> {
        let arguments = command.iter().map(|argument| pieces(argument, known));
        Ok(Template(arguments.collect::<Outcome<_>>()?))
    }

    /// The command line for these values.
    pub(crate) fn fill(&self, values: &BTreeMap<String, String>) -> Outcome<Vec<String>> {
        let mut command = Vec::with_capacity(self.0.len());
        'arguments: for pieces in &self.0 {
            let mut argument = String::new();
            for piece in pieces {
                match piece {
                    Piece::Text(text) => argument.push_str(text),
                    Piece::Param { name, absent } => match (values.get(name), absent) {
                        (Some(value), _) => argument.push_str(value),
                        (None, Absent::Text(text)) => argument.push_str(text),
                        (None, Absent::DropArgument) => continue 'arguments,
                        (None, Absent::Error) => {
                            return Err(Failure::invalid(format!(
                                "the command has {{{name}}}, and parameter {name:?} takes no part in this trial: write \
                                 {{{name}?}} to leave the argument out, or {{{name}:-VALUE}}"
                            )));
                        }
                    },
                }
            }
            command.push(argument);
        }
        Ok(command)
    }
}

fn pieces(argument: &str, known: &[&str]) -> Outcome<Vec<Piece>> {
    let mut pieces = Vec::new();
    let mut text = String::new();
    let mut rest = argument;
    while let Some(at) = rest.find(['{', '}', '$']) {
        text.push_str(&rest[..at]);
        rest = &rest[at..];
        if rest.starts_with("${") {
            // A shell's own.
            let end = rest.find('}').map_or(rest.len(), |end| end + 1);
            text.push_str(&rest[..end]);
            rest = &rest[end..];
        } else if let Some((inner, after)) = escaped(rest) {
            text.extend(["{", inner, "}"]);
            rest = after;
        } else if let Some((inner, after)) = rest.strip_prefix('{').and_then(|rest| rest.split_once('}')) {
            match placeholder(inner, known) {
                Some(piece) => {
                    if !text.is_empty() {
                        pieces.push(Piece::Text(std::mem::take(&mut text)));
                    }
                    pieces.push(piece);
                    rest = after;
                }
                None if looks_like_a_name(inner) => {
                    let all: Vec<&str> = known.iter().chain(&BUILT_IN).copied().collect();
                    let hint = match nearest(name_of(inner), &all) {
                        Some(near) => format!("did you mean {{{near}}}?"),
                        None => format!("the parameters are {}.", known.join(", ")),
                    };
                    return Err(Failure::usage(format!(
                        "{argument:?}: {{{inner}}} is no parameter; {hint} Write {{{{{inner}}}}} for the text itself"
                    )));
                }
                // JSON, code: a brace that opens no name is a brace.
                None => {
                    text.push('{');
                    rest = &rest[1..];
                }
            }
        } else {
            text.push_str(&rest[..1]);
            rest = &rest[1..];
        }
    }
    text.push_str(rest);
    if !text.is_empty() || pieces.is_empty() {
        pieces.push(Piece::Text(text));
    }
    Ok(pieces)
}

/// The name in `{{name}}`, and what follows.
fn escaped(rest: &str) -> Option<(&str, &str)> {
    let (inner, after) = rest.strip_prefix("{{")?.split_once("}}")?;
    looks_like_a_name(inner).then_some((inner, after))
}

fn name_of(inner: &str) -> &str {
    let inner = inner.split_once(":-").map_or(inner, |(name, _)| name);
    inner.strip_suffix('?').unwrap_or(inner)
}

fn placeholder(inner: &str, known: &[&str]) -> Option<Piece> {
    let name = name_of(inner);
    if !known.contains(&name) && !BUILT_IN.contains(&name) {
        return None;
    }
    let absent = match inner.split_once(":-") {
        Some((_, text)) => Absent::Text(text.to_owned()),
        None if inner.ends_with('?') => Absent::DropArgument,
        None => Absent::Error,
    };
    Some(Piece::Param { name: name.to_owned(), absent })
}

fn looks_like_a_name(inner: &str) -> bool {
    let name = name_of(inner);
    name.starts_with(|c: char| c == '_' || c.is_alphabetic())
        && name.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '.' | '-' | '[' | ']'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(argument: &str, expected: &str) {
        let values = BTreeMap::from([("lr".to_owned(), "0.5".to_owned()), ("trial".to_owned(), "7".to_owned())]);
        let found = Template::parse(&[argument.to_owned(), "end".to_owned()], &["lr", "momentum"])
            .and_then(|template| template.fill(&values));
        let found = match found {
            Ok(command) => command.join(" "),
            Err(failure) => failure.message,
        };
        assert!(found.starts_with(expected), "{argument}: {found}");
    }

    #[test]
    fn placeholders() {
        for (argument, expected) in [
            ("--lr={lr}", "--lr=0.5 end"),
            ("{lr}{trial}", "0.57 end"),
            ("{{lr}}", "{lr} end"),
            ("${HOME}/{lr}", "${HOME}/0.5 end"),
            ("{\"a\": {\"lr\": {lr}}}", "{\"a\": {\"lr\": 0.5}} end"),
            ("awk '{ print {lr} }'", "awk '{ print 0.5 }' end"),
            ("{{ {lr} }}", "{{ 0.5 }} end"),
            ("awk '{ print $1 }'", "awk '{ print $1 }' end"),
            ("--momentum={momentum?}", "end"),
            ("{momentum:-0.9}", "0.9 end"),
            ("", " end"),
            ("{momentum}", "the command has {momentum}, and parameter \"momentum\" takes no part"),
            ("{lrr}", "\"{lrr}\": {lrr} is no parameter; did you mean {lr}?"),
            ("{weight}", "\"{weight}\": {weight} is no parameter; the parameters are lr, momentum"),
            ("{lr", "{lr end"),
        ] {
            check(argument, expected);
        }
    }

    #[test]
    #[should_panic(expected = "0.5 end")]
    fn canary_a_wrong_expectation_is_noticed() {
        check("{lr}", "0.6 end");
    }
}
