"""The gradient recorded once as a linear map, shared by all chunks of one shape; compiled where that repays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from landscape.errors import ObjectiveError
from landscape.hvp.product import LossParts, distinct_bytes
from landscape.hvp.tracing import TracedProduct, signature, tensors_of, trace

BLOCKS = (16, 8, 4)  # columns multiplied at once, where that is asked for
#: Ways in which a model may go by the values of its data, on chunks of one shape: each is recorded by itself.
MOST_COURSES = 8
CHANNELS_LAST, IN_BLOCKS = "channels-last", "blocks-"  # what may follow the name of a route

Map = Callable[..., Sequence[Tensor]]


@dataclass(frozen=True)
class Residuals:
    """What the linear map of a chunk needs, which map it is, and the loss that was recorded along the way."""

    traced: TracedProduct
    kept: tuple[Tensor, ...]
    loss: Tensor


class Kernels:
    """Traced products by the shape of the chunk and by the course that the model takes on it, and their compiled forms;
    they hold for every θ of an objective."""

    def __init__(self, *, compiled: bool = False, channels_last: bool = False) -> None:
        self.compiled, self.channels_last = compiled, channels_last
        self._traced: dict[Any, list[TracedProduct]] = {}
        self._maps: dict[Any, Map] = {}
        self._first: TracedProduct | None = None

    def arranged(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Tensors in the memory format of these kernels; images and filters have four axes."""
        if not self.channels_last:
            return [t.contiguous() for t in tensors]
        return [t.contiguous(memory_format=torch.channels_last) if t.ndim == 4 else t.contiguous() for t in tensors]

    def of(self, parts: LossParts, index: int, tensors: Sequence[Tensor], data: Sequence[Tensor]) -> TracedProduct:
        """The traced product for a chunk whose tensors, arranged, are ``data``.

        Raises
        ------
        ObjectiveError
            If the model decides by values of θ, or in too many ways by those of its data.
        """
        known = self._traced.setdefault(signature(parts.chunk(index), parts.held), [])
        for traced in known:
            if traced.course.is_taken(parts.held, data):
                return traced
        if len(known) == MOST_COURSES:
            raise ObjectiveError(
                f"the model decides by the values of its data in more than {MOST_COURSES} ways (an if, or .item(), on "
                "a mask or on lengths), and each would have to be recorded"
            )
        known.append(trace(parts, index, tensors))
        if not known[-1].course.is_taken(parts.held, data):
            raise ObjectiveError("the model decides by its data, and a recording of what decides does not repeat it")
        self._first = self._first or known[-1]
        return known[-1]

    @property
    def one_point(self) -> bool:
        """Whether a recording is of the point it was made at alone."""
        return any(traced.one_point for known in self._traced.values() for traced in known)

    @property
    def count(self) -> int:
        """How many recordings there are."""
        return sum(map(len, self._traced.values()))

    def blank(self) -> Kernels:
        """Of the same kind, with nothing recorded."""
        return Kernels(compiled=self.compiled, channels_last=self.channels_last)

    def residuals(self, parts: LossParts, index: int, tensors: Sequence[Tensor]) -> Residuals:
        """What the linear map of a chunk needs, computed anew.

        Tensors of the chunk's own storage are shared where they can.
        """
        data = self.arranged(tensors_of(parts.chunk(index)))
        traced = self.of(parts, index, tensors, data)
        return Residuals(traced, *traced.run(tensors, parts.held, data))

    def apply(self, parts: LossParts, directions: Sequence[Tensor], residuals: Residuals) -> Tensor:
        """The product of a chunk with one vector, (P,), or with K at once, (K, P)."""
        traced, kept = residuals.traced, residuals.kept
        columns = len(directions[0]) if directions[0].ndim > len(parts.layout.shapes[0]) else None
        if (traced, columns) not in self._maps:
            plain = traced.tangent if columns is None else traced.blocked(directions, kept)
            self._maps[traced, columns] = self._compile(plain) if self.compiled and traced is self._first else plain
        pieces = self._maps[traced, columns](*directions, *kept)
        if columns is None:
            return torch.cat([piece.reshape(-1) for piece in pieces])
        return torch.cat([piece.reshape(columns, -1) for piece in pieces], dim=1)

    @staticmethod
    def _compile(graph: torch.fx.GraphModule) -> Map:
        # Chunks of another shape stay uncompiled: each compilation costs tens of seconds.
        compiled: Map = torch.compile(graph, dynamic=False, fullgraph=True)
        return compiled


