"""Writes the expected ranks, volumes and subsets: run with optuna 5.0.0.

A case is a line `case <dims> <count> <volume> | <reference> | <ranks> | <chosen>` and then one line for each point.
"""

import pathlib

import numpy as np
import optuna
from optuna._hypervolume import compute_hypervolume
from optuna._hypervolume.hssp import _solve_hssp
from optuna.study._multi_objective import _calculate_nondomination_rank

here = pathlib.Path(__file__).parent
rng = np.random.default_rng(11)


def words(values):
    return " ".join(repr(float(v)) if isinstance(v, (float, np.floating)) else str(int(v)) for v in values)


def points_of(kind, n, dims):
    if kind == "uniform":
        return rng.random((n, dims))
    if kind == "front":
        p = np.abs(rng.normal(size=(n, dims))) + 0.01
        return p / np.linalg.norm(p, axis=1, keepdims=True) * 4 - 2
    if kind == "grid":
        return rng.integers(0, 5, (n, dims)).astype(float)
    p = rng.normal(size=(n, dims))
    p[rng.random((n, dims)) < 0.1] = -np.inf
    if kind == "infinite":
        p[rng.random((n, dims)) < 0.05] = np.inf
    return p


lines = []
for kind in ("uniform", "front", "grid", "minus infinite", "infinite"):
    for dims in (2, 3, 4):
        for n in (1, 2, 7, 30):
            points = points_of(kind, n, dims)
            worst = points.max(axis=0)
            reference = np.maximum(1.1 * worst, 0.9 * worst)
            reference[reference == 0] = 1e-12
            ranks = _calculate_nondomination_rank(points)
            volume = compute_hypervolume(points, reference)
            count = int(rng.integers(1, n + 1))
            with np.errstate(all="ignore"):
                chosen = _solve_hssp(points, np.arange(n), count, reference)
            lines.append(f"case {dims} {count} {float(volume)!r} | {words(reference)} | {words(ranks)} | {words(chosen)}")
            lines += [words(row) for row in points]
(here / f"multi-objective-optuna-{optuna.__version__}.txt").write_text("\n".join(lines) + "\n")
