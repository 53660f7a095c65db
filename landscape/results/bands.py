"""Where the distribution of the eigenvalues can lie: sharp brackets for each probe, and the law over probes.

Two things are unknown. Of each probe's own distribution only the moments are known that its Lanczos coefficients hold;
what follows from them is a bracket, and the best there is. And a probe weighs the eigenvalues at random; where its
direction is uniform on the sphere, the law of those weights is known, whatever the matrix. ``P`` parameters, ``R``
probes, ``T`` steps, ``n`` eigenvalues that the probes measure.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import special

from landscape.results.base import Array
from landscape.results.coupling import how_far_moved
from landscape.results.quadrature import gauss_rule, run_lengths, weight_up_to

#: Rules for each run, each with one further node elsewhere. Between their nodes brackets hold by monotony, but wider:
#: where that costs most, rules are added with a node there, half as many as there were, as often as this.
_RULES = 16
_REFINEMENTS = 2
#: Rounding of sums of weights.
SUMMATION = 1e-12
#: More degrees of freedom than this are none: then the law is normal.
MOST_FREEDOM = 1e9
#: Bisections; they begin within a few standard deviations.
_HALVINGS = 40


@dataclass(frozen=True)
class Brackets:
    """A distribution function lies between two step functions that rise at the points (M,), ascending.

    From one point to the next it is at least ``below`` of the first and at most ``above`` of the second. ``between`` is
    an estimate, within both: the mean of the distributions that reach them.
    """

    points: Array
    below: Array
    between: Array
    above: Array

    def at(self, x: Array, slack: Array | float = 0.0) -> tuple[Array, Array, Array]:
        """(lower, estimate, upper) at x, where the points may lie elsewhere by ``slack``."""
        first, second, third = (np.searchsorted(self.points, x + shift, side="right") for shift in (-slack, 0.0, slack))
        return np.r_[0.0, self.below][first], np.r_[0.0, self.between][second], np.r_[self.above, 1.0][third]


def brackets(alphas: Array, betas: Array) -> Brackets:
    """The brackets of one run with coefficients (T,); of those asked for last they are at hand.

    Among all distributions with the same moments up to degree 2T, the one that has a node at x and T others is the
    smallest to the left of x and the largest up to x. It is the Gauss rule of the Jacobi matrix with one row more,
    whose last entry puts a node at x: one such rule gives the brackets at each of its nodes. An exhausted run, whose
    last β is zero, has the distribution itself.

    The mean of these rules over that last entry has the same moments, too; with Cauchy's weights it tends to a smooth
    density (Bernstein and Szegő), nearer to most spectra than any single rule, whose steps are as high as its weights.

    References
    ----------
    Krein & Nudelman (1977), The Markov Moment Problem and Extremal Problems, ch. III, for the bounds, which are those
    of Chebyshev, Markov and Stieltjes. Golub (1973), SIAM Rev. 15(2), for a node where one wants it. Szegő (1975),
    Orthogonal Polynomials, §2.6, for the density.
    """
    length = int(run_lengths(betas[None, :])[0])
    alphas, betas = (np.asarray(part[:length], dtype=float) for part in (alphas, betas))
    return _brackets(alphas.tobytes(), betas.tobytes())


# Runs that have not gone on since the last look are asked for again.
@lru_cache(maxsize=64)
def _brackets(alpha_bytes: bytes, beta_bytes: bytes) -> Brackets:
    alphas, betas = np.frombuffer(alpha_bytes), np.frombuffer(beta_bytes)
    nodes, weights, _ = gauss_rule(alphas, betas[:-1])
    if betas[-1] == 0:
        total = np.cumsum(weights)
        return Brackets(nodes, total, total, total - weights)
    rules = _Rules(alphas, betas)
    rules.add(nodes, weights, 0.0)
    # Evenly over the phase, so that the nodes pass every gap at an even pace.
    for angle in np.pi * ((np.arange(_RULES) + 0.5) / _RULES - 0.5):
        rules.extend(alphas[-1] + betas[-1] * np.tan(angle), 1 / _RULES)
    for _ in range(_REFINEMENTS):
        found = rules.brackets()
        lost = (np.diff(found.above) + np.diff(found.below)) * np.diff(found.points)
        worst = np.argsort(lost)[-_RULES // 2 :]
        for entry in _last_entry(alphas, betas, (found.points[worst] + found.points[worst + 1]) / 2):
            rules.extend(float(entry), 0.0)
    return rules.brackets()


class _Rules:
    """Gauss rules that share all their moments; each with its share in the estimate."""

    def __init__(self, alphas: Array, betas: Array) -> None:
        self._alphas, self._betas = alphas, betas
        self._parts: list[tuple[Array, Array, Array, Array]] = []

    def extend(self, entry: float, share: float) -> None:
        """The rule of the Jacobi matrix with this last entry."""
        self.add(*gauss_rule(np.append(self._alphas, entry), self._betas)[:2], share)

    def add(self, nodes: Array, weights: Array, share: float) -> None:
        total = np.cumsum(weights)
        self._parts.append((nodes, total - weights, share * weights, total))

    def brackets(self) -> Brackets:
        points, below, masses, above = (np.concatenate(part) for part in zip(*self._parts, strict=True))
        order = np.argsort(points, kind="stable")
        # Both rise with x; rounding alone says otherwise.
        below = np.maximum.accumulate(np.clip(below[order], 0, 1))
        above = np.minimum.accumulate(np.clip(above[order], 0, 1)[::-1])[::-1]
        return Brackets(points[order], below, np.cumsum(masses[order]), above)


def _last_entry(alphas: Array, betas: Array, x: Array) -> Array:
    """What puts a node at x (M,) when it follows the diagonal (T,), with all of ``betas`` (T,) beside it."""
    pivot = x - alphas[0]
    # A pivot of zero has a neighbour that serves as well.
    tiny = np.finfo(float).eps * max(float(np.abs(alphas).max()), float(betas.max()))
    for alpha, beta in zip([*alphas[1:], 0.0], betas, strict=True):
        pivot = np.where(np.abs(pivot) < tiny, tiny, pivot)
        pivot = x - alpha - beta**2 / pivot
    entry: Array = pivot
    return entry


def shares_allowed(low: Array, high: Array, *, count: int, probes: int, level: float) -> tuple[Array, Array]:
    """Interval (M,), (M,) for the share m/n of the eigenvalues, from a mean mass over probes between low and high.

    The mass of m of ``count`` = n eigenvalues under a direction uniform on the sphere has the beta distribution with
    parameters m/2 and (n − m)/2, whatever the matrix. The mean over R probes is given the beta distribution of the same
    mean and variance, which for one probe is exact, and for a small share the right gamma. The interval holds every m
    that leaves what was seen at least (1 − level)/2 on either side, as Clopper's and Pearson's does for counts.
    """
    if count == 0:
        return np.zeros_like(low), np.zeros_like(high)
    nu, tail = max(((count + 2) * probes - 2) / 2, 0.5), (1 - level) / 2
    lower = _share(np.clip(low - SUMMATION, 0, 1), nu, lambda below: 1 - below < tail, -1)
    upper = _share(np.clip(high + SUMMATION, 0, 1), nu, lambda below: below >= tail, 1)
    lower, upper = np.minimum(lower, low), np.maximum(upper, high)
    # Eigenvalues come whole: m/n lies in the interval, where it is wide enough to hold one.
    first, last = np.ceil(lower * count - 1e-6) / count, np.floor(upper * count + 1e-6) / count
    return np.where(first <= last, first, lower), np.where(first <= last, last, upper)


def error_of_mean(weights: Array, values: Array, *, count: int) -> tuple[float, float]:
    """Standard error of the mean over R probes of ``Σ w f``, for f with values (R, T) at the nodes, and its freedom.

    One probe's variance is ``2/(n + 2)`` times the variance of f over the spectrum, which the rules estimate. Where a
    few eigenvalues make up most of it, this estimate is itself that of a few squared normal numbers; the degrees of
    freedom are those of the chi-square law with the same mean and variance (Satterthwaite 1946, Biometrics 2).
    """
    total = weights.sum(1, keepdims=True)
    if count < 2 or not (total > 0).all():
        return 0.0, MOST_FREEDOM
    shares = weights / total / len(weights)
    size = float(np.abs(values).max()) or 1.0
    apart = (values - (shares * values).sum()) / size
    second, fourth = (float((shares * apart**p).sum()) for p in (2, 4))
    sem = size * np.sqrt(2 * second / ((count + 2) * len(weights)))
    freedom = len(weights) * count * second**2 / fourth if fourth > 0 else MOST_FREEDOM
    return float(sem), float(np.clip(freedom, len(weights), MOST_FREEDOM))


@lru_cache(maxsize=64)
def _tabulated(count: int, probes: int, level: float) -> tuple[Array, Array, Array]:
    """The interval depends on the mass alone, and smoothly: here at masses (M,) that are denser where it bends."""
    mass = np.sin(np.linspace(0, np.pi / 2, 257)) ** 2
    return mass, *shares_allowed(mass, mass, count=count, probes=probes, level=level)


def _share(mass: Array, nu: float, goes_on: Callable[[Array], Array], side: int) -> Array:
    """By bisection: up to which share F, with parameters νF and ν(1 − F), ``goes_on`` holds of P(mean ≤ mass)."""
    reach = 8 * np.sqrt(mass * (1 - mass) / nu) + 40 / nu
    start, end = np.clip(mass - reach, 0, 1), np.clip(mass + reach, 0, 1)
    for _ in range(_HALVINGS):
        share = (start + end) / 2
        below = special.betainc(np.maximum(nu * share, 1e-300), np.maximum(nu * (1 - share), 1e-300), mass)
        holds = goes_on(below)
        start, end = np.where(holds, share, start), np.where(holds, end, share)
    found: Array = end if side > 0 else start
    return found


@dataclass(frozen=True)
class Band:
    """The distribution of P eigenvalues as R isotropic runs and K known eigenvalues leave it.

    Attributes
    ----------
    runs : tuple of Brackets
        Of the probes' own distributions of what is not known.
    known, residuals : (K,) arrays
        And how far each may be off.
    rounding : float
        How far rounding may have moved the eigenvalues.
    """

    runs: tuple[Brackets, ...]
    known: Array
    residuals: Array
    rounding: float
    dim: int

    def at(self, x: Array, *, level: float) -> tuple[Array, Array, Array]:
        """(lower, estimate, upper) of the share of eigenvalues up to x (M,)."""
        low, middle, high = self.brackets(x)
        lower, upper = shares_allowed(low, high, count=self._rest, probes=len(self.runs), level=level)
        return self._with_known(x, lower, np.clip(middle, lower, upper), upper)

    def brackets(self, x: Array) -> tuple[Array, Array, Array]:
        """(lower, estimate, upper) of the mean over probes, of the rest alone, whose mass is 1."""
        if not self._rest:
            return np.zeros(len(x)), np.zeros(len(x)), np.zeros(len(x))
        slack = self.rounding + how_far_moved(x, self.known, self.residuals)
        low, middle, high = np.mean([run.at(x, slack) for run in self.runs], axis=0)
        return low, middle, high

    def half_widths(self, span: tuple[float, float], *, level: float = 0.95) -> tuple[float, float]:
        """Means over a range: of half the band, and of half the brackets alone."""
        start, end = span
        if not end > start:
            return 0.0, 0.0
        places = np.concatenate([[start, end], self.known, *(run.points for run in self.runs)])
        edges = np.unique(places[(places >= start) & (places <= end)])
        x, steps = (edges[1:] + edges[:-1]) / 2, np.diff(edges) / (end - start)
        low, _, high = self.brackets(x)
        mass, lower, upper = _tabulated(self._rest, len(self.runs), level)
        least, _, most = self._with_known(x, np.interp(low, mass, lower), low, np.interp(high, mass, upper))
        share = self._rest / self.dim
        return float(steps @ (most - least)) / 2, float(share * steps @ (high - low)) / 2

    @property
    def _rest(self) -> int:
        return self.dim - len(self.known)

    def _with_known(self, x: Array, lower: Array, middle: Array, upper: Array) -> tuple[Array, Array, Array]:
        """Shares of all eigenvalues, from those (M,) of the rest."""
        share = self._rest / self.dim
        reach = self.rounding + float(np.linalg.norm(self.residuals))
        first, second, third = (
            (self.known[:, None] <= x + s).sum(0) / self.dim + share * rest
            for s, rest in ((-reach, lower), (0.0, middle), (reach, upper))
        )
        rounding = SUMMATION if self._rest else 0.0  # of the weights
        lowest, highest = first - rounding, third + rounding
        return lowest, second, highest


def band_from_spread(
    rules: Sequence[tuple[Array, Array]], x: Array, known: Array, residuals: Array, *, dim: int, level: float
) -> tuple[Array, Array, Array]:
    """(lower, estimate, upper) at x (M,) from nodes and weights alone, whatever the law of the probes.

    Brackets of one weight on either side, and the spread over probes: Student's t.
    """
    coupling = float(np.linalg.norm(residuals))
    shifts = (-coupling, 0.0, coupling)
    known_rows = np.stack([(known[:, None] <= x + shift).sum(0) / dim for shift in shifts])
    slack, probes = how_far_moved(x, known, residuals), len(rules)
    rows = np.stack([weight_up_to(*rule, x, slack) for rule in rules])
    low, middle, high = (rows[:, i] + known_rows[i] for i in range(3))
    if dim == len(known):
        spread = np.zeros((2, len(x)))
    elif probes > 1:
        quantile = float(special.stdtrit(probes - 1, 0.5 + level / 2)) / np.sqrt(probes)
        spread = quantile * np.stack([low.std(0, ddof=1), high.std(0, ddof=1)])
    else:
        spread = np.full((2, len(x)), np.inf)
    return low.mean(0) - spread[0] - SUMMATION, middle.mean(0), high.mean(0) + spread[1] + SUMMATION


def half_widths_between(
    nodes: Array, weights: Array, cdf: Callable[..., tuple[Array, Array, Array]]
) -> tuple[float, float]:
    """As of a band that changes at the nodes (R, T) alone; at no confidence its brackets are left."""
    edges = np.unique(nodes[weights > 0])
    if len(edges) < 2:
        return 0.0, 0.0
    x, steps = (edges[1:] + edges[:-1]) / 2, np.diff(edges) / np.ptp(edges)
    (lower, _, upper), (low, _, high) = cdf(x), cdf(x, level=1e-9)
    return float(steps @ (upper - lower)) / 2, float(steps @ (high - low)) / 2


def masses_up_to(rules: Sequence[tuple[Array, Array]], at: Array, whole: Array) -> tuple[Array, float]:
    """Mass of each rule up to one point, (R,), and how far their mean may be off; ``whole`` rules are exact."""
    rows = np.stack([weight_up_to(*rule, at, np.zeros(1))[:, 0] for rule in rules])
    rows[whole] = rows[whole, 1:2]
    low, middle, high = rows.mean(0)
    return rows[:, 1], float(max(high - middle, middle - low))
