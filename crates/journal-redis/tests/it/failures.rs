//! What can happen to a server and the way to it: what was acknowledged is there exactly once, or the loss is told to
//! everybody who knows better.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::server::{PATIENCE, Proxy, Redis, append, open, read};
use trialog_journal::{Durability, Error, Journal};
use trialog_journal_redis::{RedisJournal, Target};

fn is_regressed<T: std::fmt::Debug>(result: Result<T, Error>) -> bool {
    match result {
        Err(Error::Regressed { .. }) => true,
        other => panic!("not found out: {other:?}"),
    }
}

fn numbered(number: u64) -> [u8; 8] {
    number.to_be_bytes()
}

/// What a handle was told is there, and whether it has heard since that the log lost its end.
#[derive(Default)]
struct Told {
    records: Vec<(u64, [u8; 8])>,
    regressed: bool,
}

/// Kills the server again and again under writers, who begin anew where they hear that the log lost its end. What the log holds in
/// the end, and what each handle was told.
fn killed(settings: &[&str]) -> (Vec<Vec<u8>>, Vec<Told>) {
    let mut redis = Redis::with(settings);
    let url = redis.url("");
    let (done, appended) = (AtomicBool::new(false), AtomicU64::new(0));
    let told = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..3_u64)
            .map(|writer| {
                let (url, done, appended) = (&url, &done, &appended);
                scope.spawn(move || {
                    let mut handles = vec![Told::default()];
                    let mut journal = open(url).expect("it opens");
                    let mut numbers = writer << 32..;
                    // Each handle asks once more behind the last kill, and so hears of what that took.
                    let mut is_last = false;
                    while !is_last {
                        is_last = done.load(Ordering::Relaxed);
                        let record = numbered(numbers.next().expect("there are enough"));
                        let handle = handles.last_mut().expect("there is one");
                        match append(&journal, &record) {
                            Ok(seq) => {
                                handle.records.push((seq, record));
                                appended.fetch_add(1, Ordering::Relaxed);
                            }
                            Err(Error::Regressed { .. }) => {
                                handle.regressed = true;
                                handles.push(Told::default());
                                journal = open(url).expect("it opens");
                            }
                            Err(error) => panic!("the server comes back: {error:?}"),
                        }
                    }
                    handles
                })
            })
            .collect();
        // However slow the disk is, each death comes among appends, and appends come behind the last one.
        let work = || {
            let before = appended.load(Ordering::Relaxed);
            let begun = Instant::now();
            std::thread::sleep(Duration::from_millis(150));
            while appended.load(Ordering::Relaxed) < before + 20 && begun.elapsed() < PATIENCE {
                std::thread::sleep(Duration::from_millis(1));
            }
        };
        for _ in 0..4 {
            work();
            redis.kill();
            redis.restart();
        }
        work();
        done.store(true, Ordering::Relaxed);
        writers.into_iter().flat_map(|writer| writer.join().expect("it ends well")).collect()
    });
    (read(&redis.open(), 0).expect("it reads"), told)
}

#[test]
fn a_killed_server_that_syncs_always_loses_and_doubles_nothing() {
    let (records, told) = killed(&["save", "", "appendonly", "yes", "appendfsync", "always"]);
    assert!(told.iter().all(|handle| !handle.regressed), "nothing was lost");
    let acknowledged: BTreeMap<_, _> = told.into_iter().flat_map(|handle| handle.records).collect();
    assert_eq!(records.len(), acknowledged.len(), "as many as were acknowledged, and no more");
    assert!(records.len() >= 100, "{}", records.len());
    for (seq, record) in acknowledged {
        assert_eq!(records[seq as usize], record, "record {seq}");
    }
}

/// What was written survives the death of the process, synced or not. But while it syncs, such a server answers before it
/// has written: an end that was lost so is told to each handle that was told of it, and nothing else is lost or there twice.
#[test]
fn a_killed_server_that_syncs_every_second_doubles_nothing_and_a_loss_is_told() {
    let (records, told) = killed(&["save", "", "appendonly", "yes", "appendfsync", "everysec"]);
    let mut acknowledged = 0;
    for handle in &told {
        let is_there =
            |(seq, record): &(u64, [u8; 8])| records.get(*seq as usize).is_some_and(|there| there == record);
        let kept = handle.records.iter().take_while(|told| is_there(told)).count();
        assert!(kept == handle.records.len() || handle.regressed, "a loss that nobody was told of");
        assert!(!handle.records[kept..].iter().any(is_there), "what is lost is the end");
        acknowledged += kept;
    }
    assert_eq!(records.len(), acknowledged, "each that is there was acknowledged to one, and is there once");
    assert!(told.iter().map(|handle| handle.records.len()).sum::<usize>() >= 100);
}

