//! What must hold whatever happened: acknowledged records are there once, nobody sees what nobody wrote, any two
//! histories agree, and equal histories make equal states.
//!
//! Logs are read by `chain.rs`. Of records that were folded only the snapshot is left: what it stands for is known here
//! from those who wrote it, and that the state in it is the fold of those records is checked like any other.

use super::chain::{self, Cut, Files};
use super::draw::hash;
use std::collections::BTreeMap;
use trialog_codec::decode_record;
use trialog_replay::{Digest, State};

/// What clients tried, were told and saw.
#[derive(Debug, Default)]
pub(crate) struct Oracle {
    /// What was tried, by hash.
    attempts: BTreeMap<u64, Vec<u8>>,
    /// The records that snapshots stand for, by the hash of a snapshot's bytes.
    snapshots: BTreeMap<u64, Vec<u64>>,
    acks: BTreeMap<u64, Ack>,
    /// What handles saw from the log's beginning on, since the last loss of power; handles that are closed, too.
    histories: Vec<History>,
    digests: Vec<(usize, u64, Digest, bool)>,
    violations: Vec<String>,
    /// How often bytes that others could see were lost.
    pub(crate) losses: u32,
    pub(crate) counts: Counts,
}

/// What a run came to, in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Calls to the operating system.
    pub calls: u64,
    /// Appends that were acknowledged, by records.
    pub acknowledged: u64,
    /// Of these, how many survive a loss of power.
    pub durable: u64,
    /// Errors that clients got.
    pub errors: u64,
    /// Deaths of processes.
    pub deaths: u64,
    /// Losses of power of the only machine.
    pub power_losses: u64,
    /// How often lost writes left a hole with frames behind it, so that nobody could go on writing.
    pub holes: u64,
    /// Of these, so many were explained by the rule, so that a writer had to go on by itself.
    pub set_aside: u64,
    /// How often a client took bytes for damaged that were only late.
    pub false_alarms: u64,
    /// Handles that had seen records which were then lost before anybody was promised them, and did not notice.
    pub phantoms: u64,
    /// Records in the log at the end.
    pub records: u64,
    /// Compactions that were done.
    pub compactions: u64,
    /// Of the records at the end, so many were folded.
    pub folded: u64,
    /// The numbers of the newest segments at the end, one run's after another's.
    pub segments: u64,
    /// Handles that compared their state with the log at the end.
    pub survivors: u64,
}

impl Counts {
    pub(crate) fn add(&mut self, other: &Counts) {
        self.calls += other.calls;
        self.acknowledged += other.acknowledged;
        self.durable += other.durable;
        self.errors += other.errors;
        self.deaths += other.deaths;
        self.power_losses += other.power_losses;
        self.holes += other.holes;
        self.set_aside += other.set_aside;
        self.false_alarms += other.false_alarms;
        self.phantoms += other.phantoms;
        self.records += other.records;
        self.compactions += other.compactions;
        self.folded += other.folded;
        self.segments += other.segments;
        self.survivors += other.survivors;
    }
}

#[derive(Clone, Copy, Debug)]
struct Ack {
    hash: u64,
    durable: bool,
}

#[derive(Debug)]
struct History {
    client: usize,
    /// What it saw, or was in the snapshot that it began with.
    records: Vec<u64>,
    /// What it saw may be gone: the server started again before it was told to keep that.
    tainted: bool,
    open: bool,
}

impl History {
    /// Whether all that it saw is in the log.
    fn agrees(&self, log: &[u64]) -> bool {
        log.starts_with(&self.records)
    }
}

/// A handle's place in the oracle.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Watch {
    index: usize,
    epoch: u64,
}

impl Oracle {
    pub(crate) fn violate(&mut self, what: impl Into<String>) {
        // The first ones say it; what follows from them does not.
        if self.violations.len() < 8 {
            self.violations.push(what.into());
        }
    }

    pub(crate) fn violations(&self) -> &[String] {
        &self.violations
    }

    pub(crate) fn watch(&mut self, client: usize) -> Watch {
        self.histories.push(History { client, records: Vec::new(), tainted: false, open: true });
        Watch { index: self.histories.len() - 1, epoch: self.counts.power_losses }
    }

    fn history(&mut self, watch: Watch) -> Option<&mut History> {
        // A loss of power ends all histories; handles that are still being torn down have none.
        if watch.epoch != self.counts.power_losses { None } else { self.histories.get_mut(watch.index) }
    }

    pub(crate) fn unwatch(&mut self, watch: Watch) {
        if let Some(history) = self.history(watch) {
            history.open = false;
        }
    }

