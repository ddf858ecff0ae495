//! The Optuna dialect: lines that Optuna wrote, read and written again to the same bytes, and hostile ones.
//!
//! The golden journals are those of `python tests/optuna/worker.py rich file:PATH` under the version that each is named
//! after.

use proptest::prelude::*;
use trialog_codec::optuna::{Line, Reader, Spacing, write_line};
use trialog_ops::{SessionId, WorkerId};

const JOURNALS: [(&str, &str); 2] =
    [("5.0.0", include_str!("../golden/optuna/5.0.0.log")), ("4.9.0", include_str!("../golden/optuna/4.9.0.log"))];

fn written(session: SessionId, line: &Line, spacing: Spacing) -> String {
    let mut out = Vec::new();
    write_line(session, line, spacing, &mut out);
    String::from_utf8(out).expect("lines are ASCII")
}

/// The value of `worker_id` as it stands in a line.
fn worker(line: &str) -> &str {
    let (_, behind) = line.split_once(r#""worker_id":""#).expect("every line names its worker");
    behind.split_once('"').expect("a string ends").0
}

#[test]
fn what_optuna_wrote_is_written_to_the_byte() {
    let session = SessionId::new(WorkerId([7; 12]), 3);
    for (version, journal) in JOURNALS {
        let mut reader = Reader::default();
        for (number, text) in journal.lines().enumerate() {
            let (_, line) =
                reader.read(text.as_bytes()).unwrap_or_else(|error| panic!("{version}, line {number}: {error}"));
            let again = written(session, &line, Spacing::Compact);
            let ours = worker(&again).to_owned();
            assert_eq!(again.replace(&ours, worker(text)), text, "{version}, line {number}");
            // As in Redis: other spaces, and the same content.
            let spaced = written(session, &line, Spacing::Spaced);
            assert_eq!(
                reader.read(spaced.as_bytes()).map(|(by, line)| (by, format!("{line:?}"))),
                Ok((session, format!("{line:?}")))
            );
        }
    }
}

#[test]
fn every_op_and_every_distribution_is_among_them() {
    let (_, journal) = JOURNALS[0];
    for op in 0..10 {
        assert!(journal.contains(&format!("{{\"op_code\":{op},")), "op {op}");
    }
    for kind in ["FloatDistribution", "IntDistribution", "CategoricalDistribution"] {
        assert!(journal.contains(kind), "{kind}");
    }
}

/// A line by a parameter's distribution, as some version of Optuna or somebody else would write it.
fn distribution(text: &str) -> Option<String> {
    let quoted = serde_json::Value::from(text).to_string();
    let line = format!(
        r#"{{"op_code": 5, "worker_id": "w", "trial_id": 0, "param_name": "x", "param_value_internal": 1, "distribution": {quoted}}}"#
    );
    match Reader::default().read(line.as_bytes()).expect("a line of Optuna's").1 {
        Line::SetParam { def, .. } => def.distribution.as_ref().map(ToString::to_string),
        other => panic!("this is no parameter: {other:?}"),
    }
}

#[test]
fn old_short_and_odd_distributions() {
    for (text, meaning) in [
        (r#"{"name": "UniformDistribution", "attributes": {"low": 0, "high": 1}}"#, Some("float 0.0..1.0")),
        (r#"{"name": "LogUniformDistribution", "attributes": {"low": 1, "high": 2}}"#, Some("float 1.0..2.0 log")),
        (
            r#"{"name": "DiscreteUniformDistribution", "attributes": {"low": 0, "high": 1, "q": 0.25}}"#,
            Some("float 0.0..1.0 step 0.25"),
        ),
        (
            r#"{"name": "IntUniformDistribution", "attributes": {"low": 0, "high": 4, "step": 2}}"#,
            Some("int 0..4 step 2"),
        ),
        (
            r#"{"name": "IntLogUniformDistribution", "attributes": {"low": 1, "high": 4, "step": 1}}"#,
            Some("int 1..4 log"),
        ),
        (r#"{"type": "float", "low": 0.0, "high": 1.0, "log": false}"#, Some("float 0.0..1.0")),
        (r#"{"type": "int", "low": 1, "high": 9, "log": true}"#, Some("int 1..9 log")),
        (r#"{"type": "categorical", "choices": [1, "a", null]}"#, Some("one of 1, a, null")),
        (
            r#"{"name": "FloatDistribution", "attributes": {"step": null, "low": -Infinity, "high": 1.0, "log": false}}"#,
            None,
        ),
        (r#"{"name": "SomeDistribution", "attributes": {}}"#, None),
        ("no JSON", None),
    ] {
        assert_eq!(distribution(text).as_deref(), meaning, "{text}");
    }
}

#[test]
fn lines_of_others_are_read_as_python_would() {
    let read = |text: &str| Reader::default().read(text.as_bytes()).map(|(_, line)| line);
    // Of equal keys the last one counts; unknown ones do not.
    let twice = read(r#"{"op_code":3,"op_code":1,"worker_id":"w","study_id":7,"study_id":2,"more":[{}]}"#);
    assert_eq!(twice.expect("a line"), Line::DeleteStudy { study: trialog_ops::StudyId(2) });
    // Rustuna writes infinities as strings.
    let odd = read(r#"{"op_code":6,"worker_id":"w","trial_id":0,"state":1,"values":["Infinity",-Infinity,true]}"#);
    match odd.expect("a line") {
        Line::SetState { change, .. } => {
            assert_eq!(change.values, Some(vec![f64::INFINITY, f64::NEG_INFINITY, 1.0]));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(read(r#"{"op_code":10,"worker_id":"w","trial_ids":[1]}"#).expect("a line"), Line::Discard);
    for wrong in [
        "",
        "[]",
        "{}",
        "{\"op_code\":0}",
        "{\"op_code\":\"a\"}",
        "{\"op_code\":11}",
        "{\"op_code\":1,}",
        "\u{feff}{}",
    ] {
        assert!(read(wrong).is_err(), "{wrong:?}");
    }
    assert!(read(r#"{"op_code":11,"worker_id":"w"}"#).is_err_and(|error| error.is_newer_format()));
}

#[test]
#[should_panic(expected = "assertion")]
fn canary_another_byte_is_noticed() {
    let (_, journal) = JOURNALS[0];
    let text = journal.lines().next().expect("a line").replacen('{', "{ ", 1);
    let (session, line) = Reader::default().read(text.as_bytes()).expect("still the same line");
    let again = written(session, &line, Spacing::Compact);
    assert_eq!(again.replace(worker(&again), worker(&text)), text);
}

proptest! {
    #[test]
    fn changed_lines_are_read_or_refused_and_never_more(
        which in 0..200_usize, at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>()
    ) {
        let (_, journal) = JOURNALS[which % 2];
        let mut bytes = journal.lines().nth(which).expect("there are more").as_bytes().to_vec();
        let at = at.index(bytes.len());
        if cut { bytes.truncate(at) } else { bytes[at] = byte }
        let mut reader = Reader::default();
        if let Ok((session, line)) = reader.read(&bytes) {
            // Whatever was read can be said again, and means the same.
            let again = written(session, &line, Spacing::Compact);
            let (_, same) = reader.read(again.as_bytes()).expect("what we write we read");
            prop_assert_eq!(written(session, &same, Spacing::Compact), again);
        }
    }
}
