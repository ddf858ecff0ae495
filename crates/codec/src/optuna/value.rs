//! What slices of a JSON text mean to Python: bare `NaN`, `Infinity` and `-Infinity` are numbers, and strings may hold half a
//! surrogate pair.

use std::borrow::Cow;

/// What marks half a surrogate pair, which Python's strings may hold and ours may not: its four hexadecimal digits follow.
pub(crate) const LONE: char = '\u{fffd}';

/// The text that a string's raw form, checked before, stands for.
pub(crate) fn unescape(raw: &str) -> Cow<'_, str> {
    if !raw.contains('\\') {
        return Cow::Borrowed(raw);
    }
    let mut out = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let escape = rest.as_bytes().get(at + 1).copied().unwrap_or(b'\\');
        let mut used = at + 2;
        match escape {
            b'b' => out.push('\u{8}'),
            b'f' => out.push('\u{c}'),
            b'n' => out.push('\n'),
            b'r' => out.push('\r'),
            b't' => out.push('\t'),
            b'u' => {
                let first = unit(rest, at);
                used = at + 6;
                let second = Some(unit(rest, used)).filter(|low| (0xdc00..0xe000).contains(low));
                match (first, second) {
                    (0xd800..0xdc00, Some(low)) => {
                        let code = 0x1_0000 + ((first - 0xd800) << 10) + (low - 0xdc00);
                        out.push(char::from_u32(code).unwrap_or(LONE));
                        used += 6;
                    }
                    _ => match char::from_u32(first) {
                        Some(c) => out.push(c),
                        None => out.push_str(&format!("{LONE}{first:04x}")),
                    },
                }
            }
            other => out.push(char::from(other)),
        }
        rest = rest.get(used..).unwrap_or("");
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// The number of the `\uXXXX` at this place, or one that no text has.
fn unit(text: &str, at: usize) -> u32 {
    let digits = text.get(at..at + 6).and_then(|escape| escape.strip_prefix("\\u"));
    digits.and_then(|digits| u32::from_str_radix(digits, 16).ok()).unwrap_or(u32::MAX)
}

/// The text of a value, if it is a string.
pub(crate) fn text(value: &str) -> Option<Cow<'_, str>> {
    Some(unescape(value.strip_prefix('"')?.strip_suffix('"')?))
}

/// A value as a number, if it is one or what Python takes for one. Rustuna writes infinities as strings.
pub(crate) fn float(value: &str) -> Option<f64> {
    match value.as_bytes().first()? {
        b'0'..=b'9' | b'-' if value != "-Infinity" => value.parse().ok(),
        _ => match value {
            "NaN" | "\"NaN\"" | "\"nan\"" => Some(f64::NAN),
            "Infinity" | "\"Infinity\"" | "\"inf\"" => Some(f64::INFINITY),
            "-Infinity" | "\"-Infinity\"" | "\"-inf\"" => Some(f64::NEG_INFINITY),
            "true" => Some(1.0),
            "false" => Some(0.0),
            _ => None,
        },
    }
}

/// A value as a whole number, if it is one that 64 bits hold.
pub(crate) fn integer(value: &str) -> Option<i64> {
    match value {
        "true" => return Some(1),
        "false" => return Some(0),
        _ => {}
    }
    if let Ok(number) = value.parse() {
        return Some(number);
    }
    let number: f64 = if value.starts_with(|c: char| c == '-' || c.is_ascii_digit()) {
        value.parse().ok()?
    } else {
        return None;
    };
    (number.fract() == 0.0 && number.abs() < 9e18).then_some(number as i64)
}
