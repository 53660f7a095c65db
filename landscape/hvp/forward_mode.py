"""Forward mode made safe: zero tangents that have memory, and operations in steps where torch's own step fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from landscape.hvp.modes import OperationMode

_ZERO_TANGENT = torch.ops.aten._efficientzerotensor.default


class PlainZeros(OperationMode):
    """Zero tangents as tensors like any other.

    Where one argument of an operation has a tangent and another has none, torch takes a *zero tensor* for it, which has
    a shape and no memory. Eager code refuses to write to it; while a graph is recorded nothing guards it, and a kernel
    that reads it ends the process (``mse_loss`` does, whatever its reduction). Real zeros work everywhere; those that
    change nothing are dropped from a recording afterwards.
    """

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is _ZERO_TANGENT:
            return torch.zeros(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))


class InSteps(TorchFunctionMode):
    """Operations in steps, where torch has no derivative of the whole.

    Layer norm with a bias and no weight, hardsigmoid: no second derivative. The losses of Huber and of a soft margin:
    no forward mode of the first.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        spelled = _STEPS.get(func)
        result = spelled(*args, **(kwargs or {})) if spelled else NotImplemented
        return func(*args, **(kwargs or {})) if result is NotImplemented else result


def _layer_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    *_: Any,
) -> Any:
    if weight is not None or bias is None:
        return NotImplemented
    return torch.layer_norm(input, normalized_shape, None, None, eps) + bias


def _hardsigmoid(input: Tensor, inplace: bool = False) -> Tensor:
    result = F.relu6(input + 3) / 6
    return input.copy_(result) if inplace else result


def _huber_loss(
    input: Tensor, target: Tensor, reduction: str = "mean", delta: float = 1.0, weight: Tensor | None = None
) -> Any:
    if weight is not None or input.shape != target.shape:
        return NotImplemented
    apart = input - target
    inside = apart.abs() <= delta
    return _reduced(torch.where(inside, apart**2 / 2, delta * (apart.abs() - delta / 2)), reduction)


def _soft_margin_loss(
    input: Tensor, target: Tensor, size_average: Any = None, reduce: Any = None, reduction: str = "mean"
) -> Any:
    if size_average is not None or reduce is not None or input.shape != target.shape:
        return NotImplemented
    return _reduced(-F.logsigmoid(target * input), reduction)


def _reduced(loss: Tensor, reduction: str) -> Any:
    if reduction == "none":
        return loss
    if reduction == "mean":
        return loss.mean()
    return loss.sum() if reduction == "sum" else NotImplemented


_STEPS: dict[Any, Callable[..., Any]] = {
    F.layer_norm: _layer_norm,
    torch.layer_norm: _layer_norm,
    F.hardsigmoid: _hardsigmoid,
    F.huber_loss: _huber_loss,
    F.soft_margin_loss: _soft_margin_loss,
}


@contextmanager
def recording() -> Iterator[None]:
    """What forward mode and a recording of it run under."""
    with InSteps(), PlainZeros():
        yield
