//! An embedded storage engine for hyperparameter-optimization studies, and the optimizer that runs on it.
//!
//! ```
//! use trialog::Study;
//!
//! # fn main() -> trialog::Result<()> {
//! let study = Study::in_memory()?;
//! study.optimize(100, |trial| {
//!     let x = trial.suggest_float("x", -100.0..=100.0)?;
//!     Ok((x - 2.0).powi(2))
//! })?;
//! println!("{} at {}", study.best_value()?, study.best_params()?);
//! # Ok(())
//! # }
//! ```
//!
//! A study lives in a [`Storage`], an append-only log that any number of threads and processes share:
//! [`open`] a file, make or load a [`Study`] in it by name, and call [`Study::optimize`] with a function from a
//! [`Trial`] to one value per objective. Whatever is told is in the log when the call returns.

mod builder;
mod changes;
mod error;
mod explain;
mod frozen;
mod lease;
mod new_trial;
mod open;
mod optimize;
mod optuna;
mod oracle;
mod queue;
mod space;
mod storage;
mod study;
mod table;
mod transfer;
mod trial;
mod values;
mod verify;

pub use builder::StudyBuilder;
pub use changes::Amend;
pub use error::{BoxError, Error, Result};
pub use explain::{Explanation, How, ParamExplanation, Seen};
pub use frozen::{FrozenTrial, Params};
pub use new_trial::NewTrial;
pub use open::{DurabilityLevel, OpenOptions, open};
pub use optimize::Optimizer;
pub use space::{Category, Float, Int, float, int};
pub use storage::{Storage, StudySummary};
pub use study::Study;
pub use table::{Table, TableError};
pub use transfer::At;
pub use trial::{Pruned, Trial};
pub use values::Values;
pub use verify::{Difference, Rederived, Underived};

/// What a medium must be able to do, for [`OpenOptions::open_journal`].
pub use trialog_journal as journal;
pub use trialog_ops::{
    Amendment, Budget, CategoricalDistribution, Choice, ComponentSpec, Direction, Distribution, DistributionError,
    FloatDistribution, IntDistribution, Json, JsonError, METRIC_NAME_BYTES_MAX, Note, ParamDef, ParamKey,
    ParamValue, RetryPolicy, StudyConfig, Timestamp, TrialId, TrialNumber, TrialState,
};
/// Whether to go on with a trial.
pub use trialog_pruners as pruners;
pub use trialog_replay::{Amended, Change, ChangeKind, Digest, Late, StudyView, TrialView};
/// Where to look next.
pub use trialog_samplers as samplers;
/// A log, record by record; see [`Storage::follow`].
pub use trialog_storage::{Follower, Met, Step};
/// Studies from one storage to another, and from files: the options and reports of [`Storage`]'s methods.
pub use trialog_transfer as transfers;

/// The programs in the README are true.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
pub struct Readme;
