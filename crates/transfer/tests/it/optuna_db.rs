//! Optuna's SQLite storages: a committed one and one that is made now by Optuna itself, each compared field by field with what Optuna says it
//! holds. `tests/golden/optuna_db.py` makes both.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use trialog_replay::TrialView;
use trialog_transfer::{Collision, Error, Head, Options, OptunaDb, digest_of, write};

use crate::studies::{empty, view};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

fn number(value: f64) -> Value {
    match value {
        f64::INFINITY => json!("inf"),
        f64::NEG_INFINITY => json!("-inf"),
        value if value.is_nan() => json!("nan"),
        value => json!(value),
    }
}

/// A trial as the script writes it, but for how Python prints parameters.
fn words(trial: TrialView<'_>) -> Value {
    let params: serde_json::Map<String, Value> =
        trial.params().map(|(name, _, value)| (name.to_owned(), json!(value))).collect();
    let mut system: Vec<&str> = trial.system_attrs().map(|(key, _)| key).collect();
    system.sort_unstable();
    json!({
        "number": trial.number().0,
        "state": trial.state().to_string(),
        "values": trial.values().map(number).collect::<Vec<_>>(),
        "start": trial.start().map(|time| time.0),
        "end": trial.end().map(|time| time.0),
        "internal": params,
        "reports": trial.reports().iter().map(|&(step, value)| json!([step, number(value)])).collect::<Vec<_>>(),
        "user_attrs": trial.user_attrs().map(|(key, value)| (key.to_owned(), json!(value.as_str()))).collect::<serde_json::Map<_, _>>(),
        "system_attrs": system,
    })
}

/// Whole numbers that are floats on one side are the same.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, value)| b.get(key).is_some_and(|other| same(value, other)))
        }
        (a, b) => a == b,
    }
}

fn check(db: &Path, expected: &str) -> Result<(), String> {
    let db = OptunaDb::open(db).unwrap();
    let target = empty();
    let mut expected = expected.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    for study in db.studies().unwrap() {
        let head = db.head(&study).unwrap();
        let options = Options { collision: Collision::Resume, ..Options::default() };
        let report = write(&target, &study.name, &head, db.trials(&study).unwrap(), options).unwrap();
        assert_eq!(report.added, study.trials);
        let view = view(&target, &study.name);
        let line = expected.next().unwrap();
        assert_eq!((line["study"].as_str(), Head::of(&view)), (Some(study.name.as_str()), head));
        let directions: Vec<String> = view.directions().iter().map(ToString::to_string).collect();
        assert_eq!(line["directions"], json!(directions));
        for trial in view.trials() {
            let mut wanted = expected.next().unwrap();
            wanted.as_object_mut().unwrap().remove("params");
            let found = words(trial);
            if !same(&found, &wanted) {
                return Err(format!("{}\n{found}\n{wanted}", study.name));
            }
        }
        // Once more, and nothing is doubled.
        let options = Options { collision: Collision::Resume, ..Options::default() };
        let again =
            write(&target, &study.name, &db.head(&study).unwrap(), db.trials(&study).unwrap(), options).unwrap();
        assert_eq!((again.added, again.digest), (0, digest_of(&view)));
    }
    assert!(expected.next().is_none());
    Ok(())
}

#[test]
fn the_committed_database() {
    let expected = std::fs::read_to_string(golden("optuna-5.0.0.jsonl")).unwrap();
    check(&golden("optuna-5.0.0.db"), &expected).unwrap();
    let db = OptunaDb::open(&golden("optuna-5.0.0.db")).unwrap();
    assert_eq!(db.version().unwrap().as_deref(), Some("5.0.0"));
    let studies = db.studies().unwrap();
    assert_eq!(db.head(&studies[0]).unwrap().metric_names, Some(vec!["loss".into()]));
    let two = db.trials(&studies[1]).unwrap().next().unwrap().unwrap().template;
    assert_eq!(two.constraints, [("0".to_owned(), -1.0), ("1".to_owned(), 2.5)]);
    let ahead = OptunaDb::open(&golden("optuna-5.0.0.db")).unwrap().utc_offset_minutes(60);
    let start = |db: &OptunaDb| db.trials(&studies[0]).unwrap().next().unwrap().unwrap().template.start.unwrap().0;
    assert_eq!(start(&db) - start(&ahead), 3_600_000_000);
}

