"""Eigenpairs at the ends of a spectrum by thick-restart Lanczos, accepted on true residuals only."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from landscape.estimators.eigen.convergence import ENDS, FLOOR, Pairs, Request, judged, measure
from landscape.estimators.eigen.upper_bound import CONFIDENCE, recurrence_rounding, upper_bound
from landscape.estimators.krylov.lanczos import Krylov
from landscape.estimators.krylov.projection import eigh
from landscape.estimators.matvecs import Matvecs
from landscape.estimators.probes import probe
from landscape.results.endings import Ending

#: Memory for the basis, unless the wanted pairs need more.
BASIS_BYTES = 2**30
#: Share of the smallest threshold by which the parts that restarts dropped may change residuals.
_SHARP = 0.1
#: Up to this P the basis may span the whole space.
_SMALL = 512


def default_basis(dim: int, count: int, itemsize: int) -> int:
    """Basis vectors to keep: ``4·count + 60`` or what fits into 1 GiB, at least ``2·count + 8``; P where P ≤ 512."""
    if dim <= _SMALL:
        return dim
    # On spectra like those of networks, and on hard ones, larger bases save no matvecs and cost P·m² operations.
    fits = BASIS_BYTES // (dim * itemsize)
    return min(dim, max(2 * count + 8, min(4 * count + 60, fits)))


def thick_restart_lanczos(matvecs: Matvecs, request: Request, *, max_basis: int) -> Pairs:
    """The wanted pairs, from a Gaussian vector; see :func:`run_lanczos`."""
    return run_lanczos(matvecs, request, max_basis=max_basis)[0]


def run_lanczos(matvecs: Matvecs, request: Request, *, max_basis: int) -> tuple[Pairs, Krylov]:
    """Iterate until the wanted Ritz pairs have true residuals below the thresholds, or the matvecs are spent.

    It begins from a Gaussian vector, and bounds λ_max from above by the law of that vector.

    The recurrence estimates residuals, as well as rounding and a repeatable matvec allow. Once it reports success, the
    products that made the basis give the residuals themselves; where they disagree, the iteration goes on. After
    restarts that dropped more than rounding, ``count`` matvecs measure them anew.
    """
    H, slices = matvecs.operator, matvecs.slices

    def fresh(i: int) -> torch.Tensor:
        return slices.own(probe(i, H.dim, seed=request.seed, kind="gaussian", dtype=H.dtype, device=H.device))

    krylov = Krylov(matvecs, fresh(0), capacity=max_basis, fresh=lambda i: fresh(i + 1))
    pairs = _iterate(matvecs, request, krylov)
    alphas, betas, asymmetry = krylov.recurrence
    rounding = recurrence_rounding(len(alphas), H.resolution, matvecs.scale, asymmetry)
    bound = upper_bound(alphas, betas, dim=H.dim) + rounding
    return replace(pairs, upper_bound=(bound, CONFIDENCE)), krylov


def _iterate(matvecs: Matvecs, request: Request, krylov: Krylov) -> Pairs:
    count, resolution = request.count, matvecs.operator.resolution
    # A measurement that failed is repeated only after as many steps as it cost, at a stricter estimate.
    strictness, next_try = 1.0, 0
    candidate = None
    while True:
        if krylov.is_full:
            _restart(krylov, request)
        krylov.step()
        reserve = count if krylov.lost > _SHARP * FLOOR * resolution * matvecs.scale else 0
        last_chance = krylov.spans_all or matvecs.left <= reserve
        if krylov.size < count or not (last_chance or _is_time(krylov)):
            continue
        values, coefficients = krylov.ritz()
        wanted = request.preferred(values)[:count]
        # A ritz value may exceed every ‖Hq‖ seen so far.
        scale = max(matvecs.scale, float(np.abs(values).max()))
        # Unlike true residuals, the estimates are not held up by the rounding of the matvecs: so none of the floor that
        # those are granted. Else small eigenvalues beside a huge one would be taken before they are found.
        limits = np.maximum(request.allowed(values[wanted]), resolution * scale)
        estimates = krylov.ritz_residuals(coefficients[:, wanted])
        searched = _outside_was_searched(krylov, request, values[wanted], float(limits.max()))
        looks_done = searched and bool(np.all(estimates <= strictness * limits))
        if not looks_done:
            candidate = None
        elif candidate is None or bool(np.any(np.abs(values[wanted] - candidate) > limits)):
            candidate, next_try = values[wanted], max(next_try, matvecs.done + _patience(krylov.size))
        if not last_chance and (not looks_done or matvecs.done < next_try):
            continue
        if reserve:
            pairs = measure(matvecs, request, krylov.lift(coefficients[:, wanted]), scale)
        else:
            pairs = _from_products(matvecs, krylov, request, coefficients[:, wanted], scale)
        if pairs.converged.all() and searched:
            return replace(pairs, reason=Ending.CONVERGED.text())
        if krylov.spans_all:
            return replace(pairs, reason=Ending.NOISE.text())
        if matvecs.left <= reserve:
            if not searched:
                pairs = replace(pairs, converged=np.zeros(count, dtype=bool))
            ending = Ending.OUT_OF_MATVECS if searched else Ending.UNSEARCHED
            return replace(pairs, reason=ending.text(max_matvecs=matvecs.maximum))
        strictness, next_try, candidate = 0.1 * strictness, matvecs.done + count, None


def _from_products(matvecs: Matvecs, krylov: Krylov, request: Request, coefficients: np.ndarray, scale: float) -> Pairs:
    """The pairs of the coefficients s (m, K) with the residuals that the products made so far give."""
    values = krylov.quotients(coefficients)
    residuals = krylov.true_residuals(values, coefficients)
    vectors = krylov.slices.qr(krylov.lift(coefficients))[0]
    return judged(matvecs, request, values, vectors, residuals, scale)


def _patience(size: int) -> int:
    """Steps for which the wanted values must stay as they are before they are believed.

    Two eigenvalues closer than the tolerance look like one until the space has resolved them, and then a new value
    enters among the wanted ones: in spectra like those of networks 2 to 4 steps after the others have converged.
    """
    return min(max(4, size // 4), 12)


def _is_time(krylov: Krylov) -> bool:
    """Whether to look at the Ritz values: the small eigenproblem costs m³, so not at every step of a large basis."""
    return krylov.is_full or krylov.beta == 0 or krylov.size % max(1, krylov.size // 20) == 0


def _restart(krylov: Krylov, request: Request) -> None:
    """Keep the wanted Ritz vectors and half of the others, those nearest to the wanted ends."""
    values, coefficients = krylov.ritz()
    size = krylov.size
    kept = request.preferred(values)[: min(request.count + (size - request.count) // 2, size - 1)]
    krylov.restart(values[kept], coefficients[:, kept])


def _outside_was_searched(krylov: Krylov, request: Request, wanted: np.ndarray, limit: float) -> bool:
    """After a breakdown: whether the space outside the invariant subspace was searched too.

    A Krylov space from one start holds each eigenvalue once. When it is exhausted, its Ritz pairs are exact and still
    need not be the wanted ones: further copies lie outside, where the next block begins from a random vector. That
    block must have found its own extreme, and where it is exhausted in turn, it must not have improved on the others.
    """
    exhausted = krylov.beta == 0
    if krylov.block_start == 0:
        return krylov.spans_all or not exhausted
    block = krylov.projected[krylov.block_start :, krylov.block_start :]
    values, vectors = eigh(block)
    per_end = -(-len(wanted) // len(ENDS[request.which]))
    for key in ENDS[request.which]:
        best = int(np.argmax(key(values)))
        worst_wanted = np.sort(key(wanted))[-per_end]
        if exhausted and key(values)[best] > worst_wanted + limit:
            return krylov.spans_all
        if krylov.beta * abs(vectors[-1, best]) > limit:
            return False
    return True
