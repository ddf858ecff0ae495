//! What programs and people get wrong: a typed error or a documented outcome, and the study goes on.

use std::ops::RangeInclusive;

use trialog::{
    ComponentSpec, Direction, Distribution, Error, Json, OpenOptions, Storage, Study, StudyView, Trial,
    TrialNumber, TrialState, float, int,
};

use crate::support::{assert_usable, logged, place, refused, says, study_in_file};

/// Tries it on a new trial, wants this refusal, and a study that goes on; the message.
#[track_caller]
fn refuse(question: impl Fn(&Error) -> bool, bad: impl Fn(&mut Trial) -> trialog::Result<()>) -> String {
    let study = Study::in_memory().unwrap();
    let mut trial = study.ask().unwrap();
    let before = study.digest().unwrap();
    let text = refused(bad(&mut trial), question);
    assert_eq!(study.digest().unwrap(), before, "what was refused left something behind");
    study.tell(&trial, 1.0).unwrap();
    assert_usable(&study);
    text
}

#[test]
fn ranges_that_make_no_sense() {
    const NAN: f64 = f64::NAN;
    const INF: f64 = f64::INFINITY;
    let floats = [
        (float(2.0..=1.0), "low must not exceed high"),
        (float(NAN..=1.0), "finite"),
        (float(0.0..=NAN), "finite"),
        (float(0.0..=INF), "finite"),
        (float(-INF..=0.0), "finite"),
        (float(0.0..=1.0).log(), "log scale"),
        (float(-1.0..=1.0).log(), "log scale"),
        (float(0.0..=1.0).step(0.0), "step must be"),
        (float(0.0..=1.0).step(-0.1), "step must be"),
        (float(0.0..=1.0).step(NAN), "step must be"),
        (float(0.0..=1.0).step(INF), "step must be"),
        (float(1.0..=2.0).step(0.1).log(), "exclude each other"),
    ];
    for (range, why) in floats {
        let text = refuse(Error::is_invalid, |trial| trial.suggest_float("rate", range).map(drop));
        assert!(text.contains("\"rate\"") && text.contains(why), "{range:?}: {text}");
    }
    const TOO_LARGE: i64 = (1 << 53) + 1;
    let ints = [
        (int(RangeInclusive::new(2, 1)), "low must not exceed high"),
        (int(0..=9).log(), "log scale"),
        (int(-5..=5).log(), "log scale"),
        (int(0..=9).step(0), "step must be"),
        (int(0..=9).step(-1), "step must be"),
        (int(1..=9).step(2).log(), "exclude each other"),
        (int(0..=TOO_LARGE), "2^53"),
        (int(-TOO_LARGE..=0), "2^53"),
        (int(i64::MIN..=i64::MAX), "2^53"),
    ];
    for (range, why) in ints {
        let text = refuse(Error::is_invalid, |trial| trial.suggest_int("n", range).map(drop));
        assert!(text.contains("\"n\"") && text.contains(why), "{range:?}: {text}");
    }
}

#[test]
fn the_widest_ranges_do() {
    let study = Study::in_memory().unwrap();
    study
        .optimize(30, |trial| {
            let x = trial.suggest_float("x", f64::MIN..=f64::MAX)?;
            let tiny = trial.suggest_float("tiny", float(5e-324..=f64::MAX).log())?;
            let n = trial.suggest_int("n", -(1 << 53)..=1 << 53)?;
            let log = trial.suggest_int("log", int(1..=1 << 53).log())?;
            let only = trial.suggest_float("only", 3.0..=3.0)?;
            assert!(x.is_finite() && tiny > 0.0 && n.abs() <= 1 << 53 && (1..=1 << 53).contains(&log));
            assert_eq!(only, 3.0);
            Ok(0.0)
        })
        .unwrap();
    assert_usable(&study);
}

#[test]
fn choices_that_make_no_sense() {
    let text = refuse(Error::is_invalid, |trial| trial.suggest_categorical::<bool>("c", &[]).map(drop));
    assert!(text.contains("at least one choice"), "{text}");
    let text = refuse(Error::is_invalid, |trial| trial.suggest_categorical("c", &["a", "b", "a"]).map(drop));
    assert!(text.contains("\"c\"") && text.contains("twice"), "{text}");
    refuse(Error::is_invalid, |trial| trial.suggest_categorical("c", &[i64::MAX]).map(drop));
    refuse(Error::is_invalid, |trial| trial.suggest_categorical("c", &[f64::NAN, -f64::NAN]).map(drop));
    let study = Study::in_memory().unwrap();
    let mut trial = study.ask().unwrap();
    assert_eq!(
        trial.suggest_categorical("zeros", &[0.0, -0.0]).unwrap(),
        0.0,
        "zeros of both signs differ by bits"
    );
}

