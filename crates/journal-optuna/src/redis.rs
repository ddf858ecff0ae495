//! The journal in Redis: `<prefix>:log_number` is the number of the last record, and `<prefix>:log:<n>` holds record n.
//!
//! On a single server an append is one call of a script that does what Optuna's does, for several records at once, and
//! brings along what others have appended since: one round trip. In a cluster the keys lie on different nodes, so a
//! number is taken first and the record is put there after that, as Optuna has it. A worker that dies in between leaves a
//! number without a record, for which Optuna's workers wait for ever; here it is an error that names the key.
//!
//! `<prefix>:snapshot` holds a pickle, which only Python could run. It is never read.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};

use redis::cluster::{ClusterClient, ClusterConnection, cluster_pipe};
use redis::{Client, Connection, ConnectionLike, RedisError, RedisResult, Value};
use trialog_journal::{Durability, Error, Journal, RECORD_BYTES_MAX, Seq, Visitor};

/// How long a server may take to answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How long a number may be without its record: whoever takes it writes the record at once.
const HOLE_MAX: Duration = Duration::from_secs(10);

/// Records that are asked for at a time, and bytes of them that stay in memory.
const BATCH: u64 = 1000;
const KEPT_BYTES: usize = 1 << 20;

/// Optuna's script, for several records in a row. Given the number of records that the caller knows, it answers the
/// number of the first one that it added, and the records in between unless they are many.
const APPEND: &str = "\
redis.call('setnx', ARGV[1] .. ':log_number', -1)
local last
for k = 3, #ARGV do
    last = redis.call('incr', ARGV[1] .. ':log_number')
    redis.call('set', string.format('%s:log:%d', ARGV[1], last), ARGV[k])
