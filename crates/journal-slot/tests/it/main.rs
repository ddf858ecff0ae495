//! The journal of immutable objects against its contract, and against stores that misbehave.

mod conformance;
mod snapshot;
