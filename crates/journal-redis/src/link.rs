//! The way to the server: finding the one that takes writes, connecting, and trying again as long as that makes sense.

use crate::target::{Node, Place, Target};
use redis::io::tcp::TcpSettings;
use redis::{
    Client, Connection, ConnectionAddr, ErrorKind, IntoConnectionInfo, RedisConnectionInfo, RedisError,
    RedisResult, ServerErrorKind,
};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use trialog_journal::Error;

/// How long to wait before trying again: at first, and at most.
const PAUSE_MIN: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// How often one call follows a cluster's redirections without a pause.
const REDIRECTS_MAX: u32 = 5;

/// One connection, made when it is needed and made anew after trouble.
pub(crate) struct Link {
    target: Arc<Target>,
    connection: Option<Connection>,
    /// The node of a cluster that has our keys, once one has told.
    owner: Option<Node>,
    /// The node of a cluster that is asked next, if none has told.
    asked: usize,
    /// Attempts that failed, of all links of a journal.
    failures: Arc<AtomicU64>,
}

/// What to do about an error.
#[derive(Clone, Copy, PartialEq)]
enum Cure {
    /// Connect anew, after a pause.
    Again,
    /// Ask the node that was named.
    Redirect,
    None,
}

impl Link {
    pub(crate) fn new(target: Arc<Target>, failures: Arc<AtomicU64>) -> Link {
        Link { target, connection: None, owner: None, asked: 0, failures }
    }

    /// Forgets the connection: a forked child must not speak on its parent's.
    pub(crate) fn reset(&mut self) {
        self.connection = None;
    }

    /// Does `work`, which may be done several times, until it succeeds or it makes no sense to go on.
    pub(crate) fn run<T>(
        &mut self,
        action: &'static str,
        mut work: impl FnMut(&mut Connection) -> RedisResult<T>,
    ) -> Result<T, Error> {
        let begun = Instant::now();
        let mut pause = PAUSE_MIN;
        let mut redirects = 0;
        loop {
            let error = match self.attempt(&mut work) {
                Ok(done) => return Ok(done),
                Err(error) => error,
            };
            self.failures.fetch_add(1, Ordering::Relaxed);
            self.connection = None;
            match self.cure(&error) {
                Cure::Redirect if redirects < REDIRECTS_MAX => redirects += 1,
                Cure::Again | Cure::Redirect if begun.elapsed() + pause < self.target.options.retry => {
                    redirects = 0;
                    self.owner = None;
                    self.asked += 1;
                    std::thread::sleep(pause);
                    pause = (pause * 2).min(PAUSE_MAX);
                }
                _ => return Err(self.error(action, &error)),
            }
        }
    }

    fn attempt<T>(&mut self, work: &mut impl FnMut(&mut Connection) -> RedisResult<T>) -> RedisResult<T> {
        if self.connection.is_none() {
            self.connection = Some(self.connect()?);
        }
        let connection = self.connection.as_mut().expect("it was made just now");
        work(connection)
    }

    fn cure(&mut self, error: &RedisError) -> Cure {
        match error.kind() {
            ErrorKind::Server(ServerErrorKind::Moved) => {
                let Some((address, _)) = error.redirect_node() else { return Cure::Again };
                let asked = self.asked_node().map(|node| node.host.clone());
                self.owner = redirection(address, asked);
                if self.owner.is_some() { Cure::Redirect } else { Cure::Again }
            }
            ErrorKind::Server(
                ServerErrorKind::BusyLoading
                | ServerErrorKind::Ask
                | ServerErrorKind::TryAgain
                | ServerErrorKind::ClusterDown
                | ServerErrorKind::MasterDown
                | ServerErrorKind::ReadOnly,
            )
            | ErrorKind::Io
            | ErrorKind::Parse
            | ErrorKind::MasterNameNotFoundBySentinel => Cure::Again,
            // Another script runs for too long, or there are fewer replicas than the server wants.
            _ if matches!(error.code(), Some("BUSY" | "NOREPLICAS" | "UNBLOCKED")) => Cure::Again,
            _ => Cure::None,
        }
    }

    fn error(&self, action: &'static str, error: &RedisError) -> Error {
        let location = self.target.location();
        let kind = match error.kind() {
            _ if error.is_timeout() => io::ErrorKind::TimedOut,
            _ if error.is_connection_refusal() => io::ErrorKind::ConnectionRefused,
            ErrorKind::Io => io::ErrorKind::ConnectionAborted,
            ErrorKind::AuthenticationFailed | ErrorKind::Server(ServerErrorKind::NoPerm) => {
                io::ErrorKind::PermissionDenied
            }
            _ => io::ErrorKind::Other,
        };
        let text = error.to_string();
        let code = hidden_code(&text).or(error.code());
        let source = io::Error::new(kind, self.redacted(&text));
        match code {
            Some("OOM") => Error::OutOfSpace { location, source },
            Some("WRONGTYPE") => {
                Error::NotALog { location, found: "its keys are there and hold something else".to_owned() }
            }
            _ => Error::Io { location, action, source },
        }
    }

    /// No server repeats a password, and should one do so all the same, it goes no further.
    fn redacted(&self, text: &str) -> String {
        match self.target.password.as_deref() {
            Some(password) if text.contains(password) => "the server's words repeat the password".to_owned(),
            _ => text.to_owned(),
        }
    }

    fn asked_node(&self) -> Option<&Node> {
        match &self.target.place {
            Place::Cluster(nodes) => self.owner.as_ref().or_else(|| nodes.get(self.asked % nodes.len())),
            _ => None,
        }
    }

