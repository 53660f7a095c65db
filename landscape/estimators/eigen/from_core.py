"""Eigenpairs of an operator on all data from those on a part of it, or of any operator near it that costs less.

Krylov steps with the core give vectors. All of them are multiplied on all data once, and what they lack is solved for
with the core (:mod:`landscape.estimators.eigen.core_model`), until each pair has its true residual. Last, a random
vector looks for what the core does not show (:mod:`landscape.estimators.eigen.rest`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from landscape.estimators.eigen.block_methods import from_guess, random_vectors
from landscape.estimators.eigen.convergence import Pairs, Request
from landscape.estimators.eigen.core_model import CoreModel
from landscape.estimators.eigen.davidson import Schedule, davidson
from landscape.estimators.eigen.rest import MOST_STEPS, DifferenceWatch, bound_beside_core, holds_largest
from landscape.estimators.eigen.thick_restart import default_basis, run_lanczos
from landscape.estimators.eigen.upper_bound import CONFIDENCE
from landscape.estimators.matvecs import BLOCK_COLUMNS, Matvecs
from landscape.operators.base import LinearOperator

#: Products with the core at most, and what they may cost of all that is allowed.
_MOST_PRODUCTS, _MOST_OF_ALL = 300, 0.5
#: With the core, residuals need not be smaller than this share of what it differs by, nor may they be larger than that.
_ENOUGH, _LOOSEST = 0.5, 0.1
#: Steps with the core for each correction of the lowest pairs, which have others close beside them.
_DEPTH = 3
#: By how much the largest are better than asked where the lowest are wanted too, whose size is a hundredth: a product
#: more for each, which steps from scratch make anyway before they come to the lowest.
_FINER = 10.0
#: Random vectors of the core come first, those on all data after so many.
_AFTER = 2**16


@dataclass(frozen=True)
class Core:
    """An operator near that on all data: a product costs ``share`` of one on all.

    ``error`` is what its eigenvectors will have for residuals there, about, relative to the eigenvalues.
    """

    operator: LinearOperator
    share: float
    error: float


def from_core(
    matvecs: Matvecs,
    request: Request,
    core: Core,
    *,
    max_basis: int,
    watch: bool = True,
    guess: torch.Tensor | None = None,
) -> tuple[Pairs, float]:
    """The wanted pairs, and what the products with the core cost, in products on all data.

    A guess (P, K) is what the core is begun from, with a random vector beside it; λ_max gets no upper bound then.
    """
    most = max(int(_MOST_OF_ALL * matvecs.left / core.share), 4 * request.count)
    part = Matvecs(core.operator, min(_MOST_PRODUCTS, most), slices=matvecs.slices)
    itemsize = torch.empty(0, dtype=core.operator.dtype).element_size()
    capacity = min(
        part.operator.dim, max(default_basis(part.operator.dim, request.count, 2 * itemsize), request.count + 2)
    )
    loose = replace(request, tol=min(max(_ENOUGH * core.error, request.loosest), _LOOSEST), negative_tol=None)
    depth = _DEPTH if request.wants_lowest else 0
    known = _model_of(part, loose, guess, capacity=capacity, depth=depth)
    draw = random_vectors(matvecs, request.seed)
    looking = DifferenceWatch(0.0, MOST_STEPS, model=known) if watch else None
    pairs, space = davidson(
        matvecs,
        replace(request, finer=_FINER) if request.wants_lowest else request,
        start=known.best(request),
        schedule=Schedule(max_basis=max_basis, block=min(request.count, BLOCK_COLUMNS), watch=looking),
        fresh=lambda i: draw(_AFTER + i),
        improve=known.improve,
        beyond=known.beyond,
    )
    if looking is not None and guess is None and holds_largest(request):
        bound = bound_beside_core(space, looking, part, seed=request.seed)
        pairs = replace(pairs, upper_bound=None if bound is None else (bound, CONFIDENCE))
    return pairs, part.done * core.share


def _model_of(part: Matvecs, request: Request, guess: torch.Tensor | None, *, capacity: int, depth: int) -> CoreModel:
    """All products of an iteration with the core, whose bases are let go."""
    if guess is None:
        krylov = run_lanczos(part, request, max_basis=capacity)[1]
        return CoreModel(part, *krylov.release(), size=krylov.size, capacity=capacity, depth=depth)
    near = from_guess(part, request, guess, max_basis=capacity)[1]
    return CoreModel(part, *near.release(), size=near.size, capacity=capacity, depth=depth)
