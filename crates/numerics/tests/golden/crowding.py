"""Writes expected crowding distances and nearest directions: run with optuna 5.0.0.

A case is `case <dims> | <crowding distances> | <nearest directions> | <distances from them>`, then one line for each
point. The directions are Optuna's default ones with three divisions, in the order of their shares.
"""

import pathlib
from types import SimpleNamespace

import numpy as np
import optuna
from optuna.samplers._nsgaiii._elite_population_selection_strategy import (
    _associate_individuals_with_reference_points,
    _filter_inf,
    _generate_default_reference_point,
    _normalize_objective_values,
)
from optuna.samplers.nsgaii._elite_population_selection_strategy import _calc_crowding_distance

here = pathlib.Path(__file__).parent
rng = np.random.default_rng(23)


def words(values):
    return " ".join(repr(float(v)) if isinstance(v, (float, np.floating)) else str(int(v)) for v in values)


def points_of(kind, n, dims):
    if kind == "front":
        p = np.abs(rng.normal(size=(n, dims))) + 0.01
        return p / np.linalg.norm(p, axis=1, keepdims=True) * rng.uniform(0.1, 30, dims) - 2
    if kind == "grid":
        return rng.integers(0, 6, (n, dims)).astype(float)
    p = rng.normal(size=(n, dims))
    if kind == "infinite":
        p[rng.random((n, dims)) < 0.1] = np.inf
        p[rng.random((n, dims)) < 0.05] = -np.inf
    return p


lines = []
for kind in ("front", "uniform", "grid", "infinite"):
    for dims in (2, 3, 4):
        for n in (5, 12, 40):
            points = points_of(kind, n, dims)
            trials = [SimpleNamespace(number=k, values=list(row)) for k, row in enumerate(points)]
            distances = _calc_crowding_distance(list(trials))
            scaled = _filter_inf(trials)
            ideal = scaled - scaled.min(axis=0)
            normalized = _normalize_objective_values(scaled.copy())
            # Where an intercept is not positive, Optuna turns axes round; there is nothing to agree with.
            ratios = normalized[ideal > 0] / ideal[ideal > 0]
            if (ratios <= 0).any():
                nearest, beside = [], []
            else:
                directions = _generate_default_reference_point(dims, 3)
                nearest, beside = _associate_individuals_with_reference_points(normalized, directions)
            lines.append(f"case {dims} | {words([distances[k] for k in range(n)])} | {words(nearest)} | {words(beside)}")
            lines += [words(row) for row in points]
(here / f"crowding-optuna-{optuna.__version__}.txt").write_text("\n".join(lines) + "\n")
