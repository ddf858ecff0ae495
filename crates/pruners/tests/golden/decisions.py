"""Writes what Optuna's pruners decide about scripted studies: run with optuna 5.0.0.

A study is `study <name> <direction> <kind> <pruner as JSON>`, followed by what happens in it:
`start` begins the next trial, `<trial> <step> <value> <keep|prune>` reports and asks at once, `end <trial>
<complete|pruned|fail>` ends it (`complete <value>` with a value other than 0), `brackets <budgets>` and `bracket <trial> <bracket>` say how Hyperband deals.
The kind is `exact` where every decision must be the same, and otherwise the deviation that the study is about.
"""

import json
import math
import pathlib

import numpy as np
import optuna
from optuna.trial import TrialState

optuna.logging.set_verbosity(optuna.logging.ERROR)
here = pathlib.Path(__file__).parent
rng = np.random.default_rng(11)
CLASSES = {
    "median": optuna.pruners.MedianPruner,
    "percentile": optuna.pruners.PercentilePruner,
    "successive_halving": optuna.pruners.SuccessiveHalvingPruner,
    "hyperband": optuna.pruners.HyperbandPruner,
    "threshold": optuna.pruners.ThresholdPruner,
    "patient": optuna.pruners.PatientPruner,
    "wilcoxon": optuna.pruners.WilcoxonPruner,
}
lines = []


def build(pruner, options):
    options = dict(options)
    if pruner == "patient":
        wrapped = options.get("wrapped_pruner")
        options["wrapped_pruner"] = wrapped and build(wrapped["name"], wrapped["options"])
    return CLASSES[pruner](**options)


def values(count, level, coarse, nan, infinite):
    values = np.round(level + rng.normal(size=count) * 0.5, 2)
    if coarse:
        values = np.round(values * 2) / 2
    values[rng.random(count) < nan] = math.nan
    values[rng.random(count) < infinite] = math.inf
    values[rng.random(count) < infinite] = -math.inf
    return values


def study(
    name, direction, pruner, options, *, kind="exact", trials=30, length=27, workers=1, coarse=False, nan=0.0,
    infinite=0.0, gaps=1, obeys=1.0, fails=0.05, varied=False, blank_first=False,
):
    """`gaps` is the largest distance of steps, `obeys` the share of verdicts that are followed, and `blank_first` lets
    the first trial report nothing but NaN."""
    study = optuna.create_study(direction=direction, study_name=name, pruner=build(pruner, options),
                                sampler=optuna.samplers.RandomSampler(seed=0))
    spec = json.dumps({"name": pruner, "options": options})
    lines.append(f"study {name} {direction} {kind} {spec}")
    running, begun = [], 0
    while begun < trials or running:
        if begun < trials and len(running) < workers and (not blank_first or begun != 1 or not running):
            steps = list(np.cumsum(rng.integers(1, gaps + 1, size=length)) - rng.integers(0, 2))
            if gaps == 1:
                steps = list(range(length))
            if varied:
                steps = steps[: rng.integers(0, length + 1)]
            blank = nan if not (blank_first and begun == 0) else 1.0
            plan = list(zip(steps, values(len(steps), rng.normal(), coarse, blank, infinite)))
            running.append((study.ask(), plan))
            lines.append("start")
            begun += 1
            continue
        at = rng.integers(len(running))
        trial, plan = running[at]
        if not plan:
            del running[at]
            fail = rng.random() < fails and not (blank_first and trial.number == 0)
            # The Wilcoxon pruner compares with the best trial, and takes what is told for the mean of the reports.
            reported = list(study.trials[trial.number].intermediate_values.values())
            value = float(np.nan_to_num(np.mean(reported))) if pruner == "wilcoxon" and reported else 0.0
            study.tell(trial, None if fail else value, state=TrialState.FAIL if fail else TrialState.COMPLETE)
            lines.append(f"end {trial.number} {'fail' if fail else f'complete {value!r}' if value else 'complete'}")
            continue
        step, value = plan.pop(0)
        trial.report(float(value), int(step))
        prune = trial.should_prune()
        lines.append(f"{trial.number} {step} {float(value)!r} {'prune' if prune else 'keep'}")
        # Values that are NaN at a rung are asked about again in Optuna if the trial goes on.
        has_rungs = pruner in ("successive_halving", "hyperband")
        if prune and (rng.random() < obeys or (math.isnan(value) and has_rungs and kind == "exact")):
            del running[at]
            study.tell(trial, state=TrialState.PRUNED)
            lines.append(f"end {trial.number} pruned")
    if pruner == "hyperband":
        lines.append("brackets " + " ".join(str(b) for b in study.pruner._trial_allocation_budgets))
        for trial in study.trials:
            lines.append(f"bracket {trial.number} {study.pruner._get_bracket_id(study, trial)}")


