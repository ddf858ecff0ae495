//! How a study is created or loaded.

use std::sync::Arc;

use rand::TryRng;
use rand::rngs::SysRng;
use trialog_ops::{Budget, ComponentSpec, Direction, Op, RetryPolicy, StudyConfig};
use trialog_pruners::Pruner;
use trialog_replay::StudyView;
use trialog_samplers::Sampler;

use crate::error::{Error, Result};
use crate::storage::Storage;
use crate::study::Study;

/// How to create or load a study.
pub struct StudyBuilder {
    storage: Storage,
    name: String,
    directions: Option<Vec<Direction>>,
    metric_names: Option<Vec<String>>,
    sampler: Option<Arc<dyn Sampler>>,
    pruner: Option<Arc<dyn Pruner>>,
    seed: Option<u64>,
    budget: Option<Budget>,
    retry_policy: Option<RetryPolicy>,
}

impl StudyBuilder {
    pub(crate) fn new(storage: Storage, name: String) -> StudyBuilder {
        StudyBuilder {
            storage,
            name,
            directions: None,
            metric_names: None,
            sampler: None,
            pruner: None,
            seed: None,
            budget: None,
            retry_policy: None,
        }
    }

    /// Smaller values are better. The default.
    #[must_use]
    pub fn minimize(self) -> StudyBuilder {
        self.directions([Direction::Minimize])
    }

    /// Larger values are better.
    #[must_use]
    pub fn maximize(self) -> StudyBuilder {
        self.directions([Direction::Maximize])
    }

    /// One direction for each of several objectives.
    #[must_use]
    pub fn directions(mut self, directions: impl IntoIterator<Item = Direction>) -> StudyBuilder {
        self.directions = Some(directions.into_iter().collect());
        self
    }

    /// A name for each objective, no two the same.
    #[must_use]
    pub fn metric_names(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> StudyBuilder {
        self.metric_names = Some(names.into_iter().map(Into::into).collect());
        self
    }

    /// Where to look next. Default: TPE. It is written into the log, so that whoever loads the study uses it too.
    #[must_use]
    pub fn sampler(mut self, sampler: impl Sampler + 'static) -> StudyBuilder {
        self.sampler = Some(Arc::new(sampler));
        self
    }

    /// Whether to go on with a trial. Default: the median pruner. It is written into the log.
    #[must_use]
    pub fn pruner(mut self, pruner: impl Pruner + 'static) -> StudyBuilder {
        self.pruner = Some(Arc::new(pruner));
        self
    }

    /// The sampler of this name, with its options: what a study's configuration says, or a person on a command line.
    ///
    /// # Errors
    /// A name or an option that this program does not know ([`Error::is_invalid`]).
    pub fn sampler_named(mut self, spec: &ComponentSpec) -> Result<StudyBuilder> {
        let built = trialog_samplers::from_spec(spec).map_err(|error| Error::invalid(error.to_string()))?;
        self.sampler = Some(built);
        Ok(self)
    }

    /// The pruner of this name, with its options.
    ///
    /// # Errors
    /// As [`StudyBuilder::sampler_named`].
    pub fn pruner_named(mut self, spec: &ComponentSpec) -> Result<StudyBuilder> {
        let built = trialog_pruners::from_spec(spec).map_err(|error| Error::invalid(error.to_string()))?;
        self.pruner = Some(built);
        Ok(self)
    }

    /// The root of every random stream of the study. Default: random. It is written into the log: the same view
    /// and the same seed give the same suggestion in any process.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> StudyBuilder {
        self.seed = Some(seed);
        self
    }

    /// How much of the study there is to be, for all processes together and over all their restarts. Default: no
    /// limit. It is written into the log; see [`Study::set_budget`].
    #[must_use]
    pub fn budget(mut self, budget: Budget) -> StudyBuilder {
        self.budget = Some(budget);
        self
    }

    /// Whether trials whose process died are tried again. Default: they are not. It is written into the log; see
    /// [`Study::set_retry_policy`].
    #[must_use]
    pub fn retry_policy(mut self, policy: RetryPolicy) -> StudyBuilder {
        self.retry_policy = Some(policy);
        self
    }

    /// Creates the study.
    ///
    /// # Errors
    /// [`Error::is_duplicate`] if it is there already, no direction, a wrong number of metric names or one that is
    /// there twice ([`Error::is_invalid`]), or what the log says.
    pub fn create(self) -> Result<Study> {
        let directions = self.directions.clone().unwrap_or_else(|| vec![Direction::Minimize]);
        if directions.is_empty() {
            return Err(Error::invalid(format!("study {:?} needs at least one direction", self.name)));
        }
        self.check_metric_names(directions.len())?;
        let seed = self.seed.map_or_else(random_seed, Ok)?;
        let sampler = self.sampler.unwrap_or_else(trialog_samplers::default_sampler);
        let pruner = self.pruner.unwrap_or_else(trialog_pruners::default_pruner);
        let config = StudyConfig { sampler: sampler.spec(), pruner: pruner.spec(), seed };
        let id = self.storage.create(&self.name, directions, Some(config))?;
        let study = Study::new(self.storage, id, self.name, Ok(sampler), Ok(pruner), seed);
        if let Some(budget) = self.budget {
            study.set_budget(budget)?;
        }
        if let Some(policy) = self.retry_policy {
            study.set_retry_policy(policy)?;
        }
        if let Some(names) = self.metric_names {
            study.result(Op::SetMetricNames { study: id, names }, || "set metric names".to_owned())?;
        }
        Ok(study)
    }

