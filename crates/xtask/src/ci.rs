//! Everything that must hold before a change is kept. Whatever automation runs this adds no logic of its own.

use crate::shell::{self, Outcome, Steps};
use crate::test::FEATURES;
use crate::{fuzz, nfs, simulate, test, tidy};

/// Format, tidy, clippy, docs, fuzzing, simulated and real file systems, and all tests. `long` gives hours to what finds
/// more the longer it runs.
pub(crate) fn run(long: bool) -> Outcome {
    let root = shell::root()?;
    let cargo = |arguments: &[&str]| shell::run(shell::cargo(&root).args(arguments));
    let mut steps = Steps::new();
    steps.run("format", || cargo(&["fmt", "--all", "--check"]));
    steps.run("lock file", || shell::metadata(&root, &["--locked"]).map(drop));
    steps.run("tidy", tidy::run);
    let clippy = ["clippy", "--workspace", "--all-targets", "--features", FEATURES, "--", "-D", "warnings"];
    steps.run("clippy", || cargo(&clippy));
    let bare = ["clippy", "--package", "trialog", "--no-default-features", "--", "-D", "warnings"];
    steps.run("clippy without features", || cargo(&bare));
    steps.run("docs", || {
        let mut doc = shell::cargo(&root);
        shell::run(doc.env("RUSTDOCFLAGS", "-D warnings").args([
            "doc",
            "--no-deps",
            "--workspace",
            "--features",
            FEATURES,
        ]))
    });
    // Licences and sources are tidy's; cargo-deny adds duplicates and bans where somebody has it.
    if shell::capture(shell::cargo(&root).args(["deny", "--version"])).is_ok() {
        steps.run("deny", || cargo(&["deny", "check", "licenses", "bans", "sources"]));
    } else {
        println!("\n(cargo-deny is not installed: licences and sources were checked by tidy)");
    }
    if long {
        let all = ["clippy", "--workspace", "--all-targets", "--all-features", "--", "-D", "warnings"];
        steps.run("clippy with all features", || cargo(&all));
        steps.run("fuzz", || fuzz::run(None, None, true));
        steps.run("simulation", || simulate::run(&["--long"]));
        steps.run("nfs", || nfs::run(false, None));
    } else {
        steps.run("fuzz", fuzz::short);
        steps.run("simulation", simulate::short);
        // Real NFS takes a machine that can boot another one, and minutes: it is for `--long`.
    }
    test::add_to(&mut steps, &root, long);
    steps.finish("ci")
}
