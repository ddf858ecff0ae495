//! What a trial can be, and which way a study's objectives point.

use std::fmt;

/// Which way an objective is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// Smaller is better.
    Minimize,
    /// Larger is better.
    Maximize,
}

impl Direction {
    /// The value as a loss: smaller is better whatever the direction.
    #[must_use]
    pub fn loss(self, value: f64) -> f64 {
        match self {
            Direction::Minimize => value,
            Direction::Maximize => -value,
        }
    }

    /// True if `a` is strictly better than `b`; false when either is NaN.
    #[must_use]
    pub fn is_better(self, a: f64, b: f64) -> bool {
        match self {
            Direction::Minimize => a < b,
            Direction::Maximize => a > b,
        }
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Direction::Minimize => "minimize",
            Direction::Maximize => "maximize",
        })
    }
}

/// Where a trial stands. The numbers are those of Optuna's journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum TrialState {
    /// Someone is evaluating it.
    Running = 0,
    /// Finished with a value for every objective.
    Complete = 1,
    /// Stopped early because it was not promising.
    Pruned = 2,
    /// Ended without a usable value.
    Fail = 3,
    /// Enqueued, and not yet claimed.
    Waiting = 4,
}

impl TrialState {
    /// All states, at the index of their number.
    pub const ALL: [TrialState; 5] =
        [TrialState::Running, TrialState::Complete, TrialState::Pruned, TrialState::Fail, TrialState::Waiting];

    /// True if nothing more can happen to the trial.
    #[must_use]
    pub fn is_finished(self) -> bool {
        !matches!(self, TrialState::Running | TrialState::Waiting)
    }

    /// The state with this number.
    #[must_use]
    pub fn from_number(number: u8) -> Option<TrialState> {
        TrialState::ALL.get(usize::from(number)).copied()
    }
}

impl fmt::Display for TrialState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TrialState::Running => "running",
            TrialState::Complete => "complete",
            TrialState::Pruned => "pruned",
            TrialState::Fail => "fail",
            TrialState::Waiting => "waiting",
        })
    }
}

/// How a trial ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FinalState {
    /// With a value for every objective.
    Complete,
    /// Stopped early.
    Pruned,
    /// Without a usable value.
    Fail,
}

impl From<FinalState> for TrialState {
    fn from(state: FinalState) -> TrialState {
        match state {
            FinalState::Complete => TrialState::Complete,
            FinalState::Pruned => TrialState::Pruned,
            FinalState::Fail => TrialState::Fail,
        }
    }
}
