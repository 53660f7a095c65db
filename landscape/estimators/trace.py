"""The trace, from random probes."""

from __future__ import annotations

import numpy as np

from landscape.errors import check_choice, check_positive, check_seed
from landscape.estimators.matvecs import Matvecs, Progress, dot
from landscape.estimators.probes import probe
from landscape.operators.base import LinearOperator
from landscape.results import Estimate


def trace(
    H: LinearOperator,
    *,
    method: str = "auto",
    num_probes: int = 32,
    seed: int = 0,
    progress: Progress | None = None,
) -> Estimate:
    r"""Estimate ``tr(H)``, the sum of the eigenvalues, from matrix-vector products.

    ``"hutchinson"`` averages ``zᵀHz`` over random sign vectors z. For symmetric H one probe has variance

    .. math:: 2\,\bigl(\|H\|_F^2 - \textstyle\sum_i h_{ii}^2\bigr):

    only mass off the diagonal causes error, and a diagonal H is exact up to rounding.

    Parameters
    ----------
    H : LinearOperator
    method : {"auto", "hutchinson"}
        ``"auto"`` takes the method that fits; today that is Hutchinson's.
    num_probes : int
        Costs exactly this many matvecs. Halving the error costs four times as many.
    seed : int
        Probe r depends on seed and r alone: more probes continue the same sequence.
    progress : callable, optional
        Called as ``progress(matvecs done, num_probes)``.

    Returns
    -------
    Estimate
        ``value`` in loss per squared parameter, ``sem`` the standard error (None for one probe), ``samples`` one value
        per probe. ``interval(0.95)`` covers the truth about 95 times in 100: measured over 1,000 seeds 94 to 97 from 16
        probes on, 92 to 97 from 8, on flat and decaying spectra, with ten outliers, and with one eigenvalue above all.

    Raises
    ------
    LandscapeError
        If a matvec gives NaN or Inf.
    UsageError
        For an unknown method, fewer than one probe, or a seed that is not an integer.

    References
    ----------
    Hutchinson (1990), Commun. Stat. Simul. Comput. 19(2). Avron & Toledo (2011), J. ACM 58(2) for the variance.

    Examples
    --------
    >>> from landscape.operators import MatrixOperator
    >>> print(trace(MatrixOperator(np.diag([3.0, 1.0, 0.5]))))
    4.5
    """
    check_choice("method", method, ("auto", "hutchinson"))
    check_positive("num_probes", num_probes)
    check_seed(seed)
    matvecs = Matvecs(H, int(num_probes), progress)
    samples = np.empty(int(num_probes))
    for r in range(len(samples)):
        z = probe(r, H.dim, seed=seed, dtype=H.dtype, device=H.device)
        samples[r] = dot(z, matvecs(z))
    sem = float(samples.std(ddof=1) / np.sqrt(len(samples))) if len(samples) > 1 else None
    return Estimate(
        float(samples.mean()),
        sem=sem,
        samples=samples,
        num_matvecs=matvecs.done,
        seed=seed,
        method=f"Hutchinson, {len(samples)} probes",
    )
