"""Eigenpairs of a slowly changing operator: each checkpoint starts from what the ones before have shown."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from landscape.checks import check_choice, check_count, check_seed
from landscape.device import full_precision
from landscape.errors import NotConverged, UsageError
from landscape.estimators.eigen.block_methods import MOST_STEPS, UNSEEN, as_guess, random_vectors
from landscape.estimators.eigen.convergence import ENDS, Pairs, Request
from landscape.estimators.eigen.davidson import Schedule, davidson
from landscape.estimators.eigen.random_check import Watch
from landscape.estimators.eigen.thick_restart import run_lanczos
from landscape.estimators.eigen.top import as_record, check_basis, check_request, what_failed
from landscape.estimators.krylov.projection import eigh
from landscape.estimators.matvecs import BLOCK_COLUMNS, Matvecs
from landscape.estimators.vectors import Slices
from landscape.operators import as_operator
from landscape.operators.base import LinearOperator
from landscape.progress import Progress
from landscape.results import Eigenpairs

#: An eigenvector at 3/4 of the largest value beyond the wanted ones has a tenth of its weight in the sentinel.
_STEEPNESS = 8
#: Once in this many calls a random vector looks for what no earlier call has seen.
_WATCH_EVERY = 5
#: Following pays if it takes less than this share of the matvecs that a fresh start took.
_PAYS = 0.9
#: In units of the model's largest value: no denominator of the correction is smaller.
_LEAST_DISTANCE = 1e-2


class EigenTracker:
    r"""Eigenpairs of one operator after another, each a little different from the last: consecutive checkpoints.

    The first call is :func:`top_eigenpairs` from a random start. Later ones begin with the vectors found before, and
    improve them by the correction that a low-rank model of the operator suggests,

    .. math:: t = -(M - θI)^{-1}\,(Hu - θu), \qquad M = V\,\mathrm{diag}(μ)\,Vᵀ,

    where M is made to agree with every product formed so far, the latest first: on the directions multiplied at the
    last checkpoint it acts as H did, elsewhere as the model before (a symmetric block secant update, cut to ``rank``).
    M costs no matvec, and a poor one costs only speed: values and residuals come from products with the operator
    itself. Where following does not pay, because too much changes from one operator to the next, the next calls are
    fresh starts.

    At each call one vector per end of the spectrum is multiplied beside the guess, to show an eigenvalue that
    overtakes; at every fifth call a random vector makes Krylov steps too, 12 at most, so that a direction of which
    nothing was known shows itself with 95 % probability. In between such a direction would be missed (how often:
    docs/accuracy.md), and no call but the first has an ``upper_bound``; where that matters use :func:`search_missed`.

    Parameters
    ----------
    k, which, tol, max_matvecs, seed, strict
        As in :func:`top_eigenpairs`, for each call.
    rank : int
        Columns of V kept between calls: memory of ``rank + k`` vectors of length P.

    Raises
    ------
    UsageError
        For arguments outside their ranges.

    References
    ----------
    Sleijpen & van der Vorst (1996), SIAM J. Matrix Anal. Appl. 17(2), for the correction with a preconditioner M − θI.
    Schnabel (1983), for several secant conditions at once.

    Examples
    --------
    >>> from landscape.operators import MatrixOperator
    >>> tracker = EigenTracker(k=1)
    >>> for top in (3.0, 3.1, 3.2):
    ...     print(tracker.update(MatrixOperator(np.diag([top, 1.0, -4.0]))).values.round(4))
    [3.]
    [3.1]
    [3.2]
    """

    def __init__(
        self,
        k: int = 2,
        *,
        which: str = "largest",
        tol: float = 1e-3,
        max_matvecs: int = 500,
        seed: int = 0,
        strict: bool = True,
        rank: int = 16,
    ) -> None:
        check_count("k", k)
        check_count("rank", rank)
        check_count("max_matvecs", max_matvecs)
        check_choice("which", which, ENDS)
        check_seed(seed)
        self._arguments: dict[str, Any] = {"which": which, "tol": tol, "max_matvecs": max_matvecs, "seed": seed}
        self._k, self._strict, self._rank = k, strict, int(rank)
        self._calls = 0
        self._last: Eigenpairs | None = None
        self._model: _Model | None = None
        self._fresh_cost, self._fresh_left, self._fresh_next = 0, 0, 1

    @property
    def eigenpairs(self) -> Eigenpairs | None:
        """The last result; None before the first call."""
        return self._last

    @full_precision()
    def update(self, H: LinearOperator, *, progress: Progress | None = None) -> Eigenpairs:
        """Eigenpairs of ``H``, which has the size, dtype and device of the operators before it.

        Raises
        ------
        NotConverged
            With the pairs reached as ``.partial``, if ``strict``; they are where the next call begins.
        LandscapeError
            If a matvec gives NaN or Inf. The tracker stays as it was.
        UsageError
            If ``H`` has another size than the operator before it.
        """
        H = as_operator(H)
        if self._last is not None and self._last.dim != H.dim:
            raise UsageError(f"the operator has P={H.dim}, the one before it P={self._last.dim}; start a new tracker")
        request = check_request(H, self._k, method="lanczos", **self._arguments)
        matvecs = Matvecs(H, int(self._arguments["max_matvecs"]), progress)
        if self._model is not None and self._model.slices.place != matvecs.slices.place:
            self._model = None  # other ranks than before
        if self._last is None or self._model is None or self._fresh_left:
            method = "lanczos"
            pairs, krylov = run_lanczos(matvecs, request, max_basis=check_basis(H, request, None))
            Q, W = krylov.basis, krylov.images()
            self._fresh_cost, self._fresh_left = matvecs.done, max(self._fresh_left - 1, 0)
        else:
            method = "tracked"
            pairs, Q, W = self._follow(matvecs, request, self._last, self._model)
            # A call that also watches for the unseen costs more, and is no measure of the others.
            pays = self._calls % _WATCH_EVERY == 0 or matvecs.done < _PAYS * self._fresh_cost
            self._fresh_left, self._fresh_next = (0, 1) if pays else (self._fresh_next, 2 * self._fresh_next)
        eigs = as_record(matvecs, pairs, request, method=method, num_matvecs=matvecs.done)
        self._model = _Model.empty(matvecs) if self._model is None else self._model
        self._model = self._model.updated(Q, W, self._rank)
        self._last, self._calls = eigs, self._calls + 1
        if self._strict and not (eigs.converged.all() and len(eigs) == request.count):
            raise NotConverged(what_failed(eigs, request, pairs), eigs)
        return eigs

    def _follow(
        self, matvecs: Matvecs, request: Request, last: Eigenpairs, model: _Model
    ) -> tuple[Pairs, torch.Tensor, torch.Tensor]:
        draw = random_vectors(matvecs, request.seed)
        # Each call draws vectors of its own: chances of seeing something new add up.
        offset = self._calls * (matvecs.maximum + 4)
        guess = as_guess(matvecs.operator, last, matvecs.slices)
        sentinels = model.sentinels(guess, request, lambda i: draw(offset + i))
        start = sentinels if guess is None else torch.cat([guess, sentinels], dim=1)
        schedule = Schedule(
            max_basis=check_basis(matvecs.operator, request, None, vectors=2),
            block=min(request.count + len(ENDS[request.which]), BLOCK_COLUMNS),
            watch=Watch(UNSEEN, MOST_STEPS) if self._calls % _WATCH_EVERY == 0 else None,
            guard=True,
        )
        pairs, space = davidson(
            matvecs,
            request,
            start=start,
            schedule=schedule,
            fresh=lambda i: draw(offset + 2 + i),
            improve=lambda space, theta, R: model.correction(space.basis, theta, R),
        )
        return pairs, space.basis, space.products


@dataclass(frozen=True)
class _Model:
    """``M = V diag(μ) Vᵀ``: V (P, r) with orthonormal columns, in ``slices``, and μ (r,)."""

    vectors: torch.Tensor
    values: np.ndarray
    slices: Slices

    @staticmethod
    def empty(matvecs: Matvecs) -> _Model:
        H, slices = matvecs.operator, matvecs.slices
        return _Model(torch.zeros(slices.size, 0, dtype=H.dtype, device=H.device), np.zeros(0), slices)

    def updated(self, Q: torch.Tensor, W: torch.Tensor, rank: int) -> _Model:
        """The model with ``M Q = W`` for orthonormal Q (P, m), and as it was outside of Q; cut to ``rank``."""
        slices = self.slices
        scale = slices.largest(W) or 1.0
        T = slices.sum(Q.T @ W)
        T = (T + T.T) / 2
        # M = Q T Qᵀ + R Qᵀ + Q Rᵀ + (I − QQᵀ) M_old (I − QQᵀ), in an orthonormal basis B of all that takes part.
        R, old = W - Q @ T, self.vectors - Q @ slices.sum(Q.T @ self.vectors)
        B = slices.qr(torch.cat([Q, R / scale, old], dim=1))[0]
        q, r, v = (_small(slices.sum(B.T @ part)) for part in (Q, R, old))
        M = q @ _small(T) @ q.T + r @ q.T + q @ r.T + (v * self.values) @ v.T
        values, vectors = eigh(M)
        kept = np.argsort(-np.abs(values), kind="stable")[:rank]
        return _Model(B @ _like(vectors[:, kept], B), values[kept], slices)

    def outside(self, Q: torch.Tensor) -> _Model:
        """``(I − QQᵀ) M (I − QQᵀ)``."""
        B, coordinates = self.slices.qr(self.slices.outside(self.vectors, Q))
        c = _small(coordinates)
        values, vectors = eigh((c * self.values) @ c.T)
        return _Model(B @ _like(vectors, B), values, self.slices)

    def correction(self, Q: torch.Tensor, theta: np.ndarray, R: torch.Tensor) -> torch.Tensor:
        """``−(M − θᵢ)⁻¹ rᵢ`` outside of Q for the residuals rᵢ ⟂ Q (P, b), each at the length of rᵢ or near it."""
        model = self.outside(Q)
        scale = max(float(np.abs(model.values).max(initial=0.0)), float(np.abs(theta).max()))
        if scale == 0:
            return R
        along = _small(self.slices.sum(model.vectors.T @ R))
        # Relative to what the bulk at 0 gets: 1/(μ − θ) against 1/(0 − θ).
        inside = _away_from_zero(model.values[:, None] - theta, _LEAST_DISTANCE * scale)
        bulk = _away_from_zero(-theta, _LEAST_DISTANCE * scale)
        return R + model.vectors @ _like(along * (bulk / inside - 1.0), R)

    def sentinels(
        self, guess: torch.Tensor | None, request: Request, random: Callable[[int], torch.Tensor]
    ) -> torch.Tensor:
        """One vector per wanted end (P, e): the model's extremes outside the guess; random where it has none."""
        model = self if guess is None else self.outside(self.slices.qr(guess)[0])
        columns = []
        for i, key in enumerate(ENDS[request.which]):
            keys = key(model.values)
            if not keys.max(initial=0.0) > 0:
                columns.append(random(i))
                continue
            # Those next in line take part too: two may overtake at once, and the model's values for them are old.
            weights = (np.maximum(keys, 0.0) / keys.max()) ** _STEEPNESS
            columns.append(model.vectors @ _like(weights, model.vectors))
        return torch.stack(columns, dim=1)


def _away_from_zero(distances: np.ndarray, least: float) -> np.ndarray:
    return np.where(np.abs(distances) < least, np.where(distances < 0, -least, least), distances)


def _small(tensor: torch.Tensor) -> np.ndarray:
    return tensor.cpu().to(torch.float64).numpy()


def _like(array: np.ndarray, tensor: torch.Tensor) -> torch.Tensor:
    return torch.as_tensor(np.ascontiguousarray(array), dtype=tensor.dtype, device=tensor.device)
