//! The tests of `apply` and of what views answer: tables of one line a case, random logs against a naive
//! recomputation, hostile ops, and a pinned digest. Each suite has a canary that must fail.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod cases;
mod golden;
mod hostile;
mod lease_cases;
mod lineage;
mod metric_cases;
mod naive;
mod random;
mod snapshot;
mod table;
mod void_cases;
