//! Optuna's media under Trialog's contract: the conformance suite, tails that dead workers leave, and both locks.

#![expect(clippy::unwrap_used, reason = "a test's panic is its report")]

mod conformance;
mod locks;
mod server;
mod tails;
