//! The bodies of the ops: one private struct per shape, whose field order is the format, and the conversions
//! by hand between them and [`Op`], so that the vocabulary stays free to change.

use bincode::de::BorrowDecode;
use bincode::enc::{Encode, Encoder};
use bincode::error::{DecodeError, EncodeError};
use trialog_ops::{
    Amendment, Budget, Direction, FinalState, Json, MetricKey, MetricRef, MetricSeries, MetricValue, Note, Op,
    Param, ParamKey, ParamRef, RetryPolicy, StudyConfig, StudyId, Timestamp, TrialId, TrialState, TrialTemplate,
    WorkerKey,
};

use crate::table::code;
use crate::wire::{Bytes, BytesDecoder, Form, Many, One, Time, final_state, keyed};

#[derive(bincode::Encode, bincode::BorrowDecode)]
struct CreateStudy<'a> {
    name: &'a str,
    directions: Many<'a, Direction>,
    config: Option<One<'a, StudyConfig>>,
}

#[derive(bincode::Encode, bincode::BorrowDecode)]
struct SetMetricNames<'a> {
    study: u32,
    names: Many<'a, String>,
}

#[derive(bincode::Encode, bincode::BorrowDecode)]
struct SetStudyConfig<'a> {
    study: u32,
    config: One<'a, StudyConfig>,
}

#[derive(bincode::Encode, bincode::BorrowDecode)]
struct StudyAttr<'a> {
    study: u32,
    key: &'a str,
    value: One<'a, Json>,
}

#[derive(bincode::Encode, bincode::BorrowDecode)]
struct CreateTrial {
    study: u32,
    start: Time,
}

#[derive(bincode::Encode, bincode::BorrowDecode)]
struct AddTrial<'a> {
    study: u32,
    state: One<'a, TrialState>,
    values: Many<'a, f64>,
    start: Option<Time>,
    end: Option<Time>,
    params: Many<'a, Param>,
    reports: Many<'a, (u64, f64)>,
    user_attrs: Many<'a, (String, Json)>,
    system_attrs: Many<'a, (String, Json)>,
    constraints: Many<'a, (String, f64)>,
}

#[derive(bincode::Encode, bincode::BorrowDecode)]
struct ClaimTrial {
    trial: u64,
    start: Time,
}

#[derive(bincode::Encode, bincode::BorrowDecode)]
struct SetParams<'a> {
    trial: u64,
    params: Many<'a, Param>,
}

#[derive(bincode::Encode, bincode::BorrowDecode)]
struct RetractParams<'a> {
    trial: u64,
    params: Many<'a, ParamKey>,
}

#[derive(bincode::Encode, bincode::BorrowDecode)]
struct Report {
    trial: u64,
    step: u64,
    value: f64,
}

#[derive(bincode::Encode, bincode::BorrowDecode)]
struct ReportMetrics<'a> {
    trial: u64,
    step: u64,
    values: Many<'a, MetricValue>,
}

#[derive(bincode::Encode, bincode::BorrowDecode)]
struct FinishTrial<'a> {
    trial: u64,
    state: One<'a, FinalState>,
    values: Many<'a, f64>,
    end: Time,
}

#[derive(bincode::Encode, bincode::BorrowDecode)]
struct TrialAttr<'a> {
    trial: u64,
    key: &'a str,
    value: One<'a, Json>,
}

#[derive(bincode::Encode, bincode::BorrowDecode)]
struct SetConstraint<'a> {
    trial: u64,
    name: &'a str,
    value: One<'a, f64>,
}

#[derive(bincode::Encode, bincode::BorrowDecode)]
struct SetBudget {
    study: u32,
    trials: Option<u64>,
    finished: Option<u64>,
    until: Option<Time>,
}

#[derive(bincode::Encode, bincode::BorrowDecode)]
struct SetRetryPolicy {
    study: u32,
    retries_max: u32,
    inherit_reports: bool,
}

#[derive(bincode::Encode, bincode::BorrowDecode)]
struct DeclareLost {
    worker: u32,
    seen: u64,
    end: Time,
}

#[derive(bincode::Encode, bincode::BorrowDecode)]
struct NoteBody<'a> {
    by: &'a str,
    at: Time,
    reason: &'a str,
}

impl<'a> From<&'a Note> for NoteBody<'a> {
    fn from(note: &'a Note) -> NoteBody<'a> {
        NoteBody { by: &note.by, at: note.at.into(), reason: &note.reason }
    }
}

