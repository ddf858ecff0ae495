//! Leases: a process that runs trials says in the log that it is alive, and watches whether others still are. What
//! follows from silence is decided by the log; only how long it lasted is measured here, by a clock that never jumps.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use trialog_journal::Durability;
use trialog_ops::{Op, StudyId, WorkerId, WorkerKey};
use trialog_replay::{State, Verdict};
use trialog_storage::Storage;

use crate::study::now;

/// The shortest lease: below, an ordinary pause of the scheduler would look like death.
pub(crate) const LEASE_MIN: Duration = Duration::from_millis(100);

/// A worker that has appended nothing for its lease divided by this says that it is alive.
const RENEWALS: u32 = 3;

/// Looks at everybody's progress per lease.
const LOOKS: u32 = 12;

/// One handle's part in the game: its own lease, and what it has seen of others.
pub(crate) struct Leases {
    storage: Arc<Storage>,
    lease: Duration,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    watch: Mutex<Watch>,
    /// The process whose thread looks regularly, or 0; a forked child has none.
    thread_of: AtomicU32,
    /// True if the handle is gone and the thread is to end.
    ended: Mutex<bool>,
    wake: Condvar,
}

/// What is remembered from one look to the next.
#[derive(Default)]
struct Watch {
    looked: Option<Instant>,
    others: BTreeMap<WorkerKey, Silence>,
    own: Silence,
}

/// For how long a worker's last record has been its last.
#[derive(Clone, Copy, Default)]
struct Silence {
    last: u64,
    lasted: Duration,
}

impl Silence {
    /// Counts the time since the look before, or begins anew if there was progress.
    fn observe(&mut self, last: u64, passed: Duration) {
        if self.last == last {
            self.lasted = self.lasted.saturating_add(passed);
        } else {
            *self = Silence { last, lasted: Duration::ZERO };
        }
    }
}

impl Leases {
    pub(crate) fn new(storage: Arc<Storage>, lease: Duration) -> Leases {
        Leases { storage, lease: lease.max(LEASE_MIN), shared: Arc::default() }
    }

    /// What must stand in the record with which a trial begins: the lease, unless the log has it. From here on
    /// somebody looks regularly.
    pub(crate) fn opening(&self) -> Option<Op> {
        let lease_ms = millis(self.lease);
        if self.look_regularly() {
            return Some(Op::RenewLease { lease_ms });
        }
        let own = self.storage.worker().ok()?;
        let known = self.storage.with_state(|state| {
            let worker = state.worker_key(&own).and_then(|key| state.worker(key));
            worker.is_some_and(|worker| worker.lease_ms == lease_ms)
        });
        (!known).then_some(Op::RenewLease { lease_ms })
    }

    /// Declares those lost that are silent for too long. For whoever is about to ask for a trial, and has just
    /// refreshed.
    pub(crate) fn observe(&self) {
        // Somebody looks right now, and may be waiting for the log.
        let Ok(mut watch) = self.shared.watch.try_lock() else { return };
        // The thread looks as well; this is for processes whose trials are too short for it.
        let pause = self.lease / LOOKS;
        if watch.looked.is_some_and(|at| at.elapsed() < pause) {
            return;
        }
        if let Ok(own) = self.storage.worker() {
            look(&self.storage, own, self.lease, &mut watch);
        }
    }

    /// True if some trial of the study runs with a lease: it will end, or be declared lost.
    pub(crate) fn is_any_running(&self, study: StudyId) -> bool {
        self.storage.with_state(|state| {
            let mut leased = state.leased_workers().flat_map(|(key, _)| state.running_trials(key));
            leased.any(|trial| state.trial(trial).is_some_and(|(of, _)| of == study))
        })
    }

    /// Starts the thread. True if this process had none, be it that it asks for the first time, or that it was forked
    /// from one that had: then the log does not know it yet.
    fn look_regularly(&self) -> bool {
        let process = std::process::id();
        if self.shared.thread_of.swap(process, Ordering::Relaxed) == process {
            return false;
        }
        let (storage, shared, lease) = (Arc::downgrade(&self.storage), Arc::clone(&self.shared), self.lease);
        let thread = std::thread::Builder::new().name("trialog-lease".to_owned());
        if let Err(error) = thread.spawn(move || run(&storage, &shared, lease)) {
            // The trial can run all the same, and the next one tries again.
            self.shared.thread_of.store(0, Ordering::Relaxed);
            tracing::warn!("no thread to renew the lease with: {error}");
        }
        true
    }
}

