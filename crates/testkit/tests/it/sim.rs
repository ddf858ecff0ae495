//! The simulated world: the journal on a file holds its promises in it, the same seed does the same, and a journal
//! with any one of a dozen known mistakes is found out.

use proptest::prelude::*;
use trialog_testkit::sim::{
    Bug, CompactionBug, Compactions, Faults, Hole, Keep, Medium, Outcome, Plan, Role, Subject, images, judge_hole,
    run, run_with, shrink,
};

fn assert_holds(plan: &Plan) -> Outcome {
    let outcome = run(plan);
    if !outcome.violations.is_empty() {
        let keep = std::env::temp_dir().join("sim-failures");
        panic!("{}", trialog_testkit::sim::explain(plan, &outcome.violations, &keep));
    }
    outcome
}

/// All seeds up to some number; the release build runs many more.
#[test]
fn the_journal_on_a_file_holds_in_every_world() {
    for seed in 0..300 {
        assert_holds(&Plan::draw(seed));
    }
}

#[test]
fn crash_images_hold_what_was_promised() {
    let (mut images, mut by_claims) = (0, 0);
    for seed in 0..12 {
        let tally = images::check_seed(seed);
        assert_eq!(tally.failure, None, "seed {seed}");
        assert_eq!(tally.mistaken, 0, "seed {seed}: damage was taken for a loss of power");
        images += tally.images;
        by_claims += tally.mistaken_by_claims;
    }
    assert!(images > 1000, "only {images} images");
    // The canary: a rule that does not look into the hole would set aside what was promised, and these images show it.
    assert!(by_claims > 10, "only {by_claims} damages would fool a rule that goes by claims alone");
}

#[test]
fn a_seed_does_the_same_again() {
    for seed in 0..30 {
        let plan = Plan::draw(seed);
        let keep = Keep { trace: true, steps: false };
        let (one, other) = (run_with(&plan, None, keep), run_with(&plan, None, keep));
        assert_eq!(one.trace, other.trace, "seed {seed}");
        assert_eq!(one.counts, other.counts, "seed {seed}");
        // And so does a run that is told what to decide.
        let told = run_with(&plan, Some(one.decisions.clone()), keep);
        assert_eq!(one.trace, told.trace, "seed {seed}, with its decisions");
    }
}

/// Most of what can go wrong does go wrong in some of the first worlds; if not, the others prove little.
#[test]
fn the_worlds_are_full_of_trouble() {
    let mut errors = 0;
    let mut deaths = 0;
    let mut power_losses = 0;
    let mut kinds = std::collections::BTreeSet::new();
    for seed in 0..200 {
        let outcome = run(&Plan::draw(seed));
        errors += outcome.counts.errors;
        deaths += outcome.counts.deaths;
        power_losses += outcome.counts.power_losses;
        kinds.extend(outcome.decisions.values().map(|choice| {
            let text = format!("{choice:?}");
            text.split('(').next().unwrap_or_default().to_owned()
        }));
    }
    assert!(errors > 100 && deaths > 100 && power_losses > 10, "{errors}, {deaths}, {power_losses}");
    assert_eq!(kinds.len(), 12, "not every kind of trouble came: {kinds:?}");
}

/// The first seed below `seeds` in whose world a journal with this mistake fails and one without it does not.
fn first_failure(bug: Bug, seeds: u64) -> Option<u64> {
    (0..seeds).find(|&seed| {
        let fails = |bug| !run(&Plan { journal: Subject::Naive(bug), ..Plan::draw(seed) }).violations.is_empty();
        fails(Some(bug)) && !fails(None)
    })
}

/// A simple journal without a mistake: what finds the mistakes must find nothing here.
#[test]
fn a_correct_journal_of_another_make_holds_as_well() {
    for seed in 0..150 {
        let mut plan = Plan::draw(seed);
        plan.journal = Subject::Naive(None);
        // It has no answer to a server that starts again under it, nor to failures of the disk.
        plan.faults = Faults { restart: 0, sync: 0, errno: 0, lock_loss: 0, partition: 0, ..plan.faults };
        assert_holds(&plan);
    }
}

/// So many worlds find each planted mistake; most are found in the first ten.
const SEEDS_FOR_A_MISTAKE: u64 = 1000;

#[test]
fn every_planted_mistake_is_found_out() {
    for bug in Bug::ALL {
        let found = first_failure(bug, SEEDS_FOR_A_MISTAKE);
        println!("{bug:?}: {found:?}");
        assert!(found.is_some(), "{bug:?} was not found in {SEEDS_FOR_A_MISTAKE} seeds");
    }
}

/// A compactor with a mistake is found out, in a world in which one without it holds.
#[test]
fn every_mistake_of_a_compactor_is_found_out() {
    for bug in CompactionBug::ALL {
        let fails = |seed, bug| {
            let mut plan = Plan::draw(seed);
            let grace = std::time::Duration::ZERO;
            let compaction = Compactions { ppm: 200_000, fold_ppm: 500_000, grace, bug };
            plan.compaction = Some(compaction);
            // A hole reaches into a seal only if there is something to give back before it.
            plan.mix.attr_bytes_max = 6000;
            plan.mix.attrs = 4;
            plan.holes = true;
            plan.calls = 600;
            !run(&plan).violations.is_empty()
        };
        let found = (0..SEEDS_FOR_A_MISTAKE).find(|&seed| fails(seed, Some(bug)) && !fails(seed, None));
        println!("{bug:?}: {found:?}");
        assert!(found.is_some(), "{bug:?} was not found in {SEEDS_FOR_A_MISTAKE} seeds");
    }
}

