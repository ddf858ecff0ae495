//! The journal crate at its doors: the memory journal, frames, headers, and the suite that judges backends.

#![expect(clippy::unwrap_used, reason = "a test's panic is its report")]

mod conformance;
mod format;
mod frame;
