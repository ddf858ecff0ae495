//! Where a log on Redis is, and how to get there: the URL, taken apart. What comes from a stranger is an error that names
//! the piece that is wrong, and never repeats a password.

use std::fmt;
use std::time::Duration;

const PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;
/// A log's keys are `{PREFIX}:...`; the braces put all of them on one node of a cluster.
const PREFIX: &str = "trialog";
const PREFIX_BYTES_MAX: usize = 200;
const NODES_MAX: usize = 64;

/// What a URL says.
#[derive(Clone, PartialEq, Eq)]
pub struct Target {
    pub(crate) place: Place,
    pub(crate) tls: bool,
    pub(crate) user: Option<String>,
    pub(crate) password: Option<String>,
    pub(crate) db: u32,
    pub(crate) prefix: String,
    pub(crate) options: Options,
}

/// How to find the server that takes writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Server(Node),
    Socket(String),
    /// Sentinels that know which server it is, its name among them, and how they are talked to.
    Sentinel {
        nodes: Vec<Node>,
        service: String,
        user: Option<String>,
        password: Option<String>,
    },
    /// Some nodes of a cluster.
    Cluster(Vec<Node>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// How long to wait, and what a durable append waits for. Each can be set in the URL, by the name of the field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// `connect_timeout_ms`: the longest time that a connection may take to come about. Default: 5 seconds.
    pub connect_timeout: Duration,
    /// `timeout_ms`: the longest silence of the server before the connection is given up. Default: 10 seconds.
    pub timeout: Duration,
    /// `retry_ms`: for how long a call goes on trying, over and over, while the server cannot be reached, loads its data or
    /// is being failed over. 0: one attempt. Default: 30 seconds.
    pub retry: Duration,
    /// `wait_replicas`: how many replicas must have a record before a durable append returns (`WAIT`). Default: 0.
    pub wait_replicas: u32,
    /// `wait_aof`: whether a durable append returns only when the server's append-only file is synced, and with
    /// `wait_replicas` those of so many replicas (`WAITAOF`, Redis 7.2 and Valkey). Default: no.
    pub wait_aof: bool,
    /// `wait_ms`: for how long such an append waits before it says that it cannot tell. Default: 5 seconds.
    pub wait: Duration,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            connect_timeout: Duration::from_secs(5),
            timeout: Duration::from_secs(10),
            retry: Duration::from_secs(30),
            wait_replicas: 0,
            wait_aof: false,
            wait: Duration::from_secs(5),
        }
    }
}

/// What is wrong with a URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadUrl {
    detail: String,
}

impl fmt::Display for BadUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl std::error::Error for BadUrl {}

type Parsed<T> = Result<T, BadUrl>;

fn bad<T>(detail: impl Into<String>) -> Parsed<T> {
    Err(BadUrl { detail: detail.into() })
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Server,
    Socket,
    Sentinel,
    Cluster,
}

/// The schemes, and whether each speaks TLS.
const SCHEMES: [(&str, Kind, bool); 7] = [
    ("redis", Kind::Server, false),
    ("rediss", Kind::Server, true),
    ("redis+unix", Kind::Socket, false),
    ("redis+sentinel", Kind::Sentinel, false),
    ("rediss+sentinel", Kind::Sentinel, true),
    ("redis+cluster", Kind::Cluster, false),
    ("rediss+cluster", Kind::Cluster, true),
];

impl Target {
    /// Whether a URL of this scheme is for this crate.
    #[must_use]
    pub fn is_scheme(scheme: &str) -> bool {
        SCHEMES.iter().any(|(name, ..)| *name == scheme)
    }

