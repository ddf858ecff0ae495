//! Threads of one handle that append at the same time: one of them does the work of all that came meanwhile,
//! one lock round for their records, one sync for their durability.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use trialog_journal::Error;
use trialog_journal::frame::{self, KIND_RECORD};

/// A buffer that grew beyond this is not kept.
const SPARE_BYTES_MAX: usize = 4 << 20;

/// Collects the records of a round while the round before is being written.
#[derive(Debug, Default)]
pub(crate) struct Group {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// The number of the round that is being collected.
    round: u64,
    /// Its frames, without their place in the log.
    frames: Vec<u8>,
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
    /// Appends `records` in one round with those of other threads: `commit` gets the frames of all and returns
    /// the position of the first, this returns the position of the first of ours.
    pub(crate) fn run(
        &self,
        records: &[&[u8]],
        commit: impl FnOnce(&mut [u8]) -> Result<u64, Error>,
    ) -> Result<u64, Error> {
        let mut state = self.state();
        for record in records {
            frame::push_unsealed(&mut state.frames, KIND_RECORD, record);
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
        state.records = 0;
        let followers = std::mem::take(&mut state.threads) - 1;
        let spare = std::mem::take(&mut state.spare);
        let mut frames = std::mem::replace(&mut state.frames, spare);
        drop(state);

        let result = commit(&mut frames);

        let mut state = self.state();
        state.leading = false;
        if frames.capacity() <= SPARE_BYTES_MAX {
            frames.clear();
            state.spare = frames;
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

    /// Forgets all threads but the calling one.
    pub(crate) fn reset(&self) {
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

/// Syncs of one file, which make durable whatever was written before they began, whoever wrote it.
#[derive(Debug, Default)]
pub(crate) struct Syncs {
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
    pub(crate) fn run(&self, records: u64, sync: impl FnOnce() -> Result<u64, Error>) -> Result<(), Error> {
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

    /// Forgets all threads but the calling one.
    pub(crate) fn reset(&self) {
        *self.state() = SyncState::default();
    }

    fn state(&self) -> MutexGuard<'_, SyncState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
