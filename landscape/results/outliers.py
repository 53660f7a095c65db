"""Eigenvalues beyond the bulk of a spectrum: where the bulk ends, and how many lie beyond."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from landscape.checks import check_positive, check_share
from landscape.results.base import Array, Estimate, Record
from landscape.results.resolution import resolved
from landscape.rounding import format_value

#: A node of less than this share of one eigenvalue's mass marks no eigenvalue: rules put such nodes into gaps.
_NO_EIGENVALUE = 0.01


@dataclass(frozen=True, eq=False, repr=False)
class OutlierCount(Record):
    """How many eigenvalues lie beyond the bulk.

    Attributes
    ----------
    resolved : int
        Distinct eigenvalues beyond the edges that one probe resolves: as many disjoint intervals ``node ± residual``
        hold an eigenvalue each, so there are at least that many. Copies of one eigenvalue count once. -1 where the
        measure has no Lanczos coefficients.
    mass : Estimate
        P times the mass beyond the edges: the number with copies counted, unbiased, with the spread over probes.
    low, high : float
        The edges; infinite on a side without outliers.
    """

    resolved: int
    mass: Estimate
    low: float
    high: float

    @property
    def value(self) -> float:
        """The number with copies counted, from the mass."""
        return self.mass.value

    def __float__(self) -> float:
        return float(self.mass.value)

    def _lines(self) -> list[tuple[str, str]]:
        apart = "not known" if self.resolved < 0 else f"at least {self.resolved}"
        return [
            ("eigenvalues beyond the bulk", f"{resolved(self.mass)} by mass"),
            ("told apart by one probe", apart),
            ("bulk", f"{format_value(self.low)} … {format_value(self.high)}"),
        ]


def bulk_edges(nodes: Array, weights: Array, dim: int, *, gap: float, most: float) -> tuple[float, float]:
    """(low, high) of a bulk around the median of the measure with nodes (M,) and weights (M,).

    On each side the bulk ends at the widest gap, measured as the ratio of the distances of two neighbouring nodes from
    the median, among the outer nodes that hold at most the share ``most`` of the eigenvalues; the edge is the geometric
    mean of the two. A side whose widest ratio is below ``gap`` has no outliers: its edge is infinite.
    """
    check_positive("gap", gap)
    check_share("most", most)
    order = np.argsort(nodes, kind="stable")
    centre = nodes[order][np.searchsorted(np.cumsum(weights[order]), 0.5)]
    edges = []
    for sign in (-1, 1):
        distances = sign * (nodes - centre)
        outward = np.argsort(-distances, kind="stable")
        outward = outward[distances[outward] > 0]
        counts, sizes = dim * np.cumsum(weights[outward]), distances[outward]
        # The widest gap of all is often deep in the bulk, where distances are next to nothing.
        inner = np.append(sizes[1:], 0.0)
        # Nodes on the median may differ from it by rounding only, and make any ratio.
        resolution = 1e-6 * sizes[0] if len(sizes) else 0.0
        ratios = np.where(
            (counts >= 0.5) & (counts <= most * dim * (1 + 1e-9)), sizes / np.maximum(inner, resolution), 0.0
        )
        if not len(ratios) or ratios.max() < gap:
            edges.append(sign * np.inf)
            continue
        best = int(ratios.argmax())
        edges.append(centre + sign * float(np.sqrt(sizes[best] * max(inner[best], resolution))))
    return float(edges[0]), float(edges[1])


def marks_eigenvalue(weights: Array, dim: int) -> Array:
    """Which nodes carry enough mass to stand for an eigenvalue, by their weights in their own probe's rule."""
    return weights * dim >= _NO_EIGENVALUE


def count_resolved(nodes: Array, residuals: Array, weights: Array, low: float, high: float) -> int:
    """Most disjoint intervals ``node ± residual`` of one run wholly beyond an edge, over runs (R, T)."""
    best = 0
    for row, slack, mass in zip(nodes, residuals, weights, strict=True):
        beyond = ((row + slack < low) | (row - slack > high)) & (mass > 0)
        starts, ends = (row - slack)[beyond], (row + slack)[beyond]
        count, reached = 0, -np.inf
        # The classic greedy choice: by their ends, each that starts after the last one taken.
        for i in np.argsort(ends, kind="stable"):
            if starts[i] > reached:
                count, reached = count + 1, ends[i]
        best = max(best, count)
    return best


def without_known(
    nodes: Array, weights: Array, residuals: Array, known: Array, their_residuals: Array, resolution: float
) -> tuple[Array, Array, Array]:
    """Nodes, residuals and weights (R, T) of runs, less the known eigenvalues (K,): their nodes have weight zero.

    Runs that were not deflated have the known eigenvalues among their nodes.
    """
    residuals = np.maximum(residuals, resolution)
    again = (np.abs(nodes[:, :, None] - known) <= residuals[:, :, None] + their_residuals).any(2)
    return nodes, residuals, np.where(again, 0.0, weights)
