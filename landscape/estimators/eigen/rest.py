r"""How large an eigenvalue may be that neither the pairs nor the core have shown: a random vector looks for it.

With Q the space that the pairs were found in, C the core and :math:`E = H - C`,

.. math:: λ_{\max}(Q_⊥ᵀHQ_⊥) \le λ_{\max}(Q_⊥ᵀCQ_⊥) + λ_{\max}(Q_⊥ᵀEQ_⊥) \le a,

each term bounded by the law of a Gaussian start of its own (:mod:`landscape.estimators.eigen.upper_bound`). Products
with C cost little, and E is small, so that two or three steps on it bound it well enough. With :math:`T = QᵀHQ` and B
the part of HQ outside of Q, H lies below every :math:`μ > a` for which :math:`T + BᵀB/(μ - a)` does (by Schur's
complement): where B is small that is close to the largest Ritz value, though a may be far above what is left.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch

from landscape.estimators.eigen.convergence import ENDS, Request
from landscape.estimators.eigen.core_model import CoreModel
from landscape.estimators.eigen.deflated import OutsideOf
from landscape.estimators.eigen.random_check import Watch
from landscape.estimators.eigen.upper_bound import CONFIDENCE, recurrence_rounding, upper_bound
from landscape.estimators.krylov.lanczos import Krylov
from landscape.estimators.krylov.search_space import SearchSpace
from landscape.estimators.matvecs import Matvecs
from landscape.estimators.probes import probe

#: Steps on the difference: where no bound says when it is enough, and at most.
LEAST_STEPS, MOST_STEPS = 2, 4
#: Steps with the core at most, and how close above the largest value the bound need not be improved any more.
_CORE_STEPS, _CLOSE = 16, 1e-2
#: Chance of each of the two random vectors to be too nearly orthogonal to what it looks for.
_LEVEL = 1 - (1 - CONFIDENCE) / 2
#: Its random vectors are no others'.
_FIRST_PROBE = 2**21


@dataclass
class DifferenceWatch(Watch):
    """A random Krylov chain of ``H − C`` outside of the space that the pairs were found in.

    Its vectors are multiplied by H and stay in the space: what H has there shows among the Ritz values.
    """

    model: CoreModel = field(kw_only=True)
    #: ``(H − C)x`` of the vectors x of the chain.
    differences: list[torch.Tensor] = field(default_factory=list)

    def next_direction(self, space: SearchSpace, draw: Callable[[], torch.Tensor]) -> torch.Tensor:
        """The next vector of the chain (P,), not yet orthogonal to the space; the first one from ``draw``."""
        return draw() if self.last is None else self.differences[-1]

    def note(self, space: SearchSpace) -> None:
        """Take up the chain's new vector, the last of the basis."""
        self.last, self.taken = space.size - 1, self.taken + 1
        x = space.basis[:, self.last]
        self.model.cover(x[:, None])
        self.differences.append(space.image(self.last) - self.model.image(x))

    def stop(self) -> None:
        """Forget the chain: the space it was orthogonal to has changed."""
        self.last, self.differences = None, []

    def is_over(self, space: SearchSpace, request: Request, values: np.ndarray) -> bool:
        """Whether the chain has seen enough: always after ``steps`` steps of all chains."""
        if self.taken >= self.steps or space.spans_all:
            return True
        if self.last is None:
            return False
        if not holds_largest(request):
            return len(self.differences) >= LEAST_STEPS
        rest = self.model.largest_outside(space.basis)
        return self.bound(space) <= 0.5 * (float(values.max()) - rest)

    def before(self, space: SearchSpace) -> int:
        """Vectors of the space to which the chain is orthogonal."""
        return space.size - len(self.differences)

    def bound(self, space: SearchSpace) -> float:
        """What the largest eigenvalue of the difference outside of the space exceeds with little chance."""
        first, E = self.before(space), torch.stack(self.differences, dim=1)
        X, slices = space.basis[:, first:], space.slices
        T = slices.sum(X.T @ E).cpu().to(torch.float64).numpy()
        betas = np.abs((np.diag(T, 1) + np.diag(T, -1)) / 2)
        last = slices.norm(slices.outside(E[:, -1], space.basis))
        asymmetry = float(np.linalg.norm(T - T.T)) / 2 + float(np.linalg.norm(np.triu(T, 2)))
        scale = float(np.abs(space.ritz()[0]).max())
        rounding = recurrence_rounding(len(T), self.model.matvecs.operator.resolution, scale, asymmetry)
        return upper_bound(np.diag(T), np.append(betas, last), dim=space.dim - first, level=_LEVEL) + rounding


