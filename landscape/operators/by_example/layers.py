"""Gradients of single examples by a layer's parameters, from what entered the layer and the gradient by what left it.

Each layer is a sum over positions t of an outer product, g_t a_tᵀ, or of a product by elements. So the squared norm of
an example's gradient, and the sum of its squares over examples, need no gradient per example to be formed where a
layer has one position (Goodfellow 2015), and none larger than a position squared where it has few (Rochette, Manoel &
Tramel 2019; Li, Tramèr, Liang & Hashimoto 2022, section 4).
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

#: Gradients of single examples that are formed at once, in numbers.
MOST_NUMBERS = 1 << 23


def rows_of(x: Tensor) -> Tensor:
    """(m, …) as (m, numbers of an example): one where an example has a number alone.

    >>> rows_of(torch.zeros(5)).shape, rows_of(torch.zeros(5, 2, 3)).shape
    (torch.Size([5, 1]), torch.Size([5, 6]))
    """
    return x.reshape(len(x), -1)


class Usage(ABC):
    """One call of a layer on m examples: the input it kept, and its output, which stands in the graph."""

    def __init__(self, output: Tensor, count: int) -> None:
        self.output, self.count = output, count

    @abstractmethod
    def per_example(self, name: str, g: Tensor) -> Tensor:
        """Gradients of the examples by a parameter, (m, *shape), from the gradient g by the output."""

    def norms(self, name: str, g: Tensor) -> Tensor:
        """Their squared norms, (m,)."""
        pieces = [rows_of(self.part(rows).per_example(name, g[rows])).square().sum(1) for rows in self.cuts(name, g)]
        return torch.cat(pieces)

    def squares(self, name: str, g: Tensor, signs: Tensor) -> Tensor:
        """Their squares by elements, summed over examples with these signs (m,); of the parameter's shape."""
        total: Tensor | None = None
        for rows in self.cuts(name, g):
            squares = self.part(rows).per_example(name, g[rows]).square_()
            piece = torch.tensordot(signs[rows], squares, 1)
            total = piece if total is None else total + piece
        assert total is not None
        return total

    @abstractmethod
    def size(self, name: str) -> int:
        """Numbers that the gradient of one example takes while it is formed."""

    @abstractmethod
    def part(self, rows: slice) -> Usage:
        """The same for some of the examples."""

    def cuts(self, name: str, g: Tensor) -> list[slice]:
        """Examples that are treated at once."""
        step = max(1, MOST_NUMBERS // max(self.size(name), 1))
        return [slice(first, min(first + step, len(g))) for first in range(0, len(g), step)]


class _OuterProducts(Usage):
    """``Σ_t g_t a_tᵀ`` and, for a bias, ``Σ_t g_t``: dense layers and convolutions."""

    def __init__(self, output: Tensor, count: int, shape: torch.Size) -> None:
        super().__init__(output, count)
        self._shape = shape

    @abstractmethod
    def entered(self) -> Tensor:
        """a, (m, T, inputs)."""

    @abstractmethod
    def left(self, g: Tensor) -> Tensor:
        """g, (m, T, outputs)."""

    @abstractmethod
    def part(self, rows: slice) -> _OuterProducts:
        """The same for some of the examples."""

    def per_example(self, name: str, g: Tensor) -> Tensor:
        g = self.left(g)
        if name == "bias":
            return g.sum(1)
        formed = torch.einsum("mto,mti->moi", g, self.entered())
        return formed.reshape(len(g), *self._shape)

    def norms(self, name: str, g: Tensor) -> Tensor:
        if name == "bias":
            return self.left(g).sum(1).square().sum(1)
        positions, width = self.left(g[:1]).shape[1:]
        inputs = self._shape.numel() // width
        if positions == 1:
            return self.left(g)[:, 0].square().sum(1) * self.entered()[:, 0].square().sum(1)
        if positions * (inputs + width) > inputs * width or positions**2 > MOST_NUMBERS:
            return super().norms(name, g)
        found = []
        step = max(1, MOST_NUMBERS // positions**2)
        for first in range(0, len(g), step):
            rows = slice(first, first + step)
            outside, inside = self.left(g[rows]), self.part(rows).entered()
            found.append(((outside @ outside.mT) * (inside @ inside.mT)).sum((1, 2)))
        return torch.cat(found)

    def squares(self, name: str, g: Tensor, signs: Tensor) -> Tensor:
        rows = self.left(g)
        if name == "weight" and rows.shape[1] == 1:
            squares = (rows[:, 0].square() * signs[:, None]).T @ self.entered()[:, 0].square()
            return squares.reshape(self._shape)
        return super().squares(name, g, signs)

    def size(self, name: str) -> int:
        return self._shape.numel() if name == "weight" else self._shape[0]


class DenseUsage(_OuterProducts):
    """``nn.Linear``; everything between example and features is a position."""

    def __init__(self, layer: nn.Linear, entered: Tensor, output: Tensor, count: int) -> None:
        super().__init__(output, count, torch.Size((layer.out_features, layer.in_features)))
        self._entered = entered.detach()

    def entered(self) -> Tensor:
        return self._entered.reshape(self.count, -1, self._shape[1])

    def left(self, g: Tensor) -> Tensor:
        return g.reshape(len(g), -1, self._shape[0])

    def part(self, rows: slice) -> DenseUsage:
        twin = copy.copy(self)
        twin._entered = self.entered()[rows]
        twin.count = len(twin._entered)
        return twin


class ConvolutionUsage(_OuterProducts):
    """``nn.Conv2d`` and ``nn.Conv1d`` in one group, with zeros around the image; positions are those of the output."""

    def __init__(self, layer: nn.Conv1d | nn.Conv2d, entered: Tensor, output: Tensor, count: int) -> None:
        super().__init__(output, count, layer.weight.shape)
        flat = isinstance(layer, nn.Conv1d)

        def pair(sizes: tuple[int, ...], beside: int) -> tuple[int, ...]:
            return (beside, *sizes) if flat else sizes

        assert not isinstance(layer.padding, str)
        self._window = {
            "kernel_size": pair(layer.kernel_size, 1), "dilation": pair(layer.dilation, 1),
            "padding": pair(layer.padding, 0), "stride": pair(layer.stride, 1),
        }  # fmt: skip
        self._entered = entered.detach().unsqueeze(-2) if flat else entered.detach()
        self._patches: Tensor | None = None

    def entered(self) -> Tensor:
        if self._patches is None:
            self._patches = F.unfold(self._entered, **self._window).mT
        return self._patches

    def left(self, g: Tensor) -> Tensor:
        return g.flatten(2).mT

    def part(self, rows: slice) -> ConvolutionUsage:
        if len(range(*rows.indices(self.count))) == self.count:
            return self  # whose patches serve for every column
        twin = copy.copy(self)
        twin._entered, twin._patches = self._entered[rows], None
        twin.count = len(twin._entered)
        return twin

    def size(self, name: str) -> int:
        positions = self.output[:1].flatten(2).shape[2]  # the patches are formed too
        return max(super().size(name), positions * self._shape[1:].numel())


class ScaleUsage(Usage):
    """Normalisations with a scale and a shift for each feature: ``Σ_t g_t ⊙ x̂_t`` and ``Σ_t g_t``."""

    def __init__(self, normalised: Tensor, output: Tensor, count: int, features: tuple[int, ...]) -> None:
        super().__init__(output, count)
        self._normalised, self._features = normalised, features

    def per_example(self, name: str, g: Tensor) -> Tensor:
        product = g * self._normalised if name == "weight" else g
        positions = [axis for axis in range(1, product.ndim) if axis - product.ndim not in self._features]
        return product.sum(positions) if positions else product

    def size(self, name: str) -> int:
        return self.output[0].numel() if self.output.ndim > 1 else 1

    def part(self, rows: slice) -> Usage:
        return ScaleUsage(self._normalised[rows], self.output, len(self._normalised[rows]), self._features)


class EmbeddingUsage(Usage):
    """``nn.Embedding``: rows that an example does not name have gradient zero, and padding has none."""

    def __init__(self, layer: nn.Embedding, entered: Tensor, output: Tensor, count: int) -> None:
        super().__init__(output, count)
        self._rows, self._width, self._padding = layer.num_embeddings, layer.embedding_dim, layer.padding_idx
        self._indices = entered.reshape(count, -1)

    def _distinct(self, g: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Sums of g for each pair of example and row that occurs: (examples, rows, sums)."""
        g = g.reshape(len(g), -1, self._width)
        examples = torch.arange(len(g), device=g.device)[:, None].expand_as(self._indices)
        counted = self._indices != (-1 if self._padding is None else self._padding)
        keys, where = torch.unique((examples * self._rows + self._indices)[counted], return_inverse=True)
        sums = g.new_zeros(len(keys), self._width).index_add_(0, where, g[counted])
        return keys // self._rows, keys % self._rows, sums

    def per_example(self, name: str, g: Tensor) -> Tensor:
        examples, rows, sums = self._distinct(g)
        formed = g.new_zeros(len(g), self._rows, self._width)
        formed[examples, rows] = sums
        return formed

    def norms(self, name: str, g: Tensor) -> Tensor:
        examples, _, sums = self._distinct(g)
        return g.new_zeros(len(g)).index_add_(0, examples, sums.square().sum(1))

    def squares(self, name: str, g: Tensor, signs: Tensor) -> Tensor:
        examples, rows, sums = self._distinct(g)
        weighed = sums.square() * signs[examples][:, None]
        return g.new_zeros(self._rows, self._width).index_add_(0, rows, weighed)

    def size(self, name: str) -> int:
        return self._rows * self._width

    def part(self, rows: slice) -> Usage:
        twin = copy.copy(self)
        twin._indices = self._indices[rows]
        twin.count = len(twin._indices)
        return twin


def usage_of(layer: nn.Module, args: tuple[Any, ...], output: Any, count: int) -> Usage | None:
    """What a call of a layer is to its parameters; None where that is not known here."""
    plain = len(args) == 1 and isinstance(args[0], Tensor) and isinstance(output, Tensor)
    if not plain or output.ndim == 0 or len(output) % count or len(args[0]) % count:
        return None
    entered, together = args[0].detach(), len(output) == count
    if type(layer) is nn.Linear:
        return DenseUsage(layer, entered, output, count)
    if type(layer) is nn.Embedding:
        changed = layer.max_norm is not None or layer.scale_grad_by_freq or layer.sparse
        return None if changed else EmbeddingUsage(layer, entered, output, count)
    if not together:
        return None
    if type(layer) in (nn.Conv1d, nn.Conv2d):
        known = layer.groups == 1 and layer.padding_mode == "zeros" and not isinstance(layer.padding, str)
        return ConvolutionUsage(layer, entered, output, count) if known else None  # type: ignore[arg-type]
    return _scale_of(layer, entered, output, count)


def _scale_of(layer: nn.Module, entered: Tensor, output: Tensor, count: int) -> Usage | None:
    if type(layer) is nn.LayerNorm:
        features = tuple(range(-len(layer.normalized_shape), 0))
        return ScaleUsage(F.layer_norm(entered, layer.normalized_shape, eps=layer.eps), output, count, features)
    if type(layer) is nn.RMSNorm:
        features = tuple(range(-len(layer.normalized_shape), 0))
        return ScaleUsage(F.rms_norm(entered, layer.normalized_shape, eps=layer.eps), output, count, features)
    channel = (1 - entered.ndim,)
    if type(layer) is nn.GroupNorm:
        return ScaleUsage(F.group_norm(entered, layer.num_groups, eps=layer.eps), output, count, channel)
    fixed = type(layer) in (nn.BatchNorm1d, nn.BatchNorm2d) and not layer.training
    if fixed and isinstance(mean := layer.running_mean, Tensor) and isinstance(var := layer.running_var, Tensor):
        normalised = F.batch_norm(entered, mean, var, eps=float(layer.eps))  # type: ignore[arg-type]
        return ScaleUsage(normalised, output, count, channel)
    return None
