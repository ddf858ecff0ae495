//! Studies that are shared with Optuna's own workers while they run: several processes of either on one journal, and
//! then every field of every trial compared. `tests/optuna/worker.py` is the other side.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use trialog::samplers::Tpe;
use trialog::{Budget, Distribution, Json, OpenOptions, RetryPolicy, Storage, TrialState, TrialView};
use trialog_codec::optuna::Def;

use crate::processes::{Worker, say, wait_for_parent};
use crate::support::{Random, assert_dense, parabola, refused};

/// The versions of Optuna that the table of needs has.
const VERSIONS: [&str; 2] = ["5", "4"];

fn python(version: &str) -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let python = target.join(format!("venv-optuna-{version}")).join("bin").join("python");
    assert!(python.exists(), "{} is missing: `cargo xtask test` puts it there", python.display());
    python
}

/// A process of Optuna's.
struct Python {
    child: Child,
    out: BufReader<ChildStdout>,
}

impl Python {
    fn start(version: &str, role: &str, storage: &str, rest: &[&str]) -> Python {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/optuna/worker.py");
        let mut command = Command::new(python(version));
        command.args([script, role, storage]).args(rest).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        Python { child, out }
    }

    /// The lines up to one that begins so, which is the last of them.
    fn read_until(&mut self, start: &str) -> Vec<String> {
        let mut lines = Vec::new();
        for line in self.out.by_ref().lines() {
            lines.push(line.unwrap());
            if lines.last().unwrap().starts_with(start) {
                return lines;
            }
        }
        panic!("Optuna ended before it said {start:?}: {lines:?}");
    }