def holds_largest(request: Request) -> bool:
    """Whether the wanted pairs may include λ_max."""
    return any(float(key(np.array(1.0))) > 0 for key in ENDS[request.which])


def bound_beside_core(space: SearchSpace, watch: DifferenceWatch, core: Matvecs, *, seed: int) -> float | None:
    """What λ_max exceeds with probability 1 − 0.999 at most; None where the chain came to no end, or space is all.

    Costs up to 16 products with the core.
    """
    if not watch.differences or space.spans_all:
        return None
    size, slices = watch.before(space), space.slices
    Q, W = space.basis[:, :size], space.products[:, :size]
    T = slices.sum(Q.T @ W).cpu().to(torch.float64).numpy()
    B = slices.outside(W, Q).cpu().to(torch.float64).numpy()
    T, S = (T + T.T) / 2, slices.sum(torch.from_numpy(B.T @ B)).numpy()
    H = OutsideOf(core.operator, Q, slices)
    matvecs = Matvecs(H, min(_CORE_STEPS, core.left), slices=slices)
    start = slices.own(probe(_FIRST_PROBE, H.dim, seed=seed, kind="gaussian", dtype=H.dtype, device=H.device))
    krylov = Krylov(matvecs, slices.outside(start, Q), capacity=min(_CORE_STEPS + 1, H.dim - size))
    difference, top = watch.bound(space), float(np.linalg.eigvalsh(T)[-1])
    best = None
    while (matvecs.left > 0 and not krylov.is_full and krylov.beta != 0) or (best is None and matvecs.left > 0):
        krylov.step()
        alphas, betas, asymmetry = krylov.recurrence
        rounding = recurrence_rounding(len(alphas), H.resolution, core.scale, asymmetry)
        rest = upper_bound(alphas, betas, dim=H.dim - size, level=_LEVEL) + rounding + difference
        bound = largest_below(T, S, rest)
        best = bound if best is None else min(best, bound)
        if best <= top + _CLOSE * abs(top):
            break
    core.done += matvecs.done
    return best


def largest_below(T: np.ndarray, S: np.ndarray, rest: float) -> float:
    r"""The least μ above ``rest`` with ``T + S/(μ − rest) ≼ μ``, from above.

    No symmetric matrix with diagonal blocks T and one below ``rest``, and ``BᵀB = S`` beside, has a larger eigenvalue.

    Examples
    --------
    The matrix [[3, 1], [1, 0]] with its eigenvalue (3 + √13)/2:

    >>> round(largest_below(np.array([[3.0]]), np.array([[1.0]]), 0.0), 4)
    3.3028
    """
    scale = float(max(np.abs(T).max(), np.sqrt(np.abs(S).max()), abs(rest))) or 1.0

    def holds(mu: float) -> bool:
        return bool(np.linalg.eigvalsh(T + S / (mu - rest))[-1] <= mu)

    low = max(rest, float(np.linalg.eigvalsh(T)[-1]))
    high = low + 4 * scale
    while not holds(high):
        high += 4 * scale
    for _ in range(60):
        middle = (low + high) / 2
        if middle > rest and holds(middle):
            high = middle
        else:
            low = middle
    return high
