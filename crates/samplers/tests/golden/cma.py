"""Runs the variants of cmaes 0.13.1 on an ellipsoid and writes the samples told and the state after each generation.

A case is `case VARIANT n popsize sigma`, a line `mean`, for `margin` a line `steps` (0 where continuous, bounds 0 to 1),
then generations of a line `x ... | loss` per member and lines `mean`, `sigma`, `c`, `eta`, `spread` with the state.

    pip install cmaes==0.13.1 && python cma.py > cma-cmaes-0.13.1.txt
"""

import cmaes
import numpy as np
from cmaes import CMA, SepCMA, get_warm_start_mgd
from cmaes._cmawm import CMAwM

assert cmaes.__version__ == "0.13.1"


def text(values):
    return " ".join(repr(float(v)) for v in np.ravel(values))


def loss(x):
    n = len(x)
    scales = 10.0 ** (2 * np.arange(n) / max(n - 1, 1))
    y = x - np.linspace(0.2, 0.9, n) + 0.3 * np.roll(x, 1)
    return float(np.sum(scales * y**2))


for variant, n, popsize, sigma, generations in [
    ("full", 3, 7, 0.3, 12),
    ("full", 1, 4, 0.2, 6),
    ("full", 8, 10, 1 / 6, 8),
    ("separable", 4, 8, 0.25, 10),
    ("rates", 3, 7, 0.3, 12),
    ("rates", 2, 6, 0.5, 12),
    ("margin", 4, 8, 0.2, 25),
]:
    mean = np.full(n, 0.5) + 0.01 * np.arange(n)
    print("case", variant, n, popsize, repr(sigma))
    print("mean", text(mean))
    if variant == "separable":
        es = SepCMA(mean=mean.copy(), sigma=sigma, seed=3, population_size=popsize)
    elif variant == "margin":
        steps = np.array([0.25, 0.0, 0.1, 1.0])
        print("steps", text(steps))
        bounds = np.array([[0.0, 1.0]] * n)
        es = CMAwM(mean=mean.copy(), sigma=sigma, bounds=bounds, steps=steps, seed=3, population_size=popsize)
    else:
        es = CMA(mean=mean.copy(), sigma=sigma, seed=3, population_size=popsize, lr_adapt=variant == "rates")
    for _ in range(generations):
        members = []
        for _ in range(popsize):
            if variant == "margin":
                x_eval, x = es.ask()
            else:
                x = x_eval = es.ask()
            members.append((x, loss(x_eval)))
        for x, value in members:
            print("x", text(x), "|", repr(value))
        es.tell(members)
        inner = es._cma if variant == "margin" else es
        print("mean", text(inner._mean))
        print("sigma", text([inner._sigma]))
        print("c", text((inner._C + inner._C.T) / 2 if variant != "separable" else inner._C))
        if variant == "rates":
            print("eta", text([inner._eta_mean, inner._eta_Sigma]))
        if variant == "margin":
            print("spread", text(es._A))

rng = np.random.RandomState(5)
points = [(rng.rand(3), float(rng.rand())) for _ in range(45)]
print("case warm 3 45 0")
for x, value in points:
    print("x", text(x), "|", repr(value))
mean, sigma, cov = get_warm_start_mgd(points)
print("mean", text(mean))
print("sigma", text([sigma]))
print("c", text(cov))
