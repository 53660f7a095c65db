"""The spectral density by stochastic Lanczos quadrature."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from landscape.checks import check_count, check_seed, check_share
from landscape.device import full_precision
from landscape.errors import NotConverged, UsageError
from landscape.estimators import exact
from landscape.estimators.density.adaptive import until_narrow
from landscape.estimators.krylov.several_starts import Lockstep, runs_at_once
from landscape.estimators.matvecs import Matvecs
from landscape.estimators.probes import probe
from landscape.estimators.vectors import Slices
from landscape.operators import ExactOperator, LinearOperator, as_operator
from landscape.progress import Progress
from landscape.results import Eigenpairs, SpectralMeasure
from landscape.results.coupling import how_far_moved
from landscape.results.endings import Ending
from landscape.results.quadrature import gauss_rules, run_lengths


@full_precision()
def spectral_density(
    H: LinearOperator,
    eigs: Eigenpairs | None = None,
    *,
    num_probes: int | None = None,
    num_steps: int | None = None,
    tol: float | None = None,
    max_matvecs: int | None = None,
    seed: int = 0,
    strict: bool = True,
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
        spectra of networks most of the noise comes from the outliers. With ``tol`` those are left in whose residuals
        would blur the eigenvalues near zero by more than a tenth of it: that costs more than their noise.
    num_probes : int, optional
        R, 8 if left out. The error from the randomness of z falls like ``1/√(R·P)``.
    num_steps : int, optional
        T, 64 if left out; cut to P − K. Resolution: the nodes lie about (range of the spectrum)/T apart, closer at the
        ends.
    tol : float, optional
        Go on until ``width``, half the 95 % band of ``cdf`` averaged over the range, is at most this share of the
        eigenvalues: with steps or with probes, whichever narrows it more for their products. ``num_probes`` and
        ``num_steps`` are then those of the first round, 1 and 16 if left out, and all probes are Gaussian.
    max_matvecs : int, optional
        Limit with ``tol``, 1,000 if left out.
    seed : int
        Probe r depends on seed and r alone: more probes, and more steps, continue what there was.
    strict : bool
        Raise ``NotConverged`` where the limit ends the work; otherwise return the measure, marked.
    progress : callable, optional
        Called as ``progress(matvecs done, R·T or the limit)`` after each block of products.

    Returns
    -------
    SpectralMeasure
        Nodes and weights ``(R, K + T)``, unsmoothed; each row of weights sums to 1. ``cdf`` brackets the distribution,
        ``width`` is how wide the band is, ``step_error`` how much the nodes still change with T. Costs R·T matvecs,
        fewer where a probe exhausts its Krylov space, and T + 3 vectors of length P for each of the probes that step
        together: up to 16, if they fit into 1 GiB. With ``tol`` the vectors of all probes are held as long as they fit,
        so that any of them can go on; where they no longer do, only further probes are added. Of these vectors, ranks
        that measure together hold a slice each.

    Raises
    ------
    NotConverged
        With the measure as ``.partial``, if ``strict``.
    UsageError, LandscapeError
        For arguments outside the ranges above, or eigenpairs without vectors; if a matvec gives NaN or Inf.

    References
    ----------
    Golub & Welsch (1969), Math. Comp. 23, for the quadrature. Ubaru, Chen & Saad (2017), SIAM J. Matrix Anal. Appl.
    38(4), Alg. 1. Ghorbani, Krishnan & Xiao (2019), ICML, for Hessians. Chen, Trogdon & Ubaru (2021), ICML, for few
    probes of many steps where P is large.

    Examples
    --------
    >>> from landscape.operators import MatrixOperator
    >>> measure = spectral_density(MatrixOperator(np.diag([1.0, 1.0, 1.0, 5.0])), num_steps=10)
    >>> print(measure.nodes[0].round(6), measure.weights[0].round(6))
    [1. 5.] [0.75 0.25]
    """
    seed, H = check_seed(seed), as_operator(H)
    R, T, limit = _first_round(num_probes, num_steps, tol, max_matvecs)
    if isinstance(H, ExactOperator):
        return exact.density(H)
    slices = Slices(H.dim, H.group)
    values, residuals, known = _known_pairs(H, eigs, tol, slices) if eigs is not None else _NOTHING_KNOWN
    most = H.dim - len(values)
    T = min(T, most)
    matvecs = Matvecs(H, R * T if tol is None else limit, progress, slices=slices)
    # Rounding is relative to all of H, of which the probes see only the rest.
    matvecs.scale = float(np.abs(values).max(initial=0.0))
    gaussian = known is not None or tol is not None

    def record(alphas: np.ndarray, betas: np.ndarray) -> SpectralMeasure:
        measure = as_measure(
            alphas, betas, values=values, residuals=residuals, dim=H.dim, num_matvecs=matvecs.done, seed=seed
        )
        rounding = _ROUNDING * np.sqrt(max(alphas.shape[1], 1)) * H.resolution * matvecs.scale
        return replace(measure, isotropic=gaussian, rounding=float(rounding))

    def starts(group: range) -> torch.Tensor:
        return _starts(matvecs, group, known, seed, gaussian=gaussian)

    if tol is not None and T:
        measure = until_narrow(
            matvecs, starts, record, known=known, num_probes=R, num_steps=T, most_steps=most, tol=tol
        )
        return _checked(measure, tol, limit, strict)
    alphas, betas = np.zeros((R, T)), np.zeros((R, T))
    at_once = runs_at_once(H.dim, T, torch.empty(0, dtype=H.dtype).element_size())
    for begin in range(0, R if T else 0, at_once):
        group = range(begin, min(begin + at_once, R))
        runs = Lockstep(matvecs, starts(group), steps=T, known=known)
        runs.run()
        alphas[group], betas[group] = runs.alphas, runs.betas
    return record(alphas, betas)


