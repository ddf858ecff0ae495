//! The journal in redb files: its contract, its snapshots, and real processes that are locked out or killed.

#![expect(clippy::unwrap_used, reason = "a test's panic is its report")]

mod files;
mod processes;
mod snapshot;
mod support;
