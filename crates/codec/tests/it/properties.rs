//! Properties: whatever is encoded comes back to the bit, and whatever is decoded was at least bytes.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use trialog_codec::decode_record;
use trialog_ops::{
    Amendment, Budget, CategoricalDistribution, Choice, ComponentSpec, Direction, Distribution, FinalState,
    FloatDistribution, INT_MAX, IntDistribution, Json, MetricKey, MetricRef, MetricSeries, MetricValue, Note, Op,
    Param, ParamDef, ParamKey, ParamRef, Record, RetryPolicy, SessionId, SessionKey, SessionRef, StudyConfig,
    StudyId, Timestamp, TrialId, TrialState, TrialTemplate, WorkerKey,
};

use crate::{encode, same, samples};

fn any_float() -> impl Strategy<Value = f64> + Clone {
    proptest::num::f64::ANY
}

fn number() -> impl Strategy<Value = f64> + Clone {
    any_float().prop_filter("not NaN", |value| !value.is_nan())
}

/// Mostly small, and at times at the edges of the varints.
fn integer() -> impl Strategy<Value = u64> + Clone {
    let at_32_bits = (1u64 << 32) - 3..(1 << 32) + 3;
    prop_oneof![4 => 0u64..300, 1 => 65_530u64..65_540, 1 => at_32_bits, 1 => any::<u64>()]
}

fn short() -> impl Strategy<Value = u32> + Clone {
    integer().prop_map(|value| u32::try_from(value).unwrap_or(u32::MAX))
}

fn study() -> impl Strategy<Value = StudyId> {
    short().prop_map(StudyId)
}

fn trial() -> impl Strategy<Value = TrialId> {
    integer().prop_map(TrialId)
}

fn time() -> impl Strategy<Value = Timestamp> {
    any::<i64>().prop_map(Timestamp)
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![4 => "\\PC{0,8}", 1 => "[a-z]{250,252}"]
}

fn json() -> impl Strategy<Value = Json> {
    let scalar = prop_oneof![
        "[^\"\\\\\\x00-\\x1f]{0,8}".prop_map(|text| format!("\"{text}\"")),
        any::<i64>().prop_map(|value| value.to_string()),
        proptest::sample::select(vec!["null", "true", "NaN", "-Infinity", "1.5e-3", "\"\\u00e9\""])
            .prop_map(str::to_owned),
    ];
    let nested = scalar.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..3).prop_map(|all| format!("[{}]", all.join(", "))),
            inner.prop_map(|value| format!("{{\"k\": {value}}}")),
        ]
    });
    nested.prop_map(|text| Json::parse(&text).expect("valid by construction"))
}

fn choice() -> impl Strategy<Value = Choice> {
    prop_oneof![
        Just(Choice::Null),
        any::<bool>().prop_map(Choice::from),
        (-INT_MAX..=INT_MAX).prop_map(Choice::from),
        any_float().prop_map(Choice::from),
        text().prop_map(Choice::from),
    ]
}

fn distribution() -> impl Strategy<Value = Distribution> {
    // Grids with many digits are what rounding trips over.
    let grid = (-10.0f64..10.0, 0.0f64..10.0, 0.001f64..3.0, -40i32..40)
        .prop_map(|(low, span, step, exponent)| (low, low + span, Some(step * 10f64.powi(exponent))));
    let floats = (number(), number(), option::of(number()));
    let float = prop_oneof![floats, grid].prop_flat_map(|bounds| (Just(bounds), any::<bool>())).prop_filter_map(
        "a valid range",
        |((low, high, step), log)| {
            let step = if log { None } else { step };
            let bounds = (low.min(high), low.max(high));
            FloatDistribution::new(bounds.0, bounds.1, log, step).ok().map(Distribution::Float)
        },
    );
    let int = (-INT_MAX..=INT_MAX, -INT_MAX..=INT_MAX, any::<bool>(), 1i64..100).prop_filter_map(
        "a valid range",
        |(a, b, log, step)| {
            let step = if log { 1 } else { step };
            IntDistribution::new(a.min(b), a.max(b), log, step).ok().map(Distribution::Int)
        },
    );
    let categorical = vec(choice(), 1..5).prop_filter_map("different choices", |choices| {
        CategoricalDistribution::new(choices).ok().map(Distribution::Categorical)
    });
    prop_oneof![float, int, categorical]
}

