//! Every decision of Optuna about scripted studies, taken again from the same reports.

use std::collections::BTreeMap;
use std::sync::Arc;

use trialog_ops::{ComponentSpec, Direction, FinalState, Json, TrialNumber};
use trialog_pruners::{Decision, Hyperband, Options, Pruner, from_spec};

use crate::study::Study;

const GOLDEN: &str = include_str!("../golden/decisions-optuna-5.0.0.txt");

/// Decisions about studies of one kind.
#[derive(Debug, Default, PartialEq)]
struct Tally {
    equal: usize,
    /// Pruned here and not there.
    eager: usize,
    /// Pruned there and not here.
    lenient: usize,
}

/// A study of the file on its way through replay.
struct Replayed {
    study: Study,
    pruner: Arc<dyn Pruner>,
    /// The same pruner where it has brackets.
    hyperband: Option<Hyperband>,
    kind: String,
}

impl Replayed {
    fn new(words: &str) -> Replayed {
        let mut words = words.splitn(4, ' ');
        let name = words.next().unwrap();
        let direction = match words.next() {
            Some("maximize") => Direction::Maximize,
            _ => Direction::Minimize,
        };
        let kind = words.next().unwrap().to_owned();
        let spec: Options = serde_json::from_str(words.next().unwrap()).unwrap();
        let options = spec["options"].clone();
        let spec = ComponentSpec {
            name: spec["name"].as_str().unwrap().to_owned(),
            version: 1,
            options: Json::from(options.clone()),
        };
        let is_hyperband = spec.name == "hyperband";
        Replayed {
            study: Study::new(name, &[direction]),
            pruner: from_spec(&spec).unwrap(),
            hyperband: is_hyperband.then(|| Hyperband::from_options(options.as_object().unwrap()).unwrap()),
            kind,
        }
    }

    /// Takes a line; what was decided here and there if it says.
    fn take(&mut self, line: &str) -> Option<(Decision, bool)> {
        let words: Vec<&str> = line.split(' ').collect();
        let number = |word: &str| TrialNumber(word.parse().unwrap());
        match words.as_slice() {
            ["start"] => _ = self.study.start(),
            ["end", trial, "complete"] => self.study.end(number(trial), FinalState::Complete),
            ["end", trial, "complete", value] => {
                self.study.end_with(number(trial), FinalState::Complete, vec![value.parse().unwrap()]);
            }
            ["end", trial, "pruned"] => self.study.end(number(trial), FinalState::Pruned),
            ["end", trial, "fail"] => self.study.end(number(trial), FinalState::Fail),
            ["brackets", budgets @ ..] if self.kind == "exact" => {
                let brackets = self.hyperband.as_ref().unwrap().brackets(&self.study.view()).unwrap();
                assert_eq!(brackets.budgets(), budgets.iter().map(|b| b.parse().unwrap()).collect::<Vec<u128>>());
            }
            ["bracket", trial, bracket] if self.kind == "exact" => {
                let found = self.hyperband.as_ref().unwrap().bracket(&self.study.view(), number(trial));
                assert_eq!(found, Some(bracket.parse().unwrap()), "{line}");
            }
            ["brackets" | "bracket", ..] => {}
            [trial, step, value, verdict] => {
                let trial = number(trial);
                self.study.report(trial, step.parse().unwrap(), value.parse().unwrap());
                return Some((self.pruner.decide(&self.study.view(), trial), *verdict == "prune"));
            }
            _ => panic!("{line}"),
        }
        None
    }
}

/// Replays the file, with a line's verdict turned around if it is to fail.
fn replay(golden: &str) -> BTreeMap<String, Tally> {
    let mut tallies: BTreeMap<String, Tally> = BTreeMap::new();
    let mut replayed = None;
    let mut name = "";
    for (at, line) in golden.lines().enumerate() {
        if let Some(words) = line.strip_prefix("study ") {
            name = words;
            replayed = Some(Replayed::new(words));
            continue;
        }
        let replayed: &mut Replayed = replayed.as_mut().unwrap();
        let Some((here, there)) = replayed.take(line) else { continue };
        let tally = tallies.entry(replayed.kind.clone()).or_default();
        match (here.is_prune(), there) {
            (true, false) => tally.eager += 1,
            (false, true) => tally.lenient += 1,
            _ => tally.equal += 1,
        }
        let agree = here.is_prune() == there;
        assert!(agree || replayed.kind != "exact", "line {}: {line}\n{here:?}\n{name}", at + 1);
    }
    tallies
}

#[test]
fn decisions_are_optunas() {
    let tallies = replay(GOLDEN);
    // Where a study is about a deviation, how far it goes; the rules' modules say why.
    let pinned = |kind: &str, equal, eager, lenient| {
        assert_eq!(tallies[kind], Tally { equal, eager, lenient }, "{kind}");
    };
    pinned("exact", 52005, 0, 0);
    pinned("infinite", 1172, 13, 0);
    pinned("min-trials", 725, 0, 29);
    pinned("skips", 404, 13, 5);
    pinned("nan", 1867, 9, 86);
    pinned("unknown", 1285, 34, 59);
    pinned("logarithm", 656, 37, 18);
    assert_eq!(tallies.len(), 7);
}

#[test]
#[should_panic(expected = "line ")]
fn canary_a_wrong_verdict_is_noticed() {
    replay(&GOLDEN.replacen(" prune\n", " keep\n", 1));
}
