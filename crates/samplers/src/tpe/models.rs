//! Models of the trials that are not good, which are kept from one suggestion to the next. All that is kept follows from
//! the view, and may be lost at any moment: then suggestions take longer, and are the same.

use std::collections::{BTreeSet, VecDeque};

use trialog_ops::{StudyId, TrialNumber, TrialState};
use trialog_replay::{Lineage, ParamColumn, StudyView, TrialView};

use super::observe::Others;
use crate::parzen::{Axis, Growing, KernelOptions, Weights};

/// With fewer observations laying them out anew costs no more.
pub(super) const WORTH_KEEPING: usize = 1000;

/// The same for a single parameter, whose model costs less.
pub(super) const WORTH_KEEPING_ALONE: usize = 300;

/// A model is built when it is asked for the second time: it takes as long as some suggestions without one.
const ASKED_BEFORE: u32 = 1;

/// How many changes are noted, for views that are older than the last one.
const NOTED_MAX: usize = 4096;

/// Models of all groups of parameters together hold at most so many values.
const VALUES_MAX: usize = 1 << 24;

/// What is kept of one study.
#[derive(Debug, Default)]
pub(super) struct Models {
    of: Option<(Lineage, StudyId)>,
    list: Vec<Model>,
    clock: u64,
}

/// The model of one group of parameters.
#[derive(Debug)]
struct Model {
    names: Vec<String>,
    axes: Vec<Axis>,
    asked: u32,
    last_asked: u64,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Not built yet.
    Empty,
    Built(Box<Followed>),
    /// Some observation has no place in a model of this kind.
    Impossible,
}

/// Observations that follow a study.
#[derive(Debug)]
pub(super) struct Followed {
    pub(super) growing: Growing,
    position: u64,
    /// How many trials the view had.
    seen: usize,
    /// Trials that run, and may change at any time.
    running: BTreeSet<u32>,
    /// Trials that wait, which are none of the observations.
    waiting: Vec<u32>,
    good: Vec<u32>,
    asking: TrialNumber,
    /// Trials that were looked at, and at which position; from `noted_from` on all of them.
    noted: VecDeque<(u64, u32)>,
    noted_from: u64,
}

impl Models {
    /// The model of these parameters as the view has them; none if there is none yet or there cannot be one.
    pub(super) fn of(
        &mut self,
        view: &StudyView,
        names: &[&str],
        axes: &[Axis],
        others: &Others<'_>,
        options: KernelOptions,
    ) -> Option<&mut Growing> {
        let of = (view.lineage().clone(), view.id());
        if self.of.as_ref() != Some(&of) {
            *self = Models { of: Some(of), ..Models::default() };
        }
        self.clock += 1;
        let found = self.list.iter().position(|model| model.names == names && model.axes == axes);
        let at = found.unwrap_or_else(|| {
            self.list.push(Model {
                names: names.iter().map(|&name| name.to_owned()).collect(),
                axes: axes.to_vec(),
                asked: 0,
                last_asked: 0,
                state: State::Empty,
            });
            self.list.len() - 1
        });
        let model = &mut self.list[at];
        model.asked = model.asked.saturating_add(1);
        model.last_asked = self.clock;
        if matches!(model.state, State::Empty) {
            if model.asked <= ASKED_BEFORE {
                return None;
            }
            let built = Followed::new(view, names, axes, others, options);
            model.state = built.map_or(State::Impossible, |built| State::Built(Box::new(built)));
            self.make_room(at);
        }
        let model = &mut self.list[at];
        let State::Built(followed) = &mut model.state else { return None };
        match followed.follow(view, names, others) {
            Follow::Done => {}
            Follow::TooOld => return None,
            Follow::Impossible => {
                model.state = State::Impossible;
                return None;
            }
        }
        match &mut self.list[at].state {
            State::Built(followed) => Some(&mut followed.growing),
            State::Empty | State::Impossible => None,
        }
    }

    /// Lets go of the models that were not asked for the longest.
    fn make_room(&mut self, but: usize) {
        let values = |model: &Model| match &model.state {
            State::Built(followed) => followed.growing.values(),
            State::Empty | State::Impossible => 0,
        };
        let mut total: usize = self.list.iter().map(values).sum();
        while total > VALUES_MAX {
            let kept = self.list.iter().enumerate().filter(|(at, model)| *at != but && values(model) > 0);
            let Some((oldest, _)) = kept.min_by_key(|(_, model)| model.last_asked) else { return };
            total -= values(&self.list[oldest]);
            self.list[oldest].state = State::Empty;
            self.list[oldest].asked = 0;
        }
    }
}

