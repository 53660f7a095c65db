"""Gradients of single examples' outputs by θ: squared norms, and sums of squares, for a chunk at a time."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import vjp, vmap
from torch.utils import _pytree as pytree

from landscape.device import widened
from landscape.errors import ObjectiveError
from landscape.objective.batches import count_examples, take
from landscape.objective.functional import Parts
from landscape.operators.by_example.layers import MOST_NUMBERS, Usage, rows_of, usage_of

#: Squared norms against those of plain backward passes, relative to the largest.
_AGREEMENT = {torch.float32: 1e-3, torch.float64: 1e-8}
_TRIED = 3  # examples on which a way is held against plain backward passes
_UNSUPPORTED = (RuntimeError, NotImplementedError, TypeError, AttributeError, ValueError, IndexError)


@dataclass
class Recorded:
    """The output of a chunk with its graph, and how its layers used θ."""

    chunk: Any
    output: Tensor
    count: int
    usages: dict[str, list[tuple[Usage, str]]]


class PerExample:
    """``J_nᵀu_n`` for every example n of a chunk, where J_n is the Jacobian of its output.

    Layers of torch are known by rules that form no gradient of a single example where they need not; θ outside them is
    reached by ``vmap`` over examples, and what ``vmap`` does not know by one example after another. Which way holds is
    tried on a few examples, against plain backward passes.

    Attributes
    ----------
    way : {"layers", "vmap", "one by one"}
    """

    def __init__(self, parts: Parts, theta: Tensor, *, few: Parts) -> None:
        self._parts, self._names = parts, parts.layout.names
        self._leaves = [t.detach().clone().requires_grad_() for t in parts.layout.split(theta)]
        self._unused: set[str] = set()
        self.way = self._settle(few)

    def on(self, parts: Parts) -> PerExample:
        """The same for other examples."""
        twin = copy.copy(self)
        twin._parts = parts
        return twin

    def record(self, index: int) -> Recorded:
        """Run the model on a chunk; to be called, as what follows, while the parts are borrowed."""
        return self._record(self._parts, index, self.way)

    def norms(self, found: Recorded, cotangent: Tensor) -> Tensor:
        """``‖J_nᵀu_n‖²`` by tensor of θ and example, float64 (K, m)."""
        return self._norms(self._parts, found, cotangent, self.way)

    def squares(self, found: Recorded, cotangent: Tensor, signs: Tensor) -> Tensor:
        """``Σ_n sign_n (J_nᵀu_n)²`` by elements, (P,)."""
        return next(self.squares_of(found, cotangent, signs, [slice(0, found.count)]))

    def squares_of(self, found: Recorded, cotangent: Tensor, signs: Tensor, runs: Sequence[slice]) -> Iterator[Tensor]:
        """The same of the examples of each run."""
        signs = signs.to(cotangent)
        gradients = self._pulled(found, cotangent) if self.way == "layers" else {}
        for run in runs:
            if self.way == "layers":
                pieces = [self._squares_by_layers(found, name, gradients, signs, run) for name in self._names]
                yield torch.cat([piece.reshape(-1) for piece in pieces])
                continue
            total = torch.zeros(self._parts.layout.size, dtype=cotangent.dtype, device=cotangent.device)
            for rows, formed in self._formed(self._parts, found, cotangent, self.way, run):
                total += torch.cat([torch.tensordot(signs[rows], x.square(), 1).reshape(-1) for x in formed])
            yield total

    def _settle(self, few: Parts) -> str:
        """The first way that agrees with plain backward passes."""
        refused: list[str] = []
        with few.borrowed(), torch.enable_grad():
            output = single_output(few.outputs(few.chunk(0), self._leaves))
            u = torch.randn(output.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64).to(output)
            truth = self._plain(few, u)
        for way in ("layers", "vmap", "one by one"):
            try:
                with few.borrowed(), torch.enable_grad():
                    ours = self._norms(few, self._record(few, 0, way), u, way)
            except _UNSUPPORTED as error:
                refused.append(f"{way}: {(str(error).splitlines() or [type(error).__name__])[0]}")
                continue
            limit = _AGREEMENT[self._leaves[0].dtype] * float(truth.sum(0).max())
            if bool(((ours[:, : truth.shape[1]] - truth).abs() <= limit).all()):
                return way
            refused.append(f"{way}: other norms than by plain backward passes")
        raise ObjectiveError(f"gradients of single examples cannot be had ({'; '.join(refused)})")

    def _plain(self, few: Parts, cotangent: Tensor) -> Tensor:
        """Squared norms (K, ≤ 3) from a chunk of one example after another."""
        columns, self._unused = [], set(self._names)
        for n in range(min(_TRIED, len(cotangent))):
            output = single_output(few.outputs(take(few.chunk(0), slice(n, n + 1)), self._leaves))
            gradients = torch.autograd.grad(output, self._leaves, cotangent[n : n + 1], allow_unused=True)
            columns.append([0.0 if g is None else float(widened(g).square().sum()) for g in gradients])
            self._unused -= {name for name, g in zip(self._names, gradients, strict=True) if g is not None}
        return torch.tensor(columns, dtype=torch.float64).T

    def _record(self, parts: Parts, index: int, way: str) -> Recorded:
        chunk = parts.chunk(index)
        count = count_examples(chunk)
        if count is None:
            raise ObjectiveError("how many examples a chunk has cannot be told")
        usages: dict[str, list[tuple[Usage, str]]] = {}
        with torch.enable_grad():
            if way == "layers":
                with _Watched(parts, count, usages):
                    output = single_output(parts.outputs(chunk, self._leaves))
                if missing := set(self._names) - set(usages) - self._unused:
                    raise RuntimeError(f"{sorted(missing)[0]} belongs to no layer that is known")
            else:
                output = single_output(parts.outputs(chunk, self._leaves))
        if output.ndim == 0 or len(output) != count:
            raise ObjectiveError(f"the output has shape {tuple(output.shape)}, and its batch {count} examples")
        return Recorded(chunk, output, count, usages)

    def _norms(self, parts: Parts, found: Recorded, cotangent: Tensor, way: str) -> Tensor:
        if way == "layers":
            gradients = self._pulled(found, cotangent)
            return torch.stack([self._norms_by_layers(found, name, gradients) for name in self._names])
        out = torch.zeros(len(self._names), found.count, dtype=torch.float64)
        for rows, formed in self._formed(parts, found, cotangent, way):
            out[:, rows] = torch.stack([widened(rows_of(x)).square().sum(1).cpu() for x in formed])
        return out

    def _pulled(self, found: Recorded, cotangent: Tensor) -> dict[int, Tensor]:
        """Gradients by the outputs of the layers; none is formed by θ itself."""
        layers = {id(usage): usage for uses in found.usages.values() for usage, _ in uses}
        outputs = [usage.output for usage in layers.values()]
        gradients = torch.autograd.grad(found.output, outputs, cotangent, retain_graph=True, allow_unused=True)
        pairs = zip(layers, outputs, gradients, strict=True)
        return {key: torch.zeros_like(output) if g is None else g for key, output, g in pairs}

    def _norms_by_layers(self, found: Recorded, name: str, gradients: dict[int, Tensor]) -> Tensor:
        uses = found.usages.get(name, [])
        if not uses:
            return torch.zeros(found.count, dtype=torch.float64)
        if len(uses) == 1:
            usage, slot = uses[0]
            return widened(usage.norms(slot, _by_example(gradients[id(usage)], found.count))).cpu()
        norms = [widened(rows_of(formed)).square().sum(1).cpu() for _, formed in _together(uses, gradients, found)]
        return torch.cat(norms)

    def _squares_by_layers(
        self, found: Recorded, name: str, gradients: dict[int, Tensor], signs: Tensor, run: slice
    ) -> Tensor:
        uses = found.usages.get(name, [])
        if not uses:
            return signs.new_zeros(self._parts.layout.shapes[self._names.index(name)])
        if len(uses) == 1:
            usage, slot = uses[0]
            return usage.part(run).squares(slot, _by_example(gradients[id(usage)], found.count)[run], signs[run])
        pieces = [
            torch.tensordot(signs[rows], formed.square(), 1) for rows, formed in _together(uses, gradients, found, run)
        ]
        return torch.stack(pieces).sum(0)

    def _formed(
        self, parts: Parts, found: Recorded, cotangent: Tensor, way: str, run: slice | None = None
    ) -> Iterator[tuple[slice, list[Tensor]]]:
        """Gradients of some examples at a time, (rows, [(m, *shape) by tensor])."""
        step = 1 if way == "one by one" else max(1, MOST_NUMBERS // max(parts.layout.size, 1))
        for rows in _cut(run or slice(0, found.count), step):
            chunk = take(found.chunk, rows)
            if way == "one by one":
                output = single_output(parts.outputs(chunk, self._leaves))
                pieces = torch.autograd.grad(output, self._leaves, cotangent[rows], allow_unused=True)
                pairs = zip(pieces, self._leaves, strict=True)
                yield rows, [(torch.zeros_like(x) if p is None else p)[None] for p, x in pairs]
            else:
                yield rows, self._by_vmap(parts, chunk, cotangent[rows])

    def _by_vmap(self, parts: Parts, chunk: Any, cotangent: Tensor) -> list[Tensor]:
        leaves, spec = pytree.tree_flatten(chunk)
        along = [0 if isinstance(leaf, Tensor) and leaf.ndim else None for leaf in leaves]
        moving = [leaf for leaf, axis in zip(leaves, along, strict=True) if axis == 0]
        point = tuple(leaf.detach() for leaf in self._leaves)

        def of_one(u: Tensor, *own: Tensor) -> tuple[Tensor, ...]:
            rest = iter(own)
            whole = [next(rest)[None] if axis == 0 else leaf for leaf, axis in zip(leaves, along, strict=True)]

            def output(*tensors: Tensor) -> Tensor:
                return single_output(parts.outputs(pytree.tree_unflatten(whole, spec), tensors))

            pulled: tuple[Tensor, ...] = vjp(output, *point)[1](u[None])
            return pulled

        with torch.no_grad():
            return list(vmap(of_one)(cotangent, *moving))


class _Watched:
    """While the model runs, the calls of its layers are noted under the names in θ of their parameters."""

    def __init__(self, parts: Parts, count: int, usages: dict[str, list[tuple[Usage, str]]]) -> None:
        self._count, self._usages, self._handles = count, usages, list[Any]()
        slots, inside = parts.layout.slots, set(parts.layout.names)
        self._layers: list[tuple[nn.Module, dict[str, str]]] = []
        for path, layer in parts.model.named_modules():
            own = {name: slots[f"{path}.{name}" if path else name] for name, _ in layer.named_parameters(recurse=False)}
            own = {name: of_theta for name, of_theta in own.items() if of_theta in inside}
            if own:
                self._layers.append((layer, own))

    def __enter__(self) -> None:
        for layer, own in self._layers:
            self._handles.append(layer.register_forward_hook(self._noting(own)))

    def __exit__(self, *_: Any) -> None:
        for handle in self._handles:
            handle.remove()

    def _noting(self, own: dict[str, str]) -> Any:
        def hook(layer: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
            usage = usage_of(layer, args, output, self._count)
            if usage is None:
                raise RuntimeError(f"a {type(layer).__name__} used as no rule knows")
            for name, of_theta in own.items():
                self._usages.setdefault(of_theta, []).append((usage, name))
            return output.clone()  # what follows may write into it

        return hook


def single_output(outputs: Any) -> Tensor:
    """The one tensor that a model returns with a graph, or one alone.

    Raises
    ------
    ObjectiveError
        If there are several.
    """
    tensors = [x for x in pytree.tree_leaves(outputs) if isinstance(x, Tensor) and x.is_floating_point()]
    if len(tensors) != 1:
        raise ObjectiveError(f"the model returns {len(tensors)} tensors; gradients of single examples are of one")
    return tensors[0]


def _by_example(g: Tensor, count: int) -> Tensor:
    """A gradient with its examples in front, where a layer saw positions of all examples in one dimension."""
    return g if len(g) == count else g.reshape(count, -1, *g.shape[1:])


def _together(
    uses: Sequence[tuple[Usage, str]], gradients: dict[int, Tensor], found: Recorded, run: slice | None = None
) -> Iterator[tuple[slice, Tensor]]:
    """Gradients of some examples at a time by a parameter that several layers, or several calls, share."""
    step = max(1, MOST_NUMBERS // max(max(usage.size(name) for usage, name in uses), 1))
    for rows in _cut(run or slice(0, found.count), step):
        own = [(usage.part(rows), name, _by_example(gradients[id(usage)], found.count)[rows]) for usage, name in uses]
        yield rows, torch.stack([usage.per_example(name, g) for usage, name, g in own]).sum(0)


def _cut(run: slice, step: int) -> list[slice]:
    """A run in pieces of at most ``step`` examples."""
    return [slice(first, min(first + step, run.stop)) for first in range(run.start, run.stop, step)]
