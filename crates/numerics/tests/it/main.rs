//! The numbers against other people's programs, and against each other.

#![expect(clippy::unwrap_used, reason = "a golden file that does not parse is a failed test")]

mod blocks;
mod boxes;
mod cholesky;
mod crowding;
mod eigen;
mod elementary;
mod improvement;
mod lbfgsb;
mod low_discrepancy;
mod multi_objective;
mod normal;
mod stream;

/// Fails unless `actual` is within `tolerance` of `expected`, relative to the larger of it and 1e-300.
#[track_caller]
fn close(what: &str, actual: f64, expected: f64, tolerance: f64) {
    let same = actual == expected || (actual.is_nan() && expected.is_nan());
    let error = (actual - expected).abs() / expected.abs().max(1e-300);
    assert!(same || error <= tolerance, "{what}: {actual:?} instead of {expected:?}, relative error {error:e}");
}

#[test]
#[should_panic(expected = "canary")]
fn canary() {
    close("canary", 1.0 + 1e-12, 1.0, 1e-13);
}
