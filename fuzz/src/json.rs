//! JSON texts, with a standard parser as the oracle.

use serde::de::IgnoredAny;
use trialog_ops::{Json, MAX_JSON_DEPTH};

use crate::memory::in_proportion;

/// Checks a text in both ways. Ours differs in two things only: it bounds the nesting, and it takes the bare
/// tokens for numbers that are not finite.
pub fn run(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    in_proportion(bytes.len(), 64, || {
        let (standard, depth) = standard(text);
        let is_json = depth <= MAX_JSON_DEPTH && serde_json::from_str::<IgnoredAny>(&standard).is_ok();
        match Json::parse(text) {
            Ok(json) => {
                assert!(is_json, "only we take {text:?}");
                assert_eq!(json.as_str(), text);
                std::hint::black_box(json.to_value());
            }
            Err(error) => {
                assert!(!is_json, "only we refuse {text:?}: {error}");
                assert!(error.offset <= text.len() && !error.to_string().is_empty());
            }
        }
    });
}

/// The text with `null` for each bare token, and how deep its brackets nest.
fn standard(text: &str) -> (String, usize) {
    let (mut out, mut depth, mut deepest) = (String::new(), 0_usize, 0);
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        let token = ["NaN", "-Infinity", "Infinity"].into_iter().find(|token| rest.starts_with(token));
        let taken = match next {
            '"' => string(rest),
            _ => token.map_or(next.len_utf8(), str::len),
        };
        match next {
            '[' | '{' => depth += 1,
            ']' | '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
        out.push_str(if token.is_some() { "null" } else { &rest[..taken] });
        rest = &rest[taken..];
    }
    (out, deepest)
}

/// How long the string is that begins here, or all of it if it does not end.
fn string(text: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}
