//! Logs with every op in them, damaged in every way, looked at through the doors that users have.

#![expect(clippy::unwrap_used, reason = "a failure to read is a failed test")]

mod damage;
mod logs;
mod losses;
mod places;
mod reports;
mod segments;
mod stale;
