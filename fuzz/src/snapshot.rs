//! Snapshots. What follows the last section are records, each behind two bytes of length, that are applied to the
//! state when the snapshot was read.

use trialog_codec::decode_record;
use trialog_ops::{
    Amendment, FinalState, MetricRef, MetricValue, Note, Op, ParamKey, Record, SessionId, SessionRef, StudyId,
    Timestamp, TrialId,
};
use trialog_replay::State;

use crate::memory::in_proportion;
use crate::record::apply;
use crate::{look, mend};

/// Reads a snapshot, writes it again, looks at all that it says, and goes on from it.
pub fn run(bytes: &[u8]) {
    in_proportion(bytes.len(), 2048, || {
        let end = mend::sections(bytes, 0).last().map_or(bytes.len(), |last| last.end);
        let (snapshot, tail) = bytes.split_at(end);
        assert!(tail.is_empty() || State::read_snapshot(bytes).is_err(), "nothing may follow a snapshot");
        match State::read_snapshot(snapshot) {
            Ok(state) => go_on(state, snapshot, tail),
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    });
}

pub(crate) fn written(state: &State) -> Vec<u8> {
    let mut bytes = Vec::new();
    state.write_snapshot(&mut bytes);
    bytes
}

fn go_on(mut state: State, snapshot: &[u8], tail: &[u8]) {
    // The first version is read and no longer written.
    if mend::u32_at(snapshot, 8) != Some(1) {
        assert_eq!(written(&state), snapshot, "there is one way only to write a state");
    }
    let mut other = State::read_snapshot(snapshot).expect("it was read before");
    assert_eq!(look::at(&state), look::at(&other));
    for record in records(tail).into_iter().chain([one_of_each(&state)]) {
        assert_eq!(apply(&mut state, &record), apply(&mut other, &record));
    }
    let digest = look::at(&state);
    assert_eq!(digest, other.digest());
    let again = State::read_snapshot(&written(&state)).expect("what is written can be read");
    assert_eq!(digest, look::at(&again));
}

fn records(mut bytes: &[u8]) -> Vec<Record> {
    let mut found = Vec::new();
    while let Some((len, rest)) = bytes.split_first_chunk() {
        let (record, after) = rest.split_at(usize::from(u16::from_le_bytes(*len)).min(rest.len()));
        found.extend(decode_record(record));
        bytes = after;
    }
    found
}

/// What can happen to the first trials and studies, whatever their states: all of it.
fn one_of_each(state: &State) -> Record {
    let mut ops = Vec::new();
    for trial in (0..8).map(TrialId) {
        let at = Timestamp(3);
        ops.push(Op::ClaimTrial { trial, start: at });
        ops.push(Op::Report { trial, step: 2, value: 0.25 });
        let metric = MetricRef::Name("m".into());
        ops.push(Op::ReportMetrics { trial, step: 2, values: vec![MetricValue { metric, value: 0.25 }] });
        ops.push(Op::RetractParams { trial, params: vec![ParamKey(0)] });
        ops.push(Op::SetConstraint { trial, name: "c".into(), value: -1.0 });
        let study = state.trial(trial).and_then(|(study, _)| state.view(study));
        let values = study.map_or(Vec::new(), |study| vec![0.125; study.directions().len()]);
        ops.push(Op::FinishTrial { trial, state: FinalState::Complete, values, end: at });
        let note = || Box::new(Note { by: "f".into(), at, reason: "r".into() });
        let amendment = Box::new(Amendment { user_attrs: vec![("a".into(), None)], ..Amendment::default() });
        ops.push(Op::UnvoidTrial { trial, note: note() });
        ops.push(Op::AmendTrial { trial, amendment, note: note() });
        ops.push(Op::UndoAmendment { trial, change: 0, note: note() });
        ops.push(Op::VoidTrial { trial, note: note() });
    }
    for study in (0..4).map(StudyId) {
        ops.push(Op::CreateTrial { study, start: Timestamp(4) });
    }
    ops.push(Op::DeleteStudy { study: StudyId(0) });
    Record { session: SessionRef::Id(SessionId([9; 16])), counter: u64::MAX, ops }
}
