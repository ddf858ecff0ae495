//! A store that loses replies, refuses without cause, does late what it said it did not do, and misses what is there; and many
//! writers on it. All from a seed. The same store without its one promise is the canary.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures_core::stream::BoxStream;
use trialog_journal::{Durability, Error, Journal, Seq};
use trialog_journal_slot::object_store::memory::InMemory;
use trialog_journal_slot::object_store::path::Path;
use trialog_journal_slot::object_store::{
    self, CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    ObjectStoreExt as _, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use trialog_journal_slot::{Options, SlotJournal};

/// How likely each fault is, in a hundred.
const REFUSED: u64 = 6;
const REPLY_LOST: u64 = 8;
const DONE_TWICE: u64 = 5;
const DONE_LATE: u64 = 4;
const MISSED: u64 = 4;
const READ_FAILS: u64 = 2;

#[derive(Debug)]
struct Faulty {
    inner: Arc<InMemory>,
    random: Mutex<u64>,
    /// Nothing goes wrong until a log is open.
    armed: AtomicBool,
    /// The canary: it overwrites what it should find there.
    overwrites: bool,
    /// Nothing else goes wrong.
    quiet: bool,
    faults: AtomicU64,
}

impl Faulty {
    fn new(inner: &Arc<InMemory>, seed: u64, overwrites: bool) -> Faulty {
        let random = Mutex::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let (armed, faults) = (AtomicBool::new(false), AtomicU64::new(0));
        Faulty { inner: Arc::clone(inner), random, armed, overwrites, quiet: false, faults }
    }

    /// A number below a hundred, and some time that passes.
    fn roll(&self) -> u64 {
        if self.quiet || !self.armed.load(Ordering::Relaxed) {
            return 99;
        }
        let mut random = self.random.lock().expect("no thread panicked");
        *random ^= *random << 13;
        *random ^= *random >> 7;
        *random ^= *random << 17;
        let (roll, pause) = (*random % 100, *random >> 32 & 0x1ff);
        drop(random);
        std::thread::sleep(Duration::from_micros(pause));
        roll
    }

    fn fails(&self) -> object_store::Error {
        self.faults.fetch_add(1, Ordering::Relaxed);
        object_store::Error::Generic { store: "faulty", source: "the line was cut".into() }
    }
}

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("faulty")
    }
}

#[async_trait]
impl ObjectStore for Faulty {
    async fn put_opts(&self, location: &Path, payload: PutPayload, mut options: PutOptions) -> Result<PutResult> {
        if self.overwrites && self.armed.load(Ordering::Relaxed) {
            options.mode = PutMode::Overwrite;
        }
        let put = || self.inner.put_opts(location, payload.clone(), options.clone());
        let mut roll = self.roll();
        let mut fault = |likely: u64| {
            let hit = roll < likely;
            roll = roll.saturating_sub(likely);
            hit
        };
        if fault(REFUSED) {
            return Err(self.fails());
        }
        if fault(REPLY_LOST) {
            let _ = put().await;
            return Err(self.fails());
        }
        if fault(DONE_TWICE) {
            // As clients do that try again by themselves: the second time it is there.
            let _ = put().await;
            self.faults.fetch_add(1, Ordering::Relaxed);
            return put().await;
        }
        if fault(DONE_LATE) {
            let (inner, location) = (Arc::clone(&self.inner), location.clone());
            std::thread::spawn(move || {
                std::thread::sleep(Duration::from_millis(60));
                let _ = at_once(inner.put_opts(&location, payload, options));
            });
            return Err(self.fails());
        }
        put().await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        match self.roll() {
            roll if roll < MISSED => {
                self.faults.fetch_add(1, Ordering::Relaxed);
                let (path, source) = (location.to_string(), "it is not found yet".into());
                Err(object_store::Error::NotFound { path, source })
            }
            roll if roll < MISSED + READ_FAILS => Err(self.fails()),
            _ => self.inner.get_opts(location, options).await,
        }
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, options).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

const WRITERS: u64 = 3;
const APPENDS: u64 = 6;

/// What a writer saw, and which of its records it was told are kept, each with its position.
#[derive(Default)]
struct Report {
    seen: Vec<Vec<u8>>,
    kept: Vec<(u64, Vec<u8>)>,
}

fn is_passing(error: &Error) -> bool {
    matches!(error, Error::Io { .. } | Error::Locked { .. })
}

fn follow(journal: &SlotJournal, seen: &mut Vec<Vec<u8>>) -> std::result::Result<(), Error> {
    journal
        .read(Seq(seen.len() as u64), &mut |_, record| {
            seen.push(record.to_vec());
            ControlFlow::Continue(())
        })
        .map(drop)
}

fn work(journal: &SlotJournal, writer: u64) -> std::result::Result<Report, String> {
    let mut report = Report::default();
    for number in 0..APPENDS {
        let record = [writer.to_le_bytes(), number.to_le_bytes()].concat();
        match journal.append(&[&record], Durability::Power) {
            Ok(seq) => report.kept.push((seq.0, record)),
            Err(error) if is_passing(&error) => {}
            Err(error) => return Err(format!("writer {writer}: append: {error}")),
        }
        match follow(journal, &mut report.seen) {
            Err(error) if !is_passing(&error) => return Err(format!("writer {writer}: read: {error}")),
            _ => {}
        }
    }
    Ok(report)
}

/// Lets some writers work on a faulty store, and says what was wrong afterwards; or how many faults there were.
fn simulate(seed: u64, overwrites: bool) -> std::result::Result<u64, String> {
    let memory = Arc::new(InMemory::new());
    let stores: Vec<Arc<Faulty>> = (0..WRITERS)
        .map(|writer| Arc::new(Faulty::new(&memory, seed * WRITERS + writer + 1, overwrites)))
        .collect();
    let open = |store: Arc<dyn ObjectStore>| {
        SlotJournal::open_store(store, "log", "faulty", Options::default()).map_err(|error| error.to_string())
    };
    let reports = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..WRITERS)
            .zip(&stores)
            .map(|(writer, store)| {
                let open = &open;
                scope.spawn(move || {
                    let journal = open(Arc::clone(store) as _)?;
                    store.armed.store(true, Ordering::Relaxed);
                    work(&journal, writer)
                })
            })
            .collect();
        let joined = threads.into_iter().map(|thread| thread.join().unwrap_or_else(|_| Err("a panic".to_owned())));
        joined.collect::<std::result::Result<Vec<Report>, String>>()
    })?;
    // What is done late is done by then.
    std::thread::sleep(Duration::from_millis(80));
    let mut log = Vec::new();
    follow(&open(memory)?, &mut log).map_err(|error| error.to_string())?;

    let mut times: BTreeMap<&[u8], u32> = BTreeMap::new();
    log.iter().for_each(|record| *times.entry(record).or_default() += 1);
    if let Some((record, times)) = times.iter().find(|(_, times)| **times > 1) {
        return Err(format!("record {record:?} is there {times} times"));
    }
    for report in &reports {
        if !log.starts_with(&report.seen) {
            return Err("what a writer saw is no prefix of the log".to_owned());
        }
        if let Some((seq, record)) = report.kept.iter().find(|(seq, record)| log.get(*seq as usize) != Some(record))
        {
            return Err(format!("record {record:?} was kept at {seq}, and is not there"));
        }
    }
    Ok(stores.iter().map(|store| store.faults.load(Ordering::Relaxed)).sum())
}