impl From<NoteBody<'_>> for Box<Note> {
    fn from(body: NoteBody<'_>) -> Box<Note> {
        Box::new(Note { by: body.by.to_owned(), at: body.at.into(), reason: body.reason.to_owned() })
    }
}

#[derive(bincode::Encode, bincode::BorrowDecode)]
struct VoidTrial<'a> {
    trial: u64,
    note: NoteBody<'a>,
}

#[derive(bincode::Encode, bincode::BorrowDecode)]
struct AmendTrial<'a> {
    trial: u64,
    state: Option<One<'a, FinalState>>,
    values: Option<Many<'a, f64>>,
    user_attrs: Many<'a, (String, Option<Json>)>,
    constraints: Many<'a, (String, Option<f64>)>,
    note: NoteBody<'a>,
}

#[derive(bincode::Encode, bincode::BorrowDecode)]
struct UndoAmendment<'a> {
    trial: u64,
    change: u32,
    note: NoteBody<'a>,
}

/// Writes an op's body. Allocates nothing beyond the output.
pub(crate) fn encode<E: Encoder>(op: &Op, e: &mut E) -> Result<(), EncodeError> {
    match op {
        Op::CreateStudy { name, directions, config } => {
            CreateStudy { name, directions: Many::of(directions), config: config.as_deref().map(One::of) }.encode(e)
        }
        Op::DeleteStudy { study } => study.0.encode(e),
        Op::SetStudyUserAttr { study, key, value } | Op::SetStudySystemAttr { study, key, value } => {
            StudyAttr { study: study.0, key, value: One::of(value) }.encode(e)
        }
        Op::SetMetricNames { study, names } => SetMetricNames { study: study.0, names: Many::of(names) }.encode(e),
        Op::SetStudyConfig { study, config } => {
            SetStudyConfig { study: study.0, config: One::of(&**config) }.encode(e)
        }
        Op::CreateTrial { study, start } => CreateTrial { study: study.0, start: (*start).into() }.encode(e),
        Op::AddTrial { study, template } => AddTrial {
            study: study.0,
            state: One::of(&template.state),
            values: Many::of(&template.values),
            start: template.start.map(Time::from),
            end: template.end.map(Time::from),
            params: Many::of(&template.params),
            reports: Many::of(&template.reports),
            user_attrs: Many::of(&template.user_attrs),
            system_attrs: Many::of(&template.system_attrs),
            constraints: Many::of(&template.constraints),
        }
        .encode(e)
        .and_then(|()| match &*template.metrics {
            [] => Ok(()),
            metrics => Many::of(metrics).encode(e),
        }),
        Op::ClaimTrial { trial, start } => ClaimTrial { trial: trial.0, start: (*start).into() }.encode(e),
        Op::RequeueTrial { trial } => trial.0.encode(e),
        Op::SetParams { trial, params } => SetParams { trial: trial.0, params: Many::of(params) }.encode(e),
        Op::RetractParams { trial, params } => RetractParams { trial: trial.0, params: Many::of(params) }.encode(e),
        Op::Report { trial, step, value } => Report { trial: trial.0, step: *step, value: *value }.encode(e),
        Op::ReportMetrics { trial, step, values } => {
            ReportMetrics { trial: trial.0, step: *step, values: Many::of(values) }.encode(e)
        }
        Op::FinishTrial { trial, state, values, end } => {
            let (state, values) = (One::of(state), Many::of(values));
            FinishTrial { trial: trial.0, state, values, end: (*end).into() }.encode(e)
        }
        Op::SetTrialUserAttr { trial, key, value } | Op::SetTrialSystemAttr { trial, key, value } => {
            TrialAttr { trial: trial.0, key, value: One::of(value) }.encode(e)
        }
        Op::SetConstraint { trial, name, value } => {
            SetConstraint { trial: trial.0, name, value: One::of(value) }.encode(e)
        }
        Op::SetBudget { study, budget } => {
            let Budget { trials, finished, until } = *budget;
            SetBudget { study: study.0, trials, finished, until: until.map(Time::from) }.encode(e)
        }
        Op::SetRetryPolicy { study, policy } => {
            let RetryPolicy { retries_max, inherit_reports } = *policy;
            SetRetryPolicy { study: study.0, retries_max, inherit_reports }.encode(e)
        }
        Op::RenewLease { lease_ms } => lease_ms.encode(e),
        Op::DeclareLost { worker, seen, end } => {
            DeclareLost { worker: worker.0, seen: *seen, end: (*end).into() }.encode(e)
        }
        Op::VoidTrial { trial, note } | Op::UnvoidTrial { trial, note } => {
            VoidTrial { trial: trial.0, note: (&**note).into() }.encode(e)
        }
        Op::AmendTrial { trial, amendment, note } => AmendTrial {
            trial: trial.0,
            state: amendment.state.as_ref().map(One::of),
            values: amendment.values.as_deref().map(Many::of),
            user_attrs: Many::of(&amendment.user_attrs),
            constraints: Many::of(&amendment.constraints),
            note: (&**note).into(),
        }
        .encode(e),
        Op::UndoAmendment { trial, change, note } => {
            UndoAmendment { trial: trial.0, change: *change, note: (&**note).into() }.encode(e)
        }
        Op::SampledAt { position } => position.encode(e),
        Op::Skipped { .. } => Ok(()),
    }
}

