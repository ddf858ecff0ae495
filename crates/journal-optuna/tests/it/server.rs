//! A Redis server for tests, on a free port, gone when it is dropped.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use trialog_journal_optuna::{OptunaRedis, RedisTarget};

pub(crate) struct Server {
    child: Child,
    pub(crate) port: u16,
    _folder: tempfile::TempDir,
}

impl Server {
    /// One server, or the only node of a cluster.
    pub(crate) fn start(cluster: bool) -> Server {
        let folder = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut command = Command::new("redis-server");
        command
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--dir"])
            .arg(folder.path());
        if cluster {
            // The bus would take the port plus 10,000, which need not exist.
            let bus = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
            command.args(["--cluster-enabled", "yes", "--cluster-port", &bus]);
        }
        let child =
            command.stdout(Stdio::null()).spawn().expect("redis-server is missing: `cargo xtask test` installs it");
        let server = Server { child, port, _folder: folder };
        let start = Instant::now();
        while server.command(&["PING"]).is_err() {
            assert!(start.elapsed() < Duration::from_secs(30), "redis-server does not answer");
            std::thread::sleep(Duration::from_millis(20));
        }
        if cluster {
            server.command(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]).unwrap();
            while !server.command(&["CLUSTER", "INFO"]).unwrap().contains("cluster_state:ok") {
                assert!(start.elapsed() < Duration::from_secs(30), "the cluster does not come up");
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        server
    }

    pub(crate) fn target(&self, cluster: bool, prefix: &str) -> RedisTarget {
        let urls = vec![format!("redis://127.0.0.1:{}", self.port)];
        RedisTarget { urls, cluster, prefix: prefix.to_owned(), read_only: false }
    }

    pub(crate) fn open(&self, cluster: bool, prefix: &str) -> OptunaRedis {
        OptunaRedis::open(&self.target(cluster, prefix)).unwrap()
    }

    pub(crate) fn command(&self, words: &[&str]) -> redis::RedisResult<String> {
        let client = redis::Client::open(format!("redis://127.0.0.1:{}", self.port))?;
        let mut command = redis::cmd(words[0]);
        words[1..].iter().for_each(|word| _ = command.arg(*word));
        let answer: redis::Value = command.query(&mut client.get_connection()?)?;
        Ok(redis::from_redis_value(answer).unwrap_or_default())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
