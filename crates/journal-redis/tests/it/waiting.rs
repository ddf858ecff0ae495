//! Readers that wait are woken by the server, and cost it nothing meanwhile.

use std::time::{Duration, Instant};

use crate::server::{Redis, append, read};
use trialog_journal::{Error, Journal, Seq};

#[test]
fn who_waits_is_woken_and_does_not_ask() {
    let redis = Redis::start();
    let (reader, writer) = (redis.open(), redis.open());
    append(&writer, b"one").unwrap();
    read(&reader, 0).unwrap();
    let asked = || -> u64 {
        let info: String = redis.ask(&["INFO", "stats"]);
        let line = info.lines().find(|line| line.starts_with("total_commands_processed")).unwrap();
        line.split(':').nth(1).unwrap().trim().parse().unwrap()
    };
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            assert!(reader.wait(Seq(1), Duration::from_secs(30)).unwrap());
            Instant::now()
        });
        std::thread::sleep(Duration::from_millis(300));
        let before = asked();
        std::thread::sleep(Duration::from_millis(600));
        // The two questions themselves, with what a connection says at its beginning.
        let meanwhile = asked() - before;
        assert!(meanwhile < 8, "{meanwhile} commands in so long a wait");
        let appended = Instant::now();
        append(&writer, b"two").unwrap();
        let woken = waiting.join().unwrap();
        // By itself it would look again two seconds after it began to wait.
        assert!(
            woken.duration_since(appended) < Duration::from_millis(900),
            "it was woken, and did not wake up by itself"
        );
    });
    assert_eq!(read(&reader, 1).unwrap(), [b"two"]);
}

#[test]
fn many_wait_at_once() {
    let redis = Redis::start();
    let (reader, writer) = (redis.open(), redis.open());
    std::thread::scope(|scope| {
        let waiting: Vec<_> = (0..8)
            .map(|from| {
                let reader = &reader;
                scope.spawn(move || reader.wait(Seq(from), Duration::from_secs(30)).unwrap())
            })
            .collect();
        for _ in 0..8 {
            append(&writer, b"one").unwrap();
        }
        for waiting in waiting {
            assert!(waiting.join().unwrap());
        }
    });
}

#[test]
fn who_waits_learns_of_a_loss() {
    let redis = Redis::start();
    let journal = redis.open();
    append(&journal, b"one").unwrap();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| journal.wait(Seq(1), Duration::from_secs(60)));
        std::thread::sleep(Duration::from_millis(200));
        redis.ask::<()>(&["FLUSHALL"]);
        assert!(matches!(waiting.join().unwrap(), Err(Error::Regressed { seen: 1, found: 0, .. })));
    });
}
