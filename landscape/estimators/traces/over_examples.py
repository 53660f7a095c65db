"""Trace, layer traces and diagonal of a Hessian over examples, to a tolerance or for a number of matvecs."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from landscape.errors import ObjectiveError, UsageError
from landscape.estimators.traces.choice import Tolerance, of_samples
from landscape.estimators.traces.drawn import FEWEST, SAMPLES, Sampler, pilot_examples
from landscape.operators.base import LinearOperator
from landscape.operators.by_example import SumsOverExamples
from landscape.progress import Progress
from landscape.results import Estimate

Array = np.ndarray

#: "auto" asks no further where the split's standard error is expected within this share of the value.
GOOD = 0.02
#: The pilot's variance is rough; aimed at is a standard error smaller by this.
MARGIN = 1.15
#: Matvecs below which nothing cheaper is looked for.
CHEAP = 12
#: Matvecs that show what probes of all of H would do.
TRIED = 4


class Samples:
    """Independent samples (K,) or (P,): their mean and spread, and with ``keep`` themselves (Welford 1962)."""

    def __init__(self, width: int, *, keep: bool) -> None:
        self.count, self.mean, self._squares = 0, np.zeros(width), np.zeros(width)
        self._kept: list[Array] | None = [] if keep else None

    def add(self, sample: Array) -> None:
        """One more."""
        self.count += 1
        away = sample - self.mean
        self.mean = self.mean + away / self.count
        self._squares += away * (sample - self.mean)
        if self._kept is not None:
            self._kept.append(sample)

    def add_columns(self, samples: Tensor) -> None:
        """Those of a block of vectors (P, b)."""
        for column in samples.unbind(1):
            self.add(column.cpu().to(torch.float64).numpy())

    @property
    def sem(self) -> Array:
        """Standard errors of the mean; NaN from one sample."""
        if self.count < 2:
            return np.full(len(self.mean), np.nan)
        sem: Array = np.sqrt(self._squares / (self.count - 1) / self.count)
        return sem

    @property
    def kept(self) -> Array:
        """All of them (R, K)."""
        return np.array(self._kept or []).reshape(-1, len(self.mean))


@dataclass(frozen=True)
class Found:
    """A sum over examples, with what it cost. Where it is exact there are no samples, and the mean is the value."""

    samples: Samples
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


def is_small(sums: SumsOverExamples, limit: int) -> bool:
    """Whether the pilot would take more than a third of so many matvecs.

    Of few examples that is known at once, whatever terms there are: each drawn one takes a product at least.
    """

    def takes_more(each: float) -> bool:
        return sums.num_examples / 6 + pilot_examples(sums.num_examples) * each > limit * sums.num_examples / 3

    return takes_more(1.0) or takes_more(sum(term.each for term in sums.terms))


def begun(
    sums: SumsOverExamples, *, seed: int, limit: float, size_of: Callable[[Array], float], progress: Progress | None
) -> tuple[Sampler, Array]:
    """A sampler after its pilot, and the pilot's mean."""
    sampler = Sampler(sums, seed=seed, size_of=size_of, limit=limit, progress=progress)
    return sampler, sampler.pilot()


def finished(
    sampler: Sampler,
    pilot: Array,
    *,
    allowed: Callable[[Array], float] | None,
    reached: Callable[[Samples], bool] | None,
    keep: bool = True,
) -> Found:
    """Draw until an accuracy is reached, or the limit.

    ``allowed(mean)`` is the standard error aimed at, ``reached(samples)`` says that the interval is narrow enough.
    Without them all that the limit allows is spent.
    """
    # Student's t for SAMPLES is wider than the normal, and the spread itself is known to an eighth.
    variance = None if allowed is None else (allowed(pilot) / MARGIN) ** 2
    sampler.settle(variance, sampler.limit - sampler.sums.work)
    samples, wanted = Samples(len(pilot), keep=keep), sampler.number
    while not sampler.is_exact and len(more := sampler.draw(wanted)):
        for sample in more:
            samples.add(sample)
        if reached is not None and reached(samples):
            break
        wanted = SAMPLES // 4
    enough = samples.count >= FEWEST and (reached is None or reached(samples))
    return Found(
        samples=samples,
        mean=samples.mean if samples.count else _exact(sampler),
        products=sampler.products,
        matvecs=sampler.matvecs,
        method=sampler.method(),
        converged=bool(sampler.is_exact or enough),
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
    first: int = 0,
) -> Estimate:
    """The trace; ``others(matvecs)`` gives it another way, if the pilot shows little gain and that has less error.

    ``first`` of the matvecs of that way are made before its first probe.
    """
    if others is not None and is_small(sums, limit):
        return others(limit)
    sampler, pilot = begun(sums, seed=seed, limit=limit, size_of=variance_of_total, progress=progress)
    resolution = 4 * sums.objective.resolution
    if others is not None and (better := _without_split(sampler, float(pilot.sum()), accuracy, limit, others, first)):
        return better

    def as_estimate(samples: Samples) -> Estimate:
        totals = samples.kept.sum(axis=1)
        return of_samples(totals, rounding=resolution * abs(float(totals.mean())), seed=seed)

    found = finished(
        sampler,
        pilot,
        allowed=(lambda mean: accuracy.standard_error(float(mean.sum()))) if accuracy.asked else None,
        reached=(lambda samples: accuracy.met_by(as_estimate(samples))) if accuracy.asked else None,
    )
    cost: dict[str, Any] = {"num_matvecs": found.matvecs, "products": found.products, "method": found.method}
    if not found.samples.count:
        total = float(found.mean.sum())
        return Estimate(total, sem=resolution * abs(total), **cost)
    return replace(as_estimate(found.samples), converged=found.converged, **cost)


def _without_split(
    sampler: Sampler,
    value: float,
    accuracy: Tolerance,
    limit: int,
    others: Callable[[int], Estimate],
    first: int,
) -> Estimate | None:
    """The estimate by probes of all of H, where the pilot promises little and a few of them promise more."""
    count = sampler.sums.num_examples
    left = limit - sampler.matvecs
    aim = accuracy.standard_error(value) if accuracy.asked else GOOD * abs(value)
    by_split = sampler.variance_for(count)  # of one matvec's worth
    if left < 2 * (TRIED + first) or by_split <= aim**2 * min(left, CHEAP):
        return None
    spent, tried = sampler.matvecs, others(TRIED + first)
    if tried.sem is None or tried.sem**2 * TRIED >= by_split:
        return None
    found = others(left - TRIED - first)
    return replace(found, num_matvecs=found.num_matvecs + spent, products=found.num_matvecs + sampler.products)


def variance_of_total(samples: Array) -> float:
    """Of the trace."""
    return float(np.var(samples.sum(axis=1), ddof=1))


def variance_in_all(samples: Array) -> float:
    """Of all entries together."""
    return float(np.var(samples, axis=0, ddof=1).sum())