    pub(crate) fn note_attempt(&mut self, record: &[u8]) {
        self.attempts.insert(hash(record), record.to_vec());
    }

    pub(crate) fn note_ack(&mut self, seq: u64, record: &[u8], durable: bool) {
        self.counts.acknowledged += 1;
        self.counts.durable += u64::from(durable);
        let ack = Ack { hash: hash(record), durable };
        if let Some(before) = self.acks.insert(seq, ack)
            && before.hash != ack.hash
        {
            self.violate(format!("two different records were acknowledged at {seq}"));
        }
    }

    pub(crate) fn note_seen(&mut self, watch: Watch, seq: u64, record: &[u8]) {
        let seen = hash(record);
        let Some(history) = self.history(watch) else {
            return;
        };
        let client = history.client;
        match history.records.get(seq as usize) {
            None if history.records.len() as u64 == seq => history.records.push(seen),
            None => self.violate(format!("client {client} was given record {seq} before an earlier one")),
            Some(&before) if before != seen => {
                self.violate(format!("client {client} was given two different records {seq}"));
            }
            Some(_) => {}
        }
    }

    /// A handle is about to write a snapshot of the first so many records that it saw.
    pub(crate) fn note_written(&mut self, watch: Watch, records: u64, bytes: &[u8]) {
        let Some(history) = self.history(watch) else {
            return;
        };
        if let Some(list) = history.records.get(..records as usize).map(<[u64]>::to_vec) {
            self.snapshots.insert(hash(bytes), list);
        }
    }

    /// A handle goes on from a snapshot, at its beginning or since what it had not seen yet was folded.
    pub(crate) fn note_snapshot(&mut self, watch: Watch, records: u64, bytes: &[u8]) {
        let list = self.snapshots.get(&hash(bytes)).cloned();
        let Some(history) = self.history(watch) else {
            return;
        };
        let client = history.client;
        let Some(list) = list.filter(|list| list.len() as u64 == records) else {
            self.violate(format!("client {client} was given a snapshot of {records} records that nobody wrote"));
            return;
        };
        let common = list.len().min(history.records.len());
        if list[..common] != history.records[..common] && !history.tainted {
            self.violate(format!("client {client} was given a snapshot of another history than it saw"));
        } else if list.len() >= history.records.len() {
            history.records = list;
        }
    }

    /// Forgets what a snapshot stood for that was no good: its handle begins anew.
    pub(crate) fn forget_snapshot(&mut self, watch: Watch) {
        if let Some(history) = self.history(watch) {
            history.records.clear();
        }
    }

    pub(crate) fn is_tainted(&mut self, watch: Watch) -> bool {
        self.history(watch).is_none_or(|history| history.tainted)
    }

    pub(crate) fn note_digest(&mut self, client: usize, records: u64, digest: Digest, tainted: bool) {
        self.counts.survivors += 1;
        self.digests.push((client, records, digest, tainted));
    }

    /// Bytes that were to be seen are gone though nobody was promised them: who saw them has no history any more.
    pub(crate) fn note_loss(&mut self, files: &Files, who: impl Fn(usize) -> bool) {
        self.losses += 1;
        let hashes = self.list(&chain::read(files));
        for history in &mut self.histories {
            history.tainted |= who(history.client) && !history.agrees(&hashes);
        }
    }

    /// The records of a log. What a snapshot stands for is known from who wrote it.
    fn list(&mut self, log: &chain::Log<'_>) -> Vec<u64> {
        let mut list = Vec::new();
        if let Some((records, bytes)) = &log.base {
            match self.snapshots.get(&hash(bytes)).filter(|list| list.len() as u64 == *records) {
                Some(known) => list.clone_from(known),
                None => {
                    self.violate(format!("the log begins with a snapshot of {records} records that nobody wrote"));
                }
            }
        }
        list.extend(log.records.iter().map(|record| hash(record)));
        if let Some(trouble) = &log.trouble {
            self.violate(trouble.clone());
        }
        for (records, bytes) in &log.snapshots {
            let known = self.snapshots.get(&hash(bytes));
            if known.is_none_or(|known| known.len() as u64 != *records || !list.starts_with(known)) {
                self.violate(format!(
                    "a segment begins with a snapshot of {records} records that are not the log's"
                ));
            }
        }
        list
    }

