//! What must hold whatever happened: acknowledged records are there once, nobody sees what nobody wrote, any two
//! histories agree, and equal histories make equal states.
//!
//! It parses logs with a reader of its own, written from `docs/format.md` alone, so that one mistake cannot hide another.

use super::draw::hash;
use std::collections::{BTreeMap, BTreeSet};
use trialog_codec::decode_record;
use trialog_replay::{Digest, State};

/// What clients tried, were told and saw.
#[derive(Debug, Default)]
pub(crate) struct Oracle {
    attempts: BTreeSet<u64>,
    acks: BTreeMap<u64, Ack>,
    /// What handles saw from the log's beginning on, since the last loss of power; handles that are closed, too.
    histories: Vec<History>,
    digests: Vec<(usize, u64, Digest, bool)>,
    violations: Vec<String>,
    /// How often bytes that others could see were lost.
    pub(crate) losses: u32,
    /// How many local syncs failed: handles opened later may believe bytes that were never stored.
    failed_syncs: u32,
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
    /// How often a client took bytes for damaged that were only late.
    pub false_alarms: u64,
    /// Handles that had seen records which were then lost before anybody was promised them, and did not notice.
    pub phantoms: u64,
    /// Records in the log at the end.
    pub records: u64,
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
        self.false_alarms += other.false_alarms;
        self.phantoms += other.phantoms;
        self.records += other.records;
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
    /// The first record that it saw; those before it were in a snapshot.
    start: u64,
    records: Vec<u64>,
    /// What it saw may be gone: the server started again before it was told to keep that.
    tainted: bool,
    open: bool,
}

impl History {
    /// Whether all that it saw is in the log.
    fn agrees(&self, log: &[u64]) -> bool {
        log.get(self.start as usize..).is_some_and(|log| log.starts_with(&self.records))
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
        self.histories.push(History { client, start: 0, records: Vec::new(), tainted: false, open: true });
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
        self.attempts.insert(hash(record));
    }

    pub(crate) fn note_ack(&mut self, seq: u64, record: &[u8], durable: bool) {
        self.counts.acknowledged += 1;
        self.counts.durable += u64::from(durable);
        // After a failed sync whoever opens the file sees bytes that the disk will never have, and may build on them.
        // That nothing is promised then until the machine has started again is what docs/guarantees.md assumes.
        let durable = durable && self.failed_syncs == 0;
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
        if history.records.is_empty() && seq == 0 {
            // The snapshot that was loaded was no good.
            history.start = 0;
        }
        // What is asked for from before a snapshot is not followed.
        let Some(index) = seq.checked_sub(history.start) else {
            return;
        };
        match history.records.get(index as usize) {
            None if history.records.len() as u64 == index => history.records.push(seen),
            None => self.violate(format!("client {client} was given record {seq} before an earlier one")),
            Some(&before) if before != seen => {
                self.violate(format!("client {client} was given two different records {seq}"));
            }
            Some(_) => {}
        }
    }

    /// A handle begins with a snapshot of the first `records` records.
    pub(crate) fn note_snapshot(&mut self, watch: Watch, records: u64) {
        if let Some(history) = self.history(watch) {
            history.start = records;
        }
    }

    pub(crate) fn is_tainted(&mut self, watch: Watch) -> bool {
        self.history(watch).is_none_or(|history| history.tainted)
    }

    pub(crate) fn note_digest(&mut self, client: usize, records: u64, digest: Digest, tainted: bool) {
        self.counts.survivors += 1;
        self.digests.push((client, records, digest, tainted));
    }

    pub(crate) fn note_failed_sync(&mut self) {
        self.failed_syncs += 1;
    }

    /// Bytes that were to be seen are gone though nobody was promised them: who saw them has no history any more.
    pub(crate) fn note_loss(&mut self, bytes: &[u8], who: impl Fn(usize) -> bool) {
        self.losses += 1;
        let log = parse(bytes).records;
        let hashes: Vec<u64> = log.iter().map(|record| hash(record)).collect();
        for history in &mut self.histories {
            history.tainted |= who(history.client) && !history.agrees(&hashes);
        }
    }

