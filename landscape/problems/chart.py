"""The plane of a problem's own variable, on which all ways to treat it can be drawn together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn


@dataclass(frozen=True)
class Chart:
    """A picture that a problem of two variables has, however its model is parametrised.

    Attributes
    ----------
    axes : (str, str)
        What the two variables are called.
    place : callable
        ``place(model) -> (2,) tensor``, where a model stands.
    loss : callable
        ``loss(points (M, 2)) -> (M,)``, what is to be minimised, without what a way to treat the constraint adds.
    room : callable
        ``room(points (M, 2)) -> (M,)``: 0 on the boundary of the constraint, positive where it holds.
    solution : (float, float)
        Where the loss is least among the points at which the constraint holds.
    """

    axes: tuple[str, str]
    place: Callable[[nn.Module], Tensor]
    loss: Callable[[Tensor], Tensor]
    room: Callable[[Tensor], Tensor]
    solution: tuple[float, float]
