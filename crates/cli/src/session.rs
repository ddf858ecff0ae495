//! Ask and tell for any language: the verbs, as single commands and as a session of JSON lines.

use std::collections::HashMap;
use std::io::{BufRead as _, Write as _};

use serde_json::{Value, json};
use trialog::{Choice, FrozenTrial, Json, Study, Trial, TrialNumber, TrialState};

use crate::args::{self, EndState};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{params_json, trial_json};
use crate::run::{asked, json_object, number_of};
use crate::space::Space;
use crate::study::{kept_space, no_space};

/// The attribute of a trial that names the request which made it.
const REQUEST: &str = "trialog:request";
/// How many answers a session keeps for requests that come again.
const ANSWERS_MAX: usize = 10_000;
/// A longer request is refused: none makes sense.
const REQUEST_BYTES_MAX: u64 = 16 << 20;

pub(crate) fn ask(args: &args::Ask) -> Outcome {
    let (study, space) = args.make.study(&args.study, args.make.how())?;
    let mut session = Session::new(study, space);
    let answer = session.ask(args.request.as_deref())?;
    println(&answer)
}

pub(crate) fn report(args: &args::Report) -> Outcome {
    let plain: Vec<f64> =
        args.values.iter().filter(|given| given.metric.is_none()).map(|given| given.value).collect();
    if plain.len() > 1 {
        return Err(Failure::usage("one value has no name; write the others as METRIC=VALUE"));
    }
    let metrics = args.values.iter().filter_map(|given| Some((given.metric.clone()?, given.value))).collect();
    Session::of(args.study.change()?).report(args.trial, args.step, plain.first().copied(), metrics)
}

pub(crate) fn should_prune(args: &args::ShouldPrune) -> Outcome {
    let (prune, reason) = Session::of(args.study.change()?).should_prune(args.trial)?;
    match (args.exit_code, prune) {
        (true, true) => Err(Failure::silent(Exit::No)),
        (true, false) => Ok(()),
        (false, _) => println(&json!({"prune": prune, "reason": reason})),
    }
}

pub(crate) fn tell(args: &args::Tell) -> Outcome {
    let told = Session::of(args.study.change()?).tell(args.trial, args.state, &args.values)?;
    println(&trial_json(&told))
}

pub(crate) fn enqueue(args: &args::Enqueue) -> Outcome {
    let params: Value = serde_json::from_str(&args.params)
        .map_err(|error| Failure::invalid(format!("the parameters are no JSON: {error}")))?;
    let mut attrs = Vec::new();
    for pair in &args.attrs {
        let (key, value) =
            pair.split_once('=').ok_or_else(|| Failure::usage(format!("--attr {pair:?}: write KEY=JSON")))?;
        attrs.push((key.to_owned(), attr_of(value)));
    }
    let mut session = Session::of(args.study.change()?);
    let number = session.enqueue(&params, attrs, args.skip_if_exists, args.request.as_deref())?;
    println(&json!({"trial": number}))
}

/// JSON, or a text for what is none.
pub(crate) fn attr_of(text: &str) -> Json {
    Json::parse(text).unwrap_or_else(|_| Json::from(text))
}

fn println(answer: &Value) -> Outcome {
    Ok(writeln!(std::io::stdout(), "{answer}")?)
}

/// Requests from standard input, answers on standard output, a JSON object on a line each, in order.
pub(crate) fn stdio(args: &args::Stdio) -> Outcome {
    let (study, space) = args.make.study(&args.study, args.make.how())?;
    let mut session = Session::new(study, space);
    let mut answers = Answers::default();
    let mut input = std::io::stdin().lock();
    let mut out = std::io::stdout().lock();
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        let read = std::io::Read::take(&mut input, REQUEST_BYTES_MAX).read_until(b'\n', &mut bytes)?;
        if read == 0 {
            return Ok(());
        }
        if bytes.last() != Some(&b'\n') && read as u64 == REQUEST_BYTES_MAX {
            return Err(Failure::invalid(format!("a request is longer than {REQUEST_BYTES_MAX} bytes")));
        }
        let line = String::from_utf8_lossy(&bytes);
        if line.trim().is_empty() {
            continue;
        }
        let answer = answer(&mut session, &mut answers, &line);
        writeln!(out, "{answer}")?;
        out.flush()?;
    }
}

