//! Transfers: what arrives is what was sent, a killed transfer is gone on with, merges are unions, and files of strangers are refused where
//! they are wrong. Each module ends with a canary: a wrong case that its checks must find.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod copies;
mod files;
mod merges;
#[cfg(feature = "sqlite")]
mod optuna_db;
mod studies;
