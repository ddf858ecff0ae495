//! The sampler that chooses among the others, and says which one and why.
//!
//! The choice is a function of the view and the trial's number, and may change as the study grows. Its rules follow what
//! `cargo xtask quality` measures (`docs/samplers.md`, "What `auto` does"). While trials are few, two samplers that learn
//! from each other's trials take turns: a Gaussian process is the faster one where the objective is smooth and stops where
//! it is not, densities go on nearly anywhere, and nobody knows beforehand which of the two an objective is for. With several
//! objectives it is a population that goes on.

use std::sync::{Arc, Mutex, PoisonError};

use trialog_ops::{
    Choice, ComponentSpec, Distribution, Json, OptionReader, ParamDef, StudyId, TrialNumber, TrialState,
};
use trialog_replay::{Lineage, Over, StudyView};

use crate::cma::{CmaEs, CmaOptions, SourceTrial};
use crate::registry::{self, Options};
use crate::{Asked, Candidate, Proposal, Sampler};

/// So many trials are spread evenly before anything is learned from them.
const EVEN: usize = 10;

/// So many where more than [`PARALLEL`] are running: the evenly spread ones that are still out are many enough.
const EVEN_PARALLEL: usize = 5;

/// From so many complete trials on, populations and densities learn faster than a Gaussian process.
const MANY: usize = 250;

/// Where there are numbers alone and one trial after the other, that is so from this many trials for each parameter on: what
/// a Gaussian process can find it has found by then, and what is left is too rugged for it.
const MANY_PER_PARAM: usize = 10;

/// At least so many of them, and at most.
const MANY_MIN: usize = 60;
const MANY_MAX: usize = 120;

/// So many parameters are too many for a Gaussian process of a few hundred trials.
const WIDE: usize = 16;

/// With more running trials than this a population, of which a part is always out, is slower than a Gaussian process that
/// takes them into account.
const PARALLEL: usize = 4;

/// More running trials than a Gaussian process can usefully take into account at once.
const CROWD: usize = 32;

/// More objectives than hypervolumes and crowding distances are good for.
const OBJECTIVES_MANY: usize = 4;

/// Chooses by the space, the number of trials, objectives and workers, and by whether there are constraints.
pub struct Auto {
    even: Arc<dyn Sampler>,
    tpe: Arc<dyn Sampler>,
    gp: Arc<dyn Sampler>,
    nsga2: Arc<dyn Sampler>,
    nsga3: Arc<dyn Sampler>,
    cma: Arc<dyn Sampler>,
    /// CMA-ES that begins where the first trials of a study say. Losing it costs time only.
    kept: Mutex<Option<Warm>>,
}

#[derive(Clone)]
struct Warm {
    lineage: Lineage,
    study: StudyId,
    /// How many trials it begins from.
    first: usize,
    sampler: Arc<CmaEs>,
}

/// What is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Plan {
    All(Way),
    /// The first for odd trial numbers, the other for even ones.
    InTurn(Way, Way),
}

/// One of the samplers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Even,
    Tpe,
    Gp,
    /// From the middle.
    Cma,
    /// From the best of the first so many trials.
    WarmCma(usize),
    Nsga2,
    Nsga3,
}

impl Way {
    /// The sampler's registered name.
    fn name(self) -> &'static str {
        match self {
            Way::Even => "qmc",
            Way::Tpe => "tpe",
            Way::Gp => "gp",
            Way::Cma | Way::WarmCma(_) => "cmaes",
            Way::Nsga2 => "nsga2",
            Way::Nsga3 => "nsga3",
        }
    }
}

impl Auto {
    /// The sampler; it has no options.
    ///
    /// # Errors
    /// None that can happen: the samplers that it chooses from are all there.
    pub fn new() -> Result<Auto, String> {
        let named = |name: &str, options: serde_json::Value| {
            let spec = ComponentSpec { name: name.to_owned(), version: 1, options: Json::from(options) };
            registry::from_spec(&spec).map_err(|error| error.to_string())
        };
        let usual = || serde_json::json!({});
        Ok(Auto {
            even: named("qmc", usual())?,
            // When they begin is decided here.
            tpe: named("tpe", serde_json::json!({ "n_startup_trials": EVEN_PARALLEL }))?,
            gp: named("gp", serde_json::json!({ "n_startup_trials": EVEN_PARALLEL }))?,
            nsga2: named("nsga2", usual())?,
            nsga3: named("nsga3", usual())?,
            cma: named("cmaes", usual())?,
            kept: Mutex::new(None),
        })
    }

