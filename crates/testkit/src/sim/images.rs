//! Crash images: what a loss of power may leave of a log, at every change of a run. Each image is opened by the
//! journal, and must hold what was promised, no more than was written, and be good to go on with.

use super::chain::parse;
use super::disk::{Change, SECTOR_BYTES, Survival, changed_sectors, survivors};
use super::draw::Draw;
use super::holes::{Hole, judge_hole, judge_hole_by_claims};
use super::plan::{Faults, Medium, Plan, Role};
use super::{Keep, run_with};
use crate::FakeOs;
use std::collections::BTreeSet;
use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;
use trialog_journal::{Durability, Error, Journal, Seq};
use trialog_journal_file::{FileJournal, Options};

/// What happened to the log's file, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Its bytes changed.
    Change(Change),
    /// All changes so far were made durable.
    Sync,
    /// Somebody is about to append this record.
    Attempt(Vec<u8>),
    /// The first so many records were acknowledged.
    Ack {
        /// How many.
        records: u64,
        /// Whether they survive a loss of power.
        durable: bool,
    },
}

/// What came of some crash images.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// How many there were.
    pub images: u64,
    /// In so many the log ended in peace, and a writer went on.
    pub whole: u64,
    /// In so many a hole had frames behind it.
    pub holes: u64,
    /// Of these, so many show that a loss of power made them.
    pub explained: u64,
    /// So many times a bit or a few bytes were damaged in a log that had lost nothing.
    pub damages: u64,
    /// Of these, so many looked as if a loss of power had made them.
    pub mistaken: u64,
    /// The same by the claims of later writers alone: what a rule would do that does not look into the hole.
    pub mistaken_by_claims: u64,
    /// What was wrong, if anything was.
    pub failure: Option<String>,
}

impl Tally {
    pub(crate) fn add(&mut self, other: &Tally) {
        self.images += other.images;
        self.whole += other.whole;
        self.holes += other.holes;
        self.explained += other.explained;
        self.damages += other.damages;
        self.mistaken += other.mistaken;
        self.mistaken_by_claims += other.mistaken_by_claims;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tally { whole, holes, explained, damages, mistaken, mistaken_by_claims, .. } = self;
        write!(
            f,
            "{whole} went on at once, {holes} had a hole with frames behind it ({explained} of them show that a loss \
             of power made it); of {damages} damages to intact logs {mistaken} look like that, and {mistaken_by_claims} to whom does not look into the hole"
        )
    }
}

/// The changes, syncs and acknowledgements of a run in which processes die and the machine does not.
#[must_use]
pub fn steps(seed: u64) -> Vec<Step> {
    let mut plan = Plan::draw(seed);
    plan.medium = Medium::Local;
    plan.machines = 1;
    plan.compaction = None;
    plan.calls = plan.calls.min(300);
    plan.faults = Faults { kill: plan.faults.kill, short: plan.faults.short, ..Faults::default() };
    if plan.roles.iter().all(|role| *role == Role::Reader) {
        plan.roles.push(Role::Writer);
    }
    run_with(&plan, None, Keep { steps: true, trace: false }).steps
}

/// Checks the crash images of a seed's run.
#[must_use]
pub fn check_seed(seed: u64) -> Tally {
    let mut draw = Draw::new(seed, 9);
    let mut tally = Tally::default();
    check_steps(&steps(seed), &mut draw, &mut tally);
    tally
}

/// Checks what a loss of power may leave after each step.
pub(crate) fn check_steps(steps: &[Step], draw: &mut Draw, tally: &mut Tally) {
    let mut durable = Vec::new();
    let mut pending: Vec<Change> = Vec::new();
    let mut bytes = Vec::new();
    let mut promised = 0;
    let mut attempts = BTreeSet::new();
    for (index, step) in steps.iter().enumerate() {
        match step {
            Step::Change(change) => {
                change.apply(&mut bytes);
                pending.push(change.clone());
            }
            Step::Sync => {
                durable.clone_from(&bytes);
                pending.clear();
            }
            Step::Ack { records, durable: true } => promised = promised.max(*records as usize),
            Step::Ack { .. } => continue,
            Step::Attempt(record) => {
                attempts.insert(record.as_slice());
                continue;
            }
        }
        let written: Vec<Vec<u8>> = parse(&bytes).records.iter().map(|record| record.to_vec()).collect();
        for survival in survivals(&durable, &pending, draw) {
            let image = survivors(&durable, &pending, survival);
            tally.images += 1;
            if let Err(why) = check_image(&image, &written, &attempts, promised, tally) {
                tally.failure.get_or_insert_with(|| format!("step {index}, {survival:?}: {why}"));
            }
        }
    }
    damage(&bytes, draw, tally);
}

