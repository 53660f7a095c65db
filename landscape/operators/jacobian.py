"""The Jacobian of a chunk's outputs by θ, as a linear map forwards and backwards."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.func import jvp, linearize, vmap
from torch.utils import _pytree as pytree

from landscape.device import widened
from landscape.errors import ObjectiveError
from landscape.hvp import Questions, recording
from landscape.objective.functional import Parts

#: K tangents of several tensors, each ``(K, *shape)``.
Tangents = Sequence[Tensor]
FORWARD_MODES = ("linearized", "jvp", "double")
#: ⟨Jv, u⟩ against ⟨v, Jᵀu⟩, relative to ‖Jv‖‖u‖: forward and reverse mode must be one linear map.
_AGREEMENT = {torch.float32: 1e-4, torch.float64: 1e-9}


class OutputJacobian:
    """J of one chunk's outputs at θ, together with the graph of the outputs.

    Parameters
    ----------
    parts : Parts
    index : int
        Of the chunk.
    leaves : sequence of tensors
        θ as leaves that require a gradient.
    mode : {"linearized", "jvp", "double"}
        How ``J v`` is made: traced once and kept; by a forward pass with tangents for each product; or, where an
        operation has no forward mode, as the derivative of ``Jᵀu`` by u.

    Attributes
    ----------
    outputs : tuple of tensors
        The floating-point tensors among the outputs, with their graph.
    """

    def __init__(self, parts: Parts, index: int, leaves: Sequence[Tensor], *, mode: str) -> None:
        self._parts, self._leaves, self._mode = parts, tuple(leaves), mode
        self._chunk = parts.chunk(index)
        with torch.enable_grad():
            self._found, self._spec = pytree.tree_flatten(parts.outputs(self._chunk, self._leaves))
        self._places = [i for i, x in enumerate(self._found) if isinstance(x, Tensor) and x.is_floating_point()]
        self.outputs: tuple[Tensor, ...] = tuple(self._found[i] for i in self._places)
        if not self.outputs:
            kinds = ", ".join(sorted({type(x).__name__ for x in self._found})) or "nothing"
            raise ObjectiveError(
                f"the model returned {kinds}; a Gauss-Newton or Fisher matrix needs floating-point outputs: a tensor, "
                "or a tuple, list or dict of tensors"
            )
        if any(isinstance(x, Tensor) and x.is_complex() and x.requires_grad for x in self._found):
            raise ObjectiveError(
                "the model returned complex numbers, and a Gauss-Newton or Fisher matrix is of real outputs: return "
                "torch.view_as_real of them, and let the loss take that"
            )
        if mode == "double":
            self._prepare_double_backward()
        elif mode == "linearized":
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message="Attempted to insert a get_attr Node")
                point = tuple(leaf.detach().clone() for leaf in leaves)
                jvp(self._recordable, point, point)  # nothing is recorded that has not run
                self._map = linearize(self._recordable, *point)[1]

    def loss_of(self, outputs: Sequence[Tensor]) -> Tensor:
        """Mean loss of the chunk if these were its outputs."""
        found: list[Any] = list(self._found)
        for place, tensor in zip(self._places, outputs, strict=True):
            found[place] = tensor
        return self._parts.loss_of(pytree.tree_unflatten(found, self._spec), self._chunk)

    def push(self, directions: Tangents) -> Tangents:
        """``J V``: ``(K, *shape)`` for each parameter to ``(K, *shape)`` for each output."""
        if self._mode == "double":
            return transposed(self._pulled, self._cotangents, directions, keep=True)
        with torch.no_grad():
            if len(directions[0]) > 1:
                return vmap(self._tangent)(*directions)
            return [t[None] for t in self._tangent(*(d[0] for d in directions))]

    def pull(self, cotangents: Tangents, *, keep: bool) -> Tangents:
        """``Jᵀ U``, the way back; ``keep`` the graph of the outputs for another time."""
        return transposed(self.outputs, self._leaves, cotangents, keep=keep)

    def agrees_both_ways(self) -> bool:
        """Whether ⟨Jv, u⟩ = ⟨v, Jᵀu⟩ for random u, v: forward mode looks through no_grad, reverse mode does not."""
        generator = torch.Generator().manual_seed(0)

        def random_like(tensor: Tensor) -> Tensor:
            return torch.randn((1, *tensor.shape), generator=generator, dtype=torch.float64).to(tensor)

        v, u = [random_like(x) for x in self._leaves], [random_like(x) for x in self.outputs]
        image, pulled = self.push(v), self.pull(u, keep=True)
        apart = abs(_dot(image, u) - _dot(v, pulled))
        allowed: float = _AGREEMENT[self._leaves[0].dtype] * (_dot(image, image) * _dot(u, u)) ** 0.5
        return apart <= allowed

    def _outputs_at(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        found = pytree.tree_leaves(self._parts.outputs(self._chunk, tensors))
        return tuple(found[place] for place in self._places)

    def _recordable(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        with recording(), Questions():  # of one point and chunk: whatever the model asks has one answer
            return self._outputs_at(*tensors)

    def _tangent(self, *directions: Tensor) -> tuple[Tensor, ...]:
        if self._mode == "linearized":
            image: tuple[Tensor, ...] = self._map(*directions)
        else:
            image = jvp(self._outputs_at, tuple(leaf.detach() for leaf in self._leaves), directions)[1]
        return image

    def _prepare_double_backward(self) -> None:
        """``Jv`` is the derivative of ⟨Jᵀu, v⟩ by u; Jᵀu is linear in u, so it does not matter where u is."""
        self._cotangents = [torch.zeros_like(output, requires_grad=True) for output in self.outputs]
        live = [(f, u) for f, u in zip(self.outputs, self._cotangents, strict=True) if f.requires_grad]
        if live:
            outputs, weights = zip(*live, strict=True)
            pulled: Sequence[Tensor | None] = torch.autograd.grad(
                outputs, self._leaves, weights, create_graph=True, allow_unused=True
            )
        else:
            pulled = tuple(None for _ in self._leaves)
        pairs = zip(pulled, self._leaves, strict=True)
        self._pulled = [torch.zeros_like(leaf) if piece is None else piece for piece, leaf in pairs]


def transposed(outputs: Sequence[Tensor], inputs: Sequence[Tensor], weights: Tangents, *, keep: bool) -> list[Tensor]:
    """``(∂outputs/∂inputs)ᵀ`` times K weights ``(K, *shape of an output)``: ``(K, *shape)`` for each input."""
    count = len(weights[0])
    live = [(o, w) for o, w in zip(outputs, weights, strict=True) if o.requires_grad]
    pieces: Sequence[Tensor | None] = [None] * len(inputs)
    if live:
        heads, given = zip(*live, strict=True)
        many = count > 1
        pieces = torch.autograd.grad(
            heads,
            inputs,
            given if many else [w[0] for w in given],
            retain_graph=keep,
            allow_unused=True,
            is_grads_batched=many,
        )
        if not many:
            pieces = [None if piece is None else piece[None] for piece in pieces]
    pairs = zip(pieces, inputs, strict=True)
    return [x.new_zeros((count, *x.shape)) if piece is None else piece.detach() for piece, x in pairs]


def _dot(left: Sequence[Tensor], right: Sequence[Tensor]) -> float:
    return sum(float((widened(a) * widened(b)).sum()) for a, b in zip(left, right, strict=True))
