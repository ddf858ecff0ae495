//! What Optuna's journals need of this machine: its time zone, since Optuna before version 5 writes local times.

use jiff::tz::TimeZone;
use jiff::{Timestamp, civil};
use trialog_storage::{LocalClock, OptunaDialect, Spacing};

pub(crate) fn dialect(spacing: Spacing) -> OptunaDialect {
    OptunaDialect { spacing, clock: LocalClock { to_utc, from_utc } }
}

/// Beyond the years that a calendar has, a time is its own.
fn to_utc(local: i64) -> i64 {
    let shown = Timestamp::from_microsecond(local).map(|time| TimeZone::UTC.to_datetime(time));
    let moment = |shown: civil::DateTime| TimeZone::system().to_ambiguous_timestamp(shown).compatible();
    shown.and_then(moment).map_or(local, Timestamp::as_microsecond)
}

fn from_utc(moment: i64) -> i64 {
    let shown = Timestamp::from_microsecond(moment).map(|time| TimeZone::system().to_datetime(time));
    let naive = shown.and_then(|shown| TimeZone::UTC.to_timestamp(shown));
    naive.map_or(moment, Timestamp::as_microsecond)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_comes_back_from_the_clock_on_the_wall() {
        for moment in [0, 1_795_306_929_222_324, -1] {
            assert_eq!(to_utc(from_utc(moment)), moment);
        }
        assert_eq!(to_utc(i64::MAX), i64::MAX);
    }
}
