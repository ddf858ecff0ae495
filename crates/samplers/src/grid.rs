//! Grid search: every combination of given values once, in an order shuffled by the study's seed.
//!
//! Which points have been visited is read off the trials' parameters, running ones included; nothing else is written
//! down. Running trials that have not got all of their point yet are given points in the order of their numbers, and
//! everybody works that out alike, so that no two processes take the same one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use trialog_numerics::Stream;
use trialog_ops::{Choice, ComponentSpec, Distribution, Json, OptionReader, TrialNumber};
use trialog_replay::{StudyView, TrialView};

use crate::follow::Follower;
use crate::random::draw;
use crate::registry::Options;
use crate::unit::{from_choice, to_choice, to_json};
use crate::{Proposal, Sampler, stream};

/// The most points that a grid can have.
const POINTS_MAX: usize = 1 << 24;

/// Every combination of the values once.
#[derive(Debug)]
pub struct Grid {
    /// By name.
    space: Vec<(String, Vec<Choice>)>,
    kept: Follower<Walk>,
}

/// Which points finished trials have visited, in one shuffled order of them.
#[derive(Clone, Debug)]
struct Walk {
    seed: u64,
    order: Arc<[u32]>,
    /// By point.
    visited: Vec<bool>,
    left: usize,
    /// Up to here all points of the order are visited.
    first: usize,
}

/// What a trial says of its point: for each parameter the values that it may have there, all if it has none yet.
struct Place(Vec<Vec<usize>>);

impl Grid {
    /// A grid of these values, by parameter. Values that are there twice count once.
    ///
    /// # Errors
    /// No parameter, a parameter without values, or more than 16,777,216 points.
    pub fn new(space: impl IntoIterator<Item = (String, Vec<Choice>)>) -> Result<Grid, String> {
        let space: BTreeMap<String, Vec<Choice>> = space.into_iter().collect();
        if space.is_empty() {
            return Err("a grid needs a parameter".to_owned());
        }
        let mut points = 1_usize;
        let mut unique = Vec::with_capacity(space.len());
        for (name, choices) in space {
            let mut values: Vec<Choice> = Vec::new();
            for choice in choices {
                if !values.contains(&choice) {
                    values.push(choice);
                }
            }
            if values.is_empty() {
                return Err(format!("parameter {name:?} of the grid has no values"));
            }
            let more = points.checked_mul(values.len()).filter(|&more| more <= POINTS_MAX);
            points = more.ok_or_else(|| format!("a grid can have at most {POINTS_MAX} points"))?;
            unique.push((name, values));
        }
        Ok(Grid { space: unique, kept: Follower::default() })
    }

    /// Reads the options of a log.
    ///
    /// # Errors
    /// Options without a `search_space` that is an object of lists of scalars, or with anything else.
    pub fn from_options(options: &Options) -> Result<Grid, String> {
        let mut reader = OptionReader::new(options);
        let space =
            reader.take("search_space", "an object with a list of scalars for each parameter", |value| {
                let lists = value.as_object()?.iter().map(|(name, values)| {
                    let choices: Option<Vec<Choice>> = values.as_array()?.iter().map(to_choice).collect();
                    Some((name.clone(), choices?))
                });
                lists.collect::<Option<Vec<_>>>()
            })?;
        reader.finish()?;
        Grid::new(space.ok_or("option search_space is missing")?)
    }

