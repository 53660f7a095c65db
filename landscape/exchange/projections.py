"""Paths of a training on a plane, in files of the loss-landscape code."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from landscape.errors import UsageError
from landscape.exchange.original import PROJECTIONS, numbers, reading, writing
from landscape.results.base import Array


def read_projection(path: str | Path, *, step_norms: Sequence[float] | Array | None = None) -> Array:
    """The positions of checkpoints on a plane, (T, 2), from ``…_proj_cos.h5`` of the loss-landscape code.

    That code writes ``⟨θ_t − θ_T, d⟩/‖d‖``, lengths in parameter space, while coordinates of its surfaces count in
    lengths of the directions; both are the same where ‖d‖ = 1, as for principal components. They are projections on
    each direction alone: where the two are not orthogonal, they are not the coordinates of the nearest point of the
    plane.

    Parameters
    ----------
    path : str or Path
    step_norms : (2,), optional
        Lengths of both directions, to divide by: then the path lies on the surface along them.

    Raises
    ------
    ResultsError
        If the file is missing, damaged, or no projection.
    UsageError
        If ``step_norms`` are not two positive numbers.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = write_projection([[0.0, 1.0], [2.0, 3.0]], f"{folder}/proj.h5")
    ...     read_projection(path, step_norms=(2.0, 1.0))
    array([[0., 1.],
           [1., 3.]])
    """
    lengths = _lengths(step_norms)
    with reading(path, "projection") as file:
        x = numbers(file, PROJECTIONS[0], path=path)
        y = numbers(file, PROJECTIONS[1], path=path, length=len(x))
    return np.asarray(np.stack([x, y], axis=1) / lengths)


def write_projection(points: Any, path: str | Path, *, step_norms: Sequence[float] | Array | None = None) -> Path:
    """Write positions on a plane, (T, 2), as the loss-landscape code does.

    Parameters
    ----------
    points : (T, 2) array
        Such as ``PathSlice.path(name)``.
    path : str or Path
    step_norms : (2,), optional
        Lengths of both directions, where ``points`` count in these: the file has lengths in parameter space.

    Raises
    ------
    UsageError
        If ``points`` are not (T, 2) finite numbers.
    ResultsError
        If the file cannot be written.
    """
    lengths = _lengths(step_norms)
    try:
        rows = np.asarray(points, dtype=float)
    except (TypeError, ValueError):
        rows = np.empty(0)
    if rows.ndim != 2 or rows.shape[1] != 2 or not len(rows) or not np.isfinite(rows).all():
        raise UsageError(f"points must be finite numbers of shape (T, 2), not of shape {np.shape(points)}")
    with writing(path) as file:
        for name, column in zip(PROJECTIONS, (rows * lengths).T, strict=True):
            file.create_dataset(name, data=column)
    return Path(path)


def _lengths(step_norms: Sequence[float] | Array | None) -> Array:
    if step_norms is None:
        return np.ones(2)
    try:
        lengths = np.asarray(step_norms, dtype=float)
    except (TypeError, ValueError):
        lengths = np.empty(0)
    if lengths.shape != (2,) or not (np.isfinite(lengths) & (lengths > 0)).all():
        raise UsageError(f"step_norms={step_norms!r} must be two positive numbers, the lengths of both directions")
    return lengths
