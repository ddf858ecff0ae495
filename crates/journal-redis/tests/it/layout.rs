//! The keys as `docs/format.md` has them, written out by hand.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::server::{Redis, append, open, read};
use sha1_smol::Sha1;
use trialog_journal::{Durability, Error, Journal};
use trialog_journal_redis::{RedisJournal, Target};

fn digest(parts: &[&str]) -> String {
    let mut sha = Sha1::new();
    parts.iter().for_each(|part| sha.update(part.as_bytes()));
    sha.digest().to_string()[..16].to_owned()
}

#[test]
fn entries_and_their_chain() {
    let redis = Redis::start();
    let journal = redis.open();
    append(&journal, b"one").unwrap();
    journal.append(&[b"", b"two"], Durability::Process).unwrap();
    let log: Vec<(String, Vec<String>)> = redis.ask(&["XRANGE", "{t}:log", "-", "+"]);
    let start = digest(&[journal.log_id()]);
    // CRC-32 of "\x03one" and of "\0\x03two", from Python's zlib.
    let first = digest(&[&start, "4-1", "b6dc2f11"]);
    let second = digest(&[&first, "9-3", "3a1c0b87"]);
    let (writer, number) = log[0].1[5].split_once(' ').unwrap();
    assert!(writer.len() == 16 && writer.bytes().all(|digit| digit.is_ascii_hexdigit()), "{writer}");
    assert_eq!(number, "1");
    let entry = |id: &str, chain: &str, batch: &str, number: u32| {
        (id.to_owned(), ["c", chain, "d", batch, "w", &format!("{writer} {number}")].map(str::to_owned).to_vec())
    };
    assert_eq!(log, [entry("4-1", &first, "\u{3}one", 1), entry("9-3", &second, "\0\u{3}two", 2)]);
    let tip: BTreeMap<String, String> = redis.ask(&["HGETALL", "{t}:tip"]);
    let expected = [("format", "2"), ("id", journal.log_id()), ("seq", "0"), ("bytes", "0"), ("chain", &start)];
    assert_eq!(tip, expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
    assert_eq!(redis.ask::<u64>(&["DBSIZE"]), 2);
}

const ID: &str = "00112233445566778899aabbccddeeff";

/// The key that says what a log is, made as the description says.
fn make_tip(redis: &Redis, fields: &[(&str, &str)]) {
    let mut words = vec!["HSET", "{t}:tip", "id", ID];
    fields.iter().for_each(|(name, value)| words.extend([name, value]));
    redis.ask::<()>(&words);
}

fn format_of(redis: &Redis) -> String {
    redis.ask(&["HGET", "{t}:tip", "format"])
}

/// Logs that nothing of ours wrote.
#[test]
fn a_log_made_by_hand_is_read() {
    let redis = Redis::start();
    let start = digest(&[ID]);
    let chain = digest(&[&start, "4-1", "b6dc2f11"]);
    make_tip(&redis, &[("format", "2"), ("seq", "0"), ("bytes", "0"), ("chain", &start)]);
    redis.ask::<String>(&["XADD", "{t}:log", "4-1", "c", &chain, "d", "\u{3}one", "w", "0123456789abcdef 1"]);
    let journal = redis.open();
    assert_eq!(read(&journal, 0).unwrap(), [b"one"]);
    assert_eq!(append(&journal, b"two").unwrap(), 1);
}

/// A log as format 1 had it: its end noted, and entries that do not name their writer.
fn make_format_1(redis: &Redis, end_chain: &str) -> String {
    let chain = digest(&[&digest(&[ID]), "4-1", "b6dc2f11"]);
    let noted = if end_chain.is_empty() { &chain } else { end_chain };
    make_tip(redis, &[("format", "1"), ("seq", "1"), ("bytes", "4"), ("chain", noted), ("syncs", "3")]);
    redis.ask::<String>(&["XADD", "{t}:log", "4-1", "c", &chain, "d", "\u{3}one"]);
    redis.ask::<()>(&["HSET", "{t}:writers", "aa", &format!("1 0 1 4 {chain} 1700000000")]);
    chain
}

fn look(redis: &Redis) -> RedisJournal {
    RedisJournal::open(Target::parse(&redis.url("")).unwrap(), true, false).unwrap()
}

#[test]
fn a_log_of_format_1_is_read_and_goes_on() {
    let redis = Redis::start();
    make_format_1(&redis, "");
    let reader = look(&redis);
    assert_eq!(read(&reader, 0).unwrap(), [b"one"]);
    assert_eq!(format_of(&redis), "1", "who only looks changes nothing");
    let journal = redis.open();
    assert_eq!(format_of(&redis), "2");
    assert_eq!(append(&journal, b"two").unwrap(), 1);
    for handle in [&reader, &journal, &redis.open(), &look(&redis)] {
        assert_eq!(read(handle, 0).unwrap(), [b"one", b"two"]);
    }
    // The server has lost that it was made one of format 2: that is a loss like any other.
    redis.ask::<()>(&["HSET", "{t}:tip", "format", "1", "seq", "2", "bytes", "8"]);
    assert!(matches!(append(&journal, b"three"), Err(Error::Regressed { .. })));
}

#[test]
fn a_log_of_format_1_that_was_given_up_whole_goes_on() {
    let redis = Redis::start();
    let chain = make_format_1(&redis, "");
    make_tip(&redis, &[("trim_seq", "1"), ("trim_chain", &chain)]);
    make_tip(&redis, &[("base", &format!("ab 1 4 {chain} 1 0 1700000000 base"))]);
    redis.ask::<()>(&["XDEL", "{t}:log", "4-1"]);
    let journal = redis.open();
    assert_eq!(append(&journal, b"two").unwrap(), 1);
    journal.reclaim(Duration::ZERO).unwrap();
    assert!(matches!(read(&journal, 0), Err(Error::Folded { first: 1, .. })));
    let log: Vec<(String, Vec<String>)> = redis.ask(&["XRANGE", "{t}:log", "-", "+"]);
    assert_eq!((log[0].0.as_str(), &log[0].1[1]), ("8-2", &digest(&[&chain, "8-2", "dd7a2386"])));
}

/// The noted end is another one than the entry there: what format 1 looks like after its server has lost what it had confirmed.
#[test]
fn a_log_of_format_1_that_its_server_damaged_is_found_out() {
    let redis = Redis::start();
    make_format_1(&redis, "0123456789abcdef");
    let refused = open(&redis.url("")).unwrap_err();
    assert!(matches!(refused, Error::Corrupt { seq: 1, offset: 4, .. }), "{refused:?}");
    assert!(refused.to_string().contains("docs/guarantees.md"), "{refused}");
    assert_eq!(format_of(&redis), "1");
    assert!(matches!(read(&look(&redis), 0), Err(Error::Corrupt { .. })));
    // As the guarantees say: somebody decides to go on with what is left.
    redis.ask::<()>(&["HSET", "{t}:tip", "format", "2"]);
    let journal = redis.open();
    assert_eq!(append(&journal, b"two").unwrap(), 1);
    assert_eq!(read(&redis.open(), 0).unwrap(), [b"one", b"two"]);
}
