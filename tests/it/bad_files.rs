//! Files that are no logs, or are damaged, cut short, newer or locked up: a typed error, and nothing is changed.

use std::fs;

use trialog::{Error, OpenOptions, Study};

use crate::support::{Random, assert_dense, parabola, place, refused};

#[test]
fn files_of_other_kinds_are_refused_and_left_alone() {
    let mut random = Random(1);
    let noise: Vec<u8> = (0..500).map(|_| random.below(256) as u8).collect();
    let files: [(&[u8], &str); 8] = [
        (
            b"a text of some length, with nothing of a log in it, and then some more of that",
            "text that begins with",
        ),
        (b"x", "text that begins with"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "a PNG image"),
        (b"SQLite format 3\0", "an SQLite database"),
        (b"PK\x03\x04", "a zip archive"),
        (&[0; 4096], "zero bytes"),
        (&noise, "begins with the bytes"),
        (b"number,value\n0,1.5\n", "text that begins with"),
    ];
    for (bytes, what) in files {
        let (_folder, path) = place();
        fs::write(&path, bytes).unwrap();
        for options in [OpenOptions::new(), OpenOptions::new().read_only(true), OpenOptions::new().must_exist(true)]
        {
            let text = refused(options.open(&path), Error::is_not_a_log);
            assert!(text.contains(&path) && text.contains(what), "{text}");
        }
        assert_eq!(fs::read(&path).unwrap(), bytes, "{what}: the file was changed");
    }
}

#[test]
fn a_folder_is_no_log() {
    let (folder, _) = place();
    let path = folder.path().to_str().unwrap();
    let text = refused(trialog::open(path), Error::is_not_a_log);
    assert!(text.contains("directory"), "{text}");
    let inside_nothing = format!("{path}/absent/runs.tlog");
    let text = refused(trialog::open(&inside_nothing), |error| error.is_not_found() || error.is_unavailable());
    assert!(text.contains(&inside_nothing), "{text}");
}

#[test]
fn an_empty_file_becomes_a_log() {
    let (_folder, path) = place();
    fs::write(&path, b"").unwrap();
    let reader = OpenOptions::new().read_only(true).open(&path).unwrap();
    assert!(reader.study_names().unwrap().is_empty());
    assert!(fs::read(&path).unwrap().is_empty(), "a reader changes nothing");
    let study = trialog::open(&path).unwrap().study("s").create().unwrap();
    study.optimize(3, parabola).unwrap();
    assert_eq!(reader.study("s").load().unwrap().trials().unwrap().len(), 3);
}

#[test]
fn a_file_that_is_absent() {
    let (_folder, path) = place();
    for options in [OpenOptions::new().read_only(true), OpenOptions::new().must_exist(true)] {
        let text = refused(options.open(&path), Error::is_not_found);
        assert!(text.contains(&path), "{text}");
    }
    assert!(!fs::exists(&path).unwrap(), "looking made the file");
}

#[test]
fn a_newer_version_is_named() {
    let (_folder, path) = place();
    let mut bytes = sample(&path, 3);
    // Another version, and a checksum that only that version knows how to make.
    bytes[8] = 2;
    bytes[60] ^= 0x55;
    fs::write(&path, &bytes).unwrap();
    let text = refused(trialog::open(&path), Error::is_newer_format);
    assert!(text.contains("version 2") && text.contains("newer Trialog"), "{text}");
    assert_eq!(fs::read(&path).unwrap(), bytes);
}

/// A log with a study of some trials, and its bytes.
fn sample(path: &str, n_trials: usize) -> Vec<u8> {
    let study = trialog::open(path).unwrap().study("s").create().unwrap();
    study.optimize(n_trials, parabola).unwrap();
    fs::read(path).unwrap()
}

#[test]
fn a_torn_tail_is_passed_over_and_the_study_goes_on() {
    let (_folder, path) = place();
    let whole = sample(&path, 6);
    let mut seen = Vec::new();
    for length in (64..whole.len()).rev() {
        fs::write(&path, &whole[..length]).unwrap();
        let reader = OpenOptions::new().read_only(true).open(&path).unwrap();
        let names = reader.study_names().unwrap();
        let n_trials = names.first().map_or(0, |name| reader.study(name).load().unwrap().trials().unwrap().len());
        assert_eq!(fs::read(&path).unwrap().len(), length, "a reader cut the file");
        seen.push((names.len(), n_trials));
        if length % 53 == 0 {
            // Whoever writes next goes on from the last whole record.
            let study = trialog::open(&path).unwrap().study("s").load_or_create().unwrap();
            study.optimize(2, parabola).unwrap();
            let trials = study.trials().unwrap();
            assert_dense(&trials);
            assert_eq!(trials.len(), n_trials + 2);
            assert_eq!(study.digest().unwrap(), digest(&path));
        }
    }
    assert!(seen.is_sorted_by(|a, b| a >= b), "a shorter file shows more");
    seen.dedup();
    assert_eq!(seen.len(), 8, "six trials, one after the other, then the study: {seen:?}");
}

