//! `trialog run`: commands with parameters, values out of their output, limits, signals.

use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::support::{Place, Ran};

const X: &str = "x=float(-1, 1)";

#[test]
fn a_command_is_tuned() {
    let place = Place::new();
    let shell = "awk 'BEGIN { print ({x} - 0.5) ^ 2 }'";
    let ran = place.run(&["run", "-p", X, "-n", "20", "--seed", "1", "--", "sh", "-c", shell]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert_eq!(ran.err.matches(" complete ").count(), 20, "{}", ran.err);
    let best = place.json(&["best"]);
    assert_eq!(ran.out.trim(), best.to_string(), "the best trial is what the run prints");
    assert!(best["values"][0].as_f64().unwrap() < 0.1);
    assert_eq!(place.json(&["list"])[0]["study"], "runs", "the study is called like the log");

    // Once more: it goes on, and the space need not be said again.
    place.ok(&["run", "-n", "5", "--quiet", "--", "sh", "-c", shell]);
    assert_eq!(place.json(&["list"])[0]["complete"], 25);
    let number = best["trial"].as_u64().unwrap();
    let kept = place.read(&format!("runs.tlog.trials/runs/{number:06}/stdout"));
    assert_eq!(kept.trim().parse::<f64>().unwrap(), best["values"][0].as_f64().unwrap());
}

#[test]
fn several_jobs_run_at_once_and_exactly_as_many_as_wanted() {
    let place = Place::new();
    let begun = Instant::now();
    place.ok(&["run", "-p", X, "-n", "8", "-j", "8", "--", "sh", "-c", "sleep 1; echo {x}"]);
    assert!(begun.elapsed() < Duration::from_secs(7), "eight seconds of sleep took {:?}", begun.elapsed());
    assert_eq!(place.json(&["trials"]).as_array().unwrap().len(), 8);
}

#[test]
fn a_budget_is_exact_over_several_runners() {
    let place = Place::new();
    place.ok(&["create", "-p", X, "--study", "s"]);
    let run = || {
        let mut command =
            place.command(&["run", "--study", "s", "--budget", "12", "-j", "3", "--quiet", "--", "echo", "{x}"]);
        command.stdout(Stdio::null()).spawn().unwrap()
    };
    let runners = [run(), run(), run()];
    for mut runner in runners {
        assert!(runner.wait().unwrap().success());
    }
    assert_eq!(place.json(&["trials"]).as_array().unwrap().len(), 12);
}

#[test]
fn parameters_come_as_arguments_environment_and_file() {
    let place = Place::new();
    let shell = "test \"$TRIALOG_PARAM_X\" = {x} && grep -q '\"x\":{x}' {params} && test \"$TRIALOG_DIR\" = {dir} \
                 && test $TRIALOG_TRIAL = {trial} && echo \"$TRIALOG_PARAMS\" | grep -q '\"x\"' && echo 1";
    place.ok(&["run", "-p", X, "-n", "2", "--", "sh", "-c", shell]);
    assert_eq!(place.json(&["list"])[0]["complete"], 2);
}

#[test]
fn values_from_every_source() {
    let place = Place::new();
    for (study, metric, command) in [
        ("json", "json:loss", "echo '{\"loss\": 0.25}'; echo done"),
        ("regex", "regex:loss=([0-9.]+)", "echo loss=0.5 >&2; echo loss=0.25; echo done"),
        ("file", "file:result", "echo 0.25 > $TRIALOG_DIR/result"),
        ("exit", "exit", "exit 7"),
    ] {
        place.ok(&["run", "--study", study, "-p", X, "-n", "1", "-m", metric, "--", "sh", "-c", command]);
        let value = if study == "exit" { 7.0 } else { 0.25 };
        assert_eq!(place.json(&["best", "--study", study])["values"][0], value, "{study}");
    }
    let words =
        ["run", "--study", "two", "-d", "minimize,maximize", "-p", X, "-n", "3", "-m", "json:a", "-m", "json:b"];
    place.ok(&[&words[..], &["--", "sh", "-c", "echo '{\"a\": {x}, \"b\": 1}'"]].concat());
    assert_eq!(place.json(&["best-trials", "--study", "two"])[0]["values"].as_array().unwrap().len(), 2);
    place.fails(
        &["run", "--study", "one", "-p", X, "-n", "1", "-m", "json:a", "-m", "json:b", "--", "true"],
        2,
        "1 objective(s), and --metric is given 2 time(s)",
    );
}

#[test]
fn failures_are_kept_and_said() {
    let place = Place::new();
    let ran =
        place.run(&["run", "-p", X, "-n", "9", "--max-failures", "3", "--", "sh", "-c", "echo oh no >&2; exit 3"]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.err.contains("3 trials in a row failed, the last one: exit code 3"), "{}", ran.err);
    assert_eq!(place.json(&["list"])[0]["failed"], 3);
    assert_eq!(place.json(&["attr", "--trial", "2"])["failure"], "exit code 3");
    assert_eq!(place.read("runs.tlog.trials/runs/000002/stderr"), "oh no\n");
    place.fails(&["run", "-n", "1", "--", "no-such-program"], 1, "cannot start \"no-such-program\"");
    place.fails(&["run", "-n", "1", "--", "echo", "{y}"], 2, "{y} is no parameter");
    place.fails(&["run", "--study", "new", "-n", "1", "--", "true"], 3, "there is no study \"new\"");
    let ran = place.run(&["run", "-n", "1", "--max-failures", "0", "--", "echo", "done"]);
    assert!(ran.err.contains("\"done\", is no number"), "{}", ran.err);
}

#[test]
fn limits_stop_all_processes_of_a_trial() {
    let place = Place::new();
    let words = ["run", "-p", X, "-n", "1", "--max-failures", "0", "--grace", "200ms"];
    let begun = Instant::now();
    // The shell's child must not outlive it.
    let ran =
        place.run(&[&words[..], &["--trial-timeout", "300ms", "--", "sh", "-c", "sleep 60 & sleep 60"]].concat());
    assert!(ran.err.contains("it ran longer than 0.3 s"), "{}", ran.err);
    let spin = "while :; do :; done";
    let ran = place.run(&[&words[..], &["--cpu-limit", "1s", "--", "sh", "-c", spin]].concat());
    assert!(ran.err.contains("it used more than 1 s of processor time"), "{}", ran.err);
    let hoard = "head -c 300000000 /dev/zero | tail";
    let ran = place.run(&[&words[..], &["--memory-limit", "50M", "--", "sh", "-c", hoard]].concat());
    assert!(ran.err.contains("more than 50 MiB"), "{}", ran.err);
    assert!(begun.elapsed() < Duration::from_secs(40), "{:?}", begun.elapsed());
}

#[test]
fn intermediate_values_are_read_live_and_bad_trials_pruned() {
    let place = Place::new();
    // Later trials are worse at every step, so the median rule stops them, and they never come to their end.
    let shell = "for step in 0 1 2; do echo \"{\\\"step\\\": $step, \\\"value\\\": {trial}}\"; sleep 0.3; done; echo {trial}";
    let pruner = "median:{\"n_startup_trials\": 1}";
    let ran = place.run(&["run", "-p", X, "-n", "4", "--pruner", pruner, "--", "sh", "-c", shell]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let trials = place.json(&["trials"]);
    let states: Vec<&str> =
        trials.as_array().unwrap().iter().map(|trial| trial["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["complete", "pruned", "pruned", "pruned"], "{}", ran.err);
    assert!(trials[1]["user_attrs_pruned"].as_str().unwrap().contains("median"));
}

#[test]
fn constraints_keep_a_command_from_running() {
    let place = Place::new();
    place.write(
        "space.toml",
        "constraints = ['a + b <= 10']\n[params.a]\ntype = 'int'\nlow = 0\nhigh = 10\n[params.b]\ntype = 'int'\nlow = 0\nhigh = 10\n",
    );
    place.ok(&[
        "run",
        "--space",
        "space.toml",
        "-n",
        "15",
        "--",
        "sh",
        "-c",
        "test $(({a} + {b})) -le 10 && echo {a}",
    ]);
    let list = place.json(&["list"]);
    assert_eq!((&list[0]["complete"], &list[0]["failed"]), (&15.into(), &0.into()), "only what is feasible ran");
    assert!(list[0]["pruned"].as_u64().unwrap() > 0, "and something was not");
}

#[cfg(unix)]
#[test]
fn signals_finish_or_requeue() {
    use nix::sys::signal::{Signal, kill};
    use nix::unistd::Pid;

    let place = Place::new();
    let start = |shell: &str| {
        let mut command = place.command(&["run", "-p", X, "--grace", "300ms", "--", "sh", "-c", shell]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let running = || {
        let deadline = Instant::now() + Duration::from_secs(20);
        while !place.run(&["list", "-f", "jsonl"]).out.contains("\"running\":1") {
            assert!(Instant::now() < deadline, "no trial began");
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    let signal = |child: &std::process::Child, signal| kill(Pid::from_raw(child.id() as i32), signal).unwrap();

    // The first Ctrl-C lets the running trial end.
    let child = start("sleep 1; echo 1");
    running();
    signal(&child, Signal::SIGINT);
    let ran = Ran::of(&child.wait_with_output().unwrap());
    assert_eq!(ran.code, Some(130), "{}", ran.err);
    assert_eq!(place.json(&["list"])[0]["complete"], 1);

    // The second one does not.
    let child = start("sleep 60; echo 2");
    running();
    signal(&child, Signal::SIGINT);
    std::thread::sleep(Duration::from_millis(300));
    signal(&child, Signal::SIGINT);
    let ran = Ran::of(&child.wait_with_output().unwrap());
    assert_eq!(ran.code, Some(130), "{}", ran.err);
    assert_eq!(place.json(&["list"])[0]["waiting"], 1, "{}", ran.err);

    // A batch queue's SIGTERM marks the trial; whoever comes next runs it with the parameters that it had.
    let child = start("sleep 60; echo 3");
    running();
    let before = place.json(&["trials"]);
    signal(&child, Signal::SIGTERM);
    let ran = Ran::of(&child.wait_with_output().unwrap());
    assert_eq!(ran.code, Some(143), "{}", ran.err);
    assert_eq!(place.json(&["attr", "--trial", "1"])["preempted"], true);
    place.ok(&["run", "-n", "1", "--", "echo", "{x}"]);
    let after = place.json(&["trials"]);
    assert_eq!(after.as_array().unwrap().len(), 2);
    assert_eq!(after[1]["params_x"], before[1]["params_x"]);
    assert_eq!(after[1]["value"], after[1]["params_x"]);
}

#[test]
fn a_study_of_commands_has_one_history_whatever_the_number_of_runners() {
    let place = Place::new();
    place.ok(&["create", "-p", X]);
    let runner = || {
        let mut command = place.command(&["run", "-n", "10", "-j", "2", "--quiet", "--", "echo", "{x}"]);
        command.stdout(Stdio::null()).spawn().unwrap()
    };
    for mut one in [runner(), runner(), runner()] {
        assert!(one.wait().unwrap().success());
    }
    assert_eq!(place.json(&["list"])[0]["complete"], 30);
    assert_eq!(place.json(&["verify", "runs.tlog"])["clean"], true);
}

#[cfg(unix)]
#[test]
fn trials_of_a_runner_that_died_are_tried_again() {
    let place = Place::new();
    let words = ["run", "-p", X, "-n", "1", "--lease", "500ms", "--retries", "1", "--", "sleep", "30"];
    let mut runner = place.command(&words).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while !place.run(&["list", "-f", "jsonl"]).out.contains("\"running\":1") {
        assert!(Instant::now() < deadline, "no trial began");
        std::thread::sleep(Duration::from_millis(20));
    }
    runner.kill().unwrap();
    runner.wait().unwrap();
    // The next one watches for a while, declares it lost, and runs it with the parameters that it had.
    let ran = place.run(&["run", "-n", "8", "--lease", "500ms", "--", "sh", "-c", "sleep 0.4; echo {x}"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let trials = place.json(&["trials"]);
    assert_eq!((&trials[0]["state"], &trials[0]["lost"]), (&"fail".into(), &true.into()), "{trials}");
    let again = trials.as_array().unwrap().iter().skip(1).any(|trial| trial["params_x"] == trials[0]["params_x"]);
    assert!(again, "{trials}");
}