end
local first = last - #ARGV + 3
local between = {}
if first - ARGV[2] <= 1000 then
    for n = ARGV[2], first - 1 do
        between[#between + 1] = redis.call('get', string.format('%s:log:%d', ARGV[1], n))
    end
end
return {first, between}";

/// Where a journal in Redis is, and whether the server is one of many.
#[derive(Clone)]
pub struct RedisTarget {
    /// URLs as the `redis` crate has them: one for a single server, any nodes of a cluster.
    pub urls: Vec<String>,
    /// Whether they are nodes of a cluster: Optuna's `use_cluster`.
    pub cluster: bool,
    /// What all keys begin with. Optuna's default is empty.
    pub prefix: String,
    /// Never write, and do not ask whether one may. Default in Optuna: there is no such thing.
    pub read_only: bool,
}

enum Server {
    Single(Client),
    Cluster(ClusterClient),
}

enum Link {
    Single(Connection),
    Cluster(Box<ClusterConnection>),
}

/// A handle on a journal of Optuna's in Redis.
pub struct OptunaRedis {
    server: Server,
    prefix: String,
    /// Without user and password.
    location: String,
    read_only: bool,
    process: AtomicU32,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    link: Option<Link>,
    /// The number of the first record in memory, and the records from there on.
    first: u64,
    records: Vec<Vec<u8>>,
    bytes: usize,
    /// How many records there are at least.
    seen: u64,
}

impl Inner {
    fn end(&self) -> u64 {
        self.first + self.records.len() as u64
    }

    fn push(&mut self, record: Vec<u8>) {
        self.bytes += record.len();
        self.records.push(record);
        self.seen = self.seen.max(self.end());
    }

    /// Lets go of what is in memory, if that is much.
    fn trim(&mut self) {
        if self.bytes >= KEPT_BYTES {
            self.begin_at(self.end());
        }
    }

    fn begin_at(&mut self, first: u64) {
        (self.first, self.bytes) = (first, 0);
        self.records.clear();
    }
}

impl OptunaRedis {
    /// Opens the journal, which needs nothing to be there yet.
    ///
    /// # Errors
    /// A server that cannot be reached, or what it says.
    pub fn open(target: &RedisTarget) -> Result<OptunaRedis, Error> {
        let host = target.urls.first().map_or("", |url| host_of(url));
        let location = format!("optuna+redis://{host} with prefix {:?}", target.prefix);
        let failed = |error: RedisError| io_error(&location, "connect to", &error);
        let server = if target.cluster {
            let builder = ClusterClient::builder(target.urls.clone()).connection_timeout(TIMEOUT);
            Server::Cluster(builder.response_timeout(TIMEOUT).build().map_err(failed)?)
        } else {
            let url = target.urls.first().map_or("", String::as_str);
            Server::Single(Client::open(url).map_err(failed)?)
        };
        let journal = OptunaRedis {
            server,
            prefix: target.prefix.clone(),
            location,
            read_only: target.read_only,
            process: AtomicU32::new(std::process::id()),
            inner: Mutex::default(),
        };
        journal.ask("connect to", |inner| journal.last(inner)).map(drop)?;
        Ok(journal)
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn key(&self, number: u64) -> String {
        format!("{}:log:{number}", self.prefix)
    }

    /// Asks the server, over a new connection if the last one failed.
    fn ask<T>(&self, action: &'static str, work: impl FnOnce(&mut Inner) -> RedisResult<T>) -> Result<T, Error> {
        let mut inner = self.inner();
        self.ask_with(&mut inner, action, work)
    }

    fn ask_with<T>(
        &self,
        inner: &mut Inner,
        action: &'static str,
        work: impl FnOnce(&mut Inner) -> RedisResult<T>,
    ) -> Result<T, Error> {
        let failed = |error: RedisError| io_error(&self.location, action, &error);
        if inner.link.is_none() {
            inner.link = Some(self.connect().map_err(failed)?);
        }
        work(inner).map_err(|error| {
            // What was asked may have been done or not; the next question begins with a clean line.
            inner.link = None;
            failed(error)
        })
    }

    fn connect(&self) -> RedisResult<Link> {
        Ok(match &self.server {
            Server::Single(client) => {
                let connection = client.get_connection_with_timeout(TIMEOUT)?;
                connection.set_read_timeout(Some(TIMEOUT))?;
                connection.set_write_timeout(Some(TIMEOUT))?;
                Link::Single(connection)
            }
            Server::Cluster(client) => Link::Cluster(Box::new(client.get_connection()?)),
        })
    }

    /// How many records the journal says it has.
    fn last(&self, inner: &mut Inner) -> RedisResult<u64> {
        let mut get = redis::cmd("GET");
        get.arg(format!("{}:log_number", self.prefix));
        let last: Option<i64> = link(inner)?.ask(&get)?;
        Ok(last.and_then(|last| u64::try_from(last + 1).ok()).unwrap_or(0))
    }

    fn fetch(&self, inner: &mut Inner, from: u64, to: u64) -> RedisResult<Vec<Option<Vec<u8>>>> {
        match link(inner)? {
            Link::Single(connection) => {
                let mut get = redis::cmd("MGET");
                (from..to).for_each(|number| _ = get.arg(self.key(number)));
                get.query(connection)
            }
            Link::Cluster(connection) => {
                let mut all = cluster_pipe();
                (from..to).for_each(|number| _ = all.get(self.key(number)));
                all.query(connection)
            }
        }
    }

    fn append_single(&self, inner: &mut Inner, records: &[&[u8]]) -> RedisResult<u64> {
        inner.trim();
        let known = inner.end();
        let mut eval = redis::cmd("EVAL");
        eval.arg(APPEND).arg(0).arg(&self.prefix).arg(known);
        records.iter().for_each(|record| _ = eval.arg(*record));
        let (first, between): (u64, Vec<Option<Vec<u8>>>) = link(inner)?.ask(&eval)?;
        let whole = first >= known && between.len() as u64 == first - known && between.iter().all(Option::is_some);
        if whole {
            between.into_iter().flatten().for_each(|record| inner.push(record));
            records.iter().for_each(|record| inner.push(record.to_vec()));
        }
        inner.seen = inner.seen.max(first + records.len() as u64);
        Ok(first)
    }

    /// The records need not lie next to one another, so only the first one's number is told for one; see `append`.
    fn append_cluster(&self, inner: &mut Inner, record: &[u8]) -> RedisResult<u64> {
        let counter = format!("{}:log_number", self.prefix);
        let _: Value = link(inner)?.ask(redis::cmd("SETNX").arg(&counter).arg(-1))?;
        let number: u64 = link(inner)?.ask(redis::cmd("INCR").arg(&counter))?;
        let _: Value = link(inner)?.ask(redis::cmd("SET").arg(self.key(number)).arg(record))?;
        Ok(number)
    }

    fn visit(inner: &Inner, from: u64, visit: &mut Visitor<'_>) -> (u64, ControlFlow<()>) {
        let mut number = from;
        for record in &inner.records[(from - inner.first) as usize..] {
            let flow = visit(Seq(number), record);
            number += 1;
            if flow.is_break() {
                return (number, flow);
            }
        }
        (number, ControlFlow::Continue(()))
    }
}

impl Link {
    fn ask<T: redis::FromRedisValue>(&mut self, command: &redis::Cmd) -> RedisResult<T> {
        match self {
            Link::Single(connection) => command.query(connection),
            Link::Cluster(connection) => command.query(&mut **connection as &mut dyn ConnectionLike),
        }
    }
}

fn link(inner: &mut Inner) -> RedisResult<&mut Link> {
    inner.link.as_mut().ok_or_else(|| (redis::ErrorKind::Io, "not connected").into())
}

impl Journal for OptunaRedis {
    fn append(&self, records: &[&[u8]], _: Durability) -> Result<Seq, Error> {
        if self.read_only {
            return Err(Error::ReadOnly { location: self.location.clone() });
        }
        if let Some(record) = records.iter().find(|record| record.len() > RECORD_BYTES_MAX) {
            return Err(Error::TooLarge { bytes: record.len() });
        }
        let process = std::process::id();
        let mut inner = self.inner();
        if self.process.swap(process, Ordering::Relaxed) != process {
            // The parent speaks on the same connection.
            inner.link = None;
            return Err(Error::Forked { location: self.location.clone() });
        }
        let inner = &mut *inner;
        if records.is_empty() {
            return self.ask_with(inner, "look at", |inner| self.last(inner)).map(Seq);
        }
        if let Server::Single(_) = self.server {
            return self.ask_with(inner, "append to", |inner| self.append_single(inner, records)).map(Seq);
        }
        let [record] = records else {
            let detail = "in a cluster records cannot be appended next to one another".to_owned();
            return Err(Error::Unsupported { location: self.location.clone(), detail });
        };
        self.ask_with(inner, "append to", |inner| self.append_cluster(inner, record)).map(Seq)
    }

    fn read(&self, from: Seq, visit: &mut Visitor<'_>) -> Result<Seq, Error> {
        let inner = &mut *self.inner();
        let mut number = from.0;
        let mut hole: Option<Instant> = None;
        loop {
            if (inner.first..inner.end()).contains(&number) {
                let (next, flow) = OptunaRedis::visit(inner, number, visit);
                number = next;
                if flow.is_break() {
                    return Ok(Seq(number));
                }
            }
            let there = self.ask_with(inner, "look at", |inner| self.last(inner))?;
            if there < inner.seen.max(number) {
                let (location, seen) = (self.location.clone(), inner.seen.max(number));
                return Err(Error::Regressed { location, seen, found: there });
            }
            if there == number {
                return Ok(Seq(number));
            }
            // Everything in memory has been handed over.
            inner.trim();
            if number != inner.end() {
                inner.begin_at(number);
            }
            let to = there.min(number + BATCH);
            let fetched = self.ask_with(inner, "read", |inner| self.fetch(inner, number, to))?;
            let found = fetched.into_iter().map_while(|record| record);
            let before = inner.end();
            found.for_each(|record| inner.push(record));
            if inner.end() > before {
                hole = None;
                continue;
            }
            let since = *hole.get_or_insert_with(Instant::now);
            if since.elapsed() > HOLE_MAX {
                let detail = format!(
                    "the key {:?} was promised and is missing: a worker died between two commands, or somebody \
                     removed it; any record of an op that changes nothing may be put there",
                    self.key(number)
                );
                return Err(Error::Corrupt {
                    location: self.location.clone(),
                    offset: number,
                    seq: number,
                    detail,
                });
            }
            sleep(Duration::from_millis(5));
        }
    }

    fn location(&self) -> &str {
        &self.location
    }
}

/// Host and database of a URL, without what is before an `@`.
fn host_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.rsplit_once('@').map_or(rest, |(_, host)| host)
}

fn io_error(location: &str, action: &'static str, error: &RedisError) -> Error {
    let kind = if error.is_timeout() { std::io::ErrorKind::TimedOut } else { std::io::ErrorKind::Other };
    let source = std::io::Error::new(kind, error.to_string());
    if error.code() == Some("OOM") {
        return Error::OutOfSpace { location: location.to_owned(), source };
    }
    Error::Io { location: location.to_owned(), action, source }
}
