//! Real processes on a real file: they hold the lock, they contend, and they are killed.
//!
//! A child is this test program again, told by the environment to run [`child`] as somebody.

use crate::support::read_all;
use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use trialog_journal::{Durability, Error, Journal};
use trialog_journal_file::os::{Access, Os as _};
use trialog_journal_file::{FileJournal, Options, RealOs};

const ROLE: &str = "TRIALOG_TEST_ROLE";
const LOG: &str = "TRIALOG_TEST_LOG";

fn spawn(role: &str, log: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "processes::child", "--nocapture"])
        .env(ROLE, role)
        .env(LOG, log)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// No test: what a child process does.
#[test]
fn child() {
    let (Ok(role), Some(log)) = (std::env::var(ROLE), std::env::var_os(LOG)) else {
        return;
    };
    let log = Path::new(&log);
    match role.split_once(' ').unwrap_or((&role, "")) {
        ("hold", _) => {
            let file = RealOs::default().open(log, Access::Write).unwrap();
            assert!(file.try_lock().unwrap());
            say("\nheld");
            let _ = std::io::stdin().read(&mut [0]);
        }
        ("write", name) => {
            let journal = FileJournal::open(log, &Options::default()).unwrap();
            for i in 0_u64.. {
                let record = format!("{name} {i} {}", "x".repeat((i % 90) as usize));
                let durability = if i % 16 == 0 { Durability::Power } else { Durability::Process };
                let seq = journal.append(&[record.as_bytes()], durability).unwrap();
                say(&format!("told {seq} {record}"));
            }
        }
        ("count", name) => {
            let journal = FileJournal::open(log, &Options::default()).unwrap();
            for i in 0..500 {
                journal.append(&[format!("{name} {i}").as_bytes()], Durability::Process).unwrap();
            }
        }
        other => panic!("no such role: {other:?}"),
    }
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").unwrap();
    out.flush().unwrap();
}

#[test]
fn the_holder_of_the_lock_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("held.tlog");
    let options = Options { lock_wait_max: Duration::from_millis(200), ..Options::default() };
    let journal = FileJournal::open(&path, &options).unwrap();
    journal.append(&[b"before"], Durability::Process).unwrap();

    let mut holder = spawn("hold", &path);
    let mut lines = BufReader::new(holder.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap() == "held"));
    let start = Instant::now();
    let result = journal.append(&[b"waiting"], Durability::Process);
    let Err(Error::Locked { waited, holder: name, .. }) = result else {
        panic!("not locked: {result:?}");
    };
    assert!(waited >= Duration::from_millis(200) && start.elapsed() < Duration::from_secs(5), "{waited:?}");
    if cfg!(target_os = "linux") {
        let name = name.unwrap();
        assert!(name.contains(&holder.id().to_string()) && name.contains("processes::child"), "{name}");
    }
    assert_eq!(read_all(&journal).0.len(), 1, "a reader waits for nobody");

    holder.kill().unwrap();
    holder.wait().unwrap();
    journal.append(&[b"after"], Durability::Process).unwrap();
    assert_eq!(read_all(&journal).0, [b"before".as_slice(), b"after"]);
}

#[test]
fn processes_make_and_fill_one_log() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shared.tlog");
    let children: Vec<Child> = (0..6).map(|i| spawn(&format!("count {i}"), &path)).collect();
    for child in children {
        assert!(child.wait_with_output().unwrap().status.success());
    }
    let (records, error) = read_all(&FileJournal::open(&path, &Options::default()).unwrap());
    assert!(error.is_none(), "{error:?}");
    assert_eq!(records.len(), 6 * 500);
    for name in 0..6 {
        let own = records.iter().filter(|record| record.starts_with(format!("{name} ").as_bytes()));
        assert!(own.cloned().eq((0..500).map(|i| format!("{name} {i}").into_bytes())), "writer {name}");
    }
}

/// Writers are killed at random and others started in their place, while a reader follows.
#[test]
fn killed_writers_lose_nothing_that_was_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("killed.tlog");
    let reader = FileJournal::open(&path, &Options::default()).unwrap();
    let mut told: BTreeMap<u64, String> = BTreeMap::new();
    let mut harvest = |mut child: Child| {
        child.kill().unwrap();
        let output = String::from_utf8_lossy(&child.wait_with_output().unwrap().stdout).into_owned();
        // The last line may have been cut with the process.
        let whole = output.rsplit_once('\n').map_or("", |(whole, _)| whole);
        for line in whole.lines().filter_map(|line| line.strip_prefix("told ")) {
            let (seq, record) = line.split_once(' ').unwrap();
            let twice = told.insert(seq.parse().unwrap(), record.into());
            assert_eq!(twice, None, "position {seq} was given twice");
        }
        told.len()
    };
    let seconds = std::env::var("TRIALOG_KILL_SECONDS").map_or(2, |seconds| seconds.parse().unwrap());
    let start = Instant::now();
    let mut writers: Vec<Child> = Vec::new();
    let (mut kills, mut acknowledged) = (0, 0);
    for round in 0_u64.. {
        writers.push(spawn(&format!("write {round}"), &path));
        std::thread::sleep(Duration::from_micros(round.wrapping_mul(2_654_435_761) % 40_000));
        if writers.len() > 3 {
            acknowledged = harvest(writers.swap_remove((round.wrapping_mul(40_503) % 4) as usize));
            kills += 1;
        }
        assert!(read_all(&reader).1.is_none(), "a reader met damage");
        // A busy machine gets more time to prove something.
        let seconds = if kills > 5 && acknowledged > 100 { seconds } else { seconds + 60 };
        if start.elapsed() > Duration::from_secs(seconds) {
            break;
        }
    }
    for writer in writers {
        harvest(writer);
    }

    let (records, error) = read_all(&FileJournal::open(&path, &Options::default()).unwrap());
    assert!(error.is_none(), "{error:?}");
    assert!(
        kills > 5 && told.len() > 100,
        "{kills} kills, {} acknowledged: too little to prove anything",
        told.len()
    );
    for (seq, record) in &told {
        assert_eq!(records.get(*seq as usize).map(Vec::as_slice), Some(record.as_bytes()), "record {seq}");
    }
    let mut once: Vec<_> = records.iter().collect();
    once.sort();
    once.dedup();
    assert_eq!(once.len(), records.len(), "a record is there twice");
}
