"""The flatness radius: how much Gaussian noise the parameters bear until the loss has risen by a margin on average.

The rise is measured at the same displacements whatever their length, so that it is a smooth function of σ, whose root
is looked for: on one pass over the data first, then near there on all passes. How far the root of another draw may lie
is the standard error of the rise over its slope.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import torch
from scipy import optimize
from torch import Tensor

from landscape.geometry.sharpness.balls import Ticker
from landscape.geometry.sharpness.deal import Deal
from landscape.objective import Objective
from landscape.progress import Progress
from landscape.results import Estimate

#: Where the search begins, and by how much a step of it may be longer than the one before.
_START, _LONGEST = 0.05, 8.0
#: So many steps out or in end a search: by a factor of 8 each, all that float32 can tell.
_MOST_STEPS = 40
#: The root on one pass is wanted to this share, that on all of them to this; a bracket is set so much wider.
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
    """

    value: float
    error: float | None
    samples: np.ndarray
    cost: float


@dataclass
class _Rise:
    """The mean rise at a σ, from the same random numbers at each, with all that was measured."""

    deal: Deal
    scale: Tensor
    epsilon: float
    margin: float
    passes: int = 1
    cost: float = 0.0
    seen: dict[float, Estimate] = field(default_factory=dict)

    def at(self, sigma: float) -> Estimate:
        """Measured once."""
        if sigma not in self.seen:
            spread = torch.sqrt((sigma * self.scale).square() + self.epsilon**2)
            deal = self.deal.again(spread)
            for _ in range(self.passes * deal.size):
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
    seed: int,
    progress: Progress | None,
) -> Found:
    """σ at which the mean loss over ``θ + δ``, ``δ_i ~ N(0, σ²c_i² + ε²)``, lies by the margin above that at θ."""
    tick = Ticker(progress, total=2 * passes * _USUAL + 2 * _USUAL)
    before = [0.0]

    def spend(cost: float) -> None:  # a deal tells what it has spent since it was made
        tick(cost - before[0] if cost > before[0] else cost)
        before[0] = cost

    deal = Deal(objective, theta, scale, seed=seed, tick=spend)
    coarse = _Rise(deal, scale, epsilon, margin)
    near = _root(coarse, _START, within=_COARSE)
    fine = _Rise(deal, scale, epsilon, margin, passes=passes)
    sigma = _root(fine, near, within=_FINE) if 0 < near < math.inf else near
    tick.end()
    cost = coarse.cost + fine.cost
    if not 0 < sigma < math.inf:
        return Found(sigma, None, np.empty(0), cost)
    rise, slope = fine.at(sigma), _slope(fine, sigma)
    error = None if rise.sem is None else max(rise.sem / slope, _FINE * sigma)
    samples = sigma - (rise.samples - rise.value) / slope if error is not None else np.empty(0)
    return Found(sigma, error, samples, cost)


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
