//! Attribute values: checked JSON text, kept as it was written.
//!
//! Besides standard JSON the text may hold the bare tokens `NaN`, `Infinity` and `-Infinity`, which Python
//! writes and Optuna's journals contain.

use std::fmt;
use std::sync::Arc;

/// How deep arrays and objects may nest.
pub const MAX_JSON_DEPTH: usize = 128;

/// A JSON value as text that has been checked. Cheap to clone; never evaluated.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Json(Arc<str>);

impl Json {
    /// Checks a text and keeps it.
    ///
    /// # Errors
    /// The byte offset of the first thing that is not JSON.
    pub fn parse(text: &str) -> Result<Json, JsonError> {
        check(text)?;
        Ok(Json(Arc::from(text)))
    }

    /// The value `null`.
    #[must_use]
    pub fn null() -> Json {
        Json(Arc::from("null"))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The parsed value, or `None` where the text holds a non-finite number, which standard JSON cannot say.
    #[must_use]
    pub fn to_value(&self) -> Option<serde_json::Value> {
        serde_json::from_str(&self.0).ok()
    }
}

impl From<&serde_json::Value> for Json {
    fn from(value: &serde_json::Value) -> Json {
        Json(Arc::from(value.to_string()))
    }
}

impl From<serde_json::Value> for Json {
    fn from(value: serde_json::Value) -> Json {
        Json::from(&value)
    }
}

macro_rules! from {
    ($($kind:ty),*) => {
        $(impl From<$kind> for Json {
            fn from(value: $kind) -> Json {
                Json::from(serde_json::Value::from(value))
            }
        })*
    };
}

from!(bool, i32, i64, u64, &str, String);

impl From<f64> for Json {
    fn from(value: f64) -> Json {
        match value {
            f64::INFINITY => Json(Arc::from("Infinity")),
            f64::NEG_INFINITY => Json(Arc::from("-Infinity")),
            value if value.is_nan() => Json(Arc::from("NaN")),
            value => Json::from(serde_json::Value::from(value)),
        }
    }
}

impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A text is not JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonError {
    /// Byte offset of the trouble.
    pub offset: usize,
    /// What was expected there.
    pub expected: &'static str,
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not a JSON value: expected {} at byte {}", self.expected, self.offset)
    }
}

impl std::error::Error for JsonError {}

/// One pass over the bytes with an explicit stack, so that hostile nesting costs memory in proportion to
/// [`MAX_JSON_DEPTH`] only.
fn check(text: &str) -> Result<(), JsonError> {
    let mut scan = Scan { bytes: text.as_bytes(), at: 0 };
    let mut open: Vec<u8> = Vec::new();
    loop {
        scan.space();
        match scan.peek() {
            Some(bracket @ (b'[' | b'{')) => {
                if open.len() == MAX_JSON_DEPTH {
                    return Err(scan.expected("no deeper nesting than 128"));
                }
                scan.at += 1;
                scan.space();
                let close = if bracket == b'[' { b']' } else { b'}' };
                if scan.peek() != Some(close) {
                    open.push(close);
                    if close == b'}' {
                        scan.key()?;
                    }
                    continue;
                }
                scan.at += 1;
            }
            Some(b'"') => scan.string()?,
            _ => scan.scalar()?,
        }
        // A value has ended: close what it ends, or go on to the next one.
        loop {
            scan.space();
            let Some(&close) = open.last() else {
                return if scan.at == scan.bytes.len() { Ok(()) } else { Err(scan.expected("the end")) };
            };
            match scan.peek() {
                Some(b',') => {
                    scan.at += 1;
                    if close == b'}' {
                        scan.space();
                        scan.key()?;
                    }
                    break;
                }
                Some(byte) if byte == close => {
                    scan.at += 1;
                    open.pop();
                }
                _ => return Err(scan.expected("a comma or a closing bracket")),
            }
        }
    }
}

struct Scan<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Scan<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn expected(&self, expected: &'static str) -> JsonError {
        JsonError { offset: self.at, expected }
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn key(&mut self) -> Result<(), JsonError> {
        if self.peek() != Some(b'"') {
            return Err(self.expected("a key in quotes"));
        }
        self.string()?;
        self.space();
        if self.peek() != Some(b':') {
            return Err(self.expected("a colon"));
        }
        self.at += 1;
        Ok(())
    }

    fn string(&mut self) -> Result<(), JsonError> {
        self.at += 1;
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => {
                    self.at += 1;
                    match self.peek() {
                        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 1,
                        Some(b'u') => {
                            let digits = self.bytes.get(self.at + 1..self.at + 5);
                            if !digits.is_some_and(|four| four.iter().all(u8::is_ascii_hexdigit)) {
                                return Err(self.expected("four hexadecimal digits"));
                            }
                            self.at += 5;
                        }
                        _ => return Err(self.expected("an escape")),
                    }
                }
                Some(byte) if byte >= 0x20 => self.at += 1,
                _ => return Err(self.expected("the rest of a string")),
            }
        }
    }

    fn scalar(&mut self) -> Result<(), JsonError> {
        let rest = &self.bytes[self.at..];
        for word in ["null", "true", "false", "NaN", "Infinity", "-Infinity"] {
            if rest.starts_with(word.as_bytes()) {
                self.at += word.len();
                return Ok(());
            }
        }
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.peek() {
            Some(b'0') => self.at += 1,
            Some(b'1'..=b'9') => self.digits()?,
            _ => return Err(self.expected("a value")),
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), JsonError> {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if self.at == start { Err(self.expected("a digit")) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn accepts_what_python_writes() {
        for text in [
            "null",
            " [1, 2.5e-3, -0] ",
            "{\"a\": [NaN, Infinity, -Infinity], \"b\": {}}",
            "\"\\u00e9\\n\"",
            "[[],{}]",
        ] {
            assert!(Json::parse(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn refuses_with_an_offset() {
        for (text, offset) in [
            ("", 0),
            ("[1,]", 3),
            ("{\"a\" 1}", 5),
            ("01", 1),
            ("\"a", 2),
            ("[1] 2", 4),
            ("{a:1}", 1),
            ("\"\\x\"", 2),
            ("1.", 2),
            ("nul", 0),
            ("\"\n\"", 1),
        ] {
            assert_eq!(Json::parse(text).map_err(|e| e.offset), Err(offset), "{text}");
        }
    }

    #[test]
    fn nesting_is_bounded() {
        assert!(Json::parse(&format!("{}{}", "[".repeat(128), "]".repeat(128))).is_ok());
        assert!(Json::parse(&"[".repeat(1_000_000)).is_err());
    }

    proptest! {
        #[test]
        fn agrees_with_a_standard_parser(text in "[\\[\\]{}:,0-9eE.\"a\\\\ -]{0,12}") {
            let standard = serde_json::from_str::<serde_json::Value>(&text);
            // The one difference: a number too large for a double is text like any other to us.
            if !standard.as_ref().is_err_and(|e| e.to_string().starts_with("number out of range")) {
                prop_assert_eq!(Json::parse(&text).is_ok(), standard.is_ok());
            }
        }
    }
}
