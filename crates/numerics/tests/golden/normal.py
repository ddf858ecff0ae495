"""Writes the expected values of the normal distribution: run with mpmath 1.4.1 and scipy 1.17.1.

One case a line: the function, its arguments, the value, all as shortest decimals that give back the double.
mpmath values are the exact ones for the printed arguments, computed in 60 digits.
"""

import pathlib

import mpmath as mp
import numpy as np
import scipy
import scipy.special as sc
from scipy.stats import truncnorm

here = pathlib.Path(__file__).parent
mp.mp.dps = 60
rng = np.random.default_rng(7)


def phi_mass(a, b):
    """The mass of [a, b], from whichever tail keeps the digits."""
    a, b = mp.mpf(a), mp.mpf(b)
    if a > 0:
        a, b = -b, -a
    mp.mp.dps = 400
    mass = mp.erfc(-b / mp.sqrt(2)) / 2 - mp.erfc(-a / mp.sqrt(2)) / 2
    mp.mp.dps = 60
    return mass


lines = []
xs = [-1e5, -500.0, -100.0, -40.0, -37.5, -20.0, -15.1, -15.0, -14.9, -8.0, -3.0, -1.0, -0.5, -1e-9, 0.0, 1e-9, 0.5, 1.0, 3.0, 6.0, 8.0]
xs += list(rng.uniform(-40, 9, 150)) + list(rng.uniform(-3, 3, 50))
for x in map(float, xs):
    mp.mp.dps = 60
    big = mp.erfc(-mp.mpf(x) / mp.sqrt(2)) / 2
    lines.append(f"log_ndtr {x!r} {float(mp.log(big))!r}")
    if -37 < x:
        lines.append(f"ndtr {x!r} {float(big)!r}")

for _ in range(150):
    p = float(10 ** rng.uniform(-300, 0)) if rng.random() < 0.5 else float(rng.random())
    x = mp.findroot(lambda x: mp.log(mp.erfc(-x / mp.sqrt(2)) / 2) - mp.log(mp.mpf(p)), mp.mpf(float(sc.ndtri(p))))
    lines.append(f"ndtri {p!r} {float(x)!r}")
for y in [-1e-300, -1e-15, -0.01, -0.6931, -0.6932, -0.7, -2.59, -2.6, -700.0, -728.0, -730.0, -1e4, -1e9, *map(float, -10 ** rng.uniform(-12, 5, 120))]:
    start = mp.mpf(float(sc.ndtri_exp(y)))
    if y > -1e-10:
        x = mp.findroot(lambda x: mp.log(mp.erfc(x / mp.sqrt(2)) / 2) - mp.log(-mp.expm1(mp.mpf(y))), start)
    else:
        x = mp.findroot(lambda x: mp.log(mp.erfc(-x / mp.sqrt(2)) / 2) - mp.mpf(y), start)
    lines.append(f"ndtri_exp {y!r} {float(x)!r}")
for _ in range(300):
    centre = float(rng.normal() * 10 ** rng.uniform(-1, 1))
    half = float(10 ** rng.uniform(-9, 1))
    a, b = centre - half, centre + half
    lines.append(f"log_gauss_mass {a!r} {b!r} {float(mp.log(phi_mass(a, b)))!r}")
    exact = mp.log(phi_mass(mp.mpf(centre) - mp.mpf(half), mp.mpf(centre) + mp.mpf(half)))
    lines.append(f"log_gauss_mass_around {centre!r} {half!r} {float(exact)!r}")
(here / f"normal-mpmath-{mp.__version__}.txt").write_text("\n".join(lines) + "\n")

lines = []
for _ in range(200):
    mu, sigma = float(rng.normal() * 3), float(10 ** rng.uniform(-2, 1))
    low = float(rng.normal() * 3 - 1)
    high = low + float(10 ** rng.uniform(-1, 1))
    x = float(rng.uniform(low, high))
    a, b = (low - mu) / sigma, (high - mu) / sigma
    if max(a, -b) > 30:
        continue
    lines.append(f"trunc_normal_log_pdf {x!r} {mu!r} {sigma!r} {low!r} {high!r} {float(truncnorm.logpdf(x, a, b, mu, sigma))!r}")
    q = float(rng.random())
    lines.append(f"trunc_normal_quantile {q!r} {a!r} {b!r} {float(truncnorm.ppf(q, a, b))!r}")
(here / f"normal-scipy-{scipy.__version__}.txt").write_text("\n".join(lines) + "\n")
