//! Trialog's journal on a Redis server that many machines share: Redis 6 to 8 and Valkey; alone, behind Sentinels, or
//! as a cluster. `docs/format.md`, section "Redis", owns the keys.
//!
//! The log is one stream, and its end is the stream's last entry. An append is one script and so one round trip: the script
//! checks that the log still holds what this writer was told of it, that the batch is not there already, adds it at the
//! end, and sends what others appended in between. A reader sees what scripts have done and nothing in between.
//!
//! What is assumed of the server:
//! - nothing comes between the commands of a script, and a single command takes place as a whole or not at all: in memory,
//!   on replicas and in the append-only file. That several commands of one script do so as well is not assumed, since servers
//!   that are killed while they write their file break it: no script here writes twice;
//! - nobody else writes several things at once on it either, or a server that is killed meanwhile may damage what comes behind (`docs/guarantees.md`);
//! - keys that do not expire are kept: eviction policies that touch them are refused;
//! - it may lose its end at any time, since a failover and most persistence settings allow that. Every position has a chain value that
//!   depends on all before it, and every call says which one it was told of last: a server that went back, whatever was
//!   appended to it since, is [`Error::Regressed`] for everybody who knows of more.

mod entry;
mod exchange;
mod known;
mod link;
mod scripts;
mod server;
mod snapshot;
mod target;

pub use server::Server;
pub use target::{BadUrl, Options, Target};

use entry::{Entry, Misfit, Tip, number_of, text_of};
use known::{Known, TAIL_BYTES};
use link::Link;
use rand::TryRng;
use rand::rngs::SysRng;
use redis::{Cmd, ErrorKind, ServerErrorKind, Value};
use scripts::{FORMAT, Keys, Script, Scripts};
use snapshot::Role;
use std::fmt;
use std::io;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use trialog_journal::group::{Group, Syncs};
use trialog_journal::{
    Durability, Error, Extent, History, Journal, RECORD_BYTES_MAX, Seq, SnapshotSource, Visitor,
};

/// How many entries are read at once, however short they are.
const PAGE_ENTRIES: u32 = 20_000;
/// The longest single wait for the server to wake us, after which it is asked whether it still has the log.
const WAKE_MAX: Duration = Duration::from_secs(2);
/// How many entries are given up at once: the server does nothing else meanwhile.
const TRIM_ENTRIES: u32 = 1_000;
/// How often something is read again that vanished while it was read.
const LOOKS_AGAIN: u32 = 3;

/// A handle on a log on Redis. Share one between the threads of a process: they then share round trips.
pub struct RedisJournal {
    target: Arc<Target>,
    location: String,
    keys: Keys,
    scripts: Scripts,
    log_id: String,
    read_only: bool,
    server: Server,
    /// The process that made the connections.
    process: AtomicU32,
    failures: Arc<AtomicU64>,
    /// Taken before `known`, and held over each exchange: what is known cannot move in between.
    line: Mutex<Line>,
    known: Mutex<Known>,
    group: Group,
    syncs: Syncs,
    /// On which durable appends wait, so that others go on meanwhile.
    sync_link: Mutex<Link>,
    /// On which readers wait to be woken; as many as wait at once.
    wait_links: Mutex<Vec<Link>>,
}

struct Line {
    link: Link,
    writer: Writer,
}

/// Whose batches these are, and how many there were: what a retried batch is recognised by.
struct Writer {
    id: String,
    counter: u64,
}

impl fmt::Debug for RedisJournal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisJournal").field("location", &self.location).finish_non_exhaustive()
    }
}

