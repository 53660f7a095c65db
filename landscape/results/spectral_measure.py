"""The spectral density as quadratures. ``P`` parameters, ``R`` probes, ``T`` Krylov steps, ``K`` eigenvalues known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy import special, stats

from landscape.checks import check_choice, check_count, check_not_negative, check_positive, check_share
from landscape.errors import UsageError
from landscape.results.base import Array, Estimate, Record
from landscape.results.log_density import LogDensity, log_density
from landscape.results.outliers import OutlierCount, bulk_edges, count_resolved, marks_eigenvalue
from landscape.results.quadrature import gauss_rules, slack_of_coupling, wasserstein, weight_up_to
from landscape.results.resolution import resolved
from landscape.rounding import format_value

#: Relative to the largest |node|: what float32 products cannot tell from zero.
_RESOLUTION = 1e-6
#: Rounding of sums of weights, where the band has no other width.
_SUMMATION = 1e-12


@dataclass(frozen=True, eq=False, repr=False)
class SpectralMeasure(Record):
    """The spectral density as Gauss quadratures, one per probe: nodes and weights, unsmoothed.

    Attributes
    ----------
    nodes, weights : (R, K + T) arrays
        First the K known eigenvalues, the same in each row, each at weight 1/P exactly. Then Ritz values and squared
        first components, which sum to 1 − K/P. A run that ended early is padded with its last node at weight 0.
    dim : int
        P, so that ``dim · weight`` counts eigenvalues.
    known_residuals : (K,) array
        Residuals of the known pairs; empty where none was given.
    alphas, betas : (R, T) arrays
        The Lanczos coefficients: ``betas[:, j]`` follows step j + 1 and is 0 where a run ended. Empty where the
        known eigenvalues are all, or the measure came from elsewhere.
    """

    nodes: Array
    weights: Array
    dim: int
    num_matvecs: int
    seed: int
    known_residuals: Array = field(default_factory=lambda: np.empty(0))
    alphas: Array = field(default_factory=lambda: np.empty((0, 0)))
    betas: Array = field(default_factory=lambda: np.empty((0, 0)))

    @property
    def num_known(self) -> int:
        """K."""
        return len(self.known_residuals)

    @property
    def is_exact(self) -> bool:
        """Whether all P eigenvalues are known."""
        return self.num_known == self.dim

    @property
    def num_steps(self) -> int:
        """T: steps of the longest run."""
        return int(self.alphas.shape[1] if self.alphas.size else self.nodes.shape[1] - self.num_known)

    def cdf(self, x: Any, *, level: float = 0.95) -> tuple[Array, Array, Array]:
        """Share of the eigenvalues that are ≤ x, as ``(lower, estimate, upper)``, each of the shape of ``x``.

        Each probe's own weighted CDF lies rigorously between two step functions of its quadrature (Markov–Stieltjes);
        the band adds the spread over probes (Student's t at ``level``). It is pointwise: at each x by itself it covers
        the truth with probability ``level`` or more, not at all x together. Known eigenvalues have no spread; what
        their residuals leave open widens the band by how far eigenvalues can move when the coupling between the known
        vectors and the rest is dropped.

        References
        ----------
        Chen, Trogdon, Ubaru (2021), Analysis of stochastic Lanczos quadrature for spectrum approximation, ICML.
        Li & Li (2005), Linear Algebra Appl. 395, Thm 2, for the coupling.
        """
        check_share("level", level)
        points = np.atleast_1d(np.asarray(x, dtype=float))
        flat, K, probes = points.ravel(), self.num_known, len(self.nodes)
        coupling = float(np.linalg.norm(self.known_residuals))
        known = self.nodes[0, :K]
        known_rows = np.stack([(known[:, None] <= flat + s).sum(0) / self.dim for s in (-coupling, 0.0, coupling)])
        slack = slack_of_coupling(flat, known, coupling)
        rows = np.stack([weight_up_to(*self._rule(r), flat, slack) for r in range(probes)])
        low, middle, high = (rows[:, i] + known_rows[i] for i in range(3))
        if self.is_exact:
            spread = np.zeros((2, len(flat)))
        elif probes > 1:
            quantile = float(special.stdtrit(probes - 1, 0.5 + level / 2)) / np.sqrt(probes)
            spread = quantile * np.stack([low.std(0, ddof=1), high.std(0, ddof=1)])
        else:
            spread = np.full((2, len(flat)), np.inf)
        lower, upper = low.mean(0) - spread[0] - _SUMMATION, high.mean(0) + spread[1] + _SUMMATION
        bands = np.clip(lower, 0, 1), np.clip(middle.mean(0), 0, 1), np.clip(upper, 0, 1)
        return tuple(b.reshape(np.shape(x)) for b in bands)

    def moment(self, power: int) -> Estimate:
        """Mean of ``λ**power`` over the spectrum: ``tr(H^p)/P``; exact in each probe for ``p ≤ 2T − 1``.

        With known eigenvalues, the coupling of their vectors to the rest is left out: nothing for p = 1, for p = 2
        twice the sum of the squared residuals over P. The rounding of the products, in float32 some 1e-6 of the moment,
        is not in the error.
        """
        check_count("power", power, least=0)
        return self._mean((self.weights * self.nodes**power).sum(1), f"moment {power} of the spectral measure")

    def density(self, grid: Any = None, bandwidth: float | None = None) -> tuple[Array, Array]:
        """Gaussian-smoothed density on a grid, area 1: ``(grid (G,), density (G,))``.

        ``bandwidth`` is the kernel's standard deviation in units of the eigenvalue; left out, 1 % of the range of the
        nodes. Tails beyond the nodes are the kernel's, not the spectrum's.
        """
        low, high = float(self.nodes.min()), float(self.nodes.max())
        if bandwidth is None:
            bandwidth = max(0.01 * (high - low), 1e-9 * max(abs(low), abs(high), 1e-300))
        check_positive("bandwidth", bandwidth)
        if grid is None:
            grid = np.linspace(low - 4 * bandwidth, high + 4 * bandwidth, 1000)
        grid = np.asarray(grid, dtype=float)
        z = (grid[:, None] - self.nodes.ravel()[None, :]) / bandwidth
        kernel = np.exp(-0.5 * z**2) / (bandwidth * np.sqrt(2 * np.pi))
        return grid, kernel @ self.weights.ravel() / len(self.nodes)

    def log_density(self, magnitude: Any = None, *, bandwidth: float = 0.1, floor: float | None = None) -> LogDensity:
        """Density per decade of |λ|, positive and negative eigenvalues apart, smoothed in log₁₀|λ|.

        Parameters
        ----------
        magnitude : (G,) array, optional
            Where, in |λ|; left out, 400 places over all nodes beyond the floor.
        bandwidth : float
            Standard deviation of the Gaussian kernel, in decades.
        floor : float, optional
            |λ| up to which an eigenvalue counts as near zero; left out, 1e-6 of the largest |node|, where float32
            products are rounding. Between floor and bulk, T nodes resolve no more than T places: structure finer than
            the spacing of the nodes is not there.
        """
        check_positive("bandwidth", bandwidth, hint="it is in decades of |λ|")
        floor = self._resolution if floor is None else check_not_negative("floor", floor)
        return log_density(*self._pooled(), magnitude=magnitude, bandwidth=bandwidth, floor=floor)

    def negative_mass(self, *, floor: float | None = None) -> Estimate:
        """Share of the eigenvalues below ``−floor``; the floor left out is 1e-6 of the largest |node|.

        The standard error holds the spread over probes and, added in squares at full size, half the distance between
        the rigorous brackets of the rules at that point: together the interval covers however the two combine.
        """
        floor = self._resolution if floor is None else check_not_negative("floor", floor)
        K, at = self.num_known, np.array([np.nextafter(-floor, -np.inf)])
        rows = np.stack([weight_up_to(*self._rule(r), at, np.zeros(1))[:, 0] for r in range(len(self.nodes))])
        # A share: the sum of weights may exceed 1 by rounding.
        samples = np.minimum(rows[:, 1] + float((self.nodes[0, :K] <= at[0]).sum()) / self.dim, 1.0)
        if self.alphas.size:
            # A run that exhausted its Krylov space has the whole measure of its probe: nothing left to bracket.
            whole = self._exhausted
            rows[whole] = rows[whole, 1:2]
        mean = rows.mean(0)
        bracket = max(mean[2] - mean[1], mean[1] - mean[0])
        estimate = self._mean(samples, f"mass below {format_value(-floor)}; brackets of the rules ± {bracket:.2g}")
        if estimate.sem is None:
            return estimate
        return self._mean(samples, estimate.method, sem=float(np.hypot(estimate.sem, bracket)))

    def num_outliers(
        self, *, edges: tuple[float, float] | None = None, gap: float = 1.5, most: float = 0.05
    ) -> OutlierCount:
        """How many eigenvalues lie beyond the bulk.

        Parameters
        ----------
        edges : (low, high), optional
            Ends of the bulk. Left out, each is where neighbouring nodes have the largest ratio of distances from the
            median of the spectrum, among the outer nodes with at most the share ``most`` of all eigenvalues; a side
            whose largest ratio is below ``gap`` has no outliers. So outliers are what a gap separates from the rest:
            in a spectrum that decays without a gap there are none.
        gap, most : float
            See above. ``most`` should be well above the share expected: the mass that it is held against is random.

        Returns
        -------
        OutlierCount
            ``mass`` has the standard error over probes, for the edges as they are: that they were found from the same
            probes is not in it. With the outliers among the known eigenpairs it is zero.
        """
        nodes, weights = self._pooled()
        marks = marks_eigenvalue(self.weights, self.dim).ravel()
        if edges is None:
            edges = bulk_edges(nodes[marks], weights[marks], self.dim, gap=gap, most=most)
        low, high = edges
        if not low < high:
            raise UsageError(f"edges=({low!r}, {high!r}) must be (low, high) with low < high")
        samples = self.dim * (self.weights * ((self.nodes < low) | (self.nodes > high))).sum(1)
        resolved, K = -1, self.num_known
        if self.alphas.size or self.is_exact:
            known = self.nodes[0, :K]
            resolved = int(((known < low) | (known > high)).sum())
        if self.alphas.size:
            resolved += count_resolved(*self._resolved_nodes(), low, high)
        return OutlierCount(resolved, self._mean(samples, "P times the mass beyond the bulk"), float(low), float(high))

    def effective_rank(self, kind: str = "entropy") -> Estimate:
        r"""How many eigenvalues matter, from 1 to P.

        The standard error holds the spread over probes and, added in squares, the change since half the steps: |λ| has
        a kink at zero, so that a rule of T nodes integrates it only roughly while the nodes near zero are few. Coverage
        measured: docs/accuracy.md.

        Parameters
        ----------
        kind : {"entropy", "participation", "stable"}
            ``"entropy"``: exp of the Shannon entropy of ``|λᵢ| / Σ|λ|`` (Roy & Vetterli 2007, Def. 1).
            ``"participation"``: :math:`(\sum|\lambda|)^2/\sum\lambda^2`, the Rényi counterpart of order 2.
            ``"stable"``: :math:`\|H\|_F^2/\|H\|_2^2` (Rudelson & Vershynin 2007), with the largest |node| for
            :math:`\|H\|_2`: a lower bound that many steps make exact.

        References
        ----------
        Roy & Vetterli (2007), The effective rank, EUSIPCO. Rudelson & Vershynin (2007), J. ACM 54(4).
        """
        check_choice("kind", kind, ("entropy", "participation", "stable"))
        largest = float(np.abs(self.nodes).max())
        if largest == 0:
            return self._mean(np.zeros(len(self.nodes)), f"effective rank ({kind}) of a zero matrix")
        size = np.abs(self.nodes) / largest
        first, second = ((self.weights * size**p).sum(1) for p in (1, 2))
        m1, m2 = first.mean(), second.mean()
        # Each kind is a smooth function of means over probes; its samples are linear in theirs.
        change = 0.0
        if kind == "entropy":
            entropies = (self.weights * special.xlogy(size, size)).sum(1)
            m0 = entropies.mean()
            value = self.dim * m1 * np.exp(-m0 / m1)
            slope = 1 / m1 + m0 / m1**2
            samples = value * (1 + slope * (first - m1) - (entropies - m0) / m1)
            change = value * self._change_with_steps(lambda x: slope * x - special.xlogy(x, x) / m1, largest)
        elif kind == "participation":
            value = self.dim * m1**2 / m2
            samples = value * (1 + 2 * (first - m1) / m1 - (second - m2) / m2)
            change = value * self._change_with_steps(lambda x: 2 * x / m1, largest)
        else:
            samples = self.dim * second
        estimate = self._mean(samples, f"effective rank ({kind})")
        if estimate.sem is None:
            return estimate
        return self._mean(samples, estimate.method, sem=float(np.hypot(estimate.sem, change)))

    def wasserstein(self, other: Any) -> float:
        """Wasserstein-1 distance to another measure, or to exact eigenvalues (M,), as a fraction of the range.

        The range is that of the exact eigenvalues; between two measures, that of all nodes.
        """
        nodes, weights = self._pooled()
        if isinstance(other, SpectralMeasure):
            theirs, their_weights = other._pooled()
            span = float(np.ptp(np.concatenate([nodes[weights > 0], theirs[their_weights > 0]])))
            return wasserstein(nodes, weights, theirs, their_weights, span)
        values = np.asarray(other, dtype=float).ravel()
        if not values.size:
            raise UsageError("wasserstein needs another measure or at least one eigenvalue")
        return wasserstein(nodes, weights, values, None, float(np.ptp(values)))

    @property
    def step_error(self) -> float | None:
        """How much the measure still changes with T: its Wasserstein-1 distance, as a fraction of the range, from that
        of ⌈T/2⌉ steps, which the leading coefficients give for nothing. None in records without coefficients.

        It holds none of the probes' noise, which both share. The distance from T steps to infinitely many is smaller
        where the distance keeps falling with T, as it does like 1/T or faster (Chen, Trogdon & Ubaru 2021, Thm 1).
        """
        if not self.alphas.size:
            return None
        nodes, weights, _ = gauss_rules(self.alphas, self.betas)
        fewer, their_weights, _ = gauss_rules(self.alphas, self.betas, -(-self.num_steps // 2))
        span = float(np.ptp(self.nodes))
        distance = wasserstein(nodes.ravel(), weights.ravel(), fewer.ravel(), their_weights.ravel(), span)
        return (1 - self.num_known / self.dim) * distance

    def _change_with_steps(self, f: Callable[[Array], Array], largest: float) -> float:
        """Change of the mean of ``f(|λ|/largest)`` from ⌈T/2⌉ steps to T; 0 in records without coefficients."""
        if not self.alphas.size:
            return 0.0
        means = []
        for steps in (self.num_steps, -(-self.num_steps // 2)):
            nodes, weights, _ = gauss_rules(self.alphas, self.betas, steps)
            means.append((weights * f(np.abs(nodes) / largest)).sum(1).mean())
        return float(means[0] - means[1]) * (1 - self.num_known / self.dim)

    @property
    def _resolution(self) -> float:
        return _RESOLUTION * float(np.abs(self.nodes).max())

    @property
    def _exhausted(self) -> Array:
        """Which runs (R,) ended with their Krylov space."""
        ended: Array = (self.betas == 0).any(1)
        return ended

    def _rule(self, r: int) -> tuple[Array, Array]:
        """Nodes and weights of probe r without the known ones, and without places that no node takes."""
        nodes, weights = self.nodes[r, self.num_known :], self.weights[r, self.num_known :]
        if not self.alphas.size or self._exhausted[r]:
            return nodes, weights  # the end of an exhausted run is exact: its padding closes the upper bracket
        return nodes[weights > 0], weights[weights > 0]

    def _pooled(self) -> tuple[Array, Array]:
        """Nodes and weights of the mean over probes, flat; the weights sum to 1."""
        return self.nodes.ravel(), self.weights.ravel() / len(self.nodes)

    def _resolved_nodes(self) -> tuple[Array, Array, Array]:
        """Nodes, residuals and weights (R, T) of the runs themselves, less the known eigenvalues."""
        nodes, weights, residuals = gauss_rules(self.alphas, self.betas)
        # Where the runs were not deflated, they have the known eigenvalues among their nodes.
        residuals = np.maximum(residuals, self._resolution)
        reach = residuals[:, :, None] + np.maximum(self.known_residuals, self._resolution)
        again = (np.abs(nodes[:, :, None] - self.nodes[0, : self.num_known]) <= reach).any(2)
        return nodes, residuals, np.where(again, 0.0, weights)

    def _mean(self, samples: Array, method: str, *, sem: float | None = None) -> Estimate:
        if sem is None and (len(samples) > 1 or self.is_exact):
            sem = 0.0 if self.is_exact else float(stats.sem(samples))
        return Estimate(
            float(samples.mean()), sem=sem, samples=samples, num_matvecs=self.num_matvecs, seed=self.seed, method=method
        )

    def _lines(self) -> list[tuple[str, str]]:
        lines = [
            ("range of nodes", f"{format_value(float(self.nodes.min()))} … {format_value(float(self.nodes.max()))}"),
            ("mean eigenvalue", str(self.moment(1))),
            ("weight below zero", resolved(self.negative_mass(), most=1.0, scale=100.0, unit=" %")),
            ("effective rank", resolved(self.effective_rank(), most=float(self.dim))),
        ]
        if self.step_error is not None:
            lines.append(("change since half the steps", f"{100 * self.step_error:.2g} % of the range"))
        known = f", {self.num_known} eigenvalues known" if self.num_known else ""
        size = f"{len(self.nodes)} probes × {self.num_steps} steps{known}"
        about = f"{size}, {self.num_matvecs} matvecs, seed {self.seed}"
        return [*lines, ("", f"all {self.dim} eigenvalues known" if self.is_exact else about)]
