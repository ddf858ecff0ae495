//! A storage: the studies of one log.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use trialog_journal::{Durability, History};
use trialog_ops::{Direction, Op, StudyId, Timestamp, TrialId, TrialNumber};
use trialog_replay::{Digest, Reason, StudyView, TrialView, Verdict};
use trialog_storage::Follower;

use crate::builder::StudyBuilder;
use crate::error::{Error, Kind, Result};
use crate::frozen::FrozenTrial;
use crate::lease::Leases;
use crate::new_trial;
use crate::open::DurabilityLevel;

/// A record of many ops is closed when it holds as many, or about as many bytes: far below what a journal takes.
const BATCH_OPS: usize = 256;
const BATCH_BYTES: usize = 1 << 20;

/// The studies of one log. Clones are handles on the same log, and may be used from any thread.
#[derive(Clone)]
pub struct Storage {
    inner: Arc<trialog_storage::Storage>,
    durability: DurabilityLevel,
    history: History,
    /// None where nobody else can see this process, or it only looks.
    leases: Option<Arc<Leases>>,
}

impl fmt::Debug for Storage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Storage").field("location", &self.location()).finish_non_exhaustive()
    }
}

/// A study in a list of studies.
#[derive(Clone, Debug)]
pub struct StudySummary {
    /// Its name.
    pub name: String,
    /// One direction per objective.
    pub directions: Vec<Direction>,
    /// How many trials it has, in any state.
    pub n_trials: usize,
    /// When its first trial began.
    pub start: Option<Timestamp>,
    /// Its best complete and feasible trial, if it has a single objective.
    pub best_trial: Option<FrozenTrial>,
}

impl Storage {
    pub(crate) fn new(
        inner: Arc<trialog_storage::Storage>,
        durability: DurabilityLevel,
        history: History,
        lease: Option<Duration>,
    ) -> Storage {
        let leases = lease.map(|lease| Arc::new(Leases::new(Arc::clone(&inner), lease)));
        Storage { inner, durability, history, leases }
    }

    /// A new storage in memory, which dies with the process.
    ///
    /// # Errors
    /// None that depend on the caller.
    pub fn in_memory() -> Result<Storage> {
        crate::open("memory:")
    }

    /// The path or URL it was opened by.
    #[must_use]
    pub fn location(&self) -> &str {
        self.inner.location()
    }

    /// A study by name, to be created or loaded; see [`StudyBuilder`].
    #[must_use]
    pub fn study(&self, name: impl Into<String>) -> StudyBuilder {
        StudyBuilder::new(self.clone(), name.into())
    }

    /// The studies in the order in which they were made.
    ///
    /// # Errors
    /// What the log says when it is read.
    pub fn studies(&self) -> Result<Vec<StudySummary>> {
        self.refresh()?;
        Ok(self
            .inner
            .with_state(|state| state.studies().collect::<Vec<_>>())
            .iter()
            .map(StudySummary::of)
            .collect())
    }

    /// The names of the studies in the order in which they were made.
    ///
    /// # Errors
    /// What the log says when it is read.
    pub fn study_names(&self) -> Result<Vec<String>> {
        self.refresh()?;
        Ok(self.inner.with_state(|state| state.studies().map(|view| view.name().to_owned()).collect()))
    }

    /// Deletes a study and its trials for everybody.
    ///
    /// # Errors
    /// [`Error::is_not_found`], or what the log says.
    pub fn delete_study(&self, name: &str) -> Result<()> {
        let study = self.find(name)?.id();
        let tried = || format!("delete study {name:?}");
        self.change(Op::DeleteStudy { study }, self.durability.of_results(), tried).map(drop)
    }

    /// Compacts the log now: its state is written at the beginning of the log's next file, while other processes go on
    /// working, and the space of the records, and of deleted studies, is given back; unless
    /// [`keep_history`](crate::OpenOptions::keep_history) was asked for. Says whether it did: not every kind of storage
    /// can, another process may be at it, or nothing came since the last time.
    ///
    /// # Errors
    /// What the log says.
    pub fn compact(&self) -> Result<bool> {
        Ok(self.inner.compact(self.history)?)
    }

    /// The digest of everything in the log as this process knows it: equal for every process that has seen the
    /// same records.
    ///
    /// # Errors
    /// What the log says when it is read.
    pub fn digest(&self) -> Result<Digest> {
        self.refresh()?;
        Ok(self.inner.digest())
    }

