//! Snapshots: what can be read is a state like any other, and is written again as the same bytes.

#![no_main]

use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};
use trialog_fuzz::Format;

fuzz_target!(|bytes: &[u8]| trialog_fuzz::snapshot::run(bytes));

fuzz_mutator!(|bytes: &mut [u8], len: usize, max: usize, seed: u32| {
    Format::SNAPSHOT.mutate(bytes, len, max, seed, fuzzer_mutate)
});
