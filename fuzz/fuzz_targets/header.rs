//! File headers: whatever a file begins with, one verdict, and what verifies is written the same again.

#![no_main]

use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};
use trialog_fuzz::Format;

fuzz_target!(|bytes: &[u8]| trialog_fuzz::header::run(bytes));

fuzz_mutator!(|bytes: &mut [u8], len: usize, max: usize, seed: u32| {
    Format::HEADER.mutate(bytes, len, max, seed, fuzzer_mutate)
});