impl RedisJournal {
    /// Opens the log, and makes it if it is not there and that is wanted.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::NotALog`], [`Error::NewerFormat`], [`Error::Unsupported`] for a server that is
    /// too old for what is asked or may throw keys away, or what the server says.
    pub fn open(target: Target, read_only: bool, create: bool) -> Result<RedisJournal, Error> {
        let location = target.location();
        let unsupported = |detail: String| Error::Unsupported { location: location.clone(), detail };
        if target.tls && !cfg!(feature = "tls") {
            return Err(unsupported(
                "this program was built without TLS; build it with the feature redis-tls".to_owned(),
            ));
        }
        let target = Arc::new(target);
        let failures = Arc::new(AtomicU64::new(0));
        let link = || Link::new(Arc::clone(&target), Arc::clone(&failures));
        let (mut line, keys, scripts) = (link(), Keys::new(&target.prefix), Scripts::new());
        let server = line.run("ask about", Server::ask)?;
        check_server(&server, &target.options).map_err(unsupported)?;
        let new_id = if create && !read_only { random_hex(&location, 16)? } else { String::new() };
        let start = Tip::start(&new_id);
        let reply = line.run("open", |connection| {
            call(connection, &scripts.open, &[&keys.tip, &keys.log], &|call| {
                call.arg(&new_id).arg(start.chain.digits()).arg(i32::from(!read_only));
            })
        })?;
        let (log_id, end) = opened(&location, &keys, reply)?;
        Ok(RedisJournal {
            known: Mutex::new(Known::new(Tip::start(&log_id), end)),
            line: Mutex::new(Line { link: line, writer: Writer::new(&location)? }),
            sync_link: Mutex::new(link()),
            wait_links: Mutex::default(),
            group: Group::default(),
            syncs: Syncs::default(),
            process: AtomicU32::new(std::process::id()),
            target,
            location,
            keys,
            scripts,
            log_id,
            read_only,
            server,
            failures,
        })
    }

    /// What the server said of itself when the log was opened: [`Server`] prints what that is worth.
    #[must_use]
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// What tells this log from all others.
    #[must_use]
    pub fn log_id(&self) -> &str {
        &self.log_id
    }

    /// How many attempts to do something on the server have failed and were made again or given up, so far.
    #[must_use]
    pub fn failed_attempts(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        lock(&self.known)
    }

    /// In a forked child the connections are the parent's. True if this is one.
    fn is_forked(&self) -> Result<bool, Error> {
        let process = std::process::id();
        if self.process.load(Ordering::Relaxed) == process {
            return Ok(false);
        }
        let mut line = lock(&self.line);
        line.link.reset();
        line.writer = Writer::new(&self.location)?;
        lock(&self.sync_link).reset();
        lock(&self.wait_links).clear();
        self.group.reset();
        self.syncs.reset();
        self.process.store(process, Ordering::Relaxed);
        Ok(true)
    }

    fn query(&self, action: &'static str, command: &Cmd) -> Result<Value, Error> {
        lock(&self.line).link.run(action, |connection| command.query(connection))
    }

    /// The server's time, in seconds. Scripts are told it, since they must not ask.
    fn now(&self) -> Result<u64, Error> {
        let Value::Array(parts) = self.query("ask", &redis::cmd("TIME"))? else { return Err(self.odd_reply()) };
        parts.into_iter().next().and_then(number_of).ok_or_else(|| self.odd_reply())
    }

    /// Runs a script. The first word of its answer, and the rest.
    fn eval(
        &self,
        action: &'static str,
        script: &Script,
        keys: &[&str],
        arguments: impl Fn(&mut Cmd),
    ) -> Result<(String, Vec<Value>), Error> {
        let mut line = lock(&self.line);
        let told = self.known().told();
        let reply = line.link.run(action, |connection| call(connection, script, keys, &arguments))?;
        self.checked(reply, &told)
    }

    /// Runs a script that begins by checking a position: the last one that is known.
    fn eval_checked(
        &self,
        action: &'static str,
        script: &Script,
        keys: &[&str],
        arguments: impl Fn(&mut Cmd),
    ) -> Result<(String, Vec<Value>), Error> {
        let told = self.known().told();
        self.eval(action, script, keys, |call| {
            self.push_position(call, &told);
            arguments(call);
        })
    }

