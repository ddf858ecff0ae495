//! Memory in proportion to the input: a counting allocator, and the limit.

use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// What any input may cost: the windows that files are read through, and the faked machine.
const BASE_BYTES: usize = 8 << 20;

/// Runs `work` on an input of `input_bytes` bytes, and insists that it took no more than `factor` times as much
/// memory at any moment, and a fixed amount.
#[track_caller]
pub(crate) fn in_proportion<T>(input_bytes: usize, factor: usize, work: impl FnOnce() -> T) -> T {
    ALLOCATOR.reset_peak_usage();
    let before = ALLOCATOR.current_usage();
    let result = work();
    let taken = ALLOCATOR.peak_usage().saturating_sub(before);
    let limit = BASE_BYTES + factor * input_bytes;
    assert!(taken <= limit, "{input_bytes} bytes of input took {taken} bytes of memory; {limit} are allowed");
    result
}
