//! The file journal at its doors: on this machine's files, on real processes, and on a machine in memory whose
//! calls fail where a test wants them to.

#![expect(clippy::unwrap_used, reason = "a test's panic is its report")]

mod compact;
mod conformance;
mod crash;
mod damage;
mod faults;
mod golden;
mod group;
mod holes;
mod made_up;
mod open;
mod processes;
mod protocol;
mod snapshot;
mod stale;
mod support;
mod unordered;
