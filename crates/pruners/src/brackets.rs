//! How trials are dealt out: which bracket each belongs to, and where the bracket's rungs are.

use crc32fast::Hasher;
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
        self.dealer(study).bracket(number)
    }

    /// Deals out the trials of the study of this name.
    pub(crate) fn dealer(&self, study: &str) -> Dealer<'_> {
        let mut hasher = Hasher::new();
        hasher.update(study.as_bytes());
        hasher.update(b"_");
        let total: u128 = self.budgets.iter().sum();
        Dealer { budgets: &self.budgets, total: u64::try_from(total).unwrap_or(u64::MAX), hasher }
    }

    pub(crate) fn ladder(&self, bracket: usize) -> Ladder {
        let left_out = self.ladder.left_out.saturating_add(u32::try_from(bracket).unwrap_or(u32::MAX));
        Ladder { left_out, ..self.ladder }
    }
}

/// Deals out one study's trials, of which there may be many at once.
pub(crate) struct Dealer<'a> {
    budgets: &'a [u128],
    /// Their sum, or more than any checksum.
    total: u64,
    /// What every trial's checksum begins with.
    hasher: Hasher,
}

impl Dealer<'_> {
    pub(crate) fn bracket(&self, number: TrialNumber) -> usize {
        let last = self.budgets.len() - 1;
        if last == 0 {
            return 0;
        }
        let mut hasher = self.hasher.clone();
        let mut digits = [0; 10];
        hasher.update(decimal(number.0, &mut digits));
        let mut place = u128::from(u64::from(hasher.finalize()) % self.total);
        for (bracket, &budget) in self.budgets.iter().enumerate() {
            match place.checked_sub(budget) {
                Some(rest) => place = rest,
                None => return bracket,
            }
        }
        last
    }
}

/// A number as people write it, without an allocation.
fn decimal(mut number: u32, digits: &mut [u8; 10]) -> &[u8] {
    let mut first = digits.len();
    loop {
        first -= 1;
        digits[first] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            return &digits[first..];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_those_of_display() {
        for number in [0, 7, 10, 99, 100, 4_294_967_295] {
            assert_eq!(decimal(number, &mut [0; 10]), number.to_string().as_bytes());
        }
    }
}
