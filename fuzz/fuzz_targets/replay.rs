//! Ops: states that were encoded, decoded, written and read on the way equal the one that was not.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| trialog_fuzz::replay::run(bytes));
