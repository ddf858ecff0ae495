//! With what values the trials of each bracket reached its rungs, kept between decisions so that a decision looks
//! at the unfinished trials and a few others only. All of it follows from the view that is asked about.

use std::collections::{BTreeMap, VecDeque};

use trialog_ops::{Direction, StudyId, TrialNumber, TrialState};
use trialog_replay::{Lineage, RankList, StudyView, TrialView};

use crate::hyperband::Brackets;
use crate::successive_halving::Standing;

/// How many of the trials that ended last are looked at in the view itself. Views of other threads may be older than
/// the latest one that was asked about, by fewer ends than this.
const RECENT: usize = 64;

/// How many trials of the bracket reached a rung, and how many with a better value?
#[derive(Clone, Copy, Debug)]
pub(crate) struct Question {
    pub(crate) bracket: usize,
    /// The rung's step.
    pub(crate) rung: u64,
    pub(crate) value: f64,
    pub(crate) direction: Direction,
}

/// What is known of one study's trials for one way to deal them out.
#[derive(Debug)]
pub(crate) struct Peers {
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
    /// All others, by bracket and rung; they had ended at `settled_at`, and therefore at every later position.
    settled: BTreeMap<(usize, u64), RankList>,
    settled_at: u64,
}

#[derive(Clone, Copy, Debug)]
struct Entrant {
    number: TrialNumber,
    bracket: usize,
}

impl Peers {
    /// Answers for the view, with what was kept if it is good for it.
    pub(crate) fn standing(
        kept: &mut Option<Peers>,
        view: &StudyView,
        brackets: &Brackets,
        question: Question,
    ) -> Standing {
        let peers = match kept {
            Some(peers) if peers.is_of(view, brackets) => peers,
            _ => kept.insert(Peers::new(view, brackets)),
        };
        peers.catch_up(view);
        if view.position() < peers.settled_at {
            return Peers::search(view, brackets, question);
        }
        peers.answer(view, question)
    }

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
        // Trials never begin again after their end, so equal counts mean that none ended.
        if ended != self.ended {
            self.ended = ended;
            let has_ended =
                |entrant: &mut Entrant| view.trial(entrant.number).is_some_and(|trial| trial.state().is_finished());
            self.recent.extend(self.open.extract_if(.., has_ended).map(|entrant| (self.position, entrant)));
            while self.recent.len() > RECENT
                && let Some((position, entrant)) = self.recent.pop_front()
            {
                self.settle(view, entrant);
                self.settled_at = position;
            }
        }
    }

    /// A trial that has ended reports nothing more.
    fn settle(&mut self, view: &StudyView, entrant: Entrant) {
        let Some(trial) = view.trial(entrant.number) else { return };
        let reports = trial.reports();
        for rung in self.brackets.ladder(entrant.bracket).steps() {
            let Some(value) = first_at(reports, rung) else { return };
            self.settled.entry((entrant.bracket, rung)).or_default().insert(value);
        }
    }

    fn answer(&self, view: &StudyView, question: Question) -> Standing {
        let Question { bracket, rung, value, direction } = question;
        let mut standing = Standing::default();
        if let Some(settled) = self.settled.get(&(bracket, rung)) {
            standing.peers = settled.len();
            standing.better = match direction {
                Direction::Minimize => settled.count_less(value),
                Direction::Maximize => settled.count_greater(value),
            };
        }
        let recent = self.recent.iter().map(|(_, entrant)| entrant);
        for entrant in recent.chain(&self.open).filter(|entrant| entrant.bracket == bracket) {
            standing.enter(view, entrant.number, question);
        }
        standing
    }

    /// The answer from the trials alone, for a view that is too old.
    fn search(view: &StudyView, brackets: &Brackets, question: Question) -> Standing {
        let mut standing = Standing::default();
        for number in view.trials().map(TrialView::number) {
            if brackets.of(view.name(), number) == question.bracket {
                standing.enter(view, number, question);
            }
        }
        standing
    }
}

impl Standing {
    /// Counts a trial if it reached the rung with a number.
    fn enter(&mut self, view: &StudyView, number: TrialNumber, question: Question) {
        let Question { rung, value, direction, .. } = question;
        let peer = view.trial(number).and_then(|trial| first_at(trial.reports(), rung));
        if let Some(peer) = peer.filter(|peer| !peer.is_nan()) {
            self.add(direction, peer, value);
        }
    }
}

/// The value of the first report at or after a rung.
fn first_at(reports: &[(u64, f64)], rung: u64) -> Option<f64> {
    reports.get(reports.partition_point(|&(step, _)| step < rung)).map(|&(_, value)| value)
}
