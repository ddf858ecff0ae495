//! The tools over logs: whatever the bytes are, what they say agrees with itself, the log stays as it was, and what comes
//! out of a repair is a log that verifies.

use std::path::Path;

use trialog_inspect::{Error, Moment, Trust, as_of_on, repair_on, stat_on, verify_on};
use trialog_testkit::FakeOs;

use crate::memory::in_proportion;
use crate::mend;

const PATH: &str = "study.tlog";
const SECOND: &str = "study.tlog.000001";
const TARGET: &str = "repaired.tlog";

/// Verifies, counts, looks back at and repairs a log of one or two files.
pub fn run(bytes: &[u8]) {
    // A repair has room for sixty-five thousand empty records in the place of lost ones, whatever the input.
    in_proportion(bytes.len() + (16 << 10), 2048, || {
        let (first, second) = bytes.split_at(mend::second(bytes));
        let os = FakeOs::new();
        os.put(PATH, first);
        if !second.is_empty() {
            os.put(SECOND, second);
        }
        let Some(report) = told(verify_on(&os, PATH)) else { return };
        assert!(!report.to_string().is_empty());
        if let Some(found) = told(stat_on(&os, PATH)) {
            assert!(!found.to_string().is_empty());
            if report.is_clean() && report.tail.is_none() {
                assert_eq!(found.readable.digest, report.readable.digest, "stat and verify see the same");
            }
        }
        if let Some(state) = told(as_of_on(&os, PATH, Moment::End))
            && report.is_clean()
            && report.tail.is_none()
        {
            assert_eq!(state.digest(), report.readable.digest, "the end is what verify reads");
        }
        for (trust, target) in [(Trust::Proven, TARGET), (Trust::Likely, "likely.tlog")] {
            let Some(repair) = told(repair_on(&os, PATH, target, trust)) else { continue };
            assert!(!repair.to_string().is_empty());
            let after = verify_on(&os, target).expect("a repaired log is a log");
            assert!(after.is_clean() && after.tail.is_none(), "{after}");
            assert_eq!(after.readable.digest, repair.readable.digest);
            if report.is_clean() && report.tail.is_none() {
                assert!(repair.is_lossless() && after.readable.digest == report.readable.digest, "{repair}");
            }
        }
        assert_eq!(os.file(Path::new(PATH)).as_deref(), Some(first), "the log is only read");
        assert_eq!(os.file(Path::new(SECOND)).unwrap_or_default(), second, "the log is only read");
    });
}

fn told<T>(result: Result<T, Error>) -> Option<T> {
    result.inspect_err(|error| assert!(!error.to_string().is_empty())).ok()
}
