//! A disk that fills up, fails, or loses power, at every write and sync: what was told is there, exactly once.

use std::collections::BTreeMap;
use std::sync::Arc;

use trialog::{DurabilityLevel, Error, OpenOptions, Storage, TrialState};
use trialog_journal_file::{FileJournal, Options};
use trialog_testkit::{Call, Failure, FakeOs, Lie, Survival};

use crate::support::{assert_dense, parabola, refused};

const EIO: i32 = 5;
const ENOSPC: i32 = 28;

fn open(os: &FakeOs, process: u32, level: DurabilityLevel) -> trialog::Result<Storage> {
    let journal = FileJournal::open_on(Arc::new(os.process(process)), "/runs.tlog", &Options::default())?;
    OpenOptions::new().durability(level).open_journal(Box::new(journal))
}

/// What came back from calls that returned.
#[derive(Default)]
struct Told {
    values: BTreeMap<u32, f64>,
    enqueued: usize,
    errors: Vec<Error>,
}

/// Some of everything; after an error the storage is opened again and the work goes on.
fn work(os: &FakeOs, level: DurabilityLevel, told: &mut Told) {
    let mut storage = None;
    for i in 0..10 {
        if let Err(error) = step(os, level, i, &mut storage, told) {
            told.errors.push(error);
            // What the handle knows may be wrong now; it says so until it is opened again.
            if let Some(storage) = storage.take() {
                let again = storage.study("s").load_or_create().and_then(|study| study.ask().map(drop));
                let first = told.errors.last().unwrap();
                assert!(
                    again.is_ok() || again.is_err_and(|e| e.is_poisoned() || e.is_out_of_space()),
                    "after {first}"
                );
            }
        }
    }
}

fn step(
    os: &FakeOs,
    level: DurabilityLevel,
    i: i32,
    storage: &mut Option<Storage>,
    told: &mut Told,
) -> trialog::Result<()> {
    if storage.is_none() {
        *storage = Some(open(os, 1, level)?);
    }
    let Some(storage) = storage else { return Ok(()) };
    let study = storage.study("s").load_or_create()?;
    if i % 3 == 2 {
        study.enqueue([("x", f64::from(i))])?;
        told.enqueued += 1;
    }
    let mut trial = study.ask()?;
    let x = trial.suggest_float("x", -100.0..=100.0)?;
    trial.report(0, x)?;
    trial.report(1, x)?;
    let number = trial.number().0;
    study.tell(&trial, x)?;
    told.values.insert(number, x);
    Ok(())
}

/// Everything told is there, once, in a file that goes on.
fn check(os: &FakeOs, told: &Told, what: &str) {
    let storage = match open(os, 2, DurabilityLevel::Told) {
        Ok(storage) => storage,
        // A disk that wrote later sectors and not earlier ones leaves damage. It is said, and is for a repair to judge.
        Err(error) if what.contains("sectors") && error.is_corrupt() => {
            assert!(error.to_string().contains("a loss of power explains it"), "{what}: {error}");
            return;
        }
        Err(error) => panic!("{what}: {error}"),
    };
    let study = storage.study("s").load_or_create().unwrap();
    let trials = study.trials().unwrap();
    assert_dense(&trials);
    for (number, value) in &told.values {
        let trial =
            trials.get(*number as usize).unwrap_or_else(|| panic!("{what}: trial {number} was told and is lost"));
        assert_eq!((trial.state, trial.value()), (TrialState::Complete, Some(*value)), "{what}: trial {number}");
    }
    let enqueued = trials.iter().filter(|trial| trial.system_attrs.contains_key("fixed_params")).count();
    assert!(enqueued >= told.enqueued, "{what}: an enqueued trial is lost");
    study.optimize(2, parabola).unwrap_or_else(|error| panic!("{what}: {error}"));
    let again = open(os, 3, DurabilityLevel::Told).unwrap();
    assert_eq!(again.digest().unwrap(), storage.digest().unwrap(), "{what}");
}

#[test]
fn the_disk_is_full_at_each_write() {
    for (call, errno) in
        [(Call::WriteAt, ENOSPC), (Call::SyncData, ENOSPC), (Call::WriteAt, EIO), (Call::SyncData, EIO)]
    {
        let mut struck = 0;
        for after in 0.. {
            let os = FakeOs::new();
            os.fail(Some(call), after, Failure::Errno(errno));
            let mut told = Told::default();
            work(&os, DurabilityLevel::Told, &mut told);
            if !os.heal() {
                assert!(told.errors.is_empty(), "{:?}", told.errors);
                break;
            }
            struck += 1;
            let first = told.errors.first().unwrap_or_else(|| panic!("{call:?} {after}: nobody was told"));
            let expected = if errno == ENOSPC { first.is_out_of_space() } else { first.is_unavailable() };
            assert!(expected, "{call:?} {after}: {first}");
            assert!(first.to_string().contains("/runs.tlog"), "{first}");
            check(&os, &told, &format!("errno {errno} at {call:?} {after}"));
        }
        assert!(struck > 10, "{call:?} struck only {struck} times");
    }
}

