//! Studies on their way: copied, branched off, merged, read from files and written to them.

use std::io::{BufRead, Read, Write};

use trialog_ops::{Json, Op, Record, StudyId, Timestamp, TrialNumber, TrialState};
use trialog_replay::{State, StudyView};
use trialog_transfer::{
    ContentDigest, Head, Merged, Moved, Options, RecordsReader, Report, RowsOptions, RowsReader,
};

use crate::error::{Error, Kind, Result};
use crate::storage::Storage;
use crate::study::{Study, now};

/// On a branch: the study and the position of the log that it started from.
const BRANCHED_FROM: &str = "trialog:branched_from";

/// Where a branch starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// From all that is known.
    Now,
    /// After so many records of the log: [`StudyView::position`](crate::StudyView::position) of an earlier look.
    Position(u64),
    /// Before the first record that says of itself that it was written later than this.
    Time(Timestamp),
    /// Right after this trial had ended.
    Trial(TrialNumber),
}

impl Storage {
    /// Copies a study with all its trials, here or to another storage, as it is now, whoever works on it meanwhile. Running
    /// trials arrive as running. What was written is read again and compared.
    ///
    /// # Errors
    /// [`Error::is_not_found`], [`Error::is_duplicate`], or what the logs say; then a part of the copy may be there, and
    /// [`Storage::copy_study_with`] can go on with it.
    pub fn copy_study(&self, name: &str, target: &Storage, target_name: &str) -> Result<()> {
        let options = Options { durability: target.durability().of_results(), ..Options::default() };
        self.copy_study_with(name, target, target_name, options).map(drop)
    }

    /// The same with a choice of what to do if the name is taken, and with word of the progress. With
    /// [`Collision::Resume`](trialog_transfer::Collision::Resume) a copy that was broken off is gone on with, and one whose
    /// source has grown is brought up to date; no trial is ever doubled.
    ///
    /// # Errors
    /// As [`Storage::copy_study`]; also [`Error::is_other_study`].
    pub fn copy_study_with(
        &self,
        name: &str,
        target: &Storage,
        target_name: &str,
        options: Options<'_>,
    ) -> Result<Report> {
        let view = self.find(name)?;
        moved(target, trialog_transfer::copy(&view, target.inner(), target_name, options))
    }

    /// Copies all studies, each as by [`Storage::copy_study_with`] under its own name.
    ///
    /// # Errors
    /// As there, for the first study that cannot be copied; those before it were.
    pub fn copy_all(&self, target: &Storage, mut options: Options<'_>) -> Result<Vec<Report>> {
        let mut reports = Vec::new();
        for name in self.study_names()? {
            let mut next =
                Options { collision: options.collision, durability: options.durability, ..Options::default() };
            // Each study is counted by itself.
            next.progress = options.progress.as_mut().map(|progress| &mut **progress as _);
            reports.push(self.copy_study_with(&name, target, &name, next)?);
        }
        Ok(reports)
    }

    /// Writes several studies that grew apart, on machines without a connection say, as one new study. It does not matter in which
    /// order and how often that is done: see [`trialog_transfer::merge`].
    ///
    /// # Errors
    /// Studies with different objectives ([`Error::is_invalid`]), or as [`Storage::copy_study_with`].
    pub fn merge_studies(&self, studies: &[&Study], name: &str, mut options: Options<'_>) -> Result<Report> {
        let views: Vec<StudyView> = studies.iter().map(|study| study.view()).collect::<Result<_>>()?;
        let merged: Merged = moved(self, trialog_transfer::merge(&views))?;
        options.total = Some(merged.len() as u64);
        let trials = merged.trials().map(Ok);
        moved(self, trialog_transfer::write(self.inner(), name, &merged.head, trials, options))
    }

    /// Reads a study from JSON lines, as [`Study::export_records`] writes them.
    ///
    /// # Errors
    /// A file that is something else ([`Error::is_invalid`], with line and column), or as [`Storage::copy_study_with`].
    pub fn import_records(&self, input: impl BufRead, name: &str, options: Options<'_>) -> Result<Report> {
        let reader = moved(self, RecordsReader::new(input))?;
        let head = reader.head().clone();
        moved(self, trialog_transfer::write(self.inner(), name, &head, reader, options))
    }

    /// Reads a study from a table in CSV, a row for each trial: see [`RowsReader::new`].
    ///
    /// # Errors
    /// As [`Storage::import_records`].
    pub fn import_rows(
        &self,
        input: impl Read,
        rows: &RowsOptions,
        name: &str,
        mut options: Options<'_>,
    ) -> Result<Report> {
        let reader = moved(self, RowsReader::new(input, rows))?;
        let trials = reader.trials();
        options.total = Some(trials.len() as u64);
        moved(self, trialog_transfer::write(self.inner(), name, reader.head(), trials, options))
    }

    /// Reads a study from a SQLite database of Optuna's.
    ///
    /// # Errors
    /// No such study there ([`Error::is_not_found`]), a database that is something else ([`Error::is_invalid`]), or as
    /// [`Storage::copy_study_with`].
    #[cfg(feature = "sqlite")]
    pub fn import_optuna_db(
        &self,
        path: impl AsRef<std::path::Path>,
        study: &str,
        name: &str,
        mut options: Options<'_>,
    ) -> Result<Report> {
        let db = moved(self, trialog_transfer::OptunaDb::open(path.as_ref()))?;
        let known = moved(self, db.studies())?;
        let Some(found) = known.iter().find(|known| known.name == study) else {
            let (name, location) = (study.to_owned(), path.as_ref().display().to_string());
            let known = known.into_iter().map(|known| known.name).collect();
            return Err(Error::new(Kind::StudyNotFound { name, location, known }));
        };
        options.total = Some(found.trials);
        let head = moved(self, db.head(found))?;
        let trials = moved(self, db.trials(found))?;
        moved(self, trialog_transfer::write(self.inner(), name, &head, trials, options))
    }
}

