//! A study made in a few lines: what the other tests give to samplers.

use trialog_ops::{
    Direction, Distribution, FinalState, Op, Param, ParamDef, ParamRef, Record, SessionId, SessionRef, StudyId,
    Timestamp, TrialId, TrialNumber, TrialState, TrialTemplate,
};
use trialog_replay::{State, StudyView, Verdict};

/// A log of one study.
pub(crate) struct Study {
    state: State,
    counter: u64,
}

impl Study {
    pub(crate) fn new(directions: &[Direction]) -> Study {
        let mut study = Study { state: State::new(), counter: 0 };
        study.apply(Op::CreateStudy { name: "s".to_owned(), directions: directions.to_vec(), config: None });
        study
    }

    pub(crate) fn minimize() -> Study {
        Study::new(&[Direction::Minimize])
    }

    /// A study as another process has it after a restart.
    pub(crate) fn restarted(&self) -> Study {
        let mut bytes = Vec::new();
        self.state.write_snapshot(&mut bytes);
        Study { state: State::read_snapshot(&bytes).unwrap(), counter: self.counter }
    }

    pub(crate) fn apply(&mut self, op: Op) {
        self.apply_by(7, op);
    }

    /// A record of one of several workers.
    pub(crate) fn apply_by(&mut self, worker: u8, op: Op) {
        self.counter += 1;
        let session = SessionRef::Id(SessionId([worker; 16]));
        let mut verdicts = Vec::new();
        self.state.apply(&Record { session, counter: self.counter, ops: vec![op] }, &mut verdicts);
        assert!(!verdicts.iter().any(|verdict| matches!(verdict, Verdict::Rejected(_))), "{verdicts:?}");
    }

    pub(crate) fn add(&mut self, template: TrialTemplate) {
        self.apply(Op::AddTrial { study: StudyId(0), template: Box::new(template) });
    }

    /// A running trial without parameters begins.
    pub(crate) fn begin(&mut self) -> TrialNumber {
        self.apply(Op::CreateTrial { study: StudyId(0), start: Timestamp(0) });
        TrialNumber(self.view().trial_count() as u32 - 1)
    }

    /// A running trial of a worker with a lease begins, and its worker is silent from then on.
    pub(crate) fn begin_silent(&mut self) -> TrialNumber {
        self.apply_by(9, Op::RenewLease { lease_ms: 1 });
        self.apply_by(9, Op::CreateTrial { study: StudyId(0), start: Timestamp(0) });
        TrialNumber(self.view().trial_count() as u32 - 1)
    }

    /// The silent worker is declared lost. What it sends yet is of lost trials.
    pub(crate) fn lose(&mut self) {
        let worker = self.state.worker_key(&SessionId([9; 16]).worker()).unwrap();
        let seen = self.state.worker(worker).unwrap().last;
        self.apply(Op::DeclareLost { worker, seen, end: Timestamp(2) });
    }

    /// Parameters of a running trial.
    pub(crate) fn set(&mut self, number: TrialNumber, params: &[(&str, &Distribution, f64)]) {
        let params = template(TrialState::Running, params).params;
        self.apply(Op::SetParams { trial: TrialId(number.0.into()), params });
    }

    /// The end of a running trial; it fails without values.
    pub(crate) fn end(&mut self, number: TrialNumber, values: &[f64]) {
        let state = if values.is_empty() { FinalState::Fail } else { FinalState::Complete };
        let (trial, values) = (TrialId(number.0.into()), values.to_vec());
        self.apply(Op::FinishTrial { trial, state, values, end: Timestamp(0) });
    }

    /// A complete trial.
    pub(crate) fn tell(&mut self, params: &[(&str, &Distribution, f64)], values: &[f64]) {
        let mut template = template(TrialState::Complete, params);
        template.values = values.to_vec();
        self.add(template);
    }

    pub(crate) fn view(&self) -> StudyView {
        self.state.view(StudyId(0)).unwrap()
    }
}

/// A trial in this state, without values.
pub(crate) fn template(state: TrialState, params: &[(&str, &Distribution, f64)]) -> TrialTemplate {
    let mut template = TrialTemplate::new(state);
    template.end = state.is_finished().then_some(Timestamp(1));
    template.params = params
        .iter()
        .map(|&(name, distribution, value)| {
            let def = ParamDef { name: name.to_owned(), distribution: distribution.clone() };
            Param { param: ParamRef::Def(Box::new(def)), value }
        })
        .collect();
    template
}
