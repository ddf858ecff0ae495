//! The Optuna dialect: lines of JSON as Optuna's journals hold them, to what they say and back, to the byte.
//!
//! A [`Line`] is what one line says and no more. What it does to a study depends on what the study is by then, and is
//! for the storage to know. Nothing in a line is ever run: what Optuna's samplers pickled stays text.
//! `docs/optuna.md` says which op becomes which line.

mod line;
mod text;
mod time;
mod value;
mod worker;

pub use line::{AttrKind, Def, Line, Reader, StateChange, Template, write_line};
pub use text::{Spacing, is_same_to_python};
pub use time::Time;
pub use worker::worker_text;
