//! The suite that every backend passes: the journal's contract as cases, one function each.
//!
//! A backend's tests call [`run`] with a function that makes a fresh, empty log and gives back a way to open
//! handles on it. Cases report failure as text, so that a suite can also be shown to reject a wrong journal ([`failures`]).

use crate::{Durability, Error, Journal, RECORD_BYTES_MAX, Seq};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Opens one more handle on some log.
pub type Open = Box<dyn Fn() -> Result<Box<dyn Journal>, Error> + Send + Sync>;
/// Makes an empty log.
pub type NewLog<'a> = &'a dyn Fn() -> Open;

type Outcome = Result<(), String>;
type Case = fn(&Open) -> Outcome;

const CASES: [(&str, Case); 20] = [
    ("an empty log has no records", empty_log),
    ("appends are dense and in order", dense_and_ordered),
    ("records of one append lie side by side", side_by_side),
    ("an append without records changes nothing", empty_append),
    ("any bytes are a record", any_bytes),
    ("a large record comes back whole", large_records),
    ("a record that is too large is refused", too_large),
    ("reading starts anywhere", read_from_anywhere),
    ("reading from any position of a long log", read_from_anywhere_in_long_log),
    ("breaking ends before the next record", break_in_visitor),
    ("reading beyond the end is a regression", beyond_the_end),
    ("both durabilities make visible", both_durabilities),
    ("handles see one another's records", handles_take_turns),
    ("a handle opened later sees all", late_handle),
    ("threads on one handle lose nothing", threads_on_one_handle),
    ("threads on many handles lose nothing, and readers see prefixes", threads_on_many_handles),
    ("who waits is told of a record that is there", wait_for_what_is_there),
    ("who waits is told of a record that comes, and of none", wait_for_what_comes),
    ("an append at a position never lands elsewhere", append_at_position),
    ("a random walk agrees with a list", |open| random_walk(open, 1)),
];

/// Runs all cases.
///
/// # Panics
/// With all that failed.
pub fn run(new_log: NewLog<'_>) {
    let failures = failures(new_log);
    assert!(failures.is_empty(), "the journal breaks its contract:\n{}", failures.join("\n"));
}

/// Runs all cases and returns what failed.
#[must_use]
pub fn failures(new_log: NewLog<'_>) -> Vec<String> {
    let failure = |(name, case): &(&str, Case)| case(&new_log()).err().map(|why| format!("{name}: {why}"));
    CASES.iter().filter_map(failure).collect()
}

macro_rules! ensure {
    ($condition:expr, $($why:tt)+) => {
        if !$condition {
            return Err(format!($($why)+));
        }
    };
}

fn handle(open: &Open) -> Result<Box<dyn Journal>, String> {
    open().map_err(|error| format!("could not open: {error}"))
}

fn append(journal: &dyn Journal, records: &[&[u8]]) -> Result<u64, String> {
    journal.append(records, Durability::Process).map(|seq| seq.0).map_err(|error| format!("append: {error}"))
}

/// The records from a position on, for tests that look at what a log holds.
///
/// # Errors
/// What the journal says.
pub fn records(journal: &dyn Journal, from: u64) -> Result<Vec<Vec<u8>>, Error> {
    let mut records = Vec::new();
    journal.read(Seq(from), &mut |_, record| {
        records.push(record.to_vec());
        ControlFlow::Continue(())
    })?;
    Ok(records)
}

/// All records from `from` on, and whether their numbers were right.
fn read(journal: &dyn Journal, from: u64) -> Result<Vec<Vec<u8>>, String> {
    let mut records = Vec::new();
    let mut wrong = None;
    let end = journal
        .read(Seq(from), &mut |seq, record| {
            if seq.0 != from + records.len() as u64 {
                wrong.get_or_insert(seq);
            }
            records.push(record.to_vec());
            ControlFlow::Continue(())
        })
        .map_err(|error| format!("read from {from}: {error}"))?;
    ensure!(wrong.is_none(), "reading from {from} numbered a record {wrong:?}");
    let expected = from + records.len() as u64;
    ensure!(end.0 == expected, "reading from {from} ended at {end}, after a record before {expected}");
    Ok(records)
}

