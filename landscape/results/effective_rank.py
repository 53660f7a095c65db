"""How many eigenvalues matter: the ranks, and what their errors follow from."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import special

from landscape.results.base import Array


def tangent_of_rank(kind: str, size: Array, weights: Array, dim: int) -> tuple[Array, Callable[[Array], Array] | None]:
    """The rank as a mean over the spectrum, to first order in the error of its parts.

    Parameters
    ----------
    kind : {"entropy", "participation", "stable"}
    size, weights : (R, T) arrays
        ``|λ| / largest |λ|`` at the nodes.

    Returns
    -------
    (R, T) array, callable or None
        The function whose mean it is, at the nodes; and, of ``|λ| / largest``, the part of it with a kink at zero,
        which rules of few nodes integrate only roughly.
    """
    m1, m2 = ((weights * size**p).sum(1).mean() for p in (1, 2))
    if kind == "stable":
        return dim * size**2, None
    if kind == "participation":
        value = dim * m1**2 / m2
        return value * (1 + 2 * (size - m1) / m1 - (size**2 - m2) / m2), lambda x: value * 2 * x / m1
    m0 = (weights * special.xlogy(size, size)).sum(1).mean()
    value = dim * m1 * np.exp(-m0 / m1)
    slope = 1 / m1 + m0 / m1**2
    values = value * (1 + slope * (size - m1) - (special.xlogy(size, size) - m0) / m1)
    return values, lambda x: value * (slope * x - special.xlogy(x, x) / m1)
