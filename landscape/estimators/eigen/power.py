"""Power iteration with deflation: the textbook method, at both ends of the spectrum, stopped by true residuals only."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch

from landscape.estimators.eigen.convergence import LEAST_RESIDUAL, Pairs, Request
from landscape.estimators.matvecs import Matvecs
from landscape.estimators.probes import probe
from landscape.estimators.vectors import dot, norm
from landscape.results.endings import Ending

#: A pair at the wrong end is known well enough to shift by it at this relative residual.
_GOOD_ENOUGH_TO_SHIFT = 0.1
#: ‖Hx‖ has settled when one step changes it by less than this share.
_SETTLED = 1e-3


@dataclass
class _Pair:
    """One eigenpair: its current vector, value and residual, the end it belongs to and the shift that leads there."""

    vector: torch.Tensor
    sign: int
    shift: float = 0.0
    value: float = math.nan
    residual: float = math.inf
    #: ‖(H − shift)x‖ of the last two steps, to recognise a tie.
    lengths: tuple[float, float] = (0.0, 0.0)


def power_iteration(matvecs: Matvecs, request: Request, guess: torch.Tensor | None) -> Pairs:
    r"""Find the wanted pairs one after another by ``x ← P(H − sI)x``, P projecting out those already found.

    The dominant pair by magnitude comes first. Where it lies at the wrong end, ``s`` becomes its value: then the wanted
    end dominates. The step itself gives ``Hx`` and so the true residual of x; a Rayleigh quotient that has stopped
    moving is no sign of convergence, since its error is the square of the vector's.

    The error in the vector falls by ``|λ₂ − s|/|λ₁ − s|`` per matvec (Golub & Van Loan, Matrix Computations, §8.2).
    """
    return _PowerIteration(matvecs, request, guess).run()


class _PowerIteration:
    def __init__(self, matvecs: Matvecs, request: Request, guess: torch.Tensor | None) -> None:
        self.matvecs, self.request = matvecs, request
        # One vector for each pair: they are whole on every rank.
        self.guess = None if guess is None else matvecs.slices.whole(guess)
        self.pairs: list[_Pair] = []
        self.draws = 0
        self.eps = torch.finfo(matvecs.operator.dtype).eps

    def run(self) -> Pairs:
        count, shifts = self.request.count, {-1: 0.0, 0: 0.0, 1: 0.0}
        for i in range(count):
            if self.request.which == "both":
                # In turn, so that a list cut short still holds as many from each end.
                sign = 1 if i % 2 == 0 else -1
            else:
                sign = {"largest": 1, "smallest": -1, "magnitude": 0}[self.request.which]
            # The deflated operator has no eigenvalue beyond the old ends: a shift once needed stays right.
            self.pairs.append(_Pair(self._start(i), sign, shifts[sign]))
            if not self._converge(i):
                return self._collect(self._why_not(i))
            shifts[sign] = self.pairs[i].shift
        return self._collect(Ending.CONVERGED.text())

    def _start(self, i: int) -> torch.Tensor:
        x = self._random()
        if self.guess is not None and i < self.guess.shape[1]:
            x = self.guess[:, i] + 0.1 / norm(x) * x
        return self._deflate(x, i)

    def _random(self) -> torch.Tensor:
        H = self.matvecs.operator
        self.draws += 1
        return probe(self.draws - 1, H.dim, seed=self.request.seed, kind="gaussian", dtype=H.dtype, device=H.device)

    def _deflate(self, x: torch.Tensor, i: int) -> torch.Tensor:
        """x without its part in the first i pairs, at length 1; a random vector where nothing is left."""
        length = norm(x)
        for _ in range(3):
            x = self._project(x, i)
        if norm(x) <= 1e3 * self.eps * length:
            return self._deflate(self._random(), i)
        return self._project(x / norm(x), i)

    def _project(self, x: torch.Tensor, i: int) -> torch.Tensor:
        for pair in self.pairs[:i]:
            x = x - torch.dot(pair.vector, x) * pair.vector
        return x

    def _converge(self, i: int) -> bool:
        """Iterate pair i until its true residual is within the tolerance; False if the matvecs ran out."""
        pair = self.pairs[i]
        if self.matvecs.left == 0:
            return False
        while True:
            moved, outside = self._measure(i)
            limit = self._limit(pair.value)
            dominant = pair.value - pair.shift
            if pair.residual <= limit and pair.sign * dominant >= -limit:
                return True
            # Never move on from a vector that no further matvec would measure: its residual is the one reported.
            if self.matvecs.left == 0:
                return False
            if pair.sign * dominant < 0 and pair.residual <= _GOOD_ENOUGH_TO_SHIFT * abs(dominant):
                pair.shift, pair.lengths = pair.value, (0.0, 0.0)
                pair.vector = self._deflate(self._random(), i)
                continue
            # Deflation with vectors that have errors of their own leaves a residual along them that no step removes.
            if outside <= 0.5 * limit and i > 0:
                if not self._refine(i, limit):
                    return False
                moved = pair.vector
            pair.vector = self._deflate(moved, i)

    def _measure(self, i: int) -> tuple[torch.Tensor, float]:
        """One matvec: value and residual of pair i; the next iterate, and the residual outside the pairs before it."""
        pair = self.pairs[i]
        x = pair.vector
        y = self.matvecs(x)
        pair.value = dot(x, y) / dot(x, x)
        error = y - pair.value * x
        pair.residual = max(norm(error), LEAST_RESIDUAL * self._rounding(pair.value))
        moved = y - pair.shift * x
        pair.lengths = (pair.lengths[1], norm(moved))
        return moved, norm(self._project(error, i))

    def _refine(self, i: int, limit: float) -> bool:
        """Sharpen the first i pairs until together they disturb pair i by less than ``limit``; else leave them."""
        before = [replace(pair) for pair in self.pairs[:i]]
        for j in range(i):
            pair = self.pairs[j]
            target = 0.5 * min(limit, self._limit(pair.value)) / math.sqrt(i)
            pair.vector = self._deflate(pair.vector, j)
            while True:
                # One matvec is left for pair i itself, which must be measured anew.
                if self.matvecs.left <= 1:
                    self.pairs[:i] = before
                    return False
                moved, outside = self._measure(j)
                if outside <= target:
                    break
                pair.vector = self._deflate(moved, j)
        return True

    def _rounding(self, value: float) -> float:
        return self.matvecs.operator.resolution * max(self.matvecs.scale, abs(value))

    def _limit(self, value: float) -> float:
        return float(self.request.thresholds(np.array([value]), self._rounding(value))[0])

    def _why_not(self, i: int) -> str:
        pair = self.pairs[i]
        before, now = pair.lengths
        settled = before > 0 and abs(now - before) <= _SETTLED * now
        if settled and pair.residual > _GOOD_ENOUGH_TO_SHIFT * now:
            low, high = pair.shift - now, pair.shift + now
            near = {"low": f"{low:.4g}", "high": f"{high:.4g}", "shift": f"{pair.shift:.4g}"}
            return Ending.TIED.text(max_matvecs=self.matvecs.maximum, **near)
        return Ending.OUT_OF_MATVECS.text(max_matvecs=self.matvecs.maximum)

    def _collect(self, reason: str) -> Pairs:
        """What was found; a vector that no matvec has measured is left out."""
        pairs = [p for p in self.pairs if math.isfinite(p.residual)]
        values, residuals = np.array([p.value for p in pairs]), np.array([p.residual for p in pairs])
        converged = np.array([p.residual <= self._limit(p.value) for p in pairs], dtype=bool)
        # The unfinished pair may have small residual and yet lie at the wrong end.
        if len(pairs) and Ending.of(reason) is not Ending.CONVERGED:
            converged[-1] = False
        vectors = self.matvecs.slices.own(torch.stack([p.vector for p in pairs], dim=1))
        return Pairs(values, vectors, residuals, converged, reason)
