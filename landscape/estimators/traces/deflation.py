"""What is known of ``tr(H^p)`` before the first probe, and how probes estimate the rest without bias."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from landscape.errors import UsageError
from landscape.estimators.matvecs import Matvecs
from landscape.estimators.probes import probes
from landscape.estimators.traces.columns import column_dots, gram, new_directions, without_span
from landscape.estimators.vectors import column_norms
from landscape.results import Eigenpairs

Array = np.ndarray


class Split(ABC):
    """One unbiased sample of ``tr(H^p)`` per probe, for each p of ``powers``.

    Parameters
    ----------
    matvecs : Matvecs
    powers : sequence of int
        Each costs nothing where a larger one is asked for: a probe costs ``⌈max p / 2⌉`` matvecs.
    """

    name = ""

    def __init__(self, matvecs: Matvecs, powers: Sequence[int]) -> None:
        self.matvecs, self.powers = matvecs, tuple(powers)
        #: Rounding of what is known, one number per power; no spread of samples shows it.
        self.rounding = np.zeros(len(self.powers))

    def draw(self, first: int, count: int, *, seed: int) -> Array:
        """Samples (len(powers), count) of the sign probes number ``first`` and on."""
        H = self.matvecs.operator
        pieces = []
        at_once = self.matvecs.at_once
        for start in range(first, first + count, at_once):
            width = min(at_once, first + count - start)
            Z = probes(start, width, H.dim, seed=seed, dtype=H.dtype, device=H.device)
            pieces.append(power_dots(self.matvecs, self._start(Z), self.powers) + self._known(Z))
        return np.concatenate(pieces, axis=1)

    def _start(self, Z: torch.Tensor) -> torch.Tensor:
        """The vectors that are multiplied in place of the probes."""
        return Z

    @abstractmethod
    def _known(self, Z: torch.Tensor) -> Array:
        """What is added to their quadratic forms, (len(powers), K) or (len(powers), 1)."""


class Plain(Split):
    """Nothing is known: Hutchinson's ``zᵀH^p z``."""

    name = "Hutchinson"

    def _known(self, Z: torch.Tensor) -> Array:
        return np.zeros((len(self.powers), 1))


class KnownPairs(Split):
    """``zᵀH^p z − Σ λᵢ^p (uᵢᵀz)² + Σ λᵢ^p ‖uᵢ‖²``: free of matvecs, and unbiased however good the pairs are.

    The sum that is taken from each probe has exactly the mean that is added. Residuals of the pairs, or vectors that
    are not quite orthonormal, are therefore no bias: they add to the spread of the samples, which the error shows.
    """

    name = "deflated"

    def __init__(self, matvecs: Matvecs, powers: Sequence[int], values: Array, vectors: torch.Tensor) -> None:
        super().__init__(matvecs, powers)
        self._vectors, slices = vectors, matvecs.slices
        self._weights = np.array([values**p for p in powers])
        self._means = self._weights @ column_dots(vectors, vectors, slices)
        self.rounding = rounding(matvecs) * np.abs(self._weights).sum(axis=1)

    def _known(self, Z: torch.Tensor) -> Array:
        slices = self.matvecs.slices
        known: Array = self._means[:, None] - self._weights @ gram(self._vectors, slices.own(Z), slices) ** 2
        return known


class KnownSpace(Split):
    """``tr(QᵀH^pQ)`` from the r columns of Q, each at the price of a probe; probes see ``(I − QQᵀ)H^p(I − QQᵀ)``."""

    name = "deflated"

    def __init__(self, matvecs: Matvecs, powers: Sequence[int], basis: torch.Tensor, *, name: str) -> None:
        super().__init__(matvecs, powers)
        self.name, self._basis = name, basis
        self._inside = np.zeros((len(powers), 1))
        for first in range(0, basis.shape[1], matvecs.at_once):
            inside = power_dots(matvecs, matvecs.slices.whole(basis[:, first : first + matvecs.at_once]), powers)
            self._inside += inside.sum(axis=1, keepdims=True)
            self.rounding += rounding(matvecs) * np.abs(inside).sum(axis=1)

    def _start(self, Z: torch.Tensor) -> torch.Tensor:
        slices = self.matvecs.slices
        return slices.whole(without_span(slices.own(Z), self._basis, slices))

    def _known(self, Z: torch.Tensor) -> Array:
        return self._inside


