"""Writes whom Optuna's NSGA-II takes for parents: run with optuna 5.0.0.

A case is `case <population size> <minimize or maximize for each objective>`, one line `<values> | <violations>` for each
trial, and `parents <numbers>`: those of the last full generation, rising.
"""

import pathlib

import numpy as np
import optuna
from optuna.samplers.nsgaii._elite_population_selection_strategy import (
    NSGAIIElitePopulationSelectionStrategy,
    _calc_crowding_distance,
    _rank_population,
)
from optuna.trial import create_trial

optuna.logging.set_verbosity(optuna.logging.ERROR)
here = pathlib.Path(__file__).parent
rng = np.random.default_rng(5)


def words(values):
    return " ".join(repr(float(v)) for v in values)




def is_tied(study, population, size):
    """Whether the last rank is cut between equally crowded ones, whose order is nobody's business."""
    room = size
    for rank in _rank_population(population, study.directions, is_constrained=True):
        if len(rank) >= room:
            distances = sorted(_calc_crowding_distance(list(rank)).values(), reverse=True)
            return room < len(rank) and distances[room - 1] == distances[room]
        room -= len(rank)
    return False


def case(directions, size, generations, infeasible):
    study = optuna.create_study(directions=directions)
    lines = [f"case {size} " + " ".join(directions)]
    for _ in range(size * generations + 2):
        values = rng.normal(size=len(directions))
        constraints = list(rng.normal(size=2)) if rng.random() < infeasible else [-1.0]
        study.add_trial(create_trial(values=list(values), constraints={str(k): v for k, v in enumerate(constraints)}))
        lines.append(f"{words(values)} | {words(constraints)}")
    elite = NSGAIIElitePopulationSelectionStrategy(population_size=size)
    parents = []
    trials = study.get_trials(deepcopy=False)
    for generation in range(generations):
        population = trials[generation * size : (generation + 1) * size] + parents
        if is_tied(study, population, size):
            return None
        parents = elite(study, population)
    return lines + ["parents " + " ".join(str(number) for number in sorted(t.number for t in parents))]


lines = []
for directions in (["minimize"], ["minimize", "maximize"], ["maximize"] * 2, ["minimize", "maximize", "minimize"]):
    for size, generations in ((8, 3), (12, 3), (30, 2)):
        for infeasible in (0.0, 0.3, 0.9):
            found = None
            while found is None:
                found = case(directions, size, generations, infeasible)
            lines += found
(here / f"nsga-optuna-{optuna.__version__}.txt").write_text("\n".join(lines) + "\n")