    /// The log has a hole that a lost write explains, and was cut there by hand: everything promised must be before it.
    pub(crate) fn judge_repair(&mut self, after: &Files) {
        self.counts.holes += 1;
        self.note_loss(after, |_| true);
        let left = self.list(&chain::read(after));
        let lost = |(seq, ack): (&u64, &Ack)| (left.get(*seq as usize) != Some(&ack.hash)).then_some(*seq);
        let lost: Vec<u64> = self.acks.iter().filter_map(lost).collect();
        if !lost.is_empty() {
            self.violate(format!("records {lost:?} were acknowledged and lie behind a hole"));
        }
    }

    /// Compares what all saw with the log as it was, and what was promised with what is left of it. Says where to cut the
    /// log, if it has a hole.
    pub(crate) fn judge_power_loss(&mut self, before: &Files, after: &Files) -> Option<Cut> {
        let all = self.list(&chain::read(before));
        self.judge(&all);
        self.counts.power_losses += 1;
        self.histories.clear();
        let log = chain::read(after);
        let left = self.list(&log);
        // Not: a prefix of what was there. A record that an earlier loss of power tore may be whole again by a later one,
        // if what tore it away comes back and what was written in its place does not.
        let strange = left.iter().filter(|hash| !self.attempts.contains_key(hash)).count();
        if strange > 0 {
            self.violate(format!("after a loss of power there are {strange} records that nobody wrote"));
        }
        let mut lost = Vec::new();
        self.acks.retain(|&seq, ack| {
            let kept = left.get(seq as usize) == Some(&ack.hash);
            if !kept && ack.durable {
                lost.push(seq);
            }
            kept
        });
        if !lost.is_empty() {
            self.violate(format!("a loss of power took records {lost:?}, which were promised to survive it"));
        }
        if log.hole {
            self.counts.holes += 1;
            return Some(Cut { number: log.newest, end: log.end });
        }
        None
    }

    /// Compares what all saw and were told with the log.
    fn judge(&mut self, hashes: &[u64]) {
        let mut found = Vec::new();
        for (seq, hash) in hashes.iter().enumerate() {
            if !self.attempts.contains_key(hash) {
                found.push(format!("nobody wrote record {seq}"));
            }
        }
        let mut places: BTreeMap<u64, u32> = BTreeMap::new();
        for &hash in hashes {
            *places.entry(hash).or_default() += 1;
        }
        for (&seq, ack) in &self.acks {
            if hashes.get(seq as usize) != Some(&ack.hash) {
                found.push(format!("record {seq} was acknowledged and is not there"));
            } else if places.get(&ack.hash) != Some(&1) {
                found.push(format!("record {seq} is there more than once"));
            }
        }
        for history in self.histories.iter().filter(|history| !history.tainted) {
            if !history.agrees(hashes) {
                let History { client, records, .. } = history;
                found.push(format!("client {client} saw {} records that are not all the log's", records.len()));
            }
        }
        for what in found {
            self.violate(what);
        }
    }

    /// Everything at the end of a run.
    pub(crate) fn judge_end(&mut self, files: &Files) {
        let log = chain::read(files);
        let list = self.list(&log);
        self.counts.records = list.len() as u64;
        self.counts.folded += log.base.as_ref().map_or(0, |(records, _)| *records);
        self.counts.segments += log.newest;
        if log.hole {
            self.violate(format!("the log is damaged at byte {} of segment {}", log.end, log.newest));
        }
        self.judge(&list);
        let mut state = State::new();
        let mut digests = vec![state.digest()];
        let bodies: Vec<Vec<u8>> =
            list.iter().map(|hash| self.attempts.get(hash).cloned().unwrap_or_default()).collect();
        for (seq, bytes) in bodies.iter().enumerate() {
            match decode_record(bytes) {
                Ok(record) => state.apply(&record, &mut Vec::new()),
                Err(error) => self.violate(format!("record {seq} makes no sense: {error}")),
            }
            // Only the last states are asked for.
            let asked = self.digests.iter().any(|(_, records, ..)| *records == seq as u64 + 1);
            digests.push(if asked { state.digest() } else { digests[0] });
        }
        for (client, records, digest, tainted) in std::mem::take(&mut self.digests) {
            let agrees = digests.get(records as usize) == Some(&digest) && records == list.len() as u64;
            if tainted {
                self.counts.phantoms += u64::from(!agrees);
                continue;
            }
            if digests.get(records as usize) != Some(&digest) {
                self.violate(format!("client {client} is in another state than the fold of {records} records"));
            }
            if records < list.len() as u64 {
                let all = list.len();
                self.violate(format!(
                    "client {client} knows {records} records of {all}, long after the last was written"
                ));
            }
        }
    }
}
