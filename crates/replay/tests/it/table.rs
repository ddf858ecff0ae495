//! The table language: each line is something that happens or a question, `->`, and what must come of it.
//!
//! ```text
//! study a minimize                           -> study 0
//! trial 0 at 10                              -> trial 0 number 0
//! params 0 x=float(0,1):0.5 c=cat(a,b):1     -> applied
//! finish 0 complete 0.2 at 20 ; requeue 0    -> applied ; rejected: finished 0 complete
//! show 0                                     -> a minimize, complete 1, best 0, joint c x
//! ```
//!
//! A line of ops is one record; ` ; ` stands between its ops, and between their verdicts. Its writer is session
//! `me`, which counts for itself; `@you`, `@you/1`, `@you:7` and `@#0:7` in front name another writer, another session
//! of the same worker, the counter, and a session by key. `again` is the last record once more. `#` begins a comment. The ops:
//!
//! ```text
//! study NAME DIRECTION.. [with SAMPLER PRUNER SEED]     delete STUDY
//! attr-of-study STUDY KEY=JSON                          system-attr-of-study STUDY KEY=JSON
//! metrics STUDY NAME..                                  configure STUDY SAMPLER PRUNER SEED
//! trial STUDY at TIME                                   claim TRIAL at TIME
//! requeue TRIAL                                         finish TRIAL STATE [VALUE..] at TIME
//! params TRIAL PARAM..                                  retract TRIAL KEY..
//! measure TRIAL STEP METRIC:VALUE..
//! report TRIAL STEP VALUE                               constraint TRIAL NAME VALUE
//! attr TRIAL KEY=JSON                                   system-attr TRIAL KEY=JSON
//! budget STUDY [trials N] [finished N] [until TIME]      retries STUDY N [reports]
//! lease MILLISECONDS                                    lost WORKER seen RECORD at TIME
//! void TRIAL NOTE                                       unvoid TRIAL NOTE
//! amend TRIAL [state STATE] [values [V..]] [user KEY[=JSON]..] [constraints NAME[:VALUE]..] NOTE
//! undo TRIAL CHANGE NOTE                                skipped CODE
//! sampled-at POSITION
//! add STUDY STATE [values V..] [start T] [end T] [params PARAM..] [reports STEP:VALUE..] [metrics [METRIC STEP:VALUE..]..]
//!     [user KEY=JSON..] [system KEY=JSON..] [constraints NAME:VALUE..]
//! ```
//!
//! A `NOTE` is `by WHO at TIME for REASON`, each of one word. A `PARAM` is `NAME=DISTRIBUTION:VALUE` or `KEY:VALUE`, a `KEY` is `k0`, a `METRIC` is a name or `m0`, a `DISTRIBUTION` is `float(0,1)`,
//! `float(1,9,log)`, `float(0,1,0.25)`, the same with `int`, or `cat(a,1,1.0,true,null)`. The questions:
//! `show STUDY`, `show-trial STUDY NUMBER`, `show-attrs STUDY`, `keys`, `where TRIAL`, `named NAME`,
//! `session NAME`, `worker NAME`, `records`, `metric-keys`, `reports-of STUDY NUMBER METRIC`,
//! and, of the reports without a name or of a metric, `complete-at STUDY STEP [METRIC]`
//! and `last-step STUDY [METRIC]`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{Display, Write as _};

use trialog_ops::*;
use trialog_replay::{ChangeKind, Over, Reason, State, StudyView, TrialView, Verdict};

/// Which ops and which reasons the lines of a table brought about, by name.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) ops: BTreeSet<&'static str>,
    pub(crate) reasons: BTreeSet<String>,
}

/// Runs a table and says which lines came out otherwise than they say.
pub(crate) fn run(table: &str) -> Result<Seen, String> {
    let mut log = Log::default();
    let mut wrong = String::new();
    for (index, line) in table.lines().enumerate() {
        let case = line.split('#').next().unwrap_or_default().trim();
        // `@#0:1` names a session by key and is no comment.
        let case = if line.trim_start().starts_with("@#") { line.trim() } else { case };
        if case.is_empty() {
            continue;
        }
        let (what, expected) =
            case.split_once("->").map_or((case, "no expectation"), |(a, b)| (a.trim(), b.trim()));
        let found = log.line(what).unwrap_or_else(|trouble| format!("cannot read this line: {trouble}"));
        if found != expected {
            let number = index + 1;
            writeln!(wrong, "line {number}: {what}\n  expected: {expected}\n  found:    {found}").unwrap();
        }
    }
    if wrong.is_empty() { Ok(log.seen) } else { Err(wrong) }
}

