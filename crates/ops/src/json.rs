//! Attribute values: checked JSON text, kept as it was written.
//!
//! Besides standard JSON the text may hold the bare tokens `NaN`, `Infinity` and `-Infinity`, which Python
//! writes and Optuna's journals contain.

mod scan;

use std::fmt;
use std::sync::Arc;

pub use scan::JsonScan;

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
        let mut scan = JsonScan::new(text);
        scan.value(MAX_JSON_DEPTH)?;
        scan.end()?;
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
    fn parts_are_slices_of_the_text() {
        let text = " { \"a\" : [1, {\"b\":2}] , \"\\n\":NaN } ";
        let mut scan = JsonScan::new(text);
        let members: Vec<_> = scan.members().collect::<Result<_, _>>().unwrap();
        assert_eq!(members, [("a", "[1, {\"b\":2}]"), ("\\n", "NaN")]);
        assert!(scan.end().is_ok());
        let items: Vec<_> = JsonScan::new(members[0].1).items().collect::<Result<_, _>>().unwrap();
        assert_eq!(items, ["1", "{\"b\":2}"]);
        assert_eq!((JsonScan::new("{}").members().count(), JsonScan::new("[ ]").items().count()), (0, 0));
    }

    #[test]
    fn parts_end_behind_the_first_error() {
        for (text, good, offset) in [
            ("[]", 0, 0),
            ("{\"a\":1,}", 1, 7),
            ("{\"a\":1;\"b\":2}", 1, 6),
            ("{\"a\":1, \"b\" 2}", 1, 12),
            ("{\"a\"", 0, 4),
        ] {
            let members: Vec<_> = JsonScan::new(text).members().collect();
            assert_eq!(members.len(), good + 1, "{text}");
            assert_eq!(members[good].as_ref().map_err(|e| e.offset), Err(offset), "{text}");
        }
        let items: Vec<_> = JsonScan::new("[1 2]").items().collect();
        assert_eq!(items, [Ok("1"), Err(JsonError { offset: 3, expected: "a comma or a closing bracket" })]);
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