    fn push_position(&self, call: &mut Cmd, told: &Tip) {
        call.arg(&self.log_id).arg(told.seq).arg(told.bytes).arg(told.chain.digits());
    }

    /// The reply of a script, unless it says that the log is not what it was.
    fn checked(&self, reply: Value, told: &Tip) -> Result<(String, Vec<Value>), Error> {
        let (word, parts) = worded(reply).ok_or_else(|| self.odd_reply())?;
        match word.as_str() {
            "lost" => {
                let found = parts.into_iter().next().and_then(number_of).unwrap_or(0);
                Err(Error::Regressed { location: self.location.clone(), seen: told.seq, found })
            }
            "format" | "damaged" => Err(refused(&self.location, &word, parts)),
            _ => Ok((word, parts)),
        }
    }

    fn odd_reply(&self) -> Error {
        refused(&self.location, "", Vec::new())
    }

    /// The entries after a position, as many as are worth one round trip: a bounded number of bytes, but one at least.
    fn page(&self, link: &mut Link, after: &Tip) -> Result<Vec<Entry>, Error> {
        let begin = format!("{}-0", after.bytes + 1);
        let end = format!("{}-{}", after.bytes + TAIL_BYTES as u64, u64::MAX);
        let mut range = redis::cmd("XRANGE");
        range.arg(&self.keys.log).arg(&begin).arg(&end).arg("COUNT").arg(PAGE_ENTRIES);
        let mut reply: Vec<Value> = link.run("read", |connection| range.query(connection))?;
        if reply.is_empty() {
            // The next one is longer than a page.
            let mut range = redis::cmd("XRANGE");
            range.arg(&self.keys.log).arg(&begin).arg("+").arg("COUNT").arg(1);
            reply = link.run("read", |connection| range.query(connection))?;
        }
        reply.into_iter().map(|value| Entry::from_value(value).ok_or_else(|| self.corrupt(after, None))).collect()
    }

