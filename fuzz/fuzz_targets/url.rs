//! Names of storages: each opens or is refused with words.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| trialog_fuzz::url::run(bytes));
