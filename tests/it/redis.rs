//! Studies on a Redis server, from the front door.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use trialog::samplers::Random;
use trialog::{OpenOptions, TrialState};

use crate::support::{count, parabola};

/// A server that goes away with the test.
pub(crate) struct Server {
    child: Child,
    port: u16,
    _folder: tempfile::TempDir,
}

impl Server {
    pub(crate) fn start() -> Server {
        for _ in 0..20 {
            let folder = tempfile::tempdir().unwrap();
            let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let child = Command::new("redis-server")
                .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--dir"])
                .arg(folder.path())
                .stdout(Stdio::null())
                .spawn()
                .expect("this test needs redis-server: apt-get install redis-server");
            let server = Server { child, port, _folder: folder };
            let opened = OpenOptions::new().open(server.url("probe"));
            if opened.is_ok() {
                return server;
            }
        }
        panic!("no redis-server comes up");
    }

    pub(crate) fn url(&self, prefix: &str) -> String {
        format!("redis://127.0.0.1:{}/0?prefix={prefix}&retry_ms=5000", self.port)
    }

    /// How many commands of its clients it has run; not those that scripts ran.
    fn calls(&self, command: &str) -> u64 {
        let mut info = Command::new("redis-cli");
        let output = info.args(["-p", &self.port.to_string(), "INFO", "commandstats"]).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("cmdstat_{command}:calls=")));
        line.map_or(0, |line| line.split(',').next().unwrap().parse().unwrap())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_study_on_redis() {
    let server = Server::start();
    let url = server.url("a");
    let storage = trialog::open(&url).unwrap();
    let study = storage.study("s").sampler(Random::new()).seed(1).create().unwrap();
    study.optimize(50, parabola).unwrap();
    let elsewhere = trialog::open(&url).unwrap();
    assert_eq!(elsewhere.digest().unwrap(), storage.digest().unwrap());
    assert_eq!(count(&elsewhere.study("s").load().unwrap(), TrialState::Complete), 50);
    assert!(storage.compact().unwrap());
    assert_eq!(trialog::open(&url).unwrap().digest().unwrap(), storage.digest().unwrap());
    assert!(!storage.location().contains("retry_ms"), "{}", storage.location());
}

/// A trial takes two round trips, and one more for what the sampler proposes.
#[test]
fn a_trial_takes_three_round_trips() {
    let server = Server::start();
    let storage = trialog::open(server.url("b")).unwrap();
    let study = storage.study("s").sampler(Random::new()).seed(1).create().unwrap();
    let five = |trial: &mut trialog::Trial| {
        let names = ["a", "b", "c", "d", "e"];
        let values = names.map(|name| trial.suggest_float(name, 0.0..=1.0));
        values.into_iter().sum::<trialog::Result<f64>>().map_err(Into::into)
    };
    // Until the first trial is done, nobody knows the parameters.
    study.optimize(2, five).unwrap();
    let before = server.calls("evalsha");
    study.optimize(100, five).unwrap();
    assert_eq!(server.calls("evalsha") - before, 300);
}

#[test]
fn many_handles_see_one_study() {
    let server = Server::start();
    let url = server.url("c");
    let digests: Vec<_> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..6_u64)
            .map(|seed| {
                let url = &url;
                scope.spawn(move || {
                    let storage = trialog::open(url).unwrap();
                    let study = storage.study("s").sampler(Random::new()).seed(seed).load_or_create().unwrap();
                    study.optimizer().n_trials(30).n_jobs(2).run(parabola).unwrap();
                    storage
                })
            })
            .collect();
        let storages: Vec<_> = workers.into_iter().map(|worker| worker.join().unwrap()).collect();
        storages
            .iter()
            .map(|storage| {
                let study = storage.study("s").load().unwrap();
                assert_eq!(count(&study, TrialState::Complete), 180);
                storage.digest().unwrap()
            })
            .collect()
    });
    assert!(digests.windows(2).all(|pair| pair[0] == pair[1]));
}

#[test]
fn a_server_that_forgot_is_told_as_such() {
    let server = Server::start();
    let url = server.url("d");
    let study = trialog::open(&url).unwrap().study("s").sampler(Random::new()).seed(1).create().unwrap();
    study.optimize(3, parabola).unwrap();
    let flushed = Command::new("redis-cli").args(["-p", &server.port.to_string(), "FLUSHALL"]).output();
    assert!(flushed.is_ok_and(|output| output.status.success()));
    let error = study.optimize(1, parabola).unwrap_err();
    assert!(error.is_regressed(), "{error}");
    assert!(trialog::open(&url).unwrap().study_names().unwrap().is_empty());
}

#[test]
fn a_url_that_is_wrong_says_what_and_no_password() {
    for (url, piece) in [("redis://me:hunter2@host:port", "port"), ("redis+moon://:hunter2@h", "scheme")] {
        let error = trialog::open(url).unwrap_err();
        assert!(error.is_invalid(), "{error}");
        assert!(error.to_string().contains(piece) && !error.to_string().contains("hunter2"), "{error}");
    }
    let error = trialog::open("redis://:hunter2@127.0.0.1:1?retry_ms=10").unwrap_err();
    assert!(error.is_unavailable() && !error.to_string().contains("hunter2"), "{error}");
}

/// Whoever waits for the last trial of a budget is woken by its end, and need not look again and again.
#[test]
fn who_waits_for_a_budget_is_woken() {
    let server = Server::start();
    let url = server.url("e");
    let options = OpenOptions::new().lease(Some(Duration::from_secs(60)));
    let open = |seed| {
        let storage = options.clone().open(&url).unwrap();
        storage.study("s").sampler(Random::new()).seed(seed).load_or_create().unwrap()
    };
    let (one, two) = (open(1), open(2));
    one.set_budget(trialog::Budget { finished: Some(1), ..trialog::Budget::default() }).unwrap();
    let trial = one.ask().unwrap();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            two.optimize(5, parabola).unwrap();
            std::time::Instant::now()
        });
        std::thread::sleep(Duration::from_millis(900));
        let told = std::time::Instant::now();
        one.tell(&trial, 0.0).unwrap();
        let ended = waiting.join().unwrap();
        // By itself it would look again two seconds after it began to wait.
        assert!(ended.duration_since(told) < Duration::from_millis(800), "{:?}", ended.duration_since(told));
    });
    assert_eq!(count(&two, TrialState::Complete), 1);
}
