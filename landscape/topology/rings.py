"""Closed ways of low loss around hills, by GUDHI."""

from __future__ import annotations

from typing import Any

import numpy as np

from landscape.errors import UsageError
from landscape.results.base import Array


def rings(values: Array) -> tuple[Array, Array]:
    """Births and deaths (H, 2) of the rings of ``{values ≤ level}``, and their places (H, 2, 2).

    The grid is a complex of squares, of which each has the height of its highest corner, so that its components are
    those of :func:`~landscape.topology.merge_tree.merge_tree`. What is not finite is never filled.

    Raises
    ------
    UsageError
        If GUDHI is not installed.
    """
    if min(values.shape) < 2:
        return np.empty((0, 2)), np.empty((0, 2, 2), dtype=np.int64)
    heights = np.where(np.isfinite(values), values, np.inf)
    squares = _gudhi().CubicalComplex(vertices=heights)
    squares.compute_persistence(homology_coeff_field=2)
    ending, _ = squares.vertices_of_persistence_pairs()
    pairs = np.asarray(ending[1] if len(ending) > 1 else np.empty((0, 2)), dtype=np.int64).reshape(-1, 2)
    at = np.stack(np.unravel_index(pairs, values.shape, order="F"), axis=-1)
    found = heights[at[..., 0], at[..., 1]]
    known = found[:, 0] < found[:, 1]  # not those between two walls
    by_depth = np.argsort(found[known, 0] - found[known, 1], kind="stable")
    return found[known][by_depth], at[known][by_depth]


def _gudhi() -> Any:
    try:
        import gudhi
    except ImportError:
        raise UsageError(
            "rings=True needs GUDHI, which is not installed: pip install 'landscape-curvature[topology]'. Basins need "
            "none"
        ) from None
    return gudhi
