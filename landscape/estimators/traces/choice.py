"""Which split of ``tr(H^p)`` pays, and how many probes are drawn from it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from scipy import special

from landscape.errors import UsageError
from landscape.estimators.matvecs import BLOCK_COLUMNS, Matvecs
from landscape.estimators.traces.deflation import KnownSpace, Plain, Split, from_eigs, half, power_dots
from landscape.estimators.traces.sketch import Sketch
from landscape.results import Estimate

Array = np.ndarray

#: Below this budget "auto" makes no sketch: a third of it would leave fewer than 4 samples to read an error from.
FEWEST_FOR_SKETCH = 12
#: Matvecs with a tolerance and no other limit.
DEFAULT_MAX_MATVECS = 1000
#: Bytes for the sketch, its products and their basis, beyond what the budget asked for sets.
SKETCH_BYTES = 1 << 30
NORMAL = float(special.ndtri(0.975))


def choose(
    matvecs: Matvecs,
    powers: Sequence[int],
    *,
    method: str,
    num_probes: int,
    eigs: Any = None,
    seed: int,
    tol: Tolerance | None = None,
) -> tuple[Split, int]:
    """The split, and the number of probes to draw from it first; ``num_probes`` vectors are multiplied in all.

    ``"hutch++"`` gives a third of the vectors to a Gaussian sketch Y = HΩ, a third to the basis Q of its span, a third
    to probes outside. ``"auto"`` without eigenpairs makes the same sketch and goes on with it only if the 95 % interval
    is then expected to be shorter than that of sign probes for all that is left. Probes are independent of the sketch,
    so that neither choice biases the estimate.
    """
    if method == "auto":
        method = "deflated" if eigs is not None else "sketch" if num_probes >= FEWEST_FOR_SKETCH else "hutchinson"
    if method == "deflated":
        before = matvecs.done
        split = from_eigs(matvecs, powers, eigs, budget=num_probes * half(powers))
        return split, num_probes - (matvecs.done - before) // half(powers)
    if method == "hutchinson":
        return Plain(matvecs, powers), num_probes
    size = num_probes // 3
    sketch = Sketch(matvecs, seed=seed)
    sketch.extend(size)
    probes = num_probes - 2 * size
    if method == "sketch" and not _pays(sketch, size, probes, tol):
        return Plain(matvecs, powers), probes + size
    if tol is not None:
        _grow(sketch, tol, matvecs)
    basis = sketch.basis
    del sketch  # Ω and Y are as large as what follows.
    return KnownSpace(matvecs, powers, basis, name="Hutch++"), probes


def draw(split: Split, first: int, count: int, *, seed: int) -> Array:
    """Samples (len(powers), ≤ count) within the matvecs that are left."""
    return split.draw(first, min(count, split.matvecs.left // half(split.powers)), seed=seed)


@dataclass(frozen=True)
class Tolerance:
    """How far a 95 % interval may reach on either side: ``max(relative·|value|, absolute)``; None asks for nothing."""

    relative: float | None = None
    absolute: float = 0.0

    @property
    def asked(self) -> bool:
        """Whether anything is."""
        return self.relative is not None or self.absolute > 0

    def allowed(self, value: float) -> float:
        """The reach that is allowed at a value."""
        return max((self.relative or 0.0) * abs(value), self.absolute)

    def standard_error(self, value: float) -> float:
        """The standard error at which many samples have that interval."""
        return self.allowed(value) / NORMAL

    def met_by(self, estimate: Estimate) -> bool:
        """Whether an estimate's interval is as narrow: not its standard error alone, for few or skewed samples.

        Stopping at the first small standard error would stop on samples that happen to agree.
        """
        return estimate.reach() <= self.allowed(estimate.value)


def until(tol: Tolerance, estimate: Estimate, more: Callable[[Estimate], Estimate | None]) -> Estimate:
    """Improve an estimate until it is within a tolerance; marked as not converged where ``more`` has nothing to add."""
    while tol.asked and not tol.met_by(estimate):
        better = more(estimate)
        if better is None:
            return replace(estimate, converged=False)
        estimate = better
    return estimate


def of_samples(samples: Array, *, rounding: float = 0.0, **about: Any) -> Estimate:
    """The mean of samples (R,) with its standard error; ``about`` are further fields of the record."""
    sem = float(np.hypot(samples.std(ddof=1) / np.sqrt(len(samples)), rounding)) if len(samples) > 1 else None
    return Estimate(float(samples.mean()), sem=sem, samples=samples, **about)


def exact_dots(matvecs: Matvecs, powers: Sequence[int]) -> Array:
    """``(H^p)ᵢᵢ`` of every parameter (len(powers), P), from unit vectors: ``⌈max p / 2⌉·P`` matvecs."""
    H = matvecs.operator
    pieces = []
    for first in range(0, H.dim, BLOCK_COLUMNS):
        width = min(BLOCK_COLUMNS, H.dim - first)
        units = torch.zeros(H.dim, width, dtype=H.dtype, device=H.device)
        units[torch.arange(first, first + width), torch.arange(width)] = 1.0
        pieces.append(power_dots(matvecs, units, powers))
    return np.concatenate(pieces, axis=1)


def check_method(method: str, eigs: Any) -> None:
    """Refuse "deflated" without eigenpairs, and eigenpairs where nothing reads them."""
    if method == "deflated" and eigs is None:
        raise UsageError("method='deflated' needs eigs=: Eigenpairs from top_eigenpairs, or vectors (P, K)")
    if eigs is not None and method not in ("auto", "deflated"):
        raise UsageError(f"eigs= is read by method='deflated' and 'auto', not by method={method!r}")


def _pays(sketch: Sketch, size: int, probes: int, tol: Tolerance | None) -> bool:
    """Whether ``size`` matvecs on the basis and ``probes`` outside it beat ``size + probes`` plain probes.

    A plain probe has variance at most ``2‖H‖_F²``, one outside the basis ``2‖(I−QQᵀ)H‖_F²``; their ratio is read from
    the sketch alone. Compared are half-widths of 95 % intervals; with ``tol``, the matvecs until it is reached.
    """
    unseen = sketch.share_unseen()
    if tol is not None:
        plain = _needed(sketch, tol)
        return size + max(unseen * plain, probes) < max(plain, size + probes)
    width = [float(special.stdtrit(n - 1, 0.975)) ** 2 / n for n in (probes, size + probes)]
    return unseen * width[0] < width[1]


def _grow(sketch: Sketch, tol: Tolerance, matvecs: Matvecs) -> None:
    """Double the sketch while the probes still needed outside it cost four times as much as its basis.

    Doubling costs twice the sketch. So neither sketch nor probes cost much more than the other in the end, and their
    sum stays within a small factor of the best.
    """
    H = matvecs.operator
    fits = SKETCH_BYTES // (3 * H.dim * sketch.omega.element_size())
    while True:
        size = sketch.omega.shape[1]
        most = min(2 * size, fits, H.dim // 2, matvecs.maximum // 4)
        if sketch.share_unseen() * _needed(sketch, tol) <= 4 * size or most <= size:
            return
        sketch.extend(most - size)


def _needed(sketch: Sketch, tol: Tolerance) -> float:
    """Plain probes until the tolerance is met, by what the sketch saw of ``‖H‖_F²`` and the trace."""
    allowed = tol.standard_error(sketch.trace()) ** 2
    return 2 * sketch.size_seen() / allowed if allowed > 0 else np.inf
