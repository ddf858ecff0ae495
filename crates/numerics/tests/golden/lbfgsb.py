"""Writes the points that SciPy's L-BFGS-B evaluates: run with scipy 1.17.1.

One case: `case NAME n`, its bounds by coordinate, the tolerances, then for each evaluation the point and the value,
and what the minimization ended with.
"""

import pathlib

import numpy as np
import scipy
from scipy.optimize import minimize

here = pathlib.Path(__file__).parent


def rosenbrock(x):
    f = float(np.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2))
    g = np.zeros_like(x)
    g[:-1] += -400.0 * x[:-1] * (x[1:] - x[:-1] ** 2) - 2.0 * (1 - x[:-1])
    g[1:] += 200.0 * (x[1:] - x[:-1] ** 2)
    return f, g


def driver(x):
    """The problem of the original program's driver, `driver1.f`."""
    t = x[1:] - x[:-1] ** 2
    f = float(4.0 * (0.25 * (x[0] - 1) ** 2 + np.sum(t**2)))
    g = np.zeros_like(x)
    g[0] = 2.0 * (x[0] - 1)
    g[1:] += 8.0 * t
    g[:-1] -= 16.0 * x[:-1] * t
    return f, g


def quadratic(x):
    scale = 10.0 ** np.linspace(0, 3, len(x))
    centre = np.linspace(-1, 1, len(x))
    d = x - centre
    s = float(d.sum())
    return float(0.5 * np.sum(scale * d * d) + 0.5 * s * s), scale * d + s


def wave(x):
    f = float(np.sum(np.sin(3 * x)) + 0.1 * np.sum(x**2))
    return f, 3 * np.cos(3 * x) + 0.2 * x


inf = float("inf")
cases = [
    ("rosenbrock", rosenbrock, [-1.2, 1.0], []),
    ("rosenbrock", rosenbrock, [-1.2, 1.0, 0.5, -0.7], []),
    ("rosenbrock", rosenbrock, [-1.2, 1.0, 0.5, -0.7], [(-2.0, 0.8)] * 4),
    ("rosenbrock", rosenbrock, [2.0, 2.0, 2.0], [(1.5, inf), (-inf, inf), (-inf, 3.0)]),
    ("driver", driver, [3.0] * 25, [(1.0, 100.0) if i % 2 == 0 else (-100.0, 100.0) for i in range(25)]),
    ("quadratic", quadratic, [3.0] * 6, []),
    ("quadratic", quadratic, [3.0, -3.0, 0.2, 0.1, -0.3, 2.0], [(-0.5, 0.5)] * 6),
    ("quadratic", quadratic, [0.0] * 6, [(0.0, 1.0), (0.0, 0.0), (-inf, 1.0), (-1.0, inf), (0.3, 0.4), (-inf, inf)]),
    ("wave", wave, [0.3, 1.0, -2.0], []),
    ("wave", wave, [0.3, 1.0, -2.0], [(0.0, 1.0), (0.0, 2.0), (-2.5, 0.0)]),
]
lines = []
for name, function, start, bounds in cases:
    for gtol, ftol in [(1e-5, 2.220446049250313e-9), (1e-2, 0.0)]:
        start = np.array(start)
        evaluated = []

        def call(x):
            f, g = function(x)
            evaluated.append((x.copy(), f))
            return f, g

        r = minimize(call, start, jac=True, method="L-BFGS-B", bounds=bounds or None, options={"gtol": gtol, "ftol": ftol})
        lines.append(f"case {name} {len(start)}")
        for low, high in bounds:
            lines.append(f"bounds {float(low)!r} {float(high)!r}")
        lines.append(f"tolerances {gtol!r} {ftol!r}")
        lines.append("start " + " ".join(repr(float(x)) for x in start))
        for x, f in evaluated:
            lines.append("at " + " ".join(repr(float(v)) for v in x) + f" = {f!r}")
        lines.append(f"end {r.nit} {r.nfev} {float(r.fun)!r}")
(here / f"lbfgsb-scipy-{scipy.__version__}.txt").write_text("\n".join(lines) + "\n")