    /// Takes a URL apart:
    ///
    /// - `redis://[[USER]:PASSWORD@]HOST[:PORT][/DB]`, `rediss://` for TLS
    /// - `redis+unix://[[USER]:PASSWORD@]/PATH/TO/SOCKET`
    /// - `redis+sentinel://[[USER]:PASSWORD@]HOST[:PORT][,HOST[:PORT]...]/SERVICE[/DB]`
    /// - `redis+cluster://[[USER]:PASSWORD@]HOST[:PORT][,HOST[:PORT]...]`
    ///
    /// Behind `?` there can be `prefix`, `db`, the fields of [`Options`], and for Sentinels that ask for a
    /// password of their own `sentinel_user` and `sentinel_password`. Everything can be percent-encoded.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(url: &str) -> Parsed<Target> {
        let Some((scheme, rest)) = url.split_once("://") else {
            return bad("a URL of a Redis server begins with redis:// or a scheme like it");
        };
        let Some((_, kind, tls)) = SCHEMES.iter().find(|(name, ..)| *name == scheme) else {
            let names: Vec<&str> = SCHEMES.iter().map(|(name, ..)| *name).collect();
            return bad(format!("the scheme is none of {}", names.join(", ")));
        };
        let (rest, fragment) = rest.split_once('#').map_or((rest, None), |(rest, after)| (rest, Some(after)));
        if fragment.is_some() {
            return bad("there is a # in it, and nothing can follow one here; a # in a password is written %23");
        }
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
        // Or a part of a password would be taken for something that a message may repeat.
        if *kind != Kind::Socket && path.contains('@') || login_is_cut(authority, query) {
            return bad("a / or ? stands before the @; in a user or password they are written %2F and %3F");
        }
        let (login, hosts) = authority.rsplit_once('@').map_or((None, authority), |(login, at)| (Some(login), at));
        let (user, password) = login.map_or(Ok((None, None)), credentials)?;
        let mut query = Query::parse(query)?;
        let path_db = match (kind, path) {
            (Kind::Socket | Kind::Sentinel, _) | (_, "" | "/") => None,
            (Kind::Server, path) => Some(number::<u32>("the database behind the host", &path[1..])?),
            (Kind::Cluster, _) => return bad("a cluster has one database: nothing can stand behind its hosts"),
        };
        let (place, path_db) = match kind {
            Kind::Server => (Place::Server(node(hosts, PORT)?), path_db),
            Kind::Socket if !hosts.is_empty() => {
                return bad("a socket is a path: write redis+unix:///PATH, with three slashes");
            }
            Kind::Socket if path.len() < 2 => return bad("the path of the socket is missing"),
            Kind::Socket => (Place::Socket(decode("the path of the socket", path)?), None),
            Kind::Cluster => (Place::Cluster(nodes(hosts, PORT)?), None),
            Kind::Sentinel => {
                let path = path.strip_prefix('/').unwrap_or_default();
                let (service, db) = path.split_once('/').map_or((path, None), |(service, db)| (service, Some(db)));
                let service = decode("the name of the service", service)?;
                if service.is_empty() {
                    return bad("the name of the service is missing behind the Sentinels: write /NAME");
                }
                let db = db.map(|db| number::<u32>("the database behind the service", db)).transpose()?;
                let (user, password) = (query.take("sentinel_user")?, query.take("sentinel_password")?);
                (Place::Sentinel { nodes: nodes(hosts, SENTINEL_PORT)?, service, user, password }, db)
            }
        };
        let query_db = query.number::<u32>("db")?;
        if path_db.is_some() && query_db.is_some() {
            return bad("it names a database twice, in its path and as db=");
        }
        let db = path_db.or(query_db).unwrap_or(0);
        if *kind == Kind::Cluster && db != 0 {
            return bad("a cluster has one database: leave db= away");
        }
        let prefix = query.take("prefix")?.unwrap_or_else(|| PREFIX.to_owned());
        check_prefix(&prefix)?;
        let options = query.options()?;
        query.finish()?;
        Ok(Target { place, tls: *tls, user, password, db, prefix, options })
    }

    /// The URL without its passwords, for messages.
    #[must_use]
    pub fn location(&self) -> String {
        let list = |nodes: &[Node]| nodes.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        let scheme = if self.tls { "rediss" } else { "redis" };
        let db = if self.db == 0 { String::new() } else { format!("/{}", self.db) };
        let place = match &self.place {
            Place::Server(node) => format!("{scheme}://{node}{db}"),
            Place::Socket(path) if self.db == 0 => format!("redis+unix://{path}"),
            Place::Socket(path) => format!("redis+unix://{path}?db={}", self.db),
            Place::Sentinel { nodes, service, .. } => {
                format!("{scheme}+sentinel://{}/{service}{db}", list(nodes))
            }
            Place::Cluster(nodes) => format!("{scheme}+cluster://{}", list(nodes)),
        };
        let mark = if place.contains('?') { '&' } else { '?' };
        format!("{place}{mark}prefix={}", self.prefix)
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.location())
    }
}