def _first_round(
    num_probes: int | None, num_steps: int | None, tol: float | None, max_matvecs: int | None
) -> tuple[int, int, int]:
    """Probes and steps before the first look, and the limit of matvecs."""
    R = (8 if tol is None else 1) if num_probes is None else check_count("num_probes", num_probes)
    T = (64 if tol is None else 16) if num_steps is None else check_count("num_steps", num_steps)
    if tol is None:
        if max_matvecs is not None:
            raise UsageError("max_matvecs= limits tol=; without tol the matvecs are num_probes times num_steps")
        return R, T, R * T
    check_share("tol", tol, hint="a share of the eigenvalues, such as 0.001")
    limit = 1000 if max_matvecs is None else check_count("max_matvecs", max_matvecs)
    if num_steps is None:
        T = max(1, min(T, limit // R))
    if limit < R * T:
        raise UsageError(
            f"max_matvecs={limit} is less than the {R * T} of {R} probes × {T} steps, which are spent first"
        )
    return R, T, limit


def _checked(measure: SpectralMeasure, tol: float, limit: int, strict: bool) -> SpectralMeasure:
    if measure.converged or not strict:
        return measure
    raise NotConverged(
        f"the band is ± {measure.width:.2g} wide over the range after {measure.num_matvecs} matvecs: "
        f"{Ending.INTERVAL_TOO_WIDE.text(max_matvecs=limit, tol=tol)}. strict=False takes it as it is; the exception "
        "carries it as .partial",
        measure,
    )


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
#: Share of the width asked for that residuals of what is taken out may add to it.
_BLUR = 0.1
#: In units of √T·resolution·‖H‖: how far T rounded products may move eigenvalues.
_ROUNDING = 2.0
_NOTHING_KNOWN: tuple[np.ndarray, np.ndarray, torch.Tensor | None] = (np.empty(0), np.empty(0), None)


def _known_pairs(
    H: LinearOperator, eigs: Eigenpairs, tol: float | None, slices: Slices
) -> tuple[np.ndarray, np.ndarray, torch.Tensor | None]:
    """Values (K,), residuals (K,) and orthonormal vectors (P, K), in slices, of the pairs that are taken out."""
    if not isinstance(eigs, Eigenpairs):
        raise UsageError(f"eigs is {type(eigs).__name__}; expected the Eigenpairs that top_eigenpairs returns")
    if eigs.vectors.shape != (H.dim, len(eigs)):
        raise UsageError(
            f"eigs has vectors of shape {eigs.vectors.shape}; expected ({H.dim}, {len(eigs)}): pairs of this operator, "
            "with their vectors"
        )
    keep = eigs.converged if tol is None else eigs.converged & _leaves_sharp(eigs, tol)
    if not keep.any():
        return _NOTHING_KNOWN
    vectors = torch.from_numpy(np.array(eigs.vectors[slices.place, keep])).to(H.device, H.dtype)
    return eigs.values[keep].astype(float), eigs.residuals[keep].astype(float), slices.qr(vectors)[0]


def _leaves_sharp(eigs: Eigenpairs, tol: float) -> np.ndarray:
    """Which pairs (K,) may be taken out together without moving an eigenvalue at zero by a tenth of tol of the range.

    By that much the curve is blurred where nearly all eigenvalues lie.
    """
    values, residuals = eigs.values.astype(float), eigs.residuals.astype(float)
    allowed = _BLUR * tol * float(np.ptp(np.append(values, 0.0)))
    keep = np.ones(len(values), dtype=bool)
    for worst in np.argsort(-(residuals**2) / np.maximum(np.abs(values), np.finfo(float).tiny), kind="stable"):
        if how_far_moved(np.zeros(1), values[keep], residuals[keep])[0] <= allowed:
            break
        keep[worst] = False
    return keep


def _starts(matvecs: Matvecs, group: range, known: torch.Tensor | None, seed: int, *, gaussian: bool) -> torch.Tensor:
    """Probes as rows, in slices: sign vectors, or Gaussian ones without their part in the known vectors.

    A Gaussian vector keeps its law under the projection, so its direction is uniform in what is left and each mass
    there is 1/(P − K) on average, exactly. A sign vector would not, and in few dimensions may have nothing left.
    `top_eigenpairs` starts from the first of the Gaussian family; the probes come from far behind.
    """
    H, slices = matvecs.operator, matvecs.slices
    first, kind = (_FAR, "gaussian") if gaussian else (0, "rademacher")
    rows = [slices.own(probe(first + r, H.dim, seed=seed, kind=kind, dtype=H.dtype, device=H.device)) for r in group]
    return torch.stack(rows) if known is None else slices.outside(torch.stack(rows, dim=1), known).T
