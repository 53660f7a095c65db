"""SciPy's ARPACK on our operator: another algorithm for the same products, so that it judges our eigensolver alone."""

from __future__ import annotations

from collections.abc import Iterator
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
#: Up to so many parameters the smallest is asked for too, which lies near the bulk and takes hundreds of products.
_BOTH_ENDS = 20_000


def rows(ours: Ours) -> Iterator[WitnessRow]:
    """The k largest eigenvalues, and the smallest where P is no larger than ``_BOTH_ENDS``."""
    if ours.dim < 3:
        raise NotRun("ARPACK finds fewer than P eigenvalues, and this has P = " + str(ours.dim))
    # Of the smallest a looser one, for it is relative to λ, and λ_min is small: the residual says how far it came.
    ends: list[tuple[Literal["LA", "SA"], np.ndarray, float]] = [("LA", ours.eigs.top, TOL)]
    if ours.dim <= _BOTH_ENDS:
        ends.append(("SA", ours.eigs.bottom[:1], 30 * TOL))
    for which, places, tol in ends:
        count = min(ours.settings.k, ours.dim - 1, len(places))
        values, residuals, said = largest(as_scipy(ours), count, which=which, tol=tol, seed=ours.settings.seed)
        for i, (value, residual) in enumerate(zip(values, residuals, strict=True)):
            place = places[i]
            yield judge(
                NAME, f"λ{i + 1}" if which == "LA" else "λ_min", float(ours.eigs.values[place]), float(value),
                ours_error=float(ours.eigs.residuals[place]), theirs_error=float(residual), rounding=ours.rounding,
                remark=said,
            )  # fmt: skip


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