/// Whether the first name behind the question mark holds the @ that the hosts lack.
fn login_is_cut(authority: &str, query: &str) -> bool {
    let name = query.split(['=', '&']).next().unwrap_or_default();
    !authority.contains('@') && name.contains('@')
}

/// User and password, of which neither may be repeated in a message.
fn credentials(login: &str) -> Parsed<(Option<String>, Option<String>)> {
    let Some((user, password)) = login.split_once(':') else {
        return bad("there is a user before the @ and no password: write USER:PASSWORD@, or :PASSWORD@");
    };
    let user = decode("the user", user)?;
    let password = decode("the password", password)?;
    if password.is_empty() {
        return bad("the password before the @ is empty");
    }
    Ok(((!user.is_empty()).then_some(user), Some(password)))
}

fn nodes(hosts: &str, port: u16) -> Parsed<Vec<Node>> {
    let nodes: Vec<Node> = hosts.split(',').map(|host| node(host, port)).collect::<Parsed<_>>()?;
    if nodes.len() > NODES_MAX { bad(format!("it names more than {NODES_MAX} hosts")) } else { Ok(nodes) }
}

fn node(host: &str, port: u16) -> Parsed<Node> {
    let (host, after) = if let Some(inner) = host.strip_prefix('[') {
        inner.split_once(']').ok_or_else(|| BadUrl { detail: "an address in [ has no ]".to_owned() })?
    } else {
        host.find(':').map_or((host, ""), |at| host.split_at(at))
    };
    let port = match after.strip_prefix(':') {
        None if after.is_empty() => port,
        Some(digits) => number::<u16>("the port", digits)?,
        None => return bad("something other than a port follows the ] of an address"),
    };
    let host = decode("the host", host)?;
    if host.is_empty() {
        return bad("a host is missing");
    }
    if port == 0 {
        return bad("the port is 0");
    }
    Ok(Node { host, port })
}

fn check_prefix(prefix: &str) -> Parsed<()> {
    if prefix.is_empty() || prefix.len() > PREFIX_BYTES_MAX {
        return bad(format!("the prefix has {} bytes; it takes 1 to {PREFIX_BYTES_MAX}", prefix.len()));
    }
    if prefix.chars().any(|c| matches!(c, '{' | '}') || c.is_control()) {
        return bad("the prefix has a brace or a control character in it");
    }
    Ok(())
}

fn number<T: std::str::FromStr>(what: &str, digits: &str) -> Parsed<T> {
    let is_plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let number = is_plain.then(|| digits.parse().ok()).flatten();
    number.ok_or_else(|| BadUrl { detail: format!("{what} is no number, or none that fits there") })
}

/// Percent-decoding. The error does not repeat the text.
fn decode(what: &str, text: &str) -> Parsed<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |at: usize| after.get(at).and_then(|&digit| char::from(digit).to_digit(16));
        let (Some(high), Some(low)) = (digit(0), digit(1)) else {
            return bad(format!("{what} has a % that no two hexadecimal digits follow; a % itself is written %25"));
        };
        bytes.push((high * 16 + low) as u8);
        rest = &after[2..];
    }
    let text = String::from_utf8(bytes).map_err(|_| BadUrl { detail: format!("{what} is not UTF-8") })?;
    if text.contains('\0') { bad(format!("{what} has a zero byte in it")) } else { Ok(text) }
}

/// What stands behind the question mark, each to be taken once.
struct Query(Vec<(String, String)>);