/// `cargo xtask test` puts Optuna there; without it this is an error, and not a test that passes.
#[test]
fn a_database_that_optuna_makes_now() {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let python = target.join("venv-optuna-5").join("bin").join("python");
    assert!(python.exists(), "{} is missing: `cargo xtask test` puts it there", python.display());
    let folder = tempfile::tempdir().unwrap();
    let (db, lines) = (folder.path().join("studies.db"), folder.path().join("expected.jsonl"));
    let made = Command::new(python).arg(golden("optuna_db.py")).args([&db, &lines]).status().unwrap();
    assert!(made.success());
    check(&db, &std::fs::read_to_string(lines).unwrap()).unwrap();
}

#[test]
fn what_is_no_database_of_optunas() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("other.db");
    let refused = |path: &Path| OptunaDb::open(path).err().unwrap().to_string();
    assert!(refused(&path).contains("unable to open"), "{}", refused(&path));
    std::fs::write(&path, "no database at all, and long enough to be looked at").unwrap();
    assert!(refused(&path).contains("not a database"), "{}", refused(&path));
    std::fs::write(&path, "").unwrap();
    assert!(refused(&path).contains("no storage of Optuna's"), "{}", refused(&path));
    let connection = rusqlite::Connection::open(&path).unwrap();
    for table in [
        "studies(study_id, study_name)",
        "study_directions(study_id, direction, objective)",
        "study_user_attributes(study_id, key, value_json)",
        "study_system_attributes(study_id, key, value_json)",
        "trials(trial_id, number, study_id, state, datetime_start, datetime_complete)",
        "trial_params(trial_id, param_id, param_name, param_value, distribution_json)",
        "trial_values(trial_id, objective, value)",
        "trial_intermediate_values(trial_id, step, intermediate_value, intermediate_value_type)",
        "trial_user_attributes(trial_id, key, value_json)",
        "trial_system_attributes(trial_id, key, value_json)",
    ] {
        connection.execute_batch(&format!("CREATE TABLE {table}")).unwrap();
    }
    assert!(refused(&path).contains("storage upgrade"), "{}", refused(&path));
    connection.execute_batch("ALTER TABLE trial_values ADD COLUMN value_type").unwrap();
    connection
        .execute_batch(
            "INSERT INTO studies VALUES (1, 's');
             INSERT INTO study_directions VALUES (1, 'MINIMIZE', 0);
             INSERT INTO trials VALUES (1, 0, 1, 'COMPLETE', NULL, NULL);",
        )
        .unwrap();
    let trial = || {
        let db = OptunaDb::open(&path).unwrap();
        let study = db.studies().unwrap().remove(0);
        let first = db.trials(&study).unwrap().next().unwrap();
        first.map_err(|error: Error| error.to_string())
    };
    let wrong = |say: &str| {
        let error = trial().unwrap_err();
        assert!(error.contains(say), "{error}");
    };
    wrong("it is complete and has no value");
    connection.execute_batch("INSERT INTO trial_values VALUES (1, 0, NULL, 'FINITE')").unwrap();
    wrong("no value of kind FINITE");
    connection.execute_batch("UPDATE trial_values SET value = 1").unwrap();
    assert!(trial().is_ok());
    connection.execute_batch("INSERT INTO trial_params VALUES (1, 1, 'x', 0.5, '{}')").unwrap();
    wrong("which nothing here can be");
    connection.execute_batch("DELETE FROM trial_params; UPDATE trials SET datetime_start = 'noon'").unwrap();
    wrong("\"noon\" is no time");
    connection.execute_batch("UPDATE trials SET datetime_start = NULL, state = 'DONE'").unwrap();
    wrong("no state of a trial");
}

/// The comparison is not blind.
#[test]
fn canary_another_value_is_noticed() {
    let expected = std::fs::read_to_string(golden("optuna-5.0.0.jsonl")).unwrap();
    let wrong = expected.replacen("[5, \"-inf\"]", "[5, \"inf\"]", 1);
    assert!(check(&golden("optuna-5.0.0.db"), &wrong).is_err());
}