class Linearized:
    """Forward mode over reverse, recorded once: about 0.8-1.5 gradients a product, the memory of kept graphs.

    Convolutions gain most: their double backward runs on slow kernels, their tangents on the fast ones. Recording costs
    seconds once, for all chunks. Not every operation has a forward mode.

    Parameters
    ----------
    parts, theta
        L and the point.
    kernels : Kernels, optional
        Of another point of the same objective, to be used again.
    keep : bool
        Whether the residuals of all chunks are kept. Else they are computed anew, chunk by chunk, for one gradient
        more: by each product, and once by a block of vectors.
    block_size : int or None
        Columns multiplied at once; None where one after another is faster.
    first : Residuals, optional
        Of the first chunk, where they are known.
    memory : int, optional
        Bytes beyond which nothing is kept after all, as far as the first chunk tells: the numbers are the same.
    """

    def __init__(
        self,
        parts: LossParts,
        theta: Tensor,
        *,
        kernels: Kernels | None = None,
        keep: bool = True,
        block_size: int | None = None,
        first: Residuals | None = None,
        memory: int | None = None,
    ) -> None:
        self.parts, self.block_size = parts, block_size
        self.kernels = kernels or Kernels()
        with parts.borrowed():
            self.tensors = self.kernels.arranged([t.clone() for t in parts.layout.split(theta)])
            self._kept = self._all_residuals(first, memory) if keep else None
        self.keep = self._kept is not None

    def _all_residuals(self, first: Residuals | None, memory: int | None) -> list[Residuals] | None:
        """Those of every chunk, in order; None where they would take more than ``memory``."""
        kept = [first or self.kernels.residuals(self.parts, 0, self.tensors)]
        if memory is not None and distinct_bytes(kept[0].kept) > memory * self.parts.shares[0]:
            return None
        indices = range(1, len(self.parts.shares))
        return [*kept, *(self.kernels.residuals(self.parts, i, self.tensors) for i in indices)]

    @property
    def name(self) -> str:
        """The route, as it can be asked for again."""
        words = ["compiled"] if self.kernels.compiled else []
        base = "-".join(words + ([] if self.keep else ["forward"])) or "linearized"
        layout = [CHANNELS_LAST] if self.kernels.channels_last else []
        return "/".join([base, *layout, *([f"{IN_BLOCKS}{self.block_size}"] if self.block_size else [])])

    def __call__(self, v: Tensor) -> Tensor:
        return self.block(v[:, None])[:, 0]

    def of_chunk(self, index: int, v: Tensor) -> Tensor:
        """The product of one chunk's Hessian, without its share."""
        product = self.on_chunk(index, v)[1]
        assert product is not None
        return product

    def block(self, V: Tensor) -> Tensor:
        """The products with the columns of V (P, K); what the map of a chunk needs is had once for all of them."""
        return self._multiply(V, self._groups(V.shape[1]))

    def together(self, V: Tensor) -> Tensor:
        """All columns at once, (P, K)."""
        return self._multiply(V, [slice(0, V.shape[1])])

    def _multiply(self, V: Tensor, groups: Sequence[slice]) -> Tensor:
        rows = V.T.contiguous()
        with self.parts.borrowed(), torch.no_grad():
            directions = [self._directions(rows[group]) for group in groups]
            out = directions[0][0].new_zeros(rows.shape)  # made here, where the caller's inference mode does not reach
            for index, share in enumerate(self.parts.shares):
                residuals = self._residuals(index)
                for group, pieces in zip(groups, directions, strict=True):
                    product = self.kernels.apply(self.parts, pieces, residuals)
                    out[group].add_(product.view_as(out[group]), alpha=share)
        return out.T

    def _groups(self, count: int) -> list[slice]:
        """The columns that are multiplied at once."""
        groups, first = list[slice](), 0
        while first < count:
            most = min(count - first, self.block_size or 1)
            size = next((b for b in BLOCKS if b <= most), 1)
            groups.append(slice(first, first + size))
            first += size
        return groups

    def _directions(self, rows: Tensor) -> Sequence[Tensor]:
        """One vector, as it is alone, in a storage of its own, or several, by tensors."""
        if len(rows) == 1:
            return self.kernels.arranged(self.parts.layout.split(rows[0].clone()))
        return self.parts.layout.split_rows(rows)

    def _residuals(self, index: int) -> Residuals:
        return self._kept[index] if self._kept else self.kernels.residuals(self.parts, index, self.tensors)

    def on_chunk(self, index: int, v: Tensor | None) -> tuple[Residuals, Tensor | None]:
        """What the map of a chunk needs, and its product with one vector, where one is given."""
        with self.parts.borrowed(), torch.no_grad():
            residuals = self._residuals(index)
            if v is None:
                return residuals, None
            return residuals, self.kernels.apply(self.parts, self._directions(v[None]), residuals)

    @property
    def first(self) -> Residuals | None:
        """The residuals of the first chunk, where they are kept."""
        return self._kept[0] if self._kept else None

    def losses(self) -> list[tuple[float, float]]:
        """The loss of every chunk, as the recording has it and as the model gives it."""
        with self.parts.borrowed():
            indices = range(len(self.parts.shares))
            with torch.no_grad():
                recorded = [self._residuals(i).loss for i in indices]
            return [(float(recorded[i]), self.parts.value(i, self.tensors)) for i in indices]

    def loss_at(self, theta: Tensor) -> tuple[float, float]:
        """The same of the first chunk at another point."""
        with self.parts.borrowed(), torch.no_grad():
            tensors = self.kernels.arranged([t.clone() for t in self.parts.layout.split(theta)])
            recorded = self.kernels.residuals(self.parts, 0, tensors).loss
            return float(recorded), self.parts.value(0, tensors)

    @property
    def kept_bytes(self) -> int:
        """Memory of the residuals."""
        return distinct_bytes([t for residuals in self._kept or [] for t in residuals.kept])