fn expect(journal: &dyn Journal, from: u64, expected: &[Vec<u8>]) -> Outcome {
    let found = read(journal, from)?;
    ensure!(found.len() == expected.len(), "{} records from {from}, not {}", found.len(), expected.len());
    let wrong = found.iter().zip(expected).position(|(found, expected)| found != expected);
    ensure!(wrong.is_none(), "record {} differs", from + wrong.unwrap_or_default() as u64);
    Ok(())
}

fn empty_log(open: &Open) -> Outcome {
    let journal = handle(open)?;
    ensure!(!journal.location().is_empty(), "it has no location");
    expect(&*journal, 0, &[])
}

fn dense_and_ordered(open: &Open) -> Outcome {
    let journal = handle(open)?;
    let records: Vec<Vec<u8>> = (0..100).map(|i| numbered(i, 0)).collect();
    for (i, record) in records.iter().enumerate() {
        let seq = append(&*journal, &[record])?;
        ensure!(seq == i as u64, "append {i} got position {seq}");
    }
    expect(&*journal, 0, &records)?;
    expect(&*handle(open)?, 0, &records)
}

fn side_by_side(open: &Open) -> Outcome {
    let journal = handle(open)?;
    append(&*journal, &[b"before"])?;
    let seq = append(&*journal, &[b"one", b"", b"three"])?;
    ensure!(seq == 1, "the first of three got position {seq}, not 1");
    let seq = append(&*journal, &[b"after"])?;
    ensure!(seq == 4, "the record after three got position {seq}, not 4");
    let expected: Vec<Vec<u8>> = ["before", "one", "", "three", "after"].iter().map(|&r| r.into()).collect();
    expect(&*journal, 0, &expected)?;
    expect(&*handle(open)?, 0, &expected)
}

fn empty_append(open: &Open) -> Outcome {
    let journal = handle(open)?;
    let other = handle(open)?;
    ensure!(append(&*journal, &[])? == 0, "the end of an empty log is not 0");
    append(&*other, &[b"a", b"b"])?;
    let seq = journal.append(&[], Durability::Power).map_err(|error| error.to_string())?;
    ensure!(seq == Seq(2), "the end of a log of two records is {seq}");
    expect(&*journal, 0, &[b"a".to_vec(), b"b".to_vec()])
}

fn any_bytes(open: &Open) -> Outcome {
    let journal = handle(open)?;
    let mut records: Vec<Vec<u8>> = (0..=255).map(|byte| vec![byte; usize::from(byte) % 7]).collect();
    records.push(vec![0; 4096]);
    records.push(b"\n\r\0TLOG\x94".to_vec());
    let slices: Vec<&[u8]> = records.iter().map(Vec::as_slice).collect();
    append(&*journal, &slices)?;
    expect(&*handle(open)?, 0, &records)
}

fn large_records(open: &Open) -> Outcome {
    let journal = handle(open)?;
    let mut random = Random(3);
    let records: Vec<Vec<u8>> =
        [1 << 20, 3, RECORD_BYTES_MAX, 0, 300_000].into_iter().map(|bytes| random.bytes(bytes)).collect();
    for (i, record) in records.iter().enumerate() {
        append(&*journal, &[record])?;
        expect(&*journal, i as u64, &records[i..=i])?;
    }
    expect(&*journal, 0, &records)?;
    expect(&*handle(open)?, 0, &records)
}

fn too_large(open: &Open) -> Outcome {
    let journal = handle(open)?;
    let large = vec![1; RECORD_BYTES_MAX + 1];
    match journal.append(&[b"small", &large], Durability::Process) {
        Err(Error::TooLarge { bytes }) => ensure!(bytes == large.len(), "the error says {bytes} bytes"),
        other => return Err(format!("not refused: {other:?}")),
    }
    expect(&*journal, 0, &[])?;
    append(&*journal, &[b"small"])?;
    expect(&*journal, 0, &[b"small".to_vec()])
}

