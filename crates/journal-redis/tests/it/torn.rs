//! A server that is killed while it writes its append-only file: the file ends anywhere, also within a command, and what the server
//! confirms after it has come up again is there after its next death.
//!
//! Redis up to 8 and Valkey up to 2026 keep the first half of a `MULTI ... EXEC` whose end is missing, and run it together with what
//! comes behind it when they come up for the second time. Format 1 of the log on Redis lost records to this.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use crate::server::{Redis, append, open, read};
use trialog_journal::{Durability, History, Journal, Seq};

const ALWAYS: [&str; 6] = ["save", "", "appendonly", "yes", "appendfsync", "always"];

/// The names of the commands in an append-only file.
fn commands(file: &[u8]) -> Vec<String> {
    fn number(rest: &mut &[u8]) -> Option<(u8, usize)> {
        let end = rest.windows(2).position(|pair| pair == b"\r\n")?;
        let (line, after) = rest.split_at(end);
        *rest = &after[2..];
        Some((*line.first()?, std::str::from_utf8(&line[1..]).ok()?.parse().ok()?))
    }
    let (mut rest, mut names) = (file, Vec::new());
    while let Some((b'*', words)) = number(&mut rest) {
        for word in 0..words {
            let Some((b'$', length)) = number(&mut rest) else { return names };
            let Some(text) = rest.get(..length) else { return names };
            if word == 0 {
                names.push(String::from_utf8_lossy(text).to_uppercase());
            }
            rest = rest.get(length + 2..).unwrap_or_default();
        }
    }
    names
}

/// All that can be read: how many records the base stands for, and those behind it.
fn all(journal: &dyn Journal) -> (u64, Vec<Vec<u8>>) {
    let base = journal.load_base().unwrap();
    if let Some((_, bytes)) = &base {
        assert_eq!(bytes, b"base");
    }
    let from = base.map_or(0, |(at, _)| at.0);
    (from, read(journal, from).unwrap())
}

/// A life with all that is ever written. Every number is a record.
fn live(redis: &Redis) {
    let journal = redis.open();
    for number in 0..9_u8 {
        append(&journal, &[number]).unwrap();
    }
    assert!(journal.save_snapshot(Seq(5), &mut |sink| sink(b"snapshot")).unwrap());
    append(&journal, &[9]).unwrap();
    assert!(journal.compact(Seq(10), &mut |sink| sink(b"base"), History::Folded).unwrap());
    journal.reclaim(Duration::ZERO).unwrap();
    let gave_up = journal.save_snapshot(Seq(10), &mut |_| Err(std::io::Error::other("no")));
    assert!(!gave_up.unwrap(), "there is one as new");
    let waiting = open(&redis.url("&wait_replicas=1&wait_ms=10")).unwrap();
    waiting.append(&[&[10]], Durability::Power).unwrap_err();
    let records: Vec<&[u8]> = vec![&[11], &[12]];
    journal.append(&records, Durability::Process).unwrap();
    let failed = journal.save_snapshot(Seq(13), &mut |sink| {
        sink(b"half")?;
        Err(std::io::Error::other("no"))
    });
    assert!(failed.is_err());
    append(&journal, &[13]).unwrap();
}

#[test]
fn nothing_is_ever_written_as_a_transaction() {
    let mut redis = Redis::with(&ALWAYS);
    live(&redis);
    redis.kill();
    let path = redis.append_only_file();
    let written: BTreeSet<String> = commands(&std::fs::read(&path).unwrap()).into_iter().collect();
    let expected = ["HINCRBY", "HSET", "SELECT", "UNLINK", "XADD", "XDEL"];
    assert_eq!(written, expected.map(str::to_owned).into());
    // The canary: what this would look like.
    redis.restart();
    redis.ask::<()>(&["EVAL", TWO, "2", "s", "t", "1-1", "one"]);
    redis.kill();
    assert!(commands(&std::fs::read(&path).unwrap()).contains(&"MULTI".to_owned()));
}

fn cut(path: &Path, whole: &[u8], length: usize) {
    std::fs::write(path, &whole[..length]).unwrap();
}

#[test]
fn wherever_the_file_ends_what_is_confirmed_behind_that_stays() {
    let mut redis = Redis::with(&ALWAYS);
    live(&redis);
    redis.kill();
    let path = redis.append_only_file();
    let whole = std::fs::read(&path).unwrap();
    assert!(whole.len() > 2_000);
    let mut seen = BTreeSet::new();
    // No multiple of what anything there is long; and all of the end.
    let places = (0..whole.len()).step_by(67).chain((whole.len() - 60..=whole.len()).step_by(7));
    for length in places {
        cut(&path, &whole, length);
        redis.restart();
        let journal = redis.open();
        let (from, mut expected) = all(&journal);
        assert!((from..).zip(&expected).all(|(number, record)| *record == [number as u8]), "cut at {length}");
        seen.insert(from + expected.len() as u64);
        for record in [&b"new"[..], b"newer"] {
            append(&journal, record).unwrap();
            expected.push(record.to_vec());
        }
        redis.kill();
        redis.restart();
        assert_eq!(all(&redis.open()), (from, expected.clone()), "cut at {length}");
        append(&journal, b"newest").unwrap();
        expected.push(b"newest".to_vec());
        assert_eq!(read(&journal, from).unwrap(), expected, "cut at {length}");
        redis.kill();
    }
    assert!(seen.len() > 10, "it was cut among all appends: {seen:?}");
}

/// Format 1 in short: a record, and a note of where the end is.
const TWO: &str = "redis.call('XADD', KEYS[1], ARGV[1], 'd', ARGV[2]) redis.call('HSET', KEYS[2], 'end', ARGV[1])";
const ONE: &str = "redis.call('XADD', KEYS[1], ARGV[1], 'd', ARGV[2])";

/// Cuts the file within the last run of the script. How often something that was confirmed behind that is lost, and how often
/// the server has left half a transaction in the file.
fn losses(script: &str) -> (u32, u32) {
    let mut redis = Redis::with(&ALWAYS);
    let call =
        |redis: &Redis, id: &str, record: &str| redis.ask::<()>(&["EVAL", script, "2", "s", "t", id, record]);
    call(&redis, "1-1", "first");
    let path = redis.append_only_file();
    let before = std::fs::read(&path).unwrap().len();
    call(&redis, "2-2", "old");
    redis.kill();
    let whole = std::fs::read(&path).unwrap();
    let (mut lost, mut halves) = (0, 0);
    for length in (before + 1..whole.len()).step_by(11) {
        cut(&path, &whole, length);
        redis.restart();
        let left = commands(&std::fs::read(&path).unwrap());
        let count = |name: &str| left.iter().filter(|left| *left == name).count();
        halves += u32::from(count("MULTI") > count("EXEC"));
        call(&redis, "2-2", "new");
        redis.kill();
        redis.restart();
        let there: Vec<(String, Vec<String>)> = redis.ask(&["XRANGE", "s", "2-2", "2-2"]);
        lost += u32::from(there.first().is_none_or(|(_, fields)| fields[1] != "new"));
        redis.kill();
    }
    (lost, halves)
}

/// The canary of all this: the same deaths do cost a script that writes twice what was confirmed, on a server that leaves halves.
#[test]
fn a_script_that_writes_twice_loses() {
    assert_eq!(losses(ONE), (0, 0));
    let (lost, halves) = losses(TWO);
    assert!(lost > 0 || halves == 0, "{lost} lost, {halves} halves");
}
