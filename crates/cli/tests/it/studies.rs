//! Studies: made, listed, shown, printed, limited; and what is said when one is not there.

use std::process::Stdio;

use serde_json::json;

use crate::support::Place;

fn tuned() -> Place {
    let place = Place::new();
    place.ok(&["create", "--study", "s", "-p", "x=float(0, 1)", "--seed", "3", "-d", "maximize"]);
    for number in 0..6 {
        place.ok(&["ask", "--study", "s"]);
        if number == 4 {
            place.ok(&["tell", "4", "--state", "failed"]);
        } else {
            place.ok(&["tell", &number.to_string(), &format!("0.{number}")]);
        }
    }
    place
}

#[test]
fn made_listed_shown_and_deleted() {
    let place = tuned();
    place.fails(&["create", "--study", "s"], 4, "a study \"s\" is in runs.tlog already");
    place.ok(&["create", "--study", "s", "--if-missing"]);
    place.ok(&["create", "--study", "t", "-d", "minimize,maximize"]);
    let list = place.json(&["list"]);
    assert_eq!((&list[0]["study"], &list[0]["complete"], &list[0]["best"]), (&json!("s"), &json!(5), &json!(0.5)));
    assert_eq!(list[1]["directions"], "minimize,maximize");
    let shown = place.json(&["show", "--study", "s"]);
    assert_eq!(
        (&shown["seed"], &shown["trials"]["complete"], &shown["best"][0]["trial"]),
        (&json!(3), &json!(5), &json!(5))
    );
    let words = place.ok(&["show", "--study", "s", "-f", "table"]);
    assert!(words.contains("study s  maximize") && words.contains("x: float 0.0..1.0"), "{words}");
    place.fails(&["show"], 2, "holds 2 studies (s, t): name one with --study");
    place.fails(&["show", "--study", "u"], 3, "there is no study \"u\" in runs.tlog; it holds \"s\", \"t\"");
    place.fails(&["delete"], 2, "name the study");
    place.ok(&["delete", "--study", "t"]);
    assert_eq!(place.json(&["show"])["study"], "s");
    place.fails(&["best-trials", "-s", "none.tlog"], 3, "there is no log at none.tlog");
    assert!(!place.path().join("none.tlog").exists(), "looking makes nothing");
}

#[test]
fn trials_filtered_sorted_and_in_every_form() {
    let place = tuned();
    let words = [
        "trials",
        "--where",
        "state == 'complete' and value >= 0.2",
        "--sort",
        "-value",
        "--limit",
        "2",
        "--columns",
        "number,value",
    ];
    let in_form = |form: &str| place.ok(&[&words[..], &["-f", form]].concat());
    assert_eq!(in_form("csv"), "number,value\n5,0.5\n3,0.3\n");
    assert_eq!(in_form("jsonl"), "{\"number\":5,\"value\":0.5}\n{\"number\":3,\"value\":0.3}\n");
    assert_eq!(in_form("json"), "[{\"number\":5,\"value\":0.5},{\"number\":3,\"value\":0.3}]\n");
    assert_eq!(in_form("table"), " number  value\n 5       0.5\n 3       0.3\n");
    // What has no value comes last, whichever the order.
    for order in ["value", "-value"] {
        let sorted = place.ok(&["trials", "--sort", order, "--columns", "number", "-f", "csv"]);
        assert!(sorted.ends_with("\n4\n"), "{order}: {sorted}");
    }
    place.fails(&["trials", "--sort", "valeu"], 2, "did you mean \"value\"?");
    place.fails(&["trials", "--where", "valeu > 1"], 4, "did you mean \"value\"?");
    place.fails(&["trials", "--where", "value > "], 4, "the expression ends here");
    place.fails(&["trials", "-f", "parquet"], 2, "-o FILE");
    place.ok(&["trials", "-f", "parquet", "-o", "t.parquet"]);
    assert!(std::fs::read(place.path().join("t.parquet")).unwrap().starts_with(b"PAR1"));
    place.ok(&["trials", "-f", "csv", "-o", "t.csv"]);
    assert_eq!(place.read("t.csv").lines().count(), 7);
}

#[test]
fn a_reader_that_has_enough_is_no_failure() {
    let place = tuned();
    let mut child =
        place.command(&["trials", "-f", "jsonl"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0), "{output:?}");
}

