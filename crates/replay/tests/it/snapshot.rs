//! Snapshots: a state that was read from one is the state that was written, whatever happens to it afterwards, and
//! bytes that are not exactly a snapshot are refused.

use proptest::prelude::*;
use trialog_ops::{MetricKey, Op, ParamKey, ParamRef, Record, SessionId, SessionRef, StudyId, TrialId};
use trialog_replay::{SnapshotError, State, Verdict};

use crate::golden::{CHANGES, LOG, METRICS};
use crate::naive::{Bug, Derived, Probe};
use crate::random::{dump, fold, ops, probes, records, single};
use crate::table;

/// The snapshot of [`LOG`], in version 2 of the format. Only a new version may have other bytes, and this one must be
/// readable for ever.
const GOLDEN: &str = include_str!("golden/snapshot-2.hex");

/// The same in version 1.
const GOLDEN_1: &str = include_str!("golden/snapshot-1.hex");

/// The snapshot of [`LOG`] and then [`CHANGES`], in version 3.
const GOLDEN_3: &str = include_str!("golden/snapshot-3.hex");

/// The snapshot of all that and then [`METRICS`], in version 4.
const GOLDEN_4: &str = include_str!("golden/snapshot-4.hex");

const HEADER_LEN: usize = 32;
const SECTION_HEADER_LEN: usize = 16;

fn written(state: &State) -> Vec<u8> {
    let mut bytes = Vec::new();
    state.write_snapshot(&mut bytes);
    bytes
}

fn copy(state: &State) -> State {
    State::read_snapshot(&written(state)).expect("what was written can be read")
}

fn golden_log() -> State {
    let mut state = State::new();
    for (op, counter) in table::ops(LOG).into_iter().zip(0..) {
        let session = SessionRef::Id(SessionId([counter as u8 / 10; 16]));
        state.apply(&Record { session, counter, ops: vec![op] }, &mut Vec::new());
    }
    state
}

/// The same with trials that were changed after their end.
fn changed_log() -> State {
    let mut state = golden_log();
    for (op, counter) in table::ops(CHANGES).into_iter().zip(0..) {
        let session = SessionRef::Id(SessionId([9; 16]));
        state.apply(&Record { session, counter, ops: vec![op] }, &mut Vec::new());
    }
    state
}

/// The same with named metrics.
fn measured_log() -> State {
    let mut state = changed_log();
    for (op, counter) in table::ops(METRICS).into_iter().zip(0..) {
        let session = SessionRef::Id(SessionId([10; 16]));
        state.apply(&Record { session, counter, ops: vec![op] }, &mut Vec::new());
    }
    state
}

fn golden_bytes() -> Vec<u8> {
    from_hex(GOLDEN)
}

fn from_hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    let pairs = digits.chunks_exact(2).map(|pair| std::str::from_utf8(pair).unwrap());
    pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
}

fn hex(bytes: &[u8]) -> String {
    let line = |line: &[u8]| line.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ");
    bytes.chunks(32).map(|bytes| line(bytes) + "\n").collect()
}

/// Where the payloads of the sections are.
fn payloads(bytes: &[u8]) -> Vec<std::ops::Range<usize>> {
    let (mut at, mut found) = (HEADER_LEN, Vec::new());
    while let Some(header) = bytes.get(at..at + SECTION_HEADER_LEN) {
        let len = u64::from_le_bytes(header[8..].try_into().unwrap());
        at += SECTION_HEADER_LEN;
        found.push(at..at + len as usize);
        at += len as usize;
    }
    found
}

/// Makes all checksums right, given where the payloads are.
fn seal(bytes: &mut [u8], payloads: &[std::ops::Range<usize>]) {
    let mut crc = crc32fast::hash(&bytes[..HEADER_LEN - 4]);
    bytes[HEADER_LEN - 4..HEADER_LEN].copy_from_slice(&crc.to_le_bytes());
    for payload in payloads {
        let start = payload.start - SECTION_HEADER_LEN;
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&crc.to_le_bytes());
        hasher.update(&bytes[start + 4..payload.end]);
        crc = hasher.finalize();
        bytes[start..start + 4].copy_from_slice(&crc.to_le_bytes());
    }
}

