//! The contract in a bucket of a real server, if there is one to be had: `TRIALOG_SLOT_BUCKET` names it as a URL, and the
//! environment says how to get there.

use std::sync::atomic::{AtomicU64, Ordering};

use trialog_journal::Journal;
use trialog_journal::conformance;
use trialog_journal_slot::{Options, SlotJournal};

#[test]
fn a_bucket_keeps_the_contract() {
    let Ok(bucket) = std::env::var("TRIALOG_SLOT_BUCKET") else { return };
    let logs = AtomicU64::new(0);
    let run = std::process::id();
    conformance::run(&|| {
        let url = format!("{bucket}/{run}-{}", logs.fetch_add(1, Ordering::Relaxed));
        Box::new(move || Ok(Box::new(SlotJournal::open_bucket(&url, Options::default())?) as Box<dyn Journal>))
    });
}