#[test]
fn the_same_name_for_something_else_within_a_trial() {
    let study = Study::in_memory().unwrap();
    let mut trial = study.ask().unwrap();
    let x = trial.suggest_float("x", 0.0..=1.0).unwrap();
    for other in [
        Distribution::int(0, 1).unwrap(),
        float(0.1..=1.0).log().try_into().unwrap(),
        Distribution::categorical(["a"]).unwrap(),
    ] {
        let text = refused(trial.suggest("x", &other), Error::is_incompatible);
        assert!(text.contains("\"x\"") && text.contains("float 0.0..1.0"), "{text}");
    }
    let told = study.tell(&trial, x).unwrap();
    assert_eq!(told.params.get("x"), Some(&trialog::ParamValue::Float(x)));
    assert_usable(&study);
}

#[test]
fn the_same_name_for_something_else_across_trials() {
    let study = Study::in_memory().unwrap();
    study
        .optimize(12, |trial| {
            trial.suggest_categorical("c", &["a", "b"])?;
            Ok(trial.suggest_float("x", 0.0..=1.0)?)
        })
        .unwrap();
    let mut trial = study.ask().unwrap();
    for (name, other) in [
        ("x", Distribution::int(0, 1).unwrap()),
        ("x", float(0.1..=1.0).log().try_into().unwrap()),
        ("c", Distribution::categorical(["a", "b", "d"]).unwrap()),
        ("c", Distribution::categorical(["b", "a"]).unwrap()),
        ("c", Distribution::float(0.0, 1.0).unwrap()),
    ] {
        let text = refused(trial.suggest(name, &other), Error::is_incompatible);
        assert!(text.contains(&format!("{name:?}")) && text.contains("another name"), "{text}");
    }
    // Nothing of it is in the trial, and what was proposed for it is taken back.
    assert_eq!(study.tell(&trial, 1.0).unwrap().params.iter().count(), 0);
    let error = study.optimize(5, |trial| Ok(trial.suggest_int("x", 0..=1)? as f64)).unwrap_err();
    assert!(error.is_objective() && error.is_incompatible(), "{error}");
    assert_usable(&study);
}

#[test]
fn reports_that_are_odd() {
    let (_folder, study) = study_in_file();
    let mut trial = study.ask().unwrap();
    trial.report(0, f64::NAN).unwrap();
    trial.report(1, f64::INFINITY).unwrap();
    trial.report(2, 0.5).unwrap();
    let (lines, ()) = logged(|| trial.report(2, 0.75).unwrap());
    assert!(says(&lines, "WARN") && says(&lines, "step was reported before"), "{lines:?}");
    refused(trial.report(u64::MAX, 1.0), Error::is_invalid);
    trial.report(u64::MAX - 1, 1.0).unwrap();
    trial.should_prune().unwrap();
    let told = study.tell(&trial, 1.0).unwrap();
    let steps: Vec<(u64, u64)> =
        told.intermediate_values.iter().map(|(step, value)| (*step, value.to_bits())).collect();
    let expected = [(0, f64::NAN), (1, f64::INFINITY), (2, 0.5), (u64::MAX - 1, 1.0)];
    assert_eq!(steps, expected.map(|(step, value)| (step, value.to_bits())));
    assert_usable(&study);
}

#[test]
fn urls_that_lead_nowhere() {
    let (folder, path) = place();
    for (url, why) in [
        ("", "the path is empty"),
        ("file:", "the path is empty"),
        ("file://", "the path is empty"),
        ("memory:x", "has no name"),
        ("memory://", "has no name"),
        ("sqlite:///x.db", "no kind of storage"),
        ("http://host/runs.tlog", "no kind of storage"),
        ("FILE:x", "no kind of storage"),
    ] {
        let text = refused(trialog::open(url), Error::is_invalid);
        assert!(text.contains(&format!("{url:?}")) && text.contains(why), "{url}: {text}");
    }
    for options in [OpenOptions::new().read_only(true), OpenOptions::new().must_exist(true)] {
        let text = refused(options.open("memory:"), Error::is_invalid);
        assert!(text.contains("begins empty"), "{text}");
    }
    // The same file by path and by URL.
    trialog::open(&path).unwrap().study("s").create().unwrap();
    for url in [format!("file:{path}"), format!("file://{path}")] {
        assert_eq!(trialog::open(&url).unwrap().study_names().unwrap(), ["s"], "{url}");
    }
    let odd = folder.path().join("spaces and ünïcode: \"1\".tlog");
    trialog::open(odd.to_str().unwrap()).unwrap().study("s").create().unwrap();
    assert!(odd.exists());
    refused(trialog::open("nul\0byte"), Error::is_unavailable);
}