impl Query {
    fn parse(query: &str) -> Parsed<Query> {
        let mut pairs: Vec<(String, String)> = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let key = decode("an option", key)?;
            if pairs.iter().any(|(other, _)| *other == key) {
                return bad(format!("the option {key:?} is there twice"));
            }
            pairs.push((key.clone(), decode(&format!("the option {key:?}"), value)?));
        }
        Ok(Query(pairs))
    }

    fn take(&mut self, key: &str) -> Parsed<Option<String>> {
        let Some(at) = self.0.iter().position(|(name, _)| name == key) else { return Ok(None) };
        let (_, value) = self.0.swap_remove(at);
        if value.is_empty() { bad(format!("the option {key:?} has no value")) } else { Ok(Some(value)) }
    }

    fn number<T: std::str::FromStr>(&mut self, key: &str) -> Parsed<Option<T>> {
        self.take(key)?.map(|value| number(&format!("the option {key:?}"), &value)).transpose()
    }

    fn millis(&mut self, key: &str, min: u32, default: Duration) -> Parsed<Duration> {
        let Some(millis) = self.number::<u32>(key)? else { return Ok(default) };
        if millis < min {
            return bad(format!("the option {key:?} is {millis}; it takes at least {min}"));
        }
        Ok(Duration::from_millis(u64::from(millis)))
    }

    fn flag(&mut self, key: &str) -> Parsed<bool> {
        match self.take(key)?.as_deref() {
            None | Some("0" | "no" | "false") => Ok(false),
            Some("1" | "yes" | "true") => Ok(true),
            Some(other) => bad(format!("the option {key:?} is {other:?}; it takes yes or no")),
        }
    }

    fn options(&mut self) -> Parsed<Options> {
        let default = Options::default();
        Ok(Options {
            connect_timeout: self.millis("connect_timeout_ms", 1, default.connect_timeout)?,
            timeout: self.millis("timeout_ms", 1, default.timeout)?,
            retry: self.millis("retry_ms", 0, default.retry)?,
            wait_replicas: self.number("wait_replicas")?.unwrap_or(default.wait_replicas),
            wait_aof: self.flag("wait_aof")?,
            wait: self.millis("wait_ms", 1, default.wait)?,
        })
    }

    /// Whatever is left is not known here, and a misspelt option must not be passed over.
    fn finish(self) -> Parsed<()> {
        self.0.first().map_or(Ok(()), |(key, _)| bad(format!("there is no option {key:?}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(url: &str, expected: &str) {
        let found = match Target::parse(url) {
            Ok(target) => target.location(),
            Err(error) => format!("error: {error}"),
        };
        assert_eq!(found, expected, "{url}");
    }

    #[test]
    fn every_shape() {
        check("redis://h", "redis://h:6379?prefix=trialog");
        check("redis://h:1/3?prefix=a%20b", "redis://h:1/3?prefix=a b");
        check("redis://[::1]:7/", "redis://[::1]:7?prefix=trialog");
        check("rediss://u:p@h?db=2", "rediss://h:6379/2?prefix=trialog");
        check("redis+unix:///run/r.sock?db=1", "redis+unix:///run/r.sock?db=1&prefix=trialog");
        check("redis+sentinel://a,b:2/main/4", "redis+sentinel://a:26379,b:2/main/4?prefix=trialog");
        check("rediss+cluster://a,[::2]:3?prefix=x", "rediss+cluster://a:6379,[::2]:3?prefix=x");
    }

    #[test]
    fn credentials_and_options() {
        let target = Target::parse("redis://me:p%40s%3as@h/1?wait_replicas=2&wait_aof=yes&timeout_ms=7").unwrap();
        assert_eq!((target.user.as_deref(), target.password.as_deref()), (Some("me"), Some("p@s:s")));
        assert_eq!((target.options.wait_replicas, target.options.wait_aof), (2, true));
        assert_eq!(target.options.timeout, Duration::from_millis(7));
        assert_eq!(Target::parse("redis://:p@h").unwrap().user, None);
    }

    #[test]
    fn each_wrong_piece_is_named_and_no_password_repeated() {
        for (url, piece) in [
            ("redis:h", "redis://"),
            ("radish://h", "scheme"),
            ("redis://", "host"),
            ("redis://h:x", "port"),
            ("redis://h:99999", "port"),
            ("redis://h:0", "port"),
            ("redis://[::1", "]"),
            ("redis://[::1]x", "]"),
            ("redis://h/one", "database"),
            ("redis://h/1?db=2", "twice"),
            ("redis://h/1/2", "database"),
            ("redis://secret@h", "password"),
            ("redis://u:secret/x@h", "%2F"),
            ("redis://u:secret?x@h", "%3F"),
            ("redis://u:secret", "port"),
            ("redis://secret:@h", "password"),
            ("redis://u:secret%zz@h", "password"),
            ("redis://u:secret%ff@h", "UTF-8"),
            ("redis://u:secret#1@h", "%23"),
            ("redis://h?prefix=", "prefix"),
            ("redis://h?prefix={a}", "brace"),
            ("redis://h?wait_aof=perhaps", "wait_aof"),
            ("redis://h?timeout_ms=0", "timeout_ms"),
            ("redis://h?timeout_ms=-1", "timeout_ms"),
            ("redis://h?timeout=1", "\"timeout\""),
            ("redis://h?db=1&db=2", "twice"),
            ("redis+unix://h/p", "three slashes"),
            ("redis+unix://", "path"),
            ("redis+sentinel://a", "service"),
            ("redis+sentinel://a,/m", "host"),
            ("redis+sentinel://a/m/x", "database"),
            ("redis+cluster://a/1", "one database"),
            ("redis+cluster://a?db=1", "one database"),
        ] {
            let error = Target::parse(url).expect_err(url).to_string();
            assert!(error.contains(piece), "{url}: {error}");
            assert!(!error.contains("secret"), "{url}: {error}");
        }
        let target = Target::parse("redis://u:secret@h").unwrap();
        assert!(!format!("{target:?} {}", target.location()).contains("secret"));
    }

    /// Numbers that look random and are the same in every run (Knuth's MMIX constants).
    struct Dice(u64);

    impl Dice {
        fn roll(&mut self, sides: usize) -> usize {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 33) as usize % sides
        }

        /// Some of the pieces one after another, `most` at most.
        fn text(&mut self, pieces: &[&str], most: usize) -> String {
            (0..self.roll(most + 1)).map(|_| pieces[self.roll(pieces.len())]).collect()
        }
    }

    const PIECES: &[&str] = &[
        ":",
        "/",
        "//",
        "?",
        "#",
        "@",
        "%",
        "%2",
        "%2f",
        "%ff",
        "%00",
        "[",
        "]",
        "::1",
        ",",
        "=",
        "&",
        "db=1",
        "prefix=",
        "wait_ms=",
        "wait_aof=",
        "h",
        "1",
        "65536",
        "99999999999",
        "-1",
        " ",
        "\0",
        "\n",
        "{",
        "é",
        "redis",
        "+unix",
    ];

    #[test]
    fn whatever_stands_around_a_password_it_is_not_repeated() {
        let mut dice = Dice(1);
        let (mut taken, mut refused) = (0, 0);
        for _ in 0..50_000 {
            let (scheme, ..) = SCHEMES[dice.roll(SCHEMES.len())];
            let (user, behind) = (dice.text(&["u", "é", "%41"], 1), dice.text(PIECES, 3));
            let url = format!("{scheme}://{user}:secret{behind}@h{}", dice.text(PIECES, 5));
            let said = match Target::parse(&url) {
                Ok(target) => {
                    taken += 1;
                    assert!(target.password.as_ref().is_some_and(|password| password.contains("secret")), "{url}");
                    format!("{target:?} {}", target.location())
                }
                Err(error) => {
                    refused += 1;
                    error.to_string()
                }
            };
            assert!(!said.contains("secret"), "{url}: {said}");
        }
        // Or it would show nothing.
        assert!(taken > 1_000 && refused > 1_000, "{taken} taken, {refused} refused");
    }

    #[test]
    fn an_encoded_password_is_read_as_it_was_meant() {
        let mut dice = Dice(2);
        for _ in 0..2_000 {
            let password = format!("p{}", dice.text(PIECES, 6).replace('\0', ""));
            let encoded: String = password.bytes().map(|byte| format!("%{byte:02X}")).collect();
            let target = Target::parse(&format!("redis://u:{encoded}@h")).unwrap();
            assert_eq!(target.password.as_deref(), Some(password.as_str()));
        }
    }

    #[test]
    fn no_text_at_all_is_more_than_an_error() {
        let mut dice = Dice(3);
        for _ in 0..50_000 {
            let _ = Target::parse(&format!("redis{}", dice.text(PIECES, 12)));
        }
    }
}