    /// Loads the study with its directions, its sampler, its pruner and its seed. What was set here and differs
    /// is the study's from now on; only the directions always stay, with a warning where others were set here.
    ///
    /// # Errors
    /// [`Error::is_not_found`], bad metric names ([`Error::is_invalid`]), or what the log says. A study whose sampler
    /// or pruner this program does not know can be loaded and looked at; asking it is the error then.
    pub fn load(self) -> Result<Study> {
        let view = self.storage.find(&self.name)?;
        self.load_from(&view)
    }

    /// Loads the study if it is there, and creates it otherwise. Many processes may do so at once.
    ///
    /// # Errors
    /// As [`StudyBuilder::create`] and [`StudyBuilder::load`].
    pub fn load_or_create(self) -> Result<Study> {
        match self.storage.find(&self.name) {
            Ok(view) => self.load_from(&view),
            Err(error) if error.is_not_found() => match self.again().create() {
                // Somebody else was faster.
                Err(error) if error.is_duplicate() => self.load(),
                other => other,
            },
            Err(error) => Err(error),
        }
    }

    fn check_metric_names(&self, objectives: usize) -> Result<()> {
        let Some(names) = &self.metric_names else { return Ok(()) };
        if names.len() != objectives {
            let detail =
                format!("study {:?} has {objectives} objective(s) and needs as many metric names", self.name);
            return Err(Error::invalid(detail));
        }
        match names.iter().enumerate().find(|(at, name)| names[..*at].contains(name)) {
            Some((_, name)) => Err(Error::invalid(format!("study {:?} has two metrics {name:?}", self.name))),
            None => Ok(()),
        }
    }

    fn load_from(self, view: &StudyView) -> Result<Study> {
        self.check_metric_names(view.directions().len())?;
        if self.directions.as_ref().is_some_and(|directions| directions != view.directions()) {
            let stored: Vec<String> = view.directions().iter().map(ToString::to_string).collect();
            tracing::warn!(study = self.name, "the study was made to {}, and that stays", stored.join(", "));
        }
        let stored = view.config();
        let mut config = stored.cloned();
        if let Some(config) = &mut config {
            // What was not set here stays as it was written, even if this version would write it otherwise.
            if let Some(sampler) = &self.sampler {
                config.sampler = sampler.spec();
            }
            if let Some(pruner) = &self.pruner {
                config.pruner = pruner.spec();
            }
            config.seed = self.seed.unwrap_or(config.seed);
        }
        let sampler = match (self.sampler, stored) {
            (Some(sampler), _) => Ok(sampler),
            (None, Some(config)) => trialog_samplers::from_spec(&config.sampler).map_err(|e| e.to_string()),
            (None, None) => Ok(trialog_samplers::default_sampler()),
        };
        let pruner = match (self.pruner, stored) {
            (Some(pruner), _) => Ok(pruner),
            (None, Some(config)) => trialog_pruners::from_spec(&config.pruner).map_err(|e| e.to_string()),
            (None, None) => Ok(trialog_pruners::default_pruner()),
        };
        let seed = self.seed.or(stored.map(|config| config.seed)).map_or_else(random_seed, Ok)?;
        let study = Study::new(self.storage, view.id(), self.name, sampler, pruner, seed);
        // A log without a configuration stays as it is: somebody else's study is not ours to label.
        if let Some(config) = config.filter(|config| Some(config) != stored) {
            let op = Op::SetStudyConfig { study: view.id(), config: Box::new(config) };
            study.result(op, || "change the study's configuration".to_owned())?;
        }
        if let Some(budget) = self.budget.filter(|budget| budget != view.budget()) {
            study.set_budget(budget)?;
        }
        if let Some(policy) = self.retry_policy.filter(|policy| *policy != view.retry_policy()) {
            study.set_retry_policy(policy)?;
        }
        if let Some(names) = self.metric_names.filter(|names| view.metric_names() != Some(names)) {
            study.result(Op::SetMetricNames { study: view.id(), names }, || "set metric names".to_owned())?;
        }
        Ok(study)
    }

    fn again(&self) -> StudyBuilder {
        StudyBuilder {
            storage: self.storage.clone(),
            name: self.name.clone(),
            directions: self.directions.clone(),
            metric_names: self.metric_names.clone(),
            sampler: self.sampler.clone(),
            pruner: self.pruner.clone(),
            seed: self.seed,
            budget: self.budget,
            retry_policy: self.retry_policy,
        }
    }
}

fn random_seed() -> Result<u64> {
    SysRng.try_next_u64().map_err(|error| Error::invalid(format!("no random bytes for a seed: {error}")))
}
