//! The memory journal passes the suite, and wrong journals do not.

use std::ops::ControlFlow;
use trialog_journal::conformance::{self, Open};
use trialog_journal::{Durability, Error, Journal, MemoryJournal, Seq, Visitor};

fn memory_log() -> Open {
    let log = MemoryJournal::new();
    Box::new(move || Ok(Box::new(log.clone())))
}

#[test]
fn memory_journal_conforms() {
    conformance::run(&memory_log);
}

#[test]
fn memory_journal_walks_at_random() {
    for seed in 0..200 {
        conformance::random_walk(&memory_log(), seed).unwrap();
    }
}

/// What a wrong journal does wrong, once in a while.
#[derive(Clone, Copy, Debug)]
enum Fault {
    LosesARecord,
    DoublesARecord,
    SwapsTwoRecords,
    ReturnsAWrongPosition,
    NumbersFromZero,
    SkipsTheFirst,
    IgnoresBreak,
    HidesOthersRecords,
    IsSilentBeyondTheEnd,
    TakesAnySize,
    ChangesAByte,
}

const FAULTS: [Fault; 11] = [
    Fault::LosesARecord,
    Fault::DoublesARecord,
    Fault::SwapsTwoRecords,
    Fault::ReturnsAWrongPosition,
    Fault::NumbersFromZero,
    Fault::SkipsTheFirst,
    Fault::IgnoresBreak,
    Fault::HidesOthersRecords,
    Fault::IsSilentBeyondTheEnd,
    Fault::TakesAnySize,
    Fault::ChangesAByte,
];

struct Wrong {
    inner: MemoryJournal,
    fault: Fault,
    /// How many records the log had when this handle last appended.
    known: std::sync::Mutex<u64>,
}

impl Journal for Wrong {
    fn append(&self, records: &[&[u8]], durability: Durability) -> Result<Seq, Error> {
        let mut records = records.to_vec();
        match self.fault {
            Fault::LosesARecord if records.len() > 2 => drop(records.pop()),
            Fault::DoublesARecord if records.len() > 2 => records.push(records[0]),
            Fault::SwapsTwoRecords if records.len() > 2 => records.swap(0, 1),
            Fault::TakesAnySize => records.iter_mut().for_each(|r| *r = &r[..r.len().min(1 << 20)]),
            _ => {}
        }
        let count = records.len() as u64;
        let seq = self.inner.append(&records, durability)?;
        *self.known.lock().unwrap() = seq.0 + count;
        Ok(if matches!(self.fault, Fault::ReturnsAWrongPosition) && seq.0 > 20 { seq.next() } else { seq })
    }

    fn read(&self, from: Seq, visit: &mut Visitor<'_>) -> Result<Seq, Error> {
        let known = *self.known.lock().unwrap();
        let mut broke = false;
        let result = self.inner.read(from, &mut |seq, record| match self.fault {
            Fault::NumbersFromZero => visit(Seq(seq.0 - from.0), record),
            Fault::SkipsTheFirst if seq == from && from.0 > 0 => ControlFlow::Continue(()),
            Fault::IgnoresBreak => {
                broke = broke || visit(seq, record).is_break();
                ControlFlow::Continue(())
            }
            Fault::HidesOthersRecords if seq.0 >= known => ControlFlow::Break(()),
            Fault::ChangesAByte if record.len() > 4000 => {
                let mut changed = record.to_vec();
                changed[3999] ^= 1;
                visit(seq, &changed)
            }
            _ => visit(seq, record),
        });
        match result {
            Err(Error::Regressed { .. }) if matches!(self.fault, Fault::IsSilentBeyondTheEnd) => Ok(from),
            other => other,
        }
    }

    fn location(&self) -> &str {
        "wrong:"
    }
}

/// The canary: a suite that lets one of these pass proves nothing about the others.
#[test]
fn wrong_journals_are_rejected() {
    for fault in FAULTS {
        let failures = conformance::failures(&|| {
            let inner = MemoryJournal::new();
            Box::new(move || Ok(Box::new(Wrong { inner: inner.clone(), fault, known: 0.into() })))
        });
        assert!(!failures.is_empty(), "a journal with {fault:?} passes the suite");
    }
}
