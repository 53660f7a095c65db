"""The measures of sharpness: of each its source, published radius, ball, options, and what it is invariant to."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from landscape.checks import check_choice, check_count, check_not_negative, check_positive
from landscape.errors import UsageError

_SAM = "Foret et al. 2021, eq. 1"
_ASAM = "Kwon et al. 2021"
_MODERN = "Andriushchenko et al. 2023, S_avg"
_KESKAR = "Keskar et al. 2017, metric 2.1, in % of 1 + L"
_RELATIVE = "Petzka et al. 2021, definition 3"
_FISHER_RAO = "Liang et al. 2019, definition 2, squared"
_RADIUS = "Jiang et al. 2020 and Dziugaite et al. 2020, of the loss"
_LLC = "Lau et al. 2023"


def _one_more(theta: Tensor) -> Tensor:
    return theta.abs() + 1


@dataclass(frozen=True)
class Definition:
    """What a measure takes, where it comes from, and what it is blind to.

    Attributes
    ----------
    rho : dict
        Published radius by the norm of the ball, its usual norm first; empty where the measure has no ball.
    options : tuple of str
        Its own, that which makes it more thorough first.
    scale : callable
        c of θ: a radius of 1 moves parameter i by ``c_i``.
    in_percent : bool
        The rise is divided by 1 + L(θ) and multiplied by 100.
    answer : str
        ``"estimate"``, ``"lower bound"`` or ``"exact"``; left out, a lower bound where there are ascents.
    layers : bool, optional
        Whether it stays when layers of a ReLU network are rescaled into an equal one; left out, where c is ``|θ|``.
    cost : str
        What it takes by default; left out, that of its kind.
    """

    reference: str
    rho: dict[float, float]
    options: tuple[str, ...]
    scale: Callable[[Tensor], Tensor] = torch.ones_like
    in_percent: bool = False
    answer: str = field(kw_only=True, default="")
    layers: bool | None = field(kw_only=True, default=None)
    cost: str = field(kw_only=True, default="")

    def __post_init__(self) -> None:
        is_bound = "restarts" in self.options
        usual = {"answer": "lower bound" if is_bound else "estimate", "layers": self.scale is torch.abs}
        usual["cost"] = "20 to 94 gradients" if is_bound else "33 losses"
        for name, value in usual.items():
            if getattr(self, name) in ("", None):
                object.__setattr__(self, name, value)

    def invariant_to(self, *, normalize_logits: bool = False) -> tuple[str, ...]:
        """What leaves it as it is, of "layers" and "logits"; the second only where logits are normalised."""
        if not self.layers:
            return ()
        return ("layers", "logits") if normalize_logits else ("layers",)

    @property
    def takes_tol(self) -> bool:
        """Whether it can be asked for an accuracy."""
        return "num_probes" in self.options

    @property
    def takes_m(self) -> bool:
        """Whether it can be asked of batches of m examples."""
        return bool(self.rho) and not self.in_percent


MEASURES = {
    "lambda_max": Definition("largest eigenvalue of the Hessian", {}, (), cost="20 to 500 products"),
    "trace": Definition("trace of the Hessian", {}, ("num_probes",), cost="32 products"),
    "worst": Definition(_SAM, {2: 0.05, math.inf: 0.001}, ("restarts", "steps")),
    "average": Definition(_MODERN, {2: 0.05}, ("num_probes",)),
    "adaptive_worst": Definition(_ASAM, {2: 0.5, math.inf: 0.001}, ("restarts", "steps"), scale=torch.abs),
    "adaptive_average": Definition(_MODERN, {2: 0.1}, ("num_probes",), scale=torch.abs),
    "keskar": Definition(_KESKAR, {math.inf: 0.001}, ("restarts", "steps"), scale=_one_more, in_percent=True),
    "relative_flatness": Definition(
        _RELATIVE, {}, ("num_probes", "layer"), layers=True, cost="64 products with one layer"
    ),
    "fisher_rao": Definition(_FISHER_RAO, {}, ("labels",), answer="exact", layers=True, cost="1 gradient"),
    "flatness_radius": Definition(_RADIUS, {}, ("num_probes", "margin"), cost="100 losses"),
    "flatness_radius_magnitude": Definition(
        _RADIUS, {}, ("num_probes", "margin", "epsilon"), scale=torch.abs, cost="100 losses"
    ),
    "llc": Definition(_LLC, {}, ("steps",), cost="up to 16,000 gradients"),
}
#: Those that look at the loss in a ball, and by which option they are made more thorough.
BALLS = {measure: one.options[0] for measure, one in MEASURES.items() if one.rho}
DEFAULTS = {"restarts": 4, "steps": 7, "layer": None, "labels": "model", "margin": 0.1, "epsilon": 0.0}
SAMPLES = {"trace": 32, "average": 16, "adaptive_average": 16, "relative_flatness": 64, "flatness_radius": 8,
           "flatness_radius_magnitude": 8}  # fmt: skip
_LABELS = ("model", "data")


def check_options(measure: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Refuse options that the measure does not have, and values that are none; those given, as plain numbers."""
    allowed, found = MEASURES[measure].options, {}
    for name, value in given.items():
        if value is None:
            continue
        if name not in allowed:
            has = f"it has {' and '.join(allowed)}" if allowed else "it has none of these options"
            raise UsageError(f"measure={measure!r} does not use {name}={value!r}; {has}")
        found[name] = _checked(name, value)
    return found


def _checked(name: str, value: Any) -> Any:
    if name == "labels":
        check_choice(name, value, _LABELS)
        return value
    if name == "layer":
        if not isinstance(value, str):
            raise UsageError(f"layer={value!r} must be the name of a tensor of θ, or 'all'")
        return value
    if name == "margin":
        return check_positive(name, value, hint="so much may the loss rise on average")
    if name == "epsilon":
        return check_not_negative(name, value)
    return check_count(name, value)


def check_batch(measure: str, m: int | None, num_examples: int) -> int | None:
    """Refuse batches that the measure has none of, or that the data do not fill."""
    if m is None:
        return None
    if not MEASURES[measure].takes_m:
        takers = ", ".join(name for name, one in MEASURES.items() if one.takes_m)
        raise UsageError(f"measure={measure!r} does not use m={m!r}; batches of m examples are for {takers}")
    m = check_count("m", m)
    if m > num_examples:
        raise UsageError(f"m={m} is more than the {num_examples} examples there are")
    return m


def norm_and_radius(measure: str, p: float | None, rho: float | None) -> tuple[float, float]:
    """Those of the ball: as given, else the usual norm and its published radius; NaN where there is no ball."""
    published = MEASURES[measure].rho
    if p is not None and p not in published and (published or p != 2):
        raise UsageError(f"measure={measure!r} has no ball of norm p={p!r}; leave p out")
    if not published:
        if rho is not None:
            raise UsageError(f"measure={measure!r} has no radius; leave rho={rho!r} out")
        return math.nan, math.nan
    norm = next(iter(published)) if p is None else p
    return float(norm), published[norm] if rho is None else check_positive("rho", rho)
