//! Whole logs: the bytes of a file, and from the magic word of a snapshot on those of the file beside it.

use std::sync::Arc;
use std::time::Duration;

use trialog_codec::decode_record;
use trialog_journal::Durability;
use trialog_journal::frame::{self, Check, KIND_RECORD, KIND_SKIPPABLE_MIN};
use trialog_journal::header::{HEADER_BYTES, HeaderCheck, check_header};
use trialog_journal_file::{FileJournal, Options};
use trialog_ops::{Direction, Op};
use trialog_replay::{Digest, State};
use trialog_storage::{Snapshots, Storage};
use trialog_testkit::FakeOs;

use crate::memory::in_proportion;
use crate::record::apply;
use crate::{look, mend};

const PATH: &str = "study.tlog";
const BESIDE: &str = "study.tlog.snapshot";

/// Takes and makes a snapshot wherever it can.
const ALWAYS: Snapshots = Snapshots::Auto { records_min: 0, growth: 0.0 };

/// Opens a log, reads it, looks at it, appends to it, and opens it again.
pub fn run(bytes: &[u8]) {
    in_proportion(bytes.len(), 2048, || {
        let (log, snapshot) = bytes.split_at(mend::beside(bytes));
        let machine = || {
            let os = FakeOs::new();
            os.put(PATH, log);
            os
        };
        read(&machine(), log);
        let written = write(&machine(), log, Snapshots::Off);
        assert_eq!(written, write(&machine(), log, ALWAYS), "with snapshots and without them");
        if !snapshot.is_empty() {
            let os = machine();
            os.put(BESIDE, snapshot);
            write(&os, log, ALWAYS);
        }
    });
}

fn open(os: &FakeOs, read_only: bool, snapshots: Snapshots) -> Result<Storage, trialog_storage::Error> {
    let options = Options { read_only, lock_wait_max: Duration::from_millis(10), ..Options::default() };
    let journal = FileJournal::open_on(Arc::new(os.process(2)), PATH, &options)?;
    Storage::with_snapshots(Box::new(journal), snapshots)
}

/// A reader changes nothing, and sees what the format says is there.
fn read(os: &FakeOs, log: &[u8]) {
    let opened = open(os, true, Snapshots::Off);
    assert_eq!(os.file(PATH).as_deref(), Some(log), "a reader writes nothing");
    match opened {
        Ok(storage) => assert_eq!(storage.with_state(look::at), fold(log).digest),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// A writer changes nothing unless it could read everything, and then adds its record and no more. Returns the
/// study's digest.
fn write(os: &FakeOs, log: &[u8], snapshots: Snapshots) -> Option<Digest> {
    // Someone who makes up a snapshot with right checksums can make up what the log said before it, and no more.
    let made_up = os.file(BESIDE).is_some();
    let outcome = open(os, false, snapshots).and_then(|storage| {
        storage.with_state(look::at);
        let op =
            Op::CreateStudy { name: "by the fuzzer".into(), directions: vec![Direction::Minimize], config: None };
        let verdicts = storage.commit(vec![op], Durability::Power)?;
        assert_eq!(verdicts.len(), 1);
        Ok(storage)
    });
    let file = os.file(PATH).expect("a log is never removed");
    match outcome {
        Err(error) => {
            assert!(!error.to_string().is_empty());
            // Whoever opens an unfinished log for writing finishes its header.
            let unfinished = matches!(check_header(log, log.len() as u64), HeaderCheck::Unfinished);
            assert!(unfinished || file == log, "after {error} the file is another one");
            None
        }
        Ok(storage) => {
            let kept = fold(log).bytes;
            assert_eq!(log[..kept], file[..kept], "what was there is still there");
            assert!(file.len() > kept);
            let again = open(os, true, snapshots).expect("it was opened before");
            let digest = again.with_state(look::at);
            if !made_up {
                assert_eq!(digest, storage.with_state(look::at), "who opens it again sees the same");
                assert_eq!(digest, fold(&file).digest, "the state is the fold of the log");
            }
            storage.with_state(|state| state.studies().next().map(|view| view.digest()))
        }
    }
}

/// What a log amounts to up to the first byte that does not verify or makes no sense.
struct Fold {
    digest: Digest,
    /// How long the part is that does.
    bytes: usize,
}

fn fold(log: &[u8]) -> Fold {
    let mut state = State::new();
    let mut at = 0;
    if let HeaderCheck::Valid(header) = check_header(log, log.len() as u64) {
        at = HEADER_BYTES;
        let mut link = header.link();
        while let Check::Valid(frame) = frame::check(&log[at..], link) {
            if frame.kind == KIND_RECORD {
                let Ok(record) = decode_record(frame.payload) else { break };
                apply(&mut state, &record);
            } else if frame.kind < KIND_SKIPPABLE_MIN {
                break;
            }
            link = frame.next();
            at += frame.len();
        }
    }
    Fold { digest: state.digest(), bytes: at }
}
