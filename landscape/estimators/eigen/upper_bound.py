r"""How large the eigenvalue may be that a random start has not found.

Lanczos from a unit vector x makes orthonormal vectors :math:`v_{j+1} = p_j(A)x`, with polynomials :math:`p_j` that the
coefficients of the recurrence give:

.. math:: β_{j+1}\,p_{j+1}(t) = (t - α_{j+1})\,p_j(t) - β_j\,p_{j-1}(t), \qquad p_0 = 1.

Let :math:`u` be the unit eigenvector of :math:`λ_{\max}` along the projection of x onto its eigenspace, and
:math:`c = uᵀx`. Then :math:`uᵀv_{j+1} = p_j(λ_{\max})\,c`, and since the v are orthonormal (Bessel)

.. math:: c^2 \sum_{j=0}^{m} p_j(λ_{\max})^2 \le 1.

The sum grows without limit beyond the largest Ritz value. For a Gaussian start the direction of x is uniform on the
sphere, so :math:`c^2` follows at least Beta(1/2, (P−1)/2) (more for a multiple eigenvalue), and is below its
:math:`ε`-quantile :math:`δ^2` with probability ε at most. Otherwise λ_max lies at or below the μ with
:math:`\sum p_j(μ)^2 = 1/δ^2`. Nothing is asked of the signs of the spectrum.

Van Dorsselaer, Hochstenbach & van der Vorst (2000, SIAM J. Matrix Anal. Appl. 22(3)) and Hochstenbach (2013, J. Sci.
Comput. 57(3)) use the last polynomial alone; all of them together are never worse.
The bound of Kuczyński & Woźniakowski (1992, Thm 4.2), known before the first matvec and for positive semidefinite
matrices only, is much wider.
"""

from __future__ import annotations

import math

import numpy as np
from scipy import special

from landscape.checks import check_share
from landscape.errors import UsageError

#: Of the bounds in results.
CONFIDENCE = 0.999
#: In units of resolution·‖H‖·√m: how far rounding may carry the recurrence from that of the matrix itself.
_ROUNDING = 16.0


def upper_bound(alphas: np.ndarray, betas: np.ndarray, *, dim: int, level: float = CONFIDENCE) -> float:
    """The μ that λ_max exceeds with probability ``1 − level`` at most, over the Gaussian start of the recurrence.

    Parameters
    ----------
    alphas, betas : (m,) arrays
        Diagonal of T, and the norms β₁ … β_m that follow its entries, β_m that of the last residual vector.
    dim : int
        Dimension of the space in which the start is uniform in direction.
    level : float
        In (0, 1).

    Raises
    ------
    UsageError
        For a level outside (0, 1) or a recurrence without a step.

    Notes
    -----
    Rounding is not in it: see :func:`recurrence_rounding`. A breakdown enters as a small β_m: below the threshold at
    which a residual vector is rounding, that threshold.
    """
    check_share("level", level)
    if len(alphas) == 0 or len(alphas) != len(betas):
        raise UsageError(f"a recurrence of {len(alphas)} α and {len(betas)} β bounds nothing; both need m ≥ 1 entries")
    scale = float(max(np.abs(alphas).max(), betas.max())) or 1.0
    a, b = alphas / scale, np.maximum(betas / scale, np.finfo(float).tiny)
    top = float(np.linalg.eigvalsh(np.diag(a) + np.diag(b[:-1], 1) + np.diag(b[:-1], -1))[-1])
    # At dim 1 the start is the eigenvector.
    share = float(special.betaincinv(0.5, (dim - 1) / 2, 1 - level)) if dim > 1 else 1.0
    # For a confidence so high that the quantile underflows, nothing is known.
    if share == 0.0:
        return math.inf
    aim = -math.log(share)
    step = 1e-16
    while log_christoffel(top + step, a, b) < aim:
        step *= 2
    low, high = (0.0, step) if step == 1e-16 else (step / 2, step)
    for _ in range(30):
        middle = (low + high) / 2
        if log_christoffel(top + middle, a, b) < aim:
            low = middle
        else:
            high = middle
    return scale * (top + high)


def recurrence_rounding(steps: int, resolution: float, scale: float, asymmetry: float) -> float:
    """How far λ_max may lie beyond the bound of a recurrence made with products of that ``resolution``.

    The computed α, β and basis belong exactly to ``A + E``, ``‖E‖`` of the order of ``resolution·‖A‖·√m`` (Parlett
    1998, ch. 13, with full reorthogonalisation); ``asymmetry`` ‖QᵀAQ − T‖_F is what can be seen of E, noise in the
    products included.
    """
    return _ROUNDING * resolution * scale * math.sqrt(max(steps, 1)) + 2 * asymmetry


def log_christoffel(t: float, alphas: np.ndarray, betas: np.ndarray) -> float:
    """``log Σ_j p_j(t)²`` for t beyond the largest Ritz value, by the ratios of neighbours: nothing overflows.

    The sum is the reciprocal of the Christoffel function. Not beyond the largest Ritz value it is cut short, and so too
    small.
    """
    log_p = total = 0.0
    ratio = math.inf
    before = 0.0
    for alpha, beta in zip(alphas, betas, strict=True):
        rest = t - alpha - (before / ratio if before else 0.0)
        # Positive beyond the largest Ritz value; rounding at the very edge must not turn it.
        if rest <= 0.0:
            return total
        ratio, before = rest / beta, beta
        log_p += 2 * math.log(ratio)
        total = max(total, log_p) + math.log1p(math.exp(-abs(total - log_p)))
    return total