impl Study {
    /// A new study in the same storage that starts from what this one was at an earlier point of its log, with its
    /// sampler, pruner and seed. Trials that ran at that point are failed ones in the branch, so that all trials keep their
    /// numbers. The branch's system attributes say what it started from.
    ///
    /// ```
    /// # fn main() -> trialog::Result<()> {
    /// use trialog::{At, TrialNumber};
    /// # let study = trialog::Study::in_memory()?;
    /// study.optimize(20, |trial| Ok(trial.suggest_float("x", 0.0..=1.0)?))?;
    /// let branch = study.branch("from-ten", At::Trial(TrialNumber(9)))?;
    /// assert_eq!(branch.trials()?.len(), 10);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// A name that is taken ([`Error::is_duplicate`]); a point that the log has not reached, or where there was no such study
    /// ([`Error::is_invalid`]); one before records that were folded by a compaction ([`Error::is_folded`]); or what the log says.
    pub fn branch(&self, name: &str, at: At) -> Result<Study> {
        let storage = self.storage();
        let view = self.view_at(at)?;
        let mut head = Head::of(&view);
        let position = view.position();
        let from = format!("{{\"study\":{},\"position\":{position}}}", Json::from(self.name()));
        let from = Json::parse(&from).map_err(|error| Error::invalid(error.to_string()))?;
        head.system_attrs.retain(|(key, _)| key != BRANCHED_FROM);
        head.system_attrs.push((BRANCHED_FROM.to_owned(), from));
        head.system_attrs.sort_by(|a, b| a.0.cmp(&b.0));
        let end = now();
        let trials = view.trials().map(|trial| {
            let mut trial = Moved::from(trial);
            if trial.template.state == TrialState::Running {
                trial.template.state = TrialState::Fail;
                trial.template.end = Some(end);
            }
            Ok(trial)
        });
        let options = Options { durability: storage.durability().of_results(), ..Options::default() };
        moved(storage, trialog_transfer::write(storage.inner(), name, &head, trials, options))?;
        storage.study(name).load()
    }

    /// A look at the study as it was at an earlier point of its log, which is replayed up to there.
    ///
    /// # Errors
    /// As [`Study::branch`].
    pub fn view_at(&self, at: At) -> Result<StudyView> {
        let (id, storage) = (self.id(), self.storage());
        storage.refresh()?;
        let state = match at {
            At::Now => return self.view(),
            At::Position(position) => storage.inner().past(|state, next| match next {
                Some(_) => state.records() >= position,
                None => state.records() > position,
            })?,
            At::Time(time) => storage.inner().past(|state, next| match next {
                Some(record) => latest(record) > Some(time),
                None => is_after(state, id, time),
            })?,
            At::Trial(number) => storage.inner().past(|state, _| has_ended(state, id, number))?,
        };
        let reached = match at {
            At::Position(position) => state.records() == position,
            At::Trial(number) => has_ended(&state, id, number),
            At::Time(_) | At::Now => true,
        };
        if !reached {
            let detail = format!("the log of study {:?} has not reached {at:?} yet", self.name());
            return Err(Error::invalid(detail));
        }
        state.view(id).ok_or_else(|| Error::invalid(format!("there was no study {:?} at {at:?}", self.name())))
    }

    /// Writes the study as JSON lines: the head first, then a line for each trial with all that it says.
    /// [`Storage::import_records`] makes the same study of them, to the bit.
    ///
    /// # Errors
    /// As [`Study::view`], and what the writer says.
    pub fn export_records(&self, mut out: impl Write) -> Result<()> {
        moved(self.storage(), trialog_transfer::write_records(&self.view()?, &mut out))
    }

    /// What the study says, as a number: equal for a study and its copy on any medium, under any name.
    ///
    /// # Errors
    /// As [`Study::view`].
    pub fn content_digest(&self) -> Result<ContentDigest> {
        Ok(trialog_transfer::digest_of(&self.view()?))
    }
}

fn has_ended(state: &State, study: StudyId, number: TrialNumber) -> bool {
    state.view(study).is_some_and(|view| view.trial(number).is_some_and(|trial| trial.state().is_finished()))
}

/// The latest time at which a record says that it was written. Trials that were brought from elsewhere say nothing.
fn latest(record: &Record) -> Option<Timestamp> {
    let time = |op: &Op| match op {
        Op::CreateTrial { start, .. } | Op::ClaimTrial { start, .. } => Some(*start),
        Op::FinishTrial { end, .. } | Op::DeclareLost { end, .. } => Some(*end),
        Op::VoidTrial { note, .. }
        | Op::UnvoidTrial { note, .. }
        | Op::AmendTrial { note, .. }
        | Op::UndoAmendment { note, .. } => Some(note.at),
        _ => None,
    };
    record.ops.iter().filter_map(time).max()
}

/// True if the study of this state has seen a later time.
fn is_after(state: &State, study: StudyId, time: Timestamp) -> bool {
    state.view(study).is_some_and(|view| view.trials().any(|trial| trial.start().max(trial.end()) > Some(time)))
}

fn moved<T>(target: &Storage, result: std::result::Result<T, trialog_transfer::Error>) -> Result<T> {
    result.map_err(|error| match error {
        trialog_transfer::Error::Storage(error) => error.into(),
        trialog_transfer::Error::NameTaken { name } => {
            Error::new(Kind::StudyExists { name, location: target.location().to_owned() })
        }
        trialog_transfer::Error::Rejected { tried, reason } => Error::rejected(tried, &reason),
        other => Error::new(Kind::Transfer(other)),
    })
}
