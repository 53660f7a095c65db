"""Eigenvalues found by the runs that measured the density: which are found in full, and their mass, 1/P exactly."""

from __future__ import annotations

import numpy as np

from landscape.estimators.density.slq import as_measure
from landscape.estimators.krylov.combined import Ritz
from landscape.results import SpectralMeasure
from landscape.results.quadrature import gauss_rules

#: A rule has an eigenvalue among its nodes when their weight agrees with the squared overlap of eigenvector and probe
#: to this share of it, or of 1/P where that is more.
_AGREES = 0.01


def with_known_mass(
    alphas: np.ndarray,
    betas: np.ndarray,
    *,
    values: np.ndarray,
    residuals: np.ndarray,
    reach: np.ndarray,
    masses: np.ndarray,
    dim: int,
    num_matvecs: int,
    seed: int,
) -> SpectralMeasure:
    """The measure of R runs with coefficients (R, T) in which eigenvalues (K,) have mass 1/P each.

    In each rule the nodes within ``reach`` (K,) of an eigenvalue carry its mass ``(uᵢᵀz)²/P``, given as ``masses``
    (R, K), once the run has resolved it: it is then an atom of the measure, known apart from the rest. Those nodes are
    taken out and the rest is scaled to 1 − K/P. An eigenvalue is left as it is where one of the runs disagrees with
    its mass: because it has not resolved it, or because another eigenvalue lies as near.
    """
    nodes, weights, _ = gauss_rules(alphas, betas)
    found = np.zeros(len(values), dtype=bool)
    taken = np.zeros(weights.shape, dtype=bool)
    for members in _clusters(values, reach):
        low, high = (values[members] - reach[members]).min(), (values[members] + reach[members]).max()
        inside = (nodes >= low) & (nodes <= high)
        expected = masses[:, members].sum(1)
        apart = np.abs((weights * inside).sum(1) - expected)
        if (apart <= _AGREES * np.maximum(expected, 1 / dim)).all():
            found[members] = True
            taken |= inside
    left = np.where(taken, 0.0, weights)
    everything = as_measure(
        alphas,
        betas,
        values=values[found],
        residuals=residuals[found],
        dim=dim,
        num_matvecs=num_matvecs,
        seed=seed,
    )
    # Where nothing is left of a run, the eigenvalues known are all it saw: there is no rest to scale.
    if not found.any() or not (left.sum(1) > 0).all():
        return as_measure(
            alphas, betas, values=values[:0], residuals=residuals[:0], dim=dim, num_matvecs=num_matvecs, seed=seed
        )
    K = int(found.sum())
    for r in range(len(nodes)):
        kept = np.flatnonzero(left[r] > 0)
        row, mass = everything.nodes[r, K:], everything.weights[r, K:]
        row[:], mass[:] = nodes[r, kept[-1]], 0.0
        row[: len(kept)] = nodes[r, kept]
        mass[: len(kept)] = left[r, kept] / left[r].sum() * (1 - K / dim)
    return everything


def found_in_full(
    ritz: Ritz, settled: np.ndarray, reach: np.ndarray, rules: tuple[np.ndarray, np.ndarray, np.ndarray], ends: int
) -> np.ndarray:
    """Which of the settled Ritz pairs (m,) belong to eigenvalues of which the sum of the runs holds every copy.

    Of an eigenvalue with more copies than there are probes, or of a cluster closer than the tolerance, each run holds
    one combination, the projection of its probe. The runs together then hold only what the probes chose; and those
    vectors overlap with the probes far more than any that do not depend on them. When all copies are found, the runs
    hold more approximations than there are dimensions: that is asked here of each cluster of values ``θ ± reach``,
    with the nodes of the ``rules`` (nodes, weights, residuals of the R runs) that have converged to it. A cluster that
    may go on beyond the last Ritz values kept, one at each of the ``ends``, or holds one that has not settled, is not
    complete.
    """
    nodes, weights, residuals = rules
    complete = np.zeros(len(settled), dtype=bool)
    doubtful = ~settled
    doubtful[len(settled) - ends :] = True
    for members in _clusters(ritz.values, reach):
        low, high = (ritz.values[members] - reach[members]).min(), (ritz.values[members] + reach[members]).max()
        converged = (nodes >= low) & (nodes <= high) & (residuals <= reach[members].max()) & (weights > 0)
        complete[members] = not doubtful[members].any() and converged.sum() > len(members)
    return complete


def _clusters(values: np.ndarray, reach: np.ndarray) -> list[np.ndarray]:
    """Positions of the values (K,), grouped where their intervals ``value ± reach`` overlap."""
    groups: list[list[int]] = []
    highest = -np.inf
    for i in np.argsort(values - reach, kind="stable"):
        if values[i] - reach[i] > highest:
            groups.append([])
        groups[-1].append(int(i))
        highest = max(highest, values[i] + reach[i])
    return [np.array(group) for group in groups]