    /// The log has a hole that a lost write explains, and was cut there by hand: everything promised must be before it.
    pub(crate) fn judge_repair(&mut self, after: &[u8]) {
        self.counts.holes += 1;
        self.note_loss(after, |_| true);
        let left = parse(after).records;
        let lost = |(seq, ack): (&u64, &Ack)| {
            let there = left.get(*seq as usize).is_some_and(|record| hash(record) == ack.hash);
            (!there).then_some(*seq)
        };
        let lost: Vec<u64> = self.acks.iter().filter_map(lost).collect();
        if !lost.is_empty() {
            self.violate(format!("records {lost:?} were acknowledged and lie behind a hole"));
        }
    }

    /// Compares what all saw with the log as it was, and what was promised with what is left of it. Returns the log
    /// without what follows a hole, if it has one.
    pub(crate) fn judge_power_loss(&mut self, before: &[u8], after: &[u8]) -> Option<Vec<u8>> {
        let all = parse(before);
        self.judge(&all.records);
        self.counts.power_losses += 1;
        self.histories.clear();
        let untold = std::mem::take(&mut self.failed_syncs) > 0;
        let left = parse(after);
        // Not: a prefix of what was there. A record that an earlier loss of power tore may be whole again by a later one,
        // if what tore it away comes back and what was written in its place does not.
        let strange = left.records.iter().filter(|record| !self.attempts.contains(&hash(record))).count();
        if strange > 0 {
            self.violate(format!("after a loss of power there are {strange} records that nobody wrote"));
        }
        let mut lost = Vec::new();
        self.acks.retain(|&seq, ack| {
            let kept = left.records.get(seq as usize).is_some_and(|record| hash(record) == ack.hash);
            if !kept && ack.durable {
                lost.push(seq);
            }
            kept
        });
        if !lost.is_empty() {
            self.violate(format!("a loss of power took records {lost:?}, which were promised to survive it"));
        }
        // After a failed sync even the header may be one that the disk never had.
        let headless = left.end == 0 && untold;
        if left.hole || headless {
            self.counts.holes += 1;
            return Some(after[..left.end].to_vec());
        }
        None
    }

    /// Compares what all saw and were told with the log.
    fn judge<R: AsRef<[u8]>>(&mut self, log: &[R]) {
        let hashes: Vec<u64> = log.iter().map(|record| hash(record.as_ref())).collect();
        let mut found = Vec::new();
        for (seq, hash) in hashes.iter().enumerate() {
            if !self.attempts.contains(hash) {
                found.push(format!("nobody wrote record {seq}"));
            }
        }
        let mut places: BTreeMap<u64, u32> = BTreeMap::new();
        for &hash in &hashes {
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
            if !history.agrees(&hashes) {
                let History { client, start, records, .. } = history;
                found.push(format!(
                    "client {client} saw {} records from {start} on that are not all the log's",
                    records.len()
                ));
            }
        }
        for what in found {
            self.violate(what);
        }
    }

    /// Everything at the end of a run.
    pub(crate) fn judge_end(&mut self, bytes: &[u8]) {
        let log = parse(bytes);
        self.counts.records = log.records.len() as u64;
        if log.hole {
            self.violate(format!("the log is damaged at byte {}", log.end));
        }
        self.judge(&log.records);
        let mut state = State::new();
        let mut digests = vec![state.digest()];
        for (seq, bytes) in log.records.iter().enumerate() {
            match decode_record(bytes) {
                Ok(record) => state.apply(&record, &mut Vec::new()),
                Err(error) => self.violate(format!("record {seq} makes no sense: {error}")),
            }
            // Only the last states are asked for.
            let asked = self.digests.iter().any(|(_, records, ..)| *records == seq as u64 + 1);
            digests.push(if asked { state.digest() } else { digests[0] });
        }
        for (client, records, digest, tainted) in std::mem::take(&mut self.digests) {
            let agrees = digests.get(records as usize) == Some(&digest) && records == log.records.len() as u64;
            if tainted {
                self.counts.phantoms += u64::from(!agrees);
                continue;
            }
            if digests.get(records as usize) != Some(&digest) {
                self.violate(format!("client {client} is in another state than the fold of {records} records"));
            }
            if records < log.records.len() as u64 {
                let all = log.records.len();
                self.violate(format!(
                    "client {client} knows {records} records of {all}, long after the last was written"
                ));
            }
        }
    }
}

