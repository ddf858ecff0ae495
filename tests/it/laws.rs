//! The laws as the facade shows them: one log, one state, for every handle, thread and process.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU32, Ordering};

use trialog::journal::{Durability, Journal, Seq};
use trialog::{Digest, DurabilityLevel, Error, NewTrial, OpenOptions, Storage, Study, TrialState};
use trialog_journal_file::{FileJournal, Options};

use crate::support::{Random, assert_dense, count, parabola, place, reopened};

/// Steps of every kind in an order that follows from the seed. What others do meanwhile may refuse some of them.
pub(crate) fn irregular_work(study: &Study, seed: u64, steps: usize) {
    let mut random = Random(seed);
    let mut running: Vec<trialog::Trial> = Vec::new();
    for _ in 0..steps {
        let pick = random.below(running.len().max(1) as u64) as usize;
        match (random.below(10), running.get_mut(pick)) {
            (0..3, _) | (_, None) => running.push(study.ask().unwrap()),
            (3, Some(trial)) => {
                trial.suggest_float("x", 0.0..=random.below(9) as f64).unwrap();
                if random.below(2) == 0 {
                    trial.suggest_categorical("kind", &["a", "b"]).unwrap();
                }
            }
            (4, Some(trial)) => trial.report(random.below(5), random.below(100) as f64).unwrap(),
            (5, Some(trial)) => trial.set_user_attr("note", random.below(9)).unwrap(),
            (6, Some(_)) => _ = study.enqueue([("x", random.below(9) as f64)]).unwrap(),
            (7, Some(_)) => study.set_user_attr("last", seed).unwrap(),
            (8, Some(_)) => _ = study.add_trial(NewTrial::complete(random.below(9) as f64)).unwrap(),
            (_, Some(_)) => {
                let trial = running.swap_remove(pick);
                match random.below(3) {
                    0 => study.tell(&trial, random.below(100) as f64).unwrap(),
                    1 => study.tell_pruned(&trial).unwrap(),
                    _ => study.tell_failed(&trial).unwrap(),
                };
            }
        }
    }
}

#[test]
fn handles_and_threads_see_one_state() {
    let (_folder, path) = place();
    let storage = trialog::open(&path).unwrap();
    storage.study("s").create().unwrap();
    let handles: Vec<Study> = (0..3).map(|_| reopened(&storage).study("s").load().unwrap()).collect();
    std::thread::scope(|scope| {
        for seed in 0..6 {
            let study = &handles[seed % 3];
            scope.spawn(move || irregular_work(study, seed as u64, 80));
        }
    });
    let digests: Vec<Digest> = handles.iter().map(|study| study.storage().digest().unwrap()).collect();
    assert_one(&digests);
    assert_one(&[digests[0], storage.digest().unwrap(), reopened(&storage).digest().unwrap()]);
    assert_dense(&handles[0].trials().unwrap());
}

#[track_caller]
fn assert_one(digests: &[Digest]) {
    assert!(digests.windows(2).all(|pair| pair[0] == pair[1]), "not one state: {digests:?}");
}

#[test]
fn the_medium_does_not_matter() {
    let (_folder, path) = place();
    let in_file = trialog::open(&path).unwrap().study("s").seed(1).create().unwrap();
    let in_memory = Storage::in_memory().unwrap().study("s").seed(1).create().unwrap();
    for study in [&in_file, &in_memory] {
        study.optimize(30, parabola).unwrap();
    }
    // All but the times is the same; with the same times so is the digest.
    let params = |study: &Study| study.trials().unwrap().iter().map(|t| t.params.clone()).collect::<Vec<_>>();
    assert_eq!(params(&in_file), params(&in_memory));
    let copies = [&in_file, &in_memory].map(|study| {
        let target = Storage::in_memory().unwrap();
        in_file.storage().copy_study("s", &target, "s").unwrap();
        (study.name().to_owned(), target.study("s").load().unwrap().digest().unwrap())
    });
    assert_eq!(copies[0], copies[1]);
}

/// All records of a log, as they are.
fn records(path: &str) -> Vec<Vec<u8>> {
    let mut records = Vec::new();
    let journal = FileJournal::open(path, &Options { read_only: true, ..Options::default() }).unwrap();
    journal
        .read(Seq(0), &mut |_, bytes| {
            records.push(bytes.to_vec());
            ControlFlow::Continue(())
        })
        .unwrap();
    records
}

#[test]
fn a_record_that_is_retried_applies_once() {
    let (_folder, path) = place();
    let study = trialog::open(&path).unwrap().study("s").create().unwrap();
    study.optimize(5, parabola).unwrap();
    study.enqueue([("x", 1.0)]).unwrap();
    let running = study.ask().unwrap();
    let (digest, trials) = (study.digest().unwrap(), study.trials().unwrap());

    // Somebody's replies were lost, and everything is sent again, by another handle and by one that knows the log.
    let again = records(&path);
    let journal = FileJournal::open(&path, &Options::default()).unwrap();
    for record in &again {
        journal.append(&[record], Durability::Process).unwrap();
    }
    assert_eq!(records(&path).len(), 2 * again.len());
    assert_eq!((study.digest().unwrap(), study.trials().unwrap()), (digest, trials));
    let other = trialog::open(&path).unwrap();
    assert_eq!(other.study("s").load().unwrap().digest().unwrap(), digest);
    assert_one(&[other.digest().unwrap(), study.storage().digest().unwrap()]);
    study.tell(&running, 1.0).unwrap();
    study.optimize(3, parabola).unwrap();
    assert_dense(&other.study("s").load().unwrap().trials().unwrap());
}

