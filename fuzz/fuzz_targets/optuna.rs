//! Lines of Optuna's journals: no panic, and what is read is written as it was.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| trialog_fuzz::optuna::run(bytes));
