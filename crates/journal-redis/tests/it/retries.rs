//! A batch that arrives again, or late: it is there once, whatever happened in between.

use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::server::{Proxy, Redis, append, open, read, until};
use redis::{ConnectionLike, Value};
use trialog_journal::{Durability, Error, History, Journal, Seq};
use trialog_journal_redis::RedisJournal;

fn numbered(number: u64) -> [u8; 8] {
    number.to_be_bytes()
}

/// Has the log begin at its end, and gives up everything before.
fn compact(journal: &RedisJournal) {
    let end = read(journal, 0).unwrap().len() as u64;
    assert!(journal.compact(Seq(end), &mut |sink| sink(b"base"), History::Folded).unwrap());
    journal.reclaim(Duration::ZERO).unwrap();
}

/// The reply is cut after each of its bytes: whether it was appended is unknown, and it is there once.
#[test]
fn a_lost_reply_doubles_nothing() {
    let redis = Redis::start();
    let proxy = Proxy::before(redis.port);
    let journal = open(&proxy.url("")).unwrap();
    append(&journal, &numbered(0)).unwrap();
    for cut in 0..100_u64 {
        proxy.cut_after(cut as i64);
        assert_eq!(append(&journal, &numbered(cut + 1)).unwrap(), cut + 1);
    }
    proxy.cut_after(-1);
    assert!(journal.failed_attempts() > 50, "{}", journal.failed_attempts());
    let expected: Vec<_> = (0..=100).map(|number| numbered(number).to_vec()).collect();
    assert_eq!(read(&journal, 0).unwrap(), expected);
    assert_eq!(read(&redis.open(), 0).unwrap(), expected);
}

/// The same, while others append between an attempt and the next: theirs are searched for ours.
#[test]
fn a_lost_reply_doubles_nothing_among_others() {
    let redis = Redis::start();
    let proxy = Proxy::before(redis.port);
    let (journal, other) = (open(&proxy.url("")).unwrap(), redis.open());
    let long = vec![7; 300_000];
    for round in 0..12_u64 {
        let before = read(&journal, 0).unwrap().len() as u64;
        proxy.told.shut.store(true, Ordering::Relaxed);
        proxy.cut_after(0);
        std::thread::scope(|scope| {
            let stuck = scope.spawn(|| append(&journal, &numbered(round)));
            until("it arrived", || redis.ask::<u64>(&["XLEN", "{t}:log"]) > before);
            // More than a page of short ones, and more than comes along with a reply.
            for _ in 0..round * 30 {
                append(&other, b"other").unwrap();
            }
            if round % 3 == 2 {
                append(&other, &long).unwrap();
            }
            proxy.told.shut.store(false, Ordering::Relaxed);
            assert_eq!(stuck.join().unwrap().unwrap(), before);
        });
    }
    let records = read(&redis.open(), 0).unwrap();
    for round in 0..12 {
        assert_eq!(records.iter().filter(|record| **record == numbered(round)).count(), 1, "round {round}");
    }
}

/// The canary of the tests above: where each attempt names another writer, batches are doubled.
#[test]
fn without_the_writers_name_a_lost_reply_doubles() {
    let redis = Redis::start();
    let proxy = Proxy::before(redis.port);
    let journal = open(&proxy.url("")).unwrap();
    append(&journal, &numbered(0)).unwrap();
    let entries: Vec<(String, Vec<String>)> = redis.ask(&["XRANGE", "{t}:log", "-", "+"]);
    let (writer, _) = entries[0].1[5].split_once(' ').unwrap();
    *proxy.told.forged.lock().unwrap() = writer.as_bytes().to_vec();
    for cut in 0..40 {
        proxy.cut_after(cut);
        append(&journal, &numbered(7)).unwrap();
    }
    proxy.cut_after(-1);
    assert!(read(&redis.open(), 0).unwrap().len() > 60);
}

/// Sends a request as it was sent once, as the network may deliver it late.
fn deliver(redis: &Redis, request: &[u8]) -> Vec<Value> {
    let mut connection = redis.connect().unwrap();
    match connection.req_packed_command(request).unwrap() {
        Value::Array(parts) => parts,
        other => panic!("{other:?}"),
    }
}

fn word(reply: &[Value]) -> &[u8] {
    match &reply[0] {
        Value::BulkString(word) => word,
        other => panic!("{other:?}"),
    }
}

