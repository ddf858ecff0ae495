//! Pruners that name a metric decide by it as they would by plain reports, whatever is reported beside it.

use trialog_ops::{ComponentSpec, Direction, FinalState, Json, MetricRef, MetricValue, Op, StudyId, TrialNumber};
use trialog_pruners::{
    Decision, Hyperband, Median, Patient, Percentile, Pruner, SuccessiveHalving, Threshold, Wilcoxon, from_spec,
};

use crate::study::{Study, id};

/// Every pruner that takes a metric, with options under which it prunes now and then.
const PRUNERS: [(&str, &str); 8] = [
    ("median", r#"{"n_startup_trials": 2}"#),
    ("percentile", r#"{"percentile": 30.0, "n_startup_trials": 2, "interval_steps": 2}"#),
    ("successive_halving", r#"{"min_resource": 1, "reduction_factor": 2}"#),
    ("successive_halving", r#"{"min_resource": "auto", "reduction_factor": 2}"#),
    ("hyperband", r#"{"min_resource": 1, "max_resource": "auto", "reduction_factor": 2}"#),
    ("threshold", r#"{"upper": 0.8}"#),
    ("patient", r#"{"patience": 1, "wrapped_pruner": {"name": "median", "options": {"n_startup_trials": 2}}}"#),
    ("wilcoxon", r#"{"p_threshold": 0.4}"#),
];

fn build(name: &str, options: &str, more: &str) -> std::sync::Arc<dyn Pruner> {
    let options = match more {
        "" => options.to_owned(),
        more => format!("{}, {more}}}", options.strip_suffix('}').unwrap()),
    };
    let spec = ComponentSpec { name: name.into(), version: 1, options: Json::parse(&options).unwrap() };
    let pruner = from_spec(&spec).unwrap_or_else(|error| panic!("{name} {options}: {error}"));
    // What it says of itself builds the same pruner.
    assert_eq!(from_spec(&pruner.spec()).unwrap().spec(), pruner.spec());
    pruner
}

/// Numbers from 0 to 1 that look drawn.
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }
}

fn measure(study: &mut Study, number: TrialNumber, step: u64, values: &[(&str, f64)]) {
    let value = |&(name, value): &(&str, f64)| MetricValue { metric: MetricRef::Name(name.into()), value };
    study.apply(vec![Op::ReportMetrics { trial: id(number), step, values: values.iter().map(value).collect() }]);
}

/// The three pruners of a case asked about the same trials: by plain reports; by a metric of a study that goes the other
/// way; and by a metric of a study of several objectives.
struct Three {
    studies: [Study; 3],
    kept: [std::sync::Arc<dyn Pruner>; 3],
}

impl Three {
    fn decisions(&self, number: TrialNumber) -> [Decision; 3] {
        std::array::from_fn(|at| self.kept[at].decide(&self.studies[at].view(), number))
    }
}

fn run(name: &str, options: &str, direction: Direction) -> (usize, usize) {
    let other = if direction == Direction::Minimize { Direction::Maximize } else { Direction::Minimize };
    let with_direction = if name == "threshold" {
        r#""metric": "m""#.to_owned()
    } else {
        format!(r#""metric": "m", "direction": "{direction}""#)
    };
    let fresh = |at: usize| build(name, options, if at == 0 { "" } else { &with_direction });
    let mut three = Three {
        studies: [
            Study::new("s", &[direction]),
            Study::new("s", &[other]),
            Study::new("s", &[other, Direction::Minimize]),
        ],
        kept: std::array::from_fn(fresh),
    };
    let (mut draw, mut asked, mut pruned) = (Draw(7), 0, 0);
    for trial in 0..150 {
        let numbers = three.studies.each_mut().map(Study::start);
        let mut state = FinalState::Complete;
        for step in 0..1 + (draw.next() * 9.0) as u64 {
            let (value, noise) = (if draw.next() < 0.05 { f64::NAN } else { draw.next() }, draw.next());
            three.studies[0].report(numbers[0], step, value);
            for study in &mut three.studies[1..] {
                measure(study, numbers[1], step, &[("noise", noise), ("m", value)]);
                study.report(numbers[1], step, 1.0 - noise);
            }
            let [plain, opposite, several] = three.decisions(numbers[0]);
            let words = |decision: &Decision| decision.reason().map(|reason| reason.replace(" on m", ""));
            assert_eq!(words(&plain), words(&opposite), "{name} {options}, trial {trial} at {step}");
            // Which trial is the best, several objectives do not say.
            if name != "wilcoxon" {
                assert_eq!(opposite, several, "{name} {options}, trial {trial} at {step}");
            }
            for (at, decision) in [plain.clone(), opposite, several].iter().enumerate() {
                assert_eq!(*decision, fresh(at).decide(&three.studies[at].view(), numbers[at]), "a cache decided");
            }
            asked += 1;
            if plain.is_prune() {
                pruned += 1;
                state = FinalState::Pruned;
                break;
            }
        }
        let value = draw.next();
        let signs = [1.0, -1.0];
        for (study, values) in
            three.studies.iter_mut().zip([vec![value], vec![signs[1] * value], vec![signs[1] * value, 0.0]])
        {
            study.end_with(numbers[0], state, values);
        }
    }
    (asked, pruned)
}

#[test]
fn a_metric_decides_as_plain_reports_do() {
    for (name, options) in PRUNERS {
        for direction in [Direction::Minimize, Direction::Maximize] {
            let (asked, pruned) = run(name, options, direction);
            assert!(pruned > 0 && pruned < asked, "{name} {options}: {pruned} of {asked}");
        }
    }
}

/// Without the metric's name the same pruner reads what is not meant.
#[test]
fn canary_other_values_decide_otherwise() {
    let mut study = Study::minimize();
    for value in [0.1, 0.2, 0.3] {
        let number = study.start();
        measure(&mut study, number, 1, &[("acc", value)]);
        study.report(number, 1, value);
        study.end(number, FinalState::Complete);
    }
    let number = study.start();
    measure(&mut study, number, 1, &[("acc", 0.9)]);
    study.report(number, 1, 0.05);
    let median = || Median::new().n_startup_trials(0);
    assert!(!median().decide(&study.view(), number).is_prune());
    assert!(median().metric("acc").decide(&study.view(), number).is_prune());
    assert!(!median().metric("acc").direction(Direction::Maximize).decide(&study.view(), number).is_prune());
    assert_eq!(median().metric("never reported").decide(&study.view(), number), Decision::Continue);
    let decision = median().metric("acc").decide(&study.view(), number);
    assert!(decision.reason().unwrap().starts_with("median pruner on acc: 0.9, the best value"), "{decision:?}");
}

#[test]
fn a_name_of_an_objective_brings_its_direction() {
    let mut study = Study::new("s", &[Direction::Minimize, Direction::Maximize]);
    study.apply(vec![Op::SetMetricNames { study: StudyId(0), names: vec!["loss".into(), "acc".into()] }]);
    for value in [0.1, 0.2, 0.3, 0.05] {
        let number = study.start();
        measure(&mut study, number, 1, &[("acc", value), ("loss", value), ("f1", value)]);
        study.end(number, FinalState::Complete);
    }
    let number = study.start();
    measure(&mut study, number, 1, &[("acc", 0.9), ("loss", 0.9), ("f1", 0.9)]);
    let view = study.view();
    let median = |metric| Median::new().n_startup_trials(0).metric(metric);
    assert!(!median("acc").decide(&view, number).is_prune());
    assert!(median("loss").decide(&view, number).is_prune());
    assert!(median("acc").direction(Direction::Minimize).decide(&view, number).is_prune());
    // Nobody knows which way this one is better.
    assert_eq!(median("f1").decide(&view, number), Decision::Continue);
    assert!(!median("f1").applies_to(&view) && median("acc").applies_to(&view));
    assert!(!Median::new().applies_to(&view) && !Wilcoxon::new().metric("acc").applies_to(&view));
    assert!(Threshold::upper(0.5).metric("f1").decide(&view, number).is_prune());
    assert_eq!(Threshold::upper(0.5).decide(&view, number), Decision::Continue);
}

/// In a study of one objective its name means the reports that have none.
#[test]
fn the_only_objectives_name_is_no_metric() {
    let mut study = Study::minimize();
    study.apply(vec![Op::SetMetricNames { study: StudyId(0), names: vec!["loss".into()] }]);
    let number = study.start();
    study.report(number, 1, 0.9);
    assert!(Threshold::upper(0.5).metric("loss").decide(&study.view(), number).is_prune());
}

/// A metric that is named for the first time, or becomes the objective's, is another one to what was kept.
#[test]
fn what_was_kept_of_another_series_is_not_taken() {
    let mut study = Study::minimize();
    let kept = SuccessiveHalving::new().min_resource(1).reduction_factor(2).metric("m");
    let mut draw = Draw(3);
    for round in 0..300 {
        if round == 200 {
            study.apply(vec![Op::SetMetricNames { study: StudyId(0), names: vec!["m".into()] }]);
        }
        let number = study.start();
        study.report(number, 1, draw.next());
        if round >= 100 {
            measure(&mut study, number, 1, &[("m", draw.next())]);
        }
        let fresh = SuccessiveHalving::new().min_resource(1).reduction_factor(2).metric("m");
        assert_eq!(kept.decide(&study.view(), number), fresh.decide(&study.view(), number), "round {round}");
        study.end(number, FinalState::Complete);
    }
}

#[test]
fn patience_passes_its_metric_on() {
    let options = |pruner: &dyn Pruner| pruner.spec().options.to_string();
    let inside = Patient::new(1).wrapping(Median::new()).metric("acc").direction(Direction::Maximize);
    assert!(options(&inside).contains(r#""metric":"acc","n_min_trials""#), "{}", options(&inside));
    assert_eq!(options(&inside).matches(r#""direction":"maximize""#).count(), 2);
    // Whatever comes first.
    let other = Patient::new(1).direction(Direction::Maximize).metric("acc").wrapping(Median::new());
    assert_eq!(options(&inside), options(&other));
    let own = Patient::new(1).metric("acc").wrapping(Percentile::new(10.0).metric("loss"));
    assert!(options(&own).contains(r#""metric":"loss""#));
    let plain = Patient::new(1).metric("acc").wrapping(Threshold::upper(1.0)).direction(Direction::Maximize);
    assert_eq!(options(&plain).matches("acc").count(), 2);
    assert_eq!(options(&plain).matches("maximize").count(), 1);
    let unknown = Patient::new(1).metric("acc").wrapping(trialog_pruners::Never);
    assert_eq!(options(&unknown).matches("acc").count(), 1);
}

#[test]
fn options_of_metrics_are_checked() {
    let refused = |name: &str, options: &str| {
        let spec = ComponentSpec { name: name.into(), version: 1, options: Json::parse(options).unwrap() };
        from_spec(&spec).err().map(|error| error.to_string()).unwrap_or_default()
    };
    for (name, options, why) in [
        ("median", r#"{"metric": 3}"#, "option metric must be the name of a metric, of 1 to 250 bytes, not 3"),
        ("median", r#"{"metric": ""}"#, "option metric must be"),
        ("hyperband", r#"{"direction": "up"}"#, r#"option direction must be "minimize" or "maximize", not "up""#),
        ("threshold", r#"{"direction": "maximize"}"#, "there is no option direction"),
        ("none", r#"{"metric": "m"}"#, "there is no option metric"),
    ] {
        assert!(refused(name, options).contains(why), "{name} {options}: {}", refused(name, options));
    }
    // What says nothing of metrics is written as before there were any.
    let spec = Hyperband::new().spec().options.to_string();
    assert!(!spec.contains("metric") && !spec.contains("direction"), "{spec}");
}
