"""Double backward: ∇L(θ) with its graph, differentiated once more along v."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.utils import _pytree as pytree

from landscape.errors import ObjectiveError, is_out_of_memory
from landscape.hvp.forward_mode import InSteps
from landscape.hvp.modes import OperationMode
from landscape.hvp.product import LossParts, each_column, one_chunk


def loss_and_gradient(parts: LossParts, theta: Tensor) -> tuple[float, Tensor]:
    """L(θ) and ∇L(θ), shape (P,). Costs one gradient."""
    with parts.borrowed(), torch.enable_grad():
        total, gradient, tensors = 0.0, torch.zeros_like(theta), leaves(parts, theta)
        for index, share in enumerate(parts.shares):
            loss = parts.part(index, tensors)
            total += share * float(loss.detach())
            if loss.requires_grad:
                gradient.add_(_join(torch.autograd.grad(loss, tensors, allow_unused=True), tensors), alpha=share)
    return total, gradient


Built = TypeVar("Built")
_Steps = Callable[[], AbstractContextManager[None]]


@dataclass(frozen=True)
class Derivatives:
    """L(θ), ∇L(θ) and ∇²L(θ)·v, made from one graph.

    Attributes
    ----------
    loss, gradient, product : float, (P,), (P,)
    depends : bool
        Whether the loss depends on θ at all.
    reached : list of bool
        Which of the tensors beside θ the loss or its gradient depends on.
    """

    loss: float
    gradient: Tensor
    product: Tensor
    depends: bool
    reached: list[bool]


def up_to_second(parts: LossParts, theta: Tensor, v: Tensor, *, beside: Sequence[Tensor] = ()) -> Derivatives:
    """L(θ), ∇L(θ) and ∇²L(θ)·v for the price of the last, and which of the tensors ``beside`` θ they depend on."""
    try:
        return _up_to_second(parts, theta, v, beside, nullcontext)
    except MissingError:
        return _up_to_second(parts, theta, v, beside, InSteps)


def _up_to_second(parts: LossParts, theta: Tensor, v: Tensor, beside: Sequence[Tensor], steps: _Steps) -> Derivatives:
    with parts.borrowed(), torch.enable_grad(), steps():
        tensors, directions = leaves(parts, theta), parts.layout.split(v.clone())
        every, count = [*tensors, *beside], len(tensors)
        total, gradient, product = 0.0, torch.zeros_like(theta), torch.zeros_like(theta)
        depends, reached = False, [False] * len(beside)
        for index, share in enumerate(parts.shares):
            loss = parts.part(index, tensors)
            total += share * float(loss.detach())
            depends = depends or loss.requires_grad
            first = _differentiable_gradient(loss, every)
            second = _weighted_second(first[:count], every, directions)
            gradient.add_(_join(first[:count], tensors), alpha=share)
            product.add_(_join(second[:count], tensors), alpha=share)
            found = zip(reached, first[count:], second[count:], strict=True)
            reached = [seen or g is not None or h is not None for seen, g, h in found]
    return Derivatives(total, gradient, product, depends, reached)


class Fresh:
    """Double backward with the graph made anew for each vector: the memory of one chunk, about 2.4-4 gradients."""

    name = "fresh"

    def __init__(self, parts: LossParts, theta: Tensor) -> None:
        self.parts, self.theta = parts, theta
        self._steps: _Steps = nullcontext

    def __call__(self, v: Tensor) -> Tensor:
        return self.block(v[:, None])[:, 0]

    def block(self, V: Tensor) -> Tensor:
        """The products with the columns of V (P, K); the graph of a chunk is made once for all of them."""
        try:
            return self._multiply(V)
        except MissingError:
            if self._steps is InSteps:
                raise
        self._steps = InSteps
        return self._multiply(V)

    def _multiply(self, V: Tensor) -> Tensor:
        with self.parts.borrowed(), torch.enable_grad(), self._steps():
            # Plain tensors, whatever inference mode the caller is in, each in a storage of its own.
            directions, last = [self.parts.layout.split(v.clone()) for v in V.T], V.shape[1] - 1
            out, tensors = V.new_zeros(V.shape[::-1]), leaves(self.parts, self.theta)
            for index, share in enumerate(self.parts.shares):
                gradients = _differentiable_gradient(self.parts.part(index, tensors), tensors)
                for k, pieces in enumerate(directions):
                    out[k].add_(_second_backward(gradients, tensors, pieces, retain=k < last), alpha=share)
        return out.T

    def of_chunk(self, index: int, v: Tensor) -> Tensor:
        """The product of one chunk's Hessian, without its share."""
        alone = Fresh(one_chunk(self.parts, index), self.theta)
        alone._steps = self._steps
        return alone(v)


class Retained:
    """Double backward through gradient graphs that are kept: about 1.2-2.1 gradients, the memory of the whole data."""

    name = "retained"

    def __init__(self, parts: LossParts, theta: Tensor) -> None:
        self.parts = parts
        with parts.borrowed(), torch.enable_grad():
            self.tensors = leaves(parts, theta)
        self._keep(nullcontext)

    def _keep(self, steps: _Steps) -> None:
        self._steps = steps
        with self.parts.borrowed(), torch.enable_grad(), steps():
            indices = range(len(self.parts.shares))
            self.gradients = [_differentiable_gradient(self.parts.part(i, self.tensors), self.tensors) for i in indices]

    def __call__(self, v: Tensor) -> Tensor:
        try:
            return self._multiply(v)
        except MissingError:
            if self._steps is InSteps:
                raise
        self._keep(InSteps)
        return self._multiply(v)

    def _multiply(self, v: Tensor) -> Tensor:
        with self.parts.borrowed(), torch.enable_grad():
            v = v.clone()
            out, directions = torch.zeros_like(v), self.parts.layout.split(v)
            for gradients, share in zip(self.gradients, self.parts.shares, strict=True):
                out.add_(_second_backward(gradients, self.tensors, directions, retain=True), alpha=share)
        return out

    def of_chunk(self, index: int, v: Tensor) -> Tensor:
        """The product of one chunk's Hessian, without its share."""
        with self.parts.borrowed(), torch.enable_grad():
            directions = self.parts.layout.split(v.clone())
            return _second_backward(self.gradients[index], self.tensors, directions, retain=True)

    def block(self, V: Tensor) -> Tensor:
        """The products with the columns of V (P, K), one after another."""
        return each_column(self, V)