/// Runs a table that must be right.
#[track_caller]
pub(crate) fn check(table: &str) {
    if let Err(wrong) = run(table) {
        panic!("the table is wrong\n{wrong}");
    }
}

/// The ops of a table, for tests that fold them in their own way.
pub(crate) fn ops(table: &str) -> Vec<Op> {
    let lines = table.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.map(|line| op(line).unwrap_or_else(|trouble| panic!("{line}: {trouble}"))).collect()
}

type Read<T> = Result<T, String>;

#[derive(Default)]
struct Log {
    state: State,
    counters: BTreeMap<String, u64>,
    last: Option<Record>,
    seen: Seen,
}

impl Log {
    fn line(&mut self, line: &str) -> Read<String> {
        if let Some(answer) = self.question(line) {
            return answer;
        }
        if line == "again" {
            let record = self.last.clone().ok_or("there is no last record")?;
            return Ok(self.apply(&record));
        }
        let (session, counter, ops) = self.author(line)?;
        let ops = ops.split(" ; ").map(op).collect::<Read<Vec<Op>>>()?;
        let record = Record { session, counter, ops };
        let verdicts = self.apply(&record);
        self.last = Some(record);
        Ok(verdicts)
    }

    fn author<'a>(&mut self, line: &'a str) -> Read<(SessionRef, u64, &'a str)> {
        let (author, ops) = match line.strip_prefix('@') {
            Some(rest) => rest.split_once(' ').ok_or("an op is missing")?,
            None => ("me", line),
        };
        let (name, counter) = match author.split_once(':') {
            Some((name, counter)) => (name, number(counter)?),
            None => (author, self.counters.get(author).map_or(0, |last| last + 1)),
        };
        self.counters.insert(name.to_owned(), counter);
        let session = match name.strip_prefix('#') {
            Some(key) => SessionRef::Key(SessionKey(number(key)?)),
            None => SessionRef::Id(session(name)),
        };
        Ok((session, counter, ops))
    }

    fn apply(&mut self, record: &Record) -> String {
        let mut verdicts = Vec::new();
        self.state.apply(record, &mut verdicts);
        assert_eq!(verdicts.len(), record.ops.len(), "a verdict for each op");
        self.seen.ops.extend(record.ops.iter().map(op_name));
        let reasons = verdicts.iter().filter_map(Verdict::rejection);
        self.seen.reasons.extend(reasons.map(variant));
        join(verdicts.iter().map(verdict_words), " ; ")
    }

    fn question(&self, line: &str) -> Option<Read<String>> {
        let mut words = line.split_whitespace();
        Some(match (words.next()?, words.collect::<Vec<_>>().as_slice()) {
            ("show", [study]) => self.view(study).map(|view| study_words(&view)),
            ("show-trial", [study, trial]) => self.view(study).and_then(|view| {
                Ok(trial_words(view.trial(TrialNumber(number(trial)?)).ok_or("there is no such trial")?))
            }),
            ("show-attrs", [study]) => {
                self.view(study).map(|view| attrs_words(view.user_attrs(), view.system_attrs()))
            }
            ("keys", []) => Ok(self.keys_words()),
            ("where", [trial]) => number(trial).map(|id| match self.state.trial(TrialId(id)) {
                Some((study, number)) => format!("study {study} number {number}"),
                None => "nowhere".into(),
            }),
            ("named", [name]) => Ok(or_none(self.state.study_id(name))),
            ("session", [name]) => Ok(or_none(self.state.session_key(&session(name)))),
            ("worker", [name]) => Ok(self.worker_words(name)),
            ("records", []) => Ok(self.state.records().to_string()),
            ("complete-at", [study, step, metric @ ..]) => self.view(study).and_then(|view| {
                let list = view.series(metric.first().copied()).complete_at(number(step)?);
                Ok(list.map_or("nothing".into(), |list| join(list.iter().map(|v| format!("{v:?}")), " ")))
            }),
            ("last-step", [study, metric @ ..]) => {
                self.view(study).map(|view| or_none(view.series(metric.first().copied()).last_complete_step()))
            }
            ("reports-of", [study, trial, metric]) => self.view(study).and_then(|view| {
                let trial = view.trial(TrialNumber(number(trial)?)).ok_or("there is no such trial")?;
                Ok(pairs(trial.reports_of(metric)))
            }),
            ("metric-keys", []) => Ok(join((0..).map_while(|key| self.state.metric(MetricKey(key))), " ")),
            _ => return None,
        })
    }

    fn view(&self, study: &str) -> Read<StudyView> {
        self.state.view(StudyId(number(study)?)).ok_or("there is no such study".into())
    }

    fn worker_words(&self, name: &str) -> String {
        let Some(key) = self.state.worker_key(&session(name).worker()) else { return "none".into() };
        let worker = self.state.worker(key).expect("a worker with a key");
        let mut words = format!("worker {key}, last {}", worker.last);
        if worker.lease_ms > 0 {
            write!(words, ", lease {}", worker.lease_ms).unwrap();
        }
        let trials = join(self.state.running_trials(key), " ");
        if !trials.is_empty() {
            write!(words, ", runs {trials}").unwrap();
        }
        words
    }

    fn keys_words(&self) -> String {
        let mut words = Vec::new();
        for study in self.state.studies() {
            for column in study.params() {
                let def =
                    ParamDef { name: column.name().to_owned(), distribution: column.first_distribution().clone() };
                let key = self.state.param_key(&def).expect("a used parameter has a key");
                words.push(format!("k{key} {} {}", def.name, def.distribution));
            }
        }
        words.sort();
        words.dedup();
        join(words, ", ")
    }
}