    fn connect(&self) -> RedisResult<Connection> {
        match &self.target.place {
            Place::Server(node) => self.connect_to(self.address(node)),
            Place::Socket(path) => self.connect_to(ConnectionAddr::Unix(path.into())),
            Place::Cluster(_) => {
                let node = self.asked_node().ok_or((ErrorKind::InvalidClientConfig, "no node of the cluster"))?;
                self.connect_to(self.address(node))
            }
            Place::Sentinel { nodes, service, user, password } => {
                let mut last = RedisError::from((ErrorKind::EmptySentinelList, "no Sentinel"));
                for sentinel in nodes {
                    let login = login(user.as_deref(), password.as_deref(), 0);
                    let found = self
                        .open(self.address(sentinel), login)
                        .and_then(|mut connection| master(&mut connection, service));
                    match found.and_then(|node| self.connect_to_master(&node)) {
                        Ok(connection) => return Ok(connection),
                        Err(error) => last = error,
                    }
                }
                Err(last)
            }
        }
    }

    /// A Sentinel may still name the old master, which by now is a replica or about to become one.
    fn connect_to_master(&self, node: &Node) -> RedisResult<Connection> {
        let mut connection = self.connect_to(self.address(node))?;
        match redis::cmd("ROLE").query::<redis::Value>(&mut connection) {
            Ok(redis::Value::Array(role)) => match role.into_iter().next().and_then(crate::entry::text_of) {
                Some(role) if role == "master" => Ok(connection),
                _ => Err((ErrorKind::Server(ServerErrorKind::ReadOnly), "the server is no master").into()),
            },
            // Who may not ask has to believe.
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoPerm) => Ok(connection),
            Ok(_) => Ok(connection),
            Err(error) => Err(error),
        }
    }

    fn connect_to(&self, address: ConnectionAddr) -> RedisResult<Connection> {
        let target = &self.target;
        self.open(address, login(target.user.as_deref(), target.password.as_deref(), target.db))
    }

    fn open(&self, address: ConnectionAddr, login: RedisConnectionInfo) -> RedisResult<Connection> {
        let options = &self.target.options;
        let info = address
            .into_connection_info()?
            .set_tcp_settings(TcpSettings::default().set_nodelay(true))
            .set_redis_settings(login);
        let connection = Client::open(info)?.get_connection_with_timeout(options.connect_timeout)?;
        connection.set_read_timeout(Some(options.timeout))?;
        connection.set_write_timeout(Some(options.timeout))?;
        Ok(connection)
    }

    fn address(&self, node: &Node) -> ConnectionAddr {
        let (host, port) = (node.host.clone(), node.port);
        if self.target.tls {
            ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None }
        } else {
            ConnectionAddr::Tcp(host, port)
        }
    }
}

/// Redis 6 puts what it says to a script's command behind words of its own.
fn hidden_code(text: &str) -> Option<&'static str> {
    let (_, said) = text.split_once("Error running script")?;
    ["OOM", "WRONGTYPE"].into_iter().find(|code| said.split([' ', '-']).any(|word| word == *code))
}

fn login(user: Option<&str>, password: Option<&str>, db: u32) -> RedisConnectionInfo {
    let mut login = RedisConnectionInfo::default().set_db(i64::from(db)).set_skip_set_lib_name();
    if let Some(user) = user {
        login = login.set_username(user);
    }
    if let Some(password) = password {
        login = login.set_password(password);
    }
    login
}

/// Which server a Sentinel takes for the master.
fn master(connection: &mut Connection, service: &str) -> RedisResult<Node> {
    let found: Option<(String, u16)> =
        redis::cmd("SENTINEL").arg("get-master-addr-by-name").arg(service).query(connection)?;
    let (host, port) =
        found.ok_or((ErrorKind::MasterNameNotFoundBySentinel, "the Sentinel knows no service of that name"))?;
    Ok(Node { host, port })
}

/// The node that a cluster names. Without a host it means the one that was asked.
fn redirection(address: &str, asked: Option<String>) -> Option<Node> {
    let (host, port) = address.rsplit_once(':')?;
    let host = if host.is_empty() { asked? } else { host.trim_matches(['[', ']']).to_owned() };
    Some(Node { host, port: port.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_script_was_told() {
        let said =
            |what: &str| format!("ResponseError: Error running script (call to f_ab): @user_script:70: {what}");
        let oom = said("@user_script: 70: -OOM command not allowed when used memory > 'maxmemory'.");
        assert_eq!(hidden_code(&oom), Some("OOM"));
        let wrong = said("@user_script: 2: WRONGTYPE Operation against a key holding the wrong kind of value");
        assert_eq!(hidden_code(&wrong), Some("WRONGTYPE"));
        assert_eq!(hidden_code(&said("@user_script: 2: ERR no")), None);
        assert_eq!(hidden_code("OOM command not allowed"), None);
    }

    #[test]
    fn redirections() {
        let node = |host: &str, port| Some(Node { host: host.to_owned(), port });
        assert_eq!(redirection("1.2.3.4:5", None), node("1.2.3.4", 5));
        assert_eq!(redirection("[::1]:5", None), node("::1", 5));
        assert_eq!(redirection("::1:5", None), node("::1", 5));
        assert_eq!(redirection(":5", Some("h".to_owned())), node("h", 5));
        for bad in ["", ":5", "h", "h:", "h:x", "h:99999"] {
            assert_eq!(redirection(bad, None), None, "{bad}");
        }
    }
}
