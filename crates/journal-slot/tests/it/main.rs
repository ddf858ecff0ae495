//! The journal of immutable objects against its contract, and against stores that misbehave.

#[cfg(feature = "bucket")]
mod bucket;
mod conformance;
mod faulty;
mod snapshot;