    pub(crate) fn inner(&self) -> &trialog_storage::Storage {
        &self.inner
    }

    /// A look at a study by name.
    pub(crate) fn find(&self, name: &str) -> Result<StudyView> {
        self.refresh()?;
        self.inner.with_state(|state| {
            state.study_id(name).and_then(|id| state.view(id)).ok_or_else(|| {
                let known = state.studies().map(|view| view.name().to_owned()).collect();
                let location = self.location().to_owned();
                Error::new(Kind::StudyNotFound { name: name.to_owned(), location, known })
            })
        })
    }

    pub(crate) fn create(
        &self,
        name: &str,
        directions: Vec<Direction>,
        config: Option<trialog_ops::StudyConfig>,
    ) -> Result<StudyId> {
        let op = Op::CreateStudy { name: name.to_owned(), directions, config: config.map(Box::new) };
        let verdicts = self.inner.commit(vec![op], self.durability.of_results())?;
        match verdicts.first() {
            Some(Verdict::Study(id)) => Ok(*id),
            Some(Verdict::Rejected(Reason::StudyExists { .. })) => {
                let location = self.location().to_owned();
                Err(Error::new(Kind::StudyExists { name: name.to_owned(), location }))
            }
            other => Err(unexpected(other, &format!("create study {name:?}"))),
        }
    }

    pub(crate) fn refresh(&self) -> Result<()> {
        Ok(self.inner.refresh()?)
    }

    pub(crate) fn view(&self, study: StudyId) -> Result<StudyView> {
        let deleted = || Error::rejected("look at the study", &Reason::StudyDeleted { study });
        self.inner.view(study).ok_or_else(deleted)
    }

    /// Tells this handle's log from all others of this process.
    pub(crate) fn address(&self) -> usize {
        Arc::as_ptr(&self.inner).addr()
    }

    /// True if both are handles on one log, as far as can be told without looking at the medium.
    pub(crate) fn is_same_log(&self, other: &Storage) -> bool {
        let named = self.location() != "memory:" && self.location() == other.location();
        named || self.address() == other.address()
    }

    /// True if parameters can be taken back that a trial was to have and never asked for.
    pub(crate) fn retracts_params(&self) -> bool {
        self.inner.dialect().retracts_params()
    }

    pub(crate) fn durability(&self) -> DurabilityLevel {
        self.durability
    }

    /// Commits one op; `tried` says what it was for if it is rejected.
    pub(crate) fn change(&self, op: Op, durability: Durability, tried: impl Fn() -> String) -> Result<Verdict> {
        let mut verdicts = self.inner.commit(vec![op], durability)?;
        match verdicts.pop() {
            Some(Verdict::Rejected(reason)) => Err(Error::rejected(tried(), &reason)),
            Some(verdict) => Ok(verdict),
            None => Err(unexpected(None, &tried())),
        }
    }

    /// Commits several ops as one record; the first rejection is the error, and otherwise the last verdict counts.
    pub(crate) fn change_all(
        &self,
        ops: Vec<Op>,
        durability: Durability,
        tried: impl Fn() -> String,
    ) -> Result<Option<Verdict>> {
        self.change_all_at(ops, durability, tried).map(|(_, verdict)| verdict)
    }

    /// As [`Storage::change_all`], with the position behind the record.
    pub(crate) fn change_all_at(
        &self,
        ops: Vec<Op>,
        durability: Durability,
        tried: impl Fn() -> String,
    ) -> Result<(u64, Option<Verdict>)> {
        let (position, mut verdicts) = self.inner.commit_at(ops, durability)?;
        match verdicts.iter().find_map(Verdict::rejection) {
            Some(reason) => Err(Error::rejected(tried(), reason)),
            None => Ok((position, verdicts.pop())),
        }
    }

    /// Commits an op that makes a trial this process's to run, under its lease. Returns the position behind it too.
    pub(crate) fn begin(&self, op: Op, tried: impl Fn() -> String) -> Result<(u64, Verdict)> {
        let opening = self.leases.as_ref().and_then(|leases| leases.opening());
        let ops = opening.into_iter().chain([op]).collect();
        let (position, verdict) = self.change_all_at(ops, self.durability.of_progress(), &tried)?;
        Ok((position, verdict.ok_or_else(|| unexpected(None, &tried()))?))
    }

