//! Names and options as they stand in a log.

use trialog_ops::{ComponentSpec, Json};
use trialog_pruners::{
    Hyperband, Median, Never, Patient, Percentile, Pruner, REGISTRY, Shadow, SuccessiveHalving, Threshold,
    Wilcoxon, default_pruner, from_spec,
};

fn spec(name: &str, options: &str) -> ComponentSpec {
    let options: serde_json::Value = serde_json::from_str(options).unwrap();
    ComponentSpec { name: name.to_owned(), version: 1, options: Json::from(options) }
}

#[track_caller]
fn refused(name: &str, options: &str, because: &str) {
    let error = from_spec(&spec(name, options)).err().expect("the options are wrong").to_string();
    assert_eq!(error, format!("cannot build pruner {name:?}: {because}"));
}

#[test]
fn names_are_unique_and_build_what_they_name() {
    for (at, entry) in REGISTRY.iter().enumerate() {
        assert!(REGISTRY[..at].iter().all(|other| other.name != entry.name), "{}", entry.name);
        let options = match entry.name {
            "percentile" => r#"{"percentile": 25}"#,
            "patient" => r#"{"patience": 3}"#,
            _ => "{}",
        };
        let built = from_spec(&spec(entry.name, options)).unwrap().spec();
        assert_eq!((built.name.as_str(), built.version), (entry.name, entry.version));
    }
    assert_eq!(default_pruner().spec(), Median::new().spec());
}

#[test]
fn a_pruner_comes_back_from_its_spec() {
    let pruners: [&dyn Pruner; 22] = [
        &Never,
        &Median::new(),
        &Median::new().n_startup_trials(0).n_warmup_steps(7).interval_steps(0).n_min_trials(0),
        &Percentile::new(0.1 + 0.2),
        &Percentile::new(f64::NAN).n_min_trials(usize::MAX),
        &Percentile::new(f64::NEG_INFINITY).interval_steps(u64::MAX),
        &SuccessiveHalving::new(),
        &SuccessiveHalving::new().min_resource(0).reduction_factor(0).min_early_stopping_rate(u32::MAX),
        &SuccessiveHalving::new().min_resource(u64::MAX).min_resource_auto().bootstrap_count(3),
        &Hyperband::new(),
        &Hyperband::new().min_resource(0).max_resource(0).reduction_factor(u64::MAX),
        &Hyperband::new().max_resource(81).max_resource_auto().bootstrap_count(usize::MAX),
        &Threshold::lower(f64::NAN),
        &Threshold::upper(-2.5).n_warmup_steps(3).interval_steps(0),
        &Threshold::between(2.0, 1.0),
        &Patient::new(usize::MAX).min_delta(f64::INFINITY),
        &Patient::new(0).min_delta(0.1).wrapping(Percentile::new(12.5)),
        &Patient::new(0).min_delta(-1.0).wrapping(Shadow::new(Patient::new(1))),
        &Wilcoxon::new(),
        &Wilcoxon::new().p_threshold(f64::NAN).n_startup_steps(usize::MAX),
        &Wilcoxon::new().p_threshold(7.0),
        &Shadow::new(Hyperband::new().reduction_factor(4)),
    ];
    for pruner in pruners {
        let spec = pruner.spec();
        assert_eq!(from_spec(&spec).unwrap().spec(), spec);
    }
    let bounded = Hyperband::new().min_resource(0).reduction_factor(1).spec();
    assert_eq!(bounded, Hyperband::new().min_resource(1).reduction_factor(2).spec());
}

#[test]
fn wrong_options_are_named() {
    refused("none", r#"{"a": 1}"#, "there is no option a; there are none");
    refused("percentile", "{}", "option percentile is missing");
    refused("percentile", r#"{"percentile": 101}"#, "option percentile must be a number from 0 to 100, not 101");
    let known = "n_startup_trials, n_warmup_steps, interval_steps, n_min_trials, metric, direction";
    refused("median", r#"{"percentile": 50}"#, &format!("there is no option percentile; there are {known}"));
    refused("median", r#"{"interval_steps": 0}"#, "option interval_steps must be a whole number from 1, not 0");
    refused("median", r#"{"n_warmup_steps": 1.5}"#, "option n_warmup_steps must be a whole number from 0, not 1.5");
    let resource = "option min_resource must be a whole number from 1, or \"auto\"";
    refused("successive_halving", r#"{"min_resource": "all"}"#, &format!("{resource}, not \"all\""));
    refused("successive_halving", r#"{"min_resource": 0}"#, &format!("{resource}, not 0"));
    let factor = "option reduction_factor must be a whole number from 2";
    refused("hyperband", r#"{"reduction_factor": 1}"#, &format!("{factor}, not 1"));
    refused(
        "hyperband",
        r#"{"min_resource": "auto"}"#,
        "option min_resource must be a whole number from 1, not \"auto\"",
    );
    refused("hyperband", "[]", "its options are no JSON object: []");
    refused(
        "threshold",
        r#"{"lower": 2, "upper": 1}"#,
        "option lower must be at most upper, which is 1.0, not 2.0",
    );
    refused("threshold", r#"{"lower": "low"}"#, "option lower must be a number, not \"low\"");
    refused("patient", "{}", "option patience is missing");
    refused("patient", r#"{"patience": 1, "min_delta": -1}"#, "option min_delta must be a number from 0, not -1");
    let wrapped = "option wrapped_pruner must be an object of name, version and options";
    refused("patient", r#"{"patience": 1, "wrapped_pruner": "median"}"#, &format!("{wrapped}, not \"median\""));
    refused("shadow", r#"{"wrapped_pruner": {"title": 1}}"#, &format!("{wrapped}, not {{\"title\":1}}"));
    let inside =
        "option wrapped_pruner: cannot build pruner \"median\": version 9 is newer than 1; use a newer Trialog";
    refused("shadow", r#"{"wrapped_pruner": {"name": "median", "version": 9}}"#, inside);
    refused("wilcoxon", r#"{"p_threshold": 1.5}"#, "option p_threshold must be a number from 0 to 1, not 1.5");
    let known = "median, percentile, successive_halving, hyperband, threshold, patient, wilcoxon, shadow, none";
    refused("nop", "{}", &format!("it is not among {known}"));
}

/// As deep as JSON goes, and no deeper: a log cannot make a program recurse without end.
#[test]
fn pruners_nest_as_deep_as_json() {
    let nested = |depth: usize| {
        let inner = (0..depth).fold("{}".to_owned(), |inner, _| {
            format!(r#"{{"wrapped_pruner": {{"name": "shadow", "options": {inner}}}}}"#)
        });
        Json::parse(&inner).map(|options| ComponentSpec { name: "shadow".to_owned(), version: 1, options })
    };
    assert!(from_spec(&nested(60).unwrap()).is_ok());
    assert!(nested(70).is_err());
}

#[test]
fn a_newer_version_is_refused() {
    let mut spec = Hyperband::new().spec();
    spec.version += 1;
    let error = from_spec(&spec).err().expect("the version is unknown").to_string();
    assert_eq!(error, "cannot build pruner \"hyperband\": version 2 is newer than 1; use a newer Trialog");
}