/// A log as its bytes have it.
pub(crate) struct Parsed<'a> {
    pub(crate) records: Vec<&'a [u8]>,
    /// Where the last frame ends.
    pub(crate) end: usize,
    /// Whether a frame follows that does not belong there.
    pub(crate) hole: bool,
}

/// Where the log ends, if frames follow behind that.
pub(crate) fn end_before_hole(bytes: &[u8]) -> Option<usize> {
    let parsed = parse(bytes);
    parsed.hole.then_some(parsed.end)
}

const HEADER_BYTES: usize = 64;
const FRAME_BYTES: usize = 24;

/// Reads a log as its format's description says, and no faster.
pub(crate) fn parse(bytes: &[u8]) -> Parsed<'_> {
    let mut parsed = Parsed { records: Vec::new(), end: 0, hole: false };
    let magic = [0x94, 0x54, 0x4c, 0x4f, 0x47, 0x0d, 0x0a, 0x1a];
    if bytes.len() < HEADER_BYTES || bytes[..8] != magic || crc(&bytes[..60]) != u32_at(bytes, 60) {
        return parsed;
    }
    parsed.end = HEADER_BYTES;
    let mut prev = u32_at(bytes, 60);
    while let Some((seq, link, kind, payload)) = frame(&bytes[parsed.end..]) {
        if seq != parsed.records.len() as u64 || link != prev {
            parsed.hole = true;
            return parsed;
        }
        prev = u32_at(bytes, parsed.end);
        parsed.end += FRAME_BYTES + payload.len();
        if kind == 1 {
            parsed.records.push(payload);
        }
    }
    let known = parsed.records.len() as u64;
    parsed.hole = (parsed.end + 1..bytes.len()).any(|at| {
        // The cheap half of the rule first.
        let room = ((at - parsed.end) / FRAME_BYTES) as u64;
        let near = bytes.get(at + 8..at + 16).is_some_and(|seq| {
            let seq = u64::from_le_bytes(seq.try_into().expect("eight bytes"));
            seq >= known && seq - known <= room
        });
        near && frame(&bytes[at..]).is_some()
    });
    parsed
}

/// The frame at the beginning, if one is valid in itself: its seq, what it continues, its kind and payload.
fn frame(bytes: &[u8]) -> Option<(u64, u32, u8, &[u8])> {
    let header = bytes.get(..FRAME_BYTES)?;
    let length = (u32_at(header, 4) & 0x00ff_ffff) as usize;
    let body = bytes.get(4..FRAME_BYTES + length)?;
    let valid = header[7] != 0 && crc(body) == u32_at(header, 0);
    let seq = u64::from_le_bytes(header[8..16].try_into().expect("eight bytes"));
    valid.then(|| (seq, u32_at(header, 16), header[7], &bytes[FRAME_BYTES..FRAME_BYTES + length]))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

const CRC_TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let mut value = index as u32;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 == 1 { value >> 1 ^ 0xedb8_8320 } else { value >> 1 };
            bit += 1;
        }
        table[index] = value;
        index += 1;
    }
    table
};

fn crc(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, &byte| crc >> 8 ^ CRC_TABLE[((crc ^ u32::from(byte)) & 0xff) as usize])
}

#[cfg(test)]
mod tests {
    use super::crc;

    #[test]
    fn the_checksum_is_that_of_zip() {
        assert_eq!(crc(b"123456789"), 0xcbf4_3926);
    }
}
