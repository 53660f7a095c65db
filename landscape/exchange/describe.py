"""What is in a file of the loss-landscape code, line by line."""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np

from landscape.errors import ResultsError
from landscape.exchange.original import DIRECTIONS, PROJECTIONS, X, Y, kind_of, opening
from landscape.exchange.surfaces import NOT_COMPUTED
from landscape.files import Dataset, Group
from landscape.results.metrics import extent
from landscape.rounding import format_value

_EXPLAINED = "explained_variance_ratio_"
_MOST_SHOWN = 40


def describe_original(path: str | Path) -> list[tuple[str, str]] | None:
    """(label, text) pairs of a surface, direction or projection file; None where it is none of these, or unreadable."""
    with contextlib.suppress(ResultsError), opening(path) as file:
        kind = kind_of(file)
        if kind is not None:
            about = {"surface": _surface, "direction": _direction, "projection": _projection}[kind]
            size = Path(path).stat().st_size
            head = [("file", f"{path}, {size / 1e6:.3g} MB"), ("format", f"{kind} of the loss-landscape code")]
            return [*head, *about(file)]
    return None


def _surface(file: Group) -> list[tuple[str, str]]:
    lines = [(name, _range(file[name])) for name in (X, Y) if name in file]
    for name, node in file.items():
        if name in (X, Y, "landscape") or not isinstance(node, Dataset):
            continue
        lines.append((name, node.text() if node.is_text else _values(node)))
    return lines


def _direction(file: Group) -> list[tuple[str, str]]:
    lines = []
    for name in DIRECTIONS:
        tensors = file.get(name)
        if isinstance(tensors, Group):
            shapes = [node.shape for node in tensors.values() if isinstance(node, Dataset)]
            count = sum(int(np.prod(shape, dtype=object)) for shape in shapes)
            lines.append((name, f"{len(shapes)} tensors, {count:,} numbers"))
            ordered = sorted(tensors, key=lambda key: (len(key), key))[:_MOST_SHOWN]
            lines += [(f"  {key}", str(getattr(tensors[key], "shape", "a group"))) for key in ordered]
    ratio = file.get(_EXPLAINED)
    if isinstance(ratio, Dataset) and not ratio.is_text:
        lines.append(("explained variance", ", ".join(f"{100 * share:.3g} %" for share in ratio[()].ravel().tolist())))
    return lines


def _projection(file: Group) -> list[tuple[str, str]]:
    return [(name, _range(file[name])) for name in PROJECTIONS if name in file]


def _range(node: Dataset | Group) -> str:
    if not isinstance(node, Dataset) or node.is_text or 0 in node.shape:
        return "not numbers"
    values = node[()].astype(float)
    ends = format_value(float(values.min())), format_value(float(values.max()))
    return f"{values.size} points, {ends[0]} … {ends[1]}"


def _values(node: Dataset) -> str:
    values = node[()].astype(float)
    missing = values == NOT_COMPUTED
    gaps = f", {int(missing.sum())} of {values.size} not computed" if missing.any() else ""
    return extent(np.where(missing, np.nan, values)) + gaps
