//! The sampler that chooses among the others, and says which one and why.
//!
//! The choice is a function of the view, and may change as the study grows. Its rules follow
//! `cargo run --release -p trialog-samplers --example auto_evidence` (the fewer trials, the more a Gaussian process is
//! ahead; after a thousand CMA-ES is, where there are only numbers), and the places where it changes are those of
//! Optuna's AutoSampler (OptunaHub), which has been in use longer.

use std::sync::{Arc, Mutex, PoisonError};

use trialog_ops::{Choice, ComponentSpec, Distribution, Json, StudyId, TrialNumber, TrialState};
use trialog_replay::{Lineage, Over, StudyView};

use crate::cma::{CmaEs, CmaOptions, SourceTrial};
use crate::options::Reader;
use crate::registry::{self, Options};
use crate::{Proposal, Sampler};

/// So many trials are spread evenly before anything is learned from them.
const EVEN: usize = 10;

/// From so many complete trials on, populations learn faster than models.
const MANY: usize = 250;

/// More running trials than a Gaussian process can usefully take into account at once.
const CROWD: usize = 32;

/// More objectives than hypervolumes and crowding distances are good for.
const OBJECTIVES_MANY: usize = 4;

/// Chooses by the space, the number of trials, objectives and workers, and by whether there are constraints.
pub struct Auto {
    even: Arc<dyn Sampler>,
    tpe: Arc<dyn Sampler>,
    branches: Arc<dyn Sampler>,
    gp: Arc<dyn Sampler>,
    nsga2: Arc<dyn Sampler>,
    nsga3: Arc<dyn Sampler>,
    /// CMA-ES that begins where the first trials of a study say. Losing it costs time only.
    kept: Mutex<Option<Warm>>,
}

#[derive(Clone)]
struct Warm {
    lineage: Lineage,
    study: StudyId,
    sampler: Arc<CmaEs>,
}

/// What is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Even,
    Branches,
    Tpe,
    Gp,
    Cma,
    Nsga2,
    Nsga3,
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
            tpe: named("tpe", usual())?,
            branches: named("tpe", serde_json::json!({"multivariate": true, "group": true}))?,
            gp: named("gp", usual())?,
            nsga2: named("nsga2", usual())?,
            nsga3: named("nsga3", usual())?,
            kept: Mutex::new(None),
        })
    }

    /// Reads the options of a log.
    ///
    /// # Errors
    /// Any option at all.
    pub fn from_options(options: &Options) -> Result<Auto, String> {
        Reader::new(options).finish()?;
        Auto::new()
    }

    /// Forgets what was kept to save time. Suggestions stay the same.
    pub fn drop_caches(&self) {
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// The way that is taken, and why.
    fn choose(view: &StudyView) -> (Way, &'static str) {
        let complete = view.count(TrialState::Complete);
        let finished = complete + view.count(TrialState::Pruned);
        let objectives = view.directions().len();
        if finished < EVEN {
            return (Way::Even, "there is too little to learn from: the first trials fill the space evenly");
        }
        let joint = view.joint_params(Over::CompleteAndPruned).count();
        if joint < view.params_as_met().len() {
            return (
                Way::Branches,
                "not all trials have the same parameters or ranges: each group of them has a model",
            );
        }
        if complete < MANY {
            if objectives >= OBJECTIVES_MANY {
                return (Way::Tpe, "there are too many objectives for hypervolumes of a Gaussian process");
            }
            if view.count(TrialState::Running) > CROWD {
                return (Way::Tpe, "more trials are running than a Gaussian process can take into account");
            }
            return (Way::Gp, "few trials: a Gaussian process makes the most of each");
        }
        if objectives >= OBJECTIVES_MANY {
            return (Way::Nsga3, "many trials and many objectives: a population kept apart by reference points");
        }
        if objectives > 1 {
            return (Way::Nsga2, "many trials of several objectives: a population along the front");
        }
        let is_category = |def: &trialog_ops::ParamDef| matches!(def.distribution, Distribution::Categorical(_));
        if view.joint_params(Over::CompleteAndPruned).any(|(_, def)| is_category(def)) {
            return (Way::Tpe, "many trials, with categories: densities of good and bad ones");
        }
        let recent = view.ended_count().saturating_sub(16);
        if view.ended_after(recent).any(|trial| trial.constraints().next().is_some()) {
            return (Way::Tpe, "many trials, with constraints: densities of good and bad ones");
        }
        (Way::Cma, "many trials of numbers alone: a normal distribution that begins at the best of the first ones")
    }

    fn sampler(&self, view: &StudyView) -> Arc<dyn Sampler> {
        match Auto::choose(view).0 {
            Way::Even => Arc::clone(&self.even),
            Way::Branches => Arc::clone(&self.branches),
            Way::Tpe => Arc::clone(&self.tpe),
            Way::Gp => Arc::clone(&self.gp),
            Way::Nsga2 => Arc::clone(&self.nsga2),
            Way::Nsga3 => Arc::clone(&self.nsga3),
            Way::Cma => match self.warm(view) {
                Some(sampler) => sampler,
                None => Arc::clone(&self.tpe),
            },
        }
    }

    /// CMA-ES from the trials that completed first. They stay the same as a study goes on, and so does it.
    fn warm(&self, view: &StudyView) -> Option<Arc<dyn Sampler>> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let known = kept.as_ref().filter(|kept| kept.study == view.id() && kept.lineage == *view.lineage());
        if let Some(known) = known {
            let sampler: Arc<dyn Sampler> = Arc::<CmaEs>::clone(&known.sampler);
            return Some(sampler);
        }
        let first = view.ended_after(0).filter(|trial| trial.state() == TrialState::Complete).take(MANY);
        let source = first.filter_map(|trial| -> Option<SourceTrial> {
            let params = trial.params().map(|(name, _, value)| (name.to_owned(), Choice::Float(value)));
            Some((params.collect(), trial.value(0)?))
        });
        let options = CmaOptions { source_trials: source.collect(), ..CmaOptions::default() };
        let sampler = Arc::new(CmaEs::new(options).ok()?);
        *kept = Some(Warm {
            lineage: view.lineage().clone(),
            study: view.id(),
            sampler: Arc::<CmaEs>::clone(&sampler),
        });
        Some(sampler)
    }
}

impl Sampler for Auto {
    fn spec(&self) -> ComponentSpec {
        ComponentSpec::named("auto")
    }

    fn sample_relative(&self, view: &StudyView, number: TrialNumber, seed: u64) -> Vec<Proposal> {
        self.sampler(view).sample_relative(view, number, seed)
    }

    fn sample_independent(
        &self,
        view: &StudyView,
        number: TrialNumber,
        seed: u64,
        name: &str,
        distribution: &Distribution,
    ) -> f64 {
        self.sampler(view).sample_independent(view, number, seed, name, distribution)
    }

    fn explain(&self, view: &StudyView) -> Option<String> {
        let (way, why) = Auto::choose(view);
        let name = match way {
            Way::Even => "qmc",
            Way::Branches | Way::Tpe => "tpe",
            Way::Gp => "gp",
            Way::Cma => "cmaes",
            Way::Nsga2 => "nsga2",
            Way::Nsga3 => "nsga3",
        };
        Some(format!("{name}: {why}"))
    }
}
