//! A zoo of odd studies, before every sampler and option there is: what is proposed is valid, always, and the same whoever is
//! asked: somebody who has just started, somebody who has looked at this study and others in any order, and somebody who
//! has the study from a snapshot.
//!
//! Each study follows from a number. `TRIALOG_ZOO=FIRST..END` runs those of a range, such as one that failed; whatever
//! fails names its number.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use trialog_numerics::Stream;
use trialog_ops::{Direction, Distribution, Note, Op, Timestamp, TrialId, TrialNumber, TrialState};
use trialog_replay::{StudyView, TrialView};
use trialog_samplers::{Asked, Proposal, REGISTRY, Random, Sampler};

use crate::parzen::distribution;
use crate::study::{Study, template};

/// How many studies are looked at if nobody says which.
const STUDIES: u64 = 40;

/// No suggestion takes so long: processor time where Linux tells it, and otherwise by the clock.
const LONG: Duration = Duration::from_secs(20);

/// Every sampler with the options that change what it does. Start-ups are short, and so are populations.
const SAMPLERS: &[(&str, &str)] = &[
    ("auto", "{}"),
    ("tpe", "{}"),
    ("tpe", r#"{"n_startup_trials": 1, "multivariate": true}"#),
    ("tpe", r#"{"n_startup_trials": 1, "multivariate": false, "constant_liar": true}"#),
    ("tpe", r#"{"n_startup_trials": 1, "multivariate": true, "group": true, "constant_liar": true}"#),
    (
        "tpe",
        r#"{"n_startup_trials": 0, "multivariate": true, "consider_endpoints": true, "consider_magic_clip": false}"#,
    ),
    ("tpe", r#"{"n_startup_trials": 1, "gamma": "root", "prior_weight": 0.0, "n_ei_candidates": 1}"#),
    ("gp", r#"{"n_startup_trials": 1}"#),
    ("gp", r#"{"n_startup_trials": 1, "acquisition": "ucb", "deterministic_objective": true}"#),
    ("forest", r#"{"n_startup_trials": 1, "n_trees": 12}"#),
    ("forest", r#"{"n_startup_trials": 1, "n_trees": 12, "trees": "random_forest", "xi": 0.5}"#),
    ("random", "{}"),
    ("cmaes", r#"{"popsize": 4}"#),
    ("cmaes", r#"{"popsize": 4, "use_separable_cma": true, "consider_pruned_trials": true}"#),
    ("cmaes", r#"{"popsize": 4, "lr_adapt": true, "sigma0": 1e300}"#),
    ("cmaes", r#"{"popsize": 2, "with_margin": true, "sigma0": 1e-300, "restart_strategy": "none"}"#),
    ("cmaes", r#"{"popsize": 3, "x0": {"p0": 1e308, "p1": -3, "p2": "a"}, "n_startup_trials": 0}"#),
    (
        "cmaes",
        r#"{"source_trials": [{"params": {"p0": 1, "p1": 2}, "value": 0.5}, {"params": {"p0": 1e308}, "value": 1e308}]}"#,
    ),
    ("qmc", "{}"),
    ("qmc", r#"{"scramble": false}"#),
    ("qmc", r#"{"qmc_type": "halton"}"#),
    ("grid", r#"{"search_space": {"p0": [-1e300, 0, 0.5, 3, "x"], "p1": [0, 1, null], "p9": [1, 2]}}"#),
    ("brute_force", "{}"),
    ("partial_fixed", r#"{"fixed_params": {"p0": 1e9, "p1": null}, "base_sampler": {"name": "cmaes"}}"#),
    (
        "partial_fixed",
        r#"{"fixed_params": {"p1": 1}, "base_sampler": {"name": "nsga2", "options": {"population_size": 3}}}"#,
    ),
    ("nsga2", r#"{"population_size": 4}"#),
    ("nsga2", r#"{"population_size": 4, "crossover": "blxalpha", "mutation": "polynomial", "mutation_prob": 0.9}"#),
    ("nsga2", r#"{"population_size": 4, "crossover": "spx", "crossover_prob": 1.0}"#),
    ("nsga2", r#"{"population_size": 4, "crossover": "sbx", "crossover_prob": 1.0}"#),
    ("nsga2", r#"{"population_size": 4, "crossover": "vsbx", "crossover_prob": 1.0}"#),
    ("nsga2", r#"{"population_size": 4, "crossover": "undx", "crossover_prob": 1.0}"#),
    ("nsga3", r#"{"population_size": 4}"#),
    ("nsga3", r#"{"population_size": 4, "dividing_parameter": 2, "crossover": "undx", "crossover_prob": 1.0}"#),
];

/// Ordinary ranges, and those at the edges of arithmetic.
const ORDINARY: &[&str] = &[
    "float 0 1 0 0",
    "float -5 10 0 0",
    "float 1e-5 10 1 0",
    "float 0 1 0 0.25",
    "int 1 9 0 2",
    "int -3 100 0 1",
    "int 1 500 1 1",
    "categorical 2",
    "categorical 7",
    "categorical 20",
];
const EDGES: &[&str] = &[
    "float 1e-300 1e300 1 0",
    "float 5e-324 1 1 0",
    "float 5e-324 1.7976931348623157e308 1 0",
    "float 5e-324 1e-323 1 0",
    "float 1 1.0000000000000002 1 0",
    "float 1e300 1.0000000000000001e300 1 0",
    "float -1e308 1e308 0 0",
    "float -1.7976931348623157e308 1.7976931348623157e308 0 0",
    "float 0 5e-324 0 0",
    "float -1e-310 1e-310 0 0",
    "float 1e16 10000000000000002 0 0",
    "float 3 3 0 0",
    "float -0.0 0 0 0",
    "float 7 7 1 0",
    "float 0 1 0 0.3",
    "float 0.1 0.9 0 0.07",
    "float -1e308 1e308 0 1e307",
    "float 0 1e-300 0 1e-301",
    "float -1 1 0 1e-7",
    "float 0 1 0 2",
    "float 1e15 1000000000000001 0 0.1",
    "int 0 0 0 1",
    "int -9007199254740992 9007199254740992 0 1",
    "int -9007199254740992 9007199254740992 0 9007199254740992",
    "int -9007199254740991 9007199254740992 0 7",
    "int 9007199254740991 9007199254740992 0 1",
    "int 1 9007199254740992 1 1",
    "int 9007199254740991 9007199254740992 1 1",
    "int 1 1 1 1",
    "int 1 2 1 1",
    "int 0 10 0 11",
    "int 0 10 0 3",
    "categorical 1",
    "categorical 300",
];

/// What happened to a study.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Values {
    Smooth,
    Equal,
    Two,
    OnlyInfinite,
    SomeInfinite,
    Huge,
    Tiny,
    Rounded,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum States {
    Mixed,
    Complete,
    Failed,
    Pruned,
    Running,
    Waiting,
    OneComplete,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Points {
    Drawn,
    Same,
    Few,
    Corners,
    Stray,
}

/// A stream with words for what is drawn from it.
struct Dice(Stream);

impl Dice {
    fn of<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.0.below(of.len() as u64) as usize]
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.0.below(n) == 0
    }
}

/// An odd study: how it looked at some moments, how it looks after a restart, and what may be asked for.
struct Odd {
    what: String,
    views: Vec<StudyView>,
    restarted: StudyView,
    space: Vec<(&'static str, Distribution)>,
    is_slow: bool,
}

const NAMES: [&str; 8] = ["p0", "p1", "p2", "p3", "p4", "p5", "p6", "p7"];

fn build(seed: u64) -> Odd {
    let mut dice = Dice(Stream::new(&[seed, 0x200]));
    let objectives = dice.of(&[1, 1, 1, 2, 2, 3, 5]);
    let directions: Vec<Direction> =
        (0..objectives).map(|_| dice.of(&[Direction::Minimize, Direction::Maximize])).collect();
    let count = dice.of(&[1, 1, 2, 3, 5, 8]);
    let is_tame = dice.one_in(3);
    let space: Vec<(&str, Distribution)> = NAMES[..count]
        .iter()
        .map(|name| {
            let text = if is_tame || dice.one_in(2) { dice.of(ORDINARY) } else { dice.of(EDGES) };
            (*name, distribution(text))
        })
        .collect();
    let trials = dice.of(&[0, 1, 2, 3, 9, 25, 25, 60, 60, 300]);
    let values = {
        use Values::{Equal, Huge, OnlyInfinite, Rounded, Smooth, SomeInfinite, Tiny, Two};
        dice.of(&[Smooth, Smooth, Equal, Two, OnlyInfinite, SomeInfinite, Huge, Tiny, Rounded])
    };
    let states = {
        use States::{Complete, Failed, Mixed, OneComplete, Pruned, Running, Waiting};
        dice.of(&[Mixed, Mixed, Mixed, Complete, Complete, Failed, Pruned, Running, Waiting, OneComplete])
    };
    let points = {
        use Points::{Corners, Drawn, Few, Same, Stray};
        dice.of(&[Drawn, Drawn, Drawn, Same, Few, Corners, Stray])
    };
    let (is_conditional, is_moving, is_constrained) = (dice.one_in(4), dice.one_in(4), dice.one_in(3));
    let (is_revised, is_losing) = (dice.one_in(4), dice.one_in(4));
    let what = format!(
        "study {seed}: {trials} trials, {values:?} of {directions:?}, {states:?}, {points:?}, conditional {is_conditional}, \
         moving {is_moving}, constrained {is_constrained}, revised {is_revised}, losing {is_losing}, {space:?}"
    );
    let mut study = Study::new(&directions);
    let mut views = vec![study.view()];
    for k in 0..trials {
        let mut params: Vec<(&str, Distribution, f64)> = Vec::new();
        let mut sum = 0.0;
        for (at, (name, d)) in space.iter().enumerate() {
            if is_conditional && at > 0 && dice.one_in(2) {
                continue;
            }
            let d = if is_moving && dice.one_in(3) { moved(d, &mut dice) } else { d.clone() };
            let value = point(points, &d, at, k, &mut dice);
            if value.is_finite() {
                sum += (value / 1e300).abs().min(1.0) + (value - 0.3).abs().min(3.0);
            }
            params.push((name, d, value));
        }
        let state = state(states, k, &mut dice);
        let borrowed: Vec<(&str, &Distribution, f64)> =
            params.iter().map(|(name, d, value)| (*name, d, *value)).collect();
        let mut trial = template(state, &borrowed);
        if state == TrialState::Complete {
            trial.values =
                (0..objectives).map(|at| told(values, sum + at as f64 * sum.sin(), k, &mut dice)).collect();
        }
        if dice.one_in(3) || state == TrialState::Pruned {
            let last = dice.of(&[0.5, f64::NAN, f64::INFINITY, -1e308]);
            trial.reports = vec![(0, f64::NEG_INFINITY), (dice.0.below(4) + 1, last)];
        }
        if is_constrained && !dice.one_in(5) {
            let broken = dice.of(&[-1.0, 0.0, 0.5, 1e308, f64::INFINITY, f64::NEG_INFINITY, 5e-324]);
            trial.constraints = vec![("c".to_owned(), broken), ("d".to_owned(), dice.of(&[-1.0, 2.0]))];
        }
        if is_losing && dice.one_in(5) && !borrowed.is_empty() {
            // A worker that is taken for dead with a part of its parameters comes back, and may end its trial yet.
            let number = study.begin_silent();
            study.set(number, &borrowed[..1]);
            study.lose();
            views.push(study.view());
            study.set(number, &borrowed);
            if dice.one_in(2) {
                views.push(study.view());
                study.end(number, &vec![k as f64; objectives]);
            }
            continue;
        }
        study.add(trial);
        if is_revised && dice.one_in(6) && state.is_finished() {
            let note = Box::new(Note { by: "me".to_owned(), at: Timestamp(9), reason: String::new() });
            study.apply(Op::VoidTrial { trial: TrialId(k), note: note.clone() });
            if dice.one_in(2) {
                views.push(study.view());
                study.apply(Op::UnvoidTrial { trial: TrialId(k), note });
            }
        }
        if dice.one_in(trials / 3 + 1) {
            views.push(study.view());
        }
    }
    // Some that begin and end as workers have it.
    for _ in 0..dice.0.below(3) {
        let number = study.begin();
        let (name, d) = &space[0];
        let value = Random.sample_independent(&study.view(), number, seed, name, d);
        study.set(number, &[(name, d, value)]);
        views.push(study.view());
        if dice.one_in(2) {
            study.end(number, &vec![1.0; objectives]);
        }
    }
    views.push(study.view());
    let restarted = study.restarted().view();
    Odd { what, views, restarted, space, is_slow: trials > 30 && objectives > 1 }
}

/// The same kind of range somewhere else.
fn moved(d: &Distribution, dice: &mut Dice) -> Distribution {
    match d {
        Distribution::Categorical(_) => d.clone(),
        Distribution::Float(f) if f.is_log() => distribution(dice.of(&["float 1e-3 1 1 0", "float 2 2 1 0"])),
        Distribution::Float(_) => distribution(dice.of(&["float -2 0.5 0 0", "float 0 9 0 1", "float 4 4 0 0"])),
        Distribution::Int(i) if i.is_log() => distribution(dice.of(&["int 2 70 1 1", "int 3 3 1 1"])),
        Distribution::Int(_) => distribution(dice.of(&["int 0 6 0 1", "int -8 8 0 4"])),
    }
}

fn point(points: Points, d: &Distribution, at: usize, k: u64, dice: &mut Dice) -> f64 {
    let view = Study::minimize().view();
    let draw = |k: u64| Random.sample_independent(&view, TrialNumber(k as u32), 77, NAMES[at], d);
    match (points, d) {
        (Points::Drawn, _) => draw(k),
        (Points::Same, _) => draw(1),
        (Points::Few, _) => draw(k % 3),
        (_, Distribution::Categorical(c)) => dice.of(&[0.0, (c.choices().len() - 1) as f64]),
        (Points::Corners, Distribution::Float(f)) => dice.of(&[f.low(), f.high()]),
        (Points::Corners, Distribution::Int(i)) => dice.of(&[i.low() as f64, i.high() as f64]),
        // What somebody may enqueue, inside of the range or not.
        (Points::Stray, _) => {
            let far = [0.0, -1.0, 1e308, -1e308, f64::INFINITY, f64::NEG_INFINITY, 5e-324, 2.5, draw(k)];
            dice.of(&far)
        }
    }
}

fn state(states: States, k: u64, dice: &mut Dice) -> TrialState {
    use TrialState::{Complete, Fail, Pruned, Running, Waiting};
    match states {
        States::Mixed => dice.of(&[Complete, Complete, Complete, Complete, Pruned, Fail, Running, Waiting]),
        States::Complete => Complete,
        States::Failed => Fail,
        States::Pruned => Pruned,
        States::Running => Running,
        States::Waiting => Waiting,
        States::OneComplete => {
            if k == 1 {
                Complete
            } else {
                Running
            }
        }
    }
}

fn told(values: Values, smooth: f64, k: u64, dice: &mut Dice) -> f64 {
    match values {
        Values::Smooth => smooth,
        Values::Equal => 7.0,
        Values::Two => (k % 2) as f64,
        Values::OnlyInfinite => dice.of(&[f64::INFINITY, f64::NEG_INFINITY]),
        Values::SomeInfinite if dice.one_in(3) => dice.of(&[f64::INFINITY, f64::NEG_INFINITY, f64::MAX, f64::MIN]),
        Values::SomeInfinite => smooth,
        Values::Huge => (smooth - 3.0) * 1e307,
        Values::Tiny => smooth * 5e-324,
        Values::Rounded => smooth.round() * 0.0,
    }
}

fn named(at: usize) -> Arc<dyn Sampler> {
    let (name, options) = SAMPLERS[at];
    let options = trialog_ops::Json::parse(options).unwrap();
    trialog_samplers::from_spec(&trialog_ops::ComponentSpec { name: name.to_owned(), version: 1, options }).unwrap()
}

/// What this thread has had of the processor.
fn thread_time() -> Option<Duration> {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    told.split(' ').next()?.parse().ok().map(Duration::from_nanos)
}

/// What a sampler says in a study, by bits.
type Said = (Vec<(u32, u64)>, Vec<u64>);

fn ask(sampler: &dyn Sampler, view: &StudyView, number: TrialNumber, odd: &Odd, label: &str) -> Said {
    let what = &odd.what;
    let begun = (Instant::now(), thread_time());
    let proposals = sampler.sample_relative(view, number, 5);
    for (_, def, value) in &proposals {
        let d = &def.distribution;
        assert!(d.contains(*value), "{label}: {value:?} for {} in {d}, {what}", def.name);
    }
    for (at, (key, ..)) in proposals.iter().enumerate() {
        assert!(proposals[..at].iter().all(|(other, ..)| other != key), "{label}: twice the same, {what}");
    }
    let unknown = ("never met", distribution("float -1 1 0 0"));
    let alone = odd.space.iter().chain([&unknown]).map(|(name, d)| {
        let value = sampler.sample_independent(view, number, 5, name, d);
        assert!(d.contains(value), "{label}: {value:?} for {name} alone in {d}, {what}");
        value.to_bits()
    });
    let alone = alone.collect();
    let took = begun.1.zip(thread_time()).map_or_else(|| begun.0.elapsed(), |(begun, now)| now - begun);
    assert!(took < LONG, "{label}: {took:?}, {what}");
    let bits = |(key, _, value): &Proposal| (key.0, value.to_bits());
    (proposals.iter().map(bits).collect(), alone)
}

/// A sampler for each line of the table, which sees one study after the other.
fn check(seed: u64, long_lived: &[Arc<dyn Sampler>], slowest: &mut BTreeMap<String, Duration>) {
    let odd = build(seed);
    let last = odd.views.len() - 1;
    for (at, (name, options)) in SAMPLERS.iter().enumerate() {
        let label = format!("{name} {options}");
        // Gaussian processes take their time, which says nothing here.
        let is_gp = matches!(*name, "gp" | "auto");
        if is_gp && odd.is_slow {
            continue;
        }
        // Backwards and forwards, and not at all.
        let order: Vec<usize> = match seed % 3 {
            _ if is_gp => vec![last / 2, last],
            0 => (0..=last).rev().collect(),
            1 => (0..=last).collect(),
            _ => (0..=last).step_by(2).chain([last, 0, last]).collect(),
        };
        let begun = Instant::now();
        let mut asked = 0;
        let mut said: BTreeMap<usize, Said> = BTreeMap::new();
        for place in order {
            let view = &odd.views[place];
            let ahead = TrialNumber(view.trial_count() as u32);
            let answer = ask(&*long_lived[at], view, ahead, &odd, &label);
            asked += 1;
            if let Some(before) = said.insert(place, answer.clone()) {
                assert_eq!(before, answer, "{label}: asked again at {place}, {}", odd.what);
            }
        }
        for (place, said) in &said {
            let view = &odd.views[*place];
            let ahead = TrialNumber(view.trial_count() as u32);
            let fresh = ask(&*named(at), view, ahead, &odd, &label);
            asked += 1;
            assert_eq!(fresh, *said, "{label}: one who has just begun, at {place} of {last}, {}", odd.what);
            if *place == last {
                let again = ask(&*named(at), &odd.restarted, ahead, &odd, &label);
                asked += 1;
                assert_eq!(again, *said, "{label}: after a restart, {}", odd.what);
            }
        }
        // Whoever asks why is told, and nothing else changes by that.
        let view = &odd.views[last];
        let ahead = TrialNumber(view.trial_count() as u32);
        let why =
            || (long_lived[at].explain(view), long_lived[at].candidates(view, ahead, 5, Asked::Together).len());
        assert_eq!(why(), why(), "{label}: {}", odd.what);
        // A trial that runs, with parameters.
        if let Some(running) = odd.views[last].running().next().map(TrialView::number) {
            let long = ask(&*long_lived[at], &odd.views[last], running, &odd, &label);
            let fresh = ask(&*named(at), &odd.restarted, running, &odd, &label);
            assert_eq!(long, fresh, "{label}: a running trial, {}", odd.what);
        }
        let mean = begun.elapsed() / asked;
        let known = slowest.entry(label).or_default();
        *known = (*known).max(mean);
    }
}

fn run(range: std::ops::Range<u64>) {
    let long_lived: Vec<Arc<dyn Sampler>> = (0..SAMPLERS.len()).map(named).collect();
    let mut slowest = BTreeMap::new();
    for seed in range {
        let outcome = catch_unwind(AssertUnwindSafe(|| check(seed, &long_lived, &mut slowest)));
        if let Err(panic) = outcome {
            eprintln!("that was TRIALOG_ZOO={seed}..{}", seed + 1);
            resume_unwind(panic);
        }
    }
    for (label, mean) in slowest {
        println!("{mean:?} at most for {label}");
    }
}

#[test]
fn whatever_happened_to_whatever_space() {
    let named = std::env::var("TRIALOG_ZOO").ok();
    let range = named.as_deref().map(|text| {
        let (first, end) = text.split_once("..").unwrap();
        first.parse().unwrap()..end.parse().unwrap()
    });
    run(range.unwrap_or(0..STUDIES));
}

#[test]
fn every_sampler_is_in_the_zoo() {
    for entry in REGISTRY {
        assert!(SAMPLERS.iter().any(|(name, _)| *name == entry.name), "{} is missing", entry.name);
    }
}

/// A sampler that remembers what it was asked, and leaves the range now and then.
struct Forgetful(std::sync::atomic::AtomicU64, bool);

impl Sampler for Forgetful {
    fn spec(&self) -> trialog_ops::ComponentSpec {
        Random.spec()
    }

    fn sample_relative(&self, _: &StudyView, _: TrialNumber, _: u64) -> Vec<Proposal> {
        Vec::new()
    }

    fn sample_independent(
        &self,
        view: &StudyView,
        number: TrialNumber,
        seed: u64,
        name: &str,
        d: &Distribution,
    ) -> f64 {
        let asked = self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        if self.1 { f64::NAN } else { Random.sample_independent(view, number, seed + asked / 9, name, d) }
    }
}

#[test]
#[should_panic(expected = "nothing else")]
fn canary_what_is_no_value_is_found() {
    let odd = build(1);
    ask(&Forgetful(0.into(), true), &odd.views[0], TrialNumber(0), &odd, "nothing else");
}

#[test]
fn canary_whoever_remembers_is_found() {
    let odd = build(1);
    let sampler = Forgetful(0.into(), false);
    let mut answers: Vec<Said> = Vec::new();
    for _ in 0..20 {
        answers.push(ask(&sampler, &odd.views[0], TrialNumber(0), &odd, "canary"));
    }
    assert!(answers.windows(2).any(|pair| pair[0] != pair[1]));
}
