//! Golden bytes: what version 1 of the format wrote once, it writes and reads for ever.
//!
//! `TRIALOG_BLESS=1` adds lines for samples that have none, and so makes the whole file for a new version. It
//! never changes a line that is there: bytes that differ are another version of the format.

use std::path::PathBuf;
use std::{env, fs};

use trialog_codec::{FORMAT_VERSION, decode_record};

use crate::{bytes, encode, hex, same, samples};

const HEADER: &str = "# Record payloads of the native dialect, one a line: the sample's name, then its bytes.
# Made by tests/it/golden.rs from tests/it/samples.rs. A line that is here never changes.
";

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/v{FORMAT_VERSION}/records.txt"))
}

/// The lines of a golden file as name and hexadecimal digits.
fn lines(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once(' '))
}

fn golden() -> String {
    let mut text = fs::read_to_string(path()).unwrap_or_default();
    if env::var("TRIALOG_BLESS").as_deref() == Ok("1") {
        if text.is_empty() {
            text.push_str(HEADER);
        }
        let missing: String = samples::all()
            .iter()
            .filter(|(name, _)| lines(&text).all(|(golden, _)| golden != name))
            .map(|(name, record)| format!("{name} {}\n", hex(&encode(record))))
            .collect();
        text.push_str(&missing);
        fs::create_dir_all(path().parent().expect("a folder")).expect("the folder of golden files");
        fs::write(path(), &text).expect("the golden file");
    }
    text
}

/// Compares a golden file with the samples, in both directions.
fn check(text: &str) -> Result<(), String> {
    let samples = samples::all();
    for (name, _) in &samples {
        if lines(text).filter(|(golden, _)| golden == name).count() != 1 {
            return Err(format!("{name}: not exactly one golden line; TRIALOG_BLESS=1 adds a missing one"));
        }
    }
    for (name, digits) in lines(text) {
        let sample = samples.iter().find(|(sample, _)| sample == name);
        let (_, record) = sample.ok_or_else(|| format!("{name}: a golden line without its sample"))?;
        if hex(&encode(record)) != digits {
            return Err(format!("{name}: the bytes have changed\n was {digits}\n now {}", hex(&encode(record))));
        }
        let read = decode_record(&bytes(digits)).map_err(|e| format!("{name}: {e}"))?;
        same(&read, record).map_err(|e| format!("{name}: {e}"))?;
    }
    Ok(())
}

#[test]
fn the_golden_bytes_are_written_and_read() {
    check(&golden()).unwrap_or_else(|e| panic!("{e}"));
}

#[test]
fn canary_a_wrong_golden_line_is_noticed() {
    let text = golden();
    let (_, digits) = lines(&text).find(|(name, _)| *name == "create_trial/noon").expect("the sample's line");
    let last = if digits.ends_with('0') { "1" } else { "0" };
    let wrong = text.replace(digits, &format!("{}{last}", &digits[..digits.len() - 1]));
    assert!(check(&wrong).is_err_and(|e| e.starts_with("create_trial/noon: the bytes have changed")));
    assert!(check(&text.replace("claim_trial ", "claim_trail ")).is_err());
}

#[test]
fn every_cut_of_a_golden_record_is_an_error() {
    let text = golden();
    for (name, digits) in lines(&text) {
        let whole = bytes(digits);
        for end in 0..whole.len() {
            assert!(decode_record(&whole[..end]).is_err(), "{name} cut at {end}");
        }
        let longer = [&whole[..], &[0]].concat();
        assert!(decode_record(&longer).is_err(), "{name} with a byte more");
    }
}

#[test]
fn every_flipped_bit_of_a_golden_record_is_survived() {
    let text = golden();
    for (name, digits) in lines(&text) {
        let mut record = bytes(digits);
        for bit in 0..8 * record.len() {
            record[bit / 8] ^= 1 << (bit % 8);
            if let Ok(read) = decode_record(&record) {
                let again = decode_record(&encode(&read)).unwrap_or_else(|e| panic!("{name}, bit {bit}: {e}"));
                same(&read, &again).unwrap_or_else(|e| panic!("{name}, bit {bit}: {e}"));
            }
            record[bit / 8] ^= 1 << (bit % 8);
        }
    }
}