/// Reads one of the five ops that a log consists of, as it nearly always looks: bincode takes twice as long
/// over them. `None` where anything is unusual or wrong: [`decode`] then reads the body again, and is the only
/// one to say what an error is. Whatever this function accepts, that one reads as the same op.
#[inline]
pub(crate) fn decode_plain(code: u8, b: &mut Bytes<'_>, ops: &mut Vec<Op>) -> Option<()> {
    match code {
        code::CREATE_TRIAL => {
            let study = StudyId(b.short_varint()?.try_into().ok()?);
            ops.push(Op::CreateTrial { study, start: time(b)? });
        }
        code::SET_PARAMS => {
            let trial = TrialId(b.short_varint()?);
            let params = plain_sequence(b, Param::BYTES_MIN, |b| {
                let key = keyed::key(b.short_varint()?).ok()?;
                Some(Param { param: ParamRef::Key(ParamKey(key)), value: number(b)? })
            })?;
            ops.push(Op::SetParams { trial, params });
        }
        code::REPORT => {
            let (trial, step) = (TrialId(b.short_varint()?), b.short_varint()?);
            ops.push(Op::Report { trial, step, value: f64::from_le_bytes(b.array()?) });
        }
        code::REPORT_METRICS => {
            let (trial, step) = (TrialId(b.short_varint()?), b.short_varint()?);
            let values = plain_sequence(b, MetricValue::BYTES_MIN, |b| {
                let key = keyed::key(b.short_varint()?).ok()?;
                Some(MetricValue { metric: MetricRef::Key(MetricKey(key)), value: f64::from_le_bytes(b.array()?) })
            })?;
            ops.push(Op::ReportMetrics { trial, step, values });
        }
        code::FINISH_TRIAL => {
            let (trial, [state]) = (TrialId(b.short_varint()?), b.array()?);
            let state = final_state(state)?;
            let values = plain_sequence(b, f64::BYTES_MIN, number)?;
            ops.push(Op::FinishTrial { trial, state, values, end: time(b)? });
        }
        _ => return None,
    }
    Some(())
}