/// What may survive: the whole kinds, every prefix of the changes, every cut of the last one at a sector and some
/// at other bytes, each sector missing, and sectors at random.
fn survivals(durable: &[u8], pending: &[Change], draw: &mut Draw) -> Vec<Survival> {
    let mut survivals = vec![Survival::Everything];
    let Some(last) = pending.last() else {
        return survivals;
    };
    survivals.extend([Survival::Nothing, Survival::Length]);
    survivals.extend((1..pending.len()).rev().take(6).map(|count| Survival::Prefix(count, 0)));
    if let Change::Write(offset, written) = last {
        let count = pending.len() - 1;
        let first = SECTOR_BYTES - offset % SECTOR_BYTES;
        survivals.extend((first..written.len()).step_by(SECTOR_BYTES).map(|cut| Survival::Prefix(count, cut)));
        survivals.extend([1, 23, 24, 25].map(|cut| Survival::Prefix(count, cut)));
        survivals.extend((0..6).map(|_| Survival::Prefix(count, draw.index(written.len() + 1))));
    }
    let sectors = changed_sectors(durable, pending);
    survivals.extend((0..sectors).rev().take(8).map(Survival::AllBut));
    survivals.extend((0..4 + sectors.min(12)).map(|_| Survival::Sectors(draw.next())));
    survivals
}

const PATH: &str = "/image";

fn open(bytes: &[u8]) -> (FakeOs, Result<FileJournal, Error>) {
    let os = FakeOs::new();
    os.put(PATH, bytes);
    let journal = FileJournal::open_on(Arc::new(os.process(1)), PATH, &Options::default());
    (os, journal)
}

/// All that is promised is there, nothing is that was not written, and the log can be gone on with.
fn check_image(
    image: &[u8],
    written: &[Vec<u8>],
    attempts: &BTreeSet<&[u8]>,
    promised: usize,
    tally: &mut Tally,
) -> Result<(), String> {
    let (os, journal) = open(image);
    let journal = match journal {
        Ok(journal) => journal,
        // A creator died before its first sync. Somebody has to look at that, but nothing is lost.
        Err(Error::NotALog { .. }) if promised == 0 => return Ok(()),
        Err(error) => return Err(format!("cannot be opened: {error}")),
    };
    let mut found = 0;
    let mut strange = false;
    let read = journal.read(Seq(0), &mut |_, record| {
        let expected = written.get(found).is_some_and(|written| written.as_slice() == record);
        // What a dead writer began and another cut off may be whole again if the other's bytes are lost.
        strange |= !expected && (found < promised || !attempts.contains(record));
        found += 1;
        ControlFlow::Continue(())
    });
    if strange {
        return Err(String::from("there are records that nobody wrote"));
    }
    if found < promised {
        return Err(format!("{found} records of {promised} that were promised: {read:?}"));
    }
    let verdict = |end: usize| judge_hole(image, end, found as u64);
    match (read, journal.set_aside()) {
        (Ok(_), None) => {}
        // Nothing is dropped: what was behind the hole is in a file of its own.
        (Ok(_), Some(aside)) => {
            let end = parse(&os.file(PATH).unwrap_or_default()).end;
            if verdict(end) != Hole::LostPower || os.file(aside).as_deref() != image.get(end..) {
                return Err(format!("what was behind byte {end} should not have been set aside, or not so"));
            }
            tally.holes += 1;
            tally.explained += 1;
        }
        (Err(Error::Corrupt { offset, detail, .. }), None) if detail.contains("a loss of power explains it") => {
            if verdict(offset as usize) == Hole::LostPower {
                return Err(format!("the hole at byte {offset} is explained, and nobody went on behind it"));
            }
            tally.holes += 1;
            return Ok(());
        }
        (Err(error), _) => return Err(error.to_string()),
    }
    let next = journal.append(&[b"next"], Durability::Power).map_err(|error| error.to_string())?;
    let kept = os.file(PATH).is_some_and(|bytes| parse(&bytes).records.len() == found + 1);
    if next.0 != found as u64 || !kept {
        return Err(format!("goes on at {next}, not at {found}"));
    }
    tally.whole += 1;
    Ok(())
}

/// Damages a log that has lost nothing, a bit or some bytes at a time, and counts how often that looks like a loss of
/// power: it never should, or acknowledged records could be set aside for it.
fn damage(bytes: &[u8], draw: &mut Draw, tally: &mut Tally) {
    let whole = parse(bytes);
    if whole.end <= 64 {
        return;
    }
    for round in 0..60 {
        let mut damaged = bytes.to_vec();
        let at = 64 + draw.index(whole.end - 64);
        match round % 3 {
            0 => damaged[at] ^= 1 << draw.below(8),
            1 => damaged[at..].iter_mut().take(8).for_each(|byte| *byte = draw.next() as u8),
            _ => damaged[at..whole.end].iter_mut().take(4).for_each(|byte| *byte = 0),
        }
        let left = parse(&damaged);
        if left.hole {
            tally.damages += 1;
            let verdict = judge_hole(&damaged, left.end, left.records.len() as u64);
            tally.mistaken += u64::from(verdict == Hole::LostPower);
            tally.mistaken_by_claims +=
                u64::from(judge_hole_by_claims(&damaged, left.end, left.records.len() as u64) == Hole::LostPower);
            let (os, journal) = open(&damaged);
            let cut = journal.is_ok_and(|journal| journal.append(&[b"next"], Durability::Power).is_ok());
            if verdict != Hole::LostPower && (cut || os.file(PATH).as_deref() != Some(&damaged)) {
                tally.failure.get_or_insert_with(|| format!("damage at byte {} was cut off", left.end));
            }
        }
    }
}
