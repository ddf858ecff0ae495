//! The codec's tests: samples of every op, golden bytes, properties, errors, sizes and the document.

mod document;
mod errors;
mod golden;
mod optuna;
mod properties;
mod samples;
mod sizes;

use trialog_codec::{OPS, code_of, decode_record, encode_record};
use trialog_ops::{Op, Record};

fn encode(record: &Record) -> Vec<u8> {
    let mut out = Vec::new();
    encode_record(record, &mut out);
    out
}

/// `Ok` if both are the same to the bit: their texts show everything but the payloads of NaNs, their bytes
/// show those too.
fn same(a: &Record, b: &Record) -> Result<(), String> {
    let texts = (format!("{a:?}"), format!("{b:?}"));
    if texts.0 == texts.1 && encode(a) == encode(b) {
        Ok(())
    } else {
        Err(format!("these differ:\n{}\n{}", texts.0, texts.1))
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes of a text of hexadecimal digits; spaces do not count.
fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u32> = hex.chars().filter_map(|digit| digit.to_digit(16)).collect();
    digits.chunks(2).map(|pair| u8::try_from(pair[0] << 4 | pair[1]).expect("two digits")).collect()
}

#[test]
fn every_op_of_the_table_has_a_sample() {
    let samples: Vec<Op> = samples::all().into_iter().flat_map(|(_, record)| record.ops).collect();
    for spec in OPS {
        assert!(samples.iter().any(|op| code_of(op) == spec.code), "{} has no sample", spec.name);
    }
}

#[test]
fn codes_are_given_once_and_rise() {
    assert!(OPS.windows(2).all(|pair| pair[0].code < pair[1].code));
    assert!(OPS.iter().all(|a| OPS.iter().all(|b| a.code == b.code || a.name != b.name)));
    assert_ne!(OPS[0].code, 0, "a run of zeros must be no op");
}

#[test]
fn a_buffer_is_appended_to() {
    let (_, record) = samples::all().swap_remove(1);
    let mut out = vec![1, 2, 3];
    encode_record(&record, &mut out);
    assert_eq!(out[..3], [1, 2, 3]);
    same(&decode_record(&out[3..]).expect("what was encoded"), &record).expect("the same record");
}

#[test]
fn a_skipped_op_stays_one_that_can_be_skipped() {
    let record = |code| Record { session: samples::key(0), counter: 0, ops: vec![Op::Skipped { code }] };
    for (code, written) in [(0x80, 0x80), (0xff, 0xff), (0x07, 0x87)] {
        assert_eq!(decode_record(&encode(&record(code))), Ok(record(written)));
    }
}
