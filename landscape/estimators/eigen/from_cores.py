"""Eigenpairs of an operator on all data from those on parts of it, each a few times larger than the one before.

Krylov steps with the smallest part give vectors; on the next they are multiplied, and what they lack is solved for with
the part before (:mod:`landscape.estimators.eigen.core_model`); so on up to all data, where each pair takes one product,
and one more where the largest part was not near enough. Values and residuals come from products on all data.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from landscape.estimators.eigen.block_methods import random_vectors
from landscape.estimators.eigen.convergence import Pairs, Request
from landscape.estimators.eigen.core_model import CoreModel
from landscape.estimators.eigen.davidson import Schedule, davidson
from landscape.estimators.eigen.rest import MOST_STEPS, DifferenceWatch, bound_beside_core, holds_largest
from landscape.estimators.eigen.thick_restart import default_basis, run_lanczos
from landscape.estimators.eigen.upper_bound import CONFIDENCE
from landscape.estimators.krylov.search_space import SearchSpace
from landscape.estimators.matvecs import BLOCK_COLUMNS, Matvecs
from landscape.operators.base import LinearOperator

#: Products with one part at most.
_MOST_PRODUCTS = 300
#: On a part, residuals need not be smaller than this share of what it differs by; and never need more than the other.
_ENOUGH, _LOOSEST = 0.5, 0.1
#: Random vectors of levels and watch: no two share any.
_STRIDE = 2**16
import os
BLOCK = int(os.environ.get("BLK", "5"))


@dataclass(frozen=True)
class Core:
    """An operator near that on all data: a product costs ``share`` of one on all, residuals differ by about ``error``.

    ``error`` is relative to the eigenvalue.
    """

    operator: LinearOperator
    share: float
    error: float


def from_cores(matvecs: Matvecs, request: Request, cores: Sequence[Core], *, max_basis: int) -> tuple[Pairs, float]:
    """The wanted pairs from ``cores``, the smallest first, and what the products with those cost, as shares of one."""
    cost, known = 0.0, None
    for level, core in enumerate(cores):
        part = Matvecs(core.operator, _MOST_PRODUCTS)
        tol = min(max(_ENOUGH * core.error, request.tol), _LOOSEST)
        asked = replace(request, tol=tol, seed=request.seed)
        if known is None:
            _, krylov = run_lanczos(part, asked, max_basis=_basis(core.operator, request))
            basis, images = krylov.basis, krylov.images()
        else:
            space, spent = _climb(part, asked, known, level=level, max_basis=max_basis)[1:]
            basis, images, cost = space.basis, space.products, cost + spent * cores[level - 1].share
        cost += part.done * core.share
        part.done = 0
        known = CoreModel(part, basis, images, capacity=_basis(core.operator, request))
    assert known is not None
    watch = DifferenceWatch(0.0, MOST_STEPS, model=known)
    pairs, space, spent = _climb(matvecs, request, known, level=len(cores), max_basis=max_basis, watch=watch)
    if holds_largest(request):
        bound = bound_beside_core(space, watch, known.matvecs, seed=request.seed)
        spent = known.matvecs.done
        pairs = replace(pairs, upper_bound=None if bound is None else (bound, CONFIDENCE))
    return pairs, cost + spent * cores[-1].share


def _climb(
    matvecs: Matvecs,
    request: Request,
    known: CoreModel,
    *,
    level: int,
    max_basis: int,
    watch: DifferenceWatch | None = None,
) -> tuple[Pairs, SearchSpace, int]:
    """The pairs of the next operator, the space they were found in, and the products with the one before."""
    draw = random_vectors(matvecs.operator, request.seed)
    pairs, space = davidson(
        matvecs,
        request,
        start=known.best(request),
        schedule=Schedule(max_basis=max_basis, block=BLOCK, watch=watch),
        fresh=lambda i: draw(level * _STRIDE + i),
        improve=known.improve,
        beyond=known.beyond,
    )
    return pairs, space, known.matvecs.done


def _basis(H: LinearOperator, request: Request) -> int:
    itemsize = torch.empty(0, dtype=H.dtype).element_size()
    return min(H.dim, max(default_basis(H.dim, request.count, 2 * itemsize), request.count + 2))

