//! Genetic search for several objectives: a population, and children of its best.
//!
//! NSGA-II: Deb, Pratap, Agarwal and Meyarivan, "A fast and elitist multiobjective genetic algorithm: NSGA-II", IEEE TEVC
//! 6 (2002). NSGA-III: Deb and Jain, "An evolutionary many-objective optimization algorithm using
//! reference-point-based nondominated sorting approach, part I", and Jain and Deb, "part II: handling constraints", IEEE
//! TEVC 18 (2014).
//!
//! There are no generations to wait for: each trial that is completed contends with the parents for a place among them
//! at once, in the order in which the log ended them (Durillo, Nebro, Luna and Alba, "On the effect of the steady-state
//! selection scheme in multi-objective genetic algorithms", EMO 2009). So every process finds the same parents in the
//! same log, nothing of them has to be written down, and no trial is lost because its worker was slow.
//!
//! Where nothing else is asked for, children are made in more than one way. Parents renewed at once, tournaments that
//! crowding decides, no twins, small moves beside new draws, and blends beside exchanges: each of them made the regret
//! smaller on test functions, of one objective and of several, with constraints and without; together they halve it.

mod crossover;
mod select;

use std::sync::Arc;

use trialog_numerics::{Stream, even_direction_count, even_directions};
use trialog_ops::{ComponentSpec, Json, OptionReader, ParamDef, TrialNumber, TrialState};
use trialog_replay::{Over, StudyView, TrialView};

pub use crossover::{Binary, Crossover, Draws, mutated};
use select::{Cut, Member, Parents, elite};

use crate::follow::Follower;
use crate::parzen::{Axis, NumericAxis};
use crate::random::{draw, settle};
use crate::registry::Options;
use crate::space::{SpaceParam, joint};
use crate::{Proposal, Sampler, stream, stream_for};

/// How often parents are tried whose child is outside the range, before it is moved inside; and how many children, and
/// then how many random points, are tried that are twins.
const TRIES: usize = 10;

/// How often parents are renewed while as many trials complete as a population has: with the usual size at every trial,
/// or every other one where directions are costly; and of large populations none costs more per trial.
const RENEWALS: usize = 50;
const RENEWALS_BY_DIRECTIONS: usize = 25;

/// What becomes of a parameter that is mutated.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Mutation {
    /// In four children of five a number is moved a little, as by [`Mutation::Polynomial`] with an `eta` of 20, so that
    /// the front is approached; in the others it is drawn anew, so that no part of the range is ever given up.
    #[default]
    Mixed,
    /// It is drawn anew from its whole range.
    Random,
    /// A number is moved a little, the less the larger `eta` is (at least 0; usually 20); a choice is drawn anew.
    Polynomial {
        /// The distribution index.
        eta: f64,
    },
}

/// What shapes a genetic sampler.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NsgaOptions {
    /// How many complete trials there are before the first child, and how many parents at any time after. At least 2,
    /// and at least as many as the crossover has parents; default 50.
    pub population_size: usize,
    /// What a mutation does. Default [`Mutation::Mixed`].
    pub mutation: Mutation,
    /// How likely each parameter is mutated. In `[0, 1]`; default: one over the number of parameters.
    pub mutation_prob: Option<f64>,
    /// How a child comes from its parents. Default [`Crossover::Mixed`].
    pub crossover: Crossover,
    /// How likely a child has more than one parent. In `[0, 1]`; default 0.9.
    pub crossover_prob: f64,
    /// How likely a choice is the last parent's. In `[0, 1]`; default 0.5.
    pub swapping_prob: f64,
}

impl Default for NsgaOptions {
    fn default() -> NsgaOptions {
        NsgaOptions {
            population_size: 50,
            mutation: Mutation::Mixed,
            mutation_prob: None,
            crossover: Crossover::Mixed { swapping_prob: 0.5 },
            crossover_prob: 0.9,
            swapping_prob: 0.5,
        }
    }
}

/// NSGA-II: of a rank that does not fit, the least crowded survive.
#[derive(Debug, Default)]
pub struct Nsga2 {
    genetic: Genetic,
}

