"""The spectral density by stochastic Lanczos quadrature."""

from __future__ import annotations

import numpy as np
import torch
from scipy import linalg

from landscape.errors import check_positive, check_seed
from landscape.estimators.lanczos import Krylov
from landscape.estimators.matvecs import Matvecs, Progress
from landscape.estimators.probes import probe
from landscape.operators.base import LinearOperator
from landscape.results import SpectralMeasure


def spectral_density(
    H: LinearOperator,
    *,
    num_probes: int = 8,
    num_steps: int = 64,
    seed: int = 0,
    progress: Progress | None = None,
) -> SpectralMeasure:
    r"""How the eigenvalues are distributed, as one Gauss quadrature per random probe.

    T Lanczos steps from a random sign vector z give the Gauss quadrature of the measure with mass ``(uᵢᵀz)²/P`` at each
    eigenvalue: its nodes are the eigenvalues of the tridiagonal matrix, its weights the squares of their eigenvectors'
    first components. It is exact for polynomials up to degree 2T − 1. Over probes the measure averages to mass 1/P at
    each eigenvalue: the spectral density.

    Parameters
    ----------
    H : LinearOperator
    num_probes : int
        R. The error from the randomness of z falls like ``1/√(R·P)``.
    num_steps : int
        T, cut to P. Resolution: the nodes lie about (range of the spectrum)/T apart, closer at the ends.
    seed : int
    progress : callable, optional
        Called as ``progress(matvecs done, R·T)``.

    Returns
    -------
    SpectralMeasure
        Nodes and weights ``(R, T)``, unsmoothed; each row of weights sums to 1. ``cdf`` brackets the distribution.

    Raises
    ------
    LandscapeError
        If a matvec gives NaN or Inf.
    UsageError
        For fewer than one probe or step, or a seed that is not an integer.

    Notes
    -----
    Costs R·T matvecs, fewer where a probe exhausts its Krylov space, and memory for T + 1 vectors of length P: the
    basis is kept and reorthogonalised, since without it converged eigenvalues come back as ghosts.

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
    check_positive("num_probes", num_probes)
    check_positive("num_steps", num_steps)
    check_seed(seed)
    steps = min(int(num_steps), H.dim) if isinstance(H, LinearOperator) else int(num_steps)
    matvecs = Matvecs(H, int(num_probes) * steps, progress)
    rules = []
    for r in range(int(num_probes)):
        rules.append(_gauss_rule(matvecs, probe(r, H.dim, seed=seed, dtype=H.dtype, device=H.device), steps))
    longest = max(len(nodes) for nodes, _ in rules)
    return SpectralMeasure(
        nodes=np.stack([np.pad(nodes, (0, longest - len(nodes)), mode="edge") for nodes, _ in rules]),
        weights=np.stack([np.pad(weights, (0, longest - len(weights))) for _, weights in rules]),
        dim=H.dim,
        num_matvecs=matvecs.done,
        seed=seed,
    )


def _gauss_rule(matvecs: Matvecs, start: torch.Tensor, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes, ascending, and weights of one probe; fewer than ``steps`` where its Krylov space is exhausted."""
    krylov = Krylov(matvecs, start, capacity=steps)
    for _ in range(steps):
        krylov.step()
        # A vector from outside the Krylov space belongs to another measure: stop, do not go on from a random one.
        if krylov.beta == 0:
            break
    projected = krylov.projected
    scale = float(np.abs(projected).max()) or 1.0
    diagonal, beside = np.diag(projected) / scale, np.diag(projected, 1) / scale
    nodes, vectors = linalg.eigh_tridiagonal(diagonal, beside)
    weights = vectors[0] ** 2
    return nodes * scale, weights / weights.sum()
