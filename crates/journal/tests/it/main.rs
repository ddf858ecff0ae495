//! The journal crate at its doors: the memory journal, frames, headers, and the suite that judges backends.

mod conformance;
mod format;
mod frame;
