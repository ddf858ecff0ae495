//! Studies as JSON lines and tables as CSV: what is written is read, and what is wrong is said with its place.

use trialog_ops::*;
use trialog_transfer::{
    Column, ColumnKind, Error, Moved, Options, RecordsReader, RowsOptions, RowsReader, digest_of, write,
    write_records,
};

use crate::studies::{empty, everything, view};

#[test]
fn json_lines_come_back_to_the_bit() {
    let source = empty();
    let original = everything(&source, "größe");
    let mut file = Vec::new();
    write_records(&original, &mut file).unwrap();
    let text = String::from_utf8(file.clone()).unwrap();
    assert_eq!(text.lines().count(), 9);
    // Any other reader of JSON takes each line.
    for line in text.lines() {
        serde_json::from_str::<serde_json::Value>(line).unwrap();
    }
    let reader = RecordsReader::new(file.as_slice()).unwrap();
    assert_eq!(reader.name(), "größe");
    let (head, target) = (reader.head().clone(), empty());
    let report = write(&target, "t", &head, reader, Options::default()).unwrap();
    assert_eq!(report.digest, digest_of(&original));
    let mut again = Vec::new();
    write_records(&view(&target, "t"), &mut again).unwrap();
    assert_eq!(
        text.lines().skip(1).collect::<Vec<_>>(),
        String::from_utf8(again).unwrap().lines().skip(1).collect::<Vec<_>>()
    );
}

#[test]
fn json_lines_by_hand() {
    let text = r#"
{"values": [1.5], "params": {"x": {"value": 3, "distribution": {"type": "int", "low": 0, "high": 9}}}}

{"state": "pruned", "reports": [[1, 0.5], [2, "NaN"]], "start": 5, "end": 6}
"#;
    let reader = RecordsReader::new(text.as_bytes()).unwrap();
    assert_eq!(reader.head().directions, [Direction::Minimize]);
    let trials: Vec<Moved> = reader.map(Result::unwrap).collect();
    assert_eq!(
        (trials[0].template.state, trials[0].template.values.as_slice()),
        (TrialState::Complete, &[1.5][..])
    );
    assert_eq!((trials[1].template.reports.len(), trials[1].template.end), (2, Some(Timestamp(6))));
}

