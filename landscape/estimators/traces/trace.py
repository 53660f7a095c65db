"""The trace, from random probes and from what is known of the operator's range."""

from __future__ import annotations

from typing import Any

import numpy as np

from landscape.checks import check_choice, check_count, check_not_negative, check_seed, check_share
from landscape.device import full_precision
from landscape.errors import NotConverged, UsageError
from landscape.estimators import exact
from landscape.estimators.matvecs import BLOCK_COLUMNS, Matvecs
from landscape.estimators.traces.choice import (
    DEFAULT_MAX_MATVECS,
    Tolerance,
    check_method,
    choose,
    draw,
    exact_dots,
    of_samples,
    until,
)
from landscape.estimators.traces.deflation import coarseness
from landscape.estimators.traces.over_examples import by_examples, sums_if_any, sums_of
from landscape.estimators.traces.xtrace import xtrace
from landscape.operators.base import LinearOperator
from landscape.operators.exact import ExactOperator
from landscape.progress import Progress
from landscape.results import Eigenpairs, Estimate
from landscape.results.endings import Ending

METHODS = ("auto", "split", "hutchinson", "hutch++", "xtrace", "deflated")
# Two samples are the fewest that have a spread.
_FEWEST = {"hutch++": 4, "xtrace": 4}


@full_precision()
def trace(
    H: LinearOperator,
    *,
    method: str = "auto",
    num_probes: int = 32,
    eigs: Any = None,
    seed: int = 0,
    tol: float | None = None,
    atol: float = 0.0,
    max_matvecs: int | None = None,
    strict: bool = True,
    progress: Progress | None = None,
) -> Estimate:
    r"""Estimate ``tr(H)``, the sum of the eigenvalues, from matrix-vector products.

    ``"hutchinson"`` averages ``zᵀHz`` over random sign vectors z. For symmetric H one probe has variance

    .. math:: 2\,\bigl(\|H\|_F^2 - \textstyle\sum_i h_{ii}^2\bigr):

    only mass off the diagonal causes error, and a diagonal H is exact up to rounding. Three methods take the large
    eigenvalues out of H, so that H here is only what is left: ``"deflated"`` those of ``eigs``; ``"hutch++"`` finds the
    range with a third of the matvecs; ``"xtrace"`` with half of them, and every random vector is also a probe.

    ``"split"`` is of a HessianOperator: ``tr H = tr G + tr R``, where G is a sum of squared gradients of single
    examples, and R = H − G is small once slopes of the loss are. One pass forward over the data (a sixth of a matvec)
    says which examples matter; these are drawn, in proportion, each cell of 16 with a probe of its own. So its cost
    hardly grows with the data, and at trained minima it is a small part of the others'. Networks of layers and kinks
    alone (ReLU, max-pooling), of which no output bends along a single tensor, have no R to draw: its diagonal is zero.
    Of up to 16 examples each is in every sample.

    Parameters
    ----------
    H : LinearOperator
    method : {"auto", "split", "hutchinson", "hutch++", "xtrace", "deflated"}
        ``"auto"``: split where there is one, and a pilot shows that its error is smaller for the cost; else deflated
        where ``eigs`` is given; Hutchinson's below 12 matvecs; from there on Hutch++ where its sketch shows that a 95 %
        interval will be shorter, else Hutchinson's.
    num_probes : int
        The matvecs, whatever the method: exactly for Hutchinson's, at most for the others, sketch and bases included,
        products with a part of the data by their share; at least 4 for Hutch++ and XTrace. From P on the diagonal is
        exact, in P matvecs (not for ``"hutchinson"`` and ``"split"``).
    eigs : Eigenpairs or (P, K) array or tensor, optional
        From ``top_eigenpairs``, converged or not, at no cost; or vectors, at one matvec each. They must not depend on
        the sign probes of this seed, as those of ``top_eigenpairs`` do not.
    seed : int
        Probe r depends on seed and r alone: more probes continue the same sequence.
    tol, atol : float, optional
        Go on until the 95 % interval reaches no further than ``max(tol·|value|, atol)`` on either side; ``num_probes``
        is then what is spent before the first look (not by the split, which looks at its pilot).
    max_matvecs : int, optional
        Limit with ``tol`` or ``atol``, 1,000 if left out.
    strict : bool
        Raise ``NotConverged`` where it ends the work; otherwise return it, marked.
    progress : callable, optional
        Called as ``progress(matvecs done, limit)`` after each block of at most 16 matvecs.

    Returns
    -------
    Estimate
        ``value`` in loss per squared parameter, ``sem`` its standard error (None for one probe), ``samples`` unbiased
        values, one per probe or of drawn examples, ``products`` its cost; how often its 95 % interval covers:
        docs/accuracy.md. Memory in vectors of length P: 32 for Hutchinson's, and three per column of the sketch
        (``num_probes``, or 1 GiB if ``tol`` makes it larger).

    Raises
    ------
    NotConverged
        With the estimate as ``.partial``, if ``strict``.
    UsageError, LandscapeError
        For arguments outside the ranges above; if a matvec gives NaN or Inf.

    References
    ----------
    Hutchinson (1990), Commun. Stat. Simul. Comput. 19(2). Avron & Toledo (2011), J. ACM 58(2) for the variance.
    Meyer, Musco, Musco, Woodruff (2021), Hutch++, SOSA, algorithm 1. Epperly, Tropp, Webber (2024), XTrace, SIAM J.
    Matrix Anal. Appl. 45(1), section 2. Gambhir, Stathopoulos, Orginos (2017), SIAM J. Sci. Comput. 39(2), for
    deflation. Schraudolph (2002), Neural Computation 14(7), eq. 10, for G and R.

    Examples
    --------
    >>> from landscape.operators import MatrixOperator
    >>> print(trace(MatrixOperator(np.diag([3.0, 1.0, 0.5]))))
    4.5
    """
    num_probes, seed = check_count("num_probes", num_probes), check_seed(seed)
    accuracy = Tolerance(tol, atol)
    limit = _check(method, num_probes, eigs, accuracy, max_matvecs)
    matvecs = Matvecs(H, limit, progress)
    if isinstance(matvecs.operator, ExactOperator):
        return exact.trace(matvecs.operator)
    if method not in ("hutchinson", "split") and num_probes >= matvecs.operator.dim:
        return _exact(matvecs)

    def by_probes(most: int) -> Estimate:
        matvecs.maximum = matvecs.done + most
        first = min(num_probes, most) if accuracy.asked else most
        if method == "xtrace":
            return xtrace(matvecs, num_probes=first, seed=seed, tol=accuracy)
        return _by_probes(matvecs, method, first, eigs, seed, accuracy)

    if method == "split" or method == "auto":
        sums = sums_of(matvecs.operator) if method == "split" else sums_if_any(matvecs.operator)
        if sums is not None:
            others = by_probes if method == "auto" else None
            first = 0 if eigs is None or isinstance(eigs, Eigenpairs) else np.shape(eigs)[-1]
            found = by_examples(sums, accuracy, limit, seed=seed, progress=progress, others=others, first=first)
            return _checked(found, accuracy, limit, strict)
    return _checked(by_probes(limit), accuracy, limit, strict)


