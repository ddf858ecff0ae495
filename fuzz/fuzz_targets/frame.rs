//! Frames: whatever the bytes are, a verdict on each, and what verifies is written the same again.

#![no_main]

use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};
use trialog_fuzz::Format;

fuzz_target!(|bytes: &[u8]| trialog_fuzz::frame::run(bytes));

fuzz_mutator!(|bytes: &mut [u8], len: usize, max: usize, seed: u32| {
    Format::FRAMES.mutate(bytes, len, max, seed, fuzzer_mutate)
});