#[inline]
fn plain_sequence<T>(
    b: &mut Bytes<'_>,
    bytes_min: usize,
    mut element: impl FnMut(&mut Bytes<'_>) -> Option<T>,
) -> Option<Vec<T>> {
    let count = usize::try_from(b.short_varint()?).ok()?;
    if count > b.rest() / bytes_min {
        return None;
    }
    let mut values = Vec::with_capacity(count);
    for _ in 0..count {
        values.push(element(b)?);
    }
    Some(values)
}

#[inline]
fn number(b: &mut Bytes<'_>) -> Option<f64> {
    let value = f64::from_le_bytes(b.array()?);
    (!value.is_nan()).then_some(value)
}

#[inline]
fn time(b: &mut Bytes<'_>) -> Option<Timestamp> {
    Some(Timestamp(i64::from_le_bytes(b.array()?)))
}

/// Reads the body of the op with this code; `None` if there is no such op.
pub(crate) fn decode(code: u8, d: &mut BytesDecoder<'_>) -> Result<Option<Op>, DecodeError> {
    Ok(Some(match code {
        code::CREATE_STUDY => {
            let body = CreateStudy::borrow_decode(d)?;
            Op::CreateStudy {
                name: body.name.to_owned(),
                directions: body.directions.into_inner(),
                config: body.config.map(|config| Box::new(config.into_inner())),
            }
        }
        code::DELETE_STUDY => Op::DeleteStudy { study: StudyId(u32::borrow_decode(d)?) },
        code::SET_STUDY_USER_ATTR => {
            let (study, key, value) = study_attr(d)?;
            Op::SetStudyUserAttr { study, key, value }
        }
        code::SET_STUDY_SYSTEM_ATTR => {
            let (study, key, value) = study_attr(d)?;
            Op::SetStudySystemAttr { study, key, value }
        }
        code::SET_METRIC_NAMES => {
            let body = SetMetricNames::borrow_decode(d)?;
            Op::SetMetricNames { study: StudyId(body.study), names: body.names.into_inner() }
        }
        code::SET_STUDY_CONFIG => {
            let body = SetStudyConfig::borrow_decode(d)?;
            Op::SetStudyConfig { study: StudyId(body.study), config: Box::new(body.config.into_inner()) }
        }
        code::CREATE_TRIAL => {
            let body = CreateTrial::borrow_decode(d)?;
            Op::CreateTrial { study: StudyId(body.study), start: body.start.into() }
        }
        code::ADD_TRIAL => add_trial(d, |_| Ok(Vec::new()))?,
        code::ADD_TRIAL_METRICS => add_trial(d, |d| Ok(Many::borrow_decode(d)?.into_inner()))?,
        code::CLAIM_TRIAL => {
            let body = ClaimTrial::borrow_decode(d)?;
            Op::ClaimTrial { trial: TrialId(body.trial), start: body.start.into() }
        }
        code::REQUEUE_TRIAL => Op::RequeueTrial { trial: TrialId(u64::borrow_decode(d)?) },
        code::SET_PARAMS => {
            let body = SetParams::borrow_decode(d)?;
            Op::SetParams { trial: TrialId(body.trial), params: body.params.into_inner() }
        }
        code::RETRACT_PARAMS => {
            let body = RetractParams::borrow_decode(d)?;
            Op::RetractParams { trial: TrialId(body.trial), params: body.params.into_inner() }
        }
        code::REPORT => {
            let body = Report::borrow_decode(d)?;
            Op::Report { trial: TrialId(body.trial), step: body.step, value: body.value }
        }
        code::REPORT_METRICS => {
            let body = ReportMetrics::borrow_decode(d)?;
            Op::ReportMetrics { trial: TrialId(body.trial), step: body.step, values: body.values.into_inner() }
        }
        code::FINISH_TRIAL => {
            let body = FinishTrial::borrow_decode(d)?;
            Op::FinishTrial {
                trial: TrialId(body.trial),
                state: body.state.into_inner(),
                values: body.values.into_inner(),
                end: body.end.into(),
            }
        }
        code::SET_TRIAL_USER_ATTR => {
            let (trial, key, value) = trial_attr(d)?;
            Op::SetTrialUserAttr { trial, key, value }
        }
        code::SET_TRIAL_SYSTEM_ATTR => {
            let (trial, key, value) = trial_attr(d)?;
            Op::SetTrialSystemAttr { trial, key, value }
        }
        code::SET_CONSTRAINT => {
            let body = SetConstraint::borrow_decode(d)?;
            Op::SetConstraint {
                trial: TrialId(body.trial),
                name: body.name.to_owned(),
                value: body.value.into_inner(),
            }
        }
        code::SET_BUDGET => {
            let SetBudget { study, trials, finished, until } = SetBudget::borrow_decode(d)?;
            let budget = Budget { trials, finished, until: until.map(Into::into) };
            Op::SetBudget { study: StudyId(study), budget }
        }
        code::SET_RETRY_POLICY => {
            let SetRetryPolicy { study, retries_max, inherit_reports } = SetRetryPolicy::borrow_decode(d)?;
            Op::SetRetryPolicy { study: StudyId(study), policy: RetryPolicy { retries_max, inherit_reports } }
        }
        code::SAMPLED_AT => Op::SampledAt { position: u64::borrow_decode(d)? },
        code::RENEW_LEASE => Op::RenewLease { lease_ms: u64::borrow_decode(d)? },
        code::DECLARE_LOST => {
            let DeclareLost { worker, seen, end } = DeclareLost::borrow_decode(d)?;
            Op::DeclareLost { worker: WorkerKey(worker), seen, end: end.into() }
        }
        code::VOID_TRIAL => {
            let VoidTrial { trial, note } = VoidTrial::borrow_decode(d)?;
            Op::VoidTrial { trial: TrialId(trial), note: note.into() }
        }
        code::UNVOID_TRIAL => {
            let VoidTrial { trial, note } = VoidTrial::borrow_decode(d)?;
            Op::UnvoidTrial { trial: TrialId(trial), note: note.into() }
        }
        code::AMEND_TRIAL => {
            let body = AmendTrial::borrow_decode(d)?;
            let amendment = Amendment {
                state: body.state.map(One::into_inner),
                values: body.values.map(Many::into_inner),
                user_attrs: body.user_attrs.into_inner(),
                constraints: body.constraints.into_inner(),
            };
            let note = body.note.into();
            Op::AmendTrial { trial: TrialId(body.trial), amendment: Box::new(amendment), note }
        }
        code::UNDO_AMENDMENT => {
            let UndoAmendment { trial, change, note } = UndoAmendment::borrow_decode(d)?;
            Op::UndoAmendment { trial: TrialId(trial), change, note: note.into() }
        }
        _ => return Ok(None),
    }))
}

fn study_attr(d: &mut BytesDecoder<'_>) -> Result<(StudyId, String, Json), DecodeError> {
    let body = StudyAttr::borrow_decode(d)?;
    Ok((StudyId(body.study), body.key.to_owned(), body.value.into_inner()))
}

fn trial_attr(d: &mut BytesDecoder<'_>) -> Result<(TrialId, String, Json), DecodeError> {
    let body = TrialAttr::borrow_decode(d)?;
    Ok((TrialId(body.trial), body.key.to_owned(), body.value.into_inner()))
}

/// A trial as a whole; what it reported of named metrics stands behind the rest, where the op has it.
fn add_trial<'a>(
    d: &mut BytesDecoder<'a>,
    metrics: impl FnOnce(&mut BytesDecoder<'a>) -> Result<Vec<MetricSeries>, DecodeError>,
) -> Result<Op, DecodeError> {
    let body = AddTrial::borrow_decode(d)?;
    let template = TrialTemplate {
        state: body.state.into_inner(),
        values: body.values.into_inner(),
        start: body.start.map(Into::into),
        end: body.end.map(Into::into),
        params: body.params.into_inner(),
        reports: body.reports.into_inner(),
        metrics: metrics(d)?,
        user_attrs: body.user_attrs.into_inner(),
        system_attrs: body.system_attrs.into_inner(),
        constraints: body.constraints.into_inner(),
    };
    Ok(Op::AddTrial { study: StudyId(body.study), template: Box::new(template) })
}

#[cfg(test)]
mod tests {
    use bincode::de::Decoder;
    use proptest::prelude::*;

    use super::*;
    use crate::table::OPS;
    use crate::wire::{decoder, encoder};

    /// Reads a body in both ways. `true` if the quick one took it.
    fn check(code: u8, body: &[u8]) -> Result<bool, TestCaseError> {
        let (mut plain, mut full) = (decoder(body), decoder(body));
        let mut ops = Vec::new();
        if decode_plain(code, plain.reader(), &mut ops).is_none() {
            prop_assert!(ops.is_empty());
            return Ok(false);
        }
        let op = decode(code, &mut full).map_err(|e| TestCaseError::fail(e.to_string()))?;
        prop_assert_eq!(format!("{:?}", ops.pop()), format!("{op:?}"));
        prop_assert_eq!(plain.reader().at(), full.reader().at());
        Ok(true)
    }

    fn byte() -> impl Strategy<Value = u8> {
        prop_oneof![4 => 0u8..5, 2 => 248u8.., 1 => any::<u8>()]
    }

    proptest! {
        #[test]
        fn what_is_read_quickly_is_read_alike(body in proptest::collection::vec(byte(), 0..60)) {
            for spec in OPS {
                check(spec.code, &body)?;
            }
        }
    }

    #[test]
    fn the_common_ops_are_read_quickly() {
        let (trial, start) = (TrialId(70_000), Timestamp(-1));
        let param = |key| Param { param: ParamRef::Key(ParamKey(key)), value: 0.5 };
        let metric = |key| MetricValue { metric: MetricRef::Key(MetricKey(key)), value: f64::NAN };
        let ops = [
            Op::CreateTrial { study: StudyId(300), start },
            Op::SetParams { trial, params: vec![param(0), param(250), param(70_000)] },
            Op::Report { trial, step: 251, value: f64::NAN },
            Op::ReportMetrics { trial, step: 3, values: vec![metric(0), metric(70_000)] },
            Op::FinishTrial { trial, state: FinalState::Pruned, values: vec![0.5], end: start },
        ];
        for op in ops {
            let mut body = Vec::new();
            encode(&op, &mut encoder(&mut body)).expect("plain values");
            assert!(check(crate::code_of(&op), &body).is_ok_and(|quick| quick), "{op:?}");
        }
    }
}
