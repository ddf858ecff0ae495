//! Studies from any storage to any other: copied while their source goes on, merged, and imported from other programs'
//! files. Everything goes through one door, [`write()`], which goes on where an earlier run stopped and never doubles a
//! trial. This crate opens no storage; it is given them.

mod content;
mod error;
mod merge;
mod parse;
mod records;
mod rows;
#[cfg(feature = "sqlite")]
mod sqlite;
mod write;

pub use content::{ContentDigest, Head, Moved, digest_of};
pub use error::Error;
pub use merge::{Merged, ORIGIN, merge};
pub use records::{RecordsReader, write_records};
pub use rows::{Column, ColumnKind, RowsOptions, RowsReader};
#[cfg(feature = "sqlite")]
pub use sqlite::{OptunaDb, OptunaStudy};
pub use write::{Collision, Options, Progress, Report, copy, write};
