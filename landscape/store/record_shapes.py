"""What a record may hold: the type of each field as its class declares it, and the shapes of its arrays."""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np

from landscape.files.json_shapes import is_number
from landscape.results import (
    Crosscheck,
    Distances,
    Eigenpairs,
    Estimate,
    Evaluation,
    LineSlice,
    PathSlice,
    PlaneSlice,
    PointValue,
    Record,
    SamplingSpread,
    Sharpness,
    SpectralGap,
    SpectralMeasure,
    Stability,
    StepHistory,
)
from landscape.results.base import Array

# The class of a record by its name, or by how its name begins: tables and figures count on it.
_CLASSES: dict[str, type[Record]] = {
    "point": PointValue, "eigenpairs": Eigenpairs, "gap": SpectralGap, "second_order_gain": Estimate, "trace": Estimate,
    "density": SpectralMeasure, "plane": PlaneSlice, "plane_eigen": PlaneSlice, "plane_pca": PathSlice,
    "train": Evaluation, "test": Evaluation,
    "crosscheck": Crosscheck, "stability": Stability, "noise_scale": Estimate, "gradient_share": Estimate,
    "update_share": Estimate, "distances": Distances, "history": StepHistory,
}  # fmt: skip
_FAMILIES: dict[str, type[Record] | tuple[type[Record], ...]] = {
    "line_": LineSlice,
    "sharpness_": (Sharpness, Estimate),
    "sampling_": SamplingSpread,
}

# One letter for each axis, a digit for a fixed length; equal letters are equal lengths within a record. What is not
# listed may have any shape.
_SHAPES: dict[str, dict[str, str]] = {
    "Eigenpairs": {"values": "K", "vectors": "PK", "residuals": "K", "converged": "K"},
    "SpectralMeasure": {"nodes": "RM", "weights": "RM", "known_residuals": "K"},
    "SecondOrderGain": {
        "dampings": "D", "over_descent": "D", "over_descent_bound": "D", "over_conjugate": "D",
        "over_conjugate_bound": "D",
    },
    "Diagonal": {"values": "P", "sem": "P"},
    "SpectralMoments": {"values": "K", "sem": "K", "samples": "KR"},
    "BlockTable": {
        "sizes": "K", "trace": "K", "trace_sem": "K", "samples": "KR", "lambda_max": "K", "residual": "K",
        "converged": "K",
    },
    "Attribution": {"shares": "KM", "explained": "K"},
    "Basins": {"minima": "MP", "losses": "M", "lambda_max": "M", "lambda_min": "M", "index": "S"},
    "PcaPlane": {"origin": "P", "vectors": "PK", "coordinates": "S2", "outside": "S", "explained": "2", "lengths": "L",
                 "names": "L", "walks": "W2"},
    "ModelPlane": {"origin": "P", "vectors": "PK", "coordinates": "S2", "thetas": "SP", "names": "S"},
    "Alignment": {
        "theta": "P", "order": "P", "groups": "M", "sizes": "M", "copies": "M", "alike_before": "M", "alike": "M",
        "where": "M", "buffers": "B", "buffer_sizes": "B",
    },
    "Repaired": {"layers": "L", "spread_before": "L", "spread": "L", "buffers": "B", "buffer_sizes": "B"},
    "PathSlice": {"x": "X", "y": "Y", "loss": "YX", "lengths": "L", "points": "S2", "outside": "S",
                  "metric_names": "K", "metric_values": "KYX", "metric_error_values": "K",
                  "losses": "S", "plane_losses": "S", "walks": "W2"},
    "SamplingSpread": {"values": "S", "sems": "S"},
    "LineSlice": {"t": "M", "loss": "M", "metric_names": "K", "metric_values": "KM",
                  "metric_error_values": "K"},
    "Connection": {
        "t": "M", "loss": "M", "line": "M", "control": "BP", "ends": "2", "history": "S", "metric_names": "K",
        "metric_values": "KM",
    },
    "Merged": {
        "names": "R", "loss": "R", "weights": "Rk", "theta": "SP", "metric_names": "K", "metric_values": "KR",
    },
    "MinimaMatrix": {
        "names": "k", "losses": "k", "test_losses": "k", "barrier": "kk", "barrier_error": "kk", "test_barrier": "kk",
        "distance": "kk", "cosine": "kk", "disagreement": "kk", "test_disagreement": "kk", "overlap": "kk",
    },
    "Persistence": {
        "x": "X", "y": "Y", "values": "YX", "births": "K", "deaths": "K", "minimum_at": "K2", "saddle_at": "K2",
        "parent": "K", "branch": "YX", "rings": "H2", "ring_at": "H22",
    },
    "PlaneSlice": {
        "x": "X", "y": "Y", "loss": "YX", "step_norms": "2", "curvature": "22", "curvature_slice": "22",
        "curvature_error": "22", "metric_names": "K", "metric_values": "KYX", "metric_error_values": "K",
        "mark_names": "S", "mark_points": "S2", "mark_outside": "S", "mark_losses": "S",
    },
    "Crosscheck": {
        "ours": "W", "ours_error": "W", "theirs": "W", "theirs_error": "W", "difference": "W", "allowed": "W",
    },
    "Sharpness": {"samples": "S"},
    "LearningCoefficient": {"rises": "CT"},
    "Evaluation": {"confusion": "CC", "measure_values": "M"},
    "PrincipalAngles": {"angles": "K"},
    "Distances": {"names": "K", "sizes": "K", "from_start": "K", "from_end": "K", "norms_at_start": "K"},
    "StepHistory": {"names": "K", "steps": "S", "values": "KS"},
    "OptimizerUpdate": {"vector": "P", "decay": "P", "names": "K", "sizes": "K"},
    "DirectionalSharpness": {"names": "K", "parts": "KK", "shares": "K"},
    "GeneralizedSharpness": {"samples": "S"},
    "Stability": {
        "measures": "K", "values": "K", "errors": "K", "kinds": "K", "thresholds": "K", "rules": "K", "converged": "K",
        "absent": "M", "reasons": "M",
    },
}  # fmt: skip
# Of the positions of a path, where they were not evaluated; of metrics, in records made by hand.
_MAY_BE_NONE = ("losses", "plane_losses", "metric_error_values")
# Types of arrays other than real numbers.
_KINDS = {
    "branch": "iu",
    "converged": "b",
    "confusion": "iu",
    "index": "iu",
    "lengths": "iu",
    "order": "iu",
    "buffer_order": "iu",
    "buffer_sizes": "iu",
    "copies": "iu",
    "permutations": "iu",
    "minimum_at": "iu",
    "parent": "iu",
    "ring_at": "iu",
    "saddle_at": "iu",
    "sizes": "iu",
    "samples": "biufc",
    "vectors": "fc",
}
_NUMBERS = "biuf"