/// A sampler that only this program has.
struct Homemade;

impl trialog::samplers::Sampler for Homemade {
    fn spec(&self) -> ComponentSpec {
        ComponentSpec { name: "homemade".into(), version: 1, options: Json::parse("{}").unwrap() }
    }

    fn sample_relative(&self, _: &StudyView, _: TrialNumber, _: u64) -> Vec<trialog::samplers::Proposal> {
        Vec::new()
    }

    fn sample_independent(&self, _: &StudyView, _: TrialNumber, _: u64, _: &str, _: &Distribution) -> f64 {
        0.5
    }
}

#[test]
fn a_sampler_that_is_not_known_here() {
    let (_folder, path) = place();
    let study = trialog::open(&path).unwrap().study("s").sampler(Homemade).create().unwrap();
    let objective = |trial: &mut Trial| Ok(trial.suggest_float("x", 0.0..=1.0)?);
    study.optimize(2, objective).unwrap();
    assert_eq!(study.best_value().unwrap(), 0.5);

    // Elsewhere it can be looked at, and not be run unless somebody says with what.
    let storage = trialog::open(&path).unwrap();
    let stranger = storage.study("s").load().unwrap();
    assert_eq!(stranger.trials().unwrap(), study.trials().unwrap());
    for text in [
        refused(stranger.ask().map(drop), Error::is_invalid),
        refused(stranger.optimize(1, objective), Error::is_invalid),
    ] {
        assert!(text.contains("homemade") && text.contains("\"s\""), "{text}");
    }
    assert_eq!(stranger.digest().unwrap(), study.digest().unwrap());
    storage.study("s").sampler(Homemade).load().unwrap().optimize(1, objective).unwrap();
    storage.study("s").sampler(trialog::samplers::Random::new()).load().unwrap().optimize(1, objective).unwrap();
    assert_eq!(study.view().unwrap().config().unwrap().sampler.name, "random", "everybody sees what was set");
    assert_eq!(trialog::open(&path).unwrap().study("s").load().unwrap().trials().unwrap().len(), 4);
}

