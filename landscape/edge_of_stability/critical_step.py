"""The critical step of an update: how long it could be before the loss no longer falls, by losses alone."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch

from landscape.results import Estimate

#: A crossing further from the first guess than this many times is looked for in leaps of so many.
_LEAP = 8.0
#: A guess from the losses is trusted so many times in a row before the bracket is halved instead.
_TRUST = 3
#: Rounding of a loss, in units of eps·|L|.
_LOSS_ROUNDING = 4.0


def rounding_of(loss: float, dtype: torch.dtype) -> float:
    """By which the difference of two losses of this size may be wrong."""
    return _LOSS_ROUNDING * float(torch.finfo(dtype).eps) * abs(loss)


@dataclass
class CriticalStep:
    r"""Search for the smallest η > 0 at which ``rise(η) = L(θ − ηu) − L(θ)`` is above 0.

    What is solved is ``rise(η)/η = 0``: on a quadratic that is a straight line in η, so two losses give its root, and
    two more beside it prove it. Where the loss rises and falls again between two of the points that are evaluated, a
    smaller η is missed.

    Parameters
    ----------
    rise : callable
    rounding : float
        By which a rise may be wrong.
    tol : float
        Width of the bracket, relative to it, at which the search ends.
    most : int
        Losses it may take.

    Attributes
    ----------
    low, high : float
        No rise was seen at ``low``, one at ``high``; 0 and infinity where there is no such point.
    losses : int
        Taken so far.
    """

    rise: Callable[[float], float]
    rounding: float
    tol: float = 0.02
    most: int = 20
    low: float = 0.0
    high: float = math.inf
    losses: int = 0
    _slopes: dict[float, float] = field(default_factory=dict)

    def know(self, eta: float, rise: float) -> None:
        """A rise that was computed for something else."""
        if not math.isfinite(rise):
            rise = math.inf
        self._slopes[eta] = rise / eta
        if rise > 0:
            if eta < self.high:
                self.high = eta
                self.low = max((e for e, slope in self._slopes.items() if e < eta and slope <= 0), default=0.0)
        elif eta < self.high:
            self.low = max(self.low, eta)

    def search(self, start: float) -> None:
        """Narrow the bracket, from a first guess."""
        if start not in self._slopes:
            self._evaluate(start)
        self._narrow()
        if self.is_narrow and self._aside() is None and self.losses < self.most:
            self._evaluate(self.low / 2)
            self._narrow()  # if the loss rises there already

    def _narrow(self) -> None:
        trusted = 0
        while self.losses < self.most and not self.is_narrow and not self._is_hopeless:
            before = self.high / self.low if self.low else math.inf
            self._evaluate(self._next(may_trust=trusted < _TRUST))
            halved = self.low > 0 and self.high / self.low < math.sqrt(before)
            trusted = 0 if halved or trusted >= _TRUST else trusted + 1

    @property
    def is_narrow(self) -> bool:
        """Whether both ends of the bracket are found and near each other."""
        return self.low > 0 and self.high <= (1 + self.tol) * self.low

    def as_sharpness(self, along: str) -> Estimate | None:
        """``λ_c = 2/η_c``, bounded by the bracket and the rounding of the losses; None where there is no bracket."""
        if not (self.low > 0 and math.isfinite(self.high)):
            return None
        root = self._root()
        eta = root if root is not None and self.low <= root <= self.high else math.sqrt(self.low * self.high)
        value = 2 / eta
        return Estimate(
            value,
            bound=max(2 / self.low - value, value - 2 / self.high) + self._from_rounding(eta),
            method=f"2/η_c along {along}, η_c between {self.low:.6g} and {self.high:.6g}, {self.losses} losses",
            converged=self.is_narrow,
        )

    def _from_rounding(self, eta: float) -> float:
        """How far the rounding of a rise may move the value: what it moves η by is rounding over slope."""
        aside = self._aside()
        if aside is None:
            return 0.0
        # Not from the ends of the bracket: near each other they differ by rounding.
        bend = self._slopes[aside] / (aside - eta)
        return 2 / eta**2 * self.rounding / (eta * bend)

    def _aside(self) -> float | None:
        """The nearest point well below the crossing, at which the loss is lower."""
        return max((eta for eta, slope in self._slopes.items() if eta < 0.9 * self.low and slope < 0), default=None)

    def _evaluate(self, eta: float) -> None:
        self.losses += 1
        self.know(eta, self.rise(eta))

    def _next(self, *, may_trust: bool) -> float:
        root = self._root() if may_trust else None
        narrow = self.tol / 3
        if self.low == 0:
            wanted = None if root is None else root * (1 - narrow)
            return wanted if wanted is not None and self.high / _LEAP < wanted < self.high else self.high / _LEAP
        if self.high == math.inf:
            wanted = None if root is None else root * (1 + narrow)
            if wanted is not None and self.low < wanted < self.low * _LEAP:
                return wanted
            farther = self._root()
            return self.low * _LEAP if farther is None else min(max(2 * farther, 2 * self.low), self.low * _LEAP)
        if root is not None and self.low < root < self.high:
            sides = (root * (1 - narrow), root * (1 + narrow))
            # Where the lower end is near already, the upper one is what is missing.
            for wanted in sides if self.low < root * (1 - self.tol) else sides[::-1]:
                if self.low < wanted < self.high:
                    return wanted
        return math.sqrt(self.low * self.high)

    @property
    def _is_hopeless(self) -> bool:
        """Whether the loss rises from the start on: no step is short enough, as far as rounding shows."""
        if self.low > 0 or not math.isfinite(self.high):
            return False
        nearest = sorted(self._slopes)[:2]
        if len(nearest) < 2:
            return False
        if len(self._slopes) > 2 and self._slopes[self.high] * self.high <= self.rounding:
            return True
        root, (near, far) = self._root(), (self._slopes[eta] for eta in nearest)
        is_straight = far < 2 * near
        return is_straight and (root is None or root <= 0 or far <= near)

    def _root(self) -> float | None:
        """Where the line through the two points nearest to the crossing is zero; the inverse parabola through three."""
        finite = {eta: slope for eta, slope in self._slopes.items() if math.isfinite(slope)}
        edge = self.low or self.high
        ends = [eta for eta in (self.low, self.high) if eta in finite]
        others = sorted((eta for eta in finite if eta not in ends), key=lambda eta: abs(math.log(eta / edge)))
        nearest = (ends + others)[:3]
        if len(nearest) < 2:
            return None
        (a, b), (f, g) = nearest[:2], (finite[eta] for eta in nearest[:2])
        straight = a - f * (b - a) / (g - f) if g != f else None
        bent = _inverse_parabola([(eta, finite[eta]) for eta in nearest])
        return bent if bent is not None and self.low < bent < self.high else straight


def _inverse_parabola(points: list[tuple[float, float]]) -> float | None:
    """η where the slope is zero, by a parabola of η over the slope; None where slopes do not grow with η."""
    points = sorted(points)
    if len(points) < 3 or not points[0][1] < points[1][1] < points[2][1]:
        return None
    (a, f), (b, g), (c, h) = points
    return a * g * h / ((f - g) * (f - h)) + b * f * h / ((g - f) * (g - h)) + c * f * g / ((h - f) * (h - g))
