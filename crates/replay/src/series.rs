//! One series of intermediate values over the trials of a study: the reports without a name, or those of one metric.

use trialog_ops::TrialNumber;

use crate::metric::Metric;
use crate::rank::RankList;
use crate::study::Study;

/// Which series of a study it is. Within one lineage of views, equal ids are one series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeriesId(Option<Option<u32>>);

/// What trials reported of one thing, and the order statistics of it.
#[derive(Clone, Copy, Debug)]
pub struct Series<'a> {
    study: &'a Study,
    which: Which<'a>,
}

#[derive(Clone, Copy, Debug)]
enum Which<'a> {
    Plain,
    Metric(u32, &'a Metric),
    /// Nobody has reported it yet.
    Unknown,
}

impl<'a> Series<'a> {
    pub(crate) fn of(study: &'a Study, metric: Option<&str>) -> Series<'a> {
        // The value of the only objective has no name in its reports; whoever uses the objective's name means it.
        let is_objective =
            |name: &str| study.metric_names.as_deref().is_some_and(|names| *names == [name.to_owned()]);
        let which = match metric {
            None => Which::Plain,
            Some(name) if is_objective(name) => Which::Plain,
            Some(name) => match study.metrics.slot(name) {
                Some(slot) => Which::Metric(slot, &study.metrics.list[slot as usize]),
                None => Which::Unknown,
            },
        };
        Series { study, which }
    }

    /// Which series it is, for those who keep work on it.
    #[must_use]
    pub fn id(self) -> SeriesId {
        SeriesId(match self.which {
            Which::Plain => Some(None),
            Which::Metric(slot, _) => Some(Some(slot)),
            Which::Unknown => None,
        })
    }

    /// What a trial reported, by rising step. A withdrawn trial has no reports.
    #[must_use]
    pub fn reports(self, number: TrialNumber) -> &'a [(u64, f64)] {
        let number = number.index();
        if self.study.trials.audit(number).is_some_and(|audit| audit.voided().is_some()) {
            return &[];
        }
        match self.which {
            Which::Plain => self.study.trials.reports(number),
            Which::Metric(slot, _) => self.study.metrics.reports(number, slot),
            Which::Unknown => &[],
        }
    }

    /// The largest step that a complete trial reported, whatever the value.
    #[must_use]
    pub fn last_complete_step(self) -> Option<u64> {
        match self.which {
            Which::Plain => self.study.last_complete_step(),
            Which::Metric(slot, _) => self.study.last_complete_step_of(slot),
            Which::Unknown => None,
        }
    }

    /// The values that complete trials reported at exactly this step.
    #[must_use]
    pub fn complete_at(self, step: u64) -> Option<&'a RankList> {
        let steps = match self.which {
            Which::Plain => &self.study.index.steps,
            Which::Metric(_, metric) => &metric.steps,
            Which::Unknown => return None,
        };
        steps.complete_at.get(step).map(AsRef::as_ref)
    }
}
