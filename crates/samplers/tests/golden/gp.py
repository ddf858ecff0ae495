"""Writes what Optuna's Gaussian processes compute: run with optuna 5.0.0, torch 2.15.0 and scipy 1.17.1.

One case: the coordinates (`axes`, c for categories), observations, the kernel's parameters; then the kernel matrix,
minus the log posterior of the parameters with its gradient by their logarithms, the fitted posterior's value, and at
some points the mean, the variance, logEI, and its gradient. `volume` lines: the scores of two or three objectives'
trials, means and variances at a point, and Optuna's logEHVI from 2^16 draws. The last cases have a second process,
`slack`, whose kernel is the same: at some points an upper confidence bound, and logEI under the constraint that the second
process exceeds a threshold, each with its gradient.
"""

import pathlib
import warnings

import numpy as np
import optuna
import torch
from optuna._gp import acqf, gp, prior, search_space

warnings.filterwarnings("ignore")
here = pathlib.Path(__file__).parent
rng = np.random.default_rng(5)
T = torch.from_numpy


def text(*values):
    return " ".join(repr(float(v)) for v in np.concatenate([np.ravel(v) for v in values]))


lines = []
for n, kinds in [(1, "f"), (4, "f"), (7, "ff"), (12, "ffc"), (20, "ffff"), (30, "fcffc"), (15, "cc")]:
    d = len(kinds)
    is_cat = np.array([k == "c" for k in kinds])
    X = rng.random((n, d))
    X[:, is_cat] = rng.integers(0, 3, (n, is_cat.sum()))
    if n > 10:
        X[3] = X[2]
    y = np.sin(5 * X).sum(axis=1) + 0.1 * rng.normal(size=n)
    y = (y - y.mean()) / max(y.std(), 1e-10)
    theta, scale, noise = 10 ** rng.uniform(-1, 1.5, d), float(10 ** rng.uniform(-0.5, 0.5)), float(10 ** rng.uniform(-5, -1))
    lines.append(f"axes {kinds}")
    for row, value in zip(X, y):
        lines.append(f"observed {text(row, [value])}")
    lines.append(f"kernel {text(theta, [scale, noise])}")
    make = lambda t, s, v: gp.GPRegressor(T(is_cat), T(X), T(y), t, s, v)
    g = make(T(theta), torch.tensor(scale, dtype=torch.float64), torch.tensor(noise, dtype=torch.float64))
    lines.append(f"matrix {text(g.kernel().numpy())}")
    raw = torch.tensor(np.concatenate([np.log(theta), [np.log(scale), np.log(noise - 1e-6)]]), requires_grad=True)
    h = make(torch.exp(raw[:d]), torch.exp(raw[d]), torch.exp(raw[d + 1]) + 1e-6)
    loss = -h.marginal_log_likelihood() - prior.default_log_prior(h)
    loss.backward()
    lines.append(f"posterior {text([loss.item()], raw.grad.numpy())}")
    fitted = gp.fit_kernel_params(X, y, is_cat, prior.default_log_prior, 1e-6, False, gtol=1e-5)
    with torch.no_grad():
        best = -fitted.marginal_log_likelihood() - prior.default_log_prior(fitted)
    lines.append(f"fitted {text([best.item()])}")
    g._cache_matrix()
    space = search_space.SearchSpace({str(i): optuna.distributions.FloatDistribution(0, 1) for i in range(d)})
    for threshold in [float(y.max()), 5.0]:
        f = acqf.LogEI(g, space, threshold)
        for _ in range(3):
            x = rng.random(d)
            x[is_cat] = rng.integers(0, 3, is_cat.sum())
            with torch.no_grad():
                mean, var = g.posterior(T(x))
            value, grad = f.eval_acqf_with_grad(x)
            grad = np.where(is_cat, 0.0, grad)
            if not np.isfinite([value, *grad]).all():
                continue  # Optuna's tail, far below any improvement.
            lines.append(f"at {text(x, [threshold, mean.item(), var.item(), value], grad)}")
for m, n in [(2, 1), (2, 8), (2, 30), (3, 6), (3, 15)]:
    Y = rng.normal(size=(n, m))
    reference = acqf._get_reference_point(T(Y))
    low, high = acqf._get_non_dominated_box_bounds(T(Y), reference)
    sides = (high - low).clamp_min_(1e-12)
    from optuna._gp.qmc import sample_from_normal_sobol

    draws = sample_from_normal_sobol(m, 2**16, 7)
    for shift in [0.5, 1.5, 2.5]:
        mean, var = rng.normal(size=m) + shift, 10 ** rng.uniform(-1.5, 0.3, m)
        value = acqf.logehvi(T(mean + np.sqrt(var) * draws.numpy()), low, sides).item()
        if value < -8.0:
            continue  # Optuna's sides of at least 1e-12 make the sum, or too few draws do.
        lines.append(f"volume {m} {text(Y)} | {text(mean, var)} | {value!r}")
for n, kinds in [(9, "ff"), (14, "fcf")]:
    d = len(kinds)
    is_cat = np.array([k == "c" for k in kinds])
    X = rng.random((n, d))
    X[:, is_cat] = rng.integers(0, 3, (n, is_cat.sum()))
    y, slack = rng.normal(size=n), rng.normal(size=n)
    theta, scale, noise = 10 ** rng.uniform(-0.5, 1, d), 1.3, 1e-3
    lines.append(f"axes {kinds}")
    for row, value in zip(X, y):
        lines.append(f"observed {text(row, [value])}")
    lines.append(f"kernel {text(theta, [scale, noise])}")
    lines.append(f"slack {text(slack)}")
    kernel = [T(theta), torch.tensor(scale, dtype=torch.float64), torch.tensor(noise, dtype=torch.float64)]
    g, c = [gp.GPRegressor(T(is_cat), T(X), T(v), *kernel) for v in (y, slack)]
    g._cache_matrix()
    c._cache_matrix()
    space = search_space.SearchSpace({str(i): optuna.distributions.FloatDistribution(0, 1) for i in range(d)})
    for _ in range(4):
        x = rng.random(d)
        x[is_cat] = rng.integers(0, 3, is_cat.sum())
        # Optuna's beta is the square of the factor before the deviation.
        value, grad = acqf.UCB(g, space, 4.0).eval_acqf_with_grad(x)
        lines.append(f"bound {text(x, [2.0, value], np.where(is_cat, 0.0, grad))}")
        value, grad = acqf.LogCEI(g, space, 0.8, [c], [0.3]).eval_acqf_with_grad(x)
        lines.append(f"constrained {text(x, [0.8, 0.3, value], np.where(is_cat, 0.0, grad))}")
name = f"gp-optuna-{optuna.__version__}.txt"
(here / name).write_text("\n".join(lines) + "\n")
