"""The flatness radius: how much Gaussian noise the parameters bear until the loss has risen by a margin on average.

The rise is measured at the same displacements whatever their length, so that it is a smooth function of σ, whose root
is looked for: on few displacements first, then near there on all of them, or on more and more until the radius is as
certain as asked. How far the root of another draw may lie is the standard error of the rise over its slope.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from scipy import optimize
from torch import Tensor

from landscape.geometry.sharpness.averages import Goal
from landscape.geometry.sharpness.balls import Ticker
from landscape.geometry.sharpness.deal import Deal
from landscape.objective import Objective
from landscape.progress import Progress
from landscape.results import Estimate

#: Where the search begins, and by how much a step of it may be longer than the one before.
_START, _LONGEST = 0.05, 8.0
#: So many steps out or in end a search: by a factor of 8 each, all that float32 can tell.
_MOST_STEPS = 40
#: Groups of examples, each at a displacement of its own, with which a search begins: fewer than that are all there are.
_FEW = 64
#: With a goal, of the first look; by how much more there are at the next one; evaluations at each, about.
_FIRST, _LEAST_GROWTH, _MOST_GROWTH = 32, 1.2, 4.0
#: The root on the few is wanted to this share, that on all of them to this; a bracket is set so much wider.
_COARSE, _FINE, _WIDER = 0.1, 1e-4, 1.15
#: A rise that is no number, or infinite, in units of the margin, as the search sees it.
_FAR = 1e12
#: Evaluations of a search on all passes, about; it is what progress counts with.
_USUAL = 6


@dataclass(frozen=True)
class Found:
    """A radius with its error, and what it was read from.

    Attributes
    ----------
    value : float
        σ; infinite where the loss never rises by the margin, 0 where it does so however small σ is.
    error : float or None
    samples : (S,) array
        σ as each sample of the rise alone would move it, to first order.
    cost : float
        Losses over the whole data.
    converged : bool
        Whether there is one, as certain as asked.
    method : str
        At how many displacements.
    """

    value: float
    error: float | None
    samples: np.ndarray
    cost: float = math.nan
    converged: bool = False
    method: str = ""


@dataclass
class _Rise:
    """The mean rise at a σ, from the same random numbers at each, with all that was measured."""

    deal: Deal
    scale: Tensor
    epsilon: float
    margin: float
    visits: int
    cost: float = 0.0
    seen: dict[float, Estimate] = field(default_factory=dict)

    def at(self, sigma: float) -> Estimate:
        """Measured once."""
        if sigma not in self.seen:
            spread = torch.sqrt((sigma * self.scale).square() + self.epsilon**2)
            deal = self.deal.again(spread)
            for _ in range(self.visits):
                if not math.isfinite(deal.visit()):
                    break
            self.seen[sigma] = deal.estimate()
            self.cost += deal.cost
        return self.seen[sigma]

    def height(self, log_sigma: float) -> float:
        """The logarithm of the rise over the margin, kept within bounds: nearly linear in that of σ."""
        share = self.at(math.exp(log_sigma)).value / self.margin
        if not share <= _FAR:
            return math.log(_FAR)
        return math.log(max(share, 1 / _FAR))


def flatness_radius(
    objective: Objective,
    theta: Tensor,
    scale: Tensor,
    *,
    margin: float,
    epsilon: float,
    passes: int,
    goal: Goal | None,
    seed: int,
    progress: Progress | None,
) -> Found:
    """σ at which the mean loss over ``θ + δ``, ``δ_i ~ N(0, σ²c_i² + ε²)``, lies by the margin above that at θ.

    At so many passes over the data, or with a goal at as few groups of examples as reach it.
    """
    total = 2 * _USUAL * (passes + 1) if goal is None else math.ceil(goal.max_losses)
    tick, before = Ticker(progress, total=total), [0.0]

    def spend(cost: float) -> None:  # a deal tells what it has spent since it was made
        tick(cost - before[0] if cost > before[0] else cost)
        before[0] = cost

    deal = Deal(objective, theta, scale, seed=seed, tick=spend)

    def rise(visits: int) -> _Rise:
        return _Rise(deal, scale, epsilon, margin, visits)

    near = _root(rise(min(deal.size, _FEW) if deal.is_cut else deal.size), _START, within=_COARSE)
    if not 0 < near < math.inf:
        found = Found(near, None, np.empty(0))
    elif goal is None:
        found = _at(rise(passes * deal.size), near)
    else:
        found = _until(rise, near, deal.size if not deal.is_cut else 1, goal, spent=lambda: tick.cost)
    tick.end()
    return replace(found, cost=tick.cost)


def _at(rise: _Rise, near: float) -> Found:
    """The radius at these displacements, looked for from where it should be."""
    sigma = _root(rise, near, within=_FINE)
    whole, rest = divmod(rise.visits, rise.deal.size)
    method = f"{whole} passes" if not rest else f"{rise.visits} displacements, over {rise.deal.size} groups of examples"
    method += ", at one set of displacements, each with both signs"
    if not 0 < sigma < math.inf:
        return Found(sigma, None, np.empty(0), method=method)
    height, slope = rise.at(sigma), _slope(rise, sigma)
    if height.sem is None:
        return Found(sigma, None, np.empty(0), converged=True, method=method)
    samples = sigma - (height.samples - height.value) / slope
    return Found(sigma, max(height.sem / slope, _FINE * sigma), samples, converged=True, method=method)


def _until(rise: Callable[[int], _Rise], near: float, whole: int, goal: Goal, *, spent: Callable[[], float]) -> Found:
    """At more and more displacements, in multiples of ``whole``, until the interval is short enough."""
    visits = _FIRST if whole == 1 else 2 * whole
    while True:
        before = spent()
        found = _at(rise(visits), near)
        if not 0 < found.value < math.inf:
            return found
        sigma = Estimate(found.value, sem=found.error, samples=found.samples)
        excess = goal.excess(sigma) if found.error is not None else math.inf
        growth = min(max(excess**2, _LEAST_GROWTH), _MOST_GROWTH)
        if excess <= 1 or spent() + growth * (spent() - before) > goal.max_losses:
            return replace(found, converged=excess <= 1)
        visits, near = whole * math.ceil(growth * visits / whole), found.value


def _root(rise: _Rise, start: float, *, within: float) -> float:
    """Where the rise passes the margin, to that share; infinite or 0 where it does not."""
    low, high = _bracket(rise, math.log(start))
    if low is None or high is None:
        return 0.0 if low is None else math.inf
    root = optimize.brentq(rise.height, low, high, xtol=within, rtol=4 * np.finfo(float).eps)
    return math.exp(float(root))


def _bracket(rise: _Rise, at: float) -> tuple[float | None, float | None]:
    """Logarithms of a σ below the margin and one above it; None for the side on which there is none.

    A step goes to where the margin lies on a parabola, and a little further.
    """
    low: float | None = None
    high: float | None = None
    for _ in range(_MOST_STEPS):
        height = rise.height(at)
        if height > 0:
            high = at
        else:
            low = at
        if low is not None and high is not None:
            return low, high
        step = min(abs(height) / 2 + math.log(_WIDER), math.log(_LONGEST))
        at = at - step if height > 0 else at + step
    return low, high


def _slope(rise: _Rise, sigma: float) -> float:
    """Of the rise by σ, as a power of it between the nearest values measured on both sides, at least 1 % away.

    Infinite at a cliff.
    """
    finite = sorted(s for s, found in rise.seen.items() if math.isfinite(found.value))
    below = [s for s in finite if s < 0.99 * sigma] or [s for s in finite if s < sigma]
    above = [s for s in finite if s > 1.01 * sigma] or [s for s in finite if s > sigma]
    first, last = (below[-1] if below else sigma), (above[0] if above else sigma)
    low, high = rise.seen[first].value, rise.seen[last].value
    if not (last > first and high > low):
        return math.inf
    if low <= 0:
        return (high - low) / (last - first)
    return rise.seen[sigma].value / sigma * math.log(high / low) / math.log(last / first)
