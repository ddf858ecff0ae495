//! How trials are dealt out: which bracket each belongs to, and where the bracket's rungs are.

use trialog_ops::TrialNumber;

use crate::rungs::Ladder;

/// The brackets of a study.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Brackets {
    /// The rungs of the first bracket; each further one begins a rung later.
    ladder: Ladder,
    budgets: Vec<u128>,
}

impl Brackets {
    /// As many brackets as there are rungs up to `max_resource`; `None` if there are none.
    pub(crate) fn up_to(max_resource: u64, ladder: Ladder) -> Option<Brackets> {
        let count = ladder.steps().take_while(|&step| step <= max_resource).count();
        let budget = |bracket: usize| {
            // Li et al. (2018), algorithm 1, line 4; s counts down from the first bracket. The power is at most
            // `max_resource`.
            let s = count - 1 - bracket;
            let power = (0..s).fold(1, |power, _| power * u128::from(ladder.reduction_factor));
            (count as u128 * power).div_ceil(s as u128 + 1)
        };
        (count > 0).then(|| Brackets { ladder, budgets: (0..count).map(budget).collect() })
    }

    /// One bracket for all trials.
    pub(crate) fn single(ladder: Ladder) -> Brackets {
        Brackets { ladder, budgets: vec![1] }
    }

    /// How many of a round of trials each bracket has, on average.
    #[must_use]
    pub fn budgets(&self) -> &[u128] {
        &self.budgets
    }

    /// The bracket of a trial of the study of this name: the same in every process, and the same as Optuna's.
    #[must_use]
    pub fn of(&self, study: &str, number: TrialNumber) -> usize {
        let last = self.budgets.len() - 1;
        if last == 0 {
            return 0;
        }
        let total: u128 = self.budgets.iter().sum();
        let mut place = u128::from(crc32fast::hash(format!("{study}_{number}").as_bytes())) % total;
        for (bracket, &budget) in self.budgets.iter().enumerate() {
            match place.checked_sub(budget) {
                Some(rest) => place = rest,
                None => return bracket,
            }
        }
        last
    }

    pub(crate) fn ladder(&self, bracket: usize) -> Ladder {
        let left_out = self.ladder.left_out.saturating_add(u32::try_from(bracket).unwrap_or(u32::MAX));
        Ladder { left_out, ..self.ladder }
    }
}
