//! Pruners at their doors: decisions against Optuna's, odd data, names and options, and caches that may go.

#![expect(clippy::unwrap_used, reason = "a golden file that does not parse is a failed test")]

mod golden;
mod metrics;
mod odd;
mod reasons;
mod registry;
mod study;