    /// Reads records that are no longer in memory, and hands over those from `next` on.
    fn read_past(&self, next: &mut u64, visit: &mut Visitor<'_>) -> Result<ControlFlow<()>, Error> {
        let known = self.known();
        let (point, until, trimmed) = (known.point_before(*next), known.tail_first(), known.trimmed);
        drop(known);
        let Some(mut tip) = point else { return Err(self.folded(*next, trimmed)) };
        let mut looks = 0;
        while *next < until {
            let page = self.page(&mut lock(&self.line).link, &tip)?;
            let before = tip.seq;
            let mut misfit = None;
            for entry in page {
                let (batch, after) = match entry.verify(&tip) {
                    Ok(verified) => verified,
                    Err(found) => {
                        misfit = Some(found);
                        break;
                    }
                };
                tip = after;
                for (seq, record) in batch.records(*next).take_while(|(seq, _)| *seq < until) {
                    *next = seq + 1;
                    if visit(Seq(seq), record).is_break() {
                        return Ok(ControlFlow::Break(()));
                    }
                }
            }
            if tip.seq == before {
                // Whether the log still is what it was, and how much of it was given up, comes first.
                self.look()?;
                let trimmed = self.known().trimmed;
                if tip.seq < trimmed {
                    return Err(self.folded(*next, trimmed));
                }
                if looks == LOOKS_AGAIN {
                    return Err(self.corrupt(&tip, misfit));
                }
                looks += 1;
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn check_appendable(&self, records: &[&[u8]]) -> Result<(), Error> {
        if let Some(record) = records.iter().find(|record| record.len() > RECORD_BYTES_MAX) {
            return Err(Error::TooLarge { bytes: record.len() });
        }
        if self.read_only {
            return Err(Error::ReadOnly { location: self.location.clone() });
        }
        if self.is_forked()? { Err(Error::Forked { location: self.location.clone() }) } else { Ok(()) }
    }

    fn corrupt(&self, at: &Tip, misfit: Option<Misfit>) -> Error {
        let detail = match misfit {
            Some(Misfit::Content(what)) => format!("the entry after {}: {what}", at.id()),
            Some(Misfit::Place) | None => format!("the entry after {} is missing", at.id()),
        };
        Error::Corrupt { location: self.location.clone(), offset: at.bytes, seq: at.seq, detail }
    }

    fn folded(&self, asked: u64, first: u64) -> Error {
        Error::Folded { location: self.location.clone(), asked, first }
    }

    /// Blocks until the server has an entry after what is known, or for so long.
    fn wake(&self, after: &Tip, longest: Duration) -> Result<(), Error> {
        let link = lock(&self.wait_links).pop();
        let mut link = link.unwrap_or_else(|| Link::new(Arc::clone(&self.target), Arc::clone(&self.failures)));
        let mut read = redis::cmd("XREAD");
        read.arg("COUNT").arg(1).arg("BLOCK").arg(millis(longest).max(1));
        read.arg("STREAMS").arg(&self.keys.log).arg(after.id());
        let woken = link.run("wait for", |connection| read.query::<Value>(connection));
        lock(&self.wait_links).push(link);
        woken.map(drop)
    }
}

impl Writer {
    fn new(location: &str) -> Result<Writer, Error> {
        Ok(Writer { id: random_hex(location, 8)?, counter: 0 })
    }
}

impl Journal for RedisJournal {
    fn append(&self, records: &[&[u8]], durability: Durability) -> Result<Seq, Error> {
        self.check_appendable(records)?;
        let first = self
            .group
            .run(records, |batch, count| self.commit(batch, count, None)?.ok_or_else(|| self.odd_reply()))?;
        if durability == Durability::Power {
            self.sync_through(first + records.len() as u64)?;
        }
        Ok(Seq(first))
    }

    fn is_remote(&self) -> bool {
        true
    }

    fn append_at(&self, at: Seq, records: &[&[u8]], durability: Durability) -> Result<Option<Seq>, Error> {
        self.check_appendable(records)?;
        if records.is_empty() || self.known().tip().seq != at.0 {
            return Ok(None);
        }
        let mut batch = Vec::new();
        records.iter().for_each(|record| trialog_journal::group::push_record(&mut batch, record));
        let first = self.commit(&batch, records.len() as u64, Some(at.0))?;
        if let Some(first) = first
            && durability == Durability::Power
        {
            self.sync_through(first + records.len() as u64)?;
        }
        Ok(first.map(Seq))
    }

    fn read(&self, from: Seq, visit: &mut Visitor<'_>) -> Result<Seq, Error> {
        self.is_forked()?;
        let mut next = from.0;
        let mut ended = false;
        loop {
            let known = self.known();
            if let Some((after, flow)) = known.visit_tail(next, visit) {
                next = after;
                if flow.is_break() {
                    return Ok(Seq(next));
                }
                continue;
            }
            let found = known.tip().seq;
            drop(known);
            if next < found {
                if self.read_past(&mut next, visit)?.is_break() {
                    return Ok(Seq(next));
                }
            } else if !ended {
                ended = !self.fetch()?;
            } else if next > found {
                return Err(Error::Regressed { location: self.location.clone(), seen: next, found });
            } else {
                return Ok(Seq(next));
            }
        }
    }

    fn wait(&self, from: Seq, timeout: Duration) -> Result<bool, Error> {
        self.is_forked()?;
        let begun = Instant::now();
        loop {
            let tip = *self.known().tip();
            if tip.seq > from.0 {
                return Ok(true);
            }
            let left = timeout.saturating_sub(begun.elapsed());
            if left.is_zero() {
                return Ok(false);
            }
            self.wake(&tip, left.min(WAKE_MAX).min(self.target.options.timeout / 2))?;
            match self.fetch() {
                Ok(_) => {}
                Err(Error::Folded { .. }) => return Ok(true),
                Err(error) => return Err(error),
            }
        }
    }

    fn load_snapshot(&self) -> Option<(Seq, Vec<u8>)> {
        // Who has appended is to hear of it if that is lost, and so does not forget where it was.
        if !self.known().is_fresh() || lock(&self.line).writer.counter > 0 {
            return None;
        }
        for _ in 0..LOOKS_AGAIN {
            let stored = self.stored().ok()?;
            let newest = stored.into_iter().flatten().max_by_key(|stored| stored.at.seq)?;
            if let Ok(Some(bytes)) = self.load(&newest) {
                let mut known = self.known();
                if known.is_fresh() {
                    known.resume(newest.at);
                    return Some((Seq(newest.at.seq), bytes));
                }
                return None;
            }
        }
        None
    }

    fn save_snapshot(&self, at: Seq, source: &mut SnapshotSource<'_>) -> Result<bool, Error> {
        if self.read_only || self.is_forked()? {
            return Ok(false);
        }
        let Some(tip) = self.known().tip_at(at.0) else { return Ok(false) };
        if self.stored()?.iter().flatten().any(|stored| stored.at.seq >= at.0) {
            return Ok(false);
        }
        self.store(&tip, source, Role::Snapshot)
    }

    fn load_base(&self) -> Result<Option<(Seq, Vec<u8>)>, Error> {
        self.is_forked()?;
        let mut looks = 0;
        loop {
            let [_, base] = self.stored()?;
            let Some(base) = base.filter(|base| base.folds) else { return Ok(None) };
            if let Some(bytes) = self.load(&base)? {
                // To go on there is to forget what was known of the log, so it is compared a last time.
                self.look()?;
                let mut known = self.known();
                if known.tip().seq < base.at.seq {
                    known.resume(base.at);
                }
                return Ok(Some((Seq(base.at.seq), bytes)));
            }
            // Another compaction may have put a newer one in its place.
            if looks == LOOKS_AGAIN {
                return Err(Error::Corrupt {
                    location: self.location.clone(),
                    offset: base.at.bytes,
                    seq: base.at.seq,
                    detail: "the snapshot that stands for the records before it is not whole".to_owned(),
                });
            }
            looks += 1;
        }
    }

    fn extent(&self) -> Option<Extent> {
        let known = self.known();
        let (snapshot_bytes, before) = known.base.as_ref().map_or((0, 0), |base| (base.bytes, base.at.bytes));
        let record_bytes = known.tip().bytes.saturating_sub(before);
        (!self.read_only).then_some(Extent { snapshot_bytes, record_bytes })
    }

    fn compact(&self, at: Seq, source: &mut SnapshotSource<'_>, history: History) -> Result<bool, Error> {
        if self.read_only || self.is_forked()? || at.0 == 0 {
            return Ok(false);
        }
        let Some(tip) = self.known().tip_at(at.0) else { return Ok(false) };
        self.store(&tip, source, if history == History::Folded { Role::Base } else { Role::Kept })
    }

    fn reclaim(&self, grace: Duration) -> Result<(), Error> {
        if self.read_only || self.is_forked()? {
            return Ok(());
        }
        let (keys, now) = ([self.keys.tip.as_str(), &self.keys.log], self.now()?);
        loop {
            let (_, more) = self.eval_checked("trim", &self.scripts.trim, &keys, |call| {
                call.arg(now).arg(grace.as_secs()).arg(TRIM_ENTRIES);
            })?;
            if more.into_iter().next().and_then(number_of) != Some(1) {
                return Ok(());
            }
        }
    }

    fn location(&self) -> &str {
        &self.location
    }
}

/// Runs a script by its digest, and sends it whole to a server that does not have it.
fn call(
    connection: &mut redis::Connection,
    script: &Script,
    keys: &[&str],
    arguments: &dyn Fn(&mut Cmd),
) -> redis::RedisResult<Value> {
    let mut by_digest = script.call(false, keys);
    arguments(&mut by_digest);
    match by_digest.query(connection) {
        Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
            let mut whole = script.call(true, keys);
            arguments(&mut whole);
            whole.query(connection)
        }
        reply => reply,
    }
}

fn check_server(server: &Server, options: &Options) -> Result<(), String> {
    if !server.is_at_least(6, 0) {
        return Err(format!("the server is {}; it takes Redis 6 or newer, or Valkey", version_of(server)));
    }
    if server.may_evict() {
        return Err(format!(
            "the server throws keys away when its memory is full (maxmemory-policy {}), and a log must lose nothing; set it \
             to noeviction",
            server.eviction.as_deref().unwrap_or_default()
        ));
    }
    if options.wait_aof && !server.is_at_least(7, 2) {
        return Err(format!(
            "wait_aof takes Redis 7.2 or newer, or Valkey, and the server is {}; with appendfsync always it is not needed",
            version_of(server)
        ));
    }
    if options.wait_aof && server.append_only == Some(false) {
        return Err("wait_aof waits for an append-only file, and the server writes none (appendonly no)".to_owned());
    }
    Ok(())
}

fn version_of(server: &Server) -> String {
    format!("{} {}", server.name, server.version.as_deref().unwrap_or("of an unknown version"))
}

/// The id and the end of the log that a server has opened.
fn opened(location: &str, keys: &Keys, reply: Value) -> Result<(String, Tip), Error> {
    let (word, parts) = worded(reply).unwrap_or_default();
    match word.as_str() {
        "ok" => {
            let mut parts = parts.into_iter();
            let id = parts.next().and_then(text_of);
            id.zip(Tip::take(&mut parts)).ok_or_else(|| refused(location, "", Vec::new()))
        }
        "none" => Err(Error::NotFound { location: location.to_owned() }),
        "other" => {
            let found = format!("the key {} is there without one that belongs to it", keys.log);
            Err(Error::NotALog { location: location.to_owned(), found })
        }
        _ => Err(refused(location, &word, parts)),
    }
}

/// Why a script would not have the log.
fn refused(location: &str, word: &str, parts: Vec<Value>) -> Error {
    let location = location.to_owned();
    let found = parts.into_iter().next().and_then(text_of).unwrap_or_default();
    let detail = match word {
        "format" => {
            return match found.parse::<u32>() {
                Ok(newer) if newer > FORMAT => {
                    let found = format!("format version {newer}");
                    Error::NewerFormat { location, found, supported: FORMAT }
                }
                _ => Error::NotALog { location, found: format!("its format is {found:?}") },
            };
        }
        "damaged" => format!("its last entry, {found}, is none that this program writes"),
        "torn" => format!(
            "its last entry, {found}, is not where its end was noted: the server has lost records that it had confirmed; read-only it \
             can be read up to there, and docs/guarantees.md says how to go on behind them"
        ),
        _ => {
            let source = io::Error::new(io::ErrorKind::InvalidData, "it answers what no script of ours says");
            return Error::Io { location, action: "talk to", source };
        }
    };
    let (bytes, seq) = found.split_once('-').unwrap_or_default();
    Error::Corrupt { location, offset: bytes.parse().unwrap_or(0), seq: seq.parse().unwrap_or(0), detail }
}

/// What a script answers: a word, and what belongs to it.
fn worded(reply: Value) -> Option<(String, Vec<Value>)> {
    let Value::Array(parts) = reply else { return None };
    let mut parts = parts.into_iter();
    let word = text_of(parts.next()?)?;
    Some((word, parts.collect()))
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn random_hex(location: &str, bytes: usize) -> Result<String, Error> {
    let mut random = vec![0; bytes];
    SysRng.try_fill_bytes(&mut random).map_err(|error| Error::Io {
        location: location.to_owned(),
        action: "find a random id for",
        source: io::Error::other(error.to_string()),
    })?;
    Ok(random.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// A lock that a panicking thread left behind guards nothing half-done: each change of what it guards is whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
