//! Looking after a log: [`verify`] says whether it is whole, [`repair`] writes a new one from what is, [`stat`] says what it
//! holds, [`as_of`] how it was, and [`doctor`] whether a place can hold one. All but `repair` and [`doctor`] only read.
//! `docs/care.md` is the guide; the command line calls these functions and shows their reports.

mod doctor;
mod error;
mod history;
mod mend;
mod missing;
mod peer;
mod repair;
mod scan;
mod source;
mod stat;
mod tracker;
mod verify;
mod why;
mod window;

pub use doctor::{Doctor, Mode, NoHelper, Outcome, Probe, Spawner, doctor, judge, promises};
pub use error::Error;
pub use history::{Moment, as_of, as_of_on, digest_at};
pub use peer::doctor_helper;
pub use repair::{LOST_TRIAL_ATTR, LeftOut, Repair, SetAside, Trust, repair, repair_on};
pub use scan::{Damage, DamageKind, TornTail};
pub use source::SegmentFile;
pub use stat::{LARGEST_KEPT, LargeRecord, OpShare, Stat, StudyStat, stat, stat_on};
pub use tracker::{Counts, Readable};
pub use verify::{Affected, OpenTrial, Report, SnapshotCheck, verify, verify_on};
pub use why::Why;
