"""In which precision a model computes, whatever it is given; and the same model with its casts to lower ones lifted.

Many language models take norms, softmax and logits in float32 by themselves. Their derivatives are right, and as exact
as float32 is, not as the dtype of their parameters is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree

_LIFTED: dict[torch.dtype, torch.dtype] = {
    torch.float16: torch.float64,
    torch.bfloat16: torch.float64,
    torch.float32: torch.float64,
    torch.complex32: torch.complex128,
    torch.complex64: torch.complex128,
}
_CASTS: dict[Any, torch.dtype] = {
    Tensor.half: torch.float64,
    Tensor.bfloat16: torch.float64,
    Tensor.float: torch.float64,
    Tensor.cfloat: torch.complex128,  # type: ignore[attr-defined]
}
_LIKE = (Tensor.to, Tensor.type_as)


def counterpart(tensor: Tensor, dtype: torch.dtype) -> torch.dtype:
    """The dtype of this kind of number as exact as ``dtype`` is: complex stays complex, integers as they are."""
    if tensor.is_complex():
        return torch.complex128 if dtype == torch.float64 else torch.complex64
    return dtype if tensor.is_floating_point() else tensor.dtype


class PrecisionWatch(TorchFunctionMode):
    """Notes the coarsest floating-point type among the tensors that depend on θ.

    Attributes
    ----------
    coarsest : torch.dtype or None
    """

    def __init__(self) -> None:
        super().__init__()
        self.coarsest: torch.dtype | None = None

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        # What it was given counts too: an assignment into a tensor returns nothing.
        for leaf in (*args, *((out,) if isinstance(out, Tensor) else pytree.tree_leaves(out))):
            if isinstance(leaf, Tensor) and leaf.requires_grad and _eps(leaf.dtype) > _eps(self.coarsest):
                self.coarsest = leaf.dtype
        return out


class _Lift(TorchFunctionMode):
    """Casts to a lower precision become casts to float64."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if func in _CASTS:
            return args[0].to(_CASTS[func])
        if func in _LIKE and len(args) > 1 and isinstance(args[1], Tensor) and args[1].dtype in _LIFTED:
            args = (args[0], args[1].to(_LIFTED[args[1].dtype]), *args[2:])
        named = {key: _lifted(value) for key, value in (kwargs or {}).items()}
        return func(*map(_lifted, args), **named)


def _lifted(argument: Any) -> Any:
    return _LIFTED.get(argument, argument) if isinstance(argument, torch.dtype) else argument


@contextmanager
def lifted() -> Iterator[None]:
    """Let a model compute in float64 all through: what it casts down stays float64, what it makes anew is float64."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        with _Lift():
            yield
    finally:
        torch.set_default_dtype(before)


def _eps(dtype: torch.dtype | None) -> float:
    return 0.0 if dtype is None else float(torch.finfo(dtype).eps)
