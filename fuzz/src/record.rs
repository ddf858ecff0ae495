//! Record payloads, and what they do to a state.

use std::sync::OnceLock;

use trialog_codec::{decode_record, encode_record};
use trialog_ops::{
    Direction, Distribution, Op, Param, ParamDef, ParamRef, Record, SessionId, SessionRef, StudyId, Timestamp,
    TrialId, TrialState, TrialTemplate,
};
use trialog_replay::{State, Verdict};

use crate::look;
use crate::memory::in_proportion;

/// Reads a record; one that can be read is written, read again, and applied.
pub fn run(bytes: &[u8]) {
    in_proportion(bytes.len(), 2048, || match decode_record(bytes) {
        Ok(record) => {
            read_again(&record);
            let mut state = small_state().clone();
            let verdicts = apply(&mut state, &record);
            assert_eq!(verdicts.len(), record.ops.len(), "one verdict for each op");
            look::at(&state);
        }
        Err(error) => {
            assert!(error.offset() <= bytes.len(), "{error:?} is outside of the record");
            assert!(!error.to_string().is_empty());
        }
    });
}

pub(crate) fn apply(state: &mut State, record: &Record) -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    state.apply(record, &mut verdicts);
    verdicts
}

pub(crate) fn encoded(record: &Record) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_record(record, &mut bytes);
    bytes
}

/// NaNs make records unequal to themselves, so the bytes are compared, and the words.
fn read_again(record: &Record) {
    let bytes = encoded(record);
    let again = decode_record(&bytes).expect("what is written can be read");
    assert_eq!(bytes, encoded(&again), "the bytes of {record:?}");
    assert_eq!(format!("{record:?}"), format!("{again:?}"));
}

/// A study with a running, a waiting and a finished trial, which know a parameter.
pub(crate) fn small_state() -> &'static State {
    static STATE: OnceLock<State> = OnceLock::new();
    STATE.get_or_init(|| {
        let mut state = State::new();
        let session = SessionRef::Id(SessionId([7; 16]));
        apply(&mut state, &Record { session, counter: 1, ops: small_study() });
        state
    })
}

/// The ops of [`small_state`].
#[must_use]
pub fn small_study() -> Vec<Op> {
    let (study, at) = (StudyId(0), Timestamp(1));
    let distribution = Distribution::float(0.0, 1.0).expect("a range");
    let def = Box::new(ParamDef { name: "x".into(), distribution });
    let waiting = Box::new(TrialTemplate::new(TrialState::Waiting));
    let pruned = TrialTemplate { end: Some(at), reports: vec![(1, 0.5)], ..TrialTemplate::new(TrialState::Pruned) };
    vec![
        Op::CreateStudy { name: "s".into(), directions: vec![Direction::Minimize], config: None },
        Op::CreateTrial { study, start: at },
        Op::SetParams { trial: TrialId(0), params: vec![Param { param: ParamRef::Def(def), value: 0.5 }] },
        Op::AddTrial { study, template: waiting },
        Op::AddTrial { study, template: Box::new(pruned) },
    ]
}