fn assert_same(a: &State, b: &State, probes: &[Probe]) {
    assert_eq!((a.digest(), a.records()), (b.digest(), b.records()));
    assert_eq!(a.studies().count(), b.studies().count());
    for (a, b) in a.studies().zip(b.studies()) {
        assert_eq!(dump(&a), dump(&b));
        assert_eq!(Derived::kept(&a, probes), Derived::kept(&b, probes));
        let params = |view: &trialog_replay::StudyView| -> Vec<_> {
            view.params().map(|param| (param.name().to_owned(), param.first().0, param.first().1.clone())).collect()
        };
        assert_eq!(params(&a), params(&b));
        let joint = |view: &trialog_replay::StudyView, over| -> Vec<ParamKey> {
            view.joint_params(over).map(|(key, _)| key).collect()
        };
        for over in [trialog_replay::Over::Complete, trialog_replay::Over::CompleteAndPruned] {
            assert_eq!(joint(&a, over), joint(&b, over));
        }
    }
    for id in 0..100 {
        assert_eq!(a.trial(TrialId(id)), b.trial(TrialId(id)));
    }
    for byte in 0..8 {
        assert_eq!(a.session_key(&SessionId([byte; 16])), b.session_key(&SessionId([byte; 16])));
    }
}

/// A log with all that can happen to two studies, and with sessions that repeat themselves.
fn log() -> impl Strategy<Value = Vec<Record>> {
    (ops(), records()).prop_map(|(ops, records)| {
        ops.iter().zip(0..).map(|(op, counter)| single(op, counter)).chain(records).collect()
    })
}

fn apply(state: &mut State, record: &Record) -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    state.apply(record, &mut verdicts);
    verdicts
}