/// The id of a session named in a table: its worker's name, zeros, and the slot.
fn session(name: &str) -> SessionId {
    let (name, slot) = name.split_once('/').unwrap_or((name, "0"));
    let mut id = [0; 12];
    id[..name.len()].copy_from_slice(name.as_bytes());
    SessionId::new(WorkerId(id), slot.parse().expect("a slot is a number"))
}

// From words to ops.

fn number<T: std::str::FromStr>(word: &str) -> Read<T> {
    word.parse().map_err(|_| format!("{word:?} is no number that fits here"))
}

fn time(word: &str) -> Read<Timestamp> {
    number(word).map(Timestamp)
}

fn direction(word: &str) -> Read<Direction> {
    match word {
        "minimize" => Ok(Direction::Minimize),
        "maximize" => Ok(Direction::Maximize),
        _ => Err(format!("{word:?} is no direction")),
    }
}

fn state(word: &str) -> Read<TrialState> {
    let found = TrialState::ALL.into_iter().find(|state| state.to_string() == word);
    found.ok_or_else(|| format!("{word:?} is no state of a trial"))
}

fn key(word: &str) -> Read<ParamKey> {
    number(word.strip_prefix('k').ok_or_else(|| format!("{word:?} is no key"))?).map(ParamKey)
}

fn attr(word: &str) -> Read<(String, Json)> {
    let (key, value) = word.split_once('=').ok_or_else(|| format!("{word:?} is no KEY=JSON"))?;
    Ok((key.to_owned(), Json::parse(value).map_err(|error| error.to_string())?))
}

fn pair<A: std::str::FromStr, B: std::str::FromStr>(word: &str) -> Read<(A, B)> {
    let (a, b) = word.split_once(':').ok_or_else(|| format!("{word:?} is no A:B"))?;
    Ok((number(a)?, number(b)?))
}

fn config(words: &[&str]) -> Read<Box<StudyConfig>> {
    let [sampler, pruner, seed] = words else { return Err("a configuration is SAMPLER PRUNER SEED".into()) };
    let component = |name: &&str| ComponentSpec { name: (*name).to_owned(), version: 1, options: Json::null() };
    Ok(Box::new(StudyConfig { sampler: component(sampler), pruner: component(pruner), seed: number(seed)? }))
}

fn choice(word: &str) -> Choice {
    match (word, word.parse::<i64>(), word.parse::<f64>()) {
        ("null", ..) => Choice::Null,
        ("true" | "false", ..) => Choice::Bool(word == "true"),
        (_, Ok(int), _) => Choice::Int(int),
        (_, _, Ok(float)) => Choice::Float(float),
        _ => Choice::from(word),
    }
}

