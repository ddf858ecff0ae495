//! What a log says of its suggestions, and its sampler asked again: by whom each parameter of a trial was decided. Whoever
//! wants to know reads the log twice. The first time tells where the sampler looked for each suggestion, which may be
//! far before the record that holds it; the second time it is asked there.

use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;
use std::sync::Arc;

use trialog_ops::{
    Choice, ComponentSpec, Op, ParamDef, ParamRef, Record, SessionRef, StudyConfig, TrialId, TrialNumber, WorkerId,
};
use trialog_replay::{State, StudyView, Verdict};
use trialog_samplers::{Asked, Candidate, Sampler};
use trialog_storage::{Met, Step};

use crate::error::Result;
use crate::explain::How;
use crate::study::Study;
use crate::trial::{self, Proposal, Source};

const FOLDED: &str = "what its sampler saw was folded away by a compaction";
const UNDATED: &str = "the log does not say what its sampler saw";
const NAMELESS: &str = "the log names no sampler";

/// Parameters of a trial that were set by one op.
pub(crate) struct Suggestion {
    /// Which of the beginnings it belongs to.
    beginning: usize,
    /// The trial's number.
    pub(crate) number: TrialNumber,
    /// The parameters with their values, in internal form.
    pub(crate) params: Vec<(Arc<ParamDef>, f64)>,
    /// True if the log tells where the sampler looked. Otherwise only an answer that is the same says anything.
    is_dated: bool,
}

/// A worker that begins a trial, or goes on with one that somebody else began.
struct Beginning {
    /// The position behind the record that says so.
    at: Option<u64>,
    /// How many of its suggestions have not been judged yet.
    left: usize,
    kept: Option<Kept>,
}

/// What decides on later parameters of a trial that has begun.
struct Kept {
    /// Whose answer its first parameters were.
    sampler: Option<usize>,
    /// What it was enqueued with.
    fixed: BTreeMap<String, Choice>,
    /// What it had from an earlier attempt.
    given: Vec<Proposal>,
    /// What was proposed when it began. Where proposals are published this is what the log says, right or wrong.
    proposed: Vec<(Arc<ParamDef>, f64)>,
}

/// A sampler that the log names, with a seed.
struct Named {
    /// The position from which on the log names it.
    since: u64,
    spec: ComponentSpec,
    seed: u64,
    built: Option<std::result::Result<Arc<dyn Sampler>, String>>,
}

/// A parameter, and how it came by its value.
pub(crate) struct Judged {
    pub(crate) def: Arc<ParamDef>,
    /// Its value in the log.
    pub(crate) found: f64,
    pub(crate) how: How,
    /// Its value when the sampler is asked again, if that is another and there is one.
    pub(crate) derived: Option<f64>,
    /// Why nobody can say how, if nobody can.
    pub(crate) why: Option<String>,
    /// Which sampler was asked.
    sampler: Option<usize>,
    /// True if that is not the one that the study had when it was asked.
    pub(crate) is_earlier: bool,
}

impl Suggestion {
    /// Judged without a look at any sampler.
    fn all(&self, how: How, why: Option<&str>) -> Vec<Judged> {
        let why = || why.map(str::to_owned);
        let one = |(def, found): &(Arc<ParamDef>, f64)| {
            let def = Arc::clone(def);
            Judged { def, found: *found, how, derived: None, why: why(), sampler: None, is_earlier: false }
        };
        self.params.iter().map(one).collect()
    }
}

impl How {
    /// True if it is known how the parameter came by its value.
    fn is_known(self) -> bool {
        !matches!(self, How::Otherwise | How::Unknown)
    }
}

/// The suggestions of a study, or of one of its trials, and who made them.
pub(crate) struct Oracle {
    study: Study,
    /// False if the log's dialect can say neither what was proposed when a trial began nor where its sampler looked.
    is_exact: bool,
    beginnings: Vec<Beginning>,
    samplers: Vec<Named>,
}

/// Suggestions by the position at which the sampler was asked; a position may also be there for its own sake.
pub(crate) type Due = BTreeMap<u64, Vec<Suggestion>>;

/// What is done with what could be seen at a position, and with the suggestions that were made there.
pub(crate) type Visit<'a> = dyn FnMut(&mut Oracle, Saw<'_>, u64, Vec<Suggestion>) + 'a;

/// What the first reading found.
pub(crate) struct Gathered {
    pub(crate) oracle: Oracle,
    pub(crate) due: Due,
    /// How often a trial began.
    pub(crate) begun: u64,
}

