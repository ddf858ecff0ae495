//! Ops made of arbitrary bytes, applied to two states. One is given them as they are; the other one reads what was
//! written, and is itself written and read, or cloned, on the way.

use arbitrary::{Arbitrary, Result, Unstructured};
use trialog_codec::{DecodeError, decode_record};
use trialog_ops::{
    Amendment, Budget, Choice, ComponentSpec, Direction, Distribution, FinalState, FloatDistribution,
    IntDistribution, Json, MetricKey, MetricRef, MetricSeries, MetricValue, Note, Op, Param, ParamDef, ParamKey,
    ParamRef, Record, RetryPolicy, SessionId, SessionKey, SessionRef, StudyConfig, StudyId, Timestamp, TrialId,
    TrialState, TrialTemplate, WorkerKey,
};
use trialog_replay::State;

use crate::look;
use crate::memory::in_proportion;
use crate::record::{apply, encoded};
use crate::snapshot::written;

/// Applies the ops to both states and compares everything.
pub fn run(bytes: &[u8]) {
    // A byte may become a study or a distribution.
    in_proportion(bytes.len(), 8192, || {
        // The bytes are used up before an error could come.
        let _ = compare(&mut Unstructured::new(bytes));
    });
}

/// The records that the bytes are, without what else would be done on the way.
#[must_use]
pub fn records(bytes: &[u8]) -> Vec<Record> {
    let mut u = Unstructured::new(bytes);
    std::iter::from_fn(|| (!u.is_empty()).then(|| record(&mut u).ok()).flatten()).collect()
}

fn compare(u: &mut Unstructured<'_>) -> Result<()> {
    let (mut plain, mut travelled) = (State::new(), State::new());
    let mut views = Vec::new();
    while !u.is_empty() {
        let record = record(u)?;
        let copy = match decode_record(&encoded(&record)) {
            Ok(copy) => copy,
            // What no reader takes is applied all the same: that is total as well.
            Err(DecodeError::Invalid { .. }) => record.clone(),
            Err(error) => panic!("{record:?} cannot be read: {error}"),
        };
        assert_eq!(apply(&mut plain, &record), apply(&mut travelled, &copy), "{record:?}");
        match u.int_in_range(0..=15)? {
            0 => travelled = State::read_snapshot(&written(&travelled)).expect("what is written can be read"),
            1 => travelled = travelled.clone(),
            // Someone keeps a look at it, which must stay as it was.
            2 if views.len() < 8 => views.extend(travelled.studies().map(|view| (view.digest(), view))),
            _ => {}
        }
    }
    assert_eq!(look::at(&plain), look::at(&travelled));
    assert_eq!(written(&plain), written(&travelled), "the same records, the same snapshot");
    for (digest, view) in views {
        assert_eq!(digest, view.digest(), "a look never changes");
    }
    Ok(())
}

fn record(u: &mut Unstructured<'_>) -> Result<Record> {
    let number: u8 = u.int_in_range(0..=3)?;
    let session = match u.ratio(1, 4)? {
        true => SessionRef::Key(SessionKey(number.into())),
        false => SessionRef::Id(SessionId([number; 16])),
    };
    // Mostly new, sometimes a repetition.
    let counter = if u.ratio(7, 8)? { u.len_left() } else { u.int_in_range(0..=9)? };
    Ok(Record { session, counter, ops: some(u, 6, op)? })
}

/// Counters have to rise while the input gets shorter.
trait Left {
    fn len_left(&self) -> u64;
}

impl Left for Unstructured<'_> {
    fn len_left(&self) -> u64 {
        u64::from(u32::MAX) - self.len() as u64
    }
}

fn some<T>(u: &mut Unstructured<'_>, most: usize, one: fn(&mut Unstructured<'_>) -> Result<T>) -> Result<Vec<T>> {
    let count = u.int_in_range(0..=most)?;
    (0..count).map(|_| one(u)).collect()
}

