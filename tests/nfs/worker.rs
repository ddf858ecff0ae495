//! What runs on the mounts. Each worker writes into a diary of its own, a line for each thing that was acknowledged
//! and each that was refused; a line is one write, so a worker that is killed leaves whole lines.

use std::fs::File;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::Write as _;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use trialog::{OpenOptions, Storage, TrialState};
use trialog_journal::{Durability, Journal as _, Seq};
use trialog_journal_file::os::{Access, Os};
use trialog_journal_file::{FileJournal, Options, RealOs};

use crate::Outcome;
use crate::naive::NaiveOs;

/// While this is there, workers that write end their work and only look.
pub(crate) const STOP: &str = "/mnt/stop";
/// While this is there, all workers end.
pub(crate) const ENOUGH: &str = "/mnt/enough";

/// How long a worker may be silent before others take its trial over.
const LEASE: Duration = Duration::from_secs(8);
/// How long one waits for the lock: longer than any fault lasts, so that what comes of it is not only this error.
pub(crate) const LOCK_WAIT: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(200);

/// The length of what is appended to the plain log: a trial's.
const RECORD_BYTES: usize = 120;

/// A worker by its words: the role, the log, the diary, and a number that no other worker has.
pub(crate) fn play(words: &[&str]) -> Outcome {
    let &[role, log, diary, id] = words else {
        return Err("a worker is ROLE LOG DIARY ID, and is started by process 1 of the machine".to_owned());
    };
    let mut diary = Diary::create(diary)?;
    match role {
        "study" => study(log, &mut diary),
        "append" => append(&|| Arc::new(RealOs::default()), log, id, &mut diary),
        "naive" => append(&|| Arc::new(NaiveOs::default()), log, id, &mut diary),
        "follow" => follow(log, &mut diary),
        "view" => view(log, &mut diary),
        "compact" => compact(log, &mut diary),
        "hold" => hold(log, &mut diary),
        "next" => next(log, id, &mut diary),
        other => Err(format!("no such role: {other:?}")),
    }
}

struct Diary(File);

impl Diary {
    fn create(path: &str) -> Outcome<Diary> {
        File::create(path).map(Diary).map_err(|error| format!("cannot write {path}: {error}"))
    }

    fn line(&mut self, line: &str) -> Outcome {
        let line = line.replace('\n', " ") + "\n";
        self.0.write_all(line.as_bytes()).map_err(|error| format!("cannot write the diary: {error}"))
    }
}

fn stopped() -> bool {
    Path::new(STOP).exists()
}

fn ended() -> bool {
    Path::new(ENOUGH).exists()
}

fn now_us() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros()
}

type Question = fn(&trialog::Error) -> bool;

/// Errors by their questions, as a program would tell them apart.
fn name(error: &trialog::Error) -> &'static str {
    let questions: [(&str, Question); 7] = [
        ("corrupt", trialog::Error::is_corrupt),
        ("regressed", trialog::Error::is_regressed),
        ("poisoned", trialog::Error::is_poisoned),
        ("locked", trialog::Error::is_locked),
        ("full", trialog::Error::is_out_of_space),
        ("unavailable", trialog::Error::is_unavailable),
        ("finished", trialog::Error::is_finished_trial),
    ];
    questions.iter().find(|(_, is)| is(error)).map_or("other", |(name, _)| name)
}

fn name_plain(error: &trialog_journal::Error) -> &'static str {
    use trialog_journal::Error;
    match error {
        Error::Corrupt { .. } => "corrupt",
        Error::Regressed { .. } => "regressed",
        Error::Poisoned { .. } => "poisoned",
        Error::Locked { .. } => "locked",
        Error::OutOfSpace { .. } => "full",
        Error::Io { .. } => "unavailable",
        _ => "other",
    }
}

fn open(log: &str) -> trialog::Result<Storage> {
    OpenOptions::new().lease(Some(LEASE)).lock_wait_max(LOCK_WAIT).open(log)
}

/// Runs trials, opening the log anew after each error, and says in the end what it sees.
fn study(log: &str, diary: &mut Diary) -> Outcome {
    while !stopped() {
        let error = match open(log).map(|storage| run_trials(&storage, diary)) {
            Ok(Ok(storage)) => return say_digests(&storage, diary),
            Ok(Err(Stop::Diary(problem))) => return Err(problem),
            Ok(Err(Stop::Refused(error))) | Err(error) => error,
        };
        diary.line(&format!("refused {} {error}", name(&error)))?;
        sleep(PAUSE);
    }
    view(log, diary)
}

enum Stop {
    Refused(trialog::Error),
    Diary(String),
}

impl From<trialog::Error> for Stop {
    fn from(error: trialog::Error) -> Stop {
        Stop::Refused(error)
    }
}

impl From<String> for Stop {
    fn from(problem: String) -> Stop {
        Stop::Diary(problem)
    }
}

fn run_trials(storage: &Storage, diary: &mut Diary) -> Result<Storage, Stop> {
    let study = storage.study("shared").load_or_create()?;
    while !stopped() {
        let mut trial = study.ask()?;
        let x = trial.suggest_float("x", -100.0..=100.0)?;
        trial.report(1, x)?;
        let told = study.tell(&trial, x)?;
        // Who was cut off for longer than its lease may come late.
        let word = if told.state == TrialState::Complete { "told" } else { "late" };
        diary.line(&format!("{word} {} {}", told.number, x.to_bits()))?;
    }
    Ok(storage.clone())
}