    /// Waits for a good end.
    fn finish(mut self) -> Vec<String> {
        let lines = self.read_until("done");
        assert!(self.child.wait().unwrap().success());
        lines
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// All studies as Optuna sees them.
fn seen_by_optuna(version: &str, storage: &str) -> Value {
    let mut python = Python::start(version, "dump", storage, &[]);
    let line = python.read_until("dump ").pop().unwrap();
    // Half a surrogate pair, which no text of ours can hold, as Trialog shows it.
    let line = line["dump ".len()..].replace(r"\ud83d ", r"\ufffdd83d ").replace(r#"\ud83d""#, r#"\ufffdd83d""#);
    let mut studies: Value = serde_json::from_str(&line).unwrap();
    for study in studies.as_array_mut().unwrap() {
        // Trialog's own, which it shows as something else.
        study["system_attrs"].as_object_mut().unwrap().remove("trialog:config");
    }
    studies
}

/// All studies as this process sees them, in the same form.
fn seen_by_us(storage: &Storage) -> Value {
    let studies = storage.study_names().unwrap().into_iter().map(|name| {
        let study = storage.study(name).load().unwrap();
        let view = study.view().unwrap();
        let mut system_attrs = texts(view.system_attrs());
        if let Some(names) = view.metric_names() {
            system_attrs.insert("study:metric_names".into(), json!(json!(names).to_string()));
        }
        let direction = |way: &trialog::Direction| if *way == trialog::Direction::Minimize { 1 } else { 2 };
        json!({
            "id": view.id().0,
            "name": view.name(),
            "directions": view.directions().iter().map(direction).collect::<Vec<_>>(),
            "user_attrs": texts(view.user_attrs()),
            "system_attrs": system_attrs,
            "trials": view.trials().map(trial_json).collect::<Vec<_>>(),
        })
    });
    Value::Array(studies.collect())
}

fn texts<'a>(attrs: impl Iterator<Item = (&'a str, &'a Json)>) -> BTreeMap<String, Value> {
    attrs.map(|(key, value)| (key.to_owned(), json!(value.as_str()))).collect()
}

fn bits(value: f64) -> String {
    format!("{:016x}", if value.is_nan() { f64::NAN.to_bits() } else { value.to_bits() })
}

fn trial_json(trial: TrialView<'_>) -> Value {
    let param = |(name, distribution, value): (&str, &Distribution, f64)| {
        let shown = match distribution {
            // The text of a list with this choice alone, without what is around it.
            Distribution::Categorical(all) => {
                let one = Distribution::categorical([&all.choices()[value as usize]]).unwrap();
                let text = Def::new("", &one).text;
                let inside = text.split_once("[").unwrap().1.rsplit_once("]").unwrap().0;
                inside.trim_end().to_owned()
            }
            _ => bits(value),
        };
        // A choice that is there twice has a space more the second time.
        let text = Def::new(name, distribution).text.replace(" ]", "]").replace(" ,", ",");
        (name.to_owned(), json!([text, shown]))
    };
    let mut system_attrs = texts(trial.system_attrs());
    // What samplers before Optuna 5 wrote is a list, and stays one beside what it means.
    let listed = system_attrs.get("constraints").map_or(0, |list| list.as_str().unwrap().split(',').count());
    for (name, value) in trial.constraints() {
        if name.parse::<usize>().is_ok_and(|number| number < listed) {
            continue;
        }
        system_attrs.insert(format!("constraints:{name}"), json!(Json::from(value).as_str()));
    }
    json!({
        "id": trial.id().0,
        "number": trial.number().0,
        "state": trial.state() as u8,
        "values": trial.values().map(bits).collect::<Vec<_>>(),
        "start": trial.start().map(|time| time.0),
        "end": trial.end().map(|time| time.0),
        "params": trial.params().map(param).collect::<BTreeMap<_, _>>(),
        "reports": trial.reports().iter().map(|(step, value)| json!([step, bits(*value)])).collect::<Vec<_>>(),
        "user_attrs": texts(trial.user_attrs()),
        "system_attrs": system_attrs,
    })
}

/// Both sides see the same, to the last field.
fn assert_same(ours: &Value, theirs: &Value) {
    let (a, b) = (ours.as_array().unwrap(), theirs.as_array().unwrap());
    assert_eq!(a.len(), b.len(), "another number of studies");
    for (a, b) in a.iter().zip(b) {
        let (trials, others) = (a["trials"].as_array().unwrap(), b["trials"].as_array().unwrap());
        for (trial, other) in trials.iter().zip(others) {
            let (mut trial, mut other) = (trial.clone(), other.clone());
            // Lists of choices that Python finds equal are one list for us, and the first one stays.
            let equal =
                [&mut trial, &mut other].map(|t| t["params"].as_object_mut().unwrap().remove("equal").is_some());
            assert_eq!(equal[0], equal[1]);
            for (field, value) in trial.as_object().unwrap() {
                assert_eq!(value, &other[field], "{field} of trial {} of study {}", trial["number"], a["name"]);
            }
        }
        assert_eq!(trials.len(), others.len(), "study {} has another number of trials", a["name"]);
        for field in ["id", "name", "directions", "user_attrs", "system_attrs"] {
            assert_eq!(a[field], b[field], "{field} of study {}", a["name"]);
        }
    }
}

/// A journal's path, and how Optuna is told of it with one lock or the other.
fn place() -> (TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.log").to_str().unwrap().to_owned();
    (folder, path)
}

/// What a child process does in the roles of this file. False if the role is not one of them.
pub(crate) fn play(role: &str, argument: &str, url: &str) -> bool {
    match role {
        "optuna-work" => {
            let (seed, trials) = argument.split_once(' ').unwrap();
            work(url, seed.parse().unwrap(), trials.parse().unwrap());
        }
        "optuna-claim" => claim(url),
        _ => return false,
    }
    say("done");
    wait_for_parent();
    true
}

fn open(url: &str) -> Storage {
    trialog::open(url).unwrap()
}

/// The same as its namesake in Python.
fn work(url: &str, seed: u64, trials: usize) {
    let study = open(url).study("shared").sampler(trialog::samplers::Random::new()).seed(seed).load().unwrap();
    let mut random = Random(seed);
    for _ in 0..trials {
        if random.below(10) < 3 {
            study.enqueue([("x", trialog::Choice::from(1.5)), ("kind", "b".into())]).unwrap();
        }
        let mut trial = study.ask().unwrap();
        let x = trial.suggest_float("x", -5.0..=5.0).unwrap();
        let n = trial.suggest_int("n", trialog::int(1..=64).log()).unwrap();
        if trial.suggest_categorical("kind", &["a", "b", "c"]).unwrap() == "b" {
            trial.suggest_float("only b", trialog::float(0.0..=1.0).step(0.25)).unwrap();
        }
        for step in 0..random.below(4) {
            trial.report(step, [x, f64::NAN, f64::NEG_INFINITY][random.below(3) as usize]).unwrap();
        }
        trial.set_user_attr("by", "rust \u{e9}").unwrap();
        trial.set_constraint("c", x - 4.0).unwrap();
        match random.below(10) {
            0 => study.tell_failed(&trial).unwrap(),
            1 => study.tell_pruned(&trial).unwrap(),
            2 => study.tell(&trial, f64::INFINITY).unwrap(),
            _ => study.tell(&trial, x * x + n as f64).unwrap(),
        };
    }
}

fn claim(url: &str) {
    let study = open(url).study("shared").sampler(trialog::samplers::Random::new()).load().unwrap();
    loop {
        let mut trial = study.ask().unwrap();
        let ticket = trial.suggest_int("ticket", -1..=1_000_000).unwrap();
        let frozen = study.trials().unwrap().swap_remove(trial.number().index());
        if !frozen.system_attrs.contains_key("fixed_params") {
            study.tell_failed(&trial).unwrap();
            return;
        }
        say(&format!("ticket {ticket}"));
        study.tell(&trial, 0.0).unwrap();
    }
}

/// Several processes of either kind on one journal, and what all of them see then.
fn share(url: &str, storage: &str, versions: &[&str]) {
    open(url).study("shared").create().unwrap();
    let mut pythons: Vec<Python> = Vec::new();
    for (seed, version) in versions.iter().enumerate() {
        pythons.push(Python::start(version, "work", storage, &[&seed.to_string(), "12"]));
    }
    let mut rusts: Vec<Worker> =
        (0..2).map(|seed| Worker::start(&format!("optuna-work {} 25", 100 + seed), url)).collect();
    rusts.iter_mut().for_each(|rust| _ = rust.read_until("done"));
    let n = 12 * versions.len() + 50;
    for python in pythons {
        python.finish();
    }
    let storage_now = open(url);
    let trials = storage_now.study("shared").load().unwrap().trials().unwrap();
    assert_dense(&trials);
    let finished = trials.iter().filter(|trial| trial.state.is_finished()).count();
    assert_eq!(finished, n, "everybody ended all the trials that it began");
    let ours = seen_by_us(&storage_now);
    for version in VERSIONS {
        assert_same(&ours, &seen_by_optuna(version, storage));
    }
    let by = |who: &str| {
        trials.iter().filter(|t| t.user_attrs.get("by").is_some_and(|by| by.as_str().contains(who))).count()
    };
    assert!(by("rust") == 50 && by("python") == n - 50, "{} and {}", by("rust"), by("python"));
}

#[test]
fn everything_that_optuna_writes_is_read() {
    for version in VERSIONS {
        let (_folder, path) = place();
        let storage = format!("file:{path}");
        Python::start(version, "rich", &storage, &[]).finish();
        // The file is recognised by its content.
        let ours = seen_by_us(&OpenOptions::new().read_only(true).open(&path).unwrap());
        assert_eq!(ours.as_array().unwrap().len(), 3);
        for reader in VERSIONS {
            assert_same(&ours, &seen_by_optuna(reader, &storage));
        }
    }
}

#[test]
fn processes_of_both_share_a_file_with_symbolic_links() {
    let (_folder, path) = place();
    share(&format!("optuna:{path}"), &format!("file:{path}"), &["5", "4"]);
}

#[test]
fn processes_of_both_share_a_file_with_lock_files() {
    let (_folder, path) = place();
    share(&format!("optuna+open:{path}"), &format!("open:{path}"), &["5", "5"]);
}

#[test]
fn each_enqueued_trial_is_run_by_one_process_of_either() {
    let (_folder, path) = place();
    let url = format!("optuna:{path}");
    let study = open(&url).study("shared").create().unwrap();
    for ticket in 0..40_i64 {
        study.enqueue([("ticket", ticket)]).unwrap();
    }
    let pythons: Vec<Python> =
        ["5", "4"].iter().map(|version| Python::start(version, "claim", &format!("file:{path}"), &[])).collect();
    let mut said: Vec<String> = Vec::new();
    // Python takes a while to start, and Rust must leave something for it.
    let mut rust = Worker::start("optuna-claim", &url);
    said.extend(rust.read_until("done"));
    for python in pythons {
        said.extend(python.finish());
    }
    let mut tickets: Vec<i64> = said.iter().filter_map(|line| line.strip_prefix("ticket ")?.parse().ok()).collect();
    tickets.sort_unstable();
    assert_eq!(tickets, (0..40).collect::<Vec<i64>>());
    assert_same(&seen_by_us(&open(&url)), &seen_by_optuna("5", &format!("file:{path}")));
}

/// A Redis server of its own on a free port, gone when it is dropped.
struct Server {
    child: Child,
    port: u16,
    _folder: TempDir,
}

impl Server {
    fn start(cluster: bool) -> Server {
        let folder = tempfile::tempdir().unwrap();
        let free = || std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let port = free();
        let mut command = Command::new("redis-server");
        command
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--dir"])
            .arg(folder.path());
        if cluster {
            command.args(["--cluster-enabled", "yes", "--cluster-port", &free().to_string()]);
        }
        let child = command.stdout(Stdio::null()).spawn().expect("redis-server: `cargo xtask test` installs it");
        let server = Server { child, port, _folder: folder };
        server.wait_for("PING", "PONG");
        if cluster {
            server.wait_for("CLUSTER ADDSLOTSRANGE 0 16383", "OK");
            server.wait_for("CLUSTER INFO", "cluster_state:ok");
        }
        server
    }

    /// Sends the line until the answer has this in it.
    fn wait_for(&self, line: &str, answer: &str) {
        use std::io::Write as _;
        let start = std::time::Instant::now();
        loop {
            let told = std::net::TcpStream::connect(("127.0.0.1", self.port)).and_then(|mut stream| {
                stream.set_read_timeout(Some(Duration::from_millis(500)))?;
                stream.write_all(format!("{line}\r\n").as_bytes())?;
                let mut buffer = [0; 4096];
                let read = stream.read(&mut buffer)?;
                Ok(String::from_utf8_lossy(&buffer[..read]).into_owned())
            });
            if told.as_ref().is_ok_and(|told| told.contains(answer)) {
                return;
            }
            assert!(start.elapsed() < Duration::from_secs(30), "{line}: {told:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn processes_of_both_share_a_server() {
    let server = Server::start(false);
    let url = format!("optuna+redis://127.0.0.1:{}/0?prefix=p%5Fq", server.port);
    let storage = format!("redis:p_q:redis://127.0.0.1:{}/0", server.port);
    share(&url, &storage, &["5", "4"]);
}

#[test]
fn processes_of_both_share_a_cluster() {
    let server = Server::start(true);
    let url = format!("optuna+redis://127.0.0.1:{}?prefix=p&cluster=true", server.port);
    let study = open(&url).study("shared").create().unwrap();
    study.enqueue([("x", 1.25)]).unwrap();
    // Optuna connects as to a single server and leaves the rest to it.
    let storage = format!("cluster:p:redis://127.0.0.1:{}", server.port);
    let python = Python::start("5", "work", &storage, &["1", "10"]);
    work(&url, 7, 20);
    python.finish();
    let both = open(&url);
    assert_eq!(
        both.study("shared").load().unwrap().trials().unwrap().iter().filter(|t| t.state.is_finished()).count(),
        30
    );
    assert_same(&seen_by_us(&both), &seen_by_optuna("5", &storage));
    // A copy has records of many ops, which a cluster takes one by one.
    both.copy_study("shared", &both, "copy").unwrap();
    assert_same(&seen_by_us(&both), &seen_by_optuna("4", &storage));
}

/// Rust goes on while workers of Optuna are killed at any moment: in the middle of a trial, of a write, or with the lock.
#[test]
fn workers_that_are_killed_leave_a_journal_for_all() {
    let (_folder, path) = place();
    let (url, storage) = (format!("optuna:{path}"), format!("file:{path}"));
    let study = open(&url).study("shared").create().unwrap();
    let mut told: Vec<String> = Vec::new();
    for round in 0..3 {
        let mut python = Python::start("5", "forever", &storage, &[&round.to_string()]);
        told.extend(python.read_until("told").pop());
        study.optimize(4, parabola).unwrap();
        told.extend(python.read_until("told").pop());
        python.child.kill().unwrap();
        python.child.wait().unwrap();
        let mut rest = String::new();
        python.out.read_to_string(&mut rest).unwrap();
        told.extend(rest.lines().filter(|line| line.starts_with("told ")).map(str::to_owned));
        // As if it had been struck in the middle of a write as well.
        let mut file = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
        std::io::Write::write_all(&mut file, br#"{"op_code":5,"worker_id":"dead-1","trial_id":0,"para"#).unwrap();
        let _ = std::fs::remove_file(format!("{path}.lock"));
        // Optuna would glue its next line to that one, and nobody could read the journal any more. We are first.
        study.set_user_attr("round", round).unwrap();
    }
    study.optimize(4, parabola).unwrap();
    let trials = study.trials().unwrap();
    assert_dense(&trials);
    for line in &told {
        let number: usize = line.rsplit(' ').next().unwrap().parse().unwrap();
        assert!(trials[number].state.is_finished(), "trial {number} was told and is lost");
    }
    let running: Vec<_> = trials.iter().filter(|trial| trial.state == TrialState::Running).collect();
    assert!(running.len() <= 3, "each killed worker leaves one trial at most");
    for version in VERSIONS {
        assert_same(&seen_by_us(&open(&url)), &seen_by_optuna(version, &storage));
    }
}

#[test]
fn samplers_and_pruners_work_on_it_and_their_choice_is_kept() {
    let (_folder, path) = place();
    let url = format!("optuna:{path}");
    let study =
        open(&url).study("s").sampler(Tpe::default()).pruner(trialog::pruners::Hyperband::new().max_resource(9));
    let study = study.seed(u64::MAX).metric_names(["loss"]).create().unwrap();
    study.optimize(40, crate::scenarios::train).unwrap();
    let reopened = open(&path);
    let again = reopened.study("s").load().unwrap();
    let config = again.view().unwrap().config().cloned().unwrap();
    assert_eq!(
        (config.sampler.name.as_str(), config.pruner.name.as_str(), config.seed),
        ("tpe", "hyperband", u64::MAX)
    );
    assert_eq!(again.view().unwrap().metric_names(), Some(&["loss".to_owned()][..]));
    let ended = |state| again.trials().unwrap().iter().filter(|trial| trial.state == state).count();
    assert!(ended(TrialState::Pruned) > 0 && ended(TrialState::Complete) > 0);
    assert_eq!(again.digest().unwrap(), study.digest().unwrap());
    assert_same(&seen_by_us(&reopened), &seen_by_optuna("5", &format!("file:{path}")));
    // To a log of our own and back, nothing is lost.
    let memory = Storage::in_memory().unwrap();
    reopened.copy_study("s", &memory, "s").unwrap();
    memory.copy_study("s", &reopened, "back").unwrap();
    assert_eq!(memory.study("s").load().unwrap().digest().unwrap(), study.digest().unwrap());
    assert_same(&seen_by_us(&reopened), &seen_by_optuna("4", &format!("file:{path}")));
}

#[test]
fn what_the_journal_cannot_say_is_refused_and_changes_nothing() {
    let (_folder, path) = place();
    let storage = open(&format!("optuna:{path}"));
    let study = storage.study("s").create().unwrap();
    let before = std::fs::read(&path).unwrap();
    let budget = Budget { trials: Some(1), ..Budget::default() };
    for text in [
        refused(study.set_budget(budget), trialog::Error::is_unsupported),
        refused(study.set_retry_policy(RetryPolicy::default()), trialog::Error::is_unsupported),
    ] {
        assert!(text.contains("copy the study"), "{text}");
    }
    let leased = OpenOptions::new().lease(Some(Duration::from_secs(1)));
    refused(leased.open(&path), trialog::Error::is_invalid);
    assert_eq!(std::fs::read(&path).unwrap(), before);
    study.optimize(2, parabola).unwrap();
}

#[test]
fn a_journal_that_makes_no_sense_is_an_error_that_names_the_line() {
    let (_folder, path) = place();
    let study = open(&format!("optuna:{path}")).study("s").create().unwrap();
    study.optimize(1, parabola).unwrap();
    let good = std::fs::read_to_string(&path).unwrap();
    let lines = good.lines().count();
    for (wrong, question) in [
        ("{\"op_code\":99,\"worker_id\":\"x\"}", trialog::Error::is_newer_format as fn(&trialog::Error) -> bool),
        ("{\"op_code\":5,\"wor{\"op_code\":10}", trialog::Error::is_corrupt),
        ("", trialog::Error::is_corrupt),
        ("{\"op_code\":1}", trialog::Error::is_corrupt),
    ] {
        std::fs::write(&path, format!("{good}{wrong}\n{good}")).unwrap();
        let text = refused(trialog::open(&path), question);
        assert!(text.contains(&format!("record {lines}")), "{text}");
    }
}

#[test]
#[should_panic(expected = "values of trial 0")]
fn canary_a_difference_is_noticed() {
    let (_folder, path) = place();
    let storage = open(&format!("optuna:{path}"));
    let study = storage.study("s").create().unwrap();
    study.optimize(2, parabola).unwrap();
    let ours = seen_by_us(&storage);
    let mut theirs = seen_by_optuna("5", &format!("file:{path}"));
    assert_same(&ours, &theirs);
    theirs[0]["trials"][0]["values"][0] = json!(bits(-1.0));
    assert_same(&ours, &theirs);
}