proptest! {
    #[test]
    fn a_state_that_is_read_anew_after_every_record_is_the_same(log in log(), probes in probes()) {
        let (mut plain, mut read) = (State::new(), copy(&State::new()));
        for record in &log {
            prop_assert_eq!(apply(&mut plain, record), apply(&mut read, record));
            let bytes = written(&plain);
            read = State::read_snapshot(&written(&read)).unwrap();
            prop_assert!(bytes == written(&read), "equal states, other bytes");
            prop_assert_eq!(plain.digest(), read.digest());
        }
        assert_same(&plain, &read, &probes);
    }

    #[test]
    fn what_happens_after_reading_is_the_same(log in log(), at in 0..100usize, probes in probes()) {
        let (before, after) = log.split_at(at.min(log.len()));
        let mut plain = State::new();
        before.iter().for_each(|record| _ = apply(&mut plain, record));
        let mut read = copy(&plain);
        assert_same(&plain, &read, &probes);
        for record in after {
            prop_assert_eq!(apply(&mut plain, record), apply(&mut read, record));
        }
        assert_same(&plain, &read, &probes);
        prop_assert!(written(&plain) == written(&read));
    }

    #[test]
    fn indices_are_what_the_trials_say(ops in ops(), probes in probes()) {
        for view in copy(&fold(&ops)).studies() {
            prop_assert_eq!(Derived::kept(&view, &probes), Derived::naive(&view, &probes, Bug::None));
        }
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(State::read_snapshot(&bytes).is_err());
        prop_assert!(State::read_snapshot(&[&golden_bytes()[..HEADER_LEN], &bytes].concat()).is_err());
    }

    /// Bytes with right checksums that nobody wrote: whatever is taken for a state behaves like one.
    #[test]
    fn forged_bytes_do_no_harm(
        before in ops(),
        after in records(),
        probes in probes(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = written(&fold(&before));
        let payloads = payloads(&bytes);
        let filled: Vec<_> = payloads.iter().filter(|payload| !payload.is_empty()).collect();
        for (section, place, byte) in changes {
            let payload = filled[section.index(filled.len())];
            bytes[payload.start + place.index(payload.len())] = byte % 6;
        }
        seal(&mut bytes, &payloads);
        if let Ok(mut state) = State::read_snapshot(&bytes) {
            prop_assert!(written(&state) == bytes, "one state, two snapshots");
            after.iter().for_each(|record| _ = apply(&mut state, record));
            state.studies().for_each(|view| _ = (dump(&view), Derived::kept(&view, &probes)));
            assert_same(&state, &copy(&state), &probes);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Many blocks of every kind, and many trials on a front.
    #[test]
    fn long_columns(ops in ops(), few in ops(), probes in probes(), repeats in 1..60usize) {
        let trials: Vec<Op> = ops.iter().filter(|op| matches!(op, Op::AddTrial { .. })).cloned().collect();
        let sparse: Vec<Op> = trials.iter().map(without_params).collect();
        let repeated = |ops: &[Op], times| ops.iter().cloned().cycle().take(ops.len() * times).collect::<Vec<Op>>();
        let (sparse, dense) = (repeated(&sparse, repeats), repeated(&trials, repeats / 2));
        let long = [&ops[..2], &trials, &sparse, &few[2..], &dense].concat();
        let state = fold(&long);
        let read = copy(&state);
        assert_same(&state, &read, &probes);
        prop_assert!(written(&state) == written(&read));
    }
}

fn without_params(op: &Op) -> Op {
    let mut op = op.clone();
    if let Op::AddTrial { template, .. } = &mut op {
        template.params.retain(|param| matches!(param.param, ParamRef::Key(ParamKey(0))));
        template.reports.clear();
        template.metrics.clear();
    }
    op
}

#[test]
fn version_2_is_written_as_ever_and_read_for_ever() {
    let state = golden_log();
    let found = hex(&written(&state));
    assert!(found == hex(&golden_bytes()), "other bytes need another version of the format; they are\n{found}");
    let read = State::read_snapshot(&golden_bytes()).expect("the golden snapshot can be read");
    assert_same(&state, &read, &[]);
}

/// It did not say in which order trials had ended; the times of this log are in another one.
#[test]
fn version_1_is_read_for_ever() {
    let read = State::read_snapshot(&from_hex(GOLDEN_1)).expect("the golden snapshot can be read");
    let order = |state: &State| -> Vec<u32> {
        state.studies().flat_map(|view| view.ended_after(0).map(|t| t.number().0).collect::<Vec<_>>()).collect()
    };
    assert_eq!(order(&golden_log()), [0, 1, 2, 3]);
    assert_eq!(order(&read), [0, 1, 3, 2]);
    for (a, b) in golden_log().studies().zip(read.studies()) {
        assert_eq!(dump(&a).0, dump(&b).0);
    }
}

#[test]
fn version_3_is_written_as_ever_and_read_for_ever() {
    let state = changed_log();
    let (found, golden) = (hex(&written(&state)), from_hex(GOLDEN_3));
    assert!(found == hex(&golden), "other bytes need another version of the format; they are\n{found}");
    let read = State::read_snapshot(&golden).expect("the golden snapshot can be read");
    assert_same(&state, &read, &[]);
    let words = |state: &State| state.studies().map(|view| dump(&view)).collect::<Vec<_>>();
    assert_eq!(words(&state), words(&read));
}

#[test]
fn version_4_is_written_as_ever_and_read_for_ever() {
    let state = measured_log();
    let (found, golden) = (hex(&written(&state)), from_hex(GOLDEN_4));
    assert!(found == hex(&golden), "other bytes need another version of the format; they are\n{found}");
    let read = State::read_snapshot(&golden).expect("the golden snapshot can be read");
    assert_same(&state, &read, &[]);
    let words = |state: &State| state.studies().map(|view| dump(&view)).collect::<Vec<_>>();
    assert_eq!(words(&state), words(&read));
    let names = |state: &State| (0..9).map(|key| state.metric(MetricKey(key)).cloned()).collect::<Vec<_>>();
    assert_eq!(names(&state), names(&read));
}

/// Versions 3 and 4 are for states that need it, and a change must have been possible.
#[test]
fn a_version_that_is_not_needed_is_refused() {
    let mut bytes = golden_bytes();
    let payloads = payloads(&bytes);
    for version in [3, 4] {
        bytes[8] = version;
        seal(&mut bytes, &payloads);
        assert!(matches!(State::read_snapshot(&bytes), Err(SnapshotError::Damaged { .. })));
    }
    bytes[8] = 0;
    seal(&mut bytes, &payloads);
    assert!(matches!(State::read_snapshot(&bytes), Err(SnapshotError::Damaged { .. })));
}

#[test]
fn every_cut_is_refused() {
    let changed = from_hex(GOLDEN_3);
    for len in 0..changed.len() {
        assert!(State::read_snapshot(&changed[..len]).is_err(), "cut to {len} bytes");
    }
    let measured = from_hex(GOLDEN_4);
    for len in 0..measured.len() {
        assert!(State::read_snapshot(&measured[..len]).is_err(), "cut to {len} bytes");
    }
    let bytes = golden_bytes();
    for len in 0..bytes.len() {
        assert!(State::read_snapshot(&bytes[..len]).is_err(), "cut to {len} bytes");
    }
    assert!(State::read_snapshot(&[&bytes[..], &[0]].concat()).is_err());
    assert!(State::read_snapshot(&bytes.repeat(2)).is_err());
}

#[test]
fn every_flipped_bit_is_refused() {
    let mut bytes = golden_bytes();
    for bit in 0..8 * bytes.len() {
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert!(State::read_snapshot(&bytes).is_err(), "bit {bit}");
        bytes[bit / 8] ^= 1 << (bit % 8);
    }
    assert!(State::read_snapshot(&bytes).is_ok());
}

/// Numbers that cannot be, wherever a number stands, with right checksums: neither memory nor time is spent on them.
#[test]
fn what_is_announced_must_be_there() {
    announce(&golden_bytes());
    announce(&from_hex(GOLDEN_3));
    announce(&from_hex(GOLDEN_4));
}

fn announce(golden: &[u8]) {
    let payloads = payloads(golden);
    let mut accepted = 0;
    for payload in &payloads {
        for at in payload.clone() {
            for number in [1, 0x80, 1 << 20, 1 << 32, 1 << 40, 1 << 60, u64::MAX] {
                let mut bytes = golden.to_vec();
                let end = payload.end.min(at + 8);
                bytes[at..end].copy_from_slice(&number.to_le_bytes()[..end - at]);
                seal(&mut bytes, &payloads);
                if let Ok(state) = State::read_snapshot(&bytes) {
                    assert!(written(&state) == bytes, "one state, two snapshots");
                    accepted += 1;
                }
            }
        }
    }
    assert!(accepted > 0, "the checksums are wrong, and nothing was tested");
}

/// Sections of another snapshot with right checksums of their own do not fit in.
#[test]
fn sections_do_not_change_places() {
    let (one, other) = (golden_bytes(), written(&fold(&table::ops(LOG))));
    let at = payloads(&one)[2].start - SECTION_HEADER_LEN;
    let behind = &other[payloads(&other)[2].start - SECTION_HEADER_LEN..];
    let error = State::read_snapshot(&[&one[..at], behind].concat()).unwrap_err();
    let SnapshotError::Damaged { offset, .. } = error else { panic!("{error}") };
    assert_eq!(offset, at as u64);
}

#[test]
fn errors_say_what_is_the_matter() {
    let refused = |change: fn(&mut Vec<u8>)| {
        let mut bytes = golden_bytes();
        change(&mut bytes);
        State::read_snapshot(&bytes).unwrap_err()
    };
    assert_eq!(refused(Vec::clear), SnapshotError::NotASnapshot);
    assert_eq!(refused(|bytes| bytes[0] = 0), SnapshotError::NotASnapshot);
    let newer = refused(|bytes| bytes[8] = 5);
    assert_eq!(newer, SnapshotError::NewerVersion { version: 5 });
    assert!(newer.to_string().contains("replay the log instead"), "{newer}");
    let damaged = refused(|bytes| bytes[HEADER_LEN + SECTION_HEADER_LEN] ^= 1);
    assert_eq!(
        damaged.to_string(),
        "the snapshot is damaged at byte 32: a section's checksum is wrong; replay the log instead"
    );
}

#[test]
fn pieces_are_the_whole_and_the_sink_may_stop() {
    let state = golden_log();
    let mut pieces: Vec<Vec<u8>> = Vec::new();
    state
        .stream_snapshot(|bytes| -> Result<(), ()> {
            pieces.push(bytes.to_vec());
            Ok(())
        })
        .unwrap();
    assert_eq!(pieces.concat(), golden_bytes());
    let mut calls = 0;
    let stopped = state.stream_snapshot(|_| {
        calls += 1;
        if calls == 3 { Err("full") } else { Ok(()) }
    });
    assert_eq!((stopped, calls), (Err("full"), 3));
}

/// What the tests above compare is not blind: a snapshot in which one value is another one is read as another state.
#[test]
fn canary_a_forged_value_shows() {
    let mut bytes = golden_bytes();
    let payloads = payloads(&bytes);
    let value = 0.001_f64.to_le_bytes();
    let at = bytes.windows(8).position(|window| window == value).expect("a parameter of the log has this value");
    bytes[at] ^= 1;
    seal(&mut bytes, &payloads);
    let forged = State::read_snapshot(&bytes).expect("any value will do");
    assert_ne!(forged.digest(), golden_log().digest());
    assert_ne!(
        forged.view(StudyId(0)).map(|view| dump(&view)),
        golden_log().view(StudyId(0)).map(|view| dump(&view))
    );
}
