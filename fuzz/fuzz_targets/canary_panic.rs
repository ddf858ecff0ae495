//! A decoder with a bug behind a magic word: the fuzzer must find it.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| trialog_fuzz::canary::panics(bytes));
