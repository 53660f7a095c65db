"""What a slice is spanned by, in each of the forms in which it is given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from landscape.errors import UsageError
from landscape.geometry.planes.named import Direction
from landscape.objective import Objective
from landscape.results import ModelPlane, PcaPlane

#: Columns whose angle has a cosine this close to ±1 span a line, not a plane.
_PARALLEL = 1e-6


@dataclass(frozen=True)
class Spanned:
    """Columns, what they are called, and what is known of positions on them.

    Attributes
    ----------
    columns : (P, K) tensor
        In the objective's dtype.
    labels : tuple of str
    origin : (P,) array or None
        Where x = y = 0, unless another place is asked for; None: the model's parameters now.
    positions : (S, 2) array
        (x, y) of positions from the origin, that the slice should show.
    marks : mapping
        Name → position whose loss is evaluated beside the slice.
    """

    columns: Tensor
    labels: tuple[str, ...]
    origin: np.ndarray | None = None
    positions: np.ndarray = field(default_factory=lambda: np.empty((0, 2)))
    marks: Mapping[str, Any] = field(default_factory=dict)

    @property
    def lengths(self) -> np.ndarray:
        """Of the columns, (K,)."""
        lengths: np.ndarray = np.linalg.norm(self.columns.cpu().double().numpy(), axis=0)
        return lengths

    def along(self, vector: Tensor) -> tuple[np.ndarray, float]:
        """Coordinates (K,) of the orthogonal projection of a vector (P,), and how far it is from that."""
        columns, vector = self.columns.cpu().double(), vector.cpu().double()
        found = torch.linalg.lstsq(columns, vector[:, None], driver="gelsd").solution[:, 0]
        return found.numpy(), float(torch.linalg.vector_norm(vector - columns @ found))


def spanned_line(objective: Objective, given: Any, label: str) -> Spanned:
    """Of ``direction=``: a vector, or a :class:`Direction`."""
    if isinstance(given, Direction):
        return Spanned(_columns(objective, given.vector, count=1, name="direction"), (label or given.label,))
    return Spanned(_columns(objective, given, count=1, name="direction"), (label or "direction",))


def spanned_plane(objective: Objective, given: Any, labels: Sequence[str] | None) -> Spanned:
    """Of ``plane=``: columns (P, 2), a pair of directions, or a plane through positions."""
    if labels is not None and len(labels) != 2:
        raise UsageError(f"a plane has two axes: labels={labels!r} and radius must be pairs")
    if isinstance(given, (PcaPlane, ModelPlane)):
        marks = {}
        if isinstance(given, ModelPlane):
            marks = dict(zip(given.names, given.thetas, strict=True))
        columns = _columns(objective, given.vectors, count=2, name="plane")
        return Spanned(columns, tuple(labels or given.labels), given.origin, given.coordinates, marks)
    names = ["direction 1", "direction 2"]
    if isinstance(given, (tuple, list)):
        if len(given) != 2:
            raise UsageError(f"a plane has two directions, not {len(given)}")
        names = [one.label if isinstance(one, Direction) else name for one, name in zip(given, names, strict=True)]
        vectors = [one.vector if isinstance(one, Direction) else one for one in given]
        given = torch.cat([_columns(objective, one, count=1, name="plane") for one in vectors], dim=1)
    columns = _columns(objective, given, count=2, name="plane")
    units = columns / torch.linalg.vector_norm(columns, dim=0)
    if abs(float(units[:, 0] @ units[:, 1])) > 1 - _PARALLEL:
        raise UsageError("the two columns of the plane are parallel, so they span a line; use evaluate_line")
    return Spanned(columns, tuple(labels or names))


def _columns(objective: Objective, given: Any, *, count: int, name: str) -> Tensor:
    """``(P, count)`` in the objective's dtype, each column finite and not zero."""
    size = objective.layout.size
    expected = f"({size}, {count})" if count > 1 else f"({size},)"
    if not isinstance(given, (Tensor, np.ndarray)):
        raise UsageError(f"{name} must be a tensor or array of shape {expected}, not {type(given).__name__}")
    # A copy, since torch cannot take arrays with negative strides, nor read-only ones without a warning.
    columns = torch.as_tensor(np.array(given) if isinstance(given, np.ndarray) else given).detach()
    if columns.ndim == 1 and count == 1:
        columns = columns[:, None]
    if tuple(columns.shape) != (size, count):
        raise UsageError(f"{name} has shape {tuple(given.shape)}; this objective needs {expected}")
    columns = columns.to(objective.device, objective.dtype)
    if not bool(columns.isfinite().all()):
        raise UsageError(f"{name} holds NaN or infinity in {int((~columns.isfinite()).sum())} entries")
    if not bool((columns != 0).any(0).all()):
        raise UsageError(f"{name} has a column that is zero: it leads nowhere")
    return columns
