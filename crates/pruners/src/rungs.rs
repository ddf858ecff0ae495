//! The ladder of steps that successive halving works on, and the rule by which trials go on from a rung.

/// The steps of the rungs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ladder {
    pub(crate) min_resource: u64,
    pub(crate) reduction_factor: u64,
    /// The early-stopping rate: how many of the first rungs there are not.
    pub(crate) left_out: u32,
}

impl Ladder {
    /// The rungs from the lowest on, as far as steps can count.
    pub(crate) fn steps(self) -> impl Iterator<Item = u64> {
        let factor = self.reduction_factor;
        let first = factor.checked_pow(self.left_out).and_then(|power| power.checked_mul(self.min_resource));
        std::iter::successors(first, move |step| step.checked_mul(factor))
    }
}

/// A value among those with which trials reached a rung.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Standing {
    /// How many reached it, the trial itself among them.
    pub(crate) peers: usize,
    /// How many of them have a strictly better value.
    pub(crate) better: usize,
}

/// What successive halving and each bracket of Hyperband do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rule {
    pub(crate) ladder: Ladder,
    pub(crate) bootstrap_count: usize,
}

impl Rule {
    /// Why the trial should stop at the rungs that its latest report reached, if it should.
    pub(crate) fn reason(&self, reports: &[(u64, f64)], standing: impl Fn(u64, f64) -> Standing) -> Option<String> {
        let (&(step, value), before) = reports.split_last()?;
        let is_judged = |rung: u64| before.last().is_some_and(|&(last, _)| rung <= last);
        let rungs = (0..).zip(self.ladder.steps()).skip_while(|&(_, rung)| is_judged(rung));
        // How many of the trials below can have come to a rung by right: a report that is the first for several
        // rungs brings along all that were left behind at the lower ones.
        let mut entitled = usize::MAX;
        for (k, rung) in rungs.take_while(|&(_, rung)| rung <= step) {
            if value.is_nan() {
                return Some(format!(
                    "the value at step {step} is NaN, with which rung {k} (step {rung}) was reached"
                ));
            }
            let Standing { peers, better } = standing(rung, value);
            if peers <= self.bootstrap_count {
                let most = self.bootstrap_count;
                return Some(format!(
                    "rung {k} (step {rung}) was reached by {peers} trials, and more than {most} must"
                ));
            }
            let factor = usize::try_from(self.ladder.reduction_factor).unwrap_or(usize::MAX);
            let promoted = (peers.min(entitled) / factor).max(1);
            if better >= promoted {
                return Some(format!(
                    "{value:?}, the value at step {step}, is behind {better} of the {peers} trials that reached rung \
                     {k} (step {rung}), of which the best {promoted} go on"
                ));
            }
            entitled = promoted;
        }
        None
    }
}