fn op(u: &mut Unstructured<'_>) -> Result<Op> {
    Ok(match u.int_in_range(0..=34)? {
        0 => Op::CreateStudy { name: name(u)?, directions: some(u, 3, direction)?, config: option(u, config)? },
        1 => Op::DeleteStudy { study: study(u)? },
        2 => Op::SetStudyUserAttr { study: study(u)?, key: name(u)?, value: json(u)? },
        3 => Op::SetStudySystemAttr { study: study(u)?, key: name(u)?, value: json(u)? },
        4 => Op::SetMetricNames { study: study(u)?, names: some(u, 3, name)? },
        5 => Op::SetStudyConfig { study: study(u)?, config: config(u)? },
        6..=8 => Op::CreateTrial { study: study(u)?, start: time(u)? },
        9 | 10 => Op::AddTrial { study: study(u)?, template: Box::new(template(u)?) },
        11 => Op::ClaimTrial { trial: trial(u)?, start: time(u)? },
        12 => Op::RequeueTrial { trial: trial(u)? },
        13 | 14 => Op::SetParams { trial: trial(u)?, params: some(u, 4, param)? },
        15 => Op::RetractParams { trial: trial(u)?, params: some(u, 3, key)? },
        16 => Op::Report { trial: trial(u)?, step: step(u)?, value: float(u)? },
        17 => Op::ReportMetrics { trial: trial(u)?, step: step(u)?, values: some(u, 3, metric_value)? },
        18 | 19 => {
            let state = *u.choose(&[FinalState::Complete, FinalState::Pruned, FinalState::Fail])?;
            Op::FinishTrial { trial: trial(u)?, state, values: some(u, 3, float)?, end: time(u)? }
        }
        20 => Op::SetTrialUserAttr { trial: trial(u)?, key: name(u)?, value: json(u)? },
        21 => Op::SetTrialSystemAttr { trial: trial(u)?, key: name(u)?, value: json(u)? },
        22 => Op::SetConstraint { trial: trial(u)?, name: name(u)?, value: float(u)? },
        23 => {
            let max = |u: &mut Unstructured<'_>| u.int_in_range(0..=9);
            let budget = Budget { trials: option(u, max)?, finished: option(u, max)?, until: option(u, time)? };
            Op::SetBudget { study: study(u)?, budget }
        }
        24 => {
            let policy = RetryPolicy { retries_max: u.int_in_range(0..=101)?, inherit_reports: u.ratio(1, 2)? };
            Op::SetRetryPolicy { study: study(u)?, policy }
        }
        25 => Op::RenewLease { lease_ms: u.int_in_range(0..=2)? },
        26 | 27 => {
            let worker = WorkerKey(u.int_in_range(0..=4)?);
            Op::DeclareLost { worker, seen: u.int_in_range(0..=40)?, end: time(u)? }
        }
        28 | 29 => Op::VoidTrial { trial: trial(u)?, note: note(u)? },
        30 => Op::UnvoidTrial { trial: trial(u)?, note: note(u)? },
        31 => Op::AmendTrial { trial: trial(u)?, amendment: Box::new(amendment(u)?), note: note(u)? },
        32 => Op::UndoAmendment { trial: trial(u)?, change: u.int_in_range(0..=3)?, note: note(u)? },
        33 => Op::SampledAt { position: u64::arbitrary(u)? },
        _ => Op::Skipped { code: 0x80 | u8::arbitrary(u)? },
    })
}

fn note(u: &mut Unstructured<'_>) -> Result<Box<Note>> {
    Ok(Box::new(Note { by: name(u)?, at: time(u)?, reason: name(u)? }))
}

fn amendment(u: &mut Unstructured<'_>) -> Result<Amendment> {
    Ok(Amendment {
        state: option(u, |u| Ok(*u.choose(&[FinalState::Complete, FinalState::Pruned, FinalState::Fail])?))?,
        values: option(u, |u| some(u, 3, float))?,
        user_attrs: some(u, 2, |u| Ok((name(u)?, option(u, json)?)))?,
        constraints: some(u, 2, |u| Ok((name(u)?, option(u, float)?)))?,
    })
}

fn template(u: &mut Unstructured<'_>) -> Result<TrialTemplate> {
    Ok(TrialTemplate {
        state: *u.choose(&TrialState::ALL)?,
        values: some(u, 3, float)?,
        start: option(u, time)?,
        end: option(u, time)?,
        params: some(u, 3, param)?,
        reports: some(u, 3, |u| Ok((step(u)?, float(u)?)))?,
        user_attrs: some(u, 2, |u| Ok((name(u)?, json(u)?)))?,
        system_attrs: some(u, 2, |u| Ok((name(u)?, json(u)?)))?,
        constraints: some(u, 2, |u| Ok((name(u)?, float(u)?)))?,
        metrics: some(u, 2, |u| {
            Ok(MetricSeries { metric: metric(u)?, reports: some(u, 3, |u| Ok((step(u)?, float(u)?)))? })
        })?,
    })
}

