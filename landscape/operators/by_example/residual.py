"""R = H − G: the second derivative of ⟨∂ℓ/∂z, z(θ)⟩ with the slope ∂ℓ/∂z held fixed, as a loss of its own."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from landscape.device import widened
from landscape.objective.batches import count_examples
from landscape.objective.functional import Parts
from landscape.operators.by_example.drawing import Drawn
from landscape.operators.by_example.gradients import single_output

#: Bytes of slopes that are kept.
MOST_KEPT = 1 << 28


class ResidualParts:
    """``Σ shares[i] ⟨r_i, z_i(θ)⟩``, linear in the outputs; its Hessian is R. Slopes are those of the loss at θ.

    Parameters
    ----------
    parts : Parts
    theta : (P,) tensor
    drawn : Drawn, optional
        The same examples with the factors by which their slopes are multiplied, where they were not drawn alike. Its
        chunks may be larger, by whole ones of these: as many slopes are then made at once.
    """

    def __init__(self, parts: Parts, theta: Tensor, drawn: Drawn | None = None) -> None:
        self.parts, self.layout, self.shares = parts, parts.layout, list(parts.shares)
        self._drawn, self._point = drawn, parts.layout.split(theta)
        self._kept: dict[int, Tensor] = {}
        self._room = MOST_KEPT
        self.losses_seen: Sequence[float] | None = None  # those of L are none of it

    def slopes(self, index: int) -> Tensor:
        """r of a chunk: kept, or as long as there is no room for all (large vocabularies) made when asked for."""
        if index in self._kept:
            return self._kept[index]
        if self._drawn is not None:
            return self._of_drawn(self._drawn, index)
        with self.parts.borrowed():
            slopes = slope(self.parts, index, self._point)
        needed = slopes.numel() * slopes.element_size()
        if needed <= self._room:
            self._kept[index], self._room = slopes, self._room - needed
        return slopes

    def _of_drawn(self, drawn: Drawn, index: int) -> Tensor:
        """Made with those of the chunks beside it, which are kept until others are made."""
        size = count_examples(self.parts.chunk(0)) or 1
        place, first = divmod(index * size, drawn.chunk)
        with drawn.parts.borrowed():
            slopes = slope(drawn.parts, place, self._point)
        slopes = slopes * drawn.factors[place].to(slopes).reshape(-1, *[1] * (slopes.ndim - 1))
        self._kept = dict(enumerate(slopes.split(size), index - first // size))
        return self._kept[index]

    def chunk(self, index: int) -> Any:
        """The batch of chunk ``index`` with its slopes."""
        return self.parts.chunk(index), self.slopes(index)

    @property
    def held(self) -> Mapping[str, Tensor]:
        """What is fixed besides the data."""
        return self.parts.held

    def loss_on(self, chunk: Any, tensors: Sequence[Tensor], held: Mapping[str, Tensor] | None = None) -> Tensor:
        """⟨r, z(θ)⟩ of a chunk."""
        batch, slopes = chunk
        found: Tensor = (single_output(self.parts.outputs(batch, tensors, held)) * slopes).sum()
        return found

    def part(self, index: int, tensors: Sequence[Tensor]) -> Tensor:
        """The same of chunk ``index``."""
        return self.loss_on(self.chunk(index), tensors)

    def value(self, index: int, tensors: Sequence[Tensor]) -> float:
        """The same as a number."""
        with torch.no_grad():
            return float(self.part(index, tensors))

    def borrowed(self) -> AbstractContextManager[None]:
        """The state in which the model may be called."""
        return self.parts.borrowed()

    def in_double(self, *, lift: bool = False) -> ResidualParts:
        """The same in float64."""
        twin = copy.copy(self)
        twin.parts = self.parts.in_double(lift=lift)
        twin._point, twin._kept = [widened(t) for t in self._point], {}
        if self._drawn is not None:
            twin._drawn = replace(self._drawn, parts=self._drawn.parts.in_double(lift=lift))
        return twin


def slope(parts: Parts, index: int, tensors: Sequence[Tensor]) -> Tensor:
    """∂L_i/∂z of a chunk's mean loss, of the outputs' shape."""
    chunk = parts.chunk(index)
    with torch.no_grad():
        found = parts.outputs(chunk, tensors)
    single = single_output(found)
    return slope_at(lambda f: parts.loss_of(in_place_of(found, single, f), chunk), single)


def slope_at(loss_of: Callable[[Tensor], Tensor], f: Tensor) -> Tensor:
    """The gradient of a loss of outputs, at the outputs f; zero where it does not depend on them."""
    point = f.detach().clone().requires_grad_()
    with torch.enable_grad():
        loss = loss_of(point)
        if not loss.requires_grad:
            return torch.zeros_like(point)
        (slopes,) = torch.autograd.grad(loss, point)
    return slopes.detach()


def in_place_of(found: Any, single: Tensor, point: Tensor) -> Any:
    """The model's outputs with its one tensor exchanged."""
    return pytree.tree_map(lambda x: point if x is single else x, found)
