r"""Cross-entropy over a large vocabulary from hidden states, without ever holding the logits of all tokens.

.. math:: \sum_t \log \sum_c e^{z_{tc}} - z_{t y_t}, \qquad z_t = W h_t + b

Plain double backward keeps about ten arrays of their size. Here loss, gradient and the product of the second derivative
with a vector are three operations that make the logits of a few tokens at a time, each from the hidden states, so that
autograd, forward mode and recordings see and keep hidden states alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

IGNORED = -100
#: Bytes of the logits that are made at a time; up to four arrays of their size stand beside one another.
WORKSPACE = 16 * 2**20


def rows_at_once(vocabulary: int, itemsize: int) -> int:
    """Tokens whose logits are made together."""
    return max(1, WORKSPACE // (vocabulary * itemsize))


def vocabulary_loss(hidden: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor) -> Tensor:
    """Sum of the cross-entropy of tokens whose logits are ``hidden @ weight.T + bias``.

    Parameters
    ----------
    hidden : (N, d) tensor
    weight : (C, d) tensor
    bias : (C,) tensor or None
    targets : (N,) tensor of int
        Below zero where a token does not count.

    Returns
    -------
    Tensor
        Twice differentiable in ``hidden``, ``weight`` and ``bias``, backward and forward; not three times.
    """
    bias = weight.new_zeros(len(weight)) if bias is None else bias
    loss: Tensor = _Loss.apply(hidden, weight, bias, targets)  # type: ignore[no-untyped-call]
    return loss


class _Loss(torch.autograd.Function):
    @staticmethod
    def forward(hidden: Tensor, weight: Tensor, bias: Tensor, targets: Tensor) -> Tensor:
        loss: Tensor = torch.ops.landscape.vocabulary_loss(hidden, weight, bias, targets)
        return loss

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)
        ctx.save_for_forward(*inputs)

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Any:
        wanted = list(ctx.needs_input_grad[:3])
        found = _Slope.apply(*ctx.saved_tensors, wanted)  # type: ignore[no-untyped-call]
        return *(slope * g if w else None for g, w in zip(found, wanted, strict=True)), None

    @staticmethod
    def jvp(ctx: Any, *tangents: Tensor | None) -> Tensor:
        given = [t is not None for t in tangents[:3]]
        slopes = _Slope.apply(*ctx.saved_tensors, given)  # type: ignore[no-untyped-call]
        pairs = zip(slopes, tangents, strict=False)
        return torch.stack([(s * t).sum() for s, t in pairs if t is not None]).sum()


class _Slope(torch.autograd.Function):
    """The gradient of the sum, where it is wanted; of the rest nothing, an empty tensor."""

    @staticmethod
    def forward(hidden: Tensor, weight: Tensor, bias: Tensor, targets: Tensor, wanted: list[bool]) -> Any:
        return tuple(torch.ops.landscape.vocabulary_slope(hidden, weight, bias, targets, wanted))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        *tensors, ctx.wanted = inputs
        ctx.save_for_backward(*tensors)
        ctx.save_for_forward(*tensors)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *directions: Tensor) -> Any:
        given = [d if w else None for d, w in zip(directions, ctx.wanted, strict=True)]
        wanted = list(ctx.needs_input_grad[:3])
        bent = torch.ops.landscape.vocabulary_bend(*ctx.saved_tensors, *given, wanted)
        return *(b if w else None for b, w in zip(bent, wanted, strict=True)), None, None

    @staticmethod
    def jvp(ctx: Any, *tangents: Tensor | None) -> Any:
        return tuple(torch.ops.landscape.vocabulary_bend(*ctx.saved_tensors, *tangents[:3], ctx.wanted))


# --- the three operations ---------------------------------------------------------------------------------------------
# They are torch operations of their own, so that a recording takes each for one step and does not keep what is inside.

_SCHEMAS = {
    "vocabulary_loss": "(Tensor hidden, Tensor weight, Tensor bias, Tensor targets) -> Tensor",
    "vocabulary_slope": "(Tensor hidden, Tensor weight, Tensor bias, Tensor targets, bool[] wanted) -> Tensor[]",
    "vocabulary_bend": "(Tensor hidden, Tensor weight, Tensor bias, Tensor targets, Tensor? along_hidden, "
    "Tensor? along_weight, Tensor? along_bias, bool[] wanted) -> Tensor[]",
}


def _pieces(hidden: Tensor, weight: Tensor, targets: Tensor) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Places, hidden states and targets of the tokens that count, a few at a time."""
    counted = (targets >= 0).nonzero()[:, 0]
    for places in counted.split(rows_at_once(len(weight), weight.element_size())):
        yield places, hidden[places], targets[places, None]