/// NSGA-III: of a rank that does not fit, those survive who stand for directions that few others stand for. For three
/// objectives and more.
#[derive(Debug, Default)]
pub struct Nsga3 {
    genetic: Genetic,
    directions: Directions,
}

/// The directions from the ideal point that NSGA-III wants to have somebody in.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Directions {
    /// Evenly spread, as many as the population has members or a little fewer.
    #[default]
    Even,
    /// Evenly spread, with so many divisions of each axis, at least 1.
    Divided(usize),
    /// These, one number for each objective.
    These(Vec<Vec<f64>>),
}

impl Directions {
    /// Row by row; those with another number of coordinates than there are objectives are of no use.
    fn rows(&self, objectives: usize, population: usize) -> Vec<f64> {
        let most = || {
            let fits = |divisions: &usize| even_direction_count(objectives, *divisions) <= population;
            (1..population.max(2)).take_while(fits).last().unwrap_or(1)
        };
        match self {
            Directions::Divided(divisions) => even_directions(objectives, *divisions),
            Directions::These(rows) if rows.iter().any(|row| row.len() == objectives) => {
                rows.iter().filter(|row| row.len() == objectives).flatten().copied().collect()
            }
            Directions::Even | Directions::These(_) => even_directions(objectives, most()),
        }
    }
}

/// What both have in common.
#[derive(Debug, Default)]
struct Genetic {
    options: NsgaOptions,
    /// The population of the last view. Losing it costs time only.
    population: Follower<Population>,
}

/// What follows from the complete trials so far.
#[derive(Clone, Debug)]
struct Population {
    seed: u64,
    /// How often parents were chosen.
    renewals: u64,
    parents: Vec<Member>,
    /// Complete trials that have not contended yet.
    coming: Vec<Member>,
    /// The parents as children need them, once somebody has asked.
    ready: Option<Arc<Parents>>,
}

/// How parents are chosen.
struct Selection<'a> {
    /// How often for each population's worth of trials.
    renewals: usize,
    /// From these trials, the how-many-th time.
    choose: Box<dyn Fn(Vec<Member>, u64) -> Vec<Member> + 'a>,
}

/// Which sampler asks, and for what.
struct Asking<'a> {
    name: &'static str,
    view: &'a StudyView,
    number: TrialNumber,
    seed: u64,
    /// Whether of parents of one rank the less crowded wins.
    by_crowding: bool,
}

impl Genetic {
    fn explain(&self, view: &StudyView) -> String {
        let (size, complete) = (self.options.population_size, view.count(TrialState::Complete));
        if complete < size {
            return format!(
                "draws at random until the first population is full, which has {complete} of {size} trials"
            );
        }
        format!("makes children of a population of {size}, chosen from {complete} complete trials")
    }

