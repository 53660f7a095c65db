"""How the learning rate changes during training."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from torch import optim
from torch.optim.lr_scheduler import (
    ConstantLR,
    CosineAnnealingLR,
    ExponentialLR,
    LambdaLR,
    LRScheduler,
    PolynomialLR,
    StepLR,
)

from landscape.checks import check_choice, check_count, check_positive, check_share
from landscape.optimizers.options import OneOf, with_defaults


def _constant(optimizer: optim.Optimizer, total_steps: int) -> LRScheduler:
    return ConstantLR(optimizer, factor=1.0, total_iters=1)


def _step(optimizer: optim.Optimizer, total_steps: int, *, drops: int, factor: float) -> LRScheduler:
    check_count("drops", drops)
    return StepLR(optimizer, step_size=max(1, math.ceil(total_steps / (drops + 1))), gamma=factor)


def _exponential(optimizer: optim.Optimizer, total_steps: int, *, final: float) -> LRScheduler:
    return ExponentialLR(optimizer, gamma=final ** (1 / total_steps))


def _cosine(optimizer: optim.Optimizer, total_steps: int, *, final: float) -> LRScheduler:
    return CosineAnnealingLR(optimizer, T_max=total_steps, eta_min=final * optimizer.param_groups[0]["lr"])


def _polynomial(optimizer: optim.Optimizer, total_steps: int, *, power: float) -> LRScheduler:
    return PolynomialLR(optimizer, total_iters=total_steps, power=power)


def _cyclic(optimizer: optim.Optimizer, total_steps: int, *, cycles: int, lowest: float) -> LRScheduler:
    check_count("cycles", cycles)

    def factor(t: int) -> float:
        phase = (t * cycles / total_steps) % 1.0
        return lowest + (1 - lowest) * (1 - abs(2 * phase - 1))

    return LambdaLR(optimizer, factor)


def _warmup(optimizer: optim.Optimizer, total_steps: int, *, share: float, then: str, final: float) -> LRScheduler:
    check_share("share", share, hint="it is of the steps")
    first = max(1, round(share * total_steps))

    def factor(t: int) -> float:
        if t < first:
            return (t + 1) / first
        done = (t - first) / max(1, total_steps - first)
        falls = {"constant": 1.0, "cosine": (1 + math.cos(math.pi * done)) / 2, "linear": 1 - done}[then]
        return final + (1 - final) * falls

    return LambdaLR(optimizer, factor)


# name → builder and its options.
SCHEDULES: dict[str, tuple[Callable[..., LRScheduler], dict[str, Any]]] = {
    "constant": (_constant, {}),
    "step": (_step, {"drops": 2, "factor": 0.1}),
    "exponential": (_exponential, {"final": 0.01}),
    "cosine": (_cosine, {"final": 0.0}),
    "polynomial": (_polynomial, {"power": 1.0}),
    "cyclic": (_cyclic, {"cycles": 4, "lowest": 0.1}),
    "warmup": (_warmup, {"share": 0.1, "then": OneOf(("constant", "cosine", "linear")), "final": 0.0}),
}


def schedule_options(name: str, options: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """All options of a schedule, defaults written out. Raises UsageError as :func:`optimizer_options` does."""
    check_choice("schedule", name, SCHEDULES)
    return with_defaults(f"schedule {name!r}", SCHEDULES[name][1], options)


def make_schedule(name: str, optimizer: optim.Optimizer, *, total_steps: int, **options: Any) -> LRScheduler:
    """Build a learning rate schedule; call its ``step()`` after every step of the optimizer.

    Parameters
    ----------
    name : {"constant", "step", "exponential", "cosine", "polynomial", "cyclic", "warmup"}
    total_steps : int
        Optimizer steps of the whole training.
    options
        ``drops`` and ``factor`` of ``"step"``: that many multiplications by ``factor``, evenly spaced. ``final`` of
        ``"exponential"`` and ``"cosine"``: the share of the learning rate left at the end. ``power`` of
        ``"polynomial"``, which falls to zero. ``cycles`` of ``"cyclic"``, each a triangle from ``lowest`` times the
        learning rate up to it and back (Smith 2017, WACV). ``share`` of the steps in which ``"warmup"`` rises to the
        learning rate; ``then`` it stays, or falls to ``final`` times it.

    Raises
    ------
    UsageError
        If the name or an option is unknown, or a value is outside what the schedule accepts.
    """
    full = schedule_options(name, options)
    check_count("total_steps", total_steps)
    for key, value in full.items():
        may_be_zero = (name, key) in (("cosine", "final"), ("cyclic", "lowest"), ("warmup", "final"))
        if not isinstance(value, str) and not (may_be_zero and value == 0):
            check_positive(key, value)
    return SCHEDULES[name][0](optimizer, total_steps, **full)