    /// Reads the options of a log.
    ///
    /// # Errors
    /// Any option at all.
    pub fn from_options(options: &Options) -> Result<Auto, String> {
        OptionReader::new(options).finish()?;
        Auto::new()
    }

    /// Forgets what was kept to save time. Suggestions stay the same.
    pub fn drop_caches(&self) {
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// What is done with the view's next trials, and why.
    fn choose(view: &StudyView) -> (Plan, &'static str) {
        const TURNS: Plan = Plan::InTurn(Way::Gp, Way::Tpe);
        let complete = view.count(TrialState::Complete);
        let finished = complete + view.count(TrialState::Pruned);
        let running = view.count(TrialState::Running);
        let objectives = view.directions().len();
        let joint = view.joint_params(Over::CompleteAndPruned).count();
        // CMA-ES draws at random what is no number, and knows one objective.
        let is_number = |def: &ParamDef| !matches!(def.distribution, Distribution::Categorical(_));
        let numbers = joint == view.params_as_met().len()
            && view.joint_params(Over::CompleteAndPruned).all(|(_, def)| is_number(def));
        let follows = objectives == 1 && numbers && !is_constrained(view);
        if follows && joint >= WIDE && complete > 0 {
            return (
                Plan::All(Way::Cma),
                "many parameters, all numbers: a normal distribution that begins in the middle",
            );
        }
        if finished < if running > PARALLEL { EVEN_PARALLEL } else { EVEN } {
            return (
                Plan::All(Way::Even),
                "there is too little to learn from: the first trials fill the space evenly",
            );
        }
        let is_conditional = joint < view.params_as_met().len();
        if is_conditional && (complete >= MANY || running > CROWD || objectives >= OBJECTIVES_MANY) {
            return (
                Plan::All(Way::Tpe),
                "not all trials have the same parameters or ranges: densities of those that have each",
            );
        }
        if is_conditional {
            return (
                TURNS,
                "few trials, not all with the same parameters: a Gaussian process and densities in turn",
            );
        }
        if objectives > 1 {
            return Auto::choose_front(complete, running, objectives);
        }
        let first = (MANY_PER_PARAM * joint).clamp(MANY_MIN, MANY_MAX);
        let many = if follows && running <= PARALLEL { first } else { MANY };
        if complete < many && running > CROWD {
            return (Plan::All(Way::Tpe), "more trials are running than a Gaussian process can take into account");
        }
        if complete < many {
            return (TURNS, "few trials: a Gaussian process, and densities where it stops, in turn");
        }
        if follows {
            return (
                Plan::All(Way::WarmCma(first)),
                "many trials of numbers alone: a normal distribution that begins at the best of the first ones",
            );
        }
        (Plan::All(Way::Tpe), "many trials, with categories or constraints: densities of good and bad ones")
    }

    /// The same for several objectives, where all trials have the same parameters.
    fn choose_front(complete: usize, running: usize, objectives: usize) -> (Plan, &'static str) {
        let crowd = objectives >= OBJECTIVES_MANY;
        match (complete < MANY, crowd) {
            (true, true) => {
                (Plan::All(Way::Tpe), "there are too many objectives for hypervolumes of a Gaussian process")
            }
            (true, false) if running > CROWD => {
                (Plan::All(Way::Tpe), "more trials are running than a Gaussian process can take into account")
            }
            (true, false) => (
                Plan::InTurn(Way::Gp, Way::Nsga2),
                "few trials of several objectives: a Gaussian process, and a population along the front, in turn",
            ),
            (false, true) => (
                Plan::All(Way::Nsga3),
                "many trials and many objectives: a population kept apart by reference points",
            ),
            (false, false) => {
                (Plan::All(Way::Nsga2), "many trials of several objectives: a population along the front")
            }
        }
    }

    /// Whose turn a trial is.
    fn way(view: &StudyView, number: TrialNumber) -> Way {
        match Auto::choose(view).0 {
            Plan::InTurn(_, even) if number.0.is_multiple_of(2) => even,
            Plan::InTurn(way, _) | Plan::All(way) => way,
        }
    }

    fn sampler(&self, view: &StudyView, way: Way) -> Arc<dyn Sampler> {
        match way {
            Way::Even => Arc::clone(&self.even),
            Way::Tpe => Arc::clone(&self.tpe),
            Way::Gp => Arc::clone(&self.gp),
            Way::Nsga2 => Arc::clone(&self.nsga2),
            Way::Nsga3 => Arc::clone(&self.nsga3),
            Way::Cma => Arc::clone(&self.cma),
            Way::WarmCma(first) => match self.warm(view, first) {
                Some(sampler) => sampler,
                None => Arc::clone(&self.cma),
            },
        }
    }

    /// CMA-ES from the trials that completed first. They stay the same as a study goes on, and so does it.
    fn warm(&self, view: &StudyView, first: usize) -> Option<Arc<dyn Sampler>> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let known = kept
            .as_ref()
            .filter(|kept| kept.first == first && kept.study == view.id() && kept.lineage == *view.lineage());
        if let Some(known) = known {
            let sampler: Arc<dyn Sampler> = Arc::<CmaEs>::clone(&known.sampler);
            return Some(sampler);
        }
        let trials = view.ended_after(0).filter(|trial| trial.state() == TrialState::Complete).take(first);
        let source = trials.filter_map(|trial| -> Option<SourceTrial> {
            let params = trial.params().map(|(name, _, value)| (name.to_owned(), Choice::Float(value)));
            Some((params.collect(), trial.value(0)?))
        });
        let options = CmaOptions { source_trials: source.collect(), ..CmaOptions::default() };
        let sampler = Arc::new(CmaEs::new(options).ok()?);
        *kept = Some(Warm {
            lineage: view.lineage().clone(),
            study: view.id(),
            first,
            sampler: Arc::<CmaEs>::clone(&sampler),
        });
        Some(sampler)
    }
}

