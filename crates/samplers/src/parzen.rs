//! Parzen estimators: densities made of one kernel for each observation and a wide one for what is not known yet.
//!
//! After Bergstra, Bardenet, Bengio and Kegl, "Algorithms for hyper-parameter optimization" (NIPS 2011), in the
//! form that Optuna 5 gives them. [`Mixture`] is the density by its definition; [`Density`] computes the same
//! faster.

mod axis;
mod density;
mod groups;
mod growing;
mod line;
mod mixture;
mod ranks;
mod series;
mod taylor;
mod tree;
mod widths;

pub use axis::{Axis, NumericAxis};
pub use density::Density;
pub(crate) use growing::{Growing, Outcome};
pub use mixture::{KernelOptions, Mixture, Weights};
