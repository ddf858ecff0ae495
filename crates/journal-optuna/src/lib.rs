//! Optuna's own journals, in a file and in Redis, shared with its workers while they run. What a line says is somebody
//! else's concern; what is kept here is Optuna's protocol: whose turn it is, where a line goes, and how to read it.
//!
//! A line is a record, so one append of several records is several lines that lie next to one another.
//!
//! What Optuna's protocol does not promise, this cannot either: a process that stands still for longer than the grace
//! period while it holds the lock loses it to others, and there are no checksums.

mod file;
mod lock;
mod redis;
mod window;

pub use self::redis::{OptunaRedis, RedisTarget};
pub use file::{Options, OptunaFile};
pub use lock::LockKind;
