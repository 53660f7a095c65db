#!/usr/bin/env python
r"""Stochastic Lanczos quadrature: its error falls fast with the steps and like 1/√R with the probes.

T steps integrate polynomials up to degree 2T − 1 exactly, so for each probe the error of ∫f is at most twice that of
the best such polynomial. For functions of slope 1 that is π/(4T) of the range (Jackson's theorem with Favard's
constant), which bounds the Wasserstein distance; for log on [1, κ], from its Chebyshev series, 2q^{2T}/(T(1 − q)) with
q = (√κ − 1)/(√κ + 1). Matrices with known eigenvalues; three minutes on one core.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace

import numpy as np
from matplotlib.figure import Figure
from scipy.stats import wasserstein_distance
from shared.fact import Change, Fact, main
from shared.known_spectra import with_eigenvalues
from shared.palette import BLACK, BLUE, GREY, RED
from shared.replicates import is_within, power, with_interval

import landscape as ls
from landscape import plots
from landscape.estimators import probe
from landscape.plots.style import panels

DIM, CONDITION = 100, 100.0
STEPS = (2, 4, 8, 16, 32, 64)
PROBES = (1, 2, 4, 8, 16, 32, 64)
SEEDS = tuple(range(120))  # a matrix each
GROUP = 5  # seeds: the error of a group is the root mean square, whose square falls like 1/R
ROUNDING = 1e-12
WITHIN = 0.1  # of the exponent −1/2


@dataclass(frozen=True)
class Found:
    """Errors of one probe (seeds, steps), Wasserstein ÷ range and of the mean of log; of R probes (seeds, probes)."""

    steps: np.ndarray
    distance: np.ndarray
    logarithm: np.ndarray
    probes: np.ndarray
    by_probes: np.ndarray

    @property
    def distance_bound(self) -> np.ndarray:
        return np.pi / (4 * self.steps)

    @property
    def logarithm_bound(self) -> np.ndarray:
        q = (CONDITION**0.5 - 1) / (CONDITION**0.5 + 1)
        bound: np.ndarray = 2 * q ** (2 * self.steps) / (self.steps * (1 - q))
        return bound

    @property
    def exponents(self) -> np.ndarray:
        """Of the error over probes, one for each group of seeds."""
        groups = self.by_probes.reshape(-1, GROUP, len(self.probes))
        return np.array([power(self.probes, np.sqrt((group**2).mean(axis=0))) for group in groups])


def eigenvalues(seed: int) -> np.ndarray:
    """DIM of them in [1, κ], both ends included, between them uniform in their logarithms."""
    inside = CONDITION ** np.random.default_rng(seed).uniform(size=DIM - 2)
    return np.concatenate([[1.0], inside, [CONDITION]])


def errors_of_steps(seed: int, steps: np.ndarray) -> np.ndarray:
    """(2, T's): distance of one probe's rule from the measure of that very probe, and error of its mean of log."""
    values = eigenvalues(seed)
    A, Q = with_eigenvalues(values, seed)
    masses = (Q.T @ probe(0, DIM, seed=seed)).square().numpy() / DIM
    errors = []
    for T in steps:
        rule = ls.spectral_density(A, num_probes=1, num_steps=int(T), seed=seed)
        nodes, weights = rule.nodes[0], rule.weights[0]
        distance = wasserstein_distance(nodes, values, weights, masses) / (CONDITION - 1)
        errors.append((distance, abs(weights @ np.log(nodes) - masses @ np.log(values))))
    return np.array(errors).T


def errors_of_probes(seed: int, probes: np.ndarray) -> list[float]:
    """Wasserstein distance of the mean over R probes from the spectrum, with steps enough to have no other error."""
    values = eigenvalues(seed)
    A, _ = with_eigenvalues(values, seed)
    every = ls.spectral_density(A, num_probes=int(probes[-1]), num_steps=DIM, seed=seed)

    def first(R: int) -> ls.SpectralMeasure:
        parts = {name: getattr(every, name)[:R] for name in ("nodes", "weights", "alphas", "betas")}
        return replace(every, **parts)

    return [first(R).wasserstein(values) for R in probes]


def measure(quick: bool) -> Found:
    """Both kinds of error, for every seed."""
    seeds, steps, probes = (SEEDS[: 2 * GROUP], STEPS[:3], PROBES[:3]) if quick else (SEEDS, STEPS, PROBES)
    of_steps = np.array([errors_of_steps(seed, np.array(steps)) for seed in seeds])
    of_probes = np.array([errors_of_probes(seed, np.array(probes)) for seed in seeds])
    return Found(np.array(steps), of_steps[:, 0], of_steps[:, 1], np.array(probes), of_probes)


def judge(found: Found) -> tuple[str, bool]:
    """Held if no error of any rule exceeds its bound in T, and the interval of the exponent lies around −1/2."""
    share = float((found.distance / found.distance_bound).max())
    of_log = found.logarithm / (found.logarithm_bound + ROUNDING)
    exponents = found.exponents
    words = (
        f"distance at most {share:.2f} × π/(4T) of the range, error of log at most {of_log.max():.2g} × its bound, "
        f"{found.logarithm[:, 0].max():.0e} at T = {found.steps[0]} and {found.logarithm[:, -1].max():.0e} at "
        f"T = {found.steps[-1]}; over probes the distance falls like R to the power of {with_interval(exponents, 3)} "
        f"(95 % interval over {len(exponents)} groups of {GROUP} matrices)"
    )
    return words, share <= 1 and bool(of_log.max() <= 1) and is_within(exponents, -0.5, WITHIN)


def draw(found: Found) -> Figure:
    """Left, errors against steps with their bounds; right, against probes with a line of slope −1/2."""
    figure, (left, right) = panels(2, columns=2, row_height=2.4)
    for errors, bound, color, name in (
        (found.distance, found.distance_bound, BLUE, "Wasserstein ÷ range"),
        (found.logarithm, found.logarithm_bound, RED, "mean of log λ"),
    ):
        left.plot(found.steps, np.maximum(errors, 1e-16).T, "o", color=color, markersize=2, alpha=0.4, label=name)
        left.plot(found.steps, bound, color=color, linewidth=0.8, linestyle=(0, (4, 2)), label="bounds, by colour")
    left.set_xlabel("Lanczos steps T")
    left.set_ylabel("error of one probe's rule")
    left.set_ylim(1e-16, 10)
    mean = np.sqrt((found.by_probes**2).mean(axis=0))
    right.plot(found.probes, found.by_probes.T, color=BLUE, linewidth=0.4, alpha=0.3)
    right.plot(found.probes, mean, "o-", color=BLACK, markersize=3, label="root mean square")
    right.plot(found.probes, mean[0] * found.probes**-0.5, color=GREY, linewidth=0.9, ls=(0, (1, 2)), label="∝ 1/√R")
    right.set_xlabel("probes R")
    right.set_ylabel("Wasserstein distance ÷ range")
    for ax, at in ((left, found.steps), (right, found.probes)):
        ax.set_xscale("log", base=2)
        ax.set_yscale("log")
        ax.set_xticks(at, [str(x) for x in at])
    plots.legend_outside(figure)
    return figure


FACT = Fact(
    name="slq_error",
    claim="The error of stochastic Lanczos quadrature falls at least like 1/T in the Wasserstein distance, "
    "geometrically for analytic functions, and like 1/√R over probes.",
    source="Ubaru, Chen & Saad (2017), SIAM J. Matrix Anal. Appl. 38(4), section 4; Chen, Trogdon & Ubaru (2021), ICML",
    measure=measure,
    judge=judge,
    draw=draw,
    changes=(
        Change(
            "set-up",
            "set up again after a first look, which had shown an exponent of the probes nearer to −0.45 than to "
            "−1/2, without Lanczos as well; what it was before is not recorded.",
        ),
        Change(
            "criterion",
            "the mean exponent had to be within that limit; its interval over 8 groups, -0.514 … -0.373, was not. "
            "Now the interval over 24 groups has to be.",
            held_before=True,
        ),
    ),
)

if __name__ == "__main__":
    sys.exit(main(FACT))
