"""Averages of two networks whose neurons give as much as those of the two: REPAIR."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from landscape.checks import check_share
from landscape.device import widened
from landscape.geometry.alignment.network import FEW, Network
from landscape.geometry.batch_statistics import layers, recomputed, statistics_of
from landscape.geometry.endpoints import between, constants_of
from landscape.objective import Objective, Vector
from landscape.progress import Progress
from landscape.results.alignment import Repaired

_KINDS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
#: Where a neuron's spread in the average is a smaller share of the one wanted, it gives next to nothing and is left.
_LEAST = 1e-6


def repair(
    objective: Objective, *ends: Vector | Objective, t: float = 0.5, progress: Progress | None = None
) -> Repaired:
    r"""The point ``(1 − t)·θ_a + t·θ_b`` with the spread of what its neurons give restored.

    Averaged neurons vary less than those of either network, the more so the deeper they stand. Mean and standard
    deviation of each neuron before its activation function are reset to the same average of those at the ends. That is
    a scale and a shift of one layer's outputs, which go into its weight and bias, so that the result is a θ of the same
    model; layer after layer, each with those before it reset. Running statistics of normalisation layers are gathered
    anew, and what feeds such a layer is not reset, since that undoes it.

    Parameters
    ----------
    objective, ends
        As for :func:`interpolate`: ``repair(objective_a, objective_b)`` or ``repair(objective, theta_a, theta_b)``.
        The second end should have been aligned to the first.
    t : float
        Between 0 and 1: the share of the second end.
    progress : callable, optional
        Called as ``progress(done, L)`` after each layer.

    Returns
    -------
    Repaired
        ``layers`` are those that were reset: dense and convolutional ones, called once, whose outputs are hidden
        neurons. ``skipped`` says of the others why not; ``without_shift`` which have no bias, so that their spread
        alone is right.

    Raises
    ------
    UsageError
        If t is no share, or an end does not fit (see :func:`interpolate`).

    Notes
    -----
    Costs about L/2 + 5 passes over the data for L layers, and where there are running statistics passes to gather them
    for each.

    References
    ----------
    Jordan, Sedghi, Saukh, Entezari & Neyshabur (2023), REPAIR: REnormalizing Permuted Activations for Interpolation
    Repair, ICLR, §3.

    Examples
    --------
    >>> model = torch.nn.Sequential(torch.nn.Linear(2, 4), torch.nn.ReLU(), torch.nn.Linear(4, 1))
    >>> x = torch.linspace(-1, 1, 12).reshape(6, 2)
    >>> objective = Objective(model, torch.nn.functional.mse_loss, (x, x.sum(1, keepdim=True)))
    >>> found = repair(objective, objective.theta, objective.theta)
    >>> found.layers, round(found.barrier, 6)
    (('0',), 0.0)
    """
    t = check_share("t", t, hint="it is the share of the second end")
    known = [*ends] if len(ends) > 1 else [objective, *ends]
    normalises = objective.mode == "eval" and bool(layers(objective.parts().model))
    of_models = all(isinstance(end, Objective) for end in known)
    path = between(objective, ends, "recompute" if normalises and not of_models else None)
    (at_a, theta_a), (at_b, theta_b), (average, theta) = (path.at(1 - s, s) for s in (0.0, 1.0, t))
    hidden = _hidden_layers(average, theta)
    chosen, skipped = _chosen(average, theta, hidden)
    wanted = _between(_spreads(at_a, theta_a, chosen), _spreads(at_b, theta_b, chosen), t)
    before = _spreads(average, theta, chosen)
    repaired = average
    without_shift: list[str] = []
    for done, layer in enumerate(chosen):
        if normalises:
            repaired = average.with_constants(recomputed(average, theta))
        seen = _spreads(repaired, theta, [layer], stop=True)[layer]
        theta = _reset(repaired, theta, layer, seen, wanted[layer])
        if _slot(repaired, layer, "bias") is None:
            without_shift.append(layer)
        if progress is not None:
            progress(done + 1, len(chosen))
    gathered = recomputed(average, theta) if normalises else {}
    repaired = average.with_constants(gathered)
    after = _spreads(repaired, theta, chosen)
    return Repaired(
        theta=theta.cpu().numpy(),
        t=t,
        loss=repaired.loss(theta),
        loss_before=average.loss(path.at(1 - t, t)[1]),
        loss_a=at_a.loss(theta_a),
        loss_b=at_b.loss(theta_b),
        layers=tuple(chosen),
        spread_before=np.array([_share(before[layer], wanted[layer]) for layer in chosen]),
        spread=np.array([_share(after[layer], wanted[layer]) for layer in chosen]),
        without_shift=tuple(without_shift),
        skipped=tuple(skipped),
        batch_statistics="recompute" if normalises else "",
        buffers=tuple(gathered),
        buffer_sizes=np.array([tensor.numel() for tensor in gathered.values()], dtype=int),
        buffer_values=torch.cat([widened(v.reshape(-1)).cpu() for v in gathered.values()]).numpy()
        if gathered
        else np.empty(0),
    )


@dataclass(frozen=True)
class _Spread:
    """Mean and standard deviation of each neuron of a layer, (C,), over all examples and places."""

    mean: Tensor
    std: Tensor


class _FarEnough(BaseException):
    """Ends a pass behind the layer that was looked at; no error, so nothing may catch it as one."""


class _Gathering:
    """Mean and squares about it of what a layer gives, as chunks come by; Chan, Golub & LeVeque (1983)."""

    def __init__(self) -> None:
        self.count, self.calls = 0, 0
        self.mean: Any = 0.0
        self.squares: Any = 0.0

    def add(self, module: Any, out: Tensor) -> None:
        place = out.ndim - (module.weight.ndim - 2) - 1
        values = widened(out.detach())
        rest = [dim for dim in range(values.ndim) if dim != place]
        count = values.numel() // values.shape[place]
        variance, mean = torch.var_mean(values, rest, correction=0)
        total, apart = self.count + count, mean - self.mean
        self.squares = self.squares + count * variance + apart**2 * (self.count * count / total)
        self.mean, self.count = self.mean + apart * (count / total), total

    def found(self) -> _Spread:
        return _Spread(self.mean, (self.squares / self.count).sqrt())


def _hidden_layers(objective: Objective, theta: Tensor) -> set[str]:
    """Names of tensors whose first dimension are neurons, not outputs."""
    constants = constants_of(objective)
    statistics = statistics_of(objective.parts().model)
    state = {name: value for name, value in constants.items() if name in statistics and value.is_floating_point()}
    network = Network(objective.on_first(FEW), state, constants)
    named = network.named(theta, state)
    symmetry, facts = network.trace(named)
    if facts.asks_data:
        symmetry, _ = Network(objective, state, constants).trace(named)
    return {
        place.removesuffix("[0]") for places in symmetry.where.values() for place in places if place.endswith("[0]")
    }


def _chosen(objective: Objective, theta: Tensor, hidden: set[str]) -> tuple[list[str], list[str]]:
    """Layers to be reset, in the order in which they are called, and why others are not."""
    model = objective.parts().model
    calls, feeding = _calls(objective, theta, model)
    chosen, skipped = [], []
    for path, module in model.named_modules():
        if not isinstance(module, _KINDS):
            continue
        weight = _slot(objective, path, "weight")
        if weight is None:
            skipped.append(f"{path}: the weight is shared, or no tensor of θ by itself")
        elif calls.count(path) != 1:
            skipped.append(f"{path}: called {calls.count(path)} times")
        elif path in feeding:
            skipped.append(f"{path}: a normalisation follows")
        elif weight in hidden:
            chosen.append(path)
    return sorted(chosen, key=calls.index), skipped


def _calls(objective: Objective, theta: Tensor, model: nn.Module) -> tuple[list[str], set[str]]:
    """Layers as they are called on the first chunk, and those whose outputs go straight into a normalisation."""
    order: list[str] = []
    feeding: set[str] = set()
    last: dict[int, tuple[str, Tensor]] = {}

    def called(path: str, module: nn.Module, out: Any) -> None:
        order.append(path)
        last[id(out)] = path, out  # held, so that its number is not given again

    def normalised(path: str, module: nn.Module, args: Any) -> None:
        if args and id(args[0]) in last:
            feeding.add(last[id(args[0])][0])

    with _hooked(_of_kind(model), called), _hooked(layers(model), normalised, before=True):
        _pass(objective, theta, 0)
    return order, feeding


def _spreads(objective: Objective, theta: Tensor, paths: Sequence[str], *, stop: bool = False) -> dict[str, _Spread]:
    """What layers give at θ; with ``stop`` no further than the first of them."""
    model = objective.parts().model
    gathering = {path: _Gathering() for path in paths}

    def called(path: str, module: nn.Module, out: Any) -> None:
        gathering[path].add(module, out)
        if stop:
            raise _FarEnough

    with _hooked({path: model.get_submodule(path) for path in paths}, called):
        for index in range(objective.num_chunks):
            with suppress(_FarEnough):
                _pass(objective, theta, index)
    return {path: one.found() for path, one in gathering.items()}


def _pass(objective: Objective, theta: Tensor, index: int) -> None:
    parts = objective.parts()
    with parts.borrowed(), torch.enable_grad():
        parts.part(index, objective.layout.split(theta))


def _of_kind(model: nn.Module) -> dict[str, nn.Module]:
    return {path: module for path, module in model.named_modules() if isinstance(module, _KINDS)}


@contextmanager
def _hooked(modules: Mapping[str, nn.Module], function: Any, *, before: bool = False) -> Iterator[None]:
    """Call ``function(path, module, args or output)`` at each of these modules."""

    def hook_of(path: str) -> Any:
        return lambda module, args, *out: function(path, module, *(out or (args,)))

    handles = [
        module.register_forward_pre_hook(hook_of(path)) if before else module.register_forward_hook(hook_of(path))
        for path, module in modules.items()
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _slot(objective: Objective, path: str, kind: str) -> str | None:
    """The name in θ of a layer's weight or bias, if it is a tensor that no other place holds."""
    slots = objective.layout.slots
    name = slots.get(f"{path}.{kind}" if path else kind)
    if name is None or name not in objective.layout.names or list(slots.values()).count(name) != 1:
        return None
    return name


