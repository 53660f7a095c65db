"""How high the loss rises on a way between two minima: over its ends, over their chord, and between its points."""

from __future__ import annotations

import numpy as np

from landscape.checks import check_choice
from landscape.errors import UsageError
from landscape.results.base import Array
from landscape.results.metrics import WithMetrics


class WithBarriers(WithMetrics):
    """What was evaluated on a way from one minimum (t = 0) to another (t = 1), at M points."""

    t: Array
    loss: Array

    @property
    def barrier(self) -> float:
        """``max_t L(t) − [(1 − t)·L(0) + t·L(1)]`` over the points evaluated, so never too large but for their error.

        Frankle et al. (2020), Entezari et al. (2022).

        Raises
        ------
        UsageError
            If this does not join two minima.
        """
        self._check_joins()
        return float(np.max(self._above_chord(self.loss)))

    @property
    def barrier_bound(self) -> float:
        """How large the barrier is at most, between the points, too, by :func:`highest_between`: an estimate.

        Raises
        ------
        UsageError
            If this does not join two minima.
        """
        self._check_joins()
        return float(np.max(highest_between(self.t, self._above_chord(self.loss), kinks=self._kinks())))

    @property
    def relative_barrier(self) -> float:
        """The barrier over the mean loss of both ends, which has no unit; NaN or infinite where that mean is 0.

        Raises
        ------
        UsageError
            If this does not join two minima.
        """
        with np.errstate(divide="ignore", invalid="ignore"):
            return float(np.float64(self.barrier) / (0.5 * (self.loss[0] + self.loss[-1])))

    def barrier_of(self, name: str = "loss", *, worse: str | None = None) -> float:
        """How much worse than on the chord of its ends a metric becomes, at most, at the points evaluated.

        Parameters
        ----------
        name : str
            ``"loss"``, or one of the metrics.
        worse : {"higher", "lower"}, optional
            Which way is worse. Left out, higher for losses and lower for all else, such as an accuracy.

        Raises
        ------
        UsageError
            If there is no such metric, or this does not join two minima.

        References
        ----------
        Entezari, Sedghi, Saukh & Neyshabur (2022), The role of permutation invariance in linear mode connectivity of
        neural networks, ICLR, section 2.
        """
        self._check_joins()
        check_choice("worse", worse, (None, "higher", "lower"))
        is_loss = name == "loss" or name in self.metric_losses
        sign = 1 if (worse or ("higher" if is_loss else "lower")) == "higher" else -1
        return float(np.max(sign * self._above_chord(self._values(name))))

    def error_barrier(self, name: str = "accuracy") -> float:
        """``max_t E(t) − ½[E(0) + E(1)]`` with ``E = 1 − metric``: the instability of Frankle et al. (2020), section 2.

        At most 2 % of it counts as stable there. Of a metric that is a share of right answers.

        Raises
        ------
        UsageError
            If there is no such metric, it is a loss, or this does not join two minima.

        References
        ----------
        Frankle, Dziugaite, Roy & Carbin (2020), Linear mode connectivity and the lottery ticket hypothesis, ICML.
        """
        self._check_joins()
        if name == "loss" or name in self.metric_losses:
            raise UsageError(f"{name!r} is a loss, not a share of right answers: barrier_of({name!r}) is its barrier")
        error = 1 - self.metric(name)
        return float(np.max(error) - 0.5 * (error[0] + error[-1]))

    def _values(self, name: str) -> Array:
        return self.loss if name == "loss" else self.metric(name)

    def _above_chord(self, values: Array) -> Array:
        above: Array = values - ((1 - self.t) * values[0] + self.t * values[-1])
        return above

    def _check_joins(self) -> None:
        """Refuse what leaves one minimum and comes to no other."""

    def _kinks(self) -> Array:
        """(M,) bool: points at which the way itself turns sharply."""
        return np.zeros(len(self.t), dtype=bool)


def highest_between(t: Array, values: Array, *, kinks: Array | None = None) -> Array:
    """How high a function may rise from each point of a grid to the next, (M − 1,), from its own second differences.

    Between neighbours at a distance h a function with ``|f″| ≤ c`` stays below its chord plus ``c·s(h − s)/2``, with s
    the way from the left one: that is at most the larger of both plus ``h²c/8``. Here c is the largest second
    difference at the four nearest points plus half of how far these differ, since each is a mean of f″ over two
    intervals. So this is an *estimate* of a bound: it holds where f″ changes from interval to interval no faster than
    its values show, and not for a spike narrower than the grid.

    Parameters
    ----------
    t, values : (M,) arrays
        The grid, ascending, with at least 3 points.
    kinks : (M,) bool, optional
        Points at which the slope jumps: no difference is taken across them. Two intervals at least lie between them.

    Examples
    --------
    >>> t = np.array([0.0, 0.4, 0.8, 1.2])
    >>> round(float(highest_between(t, 1 - (t - 0.6) ** 2)[1]), 9)
    1.0
    """
    steps, slopes = np.diff(t), np.diff(values) / np.diff(t)
    kinks = np.zeros(len(t), dtype=bool) if kinks is None else kinks
    bends = np.full(len(t), np.nan)
    bends[1:-1] = 2 * np.diff(slopes) / (t[2:] - t[:-2])
    bends[kinks] = np.nan
    rise = np.diff(values)
    middle = 0.5 * (values[1:] + values[:-1])
    curvature = np.array([_sharpest(bends, kinks, left) for left in range(len(steps))])
    # Of the parabola over the chord: its top where that lies between both points, else the higher of them.
    room = 0.5 * curvature * steps**2
    with np.errstate(divide="ignore", invalid="ignore"):
        top = middle + 0.25 * room + np.where(rise == 0, 0.0, rise**2 / (4 * room))
    highest: Array = np.where(np.abs(rise) < room, top, np.maximum(values[1:], values[:-1]))
    return np.where(np.isfinite(room) & np.isfinite(middle), highest, np.nan)


def _sharpest(bends: Array, kinks: Array, left: int) -> float:
    """What |f″| is at most in the interval from point ``left`` on, by what is known beyond no kink."""
    near = [left, left + 1]
    if left > 0 and not kinks[left]:
        near.append(left - 1)
    if left + 2 < len(bends) and not kinks[left + 1]:
        near.append(left + 2)
    known = [bends[i] for i in near if 0 < i < len(bends) - 1 and not kinks[i]]
    return float(np.max(np.abs(known)) + 0.5 * np.ptp(known)) if known else float("nan")