fn distribution(word: &str) -> Read<Distribution> {
    let unreadable = || format!("{word:?} is no distribution");
    let (kind, inside) = word.strip_suffix(')').and_then(|word| word.split_once('(')).ok_or_else(unreadable)?;
    let parts: Vec<&str> = inside.split(',').collect();
    let made = match (kind, parts.as_slice()) {
        ("cat", choices) => Distribution::categorical(choices.iter().map(|word| choice(word))),
        ("float", [low, high, rest @ ..]) => {
            let step = rest.first().filter(|word| **word != "log").map(|word| number(word)).transpose()?;
            FloatDistribution::new(number(low)?, number(high)?, rest == ["log"], step).map(Distribution::Float)
        }
        ("int", [low, high, rest @ ..]) => {
            let step = rest.first().filter(|word| **word != "log").map(|word| number(word)).transpose()?;
            let made = IntDistribution::new(number(low)?, number(high)?, rest == ["log"], step.unwrap_or(1));
            made.map(Distribution::Int)
        }
        _ => return Err(unreadable()),
    };
    made.map_err(|error| error.to_string())
}

fn param(word: &str) -> Read<Param> {
    let (what, value) = word.rsplit_once(':').ok_or_else(|| format!("{word:?} has no value"))?;
    let param = match what.split_once('=') {
        Some((name, text)) => {
            let (name, distribution) = (name.to_owned(), distribution(text)?);
            ParamRef::Def(Box::new(ParamDef { name, distribution }))
        }
        None => ParamRef::Key(key(what)?),
    };
    Ok(Param { param, value: number(value)? })
}

/// A metric by name, or by key as `m0`; `""` is the empty name.
fn metric(word: &str) -> Read<MetricRef> {
    Ok(match word.strip_prefix('m').and_then(|key| key.parse().ok()) {
        Some(key) => MetricRef::Key(MetricKey(key)),
        None => MetricRef::Name(word.trim_matches('"').to_owned()),
    })
}

/// Each metric's word and then its reports.
fn metrics(words: &[&str]) -> Read<Vec<MetricSeries>> {
    let mut metrics: Vec<MetricSeries> = Vec::new();
    for word in words {
        if !word.contains(':') {
            metrics.push(MetricSeries { metric: metric(word)?, reports: Vec::new() });
            continue;
        }
        metrics.last_mut().ok_or("a report before its metric")?.reports.push(pair(word)?);
    }
    Ok(metrics)
}

fn all<T>(words: &[&str], read: impl Fn(&str) -> Read<T>) -> Read<Vec<T>> {
    words.iter().map(|word| read(word)).collect()
}

