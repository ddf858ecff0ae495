//! The keys as `docs/format.md` has them, written out by hand.

use crate::server::{Redis, append, read};
use sha1_smol::Sha1;
use trialog_journal::{Durability, Journal};

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
    let entry =
        |id: &str, chain: &str, batch: &str| (id.to_owned(), ["c", chain, "d", batch].map(str::to_owned).to_vec());
    assert_eq!(log, [entry("4-1", &first, "\u{3}one"), entry("9-3", &second, "\0\u{3}two")]);
    let tip: Vec<String> = redis.ask(&["HMGET", "{t}:tip", "format", "id", "seq", "bytes", "chain"]);
    assert_eq!(tip, ["1", journal.log_id(), "3", "9", &second]);
}

/// A log that nothing of ours wrote, made as the description says.
#[test]
fn a_log_made_by_hand_is_read() {
    let redis = Redis::start();
    let start = digest(&["00112233445566778899aabbccddeeff"]);
    let chain = digest(&[&start, "4-1", "b6dc2f11"]);
    redis.ask::<()>(&[
        "HSET",
        "{t}:tip",
        "format",
        "1",
        "id",
        "00112233445566778899aabbccddeeff",
        "seq",
        "1",
        "bytes",
        "4",
        "chain",
        &chain,
    ]);
    redis.ask::<String>(&["XADD", "{t}:log", "4-1", "c", &chain, "d", "\u{3}one"]);
    let journal = redis.open();
    assert_eq!(read(&journal, 0).unwrap(), [b"one"]);
    assert_eq!(append(&journal, b"two").unwrap(), 1);
}
