//! The document says what the code does: its table of ops, and its example to the byte.

use trialog_codec::{OPS, RECORD_BYTES_MAX, decode_record};
use trialog_ops::{
    Distribution, FinalState, FloatDistribution, Op, Param, ParamDef, ParamRef, Record, Timestamp, TrialId,
};

use crate::{bytes, encode, hex, samples};

const DOCUMENT: &str = include_str!("../../../../docs/format-records.md");

/// What stands between two comment marks of the document.
fn part(name: &str) -> &'static str {
    let (_, rest) = DOCUMENT.split_once(&format!("<!-- {name} -->\n")).expect("the part begins");
    rest.split_once(&format!("<!-- end of {name} -->")).expect("the part ends").0
}

#[test]
fn the_table_of_ops_is_the_codes() {
    let mut expected = String::from("| Code | Name | If unknown | Fields |\n|---|---|---|---|\n");
    for spec in OPS {
        let unknown = if spec.is_skippable() { "skip" } else { "stop" };
        let fields = spec.fields.join(", ");
        expected += &format!("| 0x{:02x} | {} | {unknown} | `{fields}` |\n", spec.code, spec.name);
    }
    assert_eq!(part("ops"), expected);
}

#[test]
fn the_limit_is_the_codes() {
    assert!(DOCUMENT.contains("at most 16,777,215 bytes") && RECORD_BYTES_MAX == 16_777_215);
}

#[test]
fn the_example_is_what_is_written_and_read() {
    let lines = part("example").lines().filter(|line| !line.starts_with("```"));
    let digits: String = lines.map(|line| line.split_once('#').map_or(line, |(digits, _)| digits)).collect();
    let distribution = FloatDistribution::new(1e-5, 0.1, true, None).map(Distribution::Float).expect("valid");
    let lr = ParamRef::Def(Box::new(ParamDef { name: "lr".to_owned(), distribution }));
    let trial = TrialId(300);
    let (state, end) = (FinalState::Complete, Timestamp(1_767_268_800_000_000));
    let record = Record {
        session: samples::key(2),
        counter: 41,
        ops: vec![
            Op::SetParams { trial, params: vec![Param { param: lr, value: 0.01 }, samples::keyed(4, 3.0)] },
            Op::FinishTrial { trial, state, values: vec![0.5], end },
        ],
    };
    assert_eq!(hex(&bytes(&digits)), hex(&encode(&record)));
    assert_eq!(decode_record(&bytes(&digits)), Ok(record));
}
