//! Commands about what happened: suggestions derived again, a trial explained, records as they arrive, and decisions about
//! finished trials.

use std::io::Write as _;
use std::ops::ControlFlow;

use serde_json::{Map, Value, json};
use trialog::samplers::Candidate;
use trialog::{Amend, ComponentSpec, How, Seen, TrialNumber, TrialState};

use crate::args;
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{attr, bad, bold, faint, good, number, short, trial_json, values_json};
use crate::session::attr_of;
use crate::space::choice_json;

pub(crate) fn replay(args: &args::Replay) -> Outcome {
    let study = args.study.look()?;
    if !args.verify {
        let mut follower = study.storage().follow();
        let (mut records, mut ops, mut rejected) = (0u64, 0u64, 0u64);
        follower
            .advance(&mut |met| {
                records += 1;
                ops += met.record.ops.len() as u64;
                rejected += met.verdicts.iter().filter(|verdict| verdict.rejection().is_some()).count() as u64;
                ControlFlow::Continue(())
            })
            .map_err(trialog::Error::from)?;
        let digest = follower.state().digest().to_string();
        let json = json!({"records": records, "ops": ops, "rejected": rejected, "digest": digest});
        return args.format.print(&json, |out| {
            writeln!(out, "{records} records, {ops} ops, {rejected} of them rejected; digest {digest}")
        });
    }
    let derived = study.rederive()?;
    let differences: Vec<Value> = derived
        .differences
        .iter()
        .map(|one| {
            json!({"trial": one.trial.0, "param": one.param, "found": one.found, "derived": one.derived, "position": one.position})
        })
        .collect();
    let unknowns: Vec<Value> = derived
        .unknowns
        .iter()
        .map(|one| json!({"trial": one.trial.0, "param": one.param, "why": one.why}))
        .collect();
    let json = json!({
        "same": derived.is_same(), "trials": derived.trials, "params_same": derived.same, "params_earlier": derived.earlier,
        "params_given": derived.given, "params_unknown": derived.unknown, "unknowns": unknowns,
        "params_different": derived.different, "differences": differences,
    });
    args.format.print(&json, |out| {
        let word =
            if derived.is_same() { good("every suggestion comes out the same") } else { bad("suggestions differ") };
        writeln!(
            out,
            "{word}: {} parameters of {} trials derived again, {} given",
            derived.same, derived.trials, derived.given
        )?;
        if derived.earlier > 0 {
            writeln!(out, "  {} of them by a sampler that the log had named earlier", derived.earlier)?;
        }
        if let Some(first) = derived.unknowns.first() {
            writeln!(
                out,
                "  {} cannot be derived, the first in trial {}: {}",
                derived.unknown, first.trial, first.why
            )?;
        }
        for difference in &derived.differences {
            writeln!(out, "  {difference}")?;
        }
        Ok(())
    })?;
    if derived.is_same() { Ok(()) } else { Err(Failure::silent(Exit::Damaged)) }
}

pub(crate) fn explain(args: &args::Explain) -> Outcome {
    let study = args.study.look()?;
    let why = study.explain(TrialNumber(args.trial))?;
    let component = |spec: &Option<ComponentSpec>| {
        spec.as_ref()
            .map(|spec| json!({"name": spec.name, "version": spec.version, "options": attr(&spec.options)}))
    };
    let params: Vec<Value> = why
        .params
        .iter()
        .map(|param| {
            json!({
                "param": param.name, "value": choice_json(&param.value.as_choice()), "how": word(param.how),
                "why": param.why, "seen": param.seen.as_ref().map(seen_json), "candidates": candidates_json(&param.candidates),
            })
        })
        .collect();
    let json = json!({
        "trial": why.trial.0, "sampler": component(&why.sampler), "says": why.says, "pruner": component(&why.pruner),
        "seen": why.seen.as_ref().map(seen_json), "params": params, "candidates": candidates_json(&why.candidates), "pruned": why.pruned,
    });
    args.format.print(&json, |out| {
        writeln!(out, "{} {}", bold("trial"), why.trial)?;
        if let Some(sampler) = &why.sampler {
            writeln!(out, "  sampler {} {}", sampler.name, faint(sampler.options.as_str()))?;
        }
        if let Some(says) = &why.says {
            writeln!(out, "  it said: {says}")?;
        }
        match &why.seen {
            Some(seen) => writeln!(out, "  it saw {}", seen_words(seen))?,
            None => writeln!(out, "  what it saw is not in the log")?,
        }
        for param in &why.params {
            write!(out, "  {} = {}: {}", param.name, param.value, sentence(param.how))?;
            match (&param.why, &param.seen) {
                (Some(why), _) => writeln!(out, ", since {why}")?,
                (None, Some(seen)) => writeln!(out, "; it saw {}", seen_words(seen))?,
                (None, None) => writeln!(out)?,
            }
        }
        let alone = why.params.iter().flat_map(|param| &param.candidates);
        let mut weighed: Vec<&Candidate> = why.candidates.iter().chain(alone).collect();
        if !weighed.is_empty() {
            writeln!(out, "  it weighed {} points, the best of them:", weighed.len())?;
        }
        weighed.sort_by(|a, b| b.score.total_cmp(&a.score));
        for candidate in weighed.into_iter().take(CANDIDATES_SHOWN) {
            let values: Vec<String> =
                candidate.values.iter().map(|(name, value)| format!("{name}={value}")).collect();
            let mark = if candidate.chosen { good(" chosen") } else { String::new() };
            writeln!(out, "    {} {}{mark}", short(candidate.score), values.join(" "))?;
        }
        match &why.pruned {
            Some(reason) => writeln!(out, "  pruned: {reason}"),
            None => Ok(()),
        }
    })
}

