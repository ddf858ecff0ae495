//! How a journal's records are written: as Trialog's own, or as somebody else's.

/// How records are written and read.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub enum Dialect {
    /// Trialog's own: everything can be said, several ops are one record, and one applied twice is recognised.
    #[default]
    Native,
    /// Optuna's lines of JSON, shared with its workers: one op is one line, and some ops cannot be said.
    Optuna(OptunaDialect),
}

/// What has to be known to read and write Optuna's lines.
#[derive(Clone, Copy, Debug)]
pub struct OptunaDialect {
    /// How the lines are spaced.
    pub spacing: trialog_codec::optuna::Spacing,
    /// Whether the lines of one commit can be appended next to one another. Where they cannot, each is for itself.
    pub side_by_side: bool,
    /// The clock on the wall: Optuna before version 5 writes times without an offset, and all its workers take them as
    /// those of their own time zone.
    pub clock: LocalClock,
}

/// A time zone, as two functions between microseconds since 1970 in UTC and as a clock there shows them.
#[derive(Clone, Copy, Debug)]
pub struct LocalClock {
    /// The moment at which a clock there shows this time.
    pub to_utc: fn(i64) -> i64,
    /// What a clock there shows at this moment.
    pub from_utc: fn(i64) -> i64,
}

impl LocalClock {
    /// A clock that shows UTC.
    #[must_use]
    pub fn utc() -> LocalClock {
        LocalClock { to_utc: |time| time, from_utc: |time| time }
    }
}

impl Dialect {
    /// True if parameters can be taken back that were proposed for a trial and that it never asked for.
    #[must_use]
    pub fn retracts_params(&self) -> bool {
        matches!(self, Dialect::Native)
    }
}
