//! Every suggestion of a study derived again from its log. A sampler is a pure function of a view, a trial's number and a
//! seed, and the log says at which position the view was taken: so whoever has the log can check what was suggested, by whatever
//! process, in whatever company.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;

use trialog_ops::{ComponentSpec, Distribution, Op, ParamDef, ParamRef, StudyId, TrialId, TrialNumber};
use trialog_replay::{State, StudyView, Verdict};
use trialog_samplers::Sampler;
use trialog_storage::Met;

use crate::error::Result;
use crate::study::Study;
use crate::trial;

/// How many differences are kept one by one.
const DIFFERENCES_KEPT: usize = 100;

/// What came of deriving a study's suggestions again.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rederived {
    /// Trials whose beginning the log still has.
    pub trials: u64,
    /// Parameters that came out the same, to the bit.
    pub same: u64,
    /// Parameters that no sampler chose: enqueued, or the only value of their range.
    pub given: u64,
    /// Parameters that nobody can derive again, with the first reason: no sampler in the log, or one that this program does not
    /// know.
    pub unknown: u64,
    /// Why, for the first of them.
    pub unknown_why: Option<String>,
    /// Parameters that came out otherwise.
    pub different: u64,
    /// The first hundred of these.
    pub differences: Vec<Difference>,
}

/// A parameter that came out otherwise: another version of the sampler wrote it, another program, or a handle with another
/// sampler than the log names.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// The trial.
    pub trial: TrialNumber,
    /// The parameter's name.
    pub param: String,
    /// Its value in the log, as people see it.
    pub found: String,
    /// What the sampler says here.
    pub derived: String,
    /// How many records the sampler saw.
    pub position: u64,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Difference { trial, param, found, derived, position } = self;
        write!(f, "trial {trial}: {param} is {found}, and comes out as {derived} behind {position} records")
    }
}

impl Rederived {
    /// True if every suggestion that can be derived came out the same.
    #[must_use]
    pub fn is_same(&self) -> bool {
        self.different == 0
    }
}

/// Parameters of a trial that were set in one record.
struct Suggestion {
    number: TrialNumber,
    params: Vec<(Arc<ParamDef>, f64)>,
}

impl Study {
    /// Derives every suggestion of this study again, from the log alone: its sampler is asked at the position at which it was
    /// asked then. Reads the log twice, and asks as often as was asked.
    ///
    /// What a compaction has folded away cannot be checked.
    ///
    /// # Errors
    /// What the log says when it is read.
    pub fn rederive(&self) -> Result<Rederived> {
        let suggestions = self.suggestions()?;
        let mut check = Check { study: self.id(), outcome: suggestions.1, proposed: HashMap::new(), built: None };
        let mut follower = self.storage().follow();
        let mut due = suggestions.0.into_iter().peekable();
        check.at(&mut due, follower.state());
        follower.advance(&mut |met: Met<'_>| {
            check.at(&mut due, met.state);
            if due.peek().is_some() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        Ok(check.outcome)
    }

    /// What was suggested at each position.
    fn suggestions(&self) -> Result<(BTreeMap<u64, Vec<Suggestion>>, Rederived)> {
        let mut all: BTreeMap<u64, Vec<Suggestion>> = BTreeMap::new();
        let mut outcome = Rederived::default();
        // The position behind the record with which a trial began or last took parameters.
        let mut last: HashMap<TrialId, u64> = HashMap::new();
        self.storage().follow().advance(&mut |met: Met<'_>| {
            let behind = met.seq.0 + 1;
            let mut sampled_at = None;
            for (op, verdict) in met.record.ops.iter().zip(met.verdicts) {
                match (op, verdict) {
                    (Op::SampledAt { position }, _) => sampled_at = Some(*position),
                    (Op::CreateTrial { study, .. }, Verdict::Trial { id, .. }) if *study == self.id() => {
                        last.insert(*id, behind);
                        outcome.trials += 1;
                    }
                    (Op::ClaimTrial { trial, .. }, Verdict::Applied)
                        if met.state.trial(*trial).is_some_and(|(study, _)| study == self.id()) =>
                    {
                        last.insert(*trial, behind);
                        outcome.trials += 1;
                    }
                    (Op::SetParams { trial, params }, Verdict::Applied) => {
                        let Some(before) = last.insert(*trial, behind) else {
                            last.remove(trial);
                            continue;
                        };
                        let Some((_, number)) = met.state.trial(*trial) else { continue };
                        let known = params.iter().filter_map(|param| {
                            let key = match &param.param {
                                ParamRef::Key(key) => *key,
                                ParamRef::Def(def) => met.state.param_key(def)?,
                            };
                            Some((Arc::clone(met.state.param(key)?), param.value))
                        });
                        let suggestion = Suggestion { number, params: known.collect() };
                        all.entry(sampled_at.unwrap_or(before)).or_default().push(suggestion);
                    }
                    _ => {}
                }
            }
            ControlFlow::Continue(())
        })?;
        Ok((all, outcome))
    }
}

