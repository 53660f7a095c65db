"""SciPy's ARPACK on our operator: another algorithm for the same products, so that it judges our eigensolver alone."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Literal

import numpy as np
import torch
from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh

from landscape.results.crosscheck import WitnessRow
from landscape.witness.ours import TOL, Ours
from landscape.witness.verdicts import NotRun, judge

NAME = "ARPACK"
DISTRIBUTION = "scipy"
#: Restarts, each of about 20 products: at most some 600.
_RESTARTS = 30
_TIGHT = 1e-7
#: Up to so many parameters the smallest is asked for too, which lies near the bulk and takes hundreds of products.
_BOTH_ENDS = 20_000


def rows(ours: Ours) -> Iterator[WitnessRow]:
    """The k largest eigenvalues, and the smallest where P is no larger than ``_BOTH_ENDS``."""
    if ours.dim < 3:
        raise NotRun("ARPACK finds fewer than P eigenvalues, and this has P = " + str(ours.dim))
    ends: list[tuple[Literal["LA", "SA"], np.ndarray]] = [("LA", ours.eigs.top)]
    if ours.dim <= _BOTH_ENDS:
        ends.append(("SA", ours.eigs.bottom[:1]))
    for which, places in ends:
        count = min(ours.settings.k, ours.dim - 1, len(places))
        values, residuals, said = largest(as_scipy(ours), count, which=which, seed=ours.settings.seed)
        for i, (value, residual) in enumerate(zip(values, residuals, strict=True)):
            mine, error = float(ours.eigs.values[places[i]]), float(ours.eigs.residuals[places[i]])
            yield judge(
                NAME, f"λ{i + 1}" if which == "LA" else "λ_min", mine, float(value), ours_error=error,
                theirs_error=float(residual), rounding=ours.rounding, remark=said,
                causes=[partial(_loose, ours, count, which, i, float(value), mine, error)],
            )  # fmt: skip


def _loose(
    ours: Ours, count: int, which: Literal["LA", "SA"], place: int, value: float, mine: float, error: float
) -> str | None:
    """Whether it ended at its tolerance before the wanted end had come up, and finds it with a tighter one."""
    beyond = value - mine if which == "LA" else mine - value
    if beyond > error + ours.rounding:
        return None
    values, residuals, _ = largest(as_scipy(ours), count, which=which, seed=ours.settings.seed, tol=_TIGHT)
    if abs(values[place] - mine) > residuals[place] + error + ours.rounding:
        return None
    return f"ARPACK ended at its tolerance of {TOL:g}; with {_TIGHT:g} it arrives at {values[place]:.4g}"


def as_scipy(ours: Ours) -> LinearOperator:
    """Our operator for ARPACK, which works in float64 around products of any precision."""

    def matvec(v: np.ndarray) -> np.ndarray:
        product: np.ndarray = (ours.hessian.base @ torch.from_numpy(np.array(v).reshape(-1))).double().cpu().numpy()
        return product

    return LinearOperator((ours.dim, ours.dim), matvec=matvec, dtype=np.float64)


def largest(
    operator: LinearOperator, count: int, *, which: Literal["LA", "SA"], seed: int, tol: float = TOL
) -> tuple[np.ndarray, np.ndarray, str]:
    """Eigenvalues from one end, outermost first, their residuals by the same operator, and whether ARPACK gave up."""
    start, said = np.random.default_rng(seed).normal(size=operator.shape[0]), ""
    try:
        values, vectors = eigsh(operator, k=count, which=which, tol=tol, v0=start, maxiter=_RESTARTS)
    except ArpackNoConvergence as error:
        values, vectors, said = error.eigenvalues, error.eigenvectors, f"ARPACK gave up after {_RESTARTS} restarts"
        if not len(values):
            raise NotRun(said) from None
    order = np.argsort(-values if which == "LA" else values)
    values, vectors = values[order], vectors[:, order]
    products = np.stack([operator.matvec(u) for u in vectors.T], axis=1)
    return values, np.linalg.norm(products - vectors * values, axis=0), said