#[test]
fn wrong_lines_are_named() {
    let head = r#"{"study":"s","directions":["minimize"]}"#;
    for (line, says) in [
        ("{", "line 2, column 1: no JSON"),
        ("[]", "line 2: [] is no object"),
        (r#"{"number":1,"values":[1]}"#, "line 2, column number: 1 where trial 0 should be"),
        (r#"{"values":[1,2]}"#, "line 2, column values: 2 where 1 numbers should be"),
        (r#"{"values":["NaN"]}"#, "line 2, column values"),
        (r#"{"values":["x"]}"#, "line 2, column values: \"x\" is no number"),
        (r#"{"state":"done"}"#, "line 2, column state: \"done\" is no state"),
        (
            r#"{"values":[1],"params":{"x":{"value":1}}}"#,
            "line 2, column params.x: a parameter without a distribution",
        ),
        (
            r#"{"values":[1],"params":{"x":{"value":"z","distribution":{"type":"categorical","choices":["a"]}}}}"#,
            "line 2, column params.x: \"z\" is no value of",
        ),
        (
            r#"{"values":[1],"params":{"x":{"value":1,"distribution":{"type":"float","low":2,"high":1}}}}"#,
            "line 2, column params.x",
        ),
        (r#"{"values":[1],"reports":[[1]]}"#, "line 2, column reports: [1] is no report"),
        (r#"{"values":[1],"changes":[{}]}"#, "line 2, column changes: {} is no change"),
    ] {
        let text = format!("{head}\n{line}\n");
        let error = RecordsReader::new(text.as_bytes()).unwrap().next().unwrap().unwrap_err();
        assert!(error.to_string().starts_with(says), "{line}: {error}");
    }
    let error = RecordsReader::new(&br#"{"directions":["up"]}"#[..]).err().unwrap();
    assert_eq!(error.to_string(), "line 1, column directions: \"up\" is no direction");
}

#[test]
fn a_table_as_people_keep_them() {
    let text = "lr,layers,optimizer,loss,acc,state,note,extra\n\
                0.1,2,adam,0.5,0.9,COMPLETE,\"a, b\",1\n\
                0.01,3,sgd,0.4,0.95,complete,[1],\n\
                0.5,2,adam,,,fail,,2\n";
    let options = RowsOptions {
        columns: vec![
            Column { name: "loss".into(), kind: ColumnKind::Value(0) },
            Column { name: "acc".into(), kind: ColumnKind::Value(1) },
            Column { name: "note".into(), kind: ColumnKind::UserAttr("note".into()) },
            Column { name: "extra".into(), kind: ColumnKind::Ignored },
            Column {
                name: "lr".into(),
                kind: ColumnKind::Param(
                    "lr".into(),
                    Some(Distribution::Float(FloatDistribution::new(1e-3, 1.0, true, None).unwrap())),
                ),
            },
        ],
        directions: vec![Direction::Minimize, Direction::Maximize],
    };
    let reader = RowsReader::new(text.as_bytes(), &options).unwrap();
    let target = empty();
    write(&target, "csv", reader.head(), reader.trials(), Options::default()).unwrap();
    let view = view(&target, "csv");
    assert_eq!(view.trial_count(), 3);
    let first = view.trials().next().unwrap();
    assert_eq!(first.values().collect::<Vec<_>>(), [0.5, 0.9]);
    assert_eq!(first.param_value("optimizer").unwrap().to_string(), "adam");
    assert_eq!(first.user_attr("note").unwrap().as_str(), "\"a, b\"");
    let kinds: Vec<String> =
        first.params().map(|(name, distribution, _)| format!("{name} {distribution}")).collect();
    assert_eq!(kinds, ["layers int 2..3", "lr float 0.001..1.0 log", "optimizer one of adam, sgd"]);
    assert_eq!(view.count(TrialState::Fail), 1);
}

/// The names that Optuna's `trials_dataframe().to_csv()` and our own tables have.
#[test]
fn a_table_of_trials() {
    let text = ",number,value,datetime_start,datetime_complete,duration,params_x,params_b,user_attrs_k,report_3,constraint_c,state\n\
                0,0,2.5,2026-01-31 12:00:00.000001,2026-01-31T12:00:01Z,0 days,-1,True,7,0.5,-1,COMPLETE\n";
    let reader = RowsReader::new(text.as_bytes(), &RowsOptions::default()).unwrap();
    let trial = reader.trials().next().unwrap().unwrap().template;
    assert_eq!(trial.start, Some(Timestamp(1_769_860_800_000_001)));
    assert_eq!(trial.end, Some(Timestamp(1_769_860_801_000_000)));
    assert_eq!((trial.values.as_slice(), trial.reports.as_slice()), (&[2.5][..], &[(3, 0.5)][..]));
    assert_eq!((trial.params.len(), trial.constraints.len(), trial.user_attrs.len()), (2, 1, 1));
}

#[test]
fn wrong_cells_are_named() {
    for (text, says) in [
        ("value,x\n1,2\nz,3\n", "line 3, column value: \"z\" is no number"),
        ("value,x\n1\n", "line 2: 1 cells where the first line has 2"),
        ("value,x\n,2\n", "line 2: a complete trial needs a number"),
        ("value,state\n1,done\n", "line 2, column state: \"done\" is no state"),
        ("value,start\n1,yesterday\n", "line 2, column start: \"yesterday\" is no time"),
    ] {
        let read = RowsReader::new(text.as_bytes(), &RowsOptions::default());
        let error = read.and_then(|reader| reader.trials().collect::<Result<Vec<_>, Error>>()).unwrap_err();
        assert!(error.to_string().starts_with(says), "{text}: {error}");
    }
    let options = RowsOptions {
        columns: vec![Column { name: "z".into(), kind: ColumnKind::Ignored }],
        ..RowsOptions::default()
    };
    let error = RowsReader::new(&b"value\n1\n"[..], &options).err().unwrap();
    assert_eq!(error.to_string(), "line 1, column z: the file has no such column");
    let unit = Distribution::float(0.0, 1.0).unwrap();
    let options = RowsOptions {
        columns: vec![Column { name: "x".into(), kind: ColumnKind::Param("x".into(), Some(unit)) }],
        ..RowsOptions::default()
    };
    let reader = RowsReader::new(&b"value,x\n1,7\n"[..], &options).unwrap();
    let error = reader.trials().next().unwrap().unwrap_err();
    assert!(error.to_string().starts_with("line 2, column x: \"7\" is no value of"), "{error}");
}

/// The comparison is not blind: a flipped bit is another study.
#[test]
fn canary_another_line_is_another_study() {
    let source = empty();
    let original = everything(&source, "s");
    let mut file = Vec::new();
    write_records(&original, &mut file).unwrap();
    let text = String::from_utf8(file).unwrap().replacen("0.30000000000000004", "0.3", 1);
    let reader = RecordsReader::new(text.as_bytes()).unwrap();
    let (head, target) = (reader.head().clone(), empty());
    let report = write(&target, "t", &head, reader, Options::default()).unwrap();
    assert_ne!(report.digest, digest_of(&original));
}