    /// How many points there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.space.iter().map(|(_, values)| values.len()).product()
    }

    /// False: a grid has a point at least.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets what was kept to save time. Suggestions stay the same.
    pub fn drop_caches(&self) {
        self.kept.clear();
    }

    /// Where a trial is; `None` if it is nowhere on the grid.
    fn place(&self, trial: TrialView<'_>, view: &StudyView) -> Option<Place> {
        let mut place = Vec::with_capacity(self.space.len());
        for (name, values) in &self.space {
            let column = view.param(name);
            let has = column
                .and_then(|column| Some((column.value(trial.number())?, column.distribution(trial.number())?)));
            let fits = |at: &usize| {
                has.is_none_or(|(value, distribution)| from_choice(distribution, &values[*at]) == Some(value))
            };
            let fitting: Vec<usize> = (0..values.len()).filter(fits).collect();
            if fitting.is_empty() {
                return None;
            }
            place.push(fitting);
        }
        Some(Place(place))
    }

    /// True if the trial has all parameters of the grid.
    fn is_whole(&self, trial: TrialView<'_>) -> bool {
        self.space.iter().all(|(name, _)| trial.param(name).is_some())
    }

    /// The points of a place: more than one where parameters are missing, or where values coincide because a range
    /// does not have them.
    fn points(&self, place: &Place) -> impl Iterator<Item = usize> + use<> {
        let mut points = vec![0];
        for (fitting, (_, values)) in place.0.iter().zip(&self.space) {
            let row = |point: usize| fitting.iter().map(move |at| point * values.len() + at);
            points = points.into_iter().flat_map(row).collect();
        }
        points.into_iter()
    }

    fn is_at(&self, place: &Place, point: usize) -> bool {
        place.0.iter().zip(self.digits(point)).all(|(fitting, digit)| fitting.contains(&digit))
    }

    /// Which value of each parameter a point has.
    fn digits(&self, point: usize) -> Vec<usize> {
        let mut rest = point;
        let mut digits: Vec<usize> = self
            .space
            .iter()
            .rev()
            .map(|(_, values)| {
                let digit = rest % values.len();
                rest /= values.len();
                digit
            })
            .collect();
        digits.reverse();
        digits
    }

    fn walk<R>(&self, view: &StudyView, seed: Option<u64>, read: impl FnOnce(&mut Walk) -> R) -> R {
        let begin = || {
            let seed = seed.unwrap_or(0);
            let mut order: Vec<u32> = (0..self.len() as u32).collect();
            let mut stream = Stream::new(&[seed, trialog_numerics::hash_bytes(b"grid")]);
            for last in (1..order.len()).rev() {
                order.swap(last, stream.below(last as u64 + 1) as usize);
            }
            Walk { seed, order: order.into(), visited: vec![false; self.len()], left: self.len(), first: 0 }
        };
        let absorb = |walk: &mut Walk, trial: TrialView<'_>| {
            if self.is_whole(trial)
                && let Some(place) = self.place(trial, view)
            {
                self.points(&place).for_each(|point| walk.visit(point));
            }
        };
        self.kept.look(view, |walk| seed.is_none_or(|seed| walk.seed == seed), begin, absorb, read)
    }

    /// The point of a running trial.
    fn point(&self, view: &StudyView, number: TrialNumber, seed: u64) -> Vec<usize> {
        self.walk(view, Some(seed), |walk| {
            let mut taken = BTreeSet::new();
            let mut before = Vec::new();
            for trial in view.running().filter(|trial| trial.number() != number) {
                match self.place(trial, view) {
                    Some(place) if self.is_whole(trial) => taken.extend(self.points(&place)),
                    Some(place) if trial.number() < number => before.push(place),
                    _ => {}
                }
            }
            for place in before {
                let next = walk.next(&taken, |point| self.is_at(&place, point));
                taken.extend(next);
            }
            let own = view.trial(number).and_then(|trial| self.place(trial, view));
            let fits = |point| own.as_ref().is_none_or(|place| self.is_at(place, point));
            // With nothing left, its number decides; what it has already still holds.
            let point = walk.next(&taken, fits).unwrap_or_else(|| {
                let start = number.index() % walk.order.len();
                let turn = walk.order[start..].iter().chain(&walk.order[..start]).map(|&point| point as usize);
                turn.clone().find(|&point| fits(point)).unwrap_or(walk.order[start] as usize)
            });
            self.digits(point)
        })
    }

    fn value(&self, at: usize, digit: usize, distribution: &Distribution) -> Option<f64> {
        from_choice(distribution, &self.space[at].1[digit])
    }
}

impl Walk {
    fn visit(&mut self, point: usize) {
        if !std::mem::replace(&mut self.visited[point], true) {
            self.left -= 1;
        }
        while self.order.get(self.first).is_some_and(|&point| self.visited[point as usize]) {
            self.first += 1;
        }
    }

    /// The first point in order that fits, not visited and not taken.
    fn next(&self, taken: &BTreeSet<usize>, fits: impl Fn(usize) -> bool) -> Option<usize> {
        let rest = self.order[self.first..].iter().map(|&point| point as usize);
        rest.filter(|&point| !self.visited[point]).find(|point| !taken.contains(point) && fits(*point))
    }
}

impl Sampler for Grid {
    fn spec(&self) -> ComponentSpec {
        let list = |values: &[Choice]| values.iter().map(to_json).collect::<serde_json::Value>();
        let space: Options = self.space.iter().map(|(name, values)| (name.clone(), list(values))).collect();
        let options = Json::from(serde_json::json!({ "search_space": space }));
        ComponentSpec { name: "grid".to_owned(), version: 1, options }
    }

    fn sample_relative(&self, view: &StudyView, number: TrialNumber, seed: u64) -> Vec<Proposal> {
        let digits = self.point(view, number, seed);
        let proposal = |(at, (digit, (name, _))): (usize, (usize, &(String, Vec<Choice>)))| {
            let (key, def) = view.param(name)?.first();
            Some((key, Arc::clone(def), self.value(at, digit, &def.distribution)?))
        };
        digits.into_iter().zip(&self.space).enumerate().filter_map(proposal).collect()
    }

    fn sample_independent(
        &self,
        view: &StudyView,
        number: TrialNumber,
        seed: u64,
        name: &str,
        distribution: &Distribution,
    ) -> f64 {
        let at = self.space.iter().position(|(known, _)| known == name);
        let on_grid = at.and_then(|at| self.value(at, self.point(view, number, seed)[at], distribution));
        on_grid.unwrap_or_else(|| draw(&mut stream(seed, number, name), distribution))
    }

    fn is_exhausted(&self, view: &StudyView) -> bool {
        self.walk(view, None, |walk| {
            let (mut running, mut incomplete) = (BTreeSet::new(), 0);
            for trial in view.running() {
                match self.place(trial, view) {
                    Some(place) if self.is_whole(trial) => running.extend(self.points(&place)),
                    Some(_) => incomplete += 1,
                    None => {}
                }
            }
            let open = running.iter().filter(|&&point| !walk.visited[point]).count();
            walk.left <= open + incomplete
        })
    }
}
