"""The diagonal of an operator, entry by entry."""

from __future__ import annotations

import numpy as np
import torch
from scipy import special

from landscape.checks import check_choice, check_count, check_seed
from landscape.device import full_precision
from landscape.errors import UsageError
from landscape.estimators import exact
from landscape.estimators.matvecs import Matvecs
from landscape.estimators.traces.choice import exact_dots
from landscape.estimators.traces.columns import column_dots
from landscape.estimators.traces.deflation import coarseness
from landscape.estimators.traces.over_entries import add_probes, diagonal_limit, diagonal_to_accuracy
from landscape.estimators.traces.over_examples import Samples
from landscape.estimators.traces.sketch import Sketch, lost_directions, row_space
from landscape.estimators.traces.xtrace import LEFT_OUT
from landscape.estimators.vectors import Slices
from landscape.operators import as_operator
from landscape.operators.base import LinearOperator
from landscape.operators.exact import ExactOperator
from landscape.progress import Progress
from landscape.results import Diagonal

METHODS = ("auto", "split", "hutchinson", "xdiag")
#: Below this "auto" does not halve the vectors for a basis.
_FEWEST_FOR_XDIAG = 8
_ROWS = 1 << 16
#: Entries, spread over the diagonal, from which the correlation of XDiag's samples is read.
_JACKKNIFE_ROWS = 512


@full_precision()
def diagonal(
    H: LinearOperator,
    *,
    num_probes: int = 32,
    method: str = "auto",
    seed: int = 0,
    tol: float | None = None,
    max_matvecs: int | None = None,
    strict: bool = True,
    progress: Progress | None = None,
) -> Diagonal:
    r"""Estimate all P diagonal entries of H from a few matvecs.

    ``"hutchinson"`` averages ``z ⊙ Hz`` over random sign vectors: the error of entry i has variance
    ``Σ_{j≠i} h_ij² / num_probes``. ``"xdiag"`` spends half of the matvecs on the range of H, measures the diagonal of
    the part within it, and only the rest at random, each vector held against the range that all others found:

    .. math:: d_i = \mathrm{diag}(Q_i Q_i^T H) + \omega_i \odot (I - Q_i Q_i^T) H \omega_i .

    A matrix of rank below ``num_probes // 2`` is exact. ``"split"`` is of a HessianOperator, ``diag G + diag R`` from
    examples that are drawn, as in :func:`~landscape.trace`.

    Parameters
    ----------
    H : LinearOperator
    num_probes : int
        The matvecs, whatever the method (XDiag uses an even number, 4 at least). From P on unit vectors give the
        diagonal itself in P matvecs, with errors of 0.
    method : {"auto", "split", "hutchinson", "xdiag"}
        ``"auto"``: with ``tol`` the split, or Hutchinson's where there is none; without, Hutchinson's below 8 matvecs;
        from there on XDiag where what the first half of the products leaves of each other's span shows that its
        intervals will be shorter, else Hutchinson's, with nothing lost.
    seed : int
    tol : float, optional
        Go on until the 95 % intervals of all entries, taken together as a vector, are within ``tol·‖values‖``.
    max_matvecs : int, optional
        Limit with ``tol``, 1,000 if left out.
    strict : bool
        Raise ``NotConverged`` where it ends the work; otherwise return it, marked.
    progress : callable, optional
        Called as ``progress(matvecs done, limit)``.

    Returns
    -------
    Diagonal
        ``values`` and ``sem``, each (P,), in loss per squared parameter; 95 % intervals are Student's t in each entry.
        Bias and coverage measured: docs/accuracy.md. Memory in vectors of length P: 32, and for XDiag ``2·num_probes``.

    Raises
    ------
    NotConverged
        With the diagonal as ``.partial``, if ``strict``.
    UsageError, ObjectiveError, LandscapeError
        For arguments outside the ranges above; where there is no split; if a matvec gives NaN or Inf.

    References
    ----------
    Bekas, Kokiopoulou, Saad (2007), Appl. Numer. Math. 57. Epperly, Tropp, Webber (2024), XTrace, SIAM J. Matrix Anal.
    Appl. 45(1), section 2 for XDiag.

    Examples
    --------
    >>> from landscape.operators import MatrixOperator
    >>> diagonal(MatrixOperator(np.diag([3.0, 1.0, 0.5]))).values
    array([3. , 1. , 0.5])
    """
    check_choice("method", method, METHODS)
    num_probes, seed = check_count("num_probes", num_probes), check_seed(seed)
    if method == "xdiag" and num_probes < 4:
        raise UsageError(f"num_probes={num_probes} is too few for 'xdiag'; it needs at least 4")
    if tol is not None and method == "xdiag":
        raise UsageError("tol= is not read by method='xdiag', which makes num_probes matvecs; leave method out")
    if isinstance(H, ExactOperator):
        return exact.diagonal(H)
    if method == "split" or tol is not None:
        return diagonal_to_accuracy(
            as_operator(H), limit=diagonal_limit(num_probes, tol, max_matvecs), tol=tol, seed=seed, strict=strict,
            progress=progress, method=method,
        )  # fmt: skip
    if max_matvecs is not None:
        raise UsageError("max_matvecs= limits tol=; without tol the number of matvecs is num_probes")
    dim = as_operator(H).dim
    # Its result is as long as θ on every rank, and so are the vectors it is made of.
    matvecs = Matvecs(H, num_probes, progress, slices=Slices(dim))
    if method != "hutchinson" and num_probes >= dim:
        matvecs.maximum = dim
        values = exact_dots(matvecs, (1,))[0]
        sem = np.full(dim, coarseness(matvecs) * matvecs.scale)
        return Diagonal(values, sem, 0, matvecs.done, -1, "exact, one unit vector per entry")
    count = int(num_probes) // 2
    # Signs, not Gaussian vectors: ω ⊙ (I − QQᵀ)Hω is unbiased where every ωᵢ² is 1. They are also Hutchinson's first.
    sketch = Sketch(matvecs, seed=seed, kind="rademacher")
    if method == "xdiag" or (method == "auto" and num_probes >= _FEWEST_FOR_XDIAG):
        sketch.extend(count)
    if method == "xdiag" or (sketch.omega.shape[1] and _pays(sketch, int(num_probes))):
        values, sem = _xdiag(matvecs, sketch)
        label = f"XDiag, {count} vectors"
    else:
        count = int(num_probes)
        values, sem = _hutchinson(matvecs, count, seed, sketch)
        label = f"Hutchinson, {num_probes} probes"
    sem = np.hypot(sem, coarseness(matvecs) * matvecs.scale)
    return Diagonal(values, sem, count, matvecs.done, seed, label)


