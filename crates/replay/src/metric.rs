//! The named metrics of a study: what each trial reported of them, and the order statistics of each.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use trialog_ops::{METRIC_NAME_BYTES_MAX, MetricKey, MetricRef};

use crate::column::Column;
use crate::index::StepIndex;
use crate::reports::Reports;
use crate::verdict::Reason;

/// What is wrong with the names of metrics that one op has, if anything is.
#[must_use]
pub fn metrics_fault<'a>(names: impl IntoIterator<Item = &'a str>) -> Option<Reason> {
    let mut seen = BTreeSet::new();
    names.into_iter().find_map(|name| {
        let detail = if name.is_empty() {
            "a name is empty"
        } else if name.len() > METRIC_NAME_BYTES_MAX {
            "a name is longer than 250 bytes"
        } else if !seen.insert(name) {
            "one is there twice"
        } else {
            return None;
        };
        Some(Reason::BadMetrics { detail })
    })
}

/// The log's metrics by key.
#[derive(Clone, Debug, Default)]
pub(crate) struct MetricTable {
    pub(crate) names: Vec<Arc<str>>,
    keys: BTreeMap<Arc<str>, MetricKey>,
}

impl MetricTable {
    pub(crate) fn get(&self, key: MetricKey) -> Option<&Arc<str>> {
        self.names.get(key.0 as usize)
    }

    pub(crate) fn key(&self, name: &str) -> Option<MetricKey> {
        self.keys.get(name).copied()
    }

    /// An op's metrics are all taken or none: everything that could be wrong with them is found here.
    pub(crate) fn check<'a>(&'a self, metrics: impl ExactSizeIterator<Item = &'a MetricRef>) -> Result<(), Reason> {
        // Room for the names that the op may add.
        let most = self.names.len() + metrics.len();
        let name = |metric: &'a MetricRef| match metric {
            MetricRef::Key(key) => self.get(*key).map(AsRef::as_ref).ok_or(Reason::NoMetric),
            MetricRef::Name(name) => Ok(name.as_str()),
        };
        let names: Vec<&str> = metrics.map(name).collect::<Result<_, _>>()?;
        if let Some(reason) = metrics_fault(names) {
            return Err(reason);
        }
        if u32::try_from(most).is_ok_and(|most| most < u32::MAX) { Ok(()) } else { Err(Reason::Full) }
    }

    /// The key and name of a metric that was checked, which becomes known if it was not.
    pub(crate) fn define(&mut self, metric: &MetricRef) -> Result<(MetricKey, Arc<str>), Reason> {
        let name = match metric {
            MetricRef::Key(key) => return Ok((*key, Arc::clone(self.get(*key).ok_or(Reason::NoMetric)?))),
            MetricRef::Name(name) => name,
        };
        if let Some((name, key)) = self.keys.get_key_value(name.as_str()) {
            return Ok((*key, Arc::clone(name)));
        }
        let name: Arc<str> = Arc::from(name.as_str());
        Ok((self.push(Arc::clone(&name)).ok_or(Reason::Full)?, name))
    }

    /// Gives a name the next key; none if it has one.
    pub(crate) fn push(&mut self, name: Arc<str>) -> Option<MetricKey> {
        let key = MetricKey(u32::try_from(self.names.len()).ok()?);
        if self.keys.insert(Arc::clone(&name), key).is_some() {
            return None;
        }
        self.names.push(name);
        Some(key)
    }
}

/// One metric of a study.
#[derive(Clone, Debug)]
pub(crate) struct Metric {
    pub(crate) name: Arc<str>,
    pub(crate) key: MetricKey,
    pub(crate) steps: StepIndex,
}

/// What one trial reported, by the metrics' places in the study.
pub(crate) type OfTrial = Vec<(u32, Arc<Reports>)>;

/// All metrics of a study, in the order in which it met them.
///
/// Reports lie by trial, so that a trial's end costs what the trial reported, however many metrics there are.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    pub(crate) list: Vec<Arc<Metric>>,
    slots: Arc<BTreeMap<Arc<str>, u32>>,
    pub(crate) trials: Column<Option<Arc<OfTrial>>>,
}

impl Metrics {
    pub(crate) fn new() -> Metrics {
        Metrics { list: Vec::new(), slots: Arc::default(), trials: Column::new(None) }
    }

    /// The place of a metric that the study has met.
    pub(crate) fn slot(&self, name: &str) -> Option<u32> {
        self.slots.get(name).copied()
    }

    /// The place of a metric, which gets one if it has none.
    pub(crate) fn meet(&mut self, key: MetricKey, name: &Arc<str>) -> u32 {
        if let Some(slot) = self.slot(name) {
            return slot;
        }
        let slot = self.list.len() as u32;
        Arc::make_mut(&mut self.slots).insert(Arc::clone(name), slot);
        self.list.push(Arc::new(Metric { name: Arc::clone(name), key, steps: StepIndex::new() }));
        slot
    }

    /// The metrics by name.
    pub(crate) fn by_name(&self) -> impl Iterator<Item = (&str, u32)> {
        self.slots.iter().map(|(name, slot)| (&**name, *slot))
    }

    /// What a trial reported, by place.
    pub(crate) fn of(&self, number: usize) -> &[(u32, Arc<Reports>)] {
        self.trials.get(number).as_ref().map_or(&[], |of| of.as_slice())
    }

    /// What a trial reported of one metric, by rising step.
    pub(crate) fn reports(&self, number: usize, slot: u32) -> &[(u64, f64)] {
        let of = self.of(number);
        of.binary_search_by_key(&slot, |(slot, _)| *slot).map_or(&[], |at| of[at].1.as_slice())
    }

    pub(crate) fn report(&mut self, number: usize, slot: u32, step: u64, value: f64) {
        let of = Arc::make_mut(self.trials.get_mut(number).get_or_insert_default());
        let at = match of.binary_search_by_key(&slot, |(slot, _)| *slot) {
            Ok(at) => at,
            Err(at) => {
                of.insert(at, (slot, Arc::default()));
                at
            }
        };
        Arc::make_mut(&mut of[at].1).report(step, value);
    }

    /// Lets a trial begin with what another one reported.
    pub(crate) fn inherit(&mut self, number: usize, from: usize) {
        if let Some(of) = self.trials.get(from).clone() {
            self.trials.set(number, Some(of));
        }
    }

    /// Does something to the order statistics of each metric that the trial reported.
    pub(crate) fn each(&mut self, number: usize, mut change: impl FnMut(&mut StepIndex, &[(u64, f64)])) {
        let Some(of) = self.trials.get(number) else { return };
        for (slot, reports) in of.iter() {
            change(&mut Arc::make_mut(&mut self.list[*slot as usize]).steps, reports.as_slice());
        }
    }
}
