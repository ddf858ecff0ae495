//! Logs of two files: the bytes of the first, and from the second magic word of a log on those of the segment behind it.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use trialog_journal::seal::{SEAL_BYTES, Seal};
use trialog_journal::{Durability, History, Journal, Seq};
use trialog_journal_file::{FileJournal, Options};
use trialog_testkit::FakeOs;

use crate::memory::in_proportion;
use crate::mend;

const PATH: &str = "study.tlog";
const SECOND: &str = "study.tlog.000001";

/// Reads the log, appends to it, compacts it, and reads it again.
pub fn run(bytes: &[u8]) {
    in_proportion(bytes.len(), 64, || {
        for payload in bytes.windows(SEAL_BYTES).step_by(SEAL_BYTES) {
            if let Some(seal) = Seal::decode(payload) {
                assert_eq!(seal.encode(), payload, "a seal is written again as it was");
            }
        }
        let os = machine(bytes);
        let seen = open(&os, true).map(|journal| read(&journal));
        assert!(is_untouched(&os, bytes), "a reader writes nothing");
        let os = machine(bytes);
        let Some(journal) = open(&os, false) else { return };
        let before = read(&journal);
        // A reader may not set aside what is behind a hole, and stops there.
        assert!(seen.is_none_or(|seen| before.records.starts_with(&seen.records)), "all see the same");
        let Ok(at) = journal.append(&[b"by the fuzzer"], Durability::Power) else {
            return;
        };
        if before.whole {
            assert_eq!(at.0, before.end(), "a record goes behind all others");
        }
        let mut source = |sink: &mut dyn FnMut(&[u8]) -> std::io::Result<()>| sink(b"a state");
        let compacted = journal.compact(Seq(at.0 + 1), &mut source, History::Folded);
        let _reclaimed = journal.reclaim(Duration::ZERO);
        let again = open(&os, false).expect("it was opened before");
        let end = again.append(&[b"and again"], Durability::Power).expect("it was appended to before");
        assert_eq!(end.0, at.0 + 1, "compacted: {compacted:?}");
    });
}

fn machine(bytes: &[u8]) -> FakeOs {
    let (first, second) = bytes.split_at(mend::second(bytes));
    let os = FakeOs::new();
    os.put(PATH, first);
    if !second.is_empty() {
        os.put(SECOND, second);
    }
    os
}

fn is_untouched(os: &FakeOs, bytes: &[u8]) -> bool {
    let (first, second) = bytes.split_at(mend::second(bytes));
    os.file(PATH).as_deref() == Some(first) && os.file(SECOND).unwrap_or_default() == second
}

fn open(os: &FakeOs, read_only: bool) -> Option<FileJournal> {
    let options = Options { read_only, lock_wait_max: Duration::from_millis(10), ..Options::default() };
    FileJournal::open_on(Arc::new(os.process(2)), PATH, &options).ok()
}

/// What can be read from the beginning, or from the snapshot that stands for it.
struct Read {
    first: u64,
    records: Vec<Vec<u8>>,
    whole: bool,
}

impl Read {
    fn end(&self) -> u64 {
        self.first + self.records.len() as u64
    }
}

fn read(journal: &FileJournal) -> Read {
    let mut found = Read { first: 0, records: Vec::new(), whole: false };
    for _ in 0..3 {
        let mut next = found.first;
        let mut records = Vec::new();
        let result = journal.read(Seq(next), &mut |seq, record| {
            assert_eq!(seq.0, next, "records come in order");
            next += 1;
            records.push(record.to_vec());
            ControlFlow::Continue(())
        });
        found.records = records;
        match (result, journal.load_base()) {
            (Ok(end), _) => {
                assert_eq!(end.0, next);
                found.whole = true;
                return found;
            }
            (Err(trialog_journal::Error::Folded { .. }), Ok(Some((at, _)))) if at.0 > found.first => {
                found.first = at.0;
            }
            (Err(error), _) => {
                assert!(!error.to_string().is_empty());
                return found;
            }
        }
    }
    found
}
