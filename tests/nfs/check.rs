//! What the diaries claim, held against what the logs say.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::ControlFlow;

use trialog::{Digest, FrozenTrial, OpenOptions, TrialState};
use trialog_journal::{Journal as _, Seq};
use trialog_journal_file::{FileJournal, Options};

use crate::Outcome;
use crate::worker::History;

/// How many faults are told one by one.
const TOLD_MAX: usize = 12;

/// The lines of all diaries of one log.
pub(crate) struct Diaries(Vec<(String, String)>);

impl Diaries {
    pub(crate) fn read(paths: &[String]) -> Outcome<Diaries> {
        let read = |path: &String| {
            let text = fs::read_to_string(path).map_err(|error| format!("cannot read {path}: {error}"))?;
            Ok((path.clone(), text))
        };
        Ok(Diaries(paths.iter().map(read).collect::<Outcome<_>>()?))
    }

    /// Each line's name of its diary, first word, and rest.
    fn lines(&self) -> impl Iterator<Item = (&str, &str, &str)> {
        self.0.iter().flat_map(|(path, text)| {
            text.lines().map(move |line| {
                let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
                (path.as_str(), word, rest)
            })
        })
    }

    /// How many lines begin so.
    pub(crate) fn count(&self, word: &str) -> usize {
        self.lines().filter(|(_, first, _)| *first == word).count()
    }

    /// How often each kind of error was met, in words.
    pub(crate) fn refusals(&self) -> String {
        let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
        for (_, _, rest) in self.lines().filter(|(_, word, _)| *word == "refused") {
            *kinds.entry(rest.split(' ').next().unwrap_or_default()).or_default() += 1;
        }
        let kinds: Vec<String> = kinds.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
        if kinds.is_empty() { "none".to_owned() } else { kinds.join(", ") }
    }

    /// What was said in a refusal, but for a full disk's; each once.
    pub(crate) fn refused_otherwise(&self) -> BTreeSet<&str> {
        let refused = self.lines().filter(|(_, word, rest)| *word == "refused" && !rest.starts_with("full "));
        refused.map(|(_, _, rest)| rest).take(TOLD_MAX).collect()
    }

    /// Errors that no fault excuses: a log is never damaged.
    fn damage(&self) -> Vec<String> {
        let bad = |rest: &str| rest.starts_with("corrupt") || rest.starts_with("other");
        let found = self.lines().filter(|(_, word, rest)| *word == "refused" && bad(rest));
        found.map(|(path, _, rest)| format!("{path}: {rest}")).collect()
    }
}

/// The digest of a study's log, as a new reader has it.
pub(crate) fn digest(log: &str) -> Outcome<Digest> {
    let said = |error: trialog::Error| error.to_string();
    OpenOptions::new().read_only(true).open(log).map_err(said)?.digest().map_err(said)
}

/// Every trial that was told is there once, with the value that was told.
pub(crate) fn study(log: &str, diaries: &Diaries) -> Outcome {
    let said = |error: trialog::Error| error.to_string();
    let storage = OpenOptions::new().read_only(true).open(log).map_err(said)?;
    let trials = storage.study("shared").load().map_err(said)?.trials().map_err(said)?;
    let mut faults = diaries.damage();
    for (index, trial) in trials.iter().enumerate() {
        if trial.number.0 as usize != index {
            faults.push(format!("trial {} stands at place {index}", trial.number));
        }
    }
    let mut told = BTreeMap::new();
    for (path, word, rest) in diaries.lines().filter(|(_, word, _)| matches!(*word, "told" | "late")) {
        let fault = match parse_told(rest) {
            None => Some("is no line of a diary".to_owned()),
            Some((number, _)) if told.insert(number, path).is_some() => Some("was told twice".to_owned()),
            Some((number, value)) => match trials.get(number) {
                None => Some("is lost".to_owned()),
                Some(trial) => fault_of(trial, word, value),
            },
        };
        faults.extend(fault.map(|fault| format!("{path}: {word} {rest}: {fault}")));
    }
    judge(log, &faults)
}

fn parse_told(rest: &str) -> Option<(usize, f64)> {
    let (number, bits) = rest.split_once(' ')?;
    Some((number.parse().ok()?, f64::from_bits(bits.parse().ok()?)))
}

fn fault_of(trial: &FrozenTrial, word: &str, value: f64) -> Option<String> {
    let bits = |values: &[f64]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
    let wanted = vec![value.to_bits()];
    let late = trial.late.as_ref().is_some_and(|late| bits(&late.values) == wanted);
    let counts = trial.state == TrialState::Complete && bits(&trial.values) == wanted;
    let is_right = if word == "late" { late } else { counts };
    (!is_right).then(|| format!("is {} with {:?}", trial.state, trial.values))
}

/// Every record that was appended is there once, at the place that was told, and whoever followed saw what the log
/// says to that point. Returns what the log came to.
pub(crate) fn plain(log: &str, diaries: &Diaries) -> Outcome<History> {
    let (names, histories) = read(log)?;
    let mut faults = diaries.damage();
    let mut places: BTreeMap<&str, u64> = BTreeMap::new();
    for (seq, name) in names.iter().enumerate() {
        if places.insert(name, seq as u64).is_some() {
            faults.push(format!("{name} is there twice"));
        }
    }
    for (path, word, rest) in diaries.lines() {
        let mut words = rest.split(' ');
        let mut next = || words.next().unwrap_or_default();
        let is_right = match word {
            "appended" => {
                let (seq, name) = (next(), next());
                seq.parse().is_ok_and(|seq: u64| places.get(name) == Some(&seq))
            }
            "saw" => {
                let (records, hash) = (next(), next());
                let seen = records.parse().ok().and_then(|records: usize| histories.get(records));
                seen.is_some_and(|seen| seen.hash.to_string() == hash) || diaries.was_told_of_regress(path, rest)
            }
            _ => true,
        };
        if !is_right {
            faults.push(format!("{path}: {word} {rest}: the log says otherwise"));
        }
    }
    judge(log, &faults)?;
    Ok(histories.last().copied().unwrap_or_default())
}

impl Diaries {
    /// A reader without the lock may see what the server then does not keep; it has to be told so.
    fn was_told_of_regress(&self, path: &str, saw: &str) -> bool {
        let mut rest = self.lines().filter(|(at, ..)| *at == path).skip_while(|(_, _, rest)| *rest != saw);
        rest.any(|(_, word, rest)| word == "refused" && rest.starts_with("regressed"))
    }
}

/// The names of all records, and what the log had come to before each and after the last.
fn read(log: &str) -> Outcome<(Vec<String>, Vec<History>)> {
    let said = |error: trialog_journal::Error| error.to_string();
    let options = Options { read_only: true, create: false, ..Options::default() };
    let journal = FileJournal::open(log, &options).map_err(said)?;
    let mut names = Vec::new();
    let mut histories = vec![History::default()];
    let mut history = History::default();
    let visit = &mut |_: Seq, record: &[u8]| {
        let text = String::from_utf8_lossy(record);
        names.push(text.split(' ').next().unwrap_or_default().to_owned());
        history.add(record);
        histories.push(history);
        ControlFlow::Continue(())
    };
    journal.read(Seq(0), visit).map_err(said)?;
    Ok((names, histories))
}

fn judge(log: &str, faults: &[String]) -> Outcome {
    if faults.is_empty() {
        return Ok(());
    }
    for fault in faults.iter().take(TOLD_MAX) {
        println!("    {fault}");
    }
    Err(format!("{log}: {} claims are not true, such as: {}", faults.len(), faults[0]))
}