/// The answers to earlier requests of this session, by id.
#[derive(Default)]
struct Answers {
    by_id: HashMap<String, Value>,
    order: std::collections::VecDeque<String>,
    client: Option<String>,
}

impl Answers {
    fn keep(&mut self, id: &Value, answer: &Value) {
        let id = id.to_string();
        if self.by_id.insert(id.clone(), answer.clone()).is_none() {
            self.order.push_back(id);
        }
        if self.order.len() > ANSWERS_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.by_id.remove(&oldest);
        }
    }
}

fn answer(session: &mut Session, answers: &mut Answers, line: &str) -> Value {
    let Some(request) = json_object(line) else {
        return json!({"id": null, "error": error_json(&Failure::invalid(format!("this is no JSON object: {}", line.trim())))});
    };
    let id = request.get("id").cloned().unwrap_or(Value::Null);
    if let Some(known) = answers.by_id.get(&id.to_string()).filter(|_| !id.is_null()) {
        return known.clone();
    }
    match verb(session, answers, &request, &id) {
        Ok(ok) => {
            let answer = json!({"id": id, "ok": ok});
            if !id.is_null() {
                answers.keep(&id, &answer);
            }
            answer
        }
        // An error is no answer to be kept: the same request may go well the next time.
        Err(failure) => json!({"id": id, "error": error_json(&failure)}),
    }
}

fn error_json(failure: &Failure) -> Value {
    let kind = match failure.exit {
        Exit::Usage => "usage",
        Exit::NotFound => "not_found",
        Exit::Invalid => "invalid",
        Exit::Locked => "locked",
        Exit::Damaged => "damaged",
        Exit::NotALog => "not_a_log",
        Exit::Unavailable => "unavailable",
        Exit::Exhausted => "exhausted",
        _ => "failed",
    };
    json!({"kind": kind, "message": failure.message})
}

const VERBS: [&str; 9] = ["hello", "ask", "report", "should_prune", "tell", "enqueue", "set_attr", "best", "trial"];

