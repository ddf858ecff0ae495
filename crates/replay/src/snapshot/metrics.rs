//! Named metrics on their way out of a snapshot.

use std::sync::Arc;

use trialog_ops::{METRIC_NAME_BYTES_MAX, MetricKey};

use super::payload::{Payload, Read};
use super::read::series;
use crate::metric::MetricTable;
use crate::study::Study;

/// The names of all metrics of the log.
pub(super) fn names(payload: &mut Payload<'_>, table: &mut MetricTable) -> Read<()> {
    for _ in 0..payload.length()? {
        let name = payload.text()?;
        let proper = (1..=METRIC_NAME_BYTES_MAX).contains(&name.len());
        payload.check(proper, "a metric has no name, or too long a one")?;
        let key = table.push(Arc::from(name)).filter(|key| key.0 < u32::MAX);
        payload.check(key.is_some(), "a metric is there twice")?;
    }
    Ok(())
}

/// The metrics of a study, in the order in which it met them, and what its trials reported of them.
pub(super) fn reports(payload: &mut Payload<'_>, study: &mut Study, table: &MetricTable) -> Read<()> {
    let count = payload.length()?;
    let metrics = &mut study.metrics;
    for _ in 0..count {
        let key = MetricKey(payload.u32()?);
        let name = table.get(key).ok_or_else(|| payload.damaged("a metric that was never named"))?;
        let before = metrics.list.len();
        metrics.meet(key, name);
        payload.check(metrics.list.len() > before, "a study has a metric twice")?;
    }
    let counts = payload.ints(study.trials.len)?;
    let total = counts.sum().ok_or_else(|| payload.damaged("more metrics than memory can hold"))?;
    let places = payload.ints(total)?;
    // An entry without a report has no byte of its own, and so their number is not to be believed before it is seen.
    let mut given = 0;
    let mut seen = vec![false; metrics.list.len()];
    let mut owners = counts.iter().enumerate().flat_map(|(number, count)| (0..count).map(move |_| number));
    series(payload, total, |payload, at, reports| {
        payload.check(at == given, "a metric without reports")?;
        given += 1;
        let place = usize::try_from(places.get(at)).unwrap_or(usize::MAX);
        let (Some(seen), Some(number)) = (seen.get_mut(place), owners.next()) else {
            return Err(payload.damaged("reports of a metric that the study does not have"));
        };
        *seen = true;
        let of = Arc::make_mut(metrics.trials.get_mut(number).get_or_insert_default());
        let place = place as u32;
        payload.check(of.last().is_none_or(|(last, _)| *last < place), "metrics out of order")?;
        of.push((place, reports));
        Ok(())
    })?;
    payload.check(given == total, "a metric without reports")?;
    payload.check(seen.iter().all(|&seen| seen), "a metric that no trial has")
}
