"""The plane through three models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from landscape.errors import UsageError
from landscape.geometry.planes.positions import vector_of
from landscape.results import ModelPlane
from landscape.rounding import format_value

#: Of the longest side: three models closer than this to one line make none but that.
_FLAT = 1e-6


def model_plane(theta_a: Any, theta_b: Any, theta_c: Any, *, names: Sequence[str] = ("a", "b", "c")) -> ModelPlane:
    r"""The plane through three models, with orthonormal axes: û from a towards b, v̂ on the side of c.

    .. math:: u = \theta_b - \theta_a, \qquad v = (\theta_c - \theta_a) - \hat u\,\hat u^\top(\theta_c - \theta_a)

    :func:`evaluate_plane` takes it as it is; the loss of each model is then evaluated exactly, beside the surface.
    Models whose buffers training moves, such as running statistics, are handed to it as objectives or checkpoints::

        plane = ls.model_plane(a, b, c)
        ls.evaluate_plane(a, plane, marks={"a": a, "b": b, "c": c})

    Parameters
    ----------
    theta_a, theta_b, theta_c : (P,) tensors or arrays, Objectives or Checkpoints
    names : three str
        What they are called in tables and figures.

    Returns
    -------
    ModelPlane
        x and y are distances in parameter space; their zero is the middle of the rectangle around the three.

    Raises
    ------
    UsageError
        For vectors of different lengths, and for three models on one line, with the distances.

    References
    ----------
    Garipov, Izmailov, Podoprikhin, Vetrov & Wilson (2018), Loss Surfaces, Mode Connectivity, and Fast Ensembling of
    DNNs, NeurIPS, for the axes.

    Examples
    --------
    >>> plane = model_plane(np.array([0.0, 0, 0]), np.array([4.0, 0, 0]), np.array([1.0, 0, 2]))
    >>> plane.coordinates.tolist()
    [[-2.0, -1.0], [2.0, -1.0], [-1.0, 1.0]]
    """
    if len(names) != 3 or len(set(names)) != 3 or not all(isinstance(name, str) and name for name in names):
        raise UsageError(f"names={names!r} must be three different names, one for each model")
    rows = [vector_of(given) for given in (theta_a, theta_b, theta_c)]
    if len({row.shape for row in rows}) > 1:
        raise UsageError(
            f"the three models have {', '.join(str(len(row)) for row in rows)} parameters; give equal ones"
        )
    thetas = np.stack(rows)
    a, b, c = (row.astype(np.float64) for row in rows)
    u, w = b - a, c - a
    sides = {"b": float(np.linalg.norm(u)), "c": float(np.linalg.norm(w)), "bc": float(np.linalg.norm(c - b))}
    longest = max(sides.values())
    if longest == 0 or min(sides.values()) <= _FLAT * longest:
        raise UsageError(f"two of the three models are one point: {_said(names, sides)}. Use interpolate for a line")
    first = u / sides["b"]
    along = float(first @ w)
    second = w - along * first
    second -= first * (first @ second)
    height = float(np.linalg.norm(second))
    if height <= _FLAT * longest:
        raise UsageError(
            f"the three models lie on one line: {_said(names, sides)}, and {names[2]} is {format_value(height)} off "
            f"the line through {names[0]} and {names[1]}. Use interpolate between the outer two"
        )
    vectors = np.stack([first, second / height], axis=1)
    corners = np.array([[0.0, 0.0], [sides["b"], 0.0], [along, height]])
    middle = (corners.min(axis=0) + corners.max(axis=0)) / 2
    return ModelPlane(
        origin=a + vectors @ middle, vectors=vectors, coordinates=corners - middle, thetas=thetas, names=tuple(names)
    )


def _said(names: Sequence[str], sides: dict[str, float]) -> str:
    a, b, c = names
    pairs = {"b": f"‖{a} − {b}‖", "c": f"‖{a} − {c}‖", "bc": f"‖{b} − {c}‖"}
    return ", ".join(f"{pairs[key]} = {format_value(length)}" for key, length in sides.items())
