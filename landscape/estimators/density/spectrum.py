"""Eigenpairs, trace, norm, density and moments from one set of Krylov runs, paid for once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from landscape.checks import check_count, check_share
from landscape.device import full_precision
from landscape.errors import NotConverged
from landscape.estimators import exact
from landscape.estimators.density.known_mass import found_in_full, with_known_mass
from landscape.estimators.eigen.convergence import ENDS, LEAST_RESIDUAL, RELATIVE, Request, measure
from landscape.estimators.eigen.top import DEFAULT_K, as_record, check_request, top_eigenpairs
from landscape.estimators.krylov.combined import Ritz, join, ritz_of_run
from landscape.estimators.krylov.several_starts import Lockstep, runs_at_once
from landscape.estimators.matvecs import Matvecs
from landscape.estimators.probes import probe
from landscape.estimators.traces.choice import of_samples
from landscape.estimators.traces.deflation import coarseness
from landscape.operators import ExactOperator, LinearOperator, as_operator
from landscape.progress import Progress
from landscape.results import Eigenpairs, Estimate, Spectrum
from landscape.results.endings import Ending
from landscape.results.quadrature import gauss_rules


@full_precision()
def spectrum(
    H: LinearOperator,
    *,
    k: int | None = None,
    which: str = "largest",
    num_probes: int = 8,
    num_steps: int = 64,
    tol: float = 1e-3,
    max_matvecs: int = 500,
    seed: int = 0,
    strict: bool = True,
    progress: Progress | None = None,
) -> Spectrum:
    r"""Eigenpairs, trace, Frobenius norm, density and moments of one operator together.

    R probes make T Lanczos steps each. Their tridiagonal matrices are the density, as in
    :func:`~landscape.spectral_density`; the first coefficients are ``zᵀHz/P`` and ``‖Hz‖²/P``, as in
    :func:`~landscape.trace`; and the sum of their Krylov spaces holds the outer eigenvectors, as many copies of a
    multiple one as there are probes. The eigenvectors in turn take their share of the probes' noise out of all others:

    .. math:: \mathrm{tr}\,H \approx
        \frac1R\sum_r \Bigl(z_r^T H z_r - \sum_i \lambda_i\bigl((u_i^T z_r)^2 - 1\bigr)\Bigr).

    Parameters
    ----------
    H : LinearOperator, or what `as_operator` takes
    k : int, optional
        Pairs wanted from each end; left out, 5, or P where that is less.
    which, tol, seed
        As in :func:`~landscape.top_eigenpairs`.
    num_probes, num_steps : int
        R and T: R·T matvecs in blocks of up to 16 probes, and one for the residual of each pair wanted.
    max_matvecs : int
        Most matvecs for eigenpairs beyond the R·T of the runs, where those have not found them.
    strict : bool
        Raise ``NotConverged`` where a pair has not converged; otherwise return it, marked.
    progress : callable, optional
        Called as ``progress(matvecs done, matvecs planned)``.

    Returns
    -------
    Spectrum
        Each part with its own error; why eigenvectors of the same probes add no bias that matters, and the coverage
        measured: docs/accuracy.md. Memory: as :func:`~landscape.spectral_density`, and some ``8·(k + max(k, 8))``
        vectors of length P, twice that for ``"both"``.

    Raises
    ------
    NotConverged
        With the whole Spectrum as ``.partial``, if ``strict``.
    UsageError, LandscapeError
        For arguments outside the ranges above; if a matvec gives NaN or Inf.

    References
    ----------
    Ubaru, Chen & Saad (2017), SIAM J. Matrix Anal. Appl. 38(4). Gambhir, Stathopoulos & Orginos (2017), SIAM J. Sci.
    Comput. 39(2), for the trace with known eigenvectors. Parlett (1998), ch. 11, for Rayleigh–Ritz.

    Examples
    --------
    >>> from landscape.operators import MatrixOperator
    >>> s = spectrum(MatrixOperator(np.diag([5.0, 2.0, 2.0, -1.0])), k=2)
    >>> print(s.eigs.values.round(6), s.trace, s.frobenius)
    [5. 2.] 8 5.83095189485
    """
    H = as_operator(H)
    k = min(DEFAULT_K, H.dim) if k is None else k
    check_count("num_probes", num_probes)
    check_count("num_steps", num_steps)
    check_share("tol", tol, hint=RELATIVE)
    request = check_request(H, k, which=which, method="lanczos", tol=tol, max_matvecs=max_matvecs, seed=seed)
    if isinstance(H, ExactOperator):
        return exact.spectrum(H, request)
    steps = min(int(num_steps), H.dim)
    seed = request.seed
    matvecs = Matvecs(H, int(num_probes) * steps + request.count, progress)
    runs = _run(matvecs, request, int(num_probes), steps)
    in_runs = matvecs.done
    eigs = _eigenpairs(matvecs, request, runs, max_matvecs, progress)
    values, residuals, vectors, reach = _taken_out(H, request, runs)
    overlaps = _overlaps(matvecs, vectors, int(num_probes), seed)
    density = with_known_mass(
        runs.alphas,
        runs.betas,
        values=values,
        residuals=residuals,
        reach=reach,
        masses=overlaps**2 / H.dim,
        dim=H.dim,
        num_matvecs=in_runs,
        seed=seed,
    )
    about: dict[str, Any] = {
        "num_matvecs": int(num_probes),
        "seed": seed,
        "method": _method(int(num_probes), len(values)),
    }
    samples = _corrected(H.dim * runs.alphas[:, 0], values, overlaps)
    least, coarse = LEAST_RESIDUAL * H.resolution, coarseness(matvecs)
    found = Spectrum(
        eigs=eigs,
        trace=of_samples(samples, rounding=float(least * np.abs(values).sum() + coarse * abs(samples.mean())), **about),
        frobenius=_frobenius(runs, values, overlaps, H.dim, least=least, coarse=coarse, **about),
        density=density,
    )
    if strict and not (eigs.converged.all() and len(eigs) == request.count):
        worst = int(np.argmin(eigs.converged))
        raise NotConverged(
            f"{int(eigs.converged.sum())} of {request.count} eigenpairs converged (which={which!r}, tol={tol:g}): "
            f"{eigs.reason}. λ = {eigs.values[worst]:.6g} has a residual of {eigs.residuals[worst]:.2g}. More "
            "num_steps help too; strict=False takes it as it is, and the exception carries it all as .partial",
            found,
        )
    return found


@dataclass(frozen=True)
class _Runs:
    """Coefficients (R, T) of all runs, and the most wanted Ritz pairs of the sum of their spaces."""

    alphas: np.ndarray
    betas: np.ndarray
    ritz: Ritz


def _run(matvecs: Matvecs, request: Request, num_probes: int, steps: int) -> _Runs:
    """All runs, as many at once as fit; of each only its coefficients and outer Ritz vectors are kept."""
    H = matvecs.operator
    # More than are wanted: further outliers take their noise out of the trace as well.
    kept = min(H.dim, len(ENDS[request.which]) * (request.k + max(request.k, 8)))
    alphas, betas = np.zeros((num_probes, steps)), np.zeros((num_probes, steps))
    at_once = runs_at_once(H.dim, steps, torch.empty(0, dtype=H.dtype).element_size())
    ritz: Ritz | None = None
    for first in range(0, num_probes, at_once):
        group = range(first, min(first + at_once, num_probes))
        starts = [matvecs.slices.own(_probe(H, r, request.seed)) for r in group]
        runs = Lockstep(matvecs, torch.stack(starts), steps=steps)
        runs.run()
        alphas[group], betas[group] = runs.alphas, runs.betas
        for i in range(len(group)):
            ritz = join(ritz, ritz_of_run(runs, i, request, kept), request, kept)
    assert ritz is not None
    return _Runs(alphas, betas, ritz)


def _eigenpairs(
    matvecs: Matvecs, request: Request, runs: _Runs, max_matvecs: int, progress: Progress | None
) -> Eigenpairs:
    """The wanted pairs with measured residuals: those of the runs where they are good enough, else continued."""
    H, before = matvecs.operator, matvecs.done
    ritz = runs.ritz.first(request.count)
    limits = request.thresholds(ritz.values, H.resolution * _scale(ritz.values, matvecs))
    # One run by itself takes two eigenvalues closer than the tolerance for one; two from independent probes do not.
    if len(runs.alphas) > 1 and len(ritz.values) == request.count and (ritz.residuals <= limits).all():
        pairs = measure(matvecs, request, ritz.vectors, _scale(ritz.values, matvecs))
        if pairs.converged.all():
            pairs = replace(pairs, reason=Ending.CONVERGED.text())
            return as_record(matvecs, pairs, request, method="lanczos", num_matvecs=matvecs.done - before)
    spent = matvecs.done - before
    left = max(max_matvecs - spent, 2 * request.count)
    done = matvecs.done

    def report(now: int, most: int) -> None:
        if progress is not None:
            progress(done + now, done + most)

    eigs = top_eigenpairs(
        H,
        request.k,
        which=request.which,
        tol=request.tol,
        max_matvecs=left,
        seed=request.seed,
        start=matvecs.slices.in_memory(ritz.vectors),
        strict=False,
        progress=report,
    )
    return replace(eigs, num_matvecs=eigs.num_matvecs + spent)


def _taken_out(
    H: LinearOperator, request: Request, runs: _Runs
) -> tuple[np.ndarray, np.ndarray, torch.Tensor, np.ndarray]:
    """Values (K,), residuals (K,), vectors (P, K) of the pairs that the runs have found in full, and their reach (K,).

    Vectors are in slices. Those alone: the mean of what they take out must not depend on the probes.
    """
    ritz = runs.ritz
    reach = request.thresholds(ritz.values, H.resolution * float(np.abs(ritz.values).max()))
    # Where the runs span everything together, nothing lies beyond the last Ritz value.
    ends = 0 if len(ritz.values) == H.dim else len(ENDS[request.which])
    complete = found_in_full(ritz, ritz.residuals <= reach, reach, gauss_rules(runs.alphas, runs.betas), ends)
    chosen = ritz.at(np.flatnonzero(complete))
    return chosen.values, chosen.residuals, chosen.vectors, reach[complete]


def _overlaps(matvecs: Matvecs, vectors: torch.Tensor, num_probes: int, seed: int) -> np.ndarray:
    """``uᵢᵀz_r``, shape (R, K)."""
    slices = matvecs.slices
    rows = [slices.own(_probe(matvecs.operator, r, seed)) @ vectors for r in range(num_probes)]
    return slices.sum(torch.stack(rows)).cpu().to(torch.float64).numpy()


def _probe(H: LinearOperator, index: int, seed: int) -> torch.Tensor:
    return probe(index, H.dim, seed=seed, dtype=H.dtype, device=H.device)


def _corrected(samples: np.ndarray, values: np.ndarray, overlaps: np.ndarray) -> np.ndarray:
    """Samples (R,) of zᵀf(H)z less ``Σ f(λᵢ)((uᵢᵀz)² − 1)``, whose mean is zero; values are f(λᵢ) (K,)."""
    corrected: np.ndarray = samples - (overlaps**2 - 1) @ values
    return corrected


def _frobenius(
    runs: _Runs, values: np.ndarray, overlaps: np.ndarray, dim: int, *, least: float, coarse: float, **about: Any
) -> Estimate:
    """The root of the mean of ``‖Hz‖² = P(α₁² + β₁²)``; samples are those of its tangent at the mean."""
    largest = max(
        float(np.abs(runs.alphas[:, 0]).max()), float(runs.betas[:, 0].max()), float(np.abs(values).max(initial=0.0))
    )
    scale = largest or 1.0
    plain = dim * ((runs.alphas[:, 0] / scale) ** 2 + (runs.betas[:, 0] / scale) ** 2)
    squares = _corrected(plain, (values / scale) ** 2, overlaps)
    # The known eigenvalues alone are a lower bound; noise may take the mean below it.
    mean = max(float(squares.mean()), float(((values / scale) ** 2).sum()))
    root = np.sqrt(mean)
    tangent = scale * (root + (squares - mean) / (2 * root)) if root > 0 else np.zeros(len(squares))
    rounding = least * float(np.linalg.norm(values)) + coarse * scale * float(root)
    return of_samples(tangent, rounding=rounding, **about)


def _method(num_probes: int, known: int) -> str:
    return f"first Lanczos coefficients of {num_probes} probes, {known} eigenpairs taken out"


def _scale(values: np.ndarray, matvecs: Matvecs) -> float:
    return max(matvecs.scale, float(np.abs(values).max(initial=0.0)))
