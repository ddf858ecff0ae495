//! A lineage tells the views of one state from those of all others.

use trialog_ops::{Direction, Op, Record, SessionId, SessionRef, StudyId};
use trialog_replay::{State, StudyView};

fn apply(state: &mut State, counter: u64, name: &str) -> StudyView {
    let op = Op::CreateStudy { name: name.to_owned(), directions: vec![Direction::Minimize], config: None };
    let session = SessionRef::Id(SessionId([1; 16]));
    state.apply(&Record { session, counter, ops: vec![op] }, &mut Vec::new());
    state.view(StudyId(0)).expect("the first study is never deleted")
}

#[test]
fn views_of_one_state_are_of_one_lineage() {
    let mut state = State::new();
    let before = apply(&mut state, 1, "a");
    let after = apply(&mut state, 2, "b");
    assert_eq!(before.lineage(), after.lineage());
    assert_eq!(before.lineage(), before.clone().lineage());
}

/// A clone and a replay of the same records stand where the original does, and may go on otherwise.
#[test]
fn clones_and_replays_are_of_their_own() {
    let mut state = State::new();
    let original = apply(&mut state, 1, "a");
    let clone = state.clone().view(StudyId(0)).expect("the clone has it");
    let replay = apply(&mut State::new(), 1, "a");
    assert_eq!((original.position(), original.position()), (clone.position(), replay.position()));
    assert_ne!(original.lineage(), clone.lineage());
    assert_ne!(original.lineage(), replay.lineage());
}