def rounding(matvecs: Matvecs) -> float:
    """Relative error allowed for a quadratic form of a vector of length 1."""
    return 4 * matvecs.operator.resolution


def coarseness(matvecs: Matvecs) -> float:
    """The same where the operator computes in less precision than its vectors have; else 0.

    Such rounding is the same in every product, so that the spread of samples does not show it.
    """
    H = matvecs.operator
    return rounding(matvecs) if H.resolution > torch.finfo(H.dtype).eps else 0.0


def power_dots(matvecs: Matvecs, V: torch.Tensor, powers: Sequence[int]) -> Array:
    """``vᵀH^p v`` for each p and each column of V (P, K), float64 (len(powers), K), from ``⌈max p / 2⌉·K`` matvecs.

    ``H^a v`` is held as a power of two times vectors of entries about 1: where H is of scale 1e14, ``H³v`` would leave
    the range of float32.
    """
    chain, shifts = [V], [0]
    for step in range(half(powers)):
        if step:
            size = float(column_norms(chain[-1]).max()) / len(V) ** 0.5
            exponent = math.frexp(size)[1] if size > 0 else 0
            # In two halves, as 2**exponent itself may be outside the dtype's range.
            chain[-1] = chain[-1] * 2.0 ** -(exponent // 2) * 2.0 ** -(exponent - exponent // 2)
            shifts[-1] += exponent
        chain.append(matvecs.block(chain[-1]))
        shifts.append(shifts[-1])
    return np.array([np.ldexp(column_dots(chain[p // 2], chain[p - p // 2]), _sum(shifts, p)) for p in powers])


def half(powers: Sequence[int]) -> int:
    """Matvecs per probe: ``zᵀH^p z`` is a product of ``H^a z`` and ``H^b z`` with a + b = p."""
    return -(-max(powers) // 2)


def _sum(shifts: list[int], power: int) -> int:
    return shifts[power // 2] + shifts[power - power // 2]


def from_eigs(matvecs: Matvecs, powers: Sequence[int], eigs: Any, *, budget: int) -> Split:
    """The split that given eigenpairs, or given vectors (P, K), allow; vectors cost ``⌈max p / 2⌉`` matvecs each.

    Raises
    ------
    UsageError
        If they are of another P, have no vectors, or leave no probe within the budget.
    """
    H = matvecs.operator
    given = eigs.vectors if isinstance(eigs, Eigenpairs) else eigs
    if not isinstance(given, (np.ndarray, torch.Tensor)) or given.ndim != 2 or given.shape[0] != H.dim:
        shape = tuple(given.shape) if hasattr(given, "shape") else type(given).__name__
        raise UsageError(f"eigs of shape {shape} do not fit; expected Eigenpairs or vectors of shape ({H.dim}, K)")
    if given.shape[1] == 0:
        raise UsageError("eigs holds no vectors: it was stored or loaded without them; load with vectors=True")
    vectors = torch.as_tensor(np.array(given.cpu() if isinstance(given, torch.Tensor) else given))
    if not bool(torch.isfinite(vectors).all()):
        raise UsageError("eigs holds NaN or Inf")
    slices = matvecs.slices
    vectors = slices.own(vectors).to(dtype=H.dtype, device=H.device)
    if isinstance(eigs, Eigenpairs):
        return KnownPairs(matvecs, powers, np.asarray(eigs.values, dtype=float), vectors)
    basis = new_directions(vectors, vectors[:, :0], slices)
    if budget < basis.shape[1] * half(powers) + half(powers):
        raise UsageError(
            f"{basis.shape[1]} vectors without eigenvalues cost {basis.shape[1] * half(powers)} matvecs and leave no "
            f"probe within {budget}; raise num_probes, or pass Eigenpairs, which cost none"
        )
    return KnownSpace(matvecs, powers, basis, name="deflated")
