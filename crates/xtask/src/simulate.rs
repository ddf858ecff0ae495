//! The simulator of the test kit, built for speed and run over many seeds.

use crate::shell::{self, Outcome};

/// What CI runs.
const SEEDS_SHORT: &str = "20000";

/// As many seeds and crash images as everybody has time for.
pub(crate) fn short() -> Outcome {
    run(&["--seeds", SEEDS_SHORT])
}

/// The simulator with these switches of its own. Logs and traces of failing runs are kept under `target`.
pub(crate) fn run(switches: &[&str]) -> Outcome {
    let root = shell::root()?;
    let keep = shell::target(&root)?.join("sim-failures");
    let mut simulate = shell::cargo(&root);
    simulate.args(["run", "--release", "--quiet", "--package", "trialog-testkit", "--bin", "simulate", "--"]);
    shell::run(simulate.args(switches).arg("--keep").arg(keep))
}
