"""How far eigenvalues move when the coupling between known vectors and the rest, which was dropped, returns."""

from __future__ import annotations

import numpy as np

from landscape.results.base import Array


def how_far_moved(points: Array, known: Array, residuals: Array) -> Array:
    r"""How far (M,) eigenvalues near the points may move when the coupling to the known vectors returns.

    An eigenvalue at distance η from known ones with a coupling c, the norm of their residuals, moves by at most
    :math:`s = 2c^2/(\eta + \sqrt{\eta^2 + 4c^2})`, which changes by less than half of any change in η: so twice its
    value at a point holds for all that might cross it (Li & Li 2005, Linear Algebra Appl. 395, Thm 2).

    Far from a point the residual of a pair means little, however large. So the known ones are also cut in two by size,
    wherever that is best: the coupling of some returns first (a), that of the others then (b). An eigenvalue that the
    first has moved by :math:`s_a` moves by at most :math:`s_b + s_a/2` more; where :math:`\eta_a > 6c_a + 4s_b`, what
    crosses the point came from within :math:`3s_a(\eta_a/2) + 2s_b`.

    Parameters
    ----------
    points : (M,) array
    known, residuals : (K,) arrays

    Examples
    --------
    >>> for known, residuals in ([8.0], [0.04]), ([8.0, -0.1], [0.04, 1e-4]), ([8.0, -0.1], [0.04, 0.04]):
    ...     print(f"{how_far_moved(np.zeros(1), np.array(known), np.array(residuals))[0]:.1e}")
    4.0e-04
    4.0e-04
    2.9e-02
    """
    order = np.argsort(known, kind="stable")
    known, squares = known[order], np.square(residuals[order], dtype=float)
    if not squares.any():
        return np.zeros(len(points))
    apart = np.abs(points[:, None] - known[None, :])
    # Column i: the first i + 1 of them, and the others.
    first, others = np.minimum.accumulate(apart, 1)[:, :-1], np.minimum.accumulate(apart[:, ::-1], 1)[:, ::-1][:, 1:]
    lower = np.sqrt(np.cumsum(squares))[:-1]
    upper = np.sqrt(np.cumsum(squares[::-1]))[::-1][1:]
    best = 2 * _shift(apart.min(1), np.sqrt(squares.sum()))
    for far, c_far, near, c_near in ((first, lower, others, upper), (others, upper, first, lower)):
        by_near = _shift(near, c_near)
        moved = 3 * _shift(far / 2, c_far) + 2 * by_near
        holds = far > 6 * c_far + 4 * by_near
        best = np.minimum(best, np.where(holds, moved, np.inf).min(1, initial=np.inf))
    slack: Array = best
    return slack


def _shift(away: Array, coupling: Array | float) -> Array:
    """s, without cancellation; zero where nothing is coupled."""
    size = np.sqrt(away**2 + 4 * np.square(coupling)) + away
    shift: Array = 2 * np.square(coupling) / np.where(size > 0, size, 1.0)
    return shift
