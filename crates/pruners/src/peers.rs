//! With what values the trials of each bracket reached its rungs, kept between decisions so that a decision looks
//! at the running trials and a few others only. All of it follows from the view that is asked about.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use trialog_ops::{Direction, StudyId};
use trialog_replay::{Lineage, RankList, Series, SeriesId, StudyView};

use crate::brackets::{Brackets, Dealer};
use crate::rungs::Standing;

/// How many of the trials that ended last are looked at in the view itself. Views of other threads may be older than
/// the latest one that was asked about, by so many ends.
const RECENT: usize = 64;

/// A bracket, and the step of one of its rungs.
type Rung = (usize, u64);

/// What is known of the study that was asked about last. Losing it costs time only.
#[derive(Debug, Default)]
pub(crate) struct Kept(Mutex<Option<Peers>>);

impl Kept {
    /// How the value stands among those with which the bracket's trials reached the rung.
    pub(crate) fn standing(
        &self,
        view: &StudyView,
        series: Series<'_>,
        brackets: &Brackets,
        rung: Rung,
        direction: Direction,
        value: f64,
    ) -> Standing {
        // What a panic left behind is not to be trusted; it is made again.
        let mut kept = self.0.lock().unwrap_or_else(|poisoned| {
            let mut kept = poisoned.into_inner();
            *kept = None;
            kept
        });
        let peers = match &mut *kept {
            Some(peers) if peers.is_of(view, series, brackets) => peers,
            _ => kept.insert(Peers::new(view, series, brackets)),
        };
        peers.standing(view, series, rung, direction, value)
    }

    pub(crate) fn drop_all(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// What is known of one study's trials, by what they reported of one thing, for one way to deal them out.
#[derive(Debug)]
struct Peers {
    lineage: Lineage,
    study: StudyId,
    series: SeriesId,
    brackets: Brackets,
    /// By the step of a rung, those that were asked about: a rung costs one look at each trial that has ended, and
    /// many a process never asks about the later ones.
    rungs: BTreeMap<u64, Settled>,
}

/// The values with which trials reached one rung, as far as that is settled: a trial that has ended reports nothing
/// more.
#[derive(Debug)]
struct Settled {
    /// How many of the trials are among these, in the order in which they ended, which is the same in all later views.
    ended: usize,
    /// The values of each bracket's trials.
    values: Vec<RankList>,
}

impl Peers {
    fn new(view: &StudyView, series: Series<'_>, brackets: &Brackets) -> Peers {
        Peers {
            lineage: view.lineage().clone(),
            study: view.id(),
            series: series.id(),
            brackets: brackets.clone(),
            rungs: BTreeMap::new(),
        }
    }

    fn is_of(&self, view: &StudyView, series: Series<'_>, brackets: &Brackets) -> bool {
        self.lineage == *view.lineage()
            && self.study == view.id()
            && self.series == series.id()
            && self.brackets == *brackets
    }

    fn standing(
        &mut self,
        view: &StudyView,
        series: Series<'_>,
        (bracket, step): Rung,
        direction: Direction,
        value: f64,
    ) -> Standing {
        let dealer = self.brackets.dealer(view.name());
        let settled = self.rungs.entry(step).or_insert_with(|| Settled::new(self.brackets.budgets().len()));
        settled.catch_up(view, series, &dealer, step);
        let mut standing = Standing::default();
        // A view that is too old for what is settled is looked at as a whole.
        let known = settled.values.get(bracket).filter(|_| settled.ended <= view.ended_count());
        if let Some(known) = known {
            standing.peers = known.len();
            standing.better = match direction {
                Direction::Minimize => known.count_less(value),
                Direction::Maximize => known.count_greater(value),
            };
        }
        let rest = view.ended_after(if known.is_some() { settled.ended } else { 0 }).chain(view.running());
        for trial in rest {
            if let Some(peer) = reached_with(series.reports(trial.number()), step)
                && dealer.bracket(trial.number()) == bracket
            {
                standing.peers += 1;
                standing.better += usize::from(direction.is_better(peer, value));
            }
        }
        standing
    }
}

impl Settled {
    fn new(brackets: usize) -> Settled {
        Settled { ended: 0, values: vec![RankList::default(); brackets] }
    }

    /// Settles what is no longer recent, many trials at a time.
    fn catch_up(&mut self, view: &StudyView, series: Series<'_>, dealer: &Dealer, step: u64) {
        let Some(end) = view.ended_count().checked_sub(RECENT).filter(|&end| end >= self.ended + RECENT) else {
            return;
        };
        let mut arrived: Vec<Vec<f64>> = vec![Vec::new(); self.values.len()];
        for trial in view.ended_after(self.ended).take(end - self.ended) {
            if let Some(value) = reached_with(series.reports(trial.number()), step) {
                arrived[dealer.bracket(trial.number())].push(value);
            }
        }
        self.ended = end;
        self.values.iter_mut().zip(arrived).for_each(|(list, values)| list.extend(values));
    }
}

/// The value of a trial's first report at or after a rung; NaN is none.
fn reached_with(reports: &[(u64, f64)], rung: u64) -> Option<f64> {
    let &(first, _) = reports.first()?;
    // Most trials report at every step; then there is no need to search.
    let guess = usize::try_from(rung.saturating_sub(first)).unwrap_or(usize::MAX);
    let at = match reports.get(guess) {
        Some(&(step, _)) if step == rung => guess,
        _ if reports.last()?.0 < rung => return None,
        _ => reports.partition_point(|&(step, _)| step < rung),
    };
    reports.get(at).map(|&(_, value)| value).filter(|value| !value.is_nan())
}
