//! Servers for the tests: each on a free port with a folder of its own, and gone when it is dropped.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
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

    /// The append-only file that is being written, wherever this version has it.
    pub(crate) fn append_only_file(&self) -> PathBuf {
        let mut folders = vec![self.folder.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).expect("it is there") {
                let path = entry.expect("it can be listed").path();
                let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
                if path.is_dir() {
                    folders.push(path);
                } else if name.ends_with(".incr.aof") || name == "appendonly.aof" {
                    return path;
                }
            }
        }
        panic!("the server writes no append-only file");
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
    pub(crate) told: Arc<Told>,
}

/// What a proxy was told, and what it has seen.
pub(crate) struct Told {
    /// How many more bytes of replies are passed on before all connections are cut; negative for any number.
    pub(crate) budget: AtomicI64,
    /// Whether new connections are refused.
    pub(crate) shut: AtomicBool,
    /// What is replaced in requests: each time by another number of as many digits.
    pub(crate) forged: Mutex<Vec<u8>>,
    /// How often requests arrived, as chunks: at least as often as there were round trips.
    pub(crate) requests: AtomicU64,
    /// The last of them.
    pub(crate) last: Mutex<Vec<u8>>,
}

impl Proxy {
    pub(crate) fn before(server: u16) -> Proxy {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let port = listener.local_addr().expect("it has an address").port();
        let told = Arc::new(Told {
            budget: AtomicI64::new(-1),
            shut: AtomicBool::new(false),
            forged: Mutex::default(),
            requests: AtomicU64::new(0),
            last: Mutex::default(),
        });
        let shared = Arc::clone(&told);
        // It ends with the process.
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if shared.shut.load(Ordering::Relaxed) {
                    continue;
                }
                let Ok(server) = TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, server))) else {
                    continue;
                };
                let (there, back) = (client.try_clone().expect("a copy"), server.try_clone().expect("a copy"));
                let (requests, replies) = (Arc::clone(&shared), Arc::clone(&shared));
                std::thread::spawn(move || pass(client, server, |bytes| requests.request(bytes)));
                std::thread::spawn(move || pass(back, there, |bytes| replies.reply(bytes)));
            }
        });
        Proxy { port, told }
    }

    pub(crate) fn url(&self, more: &str) -> String {
        format!("redis://127.0.0.1:{}/0?prefix=t{more}", self.port)
    }

    /// Cuts all connections after so many bytes of replies.
    pub(crate) fn cut_after(&self, bytes: i64) {
        self.told.budget.store(bytes, Ordering::Relaxed);
    }
}

impl Told {
    fn request(&self, bytes: &mut [u8]) -> usize {
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        let forged = self.forged.lock().expect("no panic").clone();
        let width = forged.len();
        for start in 0..(bytes.len() + 1).saturating_sub(width.max(1)) {
            if width > 0 && bytes[start..].starts_with(&forged) {
                bytes[start..start + width].copy_from_slice(format!("{number:0width$}").as_bytes());
            }
        }
        *self.last.lock().expect("no panic") = bytes.to_vec();
        bytes.len()
    }

    fn reply(&self, bytes: &mut [u8]) -> usize {
        let left = self.budget.load(Ordering::Relaxed);
        if left < 0 {
            return bytes.len();
        }
        let now = bytes.len().min(left as usize);
        // Once it is cut, later connections are whole again.
        let after = if now < bytes.len() { -1 } else { left - now as i64 };
        self.budget.store(after, Ordering::Relaxed);
        now
    }
}

/// Passes on as many bytes as `allow` says; fewer than there are, and the connection is cut.
fn pass(mut from: TcpStream, mut to: TcpStream, allow: impl Fn(&mut [u8]) -> usize) {
    let mut buffer = vec![0; 1 << 16];
    while let Ok(got) = from.read(&mut buffer) {
        let allowed = if got == 0 { 0 } else { allow(&mut buffer[..got]) };
        if allowed > 0 && to.write_all(&buffer[..allowed]).is_err() || allowed < got || got == 0 {
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
