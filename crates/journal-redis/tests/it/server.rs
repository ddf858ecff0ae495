//! Servers for the tests: each on a free port with a folder of its own, and gone when it is dropped.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

pub(crate) use trialog_journal::conformance::records as read;
use trialog_journal::{Durability, Error, Journal};
use trialog_journal_redis::{RedisJournal, Target};

/// How long a test waits for a server to do something before it fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A `redis-server`.
pub(crate) struct Redis {
    child: Child,
    pub(crate) port: u16,
    folder: tempfile::TempDir,
    settings: Vec<String>,
}

impl Redis {
    /// Without persistence.
    pub(crate) fn start() -> Redis {
        Redis::with(&["save", ""])
    }

    /// With such settings: names and values in turn.
    pub(crate) fn with(settings: &[&str]) -> Redis {
        // Somebody may take the port in between; then the server ends at once and another one is tried.
        for _ in 0..20 {
            let folder = tempfile::tempdir().expect("a folder");
            let port = free_port();
            let child = spawn(folder.path(), port, settings);
            let mut redis = Redis { child, port, folder, settings: settings.iter().map(|&s| s.into()).collect() };
            if redis.is_up() {
                return redis;
            }
        }
        panic!("no redis-server comes up");
    }

    fn is_up(&mut self) -> bool {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                return false;
            }
            if let Ok(mut connection) = self.connect()
                // Any answer will do: some servers want a password first, and none is given here.
                && redis::cmd("PING").query::<String>(&mut connection).map_or_else(|error| !error.is_io_error(), |_| true)
                && !redis::cmd("PING").query::<String>(&mut connection).is_err_and(|error| error.code() == Some("LOADING"))
            {
                return true;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        false
    }

    pub(crate) fn connect(&self) -> redis::RedisResult<redis::Connection> {
        redis::Client::open(format!("redis://127.0.0.1:{}", self.port))?
            .get_connection_with_timeout(Duration::from_secs(5))
    }

    /// Runs a command.
    pub(crate) fn ask<T: redis::FromRedisValue>(&self, words: &[&str]) -> T {
        let mut connection = self.connect().expect("the server is up");
        let mut command = redis::cmd(words[0]);
        words[1..].iter().for_each(|word| {
            command.arg(*word);
        });
        command.query(&mut connection).unwrap_or_else(|error| panic!("{words:?}: {error}"))
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("it lives");
        self.child.wait().expect("it ends");
    }

    /// Up again, after a kill, on the same port and folder.
    pub(crate) fn restart(&mut self) {
        let settings: Vec<&str> = self.settings.iter().map(String::as_str).collect();
        self.child = spawn(self.folder.path(), self.port, &settings);
        assert!(self.is_up(), "the server does not come up again");
    }

    /// SIGSTOP, SIGCONT.
    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status();
        assert!(status.is_ok_and(|status| status.success()), "kill -{name}");
    }

    pub(crate) fn url(&self, more: &str) -> String {
        format!("redis://127.0.0.1:{}/0?prefix=t{more}", self.port)
    }

    pub(crate) fn open(&self) -> RedisJournal {
        open(&self.url("")).expect("it opens")
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An error and no reason to skip anything, if there is no such program.
fn spawn(folder: &Path, port: u16, settings: &[&str]) -> Child {
    let mut command = Command::new("redis-server");
    command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--dir"]).arg(folder);
    for pair in settings.chunks(2) {
        command.arg(format!("--{}", pair[0])).arg(pair[1]);
    }
    command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("these tests need redis-server: apt-get install redis-server redis-sentinel")
}

pub(crate) fn free_port() -> u16 {
    loop {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let port = listener.local_addr().expect("it has an address").port();
        // A cluster's nodes talk to one another 10,000 ports higher up.
        if port < 55_000 {
            return port;
        }
    }
}

pub(crate) fn open(url: &str) -> Result<RedisJournal, Error> {
    RedisJournal::open(Target::parse(url).expect("the URL is right"), false, true)
}

pub(crate) fn append(journal: &dyn Journal, record: &[u8]) -> Result<u64, Error> {
    journal.append(&[record], Durability::Process).map(|seq| seq.0)
}

/// Waits until something is so.
pub(crate) fn until(what: &str, mut check: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !check() {
        assert!(begun.elapsed() < PATIENCE, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Stands between a journal and its server, and passes everything on until it is told otherwise.
pub(crate) struct Proxy {
    pub(crate) port: u16,
    /// How many more bytes of replies are passed on before all connections are cut; negative for any number.
    pub(crate) budget: std::sync::Arc<std::sync::atomic::AtomicI64>,
    /// How often requests arrived, as chunks: at least as often as there were round trips.
    pub(crate) requests: std::sync::Arc<std::sync::atomic::AtomicU64>,
}

impl Proxy {
    pub(crate) fn before(server: u16) -> Proxy {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let port = listener.local_addr().expect("it has an address").port();
        let budget = std::sync::Arc::new(std::sync::atomic::AtomicI64::new(-1));
        let requests = std::sync::Arc::<std::sync::atomic::AtomicU64>::default();
        let (passing, counting) = (budget.clone(), requests.clone());
        // It ends with the process.
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, server))) else {
                    continue;
                };
                let (there, back) = (client.try_clone().expect("a copy"), server.try_clone().expect("a copy"));
                let (passing, counting) = (passing.clone(), counting.clone());
                std::thread::spawn(move || {
                    pass(client, server, |bytes| {
                        counting.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                        bytes
                    });
                });
                std::thread::spawn(move || {
                    pass(back, there, |bytes| {
                        let left = passing.load(std::sync::atomic::Ordering::Relaxed);
                        if left < 0 {
                            return bytes;
                        }
                        let now = bytes.min(left as usize);
                        // Once it is cut, later connections are whole again.
                        let after = if now < bytes { -1 } else { left - now as i64 };
                        passing.store(after, std::sync::atomic::Ordering::Relaxed);
                        now
                    });
                });
            }
        });
        Proxy { port, budget, requests }
    }

    pub(crate) fn url(&self, more: &str) -> String {
        format!("redis://127.0.0.1:{}/0?prefix=t{more}", self.port)
    }
}

/// Passes on as many bytes as `allow` says; fewer than there are, and the connection is cut.
fn pass(mut from: TcpStream, mut to: TcpStream, allow: impl Fn(usize) -> usize) {
    use std::io::{Read, Write};
    let mut buffer = vec![0; 1 << 16];
    while let Ok(got) = from.read(&mut buffer) {
        let allowed = if got == 0 { 0 } else { allow(got) };
        if allowed > 0 && to.write_all(&buffer[..allowed]).is_err() || allowed < got || got == 0 {
            break;
        }
    }
    let _ = from.shutdown(std::net::Shutdown::Both);
    let _ = to.shutdown(std::net::Shutdown::Both);
}
