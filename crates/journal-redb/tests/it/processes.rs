//! Real processes: one is locked out, one is killed, and many write at once in multi-writer mode while some are killed.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use trialog_journal::{Durability, Error};

use crate::support::{append, open, open_shared, read};

const ROLE: &str = "TRIALOG_REDB_ROLE";
const LOG: &str = "TRIALOG_REDB_LOG";
/// How long the soak goes on, in seconds. Default: 3.
const SOAK: &str = "TRIALOG_REDB_SOAK_SECONDS";

/// No test: what a child process does.
#[test]
fn child() {
    let (Ok(role), Ok(path)) = (std::env::var(ROLE), std::env::var(LOG)) else { return };
    let (role, name) = role.split_once(' ').unwrap();
    let path = Path::new(&path);
    let journal = if role == "share" { open_shared(path) } else { open(path) }.unwrap();
    let durability = if role == "progress" { Durability::Process } else { Durability::Power };
    for number in 0_u64.. {
        let seq = append(&journal, format!("{name} {number}").as_bytes(), durability);
        if role != "progress" || number % 16 == 0 {
            println!("told {seq} {name} {number}");
            std::io::stdout().flush().unwrap();
        }
        if role == "progress" {
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

fn start(role: &str, path: &Path) -> (Child, BufReader<ChildStdout>) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "processes::child", "--nocapture"]).env(ROLE, role).env(LOG, path);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    (child, output)
}

/// What a child says it was told, the first number the position.
fn told(line: &str) -> Option<(u64, String)> {
    let (seq, record) = line[line.find("told ")? + 5..].split_once(' ')?;
    Some((seq.parse().ok()?, record.to_owned()))
}

fn first_told(output: &mut BufReader<ChildStdout>) -> (u64, String) {
    output.lines().map_while(Result::ok).find_map(|line| told(&line)).unwrap()
}

#[test]
fn another_process_is_locked_out_and_told_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.redb");
    let (mut child, mut output) = start("alone x", &path);
    first_told(&mut output);
    let locked = open(&path).unwrap_err();
    assert!(matches!(locked, Error::Locked { .. }), "{locked:?}");
    for words in ["another process that has it open", "use a file or Redis", "multi-writer mode"] {
        assert!(locked.to_string().contains(words), "{locked}");
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!read(&open(&path).unwrap(), 0).unwrap().is_empty());
}

#[test]
fn a_killed_process_keeps_what_was_durable() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.redb");
    let mut expected = BTreeMap::new();
    for round in 0..5 {
        let (mut child, output) = start(&format!("alone {round}"), &path);
        let mut lines = output.lines().map_while(Result::ok).filter_map(|line| told(&line));
        expected.extend(lines.by_ref().take(5 + 3 * round));
        // What it says until it is dead counts too.
        child.kill().unwrap();
        expected.extend(lines);
        child.wait().unwrap();
        let records = read(&open(&path).unwrap(), 0).unwrap();
        for (seq, record) in &expected {
            assert_eq!(records[*seq as usize], record.as_bytes());
        }
    }
    assert!(expected.len() >= 55, "{}", expected.len());
}

#[test]
fn progress_survives_a_kill_but_for_its_last_moment() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.redb");
    let (mut child, output) = start("progress x", &path);
    let mut said = output.lines().map_while(Result::ok).filter_map(|line| told(&line));
    let (early, _) = said.nth(10).unwrap();
    // Ten times as long as it may stay in memory.
    let since = Instant::now();
    let _ = said.find(|_| since.elapsed() > Duration::from_secs(1)).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let records = read(&open(&path).unwrap(), 0).unwrap().len() as u64;
    assert!(records > early, "{records} records, and number {early} was there a second before");
}

/// Where two logs differ as far as the shorter goes. Whole logs would make a failure unreadable.
fn first_difference(one: &[Vec<u8>], other: &[Vec<u8>]) -> Option<usize> {
    one.iter().zip(other).position(|(one, other)| one != other)
}

/// Many processes append, and are killed at random and replaced. What was told is there exactly once, whoever looks.
#[test]
fn many_processes_and_kills_in_multi_writer_mode() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.redb");
    let seconds = std::env::var(SOAK).ok().map_or(3, |seconds| seconds.parse().unwrap());
    let watcher = open_shared(&path).unwrap();
    let begun = Instant::now();
    let (mut kills, mut workers) = (0, Vec::new());
    let mut expected = BTreeMap::new();
    let spawn = |name: u64| {
        let (child, output) = start(&format!("share {name}"), &path);
        let reader = std::thread::spawn(move || {
            output.lines().map_while(Result::ok).filter_map(|line| told(&line)).collect::<Vec<_>>()
        });
        (child, reader)
    };
    let mut names = 0..;
    // Whoever only watches sees a log that grows and never changes.
    let mut seen: Vec<Vec<u8>> = Vec::new();
    while begun.elapsed() < Duration::from_secs(seconds) {
        while workers.len() < 4 {
            workers.push(spawn(names.next().unwrap()));
        }
        seen.extend(read(&watcher, seen.len() as u64).unwrap());
        std::thread::sleep(Duration::from_millis(70 + 13 * (kills % 7)));
        let (mut child, reader) = workers.swap_remove((kills * 7 % 4) as usize);
        child.kill().unwrap();
        child.wait().unwrap();
        expected.extend(reader.join().unwrap());
        kills += 1;
    }
    for (mut child, reader) in workers {
        child.kill().unwrap();
        child.wait().unwrap();
        expected.extend(reader.join().unwrap());
    }
    seen.extend(read(&watcher, seen.len() as u64).unwrap());
    // A commit whose writer died during its last flush is shown to nobody until the next writer has flushed it. It was
    // told to nobody, so it may be there or not; but behind the next append it is the same for all and for good.
    let later = open_shared(&path).unwrap();
    let end = append(&later, b"end", Durability::Power);
    let records = read(&later, 0).unwrap();
    assert_eq!(first_difference(&records, &seen), None, "who comes later sees what was seen before");
    assert_eq!((end + 1, records.last().unwrap().as_slice()), (records.len() as u64, &b"end"[..]));
    let unflushed = records.len() - 1 - seen.len();
    assert!(unflushed <= 1, "{unflushed} records that nobody saw: one writer at most was in a commit");
    seen.extend(read(&watcher, seen.len() as u64).unwrap());
    drop((watcher, later));
    let again = read(&open_shared(&path).unwrap(), 0).unwrap();
    for (who, sees) in [("who watched all along", &seen), ("who opens it anew", &again)] {
        assert_eq!((sees.len(), first_difference(&records, sees)), (records.len(), None), "{who} sees the same");
    }
    for (seq, record) in &expected {
        assert_eq!(records[*seq as usize], record.as_bytes(), "record {seq} was told");
    }
    let mut once: Vec<_> = records.iter().collect();
    once.sort();
    once.dedup();
    assert_eq!(once.len(), records.len(), "nothing is there twice");
    println!(
        "{seconds} s: {} records, {} of them told, {kills} kills, {unflushed} unflushed",
        records.len(),
        expected.len()
    );
    assert!(expected.len() > 5);
}
