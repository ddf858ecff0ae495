//! Threads of one handle that append or sync at the same time: one of them does the work of all that came meanwhile.
//! For media that take a batch as one piece of bytes; what a batch looks like there is their concern.

use crate::Error;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// A buffer that grew beyond this is not kept.
const SPARE_BYTES_MAX: usize = 4 << 20;

/// Adds a record to a batch: its length as a LEB128 number, and its bytes.
pub fn push_record(batch: &mut Vec<u8>, record: &[u8]) {
    let mut rest = record.len();
    while rest >= 0x80 {
        batch.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    batch.push(rest as u8);
    batch.extend_from_slice(record);
}

/// Takes the first record off a batch: its bytes, and what follows. `None` if the batch does not begin with a whole
/// record of a length that a journal takes.
#[must_use]
pub fn split_record(batch: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut length = 0_usize;
    for (i, &byte) in batch.iter().take(4).enumerate() {
        length |= usize::from(byte & 0x7f) << (7 * i);
        if byte < 0x80 {
            let rest = &batch[i + 1..];
            let canonical = i == 0 || byte != 0;
            return (canonical && length <= crate::RECORD_BYTES_MAX && length <= rest.len())
                .then(|| rest.split_at(length));
        }
    }
    None
}

/// How many records a batch has, if it is nothing but whole records.
#[must_use]
pub fn count_records(mut batch: &[u8]) -> Option<u64> {
    let mut count = 0;
    while !batch.is_empty() {
        batch = split_record(batch)?.1;
        count += 1;
    }
    Some(count)
}

/// Collects the records of a round while the round before is being written.
#[derive(Debug, Default)]
pub struct Group {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// The number of the round that is being collected.
    round: u64,
    batch: Vec<u8>,
    records: u64,
    threads: usize,
    /// Whether some thread is writing an earlier round.
    leading: bool,
    /// What became of rounds whose followers have not all looked yet.
    outcomes: Vec<Outcome>,
    spare: Vec<u8>,
}

#[derive(Debug)]
struct Outcome {
    round: u64,
    followers: usize,
    result: Result<u64, Error>,
}

impl Group {
    /// Appends `records` in one round with those of other threads: `commit` gets the batch of all of them and how many
    /// records it has, and returns the position of the first; this returns the position of the first of ours.
    ///
    /// # Errors
    /// What `commit` says, to all threads of the round.
    pub fn run(
        &self,
        records: &[&[u8]],
        commit: impl FnOnce(&[u8], u64) -> Result<u64, Error>,
    ) -> Result<u64, Error> {
        self.run_with(records, push_record, |batch, count| commit(batch, count))
    }

    /// As [`Group::run`], for a medium whose batches look otherwise: `push` adds a record to one, the same way for all threads
    /// of a group, and `commit` may still change it.
    ///
    /// # Errors
    /// As [`Group::run`].
    pub fn run_with(
        &self,
        records: &[&[u8]],
        push: impl Fn(&mut Vec<u8>, &[u8]),
        commit: impl FnOnce(&mut [u8], u64) -> Result<u64, Error>,
    ) -> Result<u64, Error> {
        let mut state = self.state();
        for record in records {
            push(&mut state.batch, record);
        }
        let (round, before) = (state.round, state.records);
        state.records += records.len() as u64;
        state.threads += 1;
        while state.leading {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            if let Some(result) = state.take_outcome(round) {
                return result.map(|first| first + before);
            }
        }
        state.leading = true;
        state.round += 1;
        let count = std::mem::take(&mut state.records);
        let followers = std::mem::take(&mut state.threads) - 1;
        let spare = std::mem::take(&mut state.spare);
        let mut batch = std::mem::replace(&mut state.batch, spare);
        drop(state);

        let result = commit(&mut batch, count);

        let mut state = self.state();
        state.leading = false;
        if batch.capacity() <= SPARE_BYTES_MAX {
            batch.clear();
            state.spare = batch;
        }
        if followers > 0 {
            let result = result.as_ref().map(|&first| first).map_err(Error::duplicate);
            state.outcomes.push(Outcome { round, followers, result });
        }
        let wake = followers > 0 || state.threads > 0;
        drop(state);
        if wake {
            self.changed.notify_all();
        }
        result.map(|first| first + before)
    }

    /// Forgets all threads but the calling one: for a forked child.
    pub fn reset(&self) {
        *self.state() = State::default();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn take_outcome(&mut self, round: u64) -> Option<Result<u64, Error>> {
        let at = self.outcomes.iter().position(|outcome| outcome.round == round)?;
        let outcome = &mut self.outcomes[at];
        outcome.followers -= 1;
        if outcome.followers == 0 {
            return Some(self.outcomes.swap_remove(at).result);
        }
        Some(outcome.result.as_ref().map(|&first| first).map_err(Error::duplicate))
    }
}

/// Syncs of one log, which make durable whatever was written before they began, whoever wrote it.
#[derive(Debug, Default)]
pub struct Syncs {
    state: Mutex<SyncState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct SyncState {
    /// How many records are durable.
    synced: u64,
    syncing: bool,
    /// Threads that wait for a sync that another one does: waking nobody costs a system call, too.
    waiting: usize,
}

impl Syncs {
    /// Returns once `records` records are durable; `sync` makes some number of them so and says how many.
    ///
    /// # Errors
    /// What `sync` says.
    pub fn run(&self, records: u64, sync: impl FnOnce() -> Result<u64, Error>) -> Result<(), Error> {
        let mut state = self.state();
        while state.syncing && state.synced < records {
            state.waiting += 1;
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.waiting -= 1;
        }
        if state.synced >= records {
            return Ok(());
        }
        state.syncing = true;
        drop(state);

        let result = sync();

        let mut state = self.state();
        state.syncing = false;
        if let Ok(synced) = result {
            state.synced = state.synced.max(synced);
        }
        let wake = state.waiting > 0;
        drop(state);
        if wake {
            self.changed.notify_all();
        }
        result.map(drop)
    }

    /// Forgets all threads but the calling one: for a forked child.
    pub fn reset(&self) {
        *self.state() = SyncState::default();
    }

    fn state(&self) -> MutexGuard<'_, SyncState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_comes_apart_as_it_was_put_together() {
        let records: Vec<Vec<u8>> = [0, 1, 127, 128, 16_383, 16_384, 3_000_000].map(|n| vec![7; n]).to_vec();
        let mut batch = Vec::new();
        records.iter().for_each(|record| push_record(&mut batch, record));
        assert_eq!(count_records(&batch), Some(records.len() as u64));
        let mut rest = batch.as_slice();
        for record in &records {
            let (found, after) = split_record(rest).expect("it is whole");
            assert_eq!(found, record);
            rest = after;
        }
    }

    #[test]
    fn what_is_no_batch_is_none() {
        for bad in [&[5, 1][..], &[0x80], &[0x80, 0], &[0xff, 0xff, 0xff, 0xff, 1], &[1]] {
            assert_eq!(count_records(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_thread_alone_gets_its_position() {
        let group = Group::default();
        let seq = group.run(&[b"a", b"b"], |batch, count| {
            assert_eq!((batch, count), (&b"\x01a\x01b"[..], 2));
            Ok(7)
        });
        assert_eq!(seq.ok(), Some(7));
    }
}
