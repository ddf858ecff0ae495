//! The codec's tests: samples of every op, golden bytes, properties, sizes and the document.

mod samples;
mod sizes;

use trialog_codec::{decode_record, encode_record};

#[test]
fn every_sample_comes_back() {
    for (name, record) in samples::all() {
        let mut bytes = Vec::new();
        encode_record(&record, &mut bytes);
        let back = decode_record(&bytes).map_err(|e| e.to_string());
        assert_eq!(back.map(|r| format!("{r:?}")), Ok(format!("{record:?}")), "{name}");
    }
}
