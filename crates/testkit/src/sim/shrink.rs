//! From a run that fails to the least that still does: first fewer clients and calls, then fewer decisions.

use super::plan::{Faults, Plan};
use super::world::Decisions;
use super::{Keep, Outcome, run_with};

/// A failing run in its smallest form.
#[derive(Debug)]
pub struct Shrunk {
    /// The plan.
    pub plan: Plan,
    /// All that is decided in it.
    pub decisions: Decisions,
    /// What comes of that, with a line for each call.
    pub outcome: Outcome,
    /// How many runs it took.
    pub runs: usize,
}

/// Shrinks a failing plan, trying at most `runs_max` runs.
#[must_use]
pub fn shrink(plan: &Plan, runs_max: usize) -> Shrunk {
    let mut shrinker = Shrinker { runs: 0, runs_max };
    let mut plan = plan.clone();
    for smaller in smaller_plans(&plan) {
        let mut candidate = plan.clone();
        smaller(&mut candidate);
        if candidate != plan && shrinker.fails(&candidate, None).is_some() {
            plan = candidate;
        }
    }
    let mut decisions = run_with(&plan, None, Keep::default()).decisions;
    shrinker.shrink_decisions(&plan, &mut decisions);
    // With fewer decisions the end may come earlier, too.
    for calls in [plan.calls / 8, plan.calls / 4, plan.calls / 2, plan.calls * 3 / 4] {
        let candidate = Plan { calls, ..plan.clone() };
        if shrinker.fails(&candidate, Some(&decisions)).is_some() {
            plan = candidate;
            break;
        }
    }
    let outcome = run_with(&plan, Some(decisions.clone()), Keep { trace: true, steps: false });
    Shrunk { plan, decisions, outcome, runs: shrinker.runs }
}

struct Shrinker {
    runs: usize,
    runs_max: usize,
}

type Edit = Box<dyn Fn(&mut Plan)>;

fn smaller_plans(plan: &Plan) -> Vec<Edit> {
    let mut edits: Vec<Edit> = Vec::new();
    for factor in [8, 4, 2] {
        edits.push(Box::new(move |plan| plan.calls = (plan.calls / factor).max(20)));
    }
    for _ in 1..plan.roles.len() {
        edits.push(Box::new(|plan| {
            plan.roles.truncate(plan.roles.len().max(2) - 1);
            plan.machines = plan.machines.min(plan.roles.len());
        }));
    }
    let faults: [fn(&mut Faults) -> &mut u32; 10] = [
        |faults| &mut faults.errno,
        |faults| &mut faults.sync,
        |faults| &mut faults.short,
        |faults| &mut faults.kill,
        |faults| &mut faults.power,
        |faults| &mut faults.stop,
        |faults| &mut faults.restart,
        |faults| &mut faults.partition,
        |faults| &mut faults.lock_loss,
        |faults| &mut faults.writeback,
    ];
    for fault in faults {
        edits.push(Box::new(move |plan| *fault(&mut plan.faults) = 0));
    }
    edits.push(Box::new(|plan| plan.snapshots = None));
    edits.push(Box::new(|plan| plan.compaction = None));
    edits.push(Box::new(|plan| plan.mix.attr_bytes_max = plan.mix.attr_bytes_max.min(10)));
    edits
}

impl Shrinker {
    fn fails(&mut self, plan: &Plan, decisions: Option<&Decisions>) -> Option<Outcome> {
        if self.runs >= self.runs_max {
            return None;
        }
        self.runs += 1;
        let outcome = run_with(plan, decisions.cloned(), Keep::default());
        (!outcome.violations.is_empty()).then_some(outcome)
    }

    /// Leaves out halves, quarters and so on, down to single decisions, as long as the run still fails.
    fn shrink_decisions(&mut self, plan: &Plan, decisions: &mut Decisions) {
        let mut piece = decisions.len().div_ceil(2);
        while piece > 0 && self.runs < self.runs_max {
            let mut from = 0;
            while from < decisions.len() {
                let without: Decisions = decisions
                    .iter()
                    .enumerate()
                    .filter(|(index, _)| !(from..from + piece).contains(index))
                    .map(|(_, (&at, &choice))| (at, choice))
                    .collect();
                if self.fails(plan, Some(&without)).is_some() {
                    *decisions = without;
                } else {
                    from += piece;
                }
            }
            piece = if piece == 1 { 0 } else { piece.div_ceil(2) };
        }
    }
}
