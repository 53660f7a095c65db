"""XTrace: each random vector serves the low-rank part of all others, and measures what theirs leaves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from landscape.estimators.matvecs import Matvecs
from landscape.estimators.traces.choice import Tolerance, until
from landscape.estimators.traces.columns import column_dots, gram
from landscape.estimators.traces.deflation import coarseness, rounding
from landscape.estimators.traces.sketch import Sketch, lost_directions, row_space
from landscape.results import Estimate

Array = np.ndarray

#: Random vectors that are added at a time until a tolerance is met, each at two matvecs.
_BLOCK = 8
#: Vectors left out one at a time for the jackknife, each an O(s³) calculation without matvecs.
LEFT_OUT = 32


def xtrace(matvecs: Matvecs, *, num_probes: int, seed: int, tol: Tolerance) -> Estimate:
    """The trace from ``num_probes // 2`` random vectors, or from as many as ``tol`` needs, each at two matvecs.

    Each has an estimate of its own. For vector i, with ``Qᵢ`` (P, rᵢ) a basis of the products of all others and
    ``y = (I − QᵢQᵢᵀ)ωᵢ``, it is ``tr(QᵢᵀHQᵢ) + (P − rᵢ)·yᵀHy / ‖y‖²``: ``ωᵢ`` is Gaussian, so given ``Qᵢ`` the
    direction of y is uniform outside it, and every one of them is unbiased.

    They share their bases, so they are correlated, and their spread alone gives too small a standard error. The
    jackknife (the spread of XTrace without each vector) errs upwards (Efron & Stein 1981, Ann. Statist. 9(3)). ``sem``
    is the geometric mean of the two; docs/accuracy.md has all three against the true one.
    """
    sketch = Sketch(matvecs, seed=seed)
    inner = np.empty((0, 0))

    def extend(count: int) -> Estimate:
        nonlocal inner
        old = sketch.basis
        gained = sketch.extend(count)
        images, slices = matvecs.in_slices(gained), sketch.slices
        across, inside = gram(old, images, slices), gram(gained, images, slices)
        # QᵀHQ; the block of the old columns is known, so that their products need not be kept.
        inner = np.block([[inner, across], [across.T, (inside + inside.T) / 2]])
        return _estimate(matvecs, _Seen.of(sketch, inner), seed)

    def more(_: Estimate) -> Estimate | None:
        # With half of P vectors the cost is that of the whole diagonal, which is exact.
        count = min(matvecs.left // 2, _BLOCK, matvecs.operator.dim // 2 - sketch.omega.shape[1])
        return extend(count) if count > 0 else None

    return until(tol, extend(num_probes // 2), more)


@dataclass(frozen=True)
class _Seen:
    """All that XTrace needs of s random vectors, in coordinates of their basis Q (P, r)."""

    dim: int
    inner: Array  # (r, r): QᵀHQ
    products: Array  # (r, s): QᵀHΩ
    omega: Array  # (r, s): QᵀΩ
    quadratic: Array  # (s,): ωᵀHω
    length: Array  # (s,): ‖ω‖²

    @staticmethod
    def of(sketch: Sketch, inner: Array) -> _Seen:
        omega, products, slices = sketch.omega, sketch.products, sketch.slices
        quadratic, length = column_dots(omega, products, slices), column_dots(omega, omega, slices)
        return _Seen(slices.dim, inner, sketch.coordinates, gram(sketch.basis, omega, slices), quadratic, length)

    def without(self, i: int) -> _Seen:
        """The same of all vectors but one, in a basis of what the others span."""
        others = np.arange(len(self.length)) != i
        u = row_space(self.products[:, others])
        return _Seen(
            self.dim,
            u.T @ self.inner @ u,
            u.T @ self.products[:, others],
            u.T @ self.omega[:, others],
            self.quadratic[others],
            self.length[others],
        )

    def samples(self) -> Array:
        """One unbiased estimate of the trace per vector."""
        lost = lost_directions(self.products)
        # Coordinates of QᵢQᵢᵀωᵢ, one column per vector.
        inside = self.omega - lost * _columns(lost, self.omega)
        outside = self.quadratic - 2 * _columns(inside, self.products) + _columns(inside, self.inner @ inside)
        rank = len(lost) - (lost != 0).any(axis=0)
        trace = np.trace(self.inner) - _columns(lost, self.inner @ lost)
        samples: Array = trace + (self.dim - rank) * outside / (self.length - _columns(inside, inside))
        return samples


def _estimate(matvecs: Matvecs, seen: _Seen, seed: int) -> Estimate:
    samples = seen.samples()
    count = len(samples)
    spread = samples.std(ddof=1) / np.sqrt(count)
    if count > 2:
        left_out = np.unique(np.linspace(0, count - 1, min(count, LEFT_OUT)).astype(int))
        means = [seen.without(i).samples().mean() for i in left_out]
        spread = np.sqrt(spread * (count - 1) / np.sqrt(count) * np.std(means, ddof=1))
    floor = rounding(matvecs) * np.abs(np.linalg.eigvalsh(seen.inner)).sum() if seen.inner.size else 0.0
    value = float(samples.mean())
    return Estimate(
        value,
        sem=float(np.hypot(spread, floor + coarseness(matvecs) * abs(value))),
        samples=samples,
        num_matvecs=matvecs.done,
        seed=seed,
        method=f"XTrace, {count} vectors",
    )


def _columns(V: Array, W: Array) -> Array:
    """``vᵀw`` for each pair of columns."""
    products: Array = (V * W).sum(axis=0)
    return products
