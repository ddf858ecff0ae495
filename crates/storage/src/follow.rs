//! The log once more from its beginning, a record at a time: for whoever wants to know how the state came to be.

use std::ops::ControlFlow;
use std::sync::Arc;

use trialog_codec::decode_record;
use trialog_journal::{Journal, Seq};
use trialog_ops::Record;
use trialog_replay::{State, Verdict};

use crate::{Dialect, Error, Storage, Translator};

/// A reader of a log's records, with the state that they amount to. It begins where the log does: at the first record, or
/// at the snapshot that stands in the place of folded ones.
pub struct Follower {
    journal: Arc<dyn Journal>,
    state: State,
    translator: Option<Box<Translator>>,
    verdicts: Vec<Verdict>,
}

/// A record as it is met: its position, what was before it, what it says, and what the log decided.
pub struct Met<'a> {
    /// Its position.
    pub seq: Seq,
    /// The record.
    pub record: &'a Record,
    /// The verdict on each of its ops.
    pub verdicts: &'a [Verdict],
    /// The state after it.
    pub state: &'a State,
}

/// What a reader of a log comes by.
pub enum Step<'a> {
    /// A record.
    Record(Met<'a>),
    /// The state in the place of records that a compaction has folded away.
    Base(&'a State),
}

impl Storage {
    /// A reader that begins where the log does.
    #[must_use]
    pub fn follow(&self) -> Follower {
        let translator = match self.dialect {
            Dialect::Native => None,
            Dialect::Optuna(optuna) => Some(Box::new(Translator::new(optuna))),
        };
        let journal = Arc::clone(&self.journal);
        Follower { journal, state: State::new(), translator, verdicts: Vec::new() }
    }
}

impl Follower {
    /// The state after all records that were met.
    #[must_use]
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Hands over the records that have come since the last time, until there are no more or `visit` breaks.
    ///
    /// # Errors
    /// As [`Storage::refresh`]; everything before the trouble has been handed over.
    pub fn advance(&mut self, visit: &mut dyn FnMut(Met<'_>) -> ControlFlow<()>) -> Result<(), Error> {
        self.advance_by_step(&mut |step| match step {
            Step::Record(met) => visit(met),
            Step::Base(_) => ControlFlow::Continue(()),
        })
    }

    /// The same, with word of each jump over folded records: for those who want to see the state behind it before the next
    /// record comes.
    ///
    /// # Errors
    /// As [`Follower::advance`].
    pub fn advance_by_step(&mut self, visit: &mut dyn FnMut(Step<'_>) -> ControlFlow<()>) -> Result<(), Error> {
        loop {
            match self.read_on(&mut |met| visit(Step::Record(met))) {
                Err(Error::Journal(folded @ trialog_journal::Error::Folded { .. })) => {
                    self.state = crate::base_after(&*self.journal, self.state.records(), folded)?;
                    if visit(Step::Base(&self.state)).is_break() {
                        return Ok(());
                    }
                }
                other => return other,
            }
        }
    }

    fn read_on(&mut self, visit: &mut dyn FnMut(Met<'_>) -> ControlFlow<()>) -> Result<(), Error> {
        let Follower { journal, state, translator, verdicts } = self;
        let mut failure = None;
        journal.read(Seq(state.records()), &mut |seq, bytes| {
            let decoded = match translator {
                None => decode_record(bytes),
                Some(translator) => translator.read(bytes, state),
            };
            match decoded {
                Ok(record) => {
                    verdicts.clear();
                    state.apply(&record, verdicts);
                    visit(Met { seq, record: &record, verdicts, state })
                }
                Err(error) => {
                    failure = Some(crate::undecodable(journal.location(), seq, error));
                    ControlFlow::Break(())
                }
            }
        })?;
        failure.map_or(Ok(()), Err)
    }
}