enum Follow {
    Done,
    /// The view is older than what is noted.
    TooOld,
    Impossible,
}

impl Followed {
    fn new(
        view: &StudyView,
        names: &[&str],
        axes: &[Axis],
        others: &Others<'_>,
        options: KernelOptions,
    ) -> Option<Followed> {
        let mut growing = Growing::new(axes, Weights::Recent, options)?;
        let (numbers, columns) = others.observe_numbered(view, names);
        growing.load(&numbers, &columns).ok()?;
        growing.expect(others.good);
        Some(Followed {
            growing,
            position: view.position(),
            seen: view.trial_count(),
            running: view.running().map(|trial| trial.number().0).collect(),
            waiting: view.waiting().map(|trial| trial.number().0).collect(),
            good: others.good.to_vec(),
            asking: others.asking,
            noted: VecDeque::new(),
            noted_from: view.position(),
        })
    }

    /// Brings the observations to where the view is, by looking at the trials that may be different there.
    fn follow(&mut self, view: &StudyView, names: &[&str], others: &Others<'_>) -> Follow {
        if view.position() < self.noted_from {
            return Follow::TooOld;
        }
        let mut changed: Vec<u32> = Vec::new();
        changed.extend(&self.running);
        let mut waited = Vec::new();
        if !view.waiting().map(|trial| trial.number().0).eq(self.waiting.iter().copied()) {
            let waiting: Vec<u32> = view.waiting().map(|trial| trial.number().0).collect();
            waited = std::mem::replace(&mut self.waiting, waiting);
            waited.retain(|number| self.waiting.binary_search(number).is_err());
            changed.extend(&waited);
        }
        changed.extend((self.seen.min(view.trial_count()) as u32)..(self.seen.max(view.trial_count()) as u32));
        changed.extend([self.asking.0, others.asking.0]);
        if self.good != others.good {
            changed.extend(self.good.iter().filter(|number| others.good.binary_search(number).is_err()));
            changed.extend(others.good.iter().filter(|number| self.good.binary_search(number).is_err()));
        }
        let goes_back = view.position() < self.position;
        let mut undone = BTreeSet::new();
        while let Some((_, number)) = self.noted.pop_back_if(|(position, _)| *position > view.position()) {
            undone.insert(number);
        }
        changed.extend(&undone);
        changed.sort_unstable();
        changed.dedup();
        let columns: Option<Vec<ParamColumn<'_>>> = names.iter().map(|name| view.param(name)).collect();
        let mut values = Vec::with_capacity(names.len());
        for number in changed {
            let state = view.trial(TrialNumber(number)).map(TrialView::state);
            let is_other = match state {
                Some(TrialState::Complete | TrialState::Pruned) => others.good.binary_search(&number).is_err(),
                Some(TrialState::Running) => others.running,
                Some(TrialState::Waiting | TrialState::Fail) | None => false,
            };
            values.clear();
            if is_other && number != others.asking.0 {
                let columns = columns.iter().flatten();
                values.extend(columns.filter_map(|column| column.value(TrialNumber(number))));
            }
            let values = Some(&values[..]).filter(|values| values.len() == names.len());
            if self.growing.set(number, values).is_err() {
                return Follow::Impossible;
            }
            let ran = self.running.contains(&number);
            let runs = state == Some(TrialState::Running);
            match (ran, runs) {
                (false, true) => _ = self.running.insert(number),
                (true, false) => _ = self.running.remove(&number),
                _ => {}
            }
            // Going back, a trial must be looked at again that has ended since, or was not there.
            let is_new = number as usize >= self.seen;
            let was_unsettled = ran || waited.binary_search(&number).is_ok();
            let is_noted = if goes_back {
                !runs && state.is_some() && undone.contains(&number)
            } else {
                is_new || (was_unsettled && !runs)
            };
            if is_noted {
                self.noted.push_back((view.position(), number));
            }
        }
        while self.noted.len() > NOTED_MAX {
            if let Some((position, _)) = self.noted.pop_front() {
                self.noted_from = position;
            }
        }
        self.position = view.position();
        self.seen = view.trial_count();
        if self.good != others.good {
            self.good = others.good.to_vec();
        }
        self.asking = others.asking;
        Follow::Done
    }
}
