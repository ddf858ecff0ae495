//! What the server says of itself: which one it is, and what its settings are worth for a log.

use redis::{Connection, ErrorKind, RedisResult, ServerErrorKind, Value};
use std::fmt;

/// A server's settings, as far as it tells them. Where the log's user may not ask, they are `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Server {
    /// `Redis` or `Valkey`.
    pub name: &'static str,
    /// Its version, such as `7.2.4`.
    pub version: Option<String>,
    /// What it does when its memory is full: `noeviction` or another policy.
    pub eviction: Option<String>,
    /// Whether it writes an append-only file.
    pub append_only: Option<bool>,
    /// When it syncs that file: `always`, `everysec` or `no`.
    pub sync: Option<String>,
    /// When it writes snapshots, such as `3600 1 300 100`; empty for never.
    pub save: Option<String>,
    /// How many replicas it has now.
    pub replicas: Option<u32>,
    /// Whether it writes everything that a script does to its append-only file as a transaction, and keeps the first half of one whose end is
    /// missing: what it confirms behind that may be lost. Redis 6 does, unless `lua-replicate-commands` or
    /// `aof-load-truncated` is `no`; later servers do so only with scripts that write twice, of which there are none here.
    pub tears: bool,
}

impl Server {
    pub(crate) fn ask(connection: &mut Connection) -> RedisResult<Server> {
        let info = allowed(redis::cmd("INFO").query::<String>(connection))?.unwrap_or_default();
        let field = |name: &str| {
            let line = info.lines().find(|line| line.split(':').next() == Some(name))?;
            line.split_once(':').map(|(_, value)| value.trim().to_owned())
        };
        let mut config = |name: &str| -> RedisResult<Option<String>> {
            let reply = allowed(redis::cmd("CONFIG").arg("GET").arg(name).query::<Value>(connection))?;
            Ok(reply.and_then(second))
        };
        let valkey = field("valkey_version");
        let (sync, save) = (config("appendfsync")?, config("save")?);
        let mut is_no = |name: &str| config(name).map(|value| value.as_deref() == Some("no"));
        let is_safe = is_no("lua-replicate-commands")? || is_no("aof-load-truncated")?;
        let server = Server {
            name: if valkey.is_some() { "Valkey" } else { "Redis" },
            version: valkey.or_else(|| field("redis_version")),
            eviction: field("maxmemory_policy"),
            append_only: field("aof_enabled").map(|enabled| enabled == "1"),
            sync,
            save,
            replicas: field("connected_slaves").and_then(|count| count.parse().ok()),
            tears: false,
        };
        let tears = server.append_only == Some(true) && !server.is_at_least(7, 0) && !is_safe;
        Ok(Server { tears, ..server })
    }

    /// Whether it has at least this version; true if it does not tell.
    pub(crate) fn is_at_least(&self, major: u32, minor: u32) -> bool {
        let numbers = |version: &String| {
            let mut parts = version.split('.').map_while(|part| part.parse::<u32>().ok());
            Some((parts.next()?, parts.next().unwrap_or(0)))
        };
        self.version.as_ref().and_then(numbers).is_none_or(|found| found >= (major, minor))
    }

    /// Whether it may throw the log's keys away. They never expire, so that only policies for all keys touch them.
    pub(crate) fn may_evict(&self) -> bool {
        self.eviction.as_ref().is_some_and(|policy| policy.starts_with("allkeys"))
    }
}

impl fmt::Display for Server {
    /// One sentence: what the settings are worth for a record whose append has returned.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)?;
        if let Some(version) = &self.version {
            write!(f, " {version}")?;
        }
        match (self.append_only, self.sync.as_deref(), self.save.as_deref()) {
            (None, ..) => f.write_str(" does not tell how it keeps what it is told"),
            (Some(true), Some("always"), _) => f.write_str(" has every record on disk before it answers"),
            (Some(true), Some("everysec"), _) => f.write_str(
                " syncs its append-only file every second: a loss of power may take the last second or two, and so may its \
                 death while it syncs",
            ),
            (Some(true), Some("no"), _) => {
                f.write_str(" leaves its append-only file to the system: a loss of power may take half a minute")
            }
            (Some(true), ..) => f.write_str(" writes an append-only file, and does not tell when it syncs it"),
            (Some(false), _, Some("")) => f.write_str(" keeps nothing on disk: its end is the end of the log"),
            (Some(false), _, Some(save)) => {
                write!(f, " writes snapshots only (save {save}): its end takes what came since the last one")
            }
            (Some(false), _, None) => f.write_str(
                " has no append-only file: its end takes what came since its last snapshot, if it writes any",
            ),
        }?;
        if self.tears {
            f.write_str(
                "; as long as lua-replicate-commands is not set to no, its death while it writes may damage the log",
            )?;
        }
        match self.replicas {
            Some(0) | None => Ok(()),
            Some(1) => f.write_str("; it has a replica"),
            Some(replicas) => write!(f, "; it has {replicas} replicas"),
        }
    }
}

/// What is forbidden, or unknown to a server of another make, is no answer, and no error either.
fn allowed<T>(reply: RedisResult<T>) -> RedisResult<Option<T>> {
    match reply {
        Ok(value) => Ok(Some(value)),
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::Server(ServerErrorKind::NoPerm | ServerErrorKind::ResponseError)
            ) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn second(reply: Value) -> Option<String> {
    let Value::Array(parts) = reply else { return None };
    parts.into_iter().nth(1).and_then(crate::entry::text_of)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_worth_knowing_is_said() {
        let says = |server: &Server| server.to_string().contains("lua-replicate-commands");
        let server = Server { append_only: Some(true), tears: true, ..Server::default() };
        assert!(says(&server), "{server}");
        assert!(!says(&Server { tears: false, ..server }));
    }

    #[test]
    fn versions_compare_as_numbers() {
        let server = |version: &str| Server { version: Some(version.to_owned()), ..Server::default() };
        for (version, expected) in
            [("7.2.0", true), ("7.10", true), ("8.0.1", true), ("7.0.15", false), ("6.2", false)]
        {
            assert_eq!(server(version).is_at_least(7, 2), expected, "{version}");
        }
        assert!(Server::default().is_at_least(7, 2), "who does not tell is believed");
    }
}