fn read_from_anywhere(open: &Open) -> Outcome {
    let journal = handle(open)?;
    let records: Vec<Vec<u8>> = (0..50).map(|i| numbered(i, i as usize)).collect();
    for record in &records {
        append(&*journal, &[record])?;
    }
    let fresh = handle(open)?;
    for from in (0..=records.len()).rev() {
        expect(&*journal, from as u64, &records[from..])?;
        expect(&*fresh, from as u64, &records[from..])?;
    }
    Ok(())
}

/// Long enough that no backend keeps all of it at hand.
fn read_from_anywhere_in_long_log(open: &Open) -> Outcome {
    let journal = handle(open)?;
    let records: Vec<Vec<u8>> = (0..20_000).map(|i| numbered(i, 150)).collect();
    for batch in records.chunks(1000) {
        let slices: Vec<&[u8]> = batch.iter().map(Vec::as_slice).collect();
        append(&*journal, &slices)?;
    }
    let fresh = handle(open)?;
    for from in [19_999, 0, 1, 4095, 4096, 4097, 8191, 8192, 12_345, 20_000] {
        expect(&*journal, from as u64, &records[from..])?;
        expect(&*fresh, from as u64, &records[from..])?;
        break_after(&*journal, from as u64, 3, records.len() as u64)?;
    }
    Ok(())
}

fn break_in_visitor(open: &Open) -> Outcome {
    let journal = handle(open)?;
    for i in 0..10 {
        append(&*journal, &[&numbered(i, 0)])?;
    }
    let fresh = handle(open)?;
    for from in 0..10 {
        for count in 1..12 {
            break_after(&*journal, from, count, 10)?;
            break_after(&*fresh, from, count, 10)?;
        }
    }
    Ok(())
}

fn break_after(journal: &dyn Journal, from: u64, count: u64, records: u64) -> Outcome {
    let mut seen = 0;
    let end = journal.read(Seq(from), &mut |_, _| {
        seen += 1;
        if seen == count { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    let end = end.map_err(|error| error.to_string())?;
    let expected = (from + count).min(records);
    ensure!(end.0 == expected, "broke {count} after {from}, which ended at {end}, not {expected}");
    ensure!(seen == expected - from, "broke {count} after {from}, which handed over {seen}");
    Ok(())
}

fn beyond_the_end(open: &Open) -> Outcome {
    let journal = handle(open)?;
    append(&*journal, &[b"a", b"b"])?;
    for journal in [journal, handle(open)?] {
        let result = journal.read(Seq(3), &mut |_, _| ControlFlow::Continue(()));
        let Err(Error::Regressed { seen: 3, found: 2, .. }) = result else {
            return Err(format!("reading record 3 of 2: {result:?}"));
        };
        expect(&*journal, 2, &[])?;
    }
    Ok(())
}

fn both_durabilities(open: &Open) -> Outcome {
    let (writer, reader) = (handle(open)?, handle(open)?);
    for (i, durability) in [Durability::Power, Durability::Process, Durability::Power].into_iter().enumerate() {
        let record = numbered(i as u64, 0);
        let seq = writer.append(&[&record], durability).map_err(|error| error.to_string())?;
        ensure!(seq.0 == i as u64, "append {i} got position {seq}");
        expect(&*reader, i as u64, &[record])?;
    }
    Ok(())
}

fn handles_take_turns(open: &Open) -> Outcome {
    let handles = [handle(open)?, handle(open)?, handle(open)?];
    let mut records = Vec::new();
    for i in 0..60_u64 {
        let record = numbered(i, 0);
        let seq = append(&*handles[(i * i % 3) as usize], &[&record])?;
        ensure!(seq == i, "append {i} got position {seq}");
        records.push(record);
        expect(&*handles[(i % 3) as usize], i, &records[i as usize..])?;
    }
    handles.iter().try_for_each(|handle| expect(&**handle, 0, &records))
}

fn late_handle(open: &Open) -> Outcome {
    let first = handle(open)?;
    append(&*first, &[b"a"])?;
    drop(first);
    let second = handle(open)?;
    ensure!(append(&*second, &[b"b"])? == 1, "a later handle's append did not come second");
    expect(&*second, 0, &[b"a".to_vec(), b"b".to_vec()])
}

fn threads_on_one_handle(open: &Open) -> Outcome {
    let journal = handle(open)?;
    contend(&|| Ok(None), Some(&*journal))?;
    check_contention(&*journal)?;
    check_contention(&*handle(open)?)
}

fn threads_on_many_handles(open: &Open) -> Outcome {
    contend(&|| handle(open).map(Some), None)?;
    check_contention(&*handle(open)?)
}

/// How long a record that is there may take to be found.
const PATIENCE_MS: u64 = 2_000;

fn waits(journal: &dyn Journal, from: u64, timeout_ms: u64) -> Result<bool, String> {
    journal.wait(Seq(from), Duration::from_millis(timeout_ms)).map_err(|error| format!("wait for {from}: {error}"))
}

fn wait_for_what_is_there(open: &Open) -> Outcome {
    let (journal, other) = (handle(open)?, handle(open)?);
    append(&*journal, &[b"a", b"b"])?;
    for (journal, from) in [(&journal, 0), (&journal, 1), (&other, 1), (&other, 0)] {
        ensure!(waits(&**journal, from, PATIENCE_MS)?, "record {from} is there, and waiting for it says otherwise");
    }
    Ok(())
}

fn wait_for_what_comes(open: &Open) -> Outcome {
    let (journal, other) = (handle(open)?, handle(open)?);
    append(&*journal, &[b"a"])?;
    ensure!(!waits(&*journal, 1, 30)?, "record 1 of 1 came from nowhere");
    let appended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            while !appended.load(Ordering::Acquire) {
                if waits(&*journal, 1, 500)? {
                    return Ok(true);
                }
            }
            waits(&*journal, 1, PATIENCE_MS)
        });
        std::thread::sleep(Duration::from_millis(50));
        let done = append(&*other, &[b"b"]);
        appended.store(true, Ordering::Release);
        done?;
        let told = reader.join().unwrap_or_else(|_| Err("a thread panicked".into()))?;
        ensure!(told, "record 1 came, and who waited for it was not told");
        Ok(())
    })?;
    expect(&*journal, 0, &[b"a".to_vec(), b"b".to_vec()])
}

