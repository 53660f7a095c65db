"""A spectral density over the logarithm of the eigenvalue, for spectra that span decades."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from landscape.results.base import Array


class LogDensity(NamedTuple):
    """Density per decade of |λ|, its positive and negative part apart, and what is too near zero for a logarithm.

    ``∫ positive d(log₁₀ magnitude) + ∫ negative d(log₁₀ magnitude) + near_zero = 1``.

    Attributes
    ----------
    magnitude : (G,) array
        |λ|, evenly spaced in its logarithm.
    positive, negative : (G,) arrays
        Share of the eigenvalues per decade.
    near_zero : float
        Share of the eigenvalues with |λ| at most ``floor``.
    floor : float
        In units of the eigenvalue.
    """

    magnitude: Array
    positive: Array
    negative: Array
    near_zero: float
    floor: float


def log_density(
    nodes: Array, weights: Array, *, magnitude: Array | None, bandwidth: float, floor: float, points: int = 400
) -> LogDensity:
    """Gaussian smoothing in log₁₀|λ| of the measure with nodes (M,) and weights (M,), which sum to 1."""
    size = np.abs(nodes)
    far = size > floor
    decades = np.log10(size[far])
    if magnitude is None:
        edges = (decades.min(), decades.max()) if len(decades) else (-1.0, 0.0)
        magnitude = 10 ** np.linspace(edges[0] - 4 * bandwidth, edges[1] + 4 * bandwidth, points)
    magnitude = np.asarray(magnitude, dtype=float)
    z = (np.log10(magnitude)[:, None] - decades[None, :]) / bandwidth
    kernel = np.exp(-0.5 * z**2) / (bandwidth * np.sqrt(2 * np.pi))
    above = weights[far] * (nodes[far] > 0)
    below = weights[far] * (nodes[far] < 0)
    return LogDensity(magnitude, kernel @ above, kernel @ below, float(weights[~far].sum()), floor)


def smoothed(nodes: Array, weights: Array, *, grid: Any, bandwidth: float | None) -> tuple[Array, Array]:
    """Density of flat nodes and weights on a grid (G,), by a Gaussian kernel: ``(grid, density)``."""
    low, high = float(nodes.min()), float(nodes.max())
    if bandwidth is None:
        bandwidth = max(0.01 * (high - low), 1e-9 * max(abs(low), abs(high), 1e-300))
    if grid is None:
        grid = np.linspace(low - 4 * bandwidth, high + 4 * bandwidth, 1000)
    grid = np.asarray(grid, dtype=float)
    z = (grid[:, None] - nodes[None, :]) / bandwidth
    return grid, np.exp(-0.5 * z**2) / (bandwidth * np.sqrt(2 * np.pi)) @ weights