    /// The log once more from its beginning, a record at a time: for whoever wants to know how things came to be, or what
    /// comes next.
    #[must_use]
    pub fn follow(&self) -> Follower {
        self.inner.follow()
    }

    /// The same if nothing came since this process last looked, where looking costs a round trip: nothing else need then be
    /// known beforehand. None otherwise; look, and decide.
    pub(crate) fn begin_if_current(&self, op: Op, tried: impl Fn() -> String) -> Result<Option<(u64, Verdict)>> {
        let opening = || self.leases.as_ref().and_then(|leases| leases.opening());
        if !self.inner.is_remote() {
            return Ok(None);
        }
        let ops = opening().into_iter().chain([op]).collect();
        let Some((position, mut verdicts)) = self.inner.commit_if_current(ops, self.durability.of_progress())?
        else {
            return Ok(None);
        };
        match verdicts.iter().find_map(Verdict::rejection) {
            Some(reason) => Err(Error::rejected(tried(), reason)),
            None => Ok(verdicts.pop().map(|verdict| (position, verdict))),
        }
    }

    /// Waits until something is in the log that this process has not seen, or for so long.
    pub(crate) fn wait(&self, timeout: Duration) -> Result<()> {
        self.inner.wait(timeout)?;
        Ok(())
    }

    /// Declares lost who has been silent for too long, after a refresh.
    pub(crate) fn observe(&self) {
        if let Some(leases) = &self.leases {
            leases.observe();
        }
    }

    /// True if some trial of the study runs that will end or be declared lost.
    pub(crate) fn is_any_running(&self, study: StudyId) -> bool {
        self.leases.as_ref().is_some_and(|leases| leases.is_any_running(study))
    }

    /// True if the trial was declared lost, as far as this process knows.
    pub(crate) fn is_lost(&self, trial: TrialId) -> bool {
        self.inner.with_state(|state| state.is_lost(trial))
    }

    /// Commits an op that makes a trial, and returns its number.
    pub(crate) fn add(&self, op: Op, tried: impl Fn() -> String) -> Result<TrialNumber> {
        match self.change(op, self.durability.of_results(), &tried)? {
            Verdict::Trial { number, .. } => Ok(number),
            other => Err(unexpected(Some(&other), &tried())),
        }
    }
}

pub(crate) fn unexpected(verdict: Option<&Verdict>, tried: &str) -> Error {
    match verdict {
        Some(Verdict::Rejected(reason)) => Error::rejected(tried, reason),
        other => Error::invalid(format!("could not {tried}: the log answered {other:?}")),
    }
}

/// Many ops as records of moderate size, of which the last one waits for all.
pub(crate) struct Batch<'a, F> {
    storage: &'a Storage,
    tried: F,
    ops: Vec<Op>,
    bytes: usize,
    /// The first op that was refused.
    refused: Option<Error>,
}

impl<'a, F: Fn() -> String> Batch<'a, F> {
    /// `tried` says what the ops are for.
    pub(crate) fn new(storage: &'a Storage, tried: F) -> Batch<'a, F> {
        Batch { storage, tried, ops: Vec::new(), bytes: 0, refused: None }
    }

    pub(crate) fn push(&mut self, op: Op) -> Result<()> {
        self.bytes += new_trial::bytes_about(&op);
        self.ops.push(op);
        if self.ops.len() < BATCH_OPS && self.bytes < BATCH_BYTES {
            Ok(())
        } else {
            self.flush(Durability::Process)
        }
    }

    /// # Errors
    /// What the log says, or the first op that was refused; all others took effect.
    pub(crate) fn finish(mut self) -> Result<()> {
        // Also when nothing is left over: this is the record that waits for all of them.
        self.flush(self.storage.durability.of_results())?;
        self.refused.map_or(Ok(()), Err)
    }

    fn flush(&mut self, durability: Durability) -> Result<()> {
        self.bytes = 0;
        match self.storage.change_all(std::mem::take(&mut self.ops), durability, &self.tried) {
            Err(error) if error.rejection().is_some() => {
                self.refused.get_or_insert(error);
                Ok(())
            }
            other => other.map(drop),
        }
    }
}

impl StudySummary {
    fn of(view: &StudyView) -> StudySummary {
        StudySummary {
            name: view.name().to_owned(),
            directions: view.directions().to_vec(),
            n_trials: view.trial_count(),
            start: view.trials().filter_map(TrialView::start).min(),
            best_trial: view.best().next().map(FrozenTrial::from),
        }
    }
}