#[test]
fn attributes_budgets_and_retries() {
    let place = tuned();
    place.ok(&["attr", "dataset", "mnist"]);
    place.ok(&["attr", "sizes", "[1, 2]"]);
    assert_eq!(place.json(&["attr"]), json!({"dataset": "mnist", "sizes": [1, 2]}));
    assert_eq!(place.ok(&["attr", "dataset"]), "\"mnist\"\n");
    place.fails(&["attr", "nothing"], 3, "no attribute \"nothing\"");
    place.fails(&["attr", "--trial", "0", "k", "1"], 4, "trial 0 is finished");
    assert_eq!(place.json(&["budget", "--trials", "7"])["trials"], 7);
    place.ok(&["ask"]);
    place.fails(&["ask"], 9, "budget");
    assert_eq!(place.json(&["budget", "--unlimited"])["trials"], json!(null));
    assert_eq!(place.json(&["retry", "--max", "2"]), json!({"max": 2, "inherit_reports": false}));
    let again = place.json(&["retry", "--trial", "4"])["trial"].clone();
    let asked = place.json(&["ask"]);
    assert_eq!(asked["trial"], again);
    let old = place.json(&["trials", "--where", "number == 4"]);
    assert_eq!(asked["params"]["x"], old[0]["params_x"]);
}

#[test]
fn comparisons_are_honest() {
    let place = Place::new();
    for (side, offset) in [("good", 0.0), ("bad", 10.0)] {
        for seed in 0..5 {
            let study = format!("{side}-{seed}");
            place.ok(&["create", "--study", &study, "-p", "x=float(0, 1)"]);
            for trial in 0..2 {
                place.ok(&["ask", "--study", &study]);
                let value = format!("{}", offset + f64::from(seed) + f64::from(trial));
                place.ok(&["tell", "--study", &study, &trial.to_string(), &value]);
            }
        }
    }
    let compared = place.json(&["compare", "runs.tlog#good-*", "runs.tlog#bad-*", "--at", "2"]);
    let row = &compared["at"][0];
    assert_eq!((&row["shift"], &row["probability_left_better"]), (&json!(-10.0), &json!(1.0)));
    assert_eq!(row["verdict"], "runs.tlog#good-* is better at 95%");
    let one = place.json(&["compare", "runs.tlog#good-0", "runs.tlog#bad-0"]);
    assert!(one["at"][0]["verdict"].as_str().unwrap().starts_with("too few runs to tell"));
    let same = place.json(&["compare", "runs.tlog#good-*", "runs.tlog#good-*", "--at", "1"]);
    assert!(same["at"][0]["verdict"].as_str().unwrap().starts_with("the data cannot tell"));
    place.fails(&["compare", "runs.tlog#none-*", "runs.tlog#bad-*"], 3, "names no study");
}

#[test]
fn bad_options_have_the_code_of_bad_options() {
    let place = tuned();
    place.fails(&["frobnicate"], 2, "unrecognized subcommand");
    place.fails(&["ask", "--sampler", "tpee"], 4, "tpe");
    place.fails(&["ask", "--sampler", "tpe:{"], 2, "no JSON");
    place.fails(&["create", "--study", "x", "-p", "y"], 4, "is no parameter");
    place.fails(&["tell", "x"], 2, "invalid value");
    place.fails(&["trials", "-s", "no:such:scheme"], 4, "is no kind of storage");
}

#[test]
fn completions_and_man_pages() {
    let place = Place::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        assert!(place.ok(&["completions", shell]).contains("should-prune"), "{shell}");
    }
    place.ok(&["man", "pages"]);
    assert!(place.read("pages/trialog-run.1").contains("Placeholders"));
    let help = place.ok(&["help", "run"]);
    assert!(help.contains("Examples:") && help.contains("--memory-limit"), "{help}");
}

#[test]
fn decisions_about_finished_trials() {
    let place = tuned();
    place.ok(&["void", "5", "--reason", "the disk was full"]);
    assert_eq!(place.json(&["best"])["trial"], 3);
    place.fails(&["void", "5"], 4, "withdrawn");
    place.ok(&["unvoid", "5"]);
    assert_eq!(place.json(&["best"])["trial"], 5);
    assert_eq!(place.json(&["amend", "0", "--value", "9", "--attr", "unit=ms"])["values"], json!([9.0]));
    assert_eq!(place.json(&["best"])["trial"], 0);
    place.ok(&["amend", "0", "--undo"]);
    assert_eq!(place.json(&["best"])["trial"], 5);
    place.fails(&["amend", "0"], 2, "say what to correct");
}