/// A handle that only reads, all the time, opened anew where the log says so.
fn view(log: &str, diary: &mut Diary) -> Outcome {
    let mut storage: Option<Storage> = None;
    while !ended() {
        let digest = match &storage {
            Some(storage) => storage.digest(),
            None => OpenOptions::new().read_only(true).open(log).and_then(|opened| {
                let digest = opened.digest();
                storage = Some(opened);
                digest
            }),
        };
        match digest {
            Ok(digest) => diary.line(&format!("digest {digest}"))?,
            Err(error) => {
                diary.line(&format!("refused {} {error}", name(&error)))?;
                storage = None;
            }
        }
        sleep(PAUSE);
    }
    Ok(())
}

/// The digest that a worker's own handle has, until it is the last one.
fn say_digests(storage: &Storage, diary: &mut Diary) -> Outcome {
    while !ended() {
        let line = match storage.digest() {
            Ok(digest) => format!("digest {digest}"),
            Err(error) => format!("refused {} {error}", name(&error)),
        };
        diary.line(&line)?;
        sleep(PAUSE);
    }
    Ok(())
}

fn compact(log: &str, diary: &mut Diary) -> Outcome {
    while !stopped() {
        match open(log).and_then(|storage| storage.compact()) {
            Ok(did) => diary.line(&format!("compacted {did}"))?,
            Err(error) => diary.line(&format!("refused {} {error}", name(&error)))?,
        }
        sleep(5 * PAUSE);
    }
    Ok(())
}

fn plain(os: Arc<dyn Os>, log: &str, read_only: bool) -> Result<FileJournal, trialog_journal::Error> {
    let options = Options { read_only, create: !read_only, lock_wait_max: LOCK_WAIT, ..Options::default() };
    FileJournal::open_on(os, log, &options)
}

fn record(id: &str, count: u64) -> Vec<u8> {
    format!("{:.<RECORD_BYTES$}", format!("{id}-{count} ")).into_bytes()
}

/// Appends durable records to the plain log, and notes the place of each.
fn append(os: &dyn Fn() -> Arc<dyn Os>, log: &str, id: &str, diary: &mut Diary) -> Outcome {
    let mut journal = None;
    let mut count = 0;
    while !stopped() {
        count += 1;
        let seq = match &journal {
            Some(journal) => FileJournal::append(journal, &[&record(id, count)], Durability::Power),
            None => plain(os(), log, false).and_then(|opened| {
                let seq = opened.append(&[&record(id, count)], Durability::Power);
                journal = Some(opened);
                seq
            }),
        };
        match seq {
            Ok(seq) => diary.line(&format!("appended {} {id}-{count}", seq.0))?,
            Err(error) => {
                diary.line(&format!("refused {} {error}", name_plain(&error)))?;
                journal = None;
                sleep(PAUSE);
            }
        }
    }
    Ok(())
}

/// Reads the plain log as it grows, and notes what it came to after how many records.
fn follow(log: &str, diary: &mut Diary) -> Outcome {
    let mut journal = None;
    let mut seen = History::default();
    while !ended() {
        let read = match &journal {
            Some(journal) => seen.read(journal),
            None => plain(Arc::new(RealOs::default()), log, true).and_then(|opened| {
                seen = History::default();
                let read = seen.read(&opened);
                journal = Some(opened);
                read
            }),
        };
        match read {
            Ok(()) => diary.line(&format!("saw {} {}", seen.records, seen.hash))?,
            Err(error) => {
                diary.line(&format!("refused {} {error}", name_plain(&error)))?;
                journal = None;
            }
        }
        sleep(PAUSE);
    }
    Ok(())
}

/// What a log has come to.
#[derive(Clone, Copy, Default)]
pub(crate) struct History {
    pub(crate) records: u64,
    pub(crate) hash: u64,
}

impl History {
    pub(crate) fn add(&mut self, record: &[u8]) {
        let mut hasher = DefaultHasher::new();
        (self.hash, record).hash(&mut hasher);
        self.hash = hasher.finish();
        self.records += 1;
    }

    fn read(&mut self, journal: &FileJournal) -> Result<(), trialog_journal::Error> {
        let from = Seq(self.records);
        let read = journal.read(from, &mut |_, record| {
            self.add(record);
            ControlFlow::Continue(())
        });
        read.map(drop)
    }
}

/// Takes the lock as the engine does and keeps it.
fn hold(log: &str, diary: &mut Diary) -> Outcome {
    let said = |error| format!("cannot hold the lock: {error}");
    let file = RealOs::default().open(log.as_ref(), Access::Write).map_err(said)?;
    while !file.try_lock().map_err(said)? {
        sleep(Duration::from_millis(1));
    }
    diary.line("held")?;
    loop {
        sleep(PAUSE);
    }
}

/// Waits for the lock for one record, and notes when it had appended it.
fn next(log: &str, id: &str, diary: &mut Diary) -> Outcome {
    let journal = plain(Arc::new(RealOs::default()), log, false).map_err(|error| error.to_string())?;
    diary.line("waits")?;
    let seq = journal.append(&[&record(id, 1)], Durability::Power).map_err(|error| error.to_string())?;
    let at = now_us();
    diary.line(&format!("appended {} {id}-1", seq.0))?;
    diary.line(&format!("at {at}"))
}
