//! What each fuzz target does with its bytes. The programs in `fuzz_targets/` only hand them over, so that whoever
//! found something can call the same function from a test.
//!
//! Every target holds its input to three things: no panic, no hang (that limit is the fuzzer's), and memory in
//! proportion to the input.

pub mod canary;
pub mod frame;
pub mod header;
pub mod inspect;
pub mod json;
mod look;
mod memory;
mod mend;
mod mutate;
pub mod open;
pub mod optuna;
pub mod record;
pub mod replay;
pub mod seal;
pub mod snapshot;
pub mod url;

pub use mutate::{Format, Mutate};
