"""Writes one-sided signed-rank p-values as Optuna's Wilcoxon pruner takes them: run with scipy 1.17.1.

A line is `<p-value> <differences>`.
"""

import pathlib

import numpy as np
import scipy
from scipy.stats import wilcoxon

here = pathlib.Path(__file__).parent
rng = np.random.default_rng(5)
lines = []


def line(differences):
    differences = [float(d) for d in differences]
    p = wilcoxon(differences, alternative="greater", zero_method="zsplit").pvalue
    lines.append(" ".join([repr(float(p))] + [repr(d) for d in differences]))


SIZES = (2, 3, 4, 5, 7, 10, 12, 13, 14, 15, 20, 33, 49, 50, 51, 52, 75, 100, 200)
for size in SIZES:
    for shift in (-1.0, 0.0, 0.2, 1.0, 4.0):
        for grain in (None, 0.01, 0.5):
            differences = rng.normal(size=size) + shift
            if grain:
                differences = np.round(np.round(differences / grain) * grain, 2)
            line(differences)
    # All equal, all zero, alternating, all positive and all negative; some zeros among others without ties.
    line([0.25] * size)
    line([0.0] * size)
    line([(-1) ** k * (k + 1) for k in range(size)])
    line([k + 1 for k in range(size)])
    line([-k - 1 for k in range(size)])
    for share in (0.1, 0.3, 0.6, 0.9):
        differences = rng.normal(size=size)
        differences[rng.random(size) < share] = 0.0
        line(differences)
    for spread in (1e-300, 1e-9, 1.0, 1e9, 1e300, 3.0):
        line(rng.normal(size=size) * spread + 0.3 * spread)

(here / f"signed-rank-scipy-{scipy.__version__}.txt").write_text("\n".join(lines) + "\n")
print(len(lines))