fn verb(session: &mut Session, answers: &mut Answers, request: &Value, id: &Value) -> Outcome<Value> {
    let text = |key: &str| request.get(key).and_then(Value::as_str);
    let needed =
        |key: &str| request.get(key).ok_or_else(|| Failure::invalid(format!("the request has no {key:?}")));
    let trial = || {
        let number = needed("trial")?.as_u64().and_then(|number| u32::try_from(number).ok());
        number.ok_or_else(|| Failure::invalid("\"trial\" is a trial's number"))
    };
    let number = |value: &Value| number_of(value).ok_or_else(|| Failure::invalid(format!("{value} is no number")));
    // Only a client with a name can be known again by another session.
    let name = answers.client.as_ref().filter(|_| !id.is_null()).map(|client| format!("{client}/{id}"));
    match text("do").unwrap_or("") {
        "hello" => {
            answers.client = text("client").map(str::to_owned);
            let view = session.study.view()?;
            let directions: Vec<String> = view.directions().iter().map(ToString::to_string).collect();
            let space = session.space.as_ref().map(Space::to_json);
            Ok(json!({
                "trialog": env!("CARGO_PKG_VERSION"), "study": session.study.name(), "directions": directions,
                "space": space, "verbs": VERBS,
            }))
        }
        "ask" => session.ask(name.as_deref()),
        "report" => {
            let step =
                needed("step")?.as_u64().ok_or_else(|| Failure::invalid("\"step\" is a whole number from 0"))?;
            let metrics: Vec<(String, f64)> = match request.get("metrics") {
                None => Vec::new(),
                Some(Value::Object(metrics)) => {
                    let metric = |(name, value): (&String, &Value)| Ok((name.clone(), number(value)?));
                    metrics.iter().map(metric).collect::<Outcome<_>>()?
                }
                Some(_) => return Err(Failure::invalid("\"metrics\" is an object of numbers by name")),
            };
            let value = match request.get("value") {
                None if !metrics.is_empty() => None,
                _ => Some(number(needed("value")?)?),
            };
            session.report(trial()?, step, value, metrics)?;
            Ok(json!({}))
        }
        "should_prune" => {
            let (prune, reason) = session.should_prune(trial()?)?;
            Ok(json!({"prune": prune, "reason": reason}))
        }
        "tell" => {
            let state = match text("state").unwrap_or("complete") {
                "complete" => EndState::Complete,
                "pruned" => EndState::Pruned,
                "fail" | "failed" => EndState::Failed,
                other => return Err(Failure::invalid(format!("{other:?} is none of complete, pruned, failed"))),
            };
            let values = match (request.get("values"), request.get("value")) {
                (Some(Value::Array(values)), _) => values.iter().map(number).collect::<Outcome<Vec<f64>>>()?,
                (Some(_), _) => return Err(Failure::invalid("\"values\" is a list of numbers")),
                (None, Some(value)) => vec![number(value)?],
                (None, None) => Vec::new(),
            };
            Ok(trial_json(&session.tell(trial()?, state, &values)?))
        }
        "enqueue" => {
            let attrs = match request.get("attrs") {
                Some(Value::Object(attrs)) => {
                    attrs.iter().map(|(key, value)| (key.clone(), Json::from(value))).collect()
                }
                _ => Vec::new(),
            };
            let skip = request.get("skip_if_exists").and_then(Value::as_bool).unwrap_or(false);
            let number = session.enqueue(needed("params")?, attrs, skip, name.as_deref())?;
            Ok(json!({"trial": number}))
        }
        "set_attr" => {
            let key = text("key").ok_or_else(|| Failure::invalid("the request has no \"key\""))?;
            let value = Json::from(needed("value")?);
            match request.get("trial") {
                Some(_) => session.resume(trial()?)?.set_user_attr(key, value)?,
                None => session.study.set_user_attr(key, value)?,
            }
            Ok(json!({}))
        }
        "best" => Ok(Value::Array(session.study.best_trials()?.iter().map(trial_json).collect())),
        "trial" => Ok(trial_json(&session.study.trial(TrialNumber(trial()?))?)),
        other => {
            let known = VERBS.join(", ");
            Err(Failure::invalid(format!("there is no verb {other:?}: \"do\" is one of {known}")))
        }
    }
}

/// A study, and the trials that this process has begun in it.
struct Session {
    study: Study,
    space: Option<Space>,
    running: HashMap<u32, Trial>,
    /// Which trial each named request made, for all trials before `known`.
    requests: HashMap<String, u32>,
    known: u32,
}

impl Session {
    fn of(study: Study) -> Session {
        Session::new(study, None)
    }

    fn new(study: Study, space: Option<Space>) -> Session {
        Session { study, space, running: HashMap::new(), requests: HashMap::new(), known: 0 }
    }

    /// The trial that a named request made, if it did.
    fn made_by(&mut self, request: &str) -> Outcome<Option<u32>> {
        let view = self.study.view()?;
        for number in self.known..view.trial_count() as u32 {
            let made = view.trial(TrialNumber(number)).and_then(|trial| trial.system_attr(REQUEST)?.to_value());
            if let Some(Value::String(request)) = made {
                self.requests.insert(request, number);
            }
        }
        // A trial is there a moment before its mark: the newest are looked at again.
        self.known = (view.trial_count() as u32).saturating_sub(1_000);
        Ok(self.requests.get(request).copied())
    }

    fn ask(&mut self, request: Option<&str>) -> Outcome<Value> {
        if self.space.is_none() {
            self.space = kept_space(&self.study)?;
        }
        let Some(space) = self.space.clone() else { return Err(no_space(&self.study)) };
        if let Some(request) = request
            && let Some(number) = self.made_by(request)?
        {
            let trial = self.study.trial(TrialNumber(number))?;
            return Ok(json!({"trial": number, "params": params_json(trial.params.iter())}));
        }
        loop {
            let mut trial = self.study.ask()?;
            if let Some(request) = request {
                trial.set_system_attr(REQUEST, request)?;
            }
            let values = space.suggest(&mut trial).map_err(Failure::invalid)?;
            let violations = space.violations(&values).map_err(Failure::invalid)?;
            for (name, by) in &violations {
                trial.set_constraint(name, *by)?;
            }
            if violations.iter().any(|(_, by)| *by > 0.0) {
                self.study.tell_pruned(&trial)?;
                continue;
            }
            let answer = asked(&trial, &values);
            self.running.insert(trial.number().0, trial);
            return Ok(answer);
        }
    }

