"""Optuna's side of `cargo xtask quality`: reads one job a line, {"function", "name", "seed", "budget"}, runs it, and prints
the finished trials, {"seconds", "trials": [{"number", "params", "told",
"constraints"}]}.

What it does follows benches/src/quality/run.rs step by step: the same order of asks and tells, the same noise and curves.
"""

import json
import sys
import time
import warnings
from math import cos, exp, log, pi, sqrt

import optuna
from quality_functions import at

STEPS = 27
# No trial has this number.
INSTANCE = 1 << 20
MASK = 2**64 - 1

optuna.logging.set_verbosity(optuna.logging.ERROR)
warnings.simplefilter("ignore")


def uniform(seed, number, purpose):
    z = (seed << 40 ^ number << 16 ^ purpose) * 0x9E3779B97F4A7C15 & MASK
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & MASK
    z = (z ^ z >> 27) * 0x94D049BB133111EB & MASK
    return ((z ^ z >> 31) >> 11) / 2**53


def normal(seed, number, purpose):
    u, v = uniform(seed, number, purpose), uniform(seed, number, purpose + 1)
    return sqrt(-2 * log(1 - u)) * cos(2 * pi * v)


def constraints(trial):
    return trial.user_attrs["c"]


def sampler(name, seed, constrained):
    samplers = optuna.samplers
    more = {"constraints_func": constraints} if constrained and name in ("tpe", "nsga2", "nsga3", "gp") else {}
    kinds = {
        "random": samplers.RandomSampler,
        "qmc": lambda seed: samplers.QMCSampler(seed=seed, scramble=True),
        "tpe": samplers.TPESampler,
        "cmaes": samplers.CmaEsSampler,
        "nsga2": samplers.NSGAIISampler,
        "nsga3": samplers.NSGAIIISampler,
        "gp": samplers.GPSampler,
    }
    return kinds[name](seed=seed, **more)


def pruner(name, function):
    pruners = optuna.pruners
    return {
        "none": pruners.NopPruner,
        "median": pruners.MedianPruner,
        "percentile": lambda: pruners.PercentilePruner(25.0),
        "successive_halving": lambda: pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=3),
        "hyperband": lambda: pruners.HyperbandPruner(min_resource=1, max_resource=STEPS, reduction_factor=3),
        "threshold": lambda: pruners.ThresholdPruner(
            upper=50.0 if function == "curve-branin" else 0.0, n_warmup_steps=9
        ),
        "patient": lambda: pruners.PatientPruner(pruners.MedianPruner(), patience=3),
        "wilcoxon": pruners.WilcoxonPruner,
    }[name]()


def suggest(trial, axes):
    point = {}
    for axis in axes:
        when = axis["when"]
        if when and point.get(when[0]) != when[1]:
            continue
        name = axis["name"]
        if axis["kind"] == "categorical":
            point[name] = trial.suggest_categorical(name, axis["choices"])
        else:
            ask = trial.suggest_float if axis["kind"] == "float" else trial.suggest_int
            point[name] = ask(name, axis["low"], axis["high"], log=axis["log"])
    return point


def reported(function, seed, number, step, end):
    height = function["curve"]
    if "instances" in function:
        return end + height * (normal(seed, INSTANCE, 2 * step) + 0.5 * normal(seed, number, 2 * step))
    slow = 2 + 6 * uniform(seed, number, 1000)
    return end + height * (exp(-step / slow) + 0.02 * normal(seed, number, 2 * step))


def learn(trial, function, seed, end):
    values = []
    for step in range(1, STEPS + 1):
        values.append(reported(function, seed, trial.number, step, end))
        trial.report(values[-1], step)
        if step < STEPS and trial.should_prune():
            return step, []
    return STEPS, [sum(values) / STEPS if "instances" in function else values[-1]]


def run(job):
    function, seed = job["function"], job["seed"]
    curve, name = function["curve"], function["name"]
    constrained = function["constrained"]
    chosen = {"sampler": sampler("random" if curve else job["name"], seed, constrained)}
    if curve:
        chosen["pruner"] = pruner(job["name"], name)
    study = optuna.create_study(directions=["minimize"] * function["objectives"], study_name="quality", **chosen)
    running, done = [], []
    now, asked, used = 0.0, 0, 0
    budget = job["budget"] * (STEPS if curve else 1)
    while True:
        while len(running) < function["workers"] and max(used, asked) < budget:
            trial = study.ask()
            asked += not curve
            point = suggest(trial, function["axes"])
            running.append((now + 0.5 + uniform(seed, trial.number, 0), trial, point))
        if not running:
            return done
        now, trial, point = running.pop(min(range(len(running)), key=lambda index: running[index][0]))
        told, limits = at(name, point)
        if limits:
            trial.set_user_attr("c", limits)
        if function["noise"]:
            told[0] += function["noise"] * normal(seed, trial.number, 1)
        if curve:
            steps, told = learn(trial, function, seed, told[0])
            used += steps
        if told:
            study.tell(trial, told)
        else:
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        done.append({"number": trial.number, "params": point, "told": told, "constraints": limits})


for line in sys.stdin:
    clock = time.process_time()
    trials = run(json.loads(line))
    print(json.dumps({"seconds": time.process_time() - clock, "trials": trials}), flush=True)
