"""The diagonal of a Hessian, and its traces by tensor of θ, as sums over examples that are drawn."""

from __future__ import annotations

import numpy as np
from scipy import special

from landscape.checks import check_count, check_share
from landscape.errors import NotConverged
from landscape.estimators.matvecs import BLOCK_COLUMNS, Matvecs
from landscape.estimators.probes import probes
from landscape.estimators.traces.choice import DEFAULT_MAX_MATVECS, NORMAL
from landscape.estimators.traces.deflation import coarseness
from landscape.estimators.traces.drawn import FEWEST
from landscape.estimators.traces.over_examples import (
    Found,
    Samples,
    begun,
    finished,
    is_small,
    sums_if_any,
    sums_of,
    variance_in_all,
)
from landscape.operators.base import LinearOperator
from landscape.operators.by_example import SumsOverExamples
from landscape.progress import Progress
from landscape.results import Diagonal
from landscape.results.endings import Ending

Array = np.ndarray


def diagonal_limit(num_probes: int, tol: float | None, max_matvecs: int | None) -> int:
    """The limit of matvecs."""
    if tol is None:
        return num_probes
    check_share("tol", tol, hint="it is the reach of the 95 % intervals of all entries, relative to the diagonal")
    return DEFAULT_MAX_MATVECS if max_matvecs is None else check_count("max_matvecs", max_matvecs)


def diagonal_to_accuracy(
    H: LinearOperator,
    *,
    limit: int,
    tol: float | None,
    seed: int,
    strict: bool,
    progress: Progress | None,
    method: str,
) -> Diagonal:
    """All entries from the same examples and probes; from probes of all of H where there is no split that pays."""
    find = {"split": sums_of, "auto": sums_if_any}.get(method)
    sums = find(H, entries=True) if find else None
    if sums is None or (method == "auto" and is_small(sums, limit)):
        known = _by_probes(H, limit, tol, seed, progress)
    else:
        found = drawn_in_all(sums, limit=limit, tol=tol, seed=seed, progress=progress, keep=False)
        known = _record(H, found, seed)
    if strict and not known.converged:
        raise NotConverged(
            f"the diagonal: {Ending.INTERVAL_TOO_WIDE.text(max_matvecs=limit, tol=tol)}. strict=False takes it with "
            "its errors; the exception carries it as .partial",
            known,
        )
    return known


def _record(H: LinearOperator, found: Found, seed: int) -> Diagonal:
    rounding = 4 * H.resolution * float(np.abs(found.mean).max())
    sem = np.hypot(found.samples.sem, rounding) if found.samples.count else np.full(len(found.mean), rounding)
    count, method = found.samples.count, found.method
    return Diagonal(found.mean, sem, count, found.matvecs, seed, method, converged=found.converged)


def _by_probes(H: LinearOperator, limit: int, tol: float | None, seed: int, progress: Progress | None) -> Diagonal:
    """Hutchinson's, a block of probes at a time."""
    matvecs, samples = Matvecs(H, limit, progress), Samples(H.dim, keep=False)
    while matvecs.left and not reaches(samples, tol):
        add_probes(samples, matvecs, samples.count + min(BLOCK_COLUMNS, matvecs.left), seed=seed)
    sem = np.hypot(samples.sem, coarseness(matvecs) * matvecs.scale)
    label, settled = f"Hutchinson, {samples.count} probes", tol is None or reaches(samples, tol)
    return Diagonal(samples.mean, sem, samples.count, matvecs.done, seed, label, converged=settled)


def add_probes(samples: Samples, matvecs: Matvecs, count: int, *, seed: int) -> None:
    """Hutchinson's ``z ⊙ Hz`` of further probes, until there are ``count`` samples."""
    H = matvecs.operator
    while samples.count < count:
        width = min(BLOCK_COLUMNS, count - samples.count)
        Z = probes(samples.count, width, H.dim, seed=seed, dtype=H.dtype, device=H.device)
        samples.add_columns(Z * matvecs.block(Z))


def reaches(samples: Samples, tol: float | None) -> bool:
    """Whether the 95 % intervals, as a vector, are within ``tol`` of the length of the mean."""
    if tol is None or samples.count < FEWEST:
        return False
    quantile = float(special.stdtrit(samples.count - 1, 0.975))
    return quantile * float(np.linalg.norm(samples.sem)) <= tol * float(np.linalg.norm(samples.mean))


def drawn_in_all(
    sums: SumsOverExamples, *, limit: float, tol: float | None, seed: int, progress: Progress | None, keep: bool
) -> Found:
    """Entries or tensors together: errors are counted as the length of the vector of them."""
    sampler, pilot = begun(sums, seed=seed, limit=limit, size_of=variance_in_all, progress=progress)
    return finished(
        sampler,
        pilot,
        allowed=None if tol is None else lambda mean: tol * float(np.linalg.norm(mean)) / NORMAL,
        reached=None if tol is None else lambda samples: reaches(samples, tol),
        keep=keep,
    )
