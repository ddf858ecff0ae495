//! What opening says about what it finds, and what an open handle says when the file is changed behind its back.

use crate::support::{PATH, append, open, open_read_only, read_all, sample};
use std::sync::Arc;
use std::time::Duration;
use trialog_journal::header::Header;
use trialog_journal::{Durability, Error, Journal, Seq};
use trialog_journal_file::os::Os;
use trialog_journal_file::{FileJournal, Network, Options};
use trialog_testkit::FakeOs;

fn open_real(name: &str, bytes: Option<&[u8]>, options: &Options) -> Result<FileJournal, Error> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    if let Some(bytes) = bytes {
        std::fs::write(&path, bytes).unwrap();
    }
    FileJournal::open(path, options)
}

#[test]
fn other_files_are_named_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    let cases: [(&[u8], &str); 4] = [
        (b"{\"op_code\": 0, \"worker_id\": \"w\", \"study_name\": \"s\"}\n", "an Optuna journal in JSON lines"),
        (b"trial,value\n1,0.5\n", "text that begins with \"trial,value\""),
        (b"SQLite format 3\0\x10\0", "an SQLite database"),
        (&[0; 100], "zero bytes where the header belongs"),
    ];
    for (bytes, what) in cases {
        std::fs::write(&path, bytes).unwrap();
        for read_only in [false, true] {
            let result = FileJournal::open(&path, &Options { read_only, ..Options::default() });
            let Err(Error::NotALog { found, .. }) = result else {
                panic!("{what}: {result:?}");
            };
            assert_eq!(found, what);
        }
        assert_eq!(std::fs::read(&path).unwrap(), bytes);
    }
}

#[test]
fn a_directory_is_no_log() {
    let folder = tempfile::tempdir().unwrap();
    let result = FileJournal::open(folder.path(), &Options::default());
    assert!(matches!(result, Err(Error::NotALog { .. })), "{result:?}");
}

#[cfg(unix)]
#[test]
fn a_pipe_is_no_log_and_is_not_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    let result = FileJournal::open(&path, &Options::default());
    assert!(matches!(result, Err(Error::NotALog { .. })), "{result:?}");
}

#[test]
fn nothing_there_is_made_or_missed() {
    assert!(open_real("new", None, &Options::default()).is_ok());
    for options in
        [Options { create: false, ..Options::default() }, Options { read_only: true, ..Options::default() }]
    {
        let result = open_real("new", None, &options);
        assert!(matches!(result, Err(Error::NotFound { .. })), "{result:?}");
    }
    let result = open_real("no/such/folder", None, &Options::default());
    assert!(matches!(result, Err(Error::NotFound { .. })), "{result:?}");
}

#[test]
fn an_empty_file_becomes_a_log_when_written() {
    let os = FakeOs::new();
    os.put(PATH, b"");
    let reader = open_read_only(&os).unwrap();
    assert_eq!(reader.log_id(), None);
    assert!(read_all(&reader).0.is_empty());
    assert_eq!(os.file(PATH).unwrap(), b"");

    let writer = open(&os).unwrap();
    append(&writer, b"first").unwrap();
    assert_eq!(read_all(&reader).0, [b"first"]);
    assert_eq!(reader.log_id(), writer.log_id());
}

#[test]
fn a_header_that_was_not_finished_is_completed() {
    let header = Header { flags: 0, log_id: [3; 16], first_seq: 0, created_us: 5, chain_start: 0 }.encode();
    for bytes in 0..64 {
        for padded in [false, true] {
            let os = FakeOs::new();
            let mut start = header[..bytes].to_vec();
            if padded {
                start.resize(64, 0);
            }
            os.put(PATH, &start);
            assert!(read_all(&open_read_only(&os).unwrap()).0.is_empty());
            append(&open(&os).unwrap(), b"first").unwrap();
            assert_eq!(read_all(&open_read_only(&os).unwrap()).0, [b"first"], "{bytes} bytes of header");
        }
    }
}

#[test]
fn a_newer_version_is_left_alone() {
    let mut bytes = Header { flags: 0, log_id: [3; 16], first_seq: 0, created_us: 5, chain_start: 0 }.encode();
    bytes[8] = 2;
    // Another version's header need not have its checksum here, so nothing but the version may count.
    bytes[20] ^= 1;
    for length in [20, 64] {
        let result = open_real("newer", Some(&bytes[..length]), &Options::default());
        let Err(Error::NewerFormat { found, supported: 1, .. }) = result else {
            panic!("{result:?}");
        };
        assert_eq!(found, "format version 2");
    }
}

#[test]
fn a_file_that_may_not_be_written_is_read() {
    let (os, _, records, _) = sample(5);
    os.write_protect(PATH);
    let journal = open(&os).unwrap();
    assert!(journal.is_read_only());
    assert_eq!(read_all(&journal).0, records);
    assert!(matches!(append(&journal, b"x"), Err(Error::ReadOnly { .. })));
    let sync = journal.append(&[], Durability::Power);
    assert!(matches!(sync, Err(Error::ReadOnly { .. })), "{sync:?}");
}