    /// The parents of the children that are made now; none while there are fewer trials than a population has.
    fn parents(&self, view: &StudyView, seed: u64, selection: &Selection<'_>) -> Arc<Parents> {
        let size = self.options.population_size;
        let begin = || Population { seed, renewals: 0, parents: Vec::new(), coming: Vec::new(), ready: None };
        let absorb = |population: &mut Population, trial: TrialView<'_>| {
            if trial.state() != TrialState::Complete {
                return;
            }
            let directions = view.directions().iter();
            let losses = directions.zip(trial.values()).map(|(direction, value)| direction.loss(value)).collect();
            let violation = trial.violation();
            population.coming.push(Member { number: trial.number().0, losses, violation });
            let enough = if population.parents.is_empty() { size } else { size.div_ceil(selection.renewals) };
            if population.coming.len() >= enough {
                let mut members = std::mem::take(&mut population.parents);
                members.append(&mut population.coming);
                population.parents = (selection.choose)(members, population.renewals);
                population.renewals += 1;
                population.ready = None;
            }
        };
        let fit = |population: &Population| population.seed == seed;
        self.population.look(view, fit, begin, absorb, |population| {
            let parents = || Arc::new(Parents::new(population.parents.clone()));
            Arc::clone(population.ready.get_or_insert_with(parents))
        })
    }

    fn sample(&self, asking: &Asking<'_>, selection: &Selection<'_>) -> Vec<Proposal> {
        let Asking { name, view, number, seed, .. } = *asking;
        let space = joint(view, Over::Complete);
        let parents = self.parents(view, seed, selection);
        let values = if parents.members.len() < self.options.crossover.parents() {
            let at_random = |def: &ParamDef| draw(&mut stream(seed, number, &def.name), &def.distribution);
            space.iter().map(|(_, def)| at_random(def)).collect()
        } else {
            self.newborn(asking, &space, &parents, &mut stream_for(seed, number, name, "child"))
        };
        let proposal =
            |((key, def), value): (&SpaceParam, f64)| (*key, Arc::clone(def), settle(&def.distribution, value));
        space.iter().zip(values).map(proposal).collect()
    }

    /// A child that differs from all parents and from the trials that are running. Where all children are twins, a random
    /// point that is none; and where points are taken, too, as in a small space, any.
    fn newborn(
        &self,
        asking: &Asking<'_>,
        space: &[SpaceParam],
        parents: &Parents,
        stream: &mut Stream,
    ) -> Vec<f64> {
        let view = asking.view;
        let columns: Vec<_> = space.iter().map(|(_, def)| view.param(&def.name)).collect();
        let is_at = |trial: TrialNumber, child: &[f64]| {
            let mut values = columns.iter().map(|column| column.and_then(|column| column.value(trial)));
            child.iter().all(|x| values.next().flatten() == Some(*x))
        };
        let at_random =
            |stream: &mut Stream| space.iter().map(|(_, def)| draw(stream, &def.distribution)).collect();
        for attempt in 0..2 * TRIES {
            let mut child: Vec<f64> = if attempt < TRIES {
                let mut child = self.child(asking, space, parents, stream);
                self.mutate(&mut child, space, stream);
                child
            } else {
                at_random(stream)
            };
            for (value, (_, def)) in child.iter_mut().zip(space) {
                *value = settle(&def.distribution, *value);
            }
            let mut others = parents.members.iter().map(|member| TrialNumber(member.number));
            let is_twin = others.any(|other| is_at(other, &child))
                || view.running().any(|trial| trial.number() != asking.number && is_at(trial.number(), &child));
            if !is_twin {
                return child;
            }
        }
        at_random(stream)
    }

    fn mutate(&self, child: &mut [f64], space: &[SpaceParam], stream: &mut Stream) {
        /// How many children have small mutations where both kinds are.
        const SMALL: f64 = 0.8;
        const ETA: f64 = 20.0;
        let eta = match self.options.mutation {
            Mutation::Mixed => (stream.uniform() < SMALL).then_some(ETA),
            Mutation::Random => None,
            Mutation::Polynomial { eta } => Some(eta),
        };
        let probability = self.options.mutation_prob.unwrap_or(1.0 / space.len().max(1) as f64);
        for (value, (_, def)) in child.iter_mut().zip(space) {
            if stream.uniform() < probability {
                *value = match (eta, Axis::of(&def.distribution)) {
                    (Some(eta), Axis::Numeric(axis)) => {
                        let [low, high] = axis.bounds();
                        let x = axis.place(*value).max(low).min(high);
                        axis.value(mutated(x, [low, high], eta, stream))
                    }
                    _ => draw(stream, &def.distribution),
                };
            }
        }
    }

    /// A child, in internal form.
    fn child(&self, asking: &Asking<'_>, space: &[SpaceParam], parents: &Parents, stream: &mut Stream) -> Vec<f64> {
        let view = asking.view;
        let value = |member: &Member, name: &str| {
            view.param(name).and_then(|column| column.value(TrialNumber(member.number))).unwrap_or(f64::NAN)
        };
        if stream.uniform() >= self.options.crossover_prob {
            let only = &parents.members[stream.below(parents.members.len() as u64) as usize];
            return space.iter().map(|(_, def)| value(only, &def.name)).collect();
        }
        let axes: Vec<Axis> = space.iter().map(|(_, def)| Axis::of(&def.distribution)).collect();
        let numeric = axes.iter().zip(space).filter_map(|(axis, (_, def))| match axis {
            Axis::Numeric(axis) => Some((axis, def)),
            Axis::Categorical { .. } | Axis::Pinned(_) => None,
        });
        let numeric: Vec<_> = numeric.collect();
        let bounds: Vec<[f64; 2]> = numeric.iter().map(|(axis, _)| axis.bounds()).collect();
        let mut tries = 0;
        loop {
            tries += 1;
            let chosen = self.choose_parents(asking, parents, stream);
            let coordinates = |member: &&Member| {
                let place = |((axis, def), [low, high]): (&(&NumericAxis, &Arc<ParamDef>), &[f64; 2])| {
                    // What somebody enqueued may be outside.
                    let place = axis.place(value(member, &def.name));
                    if place.is_nan() { 0.5 * (low + high) } else { place.max(*low).min(*high) }
                };
                numeric.iter().zip(&bounds).map(place).collect::<Vec<f64>>()
            };
            let choices: Vec<bool> =
                axes.iter().map(|axis| is_choice(axis) && stream.uniform() >= self.options.swapping_prob).collect();
            let numbers = if numeric.is_empty() {
                Vec::new()
            } else {
                let points: Vec<Vec<f64>> = chosen.iter().map(coordinates).collect();
                self.options.crossover.child(&points, &bounds, view.directions().len(), stream)
            };
            let inside = numbers.iter().zip(&bounds).all(|(x, [low, high])| low <= x && x <= high);
            if !inside && tries < TRIES {
                continue;
            }
            let mut numbers = numbers.into_iter();
            let (first, last) = (chosen[0], chosen[chosen.len() - 1]);
            let gene = |((axis, (_, def)), swapped): ((&Axis, &SpaceParam), bool)| match axis {
                Axis::Pinned(only) => *only,
                Axis::Categorical { .. } => value(if swapped { last } else { first }, &def.name),
                Axis::Numeric(axis) => {
                    let [low, high] = axis.bounds();
                    axis.value(numbers.next().unwrap_or(low).max(low).min(high))
                }
            };
            return axes.iter().zip(space).zip(choices).map(gene).collect();
        }
    }

    /// Different parents, each the winner of two, of whom the second wins if neither is better.
    fn choose_parents<'a>(
        &self,
        asking: &Asking<'_>,
        parents: &'a Parents,
        stream: &mut Stream,
    ) -> Vec<&'a Member> {
        let mut left: Vec<usize> = (0..parents.members.len()).collect();
        let pick = |_| {
            let mut candidate = || stream.below(left.len() as u64) as usize;
            let (a, b) = (candidate(), candidate());
            let wins = if asking.by_crowding {
                parents.precedes(left[a], left[b])
            } else {
                parents.members[left[a]].dominates(&parents.members[left[b]])
            };
            &parents.members[left.remove(if wins { a } else { b })]
        };
        (0..self.options.crossover.parents()).map(pick).collect()
    }
}

