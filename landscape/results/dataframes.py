"""Records as tables: what stands in which column of a data frame. ``P`` parameters, ``R`` probes, ``T`` nodes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from functools import singledispatch
from typing import Any

import numpy as np

from landscape.results.alignment import Alignment, Repaired
from landscape.results.base import Estimate, Record
from landscape.results.basins import Basins
from landscape.results.connection import Connection
from landscape.results.crosscheck import Crosscheck, WitnessRow
from landscape.results.distances import Distances
from landscape.results.eigenpairs import Eigenpairs, SpectralGap
from landscape.results.merged import Merged
from landscape.results.minima import QUANTITIES, MinimaMatrix
from landscape.results.moments import BlockTable, Diagonal, SpectralMoments
from landscape.results.paths import PathSlice
from landscape.results.persistence import Persistence
from landscape.results.planes import ModelPlane, PcaPlane
from landscape.results.sampling import SamplingSpread
from landscape.results.spectral_measure import SpectralMeasure
from landscape.results.spectrum import Spectrum
from landscape.results.stability import DirectionalSharpness, OptimizerUpdate, Stability, StabilityRow
from landscape.results.step_history import StepHistory
from landscape.results.subspace import Attribution, PrincipalAngles
from landscape.results.surface import LineSlice, PlaneSlice

Columns = Mapping[str, Any]


@singledispatch
def columns(record: Record) -> Columns:
    """One row of all that is a single number, text or estimate; of an estimate its error stands beside it."""
    row: dict[str, list[Any]] = {}
    for field in fields(record):
        value = getattr(record, field.name)
        if isinstance(value, Estimate):
            row |= {field.name: [value.value], f"{field.name}_error": [value.error]}
        elif value is None or isinstance(value, (bool, int, float, str)):
            row[field.name] = [value]
    return row


@columns.register
def _(eigs: Eigenpairs) -> Columns:
    return {"value": eigs.values, "residual": eigs.residuals, "converged": eigs.converged}


@columns.register
def _(found: Spectrum) -> Columns:
    estimates = {"trace": found.trace, "frobenius": found.frobenius}
    estimates |= {f"moment {p}": moment for p, moment in enumerate(found.moments, start=1)}
    names = [*estimates, *(f"eigenvalue {i + 1}" for i in range(len(found.eigs)))]
    return {
        "quantity": names,
        "value": [*(e.value for e in estimates.values()), *found.eigs.values],
        "error": [*(e.error for e in estimates.values()), *found.eigs.residuals],
        "converged": [*(e.converged for e in estimates.values()), *found.eigs.converged],
    }


@columns.register
def _(gap: SpectralGap) -> Columns:
    both = {"difference": gap.difference, "ratio": gap.ratio}
    return {
        "quantity": list(both),
        "value": [e.value for e in both.values()],
        "error": [e.error for e in both.values()],
    }


@columns.register
def _(measure: SpectralMeasure) -> Columns:
    probes, nodes = measure.nodes.shape
    return {
        "probe": np.repeat(np.arange(probes), nodes),
        "node": measure.nodes.ravel(),
        "weight": measure.weights.ravel(),
    }


@columns.register
def _(diagonal: Diagonal) -> Columns:
    return {"value": diagonal.values, "sem": diagonal.sem}


@columns.register
def _(moments: SpectralMoments) -> Columns:
    return {"power": moments.powers, "value": moments.values, "sem": moments.sem}


@columns.register
def _(table: BlockTable) -> Columns:
    return {
        "block": table.names,
        "parameters": table.sizes,
        "trace": table.trace,
        "trace_sem": table.trace_sem,
        "trace_per_parameter": table.trace_per_parameter,
        "share": table.share,
        "lambda_max": table.lambda_max,
        "residual": table.residual,
        "converged": table.converged,
    }


@columns.register
def _(found: Distances) -> Columns:
    return {"tensor": list(found.names), "parameters": found.sizes, "from_start": found.from_start,
            "from_end": found.from_end, "norm_at_start": found.norms_at_start}  # fmt: skip


@columns.register
def _(found: StepHistory) -> Columns:
    return {"step": found.steps} | {name: found[name] for name in found.names}


@columns.register
def _(found: Attribution) -> Columns:
    return {"vector": np.arange(1, len(found.shares) + 1)} | dict(zip(found.names, found.shares.T, strict=True))


@columns.register
def _(found: PrincipalAngles) -> Columns:
    return {"angle": found.angles, "cosine": found.cosines}


@columns.register
def _(spread: SamplingSpread) -> Columns:
    return {"value": spread.values, "sem": spread.sems}


@columns.register
def _(found: Basins) -> Columns:
    return {
        "loss": found.losses,
        "lambda_max": found.lambda_max,
        "lambda_min": found.lambda_min,
        "points": found.counts,
    }


@columns.register
def _(line: LineSlice) -> Columns:
    return {"t": line.t, "loss": line.loss, **line.metrics}


@columns.register
def _(found: Connection) -> Columns:
    return {"t": found.t, "loss": found.loss, "line": found.line, **found.metrics}


@columns.register
def _(found: Merged) -> Columns:
    return {"network": found.names, "loss": found.loss, **found.metrics}


@columns.register
def _(found: MinimaMatrix) -> Columns:
    upper = np.triu_indices(len(found.names), 1)
    names = dict(zip(("a", "b"), zip(*found.pairs(), strict=True), strict=True))
    return names | {name: found.matrix(name)[upper] for name in QUANTITIES}


@columns.register
def _(plane: PlaneSlice) -> Columns:
    x, y = np.meshgrid(plane.x, plane.y)
    values = {"loss": plane.loss, **plane.metrics}
    return {"x": x.ravel(), "y": y.ravel()} | {name: heights.ravel() for name, heights in values.items()}


@columns.register
def _(found: PathSlice) -> Columns:
    return _positions(found, found.points)


@columns.register
def _(plane: PcaPlane) -> Columns:
    return _positions(plane, plane.coordinates)


def _positions(found: PathSlice | PcaPlane, points: np.ndarray) -> Columns:
    return {
        "path": np.repeat(found.names, found.lengths),
        "point": np.concatenate([np.arange(length) for length in found.lengths]),
        "x": points[:, 0],
        "y": points[:, 1],
        "outside": found.outside,
    }


@columns.register
def _(found: Persistence) -> Columns:
    (x, y), (saddle_x, saddle_y) = found.minimum_xy.T, found.saddle_xy.T
    return {
        "birth": found.births,
        "death": found.deaths,
        "persistence": found.persistence,
        "decided": found.decided,
        "x": x,
        "y": y,
        "saddle_x": saddle_x,
        "saddle_y": saddle_y,
        "joins": found.parent,
        "area": found.areas,
    }


@columns.register
def _(plane: ModelPlane) -> Columns:
    return {"model": plane.names, "x": plane.coordinates[:, 0], "y": plane.coordinates[:, 1]}


@columns.register
def _(table: Crosscheck) -> Columns:
    names = WitnessRow._fields
    return dict(zip(names, zip(*table.rows, strict=True), strict=True)) if table.rows else {name: [] for name in names}


@columns.register
def _(found: Alignment) -> Columns:
    return {
        "group": found.groups,
        "neurons": found.sizes,
        "permutations": found.copies,
        "moved": found.moved,
        "alike_before": found.alike_before,
        "alike": found.alike,
        "where": found.where,
    }


@columns.register
def _(found: Repaired) -> Columns:
    return {"layer": found.layers, "spread_before": found.spread_before, "spread": found.spread}


def _(found: OptimizerUpdate) -> Columns:
    return {"tensor": found.names, "parameters": found.sizes, "rms": found.rms}


@columns.register
def _(found: DirectionalSharpness) -> Columns:
    pairs = [(a, b) for a in found.names for b in found.names]
    return {"group": [a for a, _ in pairs], "with": [b for _, b in pairs], "part": found.parts.ravel()}


@columns.register
def _(table: Stability) -> Columns:
    names = StabilityRow._fields
    return dict(zip(names, zip(*table.rows, strict=True), strict=True)) if table.rows else {name: [] for name in names}
