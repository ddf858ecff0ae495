//! Why a trial has its parameters, and why it was pruned: from the log alone, by asking the same sampler and the same pruner at
//! the same places again.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use trialog_ops::{ComponentSpec, FinalState, Op, ParamDef, ParamRef, ParamValue, TrialNumber, TrialState};
use trialog_pruners::Decision;
use trialog_replay::{StudyView, TrialView, Verdict};
use trialog_samplers::{Asked, Candidate};
use trialog_storage::Met;

use crate::error::Result;
use crate::study::Study;
use crate::trial;

/// What is behind a trial.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    /// The trial.
    pub trial: TrialNumber,
    /// The sampler that the log names, with its options.
    pub sampler: Option<ComponentSpec>,
    /// The pruner that the log names, with its options.
    pub pruner: Option<ComponentSpec>,
    /// What could be seen when it began; none if that was folded away, or if it was added as it is.
    pub seen: Option<Seen>,
    /// Its parameters, in the order in which they were set.
    pub params: Vec<ParamExplanation>,
    /// What the sampler weighed for the parameters that it proposed together, if it did.
    pub candidates: Vec<Candidate>,
    /// Why the pruner says that it should have stopped where it did; none if it was not pruned.
    pub pruned: Option<String>,
}

/// The history that a sampler had before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Records of the log.
    pub records: u64,
    /// Complete trials.
    pub complete: usize,
    /// Pruned ones.
    pub pruned: usize,
    /// Failed ones.
    pub failed: usize,
    /// Those that were running, this one among them.
    pub running: usize,
}

/// What is behind a parameter.
#[derive(Clone, Debug, PartialEq)]
pub struct ParamExplanation {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: ParamValue,
    /// How it came by it.
    pub how: How,
    /// What could be seen then.
    pub seen: Seen,
    /// What the sampler weighed for this parameter alone, if it did.
    pub candidates: Vec<Candidate>,
}

/// How a parameter came by its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum How {
    /// Somebody enqueued the trial with it.
    Enqueued,
    /// There is only one value.
    Only,
    /// The sampler proposed it together with the others, from all that it saw.
    Together,
    /// The sampler drew it by itself: it was not among what all trials before had in common.
    Alone,
    /// The sampler, asked again, says something else: another program or version chose it.
    Otherwise,
    /// Nobody here can say: the log names no sampler, or one that this program does not know.
    Unknown,
}

