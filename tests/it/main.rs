//! Trialog at its front door: what people do with it, what they do wrong, and the laws as they see them.
//!
//! Each module ends with a canary: a wrong case that its checks must find.

#![expect(clippy::unwrap_used, reason = "a test's panic is its report")]

mod ask_tell;
mod bad_files;
mod bad_input;
#[cfg(unix)]
mod chaos;
mod compaction;
mod full_disk;
mod laws;
mod leases;
mod metrics;
mod optimize;
mod optuna;
mod processes;
#[cfg(feature = "redb")]
mod redb;
mod rederive;
#[cfg(feature = "redis")]
mod redis;
mod scenarios;
mod shadow;
mod studies;
mod support;
mod table;
mod transfer;
mod void;
