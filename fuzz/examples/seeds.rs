//! Writes the inputs that fuzzing starts from: `cargo run --manifest-path fuzz/Cargo.toml --example seeds`. They come
//! from the golden files and from the code as it is, the same every time. Files whose names begin with `found-` were
//! found by the fuzzer, and are left alone.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use trialog_codec::{decode_record, encode_record};
use trialog_fuzz::record::small_study;
use trialog_fuzz::replay;
use trialog_journal::frame::{self, KIND_RECORD, Link};
use trialog_journal::{Durability, History, Journal, Seq};
use trialog_journal_file::{FileJournal, Options};
use trialog_ops::{Record, SessionId, SessionRef};
use trialog_replay::State;
use trialog_testkit::FakeOs;

const GOLDEN_RECORDS: &str = include_str!("../../crates/codec/tests/golden/v1/records.txt");
const GOLDEN_SNAPSHOT: &str = include_str!("../../crates/replay/tests/it/golden/snapshot-1.hex");
const GOLDEN_SNAPSHOT_3: &str = include_str!("../../crates/replay/tests/it/golden/snapshot-3.hex");
const GOLDEN_LOG: &[u8] = include_bytes!("../../crates/journal-file/tests/golden/log-v1.bin");

const GOLDEN_OPTUNA: &str = include_str!("../../crates/codec/tests/golden/optuna/5.0.0.log");

const PATH: &str = "study.tlog";

fn main() -> std::io::Result<()> {
    let golden: Vec<(String, Vec<u8>)> = golden_records().collect();
    save("record", golden.clone())?;
    save("frame", [("golden", frames(&golden)), ("torn", torn(&frames(&golden)))])?;
    save("header", headers())?;
    save("json", texts(JSON))?;
    save("url", texts(URLS))?;
    save("optuna", optuna_lines())?;
    let drawn = (0..4).map(|seed| (format!("drawn-{seed}"), noise(seed, 600 << seed)));
    save("replay", drawn)?;
    save("snapshot", snapshots())?;
    let pairs = pairs(&golden);
    save("seal", pairs.clone())?;
    save("inspect", logs(&golden).into_iter().filter(|(name, _)| !name.contains("snapshot")).chain(pairs))?;
    save("open", logs(&golden))
}

/// Writes the inputs of one target in the place of the older ones.
fn save(target: &str, seeds: impl IntoIterator<Item = (impl AsRef<str>, Vec<u8>)>) -> std::io::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds").join(target);
    fs::create_dir_all(&folder)?;
    for old in fs::read_dir(&folder)? {
        let old = old?;
        if !old.file_name().to_string_lossy().starts_with("found-") {
            fs::remove_file(old.path())?;
        }
    }
    for (name, bytes) in seeds {
        fs::write(folder.join(name.as_ref()), bytes)?;
    }
    Ok(())
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter_map(|digit| (digit as char).to_digit(16)).map(|it| it as u8).collect();
    digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

/// One line of each kind, and some together.
fn optuna_lines() -> Vec<(String, Vec<u8>)> {
    let starts = |op: usize| move |line: &&str| line.starts_with(&format!("{{\"op_code\":{op},"));
    let one = |op| (format!("op-{op}"), GOLDEN_OPTUNA.lines().find(starts(op)).unwrap_or_default().into());
    let several: Vec<&str> = GOLDEN_OPTUNA.lines().step_by(20).collect();
    (0..10).map(one).chain([("several".to_owned(), several.join("\n").into_bytes())]).collect()
}

fn golden_records() -> impl Iterator<Item = (String, Vec<u8>)> {
    let lines = GOLDEN_RECORDS.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.split_once(' ')).map(|(name, hex)| (name.replace('/', "-"), bytes(hex)))
}

/// The frames of some records behind the link that they continue.
fn frames(records: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut frames = Vec::new();
    records.iter().take(8).for_each(|(_, record)| frame::push_unsealed(&mut frames, KIND_RECORD, record));
    frame::push_unsealed(&mut frames, 0x80, b"to be skipped");
    frame::seal(&mut frames, Link { seq: 5, crc: 7 }, 3);
    [&5_u64.to_le_bytes()[..], &7_u32.to_le_bytes(), &frames].concat()
}

fn torn(bytes: &[u8]) -> Vec<u8> {
    let mut torn = bytes.to_vec();
    torn[60..70].fill(0);
    torn.truncate(bytes.len() - 9);
    torn
}

fn headers() -> [(&'static str, Vec<u8>); 5] {
    let whole = &GOLDEN_LOG[..64];
    let mut newer = whole.to_vec();
    newer[8] = 2;
    [
        ("whole", whole.to_vec()),
        ("begun", whole[..40].to_vec()),
        ("newer", newer),
        ("foreign", b"SQLite format 3\0".to_vec()),
        ("text", b"{\"op_code\": 0, \"worker_id\": \"a\"}\n".to_vec()),
    ]
}

const JSON: &[&str] = &[
    "null",
    " [1, -2.5e-3, true, false, \"\\u00e9\\n\\\"\"] ",
    "{\"a\": [NaN, Infinity, -Infinity], \"b\": {\"\": {}}}",
    "[[[[[[[[{\"x\":[0.0]}]]]]]]]]",
    "\"gr\u{f6}\u{df}e \\ud83d\\udcc8\"",
    "1E400",
];

const URLS: &[&str] = &[
    "runs.tlog",
    "file:runs.tlog",
    "memory:",
    "memory:name",
    "redb:runs.redb",
    "C:\\runs.tlog",
    "a b:c",
    "file:",
    "",
];

fn texts(texts: &[&str]) -> Vec<(String, Vec<u8>)> {
    texts.iter().enumerate().map(|(index, text)| (index.to_string(), text.as_bytes().to_vec())).collect()
}

/// Bytes that look like chance.
fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut next = || {
        // Xorshift.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..len).map(|_| next()).collect()
}

fn encoded(record: &Record) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_record(record, &mut bytes);
    bytes
}

