"""Subspaces compared and attributed. ``K`` vectors, ``C`` classes, ``M`` groups of parameters."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from landscape.results.base import Array, Record
from landscape.rounding import format_value


@dataclass(frozen=True, eq=False, repr=False)
class PrincipalAngles(Record):
    """Angles between two subspaces of dimensions K₁ and K₂.

    Attributes
    ----------
    angles : (min(K₁, K₂),) array
        Radians, ascending, in [0, π/2].
    dims : (K₁, K₂)
    dim : int
        P.
    """

    angles: Array
    dims: tuple[int, int]
    dim: int

    @property
    def cosines(self) -> Array:
        """Cosines of the angles, descending."""
        cosines: Array = np.cos(self.angles)
        return cosines

    @property
    def overlap(self) -> float:
        """Mean squared cosine: 1 where the smaller subspace lies in the larger, about max(K₁, K₂)/P at random."""
        return float(np.mean(self.cosines**2))

    def _lines(self) -> list[tuple[str, str]]:
        degrees = ", ".join(format_value(float(a), digits=4) for a in np.degrees(self.angles))
        return [("overlap", format_value(self.overlap)), ("angles in degrees", degrees)]


@dataclass(frozen=True, eq=False, repr=False)
class Attribution(Record):
    """Where vectors have their mass, or what they point along.

    Attributes
    ----------
    names : tuple of str
        M groups: tensors, modules or classes.
    shares : (K, M) array
        Row i belongs to vector i. Shares of squared length sum to 1; squared cosines with class gradients need not.
    explained : (K,) array
        Share of each squared length in the span of all groups: 1 for tensors and modules.
    kind : str
        ``"tensor"``, ``"module"`` or ``"class"``.
    """

    names: tuple[str, ...]
    shares: Array
    explained: Array
    kind: str

    def _lines(self) -> list[tuple[str, str]]:
        rows = []
        for i, row in enumerate(self.shares):
            most = np.argsort(-row, kind="stable")[:3]
            parts = ", ".join(f"{self.names[j]} {format_value(100 * float(row[j]), digits=3)} %" for j in most)
            rows.append((f"vector {i + 1}", parts))
        return rows


@dataclass(frozen=True, eq=False, repr=False)
class MissedSearch(Record):
    """What a random vector saw beside the eigenpairs that were found, at one end of the spectrum.

    Attributes
    ----------
    edge : float
        The found value nearest to the rest of the spectrum, λ_k, and ``residual``, its error.
    largest : float
        Best Ritz value outside the pairs found: H has a further eigenvalue at least as extreme, up to ``residual``.
    bound : float
        With probability ``level`` no further eigenvalue is more extreme than this.
    missed : bool
        A further eigenvalue was seen that is as extreme as λ_k, or more, to within the tolerance: a copy, or one passed
        over.
    complete : bool
        ``bound`` is less extreme than λ_k + its tolerance: with probability ``level`` none was missed.
    """

    edge: float
    residual: float
    largest: float
    bound: float
    level: float
    missed: bool
    complete: bool
    which: str
    num_matvecs: int
    seed: int

    def _lines(self) -> list[tuple[str, str]]:
        if self.missed:
            verdict = f"a further eigenvalue lies at {format_value(self.largest, digits=5)} or beyond"
        elif self.complete:
            verdict = f"none beyond the last one found, with probability {100 * self.level:g} %"
        else:
            verdict = "not settled in the matvecs allowed"
        return [
            ("further eigenvalues", verdict),
            ("bound", f"{format_value(self.bound, digits=5)} at {100 * self.level:g} %"),
            ("", f"{self.which} end, {self.num_matvecs} matvecs"),
        ]