def check_name(name: str, record: Record) -> None:
    """Refuse a record under the name of another kind.

    Raises
    ------
    ValueError
        If it is not of the class that records of this name have.
    """
    families = (kind for head, kind in _FAMILIES.items() if name.startswith(head))
    if not isinstance(record, _CLASSES.get(name) or next(families, Record)):
        raise ValueError(f"the record {name!r} is a {type(record).__name__}, which records of this name are not")


def check_record(kind: type[Record], values: Mapping[str, Any]) -> None:
    """Refuse values that cannot be the fields of this class.

    Raises
    ------
    ValueError
        With the field that is not what it should be.
    """
    hints = _hints(kind)
    for name, value in values.items():
        if name not in hints:
            raise ValueError(f"{kind.__name__} has no field {name!r}")
        if not _fits(value, hints[name]):
            raise ValueError(f"{kind.__name__}.{name} is a {type(value).__name__}, which it cannot be")
        if isinstance(value, np.ndarray) and value.dtype.kind not in _KINDS.get(name, _NUMBERS):
            raise ValueError(f"{kind.__name__}.{name} is an array of {value.dtype}")
    _check_shapes(kind.__name__, values)


def _check_shapes(kind: str, values: Mapping[str, Any]) -> None:
    lengths: dict[str, int] = {}
    for name, axes in _SHAPES.get(kind, {}).items():
        if name not in values:
            continue
        shape = values[name].shape if isinstance(values[name], np.ndarray) else (len(values[name]),)
        if name == "metric_values" and not values.get("metric_names"):
            axes, shape = "0", shape[:1]  # of none it does not matter how long they would be
        agrees = len(shape) == len(axes)
        for axis, length in zip(axes, shape, strict=False):
            # Eigenvectors that were left out or left on the disk are (P, 0).
            is_left_out = ((name == "vectors" and axis == "K") or name in _MAY_BE_NONE) and length == 0
            wanted = int(axis) if axis.isdecimal() else lengths.setdefault(axis, length)
            agrees = agrees and (is_left_out or length == wanted)
        if not agrees:
            raise ValueError(f"{kind}.{name} has shape {shape}, which does not go with the other arrays")


@cache
def _hints(kind: type[Record]) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value is of a declared type. A whole number is a float, too; a bool is no number."""
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return any(_fits(value, part) for part in parts)
    if origin is tuple:
        if not isinstance(value, tuple):
            return False
        wanted = [parts[0]] * len(value) if parts[-1] is Ellipsis else list(parts)
        return len(value) == len(wanted) and all(map(_fits, value, wanted))
    if hint is Array or origin is np.ndarray:
        return isinstance(value, np.ndarray)
    if hint is float:
        return is_number(value)
    if hint is int:
        return isinstance(value, int) and is_number(value)
    return isinstance(value, hint) if isinstance(hint, type) else hint is Any
