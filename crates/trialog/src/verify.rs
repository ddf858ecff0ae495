//! Every suggestion of a study derived again from its log. A sampler is a pure function of a view, a trial's number and a
//! seed, and the log says at which position the view was taken: so whoever has the log can check what was suggested, by whatever
//! process, in whatever company.

use std::fmt;

use trialog_ops::TrialNumber;

use crate::error::Result;
use crate::explain::How;
use crate::oracle::{Gathered, Judged, Oracle};
use crate::study::Study;

/// How many differences, and how many parameters that nobody can derive, are kept one by one.
const KEPT: usize = 100;

/// What came of deriving a study's suggestions again.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rederived {
    /// How often a trial began, as far as the log still has it. One that went back into the queue began more than once; trials
    /// that were added as they are, such as copies, did not begin here.
    pub trials: u64,
    /// Parameters that came out the same, to the bit.
    pub same: u64,
    /// Those of them that came out so with a sampler that the log had named earlier: a handle goes on with the one that it was
    /// opened with.
    pub earlier: u64,
    /// Parameters that no sampler chose, and that are what they should be: enqueued, the only value of their range, or those of
    /// an earlier attempt.
    pub given: u64,
    /// Parameters that nobody can derive again.
    pub unknown: u64,
    /// The first hundred of these.
    pub unknowns: Vec<Underived>,
    /// Parameters that came out otherwise.
    pub different: u64,
    /// The first hundred of these.
    pub differences: Vec<Difference>,
}

/// A parameter that nobody can derive again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Underived {
    /// The trial.
    pub trial: TrialNumber,
    /// The parameter's name.
    pub param: String,
    /// Why: a compaction folded away what its sampler saw, the log names no sampler or one that this program does not know, or it
    /// does not tell where the sampler looked, as in logs in Optuna's dialect.
    pub why: String,
}

/// A parameter that came out otherwise: another version of the sampler wrote it, another program, or somebody who changed
/// the log.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// The trial.
    pub trial: TrialNumber,
    /// The parameter's name.
    pub param: String,
    /// Its value in the log, as people see it.
    pub found: String,
    /// What the sampler says here; none if nobody would have asked it.
    pub derived: Option<String>,
    /// How many records the sampler saw.
    pub position: u64,
}

impl fmt::Display for Underived {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Underived { trial, param, why } = self;
        write!(f, "trial {trial}: nobody can derive {param}: {why}")
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Difference { trial, param, found, derived, position } = self;
        write!(f, "trial {trial}: {param} is {found}, and ")?;
        match derived {
            Some(derived) => write!(f, "comes out as {derived} behind {position} records"),
            None => write!(f, "behind {position} records nobody would have asked for it"),
        }
    }
}

impl Rederived {
    /// True if every suggestion that can be derived came out the same.
    #[must_use]
    pub fn is_same(&self) -> bool {
        self.different == 0
    }

    fn count(&mut self, trial: TrialNumber, position: u64, judged: Judged) {
        let Judged { def, found, how, derived, why, is_earlier, .. } = judged;
        let param = def.name.clone();
        match how {
            How::Together | How::Alone => {
                self.same += 1;
                self.earlier += u64::from(is_earlier);
            }
            How::Enqueued | How::Only | How::Kept => self.given += 1,
            How::Unknown => {
                self.unknown += 1;
                if self.unknowns.len() < KEPT {
                    self.unknowns.push(Underived { trial, param, why: why.unwrap_or_default() });
                }
            }
            How::Otherwise => {
                self.different += 1;
                if self.differences.len() < KEPT {
                    let external = |value: f64| def.distribution.to_external(value).to_string();
                    let (found, derived) = (external(found), derived.map(external));
                    self.differences.push(Difference { trial, param, found, derived, position });
                }
            }
        }
    }
}

impl Study {
    /// Derives every suggestion of this study again, from the log alone: its sampler is asked at the position at which it was
    /// asked then. Reads the log twice, and asks as often as was asked. A sampler of one's own is asked where the handle was opened with
    /// it: [`StudyBuilder::sampler`](crate::StudyBuilder::sampler).
    ///
    /// What a compaction has folded away cannot be checked, and neither can trials that were added as they are: copies, and what
    /// was merged. In a log of Optuna's dialect a suggestion that does not come out the same is unknown rather than
    /// different, since such a log does not tell where the sampler looked.
    ///
    /// # Errors
    /// What the log says when it is read.
    pub fn rederive(&self) -> Result<Rederived> {
        let Gathered { oracle, due, begun } = Oracle::gather(self, None, &mut |_| ())?;
        let mut outcome = Rederived { trials: begun, ..Rederived::default() };
        oracle.ask(due, &mut |oracle, saw, position, suggestions| {
            for suggestion in suggestions {
                for judged in oracle.judge(saw, &suggestion) {
                    outcome.count(suggestion.number, position, judged);
                }
            }
        })?;
        Ok(outcome)
    }
}
