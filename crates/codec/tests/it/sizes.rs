//! How many bytes things take, and how much memory hostile lengths get.

use trialog_codec::encode_record;
use trialog_ops::{FinalState, MetricKey, MetricRef, MetricValue, Op, Record, TrialId};

use crate::samples;

/// What a frame of a file journal adds to a payload.
const FRAME_BYTES: usize = 24;

fn record_bytes(ops: Vec<Op>) -> usize {
    let mut out = Vec::new();
    encode_record(&Record { session: samples::key(3), counter: 60_000, ops }, &mut out);
    out.len()
}

fn op_bytes(op: &Op) -> usize {
    let head = record_bytes(vec![]);
    record_bytes(vec![op.clone()]) - head
}

#[test]
fn a_finished_trial_of_five_floats_stays_under_200_bytes() {
    // A study well under way: trial ids and counters of three bytes each.
    let trial = TrialId(50_000);
    let params = (0..5).map(|key| samples::keyed(key, 0.123)).collect();
    let finish = Op::FinishTrial { trial, state: FinalState::Complete, values: vec![0.5], end: samples::NOON };
    let ops = [samples::create_trial(0), Op::SetParams { trial, params }, finish];
    let payloads: usize = ops.into_iter().map(|op| record_bytes(vec![op])).sum();
    assert_eq!(payloads, 100);
    assert!(payloads + 3 * FRAME_BYTES < 200);
}

#[test]
fn the_common_ops_are_small() {
    assert_eq!(op_bytes(&samples::create_trial(0)), 11);
    assert_eq!(op_bytes(&samples::finish()), 21);
    assert_eq!(op_bytes(&samples::set_params(&[])), 4);
    assert_eq!(op_bytes(&samples::set_params(&[0])), 4 + 9);
    assert_eq!(op_bytes(&Op::Report { trial: TrialId(7), step: 3, value: 0.5 }), 12);
    let metric = |key, value| MetricValue { metric: MetricRef::Key(MetricKey(key)), value };
    let values = vec![metric(0, 0.5), metric(1, 0.25)];
    assert_eq!(op_bytes(&Op::ReportMetrics { trial: TrialId(7), step: 3, values }), 5 + 2 * 9);
}