for direction in ("minimize", "maximize"):
    way = direction[:3]
    # Percentiles.
    study(f"median-{way}", direction, "median", {})
    study(f"median-parallel-{way}", direction, "median", {"n_startup_trials": 3}, workers=5, nan=0.1, gaps=3)
    study(f"median-stubborn-{way}", direction, "median", {"n_startup_trials": 0}, workers=3, nan=0.5, obeys=0.2,
          coarse=True, varied=True)
    study(f"median-blank-{way}", direction, "median", {"n_startup_trials": 1}, nan=0.9, obeys=0.5, length=4)
    study(f"median-interval-{way}", direction, "median", {"n_startup_trials": 2, "n_warmup_steps": 3, "interval_steps": 5},
          workers=4, gaps=3, obeys=0.5)
    study(f"median-many-{way}", direction, "median", {"n_min_trials": 4, "n_startup_trials": 1}, workers=4, varied=True,
          obeys=0.4)
    for percentile in (0.0, 10.0, 25.0, 37.5, 90.0, 100.0):
        study(f"percentile-{percentile}-{way}", direction, "percentile",
              {"percentile": percentile, "n_startup_trials": 2, "interval_steps": 2}, workers=4, coarse=percentile < 30,
              obeys=0.7, nan=0.05)
    # Successive halving.
    for eta, r, s in ((2, 1, 0), (3, 1, 0), (4, 1, 0), (3, 2, 1), (2, 5, 0), (4, 1, 2)):
        study(f"halving-{eta}-{r}-{s}-{way}", direction, "successive_halving",
              {"min_resource": r, "reduction_factor": eta, "min_early_stopping_rate": s}, trials=60, workers=1 + eta,
              coarse=eta == 3, nan=0.05, infinite=0.1 * (eta == 4), obeys=0.9)
    study(f"halving-serial-{way}", direction, "successive_halving", {"min_resource": 1}, trials=80, varied=True)
    study(f"halving-bootstrap-{way}", direction, "successive_halving", {"min_resource": 2, "bootstrap_count": 5}, trials=80,
          workers=4, obeys=0.6)
    study(f"halving-gaps-{way}", direction, "successive_halving", {"min_resource": 4, "reduction_factor": 4}, trials=80,
          workers=4, gaps=3)
    study(f"halving-auto-{way}", direction, "successive_halving", {}, trials=40, workers=3, length=220, blank_first=True)
    # Hyperband.
    for eta, r, top in ((3, 1, 27), (2, 1, 16), (3, 2, 100), (4, 1, 64), (3, 5, 5)):
        study(f"hyperband-{eta}-{r}-{top}-{way}", direction, "hyperband",
              {"min_resource": r, "max_resource": top, "reduction_factor": eta}, trials=100, workers=4, length=28,
              coarse=eta == 2, nan=0.02, infinite=0.1 * (eta == 4), obeys=0.9)
    study(f"hyperband-bootstrap-{way}", direction, "hyperband", {"max_resource": 27, "bootstrap_count": 3}, trials=120,
          workers=4, obeys=0.6)
    study(f"hyperband-auto-{way}", direction, "hyperband", {}, trials=120, workers=4, blank_first=True)
    # What is meant to differ.
    study(f"percentile-infinite-{way}", direction, "percentile", {"percentile": 40.0, "n_startup_trials": 2}, kind="infinite",
          infinite=0.3, obeys=0.5)
    study(f"median-min-trials-{way}", direction, "median", {"n_startup_trials": 1, "n_min_trials": 5}, kind="min-trials",
          nan=0.3, obeys=0.5)
    study(f"halving-skips-{way}", direction, "successive_halving", {"min_resource": 1, "reduction_factor": 2}, kind="skips",
          trials=80, workers=4, gaps=6)
    study(f"halving-nan-{way}", direction, "successive_halving", {"min_resource": 1, "reduction_factor": 2}, kind="nan",
          trials=80, workers=4, nan=0.3, obeys=0.3)
    study(f"halving-unknown-{way}", direction, "successive_halving", {}, kind="unknown", trials=50, workers=3)
    study(f"hyperband-unknown-{way}", direction, "hyperband", {}, kind="unknown", trials=100, workers=3, varied=True)
study("hyperband-243", "minimize", "hyperband", {"max_resource": 243}, kind="logarithm", trials=60, length=27)

for direction in ("minimize", "maximize"):
    way = direction[:3]
    for bounds in ({"lower": -1.0}, {"upper": 0.5}, {"lower": -1.5, "upper": 1.5}):
        study(f"threshold-{'-'.join(bounds)}-{way}", direction, "threshold", bounds, workers=3, obeys=0.3, nan=0.05,
              infinite=0.02, coarse=True)
    study(f"threshold-interval-{way}", direction, "threshold",
          {"lower": -1.0, "upper": 1.0, "n_warmup_steps": 4, "interval_steps": 3}, workers=3, gaps=3, obeys=0.3)
    for patience, delta in ((0, 0.0), (1, 0.25), (3, 0.0), (6, 0.5), (40, 0.0)):
        study(f"patient-{patience}-{delta}-{way}", direction, "patient", {"patience": patience, "min_delta": delta},
              workers=3, obeys=0.3, nan=0.3 * (patience == 1), infinite=0.05, coarse=patience == 3)
    study(f"patient-median-{way}", direction, "patient",
          {"patience": 2, "wrapped_pruner": {"name": "median", "options": {"n_startup_trials": 2}}}, workers=3, obeys=0.5)
    study(f"patient-threshold-{way}", direction, "patient",
          {"patience": 1, "wrapped_pruner": {"name": "threshold", "options": {"upper": 0.5}}}, workers=3, obeys=0.5)
    study(f"wilcoxon-{way}", direction, "wilcoxon", {}, workers=3, trials=40)
    study(f"wilcoxon-coarse-{way}", direction, "wilcoxon", {"p_threshold": 0.4, "n_startup_steps": 0}, workers=3, coarse=True,
          obeys=0.5)
    study(f"wilcoxon-long-{way}", direction, "wilcoxon", {"p_threshold": 0.02, "n_startup_steps": 8}, length=70, obeys=0.2)
    study(f"wilcoxon-varied-{way}", direction, "wilcoxon", {"p_threshold": 0.3}, varied=True, gaps=3, workers=2, obeys=0.5)
    study(f"wilcoxon-infinite-{way}", direction, "wilcoxon", {}, nan=0.01, infinite=0.01, length=12, trials=60)

(here / f"decisions-optuna-{optuna.__version__}.txt").write_text("\n".join(lines) + "\n")
