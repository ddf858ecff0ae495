//! The trials as a table, in every form.

use trialog::{Choice, Distribution, NewTrial, Storage, Study, Timestamp};

/// A complete, a pruned, a failed and a waiting trial, with what makes tables difficult.
fn study() -> Study {
    let study = Storage::in_memory().unwrap().study("table").create().unwrap();
    let x = Distribution::float(0.0, 1.0).unwrap();
    let n = Distribution::int(1, 9).unwrap();
    let kind = Distribution::categorical(["a,b", "c"]).unwrap();
    let any =
        Distribution::categorical([Choice::Null, Choice::Bool(true), Choice::Int(1), Choice::Float(0.5)]).unwrap();
    let at = |micros: i64| Timestamp(1_700_000_000_000_000 + micros);
    let trials = [
        NewTrial::complete(1.5)
            .param("x", x, 0.25)
            .unwrap()
            .param("kind", kind, "a,b")
            .unwrap()
            .param("any", any.clone(), true)
            .unwrap()
            .user_attr("note", "say \"hi\"\n")
            .user_attr("list", serde_json::json!([1, "two"]))
            .times(at(0), at(1_500_000)),
        NewTrial::pruned().param("n", n, 3_i64).unwrap().report(0, 0.5).times(at(10), at(20)),
        NewTrial::failed().param("any", any.clone(), Choice::Null).unwrap().times(at(30), at(40)),
        NewTrial::complete(f64::INFINITY).param("any", any, 0.5).unwrap().times(at(50), at(60)),
        NewTrial::complete(1e300).times(at(70), at(80)),
    ];
    study.add_trials(trials).unwrap();
    study.enqueue([("x", 0.5)]).unwrap();
    study
}

const COLUMNS: [&str; 11] = [
    "number",
    "value",
    "datetime_start",
    "datetime_complete",
    "duration",
    "params_any",
    "params_kind",
    "params_n",
    "params_x",
    "user_attrs_list",
    "user_attrs_note",
];

#[test]
fn comma_separated_values() {
    let mut bytes = Vec::new();
    let table = study().table().unwrap();
    table.write_csv(&mut bytes).unwrap();
    assert_eq!((table.len(), table.is_empty()), (6, false));
    let expected = "\
number,value,datetime_start,datetime_complete,duration,params_any,params_kind,params_n,params_x,user_attrs_list,user_attrs_note,state
0,1.5,2023-11-14T22:13:20Z,2023-11-14T22:13:21.5Z,1.5,true,\"a,b\",,0.25,\"[1,\"\"two\"\"]\",\"say \"\"hi\"\"\n\",complete
1,,2023-11-14T22:13:20.00001Z,2023-11-14T22:13:20.00002Z,1e-5,,,3,,,,pruned
2,,2023-11-14T22:13:20.00003Z,2023-11-14T22:13:20.00004Z,1e-5,,,,,,,fail
3,inf,2023-11-14T22:13:20.00005Z,2023-11-14T22:13:20.00006Z,1e-5,0.5,,,,,,complete
4,1e300,2023-11-14T22:13:20.00007Z,2023-11-14T22:13:20.00008Z,1e-5,,,,,,,complete
5,,,,,,,,,,,waiting
";
    assert_eq!(String::from_utf8(bytes.clone()).unwrap(), expected);

    // A program that reads it finds every field where it belongs.
    let mut reader = csv::Reader::from_reader(bytes.as_slice());
    assert_eq!(reader.headers().unwrap().iter().collect::<Vec<_>>(), table.columns().collect::<Vec<_>>());
    let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    assert_eq!((rows.len(), &rows[0][10], &rows[4][1]), (6, "say \"hi\"\n", "1e300"));
}

#[test]
fn json_lines() {
    let mut bytes = Vec::new();
    study().table().unwrap().write_json_lines(&mut bytes).unwrap();
    let text = String::from_utf8(bytes).unwrap();
    let rows: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(rows.len(), 6);
    for row in &rows {
        let names: Vec<&str> = row.as_object().unwrap().keys().map(String::as_str).collect();
        assert!(
            COLUMNS.iter().chain(&["state"]).all(|name| names.contains(name)) && names.len() == 12,
            "{names:?}"
        );
    }
    assert_eq!(rows[0]["value"], 1.5);
    assert_eq!(rows[0]["params_any"], true);
    assert_eq!(rows[0]["user_attrs_list"], serde_json::json!([1, "two"]));
    assert_eq!(rows[1]["params_n"], 3);
    assert_eq!(rows[1]["value"], serde_json::Value::Null);
    assert_eq!(rows[3]["value"], "Infinity");
    assert_eq!(rows[5]["state"], "waiting");
}

