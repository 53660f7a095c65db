"""Eigenpairs at the ends of the spectrum, and the gap between the first two."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch

from landscape.errors import NotConverged, UsageError, check_choice, check_positive, check_seed
from landscape.estimators.convergence import ENDS, Pairs, Request, with_fixed_signs
from landscape.estimators.matvecs import Matvecs, Progress, norm
from landscape.estimators.power import power_iteration
from landscape.estimators.probes import probe
from landscape.estimators.thick_restart import default_basis, thick_restart_lanczos
from landscape.operators.base import LinearOperator
from landscape.results import Eigenpairs, Estimate, SpectralGap
from landscape.rounding import format_measured, format_value

#: Length of the random part of a warm start, against 1 for the given vectors.
_RANDOM_PART = 0.1


def top_eigenpairs(
    H: LinearOperator,
    k: int = 5,
    *,
    which: str = "largest",
    method: str = "lanczos",
    tol: float = 1e-3,
    max_matvecs: int = 500,
    seed: int = 0,
    start: Any = None,
    strict: bool = True,
    max_basis: int | None = None,
    progress: Progress | None = None,
) -> Eigenpairs:
    r"""Eigenvalues and eigenvectors at the ends of the spectrum of a symmetric operator.

    A pair ``(λ, u)`` has converged when its true residual ``‖Hu − λu‖``, from a matvec made for the purpose, is at most

    .. math:: \max(\mathrm{tol}\,|\lambda|,\; 32\,\mathrm{eps}\,\|H\|),

    eps of the operator's dtype, ``‖H‖`` estimated from below by the largest ``‖Hv‖/‖v‖`` and Ritz value seen. The
    operator then has an eigenvalue within the residual of λ; an isolated one is closer still, within residual² / gap.

    Parameters
    ----------
    H : LinearOperator
    k : int
        Pairs wanted from each end, at most P.
    which : {"largest", "smallest", "both", "magnitude"}
        Ends in the algebraic sense; ``"both"`` is k from each, no pair twice where 2k > P; ``"magnitude"`` is by |λ|.
    method : {"lanczos", "power"}
        ``"lanczos"``: thick-restart Lanczos with full reorthogonalisation. ``"power"``: power iteration with
        deflation, for comparison: its error falls like ``(|λ₂|/|λ₁|)^n`` and it cannot separate λ from −λ.
    tol : float
        Relative residual; 0 asks for what the dtype gives.
    max_matvecs : int
        Never exceeded; the measurement of the residuals counts. At least 2 per pair wanted.
    seed : int
        Of the random start and of the fresh vectors after a breakdown.
    start : (P,) or (P, K) tensor or array, optional
        A guess, such as the eigenvectors of the previous checkpoint. Lanczos starts from the sum of its columns, each
        at length 1, plus a random vector of a tenth of that length, so that a direction absent from the guess is found.
    strict : bool
        Raise ``NotConverged`` where a pair has not converged; otherwise return it, marked.
    max_basis : int, optional
        Basis vectors of length P held by Lanczos, the memory of this function. Left out, for K pairs in all:
        ``4K + 60`` or what fits into 1 GiB, but at least ``2K + 8``; P where P ≤ 512. A smaller basis means more
        restarts and more matvecs.
    progress : callable, optional
        Called as ``progress(matvecs done, max_matvecs)``.

    Returns
    -------
    Eigenpairs
        In descending order, vectors as NumPy ``(P, K)``, orthonormal, each with its largest entry positive. A residual
        is never given below ``8·eps·|λ|``, the rounding of the value itself.

    Raises
    ------
    NotConverged
        With the pairs reached as ``.partial``, if ``strict``.
    LandscapeError
        If a matvec gives NaN or Inf.
    UsageError
        For arguments outside the ranges above.

    Notes
    -----
    Values within the tolerance are believed once they have stayed as they are for 4 to 12 further steps: two
    eigenvalues closer than ``tol`` look like one at first. On 500 random spectra with ten outliers each, none of the
    first five was missed; accepted at once, one was missed in 105 of 240 spectra with a pair closer than ``tol``.

    A Krylov space from one start holds each distinct eigenvalue once: further copies of an exactly multiple eigenvalue
    appear late, through rounding, or after a breakdown, or not at all. Where copies matter, ask again with another
    seed, or look at the spectral density.

    References
    ----------
    Wu & Simon (2000), SIAM J. Matrix Anal. Appl. 22(2). Parlett (1998), The Symmetric Eigenvalue Problem, ch. 4
    and 11 for the bounds.

    Examples
    --------
    >>> from landscape.operators import MatrixOperator
    >>> print(top_eigenpairs(MatrixOperator(np.diag([3.0, 1.0, -4.0])), k=1, which="both").values.round(6))
    [ 3. -4.]
    """
    request = _check_request(H, k, which=which, method=method, tol=tol, max_matvecs=max_matvecs, seed=seed)
    guess = _as_guess(H, start)
    matvecs = Matvecs(H, int(max_matvecs), progress)
    if method == "lanczos":
        basis = _check_basis(H, request, max_basis)
        pairs = thick_restart_lanczos(matvecs, request, start=_start_vector(H, guess, seed), max_basis=basis)
    else:
        pairs = power_iteration(matvecs, request, guess)
    eigs = _as_record(H, pairs, request, method=method, num_matvecs=matvecs.done)
    if strict and not (eigs.converged.all() and len(eigs) == request.count):
        raise NotConverged(_what_failed(eigs, request, pairs), eigs)
    return eigs


def _check_request(
    H: LinearOperator, k: int, *, which: str, method: str, tol: float, max_matvecs: int, seed: int
) -> Request:
    if not isinstance(H, LinearOperator):
        raise UsageError(f"top_eigenpairs needs an operator, not {type(H).__name__}; wrap a matrix in MatrixOperator")
    check_positive("k", k)
    check_choice("which", which, ENDS)
    check_choice("method", method, ("lanczos", "power"))
    check_seed(seed)
    check_positive("max_matvecs", max_matvecs)
    if not (0 <= tol < 1):
        raise UsageError(f"tol={tol!r} must lie in [0, 1): it is the residual relative to the eigenvalue")
    if k > H.dim:
        raise UsageError(f"k={k} eigenpairs were asked of an operator with P={H.dim}; k may be at most {H.dim}")
    count = min(len(ENDS[which]) * int(k), H.dim)
    if max_matvecs < 2 * count:
        raise UsageError(
            f"max_matvecs={max_matvecs} cannot give {count} pairs; each takes a step and a measurement of its "
            f"residual, so at least {2 * count}"
        )
    return Request(k=int(k), which=which, tol=float(tol), count=count, seed=seed)


def _check_basis(H: LinearOperator, request: Request, max_basis: int | None) -> int:
    if max_basis is None:
        itemsize = torch.empty(0, dtype=H.dtype).element_size()
        return default_basis(H.dim, request.count, itemsize)
    check_positive("max_basis", max_basis)
    least = min(request.count + 2, H.dim)
    if max_basis < least:
        raise UsageError(f"max_basis={max_basis} is too small for {request.count} pairs; at least {least}")
    return min(int(max_basis), H.dim)


def _as_guess(H: LinearOperator, start: Any) -> torch.Tensor | None:
    """The columns of ``start``, each at length 1: (P, K), or None where nothing was given."""
    if start is None:
        return None
    if not isinstance(start, (torch.Tensor, np.ndarray)) or start.ndim not in (1, 2) or start.shape[0] != H.dim:
        got = tuple(start.shape) if hasattr(start, "shape") else type(start).__name__
        raise UsageError(f"start is {got}; expected a tensor or array of shape ({H.dim},) or ({H.dim}, K)")
    columns = start.detach() if isinstance(start, torch.Tensor) else torch.from_numpy(np.array(start))
    columns = columns.reshape(H.dim, -1).to(H.device, H.dtype)
    if columns.shape[1] == 0:
        return None
    lengths = [norm(columns[:, i]) for i in range(columns.shape[1])]
    if not all(math.isfinite(length) and length > 0 for length in lengths):
        raise UsageError("start holds a column that is zero or not finite; leave it out")
    return columns / torch.tensor(lengths, dtype=H.dtype, device=H.device)


def _start_vector(H: LinearOperator, guess: torch.Tensor | None, seed: int) -> torch.Tensor:
    random = probe(0, H.dim, seed=seed, kind="gaussian", dtype=H.dtype, device=H.device)
    if guess is None:
        return random
    total = guess.sum(1)
    return total + _RANDOM_PART * math.sqrt(guess.shape[1]) / norm(random) * random


def _as_record(H: LinearOperator, pairs: Pairs, request: Request, *, method: str, num_matvecs: int) -> Eigenpairs:
    order = request.order(pairs.values)
    vectors = with_fixed_signs(pairs.vectors[:, torch.as_tensor(order.copy(), device=pairs.vectors.device)])
    return Eigenpairs(
        values=pairs.values[order],
        vectors=vectors.cpu().numpy(),
        residuals=pairs.residuals[order],
        converged=pairs.converged[order],
        reason=pairs.reason,
        num_matvecs=num_matvecs,
        which=request.which,
        method=method,
        tol=request.tol,
        seed=request.seed,
        dim=H.dim,
    )


def _what_failed(eigs: Eigenpairs, request: Request, pairs: Pairs) -> str:
    """Values, residuals, tolerance and cost, and the ways out."""
    reached = "; ".join(
        f"λ{i + 1} = {format_measured(value, residual)}" + ("" if ok else f" (asked: ± {format_value(allowed)})")
        for i, (value, residual, ok, allowed) in enumerate(
            zip(eigs.values, eigs.residuals, eigs.converged, request.tol * np.abs(eigs.values), strict=True)
        )
    )
    return (
        f"{int(eigs.converged.sum())} of {request.count} eigenpairs converged in {eigs.num_matvecs} matvecs "
        f"(which={request.which!r}, method={eigs.method!r}, tol={request.tol:g}): {pairs.reason}. Reached: {reached}. "
        "Raise max_matvecs, loosen tol, or pass strict=False to take these with their residuals; the exception carries "
        "them as .partial, and start=error.partial.vectors goes on from there"
    )


def spectral_gap(eigs: Eigenpairs) -> SpectralGap:
    """``λ₁ − λ₂`` and ``λ₁/λ₂`` of the two largest eigenvalues, with the error that their residuals imply.

    Costs no matvec. Each eigenvalue is taken to lie within its residual; the bounds follow by interval arithmetic, so
    they hold for any two numbers in those intervals.

    Parameters
    ----------
    eigs : Eigenpairs
        With at least two values from the top: ``which="largest"`` or ``"both"`` with k ≥ 2. From
        ``which="magnitude"`` where two positive ones are among them.

    Returns
    -------
    SpectralGap
        ``difference.bound`` is r₁ + r₂. ``ratio.bound`` is infinite where λ₂ may be zero.

    Raises
    ------
    UsageError
        If fewer than two values are known to be the largest.
    """
    (top, first), (second_value, second) = _two_largest(eigs)
    low, high = second_value - second, second_value + second
    if low <= 0 <= high:
        value = top / second_value if second_value != 0 else math.copysign(math.inf, top) if top else math.nan
        bound = math.inf
    else:
        value = top / second_value
        corners = [(top + s * first) / other for s in (-1, 1) for other in (low, high)]
        bound = max(abs(corner - value) for corner in corners)
    return SpectralGap(
        _bounded(eigs, top - second_value, first + second, "λ₁ − λ₂, bound from residuals"),
        _bounded(eigs, value, bound, "λ₁ / λ₂, bound from residuals"),
    )


def _bounded(eigs: Eigenpairs, value: float, bound: float, method: str) -> Estimate:
    return Estimate(value, bound=bound, num_matvecs=eigs.num_matvecs, seed=eigs.seed, method=method)


def _two_largest(eigs: Eigenpairs) -> tuple[tuple[float, float], tuple[float, float]]:
    """(value, residual) of λ₁ and λ₂, if the record is sure to hold them."""
    complete = len(eigs) == eigs.dim
    known = {"largest": len(eigs), "both": len(eigs) // 2, "smallest": 0, "magnitude": int((eigs.values > 0).sum())}
    if (len(eigs) if complete else known[eigs.which]) < 2:
        raise UsageError(
            f"the gap needs the two largest eigenvalues; which={eigs.which!r} with {len(eigs)} values does not hold "
            'them. Compute top_eigenpairs(H, k=2, which="largest")'
        )
    first, second = (int(i) for i in np.argsort(-eigs.values, kind="stable")[:2])
    return tuple((float(eigs.values[i]), float(eigs.residuals[i])) for i in (first, second))  # type: ignore[return-value]
