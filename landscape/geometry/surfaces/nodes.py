r"""Nested nodes along an axis, denser around the centre, and the matrices that carry values at them to other points.

.. math:: t_k = -\cos\frac{\pi k}{n - 1}, \qquad x(t) = \frac{\sinh a t}{\sinh a}

Clenshaw–Curtis nodes in t, of which those of n = 7 are among those of n = 13, and these among 25; x, in units of the
radius, is where the network is evaluated: around a minimum outputs change fastest. Interpolation is polynomial in t.
"""

from __future__ import annotations

import numpy as np

#: a, how much denser nodes are around the centre: sinh(a)/a, 1.4 times as dense as equal steps would be.
GRADING = 1.5
#: Nodes along an axis, level by level.
LEVELS = (7, 13, 25)
_HIT = 1e-12  # closer than this a point is a node


def graded_nodes(count: int) -> np.ndarray:
    """``count`` nodes t from -1 to 1, with exact symmetry and, where their number is odd, an exact zero."""
    t = -np.cos(np.pi * np.arange(count) / (count - 1)) if count > 1 else np.zeros(1)
    symmetric: np.ndarray = (t - t[::-1]) / 2
    return symmetric


def place(t: np.ndarray) -> np.ndarray:
    """Where a node lies, in units of the radius."""
    return np.asarray(np.sinh(GRADING * t) / np.sinh(GRADING))


def unplaced(x: np.ndarray) -> np.ndarray:
    """The t that lies there."""
    return np.asarray(np.arcsinh(x * np.sinh(GRADING)) / GRADING)


def barycentric(count: int, t: np.ndarray) -> np.ndarray:
    """The matrix ``(len(t), count)`` from values at the nodes to values of their interpolating polynomial at t.

    A row is that of the identity where t is a node, so that values there stay as they are, to the bit.

    References
    ----------
    Berrut & Trefethen (2004), Barycentric Lagrange interpolation, SIAM Review 46(3), section 5.
    """
    if count == 1:
        return np.ones((len(t), 1))
    weights = (-1.0) ** np.arange(count)
    weights[[0, -1]] /= 2
    apart = np.asarray(t)[:, None] - graded_nodes(count)
    hits = np.abs(apart) <= _HIT
    shares = weights / np.where(hits, 1.0, apart)
    matrix = shares / shares.sum(1, keepdims=True)
    return np.asarray(np.where(hits.any(1, keepdims=True), hits.astype(float), matrix))