fn is_choice(axis: &Axis) -> bool {
    matches!(axis, Axis::Categorical { .. })
}

impl NsgaOptions {
    fn read(reader: &mut OptionReader<'_>) -> Result<NsgaOptions, String> {
        let default = NsgaOptions::default();
        let binary = |reader: &mut OptionReader<'_>| -> Result<Binary, String> {
            Ok(Binary {
                eta: reader.number("eta", 0.0)?,
                uniform_crossover_prob: probability(reader, "uniform_crossover_prob")?.unwrap_or(0.5),
                use_child_gene_prob: probability(reader, "use_child_gene_prob")?.unwrap_or(0.5),
            })
        };
        let swapping_prob = probability(reader, "swapping_prob")?.unwrap_or(default.swapping_prob);
        let kinds =
            [("mixed", 6), ("uniform", 0), ("blxalpha", 1), ("spx", 2), ("sbx", 3), ("vsbx", 4), ("undx", 5)];
        let crossover = match reader.one_of("crossover", &kinds)?.unwrap_or(6) {
            6 => Crossover::Mixed { swapping_prob },
            0 => Crossover::Uniform { swapping_prob },
            1 => Crossover::BlxAlpha { alpha: reader.number("alpha", 0.0)?.unwrap_or(0.5) },
            2 => Crossover::Spx { epsilon: reader.number("epsilon", 0.0)? },
            3 => Crossover::Sbx(binary(reader)?),
            4 => Crossover::Vsbx(binary(reader)?),
            _ => Crossover::Undx {
                sigma_xi: reader.number("sigma_xi", 0.0)?.unwrap_or(0.5),
                sigma_eta: reader.number("sigma_eta", 0.0)?,
            },
        };
        let mutation = match reader.one_of("mutation", &[("mixed", 0), ("random", 1), ("polynomial", 2)])? {
            Some(1) => Mutation::Random,
            Some(2) => Mutation::Polynomial { eta: reader.number("mutation_eta", 0.0)?.unwrap_or(20.0) },
            _ => Mutation::Mixed,
        };
        let options = NsgaOptions {
            population_size: reader.count("population_size", 2)?.unwrap_or(default.population_size),
            mutation,
            mutation_prob: probability(reader, "mutation_prob")?,
            crossover,
            crossover_prob: probability(reader, "crossover_prob")?.unwrap_or(default.crossover_prob),
            swapping_prob,
        };
        if options.population_size < crossover.parents() {
            return Err(format!(
                "option population_size must be at least {} for this crossover",
                crossover.parents()
            ));
        }
        Ok(options)
    }

    fn write(self) -> serde_json::Map<String, serde_json::Value> {
        let mut map = serde_json::Map::new();
        let mut put = |key: &str, value: serde_json::Value| _ = map.insert(key.to_owned(), value);
        put("population_size", self.population_size.into());
        put("mutation_prob", self.mutation_prob.into());
        put("crossover_prob", self.crossover_prob.into());
        put("swapping_prob", self.swapping_prob.into());
        match self.mutation {
            Mutation::Mixed => put("mutation", "mixed".into()),
            Mutation::Random => put("mutation", "random".into()),
            Mutation::Polynomial { eta } => {
                put("mutation", "polynomial".into());
                put("mutation_eta", eta.into());
            }
        }
        let mut binary = |name: &str, binary: Binary| {
            put("crossover", name.into());
            put("eta", binary.eta.into());
            put("uniform_crossover_prob", binary.uniform_crossover_prob.into());
            put("use_child_gene_prob", binary.use_child_gene_prob.into());
        };
        match self.crossover {
            Crossover::Mixed { .. } => put("crossover", "mixed".into()),
            Crossover::Uniform { .. } => put("crossover", "uniform".into()),
            Crossover::BlxAlpha { alpha } => {
                put("crossover", "blxalpha".into());
                put("alpha", alpha.into());
            }
            Crossover::Spx { epsilon } => {
                put("crossover", "spx".into());
                put("epsilon", epsilon.into());
            }
            Crossover::Sbx(options) => binary("sbx", options),
            Crossover::Vsbx(options) => binary("vsbx", options),
            Crossover::Undx { sigma_xi, sigma_eta } => {
                put("crossover", "undx".into());
                put("sigma_xi", sigma_xi.into());
                put("sigma_eta", sigma_eta.into());
            }
        }
        map
    }
}

