"""How each measure is measured, once what was asked has been checked."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from torch import Tensor

from landscape.geometry.sharpness import averages, balls, by_batches
from landscape.geometry.sharpness.ascent import most_evaluations
from landscape.geometry.sharpness.curvature import AtPoint
from landscape.geometry.sharpness.definitions import DEFAULTS, SAMPLES, Definition
from landscape.geometry.sharpness.learning_coefficient import CHAINS, STEPS, learning_coefficient
from landscape.geometry.sharpness.radius import Found, flatness_radius
from landscape.objective import Objective
from landscape.progress import Progress
from landscape.results import LearningCoefficient, Sharpness


@dataclass(frozen=True)
class Asked:
    """One measure at θ (P,), with the options that were given for it.

    Attributes
    ----------
    name : str
        Of the measure, as a record says it: with what was done to the logits.
    rho, p : float
        NaN where it has no ball.
    m : int or None
        Examples of a batch that has a worst case of its own.
    """

    measure: str
    objective: Objective
    theta: Tensor
    definition: Definition
    name: str
    rho: float
    p: float
    m: int | None
    options: Mapping[str, Any]
    goal: averages.Goal | None
    seed: int
    progress: Progress | None

    def option(self, name: str) -> Any:
        """As given, else the default."""
        return self.options.get(name, DEFAULTS.get(name))

    @property
    def samples(self) -> int:
        """Probes, pairs or passes."""
        return int(self.options.get("num_probes", SAMPLES.get(self.measure, 0)))

    @property
    def point(self) -> AtPoint:
        """The same for what reads derivatives at θ alone."""
        return AtPoint(
            self.objective, self.theta, self.name, self.definition.reference, self.seed, self.progress
        )  # fmt: skip

    def around(self, objective: Objective) -> balls.Around:
        """The ball, on these data."""
        definition = self.definition
        scale = definition.scale(self.theta)
        return balls.Around(
            objective, self.theta, scale, self.rho, self.p, self.name, definition.reference, definition.in_percent
        )


def measured(asked: Asked) -> Sharpness:
    """The record, converged or not."""
    return _WAYS.get(asked.measure, _in_a_ball)(asked)


def _in_a_ball(asked: Asked) -> Sharpness:
    if "restarts" not in asked.definition.options:
        if asked.m is not None:
            by_batches.check_pickable(asked.objective)
        return averages.average(
            asked.around(asked.objective),
            passes=asked.samples,
            goal=asked.goal,
            group=asked.m,
            seed=asked.seed,
            progress=asked.progress,
        )
    how = {name: asked.option(name) for name in ("restarts", "steps")}

    def worst(objective: Objective, progress: Progress | None = None) -> Sharpness:
        return balls.worst(asked.around(objective), seed=asked.seed, progress=progress, **how)

    if asked.m is None:
        return worst(asked.objective, asked.progress)
    most = most_evaluations(**how)
    return by_batches.over_batches(asked.objective, asked.m, worst, most=most, seed=asked.seed, progress=asked.progress)


def _estimate(
    asked: Asked, found: Found | LearningCoefficient, *, samples: np.ndarray, converged: bool, cost: float,
    reference: str, method: str,
) -> Sharpness:  # fmt: skip
    """What was estimated without a ball; ``cost`` in losses, or gradients."""
    return Sharpness(
        measure=asked.name, value=found.value, error=found.error, kind="estimate", rho=math.nan, p=math.nan,
        samples=samples, converged=converged, num_evaluations=math.ceil(cost - 1e-6), seed=asked.seed,
        reference=f"{asked.definition.reference}, {reference}", method=method,
    )  # fmt: skip


def _radius(asked: Asked) -> Sharpness:
    margin, epsilon = asked.option("margin"), asked.option("epsilon")
    found = flatness_radius(
        asked.objective,
        asked.theta,
        asked.definition.scale(asked.theta),
        margin=margin,
        epsilon=epsilon,
        passes=asked.samples,
        goal=asked.goal,
        seed=asked.seed,
        progress=asked.progress,
    )
    record = _estimate(
        asked, found, samples=found.samples, converged=found.converged, cost=found.cost,
        reference=f"margin {margin:g}" + (f", ε {epsilon:g}" if epsilon else ""),
        method=found.method,
    )  # fmt: skip
    return replace(record, cost=found.cost)


def _llc(asked: Asked) -> Sharpness:
    found = learning_coefficient(
        asked.objective,
        steps=asked.options.get("steps", STEPS),
        seed=asked.seed,
        theta=asked.theta,
        strict=False,
        progress=asked.progress,
    )
    return _estimate(
        asked, found, samples=_independent(found), converged=found.converged, cost=found.num_gradients,
        reference=f"γ = {found.localization:g}",
        method=f"{CHAINS} chains, R̂ {found.rhat:.3f}, {found.effective_size:.0f} effective draws; {found.reason}",
    )  # fmt: skip


def _independent(found: LearningCoefficient) -> np.ndarray:
    """Draws so far apart that there are about as many as they are worth."""
    draws = found.num_examples * found.inverse_temperature * found.kept
    if not found.effective_size >= 1:
        return np.empty(0)
    apart = math.ceil(draws.size / found.effective_size)
    samples: np.ndarray = draws[:, ::apart].ravel()
    return samples


def _trace(asked: Asked) -> Sharpness:
    return asked.point.trace(probes=asked.samples, goal=asked.goal)


def _relative(asked: Asked) -> Sharpness:
    return asked.point.relative_flatness(layer=asked.option("layer"), probes=asked.samples, goal=asked.goal)


_WAYS: dict[str, Callable[[Asked], Sharpness]] = {
    "lambda_max": lambda asked: asked.point.lambda_max(),
    "trace": _trace,
    "relative_flatness": _relative,
    "fisher_rao": lambda asked: asked.point.fisher_rao(labels=asked.option("labels")),
    "flatness_radius": _radius,
    "flatness_radius_magnitude": _radius,
    "llc": _llc,
}
