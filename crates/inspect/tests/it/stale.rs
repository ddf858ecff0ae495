//! A network client that keeps a page which is older than the file's length: what is said of a sound log does not depend
//! on it.

use trialog_inspect::{Moment, as_of_on, stat_on, verify_on};
use trialog_testkit::FakeOs;

use crate::logs::{LOG, Log, every_op, os_with};

/// A sound log whose bytes from record `first` to record `last` the machine has as zeros.
fn client(log: &Log, first: usize, last: usize, network: bool) -> FakeOs {
    let os = os_with(&log.bytes);
    if network {
        os.mount_network(None);
    }
    os.with_stale(log.bounds[first] as u64..log.bounds[last] as u64, true)
}

#[test]
fn what_a_client_has_kept_is_not_what_the_log_says() {
    let log = Log::new(every_op(0.0), 1);
    let all = log.records.len();
    let digest = log.state_at(all).digest();
    // In the midst of the log it looks like damage, at the end like a write that goes on.
    for (first, last) in [(2, 4), (all - 2, all)] {
        let stale = || client(&log, first, last, true);
        let report = verify_on(&stale(), LOG).unwrap();
        assert!(report.is_clean() && report.tail.is_none(), "{report}");
        assert_eq!(report.readable.digest, digest);
        assert_eq!(stat_on(&stale(), LOG).unwrap().readable.digest, digest);
        assert_eq!(as_of_on(&stale(), LOG, Moment::End).unwrap().digest(), digest);
    }
    // The canary: on a local file system what is read is what is there.
    assert!(!verify_on(&client(&log, 2, 4, false), LOG).unwrap().is_clean());
}
