//! Snapshots, and compactions that keep the server's memory bounded.

use std::time::Duration;

use crate::server::{Redis, append, read};
use trialog_journal::{Error, History, Journal, Seq};
use trialog_journal_redis::RedisJournal;

fn save(journal: &RedisJournal, at: u64, bytes: &[u8]) -> bool {
    journal.save_snapshot(Seq(at), &mut |sink| bytes.chunks(777).try_for_each(&mut *sink)).unwrap()
}

fn compact(journal: &RedisJournal, at: u64, bytes: &[u8], history: History) -> bool {
    journal.compact(Seq(at), &mut |sink| sink(bytes), history).unwrap()
}

fn large() -> Vec<u8> {
    (0..3_500_000_u32).map(|i| ((i * 7) >> 3) as u8).collect()
}

#[test]
fn a_snapshot_comes_back_and_reading_goes_on_behind_it() {
    let redis = Redis::start();
    let journal = redis.open();
    assert!(journal.load_snapshot().is_none());
    for number in 0..9 {
        append(&journal, &[number]).unwrap();
    }
    assert!(save(&journal, 9, &large()));
    assert!(!save(&journal, 9, b"no newer"));
    append(&journal, b"more").unwrap();
    let later = redis.open();
    let (at, bytes) = later.load_snapshot().unwrap();
    assert_eq!(at, Seq(9));
    assert!(bytes == large());
    assert_eq!(read(&later, 9).unwrap(), [b"more"]);
    assert_eq!(read(&later, 3).unwrap().len(), 7, "what is before it is still there");
    // A newer one takes its place, and frees its memory.
    assert!(save(&later, 10, b"newer"));
    assert_eq!(redis.open().load_snapshot().unwrap(), (Seq(10), b"newer".to_vec()));
    assert_eq!(redis.ask::<Vec<String>>(&["KEYS", "{t}:snapshot:*"]).len(), 1);
}

#[test]
fn a_broken_snapshot_is_none() {
    let redis = Redis::start();
    let journal = redis.open();
    append(&journal, b"one").unwrap();
    assert!(save(&journal, 1, &large()));
    let key = redis.ask::<Vec<String>>(&["KEYS", "{t}:snapshot:*"]).remove(0);
    redis.ask::<()>(&["HSET", &key, "1", "damaged"]);
    assert!(redis.open().load_snapshot().is_none());
    redis.ask::<()>(&["DEL", &key]);
    let fresh = redis.open();
    assert!(fresh.load_snapshot().is_none());
    assert_eq!(read(&fresh, 0).unwrap(), [b"one"]);
}

fn pieces(redis: &Redis) -> usize {
    redis.ask::<Vec<String>>(&["KEYS", "{t}:snapshot*"]).len()
}

/// The time of the claim that is there now was so long ago that nobody believes in it any more.
fn let_the_claim_lapse(redis: &Redis) {
    let claim: String = redis.ask(&["HGET", "{t}:tip", "writing"]);
    let (name, _) = claim.split_once(' ').expect("somebody is writing one");
    redis.ask::<()>(&["HSET", "{t}:tip", "writing", &format!("{name} 1000000000")]);
}

#[test]
fn a_writer_that_dies_leaves_nothing_for_ever() {
    let redis = Redis::start();
    let journal = redis.open();
    append(&journal, b"one").unwrap();
    let failed = journal.save_snapshot(Seq(1), &mut |sink| {
        sink(&large())?;
        assert_eq!(pieces(&redis), 1);
        Err(std::io::Error::other("failed"))
    });
    assert!(failed.is_err());
    assert_eq!(pieces(&redis), 0);
    assert!(save(&journal, 1, b"next"));
    append(&journal, b"two").unwrap();
    // It dies while it writes: that the server goes away is all that it can notice.
    let mut late = Redis::with(&["save", "", "appendonly", "yes", "appendfsync", "always"]);
    let (url, port) = (late.url("&retry_ms=10"), late.port);
    let writer = crate::server::open(&url).unwrap();
    append(&writer, b"one").unwrap();
    let died = writer.save_snapshot(Seq(1), &mut |sink| {
        sink(&large())?;
        late.kill();
        sink(&large())
    });
    assert!(died.is_err(), "port {port}");
    late.restart();
    let next = late.open();
    read(&next, 0).unwrap();
    assert_eq!(pieces(&late), 1);
    assert!(!save(&next, 1, b"next"), "it may be at work still");
    let_the_claim_lapse(&late);
    assert!(save(&next, 1, b"next"));
    assert_eq!(pieces(&late), 1, "what was left is gone");
    assert_eq!(late.open().load_snapshot().unwrap(), (Seq(1), b"next".to_vec()));
}

