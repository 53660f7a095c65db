"""How far a checkpoint is from the start and from the end of its training, tensor by tensor. ``K`` tensors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from landscape.results.base import Array, Record
from landscape.rounding import format_value


@dataclass(frozen=True, eq=False, repr=False)
class Distances(Record):
    """‖θ − θ₀‖ and ‖θ − θ_T‖, whole and by tensors; exact up to the rounding of float64.

    Attributes
    ----------
    names : (K,) tuple of str
        Tensors of θ, in its order.
    sizes : (K,) array of int
    from_start, from_end : (K,) arrays
        ``‖θ − θ₀‖`` and ``‖θ − θ_T‖`` of each.
    norms_at_start : (K,) array
        ``‖θ₀‖`` of each, to see a distance against.
    step, start_step, end_step : int
        Where θ, θ₀ and θ_T stand in their training; -1 where that is not known. A start that is not step 0 is where the
        checkpoints begin, not the training.
    """

    names: tuple[str, ...]
    sizes: Array
    from_start: Array
    from_end: Array
    norms_at_start: Array
    step: int = -1
    start_step: int = -1
    end_step: int = -1

    @property
    def distance_from_start(self) -> float:
        """‖θ − θ₀‖."""
        return float(np.linalg.norm(self.from_start))

    @property
    def distance_from_end(self) -> float:
        """‖θ − θ_T‖."""
        return float(np.linalg.norm(self.from_end))

    @property
    def relative(self) -> Array:
        """(K,): ``‖θ − θ₀‖/‖θ₀‖`` of each tensor; infinite where it began at zero and moved, NaN where it did not."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(self.from_start / self.norms_at_start)

    def __len__(self) -> int:
        return len(self.names)

    def _lines(self) -> list[tuple[str, str]]:
        lines = [
            ("from the start", f"{format_value(self.distance_from_start)}{_at(self.start_step)}"),
            ("from the end", f"{format_value(self.distance_from_end)}{_at(self.end_step)}"),
        ]
        if len(self) > 1 and self.from_start.any():
            most = int(np.argmax(self.from_start))
            share = 100 * float(self.from_start[most] ** 2 / np.sum(self.from_start**2))
            lines.append(("moved most", f"{self.names[most]}: {share:.0f} % of the squared distance from the start"))
        return lines


def _at(step: int) -> str:
    return "" if step < 0 else f", step {step:,}"