def _between(a: Mapping[str, _Spread], b: Mapping[str, _Spread], t: float) -> dict[str, _Spread]:
    return {
        path: _Spread((1 - t) * one.mean + t * b[path].mean, (1 - t) * one.std + t * b[path].std)
        for path, one in a.items()
    }


def _reset(objective: Objective, theta: Tensor, path: str, seen: _Spread, wanted: _Spread) -> Tensor:
    """θ with one layer's outputs scaled and shifted."""
    named = objective.layout.unflatten(theta)
    alive = seen.std > _LEAST * wanted.std
    scale = torch.where(alive, wanted.std / seen.std.clamp_min(torch.finfo(seen.std.dtype).tiny), 1.0)
    weight, bias = _slot(objective, path, "weight"), _slot(objective, path, "bias")
    assert weight is not None
    wide = widened(named[weight])
    named[weight] = wide * scale.view(-1, *[1] * (wide.ndim - 1))
    if bias is not None:
        named[bias] = scale * (widened(named[bias]) - seen.mean) + wanted.mean
    return objective.layout.flatten({name: tensor.to(theta) for name, tensor in named.items()})


def _share(seen: _Spread, wanted: _Spread) -> float:
    """Root of the mean square of standard deviations, of that wanted."""
    whole = float(wanted.std.square().sum())
    return float((seen.std.square().sum() / whole).sqrt()) if whole else float("nan")
