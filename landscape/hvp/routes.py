"""The ways to compute ∇²L(θ)·v, and which of them fits the memory."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.func import grad, linearize

from landscape.errors import ObjectiveError, check_choice
from landscape.params import ParamLayout

ROUTES = ("auto", "fresh", "retained", "linearized")
AGREEMENT = {torch.float32: 1e-4, torch.float64: 1e-9}  # relative, of a route with double backward before it is taken
DEFAULT_MEMORY = 2 * 2**30


class LossParts(Protocol):
    """L(θ) = Σ shares[i] · part(i, θ), with everything but θ held fixed."""

    layout: ParamLayout
    shares: Sequence[float]

    def part(self, index: int, tensors: Sequence[Tensor]) -> Tensor:
        """Mean loss of chunk ``index`` at the parameters ``tensors``."""

    def borrowed(self) -> AbstractContextManager[None]:
        """The state in which the model may be called."""


def loss_and_gradient(parts: LossParts, theta: Tensor) -> tuple[float, Tensor]:
    """L(θ) and ∇L(θ), shape (P,). Costs one gradient."""
    total, gradient = 0.0, torch.zeros_like(theta)
    with parts.borrowed(), torch.enable_grad():
        tensors = leaves(parts, theta)
        for index, share in enumerate(parts.shares):
            loss = parts.part(index, tensors)
            total += share * float(loss.detach())
            if loss.requires_grad:
                gradient.add_(_join(torch.autograd.grad(loss, tensors, allow_unused=True), tensors), alpha=share)
    return total, gradient


class Fresh:
    """Double backward with the graph made anew for each vector: the memory of one chunk, about 2.4-4 gradients."""

    name = "fresh"

    def __init__(self, parts: LossParts, theta: Tensor) -> None:
        self.parts, self.theta = parts, theta

    def __call__(self, v: Tensor) -> Tensor:
        out = torch.zeros_like(v)
        with self.parts.borrowed(), torch.enable_grad():
            tensors = leaves(self.parts, self.theta)
            directions = self.parts.layout.split(v)
            for index, share in enumerate(self.parts.shares):
                gradients = _differentiable_gradient(self.parts, index, tensors)
                out.add_(_second_backward(gradients, tensors, directions, retain=False), alpha=share)
        return out


class Retained:
    """Double backward through gradient graphs that are kept: about 1.2-2.1 gradients, the memory of the whole data."""

    name = "retained"

    def __init__(self, parts: LossParts, theta: Tensor) -> None:
        self.parts = parts
        with parts.borrowed(), torch.enable_grad():
            self.tensors = leaves(parts, theta)
            self.gradients = [_differentiable_gradient(parts, i, self.tensors) for i in range(len(parts.shares))]

    def __call__(self, v: Tensor) -> Tensor:
        out = torch.zeros_like(v)
        directions = self.parts.layout.split(v)
        with self.parts.borrowed(), torch.enable_grad():
            for gradients, share in zip(self.gradients, self.parts.shares, strict=True):
                out.add_(_second_backward(gradients, self.tensors, directions, retain=True), alpha=share)
        return out


class Linearized:
    """The gradient traced once as a linear map, by forward mode over reverse; then about 0.5-1.4 gradients.

    Convolutions gain most: their double backward runs on slow kernels, their tangents on the fast ones. Tracing costs
    about half a second a chunk, and the memory is that of kept graphs. Not every operation has a forward mode.
    """

    name = "linearized"

    def __init__(self, parts: LossParts, theta: Tensor) -> None:
        self.parts = parts
        with parts.borrowed(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Attempted to insert a get_attr Node")
            tensors = tuple(tensor.clone() for tensor in parts.layout.split(theta))
            self.maps = [self._linear_map(index, tensors) for index in range(len(parts.shares))]

    def _linear_map(self, index: int, tensors: tuple[Tensor, ...]) -> Callable[..., tuple[Tensor, ...]]:
        def loss(*at: Tensor) -> Tensor:
            return self.parts.part(index, at)

        return linearize(grad(loss, argnums=tuple(range(len(tensors)))), *tensors)[1]

    def __call__(self, v: Tensor) -> Tensor:
        out = torch.zeros_like(v)
        directions = self.parts.layout.split(v)
        with self.parts.borrowed(), torch.no_grad():
            for apply, share in zip(self.maps, self.parts.shares, strict=True):
                out.add_(torch.cat([piece.reshape(-1) for piece in apply(*directions)]), alpha=share)
        return out


Product = Fresh | Retained | Linearized


def choose(parts: LossParts, theta: Tensor, *, route: str = "auto", memory: int = DEFAULT_MEMORY) -> Product:
    """Pick a way: ``"retained"`` where the gradient graphs of all chunks fit into ``memory`` bytes, else ``"fresh"``.

    The size is counted on the first chunk, so the choice depends on model and data alone and is the same on every run.
    ``"linearized"`` is taken where asked for, if it fits, works and agrees with double backward; else as for "auto".
    """
    check_choice("route", route, ROUTES)
    fits = route in ("fresh", "retained") or retained_bytes(parts, theta) <= memory
    if route == "linearized" and fits:
        product = _linearized_if_sound(parts, theta)
        if product is not None:
            return product
    keeps = route == "retained" or (route != "fresh" and fits)
    return Retained(parts, theta) if keeps else Fresh(parts, theta)


def _linearized_if_sound(parts: LossParts, theta: Tensor) -> Linearized | None:
    """Forward mode misses operations and looks through no_grad, so it is held against double backward."""
    try:
        product = Linearized(parts, theta)
        generator = torch.Generator().manual_seed(0)
        v = torch.randn(theta.shape, generator=generator, dtype=torch.float64).to(theta)
        seen, reference = product(v), Fresh(parts, theta)(v)
    except (RuntimeError, NotImplementedError, TypeError, AttributeError):
        return None
    agrees = float((seen - reference).norm()) <= AGREEMENT[theta.dtype] * float(reference.norm())
    return product if agrees else None


def retained_bytes(parts: LossParts, theta: Tensor) -> int:
    """Memory of the gradient graphs of all chunks, in bytes: counted on the first chunk and scaled to the data."""
    with parts.borrowed(), torch.enable_grad():
        tensors = leaves(parts, theta)
        held = count_saved_bytes(lambda: _differentiable_gradient(parts, 0, tensors))
    return int(held / parts.shares[0])


def count_saved_bytes(build: Callable[[], object]) -> int:
    """Bytes of the distinct tensors that autograd keeps while ``build`` runs; of a view only the part it shows."""
    held: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        place = tensor.data_ptr()
        held[place] = max(held.get(place, 0), tensor.numel() * tensor.element_size())
        return tensor

    with saved_tensors_hooks(pack, lambda tensor: tensor):
        kept = build()
    del kept
    return sum(held.values())


def leaves(parts: LossParts, theta: Tensor) -> list[Tensor]:
    """The tensors of θ as leaves to differentiate by; contiguous copies, so that nothing aliases θ."""
    return [part.detach().clone().requires_grad_() for part in parts.layout.split(theta)]


def _differentiable_gradient(parts: LossParts, index: int, tensors: Sequence[Tensor]) -> list[Tensor | None]:
    """∇L of one chunk with its graph; None where the loss does not depend on a tensor."""
    loss = parts.part(index, tensors)
    if not loss.requires_grad:
        return [None] * len(tensors)
    return list(torch.autograd.grad(loss, tensors, create_graph=True, allow_unused=True))


def _second_backward(
    gradients: Sequence[Tensor | None], tensors: Sequence[Tensor], directions: Sequence[Tensor], *, retain: bool
) -> Tensor:
    """∇⟨∇L, v⟩ of one chunk, flat. Gradients without a graph are constant in θ and add nothing."""
    curved = [(g, v) for g, v in zip(gradients, directions, strict=True) if g is not None and g.requires_grad]
    if not curved:
        return torch.cat([torch.zeros_like(t).reshape(-1) for t in tensors])
    outputs, weights = zip(*curved, strict=True)
    try:
        products = torch.autograd.grad(outputs, tensors, weights, retain_graph=retain, allow_unused=True)
    except RuntimeError as error:
        raise explain(error) from error
    return _join(products, tensors)


def explain(error: RuntimeError) -> Exception:
    """Turn torch's message about a missing second derivative into one that names the way out."""
    text = str(error).splitlines()[0]
    missing = ("is not implemented", "double backward", "not differentiable", "once_differentiable", "does not support")
    if any(mark in text for mark in missing):
        return ObjectiveError(
            f"a part of the model or loss has no second derivative in torch ({text}). "
            "Replace that operation by one written in differentiable torch operations"
        )
    return error


def _join(pieces: Sequence[Tensor | None], tensors: Sequence[Tensor]) -> Tensor:
    return torch.cat(
        [(torch.zeros_like(t) if p is None else p).reshape(-1) for p, t in zip(pieces, tensors, strict=True)]
    ).detach()
