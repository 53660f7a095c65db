"""The measures of sharpness: of each its source, its published radius, its ball, and the options that it has."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from landscape.checks import check_count, check_positive
from landscape.errors import UsageError

_SAM = "Foret et al. 2021, eq. 1"
_ASAM = "Kwon et al. 2021"
_MODERN = "Andriushchenko et al. 2023, S_avg"
_KESKAR = "Keskar et al. 2017, metric 2.1, in % of 1 + L"


def _one_more(theta: Tensor) -> Tensor:
    return theta.abs() + 1


@dataclass(frozen=True)
class Definition:
    """What a measure takes and where it comes from.

    Attributes
    ----------
    rho : dict
        Published radius by the norm of the ball, its usual norm first; empty where the measure has no ball.
    scale : callable
        c of θ: a radius of 1 moves parameter i by ``c_i``.
    in_percent : bool
        The rise is divided by 1 + L(θ) and multiplied by 100.
    """

    reference: str
    rho: dict[float, float]
    options: tuple[str, ...]
    scale: Callable[[Tensor], Tensor] = torch.ones_like
    in_percent: bool = False


MEASURES = {
    "lambda_max": Definition("largest eigenvalue of the Hessian", {}, ()),
    "trace": Definition("trace of the Hessian", {}, ("num_probes",)),
    "worst": Definition(_SAM, {2: 0.05, math.inf: 0.001}, ("restarts", "steps")),
    "average": Definition(_MODERN, {2: 0.05}, ("num_probes",)),
    "adaptive_worst": Definition(_ASAM, {2: 0.5, math.inf: 0.001}, ("restarts", "steps"), scale=torch.abs),
    "adaptive_average": Definition(_MODERN, {2: 0.1}, ("num_probes",), scale=torch.abs),
    "keskar": Definition(_KESKAR, {math.inf: 0.001}, ("restarts", "steps"), scale=_one_more, in_percent=True),
}
#: Those that look at the loss in a ball, and by which option they are made more thorough.
BALLS = {measure: one.options[0] for measure, one in MEASURES.items() if one.rho}
DEFAULTS = {"restarts": 4, "steps": 7}
SAMPLES = {"trace": 32, "average": 16, "adaptive_average": 16}


def check_options(measure: str, given: dict[str, int | None]) -> None:
    """Refuse options that the measure does not have, and counts that are none."""
    allowed = MEASURES[measure].options
    for name, value in given.items():
        if value is None:
            continue
        if name not in allowed:
            has = f"it has {' and '.join(allowed)}" if allowed else "it has none of these options"
            raise UsageError(f"measure={measure!r} does not use {name}={value!r}; {has}")
        check_count(name, value)


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
