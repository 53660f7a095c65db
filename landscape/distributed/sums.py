r"""Sums over ranks of what each makes from its part of the data, :math:`\sum_r w_r x_r`: one flat all-reduce each.

Behind the numbers summed, the buffer has a few places for each rank, where the others have zeros. So one exchange also
says whether a rank met an error, whether all ask for the same, and the losses in double precision whatever the buffer
holds; and nothing of it depends on the order in which ranks are added.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from landscape.distributed.agreeing import raise_first
from landscape.distributed.group import Group, current
from landscape.errors import LandscapeError

_PLACES = 8  # failed, which exchange (2), what was asked (2), a number in three pieces
_WORD = 1 << 24  # whole numbers below it are exact in float32

_APART = (
    "Likely causes: a script that draws random numbers or reads data differently on each rank (seed them alike; every "
    "rank is given all the data, without a DistributedSampler), or machines whose processors or libraries round "
    "differently"
)


@dataclass(frozen=True)
class Sums:
    """Adds up what ranks make from their parts of the data.

    Attributes
    ----------
    group : Group
    weight : float
        Of this rank's part in the whole; those of all ranks sum to 1.
    largest : float
        The largest of them.
    """

    group: Group
    weight: float
    largest: float = 1.0

    def number(self, compute: Callable[[], float], asked: Sequence[Tensor], kind: str) -> float:
        """The weighted sum of a number, in double precision."""
        nothing = torch.zeros(0, dtype=torch.float64)
        return self.with_number(lambda: (compute(), nothing), nothing, asked, kind)[0]

    def tensor(self, compute: Callable[[], Tensor], like: Tensor, asked: Sequence[Tensor], kind: str) -> Tensor:
        """The weighted sum of tensors of the shape, dtype and device of ``like``."""
        return self.with_number(lambda: (0.0, compute()), like, asked, kind)[1]

    def with_number(
        self, compute: Callable[[], tuple[float, Tensor]], like: Tensor, asked: Sequence[Tensor], kind: str
    ) -> tuple[float, Tensor]:
        """Both by one all-reduce.

        Parameters
        ----------
        compute : callable
            This rank's own, of its part of the data alone. What it raises is raised on every rank.
        like : Tensor
            Of the shape, dtype and device of the tensor that it gives.
        asked : sequence of Tensor
            What it depends on beside the data; the same on every rank.
        kind : str
            What it is, for messages.

        Raises
        ------
        LandscapeError
            If ranks ask for different things, or one asks within :func:`~landscape.distributed.alone`.
        """
        if current() is None:
            raise LandscapeError(
                f"{kind} of what all ranks made together was asked for within distributed.alone(); make the operator "
                "anew there"
            )
        error: Exception | None = None
        number, made = 0.0, None
        said = [(self.group.count + 1) % _WORD, zlib.crc32(kind.encode()) % _WORD, *_halves(checksum(asked))]
        try:
            number, made = compute()
        except Exception as raised:
            error = raised
        with torch.inference_mode(False), torch.no_grad():
            size, world = like.numel(), self.group.world
            buffer = torch.zeros(size + world * _PLACES, dtype=like.dtype, device=like.device)
            if made is not None:
                torch.mul(made.reshape(-1), self.weight, out=buffer[:size])
            row = [float(error is not None), *said, *_pieces(self.weight * number)]
            places = buffer[size:].view(world, _PLACES)
            places[self.group.rank] = torch.tensor(row, dtype=torch.float64).to(buffer)
            self.group.sum_(buffer, kind)
            rows = places.double().tolist()
            summed = buffer[:size].view(like.shape)
        if any(one[0] for one in rows):
            raise_first(self.group, error, kind)
        self._check(rows, kind)
        return sum(_joined(one[5:]) for one in rows), summed

    def _check(self, rows: list[list[float]], kind: str) -> None:
        other = next((rank for rank, row in enumerate(rows) if row[1:5] != rows[0][1:5]), None)
        if other is None:
            return
        what = "another call" if rows[other][1:3] != rows[0][1:3] else f"{kind} for other numbers"
        raise LandscapeError(f"the ranks came apart: rank {other} asks for {what} than rank 0. {_APART}")


def checksum(tensors: Sequence[Tensor]) -> int:
    """48 bits of the bits of tensors of floating-point numbers; a pass over them."""
    total = 0
    for tensor in tensors:
        whole = torch.int64 if tensor.dtype == torch.float64 else torch.int32
        bits = tensor.detach().view(whole).sum(dtype=torch.int64)
        total = total * 1_000_003 + int(bits)
    return total % _WORD**2


def _halves(number: int) -> tuple[int, int]:
    return number % _WORD, number // _WORD


def _pieces(number: float) -> list[float]:
    """A double as three numbers that float32 holds exactly."""
    first = float(torch.tensor(number, dtype=torch.float32))
    if not math.isfinite(first):
        return [first, 0.0, 0.0]
    second = float(torch.tensor(number - first, dtype=torch.float32))
    return [first, second, float(torch.tensor(number - first - second, dtype=torch.float32))]


def _joined(pieces: Sequence[float]) -> float:
    first, second, third = pieces
    return first + second + third
