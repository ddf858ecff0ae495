//! The log as it was at an earlier position.

use std::ops::ControlFlow;

use trialog_codec::decode_record;
use trialog_journal::Seq;
use trialog_ops::Record;
use trialog_replay::State;

use crate::dialect::Dialect;
use crate::optuna::Translator;
use crate::{Error, Storage};

impl Storage {
    /// The state before the first record for which `stop` is true, or of the whole log. It is replayed from the
    /// beginning beside the state that this storage keeps.
    ///
    /// `stop` is asked about each record before it is applied. Where the log's first records were folded, it is first asked about
    /// the state that stands in their place, without a record: if that is true already, what is wanted no longer exists.
    ///
    /// # Errors
    /// [`trialog_journal::Error::Folded`] then, and what the journal says otherwise.
    pub fn past(&self, mut stop: impl FnMut(&State, Option<&Record>) -> bool) -> Result<State, Error> {
        let translator = || match self.dialect {
            Dialect::Native => None,
            Dialect::Optuna(optuna) => Some(Translator::new(optuna)),
        };
        let (mut state, mut reader) = (State::new(), translator());
        loop {
            let (mut failure, mut verdicts) = (None, Vec::new());
            let read = self.journal.read(Seq(state.records()), &mut |seq, bytes| {
                let decoded = match &mut reader {
                    None => decode_record(bytes),
                    Some(translator) => translator.read(bytes, &state),
                };
                match decoded {
                    Ok(record) if stop(&state, Some(&record)) => ControlFlow::Break(()),
                    Ok(record) => {
                        verdicts.clear();
                        state.apply(&record, &mut verdicts);
                        ControlFlow::Continue(())
                    }
                    Err(source) => {
                        failure = Some((seq, source));
                        ControlFlow::Break(())
                    }
                }
            });
            match read {
                Err(folded @ trialog_journal::Error::Folded { .. }) => {
                    let base = self.journal.load_base()?.filter(|(at, _)| at.0 > state.records());
                    let base = base.and_then(|(_, bytes)| State::read_snapshot(&bytes).ok());
                    state = base.filter(|state| !stop(state, None)).ok_or(folded)?;
                    reader = translator();
                }
                Err(error) => return Err(error.into()),
                Ok(_) => {
                    let location = self.location().to_owned();
                    return match failure {
                        None => Ok(state),
                        Some((seq, source)) if source.is_newer_format() => {
                            Err(Error::NewerFormat { location, seq: seq.0, source })
                        }
                        Some((seq, source)) => Err(Error::BadRecord { location, seq: seq.0, source }),
                    };
                }
            }
        }
    }
}
