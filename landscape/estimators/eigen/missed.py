"""Was an eigenvalue missed? A random vector outside the pairs found, and the bound its Krylov space gives."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from landscape.checks import check_choice, check_count, check_seed, check_share
from landscape.device import full_precision
from landscape.errors import UsageError
from landscape.estimators.eigen.deflated import OutsideOf
from landscape.estimators.eigen.upper_bound import CONFIDENCE, recurrence_rounding, upper_bound
from landscape.estimators.krylov.lanczos import Krylov
from landscape.estimators.matvecs import Matvecs
from landscape.estimators.probes import probe
from landscape.estimators.vectors import Slices
from landscape.operators import as_operator
from landscape.operators.base import LinearOperator
from landscape.progress import Progress
from landscape.results import Eigenpairs, MissedSearch

#: Its random vectors are no others': those of eigenpairs with the same seed must not come again.
_FIRST_PROBE = 2**20


@full_precision()
def search_missed(
    H: Any,
    *,
    eigs: Eigenpairs,
    which: str = "largest",
    max_matvecs: int = 200,
    level: float = CONFIDENCE,
    seed: int = 0,
    progress: Progress | None = None,
) -> MissedSearch:
    r"""Look for eigenvalues that a list of eigenpairs leaves out: further copies, or one that the start did not see.

    With Q the vectors found, Lanczos runs on :math:`A = (I - QQᵀ)H(I - QQᵀ)` from a Gaussian vector orthogonal to Q.
    By Cauchy's interlacing theorem the (K+1)-th eigenvalue of H is at most :math:`λ_{\max}(A)`, whatever the quality of
    Q, and that has an upper bound from the random start (:mod:`landscape.estimators.eigen.upper_bound`). So ``bound``
    holds for a warm start, a restart or a list read from a file as well.

    Parameters
    ----------
    H : LinearOperator, or what :func:`as_operator` takes
    eigs : Eigenpairs
        With vectors, that include the end asked for: all vectors are taken out.
    which : {"largest", "smallest"}
    max_matvecs : int
        The search ends earlier, once a missed value has shown or the bound lies within its tolerance of λ_k.
    level : float
        In (0, 1).

    Returns
    -------
    MissedSearch

    Raises
    ------
    LandscapeError
        If a matvec gives NaN or Inf.
    UsageError
        If ``eigs`` has no vectors, is of another size, or does not include that end.

    Notes
    -----
    Costs one matvec per step: on spectra like those of networks about as many as the pairs cost. Where λ_{k+1} nearly
    equals λ_k the bound comes down slowly and ``complete`` may stay False though nothing was missed.

    References
    ----------
    Parlett (1998), The Symmetric Eigenvalue Problem, §10.1, for interlacing.
    """
    H = as_operator(H)
    seed, max_matvecs = check_seed(seed), check_count("max_matvecs", max_matvecs)
    check_share("level", level)
    slices = Slices(H.dim, H.group)
    Q, sign, edge, residual = _deflation(H, eigs, which, slices)
    if Q.shape[1] == H.dim:
        return MissedSearch(edge, residual, -sign * np.inf, -sign * np.inf, level, False, True, which, 0, seed)
    matvecs = Matvecs(OutsideOf(H, Q, slices, sign=sign), max_matvecs, progress, slices=slices)
    # Rounding is relative to all of H, of which the run sees only the rest.
    matvecs.scale = float(np.abs(eigs.values).max())
    start = slices.own(probe(_FIRST_PROBE, H.dim, seed=seed, kind="gaussian", dtype=H.dtype, device=H.device))
    krylov = Krylov(matvecs, slices.outside(start, Q), capacity=min(max_matvecs, H.dim - Q.shape[1]))
    slack = max(eigs.tol_at(edge) * abs(edge), residual)
    while True:
        krylov.step()
        alphas, betas, asymmetry = krylov.recurrence
        rounding = recurrence_rounding(len(alphas), H.resolution, matvecs.scale, asymmetry)
        bound = upper_bound(alphas, betas, dim=H.dim - Q.shape[1], level=level) + rounding
        values, vectors = krylov.ritz()
        settled = float(krylov.ritz_residuals(vectors[:, -1:])[0]) <= slack + rounding
        missed = bool(values[-1] >= sign * edge - slack - rounding) and settled
        complete = bound <= sign * edge + slack
        if missed or complete or krylov.beta == 0 or krylov.is_full or matvecs.left == 0:
            break
    return MissedSearch(
        edge, residual, sign * float(values[-1]), sign * bound, level, missed, complete and not missed, which,
        matvecs.done, seed,
    )  # fmt: skip


def _deflation(
    H: LinearOperator, eigs: Eigenpairs, which: str, slices: Slices
) -> tuple[torch.Tensor, float, float, float]:
    """Orthonormal vectors (P, K) in slices, the sign that turns the end upwards, λ_k and its residual."""
    check_choice("which", which, ("largest", "smallest"))
    if eigs.dim != H.dim or eigs.vectors.shape[1] != len(eigs) or not len(eigs):
        raise UsageError(
            f"eigs holds {eigs.vectors.shape[1]} vectors of length {eigs.dim} for {len(eigs)} values; the search needs "
            f"one of length {H.dim} for each"
        )
    sign, places = (1.0, eigs.top) if which == "largest" else (-1.0, eigs.bottom)
    if not len(places):
        raise UsageError(
            f'which={eigs.which!r} does not hold the {which} eigenvalues; ask for which="{which}" or "both"'
        )
    last = int(places[-1])
    vectors = torch.from_numpy(np.array(eigs.vectors[slices.place])).to(H.device, H.dtype)
    return slices.qr(vectors)[0], sign, float(eigs.values[last]), float(eigs.residuals[last])
