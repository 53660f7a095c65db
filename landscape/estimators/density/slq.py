"""The spectral density by stochastic Lanczos quadrature."""

from __future__ import annotations

import numpy as np
import torch

from landscape.checks import check_count, check_seed
from landscape.errors import UsageError
from landscape.estimators import exact
from landscape.estimators.krylov.projection import outside
from landscape.estimators.krylov.several_starts import Lockstep, runs_at_once
from landscape.estimators.matvecs import Matvecs
from landscape.estimators.probes import probe
from landscape.operators import ExactOperator, LinearOperator, as_operator
from landscape.progress import Progress
from landscape.results import Eigenpairs, SpectralMeasure
from landscape.results.quadrature import gauss_rules, run_lengths


def spectral_density(
    H: LinearOperator,
    eigs: Eigenpairs | None = None,
    *,
    num_probes: int = 8,
    num_steps: int = 64,
    seed: int = 0,
    progress: Progress | None = None,
) -> SpectralMeasure:
    """How the eigenvalues are distributed, as one Gauss quadrature per random probe.

    T Lanczos steps from a random sign vector z give the Gauss quadrature of the measure with mass ``(uᵢᵀz)²/P`` at each
    eigenvalue: its nodes are the eigenvalues of the tridiagonal matrix, its weights the squares of their eigenvectors'
    first components. It is exact for polynomials up to degree 2T − 1. Over probes the measure averages to mass 1/P at
    each eigenvalue: the spectral density.

    Parameters
    ----------
    H : LinearOperator, or what `as_operator` takes
    eigs : Eigenpairs, optional
        Pairs already known, with their vectors; those that have converged are taken out. Each then has mass 1/P
        exactly, and Gaussian probes orthogonal to the known vectors measure the rest, which has mass 1 − K/P. In the
        spectra of networks most of the noise comes from the outliers.
    num_probes : int
        R. The error from the randomness of z falls like ``1/√(R·P)``.
    num_steps : int
        T, cut to P − K. Resolution: the nodes lie about (range of the spectrum)/T apart, closer at the ends.
    seed : int
    progress : callable, optional
        Called as ``progress(matvecs done, R·T)`` after each block of products.

    Returns
    -------
    SpectralMeasure
        Nodes and weights ``(R, K + T)``, unsmoothed; each row of weights sums to 1. ``cdf`` brackets the distribution,
        ``step_error`` is how much it still changes with T. Costs R·T matvecs, fewer where a probe exhausts its Krylov
        space, and T + 3 vectors of length P for each of the probes that step together: up to 16, if they fit into 1
        GiB.

    Raises
    ------
    UsageError, LandscapeError
        For arguments outside the ranges above, or eigenpairs without vectors; if a matvec gives NaN or Inf.

    References
    ----------
    Golub & Welsch (1969), Math. Comp. 23, for the quadrature. Ubaru, Chen & Saad (2017), SIAM J. Matrix Anal. Appl.
    38(4), Alg. 1. Ghorbani, Krishnan & Xiao (2019), ICML, for Hessians.

    Examples
    --------
    >>> from landscape.operators import MatrixOperator
    >>> measure = spectral_density(MatrixOperator(np.diag([1.0, 1.0, 1.0, 5.0])), num_steps=10)
    >>> print(measure.nodes[0].round(6), measure.weights[0].round(6))
    [1. 5.] [0.75 0.25]
    """
    R, num_steps, seed = check_count("num_probes", num_probes), check_count("num_steps", num_steps), check_seed(seed)
    H = as_operator(H)
    if isinstance(H, ExactOperator):
        return exact.density(H)
    values, residuals, known = _known_pairs(H, eigs) if eigs is not None else _NOTHING_KNOWN
    steps = min(num_steps, H.dim - len(values))
    matvecs = Matvecs(H, R * steps, progress)
    alphas, betas = np.zeros((R, steps)), np.zeros((R, steps))
    if steps:
        # Rounding is relative to all of H, of which the probes see only the rest.
        matvecs.scale = float(np.abs(values).max(initial=0.0))
        at_once = runs_at_once(H.dim, steps, torch.empty(0, dtype=H.dtype).element_size())
        for first in range(0, R, at_once):
            group = range(first, min(first + at_once, R))
            runs = Lockstep(matvecs, _starts(H, group, known, seed), steps=steps, known=known)
            runs.run()
            alphas[group], betas[group] = runs.alphas, runs.betas
    return as_measure(alphas, betas, values=values, residuals=residuals, dim=H.dim, num_matvecs=matvecs.done, seed=seed)


def as_measure(
    alphas: np.ndarray,
    betas: np.ndarray,
    *,
    values: np.ndarray,
    residuals: np.ndarray,
    dim: int,
    num_matvecs: int,
    seed: int,
) -> SpectralMeasure:
    """The record of R runs with coefficients (R, T), orthogonal to the known vectors, and K known values."""
    R, K = len(alphas), len(values)
    nodes = weights = np.empty((R, 0))
    if alphas.size:
        longest = int(run_lengths(betas).max())
        alphas, betas = alphas[:, :longest], betas[:, :longest]
        nodes, weights, _ = gauss_rules(alphas, betas)
    return SpectralMeasure(
        nodes=np.hstack([np.tile(values, (R, 1)), nodes]),
        weights=np.hstack([np.full((R, K), 1 / dim), weights * (1 - K / dim)]),
        dim=dim,
        num_matvecs=num_matvecs,
        seed=seed,
        known_residuals=residuals,
        alphas=alphas,
        betas=betas,
    )


_FAR = 2**31
_NOTHING_KNOWN: tuple[np.ndarray, np.ndarray, torch.Tensor | None] = (np.empty(0), np.empty(0), None)


def _known_pairs(H: LinearOperator, eigs: Eigenpairs) -> tuple[np.ndarray, np.ndarray, torch.Tensor | None]:
    """Values (K,), residuals (K,) and orthonormal vectors (P, K) of the pairs that have converged."""
    if not isinstance(eigs, Eigenpairs):
        raise UsageError(f"eigs is {type(eigs).__name__}; expected the Eigenpairs that top_eigenpairs returns")
    if eigs.vectors.shape != (H.dim, len(eigs)):
        raise UsageError(
            f"eigs has vectors of shape {eigs.vectors.shape}; expected ({H.dim}, {len(eigs)}): pairs of this operator, "
            "with their vectors"
        )
    keep = eigs.converged
    if not keep.any():
        return _NOTHING_KNOWN
    vectors = torch.from_numpy(np.array(eigs.vectors[:, keep])).to(H.device, H.dtype)
    return eigs.values[keep].astype(float), eigs.residuals[keep].astype(float), torch.linalg.qr(vectors).Q


def _starts(H: LinearOperator, group: range, known: torch.Tensor | None, seed: int) -> torch.Tensor:
    """Probes as rows: sign vectors, or Gaussian ones without their part in the known vectors.

    A Gaussian vector keeps its law under the projection, so its direction is uniform in what is left and each mass
    there is 1/(P − K) on average, exactly. A sign vector would not, and in few dimensions may have nothing left.
    `top_eigenpairs` starts from the first of the Gaussian family; the probes come from far behind.
    """
    if known is None:
        return torch.stack([probe(r, H.dim, seed=seed, dtype=H.dtype, device=H.device) for r in group])
    rows = [probe(_FAR + r, H.dim, seed=seed, kind="gaussian", dtype=H.dtype, device=H.device) for r in group]
    return outside(torch.stack(rows, dim=1), known).T