fn op(text: &str) -> Read<Op> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let (verb, rest) = words.split_first().ok_or("an op is missing")?;
    let (first, rest) = rest.split_first().ok_or("the op names nothing")?;
    let study = || number(first).map(StudyId);
    let trial = || number(first).map(TrialId);
    Ok(match (*verb, rest) {
        ("study", rest) => {
            let with = rest.iter().position(|word| *word == "with").unwrap_or(rest.len());
            Op::CreateStudy {
                name: (*first).to_owned(),
                directions: all(&rest[..with], direction)?,
                config: rest.get(with + 1..).map(config).transpose()?,
            }
        }
        ("delete", []) => Op::DeleteStudy { study: study()? },
        ("attr-of-study", [word]) => {
            let (key, value) = attr(word)?;
            Op::SetStudyUserAttr { study: study()?, key, value }
        }
        ("system-attr-of-study", [word]) => {
            let (key, value) = attr(word)?;
            Op::SetStudySystemAttr { study: study()?, key, value }
        }
        ("metrics", names) => {
            Op::SetMetricNames { study: study()?, names: names.iter().map(ToString::to_string).collect() }
        }
        ("configure", words) => Op::SetStudyConfig { study: study()?, config: config(words)? },
        ("trial", ["at", at]) => Op::CreateTrial { study: study()?, start: time(at)? },
        ("add", [word, rest @ ..]) => {
            Op::AddTrial { study: study()?, template: Box::new(template(state(word)?, rest)?) }
        }
        ("claim", ["at", at]) => Op::ClaimTrial { trial: trial()?, start: time(at)? },
        ("requeue", []) => Op::RequeueTrial { trial: trial()? },
        ("params", words) => Op::SetParams { trial: trial()?, params: all(words, param)? },
        ("retract", words) => Op::RetractParams { trial: trial()?, params: all(words, key)? },
        ("report", [step, value]) => Op::Report { trial: trial()?, step: number(step)?, value: number(value)? },
        ("measure", [step, values @ ..]) => {
            let value = |word: &str| {
                let (name, value) = word.rsplit_once(':').ok_or_else(|| format!("{word:?} has no value"))?;
                Ok(MetricValue { metric: metric(name)?, value: number(value)? })
            };
            Op::ReportMetrics { trial: trial()?, step: number(step)?, values: all(values, value)? }
        }
        ("finish", [word, values @ .., "at", at]) => {
            let state = final_state(word)?;
            Op::FinishTrial { trial: trial()?, state, values: all(values, number)?, end: time(at)? }
        }
        ("attr", [word]) => {
            let (key, value) = attr(word)?;
            Op::SetTrialUserAttr { trial: trial()?, key, value }
        }
        ("system-attr", [word]) => {
            let (key, value) = attr(word)?;
            Op::SetTrialSystemAttr { trial: trial()?, key, value }
        }
        ("constraint", [name, value]) => {
            Op::SetConstraint { trial: trial()?, name: (*name).to_owned(), value: number(value)? }
        }
        ("budget", limits) => {
            let mut budget = Budget::default();
            for limit in limits.chunks(2) {
                match *limit {
                    ["trials", max] => budget.trials = Some(number(max)?),
                    ["finished", max] => budget.finished = Some(number(max)?),
                    ["until", at] => budget.until = Some(time(at)?),
                    _ => return Err(format!("{limit:?} is no limit")),
                }
            }
            Op::SetBudget { study: study()?, budget }
        }
        ("retries", [max, rest @ ..]) => {
            let policy = RetryPolicy { retries_max: number(max)?, inherit_reports: rest == ["reports"] };
            Op::SetRetryPolicy { study: study()?, policy }
        }
        ("lease", []) => Op::RenewLease { lease_ms: number(first)? },
        ("lost", ["seen", seen, "at", at]) => {
            Op::DeclareLost { worker: WorkerKey(number(first)?), seen: number(seen)?, end: time(at)? }
        }
        ("void", rest) => Op::VoidTrial { trial: trial()?, note: note(rest)? },
        ("unvoid", rest) => Op::UnvoidTrial { trial: trial()?, note: note(rest)? },
        ("amend", rest) => {
            let by = rest.iter().position(|word| *word == "by").ok_or("a note is missing")?;
            let amendment = Box::new(amendment(&rest[..by])?);
            Op::AmendTrial { trial: trial()?, amendment, note: note(&rest[by..])? }
        }
        ("undo", [change, rest @ ..]) => {
            Op::UndoAmendment { trial: trial()?, change: number(change)?, note: note(rest)? }
        }
        ("sampled-at", []) => Op::SampledAt { position: number(first)? },
        ("skipped", []) => Op::Skipped { code: number(first)? },
        _ => return Err(format!("no op reads {text:?}")),
    })
}

fn final_state(word: &str) -> Read<FinalState> {
    match state(word)? {
        TrialState::Complete => Ok(FinalState::Complete),
        TrialState::Pruned => Ok(FinalState::Pruned),
        TrialState::Fail => Ok(FinalState::Fail),
        _ => Err(format!("a trial does not end as {word}")),
    }
}

fn note(words: &[&str]) -> Read<Box<Note>> {
    let ["by", by, "at", at, "for", reason] = words else {
        return Err("a note is `by WHO at TIME for REASON`".into());
    };
    Ok(Box::new(Note { by: (*by).to_owned(), at: time(at)?, reason: (*reason).to_owned() }))
}

fn amendment(words: &[&str]) -> Read<Amendment> {
    const SECTIONS: [&str; 4] = ["state", "values", "user", "constraints"];
    let mut amendment = Amendment::default();
    let mut rest = words;
    while let Some((section, after)) = rest.split_first() {
        let len = after.iter().position(|word| SECTIONS.contains(word)).unwrap_or(after.len());
        let (words, next) = after.split_at(len);
        match *section {
            "state" => amendment.state = words.first().map(|word| final_state(word)).transpose()?,
            "values" => amendment.values = Some(all(words, number)?),
            "user" => {
                amendment.user_attrs = all(words, |word| match word.contains('=') {
                    true => attr(word).map(|(key, value)| (key, Some(value))),
                    false => Ok((word.to_owned(), None)),
                })?;
            }
            "constraints" => {
                amendment.constraints = all(words, |word| match word.contains(':') {
                    true => pair(word).map(|(name, value)| (name, Some(value))),
                    false => Ok((word.to_owned(), None)),
                })?;
            }
            other => return Err(format!("an amendment has no {other:?}")),
        }
        rest = next;
    }
    Ok(amendment)
}