def _by_probes(matvecs: Matvecs, method: str, num_probes: int, eigs: Any, seed: int, accuracy: Tolerance) -> Estimate:
    tol = accuracy if accuracy.asked else None
    split, count = choose(matvecs, (1,), method=method, num_probes=num_probes, eigs=eigs, seed=seed, tol=tol)

    def as_estimate(samples: np.ndarray) -> Estimate:
        label = f"{split.name}, {len(samples)} probes"
        rounding = float(split.rounding[0]) + coarseness(matvecs) * abs(float(samples.mean()))
        return of_samples(samples, rounding=rounding, num_matvecs=matvecs.done, seed=seed, method=label)

    def more(estimate: Estimate) -> Estimate | None:
        if matvecs.left == 0:
            return None
        drawn = draw(split, estimate.samples.size, BLOCK_COLUMNS, seed=seed)[0]
        return as_estimate(np.append(estimate.samples, drawn))

    return until(accuracy, as_estimate(draw(split, 0, count, seed=seed)[0]), more)


def _checked(estimate: Estimate, accuracy: Tolerance, limit: int, strict: bool) -> Estimate:
    if estimate.converged or not strict:
        return estimate
    aim = f"{accuracy.relative:g}" if accuracy.relative is not None else f"{accuracy.absolute:g} (absolute)"
    raise NotConverged(
        f"trace {estimate} after {estimate.num_matvecs} matvecs: "
        f"{Ending.INTERVAL_TOO_WIDE.text(max_matvecs=limit, tol=aim)}. strict=False takes it with its error; the "
        "exception carries it as .partial",
        estimate,
    )


def _exact(matvecs: Matvecs) -> Estimate:
    matvecs.maximum = matvecs.operator.dim
    entries = exact_dots(matvecs, (1,))
    sem = coarseness(matvecs) * float(np.abs(entries).sum())
    return Estimate(float(entries.sum()), sem=sem, num_matvecs=matvecs.done, method="exact, the whole diagonal")


def _check(method: str, num_probes: int, eigs: Any, accuracy: Tolerance, max_matvecs: int | None) -> int:
    """The limit of matvecs."""
    check_choice("method", method, METHODS)
    check_method(method, eigs)
    if num_probes < _FEWEST.get(method, 1):
        raise UsageError(f"num_probes={num_probes} is too few for {method!r}; it needs at least {_FEWEST[method]}")
    check_not_negative("atol", accuracy.absolute)
    if not accuracy.asked:
        if max_matvecs is not None:
            raise UsageError("max_matvecs= limits tol=; without tol the number of matvecs is num_probes")
        return num_probes
    if accuracy.relative is not None:
        check_share("tol", accuracy.relative, hint="it is the reach of the 95 % interval relative to the trace")
    limit = DEFAULT_MAX_MATVECS if max_matvecs is None else check_count("max_matvecs", max_matvecs)
    if limit < num_probes and method != "split":
        raise UsageError(f"max_matvecs={limit} is less than num_probes={num_probes}, which are spent first")
    return int(limit)
