//! With what values the trials of each bracket reached its rungs, kept between decisions so that a decision looks
//! at the unfinished trials and a few others only. All of it follows from the view that is asked about.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use trialog_ops::{Direction, StudyId, TrialNumber, TrialState};
use trialog_replay::{Lineage, RankList, StudyView, TrialView};

use crate::brackets::Brackets;
use crate::rungs::Standing;

/// How many of the trials that ended last are looked at in the view itself. Views of other threads may be older than
/// the latest one that was asked about, by fewer ends than this.
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
            Some(peers) if peers.is_of(view, brackets) => peers,
            _ => kept.insert(Peers::new(view, brackets)),
        };
        peers.catch_up(view);
        peers.standing(view, rung, direction, value)
    }

    pub(crate) fn drop_all(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// What is known of one study's trials for one way to deal them out.
#[derive(Debug)]
struct Peers {
    lineage: Lineage,
    study: StudyId,
    brackets: Brackets,
    /// How far the newest view reached, with what the next three fields say.
    position: u64,
    trials: usize,
    ended: usize,
    open: Vec<Entrant>,
    /// Trials that have ended, with a position at which they had, oldest first.
    recent: VecDeque<(u64, Entrant)>,
    /// All others; they had ended at `settled_at`, and therefore at every later position.
    settled: BTreeMap<Rung, RankList>,
    settled_at: u64,
}

#[derive(Clone, Copy, Debug)]
struct Entrant {
    number: TrialNumber,
    bracket: usize,
}

impl Peers {
    fn new(view: &StudyView, brackets: &Brackets) -> Peers {
        Peers {
            lineage: view.lineage().clone(),
            study: view.id(),
            brackets: brackets.clone(),
            position: 0,
            trials: 0,
            ended: 0,
            open: Vec::new(),
            recent: VecDeque::new(),
            settled: BTreeMap::new(),
            settled_at: 0,
        }
    }

    fn is_of(&self, view: &StudyView, brackets: &Brackets) -> bool {
        self.lineage == *view.lineage() && self.study == view.id() && self.brackets == *brackets
    }

    /// Takes in what happened up to the view.
    fn catch_up(&mut self, view: &StudyView) {
        if view.position() <= self.position {
            return;
        }
        self.position = view.position();
        let arrived = (self.trials..view.trial_count()).map(|number| TrialNumber(number as u32));
        let entrant = |number| Entrant { number, bracket: self.brackets.of(view.name(), number) };
        self.open.extend(arrived.map(entrant));
        self.trials = view.trial_count();
        let ended = [TrialState::Complete, TrialState::Pruned, TrialState::Fail].map(|state| view.count(state));
        let ended = ended.iter().sum();
        // A trial never begins again after its end, so equal counts mean that none ended.
        if ended != self.ended {
            self.ended = ended;
            let has_ended =
                |entrant: &mut Entrant| view.trial(entrant.number).is_some_and(|trial| trial.state().is_finished());
            self.recent.extend(self.open.extract_if(.., has_ended).map(|entrant| (self.position, entrant)));
            self.settle(view);
        }
    }

    /// Settles what is no longer recent: a trial that has ended reports nothing more.
    fn settle(&mut self, view: &StudyView) {
        let mut arrived: BTreeMap<Rung, Vec<f64>> = BTreeMap::new();
        for (position, entrant) in self.recent.drain(..self.recent.len().saturating_sub(RECENT)) {
            self.settled_at = position;
            let Some(trial) = view.trial(entrant.number) else { continue };
            let rungs = self.brackets.ladder(entrant.bracket).steps();
            for (rung, value) in rungs.map_while(|rung| Some((rung, first_at(trial.reports(), rung)?))) {
                arrived.entry((entrant.bracket, rung)).or_default().push(value);
            }
        }
        for (rung, mut values) in arrived {
            // In order they go in fastest, which counts when a long log is met for the first time.
            values.sort_by(f64::total_cmp);
            let list = self.settled.entry(rung).or_default();
            values.into_iter().for_each(|value| list.insert(value));
        }
    }

    fn standing(&self, view: &StudyView, rung: Rung, direction: Direction, value: f64) -> Standing {
        let mut standing = Standing::default();
        let mut add = |number| {
            let peer = view.trial(number).and_then(|trial| first_at(trial.reports(), rung.1));
            if let Some(peer) = peer.filter(|peer| !peer.is_nan()) {
                standing.peers += 1;
                standing.better += usize::from(direction.is_better(peer, value));
            }
        };
        if view.position() < self.settled_at {
            // Too old a view for what is settled: all from its trials.
            let is_peer = |&number: &TrialNumber| self.brackets.of(view.name(), number) == rung.0;
            view.trials().map(TrialView::number).filter(is_peer).for_each(add);
            return standing;
        }
        let recent = self.recent.iter().map(|(_, entrant)| entrant);
        let unsettled = recent.chain(&self.open).filter(|entrant| entrant.bracket == rung.0);
        unsettled.for_each(|entrant| add(entrant.number));
        if let Some(settled) = self.settled.get(&rung) {
            standing.peers += settled.len();
            standing.better += match direction {
                Direction::Minimize => settled.count_less(value),
                Direction::Maximize => settled.count_greater(value),
            };
        }
        standing
    }
}

/// The value of the first report at or after a rung.
fn first_at(reports: &[(u64, f64)], rung: u64) -> Option<f64> {
    reports.get(reports.partition_point(|&(step, _)| step < rung)).map(|&(_, value)| value)
}
