"""The loss of each example of a chunk from its outputs, and which of them are of a kind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from landscape.device import widened
from landscape.objective.batches.containers import Column
from landscape.objective.functional import Parts

#: Roundings by which a loss that is had in two ways may differ, relative to it.
ROUNDINGS = 1e3


class NotDrawn(Exception):
    """Some of the examples do not stand for all, or would have to be most of them."""


@dataclass(frozen=True)
class Each:
    """Of each example.

    Attributes
    ----------
    losses : (N,) array
    kinds : (N,) array of int
        Which output the loss would have grow most: of a cross-entropy the class that is right, wherever θ is.
    """

    losses: np.ndarray
    kinds: np.ndarray

    @classmethod
    def joined(cls, several: Sequence[Each]) -> Each:
        """One after the other."""
        return cls(np.concatenate([one.losses for one in several]), np.concatenate([one.kinds for one in several]))


def of_each(parts: Parts, index: int, outputs: Tensor, loss: float) -> Each:
    """Of a chunk with these outputs and this loss, within ``parts.borrowed()``, by one batched call.

    Raises
    ------
    NotDrawn
        Where outputs do not have a row for each example, or the loss is not the mean of what it is of each.
    """
    leaves, spec = pytree.tree_flatten(parts.chunk(index))
    own = [leaf for leaf in leaves if isinstance(leaf, Tensor) and leaf.ndim]
    if any(len(leaf) != len(outputs) for leaf in own) or any(isinstance(leaf, Column) for leaf in leaves):
        raise NotDrawn("outputs do not have one row for each example")

    def of_one(output: Tensor, *rows: Tensor) -> Tensor:
        rest = iter(row[None] for row in rows)
        batch = [next(rest) if isinstance(leaf, Tensor) and leaf.ndim else leaf for leaf in leaves]
        return parts.loss_of(output[None], pytree.tree_unflatten(batch, spec))

    try:
        slopes, losses = torch.func.vmap(torch.func.grad_and_value(of_one))(outputs, *own)
    except Exception as error:  # whatever a loss does that has no batched form
        raise NotDrawn("the loss of each example cannot be had") from error
    found = widened(losses.detach()).cpu().numpy()
    eps = torch.finfo(outputs.dtype).eps
    if not abs(found.mean() - loss) <= ROUNDINGS * eps * (np.abs(found).mean() + abs(loss)):
        raise NotDrawn("the loss is no mean over examples")
    return Each(found, slopes.detach().reshape(len(outputs), -1).argmin(1).cpu().numpy())