#[test]
fn a_server_that_came_back_empty_has_regressed_for_all_who_know_better() {
    let mut redis = Redis::start();
    let (writer, reader) = (redis.open(), redis.open());
    append(&writer, b"one").unwrap();
    append(&writer, b"two").unwrap();
    assert_eq!(read(&reader, 0).unwrap().len(), 2);
    redis.kill();
    redis.restart();
    assert!(is_regressed(append(&writer, b"three")));
    assert!(is_regressed(read(&reader, 2)));
    // Somebody who knows nothing begins anew, and even with as many records it is not the log that was.
    let fresh = redis.open();
    for record in [b"one", b"two", b"333", b"444"] {
        append(&fresh, record).unwrap();
        assert!(is_regressed(append(&writer, b"three")));
        assert!(is_regressed(read(&reader, 2)));
    }
    assert_eq!(read(&redis.open(), 0).unwrap().len(), 4, "nothing of those who were refused");
}

/// The server loads an older snapshot: the end of the log is lost, and others fill the gap with other records.
#[test]
fn a_lost_end_is_found_out_whatever_took_its_place() {
    let mut redis = Redis::with(&["save", "3600 1"]);
    let (long, short) = (redis.open(), redis.open());
    for number in 0..5 {
        append(&long, &numbered(number)).unwrap();
    }
    assert_eq!(read(&short, 0).unwrap().len(), 5);
    redis.ask::<()>(&["SAVE"]);
    for number in 5..8 {
        append(&long, &numbered(number)).unwrap();
    }
    redis.kill();
    redis.restart();
    assert!(matches!(append(&long, b"lost"), Err(Error::Regressed { seen: 8, found: 5, .. })));
    // Who has not seen the lost records goes on: for it, nothing was lost.
    for number in 15..18 {
        append(&short, &numbered(number)).unwrap();
    }
    // The same length, the same bytes in all, and another log.
    assert!(is_regressed(append(&long, b"fork")));
    assert!(is_regressed(read(&long, 8)));
    append(&short, &numbered(18)).unwrap();
    assert!(is_regressed(append(&long, b"fork")));
    assert_eq!(read(&redis.open(), 0).unwrap().len(), 9);
}

#[test]
fn flushall_is_a_regression() {
    let redis = Redis::start();
    let (journal, empty) = (redis.open(), redis.open());
    append(&journal, b"one").unwrap();
    redis.ask::<()>(&["FLUSHALL"]);
    assert!(is_regressed(append(&journal, b"two")));
    assert!(is_regressed(read(&journal, 1)));
    // Even a handle that has seen no record knows which log it opened.
    assert!(is_regressed(append(&empty, b"two")));
    assert_eq!(redis.ask::<u64>(&["DBSIZE"]), 0, "nobody began a log behind anybody's back");
}

#[test]
fn an_entry_that_vanished_is_damage() {
    let redis = Redis::start();
    let journal = redis.open();
    for number in 0..6 {
        append(&journal, &numbered(number)).unwrap();
    }
    // Each batch has nine bytes: one for the length.
    redis.ask::<()>(&["XDEL", "{t}:log", "27-3"]);
    let fresh = redis.open();
    let mut seen = 0;
    let damage = fresh.read(trialog_journal::Seq(0), &mut |_, _| {
        seen += 1;
        std::ops::ControlFlow::Continue(())
    });
    assert!(matches!(damage, Err(Error::Corrupt { seq: 2, offset: 18, .. })), "{damage:?}");
    assert_eq!(seen, 2, "all before it is handed over");
}

#[test]
fn a_strangers_entry_is_damage() {
    let redis = Redis::start();
    let journal = redis.open();
    append(&journal, b"one").unwrap();
    redis.ask::<String>(&["XADD", "{t}:log", "8-2", "c", "0123456789abcdef", "d", "\u{3}two"]);
    let found = read(&redis.open(), 0);
    assert!(matches!(found, Err(Error::Corrupt { seq: 1, offset: 4, .. })), "{found:?}");
}

/// While the server is stopped, requests pile up in its socket, one for each attempt.
#[test]
fn a_stopped_server_takes_each_batch_once() {
    let redis = Redis::start();
    let journal = open(&redis.url("&timeout_ms=100&connect_timeout_ms=100")).unwrap();
    append(&journal, b"before").unwrap();
    redis.signal("STOP");
    std::thread::scope(|scope| {
        let stuck = scope.spawn(|| append(&journal, b"during"));
        std::thread::sleep(Duration::from_millis(900));
        redis.signal("CONT");
        assert_eq!(stuck.join().unwrap().unwrap(), 1);
    });
    assert!(journal.failed_attempts() > 1, "it was tried again");
    assert_eq!(append(&journal, b"after").unwrap(), 2);
    assert_eq!(read(&redis.open(), 0).unwrap(), [&b"before"[..], b"during", b"after"]);
}

