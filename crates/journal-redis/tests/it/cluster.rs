//! A cluster of three masters: the log is on one of them, and may be moved to another while it is written.

use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::server::{Redis, append, open, read, until};
use trialog_journal::Journal;
use trialog_journal::conformance;

fn start() -> Vec<Redis> {
    let settings = ["save", "", "cluster-enabled", "yes", "cluster-node-timeout", "2000"];
    let nodes: Vec<Redis> = (0..3).map(|_| Redis::with(&settings)).collect();
    let mut create = Command::new("redis-cli");
    create.args(["--cluster", "create"]);
    create.args(nodes.iter().map(|node| format!("127.0.0.1:{}", node.port))).arg("--cluster-yes");
    let made = create.output().expect("redis-cli comes with redis-server");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stdout));
    until("the cluster is one", || {
        nodes.iter().all(|node| node.ask::<String>(&["CLUSTER", "INFO"]).contains("cluster_state:ok"))
    });
    nodes
}

fn url(node: &Redis, prefix: &str) -> String {
    format!("redis+cluster://127.0.0.1:{}?prefix={prefix}", node.port)
}

#[test]
fn the_journal_keeps_its_contract_on_whatever_node_it_is() {
    let nodes = start();
    for (node, prefix) in nodes.iter().zip(["a", "b", "c"]) {
        let url = url(node, prefix);
        let walk: conformance::Open = Box::new(move || Ok(Box::new(open(&url)?) as Box<dyn Journal>));
        conformance::random_walk(&walk, 7).unwrap();
    }
    let sizes: Vec<u64> = nodes.iter().map(|node| node.ask(&["DBSIZE"])).collect();
    assert_eq!(sizes.iter().sum::<u64>(), 6, "two keys for each log: {sizes:?}");
}

#[test]
fn a_log_is_moved_while_it_is_written() {
    let nodes = start();
    let journal = open(&url(&nodes[0], "t")).unwrap();
    append(&journal, b"first").unwrap();
    let source = nodes.iter().position(|node| node.ask::<u64>(&["DBSIZE"]) > 0).unwrap();
    let target = (source + 1) % 3;
    let slot: u64 = nodes[0].ask(&["CLUSTER", "KEYSLOT", "{t}:log"]);
    let ids: Vec<String> = nodes.iter().map(|node| node.ask(&["CLUSTER", "MYID"])).collect();
    let slot = slot.to_string();
    let done = AtomicBool::new(false);
    let count = std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut count = 1_u64;
            while !done.load(Ordering::Relaxed) {
                assert_eq!(append(&journal, &count.to_be_bytes()).unwrap(), count);
                count += 1;
            }
            count
        });
        std::thread::sleep(Duration::from_millis(100));
        nodes[target].ask::<()>(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &ids[source]]);
        nodes[source].ask::<()>(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &ids[target]]);
        std::thread::sleep(Duration::from_millis(100));
        let port = nodes[target].port.to_string();
        for key in ["{t}:tip", "{t}:log"] {
            nodes[source].ask::<()>(&["MIGRATE", "127.0.0.1", &port, key, "0", "5000"]);
            std::thread::sleep(Duration::from_millis(50));
        }
        for node in [&nodes[target], &nodes[source], &nodes[(source + 2) % 3]] {
            node.ask::<()>(&["CLUSTER", "SETSLOT", &slot, "NODE", &ids[target]]);
        }
        std::thread::sleep(Duration::from_millis(1500));
        done.store(true, Ordering::Relaxed);
        writer.join().unwrap()
    });
    assert_eq!(nodes[source].ask::<u64>(&["DBSIZE"]), 0);
    assert!(count > 20, "{count}");
    let records = read(&open(&url(&nodes[source], "t")).unwrap(), 0).unwrap();
    assert_eq!(records.len() as u64, count, "nothing is lost or doubled");
}
