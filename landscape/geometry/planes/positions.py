"""Positions in parameter space, in whatever form they come: vectors, objectives, checkpoints, and runs of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from landscape.errors import UsageError


def runs_of(given: Any) -> dict[str, np.ndarray]:
    """Positions of one run or several, by name, (T, P) each.

    A mapping has the names; one run is a sequence of positions, such as a ``CheckpointDir``, or an array (T, P);
    several are a sequence of these.

    Raises
    ------
    UsageError
        If there is none, or positions are not finite vectors of one length.
    """
    if isinstance(given, Mapping):
        named = dict(given)
    elif _is_one_run(given):
        named = {_name_of(given, "run"): given}
    else:
        runs = list(given)
        names = [_name_of(run, f"run {i + 1}") for i, run in enumerate(runs)]
        unique = names if len(set(names)) == len(names) else [f"run {i + 1}" for i in range(len(runs))]
        named = dict(zip(unique, runs, strict=True))
    if not named:
        raise UsageError("no run was given; pass {name: positions}")
    found = {str(name): stacked(str(name), run) for name, run in named.items()}
    sizes = {rows.shape[1] for rows in found.values()}
    if len(sizes) > 1:
        raise UsageError(f"the runs have positions of different lengths ({', '.join(map(str, sorted(sizes)))})")
    return found


def _is_one_run(given: Any) -> bool:
    if isinstance(given, (np.ndarray, Tensor)):
        return given.ndim == 2
    if not isinstance(given, Sequence):
        raise UsageError(f"a run is a sequence of positions, an array (T, P) or a CheckpointDir, not {given!r}")
    first = given[0] if len(given) else None
    return first is None or hasattr(first, "theta") or (isinstance(first, (np.ndarray, Tensor)) and first.ndim == 1)


def _name_of(run: Any, other: str) -> str:
    return getattr(getattr(run, "path", None), "name", None) or other


def stacked(name: str, run: Any) -> np.ndarray:
    """The positions of one run, (T, P): in float32 where all are, else in float64; an array of these is not copied.

    Raises
    ------
    UsageError
        If there is none, or they are not finite vectors of one length.
    """
    array = run.detach().cpu().numpy() if isinstance(run, Tensor) else run
    if not isinstance(array, np.ndarray):
        rows = [_array(_as_vector(row)) for row in run]
        if not rows:
            raise UsageError(f"run {name!r} has no position")
        if len({row.shape for row in rows}) > 1:
            raise UsageError(f"run {name!r} has positions of different shapes: {sorted({row.shape for row in rows})}")
        array = np.stack(rows)
    if array.ndim != 2 or not array.size:
        raise UsageError(f"run {name!r} has shape {array.shape}; its positions must be (T, P)")
    array = array if array.dtype in (np.float32, np.float64) else array.astype(np.float64)
    if not (finite := np.isfinite(array).all(axis=1)).all():
        raise UsageError(f"run {name!r} holds NaN or infinity at {int((~finite).sum())} positions")
    return array


def _as_vector(given: Any) -> Any:
    """θ of an objective or a checkpoint; a vector as it is."""
    if hasattr(given, "theta"):
        return given.theta() if callable(given.theta) else given.theta
    if not isinstance(given, (np.ndarray, Tensor)):
        raise UsageError(f"a position is a vector (P,), an Objective or a Checkpoint, not a {type(given).__name__}")
    return given


def vector_of(given: Any) -> np.ndarray:
    """θ of whatever has one, (P,), in float32 or float64.

    Raises
    ------
    UsageError
        If it is no finite vector.
    """
    array = _array(_as_vector(given))
    if array.ndim != 1 or not array.size:
        raise UsageError(f"a position has shape {array.shape}; it must be a vector (P,)")
    if not np.isfinite(array).all():
        raise UsageError(f"a position holds NaN or infinity in {int((~np.isfinite(array)).sum())} entries")
    return array if array.dtype in (np.float32, np.float64) else array.astype(np.float64)


def _array(vector: Any) -> np.ndarray:
    return np.asarray(vector.detach().cpu() if isinstance(vector, Tensor) else vector)