impl Drop for Leases {
    fn drop(&mut self) {
        *lock(&self.shared.ended) = true;
        self.shared.wake.notify_all();
    }
}

/// Looks regularly, as long as the handle lives.
fn run(storage: &Weak<Storage>, shared: &Shared, lease: Duration) {
    let mut ended = lock(&shared.ended);
    while !*ended {
        let waited = shared.wake.wait_timeout(ended, lease / LOOKS);
        drop(waited);
        let Some(storage) = storage.upgrade() else { return };
        let Ok(own) = storage.worker() else { return };
        // Who runs nothing has nothing to renew, and reads no more than it is asked to.
        let is_busy =
            |state: &State| state.worker_key(&own).is_some_and(|key| state.running_trials(key).next().is_some());
        if storage.with_state(is_busy) {
            match storage.refresh() {
                Ok(()) => look(&storage, own, lease, &mut lock(&shared.watch)),
                // Whoever uses the handle is told; here there is nobody to tell.
                Err(error) => tracing::debug!("could not look whether others are alive: {error}"),
            }
        }
        drop(storage);
        ended = lock(&shared.ended);
    }
}

/// One look at everybody: renews the own lease if it is time, and declares others lost.
fn look(storage: &Storage, own: WorkerId, lease: Duration, watch: &mut Watch) {
    let begun = Instant::now();
    let since = watch.looked.replace(begun).map_or(Duration::ZERO, |before| begun - before);
    let mut silent = Vec::new();
    let mut renew = false;
    storage.with_state(|state| {
        let own = state.worker_key(&own);
        let mut others = BTreeMap::new();
        for (key, worker) in state.leased_workers() {
            if Some(key) == own {
                watch.own.observe(worker.last, since);
                renew = watch.own.lasted.saturating_add(lease / LOOKS) >= lease / RENEWALS;
                continue;
            }
            let theirs = Duration::from_millis(worker.lease_ms);
            // Whoever was stopped, perhaps together with everybody else, does not know what happened meanwhile: of a
            // long time without a look only a part counts.
            let passed = since.min(theirs / RENEWALS);
            let mut silence =
                watch.others.get(&key).copied().unwrap_or(Silence { last: u64::MAX, ..Silence::default() });
            silence.observe(worker.last, passed);
            if silence.lasted > theirs {
                silent.push((key, worker.id, worker.last));
            }
            others.insert(key, silence);
        }
        watch.others = others;
    });
    if renew {
        let op = Op::RenewLease { lease_ms: millis(lease) };
        if let Err(error) = storage.commit(vec![op], Durability::Process) {
            tracing::warn!("could not renew the lease in {}: {error}", storage.location());
        }
    }
    for (worker, id, seen) in silent {
        match storage.commit(vec![Op::DeclareLost { worker, seen, end: now() }], Durability::Process).as_deref() {
            Ok([Verdict::Lost { trials, retries }]) => tracing::warn!(
                "worker {id} has made no progress for longer than its lease: {trials} trial(s) of it failed, and \
                 {retries} will be tried again"
            ),
            // It has come back, or somebody else was faster.
            Ok(_) => {}
            Err(error) => tracing::warn!("could not declare worker {id} lost in {}: {error}", storage.location()),
        }
    }
}

fn millis(lease: Duration) -> u64 {
    u64::try_from(lease.as_millis()).unwrap_or(u64::MAX)
}

/// Nothing panics while it is held, short of a broken invariant, and that is found again at once.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_adds_up_until_there_is_progress() {
        let mut silence = Silence::default();
        silence.observe(0, Duration::from_secs(1));
        silence.observe(0, Duration::from_secs(2));
        assert_eq!(silence.lasted, Duration::from_secs(3));
        silence.observe(7, Duration::from_secs(9));
        assert_eq!((silence.last, silence.lasted), (7, Duration::ZERO));
    }
}
