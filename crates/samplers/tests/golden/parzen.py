"""Writes the expected bandwidths, weights and log densities of Parzen estimators: run with optuna 5.0.0.

Equal observations stand in the order of their trials here, where Optuna leaves it to an unstable sort which of them
is next to the neighbour; so argsort is made stable before anything runs.

A case is `case <name>`, one `axis` line per parameter, `weights equal|recent`, `options <prior weight> <magic clip>
<endpoints>`, one `observed` line per observation, `expected <weights>`, one `sigmas` line per numeric parameter (the
prior's is last) and `at <point> = <log density>` lines.
"""

import pathlib

import numpy as np
import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers._tpe.parzen_estimator import _ParzenEstimator, _ParzenEstimatorParameters
from optuna.samplers._tpe.sampler import default_weights

unstable = np.argsort
np.argsort = lambda a, kind=None: unstable(a, kind="stable")

here = pathlib.Path(__file__).parent
rng = np.random.default_rng(5)


def words(values):
    return " ".join(repr(float(v)) for v in values)


def axis(distribution):
    if isinstance(distribution, CategoricalDistribution):
        return f"axis categorical {len(distribution.choices)}"
    kind = "float" if isinstance(distribution, FloatDistribution) else "int"
    return f"axis {kind} {distribution.low!r} {distribution.high!r} {int(distribution.log)} {distribution.step or 0!r}"


def values(distribution, n, clustered):
    if isinstance(distribution, CategoricalDistribution):
        return rng.integers(0, len(distribution.choices), n).astype(float)
    low, high = (np.log(distribution.low), np.log(distribution.high)) if distribution.log else (distribution.low, distribution.high)
    if clustered:
        x = low + (high - low) * np.clip(0.3 + 0.1 * rng.standard_normal(n), 0, 1)
    else:
        x = rng.uniform(low, high, n)
    x = np.exp(x) if distribution.log else x
    if distribution.step:
        x = distribution.low + np.round((x - distribution.low) / distribution.step) * distribution.step
    return np.clip(x, distribution.low, distribution.high)


def case(name, space, n, clustered=False, equal=False, prior_weight=1.0, magic=True, endpoints=False, outside=None):
    observed = {key: values(d, n, clustered) for key, d in space.items()}
    if outside:
        for key, column in observed.items():
            column[: len(outside)] = outside
    parameters = _ParzenEstimatorParameters(prior_weight, magic, endpoints, default_weights, True)
    estimator = _ParzenEstimator(observed, space, parameters, np.ones(n) if equal else None)
    mixture = estimator._mixture_distribution
    points = {key: np.concatenate([values(d, 4, clustered), values(d, 3, False)]) for key, d in space.items()}
    lines = [f"case {name} n={n}{' clustered' if clustered else ''}"]
    lines += [axis(d) for d in space.values()]
    lines.append(f"weights {'equal' if equal else 'recent'}")
    lines.append(f"options {prior_weight!r} {int(magic)} {int(endpoints)}")
    lines += ["observed " + words(column[i] for column in observed.values()) for i in range(n)]
    lines.append("expected " + words(mixture.weights))
    lines += ["sigmas " + words(d.sigma) for d in mixture.distributions if hasattr(d, "sigma")]
    for i, log_density in enumerate(estimator.log_pdf(points)):
        lines.append("at " + words(column[i] for column in points.values()) + f" = {float(log_density)!r}")
    return lines


spaces = {
    "float": FloatDistribution(-3.0, 7.5),
    "log": FloatDistribution(1e-5, 1e2, log=True),
    "step": FloatDistribution(0.0, 1.0, step=0.05),
    "int": IntDistribution(-4, 30),
    "big": IntDistribution(0, 1000000),
    "stride": IntDistribution(3, 45, step=7),
    "intlog": IntDistribution(1, 1000, log=True),
    "biglog": IntDistribution(1, 1000000, log=True),
    "choice": CategoricalDistribution(list("abcde")),
}
lines = []
for name, distribution in spaces.items():
    for n in (0, 1, 2, 3, 24, 25, 26, 98, 150):
        lines += case(name, {name: distribution}, n)
    lines += case(name, {name: distribution}, 300, clustered=True)
joint = {
    "a": FloatDistribution(-3.0, 7.5),
    "b": FloatDistribution(1e-5, 1e2, log=True),
    "c": IntDistribution(1, 12),
    "d": CategoricalDistribution(list("abc")),
    "e": IntDistribution(1, 3000, log=True),
    "f": FloatDistribution(0.0, 1.0),
    "g": IntDistribution(0, 5000),
}
for n in (0, 1, 2, 30, 120):
    lines += case("joint", joint, n)
    lines += case("joint", joint, n, clustered=True)
lines += case("joint equal", joint, 40, equal=True)
lines += case("prior weight", joint, 40, prior_weight=0.25)
lines += case("no magic", {"a": joint["a"]}, 20, magic=False)
lines += case("no magic", joint, 60, magic=False)
lines += case("endpoints", joint, 20, endpoints=True)
lines += case("endpoints", {"a": joint["a"]}, 1, endpoints=True)
lines += case("outside", {"a": joint["a"]}, 40, outside=[-4.0, 8.0, 9.5])
lines += case("outside", {"c": joint["c"]}, 40, outside=[-1.0, 15.0])
(here / f"parzen-optuna-{optuna.__version__}.txt").write_text("\n".join(lines) + "\n")