/// A journal need not append at a position; if it says that it did, the record is there and nowhere else.
fn append_at_position(open: &Open) -> Outcome {
    let (journal, other) = (handle(open)?, handle(open)?);
    let mut expected: Vec<Vec<u8>> = Vec::new();
    for step in 0..12_u64 {
        let record = numbered(step, 0);
        let (at, right) = if step % 3 == 1 { (0, expected.is_empty()) } else { (expected.len() as u64, true) };
        let done =
            journal.append_at(Seq(at), &[&record], Durability::Process).map_err(|error| error.to_string())?;
        match done {
            Some(seq) => {
                ensure!(right, "an append at {at} was done, though the log ends at {}", expected.len());
                ensure!(seq.0 == at, "an append at {at} got position {seq}");
                expected.push(record);
            }
            None => {
                // Somebody else comes first, and this handle does not know.
                append(&*other, &[&record])?;
                expected.push(record);
            }
        }
        expect(&*other, 0, &expected)?;
    }
    expect(&*journal, 0, &expected)
}

const THREADS: u64 = 6;
const ROUNDS: u64 = 40;

/// Each thread appends batches and follows the log: what it has seen must stay, and its own must be there.
fn contend(
    own: &(dyn Fn() -> Result<Option<Box<dyn Journal>>, String> + Sync),
    shared: Option<&dyn Journal>,
) -> Outcome {
    let work = |thread: u64| -> Outcome {
        let own = own()?;
        let journal = own.as_deref().or(shared).ok_or("no handle")?;
        let mut seen: Vec<Vec<u8>> = Vec::new();
        for round in 0..ROUNDS {
            let batch: Vec<Vec<u8>> = (0..=round % 3).map(|i| numbered(thread << 32 | round << 8 | i, 9)).collect();
            let slices: Vec<&[u8]> = batch.iter().map(Vec::as_slice).collect();
            let durability = if round % 8 == 0 { Durability::Power } else { Durability::Process };
            let first = journal.append(&slices, durability).map_err(|error| error.to_string())?.0 as usize;
            seen.extend(read(journal, seen.len() as u64)?);
            let own = seen.get(first..first + batch.len());
            ensure!(own == Some(&batch), "an append's records are not at the position it returned");
        }
        expect_prefix(&seen, &read(journal, 0)?)
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|thread| scope.spawn(move || work(thread))).collect();
        threads.into_iter().try_for_each(|thread| thread.join().unwrap_or_else(|_| Err("a thread panicked".into())))
    })
}

