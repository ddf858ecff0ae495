//! A log of one study, made in a few lines: what the other tests show to pruners.

use trialog_ops::{
    Direction, FinalState, Op, Record, SessionId, SessionRef, StudyId, Timestamp, TrialId, TrialNumber,
    TrialTemplate,
};
use trialog_replay::{State, StudyView, Verdict};

#[derive(Clone)]
pub(crate) struct Study {
    pub(crate) state: State,
    counter: u64,
}

impl Study {
    pub(crate) fn new(name: &str, directions: &[Direction]) -> Study {
        let mut study = Study { state: State::new(), counter: 0 };
        let name = name.to_owned();
        study.apply(vec![Op::CreateStudy { name, directions: directions.to_vec(), config: None }]);
        study
    }

    pub(crate) fn minimize() -> Study {
        Study::new("s", &[Direction::Minimize])
    }

    /// All ops in one record.
    pub(crate) fn apply(&mut self, ops: Vec<Op>) {
        self.counter += 1;
        let session = SessionRef::Id(SessionId([7; 16]));
        let mut verdicts = Vec::new();
        self.state.apply(&Record { session, counter: self.counter, ops }, &mut verdicts);
        assert!(!verdicts.iter().any(|verdict| matches!(verdict, Verdict::Rejected(_))), "{verdicts:?}");
    }

    pub(crate) fn start(&mut self) -> TrialNumber {
        self.apply(vec![Op::CreateTrial { study: StudyId(0), start: Timestamp(0) }]);
        TrialNumber(self.view().trial_count() as u32 - 1)
    }

    pub(crate) fn report(&mut self, number: TrialNumber, step: u64, value: f64) {
        self.apply(vec![Op::Report { trial: id(number), step, value }]);
    }

    pub(crate) fn end(&mut self, number: TrialNumber, state: FinalState) {
        let values = if state == FinalState::Complete { vec![0.0; self.view().directions().len()] } else { vec![] };
        self.end_with(number, state, values);
    }

    pub(crate) fn end_with(&mut self, number: TrialNumber, state: FinalState, values: Vec<f64>) {
        self.apply(vec![Op::FinishTrial { trial: id(number), state, values, end: Timestamp(1) }]);
    }

    pub(crate) fn add(&mut self, template: TrialTemplate) {
        self.apply(vec![Op::AddTrial { study: StudyId(0), template: Box::new(template) }]);
    }

    /// A trial that reported these values at steps 0, 1, 2 and so on and then ended so.
    pub(crate) fn trial(&mut self, values: &[f64], state: FinalState) {
        let number = self.start();
        for (step, &value) in (0..).zip(values) {
            self.report(number, step, value);
        }
        self.end(number, state);
    }

    pub(crate) fn view(&self) -> StudyView {
        self.state.view(StudyId(0)).unwrap()
    }
}

/// In a log of one study a trial's id is its number.
pub(crate) fn id(number: TrialNumber) -> TrialId {
    TrialId(number.0.into())
}
