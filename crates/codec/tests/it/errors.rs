//! What is refused, with which words and at which offset: one case a line.

use trialog_codec::{DecodeError, RECORD_BYTES_MAX, decode_record};

use crate::bytes;

fn check(hex: &str, expected: &str) {
    let message = decode_record(&bytes(hex)).map_err(|e| e.to_string());
    assert_eq!(message, Err(expected.to_owned()), "{hex}");
}

#[test]
fn broken_records_are_named_with_their_offset() {
    // Head: session key 0, counter 0, one op.
    check("", "the record breaks off at byte 0");
    check("00 0102030405060708", "the record breaks off at byte 1");
    check("01", "the record breaks off at byte 1");
    check("01 fb00", "the record breaks off at byte 2");
    check("01 00 01", "the record breaks off at byte 3");
    check("01 00 01 0a 02 05", "the record breaks off at byte 6");
    check("01 00 01 0a 00", "the record breaks off at byte 5");
    check("01 00 01 0a 01 05 00", "the record's last op ends at byte 6, and more bytes follow");
    check("01 00 00 0a 01 05", "the record's last op ends at byte 3, and more bytes follow");
    check("fd ffffffffffffffff 00 00", "invalid content at byte 0: a key beyond 2^32 - 1");
    check("fe 00 00", "invalid content at byte 0: an integer too wide for its field");
}

#[test]
fn lengths_that_lie_cost_nothing() {
    let end = "the record breaks off at byte ";
    check("01 00 fd ffffffffffffff00", &format!("{end}11"));
    check("01 00 fc ffffffff 0a 01 05", &format!("{end}10"));
    check("01 00 01 0b fd ffffffffffffffff 07", &format!("{end}14"));
    check("01 00 01 0b 06 07 fc ffffff7f", &format!("{end}11"));
    check("01 00 01 05 0a 00 fd ffffffffffffff3f", &format!("{end}15"));
    check("01 00 01 05 02 00 05", &format!("{end}7"));
    check("01 00 01 01 09 fd ffffffffffffff7f", "a length at byte 5 exceeds what a record can hold");
    check("01 00 01 01 05 fc 00000001", &format!("{end}10"));
}

#[test]
fn what_a_newer_version_wrote_says_so() {
    let unknown = "op code 0x7f at byte 3 is unknown: a newer Trialog is needed to read it";
    check("01 00 01 7f 00", unknown);
    check("01 00 02 7f 02 ffff 0a 01 05", unknown);
    check("01 00 01 00 00", "op code 0x00 at byte 3 is unknown: a newer Trialog is needed to read it");
    check(
        "01 00 01 0a 02 05 00",
        "op code 0x0a has unknown fields at byte 6: a newer Trialog is needed to read it",
    );
    check(
        "01 00 01 0d 0b 05 00 0000000000000000 00",
        "op code 0x0d has unknown fields at byte 15: a newer Trialog is needed to read it",
    );
    let skipped = decode_record(&bytes("01 00 02 c0 02 ffff 0a 01 05")).expect("an op that may be skipped");
    assert_eq!(skipped.ops.len(), 2);
}

#[test]
fn invalid_content_is_named() {
    let at = |offset: usize, what: &str| format!("invalid content at byte {offset}: {what}");
    let nan = "000000000000f87f";
    let one = "000000000000f03f";
    let nan_here = "NaN where it is forbidden";
    check(&format!("01 00 01 0b 0b 07 01 01 {nan}"), &at(8, nan_here));
    check(&format!("01 00 01 0e 13 07 01 01 {nan} 0000000000000000"), &at(8, nan_here));
    check(&format!("01 00 01 11 0b 07 01 63 {nan}"), &at(8, nan_here));
    check(&format!("01 00 01 0e 0b 07 00 00 {one}"), &at(6, "0 is no final state"));
    check("01 00 01 08 0a 00 05 00 00 00 00 00 00 00 00", &at(6, "5 is no trial state"));
    check("01 00 01 08 0a 00 00 00 02 00 00 00 00 00 00", &at(8, "2 is neither absent (0) nor present (1)"));
    check("01 00 01 01 05 01 61 01 02 00", &at(8, "2 is no direction"));
    check("01 00 01 01 04 01 ff 00 00", &at(6, "text that is not UTF-8"));
    check("01 00 01 02 01 ff", &at(5, "an integer too wide for its field"));
    check("01 00 01 02 09 fd 0000000000000000", &at(5, "an integer too wide for its field"));
    let json = "not a JSON value: expected a comma or a closing bracket at byte 2";
    check("01 00 01 03 06 00 01 61 02 5b31", &at(9, json));
    let set = |definition: &str| {
        let body = format!("07 01 00 01 78 {definition} {one}");
        format!("01 00 01 0b {:02x} {body}", bytes(&body).len())
    };
    check(&set("03"), &at(10, "3 is no kind of distribution"));
    check(&set("02 01 05"), &at(12, "5 is no kind of choice"));
    check(&set("02 00"), &at(11, "a categorical parameter needs at least one choice"));
    check(&set("02 02 00 00"), &at(13, "the choice null is there twice"));
    check(&set("02 01 01 02"), &at(13, "2 is neither false (0) nor true (1)"));
    check(&set("01 04 02 00 02"), &at(14, "low must not exceed high, but 2.0 > 1.0"));
    check(&set("01 00 02 01 02"), &at(14, "a log scale needs low above 0 (at least 1 for integers), not 0.0"));
    check(&set(&format!("00 {one} {nan} 00 00")), &at(28, "bounds must be finite numbers, not 1.0 and NaN"));
}

#[test]
fn longer_payloads_than_frames_carry_are_refused_unread() {
    let error = decode_record(&vec![0; RECORD_BYTES_MAX + 1]);
    assert_eq!(error, Err(DecodeError::Limit { offset: RECORD_BYTES_MAX }));
}

#[test]
fn errors_answer_questions() {
    let error = decode_record(&bytes("01 00 01 7f 00")).expect_err("an unknown op");
    assert!(error.is_newer_format() && error.offset() == 3);
    let error = decode_record(&bytes("01 00 01 0a 00")).expect_err("a body cut short");
    assert!(!error.is_newer_format() && error.offset() == 5);
}