/// True if one of the trials that ended last had constraints.
fn is_constrained(view: &StudyView) -> bool {
    let recent = view.ended_count().saturating_sub(16);
    view.ended_after(recent).any(|trial| trial.constraints().next().is_some())
}

impl Sampler for Auto {
    fn spec(&self) -> ComponentSpec {
        ComponentSpec::named("auto")
    }

    fn sample_relative(&self, view: &StudyView, number: TrialNumber, seed: u64) -> Vec<Proposal> {
        self.sampler(view, Auto::way(view, number)).sample_relative(view, number, seed)
    }

    fn sample_independent(
        &self,
        view: &StudyView,
        number: TrialNumber,
        seed: u64,
        name: &str,
        distribution: &Distribution,
    ) -> f64 {
        // What the model did not expect a trial to have.
        let way = match Auto::way(view, number) {
            Way::Gp => Way::Tpe,
            way => way,
        };
        self.sampler(view, way).sample_independent(view, number, seed, name, distribution)
    }

    fn candidates(&self, view: &StudyView, number: TrialNumber, seed: u64, asked: Asked<'_>) -> Vec<Candidate> {
        self.sampler(view, Auto::way(view, number)).candidates(view, number, seed, asked)
    }

    fn explain(&self, view: &StudyView) -> Option<String> {
        let (plan, why) = Auto::choose(view);
        let (name, way) = match plan {
            Plan::All(way) => (way.name().to_owned(), way),
            Plan::InTurn(way, even) => (format!("{} and {}", way.name(), even.name()), way),
        };
        let more = self.sampler(view, way).explain(view).map_or_else(String::new, |more| format!("; {more}"));
        Some(format!("{name}: {why}{more}"))
    }
}