fn expect_prefix(prefix: &[Vec<u8>], whole: &[Vec<u8>]) -> Outcome {
    ensure!(whole.starts_with(prefix), "what a thread saw is no prefix of the log");
    Ok(())
}

fn check_contention(journal: &dyn Journal) -> Outcome {
    let mut count: BTreeMap<Vec<u8>, u32> = BTreeMap::new();
    let records = read(journal, 0)?;
    for record in &records {
        *count.entry(record.clone()).or_default() += 1;
    }
    for thread in 0..THREADS {
        let mut last = None;
        for round in 0..ROUNDS {
            for i in 0..=round % 3 {
                let record = numbered(thread << 32 | round << 8 | i, 9);
                let found = count.remove(&record).unwrap_or_default();
                ensure!(found == 1, "record {i} of round {round} of thread {thread} is there {found} times");
                let at = records.iter().position(|other| *other == record);
                ensure!(at > last, "the records of thread {thread} are out of order");
                last = at;
            }
        }
    }
    ensure!(count.is_empty(), "{} records are there that nobody wrote", count.len());
    Ok(())
}

/// Compares random appends and reads on several handles with a list.
///
/// # Errors
/// What differed.
pub fn random_walk(open: &Open, seed: u64) -> Result<(), String> {
    let mut random = Random(seed.wrapping_mul(2).wrapping_add(0x9e37_79b9_7f4a_7c15));
    let mut handles = vec![handle(open)?];
    let mut log: Vec<Vec<u8>> = Vec::new();
    for step in 0..120 {
        let journal = random.below(handles.len() as u64) as usize;
        let context = |why: String| format!("seed {seed}, step {step}: {why}");
        match random.below(10) {
            0 => handles[journal] = handle(open)?,
            1 if handles.len() < 4 => handles.push(handle(open)?),
            2..=5 => {
                let batch: Vec<Vec<u8>> = (0..random.below(4)).map(|_| random.record()).collect();
                let slices: Vec<&[u8]> = batch.iter().map(Vec::as_slice).collect();
                let first = append(&*handles[journal], &slices).map_err(context)?;
                ensure!(first == log.len() as u64, "seed {seed}, step {step}: position {first}, not {}", log.len());
                log.extend(batch);
            }
            6 => break_after(&*handles[journal], 0, 1 + random.below(9), log.len() as u64).map_err(context)?,
            _ => {
                let from = random.below(log.len() as u64 + 1);
                expect(&*handles[journal], from, &log[from as usize..]).map_err(context)?;
            }
        }
    }
    expect(&*handle(open)?, 0, &log)
}

/// A record that tells its number, and is some bytes longer.
fn numbered(number: u64, more: usize) -> Vec<u8> {
    let mut record = number.to_be_bytes().to_vec();
    record.extend((0..more).map(|i| (number as usize ^ i) as u8));
    record
}

/// A small generator of its own, so that the suite brings no dependency to those who use it.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn bytes(&mut self, bytes: usize) -> Vec<u8> {
        let mut record: Vec<u8> = (0..bytes.div_ceil(8)).flat_map(|_| self.next().to_le_bytes()).collect();
        record.truncate(bytes);
        record
    }

    /// Mostly short, sometimes longer than a page.
    fn record(&mut self) -> Vec<u8> {
        let limit = [4, 100, 100, 10_000][self.below(4) as usize];
        let bytes = self.below(limit) as usize;
        self.bytes(bytes)
    }
}