fn param() -> impl Strategy<Value = Param> {
    let def = (text(), distribution())
        .prop_map(|(name, distribution)| ParamRef::Def(Box::new(ParamDef { name, distribution })));
    let key = short().prop_map(|key| ParamRef::Key(ParamKey(key)));
    (prop_oneof![key, def], number()).prop_map(|(param, value)| Param { param, value })
}

fn metric() -> impl Strategy<Value = MetricRef> {
    prop_oneof![short().prop_map(|key| MetricRef::Key(MetricKey(key))), text().prop_map(MetricRef::Name),]
}

fn config() -> impl Strategy<Value = StudyConfig> {
    let spec =
        || (text(), short(), json()).prop_map(|(name, version, options)| ComponentSpec { name, version, options });
    (spec(), spec(), any::<u64>()).prop_map(|(sampler, pruner, seed)| StudyConfig { sampler, pruner, seed })
}

fn template() -> impl Strategy<Value = TrialTemplate> {
    let state = proptest::sample::select(TrialState::ALL.to_vec());
    let attrs = || vec((text(), json()), 0..3);
    let reports = || vec((integer(), any_float()), 0..3);
    let series = (metric(), reports()).prop_map(|(metric, reports)| MetricSeries { metric, reports });
    let reported = (reports(), vec(series, 0..3));
    let constraints = vec((text(), number()), 0..3);
    let head = (state, vec(number(), 0..3), option::of(time()), option::of(time()), vec(param(), 0..3));
    (head, reported, attrs(), attrs(), constraints).prop_map(
        |((state, values, start, end, params), (reports, metrics), user_attrs, system_attrs, constraints)| {
            TrialTemplate {
                state,
                values,
                start,
                end,
                params,
                reports,
                metrics,
                user_attrs,
                system_attrs,
                constraints,
            }
        },
    )
}

fn op() -> impl Strategy<Value = Op> {
    let direction = proptest::sample::select(vec![Direction::Minimize, Direction::Maximize]);
    let state = proptest::sample::select(vec![FinalState::Complete, FinalState::Pruned, FinalState::Fail]);
    let of_studies = prop_oneof![
        (text(), vec(direction, 0..3), option::of(config().prop_map(Box::new)))
            .prop_map(|(name, directions, config)| Op::CreateStudy { name, directions, config }),
        study().prop_map(|study| Op::DeleteStudy { study }),
        (study(), text(), json()).prop_map(|(study, key, value)| Op::SetStudyUserAttr { study, key, value }),
        (study(), text(), json()).prop_map(|(study, key, value)| Op::SetStudySystemAttr { study, key, value }),
        (study(), vec(text(), 0..3)).prop_map(|(study, names)| Op::SetMetricNames { study, names }),
        (study(), config().prop_map(Box::new)).prop_map(|(study, config)| Op::SetStudyConfig { study, config }),
        (study(), time()).prop_map(|(study, start)| Op::CreateTrial { study, start }),
        (study(), template().prop_map(Box::new)).prop_map(|(study, template)| Op::AddTrial { study, template }),
    ];
    let of_trials = prop_oneof![
        (trial(), time()).prop_map(|(trial, start)| Op::ClaimTrial { trial, start }),
        trial().prop_map(|trial| Op::RequeueTrial { trial }),
        (trial(), vec(param(), 0..6)).prop_map(|(trial, params)| Op::SetParams { trial, params }),
        (trial(), vec(short().prop_map(ParamKey), 0..4))
            .prop_map(|(trial, params)| Op::RetractParams { trial, params }),
        (trial(), integer(), any_float()).prop_map(|(trial, step, value)| Op::Report { trial, step, value }),
        (trial(), integer(), vec((metric(), any_float()), 0..4)).prop_map(|(trial, step, values)| {
            let values = values.into_iter().map(|(metric, value)| MetricValue { metric, value }).collect();
            Op::ReportMetrics { trial, step, values }
        }),
        (trial(), state, vec(number(), 0..3), time()).prop_map(|(trial, state, values, end)| Op::FinishTrial {
            trial,
            state,
            values,
            end
        }),
        (trial(), text(), json()).prop_map(|(trial, key, value)| Op::SetTrialUserAttr { trial, key, value }),
        (trial(), text(), json()).prop_map(|(trial, key, value)| Op::SetTrialSystemAttr { trial, key, value }),
        (trial(), text(), number()).prop_map(|(trial, name, value)| Op::SetConstraint { trial, name, value }),
        integer().prop_map(|position| Op::SampledAt { position }),
        (0x82u8..).prop_map(|code| Op::Skipped { code }),
    ];
    let limits = (option::of(integer()), option::of(integer()), option::of(time()));
    let of_workers = prop_oneof![
        (study(), limits).prop_map(|(study, (trials, finished, until))| Op::SetBudget {
            study,
            budget: Budget { trials, finished, until }
        }),
        (study(), short(), any::<bool>()).prop_map(|(study, retries_max, inherit_reports)| Op::SetRetryPolicy {
            study,
            policy: RetryPolicy { retries_max, inherit_reports }
        }),
        integer().prop_map(|lease_ms| Op::RenewLease { lease_ms }),
        (short(), integer(), time()).prop_map(|(worker, seen, end)| Op::DeclareLost {
            worker: WorkerKey(worker),
            seen,
            end
        }),
    ];
    let state = proptest::sample::select(vec![FinalState::Complete, FinalState::Pruned, FinalState::Fail]);
    let attrs = vec((text(), option::of(json())), 0..3);
    let whole =
        (option::of(state), option::of(vec(number(), 0..3)), attrs, vec((text(), option::of(number())), 0..3));
    let amendment = whole.prop_map(|(state, values, user_attrs, constraints)| {
        Box::new(Amendment { state, values, user_attrs, constraints })
    });
    let of_finished = prop_oneof![
        (trial(), note()).prop_map(|(trial, note)| Op::VoidTrial { trial, note }),
        (trial(), note()).prop_map(|(trial, note)| Op::UnvoidTrial { trial, note }),
        (trial(), amendment, note()).prop_map(|(trial, amendment, note)| Op::AmendTrial { trial, amendment, note }),
        (trial(), short(), note()).prop_map(|(trial, change, note)| Op::UndoAmendment { trial, change, note }),
    ];
    prop_oneof![2 => of_studies, 2 => of_trials, 1 => of_workers, 1 => of_finished]
}

