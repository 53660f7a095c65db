"""The one place where estimators multiply: every matvec is counted, checked for NaN and reported."""

from __future__ import annotations

from collections.abc import Callable

import torch

from landscape.errors import LandscapeError, UsageError
from landscape.operators.base import LinearOperator

Progress = Callable[[int, int], None]


class Matvecs:
    """An operator with a budget.

    Parameters
    ----------
    H : LinearOperator
    maximum : int
        Matvecs that may be made.
    progress : callable, optional
        Called as ``progress(done, maximum)`` after each matvec.

    Attributes
    ----------
    done : int
        Matvecs made.
    scale : float
        Largest ``‖Hv‖/‖v‖`` seen: a lower bound of ``‖H‖``.
    """

    def __init__(self, H: LinearOperator, maximum: int, progress: Progress | None = None) -> None:
        if not isinstance(H, LinearOperator):
            raise UsageError(
                f"expected an operator, not {type(H).__name__}; wrap a symmetric matrix in MatrixOperator, "
                "an objective in HessianOperator"
            )
        self.operator, self.maximum, self._progress = H, maximum, progress
        self.done = 0
        self.scale = 0.0

    @property
    def left(self) -> int:
        """Matvecs still allowed."""
        return self.maximum - self.done

    def __call__(self, v: torch.Tensor) -> torch.Tensor:
        """``H v`` for v of shape (P,), in the operator's dtype, on its device.

        Raises
        ------
        LandscapeError
            If the product holds NaN or Inf.
        """
        w = self.operator @ v
        self.done += 1
        if not bool(torch.isfinite(w).all()):
            bad = int((~torch.isfinite(w)).sum())
            raise LandscapeError(
                f"matvec {self.done} gave NaN or Inf in {bad} of {w.numel()} entries. Check the loss and its gradient "
                "at this point; where they are finite, try float64"
            )
        size = norm(v)
        if size > 0:
            self.scale = max(self.scale, norm(w) / size)
        if self._progress is not None:
            self._progress(self.done, self.maximum)
        return w


def norm(v: torch.Tensor) -> float:
    """``‖v‖``, also where the squares of the entries would leave the range of the dtype."""
    largest = float(v.abs().max())
    if largest == 0:
        return 0.0
    return largest * float(torch.linalg.vector_norm(v / largest))


def dot(v: torch.Tensor, w: torch.Tensor) -> float:
    """``vᵀw`` summed in float64."""
    return float(torch.dot(v.cpu().to(torch.float64), w.cpu().to(torch.float64)))
