"""The one place where estimators multiply: every matvec is counted, checked for NaN and reported."""

from __future__ import annotations

from typing import Any

import torch

from landscape.errors import LandscapeError
from landscape.estimators.vectors import Slices, column_norms
from landscape.operators import as_operator
from landscape.progress import Progress

#: Columns multiplied at once: more repay little, and a product's working memory grows with them.
BLOCK_COLUMNS = 16
#: Ranks that hold bases in slices multiply no more columns at once than take so many bytes, or one.
BLOCK_BYTES = 2**30


class Matvecs:
    """An operator with a budget.

    Parameters
    ----------
    H : LinearOperator, or what `as_operator` takes
    maximum : int
        Matvecs that may be made.
    progress : callable, optional
        Called as ``progress(done, maximum)`` after each matvec, or after each block of them.
    slices : Slices, optional
        How bases lie on ranks, where another operator than this one says it.

    Attributes
    ----------
    done : int
        Matvecs made.
    scale : float
        Largest ``‖Hv‖/‖v‖`` seen: a lower bound of ``‖H‖``.
    slices : Slices
        Of whoever iterates: in slices where ranks make each product together, and so are all here.
    """

    def __init__(self, H: Any, maximum: int, progress: Progress | None = None, *, slices: Slices | None = None) -> None:
        self.operator, self.maximum, self._progress = as_operator(H), maximum, progress
        self.slices = Slices(self.operator.dim, self.operator.group) if slices is None else slices
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
        return self._checked(v[:, None], (self.operator @ v)[:, None])[:, 0]

    @property
    def at_once(self) -> int:
        """Columns to multiply at once: 16, or as many as fit where ranks hold slices of them."""
        if self.slices.is_whole:
            return BLOCK_COLUMNS
        itemsize = torch.empty(0, dtype=self.operator.dtype).element_size()
        return max(1, min(BLOCK_COLUMNS, BLOCK_BYTES // (self.operator.dim * itemsize)))

    def in_slices(self, V: torch.Tensor) -> torch.Tensor:
        """The same of a vector (p,) or columns (p, K) in slices; the vectors are whole while they are multiplied."""
        slices = self.slices
        if V.ndim == 1:
            return slices.own(self(slices.whole(V)))
        if slices.is_whole:
            return self.block(V)
        W = torch.empty_like(V)
        for first in range(0, V.shape[1], self.at_once):
            columns = slice(first, first + self.at_once)
            W[:, columns] = slices.own(self.block(slices.whole(V[:, columns])))
        return W

    def block(self, V: torch.Tensor) -> torch.Tensor:
        """``H V`` for the K columns of V (P, K), ``BLOCK_COLUMNS`` (16) of them at a time; counts K matvecs.

        Raises
        ------
        LandscapeError
            If a product holds NaN or Inf.
        """
        if V.shape[1] <= BLOCK_COLUMNS:
            return self._checked(V, self.operator @ V) if V.shape[1] else V.clone()
        W = torch.empty_like(V)
        for first in range(0, V.shape[1], BLOCK_COLUMNS):
            columns = V[:, first : first + BLOCK_COLUMNS]
            W[:, first : first + BLOCK_COLUMNS] = self._checked(columns, self.operator @ columns)
        return W

    def _checked(self, V: torch.Tensor, W: torch.Tensor) -> torch.Tensor:
        """The products W = HV (P, K), after they are counted, looked through for NaN, measured and reported."""
        finite = torch.isfinite(W).all(dim=0)
        if not bool(finite.all()):
            column = int((~finite).nonzero()[0, 0])
            bad = int((~torch.isfinite(W[:, column])).sum())
            self.done += column + 1
            raise LandscapeError(
                f"matvec {self.done} gave NaN or Inf in {bad} of {W.shape[0]} entries. Check the loss and its gradient "
                "at this point; where they are finite, try float64"
            )
        self.done += W.shape[1]
        sizes, images = column_norms(V), column_norms(W)
        if bool((sizes > 0).any()):
            self.scale = max(self.scale, float((images[sizes > 0] / sizes[sizes > 0]).max()))
        if self._progress is not None:
            self._progress(self.done, self.maximum)
        return W