class _MadeBytes(OperationMode):
    """Adds up the results of all operations."""

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Not wrapped for a compiler that takes seconds to load."""
        return False

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        self.total += sum(t.numel() * t.element_size() for t in pytree.tree_leaves(out) if isinstance(t, Tensor))
        return out


def count_saved_bytes(build: Callable[[], object]) -> int:
    """Bytes of the distinct tensors that autograd keeps while ``build`` runs; of a view only the part it shows.

    A loss that uses ``torch.func`` itself does not let autograd tell; then at most what all operations make is kept.
    """
    return with_saved_bytes(build)[1]


def with_saved_bytes(build: Callable[[], Built]) -> tuple[Built, int]:
    """What ``build`` gives, and :func:`count_saved_bytes` of it."""
    try:
        return _saved_bytes(build)
    except RuntimeError as error:
        if "saved tensor hooks" not in str(error):
            raise
    with _MadeBytes() as made:
        built = build()
    return built, int(made.total)


def _saved_bytes(build: Callable[[], Built]) -> tuple[Built, int]:
    held: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        place = tensor.data_ptr() if tensor.layout == torch.strided else id(tensor)  # sparse data have no one place
        held[place] = max(held.get(place, 0), tensor.numel() * tensor.element_size())
        return tensor

    with saved_tensors_hooks(pack, lambda tensor: tensor):
        built = build()
    return built, sum(held.values())


def leaves(parts: LossParts, theta: Tensor) -> list[Tensor]:
    """The tensors of θ as leaves to differentiate by; contiguous copies, so that nothing aliases θ."""
    return [part.detach().clone().requires_grad_() for part in parts.layout.split(theta)]


def _differentiable_gradient(loss: Tensor, tensors: Sequence[Tensor]) -> list[Tensor | None]:
    """∇L of one chunk with its graph; None where the loss does not depend on a tensor."""
    if not loss.requires_grad:
        return [None] * len(tensors)
    try:
        return list(torch.autograd.grad(loss, tensors, create_graph=True, allow_unused=True))
    except RuntimeError as error:
        if is_out_of_memory(error):
            raise
        raise ObjectiveError(
            f"the gradient of the loss cannot be made so that it can be differentiated again ({_first_line(error)}). "
            "Likely causes: a tensor that backward needs is overwritten in place, a custom backward that raises. Where "
            "the plain gradient works, take differences of it: check=False and HessianOperator(objective, "
            "route='differences')"
        ) from error


def _second_backward(
    gradients: Sequence[Tensor | None], tensors: Sequence[Tensor], directions: Sequence[Tensor], *, retain: bool
) -> Tensor:
    """∇⟨∇L, v⟩ of one chunk, flat."""
    return _join(_weighted_second(gradients, tensors, directions, retain=retain), tensors)


def _weighted_second(
    gradients: Sequence[Tensor | None], tensors: Sequence[Tensor], directions: Sequence[Tensor], *, retain: bool = False
) -> Sequence[Tensor | None]:
    """∇⟨∇L, v⟩ of one chunk by each tensor. Gradients without a graph are constant in θ and add nothing."""
    curved = [(g, v) for g, v in zip(gradients, directions, strict=True) if g is not None and g.requires_grad]
    if not curved:
        return [None] * len(tensors)
    outputs, weights = zip(*curved, strict=True)
    try:
        found: Sequence[Tensor | None] = torch.autograd.grad(
            outputs, tensors, weights, retain_graph=retain, allow_unused=True
        )
    except RuntimeError as error:
        raise explain(error) from error
    return found


class MissingError(ObjectiveError):
    """An operation has no second derivative in torch, or none for these arguments; in steps it may have one."""


#: What torch says of an operation, and what to call it.
_KNOWN = {
    "_ctc_loss": "ctc_loss", "_cdist_backward": "cdist", "_pdist_backward": "pdist",
    "_embedding_bag": "EmbeddingBag", "multi_margin_loss": "multi_margin_loss",
    "multilabel_margin_loss": "multilabel_margin_loss",
}  # fmt: skip


def explain(error: RuntimeError) -> Exception:
    """Turn torch's message about a missing second derivative into one that names the way out."""
    if isinstance(error, ObjectiveError) or is_out_of_memory(error):
        return error
    text = _first_line(error)
    name = next((name for mark, name in _KNOWN.items() if mark in text), "")
    part = f"{name}, a part of the model or loss," if name else "a part of the model or loss"
    return MissingError(
        f"{part} has no second derivative in torch ({text}). "
        "Replace that operation by one written in differentiable torch operations, or take differences of "
        "gradients: check=False and HessianOperator(objective, route='differences')"
    )


def _first_line(error: RuntimeError) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _join(pieces: Sequence[Tensor | None], tensors: Sequence[Tensor]) -> Tensor:
    return torch.cat(
        [(torch.zeros_like(t) if p is None else p.to_dense()).reshape(-1) for p, t in zip(pieces, tensors, strict=True)]
    ).detach()
