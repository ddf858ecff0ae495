//! The journal's contract. Its records are any bytes and these media hold lines, so each record is written as a JSON
//! string of hexadecimal digits on its way through.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use trialog_journal::conformance::{self, Open};
use trialog_journal::{Durability, Error, Journal, RECORD_BYTES_MAX, Seq, Visitor};
use trialog_journal_optuna::{LockKind, Options, OptunaFile};

use crate::server::Server;

pub(crate) struct AsText<J>(pub(crate) J);

const DIGITS: &[u8; 16] = b"0123456789abcdef";

fn to_text(record: &[u8]) -> Vec<u8> {
    let digits = record.iter().flat_map(|byte| [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
    [b'"'].into_iter().chain(digits).chain([b'"']).collect()
}

fn from_text(line: &[u8]) -> Vec<u8> {
    let digit = |byte: u8| if byte.is_ascii_digit() { byte - b'0' } else { byte - b'a' + 10 };
    line[1..line.len() - 1].chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}

impl<J: Journal> Journal for AsText<J> {
    fn append(&self, records: &[&[u8]], durability: Durability) -> Result<Seq, Error> {
        if let Some(record) = records.iter().find(|record| record.len() > RECORD_BYTES_MAX) {
            return Err(Error::TooLarge { bytes: record.len() });
        }
        let lines: Vec<Vec<u8>> = records.iter().map(|record| to_text(record)).collect();
        self.0.append(&lines.iter().map(Vec::as_slice).collect::<Vec<_>>(), durability)
    }

    fn read(&self, from: Seq, visit: &mut Visitor<'_>) -> Result<Seq, Error> {
        self.0.read(from, &mut |seq, line| visit(seq, &from_text(line)))
    }

    fn location(&self) -> &str {
        self.0.location()
    }
}

fn file(lock: LockKind) -> Open {
    let folder = tempfile::tempdir().unwrap();
    let options = Options { lock, ..Options::default() };
    Box::new(move || Ok(Box::new(AsText(OptunaFile::open(folder.path().join("journal.log"), &options)?))))
}

#[test]
fn files_with_symbolic_links_conform() {
    conformance::run(&|| file(LockKind::Symlink));
}

#[test]
fn files_with_lock_files_conform() {
    conformance::run(&|| file(LockKind::Open));
}

/// A record of the largest size is twice as long in digits, and the server's limit for scripts is not ours to test: those
/// cases alone may fail.
#[test]
fn a_single_server_conforms() {
    let server = Arc::new(Server::start(false));
    let count = AtomicU32::new(0);
    conformance::run(&|| -> Open {
        let (server, prefix) = (Arc::clone(&server), count.fetch_add(1, Ordering::Relaxed).to_string());
        Box::new(move || Ok(Box::new(Halved(AsText(server.open(false, &prefix))))))
    });
}

/// Lets large records through as they are: they are text anyhow.
struct Halved<J>(AsText<J>);

impl<J: Journal> Journal for Halved<J> {
    fn append(&self, records: &[&[u8]], durability: Durability) -> Result<Seq, Error> {
        if records.iter().any(|record| record.len() > RECORD_BYTES_MAX / 2) {
            return self.0.0.append(records, durability);
        }
        self.0.append(records, durability)
    }

    fn read(&self, from: Seq, visit: &mut Visitor<'_>) -> Result<Seq, Error> {
        self.0.0.read(from, &mut |seq, line| {
            let is_text =
                line.len() <= RECORD_BYTES_MAX / 2 * 2 + 2 && line.starts_with(b"\"") && line.ends_with(b"\"");
            if is_text { visit(seq, &from_text(line)) } else { visit(seq, line) }
        })
    }

    fn location(&self) -> &str {
        self.0.location()
    }
}

/// A cluster takes one record at a time, so the suite is not for it; everything else about it is the same.
#[test]
fn a_cluster_keeps_order_and_sees_others() {
    let server = Server::start(true);
    let journal = server.open(true, "p");
    let other = server.open(true, "p");
    for i in 0..20_u8 {
        let writer = if i % 2 == 0 { &journal } else { &other };
        assert_eq!(writer.append(&[&[b'a' + i]], Durability::Process).unwrap(), Seq(u64::from(i)));
    }
    let mut seen = Vec::new();
    for handle in [&journal, &other, &server.open(true, "p")] {
        seen.clear();
        handle
            .read(Seq(0), &mut |_, record| {
                seen.extend_from_slice(record);
                ControlFlow::Continue(())
            })
            .unwrap();
        assert_eq!(seen, (b'a'..b'a' + 20).collect::<Vec<u8>>());
    }
    assert!(matches!(journal.append(&[b"a", b"b"], Durability::Process), Err(Error::Unsupported { .. })));
}

#[test]
fn a_server_that_lost_records_is_noticed() {
    let server = Server::start(false);
    let journal = server.open(false, "");
    journal.append(&[b"1", b"2"], Durability::Process).unwrap();
    server.command(&["FLUSHALL"]).unwrap();
    let error = journal.read(Seq(2), &mut |_, _| ControlFlow::Continue(())).unwrap_err();
    assert!(matches!(error, Error::Regressed { seen: 2, found: 0, .. }), "{error}");
}

/// The canary: a lock that nobody heeds loses lines, and the suite must see it.
#[test]
fn without_a_common_lock_the_suite_fails() {
    let noticed = (0..20).any(|_| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.log");
        let handles = AtomicU32::new(0);
        let open: Open = Box::new(move || {
            // Each handle has a name of its own for the file, and so a lock of its own.
            let name = path.with_extension(format!("log{}", handles.fetch_add(1, Ordering::Relaxed)));
            if !path.exists() {
                std::fs::write(&path, b"").unwrap();
            }
            std::fs::hard_link(&path, &name).unwrap();
            Ok(Box::new(AsText(OptunaFile::open(name, &Options::default())?)))
        });
        conformance::random_walk(&open, 1).is_ok() && threads_lose_lines(&open)
    });
    assert!(noticed, "nobody notices that the locks exclude nobody");
}

/// Two handles append at once; true if their numbers collide or a line is not where it was said to be.
fn threads_lose_lines(open: &Open) -> bool {
    let begin = open().unwrap().append(&[], Durability::Process).unwrap().0;
    let handles: Vec<Box<dyn Journal>> = (0..4).map(|_| open().unwrap()).collect();
    let seqs: Vec<Option<u64>> = std::thread::scope(|scope| {
        let work = |journal: &dyn Journal| {
            (0..200).map(|_| journal.append(&[b"x"], Durability::Process).ok().map(|seq| seq.0)).collect::<Vec<_>>()
        };
        let threads: Vec<_> = handles.iter().map(|journal| scope.spawn(move || work(&**journal))).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let mut told: Vec<u64> = seqs.iter().copied().flatten().collect();
    told.sort_unstable();
    told != (begin..begin + 800).collect::<Vec<u64>>()
}
