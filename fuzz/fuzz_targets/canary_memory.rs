//! A decoder that trusts a length: the limit on memory must notice.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| trialog_fuzz::canary::takes_memory(bytes));