/// A number from 0 to 1.
fn probability(reader: &mut OptionReader<'_>, name: &'static str) -> Result<Option<f64>, String> {
    reader.take(name, "a number from 0 to 1", |value| value.as_f64().filter(|p| (0.0..=1.0).contains(p)))
}

impl Nsga2 {
    /// The sampler with these options.
    #[must_use]
    pub fn new(options: NsgaOptions) -> Nsga2 {
        Nsga2 { genetic: Genetic { options, ..Genetic::default() } }
    }

    /// Reads the options of a log; what is not named has its default.
    ///
    /// # Errors
    /// An option that does not exist or has no meaning, in words.
    pub fn from_options(options: &Options) -> Result<Nsga2, String> {
        let mut reader = OptionReader::new(options);
        let options = NsgaOptions::read(&mut reader)?;
        reader.finish()?;
        Ok(Nsga2::new(options))
    }

    /// The trials whose children are tried now; none while there are fewer than a population has.
    #[must_use]
    pub fn parents(&self, view: &StudyView, seed: u64) -> Vec<TrialNumber> {
        let parents = self.genetic.parents(view, seed, &self.selection());
        parents.numbers()
    }

    /// Forgets what was kept to save time. Suggestions stay the same.
    pub fn drop_caches(&self) {
        self.genetic.population.clear();
    }

