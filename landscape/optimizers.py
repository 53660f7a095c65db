"""The optimizers and learning rate schedules that a training script can name."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import optim
from torch.optim.lr_scheduler import (
    ConstantLR,
    CosineAnnealingLR,
    ExponentialLR,
    LRScheduler,
    PolynomialLR,
    StepLR,
)

from landscape.errors import UsageError, check_choice, check_positive


@dataclass(frozen=True)
class OptimizerChoice:
    """A class of torch.optim, the default learning rate, the options it takes, and what is fixed by its name."""

    build: Callable[..., optim.Optimizer]
    lr: float
    options: Mapping[str, Any]
    fixed: Mapping[str, Any] = field(default_factory=dict)


_MOMENTUM: dict[str, Any] = {"momentum": 0.9, "weight_decay": 0.0}
_ADAM: dict[str, Any] = {"betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.0, "amsgrad": False}

OPTIMIZERS: dict[str, OptimizerChoice] = {
    # gd and sgd differ only in the batch: the training script gives gd the whole data set.
    "gd": OptimizerChoice(optim.SGD, 0.1, {"weight_decay": 0.0}),
    "sgd": OptimizerChoice(optim.SGD, 0.1, {"weight_decay": 0.0}),
    "momentum": OptimizerChoice(optim.SGD, 0.02, {**_MOMENTUM, "dampening": 0.0}),
    "nesterov": OptimizerChoice(optim.SGD, 0.02, _MOMENTUM, fixed={"nesterov": True}),
    "adam": OptimizerChoice(optim.Adam, 1e-3, _ADAM),
    "adamw": OptimizerChoice(optim.AdamW, 1e-3, {**_ADAM, "weight_decay": 0.01}),
    "rmsprop": OptimizerChoice(
        optim.RMSprop, 1e-3, {"alpha": 0.99, "eps": 1e-8, "momentum": 0.0, "centered": False, "weight_decay": 0.0}
    ),
    "adagrad": OptimizerChoice(
        optim.Adagrad, 1e-2, {"lr_decay": 0.0, "initial_accumulator_value": 0.0, "eps": 1e-10, "weight_decay": 0.0}
    ),
}
FULL_BATCH = ("gd",)
LEARNING_RATES = {name: choice.lr for name, choice in OPTIMIZERS.items()}


def optimizer_options(name: str, options: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """All options of an optimizer, defaults written out.

    Raises
    ------
    UsageError
        If the optimizer or an option is unknown, or an option has another type than its default.

    Examples
    --------
    >>> optimizer_options("momentum", {"momentum": 0.95})
    {'momentum': 0.95, 'weight_decay': 0.0, 'dampening': 0.0}
    """
    check_choice("optimizer", name, OPTIMIZERS)
    return _with_defaults(f"optimizer {name!r}", OPTIMIZERS[name].options, options)


def make_optimizer(name: str, params: Iterable[torch.Tensor], *, lr: float, **options: Any) -> optim.Optimizer:
    """Build an optimizer of ``OPTIMIZERS`` on these parameters.

    Parameters
    ----------
    name : {"gd", "sgd", "momentum", "nesterov", "adam", "adamw", "rmsprop", "adagrad"}
        ``"gd"`` is plain SGD; its name tells the training script to take the whole data set as one batch.
    lr : float
        Learning rate; ``LEARNING_RATES[name]`` is a fair first guess.
    options
        By the names that torch.optim gives them, e.g. ``momentum=0.9``, ``betas=(0.9, 0.999)``.

    Raises
    ------
    UsageError
        If the name or an option is unknown, or a value is outside what the optimizer accepts.
    """
    full = optimizer_options(name, options)
    _check_positive_number("lr", lr)
    choice = OPTIMIZERS[name]
    try:
        return choice.build(params, lr=lr, **full, **choice.fixed)
    except (ValueError, TypeError) as error:
        raise UsageError(f"optimizer {name!r} with lr={lr!r}, {full}: {error}") from error


def _constant(optimizer: optim.Optimizer, total_steps: int) -> LRScheduler:
    return ConstantLR(optimizer, factor=1.0, total_iters=1)


def _step(optimizer: optim.Optimizer, total_steps: int, *, drops: int, factor: float) -> LRScheduler:
    check_positive("drops", drops)
    return StepLR(optimizer, step_size=max(1, math.ceil(total_steps / (drops + 1))), gamma=factor)


def _exponential(optimizer: optim.Optimizer, total_steps: int, *, final: float) -> LRScheduler:
    return ExponentialLR(optimizer, gamma=final ** (1 / total_steps))


def _cosine(optimizer: optim.Optimizer, total_steps: int, *, final: float) -> LRScheduler:
    return CosineAnnealingLR(optimizer, T_max=total_steps, eta_min=final * optimizer.param_groups[0]["lr"])


def _polynomial(optimizer: optim.Optimizer, total_steps: int, *, power: float) -> LRScheduler:
    return PolynomialLR(optimizer, total_iters=total_steps, power=power)


# name → builder and its options.
SCHEDULES: dict[str, tuple[Callable[..., LRScheduler], dict[str, Any]]] = {
    "constant": (_constant, {}),
    "step": (_step, {"drops": 2, "factor": 0.1}),
    "exponential": (_exponential, {"final": 0.01}),
    "cosine": (_cosine, {"final": 0.0}),
    "polynomial": (_polynomial, {"power": 1.0}),
}


def schedule_options(name: str, options: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """All options of a schedule, defaults written out. Raises UsageError as :func:`optimizer_options` does."""
    check_choice("schedule", name, SCHEDULES)
    return _with_defaults(f"schedule {name!r}", SCHEDULES[name][1], options)


def make_schedule(name: str, optimizer: optim.Optimizer, *, total_steps: int, **options: Any) -> LRScheduler:
    """Build a learning rate schedule; call its ``step()`` after every step of the optimizer.

    Parameters
    ----------
    name : {"constant", "step", "exponential", "cosine", "polynomial"}
    total_steps : int
        Optimizer steps of the whole training.
    options
        ``drops`` and ``factor`` of ``"step"``: that many multiplications by ``factor``, evenly spaced. ``final`` of
        ``"exponential"`` and ``"cosine"``: the share of the learning rate left at the end. ``power`` of
        ``"polynomial"``, which falls to zero.

    Raises
    ------
    UsageError
        If the name or an option is unknown, or a value is outside what the schedule accepts.
    """
    full = schedule_options(name, options)
    check_positive("total_steps", total_steps)
    for key, value in full.items():
        if not (name == "cosine" and value == 0):
            _check_positive_number(key, value)
    return SCHEDULES[name][0](optimizer, total_steps, **full)


def _with_defaults(owner: str, defaults: Mapping[str, Any], options: Mapping[str, Any] | None) -> dict[str, Any]:
    options = dict(options or {})
    unknown = [key for key in options if key not in defaults]
    if unknown:
        raise UsageError(
            f"{owner} has no option {', '.join(map(repr, unknown))}; it has {', '.join(defaults) or 'none'}"
        )
    for key, value in options.items():
        default = defaults[key]
        if isinstance(default, tuple):
            fits = isinstance(value, (tuple, list)) and len(value) == len(default) and all(map(_is_number, value))
            options[key] = tuple(value) if fits else value
        elif isinstance(default, bool):
            fits = isinstance(value, bool)
        else:
            fits = _is_number(value)
        if not fits:
            raise UsageError(f"{owner}: {key}={value!r} does not fit; an example is {default!r}")
    return {**defaults, **options}


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _check_positive_number(name: str, value: Any) -> None:
    if not _is_number(value) or not (0 < value < math.inf):
        raise UsageError(f"{name}={value!r} must be a positive number")