/// A writer that was asleep for so long that another one has taken its place gives up, and leaves nothing.
#[test]
fn a_writer_that_was_asleep_gives_up() {
    let redis = Redis::start();
    let (slow, quick) = (redis.open(), redis.open());
    append(&slow, b"one").unwrap();
    read(&quick, 0).unwrap();
    let given_up = slow.save_snapshot(Seq(1), &mut |sink| {
        sink(&large())?;
        assert!(!save(&quick, 1, b"not yet"));
        let_the_claim_lapse(&redis);
        assert!(save(&quick, 1, b"quick"));
        sink(&large())
    });
    assert!(!given_up.unwrap());
    assert_eq!(pieces(&redis), 1);
    assert_eq!(redis.open().load_snapshot().unwrap(), (Seq(1), b"quick".to_vec()));
}

/// What stands for records that are given up must be whole.
#[test]
fn a_snapshot_that_lost_a_piece_while_it_was_written_is_not_kept() {
    let redis = Redis::start();
    let journal = redis.open();
    append(&journal, b"one").unwrap();
    let compacted = journal.compact(
        Seq(1),
        &mut |sink| {
            sink(&large())?;
            let key = redis.ask::<Vec<String>>(&["KEYS", "{t}:snapshot:*"]).remove(0);
            redis.ask::<()>(&["DEL", &key]);
            sink(&large())
        },
        History::Folded,
    );
    assert!(!compacted.unwrap());
    assert_eq!(pieces(&redis), 0);
    journal.reclaim(Duration::ZERO).unwrap();
    assert_eq!(read(&redis.open(), 0).unwrap(), [b"one"]);
}

/// Trimming is done in steps, and whoever trims may die between any two of them.
#[test]
fn a_trim_that_was_cut_short_is_gone_on_with() {
    let redis = Redis::start();
    let journal = redis.open();
    for number in 0..10 {
        append(&journal, &[number]).unwrap();
    }
    assert!(compact(&journal, 7, b"base", History::Folded));
    // What the first step does; an entry of one byte has two with its length.
    let base: String = redis.ask(&["HGET", "{t}:tip", "base"]);
    let words: Vec<&str> = base.split(' ').collect();
    redis.ask::<()>(&["HSET", "{t}:tip", "trim_seq", words[1], "trim_bytes", words[2], "trim_chain", words[3]]);
    for step in 0..3 {
        let fresh = redis.open();
        assert!(matches!(read(&fresh, 0), Err(Error::Folded { first: 7, .. })), "step {step}");
        assert_eq!(fresh.load_base().unwrap(), Some((Seq(7), b"base".to_vec())));
        assert_eq!(read(&fresh, 7).unwrap().len(), 3 + step);
        append(&fresh, b"more").unwrap();
        // A part of what the second one does.
        redis.ask::<()>(&["XDEL", "{t}:log", &format!("{}-{}", 2 * (step + 1), step + 1)]);
    }
    journal.reclaim(Duration::from_secs(3600)).unwrap();
    assert_eq!(redis.ask::<u64>(&["XLEN", "{t}:log"]), 6);
    assert_eq!(read(&journal, 7).unwrap().len(), 6);
}