#[test]
fn a_file_that_shrank_is_a_regression() {
    let (os, bytes, records, ends) = sample(10);
    let journal = open(&os).unwrap();
    assert_eq!(read_all(&journal).0, records);
    os.put(PATH, &bytes[..ends[4] + 3]);
    for error in
        [append(&journal, b"x").unwrap_err(), journal.read(Seq(10), &mut |_, _| unreachable!()).unwrap_err()]
    {
        assert!(matches!(error, Error::Regressed { seen: 10, found: 4, .. }), "{error:?}");
    }
    assert_eq!(os.file(PATH).unwrap().len(), ends[4] + 3, "a regressed handle wrote");
    assert_eq!(append(&open(&os).unwrap(), b"x").unwrap(), Seq(4));
}

/// The file was cut and others have gone on: cutting what does not fit would cut their records.
#[test]
fn a_file_with_another_end_is_a_regression() {
    let (os, bytes, records, ends) = sample(10);
    let journal = open(&os).unwrap();
    assert_eq!(read_all(&journal).0, records);
    os.put(PATH, &bytes[..ends[4]]);
    let other = open(&os).unwrap();
    append(&other, &[9; 5000]).unwrap();
    append(&other, b"more").unwrap();
    let changed = os.file(PATH).unwrap();
    for error in
        [append(&journal, b"x").unwrap_err(), journal.read(Seq(10), &mut |_, _| unreachable!()).unwrap_err()]
    {
        assert!(matches!(error, Error::Regressed { seen: 10, found: 6, .. }), "{error:?}");
    }
    assert_eq!(os.file(PATH).unwrap(), changed, "a regressed handle wrote");
}

#[test]
fn another_log_in_the_same_file_is_a_regression() {
    let (os, ..) = sample(10);
    let journal = open(&os).unwrap();
    assert_eq!(read_all(&journal).0.len(), 10);
    os.put(PATH, b"");
    let other = open(&os).unwrap();
    for _ in 0..30 {
        append(&other, &[1; 30]).unwrap();
    }
    let error = append(&journal, b"x").unwrap_err();
    assert!(matches!(error, Error::Regressed { seen: 10, found: 30, .. }), "{error:?}");
}

#[test]
fn a_deleted_file_is_a_regression() {
    let (os, ..) = sample(10);
    let journal = open(&os).unwrap();
    append(&journal, b"x").unwrap();
    os.remove(PATH);
    // A reader that has just looked at the name may take a moment to look again.
    os.sleep(Duration::from_millis(50));
    let error = journal.read(Seq(11), &mut |_, _| unreachable!()).unwrap_err();
    assert!(matches!(error, Error::Regressed { seen: 11, found: 0, .. }), "{error:?}");
    os.sleep(Duration::from_millis(50));
    let error = journal.append(&[b"x"], Durability::Power).unwrap_err();
    assert!(matches!(error, Error::Regressed { .. }), "{error:?}");
}

#[test]
fn locks_that_cannot_be_trusted_are_refused() {
    let (os, _, records, _) = sample(3);
    os.mount_network(Some("it is mounted with `nolock`"));
    let error = open(&os).unwrap_err();
    assert!(matches!(error, Error::Unsupported { .. }), "{error:?}");
    assert_eq!(read_all(&open_read_only(&os).unwrap()).0, records);
    for network in [Network::Local, Network::Network] {
        let options = Options { network, ..Options::default() };
        let journal = FileJournal::open_on(Arc::new(os.process(1)), PATH, &options).unwrap();
        append(&journal, b"x").unwrap();
    }
}

#[test]
fn no_locks_at_all_is_said() {
    const ENOLCK: i32 = 37;
    let (os, ..) = sample(1);
    let journal = open(&os).unwrap();
    os.fail(Some(trialog_testkit::Call::TryLock), 0, trialog_testkit::Failure::Errno(ENOLCK));
    let error = append(&journal, b"x").unwrap_err();
    assert!(matches!(error, Error::Unsupported { .. }), "{error:?}");
}

#[test]
fn waiting_for_the_lock_ends_in_time() {
    let (os, ..) = sample(1);
    let holder = Os::open(&os.process(7), PATH.as_ref(), trialog_journal_file::os::Access::Write);
    let holder = holder.unwrap();
    assert!(holder.try_lock().unwrap());
    let options = Options { lock_wait_max: Duration::from_secs(3), ..Options::default() };
    let journal = FileJournal::open_on(Arc::new(os.process(1)), PATH, &options).unwrap();
    let Err(Error::Locked { waited, holder: Some(name), .. }) = append(&journal, b"x") else {
        panic!("not locked");
    };
    assert_eq!(name, "process 7");
    assert!((3.0..3.1).contains(&waited.as_secs_f64()), "{waited:?}");
    holder.unlock().unwrap();
    append(&journal, b"x").unwrap();
}
