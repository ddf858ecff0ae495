//! The harness of test functions in `benches`, with the interpreter that has Optuna. Nothing is judged here.

use crate::needs;
use crate::shell::{self, Outcome};

/// What runs where nobody names samplers: Gaussian processes, and what may choose them, take minutes and a PyTorch.
const USUAL: &str = "random,qmc,tpe,cmaes,nsga2,nsga3,none,median,percentile,successive_halving,hyperband,threshold,patient,wilcoxon";

/// The samplers that need PyTorch on Optuna's side.
const NEED_TORCH: [&str; 1] = ["gp"];

/// What `--quick` means: one group of each kind, without the slow parts.
const QUICK: [&str; 8] =
    ["--group", "constrained,curves", "--sampler", "random,tpe,median,hyperband", "--seeds", "2", "--budget", "20"];

/// The harness with these switches. Optuna's finished jobs are kept in the target folder unless all are to be `fresh`.
pub(crate) fn run(quick: bool, fresh: bool, switches: &[(&str, &str)]) -> Outcome {
    let root = shell::root()?;
    let target = shell::target(&root)?;
    let named = |name: &str| switches.iter().find(|(switch, _)| *switch == name).map(|(_, value)| *value);
    let samplers = named("--sampler").unwrap_or(USUAL);
    let mut all = samplers.split(',').chain(named("--rivals").into_iter().flat_map(|rivals| rivals.split(',')));
    let torch = !quick && all.any(|sampler| NEED_TORCH.contains(&sampler));
    let python = needs::ensure_python(if torch { "quality-gp" } else { "quality" }, &target)?;
    let mut harness = shell::cargo(&root);
    harness.args(["run", "--release", "--quiet", "--package", "trialog-benches", "--bin", "quality", "--"]);
    harness.arg("--python").arg(python).arg("--script").arg(root.join("benches").join("peers").join("quality.py"));
    if !fresh {
        harness.arg("--cache").arg(target.join("quality"));
    }
    if quick {
        harness.args(QUICK);
    } else {
        harness.args(["--sampler", samplers]);
    }
    for (name, value) in switches.iter().filter(|(name, _)| *name != "--sampler" || quick) {
        harness.args([name, value]);
    }
    shell::run(&mut harness)
}
