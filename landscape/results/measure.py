"""The spectral density as quadratures. ``P`` parameters, ``R`` probes, ``T`` Krylov steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special, stats

from landscape.results.base import Array, Estimate, Record
from landscape.rounding import format_value


@dataclass(frozen=True, eq=False, repr=False)
class SpectralMeasure(Record):
    """The spectral density as Gauss quadratures, one per probe: nodes and weights, unsmoothed.

    Attributes
    ----------
    nodes, weights : (R, T) arrays
        Ritz values and squared first components; each row of weights sums to 1. A run that ended early is padded with
        its last node at weight 0.
    dim : int
        P, so that ``dim · weight`` counts eigenvalues.
    """

    nodes: Array
    weights: Array
    dim: int
    num_matvecs: int
    seed: int

    def cdf(self, x: Any, *, level: float = 0.95) -> tuple[Array, Array, Array]:
        """Share of the eigenvalues that are ≤ x, as ``(lower, estimate, upper)``, each of the shape of ``x``.

        Each probe's own weighted CDF lies rigorously between two step functions of its quadrature (Markov–Stieltjes);
        the band adds the spread over probes (Student's t at ``level``), pointwise.

        References
        ----------
        Chen, Trogdon, Ubaru (2021), Analysis of stochastic Lanczos quadrature for spectrum approximation, ICML.
        """
        points = np.atleast_1d(np.asarray(x, dtype=float))
        below = np.stack([_weight_up_to(n, w, points) for n, w in zip(self.nodes, self.weights, strict=True)])
        lower_rows, estimate_rows, upper_rows = below[:, 0], below[:, 1], below[:, 2]
        probes = len(self.nodes)
        if probes > 1:
            quantile = float(special.stdtrit(probes - 1, 0.5 + level / 2)) / np.sqrt(probes)
        else:
            quantile = np.inf
        lower = lower_rows.mean(0) - _scaled(quantile, lower_rows, probes)
        upper = upper_rows.mean(0) + _scaled(quantile, upper_rows, probes)
        shape = np.shape(x)
        bands = np.clip(lower, 0, 1), estimate_rows.mean(0), np.clip(upper, 0, 1)
        return tuple(b.reshape(shape) for b in bands)

    def moment(self, power: int) -> Estimate:
        """Mean of ``λ**power`` over the spectrum: ``tr(H^p)/P``; exact in each probe for ``p ≤ 2T − 1``."""
        samples = (self.weights * self.nodes**power).sum(1)
        sem = float(stats.sem(samples)) if len(samples) > 1 else None
        return Estimate(
            float(samples.mean()),
            sem=sem,
            samples=samples,
            num_matvecs=self.num_matvecs,
            seed=self.seed,
            method=f"moment {power} of the spectral measure",
        )

    def density(self, grid: Any = None, bandwidth: float | None = None) -> tuple[Array, Array]:
        """Gaussian-smoothed density on a grid, area 1: ``(grid (G,), density (G,))``.

        ``bandwidth`` is the kernel's standard deviation in units of the eigenvalue; left out, 1 % of the range of the
        nodes. Tails beyond the nodes are the kernel's, not the spectrum's.
        """
        low, high = float(self.nodes.min()), float(self.nodes.max())
        if bandwidth is None:
            bandwidth = max(0.01 * (high - low), 1e-9 * max(abs(low), abs(high), 1e-300))
        if grid is None:
            grid = np.linspace(low - 4 * bandwidth, high + 4 * bandwidth, 1000)
        grid = np.asarray(grid, dtype=float)
        z = (grid[:, None] - self.nodes.ravel()[None, :]) / bandwidth
        kernel = np.exp(-0.5 * z**2) / (bandwidth * np.sqrt(2 * np.pi))
        return grid, kernel @ self.weights.ravel() / len(self.nodes)

    def _lines(self) -> list[tuple[str, str]]:
        probes, steps = self.nodes.shape
        negative = float((self.weights * (self.nodes < 0)).sum() / probes)
        return [
            ("range of nodes", f"{format_value(float(self.nodes.min()))} … {format_value(float(self.nodes.max()))}"),
            ("mean eigenvalue", str(self.moment(1))),
            ("weight below zero", f"{100 * negative:.1f} %"),
            ("", f"{probes} probes × {steps} steps, {self.num_matvecs} matvecs, seed {self.seed}"),
        ]


def _weight_up_to(nodes: Array, weights: Array, points: Array) -> Array:
    """(3, M): lower bracket, estimate, upper bracket of one probe's weighted CDF at the points."""
    order = np.argsort(nodes, kind="stable")
    nodes, total = nodes[order], np.concatenate([[0.0], np.cumsum(weights[order])])
    passed = np.searchsorted(nodes, points, side="right")
    lower = total[np.maximum(passed - 1, 0)]
    upper = total[np.minimum(passed + 1, len(nodes))]
    return np.stack([lower, total[passed], upper])


def _scaled(quantile: float, rows: Array, probes: int) -> Array:
    return quantile * rows.std(0, ddof=1) if probes > 1 else np.full(rows.shape[1], np.inf)
