//! Faked operating systems and generators for Trialog's tests.
//!
//! Never a dependency of the library itself.

mod os;
pub mod sim;
mod stale;

pub use os::{Call, Failure, FakeOs, Lie, Survival};
