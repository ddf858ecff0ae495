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

/// Samplers keep work on finished trials by lineage, and begin anew when one of them is another one now.
#[test]
fn a_changed_trial_begins_a_lineage() {
    let mut state = State::new();
    let mut views = vec![apply(&mut state, 1, "a")];
    let log = "
        add 0 complete values 1 end 2
        void 0 by ada at 1 for bug
        void 0 by ada at 1 for bug
        unvoid 0 by ada at 1 for fine
        amend 0 values 2 by ada at 1 for unit
        undo 0 2 by ada at 1 for unit
    ";
    for (op, counter) in crate::table::ops(log).into_iter().zip(2..) {
        let session = SessionRef::Id(SessionId([1; 16]));
        state.apply(&Record { session, counter, ops: vec![op] }, &mut Vec::new());
        views.extend(state.view(StudyId(0)));
    }
    let begins = views.windows(2).map(|pair| pair[0].lineage() != pair[1].lineage());
    assert_eq!(begins.collect::<Vec<_>>(), [false, true, false, true, true, true]);
}