fn note() -> impl Strategy<Value = Box<Note>> {
    (text(), time(), text()).prop_map(|(by, at, reason)| Box::new(Note { by, at, reason }))
}

fn record() -> impl Strategy<Value = Record> {
    let session = prop_oneof![
        short().prop_map(|key| SessionRef::Key(SessionKey(key))),
        any::<[u8; 16]>().prop_map(|id| SessionRef::Id(SessionId(id))),
    ];
    (session, integer(), vec(op(), 0..4)).prop_map(|(session, counter, ops)| Record { session, counter, ops })
}

/// Decodes, and if that succeeds, demands that encoding leads back to the same.
fn check(bytes: &[u8]) -> Result<(), TestCaseError> {
    if let Ok(read) = decode_record(bytes) {
        let again = decode_record(&encode(&read)).map_err(|e| TestCaseError::fail(e.to_string()))?;
        same(&read, &again).map_err(TestCaseError::fail)?;
    }
    Ok(())
}

proptest! {
    #[test]
    fn records_come_back_to_the_bit(record in record()) {
        let read = decode_record(&encode(&record)).map_err(|e| TestCaseError::fail(e.to_string()))?;
        same(&read, &record).map_err(TestCaseError::fail)?;
    }

    #[test]
    fn cuts_are_errors(record in record(), cut in any::<prop::sample::Index>()) {
        let bytes = encode(&record);
        prop_assert!(decode_record(&bytes[..cut.index(bytes.len())]).is_err());
    }

    #[test]
    fn any_bytes_are_survived(bytes in vec(any::<u8>(), 0..200)) {
        check(&bytes)?;
    }

    #[test]
    fn any_body_is_survived(code in 0u8..0x20, body in vec(prop_oneof![0u8..5, 248u8.., any::<u8>()], 0..80)) {
        let length = u8::try_from(body.len()).expect("short");
        check(&[&[1, 0, 1, code, length][..], &body].concat())?;
    }

    #[test]
    fn damaged_records_are_survived(
        record in record(),
        hits in vec((any::<prop::sample::Index>(), prop_oneof![0u8..5, 248u8.., any::<u8>()]), 1..4),
    ) {
        let mut bytes = encode(&record);
        for (place, byte) in hits {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        check(&bytes)?;
    }
}

#[test]
fn canary_a_changed_bit_is_a_difference() {
    let (_, record) = samples::all().swap_remove(3);
    let mut other = record.clone();
    let Some(Op::FinishTrial { values, .. }) = other.ops.last_mut() else { panic!("the sample ends a trial") };
    values[0] = f64::from_bits(values[0].to_bits() ^ 1);
    assert!(same(&record, &other).is_err());
}
