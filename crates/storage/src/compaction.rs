//! When and how a log is compacted: begun anew with a snapshot of its state, while others go on with it.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use trialog_journal::{Extent, History, Journal, Seq};
use trialog_replay::State;

use crate::{Error, Storage};

/// How many records there are between two looks whether a compaction is due.
const LOOK_EVERY: u64 = 1024;

/// How long what a compaction folded by itself stays where it is: nobody who is at work is that far behind, and a
/// network client believes an old look for a minute.
const GRACE: Duration = Duration::from_secs(60);

/// When a storage has its journal compact the log.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Compaction {
    /// Never, unless [`Storage::compact`] is called.
    Off,
    /// Once the records since the last compaction take `bytes_min` bytes at least, and `growth` times as many as the
    /// snapshot that they follow: all compactions of a log then cost no more than a fixed part of writing it, and the
    /// log is never longer than so many times its state. It is done in the background, by one of the processes.
    Auto {
        /// How many bytes of records there must be.
        bytes_min: u64,
        /// How many times the snapshot's bytes there must be.
        growth: f64,
        /// What becomes of the records.
        history: History,
    },
}

impl Compaction {
    fn is_due(self, extent: Extent) -> Option<History> {
        match self {
            Compaction::Off => None,
            Compaction::Auto { bytes_min, growth, history } => {
                let factor = extent.record_bytes as f64 >= extent.snapshot_bytes as f64 * growth;
                (extent.record_bytes >= bytes_min && factor).then_some(history)
            }
        }
    }
}

impl Storage {
    /// Has the journal begin anew with a snapshot of everything so far, whatever the policy, and give back at once
    /// what this makes superfluous. Says whether it did: not every journal can, another process may be at it, or
    /// nothing came since the last time.
    ///
    /// A process that is far behind then goes on from the snapshot. One that waits for the verdict of its own record and
    /// is overtaken there still gets it, unless the log in between was longer than its journal keeps in memory: then it is
    /// told that the record [`Vanished`](Error::Vanished), though it counts.
    ///
    /// # Errors
    /// What the journal says.
    pub fn compact(&self, history: History) -> Result<bool, Error> {
        self.refresh()?;
        let state = self.with_state(State::clone);
        let done = compact(&*self.journal, &state, history)?;
        self.journal.reclaim(Duration::ZERO)?;
        Ok(done)
    }

    /// Begins a compaction in the background if one is due. Nothing depends on whether that goes well.
    pub(crate) fn compact_if_due(&self, records: u64) {
        if self.compaction == Compaction::Off || records < self.compaction_look.load(Ordering::Relaxed) {
            return;
        }
        self.compaction_look.store(records.saturating_add(LOOK_EVERY), Ordering::Relaxed);
        let Some(history) = self.journal.extent().and_then(|extent| self.compaction.is_due(extent)) else {
            return;
        };
        if self.compacting.swap(true, Ordering::AcqRel) {
            return;
        }
        let (journal, compacting) = (Arc::clone(&self.journal), Arc::clone(&self.compacting));
        let state = self.with_state(State::clone);
        let work = move || {
            let done = compact(&*journal, &state, history).unwrap_or(false);
            drop(state);
            // What earlier ones have folded may be due by now, too.
            let _ = journal.reclaim(GRACE);
            compacting.store(false, Ordering::Release);
            if done && history == History::Folded {
                let later = Arc::downgrade(&journal);
                drop(journal);
                reclaim_later(&later);
            }
        };
        if std::thread::Builder::new().name("trialog-compact".to_owned()).spawn(work).is_err() {
            self.compacting.store(false, Ordering::Release);
        }
    }
}

fn compact(journal: &dyn Journal, state: &State, history: History) -> Result<bool, Error> {
    let at = Seq(state.records());
    Ok(journal.compact(at, &mut |sink| state.stream_snapshot(&mut *sink), history)?)
}

/// Waits out the grace without keeping the journal open.
fn reclaim_later(journal: &Weak<dyn Journal>) {
    std::thread::sleep(GRACE);
    if let Some(journal) = journal.upgrade() {
        let _ = journal.reclaim(GRACE);
    }
}