#[test]
fn an_empty_study_has_an_empty_table() {
    let table = Study::in_memory().unwrap().table().unwrap();
    let mut bytes = Vec::new();
    table.write_csv(&mut bytes).unwrap();
    assert_eq!(String::from_utf8(bytes).unwrap(), "number,value,datetime_start,datetime_complete,duration,state\n");
    let mut lines = Vec::new();
    table.write_json_lines(&mut lines).unwrap();
    assert!(lines.is_empty() && table.is_empty());
}

#[test]
fn objectives_have_columns_of_their_own_whatever_their_names() {
    let builder = Storage::in_memory().unwrap().study("several");
    let builder = builder.directions([trialog::Direction::Minimize, trialog::Direction::Maximize]);
    let study = builder.metric_names(["duration", "state"]).create().unwrap();
    study.optimize(1, |_| Ok((1.0, 2.0))).unwrap();
    let mut bytes = Vec::new();
    study.table().unwrap().write_json_lines(&mut bytes).unwrap();
    let row: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
    assert_eq!((&row["values_duration"], &row["values_state"]), (&1.0.into(), &2.0.into()));
    assert_eq!(row["state"], "complete");
}

/// Whoever reads a table wants an error when it could not be written whole.
struct Full(usize);

impl std::io::Write for Full {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 = self.0.checked_sub(bytes.len()).ok_or(std::io::ErrorKind::StorageFull)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_table_that_finds_no_room_says_so() {
    let table = study().table().unwrap();
    for room in [0, 100, 400] {
        let error = table.write_csv(Full(room)).unwrap_err();
        assert!(error.to_string().starts_with("could not write the table"), "{error}");
        assert!(table.write_json_lines(Full(room)).is_err());
        // Among other steps of a program it is an error like theirs.
        assert_eq!(trialog::Error::from(error).to_string().matches("could not write the table").count(), 1);
    }
    assert!(table.write_csv(Full(10_000)).is_ok());
}

#[cfg(feature = "parquet")]
mod parquet {
    //! The Parquet file, read back.

    use arrow_array::cast::AsArray as _;
    use arrow_array::types::{Float64Type, Int64Type, TimestampMicrosecondType};
    use arrow_array::{Array as _, RecordBatch};
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

    fn read_back(table: &trialog::Table) -> RecordBatch {
        let mut file = tempfile::tempfile().unwrap();
        table.write_parquet(&mut file).unwrap();
        let mut batches = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap();
        let batch = batches.next().unwrap().unwrap();
        assert!(batches.next().is_none());
        batch
    }

    #[test]
    fn numbers_are_numbers_and_times_are_times() {
        let table = super::study().table().unwrap();
        let batch = read_back(&table);
        let schema = batch.schema();
        let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        assert_eq!(names, table.columns().collect::<Vec<_>>());
        assert_eq!(batch.num_rows(), 6);
        let column = |name: &str| batch.column_by_name(name).unwrap();
        let numbers = column("number").as_primitive::<Int64Type>();
        assert!(numbers.values().iter().copied().eq(0..6));
        let values = column("value").as_primitive::<Float64Type>();
        assert_eq!((values.value(0), values.value(3), values.value(4)), (1.5, f64::INFINITY, 1e300));
        assert!(values.is_null(1) && values.is_null(5));
        let starts = column("datetime_start").as_primitive::<TimestampMicrosecondType>();
        assert_eq!(starts.value(1), 1_700_000_000_000_010);
        assert!(starts.is_null(5));
        assert_eq!(column("params_x").as_primitive::<Float64Type>().value(0), 0.25);
        let n = column("params_n").as_primitive::<Int64Type>();
        assert_eq!((n.value(1), n.null_count()), (3, 5));
        let texts = |name: &str| column(name).as_string::<i32>().clone();
        assert_eq!(texts("params_kind").value(0), "a,b");
        assert_eq!((texts("params_any").value(0), texts("params_any").value(3)), ("true", "0.5"));
        assert_eq!(texts("user_attrs_list").value(0), "[1,\"two\"]");
        assert_eq!(texts("state").value(5), "waiting");
    }

    #[test]
    fn an_empty_study_has_a_file_too() {
        let table = trialog::Study::in_memory().unwrap().table().unwrap();
        let mut file = tempfile::tempfile().unwrap();
        table.write_parquet(&mut file).unwrap();
        let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
        assert_eq!(reader.metadata().file_metadata().num_rows(), 0);
    }
}

#[test]
#[should_panic(expected = "left: 5")]
fn canary_a_missing_row_is_noticed() {
    let mut bytes = Vec::new();
    study().table().unwrap().write_csv(&mut bytes).unwrap();
    let text = String::from_utf8(bytes).unwrap();
    let without_last = text.trim_end().rsplit_once('\n').unwrap().0;
    let rows = csv::Reader::from_reader(without_last.as_bytes()).records().count();
    assert_eq!(rows, 6);
}
