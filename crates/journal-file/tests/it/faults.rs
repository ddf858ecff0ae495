//! Every call fails once, at every place where it is made: nothing acknowledged is lost, nothing is there that
//! nobody wrote, a failed write or sync poisons the handle, and opening again goes on.

use crate::support::{PATH, open, open_as, read_all};
use trialog_journal::{Durability, Error, Journal};
use trialog_journal_file::FileJournal;
use trialog_testkit::{Call, Failure, FakeOs};

const EIO: i32 = 5;
const EINTR: i32 = 4;
const ENOSPC: i32 = 28;
const ESTALE: i32 = 116;
const EDQUOT: i32 = 122;

#[derive(Default)]
struct Told {
    acknowledged: Vec<Vec<u8>>,
    attempted: Vec<Vec<u8>>,
}

/// Appends one record after the other, opening the log again after each failure.
fn work(os: &FakeOs, failing: Call, told: &mut Told) -> Vec<Error> {
    let mut errors = Vec::new();
    let mut journal: Option<FileJournal> = None;
    for i in 0..12_u8 {
        let open = match journal.take() {
            Some(journal) => journal,
            None => match open(os) {
                Ok(journal) => journal,
                Err(error) => {
                    errors.push(error);
                    continue;
                }
            },
        };
        let batch: Vec<Vec<u8>> = (0..=i % 3).map(|j| vec![i; usize::from(10 * j) + 1]).collect();
        let slices: Vec<&[u8]> = batch.iter().map(Vec::as_slice).collect();
        let durability = if i % 2 == 0 { Durability::Power } else { Durability::Process };
        match open.append(&slices, durability) {
            Ok(_) => {
                told.acknowledged.extend(batch);
                journal = Some(open);
            }
            Err(error) => {
                told.attempted.extend(batch);
                let again = open.append(&[b"after a failure"], Durability::Process);
                if POISONING.contains(&failing) {
                    assert!(matches!(again, Err(Error::Poisoned { .. })), "after {error}: {again:?}");
                    assert!(read_all(&open).1.is_none(), "a poisoned handle cannot read");
                } else if again.is_ok() {
                    told.acknowledged.push(b"after a failure".to_vec());
                }
                errors.push(error);
            }
        }
    }
    errors
}

/// After one of these has failed, a handle cannot know what the file holds.
const POISONING: [Call; 4] = [Call::WriteAt, Call::SyncData, Call::Truncate, Call::Unlock];

/// Everything acknowledged is there, in order and once; whatever else is there was attempted, and once.
fn check(os: &FakeOs, told: &Told, what: &str) {
    let journal = open_as(os, 2).unwrap();
    let (found, error) = read_all(&journal);
    assert!(error.is_none(), "{what}: {error:?}");
    let mut acknowledged = told.acknowledged.iter().peekable();
    let mut attempted = told.attempted.clone();
    for record in &found {
        if acknowledged.next_if_eq(&record).is_none() {
            let known = attempted.iter().position(|other| other == record);
            attempted.remove(known.unwrap_or_else(|| panic!("{what}: a record that nobody wrote, or twice")));
        }
    }
    assert_eq!(acknowledged.next(), None, "{what}: an acknowledged record is missing");
    journal.append(&[b"goes on"], Durability::Power).unwrap();
}

#[test]
fn each_call_fails_once_everywhere() {
    for errno in [EIO, ENOSPC, EDQUOT, ESTALE, EINTR] {
        for call in Call::ALL {
            for after in 0.. {
                let os = FakeOs::new();
                os.fail(Some(call), after, Failure::Errno(errno));
                let mut told = Told::default();
                let errors = work(&os, call, &mut told);
                if !os.heal() {
                    assert!(errors.is_empty(), "{errors:?}");
                    break;
                }
                assert!(after < 1000, "{call:?} is called too often");
                check(&os, &told, &format!("errno {errno} at {call:?} {after}"));
            }
        }
    }
}

#[test]
fn each_write_and_sync_error_is_told() {
    for (call, errno) in
        [(Call::WriteAt, EIO), (Call::WriteAt, ENOSPC), (Call::SyncData, EIO), (Call::SyncData, EDQUOT)]
    {
        // The first of each belongs to the header.
        for after in 1..6 {
            let os = FakeOs::new();
            os.fail(Some(call), after, Failure::Errno(errno));
            let errors = work(&os, call, &mut Told::default());
            let expected = |error: &Error| match error {
                Error::OutOfSpace { .. } => errno != EIO,
                Error::Io { source, .. } => source.raw_os_error() == Some(errno),
                _ => false,
            };
            assert!(matches!(errors.as_slice(), [error] if expected(error)), "{call:?} {after}: {errors:?}");
        }
    }
}

#[test]
fn calls_that_go_on_failing_lose_nothing() {
    for call in
        [Call::WriteAt, Call::SyncData, Call::Truncate, Call::TryLock, Call::Unlock, Call::ReadAt, Call::Bytes]
    {
        for after in 0..12 {
            let os = FakeOs::new();
            let mut told = Told::default();
            work(&os, call, &mut told);
            os.fail_for_good(Some(call), after, Failure::Errno(EIO));
            work(&os, call, &mut told);
            os.heal();
            check(&os, &told, &format!("{call:?} fails for good after {after}"));
        }
    }
}

/// The handle that could not unlock lives on for reading, and must not keep everybody else out.
#[test]
fn a_lock_that_cannot_be_released_is_dropped_with_its_descriptor() {
    let os = FakeOs::new();
    let journal = open(&os).unwrap();
    os.fail(Some(Call::Unlock), 0, Failure::Errno(EIO));
    let error = journal.append(&[b"first"], Durability::Process).unwrap_err();
    assert!(matches!(error, Error::Io { action: "unlock", .. }), "{error:?}");
    let other = open_as(&os, 2).unwrap();
    assert_eq!(other.append(&[b"second"], Durability::Process).unwrap().0, 1);
    assert_eq!(read_all(&journal).0, [b"first".as_slice(), b"second"]);
}

#[test]
fn short_reads_and_writes_are_finished() {
    for call in [Call::ReadAt, Call::WriteAt] {
        for bytes in [1, 7, 30] {
            let os = FakeOs::new();
            os.fail_for_good(Some(call), 0, Failure::Short(bytes));
            let mut told = Told::default();
            assert!(work(&os, call, &mut told).is_empty());
            os.heal();
            check(&os, &told, &format!("{call:?} of {bytes} bytes at most"));
        }
    }
}

#[test]
fn a_full_disk_takes_part_of_a_write() {
    for after in 1..20 {
        for bytes in [0, 1, 23, 24, 26, 60] {
            let os = FakeOs::new();
            os.fail(Some(Call::WriteAt), after, Failure::Short(bytes));
            os.fail(Some(Call::WriteAt), after + 1, Failure::Errno(ENOSPC));
            let mut told = Told::default();
            work(&os, Call::WriteAt, &mut told);
            os.heal();
            check(&os, &told, &format!("write {after} takes {bytes} bytes"));
            assert!(os.file(PATH).is_some());
        }
    }
}

/// The canary: the check must miss what is missing.
#[test]
#[should_panic(expected = "an acknowledged record is missing")]
fn a_lost_record_is_noticed() {
    let os = FakeOs::new();
    let mut told = Told::default();
    work(&os, Call::WriteAt, &mut told);
    let bytes = os.file(PATH).unwrap();
    os.put(PATH, &bytes[..bytes.len() - 1]);
    check(&os, &told, "a byte less");
}
