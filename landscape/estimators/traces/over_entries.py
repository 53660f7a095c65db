"""The diagonal of a Hessian, and its traces by tensor of θ, as sums over examples that are drawn."""

from __future__ import annotations

import numpy as np
from scipy import special

from landscape.checks import check_count, check_share
from landscape.errors import NotConverged
from landscape.estimators.traces.choice import NORMAL
from landscape.estimators.traces.over_examples import Found, Samples, begun, finished, sums_of, variance_in_all
from landscape.operators.base import LinearOperator
from landscape.operators.by_example import SumsOverExamples
from landscape.progress import Progress
from landscape.results import Diagonal
from landscape.results.endings import Ending

Array = np.ndarray
#: Matvecs with a tolerance and no other limit.
DEFAULT_MAX_MATVECS = 1000


def diagonal_limit(num_probes: int, tol: float | None, max_matvecs: int | None) -> int:
    """The limit of matvecs."""
    if tol is None:
        return num_probes
    check_share("tol", tol, hint="it is the reach of the 95 % intervals of all entries, relative to the diagonal")
    return DEFAULT_MAX_MATVECS if max_matvecs is None else check_count("max_matvecs", max_matvecs)


def diagonal_by_examples(
    H: LinearOperator, *, limit: int, tol: float | None, seed: int, strict: bool, progress: Progress | None
) -> Diagonal:
    """All entries from the same examples and probes."""
    sums = sums_of(H, entries=True)
    found = drawn_in_all(sums, limit=limit, tol=tol, seed=seed, progress=progress, keep=False)
    values, rounding = found.mean, 4 * sums.objective.resolution * float(np.abs(found.mean).max())
    sem = np.hypot(found.samples.sem, rounding) if found.samples.count else np.full(len(values), rounding)
    known = Diagonal(values, sem, found.samples.count, found.matvecs, seed, found.method)
    if strict and not found.converged:
        raise NotConverged(
            f"the diagonal: {Ending.INTERVAL_TOO_WIDE.text(max_matvecs=limit, tol=tol)}. strict=False takes it with "
            "its errors; the exception carries it as .partial",
            known,
        )
    return known


def drawn_in_all(
    sums: SumsOverExamples, *, limit: float, tol: float | None, seed: int, progress: Progress | None, keep: bool
) -> Found:
    """Entries or tensors together: errors are counted as the length of the vector of them."""
    sampler, pilot = begun(sums, seed=seed, limit=limit, size_of=variance_in_all, progress=progress)

    def reached(samples: Samples) -> bool:
        quantile = float(special.stdtrit(max(samples.count - 1, 1), 0.975))
        reach = quantile * float(np.linalg.norm(samples.sem))
        return tol is not None and reach <= tol * float(np.linalg.norm(samples.mean))

    return finished(
        sampler,
        pilot,
        allowed=None if tol is None else lambda mean: tol * float(np.linalg.norm(mean)) / NORMAL,
        reached=None if tol is None else reached,
        keep=keep,
    )
