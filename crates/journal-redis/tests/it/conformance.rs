//! The contract of every journal, on a server; and a wrong server, which the suite must find out.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::server::{Redis, open};
use trialog_journal::Journal;
use trialog_journal::conformance::{self, Open};

#[test]
fn the_journal_keeps_its_contract() {
    let redis = Redis::start();
    let logs = AtomicU64::new(0);
    conformance::run(&|| {
        let url = redis.url(&logs.fetch_add(1, Ordering::Relaxed).to_string());
        Box::new(move || Ok(Box::new(open(&url)?) as Box<dyn Journal>))
    });
}

#[test]
fn random_walks() {
    let redis = Redis::start();
    for seed in 2..12 {
        let url = redis.url(&seed.to_string());
        let open: Open = Box::new(move || Ok(Box::new(open(&url)?) as Box<dyn Journal>));
        conformance::random_walk(&open, seed).expect("it agrees with a list");
    }
}

/// The canary: behind our back, each handle's log is emptied now and then.
#[test]
fn a_server_that_forgets_is_found_out() {
    let redis = Arc::new(Redis::start());
    let logs = AtomicU64::new(0);
    let failures = conformance::failures(&|| {
        let (redis, url) = (Arc::clone(&redis), redis.url(&format!("x{}", logs.fetch_add(1, Ordering::Relaxed))));
        let opened = AtomicU64::new(0);
        Box::new(move || {
            if opened.fetch_add(1, Ordering::Relaxed) == 1 {
                redis.ask::<()>(&["FLUSHALL"]);
            }
            Ok(Box::new(open(&url)?) as Box<dyn Journal>)
        })
    });
    assert!(failures.len() > 5, "{failures:?}");
}
