//! The journal on real servers, started here: they are killed, stopped, failed over and filled.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

mod cluster;
mod conformance;
mod failover;
mod failures;
mod layout;
mod retries;
mod server;
mod snapshot;
mod torn;
mod waiting;
