//! Why a trial has its parameters, and why it was pruned: from the log alone, by asking the same sampler and the same pruner at
//! the same places again.

use trialog_ops::{ComponentSpec, FinalState, Op, ParamValue, TrialNumber, TrialState};
use trialog_pruners::Decision;
use trialog_replay::{StudyView, Verdict};
use trialog_samplers::Candidate;

use crate::error::Result;
use crate::oracle::{Gathered, Oracle, Saw};
use crate::study::Study;

/// What is behind a trial.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    /// The trial.
    pub trial: TrialNumber,
    /// The sampler that the log named when the trial began, with its options; the one it names now, if that was folded away.
    pub sampler: Option<ComponentSpec>,
    /// What the sampler said of itself then, if it has a choice of what to do.
    pub says: Option<String>,
    /// The pruner that the log named when the trial ended, with its options; now, if the trial runs or that was folded away.
    pub pruner: Option<ComponentSpec>,
    /// What could be seen when it began, the last time that it did; none if that was folded away, or if it was added as it is.
    pub seen: Option<Seen>,
    /// Its parameters, in the order in which they were set; those that it was added with are not among them.
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
    /// Why nobody can say how, if nobody can.
    pub why: Option<String>,
    /// What could be seen then; none if that was folded away.
    pub seen: Option<Seen>,
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
    /// An earlier attempt at the trial had it, or it had it itself before it went back into the queue.
    Kept,
    /// The sampler proposed it together with the others, from all that it saw.
    Together,
    /// The sampler drew it by itself: it was not among what all trials before had in common.
    Alone,
    /// The sampler, asked again, says something else: another program or version chose it, or somebody changed the log.
    Otherwise,
    /// Nobody here can say: what the sampler saw was folded away or is not told, or the log names no sampler that this program
    /// or this handle knows.
    Unknown,
}

/// Where in the log the trial began, was last reported to, and ended.
#[derive(Default)]
struct Life {
    begun: Option<u64>,
    reported: Option<u64>,
    /// The position before the end, and true if it is that of a pruned trial.
    ended: Option<(u64, bool)>,
}

impl Study {
    /// Why a trial has its parameters, and why it was pruned. Reads the log twice.
    ///
    /// # Errors
    /// No such trial ([`Error::is_not_found`](crate::Error::is_not_found)), or what the log says.
    pub fn explain(&self, number: TrialNumber) -> Result<Explanation> {
        let trial = self.trial(number)?;
        let config = self.view()?.config().cloned();
        let mut explanation = Explanation {
            trial: number,
            sampler: config.as_ref().map(|config| config.sampler.clone()),
            says: None,
            pruner: config.map(|config| config.pruner),
            seen: None,
            params: Vec::new(),
            candidates: Vec::new(),
            pruned: None,
        };
        let mut life = Life::default();
        let Gathered { oracle, mut due, .. } = Oracle::gather(self, Some(trial.id), &mut |met| {
            let behind = met.seq.0 + 1;
            for (op, verdict) in met.record.ops.iter().zip(met.verdicts) {
                match (op, verdict) {
                    (Op::CreateTrial { .. }, Verdict::Trial { id, .. }) if *id == trial.id => {
                        life.begun = Some(behind);
                    }
                    (Op::ClaimTrial { trial: id, .. }, Verdict::Applied) if *id == trial.id => {
                        life.begun = Some(behind);
                    }
                    (Op::Report { trial: id, .. } | Op::ReportMetrics { trial: id, .. }, Verdict::Applied)
                        if *id == trial.id =>
                    {
                        life.reported = Some(behind);
                    }
                    (Op::FinishTrial { trial: id, state, .. }, Verdict::Applied) if *id == trial.id => {
                        life.ended = Some((met.seq.0, *state == FinalState::Pruned));
                    }
                    _ => {}
                }
            }
        })?;
        // It was pruned somewhere between its last report and its end.
        let pruned = life.ended.filter(|(_, is_pruned)| *is_pruned);
        let decided = pruned.map(|(end, _)| (life.reported.map_or(end, |reported| reported.min(end)), end));
        for at in [life.begun, life.ended.map(|(end, _)| end), decided.map(|(reported, _)| reported)] {
            at.map(|at| due.entry(at).or_default());
        }
        oracle.ask(due, &mut |oracle, saw, position, suggestions| {
            let view = match saw {
                Saw::View(view) => Some(view),
                Saw::Folded | Saw::NoStudy => None,
            };
            if let Some(view) = view.filter(|_| life.begun == Some(position)) {
                explanation.seen = Some(seen(view));
                if let Some(config) = view.config() {
                    explanation.sampler = Some(config.sampler.clone());
                    let sampler = self.sampler_of(&config.sampler).ok();
                    explanation.says = sampler.and_then(|sampler| sampler.explain(view));
                }
            }
            for suggestion in suggestions {
                for judged in oracle.judge(saw, &suggestion) {
                    let mut weighed =
                        || view.map(|view| oracle.candidates(view, number, &judged)).unwrap_or_default();
                    let candidates = match judged.how {
                        How::Together if explanation.candidates.is_empty() => {
                            explanation.candidates = weighed();
                            Vec::new()
                        }
                        How::Alone => weighed(),
                        _ => Vec::new(),
                    };
                    let name = judged.def.name.clone();
                    // What it was given anew counts.
                    explanation.params.retain(|param| param.name != name);
                    explanation.params.push(ParamExplanation {
                        name,
                        value: judged.def.distribution.to_external(judged.found),
                        how: judged.how,
                        why: judged.why,
                        seen: view.map(seen),
                        candidates,
                    });
                }
            }
            let is_end = life.ended.is_some_and(|(end, _)| end == position);
            if let Some(config) = view.and_then(StudyView::config).filter(|_| is_end) {
                explanation.pruner = Some(config.pruner.clone());
            }
            if let Some((_, end)) = decided.filter(|(reported, end)| [*reported, *end].contains(&position))
                && let Some(reason) = view.and_then(|view| self.why_pruned(view, number, position == end))
            {
                explanation.pruned.get_or_insert(reason);
            }
        })?;
        if explanation.pruned.is_none() && decided.is_some() {
            explanation.pruned = Some("what its pruner saw was folded away by a compaction".to_owned());
        }
        // What was proposed and never asked for was taken back.
        explanation.params.retain(|param| trial.params.iter().any(|(name, _)| name == param.name));
        Ok(explanation)
    }

    /// Why the study's pruner would stop the trial; none if it would not, unless nobody is asked after this.
    fn why_pruned(&self, view: &StudyView, number: TrialNumber, is_last: bool) -> Option<String> {
        let pruner = view.config().and_then(|config| self.pruner_of(&config.pruner).ok());
        match pruner.map(|pruner| pruner.decide(view, number)) {
            Some(Decision::Prune { reason, .. }) => Some(reason),
            _ if !is_last => None,
            Some(Decision::Shadow { reason }) => {
                Some(format!("by no pruner: the one that the log names is in a shadow, where it says {reason}"))
            }
            Some(Decision::Continue) => Some("the pruner that the log names would not have stopped it".to_owned()),
            None => Some("the log names no pruner that is known here".to_owned()),
        }
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