    fn selection(&self) -> Selection<'_> {
        let size = self.genetic.options.population_size;
        Selection { renewals: RENEWALS, choose: Box::new(move |members, _| elite(members, size, Cut::Crowding)) }
    }
}

impl Nsga3 {
    /// The sampler with these options.
    #[must_use]
    pub fn new(options: NsgaOptions, directions: Directions) -> Nsga3 {
        Nsga3 { genetic: Genetic { options, ..Genetic::default() }, directions }
    }

    /// Reads the options of a log; what is not named has its default.
    ///
    /// # Errors
    /// An option that does not exist or has no meaning, in words.
    pub fn from_options(options: &Options) -> Result<Nsga3, String> {
        let mut reader = OptionReader::new(options);
        let options = NsgaOptions::read(&mut reader)?;
        let row = |row: &serde_json::Value| {
            let row: Option<Vec<f64>> = row.as_array()?.iter().map(serde_json::Value::as_f64).collect();
            row.filter(|row| row.iter().all(|x| *x >= 0.0) && row.iter().any(|x| *x > 0.0))
        };
        let rows =
            reader.take("reference_points", "a list of rows of numbers from 0 that are not all 0", |value| {
                let rows: Option<Vec<Vec<f64>>> = value.as_array()?.iter().map(row).collect();
                rows.filter(|rows| !rows.is_empty())
            })?;
        let divisions = reader.count("dividing_parameter", 1)?;
        reader.finish()?;
        let directions = match (rows, divisions) {
            (Some(rows), _) => Directions::These(rows),
            (None, Some(divisions)) => Directions::Divided(divisions),
            (None, None) => Directions::Even,
        };
        Ok(Nsga3::new(options, directions))
    }

    /// The trials whose children are tried now; none while there are fewer than a population has.
    #[must_use]
    pub fn parents(&self, view: &StudyView, seed: u64) -> Vec<TrialNumber> {
        let parents = self.genetic.parents(view, seed, &self.selection(view, seed));
        parents.numbers()
    }

    /// Forgets what was kept to save time. Suggestions stay the same.
    pub fn drop_caches(&self) {
        self.genetic.population.clear();
    }

    fn selection(&self, view: &StudyView, seed: u64) -> Selection<'_> {
        let size = self.genetic.options.population_size;
        let directions = self.directions.rows(view.directions().len(), size);
        let choose = move |members, renewals| {
            let key = [seed, trialog_numerics::hash_bytes(b"nsga3"), renewals];
            elite(members, size, Cut::Directions(&directions, key))
        };
        Selection { renewals: RENEWALS_BY_DIRECTIONS, choose: Box::new(choose) }
    }
}

impl Sampler for Nsga2 {
    fn spec(&self) -> ComponentSpec {
        let options = serde_json::Value::Object(self.genetic.options.write());
        ComponentSpec { name: "nsga2".to_owned(), version: 1, options: Json::from(options) }
    }

    fn sample_relative(&self, view: &StudyView, number: TrialNumber, seed: u64) -> Vec<Proposal> {
        let asking = Asking { name: "nsga2", view, number, seed, by_crowding: true };
        self.genetic.sample(&asking, &self.selection())
    }

    fn explain(&self, view: &StudyView) -> Option<String> {
        Some(self.genetic.explain(view))
    }
}

impl Sampler for Nsga3 {
    fn spec(&self) -> ComponentSpec {
        let mut options = self.genetic.options.write();
        match &self.directions {
            Directions::Even => {}
            Directions::Divided(divisions) => {
                _ = options.insert("dividing_parameter".to_owned(), (*divisions).into());
            }
            Directions::These(rows) => {
                _ = options.insert("reference_points".to_owned(), rows.clone().into());
            }
        }
        let options = serde_json::Value::Object(options);
        ComponentSpec { name: "nsga3".to_owned(), version: 1, options: Json::from(options) }
    }

    fn sample_relative(&self, view: &StudyView, number: TrialNumber, seed: u64) -> Vec<Proposal> {
        let asking = Asking { name: "nsga3", view, number, seed, by_crowding: false };
        self.genetic.sample(&asking, &self.selection(view, seed))
    }

    fn explain(&self, view: &StudyView) -> Option<String> {
        Some(self.genetic.explain(view))
    }
}
