"""Runs and their checkpoints: every measure with its error, and whatever the figures of the page draw of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from landscape.escaping.control_characters import told_apart, visible
from landscape.plots.arrays import RunLike, by_label, group_of
from landscape.plots.style import optimizer_styles
from landscape.report.data.numbers import reading_entry, short
from landscape.report.data.slices import line_entry, most_points, plane_entry
from landscape.report.data.spectra import Axis, axis_of, density_entry, eigenvalue_entries
from landscape.results import Eigenpairs, LineSlice, PathSlice, PlaneSlice, SpectralMeasure, Stability
from landscape.store.catalogue import MEASURES, read
from landscape.store.metrics import CheckpointLike
from landscape.store.stability_rows import DECISIVE

#: Letters of a name in a figure.
_WIDEST = 18
_MARKS = ("o", "D", "^", "s", "v", "P", "X", "h")


def group_entries(runs: Sequence[RunLike]) -> list[dict[str, Any]]:
    """The groups in their order: name, colour and mark as in the figures for papers; no two have the same both."""
    styles = optimizer_styles(by_label(runs))
    names = {name: visible(name) for name in by_label(runs)}
    short_names = told_apart(names.values(), _WIDEST)
    taken: set[tuple[str, str]] = set()
    found = []
    for name, shown in names.items():
        color, mark = styles[name].color, styles[name].marker
        free = [mark, *(other for other in _MARKS if (color, other) not in taken)]
        mark = next((other for other in free if (color, other) not in taken), mark)
        taken.add((color, mark))
        found.append({"name": shown, "short": short_names[shown], "color": color, "mark": mark})
    return found


def run_entries(runs: Sequence[RunLike]) -> tuple[list[dict[str, Any]], Axis | None]:
    """The runs group by group, each with its checkpoints; and the axis on which their densities are."""
    ordered = [run for group in by_label(runs).values() for run in group if run.checkpoints]
    axis = axis_of(record for run in ordered for c in run.checkpoints for record in c.records.values())
    groups = list(by_label(runs))
    seeds = sorted({run.seed for run in ordered if run.seed is not None})
    planes = sum(isinstance(r, PlaneSlice | PathSlice) for run in ordered for c in run.checkpoints
                 for r in c.records.values())  # fmt: skip
    most = most_points(planes)
    shown = {run.name: visible(run.name) or "this run" for run in ordered}
    short_names = told_apart(shown.values(), _WIDEST)
    entries = [
        {
            "name": shown[run.name],
            "short": short_names[shown[run.name]],
            "group": groups.index(group_of(run)),
            "seed": run.seed,
            "place": seeds.index(run.seed) if run.seed in seeds else 0,
            "checkpoints": [_checkpoint(c, axis, most) for c in run.checkpoints],
        }
        for run in ordered
    ]
    return entries, axis


def _checkpoint(checkpoint: CheckpointLike, axis: Axis | None, most: int) -> dict[str, Any]:
    """What there is of it; a record that is missing is absent."""
    entry: dict[str, Any] = {"step": checkpoint.step}
    entry["values"] = {
        key: reading_entry(reading) for key in MEASURES if (reading := read(checkpoint, key)) is not None
    }
    pairs, density, table = (checkpoint.records.get(name) for name in ("eigenpairs", "density", "stability"))
    if isinstance(pairs, Eigenpairs):
        entry["eigenvalues"] = eigenvalue_entries(pairs)
    if isinstance(density, SpectralMeasure) and axis is not None:
        entry["density"] = density_entry(axis, density)
    if isinstance(table, Stability) and (edge := _edge(table)):
        entry["edge"] = edge
    lines = {name: line_entry(record) for name, record in checkpoint.records.items()
             if isinstance(record, LineSlice) and record.kind != "interpolation"}  # fmt: skip
    planes = {name: found for name, record in checkpoint.records.items()
              if isinstance(record, PlaneSlice | PathSlice) and (found := plane_entry(record, most))}  # fmt: skip
    return entry | {key: found for key, found in (("lines", lines), ("planes", planes)) if found}


def _edge(table: Stability) -> dict[str, Any] | None:
    """The curvature that decides for the optimizer beside the value at which a quadratic becomes unstable."""
    row = next((row for row in table.rows if row.measure in DECISIVE and np.isfinite(row.threshold)), None)
    if row is None:
        return None
    return {
        "measure": row.measure, "value": short(row.value), "error": short(row.error, 3),
        "threshold": short(row.threshold), "rule": visible(row.rule),
    }  # fmt: skip