def _pays(sketch: Sketch, num_probes: int) -> bool:
    """Whether the 95 % intervals of XDiag are expected to be shorter, in the mean square over the entries.

    The variance of a sample of XDiag is at most ``‖(I − QQᵀ)H‖_F²`` over all entries; that of Hutchinson's is read from
    the products.
    """
    count = sketch.omega.shape[1]
    plain = sketch.omega * sketch.products
    mean = plain.mean(dim=1, keepdim=True)
    spread = float(column_dots(plain, plain).sum() - column_dots(mean, mean)[0] * count)
    unseen = sketch.share_unseen() * sketch.size_seen()
    outside, all_of_them = (float(special.stdtrit(n - 1, 0.975)) ** 2 / n for n in (count, num_probes))
    return unseen * outside < spread / (count - 1) * all_of_them


def _hutchinson(matvecs: Matvecs, count: int, seed: int, sketch: Sketch) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard error from ``count`` probes, of which the sketch holds the first with their products."""
    samples = Samples(matvecs.operator.dim, keep=False)
    samples.add_columns(sketch.omega * sketch.products)
    add_probes(samples, matvecs, count, seed=seed)
    return samples.mean, samples.sem


def _xdiag(matvecs: Matvecs, sketch: Sketch) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard error from the vectors of a sketch, for one more matvec each."""
    images = matvecs.block(sketch.basis)
    dim, count = sketch.omega.shape

    def part(rows: slice) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        basis, image, omega = (x[rows].cpu().to(torch.float64).numpy() for x in (sketch.basis, images, sketch.omega))
        return basis, image, omega

    values, sem = np.empty(dim), np.empty(dim)
    for first in range(0, dim, _ROWS):
        rows = slice(first, first + _ROWS)
        samples = _samples(*part(rows), sketch.coordinates)
        values[rows] = samples.mean(axis=1)
        sem[rows] = samples.std(axis=1, ddof=1) / np.sqrt(count)
    sample_rows = slice(None, None, -(-dim // _JACKKNIFE_ROWS))
    return values, sem * _widening(*part(sample_rows), sketch.coordinates)


def _samples(basis: np.ndarray, image: np.ndarray, omega: np.ndarray, coordinates: np.ndarray) -> np.ndarray:
    """Estimates (rows, s) of some entries, one per random vector, from those rows of Q, HQ, Ω and from QᵀHΩ (r, s)."""
    lost = lost_directions(coordinates)
    # (I − QᵢQᵢᵀ)Hωᵢ is Q sᵢ times this number, as Hωᵢ lies in the span of Q.
    outside = (lost * coordinates).sum(axis=0)
    samples: np.ndarray = (basis * image).sum(axis=1, keepdims=True) + (basis @ lost) * (omega * outside - image @ lost)
    return samples


def _widening(basis: np.ndarray, image: np.ndarray, omega: np.ndarray, coordinates: np.ndarray) -> float:
    """What the spread of the samples must be multiplied by: they share their bases, so they are correlated.

    The root of the jackknife over the spread, in the mean over some rows; as for the trace in ``xtrace.py``.
    """
    count = coordinates.shape[1]
    spread = np.mean(np.var(_samples(basis, image, omega, coordinates), axis=1, ddof=1)) / count
    if count < 3 or spread == 0:
        return 1.0
    means = []
    for i in np.unique(np.linspace(0, count - 1, min(count, LEFT_OUT)).astype(int)):
        others = np.arange(count) != i
        u = row_space(coordinates[:, others])
        means.append(_samples(basis @ u, image @ u, omega[:, others], u.T @ coordinates[:, others]).mean(axis=1))
    jackknife = np.mean(np.var(means, axis=0, ddof=1)) * (count - 1) ** 2 / count
    return float(max((jackknife / spread) ** 0.25, 1.0))