/// A failing run is made small, and its small form fails again.
#[test]
fn a_failing_run_is_shrunk() {
    let seed = first_failure(Bug::IgnoresLock, 200).expect("that mistake is found soon");
    let plan = Plan { journal: Subject::Naive(Some(Bug::IgnoresLock)), ..Plan::draw(seed) };
    let before = run(&plan).decisions.len();
    let shrunk = shrink(&plan, 300);
    assert!(!shrunk.outcome.violations.is_empty(), "the small form does not fail");
    assert!(shrunk.decisions.len() <= before.min(40), "{} decisions of {before} are left", shrunk.decisions.len());
    assert!(!shrunk.outcome.trace.is_empty());
}

/// A bit flips in the last record that was acknowledged, and one more record follows: nothing proves that the record was
/// safe, and yet it must not be taken for one that a loss of power took.
#[test]
fn a_flipped_bit_is_no_loss_of_power() {
    for seed in 0..12 {
        let mut plan = Plan::draw(seed);
        plan.mix.attr_bytes_max = 10;
        plan.calls = 200;
        plan.medium = Medium::Local;
        plan.machines = 1;
        plan.compaction = None;
        plan.faults = Faults::default();
        let log = run(&plan).log;
        let ends = ends(&log);
        let [.., from, to, _] = ends[..] else { continue };
        if to - from > 150 {
            continue;
        }
        for bit in from * 8..to * 8 {
            let mut damaged = log.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let verdict = judge_hole(&damaged, from, ends.len() as u64 - 3);
            assert_ne!(verdict, Hole::LostPower, "seed {seed}, bit {bit}");
        }
        // The same record lost with its sector is one.
        if from / 512 != (to - 1) / 512 && from % 512 < 508 {
            let mut lost = log.clone();
            let end = (from / 512 + 1) * 512;
            lost[from..end].fill(0);
            let verdict = judge_hole(&lost, from, ends.len() as u64 - 3);
            assert_ne!(verdict, Hole::NotASector, "seed {seed}");
        }
    }
}

/// Where the frames of an intact log end; first, where they begin.
fn ends(log: &[u8]) -> Vec<usize> {
    let mut ends = vec![64];
    while let Some(header) = ends.last().and_then(|&at| log.get(at..at + 24)) {
        let length = u32::from_le_bytes([header[4], header[5], header[6], 0]) as usize;
        ends.push(ends[ends.len() - 1] + 24 + length);
    }
    ends
}

fn role() -> impl Strategy<Value = Role> {
    prop::sample::select(&[Role::Writer, Role::Batcher, Role::Reader][..])
}

fn rate(max: u32) -> impl Strategy<Value = u32> {
    prop_oneof![1 => Just(0), 2 => 0..max]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 120, failure_persistence: None, ..ProptestConfig::default() })]

    /// Writers, readers and crashers in any number.
    #[test]
    fn any_company_in_any_weather(
        seed: u64,
        network: bool,
        roles in prop::collection::vec(role(), 1..8),
        machines in 1_usize..4,
        switch_ppm in 0_u32..1_000_000,
        calls in 50_u64..500,
        rates in (rate(30_000), rate(5_000), rate(50_000), rate(20_000), rate(8_000)),
        more in (rate(10_000), rate(5_000), rate(5_000), rate(3_000), rate(200_000)),
        durable_ppm in prop::sample::select(&[0, 300_000, 1_000_000][..]),
    ) {
        let (errno, sync, short, kill, power) = rates;
        let (stop, restart, partition, lock_loss, writeback) = more;
        let mut plan = Plan::draw(seed);
        plan.medium = if network { Medium::Network } else { Medium::Local };
        plan.machines = if network { machines.min(roles.len()) } else { 1 };
        plan.roles = roles;
        plan.switch_ppm = switch_ppm;
        plan.calls = calls;
        plan.mix.durable_ppm = durable_ppm;
        plan.faults = Faults { errno, sync, short, kill, power, stop, restart, partition, lock_loss, writeback };
        let outcome = run(&plan);
        prop_assert!(outcome.violations.is_empty(), "{plan}\n{:#?}", outcome.violations);
    }
}

/// A reader that was stopped within its first look put a header together from before and after a creator's write, and
/// took the file for no log.
#[test]
fn a_header_that_is_written_meanwhile_is_looked_at_again() {
    let mut plan = Plan::draw(11_926_728_495_093_567_105);
    (plan.medium, plan.machines, plan.switch_ppm, plan.calls) = (Medium::Local, 1, 4125, 53);
    plan.roles = vec![Role::Reader, Role::Writer, Role::Batcher, Role::Writer, Role::Reader, Role::Writer];
    plan.mix.durable_ppm = 0;
    plan.faults = Faults {
        errno: 1,
        sync: 0,
        short: 1,
        kill: 7240,
        power: 3125,
        stop: 4257,
        restart: 0,
        partition: 0,
        lock_loss: 0,
        writeback: 0,
    };
    let outcome = run(&plan);
    assert!(outcome.violations.is_empty(), "{plan}\n{:#?}", outcome.violations);
}
