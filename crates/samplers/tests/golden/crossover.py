"""Writes the children of Optuna's crossovers and mutation: run with optuna 5.0.0.

A case is `case <crossover> <options> | <objectives> | <uniform numbers> | <normal numbers>`, then a line `low high` for
each coordinate, one line for each parent, and `child <coordinates>`. The random numbers are drawn from a list, which is
written down; of UNDX the deviations are those of its paper, of which Optuna takes the squares, and the numbers are
scaled accordingly.
"""

import pathlib
from types import SimpleNamespace

import numpy as np
import optuna
from optuna.samplers.nsgaii import BLXAlphaCrossover, SBXCrossover, SPXCrossover, UniformCrossover, VSBXCrossover
from optuna.samplers.nsgaii import UNDXCrossover
from optuna.samplers.nsgaii._mutations._polynomial import PolynomialMutation

optuna.logging.set_verbosity(optuna.logging.ERROR)
here = pathlib.Path(__file__).parent
source = np.random.default_rng(7)


class Recorder:
    """Draws like a RandomState, and writes down what it drew."""

    def __init__(self):
        self.uniforms, self.normals = [], []

    def rand(self, n=None):
        drawn = source.random(1 if n is None else n)
        self.uniforms += list(drawn)
        return drawn if n is not None else float(drawn[0])

    def normal(self, _, scale, size=None):
        drawn = source.normal(size=1 if size is None else size)
        self.normals += list(drawn)
        drawn = drawn * np.sqrt(scale)
        return drawn if size is not None else float(drawn[0])


def words(values):
    return " ".join(repr(float(v)) for v in values)


crossovers = [
    ("uniform 0.3", UniformCrossover(0.3)),
    ("blxalpha 0.5", BLXAlphaCrossover(0.5)),
    ("spx", SPXCrossover()),
    ("spx 1.5", SPXCrossover(1.5)),
    ("sbx", SBXCrossover()),
    ("sbx 5", SBXCrossover(5.0)),
    ("vsbx", VSBXCrossover()),
    ("vsbx 5", VSBXCrossover(5.0)),
]
lines = []
for objectives in (1, 2):
    study = SimpleNamespace(_is_multi_objective=lambda: objectives > 1)
    for name, crossover in crossovers:
        for dims in (1, 3, 6):
            rng = Recorder()
            low = source.uniform(-5, 0, dims)
            bounds = np.stack([low, low + source.uniform(1, 9, dims)], axis=1)
            parents = bounds[:, 0] + source.random((crossover.n_parents, dims)) * (bounds[:, 1] - bounds[:, 0])
            child = crossover.crossover(parents, rng, study, bounds)
            lines.append(f"case {name} | {objectives} | {words(rng.uniforms)} | {words(rng.normals)}")
            lines += [words(row) for row in bounds]
            lines += [words(row) for row in parents]
            lines.append(f"child {words(child)}")
# With one parameter there is nothing across the line, and with two only one direction, whose sign is written out.
for dims in (1, 2):
    study = SimpleNamespace(_is_multi_objective=lambda: True)
    for _ in range(4):
        rng = Recorder()
        crossover = UNDXCrossover()
        bounds = np.stack([np.zeros(dims), np.ones(dims)], axis=1)
        parents = source.random((3, dims))
        child = crossover.crossover(parents, rng, study, bounds)
        lines.append(f"case undx | 2 | | {words(rng.normals)}")
        lines += [words(row) for row in bounds]
        lines += [words(row) for row in parents]
        lines.append(f"child {words(child)}")
for _ in range(12):
    rng = Recorder()
    low, high = -1.5, 4.0
    x = float(source.uniform(low, high))
    child = PolynomialMutation(20.0).mutation(x, rng, None, np.array([low, high]))
    lines.append(f"case mutation 20 | 1 | {words(rng.uniforms)} |")
    lines += [words([low, high]), words([x]), f"child {words([child])}"]
(here / f"crossover-optuna-{optuna.__version__}.txt").write_text("\n".join(lines) + "\n")