/// How many of the points that a sampler weighed are shown to people; programs get all.
const CANDIDATES_SHOWN: usize = 5;

fn candidates_json(candidates: &[Candidate]) -> Value {
    let one = |candidate: &Candidate| json!({"values": values_json(&candidate.values), "score": number(candidate.score), "chosen": candidate.chosen});
    candidates.iter().map(one).collect()
}

fn seen_json(seen: &Seen) -> Value {
    json!({"records": seen.records, "complete": seen.complete, "pruned": seen.pruned, "failed": seen.failed, "running": seen.running})
}

fn seen_words(seen: &Seen) -> String {
    let Seen { records, complete, pruned, failed, running } = seen;
    format!(
        "{complete} complete, {pruned} pruned, {failed} failed and {running} running trials ({records} records)"
    )
}

fn word(how: How) -> &'static str {
    match how {
        How::Enqueued => "enqueued",
        How::Only => "only",
        How::Kept => "kept",
        How::Together => "together",
        How::Alone => "alone",
        How::Otherwise => "otherwise",
        _ => "unknown",
    }
}

fn sentence(how: How) -> &'static str {
    match how {
        How::Enqueued => "somebody enqueued it",
        How::Only => "there is no other value",
        How::Kept => "the trial had it from an earlier attempt",
        How::Together => "the sampler proposed it together with the others",
        How::Alone => "the sampler drew it by itself",
        How::Otherwise => "the sampler, asked again, says something else",
        _ => "nobody here can say",
    }
}

pub(crate) fn tail(args: &args::Tail) -> Outcome {
    let storage = args.storage.look()?;
    let mut follower = storage.follow();
    let mut out = std::io::stdout().lock();
    let mut is_first = true;
    loop {
        let mut failure = None;
        follower
            .advance(&mut |met| {
                if is_first && !args.all {
                    return ControlFlow::Continue(());
                }
                for (op, verdict) in met.record.ops.iter().zip(met.verdicts) {
                    // The vocabulary's own form: complete, and for eyes and `grep` rather than for programs.
                    let line = match verdict.rejection() {
                        Some(reason) => format!("{} {op:?} rejected: {reason}", met.seq.0),
                        None => format!("{} {op:?}", met.seq.0),
                    };
                    if let Err(error) = writeln!(out, "{line}") {
                        failure = Some(error);
                        return ControlFlow::Break(());
                    }
                }
                ControlFlow::Continue(())
            })
            .map_err(trialog::Error::from)?;
        if let Some(error) = failure {
            return Err(error.into());
        }
        out.flush()?;
        if args.no_follow {
            return Ok(());
        }
        is_first = false;
        std::thread::sleep(args.every);
    }
}

pub(crate) fn void(args: &args::Decide, takes_back: bool) -> Outcome {
    let study = args.study.change()?;
    let (number, reason) = (TrialNumber(args.trial), args.reason.as_str());
    let trial = if takes_back { study.unvoid(number, reason)? } else { study.void(number, reason)? };
    Ok(writeln!(std::io::stdout(), "{}", trial_json(&trial))?)
}

pub(crate) fn amend(args: &args::AmendArgs) -> Outcome {
    let study = args.decide.study.change()?;
    let (number, reason) = (TrialNumber(args.decide.trial), args.decide.reason.as_str());
    if args.undo {
        let trial = study.undo_amendment(number, reason)?;
        return Ok(writeln!(std::io::stdout(), "{}", trial_json(&trial))?);
    }
    let mut amend = Amend::new();
    if !args.values.is_empty() {
        amend = amend.values(args.values.iter().copied());
    }
    if let Some(state) = args.state {
        amend = amend.state(match state {
            args::EndState::Complete => TrialState::Complete,
            args::EndState::Pruned => TrialState::Pruned,
            args::EndState::Failed => TrialState::Fail,
        });
    }
    let mut attrs = Map::new();
    for pair in &args.attrs {
        let (key, value) =
            pair.split_once('=').ok_or_else(|| Failure::usage(format!("--attr {pair:?}: write KEY=JSON")))?;
        attrs.insert(key.to_owned(), Value::Null);
        amend = amend.user_attr(key, attr_of(value));
    }
    if args.values.is_empty() && args.state.is_none() && attrs.is_empty() {
        return Err(Failure::usage("say what to correct: --value, --state or --attr; or --undo"));
    }
    let trial = study.amend(number, amend, reason)?;
    Ok(writeln!(std::io::stdout(), "{}", trial_json(&trial))?)
}