#[test]
fn what_happened_can_be_derived_again() {
    let place = tuned();
    let verified = place.json(&["replay", "--verify"]);
    assert_eq!((&verified["same"], &verified["params_same"]), (&json!(true), &json!(6)));
    let replayed = place.json(&["replay"]);
    assert_eq!(replayed["digest"].as_str(), Some(place.ok(&["digest"]).trim()));
    let why = place.json(&["explain", "3"]);
    assert_eq!(why["params"][0]["param"], "x");
    assert!(["alone", "together"].contains(&why["params"][0]["how"].as_str().unwrap()), "{why}");
    assert_eq!(why["seen"]["complete"], 3);
    assert!(place.ok(&["explain", "3", "-f", "table"]).contains("it saw 3 complete"));
    // Once there is a model, what was weighed is shown, and the point that was chosen is the trial's.
    for number in 6..12 {
        place.ok(&["ask"]);
        place.ok(&["tell", &number.to_string(), "0.1"]);
    }
    let asked = place.json(&["ask"]);
    let why = place.json(&["explain", "12"]);
    let all = why["candidates"].as_array().unwrap();
    let chosen: Vec<_> = all.iter().filter(|candidate| candidate["chosen"] == true).collect();
    assert_eq!((all.len(), chosen.len()), (24, 1), "{why}");
    assert_eq!(chosen[0]["values"], asked["params"]);
    assert!(all.iter().all(|candidate| candidate["score"].as_f64() <= chosen[0]["score"].as_f64()));
    place.fails(&["explain", "99"], 3, "has no trial 99");
    let ops = place.ok(&["tail", "--all", "--no-follow"]);
    assert!(ops.contains("CreateStudy") && ops.contains("FinishTrial"), "{ops}");
    assert_eq!(ops.lines().filter(|line| line.contains("CreateTrial")).count(), 13);
}

#[test]
fn a_prune_is_explained_by_the_log() {
    let place = Place::new();
    place.ok(&["create", "-p", "x=float(0, 1)", "--pruner", "median:{\"n_startup_trials\": 1}"]);
    for (trial, value) in [("0", "1"), ("1", "9")] {
        place.ok(&["ask"]);
        place.ok(&["report", trial, "0", value]);
    }
    place.ok(&["tell", "0", "1"]);
    place.ok(&["tell", "1", "--state", "pruned"]);
    let why = place.json(&["explain", "1"]);
    assert!(why["pruned"].as_str().unwrap().contains("median"), "{why}");
}

#[test]
fn studies_go_everywhere() {
    let place = tuned();
    let content = |words: &[&str]| place.json(words)["digest"].clone();
    let copied = place.json(&["copy", "--to", "copy.tlog", "--name", "t"]);
    assert_eq!((&copied["study"], &copied["added"]), (&json!("t"), &json!(6)));
    place.fails(&["copy", "--to", "copy.tlog", "--name", "t"], 4, "\"t\"");
    assert_eq!(place.json(&["copy", "--to", "copy.tlog", "--name", "t", "--if-taken", "resume"])["kept"], 6);
    // Through Optuna's journal, redb and JSON lines, and the content is the same.
    assert_eq!(content(&["copy", "--to", "redb:runs.redb"]), copied["digest"]);
    place.ok(&["copy", "--to", "optuna:journal.log"]);
    assert_eq!(place.json(&["list", "-s", "journal.log"])[0]["complete"], 5);
    place.ok(&["export", "-o", "runs.jsonl"]);
    assert_eq!(content(&["import", "-s", "back.tlog", "runs.jsonl"]), copied["digest"]);
    // A table has no distributions, but its values.
    place.ok(&["trials", "--columns", "value,params_x,state", "-f", "csv", "-o", "runs.csv"]);
    place.ok(&["import", "-s", "table.tlog", "runs.csv", "-d", "maximize"]);
    assert_eq!(place.json(&["best", "-s", "table.tlog"])["values"][0], 0.5);
    place.write("bad.csv", "value,x\n1,2\nmuch,3\n");
    place.fails(&["import", "-s", "bad.tlog", "bad.csv"], 4, "line 3");
    place.write("what", "?");
    place.fails(&["import", "what"], 2, "--from");
    // What grew apart comes together, in any order.
    place.ok(&["ask", "-s", "copy.tlog"]);
    place.ok(&["tell", "-s", "copy.tlog", "6", "0.9"]);
    let one = content(&["merge", "-s", "all.tlog", "--name", "one", "runs.tlog", "copy.tlog#t"]);
    let two = content(&["merge", "-s", "all.tlog", "--name", "two", "copy.tlog", "runs.tlog#s"]);
    assert_eq!(one, two);
    assert_eq!(place.json(&["best", "-s", "all.tlog", "--study", "one"])["values"][0], 0.9);
    // From an earlier point.
    assert_eq!(place.json(&["branch", "--name", "early", "--trial", "2"])["trials"], 3);
    assert_eq!(place.json(&["best", "--study", "early"])["values"][0], 0.2);
    place.fails(&["branch", "--study", "s", "--name", "x", "--time", "noon"], 2, "--time");
}