fn template(state: TrialState, words: &[&str]) -> Read<TrialTemplate> {
    const SECTIONS: [&str; 9] =
        ["values", "start", "end", "params", "reports", "metrics", "user", "system", "constraints"];
    let mut template = TrialTemplate::new(state);
    let mut rest = words;
    while let Some((section, after)) = rest.split_first() {
        let len = after.iter().position(|word| SECTIONS.contains(word)).unwrap_or(after.len());
        let (words, next) = after.split_at(len);
        match *section {
            "values" => template.values = all(words, number)?,
            "start" => template.start = words.first().map(|word| time(word)).transpose()?,
            "end" => template.end = words.first().map(|word| time(word)).transpose()?,
            "params" => template.params = all(words, param)?,
            "reports" => template.reports = all(words, pair)?,
            "metrics" => template.metrics = metrics(words)?,
            "user" => template.user_attrs = all(words, attr)?,
            "system" => template.system_attrs = all(words, attr)?,
            "constraints" => template.constraints = all(words, pair)?,
            other => return Err(format!("a template has no {other:?}")),
        }
        rest = next;
    }
    Ok(template)
}

// From answers to words.

fn join(words: impl IntoIterator<Item = impl Display>, between: &str) -> String {
    words.into_iter().map(|word| word.to_string()).collect::<Vec<_>>().join(between)
}

fn or_none(found: Option<impl Display>) -> String {
    found.map_or("none".into(), |found| found.to_string())
}

fn verdict_words(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Applied => "applied".into(),
        Verdict::Study(id) => format!("study {id}"),
        Verdict::Trial { id, number } => format!("trial {id} number {number}"),
        Verdict::Rejected(reason) => format!("rejected: {}", reason_words(reason)),
        Verdict::Lost { trials, retries } => format!("lost {trials} retries {retries}"),
        Verdict::Late { number } => format!("late {number}"),
        Verdict::Repeated => "repeated".into(),
        Verdict::Skipped => "skipped".into(),
    }
}

fn reason_words(reason: &Reason) -> String {
    match reason {
        Reason::StudyExists { study } => format!("study exists {study}"),
        Reason::NoStudy { study } => format!("no study {study}"),
        Reason::StudyDeleted { study } => format!("study deleted {study}"),
        Reason::NoTrial { trial } => format!("no trial {trial}"),
        Reason::Finished { number, state } => format!("finished {number} {state}"),
        Reason::NotWaiting { number } => format!("not waiting {number}"),
        Reason::NotRunning { number } => format!("not running {number}"),
        Reason::Incompatible { name } => format!("incompatible {name}"),
        Reason::BadParam { name } => format!("bad param {name}"),
        Reason::NoParam => "no param".into(),
        Reason::NoMetric => "no metric".into(),
        Reason::BadMetrics { detail } => format!("bad metrics, {detail}"),
        Reason::NoSession => "no session".into(),
        Reason::ValueCount { expected, found } => format!("{found} values for {expected}"),
        Reason::ConstraintSet { name } => format!("constraint set {name}"),
        Reason::Nan => "nan".into(),
        Reason::BadStudy => "bad study".into(),
        Reason::BadTemplate { detail } => (*detail).into(),
        Reason::BudgetSpent { study, reserved: false } => format!("budget spent {study}"),
        Reason::BudgetSpent { study, reserved: true } => format!("budget reserved {study}"),
        Reason::TooManyRetries { max } => format!("more than {max} retries"),
        Reason::NoWorker { worker } => format!("no worker {worker}"),
        Reason::NoLease { worker } => format!("no lease {worker}"),
        Reason::Progress { worker, last } => format!("progress {worker} last {last}"),
        Reason::Idle { worker } => format!("idle {worker}"),
        Reason::NotFinished { number, state } => format!("not finished {number} {state}"),
        Reason::Voided { number } => format!("void {number}"),
        Reason::NotVoided { number } => format!("not void {number}"),
        Reason::NoChange => "no change".into(),
        Reason::NotInForce { number, change } => format!("not in force {number} {change}"),
        Reason::TooManyChanges { max } => format!("more than {max} changes"),
        other => format!("{other:?}"),
    }
}

