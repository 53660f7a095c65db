"""The spectral density as quadratures. ``P`` parameters, ``R`` probes, ``T`` Krylov steps, ``K`` eigenvalues known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from scipy import special, stats

from landscape.checks import check_choice, check_count, check_not_negative, check_positive, check_share
from landscape.errors import UsageError
from landscape.results.bands import (
    MOST_FREEDOM,
    Band,
    band_from_spread,
    brackets,
    error_of_mean,
    half_widths_between,
    masses_up_to,
)
from landscape.results.base import Array, Estimate, Record
from landscape.results.effective_rank import tangent_of_rank
from landscape.results.log_density import LogDensity, log_density, smoothed
from landscape.results.outliers import OutlierCount, bulk_edges, count_resolved, marks_eigenvalue, without_known
from landscape.results.quadrature import gauss_rules, rules_of_half_the_steps, wasserstein
from landscape.results.resolution import resolved
from landscape.rounding import format_value

#: Relative to the largest |node|: what float32 products cannot tell from zero.
_RESOLUTION = 1e-6


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
    isotropic : bool
        The probes' directions were uniform on the sphere, outside the known vectors: then the law of their masses is
        known, and errors follow from it, for one probe too; else from the spread over probes.
    rounding : float
        How far rounding of the products may have moved the nodes.
    converged : bool
        False where a width was asked for and the matvecs ended before it was reached.
    """

    nodes: Array
    weights: Array
    dim: int
    num_matvecs: int
    seed: int
    known_residuals: Array = field(default_factory=lambda: np.empty(0))
    alphas: Array = field(default_factory=lambda: np.empty((0, 0)))
    betas: Array = field(default_factory=lambda: np.empty((0, 0)))
    isotropic: bool = False
    rounding: float = 0.0
    converged: bool = True

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

        Each probe's own weighted CDF lies rigorously between two step functions that its coefficients give (Chebyshev,
        Markov, Stieltjes). For isotropic probes the band adds what the law of their masses, a beta distribution, leaves
        open at ``level``; for others the spread over probes (Student's t). It is pointwise: at each x by itself it
        covers the truth with probability ``level`` or more, not at all x together. Known eigenvalues have no spread;
        what their residuals leave open widens the band by how far eigenvalues can move when the coupling between the
        known vectors and the rest is dropped.

        The estimate is the mean of distributions with the moments known; for other probes the weights up to x.

        References
        ----------
        Chen, Trogdon, Ubaru (2021), Analysis of stochastic Lanczos quadrature for spectrum approximation, ICML.
        Li & Li (2005), Linear Algebra Appl. 395, Thm 2, for the coupling.
        """
        check_share("level", level)
        flat = np.atleast_1d(np.asarray(x, dtype=float)).ravel()
        if self.isotropic:
            bands = self._band.at(flat, level=level)
        else:
            rules = [self._rule(r) for r in range(len(self.nodes))]
            bands = band_from_spread(rules, flat, *self._known, dim=self.dim, level=level)
        return tuple(np.clip(b, 0, 1).reshape(np.shape(x)) for b in bands)

    @property
    def width(self) -> float:
        """How wrong the curve may be: half the 95 % band of ``cdf``, averaged over the range of the nodes.

        A share of the eigenvalues. Where the band holds, the Wasserstein-1 distance from the spectrum is at most twice
        this fraction of the range: the estimate need not lie in the middle of the band.
        """
        return self._half_widths[0]

    @property
    def bracket_width(self) -> float:
        """The part of ``width`` that more steps narrow, half the brackets alone. The rest is for more probes."""
        return self._half_widths[1]

    @cached_property
    def _half_widths(self) -> tuple[float, float]:
        span = float(self.nodes.min()), float(self.nodes.max())
        band = self._band if self.isotropic else None
        return band.half_widths(span) if band else half_widths_between(self.nodes, self.weights, self.cdf)

    @cached_property
    def _band(self) -> Band:
        runs = tuple(map(brackets, self.alphas, self.betas)) if self.alphas.size else ()
        return Band(runs, *self._known, self.rounding, self.dim)

    @property
    def _known(self) -> tuple[Array, Array]:
        """Known eigenvalues (K,), and their residuals."""
        return self.nodes[0, : self.num_known], self.known_residuals

    def moment(self, power: int) -> Estimate:
        """Mean of ``λ**power`` over the spectrum: ``tr(H^p)/P``; exact in each probe for ``p ≤ 2T − 1``.

        With known eigenvalues, the coupling of their vectors to the rest is left out: nothing for p = 1, for p = 2
        twice the sum of the squared residuals over P. The rounding of the products, in float32 some 1e-6 of the moment,
        is not in the error.
        """
        check_count("power", power, least=0)
        return self._mean_of(self.nodes**power, f"moment {power} of the spectral measure")

    def density(self, grid: Any = None, bandwidth: float | None = None) -> tuple[Array, Array]:
        """Gaussian-smoothed density on a grid, area 1: ``(grid (G,), density (G,))``.

        ``bandwidth`` is the kernel's standard deviation in units of the eigenvalue; left out, 1 % of the range of the
        nodes. Tails beyond the nodes are the kernel's, not the spectrum's.
        """
        if bandwidth is not None:
            check_positive("bandwidth", bandwidth)
        return smoothed(*self._pooled(), grid=grid, bandwidth=bandwidth)

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
            products are rounding. Between floor and bulk, T nodes resolve no more than T places.
        """
        check_positive("bandwidth", bandwidth, hint="it is in decades of |λ|")
        floor = self._resolution if floor is None else check_not_negative("floor", floor)
        return log_density(*self._pooled(), magnitude=magnitude, bandwidth=bandwidth, floor=floor)

    def negative_mass(self, *, floor: float | None = None) -> Estimate:
        """Share of the eigenvalues below ``−floor``; the floor left out is 1e-6 of the largest |node|.

        The standard error holds the spread over probes and, added in squares at full size, half the distance between
        the rigorous brackets of the rules at that point. For isotropic probes both are those of ``cdf``.
        """
        floor = self._resolution if floor is None else check_not_negative("floor", floor)
        at = np.array([np.nextafter(-floor, -np.inf)])
        said = f"mass below {format_value(-floor)}"
        if self.isotropic:
            lower, value, upper = (float(part[0]) for part in self.cdf(at))
            reach = max(upper - value, value - lower) / float(special.ndtri(0.975))
            return self._estimate(value, said, sem=reach, freedom=MOST_FREEDOM)
        # A run that exhausted its Krylov space has the whole measure of its probe: nothing left to bracket.
        whole = (self.betas == 0).any(1) if self.alphas.size else np.zeros(len(self.nodes), dtype=bool)
        rest, bracket = masses_up_to([self._rule(r) for r in range(len(self.nodes))], at, whole)
        # A share: the sum of weights may exceed 1 by rounding.
        samples = np.minimum(rest + float((self._known[0] <= at[0]).sum()) / self.dim, 1.0)
        return self._mean(samples, f"{said}; brackets of the rules ± {bracket:.2g}", besides=bracket)

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
            ``mass`` has the standard error for the edges as they are; with the outliers among the known pairs it is 0.
        """
        nodes, weights = self._pooled()
        marks = marks_eigenvalue(self.weights, self.dim).ravel()
        if edges is None:
            edges = bulk_edges(nodes[marks], weights[marks], self.dim, gap=gap, most=most)
        low, high = edges
        if not low < high:
            raise UsageError(f"edges=({low!r}, {high!r}) must be (low, high) with low < high")
        beyond = self.dim * ((self.nodes < low) | (self.nodes > high)).astype(float)
        resolved, known = -1, self.nodes[0, : self.num_known]
        if self.alphas.size or self.is_exact:
            resolved = int(((known < low) | (known > high)).sum())
        if self.alphas.size:
            residuals = np.maximum(self.known_residuals, self._resolution)
            runs = without_known(*gauss_rules(self.alphas, self.betas), known, residuals, self._resolution)
            resolved += count_resolved(*runs, low, high)
        mass = self._mean_of(beyond, "P times the mass beyond the bulk")
        return OutlierCount(resolved, mass, float(low), float(high))

    def effective_rank(self, kind: str = "entropy") -> Estimate:
        r"""How many eigenvalues matter, from 1 to P.

        The standard error holds that of chance and, added in squares, the change since half the steps: |λ| has a kink
        at zero, which a rule of T nodes integrates only roughly. Coverage measured: docs/accuracy.md.

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
        if (largest := float(np.abs(self.nodes).max())) == 0:
            return self._mean(np.zeros(len(self.nodes)), f"effective rank ({kind}) of a zero matrix")
        values, kinked = tangent_of_rank(kind, np.abs(self.nodes) / largest, self.weights, self.dim)
        change = abs(self._change_with_steps(kinked, largest)) if kinked else 0.0
        return self._mean_of(values, f"effective rank ({kind})", besides=change)

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

        It holds none of the probes' noise. The distance to infinitely many steps is smaller where it keeps falling with
        T, as it does like 1/T or faster (Chen, Trogdon & Ubaru 2021, Thm 1).
        """
        if not self.alphas.size:
            return None
        flat = [(x.ravel(), w.ravel()) for x, w in rules_of_half_the_steps(self.alphas, self.betas)]
        return (1 - self.num_known / self.dim) * wasserstein(*flat[0], *flat[1], float(np.ptp(self.nodes)))

    def _change_with_steps(self, f: Callable[[Array], Array], largest: float) -> float:
        """Change of the mean of ``f(|λ|/largest)`` from ⌈T/2⌉ steps to T; 0 in records without coefficients."""
        if not self.alphas.size:
            return 0.0
        rules = rules_of_half_the_steps(self.alphas, self.betas)
        now, before = ((weights * f(np.abs(nodes) / largest)).sum(1).mean() for nodes, weights in rules)
        return float(now - before) * (1 - self.num_known / self.dim)

    @property
    def _resolution(self) -> float:
        return _RESOLUTION * float(np.abs(self.nodes).max())

    def _rule(self, r: int) -> tuple[Array, Array]:
        """Nodes and weights of probe r without the known ones, and without places that no node takes."""
        nodes, weights = self.nodes[r, self.num_known :], self.weights[r, self.num_known :]
        if not self.alphas.size or (self.betas[r] == 0).any():
            return nodes, weights  # the end of a run that exhausts its space is exact: its padding closes the bracket
        return nodes[weights > 0], weights[weights > 0]

    def _pooled(self) -> tuple[Array, Array]:
        """Nodes and weights of the mean over probes, flat; the weights sum to 1."""
        return self.nodes.ravel(), self.weights.ravel() / len(self.nodes)

    def _mean_of(self, values: Array, method: str, *, besides: float = 0.0) -> Estimate:
        """The integral of a function whose values at the nodes are (R, K + T), and an error besides that of chance."""
        samples = (self.weights * values).sum(1)
        if not self.isotropic:
            return self._mean(samples, method, besides=besides)
        K = self.num_known
        sem, freedom = error_of_mean(self.weights[:, K:], values[:, K:], count=self.dim - K)
        sem = float(np.hypot(sem * (1 - K / self.dim), besides))
        return self._estimate(float(samples.mean()), method, sem=sem, freedom=freedom, samples=samples)

    def _mean(self, samples: Array, method: str, *, besides: float = 0.0) -> Estimate:
        sem = None
        if len(samples) > 1 or self.num_known == self.dim:
            sem = float(np.hypot(stats.sem(samples) if self.num_known < self.dim else 0.0, besides))
        return self._estimate(float(samples.mean()), method, sem=sem, samples=samples)

    def _estimate(self, value: float, method: str, **about: Any) -> Estimate:
        return Estimate(value, num_matvecs=self.num_matvecs, seed=self.seed, method=method, **about)

    def _lines(self) -> list[tuple[str, str]]:
        lines = [
            ("range of nodes", f"{format_value(float(self.nodes.min()))} … {format_value(float(self.nodes.max()))}"),
            ("mean eigenvalue", str(self.moment(1))),
            ("weight below zero", resolved(self.negative_mass(), most=1.0, scale=100.0, unit=" %")),
            ("effective rank", resolved(self.effective_rank(), most=float(self.dim))),
        ]
        if self.isotropic:
            width = f"± {100 * self.width:.2g} % over the range" + ("" if self.converged else "   NOT CONVERGED")
            lines.append(("95 % band, on average", width))
        if self.step_error is not None:
            lines.append(("change since half the steps", f"{100 * self.step_error:.2g} % of the range"))
        known = f", {self.num_known} eigenvalues known" if self.num_known else ""
        about = (
            f"{len(self.nodes)} probes × {self.num_steps} steps{known}, {self.num_matvecs} matvecs, seed {self.seed}"
        )
        return [*lines, ("", f"all {self.dim} eigenvalues known" if self.is_exact else about)]
