//! Studies in redb files, from the front door.

use trialog::samplers::Random;
use trialog::{OpenOptions, TrialState};

use crate::support::{count, parabola};

#[test]
fn a_study_in_a_redb_file() {
    let folder = tempfile::tempdir().unwrap();
    for mode in ["", "?multi-writer"] {
        let url = format!("redb:{}/a{}.redb{mode}", folder.path().display(), mode.len());
        let storage = trialog::open(&url).unwrap();
        let study = storage.study("s").sampler(Random::new()).seed(1).create().unwrap();
        study.optimizer().n_trials(40).n_jobs(4).run(parabola).unwrap();
        let digest = storage.digest().unwrap();
        assert!(storage.compact().unwrap());
        drop((storage, study));
        let storage = trialog::open(&url).unwrap();
        assert_eq!(storage.digest().unwrap(), digest);
        assert_eq!(count(&storage.study("s").load().unwrap(), TrialState::Complete), 40);
        let reader = OpenOptions::new().read_only(true).open(&url).unwrap();
        assert_eq!(reader.digest().unwrap(), digest);
    }
}

#[test]
fn a_url_that_is_wrong_says_what() {
    for (url, piece) in [("redb:", "empty"), ("redb:a.redb?single", "multi-writer")] {
        let error = trialog::open(url).unwrap_err();
        assert!(error.is_invalid() && error.to_string().contains(piece), "{error}");
    }
}

/// The canary: a file of another kind is no study, and is left as it is.
#[test]
fn a_file_of_another_kind_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("diary.redb");
    std::fs::write(&path, "private").unwrap();
    assert!(trialog::open(format!("redb:{}", path.display())).unwrap_err().is_not_a_log());
    assert_eq!(std::fs::read(&path).unwrap(), b"private");
}
