"""What is evaluated beside the loss at each point of a slice: other data, accuracy, a function of one's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from numbers import Real
from typing import Any

import numpy as np
import torch
from torch import Tensor

from landscape.device import widened
from landscape.errors import ObjectiveError, UsageError
from landscape.geometry.endpoints import constants_of
from landscape.objective import Objective, Vector
from landscape.objective.classes import class_axes
from landscape.objective.losses import LossModule, LossOfOutputs, SupervisedLoss
from landscape.objective.preflight import not_a_mean

Function = Callable[[Any, Any], Any]
Metric = Objective | Function | str | tuple[Function | str, Objective]
#: What ``metrics=`` takes.
Metrics = Mapping[str, Metric] | Sequence[str] | None

_TAKEN = ("loss", "t", "x", "y")  # columns of a slice as a table


def accuracy(outputs: Tensor, targets: Tensor) -> Tensor:
    """Share of the targets that are the class of the largest score; targets below 0, such as padding, do not count.

    Parameters
    ----------
    outputs : tensor
        One score for each class, in dimension 1 as ``cross_entropy`` has it, (N, C, …), or in the last, (N, …, C). The
        share is NaN where a score that counts is.
    targets : integer tensor
        Numbers of classes, (N, …).

    Raises
    ------
    UsageError
        If the shapes do not say which dimension the classes lie in, or targets are no class numbers.

    Examples
    --------
    >>> accuracy(torch.tensor([[0.1, 0.9], [0.8, 0.2], [0.3, 0.7]]), torch.tensor([1, 1, 1])).item()
    0.6666666865348816
    """
    scores, classes = getattr(outputs, "shape", ()), getattr(targets, "shape", None)
    whole = isinstance(targets, Tensor) and not targets.is_floating_point()
    ends = [] if classes is None else class_axes(scores, classes)
    if not whole or len(ends) != 1:
        seen = (
            f"targets of {targets.dtype}" if isinstance(targets, Tensor) else f"a {type(targets).__name__} as targets"
        )
        raise UsageError(
            "accuracy needs scores (N, C, …) or (N, …, C) and the numbers of classes (N, …); it got outputs of shape "
            f"{tuple(scores)} and {seen} of shape {tuple(classes or ())}. Write your own: metrics={{'accuracy': lambda "
            "outputs, targets: ((outputs > 0) == targets).float().mean()}"
        )
    axis = ends.pop()
    hits = (outputs.argmax(axis) == targets).to(outputs.dtype)
    return torch.where(outputs.isnan().any(axis), torch.nan, hits)[targets >= 0].mean()


def gradient_norm(objective: Objective, theta: Vector | None = None) -> float:
    """‖∇L(θ)‖ of all the data; as a metric of a slice it is evaluated at each point, exactly. Costs one gradient.

    It is no mean over examples, so it cannot be had from outputs: with ``tol=`` the loss is interpolated and this is
    not, and on a plane of 51 × 51 points it costs 2,601 gradients.

    Examples
    --------
    >>> model = torch.nn.Linear(2, 1, bias=False)
    >>> objective = Objective(model, torch.nn.functional.mse_loss, (torch.eye(2), torch.zeros(2, 1)))
    >>> gradient_norm(objective, torch.tensor([3.0, 4.0]))
    5.0
    """
    return float(torch.linalg.vector_norm(widened(objective.gradient(theta))))


_READY: dict[str, Function] = {"accuracy": accuracy, "gradient_norm": gradient_norm}
#: Of a pass: the norm of its gradient, beside the loss, which is called "", and functions by their names.
GRADIENT = "\0gradient"


@dataclass
class Pass:
    """All that one pass over the data gives: the loss, functions of what the loss sees, the norm of the gradient."""

    objective: Objective
    functions: dict[str, Function]
    shares: Sequence[float]
    with_gradient: bool = False

    def at(self, theta: Tensor, constants: Mapping[str, Tensor]) -> dict[str, float]:
        """Each value at θ; the loss is called ``""``."""
        here, rows = self.objective.with_constants(constants), list[list[float]]()
        if self.functions:
            here.module = _Watched(here.module, self.functions, rows)
            loss = here.parts().mean(here.point(theta))  # of every chunk here, whoever else measures
        else:
            loss = here.loss(theta)
        columns = zip(*rows, strict=True)
        sums = [sum(s * value for s, value in zip(self.shares, column, strict=True)) for column in columns]
        return {"": loss, **dict(zip(self.functions, sums, strict=True)), **self.exactly(theta, constants)}

    def exactly(self, theta: Tensor, constants: Mapping[str, Tensor]) -> dict[str, float]:
        """What outputs do not tell."""
        if not self.with_gradient:
            return {}
        return {GRADIENT: gradient_norm(self.objective.with_constants(constants), theta)}

    def of_outputs(self, outputs: Any, batch: Any) -> dict[str, float]:
        """Each function of outputs for a batch."""
        given = _arguments(self.objective.module, outputs, batch)
        return {name: _number(name, function(*given)) for name, function in self.functions.items()}


class Readings:
    """The loss of an objective and its metrics at a point, with one pass over each of the data.

    Parameters
    ----------
    objective : Objective
    metrics : mapping, sequence of str, or None
        As :func:`~landscape.geometry.evaluate_line` takes them.

    Raises
    ------
    UsageError
        If a name is taken or unknown, a metric is none, of other parameters, or no mean over examples.
    """

    def __init__(self, objective: Objective, metrics: Metrics) -> None:
        self._own = Pass(objective, {}, objective.parts().shares)
        self._others: dict[int, Pass] = {}
        self._where: dict[str, tuple[Pass, str]] = {}
        for name, metric in named_metrics(metrics).items():
            self._add(name, metric)

    @property
    def objective(self) -> Objective:
        """Whose loss it is."""
        return self._own.objective

    @property
    def names(self) -> tuple[str, ...]:
        """Of the metrics, in order."""
        return tuple(self._where)

    def at(self, here: Objective, theta: Tensor) -> list[float]:
        """Loss, then each metric, at θ; ``here`` is the objective with the buffers that belong to this point."""
        own = replace(self._own, objective=here).at(theta, {})
        constants = constants_of(here) if self._others else {}
        found = {id(one): one.at(theta, constants) for one in self._others.values()} | {id(self._own): own}
        return [own[""], *(found[id(one)][key] for one, key in self._where.values())]

    def passes(self, here: Objective) -> list[Pass]:
        """One over each of the data, that of the loss first, with buffers as they belong to this point."""
        constants = constants_of(here) if self._others else {}
        others = [replace(one, objective=one.objective.with_constants(constants)) for one in self._others.values()]
        return [replace(self._own, objective=here), *others]

    def rows(self, found: Sequence[Mapping[str, Any]]) -> np.ndarray:
        """Loss, then each metric, from what the passes gave, in their order."""
        given = dict(zip(map(id, (self._own, *self._others.values())), found, strict=True))
        return np.stack([found[0][""], *(given[id(one)][key] for one, key in self._where.values())])

    def facts(self) -> list[Any]:
        """What tells these readings from others of the same loss: data and functions."""
        passes = [self._own, *self._others.values()]
        functions = [[one.with_gradient, *chain(*one.functions.items())] for one in passes]
        order = [id(one) for one in passes]
        places = [(name, order.index(id(one)), key) for name, (one, key) in self._where.items()]
        return [*(one.objective for one in passes[1:]), *chain(*functions), places]

    def fields(self, values: np.ndarray) -> dict[str, Any]:
        """What a record keeps: names, values (K, …), and which of them are losses."""
        losses = tuple(name for name, (_, key) in self._where.items() if key == "")
        return {"metric_names": self.names, "metric_values": values, "metric_losses": losses}

    def _add(self, name: str, metric: Metric) -> None:
        if not isinstance(name, str) or not name or name in _TAKEN:
            raise UsageError(f"a metric cannot be called {name!r}: {', '.join(_TAKEN)} are names of a slice's own")
        function, objective = _split(name, metric, self._own.objective)
        one = self._pass_over(name, objective)
        if function is gradient_norm:
            one.with_gradient = True
            self._where[name] = (one, GRADIENT)
            return
        if function is not None:
            _check_is_mean(name, objective, function)
            one.functions[name] = function
        self._where[name] = (one, "" if function is None else name)

    def _pass_over(self, name: str, objective: Objective) -> Pass:
        own = self._own.objective
        if objective is own:
            return self._own
        check_same_parameters(name, objective, own)
        if id(objective) not in self._others:
            self._others[id(objective)] = Pass(objective, {}, objective.parts().shares)
        return self._others[id(objective)]


def check_same_parameters(name: str, objective: Objective, own: Objective) -> None:
    """Refuse an objective in whose θ there is something else."""
    theirs, ours = (list(zip(o.layout.names, o.layout.shapes, strict=True)) for o in (objective, own))
    if theirs != ours:
        raise UsageError(
            f"metrics: the objective of {name!r} has other parameters in θ ({objective.layout.size}) than the one "
            f"whose loss is evaluated ({own.layout.size}). Make it of the same model, with the same params"
        )


class _Watched(LossModule):
    """A loss that notes metrics of the same outputs as it is evaluated."""

    def __init__(self, inner: LossModule, functions: Mapping[str, Function], rows: list[list[float]]) -> None:
        super().__init__()
        self.model, self.inner = inner.model, inner
        self._asked, self._rows = functions, rows

    def mean_loss(self, batch: Any) -> Tensor:
        outputs = self.inner.outputs(batch) if self.inner.is_separable else None
        loss = self.inner.mean_loss(batch) if outputs is None else self.inner.loss_of(outputs, batch)
        # Noted last: where the loss must be evaluated again, with gradients, it has not come so far.
        given = _arguments(self.inner, outputs, batch)
        self._rows.append([_number(name, function(*given)) for name, function in self._asked.items()])
        return loss


class _InItsPlace(LossModule):
    """A metric as if it were the loss."""

    def __init__(self, inner: LossModule, name: str, function: Function) -> None:
        super().__init__()
        self.model, self.inner, self._name, self._function = inner.model, inner, name, function

    def mean_loss(self, batch: Any) -> Tensor:
        outputs = self.inner.outputs(batch) if self.inner.is_separable else None
        value = self._function(*_arguments(self.inner, outputs, batch))
        return torch.tensor(_number(self._name, value), dtype=torch.float64)


def _split(name: str, metric: Metric, own: Objective) -> tuple[Function | None, Objective]:
    """The function, or None for the loss, and the objective on whose data."""
    if isinstance(metric, Objective):
        return None, metric
    asked, objective = metric if isinstance(metric, tuple) and len(metric) == 2 else (metric, own)
    function = _READY.get(asked) if isinstance(asked, str) else asked
    if not callable(function) or not isinstance(objective, Objective):
        raise UsageError(
            f"metrics: {name!r} is {metric!r}, which is none: a function in the place of the loss, "
            f"{', '.join(map(repr, _READY))}, an Objective, or a pair of one of the first two and an Objective"
        )
    return function, objective


def _arguments(module: LossModule, outputs: Any, batch: Any) -> tuple[Any, Any]:
    """What a function is called with in the place of the loss."""
    if isinstance(module, SupervisedLoss):
        return outputs, batch[1]
    if isinstance(module, LossOfOutputs):
        targets = getattr(module.loss, "targets", None)  # of adapters, which know where a batch has them
        return outputs, targets(batch) if callable(targets) else batch
    return module.model, batch


def _check_is_mean(name: str, objective: Objective, function: Function) -> None:
    """Else its value would depend on how the data are cut; costs a few passes of 12 examples."""
    if objective.mode == "train" and objective.num_chunks == 1:
        return
    twin = objective.with_constants({})
    twin.module = _InItsPlace(objective.module, name, function)
    if fault := not_a_mean(twin):
        seen = fault.partition(" Likely causes")[0].removeprefix("the loss ").rstrip(".")
        raise UsageError(
            f"metrics: {name!r} {seen}. Give its mean over examples. One of all the data together, such as an AUC, "
            f"needs them as one batch that nothing cuts: metrics={{{name!r}: (function, Objective(model, loss_fn, "
            "data, interacting=True))}"
        )


def _number(name: str, value: Any) -> float:
    if isinstance(value, Tensor) and value.numel() == 1 and not value.is_complex():
        return float(value.detach())
    if isinstance(value, (Real, np.bool_)):
        return float(value)
    seen = f"a tensor of shape {tuple(value.shape)}" if isinstance(value, Tensor) else f"a {type(value).__name__}"
    raise ObjectiveError(f"metrics: {name!r} must give one number, a mean over the examples of a batch; it gave {seen}")


def named_metrics(metrics: Metrics) -> dict[str, Metric]:
    """By name, those that are ready included; the loss is always there."""
    if metrics is None:
        return {}
    if isinstance(metrics, Mapping):
        return dict(metrics)
    names = [metrics] if isinstance(metrics, str) else list(metrics)
    if unknown := [name for name in names if name not in ("loss", *_READY)]:
        known = ", ".join(map(repr, ("loss", *_READY)))
        raise UsageError(
            f"metrics: {unknown[0]!r} is not one of {known}; give others as a mapping from name to function or "
            "objective"
        )
    return {name: _READY[name] for name in names if name != "loss"}
