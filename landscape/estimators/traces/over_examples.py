"""Trace, layer traces and diagonal of a Hessian over examples, to a tolerance or for a number of matvecs."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from landscape.errors import ObjectiveError, UsageError
from landscape.estimators.traces.choice import Tolerance, of_samples
from landscape.estimators.traces.drawn import FEWEST, PILOT, PILOT_EXAMPLES, SAMPLES, Sampler
from landscape.operators.base import LinearOperator
from landscape.operators.by_example import SumsOverExamples
from landscape.progress import Progress
from landscape.results import Estimate

Array = np.ndarray

#: "auto" asks no further where the split's standard error is expected within this share of the value.
GOOD = 0.02
#: Matvecs that show what probes of all of H would do.
TRIED = 4


@dataclass(frozen=True)
class Found:
    """Independent samples (R, K or P) of a sum over examples, and what they cost.

    ``known`` are samples' common exact part where nothing is left to chance; then there are none.
    """

    samples: Array
    mean: Array
    products: float
    matvecs: int
    method: str
    converged: bool = True


def sums_of(H: LinearOperator, *, entries: bool = False) -> SumsOverExamples:
    """An operator as a sum over examples.

    Raises
    ------
    UsageError
        If it is none.
    ObjectiveError
        If its examples cannot be taken one by one.
    """
    over = getattr(H, "over_examples", None)
    if over is None:
        raise UsageError(
            f"method='split' is of the Hessian of a loss over examples, and this is a {type(H).__name__}. Pass a "
            "HessianOperator, or another method"
        )
    found: SumsOverExamples = over(entries=entries)
    return found


def sums_if_any(H: LinearOperator, *, entries: bool = False) -> SumsOverExamples | None:
    """The same, or None."""
    try:
        return sums_of(H, entries=entries)
    except (UsageError, ObjectiveError):
        return None


def pilot_work(sums: SumsOverExamples) -> float:
    """Example-products before anything is estimated."""
    return sums.num_examples / 6 + PILOT * PILOT_EXAMPLES * sum(term.each for term in sums.terms)


def begun(
    sums: SumsOverExamples, *, seed: int, limit: float, size_of: Callable[[Array], float], progress: Progress | None
) -> tuple[Sampler, Array]:
    """A sampler after its pilot, and the pilot's mean."""
    sampler = Sampler(sums, seed=seed, size_of=size_of, limit=limit, progress=progress)
    return sampler, sampler.pilot()


def finished(
    sampler: Sampler, pilot: Array, *, allowed: Callable[[Array], float] | None, reached: Callable[[Array], bool] | None
) -> Found:
    """Draw until an accuracy is reached, or the limit.

    ``allowed(mean)`` is the standard error aimed at, ``reached(samples)`` says that the interval is narrow enough.
    Without them all that the limit allows is spent.
    """
    left = sampler.limit - sampler.sums.work
    # Student's t for SAMPLES, and a spread that is itself known to an eighth.
    variance = None if allowed is None else (allowed(pilot) / 1.15) ** 2
    sampler.settle(variance, left)
    samples: list[Array] = []
    if not sampler.is_exact:
        samples = sampler.draw(SAMPLES)
        while (reached is None or not reached(np.array(samples))) and (more := sampler.draw(SAMPLES // 4)):
            samples += more
    drawn = np.array(samples)
    settled = sampler.is_exact or (len(drawn) >= FEWEST and (reached is None or reached(drawn)))
    return Found(
        samples=drawn,
        mean=drawn.mean(axis=0) if samples else _exact(sampler),
        products=sampler.products,
        matvecs=sampler.matvecs,
        method=sampler.method(),
        converged=bool(settled),
    )


def _exact(sampler: Sampler) -> Array:
    if not sampler.is_exact:
        raise UsageError(
            f"num_probes={math.ceil(sampler.limit / sampler.sums.num_examples)} leaves nothing after the pilot on "
            f"{sampler.sums.num_examples} examples; raise it, or max_matvecs"
        )
    parts: list[Any] = [share.exact for share in sampler.shares]
    total: Array = np.sum(parts, axis=0)
    return total


def by_examples(
    sums: SumsOverExamples,
    accuracy: Tolerance,
    limit: int,
    *,
    seed: int,
    progress: Progress | None,
    others: Callable[[int], Estimate] | None,
) -> Estimate:
    """The trace; ``others(matvecs)`` gives it another way, if the pilot shows little gain and that has less error."""
    if others is not None and pilot_work(sums) > 0.5 * limit * sums.num_examples:
        return others(limit)
    sampler, pilot = begun(sums, seed=seed, limit=limit, size_of=variance_of_total, progress=progress)
    resolution = 4 * sums.objective.resolution
    if others is not None and (better := _without_split(sampler, float(pilot.sum()), accuracy, limit, others)):
        return better

    def as_estimate(samples: Array) -> Estimate:
        totals = samples.sum(axis=1)
        return of_samples(totals, rounding=resolution * abs(float(totals.mean())), seed=seed)

    found = finished(
        sampler,
        pilot,
        allowed=(lambda mean: accuracy.standard_error(float(mean.sum()))) if accuracy.asked else None,
        reached=(lambda samples: accuracy.met_by(as_estimate(samples))) if accuracy.asked else None,
    )
    cost: dict[str, Any] = {"num_matvecs": found.matvecs, "products": found.products, "method": found.method}
    if not found.samples.size:
        total = float(found.mean.sum())
        return Estimate(total, sem=resolution * abs(total), **cost)
    return replace(as_estimate(found.samples), converged=found.converged, **cost)


def _without_split(
    sampler: Sampler, value: float, accuracy: Tolerance, limit: int, others: Callable[[int], Estimate]
) -> Estimate | None:
    """The estimate by probes of all of H, where the pilot promises little and a few of them promise more."""
    left = sampler.limit - sampler.sums.work
    matvecs = int(left / sampler.sums.num_examples)
    aim = accuracy.standard_error(value) if accuracy.asked else GOOD * abs(value)
    if math.sqrt(sampler.variance_for(left)) <= aim or matvecs < 2 * TRIED:
        return None
    spent, tried = sampler.matvecs, others(TRIED)
    if tried.sem is None or tried.sem**2 * TRIED / (matvecs - TRIED) >= sampler.variance_for(left):
        return None
    found = others(limit - spent - TRIED)
    return replace(found, num_matvecs=found.num_matvecs + spent, products=found.num_matvecs + sampler.products)


def variance_of_total(samples: Array) -> float:
    """Of the trace."""
    return float(np.var(samples.sum(axis=1), ddof=1))


def variance_in_all(samples: Array) -> float:
    """Of all entries together."""
    return float(np.var(samples, axis=0, ddof=1).sum())