#[test]
fn a_compaction_gives_records_up() {
    let redis = Redis::start();
    let (journal, behind, at_base) = (redis.open(), redis.open(), redis.open());
    for number in 0..10 {
        append(&journal, &[number]).unwrap();
    }
    assert_eq!(read(&at_base, 0).unwrap().len(), 10);
    let extent = journal.extent().unwrap();
    assert_eq!((extent.snapshot_bytes, extent.record_bytes), (0, 20));
    assert!(compact(&journal, 10, b"base", History::Folded));
    assert!(!compact(&journal, 10, b"base", History::Folded), "nothing came since");
    for number in 10..13 {
        append(&journal, &[number]).unwrap();
    }
    journal.reclaim(Duration::from_secs(3600)).unwrap();
    assert_eq!(redis.ask::<u64>(&["XLEN", "{t}:log"]), 13, "the grace is not over");
    journal.reclaim(Duration::ZERO).unwrap();
    assert_eq!(redis.ask::<u64>(&["XLEN", "{t}:log"]), 3);
    let extent = journal.extent().unwrap();
    assert_eq!((extent.snapshot_bytes, extent.record_bytes), (4, 6));
    // Who was at the base goes on, who was behind begins anew at the base, who comes later too.
    assert_eq!(read(&at_base, 10).unwrap().len(), 3);
    for handle in [&behind, &redis.open()] {
        assert!(matches!(read(handle, 0), Err(Error::Folded { asked: 0, first: 10, .. })));
        assert_eq!(handle.load_base().unwrap(), Some((Seq(10), b"base".to_vec())));
        let count = read(&journal, 10).unwrap().len();
        assert_eq!(read(handle, 10).unwrap().len(), count);
        assert_eq!(append(handle, b"on").unwrap(), 10 + count as u64);
    }
    let fresh = redis.open();
    assert_eq!(fresh.load_snapshot().unwrap().0, Seq(10));
    assert_eq!(read(&fresh, 10).unwrap().len(), 5);
}

#[test]
fn a_handle_that_is_behind_a_compaction_can_append() {
    let redis = Redis::start();
    let (journal, behind) = (redis.open(), redis.open());
    append(&journal, b"one").unwrap();
    read(&behind, 0).unwrap();
    for number in 0..10 {
        append(&journal, &[number]).unwrap();
    }
    assert!(compact(&journal, 11, b"base", History::Folded));
    journal.reclaim(Duration::ZERO).unwrap();
    assert_eq!(append(&behind, b"late").unwrap(), 11);
    assert!(matches!(read(&behind, 1), Err(Error::Folded { .. })));
    assert_eq!(behind.load_base().unwrap().unwrap().0, Seq(11));
    assert_eq!(read(&behind, 11).unwrap(), [b"late"]);
    // Even when all of the log was given up, its end is known.
    assert!(compact(&behind, 12, b"base", History::Folded));
    behind.reclaim(Duration::ZERO).unwrap();
    assert_eq!(redis.ask::<u64>(&["XLEN", "{t}:log"]), 1, "the last entry stays: it is where the end is");
    assert_eq!(append(&journal, b"on").unwrap(), 12);
    redis.ask::<()>(&["FLUSHALL"]);
    assert!(matches!(append(&behind, b"x"), Err(Error::Regressed { .. })));
}

#[test]
fn kept_history_stays() {
    let redis = Redis::start();
    let journal = redis.open();
    for number in 0..10 {
        append(&journal, &[number]).unwrap();
    }
    assert!(compact(&journal, 10, b"kept", History::Kept));
    journal.reclaim(Duration::ZERO).unwrap();
    let fresh = redis.open();
    assert_eq!(read(&fresh, 0).unwrap().len(), 10);
    assert_eq!(fresh.load_base().unwrap(), None);
    assert_eq!(redis.open().load_snapshot().unwrap(), (Seq(10), b"kept".to_vec()));
    assert!(compact(&journal, 10, b"folded", History::Folded), "what was kept can be given up later");
    journal.reclaim(Duration::ZERO).unwrap();
    assert!(matches!(read(&redis.open(), 0), Err(Error::Folded { .. })));
}

#[test]
fn memory_stays_bounded_however_long_the_log_becomes() {
    let redis = Redis::start();
    let journal = redis.open();
    let used = || -> u64 {
        let info: String = redis.ask(&["INFO", "memory"]);
        let line = info.lines().find(|line| line.starts_with("used_memory_dataset:")).unwrap();
        line.split(':').nth(1).unwrap().trim().parse().unwrap()
    };
    let record = vec![7; 1000];
    let batch: Vec<&[u8]> = vec![&record; 500];
    let (mut seq, mut after_first) = (0, 0);
    for round in 0..12 {
        for _ in 0..10 {
            seq = journal.append(&batch, trialog_journal::Durability::Process).unwrap().0 + 500;
        }
        assert!(compact(&journal, seq, &vec![round; 100_000], History::Folded));
        journal.reclaim(Duration::ZERO).unwrap();
        if round == 0 {
            after_first = used();
        }
    }
    assert_eq!(seq, 60_000);
    let (now, written) = (used(), seq * 1000);
    assert!(now < after_first + 2_000_000 && now * 10 < written, "{now} bytes in use after {written} were written");
}
