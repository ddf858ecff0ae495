"""Writes the table of direction numbers (../../src/joe-kuo-1000.txt) and points of both sequences as SciPy 1.17.1 has
them (low-discrepancy-scipy-1.17.1.txt).

The table is the beginning of new-joe-kuo-6.21201 (Joe and Kuo, "Constructing Sobol sequences with better
two-dimensional projections", SIAM J. Sci. Comput. 30, 2008), which SciPy ships; it is under the BSD licence.

    pip install scipy==1.17.1 && python low_discrepancy.py
"""

import os

import numpy as np
import scipy
from scipy.stats import qmc

assert scipy.__version__ == "1.17.1"
here = os.path.dirname(os.path.abspath(__file__))
table = np.load(os.path.join(os.path.dirname(scipy.__file__), "stats", "_sobol_direction_numbers.npz"))
with open(os.path.join(here, "../../src/joe-kuo-1000.txt"), "w") as out:
    for poly, row in zip(table["poly"][:1000], table["vinit"][:1000]):
        degree = int(poly).bit_length() - 1
        out.write(" ".join(str(int(x)) for x in [poly, *row[: max(degree, 1)]]) + "\n")

DIMS = [0, 1, 2, 3, 4, 10, 99, 500, 999]
with open(os.path.join(here, "low-discrepancy-scipy-1.17.1.txt"), "w") as out:
    for name in ["sobol", "halton"]:
        for index in [*range(20), 255, 1000, 65537]:
            engine = getattr(qmc, name.capitalize())(1000, scramble=False)
            if index:
                engine.fast_forward(index)
            point = engine.random(1)[0]
            out.write(f"{name} {index} " + " ".join(f"{dim}:{float(point[dim])!r}" for dim in DIMS) + "\n")
