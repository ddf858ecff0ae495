"""Writes which trials TPE takes for good: run with optuna 5.0.0.

A case is `case <minimize or maximize for each objective>`, one line per trial,
`<state> | <values> | <last step> <last value> | <violations>`, and `good <numbers>`.
"""

import pathlib

import numpy as np
import optuna
from optuna.samplers._tpe.sampler import _split_trials, default_gamma, default_gamma_multiobjective
from optuna.trial import TrialState, create_trial

optuna.logging.set_verbosity(optuna.logging.ERROR)
here = pathlib.Path(__file__).parent
rng = np.random.default_rng(3)


def words(values):
    return " ".join(repr(float(v)) for v in values)


def case(directions, n, complete, pruned, infeasible, coarse=False, infinite=False, running=0.0):
    study = optuna.create_study(directions=directions)
    lines = ["case " + " ".join(directions)]
    for _ in range(n):
        draw = rng.random()
        state = "complete" if draw < complete else "pruned" if draw < complete + pruned else "fail"
        if rng.random() < running:
            state = "running"
        values = rng.normal(size=len(directions))
        if coarse:
            values = np.round(values * 2)
        if infinite:
            values[rng.random(len(values)) < 0.15] = np.inf
            values[rng.random(len(values)) < 0.1] = -np.inf
        report = []
        if rng.random() < 0.8 and len(directions) == 1:
            report = [float(rng.integers(0, 4)), float(np.round(rng.normal(), 1)) if rng.random() < 0.8 else float("nan")]
        constraints = []
        if rng.random() < infeasible:
            constraints = [float(np.round(rng.normal(), 1)), float(np.round(rng.normal() - 1, 1))]
        elif rng.random() < 0.5:
            constraints = [-1.0]
        study.add_trial(
            create_trial(
                state={"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "fail": TrialState.FAIL, "running": TrialState.RUNNING}[state],
                values=list(values) if state == "complete" else None,
                intermediate_values={int(report[0]): report[1]} if report else {},
                system_attrs={"constraints": constraints} if constraints else {},
            )
        )
        lines.append(f"{state} | {words(values) if state == 'complete' else ''} | {words(report)} | {words(constraints)}")
    trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING))
    finished = sum(t.state != TrialState.RUNNING for t in trials)
    gamma = default_gamma if len(directions) == 1 else default_gamma_multiobjective
    with np.errstate(all="ignore"):
        below, _ = _split_trials(study, trials, gamma(finished))
    lines.append("good " + " ".join(str(t.number) for t in below))
    return lines


lines = []
for direction in ("minimize", "maximize"):
    for n in (1, 9, 30, 120, 300):
        lines += case([direction], n, 0.8, 0.15, 0.1)
    lines += case([direction], 100, 0.05, 0.9, 0.2)
    lines += case([direction], 100, 0.05, 0.05, 0.9)
    lines += case([direction], 100, 0.0, 1.0, 0.0)
    lines += case([direction], 150, 1.0, 0.0, 0.0, coarse=True)
    lines += case([direction], 150, 0.9, 0.0, 0.0, infinite=True, running=0.1)
for directions in (["minimize", "minimize"], ["maximize", "minimize"], ["minimize", "maximize", "minimize"]):
    for n in (1, 25, 100, 300):
        lines += case(directions, n, 0.9, 0.0, 0.1)
    lines += case(directions, 150, 0.9, 0.05, 0.0, coarse=True, running=0.1)
    lines += case(directions, 100, 1.0, 0.0, 0.0, infinite=True)
    lines += case(directions, 100, 0.04, 0.9, 0.5)
(here / f"split-optuna-{optuna.__version__}.txt").write_text("\n".join(lines) + "\n")
