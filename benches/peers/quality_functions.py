"""The test functions of benches/src/quality/functions.rs once more, by name: values and constraints at a point.

`python quality_functions.py` reads one JSON object a line, {"name", "params"}, and prints what the function says there.
"""

import json
import sys
from math import cos, e, exp, log10, pi, prod, sin, sqrt

import quality_held


def xs(p):
    return [p[f"x{index}"] for index in range(sum(name[0] == "x" for name in p))]


def sphere(p):
    return sum(x * x for x in xs(p))


def ellipsoid(p):
    return sum(1e6 ** (i / 4) * x * x for i, x in enumerate(xs(p)))


def rosenbrock(p):
    x = xs(p)
    return sum(100 * (b - a * a) ** 2 + (1 - a) ** 2 for a, b in zip(x, x[1:]))


def rastrigin_of(x):
    return sum(x * x - 10 * cos(2 * pi * x) + 10 for x in x)


def ackley_of(x):
    squares = sum(x * x for x in x) / len(x)
    waves = sum(cos(2 * pi * x) for x in x) / len(x)
    return -20 * exp(-0.2 * sqrt(squares)) - exp(waves) + 20 + e


def griewank(p):
    x = xs(p)
    return sum(x * x / 4000 for x in x) - prod(cos(x / sqrt(i)) for i, x in enumerate(x, 1)) + 1


def branin(p):
    x, y = xs(p)
    return (y - 5.1 / (4 * pi**2) * x * x + 5 / pi * x - 6) ** 2 + 10 * (1 - 1 / (8 * pi)) * cos(x) + 10


ALPHA = [1.0, 1.2, 3.0, 3.2]
A = [[10, 3, 17, 3.5, 1.7, 8], [0.05, 10, 17, 0.1, 8, 14], [3, 3.5, 1.7, 10, 17, 8], [17, 8, 0.05, 10, 0.1, 14]]
P = [
    [0.1312, 0.1696, 0.5569, 0.0124, 0.8283, 0.5886],
    [0.2329, 0.4135, 0.8307, 0.3736, 0.1004, 0.9991],
    [0.2348, 0.1451, 0.3522, 0.2883, 0.3047, 0.6650],
    [0.4047, 0.8828, 0.8732, 0.5743, 0.1091, 0.0381],
]


def hartmann(p):
    x = xs(p)
    far = [sum(a * (x - c) ** 2 for a, x, c in zip(A[i], x, P[i])) for i in range(4)]
    return -sum(alpha * exp(-far) for alpha, far in zip(ALPHA, far))


def gardner(p):
    x, y = xs(p)
    return [cos(2 * x) * cos(y) + sin(x)], [cos(x) * cos(y) - sin(x) * sin(y) + 0.5]


def gomez_levy(p):
    x, y = xs(p)
    camel = 4 * x**2 - 2.1 * x**4 + x**6 / 3 + x * y - 4 * y**2 + 4 * y**4
    return [camel], [-sin(4 * pi * x) + 2 * sin(2 * pi * y) ** 2 - 1.5]


def mishra_bird(p):
    x, y = xs(p)
    bird = sin(y) * exp((1 - cos(x)) ** 2) + cos(x) * exp((1 - sin(y)) ** 2) + (x - y) ** 2
    return [bird], [(x + 5) ** 2 + (y + 5) ** 2 - 25]


def mixed_ackley(p):
    shift = {"a": 0, "b": 1, "c": 2, "d": 4}[p["kind"]]
    return ackley_of([p["x0"], p["x1"], p["x2"] - 3, log10(p["rate"] / 1e-2) * 4]) + shift


def categories(p):
    wrong = [{"a": 1, "b": 2, "c": 0, "d": 4, "e": 5}[p[f"k{i}"]] for i in range(6)]
    return sum(a + a * b / 4 for a, b in zip(wrong, wrong[1:])) + wrong[5]


def branches(p):
    if p["model"] == "svm":
        return 1 + (log10(p["c"]) - 1) ** 2
    if p["model"] == "forest":
        return 0.5 + (p["depth"] - 9) ** 2 / 20
    return (log10(p["rate"]) + 3) ** 2 + (p["units"] - 40) ** 2 / 500


def rugged_branches(p):
    if p["way"] == "left":
        return 2 + p["l0"] ** 2 + p["l1"] ** 2
    return ackley_of([p["r0"], p["r1"]]) + abs(p["r2"])


def zdt(shape):
    def at(p):
        f, *rest = xs(p)
        g = 1 + 9 * sum(rest) / 5
        return [f, g * shape(f, f / g)], []

    return at


def dtlz2(p):
    a, b, *rest = xs(p)
    g = 1 + sum((x - 0.5) ** 2 for x in rest)
    a, b = a * pi / 2, b * pi / 2
    return [g * cos(a) * cos(b), g * cos(a) * sin(b), g * sin(a)], []


def ackley(p):
    return ackley_of(xs(p))


FUNCTIONS = {
    "sphere5": sphere,
    "ellipsoid5": ellipsoid,
    "rosenbrock5": rosenbrock,
    "rosenbrock5-8": rosenbrock,
    "rosenbrock20": rosenbrock,
    "rastrigin5": lambda p: rastrigin_of(xs(p)),
    "ackley5": ackley,
    "ackley5-8": ackley,
    "ackley20": ackley,
    "griewank5": griewank,
    "branin": branin,
    "branin-8": branin,
    "noisy-branin": branin,
    "curve-branin": branin,
    "instances-branin": branin,
    "hartmann6": hartmann,
    "hartmann6-8": hartmann,
    "noisy-hartmann6": hartmann,
    "curve-hartmann6": hartmann,
    "instances-hartmann6": hartmann,
    "gardner": gardner,
    "gomez-levy": gomez_levy,
    "mishra-bird": mishra_bird,
    "mixed-ackley": mixed_ackley,
    "int-rastrigin": lambda p: rastrigin_of([x / 2 for x in xs(p)]),
    "categories": categories,
    "branches": branches,
    "rugged-branches": rugged_branches,
    "zdt1": zdt(lambda f, r: 1 - sqrt(r)),
    "zdt2": zdt(lambda f, r: 1 - r**2),
    "zdt3": zdt(lambda f, r: 1 - sqrt(r) - r * sin(10 * pi * f)),
    "dtlz2": dtlz2,
    **quality_held.FUNCTIONS,
}


def at(name, params):
    """The values and the constraints."""
    said = FUNCTIONS[name](params)
    return said if isinstance(said, tuple) else ([said], [])


if __name__ == "__main__":
    for line in sys.stdin:
        asked = json.loads(line)
        print(json.dumps(at(asked["name"], asked["params"])), flush=True)