/// A variant's name, off its `Debug` form.
fn variant(value: impl std::fmt::Debug) -> String {
    format!("{value:?}").chars().take_while(|c| c.is_alphanumeric()).collect()
}

/// The name of an op's kind. A new kind does not compile until it stands here, and then lacks a case.
fn op_name(op: &Op) -> &'static str {
    OP_NAMES[match op {
        Op::CreateStudy { .. } => 0,
        Op::DeleteStudy { .. } => 1,
        Op::SetStudyUserAttr { .. } => 2,
        Op::SetStudySystemAttr { .. } => 3,
        Op::SetMetricNames { .. } => 4,
        Op::SetStudyConfig { .. } => 5,
        Op::CreateTrial { .. } => 6,
        Op::AddTrial { .. } => 7,
        Op::ClaimTrial { .. } => 8,
        Op::RequeueTrial { .. } => 9,
        Op::SetParams { .. } => 10,
        Op::RetractParams { .. } => 11,
        Op::Report { .. } => 12,
        Op::FinishTrial { .. } => 13,
        Op::SetTrialUserAttr { .. } => 14,
        Op::SetTrialSystemAttr { .. } => 15,
        Op::SetConstraint { .. } => 16,
        Op::SetBudget { .. } => 17,
        Op::SetRetryPolicy { .. } => 18,
        Op::RenewLease { .. } => 19,
        Op::DeclareLost { .. } => 20,
        Op::VoidTrial { .. } => 21,
        Op::UnvoidTrial { .. } => 22,
        Op::AmendTrial { .. } => 23,
        Op::UndoAmendment { .. } => 24,
        Op::SampledAt { .. } => 25,
        Op::Skipped { .. } => 26,
        Op::ReportMetrics { .. } => 27,
    }]
}

/// All kinds of ops.
pub(crate) const OP_NAMES: [&str; 28] = [
    "CreateStudy",
    "DeleteStudy",
    "SetStudyUserAttr",
    "SetStudySystemAttr",
    "SetMetricNames",
    "SetStudyConfig",
    "CreateTrial",
    "AddTrial",
    "ClaimTrial",
    "RequeueTrial",
    "SetParams",
    "RetractParams",
    "Report",
    "FinishTrial",
    "SetTrialUserAttr",
    "SetTrialSystemAttr",
    "SetConstraint",
    "SetBudget",
    "SetRetryPolicy",
    "RenewLease",
    "DeclareLost",
    "VoidTrial",
    "UnvoidTrial",
    "AmendTrial",
    "UndoAmendment",
    "SampledAt",
    "Skipped",
    "ReportMetrics",
];

fn pairs(reports: &[(u64, f64)]) -> String {
    join(reports.iter().map(|(step, value)| format!("{step}:{value:?}")), " ")
}

/// One line about a study: what is empty is left out.
pub(crate) fn study_words(view: &StudyView) -> String {
    let numbers = |trials: Vec<TrialView<'_>>| join(trials.into_iter().map(TrialView::number), " ");
    let space = |over| join(view.joint_space(over).map(|(name, _)| name), " ");
    let both = space(Over::CompleteAndPruned);
    let mut words = format!("{} {}", view.name(), join(view.directions(), " "));
    let mut say = |label: &str, text: String| {
        if !text.is_empty() {
            write!(words, ", {label} {text}").unwrap();
        }
    };
    say("metrics", join(view.metric_names().unwrap_or(&[]), " "));
    say("reported", join(view.reported_metrics(), " "));
    if let Some(config) = view.config() {
        say("config", format!("{} {} {}", config.sampler.name, config.pruner.name, config.seed));
    }
    let budget = view.budget();
    say("trials max", budget.trials.map(|max| max.to_string()).unwrap_or_default());
    say("finished max", budget.finished.map(|max| max.to_string()).unwrap_or_default());
    say("until", budget.until.map(|until| until.to_string()).unwrap_or_default());
    let policy = view.retry_policy();
    if policy != RetryPolicy::default() {
        say(
            "retries",
            format!("{}{}", policy.retries_max, if policy.inherit_reports { " with reports" } else { "" }),
        );
    }
    for state in TrialState::ALL {
        let count = view.count(state);
        say(&state.to_string(), if count == 0 { String::new() } else { count.to_string() });
    }
    say("queue", numbers(view.waiting().collect()));
    say("at work", numbers(view.running().collect()));
    say("best", numbers(view.best().collect()));
    if view.directions().len() > 1 {
        say("front", numbers(view.pareto_front().collect()));
    }
    let complete = space(Over::Complete);
    if both != complete {
        let both = if both.is_empty() { "nothing" } else { &both };
        say("joint", format!("{complete}, with pruned {both}"));
    } else {
        say("joint", complete);
    }
    words
}

