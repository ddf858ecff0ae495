"""The functions of benches/src/quality/held.rs once more, by name."""

from math import cos, exp, floor, log2, log10, pi, prod, sin, sqrt

MASK = 2**64 - 1


def uniform(seed, number, purpose):
    z = (seed << 40 ^ number << 16 ^ purpose) * 0x9E3779B97F4A7C15 & MASK
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & MASK
    z = (z ^ z >> 27) * 0x94D049BB133111EB & MASK
    return ((z ^ z >> 31) >> 11) / 2**53


def xs(p):
    return [p[f"x{index}"] for index in range(len(p))]


def turned(p, which):
    z = [x - (8 * uniform(which, i, 1) - 4) for i, x in enumerate(xs(p))]
    for a in range(len(z)):
        for b in range(a):
            angle = 2 * pi * uniform(which, 100 * a + b, 2)
            s, c = sin(angle), cos(angle)
            z[a], z[b] = c * z[a] - s * z[b], s * z[a] + c * z[b]
    return z


def on(which, of):
    return lambda p: of(turned(p, which))


def squares(z):
    return sum(z * z for z in z)


def weighted(z, power):
    last = len(z) - 1
    return sum(10 ** (power * i / last) * z * z for i, z in enumerate(z))


def valley(z):
    return [100 * ((a + 1) ** 2 - (b + 1)) ** 2 + a * a for a, b in zip(z, z[1:])]


def step(z):
    def stepped(z):
        return floor(z + 0.5) if abs(z) > 0.5 else floor(10 * z + 0.5) / 10

    return 0.1 * max(abs(z[0]) / 1e4, weighted([stepped(z) for z in z], 2))


def weierstrass(z):
    def waves(z):
        return sum(0.5**k * cos(2 * pi * 3**k * (z + 0.5)) for k in range(12))

    return 10 * (sum(waves(z) for z in z) / len(z) - waves(0)) ** 3


def schaffers(z):
    radii = [sqrt(a * a + b * b) for a, b in zip(z, z[1:])]
    return (sum(sqrt(s) + sqrt(s) * sin(50 * s**0.2) ** 2 for s in radii) / len(radii)) ** 2


def griewank_rosenbrock(z):
    parts = valley(z)
    return 10 * sum(s / 4000 - cos(s) + 1 for s in parts) / len(parts)


def gallagher(p):
    x = xs(p)

    def peak(k):
        height = 10 if k == 0 else 1.1 + 8 * (k - 1) / 19
        steep = (1000 ** (2 * uniform(12, k, 3))) ** 0.25
        far = sum(
            steep ** (uniform(12, 100 * k + i, 2) - 0.5) * (x - (9 * uniform(12, 100 * k + i, 1) - 4.5)) ** 2
            for i, x in enumerate(x)
        )
        return height * exp(-far / (2 * len(x)))

    return (10 - max(peak(k) for k in range(21))) ** 2


def katsuura(z):
    def rough(z):
        return sum(abs(scale * z - round(scale * z)) / scale for scale in (2.0**j for j in range(1, 33)))

    n = len(z)
    return 10 / n**2 * (prod((1 + i * rough(z)) ** (10 / n**1.2) for i, z in enumerate(z, 1)) - 1)


def powers(z):
    last = len(z) - 1
    return sqrt(sum(abs(z) ** (2 + 4 * i / last) for i, z in enumerate(z)))


def network(p):
    rate, decay, layers = log10(p["rate"]), log10(p["decay"]), p["layers"]
    best = {"sgd": -0.7, "momentum": -1.5, "adam": -2.8, "rmsprop": -3.1}[p["optimizer"]] - 0.08 * (layers - 4)
    off = rate - best
    if off > 1.3:
        return 1.0
    kind = {"sgd": 0.04, "momentum": 0.015, "adam": 0.0, "rmsprop": 0.01}[p["optimizer"]]
    kind += {"relu": 0.02, "tanh": 0.03, "gelu": 0.0}[p["activation"]]
    size = 0.006 * (layers - 4) ** 2 + 0.02 * log2(p["width"] / 192) ** 2
    rest = 0.01 * (decay + 4) ** 2 + 0.25 * (p["dropout"] - 0.25) ** 2
    return min(kind + size + rest + 0.12 * off * off, 1.0)


def boosting(p):
    learned = log10(p["rate"] * p["rounds"]) - 1.2
    under = (0.5 if learned < 0 else 0.15) * learned * learned
    growth = ["depth", "leaf"].index(p["growth"])
    depth = p["depth"] - [6, 8][growth]
    slow = 0.03 * (log10(p["rate"]) + 1.6) ** 2
    tree = 0.01 * depth * depth + 0.02 * log2(p["leaf"] / 8) ** 2 * 0.5 + 0.01 * growth
    part = 0.3 * (p["rows"] - 0.75) ** 2 + 0.4 * (p["columns"] - 0.6) ** 2
    return under + slow + tree + part + 0.02 * (log10(p["lambda"]) + 0.04 * depth) ** 2


