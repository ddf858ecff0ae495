//! Which crate may use which. The table is the house of `docs/architecture.md`; an edge that is not in it is named.

use serde_json::Value;

use super::{Finding, Tree};

/// A crate under `crates/`, the floor it stands on, and what its own code may use.
struct Room {
    name: &'static str,
    floor: u8,
    may_use: &'static [&'static str],
}

const fn room(name: &'static str, floor: u8, may_use: &'static [&'static str]) -> Room {
    Room { name, floor, may_use }
}

/// A crate above everything that may use anything below: the facade.
const ALL_BELOW: &[&str] = &["*"];

/// Used by tests alone; any crate may have it as a dev-dependency and none as another.
const TESTKIT: &str = "trialog-testkit";

const ROOMS: &[Room] = &[
    room("trialog-ops", 0, &[]),
    room("trialog-journal", 0, &[]),
    room("trialog-numerics", 0, &[]),
    room("trialog-codec", 1, &["trialog-ops"]),
    room("trialog-replay", 1, &["trialog-ops"]),
    room("trialog-journal-file", 1, &["trialog-journal"]),
    room("trialog-journal-optuna", 2, &["trialog-journal", "trialog-journal-file"]),
    room("trialog-journal-redb", 1, &["trialog-journal"]),
    room("trialog-journal-redis", 1, &["trialog-journal"]),
    room("trialog-journal-slot", 1, &["trialog-journal"]),
    room("trialog-storage", 2, &["trialog-ops", "trialog-journal", "trialog-codec", "trialog-replay"]),
    room("trialog-samplers", 2, &["trialog-ops", "trialog-numerics", "trialog-replay"]),
    room("trialog-pruners", 2, &["trialog-ops", "trialog-numerics", "trialog-replay"]),
    room(
        "trialog-inspect",
        2,
        &["trialog-ops", "trialog-journal", "trialog-journal-file", "trialog-codec", "trialog-replay"],
    ),
    room(
        "trialog-transfer",
        3,
        &["trialog-ops", "trialog-journal", "trialog-codec", "trialog-replay", "trialog-storage"],
    ),
    room("trialog", 4, ALL_BELOW),
    room("trialog-cli", 5, ALL_BELOW),
    room(
        TESTKIT,
        3,
        &[
            "trialog-ops",
            "trialog-journal",
            "trialog-journal-file",
            "trialog-codec",
            "trialog-replay",
            "trialog-storage",
        ],
    ),
    room("trialog-xtask", 0, &[]),
];

/// Crates that stand beside the house: the facade's "anything below" does not mean them.
const ASIDE: &[&str] = &[TESTKIT, "trialog-xtask"];

/// Edges that are not in the table, and crates that are not.
pub(super) fn find(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in packages(tree).filter(|package| package["source"].is_null()) {
        let Some(name) = package["name"].as_str() else { continue };
        if !is_room(tree, package) {
            // Members beside crates/ are tests, benches and examples: they may use anything.
            continue;
        }
        let Some(room) = ROOMS.iter().find(|room| room.name == name) else {
            findings
                .push(Finding::new(name, "is not in the table of arrows; add it there and to the architecture"));
            continue;
        };
        for dependency in list(&package["dependencies"]).filter(|dependency| dependency["path"].is_string()) {
            let target = dependency["name"].as_str().unwrap_or_default();
            let kind = dependency["kind"].as_str();
            if !allowed(room, target, kind == Some("dev")) {
                let kind = kind.unwrap_or("normal");
                findings.push(Finding::new(
                    format!("{name} -> {target}"),
                    format!("a {kind} dependency the house forbids"),
                ));
            }
        }
    }
    findings
}

fn allowed(room: &Room, target: &str, dev: bool) -> bool {
    let below =
        ROOMS.iter().any(|other| other.name == target && other.floor < room.floor) && !ASIDE.contains(&target);
    let listed = room.may_use.contains(&target) || (room.may_use == ALL_BELOW && below);
    // A crate's tests may also ask for a feature of the crate itself.
    listed || (dev && (below || target == TESTKIT || target == room.name))
}

fn is_room(tree: &Tree, package: &Value) -> bool {
    let root = tree.metadata["workspace_root"].as_str().unwrap_or_default();
    let manifest = package["manifest_path"].as_str().unwrap_or_default();
    let inside = manifest.strip_prefix(root).map(|rest| rest.replace('\\', "/"));
    inside.is_some_and(|path| path.starts_with("/crates/"))
}

/// All packages that cargo knows of, the workspace's and the others.
pub(super) fn packages(tree: &Tree) -> impl Iterator<Item = &Value> {
    list(&tree.metadata["packages"])
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_arrow_of_the_table_points_down() {
        for room in ROOMS {
            for target in room.may_use.iter().filter(|target| **target != "*") {
                let floor = ROOMS.iter().find(|other| other.name == *target).map(|other| other.floor);
                assert!(floor.is_some_and(|floor| floor < room.floor), "{} -> {target}", room.name);
            }
        }
    }

    #[test]
    fn the_facade_may_use_all_that_is_below_it_and_nothing_aside() {
        let facade = ROOMS.iter().find(|room| room.name == "trialog").expect("the facade is in the table");
        assert!(allowed(facade, "trialog-journal-file", false));
        assert!(allowed(facade, "trialog-samplers", false));
        assert!(!allowed(facade, TESTKIT, false));
        assert!(allowed(facade, TESTKIT, true));
        assert!(!allowed(facade, "trialog-xtask", true));
    }
}
