"""The same loss by plain torch: a copy of the model, ``loss.backward`` twice, a weighted sum over batches.

Nothing here goes through the functional calls, chunks and recorded products of our operators: only the data, as they
were read, and what each batch weighs are common.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils import _pytree as pytree

from landscape.objective import Objective
from landscape.objective.batches import cast, unpack
from landscape.operators import LinearOperator
from landscape.witness.verdicts import NotRun

#: How batches may be weighed otherwise than they should be.
WEIGHTS = ("asked", "equal", "first dimension")


class Plain:
    """L(θ), ∇L and ∇²L·V of an objective in float64, by eager double backward.

    Parameters
    ----------
    weights : {"asked", "equal", "first dimension"}
        As the objective weighs its batches; or all alike; or by the first dimension of their first tensor. The last two
        on the batches as they came: what a tool gets that weighs them so.
    """

    def __init__(self, objective: Objective, *, weights: str = "asked", dtype: torch.dtype = torch.float64) -> None:
        _refuse_other_constants(objective)
        self.dtype, self.device, self.layout, self._mode = dtype, objective.device, objective.layout, objective.mode
        self.module = copy.deepcopy(objective.module).to(dtype=dtype, device=objective.device)
        named = dict(self.module.model.named_parameters())
        for parameter in self.module.parameters():
            parameter.requires_grad_(False)
            parameter.grad = None
        self.tensors = [named[name].requires_grad_(True) for name in self.layout.names]
        raw = objective.batches.cut(None if weights != "asked" else objective.chunk)
        weighed = {"asked": objective.weigh, "equal": lambda _: 1.0, "first dimension": _first_dimension}[weights]
        total = sum(map(weighed, raw))
        self.shares = [weighed(batch) / total for batch in raw]
        self._batches = [cast(batch, dtype, objective.device) for batch in raw]
        self.num_matvecs = 0

    @property
    def dim(self) -> int:
        """P."""
        return self.layout.size

    def loss(self, theta: Tensor | None = None) -> float:
        """L(θ); left out, at the model's parameters."""
        with self._at(theta), torch.no_grad():
            return sum(share * float(self._loss(batch)) for share, batch in self._weighted())

    def gradient(self, theta: Tensor | None = None) -> Tensor:
        """∇L(θ), (P,)."""
        out = torch.zeros(self.dim, dtype=self.dtype, device=self.device)
        with self._at(theta), torch.enable_grad():
            for share, batch in self._weighted():
                parts = torch.autograd.grad(self._loss(batch), self.tensors, materialize_grads=True)
                out += share * _flat(parts)
        return out

    def products(self, V: Tensor) -> Tensor:
        """∇²L·V for V of shape (P, K)."""
        V = V.to(self.dtype)
        out = torch.zeros_like(V)
        with self._at(None), torch.enable_grad():
            for share, batch in self._weighted():
                first = torch.autograd.grad(self._loss(batch), self.tensors, create_graph=True, materialize_grads=True)
                curved = [(g, i) for i, g in enumerate(first) if g.requires_grad]
                if not curved:
                    continue
                for k in range(V.shape[1]):
                    pieces = self.layout.split(V[:, k].contiguous())
                    rows = torch.autograd.grad(
                        [g for g, _ in curved], self.tensors, [pieces[i] for _, i in curved],
                        retain_graph=k < V.shape[1] - 1, materialize_grads=True,
                    )  # fmt: skip
                    out[:, k] += share * _flat(rows)
        self.num_matvecs += V.shape[1]
        return out

    def dense(self) -> Tensor:
        """∇²L itself, (P, P), not symmetrised."""
        return self.products(torch.eye(self.dim, dtype=self.dtype, device=self.device))

    def _weighted(self) -> Iterator[tuple[float, Any]]:
        return ((share, batch) for share, batch in zip(self.shares, self._batches, strict=True) if share > 0)

    def _loss(self, batch: Any) -> Tensor:
        loss: Tensor = self.module.mean_loss(unpack(batch))
        return loss

    @contextmanager
    def _at(self, theta: Tensor | None) -> Iterator[None]:
        before = [tensor.detach().clone() for tensor in self.tensors]
        self.module.train(self._mode == "train")
        with torch.random.fork_rng(devices=[]), sdpa_kernel(SDPBackend.MATH), torch.inference_mode(False):
            try:
                if theta is not None:
                    self._put(self.layout.split(theta.to(self.device, self.dtype)))
                yield
            finally:
                self._put(before)

    def _put(self, values: list[Tensor]) -> None:
        with torch.no_grad():
            for tensor, value in zip(self.tensors, values, strict=True):
                tensor.copy_(value)


class PlainOperator(LinearOperator):
    """The products of :class:`Plain` as an operator, for our estimators."""

    def __init__(self, plain: Plain) -> None:
        super().__init__(plain.dim, dtype=plain.dtype, device=plain.device)
        self._plain = plain

    def _matvec(self, v: Tensor) -> Tensor:
        return self._plain.products(v[:, None])[:, 0]

    def _matmat(self, V: Tensor) -> Tensor:
        return self._plain.products(V)


def model_for_a_peer(objective: Objective) -> nn.Module:
    """A copy of the model for a tool that may change it: in eval mode, only θ trainable, no gradients."""
    _refuse_other_constants(objective)
    model = copy.deepcopy(objective.module.model).to(dtype=objective.dtype, device=objective.device).eval()
    inside = set(objective.layout.names)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in inside)
        parameter.grad = None
    return model


def _refuse_other_constants(objective: Objective) -> None:
    """An objective whose frozen parameters or buffers are others than its model's is not what a copy would measure."""
    model = objective.module.model
    own = {n: p.detach() for n, p in model.named_parameters() if n not in objective.layout.names}
    own |= dict(model.named_buffers())
    if objective.with_constants(own).constants_digest() != objective.constants_digest():
        raise NotRun(
            "the objective has other constants than its model (with_constants, restricted at another point); witnesses "
            "measure the model as it is"
        )


def _first_dimension(batch: Any) -> float:
    return float(next(len(leaf) for leaf in pytree.tree_leaves(unpack(batch)) if isinstance(leaf, Tensor)))


def _flat(tensors: Any) -> Tensor:
    return torch.cat([tensor.detach().reshape(-1) for tensor in tensors])
