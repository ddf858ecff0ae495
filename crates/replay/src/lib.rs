//! The state machine. [`State::apply`] folds records into a [`State`]: total, pure, and the same everywhere.
//! [`StudyView`] is what samplers, pruners and people read. Nothing here touches I/O, a clock or randomness.

mod audit;
mod column;
mod digest;
mod index;
mod lost;
mod metric;
mod rank;
mod reports;
mod series;
mod shared_map;
mod snapshot;
mod state;
mod study;
mod verdict;
mod view;
mod workers;

pub use audit::{Amended, CHANGES_MAX, Change, ChangeKind};
pub use column::Column;
pub use digest::Digest;
pub use lost::Late;
pub use metric::metrics_fault;
pub use rank::RankList;
pub use series::{Series, SeriesId};
pub use snapshot::SnapshotError;
pub use state::{ParamTable, State};
pub use study::BEST_KEPT;
pub use verdict::{Reason, Verdict};
pub use view::{Lineage, Over, ParamColumn, StudyView, TrialView};
pub use workers::Worker;
