"""The mean loss over Gaussian displacements: from so many draws, or until its interval is as short as asked."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from landscape.geometry.sharpness.balls import Around
from landscape.geometry.sharpness.deal import GROUP, Deal
from landscape.progress import Progress
from landscape.results import Estimate, Sharpness

#: Losses over the whole data with ``tol`` and no other limit.
MAX_LOSSES = 1000.0
#: Visits before the first look, and by how much they grow from one look to the next.
_FIRST, _LEAST_GROWTH, _MOST_GROWTH = 16, 1.15, 2.0


@dataclass(frozen=True)
class Goal:
    """Half the 95 % interval is to be at most ``max(tol·|value|, atol)``, within ``max_losses`` of the whole data."""

    tol: float
    atol: float
    max_losses: float

    def of_products(self, first: int) -> dict[str, Any]:
        """How an estimator that counts products is asked for the same, with so many of them before the first look."""
        most = math.ceil(self.max_losses)
        return {"tol": self.tol or None, "atol": self.atol, "max_matvecs": most, "num_probes": min(first, most)}

    def excess(self, found: Estimate) -> float:
        """How many times as wide as asked the interval is; infinite where it has no error."""
        reach, allowed = found.reach(), max(self.tol * abs(found.value), self.atol)
        return reach / allowed if allowed > 0 else (0.0 if reach == 0 else math.inf)


def average(
    around: Around,
    *,
    passes: int,
    goal: Goal | None = None,
    group: int | None = None,
    seed: int,
    progress: Progress | None,
) -> Sharpness:
    """The mean rise over antithetic pairs of displacements, fresh for every group of examples.

    Without a goal from ``passes`` over the whole data, ``2·passes + 1`` losses. Groups are of so many examples, about.
    """
    most = 2.0 * passes + 1 if goal is None else goal.max_losses
    ticker = _Whole(progress, most)
    scale, size = around.scale * around.rho, group or GROUP
    deal = Deal(around.objective, around.theta, scale, seed=seed, tick=ticker, group=size)
    if goal is None:
        found, converged = _passes(deal, passes)
        how = f"{passes} passes, {deal.size} displacements each" if deal.size > 1 else f"{passes} displacements"
    else:
        found, converged = _until(deal, goal) if deal.is_cut else _whole_until(deal, goal)
        whole, rest = divmod(deal.visits, deal.size)
        kind = "groups of examples" if deal.is_cut else "batches"
        how = f"{deal.visits} displacements over {deal.size} {kind}: {whole} passes"
        how += f" and {rest} groups drawn at random" if rest else ""
    ticker.end()
    finite = bool(np.isfinite(found.samples).all())
    return Sharpness(
        measure=around.name,
        value=found.value,
        error=found.sem if finite else None,
        kind="estimate",
        rho=around.rho,
        p=math.nan,
        samples=found.samples,
        converged=converged and finite,
        num_evaluations=math.ceil(deal.cost - 1e-6),
        seed=seed,
        reference=around.reference,
        cost=deal.cost,
        method=f"{how}, each with both signs",
    )


def _passes(deal: Deal, count: int) -> tuple[Estimate, bool]:
    """The mean over passes, which are samples of equal worth."""
    samples = np.array([_one_pass(deal) for _ in range(count)])
    return _mean(samples), True


def _one_pass(deal: Deal) -> float:
    before = [len(found) for found in deal.found]
    for _ in range(deal.size):
        deal.visit()
    return float(deal.shares @ np.array([group[n] for group, n in zip(deal.found, before, strict=True)]))


def _until(deal: Deal, goal: Goal) -> tuple[Estimate, bool]:
    """Visits until the interval is short enough, looked at as the error says."""
    wanted = _FIRST
    while True:
        while deal.visits < wanted:
            if deal.visits >= 2 and deal.cost + deal.next_cost > goal.max_losses:
                return deal.estimate(), goal.excess(deal.estimate()) <= 1
            if not math.isfinite(deal.visit()):
                return deal.estimate(), False
        found = deal.estimate()
        excess = goal.excess(found)
        if excess <= 1:
            return found, True
        growth = min(max(excess**2, _LEAST_GROWTH), _MOST_GROWTH)
        wanted = math.ceil(growth * deal.visits)


def _whole_until(deal: Deal, goal: Goal) -> tuple[Estimate, bool]:
    """The same where only all of the data together say something."""
    samples: list[float] = []
    while len(samples) < 2 or goal.excess(_mean(np.array(samples))) > 1:
        if len(samples) >= 2 and deal.cost + 2 > goal.max_losses:
            return _mean(np.array(samples)), False
        samples.append(_one_pass(deal))
        if not math.isfinite(samples[-1]):
            return _mean(np.array(samples)), False
    return _mean(np.array(samples)), True


def _mean(samples: np.ndarray) -> Estimate:
    finite = len(samples) > 1 and bool(np.isfinite(samples).all())
    sem = float(samples.std(ddof=1) / math.sqrt(len(samples))) if finite else None
    return Estimate(float(samples.mean()), sem=sem, samples=samples)


class _Whole:
    """Reports losses over the whole data, each when it is complete."""

    def __init__(self, progress: Progress | None, most: float) -> None:
        self._progress, self._most, self._done = progress, math.ceil(most), 0

    def __call__(self, cost: float) -> None:
        done = math.floor(cost + 1e-6)
        if done > self._done:
            self._done = done
            if self._progress is not None:
                self._progress(min(done, self._most), self._most)

    def end(self) -> None:
        """It took fewer than it might have."""
        if self._progress is not None and self._done < self._most:
            self._progress(max(self._done, 1), max(self._done, 1))