def _loss(hidden: Tensor, weight: Tensor, bias: Tensor, targets: Tensor) -> Tensor:
    total = hidden.new_zeros(())
    for _, h, y in _pieces(hidden, weight, targets):
        z = F.linear(h, weight, bias)
        total += (z.logsumexp(1, keepdim=True) - z.gather(1, y)).sum()
    return total


def _slope(hidden: Tensor, weight: Tensor, bias: Tensor, targets: Tensor, wanted: list[bool]) -> list[Tensor]:
    out = _empty(hidden, weight, bias, wanted)
    for places, h, y in _pieces(hidden, weight, targets):
        residual = _less_one(F.linear(h, weight, bias).softmax(1), y)
        _add(out, wanted, places, h, weight, residual)
    return out


def _bend(
    hidden: Tensor, weight: Tensor, bias: Tensor, targets: Tensor, along_hidden: Tensor | None,
    along_weight: Tensor | None, along_bias: Tensor | None, wanted: list[bool],
) -> list[Tensor]:  # fmt: skip
    out = _empty(hidden, weight, bias, wanted)
    for places, h, y in _pieces(hidden, weight, targets):
        p = F.linear(h, weight, bias).softmax(1)
        moved = torch.zeros_like(p)
        if along_hidden is not None:
            moved.addmm_(along_hidden[places], weight.T)
        if along_weight is not None:
            moved.addmm_(h, along_weight.T)
        if along_bias is not None:
            moved += along_bias
        moved -= (p * moved).sum(1, keepdim=True)
        moved *= p
        _add(out, wanted, places, h, weight, moved)
        residual = _less_one(p, y)
        if along_weight is not None and wanted[0]:
            out[0][places] += residual @ along_weight
        if along_hidden is not None and wanted[1]:
            out[1].addmm_(residual.T, along_hidden[places])
    return out


def _empty(hidden: Tensor, weight: Tensor, bias: Tensor, wanted: list[bool]) -> list[Tensor]:
    return [torch.zeros_like(x) if w else x.new_empty(0) for x, w in zip((hidden, weight, bias), wanted, strict=True)]


def _less_one(p: Tensor, y: Tensor) -> Tensor:
    return p.scatter_add_(1, y, p.new_full((1, 1), -1.0).expand(len(y), 1))


def _add(out: list[Tensor], wanted: list[bool], places: Tensor, h: Tensor, weight: Tensor, by_word: Tensor) -> None:
    """What a derivative by the logits gives by hidden states, weight and bias."""
    if wanted[0]:
        out[0][places] += by_word @ weight
    if wanted[1]:
        out[1].addmm_(by_word.T, h)
    if wanted[2]:
        out[2] += by_word.sum(0)


_library = torch.library.Library("landscape", "FRAGMENT")
for _name, _operation in (("vocabulary_loss", _loss), ("vocabulary_slope", _slope), ("vocabulary_bend", _bend)):
    _library.define(_name + _SCHEMAS[_name])
    _library.impl(_name, _operation, "CompositeExplicitAutograd")


def _one_by_one(info: Any, in_dims: tuple[Any, ...], *args: Any) -> tuple[list[Tensor], list[int]]:
    """Several directions at once: for each the logits are made anew."""
    each = [
        torch.ops.landscape.vocabulary_bend(
            *(arg if axis is None else arg.select(axis, k) for arg, axis in zip(args[:7], in_dims[:7], strict=True)),
            args[7],
        )
        for k in range(info.batch_size)
    ]
    stacked = [torch.stack(column) for column in zip(*each, strict=True)]
    return stacked, [0] * len(stacked)


def _like_loss(hidden: Tensor, weight: Tensor, bias: Tensor, targets: Tensor) -> Tensor:
    return hidden.new_empty(())


def _like_slopes(hidden: Tensor, weight: Tensor, bias: Tensor, targets: Tensor, *rest: Any) -> list[Tensor]:
    return [torch.empty_like(x) if w else x.new_empty(0) for x, w in zip((hidden, weight, bias), rest[-1], strict=True)]


for _name, _shapes in (
    ("vocabulary_loss", _like_loss), ("vocabulary_slope", _like_slopes), ("vocabulary_bend", _like_slopes),
):  # fmt: skip
    torch.library.register_fake(f"landscape::{_name}", _shapes, lib=_library)
if hasattr(torch.library, "register_vmap"):  # torch 2.5; before it, blocks of vectors are refused and taken singly
    torch.library.register_vmap("landscape::vocabulary_bend", _one_by_one, lib=_library)