/// One line about a trial: what is empty is left out.
pub(crate) fn trial_words(trial: TrialView<'_>) -> String {
    let mut words = trial.state().to_string();
    let mut say = |label: &str, text: String| {
        if !text.is_empty() {
            write!(words, ", {label} {text}").unwrap();
        }
    };
    say("values", join(trial.values().map(|value| format!("{value:?}")), " "));
    say("start", trial.start().map(|time| time.to_string()).unwrap_or_default());
    say("end", trial.end().map(|time| time.to_string()).unwrap_or_default());
    let params = trial.params().map(|(name, distribution, _)| {
        format!("{name}={} ({distribution})", trial.param_value(name).expect("the trial has the parameter"))
    });
    say("params", join(params, " "));
    say("reports", pairs(trial.told_reports()));
    for (name, reports) in trial.told_metrics() {
        say(name, pairs(reports));
    }
    say("attrs", attrs_words(trial.user_attrs(), trial.system_attrs()));
    say("constraints", join(trial.constraints().map(|(name, value)| format!("{name}:{value:?}")), " "));
    if trial.is_lost() {
        say("lost", "for good".into());
    }
    if let Some(late) = trial.late() {
        say("late", format!("{} {:?} {}", late.state, late.values, late.end));
    }
    say("again", join(trial.attempts_before(), " "));
    if let Some(change) = trial.voided() {
        say("void", format!("{} of {} told", change.note.reason, trial.told_state()));
    }
    let changes = trial.changes().iter().map(|change| {
        let what = match &change.what {
            ChangeKind::Voided => "voided".to_owned(),
            ChangeKind::Unvoided => "unvoided".to_owned(),
            ChangeKind::Amended(_) => "amended".to_owned(),
            ChangeKind::Undone(place) => format!("undone {place}"),
        };
        let Note { by, at, reason } = &change.note;
        format!("{what} by {by} at {at} for {reason} in {} by worker {}", change.record, change.worker)
    });
    say("changes", join(changes, "; "));
    let amendments = trial.amendments().into_iter().map(|amended| {
        let kept = if amended.is_in_force { "" } else { " (undone)" };
        format!("{}{kept}: {} was {}", amended.place, words_of(amended.amendment), words_of(&amended.before))
    });
    say("amendments", join(amendments, "; "));
    if !trial.is_feasible() {
        say("violation", format!("{:?}", trial.violation()));
    }
    words
}

fn words_of(amendment: &Amendment) -> String {
    let mut words = Vec::new();
    words.extend(amendment.state.map(|state| TrialState::from(state).to_string()));
    words.extend(amendment.values.as_ref().map(|values| format!("{values:?}")));
    let none = "nothing".to_owned();
    words.extend(
        amendment
            .user_attrs
            .iter()
            .map(|(key, value)| format!("{key}={}", value.as_ref().map_or(none.clone(), ToString::to_string))),
    );
    words.extend(
        amendment
            .constraints
            .iter()
            .map(|(name, value)| format!("{name}:{}", value.map_or(none.clone(), |value| format!("{value:?}")))),
    );
    join(words, " ")
}

fn attrs_words<'a>(
    user: impl Iterator<Item = (&'a str, &'a Json)>,
    system: impl Iterator<Item = (&'a str, &'a Json)>,
) -> String {
    let user = join(user.map(|(key, value)| format!("{key}={value}")), " ");
    let system = join(system.map(|(key, value)| format!("{key}={value}")), " ");
    if system.is_empty() { user } else { format!("{user} system {system}").trim().to_owned() }
}
