//! Why bytes are not a record, or not one that this version can read.

use std::fmt;

use trialog_ops::JsonError;

/// Bytes that are not a record of this version. Offsets count from the first byte that was handed in.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecodeError {
    /// The bytes end where more must follow, or a body ends before its fields do.
    Truncated {
        /// Where the missing field begins.
        offset: usize,
    },
    /// Bytes follow the last op.
    Trailing {
        /// Where they begin.
        offset: usize,
    },
    /// An op of a later version that must not be skipped: a newer Trialog is needed.
    UnknownOp {
        /// Its code.
        code: u8,
        /// Where it begins.
        offset: usize,
    },
    /// A known op has more fields than this version knows: a newer Trialog is needed.
    UnknownFields {
        /// The op's code.
        code: u8,
        /// Where the unknown fields begin.
        offset: usize,
    },
    /// A field holds what it must not: text that is not UTF-8 or not JSON, a distribution that cannot be drawn
    /// from, a number without a meaning, NaN.
    Invalid {
        /// Where the last field that was read begins.
        offset: usize,
        /// What is wrong.
        what: String,
    },
    /// A length that no record can have.
    Limit {
        /// Where the length stands, or where the limit is passed.
        offset: usize,
    },
}

impl DecodeError {
    /// The byte offset of the trouble.
    #[must_use]
    pub fn offset(&self) -> usize {
        match *self {
            DecodeError::Truncated { offset }
            | DecodeError::Trailing { offset }
            | DecodeError::UnknownOp { offset, .. }
            | DecodeError::UnknownFields { offset, .. }
            | DecodeError::Invalid { offset, .. }
            | DecodeError::Limit { offset } => offset,
        }
    }

    /// True if the record may well be sound, and a newer version can read it.
    #[must_use]
    pub fn is_newer_format(&self) -> bool {
        matches!(self, DecodeError::UnknownOp { .. } | DecodeError::UnknownFields { .. })
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DecodeError::Truncated { offset } => write!(f, "the record breaks off at byte {offset}"),
            DecodeError::Trailing { offset } => {
                write!(f, "the record's last op ends at byte {offset}, and more bytes follow")
            }
            DecodeError::UnknownOp { code, offset } => {
                write!(f, "op code {code:#04x} at byte {offset} is unknown: a newer Trialog is needed to read it")
            }
            DecodeError::UnknownFields { code, offset } => write!(
                f,
                "op code {code:#04x} has unknown fields at byte {offset}: a newer Trialog is needed to read it"
            ),
            DecodeError::Invalid { offset, what } => write!(f, "invalid content at byte {offset}: {what}"),
            DecodeError::Limit { offset } => {
                write!(f, "a length at byte {offset} exceeds what a record can hold")
            }
        }
    }
}

impl std::error::Error for DecodeError {}

impl From<JsonError> for DecodeError {
    fn from(error: JsonError) -> DecodeError {
        DecodeError::Invalid { offset: error.offset, what: format!("expected {}", error.expected) }
    }
}
