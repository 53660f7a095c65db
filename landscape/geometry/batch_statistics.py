"""Running statistics of normalisation layers where θ moves: they belong to the θ at which they were gathered."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from itertools import cycle
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from landscape.checks import check_choice
from landscape.device import widened
from landscape.errors import UsageError
from landscape.objective import Objective

#: Of a layer; the last counts batches and is read in training alone.
STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
_KINDS = (nn.modules.batchnorm._BatchNorm, nn.modules.instancenorm._InstanceNorm)
_FEW = 8  # examples that show which buffers a training moves


def layers(model: nn.Module) -> dict[str, nn.Module]:
    """Layers that normalise by running statistics of their inputs once they are trained, by their path."""
    return {path: part for path, part in model.named_modules() if isinstance(part, _KINDS) and _tracks(part)}


def statistics_of(model: nn.Module) -> set[str]:
    """Names of the buffers that these layers gather."""
    return {_name(path, buffer) for path in layers(model) for buffer in STATISTICS}


def where_theta_moves(objective: Objective, batch_statistics: str) -> tuple[str, Callable[[Tensor], Objective]]:
    """What a record has for ``batch_statistics``, ``"fixed"`` or ``"recompute"``, and the objective that holds at θ."""
    if batch_statistics == "interpolate":
        raise UsageError(
            "batch_statistics='interpolate' needs the two models at the ends of a line, as interpolate(objective_a, "
            "objective_b) has; here it is 'fixed' or 'recompute'"
        )
    check_choice("batch_statistics", batch_statistics, ("fixed", "recompute"))
    if not layers(objective.parts().model):
        return "", partial(_as_it_is, objective)
    if objective.mode == "train":
        return "train", partial(_as_it_is, objective)
    if batch_statistics == "fixed":
        return "fixed", partial(_as_it_is, objective)
    return "recompute", partial(_with_recomputed, objective)


def _as_it_is(objective: Objective, theta: Tensor) -> Objective:
    return objective


def _with_recomputed(objective: Objective, theta: Tensor) -> Objective:
    return objective.with_constants(recomputed(objective, theta))


def recomputed(objective: Objective, theta: Tensor) -> dict[str, Tensor]:
    r"""The running statistics of the whole data at θ, by the names of their buffers, in float64.

    They are what ``reset_running_stats()``, ``momentum = None`` and one pass of all the data as *one* batch leave in
    the normalisation layers, these in training mode and the rest of the model as it is evaluated. Each layer sees what
    the layers before it make of statistics of the whole data, so neither the chunks nor their order matter beyond
    rounding. The variance is the unbiased one, as torch stores it; a layer that is called several times keeps the mean
    over its calls.

    Raises
    ------
    UsageError
        If the chunks do not pass the same layers, a layer has one value a channel, or it is used without being called.

    Notes
    -----
    A chunk goes as far as the first layer whose statistics are not known yet, adds to them, and begins anew when the
    others have come as far. One forward pass where the data are one chunk; else about half as many passes over the data
    as there are layers. ``objective.rechunked(N)`` makes them one chunk, where they fit.
    """
    parts = objective.parts()
    known = layers(parts.model)
    tensors = objective.layout.split(theta)
    gathering = _Gathering(len(parts.shares))
    with parts.borrowed(), _hooked(known.values(), gathering.before_layer), torch.enable_grad():
        # In turn, so that none comes to a call again before all others have come to it.
        for index in cycle(range(len(parts.shares))):
            gathering.begin(index)
            with suppress(_FarEnough):
                parts.part(index, tensors)
                gathering.end()
            if gathering.is_complete:
                break
    found: dict[str, Tensor] = {}
    for path, layer in known.items():
        calls = [call.stored() for call in gathering.calls if call.layer is layer]
        for buffer, values in zip(STATISTICS, zip(*calls, strict=True), strict=False):
            found[_name(path, buffer)] = torch.stack(values).mean(0)
    _check_unseen(objective, theta, [path for path in known if _name(path, STATISTICS[0]) not in found])
    return found


def moved_by_training(objective: Objective) -> list[str]:
    """Names of the buffers that a pass in training mode changes, beside those of :func:`statistics_of`.

    Power iterations of spectral norms, moving averages, codebooks: what they hold belongs to one θ, too. Known from a
    pass of a few examples on copies; what a training loop moves by itself cannot be seen here.
    """
    model = objective.parts().model
    others = set(dict(model.named_buffers())) - statistics_of(model)
    if not others:
        return []
    few = objective.on_first(_FEW)
    parts, moved = few.parts(), set[str]()
    with ExitStack() as stack:
        stack.enter_context(parts.borrowed())
        model.train()
        for path, part in model.named_modules():
            if any(buffer is not None for buffer in part._buffers.values()):
                stack.enter_context(_watched(part, path, moved))
        # A model that cannot run so, say on few examples, has shown what it moved until then.
        with suppress(Exception), torch.enable_grad():
            parts.part(0, few.layout.split(few.theta))
    return sorted(moved & others)


def refuse_other_buffers(objective: Objective) -> None:
    """Refuse a model in which training moves what positions do not hold and the data do not tell."""
    if moved := moved_by_training(objective):
        raise UsageError(
            f"positions do not hold what training moves beside θ in this model: {', '.join(moved[:4])}. "
            "batch_statistics='fixed' draws the loss with all that as it is in the objective's model"
        )


def same(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors have the same bits."""
    if a.dtype != b.dtype or a.shape != b.shape:
        return False
    return torch.equal(*(t.detach().cpu().contiguous().reshape(-1).view(torch.uint8) for t in (a, b)))