/// The second reading.
struct Check {
    study: StudyId,
    outcome: Rederived,
    /// What a running trial was proposed: it may take such a value later, under a range that has changed.
    proposed: HashMap<TrialNumber, Vec<(Arc<ParamDef>, f64)>>,
    built: Option<(ComponentSpec, Built)>,
}

/// The sampler that the log names, or why this program does not have it.
type Built = std::result::Result<Arc<dyn Sampler>, String>;

impl Check {
    fn at(
        &mut self,
        due: &mut std::iter::Peekable<std::collections::btree_map::IntoIter<u64, Vec<Suggestion>>>,
        state: &State,
    ) {
        // What lies before the first state there is was folded away.
        while let Some((position, suggestions)) = due.next_if(|(position, _)| *position <= state.records()) {
            let view = state.view(self.study).filter(|view| view.position() == position);
            for suggestion in suggestions {
                match &view {
                    Some(view) => self.one(view, &suggestion),
                    None => self.unknown(suggestion.params.len(), || "its history was folded away".to_owned()),
                }
            }
        }
    }

    fn unknown(&mut self, count: usize, why: impl FnOnce() -> String) {
        self.outcome.unknown += count as u64;
        self.outcome.unknown_why.get_or_insert_with(why);
    }

    fn one(&mut self, view: &StudyView, suggestion: &Suggestion) {
        let Some(config) = view.config().cloned() else {
            return self.unknown(suggestion.params.len(), || "the log names no sampler".to_owned());
        };
        if self.built.as_ref().is_none_or(|(spec, _)| *spec != config.sampler) {
            let built = trialog_samplers::from_spec(&config.sampler).map_err(|error| error.to_string());
            self.built = Some((config.sampler.clone(), built));
        }
        let sampler = match &self.built {
            Some((_, Ok(sampler))) => Arc::clone(sampler),
            Some((_, Err(why))) => {
                let why = why.clone();
                return self.unknown(suggestion.params.len(), || why);
            }
            None => return,
        };
        let number = suggestion.number;
        let fixed = trial::fixed_params(view, number);
        let proposals = self.proposed.entry(number).or_insert_with(|| {
            let proposals = sampler.sample_relative(view, number, config.seed);
            proposals.into_iter().map(|(_, def, value)| (def, value)).collect()
        });
        let proposals = proposals.clone();
        for (def, found) in &suggestion.params {
            let name = def.name.as_str();
            if fixed.contains_key(name) || def.distribution.single() == Some(*found) {
                self.outcome.given += 1;
                continue;
            }
            let proposed = proposals.iter().find(|(known, _)| known.name == name);
            if proposed.is_some_and(|(_, value)| value.to_bits() == found.to_bits()) {
                self.outcome.same += 1;
                continue;
            }
            let derived = sampler.sample_independent(view, number, config.seed, name, &def.distribution);
            if derived.to_bits() == found.to_bits() {
                self.outcome.same += 1;
            } else {
                let derived = proposed.map_or(derived, |(_, value)| *value);
                self.differs(view.position(), number, name, &def.distribution, *found, derived);
            }
        }
    }

    fn differs(
        &mut self,
        position: u64,
        trial: TrialNumber,
        param: &str,
        distribution: &Distribution,
        found: f64,
        derived: f64,
    ) {
        self.outcome.different += 1;
        if self.outcome.differences.len() < DIFFERENCES_KEPT {
            let external = |value: f64| distribution.to_external(value).to_string();
            let (found, derived) = (external(found), external(derived));
            self.outcome.differences.push(Difference { trial, param: param.to_owned(), found, derived, position });
        }
    }
}