fn digest(path: &str) -> trialog::Digest {
    trialog::open(path).unwrap().study("s").load().unwrap().digest().unwrap()
}

#[test]
fn damage_in_the_middle_is_found_and_named() {
    let (_folder, path) = place();
    let whole = sample(&path, 12);
    // Not the last record: its damage cannot be told from a torn tail.
    for at in (64..whole.len() - 100).step_by(61) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        fs::write(&path, &bytes).unwrap();
        for options in [OpenOptions::new(), OpenOptions::new().read_only(true)] {
            let text = refused(options.open(&path), Error::is_corrupt);
            // Between the two places that it names, where the damage begins and where what follows it does.
            let words = text.split(' ').collect::<Vec<_>>();
            let named = words.windows(2).filter(|pair| pair[0] == "byte");
            let named: Vec<usize> = named.map(|pair| pair[1].trim_matches(',').parse().unwrap()).collect();
            assert!(named.len() == 2 && named[0] <= at && at < named[1], "the damage is at {at}: {text}");
        }
        assert_eq!(fs::read(&path).unwrap(), bytes, "nothing is dropped to get going again");
    }
    let mut bytes = whole.clone();
    bytes[20] ^= 1;
    fs::write(&path, &bytes).unwrap();
    refused(trialog::open(&path), Error::is_corrupt);
    // What was there before is there again.
    fs::write(&path, &whole).unwrap();
    assert_eq!(trialog::open(&path).unwrap().study("s").load().unwrap().trials().unwrap().len(), 12);
}

#[test]
fn a_log_that_is_replaced_or_shrinks_while_it_is_open() {
    let (_folder, path) = place();
    let whole = sample(&path, 6);
    let study = trialog::open(&path).unwrap().study("s").load().unwrap();
    fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    let trouble = |error: &Error| error.is_regressed() || error.is_corrupt() || error.is_poisoned();
    refused(study.ask().map(drop), trouble);
    refused(study.trials(), trouble);
    // Opened again, it goes on with what is there.
    let study = trialog::open(&path).unwrap().study("s").load().unwrap();
    study.optimize(2, parabola).unwrap();
    fs::remove_file(&path).unwrap();
    let text = refused(study.optimize(1, parabola), Error::is_regressed);
    assert!(text.contains(&path), "{text}");
    assert!(!fs::exists(&path).unwrap(), "nothing is written to a log without a name");
}

#[test]
fn read_only_storage_refuses_every_write_and_shows_everything() {
    let (_folder, path) = place();
    let writer = trialog::open(&path).unwrap().study("s").create().unwrap();
    writer.optimize(4, parabola).unwrap();
    let storage = OpenOptions::new().read_only(true).open(&path).unwrap();
    let study: Study = storage.study("s").load().unwrap();
    let before = fs::read(&path).unwrap();
    let is = Error::is_read_only;
    refused(storage.study("new").create(), is);
    refused(storage.study("new").load_or_create(), is);
    refused(storage.delete_study("s"), is);
    refused(storage.copy_study("s", &storage, "t"), is);
    refused(study.ask().map(drop), is);
    refused(study.optimize(1, parabola), is);
    refused(study.enqueue([("x", 1.0)]), is);
    refused(study.add_trial(&study.trials().unwrap()[0]), is);
    refused(study.set_user_attr("k", 1), is);
    refused(storage.study("s").seed(study.seed() ^ 1).load(), is);
    assert_eq!(fs::read(&path).unwrap(), before);
    // It follows what others write.
    writer.optimize(3, parabola).unwrap();
    assert_eq!(study.trials().unwrap(), writer.trials().unwrap());
    assert_eq!(study.best_value().unwrap(), writer.best_value().unwrap());
    assert_eq!(storage.digest().unwrap(), writer.storage().digest().unwrap());
}

#[test]
#[should_panic(expected = "this should have been refused")]
fn canary_a_damaged_file_that_opens_is_noticed() {
    let (_folder, path) = place();
    let mut bytes = sample(&path, 12);
    // Damage in the last record looks like a torn tail, and does open.
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&path, &bytes).unwrap();
    refused(trialog::open(&path), Error::is_corrupt);
}
