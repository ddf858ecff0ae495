//! Logs: looked after, and what is said of damaged, foreign and held ones.

use serde_json::json;

use crate::support::Place;

fn tuned() -> Place {
    let place = Place::new();
    place.ok(&["run", "-p", "x=float(0, 1)", "-n", "10", "--quiet", "--", "echo", "{x}"]);
    place
}

fn damage(place: &Place) {
    let path = place.path().join("runs.tlog");
    let mut bytes = std::fs::read(&path).expect("the log");
    let middle = bytes.len() / 2;
    bytes[middle..middle + 16].fill(0x55);
    std::fs::write(path, bytes).expect("the log can be written");
}

#[test]
fn a_whole_log() {
    let place = tuned();
    let stat = place.json(&["stat", "runs.tlog"]);
    assert_eq!((&stat["studies"][0]["trials"]["complete"], &stat["damaged_at"]), (&json!(10), &json!(null)));
    let verified = place.json(&["verify", "runs.tlog"]);
    assert_eq!(verified["clean"], true);
    let digest = place.ok(&["digest"]);
    assert_eq!(digest.trim(), verified["digest"].as_str().unwrap());
    let records = stat["records"].to_string();
    assert_eq!(place.ok(&["digest", "--at", &records]), digest);
    assert_ne!(place.ok(&["digest", "--at", "5"]), digest);
    place.fails(&["digest", "--at", "100000"], 4, "records");
    assert_eq!(place.ok(&["compact"]), "compacted\n");
    assert_eq!(place.ok(&["digest"]), digest, "compaction changes nothing that anybody sees");
}

#[test]
fn a_damaged_log_is_reported_and_repaired() {
    let place = tuned();
    damage(&place);
    place.fails(&["best"], 6, "damaged at byte");
    let verified = place.run(&["verify", "runs.tlog"]);
    assert_eq!(verified.code, Some(6));
    let report: serde_json::Value = serde_json::from_str(&verified.out).unwrap();
    assert!(report["damages"][0]["offset"].as_u64().is_some(), "{report}");
    let repaired = place.json(&["repair", "runs.tlog", "mended.tlog"]);
    assert_eq!(repaired["lossless"], false);
    assert!(repaired["records_lost"].as_u64().unwrap() >= 1);
    place.fails(&["repair", "runs.tlog", "mended.tlog"], 4, "exists already");
    assert_eq!(place.json(&["verify", "mended.tlog"])["clean"], true);
    place.ok(&["run", "-s", "mended.tlog", "-n", "1", "--quiet", "--", "echo", "{x}"]);
}

#[test]
fn files_that_are_no_logs() {
    let place = Place::new();
    place
        .write("notes.txt", "this is a text of some length that is no log of anything at all, and is left alone\n");
    place.fails(&["list", "-s", "notes.txt"], 7, "notes.txt");
    place.fails(&["verify", "notes.txt"], 7, "is not a Trialog log");
    place.fails(&["verify", "nothing.tlog"], 3, "there is no log");
}

#[cfg(target_os = "linux")]
#[test]
fn a_held_lock_is_waited_for_and_named() {
    use nix::fcntl::{FcntlArg, fcntl};

    let place = tuned();
    let file = std::fs::File::options().read(true).write(true).open(place.path().join("runs.tlog")).unwrap();
    // Somebody holds the whole log as a writer does.
    let lock = nix::libc::flock {
        l_type: nix::libc::F_WRLCK as nix::libc::c_short,
        l_whence: nix::libc::SEEK_SET as nix::libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    fcntl(&file, FcntlArg::F_OFD_SETLK(&lock)).unwrap();
    place.fails(&["ask", "--lock-wait", "200ms"], 5, "runs.tlog");
    // A reader never waits for a writer, whatever that one is doing.
    assert_eq!(place.json(&["list"])[0]["complete"], 10);
    drop(file);
    place.ok(&["ask", "--lock-wait", "200ms"]);
}

#[test]
fn the_doctor_says_what_is_promised_here() {
    let place = Place::new();
    let said = place.json(&["doctor", "."]);
    assert_eq!(said["writable"], true);
    assert!(said["probes"].as_array().unwrap().iter().all(|probe| probe["outcome"] != "bad"), "{said}");
    place.fails(&["doctor", "no/such/folder"], 3, "no/such");
}

#[test]
fn a_selftest_gives_a_verdict_and_leaves_nothing() {
    let place = Place::new();
    std::fs::create_dir(place.path().join("here")).unwrap();
    let verdict = place.json(&["selftest", "--minutes", "0.05", "--workers", "3", "--seed", "7", "here"]);
    assert_eq!(
        (&verdict["verdict"], &verdict["seed"], &verdict["missing"]),
        (&json!("good"), &json!(7), &json!(0))
    );
    assert!(verdict["acknowledged"].as_u64().unwrap() > 0);
    assert_eq!(std::fs::read_dir(place.path().join("here")).unwrap().count(), 0);
}

#[test]
fn a_bench_of_a_place() {
    let place = Place::new();
    let rows = place.json(&["bench", ".", "--each", "50ms"]);
    assert!(rows.as_array().unwrap().iter().all(|row| row["per_second"].as_f64().unwrap() > 0.0), "{rows}");
    assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 0);
}
