//! Why a repair leaves an op out, and how it says so.

use std::fmt;

/// Why an op could not be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Why {
    /// It makes something, and how many were made before it is not known, so neither is its number.
    Numbers,
    /// It names a metric by a key whose name may be lost.
    Metric(u32),
    /// It names a trial that was made behind the loss or in it.
    Trial(u64),
    /// It names a study that was made behind the loss or in it.
    Study(u32),
    /// It names a parameter whose definition is lost.
    Param(u32),
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Why::Numbers => f.write_str("its number depends on what is lost"),
            Why::Trial(id) => write!(f, "which trial has id {id} depends on what is lost"),
            Why::Study(id) => write!(f, "which study has id {id} depends on what is lost"),
            Why::Metric(key) => write!(f, "the name of metric {key} may be lost"),
            Why::Param(key) => write!(f, "the definition of parameter {key} may be lost"),
        }
    }
}
