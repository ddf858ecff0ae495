//! JSON texts: our checker and a standard parser agree.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| trialog_fuzz::json::run(bytes));