#[test]
fn a_paused_server_takes_each_batch_once() {
    let redis = Redis::start();
    let journal = open(&redis.url("&timeout_ms=100")).unwrap();
    append(&journal, b"before").unwrap();
    redis.ask::<()>(&["CLIENT", "PAUSE", "700", "WRITE"]);
    assert_eq!(append(&journal, b"during").unwrap(), 1);
    assert!(journal.failed_attempts() > 0, "it was tried again");
    assert_eq!(read(&redis.open(), 0).unwrap(), [&b"before"[..], b"during"]);
}

#[test]
fn a_full_server_says_so_and_loses_nothing() {
    let redis = Redis::with(&["save", "", "maxmemory", "4mb", "maxmemory-policy", "noeviction"]);
    let journal = redis.open();
    let mut kept = 0;
    let full = loop {
        match append(&journal, &vec![7; 50_000]) {
            Ok(seq) => kept = seq + 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(full, Error::OutOfSpace { .. }), "{full:?}");
    assert!(full.to_string().contains("no room left"), "{full}");
    assert!(kept > 5);
    assert_eq!(read(&redis.open(), 0).unwrap().len() as u64, kept, "what is there can be read");
    redis.ask::<()>(&["CONFIG", "SET", "maxmemory", "0"]);
    assert_eq!(append(&journal, b"more").unwrap(), kept);
}

#[test]
fn a_server_that_may_throw_keys_away_is_refused() {
    let redis = Redis::with(&["save", "", "maxmemory", "100mb", "maxmemory-policy", "allkeys-lru"]);
    let refused = open(&redis.url("")).unwrap_err();
    assert!(matches!(refused, Error::Unsupported { .. }), "{refused:?}");
    assert!(refused.to_string().contains("noeviction"), "{refused}");
    // Keys that never expire are safe from these.
    redis.ask::<()>(&["CONFIG", "SET", "maxmemory-policy", "volatile-lru"]);
    open(&redis.url("")).unwrap();
}

#[test]
fn a_server_that_is_not_there_is_tried_for_so_long_and_no_longer() {
    let port = crate::server::free_port();
    let begun = Instant::now();
    let error = open(&format!("redis://:hunter2@127.0.0.1:{port}?retry_ms=300")).unwrap_err();
    assert!(matches!(error, Error::Io { .. }), "{error:?}");
    assert!(begun.elapsed() > Duration::from_millis(100) && begun.elapsed() < Duration::from_secs(5));
    assert!(!error.to_string().contains("hunter2"), "{error}");
}

#[test]
fn a_wrong_password_is_told_at_once_and_not_repeated() {
    let redis = Redis::with(&["save", "", "requirepass", "right"]);
    for login in ["", ":hunter2@", "me:hunter2@"] {
        let error = open(&format!("redis://{login}127.0.0.1:{}", redis.port)).unwrap_err();
        assert!(matches!(error, Error::Io { .. }), "{error:?}");
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
    open(&format!("redis://:right@127.0.0.1:{}", redis.port)).unwrap();
}

/// A user who may do no more than the log takes, and who cannot ask for settings.
#[test]
fn a_user_with_few_rights_is_enough() {
    let redis = Redis::start();
    redis.ask::<()>(&[
        "ACL",
        "SETUSER",
        "worker",
        "on",
        ">pw",
        "~{t}:*",
        "+hmget",
        "+exists",
        "+hset",
        "+xrange",
        "+xrevrange",
        "+xadd",
        "+hget",
        "+time",
        "+hlen",
        "+hincrby",
        "+eval",
        "+evalsha",
        "+xread",
        "+unlink",
        "+xdel",
        "+select",
        "+ping",
    ]);
    let url = format!("redis://worker:pw@127.0.0.1:{}/0?prefix=t", redis.port);
    let journal = open(&url).unwrap();
    assert_eq!(journal.server().version, None);
    append(&journal, b"one").unwrap();
    assert!(journal.wait(trialog_journal::Seq(0), Duration::from_secs(1)).unwrap());
    assert!(
        journal.compact(trialog_journal::Seq(1), &mut |sink| sink(b"s"), trialog_journal::History::Folded).unwrap()
    );
    journal.reclaim(Duration::ZERO).unwrap();
    let elsewhere = open(&url.replace("prefix=t", "prefix=other")).unwrap_err();
    assert!(matches!(elsewhere, Error::Io { .. }), "{elsewhere:?}");
}

#[test]
fn other_peoples_keys_are_no_log() {
    let redis = Redis::start();
    redis.ask::<()>(&["SET", "{t}:tip", "mine"]);
    assert!(matches!(open(&redis.url("")), Err(Error::NotALog { .. })));
    redis.ask::<()>(&["DEL", "{t}:tip"]);
    redis.ask::<()>(&["SET", "{t}:log", "mine"]);
    assert!(matches!(open(&redis.url("")), Err(Error::NotALog { .. })));
    redis.ask::<()>(&["DEL", "{t}:log"]);
    redis.ask::<()>(&["HSET", "{t}:tip", "id", "ab", "format", "3"]);
    assert!(matches!(open(&redis.url("")), Err(Error::NewerFormat { .. })));
}

#[test]
fn who_only_looks_makes_and_changes_nothing() {
    let redis = Redis::start();
    let look = || RedisJournal::open(Target::parse(&redis.url("")).unwrap(), true, true);
    assert!(matches!(look(), Err(Error::NotFound { .. })));
    assert_eq!(redis.ask::<u64>(&["DBSIZE"]), 0);
    append(&redis.open(), b"one").unwrap();
    let reader = look().unwrap();
    assert_eq!(read(&reader, 0).unwrap(), [b"one"]);
    assert!(matches!(append(&reader, b"two"), Err(Error::ReadOnly { .. })));
}

#[test]
fn a_socket_and_another_database() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("r.sock");
    let _redis = Redis::with(&["save", "", "unixsocket", socket.to_str().unwrap()]);
    let url = |db: u32| format!("redis+unix://{}?db={db}", socket.display());
    let (one, two) = (open(&url(0)).unwrap(), open(&url(3)).unwrap());
    append(&one, b"one").unwrap();
    assert_eq!(append(&two, b"two").unwrap(), 0, "a log of its own");
    assert_eq!(read(&open(&url(3)).unwrap(), 0).unwrap(), [b"two"]);
}

#[test]
fn a_durable_append_waits_for_copies_or_says_that_they_are_missing() {
    let redis = Redis::start();
    let journal = open(&redis.url("&wait_replicas=1&wait_ms=100")).unwrap();
    append(&journal, b"one").unwrap();
    let alone = journal.append(&[b"two"], Durability::Power).unwrap_err();
    assert!(alone.to_string().contains("only 0 of 1 replicas"), "{alone}");
    let replica = Redis::with(&["save", "", "replicaof", &format!("127.0.0.1 {}", redis.port)]);
    crate::server::until("the replica is there", || {
        replica.ask::<String>(&["INFO", "replication"]).contains("master_link_status:up")
    });
    let journal = open(&redis.url("&wait_replicas=1&wait_ms=20000")).unwrap();
    journal.append(&[b"three"], Durability::Power).unwrap();
    journal.append(&[], Durability::Power).unwrap();
    assert_eq!(replica.ask::<u64>(&["XLEN", "{t}:log"]), 3);
    // The server here is older than the command, or has no append-only file.
    let no_aof = open(&redis.url("&wait_aof=yes")).unwrap_err();
    assert!(matches!(no_aof, Error::Unsupported { .. }), "{no_aof:?}");
}

#[test]
fn an_append_is_one_round_trip() {
    let redis = Redis::start();
    let proxy = Proxy::before(redis.port);
    let journal = open(&proxy.url("")).unwrap();
    append(&journal, b"first").unwrap();
    let before = proxy.told.requests.load(Ordering::Relaxed);
    for number in 0..200 {
        let seq = append(&journal, &numbered(number)).unwrap();
        // Its own record costs no look at the server.
        let mut own = None;
        journal
            .read(trialog_journal::Seq(seq), &mut |_, record| {
                own = Some(record.to_vec());
                std::ops::ControlFlow::Break(())
            })
            .unwrap();
        assert_eq!(own.as_deref(), Some(&numbered(number)[..]));
    }
    assert_eq!(proxy.told.requests.load(Ordering::Relaxed) - before, 200);
    // What others have appended in between comes along, be it little or much.
    let (other, mut expected) = (redis.open(), 201);
    for others in [1, 1, 7, 40, 100] {
        for _ in 0..others {
            append(&other, b"other").unwrap();
        }
        let before = proxy.told.requests.load(Ordering::Relaxed);
        assert_eq!(append(&journal, b"own").unwrap(), expected + others);
        let mut seen = 0;
        let count = |_, _: &[u8]| {
            seen += 1;
            if seen == others + 1 { std::ops::ControlFlow::Break(()) } else { std::ops::ControlFlow::Continue(()) }
        };
        journal.read(trialog_journal::Seq(expected), &mut { count }).unwrap();
        expected += others + 1;
        assert_eq!((seen, proxy.told.requests.load(Ordering::Relaxed) - before), (others + 1, 1));
    }
}