/// Seeds in order, some at a time: they sleep most of the time.
fn outcomes(seeds: u64, overwrites: bool) -> Vec<std::result::Result<u64, String>> {
    let next = AtomicU64::new(0);
    let outcomes = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds {
                        return;
                    }
                    let outcome = simulate(seed, overwrites).map_err(|why| format!("seed {seed}: {why}"));
                    outcomes.lock().expect("no thread panicked").push(outcome);
                }
            });
        }
    });
    outcomes.into_inner().expect("no thread panicked")
}

#[test]
fn faults_lose_and_double_nothing() {
    let outcomes = outcomes(300, false);
    let failures: Vec<&String> = outcomes.iter().filter_map(|outcome| outcome.as_ref().err()).collect();
    assert!(failures.is_empty(), "{failures:#?}");
    let faults: u64 = outcomes.iter().flatten().sum();
    println!("{} seeds, {faults} faults", outcomes.len());
    assert!(faults > 1_000, "{faults} faults are too few to show anything");
}

/// The canary.
#[test]
fn a_store_that_overwrites_is_found_out() {
    let wrong = outcomes(24, true).iter().filter(|outcome| outcome.is_err()).count();
    assert!(wrong > 12, "only {wrong} of 24 runs on a store that overwrites were found to be wrong");
}

/// Refused at once where one handle alone can find it out: here the faults are switched off, and that one is left.
#[test]
fn a_store_that_overwrites_is_refused() {
    let mut store = Faulty::new(&Arc::new(InMemory::new()), 1, true);
    store.quiet = true;
    store.armed.store(true, Ordering::Relaxed);
    let opened = SlotJournal::open_store(Arc::new(store), "log", "faulty", Options::default());
    assert!(matches!(opened, Err(Error::Unsupported { .. })), "{opened:?}");
}

/// A log that lost its end, and one that was replaced: whoever has seen more is told, whatever it asks for.
#[test]
fn a_loss_is_found_out() {
    for replaced in [false, true] {
        let memory = Arc::new(InMemory::new());
        let open =
            |store: &Arc<InMemory>| SlotJournal::open_store(Arc::clone(store) as _, "", "m", Options::default());
        let (first, second) = (open(&memory).unwrap(), open(&memory).unwrap());
        for journal in [&first, &second] {
            journal.append(&[b"a"], Durability::Power).unwrap();
        }
        first.read(Seq(0), &mut |_, _| ControlFlow::Continue(())).unwrap();
        at_once(memory.delete(&Path::from(slot(1)))).unwrap();
        if replaced {
            open(&memory).unwrap().append(&[b"other"], Durability::Power).unwrap();
        }
        for journal in [&first, &second] {
            let read = journal.read(Seq(2), &mut |_, _| ControlFlow::Continue(()));
            assert!(matches!(read, Err(Error::Regressed { seen: 2, .. })), "{read:?}");
            let appended = journal.append(&[b"more"], Durability::Power);
            assert!(matches!(appended, Err(Error::Regressed { .. })), "{appended:?}");
        }
        let mut left = Vec::new();
        follow(&open(&memory).unwrap(), &mut left).unwrap();
        assert_eq!(left.len(), 1 + usize::from(replaced), "nothing was added by those who know better");
    }
}

fn slot(number: u64) -> String {
    format!("slots/{number:020}")
}

/// What a store in memory answers is there at once.
fn at_once<T>(answer: impl Future<Output = Result<T>>) -> Result<T> {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::pin!(answer).poll(&mut context) {
        std::task::Poll::Ready(answer) => answer,
        std::task::Poll::Pending => unreachable!("a store in memory waits for nothing"),
    }
}