impl Study {
    /// Why a trial has its parameters, and why it was pruned. Reads the log up to the trial's end.
    ///
    /// # Errors
    /// No such trial ([`Error::is_not_found`](crate::Error::is_not_found)), or what the log says.
    pub fn explain(&self, number: TrialNumber) -> Result<Explanation> {
        let trial = self.trial(number)?;
        let view = self.view()?;
        let config = view.config().cloned();
        let sampler = config.as_ref().and_then(|config| trialog_samplers::from_spec(&config.sampler).ok());
        let pruner = config.as_ref().and_then(|config| trialog_pruners::from_spec(&config.pruner).ok());
        let mut explanation = Explanation {
            trial: number,
            sampler: config.as_ref().map(|config| config.sampler.clone()),
            pruner: config.as_ref().map(|config| config.pruner.clone()),
            seen: None,
            params: Vec::new(),
            candidates: Vec::new(),
            pruned: None,
        };
        let seed = self.seed();
        let mut views: HashMap<u64, StudyView> = HashMap::new();
        let mut before: Option<StudyView> = None;
        let mut last = None;
        self.storage().follow().advance(&mut |met: Met<'_>| {
            let behind = met.seq.0 + 1;
            let mut sampled_at = None;
            for (op, verdict) in met.record.ops.iter().zip(met.verdicts) {
                match (op, verdict) {
                    (Op::SampledAt { position }, _) => sampled_at = Some(*position),
                    (Op::CreateTrial { .. }, Verdict::Trial { id, .. }) if *id == trial.id => last = Some(behind),
                    (Op::ClaimTrial { trial: id, .. }, Verdict::Applied) if *id == trial.id => last = Some(behind),
                    (Op::SetParams { trial: id, params }, Verdict::Applied) if *id == trial.id => {
                        let at = sampled_at.or(last);
                        last = Some(behind);
                        let Some(view) = at.and_then(|at| views.get(&at)) else { continue };
                        let together = sampler
                            .as_ref()
                            .map(|sampler| sampler.sample_relative(view, number, seed))
                            .unwrap_or_default();
                        for param in params {
                            let def = match &param.param {
                                ParamRef::Key(key) => met.state.param(*key).cloned(),
                                ParamRef::Def(def) => Some(Arc::new(ParamDef::clone(def))),
                            };
                            let Some(def) = def else { continue };
                            let found = param.value;
                            let alone = || {
                                let sampler = sampler.as_ref()?;
                                let distribution = &def.distribution;
                                Some(
                                    sampler
                                        .sample_independent(view, number, seed, &def.name, distribution)
                                        .to_bits(),
                                )
                            };
                            let proposed = together.iter().find(|(_, known, _)| known.name == def.name);
                            let how = if trial::fixed_params(view, number).contains_key(&def.name) {
                                How::Enqueued
                            } else if def.distribution.single() == Some(found) {
                                How::Only
                            } else if sampler.is_none() {
                                How::Unknown
                            } else if proposed.is_some_and(|(_, _, value)| value.to_bits() == found.to_bits()) {
                                How::Together
                            } else if alone() == Some(found.to_bits()) {
                                How::Alone
                            } else {
                                How::Otherwise
                            };
                            let weighed = |asked: Asked<'_>| {
                                sampler
                                    .as_ref()
                                    .map(|sampler| sampler.candidates(view, number, seed, asked))
                                    .unwrap_or_default()
                            };
                            if how == How::Together && explanation.candidates.is_empty() {
                                explanation.candidates = weighed(Asked::Together);
                            }
                            let candidates = match how {
                                How::Alone => weighed(Asked::Alone(&def.name, &def.distribution)),
                                _ => Vec::new(),
                            };
                            explanation.params.push(ParamExplanation {
                                name: def.name.clone(),
                                value: def.distribution.to_external(found),
                                how,
                                seen: seen(view),
                                candidates,
                            });
                        }
                    }
                    (Op::FinishTrial { trial: id, state: FinalState::Pruned, .. }, _) if *id == trial.id => {
                        let decision =
                            before.as_ref().zip(pruner.as_ref()).map(|(view, pruner)| pruner.decide(view, number));
                        explanation.pruned = Some(match decision {
                            Some(Decision::Prune { reason, .. }) => reason,
                            Some(Decision::Shadow { reason }) => {
                                format!("by no pruner: the one that the log names is in a shadow, where it says {reason}")
                            }
                            Some(Decision::Continue) => {
                                "the pruner that the log names would not have stopped it".to_owned()
                            }
                            None => "the log names no pruner that this program knows".to_owned(),
                        });
                    }
                    _ => {}
                }
            }
            let Some(view) = met.state.view(self.id()) else { return ControlFlow::Continue(()) };
            let is_begun = view.trial(number).is_some();
            if is_begun {
                if explanation.seen.is_none()
                    && view.trial(number).map(TrialView::state) == Some(TrialState::Running)
                {
                    explanation.seen = Some(seen(&view));
                }
                views.insert(behind, view.clone());
            }
            let is_over = view.trial(number).is_some_and(|trial| trial.state().is_finished());
            before = Some(view);
            if is_over { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        Ok(explanation)
    }
}

fn seen(view: &StudyView) -> Seen {
    Seen {
        records: view.position(),
        complete: view.count(TrialState::Complete),
        pruned: view.count(TrialState::Pruned),
        failed: view.count(TrialState::Fail),
        running: view.count(TrialState::Running),
    }
}
