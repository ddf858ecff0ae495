//! A process is killed, or the machine loses power, at every call of a workload: what was promised is there, and
//! the next process goes on at once.

use crate::support::{PATH, open, open_as, read_all};
use trialog_journal::{Durability, Error, Journal};
use trialog_testkit::{Failure, FakeOs, Lie, Survival};

/// What the dead process had been told.
#[derive(Default)]
struct Told {
    attempted: Vec<Vec<u8>>,
    /// How many records are visible to all.
    visible: usize,
    /// How many of them survive a loss of power.
    durable: usize,
}

fn work(os: &FakeOs) -> Told {
    let mut told = Told::default();
    let Ok(journal) = open(os) else {
        return told;
    };
    // A writer before this one died in the middle of a frame.
    let torn = [os.file(PATH).unwrap_or_default(), vec![7; 1500]].concat();
    os.put(PATH, &torn);
    for i in 0..10_u8 {
        let batch: Vec<Vec<u8>> = (0..=i % 3).map(|j| vec![i; usize::from(j) * 400 + 5]).collect();
        let slices: Vec<&[u8]> = batch.iter().map(Vec::as_slice).collect();
        told.attempted.extend(batch.clone());
        let durability = if i % 4 == 3 { Durability::Power } else { Durability::Process };
        let Ok(first) = journal.append(&slices, durability) else {
            return told;
        };
        told.visible = first.0 as usize + slices.len();
        if durability == Durability::Power {
            told.durable = told.visible;
        }
    }
    told
}

/// The log must be a prefix of what was attempted, with at least `count` records.
fn check(os: &FakeOs, told: &Told, count: usize) -> Result<(), String> {
    let journal = open_as(os, 2).map_err(|error| format!("cannot be opened: {error}"))?;
    let (found, error) = read_all(&journal);
    if !told.attempted.starts_with(&found) {
        return Err(String::from("there are records that nobody wrote"));
    }
    if found.len() < count {
        return Err(format!("{} records of {count} that were promised: {error:?}", found.len()));
    }
    match error {
        None => {}
        // Unsynced sectors arrive in any order, so that there may be a hole; its cause must be told.
        Some(Error::Corrupt { detail, .. }) if detail.contains("a loss of power explains it") => return Ok(()),
        Some(error) => return Err(format!("{error}")),
    }
    let next = journal.append(&[b"next"], Durability::Power).map_err(|error| error.to_string())?;
    if next.0 == found.len() as u64 { Ok(()) } else { Err(format!("goes on at {next}, not at {}", found.len())) }
}

/// How many calls the workload makes, so how many places there are to die at.
fn steps() -> usize {
    let os = FakeOs::new();
    work(&os);
    assert!(os.durable_steps() >= 4, "the header, its name, and two appends");
    os.calls().len()
}

fn cut_power_everywhere(lie: Option<Lie>) -> Result<(), String> {
    let mut survivals = vec![Survival::Nothing, Survival::Everything, Survival::Lengths];
    survivals.extend((0..40).map(Survival::Some));
    for step in 0..=steps() {
        for &survival in &survivals {
            for bytes in [0, 1, 24, 30, 600, usize::MAX] {
                let os = FakeOs::new();
                if let Some(lie) = lie {
                    os.lie(lie);
                }
                os.fail(None, step, Failure::PowerCut(bytes, survival));
                let told = work(&os);
                if os.heal() {
                    os.lie_no_more();
                } else {
                    os.power_cut(survival);
                }
                check(&os, &told, told.durable)
                    .map_err(|why| format!("step {step}, {survival:?}, {bytes}: {why}"))?;
            }
        }
    }
    Ok(())
}

#[test]
fn power_is_cut_at_every_call() {
    cut_power_everywhere(None).unwrap();
}

/// The canary: a disk that lies about syncs must be noticed.
#[test]
fn syncs_that_do_nothing_are_noticed() {
    assert!(cut_power_everywhere(Some(Lie::SyncsDoNothing)).is_err());
}

#[test]
fn a_process_is_killed_at_every_call() {
    for step in 0..=steps() {
        for bytes in [0, 1, 23, 24, 29, 40, 300, 600, usize::MAX] {
            let os = FakeOs::new();
            os.fail(None, step, Failure::Kill(bytes));
            let told = work(&os);
            os.heal();
            check(&os, &told, told.visible).unwrap_or_else(|why| panic!("step {step}, {bytes} bytes: {why}"));
        }
    }
}

#[test]
fn every_prefix_of_a_write_may_be_what_a_killed_process_leaves() {
    let writes = 3;
    for bytes in 0..1000 {
        let os = FakeOs::new();
        os.fail(Some(trialog_testkit::Call::WriteAt), writes, Failure::Kill(bytes));
        let told = work(&os);
        os.heal();
        check(&os, &told, told.visible).unwrap_or_else(|why| panic!("{bytes} bytes: {why}"));
    }
}
