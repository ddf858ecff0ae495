//! Genetic search for several objectives: a population, and children of its best.
//!
//! NSGA-II: Deb, Pratap, Agarwal and Meyarivan, "A fast and elitist multiobjective genetic algorithm: NSGA-II", IEEE TEVC
//! 6 (2002). NSGA-III: Deb and Jain, "An evolutionary many-objective optimization algorithm using
//! reference-point-based nondominated sorting approach, part I", and Jain and Deb, "part II: handling constraints", IEEE
//! TEVC 18 (2014).
//!
//! A generation is as many complete trials as the population has members, in the order in which the log ended them; so
//! every process finds the same generations in the same log, nothing of them has to be written down, and workers need
//! not wait for each other. A trial of a worker that was slow belongs to the generation in which it ended.

mod crossover;
mod select;

use std::sync::Arc;

use trialog_numerics::{Stream, even_direction_count, even_directions};
use trialog_ops::{ComponentSpec, Json, ParamDef, TrialNumber, TrialState};
use trialog_replay::{Over, StudyView, TrialView};

pub use crossover::{Binary, Crossover, Draws, mutated};
use select::{Cut, Member, elite};

use crate::follow::Follower;
use crate::options::Reader;
use crate::parzen::{Axis, NumericAxis};
use crate::random::{draw, settle};
use crate::registry::Options;
use crate::space::{SpaceParam, joint};
use crate::{Proposal, Sampler, stream, stream_for};

/// How often parents are tried whose child is outside the range, before it is moved inside.
const TRIES: usize = 10;

/// What becomes of a parameter that is mutated.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Mutation {
    /// It is drawn anew from its whole range.
    #[default]
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
    /// How many trials a generation has, and how many of them and of their parents become parents. At least 2, and at
    /// least as many as the crossover has parents; default 50.
    pub population_size: usize,
    /// What a mutation does. Default [`Mutation::Random`].
    pub mutation: Mutation,
    /// How likely each parameter is mutated. In `[0, 1]`; default: one over the number of parameters.
    pub mutation_prob: Option<f64>,
    /// How a child comes from its parents. Default uniform.
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
            mutation: Mutation::Random,
            mutation_prob: None,
            crossover: Crossover::Uniform { swapping_prob: 0.5 },
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
    /// The generations of the last view. Losing them costs time only.
    generations: Follower<Generations>,
}

/// What follows from the complete trials so far.
#[derive(Clone, Debug)]
struct Generations {
    seed: u64,
    /// How many generations are full.
    full: u32,
    parents: Arc<Vec<Member>>,
    /// Those of the generation that is not full yet.
    coming: Vec<Member>,
}

/// How parents are chosen from a full generation.
type Selection<'a> = &'a dyn Fn(Vec<Member>, u32) -> Vec<Member>;

impl Genetic {
    /// The parents of the children that are made now; empty while the first generation is not full.
    fn parents(&self, view: &StudyView, seed: u64, select: Selection<'_>) -> Arc<Vec<Member>> {
        let begin = || Generations { seed, full: 0, parents: Arc::default(), coming: Vec::new() };
        let absorb = |generations: &mut Generations, trial: TrialView<'_>| {
            if trial.state() != TrialState::Complete {
                return;
            }
            let directions = view.directions().iter();
            let losses = directions.zip(trial.values()).map(|(direction, value)| direction.loss(value)).collect();
            let violation = trial.violation();
            generations.coming.push(Member { number: trial.number().0, losses, violation });
            if generations.coming.len() >= self.options.population_size {
                let mut members = std::mem::take(&mut generations.coming);
                members.extend_from_slice(&generations.parents);
                generations.parents = Arc::new(select(members, generations.full));
                generations.full += 1;
            }
        };
        let fit = |generations: &Generations| generations.seed == seed;
        self.generations.look(view, fit, begin, absorb, |generations| Arc::clone(&generations.parents))
    }

    fn sample(
        &self,
        name: &str,
        view: &StudyView,
        number: TrialNumber,
        seed: u64,
        select: Selection<'_>,
    ) -> Vec<Proposal> {
        let space = joint(view, Over::Complete);
        let parents = self.parents(view, seed, select);
        let at_random = |def: &ParamDef| draw(&mut stream(seed, number, &def.name), &def.distribution);
        let values = if parents.len() < self.options.crossover.parents() {
            space.iter().map(|(_, def)| at_random(def)).collect()
        } else {
            let mut stream = stream_for(seed, number, name, "child");
            let mut child = self.child(view, &space, &parents, &mut stream);
            let probability = self.options.mutation_prob.unwrap_or(1.0 / space.len().max(1) as f64);
            for (value, (_, def)) in child.iter_mut().zip(&space) {
                if stream.uniform() < probability {
                    *value = match (self.options.mutation, Axis::of(&def.distribution)) {
                        (Mutation::Polynomial { eta }, Axis::Numeric(axis)) => {
                            let [low, high] = axis.bounds();
                            let x = axis.place(*value).max(low).min(high);
                            axis.value(mutated(x, [low, high], eta, &mut stream))
                        }
                        _ => at_random(def),
                    };
                }
            }
            child
        };
        let proposal =
            |((key, def), value): (&SpaceParam, f64)| (*key, Arc::clone(def), settle(&def.distribution, value));
        space.iter().zip(values).map(proposal).collect()
    }

    /// A child, in internal form.
    fn child(&self, view: &StudyView, space: &[SpaceParam], parents: &[Member], stream: &mut Stream) -> Vec<f64> {
        let value = |member: &Member, name: &str| {
            view.param(name).and_then(|column| column.value(TrialNumber(member.number))).unwrap_or(f64::NAN)
        };
        if stream.uniform() >= self.options.crossover_prob {
            let only = &parents[stream.below(parents.len() as u64) as usize];
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
            let chosen = self.choose_parents(parents, stream);
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

    /// Different parents, each the winner of two, of whom the second wins if neither dominates the other.
    fn choose_parents<'a>(&self, parents: &'a [Member], stream: &mut Stream) -> Vec<&'a Member> {
        let mut left: Vec<&Member> = parents.iter().collect();
        let pick = |_| {
            let mut candidate = || stream.below(left.len() as u64) as usize;
            let (a, b) = (candidate(), candidate());
            let winner = if left[a].dominates(left[b]) { a } else { b };
            left.remove(winner)
        };
        (0..self.options.crossover.parents()).map(pick).collect()
    }
}