/// What a sampler saw when it was asked.
#[derive(Clone, Copy)]
pub(crate) enum Saw<'a> {
    /// This.
    View(&'a StudyView),
    /// Nobody can know any longer: a compaction folded it away.
    Folded,
    /// There was no study yet.
    NoStudy,
}

impl Oracle {
    /// Reads the log for the first time; `also` sees each of its records. With a trial, only the suggestions of that one are
    /// gathered.
    pub(crate) fn gather(study: &Study, only: Option<TrialId>, also: &mut dyn FnMut(&Met<'_>)) -> Result<Gathered> {
        let mut follower = study.storage().follow();
        let oracle = Oracle {
            study: study.clone(),
            is_exact: study.storage().retracts_params(),
            beginnings: Vec::new(),
            samplers: Vec::new(),
        };
        let mut reading = Reading { oracle, only, due: BTreeMap::new(), open: HashMap::new(), begun: 0 };
        follower.advance_by_step(&mut |step| {
            match step {
                Step::Record(met) => {
                    reading.record(&met);
                    also(&met);
                }
                Step::Base(state) => {
                    if let Some(config) = state.view(study.id()).as_ref().and_then(StudyView::config) {
                        reading.oracle.name(state.records(), config);
                    }
                }
            }
            ControlFlow::Continue(())
        })?;
        let Reading { oracle, due, begun, .. } = reading;
        Ok(Gathered { oracle, due, begun })
    }

    /// Reads the log for the second time, and visits each of the positions.
    pub(crate) fn ask(mut self, due: Due, visit: &mut Visit<'_>) -> Result<()> {
        let mut due = due.into_iter().peekable();
        let mut follower = self.study.storage().follow();
        let mut at = |state: &State| {
            while let Some((position, suggestions)) = due.next_if(|(position, _)| *position <= state.records()) {
                let view = state.view(self.study.id());
                let saw = match &view {
                    _ if position < state.records() => Saw::Folded,
                    Some(view) => Saw::View(view),
                    None => Saw::NoStudy,
                };
                visit(&mut self, saw, position, suggestions);
            }
            if due.peek().is_some() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        };
        if at(follower.state()).is_continue() {
            follower.advance_by_step(&mut |step| match step {
                Step::Record(met) => at(met.state),
                Step::Base(state) => at(state),
            })?;
        }
        Ok(())
    }

    /// Notes that the log names a sampler.
    fn name(&mut self, since: u64, config: &StudyConfig) {
        if self.find(config).is_none() {
            let StudyConfig { sampler, seed, .. } = config;
            self.samplers.push(Named { since, spec: sampler.clone(), seed: *seed, built: None });
        }
    }

    fn find(&self, config: &StudyConfig) -> Option<usize> {
        self.samplers.iter().position(|named| named.seed == config.seed && named.spec == config.sampler)
    }

    fn sampler(&mut self, at: usize) -> std::result::Result<(Arc<dyn Sampler>, u64), String> {
        let Named { spec, seed, built, .. } = &mut self.samplers[at];
        built.get_or_insert_with(|| self.study.sampler_of(spec)).clone().map(|sampler| (sampler, *seed))
    }

    /// Who decided on the parameters.
    ///
    /// A handle goes on with the sampler that it was opened with, whatever the log names since. So the one that the trial's
    /// first parameters are of is asked first, then the one that the study had, then the others, the latest first.
    pub(crate) fn judge(&mut self, saw: Saw<'_>, suggestion: &Suggestion) -> Vec<Judged> {
        let beginning = &mut self.beginnings[suggestion.beginning];
        beginning.left -= 1;
        let view = match saw {
            Saw::View(view) if view.trial(suggestion.number).is_some() => view,
            // Nobody asks for a trial that does not exist.
            Saw::View(_) | Saw::NoStudy => return suggestion.all(How::Otherwise, None),
            Saw::Folded => return suggestion.all(How::Unknown, Some(FOLDED)),
        };
        let kept = beginning.kept.take();
        let present = view.config().and_then(|config| self.find(config));
        let mut order: Vec<Option<usize>> = vec![kept.as_ref().and_then(|kept| kept.sampler).or(present), present];
        let earlier = (0..self.samplers.len()).rev().filter(|&at| self.samplers[at].since <= view.position());
        order.extend(earlier.map(Some));
        let (mut judged, mut decides) = self.under(order[0], kept.as_ref(), view, suggestion);
        let holds = |judged: &[Judged]| judged.iter().all(|one| one.how.is_known());
        let mut sampler = order[0];
        for at in 1..order.len() {
            if holds(&judged) {
                break;
            }
            if !order[..at].contains(&order[at]) {
                let other = self.under(order[at], kept.as_ref(), view, suggestion);
                if holds(&other.0) {
                    (judged, decides) = other;
                    sampler = order[at];
                }
            }
        }
        if sampler != present {
            judged.iter_mut().for_each(|one| one.is_earlier = true);
        }
        let beginning = &mut self.beginnings[suggestion.beginning];
        if beginning.left > 0 {
            beginning.kept = Some(decides);
        }
        if !suggestion.is_dated || !self.is_exact {
            for one in judged.iter_mut().filter(|one| one.how == How::Otherwise) {
                one.how = How::Unknown;
                one.why = Some(UNDATED.to_owned());
            }
        }
        judged
    }

    /// The same if this sampler was asked; with what decides on the trial's later parameters.
    fn under(
        &mut self,
        sampler: Option<usize>,
        kept: Option<&Kept>,
        view: &StudyView,
        suggestion: &Suggestion,
    ) -> (Vec<Judged>, Kept) {
        let Suggestion { number, params, .. } = suggestion;
        let built = sampler.map_or_else(|| Err(NAMELESS.to_owned()), |at| self.sampler(at));
        let (fixed, given) = match kept {
            Some(kept) => (kept.fixed.clone(), kept.given.clone()),
            None => (trial::fixed_params(view, *number), trial::given_params(view, *number)),
        };
        // What the trial began with: only its first parameters tell.
        let together = match (&built, kept) {
            (Ok((sampler, seed)), None) => {
                trial::proposals(sampler.sample_relative(view, *number, *seed), &fixed, &given)
            }
            _ => Vec::new(),
        };
        let is_that = matches!((&params[..], &together[..]), ([(def, _)], [only]) if *def == only.def);
        // Alone, parameters come one by one.
        let is_published = self.is_exact && kept.is_none() && (params.len() > 1 || is_that);
        let alone = |def: &ParamDef| {
            let (sampler, seed) = built.as_ref().ok()?;
            Some(sampler.sample_independent(view, *number, *seed, &def.name, &def.distribution))
        };
        let mut proposed: Vec<(Arc<ParamDef>, f64)> = match kept {
            Some(kept) => kept.proposed.clone(),
            None if is_published => params.clone(),
            None if self.is_exact => Vec::new(),
            None => together.iter().map(|proposal| (Arc::clone(&proposal.def), proposal.value)).collect(),
        };
        let is_later = self.beginnings[suggestion.beginning].at.is_none_or(|at| at < view.position());
        let mut judged = Vec::with_capacity(params.len());
        for (def, found) in params {
            let is = |value: f64| value.to_bits() == found.to_bits();
            let name = def.name.as_str();
            let same_if = |value: Option<f64>, how: How| match value {
                Some(value) if is(value) => (how, None),
                _ => (How::Otherwise, value),
            };
            let (how, derived) = if is_published && built.is_ok() {
                let value = together.iter().find(|proposal| proposal.def == *def).map(|proposal| proposal.value);
                let how = if fixed.contains_key(name) { How::Enqueued } else { How::Together };
                match same_if(value, how) {
                    // Alone, of a space that had no other parameter in common, and none at all when the trial began.
                    (How::Otherwise, _) if params.len() == 1 && is_later && alone(def).is_some_and(is) => {
                        proposed.clear();
                        (How::Alone, None)
                    }
                    other => other,
                }
            } else {
                let among = |known: &ParamDef| known.name == def.name;
                let before =
                    proposed.iter().find(|(known, _)| among(known)).map(|(_, value)| (*value, How::Together));
                let before = before
                    .or_else(|| given.iter().find(|given| among(&given.def)).map(|given| (given.value, How::Kept)));
                // In one record with others it cannot have been before.
                let before = before.filter(|_| !is_published);
                match trial::source(fixed.get(name), &def.distribution, before.map(|(value, _)| value)) {
                    Source::Enqueued(value) => same_if(Some(value), How::Enqueued),
                    Source::Misfit(_) => (How::Otherwise, None),
                    Source::Only(value) => same_if(Some(value), How::Only),
                    Source::Proposed(value) => same_if(Some(value), before.map_or(How::Together, |(_, how)| how)),
                    Source::Sampler if built.is_err() => (How::Unknown, None),
                    Source::Sampler => same_if(alone(def), How::Alone),
                }
            };
            let why = built.as_ref().err().filter(|_| how == How::Unknown).cloned();
            let def = Arc::clone(def);
            judged.push(Judged { def, found: *found, how, derived, why, sampler, is_earlier: false });
        }
        (judged, Kept { sampler, fixed, given, proposed })
    }

    /// What the sampler weighed for the parameter, or for all that it proposed together.
    pub(crate) fn candidates(&mut self, view: &StudyView, number: TrialNumber, judged: &Judged) -> Vec<Candidate> {
        let Some(Ok((sampler, seed))) = judged.sampler.map(|at| self.sampler(at)) else { return Vec::new() };
        match judged.how {
            How::Together => sampler.candidates(view, number, seed, Asked::Together),
            How::Alone => {
                let asked = Asked::Alone(&judged.def.name, &judged.def.distribution);
                sampler.candidates(view, number, seed, asked)
            }
            _ => Vec::new(),
        }
    }
}

/// The first reading.
struct Reading {
    oracle: Oracle,
    only: Option<TrialId>,
    due: Due,
    /// For the trials that a worker has at hand: the beginning, and the position behind the last record of it.
    open: HashMap<(TrialId, Option<WorkerId>), (usize, Option<u64>)>,
    begun: u64,
}

impl Reading {
    fn record(&mut self, met: &Met<'_>) {
        let behind = met.seq.0 + 1;
        let worker = worker(met.state, met.record);
        let (wanted, only) = (self.oracle.study.id(), self.only);
        let ours = |trial: TrialId| {
            let (study, number) = met.state.trial(trial)?;
            (study == wanted && only.is_none_or(|only| only == trial)).then_some(number)
        };
        let mut sampled_at = None;
        let mut begun_here = Vec::new();
        for (op, verdict) in met.record.ops.iter().zip(met.verdicts) {
            match (op, verdict) {
                (Op::CreateStudy { config: Some(config), .. }, Verdict::Study(study)) if *study == wanted => {
                    self.oracle.name(behind, config);
                }
                (Op::SetStudyConfig { study, config }, Verdict::Applied) if *study == wanted => {
                    self.oracle.name(behind, config);
                }
                (Op::SampledAt { position }, _) => sampled_at = Some(*position),
                (Op::CreateTrial { .. }, Verdict::Trial { id: trial, .. })
                | (Op::ClaimTrial { trial, .. }, Verdict::Applied)
                    if ours(*trial).is_some() =>
                {
                    self.begun += 1;
                    let beginning = self.oracle.begin(Some(behind));
                    self.open.insert((*trial, worker), (beginning, Some(behind)));
                    begun_here.push(*trial);
                }
                (Op::SetParams { trial, params }, Verdict::Applied) => {
                    let Some(number) = ours(*trial) else { continue };
                    let open = self.open.entry((*trial, worker));
                    let (beginning, last) = open.or_insert_with(|| (self.oracle.begin(None), None));
                    // Who looked at a log's state after the record cannot have written it.
                    let looked = sampled_at.or(*last).map(|at| at.min(met.seq.0));
                    // A trial that begins with parameters was brought along from elsewhere.
                    let looked = looked.filter(|_| !begun_here.contains(trial));
                    *last = Some(behind);
                    self.oracle.beginnings[*beginning].left += 1;
                    let known = params.iter().filter_map(|param| {
                        let key = match &param.param {
                            ParamRef::Key(key) => *key,
                            ParamRef::Def(def) => met.state.param_key(def)?,
                        };
                        Some((Arc::clone(met.state.param(key)?), param.value))
                    });
                    let suggestion = Suggestion {
                        beginning: *beginning,
                        number,
                        params: known.collect(),
                        is_dated: looked.is_some(),
                    };
                    self.due.entry(looked.unwrap_or(met.seq.0)).or_default().push(suggestion);
                }
                (Op::FinishTrial { trial, .. }, _) => _ = self.open.remove(&(*trial, worker)),
                _ => {}
            }
        }
    }
}

impl Oracle {
    fn begin(&mut self, at: Option<u64>) -> usize {
        self.beginnings.push(Beginning { at, left: 0, kept: None });
        self.beginnings.len() - 1
    }
}

/// Who wrote the record: all sessions of a worker go on with each other's trials.
fn worker(state: &State, record: &Record) -> Option<WorkerId> {
    match record.session {
        SessionRef::Id(id) => Some(id.worker()),
        SessionRef::Key(key) => state.session_id(key).map(|id| id.worker()),
    }
}
