//! What lost records numbered at least, as far as the records behind them tell.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use trialog_codec::decode_record;
use trialog_ops::{Budget, MetricRef, Op, Param, ParamDef, ParamRef, Record};

use crate::error::Error;
use crate::source::{Seen, Source};
use crate::tracker::{Counts, Tracker, key_of, metric_key_of, metrics_of, params_of, study_of, trial_of};

/// For each loss, in the order of the log: what its records numbered at least, since records behind it name it.
pub(crate) fn missing(source: &Source) -> Result<Vec<Counts>, Error> {
    let mut search = Search::default();
    source.walk(&mut |seen| {
        match seen {
            Seen::Base(base) if base.counts => {
                search = Search { before: Tracker::from(base.state), ..Search::default() }
            }
            Seen::Base(_) | Seen::Copy { .. } | Seen::Other { .. } => {}
            Seen::Damage(damage) if damage.lost.is_empty() => {}
            Seen::Damage(_) => search.loss(),
            Seen::Record(found) => match decode_record(found.payload) {
                Ok(record) => search.record(&record),
                Err(_) => search.loss(),
            },
        }
        ControlFlow::Continue(())
    })?;
    Ok(search.finish())
}

/// What is given a number behind losses, as far as the records that are left tell.
#[derive(Default)]
struct Search {
    before: Tracker,
    given: Counts,
    missing: Vec<Counts>,
    deleted: BTreeSet<u32>,
    names: BTreeSet<String>,
    defs: BTreeSet<ParamDef>,
    metrics: BTreeSet<String>,
    /// True if what is lost decides how many trials the records that are left make: by a budget that refuses some, or
    /// by a loss of running trials that enqueues others.
    uncertain: bool,
}

impl Search {
    fn finish(mut self) -> Vec<Counts> {
        let limited = |view: trialog_replay::StudyView| *view.budget() != Budget::default();
        if self.uncertain || self.before.state.studies().any(limited) {
            // A study that may be missing rules out that anything is assumed about the rest.
            self.missing.iter_mut().for_each(|missing| missing.studies = missing.studies.max(1));
        }
        self.missing
    }

    fn loss(&mut self) {
        if self.missing.is_empty() {
            self.given = self.before.counts;
        }
        self.missing.push(Counts::default());
    }

    fn record(&mut self, record: &Record) {
        let Some(missing) = self.missing.last_mut() else {
            self.before.apply(record);
            return;
        };
        let raise = |given: &mut u64, missing: &mut u64, named: u64| {
            let more = named.saturating_add(1).saturating_sub(*given);
            *missing = missing.saturating_add(more);
            *given = given.saturating_add(more);
        };
        for op in &record.ops {
            if let Some(trial) = trial_of(op) {
                raise(&mut self.given.trials, &mut missing.trials, trial.0);
            }
            if let Some(study) = study_of(op) {
                raise(&mut self.given.studies, &mut missing.studies, study.0.into());
            }
            if let Some(key) = key_of(op) {
                raise(&mut self.given.params, &mut missing.params, key.into());
            }
            if let Some(key) = metric_key_of(op) {
                raise(&mut self.given.metrics, &mut missing.metrics, key.into());
            }
            // What replay rejects gets no number.
            match op {
                Op::CreateStudy { name, .. } => {
                    let known = self.before.state.study_id(name).filter(|id| !self.deleted.contains(&id.0));
                    let is_new = known.is_none() && self.names.insert(name.clone());
                    self.given.studies = self.given.studies.saturating_add(is_new.into());
                }
                Op::DeleteStudy { study } => {
                    self.deleted.insert(study.0);
                }
                Op::SetBudget { .. } | Op::DeclareLost { .. } => self.uncertain = true,
                Op::CreateTrial { study, .. } | Op::AddTrial { study, .. } => {
                    let is_living = !self.deleted.contains(&study.0);
                    self.given.trials = self.given.trials.saturating_add(is_living.into());
                }
                _ => {}
            }
            for Param { param, .. } in params_of(op) {
                if let ParamRef::Def(def) = param
                    && self.before.state.param_key(def).is_none()
                    && self.defs.insert((**def).clone())
                {
                    self.given.params = self.given.params.saturating_add(1);
                }
            }
            for metric in metrics_of(op) {
                if let MetricRef::Name(name) = metric
                    && self.before.state.metric_key(name).is_none()
                    && self.metrics.insert(name.clone())
                {
                    self.given.metrics = self.given.metrics.saturating_add(1);
                }
            }
        }
    }
}