class _FarEnough(BaseException):
    """Ends the pass of a chunk at a layer that waits for the others; no error, so nothing may catch it as one."""


class _Gathering:
    """The calls of normalisation layers in their order, and the statistics of each as the chunks come by."""

    def __init__(self, num_chunks: int) -> None:
        self.calls: list[_Call] = []  # whose statistics are known
        self._next: _Call | None = None  # the one after them, which some chunks have not come to
        self._num_chunks, self._chunk, self._at = num_chunks, 0, 0
        self._came = 0  # chunks to the next call
        self._through: set[int] = set()

    @property
    def is_complete(self) -> bool:
        return len(self._through) == self._num_chunks

    def begin(self, chunk: int) -> None:
        self._chunk, self._at = chunk, 0

    def end(self) -> None:
        if self._next is not None or self._at != len(self.calls):
            raise _uneven()
        self._through.add(self._chunk)

    def before_layer(self, layer: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """A hook: gather where the statistics are not known, and let the layer normalise by them where they are."""
        inputs = args[0] if args else kwargs["input"]
        if self._at == len(self.calls):
            self._gather(layer, inputs)
        call = self.calls[self._at]
        self._at += 1
        if call.layer is not layer:
            raise _uneven()
        call.apply()

    def _gather(self, layer: nn.Module, inputs: Tensor) -> None:
        if self._next is None:
            self._next = (_Call if isinstance(layer, nn.modules.batchnorm._BatchNorm) else _InstanceCall)(layer)
        if self._through or self._next.layer is not layer:
            raise _uneven()
        self._next.add(widened(inputs.detach()))
        self._came += 1
        if self._came < self._num_chunks:
            raise _FarEnough
        self._next.check()
        self.calls.append(self._next)
        self._next, self._came = None, 0


class _Call:
    """One call of a batch normalisation: mean and squares about it of each channel, over examples and places."""

    def __init__(self, layer: Any) -> None:
        self.layer = layer
        self.count = 0
        self.mean: Any = 0.0
        self.spread: Any = 0.0

    def add(self, inputs: Tensor) -> None:
        """Chan, Golub & LeVeque (1983): the squares about the common mean, from those about each part's own."""
        count = inputs.numel() // inputs.shape[1]
        variance, mean = torch.var_mean(inputs, [d for d in range(inputs.ndim) if d != 1], correction=0)
        total, apart = self.count + count, mean - self.mean
        self.spread = self.spread + count * variance + apart**2 * (self.count * count / total)
        self.mean = self.mean + apart * (count / total)
        self.count = total

    def check(self) -> None:
        if self.count < 2:
            raise UsageError(
                f"batch_statistics='recompute': a {type(self.layer).__name__} has {self.count} value a channel over "
                "all the data, which has no variance. More examples are needed, or 'fixed' or 'interpolate'"
            )

    def apply(self) -> None:
        """The layer, in evaluation mode, normalises as it does in training: by the variance that is not unbiased."""
        self.layer.running_mean.copy_(self.mean)
        self.layer.running_var.copy_(self.spread / self.count)

    def stored(self) -> tuple[Tensor, Tensor]:
        """Mean and unbiased variance."""
        return self.mean, self.spread / (self.count - 1)


class _InstanceCall(_Call):
    """The same for instance normalisation, which stores means over examples of what it takes within each."""

    def add(self, inputs: Tensor) -> None:
        if inputs.ndim == self.layer._get_no_batch_dim():
            inputs = inputs[None]
        variance, mean = torch.var_mean(inputs, list(range(2, inputs.ndim)), correction=1)
        self.count += len(inputs)
        self.mean, self.spread = self.mean + mean.sum(0), self.spread + variance.sum(0)

    def check(self) -> None:
        """One value a place is refused by the layer itself."""

    def apply(self) -> None:
        """In training each example is normalised by itself."""
        self.layer.training = True

    def stored(self) -> tuple[Tensor, Tensor]:
        return self.mean / self.count, self.spread / self.count


def _check_unseen(objective: Objective, theta: Tensor, paths: list[str]) -> None:
    """Refuse a layer whose statistics count although it was never called: they would stay what they were."""
    if not paths:
        return
    buffers, loss = objective.parts().constants, objective.loss(theta)
    for path in paths:
        mean, variance = (_name(path, buffer) for buffer in STATISTICS[:2])
        moved = {mean: buffers[f"model.{mean}"] + 1, variance: 2 * buffers[f"model.{variance}"] + 1}
        if not np.array_equal(objective.with_constants(moved).loss(theta), loss, equal_nan=True):
            raise UsageError(
                f"batch_statistics='recompute': the loss reads the running statistics of {path!r} without calling it, "
                "so they cannot be gathered. Call the layer itself, not its forward(), or choose 'fixed' or "
                "'interpolate'"
            )


def _uneven() -> UsageError:
    return UsageError(
        "batch_statistics='recompute': not all chunks of the data pass the same normalisation layers in one order, so "
        "there are no statistics of the whole data. Make them one chunk by objective.rechunked(N), or choose "
        "'fixed' or 'interpolate'"
    )


@contextmanager
def _hooked(modules: Any, hook: Callable[..., None]) -> Iterator[None]:
    handles = [module.register_forward_pre_hook(hook, with_kwargs=True) for module in modules]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def _watched(module: nn.Module, path: str, moved: set[str]) -> Iterator[None]:
    """Add the names of the buffers that change from the first call of a module to the end of any of its calls."""
    before: dict[str, Tensor] = {}

    def enter(module: nn.Module, args: Any) -> None:
        for name, buffer in module._buffers.items():
            if buffer is not None and name not in before:
                before[name] = buffer.clone()

    def leave(module: nn.Module, args: Any, output: Any) -> None:
        for name, buffer in module._buffers.items():
            if buffer is not None and name in before and not same(before[name], buffer):
                moved.add(_name(path, name))

    # First of all hooks: spectral_norm iterates in one.
    handles = [
        module.register_forward_pre_hook(enter, prepend=True),
        module.register_forward_hook(leave, always_call=True),
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _tracks(layer: Any) -> bool:
    return layer.running_mean is not None and layer.running_var is not None


def _name(path: str, buffer: str) -> str:
    return f"{path}.{buffer}" if path else buffer
