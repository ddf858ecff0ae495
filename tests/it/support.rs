//! What several of these tests need.

use std::io;
use std::sync::{Arc, Mutex};

use tempfile::TempDir;
use trialog::{BoxError, FrozenTrial, Result, Storage, Study, Trial, TrialState};

/// A folder that goes away with the test, and the path of a log in it.
pub(crate) fn place() -> (TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.tlog").to_str().unwrap().to_owned();
    (folder, path)
}

/// What the tutorials begin with.
pub(crate) fn parabola(trial: &mut Trial) -> std::result::Result<f64, BoxError> {
    let x = trial.suggest_float("x", -100.0..=100.0)?;
    Ok((x - 2.0).powi(2))
}

/// The lines that are logged meanwhile by this thread, without time and place.
pub(crate) fn logged<R>(run: impl FnOnce() -> R) -> (Vec<String>, R) {
    let sink = Sink::default();
    let writer = sink.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_writer(move || writer.clone())
        .with_ansi(false)
        .without_time()
        .with_target(false)
        .finish();
    let result = tracing::subscriber::with_default(subscriber, run);
    let text = String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
    (text.lines().map(|line| line.trim().to_owned()).collect(), result)
}

#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl io::Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// True if some line contains the text.
pub(crate) fn says(lines: &[String], text: &str) -> bool {
    lines.iter().any(|line| line.contains(text))
}

/// How many trials are in the state.
pub(crate) fn count(study: &Study, state: TrialState) -> usize {
    study.trials().unwrap().iter().filter(|trial| trial.state == state).count()
}

/// Numbers without gaps, in order.
#[track_caller]
pub(crate) fn assert_dense(trials: &[FrozenTrial]) {
    let numbers: Vec<u32> = trials.iter().map(|trial| trial.number.0).collect();
    let expected: Vec<u32> = (0..trials.len() as u32).collect();
    assert_eq!(numbers, expected, "numbers have gaps or come twice");
}

/// The error that this must be, one of the questions of `trialog::Error` answered with yes.
#[track_caller]
pub(crate) fn refused<T>(result: Result<T>, question: impl Fn(&trialog::Error) -> bool) -> String {
    match result {
        Ok(_) => panic!("this should have been refused"),
        Err(error) => {
            assert!(question(&error), "refused for another reason: {error}");
            let text = error.to_string();
            assert!(!text.is_empty() && !text.ends_with('.'), "not the way errors are written here: {text}");
            text
        }
    }
}

/// After whatever was refused, the study goes on and another handle sees the same.
#[track_caller]
pub(crate) fn assert_usable(study: &Study) {
    let before = study.trials().unwrap();
    study.optimize(2, parabola_of_its_own).unwrap();
    let after = study.trials().unwrap();
    assert_untouched(&before, &after);
    assert_dense(&after);
    let location = study.storage().location();
    if location != "memory:" {
        let again = trialog::open(location).unwrap();
        assert_eq!(again.digest().unwrap(), study.storage().digest().unwrap(), "a new reader sees something else");
    }
}

/// Trials that were there stay as they were, apart from those that waited.
#[track_caller]
pub(crate) fn assert_untouched(before: &[FrozenTrial], after: &[FrozenTrial]) {
    for (before, after) in before.iter().zip(after).filter(|(before, _)| before.state != TrialState::Waiting) {
        // As text, since NaN is not equal to itself.
        assert_eq!(format!("{before:?}"), format!("{after:?}"), "earlier trials have changed");
    }
}

/// Under a name that no test uses for something else, with a value for each of any number of objectives.
fn parabola_of_its_own(trial: &mut Trial) -> std::result::Result<Vec<f64>, BoxError> {
    let y = trial.suggest_float("a parameter of its own", -1.0..=1.0)?;
    let objectives = trial.study().directions()?.len();
    Ok(vec![y * y; objectives])
}

/// A study in a file, and what keeps the file.
pub(crate) fn study_in_file() -> (TempDir, Study) {
    let (folder, path) = place();
    let study = trialog::open(&path).unwrap().study("s").create().unwrap();
    (folder, study)
}

/// Another handle on the log of a storage, as another process would have it.
pub(crate) fn reopened(storage: &Storage) -> Storage {
    trialog::open(storage.location()).unwrap()
}

/// SplitMix64, for tests that want something irregular and the same every time.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ mixed >> 31) % n
    }
}
