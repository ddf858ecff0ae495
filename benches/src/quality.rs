//! Test functions, and what a sampler makes of them: `cargo xtask quality` runs each sampler of ours against Optuna's of the
//! same name. What the command prints and what the words mean stands in `benches/peers/README.md`.

pub mod functions;
mod held;
pub mod peer;
pub mod run;
pub mod score;
