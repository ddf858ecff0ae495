//! Who runs which trials: workers, their leases and their progress, and the lost trials whose owners may still come
//! back. No clock is read here; that somebody waited for too long is data in an op.

use std::collections::{BTreeMap, BTreeSet};

use trialog_ops::{TrialId, WorkerId, WorkerKey};

use crate::verdict::Reason;

/// What the log knows of one worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Worker {
    /// Its id: the first 12 bytes of those of its sessions.
    pub id: WorkerId,
    /// Its lease in milliseconds; 0 if it has none, and then it is never declared lost.
    pub lease_ms: u64,
    /// The position in the log of its last record.
    pub last: u64,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Workers {
    pub(crate) list: Vec<Worker>,
    keys: BTreeMap<WorkerId, WorkerKey>,
    /// The owners of running trials. A trial that was added as running has none.
    owners: BTreeMap<TrialId, WorkerKey>,
    /// The same by owner; nobody is there without a trial.
    busy: BTreeMap<WorkerKey, BTreeSet<TrialId>>,
    /// Trials that were declared lost and whose end was not told since.
    lost: BTreeSet<TrialId>,
    /// Attempts at one thing in their order, by the first: at most [`RETRIES_MAX`](trialog_ops::RETRIES_MAX) after it.
    attempts: BTreeMap<TrialId, Vec<TrialId>>,
    /// The first attempt of each further one.
    first_of: BTreeMap<TrialId, TrialId>,
}

impl Workers {
    pub(crate) fn key(&self, id: &WorkerId) -> Option<WorkerKey> {
        self.keys.get(id).copied()
    }

    pub(crate) fn get(&self, key: WorkerKey) -> Option<&Worker> {
        self.list.get(key.0 as usize)
    }

    /// The worker of a new session: known by now, or new itself.
    pub(crate) fn meet(&mut self, id: WorkerId) -> Result<WorkerKey, Reason> {
        if let Some(key) = self.key(&id) {
            return Ok(key);
        }
        let key = WorkerKey(u32::try_from(self.list.len()).map_err(|_| Reason::Full)?);
        self.list.push(Worker { id, lease_ms: 0, last: 0 });
        self.keys.insert(id, key);
        Ok(key)
    }

    pub(crate) fn progress(&mut self, key: WorkerKey, position: u64) {
        if let Some(worker) = self.list.get_mut(key.0 as usize) {
            worker.last = position;
        }
    }

    pub(crate) fn renew(&mut self, key: WorkerKey, lease_ms: u64) {
        if let Some(worker) = self.list.get_mut(key.0 as usize) {
            worker.lease_ms = lease_ms;
        }
    }

    /// The trial begins to run for this worker.
    pub(crate) fn begin(&mut self, trial: TrialId, worker: WorkerKey) {
        self.owners.insert(trial, worker);
        self.busy.entry(worker).or_default().insert(trial);
    }

    /// The trial runs no longer, if it did.
    pub(crate) fn end(&mut self, trial: TrialId) {
        let Some(worker) = self.owners.remove(&trial) else { return };
        if let Some(trials) = self.busy.get_mut(&worker) {
            trials.remove(&trial);
            if trials.is_empty() {
                self.busy.remove(&worker);
            }
        }
    }

    pub(crate) fn owner(&self, trial: TrialId) -> Option<WorkerKey> {
        self.owners.get(&trial).copied()
    }

    /// Running trials and their owners, by trial.
    pub(crate) fn owners(&self) -> impl ExactSizeIterator<Item = (TrialId, WorkerKey)> + Clone {
        self.owners.iter().map(|(trial, worker)| (*trial, *worker))
    }

    /// The workers that run trials, and which.
    pub(crate) fn busy(&self) -> impl Iterator<Item = (WorkerKey, &BTreeSet<TrialId>)> {
        self.busy.iter().map(|(key, trials)| (*key, trials))
    }

    /// The running trials of a worker.
    pub(crate) fn running(&self, worker: WorkerKey) -> impl Iterator<Item = TrialId> {
        self.busy.get(&worker).into_iter().flatten().copied()
    }

    /// The running trials of a worker that the condition of a declaration lets go; none of them runs afterwards.
    pub(crate) fn declare_lost(&mut self, key: WorkerKey, seen: u64) -> Result<BTreeSet<TrialId>, Reason> {
        let worker = self.get(key).ok_or(Reason::NoWorker { worker: key })?;
        if worker.lease_ms == 0 {
            return Err(Reason::NoLease { worker: key });
        }
        if worker.last != seen {
            return Err(Reason::Progress { worker: key, last: worker.last });
        }
        let trials = self.busy.remove(&key).ok_or(Reason::Idle { worker: key })?;
        trials.iter().for_each(|trial| _ = self.owners.remove(trial));
        Ok(trials)
    }

    pub(crate) fn lose(&mut self, trial: TrialId) {
        self.lost.insert(trial);
    }

    /// Lost trials whose end may still be told, in order.
    pub(crate) fn lost(&self) -> impl ExactSizeIterator<Item = TrialId> + Clone {
        self.lost.iter().copied()
    }

    /// True if the trial was lost and its end may still be told.
    pub(crate) fn is_lost(&self, trial: TrialId) -> bool {
        self.lost.contains(&trial)
    }

    /// Nothing more is expected of a lost trial.
    pub(crate) fn settle(&mut self, trial: TrialId) {
        self.lost.remove(&trial);
    }

    /// All attempts that the trial is one of, in order; none if there is no other.
    pub(crate) fn attempts_with(&self, trial: TrialId) -> &[TrialId] {
        let first = self.first_of.get(&trial).copied().unwrap_or(trial);
        self.attempts.get(&first).map_or(&[], Vec::as_slice)
    }

    /// All groups of attempts, by the first of each.
    pub(crate) fn attempts(&self) -> impl ExactSizeIterator<Item = &[TrialId]> + Clone {
        self.attempts.values().map(Vec::as_slice)
    }

    /// The trial `next` tries again what `trial` did not finish.
    pub(crate) fn retry(&mut self, trial: TrialId, next: TrialId) {
        let first = self.first_of.get(&trial).copied().unwrap_or(trial);
        self.attempts.entry(first).or_insert_with(|| vec![first]).push(next);
        self.first_of.insert(next, first);
    }

    /// The trial's study is deleted.
    pub(crate) fn forget(&mut self, trial: TrialId) {
        self.end(trial);
        self.lost.remove(&trial);
        self.attempts.remove(&trial);
        self.first_of.remove(&trial);
    }
}
