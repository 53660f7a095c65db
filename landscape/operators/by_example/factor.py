"""The curvature of the loss by a chunk's outputs, as columns s with B = Σ ± s sᵀ: all of them, or drawn."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from landscape.device import widened
from landscape.errors import ObjectiveError
from landscape.operators.by_example.layers import rows_of
from landscape.operators.likelihood import Bernoulli, Categorical, Gaussian, Likelihood, curvature_times

#: Outputs of one example whose curvature is written out, for a loss that is no likelihood.
MOST_WRITTEN_OUT = 64
LossOf = Callable[[Tensor], Tensor]
#: Numbers in [0, 1) of a shape (m, …), float64.
Uniform = Callable[[tuple[int, ...]], Tensor]


class Factor(ABC):
    """B of a chunk's mean loss, block by block for its examples; outputs are (m, …).

    Parameters
    ----------
    loss_of
        The chunk's mean loss as a function of its outputs.
    f
        The outputs, without a graph.
    """

    def __init__(self, loss_of: LossOf, f: Tensor) -> None:
        self.f = f

    @abstractmethod
    def sizes(self) -> Tensor:
        """tr B of each example, or of its absolute value, float64 (m,): how much of the trace can be there."""

    @abstractmethod
    def columns(self) -> Iterator[tuple[Tensor, Tensor]]:
        """All columns: cotangents (m, …), one for each example at a time, and their signs (m,)."""

    @property
    @abstractmethod
    def num_columns(self) -> int:
        """How many that is."""

    @abstractmethod
    def draw(self, uniform: Uniform) -> tuple[Tensor, Tensor]:
        """A random cotangent for each example, and its sign: ``E ± u uᵀ = B``; by one call of ``uniform``."""


class OfCategories(Factor):
    """Softmax: ``s_c = √(w p_c) (e_c − p)`` of each unit.

    One column of each unit is drawn by its size, which is then that of all columns, with a random sign for each unit:
    where two classes are left over, both columns are along one line, and nothing is left to chance.
    """

    def __init__(self, loss_of: LossOf, f: Tensor, likelihood: Categorical) -> None:
        super().__init__(loss_of, f)
        self._axis = likelihood.axis
        weights = likelihood.weights(loss_of, f).clamp_min(0)
        self._p = f.movedim(self._axis, -1).softmax(-1)
        #: ‖e_c − p‖² = 1 − 2p_c + ‖p‖², written so that nothing cancels where p_c is near 1.
        away = (1 - self._p) ** 2 + (self._p.square().sum(-1, keepdim=True) - self._p.square()).clamp_min(0)
        self._of_column = weights[..., None] * self._p * away
        self._away, self._weights = away, weights

    def sizes(self) -> Tensor:
        return rows_of(widened(self._of_column)).sum(1).cpu()

    @property
    def num_columns(self) -> int:
        return int(self._p[0].numel())

    def columns(self) -> Iterator[tuple[Tensor, Tensor]]:
        ones = torch.ones(len(self.f), dtype=self.f.dtype, device=self.f.device)
        units = self._p[0].shape[:-1]
        for place in np.ndindex(*units, self._p.shape[-1]):
            *unit, label = place
            where = (slice(None), *unit)
            column = torch.zeros_like(self._p)
            towards = -self._p[where]
            towards[:, label] += 1
            column[where] = (self._weights[where] * self._p[(*where, label)]).sqrt()[:, None] * towards
            yield column.movedim(-1, self._axis), ones

    def draw(self, uniform: Uniform) -> tuple[Tensor, Tensor]:
        heights = widened(self._of_column).cpu().cumsum(-1)
        total = heights[..., -1:]
        place, side = uniform((*total.shape[:-1], 2)).split(1, dim=-1)
        labels = torch.searchsorted(heights, place * total, right=True).clamp_max(heights.shape[-1] - 1)
        labels, signs = labels.to(self.f.device), _signs(side).to(self.f)
        length = (total.to(self.f) / self._away.gather(-1, labels).clamp_min(torch.finfo(self.f.dtype).tiny)).sqrt()
        towards = (-self._p).scatter_add(-1, labels, torch.ones_like(signs))
        ones = torch.ones(len(self.f), dtype=self.f.dtype, device=self.f.device)
        return (signs * length * towards).movedim(-1, self._axis), ones


class ByElements(Factor):
    """Squared error and logits of yes or no: B is diagonal."""

    def __init__(self, loss_of: LossOf, f: Tensor, likelihood: Likelihood) -> None:
        super().__init__(loss_of, f)
        ones = torch.ones_like(f)[None]
        self._roots = (likelihood.weights(loss_of, f).clamp_min(0) * likelihood.information(f, ones)[0]).sqrt()

    def sizes(self) -> Tensor:
        return rows_of(widened(self._roots).square()).sum(1).cpu()

    @property
    def num_columns(self) -> int:
        return int(self._roots[0].numel())

    def columns(self) -> Iterator[tuple[Tensor, Tensor]]:
        ones = torch.ones(len(self.f), dtype=self.f.dtype, device=self.f.device)
        for place in np.ndindex(*self._roots.shape[1:]):
            column = torch.zeros_like(self._roots)
            column[(slice(None), *place)] = self._roots[(slice(None), *place)]
            yield column, ones

    def draw(self, uniform: Uniform) -> tuple[Tensor, Tensor]:
        signs = _signs(uniform(tuple(self._roots.shape))).to(self.f)
        ones = torch.ones(len(self.f), dtype=self.f.dtype, device=self.f.device)
        return signs * self._roots, ones


class WrittenOut(Factor):
    """Any loss of few outputs for each example: the eigenvectors of B, and signs where it is not convex."""

    def __init__(self, loss_of: LossOf, f: Tensor) -> None:
        super().__init__(loss_of, f)
        width = int(f[0].numel())
        if width > MOST_WRITTEN_OUT:
            raise ObjectiveError(
                f"the loss has no curvature of a known likelihood, and {width} outputs for each example are too many "
                f"to write it out (at most {MOST_WRITTEN_OUT})"
            )
        rows = []
        for place in np.ndindex(*f.shape[1:]):
            unit = torch.zeros_like(f)
            unit[(slice(None), *place)] = 1
            rows.append(rows_of(curvature_times(loss_of, f, unit)))
        matrix = widened(torch.stack(rows, dim=1)).cpu()
        self._values, self._vectors = torch.linalg.eigh((matrix + matrix.mT) / 2)

    def sizes(self) -> Tensor:
        sizes: Tensor = self._values.abs().sum(1)
        return sizes

    @property
    def num_columns(self) -> int:
        return int(self._values.shape[1])

    def columns(self) -> Iterator[tuple[Tensor, Tensor]]:
        for k in range(self.num_columns):
            yield self._column(torch.full((len(self.f),), k), torch.ones(len(self.f), dtype=torch.float64))

    def draw(self, uniform: Uniform) -> tuple[Tensor, Tensor]:
        heights = self._values.abs().cumsum(1)
        u = uniform((len(self.f), 1))
        chosen = torch.searchsorted(heights, u * heights[:, -1:], right=True).clamp_max(self.num_columns - 1)[:, 0]
        size = self._values.abs().gather(1, chosen[:, None])[:, 0]
        share = size / heights[:, -1].clamp_min(torch.finfo(torch.float64).tiny)
        return self._column(chosen, share.clamp_min(torch.finfo(torch.float64).tiny).rsqrt())

    def _column(self, chosen: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
        values = self._values.gather(1, chosen[:, None])
        vectors = self._vectors.gather(2, chosen[:, None, None].expand(-1, self._vectors.shape[1], 1))[..., 0]
        column = vectors * values.abs().sqrt() * scale[:, None]
        return column.reshape(self.f.shape).to(self.f), values[:, 0].sign().to(self.f)


def _signs(uniform: Tensor) -> Tensor:
    """±1 with equal chance."""
    return torch.where(uniform < 0.5, -1.0, 1.0)


def maker(loss_of: LossOf, f: Tensor) -> Callable[[LossOf, Tensor], Factor]:
    """How B is taken apart, from the loss's own second derivative on some outputs."""
    candidates: list[tuple[Likelihood, Any]] = [
        (Categorical(axis), OfCategories) for axis in dict.fromkeys((-1, 1 - f.ndim)) if f.ndim > 1
    ]
    candidates += [(Gaussian(), ByElements), (Bernoulli(), ByElements)]
    for likelihood, kind in candidates:
        if f.ndim > 1 and f.shape[getattr(likelihood, "axis", -1)] == 1 and kind is OfCategories:
            continue
        if likelihood.explains(loss_of, f):
            return lambda loss, outputs: kind(loss, outputs, likelihood)  # returned at once
    WrittenOut(loss_of, f)
    return WrittenOut
