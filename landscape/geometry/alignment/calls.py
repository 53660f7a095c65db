"""One operation of a traced pass, with its arguments by name and the dimensions of its tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from torch import Tensor

from landscape.geometry.alignment.axes import Dim, length, tie

Dims = tuple[Dim, ...]


class Unknown(Exception):
    """A rule has nothing to say of this call: all its dimensions stay as they are."""


@dataclass(frozen=True)
class Mixing:
    """What is summed over, or compared, in an operation, and what is not.

    An axis that is kept cannot be permuted otherwise for each index of one that is mixed.
    """

    mixed: Dims
    kept: Dims


@dataclass(frozen=True)
class Tap:
    """A tensor that an operation mixes, as the next layer sees it: the operation's number, its argument, dimensions."""

    operation: int
    argument: str
    dims: Dims
    mixed: Dims


@dataclass
class Facts:
    """What a pass showed.

    Attributes
    ----------
    seen : list of dims
        Of every tensor.
    mixings, taps : lists
    asks_data, asks_theta : bool
        Whether the model read a number out of a tensor, as ``if x.sum() > 0`` does, of its data or of what hangs on θ.
    unknown : dict
        Operations without a rule that met something that might have been permuted, in order.
    """

    seen: list[Dims] = field(default_factory=list)
    mixings: list[Mixing] = field(default_factory=list)
    taps: list[Tap] = field(default_factory=list)
    asks_data: bool = False
    asks_theta: bool = False
    unknown: dict[str, None] = field(default_factory=dict)


class Known(Protocol):
    """Who knows the dimensions of tensors."""

    facts: Facts
    number: int

    def dims_of(self, tensor: Tensor) -> Dims: ...

    def comes_from_data(self, tensor: Tensor) -> bool: ...


@dataclass(frozen=True)
class Call:
    """An operation: its name, its arguments by name, and the tensors it gave."""

    name: str
    given: dict[str, Any]
    outs: tuple[Tensor, ...]
    trace: Known

    def __getitem__(self, argument: str) -> Any:
        return self.given[argument]

    def get(self, argument: str, default: Any = None) -> Any:
        """An argument, or what stands for one that is missing or None."""
        value = self.given.get(argument)
        return default if value is None else value

    def dims(self, argument: str) -> Dims:
        """Dimensions of a tensor that was given."""
        value = self.given.get(argument)
        if not isinstance(value, Tensor):
            raise Unknown
        return self.trace.dims_of(value)

    def place(self, dim: int, ndim: int) -> int:
        """A number of a dimension, counted from the front."""
        return dim % ndim if ndim else 0

    def mix(self, mixed: Sequence[Dim], kept: Sequence[Dim], *arguments: str) -> None:
        """Note what is mixed and what is kept, and in which arguments the former stands."""
        self.trace.facts.mixings.append(Mixing(tuple(mixed), tuple(kept)))
        for argument in arguments:
            tensor = self.given.get(argument)
            if isinstance(tensor, Tensor) and self.trace.comes_from_data(tensor):
                self.trace.facts.taps.append(Tap(self.trace.number, argument, self.trace.dims_of(tensor), tuple(mixed)))


def broadcast(several: Sequence[Dims], ndim: int) -> Dims:
    """The dimensions of what tensors make element by element; those that meet are permuted alike."""
    found: list[Dim] = []
    for from_right in range(ndim, 0, -1):
        meeting = [dims[-from_right] for dims in several if len(dims) >= from_right]
        longest = max(map(length, meeting), default=1)
        equal = [dim for dim in meeting if length(dim) == longest and longest != 1]
        for other in equal[1:]:
            tie(equal[0], other)
        found.append(equal[0] if equal else ())
    return tuple(found)
