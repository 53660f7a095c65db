"""The gradient recorded once as a linear map, shared by all chunks of one shape; compiled where that repays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from landscape.hvp.product import LossParts, distinct_bytes, each_column
from landscape.hvp.tracing import TracedProduct, signature, tensors_of, trace

BLOCKS = (16, 8, 4)  # columns multiplied at once, where that is asked for
CHANNELS_LAST, IN_BLOCKS = "channels-last", "blocks-"  # what may follow the name of a route

Map = Callable[..., Sequence[Tensor]]


class Kernels:
    """Traced products by the shape of the chunk, and their compiled forms; they hold for every θ of an objective."""

    def __init__(self, *, compiled: bool = False, channels_last: bool = False) -> None:
        self.compiled, self.channels_last = compiled, channels_last
        self._traced: dict[Any, TracedProduct] = {}
        self._maps: dict[Any, Map] = {}
        self._most_common: Any = None

    def arranged(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Tensors in the memory format of these kernels; images and filters have four axes."""
        if not self.channels_last:
            return [t.contiguous() for t in tensors]
        return [t.contiguous(memory_format=torch.channels_last) if t.ndim == 4 else t.contiguous() for t in tensors]

    def of(self, parts: LossParts, index: int, tensors: Sequence[Tensor]) -> TracedProduct:
        """The traced product for a chunk."""
        key = signature(parts.chunk(index), parts.held)
        if key not in self._traced:
            self._traced[key] = trace(parts, index, tensors)
        self._most_common = self._most_common or key
        return self._traced[key]

    @property
    def one_point(self) -> bool:
        """Whether a recording is of the point it was made at alone."""
        return any(traced.one_point for traced in self._traced.values())

    @property
    def count(self) -> int:
        """How many recordings there are."""
        return len(self._traced)

    def blank(self) -> Kernels:
        """Of the same kind, with nothing recorded."""
        return Kernels(compiled=self.compiled, channels_last=self.channels_last)

    def residuals(self, parts: LossParts, index: int, tensors: Sequence[Tensor]) -> tuple[tuple[Tensor, ...], Tensor]:
        """What the linear map of a chunk needs, computed anew, and the loss that was recorded along the way.

        Tensors of the chunk's own storage are shared where they can.
        """
        data = self.arranged(tensors_of(parts.chunk(index)))
        return self.of(parts, index, tensors).run(tensors, parts.held, data)

    def apply(self, parts: LossParts, index: int, directions: Sequence[Tensor], kept: Sequence[Tensor]) -> Tensor:
        """The product of a chunk with one vector, (P,), or with K at once, (K, P)."""
        key = signature(parts.chunk(index), parts.held)
        columns = len(directions[0]) if directions[0].ndim > len(parts.layout.shapes[0]) else None
        if (key, columns) not in self._maps:
            traced = self._traced[key]
            plain = traced.tangent if columns is None else traced.blocked(directions, kept)
            self._maps[key, columns] = self._compile(plain) if self.compiled and key == self._most_common else plain
        pieces = self._maps[key, columns](*directions, *kept)
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
        Whether the residuals of all chunks are kept. Else each product computes them anew, chunk by chunk, for one
        gradient more; a block of vectors computes them once.
    block_size : int or None
        Columns multiplied at once; None where one after another is faster.
    """

    def __init__(
        self,
        parts: LossParts,
        theta: Tensor,
        *,
        kernels: Kernels | None = None,
        keep: bool = True,
        block_size: int | None = None,
    ) -> None:
        self.parts, self.keep, self.block_size = parts, keep, block_size
        self.kernels = kernels or Kernels()
        with parts.borrowed():
            self.tensors = self.kernels.arranged([t.clone() for t in parts.layout.split(theta)])
            indices = range(len(parts.shares))
            found = [self.kernels.residuals(parts, i, self.tensors) for i in indices] if keep else []
        self._kept = [kept for kept, _ in found] if keep else None
        self._losses = [loss for _, loss in found]

    @property
    def name(self) -> str:
        """The route, as it can be asked for again."""
        words = ["compiled"] if self.kernels.compiled else []
        base = "-".join(words + ([] if self.keep else ["forward"])) or "linearized"
        layout = [CHANNELS_LAST] if self.kernels.channels_last else []
        return "/".join([base, *layout, *([f"{IN_BLOCKS}{self.block_size}"] if self.block_size else [])])

    def __call__(self, v: Tensor) -> Tensor:
        return self._sum(self.kernels.arranged(self.parts.layout.split(v)), v.shape)

    def block(self, V: Tensor) -> Tensor:
        """The products with the columns of V (P, K)."""
        if self.block_size is None:
            return each_column(self, V)
        out = torch.empty_like(V)
        first = 0
        while first < V.shape[1]:
            left = V.shape[1] - first
            size = next((b for b in BLOCKS if b <= min(left, self.block_size)), 1)
            part = V[:, first : first + size]
            out[:, first : first + size] = self.together(part) if size > 1 else self(part[:, 0]).unsqueeze(1)
            first += size
        return out

    def together(self, V: Tensor) -> Tensor:
        """All columns at once, (P, K)."""
        rows = V.T.contiguous()
        return self._sum(self.parts.layout.split_rows(rows), rows.shape).T

    def _sum(self, directions: Sequence[Tensor], shape: torch.Size) -> Tensor:
        with self.parts.borrowed(), torch.no_grad():
            out = directions[0].new_zeros(shape)  # made here, where the caller's inference mode does not reach
            for index, share in enumerate(self.parts.shares):
                kept = self._kept[index] if self._kept else self._residuals(index)[0]
                out.add_(self.kernels.apply(self.parts, index, directions, kept), alpha=share)
        return out

    def _residuals(self, index: int) -> tuple[tuple[Tensor, ...], Tensor]:
        return self.kernels.residuals(self.parts, index, self.tensors)

    def losses(self) -> list[tuple[float, float]]:
        """The loss of every chunk, as the recording has it and as the model gives it."""
        with self.parts.borrowed():
            indices = range(len(self.parts.shares))
            with torch.no_grad():
                recorded = self._losses or [self._residuals(i)[1] for i in indices]
            return [(float(recorded[i]), self.parts.value(i, self.tensors)) for i in indices]

    def loss_at(self, theta: Tensor) -> tuple[float, float]:
        """The same of the first chunk at another point."""
        with self.parts.borrowed(), torch.no_grad():
            tensors = self.kernels.arranged([t.clone() for t in self.parts.layout.split(theta)])
            recorded = self.kernels.residuals(self.parts, 0, tensors)[1]
            return float(recorded), self.parts.value(0, tensors)

    @property
    def kept_bytes(self) -> int:
        """Memory of the residuals."""
        return distinct_bytes([t for kept in self._kept or [] for t in kept])
