//! Samplers at their doors: densities against Optuna's, suggestions pinned, and values that are always valid.

#![expect(clippy::unwrap_used, reason = "a golden file that does not parse is a failed test")]

mod auto;
mod cma;
mod enumerate;
mod forest;
mod gp;
mod nsga;
mod odd;
mod parzen;
mod qmc;
mod study;
mod tpe;
mod valid;
mod zoo;