/// Drawn records that a reader takes, behind a study that they can happen to.
fn drawn_records(seed: u64) -> Vec<Vec<u8>> {
    let first = Record { session: SessionRef::Id(SessionId([7; 16])), counter: 1, ops: small_study() };
    let drawn = replay::records(&noise(seed, 700));
    let all = std::iter::once(&first).chain(&drawn).map(encoded);
    all.filter(|bytes| decode_record(bytes).is_ok()).collect()
}

fn state(records: &[Vec<u8>]) -> State {
    let mut state = State::new();
    records.iter().filter_map(|bytes| decode_record(bytes).ok()).for_each(|it| state.apply(&it, &mut Vec::new()));
    state
}

fn snapshots() -> Vec<(String, Vec<u8>)> {
    let mut seeds = vec![("golden".into(), bytes(GOLDEN_SNAPSHOT)), ("golden-3".into(), bytes(GOLDEN_SNAPSHOT_3))];
    for seed in 0..6 {
        let records = drawn_records(seed);
        let mut snapshot = Vec::new();
        state(&records).write_snapshot(&mut snapshot);
        seeds.push((format!("drawn-{seed}"), snapshot.clone()));
        for record in drawn_records(seed + 100).iter().skip(1).take(4) {
            snapshot.extend_from_slice(&(record.len() as u16).to_le_bytes());
            snapshot.extend_from_slice(record);
        }
        seeds.push((format!("drawn-{seed}-and-more"), snapshot));
    }
    seeds
}

fn logs(golden: &[(String, Vec<u8>)]) -> Vec<(String, Vec<u8>)> {
    let golden: Vec<Vec<u8>> = golden.iter().map(|(_, record)| record.clone()).collect();
    let of_golden = log(&golden, None);
    let mut seeds = vec![
        ("empty".into(), Vec::new()),
        ("header".into(), GOLDEN_LOG[..64].to_vec()),
        ("header-begun".into(), GOLDEN_LOG[..40].to_vec()),
        ("not-records".into(), GOLDEN_LOG.to_vec()),
        ("golden-torn".into(), of_golden[..of_golden.len() - 7].to_vec()),
        ("golden".into(), of_golden.clone()),
        ("golden-and-snapshot".into(), log(&golden, Some(golden.len() / 2))),
    ];
    let mut damaged = of_golden;
    damaged[200] ^= 1;
    seeds.push(("golden-damaged".into(), damaged));
    for seed in 0..4 {
        let records = drawn_records(seed);
        seeds.push((format!("drawn-{seed}"), log(&records, None)));
        seeds.push((format!("drawn-{seed}-and-snapshot"), log(&records, Some(records.len() / 2))));
    }
    seeds
}

/// Logs of two files, one behind the other.
fn pairs(golden: &[(String, Vec<u8>)]) -> Vec<(String, Vec<u8>)> {
    let golden: Vec<Vec<u8>> = golden.iter().map(|(_, record)| record.clone()).collect();
    let mut seeds = Vec::new();
    for (name, history) in [("kept", History::Kept), ("folded", History::Folded)] {
        for (from, records) in [("golden", golden.clone()), ("drawn", drawn_records(1))] {
            seeds.push((format!("{from}-{name}"), pair(&records, history)));
        }
    }
    let mut lost = seeds[0].1.clone();
    let second = lost.windows(8).rposition(|window| window == &GOLDEN_LOG[..8]).expect("a second file");
    lost[second - 30] ^= 1;
    seeds.push(("damaged-seal".into(), lost));
    seeds
}

fn pair(records: &[Vec<u8>], history: History) -> Vec<u8> {
    let os = FakeOs::new();
    let journal =
        FileJournal::open_on(Arc::new(os.process(2)), PATH, &Options::default()).expect("a fresh machine");
    let half = records.len() / 2;
    for (index, record) in records.iter().enumerate() {
        journal.append(&[record], Durability::Process).expect("a sound machine");
        if index == half + 2 {
            let state = state(&records[..half]);
            let done = journal.compact(Seq(half as u64), &mut |sink| state.stream_snapshot(&mut *sink), history);
            assert!(done.expect("a sound machine"), "the log is compacted");
            journal.reclaim(Duration::ZERO).expect("a sound machine");
        }
    }
    let mut bytes = os.file(PATH).expect("the log");
    bytes.extend(os.file(format!("{PATH}.000001")).expect("the next segment"));
    bytes
}

/// A log of these records, with the snapshot of its first ones behind it if one is to be taken.
fn log(records: &[Vec<u8>], snapshot_at: Option<usize>) -> Vec<u8> {
    let os = FakeOs::new();
    let journal =
        FileJournal::open_on(Arc::new(os.process(2)), PATH, &Options::default()).expect("a fresh machine");
    for (index, record) in records.iter().enumerate() {
        if snapshot_at == Some(index) {
            let state = state(&records[..index]);
            let saved = journal.save_snapshot(Seq(index as u64), &mut |sink| state.stream_snapshot(&mut *sink));
            assert!(saved.expect("a sound machine"), "the snapshot is kept");
        }
        journal.append(&[record], Durability::Process).expect("a sound machine");
    }
    let mut bytes = os.file(PATH).expect("the log");
    bytes.extend(os.file(format!("{PATH}.snapshot")).unwrap_or_default());
    bytes
}