#[test]
fn the_disk_is_full_within_a_write_and_stays_so() {
    for after in (1..40).step_by(3) {
        for taken in [1, 10, 30] {
            let os = FakeOs::new();
            os.fail(Some(Call::WriteAt), after, Failure::Short(taken));
            os.fail_for_good(Some(Call::WriteAt), after + 1, Failure::Errno(ENOSPC));
            let mut told = Told::default();
            work(&os, DurabilityLevel::Told, &mut told);
            assert!(
                told.errors.iter().all(|error| error.is_out_of_space() || error.is_poisoned()),
                "{:?}",
                told.errors
            );
            assert!(!told.errors.is_empty());
            // Somebody makes room.
            os.heal();
            check(&os, &told, &format!("write {after} takes {taken} bytes"));
        }
    }
}

#[test]
fn a_full_disk_inside_an_objective_is_told_as_such() {
    for after in 3..9 {
        let os = FakeOs::new();
        let study = open(&os, 1, DurabilityLevel::Told).unwrap().study("s").create().unwrap();
        os.fail(Some(Call::WriteAt), after, Failure::Errno(ENOSPC));
        let error = study
            .optimize(10, |trial| {
                let x = trial.suggest_float("x", 0.0..=1.0)?;
                trial.report(0, x)?;
                Ok(x)
            })
            .unwrap_err();
        assert!(error.is_out_of_space(), "write {after}: {error}");
        // The handle writes no more until it is opened again.
        refused(study.ask().map(drop), Error::is_poisoned);
        assert_eq!(study.trials().unwrap().len(), study.view().unwrap().trial_count(), "looking is still allowed");
        os.heal();
        let again = open(&os, 2, DurabilityLevel::Told).unwrap().study("s").load().unwrap();
        again.optimize(3, parabola_in_unit).unwrap();
    }
}

fn parabola_in_unit(trial: &mut trialog::Trial) -> Result<f64, trialog::BoxError> {
    Ok(trial.suggest_float("x", 0.0..=1.0)?)
}

/// Kills the process or the machine at each write; what had returned by then is there afterwards.
fn crash_at_each_write(level: DurabilityLevel, what: &str, failure: impl Fn(usize) -> Failure) {
    for after in 1.. {
        let os = FakeOs::new();
        os.fail(Some(Call::WriteAt), after, failure(after));
        let mut told = Told::default();
        work_until_error(&os, level, &mut told);
        if !os.heal() {
            break;
        }
        check(&os, &told, &format!("{level:?}, {what} at write {after}"));
    }
}

fn work_until_error(os: &FakeOs, level: DurabilityLevel, told: &mut Told) {
    let mut storage = None;
    for i in 0..10 {
        if step(os, level, i, &mut storage, told).is_err() {
            return;
        }
    }
}

#[test]
fn told_trials_survive_the_power_and_the_process_as_promised() {
    for level in [DurabilityLevel::Told, DurabilityLevel::Always] {
        crash_at_each_write(level, "power cut", |_| Failure::PowerCut(0, Survival::Nothing));
        crash_at_each_write(level, "power cut between sectors", |after| {
            Failure::PowerCut(after % 40, Survival::Some(after as u64))
        });
    }
    for level in [DurabilityLevel::Never, DurabilityLevel::Told] {
        crash_at_each_write(level, "kill", |after| Failure::Kill(after % 40));
    }
}

#[test]
fn levels_differ_in_what_a_running_trial_keeps() {
    let reports_after_power_cut = |level| {
        let os = FakeOs::new();
        let study = open(&os, 1, DurabilityLevel::Told).unwrap().study("s").create().unwrap();
        let study = match level {
            DurabilityLevel::Told => study,
            level => open(&os, 1, level).unwrap().study("s").load().unwrap(),
        };
        let mut trial = study.ask().unwrap();
        trial.report(0, 1.0).unwrap();
        os.power_cut(Survival::Nothing);
        let study = open(&os, 2, DurabilityLevel::Told).unwrap().study("s").load().unwrap();
        study.trials().unwrap().first().map(|trial| trial.intermediate_values.len())
    };
    assert_eq!(reports_after_power_cut(DurabilityLevel::Never), None);
    assert_eq!(reports_after_power_cut(DurabilityLevel::Told), None);
    assert_eq!(reports_after_power_cut(DurabilityLevel::Always), Some(1));
}

#[test]
fn never_flushes_never() {
    let syncs = |level| {
        let os = FakeOs::new();
        let storage = open(&os, 1, level).unwrap();
        // The first record of a file may wait for the file's header.
        let study = storage.study("s").create().unwrap();
        let before = os.durable_steps();
        study.set_user_attr("what", "kept").unwrap();
        study.optimize(5, parabola).unwrap();
        os.durable_steps() - before
    };
    assert_eq!(syncs(DurabilityLevel::Never), 0);
    assert_eq!(syncs(DurabilityLevel::Told), 1 + 5, "one for the attribute and one for each trial that was told");
    assert!(syncs(DurabilityLevel::Always) > 10);
}

#[test]
#[should_panic(expected = "was told and is lost")]
fn canary_a_machine_whose_syncs_do_nothing_is_noticed() {
    let os = FakeOs::new();
    let mut told = Told::default();
    work(&os, DurabilityLevel::Told, &mut told);
    assert!(!told.values.is_empty() && told.errors.is_empty());
    let os = FakeOs::new();
    open(&os, 1, DurabilityLevel::Told).unwrap();
    os.lie(Lie::SyncsDoNothing);
    work(&os, DurabilityLevel::Told, &mut Told::default());
    os.power_cut(Survival::Nothing);
    os.lie_no_more();
    check(&os, &told, "lying syncs");
}