#[test]
fn a_record_that_is_none_is_damage_and_not_dropped() {
    let (_folder, path) = place();
    let study = trialog::open(&path).unwrap().study("s").create().unwrap();
    study.optimize(2, parabola).unwrap();
    let journal = FileJournal::open(&path, &Options::default()).unwrap();
    journal.append(&[b"whole, and no record of ops"], Durability::Process).unwrap();
    for error in [study.trials().unwrap_err(), trialog::open(&path).unwrap_err()] {
        assert!(error.is_corrupt() || error.is_newer_format(), "{error}");
        assert!(error.to_string().contains(&path), "{error}");
    }
}

#[test]
fn a_view_never_changes() {
    let (_folder, path) = place();
    let study = trialog::open(&path).unwrap().study("s").create().unwrap();
    let mut views = Vec::new();
    for seed in 0..8 {
        irregular_work(&study, seed, 25);
        let view = study.view().unwrap();
        let seen = format!("{:?}", view.trials().map(trialog::FrozenTrial::from).collect::<Vec<_>>());
        views.push((view.digest(), view.position(), seen, view));
    }
    study.storage().delete_study("s").unwrap();
    for (digest, position, seen, view) in &views {
        assert_eq!((view.digest(), view.position()), (*digest, *position));
        assert_eq!(format!("{:?}", view.trials().map(trialog::FrozenTrial::from).collect::<Vec<_>>()), *seen);
        let last = view.trial_count() as u32;
        assert!(view.trial(trialog::TrialNumber(last)).is_none());
    }
    assert!(views.windows(2).all(|pair| pair[0].0 != pair[1].0 && pair[0].1 < pair[1].1));
}

#[test]
fn eight_threads_lose_and_double_nothing() {
    let (_folder, path) = place();
    let study = trialog::open(&path).unwrap().study("s").create().unwrap();
    let told = AtomicU32::new(0);
    study
        .optimizer()
        .n_trials(200)
        .n_jobs(8)
        .callback(|_, trial| {
            assert_eq!(trial.value().unwrap(), trial.intermediate_values[0].1);
            told.fetch_add(1, Ordering::Relaxed);
            ControlFlow::Continue(())
        })
        .run(|trial| {
            let value = parabola(trial)?;
            trial.report(0, value)?;
            trial.set_user_attr("number", u64::from(trial.number().0))?;
            Ok(value)
        })
        .unwrap();
    let again = reopened(study.storage()).study("s").load().unwrap();
    let trials = again.trials().unwrap();
    assert_dense(&trials);
    assert_eq!((told.into_inner(), count(&again, TrialState::Complete)), (200, 200));
    for trial in &trials {
        assert_eq!(trial.user_attrs["number"].as_str(), trial.number.to_string());
        assert_eq!(trial.values, [trial.intermediate_values[0].1]);
    }
    assert_one(&[again.storage().digest().unwrap(), study.storage().digest().unwrap()]);
}

#[test]
fn the_log_says_who_names_a_study() {
    let (_folder, path) = place();
    trialog::open(&path).unwrap();
    let made = AtomicU32::new(0);
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                let storage = trialog::open(&path).unwrap();
                match storage.study("one").create() {
                    Ok(_) => _ = made.fetch_add(1, Ordering::Relaxed),
                    Err(error) => assert!(error.is_duplicate(), "{error}"),
                }
                storage.study("many").load_or_create().unwrap().optimize(5, parabola).unwrap();
            });
        }
    });
    assert_eq!(made.into_inner(), 1);
    let storage = trialog::open(&path).unwrap();
    assert_eq!(storage.study_names().unwrap().len(), 2);
    assert_eq!(storage.study("many").load().unwrap().trials().unwrap().len(), 30);
}

#[test]
fn the_log_says_who_ends_a_trial() {
    let (_folder, path) = place();
    let study = trialog::open(&path).unwrap().study("s").create().unwrap();
    for _ in 0..10 {
        let number = study.ask().unwrap().number();
        let winners: Vec<f64> = std::thread::scope(|scope| {
            let tell = |value: u32| {
                let handle = reopened(study.storage()).study("s").load().unwrap();
                match handle.tell_number(number, value) {
                    Ok(told) => Some(told.value().unwrap()),
                    Err(error) => {
                        assert!(Error::is_finished_trial(&error), "{error}");
                        None
                    }
                }
            };
            let threads: Vec<_> = (0..4).map(|value| scope.spawn(move || tell(value))).collect();
            threads.into_iter().filter_map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(winners.len(), 1);
        assert_eq!(study.trial(number).unwrap().values, winners);
    }
}

#[test]
fn every_level_of_durability_keeps_what_is_told_while_the_machine_runs() {
    for level in [DurabilityLevel::Never, DurabilityLevel::Told, DurabilityLevel::Always] {
        let (_folder, path) = place();
        let storage = OpenOptions::new().durability(level).open(&path).unwrap();
        let study = storage.study("s").create().unwrap();
        study.optimize(10, parabola).unwrap();
        let digest = storage.digest().unwrap();
        drop((storage, study));
        assert_one(&[digest, trialog::open(&path).unwrap().digest().unwrap()]);
    }
}

#[test]
#[should_panic(expected = "not one state")]
fn canary_two_states_are_noticed() {
    let studies = [1.0, 2.0].map(|value| {
        let study = Storage::in_memory().unwrap().study("s").seed(1).create().unwrap();
        let times = (trialog::Timestamp(1), trialog::Timestamp(2));
        study.add_trial(NewTrial::complete(value).times(times.0, times.1)).unwrap();
        study
    });
    assert_one(&studies.map(|study| study.digest().unwrap()));
}
