//! A simulated world for the journal on a file: clients with their own caches on one disk or on a server's, and
//! everything that goes wrong there, all from one seed.
//!
//! Each client is real code, [`FileJournal`](trialog_journal_file::FileJournal) under a
//! [`Storage`](trialog_storage::Storage), and has a thread; exactly one thread runs at a time. At each call to the
//! operating system the world decides who goes on, what happens and how the call ends. A run follows from its
//! [`Plan`] alone, so a failing seed fails again, and can be shrunk to the decisions that matter.
//!
//! Calls on names have their places, too: names in the world, what a machine believes of them with its cache, and how they
//! fail, though done, with the decisions.

mod campaign;
mod chain;
mod client;
mod disk;
mod draw;
mod holes;
pub mod images;
mod naive;
mod network;
mod oracle;
mod os;
mod plan;
mod shrink;
mod world;

pub use campaign::{Campaign, Report, campaign, explain};
pub use disk::{Change, SECTOR_BYTES, Survival, changed_sectors, survivors};
pub use holes::{Hole, judge_hole, judge_hole_by_claims};
pub use naive::Bug;
pub use oracle::Counts;
pub use plan::{CompactionBug, Compactions, Faults, Medium, Mix, Plan, Role, Subject};
pub use shrink::{Shrunk, shrink};
pub use world::{Choice, Decisions, Slot};

use os::Sim;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// Where the log lies in every simulated world.
const PATH: &str = "/log";

/// What became of a run.
#[derive(Debug)]
pub struct Outcome {
    /// What should have held and did not; nothing if all is well.
    pub violations: Vec<String>,
    /// What was decided on the way: with the plan, all it takes to see it again.
    pub decisions: Decisions,
    /// The run in numbers.
    pub counts: Counts,
    /// The file by which the log is opened, at the end.
    pub log: Vec<u8>,
    /// All the log's files, by the numbers of their segments.
    pub files: BTreeMap<u64, Vec<u8>>,
    /// Each call, if that was asked for.
    pub trace: Vec<String>,
    /// Each change of the file, each sync and each acknowledgement, if that was asked for.
    pub steps: Vec<images::Step>,
}

/// What to keep of a run beside its outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Keep {
    /// A line for each call.
    pub trace: bool,
    /// What changed the file.
    pub steps: bool,
}

/// Runs the plan of a seed.
#[must_use]
pub fn run(plan: &Plan) -> Outcome {
    run_with(plan, None, Keep::default())
}

/// Runs a plan with new decisions, or with those given and no others.
///
/// # Panics
/// If the machine has no threads to give.
#[must_use]
pub fn run_with(plan: &Plan, decisions: Option<Decisions>, keep: Keep) -> Outcome {
    let sim = Arc::new(Sim::new(plan.clone(), decisions));
    {
        let mut world = sim.world();
        world.trace = keep.trace.then(Vec::new);
        world.steps = keep.steps.then(Vec::new);
    }
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..plan.roles.len())
            .map(|me| {
                let sim = &sim;
                let body = move || {
                    sim.wait_for_turn(me);
                    if let Err(cause) = catch_unwind(AssertUnwindSafe(|| client::live(sim, me))) {
                        let what = panic_message(&*cause);
                        sim.world().oracle.violate(format!("client {me} panicked: {what}"));
                    }
                    sim.finish(me);
                };
                let thread = std::thread::Builder::new().stack_size(512 << 10);
                thread.spawn_scoped(scope, body).expect("a thread can be had")
            })
            .collect();
        sim.start(threads.iter().map(|thread| thread.thread().clone()).collect());
    });
    let sim = Arc::into_inner(sim).expect("all clients have ended");
    let mut world = sim.into_world();
    let files = world.log_files();
    world.oracle.judge_end(&files);
    world.oracle.counts.calls = world.calls;
    Outcome {
        violations: world.oracle.violations().to_vec(),
        counts: world.oracle.counts,
        decisions: world.decisions,
        log: files.get(&0).cloned().unwrap_or_default(),
        files,
        trace: world.trace.unwrap_or_default(),
        steps: world.steps.unwrap_or_default(),
    }
}

fn panic_message(cause: &(dyn std::any::Any + Send)) -> String {
    let text = cause.downcast_ref::<&str>().map(|text| String::from(*text));
    text.or_else(|| cause.downcast_ref::<String>().cloned()).unwrap_or_else(|| String::from("something"))
}