fn metric(u: &mut Unstructured<'_>) -> Result<MetricRef> {
    Ok(if u.ratio(1, 3)? { MetricRef::Key(MetricKey(u.int_in_range(0..=3)?)) } else { MetricRef::Name(name(u)?) })
}

fn metric_value(u: &mut Unstructured<'_>) -> Result<MetricValue> {
    Ok(MetricValue { metric: metric(u)?, value: float(u)? })
}

fn option<T>(u: &mut Unstructured<'_>, one: fn(&mut Unstructured<'_>) -> Result<T>) -> Result<Option<T>> {
    u.ratio(1, 2)?.then(|| one(u)).transpose()
}

fn direction(u: &mut Unstructured<'_>) -> Result<Direction> {
    Ok(*u.choose(&[Direction::Minimize, Direction::Maximize])?)
}

fn study(u: &mut Unstructured<'_>) -> Result<StudyId> {
    u.int_in_range(0..=3).map(StudyId)
}

fn trial(u: &mut Unstructured<'_>) -> Result<TrialId> {
    u.int_in_range(0..=31).map(TrialId)
}

fn key(u: &mut Unstructured<'_>) -> Result<ParamKey> {
    u.int_in_range(0..=11).map(ParamKey)
}

fn name(u: &mut Unstructured<'_>) -> Result<String> {
    Ok((*u.choose(&["a", "b", "c", "größe", ""])?).to_owned())
}

fn time(u: &mut Unstructured<'_>) -> Result<Timestamp> {
    Ok(Timestamp(*u.choose(&[0, 1, -1, 1_767_268_800_000_000, i64::MIN, i64::MAX])?))
}

fn step(u: &mut Unstructured<'_>) -> Result<u64> {
    if u.ratio(7, 8)? { u.int_in_range(0..=9) } else { Ok(*u.choose(&[1 << 20, u64::MAX - 1, u64::MAX])?) }
}

fn float(u: &mut Unstructured<'_>) -> Result<f64> {
    let named = [0.0, -0.0, 0.5, 1.0, 2.0, -1.5, 5e-324, f64::MAX, f64::INFINITY, f64::NEG_INFINITY, f64::NAN];
    if u.ratio(7, 8)? { Ok(*u.choose(&named)?) } else { f64::arbitrary(u) }
}

fn json(u: &mut Unstructured<'_>) -> Result<Json> {
    let text = *u.choose(&["null", "1", "[NaN, {}]", "\"x\"", " {\"a\":-Infinity}"])?;
    Ok(Json::parse(text).expect("these are JSON"))
}

fn config(u: &mut Unstructured<'_>) -> Result<Box<StudyConfig>> {
    let part = |u: &mut Unstructured<'_>| {
        Ok(ComponentSpec { name: name(u)?, version: u.int_in_range(0..=2)?, options: json(u)? })
    };
    Ok(Box::new(StudyConfig { sampler: part(u)?, pruner: part(u)?, seed: u64::arbitrary(u)? }))
}

fn param(u: &mut Unstructured<'_>) -> Result<Param> {
    let param = match u.ratio(1, 2)? {
        true => ParamRef::Key(key(u)?),
        false => ParamRef::Def(Box::new(ParamDef { name: name(u)?, distribution: distribution(u)? })),
    };
    Ok(Param { param, value: float(u)? })
}

fn distribution(u: &mut Unstructured<'_>) -> Result<Distribution> {
    let (low, high, log) = (float(u)?, float(u)?, bool::arbitrary(u)?);
    let made = match u.int_in_range(0..=2)? {
        0 => FloatDistribution::new(low, high, log, option(u, float)?).map(Distribution::Float),
        1 => {
            let (low, high) = (low as i64, high as i64);
            IntDistribution::new(low, high, log, u.int_in_range(-1..=3)?).map(Distribution::Int)
        }
        _ => Distribution::categorical(some(u, 4, choice)?),
    };
    // One that cannot be is replaced by one that can.
    Ok(made.unwrap_or_else(|_| Distribution::int(0, 9).expect("a range")))
}

fn choice(u: &mut Unstructured<'_>) -> Result<Choice> {
    Ok(match u.int_in_range(0..=4)? {
        0 => Choice::Null,
        1 => Choice::Bool(bool::arbitrary(u)?),
        2 => Choice::Int(u.int_in_range(0..=2)?),
        3 => Choice::Float(float(u)?),
        _ => Choice::from(name(u)?.as_str()),
    })
}
