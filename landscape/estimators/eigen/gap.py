"""The gap between the two largest eigenvalues, with the error that their residuals imply."""

from __future__ import annotations

import math

from landscape.errors import UsageError
from landscape.results import Eigenpairs, Estimate, SpectralGap


def spectral_gap(eigs: Eigenpairs) -> SpectralGap:
    """``λ₁ − λ₂`` and ``λ₁/λ₂`` of the two largest eigenvalues, with the error that their residuals imply.

    Costs no matvec. Each eigenvalue is taken to lie within its bound, residual and rounding. Those of gap and ratio
    follow by interval arithmetic, so they hold for any two numbers in those intervals.

    Parameters
    ----------
    eigs : Eigenpairs
        With at least two values from the top: ``which="largest"`` or ``"both"`` with k ≥ 2. From
        ``which="magnitude"`` where two positive ones are among them.

    Returns
    -------
    SpectralGap
        ``difference.bound`` is the sum of both bounds. ``ratio.bound`` is infinite where λ₂ may be zero.

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
    converged = bool(eigs.converged[eigs.top[:2]].all())
    return Estimate(
        value, bound=bound, num_matvecs=eigs.num_matvecs, seed=eigs.seed, method=method, converged=converged
    )


def _two_largest(eigs: Eigenpairs) -> tuple[tuple[float, float], tuple[float, float]]:
    """(value, bound) of λ₁ and λ₂, if the record is sure to hold them."""
    if len(eigs.top) < 2:
        raise UsageError(
            f"the gap needs the two largest eigenvalues; which={eigs.which!r} with {len(eigs)} values does not hold "
            'them. Compute top_eigenpairs(H, k=2, which="largest")'
        )
    first, second = ((float(eigs.values[i]), float(eigs.bounds[i])) for i in eigs.top[:2])
    return first, second
