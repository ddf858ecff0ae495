"""Writes the expected values of improvements: run with mpmath 1.3.0.

One case a line: the function, its arguments, the value; for those with derivatives also by mean and by variance.
Values are the exact ones for the printed arguments, computed in 120 digits.
"""

import pathlib
import random

import mpmath as mp

here = pathlib.Path(__file__).parent
mp.mp.dps = 120
random.seed(11)


def phi(z):
    return mp.exp(-z * z / 2) / mp.sqrt(2 * mp.pi)


def cdf(z):
    return mp.erfc(-z / mp.sqrt(2)) / 2


def h(z):
    return phi(z) + z * cdf(z)


def text(*values):
    return " ".join(repr(float(v)) for v in values)


lines = []
for x in [0.0, 0.1, 1.0, 3.0, 9.99, 10.0, 10.01, 25.0, 30.0, 1e5, 1e150, -0.1, -3.0, -20.0] + [random.uniform(-5, 15) for _ in range(60)]:
    m = mp.mpf(x)
    value = mp.exp(m * m) * mp.erfc(m) if x < 1e3 else 1 / (m * mp.sqrt(mp.pi)) * (1 - 1 / (2 * m * m) + 3 / (4 * m**4))
    lines.append(f"erfcx {text(x, value)}")
zs = [-0.9999, -1.0, -1.0001, 0.0, 1.0, 8.0, 40.0, -14.9999, -15.0, -15.0001, -24.9, -25.1, -40.0, -100.0]
for z in zs + [random.uniform(-40, 10) for _ in range(80)]:
    lines.append(f"log_h {text(z, mp.log(h(mp.mpf(z))))}")
for _ in range(80):
    mean, variance, best = random.gauss(0, 1.5), 10 ** random.uniform(-5, 1), random.gauss(0.5, 2)
    if abs(mean - best) / variance**0.5 > 60:
        continue
    m, v, b = mp.mpf(mean), mp.mpf(variance), mp.mpf(best)
    s = mp.sqrt(v)
    z = (m - b) / s
    ei = s * h(z)
    lines.append(f"improvement {text(mean, variance, best, mp.log(ei), cdf(z) / ei, phi(z) / (2 * s) / ei)}")
    p = cdf(z)
    lines.append(f"above {text(mean, variance, best, mp.log(p), phi(z) / s / p, -phi(z) * z / (2 * v) / p)}")
    high = best + 10 ** random.uniform(-2, 1)
    a, c = z, (m - mp.mpf(high)) / s
    length = s * (h(a) - h(c))
    lines.append(f"length {text(mean, variance, best, high, mp.log(length), (cdf(a) - cdf(c)) / length, (phi(a) - phi(c)) / (2 * s) / length)}")
(here / "improvement-mpmath-1.3.0.txt").write_text("\n".join(lines) + "\n")
