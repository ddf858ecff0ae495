//! Logs of two files, the first of which may end with a seal: opened, read, appended to, compacted, opened again.

#![no_main]

use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};
use trialog_fuzz::Format;

fuzz_target!(|bytes: &[u8]| trialog_fuzz::seal::run(bytes));

fuzz_mutator!(|bytes: &mut [u8], len: usize, max: usize, seed: u32| {
    Format::CHAIN.mutate(bytes, len, max, seed, fuzzer_mutate)
});
