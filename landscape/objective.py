"""Model + loss + data as one fixed question: L(θ), ∇L(θ) and ∇²L(θ)v."""

from __future__ import annotations

import copy
import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypedDict

import numpy as np
import torch
from torch import Tensor, nn
from typing_extensions import Unpack

from landscape import hvp, preflight
from landscape.batches import (
    AUTO_CHUNK,
    AUTO_CHUNK_BYTES,
    DOUBLE_CHUNK,
    Batches,
    Weight,
    cast,
    check_chunk,
    count_examples,
    take,
)
from landscape.errors import ObjectiveError, UsageError, check_choice
from landscape.functional import LossFn, LossModule, OwnLoss, Parts, SupervisedLoss
from landscape.params import ParamLayout

Vector = Tensor | np.ndarray


class _Options(TypedDict, total=False):
    """What both ways to make an objective take by keyword."""

    params: str | Sequence[str]
    weight: Weight | None
    mode: str
    chunk: int | str | None
    dtype: torch.dtype | None
    device: torch.device | str | None
    check: bool


class Objective:
    r"""The loss of a model on a fixed set of examples, as a function of its parameters.

    .. math:: L(\theta) = \sum_b n_b L_b(\theta) \Big/ \sum_b n_b

    with :math:`L_b` the mean loss of chunk b and :math:`n_b` its number of examples (or what ``weight`` counts). The
    data are read once, here. The model is borrowed for each evaluation and left exactly as it was.

    Parameters
    ----------
    model : nn.Module
    loss_fn : callable
        ``loss_fn(output, target) -> scalar``, a mean over examples.
    data : (inputs, targets), DataLoader or list of batches
        Inputs that are a tuple are passed as positional, a dict as keyword arguments.
    params : str or sequence of str
        Globs of the parameters that make up θ, e.g. ``"fc*.weight"``; the others stay fixed.
    weight : callable, optional
        ``weight(batch) -> float``, where the loss is a mean over something other than examples, such as the tokens that
        count.
    mode : {"eval", "train"}
        ``"train"`` asks for batch statistics over the whole data as one batch.
    chunk : "auto", int or None
        Examples evaluated at a time; None keeps the batches as they come. Never changes the value beyond rounding.
    dtype : torch.dtype, optional
        float32 or float64; left out, the model's own (float32 for half precision).
    device : optional
        Left out, the model's own.
    check : bool
        Examine the question before answering it (:mod:`landscape.preflight`); about 20 gradients on up to 12 examples.

    Attributes
    ----------
    layout : ParamLayout
        How θ is made of tensors; ``layout.frozen`` lists what is outside.
    drawn_from : int
        Examples of the whole data, where this is a subset of them.
    unused, linear : tuple of str
        Tensors of θ the loss does not depend on, or depends on linearly by themselves: their rows of the Hessian are
        zero. Known after ``check=True``.

    Raises
    ------
    ObjectiveError
        If the question is ill-posed: the message says what was seen, likely causes, and the way out.
    UsageError
        If an argument is outside what is accepted.

    Examples
    --------
    >>> import torch
    >>> model = torch.nn.Linear(2, 1, bias=False)
    >>> x, y = torch.eye(2), torch.ones(2, 1)
    >>> objective = Objective(model, torch.nn.functional.mse_loss, (x, y))
    >>> objective.hvp(torch.tensor([1.0, 0.0]))
    tensor([1., 0.])
    """

    def __init__(
        self,
        model: nn.Module,
        loss_fn: LossFn,
        data: Any,
        *,
        params: str | Sequence[str] = "*",
        weight: Weight | None = None,
        mode: str = "eval",
        chunk: int | str | None = "auto",
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
        check: bool = True,
    ) -> None:
        module = SupervisedLoss(_plain(model), loss_fn)
        options = _Options(params=params, weight=weight, mode=mode, chunk=chunk, dtype=dtype, device=device)
        self._build(module, _name_of(loss_fn), data, {**options, "check": check})

    @classmethod
    def from_loss(
        cls, model: nn.Module, loss: Callable[[Any, Any], Tensor], data: Any, **options: Unpack[_Options]
    ) -> Objective:
        """Objective of ``loss(model, batch) -> scalar``, for everything that is not ``loss_fn(model(x), y)``.

        ``loss`` is a mean over the examples of a batch, or over what ``weight(batch)`` counts. The keyword arguments
        (params, weight, mode, chunk, dtype, device, check) are those of :class:`Objective`.
        """
        self = cls.__new__(cls)
        self._build(OwnLoss(_plain(model), loss), _name_of(loss), data, options)
        return self

    def _build(self, module: LossModule, loss_name: str, data: Any, options: _Options) -> None:
        if unknown := set(options) - set(_Options.__annotations__):
            raise TypeError(f"unexpected options {sorted(unknown)}; there are {', '.join(_Options.__annotations__)}")
        mode, chunk, dtype = options.get("mode", "eval"), options.get("chunk", "auto"), options.get("dtype")
        check_choice("mode", mode, ("eval", "train"))
        check_chunk(chunk)
        model = module.model
        self._module, self.loss_name, self.mode = module, loss_name, mode
        self._weight: Weight = options.get("weight") or count_examples
        self._held: dict[str, Tensor] = {}
        try:
            self.layout = ParamLayout.of(model, options.get("params", "*"))
        except UsageError as error:
            raise ObjectiveError(str(error)) from None
        first = next(p for p in model.parameters() if p.is_floating_point())
        self.device = torch.device(options.get("device") or first.device)
        self.dtype = dtype or (first.dtype if first.dtype in (torch.float32, torch.float64) else torch.float32)
        check_choice("dtype", self.dtype, (torch.float32, torch.float64))
        self._batches = data if isinstance(data, Batches) else Batches(data)
        self.drawn_from = self._batches.num_examples
        self.chunk: int | None = None
        self.chunk = self._chunk_size(chunk)
        self.unused: tuple[str, ...] = ()
        self.linear: tuple[str, ...] = ()
        self._prepare()
        if options.get("check", True):
            self.unused, self.linear = preflight.examine(self)

    def _chunk_size(self, chunk: int | str | None) -> int | None:
        if self.mode == "train" and chunk == "auto":
            return self.num_examples
        if chunk != "auto":
            return int(chunk) if chunk is not None else None
        if self._batches.joined is None:
            return None
        few, more = (self._saved_bytes(count) for count in (2, 6))
        per_example = (more - few) / 4  # the difference leaves out the parameters, which every chunk keeps
        most = max(1, min(AUTO_CHUNK, int(AUTO_CHUNK_BYTES // max(per_example, 1))))
        return _even(self.num_examples, most)

    def _saved_bytes(self, count: int) -> int:
        """What the forward pass on ``count`` examples keeps; the first ones, repeated where there are too few."""
        few = self._batches.first(count)
        batch = take(few, torch.arange(count) % count_examples(few))
        parts = self.on_batches([batch]).parts()
        return hvp.count_saved_bytes(lambda: parts.part_with_graph(0))

    def _prepare(self) -> None:
        """Cut and cast the data for this dtype and device."""
        chunks = self._batches.cut(self.chunk)
        weights = [float(self._weight(chunk)) for chunk in chunks]
        if min(weights) < 0 or sum(weights) <= 0:
            raise ObjectiveError(f"weight(batch) gave {min(weights):g}; it must count what the mean runs over")
        self._chunks = [cast(c, self.dtype, self.device) for c, w in zip(chunks, weights, strict=True) if w > 0]
        self._shares = [w / sum(weights) for w in weights if w > 0]

    @property
    def resolution(self) -> float:
        """Relative rounding error that the model's arithmetic leaves in a gradient or product: eps of its dtype."""
        return float(torch.finfo(self.dtype).eps)

    @property
    def num_examples(self) -> int:
        """N."""
        return self._batches.num_examples

    @property
    def num_chunks(self) -> int:
        """How many pieces the data are evaluated in."""
        return len(self._chunks)

    @property
    def theta(self) -> Tensor:
        """The model's parameters now, flat: a copy of shape (P,)."""
        named = dict(self._module.model.named_parameters())
        return self.layout.flatten({n: t.detach() for n, t in named.items()}).to(self.device, self.dtype, copy=True)

    def parts(self) -> Parts:
        """L as a sum over chunks, with all that is not θ held as it is now."""
        return Parts(
            self._module,
            self.layout,
            self._chunks,
            self._shares,
            mode=self.mode,
            dtype=self.dtype,
            device=self.device,
            held=self._held,
        )

    def loss(self, theta: Vector | None = None) -> float:
        """L(θ), summed over chunks in double precision. Costs one forward pass over the data."""
        parts, point = self.parts(), self._point(theta)
        with parts.borrowed():
            tensors = self.layout.split(point)
            losses = [parts.value(i, tensors) for i in range(len(self._shares))]
        return sum(share * loss for share, loss in zip(self._shares, losses, strict=True))

    def gradient(self, theta: Vector | None = None) -> Tensor:
        """∇L(θ), shape (P,). Costs one gradient."""
        return self.loss_and_gradient(theta)[1]

    def loss_and_gradient(self, theta: Vector | None = None) -> tuple[float, Tensor]:
        """L(θ) and ∇L(θ) for the price of the gradient."""
        return hvp.loss_and_gradient(self.parts(), self._point(theta))

    def hvp(self, v: Vector, theta: Vector | None = None) -> Tensor:
        """∇²L(θ)·v, shape (P,), by double backward; for many products at one θ, HessianOperator is faster."""
        return hvp.Fresh(self.parts(), self._point(theta))(self._point(v))

    def with_dtype(self, dtype: torch.dtype) -> Objective:
        """The same question asked in another floating-point type."""
        twin = copy.copy(self)
        twin.dtype = dtype
        if dtype == torch.float64 and twin.chunk and self.mode == "eval" and self._batches.joined is not None:
            twin.chunk = min(twin.chunk, DOUBLE_CHUNK)
        twin._prepare()
        return twin

    def restricted(self, params: str | Sequence[str], *, at: Vector | None = None) -> Objective:
        """The same loss as a function of fewer parameters; the others stay where ``at``, or the model, has them."""
        twin = copy.copy(self)
        twin.layout = ParamLayout.of(self._module.model, self.layout.select(params))
        return twin if at is None else twin.with_constants(self.layout.unflatten(self._point(at)))

    def with_constants(self, named: Mapping[str, Tensor]) -> Objective:
        """The same loss with these frozen parameters and buffers, by their names in the model, in place of its own."""
        twin = copy.copy(self)
        twin._held = {**self._held, **named}
        return twin

    def rechunked(self, chunk: int) -> Objective:
        """The same question evaluated ``chunk`` examples at a time; the value changes by rounding alone."""
        check_chunk(chunk)
        twin = copy.copy(self)
        twin.chunk = None if self._batches.joined is None else chunk
        twin._prepare()
        return twin

    def on_batches(self, batches: list[Any]) -> Objective:
        """The same loss on other data, unchecked."""
        twin = copy.copy(self)
        twin._batches = Batches(batches)
        twin.drawn_from = twin._batches.num_examples
        twin.chunk = None if twin._batches.joined is None else self.chunk
        twin._prepare()
        return twin

    def subset(self, indices: Any) -> Objective:
        """The same loss on the examples with these numbers (M,), in this order, unchecked.

        Raises
        ------
        ObjectiveError
            If the batches do not join to one tensor per input, so that single examples cannot be picked.
        UsageError
            If there is no index, or one is outside 0 … N − 1.
        """
        if self._batches.joined is None:
            raise ObjectiveError(
                "these batches cannot be cut into examples: their tensors do not join along the first dimension. Pass "
                "data whose batches have tensors of equal shape but for the first dimension"
            )
        chosen = torch.as_tensor(np.asarray(indices, dtype=np.int64).reshape(-1))
        if not len(chosen) or int(chosen.min()) < 0 or int(chosen.max()) >= self.num_examples:
            raise UsageError(f"{len(chosen)} indices do not fit: one at least, each in 0 … {self.num_examples - 1}")
        part = self.on_batches([take(self._batches.joined, chosen)])
        part.drawn_from = self.drawn_from
        return part.rechunked(_even(len(chosen), part.chunk)) if part.chunk else part

    def on_first(self, count: int) -> Objective:
        """The same loss on the first ``count`` examples, or on the first batch where it cannot be cut."""
        return self.on_batches([self._batches.first(count)])

    def digest(self) -> str:
        """SHA-256 of the question: data, loss, mode, dtype and the names of θ; not of the parameters' values."""
        facts = [self._batches.digest(), self.loss_name, self.mode, str(self.dtype), list(self.layout.names)]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()

    def constants_digest(self) -> str:
        """SHA-256 of what is fixed in the model besides θ: frozen parameters and buffers."""
        return self.parts().constants_digest()

    def _point(self, theta: Vector | None) -> Tensor:
        if theta is None:
            return self.theta
        point = torch.as_tensor(theta).detach().to(self.device, self.dtype)
        if point.shape != (self.layout.size,):
            raise UsageError(f"a vector of shape {tuple(point.shape)} does not fit: θ has shape ({self.layout.size},)")
        return point

    def __repr__(self) -> str:
        return (
            f"Objective(P={self.layout.size}, N={self.num_examples}, loss={self.loss_name}, mode={self.mode}, "
            f"{str(self.dtype).removeprefix('torch.')} on {self.device}, {self.num_chunks} chunks)"
        )


def _even(count: int, most: int) -> int:
    """The chunk size that cuts ``count`` examples into as many chunks as ``most`` would, without a short last one."""
    return math.ceil(count / math.ceil(count / most))


def _plain(model: Any) -> nn.Module:
    """The module itself: a compiled one has no double backward, what it wraps does."""
    model = getattr(model, "_orig_mod", model)
    if not isinstance(model, nn.Module):
        raise UsageError(f"model must be a torch.nn.Module, not {type(model).__name__}")
    return model


def _name_of(function: Any) -> str:
    return getattr(function, "__qualname__", None) or repr(function)