/// A sampler with the name of one that everybody has, and options of its own.
struct Pretender(u32, &'static str);

impl trialog::samplers::Sampler for Pretender {
    fn spec(&self) -> ComponentSpec {
        ComponentSpec { name: "tpe".into(), version: self.0, options: Json::parse(self.1).unwrap() }
    }

    fn sample_relative(&self, _: &StudyView, _: TrialNumber, _: u64) -> Vec<trialog::samplers::Proposal> {
        Vec::new()
    }

    fn sample_independent(&self, _: &StudyView, _: TrialNumber, _: u64, _: &str, _: &Distribution) -> f64 {
        0.5
    }
}

#[test]
fn versions_and_options_that_are_not_known_here() {
    for (version, options) in
        [(99, "{}"), (1, "{\"no such option\":1}"), (1, "[]"), (1, "{\"n_startup_trials\":NaN}")]
    {
        let (_folder, path) = place();
        trialog::open(&path).unwrap().study("s").sampler(Pretender(version, options)).create().unwrap();
        let study = trialog::open(&path).unwrap().study("s").load().unwrap();
        let text = refused(study.ask().map(drop), Error::is_invalid);
        assert!(text.contains("\"tpe\""), "{text}");
        assert!(study.trials().unwrap().is_empty());
    }
}

/// What a sampler must not propose is found before it gets into a trial.
struct Outside;

impl trialog::samplers::Sampler for Outside {
    fn spec(&self) -> ComponentSpec {
        ComponentSpec { name: "outside".into(), version: 1, options: Json::parse("{}").unwrap() }
    }

    fn sample_relative(&self, _: &StudyView, _: TrialNumber, _: u64) -> Vec<trialog::samplers::Proposal> {
        Vec::new()
    }

    fn sample_independent(&self, _: &StudyView, number: TrialNumber, _: u64, _: &str, _: &Distribution) -> f64 {
        if number.0 == 0 { f64::NAN } else { 7.0 }
    }
}

#[test]
fn a_sampler_that_answers_nonsense() {
    let study = Storage::in_memory().unwrap().study("s").sampler(Outside).create().unwrap();
    let mut trial = study.ask().unwrap();
    for _ in 0..2 {
        refused(trial.suggest_float("x", 0.0..=1.0).map(drop), Error::is_invalid);
        refused(trial.suggest_categorical("c", &["a", "b"]).map(drop), Error::is_invalid);
        trial = study.ask().unwrap();
    }
    assert_eq!(study.tell(&trial, 1.0).unwrap().params.iter().count(), 0);
}

#[test]
fn names_are_texts_of_any_kind() {
    let (_folder, path) = place();
    let storage = trialog::open(&path).unwrap();
    let names =
        ["", " ", "ünïcode 试验 🦀", "two\nlines", "nul\0", "../../etc", "a\"quote", &"long".repeat(50_000)];
    for name in names {
        let study = storage.study(name).create().unwrap();
        study
            .optimize(2, |trial| {
                trial.set_user_attr(name, name)?;
                trial.suggest_categorical("c", &[name, "another"])?;
                Ok(trial.suggest_float(name, 0.0..=1.0)?)
            })
            .unwrap();
        refused(storage.study(name).create(), Error::is_duplicate);
    }
    let again = trialog::open(&path).unwrap();
    assert_eq!(again.study_names().unwrap(), names);
    for name in names {
        let study = again.study(name).load().unwrap();
        assert_eq!(study.name(), name);
        let trial = &study.trials().unwrap()[1];
        assert_eq!((trial.state, trial.user_attrs[name].to_value()), (TrialState::Complete, Some(name.into())));
        assert!(trial.params.get(name).is_some() && trial.params.get("c").is_some());
        study.table().unwrap().write_csv(Vec::new()).unwrap();
    }
    again.delete_study("two\nlines").unwrap();
    let text = refused(again.study("two\nlines").load(), Error::is_not_found);
    assert!(!text.contains('\n'), "names are quoted in messages: {text:?}");
}

#[test]
fn what_fits_no_record_is_refused_whole() {
    let (_folder, study) = study_in_file();
    let huge = "x".repeat(17 << 20);
    let mut trial = study.ask().unwrap();
    let digest = study.digest().unwrap();
    let text = refused(study.set_user_attr("huge", huge.as_str()), Error::is_invalid);
    assert!(text.contains("exceeds the limit"), "{text}");
    refused(study.storage().study(huge.as_str()).create(), Error::is_invalid);
    refused(trial.suggest_float(&huge, 0.0..=1.0).map(drop), Error::is_invalid);
    refused(trial.suggest_categorical("c", &[huge.as_str()]).map(drop), Error::is_invalid);
    refused(study.enqueue([("x", huge.as_str())]), Error::is_invalid);
    let mut deep = serde_json::Value::Null;
    for _ in 0..200 {
        deep = serde_json::json!([deep]);
    }
    let text = refused(study.set_user_attr("deep", deep), Error::is_invalid);
    assert!(text.contains("nesting"), "{text}");
    assert_eq!(study.digest().unwrap(), digest);
    study.tell(&trial, 1.0).unwrap();
    assert_usable(&study);
}

#[test]
fn a_trial_of_several_objectives_needs_all_values() {
    let builder = Storage::in_memory().unwrap().study("two").directions([Direction::Minimize; 2]);
    let study = builder.create().unwrap();
    let trial = study.ask().unwrap();
    let text = refused(study.tell(&trial, 1.0), Error::is_invalid);
    assert!(text.contains("2 objective(s), and 1 value(s)"), "{text}");
    assert_eq!(study.tell(&trial, (1.0, f64::NAN)).unwrap().state, TrialState::Fail);
    study.optimize(1, |_| Ok(1.0)).unwrap();
    assert_eq!(study.trials().unwrap()[1].state, TrialState::Fail);
    assert_usable(&study);
}

#[test]
#[should_panic(expected = "left something behind")]
fn canary_a_refusal_that_leaves_something_is_noticed() {
    refuse(Error::is_invalid, |trial| {
        trial.suggest_float("x", 0.0..=1.0)?;
        trial.suggest_float("y", 1.0..=0.0).map(drop)
    });
}
