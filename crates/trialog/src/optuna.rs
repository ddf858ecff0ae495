//! Optuna's journals by URL, and what they need of this machine: its time zone, since Optuna before version 5 writes
//! local times.

use jiff::tz::TimeZone;
use jiff::{Timestamp, civil};
use trialog_journal_optuna::RedisTarget;
use trialog_storage::{Dialect, LocalClock, OptunaDialect, Spacing};

pub(crate) fn in_file() -> Dialect {
    Dialect::Optuna(OptunaDialect { spacing: Spacing::Compact, side_by_side: true, clock: CLOCK })
}

pub(crate) fn in_redis(target: &RedisTarget) -> Dialect {
    let side_by_side = !target.cluster;
    Dialect::Optuna(OptunaDialect { spacing: Spacing::Spaced, side_by_side, clock: CLOCK })
}

const CLOCK: LocalClock = LocalClock { to_utc, from_utc };

/// The server that is meant by `redis` or `rediss` and what stands behind it: `//host:port/db?prefix=p&cluster=true`,
/// where a cluster may have several hosts with commas between them. Other words of the query are for the `redis` crate.
pub(crate) fn redis_target(scheme: &str, rest: &str, read_only: bool) -> Result<RedisTarget, String> {
    let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
    let place = place.strip_prefix("//").ok_or("write //host:port/database after the colon")?;
    let mut target = RedisTarget { urls: Vec::new(), cluster: false, prefix: String::new(), read_only };
    let mut others = Vec::new();
    for word in query.split('&').filter(|word| !word.is_empty()) {
        match word.split_once('=') {
            Some(("prefix", prefix)) => target.prefix = decoded(prefix).ok_or("the prefix is no text")?,
            Some(("cluster", value)) => target.cluster = value == "true" || value == "1",
            _ => others.push(word),
        }
    }
    let (hosts, database) = place.split_once('/').map_or((place, ""), |(hosts, database)| (hosts, database));
    // User and password stand before the first host and count for all of them.
    let (user, hosts) =
        hosts.rsplit_once('@').map_or((String::new(), hosts), |(user, hosts)| (format!("{user}@"), hosts));
    let others = if others.is_empty() { String::new() } else { format!("?{}", others.join("&")) };
    target.urls = hosts.split(',').map(|host| format!("{scheme}://{user}{host}/{database}{others}")).collect();
    if !target.cluster && target.urls.len() > 1 {
        return Err("several hosts are those of a cluster: say cluster=true".to_owned());
    }
    Ok(target)
}

/// A word of a query without its percent signs.
fn decoded(word: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(word.len());
    let mut rest = word.as_bytes();
    while let [first, behind @ ..] = rest {
        if *first != b'%' {
            bytes.push(*first);
            rest = behind;
            continue;
        }
        let digits = std::str::from_utf8(behind.get(..2)?).ok()?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = &behind[2..];
    }
    String::from_utf8(bytes).ok()
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

    #[test]
    fn servers_by_url() {
        let target =
            redis_target("redis", "//me:secret@host:7000,other/3?prefix=a%3ab&cluster=true&protocol=resp3", false);
        let target = target.unwrap();
        assert_eq!((target.prefix.as_str(), target.cluster), ("a:b", true));
        let urls = ["redis://me:secret@host:7000/3?protocol=resp3", "redis://me:secret@other/3?protocol=resp3"];
        assert_eq!(target.urls, urls);
        let plain = redis_target("rediss", "//host", true).unwrap();
        assert_eq!((plain.urls.as_slice(), plain.prefix.as_str()), (&["rediss://host/".to_owned()][..], ""));
        for wrong in ["host", "//a,b/0", "//a?prefix=%zz"] {
            assert!(redis_target("redis", wrong, false).is_err(), "{wrong}");
        }
    }
}