/// A first attempt that is delivered behind its own retry, behind later batches of its writer, behind much of others', and behind a
/// compaction.
#[test]
fn a_first_attempt_that_comes_late_changes_nothing() {
    let redis = Redis::start();
    let proxy = Proxy::before(redis.port);
    let (journal, other) = (open(&proxy.url("")).unwrap(), redis.open());
    append(&journal, b"zero").unwrap();
    append(&journal, b"one").unwrap();
    let late = proxy.told.last.lock().unwrap().clone();
    let answered = deliver(&redis, &late);
    assert_eq!((word(&answered), &answered[1]), (&b"ok"[..], &Value::BulkString(b"2".to_vec())), "as at first");
    append(&other, b"other").unwrap();
    let answered = deliver(&redis, &late);
    assert_eq!((word(&answered), &answered[1]), (&b"ok"[..], &Value::BulkString(b"2".to_vec())), "as at first");
    append(&journal, b"three").unwrap();
    assert_eq!(word(&deliver(&redis, &late)), b"late");
    append(&other, &vec![7; 200_000]).unwrap();
    assert_eq!(word(&deliver(&redis, &late)), b"late");
    append(&other, &vec![7; 200_000]).unwrap();
    assert_eq!(word(&deliver(&redis, &late)), b"far");
    compact(&other);
    assert_eq!(word(&deliver(&redis, &late)), b"far");
    assert_eq!(append(&journal, b"six").unwrap(), 6);
    assert_eq!(word(&deliver(&redis, &late)), b"far");
    assert_eq!(read(&other, 6).unwrap(), [b"six"]);
    // As a retry it would have searched all, and found that it cannot.
    let mut other_writer = proxy.told.last.lock().unwrap().clone();
    let entries: Vec<(String, Vec<String>)> = redis.ask(&["XREVRANGE", "{t}:log", "+", "-", "COUNT", "1"]);
    let writer = entries[0].1[5].split_once(' ').unwrap().0.as_bytes();
    let at = other_writer.windows(writer.len()).position(|window| window == writer).unwrap();
    other_writer[at..at + writer.len()].copy_from_slice(b"0123456789abcdef");
    assert_eq!(word(&deliver(&redis, &other_writer)), b"ok", "the canary: this one is nobody's");
    assert_eq!(read(&other, 6).unwrap(), [b"six", b"six"]);
}

/// Who has not asked for long looks at first, and then appends.
#[test]
fn whoever_is_far_behind_can_append() {
    let redis = Redis::start();
    let (journal, other) = (redis.open(), redis.open());
    append(&journal, b"one").unwrap();
    for _ in 0..3 {
        append(&other, &vec![7; 200_000]).unwrap();
    }
    assert_eq!(append(&journal, b"two").unwrap(), 4);
    assert_eq!(journal.append_at(Seq(1), &[b"no"], Durability::Process).unwrap(), None);
    append(&other, b"three").unwrap();
    compact(&other);
    assert_eq!(append(&journal, b"four").unwrap(), 6);
    assert!(matches!(read(&journal, 0), Err(Error::Folded { .. })));
    assert_eq!(read(&other, 6).unwrap(), [b"four"]);
}

/// An answer is lost, and before the next attempt the log is compacted: nobody can tell, so nobody says so.
#[test]
fn what_nobody_can_tell_is_an_error_and_there_once() {
    let redis = Redis::start();
    let proxy = Proxy::before(redis.port);
    let (journal, other) = (open(&proxy.url("")).unwrap(), redis.open());
    append(&journal, b"one").unwrap();
    proxy.told.shut.store(true, Ordering::Relaxed);
    proxy.cut_after(0);
    std::thread::scope(|scope| {
        let stuck = scope.spawn(|| append(&journal, b"two"));
        until("it arrived", || redis.ask::<u64>(&["XLEN", "{t}:log"]) == 2);
        append(&other, b"three").unwrap();
        compact(&other);
        proxy.told.shut.store(false, Ordering::Relaxed);
        let error = stuck.join().unwrap().unwrap_err();
        assert!(matches!(&error, Error::Io { .. }) && error.to_string().contains("cannot be told"), "{error}");
    });
    assert_eq!(append(&journal, b"four").unwrap(), 3, "three were there, and no more");
}

/// Who has appended and read nothing yet hears of it all the same if that is lost.
#[test]
fn what_was_told_is_missed_even_by_who_does_not_read() {
    let mut redis = Redis::with(&["save", "3600 1"]);
    let (journal, other) = (redis.open(), redis.open());
    append(&other, &vec![7; 300_000]).unwrap();
    redis.ask::<()>(&["SAVE"]);
    assert_eq!(append(&journal, b"told").unwrap(), 1);
    redis.kill();
    redis.restart();
    append(&redis.open(), b"in its place").unwrap();
    assert!(matches!(append(&journal, b"next"), Err(Error::Regressed { seen: 2, .. })));
    assert!(matches!(read(&journal, 0), Err(Error::Regressed { .. })));
}
