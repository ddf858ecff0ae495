//! Whole logs, with or without a snapshot beside them: opened, read, looked at, appended to, opened again.

#![no_main]

use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};
use trialog_fuzz::Format;

fuzz_target!(|bytes: &[u8]| trialog_fuzz::open::run(bytes));

fuzz_mutator!(|bytes: &mut [u8], len: usize, max: usize, seed: u32| {
    Format::LOG.mutate(bytes, len, max, seed, fuzzer_mutate)
});
