"""Weight decay on a slice: exact, since ½λ‖θ‖² of a point on it is a polynomial of its coordinates."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from landscape.checks import check_not_negative
from landscape.errors import UsageError
from landscape.rounding import format_value


class Decay:
    r"""½ Σ λᵢ θᵢ² at θ + D c.

    .. math:: \tfrac12 \theta^\top\!\Lambda\theta + c^\top D^\top\!\Lambda\theta + \tfrac12 c^\top D^\top\!\Lambda D\, c

    Parameters
    ----------
    weight_decay : float or (P,) tensor or array
        λ, as optimizers take it, or one for each parameter.
    """

    def __init__(self, weight_decay: Any, point: Tensor, columns: Tensor) -> None:
        self._point = point.cpu().double()
        columns = columns.cpu().double()
        if isinstance(weight_decay, (Tensor, np.ndarray)) and weight_decay.ndim:
            each = torch.as_tensor(weight_decay).cpu().double()
            if each.shape != self._point.shape or not bool(((each >= 0) & each.isfinite()).all()):
                raise UsageError(
                    f"weight_decay of shape {tuple(each.shape)} must be one number, or one of at least 0 for each of "
                    f"the {len(self._point)} parameters"
                )
            self.name = "loss with weight decay"
        else:
            value = check_not_negative("weight_decay", weight_decay)
            each = torch.full_like(self._point, value)
            self.name = f"loss + ½λ‖θ‖², λ = {format_value(value)}"
        self._each = each
        weighed = each[:, None] * columns
        self._constant = float(self._point @ (each * self._point)) / 2
        self._linear = (weighed.T @ self._point).numpy()
        self._square = (columns.T @ weighed).numpy()

    def on_grid(self, axes: tuple[np.ndarray, ...]) -> np.ndarray:
        """At x along a line, (M,), or at (y, x) on a plane, (Y, X)."""
        steps = np.stack(np.meshgrid(*axes[::-1]), axis=-1) if len(axes) == 2 else axes[0][:, None]
        found = self._constant + steps @ self._linear + np.einsum("...i,ij,...j->...", steps, self._square, steps) / 2
        return np.asarray(found)

    def at(self, theta: Tensor) -> float:
        """At any θ."""
        theta = theta.cpu().double()
        return float(theta @ (self._each * theta)) / 2
