//! A server, its replica and a Sentinel: the server is killed, and the replica takes its place.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::server::{Redis, append, free_port, open, read, until};
use trialog_journal::{Durability, Error, Journal};

struct Sentinel {
    child: Child,
    port: u16,
    _folder: tempfile::TempDir,
}

impl Sentinel {
    fn watch(master: u16) -> Sentinel {
        let folder = tempfile::tempdir().unwrap();
        let port = free_port();
        let file = folder.path().join("sentinel.conf");
        let settings = format!(
            "port {port}\nbind 127.0.0.1\nsentinel monitor main 127.0.0.1 {master} 1\n\
             sentinel down-after-milliseconds main 400\nsentinel failover-timeout main 5000\n"
        );
        std::fs::write(&file, settings).unwrap();
        let child = Command::new("redis-server")
            .arg(&file)
            .arg("--sentinel")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Sentinel { child, port, _folder: folder }
    }

    fn ask(&self, words: &[&str]) -> Option<redis::Value> {
        let client = redis::Client::open(format!("redis://127.0.0.1:{}", self.port)).unwrap();
        let mut connection = client.get_connection_with_timeout(Duration::from_secs(2)).ok()?;
        let mut command = redis::cmd("SENTINEL");
        words.iter().for_each(|word| {
            command.arg(*word);
        });
        command.query(&mut connection).ok()
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct Pair {
    master: Redis,
    replica: Redis,
    sentinel: Sentinel,
}

impl Pair {
    fn start() -> Pair {
        let master = Redis::with(&["save", "", "repl-diskless-sync-delay", "0"]);
        let replica = Redis::with(&["save", "", "replicaof", &format!("127.0.0.1 {}", master.port)]);
        let sentinel = Sentinel::watch(master.port);
        until("the replica is linked", || {
            replica.ask::<String>(&["INFO", "replication"]).contains("master_link_status:up")
        });
        until(
            "the Sentinel knows the replica",
            || matches!(sentinel.ask(&["replicas", "main"]), Some(redis::Value::Array(replicas)) if replicas.len() == 1),
        );
        Pair { master, replica, sentinel }
    }

    fn url(&self, more: &str) -> String {
        format!("redis+sentinel://127.0.0.1:{}/main?prefix=t{more}", self.sentinel.port)
    }

    /// From here on the replica gets nothing more; all else goes on.
    fn cut_off_the_replica(&self) {
        self.master.ask::<()>(&["ACL", "SETUSER", "default", "-psync", "-sync"]);
        self.master.ask::<u64>(&["CLIENT", "KILL", "TYPE", "replica"]);
    }
}

#[test]
fn a_failover_after_which_nothing_is_lost_is_only_a_pause() {
    let mut pair = Pair::start();
    let journal = open(&pair.url("&wait_replicas=1&wait_ms=20000")).unwrap();
    for number in 0..50_u8 {
        journal.append(&[&[number]], Durability::Power).unwrap();
    }
    pair.master.kill();
    // The log goes on at the replica, which nobody has to tell.
    for number in 50..60_u8 {
        assert_eq!(append(&journal, &[number]).unwrap(), u64::from(number));
    }
    let expected: Vec<Vec<u8>> = (0..60).map(|number| vec![number]).collect();
    assert_eq!(read(&journal, 0).unwrap(), expected);
    assert_eq!(read(&pair.replica.open(), 0).unwrap(), expected);
}

#[test]
fn a_failover_that_loses_the_end_is_found_out() {
    let mut pair = Pair::start();
    let (journal, reader) = (open(&pair.url("")).unwrap(), open(&pair.url("")).unwrap());
    // A busy machine may take its time while all is well; what cannot come at all is not waited for as long.
    let patient = open(&pair.url("&wait_replicas=1&wait_ms=20000")).unwrap();
    let careful = open(&pair.url("&wait_replicas=1&wait_ms=300")).unwrap();
    for number in 0..10_u8 {
        patient.append(&[&[number]], Durability::Power).unwrap();
    }
    pair.cut_off_the_replica();
    let unsafe_now = careful.append(&[b"x"], Durability::Power).unwrap_err();
    assert!(unsafe_now.to_string().contains("only 0 of 1 replicas"), "{unsafe_now}");
    for number in 11..15_u8 {
        append(&journal, &[number]).unwrap();
    }
    assert_eq!(read(&reader, 0).unwrap().len(), 15);
    pair.master.kill();
    assert!(matches!(append(&journal, b"y"), Err(Error::Regressed { seen: 15, found: 10, .. })));
    // Somebody who knows no better makes the log as long again.
    let fresh = open(&pair.url("")).unwrap();
    for number in 20..25_u8 {
        append(&fresh, &[number]).unwrap();
    }
    assert!(matches!(append(&journal, b"y"), Err(Error::Regressed { .. })));
    assert!(matches!(read(&reader, 15), Err(Error::Regressed { .. })));
    assert_eq!(read(&fresh, 0).unwrap().len(), 15);
}

#[test]
fn a_service_that_the_sentinel_does_not_know_is_an_error() {
    let pair = Pair::start();
    let url = pair.url("&retry_ms=100").replace("/main", "/other");
    let error = open(&url).unwrap_err();
    assert!(error.to_string().contains("no service of that name"), "{error}");
}
