"""Gauss rules from Lanczos coefficients, and distances between measures. ``R`` probes, ``T`` Krylov steps."""

from __future__ import annotations

import numpy as np
from scipy import linalg, stats

from landscape.results.base import Array


def gauss_rule(alphas: Array, betas: Array) -> tuple[Array, Array, Array]:
    """Rule of the tridiagonal matrix with diagonal (T,) and off-diagonal (T − 1,).

    Returns
    -------
    nodes, weights, last : (T,) arrays
        Eigenvalues ascending, squared first components (they sum to 1), absolute last components.
    """
    # The eigensolver squares entries; dividing keeps 1e-200 and 1e200 in range.
    scale = max(np.abs(alphas).max(), np.abs(betas).max(initial=0.0)) or 1.0
    nodes, vectors = linalg.eigh_tridiagonal(alphas / scale, betas / scale)
    weights = vectors[0] ** 2
    return nodes * scale, weights / weights.sum(), np.abs(vectors[-1])


def run_lengths(betas: Array) -> Array:
    """Steps that each run made (R,): a run ends where its coefficient β (R, T) is zero."""
    ended = betas == 0
    lengths: Array = np.where(ended.any(1), ended.argmax(1) + 1, betas.shape[1])
    return lengths


def gauss_rules(alphas: Array, betas: Array, steps: int | None = None) -> tuple[Array, Array, Array]:
    """Rules of R runs from their first ``steps`` coefficients.

    Parameters
    ----------
    alphas, betas : (R, T) arrays
        ``betas[:, j]`` is the length of the residual after step j + 1: it couples that step to the next, and is zero
        where a run exhausted its Krylov space.
    steps : int, optional
        Left out, all.

    Returns
    -------
    nodes, weights, residuals : (R, longest run) arrays
        A shorter run is padded with its last node at weight 0. ``residuals`` are those of the nodes as eigenvalues:
        one lies within the residual of each.
    """
    steps = alphas.shape[1] if steps is None else min(steps, alphas.shape[1])
    lengths = np.minimum(run_lengths(betas), steps)
    longest = int(lengths.max())
    nodes, weights, residuals = (np.zeros((len(alphas), longest)) for _ in range(3))
    for r, length in enumerate(lengths):
        nodes[r, :length], weights[r, :length], last = gauss_rule(alphas[r, :length], betas[r, : length - 1])
        nodes[r, length:] = nodes[r, length - 1]
        residuals[r, :length] = betas[r, length - 1] * last
    return nodes, weights, residuals


def rules_of_half_the_steps(alphas: Array, betas: Array) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """Nodes and weights of all T steps, and of the first ⌈T/2⌉."""
    nodes, weights, _ = gauss_rules(alphas, betas)
    fewer, their_weights, _ = gauss_rules(alphas, betas, -(-alphas.shape[1] // 2))
    return (nodes, weights), (fewer, their_weights)


def weight_up_to(nodes: Array, weights: Array, points: Array, slack: Array) -> Array:
    """(3, M): lower bracket, estimate, upper bracket of one probe's weighted CDF at the points (M,).

    Between two neighbouring nodes lies a point where the CDF equals the sum of the weights up to there (the separation
    theorem of Chebyshev, Markov and Stieltjes; Szegő 1975, Orthogonal Polynomials, Thm 3.41.1). So between nodes the
    CDF lies above the sum without the last weight passed, and below the sum with the next. ``slack`` (M,) is how far
    the eigenvalues may lie from where the measure has them.
    """
    if not len(nodes):
        return np.zeros((3, len(points)))
    order = np.argsort(nodes, kind="stable")
    nodes, total = nodes[order], np.concatenate([[0.0], np.cumsum(weights[order])])
    passed = (np.searchsorted(nodes, points + shift, side="right") for shift in (-slack, 0.0, slack))
    low, middle, high = passed
    return np.stack([total[np.maximum(low - 1, 0)], total[middle], total[np.minimum(high + 1, len(nodes))]])


def wasserstein(nodes: Array, weights: Array, others: Array, other_weights: Array | None, span: float) -> float:
    """Wasserstein-1 distance of two discrete measures, divided by ``span``; 0 where both are the same point."""
    scale = max(np.abs(nodes).max(), np.abs(others).max()) or 1.0
    distance = float(stats.wasserstein_distance(nodes / scale, others / scale, weights, other_weights)) * scale
    if distance == 0:
        return 0.0
    return distance / span if span > 0 else float("inf")
