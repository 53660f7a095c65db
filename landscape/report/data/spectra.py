"""Spectra on one axis for all runs: linear near zero, logarithmic beyond, so that bulk and outliers both show."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from landscape.report.data.numbers import listed, short
from landscape.results import Eigenpairs, Record, SpectralMeasure
from landscape.results.base import Array

#: Standard deviation of the smoothing, in units of the axis: narrower, and every node of a quadrature is a bump.
KERNEL = 0.15
#: Where the axis turns from linear to logarithmic, as a share of the largest eigenvalue of all runs.
_TURN = 2e-3
_POINTS = 241


@dataclass(frozen=True)
class Axis:
    """``u = asinh(λ / turn)``, from ``low`` to ``high`` in u."""

    turn: float
    low: float
    high: float

    @property
    def grid(self) -> Array:
        """Where densities are given, in u."""
        return np.linspace(self.low, self.high, _POINTS)

    def entry(self) -> dict[str, Any]:
        """As the page reads it."""
        return {"turn": short(self.turn), "low": short(self.low), "high": short(self.high), "kernel": KERNEL}


def axis_of(records: Iterable[Record]) -> Axis | None:
    """The axis that holds every eigenvalue and every node; None where there is none."""
    ends = []
    for record in records:
        values = record.values if isinstance(record, Eigenpairs) else getattr(record, "nodes", np.empty(0))
        finite = np.asarray(values, dtype=float)[np.isfinite(values)]
        if finite.size:
            ends += [float(finite.min()), float(finite.max())]
    largest = max(map(abs, ends), default=0.0)
    if largest == 0:
        return None
    turn = float(f"{_TURN * largest:.1g}")
    low, high = (float(np.arcsinh(end / turn)) for end in (min(*ends, 0.0), max(*ends, 0.0)))
    return Axis(turn, low - 4 * KERNEL, high + 4 * KERNEL)


def counts_on(axis: Axis, measure: SpectralMeasure) -> Array:
    """How many eigenvalues lie at each place of the grid, per unit of the axis: the sum over it is P."""
    nodes = np.arcsinh(np.asarray(measure.nodes, dtype=float).ravel() / axis.turn)
    weights = np.clip(np.asarray(measure.weights, dtype=float).ravel(), 0.0, None)
    known = np.isfinite(nodes) & (weights > 0)
    nodes, weights = nodes[known], weights[known] * measure.dim / len(measure.nodes)
    counts = np.zeros(_POINTS)
    for part in range(0, len(nodes), 4096):  # of a small model every eigenvalue is a node
        away = (axis.grid[:, None] - nodes[None, part : part + 4096]) / KERNEL
        counts += np.exp(-0.5 * away**2) @ weights[part : part + 4096]
    return np.asarray(counts / (KERNEL * np.sqrt(2 * np.pi)))


def density_entry(axis: Axis, measure: SpectralMeasure) -> dict[str, Any]:
    """The curve, and how it was made."""
    return {
        "counts": listed(counts_on(axis, measure), 3),
        "probes": len(measure.nodes),
        "steps": measure.num_steps,
        "exact": measure.is_exact,
    }


def eigenvalue_entries(pairs: Eigenpairs) -> list[list[Any]]:
    """``[value, bound, converged]`` of each."""
    rows = zip(pairs.values, pairs.bounds, pairs.converged, strict=True)
    return [[short(value), short(bound, 3), int(done)] for value, bound, done in rows]
