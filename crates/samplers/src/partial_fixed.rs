//! Some parameters held fixed while any other sampler chooses the rest.

use std::collections::BTreeMap;
use std::sync::Arc;

use trialog_ops::{Choice, ComponentSpec, Distribution, Json, OptionReader, TrialNumber};
use trialog_replay::StudyView;

use crate::registry::{self, Options};
use crate::unit::{from_choice, to_choice, to_json};
use crate::{Asked, Candidate, Proposal, Sampler};

/// Another sampler, but for some parameters that always have the same values.
pub struct PartialFixed {
    fixed: BTreeMap<String, Choice>,
    base: Arc<dyn Sampler>,
}

impl PartialFixed {
    /// Holds these parameters fixed. A number outside a parameter's range is moved to the nearest that is inside; where
    /// a value has the wrong type or is none of the choices, the other sampler decides.
    #[must_use]
    pub fn new(fixed: impl IntoIterator<Item = (String, Choice)>, base: Arc<dyn Sampler>) -> PartialFixed {
        PartialFixed { fixed: fixed.into_iter().collect(), base }
    }

    /// Reads the options of a log: `fixed_params`, an object of scalars, and `base_sampler`, an object of `name`,
    /// `version` and `options`, of which the last two may be missing.
    ///
    /// # Errors
    /// Options that are not these, or a base sampler that cannot be built.
    pub fn from_options(options: &Options) -> Result<PartialFixed, String> {
        let mut reader = OptionReader::new(options);
        let fixed = reader.take("fixed_params", "an object with a scalar for each parameter", |value| {
            let scalars = value.as_object()?.iter().map(|(name, value)| Some((name.clone(), to_choice(value)?)));
            scalars.collect::<Option<BTreeMap<_, _>>>()
        })?;
        let base = reader.component("base_sampler")?;
        reader.finish()?;
        let base = match base {
            Some(spec) => registry::from_spec(&spec).map_err(|error| error.to_string())?,
            None => registry::default_sampler(),
        };
        Ok(PartialFixed::new(fixed.unwrap_or_default(), base))
    }

    fn fixed(&self, name: &str, distribution: &Distribution) -> Option<f64> {
        self.fixed.get(name).and_then(|choice| from_choice(distribution, choice))
    }
}

impl Sampler for PartialFixed {
    fn spec(&self) -> ComponentSpec {
        let fixed: Options = self.fixed.iter().map(|(name, value)| (name.clone(), to_json(value))).collect();
        let options = serde_json::json!({ "fixed_params": fixed, "base_sampler": self.base.spec().to_value() });
        ComponentSpec { name: "partial_fixed".to_owned(), version: 1, options: Json::from(options) }
    }

    fn sample_relative(&self, view: &StudyView, number: TrialNumber, seed: u64) -> Vec<Proposal> {
        let mut proposals = self.base.sample_relative(view, number, seed);
        for (_, def, value) in &mut proposals {
            *value = self.fixed(&def.name, &def.distribution).unwrap_or(*value);
        }
        proposals
    }

    fn sample_independent(
        &self,
        view: &StudyView,
        number: TrialNumber,
        seed: u64,
        name: &str,
        distribution: &Distribution,
    ) -> f64 {
        let fixed = self.fixed(name, distribution);
        fixed.unwrap_or_else(|| self.base.sample_independent(view, number, seed, name, distribution))
    }

    /// What the other sampler weighed, whatever it said for what is fixed here.
    fn candidates(&self, view: &StudyView, number: TrialNumber, seed: u64, asked: Asked<'_>) -> Vec<Candidate> {
        match asked {
            Asked::Alone(name, distribution) if self.fixed(name, distribution).is_some() => Vec::new(),
            _ => self.base.candidates(view, number, seed, asked),
        }
    }

    fn is_exhausted(&self, view: &StudyView) -> bool {
        self.base.is_exhausted(view)
    }

    fn explain(&self, view: &StudyView) -> Option<String> {
        self.base.explain(view)
    }
}