fn is_choice(axis: &Axis) -> bool {
    matches!(axis, Axis::Categorical { .. })
}

impl NsgaOptions {
    fn read(reader: &mut Reader<'_>) -> Result<NsgaOptions, String> {
        let default = NsgaOptions::default();
        let binary = |reader: &mut Reader<'_>| -> Result<Binary, String> {
            Ok(Binary {
                eta: reader.number("eta", 0.0)?,
                uniform_crossover_prob: probability(reader, "uniform_crossover_prob")?.unwrap_or(0.5),
                use_child_gene_prob: probability(reader, "use_child_gene_prob")?.unwrap_or(0.5),
            })
        };
        let swapping_prob = probability(reader, "swapping_prob")?.unwrap_or(default.swapping_prob);
        let kinds = [("uniform", 0), ("blxalpha", 1), ("spx", 2), ("sbx", 3), ("vsbx", 4), ("undx", 5)];
        let crossover = match reader.one_of("crossover", &kinds)?.unwrap_or(0) {
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
        let mutation = match reader.one_of("mutation", &[("random", false), ("polynomial", true)])?.unwrap_or(false)
        {
            true => Mutation::Polynomial { eta: reader.number("mutation_eta", 0.0)?.unwrap_or(20.0) },
            false => Mutation::Random,
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
fn probability(reader: &mut Reader<'_>, name: &'static str) -> Result<Option<f64>, String> {
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
        let mut reader = Reader::new(options);
        let options = NsgaOptions::read(&mut reader)?;
        reader.finish()?;
        Ok(Nsga2::new(options))
    }

    /// The trials whose children are tried now, better ranks first; none in the first generation.
    #[must_use]
    pub fn parents(&self, view: &StudyView, seed: u64) -> Vec<TrialNumber> {
        let parents = self.genetic.parents(view, seed, &self.selection());
        parents.iter().map(|member| TrialNumber(member.number)).collect()
    }

    /// Forgets what was kept to save time. Suggestions stay the same.
    pub fn drop_caches(&self) {
        self.genetic.generations.clear();
    }

    fn selection(&self) -> impl Fn(Vec<Member>, u32) -> Vec<Member> {
        |members, _| elite(members, self.genetic.options.population_size, Cut::Crowding)
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
        let mut reader = Reader::new(options);
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

    /// The trials whose children are tried now, better ranks first; none in the first generation.
    #[must_use]
    pub fn parents(&self, view: &StudyView, seed: u64) -> Vec<TrialNumber> {
        let parents = self.genetic.parents(view, seed, &self.selection(view, seed));
        parents.iter().map(|member| TrialNumber(member.number)).collect()
    }

    /// Forgets what was kept to save time. Suggestions stay the same.
    pub fn drop_caches(&self) {
        self.genetic.generations.clear();
    }

    fn selection(&self, view: &StudyView, seed: u64) -> impl Fn(Vec<Member>, u32) -> Vec<Member> {
        let population = self.genetic.options.population_size;
        let objectives = view.directions().len();
        move |members, generation| {
            let directions = self.directions.rows(objectives, population);
            let key = [seed, trialog_numerics::hash_bytes(b"nsga3"), u64::from(generation)];
            elite(members, population, Cut::Directions(&directions, key))
        }
    }
}

impl Sampler for Nsga2 {
    fn spec(&self) -> ComponentSpec {
        let options = serde_json::Value::Object(self.genetic.options.write());
        ComponentSpec { name: "nsga2".to_owned(), version: 1, options: Json::from(options) }
    }

    fn sample_relative(&self, view: &StudyView, number: TrialNumber, seed: u64) -> Vec<Proposal> {
        self.genetic.sample("nsga2", view, number, seed, &self.selection())
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
        self.genetic.sample("nsga3", view, number, seed, &self.selection(view, seed))
    }
}