def int_powers(p):
    z = [(x - best) / 10 for x, best in zip(xs(p), [7, -3, 11, 0, -12, 19])]
    alone = sum(abs(z) ** (1 + 0.5 * i) for i, z in enumerate(z))
    return alone + sum((a - b) ** 2 for a, b in zip(z, z[1:]))


PAIRS = {
    "pd": [0.60, 0.10, 0.05, 0.50, 0.40],
    "ni": [0.70, 0.30, 0.00, 0.45, 0.15],
    "cu": [0.65, 0.55, 0.35, 0.20, 0.30],
    "fe": [0.80, 0.60, 0.50, 0.55, 0.25],
    "co": [0.75, 0.50, 0.45, 0.40, 0.35],
    "ru": [0.70, 0.25, 0.15, 0.60, 0.50],
}


def catalyst(p):
    ligand = ["none", "phosphine", "carbene", "amine", "diimine"].index(p["ligand"])
    solvent = ["water", "dmf", "thf", "toluene", "ethanol"].index(p["solvent"])
    warm = ((p["temperature"] - [80, 110, 60, 95, 70][solvent]) / 60) ** 2
    load = 0.1 * (log10(p["load"]) - 0.3) ** 2
    hours = 0.15 * log2(p["hours"] / 18) ** 2 / 4
    return PAIRS[p["metal"]][ligand] + [0.30, 0.05, 0.10, 0.00, 0.20][solvent] + 0.5 * warm + load + hours


def pipeline(p):
    scale, model = ["none", "standard", "rank"].index(p["scale"]), p["model"]
    if model == "linear":
        return 0.20 + [0.03, 0.0, 0.01][scale] + 0.02 * (log10(p["alpha"]) + 2) ** 2 + 0.1 * (p["mix"] - 0.3) ** 2
    if model == "kernel":
        c, gamma = log10(p["c"]), log10(p["gamma"])
        return [0.25, 0.0, 0.03][scale] + 0.03 * (c + gamma + 0.5) ** 2 + 0.01 * (c - gamma - 3) ** 2
    if model == "trees":
        place = 0.002 * (p["depth"] - 9) ** 2 + 0.1 * (p["part"] - 0.5) ** 2
        return 0.04 + place + 0.02 * log10(400 / p["count"])
    return 0.15 + [0.2, 0.0, 0.02][scale] + 0.02 * log2(p["k"] / 12) ** 2


def optimizers(p):
    batch = log2(p["batch"] / 64)
    rate = log10(p["rate"]) - 0.15 * batch
    if p["optimizer"] == "sgd":
        way = 0.05 + 0.1 * (rate + 1) ** 2 + 0.3 * (p["momentum"] - 0.9) ** 2
    else:
        way = 0.1 * (rate + 3) ** 2 + (p["beta1"] - 0.9) ** 2 + 20 * (p["beta2"] - 0.99) ** 2
    schedule = {"constant": 0.1, "cosine": 0.02}.get(p["schedule"])
    if schedule is None:
        schedule = 0.3 * (p["drop"] - 0.3) ** 2 + 0.02 * ((p["every"] - 15) / 8) ** 2
    return way + schedule + 0.03 * (1 - sin(pi / 2 + 2 * pi * batch / 3)) + 0.01 * batch * batch


NUMERIC = {
    "ellipsoid-turned": on(1, lambda z: weighted(z, 6)),
    "rastrigin-turned": on(2, lambda z: sum(z * z - 10 * cos(2 * pi * z) + 10 for z in z)),
    "rosenbrock-turned": on(3, lambda z: sum(valley(z))),
    "step": on(4, step),
    "discus": on(5, lambda z: 1e6 * z[0] * z[0] + squares(z[1:])),
    "cigar": on(6, lambda z: z[0] * z[0] + 1e6 * squares(z[1:])),
    "ridge": on(7, lambda z: z[0] * z[0] + 100 * sqrt(squares(z[1:]))),
    "powers": on(8, powers),
    "weierstrass": on(9, weierstrass),
    "schaffers": on(10, schaffers),
    "griewank-rosenbrock": on(11, griewank_rosenbrock),
    "schwefel": lambda p: max(0.0, sum(418.9828872724338 - x * sin(sqrt(abs(x))) for x in xs(p))),
    "gallagher": gallagher,
    "katsuura": on(13, katsuura),
}

FUNCTIONS = {f"{name}{dims}": of for name, of in NUMERIC.items() for dims in (2, 5, 10)}
FUNCTIONS |= {
    "network": network,
    "boosting": boosting,
    "int-powers": int_powers,
    "catalyst": catalyst,
    "pipeline": pipeline,
    "optimizers": optimizers,
}
