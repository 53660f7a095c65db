r"""Every second node of a square of nodes, as the dark squares of a chessboard, and what they say of the others.

At Clenshaw–Curtis nodes :math:`t_j, t_i` with j + i even

.. math:: T_a(t_j)\,T_b(t_i) = T_{n-1-a}(t_j)\,T_{n-1-b}(t_i),

so that these :math:`(n^2+1)/2` nodes, n odd, hold all polynomials of total degree below n − 1, and of degree n − 1 the
sums :math:`T_a T_{n-1-a} + T_{n-1-a} T_a`: as many as there are nodes.

References
----------
Xu (1996), Lagrange interpolation on Chebyshev points of two variables, Journal of Approximation Theory 87(2).
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.polynomial.chebyshev import chebvander

from landscape.geometry.surfaces.nodes import graded_nodes


def is_dark(count: int) -> np.ndarray:
    """Which of count × count nodes, row by row, are dark: the corners are."""
    return np.asarray((np.add.outer(np.arange(count), np.arange(count)) % 2 == 0).ravel())


@lru_cache(maxsize=8)
def light_from_dark(count: int) -> np.ndarray:
    """The matrix from values at the dark nodes to those of their interpolating polynomial at the light ones."""
    t = graded_nodes(count)
    up, right = np.repeat(t, count), np.tile(t, count)
    dark = is_dark(count)
    return np.linalg.solve(_terms(up[dark], right[dark], count).T, _terms(up[~dark], right[~dark], count).T).T


def _terms(up: np.ndarray, right: np.ndarray, count: int) -> np.ndarray:
    """The polynomials that the dark nodes hold, (points, (count² + 1)/2)."""
    most = count - 1
    rows, columns = chebvander(up, most), chebvander(right, most)
    below = [rows[:, j] * columns[:, i] for j in range(most) for i in range(most - j)]
    sums = [rows[:, j] * columns[:, most - j] + rows[:, most - j] * columns[:, j] for j in range(most // 2 + 1)]
    return np.stack(below + sums, axis=1)
