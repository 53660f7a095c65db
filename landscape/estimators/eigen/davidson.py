"""Eigenpairs from a block of directions: warm starts, block Krylov spaces and LOBPCG are one iteration.

Rayleigh–Ritz on the space, residuals of the wanted pairs, the space widened by them (Davidson 1975, J. Comput. Phys.
17; Crouzeix, Philippe & Sadkane 1994, SIAM J. Sci. Comput. 15). From a random block of b vectors, each round widened by
b residuals, this is the block Krylov space. From the eigenvectors of a matrix nearby it needs only the directions by
which they have moved. Shrunk in each round to the current pairs and the step that led to them, it is LOBPCG (Knyazev
2001, SIAM J. Sci. Comput. 23(2)), with orthonormal coordinates (Duersch, Shao, Yang & Gu 2018, SIAM J. Sci. Comput.
40(5)).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch

from landscape.estimators.eigen.convergence import FLOOR, Pairs, Request, judged, measure
from landscape.estimators.eigen.random_check import Watch
from landscape.estimators.krylov.projection import outside
from landscape.estimators.krylov.search_space import SearchSpace
from landscape.estimators.matvecs import Matvecs
from landscape.results.endings import Ending

#: (space, θ (b,), residuals (P, b)) -> better directions (P, b).
Improve = Callable[[SearchSpace, np.ndarray, torch.Tensor], torch.Tensor]
#: (space, request, wanted values (K,)) -> directions (P, b) outside the space that may hold values beyond them.
Beyond = Callable[[SearchSpace, Request, np.ndarray], torch.Tensor]
#: In units of resolution·‖H‖ per restart: the drift of recombined products from true ones.
_DRIFT = 4.0


@dataclass(frozen=True)
class Schedule:
    """How the space grows and shrinks.

    Attributes
    ----------
    max_basis : int
        Most basis vectors.
    block : int
        Most residuals taken up in one round.
    watch : Watch or None
        Of a random vector beside the pairs, which must be over before they are believed.
    patience : int
        Matvecs for which the wanted values must stay as they are before they are believed.
    guard : bool
        The first pairs beyond the wanted ones are improved too, while within their residuals they might be wanted.
    local : bool
        Shrink in each round to the current pairs and their last step.
    """

    max_basis: int
    block: int
    watch: Watch | None = None
    patience: int = 0
    guard: bool = False
    local: bool = False


def davidson(
    matvecs: Matvecs,
    request: Request,
    *,
    start: torch.Tensor,
    schedule: Schedule,
    fresh: Callable[[int], torch.Tensor],
    improve: Improve | None = None,
    beyond: Beyond | None = None,
) -> tuple[Pairs, SearchSpace]:
    """Widen the span of ``start`` (P, b) until the wanted pairs have true residuals below the thresholds.

    What ``beyond`` gives once they have is multiplied too, before they are believed.

    Returns
    -------
    Pairs, SearchSpace
        The space holds everything multiplied since the last restart.
    """
    return _Davidson(matvecs, request, schedule, fresh, improve, beyond).run(start)


class _Davidson:
    def __init__(
        self,
        matvecs: Matvecs,
        request: Request,
        schedule: Schedule,
        fresh: Callable[[int], torch.Tensor],
        improve: Improve | None,
        beyond: Beyond | None,
    ) -> None:
        self.matvecs, self.request, self.schedule, self.improve = matvecs, request, schedule, improve
        self.beyond = beyond
        # Spare directions and those of the watch come from one family and never meet.
        self.space = SearchSpace(matvecs, capacity=schedule.max_basis, fresh=lambda i: fresh(2 * i + 1))
        self.fresh, self.draws = fresh, 0
        self.resolution = matvecs.operator.resolution
        self.believed: np.ndarray | None = None
        self.since = 0
        #: Whether a pair beyond the wanted ones might yet be wanted.
        self.contested = False
        #: Lengths of the residuals in the last rounds, newest last.
        self.history: list[np.ndarray] = []
        self.previous = 0

    def run(self, start: torch.Tensor) -> tuple[Pairs, SearchSpace]:
        self.space.add(start[:, : min(start.shape[1], self._affordable(), self.space.room)])
        self.previous = self.space.size
        count = self.request.count
        while True:
            values, coefficients = self.space.ritz()
            order = self.request.preferred(values)
            wanted = order[:count]
            scale = max(self.matvecs.scale, float(np.abs(values).max()))
            spent = self.space.spans_all or self._affordable() == 0
            if len(wanted) == count or spent:
                lengths = self.space.residual_norms(values[wanted], coefficients[:, wanted])
                # As for a recurrence: no floor, or small eigenvalues beside a huge one pass before they are found.
                rounding = self.resolution * scale
                limits = np.maximum(self.request.aims(values[wanted]), rounding)
                limits = np.where(self._has_stalled(lengths), np.maximum(limits, FLOOR * rounding), limits)
                rivals = self._rivals(values, coefficients, order, limits)
                self.contested = len(rivals) > 0
                if bool((lengths <= limits).all()) and self._takes_up_what_lies_beyond(values[wanted]):
                    continue
                done = self._believes(values[wanted], lengths, limits) and not len(rivals)
                if done or spent:
                    pairs = self._collect(values[wanted], coefficients[:, wanted], lengths, scale)
                    finished = self._finished(pairs, done)
                    if finished is not None:
                        return finished, self.space
                    self.since, self.believed = self.matvecs.done, None
                order = self._most_useful(order, lengths / np.maximum(limits, np.finfo(float).tiny), rivals)
            self._widen(values, coefficients, order)

    def _takes_up_what_lies_beyond(self, values: np.ndarray) -> bool:
        """Whether the space was widened by directions that may hold values beyond the wanted ones (K,)."""
        watch = self.schedule.watch
        if self.beyond is None or len(values) < self.request.count or (watch is not None and watch.last is not None):
            return False
        found = self.beyond(self.space, self.request, values)
        number = min(found.shape[1], self._affordable(), self.space.room)
        if number:
            self.space.add(found[:, :number])
        return number > 0

    def _affordable(self) -> int:
        """Matvecs left for directions; those for a final measurement, where restarts made one due, kept back."""
        return self.matvecs.left - (self.request.count if self._is_due() else 0)

    def _is_due(self) -> bool:
        return _DRIFT * self.space.restarts > 0.1 * FLOOR

    def _has_stalled(self, lengths: np.ndarray) -> np.ndarray:
        """Which residuals have not halved in three rounds: at the floor of the dtype, they are rounding."""
        self.history = [*self.history[-3:], lengths]
        if len(self.history) < 4 or len(self.history[0]) != len(lengths):
            return np.zeros(len(lengths), dtype=bool)
        return lengths > 0.5 * self.history[0]

    def _believes(self, values: np.ndarray, lengths: np.ndarray, limits: np.ndarray) -> bool:
        """Whether the pairs have converged, have stayed for as long as they must, and the watch is over."""
        if len(values) < self.request.count or bool((lengths > limits).any()):
            self.believed = None
            return False
        if self.believed is None or bool((np.abs(values - self.believed) > limits).any()):
            self.believed, self.since = values, self.matvecs.done
        if self.matvecs.done - self.since < self.schedule.patience:
            return False
        return self.schedule.watch is None or self.schedule.watch.is_over(self.space, self.request, values)

    def _rivals(
        self, values: np.ndarray, coefficients: np.ndarray, order: np.ndarray, limits: np.ndarray
    ) -> np.ndarray:
        """Positions of the first pairs beyond the wanted ones that might be wanted, as far as their residuals show."""
        count, found = self.request.count, []
        # A watch that has begun shows more.
        if self.schedule.guard and (self.schedule.watch is None or self.schedule.watch.last is None):
            for key, edge in self.request.edges(values[order[:count]]):
                beyond = order[count:][np.argsort(-key(values[order[count:]]), kind="stable")[:1]]
                length = self.space.residual_norms(values[beyond], coefficients[:, beyond])
                limit = limits.max()
                found += [int(i) for i in beyond[(key(values[beyond]) + length > edge - limit) & (length > limit)]]
        return np.array(found, dtype=int)

    def _most_useful(self, order: np.ndarray, excess: np.ndarray, rivals: np.ndarray) -> np.ndarray:
        """Positions of the Ritz pairs to improve: those not done, furthest from it first; while all wait, every one."""
        worst_first = np.argsort(-excess, kind="stable")
        bad = worst_first[excess[worst_first] > 1]
        chosen = np.concatenate([order[: len(excess)][bad], rivals]) if len(bad) or len(rivals) else order
        return chosen.astype(int)

    def _widen(self, values: np.ndarray, coefficients: np.ndarray, order: np.ndarray) -> None:
        watch = self.schedule.watch
        if watch is not None and self.believed is not None and not self.contested and self._may_watch(watch):
            self.space.add(watch.next_direction(self.space, self._draw)[:, None])
            watch.note(self.space)
            return
        if watch is not None:
            watch.stop()
        number = min(self.schedule.block, len(order))
        if self.space.room < number and self.space.capacity < self.space.dim:
            values, coefficients, order = self._shrink(values, coefficients, number)
        number = min(number, len(order), self._affordable(), self.space.room)
        R = self.space.residuals(values[order[:number]], coefficients[:, order[:number]])
        self.space.add(R if self.improve is None else self.improve(self.space, values[order[:number]], R))

    def _may_watch(self, watch: Watch) -> bool:
        """Whether the next vector is the watch's, which needs room for it: else a smaller space, and a new chain."""
        if self.space.room == 0:
            values, coefficients = self.space.ritz()
            self._shrink(values, coefficients, min(watch.steps, self.space.capacity - self.request.count))
        return self.space.room > 0

    def _draw(self) -> torch.Tensor:
        """A random vector (P,), another one at each call."""
        self.draws += 1
        return self.fresh(2 * self.draws)

    def _shrink(
        self, values: np.ndarray, coefficients: np.ndarray, room: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Restart, and the Ritz pairs of the smaller space in the order of their worth."""
        order = self.request.preferred(values)
        size, most = self.space.size, max(self.space.capacity - room, 1)
        if self.schedule.local:
            kept = coefficients[:, order[: min(self.schedule.block, most)]]
            kept = _with_steps(kept, self.previous)[:, :most]
            self.previous = min(self.schedule.block, kept.shape[1])
        else:
            count = self.request.count
            kept = coefficients[:, order[: min(count + (size - count) // 2, most)]]
        self.space.restart(kept)
        if self.schedule.watch is not None:
            self.schedule.watch.stop()
        values, coefficients = self.space.ritz()
        return values, coefficients, self.request.preferred(values)

    def _collect(self, values: np.ndarray, coefficients: np.ndarray, lengths: np.ndarray, scale: float) -> Pairs:
        vectors = self.space.lift(coefficients)
        if self._is_due() and self.matvecs.left >= vectors.shape[1]:
            return measure(self.matvecs, self.request, vectors, scale)
        drift = _DRIFT * self.resolution * scale * self.space.restarts
        return judged(self.matvecs, self.request, values, self.space.slices.qr(vectors)[0], lengths + drift, scale)

    def _finished(self, pairs: Pairs, believed: bool) -> Pairs | None:
        """The pairs with the reason to end, or None where the iteration must go on."""
        complete = len(pairs.values) == self.request.count
        if pairs.converged.all() and complete and (believed or self.space.spans_all):
            return replace(pairs, reason=Ending.CONVERGED.text())
        if self.space.spans_all:
            return replace(pairs, reason=Ending.NOISE.text())
        if self._affordable() > 0:
            return None
        ending = Ending.OUT_OF_MATVECS
        if pairs.converged.all() and complete:
            ending = Ending.UNBELIEVED
            pairs = replace(pairs, converged=np.zeros(len(pairs.values), dtype=bool))
        return replace(pairs, reason=ending.text(max_matvecs=self.matvecs.maximum))


def _with_steps(pairs: np.ndarray, previous: int) -> np.ndarray:
    """Coefficients (m, b) of the pairs and, orthonormal to them, of the step that led from the ``previous`` ones.

    The previous pairs are the first vectors of the basis. What the new ones have beside them is the step.
    """
    steps = pairs.copy()
    steps[:previous] = 0.0
    U, sizes, _ = np.linalg.svd(outside(steps, pairs), full_matrices=False)
    return np.hstack([pairs, U[:, sizes > 1e-10]])