    fn resume(&mut self, number: u32) -> Outcome<&mut Trial> {
        if !self.running.contains_key(&number) {
            let trial = self.study.resume(TrialNumber(number))?;
            self.running.insert(number, trial);
        }
        self.running.get_mut(&number).ok_or_else(|| Failure::invalid(format!("trial {number} is gone")))
    }

    fn report(&mut self, number: u32, step: u64, value: Option<f64>, metrics: Vec<(String, f64)>) -> Outcome {
        let trial = self.resume(number)?;
        if let Some(value) = value {
            trial.report(step, value)?;
        }
        if !metrics.is_empty() {
            trial.report_metrics(step, metrics)?;
        }
        Ok(())
    }

    fn should_prune(&mut self, number: u32) -> Outcome<(bool, Option<String>)> {
        let decision = self.resume(number)?.decide()?;
        Ok((decision.is_prune(), decision.reason().map(str::to_owned)))
    }

    /// Telling what is in the log already is no error: the answer to the first time may have been lost.
    fn tell(&mut self, number: u32, state: EndState, values: &[f64]) -> Outcome<FrozenTrial> {
        if let Ok(known) = self.study.trial(TrialNumber(number))
            && known.state.is_finished()
            && !known.lost
        {
            let is_same = match state {
                EndState::Complete => known.state == TrialState::Complete && known.values == values,
                EndState::Pruned => known.state == TrialState::Pruned,
                EndState::Failed => known.state == TrialState::Fail,
            };
            if is_same {
                self.running.remove(&number);
                return Ok(known);
            }
        }
        if state != EndState::Complete && !values.is_empty() {
            return Err(Failure::invalid("only a complete trial has values; a pruned one's is its last report"));
        }
        self.resume(number)?;
        let Some(trial) = self.running.get(&number) else {
            return Err(Failure::invalid(format!("trial {number} is gone")));
        };
        let told = match state {
            EndState::Complete => self.study.tell(trial, values.to_vec())?,
            EndState::Pruned => self.study.tell_pruned(trial)?,
            EndState::Failed => self.study.tell_failed(trial)?,
        };
        self.running.remove(&number);
        Ok(told)
    }

    fn enqueue(
        &mut self,
        params: &Value,
        attrs: Vec<(String, Json)>,
        skip_if_exists: bool,
        request: Option<&str>,
    ) -> Outcome<Option<u32>> {
        let Value::Object(params) = params else {
            return Err(Failure::invalid("parameters are a JSON object: {\"x\": 0.5}"));
        };
        let mut choices: Vec<(String, Choice)> = Vec::with_capacity(params.len());
        for (name, value) in params {
            choices.push((name.clone(), choice_of(name, value)?));
        }
        if let Some(request) = request
            && let Some(number) = self.made_by(request)?
        {
            return Ok(Some(number));
        }
        let number = if skip_if_exists {
            match self.study.enqueue_if_absent(choices, attrs)? {
                Some(number) => number,
                None => return Ok(None),
            }
        } else {
            self.study.enqueue_with(choices, attrs)?
        };
        if let Some(request) = request {
            self.requests.insert(request.to_owned(), number.0);
        }
        Ok(Some(number.0))
    }
}

fn choice_of(name: &str, value: &Value) -> Outcome<Choice> {
    Ok(match value {
        Value::Null => Choice::Null,
        Value::Bool(value) => Choice::Bool(*value),
        Value::String(text) => Choice::from(text.as_str()),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(value), _) => Choice::Int(value),
            (None, Some(value)) => Choice::Float(value),
            (None, None) => return Err(Failure::invalid(format!("parameter {name:?}: {number} does not fit"))),
        },
        _ => return Err(Failure::invalid(format!("parameter {name:?} is a scalar, not {value}"))),
    })
}
