//! The tools over logs of one or two files: verified, repaired, counted, looked back at.

#![no_main]

use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};
use trialog_fuzz::Format;

fuzz_target!(|bytes: &[u8]| trialog_fuzz::inspect::run(bytes));

fuzz_mutator!(|bytes: &mut [u8], len: usize, max: usize, seed: u32| {
    Format::CHAIN.mutate(bytes, len, max, seed, fuzzer_mutate)
});
